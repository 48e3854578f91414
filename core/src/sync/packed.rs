//! Forms as a server's answer brings them: each compressed apart from the answer's stream, so that it is done once for all
//! devices and as hard as it can be. Forms of one installation have their lists of codes in common: each is
//! compressed against the largest that came before it in the answer.

use zstd::bulk::Compressor;
use zstd::zstd_safe::{self, DCtx};

use super::frames::{FrameError, LEVEL_SMALL};
use crate::limits::FORM_BYTES_MAX;

/// Packs a form (CBOR of `FormDefinition`) against the largest of the answer's forms before it, if there are any.
///
/// # Errors
/// [`FrameError::TooLarge`] beyond [`FORM_BYTES_MAX`], [`FrameError::Compression`].
pub fn pack_form(form: &[u8], largest: Option<&[u8]>) -> Result<Vec<u8>, FrameError> {
    if form.len() > FORM_BYTES_MAX {
        return Err(FrameError::TooLarge("form"));
    }
    let failed = |_| FrameError::Compression;
    let mut compressor: Compressor<'_> = Compressor::new(LEVEL_SMALL).map_err(failed)?;
    if let Some(largest) = largest {
        compressor.context_mut().ref_prefix(largest).map_err(|_| FrameError::Compression)?;
    }
    compressor.compress(form).map_err(failed)
}

/// Bytes that a packed form opens to, as it claims itself.
pub(super) fn opened_bytes(packed: &[u8]) -> usize {
    let claimed = zstd_safe::get_frame_content_size(packed).ok().flatten().unwrap_or(0);
    usize::try_from(claimed).unwrap_or(usize::MAX)
}

/// The largest of the forms that an answer has brought so far; of two that are as large the first.
#[derive(Default)]
pub(super) struct Largest(Option<Vec<u8>>);

impl Largest {
    pub(super) fn get(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }

    /// Notes the form that came next.
    pub(super) fn note(&mut self, form: &[u8]) {
        if self.0.as_ref().is_none_or(|largest| largest.len() < form.len()) {
            self.0 = Some(form.to_vec());
        }
    }
}

/// Opens the packed forms of one answer, in their order.
#[derive(Default)]
pub(super) struct Opener {
    largest: Largest,
}

impl Opener {
    /// The form. `room`: bytes that it may have.
    pub(super) fn open(&mut self, packed: &[u8], room: usize) -> Result<Vec<u8>, FrameError> {
        let size = opened_bytes(packed);
        if size > room.min(FORM_BYTES_MAX) {
            return Err(FrameError::TooLarge("packed forms"));
        }
        let mut context = DCtx::try_create().ok_or(FrameError::Compression)?;
        if let Some(largest) = self.largest.get() {
            context.ref_prefix(largest).map_err(|_| FrameError::Compression)?;
        }
        let mut form = Vec::with_capacity(size);
        context.decompress(&mut form, packed).map_err(|_| FrameError::Garbage("packed form"))?;
        drop(context);
        self.largest.note(&form);
        Ok(form)
    }
}
