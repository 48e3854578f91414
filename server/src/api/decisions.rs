//! What a supervisor does to a record: choose a value, edit, approve, return, archive, void.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use fieldbook_core::access::Decision;
use fieldbook_core::document::Document;
use fieldbook_core::forms::{Answer, Edit, FieldPath, Form, Scalar, ValueError, Values};
use fieldbook_core::ids::ChangeHash;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::App;
use super::error::{ApiError, ProblemBody, no_such_address};
use super::records::record_id;
use super::session::Caller;
use crate::store::{Asked, Problem, StoreError};

/// Which value holds.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResolveRequest {
    /// Path of the field, with the row inside repeats.
    path: String,
    /// The change that wrote the chosen value at that path: one of those in conflict, also one that is masked. Either this
    /// or `value`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    change: Option<ChangeHash>,
    /// A value that nobody wrote, or one of those in conflict by what it says; `null` clears the answer. Either this or
    /// `change`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>)]
    value: Option<Value>,
    /// The heads that were read. What arrived since stays visible beside the choice.
    #[schema(value_type = Vec<String>)]
    heads: Vec<ChangeHash>,
}

/// `null` is a value here; only a missing one is none.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// A save, as a form makes it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditRequest {
    /// The heads that were read.
    #[schema(value_type = Vec<String>)]
    heads: Vec<ChangeHash>,
    /// New answers by path; of several choices the whole list.
    #[serde(default)]
    #[schema(value_type = Object)]
    set: Map<String, Value>,
    /// New rows by repeat.
    #[serde(default)]
    #[schema(value_type = Object)]
    add: Map<String, Value>,
    /// Row ids by repeat.
    #[serde(default)]
    #[schema(value_type = Object)]
    remove: Map<String, Value>,
}

/// A decision on exactly what was read.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionRequest {
    /// The heads that were read.
    #[schema(value_type = Vec<String>)]
    heads: Vec<ChangeHash>,
    /// Reasons; needed to return or void.
    #[serde(default)]
    reasons: String,
    /// With a return: fields that are open again, by path without rows; empty = all.
    #[serde(default)]
    fields: Vec<String>,
}

/// Why a record is erased.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PurgeRequest {
    /// For the audit trail; names nobody.
    reason: String,
}

/// The record after a save.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeadsBody {
    /// Its heads now.
    heads: Vec<String>,
}

/// The record after a decision.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateBody {
    /// Its state now.
    state: String,
}

fn refused(error: ValueError) -> StoreError {
    Problem::of_answer(error).into()
}

/// The edits that make hold at `path` what `change` wrote there.
fn choosing(form: &Form, document: &Document, path: &FieldPath, change: &ChangeHash) -> Result<Vec<Edit>, StoreError> {
    let conflicts = document.conflicts(form.definition());
    let sides = conflicts.iter().filter(|conflict| conflict.path == *path).flat_map(|conflict| &conflict.values);
    if let Some(side) = sides.into_iter().find(|side| side.change == *change) {
        return Ok(vec![Edit::Set { path: path.clone(), value: side.value.clone() }]);
    }
    // Somebody has chosen meanwhile: on the page that was read it is one of the values.
    let written = document.edits_of(form.definition(), change);
    let set = written.into_iter().rev().find(|edit| matches!(edit, Edit::Set { path: set, .. } if set == path));
    let unknown = || Problem::new("side_unknown").with("field", path).with("change", change);
    Ok(vec![set.ok_or_else(unknown)?])
}

/// The edits that make `value` hold at `path`.
fn resolving(
    form: &Form,
    document: &Document,
    path: &FieldPath,
    value: &Value,
    heads: &[ChangeHash],
) -> Result<Vec<Edit>, StoreError> {
    // A row that was removed while somebody wrote inside it: `removed`, `edited` or `kept` (document).
    if path.field.ends_with("/_removed") {
        let word = value.as_str().ok_or_else(|| Problem::new("value_refused").with("detail", path))?;
        return Ok(vec![Edit::Set { path: path.clone(), value: Some(Scalar::Text(word.to_owned())) }]);
    }
    match form.parse_answer(path, value).map_err(refused)? {
        Answer::Scalar(value) => Ok(vec![Edit::Set { path: path.clone(), value }]),
        Answer::Set(wanted) => {
            let current: Values = document.read_at(form.definition(), heads);
            let sets = match &path.row {
                None => Some(&current.sets),
                Some((repeat, id)) => {
                    let rows = current.rows.get(repeat);
                    rows.and_then(|rows| rows.iter().find(|row| row.id == *id)).map(|row| &row.sets)
                }
            };
            let held = sets.and_then(|sets| sets.get(&path.field)).cloned().unwrap_or_default();
            let choose = |choice: &String, chosen| Edit::Choose { path: path.clone(), choice: choice.clone(), chosen };
            let added = wanted.difference(&held).map(|choice| choose(choice, true));
            let taken = held.difference(&wanted).map(|choice| choose(choice, false));
            Ok(added.chain(taken).collect())
        }
    }
}

/// Chooses a value: an ordinary edit at the heads that were read.
#[utoipa::path(post, path = "/records/{id}/resolve", tag = "decisions", params(("id" = String, Path)),
    request_body = ResolveRequest, responses((status = 200, body = HeadsBody),
        (status = 403, body = ProblemBody, description = "`not_supervisor`, `not_your_field`"),
        (status = 404, body = ProblemBody, description = "`record_unknown`"),
        (status = 409, body = ProblemBody, description = "`heads_unknown`"),
        (status = 422, body = ProblemBody, description = "`value_refused`, `value_masked`, `side_unknown`, `field_unknown`")))]
pub(crate) async fn resolve(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Result<Json<ResolveRequest>, JsonRejection>,
) -> Result<Json<HeadsBody>, ApiError> {
    let Json(request) = body?;
    let record = record_id(&id)?;
    let path: FieldPath =
        request.path.parse().map_err(|_| Problem::new("field_unknown").with("field", &request.path))?;
    let heads = app.ask(move |store| {
        store.edit_record(&caller.user, record, &request.heads, |form, document| {
            match (&request.change, &request.value) {
                (Some(change), None) => choosing(form, document, &path, change),
                (None, Some(value)) => resolving(form, document, &path, value, &request.heads),
                _ => Err(Problem::new("request_malformed").with("detail", "either change or value").into()),
            }
        })
    });
    Ok(Json(heads_body(&heads.await?)))
}

fn heads_body(heads: &[ChangeHash]) -> HeadsBody {
    HeadsBody { heads: heads.iter().map(ToString::to_string).collect() }
}

/// Saves an edit at the heads that were read.
#[utoipa::path(post, path = "/records/{id}/edit", tag = "decisions", params(("id" = String, Path)),
    request_body = EditRequest, responses((status = 200, body = HeadsBody),
        (status = 403, body = ProblemBody, description = "`not_supervisor`, `not_your_field`"),
        (status = 404, body = ProblemBody, description = "`record_unknown`"),
        (status = 409, body = ProblemBody, description = "`heads_unknown`"),
        (status = 422, body = ProblemBody, description = "`value_refused`, `value_masked`")))]
pub(crate) async fn edit(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Result<Json<EditRequest>, JsonRejection>,
) -> Result<Json<HeadsBody>, ApiError> {
    let Json(request) = body?;
    let record = record_id(&id)?;
    let heads = app.ask(move |store| {
        store.edit_record(&caller.user, record, &request.heads, |form, document| {
            let current = document.read_at(form.definition(), &request.heads);
            let random = store.random.as_ref();
            form.edits_from_patch(&current, &request.set, &request.add, &request.remove, random).map_err(refused)
        })
    });
    Ok(Json(heads_body(&heads.await?)))
}

/// Decides on the record as read: `approve` it, `return` it to its author with reasons, `archive` an approved one,
/// `void` it with reasons, so that it counts nowhere, or `reinstate` a void one, which is then again what it was.
#[utoipa::path(post, path = "/records/{id}/{decision}", tag = "decisions",
    params(("id" = String, Path), ("decision" = String, Path, description = "`approve`, `return`, `archive`, `void` or `reinstate`")),
    request_body = DecisionRequest, responses((status = 200, body = StateBody),
        (status = 403, body = ProblemBody, description = "`not_supervisor`"),
        (status = 404, body = ProblemBody, description = "`record_unknown`, `address_not_here`"),
        (status = 409, body = ProblemBody,
            description = "`wrong_state`, `heads_unknown`; to approve or archive `heads_moved`; to approve `must_agree`, `has_problems`, `own_record`"),
        (status = 422, body = ProblemBody, description = "`reasons_missing`, `field_unknown`")))]
pub(crate) async fn decide(
    State(app): State<App>,
    caller: Caller,
    Path((id, word)): Path<(String, String)>,
    body: Result<Json<DecisionRequest>, JsonRejection>,
) -> Result<Json<StateBody>, ApiError> {
    let Some(decision) = Decision::from_word(&word) else { return Err(no_such_address().await) };
    let Json(request) = body?;
    let record = record_id(&id)?;
    let asked = Asked { decision, heads: request.heads, reasons: request.reasons, fields: request.fields };
    let state = app.ask(move |store| store.decide(&caller.user, record, &asked)).await?;
    Ok(Json(StateBody { state: state.word().to_owned() }))
}

/// Erases the record for ever, here and on every phone: it cannot be brought back.
#[utoipa::path(post, path = "/records/{id}/purge", tag = "decisions", params(("id" = String, Path)),
    request_body = PurgeRequest, responses((status = 204, description = "It is gone"),
        (status = 403, body = ProblemBody, description = "`not_supervisor`"),
        (status = 404, body = ProblemBody, description = "`record_unknown`"),
        (status = 422, body = ProblemBody, description = "`reasons_missing`")))]
pub(crate) async fn purge(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Result<Json<PurgeRequest>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(request) = body?;
    let record = record_id(&id)?;
    app.ask(move |store| store.purge_record(Some(&caller.user), record, &request.reason)).await?;
    tracing::info!(%record, "purged");
    Ok(StatusCode::NO_CONTENT)
}
