//! Sealed pieces of a feed: what a first download fetches apart from the exchange.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

/// One sealed piece of a feed, as the server hands it out: entries `first` to `through`, as frames of one stream
/// (`docs/PROTOCOL.md` §13), encrypted. The bytes are fetched by name, from whoever has them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Segment {
    /// Position of its first entry.
    #[n(0)]
    pub first: u64,
    /// Position of its last entry.
    #[n(1)]
    pub through: u64,
    /// Chain hash behind its last entry.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub chain: [u8; 32],
    /// SHA-256 of its bytes.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub name: [u8; 32],
    /// How many bytes.
    #[n(4)]
    pub bytes: u64,
    /// First 16 bytes of the SHA-256 of each block of [`super::limits::SEGMENT_BLOCK_BYTES`], the last one shorter.
    #[n(5)]
    pub blocks: ByteVec,
    /// The server's Ed25519 signature over `"fieldbook segment v1\0"` and the CBOR of log, feed and the fields before.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub signature: [u8; 64],
    /// Key of its bytes. Not signed: another one opens nothing.
    #[cbor(n(7), with = "minicbor::bytes")]
    pub key: [u8; 32],
}
