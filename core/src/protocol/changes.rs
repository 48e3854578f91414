//! Changes as they travel: transcoded, many in a message.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::limits::CHANGES_CHECK_BYTES;
use super::messages::RecordStart;
use crate::access::FeedId;
use crate::ids::{ActorId, ChangeHash};

/// Changes on their way up, at most [`super::limits::BATCH_CHANGES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChangesUp {
    /// Number of the statement that lists them.
    #[n(0)]
    pub statement: u64,
    /// The statement, if the server lacks it.
    #[n(1)]
    pub signed: Option<StatementUp>,
    /// Which of the listed changes these are: first index and count, ascending.
    #[n(2)]
    pub items: Vec<(u32, u32)>,
    /// Under which forms they were made, in order.
    #[n(3)]
    pub forms: Vec<FormRun>,
    /// The changes, transcoded.
    #[n(4)]
    pub packed: ByteVec,
}

/// A [`super::Statement`] without what the server works out: version, device, user and number from the request, the hash of the
/// statement before from its store, the hashes of changes from their bodies.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StatementUp {
    /// First 4 bytes of the hash of the statement before: where the server has another, the device was cloned or rolled
    /// back.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub previous: [u8; 4],
    /// Its feed and actor; `None` = those of the statement before, which the receiver holds.
    #[n(1)]
    pub by: Option<(FeedId, ActorId)>,
    /// How many changes it lists.
    #[n(2)]
    pub length: u32,
    /// Hashes of those that the same message does not bring, each with its index; ascending.
    #[n(3)]
    pub hashes: Vec<(u32, ChangeHash)>,
    /// Ed25519 signature over `"fieldbook statement v1\0"` and the CBOR of the whole [`super::Statement`].
    #[cbor(n(4), with = "minicbor::bytes")]
    pub signature: [u8; 64],
}

/// Changes in a row that were made under the same forms.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FormRun {
    /// How many.
    #[n(0)]
    pub count: u32,
    /// Form that the records were created under (their creation changes are rebuilt from it); `None`: the receiver holds
    /// them.
    #[n(1)]
    pub created: Option<CreatedUnder>,
    /// Form version that the saves were made under; `None` = the one that the records were created under.
    #[n(2)]
    pub saved_version: Option<String>,
}

/// The form that a record was created under.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CreatedUnder {
    /// Kind of the record.
    #[n(0)]
    pub kind: String,
    /// Version of its form.
    #[n(1)]
    pub version: String,
}

/// Changes on their way down, at most [`super::limits::BATCH_CHANGES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChangesDown {
    /// Which entries they are: feed (index in the list of `Feeds`), first position, count.
    #[n(0)]
    pub runs: Vec<(u32, u64, u32)>,
    /// When the server received them: count, and milliseconds since the one before (the first since 1970 UTC).
    #[n(1)]
    pub times: Vec<(u32, i64)>,
    /// What is said of records with their first entry: index among these entries, and that.
    #[n(2)]
    pub starts: Vec<(u32, RecordStart)>,
    /// The receiving device's own changes: index among these entries, statement, index in its list, count.
    #[n(3)]
    pub own: Vec<(u32, u64, u32, u32)>,
    /// First 4 bytes of the SHA-256 of all hashes in order, own changes included.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub check: [u8; CHANGES_CHECK_BYTES],
    /// The others, transcoded.
    #[n(5)]
    pub packed: ByteVec,
}
