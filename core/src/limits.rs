//! Limits that more than one part of the system holds what comes from outside against. A part's own are beside it:
//! [`crate::forms::limits`], [`crate::protocol::limits`].

/// Characters of one text answer, after canonicalisation.
pub const TEXT_CHARS_MAX: usize = 20_000;
/// Rows of all repeats of one record.
pub const RECORD_ROWS_MAX: usize = 2_000;
/// Bytes of a compiled form.
pub const FORM_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a record's stored body, uncompressed.
pub const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Characters of the name that a device is enrolled under; a longer one is cut.
pub const DEVICE_NAME_CHARS_MAX: usize = 100;
/// Bytes of a unit code, which is ASCII.
pub const UNIT_CODE_BYTES_MAX: usize = 32;
