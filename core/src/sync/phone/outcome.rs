//! What an exchange tells the client.

use super::Offered;
use crate::access::FeedId;
use crate::ids::RecordId;
use crate::protocol::{ErrorAnswer, ErrorKind};
use crate::sync::LogError;
use crate::sync::frames::FrameError;

/// Why an exchange failed. Frames applied before stay; the next exchange begins by asking how far this one got.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// The phone's own store failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The server answered an error.
    #[error("the server answered {:?}: {}", .0.kind, .0.detail)]
    Server(ErrorAnswer),
    /// The answer is not what this protocol sends.
    #[error(transparent)]
    Frames(#[from] FrameError),
    /// The answer breaks the order of messages.
    #[error("the answer breaks the protocol: {0}")]
    Protocol(&'static str),
    /// The chain over a feed does not come out as the server signed it: nothing of the frame was applied.
    #[error("the server's log does not fit: {feed} at {position}: {reason}")]
    LogDoesNotFit {
        /// The feed.
        feed: FeedId,
        /// Position of the entry or head in question.
        position: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// The server has another log than the one that this phone enrolled with.
    #[error("the server has another log than the one that this phone enrolled with")]
    OtherLog,
    /// A township hub answered what cannot be: nothing of its answer was applied, and what it said to hold does not count.
    #[error("the township hub's answer does not hold: {0}")]
    Hub(String),
    /// Before a hub is of use, this phone must exchange with the server.
    #[error("the server must be asked before a township hub")]
    ServerFirst,
    /// The connection ended before the answer did.
    #[error("the answer ended before its end: the connection broke")]
    Broken,
}

impl SyncError {
    /// Key of the text that tells the user what to do.
    #[must_use]
    pub fn text_key(&self) -> &'static str {
        match self {
            Self::Log(failure) => match failure.kind {
                crate::sync::LogErrorKind::Full => "sync.disk_full",
                crate::sync::LogErrorKind::Damaged => "sync.store_damaged",
                crate::sync::LogErrorKind::Storage | crate::sync::LogErrorKind::Other => "sync.store_failed",
            },
            Self::Server(answer) => match answer.kind {
                ErrorKind::Version => "sync.update_needed",
                ErrorKind::UnknownDevice | ErrorKind::WrongServer => "sync.enrol_again",
                ErrorKind::BadSignature | ErrorKind::Malformed | ErrorKind::TooLarge | ErrorKind::Unresolved => {
                    "sync.report"
                }
                ErrorKind::Replayed | ErrorKind::Forked | ErrorKind::Busy | ErrorKind::Unavailable => "sync.later",
                ErrorKind::Code => "enrol.new_code",
                ErrorKind::LogMismatch => "sync.server_lost_data",
            },
            Self::LogDoesNotFit { .. } | Self::OtherLog => "sync.server_does_not_fit",
            Self::Frames(_) | Self::Protocol(_) => "sync.no_fieldbook_server",
            Self::Hub(_) => "sync.hub_not_believed",
            Self::ServerFirst => "sync.server_first",
            Self::Broken => "sync.broken",
        }
    }
}

/// What was moved so far: for live progress and for the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of the request body.
    pub bytes_up: u64,
    /// Bytes of the answer body.
    pub bytes_down: u64,
    /// Frames in the request.
    pub frames_up: u64,
    /// Frames of the answer that were applied.
    pub frames_down: u64,
    /// Own changes that the server said it has.
    pub changes_sent: u64,
    /// Others' changes that were applied.
    pub changes_received: u64,
    /// Entries applied, of any sort.
    pub entries: u64,
    /// Own changes that the server did not take.
    pub not_taken: u64,
    /// Changes that travelled transcoded, up or down.
    pub changes_transcoded: u64,
    /// Changes that travelled raw, up or down.
    pub changes_raw: u64,
}

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.bytes_up += other.bytes_up;
        self.bytes_down += other.bytes_down;
        self.frames_up += other.frames_up;
        self.frames_down += other.frames_down;
        self.changes_sent += other.changes_sent;
        self.changes_received += other.changes_received;
        self.entries += other.entries;
        self.not_taken += other.not_taken;
        self.changes_transcoded += other.changes_transcoded;
        self.changes_raw += other.changes_raw;
    }
}

/// Something that a screen wants to know at once. Everything told here is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhoneEvent {
    /// The phone's clock differs from the server's by more than `CLOCK_TOLERANCE_MS`.
    ClockWrong {
        /// The server's clock, milliseconds since 1970 UTC.
        server_time_ms: i64,
        /// The phone's.
        device_time_ms: i64,
    },
    /// A record was changed by what arrived, or issued again.
    RecordChanged {
        /// Which.
        record: RecordId,
        /// Conflicts that it shows now.
        conflicts: u32,
    },
    /// A record was purged and is erased here, for ever.
    Erased {
        /// Which.
        record: RecordId,
        /// Own changes of it that the server had not: they are erased too.
        unsent: u64,
    },
    /// A form was published.
    FormArrived {
        /// Its kind.
        kind: String,
        /// Its version.
        version: String,
    },
    /// The followed feeds or the user's roles changed.
    FeedsChanged,
    /// An entry needs a newer app.
    NeedsNewerApp {
        /// The record.
        record: RecordId,
    },
    /// Answers were not taken and are put before the user.
    NotTaken {
        /// The record.
        record: RecordId,
        /// Stable reason word.
        reason: String,
    },
    /// This installation was cloned or rolled back; it goes on under a new actor.
    Forked,
}

/// How an exchange ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Exchange again at once: more entries wait, more is to be sent, or the last one has only asked.
    pub again: bool,
    /// This exchange moved something: exchanges that only ask again and never move anything must be stopped.
    pub progress: bool,
    /// The device is revoked; its server has signed that. When `again` is false, all that this device wrote is in the
    /// server's hands: the client erases the store.
    pub revoked: bool,
    /// The server was restored and serves nothing before its administrator has confirmed; it takes uploads.
    pub awaiting: bool,
    /// What was moved.
    pub stats: Stats,
    /// What happened at the end.
    pub events: Vec<PhoneEvent>,
    /// What is to be fetched apart, in this order, before exchanging again.
    pub offered: Vec<Offered>,
}
