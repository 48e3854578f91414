//! A compiled form, parsed once and shared: its definition with indexes, and its logic ready to run.

use std::collections::{HashMap, HashSet};

use minicbor::data::Type;
use serde_json::Value as Json;

use super::answer::{self, Answer, ValueError};
use super::catalogue::MessageKey;
use super::definition::{Choice, Field, FormDefinition, Labels, QuestionItem, SurveyItem};
use super::faults::{FaultKind, FormFault};
use super::limits::{DEPTH_MAX, FIELDS_MAX, FORM_CBOR_DEPTH_MAX};
use super::logic::Logic;
use super::path::FieldPath;
use crate::limits::FORM_BYTES_MAX;

/// Bytes of a form's XForm: it holds what the definition holds once more, as text.
const XFORM_BYTES_MAX: usize = 2 * FORM_BYTES_MAX;

/// An expression that this build cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRule {
    /// Path of the question, group or repeat that it belongs to.
    pub path: String,
    /// Column of the survey sheet that holds it.
    pub column: &'static str,
    /// Why.
    pub fault: FormFault,
}

/// What a container (the form, or a repeat's row) holds, in the order of the form.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outline<'a> {
    Field(&'a Field),
    Repeat(&'a str),
}

#[derive(Debug)]
enum OutlineIndex {
    Field(usize),
    Repeat(usize),
}

/// A compiled form. `Send` and `Sync`; share it as `Arc<Form>`.
#[derive(Debug)]
pub struct Form {
    definition: FormDefinition,
    fields: HashMap<String, usize>,
    repeats: HashMap<String, usize>,
    counted: HashSet<String>,
    groups: HashSet<String>,
    /// By container: `None` is the form itself.
    outlines: HashMap<Option<String>, Vec<OutlineIndex>>,
    choices: HashMap<String, HashMap<String, usize>>,
    /// Where each question stands among the items, by path.
    question_ways: HashMap<String, Vec<usize>>,
    pub(crate) logic: Logic,
}

impl Form {
    /// Indexes a definition and parses its logic. Expressions that this build cannot run do not fail here: they are
    /// listed by [`Form::broken_rules`], and what depends on them is reported as a problem of each record.
    ///
    /// # Errors
    /// [`FormFault`] when it is beyond a limit, or its XForm cannot be read or names fields that it does not define.
    pub fn new(definition: FormDefinition) -> Result<Form, FormFault> {
        if definition.fields.len() > FIELDS_MAX {
            return Err(FormFault::new(FaultKind::TooManyQuestions).with(FIELDS_MAX));
        }
        if definition.xform.len() > XFORM_BYTES_MAX {
            return Err(FormFault::new(FaultKind::LogicTooLarge).with(XFORM_BYTES_MAX));
        }
        let fields: HashMap<String, usize> =
            definition.fields.iter().enumerate().map(|(at, field)| (field.path.clone(), at)).collect();
        let repeats: HashMap<String, usize> =
            definition.repeats.iter().enumerate().map(|(at, (path, _))| (path.clone(), at)).collect();
        let mut counted = HashSet::new();
        collect_counted(&definition.items, &mut counted, 0)?;
        let choices = definition
            .choices
            .iter()
            .map(|(list, choices)| {
                (list.clone(), choices.iter().enumerate().rev().map(|(at, c)| (c.name.clone(), at)).collect())
            })
            .collect();
        let outlines = outlines(&definition, &repeats)?;
        let groups = groups(&definition);
        // The XForm comes from outside, and its reader is a library's.
        let logic = std::panic::catch_unwind(|| Logic::new(&definition))
            .map_err(|_| contradiction("its XForm cannot be read"))??;
        let mut question_ways = HashMap::new();
        ways(&definition.items, &mut Vec::new(), &mut question_ways);
        Ok(Form { definition, fields, repeats, counted, groups, outlines, choices, question_ways, logic })
    }

    /// From [`Form::to_bytes`].
    ///
    /// # Errors
    /// [`FormFault`] when the bytes are no form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Form, FormFault> {
        if bytes.len() > FORM_BYTES_MAX {
            return Err(FormFault::new(FaultKind::FormTooLarge).with(bytes.len()).with(FORM_BYTES_MAX));
        }
        // Decoding goes down with the groups: it must not be led to the end of the stack.
        if !nests_within(bytes, FORM_CBOR_DEPTH_MAX) {
            return Err(FormFault::new(FaultKind::NestsTooDeep).with(DEPTH_MAX));
        }
        let definition = minicbor::decode(bytes).map_err(|error| FormFault::new(FaultKind::NotAForm).with(error))?;
        Form::new(definition)
    }

    /// The definition as CBOR; the same definition always gives the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing into a Vec cannot fail.
        let _ = minicbor::encode(&self.definition, &mut bytes);
        bytes
    }

    /// What was compiled.
    #[must_use]
    pub fn definition(&self) -> &FormDefinition {
        &self.definition
    }

    /// The field at `path` (without rows), if the form has it.
    #[must_use]
    pub fn field(&self, path: &str) -> Option<&Field> {
        self.fields.get(path).and_then(|at| self.definition.fields.get(*at))
    }

    /// The form has a repeat at `path`.
    #[must_use]
    pub fn is_repeat(&self, path: &str) -> bool {
        self.repeats.contains_key(path)
    }

    /// The label of the repeat at `path` in `language`.
    #[must_use]
    pub fn repeat_label(&self, path: &str, language: &str) -> Option<&str> {
        fn find<'a>(items: &'a [SurveyItem], path: &str) -> Option<&'a Labels> {
            items.iter().find_map(|item| match item {
                SurveyItem::Repeat(repeat) if repeat.path == path => Some(&repeat.label),
                SurveyItem::Repeat(repeat) => find(&repeat.items, path),
                SurveyItem::Group(group) => find(&group.items, path),
                SurveyItem::Question(_) => None,
            })
        }
        self.pick(find(&self.definition.items, path)?, language)
    }

    /// The number of rows of the repeat at `path` is fixed by `repeat_count`.
    #[must_use]
    pub fn is_counted(&self, path: &str) -> bool {
        self.counted.contains(path)
    }

    /// The repeat that encloses the repeat at `path`.
    #[must_use]
    pub fn enclosing_repeat(&self, path: &str) -> Option<&str> {
        let at = self.repeats.get(path)?;
        self.definition.repeats.get(*at)?.1.as_deref()
    }

    /// Expressions that this build cannot run.
    #[must_use]
    pub fn broken_rules(&self) -> &[BrokenRule] {
        self.logic.broken()
    }

    /// Reads one answer from JSON into its canonical form.
    ///
    /// # Errors
    /// [`ValueError`] when the form has no such field or the answer breaks its type.
    pub fn parse_answer(&self, path: &FieldPath, json: &Json) -> Result<Answer, ValueError> {
        let field =
            self.field(&path.field).ok_or_else(|| ValueError::about(path, MessageKey::UnknownField, &path.field))?;
        if field.repeat.as_deref() != path.row.as_ref().map(|(repeat, _)| repeat.as_str()) {
            return Err(ValueError::about(path, MessageKey::WrongRow, path));
        }
        answer::parse(self, field, json).map_err(|message| ValueError { path: path.to_string(), message })
    }

    /// `name` is in the field's choice list. A list whose data file was not at hand when the form was compiled takes
    /// any name.
    pub(crate) fn has_choice(&self, field: &Field, name: &str) -> bool {
        let list = field.choice_list.as_ref().and_then(|list| self.choices.get(list));
        list.is_none_or(|names| names.contains_key(name))
    }

    pub(crate) fn choice_position(&self, field: &Field, name: &str) -> usize {
        let list = field.choice_list.as_ref().and_then(|list| self.choices.get(list));
        list.and_then(|names| names.get(name)).copied().unwrap_or(usize::MAX)
    }

    /// The field's choices are known.
    pub(crate) fn has_list(&self, field: &Field) -> bool {
        field.choice_list.as_ref().is_some_and(|list| self.choices.contains_key(list))
    }

    pub(crate) fn choice(&self, field: &Field, name: &str) -> Option<&Choice> {
        let list = field.choice_list.as_ref()?;
        let at = self.choices.get(list)?.get(name)?;
        self.definition.choices.get(list)?.get(*at)
    }

    /// What a screen shows for the field at `path`.
    pub(crate) fn question_item(&self, path: &str) -> Option<&QuestionItem> {
        let way = self.question_ways.get(path)?;
        let mut items = &self.definition.items;
        let (last, above) = way.split_last()?;
        for at in above {
            items = match items.get(*at)? {
                SurveyItem::Group(group) => &group.items,
                SurveyItem::Repeat(repeat) => &repeat.items,
                SurveyItem::Question(_) => return None,
            };
        }
        match items.get(*last)? {
            SurveyItem::Question(question) => Some(question),
            _ => None,
        }
    }

    pub(crate) fn is_group(&self, path: &str) -> bool {
        self.groups.contains(path)
    }

    pub(crate) fn outline(&self, container: Option<&str>) -> impl Iterator<Item = Outline<'_>> {
        let entries = self.outlines.get(&container.map(str::to_owned)).map_or(&[][..], Vec::as_slice);
        entries.iter().filter_map(|entry| match entry {
            OutlineIndex::Field(at) => self.definition.fields.get(*at).map(Outline::Field),
            OutlineIndex::Repeat(at) => self.definition.repeats.get(*at).map(|(path, _)| Outline::Repeat(path)),
        })
    }

    /// The text of `labels` in `language`, else in zh-Hans, else in the form's first language that has one.
    #[must_use]
    pub fn pick<'a>(&self, labels: &'a Labels, language: &str) -> Option<&'a str> {
        let in_order = [language, "zh-Hans"].into_iter().chain(self.definition.languages.iter().map(String::as_str));
        let found = in_order.filter_map(|language| labels.get(language)).find(|text| !text.is_empty());
        found.or_else(|| labels.values().find(|text| !text.is_empty())).map(String::as_str)
    }

    /// The language that records are evaluated in: zh-Hans if the form has it, else its first.
    #[must_use]
    pub fn default_language(&self) -> &str {
        let languages = &self.definition.languages;
        languages.iter().find(|l| *l == "zh-Hans").or(languages.first()).map_or("default", String::as_str)
    }
}

/// What only a mistake of ours, or of somebody who makes forms by hand, can cause.
pub(crate) fn contradiction(what: impl std::fmt::Display) -> FormFault {
    FormFault::new(FaultKind::Contradiction).with(what)
}

/// At most `max` arrays and maps are open at once in the first CBOR item of `bytes`, or before it breaks off.
fn nests_within(bytes: &[u8], max: usize) -> bool {
    let mut decoder = minicbor::Decoder::new(bytes);
    // Items that are still to come in each open array or map.
    let mut open: Vec<u64> = Vec::new();
    loop {
        let inside = match decoder.datatype() {
            Ok(Type::Array) => decoder.array(),
            Ok(Type::Map) => decoder.map().map(|pairs| pairs.map(|pairs| pairs.saturating_mul(2))),
            Ok(Type::Tag) => decoder.tag().map(|_| Some(1)),
            // Nothing that this app writes has an open end.
            Ok(Type::ArrayIndef | Type::MapIndef) => return false,
            Ok(_) => decoder.skip().map(|()| Some(0)),
            Err(_) => return true,
        };
        let Ok(Some(inside)) = inside else { return true };
        if open.len() >= max && inside > 0 {
            return false;
        }
        open.push(inside);
        while open.last() == Some(&0) {
            open.pop();
        }
        match open.last_mut() {
            Some(left) => *left -= 1,
            None => return true,
        }
    }
}

fn collect_counted(items: &[SurveyItem], counted: &mut HashSet<String>, depth: usize) -> Result<(), FormFault> {
    if depth > DEPTH_MAX {
        return Err(FormFault::new(FaultKind::NestsTooDeep).with(DEPTH_MAX));
    }
    for item in items {
        match item {
            SurveyItem::Question(_) => {}
            SurveyItem::Group(group) => collect_counted(&group.items, counted, depth + 1)?,
            SurveyItem::Repeat(repeat) => {
                if repeat.counted {
                    counted.insert(repeat.path.clone());
                }
                collect_counted(&repeat.items, counted, depth + 1)?;
            }
        }
    }
    Ok(())
}

fn outlines(
    definition: &FormDefinition,
    repeats: &HashMap<String, usize>,
) -> Result<HashMap<Option<String>, Vec<OutlineIndex>>, FormFault> {
    let mut outlines: HashMap<Option<String>, Vec<OutlineIndex>> = HashMap::new();
    let mut listed = vec![false; definition.repeats.len()];
    for (at, field) in definition.fields.iter().enumerate() {
        if let Some(repeat) = &field.repeat {
            let index = repeats
                .get(repeat)
                .ok_or_else(|| contradiction(format!("{} lies in {repeat}, which is no repeat", field.path)))?;
            list_repeat(definition, repeats, *index, &mut listed, &mut outlines, 0)?;
        }
        outlines.entry(field.repeat.clone()).or_default().push(OutlineIndex::Field(at));
    }
    for index in 0..definition.repeats.len() {
        list_repeat(definition, repeats, index, &mut listed, &mut outlines, 0)?;
    }
    Ok(outlines)
}

fn list_repeat(
    definition: &FormDefinition,
    repeats: &HashMap<String, usize>,
    index: usize,
    listed: &mut [bool],
    outlines: &mut HashMap<Option<String>, Vec<OutlineIndex>>,
    depth: usize,
) -> Result<(), FormFault> {
    let (Some((path, parent)), Some(seen)) = (definition.repeats.get(index), listed.get_mut(index)) else {
        return Ok(());
    };
    if *seen {
        return Ok(());
    }
    *seen = true;
    if let Some(parent) = parent {
        let parent = repeats
            .get(parent)
            .filter(|_| depth <= DEPTH_MAX && path.starts_with(&format!("{parent}/")))
            .ok_or_else(|| contradiction(format!("the repeat {path} does not lie in {parent}")))?;
        list_repeat(definition, repeats, *parent, listed, outlines, depth + 1)?;
    }
    outlines.entry(parent.clone()).or_default().push(OutlineIndex::Repeat(index));
    Ok(())
}

/// Every path above a field or repeat that is no repeat itself.
fn groups(definition: &FormDefinition) -> HashSet<String> {
    let paths = definition.fields.iter().map(|f| &f.path).chain(definition.repeats.iter().map(|(path, _)| path));
    let mut groups = HashSet::new();
    for path in paths {
        for (at, _) in path.match_indices('/') {
            groups.insert(path[..at].to_owned());
        }
    }
    for (path, _) in &definition.repeats {
        groups.remove(path);
    }
    groups
}

fn ways(items: &[SurveyItem], above: &mut Vec<usize>, found: &mut HashMap<String, Vec<usize>>) {
    for (at, item) in items.iter().enumerate() {
        above.push(at);
        match item {
            SurveyItem::Question(question) => {
                found.insert(question.path.clone(), above.clone());
            }
            SurveyItem::Group(group) => ways(&group.items, above, found),
            SurveyItem::Repeat(repeat) => ways(&repeat.items, above, found),
        }
        above.pop();
    }
}
