//! Followed feeds: how far each was seen, its last signed head, and which change stands at which position.

use std::collections::BTreeSet;

use fieldbook_sqlite::rusqlite::{self, OptionalExtension, Row, ToSql, params};

use super::outbox::stored;
use super::record::{area_number, area_of_number};
use super::{StoreError, View, Write};
use crate::access::FeedId;
use crate::ids::{ChangeHash, RecordId};

/// As [`super::LeafOf`], with the salt of the record.
pub type SaltedLeafOf<'a> = &'a dyn Fn([u8; 8], Option<ChangeHash>, Option<&[u8]>) -> Option<Vec<u8>>;

/// A followed feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedCursor {
    /// The feed.
    pub feed: FeedId,
    /// Epoch in which `position` counts.
    pub epoch: u32,
    /// Entries seen.
    pub position: u64,
    /// Chain hash after the last one; zeroes at position 0.
    pub chain: [u8; 32],
    /// Position of the last signed head of this epoch; 0 = none.
    pub head_position: u64,
}

/// What is kept of an entry of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntryRow {
    /// Its position.
    pub position: u64,
    /// When the server received it, milliseconds since 1970 UTC.
    pub received_ms: i64,
    /// Chain hash after it.
    pub chain: [u8; 32],
    /// The record that it is about.
    pub record: Option<RecordId>,
    /// The change, if it is one.
    pub hash: Option<ChangeHash>,
    /// What it said otherwise, as the caller encoded it.
    pub body: Option<Vec<u8>>,
}

fn cursor(row: &Row<'_>) -> rusqlite::Result<FeedCursor> {
    Ok(FeedCursor {
        feed: FeedId { unit: row.get(0)?, area: area_of_number(row.get(1)?) },
        epoch: row.get(2)?,
        position: row.get::<_, i64>(3)?.unsigned_abs(),
        chain: row.get(4)?,
        head_position: row.get::<_, i64>(5)?.unsigned_abs(),
    })
}

impl View<'_> {
    /// The followed feeds, sorted by [`FeedId`].
    ///
    /// # Errors
    /// [`StoreError`], as for every method here.
    pub fn feeds(&self) -> Result<Vec<FeedCursor>, StoreError> {
        let failed = |error| self.failed("reading the feeds", error);
        let mut statement = self
            .connection
            .prepare_cached("SELECT unit, area, epoch, position, chain, head_position FROM feed ORDER BY unit, area")
            .map_err(failed)?;
        let rows = statement.query_map([], cursor).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// The last signed head of a feed as the caller encoded it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn head(&self, feed: &FeedId) -> Result<Option<Vec<u8>>, StoreError> {
        self.connection
            .prepare_cached("SELECT head FROM feed WHERE unit = ?1 AND area = ?2")
            .and_then(|mut s| s.query_row(params![feed.unit, area_number(feed.area)], |row| row.get(0)).optional())
            .map(Option::flatten)
            .map_err(|error| self.failed("reading a feed's head", error))
    }

    /// What is kept of the entry at a position of a feed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_entry(&self, feed: &FeedId, position: u64) -> Result<Option<FeedEntryRow>, StoreError> {
        let Some(n) = self.feed_number(feed)? else { return Ok(None) };
        self.connection
            .prepare_cached(
                "SELECT received_ms, chain, record, hash, body FROM feed_entry WHERE feed = ?1 AND position = ?2",
            )
            .and_then(|mut s| {
                s.query_row(params![n, stored(position)], |row| {
                    Ok(FeedEntryRow {
                        position,
                        received_ms: row.get(0)?,
                        chain: row.get(1)?,
                        record: row.get::<_, Option<[u8; 16]>>(2)?.map(RecordId),
                        hash: row.get::<_, Option<[u8; 32]>>(3)?.map(ChangeHash),
                        body: row.get(4)?,
                    })
                })
                .optional()
            })
            .map_err(|error| self.failed("reading a feed's entry", error))
    }

    /// Every change that a feed is known to hold: for mending after a salvage only.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_hashes(&self) -> Result<BTreeSet<ChangeHash>, StoreError> {
        let failed = |error| self.failed("reading the feeds", error);
        let mut statement =
            self.connection.prepare("SELECT hash FROM feed_entry WHERE hash IS NOT NULL").map_err(failed)?;
        let rows = statement.query_map([], |row| Ok(ChangeHash(row.get(0)?))).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// Changes that feeds had and a restored server lost.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn lost_hashes(&self) -> Result<BTreeSet<ChangeHash>, StoreError> {
        let failed = |error| self.failed("reading what was lost", error);
        let mut statement = self.connection.prepare("SELECT hash FROM lost").map_err(failed)?;
        let rows = statement.query_map([], |row| Ok(ChangeHash(row.get(0)?))).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    fn feed_number(&self, feed: &FeedId) -> Result<Option<i64>, StoreError> {
        self.connection
            .prepare_cached("SELECT n FROM feed WHERE unit = ?1 AND area = ?2")
            .and_then(|mut s| s.query_row(params![feed.unit, area_number(feed.area)], |row| row.get(0)).optional())
            .map_err(|error| self.failed("reading the feeds", error))
    }
}

impl Write<'_> {
    fn feed_sql(&self, sql: &str, values: &[&dyn ToSql]) -> Result<usize, StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut s| s.execute(values))
            .map_err(|error| self.failed("writing the feeds", error))
    }

    /// Replaces the list of followed feeds. New feeds start at position 0 with a zero chain. Epochs follow each other in
    /// one chain, so that a feed keeps its place in a new one; but a head signed in an earlier one proves nothing of what
    /// the server has now. Records of feeds that are gone leave by [`Write::remove_unfollowed`].
    ///
    /// # Errors
    /// [`StoreError`], as for every method here.
    pub fn set_feeds(&self, feeds: &[(FeedId, u32)]) -> Result<(), StoreError> {
        let known = self.view().feeds()?;
        for gone in known.iter().filter(|known| !feeds.iter().any(|(feed, _)| *feed == known.feed)) {
            let (unit, area) = (&gone.feed.unit, area_number(gone.feed.area));
            self.feed_sql(
                "DELETE FROM feed_entry WHERE feed = (SELECT n FROM feed WHERE unit = ?1 AND area = ?2)",
                &[unit, &area],
            )?;
            self.feed_sql("DELETE FROM feed WHERE unit = ?1 AND area = ?2", &[unit, &area])?;
        }
        for (feed, epoch) in feeds {
            self.feed_sql(
                "INSERT INTO feed(unit, area, epoch, position, chain, head_position) VALUES(?1, ?2, ?3, 0, zeroblob(32), 0)
                 ON CONFLICT(unit, area) DO UPDATE SET epoch = ?3, head_position = 0 WHERE epoch <> ?3",
                &[&feed.unit, &area_number(feed.area), epoch],
            )?;
        }
        Ok(())
    }

    /// Removes the records whose feed is not followed and of which nothing waits: no change that the server does not
    /// have, no verdict that is not settled. Returns how many were removed, and how many wait: call this again later.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove_unfollowed(&self, leaf_of: SaltedLeafOf<'_>) -> Result<(usize, usize), StoreError> {
        let failed = |error| self.failed("removing records of other feeds", error);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT id, EXISTS(SELECT 1 FROM outbox o WHERE o.record = r.id AND o.state < 2)
                         OR EXISTS(SELECT 1 FROM verdict v WHERE v.record = r.id AND v.settled = 0),
                        iif(r.moves > 0, r.salt, NULL)
                 FROM record r WHERE NOT EXISTS(SELECT 1 FROM feed f WHERE f.unit = r.unit AND f.area = r.area)",
            )
            .map_err(failed)?;
        type Left = (RecordId, bool, Option<[u8; 8]>);
        let rows = statement.query_map([], |row| Ok((RecordId(row.get(0)?), row.get(1)?, row.get(2)?)));
        let records: Vec<Left> = rows.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
        let (waiting, gone): (Vec<_>, Vec<_>) = records.into_iter().partition(|(_, waits, _)| *waits);
        let counts = (gone.len(), waiting.len());
        for (id, _, salt) in gone {
            // The feed that a record moved out of is still followed, and its entries must still prove what they did.
            if let Some(salt) = salt {
                self.leave_leaves(&id, &|hash, body| leaf_of(salt, hash, body)).map_err(failed)?;
            }
            self.remove_record(&id)?;
        }
        Ok(counts)
    }

    /// Moves a feed's cursor.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_cursor(&self, feed: &FeedId, position: u64, chain: &[u8; 32]) -> Result<(), StoreError> {
        self.feed_sql(
            "UPDATE feed SET position = ?3, chain = ?4 WHERE unit = ?1 AND area = ?2",
            &[&feed.unit, &area_number(feed.area), &stored(position), chain],
        )?;
        Ok(())
    }

    /// Stores a feed's last signed head; own changes at or below it leave the outbox, and what had been lost up to there
    /// is on the server again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_head(&self, feed: &FeedId, position: u64, head: &[u8]) -> Result<(), StoreError> {
        self.feed_sql(
            "UPDATE feed SET head_position = ?3, head = ?4 WHERE unit = ?1 AND area = ?2",
            &[&feed.unit, &area_number(feed.area), &stored(position), &head],
        )?;
        self.found_again(feed, position)?;
        self.drop_signed(feed, position)
    }

    fn found_again(&self, feed: &FeedId, position: u64) -> Result<(), StoreError> {
        let values: [&dyn ToSql; 3] = [&feed.unit, &area_number(feed.area), &stored(position)];
        let found = "SELECT hash FROM feed_entry WHERE feed = (SELECT n FROM feed WHERE unit = ?1 AND area = ?2)
                     AND position <= ?3 AND EXISTS(SELECT 1 FROM lost) AND hash IS NOT NULL";
        let records =
            self.records_where(&format!("SELECT DISTINCT record FROM lost WHERE hash IN ({found})"), &values)?;
        self.feed_sql(&format!("DELETE FROM lost WHERE hash IN ({found})"), &values)?;
        records.iter().try_for_each(|record| self.refresh_sync(record))
    }

    /// Keeps an entry of a feed, in place of another at its position. A change that was lost is there again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_feed_entry(&self, feed: &FeedId, row: &FeedEntryRow) -> Result<(), StoreError> {
        let record = row.record.as_ref().map(RecordId::as_bytes);
        let hash = row.hash.as_ref().map(ChangeHash::as_bytes);
        self.feed_sql(
            "INSERT OR REPLACE INTO feed_entry(feed, position, received_ms, chain, record, hash, body)
             SELECT n, ?3, ?4, ?5, ?6, ?7, ?8 FROM feed WHERE unit = ?1 AND area = ?2",
            &[
                &feed.unit,
                &area_number(feed.area),
                &stored(row.position),
                &row.received_ms,
                &row.chain,
                &record,
                &hash,
                &row.body,
            ],
        )?;
        match (&row.record, self.feed_sql("DELETE FROM lost WHERE hash = ?1", &[&hash])?) {
            (Some(record), 1..) => self.refresh_sync(record),
            _ => Ok(()),
        }
    }

    /// The server's log of a feed ends at `above`: changes behind it are "sent" until they come down again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mark_lost(&self, feed: &FeedId, above: u64) -> Result<(), StoreError> {
        let values: [&dyn ToSql; 3] = [&feed.unit, &area_number(feed.area), &stored(above)];
        let behind = "FROM feed_entry WHERE feed = (SELECT n FROM feed WHERE unit = ?1 AND area = ?2)
                      AND position > ?3 AND hash IS NOT NULL";
        self.feed_sql(&format!("INSERT OR IGNORE INTO lost(hash, record) SELECT hash, record {behind}"), &values)?;
        self.refresh_sync_where(&format!("SELECT DISTINCT record {behind}"), &values)
    }

    /// Sets a feed's cursor back: what is kept of later entries goes, with reviews among them and a later signed head,
    /// and own changes behind it wait to be sent again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rewind(&self, feed: &FeedId, position: u64, chain: &[u8; 32]) -> Result<(), StoreError> {
        let values: [&dyn ToSql; 3] = [&feed.unit, &area_number(feed.area), &stored(position)];
        let waiting = "SELECT DISTINCT record FROM outbox WHERE unit = ?1 AND area = ?2 AND state < 2 AND ?3 >= 0";
        for sql in [
            "DELETE FROM feed_entry WHERE feed = (SELECT n FROM feed WHERE unit = ?1 AND area = ?2) AND position > ?3",
            "DELETE FROM review WHERE unit = ?1 AND area = ?2 AND position > ?3",
            "UPDATE feed SET head = NULL, head_position = 0 WHERE unit = ?1 AND area = ?2 AND head_position > ?3",
            "UPDATE outbox SET state = statement IS NOT NULL, position = NULL WHERE unit = ?1 AND area = ?2 AND state = 3 AND position > ?3",
        ] {
            self.feed_sql(sql, &values)?;
        }
        self.put_cursor(feed, position, chain)?;
        self.refresh_sync_where(waiting, &values)
    }

    /// The record belongs to `to` from now on, by its move `number`. If the phone does not follow that feed, it leaves by
    /// [`Write::remove_unfollowed`]. Unsent changes stay what they were made for: the server judges them by that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn move_record(&self, record: &RecordId, to: &FeedId, number: u64) -> Result<(), StoreError> {
        self.feed_sql(
            "UPDATE record SET unit = ?2, area = ?3, moves = ?4 WHERE id = ?1",
            &[&record.as_bytes(), &to.unit, &area_number(to.area), &stored(number)],
        )?;
        Ok(())
    }
}
