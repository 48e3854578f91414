//! A backup while the server runs, and putting one back, into either database.

mod archive;
mod copy;
mod keep;
mod keys;
mod owner;
mod relocate;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use fieldbook_core::ports::Random;
use fieldbook_sqlite::KEY_BYTES;

use super::audit::{self, AuditHead};
use super::{Database, FILE, Problem, READER_CACHE_KIB, Store, StoreError, WRITER_CACHE_KIB, connect, meta, restored};
use super::{SCHEMA_VERSION, set_meta, succession};
use crate::data_folder::{self, file_error};
use crate::sql::Connection;
use archive::{Reader, Writer};
pub(crate) use keep::is_of_backups;
pub use keep::{Found, Keep, Pruned, newest, prune};
pub use keys::{BackupKey, BackupRecipient};
use owner::FILE as BACKUP_OWNER_FILE;
pub use owner::{Owner, Standing};
pub use relocate::{Relocated, relocate};

/// Databases that were put aside by earlier restores, at most.
const ASIDE_MAX: u32 = 1_000;
/// Key of `meta`: when the last backup was made, milliseconds since 1970 UTC, as text.
pub(crate) const LAST_BACKUP: &str = "last_backup_ms";

/// A backup that was made and read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupMade {
    /// Of the file, as `sha256sum` prints it.
    pub sha256: String,
    /// Of the file.
    pub bytes: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// How far the audit log goes in it.
    pub log: AuditHead,
}

/// What a backup holds that is looked for elsewhere.
struct Held {
    /// Public key of a successor of the root key.
    successor: Option<[u8; 32]>,
    log: AuditHead,
}

impl Store {
    /// Writes every row to the new file `to`, encrypted for `recipient`, while others read and write. The file bears its
    /// name only when it is whole, durable, and has been read again from the disk; its hash lies beside it in `TO.sha256`.
    /// Only the other half of the recipient's key opens it: the database's own key is not needed, nor in it.
    ///
    /// # Errors
    /// `file_exists`, `backup_not_written`; else what the database or the disk said.
    pub fn backup(&self, to: &Path, recipient: &BackupRecipient) -> Result<BackupMade, StoreError> {
        if to.exists() {
            return Err(Problem::new("file_exists").with("path", to.display()).into());
        }
        let part = beside(to, ".part");
        // One that was killed in the middle leaves its part.
        discard(&part);
        let now_ms = self.now_ms();
        let written = self.write_out(&part, recipient, now_ms).and_then(|(written, held)| {
            if archive::hash_of(&part)? == written.sha256 {
                return Ok((written, held));
            }
            Err(Problem::new("backup_not_written").with("path", to.display()).into())
        });
        let (written, held) = written.inspect_err(|_| discard(&part))?;
        let made =
            BackupMade { sha256: hex::encode(written.sha256), bytes: written.bytes, rows: written.rows, log: held.log };
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let sum = beside(to, ".sha256");
        let _ = fs::remove_file(&sum);
        data_folder::write_private(&sum, &format!("{}  {name}\n", made.sha256))?;
        fs::rename(&part, to).map_err(file_error(to))?;
        sync(to)?;
        self.write(|tx| {
            if let Some(root) = held.successor {
                succession::is_backed_up(tx, &root)?;
            }
            set_meta(tx, LAST_BACKUP, now_ms.to_string().as_bytes())
        })?;
        Ok(made)
    }

    fn write_out(
        &self,
        part: &Path,
        recipient: &BackupRecipient,
        now_ms: i64,
    ) -> Result<(archive::Written, Held), StoreError> {
        self.read(|tx| {
            let header = copy::header(tx, now_ms)?;
            let held = Held { successor: succession::waiting_root(tx)?, log: audit::head(tx)? };
            let mut writer = Writer::begin(part, recipient, &header)?;
            copy::each_row(tx, &header.tables(), |table, row| writer.row(table, &row))?;
            Ok((writer.end()?, held))
        })
    }

    /// When the last backup was made, milliseconds since 1970 UTC.
    ///
    /// # Errors
    /// What the database said.
    pub fn last_backup_ms(&self) -> Result<Option<i64>, StoreError> {
        Ok(self.setting(LAST_BACKUP)?.and_then(|text| text.parse().ok()))
    }
}

/// Removes a file that is not in use, if it is there.
fn discard(path: &Path) {
    for ending in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(beside(path, ending));
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn sync(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.and_then(|()| File::open(folder)?.sync_all()).map_err(file_error(path))
}

/// What a backup was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRead {
    /// Rows of all tables.
    pub rows: u64,
    /// When it was made, milliseconds since 1970 UTC.
    pub made_ms: i64,
    /// How far the audit log goes in it.
    pub log: AuditHead,
}

/// Reads a backup to its end and says what it holds.
///
/// # Errors
/// `file_unreadable`, `backup_foreign`, `backup_other_key`, `backup_damaged`.
pub fn read_backup(from: &Path, key: &BackupKey) -> Result<BackupRead, StoreError> {
    let read = || {
        let reader = Reader::open(from, key)?;
        let (made_ms, tables) = (reader.header.made_ms, reader.header.tables());
        let logged = tables.iter().position(|table| table.name == "audit");
        let mut log = AuditHead::default();
        let rows = reader.rows(|table, row| {
            if Some(table) == logged {
                log = audit::later(log.clone(), &tables[table].columns, &row);
            }
            Ok(())
        })?;
        Ok(BackupRead { rows: rows.iter().sum(), made_ms, log })
    };
    read().map_err(|error| named(error, from))
}

/// Where a restored database goes.
#[derive(Debug, Clone)]
pub struct Restore<'r> {
    /// The data folder, made where it is missing.
    pub folder: &'r Path,
    /// The database's key file, where it is not in the folder. Made where it is missing and there is no database.
    pub key_file: Option<&'r Path>,
    /// In the folder, or in PostgreSQL.
    pub database: &'r Database,
    /// What lies beside backups, as far as known: the epoch that begins is later than any there.
    pub owners: &'r [Owner],
}

impl Restore<'_> {
    fn above(&self, log: &[u8]) -> u32 {
        self.owners.iter().filter_map(|owner| owner.epoch_of(log)).max().unwrap_or_default()
    }
}

/// Puts the backup `from` in the place of the database, in a new epoch that waits for an administrator: that is durable
/// before it is in its place, and at every moment either the old database or the new one is there. A database that is there
/// is put aside; its path, or the schema that holds its tables now, is returned.
///
/// # Errors
/// `server_runs` while anything else has the database open; `file_unreadable`, `backup_foreign`, `backup_other_key`,
/// `backup_damaged`, `backup_other`, `key_missing`; else what the databases or the disk said. Nothing is changed then.
pub fn restore_backup(
    to: &Restore<'_>,
    from: &Path,
    key: &BackupKey,
    random: &dyn Random,
) -> Result<Option<String>, StoreError> {
    let restored = match to.database {
        Database::Embedded(_) => restore_file(to, from, key, random),
        Database::Postgres(url) => restore_tables(to, &Connection::postgres(url)?, from, key, random),
    };
    restored.map_err(|error| named(error, from).for_want_of_room(to.folder))
}

/// Problems with the copy are the backup's.
fn named(error: StoreError, from: &Path) -> StoreError {
    match error {
        StoreError::Problem(problem) if problem.word.starts_with("backup_") => {
            problem.with("path", from.display()).into()
        }
        StoreError::NewerSchema { found, known, .. } => StoreError::NewerSchema { path: from.to_owned(), found, known },
        other => other,
    }
}

/// Fills the empty database behind `tx`, and begins the epoch.
fn fill(tx: &Connection, reader: Reader, above: u32, random: &dyn Random) -> Result<(), StoreError> {
    let tables = reader.header.tables();
    if reader.header.schema_version > SCHEMA_VERSION {
        let (found, known) = (reader.header.schema_version, SCHEMA_VERSION);
        return Err(StoreError::NewerSchema { path: PathBuf::new(), found, known });
    }
    copy::make(tx, &reader.header)?;
    reader.rows(|table, row| Ok(tx.insert_row(&tables[table], &row)?))?;
    copy::finish(tx, &tables)?;
    let mut jump = [0; 2];
    random.fill(&mut jump);
    restored::begin_epoch(tx, above, u16::from_be_bytes(jump))
}

fn restore_file(
    to: &Restore<'_>,
    from: &Path,
    key: &BackupKey,
    random: &dyn Random,
) -> Result<Option<String>, StoreError> {
    let reader = Reader::open(from, key)?;
    let log = reader.header.log.clone();
    let database_key = data_folder::prepare(to.folder, to.key_file, random)?;
    let (path, fresh) = (to.folder.join(FILE), to.folder.join("fieldbook.db.new"));
    discard(&fresh);
    let all = || {
        let connection = connect(&fresh, &database_key, None, WRITER_CACHE_KIB)?;
        let tx = connection.writing()?;
        fill(&tx, reader, to.above(&log), random)?;
        tx.commit()?;
        closed(connection)?;
        sync(&fresh)?;
        let aside = put_aside(to.folder, &path, &database_key, &log)?;
        fs::rename(&fresh, &path).map_err(file_error(&path))?;
        sync(&path)?;
        Ok(aside.map(|aside| aside.display().to_string()))
    };
    all().inspect_err(|_| discard(&fresh))
}

fn restore_tables(
    to: &Restore<'_>,
    connection: &Connection,
    from: &Path,
    key: &BackupKey,
    random: &dyn Random,
) -> Result<Option<String>, StoreError> {
    let reader = Reader::open(from, key)?;
    alone(connection)?;
    let tx = connection.writing()?;
    let there = tx.tables()?;
    let mut aside = None;
    if tx.schema_version()? > 0 {
        if meta(&tx, "log")?.is_some_and(|own| own != reader.header.log) {
            return Err(Problem::new("backup_other").into());
        }
        for number in 1..=ASIDE_MAX {
            let name = format!("before_restore_{number}");
            if !tx.has_schema(&name)? {
                tx.put_aside(&there, &name)?;
                aside = Some(name);
                break;
            }
        }
    }
    let above = to.above(&reader.header.log);
    fill(&tx, reader, above, random)?;
    tx.commit()?;
    Ok(aside)
}

/// Nobody else is connected to the PostgreSQL database.
fn alone(connection: &Connection) -> Result<(), StoreError> {
    match connection.others()? {
        Some(1..) => Err(Problem::new("server_runs").into()),
        _ => Ok(()),
    }
}

/// Folds everything into the one file. Fails while another connection has it open.
fn closed(connection: Connection) -> Result<(), StoreError> {
    connection.execute_batch("PRAGMA busy_timeout = 0")?;
    let mode: Result<String, _> = connection.query_row("PRAGMA journal_mode = DELETE", (), |row| row.get(0));
    match mode.map_err(StoreError::from) {
        Ok(mode) if mode == "delete" => Ok(()),
        Err(error @ (StoreError::DiskFull { .. } | StoreError::Storage(_))) => Err(error),
        _ => Err(Problem::new("server_runs").into()),
    }
}

/// Gives the database that is there a second name. Its first one is taken over by the new database in one step.
fn put_aside(dir: &Path, path: &Path, key: &[u8; KEY_BYTES], log: &[u8]) -> Result<Option<PathBuf>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    let free =
        (1..=ASIDE_MAX).map(|n| dir.join(format!("fieldbook.db.before-restore-{n}"))).find(|path| !path.exists());
    let aside = free.ok_or_else(|| Problem::new("file_exists").with("path", path.display()))?;
    // One that cannot be opened is why it is restored; whoever still runs on it would write beside the new one.
    if let Ok(connection) = connect(path, key, None, READER_CACHE_KIB) {
        let own = meta(&connection, "log").ok().flatten();
        if own.is_some_and(|own| own != log) {
            return Err(Problem::new("backup_other").into());
        }
        closed(connection)?;
    }
    fs::hard_link(path, &aside).map_err(file_error(&aside))?;
    // What a damaged database had not folded in yet goes with it: it must not be read into the new one.
    for ending in ["-wal", "-shm"] {
        let (left, with) = (beside(path, ending), beside(&aside, ending));
        if left.exists() {
            fs::rename(&left, &with).map_err(file_error(&with))?;
        }
    }
    Ok(Some(aside))
}

#[cfg(test)]
mod tests;
