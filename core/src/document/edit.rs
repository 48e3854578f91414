//! One save: what differs from what the heads show, as one change made at those heads.

use std::collections::HashMap;

use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{Automerge, ChangeHash, ObjId, ObjType, PatchLog, ROOT, ReadDoc};

use super::error::DocumentError;
use super::graph::Graph;
use super::layout::{
    PARENT_KEY, REMOVED_KEY, SUBMISSION_BYTES_MAX, SUBMITTED_KEY, Shape, am_actor, am_hash, am_hashes, choice_key,
    container_change, fits, is_choice_name, library_error, removed_path, row_key, row_path,
};
use super::read::{self, ShownRows};
use super::removal;
use super::snapshot::{CellValue, Place, Snapshot};
use super::types::RawChange;
use super::{Document, raw_change};
use crate::forms::{Edit, FieldPath, FormDefinition, Scalar};
use crate::ids::{ActorId, RowId};
use crate::limits::{RECORD_ROWS_MAX, TEXT_CHARS_MAX};
use crate::protocol::limits::{CHANGE_BYTES_MAX, CHANGE_OPS_MAX, RECORD_OPS_MAX};

/// Where a value is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Target {
    Root,
    Set(String),
    Row(String, RowId),
}

/// One key that the save leaves with this value.
struct Wish {
    target: Target,
    key: String,
    value: CellValue,
}

/// What a key needs to come to hold the wished value.
enum Step {
    Nothing,
    Put,
    /// The library turns putting the winner of a conflict into deleting the losers, which a second, different choice
    /// made elsewhere would silently beat. So another of the values is put first.
    PutOver(CellValue),
}

/// The document after the save and its change; the one passed in is untouched.
pub(super) fn edit(
    document: &Document,
    form: &FormDefinition,
    at: &[crate::ids::ChangeHash],
    actor: ActorId,
    time_s: i64,
    edits: &[Edit],
) -> Result<Option<(Automerge, RawChange)>, DocumentError> {
    if form.kind != document.head.kind {
        return Err(DocumentError::OtherKind { record: document.head.kind.clone(), form: form.kind.clone() });
    }
    let heads = known_heads(document, at)?;
    let now = Snapshot::of(&document.doc, None);
    let past = if heads == document.doc.get_heads() { None } else { Some(Snapshot::of(&document.doc, Some(&heads))) };
    let shape = Shape::of(form);
    let mut plan = Plan::of(past.as_ref().unwrap_or(&now), &now, &shape);
    for edit in edits {
        plan.add(edit)?;
    }
    let (rows, puts) = plan.finish();
    if rows.is_empty() && puts.is_empty() {
        return Ok(None);
    }
    let mut work = document.doc.clone();
    let heads = add_containers(&mut work, document, heads, &rows, &puts, past.as_ref().unwrap_or(&now))?;
    check_actor(&work, &heads, actor)?;
    work.set_actor(am_actor(actor));
    let change = commit(&mut work, &heads, time_s, &rows, &puts)?;
    Ok(Some((work, change)))
}

/// The heads as the library wants them: sorted, known, at least one.
fn known_heads(document: &Document, at: &[crate::ids::ChangeHash]) -> Result<Vec<ChangeHash>, DocumentError> {
    if at.is_empty() {
        return Err(DocumentError::UnknownHeads { head: crate::ids::ChangeHash([0; 32]) });
    }
    let mut heads = am_hashes(at);
    heads.sort_unstable();
    heads.dedup();
    if heads == document.doc.get_heads() {
        return Ok(heads);
    }
    if let Some(head) = at.iter().find(|head| !document.contains(head)) {
        return Err(DocumentError::UnknownHeads { head: *head });
    }
    Ok(Graph::of(&document.doc).maximal(&heads))
}

/// A row to add, with the row around it.
type NewRow = (String, RowId, Option<RowId>);

/// A key to write, and how.
type Put = (Wish, Step);

/// What the edits come to, against what the heads show.
struct Plan<'p, 'd, 'f> {
    past: &'p Snapshot<'d>,
    shape: &'p Shape<'f>,
    shown: ShownRows,
    /// Every row that the document holds now, with its object in `past` if it is there.
    known: HashMap<(String, RowId), Option<usize>>,
    rows: Vec<NewRow>,
    wishes: Vec<Wish>,
    index: HashMap<(Target, String), usize>,
}

impl<'p, 'd, 'f> Plan<'p, 'd, 'f> {
    fn of(past: &'p Snapshot<'d>, now: &Snapshot<'_>, shape: &'p Shape<'f>) -> Self {
        let verdicts = removal::judge(past, shape);
        let shown = read::shown_rows(past, shape, &verdicts);
        let mut known: HashMap<(String, RowId), Option<usize>> =
            rows_of(now).map(|(repeat, row, _)| ((repeat.to_owned(), row), None)).collect();
        known.extend(rows_of(past).map(|(repeat, row, index)| ((repeat.to_owned(), row), Some(index))));
        Self { past, shape, shown, known, rows: Vec::new(), wishes: Vec::new(), index: HashMap::new() }
    }

    fn add(&mut self, edit: &Edit) -> Result<(), DocumentError> {
        match edit {
            Edit::Set { path, value } => match removal_of(path) {
                Some((repeat, row)) => self.mark(path, repeat, row, value.as_ref()),
                None => self.set(path, value.as_ref()),
            },
            Edit::Choose { path, choice, chosen } => self.choose(path, choice, *chosen),
            Edit::AddRow { repeat, row, parent } => self.add_row(repeat, *row, *parent),
            Edit::RemoveRow { repeat, row } => {
                self.mark(&removed_path(repeat, *row), repeat, *row, Some(&removal::word(true)))
            }
            Edit::Submit { at } => {
                limit("the submission text in bytes", at.len(), SUBMISSION_BYTES_MAX)?;
                if at.is_empty() {
                    return Err(not_writable(SUBMITTED_KEY, "the submission text is empty"));
                }
                self.wish(Target::Root, SUBMITTED_KEY, CellValue::Scalar(Scalar::Text(at.clone())));
                Ok(())
            }
        }
    }

    fn set(&mut self, path: &FieldPath, value: Option<&Scalar>) -> Result<(), DocumentError> {
        let field = self.shape.scalar(&path.field);
        let field = field.ok_or_else(|| not_writable(path, "the form stores no single answer there"))?;
        if field.repeat.as_deref() != path.row.as_ref().map(|(repeat, _)| repeat.as_str()) {
            return Err(not_writable(path, "the form has this field in another repeat"));
        }
        if let Some(value) = value {
            if !fits(field, value) {
                return Err(not_writable(path, "the value is not of the field's type"));
            }
            if let Scalar::Text(text) = value {
                limit(&format!("the text of {path} in characters"), text.chars().count(), TEXT_CHARS_MAX)?;
            }
        }
        let target = match &path.row {
            Some((repeat, row)) => self.row(repeat, *row)?,
            None => Target::Root,
        };
        self.wish(target, &path.field, value.cloned().map_or(CellValue::Null, CellValue::Scalar));
        Ok(())
    }

    fn choose(&mut self, path: &FieldPath, choice: &str, chosen: bool) -> Result<(), DocumentError> {
        let field = self.shape.set(&path.field);
        let field = field.ok_or_else(|| not_writable(path, "the form has no question with several choices there"))?;
        if field.repeat.as_deref() != path.row.as_ref().map(|(repeat, _)| repeat.as_str()) {
            return Err(not_writable(path, "the form has this field in another repeat"));
        }
        if !is_choice_name(choice) {
            return Err(not_writable(path, "a choice is a short name without spaces"));
        }
        if let Some((repeat, row)) = &path.row {
            self.row(repeat, *row)?;
        }
        let key = choice_key(path.row.as_ref().map(|(_, row)| *row), choice);
        let value = if chosen { CellValue::Bool(true) } else { CellValue::Null };
        self.wish(Target::Set(path.field.clone()), &key, value);
        Ok(())
    }

    fn add_row(&mut self, repeat: &str, row: RowId, parent: Option<RowId>) -> Result<(), DocumentError> {
        let path = row_path(repeat, row);
        let outer = self.shape.repeats.get(repeat).copied();
        match (outer, parent) {
            (None, _) => return Err(not_writable(path, "the form has no such repeat")),
            (Some(None), Some(_)) => return Err(not_writable(path, "this repeat is in no other")),
            (Some(Some(_)), None) => return Err(not_writable(path, "a nested row needs the row around it")),
            (Some(Some(outer)), Some(parent)) => self.row(outer, parent).map(|_| ())?,
            (Some(None), None) => {}
        }
        if self.known.contains_key(&(repeat.to_owned(), row)) {
            return Err(DocumentError::RowExists { path: path.to_string() });
        }
        limit("the record's rows", self.known.len() + 1, RECORD_ROWS_MAX)?;
        self.known.insert((repeat.to_owned(), row), None);
        self.shown.entry(repeat.to_owned()).or_default().insert(row, usize::MAX);
        self.rows.push((repeat.to_owned(), row, parent));
        Ok(())
    }

    /// Writes a row's removal mark: removed or kept.
    fn mark(
        &mut self,
        path: &FieldPath,
        repeat: &str,
        row: RowId,
        value: Option<&Scalar>,
    ) -> Result<(), DocumentError> {
        let removed = removal::removed_of(value);
        let removed = removed.ok_or_else(|| not_writable(path, "a row is `removed` or `kept`"))?;
        let seen = self.known.get(&(repeat.to_owned(), row)).is_some_and(Option::is_some);
        if !seen && !self.is_new(repeat, row) {
            return Err(DocumentError::NoSuchRow { path: row_path(repeat, row).to_string() });
        }
        self.wish(Target::Row(repeat.to_owned(), row), REMOVED_KEY, CellValue::Bool(removed));
        Ok(())
    }

    fn is_new(&self, repeat: &str, row: RowId) -> bool {
        self.rows.iter().any(|(own, id, _)| own == repeat && *id == row)
    }

    /// A row that may be written into.
    fn row(&self, repeat: &str, row: RowId) -> Result<Target, DocumentError> {
        if self.shown.get(repeat).is_some_and(|rows| rows.contains_key(&row)) {
            return Ok(Target::Row(repeat.to_owned(), row));
        }
        Err(DocumentError::NoSuchRow { path: row_path(repeat, row).to_string() })
    }

    /// Notes a wish; a later one for the same key replaces it.
    fn wish(&mut self, target: Target, key: &str, value: CellValue) {
        let spot = (target.clone(), key.to_owned());
        match self.index.get(&spot).and_then(|at| self.wishes.get_mut(*at)) {
            Some(wish) => wish.value = value,
            None => {
                self.index.insert(spot, self.wishes.len());
                self.wishes.push(Wish { target, key: key.to_owned(), value });
            }
        }
    }

    /// The rows to add and the keys that differ.
    fn finish(mut self) -> (Vec<NewRow>, Vec<Put>) {
        let wishes = std::mem::take(&mut self.wishes);
        let steps = wishes.into_iter().map(|wish| {
            let step = self.step(&wish);
            (wish, step)
        });
        let puts = steps.filter(|(_, step)| !matches!(step, Step::Nothing)).collect();
        (self.rows, puts)
    }

    fn step(&self, wish: &Wish) -> Step {
        let object = match &wish.target {
            Target::Root => self.past.objects.first(),
            Target::Set(path) => self.past.container(path).map(|(_, object)| object),
            Target::Row(repeat, row) => {
                let index = self.known.get(&(repeat.clone(), *row)).copied().flatten();
                index.and_then(|index| self.past.objects.get(index))
            }
        };
        let cell = object.and_then(|object| Some((object, object.cell(&wish.key)?)));
        let held: Vec<CellValue> = cell
            .map(|(object, cell)| self.past.all(object, cell).into_iter().map(|one| one.value).collect())
            .unwrap_or_default();
        let Some(last) = held.last() else {
            let absent = matches!(wish.value, CellValue::Null)
                || (wish.key == REMOVED_KEY && wish.value == CellValue::Bool(false));
            return if absent { Step::Nothing } else { Step::Put };
        };
        let settled = held.iter().all(|value| value == last);
        if wish.key == REMOVED_KEY && *last == wish.value {
            return self.mark_again(wish, settled);
        }
        match held.iter().find(|value| *value != last) {
            None if *last == wish.value => Step::Nothing,
            Some(other) if *last == wish.value => Step::PutOver(other.clone()),
            _ => Step::Put,
        }
    }

    /// A removal mark with the wished value is there already: it is written again only where others disagree.
    fn mark_again(&self, wish: &Wish, settled: bool) -> Step {
        let CellValue::Bool(removed) = wish.value else { return Step::Put };
        let Target::Row(repeat, row) = &wish.target else { return Step::Put };
        let shown = self.shown.get(repeat).is_some_and(|rows| rows.contains_key(row));
        if settled && shown != removed { Step::Nothing } else { Step::PutOver(CellValue::Bool(!removed)) }
    }
}

/// Every row of a snapshot: its repeat's path, its id, its object's index.
fn rows_of<'s>(snapshot: &'s Snapshot<'_>) -> impl Iterator<Item = (&'s str, RowId, usize)> {
    snapshot.objects.iter().enumerate().filter_map(|(index, object)| match object.place {
        Place::Row(container, row) => Some((snapshot.container_path(container)?, row, index)),
        _ => None,
    })
}

/// The row whose removal mark the path is.
fn removal_of(path: &FieldPath) -> Option<(&str, RowId)> {
    let (repeat, row) = path.row.as_ref()?;
    let is = path.field.strip_prefix(repeat.as_str())?.strip_prefix('/')? == REMOVED_KEY;
    is.then_some((repeat.as_str(), *row))
}

/// Makes sure that every container the save writes to is in its past; returns the heads with what that adds.
fn add_containers(
    work: &mut Automerge,
    document: &Document,
    mut heads: Vec<ChangeHash>,
    rows: &[NewRow],
    puts: &[Put],
    past: &Snapshot<'_>,
) -> Result<Vec<ChangeHash>, DocumentError> {
    let mut wanted: Vec<&str> = rows.iter().map(|(repeat, ..)| repeat.as_str()).collect();
    wanted.extend(puts.iter().filter_map(|(wish, _)| match &wish.target {
        Target::Set(path) => Some(path.as_str()),
        _ => None,
    }));
    wanted.sort_unstable();
    wanted.dedup();
    wanted.retain(|path| past.container(path).is_none());
    for path in &wanted {
        heads.push(add_container(work, document.creation, path)?);
    }
    Ok(if wanted.is_empty() { heads } else { Graph::of(work).maximal(&heads) })
}

/// Adds a container that the record's created version lacks, unless it is there; returns its change.
pub(crate) fn add_container(
    work: &mut Automerge,
    creation: crate::ids::ChangeHash,
    path: &str,
) -> Result<ChangeHash, DocumentError> {
    let change = container_of(work, creation, path)?;
    let hash = change.hash();
    if work.get_change_meta_by_hash(&hash).is_none() {
        work.apply_changes([change]).map_err(|error| library_error(&error))?;
    }
    Ok(hash)
}

/// The change that would add a container to this record.
pub(crate) fn container_of(
    doc: &Automerge,
    creation: crate::ids::ChangeHash,
    path: &str,
) -> Result<automerge::Change, DocumentError> {
    let base = doc.get_change_by_hash(&am_hash(creation));
    let base = base.ok_or_else(|| DocumentError::Damaged { detail: "it has no creation change".to_owned() })?;
    container_change(base, path).map_err(|error| library_error(&error))
}

/// The library would silently write under a derived, longer actor id.
fn check_actor(work: &Automerge, heads: &[ChangeHash], actor: ActorId) -> Result<(), DocumentError> {
    if heads == work.get_heads() {
        return Ok(());
    }
    let graph = Graph::of(work);
    match graph.last_of(&am_actor(actor)) {
        Some((last, _)) if !graph.closure(heads).contains(&last) => Err(DocumentError::ActorBusy { actor }),
        _ => Ok(()),
    }
}

fn commit(
    work: &mut Automerge,
    heads: &[ChangeHash],
    time_s: i64,
    rows: &[NewRow],
    puts: &[Put],
) -> Result<RawChange, DocumentError> {
    let heads_now = work.get_heads();
    let last = heads_now.iter().filter_map(|head| work.get_change_meta_by_hash(head)).map(|meta| meta.max_op).max();
    let inner = |detail: &str| DocumentError::Internal { detail: detail.to_owned() };
    let mut tx =
        work.transaction_at(PatchLog::inactive(), heads).map_err(|_| inner("patch log of another document"))?;
    write(&mut tx, rows, puts)?;
    let ops = tx.pending_ops() as u64;
    if ops > CHANGE_OPS_MAX || last.unwrap_or(0) + ops > RECORD_OPS_MAX {
        let what = "the save in operations (or the record over all saves)".to_owned();
        return Err(DocumentError::TooLarge { what, size: ops, limit: CHANGE_OPS_MAX });
    }
    let (hash, _) = tx.commit_with(CommitOptions::default().with_time(time_s));
    let change = hash.and_then(|hash| work.get_change_by_hash(&hash)).as_ref().and_then(raw_change);
    let change = change.ok_or_else(|| inner("the save made no change of its actor"))?;
    limit("the save in bytes", change.bytes.len(), CHANGE_BYTES_MAX)?;
    Ok(change)
}

fn write(tx: &mut Transaction<'_>, rows: &[NewRow], puts: &[Put]) -> Result<(), DocumentError> {
    let mut objects: HashMap<Target, ObjId> = HashMap::from([(Target::Root, ROOT)]);
    for (repeat, row, parent) in rows {
        let container = child(tx, &ROOT, repeat)?;
        let object = tx.put_object(container, row_key(*row), ObjType::Map).map_err(|error| library_error(&error))?;
        if let Some(parent) = parent {
            tx.put(&object, PARENT_KEY, row_key(*parent)).map_err(|error| library_error(&error))?;
        }
        objects.insert(Target::Row(repeat.clone(), *row), object);
    }
    for (wish, step) in puts {
        let object = match objects.get(&wish.target) {
            Some(object) => object.clone(),
            None => {
                let object = match &wish.target {
                    Target::Root => ROOT,
                    Target::Set(path) => child(tx, &ROOT, path)?,
                    Target::Row(repeat, row) => {
                        let container = child(tx, &ROOT, repeat)?;
                        child(tx, &container, &row_key(*row))?
                    }
                };
                objects.insert(wish.target.clone(), object.clone());
                object
            }
        };
        if let Step::PutOver(other) = step {
            put(tx, &object, &wish.key, other)?;
        }
        if matches!((&wish.target, &wish.value), (Target::Set(_), CellValue::Null)) {
            tx.delete(&object, wish.key.as_str()).map_err(|error| library_error(&error))?;
        } else {
            put(tx, &object, &wish.key, &wish.value)?;
        }
    }
    Ok(())
}

fn put(tx: &mut Transaction<'_>, object: &ObjId, key: &str, value: &CellValue) -> Result<(), DocumentError> {
    let done = match value {
        CellValue::Scalar(Scalar::Text(text)) => tx.put(object, key, text.as_str()),
        CellValue::Scalar(Scalar::Integer(number)) => tx.put(object, key, *number),
        CellValue::Bool(truth) => tx.put(object, key, *truth),
        CellValue::Null | CellValue::Map | CellValue::Foreign => tx.put(object, key, ()),
    };
    done.map_err(|error| library_error(&error))
}

fn child(tx: &Transaction<'_>, parent: &ObjId, key: &str) -> Result<ObjId, DocumentError> {
    let found = tx.get(parent, key).map_err(|error| library_error(&error))?;
    let missing = || DocumentError::Internal { detail: format!("{key} is not there") };
    found.filter(|(value, _)| value.is_object()).map(|(_, id)| id).ok_or_else(missing)
}

fn not_writable(path: impl ToString, reason: &'static str) -> DocumentError {
    DocumentError::NotWritable { path: path.to_string(), reason }
}

fn limit(what: &str, size: usize, limit: usize) -> Result<(), DocumentError> {
    if size <= limit {
        return Ok(());
    }
    Err(DocumentError::TooLarge { what: what.to_owned(), size: size as u64, limit: limit as u64 })
}
