//! Values as JSON, nested as in the form: groups are objects, repeats arrays whose items carry `_row`.

#[cfg(test)]
#[cfg(feature = "xlsform")]
mod tests;

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::answer::{Answer, ValueError};
use super::catalogue::MessageKey;
use super::definition::{Field, FieldType};
use super::form::{Form, Outline};
use super::limits::DEPTH_MAX;
use super::path::FieldPath;
use super::values::{Edit, Row, Scalar, Values};
use crate::ids::RowId;
use crate::limits::RECORD_ROWS_MAX;
use crate::ports::Random;

/// A row to add, and the enclosing row.
type NewRow<'a> = (&'a Map<String, Json>, Option<RowId>);

/// Key of a row's id in JSON.
const ROW_KEY: &str = "_row";
/// Key of the enclosing row's id, where a row of a nested repeat is added on its own.
const PARENT_KEY: &str = "_parent";

impl Form {
    /// All answers in `values` as one JSON object, in the order of the form. Empty answers are left out.
    #[must_use]
    pub fn values_to_json(&self, values: &Values) -> Json {
        Json::Object(self.container_to_json(None, values, None))
    }

    /// One scalar answer as JSON: whole numbers and decimals as numbers (decimals that a 64-bit float cannot hold as
    /// text), everything else as text.
    #[must_use]
    pub fn scalar_to_json(&self, field: &Field, scalar: &Scalar) -> Json {
        match scalar {
            Scalar::Integer(number) => Json::from(*number),
            Scalar::Text(text) if matches!(field.field_type, FieldType::Decimal | FieldType::Calculate) => {
                decimal_json(text, field.field_type == FieldType::Decimal).unwrap_or_else(|| Json::from(text.as_str()))
            }
            Scalar::Text(text) => Json::from(text.as_str()),
        }
    }

    /// Chosen names as a JSON array, in the order of the choice list.
    #[must_use]
    pub fn set_to_json(&self, field: &Field, chosen: &BTreeSet<String>) -> Json {
        let mut names: Vec<&String> = chosen.iter().collect();
        names.sort_by_key(|name| self.choice_position(field, name));
        Json::Array(names.into_iter().map(|name| Json::from(name.as_str())).collect())
    }

    fn container_to_json(&self, repeat: Option<&str>, values: &Values, row: Option<&Row>) -> Map<String, Json> {
        let (fields, sets) = row.map_or((&values.fields, &values.sets), |row| (&row.fields, &row.sets));
        let mut object = Map::with_capacity(fields.len() + sets.len() + 1);
        if let Some(row) = row {
            object.insert(ROW_KEY.to_owned(), Json::from(row.id.to_string()));
        }
        for entry in self.outline(repeat) {
            match entry {
                Outline::Field(field) => {
                    let json = match (fields.get(&field.path), sets.get(&field.path)) {
                        (Some(scalar), _) => self.scalar_to_json(field, scalar),
                        (None, Some(chosen)) if !chosen.is_empty() => self.set_to_json(field, chosen),
                        _ => continue,
                    };
                    insert_nested(&mut object, inner(repeat, &field.path), json);
                }
                Outline::Repeat(path) => {
                    let rows = values.rows.get(path).map_or(&[][..], Vec::as_slice);
                    let rows: Vec<Json> = rows
                        .iter()
                        .filter(|child| child.parent == row.map(|row| row.id))
                        .map(|child| Json::Object(self.container_to_json(Some(path), values, Some(child))))
                        .collect();
                    if !rows.is_empty() {
                        insert_nested(&mut object, inner(repeat, path), Json::Array(rows));
                    }
                }
            }
        }
        object
    }

    /// The edits that make a new record of nested JSON values; rows get new ids (`_row` is ignored), calculated values
    /// are left out.
    ///
    /// # Errors
    /// [`ValueError`] naming the field that is unknown or has a wrong value; nothing is to be stored then.
    pub fn edits_from_json(&self, values: &Json, random: &dyn Random) -> Result<Vec<Edit>, ValueError> {
        let Json::Object(object) = values else {
            return Err(ValueError::about("values", MessageKey::NotAGroup, "values"));
        };
        let mut reader = Reader { form: self, random, edits: Vec::new(), rows: 0 };
        reader.object("", None, object, 0)?;
        Ok(reader.edits)
    }

    /// The edits that change a record with the values `current`: `set` maps paths to new answers (a select_multiple's
    /// is the whole list), `add` maps repeats to lists of new rows (of a nested repeat with `_parent`), `remove` maps
    /// repeats to lists of row ids.
    ///
    /// # Errors
    /// [`ValueError`] naming the path that is unknown or has a wrong value; nothing is to be stored then.
    pub fn edits_from_patch(
        &self,
        current: &Values,
        set: &Map<String, Json>,
        add: &Map<String, Json>,
        remove: &Map<String, Json>,
        random: &dyn Random,
    ) -> Result<Vec<Edit>, ValueError> {
        let mut reader = Reader { form: self, random, edits: Vec::new(), rows: 0 };
        for (text, json) in set {
            let path: FieldPath = text.parse().map_err(|_| ValueError::about(text, MessageKey::UnknownField, text))?;
            if path.row.as_ref().is_some_and(|(repeat, row)| current.row(repeat, *row).is_none()) {
                return Err(ValueError::about(text, MessageKey::WrongRow, text));
            }
            let before = chosen_before(current, &path);
            let answer = self.parse_answer(&path, json)?;
            push_answer(&mut reader.edits, path, answer, before);
        }
        for (repeat, rows) in add {
            for (row, parent) in self.rows_to_add(current, repeat, rows)? {
                reader.row(repeat, parent, row, 0)?;
            }
        }
        for (repeat, rows) in remove {
            self.require_free_rows(repeat)?;
            let rows = rows.as_array().ok_or_else(|| ValueError::about(repeat, MessageKey::NotRows, repeat))?;
            for row in rows {
                let id = row
                    .as_str()
                    .and_then(|text| text.parse::<RowId>().ok())
                    .filter(|id| current.row(repeat, *id).is_some())
                    .ok_or_else(|| ValueError::about(repeat, MessageKey::WrongRow, repeat))?;
                reader.edits.push(Edit::RemoveRow { repeat: repeat.clone(), row: id });
            }
        }
        Ok(reader.edits)
    }

    fn rows_to_add<'a>(&self, current: &Values, repeat: &str, rows: &'a Json) -> Result<Vec<NewRow<'a>>, ValueError> {
        self.require_free_rows(repeat)?;
        let rows = rows.as_array().ok_or_else(|| ValueError::about(repeat, MessageKey::NotRows, repeat))?;
        let enclosing = self.enclosing_repeat(repeat);
        rows.iter()
            .map(|row| {
                let row = row.as_object().ok_or_else(|| ValueError::about(repeat, MessageKey::NotRows, repeat))?;
                let Some(enclosing) = enclosing else { return Ok((row, None)) };
                let parent = row
                    .get(PARENT_KEY)
                    .and_then(Json::as_str)
                    .and_then(|text| text.parse::<RowId>().ok())
                    .filter(|id| current.row(enclosing, *id).is_some())
                    .ok_or_else(|| ValueError::about(repeat, MessageKey::WrongRow, format!("{repeat}/{PARENT_KEY}")))?;
                Ok((row, Some(parent)))
            })
            .collect()
    }

    /// The repeat exists, and its rows are added and removed by hand.
    pub(super) fn require_free_rows(&self, repeat: &str) -> Result<(), ValueError> {
        if !self.is_repeat(repeat) {
            return Err(ValueError::about(repeat, MessageKey::UnknownField, repeat));
        }
        if self.is_counted(repeat) { Err(ValueError::new(repeat, MessageKey::CountedRows)) } else { Ok(()) }
    }
}

fn chosen_before(values: &Values, path: &FieldPath) -> BTreeSet<String> {
    let sets = match &path.row {
        Some((repeat, row)) => values.row(repeat, *row).map(|row| &row.sets),
        None => Some(&values.sets),
    };
    sets.and_then(|sets| sets.get(&path.field)).cloned().unwrap_or_default()
}

/// Appends what turns `before` into `answer`.
pub(super) fn push_answer(edits: &mut Vec<Edit>, path: FieldPath, answer: Answer, before: BTreeSet<String>) {
    match answer {
        Answer::Scalar(value) => edits.push(Edit::Set { path, value }),
        Answer::Set(after) => {
            let changes = before.symmetric_difference(&after);
            edits.extend(changes.map(|choice| Edit::Choose {
                path: path.clone(),
                choice: choice.clone(),
                chosen: after.contains(choice),
            }));
        }
    }
}

/// The part of `path` below its container.
fn inner<'a>(repeat: Option<&str>, path: &'a str) -> &'a str {
    let rest = repeat.and_then(|repeat| path.strip_prefix(repeat)).unwrap_or(path);
    rest.strip_prefix('/').unwrap_or(rest)
}

fn insert_nested(object: &mut Map<String, Json>, path: &str, json: Json) {
    match path.split_once('/') {
        None => {
            object.insert(path.to_owned(), json);
        }
        Some((group, rest)) => {
            let entry = object.entry(group).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(inner) = entry {
                insert_nested(inner, rest, json);
            }
        }
    }
}

/// A canonical decimal as JSON number, if that number is written back as the same decimal.
fn decimal_json(text: &str, whole_too: bool) -> Option<Json> {
    if !whole_too && !text.contains('.') {
        return None;
    }
    if let Ok(whole) = text.parse::<i64>() {
        return (whole.unsigned_abs() < 1 << 53).then(|| Json::from(whole));
    }
    let number = serde_json::Number::from_f64(text.parse().ok()?)?;
    let back = super::answer::text::decimal(&number.to_string(), super::limits::DECIMAL_DIGITS_MAX)?;
    (back == text).then_some(Json::Number(number))
}

/// Walks nested JSON and collects edits.
struct Reader<'a> {
    form: &'a Form,
    random: &'a dyn Random,
    edits: Vec<Edit>,
    rows: usize,
}

impl Reader<'_> {
    fn object(
        &mut self,
        prefix: &str,
        row: Option<(&str, RowId)>,
        object: &Map<String, Json>,
        depth: usize,
    ) -> Result<(), ValueError> {
        for (key, json) in object {
            if row.is_some() && (key == ROW_KEY || key == PARENT_KEY) {
                continue;
            }
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}/{key}") };
            if depth == DEPTH_MAX {
                return Err(ValueError::about(&path, MessageKey::UnknownField, &path));
            }
            if let Some(field) = self.form.field(&path) {
                if !field.calculated {
                    self.answer(&path, row, json)?;
                }
            } else if self.form.is_repeat(&path) {
                let rows = json.as_array().ok_or_else(|| ValueError::about(&path, MessageKey::NotRows, &path))?;
                for json in rows {
                    let child = json.as_object().ok_or_else(|| ValueError::about(&path, MessageKey::NotRows, &path))?;
                    self.row(&path, row.map(|(_, id)| id), child, depth)?;
                }
            } else if self.form.is_group(&path) {
                let group = json.as_object().ok_or_else(|| ValueError::about(&path, MessageKey::NotAGroup, &path))?;
                self.object(&path, row, group, depth + 1)?;
            } else {
                return Err(ValueError::about(&path, MessageKey::UnknownField, &path));
            }
        }
        Ok(())
    }

    fn row(
        &mut self,
        repeat: &str,
        parent: Option<RowId>,
        row: &Map<String, Json>,
        depth: usize,
    ) -> Result<(), ValueError> {
        self.rows += 1;
        if self.rows > RECORD_ROWS_MAX {
            return Err(ValueError::about(repeat, MessageKey::TooManyRows, RECORD_ROWS_MAX));
        }
        let id = RowId::random(self.random);
        self.edits.push(Edit::AddRow { repeat: repeat.to_owned(), row: id, parent });
        self.object(repeat, Some((repeat, id)), row, depth + 1)
    }

    fn answer(&mut self, path: &str, row: Option<(&str, RowId)>, json: &Json) -> Result<(), ValueError> {
        let path = match row {
            Some((repeat, id)) => FieldPath::in_row(path, repeat, id),
            None => FieldPath::root(path),
        };
        match self.form.parse_answer(&path, json)? {
            Answer::Scalar(None) => {}
            answer => push_answer(&mut self.edits, path, answer, BTreeSet::new()),
        }
        Ok(())
    }
}
