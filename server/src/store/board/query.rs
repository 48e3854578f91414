//! Which lines a filter keeps, and a window of them in some order.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fieldbook_core::document::RecordState;
use fieldbook_core::forms::{Form, Sensitivity};
use fieldbook_core::ids::RecordId;
use serde_json::Value as Json;

use super::{Board, Cell, Line};
use crate::sql::Connection;
use crate::store::filter::{Filter, Span};
use crate::store::reach::Reach;
use crate::store::{Problem, Store, StoreError};

/// A filter against the board as it stands.
#[derive(Debug)]
pub(crate) struct Query {
    /// By kind: the units whose records count, by unit.
    scope: Vec<Vec<bool>>,
    /// By state, if states are named.
    states: Option<Vec<bool>>,
    conflicts: Option<bool>,
    problems: Option<bool>,
    first: Option<Span>,
    received: Option<Span>,
    changed: Option<Span>,
    reviewed: Option<Span>,
    choices: Vec<(u32, Vec<String>)>,
    /// By those who wrote in a record, if an author is named.
    writers: Option<Vec<bool>>,
    /// By place, if only some lines can fit.
    only: Option<Vec<bool>>,
}

impl Query {
    /// Whether a line at `place` fits.
    pub(crate) fn fits(&self, place: usize, line: &Line) -> bool {
        let in_span = |span: Option<Span>, ms: i64| span.is_none_or(|span| span.holds(ms));
        self.only.as_ref().is_none_or(|only| only.get(place) == Some(&true))
            && self.scope.get(line.kind as usize).is_some_and(|units| units.get(line.unit as usize) == Some(&true))
            && self.states.as_ref().is_none_or(|states| states.get(line.state as usize) == Some(&true))
            && self.writers.as_ref().is_none_or(|writers| writers.get(line.writers as usize) == Some(&true))
            && self.conflicts.is_none_or(|wanted| wanted == (line.conflicts > 0))
            && self.problems.is_none_or(|wanted| wanted == (line.problems > 0))
            && in_span(self.first, line.first_ms)
            && in_span(self.received, line.received_ms)
            && in_span(self.changed, line.changed_ms)
            && self.reviewed.is_none_or(|span| line.reviewed_ms.is_some_and(|ms| span.holds(ms)))
            && self.choices.iter().all(|(column, names)| {
                matches!(line.cell(*column), Some(Cell::Text(name)) if names.iter().any(|wanted| **wanted == **name))
            })
    }

    /// The lines that fit, in no order.
    pub(crate) fn lines<'b>(&'b self, board: &'b Board) -> impl Iterator<Item = &'b Line> {
        board.lines().iter().enumerate().filter(|(place, line)| self.fits(*place, line)).map(|(_, line)| line)
    }
}

/// A field by which lists are sorted and filtered: what is sensitive may not be ordered by.
fn listed_field(form: &Form, path: &str) -> Result<(), Problem> {
    let field = form.field(path).filter(|field| field.list && field.repeat.is_none());
    let open = field.is_some_and(|field| field.sensitivity != Sensitivity::Sensitive);
    if open { Ok(()) } else { Err(Problem::new("field_unknown").with("field", path)) }
}

impl Store {
    /// Makes `filter` ready for records of `forms`' kinds that `reach` holds.
    pub(crate) fn query(
        &self,
        tx: &Connection,
        board: &Board,
        reach: &Reach,
        forms: &[std::sync::Arc<Form>],
        filter: &Filter,
    ) -> Result<Query, StoreError> {
        let below = match &filter.unit {
            Some(unit) => Some(reach.subtree(unit, filter.unit_alone)?),
            None => None,
        };
        let mut scope = vec![Vec::new(); board.kinds.count()];
        for form in forms {
            let definition = form.definition();
            let Some(units) = board.kinds.known(&definition.kind).and_then(|kind| scope.get_mut(kind as usize)) else {
                continue;
            };
            let reached = |unit: u32| {
                let code = board.units.name(unit);
                reach.reads(definition.area, code)
                    && (!filter.decidable || reach.supervises(code))
                    && below.as_ref().is_none_or(|below| below.contains(code))
            };
            *units = (0..u32::try_from(board.units.count()).unwrap_or(u32::MAX)).map(reached).collect();
        }
        let mut choices = Vec::new();
        for (path, names) in &filter.choices {
            for form in forms {
                listed_field(form, path)?;
            }
            choices.push((board.columns.known(path).unwrap_or(u32::MAX), names.clone()));
        }
        let state = |number: usize| {
            let word = board.states.name(u32::try_from(number).unwrap_or(u32::MAX));
            filter.states.iter().any(|state: &RecordState| state.word() == word)
        };
        let states = (!filter.states.is_empty()).then(|| (0..board.states.count()).map(state).collect());
        let &Filter { conflicts, problems, first, received, changed, reviewed, .. } = filter;
        let writers = filter.author.map(|author| board.written_by(author));
        let only = only(tx, board, filter)?;
        Ok(Query { scope, states, conflicts, problems, first, received, changed, reviewed, choices, writers, only })
    }
}

/// The lines that can fit, where the database has to be asked.
fn only(tx: &Connection, board: &Board, filter: &Filter) -> Result<Option<Vec<bool>>, StoreError> {
    let mut only: Option<Vec<bool>> = None;
    let mut keep = |places: &mut dyn Iterator<Item = usize>| {
        let mut next = vec![false; board.lines().len()];
        for place in places {
            if let Some(spot) = next.get_mut(place) {
                *spot = only.as_ref().is_none_or(|only| only.get(place) == Some(&true));
            }
        }
        only = Some(next);
    };
    if let Some(text) = &filter.text {
        keep(&mut board.places_of(&tx.find(text)?));
    }
    if let Some(target) = &filter.refers {
        let mut statement = tx.prepare("SELECT record FROM links WHERE target = ?1")?;
        let records = statement.query_map([target.as_bytes()], |row| Ok(RecordId(row.get(0)?)))?;
        let records = records.collect::<Result<Vec<_>, _>>()?;
        keep(&mut records.iter().filter_map(|record| board.place(record)));
    }
    Ok(only)
}

/// By what a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    First,
    Received,
    Changed,
    Reviewed,
    State,
    Unit,
    Conflicts,
    Problems,
    Column(u32),
}

/// Order of a list: by a key, and records with the same key by id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sort {
    by: By,
    descending: bool,
}

impl Sort {
    /// Reads `received`, `-changed`, or a listed field's path.
    pub(crate) fn of(board: &Board, form: &Form, word: &str) -> Result<Self, Problem> {
        let (descending, name) = word.strip_prefix('-').map_or((false, word), |name| (true, name));
        let by = match name {
            "first" => By::First,
            "received" => By::Received,
            "changed" => By::Changed,
            "reviewed" => By::Reviewed,
            "state" => By::State,
            "unit" => By::Unit,
            "conflicts" => By::Conflicts,
            "problems" => By::Problems,
            path => {
                let unknown = || Problem::new("request_malformed").with("detail", format!("sort={path}"));
                listed_field(form, path).map_err(|_| unknown())?;
                By::Column(board.columns.known(path).unwrap_or(u32::MAX))
            }
        };
        Ok(Self { by, descending })
    }

    fn key<'b>(self, board: &'b Board, line: &'b Line) -> Key<'b> {
        match self.by {
            By::First => Key::Whole(line.first_ms),
            By::Received => Key::Whole(line.received_ms),
            By::Changed => Key::Whole(line.changed_ms),
            By::Reviewed => line.reviewed_ms.map_or(Key::None, Key::Whole),
            By::State => Key::Text(board.states.name(line.state)),
            By::Unit => Key::Text(board.units.name(line.unit)),
            By::Conflicts => Key::Whole(i64::from(line.conflicts)),
            By::Problems => Key::Whole(i64::from(line.problems)),
            By::Column(column) => match line.cell(column) {
                None => Key::None,
                Some(Cell::Number(number)) => Key::Number(*number),
                Some(Cell::Text(text)) => Key::Text(text),
            },
        }
    }

    fn compare(self, (a, a_id): (Key<'_>, RecordId), (b, b_id): (Key<'_>, RecordId)) -> Ordering {
        let order = a.compare(b).then(a_id.cmp(&b_id));
        if self.descending { order.reverse() } else { order }
    }
}

/// What a record is sorted by; what is empty comes first.
#[derive(Debug, Clone, Copy)]
enum Key<'b> {
    None,
    Whole(i64),
    Number(f64),
    Text(&'b str),
}

impl Key<'_> {
    fn compare(self, other: Key<'_>) -> Ordering {
        let rank = |key: Key<'_>| match key {
            Key::None => 0,
            Key::Whole(_) => 1,
            Key::Number(_) => 2,
            Key::Text(_) => 3,
        };
        match (self, other) {
            (Key::Whole(a), Key::Whole(b)) => a.cmp(&b),
            (Key::Number(a), Key::Number(b)) => a.total_cmp(&b),
            (Key::Text(a), Key::Text(b)) => a.cmp(b),
            (a, b) => rank(a).cmp(&rank(b)),
        }
    }

    fn json(self) -> Json {
        match self {
            Key::None => Json::Null,
            Key::Whole(number) => Json::from(vec![number]),
            Key::Number(number) => Json::from(number),
            Key::Text(text) => Json::from(text),
        }
    }

    fn of_json(json: &Json) -> Option<Key<'_>> {
        Some(match json {
            Json::Null => Key::None,
            Json::Number(number) => Key::Number(number.as_f64()?),
            Json::String(text) => Key::Text(text),
            Json::Array(whole) => Key::Whole(whole.first()?.as_i64()?),
            _ => return None,
        })
    }
}

/// A page of what fits.
#[derive(Debug)]
pub(crate) struct Window {
    /// The records, in order.
    pub(crate) records: Vec<RecordId>,
    /// How many fit in all.
    pub(crate) total: u64,
    /// How many of them stand before the page.
    pub(crate) before: u64,
    /// Cursor of the page behind this one.
    pub(crate) next: Option<String>,
    /// Cursor of the page before this one.
    pub(crate) previous: Option<String>,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Begin<'a> {
    /// At the first record.
    Start,
    /// Behind the record of this cursor.
    After(&'a str),
    /// It ends before the record of this cursor.
    Before(&'a str),
}

impl Window {
    /// The page of at most `limit` records of `query` in `sort`'s order.
    pub(crate) fn of(board: &Board, query: &Query, sort: Sort, from: Begin<'_>, limit: usize) -> Result<Self, Problem> {
        let malformed = || Problem::new("request_malformed").with("detail", "after, before");
        let (mark, backwards) = match from {
            Begin::Start => (None, false),
            Begin::After(text) => (Some(point(text).ok_or_else(malformed)?), false),
            Begin::Before(text) => (Some(point(text).ok_or_else(malformed)?), true),
        };
        let mark = match &mark {
            Some((key, id)) => Some((Key::of_json(key).ok_or_else(malformed)?, *id)),
            None => None,
        };
        let in_order = |a: &(Key<'_>, RecordId), b: &(Key<'_>, RecordId)| sort.compare(*a, *b);
        // From the mark on, in the direction of reading.
        let onward = |a: &(Key<'_>, RecordId), b: &(Key<'_>, RecordId)| {
            if backwards { in_order(b, a) } else { in_order(a, b) }
        };
        let (mut total, mut behind, mut page) = (0_u64, 0_u64, Vec::new());
        for line in query.lines(board) {
            total += 1;
            let here = (sort.key(board, line), line.record);
            match &mark {
                Some(mark) if onward(&here, mark) != Ordering::Greater => behind += 1,
                _ => page.push(here),
            }
        }
        let ahead = page.len().saturating_sub(limit) as u64;
        if page.len() > limit {
            page.select_nth_unstable_by(limit, onward);
            page.truncate(limit);
        }
        page.sort_unstable_by(in_order);
        let (before, after) = if backwards { (ahead, behind) } else { (behind, ahead) };
        let cursor = |spot: Option<&(Key<'_>, RecordId)>| spot.map(|(key, id)| written(*key, *id));
        Ok(Self {
            next: cursor(page.last()).filter(|_| after > 0),
            previous: cursor(page.first()).filter(|_| before > 0),
            records: page.into_iter().map(|(_, id)| id).collect(),
            total,
            before,
        })
    }
}

fn written(key: Key<'_>, id: RecordId) -> String {
    URL_SAFE_NO_PAD.encode(Json::from(vec![key.json(), Json::from(id.to_string())]).to_string())
}

fn point(cursor: &str) -> Option<(Json, RecordId)> {
    let (key, id): (Json, String) = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    Some((key, id.parse().ok()?))
}

/// Counts lines by something.
pub(crate) fn tally<'b, K: Ord>(
    lines: impl Iterator<Item = &'b Line>,
    by: impl Fn(&Line) -> Option<K>,
) -> BTreeMap<K, u64> {
    let mut counts = BTreeMap::new();
    for key in lines.filter_map(by) {
        *counts.entry(key).or_default() += 1;
    }
    counts
}
