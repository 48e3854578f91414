//! A copy of the database while it is used, and putting one back.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::sql;
use crate::sql::Connection;
use fieldbook_core::ports::Random;
use fieldbook_sqlite::{KEY_BYTES, OpenError, copy_to};

use super::{Database, Problem, READER_CACHE_KIB, SCHEMA_VERSION, Store, StoreError, connect, meta, restored};
use crate::data_folder::{self, file_error};

/// Databases that were put aside by earlier restores, at most.
const ASIDE_MAX: u32 = 1_000;

impl Store {
    /// Writes a copy of the database to the new file `to`, under the same key, while others read and write. The file
    /// bears its name only when it is whole, durable, and has been read again.
    ///
    /// # Errors
    /// `file_exists`; else what the database or the disk said.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        if matches!(self.database, Database::Postgres(_)) {
            return Err(Problem::new("not_embedded").into());
        }
        if to.exists() {
            return Err(Problem::new("file_exists").with("path", to.display()).into());
        }
        let mut name = to.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        let made = self.copy_and_read(&part);
        if made.is_err() {
            // What was written of it is no backup.
            discard(&part);
        }
        made?;
        fs::rename(&part, to).map_err(file_error(to))?;
        sync(to)
    }

    fn copy_and_read(&self, part: &Path) -> Result<(), StoreError> {
        // One that was killed in the middle leaves its part.
        discard(part);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(part).map_err(file_error(part))?;
        let reader = self.take_reader()?;
        let copied = reader.sqlite().map(|file| copy_to(file, part, &self.key));
        self.give_reader(reader);
        copied.transpose()?;
        closed(examined(part, &self.key)?.0)?;
        sync(part)
    }
}

/// Removes a database that is not in use, if it is there.
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

/// Opens a copy, reads every page of it, and says whose log it is.
fn examined(path: &Path, key: &[u8; KEY_BYTES]) -> Result<(Connection, Vec<u8>), StoreError> {
    let foreign = || StoreError::from(Problem::new("backup_foreign"));
    let damaged = || StoreError::from(Problem::new("backup_damaged"));
    let connection = match connect(path, key, None, READER_CACHE_KIB) {
        Ok(connection) => connection,
        Err(StoreError::Open(OpenError::WrongKeyOrNotADatabase)) => return Err(foreign()),
        Err(StoreError::Sql(error)) if is_damage(&error) => return Err(damaged()),
        Err(other) => return Err(other),
    };
    match connection.query_row("PRAGMA integrity_check(1)", (), |row| row.get::<String>(0)) {
        Ok(answer) if answer == "ok" => {}
        Ok(_) => return Err(damaged()),
        Err(error) if is_damage(&error) => return Err(damaged()),
        Err(error) => return Err(error.into()),
    }
    let found: i64 = connection.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    if found > SCHEMA_VERSION {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, known: SCHEMA_VERSION });
    }
    if !connection.file_has_table("meta")? {
        return Err(foreign());
    }
    let log = meta(&connection, "log")?.ok_or_else(foreign)?;
    Ok((connection, log))
}

fn is_damage(error: &sql::Error) -> bool {
    let sql::Error::Sqlite(error) = error else { return false };
    let code = error.sqlite_error_code();
    // A page whose seal is broken is told as a failed read.
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, SystemIoFailure};
    matches!(code, Some(DatabaseCorrupt | NotADatabase | SystemIoFailure))
}

/// Puts the backup `from` in the place of the database in `dir`, in a new epoch that waits for an administrator: that
/// is durable before the file is in its place, and at every moment either the old database or the new one is there. A
/// database that is there is put aside; its path is returned.
///
/// # Errors
/// `server_runs` while anything else has the database open; `file_unreadable`, `backup_foreign`, `backup_damaged`,
/// `backup_other`; else what the databases or the disk said. Nothing is changed then.
pub fn restore_backup(
    dir: &Path,
    key_file: Option<&Path>,
    from: &Path,
    random: &dyn Random,
) -> Result<Option<PathBuf>, StoreError> {
    let key_path = key_file.map_or_else(|| dir.join("key"), Path::to_owned);
    if !key_path.exists() {
        // A new key would not open the backup.
        return Err(Problem::new("key_missing").with("path", key_path.display()).into());
    }
    let key = data_folder::prepare(dir, key_file, random)?;
    let (path, fresh) = (dir.join("fieldbook.db"), dir.join("fieldbook.db.new"));
    discard(&fresh);
    let all = || {
        copied(from, &fresh)?;
        let log = begin_epoch(&fresh, &key, random)?;
        let aside = put_aside(dir, &path, &key, &log)?;
        fs::rename(&fresh, &path).map_err(file_error(&path))?;
        sync(&path)?;
        Ok(aside)
    };
    all().map_err(|error: StoreError| {
        discard(&fresh);
        named(error, from).for_want_of_room(dir)
    })
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

fn copied(from: &Path, to: &Path) -> Result<(), StoreError> {
    let unreadable = |error| Problem::new("file_unreadable").with("path", from.display()).with("detail", error);
    let mut source = File::open(from).map_err(unreadable)?;
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(file_error(to))?;
    std::io::copy(&mut source, &mut &target).map_err(file_error(to))?;
    Ok(())
}

fn begin_epoch(path: &Path, key: &[u8; KEY_BYTES], random: &dyn Random) -> Result<Vec<u8>, StoreError> {
    let (connection, log) = examined(path, key)?;
    let mut jump = [0; 2];
    random.fill(&mut jump);
    let tx = connection.writing()?;
    restored::begin_epoch(&tx, 0, u16::from_be_bytes(jump))?;
    tx.commit()?;
    closed(connection)?;
    sync(path)?;
    Ok(log)
}

/// Folds everything into the one file. Fails while another connection has it open.
fn closed(connection: Connection) -> Result<(), StoreError> {
    connection.execute_batch("PRAGMA busy_timeout = 0")?;
    let mode: Result<String, _> = connection.query_row("PRAGMA journal_mode = DELETE", (), |row| row.get(0));
    match mode {
        Ok(mode) if mode == "delete" => Ok(()),
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
