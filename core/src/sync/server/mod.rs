//! The server's half of an exchange.

mod log;

pub use log::{DeviceRow, Fate, FeedHead, LogEntry, Scope, ServerLog, StatementRow, TakenChange};
