//! `login`, `logout`, `me`, and who asks.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fieldbook_core::access::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::error::{ApiError, ProblemBody};
use crate::limiter::{ADDRESS_ATTEMPTS_MAX, LOGIN_ATTEMPTS_MAX, network};
use crate::store::{Problem, SignIn, SignedIn, Store, Unfinished, UserRow};

/// Characters of a login that are remembered with its attempts.
const LOGIN_CHARS_MAX: usize = 64;
/// Header that the console sends with each request, and that no form or link of another site can.
pub(crate) const CONSOLE_HEADER: &str = "x-fieldbook-console";
/// What the console says where it asks by itself, with nobody at the keyboard for a while.
const BACKGROUND_HEADER: &str = "x-fieldbook-background";
/// Name of the session cookie.
const COOKIE: &str = "fieldbook_session";

/// Login and password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct LoginRequest {
    /// Login.
    login: String,
    /// Password.
    password: String,
    /// Where the user has a second factor: the code of the moment, or a recovery code.
    code: Option<String>,
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
    /// The password was generated: until the user has chosen another, only `/me` and `/account` answer.
    password_to_change: bool,
    /// The installation wants a second factor, and there is none: the same.
    second_factor_missing: bool,
    /// The user may read the audit log.
    may_read_audit: bool,
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

/// The signed-in user, also one who has to set up the account first.
pub(crate) struct AccountCaller {
    pub(crate) user: UserRow,
    pub(crate) token: String,
    unfinished: Unfinished,
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

impl FromRequestParts<App> for AccountCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = token(&parts.headers).ok_or_else(ApiError::signed_out)?;
        let (asked, attended) = (token.clone(), !parts.headers.contains_key(BACKGROUND_HEADER));
        let found = app.ask(move |store| store.session_user(&asked, attended)).await?;
        let (user, unfinished) = found.ok_or_else(ApiError::signed_out)?;
        Ok(Self { user, token, unfinished })
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = AccountCaller::from_request_parts(parts, app).await?;
        if caller.unfinished.any() {
            return Err(ApiError::new(StatusCode::FORBIDDEN, Problem::new("account_unfinished")));
        }
        Ok(Self { user: caller.user })
    }
}

/// Refuses what another site made a browser send: a request that changes something and is known by its cookie must say that it
/// is the console's (no other site can make a browser say so without asking first), and not come from elsewhere.
pub(crate) async fn own_site(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let by_cookie = headers.contains_key(header::COOKIE) && !headers.contains_key(header::AUTHORIZATION);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let elsewhere = text("sec-fetch-site").is_some_and(|site| !["same-origin", "none"].contains(&site));
    let host = text("host").or(request.uri().authority().map(|authority| authority.as_str()));
    let foreign = text("origin").is_some_and(|origin| {
        let from = origin.split_once("://").map(|(_, host)| host);
        from.is_none() || from != host
    });
    if changes && by_cookie && (elsewhere || foreign || text(CONSOLE_HEADER).is_none()) {
        return ApiError::new(StatusCode::FORBIDDEN, Problem::new("foreign_site")).into_response();
    }
    next.run(request).await
}

async fn me_body(app: &App, user: UserRow, unfinished: Unfinished) -> Result<MeBody, ApiError> {
    let id = user.id;
    let read = move |store: &Store| Ok((store.roles(id)?, store.may_read_audit(id)?));
    let (roles, may_read_audit): (Vec<(Role, String)>, bool) = app.ask(read).await?;
    let roles = roles.into_iter().map(|(role, unit)| RoleBody { role: role.word().to_owned(), unit }).collect();
    Ok(MeBody {
        id: user.id.to_string(),
        name: user.name,
        login: user.login,
        unit: user.unit,
        roles,
        password_to_change: unfinished.password,
        second_factor_missing: unfinished.second_factor,
        may_read_audit,
    })
}

fn cookie(value: &str, max_age_s: i64) -> Result<HeaderValue, ApiError> {
    let text = format!("{COOKIE}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; Secure; SameSite=Strict");
    HeaderValue::from_str(&text).map_err(|_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, Problem::new("internal")))
}

/// Opens a session.
#[utoipa::path(post, path = "/login", tag = "session", request_body = LoginRequest, responses(
    (status = 200, body = LoginAnswer, description = "The session; its cookie comes along"),
    (status = 401, body = ProblemBody, description = "`login_refused`, `code_wanted`, `code_refused`"),
    (status = 429, body = ProblemBody, description = "`too_many_attempts`")))]
pub(crate) async fn login(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Result<Json<LoginRequest>, JsonRejection>,
) -> Result<Response, ApiError> {
    let Json(request) = body?;
    let now_ms = app.store.now_ms();
    let login = request.login.chars().take(LOGIN_CHARS_MAX).collect::<String>();
    let from = format!("login from {}", network(peer.ip()));
    let keys = [(from, ADDRESS_ATTEMPTS_MAX), (format!("login {login}"), LOGIN_ATTEMPTS_MAX)];
    if !app.limiter.attempt_all(&keys, now_ms) {
        return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, Problem::new("too_many_attempts")));
    }
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default().to_owned();
    let LoginRequest { login, password, code } = request;
    let sign_in = SignIn { login, password, code, address: peer.ip().to_string(), agent };
    let refused = |word| Err(ApiError::new(StatusCode::UNAUTHORIZED, Problem::new(word)));
    let session = match app.ask(move |store| store.sign_in(&sign_in)).await? {
        SignedIn::In(session) => session,
        SignedIn::Refused => return refused("login_refused"),
        SignedIn::CodeRefused => return refused("code_refused"),
        SignedIn::CodeWanted => {
            // Nothing was guessed: the attempt is the first half of one.
            keys.iter().for_each(|(key, _)| app.limiter.forgive_one(key));
            return refused("code_wanted");
        }
    };
    keys.iter().for_each(|(key, _)| app.limiter.forgive(key));
    let set = cookie(&session.token, session.expires_ms.saturating_sub(now_ms) / 1000)?;
    let token = session.token.clone();
    let unfinished = app.ask(move |store| store.session_user(&token, true)).await?.ok_or_else(ApiError::signed_out)?.1;
    let user = me_body(&app, session.user, unfinished).await?;
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
pub(crate) async fn me(State(app): State<App>, caller: AccountCaller) -> Result<Json<MeBody>, ApiError> {
    Ok(Json(me_body(&app, caller.user, caller.unfinished).await?))
}
