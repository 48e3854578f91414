//! What the server itself says in a feed.

use minicbor::{Decode, Encode};

use crate::access::{Decision, Unit};
use crate::ids::{ActorId, ChangeHash, DeviceId, RecordId, UserId};

/// A notice entry.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Notice {
    /// A form was published: kind or new version (general feed).
    #[n(0)]
    Form {
        /// The kind.
        #[n(0)]
        kind: String,
        /// The version.
        #[n(1)]
        version: String,
        /// SHA-256 of the compiled form, the CBOR of `FormDefinition`, which comes by itself.
        #[cbor(n(2), with = "minicbor::bytes")]
        form: [u8; 32],
    },
    /// Who writes under an actor (general feed of the device's unit).
    #[n(1)]
    Actor {
        /// The actor.
        #[n(0)]
        actor: ActorId,
        /// The device that first used it; it is the device's for ever.
        #[n(1)]
        device: DeviceId,
        /// The user.
        #[n(2)]
        user: UserId,
        /// The user's name as shown.
        #[n(3)]
        name: String,
    },
    /// A unit was added or renamed (general feed).
    #[n(2)]
    Unit(#[n(0)] Unit),
    /// A supervisor decided on a record (the record's own feed).
    #[n(3)]
    Review(#[n(0)] Review),
    /// Another root key takes over later (general feed of the topmost unit). Until it does, the present one holds.
    #[n(4)]
    Root {
        /// The successor's Ed25519 public key.
        #[cbor(n(0), with = "minicbor::bytes")]
        root: [u8; 32],
        /// Ed25519 over `"fieldbook root v1\0"`, the log's id and `root`, by the root key that holds now.
        #[cbor(n(1), with = "minicbor::bytes")]
        signature: [u8; 64],
    },
}

/// A supervisor's decision on a record, pinned to the exact heads that were read.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Review {
    /// The record.
    #[n(0)]
    pub record: RecordId,
    /// The heads that the reviewer had read, sorted.
    #[n(1)]
    pub heads: Vec<ChangeHash>,
    /// What was decided.
    #[n(2)]
    pub decision: Decision,
    /// Reasons, in the reviewer's words.
    #[n(3)]
    pub reasons: String,
    /// With `Return`: the fields that are open again; empty = all.
    #[n(4)]
    pub fields: Vec<String>,
    /// Who decided.
    #[n(5)]
    pub reviewer: UserId,
    /// The reviewer's name as shown.
    #[n(6)]
    pub reviewer_name: String,
    /// When, milliseconds since 1970 UTC, by the server's clock.
    #[n(7)]
    pub time_ms: i64,
    /// With `Void`: this record is a double of that one, which stays.
    #[n(8)]
    pub same_as: Option<RecordId>,
}
