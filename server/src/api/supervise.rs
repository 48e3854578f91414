//! Quarantine, devices, units.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ApiError, ProblemBody, form_language, language};
use super::session::Caller;
use crate::store::{AdmittedChange, Problem, QuarantineItem, QuarantinePage};

/// A device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceBody {
    /// The device.
    id: String,
    /// Model or host name.
    name: String,
    /// Its user.
    user: String,
    /// The user's name.
    user_name: String,
    /// Code of the user's unit.
    unit: String,
    /// When it enrolled, milliseconds since 1970 UTC.
    enrolled_ms: i64,
    /// Last exchange, milliseconds since 1970 UTC.
    last_contact_ms: Option<i64>,
    /// Its clock less the server's at a recent exchange, in milliseconds.
    clock_skew_ms: Option<i64>,
    /// When it was revoked, milliseconds since 1970 UTC.
    revoked_ms: Option<i64>,
    /// Changes that it has announced and not brought yet; null where none are known of. What it has not announced is known
    /// to nobody but the device: at its next exchange it says.
    to_send: Option<u64>,
}

/// A unit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnitBody {
    /// Unique code.
    code: String,
    /// Name as shown.
    name: String,
    /// Code of the parent.
    parent: Option<String>,
    /// Division code.
    division: Option<String>,
}

/// Where the page begins.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AfterParams {
    /// Number of the last one of the page before.
    after: Option<i64>,
}

/// What admitting did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AdmittedBody {
    /// The record.
    record: String,
    /// The change, and all that wait and build on it, causes before effects.
    changes: Vec<AdmittedChange>,
}

/// What waits in quarantine, oldest first, at most 200.
#[utoipa::path(get, path = "/quarantine", tag = "quarantine", params(AfterParams),
    responses((status = 200, body = Vec<QuarantineItem>)))]
pub(crate) async fn quarantine(
    State(app): State<App>,
    caller: Caller,
    params: Result<Query<AfterParams>, QueryRejection>,
) -> Result<Json<Vec<QuarantineItem>>, ApiError> {
    let Query(params) = params?;
    Ok(Json(app.ask(move |store| store.quarantine_list(caller.user.id, params.after.unwrap_or(0))).await?))
}

fn number(text: &str) -> Result<i64, ApiError> {
    text.parse().map_err(|_| Problem::new("quarantine_unknown").with("id", text).into())
}

/// One quarantined change with what it would write.
#[utoipa::path(get, path = "/quarantine/{id}", tag = "quarantine", params(("id" = String, Path)), responses(
    (status = 200, body = QuarantinePage),
    (status = 404, body = ProblemBody, description = "`quarantine_unknown`")))]
pub(crate) async fn quarantined(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<QuarantinePage>, ApiError> {
    let (id, language) = (number(&id)?, form_language(language(&headers)));
    Ok(Json(app.ask(move |store| store.quarantine_page(caller.user.id, id, language)).await?))
}

/// Takes a quarantined change into the log after all, and what waited only for it and its author may write. Where the
/// author has issued a part of it again, only the rest is taken.
#[utoipa::path(post, path = "/quarantine/{id}/admit", tag = "quarantine", params(("id" = String, Path)), responses(
    (status = 200, body = AdmittedBody),
    (status = 403, body = ProblemBody, description = "`not_supervisor`"),
    (status = 404, body = ProblemBody, description = "`quarantine_unknown`"),
    (status = 409, body = ProblemBody, description = "`depends_on_quarantined`"),
    (status = 422, body = ProblemBody, description = "`value_refused`")))]
pub(crate) async fn admit(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<AdmittedBody>, ApiError> {
    let id = number(&id)?;
    let (record, changes) = app.ask(move |store| store.admit(&caller.user, id)).await?;
    Ok(Json(AdmittedBody { record: record.to_string(), changes }))
}

/// Devices of the units that the user supervises.
#[utoipa::path(get, path = "/devices", tag = "devices", responses((status = 200, body = Vec<DeviceBody>)))]
pub(crate) async fn devices(State(app): State<App>, caller: Caller) -> Result<Json<Vec<DeviceBody>>, ApiError> {
    let devices = app.ask(move |store| store.devices_of(caller.user.id)).await?;
    let body = |device: crate::store::DeviceRow| DeviceBody {
        id: device.id.to_string(),
        name: device.name,
        user: device.user.to_string(),
        user_name: device.user_name,
        unit: device.unit,
        enrolled_ms: device.enrolled_ms,
        last_contact_ms: device.last_contact_ms,
        clock_skew_ms: device.clock_skew_ms,
        revoked_ms: device.revoked_ms,
        to_send: device.to_send,
    };
    Ok(Json(devices.into_iter().map(body).collect()))
}

/// Revokes a device at once and for ever.
#[utoipa::path(post, path = "/devices/{id}/revoke", tag = "devices", params(("id" = String, Path)), responses(
    (status = 204, description = "Revoked"),
    (status = 404, body = ProblemBody, description = "`device_unknown`")))]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let device = id.parse().map_err(|_| Problem::new("device_unknown").with("device", id))?;
    app.ask(move |store| store.revoke_for(&caller.user, device)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The units that the user's roles reach, and those above.
#[utoipa::path(get, path = "/units", tag = "units", responses((status = 200, body = Vec<UnitBody>)))]
pub(crate) async fn units(State(app): State<App>, caller: Caller) -> Result<Json<Vec<UnitBody>>, ApiError> {
    let units = app.ask(move |store| store.units_of(caller.user.id)).await?;
    let body = |unit: fieldbook_core::access::Unit| UnitBody {
        code: unit.code,
        name: unit.name,
        parent: unit.parent,
        division: unit.division,
    };
    Ok(Json(units.into_iter().map(body).collect()))
}
