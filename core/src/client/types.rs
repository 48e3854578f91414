//! What the facade answers.

use serde_json::Value as Json;

use crate::access::{Area, Role};
use crate::document::RecordState;
use crate::forms::FieldPath;
use crate::ids::{ActorId, ChangeHash, RecordId};
use crate::store::{PersonHit, SyncState};

/// A kind of record that this phone can fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindInfo {
    /// Its name.
    pub kind: String,
    /// Current version of its form.
    pub version: String,
    /// Title in the phone's language.
    pub title: String,
    /// Area that it belongs to.
    pub area: Area,
    /// Records of it on this phone.
    pub records: u64,
    /// Of these, with conflicts.
    pub in_conflict: u64,
    /// Of these, not yet on the server.
    pub unsynced: u64,
}

/// One of several concurrent values of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct ConflictSide {
    /// The value as exported; `null` where its author cleared it.
    pub value: Json,
    /// The value as a screen shows it: a choice's label in the phone's language.
    pub shown: String,
    /// Name of the user who wrote it; empty while this phone does not know.
    pub author: String,
    /// Who wrote it, in automerge's sense.
    pub actor: ActorId,
    /// The author's claim of when, milliseconds since 1970 UTC.
    pub time_ms: i64,
    /// The change that wrote it.
    pub change: ChangeHash,
    /// Written on this phone.
    pub own: bool,
}

/// A field with two or more different concurrent values.
#[derive(Clone, Debug, PartialEq)]
pub struct ConflictView {
    /// Path of the field, with the row inside repeats.
    pub path: String,
    /// Label of the field in the phone's language.
    pub label: String,
    /// All values; the first is the one that lists show.
    pub values: Vec<ConflictSide>,
}

/// Something that the form finds wrong with the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProblemView {
    /// Path of the field.
    pub path: String,
    /// What is wrong, in words.
    pub message: String,
}

/// One value that a save wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct TouchedView {
    /// Path of the field.
    pub path: String,
    /// Label of the field in the phone's language.
    pub label: String,
    /// What was written; `null` where it was cleared. For a choice of several: `true` or `false` beside its name.
    pub value: Json,
    /// As a screen shows it.
    pub shown: String,
}

/// One save of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryView {
    /// The change.
    pub change: ChangeHash,
    /// Name of the user who made it; empty while this phone does not know.
    pub author: String,
    /// The author's claim of when, milliseconds since 1970 UTC.
    pub time_ms: i64,
    /// What it wrote.
    pub touched: Vec<TouchedView>,
}

/// A supervisor's decision on a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewView {
    /// `approve`, `return`, `void`, `archive` or `reinstate`.
    pub decision: String,
    /// Reasons in the reviewer's words.
    pub reasons: String,
    /// With `return`: fields that are open again; empty = all.
    pub fields: Vec<String>,
    /// Who decided.
    pub reviewer: String,
    /// When, milliseconds since 1970 UTC by the server's clock.
    pub time_ms: i64,
    /// With `void`: this record is a double of that one, which stays.
    pub same_as: Option<RecordId>,
}

/// A save, or a part of one, that the server did not take.
#[derive(Clone, Debug, PartialEq)]
pub struct NotTakenView {
    /// Its place in the list of all: give the last one's to get the next page.
    pub place: i64,
    /// The record; it may have left this phone.
    pub record: RecordId,
    /// Kind of the record.
    pub kind: String,
    /// What a list called the record.
    pub title: String,
    /// The change.
    pub change: ChangeHash,
    /// When it was saved by the phone's clock, milliseconds since 1970 UTC.
    pub time_ms: i64,
    /// Stable reason word.
    pub reason: String,
    /// What was left out, with its values.
    pub fields: Vec<TouchedView>,
}

/// A record with everything that a screen shows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordView {
    /// The record.
    pub id: RecordId,
    /// Its kind.
    pub kind: String,
    /// Code of its unit.
    pub unit: String,
    /// What a list calls it.
    pub title: String,
    /// Where it stands.
    pub state: RecordState,
    /// How far it has got.
    pub sync: SyncState,
    /// Heads of the document, sorted.
    pub heads: Vec<ChangeHash>,
    /// Answers, nested as in the form.
    pub values: Json,
    /// Fields in conflict.
    pub conflicts: Vec<ConflictView>,
    /// What the form finds wrong.
    pub problems: Vec<ProblemView>,
    /// Reviews, in the order of the feed.
    pub reviews: Vec<ReviewView>,
    /// Saves, causes before effects.
    pub history: Vec<HistoryView>,
    /// What the server did not take.
    pub not_taken: Vec<NotTakenView>,
}

/// A record to import.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRecord {
    /// Its id; drawn if there is none.
    pub id: Option<RecordId>,
    /// Answers, nested as in the form.
    pub values: Json,
    /// Hands it in at once.
    pub submit: bool,
}

/// Changes to one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// The record.
    pub id: RecordId,
    /// New answers by path; of a select_multiple the whole list.
    pub set: serde_json::Map<String, Json>,
    /// New rows by repeat.
    pub add: serde_json::Map<String, Json>,
    /// Row ids to remove, by repeat.
    pub remove: serde_json::Map<String, Json>,
    /// Hands the record in.
    pub submit: bool,
}

/// What an answer of a form led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Paths whose answer, or whether they are asked, changed.
    pub changed: Vec<FieldPath>,
    /// Other records about the person whose identity was just answered.
    pub known: Vec<PersonHit>,
}

/// What a save did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The record.
    pub record: RecordId,
    /// The change; `None` if nothing differed.
    pub change: Option<ChangeHash>,
}

/// A form that was being filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftInfo {
    /// The record; for a new one the id that it will get.
    pub record: RecordId,
    /// Its kind.
    pub kind: String,
    /// The record is not stored yet.
    pub is_new: bool,
    /// Last answer, milliseconds since 1970 UTC by the phone's clock.
    pub saved_ms: i64,
}

/// Who this phone is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentInfo {
    /// Address of the server.
    pub server: String,
    /// Name of the server.
    pub server_name: String,
    /// Name of the user.
    pub user_name: String,
    /// Code of the unit to which new records belong.
    pub unit: String,
    /// Name of that unit.
    pub unit_name: String,
    /// What the user may do, and at which units.
    pub roles: Vec<(Role, String)>,
}

/// How the phone stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusView {
    /// Who it is; `None` before enrolling.
    pub enrolment: Option<EnrolmentInfo>,
    /// Counts of records and what waits.
    pub store: crate::store::Status,
    /// There is little space left: what to tell the user.
    pub space_warning: Option<String>,
    /// What was on this phone was erased, because its device was revoked; until it is enrolled again.
    pub revoked: bool,
    /// A damaged store was salvaged and the user has not acknowledged it.
    pub salvaged: bool,
    /// The last sync that ended well, milliseconds since 1970 UTC by the phone's clock.
    pub last_sync_ms: Option<i64>,
}

/// How a sync is going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// HTTP bytes sent.
    pub bytes_up: u64,
    /// HTTP bytes received.
    pub bytes_down: u64,
    /// Own changes that the server has received.
    pub changes_sent: u64,
    /// Own changes that still wait.
    pub changes_waiting: u64,
    /// Changes of others that were applied.
    pub changes_received: u64,
}

/// Hears how a sync is going; called between frames, on the thread that syncs.
pub trait SyncListener: Send + Sync {
    /// Something moved.
    fn progress(&self, progress: Progress);
}

/// A listener that does not care.
impl SyncListener for () {
    fn progress(&self, _: Progress) {}
}

/// A record that was purged and is erased here now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasedView {
    /// Which.
    pub record: RecordId,
    /// Own changes of it that the server had not: they are erased too.
    pub unsent: u64,
    /// What to tell the user.
    pub message: String,
}

/// What a sync did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncReport {
    /// HTTP bytes sent: request lines, headers and bodies, without TLS, TCP and IP.
    pub bytes_up: u64,
    /// HTTP bytes received, counted the same way.
    pub bytes_down: u64,
    /// Frames in both directions.
    pub frames: u64,
    /// HTTP requests.
    pub requests: u64,
    /// Own changes that the server has now and had not before.
    pub changes_sent: u64,
    /// Changes of others that were applied.
    pub changes_received: u64,
    /// Changes that travelled transcoded, in both directions (`docs/PROTOCOL.md` §11).
    pub changes_transcoded: u64,
    /// Changes that travelled raw, because they would not have come back byte for byte or had to be sent in full.
    pub changes_raw: u64,
    /// Own changes that the server did not take.
    pub not_taken: u64,
    /// Records of this phone that show conflicts now.
    pub conflicts: u64,
    /// How long it took.
    pub seconds: f64,
    /// Connections that broke and were taken up again.
    pub breaks: u64,
    /// The phone's clock is wrong: what to tell the user.
    pub clock_warning: Option<String>,
    /// How far the phone's clock is ahead of the server's, milliseconds.
    pub clock_ahead_ms: i64,
    /// There is little space left: what to tell the user.
    pub space_warning: Option<String>,
    /// Records that were erased because somebody purged them.
    pub erased: Vec<ErasedView>,
}
