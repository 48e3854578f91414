//! What the server's half needs of the server's store.

use std::sync::Arc;

use super::{ReturnedState, Sealing};
use crate::access::{FeedId, Role};
use crate::ids::{ActorId, ChangeHash, DeviceId, LogId, RecordId, UserId};
use crate::protocol::limits::{CHANGE_PREFIX_BYTES, RECORD_PREFIX_BYTES};
use crate::protocol::{CreatedUnder, Entry, HostedDevice, Point, Returned, Segment, StatementHash, Verdict};
use crate::sync::cursors::CursorPoint;
use crate::sync::segment::Sealed;
use crate::sync::{LogError, pack_form};

/// What the server knows of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    /// Its Ed25519 public key.
    pub key: [u8; 32],
    /// Its user.
    pub user: UserId,
    /// Revoked (device or user): what it uploads is quarantined, and nothing is served.
    pub revoked: bool,
    /// Last request counter taken.
    pub counter: u64,
    /// Number of its last statement; 0 = none.
    pub statement: u64,
    /// Hash of that statement; zeroes if none.
    pub statement_hash: StatementHash,
    /// Statement and index of the last body taken, as [`ServerLog::put_taken`] stored it.
    pub taken: Option<(u64, u32)>,
    /// Highest verdict that a request of the device has confirmed, as [`ServerLog::drop_verdicts`] stored it; 0 = none.
    pub told: u64,
}

/// What a device follows and may do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Grows whenever what follows changes for this device; at least 1.
    pub registry: u64,
    /// Followed feeds with their current epoch, sorted by feed, at most `DEVICE_FEEDS_MAX`.
    pub feeds: Vec<(FeedId, u32)>,
    /// The user's roles, each with the unit that it holds for.
    pub roles: Vec<(Role, String)>,
    /// Code of the user's unit, to which new records belong.
    pub unit: String,
}

/// A stored statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRow {
    /// CBOR of [`crate::protocol::Statement`].
    pub bytes: Vec<u8>,
    /// The device's signature.
    pub signature: [u8; 64],
    /// SHA-256 of `bytes`.
    pub hash: StatementHash,
}

/// A change on its way into the log: statement, list position and hash are already verified.
#[derive(Clone, Copy, Debug)]
pub struct TakenChange<'a> {
    /// The device that stated it.
    pub device: DeviceId,
    /// Its user.
    pub user: UserId,
    /// The actor that the statement names; a change that carries another one is refused (`wrong_actor`).
    pub actor: ActorId,
    /// Number of the statement that lists it.
    pub statement: u64,
    /// Position in that list.
    pub index: u32,
    /// The feed that the statement names.
    pub feed: &'a FeedId,
    /// The record.
    pub record: RecordId,
    /// Its kind.
    pub kind: &'a str,
    /// Form version of its creation.
    pub created_version: &'a str,
    /// Form version that the save was made under.
    pub form_version: &'a str,
    /// Hash of the change, recomputed from `bytes`.
    pub hash: ChangeHash,
    /// Raw change.
    pub bytes: &'a [u8],
    /// The server's time, milliseconds since 1970 UTC.
    pub received_ms: i64,
    /// Quarantine it under this reason whatever intake says of rights (`revoked`, `foreign_unit`).
    pub quarantine: Option<&'static str>,
    /// A township hub brought it, which may have shown the device more than the device has acknowledged here.
    pub relayed: bool,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in the log now, at this position of its record's feed.
    Accepted(u64),
    /// It was in the log already: nothing was done.
    Known,
    /// It was refused or quarantined, now or earlier.
    NotTaken(Verdict),
}

/// A feed's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedHead {
    /// Epoch.
    pub epoch: u32,
    /// Entries in it; 0 = none.
    pub position: u64,
    /// Chain hash there; zeroes at position 0.
    pub chain: [u8; 32],
}

/// One entry of a feed as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// The entry; a change always as [`crate::protocol::EntryBody::Change`] with its body.
    pub entry: Entry,
    /// For a change: the device that stated it, its statement's number, the place in that; `None` for the server's own.
    pub stated: Option<(DeviceId, u64, u32)>,
    /// For a change: its hash.
    pub hash: Option<ChangeHash>,
    /// Chain hash after this entry.
    pub chain: [u8; 32],
}

/// The server's store as the sync machine sees it.
///
/// Calls between [`ServerLog::begin`] and [`ServerLog::commit`] are one transaction, durable when `commit` returns.
/// Reading calls may come outside of one. Each method locks what it needs itself; nothing is assumed to stay as it
/// was between two calls outside a transaction.
pub trait ServerLog {
    /// Opens a transaction.
    ///
    /// # Errors
    /// [`LogError`], as for every method below.
    fn begin(&mut self) -> Result<(), LogError>;
    /// Opens a transaction that writes only what is `device`'s own, and, of the changes that were named to
    /// [`ServerLog::foresee`] last, records and feeds: a log that can lets others write beside it.
    fn begin_for(&mut self, device: &DeviceId) -> Result<(), LogError> {
        let _ = device;
        self.begin()
    }
    /// Makes the open transaction durable.
    ///
    /// # Errors
    /// [`LogError`]; the transaction is then rolled back.
    fn commit(&mut self) -> Result<(), LogError>;
    /// Drops the open transaction; does nothing if none is open.
    fn rollback(&mut self);

    /// The id of this server's log.
    ///
    /// # Errors
    /// [`LogError`].
    fn log_id(&mut self) -> Result<LogId, LogError>;
    /// A device; `None` if it is unknown here.
    ///
    /// # Errors
    /// [`LogError`].
    fn device(&mut self, device: &DeviceId) -> Result<Option<DeviceRow>, LogError>;
    /// Stores the counter of a verified request if it is above the stored one, and when the device was last here.
    /// False if it is not above: another request with it was taken meanwhile.
    ///
    /// # Errors
    /// [`LogError`].
    fn take_counter(&mut self, device: &DeviceId, counter: u64, now_ms: i64) -> Result<bool, LogError>;
    /// What the device follows and may do now.
    ///
    /// # Errors
    /// [`LogError`].
    fn scope(&mut self, device: &DeviceId) -> Result<Scope, LogError>;
    /// The cursor sets that were last confirmed to the device, as [`ServerLog::put_cursor_sets`] stored them.
    ///
    /// # Errors
    /// [`LogError`].
    fn cursor_sets(&mut self, device: &DeviceId) -> Result<Vec<Vec<u8>>, LogError>;
    /// Replaces the confirmed cursor sets of a device (at most two, opaque to the store).
    ///
    /// # Errors
    /// [`LogError`].
    fn put_cursor_sets(&mut self, device: &DeviceId, sets: &[Vec<u8>]) -> Result<(), LogError>;

    /// A record left a feed that the device follows, and no request of the device has yet named a cursor at or behind
    /// that entry.
    ///
    /// # Errors
    /// [`LogError`].
    fn awaits_cursors(&mut self, device: &DeviceId) -> Result<bool, LogError>;
    /// What a request of the device says that it has seen: what it writes from then on of a record that left one of
    /// these feeds before is `foreign_unit`. Asked for by [`ServerLog::awaits_cursors`].
    ///
    /// # Errors
    /// [`LogError`].
    fn note_seen(&mut self, device: &DeviceId, seen: &[CursorPoint]) -> Result<(), LogError>;

    /// A statement of a device.
    ///
    /// # Errors
    /// [`LogError`].
    fn statement(&mut self, device: &DeviceId, number: u64) -> Result<Option<StatementRow>, LogError>;
    /// Stores the device's next statement (number = last + 1), which becomes its last.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_statement(&mut self, device: &DeviceId, number: u64, statement: &StatementRow) -> Result<(), LogError>;
    /// Gives an actor to a device for ever, and at its first use writes the actor notice into the general feed of the
    /// device's unit. False if it belongs to another device (or to the server): nothing is stored.
    ///
    /// # Errors
    /// [`LogError`].
    fn claim_actor(&mut self, actor: &ActorId, device: &DeviceId, user: &UserId) -> Result<bool, LogError>;
    /// Changes that are to be taken in the next transaction, in this order, their statement not verified yet: a store
    /// may work out ahead, while others write, what it will answer. Nothing is stored, and what [`Self::take_change`]
    /// answers must be as without this call.
    ///
    /// # Errors
    /// [`LogError`].
    fn foresee(&mut self, _changes: &[TakenChange<'_>]) -> Result<(), LogError> {
        Ok(())
    }
    /// Puts a change through intake, into the log or the quarantine. In this order:
    ///
    /// 1. a hash that is in the log already: [`Fate::Known`]; in quarantine: its verdict again;
    /// 2. an unknown record is created by its kind and version (`unknown_form` refuses); a known one must have the
    ///    same kind and version (else refused `wrong_record`) and be in `feed`, or have left it by an entry that the
    ///    device has not seen ([`ServerLog::note_seen`]; else quarantined `foreign_unit`); a purged one refuses
    ///    (`purged`);
    /// 3. intake with the author's rights at the unit of `feed`; [`crate::sync::server::verdict_of`] turns a refusal into
    ///    a fate: what depends on a quarantined change is quarantined as `depends_on_quarantined`;
    /// 4. `quarantine`, if given, is the reason for what intake would accept;
    /// 5. append: salt at the record's first entry, chain by [`crate::sync::chain`], body and read row.
    ///
    /// # Errors
    /// [`LogError`] for a failing store only; whatever is wrong with the change is a [`Fate`].
    fn take_change(&mut self, change: &TakenChange<'_>) -> Result<Fate, LogError>;

    /// The one record here whose id begins so; `None` where there is none or more than one.
    ///
    /// # Errors
    /// [`LogError`].
    fn record_by_prefix(&mut self, prefix: &[u8; RECORD_PREFIX_BYTES]) -> Result<Option<RecordId>, LogError>;
    /// The one change of the record whose hash begins so, in the log or in quarantine.
    ///
    /// # Errors
    /// [`LogError`].
    fn change_by_prefix(
        &mut self,
        record: &RecordId,
        prefix: &[u8; CHANGE_PREFIX_BYTES],
    ) -> Result<Option<ChangeHash>, LogError>;
    /// The form that a record was created under; `None` where the record is not here.
    ///
    /// # Errors
    /// [`LogError`].
    fn created_under(&mut self, record: &RecordId) -> Result<Option<CreatedUnder>, LogError>;
    /// Hash of the creation change of a record of this kind and form version, whether the record is here or not;
    /// `None` without that form. For [`crate::document::Document::creation_of`].
    ///
    /// # Errors
    /// [`LogError`].
    fn creation(&mut self, record: &RecordId, kind: &str, version: &str) -> Result<Option<ChangeHash>, LogError>;

    /// A published form: the unit from which it holds downwards, and its bytes as its notice named them.
    ///
    /// # Errors
    /// [`LogError`].
    fn form(&mut self, kind: &str, version: &str) -> Result<Option<(String, Vec<u8>)>, LogError>;

    /// A form as an answer brings it; `largest` is the largest that it brought before, if any. A server with many devices
    /// keeps what comes out.
    ///
    /// # Errors
    /// [`LogError`].
    fn packed_form(&mut self, form: &[u8], largest: Option<&[u8]>) -> Result<Arc<[u8]>, LogError> {
        let packed = pack_form(form, largest).map_err(|failure| LogError::other(failure.to_string()))?;
        Ok(packed.into())
    }

    /// Stores how far the device's bodies have come (any fate counts). Called once a transaction that took bodies.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_taken(&mut self, device: &DeviceId, taken: (u64, u32)) -> Result<(), LogError>;

    /// Keeps a verdict for the device until it is confirmed, numbered 1, 2, 3 … per device. One that waits already
    /// for the same change is kept as it is.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_verdict(&mut self, device: &DeviceId, verdict: &Verdict) -> Result<(), LogError>;
    /// Verdicts above `after`, by number, at most `limit`.
    ///
    /// # Errors
    /// [`LogError`].
    fn verdicts(&mut self, device: &DeviceId, after: u64, limit: usize) -> Result<Vec<(u64, Verdict)>, LogError>;
    /// Forgets verdicts up to `through`: the device has them, and [`DeviceRow::told`] says so from now on. Numbers are
    /// never used again, not even by a server that
    /// was restored: the next one is above `through`.
    ///
    /// # Errors
    /// [`LogError`].
    fn drop_verdicts(&mut self, device: &DeviceId, through: u64) -> Result<(), LogError>;

    /// The server was restored, and no administrator has confirmed it: nothing is served.
    ///
    /// # Errors
    /// [`LogError`].
    fn awaiting(&mut self) -> Result<bool, LogError>;
    /// Begins an epoch above `above` and the present one, in which nothing is served until an administrator confirms;
    /// forgets all confirmed cursor sets. The entries stay, and their chain goes on.
    ///
    /// # Errors
    /// [`LogError`].
    fn begin_epoch(&mut self, above: u32) -> Result<(), LogError>;
    /// What is known of an entry beyond the log, by the chain hash after it.
    ///
    /// # Errors
    /// [`LogError`].
    fn returned(&mut self, feed: &FeedId, chain: &[u8; 32]) -> Result<Option<ReturnedState>, LogError>;
    /// Notes that an entry is proved and missing.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_wanted(&mut self, feed: &FeedId, point: &Point) -> Result<(), LogError>;
    /// Stores a wanted entry; it is staged then.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_returned(&mut self, chain: &[u8; 32], entry: &Returned) -> Result<(), LogError>;
    /// Proved and missing entries of a feed, the last first, at most `limit`.
    ///
    /// # Errors
    /// [`LogError`].
    fn wanted(&mut self, feed: &FeedId, limit: usize) -> Result<Vec<Point>, LogError>;
    /// Entries of a feed that were given back, taken or staged, the last at or before `through` first, then in steps that double.
    ///
    /// # Errors
    /// [`LogError`].
    fn given_back(&mut self, feed: &FeedId, through: u64) -> Result<Vec<Point>, LogError>;
    /// Appends what is staged to the log, as new entries of the present epoch, if it can be applied: changes of records
    /// that are not purged, notices, purges. What lacks something stays staged.
    ///
    /// # Errors
    /// [`LogError`].
    fn take_back(&mut self) -> Result<(), LogError>;

    /// The heads of these feeds, in the same order; a feed without entries is at position 0 of its current epoch.
    ///
    /// # Errors
    /// [`LogError`].
    fn heads(&mut self, feeds: &[FeedId]) -> Result<Vec<FeedHead>, LogError>;
    /// The chain hash after `position` of a feed, in whichever epoch; `None` beyond the head.
    ///
    /// # Errors
    /// [`LogError`].
    fn chain_at(&mut self, feed: &FeedId, position: u64) -> Result<Option<[u8; 32]>, LogError>;
    /// Entries of a feed, positions `after + 1` to `through`, by position: at most `limit`, and
    /// about `max_bytes` of bodies (at least one entry).
    ///
    /// # Errors
    /// [`LogError`].
    fn entries(
        &mut self,
        feed: &FeedId,
        after: u64,
        through: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, LogError>;

    /// When pieces of a feed are sealed.
    fn sealing(&self) -> Sealing {
        Sealing::default()
    }
    /// Are there at least `enough` entries of the feed behind `after` that do not hold changes of this device?
    ///
    /// # Errors
    /// [`LogError`].
    fn has_others(&mut self, feed: &FeedId, after: u64, device: &DeviceId, enough: u64) -> Result<bool, LogError>;
    /// The segments of a feed whose bytes can be fetched, by their first position; they do not overlap. Each holds exactly
    /// what [`ServerLog::entries`] would answer now: a purge and a move remove the segments that the record was in.
    ///
    /// # Errors
    /// [`LogError`].
    fn segments(&mut self, feed: &FeedId) -> Result<Vec<Segment>, LogError>;
    /// Waits until nobody else seals. Returns how often entries of the feed were erased so far.
    ///
    /// # Errors
    /// [`LogError`].
    fn begin_sealing(&mut self, feed: &FeedId) -> Result<u64, LogError>;
    /// Stores a segment in place of those that it overlaps. False if entries of the feed were erased since there were
    /// `erasures` of them: nothing is stored then.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_segment(&mut self, feed: &FeedId, erasures: u64, sealed: &Sealed) -> Result<bool, LogError>;
    /// Others may seal again.
    fn end_sealing(&mut self);
    /// A new key, drawn at random.
    ///
    /// # Errors
    /// [`LogError`].
    fn segment_key(&mut self) -> Result<[u8; 32], LogError>;
    /// The devices that this one serves as a township hub, sorted: those of users of the units at which its user is a
    /// hub, and below, at most `HOSTED_DEVICES_MAX`. `None` if it is no hub.
    ///
    /// # Errors
    /// [`LogError`].
    fn hosted(&mut self, _hub: &DeviceId) -> Result<Option<Vec<HostedDevice>>, LogError> {
        Ok(None)
    }
    /// Does this device serve that one as its hub?
    ///
    /// # Errors
    /// [`LogError`].
    fn hosts(&mut self, _hub: &DeviceId, _device: &DeviceId) -> Result<bool, LogError> {
        Ok(false)
    }
    /// A certificate (DER) of a hub's TLS key by the server's root key, under the name of hubs.
    ///
    /// # Errors
    /// [`LogError`].
    fn certify_hub(&mut self, _tls_key: &[u8; 32]) -> Result<Vec<u8>, LogError> {
        Err(LogError::other("this log certifies nobody"))
    }
}
