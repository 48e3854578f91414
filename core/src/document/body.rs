//! A document's saved bytes as they lie in a store: under zstd. A context of the library is some hundred kilobytes that
//! are cleared when it is made, so each thread keeps its own.

use std::cell::RefCell;
use std::io::{Error, ErrorKind, Result};

use zstd::bulk::{Compressor, Decompressor};

use crate::limits::BODY_BYTES_MAX;

/// Level for phones: small documents gain nothing from more, and a save must be cheap.
pub const LEVEL_PHONE: i32 = 3;
/// Level for the server, which packs many.
pub const LEVEL_SERVER: i32 = 1;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Packs what [`Document::save`](super::Document::save) gave.
///
/// # Errors
/// What the compression says.
pub fn pack(body: &[u8], level: i32) -> Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let mut compressor = match kept.take() {
            Some(compressor) => compressor,
            None => Compressor::new(level)?,
        };
        compressor.set_compression_level(level)?;
        let packed = compressor.compress(body)?;
        // One that failed is not kept.
        *kept = Some(compressor);
        Ok(packed)
    })
}

/// Unpacks what [`pack`] made.
///
/// # Errors
/// For anything else, and for what claims more than [`BODY_BYTES_MAX`].
pub fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten().unwrap_or(0);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > BODY_BYTES_MAX {
        return Err(Error::new(ErrorKind::InvalidData, format!("claims {size} bytes")));
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let mut decompressor = match kept.take() {
            Some(decompressor) => decompressor,
            None => Decompressor::new()?,
        };
        let body = decompressor.decompress(packed, size)?;
        *kept = Some(decompressor);
        Ok(body)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_back_also_after_what_is_no_body() {
        for (size, level) in [(0, LEVEL_PHONE), (1, LEVEL_SERVER), (200_000, LEVEL_PHONE), (5_000, LEVEL_SERVER)] {
            let body: Vec<u8> = (0..size).map(|at: u32| (at % 251) as u8).collect();
            let packed = pack(&body, level).unwrap();
            assert_eq!(unpack(&packed).unwrap(), body);
            assert!(unpack(b"no body").is_err());
            let mut cut = packed.clone();
            cut.pop();
            assert!(unpack(&cut).is_err());
            assert_eq!(pack(&body, level).unwrap(), packed, "a context that was used before packs alike");
        }
        // Magic, a single segment with eight bytes of content size: 2^40.
        let huge = [0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0];
        assert!(unpack(&huge).unwrap_err().to_string().contains("claims"));
    }
}
