//! `/sync/1`: the sync machine over HTTP, and enrolment.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use fieldbook_core::protocol::limits::PROTOCOL_VERSION;
use fieldbook_core::protocol::{EnrolRequest, ErrorAnswer, ErrorKind};
use fieldbook_core::sync::server::Session;
use fieldbook_core::sync::{LogError, signing, to_cbor};
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::api::{App, blocking};
use crate::limiter::ADDRESS_ATTEMPTS_MAX;
use crate::store::{Store, StoreError, StoreLog};

/// Bytes of an enrolment request.
const ENROL_BYTES_MAX: usize = 4 * 1024;
/// Without a byte of the request for so long, the exchange is over.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(120);
/// Answer frames made ahead of the network.
const FRAMES_AHEAD: usize = 4;
/// Advice to come back when all places are taken.
const BUSY_RETRY_MS: u64 = 5_000;
/// Advice to come back when the store failed.
const UNAVAILABLE_RETRY_MS: u64 = 60_000;

/// An error answer of the protocol, with the HTTP status that fits it.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) ErrorAnswer);

impl Refusal {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self(ErrorAnswer { kind, detail: detail.into(), retry_after_ms: None, counter: None })
    }

    pub(crate) fn busy() -> Self {
        let detail = "too many requests".to_owned();
        Self(ErrorAnswer { kind: ErrorKind::Busy, detail, retry_after_ms: Some(BUSY_RETRY_MS), counter: None })
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Problem(problem) if problem.word == "enrolment_code" => {
                Self::new(ErrorKind::Code, "the code is unknown, used or expired")
            }
            other => {
                tracing::error!(error = %other, "the store failed");
                let detail = match other {
                    StoreError::DiskFull => "the server's disk is full",
                    _ => "the server's store failed",
                };
                Self(ErrorAnswer {
                    kind: ErrorKind::Unavailable,
                    detail: detail.to_owned(),
                    retry_after_ms: Some(UNAVAILABLE_RETRY_MS),
                    counter: None,
                })
            }
        }
    }
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        Self(error.into())
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

async fn body_of(request: Request, limit: usize) -> Result<Vec<u8>, Refusal> {
    let body: Body = request.into_body();
    let bytes = to_bytes(body, limit).await;
    bytes.map(Vec::from).map_err(|_| Refusal::new(ErrorKind::TooLarge, format!("at most {limit} bytes")))
}

fn checked(body: &[u8]) -> Result<EnrolRequest, Refusal> {
    let request: EnrolRequest =
        minicbor::decode(body).map_err(|error| Refusal::new(ErrorKind::Malformed, format!("enrolment: {error}")))?;
    if request.version != PROTOCOL_VERSION {
        let detail = format!("version {} asked, this server speaks {PROTOCOL_VERSION}", request.version);
        return Err(Refusal::new(ErrorKind::Version, detail));
    }
    if !signing::verify(&request.device_key, signing::ENROL, request.code.as_bytes(), &request.signature) {
        return Err(Refusal::new(ErrorKind::BadSignature, "the signature does not fit the device key"));
    }
    Ok(request)
}

/// `POST /sync/1/enrol`: one CBOR [`EnrolRequest`] in, one `EnrolAnswer` out.
pub(crate) async fn enrol(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, Refusal> {
    let key = format!("enrol {}", peer.ip());
    if !app.limiter.attempt(&key, ADDRESS_ATTEMPTS_MAX, app.store.now_ms()) {
        return Err(Refusal::busy());
    }
    let _place = Arc::clone(&app.exchanges).try_acquire_owned().map_err(|_| Refusal::busy())?;
    let request = checked(&body_of(request, ENROL_BYTES_MAX).await?)?;
    let store = Arc::clone(&app.store);
    let answer = blocking(move || store.enrol(&request.code, request.device_key, &request.device_name)).await?;
    app.limiter.forgive(&key);
    tracing::info!(device = %answer.device, user = %answer.user, "enrolled");
    Ok(cbor(StatusCode::OK, to_cbor(&answer)))
}

/// One frame of the answer; an error breaks the answer off, so that the device sees that its end is missing.
type Piece = Result<Vec<u8>, std::io::Error>;

/// The answer's frames as a body.
struct Frames(mpsc::Receiver<Piece>);

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
async fn next_chunk(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
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

/// Lends the session and the store to blocking work; the store is not held between two steps.
async fn step<T: Send + 'static>(
    store: &Arc<Store>,
    mut session: Box<Session>,
    work: impl FnOnce(&mut Session, &mut StoreLog<'_>, i64) -> Result<T, Refusal> + Send + 'static,
) -> Result<(Box<Session>, T), Refusal> {
    let store = Arc::clone(store);
    let done = tokio::task::spawn_blocking(move || {
        let mut log = StoreLog::new(&store)?;
        let done = work(&mut session, &mut log, store.now_ms())?;
        drop(log);
        Ok((session, done))
    });
    done.await.map_err(|error| {
        tracing::error!(%error, "an exchange ended early");
        Refusal::new(ErrorKind::Unavailable, "the exchange failed inside the server")
    })?
}

/// `POST /sync/1`: one exchange of `docs/PROTOCOL.md`.
pub(crate) async fn exchange(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let place = Arc::clone(&app.exchanges).try_acquire_owned().map_err(|_| Refusal::busy())?;
    let signer = Arc::new(app.store.identity().signing().clone());
    let mut session = Box::new(Session::new(signer));
    let mut body = request.into_body();
    while let Some(chunk) = next_chunk(&mut body).await? {
        let work = move |session: &mut Session, log: &mut StoreLog<'_>, now_ms| {
            session.receive(log, now_ms, &chunk).map_err(Refusal)
        };
        (session, ()) = step(&app.store, session, work).await?;
    }
    let work = |session: &mut Session, log: &mut StoreLog<'_>, now_ms: i64| {
        if let (Some(device), Some(time_ms)) = (session.device(), session.device_time_ms()) {
            log.note_clock(device, time_ms.saturating_sub(now_ms))?;
        }
        session.end_of_request(log).map_err(Refusal)?;
        let first = session.next_frame(log, now_ms)?.unwrap_or_default();
        Ok((first, session.next_frame(log, now_ms)?))
    };
    let (session, (first, second)) = step(&app.store, session, work).await?;
    match second {
        // The common answer is one frame: a length costs less than chunks.
        None => {
            told(&session);
            Ok(Response::new(Body::from(first)))
        }
        Some(second) => Ok(streamed(&app, session, place, [first, second]).await),
    }
}

async fn streamed(app: &App, session: Box<Session>, place: OwnedSemaphorePermit, begun: [Vec<u8>; 2]) -> Response {
    let (sender, receiver) = mpsc::channel::<Piece>(FRAMES_AHEAD);
    for frame in begun {
        // The channel is new and holds more than two.
        let _ = sender.send(Ok(frame)).await;
    }
    let store = Arc::clone(&app.store);
    let mut session = session;
    tokio::task::spawn_blocking(move || {
        let _place = place;
        loop {
            let next = StoreLog::new(&store)
                .map_err(LogError::from)
                .and_then(|mut log| session.next_frame(&mut log, store.now_ms()));
            match next {
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
        told(&session);
    });
    Response::new(Body::new(Frames(receiver)))
}

/// One line a finished exchange: ids and counts, never content.
fn told(session: &Session) {
    let traffic = session.traffic();
    let device = session.device().map(|device| device.to_string()).unwrap_or_default();
    tracing::info!(
        %device,
        up = traffic.bytes_up,
        down = traffic.bytes_down,
        accepted = traffic.accepted,
        not_taken = traffic.not_taken,
        "exchange"
    );
}
