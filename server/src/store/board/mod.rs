//! What lists, counts and maps need of every record, in memory: a pass over 200,000 rows takes a few milliseconds,
//! whatever is filtered and sorted by (docs/adr/0011).
//!
//! It is no second truth: each question first takes over what table `listed` has received since, in the transaction that
//! the answer is read in. `listed.serial` grows with every write, and writers take turns.

mod query;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::sql;
use crate::sql::{Connection, Row};
use fieldbook_core::ids::{RecordId, UserId};
use serde_json::Value as Json;

use super::listed::GONE;
use super::{Store, StoreError};

pub(crate) use query::{Begin, Query, Sort, Window, tally};

/// Rows that are read at once.
const ROWS_AT_ONCE: usize = 20_000;

/// Names, numbered.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(known) = self.numbers.get(name) {
            return *known;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// The number of a name that was met.
    pub(crate) fn known(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The name of a number.
    pub(crate) fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", String::as_str)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }
}

/// What a column holds, as lists sort it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// A number.
    Number(f64),
    /// Text, or a choice's name.
    Text(Box<str>),
}

/// A record, as far as lists and counts ask for it.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    n: i64,
    pub(crate) record: RecordId,
    pub(crate) kind: u32,
    pub(crate) unit: u32,
    pub(crate) state: u32,
    pub(crate) conflicts: u32,
    pub(crate) problems: u32,
    pub(crate) first_ms: i64,
    pub(crate) received_ms: i64,
    pub(crate) changed_ms: i64,
    pub(crate) reviewed_ms: Option<i64>,
    /// Latitude and longitude, 1/100,000 degree.
    pub(crate) point: Option<(i32, i32)>,
    /// By number of the column.
    cells: Box<[(u32, Cell)]>,
    /// Number of those who wrote in it, all together.
    writers: u32,
}

impl Line {
    /// What stands in a column.
    pub(crate) fn cell(&self, column: u32) -> Option<&Cell> {
        self.cells.iter().find(|(own, _)| *own == column).map(|(_, cell)| cell)
    }
}

/// Every record.
#[derive(Debug, Default)]
pub(crate) struct Board {
    lines: Vec<Line>,
    places: HashMap<RecordId, u32>,
    numbers: HashMap<i64, u32>,
    pub(crate) kinds: Names,
    pub(crate) units: Names,
    pub(crate) states: Names,
    pub(crate) columns: Names,
    /// Who wrote in a record, all together: their ids in hexadecimal, one behind the other.
    writers: Names,
    /// The last write that it knows of.
    serial: i64,
}

const COLUMNS: &str = "n, record, kind, unit, state, conflicts, problems, first_ms, received_ms, changed_s, reviewed_ms, \
     lat_e5, lon_e5, cells, serial, writers FROM listed";

impl Board {
    /// Every record, in no order.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Where the rows of the search index with these numbers stand.
    pub(crate) fn places_of(&self, numbers: &[i64]) -> impl Iterator<Item = usize> {
        numbers.iter().filter_map(|n| self.numbers.get(n).map(|place| *place as usize))
    }

    /// By number of those who wrote in a record: whether `user` is one of them.
    fn written_by(&self, user: UserId) -> Vec<bool> {
        let wanted = hex::encode(user.as_bytes());
        let has = |writers: &String| writers.as_bytes().chunks(wanted.len()).any(|one| one == wanted.as_bytes());
        self.writers.names.iter().map(has).collect()
    }

    /// Where a record stands.
    pub(crate) fn place(&self, record: &RecordId) -> Option<usize> {
        self.places.get(record).map(|place| *place as usize)
    }

    /// Takes over what was written since.
    fn follow(&mut self, tx: &Connection) -> sql::Result<()> {
        // All at first, in the order in which they lie; then only what is new.
        let first = self.serial == 0;
        let (by, mut after) = if first { ("n", 0) } else { ("serial", self.serial) };
        let text = format!("SELECT {COLUMNS} WHERE {by} > ?1 ORDER BY {by} LIMIT ?2");
        let mut statement = tx.prepare(&text)?;
        loop {
            let mut rows = statement.query((after, ROWS_AT_ONCE))?;
            let mut read = 0;
            while let Some(row) = rows.next_row()? {
                let (n, serial): (i64, i64) = (row.get(0)?, row.get(14)?);
                after = if first { n } else { serial };
                self.take(&row)?;
                self.serial = self.serial.max(serial);
                read += 1;
            }
            if read < ROWS_AT_ONCE {
                return Ok(());
            }
        }
    }

    fn take(&mut self, row: &Row<'_>) -> sql::Result<()> {
        let record = RecordId(row.get(1)?);
        let kind: String = row.get(2)?;
        if kind == GONE {
            self.drop_line(&record);
            return Ok(());
        }
        let cells: String = row.get(13)?;
        let line = Line {
            n: row.get(0)?,
            record,
            kind: self.kinds.number(&kind),
            unit: self.units.number(&row.get::<String>(3)?),
            state: self.states.number(&row.get::<String>(4)?),
            conflicts: row.get(5)?,
            problems: row.get(6)?,
            first_ms: row.get(7)?,
            received_ms: row.get(8)?,
            changed_ms: row.get::<i64>(9)?.saturating_mul(1000),
            reviewed_ms: row.get(10)?,
            point: row.get::<Option<i32>>(11)?.zip(row.get(12)?),
            cells: self.cells(&cells),
            writers: self.writers.number(&hex::encode(row.get::<Vec<u8>>(15)?)),
        };
        match self.places.get(&record) {
            Some(place) => {
                if let Some(old) = self.lines.get_mut(*place as usize) {
                    *old = line;
                }
            }
            None => {
                let place = u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
                self.places.insert(record, place);
                self.numbers.insert(line.n, place);
                self.lines.push(line);
            }
        }
        Ok(())
    }

    fn cells(&mut self, text: &str) -> Box<[(u32, Cell)]> {
        let Ok(Json::Object(cells)) = serde_json::from_str(text) else { return Box::default() };
        let cell = |value: Json| match value {
            Json::Number(number) => number.as_f64().map(Cell::Number),
            Json::String(text) => Some(Cell::Text(text.into())),
            _ => None,
        };
        cells.into_iter().filter_map(|(path, value)| Some((self.columns.number(&path), cell(value)?))).collect()
    }

    fn drop_line(&mut self, record: &RecordId) {
        let Some(place) = self.places.remove(record) else { return };
        let dropped = self.lines.swap_remove(place as usize);
        self.numbers.remove(&dropped.n);
        if let Some(moved) = self.lines.get(place as usize) {
            self.places.insert(moved.record, place);
            self.numbers.insert(moved.n, place);
        }
    }
}

impl Store {
    /// Asks the board as it is at `tx`.
    pub(crate) fn on_board<T>(
        &self,
        tx: &Connection,
        ask: impl FnOnce(&Board) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let last: i64 = tx.prepare("SELECT coalesce(max(serial), 0) FROM listed")?.query_row((), |row| row.get(0))?;
        let board: &RwLock<Board> = &self.board;
        if board.read().unwrap_or_else(PoisonError::into_inner).serial < last {
            board.write().unwrap_or_else(PoisonError::into_inner).follow(tx)?;
        }
        ask(&board.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the board before anybody asks: the first question would wait for all records.
    ///
    /// # Errors
    /// What the database said.
    pub fn warm(&self) -> Result<(), StoreError> {
        self.read(|tx| self.on_board(tx, |_| Ok(())))
    }
}
