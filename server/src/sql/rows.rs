//! Prepared statements and the rows that they find.

use std::sync::Arc;

use rusqlite::types::ValueRef;

use super::cell::Cell;
use super::postgres::Session;
use super::{Error, FromSql, Params, Result};

/// A prepared statement.
pub enum Statement<'c> {
    /// Of SQLite.
    Sqlite(rusqlite::CachedStatement<'c>),
    /// Of PostgreSQL.
    Postgres(&'c Session, Arc<::postgres::Statement>),
}

impl Statement<'_> {
    /// Runs it; returns how many rows it changed.
    ///
    /// # Errors
    /// What the database said.
    pub fn execute(&mut self, values: impl Params) -> Result<usize> {
        let values = values.values()?;
        match self {
            Self::Sqlite(statement) => Ok(statement.execute(rusqlite::params_from_iter(&values))?),
            Self::Postgres(session, statement) => session.execute(statement, &values),
        }
    }

    /// The rows that it finds, one after the other.
    ///
    /// # Errors
    /// What the database said.
    pub fn query(&mut self, values: impl Params) -> Result<Rows<'_>> {
        let values = values.values()?;
        match self {
            Self::Sqlite(statement) => Ok(Rows::Sqlite(statement.query(rusqlite::params_from_iter(&values))?)),
            Self::Postgres(session, statement) => {
                Ok(Rows::Postgres(session.query(statement, &values)?.into_iter(), None))
            }
        }
    }

    /// The first row that it finds.
    ///
    /// # Errors
    /// What the database said.
    pub fn query_row<T>(&mut self, values: impl Params, read: impl FnOnce(&Row<'_>) -> Result<T>) -> Result<T> {
        let mut rows = self.query(values)?;
        let row = rows.next_row()?.ok_or(Error::NoRow)?;
        read(&row)
    }

    /// Every row that it finds, as `read` makes of it.
    ///
    /// # Errors
    /// What the database said.
    pub fn query_map<T>(
        &mut self,
        values: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<std::vec::IntoIter<Result<T>>> {
        let mut rows = self.query(values)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next_row()? {
            found.push(read(&row));
        }
        Ok(found.into_iter())
    }

    /// Whether it finds a row.
    ///
    /// # Errors
    /// What the database said.
    pub fn exists(&mut self, values: impl Params) -> Result<bool> {
        Ok(self.query(values)?.next_row()?.is_some())
    }
}

/// Rows that a statement finds.
pub enum Rows<'s> {
    /// Read while they are looked at.
    Sqlite(rusqlite::Rows<'s>),
    /// All at once, and the one that is looked at.
    Postgres(std::vec::IntoIter<::postgres::Row>, Option<::postgres::Row>),
}

impl Rows<'_> {
    /// The next row.
    ///
    /// # Errors
    /// What the database said.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>> {
        match self {
            Self::Sqlite(rows) => Ok(rows.next()?.map(Row::Sqlite)),
            Self::Postgres(rows, at) => {
                *at = rows.next();
                Ok(at.as_ref().map(Row::Postgres))
            }
        }
    }
}

/// A row.
#[derive(Clone, Copy)]
pub enum Row<'r> {
    /// Of SQLite.
    Sqlite(&'r rusqlite::Row<'r>),
    /// Of PostgreSQL.
    Postgres(&'r ::postgres::Row),
}

impl Row<'_> {
    /// What stands in a column, from 0.
    ///
    /// # Errors
    /// [`Error::Cell`] where something else stands there.
    pub fn get<T: FromSql>(&self, column: usize) -> Result<T> {
        let cell = match self {
            Self::Sqlite(row) => of_sqlite(row.get_ref(column)?),
            Self::Postgres(row) => super::postgres::cell(row, column)?,
        };
        cell.and_then(T::from_cell).ok_or(Error::Cell { column, wanted: std::any::type_name::<T>() })
    }
}

fn of_sqlite(value: ValueRef<'_>) -> Option<Cell<'_>> {
    Some(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Text(text) => Cell::Text(std::str::from_utf8(text).ok()?),
        ValueRef::Blob(bytes) => Cell::Blob(bytes),
        ValueRef::Real(_) => return None,
    })
}
