//! What a hub needs of its store.

use std::sync::Arc;

use crate::access::FeedId;
use crate::forms::FormDefinition;
use crate::ids::{ChangeHash, DeviceId, LogId, RecordId, UserId};
use crate::protocol::{Entry, Hosted, RecordStart, SignedHead, StatementHash};
use crate::sync::LogError;
use crate::sync::phone::{FollowedFeed, StoredStatement, Unsent};
use crate::sync::server::ServerLog;

/// Who a hub is, fixed when it enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubIdentity {
    /// The hub, as a device of the server.
    pub device: DeviceId,
    /// The server's log.
    pub log: LogId,
    /// The server's signing key (Ed25519).
    pub server_key: [u8; 32],
}

/// An entry of the server's log as the hub keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirrored {
    /// The entry as it came; a change with its bytes.
    pub entry: Entry,
    /// The record that it is about, if any answer of one is in it.
    pub record: Option<RecordId>,
    /// Of a change.
    pub hash: Option<ChangeHash>,
    /// Chain hash after it.
    pub chain: [u8; 32],
}

/// A device that a hub serves, as its store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedDevice {
    /// The device.
    pub device: DeviceId,
    /// Its Ed25519 public key.
    pub key: [u8; 32],
    /// Its user.
    pub user: UserId,
    /// It gets nothing, and what it brings goes to quarantine on the server.
    pub revoked: bool,
    /// The feeds that it is shown, sorted.
    pub feeds: Vec<FeedId>,
}

/// A hub's store: what [`ServerLog`] asks of it for phones, and the mirror of the server's log.
///
/// As a [`ServerLog`] it judges nothing: `take_change` keeps a body as it came, `scope` names the feeds that a device is
/// shown, `heads`, `chain_at` and `entries` read the mirror, and there are no verdicts.
pub trait HubLog: ServerLog {
    /// Who this hub is.
    ///
    /// # Errors
    /// [`LogError`], as for every method below.
    fn identity(&mut self) -> Result<HubIdentity, LogError>;
    /// The machine's own small state, as [`HubLog::put_hub_state`] stored it.
    ///
    /// # Errors
    /// [`LogError`].
    fn hub_state(&mut self) -> Result<Option<Vec<u8>>, LogError>;
    /// Stores the machine's own small state; opaque to the store.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_hub_state(&mut self, state: &[u8]) -> Result<(), LogError>;

    /// The mirrored feeds and how far each was seen, sorted.
    ///
    /// # Errors
    /// [`LogError`].
    fn mirrored(&mut self) -> Result<Vec<FollowedFeed>, LogError>;
    /// Replaces the list of mirrored feeds. Feeds that are gone are erased; of one whose epoch changed the entries stay
    /// and the signed heads go.
    ///
    /// # Errors
    /// [`LogError`].
    fn set_mirrored(&mut self, feeds: &[(FeedId, u32)]) -> Result<(), LogError>;
    /// Appends an entry to a mirrored feed and moves its cursor there.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_mirrored(&mut self, feed: &FeedId, entry: &Mirrored) -> Result<(), LogError>;
    /// Keeps a signed head.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_signed(&mut self, head: &SignedHead) -> Result<(), LogError>;
    /// The first kept head of a feed behind `position`.
    ///
    /// # Errors
    /// [`LogError`].
    fn signed_after(&mut self, feed: &FeedId, position: u64) -> Result<Option<SignedHead>, LogError>;
    /// Forgets entries and heads of a feed behind `position`.
    ///
    /// # Errors
    /// [`LogError`].
    fn rewind(&mut self, feed: &FeedId, position: u64) -> Result<(), LogError>;
    /// Key of a record's chain leaves, from the last start of it that was mirrored.
    ///
    /// # Errors
    /// [`LogError`].
    fn salt(&mut self, record: &RecordId) -> Result<Option<[u8; 8]>, LogError>;
    /// Stores what a record's start says of it.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_start(&mut self, record: &RecordId, start: &RecordStart) -> Result<(), LogError>;
    /// Was the record erased?
    ///
    /// # Errors
    /// [`LogError`].
    fn is_erased(&mut self, record: &RecordId) -> Result<bool, LogError>;
    /// Erases a record for ever: of its entries the leaves stay, of what phones brought nothing.
    ///
    /// # Errors
    /// [`LogError`].
    fn erase(&mut self, record: &RecordId) -> Result<(), LogError>;
    /// The record left this feed: of its entries there, the leaves stay.
    ///
    /// # Errors
    /// [`LogError`].
    fn let_go(&mut self, feed: &FeedId, record: &RecordId) -> Result<(), LogError>;
    /// A form, read.
    ///
    /// # Errors
    /// [`LogError`].
    fn definition(&mut self, kind: &str, version: &str) -> Result<Option<Arc<FormDefinition>>, LogError>;
    /// Kind and version of forms whose notices are here, but not the forms, at most `limit`.
    ///
    /// # Errors
    /// [`LogError`].
    fn wanted_forms(&mut self, limit: usize) -> Result<Vec<(String, String)>, LogError>;
    /// A notice of `unit` names a form by the SHA-256 of its bytes.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_form_notice(&mut self, unit: &str, kind: &str, version: &str, hash: &[u8; 32]) -> Result<(), LogError>;
    /// Stores a form that a notice has named by exactly this hash; nothing for any other.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_form(&mut self, hash: &[u8; 32], form: &[u8]) -> Result<(), LogError>;
    /// Stores this hub's certificate (DER).
    ///
    /// # Errors
    /// [`LogError`].
    fn put_certificate(&mut self, certificate: &[u8]) -> Result<(), LogError>;
    /// A root has announced a successor; nothing where it is not the root that this hub knows, whose signature tells.
    ///
    /// # Errors
    /// [`LogError`].
    fn note_successor(&mut self, root: &[u8; 32], signature: &[u8; 64]) -> Result<(), LogError>;

    /// Replaces the list of served devices. What others brought stays, to be brought to the server.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_devices(&mut self, devices: &[ServedDevice]) -> Result<(), LogError>;
    /// Is every statement of the device above `above` up to `through` here, and not set aside?
    ///
    /// # Errors
    /// [`LogError`].
    fn holds_statements(&mut self, device: &DeviceId, above: u64, through: u64) -> Result<bool, LogError>;
    /// The device says that its statements up to `number` need not come here: it goes on behind them.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_base(&mut self, device: &DeviceId, number: u64, hash: &StatementHash) -> Result<(), LogError>;
    /// Devices of which something is not on the server, by id, beginning behind `after`, at most `limit`.
    ///
    /// # Errors
    /// [`LogError`].
    fn waiting(&mut self, after: Option<&DeviceId>, limit: usize) -> Result<Vec<DeviceId>, LogError>;
    /// Last statement and last body of the device that the server holds, as far as this hub knows.
    ///
    /// # Errors
    /// [`LogError`].
    fn on_server(&mut self, device: &DeviceId) -> Result<(u64, Option<(u64, u32)>), LogError>;
    /// Bodies of the device by (statement, index), beginning behind `after`, at most `limit`.
    ///
    /// # Errors
    /// [`LogError`].
    fn held(&mut self, device: &DeviceId, after: Option<(u64, u32)>, limit: usize) -> Result<Vec<Unsent>, LogError>;
    /// Statements of the device above `number`, at most `limit`.
    ///
    /// # Errors
    /// [`LogError`].
    fn held_statements(
        &mut self,
        device: &DeviceId,
        number: u64,
        limit: usize,
    ) -> Result<Vec<StoredStatement>, LogError>;
    /// What the server holds of the device now. Where it holds another statement under a number than this hub, those of
    /// this hub from there on are set aside: they are kept, and brought to nobody.
    ///
    /// # Errors
    /// [`LogError`].
    fn put_hosted(&mut self, hosted: &Hosted) -> Result<(), LogError>;
}
