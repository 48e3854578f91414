//! What a screen shows: a flat list of questions, groups, repeats and rows, in order, with everything resolved.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::FormSession;
use crate::forms::definition::{Choice, Field, FieldType, GroupItem, Labels, QuestionItem, RepeatItem, SurveyItem};
use crate::forms::evaluate::{ProblemKind, View};
use crate::forms::logic::schema::ScopeId;
use crate::forms::logic::tree::{BlockId, NodeId};
use crate::forms::path::FieldPath;
use crate::ids::RowId;

/// What an entry of the list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionKind {
    /// A question, or a note.
    Field,
    /// A heading; what follows with greater depth belongs to it.
    Group,
    /// A repeat: its rows follow, each with greater depth.
    Repeat,
    /// A row of the repeat before it.
    Row,
}

/// A choice that is offered now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedChoice {
    /// Name to store.
    pub name: String,
    /// Label in the session's language.
    pub label: String,
    /// File by kind (`image`, `audio`, …).
    pub media: BTreeMap<String, String>,
}

/// One entry of the list; what does not apply to its kind is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What it is.
    pub kind: QuestionKind,
    /// Path: of a field with its row, of a group or repeat without.
    pub path: String,
    /// The row that it lies in, or is.
    pub row: Option<RowId>,
    /// Nesting, from 0.
    pub depth: usize,
    /// Number of the screen page, from 0: a field-list shares one, every other question has its own.
    pub page: usize,
    /// Label in the session's language, its references filled in.
    pub label: String,
    /// Hint.
    pub hint: String,
    /// Longer guidance.
    pub guidance: String,
    /// Type of the answer; `None` for structure.
    pub field_type: Option<FieldType>,
    /// Type as the sheet writes it.
    pub sheet_type: String,
    /// Appearance.
    pub appearance: String,
    /// The sheet's `parameters`.
    pub parameters: BTreeMap<String, String>,
    /// File by kind.
    pub media: BTreeMap<String, String>,
    /// Choices that the filter offers now, in order.
    pub choices: Vec<OfferedChoice>,
    /// Must be answered.
    pub required: bool,
    /// Cannot be answered by hand.
    pub read_only: bool,
    /// The answer, as in exported JSON; `null` when there is none.
    pub value: Json,
    /// What is wrong with it, in the session's language.
    pub error: Option<(ProblemKind, String)>,
    /// Of a repeat: how many rows it shows. Of a row: its number, from 1.
    pub rows: usize,
    /// Of a repeat: the form decides the number of rows.
    pub counted: bool,
    /// What the number counts (`fen`).
    pub unit: Option<String>,
}

impl FormSession {
    fn view<T>(&self, look: impl FnOnce(View) -> T) -> T {
        self.form.with_surroundings(&self.time, &self.language, |surroundings| {
            look(View {
                form: &self.form,
                ran: &self.ran,
                surroundings,
                today: self.time.day(),
                language: &self.language,
            })
        })
    }

    /// What is wrong with the answer at `path` now, in the session's language.
    #[must_use]
    pub fn error(&self, path: &FieldPath) -> Option<(ProblemKind, String)> {
        let schema = &self.form.logic.schema;
        let (field, place) = (self.form.field(&path.field)?, schema.by_path(&path.field)?);
        let block = match &path.row {
            None => 0,
            Some((_, row)) => self.ran.tree.block_of_row(schema.node(place).scope, *row)?,
        };
        let node = self.ran.tree.node_in(schema, block, place);
        self.view(|view| view.problem(field, node, place))
    }

    /// Everything that is asked now, in order. What is not relevant is left out.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        self.view(|view| {
            let mut list = List { session: self, view, out: Vec::new(), page: 0, on_page: false };
            list.items(&self.form.definition().items, 0, 0);
            list.out
        })
    }
}

struct List<'a> {
    session: &'a FormSession,
    view: View<'a>,
    out: Vec<Question>,
    page: usize,
    /// Inside a field-list.
    on_page: bool,
}

fn is_field_list(appearance: Option<&str>) -> bool {
    appearance.is_some_and(|a| a.split_whitespace().any(|word| word == "field-list" || word == "table-list"))
}

impl List<'_> {
    fn items(&mut self, items: &[SurveyItem], block: BlockId, depth: usize) {
        for item in items {
            match item {
                SurveyItem::Question(item) => self.question(item, block, depth),
                SurveyItem::Group(group) => self.group(group, block, depth),
                SurveyItem::Repeat(repeat) => self.repeat(repeat, block, depth),
            }
        }
    }

    /// The node of `path` in `block`, if it lies there; a flat group has none.
    fn node(&self, path: &str, block: BlockId) -> Option<NodeId> {
        let schema = &self.session.form.logic.schema;
        let place = schema.by_path(path)?;
        let tree = &self.session.ran.tree;
        (schema.node(place).scope == tree.block(block).scope).then(|| tree.node_in(schema, block, place))
    }

    fn pick(&self, labels: &Labels, node: NodeId) -> String {
        let text = self.session.form.pick(labels, &self.session.language).unwrap_or_default();
        self.view.resolve(text, node)
    }

    fn media(&self, media: &BTreeMap<String, Labels>) -> BTreeMap<String, String> {
        let pick = |labels| self.session.form.pick(labels, &self.session.language);
        media.iter().filter_map(|(kind, labels)| Some((kind.clone(), pick(labels)?.to_owned()))).collect()
    }

    fn entry(&self, kind: QuestionKind, path: String, block: BlockId, depth: usize) -> Question {
        Question {
            kind,
            path,
            row: self.session.ran.tree.block(block).row,
            depth,
            page: self.page,
            label: String::new(),
            hint: String::new(),
            guidance: String::new(),
            field_type: None,
            sheet_type: String::new(),
            appearance: String::new(),
            parameters: BTreeMap::new(),
            media: BTreeMap::new(),
            choices: Vec::new(),
            required: false,
            read_only: false,
            value: Json::Null,
            error: None,
            rows: 0,
            counted: false,
            unit: None,
        }
    }

    fn group(&mut self, group: &GroupItem, block: BlockId, depth: usize) {
        let node = self.node(&group.path, block);
        if node.is_some_and(|node| !self.view.is_relevant(node)) {
            return;
        }
        let base = self.session.ran.tree.block(block).base;
        let mut entry = self.entry(QuestionKind::Group, group.path.clone(), block, depth);
        entry.label = self.pick(&group.label, node.unwrap_or(base));
        entry.appearance = group.appearance.clone().unwrap_or_default();
        self.out.push(entry);
        self.paged(group.appearance.as_deref(), |list| list.items(&group.items, block, depth + 1));
    }

    /// Runs `inner` on one page if the appearance asks for it.
    fn paged(&mut self, appearance: Option<&str>, inner: impl FnOnce(&mut Self)) {
        if self.on_page || !is_field_list(appearance) {
            inner(self);
            return;
        }
        self.on_page = true;
        inner(self);
        self.on_page = false;
        self.page += 1;
    }

    fn repeat(&mut self, repeat: &RepeatItem, block: BlockId, depth: usize) {
        let schema = &self.session.form.logic.schema;
        let Some(scope) = schema.scope_of_repeat(&repeat.path) else { return };
        let above = schema.scope(scope).nodes.first().and_then(|place| schema.node(*place).parent).unwrap_or(0);
        let above = self.session.ran.tree.node_in(schema, block, above);
        if !self.view.is_relevant(above) {
            return;
        }
        let rows = self.shown_rows(block, scope);
        let mut entry = self.entry(QuestionKind::Repeat, repeat.path.clone(), block, depth);
        entry.label = self.pick(&repeat.label, above);
        entry.appearance = repeat.appearance.clone().unwrap_or_default();
        entry.rows = rows.len();
        entry.counted = repeat.counted;
        self.out.push(entry);
        for (at, row) in rows.into_iter().enumerate() {
            let mut entry = self.entry(QuestionKind::Row, repeat.path.clone(), row, depth + 1);
            entry.rows = at + 1;
            entry.counted = repeat.counted;
            entry.label = self.pick(&repeat.label, self.session.ran.tree.block(row).base);
            self.out.push(entry);
            self.paged(repeat.appearance.as_deref(), |list| list.items(&repeat.items, row, depth + 2));
        }
    }

    fn shown_rows(&self, block: BlockId, scope: ScopeId) -> Vec<BlockId> {
        let tree = &self.session.ran.tree;
        let rows = tree.rows(block, scope).iter().copied();
        rows.filter(|row| self.view.is_relevant(tree.block(*row).base)).collect()
    }

    fn question(&mut self, item: &QuestionItem, block: BlockId, depth: usize) {
        let form = &self.session.form;
        let (Some(field), Some(node)) = (form.field(&item.path), self.node(&item.path, block)) else { return };
        if !self.view.is_relevant(node) {
            return;
        }
        let tree = &self.session.ran.tree;
        let path = match (&field.repeat, tree.block(block).row) {
            (Some(repeat), Some(row)) => FieldPath::in_row(&field.path, repeat, row),
            _ => FieldPath::root(&field.path),
        };
        let mut entry = self.entry(QuestionKind::Field, path.to_string(), block, depth);
        entry.label = self.pick(&field.label, node);
        entry.hint = self.pick(&item.hint, node);
        entry.guidance = self.pick(&item.guidance, node);
        entry.field_type = Some(field.field_type);
        entry.sheet_type.clone_from(&item.sheet_type);
        entry.appearance = item.appearance.clone().unwrap_or_default();
        entry.parameters.clone_from(&item.parameters);
        entry.media = self.media(&item.media);
        entry.choices = self.choices(field, node);
        entry.unit.clone_from(&field.unit);
        entry.value = self.value(field, node);
        self.rules(field, node, &mut entry);
        self.out.push(entry);
        if !self.on_page {
            self.page += 1;
        }
    }

    fn rules(&self, field: &Field, node: NodeId, entry: &mut Question) {
        let logic = &self.session.form.logic;
        let Some(place) = logic.schema.by_path(&field.path) else { return };
        let tree = &self.session.ran.tree;
        let holds = |code| logic.holds(tree, node, code, self.view.surroundings).unwrap_or(false);
        entry.required = logic.required.get(&place).is_some_and(holds);
        entry.read_only =
            field.calculated || field.field_type == FieldType::Note || logic.read_only.get(&place).is_some_and(holds);
        if field.field_type != FieldType::Note {
            entry.error = self.view.problem(field, node, place);
        }
    }

    fn value(&self, field: &Field, node: NodeId) -> Json {
        let form = &self.session.form;
        let text = self.session.ran.tree.text(node);
        if text.is_empty() {
            return Json::Null;
        }
        if field.field_type == FieldType::SelectMultiple {
            return form.set_to_json(field, &text.split_whitespace().map(str::to_owned).collect());
        }
        form.scalar_to_json(field, &crate::forms::evaluate::scalar(field, text))
    }

    fn choices(&self, field: &Field, node: NodeId) -> Vec<OfferedChoice> {
        let form = &self.session.form;
        let logic = &form.logic;
        let offered = |choice: &Choice| OfferedChoice {
            name: choice.name.clone(),
            label: self.pick(&choice.label, node),
            media: self.media(&choice.media),
        };
        let list = field.choice_list.as_ref().and_then(|list| form.definition().choices.get(list));
        let items = logic.schema.by_path(&field.path).and_then(|place| logic.item_sets.get(&place));
        let Some(items) = items else { return list.map(|list| list.iter().map(offered).collect()).unwrap_or_default() };
        let names = logic.offered(&self.session.ran.tree, node, items, self.view.surroundings).unwrap_or_default();
        let known = |name: &String| match form.choice(field, name) {
            Some(choice) => offered(choice),
            // Answers of a repeat are their own labels.
            None => OfferedChoice { name: name.clone(), label: name.clone(), media: BTreeMap::new() },
        };
        names.iter().map(known).collect()
    }
}
