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
            return StoreError::DiskFull;
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

/// Writes a file (mode 0600) in place of an earlier one, which is there until the new one is whole.
///
/// # Errors
/// [`StoreError::File`].
pub(crate) fn replace_private(path: &Path, text: &str) -> Result<(), StoreError> {
    let part = path.with_extension("part");
    let _ = fs::remove_file(&part);
    write_private(&part, text)?;
    fs::rename(&part, path).map_err(file_error(path))
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
