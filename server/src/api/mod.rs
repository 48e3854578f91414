//! The router: `/healthz`, `/sync/1` for phones, `/api/v1` for supervisors.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use crate::limiter::Limiter;
use crate::store::{Store, StoreError};
use crate::sync_http;

/// Exchanges and enrolments that hold a thread at once; more are told to come back.
const EXCHANGES_MAX: usize = 256;

/// What every handler shares.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) store: Arc<Store>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) exchanges: Arc<Semaphore>,
}

/// Every address that the server answers.
#[must_use]
pub fn router(store: Arc<Store>) -> Router {
    let app =
        App { store, limiter: Arc::new(Limiter::default()), exchanges: Arc::new(Semaphore::new(EXCHANGES_MAX)) };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/sync/1/enrol", post(sync_http::enrol))
        .with_state(app)
}

/// Runs blocking work of the store apart from the threads that serve.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => Err(StoreError::corrupt("request", format!("the work ended early: {error}"))),
    }
}

/// 200 `ok` when the database answers, else 503.
async fn healthz(State(app): State<App>) -> Response {
    let store = Arc::clone(&app.store);
    match blocking(move || store.setting("log").map(|_| ())).await {
        Ok(()) => "ok\n".into_response(),
        Err(error) => {
            tracing::error!(%error, "not healthy");
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable\n").into_response()
        }
    }
}

#[cfg(test)]
mod tests;
