//! The mirror of the server's log, and what is brought to the server for others.

use std::sync::Arc;

use crate::sql::{Connection, OptionalExtension};
use fieldbook_core::access::FeedId;
use fieldbook_core::forms::FormDefinition;
use fieldbook_core::ids::{ChangeHash, DeviceId, RecordId};
use fieldbook_core::protocol::{EntryBody, Hosted, RecordStart, SignedHead, Statement, StatementHash};
use fieldbook_core::sync::hub::{HubIdentity, HubLog, Mirrored, ServedDevice};
use fieldbook_core::sync::phone::{FollowedFeed, StoredStatement, Unsent};
use fieldbook_core::sync::{LogError, chain, from_cbor, to_cbor};

use super::log::{HubView, area, mirror_feed};
use super::store::{meta, set_meta};
use crate::store::StoreError;

const STATE: &str = "state";
const CERTIFICATE: &str = "certificate";
/// Statement and body of a device that the server holds.
type OnServer = (u64, Option<(u64, u32)>);

fn row_of(tx: &Connection, feed: &FeedId) -> Result<i64, StoreError> {
    let found = mirror_feed(tx, feed)?;
    Ok(found.ok_or_else(|| StoreError::corrupt("mirror", format!("no feed {feed}")))?.row)
}

/// Leaves of entries only their leaves; `feed` limits it to one feed.
fn erase_entries(tx: &Connection, record: &RecordId, feed: Option<i64>) -> Result<(), StoreError> {
    let salt: Option<[u8; 8]> =
        tx.query_row("SELECT salt FROM records WHERE id = ?1", [record.as_bytes()], |row| row.get(0)).optional()?;
    let text = "SELECT feed, position, hash, body FROM entries WHERE record = ?1 AND (?2 IS NULL OR feed = ?2)";
    let mut listed = tx.prepare(text)?;
    let rows = listed.query_map((record.as_bytes(), feed), |row| {
        Ok((row.get::<i64>(0)?, row.get::<u64>(1)?, row.get::<Option<[u8; 32]>>(2)?, row.get::<Vec<u8>>(3)?))
    })?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let text = "UPDATE entries SET hash = NULL, record = NULL, body = ?3 WHERE feed = ?1 AND position = ?2";
    let mut erase = tx.prepare(text)?;
    for (feed, position, hash, body) in rows {
        let damaged = || StoreError::corrupt("entry", format!("{position} of an erased record"));
        let leaf = match (from_cbor::<EntryBody>(&body).ok_or_else(damaged)?, hash) {
            (EntryBody::Change { .. }, Some(hash)) => chain::change_leaf(&salt.ok_or_else(damaged)?, &ChangeHash(hash)),
            (other, _) => chain::body_leaf(&other).ok_or_else(damaged)?,
        };
        erase.execute((feed, position, to_cbor(&EntryBody::Erased(leaf))))?;
    }
    Ok(())
}

fn forget_feed(tx: &Connection, row: i64) -> Result<(), StoreError> {
    for text in
        ["DELETE FROM heads WHERE feed = ?1", "DELETE FROM entries WHERE feed = ?1", "DELETE FROM feeds WHERE id = ?1"]
    {
        tx.execute(text, [row])?;
    }
    // Records that stand in no feed any more.
    tx.execute("DELETE FROM records WHERE id NOT IN (SELECT record FROM entries WHERE record IS NOT NULL)", ())?;
    Ok(())
}

fn on_server(tx: &Connection, device: &DeviceId) -> Result<OnServer, StoreError> {
    let text = "SELECT up_statement, up_taken_statement, up_taken_index FROM devices WHERE id = ?1";
    let found: Option<(u64, Option<u64>, Option<u32>)> = tx
        .prepare(text)?
        .query_row([device.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    Ok(found.map_or((0, None), |(statement, number, index)| (statement, number.zip(index))))
}

/// A statement's bytes and hash.
type HeldStatement = (Vec<u8>, [u8; 32]);

/// A statement of this hub that is not set aside.
fn held_statement(tx: &Connection, device: &DeviceId, number: u64) -> Result<Option<HeldStatement>, StoreError> {
    let text = "SELECT bytes, hash FROM statements WHERE device = ?1 AND number = ?2 AND aside = 0";
    let mut statement = tx.prepare(text)?;
    Ok(statement.query_row((device.as_bytes(), number), |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// The number from which on this hub's statements are others than the server's, if any.
fn parted_at(tx: &Connection, hosted: &Hosted) -> Result<Option<u64>, StoreError> {
    let Hosted { device, statement, statement_hash, .. } = hosted;
    if let Some((_, hash)) = held_statement(tx, device, *statement)?
        && hash != *statement_hash
    {
        return Ok(Some(*statement));
    }
    let next = statement + 1;
    let Some((bytes, _)) = held_statement(tx, device, next)? else { return Ok(None) };
    let read: Statement = from_cbor(&bytes).ok_or_else(|| StoreError::corrupt("statement", next))?;
    Ok((read.previous != *statement_hash).then_some(next))
}

fn put_hosted(tx: &Connection, hosted: &Hosted) -> Result<(), StoreError> {
    let Hosted { device, statement, statement_hash, taken, through, .. } = hosted;
    let id = device.as_bytes();
    let (before, up_before) = on_server(tx, device)?;
    let text = "SELECT all_statement, all_index FROM devices WHERE id = ?1";
    let all: (Option<u64>, Option<u32>) = tx.query_row(text, [id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // Where the server lost what it had, what is here may have gone too: the phone brings all of it again.
    let fell_back = *statement < before || *taken < all.0.zip(all.1);
    let parted = parted_at(tx, hosted)?;
    if let Some(from) = parted {
        tracing::warn!(%device, from, "the server holds other statements of this device: those here are set aside");
        tx.execute("UPDATE statements SET aside = 1 WHERE device = ?1 AND number >= ?2", (id, from))?;
        tx.execute("UPDATE bodies SET aside = 1 WHERE device = ?1 AND statement >= ?2", (id, from))?;
    }
    let up = if fell_back { *taken } else { (*taken).max(*through).max(up_before) };
    let text = "UPDATE devices SET up_statement = ?2, up_taken_statement = ?3, up_taken_index = ?4,
                all_statement = ?5, all_index = ?6 WHERE id = ?1";
    let split = |place: Option<(u64, u32)>| (place.map(|place| place.0), place.map(|place| place.1));
    let (up, all) = (split(up), split(*taken));
    tx.execute(text, (id, statement, up.0, up.1, all.0, all.1))?;
    let row: u64 = tx.query_row("SELECT statement FROM devices WHERE id = ?1", [id], |row| row.get(0))?;
    let gap = row > *statement && held_statement(tx, device, statement + 1)?.is_none();
    if parted.is_some() || fell_back || gap {
        let text = "UPDATE devices SET statement = ?2, statement_hash = ?3, taken_statement = NULL, taken_index = NULL
                    WHERE id = ?1";
        tx.execute(text, (id, statement, statement_hash))?;
    } else if *statement > row {
        let text = "UPDATE devices SET statement = ?2, statement_hash = ?3 WHERE id = ?1";
        tx.execute(text, (id, statement, statement_hash))?;
    }
    Ok(())
}

fn put_devices(tx: &Connection, devices: &[ServedDevice]) -> Result<(), StoreError> {
    tx.execute("UPDATE devices SET served = 0", ())?;
    let text = "INSERT INTO devices(id, key, user, revoked, feeds) VALUES (?1, ?2, ?3, ?4, ?5)
                ON CONFLICT(id) DO UPDATE SET key = ?2, user = ?3, revoked = ?4, feeds = ?5, served = 1";
    let mut put = tx.prepare(text)?;
    for ServedDevice { device, key, user, revoked, feeds } in devices {
        put.execute((device.as_bytes(), key, user.as_bytes(), revoked, to_cbor(feeds)))?;
    }
    Ok(())
}

fn set_mirrored(tx: &Connection, feeds: &[(FeedId, u32)]) -> Result<(), StoreError> {
    let mut statement = tx.prepare("SELECT id, unit, area, epoch FROM feeds")?;
    let rows = statement.query_map((), |row| {
        Ok((row.get::<i64>(0)?, row.get::<String>(1)?, row.get::<String>(2)?, row.get::<u32>(3)?))
    })?;
    for row in rows.collect::<Result<Vec<_>, _>>()? {
        let (row, unit, word, epoch) = row;
        let id = FeedId { unit, area: area(&word)? };
        match feeds.iter().find(|(feed, _)| *feed == id) {
            None => forget_feed(tx, row)?,
            // A head of an earlier epoch proves nothing of what is there now.
            Some((_, now)) if *now != epoch => {
                tx.execute("DELETE FROM heads WHERE feed = ?1", [row])?;
                tx.execute("UPDATE feeds SET epoch = ?2 WHERE id = ?1", (row, now))?;
            }
            Some(_) => {}
        }
    }
    for (feed, epoch) in feeds {
        let text = "INSERT OR IGNORE INTO feeds(unit, area, epoch, position, chain) VALUES (?1, ?2, ?3, 0, ?4)";
        tx.execute(text, (&feed.unit, feed.area.word(), epoch, chain::START))?;
    }
    Ok(())
}

fn mirrored(tx: &Connection) -> Result<Vec<FollowedFeed>, StoreError> {
    let text = "SELECT unit, area, epoch, position, chain,
                coalesce((SELECT max(position) FROM heads WHERE feed = feeds.id AND heads.epoch = feeds.epoch), 0) FROM feeds";
    let mut statement = tx.prepare(text)?;
    let mut rows = statement.query(())?;
    let mut feeds = Vec::new();
    while let Some(row) = rows.next_row()? {
        let word: String = row.get(1)?;
        feeds.push(FollowedFeed {
            feed: FeedId { unit: row.get(0)?, area: area(&word)? },
            epoch: row.get(2)?,
            position: row.get(3)?,
            chain: row.get(4)?,
            head_position: row.get(5)?,
        });
    }
    feeds.sort_by(|a, b| a.feed.cmp(&b.feed));
    Ok(feeds)
}

fn rewind(tx: &Connection, feed: &FeedId, position: u64) -> Result<(), StoreError> {
    let row = row_of(tx, feed)?;
    tx.execute("DELETE FROM heads WHERE feed = ?1 AND position > ?2", (row, position))?;
    tx.execute("DELETE FROM entries WHERE feed = ?1 AND position > ?2", (row, position))?;
    let text = "SELECT chain FROM entries WHERE feed = ?1 AND position = ?2";
    let link: Option<[u8; 32]> = tx.query_row(text, (row, position), |row| row.get(0)).optional()?;
    let (position, link) = link.map_or((0, chain::START), |link| (position, link));
    tx.execute("UPDATE feeds SET position = ?2, chain = ?3 WHERE id = ?1", (row, position, link))?;
    Ok(())
}

fn held(
    tx: &Connection,
    device: &DeviceId,
    after: Option<(u64, u32)>,
    limit: usize,
) -> Result<Vec<Unsent>, StoreError> {
    let (number, index) = after.map_or((0, -1), |(number, index)| (number, i64::from(index)));
    let text = "SELECT statement, item, record, kind, created_version, form_version, bytes,
                EXISTS (SELECT 1 FROM records WHERE records.id = bodies.record)
                FROM bodies WHERE device = ?1 AND aside = 0 AND (statement, item) > (?2, ?3)
                ORDER BY statement, item LIMIT ?4";
    let mut statement = tx.prepare(text)?;
    let rows = statement.query_map((device.as_bytes(), number, index, limit), |row| {
        Ok(Unsent {
            statement: row.get(0)?,
            index: row.get(1)?,
            record: RecordId(row.get(2)?),
            known: row.get(7)?,
            kind: row.get(3)?,
            created_version: row.get(4)?,
            form_version: row.get(5)?,
            bytes: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl HubLog for HubView<'_> {
    fn identity(&mut self) -> Result<HubIdentity, LogError> {
        let own = match self.with(|tx| meta(tx, "enrolment"))? {
            Some(bytes) => from_cbor::<super::store::Enrolment>(&bytes),
            None => None,
        };
        Ok(own.ok_or_else(|| LogError::other("the hub has not enrolled"))?.identity())
    }

    fn hub_state(&mut self) -> Result<Option<Vec<u8>>, LogError> {
        self.with(|tx| meta(tx, STATE))
    }

    fn put_hub_state(&mut self, state: &[u8]) -> Result<(), LogError> {
        self.with(|tx| set_meta(tx, STATE, state))
    }

    fn mirrored(&mut self) -> Result<Vec<FollowedFeed>, LogError> {
        self.with(mirrored)
    }

    fn set_mirrored(&mut self, feeds: &[(FeedId, u32)]) -> Result<(), LogError> {
        self.with(|tx| set_mirrored(tx, feeds))
    }

    fn put_mirrored(&mut self, feed: &FeedId, kept: &Mirrored) -> Result<(), LogError> {
        self.with(|tx| {
            let row = row_of(tx, feed)?;
            let text = "INSERT INTO entries(feed, position, received_ms, record, hash, chain, body)
                        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let Mirrored { entry, record, hash, chain } = kept;
            let record = record.as_ref().map(RecordId::as_bytes);
            let hash = hash.as_ref().map(ChangeHash::as_bytes);
            let (position, received_ms) = (entry.position, entry.received_ms);
            tx.prepare(text)?.execute((row, position, received_ms, record, hash, chain, to_cbor(&entry.body)))?;
            let text = "UPDATE feeds SET position = ?2, chain = ?3 WHERE id = ?1";
            tx.prepare(text)?.execute((row, position, chain))?;
            Ok(())
        })
    }

    fn put_signed(&mut self, head: &SignedHead) -> Result<(), LogError> {
        self.with(|tx| {
            let row = row_of(tx, &head.feed)?;
            let text = "INSERT OR REPLACE INTO heads(feed, position, epoch, chain, time_ms, signature)
                        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let SignedHead { position, epoch, chain, time_ms, signature, .. } = head;
            tx.prepare(text)?.execute((row, position, epoch, chain, time_ms, signature))?;
            Ok(())
        })
    }

    fn signed_after(&mut self, feed: &FeedId, position: u64) -> Result<Option<SignedHead>, LogError> {
        let log = self.identity()?.log;
        self.with(|tx| {
            let row = row_of(tx, feed)?;
            let text = "SELECT epoch, position, chain, time_ms, signature FROM heads
                        WHERE feed = ?1 AND position > ?2 ORDER BY position LIMIT 1";
            let found = tx.prepare(text)?.query_row((row, position), |row| {
                Ok(SignedHead {
                    log,
                    feed: feed.clone(),
                    epoch: row.get(0)?,
                    position: row.get(1)?,
                    chain: row.get(2)?,
                    time_ms: row.get(3)?,
                    signature: row.get(4)?,
                })
            });
            Ok(found.optional()?)
        })
    }

    fn rewind(&mut self, feed: &FeedId, position: u64) -> Result<(), LogError> {
        self.with(|tx| rewind(tx, feed, position))
    }

    fn salt(&mut self, record: &RecordId) -> Result<Option<[u8; 8]>, LogError> {
        self.with(|tx| {
            let mut statement = tx.prepare("SELECT salt FROM records WHERE id = ?1")?;
            Ok(statement.query_row([record.as_bytes()], |row| row.get(0)).optional()?)
        })
    }

    fn put_start(&mut self, record: &RecordId, start: &RecordStart) -> Result<(), LogError> {
        self.with(|tx| {
            let text = "INSERT OR REPLACE INTO records(id, salt, kind, created_version) VALUES (?1, ?2, ?3, ?4)";
            tx.execute(text, (record.as_bytes(), start.salt, &start.kind, &start.created_version))?;
            Ok(())
        })
    }

    fn is_erased(&mut self, record: &RecordId) -> Result<bool, LogError> {
        let text = "SELECT 1 FROM erased WHERE record = ?1";
        self.with(|tx| Ok(tx.prepare(text)?.exists([record.as_bytes()])?))
    }

    fn erase(&mut self, record: &RecordId) -> Result<(), LogError> {
        self.with(|tx| {
            erase_entries(tx, record, None)?;
            let id = record.as_bytes();
            tx.execute("DELETE FROM bodies WHERE record = ?1", [id])?;
            tx.execute("DELETE FROM records WHERE id = ?1", [id])?;
            tx.execute("INSERT OR IGNORE INTO erased(record) VALUES (?1)", [id])?;
            Ok(())
        })
    }

    fn let_go(&mut self, feed: &FeedId, record: &RecordId) -> Result<(), LogError> {
        self.with(|tx| erase_entries(tx, record, Some(row_of(tx, feed)?)))
    }

    fn definition(&mut self, kind: &str, version: &str) -> Result<Option<Arc<FormDefinition>>, LogError> {
        self.read_form(kind, version)
    }

    fn wanted_forms(&mut self, limit: usize) -> Result<Vec<(String, String)>, LogError> {
        self.with(|tx| {
            let text = "SELECT kind, version FROM forms WHERE bytes IS NULL ORDER BY id LIMIT ?1";
            let mut statement = tx.prepare(text)?;
            let rows = statement.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn put_form_notice(&mut self, unit: &str, kind: &str, version: &str, hash: &[u8; 32]) -> Result<(), LogError> {
        self.with(|tx| {
            let text = "INSERT INTO forms(kind, version, unit, hash) VALUES (?1, ?2, ?3, ?4)
                        ON CONFLICT(kind, version) DO UPDATE SET unit = ?3, bytes = iif(hash = ?4, bytes, NULL), hash = ?4";
            tx.execute(text, (kind, version, unit, hash))?;
            Ok(())
        })
    }

    fn put_form(&mut self, hash: &[u8; 32], form: &[u8]) -> Result<(), LogError> {
        self.with(|tx| {
            tx.execute("UPDATE forms SET bytes = ?2 WHERE hash = ?1 AND bytes IS NULL", (hash, form))?;
            Ok(())
        })
    }

    fn put_certificate(&mut self, certificate: &[u8]) -> Result<(), LogError> {
        self.with(|tx| set_meta(tx, CERTIFICATE, certificate))
    }

    fn note_successor(&mut self, root: &[u8; 32], signature: &[u8; 64]) -> Result<(), LogError> {
        self.with(|tx| super::store::note_successor(tx, root, signature))
    }

    fn put_devices(&mut self, devices: &[ServedDevice]) -> Result<(), LogError> {
        self.with(|tx| put_devices(tx, devices))
    }

    fn holds_statements(&mut self, device: &DeviceId, above: u64, through: u64) -> Result<bool, LogError> {
        self.with(|tx| {
            let text = "SELECT count(DISTINCT number) FROM statements
                        WHERE device = ?1 AND number > ?2 AND number <= ?3 AND aside = 0";
            let held: u64 = tx.prepare(text)?.query_row((device.as_bytes(), above, through), |row| row.get(0))?;
            Ok(held == through.saturating_sub(above))
        })
    }

    fn put_base(&mut self, device: &DeviceId, number: u64, hash: &StatementHash) -> Result<(), LogError> {
        self.with(|tx| {
            let text = "UPDATE devices SET statement = ?2, statement_hash = ?3, up_statement = max(up_statement, ?2)
                        WHERE id = ?1";
            tx.execute(text, (device.as_bytes(), number, hash))?;
            Ok(())
        })
    }

    fn waiting(&mut self, after: Option<&DeviceId>, limit: usize) -> Result<Vec<DeviceId>, LogError> {
        let text = "SELECT id FROM devices WHERE served = 1 AND id > ?1 AND (
              EXISTS (SELECT 1 FROM statements AS s WHERE s.device = devices.id AND s.aside = 0 AND s.number > up_statement)
              OR EXISTS (SELECT 1 FROM bodies AS b WHERE b.device = devices.id AND b.aside = 0
                AND (b.statement, b.item) > (coalesce(up_taken_statement, 0), coalesce(up_taken_index, -1))))
            ORDER BY id LIMIT ?2";
        let after = after.map(|device| device.as_bytes().to_vec()).unwrap_or_default();
        self.with(|tx| {
            let mut statement = tx.prepare(text)?;
            let rows = statement.query_map((after, limit), |row| Ok(DeviceId(row.get(0)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn on_server(&mut self, device: &DeviceId) -> Result<OnServer, LogError> {
        self.with(|tx| on_server(tx, device))
    }

    fn held(&mut self, device: &DeviceId, after: Option<(u64, u32)>, limit: usize) -> Result<Vec<Unsent>, LogError> {
        self.with(|tx| held(tx, device, after, limit))
    }

    fn held_statements(
        &mut self,
        device: &DeviceId,
        number: u64,
        limit: usize,
    ) -> Result<Vec<StoredStatement>, LogError> {
        let text = "SELECT number, hash, bytes, signature FROM statements
                    WHERE device = ?1 AND number > ?2 AND aside = 0 ORDER BY number LIMIT ?3";
        self.with(|tx| {
            let mut statement = tx.prepare(text)?;
            let rows = statement.query_map((device.as_bytes(), number, limit), |row| {
                Ok(StoredStatement {
                    number: row.get(0)?,
                    hash: row.get(1)?,
                    bytes: row.get(2)?,
                    signature: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn put_hosted(&mut self, hosted: &Hosted) -> Result<(), LogError> {
        self.with(|tx| put_hosted(tx, hosted))
    }
}
