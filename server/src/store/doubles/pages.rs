//! What the console shows of doubles.

use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

/// Which doubles to list.
#[derive(Debug, Clone, Default)]
pub struct DoublesQuery {
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only with a record of this unit or one below.
    pub unit: Option<String>,
    /// `next` of the page before.
    pub after: Option<String>,
    /// Proposals on the page, 1 to 100.
    pub limit: usize,
}

/// One of the records that seem to be the same.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DoubleRecord {
    /// The record.
    pub id: String,
    /// Code of its unit.
    pub unit: String,
    /// Name of its unit.
    pub unit_name: String,
    /// `draft`, `submitted`, `returned`, `approved`, `amended` or `archived`; a double that was confirmed is `voided`.
    pub state: String,
    /// The form's list columns, by field path; sensitive ones masked.
    #[schema(value_type = Object)]
    pub values: Json,
    /// Where the person stands in it: paths of the identifying answers, with the row inside repeats.
    pub paths: Vec<String>,
    /// When its latest change arrived, milliseconds since 1970 UTC.
    pub received_ms: i64,
    /// When its latest change was made, as its author claims, milliseconds since 1970 UTC.
    pub changed_ms: i64,
    /// The user may decide on it.
    pub decidable: bool,
}

/// Records of one kind that seem to be about the same person.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DoubleRow {
    /// The proposal: the same as long as it is about the same person.
    pub id: String,
    /// Kind of the records.
    pub kind: String,
    /// By what they seem the same: `id_number`, or `name_and_birth` within one unit.
    pub by: String,
    /// Since when two of them have been here, milliseconds since 1970 UTC.
    pub since_ms: i64,
    /// The records that the user may read, the earliest received last; at most 20.
    pub records: Vec<DoubleRecord>,
    /// How many more there are that the user may read.
    pub more: u64,
    /// How many there are that the user may not read: they belong to other units.
    pub elsewhere: u64,
}

/// A page of proposals.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DoublesList {
    /// The proposals, newest first.
    pub doubles: Vec<DoubleRow>,
    /// Cursor of the next page; none on the last.
    pub next: Option<String>,
}

/// One question in the records side by side.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DoubleField {
    /// Path of the field without rows, or of a repeat.
    pub path: String,
    /// Its label.
    pub label: String,
    /// Its answer in each record, in the order of `records`, null where there is none; of a repeat the rows. Sensitive
    /// ones masked.
    #[schema(value_type = Vec<Object>)]
    pub values: Vec<Json>,
    /// Label of each answer, where it is a choice.
    pub texts: Vec<Option<String>>,
    /// The answers in clear are not all the same.
    pub differs: bool,
    /// It identifies the person.
    pub identifies: bool,
    /// Shown masked.
    pub masked: bool,
}

/// Two records that somebody has said to be different persons or occasions.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ApartPair {
    /// Number of the decision.
    pub decision: i64,
    /// One record.
    pub first: String,
    /// The other.
    pub second: String,
}

/// A proposal side by side.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DoublePage {
    /// The records.
    #[serde(flatten)]
    pub double: DoubleRow,
    /// Version of the form under which they are compared.
    pub form_version: String,
    /// Heads of each record, in the order of `records`: what a decision must name.
    pub heads: Vec<Vec<String>>,
    /// Every question that at least one of them answers, in the order of the form.
    pub fields: Vec<DoubleField>,
    /// Of these pairs somebody has said that they are not the same.
    pub apart: Vec<ApartPair>,
}

/// A decision on two records.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DoubleDecision {
    /// Its number.
    pub number: i64,
    /// `same` or `different`.
    pub verdict: String,
    /// Kind of the records.
    pub kind: String,
    /// The record that stays; of different ones the first. Only if the user may read it.
    pub first: Option<DoubleRecord>,
    /// The record that is void since; of different ones the second. Only if the user may read it.
    pub second: Option<DoubleRecord>,
    /// Who decided.
    pub user: String,
    /// Name of who decided.
    pub user_name: String,
    /// When, milliseconds since 1970 UTC.
    pub time_ms: i64,
    /// The user may undo it.
    pub undoable: bool,
}

/// A page of decisions.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DoubleDecisions {
    /// The decisions that hold, newest first.
    pub decisions: Vec<DoubleDecision>,
    /// Cursor of the next page; none on the last.
    pub next: Option<i64>,
}
