//! Records that seem to be about the same person: proposals, side by side, decided, undone.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use fieldbook_core::ids::ChangeHash;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ProblemBody, form_language, language};
use super::records::{PageParams, record_id};
use super::session::Caller;
use super::{App, limited};
use crate::store::{DOUBLES_MAX, DoubleDecisions, DoublePage, DoublesList, DoublesQuery, Problem};

/// Proposals on a page unless asked otherwise.
const PAGE_DEFAULT: usize = 20;

/// Which proposals.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DoublesParams {
    /// Only of this kind.
    kind: Option<String>,
    /// Only with a record of this unit or one below.
    unit: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// Proposals on the page, 1 to 100. Default 20.
    limit: Option<usize>,
}

/// Which decisions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DecidedParams {
    /// `same` or `different`; both by default.
    verdict: Option<String>,
    /// `next` of the page before.
    after: Option<i64>,
}

/// The records are the same: one stays, the others become void.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmRequest {
    /// The record that stays.
    stays: String,
    /// The records that are doubles of it, 1 to 19.
    doubles: Vec<String>,
    /// The heads that were read, by record, of all of them.
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    heads: BTreeMap<String, Vec<ChangeHash>>,
    /// Why, beside the standing text; may be empty.
    #[serde(default)]
    reasons: String,
}

/// No two of these records are the same.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RejectRequest {
    /// The records, 2 to 20.
    records: Vec<String>,
}

/// Records that seem to be about the same person: same ID number, or same name, birth date and unit; of kinds that
/// mark an occasion, for the same occasion too. Newest first.
#[utoipa::path(get, path = "/doubles", tag = "doubles", params(DoublesParams), responses(
    (status = 200, body = DoublesList),
    (status = 400, body = ProblemBody, description = "`request_malformed`"),
    (status = 404, body = ProblemBody, description = "`unit_unknown`")))]
pub(crate) async fn doubles(
    State(app): State<App>,
    caller: Caller,
    params: Result<Query<DoublesParams>, QueryRejection>,
) -> Result<Json<DoublesList>, ApiError> {
    let Query(params) = params?;
    let DoublesParams { kind, unit, after, limit } = params;
    let query = DoublesQuery { kind, unit, after, limit: limited(limit, PAGE_DEFAULT, DOUBLES_MAX)? };
    Ok(Json(app.ask(move |store| store.doubles(caller.user.id, &query)).await?))
}

/// One proposal side by side, with the answers that differ.
#[utoipa::path(get, path = "/doubles/{id}", tag = "doubles", params(("id" = String, Path), PageParams), responses(
    (status = 200, body = DoublePage), (status = 404, body = ProblemBody, description = "`double_unknown`")))]
pub(crate) async fn double(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    params: Result<Query<PageParams>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<DoublePage>, ApiError> {
    let revealed = params?.revealed();
    let language = form_language(language(&headers));
    Ok(Json(app.ask(move |store| store.double_page(caller.user.id, &id, language, &revealed)).await?))
}

/// Confirms that records are the same. The doubles become void, each by a decision in its own feed that names the one
/// that stays; undoing it brings them back.
#[utoipa::path(post, path = "/doubles/{id}/confirm", tag = "doubles", params(("id" = String, Path)),
    request_body = ConfirmRequest, responses((status = 204, description = "Decided"),
        (status = 400, body = ProblemBody, description = "`request_malformed`"),
        (status = 403, body = ProblemBody, description = "`not_supervisor` of a record's unit"),
        (status = 404, body = ProblemBody, description = "`double_unknown`, `record_unknown`"),
        (status = 409, body = ProblemBody, description = "`heads_moved`: a record has changed since it was read")))]
pub(crate) async fn confirm(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Result<Json<ConfirmRequest>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(ConfirmRequest { stays, doubles, heads, reasons }) = body?;
    let stays = record_id(&stays)?;
    let doubles = doubles.iter().map(|id| record_id(id)).collect::<Result<Vec<_>, _>>()?;
    let heads = heads.into_iter().map(|(id, heads)| Ok((record_id(&id)?, heads)));
    let heads = heads.collect::<Result<BTreeMap<_, _>, ApiError>>()?;
    app.ask(move |store| store.confirm_double(&caller.user, &id, stays, &doubles, &heads, &reasons)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says that no two of these records are the same. It is remembered for as long as they are about the same person.
#[utoipa::path(post, path = "/doubles/{id}/reject", tag = "doubles", params(("id" = String, Path)),
    request_body = RejectRequest, responses((status = 204, description = "Decided"),
        (status = 400, body = ProblemBody, description = "`request_malformed`"),
        (status = 403, body = ProblemBody, description = "`not_supervisor` of a record's unit"),
        (status = 404, body = ProblemBody, description = "`double_unknown`, `record_unknown`")))]
pub(crate) async fn reject(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Result<Json<RejectRequest>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(request) = body?;
    let records = request.records.iter().map(|id| record_id(id)).collect::<Result<Vec<_>, _>>()?;
    app.ask(move |store| store.reject_double(&caller.user, &id, &records)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The decisions on doubles that hold, newest first, at most 50.
#[utoipa::path(get, path = "/doubles/decided", tag = "doubles", params(DecidedParams), responses(
    (status = 200, body = DoubleDecisions),
    (status = 400, body = ProblemBody, description = "`request_malformed`")))]
pub(crate) async fn decided(
    State(app): State<App>,
    caller: Caller,
    params: Result<Query<DecidedParams>, QueryRejection>,
) -> Result<Json<DoubleDecisions>, ApiError> {
    let Query(DecidedParams { verdict, after }) = params?;
    Ok(Json(app.ask(move |store| store.doubles_decided(caller.user.id, verdict.as_deref(), after)).await?))
}

/// Undoes a decision on doubles: a double that was void is again what it was.
#[utoipa::path(post, path = "/doubles/decided/{number}/undo", tag = "doubles", params(("number" = String, Path)),
    responses((status = 204, description = "Undone"),
        (status = 403, body = ProblemBody, description = "`not_supervisor` of a record's unit"),
        (status = 404, body = ProblemBody, description = "`double_unknown`")))]
pub(crate) async fn undo(
    State(app): State<App>,
    caller: Caller,
    Path(number): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = number.parse().map_err(|_| Problem::new("double_unknown").with("id", &number))?;
    app.ask(move |store| store.undo_double(&caller.user, id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
