//! What a phone knows of its own changes and of records besides their documents: words of the sync machine and of the
//! store, which keeps them.

use crate::access::FeedId;
use crate::ids::RecordId;

/// Where an own change stands; what a screen shows of a record is derived from its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeState {
    /// Saved here; no statement lists it yet.
    Unstated,
    /// A statement lists it; the server has not yet said that it has the body.
    Stated,
    /// Its body left in an exchange that the server answered.
    Sent,
    /// It came back as the entry at this position; a signed head at or beyond it is still to come.
    Entered(u64),
    /// The server did not take it; it is kept, and never sent again.
    NotTaken,
    /// It was issued again as part of another change and is never sent.
    Withdrawn,
}

/// What the phone knows of a record besides its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMeta {
    /// Its kind.
    pub kind: String,
    /// Form version of its creation change.
    pub created_version: String,
    /// The feed that it belongs to.
    pub feed: FeedId,
    /// Key of its chain leaves; `None` until its first entry came.
    pub salt: Option<[u8; 8]>,
    /// Number of the record's last move that was heard of; 0 = none was.
    pub moves: u64,
}

/// An accepted change that this app cannot apply: kept raw, shown as "needs a newer app".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingEntry {
    /// The feed that brought it.
    pub feed: FeedId,
    /// Epoch of the feed.
    pub epoch: u32,
    /// Position in the feed.
    pub position: u64,
    /// The record.
    pub record: RecordId,
    /// Raw change.
    pub bytes: Vec<u8>,
    /// Stable word: `unknown_form`, `newer_form`, `missing_dependency`, or what intake refused it for.
    pub reason: String,
}
