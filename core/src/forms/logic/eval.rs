//! Runs compiled expressions over a record's tree. XPath 1.0 as OpenRosa uses it; where engines differ, as the devices'
//! engine (JavaRosa) does: an irrelevant answer counts as absent, dates compare as day numbers.

use std::borrow::Cow;

use rxeval::parser::{Axis, BinaryOp};

use super::expr::{Code, Start, Walk, WalkStep};
use super::functions;
use super::parts::Parts;
use super::schema::{SchemaId, ScopeId};
use super::tree::{NodeId, Tree};
use super::{Logic, Surroundings};
use crate::forms::answer::time;
use crate::forms::faults::{FaultKind, FormFault};

/// Nodes that one expression may gather: bounds what a hostile form can make a phone do.
const GATHERED_MAX: usize = 200_000;

/// A node of the record or of a lookup table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum NodeRef {
    Main(NodeId),
    Table(u32, u32),
}

/// The result of an expression.
#[derive(Clone, Debug)]
pub(crate) enum Val<'a> {
    Boolean(bool),
    Number(f64),
    Text(Cow<'a, str>),
    Node(NodeRef),
    Nodes(Vec<NodeRef>),
}

/// A value, or what is wrong with the expression.
pub(crate) type Outcome<'a> = Result<Val<'a>, FormFault>;

/// Where an expression runs.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The node that it belongs to.
    pub origin: NodeId,
    /// The node that a predicate looks at.
    pub context: NodeRef,
    pub position: usize,
    pub size: usize,
}

impl Place {
    pub(crate) fn at(node: NodeId) -> Place {
        Place { origin: node, context: NodeRef::Main(node), position: 1, size: 1 }
    }
}

/// Everything that an expression may ask.
#[derive(Clone, Copy)]
pub(crate) struct Evaluator<'a> {
    pub logic: &'a Logic,
    pub tree: &'a Tree,
    pub surroundings: &'a Surroundings<'a>,
}

impl<'a> Evaluator<'a> {
    pub(crate) fn run(&self, code: &'a Code, place: Place) -> Outcome<'a> {
        match code {
            Code::Number(number) => Ok(Val::Number(*number)),
            Code::Text(text) => Ok(Val::Text(Cow::Borrowed(text))),
            Code::Boolean(value) => Ok(Val::Boolean(*value)),
            Code::Field { node, anchor } => Ok(self.field(*node, *anchor, place.origin)),
            Code::Walk(walk) => self.walk(walk, place),
            Code::Negate(inner) => Ok(Val::Number(-self.number(&self.run(inner, place)?))),
            Code::Union(a, b) => {
                let mut nodes = self.nodes(self.run(a, place)?)?;
                nodes.extend(self.nodes(self.run(b, place)?)?);
                nodes.sort_unstable();
                nodes.dedup();
                Ok(Val::Nodes(nodes))
            }
            Code::Or(a, b) => {
                Ok(Val::Boolean(self.boolean(&self.run(a, place)?) || self.boolean(&self.run(b, place)?)))
            }
            Code::And(a, b) => {
                Ok(Val::Boolean(self.boolean(&self.run(a, place)?) && self.boolean(&self.run(b, place)?)))
            }
            Code::Compare(op, a, b) => Ok(Val::Boolean(self.compare(*op, &self.run(a, place)?, &self.run(b, place)?))),
            Code::Arithmetic(op, a, b) => {
                let (a, b) = (self.number(&self.run(a, place)?), self.number(&self.run(b, place)?));
                Ok(Val::Number(match op {
                    BinaryOp::Add => a + b,
                    BinaryOp::Subtract => a - b,
                    BinaryOp::Multiply => a * b,
                    BinaryOp::Divide => a / b,
                    _ => a % b,
                }))
            }
            Code::Call(function, args) => functions::call(self, *function, args, place),
            Code::Regex(value, pattern) => {
                let value = self.run(value, place)?;
                Ok(Val::Boolean(pattern.is_match(&self.text(&value))))
            }
            Code::ChoiceName(value, question) => {
                let value = self.run(value, place)?;
                Ok(Val::Text(Cow::Owned(self.choice_name(&self.text(&value), *question)?)))
            }
            Code::Fail(why) => Err(why.clone()),
        }
    }

    /// Labels of the chosen names of `question`, in the language of the surroundings.
    pub(super) fn choice_name(&self, value: &str, question: SchemaId) -> Result<String, FormFault> {
        let path = &self.logic.schema.node(question).path;
        let mut labels = Parts { separator: ", ", text: None };
        value.split_whitespace().try_for_each(|name| labels.add(&(self.surroundings.choice_label)(path, name)))?;
        Ok(labels.text.unwrap_or_default())
    }

    fn field(&self, node: SchemaId, anchor: ScopeId, origin: NodeId) -> Val<'a> {
        let schema = &self.logic.schema;
        let mut block = self.tree.block_of[origin as usize];
        while self.tree.block(block).scope != anchor {
            if self.tree.block(block).scope == 0 {
                return Val::Nodes(Vec::new());
            }
            block = self.tree.block(block).parent;
        }
        let target = schema.node(node).scope;
        if target == anchor {
            let id = self.tree.node_in(schema, block, node);
            return if self.relevant(id) { Val::Node(NodeRef::Main(id)) } else { Val::Nodes(Vec::new()) };
        }
        let chain = &schema.scope(target).chain;
        let from = chain.iter().position(|scope| *scope == anchor).map_or(chain.len(), |at| at + 1);
        let mut blocks = vec![block];
        for scope in &chain[from..] {
            blocks = blocks.iter().flat_map(|block| self.tree.rows(*block, *scope).iter().copied()).collect();
        }
        let ids = blocks.into_iter().map(|block| self.tree.node_in(schema, block, node));
        Val::Nodes(ids.filter(|id| self.relevant(*id)).map(NodeRef::Main).collect())
    }

    fn relevant(&self, node: NodeId) -> bool {
        self.tree.is_relevant(&self.logic.schema, node, &self.logic.guards)
    }

    // -- walking ------------------------------------------------------------------------------------------------------

    fn walk(&self, walk: &'a Walk, place: Place) -> Outcome<'a> {
        let start = match &walk.start {
            Start::Context => vec![place.context],
            Start::Origin => vec![NodeRef::Main(place.origin)],
            Start::Table(table) => vec![NodeRef::Table(u32::try_from(*table).unwrap_or(u32::MAX), 0)],
            Start::Code(code) => self.nodes(self.run(code, place)?)?,
        };
        let mut nodes = self.keep(start, &walk.predicates, place)?;
        for step in &walk.steps {
            nodes = self.step(&nodes, step, place)?;
        }
        nodes.retain(|node| match node {
            NodeRef::Main(id) => self.relevant(*id),
            NodeRef::Table(..) => true,
        });
        Ok(Val::Nodes(nodes))
    }

    fn step(&self, from: &[NodeRef], step: &'a WalkStep, place: Place) -> Result<Vec<NodeRef>, FormFault> {
        let mut out = Vec::new();
        for node in from {
            let mut found = Vec::new();
            self.axis(*node, &step.axis, &mut found);
            if let Some(name) = step.name {
                found.retain(|node| self.name(*node) == name);
            }
            out.extend(self.keep(found, &step.predicates, place)?);
            if out.len() > GATHERED_MAX {
                return Err(FormFault::new(FaultKind::GathersTooMuch).with(GATHERED_MAX));
            }
        }
        if from.len() > 1 {
            let mut seen = std::collections::HashSet::new();
            out.retain(|node| seen.insert(*node));
        }
        Ok(out)
    }

    fn keep(&self, mut nodes: Vec<NodeRef>, predicates: &'a [Code], place: Place) -> Result<Vec<NodeRef>, FormFault> {
        for predicate in predicates {
            let size = nodes.len();
            let mut kept = Vec::new();
            for (at, node) in nodes.into_iter().enumerate() {
                let inner = Place { origin: place.origin, context: node, position: at + 1, size };
                let keep = match self.run(predicate, inner)? {
                    #[expect(clippy::float_cmp, reason = "XPath: a number predicate is position() = number")]
                    Val::Number(number) => number == (at + 1) as f64,
                    other => self.boolean(&other),
                };
                if keep {
                    kept.push(node);
                }
            }
            nodes = kept;
        }
        Ok(nodes)
    }

    fn axis(&self, node: NodeRef, axis: &Axis, out: &mut Vec<NodeRef>) {
        match axis {
            Axis::Self_ => out.push(node),
            Axis::Child => self.children(node, out),
            Axis::Parent => out.extend(self.parent(node)),
            Axis::Descendant => self.descendants(node, out),
            Axis::DescendantOrSelf => {
                out.push(node);
                self.descendants(node, out);
            }
            Axis::Ancestor | Axis::AncestorOrSelf => {
                if *axis == Axis::AncestorOrSelf {
                    out.push(node);
                }
                let mut at = node;
                while let Some(parent) = self.parent(at) {
                    out.push(parent);
                    at = parent;
                }
            }
            Axis::FollowingSibling | Axis::PrecedingSibling => {
                let mut siblings = Vec::new();
                if let Some(parent) = self.parent(node) {
                    self.children(parent, &mut siblings);
                }
                let at = siblings.iter().position(|sibling| *sibling == node).unwrap_or(siblings.len());
                let range =
                    if *axis == Axis::PrecedingSibling { 0..at } else { (at + 1).min(siblings.len())..siblings.len() };
                out.extend(siblings.drain(range));
            }
            // No form uses these three, and a wrong order would be worse than none.
            Axis::Attribute | Axis::Following | Axis::Preceding => {}
        }
    }

    fn descendants(&self, node: NodeRef, out: &mut Vec<NodeRef>) {
        let mut stack = Vec::new();
        self.children(node, &mut stack);
        stack.reverse();
        while let Some(next) = stack.pop() {
            out.push(next);
            if out.len() > GATHERED_MAX {
                return;
            }
            let mut children = Vec::new();
            self.children(next, &mut children);
            stack.extend(children.into_iter().rev());
        }
    }

    pub(crate) fn children(&self, node: NodeRef, out: &mut Vec<NodeRef>) {
        match node {
            NodeRef::Table(table, at) => {
                let range = self.logic.tables.get(table as usize).map_or(0..0, |t| t.node(at).children.clone());
                out.extend(range.map(|child| NodeRef::Table(table, child)));
            }
            NodeRef::Main(id) => {
                let schema = &self.logic.schema;
                let block = self.tree.block_of[id as usize];
                for child in &schema.node(self.tree.schema_id(schema, id)).children {
                    let place = schema.node(*child);
                    if place.repeat {
                        let rows = self.tree.rows(block, place.scope);
                        out.extend(rows.iter().map(|row| NodeRef::Main(self.tree.block(*row).base)));
                    } else {
                        out.push(NodeRef::Main(self.tree.node_in(schema, block, *child)));
                    }
                }
            }
        }
    }

    pub(crate) fn parent(&self, node: NodeRef) -> Option<NodeRef> {
        match node {
            NodeRef::Table(table, at) => {
                let parent = self.logic.tables.get(table as usize)?.node(at).parent;
                (at != 0).then_some(NodeRef::Table(table, parent))
            }
            NodeRef::Main(id) => {
                let schema = &self.logic.schema;
                let place = schema.node(self.tree.schema_id(schema, id));
                let parent = place.parent?;
                let block = self.tree.block_of[id as usize];
                let block = if place.repeat { self.tree.block(block).parent } else { block };
                Some(NodeRef::Main(self.tree.node_in(schema, block, parent)))
            }
        }
    }

    pub(crate) fn name(&self, node: NodeRef) -> u32 {
        match node {
            NodeRef::Main(id) => self.logic.schema.node(self.tree.schema_id(&self.logic.schema, id)).name,
            NodeRef::Table(table, at) => self.logic.tables.get(table as usize).map_or(u32::MAX, |t| t.node(at).name),
        }
    }

    /// Place of the row that holds `node` among the rows of its repeat, from 1.
    pub(crate) fn row_position(&self, node: NodeRef) -> f64 {
        match node {
            NodeRef::Main(id) => f64::from(self.tree.block(self.tree.block_of[id as usize]).position),
            NodeRef::Table(table, at) => {
                let Some(NodeRef::Table(_, parent)) = self.parent(node) else { return 1.0 };
                let first = self.logic.tables.get(table as usize).map_or(0, |t| t.node(parent).children.start);
                f64::from(at - first + 1)
            }
        }
    }

    // -- conversions --------------------------------------------------------------------------------------------------

    pub(crate) fn nodes(&self, value: Val<'a>) -> Result<Vec<NodeRef>, FormFault> {
        match value {
            Val::Node(node) => Ok(vec![node]),
            Val::Nodes(nodes) => Ok(nodes),
            _ => Err(FormFault::new(FaultKind::ValueForPath)),
        }
    }

    pub(crate) fn node_text(&self, node: NodeRef) -> Cow<'a, str> {
        let own = match node {
            NodeRef::Main(id) => self.tree.text(id),
            NodeRef::Table(table, at) => self.logic.tables.get(table as usize).map_or("", |t| t.node(at).text.as_str()),
        };
        if !own.is_empty() {
            return Cow::Borrowed(own);
        }
        let mut children = Vec::new();
        self.children(node, &mut children);
        if children.is_empty() {
            return Cow::Borrowed(own);
        }
        let mut below = Vec::new();
        self.descendants(node, &mut below);
        let leaf = |node: &NodeRef| match *node {
            NodeRef::Main(id) => self.tree.text(id),
            NodeRef::Table(table, at) => self.logic.tables.get(table as usize).map_or("", |t| t.node(at).text.as_str()),
        };
        Cow::Owned(below.iter().map(leaf).collect())
    }

    pub(crate) fn text(&self, value: &Val<'a>) -> Cow<'a, str> {
        match value {
            Val::Boolean(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Val::Number(number) => Cow::Owned(rxeval::functions::number_to_string(*number)),
            Val::Text(text) => text.clone(),
            Val::Node(node) => self.node_text(*node),
            Val::Nodes(nodes) => nodes.first().map_or(Cow::Borrowed(""), |node| self.node_text(*node)),
        }
    }

    /// As JavaRosa: an unanswered question is false, and so is the number 0.
    pub(crate) fn boolean(&self, value: &Val<'a>) -> bool {
        match value {
            Val::Boolean(value) => *value,
            Val::Number(number) => *number != 0.0 && !number.is_nan(),
            Val::Text(text) => !text.is_empty(),
            Val::Node(node) => {
                let text = self.node_text(*node);
                !text.is_empty() && (!self.logic.is_numeric(self.tree, *node) || text_number(&text) != 0.0)
            }
            Val::Nodes(nodes) => match nodes.as_slice() {
                [] => false,
                [node] => self.boolean(&Val::Node(*node)),
                _ => true,
            },
        }
    }

    pub(crate) fn number(&self, value: &Val<'a>) -> f64 {
        match value {
            Val::Boolean(value) => f64::from(u8::from(*value)),
            Val::Number(number) => *number,
            other => text_number(&self.text(other)),
        }
    }

    fn compare(&self, op: BinaryOp, a: &Val<'a>, b: &Val<'a>) -> bool {
        let many = |value: &Val| matches!(value, Val::Nodes(nodes) if nodes.len() > 1);
        if many(a) || many(b) {
            let each = |value: &Val<'a>| match value {
                Val::Nodes(nodes) => nodes.iter().map(|node| Val::Node(*node)).collect(),
                other => vec![other.clone()],
            };
            let right = each(b);
            return each(a).iter().any(|a| right.iter().any(|b| self.compare_one(op, a, b)));
        }
        self.compare_one(op, a, b)
    }

    fn compare_one(&self, op: BinaryOp, a: &Val<'a>, b: &Val<'a>) -> bool {
        #[expect(clippy::float_cmp, reason = "XPath compares numbers exactly")]
        let equal = || match (a, b) {
            (Val::Boolean(_), _) | (_, Val::Boolean(_)) => self.boolean(a) == self.boolean(b),
            (Val::Number(_), _) | (_, Val::Number(_)) => self.number(a) == self.number(b),
            _ => self.text(a) == self.text(b),
        };
        match op {
            BinaryOp::Equal => equal(),
            BinaryOp::NotEqual => !equal(),
            BinaryOp::Less => self.number(a) < self.number(b),
            BinaryOp::LessEqual => self.number(a) <= self.number(b),
            BinaryOp::Greater => self.number(a) > self.number(b),
            _ => self.number(a) >= self.number(b),
        }
    }
}

/// A text as number: a decimal, or a date as days since 1970-01-01 (with the time of day as fraction); else NaN.
pub(crate) fn text_number(text: &str) -> f64 {
    let text = text.trim();
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return f64::NAN;
    }
    if let Ok(number) = text.parse() {
        return number;
    }
    match time::parse_date_time(text) {
        #[expect(clippy::cast_precision_loss, reason = "days and milliseconds are far below 2^52")]
        Some((day, second, millisecond)) => day as f64 + (second as f64 + f64::from(millisecond) / 1000.0) / 86_400.0,
        None => f64::NAN,
    }
}
