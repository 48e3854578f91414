//! Why a document could not be made, read or written.

use crate::ids::{ActorId, ChangeHash};

/// Why a record's document did not do what was asked; the document is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The stored body is no document, or was damaged.
    #[error("the record's stored body cannot be read ({detail}); rebuild it from the log or fetch it again")]
    Damaged {
        /// What was wrong.
        detail: String,
    },
    /// The CRDT library failed inside; nothing was changed.
    #[error("writing the record failed inside ({detail}); nothing was saved, try again or rebuild it from the log")]
    Internal {
        /// What it said.
        detail: String,
    },
    /// The form belongs to another kind.
    #[error("the record is a {record}, the form defines {form}")]
    OtherKind {
        /// Kind of the record.
        record: String,
        /// Kind of the form.
        form: String,
    },
    /// The save names heads that the document does not hold.
    #[error("the record does not hold change {head}; open it again and save then")]
    UnknownHeads {
        /// The first unknown one (all zero if none was named).
        head: ChangeHash,
    },
    /// The actor has written later changes that the save did not see.
    #[error("actor {actor} has later changes than the save has seen; add them to its heads, or use another actor")]
    ActorBusy {
        /// The actor.
        actor: ActorId,
    },
    /// The form has no such field or repeat, or nobody may write it here.
    #[error("{path} cannot be written: {reason}")]
    NotWritable {
        /// Which field or repeat.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// A row that the save did not see.
    #[error("there is no row {path}; it may have been removed")]
    NoSuchRow {
        /// The repeat and row.
        path: String,
    },
    /// A row id that is in use.
    #[error("row {path} exists already")]
    RowExists {
        /// The repeat and row.
        path: String,
    },
    /// A limit of `protocol::limits` would be passed.
    #[error("{what} would have {size}, at most {limit} are allowed")]
    TooLarge {
        /// What is limited.
        what: String,
        /// How much it would be.
        size: u64,
        /// The limit.
        limit: u64,
    },
}
