//! The sender's half.

use super::columns::{Column, Writer};
use super::tables::{KeyForm, Shape, Tables};
use super::{Sort, row_of};
use crate::ids::{ActorId, ChangeHash, RecordId, RowId};
use crate::protocol::chunk::{self, Decoded, Op, OpRef, OpValue, change_hash};
use crate::protocol::limits::{
    BATCH_CHANGES_MAX, BATCH_OPS_MAX, CHANGE_PREFIX_BYTES, EXCHANGE_CHANGE_BYTES_MAX, EXCHANGE_CHANGES_MAX,
    RECORD_PREFIX_BYTES, TRANSCODE_ENTRIES_MAX, TRANSCODE_KEY_BYTES_MAX,
};

/// Rows that a row is looked for among, from the last one back.
const ROWS_BACK_MAX: usize = 64;

/// A change to send.
#[derive(Clone, Copy, Debug)]
pub struct ToPack<'a> {
    /// The record.
    pub record: RecordId,
    /// The receiver surely holds the record, so that a part of its id names it.
    pub known: bool,
    /// Hash of the record's creation change, if the receiver can work it out for this change.
    pub creation: Option<ChangeHash>,
    /// The raw change.
    pub bytes: &'a [u8],
}

/// A batch, ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The columns.
    pub bytes: Vec<u8>,
    /// How many of its changes do not travel raw.
    pub transcoded: usize,
}

/// Writes the batches of one exchange and direction.
pub struct Packer {
    tables: Tables,
    in_full: bool,
}

/// One batch while it is written.
struct Batch {
    writer: Writer,
    ops: usize,
    integers: Vec<(usize, i64)>,
    blobs: Vec<(usize, Vec<u8>)>,
}

impl Packer {
    /// At the start of an exchange. With `in_full` every change travels raw under its record's whole id: for a receiver
    /// that could not make out what was shortened.
    #[must_use]
    pub fn new(in_full: bool) -> Self {
        Self { tables: Tables::default(), in_full }
    }

    /// Whether another batch of so many changes and bytes stays within the exchange's limits.
    #[must_use]
    pub fn has_room(&self, changes: usize, bytes: usize) -> bool {
        self.tables.changes + changes <= EXCHANGE_CHANGES_MAX
            && self.tables.bytes.saturating_add(bytes) <= EXCHANGE_CHANGE_BYTES_MAX
    }

    /// Writes a batch of at most [`BATCH_CHANGES_MAX`] changes, in order; those beyond are left out, so callers count.
    pub fn pack(&mut self, changes: &[ToPack<'_>]) -> Packed {
        let mut batch = Batch { writer: Writer::default(), ops: 0, integers: Vec::new(), blobs: Vec::new() };
        let mut transcoded = 0;
        for change in changes.iter().take(BATCH_CHANGES_MAX) {
            let decoded = self.readable(change.bytes, &batch);
            let record = self.record(&mut batch.writer, change);
            match &decoded {
                Some(decoded) => {
                    self.change(&mut batch, record, change.creation, decoded);
                    transcoded += 1;
                }
                None => {
                    batch.writer.put(Column::Ops, 0);
                    batch.writer.put(Column::RawLength, change.bytes.len() as u64);
                    batch.writer.put_bytes(Column::Raw, change.bytes);
                }
            }
            let hash = decoded.map_or_else(|| change_hash(change.bytes), |decoded| Some(decoded.hash));
            self.tables.note_change(record, hash);
            self.tables.changes += 1;
            self.tables.bytes += change.bytes.len();
        }
        Packed { bytes: batch.finish(), transcoded }
    }

    /// The change, read, if it comes back byte for byte and all that it names still fits the tables.
    fn readable<'a>(&self, bytes: &'a [u8], batch: &Batch) -> Option<Decoded<'a>> {
        if self.in_full {
            return None;
        }
        let decoded = chunk::decode(bytes).ok()?;
        let superseded: usize = decoded.ops.iter().map(|op| op.preds.len()).sum();
        let size = decoded.ops.len() + superseded;
        let fits = batch.ops + size <= BATCH_OPS_MAX
            && self.tables.actors.len() + decoded.actors.len() <= TRANSCODE_ENTRIES_MAX
            && self.tables.shapes.len() + decoded.ops.len() <= TRANSCODE_ENTRIES_MAX
            && decoded.ops.iter().all(|op| op.key.len() <= TRANSCODE_KEY_BYTES_MAX)
            && !decoded.deps.is_empty();
        let same = fits && chunk::write(&decoded).is_some_and(|(again, _)| again == bytes);
        same.then_some(decoded)
    }

    fn record(&mut self, writer: &mut Writer, change: &ToPack<'_>) -> usize {
        let number = match self.tables.records.number(&change.record) {
            Some(number) if number == self.tables.record => {
                writer.put(Column::Record, 0);
                number
            }
            Some(number) => {
                writer.put(Column::Record, 3 + number as u64);
                number
            }
            None => {
                let id = change.record.as_bytes();
                if change.known && !self.in_full {
                    writer.put(Column::Record, 2);
                    writer.put_bytes(Column::RecordIds, &id[..RECORD_PREFIX_BYTES]);
                } else {
                    writer.put(Column::Record, 1);
                    writer.put_bytes(Column::RecordIds, id);
                }
                self.tables.add_record(change.record)
            }
        };
        self.tables.record = number;
        number
    }

    fn change(&mut self, batch: &mut Batch, record: usize, creation: Option<ChangeHash>, change: &Decoded<'_>) {
        batch.ops += change.ops.len() + change.ops.iter().map(|op| op.preds.len()).sum::<usize>();
        let writer = &mut batch.writer;
        writer.put(Column::Ops, change.ops.len() as u64);
        let mut actors = Actors { own: &change.actors, numbers: vec![None; change.actors.len()] };
        let author = actors.number(0, &mut self.tables, writer);
        writer.put(Column::Author, if author == self.tables.author { 0 } else { 1 + author as u64 });
        let (seq, start) = (self.tables.expected_seq(record, author), self.tables.expected_start(record));
        writer.put_delta(Column::Seq, change.seq as i64, seq as i64);
        writer.put_delta(Column::Start, change.start_op as i64, start as i64);
        writer.put_delta(Column::Time, change.time_s, self.tables.time_s);
        self.deps(writer, record, creation, &change.deps);
        self.tables.note_head(record, author, change.seq, change.start_op, change.ops.len(), change.time_s);
        let mut maps = Maps { start: change.start_op, made: Vec::new(), next: 0, last: None };
        let mut rows: Vec<RowId> = Vec::new();
        for (at, op) in change.ops.iter().enumerate() {
            maps.put(&mut batch.writer, op.object, &mut actors, &mut self.tables);
            if op.value == OpValue::MakeMap {
                maps.made.push(change.start_op + at as u64);
            }
            self.op(batch, &mut rows, op, &mut actors);
        }
    }

    fn deps(&self, writer: &mut Writer, record: usize, creation: Option<ChangeHash>, deps: &[ChangeHash]) {
        writer.put(Column::Deps, deps.len() as u64 - 1);
        // Several may be a container's change, which the receiver may not hold yet; one alone is what the author saw
        // last.
        let short = deps.len() == 1 && !self.tables.is_long(record);
        for dep in deps {
            if let Some(back) = self.tables.back_to(record, dep) {
                writer.put(Column::Dep, 3 + back as u64);
            } else if creation == Some(*dep) {
                writer.put(Column::Dep, 0);
            } else if short {
                writer.put(Column::Dep, 1);
                writer.put_bytes(Column::DepHashes, &dep.0[..CHANGE_PREFIX_BYTES]);
            } else {
                writer.put(Column::Dep, 2);
                writer.put_bytes(Column::DepHashes, dep.as_bytes());
            }
        }
    }

    fn op(&mut self, batch: &mut Batch, rows: &mut Vec<RowId>, op: &Op<'_>, actors: &mut Actors<'_>) {
        let (row, text) = split_key(op.key);
        let text = text.map(|text| {
            self.tables.texts.number(text).unwrap_or_else(|| {
                batch.writer.put(Column::KeyLength, text.len() as u64);
                batch.writer.put_bytes(Column::Keys, text.as_bytes());
                self.tables.texts.push(text.to_owned())
            })
        });
        let key = match (row, text) {
            (Some(_), Some(text)) => KeyForm::RowAnd(text),
            (_, Some(text)) => KeyForm::Text(text),
            (_, None) => KeyForm::Row,
        };
        let sort = sort_of(op.value);
        let shape = Shape { key, code: sort as u64 | (op.preds.len() as u64) << 4 };
        let number = self.tables.shapes.number(&shape).unwrap_or_else(|| {
            batch.writer.put(Column::ShapeKey, key.code());
            batch.writer.put(Column::ShapeCode, shape.code);
            self.tables.shapes.push(shape)
        });
        batch.writer.put(Column::Shape, number as u64);
        row.into_iter().for_each(|row| put_row(&mut batch.writer, rows, row));
        batch.value(rows, key.group(), op.value);
        for (counter, actor) in &op.preds {
            let actor = actors.number(*actor, &mut self.tables, &mut batch.writer);
            batch.writer.put(Column::PredActor, if actor == self.tables.pred_actor { 0 } else { 1 + actor as u64 });
            self.tables.pred_actor = actor;
            let last = self.tables.last_pred(key.group());
            batch.writer.put_delta(Column::Pred, *counter as i64, *last as i64);
            *last = *counter;
        }
    }
}

impl Batch {
    fn value(&mut self, rows: &mut Vec<RowId>, group: usize, value: OpValue<'_>) {
        match value {
            OpValue::Integer(number) => self.integers.push((group, number)),
            OpValue::Text(text) => match row_of(text) {
                Some(row) => put_row(&mut self.writer, rows, row),
                None => self.blobs.push((group, text.as_bytes().to_vec())),
            },
            OpValue::Bytes(bytes) => self.blobs.push((group, bytes.to_vec())),
            OpValue::MakeMap | OpValue::Delete | OpValue::Null | OpValue::Bool(_) => {}
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.integers.sort_by_key(|(group, _)| *group);
        self.blobs.sort_by_key(|(group, _)| *group);
        for (_, number) in self.integers {
            self.writer.put_delta(Column::Integers, number, 0);
        }
        for (_, blob) in self.blobs {
            self.writer.put(Column::Lengths, blob.len() as u64);
            self.writer.put_bytes(Column::Texts, &blob);
        }
        self.writer.finish()
    }
}

/// A change's actors, by their numbers in the exchange as far as they were named.
struct Actors<'a> {
    own: &'a [ActorId],
    numbers: Vec<Option<usize>>,
}

impl Actors<'_> {
    /// The number of the change's actor `own`. One that is new to the exchange is listed when it is first named.
    fn number(&mut self, own: usize, tables: &mut Tables, writer: &mut Writer) -> usize {
        if let Some(number) = self.numbers.get(own).copied().flatten() {
            return number;
        }
        let Some(actor) = self.own.get(own) else { return 0 };
        let number = tables.actors.number(actor).unwrap_or_else(|| {
            writer.put_bytes(Column::Actors, actor.as_bytes());
            tables.actors.push(*actor)
        });
        self.numbers[own] = Some(number);
        number
    }
}

/// The maps that a change's operations write to.
struct Maps {
    start: u64,
    /// Counters of the operations that made maps.
    made: Vec<u64>,
    /// The one of `made` that is expected next.
    next: usize,
    last: Option<OpRef>,
}

impl Maps {
    fn put(&mut self, writer: &mut Writer, object: Option<OpRef>, actors: &mut Actors<'_>, tables: &mut Tables) {
        if object == self.last {
            return writer.put(Column::Object, 0);
        }
        self.last = object;
        let Some((counter, actor)) = object else { return writer.put(Column::Object, 1) };
        match self.made.binary_search(&counter) {
            Ok(made) if actor == 0 && counter >= self.start => {
                writer.put(Column::Object, 2);
                writer.put_delta(Column::Made, made as i64, self.next as i64);
                self.next = made + 1;
            }
            _ => {
                let number = actors.number(actor, tables, writer);
                writer.put(Column::Object, 3 + number as u64);
                writer.put(Column::ObjectCounter, counter);
            }
        }
    }
}

fn sort_of(value: OpValue<'_>) -> Sort {
    match value {
        OpValue::MakeMap => Sort::Map,
        OpValue::Delete => Sort::Delete,
        OpValue::Null => Sort::Null,
        OpValue::Bool(false) => Sort::False,
        OpValue::Bool(true) => Sort::True,
        OpValue::Integer(_) => Sort::Integer,
        OpValue::Text(text) if row_of(text).is_some() => Sort::Row,
        OpValue::Text(_) => Sort::Text,
        OpValue::Bytes(_) => Sort::Bytes,
    }
}

/// The row that a key names, and its text: at least one of them.
fn split_key(key: &str) -> (Option<RowId>, Option<&str>) {
    if let Some(row) = row_of(key) {
        return (Some(row), None);
    }
    let parts = key.split_once('/').and_then(|(row, text)| Some((row_of(row)?, text)));
    parts.map_or((None, Some(key)), |(row, text)| (Some(row), Some(text)))
}

fn put_row(writer: &mut Writer, rows: &mut Vec<RowId>, row: RowId) {
    match rows.iter().rev().take(ROWS_BACK_MAX).position(|own| *own == row) {
        Some(back) => writer.put(Column::Row, 1 + back as u64),
        None => {
            writer.put(Column::Row, 0);
            writer.put_bytes(Column::Rows, row.as_bytes());
            rows.push(row);
        }
    }
}
