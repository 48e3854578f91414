//! Records in lists, and where they stand.

use fieldbook_core::{document, store};

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum RecordState {
    /// Saved, not handed in.
    Draft,
    /// Handed in, waiting for a supervisor.
    Submitted,
    /// Given back with reasons.
    Returned,
    /// Approved as it stands.
    Approved,
    /// Approved, and changed since.
    Amended,
    /// Closed and kept.
    Archived,
    /// Counts nowhere.
    Voided,
}

impl From<document::RecordState> for RecordState {
    fn from(state: document::RecordState) -> Self {
        use document::RecordState as Core;
        match state {
            Core::Draft => Self::Draft,
            Core::Submitted => Self::Submitted,
            Core::Returned => Self::Returned,
            Core::Approved => Self::Approved,
            Core::Amended => Self::Amended,
            Core::Archived => Self::Archived,
            Core::Voided => Self::Voided,
        }
    }
}

impl From<RecordState> for document::RecordState {
    fn from(state: RecordState) -> Self {
        match state {
            RecordState::Draft => Self::Draft,
            RecordState::Submitted => Self::Submitted,
            RecordState::Returned => Self::Returned,
            RecordState::Approved => Self::Approved,
            RecordState::Amended => Self::Amended,
            RecordState::Archived => Self::Archived,
            RecordState::Voided => Self::Voided,
        }
    }
}

/// How far a record has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum SyncState {
    /// At least one change is only here.
    SavedHere,
    /// All was sent; the server has not yet signed for it.
    Sent,
    /// A township hub holds all of it.
    AtTownship,
    /// The server has made all of it durable and said so.
    OnServer,
    /// The server did not take something, and the user has not seen to it yet.
    NotTaken,
}

impl From<store::SyncState> for SyncState {
    fn from(state: store::SyncState) -> Self {
        use store::SyncState as Core;
        match state {
            Core::SavedHere => Self::SavedHere,
            Core::Sent => Self::Sent,
            Core::AtTownship => Self::AtTownship,
            Core::OnServer => Self::OnServer,
            Core::NotTaken => Self::NotTaken,
        }
    }
}

impl From<SyncState> for store::SyncState {
    fn from(state: SyncState) -> Self {
        match state {
            SyncState::SavedHere => Self::SavedHere,
            SyncState::Sent => Self::Sent,
            SyncState::AtTownship => Self::AtTownship,
            SyncState::OnServer => Self::OnServer,
            SyncState::NotTaken => Self::NotTaken,
        }
    }
}

/// Which records a list shows; by default all.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Filter {
    /// Only those that stand here.
    #[uniffi(default = None)]
    pub state: Option<RecordState>,
    /// Only those that have got this far.
    #[uniffi(default = None)]
    pub sync: Option<SyncState>,
    /// Only those with conflicts.
    #[uniffi(default = false)]
    pub in_conflict: bool,
    /// Only those with problems.
    #[uniffi(default = false)]
    pub with_problems: bool,
}

impl From<Filter> for store::ListFilter {
    fn from(filter: Filter) -> Self {
        let Filter { state, sync, in_conflict, with_problems } = filter;
        Self { state: state.map(Into::into), sync: sync.map(Into::into), in_conflict, with_problems }
    }
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Page {
    /// `place` of the last row of the page before; nothing for the first page.
    #[uniffi(default = None)]
    pub after: Option<i64>,
    /// Rows at most.
    #[uniffi(default = 50)]
    pub rows: u32,
}

/// A record in a list.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ListRow {
    /// The record.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Code of its unit.
    pub unit: String,
    /// What to call it.
    pub title: String,
    /// JSON object of the form's list columns, by path.
    pub columns: String,
    /// Where it stands.
    pub state: RecordState,
    /// How far it has got.
    pub sync: SyncState,
    /// Fields in conflict.
    pub conflicts: u32,
    /// Things that its form finds wrong.
    pub problems: u32,
    /// Time of its latest change as its author claims, milliseconds since 1970 UTC.
    pub changed_ms: i64,
    /// Its place: give the last row's to get the next page.
    pub place: i64,
}

impl From<store::ListRow> for ListRow {
    fn from(row: store::ListRow) -> Self {
        let store::ListRow { id, kind, unit, title, list, state, sync, conflicts, problems, changed_ms, place } = row;
        Self {
            id: id.to_string(),
            kind,
            unit,
            title,
            columns: list,
            state: state.into(),
            sync: sync.into(),
            conflicts,
            problems,
            changed_ms,
            place,
        }
    }
}

/// A record about a person whose identity was just answered.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct PersonHit {
    /// The record.
    pub record: String,
    /// Its kind.
    pub kind: String,
    /// What lists call the record.
    pub record_title: String,
    /// Path of the identifying field in it.
    pub path: String,
    /// The person's name as shown.
    pub name: String,
}

impl From<store::PersonHit> for PersonHit {
    fn from(hit: store::PersonHit) -> Self {
        let store::PersonHit { record, kind, record_title, path, title } = hit;
        Self { record: record.to_string(), kind, record_title, path, name: title }
    }
}
