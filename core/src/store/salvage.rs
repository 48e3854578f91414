//! A damaged file is set aside, never deleted, and what can be read of it is taken over into a new one.
//!
//! Row by row, unsent work first. The order of renames is such that a crash at any point leaves either the damaged
//! file in its place (then all begins anew) or the finished new one.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fieldbook_sqlite::KEY_BYTES;
use fieldbook_sqlite::rusqlite::config::DbConfig;
use fieldbook_sqlite::rusqlite::types::Value;
use fieldbook_sqlite::rusqlite::{self, Connection};
use serde::{Deserialize, Serialize};

use super::open::{FILE, io, remove_if_there};
use super::{StoreError, schema};

/// The new file while it is being filled.
const NEW_FILE: &str = "fieldbook.salvaged.db";
/// The pages that describe the tables, as they lie in the file, each behind its number (4 bytes, little endian).
const PAGES_FILE: &str = "fieldbook.pages";
const PAGES_NEW_FILE: &str = "fieldbook.pages.new";
/// A copy of a damaged file in which these were laid over.
const COPY_FILE: &str = "fieldbook.mended.db";
/// Bytes of a page of the file: SQLite's default.
const PAGE_BYTES: usize = 4096;
/// Row numbers that are tried one by one behind a damaged page: more than a page holds, so that no readable page between
/// two damaged ones is passed over.
const TRIED_MAX: i64 = 1 << 10;
/// Row numbers that are skipped at most to find readable rows behind a damaged page.
const GAP_MAX: i64 = 1 << 22;
/// Files that are set aside at most.
const ASIDE_MAX: u32 = 1_000;

/// What became of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SalvagedTable {
    /// Its name.
    pub table: String,
    /// Rows that were taken over.
    pub kept: u64,
    /// Places where rows could not be read.
    pub gaps: u64,
}

/// What was salvaged of a damaged file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SalvageReport {
    /// Where the damaged file is kept.
    pub set_aside: PathBuf,
    /// What became of each table.
    pub tables: Vec<SalvagedTable>,
    /// Nothing of it could be read.
    pub nothing_readable: bool,
}

impl SalvageReport {
    /// Was every row of `table` taken over?
    #[must_use]
    pub fn complete(&self, table: &str) -> bool {
        !self.nothing_readable && self.tables.iter().any(|found| found.table == table && found.gaps == 0)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Finishes what a crash interrupted between the last two renames, and drops a half filled new file.
pub(super) fn finish_interrupted(folder: &Path) -> Result<(), StoreError> {
    let (file, new) = (folder.join(FILE), folder.join(NEW_FILE));
    if new.exists() && !file.exists() {
        return rename(&new, &file);
    }
    remove_with_log(&new)?;
    remove_with_log(&folder.join(COPY_FILE))
}

/// Fills a new file with what can be read of the damaged one, and puts it in its place.
pub(super) fn set_aside_and_take_over(folder: &Path, key: &[u8; KEY_BYTES]) -> Result<SalvageReport, StoreError> {
    finish_interrupted(folder)?;
    let (file, new) = (folder.join(FILE), folder.join(NEW_FILE));
    let aside = free_name(folder)?;
    let mut report = SalvageReport { set_aside: aside.clone(), tables: Vec::new(), nothing_readable: true };
    {
        let doing = "taking over a damaged store";
        let to = fieldbook_sqlite::open(&new, key, None).map_err(|error| StoreError::from_open(doing, error))?;
        schema::migrate(&to)?;
        let from = match open_damaged(&file, key) {
            Ok(from) => Some(from),
            Err(_) => mended_copy(folder, key)?,
        };
        if let Some(from) = from {
            report.nothing_readable = false;
            report.tables = take_over(&from, &to)?;
        }
        let last: rusqlite::Result<i64> = to.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        last.map_err(|error| StoreError::from_sqlite(doing, error))?;
    }
    for suffix in ["-wal", ""] {
        let from = with_suffix(&file, suffix);
        if from.exists() {
            rename(&from, &with_suffix(&aside, suffix))?;
        }
    }
    remove_if_there(&with_suffix(&file, "-shm"))?;
    rename(&new, &file)?;
    remove_with_log(&folder.join(COPY_FILE))?;
    Ok(report)
}

/// Keeps the pages that describe the tables beside the file, as they are: encrypted. If one of them is damaged later,
/// the rest of the file can still be read.
///
/// It copies when it is dropped, and must be dropped after the connections: reading the file while this process has it
/// open would release SQLite's locks on it (POSIX locks end when any handle of the process is closed).
pub(super) struct SchemaPages {
    folder: PathBuf,
    pages: Vec<u32>,
}

impl SchemaPages {
    /// Asks where the pages are.
    pub(super) fn find(connection: &Connection, folder: &Path) -> Result<Self, StoreError> {
        let pages = || -> rusqlite::Result<Vec<u32>> {
            let mut select = connection.prepare("SELECT pageno FROM dbstat WHERE name = 'sqlite_schema'")?;
            select.query_map([], |row| row.get(0))?.collect()
        };
        let pages = pages().map_err(|error| StoreError::from_sqlite("looking for the tables' pages", error))?;
        Ok(Self { folder: folder.to_owned(), pages })
    }

    fn keep(&self) -> std::io::Result<()> {
        let file = self.folder.join(FILE);
        if with_suffix(&file, "-wal").exists() {
            // Another process goes on writing: what lies in the file is not the latest.
            return Ok(());
        }
        let mut file = File::open(file)?;
        let mut kept = Vec::with_capacity(self.pages.len() * (PAGE_BYTES + 4));
        for page in &self.pages {
            let mut bytes = vec![0; PAGE_BYTES];
            file.seek(SeekFrom::Start(page_offset(*page)))?;
            file.read_exact(&mut bytes)?;
            kept.extend_from_slice(&page.to_le_bytes());
            kept.append(&mut bytes);
        }
        let new = self.folder.join(PAGES_NEW_FILE);
        std::fs::write(&new, kept)?;
        std::fs::rename(new, self.folder.join(PAGES_FILE))
    }
}

impl Drop for SchemaPages {
    fn drop(&mut self) {
        // Best effort: without it a damaged first page costs what it holds.
        let _ = self.keep();
    }
}

/// A copy of the damaged file with the kept pages laid over, opened; `None` if that does not help either.
fn mended_copy(folder: &Path, key: &[u8; KEY_BYTES]) -> Result<Option<Connection>, StoreError> {
    let Ok(kept) = std::fs::read(folder.join(PAGES_FILE)) else { return Ok(None) };
    let (file, copy) = (folder.join(FILE), folder.join(COPY_FILE));
    remove_with_log(&copy)?;
    for suffix in ["", "-wal"] {
        let from = with_suffix(&file, suffix);
        if from.exists() {
            std::fs::copy(&from, with_suffix(&copy, suffix)).map_err(|source| io("copying", &from, source))?;
        }
    }
    let lay_over = || -> std::io::Result<()> {
        let mut to = File::options().write(true).open(&copy)?;
        for page in kept.as_chunks::<{ PAGE_BYTES + 4 }>().0 {
            let (number, bytes) = page.split_at(4);
            let number = u32::from_le_bytes([number[0], number[1], number[2], number[3]]);
            to.seek(SeekFrom::Start(page_offset(number)))?;
            to.write_all(bytes)?;
        }
        Ok(())
    };
    lay_over().map_err(|source| io("mending", &copy, source))?;
    Ok(open_damaged(&copy, key).ok())
}

fn page_offset(page: u32) -> u64 {
    u64::from(page.saturating_sub(1)) * PAGE_BYTES as u64
}

fn remove_with_log(file: &Path) -> Result<(), StoreError> {
    ["", "-wal", "-shm"].iter().try_for_each(|suffix| remove_if_there(&with_suffix(file, suffix)))
}

/// Opens without ever writing to the file, not even what its log still holds.
fn open_damaged(file: &Path, key: &[u8; KEY_BYTES]) -> Result<Connection, StoreError> {
    let doing = "reading a damaged store";
    let from = fieldbook_sqlite::open_existing(file, key).map_err(|error| StoreError::from_open(doing, error))?;
    from.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(|error| StoreError::from_sqlite(doing, error))?;
    Ok(from)
}

fn take_over(from: &Connection, to: &Connection) -> Result<Vec<SalvagedTable>, StoreError> {
    let doing = "taking over a damaged store";
    let sql = |error| StoreError::from_sqlite(doing, error);
    let transaction = to.unchecked_transaction().map_err(sql)?;
    let mut tables = Vec::new();
    for table in schema::TABLES {
        tables.push(take_table(from, &transaction, table).map_err(sql)?);
    }
    let lost = tables.iter().any(|table| table.gaps > 0);
    mend(&transaction, lost).map_err(sql)?;
    transaction.commit().map_err(sql)?;
    Ok(tables)
}

/// Copies the readable rows of a table; errors are those of the new file.
fn take_table(from: &Connection, to: &Connection, table: &str) -> rusqlite::Result<SalvagedTable> {
    let mut done = SalvagedTable { table: table.to_owned(), kept: 0, gaps: 0 };
    let mut next = i64::MIN;
    loop {
        match take_rows(from, to, table, &mut next, &mut done.kept)? {
            Pass::Finished => return Ok(done),
            Pass::Unreadable => {
                done.gaps += 1;
                match behind_gap(from, table, next) {
                    Some(readable) => next = readable,
                    None => return Ok(done),
                }
            }
        }
    }
}

enum Pass {
    Finished,
    Unreadable,
}

/// Copies rows from row number `next` on until the end or a damaged page; `next` is then the number behind the last.
fn take_rows(
    from: &Connection,
    to: &Connection,
    table: &str,
    next: &mut i64,
    kept: &mut u64,
) -> rusqlite::Result<Pass> {
    let sql = format!("SELECT rowid, * FROM {table} WHERE rowid >= ?1 ORDER BY rowid");
    let Ok(mut select) = from.prepare(&sql) else { return Ok(Pass::Unreadable) };
    let names: Vec<String> = select.column_names().skip(1).map(str::to_owned).collect();
    let marks: Vec<String> = (1..=names.len()).map(|at| format!("?{at}")).collect();
    let mut insert =
        to.prepare(&format!("INSERT OR IGNORE INTO {table}({}) VALUES({})", names.join(", "), marks.join(", ")))?;
    let Ok(mut rows) = select.query([*next]) else { return Ok(Pass::Unreadable) };
    loop {
        match rows.next() {
            Ok(None) => return Ok(Pass::Finished),
            Err(_) => return Ok(Pass::Unreadable),
            Ok(Some(row)) => {
                let values: Result<Vec<Value>, _> = (1..=names.len()).map(|at| row.get::<_, Value>(at)).collect();
                let (Ok(number), Ok(values)) = (row.get::<_, i64>(0), values) else { return Ok(Pass::Unreadable) };
                *kept += insert.execute(rusqlite::params_from_iter(values))? as u64;
                *next = number.saturating_add(1);
            }
        }
    }
}

/// The first readable row number behind `start`, which is not: one by one, then by ever longer steps and by halving.
fn behind_gap(from: &Connection, table: &str, start: i64) -> Option<i64> {
    let start = start.max(0);
    let sql = format!("SELECT * FROM {table} WHERE rowid >= ?1 ORDER BY rowid LIMIT 1");
    let mut probe = from.prepare(&sql).ok()?;
    let mut readable = |number: i64| match probe.query([number]) {
        Ok(mut rows) => rows.next().is_ok(),
        Err(_) => false,
    };
    if let Some(near) = (1..=TRIED_MAX).map(|step| start.saturating_add(step)).find(|number| readable(*number)) {
        return Some(near);
    }
    let mut step = TRIED_MAX;
    while !readable(start.saturating_add(step)) {
        step *= 2;
        if step > GAP_MAX {
            return None;
        }
    }
    let (mut bad, mut good) = (start.saturating_add(step / 2), start.saturating_add(step));
    while good - bad > 1 {
        let middle = bad + (good - bad) / 2;
        if readable(middle) { good = middle } else { bad = middle }
    }
    Some(good)
}

/// Makes the tables fit each other again. What is derived is derived anew by the facade ([`super::Store::must_derive`]);
/// where something was lost, the feeds are read from their beginning, which brings back what the server has, and the
/// facade writes under a new actor.
fn mend(to: &Connection, lost: bool) -> rusqlite::Result<()> {
    to.execute_batch(
        "INSERT OR IGNORE INTO record(n, id, kind, created_version, unit, area)
           SELECT record, id, '', '', '', 0 FROM body WHERE record NOT IN (SELECT n FROM record);
         DELETE FROM body WHERE record NOT IN (SELECT n FROM record);
         DELETE FROM reading WHERE record NOT IN (SELECT record FROM body);
         DELETE FROM person WHERE record NOT IN (SELECT record FROM body);
         UPDATE record SET index_digest = NULL, seq = CASE WHEN n IN (SELECT record FROM body) THEN seq ELSE 0 END;
         INSERT OR REPLACE INTO setting(name, value) VALUES('derive', x'31');",
    )?;
    if lost {
        to.execute_batch("INSERT OR REPLACE INTO setting(name, value) VALUES('reclaim', x'31')")?;
        // Own changes may be lost: the next ones must not carry the same actor and number as these.
        to.execute_batch("UPDATE OR REPLACE setting SET name = 'actor_before' WHERE name = 'actor'")?;
        to.execute_batch("UPDATE feed SET position = 0, chain = zeroblob(32), head_position = 0, head = NULL;")?;
        // A change whose statement is lost is stated anew: the number may become another statement's.
        to.execute_batch(
            "UPDATE outbox SET state = CASE WHEN state IN (1, 2) THEN 0 ELSE state END, held = 0, statement = NULL,
               list_index = NULL WHERE statement NOT IN (SELECT number FROM statement)",
        )?;
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    std::fs::rename(from, to).map_err(|source| io("renaming", from, source))
}

fn free_name(folder: &Path) -> Result<PathBuf, StoreError> {
    for number in 1..=ASIDE_MAX {
        let path = folder.join(format!("fieldbook.damaged-{number}.db"));
        if !path.exists() {
            return Ok(path);
        }
    }
    Err(StoreError::Limit { what: "damaged files set aside", limit: ASIDE_MAX as usize, found: ASIDE_MAX as usize })
}
