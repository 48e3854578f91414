//! CBOR of whole messages.

/// The CBOR of a message, as it is sent, signed and hashed.
#[must_use]
pub fn to_cbor<T: minicbor::Encode<()>>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A `Vec` takes every write, and no message's encoder has an error of its own.
    let _: Result<(), minicbor::encode::Error<std::convert::Infallible>> = minicbor::encode(message, &mut bytes);
    bytes
}
