//! The receiver's half. It reads what anybody may have written: every count is held against its limit before anything
//! is made of it, and the work is bounded by the batch's limits, not by what it claims.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::columns::{Column, Reader};
use super::tables::{KeyForm, Shape, Tables};
use super::{Fault, MALFORMED, Room, Sort};
use crate::ids::{ActorId, ChangeHash, RecordId, RowId};
use crate::protocol::chunk::{self, Decoded, Op, OpValue, change_hash};
use crate::protocol::limits::{
    BATCH_CHANGES_MAX, BATCH_OPS_MAX, CHANGE_BYTES_MAX, CHANGE_DEPS_MAX, CHANGE_PREFIX_BYTES, RECORD_PREFIX_BYTES,
    TRANSCODE_ENTRIES_MAX, TRANSCODE_KEY_BYTES_MAX,
};

/// What the receiver holds, to make out what was shortened.
pub trait Known {
    /// A store that failed.
    type Error;
    /// The one record whose id begins so; `None` where there is none or more than one.
    ///
    /// # Errors
    /// [`Known::Error`], as below.
    fn record(&mut self, prefix: &[u8; RECORD_PREFIX_BYTES]) -> Result<Option<RecordId>, Self::Error>;
    /// Hash of the creation change of `record`, the record of change `at` (0, 1, 2 …) of the batch.
    ///
    /// # Errors
    /// [`Known::Error`].
    fn creation(&mut self, at: usize, record: &RecordId) -> Result<Option<ChangeHash>, Self::Error>;
    /// The one change of the record whose hash begins so.
    ///
    /// # Errors
    /// [`Known::Error`].
    fn change(
        &mut self,
        record: &RecordId,
        prefix: &[u8; CHANGE_PREFIX_BYTES],
    ) -> Result<Option<ChangeHash>, Self::Error>;
}

/// Why nothing of a batch was made out. The exchange cannot go on behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnpackError<E> {
    /// No packer writes this.
    Malformed(&'static str),
    /// A named limit was passed.
    TooLarge(&'static str),
    /// Something was shortened that is not here, or not alone: it must be sent in full.
    Unresolved,
    /// The store failed.
    Known(E),
}

impl<E> From<Fault> for UnpackError<E> {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Malformed(what) => Self::Malformed(what),
            Fault::TooLarge(what) => Self::TooLarge(what),
            Fault::Unresolved => Self::Unresolved,
        }
    }
}

/// A change as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The record that it was sent for.
    pub record: RecordId,
    /// Its hash, computed from `bytes`; `None` if they are no change.
    pub hash: Option<ChangeHash>,
    /// The raw change, at most `CHANGE_BYTES_MAX`.
    pub bytes: Vec<u8>,
    /// It did not travel raw.
    pub transcoded: bool,
}

/// A change whose values are still to come.
struct Skeleton<'a> {
    record: usize,
    content: Content<'a>,
}

enum Content<'a> {
    Raw(&'a [u8]),
    Change(Head<'a>),
}

struct Head<'a> {
    author: usize,
    seq: u64,
    start: u64,
    time_s: i64,
    deps: Vec<Dep<'a>>,
    ops: Vec<OpSkeleton>,
}

enum Dep<'a> {
    Creation,
    Prefix([u8; CHANGE_PREFIX_BYTES]),
    Hash(&'a [u8]),
    Back(usize),
}

struct OpSkeleton {
    object: Option<(u64, usize)>,
    key: KeyForm,
    key_row: Option<RowId>,
    sort: Sort,
    value_row: Option<RowId>,
    preds: Vec<(u64, usize)>,
}

/// The changes of a batch of exactly `count`, in order. `room` is what the exchange still takes in this direction.
///
/// # Errors
/// [`UnpackError`]; nothing behind it in the exchange is to be read then.
pub fn unpack<K: Known>(
    bytes: &[u8],
    count: usize,
    room: &mut Room,
    known: &mut K,
) -> Result<Vec<Unpacked>, UnpackError<K::Error>> {
    if count > BATCH_CHANGES_MAX {
        return Err(UnpackError::TooLarge("changes of a batch"));
    }
    room.take(count, 0)?;
    let mut reading = Reading { reader: Reader::new(bytes)?, tables: Tables::default(), ops: BATCH_OPS_MAX };
    let mut skeletons = Vec::with_capacity(count);
    for _ in 0..count {
        let record = reading.record(known)?;
        let content = reading.content(record)?;
        skeletons.push(Skeleton { record, content });
    }
    let mut values = Values::read(&mut reading.reader, &skeletons)?;
    reading.reader.end()?;
    let mut tables = reading.tables;
    let mut changes = Vec::with_capacity(count);
    for (at, skeleton) in skeletons.into_iter().enumerate() {
        let change = skeleton.rebuild(at, &mut tables, &mut values, known)?;
        room.take(0, change.bytes.len())?;
        changes.push(change);
    }
    Ok(changes)
}

impl Skeleton<'_> {
    fn rebuild<K: Known>(
        self,
        at: usize,
        tables: &mut Tables,
        values: &mut Values<'_>,
        known: &mut K,
    ) -> Result<Unpacked, UnpackError<K::Error>> {
        let number = self.record;
        let record = *tables.records.get(number).ok_or(MALFORMED)?;
        let transcoded = matches!(self.content, Content::Change(_));
        let (bytes, hash) = match self.content {
            Content::Raw(bytes) => (bytes.to_vec(), change_hash(bytes)),
            Content::Change(head) => {
                let mut deps = Vec::with_capacity(head.deps.len());
                for dep in &head.deps {
                    let found = match dep {
                        Dep::Creation => known.creation(at, &record).map_err(UnpackError::Known)?,
                        Dep::Prefix(prefix) => known.change(&record, prefix).map_err(UnpackError::Known)?,
                        Dep::Hash(hash) => ChangeHash::from_slice(hash).ok(),
                        Dep::Back(back) => Some(tables.hash_back(number, *back).ok_or(MALFORMED)?),
                    };
                    deps.push(found.ok_or(Fault::Unresolved)?);
                }
                deps.sort_unstable();
                let (bytes, hash) = head.write(deps, values, tables)?;
                (bytes, Some(hash))
            }
        };
        tables.note_change(number, hash);
        Ok(Unpacked { record, hash, bytes, transcoded })
    }
}

/// A batch while its heads and operations are read.
struct Reading<'a> {
    reader: Reader<'a>,
    tables: Tables,
    /// Operations and superseded ones that may still come.
    ops: usize,
}

impl<'a> Reading<'a> {
    fn record<K: Known>(&mut self, known: &mut K) -> Result<usize, UnpackError<K::Error>> {
        let number = match self.reader.next_size(Column::Record)? {
            0 => self.tables.record,
            1 => {
                let id = self.reader.array(Column::RecordIds)?;
                self.tables.add_record(RecordId(id))
            }
            2 => {
                let prefix = self.reader.array(Column::RecordIds)?;
                let id = known.record(&prefix).map_err(UnpackError::Known)?;
                self.tables.add_record(id.ok_or(Fault::Unresolved)?)
            }
            code => code - 3,
        };
        if number >= self.tables.records.len() {
            return Err(Fault::Malformed("a record that was not named").into());
        }
        self.tables.record = number;
        Ok(number)
    }

    fn content(&mut self, record: usize) -> Result<Content<'a>, Fault> {
        let count = self.reader.next_size(Column::Ops)?;
        if count == 0 {
            let length = self.reader.next_size(Column::RawLength)?;
            if length > CHANGE_BYTES_MAX {
                return Err(Fault::TooLarge("a change"));
            }
            return Ok(Content::Raw(self.reader.take(Column::Raw, length)?));
        }
        self.spend(count)?;
        let author = match self.reader.next_size(Column::Author)? {
            0 => self.tables.author,
            code => code - 1,
        };
        self.actor(author)?;
        let (seq, start) = (self.tables.expected_seq(record, author), self.tables.expected_start(record));
        let seq = self.reader.next_delta(Column::Seq, seq as i64)? as u64;
        let start = self.reader.next_delta(Column::Start, start as i64)? as u64;
        let time_s = self.reader.next_delta(Column::Time, self.tables.time_s)?;
        let deps = self.deps()?;
        self.tables.note_head(record, author, seq, start, count, time_s);
        let mut ops = Vec::with_capacity(count);
        let mut maps = Maps { author, ..Maps::default() };
        let mut rows = Vec::new();
        for at in 0..count {
            let op = self.op(&mut maps, &mut rows)?;
            if op.sort == Sort::Map {
                maps.made.push(start.saturating_add(at as u64));
            }
            ops.push(op);
        }
        Ok(Content::Change(Head { author, seq, start, time_s, deps, ops }))
    }

    fn spend(&mut self, count: usize) -> Result<(), Fault> {
        self.ops = self.ops.checked_sub(count).ok_or(Fault::TooLarge("operations of a batch"))?;
        Ok(())
    }

    /// An actor's number; the next one that was not there yet comes from its column.
    fn actor(&mut self, number: usize) -> Result<usize, Fault> {
        if number == self.tables.actors.len() {
            if number >= TRANSCODE_ENTRIES_MAX {
                return Err(Fault::TooLarge("actors of a batch"));
            }
            let actor = ActorId(self.reader.array(Column::Actors)?);
            return Ok(self.tables.actors.push(actor));
        }
        if number < self.tables.actors.len() {
            Ok(number)
        } else {
            Err(Fault::Malformed("an actor that was not named"))
        }
    }

    fn deps(&mut self) -> Result<Vec<Dep<'a>>, Fault> {
        let count = self.reader.next_size(Column::Deps)?;
        if count >= CHANGE_DEPS_MAX {
            return Err(Fault::TooLarge("dependencies of a change"));
        }
        let mut deps = Vec::new();
        for _ in 0..=count {
            deps.push(match self.reader.next_size(Column::Dep)? {
                0 => Dep::Creation,
                1 => Dep::Prefix(self.reader.array(Column::DepHashes)?),
                2 => Dep::Hash(self.reader.take(Column::DepHashes, 32)?),
                code => Dep::Back(code - 3),
            });
        }
        Ok(deps)
    }

    fn op(&mut self, maps: &mut Maps, rows: &mut Vec<RowId>) -> Result<OpSkeleton, Fault> {
        let object = self.object(maps)?;
        let shape = self.shape()?;
        let sort = Sort::of(shape.code).ok_or(Fault::Malformed("a value of no known sort"))?;
        let key_row = match shape.key {
            KeyForm::Text(_) => None,
            KeyForm::Row | KeyForm::RowAnd(_) => Some(self.row(rows)?),
        };
        let value_row = if sort == Sort::Row { Some(self.row(rows)?) } else { None };
        let superseded = usize::try_from(shape.code >> 4).map_err(|_| MALFORMED)?;
        self.spend(superseded)?;
        let mut preds = Vec::with_capacity(superseded);
        for _ in 0..superseded {
            let actor = match self.reader.next_size(Column::PredActor)? {
                0 => self.tables.pred_actor,
                code => code - 1,
            };
            self.tables.pred_actor = self.actor(actor)?;
            let last = self.tables.last_pred(shape.key.group());
            *last = self.reader.next_delta(Column::Pred, *last as i64)? as u64;
            preds.push((*last, actor));
        }
        Ok(OpSkeleton { object, key: shape.key, key_row, sort, value_row, preds })
    }

    fn object(&mut self, maps: &mut Maps) -> Result<Option<(u64, usize)>, Fault> {
        match self.reader.next_size(Column::Object)? {
            0 => {}
            1 => maps.last = None,
            2 => {
                let made = self.reader.next_delta(Column::Made, maps.next as i64)?;
                let made = usize::try_from(made).map_err(|_| MALFORMED)?;
                let counter = *maps.made.get(made).ok_or(Fault::Malformed("a map that was not made"))?;
                maps.next = made + 1;
                maps.last = Some((counter, maps.author));
            }
            code => {
                let actor = self.actor(code - 3)?;
                maps.last = Some((self.reader.next(Column::ObjectCounter)?, actor));
            }
        }
        Ok(maps.last)
    }

    fn shape(&mut self) -> Result<Shape, Fault> {
        let number = self.reader.next_size(Column::Shape)?;
        if number == self.tables.shapes.len() {
            if number >= TRANSCODE_ENTRIES_MAX {
                return Err(Fault::TooLarge("shapes of a batch"));
            }
            let key = match self.reader.next_size(Column::ShapeKey)? {
                0 => KeyForm::Row,
                code if code % 2 == 1 => KeyForm::Text(self.text((code - 1) / 2)?),
                code => KeyForm::RowAnd(self.text((code - 2) / 2)?),
            };
            let code = self.reader.next(Column::ShapeCode)?;
            self.tables.shapes.push(Shape { key, code });
        }
        self.tables.shapes.get(number).copied().ok_or(Fault::Malformed("a shape that was not named"))
    }

    /// A text's number; the next one that was not there yet comes from its column.
    fn text(&mut self, number: usize) -> Result<usize, Fault> {
        if number == self.tables.texts.len() {
            let length = self.reader.next_size(Column::KeyLength)?;
            if length > TRANSCODE_KEY_BYTES_MAX {
                return Err(Fault::TooLarge("a key"));
            }
            let text = std::str::from_utf8(self.reader.take(Column::Keys, length)?)
                .map_err(|_| Fault::Malformed("a key is no UTF-8"))?;
            return Ok(self.tables.texts.push(text.to_owned()));
        }
        if number < self.tables.texts.len() { Ok(number) } else { Err(Fault::Malformed("a key that was not named")) }
    }

    fn row(&mut self, rows: &mut Vec<RowId>) -> Result<RowId, Fault> {
        match self.reader.next_size(Column::Row)? {
            0 => {
                let row = RowId(self.reader.array(Column::Rows)?);
                rows.push(row);
                Ok(row)
            }
            back => {
                let at = rows.len().checked_sub(back);
                at.and_then(|at| rows.get(at)).copied().ok_or(Fault::Malformed("a row that was not named"))
            }
        }
    }
}

/// The maps that a change's operations write to.
#[derive(Default)]
struct Maps {
    author: usize,
    made: Vec<u64>,
    next: usize,
    last: Option<(u64, usize)>,
}

/// The values of a batch by the group of their key, each to be taken in order.
struct Values<'a> {
    integers: Vec<i64>,
    blobs: Vec<&'a [u8]>,
    /// By group: the next integer, the next blob.
    next: BTreeMap<usize, (usize, usize)>,
}

impl<'a> Values<'a> {
    fn read(reader: &mut Reader<'a>, skeletons: &[Skeleton<'_>]) -> Result<Self, Fault> {
        let mut next: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for skeleton in skeletons {
            let Content::Change(head) = &skeleton.content else { continue };
            for op in &head.ops {
                let counts = next.entry(op.key.group()).or_default();
                match op.sort {
                    Sort::Integer => counts.0 += 1,
                    Sort::Text | Sort::Bytes => counts.1 += 1,
                    _ => {}
                }
            }
        }
        // From counts to where each group begins.
        let mut begin = (0, 0);
        for counts in next.values_mut() {
            let behind = (begin.0 + counts.0, begin.1 + counts.1);
            *counts = std::mem::replace(&mut begin, behind);
        }
        let mut integers = Vec::with_capacity(begin.0);
        for _ in 0..begin.0 {
            integers.push(reader.next_delta(Column::Integers, 0)?);
        }
        let mut blobs = Vec::with_capacity(begin.1);
        for _ in 0..begin.1 {
            let length = reader.next_size(Column::Lengths)?;
            blobs.push(reader.take(Column::Texts, length)?);
        }
        Ok(Self { integers, blobs, next })
    }

    fn integer(&mut self, group: usize) -> Result<i64, Fault> {
        let (at, _) = self.next.get_mut(&group).ok_or(MALFORMED)?;
        *at += 1;
        self.integers.get(*at - 1).copied().ok_or(MALFORMED)
    }

    fn blob(&mut self, group: usize) -> Result<&'a [u8], Fault> {
        let (_, at) = self.next.get_mut(&group).ok_or(MALFORMED)?;
        *at += 1;
        self.blobs.get(*at - 1).copied().ok_or(MALFORMED)
    }
}

impl Head<'_> {
    fn write(
        self,
        deps: Vec<ChangeHash>,
        values: &mut Values<'_>,
        tables: &Tables,
    ) -> Result<(Vec<u8>, ChangeHash), Fault> {
        let actors = Locals::of(&self, tables)?;
        let keys: Vec<Cow<'_, str>> = self.ops.iter().map(|op| op.key_text(tables)).collect::<Result<_, _>>()?;
        let rows: Vec<Option<String>> = self.ops.iter().map(|op| op.value_row.map(|row| row.to_string())).collect();
        let mut ops = Vec::with_capacity(self.ops.len());
        for ((op, key), row) in self.ops.iter().zip(&keys).zip(&rows) {
            let group = op.key.group();
            let value = match op.sort {
                Sort::Map => OpValue::MakeMap,
                Sort::Delete => OpValue::Delete,
                Sort::Null => OpValue::Null,
                Sort::False => OpValue::Bool(false),
                Sort::True => OpValue::Bool(true),
                Sort::Integer => OpValue::Integer(values.integer(group)?),
                Sort::Text => {
                    let text = std::str::from_utf8(values.blob(group)?);
                    OpValue::Text(text.map_err(|_| Fault::Malformed("a text is no UTF-8"))?)
                }
                Sort::Bytes => OpValue::Bytes(values.blob(group)?),
                Sort::Row => OpValue::Text(row.as_deref().unwrap_or_default()),
            };
            let object = op.object.map(|(counter, actor)| Ok((counter, actors.local(actor)?))).transpose()?;
            let preds = op.preds.iter().map(|(counter, actor)| Ok((*counter, actors.local(*actor)?)));
            ops.push(Op { object, key, value, preds: preds.collect::<Result<_, Fault>>()? });
        }
        let content = Decoded {
            hash: ChangeHash([0; 32]),
            deps,
            actors: actors.all,
            seq: self.seq,
            start_op: self.start,
            time_s: self.time_s,
            ops,
        };
        chunk::write(&content).ok_or(Fault::TooLarge("a change"))
    }
}

impl OpSkeleton {
    fn key_text<'t>(&self, tables: &'t Tables) -> Result<Cow<'t, str>, Fault> {
        let text = |number: usize| tables.texts.get(number).map(String::as_str).ok_or(MALFORMED);
        let row = || self.key_row.ok_or(MALFORMED);
        Ok(match self.key {
            KeyForm::Row => Cow::Owned(row()?.to_string()),
            KeyForm::Text(number) => Cow::Borrowed(text(number)?),
            KeyForm::RowAnd(number) => Cow::Owned(format!("{}/{}", row()?, text(number)?)),
        })
    }
}

/// A change's actors as it lists them: its author, then the others that it names, sorted.
struct Locals {
    all: Vec<ActorId>,
    /// By number in the batch.
    places: BTreeMap<usize, usize>,
}

impl Locals {
    fn of(head: &Head<'_>, tables: &Tables) -> Result<Self, Fault> {
        let named = |op: &OpSkeleton| op.object.into_iter().chain(op.preds.iter().copied()).collect::<Vec<_>>();
        let mut numbers: Vec<usize> = head.ops.iter().flat_map(named).map(|(_, actor)| actor).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| *number != head.author);
        let id = |number: usize| tables.actors.get(number).copied().ok_or(MALFORMED);
        let mut others =
            numbers.into_iter().map(|number| Ok((id(number)?, number))).collect::<Result<Vec<_>, Fault>>()?;
        others.sort_unstable();
        let mut all = vec![id(head.author)?];
        let mut places = BTreeMap::from([(head.author, 0)]);
        for (actor, number) in others {
            places.insert(number, all.len());
            all.push(actor);
        }
        Ok(Self { all, places })
    }

    fn local(&self, number: usize) -> Result<usize, Fault> {
        self.places.get(&number).copied().ok_or(MALFORMED)
    }
}
