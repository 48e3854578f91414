//! Where an answer is: a field of the form, and inside repeats the row.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

use crate::ids::RowId;

/// A text that is no field path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no field path: expected `group/field`, or `repeat[row]/field` with a row id of 16 hex digits")]
pub struct PathError {
    /// What was given.
    pub text: String,
}

/// The address of one answer in a record.
///
/// Written `group/field` outside repeats, `repeat[row]/field` inside; rows of nested repeats hang at the root too, so
/// only the innermost repeat carries a row: `members/jobs[3f2a9c0011223344]/title`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct FieldPath {
    /// Path of the field in the form, without rows: `members/name`.
    #[n(0)]
    pub field: String,
    /// Path of the innermost repeat and the row in it.
    #[n(1)]
    pub row: Option<(String, RowId)>,
}

impl FieldPath {
    /// A field outside repeats.
    #[must_use]
    pub fn root(field: impl Into<String>) -> Self {
        Self { field: field.into(), row: None }
    }

    /// A field in a row of `repeat`.
    #[must_use]
    pub fn in_row(field: impl Into<String>, repeat: impl Into<String>, row: RowId) -> Self {
        Self { field: field.into(), row: Some((repeat.into(), row)) }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.row {
            Some((repeat, row)) => {
                let rest = self.field.strip_prefix(repeat.as_str()).unwrap_or(&self.field);
                write!(f, "{repeat}[{row}]{rest}")
            }
            None => f.write_str(&self.field),
        }
    }
}

impl FromStr for FieldPath {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        let bad = || PathError { text: text.chars().take(200).collect() };
        let Some((repeat, tail)) = text.split_once('[') else {
            return if text.is_empty() || text.contains(']') { Err(bad()) } else { Ok(Self::root(text)) };
        };
        let (row, rest) = tail.split_once(']').ok_or_else(bad)?;
        let row: RowId = row.parse().map_err(|_| bad())?;
        if repeat.is_empty() || rest.contains(['[', ']']) || !(rest.is_empty() || rest.starts_with('/')) {
            return Err(bad());
        }
        Ok(Self::in_row(format!("{repeat}{rest}"), repeat, row))
    }
}
