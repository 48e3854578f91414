//! Writes a change as the library writes it, byte for byte: what a transcoded change is rebuilt with.

use super::{
    ACTION, CHUNK_CHANGE, Decoded, INSERT, KEY_TEXT, MAGIC, OBJECT_ACTOR, OBJECT_COUNTER, Op, OpValue, PRED_ACTOR,
    PRED_COUNT, PRED_COUNTER, VALUE, VALUE_META, hash_of,
};
use crate::ids::ChangeHash;
use crate::protocol::limits::CHANGE_BYTES_MAX;

/// The bytes of a change with this content, and its hash; [`Decoded::hash`] is not looked at. `None` if they would be
/// more than a change may have, or if an operation names an actor that is not listed.
///
/// Work and memory are bounded by the operations and [`CHANGE_BYTES_MAX`], whatever the content repeats.
pub(crate) fn write(content: &Decoded<'_>) -> Option<(Vec<u8>, ChangeHash)> {
    if payload_bytes(&content.ops)? > CHANGE_BYTES_MAX {
        return None;
    }
    let mut body = Vec::new();
    put_uleb(&mut body, content.deps.len() as u64);
    content.deps.iter().for_each(|dep| body.extend_from_slice(dep.as_bytes()));
    let (author, others) = content.actors.split_first()?;
    put_bytes(&mut body, author.as_bytes());
    put_uleb(&mut body, content.seq);
    put_uleb(&mut body, content.start_op);
    put_leb(&mut body, content.time_s);
    put_uleb(&mut body, 0);
    put_uleb(&mut body, others.len() as u64);
    others.iter().for_each(|actor| put_bytes(&mut body, actor.as_bytes()));
    let columns = columns(&content.ops);
    let present = columns.iter().filter(|(_, data)| !data.is_empty());
    put_uleb(&mut body, present.clone().count() as u64);
    for (id, data) in present.clone() {
        put_uleb(&mut body, *id);
        put_uleb(&mut body, data.len() as u64);
    }
    present.for_each(|(_, data)| body.extend_from_slice(data));
    framed(&body)
}

/// Magic, checksum, chunk type and length around a change's body.
fn framed(body: &[u8]) -> Option<(Vec<u8>, ChangeHash)> {
    let hash = hash_of(body);
    let mut bytes = Vec::with_capacity(body.len() + 14);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(hash.0.get(..4)?);
    bytes.push(CHUNK_CHANGE);
    put_uleb(&mut bytes, body.len() as u64);
    bytes.extend_from_slice(body);
    (bytes.len() <= CHANGE_BYTES_MAX).then_some((bytes, hash))
}

/// Bytes of keys (a run of one key counts once, as it is written) and values.
fn payload_bytes(ops: &[Op<'_>]) -> Option<usize> {
    let mut total = 0_usize;
    let mut before = None;
    for op in ops {
        if before != Some(op.key) {
            total = total.checked_add(op.key.len())?;
        }
        before = Some(op.key);
        total = total.checked_add(match op.value {
            OpValue::Text(text) => text.len(),
            OpValue::Bytes(bytes) => bytes.len(),
            _ => 0,
        })?;
    }
    Some(total)
}

fn columns(ops: &[Op<'_>]) -> [(u64, Vec<u8>); 10] {
    let object = |part: fn(super::OpRef) -> u64| ops.iter().map(|op| op.object.map(part)).collect::<Vec<_>>();
    let (metas, values) = values(ops);
    let preds = || ops.iter().flat_map(|op| &op.preds);
    let mut counter = 0_i64;
    let deltas: Vec<Option<i64>> = preds()
        .map(|(own, _)| {
            let own = *own as i64;
            let delta = own.wrapping_sub(counter);
            counter = own;
            Some(delta)
        })
        .collect();
    let actions: Vec<Option<u64>> = ops.iter().map(|op| Some(action(op.value))).collect();
    let keys: Vec<Option<&str>> = ops.iter().map(|op| Some(op.key)).collect();
    let counts: Vec<Option<u64>> = ops.iter().map(|op| Some(op.preds.len() as u64)).collect();
    let actors: Vec<Option<u64>> = preds().map(|(_, actor)| Some(*actor as u64)).collect();
    let mut inserts = Vec::new();
    put_uleb(&mut inserts, ops.len() as u64);
    [
        (OBJECT_ACTOR, runs(&object(|(_, actor)| actor as u64), put_uleb)),
        (OBJECT_COUNTER, runs(&object(|(counter, _)| counter), put_uleb)),
        (KEY_TEXT, runs(&keys, |out, key| put_bytes(out, key.as_bytes()))),
        (INSERT, inserts),
        (ACTION, runs(&actions, put_uleb)),
        (VALUE_META, runs(&metas, put_uleb)),
        (VALUE, values),
        (PRED_COUNT, runs(&counts, put_uleb)),
        (PRED_ACTOR, runs(&actors, put_uleb)),
        (PRED_COUNTER, runs(&deltas, put_leb)),
    ]
}

fn action(value: OpValue<'_>) -> u64 {
    match value {
        OpValue::MakeMap => 0,
        OpValue::Delete => 3,
        _ => 1,
    }
}

/// Type and length of each value, and the values one behind the other.
fn values(ops: &[Op<'_>]) -> (Vec<Option<u64>>, Vec<u8>) {
    let mut all = Vec::new();
    let mut metas = Vec::with_capacity(ops.len());
    for op in ops {
        let before = all.len();
        let sort = match op.value {
            OpValue::MakeMap | OpValue::Delete | OpValue::Null => 0,
            OpValue::Bool(false) => 1,
            OpValue::Bool(true) => 2,
            OpValue::Integer(number) => {
                put_leb(&mut all, number);
                4
            }
            OpValue::Text(text) => {
                all.extend_from_slice(text.as_bytes());
                6
            }
            OpValue::Bytes(bytes) => {
                all.extend_from_slice(bytes);
                7
            }
        };
        metas.push(Some(((all.len() - before) as u64) << 4 | sort));
    }
    (metas, all)
}

/// A run-length column: runs of two and more, runs of nulls, and single values gathered as literals. Nulls alone are
/// no column.
fn runs<T: Copy + PartialEq>(values: &[Option<T>], put: impl Fn(&mut Vec<u8>, T)) -> Vec<u8> {
    let mut out = Vec::new();
    if values.iter().all(Option::is_none) {
        return out;
    }
    let mut literals: Vec<T> = Vec::new();
    let flush = |out: &mut Vec<u8>, literals: &mut Vec<T>| {
        if !literals.is_empty() {
            put_leb(out, -(literals.len() as i64));
            literals.drain(..).for_each(|value| put(out, value));
        }
    };
    for run in values.chunk_by(|a, b| a == b) {
        match (run.first().copied().flatten(), run.len()) {
            (Some(value), 1) => literals.push(value),
            (Some(value), length) => {
                flush(&mut out, &mut literals);
                put_leb(&mut out, length as i64);
                put(&mut out, value);
            }
            (None, length) => {
                flush(&mut out, &mut literals);
                put_leb(&mut out, 0);
                put_uleb(&mut out, length as u64);
            }
        }
    }
    flush(&mut out, &mut literals);
    out
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uleb(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends `value` as unsigned LEB128.
pub(crate) fn put_uleb(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

fn put_leb(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}
