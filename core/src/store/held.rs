//! Own changes that a township hub holds, and the server not yet.

use fieldbook_sqlite::rusqlite::params;

use super::outbox::stored;
use super::{StoreError, Write};
use crate::ids::RecordId;

impl Write<'_> {
    /// A hub has the bodies up to this statement and index. Returns how many changes that says something new of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mark_held(&self, through: (u64, u32)) -> Result<u64, StoreError> {
        self.set_held(
            "UPDATE outbox SET held = 1
             WHERE held = 0 AND state = 1 AND (statement, list_index) <= (?1, ?2) RETURNING record",
            (stored(through.0), i64::from(through.1)),
        )
    }

    /// A hub has the bodies up to this statement and index only.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mark_not_held(&self, beyond: Option<(u64, u32)>) -> Result<u64, StoreError> {
        let beyond = beyond.map_or((0, -1), |(number, index)| (stored(number), i64::from(index)));
        self.set_held(
            "UPDATE outbox SET held = 0
             WHERE held = 1 AND (statement IS NULL OR (statement, list_index) > (?1, ?2)) RETURNING record",
            beyond,
        )
    }

    fn set_held(&self, sql: &str, (number, index): (i64, i64)) -> Result<u64, StoreError> {
        let failed = |error| self.failed("noting what a hub holds", error);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map(params![number, index], |row| row.get::<_, [u8; 16]>(0)).map_err(failed)?;
        let records: Vec<[u8; 16]> = rows.collect::<Result<_, _>>().map_err(failed)?;
        let all = records.len() as u64;
        let records: std::collections::BTreeSet<[u8; 16]> = records.into_iter().collect();
        records.into_iter().try_for_each(|id| self.refresh_sync(&RecordId(id)))?;
        Ok(all)
    }
}
