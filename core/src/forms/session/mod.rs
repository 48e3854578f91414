//! A form being filled in: answers go in, and at once calculations, relevance, choices, constraints and rows follow.

mod fill;
mod questions;
#[cfg(test)]
#[cfg(feature = "xlsform")]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use minicbor::{Decode, Encode};
use serde_json::Value as Json;

use super::answer::{Answer, ValueError};
use super::catalogue::MessageKey;
use super::evaluate::{EvalTime, Evaluation};
use super::form::Form;
use super::json::push_answer;
use super::logic::Ran;
use super::logic::schema::SchemaId;
use super::path::FieldPath;
use super::values::{Edit, Row, Scalar, Values};
use crate::ids::RowId;
use crate::limits::RECORD_ROWS_MAX;
pub use questions::{OfferedChoice, Question, QuestionKind};

/// Version of the drafts that this build writes.
const DRAFT_VERSION: u8 = 1;

/// A draft that cannot be taken up again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the draft cannot be read: {0}; the stored record is untouched")]
pub struct DraftError(pub String);

/// What a killed app needs to go on: the edits so far (what they stand on is kept by the store).
#[derive(Encode, Decode)]
struct Draft {
    #[n(0)]
    version: u8,
    #[n(1)]
    edits: Vec<Edit>,
    /// Answers that an ID number filled, and may fill again.
    #[n(2)]
    filled: Vec<FieldPath>,
}

/// A record being filled in.
pub struct FormSession {
    form: Arc<Form>,
    /// As the form was opened.
    start: Values,
    values: Values,
    time: EvalTime,
    language: String,
    /// What the app knows of itself: `deviceid`, `username`, `email`, `phonenumber`.
    properties: BTreeMap<String, String>,
    /// Sex and date of birth that an ID number filled: it may change them, a typed answer may not be changed.
    filled: BTreeSet<FieldPath>,
    ran: Ran,
}

impl FormSession {
    /// Opens a form on the answers of a record; without any answer it is a new record, and its defaults are filled in.
    #[must_use]
    pub fn new(form: Arc<Form>, values: Values, time: EvalTime, language: &str) -> Self {
        Self::with_properties(form, values, time, language, BTreeMap::new())
    }

    /// As [`FormSession::new`], with what the app knows of itself (`deviceid`, `username`, `email`, `phonenumber`).
    #[must_use]
    pub fn with_properties(
        form: Arc<Form>,
        values: Values,
        time: EvalTime,
        language: &str,
        properties: BTreeMap<String, String>,
    ) -> Self {
        let mut session = Self::open(form, values, time, language, properties);
        if session.start.is_empty() {
            session.fill_new_record();
        }
        session.settle();
        session
    }

    /// Takes a draft up again: `values` are those that the draft was started from.
    ///
    /// # Errors
    /// [`DraftError`] when the draft cannot be read.
    pub fn resume(
        form: Arc<Form>,
        values: Values,
        time: EvalTime,
        language: &str,
        draft: &[u8],
    ) -> Result<Self, DraftError> {
        let draft: Draft = minicbor::decode(draft).map_err(|error| DraftError(error.to_string()))?;
        if draft.version != DRAFT_VERSION {
            return Err(DraftError(format!("it has version {}", draft.version)));
        }
        let mut session = Self::open(form, values, time, language, BTreeMap::new());
        for edit in &draft.edits {
            session.values.apply(edit);
        }
        session.filled = draft.filled.into_iter().collect();
        session.settle();
        Ok(session)
    }

    fn open(
        form: Arc<Form>,
        values: Values,
        time: EvalTime,
        language: &str,
        properties: BTreeMap<String, String>,
    ) -> Self {
        let ran = form.with_surroundings(&time, language, |surroundings| form.logic.run(&values, surroundings));
        let language = language.to_owned();
        Self { form, start: values.clone(), values, time, language, properties, filled: BTreeSet::new(), ran }
    }

    /// The form.
    #[must_use]
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// The answers now, those that became irrelevant included.
    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Answers a question. Yields the paths whose answer, or whether they are asked, changed.
    ///
    /// # Errors
    /// [`ValueError`] when the form has no such field or the answer breaks its type; nothing changes then.
    pub fn set(&mut self, path: &FieldPath, json: &Json) -> Result<Vec<FieldPath>, ValueError> {
        if path.row.as_ref().is_some_and(|(repeat, row)| self.values.row(repeat, *row).is_none()) {
            return Err(ValueError::about(path, MessageKey::WrongRow, path));
        }
        let answer = self.form.parse_answer(path, json)?;
        let before = self.state();
        self.filled.remove(path);
        self.write(path, answer);
        self.after_change(path);
        self.settle();
        Ok(self.changed_since(&before))
    }

    /// Adds a row to a repeat; `parent` is the enclosing row of a nested repeat. Yields the paths that changed.
    ///
    /// # Errors
    /// [`ValueError`] when there is no such repeat or enclosing row, the form counts the rows itself, or there are too
    /// many; nothing changes then.
    pub fn add_row(&mut self, repeat: &str, parent: Option<RowId>, row: RowId) -> Result<Vec<FieldPath>, ValueError> {
        self.form.require_free_rows(repeat)?;
        let enclosing = self.form.enclosing_repeat(repeat);
        let fits = match (enclosing, parent) {
            (None, None) => true,
            (Some(enclosing), Some(parent)) => self.values.row(enclosing, parent).is_some(),
            _ => false,
        };
        if !fits || self.values.row(repeat, row).is_some() {
            return Err(ValueError::about(repeat, MessageKey::WrongRow, repeat));
        }
        if self.row_count() >= RECORD_ROWS_MAX {
            return Err(ValueError::about(repeat, MessageKey::TooManyRows, RECORD_ROWS_MAX));
        }
        let before = self.state();
        self.make_row(repeat, parent, row);
        self.settle();
        Ok(self.changed_since(&before))
    }

    /// Removes a row and what is inside it. Yields the paths that changed.
    ///
    /// # Errors
    /// [`ValueError`] when there is no such row, or the form counts the rows itself.
    pub fn remove_row(&mut self, repeat: &str, row: RowId) -> Result<Vec<FieldPath>, ValueError> {
        self.form.require_free_rows(repeat)?;
        if self.values.row(repeat, row).is_none() {
            return Err(ValueError::about(repeat, MessageKey::WrongRow, repeat));
        }
        let before = self.state();
        self.values.apply(&Edit::RemoveRow { repeat: repeat.to_owned(), row });
        self.settle();
        Ok(self.changed_since(&before))
    }

    /// Moves the session's clock, for `now()` and the form's end time; call it before a save.
    pub fn set_time(&mut self, time_s: i64) {
        self.time.time_s = time_s;
        self.fill_end_time();
        self.settle();
    }

    /// Changes the language of labels and messages.
    pub fn set_language(&mut self, language: &str) {
        language.clone_into(&mut self.language);
        self.settle();
    }

    /// What differs from the start: one save writes this. Added rows come first, removed ones last.
    #[must_use]
    pub fn edits(&self) -> Vec<Edit> {
        let mut edits = Vec::new();
        // Enclosing repeats come before the repeats inside them.
        for (repeat, _) in &self.form.definition().repeats {
            let rows = self.values.rows.get(repeat).map_or(&[][..], Vec::as_slice);
            let added = rows.iter().filter(|row| self.start.row(repeat, row.id).is_none());
            edits.extend(added.map(|row| Edit::AddRow { repeat: repeat.clone(), row: row.id, parent: row.parent }));
        }
        let (before, now) = (&self.start, &self.values);
        difference(&mut edits, None, (&before.fields, &before.sets), (&now.fields, &now.sets));
        let nothing = Row::new(RowId([0; 8]), None);
        for (repeat, rows) in &self.values.rows {
            for row in rows {
                let before = self.start.row(repeat, row.id).unwrap_or(&nothing);
                let place = Some((repeat.as_str(), row.id));
                difference(&mut edits, place, (&before.fields, &before.sets), (&row.fields, &row.sets));
            }
        }
        for (repeat, _) in &self.form.definition().repeats {
            let enclosing = self.form.enclosing_repeat(repeat);
            for row in self.start.rows.get(repeat).map_or(&[][..], Vec::as_slice) {
                let gone_with_parent = match (enclosing, row.parent) {
                    (Some(enclosing), Some(parent)) => self.values.row(enclosing, parent).is_none(),
                    _ => false,
                };
                if self.values.row(repeat, row.id).is_none() && !gone_with_parent {
                    edits.push(Edit::RemoveRow { repeat: repeat.clone(), row: row.id });
                }
            }
        }
        edits
    }

    /// The edits so far as bytes (CBOR); [`FormSession::resume`] takes them up again.
    #[must_use]
    pub fn draft(&self) -> Vec<u8> {
        let draft =
            Draft { version: DRAFT_VERSION, edits: self.edits(), filled: self.filled.iter().cloned().collect() };
        let mut bytes = Vec::new();
        // Writing into a Vec cannot fail.
        let _ = minicbor::encode(&draft, &mut bytes);
        bytes
    }

    /// Everything shown and everything wrong now, in the session's language.
    #[must_use]
    pub fn evaluation(&self) -> Evaluation {
        self.form.evaluate_in(&self.values, &self.time, &self.language)
    }

    /// The field at `path` is answered.
    #[must_use]
    pub fn has_answer(&self, path: &FieldPath) -> bool {
        let (fields, sets) = match &path.row {
            None => (&self.values.fields, &self.values.sets),
            Some((repeat, row)) => match self.values.row(repeat, *row) {
                Some(row) => (&row.fields, &row.sets),
                None => return false,
            },
        };
        fields.contains_key(&path.field) || sets.contains_key(&path.field)
    }

    fn row_count(&self) -> usize {
        self.values.rows.values().map(Vec::len).sum()
    }

    fn write(&mut self, path: &FieldPath, answer: Answer) {
        let before = match &path.row {
            None => self.values.sets.get(&path.field).cloned(),
            Some((repeat, row)) => self.values.row(repeat, *row).and_then(|row| row.sets.get(&path.field).cloned()),
        };
        let mut edits = Vec::new();
        push_answer(&mut edits, path.clone(), answer, before.unwrap_or_default());
        for edit in &edits {
            self.values.apply(edit);
        }
    }

    /// Answer and relevance of every leaf, by place and row.
    fn state(&self) -> HashMap<(SchemaId, Option<RowId>), (String, bool)> {
        let (schema, tree) = (&self.form.logic.schema, &self.ran.tree);
        let mut state = HashMap::new();
        for (scope, blocks) in tree.by_scope.iter().enumerate() {
            let Some(scope) = schema.scopes.get(scope) else { continue };
            for block in blocks {
                for place in scope.nodes.iter().filter(|place| schema.node(**place).children.is_empty()) {
                    let node = tree.node_in(schema, *block, *place);
                    let relevant = tree.is_relevant(schema, node, &self.form.logic.guards);
                    state.insert((*place, tree.block(*block).row), (tree.text(node).to_owned(), relevant));
                }
            }
        }
        state
    }

    fn changed_since(&self, before: &HashMap<(SchemaId, Option<RowId>), (String, bool)>) -> Vec<FieldPath> {
        let now = self.state();
        let gone = before.keys().filter(|key| !now.contains_key(key));
        let changed = now.iter().filter(|(key, value)| before.get(key) != Some(value)).map(|(key, _)| key);
        let mut keys: Vec<_> = changed.chain(gone).copied().collect();
        keys.sort_unstable();
        let schema = &self.form.logic.schema;
        keys.into_iter()
            .map(|(place, row)| {
                let node = schema.node(place);
                let repeat = &schema.scope(node.scope).path;
                match row {
                    Some(row) => FieldPath::in_row(&node.path, repeat, row),
                    None => FieldPath::root(&node.path),
                }
            })
            .collect()
    }
}

type Answers<'a> = (&'a BTreeMap<String, Scalar>, &'a BTreeMap<String, BTreeSet<String>>);

/// Appends what turns the answers `before` into `now`, outside repeats or in one row.
fn difference(edits: &mut Vec<Edit>, place: Option<(&str, RowId)>, before: Answers, now: Answers) {
    let path = |field: &String| match place {
        Some((repeat, row)) => FieldPath::in_row(field, repeat, row),
        None => FieldPath::root(field),
    };
    let fields: BTreeSet<&String> = before.0.keys().chain(now.0.keys()).collect();
    for field in fields.into_iter().filter(|field| before.0.get(*field) != now.0.get(*field)) {
        edits.push(Edit::Set { path: path(field), value: now.0.get(field).cloned() });
    }
    let none = BTreeSet::new();
    let sets: BTreeSet<&String> = before.1.keys().chain(now.1.keys()).collect();
    for field in sets {
        let (before, now) = (before.1.get(field).unwrap_or(&none), now.1.get(field).unwrap_or(&none));
        push_answer(edits, path(field), Answer::Set(now.clone()), before.clone());
    }
}
