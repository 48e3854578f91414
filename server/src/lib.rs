//! The Fieldbook server: orders feeds, judges rights, serves phones and supervisors.
//!
//! `store` is the one encrypted database; `exchange` runs the sync machine of `fieldbook-core` on it,
//! `sync_http` carries that over HTTP; `api` is
//! what supervisors use, `console` its pages; `cli` is everything an administrator does at a terminal.

mod apart;
mod api;
mod certificates;
pub mod cli;
mod clock_text;
mod code;
mod console;
mod data_folder;
pub mod exchange;
pub mod hub;
pub mod identity;
mod limiter;
pub mod link;
mod metrics;
mod ownership;
pub mod serve;
pub mod sql;
pub mod store;
mod sync_http;
pub mod system;
#[cfg(test)]
mod testing;
pub mod text;

use api::form_language;
pub use api::{openapi_json, router};
