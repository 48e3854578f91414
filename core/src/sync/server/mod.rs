//! The server's half of an exchange: verifies the request, takes frames one by one, then writes the answer piece by
//! piece from the log, so that memory stays small whatever waits.

mod answer;
mod gather;
mod log;
mod relay;
mod restored;
mod seal;
mod seen;
mod session;
mod unpack;
mod upload;

pub(in crate::sync) use gather::{Gathered, Place};
pub use log::{DeviceRow, Fate, FeedHead, LogEntry, Scope, ServerLog, StatementRow, TakenChange};
pub use relay::devices_digest;
pub use restored::ReturnedState;
pub use seal::Sealing;
pub(in crate::sync) use session::{Caller, split_header, verify};
pub use session::{Session, Traffic};
pub(in crate::sync) use upload::Upload;

use crate::ids::{ChangeHash, RecordId};
use crate::intake::Refusal;
use crate::protocol::{ErrorAnswer, ErrorKind, Verdict};
use crate::sync::LogError;

/// Time after which a device asks again when the store failed.
const RETRY_AFTER_MS: u64 = 30_000;

pub(in crate::sync) fn error(kind: ErrorKind, detail: impl Into<String>) -> ErrorAnswer {
    ErrorAnswer { kind, detail: detail.into(), retry_after_ms: None, counter: None }
}

/// What intake's refusal means for a change: refused, quarantined, or quarantined because it builds on a change that
/// `is_quarantined` knows. For [`ServerLog::take_change`].
#[must_use]
pub fn verdict_of(
    refusal: &Refusal,
    change: ChangeHash,
    record: RecordId,
    is_quarantined: impl FnOnce(&ChangeHash) -> bool,
) -> Verdict {
    match refusal {
        Refusal::Refused { reason, .. } => Verdict::refused(change, record, reason),
        Refusal::Quarantined { reason, fields, .. } => Verdict::quarantined(change, record, reason, fields.clone()),
        Refusal::MissingDependency { hash } if is_quarantined(hash) => {
            Verdict::quarantined(change, record, "depends_on_quarantined", Vec::new())
        }
        Refusal::MissingDependency { .. } => Verdict::refused(change, record, "missing_dependency"),
        Refusal::NeedsNewerForm { .. } => Verdict::refused(change, record, "unknown_field"),
    }
}

impl From<LogError> for ErrorAnswer {
    /// What a device is told of a failing store: nothing of it, and when to come again.
    fn from(_: LogError) -> Self {
        let detail = "the server's store failed; nothing of this frame was kept".to_owned();
        Self { kind: ErrorKind::Unavailable, detail, retry_after_ms: Some(RETRY_AFTER_MS), counter: None }
    }
}

impl ErrorAnswer {
    /// HTTP status under which the CBOR of this answer is sent when it comes instead of frames.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        match self.kind {
            ErrorKind::Malformed | ErrorKind::WrongServer | ErrorKind::Code => 400,
            ErrorKind::UnknownDevice | ErrorKind::BadSignature => 401,
            ErrorKind::Replayed | ErrorKind::Forked | ErrorKind::LogMismatch | ErrorKind::Unresolved => 409,
            ErrorKind::TooLarge => 413,
            ErrorKind::Version => 426,
            ErrorKind::Busy => 429,
            ErrorKind::Unavailable => 503,
        }
    }
}
