//! How a record lies in an automerge document: root keys, and the changes that every device makes alike.

use std::collections::HashMap;

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{Automerge, AutomergeError, ObjType, ROOT};
use sha2::{Digest, Sha256};

use super::error::DocumentError;
use crate::forms::{Field, FieldPath, FieldType, FormDefinition, Scalar};
use crate::ids::{ActorId, ChangeHash, RecordId, RowId};
use crate::protocol::chunk::{self, Decoded, Op, OpValue};

/// Root key: the record's id.
pub(crate) const ID_KEY: &str = "_id";
/// Root key: the kind.
pub(crate) const KIND_KEY: &str = "_kind";
/// Root key: form version at creation.
pub(crate) const FORM_KEY: &str = "_form";
/// Root key: the submission text.
pub(crate) const SUBMITTED_KEY: &str = "_submitted";
/// Row key: hex id of the enclosing repeat's row.
pub(crate) const PARENT_KEY: &str = "_parent";
/// Row key: true once the row was removed.
pub(crate) const REMOVED_KEY: &str = "_removed";

/// Actor of every creation change.
pub(crate) const CREATION_ACTOR: ActorId = ActorId(*b"fieldbook/create");

pub(crate) fn am_actor(actor: ActorId) -> automerge::ActorId {
    automerge::ActorId::from(actor.0)
}

pub(crate) fn our_actor(actor: &automerge::ActorId) -> Option<ActorId> {
    ActorId::from_slice(actor.to_bytes()).ok()
}

pub(crate) fn am_hash(hash: ChangeHash) -> automerge::ChangeHash {
    automerge::ChangeHash(hash.0)
}

pub(crate) fn am_hashes(hashes: &[ChangeHash]) -> Vec<automerge::ChangeHash> {
    hashes.iter().copied().map(am_hash).collect()
}

pub(crate) fn our_hash(hash: &automerge::ChangeHash) -> ChangeHash {
    ChangeHash(hash.0)
}

pub(crate) fn library_error(error: &AutomergeError) -> DocumentError {
    DocumentError::Internal { detail: error.to_string() }
}

/// The actor that adds the container `path` to records whose form version lacked it.
pub(crate) fn container_actor(path: &str) -> ActorId {
    let mut hasher = Sha256::new();
    hasher.update(b"fieldbook container\0");
    hasher.update(path.as_bytes());
    let mut actor = [0; 16];
    actor.copy_from_slice(&hasher.finalize()[..16]);
    ActorId(actor)
}

/// The actors of creation and containers belong to nobody.
pub(crate) fn is_system_actor(form: &FormDefinition, actor: ActorId) -> bool {
    actor == CREATION_ACTOR || containers(form).into_iter().any(|path| container_actor(path) == actor)
}

/// Every container of the form: repeats (nested too) and select_multiple questions, sorted.
pub(crate) fn containers(form: &FormDefinition) -> Vec<&str> {
    let mut paths: Vec<&str> = form.repeats.iter().map(|(path, _)| path.as_str()).collect();
    paths.extend(form.fields.iter().filter(|field| is_set(field)).map(|field| field.path.as_str()));
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// Stored as a map of choice names.
pub(crate) fn is_set(field: &Field) -> bool {
    field.field_type == FieldType::SelectMultiple && !field.calculated
}

/// Stored as one value.
pub(crate) fn is_scalar(field: &Field) -> bool {
    !field.calculated && !matches!(field.field_type, FieldType::SelectMultiple | FieldType::Note)
}

/// Whether the value's type is the one that fields of this type store.
pub(crate) fn fits(field: &Field, value: &Scalar) -> bool {
    match field.field_type {
        FieldType::Integer => matches!(value, Scalar::Integer(_)),
        FieldType::Calculate | FieldType::Meta => true,
        _ => matches!(value, Scalar::Text(_)),
    }
}

/// Name of a row's key in its repeat.
pub(crate) fn row_key(row: RowId) -> String {
    row.to_string()
}

/// The row that a key of a repeat names: exactly 16 lower-case hex digits.
pub(crate) fn parse_row_key(key: &str) -> Option<RowId> {
    let canonical = key.len() == 16 && key.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if canonical { key.parse().ok() } else { None }
}

/// Key of a choice in its set: the name, in a repeat after the row.
pub(crate) fn choice_key(row: Option<RowId>, choice: &str) -> String {
    match row {
        Some(row) => format!("{row}/{choice}"),
        None => choice.to_owned(),
    }
}

/// The row and name that a key of `field`'s set stands for.
pub(crate) fn parse_choice_key<'k>(field: &Field, key: &'k str) -> Option<(Option<RowId>, &'k str)> {
    if field.repeat.is_none() {
        return Some((None, key));
    }
    let (row, choice) = key.split_once('/')?;
    Some((Some(parse_row_key(row)?), choice))
}

/// Address of a row's removal mark.
pub(crate) fn removed_path(repeat: &str, row: RowId) -> FieldPath {
    FieldPath::in_row(format!("{repeat}/{REMOVED_KEY}"), repeat, row)
}

/// Address of a row itself.
pub(crate) fn row_path(repeat: &str, row: RowId) -> FieldPath {
    FieldPath::in_row(repeat, repeat, row)
}

/// A form's fields and repeats by path.
pub(crate) struct Shape<'f> {
    pub(crate) fields: HashMap<&'f str, &'f Field>,
    pub(crate) repeats: HashMap<&'f str, Option<&'f str>>,
}

impl<'f> Shape<'f> {
    pub(crate) fn of(form: &'f FormDefinition) -> Self {
        Self {
            fields: form.fields.iter().map(|field| (field.path.as_str(), field)).collect(),
            repeats: form.repeats.iter().map(|(path, parent)| (path.as_str(), parent.as_deref())).collect(),
        }
    }

    /// The set question at `path`, if it is one.
    pub(crate) fn set(&self, path: &str) -> Option<&'f Field> {
        self.fields.get(path).copied().filter(|field| is_set(field))
    }

    /// The scalar question at `path`, if it is one.
    pub(crate) fn scalar(&self, path: &str) -> Option<&'f Field> {
        self.fields.get(path).copied().filter(|field| is_scalar(field))
    }
}

/// The creation change: the same bytes wherever the same id, kind, version and containers are created.
pub(crate) fn creation(id: RecordId, form: &FormDefinition) -> Result<Automerge, AutomergeError> {
    let mut doc = Automerge::new().with_actor(am_actor(CREATION_ACTOR));
    let mut tx = doc.transaction();
    tx.put(ROOT, ID_KEY, id.0.to_vec())?;
    tx.put(ROOT, KIND_KEY, form.kind.as_str())?;
    tx.put(ROOT, FORM_KEY, form.version.as_str())?;
    for path in containers(form) {
        tx.put_object(ROOT, path, ObjType::Map)?;
    }
    tx.commit_with(CommitOptions::default().with_time(0));
    Ok(doc)
}

/// The hash of the creation change, without making a document: changes are sent by what they build on, and most build on
/// this one.
pub(crate) fn creation_hash(id: RecordId, form: &FormDefinition) -> Option<ChangeHash> {
    let op = |key, value| Op { object: None, key, value, preds: Vec::new() };
    let mut ops = vec![
        op(ID_KEY, OpValue::Bytes(id.as_bytes())),
        op(KIND_KEY, OpValue::Text(&form.kind)),
        op(FORM_KEY, OpValue::Text(&form.version)),
    ];
    ops.extend(containers(form).into_iter().map(|path| op(path, OpValue::MakeMap)));
    let content = Decoded {
        hash: ChangeHash([0; 32]),
        deps: Vec::new(),
        actors: vec![CREATION_ACTOR],
        seq: 1,
        start_op: 1,
        time_s: 0,
        ops,
    };
    chunk::write(&content).map(|(_, hash)| hash)
}

/// The change that adds the container `path`: it depends on nothing but the creation, so that it is the same bytes
/// whoever makes it, whatever else the record holds by then.
pub(crate) fn container_change(creation: automerge::Change, path: &str) -> Result<automerge::Change, AutomergeError> {
    let mut doc = Automerge::new();
    doc.apply_changes([creation])?;
    doc.set_actor(am_actor(container_actor(path)));
    let mut tx = doc.transaction();
    tx.put_object(ROOT, path, ObjType::Map)?;
    tx.commit_with(CommitOptions::default().with_time(0));
    doc.get_last_local_change().ok_or(AutomergeError::Fail)
}

/// Bytes of one choice name.
pub(crate) const CHOICE_BYTES_MAX: usize = 200;
/// Bytes of a submission text.
pub(crate) const SUBMISSION_BYTES_MAX: usize = 64;

/// Whether a text may be the name of a choice.
pub(crate) fn is_choice_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= CHOICE_BYTES_MAX && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}
