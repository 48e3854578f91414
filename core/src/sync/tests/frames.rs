//! Frames against honest and dishonest bytes.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::ids::{ChangeHash, RecordId};
use crate::protocol::limits::{FRAME_BYTES_MAX, FRAME_INFLATED_BYTES_MAX, FRAME_TARGET_BYTES};
use crate::protocol::{ChangesUp, CreatedUnder, Down, ErrorAnswer, ErrorKind, FormRun, Up};
use crate::sync::frames::{FrameError, FrameReader, FrameWriter};
use crate::sync::wire::{Varint, put_varint, read_varint};
use crate::sync::{chain, change_hash};

fn change(index: u32, bytes: Vec<u8>) -> Up {
    let form = FormRun {
        count: 1,
        created: Some(CreatedUnder { kind: "household".to_owned(), version: "1".to_owned() }),
        saved_version: None,
    };
    let (items, forms) = (vec![(index, 1)], vec![form]);
    Up::Changes(ChangesUp { statement: 1, signed: None, items, forms, packed: bytes.into() })
}

fn written(messages: &[Up]) -> Vec<Vec<u8>> {
    let mut writer = FrameWriter::new(20);
    messages.iter().for_each(|message| writer.push(message).unwrap());
    writer.flush().unwrap();
    std::iter::from_fn(|| writer.take()).collect()
}

fn read(bytes: &[u8], piece: usize) -> Result<Vec<Up>, FrameError> {
    let mut reader = FrameReader::new();
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        reader.push(piece);
        while let Some(frame) = reader.next_frame()? {
            messages.extend(frame);
        }
    }
    Ok(messages)
}

/// A frame that says this, with its check, as the first of a stream.
pub(super) fn framed(raw: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(raw, 3).unwrap();
    let mut frame = Vec::new();
    put_varint(&mut frame, 4 + packed.len() as u64);
    frame.extend_from_slice(&Sha256::digest(raw)[..4]);
    frame.extend(packed);
    frame
}

pub(super) fn noise(mut seed: u64, length: usize) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn frames_are_cut_near_their_target() {
    let messages: Vec<Up> = (0..200).map(|at| change(at, noise(u64::from(at), 900))).collect();
    let frames = written(&messages);
    assert!(frames.len() > 8, "{}", frames.len());
    let whole = &frames[1..frames.len() - 1];
    assert!(whole.iter().all(|frame| frame.len() > FRAME_TARGET_BYTES / 2 && frame.len() < FRAME_TARGET_BYTES * 2));
    assert_eq!(read(&frames.concat(), 1000).unwrap(), messages);
}

#[test]
fn a_large_message_travels_in_parts() {
    let large = change(0, noise(1, 256 * 1024));
    let frames = written(&[change(1, vec![1]), large.clone(), change(2, vec![2])]);
    assert!(frames.len() > 2 && frames.iter().all(|frame| frame.len() < FRAME_BYTES_MAX));
    assert_eq!(read(&frames.concat(), 777).unwrap(), vec![change(1, vec![1]), large, change(2, vec![2])]);
}

#[test]
fn what_is_above_a_limit_is_refused_before_it_is_held() {
    let mut writer = FrameWriter::new(20);
    assert_eq!(writer.push(&change(0, noise(1, 400 * 1024))), Err(FrameError::TooLarge("message")));
    let mut long = Vec::new();
    put_varint(&mut long, FRAME_BYTES_MAX as u64 + 1);
    assert_eq!(read(&long, 100), Err(FrameError::TooLarge("frame")));
    let bomb = zstd::bulk::compress(&vec![0; 200 * FRAME_INFLATED_BYTES_MAX], 3).unwrap();
    let mut frame = Vec::new();
    put_varint(&mut frame, 4 + bomb.len() as u64);
    frame.extend([0; 4]);
    frame.extend(bomb);
    assert!(matches!(read(&frame, 4096), Err(FrameError::TooLarge(_) | FrameError::Garbage("compressed bytes"))));
    assert_eq!(read(&[0], 1), Err(FrameError::Garbage("empty frame")));
    assert_eq!(read(&[4, 0, 0, 0, 0], 1), Err(FrameError::Garbage("empty frame")));
}

#[test]
fn a_frame_that_comes_twice_or_not_or_elsewhere_is_noticed_where_it_does() {
    // Alike as an outbox is: a frame in another's place often inflates, to other bytes.
    let messages: Vec<Up> =
        (0..600).map(|at| change(at, [noise(u64::from(at % 7), 200), noise(u64::from(at), 200)].concat())).collect();
    let frames = written(&messages);
    assert!(frames.len() >= 6, "{}", frames.len());
    for at in 0..frames.len() {
        let (mut twice, mut dropped, mut swapped) = (frames.clone(), frames.clone(), frames.clone());
        twice.insert(at, frames[at].clone());
        dropped.remove(at);
        swapped.swap(at, (at + 1) % frames.len());
        let cases = [(twice, at + 1), (dropped, at), (swapped, if at + 1 == frames.len() { 0 } else { at })];
        for (bytes, good) in cases {
            let mut reader = FrameReader::<Up>::new();
            reader.push(&bytes.concat());
            let read = std::iter::from_fn(|| reader.next_frame().transpose()).take_while(Result::is_ok).count();
            let ends_early = bytes.len() == good;
            assert!(ends_early || reader.next_frame().is_err());
            assert_eq!(read, good, "frame {at}");
        }
    }
}

#[test]
fn parts_in_any_other_order_are_refused() {
    let part = |index, count| Up::Part { index, count, bytes: vec![0; 10].into() };
    for messages in [
        vec![part(1, 2)],
        vec![part(0, 2), part(0, 2)],
        vec![part(0, 2), part(1, 3)],
        vec![part(0, 2), change(0, vec![1])],
        vec![part(0, 0)],
        vec![part(0, 100_000)],
        vec![part(0, 1)],
    ] {
        assert!(read(&written(&messages).concat(), 99).is_err(), "{messages:?}");
    }
}

#[test]
fn a_change_is_named_from_its_bytes_alone() {
    let form = crate::document::tests::form("2");
    let mut document = crate::document::Document::create(RecordId([1; 16]), &form).unwrap();
    let edits = [crate::document::tests::set("name", "才让卓玛")];
    let change = document.edit(&form, &document.heads(), crate::ids::ActorId([2; 16]), 5, &edits).unwrap().unwrap();
    assert_eq!(change_hash(&change.bytes), Some(change.hash));
    for at in 0..change.bytes.len() {
        let mut damaged = change.bytes.clone();
        damaged[at] ^= 1;
        assert_eq!(change_hash(&damaged), None, "byte {at}");
        assert_eq!(change_hash(&change.bytes[..at]), None);
    }
    assert_eq!(change_hash(&[change.bytes, vec![0]].concat()), None);
}

#[test]
fn the_chain_is_what_the_specification_says() {
    let leaf = chain::change_leaf(&[1, 2, 3, 4, 5, 6, 7, 8], &ChangeHash([9; 32]));
    assert_eq!(hex::encode(leaf), LEAF);
    assert_eq!(hex::encode(chain::next(&chain::START, 1, 1_790_000_000_000, &leaf)), NEXT);
}
// Computed with Python's hmac and hashlib from the formulas in docs/PROTOCOL.md.
const LEAF: &str = "0dd031da169624e3900f6cf8a75d649f480f2c4e4512a99f9284a965a62f64da";
const NEXT: &str = "108e14de6b6e330349be6909cbef416683dfc46c981b5f4465bf598fbd586392";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_is_written_is_read(lengths in prop::collection::vec(0usize..3000, 0..40), piece in 1usize..5000) {
        let messages: Vec<Up> =
            lengths.iter().enumerate().map(|(at, length)| change(at as u32, noise(at as u64, *length))).collect();
        prop_assert_eq!(read(&written(&messages).concat(), piece).unwrap(), messages);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), piece in 1usize..300) {
        let _ = read(&bytes, piece);
    }

    #[test]
    fn random_messages_in_honest_frames_never_panic(bytes in prop::collection::vec(any::<u8>(), 1..500)) {
        let frame = framed(&bytes);
        let _ = read(&frame, 100);
        let mut reader = FrameReader::<Down>::new();
        reader.push(&frame);
        let _ = reader.next_frame();
    }

    #[test]
    fn damaged_frames_never_panic(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>()) {
        let messages: Vec<Up> = (0..30).map(|at| change(at, noise(u64::from(at), 300))).collect();
        let mut bytes = written(&messages).concat();
        let index = at.index(bytes.len());
        bytes[index] ^= 1 << bit;
        let _ = read(&bytes, 500);
        bytes.truncate(cut.index(bytes.len()));
        let _ = read(&bytes, 500);
    }

    #[test]
    fn lengths_read_back(value in 0u64..(1 << 35)) {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, value);
        prop_assert_eq!(read_varint(&bytes), Varint::Value(value, bytes.len()));
        prop_assert_eq!(read_varint(&bytes[..bytes.len() - 1]), Varint::Incomplete);
    }
}

#[test]
fn every_error_kind_has_a_status() {
    let kinds = [ErrorKind::Malformed, ErrorKind::Version, ErrorKind::UnknownDevice, ErrorKind::Busy];
    for kind in kinds {
        let answer = ErrorAnswer { kind, detail: String::new(), retry_after_ms: None, counter: None };
        assert!((400..600).contains(&answer.http_status()));
    }
}
