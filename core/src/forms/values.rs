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

impl Values {
    /// There is no answer and no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.sets.values().all(BTreeSet::is_empty) && self.rows.values().all(Vec::is_empty)
    }

    /// The row `row` of `repeat`.
    #[must_use]
    pub fn row(&self, repeat: &str, row: RowId) -> Option<&Row> {
        self.rows.get(repeat)?.iter().find(|candidate| candidate.id == row)
    }

    /// Does to the values what `edit` does to the record: a removed row takes the rows inside it along. Edits of rows
    /// that are not there do nothing.
    pub fn apply(&mut self, edit: &Edit) {
        match edit {
            Edit::Set { path, value } => {
                let Some((fields, _)) = self.container(path) else { return };
                match value {
                    Some(value) => fields.insert(path.field.clone(), value.clone()),
                    None => fields.remove(&path.field),
                };
            }
            Edit::Choose { path, choice, chosen } => {
                let Some((_, sets)) = self.container(path) else { return };
                let set = sets.entry(path.field.clone()).or_default();
                if *chosen {
                    set.insert(choice.clone());
                } else {
                    set.remove(choice);
                }
                if set.is_empty() {
                    sets.remove(&path.field);
                }
            }
            Edit::AddRow { repeat, row, parent } => {
                if self.row(repeat, *row).is_none() {
                    self.rows.entry(repeat.clone()).or_default().push(Row::new(*row, *parent));
                }
            }
            Edit::RemoveRow { repeat, row } => self.remove_row(repeat, *row),
            Edit::Submit { .. } => {}
        }
    }

    fn container(&mut self, path: &FieldPath) -> Option<Container<'_>> {
        match &path.row {
            None => Some((&mut self.fields, &mut self.sets)),
            Some((repeat, id)) => {
                let row = self.rows.get_mut(repeat)?.iter_mut().find(|row| row.id == *id)?;
                Some((&mut row.fields, &mut row.sets))
            }
        }
    }

    fn remove_row(&mut self, repeat: &str, row: RowId) {
        let mut removed = vec![(repeat.to_owned(), row)];
        while let Some((repeat, row)) = removed.pop() {
            if let Some(rows) = self.rows.get_mut(&repeat) {
                rows.retain(|candidate| candidate.id != row);
            }
            let inside = format!("{repeat}/");
            for (path, rows) in self.rows.iter().filter(|(path, _)| path.starts_with(&inside)) {
                let children = rows.iter().filter(|child| child.parent == Some(row));
                removed.extend(children.map(|child| (path.clone(), child.id)));
            }
        }
        self.rows.retain(|_, rows| !rows.is_empty());
    }
}

/// Scalars and sets of the form or of a row.
type Container<'a> = (&'a mut BTreeMap<String, Scalar>, &'a mut BTreeMap<String, BTreeSet<String>>);

/// One thing that a save does to a record.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Edit {
    /// Writes an answer; `None` clears it.
    #[n(0)]
    Set {
        /// Which.
        #[n(0)]
        path: FieldPath,
        /// Canonical value.
        #[n(1)]
        value: Option<Scalar>,
    },
    /// Chooses or un-chooses one name of a select_multiple question.
    #[n(1)]
    Choose {
        /// Which question.
        #[n(0)]
        path: FieldPath,
        /// Choice name.
        #[n(1)]
        choice: String,
        /// Chosen or not.
        #[n(2)]
        chosen: bool,
    },
    /// Adds an empty row.
    #[n(2)]
    AddRow {
        /// Path of the repeat.
        #[n(0)]
        repeat: String,
        /// New random row id.
        #[n(1)]
        row: RowId,
        /// For a nested repeat: the row of the enclosing repeat.
        #[n(2)]
        parent: Option<RowId>,
    },
    /// Marks a row as removed.
    #[n(3)]
    RemoveRow {
        /// Path of the repeat.
        #[n(0)]
        repeat: String,
        /// Which row.
        #[n(1)]
        row: RowId,
    },
    /// Hands the record in for review: writes `_submitted`.
    #[n(4)]
    Submit {
        /// When, as text `YYYY-MM-DDTHH:MM:SS+08:00`; a new text is a new submission.
        #[n(0)]
        at: String,
    },
}
