//! One pass over what a document shows at some heads: objects and their visible cells.

use std::collections::HashMap;
use std::sync::Arc;

use automerge::iter::{DocItem, MapRangeItem};
use automerge::{Automerge, ChangeHash, ObjId, ObjType, ROOT, ReadDoc, ScalarValueRef, ValueRef};

use super::layout::parse_row_key;
use crate::forms::Scalar;
use crate::ids::RowId;

/// What an object of the document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The root map.
    Root,
    /// A repeat or a set, under this root key.
    Container(String),
    /// A row of the container at this index.
    Row(usize, RowId),
}

/// One object and what is visible in it.
pub(crate) struct Object<'d> {
    pub(crate) id: ObjId,
    pub(crate) place: Place,
    pub(crate) cells: Vec<MapRangeItem<'d>>,
}

/// Everything visible at some heads (`None` = now).
pub(crate) struct Snapshot<'d> {
    pub(crate) doc: &'d Automerge,
    pub(crate) heads: Option<Vec<ChangeHash>>,
    pub(crate) objects: Vec<Object<'d>>,
}

/// One of the values that a cell holds.
pub(crate) struct Written {
    pub(crate) value: CellValue,
    pub(crate) id: ObjId,
}

/// A value as documents store it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CellValue {
    /// A cleared answer.
    Null,
    /// `_removed` and choices.
    Bool(bool),
    /// An answer.
    Scalar(Scalar),
    /// A row or container.
    Map,
    /// Nothing that this layout writes.
    Foreign,
}

impl CellValue {
    pub(crate) fn of(value: &ValueRef<'_>) -> Self {
        match value {
            ValueRef::Object(ObjType::Map) => Self::Map,
            ValueRef::Object(_) => Self::Foreign,
            ValueRef::Scalar(ScalarValueRef::Str(text)) => Self::Scalar(Scalar::Text(text.clone().into_owned())),
            ValueRef::Scalar(ScalarValueRef::Int(number)) => Self::Scalar(Scalar::Integer(*number)),
            ValueRef::Scalar(ScalarValueRef::Boolean(truth)) => Self::Bool(*truth),
            ValueRef::Scalar(ScalarValueRef::Null) => Self::Null,
            ValueRef::Scalar(_) => Self::Foreign,
        }
    }

    fn of_owned(value: &automerge::Value<'_>) -> Self {
        match value {
            automerge::Value::Object(ObjType::Map) => Self::Map,
            automerge::Value::Object(_) => Self::Foreign,
            automerge::Value::Scalar(scalar) => match scalar.as_ref() {
                automerge::ScalarValue::Str(text) => Self::Scalar(Scalar::Text(text.to_string())),
                automerge::ScalarValue::Int(number) => Self::Scalar(Scalar::Integer(*number)),
                automerge::ScalarValue::Boolean(truth) => Self::Bool(*truth),
                automerge::ScalarValue::Null => Self::Null,
                _ => Self::Foreign,
            },
        }
    }

    /// The answer, if it is one; a cleared answer is none.
    pub(crate) fn into_scalar(self) -> Option<Scalar> {
        if let Self::Scalar(scalar) = self { Some(scalar) } else { None }
    }
}

impl<'d> Snapshot<'d> {
    pub(crate) fn of(doc: &'d Automerge, heads: Option<&[ChangeHash]>) -> Self {
        let root = Object { id: ROOT, place: Place::Root, cells: Vec::new() };
        let mut this = Self { doc, heads: heads.map(<[_]>::to_vec), objects: vec![root] };
        let mut index: HashMap<ObjId, usize> = HashMap::from([(ROOT, 0)]);
        let mut current: Option<(Arc<ObjId>, usize)> = None;
        for entry in doc.iter_at(ROOT, heads) {
            let DocItem::Map(cell) = entry.item else { continue };
            let at = match &current {
                Some((id, at)) if Arc::ptr_eq(id, &entry.obj) => *at,
                _ => {
                    let Some(at) = index.get(entry.obj.as_ref()).copied() else { continue };
                    current = Some((Arc::clone(&entry.obj), at));
                    at
                }
            };
            if matches!(cell.value, ValueRef::Object(ObjType::Map))
                && let Some(place) = this.place_below(at, &cell.key)
            {
                index.insert(cell.id(), this.objects.len());
                this.objects.push(Object { id: cell.id(), place, cells: Vec::new() });
            }
            if let Some(object) = this.objects.get_mut(at) {
                object.cells.push(cell);
            }
        }
        this
    }

    fn place_below(&self, parent: usize, key: &str) -> Option<Place> {
        match self.objects.get(parent)?.place {
            Place::Root => Some(Place::Container(key.to_owned())),
            Place::Container(_) => parse_row_key(key).map(|row| Place::Row(parent, row)),
            Place::Row(..) => None,
        }
    }

    /// The container at this root key, with its index.
    pub(crate) fn container(&self, path: &str) -> Option<(usize, &Object<'d>)> {
        let is = |object: &Object<'_>| matches!(&object.place, Place::Container(own) if own == path);
        self.objects.iter().enumerate().find(|(_, object)| is(object))
    }

    /// Every container by its root key.
    pub(crate) fn containers(&self) -> impl Iterator<Item = (&str, &Object<'d>)> {
        self.objects.iter().filter_map(|object| match &object.place {
            Place::Container(path) => Some((path.as_str(), object)),
            _ => None,
        })
    }

    /// Path of the container at an index.
    pub(crate) fn container_path(&self, index: usize) -> Option<&str> {
        match &self.objects.get(index)?.place {
            Place::Container(path) => Some(path),
            _ => None,
        }
    }

    /// Every value that a cell holds: the shown one last.
    pub(crate) fn all(&self, object: &Object<'d>, cell: &MapRangeItem<'d>) -> Vec<Written> {
        if !cell.conflict {
            return vec![Written { value: CellValue::of(&cell.value), id: cell.id() }];
        }
        let found = match &self.heads {
            Some(heads) => self.doc.get_all_at(&object.id, cell.key.as_ref(), heads),
            None => self.doc.get_all(&object.id, cell.key.as_ref()),
        };
        let values = found.unwrap_or_default().into_iter();
        values.map(|(value, id)| Written { value: CellValue::of_owned(&value), id }).collect()
    }
}

impl<'d> Object<'d> {
    pub(crate) fn cell(&self, key: &str) -> Option<&MapRangeItem<'d>> {
        self.cells.iter().find(|cell| cell.key == key)
    }
}

/// Counter and actor of the operation that an id names.
pub(crate) fn op_of(id: &ObjId) -> (u64, Option<&automerge::ActorId>) {
    match id {
        ObjId::Root => (0, None),
        ObjId::Id(counter, actor, _) => (*counter, Some(actor)),
    }
}
