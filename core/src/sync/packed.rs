//! Forms as a server's answer brings them: each compressed apart from the answer's stream, so that it is done once for all
//! devices and as hard as it can be. Forms of one installation have their lists of codes in common: the second and later
//! ones of an answer are compressed against the first.

use zstd::bulk::Compressor;
use zstd::zstd_safe::{self, DCtx};

use super::frames::{FrameError, LEVEL_SMALL};
use crate::limits::FORM_BYTES_MAX;

/// Packs a form (CBOR of `FormDefinition`); `first` is the first form of the answer, where this is another one.
///
/// # Errors
/// [`FrameError::TooLarge`] beyond [`FORM_BYTES_MAX`], [`FrameError::Compression`].
pub fn pack_form(form: &[u8], first: Option<&[u8]>) -> Result<Vec<u8>, FrameError> {
    if form.len() > FORM_BYTES_MAX {
        return Err(FrameError::TooLarge("form"));
    }
    let failed = |_| FrameError::Compression;
    let mut compressor: Compressor<'_> = Compressor::new(LEVEL_SMALL).map_err(failed)?;
    if let Some(first) = first {
        compressor.context_mut().ref_prefix(first).map_err(|_| FrameError::Compression)?;
    }
    compressor.compress(form).map_err(failed)
}

/// Bytes that a packed form opens to, as it claims itself.
pub(super) fn opened_bytes(packed: &[u8]) -> usize {
    let claimed = zstd_safe::get_frame_content_size(packed).ok().flatten().unwrap_or(0);
    usize::try_from(claimed).unwrap_or(usize::MAX)
}

/// Opens the packed forms of one answer, in their order.
#[derive(Default)]
pub(super) struct Opener {
    first: Option<Vec<u8>>,
}

impl Opener {
    /// The form. `room`: bytes that it may have.
    pub(super) fn open(&mut self, packed: &[u8], room: usize) -> Result<Vec<u8>, FrameError> {
        let size = opened_bytes(packed);
        if size > room.min(FORM_BYTES_MAX) {
            return Err(FrameError::TooLarge("packed forms"));
        }
        let mut context = DCtx::try_create().ok_or(FrameError::Compression)?;
        if let Some(first) = &self.first {
            context.ref_prefix(first).map_err(|_| FrameError::Compression)?;
        }
        let mut form = Vec::with_capacity(size);
        context.decompress(&mut form, packed).map_err(|_| FrameError::Garbage("packed form"))?;
        drop(context);
        if self.first.is_none() {
            self.first = Some(form.clone());
        }
        Ok(form)
    }
}
