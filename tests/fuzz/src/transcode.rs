//! Batches of transcoded changes: `unpack`, batch after batch as in one exchange.
//!
//! Input: pieces; each is a batch's number of changes (16 bits), then its bytes. The mutator knows the columns.

use std::convert::Infallible;

use fieldbook_core::ids::{ChangeHash, RecordId};
use fieldbook_core::protocol::transcode::{Known, Room, ToPack, UnpackError, Unpacked, pack, unpack};
use fieldbook_core::sync::change_hash;

use crate::bytes::{join, mutate_pieces, pieces};
use crate::cbor::number;
use crate::hostile::{Dice, scramble, uleb};
use crate::{Limits, Meter, Target, fixture};

/// The target. Output: batches say the same operations again and again in few bytes, up to the limits of a batch.
pub const TARGET: Target = Target {
    name: "transcode",
    limits: Limits { input_bytes: 16 * 1024, time_ms: 250, memory_bytes: 50 << 20, output_bytes: 16 << 20 },
    run,
    mutate: |input, dice| *input = mutate_pieces(input, dice, mutate_batch),
    seeds,
};

/// Batches of one input.
const BATCHES_MAX: usize = 8;

/// A receiver that holds the fixture's record.
struct Held;

impl Known for Held {
    type Error = Infallible;

    fn record(&mut self, prefix: &[u8; 6]) -> Result<Option<RecordId>, Infallible> {
        Ok(fixture::RECORD.0.starts_with(prefix).then_some(fixture::RECORD))
    }

    fn creation(&mut self, _: usize, record: &RecordId) -> Result<Option<ChangeHash>, Infallible> {
        Ok((*record == fixture::RECORD).then(|| fixture::record().creation()))
    }

    fn change(&mut self, record: &RecordId, prefix: &[u8; 4]) -> Result<Option<ChangeHash>, Infallible> {
        let hashes = fixture::records().iter().flat_map(|document| document.heads());
        Ok(hashes.into_iter().find(|hash| *record == fixture::RECORD && hash.0.starts_with(prefix)))
    }
}

fn run(input: &[u8], meter: &mut Meter) {
    let mut room = Room::default();
    let mut all: Vec<Unpacked> = Vec::new();
    for piece in pieces(input).into_iter().take(BATCHES_MAX) {
        let Some((count, batch)) = piece.split_first_chunk::<2>() else { return };
        let count = usize::from(u16::from_be_bytes(*count));
        let taken = meter.measure(|| unpack(batch, count, &mut room, &mut Held));
        let Ok(changes) = taken else { break };
        assert_eq!(changes.len(), count);
        for change in changes {
            meter.output(change.bytes.len());
            assert_eq!(change_hash(&change.bytes), change.hash, "a change is rebuilt under another name");
            all.push(change);
        }
    }
    // Whatever came out goes through again, byte for byte: at the latest when nothing is shortened.
    if !comes_back(&all, false) {
        assert!(comes_back(&all, true), "a batch in full cannot be made out");
    }
}

/// Packs and reads changes again; false where something was shortened that the receiver does not hold.
fn comes_back(all: &[Unpacked], in_full: bool) -> bool {
    let mut room = Room::default();
    for changes in all.chunks(100) {
        let send: Vec<ToPack<'_>> = changes
            .iter()
            .map(|one| ToPack { record: one.record, known: false, creation: None, bytes: &one.bytes })
            .collect();
        if !room.has(changes.len(), changes.iter().map(|one| one.bytes.len()).sum()) {
            return true;
        }
        let packed = pack(&send, in_full);
        let back: Result<_, UnpackError<Infallible>> = unpack(&packed.bytes, changes.len(), &mut room, &mut Held);
        match back {
            Ok(back) => {
                let transcoded = back.iter().filter(|one| one.transcoded).count();
                assert_eq!(transcoded, packed.transcoded, "the count of transcoded changes is wrong");
                for (back, one) in back.iter().zip(changes) {
                    let (came, was) = ((back.record, back.hash, &back.bytes), (one.record, one.hash, &one.bytes));
                    assert_eq!(came, was, "a change comes out differently");
                }
            }
            Err(UnpackError::Unresolved) => return false,
            Err(other) => panic!("a packed batch is not read: {other:?}"),
        }
    }
    true
}

/// One column, or the list of columns.
fn mutate_batch(piece: &mut Vec<u8>, dice: &mut Dice) {
    let Some((mut columns, count)) = split(piece) else { return scramble(piece, dice) };
    let mut count = count;
    for _ in 0..=dice.below(3) {
        match dice.below(10) {
            0 => count = number(u64::from(count), dice) as u16 % 1_000,
            1 => {
                let at = dice.below(columns.len());
                columns[at] = None;
            }
            2 => {
                let donor = columns[dice.below(columns.len())].clone();
                let at = dice.below(columns.len());
                columns[at] = donor;
            }
            3 => {
                let at = dice.below(columns.len());
                let mut data = columns[at].take().unwrap_or_default();
                uleb(number(1, dice), &mut data);
                columns[at] = Some(data);
            }
            _ => {
                let held: Vec<usize> = (0..columns.len()).filter(|at| columns[*at].is_some()).collect();
                if let Some(data) = held.get(dice.below(held.len())).and_then(|at| columns[*at].as_mut()) {
                    scramble(data, dice);
                }
            }
        }
    }
    *piece = [&count.to_be_bytes()[..], &unsplit(&columns)].concat();
}

const COLUMNS: usize = 28;

/// The columns of a batch, `None` where one is absent, and the number of changes.
fn split(piece: &[u8]) -> Option<(Vec<Option<Vec<u8>>>, u16)> {
    let (count, rest) = piece.split_first_chunk::<2>()?;
    let (mask, mut rest) = rest.split_first_chunk::<4>()?;
    let mask = u32::from_le_bytes(*mask);
    let present: Vec<usize> = (0..COLUMNS).filter(|at| mask >> at & 1 == 1).collect();
    let mut lengths = Vec::new();
    for _ in present.iter().skip(1) {
        let end = rest.iter().position(|byte| byte & 0x80 == 0)? + 1;
        let length = rest[..end].iter().rev().fold(0_usize, |sum, byte| sum.wrapping_shl(7) | usize::from(byte & 0x7f));
        lengths.push(length);
        rest = &rest[end..];
    }
    let mut columns = vec![None; COLUMNS];
    for (at, column) in present.iter().enumerate() {
        let (data, tail) = rest.split_at_checked(lengths.get(at).copied().unwrap_or(rest.len()))?;
        columns[*column] = Some(data.to_vec());
        rest = tail;
    }
    Some((columns, u16::from_be_bytes(*count)))
}

fn unsplit(columns: &[Option<Vec<u8>>]) -> Vec<u8> {
    let present: Vec<(usize, &Vec<u8>)> =
        columns.iter().enumerate().filter_map(|(at, data)| Some((at, data.as_ref()?))).collect();
    let mask: u32 = present.iter().fold(0, |mask, (at, _)| mask | 1 << at);
    let mut out = mask.to_le_bytes().to_vec();
    present.iter().rev().skip(1).rev().for_each(|(_, data)| uleb(data.len() as u64, &mut out));
    present.iter().for_each(|(_, data)| out.extend_from_slice(data));
    out
}

fn seeds() -> Vec<Vec<u8>> {
    let changes = fixture::changes();
    let creation = Some(fixture::record().creation());
    let mut seeds = Vec::new();
    for (known, creation, in_full) in [(true, creation, false), (false, None, false), (false, None, true)] {
        for batches in [1, 2] {
            let pieces: Vec<Vec<u8>> = changes
                .chunks(changes.len().div_ceil(batches))
                .map(|changes| {
                    let send: Vec<ToPack<'_>> = changes
                        .iter()
                        .map(|one| ToPack { record: fixture::RECORD, known, creation, bytes: &one.bytes })
                        .collect();
                    let packed = pack(&send, in_full);
                    [&(changes.len() as u16).to_be_bytes()[..], &packed.bytes].concat()
                })
                .collect();
            seeds.push(join(&pieces));
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_written_as_it_was_read() {
        for seed in seeds() {
            for piece in pieces(&seed) {
                let (columns, count) = split(piece).unwrap();
                assert_eq!([&count.to_be_bytes()[..], &unsplit(&columns)].concat(), piece);
            }
        }
    }
}
