//! CBOR of whole messages, variable-length numbers, and the name of a raw change.

use sha2::{Digest, Sha256};

use crate::ids::ChangeHash;

/// The CBOR of a message, as it is sent, signed and hashed.
#[must_use]
pub fn to_cbor<T: minicbor::Encode<()>>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A `Vec` takes every write, and no message's encoder has an error of its own.
    let _: Result<(), minicbor::encode::Error<std::convert::Infallible>> = minicbor::encode(message, &mut bytes);
    bytes
}

/// Exactly one message; `None` for anything else, and for anything behind it.
#[must_use]
pub fn from_cbor<'b, T: minicbor::Decode<'b, ()>>(bytes: &'b [u8]) -> Option<T> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let message = decoder.decode().ok()?;
    (decoder.position() == bytes.len()).then_some(message)
}

/// Appends `value` as LEB128: 7 bits a byte, lowest first, the high bit set where more follows.
pub(super) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// What [`read_varint`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Varint {
    /// The number, and how many bytes it took.
    Value(u64, usize),
    /// It goes on behind these bytes.
    Incomplete,
    /// No number below 2^35 in its shortest form.
    Bad,
}

/// Longest number: every length on the wire is far below 2^35.
const VARINT_BYTES_MAX: usize = 5;

/// Reads a number that [`put_varint`] wrote.
pub(super) fn read_varint(bytes: &[u8]) -> Varint {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let shortest = at == 0 || *byte != 0;
            return if shortest { Varint::Value(value, at + 1) } else { Varint::Bad };
        }
    }
    if bytes.len() < VARINT_BYTES_MAX { Varint::Incomplete } else { Varint::Bad }
}

const CHANGE_MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHANGE_CHUNK: u8 = 1;

/// The hash of a raw automerge change, computed from its bytes alone: SHA-256 of chunk type, length and content, which
/// is all but magic and checksum. `None` if the bytes are not exactly one uncompressed change chunk with its checksum.
///
/// Says nothing about the content: that is intake's work.
#[must_use]
pub fn change_hash(bytes: &[u8]) -> Option<ChangeHash> {
    let content = bytes.get(9..)?;
    if bytes[..4] != CHANGE_MAGIC || bytes[8] != CHANGE_CHUNK {
        return None;
    }
    let Varint::Value(length, read) = read_varint(content) else { return None };
    if length != (content.len() - read) as u64 {
        return None;
    }
    let hash: [u8; 32] = Sha256::digest(&bytes[8..]).into();
    (bytes[4..8] == hash[..4]).then_some(ChangeHash(hash))
}
