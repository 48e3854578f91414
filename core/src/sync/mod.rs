//! The sync machines: pure, no I/O, no clock of their own. A device and the server exchange one signed request and
//! one answer, both as streams of frames; every frame is applied and made durable by itself
//! (`docs/PROTOCOL.md`).
//!
//! `phone` drives a [`PhoneLog`], `server` a [`ServerLog`]: the stores implement these, and the rest is here.

pub mod chain;
pub mod cursors;
pub mod frames;
pub mod hub;
mod log;
mod packed;
pub mod phone;
mod returned;
pub mod segment;
pub mod server;
pub mod signing;
mod wire;

pub use crate::protocol::change_hash;
pub use log::{LogError, LogErrorKind};
pub use packed::pack_form;
pub use phone::PhoneLog;
pub use server::ServerLog;
pub use signing::Signer;
pub use wire::{from_cbor, to_cbor};

#[cfg(test)]
mod tests;
