//! The messages of an exchange and of enrolment.

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use super::changes::{ChangesDown, ChangesUp};
use super::notice::Notice;
use super::restored::{LostFeed, Returned};
use super::segments::Segment;
use super::township::{Hosted, HostedDevice, Township};
use crate::access::{Area, FeedId, Role, Unit};
use crate::ids::{ActorId, ChangeHash, DeviceId, LogId, RecordId, UserId};

/// SHA-256 of a statement's signed bytes.
pub type StatementHash = [u8; 32];

/// What a device has seen of one feed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CursorState {
    /// The feed.
    #[n(0)]
    pub feed: FeedId,
    /// Epoch of the server's log that the device has heard of.
    #[n(1)]
    pub epoch: u32,
    /// Entries seen; 0 = none.
    #[n(2)]
    pub position: u64,
    /// Chain hash after that entry; zeroes at position 0.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub chain: [u8; 32],
    /// The device holds a signed head at exactly this position (true at position 0); no part of the digest.
    #[n(4)]
    pub signed: bool,
}

/// How a request names the device's cursors.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Cursors {
    /// SHA-256, cut to 16 bytes, over log id, registry version and all cursors, as the server last confirmed them.
    #[n(0)]
    Digest(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]),
    /// All cursors in full: the first time, and after a broken exchange.
    #[n(1)]
    Full {
        /// The server's log that they belong to; `None` before the first exchange.
        #[n(0)]
        log: Option<LogId>,
        /// Version of the feed list that the device holds.
        #[n(1)]
        registry: u64,
        /// One per followed feed, sorted by feed.
        #[n(2)]
        cursors: Vec<CursorState>,
    },
}

/// First thing of a request: who asks, and what it has seen.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RequestHeader {
    /// [`super::limits::PROTOCOL_VERSION`].
    #[n(0)]
    pub version: u16,
    /// The device.
    #[n(1)]
    pub device: DeviceId,
    /// First 8 bytes of the SHA-256 of the server's signing key: a request for one server is no request for another.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub server_key: [u8; 8],
    /// Grows with every request, stored before sending; the server takes none at or below the last.
    #[n(3)]
    pub counter: u64,
    /// What the device has seen.
    #[n(4)]
    pub cursors: Cursors,
    /// The device's wall clock, milliseconds since 1970 UTC: only to tell the user that it is wrong.
    #[n(5)]
    pub device_time_ms: i64,
    /// Nothing is uploaded: the device asks how far a broken exchange got.
    #[n(6)]
    pub probe: bool,
    /// Nothing is shortened in this exchange, in either direction: own changes come down as bodies too, and every change
    /// travels raw. For a device that no longer has what was named, or whose names the server could not make out.
    #[n(7)]
    pub in_full: bool,
    /// Number of the last verdict that the device has stored; the server forgets it and those before it.
    #[n(8)]
    pub verdicts: u64,
    /// Kind and version of the forms whose notices the device has, but not the forms themselves, in the order of their
    /// notices; at most [`super::limits::FORMS_WANTED_MAX`].
    #[n(9)]
    pub forms: Option<Vec<(String, String)>>,
    /// First 8 bytes of the names of segments of which the device keeps bytes: it would go on with these; at most
    /// [`super::limits::SEGMENTS_OFFERED_MAX`].
    #[n(10)]
    pub segments: Option<Vec<ByteArray<8>>>,
    /// In an exchange with, or of, a township hub.
    #[n(11)]
    pub township: Option<Township>,
}

/// Upwards, inside frames.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Up {
    /// Changes of one statement; with the statement where the server lacks it.
    #[n(0)]
    Changes(#[n(0)] ChangesUp),
    /// A piece of a message that does not fit a frame; the pieces concatenate to one CBOR message.
    #[n(1)]
    Part {
        /// 0-based.
        #[n(0)]
        index: u32,
        /// How many.
        #[n(1)]
        count: u32,
        /// At most [`super::limits::PART_BYTES`].
        #[n(2)]
        bytes: ByteVec,
    },
    /// The last signed head of a feed that the server lost entries of: what [`Up::Returned`] chains to.
    #[n(2)]
    Head(#[n(0)] SignedHead),
    /// An entry that the server lost, given back.
    #[n(3)]
    Returned(#[n(0)] Returned),
    /// From here on a hub brings statements and changes of this device, until it names another.
    #[n(20)]
    OnBehalf(#[n(0)] DeviceId),
}

/// What a device signs: which changes it stands for, in order. Made once, sent until all of it has arrived.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Statement {
    /// [`super::limits::PROTOCOL_VERSION`].
    #[n(0)]
    pub version: u16,
    /// The device that signs.
    #[n(1)]
    pub device: DeviceId,
    /// 1, 2, 3 … per device.
    #[n(2)]
    pub number: u64,
    /// Hash of the device's statement `number − 1`; zeroes for the first.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub previous: StatementHash,
    /// The feed that the changes are meant for.
    #[n(4)]
    pub feed: FeedId,
    /// The actor that all of them carry.
    #[n(5)]
    pub actor: ActorId,
    /// The user who made them.
    #[n(6)]
    pub user: UserId,
    /// Hashes in the order in which they were made.
    #[n(7)]
    pub changes: Vec<ChangeHash>,
}

/// Downwards, inside frames.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Down {
    /// First message of every answer.
    #[n(0)]
    Hello {
        /// The server's wall clock, milliseconds since 1970 UTC.
        #[n(0)]
        server_time_ms: i64,
        /// The server's log; `None` where the request's digest already named it.
        #[n(1)]
        log: Option<LogId>,
        /// Number of the device's last statement that the server holds; 0 = none.
        #[n(2)]
        statement: u64,
        /// First 8 bytes of its hash, all 32 in the answer to a probe, none if there is no statement: where it differs
        /// from the device's own, the device was cloned or rolled back.
        #[n(3)]
        statement_hash: ByteVec,
        /// Statement and index of the last body that the server has made durable; a device sends bodies in this order, so
        /// it has all before it too.
        #[n(4)]
        taken: Option<(u64, u32)>,
        /// The cursors' digest is unknown: send them in full. What was uploaded is taken; verdicts follow, no entries.
        #[n(5)]
        cursors_wanted: bool,
        /// The device has confirmed verdicts up to this number before, and this request names less: it was cloned or
        /// rolled back, and what it has not heard is forgotten here.
        #[n(6)]
        told: Option<u64>,
    },
    /// The feeds that the device follows from now on; records of feeds that are gone are removed from it.
    #[n(1)]
    Feeds {
        /// Version of this list.
        #[n(0)]
        registry: u64,
        /// Each with the epoch that it is in, sorted.
        #[n(1)]
        feeds: Vec<(FeedId, u32)>,
        /// What the user may do, and where.
        #[n(2)]
        roles: Vec<(Role, String)>,
        /// Code of the unit to which new records belong.
        #[n(3)]
        unit: String,
    },
    /// What became of an uploaded change that was not accepted (accepted ones come back as entries).
    #[n(2)]
    Verdict {
        /// 1, 2, 3 … per device; the next header's `verdicts` confirms it.
        #[n(0)]
        number: u64,
        /// What was decided.
        #[n(1)]
        verdict: Verdict,
    },
    /// The next entry of a feed, if it is no change; `feed` counts in the list of [`Down::Feeds`].
    #[n(3)]
    Entry {
        /// Index of the feed.
        #[n(0)]
        feed: u32,
        /// The entry.
        #[n(1)]
        entry: Entry,
    },
    /// The server's signature over a feed's head, at the position that this answer has reached; only for feeds that moved.
    #[n(4)]
    Head {
        /// Index of the feed.
        #[n(0)]
        feed: u32,
        /// When it was signed, milliseconds after [`Down::Hello`]'s `server_time_ms`.
        #[n(1)]
        after_ms: i64,
        /// The signature of the [`SignedHead`].
        #[cbor(n(2), with = "minicbor::bytes")]
        signature: [u8; 64],
    },
    /// Piece of a larger message, as upwards.
    #[n(5)]
    Part {
        /// 0-based.
        #[n(0)]
        index: u32,
        /// How many.
        #[n(1)]
        count: u32,
        /// At most [`super::limits::PART_BYTES`].
        #[n(2)]
        bytes: ByteVec,
    },
    /// Last message: everything up to here is durable on the server.
    #[n(6)]
    Done {
        /// More entries wait: exchange again.
        #[n(0)]
        more: bool,
        /// Digest of the cursors after this answer, as the server remembers them; `None` if it is the request's own.
        #[n(1)]
        digest: Option<ByteArray<16>>,
        /// The device or its user is revoked: uploads went to quarantine; once nothing is left to upload, the app erases
        /// its store. The server's signature over exactly this exchange (`docs/PROTOCOL.md` §5): nothing else erases one.
        #[n(2)]
        revoked: Option<ByteArray<64>>,
    },
    /// The exchange ends here for a reason; frames applied so far stay.
    #[n(7)]
    Error(#[n(0)] ErrorAnswer),
    /// The next entries of feeds, all of them changes.
    #[n(8)]
    Changes(#[n(0)] ChangesDown),
    /// The server lost data. Directly behind Hello; only Done follows, and if feeds are named, no
    /// change of the request was taken.
    #[n(9)]
    Restored {
        /// Nothing is served until an administrator has confirmed; uploads are taken.
        #[n(0)]
        awaiting: bool,
        /// Where the device has seen more than the log holds.
        #[n(1)]
        feeds: Vec<LostFeed>,
    },
    /// A form that a notice has named: CBOR of `FormDefinition`.
    #[n(10)]
    Form(#[n(0)] ByteVec),
    /// The same, compressed apart ([`crate::sync::pack_form`]): against the largest of the answer's packed forms
    /// before it, if there are any.
    #[n(12)]
    PackedForm(#[n(0)] ByteVec),
    /// Entries of a feed that are fetched apart, in order and without a gap from the device's place on.
    #[n(11)]
    Segments {
        /// Index of the feed.
        #[n(0)]
        feed: u32,
        /// At most [`super::limits::SEGMENTS_OFFERED_MAX`].
        #[n(1)]
        segments: Vec<Segment>,
    },
    /// To a hub: what is held now of a device for which it has spoken.
    #[n(20)]
    Hosted(#[n(0)] Hosted),
    /// To a hub: every device that it serves, sorted, if its list is another one.
    #[n(21)]
    Devices(#[n(0)] Vec<HostedDevice>),
    /// To a hub: its TLS certificate (DER), by the server's root key.
    #[n(22)]
    Certificate(#[n(0)] ByteVec),
}

/// One entry of a feed, at its position.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Entry {
    /// 1, 2, 3 … within the feed, over all epochs.
    #[n(0)]
    pub position: u64,
    /// When the server received it, milliseconds since 1970 UTC.
    #[n(1)]
    pub received_ms: i64,
    /// What happened.
    #[n(2)]
    pub body: EntryBody,
}

/// What an entry says, as the log holds it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum EntryBody {
    /// Somebody's accepted change. It travels within [`Down::Changes`].
    #[n(0)]
    Change {
        /// The record.
        #[n(0)]
        record: RecordId,
        /// With a record's first entry in this feed, and with its first one after it came back.
        #[n(1)]
        first: Option<RecordStart>,
        /// Raw automerge change.
        #[n(2)]
        bytes: ByteVec,
    },
    /// A record left for another feed: its entries before this one are [`EntryBody::Erased`].
    #[n(1)]
    MovedOut {
        /// The record.
        #[n(0)]
        record: RecordId,
        /// Where it went.
        #[n(1)]
        to: FeedId,
        /// Grows with each move of the record, and beyond all before with an epoch.
        #[n(2)]
        number: u64,
    },
    /// A record arrived from another feed. All its changes and reviews follow, in order, as entries of this feed.
    #[n(2)]
    MovedIn {
        /// The record.
        #[n(0)]
        record: RecordId,
        /// Where it came from.
        #[n(1)]
        from: FeedId,
        /// Grows with each move of the record, and beyond all before with an epoch.
        #[n(2)]
        number: u64,
    },
    /// A record is erased everywhere and for ever.
    #[n(3)]
    Purge {
        /// The record.
        #[n(0)]
        record: RecordId,
    },
    /// Something that the server says: a form, an actor, a review.
    #[n(4)]
    Notice(#[n(0)] Notice),
    /// What remains of an earlier entry of a purged record: its leaf, so that the chain still closes.
    #[n(5)]
    Erased(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]),
}

/// What a record's first entry in a feed says about it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RecordStart {
    /// Kind of the record.
    #[n(0)]
    pub kind: String,
    /// Form version that its creation change is rebuilt from.
    #[n(1)]
    pub created_version: String,
    /// Key of the record's chain leaves, drawn by the server; dies with a purge.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub salt: [u8; 8],
    /// Number of the move that brought the record into this feed; `None` in the feed that it began in.
    #[n(3)]
    pub moved: Option<u64>,
}

/// The server's signature over a feed's head.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedHead {
    /// The log.
    #[n(0)]
    pub log: LogId,
    /// The feed.
    #[n(1)]
    pub feed: FeedId,
    /// Epoch.
    #[n(2)]
    pub epoch: u32,
    /// Position of the head.
    #[n(3)]
    pub position: u64,
    /// Chain hash there.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub chain: [u8; 32],
    /// When it was signed, milliseconds since 1970 UTC.
    #[n(5)]
    pub time_ms: i64,
    /// Ed25519 over `"fieldbook head v1\0"` and the CBOR of the fields before.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub signature: [u8; 64],
}

/// Reason of a verdict on a change of a purged record: the device erases the record too.
pub const PURGED: &str = "purged";

/// Why a change was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Verdict {
    /// The change.
    #[n(0)]
    pub change: ChangeHash,
    /// The record.
    #[n(1)]
    pub record: RecordId,
    /// Refused, quarantined or taken otherwise.
    #[n(2)]
    pub kind: VerdictKind,
    /// Stable reason word, such as `not_your_field`, `after_submission`, `depends_on_quarantined`, `malformed`.
    #[n(3)]
    pub reason: String,
    /// Paths of the fields that the author may not write; others of the same change may be issued again.
    #[n(4)]
    pub fields: Vec<String>,
    /// With `Taken`: the change in the log that holds what this one wrote.
    #[n(5)]
    pub by: Option<ChangeHash>,
}

/// Refused, quarantined or taken otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum VerdictKind {
    /// Malformed or unsigned: never stored.
    #[n(0)]
    Refused,
    /// Well-formed but not allowed: stored apart; a supervisor can admit it.
    #[n(1)]
    Quarantined,
    /// What it wrote, or what was left of it, is in the log by another change: nothing is lost and nothing to be done.
    #[n(2)]
    Taken,
}

/// An error as the server answers it, in frames or as the body of an HTTP error status.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ErrorAnswer {
    /// Stable kind.
    #[n(0)]
    pub kind: ErrorKind,
    /// Detail for the log and support, in English, without personal data.
    #[n(1)]
    pub detail: String,
    /// When to try again, if waiting helps.
    #[n(2)]
    pub retry_after_ms: Option<u64>,
    /// With [`ErrorKind::Replayed`]: the last counter that the server took.
    #[n(3)]
    pub counter: Option<u64>,
}

/// Stable kinds of [`ErrorAnswer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ErrorKind {
    /// Not a message of this protocol.
    #[n(0)]
    Malformed,
    /// Unknown protocol version: update the app or the server.
    #[n(1)]
    Version,
    /// Device unknown here: enrol again.
    #[n(2)]
    UnknownDevice,
    /// Signature does not fit.
    #[n(3)]
    BadSignature,
    /// Counter already used: a replayed request, or a restored phone.
    #[n(4)]
    Replayed,
    /// The device's statements do not chain: it was cloned or rolled back.
    #[n(6)]
    Forked,
    /// A named limit was exceeded.
    #[n(7)]
    TooLarge,
    /// Enrolment code unknown, used or expired.
    #[n(8)]
    Code,
    /// The server cannot now (disk full, shutting down, awaiting an administrator).
    #[n(9)]
    Unavailable,
    /// Too many requests.
    #[n(10)]
    Busy,
    /// The request is meant for another server key: this is not the server that the device enrolled with.
    #[n(11)]
    WrongServer,
    /// A cursor does not fit the server's log: the server lost data; an administrator must confirm.
    #[n(12)]
    LogMismatch,
    /// Something was shortened that the server cannot make out: send in full.
    #[n(13)]
    Unresolved,
}

/// Asks to become a device: body of `POST /sync/1/enrol`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EnrolRequest {
    /// [`super::limits::PROTOCOL_VERSION`].
    #[n(0)]
    pub version: u16,
    /// The one-time code of the link.
    #[n(1)]
    pub code: String,
    /// The device's new Ed25519 public key.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub device_key: [u8; 32],
    /// Ed25519 over `"fieldbook enrol v1\0"` and the code, by that key.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub signature: [u8; 64],
    /// Model or host name as shown to administrators, at most 100 characters.
    #[n(4)]
    pub device_name: String,
}

/// Makes it a device.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EnrolAnswer {
    /// The new device.
    #[n(0)]
    pub device: DeviceId,
    /// Its user.
    #[n(1)]
    pub user: UserId,
    /// The user's name as shown.
    #[n(2)]
    pub user_name: String,
    /// The unit to which new records belong.
    #[n(3)]
    pub unit: Unit,
    /// What the user may do, and where.
    #[n(4)]
    pub roles: Vec<(Role, String)>,
    /// The server's log.
    #[n(5)]
    pub log: LogId,
    /// The server's signing key (Ed25519).
    #[cbor(n(6), with = "minicbor::bytes")]
    pub server_key: [u8; 32],
    /// Ed25519 over `"fieldbook server key v1\0"` and `server_key`, by the root key that the link pins.
    #[cbor(n(7), with = "minicbor::bytes")]
    pub server_key_signature: [u8; 64],
    /// The server's name as shown.
    #[n(8)]
    pub server_name: String,
    /// Areas that the device's roles read.
    #[n(9)]
    pub areas: Vec<Area>,
}
