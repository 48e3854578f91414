//! Lists of records: filter, sort, page, and what refers to what.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sql::{Connection, OptionalExtension};
use fieldbook_core::forms::Form;
use fieldbook_core::ids::{RecordId, UserId};
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

use super::board::{Begin, Board, Sort, Window};
use super::filter::Filter;
use super::reach::Reach;
use super::{Problem, Store, StoreError, console, records, units};

/// Records on one page.
pub(crate) const PAGE_MAX: usize = 200;
/// Records of one kind that a record's page shows as related.
const RELATED_MAX: usize = 50;
/// Order of related records.
const RELATED_SORT: &str = "-changed";

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Which records.
    pub filter: Filter,
    /// `first`, `received`, `changed`, `reviewed`, `state`, `unit`, `conflicts`, `problems`, or the path of a listed
    /// field that is not sensitive; with `-` in front descending.
    pub sort: String,
    /// [`RecordList::next`] of the page before.
    pub after: Option<String>,
    /// [`RecordList::previous`] of the page behind.
    pub before: Option<String>,
    /// Records on the page, 1 to 200.
    pub limit: usize,
}

/// A record as lists show it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RecordRow {
    /// The record.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Code of its unit.
    pub unit: String,
    /// Name of its unit.
    pub unit_name: String,
    /// `draft`, `submitted`, `returned`, `approved`, `amended`, `archived` or `voided`.
    pub state: String,
    /// The form's list columns, by field path; sensitive ones masked, long ones cut.
    #[schema(value_type = Object)]
    pub values: Json,
    /// Fields with two or more different values.
    pub conflicts: u64,
    /// Rules of the form that the merged record breaks.
    pub problems: u64,
    /// The changes that no other builds on: what decisions on many name.
    pub heads: Vec<String>,
    /// When its first change arrived, milliseconds since 1970 UTC.
    pub first_ms: i64,
    /// When its latest change arrived, milliseconds since 1970 UTC.
    pub received_ms: i64,
    /// When its latest change was made, as its author claims, milliseconds since 1970 UTC.
    pub changed_ms: i64,
    /// When it was last decided on, milliseconds since 1970 UTC.
    pub reviewed_ms: Option<i64>,
}

/// A page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RecordList {
    /// The records.
    pub records: Vec<RecordRow>,
    /// How many records fit the filter, on all pages.
    pub total: u64,
    /// How many of them stand before this page.
    pub before: u64,
    /// For `after`: cursor of the next page; none on the last.
    pub next: Option<String>,
    /// For `before`: cursor of the page before; none on the first.
    pub previous: Option<String>,
}

/// Related records of one kind.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RelatedKind {
    /// The kind.
    pub kind: String,
    /// Its title, in the language of the request.
    pub title: String,
    /// How many there are that the user may read.
    pub total: u64,
    /// The latest of them, at most 50.
    pub records: Vec<RecordRow>,
}

/// What a record refers to, and what refers to it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RelatedPage {
    /// Records that an answer of this one names, by kind.
    pub refers_to: Vec<RelatedKind>,
    /// Records that name this one in an answer, by kind; the list of the kind with `refers` has all of them.
    pub referred_by: Vec<RelatedKind>,
}

/// The form of a kind that `user` may see.
pub(crate) fn visible_form(
    store: &Store,
    tx: &Connection,
    user: UserId,
    kind: &str,
) -> Result<std::sync::Arc<Form>, StoreError> {
    let missing = || StoreError::from(Problem::new("kind_unknown").with("kind", kind));
    let form = store.current_form(tx, kind)?.ok_or_else(missing)?;
    let area = form.definition().area;
    let seen = units::roles(tx, user)?.iter().any(|(role, _)| role.areas().contains(&area));
    if seen { Ok(form) } else { Err(missing()) }
}

/// A record as the command line lists it.
#[derive(Debug, Clone)]
pub struct RecordLine {
    /// The record.
    pub id: String,
    /// Code of its unit.
    pub unit: String,
    /// Its state.
    pub state: String,
    /// Fields with different values.
    pub conflicts: u64,
    /// Rules that it breaks.
    pub problems: u64,
    /// When its latest change arrived, milliseconds since 1970 UTC.
    pub received_ms: i64,
}

impl Store {
    /// The next records of a kind by id, above `after`, at most 200; for the administrator, whatever the unit.
    ///
    /// # Errors
    /// `kind_unknown`; else what the database said.
    pub fn record_lines(&self, kind: &str, after: Option<&str>) -> Result<Vec<RecordLine>, StoreError> {
        let after = after.and_then(|id| id.parse::<RecordId>().ok()).unwrap_or(RecordId([0; 16]));
        self.read(|tx| {
            if self.current_form(tx, kind)?.is_none() {
                return Err(Problem::new("kind_unknown").with("kind", kind).into());
            }
            let sql = "SELECT id, unit, state, conflict_count, problem_count, received_ms FROM records \
                       WHERE kind = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
            let mut statement = tx.prepare(sql)?;
            let rows = statement.query_map((kind, after.as_bytes(), PAGE_MAX), |row| {
                Ok(RecordLine {
                    id: RecordId(row.get(0)?).to_string(),
                    unit: row.get(1)?,
                    state: row.get(2)?,
                    conflicts: row.get(3)?,
                    problems: row.get(4)?,
                    received_ms: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// One page of the records of a kind that `user` may read.
    ///
    /// # Errors
    /// `kind_unknown`, `unit_unknown`, `field_unknown`, `request_malformed`; else what the database said.
    pub fn list(&self, user: UserId, kind: &str, query: &ListQuery) -> Result<RecordList, StoreError> {
        self.read(|tx| {
            let reach = Reach::of(tx, user)?;
            let form = visible_form(self, tx, user, kind)?;
            self.on_board(tx, |board| self.list_in(tx, board, &reach, &form, query))
        })
    }

    fn list_in(
        &self,
        tx: &Connection,
        board: &Board,
        reach: &Reach,
        form: &Arc<Form>,
        query: &ListQuery,
    ) -> Result<RecordList, StoreError> {
        let ready = self.query(tx, board, reach, std::slice::from_ref(form), &query.filter)?;
        let sort = Sort::of(board, form, &query.sort)?;
        let from = match (&query.after, &query.before) {
            (None, None) => Begin::Start,
            (Some(after), None) => Begin::After(after),
            (None, Some(before)) => Begin::Before(before),
            (Some(_), Some(_)) => return Err(Problem::new("request_malformed").with("detail", "after, before").into()),
        };
        let window = Window::of(board, &ready, sort, from, query.limit)?;
        let Window { records, total, before, next, previous } = window;
        Ok(RecordList { records: rows(tx, board, reach, &records)?, total, before, next, previous })
    }

    /// What a record that `user` may read refers to and what refers to it, as far as `user` may read that too.
    ///
    /// # Errors
    /// `record_unknown`; else what the database said.
    pub fn related(&self, user: UserId, record: RecordId, language: &str) -> Result<RelatedPage, StoreError> {
        self.read(|tx| {
            console::may_see(tx, user, record)?;
            let reach = Reach::of(tx, user)?;
            let forms = self.current_forms(tx)?.into_iter().filter(|form| reach.sees(form.definition().area));
            let forms: Vec<Arc<Form>> = forms.collect();
            self.on_board(tx, |board| {
                let refers_to = named_by(tx, board, &reach, &forms, record, language)?;
                let mut referred_by = Vec::new();
                let filter = Filter { refers: Some(record), ..Filter::default() };
                for form in &forms {
                    let (sort, limit) = (RELATED_SORT.to_owned(), RELATED_MAX);
                    let query = ListQuery { filter: filter.clone(), sort, limit, ..ListQuery::default() };
                    let list = self.list_in(tx, board, &reach, form, &query)?;
                    if list.total > 0 {
                        referred_by.push(related_kind(form, language, list.total, list.records));
                    }
                }
                Ok(RelatedPage { refers_to, referred_by })
            })
        })
    }
}

/// The records that a record names, by kind, as far as the user may read them.
fn named_by(
    tx: &Connection,
    board: &Board,
    reach: &Reach,
    forms: &[Arc<Form>],
    record: RecordId,
    language: &str,
) -> Result<Vec<RelatedKind>, StoreError> {
    let mut statement = tx.prepare("SELECT DISTINCT target FROM links WHERE record = ?1 ORDER BY target")?;
    let targets = statement.query_map([record.as_bytes()], |row| Ok(RecordId(row.get(0)?)))?;
    let mut by_kind: BTreeMap<&str, Vec<RecordId>> = BTreeMap::new();
    for target in targets.collect::<Result<Vec<_>, _>>()? {
        if let Some(line) = board.place(&target).and_then(|place| board.lines().get(place)) {
            by_kind.entry(board.kinds.name(line.kind)).or_default().push(target);
        }
    }
    let mut found = Vec::new();
    for form in forms {
        let definition = form.definition();
        let mut targets = by_kind.remove(definition.kind.as_str()).unwrap_or_default();
        targets.retain(|target| {
            let line = board.place(target).and_then(|place| board.lines().get(place));
            line.is_some_and(|line| reach.reads(definition.area, board.units.name(line.unit)))
        });
        if !targets.is_empty() {
            let total = targets.len() as u64;
            targets.truncate(RELATED_MAX);
            found.push(related_kind(form, language, total, rows(tx, board, reach, &targets)?));
        }
    }
    Ok(found)
}

fn related_kind(form: &Form, language: &str, total: u64, records: Vec<RecordRow>) -> RelatedKind {
    let definition = form.definition();
    let title = form.pick(&definition.title, language).unwrap_or(&definition.kind).to_owned();
    RelatedKind { kind: definition.kind.clone(), title, total, records }
}

/// The records as lists show them; one that was purged meanwhile is left out.
fn rows(tx: &Connection, board: &Board, reach: &Reach, ids: &[RecordId]) -> Result<Vec<RecordRow>, StoreError> {
    let sql = "SELECT heads, cells FROM records JOIN listed ON record = id WHERE id = ?1";
    let mut statement = tx.prepare(sql)?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(line) = board.place(id).and_then(|place| board.lines().get(place)) else { continue };
        let stored: Option<(Vec<u8>, String)> =
            statement.query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((heads, cells)) = stored else { continue };
        let unit = board.units.name(line.unit);
        found.push(RecordRow {
            id: id.to_string(),
            kind: board.kinds.name(line.kind).to_owned(),
            unit: unit.to_owned(),
            unit_name: reach.name(unit),
            state: board.states.name(line.state).to_owned(),
            values: serde_json::from_str(&cells).map_err(|error| StoreError::corrupt("list", error))?,
            conflicts: u64::from(line.conflicts),
            problems: u64::from(line.problems),
            heads: records::hashes(&heads)?.iter().map(ToString::to_string).collect(),
            first_ms: line.first_ms,
            received_ms: line.received_ms,
            changed_ms: line.changed_ms,
            reviewed_ms: line.reviewed_ms,
        });
    }
    Ok(found)
}
