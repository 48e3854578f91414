//! What can go wrong with the store, and what to do then.

use std::path::{Path, PathBuf};

use fieldbook_sqlite::OpenError;
use fieldbook_sqlite::room::{self, Failure};
use fieldbook_sqlite::rusqlite;

use crate::ids::RecordId;

/// Why the store did not do what it was asked. Nothing of the transaction is stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The key is not the one that the store was made with. Give the right one; the file is untouched.
    #[error("{} is locked with another key", file.display())]
    WrongKey {
        /// The database.
        file: PathBuf,
    },
    /// The key does not open the file, and the file that tells a wrong key from damage is missing. Nothing was
    /// touched: with the right key, damage would be told apart.
    #[error("{} cannot be read with this key: another key, or a damaged file", file.display())]
    WrongKeyOrDamaged {
        /// The database.
        file: PathBuf,
    },
    /// A newer app wrote the store. Update the app.
    #[error("the store has schema {found}, this app knows up to {known}: update the app")]
    Newer {
        /// Schema of the file.
        found: i64,
        /// Newest schema that this build knows.
        known: i64,
    },
    /// The file is damaged. Open the store again: it is then set aside and salvaged.
    #[error("the store is damaged ({doing}): {detail}")]
    Damaged {
        /// What was being done.
        doing: &'static str,
        /// What was found, without personal data.
        detail: String,
    },
    /// No space left on the phone. Free some, then do it again.
    #[error("no space left ({doing}); free bytes: {}", free_bytes.map_or_else(|| "unknown".to_owned(), |n| n.to_string()))]
    Full {
        /// What was being done.
        doing: &'static str,
        /// Free bytes where the store is, if they could be asked.
        free_bytes: Option<u64>,
    },
    /// The phone's storage cannot be read or written, and not for want of space. Try again, then restart the phone.
    #[error("the storage failed ({doing}): {source}")]
    Storage {
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Another process holds the store. Close it, or try again.
    #[error("another process holds the store ({doing})")]
    Busy {
        /// What was being done.
        doing: &'static str,
    },
    /// [`crate::store::Write::erase`] has erased the store.
    #[error("the store was erased")]
    Erased,
    /// The record was erased for ever and cannot be stored again.
    #[error("record {0} was purged")]
    Purged(RecordId),
    /// A named limit was exceeded.
    #[error("{what} is {found}, at most {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// What was found.
        found: usize,
    },
    /// The linked SQLite cannot encrypt: a build mistake; nothing is stored with it.
    #[error("the linked SQLite has no encryption")]
    NoEncryption,
    /// A file of the store could not be read or written.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, and to which file.
        doing: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Anything else that SQLite said: a mistake of ours.
    #[error("{doing}: {source}")]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Sorts what SQLite said while `doing` something.
    pub(super) fn from_sqlite(doing: &'static str, error: rusqlite::Error) -> Self {
        match room::failure_of(&error) {
            Failure::Full => Self::Full { doing, free_bytes: None },
            Failure::Storage => Self::Storage { doing, source: error },
            Failure::Busy => Self::Busy { doing },
            Failure::Damaged => Self::Damaged { doing, detail: error.to_string() },
            Failure::Other => match error {
                // A stored row that does not have the shape that we gave it.
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..) => Self::Damaged { doing, detail: error.to_string() },
                source => Self::Sqlite { doing, source },
            },
        }
    }

    /// What failed in `folder` for want of room is a full disk, with the bytes that are free there.
    pub(super) fn for_want_of_room(self, folder: &Path) -> Self {
        let full = |doing| Self::Full { doing, free_bytes: room::free_bytes(folder) };
        match self {
            Self::Full { doing, free_bytes: None } => full(doing),
            Self::Storage { doing, source } if room::lacks_room(&source, folder) => full(doing),
            other => other,
        }
    }

    /// Sorts what opening said.
    pub(super) fn from_open(doing: &'static str, error: OpenError) -> Self {
        match error {
            OpenError::NoEncryption => Self::NoEncryption,
            OpenError::WrongKeyOrNotADatabase => Self::Damaged { doing, detail: error.to_string() },
            OpenError::Sqlite(source) => Self::from_sqlite(doing, source),
        }
    }
}
