//! What each save did, read back from its change.

use std::collections::{HashMap, HashSet};

use automerge::{Automerge, ReadDoc};

use super::layout::{
    PARENT_KEY, REMOVED_KEY, SUBMITTED_KEY, Shape, containers, our_actor, our_hash, parse_choice_key, parse_row_key,
    removed_path, row_path,
};
use super::snapshot::{Place, Snapshot, op_of};
use super::types::{HistoryEntry, TouchedField};
use super::{Document, edit, read, removal};
use crate::forms::{Edit, FieldPath, FormDefinition, Scalar};
use crate::ids::{ActorId, ChangeHash, RowId};
use crate::protocol::chunk::{self, Decoded, Op, OpRef, OpValue};

/// Touched fields that one history entry lists; a longer save says only these.
pub const HISTORY_TOUCHED_MAX: usize = 2_000;

/// An object of the document, by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// The root map.
    Root,
    /// A repeat or a set.
    Container(String),
    /// A row of a repeat.
    Row(String, RowId),
}

/// Every container and row by the operation that made it.
pub(crate) type Spots = HashMap<(u64, ActorId), Spot>;

/// One thing that a change did, in the layout's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// Wrote an answer.
    Field(FieldPath, Option<Scalar>),
    /// Chose or un-chose a name.
    Choice(FieldPath, String, bool),
    /// Added a row.
    Row(String, RowId, Option<RowId>),
    /// Removed or kept a row.
    Mark(String, RowId, bool),
    /// Handed the record in.
    Submit(Option<String>),
}

/// The objects that a snapshot of the whole document shows.
pub(crate) fn spots(snapshot: &Snapshot<'_>) -> Spots {
    let named = snapshot.objects.iter().filter_map(|object| {
        let (counter, actor) = op_of(&object.id);
        let spot = match &object.place {
            Place::Root => return None,
            Place::Container(path) => Spot::Container(path.clone()),
            Place::Row(container, row) => Spot::Row(snapshot.container_path(*container)?.to_owned(), *row),
        };
        Some(((counter, our_actor(actor?)?), spot))
    });
    named.collect()
}

/// The object that an operation writes to.
pub(crate) fn spot_of<'s>(spots: &'s Spots, change: &Decoded<'_>, object: Option<OpRef>) -> Option<&'s Spot> {
    match object {
        None => Some(&Spot::Root),
        Some((counter, actor)) => spots.get(&(counter, *change.actors.get(actor)?)),
    }
}

/// What a change did, in order, each key once with its last value. What the form does not know is left out.
pub(crate) fn writes(change: &Decoded<'_>, spots: &Spots, shape: &Shape<'_>) -> Vec<Write> {
    let mut last: HashMap<(Option<OpRef>, &str), usize> = HashMap::new();
    for (index, op) in change.ops.iter().enumerate() {
        last.insert((op.object, op.key), index);
    }
    let current = change.ops.iter().enumerate().filter(|(index, op)| last.get(&(op.object, op.key)) == Some(index));
    current.filter_map(|(_, op)| write_of(op, change, spots, shape)).collect()
}

fn write_of(op: &Op<'_>, change: &Decoded<'_>, spots: &Spots, shape: &Shape<'_>) -> Option<Write> {
    match spot_of(spots, change, op.object)? {
        Spot::Root if op.key == SUBMITTED_KEY => Some(Write::Submit(match op.value {
            OpValue::Text(text) => Some(text.to_owned()),
            _ => None,
        })),
        Spot::Root => {
            shape.scalar(op.key).filter(|field| field.repeat.is_none())?;
            Some(Write::Field(FieldPath::root(op.key), answer(op.value)?))
        }
        Spot::Container(path) => match op.value {
            OpValue::MakeMap => {
                shape.repeats.get(path.as_str())?;
                let row = parse_row_key(op.key)?;
                Some(Write::Row(path.clone(), row, parent_in(change, spots, path, row)))
            }
            OpValue::Bool(true) | OpValue::Delete => {
                let field = shape.set(path)?;
                let (row, choice) = parse_choice_key(field, op.key)?;
                let at = match (row, &field.repeat) {
                    (Some(row), Some(repeat)) => FieldPath::in_row(path, repeat, row),
                    _ => FieldPath::root(path),
                };
                Some(Write::Choice(at, choice.to_owned(), op.value != OpValue::Delete))
            }
            _ => None,
        },
        Spot::Row(repeat, row) if op.key == REMOVED_KEY => match op.value {
            OpValue::Bool(removed) => Some(Write::Mark(repeat.clone(), *row, removed)),
            _ => None,
        },
        Spot::Row(repeat, row) => {
            shape.scalar(op.key).filter(|field| field.repeat.as_ref() == Some(repeat))?;
            Some(Write::Field(FieldPath::in_row(op.key, repeat, *row), answer(op.value)?))
        }
    }
}

fn answer(value: OpValue<'_>) -> Option<Option<Scalar>> {
    match value {
        OpValue::Text(text) => Some(Some(Scalar::Text(text.to_owned()))),
        OpValue::Integer(number) => Some(Some(Scalar::Integer(number))),
        OpValue::Null => Some(None),
        _ => None,
    }
}

fn parent_in(change: &Decoded<'_>, spots: &Spots, repeat: &str, row: RowId) -> Option<RowId> {
    let is = |op: &&Op<'_>| {
        op.key == PARENT_KEY
            && matches!(spot_of(spots, change, op.object), Some(Spot::Row(own, id)) if own == repeat && *id == row)
    };
    match change.ops.iter().find(is)?.value {
        OpValue::Text(hex) => parse_row_key(hex),
        _ => None,
    }
}

/// Every change but the system's, causes before effects, with what it wrote.
pub(super) fn history(doc: &Automerge, system: &HashSet<ChangeHash>, form: &FormDefinition) -> Vec<HistoryEntry> {
    let shape = Shape::of(form);
    let spots = spots(&Snapshot::of(doc, None));
    let changes = doc.get_changes(&[]).into_iter();
    let entries = changes.filter(|change| !system.contains(&our_hash(&change.hash()))).filter_map(|change| {
        let writes = chunk::decode(change.raw_bytes()).map(|decoded| writes(&decoded, &spots, &shape));
        Some(HistoryEntry {
            change: our_hash(&change.hash()),
            actor: our_actor(change.actor_id())?,
            time_s: change.timestamp(),
            touched: touched(&writes.unwrap_or_default()),
        })
    });
    entries.collect()
}

/// Writes as history and intake name them; a new row is named itself only where nothing was written in it.
pub(crate) fn touched(writes: &[Write]) -> Vec<TouchedField> {
    let filled: HashSet<(&str, RowId)> = writes
        .iter()
        .filter_map(|write| match write {
            Write::Field(path, _) | Write::Choice(path, ..) => path.row.as_ref(),
            _ => None,
        })
        .map(|(repeat, row)| (repeat.as_str(), *row))
        .collect();
    let named = writes.iter().filter_map(|write| {
        let (path, value, choice) = match write {
            Write::Field(path, value) => (path.clone(), value.clone(), None),
            Write::Choice(path, name, chosen) => (path.clone(), None, Some((name.clone(), *chosen))),
            Write::Row(repeat, row, _) if filled.contains(&(repeat.as_str(), *row)) => return None,
            Write::Row(repeat, row, _) => (row_path(repeat, *row), None, None),
            Write::Mark(repeat, row, removed) => (removed_path(repeat, *row), Some(removal::word(*removed)), None),
            Write::Submit(at) => (FieldPath::root(SUBMITTED_KEY), at.clone().map(Scalar::Text), None),
        };
        Some(TouchedField { path, value, choice })
    });
    named.take(HISTORY_TOUCHED_MAX).collect()
}

/// Whether a change wrote nothing but values that stood in conflict at its dependencies.
pub(super) fn only_chooses(doc: &Automerge, form: &FormDefinition, change: automerge::ChangeHash) -> bool {
    let Some(found) = doc.get_change_by_hash(&change) else { return false };
    let Ok(decoded) = chunk::decode(found.raw_bytes()) else { return false };
    let writes = writes(&decoded, &spots(&Snapshot::of(doc, None)), &Shape::of(form));
    let keys: HashSet<(Option<OpRef>, &str)> = decoded.ops.iter().map(|op| (op.object, op.key)).collect();
    let conflicts = read::conflicts(&Snapshot::of(doc, Some(found.deps())), form);
    let stood = |path: &FieldPath, is: &dyn Fn(Option<&Scalar>) -> bool| {
        let conflict = conflicts.iter().find(|conflict| conflict.path == *path);
        conflict.is_some_and(|conflict| conflict.values.iter().any(|side| is(side.value.as_ref())))
    };
    let chooses = |write: &Write| match write {
        Write::Field(path, value) => stood(path, &|side| side == value.as_ref()),
        Write::Mark(repeat, row, removed) => {
            stood(&removed_path(repeat, *row), &|side| removal::removed_of(side) == Some(*removed))
        }
        Write::Choice(..) | Write::Row(..) | Write::Submit(_) => false,
    };
    !writes.is_empty() && writes.len() == keys.len() && writes.iter().all(chooses)
}

impl Edit {
    /// Where it writes. A row that it adds is named by its repeat and id.
    #[must_use]
    pub fn path(&self) -> FieldPath {
        match self {
            Edit::Set { path, .. } | Edit::Choose { path, .. } => path.clone(),
            Edit::AddRow { repeat, row, .. } => row_path(repeat, *row),
            Edit::RemoveRow { repeat, row } => removed_path(repeat, *row),
            Edit::Submit { .. } => FieldPath::root(SUBMITTED_KEY),
        }
    }
}

impl From<&Edit> for TouchedField {
    fn from(edit: &Edit) -> Self {
        let (value, choice) = match edit {
            Edit::Set { value, .. } => (value.clone(), None),
            Edit::Choose { choice, chosen, .. } => (None, Some((choice.clone(), *chosen))),
            Edit::Submit { at } => (Some(Scalar::Text(at.clone())), None),
            Edit::RemoveRow { .. } => (Some(removal::word(true)), None),
            Edit::AddRow { .. } => (None, None),
        };
        Self { path: edit.path(), value, choice }
    }
}

/// What a change would do that the document does not hold, nor perhaps what it builds on: `around` are such changes,
/// whose rows it may write in. `None` where not all of it can be told.
pub(super) fn edits_of_unheld(
    document: &Document,
    form: &FormDefinition,
    around: &[&[u8]],
    change: &[u8],
) -> Option<Vec<Edit>> {
    let shape = Shape::of(form);
    let mut work = document.doc.clone();
    let here: HashSet<String> = Snapshot::of(&work, None).containers().map(|(path, _)| path.to_owned()).collect();
    for path in containers(form).into_iter().filter(|path| !here.contains(*path)) {
        edit::add_container(&mut work, document.creation, path).ok()?;
    }
    let mut spots = spots(&Snapshot::of(&work, None));
    for decoded in around.iter().filter_map(|bytes| chunk::decode(bytes).ok()) {
        add_rows(&mut spots, &decoded);
    }
    let decoded = chunk::decode(change).ok()?;
    add_rows(&mut spots, &decoded);
    let keys: HashSet<(Option<OpRef>, &str)> =
        decoded.ops.iter().filter(|op| op.key != PARENT_KEY).map(|op| (op.object, op.key)).collect();
    let writes = writes(&decoded, &spots, &shape);
    let count = writes.len();
    let edits = edits(writes);
    (count == keys.len() && edits.len() == count).then_some(edits)
}

/// The rows that a change adds.
fn add_rows(spots: &mut Spots, change: &Decoded<'_>) {
    let Some(author) = change.actors.first().copied() else { return };
    for (op, counter) in change.ops.iter().zip(change.start_op..).filter(|(op, _)| op.value == OpValue::MakeMap) {
        if let Some(Spot::Container(path)) = spot_of(spots, change, op.object).cloned()
            && let Some(row) = parse_row_key(op.key)
        {
            spots.insert((counter, author), Spot::Row(path, row));
        }
    }
}

/// A change as edits, so that it can be issued again.
pub(super) fn edits(writes: Vec<Write>) -> Vec<Edit> {
    let edits = writes.into_iter().filter_map(|write| {
        Some(match write {
            Write::Field(path, value) => Edit::Set { path, value },
            Write::Choice(path, choice, chosen) => Edit::Choose { path, choice, chosen },
            Write::Row(repeat, row, parent) => Edit::AddRow { repeat, row, parent },
            Write::Mark(repeat, row, true) => Edit::RemoveRow { repeat, row },
            Write::Mark(repeat, row, false) => {
                Edit::Set { path: removed_path(&repeat, row), value: Some(removal::word(false)) }
            }
            Write::Submit(at) => Edit::Submit { at: at? },
        })
    });
    edits.collect()
}
