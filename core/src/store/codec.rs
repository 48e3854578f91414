//! How bodies lie in the file: one byte that names the codec, then the compressed bytes.

use super::StoreError;
use crate::document::body;
use crate::limits::BODY_BYTES_MAX;

/// zstd without a dictionary. Other codes are free for dictionaries.
const ZSTD: u8 = 1;

/// Packs a document's save.
///
/// # Errors
/// [`StoreError::Limit`] above [`BODY_BYTES_MAX`].
pub(super) fn pack(document: &[u8]) -> Result<Vec<u8>, StoreError> {
    if document.len() > BODY_BYTES_MAX {
        let found = document.len();
        return Err(StoreError::Limit { what: "the record's body in bytes", limit: BODY_BYTES_MAX, found });
    }
    let packed = body::pack(document, body::LEVEL_PHONE)
        .map_err(|source| StoreError::Io { doing: "compressing a record".to_owned(), source })?;
    let mut bytes = Vec::with_capacity(packed.len() + 1);
    bytes.push(ZSTD);
    bytes.extend_from_slice(&packed);
    Ok(bytes)
}

/// Unpacks what [`pack`] made.
///
/// # Errors
/// [`StoreError::Damaged`] for anything else.
pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { doing: "reading a record's body", detail };
    match bytes.split_first() {
        Some((&ZSTD, packed)) => body::unpack(packed).map_err(|error| damaged(error.to_string())),
        Some((code, _)) => Err(damaged(format!("unknown codec {code}"))),
        None => Err(damaged("empty".to_owned())),
    }
}
