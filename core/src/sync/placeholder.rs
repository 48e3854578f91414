//! Stands in for `crate::document::{Document, RawChange}` until these are there; same names, then this file goes.

use crate::ids::{ActorId, ChangeHash};

/// See `document`.
pub struct Document;

/// See `document`.
pub struct RawChange {
    /// See `document`.
    pub hash: ChangeHash,
    /// See `document`.
    pub actor: ActorId,
    /// See `document`.
    pub time_s: i64,
    /// See `document`.
    pub deps: Vec<ChangeHash>,
    /// See `document`.
    pub bytes: Vec<u8>,
}
