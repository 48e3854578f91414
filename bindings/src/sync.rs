//! How a sync is watched and stopped.

use std::sync::{Arc, Mutex, PoisonError};

use fieldbook_core::client::{self, net::CancelFlag};

use crate::FieldbookError;
use crate::error::Sentence;

const LISTENER_FAILED: Sentence = Sentence {
    chinese: "同步被应用自己的显示出错打断。已传的不会重来，请再试。",
    english: "The app failed while showing the sync, which was stopped. What has arrived stays; try again.",
};

/// How a sync is going.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Progress {
    /// HTTP bytes sent.
    pub bytes_up: u64,
    /// HTTP bytes received.
    pub bytes_down: u64,
    /// Own changes that the server has received.
    pub changes_sent: u64,
    /// Own changes that still wait.
    pub changes_waiting: u64,
    /// Changes of others that were applied.
    pub changes_received: u64,
}

impl From<client::Progress> for Progress {
    fn from(progress: client::Progress) -> Self {
        let client::Progress { bytes_up, bytes_down, changes_sent, changes_waiting, changes_received } = progress;
        Self { bytes_up, bytes_down, changes_sent, changes_waiting, changes_received }
    }
}

/// A record that was purged and is erased here now.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Erased {
    /// Which.
    pub record: String,
    /// Own changes of it that the server had not: they are erased too.
    pub unsent: u64,
    /// What to tell the user.
    pub message: String,
}

impl From<client::ErasedView> for Erased {
    fn from(view: client::ErasedView) -> Self {
        let client::ErasedView { record, unsent, message } = view;
        Self { record: record.to_string(), unsent, message }
    }
}

/// What a sync did.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct SyncReport {
    /// HTTP bytes sent: request lines, headers and bodies, without TLS, TCP and IP.
    pub bytes_up: u64,
    /// HTTP bytes received, counted the same way.
    pub bytes_down: u64,
    /// Frames in both directions.
    pub frames: u64,
    /// HTTP requests.
    pub requests: u64,
    /// Own changes that the server has now and had not before.
    pub changes_sent: u64,
    /// Changes of others that were applied.
    pub changes_received: u64,
    /// Changes that travelled transcoded, in both directions.
    pub changes_transcoded: u64,
    /// Changes that travelled raw, in both directions.
    pub changes_raw: u64,
    /// Own changes that the server did not take.
    pub not_taken: u64,
    /// Records of this phone that show conflicts now.
    pub conflicts: u64,
    /// How long it took, seconds.
    pub seconds: f64,
    /// Connections that broke and were taken up again.
    pub breaks: u64,
    /// The phone's clock is wrong: what to tell the user.
    pub clock_warning: Option<String>,
    /// How far the phone's clock is ahead of the server's, milliseconds.
    pub clock_ahead_ms: i64,
    /// There is little space left: what to tell the user.
    pub space_warning: Option<String>,
    /// Records that were erased because somebody purged them.
    pub erased: Vec<Erased>,
}

impl From<client::SyncReport> for SyncReport {
    fn from(report: client::SyncReport) -> Self {
        let client::SyncReport {
            bytes_up,
            bytes_down,
            frames,
            requests,
            changes_sent,
            changes_received,
            changes_transcoded,
            changes_raw,
            not_taken,
            conflicts,
            seconds,
            breaks,
            clock_warning,
            clock_ahead_ms,
            space_warning,
            erased,
        } = report;
        Self {
            bytes_up,
            bytes_down,
            frames,
            requests,
            changes_sent,
            changes_received,
            changes_transcoded,
            changes_raw,
            not_taken,
            conflicts,
            seconds,
            breaks,
            clock_warning,
            clock_ahead_ms,
            space_warning,
            erased: erased.into_iter().map(Erased::from).collect(),
        }
    }
}

/// A listener threw.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum ListenerError {
    /// It threw something.
    #[error("the listener failed: {reason}")]
    Failed {
        /// What it threw.
        reason: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for ListenerError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { reason: error.reason }
    }
}

/// Hears how a sync is going, between frames and on the thread that syncs. What it throws stops the sync, which then
/// fails as `Internal` with what was thrown; what has arrived stays.
#[uniffi::export(foreign)]
pub trait SyncListener: Send + Sync {
    /// Something moved.
    ///
    /// # Errors
    /// Stops the sync.
    fn progress(&self, progress: Progress) -> Result<(), ListenerError>;
}

/// Stops one sync from any thread; make a new one for the next.
#[derive(Debug, Default, uniffi::Object)]
pub struct CancelHandle {
    flag: CancelFlag,
}

#[uniffi::export]
impl CancelHandle {
    /// A handle that nobody has pulled.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The sync stops soon, between two frames, and fails as `Cancelled`; what has arrived stays.
    pub fn cancel(&self) {
        self.flag.cancel();
    }

    /// Somebody cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.flag.is_cancelled()
    }
}

/// The app's listener as the core calls it: the first failure stops the sync and is kept for its caller.
struct AppListener<'a> {
    listener: &'a dyn SyncListener,
    cancel: &'a CancelFlag,
    failed: Mutex<Option<ListenerError>>,
}

impl client::SyncListener for AppListener<'_> {
    fn progress(&self, progress: client::Progress) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some() {
            return;
        }
        if let Err(error) = self.listener.progress(progress.into()) {
            *failed = Some(error);
            self.cancel.cancel();
        }
    }
}

/// Syncs `book` with the server, or with the township hub at `hub`, watched by the app.
pub(crate) fn run(
    book: &client::Fieldbook,
    hub: Option<&str>,
    listener: &dyn SyncListener,
    cancel: &CancelHandle,
) -> Result<SyncReport, FieldbookError> {
    let listener = AppListener { listener, cancel: &cancel.flag, failed: Mutex::default() };
    let done = match hub {
        Some(hub) => book.sync_at_hub(hub, &listener, &cancel.flag),
        None => book.sync(&listener, &cancel.flag),
    };
    let failed = listener.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    match failed {
        Some(error) => Err(FieldbookError::of_app(book.language(), LISTENER_FAILED, error)),
        None => Ok(done?.into()),
    }
}
