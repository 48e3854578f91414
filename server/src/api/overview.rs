//! What a supervisor sees first: the page of the day, counts, the map.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ApiError, ProblemBody, form_language, language};
use super::filter::filter_params;
use super::session::Caller;
use crate::store::{OverviewPage, PointsPage, RETURNED_DAYS, SILENT_DAYS, TodayPage};

/// What counts as late.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TodayParams {
    /// Days after which a returned record counts as unanswered, at most 3,650. Default 7.
    returned_days: Option<u32>,
    /// Days after which a device counts as silent, at most 3,650. Default 14.
    silent_days: Option<u32>,
}

/// What has been seen.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeenRequest {
    /// `as_of_ms` of the page that was shown.
    through_ms: i64,
}

/// Until when the user has seen what came in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeenBody {
    /// Milliseconds since 1970 UTC.
    since_ms: i64,
}

filter_params! {
    /// Which records are counted.
    pub(crate) struct OverviewParams {
        /// Only of this kind; else of all that the user may see.
        kind: Option<String>,
    }
}

filter_params! {
    /// Which records are on the map.
    pub(crate) struct PointsParams {}
}

/// What came in since the user's last visit, what waits for the user, and devices that are silent.
#[utoipa::path(get, path = "/today", tag = "overview", params(TodayParams), responses((status = 200, body = TodayPage)))]
pub(crate) async fn today(
    State(app): State<App>,
    caller: Caller,
    params: Result<Query<TodayParams>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<TodayPage>, ApiError> {
    let Query(params) = params?;
    let returned_days = params.returned_days.unwrap_or(RETURNED_DAYS);
    let silent_days = params.silent_days.unwrap_or(SILENT_DAYS);
    let language = form_language(language(&headers));
    Ok(Json(app.ask(move |store| store.today(caller.user.id, returned_days, silent_days, language)).await?))
}

/// Moves the user's last visit on to a page that was shown: it never goes back.
#[utoipa::path(post, path = "/today/seen", tag = "overview", request_body = SeenRequest,
    responses((status = 200, body = SeenBody), (status = 422, body = ProblemBody, description = "`request_malformed`")))]
pub(crate) async fn seen(
    State(app): State<App>,
    caller: Caller,
    body: Result<Json<SeenRequest>, JsonRejection>,
) -> Result<Json<SeenBody>, ApiError> {
    let Json(request) = body?;
    let since_ms = app.ask(move |store| store.see(caller.user.id, request.through_ms)).await?;
    Ok(Json(SeenBody { since_ms }))
}

/// How many records there are, by kind, state, unit and month: the list with the same parameters has exactly these.
#[utoipa::path(get, path = "/overview", tag = "overview", params(OverviewParams), responses(
    (status = 200, body = OverviewPage),
    (status = 400, body = ProblemBody, description = "`request_malformed`"),
    (status = 404, body = ProblemBody, description = "`kind_unknown`, `unit_unknown`"),
    (status = 422, body = ProblemBody, description = "`field_unknown`")))]
pub(crate) async fn overview(
    State(app): State<App>,
    caller: Caller,
    params: Result<Query<OverviewParams>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<OverviewPage>, ApiError> {
    let Query(params) = params?;
    let filter = params.filter().parse()?;
    let language = form_language(language(&headers));
    let ask =
        move |store: &crate::store::Store| store.overview(caller.user.id, params.kind.as_deref(), &filter, language);
    Ok(Json(app.ask(ask).await?))
}

/// Positions of records of a kind.
#[utoipa::path(get, path = "/kinds/{kind}/points", tag = "overview", params(("kind" = String, Path), PointsParams),
    responses((status = 200, body = PointsPage),
        (status = 400, body = ProblemBody, description = "`request_malformed`"),
        (status = 404, body = ProblemBody, description = "`kind_unknown`, `unit_unknown`"),
        (status = 422, body = ProblemBody, description = "`field_unknown`")))]
pub(crate) async fn points(
    State(app): State<App>,
    caller: Caller,
    Path(kind): Path<String>,
    params: Result<Query<PointsParams>, QueryRejection>,
) -> Result<Json<PointsPage>, ApiError> {
    let Query(params) = params?;
    let filter = params.filter().parse()?;
    Ok(Json(app.ask(move |store| store.points(caller.user.id, &kind, &filter)).await?))
}
