//! The sync machines: pure, no I/O, no clock of their own. A device and the server exchange one signed request and
//! one answer, both as streams of frames; every frame is applied and made durable by itself (DESIGN §6,
//! `docs/PROTOCOL.md`).
//!
//! `phone` drives a [`PhoneLog`], `server` a [`ServerLog`]: the stores implement these, and the rest is here.

pub mod chain;
mod log;
pub mod phone;
mod placeholder;
pub mod server;
mod wire;

pub use log::{LogError, LogErrorKind};
pub use phone::PhoneLog;
pub use placeholder::{Document, RawChange};
pub use server::ServerLog;
pub use wire::to_cbor;
