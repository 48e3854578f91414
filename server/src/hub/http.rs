//! What phones reach at a hub.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use fieldbook_core::net::SystemNetwork;
use fieldbook_core::protocol::{ErrorAnswer, ErrorKind};
use fieldbook_core::sync::LogError;
use tokio::sync::{Semaphore, mpsc};

use super::exchange::Exchange;
use super::segments::{Missing, Segments};
use super::store::HubStore;
use super::upstream::Bell;
use crate::store::StoreError;
use crate::sync_http::{FRAMES_AHEAD, Frames, Piece, Refusal, inside, next_chunk, segment_of};

/// Exchanges that hold a thread at once; more are told to come back.
const EXCHANGES_MAX: usize = 64;

#[derive(Clone)]
struct App {
    store: Arc<HubStore>,
    bell: Bell,
    exchanges: Arc<Semaphore>,
    segments: Arc<Segments>,
}

/// Every address that a hub answers.
///
/// # Errors
/// `hub_not_enrolled` before [`HubStore::enrol`]; else what the database said.
pub fn router(store: Arc<HubStore>, bell: Bell) -> Result<Router, StoreError> {
    let segments = Arc::new(Segments::new(&store, Arc::new(SystemNetwork))?);
    let app = App { store, bell, exchanges: Arc::new(Semaphore::new(EXCHANGES_MAX)), segments };
    Ok(Router::new()
        .route("/healthz", get(healthz))
        .route("/sync/1", post(exchange))
        .route("/sync/1/segments/{name}", get(segment))
        .with_state(app))
}

/// `GET /sync/1/segments/{name}`: as at the server, from the cache.
async fn segment(State(app): State<App>, Path(name): Path<String>, request: Request) -> Result<Response, Refusal> {
    let mut bytes = [0; 32];
    if hex::decode_to_slice(&name, &mut bytes).is_err() {
        return Ok(StatusCode::NOT_FOUND.into_response());
    }
    let unavailable = || Refusal::new(ErrorKind::Unavailable, "this hub cannot bring the segment now");
    let found = tokio::task::spawn_blocking(move || {
        if app.store.is_revoked()? {
            return Err(Missing::Unknown);
        }
        app.segments.file(&bytes)
    });
    match found.await.map_err(|_| unavailable())? {
        Ok(file) => Ok(segment_of(file, request).await),
        Err(Missing::Unknown) => Ok(StatusCode::NOT_FOUND.into_response()),
        Err(error) => {
            tracing::warn!(%error, "a segment is not to be had");
            Err(unavailable())
        }
    }
}

/// 200 `ok` when the database answers, else 503.
async fn healthz(State(app): State<App>) -> Response {
    match tokio::task::spawn_blocking(move || app.store.status()).await {
        Ok(Ok(_)) => "ok\n".into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "unavailable\n").into_response(),
    }
}

/// `POST /sync/1`: one exchange of a phone with the hub.
async fn exchange(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let place = Arc::clone(&app.exchanges).try_acquire_owned();
    let place = place.map_err(|_| Refusal::busy(app.store.random.as_ref()))?;
    let mut exchange = Exchange::default();
    let mut body = request.into_body();
    while let Some(chunk) = next_chunk(&mut body).await? {
        let store = Arc::clone(&app.store);
        let received = inside(move || {
            let received = exchange.receive(&store, &chunk);
            received.map(|()| exchange)
        });
        exchange = received.await?;
    }
    let store = Arc::clone(&app.store);
    let (mut exchange, first) = inside(move || {
        let first = exchange.begin_answer(&store)?;
        Ok::<_, ErrorAnswer>((exchange, first))
    })
    .await?;
    app.bell.ring(exchange.traffic().accepted > 0);
    let (sender, receiver) = mpsc::channel::<Piece>(FRAMES_AHEAD);
    // The channel is new and holds more than one.
    let _ = sender.send(Ok(first)).await;
    tokio::task::spawn_blocking(move || {
        let _place = place;
        while let Some(piece) = next_piece(&mut exchange, &app.store) {
            if sender.blocking_send(piece).is_err() {
                break;
            }
        }
        told(&exchange);
    });
    Ok(Response::new(Body::new(Frames::of(receiver))))
}

/// The next frame of the answer; an error breaks the answer off.
fn next_piece(exchange: &mut Exchange, store: &HubStore) -> Option<Piece> {
    let broken = |error: LogError| Err(std::io::Error::other(error.detail));
    exchange.next_frame(store).map_or_else(|error| Some(broken(error)), |frame| frame.map(Ok))
}

/// One line a finished exchange: ids and counts, never content.
fn told(exchange: &Exchange) {
    let traffic = exchange.traffic();
    let device = exchange.device().map(|device| device.to_string()).unwrap_or_default();
    tracing::info!(%device, up = traffic.bytes_up, down = traffic.bytes_down, kept = traffic.accepted, "exchange");
}
