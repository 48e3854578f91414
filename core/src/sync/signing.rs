//! Who signs what, and the strings that keep one kind of signature from being taken for another.

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use minicbor::Encode;
use sha2::{Digest, Sha256};

use super::wire::to_cbor;
use crate::access::FeedId;
use crate::ids::{DeviceId, LogId};
use crate::protocol::{SignedHead, StatementHash};

/// Signs an exchange's header, by the device.
pub const REQUEST: &[u8] = b"fieldbook request v1\0";
/// Signs a statement, by the device.
pub const STATEMENT: &[u8] = b"fieldbook statement v1\0";
/// Signs a feed's head, by the server.
pub const HEAD: &[u8] = b"fieldbook head v1\0";
/// Signs that a device is revoked, by the server.
pub const REVOKED: &[u8] = b"fieldbook revoked v1\0";
/// Signs an enrolment code, by the device's new key.
pub const ENROL: &[u8] = b"fieldbook enrol v1\0";
/// Signs the server's signing key, by the root that the enrolment link pins.
pub const SERVER_KEY: &[u8] = b"fieldbook server key v1\0";
/// Signs a successor of a root key, by that root.
pub const ROOT: &[u8] = b"fieldbook root v1\0";

/// Stands before the server's key in what names the server's hubs.
const HUB: &[u8] = b"fieldbook hub v1\0";

/// A key that signs (Ed25519).
pub trait Signer: Send + Sync {
    /// The public half.
    fn public_key(&self) -> [u8; 32];
    /// The signature over exactly these bytes.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

impl Signer for SigningKey {
    fn public_key(&self) -> [u8; 32] {
        self.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        ed25519_dalek::Signer::sign(self, message).to_bytes()
    }
}

/// The signature over `domain` and `bytes`.
#[must_use]
pub fn sign(signer: &dyn Signer, domain: &[u8], bytes: &[u8]) -> [u8; 64] {
    signer.sign(&[domain, bytes].concat())
}

/// Does `signature` fit `domain`, `bytes` and `key`? Strict: no weak keys, no malleable signatures.
#[must_use]
pub fn verify(key: &[u8; 32], domain: &[u8], bytes: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(key)
        .and_then(|key| key.verify_strict(&[domain, bytes].concat(), &Signature::from_bytes(signature)))
        .is_ok()
}

/// First 8 bytes of the SHA-256 of a server's signing key, as requests name it.
#[must_use]
pub fn key_id(server_key: &[u8; 32]) -> [u8; 8] {
    let hash = Sha256::digest(server_key);
    let mut id = [0; 8];
    id.copy_from_slice(&hash[..8]);
    id
}

/// The same as requests to a township hub of that server name it: what a device sent to a hub is no request to the server.
#[must_use]
pub fn hub_key_id(server_key: &[u8; 32]) -> [u8; 8] {
    let hash = Sha256::digest([HUB, server_key].concat());
    let mut id = [0; 8];
    id.copy_from_slice(&hash[..8]);
    id
}

/// The hash that the next statement names as its previous: SHA-256 of the statement's CBOR.
#[must_use]
pub fn statement_hash(bytes: &[u8]) -> StatementHash {
    Sha256::digest(bytes).into()
}

#[derive(Encode)]
struct HeadBody<'a> {
    #[n(0)]
    log: LogId,
    #[n(1)]
    feed: &'a FeedId,
    #[n(2)]
    epoch: u32,
    #[n(3)]
    position: u64,
    #[cbor(n(4), with = "minicbor::bytes")]
    chain: [u8; 32],
    #[n(5)]
    time_ms: i64,
}

fn head_bytes(head: &SignedHead) -> Vec<u8> {
    to_cbor(&HeadBody {
        log: head.log,
        feed: &head.feed,
        epoch: head.epoch,
        position: head.position,
        chain: head.chain,
        time_ms: head.time_ms,
    })
}

/// Fills in a head's signature.
#[must_use]
pub fn sign_head(signer: &dyn Signer, mut head: SignedHead) -> SignedHead {
    head.signature = sign(signer, HEAD, &head_bytes(&head));
    head
}

/// Does the head carry a signature by this server key?
#[must_use]
pub fn verify_head(server_key: &[u8; 32], head: &SignedHead) -> bool {
    verify(server_key, HEAD, &head_bytes(head), &head.signature)
}

/// A root's word that `successor` takes over from it in this log.
#[must_use]
pub fn announce_root(root: &dyn Signer, log: LogId, successor: &[u8; 32]) -> [u8; 64] {
    sign(root, ROOT, &[log.as_bytes(), &successor[..]].concat())
}

/// Is this the word of the root `root`?
#[must_use]
pub fn root_is_announced(root: &[u8; 32], log: LogId, successor: &[u8; 32], signature: &[u8; 64]) -> bool {
    verify(root, ROOT, &[log.as_bytes(), &successor[..]].concat(), signature)
}

/// What says in one exchange that its device is revoked.
#[derive(Clone, Copy, Debug, Encode)]
pub struct Revocation {
    /// The server's log.
    #[n(0)]
    pub log: LogId,
    /// The device.
    #[n(1)]
    pub device: DeviceId,
    /// Counter of the request that is answered.
    #[n(2)]
    pub counter: u64,
}

impl Revocation {
    /// The server's signature.
    #[must_use]
    pub fn sign(&self, signer: &dyn Signer) -> [u8; 64] {
        sign(signer, REVOKED, &to_cbor(self))
    }

    /// Does this server key's signature fit?
    #[must_use]
    pub fn is_signed_by(&self, server_key: &[u8; 32], signature: &[u8; 64]) -> bool {
        verify(server_key, REVOKED, &to_cbor(self), signature)
    }
}
