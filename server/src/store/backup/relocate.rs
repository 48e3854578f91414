//! Moving an installation from one database to the other.

use std::path::Path;
use std::sync::Arc;

use fieldbook_core::ports::{Clock, Random};

use super::{alone, closed, copy, discard};
use crate::data_folder;
use crate::sql::Connection;
use crate::store::{
    ARRIVING, Check, Database, FILE, MOVED, Opens, Problem, READER_CACHE_KIB, Store, StoreError, WRITER_CACHE_KIB,
    connect, meta, set_meta,
};

/// The key of an embedded database.
type Key = [u8; fieldbook_sqlite::KEY_BYTES];

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
/// Until all of that is done none starts on the new one: a move that was killed is done again, or brought to its end, by the
/// same command.
///
/// # Errors
/// `no_database`, `server_runs`, `database_not_empty`, `store_moved`, `verify_first` where the old one has faults, `move_differs`; what the
/// databases said. Then the old one is as before, and the new one is empty.
pub fn relocate(
    folder: &Path,
    key_file: Option<&Path>,
    (from, to): (&Database, &Database),
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Relocated, StoreError> {
    if !Store::is_there(folder, from)? {
        return Err(Problem::new("no_database").with("path", folder.display()).into());
    }
    let key = data_folder::prepare(folder, key_file, random.as_ref())?;
    let open = |database: &Database, state| {
        Store::open_in_state(folder, key_file, (Arc::clone(&clock), Arc::clone(&random)), database.clone(), state)
    };
    match from {
        Database::Embedded(_) => closed(connect(&folder.join(FILE), &key, None, READER_CACHE_KIB)?)?,
        Database::Postgres(url) => alone(&Connection::postgres(url)?)?,
    }
    if is_over(folder, &key, from, to)? {
        let target = open(to, Opens::Arriving)?;
        let checks = target.verify()?;
        arrived(&target)?;
        let rows = target.read(|tx| Ok(copy::counts(tx, &tx.tables()?)?.iter().sum()))?;
        return Ok(Relocated { rows, checks });
    }
    let source = open(from, Opens::Settled)?;
    let before = source.verify()?;
    if before.iter().any(|check| !check.faults.is_empty()) {
        return Err(Problem::new("verify_first").into());
    }
    let target = empty(folder, &key, to)?;
    let all = || -> Result<_, StoreError> {
        let rows = source.read(|tx| copied(tx, &target))?;
        let target = open(to, Opens::Arriving)?;
        let checks = target.verify()?;
        let told = |checks: &[Check]| -> Vec<(&str, u64, usize)> {
            // A file has pages to check, a server's database has not.
            let both = checks.iter().filter(|check| check.name != "database");
            both.map(|check| (check.name, check.count, check.faults.len())).collect()
        };
        if told(&checks) != told(&before) {
            return Err(Problem::new("move_differs").into());
        }
        Ok((target, Relocated { rows, checks }))
    };
    let (moved, relocated) = all().inspect_err(|_| emptied(folder, &target))?;
    // From here on the new one counts. Between the two steps no server starts on either, and this command goes on from there.
    source.write(|tx| set_meta(tx, MOVED, b"1"))?;
    arrived(&moved)?;
    Ok(relocated)
}

fn arrived(target: &Store) -> Result<(), StoreError> {
    target.write(|tx| Ok(tx.execute("DELETE FROM meta WHERE key = ?1", [ARRIVING]).map(|_| ())?))
}

/// Whether all rows are in the new database, and the old one says so: what is left is to let servers start there.
fn is_over(folder: &Path, key: &Key, from: &Database, to: &Database) -> Result<bool, StoreError> {
    let marked = |database: &Database, mark: &str| -> Result<bool, StoreError> {
        let Some(connection) = there(folder, key, database)? else { return Ok(false) };
        Ok(meta(&connection, mark)?.is_some())
    };
    Ok(marked(from, MOVED)? && marked(to, ARRIVING)?)
}

/// A connection to a database that has tables.
fn there(folder: &Path, key: &Key, database: &Database) -> Result<Option<Connection>, StoreError> {
    if !Store::is_there(folder, database)? {
        return Ok(None);
    }
    let connection = match database {
        Database::Embedded(_) => connect(&folder.join(FILE), key, None, READER_CACHE_KIB)?,
        Database::Postgres(url) => Connection::postgres(url)?,
    };
    Ok(if connection.schema_version()? > 0 { Some(connection) } else { None })
}

/// A connection to the new database, which holds nothing, or nothing any more of a move that did not come to its end.
fn empty(folder: &Path, key: &Key, to: &Database) -> Result<Connection, StoreError> {
    let path = folder.join(FILE);
    let left = match there(folder, key, to)? {
        Some(left) if meta(&left, ARRIVING)?.is_some() => Some(left),
        Some(_) => {
            let named =
                if matches!(to, Database::Embedded(_)) { path.display().to_string() } else { "PostgreSQL".to_owned() };
            return Err(Problem::new("database_not_empty").with("path", named).into());
        }
        None => None,
    };
    if let Some(left) = left {
        emptied(folder, &left);
    }
    match to {
        Database::Embedded(_) => {
            // Of one that was killed before its first commit.
            discard(&path);
            connect(&path, key, None, WRITER_CACHE_KIB)
        }
        Database::Postgres(url) => {
            let target = Connection::postgres(url)?;
            alone(&target)?;
            Ok(target)
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
    set_meta(&tx, ARRIVING, b"1")?;
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
