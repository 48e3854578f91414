//! The logic of a form: what its XForm computes, shows, demands and forbids, resolved once and run over a record's
//! answers in the order of their dependencies.
//!
//! Expressions are parsed by rxeval. Its own engine copies the whole model several times a call, knows neither dates in
//! comparisons nor the rows that `${x}` means inside a repeat, and lacks a dozen functions; so the parsed expressions
//! are compiled against the form's shape and run here, with rxeval's library for functions of plain values.

pub(crate) mod eval;
mod expr;
mod functions;
mod geometry;
mod order;
mod parts;
mod read;
pub(crate) mod schema;
#[cfg(test)]
#[cfg(feature = "xlsform")]
mod tests;
pub(crate) mod tree;

use std::collections::HashMap;

use eval::{Evaluator, NodeRef, Place, Val};
use expr::Code;
use order::Rule;
pub(crate) use read::{SheetRules, rules_of};
use schema::{Name, Names, Schema, SchemaId, ScopeId, Table};
use tree::{BlockId, NodeId, Tree};

use super::answer::time;
use super::definition::{FieldType, FormDefinition};
use super::faults::{FaultKind, FormFault};
use super::form::BrokenRule;
use super::values::Values;
use crate::forms::limits::COMPUTED_BYTES_MAX;
use crate::limits::RECORD_ROWS_MAX;

/// What an expression may ask beyond the record: time, record, labels of choices.
pub(crate) struct Surroundings<'a> {
    /// Seconds since 1970-01-01 UTC that `now()` and `today()` mean.
    pub time_s: i64,
    /// Identity of the record: what is drawn at random is drawn from it.
    pub record: &'a str,
    /// Label of a choice, by the question's path and the choice's name.
    pub choice_label: &'a dyn Fn(&str, &str) -> String,
    /// Text by the XForm's text id (`list-0`, `/data/question:label`).
    pub text: &'a dyn Fn(&str) -> String,
}

/// A value that the form sets when something happens.
#[derive(Debug)]
pub(crate) struct Action {
    pub target: SchemaId,
    /// `None` clears the target.
    pub value: Option<Code>,
}

/// The choices that a question offers.
#[derive(Debug)]
pub(crate) struct ItemSet {
    pub nodes: Code,
    /// Element of each item that holds the choice's name.
    pub value: Name,
    /// Depends on other answers.
    pub filtered: bool,
}

/// A value that the app fills when the record is first opened: what, of which kind.
#[derive(Debug)]
pub(crate) struct Preload {
    pub target: SchemaId,
    /// `date`, `timestamp`, `property` or `uid`.
    pub kind: String,
    /// Such as `start`, `end`, `deviceid`.
    pub parameter: String,
}

/// A form's logic, ready to run.
#[derive(Debug, Default)]
pub(crate) struct Logic {
    pub schema: Schema,
    pub tables: Vec<Table>,
    pub names: Names,
    pub version: String,
    /// By place: the places at and above it in its scope that have a `relevant`.
    pub guards: Vec<Vec<SchemaId>>,
    types: Vec<Option<FieldType>>,
    rules: Vec<(Rule, Code)>,
    pub constraints: HashMap<SchemaId, Code>,
    pub required: HashMap<SchemaId, Code>,
    pub read_only: HashMap<SchemaId, Code>,
    pub item_sets: HashMap<SchemaId, ItemSet>,
    /// Calculations that are made once and stored.
    pub stored: Vec<Action>,
    pub on_first_load: Vec<Action>,
    pub on_new_row: HashMap<ScopeId, Vec<Action>>,
    pub on_change: HashMap<SchemaId, Vec<Action>>,
    pub preloads: Vec<Preload>,
    by_name: HashMap<String, SchemaId>,
    broken: Vec<BrokenRule>,
}

/// A record's tree after the rules have run.
pub(crate) struct Ran {
    pub tree: Tree,
    /// Rules that could not be computed.
    pub failures: Vec<(NodeId, FormFault)>,
    /// Rows that each counted repeat should have, by the enclosing block.
    pub counts: Vec<(BlockId, ScopeId, usize)>,
    /// Bytes of all calculated answers so far.
    computed_bytes: usize,
}

impl Logic {
    /// Reads the XForm of `definition`.
    ///
    /// # Errors
    /// [`FormFault`] when it is no XForm or beyond a limit.
    pub(crate) fn new(definition: &FormDefinition) -> Result<Logic, FormFault> {
        read::logic(definition)
    }

    pub(crate) fn broken(&self) -> &[BrokenRule] {
        &self.broken
    }

    pub(crate) fn field_type(&self, place: SchemaId) -> Option<FieldType> {
        self.types.get(place as usize).copied().flatten()
    }

    pub(crate) fn is_numeric(&self, tree: &Tree, node: NodeRef) -> bool {
        let NodeRef::Main(id) = node else { return false };
        let place = tree.schema_id(&self.schema, id);
        matches!(self.field_type(place), Some(FieldType::Integer | FieldType::Decimal | FieldType::Calculate))
            && tree.text(id).starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.')
    }

    /// The place that `${name}` means.
    pub(crate) fn named(&self, name: &str) -> Option<SchemaId> {
        self.by_name.get(name).copied()
    }

    /// Runs every rule over `values`: relevance, counts, calculations.
    pub(crate) fn run(&self, values: &Values, surroundings: &Surroundings) -> Ran {
        let tree = Tree::new(&self.schema, values);
        let mut ran = Ran { tree, failures: Vec::new(), counts: Vec::new(), computed_bytes: 0 };
        for (rule, code) in &self.rules {
            match *rule {
                Rule::Relevant(place) => self.relevance(&mut ran, place, code, surroundings),
                Rule::Calculate(place) => self.calculate(&mut ran, place, code, surroundings),
                Rule::Count(scope) => self.count(&mut ran, scope, code, surroundings),
            }
        }
        ran
    }

    fn nodes_of(&self, tree: &Tree, place: SchemaId) -> Vec<NodeId> {
        let scope = self.schema.node(place).scope;
        let blocks = tree.by_scope.get(scope as usize).map_or(&[][..], Vec::as_slice);
        blocks.iter().map(|block| tree.node_in(&self.schema, *block, place)).collect()
    }

    fn relevance(&self, ran: &mut Ran, place: SchemaId, code: &Code, surroundings: &Surroundings) {
        for node in self.nodes_of(&ran.tree, place) {
            let evaluator = Evaluator { logic: self, tree: &ran.tree, surroundings };
            let outcome = evaluator.run(code, Place::at(node)).map(|value| evaluator.boolean(&value));
            // What cannot be judged is shown: hiding it would drop an answer unseen.
            let relevant = outcome.unwrap_or_else(|why| {
                ran.failures.push((node, why));
                true
            });
            ran.tree.own_relevant[node as usize] = relevant;
        }
    }

    fn calculate(&self, ran: &mut Ran, place: SchemaId, code: &Code, surroundings: &Surroundings) {
        for node in self.nodes_of(&ran.tree, place) {
            let room = COMPUTED_BYTES_MAX.saturating_sub(ran.computed_bytes);
            let text = self.compute(&ran.tree, node, code, surroundings).and_then(|text| {
                let fits = text.len() <= room;
                if fits { Ok(text) } else { Err(FormFault::new(FaultKind::ComputedTotal).with(COMPUTED_BYTES_MAX)) }
            });
            let text = text.unwrap_or_else(|why| {
                ran.failures.push((node, why));
                String::new()
            });
            ran.computed_bytes += text.len();
            ran.tree.texts[node as usize] = text;
        }
    }

    /// Runs `code` for `node` and gives the result the form of its type.
    pub(crate) fn compute(
        &self,
        tree: &Tree,
        node: NodeId,
        code: &Code,
        surroundings: &Surroundings,
    ) -> Result<String, FormFault> {
        let evaluator = Evaluator { logic: self, tree, surroundings };
        let value = evaluator.run(code, Place::at(node))?;
        let place = tree.schema_id(&self.schema, node);
        Ok(match (self.field_type(place), &value) {
            // No number is no answer.
            (_, Val::Number(number)) if number.is_nan() => String::new(),
            (Some(FieldType::Date), Val::Number(number)) if number.is_finite() => day_text(*number),
            (Some(FieldType::Integer), Val::Number(number)) => rxeval::functions::number_to_string(number.trunc()),
            _ => evaluator.text(&value).into_owned(),
        })
    }

    fn count(&self, ran: &mut Ran, scope: ScopeId, code: &Code, surroundings: &Surroundings) {
        let Some(repeat) = self.schema.scope(scope).nodes.first().copied() else { return };
        let outer = self.schema.node(repeat).parent.unwrap_or(0);
        for node in self.nodes_of(&ran.tree, outer) {
            let evaluator = Evaluator { logic: self, tree: &ran.tree, surroundings };
            let wanted = match evaluator.run(code, Place::at(node)) {
                Ok(value) => evaluator.number(&value),
                Err(why) => {
                    ran.failures.push((node, why));
                    continue;
                }
            };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped; NaN becomes 0")]
            let wanted = wanted.clamp(0.0, 1e6) as usize;
            let wanted = wanted.min(RECORD_ROWS_MAX);
            let block = ran.tree.block_of[node as usize];
            ran.tree.hide_surplus(block, scope, wanted);
            ran.counts.push((block, scope, wanted));
        }
    }

    /// Runs an expression for one node as yes or no.
    pub(crate) fn holds(
        &self,
        tree: &Tree,
        node: NodeId,
        code: &Code,
        surroundings: &Surroundings,
    ) -> Result<bool, FormFault> {
        if let Code::Boolean(value) = code {
            return Ok(*value);
        }
        let evaluator = Evaluator { logic: self, tree, surroundings };
        evaluator.run(code, Place::at(node)).map(|value| evaluator.boolean(&value))
    }

    /// The names that the question at `node` offers, in order.
    pub(crate) fn offered(
        &self,
        tree: &Tree,
        node: NodeId,
        items: &ItemSet,
        surroundings: &Surroundings,
    ) -> Result<Vec<String>, FormFault> {
        let evaluator = Evaluator { logic: self, tree, surroundings };
        let value = evaluator.run(&items.nodes, Place::at(node))?;
        let mut names = Vec::new();
        for item in evaluator.nodes(value)? {
            let mut cells = Vec::new();
            evaluator.children(item, &mut cells);
            let cell = cells.into_iter().find(|cell| evaluator.name(*cell) == items.value);
            names.extend(cell.map(|cell| evaluator.node_text(cell).into_owned()));
        }
        Ok(names)
    }

    /// The text of the answer that `${name}` means, seen from `node`.
    pub(crate) fn referenced(&self, tree: &Tree, node: NodeId, name: &str, surroundings: &Surroundings) -> String {
        let Some(place) = self.named(name) else { return String::new() };
        let from = self.schema.node(tree.schema_id(&self.schema, node)).scope;
        let anchor = self.schema.common(from, self.schema.owner(place));
        let evaluator = Evaluator { logic: self, tree, surroundings };
        let code = Code::Field { node: place, anchor };
        let text = match evaluator.run(&code, Place::at(node)) {
            Ok(Val::Node(NodeRef::Main(id))) => tree.text(id).to_owned(),
            Ok(Val::Nodes(nodes)) => match nodes.first() {
                Some(NodeRef::Main(id)) => tree.text(*id).to_owned(),
                _ => String::new(),
            },
            _ => String::new(),
        };
        match self.field_type(place) {
            Some(FieldType::SelectOne | FieldType::SelectMultiple | FieldType::Rank) => {
                evaluator.choice_name(&text, place).unwrap_or(text)
            }
            _ => text,
        }
    }
}

fn day_text(number: f64) -> String {
    if !(-700_000.0..=2_900_000.0).contains(&number) {
        return String::new();
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked above")]
    let (year, month, day) = time::date_of(number.floor() as i64);
    format!("{year:04}-{month:02}-{day:02}")
}
