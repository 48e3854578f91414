//! Accepted changes that this app cannot apply yet: kept raw.

use fieldbook_sqlite::rusqlite;
use fieldbook_sqlite::rusqlite::{Row, params};

use super::outbox::stored;
use super::record::{area_number, area_of_number};
use super::{StoreError, View, Write};
use crate::access::FeedId;
use crate::document::PendingEntry;
use crate::ids::RecordId;

fn pending_row(row: &Row<'_>) -> rusqlite::Result<PendingEntry> {
    Ok(PendingEntry {
        feed: FeedId { unit: row.get(0)?, area: area_of_number(row.get(1)?) },
        epoch: row.get(2)?,
        position: row.get::<_, i64>(3)?.unsigned_abs(),
        record: RecordId(row.get(4)?),
        reason: row.get(5)?,
        bytes: row.get(6)?,
    })
}

impl View<'_> {
    /// The pending entries of a record, in the order in which they were kept.
    ///
    /// # Errors
    /// [`StoreError`], as for every method here.
    pub fn pending_of(&self, record: &RecordId) -> Result<Vec<PendingEntry>, StoreError> {
        let failed = |error| self.failed("reading pending entries", error);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT unit, area, epoch, position, record, reason, bytes FROM pending WHERE record = ?1 ORDER BY n",
            )
            .map_err(failed)?;
        let rows = statement.query_map([record.as_bytes()], pending_row).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// Does the record have pending entries?
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has_pending(&self, record: &RecordId) -> Result<bool, StoreError> {
        self.connection
            .prepare_cached("SELECT 1 FROM pending WHERE record = ?1")
            .and_then(|mut s| s.exists([record.as_bytes()]))
            .map_err(|error| self.failed("reading pending entries", error))
    }

    /// Records of a kind that have pending entries, by id, beginning behind `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pending_records(
        &self,
        kind: &str,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Vec<RecordId>, StoreError> {
        let failed = |error| self.failed("reading pending entries", error);
        let after = after.map(RecordId::as_bytes).unwrap_or_default();
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT DISTINCT p.record FROM pending p JOIN record r ON r.id = p.record
                 WHERE r.kind = ?1 AND p.record > ?2 ORDER BY p.record LIMIT ?3",
            )
            .map_err(failed)?;
        let rows = statement
            .query_map(params![kind, after, stored(limit as u64)], |row| Ok(RecordId(row.get(0)?)))
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

impl Write<'_> {
    /// Keeps an entry that cannot be applied.
    ///
    /// # Errors
    /// [`StoreError`], as for every method here.
    pub fn put_pending(&self, entry: &PendingEntry) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO pending(unit, area, epoch, position, record, reason, bytes)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )
            .and_then(|mut s| {
                s.execute(params![
                    entry.feed.unit,
                    area_number(entry.feed.area),
                    entry.epoch,
                    stored(entry.position),
                    entry.record.as_bytes(),
                    entry.reason,
                    entry.bytes
                ])
            })
            .map_err(|error| self.failed("keeping an entry", error))?;
        Ok(())
    }

    /// Drops a pending entry that was applied.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn drop_pending(&self, feed: &FeedId, epoch: u32, position: u64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("DELETE FROM pending WHERE unit = ?1 AND area = ?2 AND epoch = ?3 AND position = ?4")
            .and_then(|mut s| s.execute(params![feed.unit, area_number(feed.area), epoch, stored(position)]))
            .map_err(|error| self.failed("dropping a kept entry", error))?;
        Ok(())
    }
}
