//! Moving an installation from one database to the other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fieldbook_core::ports::{Clock, Random};

use super::{alone, closed, copy, discard};
use crate::data_folder;
use crate::sql::Connection;
use crate::store::{
    ARRIVING, Check, Database, FILE, LEAVING, MOVED, Opens, Problem, READER_CACHE_KIB, Store, StoreError,
    WRITER_CACHE_KIB, connect, meta, set_meta,
};

/// How often, and how many times, it is looked whether others are connected.
const LEAVING_LOOK_EVERY: Duration = Duration::from_millis(200);
const LEAVING_LOOKS: u32 = 5;

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
    if !Store::is_there(folder, key_file, from)? {
        return Err(Problem::new("no_database").with("path", folder.display()).into());
    }
    let key = data_folder::prepare(folder, key_file, random.as_ref())?;
    let open = |database: &Database, state| {
        Store::open_in_state(folder, key_file, (Arc::clone(&clock), Arc::clone(&random)), database.clone(), state)
    };
    let place = Place { folder, key_file, key };
    place.nobody_on(from)?;
    let moved = relocated(&place, (from, to), open);
    if moved.is_err() {
        place.stays(from)?;
    }
    moved
}

fn relocated(
    place: &Place<'_>,
    (from, to): (&Database, &Database),
    open: impl Fn(&Database, Opens) -> Result<Store, StoreError>,
) -> Result<Relocated, StoreError> {
    if is_over(place, from, to)? {
        let target = open(to, Opens::Moving)?;
        let checks = target.verify()?;
        arrived(&target)?;
        let rows = target.read(|tx| Ok(copy::counts(tx, &tx.tables()?)?.iter().sum()))?;
        return Ok(Relocated { rows, checks });
    }
    let connection = place.connect(from)?;
    if meta(&connection, MOVED)?.is_some() {
        return Err(Problem::new("store_moved").into());
    }
    // From here on nobody opens the old database, and who did so just before is seen: what they wrote would be left behind.
    set_meta(&connection, LEAVING, b"1")?;
    drop(connection);
    place.nobody_on(from)?;
    brought_over(place, (from, to), open)
}

fn brought_over(
    place: &Place<'_>,
    (from, to): (&Database, &Database),
    open: impl Fn(&Database, Opens) -> Result<Store, StoreError>,
) -> Result<Relocated, StoreError> {
    let source = open(from, Opens::Moving)?;
    let before = source.verify()?;
    if before.iter().any(|check| !check.faults.is_empty()) {
        return Err(Problem::new("verify_first").into());
    }
    let target = empty(place, to)?;
    let all = || -> Result<_, StoreError> {
        let rows = source.read(|tx| copied(tx, &target))?;
        let target = open(to, Opens::Moving)?;
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
    let (moved, relocated) = all().inspect_err(|_| emptied(place.folder, &target))?;
    // From here on the new one counts. Between the two steps no server starts on either, and this command goes on from there.
    source.write(|tx| {
        set_meta(tx, MOVED, b"1")?;
        Ok(tx.execute("DELETE FROM meta WHERE key = ?1", [LEAVING]).map(|_| ())?)
    })?;
    arrived(&moved)?;
    Ok(relocated)
}

/// Where both databases are looked for.
struct Place<'p> {
    folder: &'p Path,
    key_file: Option<&'p Path>,
    key: [u8; fieldbook_sqlite::KEY_BYTES],
}

impl Place<'_> {
    fn connect(&self, database: &Database) -> Result<Connection, StoreError> {
        database.connect(self.folder, &self.key, READER_CACHE_KIB)
    }

    /// The old database is used again, unless the new one counts already.
    fn stays(&self, from: &Database) -> Result<(), StoreError> {
        let connection = self.connect(from)?;
        if meta(&connection, MOVED)?.is_none() {
            connection.execute("DELETE FROM meta WHERE key = ?1", [LEAVING])?;
        }
        Ok(())
    }

    /// Nobody but this command is connected.
    fn nobody_on(&self, database: &Database) -> Result<(), StoreError> {
        for patience in (0..LEAVING_LOOKS).rev() {
            let looked = match database {
                Database::Embedded(_) => closed(self.connect(database)?),
                Database::Postgres(_) => alone(&self.connect(database)?),
            };
            match looked {
                // PostgreSQL takes a moment to end a connection that was closed.
                Err(StoreError::Problem(problem)) if problem.word == "server_runs" && patience > 0 => {
                    std::thread::sleep(LEAVING_LOOK_EVERY);
                }
                looked => return looked,
            }
        }
        Ok(())
    }
}

fn arrived(target: &Store) -> Result<(), StoreError> {
    target.write(|tx| Ok(tx.execute("DELETE FROM meta WHERE key = ?1", [ARRIVING]).map(|_| ())?))
}

/// Whether all rows are in the new database, and the old one says so: what is left is to let servers start there.
fn is_over(place: &Place<'_>, from: &Database, to: &Database) -> Result<bool, StoreError> {
    let marked = |database: &Database, mark: &str| -> Result<bool, StoreError> {
        let Some(connection) = there(place, database)? else { return Ok(false) };
        Ok(meta(&connection, mark)?.is_some())
    };
    Ok(marked(from, MOVED)? && marked(to, ARRIVING)?)
}

/// A connection to a database that has tables.
fn there(place: &Place<'_>, database: &Database) -> Result<Option<Connection>, StoreError> {
    let is_there = Store::is_there(place.folder, place.key_file, database)?;
    is_there.then(|| place.connect(database)).transpose()
}

/// A connection to the new database, which holds nothing, or nothing any more of a move that did not come to its end.
fn empty(place: &Place<'_>, to: &Database) -> Result<Connection, StoreError> {
    let path = place.folder.join(FILE);
    match there(place, to)? {
        Some(left) if meta(&left, ARRIVING)?.is_some() => emptied(place.folder, &left),
        Some(_) => {
            let is_file = matches!(to, Database::Embedded(_));
            let named = if is_file { path.display().to_string() } else { "PostgreSQL".to_owned() };
            return Err(Problem::new("database_not_empty").with("path", named).into());
        }
        None => {}
    }
    match to {
        Database::Embedded(_) => {
            // Of one that was killed before its first commit.
            discard(&path);
            connect(&path, &place.key, None, WRITER_CACHE_KIB)
        }
        Database::Postgres(_) => {
            place.nobody_on(to)?;
            place.connect(to)
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
    tx.execute("DELETE FROM meta WHERE key = ?1", [LEAVING])?;
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
