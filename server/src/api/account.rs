//! A user's own account: password, second factor, sessions; and the audit log.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ProblemBody};
use super::session::{AccountCaller, Caller};
use super::{App, limited};
use crate::link;
use crate::store::{AUDIT_ACTIONS, AUDIT_PAGE_MAX, AuditQuery, AuditRow, Problem, SessionRow, StoreError, is_formula};

/// A new password, and the one until now.
#[derive(Deserialize, ToSchema)]
pub(crate) struct PasswordRequest {
    /// The password until now.
    old: String,
    /// At least 10 characters, and not made of what everybody tries first.
    new: String,
}

/// Proof that it is the user who asks.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ProofRequest {
    /// The user's password.
    password: String,
}

/// A second factor to be set up.
#[derive(Serialize, ToSchema)]
pub(crate) struct FactorBody {
    /// For typing: base32.
    secret: String,
    /// For an authenticator app: `otpauth://totp/…`.
    uri: String,
    /// The same as a QR code: an SVG picture.
    qr_svg: String,
}

/// A code of the moment.
#[derive(Deserialize, ToSchema)]
pub(crate) struct CodeRequest {
    /// Six digits.
    code: String,
}

/// Recovery codes.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecoveryBody {
    /// Each signs in once in place of a code. Shown only now.
    codes: Vec<String>,
}

/// The account's state.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountBody {
    /// Unused recovery codes.
    recovery_codes_left: i64,
    /// Live sessions, the last used first.
    sessions: Vec<SessionBody>,
}

/// A live session.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionBody {
    /// Names it.
    id: String,
    /// Since when, milliseconds since 1970 UTC.
    created_ms: i64,
    /// Last use, to the minute, milliseconds since 1970 UTC.
    seen_ms: i64,
    /// Network address at its beginning.
    address: String,
    /// What the browser called itself.
    agent: String,
    /// The session that asks.
    own: bool,
}

impl From<SessionRow> for SessionBody {
    fn from(row: SessionRow) -> Self {
        let SessionRow { id, created_ms, seen_ms, address, agent, own } = row;
        Self { id, created_ms, seen_ms, address, agent, own }
    }
}

/// Which rows of the audit log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditParams {
    /// Login or id of who did it.
    user: Option<String>,
    /// Word of what was done, such as `approve`, `reveal`, `login_refused`.
    action: Option<String>,
    /// Id of what it was done to.
    subject: Option<String>,
    /// From then on, milliseconds since 1970 UTC.
    since_ms: Option<i64>,
    /// Before then.
    until_ms: Option<i64>,
    /// Rows below this number: `number` of the last one of the page before.
    before: Option<i64>,
    /// Rows, 1 to 200. Default 50.
    limit: Option<usize>,
}

/// A row of the audit log.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditBody {
    /// Counts up from 1 without a gap.
    number: i64,
    /// Server's time, milliseconds since 1970 UTC.
    time_ms: i64,
    /// Who; nobody where the command line did.
    user: Option<String>,
    /// The name.
    user_name: Option<String>,
    /// Word of what was done.
    #[schema(schema_with = action_schema)]
    action: String,
    /// Id of what it was done to.
    subject: String,
    /// Name of the user or device that this is.
    subject_name: Option<String>,
    /// Names of fields, units, an address; no values.
    detail: String,
}

fn action_schema() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(AUDIT_ACTIONS.iter().copied())).build()
}

impl From<AuditRow> for AuditBody {
    fn from(row: AuditRow) -> Self {
        let AuditRow { number, time_ms, user, user_name, action, subject, subject_name, detail } = row;
        let user = user.map(|user| user.to_string());
        Self { number, time_ms, user, user_name, action, subject, subject_name, detail }
    }
}

/// Rows unless asked otherwise.
const PAGE_DEFAULT: usize = 50;

impl AuditParams {
    fn query(self) -> Result<AuditQuery, Problem> {
        let Self { user, action, subject, since_ms, until_ms, before, limit } = self;
        let limit = limited(limit, PAGE_DEFAULT, AUDIT_PAGE_MAX)?;
        Ok(AuditQuery { user, action, subject, since_ms, until_ms, before, limit })
    }
}

/// The account: recovery codes that are left, sessions.
#[utoipa::path(get, path = "/account", tag = "account", responses((status = 200, body = AccountBody)))]
pub(crate) async fn account(State(app): State<App>, caller: AccountCaller) -> Result<Json<AccountBody>, ApiError> {
    let body = app.ask(move |store| {
        let sessions = store.sessions(caller.user.id, &caller.token)?;
        let recovery_codes_left = store.recovery_codes_left(caller.user.id)?;
        Ok(AccountBody { recovery_codes_left, sessions: sessions.into_iter().map(SessionBody::from).collect() })
    });
    Ok(Json(body.await?))
}

/// Changes the password, and ends the user's other sessions.
#[utoipa::path(post, path = "/account/password", tag = "account", request_body = PasswordRequest, responses(
    (status = 204, description = "Changed"),
    (status = 422, body = ProblemBody, description = "`password_wrong`, `password_weak`, `password_malformed`")))]
pub(crate) async fn password(
    State(app): State<App>,
    caller: AccountCaller,
    body: Result<Json<PasswordRequest>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(request) = body?;
    let AccountCaller { user, token, .. } = caller;
    app.guess(&user, move |store, user| store.change_password(user, &token, (&request.old, &request.new))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Begins to set up a second factor (TOTP, RFC 6238: SHA-1, 6 digits, 30 s).
#[utoipa::path(post, path = "/account/second-factor", tag = "account", request_body = ProofRequest, responses(
    (status = 200, body = FactorBody), (status = 422, body = ProblemBody, description = "`password_wrong`")))]
pub(crate) async fn begin_factor(
    State(app): State<App>,
    caller: AccountCaller,
    body: Result<Json<ProofRequest>, JsonRejection>,
) -> Result<Json<FactorBody>, ApiError> {
    let Json(request) = body?;
    let factor = app.guess(&caller.user, move |store, user| {
        let new = store.begin_factor(user, &request.password)?;
        let qr_svg = link::svg_qr(&new.uri)?;
        Ok(FactorBody { secret: new.secret, uri: new.uri, qr_svg })
    });
    Ok(Json(factor.await?))
}

/// The first code of the second factor: it is asked for from now on.
#[utoipa::path(post, path = "/account/second-factor/confirm", tag = "account", request_body = CodeRequest, responses(
    (status = 200, body = RecoveryBody),
    (status = 422, body = ProblemBody, description = "`factor_not_begun`, `code_refused`")))]
pub(crate) async fn confirm_factor(
    State(app): State<App>,
    caller: AccountCaller,
    body: Result<Json<CodeRequest>, JsonRejection>,
) -> Result<Json<RecoveryBody>, ApiError> {
    let Json(request) = body?;
    let codes = app.guess(&caller.user, move |store, user| store.confirm_factor(user, &request.code)).await?;
    Ok(Json(RecoveryBody { codes }))
}

/// Ends one of the user's sessions.
#[utoipa::path(delete, path = "/account/sessions/{id}", tag = "account", params(("id" = String, Path)), responses(
    (status = 204, description = "Ended"), (status = 404, body = ProblemBody, description = "`session_unknown`")))]
pub(crate) async fn end_session(
    State(app): State<App>,
    caller: AccountCaller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    app.ask(move |store| store.end_sessions(caller.user.id, &caller.token, Some(&id))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all of the user's sessions but this one.
#[utoipa::path(delete, path = "/account/sessions", tag = "account", responses((status = 204, description = "Ended")))]
pub(crate) async fn end_sessions(State(app): State<App>, caller: AccountCaller) -> Result<StatusCode, ApiError> {
    app.ask(move |store| store.end_sessions(caller.user.id, &caller.token, None)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The audit log, newest first: for supervisors and auditors of the topmost unit.
#[utoipa::path(get, path = "/audit", tag = "audit", params(AuditParams), responses(
    (status = 200, body = Vec<AuditBody>), (status = 403, body = ProblemBody, description = "`not_auditor`")))]
pub(crate) async fn audit(
    State(app): State<App>,
    caller: Caller,
    params: Result<Query<AuditParams>, QueryRejection>,
) -> Result<Json<Vec<AuditBody>>, ApiError> {
    let Query(params) = params?;
    let query = params.query()?;
    let rows = app.ask(move |store| store.audit_rows(caller.user.id, &query)).await?;
    Ok(Json(rows.into_iter().map(AuditBody::from).collect()))
}

/// The same rows as CSV with a byte order mark, at most 100,000; that it was asked for is a row too.
#[utoipa::path(get, path = "/audit.csv", tag = "audit", params(AuditParams), responses(
    (status = 200, body = String, content_type = "text/csv"),
    (status = 403, body = ProblemBody, description = "`not_auditor`")))]
pub(crate) async fn audit_csv(
    State(app): State<App>,
    caller: Caller,
    params: Result<Query<AuditParams>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(params) = params?;
    let query = params.query()?;
    let text = app.ask(move |store| {
        let rows = store.audit_export(caller.user.id, query)?;
        table(&rows).map_err(|error| StoreError::corrupt("export", error))
    });
    let mut response = text.await?.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    Ok(response)
}

fn table(rows: &[AuditRow]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer("\u{feff}".as_bytes().to_vec());
    writer.write_record(["number", "time_ms", "user", "user_name", "action", "subject", "subject_name", "detail"])?;
    for row in rows {
        let user = row.user.map(|user| user.to_string()).unwrap_or_default();
        let name = row.user_name.clone().unwrap_or_default();
        let cells = [row.number.to_string(), row.time_ms.to_string(), user, name];
        let about = row.subject_name.clone().unwrap_or_default();
        let texts = [row.action.clone(), row.subject.clone(), about, row.detail.clone()];
        writer.write_record(cells.into_iter().chain(texts).map(|cell| no_formula(&cell)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// A cell that no spreadsheet takes for a formula: what begins like one gets an apostrophe (OWASP, CSV injection).
fn no_formula(cell: &str) -> String {
    if is_formula(cell) { format!("'{cell}") } else { cell.to_owned() }
}
