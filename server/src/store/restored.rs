//! A database that was restored from a backup: the epoch that begins with it, what devices give back, and the
//! administrator's word that it may serve again.

use std::sync::Arc;

use crate::sql::{Connection, OptionalExtension};
use fieldbook_core::access::FeedId;
use fieldbook_core::ids::{ChangeHash, RecordId};
use fieldbook_core::intake;
use fieldbook_core::protocol::{EntryBody, Notice, Point, RecordStart, Returned, Review};
use fieldbook_core::sync::server::ReturnedState;
use fieldbook_core::sync::{change_hash, from_cbor, to_cbor};

use super::audit::audit;
use super::records::{self, Accepted};
use super::{Problem, Store, StoreError, console, feeds, meta, purge, set_meta, units};
use crate::apart::{self, Line};

/// Key of `meta`: there from a restore until an administrator has confirmed it.
const AWAITING: &str = "awaiting_confirmation";
/// By how much the numbers of feed lists jump with an epoch: more than a device can have seen meanwhile.
const REGISTRY_JUMP: i64 = 1 << 20;
/// Entries taken back in one go.
const TAKEN_AT_ONCE: usize = 5_000;

/// What an administrator looks at before confirming.
#[derive(Debug, Clone)]
pub struct RestoredState {
    /// The epoch that began.
    pub epoch: u32,
    /// Nothing is served yet.
    pub awaiting: bool,
    /// Entries that devices gave back, and how many of them are in the log again.
    pub returned: (u64, u64),
    /// Records that the list outside the database names as purged.
    pub purged: Vec<RecordId>,
    /// Devices that the list names as revoked.
    pub revoked: usize,
    /// Devices that may sync.
    pub devices: Vec<super::DeviceRow>,
}

/// Does this database wait for an administrator?
pub(crate) fn is_awaiting(tx: &Connection) -> Result<bool, StoreError> {
    Ok(meta(tx, AWAITING)?.is_some())
}

/// Begins an epoch above `above` and the present one: nothing is served from now on, and no cursor is known any more.
pub(crate) fn begin_epoch(tx: &Connection, above: u32, jump: u16) -> Result<(), StoreError> {
    // Two restores of one backup must not begin the same epoch.
    let epoch = feeds::epoch(tx)?.max(above).saturating_add(1 + u32::from(jump));
    set_meta(tx, "epoch", epoch.to_string().as_bytes())?;
    set_meta(tx, AWAITING, b"1")?;
    tx.execute("UPDATE feeds SET epoch = ?1", [epoch])?;
    tx.execute(
        "UPDATE devices SET confirmed_a = NULL, confirmed_b = NULL, registry = registry + ?1, registry_hash = NULL",
        [REGISTRY_JUMP],
    )?;
    // What was taken back in an earlier epoch is in the log, or was lost again with it.
    tx.execute("DELETE FROM returned WHERE state = 2", ())?;
    Ok(())
}

fn number(state: ReturnedState) -> i64 {
    match state {
        ReturnedState::Wanted => 0,
        ReturnedState::Staged => 1,
        ReturnedState::Taken => 2,
    }
}

/// What is known of an entry that is not in the log.
pub(crate) fn returned(tx: &Connection, feed: &FeedId, chain: &[u8; 32]) -> Result<Option<ReturnedState>, StoreError> {
    let mut statement = tx.prepare("SELECT state FROM returned WHERE unit = ?1 AND area = ?2 AND chain = ?3")?;
    let found: Option<i64> = statement.query_row((&feed.unit, feed.area.word(), chain), |row| row.get(0)).optional()?;
    Ok(found.map(|state| match state {
        0 => ReturnedState::Wanted,
        1 => ReturnedState::Staged,
        _ => ReturnedState::Taken,
    }))
}

/// Notes that this entry is proved and missing.
pub(crate) fn put_wanted(tx: &Connection, feed: &FeedId, point: &Point) -> Result<(), StoreError> {
    tx.prepare(
        "INSERT INTO returned(unit, area, chain, position, state) VALUES (?1, ?2, ?3, ?4, 0) ON CONFLICT DO NOTHING",
    )?
    .execute((&feed.unit, feed.area.word(), point.chain, point.position))?;
    Ok(())
}

/// The record about which an entry says something that a purge must erase.
fn record_of(body: &EntryBody) -> Option<RecordId> {
    match body {
        EntryBody::Change { record, .. } => Some(*record),
        EntryBody::Notice(Notice::Review(review)) => Some(review.record),
        _ => None,
    }
}

/// Keeps an entry until all below it is here.
pub(crate) fn put_returned(tx: &Connection, chain: &[u8; 32], entry: &Returned) -> Result<(), StoreError> {
    tx.prepare(
        "UPDATE returned SET state = ?4, received_ms = ?5, body = ?6, record = ?7 WHERE unit = ?1 AND area = ?2 AND chain = ?3",
    )?
    .execute((
        &entry.feed.unit,
        entry.feed.area.word(),
        chain,
        number(ReturnedState::Staged),
        entry.received_ms,
        to_cbor(&entry.body),
        record_of(&entry.body).map(|record| record.0),
    ))?;
    Ok(())
}

fn points(tx: &Connection, sql: &str, feed: &FeedId, number: u64) -> Result<Vec<Point>, StoreError> {
    let mut statement = tx.prepare(sql)?;
    let rows = statement.query_map((&feed.unit, feed.area.word(), number), |row| {
        Ok(Point { position: row.get(0)?, chain: row.get(1)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Proved and missing entries, the last first.
pub(crate) fn wanted(tx: &Connection, feed: &FeedId, limit: usize) -> Result<Vec<Point>, StoreError> {
    let sql = "SELECT position, chain FROM returned WHERE unit = ?1 AND area = ?2 AND state = 0
               ORDER BY position DESC LIMIT ?3";
    points(tx, sql, feed, limit as u64)
}

/// Entries that were given back, taken or waiting, from `through` downwards in steps that double.
pub(crate) fn given_back(tx: &Connection, feed: &FeedId, through: u64) -> Result<Vec<Point>, StoreError> {
    let last = "SELECT position, chain FROM returned WHERE unit = ?1 AND area = ?2 AND state > 0 AND position <= ?3
                ORDER BY position DESC LIMIT 1";
    let mut found = points(tx, last, feed, through)?;
    let Some(top) = found.first().map(|point| point.position) else { return Ok(found) };
    for step in (0..u64::BITS).map_while(|power| top.checked_sub(1 << power)) {
        let sql = "SELECT position, chain FROM returned WHERE unit = ?1 AND area = ?2 AND state > 0 AND position = ?3";
        found.extend(points(tx, sql, feed, step)?);
    }
    Ok(found)
}

/// An entry that waits to be taken back.
struct Staged {
    feed: FeedId,
    chain: [u8; 32],
    received_ms: i64,
    body: EntryBody,
}

fn staged(tx: &Connection) -> Result<Vec<Staged>, StoreError> {
    // General feeds first: units, forms and actors come before the records that need them.
    let mut statement = tx.prepare(
        "SELECT unit, area, chain, received_ms, body FROM returned WHERE state = 1
         ORDER BY area <> 'general', unit, area, position LIMIT ?1",
    )?;
    let mut rows = statement.query([TAKEN_AT_ONCE])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next_row()? {
        let (unit, area): (String, String) = (row.get(0)?, row.get(1)?);
        let body: Vec<u8> = row.get(4)?;
        found.push(Staged {
            feed: FeedId { unit, area: console::area(&area)? },
            chain: row.get(2)?,
            received_ms: row.get(3)?,
            body: from_cbor(&body).ok_or_else(|| StoreError::corrupt("entry", "given back"))?,
        });
    }
    Ok(found)
}

fn log_holds(tx: &Connection, hash: &ChangeHash) -> Result<bool, StoreError> {
    Ok(tx.prepare("SELECT 1 FROM entries WHERE hash = ?1")?.exists([hash.as_bytes()])?)
}

impl Store {
    /// Puts what was given back into the log again, as new entries of the present epoch. What still lacks something (a
    /// form, a unit, an earlier change) waits. Returns how many entries were taken.
    pub(crate) fn take_back(&self, tx: &Connection) -> Result<u64, StoreError> {
        let mut done =
            tx.prepare("UPDATE returned SET state = 2, body = NULL WHERE unit = ?1 AND area = ?2 AND chain = ?3")?;
        let mut taken = 0;
        loop {
            let before = taken;
            for entry in staged(tx)? {
                if self.take_entry(tx, &entry)? {
                    done.execute((&entry.feed.unit, entry.feed.area.word(), entry.chain))?;
                    taken += 1;
                }
            }
            if taken == before {
                return Ok(taken);
            }
        }
    }

    /// False if it has to wait.
    fn take_entry(&self, tx: &Connection, entry: &Staged) -> Result<bool, StoreError> {
        if units::unit(tx, &entry.feed.unit)?.is_none() {
            return Ok(false);
        }
        match &entry.body {
            EntryBody::Change { record, first: Some(first), bytes } => {
                self.take_change_back(tx, entry, *record, first, bytes)
            }
            EntryBody::Purge { record } => {
                if !purge::is_purged(tx, *record)? {
                    self.erase(tx, *record, &entry.feed)?;
                    apart::append(self.folder(), &Line::Purged(*record, entry.feed.clone()))?;
                }
                Ok(true)
            }
            EntryBody::Notice(notice) => self.take_notice_back(tx, entry, notice),
            EntryBody::MovedIn { record, number, .. } => self.move_again(tx, *record, *number, &entry.feed.unit),
            // A leaf says nothing any more; where a record went is said there.
            _ => Ok(true),
        }
    }

    fn take_change_back(
        &self,
        tx: &Connection,
        entry: &Staged,
        record: RecordId,
        first: &RecordStart,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let Some(hash) = change_hash(bytes) else { return Ok(false) };
        if purge::is_purged(tx, record)? || log_holds(tx, &hash)? {
            return Ok(true);
        }
        let Some(form) = self.current_form(tx, &first.kind)? else { return Ok(false) };
        let mut open = match records::load(tx, record)? {
            Some(open) => open,
            None => {
                let Some(created) = self.form(tx, &first.kind, &first.created_version)? else { return Ok(false) };
                self.new_record(tx, record, &entry.feed, created.definition(), entry.received_ms)?
            }
        };
        // It was judged once already, and this server signed for that.
        let Ok(admitted) = intake::admit(Arc::make_mut(&mut open.document), form.definition(), bytes, None) else {
            return Ok(false);
        };
        let user = records::author(tx, admitted.actor)?.map(|author| author.user);
        let accepted =
            Accepted { hash, bytes, time_s: admitted.time_s, received_ms: entry.received_ms, stated: None, user };
        self.append_change(tx, &mut open, &accepted)?;
        self.save_record(tx, &mut open)?;
        let sql = "UPDATE quarantine SET admitted_ms = ?2, admitted_as = ?1 WHERE hash = ?1 AND admitted_as IS NULL";
        tx.prepare(sql)?.execute((hash.as_bytes(), entry.received_ms))?;
        Ok(true)
    }

    fn take_notice_back(&self, tx: &Connection, entry: &Staged, notice: &Notice) -> Result<bool, StoreError> {
        match notice {
            // Devices keep no form as it was published; an administrator publishes it again.
            // The successor's key was lost with the database: another one must be announced.
            Notice::Form { .. } | Notice::Root { .. } => return Ok(true),
            Notice::Actor { actor, device, user, .. } => {
                let sql = "INSERT INTO actors(actor, device, user) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
                if tx.execute(sql, (actor.as_bytes(), device.as_bytes(), user.as_bytes()))? == 0 {
                    return Ok(true);
                }
            }
            Notice::Unit(unit) => {
                let above = unit.parent.as_deref().map_or(Ok(None), |parent| units::unit(tx, parent))?;
                if units::unit(tx, &unit.code)?.is_some() {
                    return Ok(true);
                }
                if above.is_none() {
                    return Ok(false);
                }
                tx.execute(
                    "INSERT INTO units(code, name, parent, division) VALUES (?1, ?2, ?3, ?4)",
                    (&unit.code, &unit.name, &unit.parent, &unit.division),
                )?;
            }
            Notice::Review(review) => return self.take_review_back(tx, review),
        }
        let feed = feeds::feed_for(tx, &entry.feed.unit, entry.feed.area)?;
        feeds::append_notice(tx, &feed, entry.received_ms, None, notice)?;
        Ok(true)
    }

    fn take_review_back(&self, tx: &Connection, review: &Review) -> Result<bool, StoreError> {
        if purge::is_purged(tx, review.record)? {
            return Ok(true);
        }
        let Some(mut open) = records::load(tx, review.record)? else { return Ok(false) };
        if !review.heads.iter().all(|head| open.document.contains(head)) {
            return Ok(false);
        }
        let sql = "SELECT 1 FROM reviews WHERE record = ?1 AND reviewer = ?2 AND time_ms = ?3";
        let row = (review.record.as_bytes(), review.reviewer.as_bytes(), review.time_ms);
        if !tx.prepare(sql)?.exists(row)? {
            self.append_review(tx, &mut open, review)?;
        }
        Ok(true)
    }

    /// Does this database wait for an administrator?
    ///
    /// # Errors
    /// What the database said.
    pub fn awaiting(&self) -> Result<bool, StoreError> {
        self.read(is_awaiting)
    }

    /// What an administrator looks at before confirming.
    ///
    /// # Errors
    /// What the database said, or `list_malformed`.
    pub fn restored_state(&self) -> Result<RestoredState, StoreError> {
        let lines = apart::read(self.folder())?;
        let purged = lines.iter().filter_map(|line| match line {
            Line::Purged(record, _) => Some(*record),
            Line::Revoked(_) => None,
        });
        let purged: Vec<RecordId> = purged.collect();
        let devices = self.devices()?.into_iter().filter(|device| device.revoked_ms.is_none()).collect();
        self.read(|tx| {
            let sql = "SELECT count(*), count(CASE WHEN state = 2 THEN 1 END) FROM returned";
            Ok(RestoredState {
                epoch: feeds::epoch(tx)?,
                awaiting: is_awaiting(tx)?,
                returned: tx.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?)))?,
                revoked: lines.len() - purged.len(),
                purged,
                devices,
            })
        })
    }

    /// The administrator has looked at devices and purges: what the list says is done, what waits is tried again, and
    /// the server serves.
    ///
    /// # Errors
    /// `not_awaiting`, `list_malformed`; else what the database said.
    pub fn confirm_restored(&self) -> Result<(), StoreError> {
        if !self.awaiting()? {
            return Err(Problem::new("not_awaiting").into());
        }
        self.follow_list()?;
        self.write(|tx| {
            self.take_back(tx)?;
            tx.execute("DELETE FROM meta WHERE key = ?1", [AWAITING])?;
            audit(tx, self.now_ms(), None, "restored_confirm", &feeds::epoch(tx)?.to_string(), "")
        })
    }
}
