//! Quarantine, devices, units.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ApiError, ProblemBody, form_language, language};
use super::records::PageParams;
use super::session::Caller;
use crate::store::{AdmittedChange, Fate, Problem, QuarantineItem, QuarantinePage};

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

/// Which part of the quarantine.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct QuarantineParams {
    /// Number of the last one of the page before.
    after: Option<i64>,
    /// What was put away, in place of what waits for a decision.
    left: Option<bool>,
}

/// Changes on which one request decides.
const CHANGES_MAX: usize = 200;

/// What is to become of quarantined changes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FatesRequest {
    /// `admit`, `leave` (put away: listed apart, can still be admitted) or `take_up` (again).
    decision: String,
    /// Numbers of 1 to 200 changes.
    ids: Vec<i64>,
}

/// What became of one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FateBody {
    /// Its number.
    id: i64,
    /// It was done, also where it was taken with an earlier one of the request that it had waited for.
    done: bool,
    /// Why not.
    problem: Option<ProblemBody>,
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
#[utoipa::path(get, path = "/quarantine", tag = "quarantine", params(QuarantineParams),
    responses((status = 200, body = Vec<QuarantineItem>)))]
pub(crate) async fn quarantine(
    State(app): State<App>,
    caller: Caller,
    params: Result<Query<QuarantineParams>, QueryRejection>,
) -> Result<Json<Vec<QuarantineItem>>, ApiError> {
    let Query(QuarantineParams { after, left }) = params?;
    let (after, left) = (after.unwrap_or(0), left.unwrap_or(false));
    Ok(Json(app.ask(move |store| store.quarantine_list(caller.user.id, after, left)).await?))
}

/// Decides on many quarantined changes, each in a transaction of its own: what became of each stands in the answer.
#[utoipa::path(post, path = "/quarantine/decisions", tag = "quarantine", request_body = FatesRequest, responses(
    (status = 200, body = Vec<FateBody>, description = "In the order of the request; `problem` has the words of `/quarantine/{id}/admit`"),
    (status = 400, body = ProblemBody, description = "`request_malformed`")))]
pub(crate) async fn decide_quarantined(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Json<FatesRequest>, JsonRejection>,
) -> Result<Json<Vec<FateBody>>, ApiError> {
    let Json(FatesRequest { decision, ids }) = body?;
    let malformed = |detail: &str| Problem::new("request_malformed").with("detail", detail);
    let fate = Fate::from_word(&decision).ok_or_else(|| malformed("decision"))?;
    if ids.is_empty() || ids.len() > CHANGES_MAX {
        return Err(malformed("ids: 1 to 200").into());
    }
    let language = language(&headers);
    let (mut told, mut taken) = (Vec::with_capacity(ids.len()), BTreeSet::new());
    for id in ids {
        if taken.contains(&id) {
            told.push(FateBody { id, done: true, problem: None });
            continue;
        }
        let user = caller.user.clone();
        let done = app.ask(move |store| store.decide_quarantined(&user, id, fate)).await;
        let problem = match done {
            Ok(along) => {
                taken.extend(along);
                None
            }
            Err(error) => Some(ApiError::from(error).body(language)),
        };
        told.push(FateBody { id, done: problem.is_none(), problem });
    }
    Ok(Json(told))
}

fn number(text: &str) -> Result<i64, ApiError> {
    text.parse().map_err(|_| Problem::new("quarantine_unknown").with("id", text).into())
}

/// One quarantined change with what it would write.
#[utoipa::path(get, path = "/quarantine/{id}", tag = "quarantine", params(("id" = String, Path), PageParams), responses(
    (status = 200, body = QuarantinePage),
    (status = 404, body = ProblemBody, description = "`quarantine_unknown`")))]
pub(crate) async fn quarantined(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Path(id): Path<String>,
    params: Result<Query<PageParams>, QueryRejection>,
) -> Result<Json<QuarantinePage>, ApiError> {
    let revealed = params?.revealed();
    let (id, language) = (number(&id)?, form_language(language(&headers)));
    Ok(Json(app.ask(move |store| store.quarantine_page(caller.user.id, id, language, &revealed)).await?))
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
