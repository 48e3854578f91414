//! Moving an installation from one database to the other.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use fieldbook_core::ports::{Clock, Random};

use super::{alone, closed, copy, discard};
use crate::data_folder;
use crate::sql::Connection;
use crate::store::{
    Check, Database, FILE, MOVED, Problem, READER_CACHE_KIB, Store, StoreError, WRITER_CACHE_KIB, connect, set_meta,
};

/// What a move brought over.
#[derive(Debug, Clone)]
pub struct Relocated {
    /// Rows of all tables.
    pub rows: u64,
    /// What `verify` found afterwards; before, it found the same.
    pub checks: Vec<Check>,
}

/// Brings every row from the database `from` into the empty database `to`, under the same data folder, in one transaction,
/// and compares counts and what `verify` finds on both sides. Then no server starts on the old one any more; its rows stay.
///
/// # Errors
/// `server_runs`, `database_not_empty`, `store_moved`, `verify_first` where the old one has faults, `move_differs`; what the
/// databases said. Then the old one is as before, and the new one is empty.
pub fn relocate(
    folder: &Path,
    key_file: Option<&Path>,
    (from, to): (&Database, &Database),
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Relocated, StoreError> {
    let key = data_folder::prepare(folder, key_file, random.as_ref())?;
    let open = |database: &Database| {
        Store::open_on(folder, key_file, Arc::clone(&clock), Arc::clone(&random), database.clone())
    };
    match from {
        Database::Embedded(_) => closed(connect(&folder.join(FILE), &key, None, READER_CACHE_KIB)?)?,
        Database::Postgres(url) => alone(&Connection::postgres(url)?)?,
    }
    let source = open(from)?;
    let before = source.verify()?;
    if before.iter().any(|check| !check.faults.is_empty()) {
        return Err(Problem::new("verify_first").into());
    }
    let target = empty(folder, &key, to)?;
    let all = || {
        let rows = source.read(|tx| copied(tx, &target))?;
        let checks = open(to)?.verify()?;
        let told = |checks: &[Check]| -> Vec<(&str, u64, usize)> {
            // A file has pages to check, a server's database has not.
            let both = checks.iter().filter(|check| check.name != "database");
            both.map(|check| (check.name, check.count, check.faults.len())).collect()
        };
        if told(&checks) != told(&before) {
            return Err(Problem::new("move_differs").into());
        }
        source.write(|tx| set_meta(tx, MOVED, b"1"))?;
        Ok(Relocated { rows, checks })
    };
    all().inspect_err(|_| emptied(folder, &target))
}

/// A connection to the new database, which holds nothing.
fn empty(folder: &Path, key: &[u8; fieldbook_sqlite::KEY_BYTES], to: &Database) -> Result<Connection, StoreError> {
    let path = folder.join(FILE);
    let occupied = || StoreError::from(Problem::new("database_not_empty"));
    match to {
        Database::Embedded(_) if fs::exists(&path).unwrap_or(true) => Err(occupied()),
        Database::Embedded(_) => connect(&path, key, None, WRITER_CACHE_KIB),
        Database::Postgres(url) => {
            let target = Connection::postgres(url)?;
            alone(&target)?;
            if target.schema_version()? == 0 { Ok(target) } else { Err(occupied()) }
        }
    }
}

fn copied(from: &Connection, target: &Connection) -> Result<u64, StoreError> {
    let tx = target.writing()?;
    let header = copy::header(from, 0)?;
    let tables = header.tables();
    copy::make(&tx, &header)?;
    copy::each_row(from, &tables, |table, row| Ok(tx.insert_row(&tables[table], &row)?))?;
    copy::finish(&tx, &tables)?;
    let (here, there) = (copy::counts(from, &tables)?, copy::counts(&tx, &tables)?);
    if here != there {
        return Err(Problem::new("move_differs").into());
    }
    tx.commit()?;
    Ok(there.iter().sum())
}

fn emptied(folder: &Path, target: &Connection) {
    if target.sqlite().is_some() {
        return discard(&folder.join(FILE));
    }
    let drop_all = || {
        let tables = target.tables()?;
        target.execute_batch("DROP TABLE IF EXISTS lexicon, shared_bytes")?;
        tables.iter().rev().try_for_each(|table| target.execute_batch(&format!("DROP TABLE {} CASCADE", table.name)))
    };
    if let Err(error) = drop_all() {
        tracing::error!(%error, "the new database is not empty");
    }
}
