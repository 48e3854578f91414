//! A form's rules run over one record: what is shown, and what is wrong.

#[cfg(test)]
#[cfg(feature = "xlsform")]
mod tests;

use super::answer::time;
use super::catalogue::{Message, MessageKey};
use super::checks;
use super::definition::{Check, Field, FieldType, Labels, QuestionItem};
use super::faults::FormFault;
use super::form::Form;
use super::limits::REFERENCED_BYTES_MAX;
use super::logic::schema::SchemaId;
use super::logic::tree::{BlockId, NodeId};
use super::logic::{Ran, Surroundings};
use super::path::FieldPath;
use super::references;
use super::values::{Row, Scalar, Values};
use crate::ids::RecordId;

/// When and where a record is evaluated: `now()` is the time of its latest change, never the day of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalTime {
    /// Seconds since 1970-01-01 UTC; shown in Asia/Shanghai (+08:00, no daylight saving).
    pub time_s: i64,
    /// Text that names the record: values drawn at random belong to it.
    pub record: String,
}

impl EvalTime {
    /// For a record whose latest change was made at `time_s` (seconds since 1970-01-01 UTC).
    #[must_use]
    pub fn new(time_s: i64, record: &RecordId) -> Self {
        Self { time_s, record: record.to_string() }
    }

    /// Days from 1970-01-01 to the day in Asia/Shanghai.
    pub(crate) fn day(&self) -> i64 {
        (self.time_s + time::ZONE_OFFSET_S).div_euclid(86_400)
    }
}

/// Which rule an answer breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// Must be answered and is not.
    Required,
    /// Breaks the form's constraint, or a choice does not fit the other answers.
    Constraint,
    /// Fails its `fb:check`.
    Check,
    /// A rule of the form cannot be computed.
    Logic,
}

/// One thing that is wrong with a record; while there is any, it cannot be approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: FieldPath,
    /// Which rule.
    pub kind: ProblemKind,
    /// What to tell the user, in the language of the evaluation.
    pub message: String,
}

/// What a form says about a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Relevant answers and calculated values.
    pub shown: Values,
    /// What is wrong, in the order of the form.
    pub problems: Vec<Problem>,
}

impl Form {
    /// Runs the form's rules over `values`, with messages in the form's default language.
    #[must_use]
    pub fn evaluate(&self, values: &Values, time: EvalTime) -> Evaluation {
        self.evaluate_in(values, &time, self.default_language())
    }

    /// As [`Form::evaluate`], with messages in `language` (falling back to zh-Hans, then to the form's first).
    #[must_use]
    pub fn evaluate_in(&self, values: &Values, time: &EvalTime, language: &str) -> Evaluation {
        self.with_surroundings(time, language, |surroundings| {
            let ran = self.logic.run(values, surroundings);
            let view = View { form: self, ran: &ran, surroundings, today: time.day(), language };
            Evaluation { shown: view.shown(), problems: view.problems() }
        })
    }

    pub(crate) fn with_surroundings<T>(
        &self,
        time: &EvalTime,
        language: &str,
        run: impl FnOnce(&Surroundings) -> T,
    ) -> T {
        let choice_label = |path: &str, name: &str| self.choice_label(path, name, language);
        let text = |id: &str| self.text_of(id, language);
        run(&Surroundings { time_s: time.time_s, record: &time.record, choice_label: &choice_label, text: &text })
    }

    /// The text that an XForm calls `id`: a choice (`list-0`) or a question's label (`/data/question:label`).
    fn text_of(&self, id: &str, language: &str) -> String {
        let labels = match id.strip_suffix(":label") {
            Some(xpath) => {
                let place = self.logic.schema.by_xpath(xpath).map(|place| &self.logic.schema.node(place).path);
                place.and_then(|path| self.field(path)).map(|field| &field.label)
            }
            None => {
                let (list, at) = id.rsplit_once('-').unwrap_or((id, ""));
                let list = self.definition().choices.get(list);
                list.and_then(|list| list.get(at.parse::<usize>().ok()?)).map(|choice| &choice.label)
            }
        };
        labels.and_then(|labels| self.pick(labels, language)).unwrap_or_default().to_owned()
    }

    /// Label of the choice `name` of the question at `path`; the name itself where there is none.
    pub(crate) fn choice_label(&self, path: &str, name: &str, language: &str) -> String {
        let choice = self.field(path).and_then(|field| self.choice(field, name));
        choice.and_then(|choice| self.pick(&choice.label, language)).unwrap_or(name).to_owned()
    }
}

/// A record with the rules run over it.
pub(crate) struct View<'a> {
    pub form: &'a Form,
    pub ran: &'a Ran,
    pub surroundings: &'a Surroundings<'a>,
    pub today: i64,
    pub language: &'a str,
}

impl View<'_> {
    pub(crate) fn is_relevant(&self, node: NodeId) -> bool {
        let logic = &self.form.logic;
        self.ran.tree.is_relevant(&logic.schema, node, &logic.guards)
    }

    /// Every place of `field` with its block and node; relevant or not.
    fn places(&self, field: &Field) -> Vec<(BlockId, NodeId, SchemaId)> {
        let schema = &self.form.logic.schema;
        let Some(place) = schema.by_path(&field.path) else { return Vec::new() };
        let blocks = self.ran.tree.by_scope.get(schema.node(place).scope as usize).map_or(&[][..], Vec::as_slice);
        blocks.iter().map(|block| (*block, self.ran.tree.node_in(schema, *block, place), place)).collect()
    }

    fn path(&self, field: &Field, block: BlockId) -> FieldPath {
        match (&field.repeat, self.ran.tree.block(block).row) {
            (Some(repeat), Some(row)) => FieldPath::in_row(&field.path, repeat, row),
            _ => FieldPath::root(&field.path),
        }
    }

    /// Relevant answers and calculated values.
    fn shown(&self) -> Values {
        let mut shown = Values::default();
        let schema = &self.form.logic.schema;
        let tree = &self.ran.tree;
        // Place of each block's row in `shown`.
        let mut rows: Vec<Option<usize>> = vec![None; tree.blocks.len()];
        for (path, _) in &self.form.definition().repeats {
            let Some(scope) = schema.scope_of_repeat(path) else { continue };
            let list = shown.rows.entry(path.clone()).or_default();
            for block in tree.by_scope.get(scope as usize).map_or(&[][..], Vec::as_slice) {
                let place = tree.block(*block);
                if let (Some(row), true) = (place.row, self.is_relevant(place.base)) {
                    rows[*block as usize] = Some(list.len());
                    list.push(Row::new(row, tree.block(place.parent).row));
                }
            }
        }
        shown.rows.retain(|_, rows| !rows.is_empty());
        for field in &self.form.definition().fields {
            for (block, node, _) in self.places(field) {
                if tree.text(node).is_empty() || !self.is_relevant(node) {
                    continue;
                }
                let row = match &field.repeat {
                    None => None,
                    Some(repeat) => match rows[block as usize].and_then(|at| shown.rows.get_mut(repeat)?.get_mut(at)) {
                        Some(row) => Some(row),
                        None => continue,
                    },
                };
                let (fields, sets) = match row {
                    Some(row) => (&mut row.fields, &mut row.sets),
                    None => (&mut shown.fields, &mut shown.sets),
                };
                if field.field_type == FieldType::SelectMultiple {
                    let chosen = tree.text(node).split_whitespace().map(str::to_owned).collect();
                    sets.insert(field.path.clone(), chosen);
                } else {
                    fields.insert(field.path.clone(), scalar(field, tree.text(node)));
                }
            }
        }
        shown
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for field in &self.form.definition().fields {
            if field.field_type == FieldType::Note {
                continue;
            }
            for (block, node, place) in self.places(field) {
                if let Some((kind, message)) = self.problem(field, node, place) {
                    problems.push(Problem { path: self.path(field, block), kind, message });
                }
            }
        }
        for (node, why) in &self.ran.failures {
            let tree = &self.ran.tree;
            let place = self.form.logic.schema.node(tree.schema_id(&self.form.logic.schema, *node));
            let row = tree.block(tree.block_of[*node as usize]);
            let repeat = &self.form.logic.schema.scope(row.scope).path;
            let path = match row.row {
                Some(id) => FieldPath::in_row(&place.path, repeat, id),
                None => FieldPath::root(&place.path),
            };
            problems.push(Problem { path, kind: ProblemKind::Logic, message: self.logic(why) });
        }
        problems
    }

    fn logic(&self, why: &FormFault) -> String {
        self.say(&Message::about(MessageKey::Logic, why.text(self.language)))
    }

    fn say(&self, message: &Message) -> String {
        message.text(self.language)
    }

    /// The first thing that is wrong with the answer at `node`.
    pub(crate) fn problem(&self, field: &Field, node: NodeId, place: SchemaId) -> Option<(ProblemKind, String)> {
        let logic = &self.form.logic;
        let tree = &self.ran.tree;
        let text = tree.text(node);
        let rule = if text.is_empty() { logic.required.get(&place) } else { logic.constraints.get(&place) };
        let needs_look = rule.is_some()
            || (!text.is_empty() && (field.check.is_some() || logic.item_sets.get(&place).is_some_and(|i| i.filtered)))
            || matches!(field.path.rsplit('/').next(), Some("sex" | "birth_date"));
        if !needs_look || !self.is_relevant(node) {
            return None;
        }
        if let Some(code) = rule {
            match logic.holds(tree, node, code, self.surroundings) {
                Err(why) => return Some((ProblemKind::Logic, self.logic(&why))),
                Ok(required) if text.is_empty() => {
                    return required.then(|| (ProblemKind::Required, self.own_message(field, node, true)));
                }
                Ok(false) => return Some((ProblemKind::Constraint, self.own_message(field, node, false))),
                Ok(true) => {}
            }
        }
        if text.is_empty() {
            return None;
        }
        let check = field.check.and_then(|check| checks::verify(check, text, self.today));
        if let Some(message) = check.or_else(|| self.id_mismatch(field, node)) {
            return Some((ProblemKind::Check, self.say(&message)));
        }
        self.unoffered(field, node, place).map(|message| (ProblemKind::Constraint, self.say(&message)))
    }

    /// The form's own message, else the catalogue's.
    fn own_message(&self, field: &Field, node: NodeId, required: bool) -> String {
        let key = if required { MessageKey::Required } else { MessageKey::Constraint };
        let labels = self
            .form
            .question_item(&field.path)
            .map(|item: &QuestionItem| if required { &item.required_message } else { &item.constraint_message });
        match labels.and_then(|labels: &Labels| self.form.pick(labels, self.language)) {
            Some(text) => self.resolve(text, node),
            None => self.say(&Message::new(key)),
        }
    }

    /// A text with its `${…}` replaced by what they mean at `node`.
    pub(crate) fn resolve(&self, text: &str, node: NodeId) -> String {
        let mut room = REFERENCED_BYTES_MAX;
        references::replace(text, |name| {
            if room == 0 {
                return String::new();
            }
            let mut value = self.form.logic.referenced(&self.ran.tree, node, name.trim(), self.surroundings);
            value.truncate(value.floor_char_boundary(room));
            room -= value.len();
            value
        })
    }

    /// A chosen name that the choice filter does not offer now.
    fn unoffered(&self, field: &Field, node: NodeId, place: SchemaId) -> Option<Message> {
        let items = self.form.logic.item_sets.get(&place).filter(|items| items.filtered)?;
        let offered = self.form.logic.offered(&self.ran.tree, node, items, self.surroundings).ok()?;
        // A data file that was not at hand offers nothing and takes anything.
        if offered.is_empty() && !self.form.has_list(field) {
            return None;
        }
        let mut chosen = match field.field_type {
            FieldType::SelectOne => vec![self.ran.tree.text(node)],
            _ => self.ran.tree.text(node).split_whitespace().collect(),
        };
        chosen.retain(|name| !offered.iter().any(|offer| offer == name));
        let label = self.form.choice_label(&field.path, chosen.first()?, self.language);
        Some(Message::about(MessageKey::ChoiceFiltered, label))
    }

    /// `sex` and `birth_date` beside an ID number must agree with it.
    fn id_mismatch(&self, field: &Field, node: NodeId) -> Option<Message> {
        let (group, name) = field.path.rsplit_once('/').unwrap_or(("", &field.path));
        if !matches!(name, "sex" | "birth_date") {
            return None;
        }
        let beside = self.form.id_number_beside(group)?;
        let schema = &self.form.logic.schema;
        let place = schema.by_path(&beside.path)?;
        let id = self.ran.tree.node_in(schema, self.ran.tree.block_of[node as usize], place);
        if !self.is_relevant(id) {
            return None;
        }
        let facts = checks::id_number(self.ran.tree.text(id), self.today).ok()?;
        let text = self.ran.tree.text(node);
        match name {
            "sex" => self
                .form
                .sex_choice(field, facts.male)
                .is_some_and(|expected| expected != text)
                .then(|| Message::new(MessageKey::IdNumberSex)),
            _ => (facts.birth_date() != text).then(|| Message::new(MessageKey::IdNumberBirth)),
        }
    }
}

/// The value of a text that an expression yielded or an answer holds.
pub(crate) fn scalar(field: &Field, text: &str) -> Scalar {
    let whole = matches!(field.field_type, FieldType::Integer)
        || (field.field_type == FieldType::Calculate && is_plain_integer(text));
    match text.parse() {
        Ok(number) if whole => Scalar::Integer(number),
        _ => Scalar::Text(text.to_owned()),
    }
}

/// Digits that mean a number: no leading zero (codes have them), at most 15 (longer ones are numbers of things).
fn is_plain_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.len() <= 15 && digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'))
}

impl Form {
    /// The field with the ID-number check in the same group.
    pub(crate) fn id_number_beside(&self, group: &str) -> Option<&Field> {
        let in_group = |path: &str| path.rsplit_once('/').map_or("", |(above, _)| above) == group;
        self.definition().fields.iter().find(|field| field.check == Some(Check::IdNumber) && in_group(&field.path))
    }

    /// The choice that means this sex in a `sex` field: `1`/`2` of GB/T 2261.1, or `male`/`female`, or 男/女.
    pub(crate) fn sex_choice(&self, field: &Field, male: bool) -> Option<&'static str> {
        let names: &[&'static str] = if male { &["1", "male", "男", "m"] } else { &["2", "female", "女", "f"] };
        if field.choice_list.is_none() {
            return names.get(2).copied();
        }
        names.iter().copied().find(|name| self.choice(field, name).is_some())
    }
}
