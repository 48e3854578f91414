//! Feeds: the log of one unit and area, chained entry by entry.

use crate::sql;
use crate::sql::{Connection, OptionalExtension, Row};
use fieldbook_core::access::{Area, FeedId};
use fieldbook_core::ids::{ChangeHash, DeviceId, RecordId};
use fieldbook_core::protocol::{EntryBody, Notice};
use fieldbook_core::sync::{chain, to_cbor};

use super::held::{Held, hold};
use super::{StoreError, meta};

/// Epoch of a fresh log.
const FIRST_EPOCH: u32 = 1;

/// A feed and its head.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    pub(crate) row: i64,
    pub(crate) id: FeedId,
    pub(crate) epoch: u32,
    pub(crate) position: u64,
    pub(crate) chain: [u8; 32],
}

impl Feed {
    /// A feed that nothing was written to.
    pub(crate) fn unwritten(id: &FeedId) -> Self {
        Self { row: 0, id: id.clone(), epoch: 0, position: 0, chain: chain::START }
    }
}

/// An entry to be appended.
pub(crate) struct NewEntry<'a> {
    pub(crate) received_ms: i64,
    pub(crate) record: Option<RecordId>,
    pub(crate) hash: Option<ChangeHash>,
    /// Device, statement number and position in the statement's list; `None` for the server's own.
    pub(crate) stated: Option<(DeviceId, u64, u32)>,
    /// Leaf of the chain: of a change under its record's salt, else of the body.
    pub(crate) leaf: [u8; 32],
    pub(crate) body: &'a EntryBody,
}

/// The epoch in which this server's log is.
pub(crate) fn epoch(tx: &Connection) -> Result<u32, StoreError> {
    match meta(tx, "epoch")? {
        Some(bytes) => String::from_utf8_lossy(&bytes).parse().map_err(|error| StoreError::corrupt("epoch", error)),
        None => Ok(FIRST_EPOCH),
    }
}

fn feed_of(row: &Row<'_>) -> sql::Result<(Feed, String)> {
    let id = FeedId { unit: row.get(1)?, area: Area::General };
    let feed = Feed { row: row.get(0)?, id, epoch: row.get(3)?, position: row.get(4)?, chain: row.get(5)? };
    Ok((feed, row.get(2)?))
}

fn finish((mut feed, area): (Feed, String)) -> Result<Feed, StoreError> {
    feed.id.area = Area::from_word(&area).ok_or_else(|| StoreError::corrupt("area", area))?;
    Ok(feed)
}

/// The feed, if anything was ever written to it.
pub(crate) fn feed(tx: &Connection, id: &FeedId) -> Result<Option<Feed>, StoreError> {
    let sql = "SELECT id, unit, area, epoch, position, chain FROM feeds WHERE unit = ?1 AND area = ?2";
    let mut statement = tx.prepare(sql)?;
    statement.query_row((&id.unit, id.area.word()), feed_of).optional()?.map(finish).transpose()
}

/// The feed with this row id.
pub(crate) fn feed_by_row(tx: &Connection, row: i64) -> Result<Feed, StoreError> {
    let mut statement = tx.prepare("SELECT id, unit, area, epoch, position, chain FROM feeds WHERE id = ?1")?;
    finish(statement.query_row([row], feed_of)?)
}

/// Every feed that was ever written to, sorted.
pub(crate) fn all(tx: &Connection) -> Result<Vec<Feed>, StoreError> {
    let mut statement = tx.prepare("SELECT id, unit, area, epoch, position, chain FROM feeds")?;
    let rows = statement.query_map((), feed_of)?;
    let mut feeds = rows.map(|row| finish(row?)).collect::<Result<Vec<_>, StoreError>>()?;
    feeds.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(feeds)
}

/// The feed to append to, made when it is not there yet: no other transaction appends until this one ends.
pub(crate) fn feed_for(tx: &Connection, unit: &str, area: Area) -> Result<Feed, StoreError> {
    let id = FeedId { unit: unit.to_owned(), area };
    hold(tx, [Held::Feed(&id)])?;
    if let Some(found) = feed(tx, &id)? {
        return Ok(found);
    }
    let epoch = epoch(tx)?;
    let text = "INSERT INTO feeds(unit, area, epoch, position, chain) VALUES (?1, ?2, ?3, 0, ?4) RETURNING id";
    let row = tx.query_row(text, (unit, area.word(), epoch, chain::START), |row| row.get(0))?;
    Ok(Feed { row, id, epoch, position: 0, chain: chain::START })
}

/// Appends an entry; `feed` then holds the new head. Returns the entry's position.
pub(crate) fn append(tx: &Connection, feed: &mut Feed, new: &NewEntry<'_>) -> Result<u64, StoreError> {
    let position = feed.position + 1;
    let link = chain::next(&feed.chain, position, new.received_ms, &new.leaf);
    tx.prepare(
        "INSERT INTO entries(feed, position, received_ms, record, hash, device, statement, item, chain, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute((
        feed.row,
        position,
        new.received_ms,
        new.record.as_ref().map(RecordId::as_bytes),
        new.hash.as_ref().map(ChangeHash::as_bytes),
        new.stated.as_ref().map(|(device, ..)| device.as_bytes()),
        new.stated.map(|(_, number, _)| number),
        new.stated.map(|(.., item)| item),
        link,
        to_cbor(new.body),
    ))?;
    tx.prepare("UPDATE feeds SET position = ?2, chain = ?3 WHERE id = ?1")?.execute((feed.row, position, link))?;
    (feed.position, feed.chain) = (position, link);
    Ok(position)
}

/// Appends what the server says, about `record` if it is about one.
pub(crate) fn append_notice(
    tx: &Connection,
    feed: &Feed,
    received_ms: i64,
    record: Option<RecordId>,
    notice: &Notice,
) -> Result<(), StoreError> {
    let body = EntryBody::Notice(notice.clone());
    let leaf = chain::body_leaf(&body).ok_or_else(|| StoreError::corrupt("notice", "no leaf"))?;
    let new = NewEntry { received_ms, record, hash: None, stated: None, leaf, body: &body };
    append(tx, &mut feed.clone(), &new)?;
    Ok(())
}
