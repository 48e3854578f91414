//! The columns of a batch: what they hold, and how they lie one behind the other.

use super::{Fault, MALFORMED};
use crate::protocol::chunk::{Input, put_uleb};

/// One column. Its number is its bit in the batch's first four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Column {
    /// A change: its record. 0 the record of the change before, 1 a new one, 2 a new one that the receiver holds,
    /// 3 + k the record k of this batch.
    Record,
    /// 16 bytes for each 1, 6 for each 2 in [`Column::Record`].
    RecordIds,
    /// A change: how many operations; 0 = it travels raw.
    Ops,
    /// A raw change: how many bytes.
    RawLength,
    /// Raw changes.
    Raw,
    /// A change: its author. 0 as the change before, 1 + k the actor k of this batch.
    Author,
    /// 16 bytes for each actor that was not there yet.
    Actors,
    /// A change: its sequence number, less what was expected (signed).
    Seq,
    /// A change: its first operation's counter, less what was expected (signed).
    Start,
    /// A change: its time, less the time of the change before (signed).
    Time,
    /// A change: how many dependencies, less one.
    Deps,
    /// A dependency: 0 the record's creation, 1 by the first 4 bytes of its hash, 2 by its hash, 3 + k the k-th last
    /// change of this record in this batch.
    Dep,
    /// 4 bytes for each 1, 32 for each 2 in [`Column::Dep`].
    DepHashes,
    /// An operation: the map that it writes to. 0 as the operation before (at first the root), 1 the root, 2 a map made
    /// in this change, 3 + k a map that actor k made before.
    Object,
    /// For each 2 in [`Column::Object`]: which of the maps made in this change, less the one after the last one named.
    Made,
    /// For each 3 + k in [`Column::Object`]: its counter.
    ObjectCounter,
    /// An operation: its shape, by number within this batch.
    Shape,
    /// A new shape: its key. 0 a row, 1 + 2k the text k, 2 + 2k a row, `/` and the text k.
    ShapeKey,
    /// A new shape: what it writes (see `Sort`), and 16 times how many operations it supersedes.
    ShapeCode,
    /// A new text: its length in bytes.
    KeyLength,
    /// New texts.
    Keys,
    /// A row in a key or as a value: 0 a new one, else the how-manieth last that this change named.
    Row,
    /// 8 bytes for each 0 in [`Column::Row`].
    Rows,
    /// A superseded operation: its actor. 0 as the one before, 1 + k the actor k of this batch.
    PredActor,
    /// A superseded operation: its counter, less the last one under the same text (signed).
    Pred,
    /// Whole numbers (signed), by text of their key, then in order.
    Integers,
    /// Lengths of texts and byte strings, by text of their key, then in order.
    Lengths,
    /// Texts and byte strings, in the same order.
    Texts,
}

impl Column {
    pub(super) const COUNT: usize = Self::Texts as usize + 1;
    /// Columns of plain bytes; the others hold numbers.
    const BYTES: u32 = 1 << Self::RecordIds as u32
        | 1 << Self::Raw as u32
        | 1 << Self::Actors as u32
        | 1 << Self::DepHashes as u32
        | 1 << Self::Keys as u32
        | 1 << Self::Rows as u32
        | 1 << Self::Texts as u32;
}

/// Columns while they are written.
#[derive(Default)]
pub(super) struct Writer {
    columns: [Vec<u8>; Column::COUNT],
}

impl Writer {
    pub(super) fn put(&mut self, column: Column, value: u64) {
        put_uleb(&mut self.columns[column as usize], value);
    }

    /// `value` less `expected`, folded so that small differences of either sign stay small.
    pub(super) fn put_delta(&mut self, column: Column, value: i64, expected: i64) {
        let delta = value.wrapping_sub(expected);
        self.put(column, ((delta << 1) ^ (delta >> 63)) as u64);
    }

    pub(super) fn put_bytes(&mut self, column: Column, bytes: &[u8]) {
        self.columns[column as usize].extend_from_slice(bytes);
    }

    /// Which columns are there, the length of each but the last, the columns. Numbers that are all 0 are left out.
    pub(super) fn finish(self) -> Vec<u8> {
        let holds_something = |at: usize, data: &[u8]| {
            let plain = Column::BYTES & 1 << at != 0;
            if plain { !data.is_empty() } else { data.iter().any(|byte| *byte != 0) }
        };
        let present: Vec<(usize, &Vec<u8>)> =
            self.columns.iter().enumerate().filter(|(at, data)| holds_something(*at, data)).collect();
        let mask: u32 = present.iter().fold(0, |mask, (at, _)| mask | 1 << at);
        let mut out = mask.to_le_bytes().to_vec();
        for (_, data) in present.iter().rev().skip(1).rev() {
            put_uleb(&mut out, data.len() as u64);
        }
        present.iter().for_each(|(_, data)| out.extend_from_slice(data));
        out
    }
}

/// Columns while they are read. A column that is not there is all 0.
pub(super) struct Reader<'a> {
    columns: [Option<Input<'a>>; Column::COUNT],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (mask, rest) = bytes.split_first_chunk::<4>().ok_or(MALFORMED)?;
        let mask = u32::from_le_bytes(*mask);
        if mask >> Column::COUNT != 0 {
            return Err(Fault::Malformed("a column that this version does not know"));
        }
        let mut input = Input(rest);
        let present: Vec<usize> = (0..Column::COUNT).filter(|at| mask & 1 << at != 0).collect();
        let mut lengths = Vec::with_capacity(present.len());
        for _ in present.iter().skip(1) {
            lengths.push(usize::try_from(input.uleb().map_err(|_| MALFORMED)?).map_err(|_| MALFORMED)?);
        }
        let mut columns = [None; Column::COUNT];
        for (at, length) in present.iter().zip(lengths.into_iter().map(Some).chain([None])) {
            let length = length.unwrap_or(input.0.len());
            let column = input.take(length).map_err(|_| Fault::Malformed("a column ends too early"))?;
            columns[*at] = Some(Input(column));
        }
        if !input.0.is_empty() {
            return Err(Fault::Malformed("bytes follow the columns"));
        }
        Ok(Self { columns })
    }

    pub(super) fn next(&mut self, column: Column) -> Result<u64, Fault> {
        match &mut self.columns[column as usize] {
            None => Ok(0),
            Some(input) => input.uleb().map_err(|_| Fault::Malformed("a column ends too early, or holds no number")),
        }
    }

    /// A number that is small, such as an index.
    pub(super) fn next_size(&mut self, column: Column) -> Result<usize, Fault> {
        usize::try_from(self.next(column)?).map_err(|_| MALFORMED)
    }

    pub(super) fn next_delta(&mut self, column: Column, expected: i64) -> Result<i64, Fault> {
        let folded = self.next(column)?;
        let delta = (folded >> 1) as i64 ^ -((folded & 1) as i64);
        Ok(expected.wrapping_add(delta))
    }

    pub(super) fn take(&mut self, column: Column, count: usize) -> Result<&'a [u8], Fault> {
        match &mut self.columns[column as usize] {
            None if count == 0 => Ok(&[]),
            None => Err(MALFORMED),
            Some(input) => input.take(count).map_err(|_| Fault::Malformed("a column ends too early")),
        }
    }

    /// Exactly `N` bytes.
    pub(super) fn array<const N: usize>(&mut self, column: Column) -> Result<[u8; N], Fault> {
        self.take(column, N)?.try_into().map_err(|_| MALFORMED)
    }

    /// Everything was read.
    pub(super) fn end(&self) -> Result<(), Fault> {
        let left = self.columns.iter().flatten().any(|input| !input.0.is_empty());
        if left { Err(Fault::Malformed("a column goes on behind its last value")) } else { Ok(()) }
    }
}
