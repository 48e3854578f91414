//! Erases records for ever.

use crate::sql::{Connection, OptionalExtension};
use fieldbook_core::access::FeedId;
use fieldbook_core::ids::{ChangeHash, DeviceId, RecordId};
use fieldbook_core::protocol::{EntryBody, PURGED, Verdict};
use fieldbook_core::sync::{chain, from_cbor, to_cbor};

use super::audit::audit;
use super::feeds::{self, NewEntry};
use super::{Problem, Store, StoreError, UserRow, console, devices, listed, persons, units};
use crate::apart::{self, Line};

/// Characters of a purge's reason.
const REASON_CHARS_MAX: usize = 500;

/// Was the record erased?
pub(crate) fn is_purged(tx: &Connection, record: RecordId) -> Result<bool, StoreError> {
    let mut statement = tx.prepare("SELECT 1 FROM purged WHERE record = ?1")?;
    Ok(statement.exists([record.as_bytes()])?)
}

/// The feed of a record that is here, or of which at least a quarantined change is.
fn feed_of(tx: &Connection, record: RecordId) -> Result<Option<FeedId>, StoreError> {
    let sql = "SELECT feeds.unit, feeds.area FROM records JOIN feeds ON feeds.id = feed WHERE records.id = ?1
               UNION ALL SELECT unit, area FROM quarantine WHERE record = ?1 LIMIT 1";
    let mut statement = tx.prepare(sql)?;
    let found = statement.query_row([record.as_bytes()], |row| Ok((row.get(0)?, row.get::<String>(1)?)));
    let Some((unit, area)) = found.optional()? else { return Ok(None) };
    Ok(Some(FeedId { unit, area: console::area(&area)? }))
}

/// The feeds that have held the record.
fn feeds_with(tx: &Connection, record: RecordId) -> Result<Vec<FeedId>, StoreError> {
    let mut statement = tx.prepare("SELECT DISTINCT feed FROM entries WHERE record = ?1")?;
    let rows = statement.query_map([record.as_bytes()], |row| row.get::<i64>(0))?.collect::<Result<Vec<_>, _>>()?;
    rows.into_iter().map(|row| Ok(feeds::feed_by_row(tx, row)?.id)).collect()
}

/// Leaves of the record's entries only their leaf, so that the chain still closes.
pub(crate) fn erase_entries(tx: &Connection, record: RecordId) -> Result<(), StoreError> {
    let salt: Option<[u8; 8]> =
        tx.query_row("SELECT salt FROM records WHERE id = ?1", [record.as_bytes()], |row| row.get(0)).optional()?;
    let mut listed = tx.prepare("SELECT feed, position, hash, body FROM entries WHERE record = ?1")?;
    let mut erase = tx.prepare(
        "UPDATE entries SET hash = NULL, device = NULL, statement = NULL, item = NULL, body = ?3
         WHERE feed = ?1 AND position = ?2",
    )?;
    let mut entries = Vec::new();
    let mut rows = listed.query([record.as_bytes()])?;
    while let Some(row) = rows.next_row()? {
        let (feed, position): (i64, u64) = (row.get(0)?, row.get(1)?);
        let (hash, body): (Option<[u8; 32]>, Vec<u8>) = (row.get(2)?, row.get(3)?);
        entries.push((feed, position, hash.map(ChangeHash), body));
    }
    drop(rows);
    for (feed, position, hash, body) in entries {
        let damaged = || StoreError::corrupt("entry", format!("{position} of a purged record"));
        let leaf = match (from_cbor::<EntryBody>(&body).ok_or_else(damaged)?, hash) {
            (EntryBody::Change { .. }, Some(hash)) => chain::change_leaf(&salt.ok_or_else(damaged)?, &hash),
            // A review's reasons and fields say something of the record; where it was, and that it is purged, does not.
            (notice @ EntryBody::Notice(_), _) => chain::body_leaf(&notice).ok_or_else(damaged)?,
            _ => continue,
        };
        erase.execute((feed, position, to_cbor(&EntryBody::Erased(leaf))))?;
    }
    Ok(())
}

/// Removes whatever holds an answer of the record, or says something of it.
fn erase_rows(tx: &Connection, record: RecordId) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM verdicts WHERE hash IN (SELECT hash FROM quarantine WHERE record = ?1)",
        "DELETE FROM quarantine WHERE record = ?1",
        "UPDATE returned SET state = 2, body = NULL WHERE record = ?1",
        "DELETE FROM reviews WHERE record = ?1",
        "DELETE FROM exchange_records WHERE record = ?1",
        "DELETE FROM moves WHERE record = ?1",
        "DELETE FROM bodies WHERE record = ?1",
        "DELETE FROM records WHERE id = ?1",
    ] {
        tx.prepare(sql)?.execute([record.as_bytes()])?;
    }
    listed::erased(tx, record)
}

/// The devices of which changes of the record are held apart, each with one of these changes.
fn apart_from(tx: &Connection, record: RecordId) -> Result<Vec<(DeviceId, ChangeHash)>, StoreError> {
    let sql = "SELECT device, hash FROM quarantine WHERE record = ?1 ORDER BY device, hash";
    let mut statement = tx.prepare(sql)?;
    let rows = statement.query_map([record.as_bytes()], |row| Ok((DeviceId(row.get(0)?), ChangeHash(row.get(1)?))))?;
    let mut found = rows.collect::<Result<Vec<_>, _>>()?;
    found.dedup_by_key(|(device, _)| *device);
    Ok(found)
}

impl Store {
    /// Erases a record for ever, here and on every phone, for `user` who supervises its unit, or for the administrator
    /// at the server itself. Durable in the list outside the database before it is in the database; once it is
    /// answered, no copy of the record is left in the database's files. Erasing it again changes nothing.
    ///
    /// # Errors
    /// `record_unknown`, `not_supervisor`, `reasons_missing`, `request_malformed`; else what the database or the disk
    /// said.
    pub fn purge_record(&self, user: Option<&UserRow>, record: RecordId, reason: &str) -> Result<(), StoreError> {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(Problem::new("reasons_missing").into());
        }
        if reason.chars().count() > REASON_CHARS_MAX {
            return Err(Problem::new("request_malformed").with("detail", "the reason is too long").into());
        }
        self.write(|tx| {
            if is_purged(tx, record)? && user.is_none() {
                return Ok(());
            }
            let unknown = || Problem::new("record_unknown").with("record", record);
            let feed = feed_of(tx, record)?.ok_or_else(unknown)?;
            if let Some(user) = user {
                if !units::may_read(tx, user.id, &feed.unit, feed.area)? {
                    return Err(unknown().into());
                }
                if !units::roles_at(tx, user.id, &feed.unit)?.iter().any(|role| role.supervises()) {
                    return Err(Problem::new("not_supervisor").with("unit", &feed.unit).into());
                }
            }
            self.erase(tx, record, &feed)?;
            audit(tx, self.now_ms(), user.map(|user| user.id), "purge", &record.to_string(), reason)?;
            apart::append(self.folder(), &Line::Purged(record, feed))
        })?;
        self.scrub()
    }

    /// Erases a record and says so in `feed` and in every other that has held it; nothing if it is erased already.
    pub(crate) fn erase(&self, tx: &Connection, record: RecordId, feed: &FeedId) -> Result<(), StoreError> {
        if is_purged(tx, record)? {
            return Ok(());
        }
        self.unseal(tx, record)?;
        erase_entries(tx, record)?;
        let apart = apart_from(tx, record)?;
        persons::forget(tx, record, self.now_ms())?;
        erase_rows(tx, record)?;
        // Whoever wrote what was held apart may follow no feed that tells of the purge.
        for (device, change) in apart {
            devices::put_verdict(tx, device, &Verdict::refused(change, record, PURGED))?;
        }
        self.documents.forget(record);
        let now_ms = self.now_ms();
        tx.execute("INSERT INTO purged(record, purged_ms) VALUES (?1, ?2)", (record.as_bytes(), now_ms))?;
        let body = EntryBody::Purge { record };
        let leaf = chain::body_leaf(&body).ok_or_else(|| StoreError::corrupt("purge", "no leaf"))?;
        let new = NewEntry { received_ms: now_ms, record: Some(record), hash: None, stated: None, leaf, body: &body };
        let others = feeds_with(tx, record)?.into_iter().filter(|other| other != feed);
        for feed in std::iter::once(feed.clone()).chain(others) {
            feeds::append(tx, &mut feeds::feed_for(tx, &feed.unit, feed.area)?, &new)?;
        }
        Ok(())
    }

    /// Does what the list outside the database says and the database does not know: a purge that a power cut
    /// interrupted, or that a restored backup never saw. Returns how many records were erased and devices revoked.
    pub(crate) fn follow_list(&self) -> Result<(usize, usize), StoreError> {
        let lines = apart::read(self.folder())?;
        let (mut records, mut devices) = (0, 0);
        for line in lines {
            match line {
                Line::Purged(record, feed) => {
                    if self.read(|tx| is_purged(tx, record))? {
                        continue;
                    }
                    self.write(|tx| {
                        let place = match feed_of(tx, record)? {
                            Some(here) => Some(here),
                            None => units::unit(tx, &feed.unit)?.map(|_| feed.clone()),
                        };
                        match place {
                            Some(place) => self.erase(tx, record, &place),
                            // Its unit is unknown here, so no feed can tell: whoever brings the record back is told.
                            None => {
                                let row = (record.as_bytes(), self.now_ms());
                                tx.execute("INSERT INTO purged(record, purged_ms) VALUES (?1, ?2)", row)?;
                                Ok(())
                            }
                        }
                    })?;
                    records += 1;
                }
                Line::Revoked(device) => {
                    let sql = "UPDATE devices SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL";
                    let row = (device.as_bytes(), self.now_ms());
                    devices += self.write(|tx| Ok(tx.execute(sql, row)?))?;
                }
            }
        }
        if records > 0 {
            self.scrub()?;
        }
        Ok((records, devices))
    }

    /// Folds the write-ahead log into the file and empties it: what was erased is in neither then. Waits for readers
    /// like a write; if one stays longer, the next fold does it.
    fn scrub(&self) -> Result<(), StoreError> {
        let writer = self.writer();
        if writer.sqlite().is_none() {
            return Ok(());
        }
        writer.scrub_words()?;
        let busy: i64 = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
        if busy != 0 {
            tracing::warn!("a long read keeps the write-ahead log; it is emptied with the next checkpoint");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
