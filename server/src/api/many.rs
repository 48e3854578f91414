//! One decision on many records, and the reasons that are offered for it.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use fieldbook_core::access::Decision;
use fieldbook_core::forms::{Form, Labels};
use fieldbook_core::ids::ChangeHash;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::error::{ApiError, ProblemBody, language};
use super::records::record_id;
use super::session::Caller;
use crate::store::{Asked, Problem};
use crate::text::{self, Language};

/// Records that one request decides on.
const RECORDS_MAX: usize = 200;
/// Reasons that are offered for a return: words of the catalogue.
const RETURN_REASONS: [&str; 8] = [
    "reason_missing_answers",
    "reason_documents_unclear",
    "reason_identity_mismatch",
    "reason_income_mismatch",
    "reason_members_mismatch",
    "reason_visit_incomplete",
    "reason_duplicate",
    "reason_ask_again",
];
/// Reasons that are offered to void a record.
const VOID_REASONS: [&str; 4] = ["reason_duplicate", "reason_wrong_person", "reason_test_record", "reason_withdrawn"];
/// A form's own reasons: choice lists of these names come in place of the offered ones.
const RETURN_LIST: &str = "fb_return_reasons";
/// The same to void.
const VOID_LIST: &str = "fb_void_reasons";

/// A record and the heads that were shown.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinnedRecord {
    /// The record.
    id: String,
    /// The heads that were shown.
    #[schema(value_type = Vec<String>)]
    heads: Vec<ChangeHash>,
}

/// A decision on many records, on each as it was shown.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManyRequest {
    /// `approve`, `return`, `archive` or `void`.
    decision: String,
    /// Reasons; needed to return or void.
    #[serde(default)]
    reasons: String,
    /// With a return: fields that are open again, by path without rows; empty = all.
    #[serde(default)]
    fields: Vec<String>,
    /// 1 to 200 records.
    records: Vec<PinnedRecord>,
}

/// What became of one record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DecidedBody {
    /// The record.
    id: String,
    /// Its state now; none if nothing was decided.
    state: Option<String>,
    /// Why nothing was decided.
    problem: Option<ProblemBody>,
}

/// What became of all.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ManyBody {
    /// How many were decided on.
    decided: usize,
    /// In the order of the request.
    results: Vec<DecidedBody>,
}

/// A reason that is offered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReasonBody {
    /// Stable word.
    name: String,
    /// Text by language: what to send as `reasons`, alone or with more.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    label: Labels,
}

/// The reasons that are offered for a kind.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReasonsBody {
    /// For a return.
    r#return: Vec<ReasonBody>,
    /// To void a record.
    void: Vec<ReasonBody>,
}

/// Decides on many records, each in a transaction of its own: what became of each stands in the answer.
#[utoipa::path(post, path = "/decisions", tag = "decisions", request_body = ManyRequest, responses(
    (status = 200, body = ManyBody, description = "Also if some or all were refused: `problem` says why, with the words of `/records/{id}/{decision}`"),
    (status = 400, body = ProblemBody, description = "`request_malformed`")))]
pub(crate) async fn decide_many(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Json<ManyRequest>, JsonRejection>,
) -> Result<Json<ManyBody>, ApiError> {
    let Json(request) = body?;
    let malformed = |detail: &str| Problem::new("request_malformed").with("detail", detail);
    let decision = Decision::from_word(&request.decision).ok_or_else(|| malformed("decision"))?;
    if request.records.is_empty() || request.records.len() > RECORDS_MAX {
        return Err(malformed("records: 1 to 200").into());
    }
    let language = language(&headers);
    let mut results = Vec::with_capacity(request.records.len());
    for pinned in request.records {
        let asked =
            Asked { decision, heads: pinned.heads, reasons: request.reasons.clone(), fields: request.fields.clone() };
        let decided = match record_id(&pinned.id) {
            Ok(record) => {
                let user = caller.user.clone();
                app.ask(move |store| store.decide(&user, record, &asked)).await.map_err(ApiError::from)
            }
            Err(error) => Err(error),
        };
        let (state, problem) = match decided {
            Ok(state) => (Some(state.word().to_owned()), None),
            Err(error) => (None, Some(error.body(language))),
        };
        results.push(DecidedBody { id: pinned.id, state, problem });
    }
    Ok(Json(ManyBody { decided: results.iter().filter(|result| result.state.is_some()).count(), results }))
}

fn offered(form: &Form, list: &str, words: &[&str]) -> Vec<ReasonBody> {
    if let Some(choices) = form.definition().choices.get(list) {
        let own = choices.iter().map(|choice| ReasonBody { name: choice.name.clone(), label: choice.label.clone() });
        return own.collect();
    }
    let label = |word: &str| {
        let in_both = [("zh-Hans", Language::Chinese), ("en", Language::English)];
        in_both.map(|(code, language)| (code.to_owned(), text::text(language, word, &[]))).into()
    };
    words.iter().map(|word| ReasonBody { name: (*word).to_owned(), label: label(word) }).collect()
}

/// The reasons that are offered to return or void a record of a kind: the form's own, where it has choice lists named
/// `fb_return_reasons` or `fb_void_reasons`.
#[utoipa::path(get, path = "/kinds/{kind}/reasons", tag = "decisions", params(("kind" = String, Path)), responses(
    (status = 200, body = ReasonsBody), (status = 404, body = ProblemBody, description = "`kind_unknown`")))]
pub(crate) async fn reasons(
    State(app): State<App>,
    caller: Caller,
    Path(kind): Path<String>,
) -> Result<Json<ReasonsBody>, ApiError> {
    let form = app.ask(move |store| store.visible_form(caller.user.id, &kind)).await?;
    let r#return = offered(&form, RETURN_LIST, &RETURN_REASONS);
    Ok(Json(ReasonsBody { r#return, void: offered(&form, VOID_LIST, &VOID_REASONS) }))
}
