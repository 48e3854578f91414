//! Transcoding over real documents and over hostile bytes: what comes out is what went in, or nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::LazyLock;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::phone_log::one;
use super::resend::like;
use crate::document::tests::form;
use crate::document::{Document, RawChange};
use crate::forms::{Edit, FieldPath, Scalar};
use crate::ids::{ActorId, ChangeHash, RecordId, RowId};
use crate::protocol::limits::{BATCH_CHANGES_MAX, CHANGE_BYTES_MAX, EXCHANGE_CHANGES_MAX};
use crate::protocol::transcode::{Known, Room, ToPack, UnpackError, Unpacked, pack, unpack};

/// A change and its record.
type Sent = (RecordId, RawChange);

/// What a receiver holds.
#[derive(Default)]
struct Held {
    changes: BTreeMap<RecordId, Vec<ChangeHash>>,
    /// Records of the batch, to rebuild creations from.
    version: &'static str,
}

impl Held {
    fn add(&mut self, (record, change): &Sent) {
        self.changes.entry(*record).or_default().push(change.hash);
    }
}

impl Known for Held {
    type Error = Infallible;

    fn record(&mut self, prefix: &[u8; 6]) -> Result<Option<RecordId>, Infallible> {
        Ok(one(self.changes.keys().copied().filter(|id| id.0.starts_with(prefix))))
    }

    fn creation(&mut self, _: usize, record: &RecordId) -> Result<Option<ChangeHash>, Infallible> {
        Ok(Document::creation_of(*record, &form(self.version)).ok())
    }

    fn change(&mut self, record: &RecordId, prefix: &[u8; 4]) -> Result<Option<ChangeHash>, Infallible> {
        let hashes = self.changes.get(record).into_iter().flatten().copied();
        Ok(one(hashes.filter(|hash| hash.0.starts_with(prefix))))
    }
}

/// One save: who, on which record, at all heads or only at the author's own, and what.
#[derive(Clone, Debug)]
struct Save {
    author: u8,
    record: u8,
    alone: bool,
    time_s: i64,
    writes: Vec<(u8, u8, i64, String)>,
}

fn saves() -> impl Strategy<Value = Vec<Save>> {
    let value = prop_oneof![Just(String::new()), "[a-f0-9]{16}", "[\\PC]{0,40}", "才让[a-z]{0,5}卓玛"];
    let write = (0u8..10, 0u8..4, prop_oneof![-5i64..300, any::<i64>()], value);
    let save = (0u8..3, 0u8..3, any::<bool>(), 0i64..5_000_000_000, prop::collection::vec(write, 1..12));
    let save = save.prop_map(|(author, record, alone, time_s, writes)| Save { author, record, alone, time_s, writes });
    prop::collection::vec(save, 1..30)
}

fn edits(writes: &[(u8, u8, i64, String)]) -> Vec<Edit> {
    let row = |n: u8| RowId([n + 1; 8]);
    let text = |value: &str| Some(Scalar::Text(value.to_owned()));
    let edit = |(what, n, number, value): &(u8, u8, i64, String)| match what {
        0 | 1 => Edit::Set { path: "name".parse().unwrap(), value: text(value) },
        2 => Edit::Set { path: "age".parse().unwrap(), value: Some(Scalar::Integer(*number)) },
        3 => Edit::Set { path: "name".parse().unwrap(), value: None },
        4 => Edit::Choose { path: "needs".parse().unwrap(), choice: format!("choice{n}"), chosen: number % 2 == 0 },
        5 => Edit::AddRow { repeat: "members".to_owned(), row: row(*n), parent: None },
        6 => Edit::Set { path: FieldPath::in_row("members/name", "members", row(*n)), value: text(value) },
        7 => Edit::Choose {
            path: FieldPath::in_row("members/ills", "members", row(*n)),
            choice: "flu".to_owned(),
            chosen: number % 2 == 0,
        },
        8 => Edit::RemoveRow { repeat: "members".to_owned(), row: row(*n) },
        _ => Edit::AddRow { repeat: "members/jobs".to_owned(), row: row(*n + 9), parent: Some(row(*n)) },
    };
    writes.iter().map(edit).collect()
}

/// Makes the saves in real documents. What a document refuses is left out, edit by edit.
fn made(saves: &[Save], created: &str) -> Vec<Sent> {
    let form = form("2");
    let mut documents: BTreeMap<u8, Document> = BTreeMap::new();
    let mut own_heads: BTreeMap<(u8, u8), Vec<ChangeHash>> = BTreeMap::new();
    let mut changes = Vec::new();
    for save in saves {
        let id = RecordId([save.record + 1; 16]);
        let document = documents
            .entry(save.record)
            .or_insert_with(|| Document::create(id, &crate::document::tests::form(created)).unwrap());
        let actor = ActorId([save.author + 0x60; 16]);
        let own = own_heads.entry((save.author, save.record)).or_insert_with(|| vec![document.creation()]);
        for edit in edits(&save.writes) {
            let at = if save.alone { own.clone() } else { document.heads() };
            if let Ok(Some(change)) = document.edit(&form, &at, actor, save.time_s, &[edit]) {
                *own = vec![change.hash];
                changes.push((id, change));
            }
        }
        let at = if save.alone { own.clone() } else { document.heads() };
        if let Ok(Some(change)) = document.edit(&form, &at, actor, save.time_s, &edits(&save.writes)) {
            *own = vec![change.hash];
            changes.push((id, change));
        }
    }
    changes
}

/// Batches as a sender packs them; the receiver holds the first `held` changes already.
fn packed(changes: &[Sent], held: usize, batch: usize, created: &'static str) -> (Vec<(Vec<u8>, usize)>, usize) {
    let (before, sent) = changes.split_at(held);
    let mut transcoded = 0;
    let mut batches = Vec::new();
    for part in sent.chunks(batch.max(1)) {
        let items: Vec<ToPack<'_>> = part
            .iter()
            .map(|(record, change)| ToPack {
                record: *record,
                known: before.iter().any(|(own, _)| own == record),
                creation: Document::creation_of(*record, &form(created)).ok(),
                bytes: &change.bytes,
            })
            .collect();
        let packed = pack(&items, false);
        transcoded += packed.transcoded;
        batches.push((packed.bytes, part.len()));
    }
    (batches, transcoded)
}

fn unpacked(batches: &[(Vec<u8>, usize)], held: &mut Held) -> Result<Vec<Unpacked>, UnpackError<Infallible>> {
    let mut room = Room::default();
    let mut all = Vec::new();
    for (bytes, count) in batches {
        let out = unpack(bytes, *count, &mut room, held)?;
        for change in &out {
            held.changes.entry(change.record).or_default().extend(change.hash);
        }
        all.extend(out);
    }
    Ok(all)
}

fn round_trip(changes: &[Sent], held: usize, batch: usize, created: &'static str) {
    let (batches, transcoded) = packed(changes, held, batch, created);
    let mut receiver = Held { version: created, ..Held::default() };
    changes[..held].iter().for_each(|change| receiver.add(change));
    let out = unpacked(&batches, &mut receiver).unwrap();
    let sent = &changes[held..];
    assert_eq!(out.len(), sent.len());
    for ((record, change), unpacked) in sent.iter().zip(&out) {
        assert_eq!((unpacked.record, unpacked.hash), (*record, Some(change.hash)));
        assert_eq!(hex::encode(&unpacked.bytes), hex::encode(&change.bytes));
    }
    assert_eq!(transcoded, sent.len(), "an honest change travelled raw");
}

/// Some honest saves, for mutations.
static SAMPLE: LazyLock<Vec<Sent>> = LazyLock::new(sample);

fn sample() -> Vec<Sent> {
    let write = |what, n, number, value: &str| (what, n, number, value.to_owned());
    let save = |author, record, alone| Save {
        author,
        record,
        alone,
        time_s: 1_790_000_000,
        writes: vec![
            write(0, 0, 1, "才让卓玛"),
            write(2, 0, 70_000, ""),
            write(5, 1, 0, ""),
            write(6, 1, 0, "仁青"),
            write(7, 1, 2, ""),
            write(4, 1, 2, ""),
            write(9, 1, 0, ""),
        ],
    };
    made(&[save(0, 0, false), save(1, 0, true), save(2, 1, false), save(0, 1, false)], "1")
}

/// Whatever the bytes are: no panic, and nothing above the limits comes out.
fn survives(bytes: &[u8], count: usize) {
    let mut held = Held { version: "1", ..Held::default() };
    SAMPLE.iter().take(3).for_each(|change| held.add(change));
    if let Ok(out) = unpack(bytes, count, &mut Room::default(), &mut held) {
        assert_eq!(out.len(), count);
        assert!(out.iter().all(|change| change.bytes.len() <= CHANGE_BYTES_MAX));
    }
}

#[test]
fn a_creation_is_named_without_making_it() {
    for version in ["1", "2"] {
        for n in [0, 7, 255] {
            let id = RecordId([n; 16]);
            let document = Document::create(id, &form(version)).unwrap();
            assert_eq!(Document::creation_of(id, &form(version)).unwrap(), document.creation());
        }
    }
}

#[test]
fn what_is_no_change_travels_raw() {
    let (record, change) = SAMPLE[0].clone();
    let mut longer = change.bytes.clone();
    longer.push(0);
    let items = [&[][..], b"garbage", &longer, &change.bytes].map(|bytes| ToPack {
        record,
        known: false,
        creation: None,
        bytes,
    });
    let packed = pack(&items, false);
    assert_eq!(packed.transcoded, 1);
    let mut held = Held::default();
    held.changes.insert(record, change.deps.clone());
    let out = unpack(&packed.bytes, 4, &mut Room::default(), &mut held).unwrap();
    for (item, out) in items.iter().zip(&out) {
        assert_eq!(item.bytes, out.bytes);
    }
    assert_eq!(out.iter().map(|out| out.hash).collect::<Vec<_>>(), [None, None, None, Some(change.hash)]);
}

/// A change of the same meaning may be written in other bytes, and then has another hash.
#[test]
fn a_change_that_would_be_written_otherwise_travels_raw() {
    let mut kinds = [0, 0];
    for (record, change) in SAMPLE.iter().take(6) {
        for (at, bit) in (9..change.bytes.len()).flat_map(|at| [(at, 1_u8), (at, 0x80)]) {
            let mut bytes = change.bytes.clone();
            bytes[at] ^= bit;
            let sum = Sha256::digest(&bytes[8..]);
            bytes[4..8].copy_from_slice(&sum[..4]);
            let before = ToPack { record: *record, known: false, creation: None, bytes: &change.bytes };
            let other = like(*record);
            let packed = pack(&[ToPack { record: other, bytes: &bytes, ..before }, before], false);
            let mut held = Held::default();
            held.changes.insert(other, deps_of(&bytes));
            held.changes.insert(*record, change.deps.clone());
            let out = unpack(&packed.bytes, 2, &mut Room::default(), &mut held).unwrap();
            assert_eq!((&out[0].bytes, &out[1].bytes), (&bytes, &change.bytes), "byte {at}");
            assert!(out[1].transcoded);
            kinds[usize::from(out[0].transcoded)] += 1;
        }
    }
    assert!(kinds.iter().all(|count| *count > 100), "{kinds:?}");
}

/// The dependencies of a raw change, as far as it can be read.
fn deps_of(bytes: &[u8]) -> Vec<ChangeHash> {
    automerge::Change::from_bytes(bytes.to_vec())
        .map(|change| change.deps().iter().map(|hash| ChangeHash(hash.0)).collect())
        .unwrap_or_default()
}

#[test]
fn what_is_not_here_or_not_alone_is_asked_for_in_full() {
    let changes = &*SAMPLE;
    let (batches, _) = packed(changes, 3, 100, "1");
    let mut nothing = Held { version: "1", ..Held::default() };
    assert_eq!(unpacked(&batches, &mut nothing), Err(UnpackError::Unresolved));
    let mut twice = Held { version: "1", ..Held::default() };
    changes[..3].iter().for_each(|change| twice.add(change));
    let mut other = changes[2].0;
    other.0[15] ^= 1;
    twice.changes.insert(other, Vec::new());
    assert_eq!(unpacked(&batches, &mut twice), Err(UnpackError::Unresolved));
    let items: Vec<ToPack<'_>> = changes[3..]
        .iter()
        .map(|(record, change)| ToPack { record: *record, known: true, creation: None, bytes: &change.bytes })
        .collect();
    let full = pack(&items, true);
    assert_eq!(full.transcoded, 0);
    let out = unpack(&full.bytes, items.len(), &mut Room::default(), &mut nothing).unwrap();
    assert!(out.iter().zip(&items).all(|(out, item)| out.bytes == item.bytes && out.record == item.record));
}

#[test]
fn limits_are_held_before_anything_is_made() {
    let mut held = Held::default();
    let none = unpack(&[0; 4], BATCH_CHANGES_MAX + 1, &mut Room::default(), &mut held);
    assert_eq!(none, Err(UnpackError::TooLarge("changes of a batch")));
    let (record, change) = SAMPLE[0].clone();
    let mut room = Room::default();
    let items = vec![ToPack { record, known: false, creation: None, bytes: &change.bytes }; BATCH_CHANGES_MAX];
    let packed = pack(&items, true).bytes;
    for _ in 0..EXCHANGE_CHANGES_MAX / BATCH_CHANGES_MAX {
        unpack(&packed, items.len(), &mut room, &mut held).unwrap();
    }
    let more = unpack(&packed, items.len(), &mut room, &mut held);
    assert_eq!(more, Err(UnpackError::TooLarge("changes of the exchange")));
    assert!(!room.has(BATCH_CHANGES_MAX, 0) && room.has(1, CHANGE_BYTES_MAX));
}

/// A change's numbers may be anything: the next change of the same author is expected behind them all the same.
#[test]
fn numbers_at_their_end_do_not_overflow() {
    let least = [&[0xff; 9][..], &[1]].concat();
    let minus_two = vec![3];
    // Two changes of one author; a number of the first is as small or as large as it can be.
    for (huge, number) in (0..28).flat_map(|column| [(column, &least), (column, &minus_two)]) {
        let mut mask = 0_u32;
        let mut columns: Vec<Vec<u8>> = Vec::new();
        for column in 0..28_u32 {
            let data = match column {
                0 => vec![1, 0],
                1 => vec![7; 16],
                2 => vec![1, 1],
                6 => vec![9; 16],
                11 => vec![2, 2],
                12 => vec![5; 64],
                _ if column == huge => number.repeat(2),
                _ => continue,
            };
            mask |= 1 << column;
            columns.push(data);
        }
        let mut bytes = mask.to_le_bytes().to_vec();
        bytes.extend(columns.iter().rev().skip(1).rev().map(|column| column.len() as u8));
        columns.iter().for_each(|column| bytes.extend(column));
        survives(&bytes, 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_goes_in_comes_out(
        saves in saves(),
        held in any::<prop::sample::Index>(),
        batch in 1usize..40,
        created in prop_oneof![Just("1"), Just("2")],
    ) {
        let changes = made(&saves, created);
        round_trip(&changes, held.index(changes.len() + 1), batch, created);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn random_columns_never_panic(mask in any::<u32>(), bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0usize..8) {
        let mut all = (mask & ((1 << 28) - 1)).to_le_bytes().to_vec();
        all.extend(bytes);
        survives(&all, count);
    }

    #[test]
    fn damaged_batches_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        count in 1usize..30,
    ) {
        let (batches, _) = packed(&SAMPLE, 3, 100, "1");
        let mut bytes = batches[0].0.clone();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
        survives(&bytes, batches[0].1);
        survives(&bytes, count);
    }
}
