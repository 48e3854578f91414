//! One record with everything that a screen shows of it.

use fieldbook_core::client;

use crate::{RecordState, SyncState};

/// One of several concurrent values of a field.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ConflictValue {
    /// The value as JSON; `null` where its author cleared it.
    pub value: String,
    /// The value as a screen shows it: a choice's label in the phone's language.
    pub shown: String,
    /// Name of the user who wrote it; empty while this phone does not know.
    pub author: String,
    /// The writing installation, hexadecimal.
    pub actor: String,
    /// The author's claim of when, milliseconds since 1970 UTC.
    pub time_ms: i64,
    /// The change that wrote it, hexadecimal.
    pub change: String,
    /// Written on this phone.
    pub own: bool,
}

impl From<client::ConflictSide> for ConflictValue {
    fn from(side: client::ConflictSide) -> Self {
        let client::ConflictSide { value, shown, author, actor, time_ms, change, own } = side;
        Self {
            value: value.to_string(),
            shown,
            author,
            actor: actor.to_string(),
            time_ms,
            change: change.to_string(),
            own,
        }
    }
}

/// A field with two or more different concurrent values.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Conflict {
    /// Path of the field, with the row inside repeats.
    pub path: String,
    /// Label of the field in the phone's language.
    pub label: String,
    /// All values; the first is the one that lists show.
    pub values: Vec<ConflictValue>,
}

impl From<client::ConflictView> for Conflict {
    fn from(conflict: client::ConflictView) -> Self {
        let client::ConflictView { path, label, values } = conflict;
        Self { path, label, values: values.into_iter().map(Into::into).collect() }
    }
}

/// Something that the form finds wrong with the record.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Problem {
    /// Path of the field.
    pub path: String,
    /// What is wrong, in words.
    pub text: String,
}

impl From<client::ProblemView> for Problem {
    fn from(problem: client::ProblemView) -> Self {
        let client::ProblemView { path, message } = problem;
        Self { path, text: message }
    }
}

/// One value that a save wrote.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Touched {
    /// Path of the field.
    pub path: String,
    /// Label of the field in the phone's language.
    pub label: String,
    /// What was written, as JSON; `null` where it was cleared. For one choice of several: `{"name": true or false}`.
    pub value: String,
    /// As a screen shows it.
    pub shown: String,
}

impl From<client::TouchedView> for Touched {
    fn from(touched: client::TouchedView) -> Self {
        let client::TouchedView { path, label, value, shown } = touched;
        Self { path, label, value: value.to_string(), shown }
    }
}

/// One save of a record.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct HistoryEntry {
    /// The change, hexadecimal.
    pub change: String,
    /// Name of the user who made it; empty while this phone does not know.
    pub author: String,
    /// The author's claim of when, milliseconds since 1970 UTC.
    pub time_ms: i64,
    /// What it wrote.
    pub touched: Vec<Touched>,
}

impl From<client::HistoryView> for HistoryEntry {
    fn from(entry: client::HistoryView) -> Self {
        let client::HistoryView { change, author, time_ms, touched } = entry;
        Self { change: change.to_string(), author, time_ms, touched: touched.into_iter().map(Into::into).collect() }
    }
}

/// A supervisor's decision on a record.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Review {
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
    pub same_as: Option<String>,
}

impl From<client::ReviewView> for Review {
    fn from(review: client::ReviewView) -> Self {
        let client::ReviewView { decision, reasons, fields, reviewer, time_ms, same_as } = review;
        Self { decision, reasons, fields, reviewer, time_ms, same_as: same_as.map(|record| record.to_string()) }
    }
}

/// A save, or a part of one, that the server did not take.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct NotTaken {
    /// Its place in the list of all: give the last one's to get the next page.
    pub place: i64,
    /// The record; it may have left this phone.
    pub record: String,
    /// Kind of the record.
    pub kind: String,
    /// What a list called the record.
    pub title: String,
    /// The change, hexadecimal.
    pub change: String,
    /// When it was saved by the phone's clock, milliseconds since 1970 UTC.
    pub time_ms: i64,
    /// Stable reason word.
    pub reason: String,
    /// What was left out, with its values.
    pub fields: Vec<Touched>,
}

impl From<client::NotTakenView> for NotTaken {
    fn from(not_taken: client::NotTakenView) -> Self {
        let client::NotTakenView { place, record, kind, title, change, time_ms, reason, fields } = not_taken;
        Self {
            place,
            record: record.to_string(),
            kind,
            title,
            change: change.to_string(),
            time_ms,
            reason,
            fields: all(fields),
        }
    }
}

/// A record with everything that a screen shows of it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Record {
    /// The record.
    pub id: String,
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
    /// Heads of the document, hexadecimal, sorted.
    pub heads: Vec<String>,
    /// Answers as JSON, nested as in the form; rows carry `_row`.
    pub values: String,
    /// Fields in conflict.
    pub conflicts: Vec<Conflict>,
    /// What the form finds wrong.
    pub problems: Vec<Problem>,
    /// Reviews, in the order of the feed.
    pub reviews: Vec<Review>,
    /// Saves, causes before effects.
    pub history: Vec<HistoryEntry>,
    /// What the server did not take.
    pub not_taken: Vec<NotTaken>,
}

fn all<T, U: From<T>>(items: Vec<T>) -> Vec<U> {
    items.into_iter().map(Into::into).collect()
}

impl From<client::RecordView> for Record {
    fn from(record: client::RecordView) -> Self {
        let client::RecordView {
            id,
            kind,
            unit,
            title,
            state,
            sync,
            heads,
            values,
            conflicts,
            problems,
            reviews,
            history,
            not_taken,
        } = record;
        Self {
            id: id.to_string(),
            kind,
            unit,
            title,
            state: state.into(),
            sync: sync.into(),
            heads: heads.iter().map(ToString::to_string).collect(),
            values: values.to_string(),
            conflicts: all(conflicts),
            problems: all(problems),
            reviews: all(reviews),
            history: all(history),
            not_taken: all(not_taken),
        }
    }
}
