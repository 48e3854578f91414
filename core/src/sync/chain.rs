//! The chain over a feed: what makes an entry's place in the log provable.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::ids::ChangeHash;
use crate::protocol::EntryBody;

/// Chain hash before the first entry of a feed.
pub const START: [u8; 32] = [0; 32];

const LINK_DOMAIN: &[u8] = b"fieldbook chain v1\0";

/// Leaf of a change entry: HMAC-SHA256 of the change hash under the record's salt. Without the salt (which dies with a
/// purge) nobody can tell which change it was.
#[must_use]
pub fn change_leaf(salt: &[u8; 8], change: &ChangeHash) -> [u8; 32] {
    // HMAC pads a key below the block size with zeroes: the same as HMAC with the 8-byte key.
    let mut key = [0; 64];
    key[..8].copy_from_slice(salt);
    let mut mac = Hmac::<Sha256>::new(&key.into());
    mac.update(change.as_bytes());
    mac.finalize().into_bytes().into()
}

/// Leaf of any other entry: SHA-256 of its body's CBOR; an erased entry carries its leaf. `None` for a change, whose
/// leaf needs the salt.
#[must_use]
pub fn body_leaf(body: &EntryBody) -> Option<[u8; 32]> {
    match body {
        EntryBody::Change { .. } => None,
        EntryBody::Erased(leaf) => Some(*leaf),
        EntryBody::MovedOut { .. } | EntryBody::MovedIn { .. } | EntryBody::Purge { .. } | EntryBody::Notice(_) => {
            Some(Sha256::digest(super::wire::to_cbor(body)).into())
        }
    }
}

/// Chain hash after an entry: SHA-256 of `"fieldbook chain v1\0"`, the hash before it, its position and its time of
/// receipt (both 8 bytes, big-endian), and its leaf.
#[must_use]
pub fn next(previous: &[u8; 32], position: u64, received_ms: i64, leaf: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(LINK_DOMAIN);
    hash.update(previous);
    hash.update(position.to_be_bytes());
    hash.update(received_ms.to_be_bytes());
    hash.update(leaf);
    hash.finalize().into()
}
