//! The Fieldbook server: orders feeds, judges rights, serves phones and supervisors.
//!
//! `store` is the one encrypted database; `sync_http` carries the sync machine of `fieldbook-core` over HTTP; `api` is
//! what supervisors use; `cli` is everything an administrator does at a terminal.

mod api;
pub mod cli;
mod clock_text;
mod code;
mod data_folder;
pub mod identity;
mod limiter;
pub mod link;
pub mod serve;
pub mod store;
mod sync_http;
pub mod system;
#[cfg(test)]
mod testing;
pub mod text;

use api::form_language;
pub use api::{openapi_json, router};
