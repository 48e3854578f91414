//! Operation by operation: nothing but what the layout writes, in fields of the form, with values of their type.

use std::collections::{HashMap, HashSet};

use automerge::Automerge;

use super::{Refusal, refused};
use crate::document::history::{self, Spot, Spots, spot_of};
use crate::document::layout::{
    FORM_KEY, ID_KEY, KIND_KEY, PARENT_KEY, REMOVED_KEY, SUBMISSION_BYTES_MAX, SUBMITTED_KEY, Shape, fits,
    is_choice_name, our_actor, parse_choice_key, parse_row_key,
};
use crate::document::snapshot::{Snapshot, op_of};
use crate::forms::{Field, Scalar};
use crate::ids::{ActorId, RowId};
use crate::limits::{RECORD_ROWS_MAX, TEXT_CHARS_MAX};
use crate::protocol::chunk::{Decoded, Op, OpRef, OpValue};

/// An operation, wherever it is from.
type OpId = (u64, ActorId);

/// Holds every operation of the change against what its dependencies show (`before`) and what the record holds now.
/// Returns the objects that its operations write to.
pub(super) fn check(
    before: &Snapshot<'_>,
    now: &Automerge,
    change: &Decoded<'_>,
    shape: &Shape<'_>,
    on_phone: bool,
) -> Result<Spots, Refusal> {
    let mut checker = Checker::of(before, now, change, shape, on_phone);
    for (index, op) in change.ops.iter().enumerate() {
        checker.check_preds(index as u64, op)?;
        checker.check_op(index as u64, op)?;
    }
    match checker.orphans.iter().next() {
        Some(row) => Err(refused("rows", format!("row {row} of a nested repeat names no row around it"))),
        None => Ok(checker.spots),
    }
}

struct Checker<'c> {
    change: &'c Decoded<'c>,
    shape: &'c Shape<'c>,
    on_phone: bool,
    author: ActorId,
    /// Objects that the dependencies show, and rows that the change itself adds.
    spots: Spots,
    /// What each key holds at the dependencies; the change's own operations replace it as they come.
    visible: HashMap<(Option<OpId>, &'c str), Vec<OpId>>,
    /// Rows that the dependencies show or the change adds.
    rows: HashSet<(String, RowId)>,
    /// Rows of the record as it is now, also those that the change's author has not seen; empty if it adds none.
    taken: HashSet<(String, RowId)>,
    /// New rows by id that may still name the row around them.
    orphans: HashSet<RowId>,
    added: HashSet<(String, RowId)>,
}

impl<'c> Checker<'c> {
    fn of(
        before: &Snapshot<'_>,
        now: &Automerge,
        change: &'c Decoded<'c>,
        shape: &'c Shape<'c>,
        on_phone: bool,
    ) -> Self {
        let spots = history::spots(before);
        let rows = rows_of(&spots);
        let adds = change.ops.iter().any(|op| op.value == OpValue::MakeMap);
        let taken = match (adds, &before.heads) {
            (false, _) => HashSet::new(),
            (true, None) => rows.clone(),
            (true, Some(_)) => rows_of(&history::spots(&Snapshot::of(now, None))),
        };
        let keys: HashSet<&str> = change.ops.iter().map(|op| op.key).collect();
        let mut visible = HashMap::new();
        for object in &before.objects {
            let id = our_op(&object.id);
            for cell in object.cells.iter().filter(|cell| keys.contains(cell.key.as_ref())) {
                let held = before.all(object, cell).iter().filter_map(|one| our_op(&one.id)).collect();
                if let Some(key) = keys.get(cell.key.as_ref()) {
                    visible.insert((id, *key), held);
                }
            }
        }
        Self {
            change,
            shape,
            on_phone,
            author: change.actors.first().copied().unwrap_or(ActorId([0; 16])),
            spots,
            visible,
            rows,
            taken,
            orphans: HashSet::new(),
            added: HashSet::new(),
        }
    }

    fn op_id(&self, op: OpRef) -> Option<OpId> {
        Some((op.0, *self.change.actors.get(op.1)?))
    }

    /// An operation supersedes exactly what its author saw: neither more, which would lose what others wrote, nor
    /// less, which would make up a conflict.
    fn check_preds(&mut self, index: u64, op: &'c Op<'c>) -> Result<(), Refusal> {
        let object = op.object.and_then(|object| self.op_id(object));
        let mut preds: Vec<OpId> = op.preds.iter().filter_map(|pred| self.op_id(*pred)).collect();
        preds.sort_unstable();
        let held = self.visible.entry((object, op.key)).or_default();
        held.sort_unstable();
        if *held != preds {
            return Err(refused("operation", format!("writing {:?} supersedes what its author did not see", op.key)));
        }
        if op.value == OpValue::Delete && preds.is_empty() {
            return Err(refused("operation", format!("{:?} is deleted, but it is not there", op.key)));
        }
        held.clear();
        if op.value != OpValue::Delete {
            held.push((self.change.start_op + index, self.author));
        }
        Ok(())
    }

    fn check_op(&mut self, index: u64, op: &'c Op<'c>) -> Result<(), Refusal> {
        let spot = spot_of(&self.spots, self.change, op.object).cloned();
        match spot.ok_or_else(|| refused("operation", "the change writes into an object that it has not seen"))? {
            Spot::Root => self.check_root(op),
            Spot::Container(path) if self.shape.repeats.contains_key(path.as_str()) => {
                self.check_new_row(index, &path, op)
            }
            Spot::Container(path) => self.check_choice(&path, op),
            Spot::Row(repeat, row) => self.check_row(&repeat, row, op),
        }
    }

    fn check_root(&self, op: &Op<'_>) -> Result<(), Refusal> {
        match op.key {
            ID_KEY | KIND_KEY | FORM_KEY => Err(refused("system", format!("nobody writes {}", op.key))),
            SUBMITTED_KEY => match op.value {
                OpValue::Text(text) if !text.is_empty() && text.len() <= SUBMISSION_BYTES_MAX => Ok(()),
                _ => Err(refused("value", "a submission is a short text")),
            },
            key => self.check_answer(key, None, op.value),
        }
    }

    fn check_row(&mut self, repeat: &str, row: RowId, op: &Op<'_>) -> Result<(), Refusal> {
        match op.key {
            REMOVED_KEY => match op.value {
                OpValue::Bool(_) => Ok(()),
                _ => Err(refused("value", "a removal mark is true or false")),
            },
            PARENT_KEY => {
                let parent = match op.value {
                    OpValue::Text(hex) => parse_row_key(hex),
                    _ => None,
                };
                let outer = self.shape.repeats.get(repeat).copied().flatten();
                let known =
                    outer.zip(parent).is_some_and(|(outer, parent)| self.rows.contains(&(outer.to_owned(), parent)));
                let fresh = self.added.contains(&(repeat.to_owned(), row)) && self.orphans.remove(&row);
                if known && fresh { Ok(()) } else { Err(refused("rows", "a row is put where it cannot be")) }
            }
            key => self.check_answer(key, Some(repeat), op.value),
        }
    }

    fn check_answer(&self, key: &str, repeat: Option<&str>, value: OpValue<'_>) -> Result<(), Refusal> {
        let field = self.shape.fields.get(key).filter(|field| field.repeat.as_deref() == repeat);
        let Some(field) = field else { return Err(self.unknown(key)) };
        if self.shape.scalar(key).is_none() {
            return Err(refused("field", format!("{key} is computed or holds no single answer")));
        }
        let wrong = || refused("value", format!("{key} cannot hold this value"));
        match value {
            OpValue::Null => Ok(()),
            OpValue::Integer(number) if fits(field, &Scalar::Integer(number)) => Ok(()),
            OpValue::Text(text) if fits_text(field) => {
                if text.len() > TEXT_CHARS_MAX && text.chars().count() > TEXT_CHARS_MAX {
                    return Err(refused("value", format!("the text of {key} is too long")));
                }
                Ok(())
            }
            OpValue::MakeMap | OpValue::Delete => {
                Err(refused("operation", format!("{key} can only be written or cleared")))
            }
            _ => Err(wrong()),
        }
    }

    fn check_new_row(&mut self, index: u64, repeat: &str, op: &Op<'_>) -> Result<(), Refusal> {
        if op.value != OpValue::MakeMap {
            return Err(refused("operation", format!("{repeat} holds rows and nothing else")));
        }
        let row = parse_row_key(op.key).ok_or_else(|| refused("rows", "a row's id is 16 hex digits"))?;
        let key = (repeat.to_owned(), row);
        if self.taken.contains(&key) {
            return Err(refused("rows", format!("row {row} of {repeat} exists already")));
        }
        if self.taken.len() >= RECORD_ROWS_MAX {
            return Err(refused("rows", format!("a record has at most {RECORD_ROWS_MAX} rows")));
        }
        self.spots.insert((self.change.start_op + index, self.author), Spot::Row(repeat.to_owned(), row));
        if self.shape.repeats.get(repeat).copied().flatten().is_some() && !self.orphans.insert(row) {
            return Err(refused("rows", "two new rows have one id"));
        }
        self.taken.insert(key.clone());
        self.rows.insert(key.clone());
        self.added.insert(key);
        Ok(())
    }

    fn check_choice(&self, path: &str, op: &Op<'_>) -> Result<(), Refusal> {
        let field = self.shape.set(path).ok_or_else(|| self.unknown(path))?;
        let parsed = parse_choice_key(field, op.key).filter(|(_, choice)| is_choice_name(choice));
        let (row, _) = parsed.ok_or_else(|| refused("value", format!("{path} cannot hold such a choice")))?;
        let known =
            row.zip(field.repeat.as_ref()).is_none_or(|(row, repeat)| self.rows.contains(&(repeat.clone(), row)));
        if !known {
            return Err(refused("rows", format!("{path} is answered in a row that is not there")));
        }
        match op.value {
            OpValue::Bool(true) | OpValue::Delete => Ok(()),
            _ => Err(refused("value", format!("a choice of {path} is chosen or not"))),
        }
    }

    fn unknown(&self, path: &str) -> Refusal {
        let detail = format!("the form has no field {:?}", path.chars().take(100).collect::<String>());
        if self.on_phone { Refusal::NeedsNewerForm { detail } } else { refused("field", detail) }
    }
}

fn fits_text(field: &Field) -> bool {
    fits(field, &Scalar::Text(String::new()))
}

fn our_op(id: &automerge::ObjId) -> Option<OpId> {
    let (counter, actor) = op_of(id);
    Some((counter, our_actor(actor?)?))
}

fn rows_of(spots: &Spots) -> HashSet<(String, RowId)> {
    let rows = spots.values().filter_map(|spot| match spot {
        Spot::Row(repeat, row) => Some((repeat.clone(), *row)),
        _ => None,
    });
    rows.collect()
}
