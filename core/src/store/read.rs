//! Lists, single records and counts, as screens read them.

use fieldbook_sqlite::rusqlite::{self, Row, ToSql};

use super::record::{SyncState, area_of_number, state_number, state_of_number};
use super::{LIST_ROWS_MAX, SPACE_WARN_BYTES, StoreError, View};
use crate::access::FeedId;
use crate::document::RecordState;
use crate::ids::{ChangeHash, RecordId};

/// Which records of a kind a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only this state.
    pub state: Option<RecordState>,
    /// Only those that have got this far.
    pub sync: Option<SyncState>,
    /// Only those with conflicts.
    pub in_conflict: bool,
    /// Only those with problems.
    pub with_problems: bool,
}

/// A record in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRow {
    /// The record.
    pub id: RecordId,
    /// Its kind.
    pub kind: String,
    /// Code of its unit.
    pub unit: String,
    /// What to call it.
    pub title: String,
    /// JSON object of the columns that the form marks with `fb:list`, by path.
    pub list: String,
    /// Where it stands.
    pub state: RecordState,
    /// How far it has got.
    pub sync: SyncState,
    /// Fields in conflict.
    pub conflicts: u32,
    /// What its form finds wrong.
    pub problems: u32,
    /// Time of its latest change as its author claims, milliseconds since 1970 UTC.
    pub changed_ms: i64,
    /// Its place: give the last row's to get the next page.
    pub place: i64,
}

/// A record with everything that screens read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRow {
    /// As in lists.
    pub row: ListRow,
    /// Form version that it was created under.
    pub created_version: String,
    /// Its feed.
    pub feed: FeedId,
    /// Text of its submission, if it was handed in.
    pub submission: Option<String>,
    /// Heads of its document, sorted.
    pub heads: Vec<ChangeHash>,
    /// JSON of its answers, as exported.
    pub answers: String,
    /// JSON array of its conflicts, as exported.
    pub conflicts: String,
    /// JSON of its problems, and of the language in which they are told.
    pub problems: String,
}

/// How many records of a kind there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindCount {
    /// The kind.
    pub kind: String,
    /// Records.
    pub records: u64,
    /// Of these, in conflict.
    pub in_conflict: u64,
    /// Of these, not yet on the server.
    pub unsynced: u64,
}

/// How the phone stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Records of which at least one change is only here.
    pub saved_here: u64,
    /// Records of which all was sent, unsigned yet.
    pub sent: u64,
    /// Records of which a hub holds all.
    pub at_township: u64,
    /// Records of which the server holds all.
    pub on_server: u64,
    /// Records of which the server did not take something, also those that have left this phone.
    pub not_taken: u64,
    /// Records in conflict.
    pub in_conflict: u64,
    /// Own changes that the server has not signed for yet.
    pub outbox_changes: u64,
    /// Forms that are open.
    pub drafts: u64,
    /// Entries that wait for a newer app, a form or an earlier change.
    pub pending: u64,
    /// Free bytes where the store is, if the system says.
    pub free_bytes: Option<u64>,
    /// There is little space left: free some.
    pub space_low: bool,
}

/// Columns of a [`ListRow`].
macro_rules! list_columns {
    () => {
        "r.id, r.kind, r.unit, r.title, r.list, r.state, r.sync, r.conflicts, r.problems, r.changed_ms, r.seq"
    };
}

/// One record by id, with [`record_row`].
pub(super) const RECORD: &str = concat!(
    "SELECT ",
    list_columns!(),
    ", r.created_version, r.area, r.submission, r.heads, d.answers, d.conflicts, d.problems
     FROM record r JOIN reading d ON d.record = r.n WHERE r.id = ?1 AND r.seq > 0"
);

/// Records that a search found, with [`list_row`].
pub(super) const FOUND: &str = concat!(
    "SELECT ",
    list_columns!(),
    " FROM search JOIN record r ON r.n = search.rowid WHERE search MATCH ?1 AND r.seq > 0
     ORDER BY search.rowid DESC LIMIT ?2"
);

pub(super) fn list_row(row: &Row<'_>) -> rusqlite::Result<ListRow> {
    Ok(ListRow {
        id: RecordId(row.get(0)?),
        kind: row.get(1)?,
        unit: row.get(2)?,
        title: row.get(3)?,
        list: row.get(4)?,
        state: state_of_number(row.get(5)?),
        sync: SyncState::from_number(row.get(6)?),
        conflicts: row.get(7)?,
        problems: row.get(8)?,
        changed_ms: row.get(9)?,
        place: row.get(10)?,
    })
}

/// Heads as a row stores them.
pub(super) fn heads(bytes: &[u8]) -> Vec<ChangeHash> {
    bytes.as_chunks::<32>().0.iter().map(|hash| ChangeHash(*hash)).collect()
}

pub(super) fn record_row(row: &Row<'_>) -> rusqlite::Result<RecordRow> {
    let bytes: Vec<u8> = row.get(14)?;
    let list = list_row(row)?;
    Ok(RecordRow {
        feed: FeedId { unit: list.unit.clone(), area: area_of_number(row.get(12)?) },
        row: list,
        created_version: row.get(11)?,
        submission: row.get(13)?,
        heads: self::heads(&bytes),
        answers: row.get(15)?,
        conflicts: row.get(16)?,
        problems: row.get(17)?,
    })
}

impl View<'_> {
    /// Records of a kind, the latest change first. `after` is the [`ListRow::place`] of the last row of the page
    /// before; `limit` is at most [`LIST_ROWS_MAX`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn list(
        &self,
        kind: &str,
        filter: &ListFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<ListRow>, StoreError> {
        let failed = |error| self.failed("listing records", error);
        let after = after.unwrap_or(i64::MAX);
        let limit = limit.min(LIST_ROWS_MAX) as i64;
        let mut sql = String::from(concat!(
            "SELECT ",
            list_columns!(),
            " FROM record r WHERE r.kind = ?1 AND r.seq > 0 AND r.seq < ?2"
        ));
        let mut values: Vec<&dyn ToSql> = vec![&kind, &after, &limit];
        let (state, sync) = (filter.state.map(state_number), filter.sync.map(SyncState::number));
        if let Some(state) = &state {
            values.push(state);
            sql.push_str(&format!(" AND r.state = ?{}", values.len()));
        }
        if let Some(sync) = &sync {
            values.push(sync);
            sql.push_str(&format!(" AND r.sync = ?{}", values.len()));
        }
        if filter.in_conflict {
            sql.push_str(" AND r.conflicts > 0");
        }
        if filter.with_problems {
            sql.push_str(" AND r.problems > 0");
        }
        sql.push_str(" ORDER BY r.seq DESC LIMIT ?3");
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed)?;
        let rows = statement.query_map(values.as_slice(), list_row).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// Records with a document, of any kind, by a number that never changes, beginning behind `after` (0 at first):
    /// for work through all of them, a page at a time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stored_after(&self, after: i64, limit: usize) -> Result<Vec<(i64, RecordId)>, StoreError> {
        let failed = |error| self.failed("walking through the records", error);
        let mut statement = self
            .connection
            .prepare_cached("SELECT record, id FROM body WHERE record > ?1 ORDER BY record LIMIT ?2")
            .map_err(failed)?;
        let rows = statement
            .query_map([after, limit.min(LIST_ROWS_MAX) as i64], |row| Ok((row.get(0)?, RecordId(row.get(1)?))))
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// How many records of each kind there are, by kind.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn counts(&self) -> Result<Vec<KindCount>, StoreError> {
        let failed = |error| self.failed("counting records", error);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT kind, count(*), sum(conflicts > 0), sum(sync <> 3) FROM record INDEXED BY record_by_kind
                 WHERE seq > 0 GROUP BY kind ORDER BY kind",
            )
            .map_err(failed)?;
        let rows = statement
            .query_map([], |row| {
                Ok(KindCount {
                    kind: row.get(0)?,
                    records: row.get::<_, i64>(1)?.unsigned_abs(),
                    in_conflict: row.get::<_, i64>(2)?.unsigned_abs(),
                    unsynced: row.get::<_, i64>(3)?.unsigned_abs(),
                })
            })
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// How the phone stands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn status(&self) -> Result<Status, StoreError> {
        let failed = |error| self.failed("counting records", error);
        // One pass over the index alone; grouping would sort it first.
        let [saved_here, sent, at_township, on_server, not_taken, in_conflict] = self
            .connection
            .prepare_cached(
                "SELECT total(sync = 0), total(sync = 1), total(sync = 2), total(sync = 3), total(sync = 4),
                 total(conflicts > 0) FROM record INDEXED BY record_by_kind WHERE seq > 0",
            )
            .and_then(|mut s| {
                s.query_row([], |row| {
                    let mut counts = [0; 6];
                    for (at, count) in counts.iter_mut().enumerate() {
                        *count = row.get::<_, f64>(at)? as u64;
                    }
                    Ok(counts)
                })
            })
            .map_err(failed)?;
        let mut status =
            Status { saved_here, sent, at_township, on_server, not_taken, in_conflict, ..Status::default() };
        let count = |sql: &str| -> Result<u64, StoreError> {
            let count: i64 = self
                .connection
                .prepare_cached(sql)
                .and_then(|mut s| s.query_row([], |row| row.get(0)))
                .map_err(failed)?;
            Ok(count.unsigned_abs())
        };
        // Of a record that has left the phone, what was not taken is all that there is.
        status.not_taken +=
            count("SELECT count(DISTINCT record) FROM not_taken WHERE record NOT IN (SELECT id FROM record)")?;
        status.outbox_changes = count("SELECT count(*) FROM outbox WHERE state < 4")?;
        status.drafts = count("SELECT count(*) FROM draft")?;
        status.pending = count("SELECT count(*) FROM pending")?;
        status.free_bytes = self.store.free_bytes();
        status.space_low = is_space_low(status.free_bytes);
        Ok(status)
    }
}

/// Whether the user is told to free some space; where the system does not say how much there is, nothing is claimed.
pub(super) fn is_space_low(free_bytes: Option<u64>) -> bool {
    free_bytes.is_some_and(|free| free < SPACE_WARN_BYTES)
}
