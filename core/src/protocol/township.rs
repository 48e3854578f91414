//! What a township hub adds to an exchange (docs/PROTOCOL.md §14).

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::messages::{ErrorAnswer, StatementHash};
use crate::ids::{DeviceId, UserId};

/// The header's part in an exchange in which a hub takes part.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Township {
    /// A device's request to a hub.
    #[n(0)]
    ToHub {
        /// Number and hash of the statement before the first that the device has to send: the server has all up to it,
        /// or nobody needs it any more.
        #[n(0)]
        base: Option<(u64, ByteArray<32>)>,
    },
    /// A hub's request to the server.
    #[n(1)]
    ByHub {
        /// Digest of the list of devices that the hub holds; zeroes if none.
        #[n(0)]
        devices: ByteArray<16>,
        /// The hub's TLS key (Ed25519), where it asks for a certificate.
        #[n(1)]
        tls_key: Option<ByteArray<32>>,
    },
}

/// A device that a hub serves.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HostedDevice {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// Its Ed25519 public key.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub key: [u8; 32],
    /// Its user.
    #[n(2)]
    pub user: UserId,
    /// Revoked (device or user): it gets nothing, and what it brings goes to quarantine on the server.
    #[n(3)]
    pub revoked: bool,
    /// The feeds that it may read, as far as the hub has them: indices into the hub's own list, ascending.
    #[n(4)]
    pub feeds: Vec<u32>,
}

/// What the server holds of a device for which a hub has spoken.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hosted {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// Number of its last statement; 0 = none.
    #[n(1)]
    pub statement: u64,
    /// Hash of that statement; zeroes if none.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub statement_hash: StatementHash,
    /// Statement and index of the last body up to which the server has all: from there on the device itself sends.
    #[n(3)]
    pub taken: Option<(u64, u32)>,
    /// The last body that came in this exchange. It is behind `taken` where the hub brought none of some change between:
    /// what a device has issued again is brought by nobody, and whether it is that the hub cannot show.
    #[n(4)]
    pub through: Option<(u64, u32)>,
    /// Why nothing more was taken of it in this exchange.
    #[n(5)]
    pub failure: Option<ErrorAnswer>,
}
