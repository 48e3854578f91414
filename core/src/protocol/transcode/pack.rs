//! The sender's half: writes the columns.

use std::collections::HashMap;

use super::columns::{Column, Writer};
use super::tables::{KeyForm, Shape, Tables};
use super::{Sort, row_of};
use crate::ids::{ActorId, ChangeHash, RecordId, RowId};
use crate::protocol::chunk::{self, Decoded, Op, OpRef, OpValue, change_hash};
use crate::protocol::limits::{
    BATCH_OPS_MAX, CHANGE_PREFIX_BYTES, RECORD_PREFIX_BYTES, TRANSCODE_ENTRIES_MAX, TRANSCODE_KEY_BYTES_MAX,
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

/// One batch while it is written.
struct Packer {
    tables: Tables,
    writer: Writer,
    in_full: bool,
    ops: usize,
    integers: Vec<(usize, i64)>,
    blobs: Vec<(usize, Vec<u8>)>,
    shortened: Shortened,
}

/// How each change of a batch is to travel.
#[derive(Clone, Copy)]
pub(super) enum Plan<'a> {
    /// Raw, under its record's whole id: nothing is shortened.
    InFull,
    /// Transcoded, but for those marked here.
    But(&'a [bool]),
}

/// A batch as it was written, and what its dependencies were shortened from.
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    pub(super) transcoded: usize,
    pub(super) shortened: Shortened,
}

/// The changes that were named by a part of their hash.
pub(super) type Shortened = HashMap<(RecordId, [u8; CHANGE_PREFIX_BYTES]), ChangeHash>;

/// The columns of a batch; nothing is checked of them here.
pub(super) fn write(changes: &[ToPack<'_>], plan: Plan<'_>) -> Written {
    let mut packer = Packer {
        tables: Tables::default(),
        writer: Writer::default(),
        in_full: matches!(plan, Plan::InFull),
        ops: 0,
        integers: Vec::new(),
        blobs: Vec::new(),
        shortened: Shortened::new(),
    };
    let mut transcoded = 0;
    for (at, change) in changes.iter().enumerate() {
        let raw = match plan {
            Plan::InFull => true,
            Plan::But(raw) => raw.get(at).copied().unwrap_or(false),
        };
        let decoded = if raw { None } else { packer.readable(change.bytes) };
        let record = packer.record(change);
        match &decoded {
            Some(decoded) => {
                packer.change(change, record, decoded);
                transcoded += 1;
            }
            None => {
                packer.writer.put(Column::Ops, 0);
                packer.writer.put(Column::RawLength, change.bytes.len() as u64);
                packer.writer.put_bytes(Column::Raw, change.bytes);
            }
        }
        let hash = decoded.map_or_else(|| change_hash(change.bytes), |decoded| Some(decoded.hash));
        packer.tables.note_change(record, hash);
    }
    let shortened = std::mem::take(&mut packer.shortened);
    Written { bytes: packer.finish(), transcoded, shortened }
}

impl Packer {
    /// The change, read, if all that it names still fits the tables.
    fn readable<'a>(&self, bytes: &'a [u8]) -> Option<Decoded<'a>> {
        let decoded = chunk::decode(bytes).ok()?;
        let superseded: usize = decoded.ops.iter().map(|op| op.preds.len()).sum();
        let size = decoded.ops.len() + superseded;
        let fits = self.ops + size <= BATCH_OPS_MAX
            && self.tables.actors.len() + decoded.actors.len() <= TRANSCODE_ENTRIES_MAX
            && self.tables.shapes.len() + decoded.ops.len() <= TRANSCODE_ENTRIES_MAX
            && decoded.ops.iter().all(|op| op.key.len() <= TRANSCODE_KEY_BYTES_MAX)
            && !decoded.deps.is_empty();
        fits.then_some(decoded)
    }

    fn record(&mut self, change: &ToPack<'_>) -> usize {
        let writer = &mut self.writer;
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

    fn change(&mut self, sent: &ToPack<'_>, record: usize, change: &Decoded<'_>) {
        self.ops += change.ops.len() + change.ops.iter().map(|op| op.preds.len()).sum::<usize>();
        let writer = &mut self.writer;
        writer.put(Column::Ops, change.ops.len() as u64);
        let mut actors = Actors { own: &change.actors, numbers: vec![None; change.actors.len()] };
        let author = actors.number(0, &mut self.tables, writer);
        writer.put(Column::Author, if author == self.tables.author { 0 } else { 1 + author as u64 });
        let (seq, start) = (self.tables.expected_seq(record, author), self.tables.expected_start(record));
        writer.put_delta(Column::Seq, change.seq as i64, seq as i64);
        writer.put_delta(Column::Start, change.start_op as i64, start as i64);
        writer.put_delta(Column::Time, change.time_s, self.tables.time_s);
        self.deps(sent, record, &change.deps);
        self.tables.note_head(record, author, change.seq, change.start_op, change.ops.len(), change.time_s);
        let mut maps = Maps { start: change.start_op, made: Vec::new(), next: 0, last: None };
        let mut rows: Vec<RowId> = Vec::new();
        for (at, op) in change.ops.iter().enumerate() {
            maps.put(&mut self.writer, op.object, &mut actors, &mut self.tables);
            if op.value == OpValue::MakeMap {
                maps.made.push(change.start_op + at as u64);
            }
            self.op(&mut rows, op, &mut actors);
        }
    }

    fn deps(&mut self, sent: &ToPack<'_>, record: usize, deps: &[ChangeHash]) {
        let writer = &mut self.writer;
        writer.put(Column::Deps, deps.len() as u64 - 1);
        // Of several, one may be a container's change, which the receiver may not hold yet.
        for dep in deps {
            if let Some(back) = self.tables.back_to(record, dep) {
                writer.put(Column::Dep, 3 + back as u64);
            } else if sent.creation == Some(*dep) {
                writer.put(Column::Dep, 0);
            } else if deps.len() == 1 {
                let mut prefix = [0; CHANGE_PREFIX_BYTES];
                prefix.copy_from_slice(&dep.0[..CHANGE_PREFIX_BYTES]);
                writer.put(Column::Dep, 1);
                writer.put_bytes(Column::DepHashes, &prefix);
                self.shortened.insert((sent.record, prefix), *dep);
            } else {
                writer.put(Column::Dep, 2);
                writer.put_bytes(Column::DepHashes, dep.as_bytes());
            }
        }
    }

    fn op(&mut self, rows: &mut Vec<RowId>, op: &Op<'_>, actors: &mut Actors<'_>) {
        let (row, text) = split_key(op.key);
        let text = text.map(|text| {
            self.tables.texts.number(text).unwrap_or_else(|| {
                self.writer.put(Column::KeyLength, text.len() as u64);
                self.writer.put_bytes(Column::Keys, text.as_bytes());
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
            self.writer.put(Column::ShapeKey, key.code());
            self.writer.put(Column::ShapeCode, shape.code);
            self.tables.shapes.push(shape)
        });
        self.writer.put(Column::Shape, number as u64);
        row.into_iter().for_each(|row| put_row(&mut self.writer, rows, row));
        self.value(rows, key.group(), op.value);
        for (counter, actor) in &op.preds {
            let actor = actors.number(*actor, &mut self.tables, &mut self.writer);
            self.writer.put(Column::PredActor, if actor == self.tables.pred_actor { 0 } else { 1 + actor as u64 });
            self.tables.pred_actor = actor;
            let last = self.tables.last_pred(key.group());
            self.writer.put_delta(Column::Pred, *counter as i64, *last as i64);
            *last = *counter;
        }
    }

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

/// A change's actors, by their numbers in the batch as far as they were named.
struct Actors<'a> {
    own: &'a [ActorId],
    numbers: Vec<Option<usize>>,
}

impl Actors<'_> {
    /// The number of the change's actor `own`. One that is new to the batch is listed when it is first named.
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
