//! What can go wrong in the store.

use std::path::{Path, PathBuf};

use fieldbook_core::forms::ValueError;
use fieldbook_sqlite::OpenError;
use fieldbook_sqlite::room::{self, Failure};

use crate::sql;

/// Something that the caller did or asked and can mend; its text comes from the catalogue ([`crate::text`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word} {args:?}")]
pub struct Problem {
    /// Stable word; key of the catalogue and `type` of API errors.
    pub word: &'static str,
    /// What the text names.
    pub args: Vec<(&'static str, String)>,
    /// The answer that was not taken: its reason has words of its own in each language, and is the text's `{detail}`.
    pub answer: Option<ValueError>,
    /// What was written in a record since the version that the caller names.
    pub changed: Box<[ChangedField]>,
}

/// A field that somebody wrote since a record was read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ChangedField {
    /// Path, with the row inside repeats.
    pub path: String,
    /// Label of the field, by language.
    pub label: std::collections::BTreeMap<String, String>,
    /// Name of who wrote it; empty if unknown here.
    pub author: String,
    /// When, as its author claims, milliseconds since 1970 UTC.
    pub time_ms: i64,
}

impl Problem {
    /// A problem that names nothing.
    #[must_use]
    pub fn new(word: &'static str) -> Self {
        Self { word, args: Vec::new(), answer: None, changed: Box::default() }
    }

    /// Names one more thing.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.args.push((name, value.to_string()));
        self
    }

    /// An answer that breaks its field's type or the form's structure.
    #[must_use]
    pub fn of_answer(error: ValueError) -> Self {
        Self { answer: Some(error), ..Self::new("value_refused") }
    }
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The caller can mend it.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The disk is full: nothing was stored.
    #[error("the disk is full; nothing was stored")]
    DiskFull {
        /// What was being written, as far as known; else it is in the data folder.
        path: Option<PathBuf>,
    },
    /// The storage under the data folder cannot be read or written, and not for want of room: nothing was stored.
    #[error("the storage of the data folder failed: {0}; nothing was stored")]
    Storage(rusqlite::Error),
    /// The database was written by a later build.
    #[error("{path} has schema {found}, this build knows {known}: use a newer fieldbook-server")]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Version of this build.
        known: i64,
    },
    /// The key does not fit the database.
    #[error(transparent)]
    Open(OpenError),
    /// A file of the data folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something stored does not read back: run `verify`.
    #[error("stored {what} is damaged: {detail}; run `fieldbook-server verify`")]
    Corrupt {
        /// What.
        what: &'static str,
        /// How.
        detail: String,
    },
    /// Any other failure of the database.
    #[error("database: {0}")]
    Sql(sql::Error),
}

impl StoreError {
    /// Something stored that does not read back.
    pub fn corrupt(what: &'static str, detail: impl std::fmt::Display) -> Self {
        Self::Corrupt { what, detail: detail.to_string() }
    }

    /// What failed in `folder` for want of room is a full disk.
    pub(crate) fn for_want_of_room(self, folder: &Path) -> Self {
        match self {
            Self::Storage(source) if room::lacks_room(&source, folder) => {
                Self::DiskFull { path: Some(folder.to_owned()) }
            }
            other => other,
        }
    }
}

impl From<sql::Error> for StoreError {
    fn from(error: sql::Error) -> Self {
        match error {
            sql::Error::Sqlite(error) => error.into(),
            sql::Error::Nul => Problem::new("text_refused").into(),
            // What the operator wrote into an address, or made of a database.
            sql::Error::InTheClear => Problem::new("database_in_the_clear").into(),
            sql::Error::Mixed => Problem::new("database_mixed").into(),
            sql::Error::Roots { path, detail } => {
                Problem::new("database_roots").with("path", path.display()).with("detail", detail).into()
            }
            sql::Error::Collation(found) => Problem::new("database_collation").with("found", found).into(),
            other => Self::Sql(other),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match room::failure_of(&error) {
            Failure::Full => Self::DiskFull { path: None },
            Failure::Storage => Self::Storage(error),
            Failure::Busy | Failure::Damaged | Failure::Other => Self::Sql(error.into()),
        }
    }
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Sqlite(source) => source.into(),
            other => Self::Open(other),
        }
    }
}
