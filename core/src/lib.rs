//! Fieldbook's core: records as CRDT documents, forms on top of them, encrypted store and sync.
//!
//! Module arrows (checked by the tidy test): `client -> store, sync`; `sync -> document, protocol, intake`;
//! `intake -> document`; `store -> document`; `document -> forms, protocol` (its limits); `forms` and `protocol` use
//! only what is free to all: `ids`, `access`, `limits` and `ports`, which are words, numbers and traits,
//! and `search`, which makes words of text.

// The sync machines' tests lend their logs to the fuzz targets, which name this crate from outside.
#[cfg(test)]
extern crate self as fieldbook_core;

pub mod access;
#[cfg(feature = "client")]
pub mod client;
pub mod document;
pub mod forms;
pub mod ids;
pub mod intake;
pub mod limits;
#[cfg(feature = "net")]
pub mod net;
pub mod ports;
pub mod protocol;
#[cfg(feature = "search")]
pub mod search;
#[cfg(feature = "client")]
pub mod store;
pub mod sync;
