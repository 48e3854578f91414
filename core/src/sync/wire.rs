//! CBOR of whole messages, and variable-length numbers.

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
