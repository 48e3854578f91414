//! Moves of records between units.
//!
//! A record's entries stand in one feed: its unit's. A move takes them there, in order, and leaves of them only their
//! leaves; both feeds say so. What a device wrote of the record before it saw that is judged as if the record were still
//! where the device believed it to be (`docs/PROTOCOL.md` §6).

use crate::sql::Connection;
use fieldbook_core::access::{Area, FeedId};
use fieldbook_core::ids::{ActorId, ChangeHash, DeviceId, RecordId, UserId};
use fieldbook_core::protocol::{EntryBody, Notice, RecordStart};
use fieldbook_core::sync::cursors::CursorPoint;
use fieldbook_core::sync::server::TakenChange;
use fieldbook_core::sync::{chain, from_cbor};

use super::audit::audit;
use super::feeds::{self, Feed, NewEntry};
use super::records::OpenRecord;
use super::{Problem, Store, StoreError, UserRow, listed, purge, records, units, users};

/// Characters of a move's reason.
const REASON_CHARS_MAX: usize = 500;
/// An epoch's moves of one record are numbered within so many bits.
const EPOCH_BITS: u32 = 16;
/// Records that one move takes along.
pub(crate) const RECORDS_MAX: usize = 200;

/// An entry that moves along with its record.
struct Moving {
    received_ms: i64,
    hash: Option<ChangeHash>,
    stated: Option<(DeviceId, u64, u32)>,
    body: EntryBody,
}

/// Has a record left a feed that the device follows, and the device not said yet that it knows?
pub(super) fn awaits(tx: &Connection, device: &DeviceId) -> Result<bool, StoreError> {
    let mut statement = tx.prepare("SELECT 1 FROM unaware WHERE device = ?1")?;
    Ok(statement.exists([device.as_bytes()])?)
}

/// A request of the device names these cursors.
pub(super) fn note_seen(tx: &Connection, device: &DeviceId, seen: &[CursorPoint]) -> Result<(), StoreError> {
    for point in seen {
        let Some(feed) = feeds::feed(tx, &point.feed)?.filter(|feed| feed.epoch == point.epoch) else { continue };
        let last = "SELECT coalesce(max(position), 0) FROM moves WHERE from_feed = ?1";
        let last: u64 = tx.prepare(last)?.query_row([feed.row], |row| row.get(0))?;
        if point.position >= last {
            let text = "DELETE FROM unaware WHERE device = ?1 AND feed = ?2";
            tx.prepare(text)?.execute((device.as_bytes(), feed.row))?;
        } else {
            let text = "UPDATE unaware SET seen = ?3 WHERE device = ?1 AND feed = ?2 AND seen < ?3";
            tx.prepare(text)?.execute((device.as_bytes(), feed.row, point.position))?;
        }
    }
    Ok(())
}

/// Was the change made for a feed that its record has left by an entry that the device has not seen?
pub(super) fn is_late(tx: &Connection, change: &TakenChange<'_>) -> Result<bool, StoreError> {
    let text = "SELECT 1 FROM moves JOIN feeds ON feeds.id = from_feed
                  JOIN unaware ON unaware.feed = from_feed AND unaware.device = ?2
                WHERE record = ?1 AND unit = ?3 AND area = ?4 AND moves.position > seen";
    let mut statement = tx.prepare(text)?;
    let feed = change.feed;
    Ok(statement.exists((change.record.as_bytes(), change.device.as_bytes(), &feed.unit, feed.area.word()))?)
}

/// A device heard from its township hub that a record had left, and made it anew; by what it has acknowledged here, the
/// change came late and was taken. The entry by which it would let go of the record is behind it: it is said once more.
pub(super) fn say_again(tx: &Connection, open: &mut OpenRecord, late: &TakenChange<'_>) -> Result<(), StoreError> {
    if open.left_again.as_ref() == Some(late.feed) {
        return Ok(());
    }
    let mut left = feeds::feed_for(tx, &late.feed.unit, late.feed.area)?;
    let (record, to, number) = (open.id, open.feed.id.clone(), last_number(tx, open.id)?);
    say(tx, &mut left, late.received_ms, record, &EntryBody::MovedOut { record, to, number })?;
    open.left_again = Some(late.feed.clone());
    Ok(())
}

/// Every device that follows a feed is unaware of what is said there next.
fn nobody_knows(tx: &Connection, feed: &Feed) -> Result<(), StoreError> {
    let mut users = tx.prepare("SELECT DISTINCT user FROM devices WHERE revoked_ms IS NULL")?;
    let users = users.query_map((), |row| row.get(0))?.collect::<Result<Vec<[u8; 16]>, _>>()?;
    let mut note = tx.prepare(
        "INSERT INTO unaware(device, feed, seen)
         SELECT id, ?2, ?3 FROM devices WHERE user = ?1 AND revoked_ms IS NULL
         ON CONFLICT DO NOTHING",
    )?;
    for user in users {
        if units::may_read(tx, UserId(user), &feed.id.unit, feed.id.area)? {
            note.execute((user, feed.row, feed.position))?;
        }
    }
    Ok(())
}

fn last_number(tx: &Connection, record: RecordId) -> Result<u64, StoreError> {
    let text = "SELECT coalesce(max(number), 0) FROM moves WHERE record = ?1";
    Ok(tx.prepare(text)?.query_row([record.as_bytes()], |row| row.get(0))?)
}

/// The record's changes and reviews in the feed that it is in, in order.
fn entries_of(tx: &Connection, open: &OpenRecord) -> Result<Vec<Moving>, StoreError> {
    let text = "SELECT position, received_ms, hash, device, statement, item, body FROM entries
                WHERE record = ?1 AND feed = ?2 ORDER BY position";
    let mut statement = tx.prepare(text)?;
    let mut rows = statement.query((open.id.as_bytes(), open.feed.row))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next_row()? {
        let position: u64 = row.get(0)?;
        let body: Vec<u8> = row.get(6)?;
        let damaged = || StoreError::corrupt("entry", format!("{}: {position} does not read back", open.feed.id));
        let body = from_cbor::<EntryBody>(&body).ok_or_else(damaged)?;
        if !matches!(body, EntryBody::Change { .. } | EntryBody::Notice(_)) {
            continue;
        }
        let stated: (Option<[u8; 16]>, Option<u64>, Option<u32>) = (row.get(3)?, row.get(4)?, row.get(5)?);
        found.push(Moving {
            received_ms: row.get(1)?,
            hash: row.get::<Option<[u8; 32]>>(2)?.map(ChangeHash),
            stated: stated
                .0
                .zip(stated.1.zip(stated.2))
                .map(|(device, (number, item))| (DeviceId(device), number, item)),
            body,
        });
    }
    Ok(found)
}

/// Appends what the server says of the record's place. Returns the entry's position.
fn say(tx: &Connection, feed: &mut Feed, now_ms: i64, record: RecordId, body: &EntryBody) -> Result<u64, StoreError> {
    let leaf = chain::body_leaf(body).ok_or_else(|| StoreError::corrupt("move", "no leaf"))?;
    feeds::append(
        tx,
        feed,
        &NewEntry { received_ms: now_ms, record: Some(record), hash: None, stated: None, leaf, body },
    )
}

/// Appends the entries that came along; the first change says what the record is.
fn bring(
    tx: &Connection,
    feed: &mut Feed,
    open: &OpenRecord,
    entries: Vec<Moving>,
    number: u64,
) -> Result<(), StoreError> {
    let before = feed.position;
    let mut start = Some(RecordStart {
        kind: open.kind.clone(),
        created_version: open.document.record().created_version.clone(),
        salt: open.salt,
        moved: Some(number),
    });
    for Moving { received_ms, hash, stated, body } in entries {
        let (leaf, body) = match (body, &hash) {
            (EntryBody::Change { record, bytes, .. }, Some(hash)) => {
                (Some(chain::change_leaf(&open.salt, hash)), EntryBody::Change { record, first: start.take(), bytes })
            }
            (other, _) => (chain::body_leaf(&other), other),
        };
        let leaf = leaf.ok_or_else(|| StoreError::corrupt("move", "a change without its hash"))?;
        let new = NewEntry { received_ms, record: Some(open.id), hash, stated, leaf, body: &body };
        feeds::append(tx, feed, &new)?;
    }
    let text = "UPDATE entries SET moved = 1 WHERE feed = ?1 AND position > ?2";
    tx.prepare(text)?.execute((feed.row, before))?;
    Ok(())
}

/// Phones of the new unit get every form of the record's kind that phones of the old one have.
fn check_forms(tx: &Connection, kind: &str, from: &str, to: &str) -> Result<(), StoreError> {
    let (above_from, above_to) = (units::with_ancestors(tx, from)?, units::with_ancestors(tx, to)?);
    let mut statement = tx.prepare("SELECT DISTINCT unit FROM forms WHERE kind = ?1")?;
    let published = statement.query_map([kind], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    if published.iter().any(|unit| above_from.contains(unit) && !above_to.contains(unit)) {
        return Err(Problem::new("form_not_there").with("kind", kind).with("unit", to).into());
    }
    Ok(())
}

/// The record, and whether `user` may move it to `to`; the administrator at the server itself may.
fn movable(tx: &Connection, user: Option<&UserRow>, record: RecordId, to: &str) -> Result<OpenRecord, StoreError> {
    let unknown = || Problem::new("record_unknown").with("record", record);
    let open = records::load(tx, record)?.ok_or_else(unknown)?;
    let from = &open.feed.id;
    if let Some(user) = user {
        if !units::may_read(tx, user.id, &from.unit, from.area)? {
            return Err(unknown().into());
        }
        for unit in [from.unit.as_str(), to] {
            let decides = units::roles_at(tx, user.id, unit)?.iter().any(|role| role.supervises());
            if !decides || !units::may_read(tx, user.id, unit, from.area)? {
                return Err(Problem::new("not_supervisor").with("unit", unit).into());
            }
        }
    }
    check_forms(tx, &open.kind, &from.unit, to)?;
    Ok(open)
}

impl Store {
    /// Moves records to another unit, all or none of them, for `user` who decides in both units, or for the
    /// administrator at the server itself. A record that is there already stays as it is.
    ///
    /// # Errors
    /// `record_unknown`, `unit_unknown`, `not_supervisor`, `form_not_there`, `reasons_missing`, `request_malformed`; else
    /// what the database said.
    pub fn move_records(
        &self,
        user: Option<&UserRow>,
        ids: &[RecordId],
        to: &str,
        reason: &str,
    ) -> Result<(), StoreError> {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(Problem::new("reasons_missing").into());
        }
        if reason.chars().count() > REASON_CHARS_MAX || ids.len() > RECORDS_MAX {
            let detail = "the reason is too long, or too many records are named";
            return Err(Problem::new("request_malformed").with("detail", detail).into());
        }
        self.write(|tx| {
            units::wanted_unit(tx, to)?;
            for record in ids {
                let mut open = movable(tx, user, *record, to)?;
                if open.feed.id.unit != to {
                    // A restored server may have lost moves that phones have heard of.
                    let number = last_number(tx, *record)?.max(u64::from(open.feed.epoch) << EPOCH_BITS) + 1;
                    self.move_one(tx, &mut open, to, number)?;
                    let detail = format!("{to}: {reason}");
                    audit(tx, self.now_ms(), user.map(|user| user.id), "move", &record.to_string(), &detail)?;
                }
            }
            Ok(())
        })
    }

    /// Does again what a restored log lost, under its own number. False if the record is not here yet.
    pub(super) fn move_again(
        &self,
        tx: &Connection,
        record: RecordId,
        number: u64,
        to: &str,
    ) -> Result<bool, StoreError> {
        if purge::is_purged(tx, record)? || number <= last_number(tx, record)? {
            return Ok(true);
        }
        let Some(mut open) = records::load(tx, record)? else { return Ok(false) };
        if open.feed.id.unit != to {
            self.move_one(tx, &mut open, to, number)?;
        }
        Ok(true)
    }

    fn move_one(&self, tx: &Connection, open: &mut OpenRecord, to: &str, number: u64) -> Result<(), StoreError> {
        let (record, now_ms) = (open.id, self.now_ms());
        let mut left = open.feed.clone();
        let mut feed = feeds::feed_for(tx, to, left.id.area)?;
        nobody_knows(tx, &left)?;
        let entries = entries_of(tx, open)?;
        self.unseal(tx, record)?;
        purge::erase_entries(tx, record)?;
        let (from, to_feed): (FeedId, FeedId) = (left.id.clone(), feed.id.clone());
        let position = say(tx, &mut left, now_ms, record, &EntryBody::MovedOut { record, to: to_feed, number })?;
        say(tx, &mut feed, now_ms, record, &EntryBody::MovedIn { record, from, number })?;
        bring(tx, &mut feed, open, entries, number)?;
        tx.prepare(
            "INSERT INTO moves(record, number, from_feed, position, to_feed, moved_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((record.as_bytes(), number, left.row, position, feed.row, now_ms))?;
        let text = "UPDATE records SET unit = ?2, feed = ?3 WHERE id = ?1";
        tx.prepare(text)?.execute((record.as_bytes(), to, feed.row))?;
        listed::moved(tx, record, to)?;
        let mut actors: Vec<ActorId> = open.document.changes().into_iter().map(|change| change.actor).collect();
        actors.sort_unstable();
        actors.dedup();
        for actor in actors {
            self.tell_author(tx, to, actor)?;
        }
        open.feed = feed;
        self.persons_moved(tx, open)
    }

    /// Says who writes under an actor in the general feed of a unit that has not heard of them.
    pub(super) fn tell_author(&self, tx: &Connection, unit: &str, actor: ActorId) -> Result<(), StoreError> {
        let Some(author) = records::author(tx, actor)? else { return Ok(()) };
        let Some(user) = users::user(tx, author.user)? else { return Ok(()) };
        if units::with_ancestors(tx, unit)?.contains(&user.unit) {
            return Ok(());
        }
        let text = "INSERT INTO told(unit, actor) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        if tx.prepare(text)?.execute((unit, actor.as_bytes()))? == 0 {
            return Ok(());
        }
        let feed = feeds::feed_for(tx, unit, Area::General)?;
        let notice = Notice::Actor { actor, device: author.device, user: author.user, name: author.name };
        feeds::append_notice(tx, &feed, self.now_ms(), None, &notice)
    }
}

#[cfg(test)]
mod tests;
