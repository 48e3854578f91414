//! Limits of forms and answers. Everything that comes from outside is held against them, and
//! against [`crate::limits`], before it is used.

/// Digits of a decimal answer, before and after the point together.
pub const DECIMAL_DIGITS_MAX: usize = 30;
/// Points of a geotrace or geoshape.
pub const GEO_POINTS_MAX: usize = 1_000;
/// Choices that one answer to a select_multiple or rank question names.
pub const CHOSEN_MAX: usize = 1_000;
/// Nesting of groups and repeats in a form and in JSON values.
pub const DEPTH_MAX: usize = 32;
/// Fields of a form.
pub const FIELDS_MAX: usize = 5_000;
/// Bytes of one text that an expression puts together. Without it, calculations that each double the one before would
/// take all memory.
pub const COMPUTED_TEXT_BYTES_MAX: usize = 256 * 1024;
/// Bytes of all calculated answers of a record.
pub const COMPUTED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of answers that `${…}` brings into one label, hint or message; the rest of an answer is cut.
pub const REFERENCED_BYTES_MAX: usize = 16 * 1024;
/// Arrays open at once in a compiled form's CBOR: four for each group and what lies around and inside them.
pub const FORM_CBOR_DEPTH_MAX: usize = 4 * (DEPTH_MAX + 2) + 16;
/// Characters of one expression.
pub const EXPRESSION_CHARS_MAX: usize = 16_000;
/// Operators, brackets and commas of one expression: bounds the depth of its tree.
pub const EXPRESSION_PARTS_MAX: usize = 2_000;
/// Brackets open at once in one expression.
pub const EXPRESSION_NESTING_MAX: usize = 60;
