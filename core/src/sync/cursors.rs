//! What a device has seen, and the digest that names it in 16 bytes.

use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};

use super::wire::to_cbor;
use crate::access::FeedId;
use crate::ids::LogId;

const DOMAIN: &[u8] = b"fieldbook cursors v1\0";

/// One feed of a [`CursorSet`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CursorPoint {
    /// The feed.
    #[n(0)]
    pub feed: FeedId,
    /// Epoch of `position`.
    #[n(1)]
    pub epoch: u32,
    /// Entries seen.
    #[n(2)]
    pub position: u64,
    /// Chain hash there; zeroes at 0.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub chain: [u8; 32],
}

/// All cursors of a device at one moment, each with a signed head at its position.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CursorSet {
    /// The server's log.
    #[n(0)]
    pub log: LogId,
    /// Version of the feed list.
    #[n(1)]
    pub registry: u64,
    /// One per followed feed, sorted by feed.
    #[n(2)]
    pub cursors: Vec<CursorPoint>,
}

impl CursorSet {
    /// First 16 bytes of the SHA-256 of `"fieldbook cursors v1\0"` and the set's CBOR.
    #[must_use]
    pub fn digest(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(to_cbor(self));
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.finalize()[..16]);
        digest
    }
}
