//! Own changes until a signed head covers them, the statements that sign them, and what the server said of them.

use std::collections::BTreeSet;

use fieldbook_sqlite::rusqlite::{self, OptionalExtension, Row, ToSql, params};

use super::record::{area_number, area_of_number};
use super::{StoreError, View, Write};
use crate::access::FeedId;
use crate::document::ChangeState;
use crate::ids::{ActorId, ChangeHash, RecordId};

impl ChangeState {
    fn columns(self) -> (i64, Option<i64>) {
        match self {
            Self::Unstated => (0, None),
            Self::Stated => (1, None),
            Self::Sent => (2, None),
            Self::Entered(position) => (3, Some(i64::try_from(position).unwrap_or(i64::MAX))),
            Self::NotTaken => (4, None),
            Self::Withdrawn => (5, None),
        }
    }

    fn from_columns(state: i64, position: Option<i64>) -> Self {
        match state {
            0 => Self::Unstated,
            1 => Self::Stated,
            2 => Self::Sent,
            3 => Self::Entered(position.unwrap_or(0).unsigned_abs()),
            4 => Self::NotTaken,
            _ => Self::Withdrawn,
        }
    }
}

/// An own change, with all that is needed to send it or to build its record anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The change.
    pub hash: ChangeHash,
    /// The record.
    pub record: RecordId,
    /// Kind of the record.
    pub kind: String,
    /// Form version that the record was created under.
    pub created_version: String,
    /// Form version that the save was made under.
    pub form_version: String,
    /// Feed of the record when it was made; once it has entered a feed, that one.
    pub feed: FeedId,
    /// The actor that it carries.
    pub actor: ActorId,
    /// Where it stands.
    pub state: ChangeState,
    /// Statement number and position in its list, once stated.
    pub statement: Option<(u64, u32)>,
    /// Raw change.
    pub bytes: Vec<u8>,
}

/// A signed statement as it was stored before it was first sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRow {
    /// 1, 2, 3 … per device.
    pub number: u64,
    /// SHA-256 of `bytes`.
    pub hash: [u8; 32],
    /// The signed bytes; empty where only number and hash were taken over from the server.
    pub bytes: Vec<u8>,
    /// The device's signature.
    pub signature: Vec<u8>,
}

/// What the server said of a change that it did not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictRow {
    /// The change.
    pub change: ChangeHash,
    /// The record.
    pub record: RecordId,
    /// The verdict as the caller encoded it.
    pub bytes: Vec<u8>,
}

/// Something that the server did not take, put before the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTakenRow {
    /// Its place: give the last row's to get the next page.
    pub place: i64,
    /// The record, which may have left this phone.
    pub record: RecordId,
    /// The change that it was part of.
    pub change: ChangeHash,
    /// What it is, as the caller encoded it.
    pub bytes: Vec<u8>,
}

/// Columns of an [`OutboxRow`].
macro_rules! outbox {
    ($condition:literal) => {
        concat!(
            "SELECT hash, record, kind, created_version, form_version, unit, area, actor, state, position, statement,
             list_index, bytes FROM outbox ",
            $condition
        )
    };
}

// The indexes are named: left to itself SQLite takes the one by state, and goes through all that waits for every page.
pub(super) const UNACKNOWLEDGED: &str = outbox!(
    "INDEXED BY outbox_by_statement
     WHERE statement IS NOT NULL AND (statement, list_index) > (?1, ?2) AND state IN (1, 2)
     ORDER BY statement, list_index LIMIT ?3"
);
pub(super) const MARK_SENT: &str = "UPDATE outbox INDEXED BY outbox_stated SET state = 2, held = 0
  WHERE state = 1 AND held IN (0, 1) AND (statement, list_index) <= (?1, ?2) RETURNING record";
pub(super) const MARK_UNSENT: &str = "UPDATE outbox INDEXED BY outbox_sent SET state = 1
  WHERE state = 2 AND (statement, list_index) > (?1, ?2) RETURNING record";

fn outbox_row(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    let statement: Option<i64> = row.get(10)?;
    let index: Option<u32> = row.get(11)?;
    Ok(OutboxRow {
        hash: ChangeHash(row.get(0)?),
        record: RecordId(row.get(1)?),
        kind: row.get(2)?,
        created_version: row.get(3)?,
        form_version: row.get(4)?,
        feed: FeedId { unit: row.get(5)?, area: area_of_number(row.get(6)?) },
        actor: ActorId(row.get(7)?),
        state: ChangeState::from_columns(row.get(8)?, row.get(9)?),
        statement: statement.map(i64::unsigned_abs).zip(index),
        bytes: row.get(12)?,
    })
}

fn statement_row(row: &Row<'_>) -> rusqlite::Result<StatementRow> {
    Ok(StatementRow {
        number: row.get::<_, i64>(0)?.unsigned_abs(),
        hash: row.get(1)?,
        bytes: row.get(2)?,
        signature: row.get(3)?,
    })
}

/// As SQLite stores numbers: a number from outside beyond its range is as good as its largest.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl View<'_> {
    fn outbox_rows(&self, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<OutboxRow>, StoreError> {
        let failed = |error| self.failed("reading the outbox", error);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map(values, outbox_row).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// Changes that no statement lists yet, in the order in which they were saved.
    ///
    /// # Errors
    /// [`StoreError`], as for every method here.
    pub fn unstated(&self, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        self.outbox_rows(outbox!("WHERE state = 0 ORDER BY n LIMIT ?1"), &[&stored(limit as u64)])
    }

    /// Changes that are stated or sent, by (statement, index), beginning behind `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unacknowledged(&self, after: Option<(u64, u32)>, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        let (number, index) = after.map_or((0, -1), |(number, index)| (stored(number), i64::from(index)));
        self.outbox_rows(UNACKNOWLEDGED, &[&number, &index, &stored(limit as u64)])
    }

    /// Is there a change that the server does not have?
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has_unsent(&self) -> Result<bool, StoreError> {
        self.connection
            .prepare_cached("SELECT 1 FROM outbox WHERE state IN (0, 1)")
            .and_then(|mut s| s.exists([]))
            .map_err(|error| self.failed("reading the outbox", error))
    }

    /// All outbox rows of a record, in the order in which they were saved.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outbox_of(&self, record: &RecordId) -> Result<Vec<OutboxRow>, StoreError> {
        self.outbox_rows(outbox!("WHERE record = ?1 ORDER BY n"), &[&record.as_bytes()])
    }

    /// Those of them that the record's document holds: what was withdrawn is not in it, and what the server did not take
    /// only until that verdict is settled.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outbox_in_document(&self, record: &RecordId) -> Result<Vec<OutboxRow>, StoreError> {
        let open = outbox!(
            "WHERE record = ?1 AND (state < 4 OR state = 4
               AND hash IN (SELECT change FROM verdict WHERE record = ?1 AND settled = 0)) ORDER BY n"
        );
        self.outbox_rows(open, &[&record.as_bytes()])
    }

    /// The row at this place of an own statement, whatever its state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outbox_at(&self, statement: u64, index: u32) -> Result<Option<OutboxRow>, StoreError> {
        let rows = self.outbox_rows(outbox!("WHERE statement = ?1 AND list_index = ?2"), &[&stored(statement), &index]);
        rows.map(|mut rows| rows.pop())
    }

    /// Records with changes that are unstated, stated or sent, by id, beginning behind `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outbox_records(&self, after: Option<&RecordId>, limit: usize) -> Result<Vec<RecordId>, StoreError> {
        let failed = |error| self.failed("reading the outbox", error);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT DISTINCT record FROM outbox WHERE state IN (0, 1, 2) AND record > ?1 ORDER BY record LIMIT ?2",
            )
            .map_err(failed)?;
        let after = after.map(RecordId::as_bytes).unwrap_or_default();
        let rows = statement
            .query_map(params![after, stored(limit as u64)], |row| Ok(RecordId(row.get(0)?)))
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// How many changes of a record wait.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outbox_len(&self, record: &RecordId) -> Result<usize, StoreError> {
        self.connection
            .prepare_cached("SELECT count(*) FROM outbox WHERE record = ?1 AND state < 4")
            .and_then(|mut s| s.query_row([record.as_bytes()], |row| row.get::<_, u32>(0)))
            .map(|count| count as usize)
            .map_err(|error| self.failed("counting the outbox", error))
    }

    /// The latest change that was saved and that no statement lists yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn newest_unstated(&self) -> Result<Option<ChangeHash>, StoreError> {
        self.connection
            .prepare_cached("SELECT hash FROM outbox WHERE state = 0 ORDER BY n DESC LIMIT 1")
            .and_then(|mut s| s.query_row([], |row| Ok(ChangeHash(row.get(0)?))).optional())
            .map_err(|error| self.failed("looking into the outbox", error))
    }

    /// Records that have outbox rows but no body: their file was damaged. At most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outbox_without_body(&self, limit: usize) -> Result<Vec<RecordId>, StoreError> {
        let failed = |error| self.failed("reading the outbox", error);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT DISTINCT record FROM outbox WHERE record NOT IN (SELECT id FROM body) ORDER BY record LIMIT ?1",
            )
            .map_err(failed)?;
        let rows = statement.query_map([stored(limit as u64)], |row| Ok(RecordId(row.get(0)?))).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// The actors of the changes in the outbox.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outbox_actors(&self) -> Result<Vec<ActorId>, StoreError> {
        let failed = |error| self.failed("reading the outbox", error);
        let mut statement = self.connection.prepare("SELECT DISTINCT actor FROM outbox").map_err(failed)?;
        let rows = statement.query_map([], |row| Ok(ActorId(row.get(0)?))).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// The last statement; `None` before the first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last_statement(&self) -> Result<Option<StatementRow>, StoreError> {
        self.statement_where("ORDER BY number DESC LIMIT 1", &[]).map(|mut found| found.pop())
    }

    /// Statement `number`, if it is stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn statement(&self, number: u64) -> Result<Option<StatementRow>, StoreError> {
        self.statement_where("WHERE number = ?1", &[&stored(number)]).map(|mut found| found.pop())
    }

    /// Own statements above `number`, by number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn statements_after(&self, number: u64, limit: usize) -> Result<Vec<StatementRow>, StoreError> {
        self.statement_where(
            "WHERE number > ?1 AND length(bytes) > 0 ORDER BY number LIMIT ?2",
            &[&stored(number), &stored(limit as u64)],
        )
    }

    fn statement_where(&self, condition: &str, values: &[&dyn ToSql]) -> Result<Vec<StatementRow>, StoreError> {
        let failed = |error| self.failed("reading statements", error);
        let sql = format!("SELECT number, hash, bytes, signature FROM statement {condition}");
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed)?;
        let rows = statement.query_map(values, statement_row).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// The stored verdict on a change.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn verdict(&self, change: &ChangeHash) -> Result<Option<Vec<u8>>, StoreError> {
        self.connection
            .prepare_cached("SELECT bytes FROM verdict WHERE change = ?1")
            .and_then(|mut s| s.query_row([change.as_bytes()], |row| row.get(0)).optional())
            .map_err(|error| self.failed("reading a verdict", error))
    }

    /// Records with a verdict that nobody has settled yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unsettled(&self, limit: usize) -> Result<Vec<RecordId>, StoreError> {
        let failed = |error| self.failed("reading verdicts", error);
        let mut statement = self
            .connection
            .prepare_cached("SELECT DISTINCT record FROM verdict WHERE settled = 0 ORDER BY record LIMIT ?1")
            .map_err(failed)?;
        let rows = statement.query_map([stored(limit as u64)], |row| Ok(RecordId(row.get(0)?))).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// What the server did not take and the user has not seen to, the oldest first; of one record, or of all. `after`
    /// is the [`NotTakenRow::place`] of the last row of the page before (0 at first).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn not_taken(
        &self,
        record: Option<&RecordId>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<NotTakenRow>, StoreError> {
        let failed = |error| self.failed("reading what was not taken", error);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT n, record, change, bytes FROM not_taken WHERE (?1 IS NULL OR record = ?1) AND n > ?2
                 ORDER BY n LIMIT ?3",
            )
            .map_err(failed)?;
        let rows = statement
            .query_map(params![record.map(RecordId::as_bytes), after, stored(limit as u64)], |row| {
                let (record, change) = (RecordId(row.get(1)?), ChangeHash(row.get(2)?));
                Ok(NotTakenRow { place: row.get(0)?, record, change, bytes: row.get(3)? })
            })
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

impl Write<'_> {
    fn outbox_sql(&self, sql: &str, values: &[&dyn ToSql]) -> Result<usize, StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut s| s.execute(values))
            .map_err(|error| self.failed("writing the outbox", error))
    }

    /// Adds an own change to the end of the outbox; nothing if it is there already.
    ///
    /// # Errors
    /// [`StoreError`], as for every method here.
    pub fn put_outbox(&self, row: &OutboxRow) -> Result<(), StoreError> {
        let (state, position) = row.state.columns();
        self.outbox_sql(
            "INSERT OR IGNORE INTO outbox(hash, record, kind, created_version, form_version, unit, area, actor, state,
             position, statement, list_index, bytes) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            &[
                &row.hash.as_bytes(),
                &row.record.as_bytes(),
                &row.kind,
                &row.created_version,
                &row.form_version,
                &row.feed.unit,
                &area_number(row.feed.area),
                &row.actor.as_bytes(),
                &state,
                &position,
                &row.statement.map(|(number, _)| stored(number)),
                &row.statement.map(|(_, index)| index),
                &row.bytes,
            ],
        )?;
        self.refresh_sync(&row.record)
    }

    /// The server has the bodies up to this statement and index: stated changes become sent. Returns how many did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mark_sent(&self, through: (u64, u32)) -> Result<u64, StoreError> {
        self.mark(MARK_SENT, (stored(through.0), i64::from(through.1)))
    }

    /// The server has the bodies up to this statement and index only: sent changes beyond it are stated again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mark_unsent(&self, beyond: Option<(u64, u32)>) -> Result<(), StoreError> {
        let (number, index) = beyond.map_or((0, -1), |(number, index)| (stored(number), i64::from(index)));
        self.mark(MARK_UNSENT, (number, index)).map(|_| ())
    }

    /// Runs an update up to or beyond a statement and index that returns the records of its rows. Returns how many rows.
    pub(super) fn mark(&self, sql: &str, (number, index): (i64, i64)) -> Result<u64, StoreError> {
        let failed = |error| self.failed("writing the outbox", error);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map(params![number, index], |row| row.get::<_, [u8; 16]>(0)).map_err(failed)?;
        let records: Vec<[u8; 16]> = rows.collect::<Result<_, _>>().map_err(failed)?;
        let all = records.len() as u64;
        let records: BTreeSet<[u8; 16]> = records.into_iter().collect();
        records.into_iter().try_for_each(|id| self.refresh_sync(&RecordId(id)))?;
        Ok(all)
    }

    /// An own change came back as the entry at `position` of `feed`, which may be another than it was made for: nothing
    /// if it is not in the outbox. It is no longer put before the user as not taken.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_entered(&self, hash: &ChangeHash, feed: &FeedId, position: u64) -> Result<(), StoreError> {
        self.outbox_sql(
            "UPDATE outbox SET unit = ?2, area = ?3 WHERE hash = ?1 AND (unit <> ?2 OR area <> ?3)",
            &[&hash.as_bytes(), &feed.unit, &area_number(feed.area)],
        )?;
        self.set_change_state(hash, ChangeState::Entered(position))
    }

    /// Sets where an own change stands; nothing if it is not in the outbox. One that entered a feed, itself or by another
    /// change, is no longer put before the user as not taken.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_change_state(&self, hash: &ChangeHash, state: ChangeState) -> Result<(), StoreError> {
        let (number, position) = state.columns();
        if position.is_some() || state == ChangeState::Withdrawn {
            self.outbox_sql("DELETE FROM not_taken WHERE change = ?1", &[&hash.as_bytes()])?;
        }
        let record: Option<[u8; 16]> = self
            .connection
            .prepare_cached("UPDATE outbox SET state = ?2, position = ?3 WHERE hash = ?1 RETURNING record")
            .and_then(|mut s| s.query_row(params![hash.as_bytes(), number, position], |row| row.get(0)).optional())
            .map_err(|error| self.failed("writing the outbox", error))?;
        record.map_or(Ok(()), |id| self.refresh_sync(&RecordId(id)))
    }

    /// Stores a statement, and its number and index (from 0) with each change that it lists, which become
    /// [`ChangeState::Stated`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_statement(&self, statement: &StatementRow, changes: &[ChangeHash]) -> Result<(), StoreError> {
        let number = stored(statement.number);
        self.outbox_sql(
            "INSERT OR REPLACE INTO statement(number, hash, bytes, signature) VALUES(?1, ?2, ?3, ?4)",
            &[&number, &statement.hash, &statement.bytes, &statement.signature],
        )?;
        for (index, change) in changes.iter().enumerate() {
            self.outbox_sql(
                "UPDATE outbox SET statement = ?2, list_index = ?3, state = 1 WHERE hash = ?1",
                &[&change.as_bytes(), &number, &stored(index as u64)],
            )?;
        }
        Ok(())
    }

    /// Takes over the server's last statement after a fork: later own ones are dropped, and their changes wait for a
    /// new one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn adopt_statement(&self, number: u64, hash: &[u8; 32]) -> Result<(), StoreError> {
        let above = stored(number);
        self.outbox_sql(
            "UPDATE outbox SET state = 0, held = 0, statement = NULL, list_index = NULL
             WHERE statement > ?1 AND state IN (1, 2)",
            &[&above],
        )?;
        // If the server loses such a change, it is stated anew: its number will be another statement's.
        self.outbox_sql(
            "UPDATE outbox SET held = 0, statement = NULL, list_index = NULL WHERE statement > ?1 AND state = 3",
            &[&above],
        )?;
        self.outbox_sql("DELETE FROM statement WHERE number > ?1", &[&above])?;
        if number > 0 && self.view().statement(number)?.is_none_or(|known| known.hash != *hash) {
            self.outbox_sql(
                "INSERT OR REPLACE INTO statement(number, hash, bytes, signature) VALUES(?1, ?2, x'', x'')",
                &[&above, hash],
            )?;
        }
        // Rare: how far each record has got is derived anew for all that wait.
        self.refresh_sync_where("SELECT DISTINCT record FROM outbox WHERE state = 0", &[])
    }

    /// Own changes that entered `feed` at or below `position` are under a signed head: their outbox rows go.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn drop_signed(&self, feed: &FeedId, position: u64) -> Result<(), StoreError> {
        let failed = |error| self.failed("writing the outbox", error);
        let mut statement = self
            .connection
            .prepare_cached(
                "DELETE FROM outbox WHERE state = 3 AND unit = ?1 AND area = ?2 AND position <= ?3 RETURNING record",
            )
            .map_err(failed)?;
        let rows = statement
            .query_map(params![feed.unit, area_number(feed.area), stored(position)], |row| row.get::<_, [u8; 16]>(0))
            .map_err(failed)?;
        let records: BTreeSet<[u8; 16]> = rows.collect::<Result<_, _>>().map_err(failed)?;
        records.into_iter().try_for_each(|id| self.refresh_sync(&RecordId(id)))
    }

    /// Stores a verdict by its change; it is unsettled, unless the same one was settled before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_verdict(&self, verdict: &VerdictRow) -> Result<(), StoreError> {
        self.outbox_sql(
            "INSERT INTO verdict(change, record, bytes, settled) VALUES(?1, ?2, ?3, 0)
             ON CONFLICT(change) DO UPDATE SET settled = settled AND bytes = ?3, bytes = ?3",
            &[&verdict.change.as_bytes(), &verdict.record.as_bytes(), &verdict.bytes],
        )?;
        self.refresh_sync(&verdict.record)
    }

    /// Closes all verdicts of a record and adds what is put before the user: changes, and what they are as the caller
    /// encoded it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn settle(&self, record: &RecordId, not_taken: &[(ChangeHash, Vec<u8>)]) -> Result<(), StoreError> {
        self.outbox_sql("UPDATE verdict SET settled = 1 WHERE record = ?1 AND settled = 0", &[&record.as_bytes()])?;
        for (change, bytes) in not_taken {
            self.outbox_sql(
                "INSERT INTO not_taken(record, change, bytes) VALUES(?1, ?2, ?3)",
                &[&record.as_bytes(), &change.as_bytes(), bytes],
            )?;
        }
        self.refresh_sync(record)
    }

    /// The user has seen to what was not taken of a record: it is no longer put before them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn dismiss_not_taken(&self, record: &RecordId) -> Result<(), StoreError> {
        self.outbox_sql("DELETE FROM not_taken WHERE record = ?1", &[&record.as_bytes()])?;
        self.refresh_sync(record)
    }

    /// [`Write::refresh_sync`] for every record that `select` names.
    pub(super) fn refresh_sync_where(&self, select: &str, values: &[&dyn ToSql]) -> Result<(), StoreError> {
        self.records_where(select, values)?.iter().try_for_each(|id| self.refresh_sync(id))
    }

    pub(super) fn records_where(&self, select: &str, values: &[&dyn ToSql]) -> Result<Vec<RecordId>, StoreError> {
        let failed = |error| self.failed("noting how far a record has got", error);
        let mut statement = self.connection.prepare_cached(select).map_err(failed)?;
        let rows = statement.query_map(values, |row| Ok(RecordId(row.get(0)?))).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}
