//! The phone's search: words and codes of [`crate::search`] in FTS5.

use fieldbook_sqlite::rusqlite::params;

use super::{LIST_ROWS_MAX, ListRow, StoreError, View, Write, read};
use crate::search::{IndexText, fts5_query};

impl View<'_> {
    /// Records of any kind that hold every typed word, newest first; nothing for a text without letters or digits.
    /// At most the first [`SEARCH_CHARS_MAX`](crate::search::SEARCH_CHARS_MAX) characters and [`SEARCH_WORDS_MAX`](crate::search::SEARCH_WORDS_MAX) words count; `limit` is at most
    /// [`LIST_ROWS_MAX`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn search(&self, text: &str, limit: usize) -> Result<Vec<ListRow>, StoreError> {
        let failed = |error| self.failed("searching", error);
        let Some(query) = fts5_query(text) else { return Ok(Vec::new()) };
        let mut statement = self.connection.prepare_cached(read::FOUND).map_err(failed)?;
        let rows =
            statement.query_map(params![query, limit.min(LIST_ROWS_MAX) as i64], read::list_row).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

impl Write<'_> {
    pub(super) fn put_search(&self, n: i64, text: &IndexText) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO search(rowid, words, codes) VALUES(?1, ?2, ?3)")
            .and_then(|mut s| s.execute(params![n, text.words, text.codes]))
            .map_err(|error| self.failed("indexing a record for search", error))?;
        Ok(())
    }

    pub(super) fn drop_search(&self, n: i64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("DELETE FROM search WHERE rowid = ?1")
            .and_then(|mut s| s.execute([n]))
            .map_err(|error| self.failed("taking a record out of the search", error))?;
        Ok(())
    }
}
