//! Older databases become those of this version, one step after the other, in one transaction. What was there is kept
//! beside it: a step that was wrong can be taken back.

use std::path::{Path, PathBuf};

use fieldbook_sqlite::{KEY_BYTES, copy_to};

use super::{Problem, SCHEMA_VERSION, StoreError};
use crate::data_folder::file_error;
use crate::sql::Connection;

/// What makes of the tables of a version those of the next.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// The version that it begins from.
    from: i64,
    /// In the words that both databases know.
    statements: &'static [&'static str],
}

/// Every step from a version that has shipped. Version 1 is the first one.
const STEPS: &[Step] = &[];

/// Makes the tables in a new database, and those of this version of older ones, which are kept: an embedded one as a file
/// `fieldbook.db.before-schema-N` under the same key, one in PostgreSQL as tables of the schema `before_schema_N`.
///
/// # Errors
/// [`StoreError::NewerSchema`]; `schema_too_old` where no step leads on; what the database said. Then nothing is changed.
pub(super) fn open(connection: &Connection, path: &Path, key: &[u8; KEY_BYTES]) -> Result<(), StoreError> {
    to(connection, path, key, (STEPS, SCHEMA_VERSION))
}

/// The steps alone, in an open transaction.
pub(super) fn steps(tx: &Connection) -> Result<(), StoreError> {
    take(tx, STEPS, tx.schema_version()?, SCHEMA_VERSION)
}

fn to(
    connection: &Connection,
    path: &Path,
    key: &[u8; KEY_BYTES],
    (steps, known): (&[Step], i64),
) -> Result<(), StoreError> {
    let found = connection.schema_version()?;
    if (1..known).contains(&found)
        && let Some(file) = connection.sqlite()
    {
        // SQLite copies no database inside of a transaction. Whoever writes meanwhile has this version's tables.
        keep_file(file, path, key, found)?;
    }
    let tx = connection.writing()?;
    match tx.schema_version()? {
        0 => {
            tx.make_tables(include_str!("schema.sql"))?;
            tx.set_schema_version(known)?;
        }
        found if found > known => {
            let path = if tx.sqlite().is_some() { path } else { Path::new("PostgreSQL") };
            return Err(StoreError::NewerSchema { path: path.to_owned(), found, known });
        }
        found if found < known => {
            if tx.sqlite().is_none() {
                tx.keep_tables(&format!("before_schema_{found}"))?;
            }
            take(&tx, steps, found, known)?;
            tracing::info!(from = found, to = known, "the database was brought to this version");
        }
        _ => {}
    }
    Ok(tx.commit()?)
}

fn keep_file(
    file: &fieldbook_sqlite::rusqlite::Connection,
    path: &Path,
    key: &[u8; KEY_BYTES],
    found: i64,
) -> Result<(), StoreError> {
    let kept = PathBuf::from(format!("{}.before-schema-{found}", path.display()));
    let part = PathBuf::from(format!("{}.part", kept.display()));
    let _ = std::fs::remove_file(&part);
    copy_to(file, &part, key)?;
    let kept_now = std::fs::File::open(&part).and_then(|copy| copy.sync_all());
    kept_now.and_then(|()| std::fs::rename(&part, &kept)).map_err(file_error(&kept))
}

fn take(tx: &Connection, steps: &[Step], found: i64, known: i64) -> Result<(), StoreError> {
    for version in found..known {
        let unknown = || Problem::new("schema_too_old").with("found", found).with("known", known);
        let step = steps.iter().find(|step| step.from == version).ok_or_else(unknown)?;
        for statement in step.statements {
            tx.execute(statement, ())?;
        }
        tx.set_schema_version(version + 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
