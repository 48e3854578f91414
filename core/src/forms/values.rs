//! The answers of one record, as forms see them and documents store them.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

use super::path::FieldPath;
use crate::ids::RowId;

/// One stored answer, in canonical form: text in NFC, decimals and dates as text, whole numbers (and money, in fen)
/// as integers. Empty is absent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Scalar {
    /// Text, choice names, dates, times, positions, decimals, names of files.
    #[n(0)]
    Text(#[n(0)] String),
    /// Whole numbers.
    #[n(1)]
    Integer(#[n(0)] i64),
}

/// All answers of a record: merged, without removed rows, without calculated values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Answers outside repeats, by field path.
    pub fields: BTreeMap<String, Scalar>,
    /// Chosen names of select_multiple questions outside repeats, by field path; absent = none chosen.
    pub sets: BTreeMap<String, BTreeSet<String>>,
    /// Rows of each repeat (nested ones too), by the repeat's path, in the order of their creation.
    pub rows: BTreeMap<String, Vec<Row>>,
}

/// One row of a repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its identity.
    pub id: RowId,
    /// For a nested repeat: the row of the enclosing repeat.
    pub parent: Option<RowId>,
    /// Answers, by full field path (`members/name`).
    pub fields: BTreeMap<String, Scalar>,
    /// Chosen names of select_multiple questions, by full field path.
    pub sets: BTreeMap<String, BTreeSet<String>>,
}

impl Row {
    /// A row without answers.
    #[must_use]
    pub fn new(id: RowId, parent: Option<RowId>) -> Self {
        Self { id, parent, fields: BTreeMap::new(), sets: BTreeMap::new() }
    }
}

/// One thing that a save does to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Writes an answer; `None` clears it.
    Set {
        /// Which.
        path: FieldPath,
        /// Canonical value.
        value: Option<Scalar>,
    },
    /// Chooses or un-chooses one name of a select_multiple question.
    Choose {
        /// Which question.
        path: FieldPath,
        /// Choice name.
        choice: String,
        /// Chosen or not.
        chosen: bool,
    },
    /// Adds an empty row.
    AddRow {
        /// Path of the repeat.
        repeat: String,
        /// New random row id.
        row: RowId,
        /// For a nested repeat: the row of the enclosing repeat.
        parent: Option<RowId>,
    },
    /// Marks a row as removed.
    RemoveRow {
        /// Path of the repeat.
        repeat: String,
        /// Which row.
        row: RowId,
    },
    /// Hands the record in for review: writes `_submitted`.
    Submit {
        /// When, as text `YYYY-MM-DDTHH:MM:SS+08:00`; a new text is a new submission.
        at: String,
    },
}
