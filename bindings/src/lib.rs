//! Fieldbook's core as uniffi objects for Kotlin and Swift.
//!
//! Nothing is decided here: every call goes to `fieldbook_core::client`, and every answer is taken apart field by field,
//! so that a field which is forgotten does not compile. Calls block; make them away from the screen's thread. Ids and
//! hashes are text, times are milliseconds since 1970 UTC, values are JSON as in exports.

mod book;
mod error;
mod form;
mod record;
mod row;
mod sync;
mod vault;

pub use book::{Draft, Enrolment, Fieldbook, Grant, KindInfo, Status};
pub use error::FieldbookError;
pub use form::{AnswerType, Answered, Choice, FormSession, Question, QuestionKind, Saved};
pub use record::{Conflict, ConflictValue, HistoryEntry, NotTaken, Problem, Record, Review, Touched};
pub use row::{Filter, ListRow, Page, PersonHit, RecordState, SyncState};
pub use sync::{CancelHandle, Erased, ListenerError, Progress, SyncListener, SyncReport};
pub use vault::{KeyVault, VaultError};

uniffi::setup_scaffolding!("fieldbook");
