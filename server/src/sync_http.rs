//! `/sync/1`: exchanges and enrolment over HTTP.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fieldbook_core::ports::Random;
use fieldbook_core::protocol::{ErrorAnswer, ErrorKind};
use fieldbook_core::sync::to_cbor;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use crate::api::App;
use crate::exchange::{self, Exchange};
use crate::limiter::{ADDRESS_ATTEMPTS_MAX, network};
use crate::metrics::{self, Running};

/// Bytes of an enrolment request.
const ENROL_BYTES_MAX: usize = 4 * 1024;
/// Without a byte of the request for so long, the exchange is over.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(120);
/// Answer frames made ahead of the network.
pub(crate) const FRAMES_AHEAD: usize = 4;
/// Advice to come back when all places are taken: drawn for each phone from here …
const BUSY_RETRY_MS_MIN: u64 = 5_000;
/// … to here, so that those who were sent away in one moment do not come back in one.
const BUSY_RETRY_MS_MAX: u64 = 25_000;

/// What a segment's answer tells caches.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// An error answer of the protocol, with the HTTP status that fits it.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) ErrorAnswer);

impl Refusal {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self(exchange::refusal(kind, detail))
    }

    pub(crate) fn busy(random: &dyn Random) -> Self {
        let answer = exchange::refusal(ErrorKind::Busy, "too many requests");
        let mut drawn = [0; 8];
        random.fill(&mut drawn);
        let later_ms = u64::from_le_bytes(drawn) % (BUSY_RETRY_MS_MAX - BUSY_RETRY_MS_MIN + 1);
        Self(ErrorAnswer { retry_after_ms: Some(BUSY_RETRY_MS_MIN + later_ms), ..answer })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        cbor(status, to_cbor(&self.0))
    }
}

fn cbor(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/cbor")], body).into_response()
}

/// One of the places, or advice to come back.
fn place(app: &App) -> Result<OwnedSemaphorePermit, Refusal> {
    Arc::clone(&app.exchanges).try_acquire_owned().map_err(|_| {
        metrics::busy();
        Refusal::busy(app.store.random.as_ref())
    })
}

async fn body_of(request: Request, limit: usize) -> Result<Vec<u8>, Refusal> {
    let body: Body = request.into_body();
    let bytes = to_bytes(body, limit).await;
    bytes.map(Vec::from).map_err(|_| Refusal::new(ErrorKind::TooLarge, format!("at most {limit} bytes")))
}

/// `POST /sync/1/enrol`: one CBOR [`EnrolRequest`] in, one `EnrolAnswer` out.
pub(crate) async fn enrol(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, Refusal> {
    let key = format!("enrol {}", network(peer.ip()));
    if !app.limiter.attempt(&key, ADDRESS_ATTEMPTS_MAX, app.store.now_ms()) {
        return Err(Refusal::busy(app.store.random.as_ref()));
    }
    let _place = place(&app)?;
    let body = body_of(request, ENROL_BYTES_MAX).await?;
    let store = Arc::clone(&app.store);
    let answer = inside(move || exchange::enrol(&store, &body)).await?;
    app.limiter.forgive(&key);
    tracing::info!(device = %answer.device, user = %answer.user, "enrolled");
    Ok(cbor(StatusCode::OK, to_cbor(&answer)))
}

/// One frame of the answer; an error breaks the answer off, so that the device sees that its end is missing.
pub(crate) type Piece = Result<Vec<u8>, std::io::Error>;

/// The answer's frames as a body.
pub(crate) struct Frames(mpsc::Receiver<Piece>);

impl Frames {
    pub(crate) fn of(pieces: mpsc::Receiver<Piece>) -> Self {
        Self(pieces)
    }
}

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let piece = self.get_mut().0.poll_recv(context);
        piece.map(|piece| piece.map(|piece| piece.map(|bytes| Frame::data(Bytes::from(bytes)))))
    }
}

/// The next bytes of a request body; `None` at its end.
pub(crate) async fn next_chunk(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    let broken = |detail: &str| Refusal::new(ErrorKind::Malformed, format!("the request broke off: {detail}"));
    loop {
        let next = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        let next = tokio::time::timeout(CHUNK_TIMEOUT, next).await.map_err(|_| broken("silence"))?;
        match next {
            None => return Ok(None),
            Some(Err(error)) => return Err(broken(&error.to_string())),
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

/// Runs what waits for the disk beside the event loop.
pub(crate) async fn inside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ErrorAnswer> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "an exchange ended early");
        Refusal::new(ErrorKind::Unavailable, "the exchange failed inside the server")
    })?;
    done.map_err(Refusal)
}

/// `POST /sync/1`: one exchange of `docs/PROTOCOL.md`.
pub(crate) async fn exchange(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (place, running) = (place(&app)?, Running::begin());
    let mut exchange = Box::new(Exchange::new(&app.store));
    let mut body = request.into_body();
    while let Some(chunk) = next_chunk(&mut body).await? {
        let store = Arc::clone(&app.store);
        exchange = inside(move || exchange.receive(&store, &chunk).map(|()| exchange)).await?;
    }
    let store = Arc::clone(&app.store);
    let begun = inside(move || exchange.begin_answer(&store).map(|(first, second)| (exchange, first, second)));
    let (exchange, first, second) = begun.await?;
    match second {
        // The common answer is one frame: a length costs less than chunks.
        None => {
            told(&exchange, running);
            Ok(Response::new(Body::from(first)))
        }
        Some(second) => Ok(streamed(&app, exchange, (place, running), [first, second]).await),
    }
}

async fn streamed(
    app: &App,
    exchange: Box<Exchange>,
    (place, running): (OwnedSemaphorePermit, Running),
    begun: [Vec<u8>; 2],
) -> Response {
    let (sender, receiver) = mpsc::channel::<Piece>(FRAMES_AHEAD);
    for frame in begun {
        // The channel is new and holds more than two.
        let _ = sender.send(Ok(frame)).await;
    }
    let store = Arc::clone(&app.store);
    let mut exchange = exchange;
    tokio::task::spawn_blocking(move || {
        let _place = place;
        loop {
            match exchange.next_frame(&store) {
                Ok(Some(frame)) => {
                    if sender.blocking_send(Ok(frame)).is_err() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    let _ = sender.blocking_send(Err(std::io::Error::other(error.detail)));
                    break;
                }
            }
        }
        told(&exchange, running);
    });
    Response::new(Body::new(Frames(receiver)))
}

/// `GET /sync/1/segments/{name}`: a segment's bytes, in ranges if wanted; for whoever knows the name. They never change, and
/// without their key they say nothing: any cache may hold them.
pub(crate) async fn segment(
    State(app): State<App>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let mut bytes = [0; 32];
    if hex::decode_to_slice(&name, &mut bytes).is_err() {
        return Ok(StatusCode::NOT_FOUND.into_response());
    }
    let store = Arc::clone(&app.store);
    let Some(file) = inside(move || Ok(store.segment_file(&bytes)?)).await? else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    Ok(segment_of(file, request).await)
}

/// A segment's file, in ranges if wanted.
pub(crate) async fn segment_of(file: std::path::PathBuf, request: Request) -> Response {
    let mut response =
        ServeFile::new(file).oneshot(request).await.unwrap_or_else(|never| match never {}).into_response();
    if response.status().is_success() {
        response.headers_mut().insert(header::CACHE_CONTROL, FOR_EVER);
    }
    response
}

/// One line a finished exchange: ids and counts, never content.
fn told(exchange: &Exchange, running: Running) {
    let traffic = exchange.traffic();
    running.done(traffic);
    let device = exchange.device().map(|device| device.to_string()).unwrap_or_default();
    tracing::info!(
        %device,
        up = traffic.bytes_up,
        down = traffic.bytes_down,
        accepted = traffic.accepted,
        not_taken = traffic.not_taken,
        "exchange"
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::TestRandom;

    #[test]
    fn phones_that_are_sent_away_together_are_told_different_times() {
        let random = TestRandom::default();
        let told: Vec<u64> = (0..50).filter_map(|_| Refusal::busy(&random).0.retry_after_ms).collect();
        assert_eq!(told.len(), 50);
        assert!(told.iter().all(|ms| (BUSY_RETRY_MS_MIN..=BUSY_RETRY_MS_MAX).contains(ms)), "{told:?}");
        let seconds: BTreeSet<u64> = told.iter().map(|ms| ms / 1000).collect();
        assert!(seconds.len() >= 15, "{seconds:?}");
    }
}
