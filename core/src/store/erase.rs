//! Erasing a store for good: the one thing that deletes, also what a salvage had set aside.
//!
//! What lies in the files is encrypted, so the vault's key is what has to go first; overwriting and removing the files
//! is for whoever has that key from somewhere. A mark makes the next opening finish what a crash interrupted.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;

use fieldbook_sqlite::rusqlite::Connection;

use super::open::{FILE, io, remove_if_there};
use super::{StoreError, Write};
use crate::ports::Disk;

/// There from before the first byte is erased until the next opening has finished.
const MARK_FILE: &str = "fieldbook.erased";
/// What the names of all other files of a store begin with.
const PREFIX: &str = "fieldbook.";
/// Zeroes written at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Must the store in `folder` be erased, or was it?
#[must_use]
pub fn is_marked_erased(folder: &Path) -> bool {
    folder.join(MARK_FILE).exists()
}

/// From now on the store in `folder` counts as erased, whatever is left of it. Durable when it returns.
///
/// # Errors
/// [`StoreError::Io`], [`StoreError::Full`].
pub fn mark_erased(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join(MARK_FILE);
    let mark = || File::create(&path)?.sync_all();
    mark().map_err(|source| io("marking as erased", &path, source))?;
    sync_folder(folder);
    Ok(())
}

/// The folder is clean, and a new store is in it.
///
/// # Errors
/// [`StoreError::Io`].
pub fn forget_erased(folder: &Path) -> Result<(), StoreError> {
    remove_if_there(&folder.join(MARK_FILE))
}

/// Erases every file of the store in `folder`, which nobody has open, but for the mark.
///
/// # Errors
/// [`StoreError::Io`]: the other files are erased nevertheless.
pub fn erase_files(folder: &Path, disk: &dyn Disk) -> Result<(), StoreError> {
    let mut failed = None;
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = folder.join(format!("{FILE}{suffix}"));
        failed = failed.or(disk.erase(&path).err().map(|source| io("erasing", &path, source)));
    }
    let listed = std::fs::read_dir(folder).map_err(|source| io("listing", folder, source))?;
    for entry in listed {
        let path = entry.map_err(|source| io("listing", folder, source))?.path();
        let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if ours && path != folder.join(MARK_FILE) {
            failed = failed.or(erase_file(&path).err().map(|source| io("erasing", &path, source)));
        }
    }
    sync_folder(folder);
    failed.map_or(Ok(()), Err)
}

/// Overwrites a file with zeroes and removes it; nothing if it is not there.
pub(super) fn erase_file(path: &Path) -> io::Result<()> {
    let mut file = match File::options().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut left = file.metadata()?.len();
    let zeroes = [0; CHUNK_BYTES];
    while left > 0 {
        let chunk = left.min(CHUNK_BYTES as u64);
        file.write_all(&zeroes[..chunk as usize])?;
        left -= chunk;
    }
    file.sync_all()?;
    drop(file);
    std::fs::remove_file(path)
}

/// Best effort: some systems cannot sync a folder, and the mark makes up for what comes back.
fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

impl Write<'_> {
    /// Drops this transaction, closes the store and erases its files. Nobody else can write between what this transaction
    /// has read and the end: every later call answers [`StoreError::Erased`].
    ///
    /// # Errors
    /// [`StoreError`]; the store is closed in any case.
    pub fn erase(mut self) -> Result<(), StoreError> {
        let store = self.store;
        store.erased.store(true, SeqCst);
        // What the old connection had begun is rolled back with it.
        if let Ok(nowhere) = Connection::open_in_memory() {
            *self.connection = nowhere;
        }
        drop(self);
        store.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        erase_files(store.folder(), store.disk.as_ref())
    }
}
