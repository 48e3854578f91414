//! Our own strict reader of one automerge change, so that nothing reaches the library unread.
//!
//! It takes only what this layout writes: an uncompressed change chunk in minimal encoding, map operations only. Row
//! counts come from the run headers of each column before anything is expanded, and text stays borrowed, so that the
//! work is bounded by the limits and not by what the bytes claim. The format:
//! <https://automerge.org/automerge-binary-format-spec/>.

mod write;

use std::ops::Range;

use sha2::{Digest, Sha256};

use super::limits::{CHANGE_BYTES_MAX, CHANGE_DEPS_MAX, CHANGE_OPS_MAX, RECORD_OPS_MAX};
use crate::ids::{ActorId, ChangeHash};

pub(crate) use write::{put_uleb, write};

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHUNK_DOCUMENT: u8 = 0;
const CHUNK_CHANGE: u8 = 1;
/// Other actors that one change may name.
const CHANGE_ACTORS_MAX: u64 = 1_000;

/// Why bytes are no change that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ChunkError(pub(crate) &'static str);

/// Counter and index into [`Decoded::actors`] of an operation.
pub(crate) type OpRef = (u64, usize);

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpValue<'a> {
    MakeMap,
    Text(&'a str),
    Integer(i64),
    Bool(bool),
    Null,
    Bytes(&'a [u8]),
    Delete,
}

/// One operation on a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Op<'a> {
    /// The map; `None` = root.
    pub(crate) object: Option<OpRef>,
    pub(crate) key: &'a str,
    pub(crate) value: OpValue<'a>,
    /// The operations that it supersedes.
    pub(crate) preds: Vec<OpRef>,
}

/// A change, read.
#[derive(Debug)]
pub(crate) struct Decoded<'a> {
    pub(crate) hash: ChangeHash,
    pub(crate) deps: Vec<ChangeHash>,
    /// The author first, then the others that it refers to.
    pub(crate) actors: Vec<ActorId>,
    pub(crate) seq: u64,
    pub(crate) start_op: u64,
    pub(crate) time_s: i64,
    pub(crate) ops: Vec<Op<'a>>,
}

/// Reads one change; the whole of `bytes` must be it.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded<'_>, ChunkError> {
    let (body, hash) = chunk_body(bytes)?;
    decode_body(Input(body), hash)
}

/// What is inside the chunk, and its hash.
fn chunk_body(bytes: &[u8]) -> Result<(&[u8], ChangeHash), ChunkError> {
    if bytes.len() > CHANGE_BYTES_MAX {
        return Err(ChunkError("the change is longer than a change may be"));
    }
    let mut input = Input(bytes);
    if input.take(4)? != MAGIC {
        return Err(ChunkError("these bytes are no change"));
    }
    let checksum = input.take(4)?;
    if input.take(1)? != [CHUNK_CHANGE] {
        return Err(ChunkError("only plain, uncompressed changes are taken"));
    }
    let length = input.uleb()?;
    let body = input.0;
    if u64::try_from(body.len()).ok() != Some(length) {
        return Err(ChunkError("the change's length is not the length of its bytes"));
    }
    let hash = hash_of(body);
    if !hash.0.starts_with(checksum) {
        return Err(ChunkError("the change's checksum does not fit its bytes"));
    }
    Ok((body, hash))
}

/// Whether these bytes are one document chunk and nothing else, its checksum and content unseen: the library works on chunks of
/// other kinds, and on any behind the first, before it looks at their checksums, and without bounds.
pub(crate) fn is_document(bytes: &[u8]) -> bool {
    let mut input = Input(bytes);
    let begins = |input: &mut Input<'_>| -> Result<bool, ChunkError> {
        let magic = input.take(4)? == MAGIC;
        input.take(4)?;
        Ok(magic && input.take(1)? == [CHUNK_DOCUMENT])
    };
    begins(&mut input).is_ok_and(|begins| begins)
        && input.uleb().is_ok_and(|length| u64::try_from(input.0.len()).ok() == Some(length))
}

/// The hash of a raw automerge change, computed from its bytes alone: SHA-256 of chunk type, length and content, which
/// is all but magic and checksum. `None` if the bytes are not exactly one uncompressed change chunk with its checksum.
///
/// Says nothing about the content: that is intake's work.
#[must_use]
pub fn change_hash(bytes: &[u8]) -> Option<ChangeHash> {
    chunk_body(bytes).ok().map(|(_, hash)| hash)
}

/// The hash of a change with this body: SHA-256 of chunk type, length and body.
pub(crate) fn hash_of(body: &[u8]) -> ChangeHash {
    let mut hasher = Sha256::new();
    let mut head = vec![CHUNK_CHANGE];
    let mut length = body.len();
    while length >= 0x80 {
        head.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    head.push((length & 0x7f) as u8);
    hasher.update(&head);
    hasher.update(body);
    ChangeHash(hasher.finalize().into())
}

fn decode_body(mut input: Input<'_>, hash: ChangeHash) -> Result<Decoded<'_>, ChunkError> {
    let count = input.count(CHANGE_DEPS_MAX as u64, "too many dependencies")?;
    let mut deps = Vec::with_capacity(count);
    for _ in 0..count {
        let dep = input.take(32)?;
        deps.push(ChangeHash::from_slice(dep).map_err(|_| TRUNCATED)?);
    }
    if !deps.is_sorted_by(|a, b| a < b) {
        return Err(ChunkError("dependencies are not sorted, or doubled"));
    }
    let mut actors = vec![input.actor()?];
    let seq = input.uleb()?;
    let start_op = input.uleb()?;
    if seq == 0 || seq > RECORD_OPS_MAX || start_op == 0 || start_op > RECORD_OPS_MAX {
        return Err(ChunkError("sequence or operation counter out of bounds"));
    }
    let time_s = input.leb()?;
    if input.uleb()? != 0 {
        return Err(ChunkError("a change carries no message"));
    }
    let others = input.count(CHANGE_ACTORS_MAX, "too many actors")?;
    for _ in 0..others {
        actors.push(input.actor()?);
    }
    if !actors.get(1..).is_some_and(|others| others.is_sorted_by(|a, b| a < b))
        || actors.iter().skip(1).any(|other| actors.first() == Some(other))
    {
        return Err(ChunkError("actors are not sorted, or doubled"));
    }
    let columns = Columns::read(&mut input)?;
    if !input.0.is_empty() {
        return Err(ChunkError("bytes follow the change's operations"));
    }
    let ops = columns.ops(actors.len())?;
    Ok(Decoded { hash, deps, actors, seq, start_op, time_s, ops })
}

const TRUNCATED: ChunkError = ChunkError("the change ends too early");

/// Bytes not yet read.
#[derive(Clone, Copy, Default)]
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], ChunkError> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(TRUNCATED)?;
        self.0 = tail;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, ChunkError> {
        let (first, rest) = self.0.split_first().ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(*first)
    }

    /// Unsigned LEB128, shortest form only.
    pub(super) fn uleb(&mut self) -> Result<u64, ChunkError> {
        let mut value: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(OVERLONG) } else { Ok(value) };
            }
        }
        Err(OVERLONG)
    }

    /// Signed LEB128, shortest form only.
    fn leb(&mut self) -> Result<i64, ChunkError> {
        let mut value: i64 = 0;
        let mut before = 0_u8;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let sign_only = (byte == 0 && before & 0x40 == 0) || (byte == 0x7f && before & 0x40 != 0);
                if (shift > 0 && sign_only) || (shift == 63 && byte != 0 && byte != 0x7f) {
                    return Err(OVERLONG);
                }
                if shift < 57 && byte & 0x40 != 0 {
                    value |= -1_i64 << (shift + 7);
                }
                return Ok(value);
            }
            before = byte;
        }
        Err(OVERLONG)
    }

    fn count(&mut self, max: u64, what: &'static str) -> Result<usize, ChunkError> {
        let count = self.uleb()?;
        if count > max {
            return Err(ChunkError(what));
        }
        usize::try_from(count).map_err(|_| ChunkError(what))
    }

    fn actor(&mut self) -> Result<ActorId, ChunkError> {
        if self.uleb()? != 16 {
            return Err(ChunkError("an actor has 16 bytes"));
        }
        ActorId::from_slice(self.take(16)?).map_err(|_| TRUNCATED)
    }

    fn text(&mut self) -> Result<&'a str, ChunkError> {
        let length = self.count(CHANGE_BYTES_MAX as u64, "a key is too long")?;
        std::str::from_utf8(self.take(length)?).map_err(|_| ChunkError("a key is no UTF-8"))
    }
}

const OVERLONG: ChunkError = ChunkError("a number is not in its shortest form, or too large");

/// Column ids of a change's operations, as the format fixes them.
const OBJECT_ACTOR: u64 = 0x01;
const OBJECT_COUNTER: u64 = 0x02;
const KEY_TEXT: u64 = 0x15;
const INSERT: u64 = 0x34;
const ACTION: u64 = 0x42;
const VALUE_META: u64 = 0x56;
const VALUE: u64 = 0x57;
const PRED_COUNT: u64 = 0x70;
const PRED_ACTOR: u64 = 0x71;
const PRED_COUNTER: u64 = 0x73;
const KNOWN: [u64; 10] =
    [OBJECT_ACTOR, OBJECT_COUNTER, KEY_TEXT, INSERT, ACTION, VALUE_META, VALUE, PRED_COUNT, PRED_ACTOR, PRED_COUNTER];

/// A change's columns, not yet expanded; absent ones are empty.
struct Columns<'a> {
    data: &'a [u8],
    ranges: Vec<(u64, Range<usize>)>,
}

impl<'a> Columns<'a> {
    fn read(input: &mut Input<'a>) -> Result<Self, ChunkError> {
        let count = input.count(KNOWN.len() as u64, "a change has operations that this app does not know")?;
        let mut ranges: Vec<(u64, Range<usize>)> = Vec::with_capacity(count);
        let mut end = 0_usize;
        for _ in 0..count {
            let id = input.uleb()?;
            let known = KNOWN.contains(&id) && ranges.last().is_none_or(|(last, _)| *last < id);
            if !known {
                return Err(ChunkError("a change has operations that this app does not know"));
            }
            let length = input.count(CHANGE_BYTES_MAX as u64, "a column is too long")?;
            ranges.push((id, end..end + length));
            end += length;
        }
        Ok(Self { data: input.take(end)?, ranges })
    }

    fn column(&self, id: u64) -> Input<'a> {
        let range = self.ranges.iter().find(|(own, _)| *own == id).map(|(_, range)| range.clone());
        Input(range.and_then(|range| self.data.get(range)).unwrap_or_default())
    }

    fn ops(&self, actors: usize) -> Result<Vec<Op<'a>>, ChunkError> {
        let max = CHANGE_OPS_MAX as usize;
        let actions = runs(self.column(ACTION), max, Input::uleb)?;
        let rows = actions.len();
        if rows == 0 {
            return Err(ChunkError("the change does nothing"));
        }
        self.check_insert(rows)?;
        let objects = self.objects(rows, actors)?;
        let keys = filled(runs(self.column(KEY_TEXT), rows, Input::text)?, rows)?;
        let metas = filled(runs(self.column(VALUE_META), rows, Input::uleb)?, rows)?;
        let mut preds = self.preds(rows, actors)?.into_iter();
        let mut raw = self.column(VALUE);
        let mut ops = Vec::with_capacity(rows);
        for (((action, object), key), meta) in actions.into_iter().zip(objects).zip(keys).zip(metas) {
            let (Some(action), Some(key), Some(meta)) = (action, key, meta) else { return Err(MISSING) };
            let value = value_of(action, meta, &mut raw)?;
            ops.push(Op { object, key, value, preds: preds.next().ok_or(MISSING)? });
        }
        if !raw.0.is_empty() {
            return Err(ChunkError("bytes follow the change's values"));
        }
        Ok(ops)
    }

    /// Nothing in this layout is a list, so nothing is inserted.
    fn check_insert(&self, rows: usize) -> Result<(), ChunkError> {
        let mut input = self.column(INSERT);
        if input.0.is_empty() {
            return Ok(());
        }
        if input.uleb()? == rows as u64 && input.0.is_empty() {
            return Ok(());
        }
        Err(ChunkError("a change has list operations"))
    }

    fn objects(&self, rows: usize, actors: usize) -> Result<Vec<Option<OpRef>>, ChunkError> {
        let of = filled(runs(self.column(OBJECT_ACTOR), rows, Input::uleb)?, rows)?;
        let counters = filled(runs(self.column(OBJECT_COUNTER), rows, Input::uleb)?, rows)?;
        let pairs = of.into_iter().zip(counters);
        let object = |(actor, counter): (Option<u64>, Option<u64>)| match (actor, counter) {
            (None, None) => Ok(None),
            (Some(actor), Some(counter)) => op_ref(actor, counter, actors).map(Some),
            _ => Err(MISSING),
        };
        pairs.map(object).collect()
    }

    fn preds(&self, rows: usize, actors: usize) -> Result<Vec<Vec<OpRef>>, ChunkError> {
        let counts = filled(runs(self.column(PRED_COUNT), rows, Input::uleb)?, rows)?;
        let total = counts.iter().try_fold(0_u64, |sum, count| sum.checked_add((*count)?));
        let total = total.filter(|total| *total <= CHANGE_OPS_MAX).ok_or(ChunkError("too many predecessors"))?;
        let total = usize::try_from(total).map_err(|_| MISSING)?;
        let of = runs(self.column(PRED_ACTOR), total, Input::uleb)?;
        let deltas = runs(self.column(PRED_COUNTER), total, Input::leb)?;
        if of.len() != total || deltas.len() != total {
            return Err(MISSING);
        }
        let mut counter = 0_i64;
        let mut pairs = of.into_iter().zip(deltas);
        let mut lists = Vec::with_capacity(rows);
        for count in counts {
            let mut list = Vec::new();
            for _ in 0..count.unwrap_or(0) {
                let Some((Some(actor), Some(delta))) = pairs.next() else { return Err(MISSING) };
                counter = counter.checked_add(delta).ok_or(OVERLONG)?;
                list.push(op_ref(actor, u64::try_from(counter).map_err(|_| OVERLONG)?, actors)?);
            }
            lists.push(list);
        }
        Ok(lists)
    }
}

const MISSING: ChunkError = ChunkError("a column of the change has too few or too many rows");

fn op_ref(actor: u64, counter: u64, actors: usize) -> Result<OpRef, ChunkError> {
    let actor = usize::try_from(actor).ok().filter(|actor| *actor < actors);
    let actor = actor.ok_or(ChunkError("an operation names an actor that the change does not list"))?;
    if counter == 0 || counter > RECORD_OPS_MAX {
        return Err(ChunkError("an operation refers to a counter out of bounds"));
    }
    Ok((counter, actor))
}

/// An absent column is a column of nulls; a present one has exactly `rows` rows.
fn filled<T: Clone>(values: Vec<Option<T>>, rows: usize) -> Result<Vec<Option<T>>, ChunkError> {
    match values.len() {
        0 => Ok(vec![None; rows]),
        length if length == rows => Ok(values),
        _ => Err(MISSING),
    }
}

/// Expands a run-length column of at most `max` rows; a run that claims more is refused from its header.
fn runs<'a, T: Copy>(
    mut input: Input<'a>,
    max: usize,
    read: impl Fn(&mut Input<'a>) -> Result<T, ChunkError>,
) -> Result<Vec<Option<T>>, ChunkError> {
    let mut out: Vec<Option<T>> = Vec::new();
    while !input.0.is_empty() {
        let head = input.leb()?;
        let claimed = if head == 0 { input.uleb()? } else { head.unsigned_abs() };
        let room = (max - out.len()) as u64;
        if claimed == 0 || claimed > room {
            return Err(ChunkError("the change claims more operations than it may have"));
        }
        let count = claimed as usize;
        match head {
            0 => out.resize(out.len() + count, None),
            1.. => {
                let value = read(&mut input)?;
                out.resize(out.len() + count, Some(value));
            }
            _ => {
                for _ in 0..count {
                    out.push(Some(read(&mut input)?));
                }
            }
        }
    }
    Ok(out)
}

fn value_of<'a>(action: u64, meta: u64, raw: &mut Input<'a>) -> Result<OpValue<'a>, ChunkError> {
    const MAKE_MAP: u64 = 0;
    const PUT: u64 = 1;
    const DELETE: u64 = 3;
    let length = usize::try_from(meta >> 4).map_err(|_| OVERLONG)?;
    let mut data = Input(raw.take(length)?);
    let value = match (action, meta & 0x0f) {
        (MAKE_MAP, 0) => OpValue::MakeMap,
        (DELETE, 0) => OpValue::Delete,
        (PUT, 0) => OpValue::Null,
        (PUT, 1) => OpValue::Bool(false),
        (PUT, 2) => OpValue::Bool(true),
        (PUT, 4) => OpValue::Integer(data.leb()?),
        (PUT, 6) => {
            let text = std::str::from_utf8(data.take(length)?).map_err(|_| ChunkError("a text is no UTF-8"))?;
            OpValue::Text(text)
        }
        (PUT, 7) => OpValue::Bytes(data.take(length)?),
        (PUT, _) => return Err(ChunkError("a value has a type that records do not hold")),
        _ => return Err(ChunkError("a change has operations that records do not hold")),
    };
    if data.0.is_empty() { Ok(value) } else { Err(ChunkError("a value is longer than it should be")) }
}
