//! What a document shows: values, and where people disagree.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use automerge::ReadDoc;

use super::layout::removed_path;
use super::layout::{PARENT_KEY, Shape, am_hash, our_actor, our_hash, parse_choice_key, parse_row_key};
use super::removal::{self, Verdict};
use super::snapshot::{CellValue, Object, Place, Snapshot, Written, op_of};
use super::types::{Conflict, ConflictValue};
use crate::forms::{FieldPath, FormDefinition, Row, Scalar, Values};
use crate::ids::{ActorId, ChangeHash, RowId};

/// A row with what orders it among its siblings.
struct Placed {
    counter: u64,
    row: Row,
}

/// Rows that are shown, by repeat and row id, with their object's index.
pub(crate) type ShownRows = BTreeMap<String, HashMap<RowId, usize>>;

/// Which rows are shown: neither gone nor inside a row that is.
pub(crate) fn shown_rows(snapshot: &Snapshot<'_>, shape: &Shape<'_>, verdicts: &HashMap<usize, Verdict>) -> ShownRows {
    let mut by_repeat: BTreeMap<&str, Vec<(RowId, usize)>> = BTreeMap::new();
    for (index, object) in snapshot.objects.iter().enumerate() {
        let Place::Row(container, row) = object.place else { continue };
        let Some((path, _)) = snapshot.container_path(container).and_then(|path| shape.repeats.get_key_value(path))
        else {
            continue;
        };
        if !matches!(verdicts.get(&index), Some(Verdict::Gone)) {
            by_repeat.entry(path).or_default().push((row, index));
        }
    }
    // A repeat's path begins with that of the repeat around it, so sorted order is outside in.
    let mut shown = ShownRows::new();
    for (path, rows) in by_repeat {
        let outer = shape.repeats.get(path).copied().flatten();
        let rows = rows.into_iter().filter(|(_, index)| {
            let Some(outer) = outer else { return true };
            let parent = snapshot.objects.get(*index).and_then(parent_of);
            parent.is_some_and(|parent| shown.get(outer).is_some_and(|rows| rows.contains_key(&parent)))
        });
        let rows = rows.collect();
        shown.insert(path.to_owned(), rows);
    }
    shown
}

/// The row that encloses a nested one.
pub(crate) fn parent_of(object: &Object<'_>) -> Option<RowId> {
    match CellValue::of(&object.cell(PARENT_KEY)?.value) {
        CellValue::Scalar(Scalar::Text(hex)) => parse_row_key(&hex),
        _ => None,
    }
}

/// All answers, as forms see them.
pub(crate) fn values(snapshot: &Snapshot<'_>, form: &FormDefinition) -> Values {
    let shape = Shape::of(form);
    values_of(snapshot, &shape, &shown_rows(snapshot, &shape, &removal::judge(snapshot, &shape)))
}

/// Every disagreement in fields of the form and about rows, by path.
pub(crate) fn conflicts(snapshot: &Snapshot<'_>, form: &FormDefinition) -> Vec<Conflict> {
    values_and_conflicts(snapshot, form).1
}

/// Both of one snapshot.
pub(crate) fn values_and_conflicts(snapshot: &Snapshot<'_>, form: &FormDefinition) -> (Values, Vec<Conflict>) {
    let shape = Shape::of(form);
    let verdicts = removal::judge(snapshot, &shape);
    let shown = shown_rows(snapshot, &shape, &verdicts);
    (values_of(snapshot, &shape, &shown), conflicts_of(snapshot, &shape, &shown, &verdicts))
}

fn values_of(snapshot: &Snapshot<'_>, shape: &Shape<'_>, shown: &ShownRows) -> Values {
    let mut values = Values::default();
    if let Some(root) = snapshot.objects.first() {
        values.fields = scalars(root, shape, None);
    }
    let mut placed: BTreeMap<String, Vec<Placed>> = BTreeMap::new();
    let mut spots: HashMap<(&str, RowId), usize> = HashMap::new();
    for (path, rows) in shown {
        let mut list: Vec<Placed> = rows
            .iter()
            .filter_map(|(id, index)| {
                let object = snapshot.objects.get(*index)?;
                let mut row = Row::new(*id, parent_of(object));
                row.fields = scalars(object, shape, Some(path));
                Some(Placed { counter: op_of(&object.id).0, row })
            })
            .collect();
        list.sort_unstable_by_key(|placed| (placed.counter, placed.row.id));
        spots.extend(list.iter().enumerate().map(|(spot, placed)| ((path.as_str(), placed.row.id), spot)));
        if !list.is_empty() {
            placed.insert(path.clone(), list);
        }
    }
    add_sets(snapshot, shape, &spots, &mut values.sets, &mut placed);
    values.rows =
        placed.into_iter().map(|(path, list)| (path, list.into_iter().map(|one| one.row).collect())).collect();
    values
}

fn scalars(object: &Object<'_>, shape: &Shape<'_>, repeat: Option<&str>) -> BTreeMap<String, Scalar> {
    let known = object.cells.iter().filter(|cell| is_answer(shape, &cell.key, repeat));
    known.filter_map(|cell| Some((cell.key.to_string(), CellValue::of(&cell.value).into_scalar()?))).collect()
}

fn is_answer(shape: &Shape<'_>, key: &str, repeat: Option<&str>) -> bool {
    shape.scalar(key).is_some_and(|field| field.repeat.as_deref() == repeat)
}

fn add_sets(
    snapshot: &Snapshot<'_>,
    shape: &Shape<'_>,
    spots: &HashMap<(&str, RowId), usize>,
    sets: &mut BTreeMap<String, BTreeSet<String>>,
    rows: &mut BTreeMap<String, Vec<Placed>>,
) {
    for object in &snapshot.objects {
        let Place::Container(path) = &object.place else { continue };
        let Some(field) = shape.set(path) else { continue };
        for cell in object.cells.iter().filter(|cell| CellValue::of(&cell.value) == CellValue::Bool(true)) {
            match (parse_choice_key(field, &cell.key), &field.repeat) {
                (Some((None, choice)), None) => {
                    sets.entry(path.clone()).or_default().insert(choice.to_owned());
                }
                (Some((Some(row), choice)), Some(repeat)) => {
                    let spot = spots.get(&(repeat.as_str(), row));
                    if let Some(placed) = spot.and_then(|spot| rows.get_mut(repeat)?.get_mut(*spot)) {
                        placed.row.sets.entry(path.clone()).or_default().insert(choice.to_owned());
                    }
                }
                _ => {}
            }
        }
    }
}

fn conflicts_of(
    snapshot: &Snapshot<'_>,
    shape: &Shape<'_>,
    shown: &ShownRows,
    verdicts: &HashMap<usize, Verdict>,
) -> Vec<Conflict> {
    let mut found = Vec::new();
    if let Some(root) = snapshot.objects.first() {
        collect(snapshot, shape, root, None, &mut found);
    }
    for (path, rows) in shown {
        for (row, index) in rows {
            let Some(object) = snapshot.objects.get(*index) else { continue };
            collect(snapshot, shape, object, Some((path, *row)), &mut found);
            if let Some(Verdict::Disputed(sides)) = verdicts.get(index) {
                found.push(disputed(snapshot, path, *row, sides));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(
    snapshot: &Snapshot<'_>,
    shape: &Shape<'_>,
    object: &Object<'_>,
    row: Option<(&str, RowId)>,
    found: &mut Vec<Conflict>,
) {
    let repeat = row.map(|(repeat, _)| repeat);
    let cells = object.cells.iter().filter(|cell| cell.conflict && is_answer(shape, &cell.key, repeat));
    for cell in cells {
        let written = get_all(snapshot, object, &cell.key);
        let differ = written.windows(2).any(|pair| matches!(pair, [a, b] if a.value != b.value));
        if differ {
            let path = match row {
                Some((repeat, row)) => FieldPath::in_row(cell.key.as_ref(), repeat, row),
                None => FieldPath::root(cell.key.as_ref()),
            };
            let values = written.into_iter().rev().filter_map(|one| value_of(snapshot, one)).collect();
            found.push(Conflict { path, values: shown_first(values) });
        }
    }
}

fn get_all(snapshot: &Snapshot<'_>, object: &Object<'_>, key: &str) -> Vec<Written> {
    object.cell(key).map(|cell| snapshot.all(object, cell)).unwrap_or_default()
}

fn value_of(snapshot: &Snapshot<'_>, written: Written) -> Option<ConflictValue> {
    let (_, actor) = op_of(&written.id);
    let change = snapshot.doc.hash_for_opid(&written.id)?;
    let time_s = snapshot.doc.get_change_meta_by_hash(&change)?.timestamp;
    let change = our_hash(&change);
    Some(ConflictValue { value: written.value.into_scalar(), actor: our_actor(actor?)?, time_s, change })
}

fn disputed(
    snapshot: &Snapshot<'_>,
    repeat: &str,
    row: RowId,
    sides: &[(&'static str, automerge::ChangeHash)],
) -> Conflict {
    let values = sides.iter().map(removal::our_side).filter_map(|(what, change)| {
        let (actor, time_s) = author(snapshot, change)?;
        Some(ConflictValue { value: Some(Scalar::Text(what.to_owned())), actor, time_s, change })
    });
    let mut values: Vec<ConflictValue> = values.collect();
    // The row is shown, so whoever wants it there comes first: who decided to keep it, else who wrote in it last.
    let rank = |value: &ConflictValue| match &value.value {
        Some(Scalar::Text(what)) if what == removal::KEPT => 2,
        Some(Scalar::Text(what)) if what == removal::EDITED => 1,
        _ => 0,
    };
    values.sort_by_key(|value| std::cmp::Reverse((rank(value), value.time_s, value.change)));
    Conflict { path: removed_path(repeat, row), values: shown_first(values) }
}

fn author(snapshot: &Snapshot<'_>, change: ChangeHash) -> Option<(ActorId, i64)> {
    let meta = snapshot.doc.get_change_meta_by_hash(&am_hash(change))?;
    Some((our_actor(&meta.actor)?, meta.timestamp))
}

/// Keeps the first value in place and sorts the others by time and change.
fn shown_first(mut values: Vec<ConflictValue>) -> Vec<ConflictValue> {
    if let Some((_, others)) = values.split_first_mut() {
        others.sort_by_key(|value| (value.time_s, value.change));
    }
    values
}

/// The submission text that a document shows.
pub(crate) fn submission(doc: &automerge::Automerge, heads: Option<&[automerge::ChangeHash]>) -> Option<String> {
    let key = super::layout::SUBMITTED_KEY;
    let found = match heads {
        Some(heads) => doc.get_at(automerge::ROOT, key, heads),
        None => doc.get(automerge::ROOT, key),
    };
    found.ok().flatten().and_then(|(value, _)| value.into_string().ok())
}
