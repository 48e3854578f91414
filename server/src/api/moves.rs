//! Moving records to another unit.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::App;
use super::error::{ApiError, ProblemBody};
use super::records::record_id;
use super::session::Caller;

/// Where a record goes, and what goes with it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MoveRequest {
    /// Code of the unit that it belongs to from now on.
    unit: String,
    /// Why, for the audit trail; name nobody.
    reason: String,
    /// Further records that move along, all or none: a household's visits. At most 199.
    #[serde(default)]
    with: Vec<String>,
}

/// Moves the record with its whole history to another unit. What a phone of the old unit wrote before it heard of that
/// is still taken.
#[utoipa::path(post, path = "/records/{id}/move", tag = "decisions", params(("id" = String, Path)),
    request_body = MoveRequest, responses((status = 204, description = "It is there"),
        (status = 403, body = ProblemBody, description = "`not_supervisor` of both units"),
        (status = 404, body = ProblemBody, description = "`record_unknown`, `unit_unknown`"),
        (status = 409, body = ProblemBody, description = "`form_not_there`"),
        (status = 422, body = ProblemBody, description = "`reasons_missing`")))]
pub(crate) async fn move_record(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    body: Result<Json<MoveRequest>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(MoveRequest { unit, reason, with }) = body?;
    let ids = std::iter::once(&id).chain(&with).map(|id| record_id(id)).collect::<Result<Vec<_>, _>>()?;
    let count = ids.len();
    app.ask(move |store| store.move_records(Some(&caller.user), &ids, &unit, &reason)).await?;
    tracing::info!(%id, count, "moved");
    Ok(StatusCode::NO_CONTENT)
}
