//! Rows that were removed, and rows that were removed while somebody wrote inside them.
//!
//! A row is gone when every write inside it (nested rows included) was seen by somebody who removed it. Otherwise it
//! stays visible and its `_removed` is a conflict: nothing is lost without being shown.

use std::collections::{BTreeMap, HashMap, HashSet};

use automerge::ChangeHash;

use super::graph::Graph;
use super::layout::{PARENT_KEY, REMOVED_KEY, Shape, am_actor, is_set, our_hash, parse_choice_key, parse_row_key};
use super::snapshot::{CellValue, Object, Place, Snapshot, Written, op_of};
use crate::forms::{Field, Scalar};
use crate::ids::RowId;
use crate::protocol::chunk::{self, OpValue};

/// Value of a `_removed` conflict: that author removed the row.
pub(crate) const REMOVED: &str = "removed";
/// Value of a `_removed` conflict: that author wrote inside the row.
pub(crate) const EDITED: &str = "edited";
/// Value of a `_removed` conflict: that author decided to keep the row.
pub(crate) const KEPT: &str = "kept";

/// What became of a row that somebody removed.
pub(crate) enum Verdict {
    /// Everybody agrees: the row is left out.
    Gone,
    /// The row is shown, and these disagree: what each did, and in which change.
    Disputed(Vec<(&'static str, ChangeHash)>),
}

/// The verdict on every row (by object index) that anybody removed; all other rows are shown.
pub(crate) fn judge(snapshot: &Snapshot<'_>, shape: &Shape<'_>) -> HashMap<usize, Verdict> {
    let mut verdicts = HashMap::new();
    let mut marks: Option<Marks<'_, '_, '_>> = None;
    for (index, object) in snapshot.objects.iter().enumerate() {
        let Place::Row(container, row) = object.place else { continue };
        let Some(cell) = object.cell(REMOVED_KEY) else { continue };
        let written = snapshot.all(object, cell);
        if !written.iter().any(|one| one.value == CellValue::Bool(true)) {
            continue;
        }
        let marks = marks.get_or_insert_with(|| Marks::of(snapshot, shape));
        verdicts.insert(index, marks.verdict(index, container, row, &written));
    }
    verdicts
}

/// A set question inside a repeat, the operation that made its container, and the container of its repeat.
type RowSet<'f> = (&'f Field, (u64, Option<automerge::ActorId>), usize);

/// What the verdicts need to know of the whole document, gathered once.
struct Marks<'s, 'd, 'f> {
    snapshot: &'s Snapshot<'d>,
    /// Nested rows by the container and row that enclose them.
    children: HashMap<(usize, RowId), Vec<usize>>,
    /// Changes that chose a name in a row's set, by the container of the row's repeat.
    chosen: HashMap<(usize, RowId), Vec<ChangeHash>>,
    /// Sets inside repeats.
    sets: Vec<RowSet<'f>>,
    graph: Graph,
}

impl<'s, 'd, 'f> Marks<'s, 'd, 'f> {
    fn of(snapshot: &'s Snapshot<'d>, shape: &Shape<'f>) -> Self {
        let graph = Graph::of(snapshot.doc);
        let mut this = Self { snapshot, children: HashMap::new(), chosen: HashMap::new(), sets: Vec::new(), graph };
        let containers: HashMap<&str, usize> = snapshot
            .objects
            .iter()
            .enumerate()
            .filter_map(|(index, object)| match &object.place {
                Place::Container(path) => Some((path.as_str(), index)),
                _ => None,
            })
            .collect();
        for (index, object) in snapshot.objects.iter().enumerate() {
            match &object.place {
                Place::Row(container, _) => this.note_child(shape, &containers, index, *container, object),
                Place::Container(path) => this.note_choices(shape, &containers, path, object),
                Place::Root => {}
            }
        }
        this.note_sets(shape, &containers);
        this
    }

    fn note_child(
        &mut self,
        shape: &Shape<'_>,
        containers: &HashMap<&str, usize>,
        index: usize,
        container: usize,
        object: &Object<'d>,
    ) {
        let outer = self.snapshot.container_path(container).and_then(|path| *shape.repeats.get(path)?);
        let Some(outer) = outer.and_then(|path| containers.get(path)) else { return };
        let parent = object.cell(PARENT_KEY).map(|cell| CellValue::of(&cell.value));
        if let Some(CellValue::Scalar(Scalar::Text(hex))) = parent
            && let Some(parent) = parse_row_key(&hex)
        {
            self.children.entry((*outer, parent)).or_default().push(index);
        }
    }

    fn note_choices(&mut self, shape: &Shape<'_>, containers: &HashMap<&str, usize>, path: &str, object: &Object<'d>) {
        let Some(field) = shape.set(path) else { return };
        let Some(repeat) = field.repeat.as_deref().and_then(|repeat| containers.get(repeat)) else { return };
        for cell in &object.cells {
            if let Some((Some(row), _)) = parse_choice_key(field, &cell.key) {
                let written = self.snapshot.all(object, cell);
                let hashes: Vec<ChangeHash> = written.iter().filter_map(|one| self.change_of(one)).collect();
                self.chosen.entry((*repeat, row)).or_default().extend(hashes);
            }
        }
    }

    fn note_sets(&mut self, shape: &Shape<'f>, containers: &HashMap<&str, usize>) {
        let fields = shape.fields.values().filter(|field| is_set(field));
        let sets = fields.filter_map(|field| {
            let repeat = containers.get(field.repeat.as_deref()?)?;
            let (_, object) = self.snapshot.container(&field.path)?;
            let (counter, actor) = op_of(&object.id);
            Some((*field, (counter, actor.cloned()), *repeat))
        });
        self.sets = sets.collect();
    }

    /// Rows in whose sets something was un-chosen that none of `seen` knew, with the change. Un-choosing deletes the
    /// key, so that only the changes themselves still tell of it.
    fn unchosen_unseen(&self, seen: &[ChangeHash]) -> Vec<((usize, RowId), ChangeHash)> {
        let mut found = Vec::new();
        if self.sets.is_empty() {
            return found;
        }
        let within = self.snapshot.heads.as_ref().map(|heads| self.graph.closure(heads));
        for change in self.snapshot.doc.get_changes(seen) {
            let hash = change.hash();
            if within.as_ref().is_some_and(|within| !within.contains(&hash)) {
                continue;
            }
            let Ok(decoded) = chunk::decode(change.raw_bytes()) else { continue };
            for op in decoded.ops.iter().filter(|op| op.value == OpValue::Delete) {
                let Some((counter, actor)) = op.object else { continue };
                let id = (counter, decoded.actors.get(actor).copied().map(am_actor));
                if let Some((field, _, repeat)) = self.sets.iter().find(|(_, own, _)| *own == id)
                    && let Some((Some(row), _)) = parse_choice_key(field, op.key)
                {
                    found.push(((*repeat, row), hash));
                }
            }
        }
        found
    }

    fn change_of(&self, written: &Written) -> Option<ChangeHash> {
        self.snapshot.doc.hash_for_opid(&written.id)
    }

    fn verdict(&self, index: usize, container: usize, row: RowId, marks: &[Written]) -> Verdict {
        let by = |truth: bool| {
            let ops = marks.iter().filter(move |one| one.value == CellValue::Bool(truth));
            ops.filter_map(|one| self.change_of(one)).collect::<Vec<_>>()
        };
        let (removers, keepers) = (by(true), by(false));
        let seen = self.graph.closure(&removers);
        let mut unseen: Vec<ChangeHash> = Vec::new();
        let mut rows = HashSet::new();
        self.writes(index, container, row, &mut unseen, &mut rows);
        let unchosen = self.unchosen_unseen(&removers).into_iter();
        unseen.extend(unchosen.filter(|(key, _)| rows.contains(key)).map(|(_, hash)| hash));
        unseen.retain(|hash| !seen.contains(hash) && !keepers.contains(hash));
        if unseen.is_empty() && keepers.is_empty() {
            return Verdict::Gone;
        }
        let mut disputed: BTreeMap<ChangeHash, &'static str> = BTreeMap::new();
        disputed.extend(unseen.iter().map(|hash| (*hash, EDITED)));
        disputed.extend(keepers.iter().map(|hash| (*hash, KEPT)));
        disputed.extend(removers.iter().map(|hash| (*hash, REMOVED)));
        Verdict::Disputed(disputed.into_iter().map(|(hash, what)| (what, hash)).collect())
    }

    /// The changes that wrote what the row and the rows nested in it show, but for removals.
    fn writes(
        &self,
        index: usize,
        container: usize,
        row: RowId,
        out: &mut Vec<ChangeHash>,
        met: &mut HashSet<(usize, RowId)>,
    ) {
        if !met.insert((container, row)) {
            return;
        }
        let Some(object) = self.snapshot.objects.get(index) else { return };
        out.extend(self.snapshot.doc.hash_for_opid(&object.id));
        for cell in &object.cells {
            let written = self.snapshot.all(object, cell);
            let kept = written.iter().filter(|one| cell.key != REMOVED_KEY || one.value != CellValue::Bool(true));
            out.extend(kept.filter_map(|one| self.change_of(one)));
        }
        let key = (container, row);
        out.extend(self.chosen.get(&key).into_iter().flatten());
        for child in self.children.get(&key).into_iter().flatten() {
            if let Some(Place::Row(container, row)) = self.snapshot.objects.get(*child).map(|object| &object.place) {
                self.writes(*child, *container, *row, out, met);
            }
        }
    }
}

/// What a written `_removed` value is called in conflicts and history.
pub(crate) fn word(removed: bool) -> Scalar {
    Scalar::Text(if removed { REMOVED } else { KEPT }.to_owned())
}

/// The `_removed` value that choosing a side of the conflict writes: `removed`, or `kept` (also `edited`).
pub(crate) fn removed_of(value: Option<&Scalar>) -> Option<bool> {
    match value {
        Some(Scalar::Text(text)) if text == REMOVED => Some(true),
        Some(Scalar::Text(text)) if text == KEPT || text == EDITED => Some(false),
        _ => None,
    }
}

/// The verdict's changes in our own type.
pub(crate) fn our_side(side: &(&'static str, ChangeHash)) -> (&'static str, crate::ids::ChangeHash) {
    (side.0, our_hash(&side.1))
}
