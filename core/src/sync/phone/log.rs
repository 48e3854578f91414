//! What the device's half needs of the phone's store.

use std::sync::Arc;

use crate::access::{FeedId, Role};
use crate::document::{ChangeState, Document, PendingEntry, RawChange, RecordMeta, Rendition, TouchedField};
use crate::forms::FormDefinition;
use crate::ids::{ActorId, ChangeHash, DeviceId, LogId, RecordId, UserId};
use crate::protocol::limits::{CHANGE_PREFIX_BYTES, RECORD_PREFIX_BYTES};
use crate::protocol::{EntryBody, Notice, SignedHead, StatementHash, Verdict};
use crate::sync::LogError;

/// Who this installation is, fixed at enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneIdentity {
    /// The device.
    pub device: DeviceId,
    /// Its user.
    pub user: UserId,
    /// The server's log.
    pub log: LogId,
    /// The server's signing key (Ed25519), certified by the pinned root at enrolment.
    pub server_key: [u8; 32],
}

/// Records of feeds that are not followed, after [`PhoneLog::remove_unfollowed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// How many were removed.
    pub removed: usize,
    /// How many stay until what waits of them is settled.
    pub waiting: usize,
}

/// One followed feed and how far it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedFeed {
    /// The feed.
    pub feed: FeedId,
    /// Epoch of the server's log when the list came.
    pub epoch: u32,
    /// Entries seen.
    pub position: u64,
    /// Chain hash after the last one; zeroes at position 0.
    pub chain: [u8; 32],
    /// Position of the last signed head that was stored for this epoch; 0 = none.
    pub head_position: u64,
}

/// What this phone keeps of one entry of a feed: enough to prove and to give it back.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedEntry {
    /// Its position.
    pub position: u64,
    /// When the server received it, milliseconds since 1970 UTC.
    pub received_ms: i64,
    /// Chain hash after it.
    pub chain: [u8; 32],
    /// What it said.
    pub kept: Kept,
}

/// What an entry said.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    /// This change of this record; its bytes are in the document.
    Change(RecordId, ChangeHash),
    /// Something else; a published form only as its leaf.
    Other(EntryBody),
}

/// A change of the outbox that no statement lists yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unstated {
    /// The record.
    pub record: RecordId,
    /// The feed that the record was in when the change was made: its unit and the area of its kind.
    pub feed: FeedId,
    /// The actor that the change carries.
    pub actor: ActorId,
    /// The change.
    pub hash: ChangeHash,
    /// Bytes of the raw change.
    pub size: usize,
}

/// A stated change that is ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// Number of the statement that lists it.
    pub statement: u64,
    /// Position in that statement's list.
    pub index: u32,
    /// The record.
    pub record: RecordId,
    /// The server surely holds the record, of this kind and form version: an entry of it came down.
    pub known: bool,
    /// Kind of the record.
    pub kind: String,
    /// Form version that the record was created under.
    pub created_version: String,
    /// Form version that this save was made under.
    pub form_version: String,
    /// Raw change.
    pub bytes: Vec<u8>,
}

/// A signed statement as it was stored before it was first sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStatement {
    /// 1, 2, 3 … per device.
    pub number: u64,
    /// SHA-256 of `bytes`.
    pub hash: StatementHash,
    /// CBOR of [`crate::protocol::Statement`].
    pub bytes: Vec<u8>,
    /// The device's signature.
    pub signature: [u8; 64],
}

/// One own change that is not yet under a signed head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxChange {
    /// The change.
    pub hash: ChangeHash,
    /// The record.
    pub record: RecordId,
    /// The feed that the record was in when the change was made; once it has entered a feed, that one.
    pub feed: FeedId,
    /// Statement number and position in its list, once stated.
    pub statement: Option<(u64, u32)>,
    /// Where it stands.
    pub status: ChangeState,
    /// Raw change.
    pub bytes: Vec<u8>,
}

/// What is put before the user: answers that the server did not take and that were not issued again.
#[derive(Clone, Debug, PartialEq)]
pub struct NotTaken {
    /// The record.
    pub record: RecordId,
    /// The change as it was made; its body stays in the outbox under [`ChangeState::NotTaken`] or
    /// [`ChangeState::Withdrawn`].
    pub change: ChangeHash,
    /// The author's time, seconds since 1970 UTC.
    pub time_s: i64,
    /// Stable reason word of the verdict.
    pub reason: String,
    /// The answers that were left out.
    pub fields: Vec<TouchedField>,
}

/// The phone's store as the sync machine sees it.
///
/// Calls between [`PhoneLog::begin`] and [`PhoneLog::commit`] are one transaction, durable (fsync) when `commit`
/// returns; nothing of it stays after [`PhoneLog::rollback`] or a crash. Reading calls may come outside of one.
/// The machine holds no state over a break: everything that it must remember is in here.
pub trait PhoneLog {
    /// Opens a transaction.
    ///
    /// # Errors
    /// [`LogError`], as for every method below.
    fn begin(&mut self) -> Result<(), LogError>;
    /// Makes the open transaction durable.
    ///
    /// # Errors
    /// [`LogError`]; the transaction is then rolled back.
    fn commit(&mut self) -> Result<(), LogError>;
    /// Drops the open transaction; does nothing if none is open.
    fn rollback(&mut self);

    /// Who this installation is.
    ///
    /// # Errors
    /// [`LogError`], also when the phone is not enrolled.
    fn identity(&mut self) -> Result<PhoneIdentity, LogError>;
    /// The machine's own small state (at most 4 KB), as [`PhoneLog::put_sync_state`] stored it; `None` at first.
    ///
    /// # Errors
    /// [`LogError`].
    fn sync_state(&mut self) -> Result<Option<Vec<u8>>, LogError>;
    /// Stores the machine's own small state: request counter, digest, verdict number. Opaque to the store.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_sync_state(&mut self, state: &[u8]) -> Result<(), LogError>;
    /// The actor under which this installation writes.
    ///
    /// # Errors
    /// [`LogError`].
    fn actor(&mut self) -> Result<ActorId, LogError>;
    /// From now on every save of this installation is made under `actor`.
    ///
    /// # Errors
    /// [`LogError`].
    fn set_actor(&mut self, actor: ActorId) -> Result<(), LogError>;
    /// Has this installation ever written under `actor`?
    ///
    /// # Errors
    /// [`LogError`].
    fn is_own_actor(&mut self, actor: &ActorId) -> Result<bool, LogError>;

    /// The followed feeds, sorted by [`FeedId`]: the order that [`crate::protocol::Down::Entry`] counts in.
    ///
    /// # Errors
    /// [`LogError`].
    fn feeds(&mut self) -> Result<Vec<FollowedFeed>, LogError>;
    /// Replaces the list of followed feeds, each with its epoch, and stores what the user may do and the unit that new
    /// records belong to. New feeds start at
    /// position 0 with a zero chain; one whose epoch changed keeps its place, and its signed head counts no more. Records
    /// of feeds that are gone stay until [`PhoneLog::remove_unfollowed`].
    ///
    /// # Errors
    /// [`LogError`].
    fn set_feeds(&mut self, feeds: &[(FeedId, u32)], roles: &[(Role, String)], unit: &str) -> Result<(), LogError>;
    /// Removes the records of feeds that are not followed and of which nothing waits: no change that the server does
    /// not have, no verdict that is not settled. What [`PhoneLog::settle`] put before the user stays, and so do drafts:
    /// nobody else has them.
    ///
    /// # Errors
    /// [`LogError`].
    fn remove_unfollowed(&mut self) -> Result<Leaving, LogError>;
    /// Moves a feed's cursor.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_cursor(&mut self, feed: &FeedId, position: u64, chain: &[u8; 32]) -> Result<(), LogError>;
    /// Stores the last signed head of a feed. Own changes [`ChangeState::Entered`] in this feed at or below its
    /// position are now on the server: their outbox rows go (only a signed head removes them).
    ///
    /// # Errors
    /// [`LogError`].
    fn put_head(&mut self, head: &SignedHead) -> Result<(), LogError>;
    /// Keeps an entry of a feed, in place of another at its position. A change that was lost is there again.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_feed_entry(&mut self, feed: &FeedId, entry: &FeedEntry) -> Result<(), LogError>;
    /// The entry kept for a position.
    ///
    /// # Errors
    /// [`LogError`].
    fn feed_entry(&mut self, feed: &FeedId, position: u64) -> Result<Option<FeedEntry>, LogError>;
    /// The last signed head of a feed.
    ///
    /// # Errors
    /// [`LogError`].
    fn signed_head(&mut self, feed: &FeedId) -> Result<Option<SignedHead>, LogError>;
    /// The server's log ends at `above`: changes that stood behind it are "sent" until they come down again.
    ///
    /// # Errors
    /// [`LogError`].
    fn mark_lost(&mut self, feed: &FeedId, above: u64) -> Result<(), LogError>;
    /// Sets a feed's cursor back. What is kept of later entries goes, with reviews among them and a later signed head;
    /// own changes behind it become [`ChangeState::Stated`] again.
    ///
    /// # Errors
    /// [`LogError`].
    fn rewind(&mut self, feed: &FeedId, position: u64, chain: &[u8; 32]) -> Result<(), LogError>;

    /// Changes that no statement lists yet, in the order in which they were saved, at most `limit`.
    ///
    /// # Errors
    /// [`LogError`].
    fn unstated(&mut self, limit: usize) -> Result<Vec<Unstated>, LogError>;
    /// Stores a statement, and number and index with each change that it lists (in this order, index from 0), which
    /// become [`ChangeState::Stated`].
    ///
    /// # Errors
    /// [`LogError`].
    fn put_statement(&mut self, statement: &StoredStatement, changes: &[ChangeHash]) -> Result<(), LogError>;
    /// The last statement's number and hash; (0, zeroes) before the first.
    ///
    /// # Errors
    /// [`LogError`].
    fn last_statement(&mut self) -> Result<(u64, StatementHash), LogError>;
    /// The hash of statement `number`, if it is stored.
    ///
    /// # Errors
    /// [`LogError`].
    fn statement_hash(&mut self, number: u64) -> Result<Option<StatementHash>, LogError>;
    /// Takes over the server's last statement after a fork: numbering goes on behind it. Statements with a higher
    /// number are dropped; their changes go back to [`ChangeState::Unstated`].
    ///
    /// # Errors
    /// [`LogError`].
    fn adopt_statement(&mut self, number: u64, hash: &StatementHash) -> Result<(), LogError>;
    /// Statements above `number`, by number, at most `limit`; without those of which only the hash is here.
    ///
    /// # Errors
    /// [`LogError`].
    fn statements_after(&mut self, number: u64, limit: usize) -> Result<Vec<StoredStatement>, LogError>;
    /// Changes [`ChangeState::Stated`], ready to send, by (statement, index), beginning behind `after`, at most
    /// `limit`.
    ///
    /// # Errors
    /// [`LogError`].
    fn unsent(&mut self, after: Option<(u64, u32)>, limit: usize) -> Result<Vec<Unsent>, LogError>;
    /// The server has the bodies up to this statement and index only: [`ChangeState::Sent`] beyond it becomes
    /// [`ChangeState::Stated`] again.
    ///
    /// # Errors
    /// [`LogError`].
    fn mark_unsent(&mut self, beyond: Option<(u64, u32)>) -> Result<(), LogError>;
    /// The server has the bodies up to this statement and index: [`ChangeState::Stated`] becomes
    /// [`ChangeState::Sent`]. Returns how many did.
    ///
    /// # Errors
    /// [`LogError`].
    fn mark_sent(&mut self, through: (u64, u32)) -> Result<u64, LogError>;
    /// A township hub has the bodies up to this statement and index: changes [`ChangeState::Stated`] up to there are shown
    /// as at the township. They are to be sent to the server as before. Returns how many were not before.
    ///
    /// # Errors
    /// [`LogError`].
    fn mark_held(&mut self, through: (u64, u32)) -> Result<u64, LogError>;
    /// The hub has the bodies up to this statement and index only.
    ///
    /// # Errors
    /// [`LogError`].
    fn mark_not_held(&mut self, beyond: Option<(u64, u32)>) -> Result<(), LogError>;
    /// Records with changes in the outbox that are [`ChangeState::Unstated`] or [`ChangeState::Stated`] or
    /// [`ChangeState::Sent`], by record id, beginning behind `after`, at most `limit`.
    ///
    /// # Errors
    /// [`LogError`].
    fn outbox_records(&mut self, after: Option<&RecordId>, limit: usize) -> Result<Vec<RecordId>, LogError>;
    /// All outbox rows of one record, in the order in which they were saved.
    ///
    /// # Errors
    /// [`LogError`].
    fn outbox_of(&mut self, record: &RecordId) -> Result<Vec<OutboxChange>, LogError>;
    /// The outbox's row at this place of an own statement, whatever its state. `None` if it is not there (any more).
    ///
    /// # Errors
    /// [`LogError`].
    fn own_change(&mut self, statement: u64, index: u32) -> Result<Option<OutboxChange>, LogError>;
    /// Sets where an own change stands that has not entered a feed; nothing if it is not in the outbox.
    ///
    /// # Errors
    /// [`LogError`].
    fn set_status(&mut self, hash: &ChangeHash, status: ChangeState) -> Result<(), LogError>;
    /// An own change came back as the entry at `position` of `feed`: it is [`ChangeState::Entered`] there, whichever
    /// feed it was made for. What [`PhoneLog::settle`] stored of it for the user goes: it was taken after all. Nothing
    /// if it is not in the outbox.
    ///
    /// # Errors
    /// [`LogError`].
    fn set_entered(&mut self, hash: &ChangeHash, feed: &FeedId, position: u64) -> Result<(), LogError>;
    /// Adds a change that this installation issued again to the end of the outbox, as [`ChangeState::Unstated`], for
    /// the feed that the change was made for that it stands for. The document that holds it is stored by
    /// [`PhoneLog::put_document`] in the same transaction.
    ///
    /// # Errors
    /// [`LogError`].
    fn add_to_outbox(&mut self, record: &RecordId, feed: &FeedId, change: &RawChange) -> Result<(), LogError>;
    /// Stores a verdict by its change.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_verdict(&mut self, verdict: &Verdict) -> Result<(), LogError>;
    /// The stored verdict on a change.
    ///
    /// # Errors
    /// [`LogError`].
    fn verdict(&mut self, change: &ChangeHash) -> Result<Option<Verdict>, LogError>;
    /// Records with a verdict that no [`PhoneLog::settle`] has closed yet, at most `limit`.
    ///
    /// # Errors
    /// [`LogError`].
    fn unsettled(&mut self, limit: usize) -> Result<Vec<RecordId>, LogError>;
    /// Closes all verdicts of a record and stores what is put before the user.
    ///
    /// # Errors
    /// [`LogError`].
    fn settle(&mut self, record: &RecordId, not_taken: &[NotTaken]) -> Result<(), LogError>;

    /// What is known of a record; `None` if it is unknown.
    ///
    /// # Errors
    /// [`LogError`].
    fn record_meta(&mut self, record: &RecordId) -> Result<Option<RecordMeta>, LogError>;
    /// Stores kind, version, feed and salt of a record, known or not; touches no document.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_record_meta(&mut self, record: &RecordId, meta: &RecordMeta) -> Result<(), LogError>;
    /// The one record whose id begins so; `None` where there is none or more than one.
    ///
    /// # Errors
    /// [`LogError`].
    fn record_by_prefix(&mut self, prefix: &[u8; RECORD_PREFIX_BYTES]) -> Result<Option<RecordId>, LogError>;
    /// The one change of the record whose hash begins so, among those of its document and those that are pending.
    ///
    /// # Errors
    /// [`LogError`].
    fn change_by_prefix(
        &mut self,
        record: &RecordId,
        prefix: &[u8; CHANGE_PREFIX_BYTES],
    ) -> Result<Option<ChangeHash>, LogError>;
    /// The record's document.
    ///
    /// # Errors
    /// [`LogError`].
    fn document(&mut self, record: &RecordId) -> Result<Option<Document>, LogError>;
    /// Stores a document and everything derived from it (read row, search, person index), except the outbox. A
    /// `rendition` of it saves work; one that is not of these heads is of no use.
    /// Returns how many conflicts the record shows now.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_document(
        &mut self,
        record: &RecordId,
        document: &Document,
        rendition: Option<Rendition>,
    ) -> Result<u32, LogError>;
    /// A form of a kind: that version, or with `None` the current one.
    ///
    /// # Errors
    /// [`LogError`].
    fn form(&mut self, kind: &str, version: Option<&str>) -> Result<Option<Arc<FormDefinition>>, LogError>;
    /// Applies what the server says: stores a form (the newest published is current), an actor's device and user, a
    /// unit, a review with the state that follows from it. Twice is as once.
    ///
    /// # Errors
    /// [`LogError`].
    fn apply_notice(&mut self, feed: &FeedId, position: u64, notice: &Notice) -> Result<(), LogError>;
    /// Whether exactly this form is here; `hash` is the SHA-256 of its bytes.
    ///
    /// # Errors
    /// [`LogError`].
    fn has_form(&mut self, kind: &str, version: &str, hash: &[u8; 32]) -> Result<bool, LogError>;
    /// Stores a form, which becomes the current one of its kind. The bytes are those that its notice named.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_form(&mut self, kind: &str, version: &str, form: &[u8]) -> Result<(), LogError>;
    /// Erases a record with all that belongs to it (document, outbox, pending, salt, drafts, verdicts, hashes), and
    /// remembers its id: it can never be stored again.
    ///
    /// # Errors
    /// [`LogError`].
    fn purge(&mut self, record: &RecordId) -> Result<(), LogError>;
    /// Was the record purged?
    ///
    /// # Errors
    /// [`LogError`].
    fn is_purged(&mut self, record: &RecordId) -> Result<bool, LogError>;
    /// The record belongs to `to` from now on, by its move `number`; if the phone does not follow that feed, it leaves
    /// by [`PhoneLog::remove_unfollowed`]. Own changes stay what they were made for.
    ///
    /// # Errors
    /// [`LogError`].
    fn move_record(&mut self, record: &RecordId, to: &FeedId, number: u64) -> Result<(), LogError>;

    /// Keeps an entry that cannot be applied.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_pending(&mut self, entry: &PendingEntry) -> Result<(), LogError>;
    /// Does the record have pending entries?
    ///
    /// # Errors
    /// [`LogError`].
    fn has_pending(&mut self, record: &RecordId) -> Result<bool, LogError>;
    /// Records of a kind (by their meta) that have pending entries, at most `limit`, by record id, beginning behind `after`.
    ///
    /// # Errors
    /// [`LogError`].
    fn pending_records(
        &mut self,
        kind: &str,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Vec<RecordId>, LogError>;
    /// The pending entries of a record, in the order in which they were kept.
    ///
    /// # Errors
    /// [`LogError`].
    fn pending_of(&mut self, record: &RecordId) -> Result<Vec<PendingEntry>, LogError>;
    /// Drops a pending entry that was applied.
    ///
    /// # Errors
    /// [`LogError`].
    fn drop_pending(&mut self, entry: &PendingEntry) -> Result<(), LogError>;

    /// What is kept of the segment with this name: its bytes from the first on.
    ///
    /// # Errors
    /// [`LogError`].
    fn segment_bytes(&mut self, name: &[u8; 32]) -> Result<Vec<u8>, LogError>;
    /// Names of the segments of which something is kept.
    ///
    /// # Errors
    /// [`LogError`].
    fn kept_segments(&mut self) -> Result<Vec<[u8; 32]>, LogError>;
    /// Keeps more bytes of a segment, which begin at byte `at`: the end of what is kept of it.
    ///
    /// # Errors
    /// [`LogError`].
    fn add_segment_bytes(&mut self, name: &[u8; 32], at: u64, bytes: &[u8]) -> Result<(), LogError>;
    /// Forgets what is kept of all segments but these.
    ///
    /// # Errors
    /// [`LogError`].
    fn forget_segments(&mut self, but: &[[u8; 32]]) -> Result<(), LogError>;
}
