//! What the form fills by itself: defaults, times, properties of the app, values drawn once, rows of counted repeats,
//! what a change triggers, and what an ID number says.

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::FormSession;
use crate::forms::answer::{Answer, time};
use crate::forms::checks;
use crate::forms::definition::{Check, FieldType};
use crate::forms::logic::schema::{SchemaId, ScopeId};
use crate::forms::logic::tree::NodeId;
use crate::forms::logic::{Action, Surroundings};
use crate::forms::path::FieldPath;
use crate::forms::values::{Edit, Scalar};
use crate::ids::RowId;
use crate::limits::RECORD_ROWS_MAX;

/// Rounds in which values that the form fills may bring about others.
const ROUNDS_MAX: usize = 8;

impl FormSession {
    /// Runs the rules, and fills what they bring about, until nothing changes.
    pub(super) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let form = self.form.clone();
            self.ran = form.with_surroundings(&self.time, &self.language, |surroundings| {
                form.logic.run(&self.values, surroundings)
            });
            let rows = self.add_counted_rows();
            let drawn = self.fill_stored();
            if !rows && !drawn {
                return;
            }
        }
    }

    /// Static and dynamic defaults, and what the app knows, outside repeats.
    pub(super) fn fill_new_record(&mut self) {
        self.fill_static(0, None);
        self.fill_preloads(0, None);
        self.run_rules();
        let form = self.form.clone();
        for action in &form.logic.on_first_load {
            if form.logic.schema.node(action.target).scope == 0 {
                self.act(action, None, true);
            }
        }
    }

    fn run_rules(&mut self) {
        let form = self.form.clone();
        self.ran = form
            .with_surroundings(&self.time, &self.language, |surroundings| form.logic.run(&self.values, surroundings));
    }

    /// A new row with its defaults.
    pub(super) fn make_row(&mut self, repeat: &str, parent: Option<RowId>, row: RowId) {
        self.values.apply(&Edit::AddRow { repeat: repeat.to_owned(), row, parent });
        let form = self.form.clone();
        let Some(scope) = form.logic.schema.scope_of_repeat(repeat) else { return };
        self.fill_static(scope, Some(row));
        self.fill_preloads(scope, Some(row));
        if let Some(actions) = form.logic.on_new_row.get(&scope) {
            self.run_rules();
            for action in actions {
                self.act(action, Some((scope, row)), true);
            }
        }
    }

    fn fill_static(&mut self, scope: ScopeId, row: Option<RowId>) {
        let form = self.form.clone();
        let schema = &form.logic.schema;
        for place in &schema.scope(scope).nodes {
            let node = schema.node(*place);
            if node.children.is_empty() && !node.initial.is_empty() {
                self.put_text(*place, row, &node.initial, true);
            }
        }
    }

    fn fill_preloads(&mut self, scope: ScopeId, row: Option<RowId>) {
        let form = self.form.clone();
        for preload in &form.logic.preloads {
            if form.logic.schema.node(preload.target).scope != scope {
                continue;
            }
            let text = match (preload.kind.as_str(), preload.parameter.as_str()) {
                ("date", _) => time::date_text(self.time.time_s),
                ("timestamp", _) => time::date_time_text(self.time.time_s),
                (_, property) => {
                    let name = property.strip_prefix("uri:").unwrap_or(property);
                    self.properties.get(name).cloned().unwrap_or_default()
                }
            };
            self.put_text(preload.target, row, &text, true);
        }
    }

    /// The form's `end` question takes the time of the save.
    pub(super) fn fill_end_time(&mut self) {
        let form = self.form.clone();
        for preload in &form.logic.preloads {
            if preload.kind == "timestamp"
                && preload.parameter == "end"
                && form.logic.schema.node(preload.target).scope == 0
            {
                self.put_text(preload.target, None, &time::date_time_text(self.time.time_s), false);
            }
        }
    }

    /// Writes a text that the form yields into a stored field, canonical; what breaks the field's type is left out.
    /// Yields whether the answer changed.
    fn put_text(&mut self, place: SchemaId, row: Option<RowId>, text: &str, only_empty: bool) -> bool {
        let form = self.form.clone();
        let node = form.logic.schema.node(place);
        let path = match row {
            Some(row) => FieldPath::in_row(&node.path, &form.logic.schema.scope(node.scope).path, row),
            None => FieldPath::root(&node.path),
        };
        let before = self.answer(&path);
        if only_empty && (before.is_some() || text.is_empty()) {
            return false;
        }
        // Defaults of numbers and dates may carry blanks or a time; type them as a user would.
        let json = Json::from(text);
        let Ok(answer) = form.parse_answer(&path, &json) else { return false };
        self.write(&path, answer);
        self.answer(&path) != before
    }

    /// The answer at `path`, if there is one.
    fn answer(&self, path: &FieldPath) -> Option<Answer> {
        let (fields, sets) = match &path.row {
            None => (&self.values.fields, &self.values.sets),
            Some((repeat, row)) => {
                let row = self.values.row(repeat, *row)?;
                (&row.fields, &row.sets)
            }
        };
        let scalar = fields.get(&path.field).map(|scalar| Answer::Scalar(Some(scalar.clone())));
        scalar.or_else(|| sets.get(&path.field).map(|set| Answer::Set(set.clone())))
    }

    /// Runs an action for its targets: in the row `row`, or everywhere that the row does not decide.
    fn act(&mut self, action: &Action, row: Option<(ScopeId, RowId)>, only_empty: bool) {
        let form = self.form.clone();
        let schema = &form.logic.schema;
        let scope = schema.node(action.target).scope;
        let block = row.and_then(|(scope, row)| self.ran.tree.block_of_row(scope, row)).unwrap_or(0);
        // The target in the same row, in a row around it, or in all rows inside it.
        let mut blocks = vec![block];
        while self.ran.tree.block(blocks[0]).scope != scope && blocks[0] != 0 {
            blocks[0] = self.ran.tree.block(blocks[0]).parent;
        }
        if self.ran.tree.block(blocks[0]).scope != scope {
            blocks = self.ran.tree.by_scope.get(scope as usize).cloned().unwrap_or_default();
        }
        for block in blocks {
            let node = self.ran.tree.node_in(schema, block, action.target);
            let text = match &action.value {
                None => String::new(),
                Some(code) => {
                    let run = |s: &Surroundings| form.logic.compute(&self.ran.tree, node, code, s);
                    // A value that cannot be computed fills nothing; `form check` has told its author.
                    let Ok(text) = form.with_surroundings(&self.time, &self.language, run) else { continue };
                    text
                }
            };
            self.put_text(action.target, self.ran.tree.block(block).row, &text, only_empty);
        }
    }

    /// What an answer brings about before the rules run.
    pub(super) fn after_change(&mut self, path: &FieldPath) {
        let form = self.form.clone();
        if form.field(&path.field).is_some_and(|field| field.check == Some(Check::IdNumber)) {
            self.fill_from_id_number(path);
        }
        let Some(place) = form.logic.schema.by_path(&path.field) else { return };
        let Some(actions) = form.logic.on_change.get(&place) else { return };
        self.run_rules();
        let row = path.row.as_ref().map(|(_, row)| (form.logic.schema.node(place).scope, *row));
        for action in actions {
            self.act(action, row, false);
        }
    }

    /// Calculations that are made once and stored; yields whether any was filled.
    fn fill_stored(&mut self) -> bool {
        let form = self.form.clone();
        let schema = &form.logic.schema;
        let mut found: Vec<(SchemaId, Option<RowId>, String)> = Vec::new();
        for action in &form.logic.stored {
            let Some(code) = &action.value else { continue };
            let scope = schema.node(action.target).scope;
            for block in self.ran.tree.by_scope.get(scope as usize).map_or(&[][..], Vec::as_slice) {
                let node: NodeId = self.ran.tree.node_in(schema, *block, action.target);
                if !self.ran.tree.text(node).is_empty() || !self.ran.tree.is_relevant(schema, node, &form.logic.guards)
                {
                    continue;
                }
                let run = |s: &Surroundings| form.logic.compute(&self.ran.tree, node, code, s);
                if let Ok(text) = form.with_surroundings(&self.time, &self.language, run) {
                    found.push((action.target, self.ran.tree.block(*block).row, text));
                }
            }
        }
        let mut changed = false;
        for (place, row, text) in found {
            changed |= self.put_text(place, row, &text, true);
        }
        changed
    }

    /// Rows that `repeat_count` asks for; yields whether any was added. Their ids follow from the record and their
    /// number, so that two phones make the same rows.
    fn add_counted_rows(&mut self) -> bool {
        let form = self.form.clone();
        let schema = &form.logic.schema;
        let mut missing = Vec::new();
        for (block, scope, wanted) in &self.ran.counts {
            let repeat = &schema.scope(*scope).path;
            let parent = self.ran.tree.block(*block).row;
            let have =
                self.values.rows.get(repeat).map_or(0, |rows| rows.iter().filter(|r| r.parent == parent).count());
            missing.extend((have..*wanted).map(|number| (repeat.clone(), parent, number)));
        }
        let mut added = false;
        for (repeat, parent, number) in missing {
            if self.row_count() >= RECORD_ROWS_MAX {
                break;
            }
            let mut salt = 0;
            let mut row = self.counted_row(&repeat, parent, number, salt);
            while self.values.row(&repeat, row).is_some() {
                salt += 1;
                row = self.counted_row(&repeat, parent, number, salt);
            }
            self.make_row(&repeat, parent, row);
            added = true;
        }
        added
    }

    fn counted_row(&self, repeat: &str, parent: Option<RowId>, number: usize, salt: usize) -> RowId {
        let parent = parent.map_or(String::new(), |parent| parent.to_string());
        let seed = format!("fieldbook row\0{}\0{repeat}\0{parent}\0{number}\0{salt}", self.time.record);
        let mut id = [0; 8];
        id.copy_from_slice(&Sha256::digest(seed)[..8]);
        RowId(id)
    }

    /// Sex and date of birth beside a valid ID number, where they are empty or an ID number filled them before.
    fn fill_from_id_number(&mut self, path: &FieldPath) {
        let Some(Answer::Scalar(Some(Scalar::Text(number)))) = self.answer(path) else { return };
        let Ok(facts) = checks::id_number(&number, self.time.day()) else { return };
        let form = self.form.clone();
        let group = path.field.rsplit_once('/').map_or(String::new(), |(group, _)| format!("{group}/"));
        for name in ["sex", "birth_date"] {
            let Some(field) = form.field(&format!("{group}{name}")) else { continue };
            if field.repeat.as_deref() != path.row.as_ref().map(|(repeat, _)| repeat.as_str()) {
                continue;
            }
            let text = match (name, field.field_type) {
                ("sex", FieldType::SelectOne | FieldType::Text) => {
                    form.sex_choice(field, facts.male).map(str::to_owned)
                }
                ("birth_date", FieldType::Date | FieldType::Text) => Some(facts.birth_date()),
                _ => None,
            };
            let beside = FieldPath { field: field.path.clone(), row: path.row.clone() };
            let free = self.answer(&beside).is_none() || self.filled.contains(&beside);
            let (Some(text), true) = (text, free) else { continue };
            if let Ok(answer) = form.parse_answer(&beside, &Json::from(text)) {
                self.write(&beside, answer);
                self.filled.insert(beside);
            }
        }
    }
}
