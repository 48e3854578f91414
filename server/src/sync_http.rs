//! `/sync/1`: the sync machine over HTTP, and enrolment.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use ed25519_dalek::{Signature, VerifyingKey};
use fieldbook_core::protocol::limits::PROTOCOL_VERSION;
use fieldbook_core::protocol::{EnrolRequest, ErrorAnswer, ErrorKind};
use fieldbook_core::sync::to_cbor;

use crate::api::{App, blocking};
use crate::store::StoreError;

/// Bytes of an enrolment request.
const ENROL_BYTES_MAX: usize = 4 * 1024;
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

/// HTTP status of an error kind.
pub(crate) fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Malformed | ErrorKind::Version => StatusCode::BAD_REQUEST,
        ErrorKind::UnknownDevice | ErrorKind::BadSignature => StatusCode::UNAUTHORIZED,
        ErrorKind::Revoked | ErrorKind::Code => StatusCode::FORBIDDEN,
        ErrorKind::Replayed | ErrorKind::Forked => StatusCode::CONFLICT,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Busy => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::WrongServer => StatusCode::MISDIRECTED_REQUEST,
        ErrorKind::LogMismatch => StatusCode::CONFLICT,
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        cbor(status_of(self.0.kind), to_cbor(&self.0))
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
    let mut message = b"fieldbook enrol v1\0".to_vec();
    message.extend_from_slice(request.code.as_bytes());
    let bad = || Refusal::new(ErrorKind::BadSignature, "the signature does not fit the device key");
    let key = VerifyingKey::from_bytes(&request.device_key).map_err(|_| bad())?;
    key.verify_strict(&message, &Signature::from_bytes(&request.signature)).map_err(|_| bad())?;
    Ok(request)
}

/// `POST /sync/1/enrol`: one CBOR [`EnrolRequest`] in, one `EnrolAnswer` out.
pub(crate) async fn enrol(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, Refusal> {
    let key = format!("enrol {}", peer.ip());
    if !app.limiter.attempt(&key, app.store.now_ms()) {
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
