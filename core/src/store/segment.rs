//! What has arrived of a segment that is being fetched, as it came: encrypted, its key is not here.

use fieldbook_sqlite::rusqlite::params;

use super::{StoreError, View, Write};

impl View<'_> {
    /// The names under which bytes are kept.
    ///
    /// # Errors
    /// [`StoreError`], as for every method here.
    pub fn kept_segments(&self) -> Result<Vec<[u8; 32]>, StoreError> {
        let failed = |error| self.failed("reading what was fetched", error);
        let mut listed = self.connection.prepare_cached("SELECT DISTINCT name FROM segment").map_err(failed)?;
        listed.query_map([], |row| row.get(0)).and_then(Iterator::collect).map_err(failed)
    }

    /// The bytes that are kept under a name, from the first on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn segment_bytes(&self, name: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
        let failed = |error| self.failed("reading what was fetched", error);
        let mut statement = self
            .connection
            .prepare_cached("SELECT at, bytes FROM segment WHERE name = ?1 ORDER BY at")
            .map_err(failed)?;
        let mut rows = statement.query([name]).map_err(failed)?;
        let mut kept: Vec<u8> = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            // Behind a gap, which a salvaged file may have, nothing counts.
            if row.get::<_, i64>(0).map_err(failed)?.unsigned_abs() != kept.len() as u64 {
                break;
            }
            kept.extend(row.get::<_, Vec<u8>>(1).map_err(failed)?);
        }
        Ok(kept)
    }
}

impl Write<'_> {
    /// Keeps bytes behind those that are kept under a name, which end at byte `at`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add_segment_bytes(&self, name: &[u8; 32], at: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO segment(name, at, bytes) VALUES (?1, ?2, ?3)")
            .and_then(|mut statement| statement.execute(params![name, at as i64, bytes]))
            .map_err(|error| self.failed("keeping what was fetched", error))?;
        Ok(())
    }

    /// Forgets the bytes under all names but these.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_segments(&self, but: &[[u8; 32]]) -> Result<(), StoreError> {
        let failed = |error| self.failed("forgetting what was fetched", error);
        let names = self.view().kept_segments()?;
        for name in names.iter().filter(|name| !but.contains(name)) {
            self.connection
                .prepare_cached("DELETE FROM segment WHERE name = ?1")
                .and_then(|mut statement| statement.execute([name]))
                .map_err(failed)?;
        }
        Ok(())
    }
}
