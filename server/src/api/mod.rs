//! The router: `/healthz`, `/sync/1` for phones, `/api/v1` for supervisors, all else their console.

mod account;
mod decisions;
mod doubles;
mod error;
mod exchanges;
mod filter;
mod forms;
mod kinds;
mod many;
mod moves;
mod overview;
mod people;
mod records;
mod session;
mod supervise;

use error::ApiError;
pub(crate) use error::form_language;
#[cfg(test)]
pub(crate) use forms::UPLOAD_BYTES_MAX;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::console;
use crate::limiter::{LOGIN_ATTEMPTS_MAX, Limiter};
use crate::store::{Problem, Store, StoreError, UserRow};
use crate::sync_http;

/// Exchanges and enrolments that hold a thread at once; more are told to come back.
const EXCHANGES_MAX: usize = 256;

/// Bytes of a request to the supervisors' API.
const API_BODY_BYTES_MAX: usize = 1024 * 1024;

/// What every handler shares.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) store: Arc<Store>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) exchanges: Arc<Semaphore>,
}

/// Every address that the server answers.
pub fn router(store: Arc<Store>) -> Router {
    let app = App { store, limiter: Arc::new(Limiter::default()), exchanges: Arc::new(Semaphore::new(EXCHANGES_MAX)) };
    let (api, document) = api().split_for_parts();
    let api = api
        .route("/openapi.json", get(move || async move { Json(document) }))
        .fallback(error::no_such_address)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(DefaultBodyLimit::max(API_BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(app.clone(), confirmed))
        .layer(middleware::from_fn(session::own_site))
        .layer(middleware::from_fn(error::localise))
        .layer(CompressionLayer::new());
    Router::new()
        .nest("/api/v1", api)
        .route("/healthz", get(healthz))
        .route("/sync/1", post(sync_http::exchange))
        .route("/sync/1/enrol", post(sync_http::enrol))
        .route("/sync/1/segments/{name}", get(sync_http::segment))
        .fallback(get(console::file))
        .with_state(app)
}

/// A restored server shows supervisors nothing either before it is confirmed: its records may have been purged since.
async fn confirmed(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.ask(Store::awaiting).await {
        Ok(false) => next.run(request).await,
        Ok(true) => ApiError::from(Problem::new("awaiting_confirmation")).into_response(),
        Err(error) => ApiError::from(error).into_response(),
    }
}

/// The supervisors' API, to be nested under `/api/v1`.
fn api() -> OpenApiRouter<App> {
    #[derive(OpenApi)]
    #[openapi(info(title = "Fieldbook 走访本", description = "The supervisors' API"), servers((url = "/api/v1")))]
    struct Head;

    OpenApiRouter::with_openapi(Head::openapi())
        .routes(routes!(session::login))
        .routes(routes!(session::logout))
        .routes(routes!(session::me))
        .routes(routes!(account::account))
        .routes(routes!(account::password))
        .routes(routes!(account::begin_factor))
        .routes(routes!(account::confirm_factor))
        .routes(routes!(account::end_session))
        .routes(routes!(account::end_sessions))
        .routes(routes!(account::audit))
        .routes(routes!(account::audit_csv))
        .routes(routes!(kinds::kinds))
        .routes(routes!(kinds::kind))
        .routes(routes!(records::list))
        .routes(routes!(records::page))
        .routes(routes!(records::related))
        .routes(routes!(overview::today))
        .routes(routes!(overview::seen))
        .routes(routes!(overview::overview))
        .routes(routes!(overview::points))
        .routes(routes!(many::decide_many))
        .routes(routes!(many::reasons))
        .routes(routes!(decisions::resolve))
        .routes(routes!(decisions::edit))
        .routes(routes!(decisions::decide))
        .routes(routes!(moves::move_record))
        .routes(routes!(decisions::purge))
        .routes(routes!(supervise::quarantine))
        .routes(routes!(supervise::quarantined))
        .routes(routes!(supervise::admit))
        .routes(routes!(supervise::decide_quarantined))
        .routes(routes!(supervise::devices))
        .routes(routes!(supervise::revoke))
        .routes(routes!(supervise::units))
        .routes(routes!(people::users))
        .routes(routes!(people::add_user))
        .routes(routes!(people::set_roles))
        .routes(routes!(people::transfer_user))
        .routes(routes!(people::reset_factor))
        .routes(routes!(people::reset_password))
        .routes(routes!(people::enrolment))
        .routes(routes!(people::enrolments))
        .routes(routes!(people::disable))
        .routes(routes!(people::preview_staff).layer(DefaultBodyLimit::max(people::LIST_BYTES_MAX)))
        .routes(routes!(people::add_staff))
        .routes(routes!(doubles::doubles))
        .routes(routes!(doubles::decided))
        .routes(routes!(doubles::double))
        .routes(routes!(doubles::confirm))
        .routes(routes!(doubles::reject))
        .routes(routes!(doubles::undo))
        .routes(routes!(exchanges::exchanges))
        .routes(routes!(exchanges::exchange))
        .routes(routes!(forms::forms))
        .routes(routes!(forms::preview).layer(DefaultBodyLimit::max(forms::UPLOAD_BYTES_MAX)))
        .routes(routes!(forms::run))
        .routes(routes!(forms::run_published))
        .routes(routes!(forms::publish))
}

/// How many of a list are wanted: 1 to `most`.
pub(crate) fn limited(asked: Option<usize>, usual: usize, most: usize) -> Result<usize, Problem> {
    let limit = asked.unwrap_or(usual);
    if (1..=most).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::new("request_malformed").with("detail", format!("limit: 1–{most}")))
    }
}

/// The OpenAPI document of the supervisors' API, as JSON.
///
/// # Errors
/// What the serialiser said.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&api().into_openapi()).map(|text| text + "\n")
}

impl App {
    /// Does blocking work of the store apart from the threads that serve.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(&self.store);
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(answer) => answer,
            Err(error) => Err(StoreError::corrupt("request", format!("the work ended early: {error}"))),
        }
    }
}

impl App {
    /// As [`App::ask`] for what proves a user's password or code: so many wrong ones a quarter of an hour.
    pub(crate) async fn guess<T: Send + 'static>(
        &self,
        user: &UserRow,
        work: impl FnOnce(&Store, &UserRow) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let key = format!("proof {}", user.id);
        if !self.limiter.attempt(&key, LOGIN_ATTEMPTS_MAX, self.store.now_ms()) {
            return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, Problem::new("too_many_attempts")));
        }
        let user = user.clone();
        let answer = self.ask(move |store| work(store, &user)).await?;
        self.limiter.forgive(&key);
        Ok(answer)
    }
}

/// 200 `ok` when the database answers, else 503.
async fn healthz(State(app): State<App>) -> Response {
    match app.ask(move |store| store.setting("log").map(|_| ())).await {
        Ok(()) => "ok\n".into_response(),
        Err(error) => {
            tracing::error!(%error, "not healthy");
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable\n").into_response()
        }
    }
}

#[cfg(test)]
mod tests;
