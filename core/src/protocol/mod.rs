//! What travels between a device and the server, and its limits. `docs/PROTOCOL.md` is the specification.
//!
//! Messages are CBOR (RFC 8949) arrays. An exchange is one HTTPS POST: a signed [`RequestHeader`] and a stream of
//! frames up, a stream of frames down. This module only says what the messages are; `sync` says when they are sent.

mod changes;
pub(crate) mod chunk;
pub mod limits;
mod messages;
mod notice;
mod restored;
mod segments;
mod township;
pub mod transcode;

pub use changes::{ChangesDown, ChangesUp, CreatedUnder, FormRun, StatementUp};
pub use chunk::change_hash;
pub use messages::{
    CursorState, Cursors, Down, EnrolAnswer, EnrolRequest, Entry, EntryBody, ErrorAnswer, ErrorKind, PURGED,
    RecordStart, RequestHeader, SignedHead, Statement, StatementHash, Up, Verdict, VerdictKind,
};
pub use notice::{Notice, Review};
pub use restored::{LostFeed, Point, Returned};
pub use segments::Segment;
pub use township::{Hosted, HostedDevice, Township};
