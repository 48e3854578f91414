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
/// Characters of one expression.
pub const EXPRESSION_CHARS_MAX: usize = 16_000;
/// Operators, brackets and commas of one expression: bounds the depth of its tree.
pub const EXPRESSION_PARTS_MAX: usize = 2_000;
/// Brackets open at once in one expression.
pub const EXPRESSION_NESTING_MAX: usize = 60;
