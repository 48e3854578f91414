//! The facade that bindings and the headless phone use: a phone's whole behaviour behind a blocking API.

mod day;
mod documents;
mod edits;
mod enrol;
mod erase;
mod error;
mod fieldbook;
mod form;
mod hub;
pub mod link;
mod log;
mod mend;
mod not_taken;
mod records;
mod row;
mod session;
mod spread;
mod sync;
pub mod system;
mod text;
mod types;
mod watch;

pub use crate::net;
pub use edits::BATCH_RECORDS_MAX;
pub use error::{ClientError, ErrorKind};
pub use fieldbook::{Fieldbook, Ports};
pub use form::FormHandle;
pub use text::Language;
pub use types::{
    Answered, ConflictSide, ConflictView, DraftInfo, EnrolmentInfo, ErasedView, HistoryView, KindInfo, NewRecord,
    NotTakenView, Patch, ProblemView, Progress, RecordView, ReviewView, Saved, StatusView, SyncListener, SyncReport,
    TouchedView,
};
pub use watch::WatchListener;
