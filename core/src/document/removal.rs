//! Rows that were removed, and rows that were removed while somebody wrote inside them.
//!
//! A row is gone when every write inside it (nested rows included) was seen by somebody who removed it. Otherwise it
//! stays visible and its `_removed` is a conflict: nothing is lost without being shown.

use std::collections::{BTreeMap, HashMap, HashSet};

use automerge::ChangeHash;

use super::chunk::{self, OpValue};
use super::graph::Graph;
use super::layout::{PARENT_KEY, REMOVED_KEY, Shape, am_actor, our_hash, parse_choice_key, parse_row_key};
use super::snapshot::{CellValue, Object, Place, Snapshot, Written};
use crate::forms::Scalar;
use crate::ids::RowId;

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
    let mut marks: Option<Marks<'_, '_>> = None;
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

/// What the verdicts need to know of the whole document, gathered once.
struct Marks<'s, 'd> {
    snapshot: &'s Snapshot<'d>,
    /// Nested rows by the container and row that enclose them.
    children: HashMap<(usize, RowId), Vec<usize>>,
    /// Changes that chose a name in a row's set, by the container of the row's repeat.
    chosen: HashMap<(usize, RowId), Vec<ChangeHash>>,
    /// Changes that un-chose a name in a row's set, likewise.
    unchosen: HashMap<(usize, RowId), Vec<ChangeHash>>,
    graph: Graph,
}

impl<'s, 'd> Marks<'s, 'd> {
    fn of(snapshot: &'s Snapshot<'d>, shape: &Shape<'_>) -> Self {
        let graph = Graph::of(snapshot.doc);
        let mut this =
            Self { snapshot, children: HashMap::new(), chosen: HashMap::new(), unchosen: HashMap::new(), graph };
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
        this.note_unchosen(shape, &containers);
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

    /// Un-choosing deletes the key, so that only the changes themselves still tell of it.
    fn note_unchosen(&mut self, shape: &Shape<'_>, containers: &HashMap<&str, usize>) {
        let sets: Vec<_> = shape
            .fields
            .values()
            .filter(|field| super::layout::is_set(field) && field.repeat.is_some())
            .filter_map(|field| {
                let (_, object) = self.snapshot.container(&field.path)?;
                let repeat = containers.get(field.repeat.as_deref()?)?;
                Some((*field, super::snapshot::op_of(&object.id), *repeat))
            })
            .collect();
        if sets.is_empty() {
            return;
        }
        let within = self.snapshot.heads.as_ref().map(|heads| self.graph.closure(heads));
        for change in self.snapshot.doc.get_changes(&[]) {
            let hash = change.hash();
            if within.as_ref().is_some_and(|within| !within.contains(&hash)) {
                continue;
            }
            let Ok(decoded) = chunk::decode(change.raw_bytes()) else { continue };
            for op in decoded.ops.iter().filter(|op| op.value == OpValue::Delete) {
                let Some((counter, actor)) = op.object else { continue };
                let actor = decoded.actors.get(actor).copied().map(am_actor);
                let set = sets.iter().find(|(_, (own, owner), _)| *own == counter && owner.cloned() == actor);
                if let Some((field, _, repeat)) = set
                    && let Some((Some(row), _)) = parse_choice_key(field, op.key)
                {
                    self.unchosen.entry((*repeat, row)).or_default().push(hash);
                }
            }
        }
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
        self.writes(index, container, row, &mut unseen, &mut HashSet::new());
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
    fn writes(&self, index: usize, container: usize, row: RowId, out: &mut Vec<ChangeHash>, met: &mut HashSet<usize>) {
        if !met.insert(index) {
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
        out.extend(self.chosen.get(&key).into_iter().chain(self.unchosen.get(&key)).flatten());
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
