//! The logs in memory that core's own tests of the sync machines use.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "../../../core/src/sync/tests/phone_log.rs"]
pub mod phone_log;
#[path = "../../../core/src/sync/tests/server_log.rs"]
pub mod server_log;
