//! Records side by side.

use std::collections::BTreeSet;
use std::sync::Arc;

use fieldbook_core::forms::{EvalTime, Field, Form, Values};
use fieldbook_core::ids::{RecordId, UserId};
use serde_json::Value as Json;

use super::{ApartPair, DoubleField, DoublePage, DoubleRow, Eyes, Proposal, proposal, unknown};
use crate::sql::Connection;
use crate::store::{Store, StoreError, mask, persons, records};

/// One record's answers: in clear to compare, and as they are shown.
struct Side {
    clear: Values,
    shown: Values,
    heads: Vec<String>,
}

fn parsed(id: &str) -> Result<RecordId, StoreError> {
    id.parse().map_err(|_| StoreError::corrupt("record id", id))
}

impl Side {
    fn of(tx: &Connection, form: &Form, id: &str, revealed: &BTreeSet<String>) -> Result<Self, StoreError> {
        let open = records::load(tx, parsed(id)?)?.ok_or_else(|| unknown(id))?;
        let time = EvalTime::new(open.changed_s, &open.id);
        let clear = form.evaluate(&open.document.read(form.definition()), time).shown;
        let mut shown = clear.clone();
        mask::values(form.definition(), &mut shown, revealed);
        let heads = open.document.heads().iter().map(ToString::to_string).collect();
        Ok(Self { clear, shown, heads })
    }
}

/// An answer outside repeats, as JSON; null where there is none.
fn answer(form: &Form, field: &Field, values: &Values) -> Json {
    match (values.fields.get(&field.path), values.sets.get(&field.path)) {
        (Some(scalar), _) => form.scalar_to_json(field, scalar),
        (None, Some(chosen)) if !chosen.is_empty() => form.set_to_json(field, chosen),
        _ => Json::Null,
    }
}

/// Labels of what was chosen.
fn labels(form: &Form, field: &Field, value: &Json, language: &str) -> Option<String> {
    let list = form.definition().choices.get(field.choice_list.as_ref()?)?;
    let label = |name: &Json| {
        let choice = list.iter().find(|choice| Some(choice.name.as_str()) == name.as_str())?;
        form.pick(&choice.label, language).map(str::to_owned)
    };
    match value {
        Json::Array(names) => Some(names.iter().filter_map(label).collect::<Vec<_>>().join("、")),
        name => label(name),
    }
}

/// Rows without their ids, in an order of their own: two people who write the same rows write the same.
fn rows(form: &Form, repeat: &str, values: &Values, sorted: bool) -> Json {
    let only = Values {
        rows: values
            .rows
            .iter()
            .filter(|(path, _)| *path == repeat)
            .map(|(path, rows)| (path.clone(), rows.clone()))
            .collect(),
        ..Values::default()
    };
    let nested = form.values_to_json(&only);
    let found = repeat.split('/').try_fold(&nested, |at, step| at.get(step));
    let mut rows: Vec<Json> = found.and_then(Json::as_array).cloned().unwrap_or_default();
    for row in &mut rows {
        if let Some(row) = row.as_object_mut() {
            row.remove("_row");
        }
    }
    if sorted {
        rows.sort_by_cached_key(ToString::to_string);
    }
    if rows.is_empty() { Json::Null } else { Json::Array(rows) }
}

fn differ(values: &[Json]) -> bool {
    values.windows(2).any(|pair| pair[0] != pair[1])
}

/// Every question that one of the sides answers, in the order of the form: fields first, then repeats.
fn fields(form: &Form, sides: &[Side], language: &str, revealed: &BTreeSet<String>) -> Vec<DoubleField> {
    let definition = form.definition();
    let mut found = Vec::new();
    for field in definition.fields.iter().filter(|field| field.repeat.is_none()) {
        let clear: Vec<Json> = sides.iter().map(|side| answer(form, field, &side.clear)).collect();
        if clear.iter().all(Json::is_null) {
            continue;
        }
        let masked = mask::hides(field, revealed);
        let texts = clear.iter().map(|value| labels(form, field, value, language).filter(|_| !masked)).collect();
        found.push(DoubleField {
            path: field.path.clone(),
            label: form.pick(&field.label, language).unwrap_or(&field.path).to_owned(),
            values: sides.iter().map(|side| answer(form, field, &side.shown)).collect(),
            texts,
            differs: differ(&clear),
            identifies: field.identity,
            masked,
        });
    }
    for (repeat, _) in definition.repeats.iter().filter(|(_, enclosing)| enclosing.is_none()) {
        let clear: Vec<Json> = sides.iter().map(|side| rows(form, repeat, &side.clear, true)).collect();
        if clear.iter().all(Json::is_null) {
            continue;
        }
        let inside: Vec<&Field> =
            definition.fields.iter().filter(|field| field.repeat.as_deref() == Some(repeat)).collect();
        found.push(DoubleField {
            path: repeat.clone(),
            label: form.repeat_label(repeat, language).unwrap_or(repeat).to_owned(),
            values: sides.iter().map(|side| rows(form, repeat, &side.shown, false)).collect(),
            texts: vec![None; sides.len()],
            differs: differ(&clear),
            identifies: inside.iter().any(|field| field.identity),
            masked: inside.iter().any(|field| mask::hides(field, revealed)),
        });
    }
    found
}

/// The fields that are named, and those of repeats that are.
fn within(form: &Form, named: &BTreeSet<String>) -> BTreeSet<String> {
    let of_repeat = |field: &&Field| field.repeat.as_ref().is_some_and(|repeat| named.contains(repeat));
    let inside = form.definition().fields.iter().filter(of_repeat).map(|field| field.path.clone());
    named.iter().cloned().chain(inside).collect()
}

/// The pairs that somebody has said to be different, among the records that are shown.
fn apart(tx: &Connection, proposal: &Proposal, row: &DoubleRow) -> Result<Vec<ApartPair>, StoreError> {
    let shown: BTreeSet<&str> = row.records.iter().map(|record| record.id.as_str()).collect();
    let pairs = persons::apart(tx, &proposal.key)?.into_iter();
    let pairs = pairs.map(|((first, second), decision)| ApartPair {
        decision,
        first: first.to_string(),
        second: second.to_string(),
    });
    Ok(pairs.filter(|pair| shown.contains(pair.first.as_str()) && shown.contains(pair.second.as_str())).collect())
}

impl Store {
    /// One proposal side by side, as far as `user` may see it. Fields, or repeats with all that is in them, which are
    /// `revealed` stand in clear, and that is logged for each of the records.
    ///
    /// # Errors
    /// `double_unknown`; else what the database said.
    pub fn double_page(
        &self,
        user: UserId,
        id: &str,
        language: &str,
        revealed: &BTreeSet<String>,
    ) -> Result<DoublePage, StoreError> {
        let page = self.read(|tx| {
            let proposal = proposal(tx, id)?;
            let double = Eyes::of(tx, user).row(&proposal)?.ok_or_else(|| unknown(id))?;
            let form: Arc<Form> =
                self.current_form(tx, &proposal.kind)?.ok_or_else(|| StoreError::corrupt("form", &proposal.kind))?;
            let revealed = &within(&form, revealed);
            let sides = double.records.iter().map(|record| Side::of(tx, &form, &record.id, revealed));
            let sides = sides.collect::<Result<Vec<_>, _>>()?;
            Ok(DoublePage {
                apart: apart(tx, &proposal, &double)?,
                form_version: form.definition().version.clone(),
                fields: fields(&form, &sides, language, revealed),
                heads: sides.into_iter().map(|side| side.heads).collect(),
                double,
            })
        })?;
        for record in &page.double.records {
            self.log_reveal(user, &record.id, revealed)?;
        }
        Ok(page)
    }
}
