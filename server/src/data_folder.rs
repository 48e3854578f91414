//! The data folder: who may read it, and the database's key file.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use fieldbook_core::ports::Random;
use fieldbook_sqlite::KEY_BYTES;

use crate::store::{Problem, StoreError};

pub(crate) fn file_error(path: &Path) -> impl Fn(std::io::Error) -> StoreError + '_ {
    move |source| {
        if fieldbook_sqlite::room::is_full(&source) {
            return StoreError::DiskFull { path: Some(path.to_owned()) };
        }
        StoreError::File { path: path.to_owned(), source }
    }
}

/// Makes the folder (mode 0700) and key file (mode 0600, 64 hex digits) when missing; returns the database key.
///
/// A missing key file beside an existing database is an error: a new key would open nothing.
///
/// # Errors
/// [`StoreError::File`] when they cannot be read or made, `key_missing` or `key_malformed` as [`Problem`].
pub fn prepare(dir: &Path, key_file: Option<&Path>, random: &dyn Random) -> Result<[u8; KEY_BYTES], StoreError> {
    make_private(dir)?;
    let path: PathBuf = key_file.map_or_else(|| dir.join("key"), Path::to_owned);
    match fs::read_to_string(&path) {
        Ok(text) => parse(&path, &text),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if ["fieldbook.db", "hub.db"].iter().any(|database| dir.join(database).exists()) {
                return Err(Problem::new("key_missing").with("path", path.display()).into());
            }
            make(&path, random)
        }
        Err(error) => Err(file_error(&path)(error)),
    }
}

/// The database key, where there is one.
///
/// # Errors
/// [`StoreError::File`] when its file cannot be read, `key_malformed`.
pub(crate) fn key(dir: &Path, key_file: Option<&Path>) -> Result<Option<[u8; KEY_BYTES]>, StoreError> {
    let path: PathBuf = key_file.map_or_else(|| dir.join("key"), Path::to_owned);
    match fs::read_to_string(&path) {
        Ok(text) => parse(&path, &text).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(&path)(error)),
    }
}

/// Makes a folder (mode 0700) and those above it, where they are missing.
///
/// # Errors
/// [`StoreError::File`].
pub(crate) fn make_private(dir: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(file_error(dir))
}

/// Writes a file (mode 0600) that is not there yet.
///
/// # Errors
/// [`StoreError::File`], also where it is there.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), StoreError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.and_then(|mut file| file.write_all(text.as_bytes())).map_err(file_error(path))
}

/// Writes a file (mode 0600) in place of an earlier one, which is there until the new one is whole and durable.
///
/// # Errors
/// [`StoreError::File`].
pub(crate) fn replace_private(path: &Path, text: &str) -> Result<(), StoreError> {
    let part = path.with_extension("part");
    let _ = fs::remove_file(&part);
    write_private(&part, text)?;
    let synced = fs::File::open(&part).and_then(|file| file.sync_all());
    synced.and_then(|()| fs::rename(&part, path)).map_err(file_error(path))
}

/// A name that this program gives to what it keeps in a data folder.
pub(crate) fn is_own(name: &str) -> bool {
    let databases = ["fieldbook.db", "hub.db"];
    ["key", "segments", "never-again.list", "never-again.part"].contains(&name)
        || name.starts_with("key.new-")
        || databases.iter().any(|database| name.strip_prefix(database).is_some_and(|rest| !rest.contains(' ')))
}

/// The first entry of a folder of which `is_own` does not know the name; nothing where there is no folder.
pub(crate) fn stranger(dir: &Path, is_own: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let listed = fs::read_dir(dir).into_iter().flatten().flatten();
    listed.map(|entry| entry.path()).find(|path| !named_by(path, &is_own))
}

fn named_by(path: &Path, is_own: impl Fn(&str) -> bool) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(is_own)
}

fn parse(path: &Path, text: &str) -> Result<[u8; KEY_BYTES], StoreError> {
    let mut key = [0; KEY_BYTES];
    hex::decode_to_slice(text.trim(), &mut key)
        .map_err(|_| Problem::new("key_malformed").with("path", path.display()))?;
    Ok(key)
}

fn make(path: &Path, random: &dyn Random) -> Result<[u8; KEY_BYTES], StoreError> {
    let mut key = [0; KEY_BYTES];
    random.fill(&mut key);
    // Written whole under another name first: two processes that start at once agree on one key.
    let mut suffix = [0; 8];
    random.fill(&mut suffix);
    let draft = path.with_extension(format!("new-{}", hex::encode(suffix)));
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(file_error(&draft))?;
    let written = writeln!(file, "{}", hex::encode(key)).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft).map_err(file_error(&draft))?;
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return parse(path, &fs::read_to_string(path).map_err(file_error(path))?);
        }
        Err(error) => return Err(file_error(path)(error)),
    }
    if let Some(parent) = path.parent() {
        fs::File::open(parent).and_then(|folder| folder.sync_all()).map_err(file_error(parent))?;
    }
    Ok(key)
}
