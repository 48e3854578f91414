//! What is read of a record: made from its document and its form by one function, whether a screen or the network
//! brought the change.

use serde_json::{Map, Value as Json, json};

use crate::document::{Conflict, Document, Rendition, ReviewMark, state_of};
use crate::forms::{
    EvalTime, Field, FieldPath, FieldType, Form, FormDefinition, Identity, Person, Problem, Scalar, Sensitivity, Values,
};
use crate::store::{PersonEntry, PersonKey, ReadRow};

/// Characters of a title.
const TITLE_CHARS_MAX: usize = 60;

/// The read row of `document`, of which `rendition` is, evaluated at the time of its latest change.
pub(super) fn read_row(
    document: &Document,
    rendition: &Rendition,
    form: &Form,
    unit: &str,
    last_review: Option<&ReviewMark>,
    language: &str,
) -> ReadRow {
    let definition = form.definition();
    let (values, conflicts, heads) = (rendition.values(), rendition.conflicts(), rendition.heads());
    let time_s = document.latest_time_s();
    let time = EvalTime::new(time_s, &document.record().id);
    let evaluation = form.evaluate_in(values, &time, language);
    let submission = document.submission();
    ReadRow {
        state: state_of(heads, submission.as_deref(), last_review),
        submission,
        changed_ms: time_s.saturating_mul(1000),
        title: title(definition, values),
        list: Json::Object(list_columns(form, &evaluation.shown)).to_string(),
        answers: form.values_to_json(&evaluation.shown).to_string(),
        conflicts: Json::Array(conflicts.iter().map(|conflict| conflict_json(form, conflict)).collect()).to_string(),
        conflict_count: count(conflicts.len()),
        problem_count: count(evaluation.problems.len()),
        problems: problems_json(&evaluation.problems, language).to_string(),
        search: search_texts(definition, values),
        persons: persons(form, values, unit),
        heads: heads.to_vec(),
    }
}

/// What is wrong with the answers of `document`, in `language`.
pub(super) fn problems(document: &Document, form: &Form, language: &str) -> Vec<Problem> {
    let values = document.read(form.definition());
    let time = EvalTime::new(document.latest_time_s(), &document.record().id);
    form.evaluate_in(&values, &time, language).problems
}

/// Problems as they are stored: told in one language, which is named, because the phone's may change.
fn problems_json(problems: &[Problem], language: &str) -> Json {
    let problems: Vec<Json> = problems
        .iter()
        .map(|problem| json!({ "path": problem.path.to_string(), "message": problem.message }))
        .collect();
    json!({ "language": language, "problems": problems })
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// A conflict as it is stored: authors are actors, named when it is read, because a name may arrive later than the
/// change.
fn conflict_json(form: &Form, conflict: &Conflict) -> Json {
    let values: Vec<Json> = conflict
        .values
        .iter()
        .map(|side| {
            json!({
                "value": side.value.as_ref().map_or(Json::Null, |value| scalar_json(form, &conflict.path, value)),
                "actor": side.actor.to_string(),
                "time": side.time_s,
                "change": side.change.to_string(),
            })
        })
        .collect();
    json!({ "path": conflict.path.to_string(), "values": values })
}

/// A value as exported.
pub(super) fn scalar_json(form: &Form, path: &FieldPath, value: &Scalar) -> Json {
    match (form.field(&path.field), value) {
        (Some(field), value) => form.scalar_to_json(field, value),
        (None, Scalar::Text(text)) => Json::from(text.as_str()),
        (None, Scalar::Integer(number)) => Json::from(*number),
    }
}

fn list_columns(form: &Form, shown: &Values) -> Map<String, Json> {
    let mut columns = Map::new();
    for field in form.definition().fields.iter().filter(|field| field.list && field.repeat.is_none()) {
        if let Some(scalar) = shown.fields.get(&field.path) {
            columns.insert(field.path.clone(), form.scalar_to_json(field, scalar));
        } else if let Some(chosen) = shown.sets.get(&field.path).filter(|chosen| !chosen.is_empty()) {
            columns.insert(field.path.clone(), form.set_to_json(field, chosen));
        }
    }
    columns
}

fn text_of(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Text(text) => text.clone(),
        Scalar::Integer(number) => number.to_string(),
    }
}

/// A name if the form knows one: the first answered text of the fields that identify, else that are listed, else that
/// are found by search. Never a sensitive one.
pub(super) fn title(definition: &FormDefinition, values: &Values) -> String {
    let outside = || {
        definition.fields.iter().filter(|field| field.repeat.is_none() && field.sensitivity != Sensitivity::Sensitive)
    };
    let answered = |field: &Field| values.fields.get(&field.path).map(text_of);
    outside()
        .filter(|field| field.identity && field.field_type == FieldType::Text && field.check.is_none())
        .find_map(answered)
        .or_else(|| outside().filter(|field| field.list).find_map(answered))
        .or_else(|| outside().filter(|field| field.search).find_map(answered))
        .map(|text| text.chars().take(TITLE_CHARS_MAX).collect())
        .unwrap_or_default()
}

fn search_texts(definition: &FormDefinition, values: &Values) -> Vec<String> {
    let mut texts = Vec::new();
    for field in definition.fields.iter().filter(|field| field.search) {
        match &field.repeat {
            None => texts.extend(values.fields.get(&field.path).map(text_of)),
            Some(repeat) => texts.extend(
                values
                    .rows
                    .get(repeat)
                    .into_iter()
                    .flatten()
                    .filter_map(|row| row.fields.get(&field.path))
                    .map(text_of),
            ),
        }
    }
    texts
}

/// The persons whom a record is about: by ID number, else by name, birth date and unit.
pub(super) fn persons(form: &Form, values: &Values, unit: &str) -> Vec<PersonEntry> {
    let entry = |person: Person| PersonEntry {
        key: match person.identity {
            Identity::IdNumber(number) => PersonKey::IdNumber(number),
            Identity::NameAndBirth { name, birth_date } => {
                PersonKey::NameAndBirth { name, birth_date, unit: unit.to_owned() }
            }
        },
        path: person.path.to_string(),
        title: person.name,
    };
    form.persons(values).into_iter().map(entry).collect()
}
