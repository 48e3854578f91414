//! The encrypted SQLite that phone and server link, the one way to open it, and what its failures mean.
//!
//! rusqlite is told to link nothing (`in_gecko`); this crate compiles SQLite3MultipleCiphers and is reached by
//! calling it, so that a binary gets the encrypted library or a link error, never the system's plain SQLite.

pub mod room;

use std::ffi::{CStr, c_char};
use std::path::Path;
use std::time::Duration;

pub use rusqlite;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

// The one call that pulls the compiled library into every binary that opens a store.
#[allow(unsafe_code)]
mod ffi {
    use super::c_char;
    unsafe extern "C" {
        pub(super) fn sqlite3mc_version() -> *const c_char;
    }
    pub(super) fn version() -> *const c_char {
        // SAFETY: takes nothing and returns a pointer to a static, NUL-terminated string.
        unsafe { sqlite3mc_version() }
    }
    pub(super) fn text<'a>(pointer: *const c_char) -> &'a super::CStr {
        // SAFETY: only called with the pointer of `version`, which is static and NUL-terminated.
        unsafe { super::CStr::from_ptr(pointer) }
    }
}

/// Length of a database key in bytes; it is used as it is, without derivation.
pub const KEY_BYTES: usize = 32;
/// How long a connection waits for another one's lock.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Compiled statements that a connection keeps.
const STATEMENTS_CACHED: usize = 128;

/// Why an encrypted database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The key does not fit the file, or the file is no database of ours.
    #[error("the database cannot be read with this key: wrong key, or not a database")]
    WrongKeyOrNotADatabase,
    /// The linked SQLite cannot encrypt: a build mistake; nothing may be stored with it.
    #[error("the linked SQLite has no encryption")]
    NoEncryption,
    /// Any other failure of SQLite.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Version of the compiled library, such as "SQLite3 Multiple Ciphers 2.6.1".
#[must_use]
pub fn library_version() -> String {
    ffi::text(ffi::version()).to_string_lossy().into_owned()
}

/// Opens or creates the encrypted database at `path` under the raw 32-byte `key`.
///
/// The cipher is ChaCha20-Poly1305 page by page: every changed byte of a page is noticed when the page is read. The
/// connection comes back in WAL mode with `synchronous=FULL`, foreign keys on, and `secure_delete` on: what is deleted or
/// overwritten is zeroed in its page, also on free pages. The key has been proved by reading
/// the schema. Another connection's lock is waited for, at most [`BUSY_TIMEOUT`].
///
/// `vfs` names where the file is read and written; `None` is the system's files. What is encrypted is the same.
///
/// # Errors
/// [`OpenError::WrongKeyOrNotADatabase`] when the schema cannot be decrypted, [`OpenError::NoEncryption`] when the
/// linked library is a plain SQLite, else what SQLite said.
pub fn open(path: &Path, key: &[u8; KEY_BYTES], vfs: Option<&str>) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = match vfs {
        None => Connection::open_with_flags(path, flags),
        // The library puts its encryption in front of whatever bears this prefix.
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, format!("multipleciphers-{vfs}").as_str()),
    };
    let connection = unlock(opened?, key)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    // Without it a cached statement is compiled again whenever a bound value that its plan looked at changes: a fifth of a
    // save's CPU. Plans here depend on the schema alone (there is no ANALYZE).
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    Ok(connection)
}

/// Opens an existing encrypted database for reading only what can still be read of it.
///
/// Nothing is created and no rule of the file is changed: for taking what is left out of a damaged file.
///
/// # Errors
/// As [`open`].
pub fn open_existing(path: &Path, key: &[u8; KEY_BYTES]) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // A file that is shorter than its header says is otherwise not read at all.
    connection.pragma_update(None, "writable_schema", true)?;
    let connection = unlock(connection, key)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Gives the connection its key and proves it by reading the schema.
fn unlock(connection: Connection, key: &[u8; KEY_BYTES]) -> Result<Connection, OpenError> {
    let _ = ffi::version();
    let cipher: Option<String> = connection.query_row("PRAGMA cipher", [], |row| row.get(0)).ok();
    if cipher.is_none() {
        return Err(OpenError::NoEncryption);
    }
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "key", raw_key(key))?;
    match connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)) {
        Ok(_) => Ok(connection),
        Err(rusqlite::Error::SqliteFailure(failure, _)) if failure.code == ErrorCode::NotADatabase => {
            Err(OpenError::WrongKeyOrNotADatabase)
        }
        Err(other) => Err(other.into()),
    }
}

/// The key as the library takes it without deriving another one from it (which would cost 100 ms an open).
fn raw_key(key: &[u8; KEY_BYTES]) -> String {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("raw:{hex}")
}

/// Writes a consistent, compacted copy of an open database to the new file `to`, under `to_key`.
///
/// Works while others read and write. `to` must not exist.
///
/// # Errors
/// What SQLite said, such as an existing file or a full disk; a partly written `to` is left for the caller to remove.
pub fn copy_to(connection: &Connection, to: &Path, to_key: &[u8; KEY_BYTES]) -> Result<(), OpenError> {
    // The bytes of the path that a URI gives a meaning are escaped; `key` is a parameter of this library.
    let path: String = to
        .to_string_lossy()
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let uri = format!("file:{path}?key={}", raw_key(to_key));
    connection.execute("VACUUM INTO ?1", [uri])?;
    Ok(())
}

#[cfg(test)]
mod tests;
