//! What a document says about itself.

use crate::access::Decision;
use crate::forms::{FieldPath, Scalar};
use crate::ids::{ActorId, ChangeHash, RecordId};

/// What the creation change of a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// The record.
    pub id: RecordId,
    /// Its kind.
    pub kind: String,
    /// Form version that it was created under.
    pub created_version: String,
}

/// A change as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawChange {
    /// Its name: the SHA-256 of its content.
    pub hash: ChangeHash,
    /// Who wrote it, in automerge's sense.
    pub actor: ActorId,
    /// The author's claim of when, seconds since 1970 UTC.
    pub time_s: i64,
    /// The changes that it builds on, sorted.
    pub deps: Vec<ChangeHash>,
    /// The uncompressed change chunk.
    pub bytes: Vec<u8>,
}

/// One of several concurrent values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictValue {
    /// The value; `None` where that author cleared the answer.
    pub value: Option<Scalar>,
    /// Who wrote it, in automerge's sense; the actor table says which device and user.
    pub actor: ActorId,
    /// The author's claim of when, seconds since 1970 UTC.
    pub time_s: i64,
    /// The change that wrote it.
    pub change: ChangeHash,
}

/// A field with two or more different concurrent values; the first is the one that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Which field. For a row removed while somebody edited inside it: the path of the row's `_removed`.
    pub path: FieldPath,
    /// All values, the shown one first, then by time and change hash.
    pub values: Vec<ConflictValue>,
}

/// One value that a change wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TouchedField {
    /// Which field (also `_removed`, `_submitted`; a row without answers names its repeat and row).
    pub path: FieldPath,
    /// What was written; for sets, the choice name and whether it was chosen are in `choice`.
    pub value: Option<Scalar>,
    /// For a set: which choice, and whether it was chosen.
    pub choice: Option<(String, bool)>,
}

/// What one save did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The change.
    pub change: ChangeHash,
    /// Who, in automerge's sense.
    pub actor: ActorId,
    /// The author's claim of when, seconds since 1970 UTC.
    pub time_s: i64,
    /// What it wrote, in order.
    pub touched: Vec<TouchedField>,
}

/// Where a record stands. Derived, never stored in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordState {
    /// Saved, not handed in.
    Draft,
    /// Handed in, waiting for a supervisor.
    Submitted,
    /// Given back with reasons.
    Returned,
    /// Approved as it stands.
    Approved,
    /// Approved or archived, and changed since.
    Amended,
    /// Closed and kept.
    Archived,
    /// Counts nowhere.
    Voided,
}

impl RecordState {
    /// The word in API, exports and stores.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Submitted => "submitted",
            Self::Returned => "returned",
            Self::Approved => "approved",
            Self::Amended => "amended",
            Self::Archived => "archived",
            Self::Voided => "voided",
        }
    }
}

/// What state derivation needs to know of a review, in feed order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewMark {
    /// What was decided.
    pub decision: Decision,
    /// The heads that were read, sorted.
    pub heads: Vec<ChangeHash>,
    /// The submission text that the record showed at those heads, if any.
    pub submission: Option<String>,
}

/// Derives the state from the current heads (sorted), the current submission text and the review that stands
/// ([`Decision::standing`]).
#[must_use]
pub fn state_of(heads: &[ChangeHash], submission: Option<&str>, last: Option<&ReviewMark>) -> RecordState {
    let submitted = submission.is_some();
    match last {
        Some(review) if review.decision != Decision::Reinstate => match review.decision {
            Decision::Void => RecordState::Voided,
            Decision::Approve if review.heads == heads => RecordState::Approved,
            Decision::Archive if review.heads == heads => RecordState::Archived,
            Decision::Approve | Decision::Archive => RecordState::Amended,
            Decision::Return if review.submission.as_deref() == submission => RecordState::Returned,
            Decision::Return | Decision::Reinstate => RecordState::Submitted,
        },
        _ if submitted => RecordState::Submitted,
        _ => RecordState::Draft,
    }
}
