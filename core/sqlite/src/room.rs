//! What a failure of SQLite means for whoever stores something, and how much room is left where a database is.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::Path;

use rusqlite::ErrorCode;
use rusqlite::ffi;

/// Name of the file that [`lacks_room`] writes and removes again.
const PROBE_FILE: &str = "fieldbook.probe";
/// Bytes that are written to find out whether there is room: about what one large transaction takes.
const PROBE_BYTES: usize = 1024 * 1024;
/// Failures of SQLite that a full disk may be behind, beside the one that says so.
const MAYBE_ROOM: &[i32] = &[
    ffi::SQLITE_IOERR_WRITE,
    ffi::SQLITE_IOERR_FSYNC,
    ffi::SQLITE_IOERR_DIR_FSYNC,
    ffi::SQLITE_IOERR_TRUNCATE,
    ffi::SQLITE_IOERR_SHMOPEN,
    ffi::SQLITE_IOERR_SHMSIZE,
    ffi::SQLITE_CANTOPEN,
];

/// What a failure of SQLite means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No room is left: free some.
    Full,
    /// The storage cannot be read or written. [`lacks_room`] tells whether a lack of room is behind it.
    Storage,
    /// Another connection holds the database.
    Busy,
    /// The file is damaged.
    Damaged,
    /// Anything else: a mistake of the caller's.
    Other,
}

/// Sorts a failure by what SQLite says of it.
#[must_use]
pub fn failure_of(error: &rusqlite::Error) -> Failure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Failure::Full,
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly) => Failure::Storage,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Failure::Busy,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Failure::Damaged,
        _ => Failure::Other,
    }
}

/// Whether a failed write to a file failed for want of room: a full disk, a used-up quota, a file that may not grow.
#[must_use]
pub fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Whether a lack of room is behind `error` of a database in `folder`.
///
/// SQLite calls only ENOSPC a full disk, and keeps every other reason of the system to itself. So it is asked again:
/// by a file that grows there to beyond the longest one and is removed at once.
#[must_use]
pub fn lacks_room(error: &rusqlite::Error, folder: &Path) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    let Some(code) = code.filter(|_| failure_of(error) == Failure::Storage) else { return false };
    // CANTOPEN comes in several flavours, told apart by the upper bits.
    let maybe = MAYBE_ROOM.contains(&code) || code & 0xff == ffi::SQLITE_CANTOPEN;
    maybe && probe(folder).is_err_and(|error| is_full(&error))
}

fn probe(folder: &Path) -> std::io::Result<()> {
    let mut longest = 0;
    for entry in std::fs::read_dir(folder)? {
        longest = longest.max(entry?.metadata()?.len());
    }
    let path = folder.join(PROBE_FILE);
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        file.seek(SeekFrom::Start(longest))?;
        file.write_all(&vec![0xa5; PROBE_BYTES])?;
        file.sync_all()
    };
    let written = write();
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}

/// Free bytes for this user in the file system of `path`; `None` where the system does not say.
#[cfg(unix)]
#[must_use]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Free bytes for this user in the file system of `path`; `None` where the system does not say.
#[cfg(not(unix))]
#[must_use]
pub fn free_bytes(_path: &Path) -> Option<u64> {
    None
}
