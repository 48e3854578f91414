//! What differs: from what an author saw, from what was approved, from what a supervisor has read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::sql::Connection;
use fieldbook_core::access::Decision;
use fieldbook_core::document::{Document, HistoryEntry, RecordState};
use fieldbook_core::forms::{FieldPath, Form, Scalar, Values};
use fieldbook_core::ids::ChangeHash;
use serde_json::Value as Json;

use super::page::{AmendedPage, DifferencePage, Pager};
use super::records::{self, OpenRecord};
use super::{ChangedField, StoreError, mask, reviews};

/// Answers that are shown as amended.
const DIFFERENCES_MAX: usize = 500;
/// Answers that are named as written since a record was read.
const SINCE_MAX: usize = 50;

/// What stood where a change wrote, as its author saw it.
pub(crate) struct Befores {
    /// By change: of each answer that it touched.
    by_change: HashMap<ChangeHash, Vec<Option<Scalar>>>,
}

impl Befores {
    /// Of every change of a document, whose history this is.
    pub(crate) fn of(document: &Document, history: &[HistoryEntry]) -> Self {
        let past = Past::of(document);
        let mut written: HashMap<&FieldPath, Vec<(ChangeHash, Option<&Scalar>)>> = HashMap::new();
        let mut by_change = HashMap::new();
        for entry in history {
            let before = |touched: &fieldbook_core::document::TouchedField| {
                let earlier = written.get(&touched.path)?;
                // Of what its author had, the last; what came beside it is no value that was replaced.
                let seen = earlier.iter().rev().find(|(change, _)| past.holds(&entry.change, change))?;
                seen.1.cloned()
            };
            by_change.insert(entry.change, entry.touched.iter().map(before).collect());
            for touched in entry.touched.iter().filter(|touched| touched.choice.is_none()) {
                written.entry(&touched.path).or_default().push((entry.change, touched.value.as_ref()));
            }
        }
        Self { by_change }
    }

    /// Of the answer at this place among those that a change touched.
    pub(crate) fn of_answer(&self, change: &ChangeHash, at: usize) -> Option<&Scalar> {
        self.by_change.get(change)?.get(at)?.as_ref()
    }
}

/// Which change builds on which: one bit each.
struct Past {
    places: HashMap<ChangeHash, usize>,
    behind: Vec<Vec<u64>>,
}

impl Past {
    fn of(document: &Document) -> Self {
        let changes = document.changes();
        let places: HashMap<ChangeHash, usize> = changes.iter().enumerate().map(|(at, c)| (c.hash, at)).collect();
        let words = changes.len().div_ceil(64);
        let mut behind: Vec<Vec<u64>> = Vec::with_capacity(changes.len());
        // Causes come before effects.
        for change in &changes {
            let mut own = vec![0_u64; words];
            for at in change.deps.iter().filter_map(|dep| places.get(dep)) {
                for (mine, theirs) in own.iter_mut().zip(behind.get(*at).into_iter().flatten()) {
                    *mine |= theirs;
                }
                if let Some(word) = own.get_mut(at / 64) {
                    *word |= 1 << (at % 64);
                }
            }
            behind.push(own);
        }
        Self { places, behind }
    }

    fn holds(&self, change: &ChangeHash, earlier: &ChangeHash) -> bool {
        let (Some(change), Some(earlier)) = (self.places.get(change), self.places.get(earlier)) else { return false };
        let word = self.behind.get(*change).and_then(|behind| behind.get(earlier / 64));
        word.is_some_and(|word| word & (1 << (earlier % 64)) != 0)
    }
}

/// What was written since `heads` were read, newest last, each field once with its last author.
pub(crate) fn since(
    tx: &Connection,
    open: &OpenRecord,
    form: &Form,
    heads: &[ChangeHash],
) -> Result<Vec<ChangedField>, StoreError> {
    let mut found: BTreeMap<String, ChangedField> = BTreeMap::new();
    for entry in open.document.history(form.definition()) {
        if heads.contains(&entry.change) || open.document.ancestors_contain(heads, &entry.change) {
            continue;
        }
        let author = records::author(tx, entry.actor)?.map(|author| author.name).unwrap_or_default();
        for touched in entry.touched {
            let path = touched.path.to_string();
            let label = form.field(&touched.path.field).map(|field| field.label.clone()).unwrap_or_default();
            let time_ms = entry.time_s.saturating_mul(1000);
            found.insert(path.clone(), ChangedField { path, label, author: author.clone(), time_ms });
        }
    }
    let mut found: Vec<ChangedField> = found.into_values().collect();
    found.sort_by_key(|field| field.time_ms);
    found.truncate(SINCE_MAX);
    Ok(found)
}

/// What differs from what was approved, of an amended record.
pub(crate) fn amended(
    tx: &Connection,
    pager: &Pager<'_>,
    open: &OpenRecord,
    state: RecordState,
) -> Result<Option<AmendedPage>, StoreError> {
    if state != RecordState::Amended {
        return Ok(None);
    }
    let all = reviews::of_record(tx, open.id)?;
    let closing = |row: &reviews::ReviewRow| matches!(row.decision, Decision::Approve | Decision::Archive);
    let Some((review, last)) = all.iter().enumerate().rev().find(|(_, row)| closing(row)) else { return Ok(None) };
    let definition = pager.form.definition();
    let (then, now) = (open.document.read_at(definition, &last.heads), open.document.read(definition));
    Ok(Some(AmendedPage { review, differences: differences(pager, &then, &now) }))
}

fn differences(pager: &Pager<'_>, then: &Values, now: &Values) -> Vec<DifferencePage> {
    let mut found = Vec::new();
    for field in pager.form.definition().fields.iter().filter(|field| !field.calculated) {
        let places: Vec<FieldPath> = match &field.repeat {
            None => vec![FieldPath::root(&field.path)],
            Some(repeat) => {
                let rows = [then, now].into_iter().flat_map(|values| values.rows.get(repeat).into_iter().flatten());
                let mut met = BTreeSet::new();
                let rows = rows.filter(|row| met.insert(row.id));
                rows.map(|row| FieldPath::in_row(&field.path, repeat, row.id)).collect()
            }
        };
        for path in places {
            let (approved, now) = (answer(pager, then, &path), answer(pager, now, &path));
            if approved.0 != now.0 && found.len() < DIFFERENCES_MAX {
                let (label, (approved, now)) = (pager.label(&path), (approved.1, now.1));
                let path = path.to_string();
                let (approved, approved_text, now, now_text) = (approved.0, approved.1, now.0, now.1);
                found.push(DifferencePage { path, label, approved, approved_text, now, now_text });
            }
        }
    }
    found
}

/// An answer as it is compared, and as it is shown.
type Shown = (Option<Result<Scalar, BTreeSet<String>>>, (Json, Option<String>));

/// An answer as it is shown, masked if the field is hidden.
pub(super) fn stands(pager: &Pager<'_>, values: &Values, path: &FieldPath) -> (Json, Option<String>) {
    answer(pager, values, path).1
}

fn answer(pager: &Pager<'_>, values: &Values, path: &FieldPath) -> Shown {
    let (fields, sets) = match &path.row {
        None => (Some(&values.fields), Some(&values.sets)),
        Some((repeat, id)) => values.row(repeat, *id).map(|row| (&row.fields, &row.sets)).unzip(),
    };
    let scalar = fields.and_then(|fields| fields.get(&path.field));
    if let Some(scalar) = scalar {
        return (Some(Ok(scalar.clone())), pager.shown(path, Some(scalar)));
    }
    let chosen = sets.and_then(|sets| sets.get(&path.field)).filter(|chosen| !chosen.is_empty());
    match (chosen, pager.form.field(&path.field)) {
        (Some(chosen), Some(field)) if mask::hides(field, pager.revealed) => {
            (Some(Err(chosen.clone())), (Json::from("***"), None))
        }
        (Some(chosen), Some(field)) => (Some(Err(chosen.clone())), (pager.form.set_to_json(field, chosen), None)),
        _ => (None, (Json::Null, None)),
    }
}
