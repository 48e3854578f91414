//! Sync reports: what each exchange brought.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ProblemBody};
use super::session::Caller;
use super::{App, limited};
use crate::store::{EXCHANGES_MAX, ExchangeList, ExchangePage, ExchangesQuery, Problem};

/// Exchanges on a page unless asked otherwise.
const PAGE_DEFAULT: usize = 50;

/// Which exchanges.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExchangesParams {
    /// Only of this unit and all below.
    unit: Option<String>,
    /// Only of this device.
    device: Option<String>,
    /// Only with `conflicts`, `doubles`, `quarantined` or `refused`.
    with: Option<String>,
    /// `next` of the page before.
    after: Option<i64>,
    /// Exchanges on the page, 1 to 100. Default 50.
    limit: Option<usize>,
}

/// Exchanges that brought changes, of the units that the user supervises, newest first. They are kept for half a year,
/// the last 20,000 of them.
#[utoipa::path(get, path = "/exchanges", tag = "exchanges", params(ExchangesParams), responses(
    (status = 200, body = ExchangeList),
    (status = 400, body = ProblemBody, description = "`request_malformed`"),
    (status = 404, body = ProblemBody, description = "`unit_unknown`")))]
pub(crate) async fn exchanges(
    State(app): State<App>,
    caller: Caller,
    params: Result<Query<ExchangesParams>, QueryRejection>,
) -> Result<Json<ExchangeList>, ApiError> {
    let Query(ExchangesParams { unit, device, with, after, limit }) = params?;
    let query = ExchangesQuery { unit, device, with, after, limit: limited(limit, PAGE_DEFAULT, EXCHANGES_MAX)? };
    Ok(Json(app.ask(move |store| store.exchanges(caller.user.id, &query)).await?))
}

/// One exchange: what it changed, conflicted, doubled, and what was not taken.
#[utoipa::path(get, path = "/exchanges/{id}", tag = "exchanges", params(("id" = String, Path)), responses(
    (status = 200, body = ExchangePage), (status = 404, body = ProblemBody, description = "`exchange_unknown`")))]
pub(crate) async fn exchange(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ExchangePage>, ApiError> {
    let id = id.parse().map_err(|_| Problem::new("exchange_unknown").with("id", &id))?;
    Ok(Json(app.ask(move |store| store.exchange(caller.user.id, id)).await?))
}
