//! The sync machine over the store, whatever carries the bytes: one exchange, and enrolment.

use std::sync::Arc;

use fieldbook_core::ids::DeviceId;
use fieldbook_core::protocol::limits::PROTOCOL_VERSION;
use fieldbook_core::protocol::{EnrolAnswer, EnrolRequest, ErrorAnswer, ErrorKind};
use fieldbook_core::sync::server::{Session, Traffic};
use fieldbook_core::sync::{LogError, signing};

use crate::store::{Report, Store, StoreError, StoreLog};

/// Advice to come back when the store failed.
const UNAVAILABLE_RETRY_MS: u64 = 60_000;

/// An error answer that advises nothing.
pub(crate) fn refusal(kind: ErrorKind, detail: impl Into<String>) -> ErrorAnswer {
    ErrorAnswer { kind, detail: detail.into(), retry_after_ms: None, counter: None }
}

impl From<StoreError> for ErrorAnswer {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Problem(problem) if problem.word == "enrolment_code" => {
                refusal(ErrorKind::Code, "the code is unknown, used or expired")
            }
            StoreError::Problem(problem) if problem.word == "awaiting_confirmation" => Self {
                retry_after_ms: Some(UNAVAILABLE_RETRY_MS),
                ..refusal(ErrorKind::Unavailable, "the server was restored and waits for its administrator")
            },
            other => {
                tracing::error!(error = %other, "the store failed");
                let detail = match other {
                    StoreError::DiskFull { .. } => "the server's disk is full",
                    _ => "the server's store failed",
                };
                Self { retry_after_ms: Some(UNAVAILABLE_RETRY_MS), ..refusal(ErrorKind::Unavailable, detail) }
            }
        }
    }
}

/// Enrols the device that one CBOR [`EnrolRequest`] asks for.
///
/// # Errors
/// An [`ErrorAnswer`]: `Malformed`, `Version`, `BadSignature`, `Code`, `Unavailable`.
pub fn enrol(store: &Store, body: &[u8]) -> Result<EnrolAnswer, ErrorAnswer> {
    let request: EnrolRequest =
        minicbor::decode(body).map_err(|error| refusal(ErrorKind::Malformed, format!("enrolment: {error}")))?;
    if request.version != PROTOCOL_VERSION {
        let detail = format!("version {} asked, this server speaks {PROTOCOL_VERSION}", request.version);
        return Err(refusal(ErrorKind::Version, detail));
    }
    if !signing::verify(&request.device_key, signing::ENROL, request.code.as_bytes(), &request.signature) {
        return Err(refusal(ErrorKind::BadSignature, "the signature does not fit the device key"));
    }
    Ok(store.enrol(&request.code, request.device_key, &request.device_name)?)
}

/// The server's half of one exchange with one device. The store is held only within a call: nothing is locked while
/// the network is slow.
pub struct Exchange {
    session: Session,
    report: Report,
}

impl Exchange {
    /// An exchange of which nothing has arrived yet.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        Self { session: Session::new(Arc::new(store.identity().signing().clone())), report: Report::default() }
    }

    /// The store as this exchange sees it, with what it did so far.
    fn log<'s>(&mut self, store: &'s Store) -> Result<StoreLog<'s>, StoreError> {
        let mut log = StoreLog::new(store)?;
        log.report = std::mem::take(&mut self.report);
        Ok(log)
    }

    /// The device, once the request is verified.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.session.device()
    }

    /// What was moved so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.session.traffic()
    }

    /// Takes the next bytes of the request body. Every whole frame in it is durable when this returns.
    ///
    /// # Errors
    /// An [`ErrorAnswer`] while the request is not verified: it is the whole answer.
    pub fn receive(&mut self, store: &Store, bytes: &[u8]) -> Result<(), ErrorAnswer> {
        let mut log = self.log(store)?;
        let received = self.session.receive(&mut log, store.now_ms(), bytes);
        self.report = std::mem::take(&mut log.report);
        received
    }

    /// The request body has ended: the first frame of the answer, and the second if there is one. A failure until here
    /// can still be told by itself; after this the answer can only break off.
    ///
    /// # Errors
    /// An [`ErrorAnswer`], which is the whole answer.
    pub fn begin_answer(&mut self, store: &Store) -> Result<(Vec<u8>, Option<Vec<u8>>), ErrorAnswer> {
        let mut log = self.log(store)?;
        let now_ms = store.now_ms();
        if let (Some(device), Some(time_ms)) = (self.session.device(), self.session.device_time_ms()) {
            log.note_clock(device, time_ms.saturating_sub(now_ms))?;
        }
        self.session.end_of_request(&mut log)?;
        let first = self.session.next_frame(&mut log, now_ms)?.unwrap_or_default();
        Ok((first, self.session.next_frame(&mut log, now_ms)?))
    }

    /// The next frame of the answer; `None` at its end.
    ///
    /// # Errors
    /// [`LogError`]: the answer must then break off.
    pub fn next_frame(&mut self, store: &Store) -> Result<Option<Vec<u8>>, LogError> {
        let mut log = StoreLog::new(store)?;
        self.session.next_frame(&mut log, store.now_ms())
    }
}
