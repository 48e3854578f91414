//! `login`, `logout`, `me`, and who asks.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fieldbook_core::access::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::error::{ApiError, ProblemBody};
use crate::limiter::{ADDRESS_ATTEMPTS_MAX, LOGIN_ATTEMPTS_MAX};
use crate::store::{Problem, UserRow};

/// Characters of a login that are remembered with its attempts.
const LOGIN_CHARS_MAX: usize = 64;
/// Name of the session cookie.
const COOKIE: &str = "fieldbook_session";

/// Login and password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct LoginRequest {
    /// Login.
    login: String,
    /// Password.
    password: String,
}

/// A role at a unit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RoleBody {
    /// Word of the role.
    role: String,
    /// Code of the unit; it holds for all below too.
    unit: String,
}

/// The user who asks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeBody {
    /// The user.
    id: String,
    /// Name as shown.
    name: String,
    /// Login.
    login: String,
    /// Code of the user's unit.
    unit: String,
    /// What the user may do.
    roles: Vec<RoleBody>,
}

/// An open session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoginAnswer {
    /// For scripts: `Authorization: Bearer TOKEN`. Browsers use the cookie that comes with this answer.
    token: String,
    /// When the session ends at the latest, milliseconds since 1970 UTC.
    expires_ms: i64,
    /// The user.
    user: MeBody,
}

/// The signed-in user of a request.
pub(crate) struct Caller {
    pub(crate) user: UserRow,
}

/// The token of the bearer header or the cookie.
fn token(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(bearer) = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")) {
        return Some(bearer.to_owned());
    }
    let cookies = text(header::COOKIE)?.split(';');
    let mut pairs = cookies.filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = token(&parts.headers).ok_or_else(ApiError::signed_out)?;
        let user = app.ask(move |store| store.session_user(&token)).await?;
        user.map(|user| Self { user }).ok_or_else(ApiError::signed_out)
    }
}

async fn me_body(app: &App, user: UserRow) -> Result<MeBody, ApiError> {
    let id = user.id;
    let roles: Vec<(Role, String)> = app.ask(move |store| store.roles(id)).await?;
    let roles = roles.into_iter().map(|(role, unit)| RoleBody { role: role.word().to_owned(), unit }).collect();
    Ok(MeBody { id: user.id.to_string(), name: user.name, login: user.login, unit: user.unit, roles })
}

fn cookie(value: &str, max_age_s: i64) -> Result<HeaderValue, ApiError> {
    let text = format!("{COOKIE}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; Secure; SameSite=Strict");
    HeaderValue::from_str(&text).map_err(|_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, Problem::new("internal")))
}

/// Opens a session.
#[utoipa::path(post, path = "/login", tag = "session", request_body = LoginRequest, responses(
    (status = 200, body = LoginAnswer, description = "The session; its cookie comes along"),
    (status = 401, body = ProblemBody, description = "`login_refused`"),
    (status = 429, body = ProblemBody, description = "`too_many_attempts`")))]
pub(crate) async fn login(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    body: Result<Json<LoginRequest>, JsonRejection>,
) -> Result<Response, ApiError> {
    let Json(request) = body?;
    let now_ms = app.store.now_ms();
    let login = request.login.chars().take(LOGIN_CHARS_MAX).collect::<String>();
    let keys =
        [(format!("login {login}"), LOGIN_ATTEMPTS_MAX), (format!("login from {}", peer.ip()), ADDRESS_ATTEMPTS_MAX)];
    if !keys.iter().all(|(key, max)| app.limiter.attempt(key, *max, now_ms)) {
        return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, Problem::new("too_many_attempts")));
    }
    let session = app.ask(move |store| store.login(&request.login, &request.password)).await?;
    let Some(session) = session else {
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, Problem::new("login_refused")));
    };
    keys.iter().for_each(|(key, _)| app.limiter.forgive(key));
    let set = cookie(&session.token, session.expires_ms.saturating_sub(now_ms) / 1000)?;
    let user = me_body(&app, session.user).await?;
    let mut response = Json(LoginAnswer { token: session.token, expires_ms: session.expires_ms, user }).into_response();
    response.headers_mut().insert(header::SET_COOKIE, set);
    Ok(response)
}

/// Ends the session.
#[utoipa::path(post, path = "/logout", tag = "session", responses((status = 204, description = "Ended")))]
pub(crate) async fn logout(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    if let Some(token) = token(&headers) {
        app.ask(move |store| store.logout(&token)).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie("", 0)?);
    Ok(response)
}

/// Who asks, with roles.
#[utoipa::path(get, path = "/me", tag = "session", responses(
    (status = 200, body = MeBody), (status = 401, body = ProblemBody, description = "`signed_out`")))]
pub(crate) async fn me(State(app): State<App>, caller: Caller) -> Result<Json<MeBody>, ApiError> {
    Ok(Json(me_body(&app, caller.user).await?))
}
