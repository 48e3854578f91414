//! Forms that travel packed apart.

use proptest::prelude::*;

use crate::forms::builtin;
use crate::limits::FORM_BYTES_MAX;
use crate::protocol::Down;
use crate::protocol::limits::EXCHANGE_INFLATED_BYTES_MAX;
use crate::sync::frames::{FrameError, FrameReader, FrameWriter};
use crate::sync::pack_form;
use crate::sync::packed::Largest;

/// The forms as an answer brings them.
fn answer(forms: &[Vec<u8>]) -> Vec<Down> {
    let mut largest = Largest::default();
    let mut packed = Vec::new();
    for form in forms {
        packed.push(Down::PackedForm(pack_form(form, largest.get()).unwrap().into()));
        largest.note(form);
    }
    packed
}

fn written(messages: &[Down]) -> Vec<u8> {
    let mut writer = FrameWriter::new(20);
    messages.iter().for_each(|message| writer.push(message).unwrap());
    writer.flush().unwrap();
    std::iter::from_fn(|| writer.take()).flatten().collect()
}

/// The forms that are read, frame by frame.
fn read(bytes: &[u8]) -> Result<Vec<Vec<Vec<u8>>>, FrameError> {
    let mut reader = FrameReader::<Down>::new();
    let mut frames = Vec::new();
    for piece in bytes.chunks(10_000) {
        reader.push(piece);
        while let Some(frame) = reader.next_frame()? {
            let form = |message| match message {
                Down::Form(form) => form.to_vec(),
                other => panic!("{other:?} among forms"),
            };
            frames.push(frame.into_iter().map(form).collect());
        }
    }
    assert!(reader.at_rest());
    Ok(frames)
}

#[test]
fn forms_come_as_they_were_and_take_less_behind_a_larger_one() {
    let forms: Vec<Vec<u8>> = builtin().unwrap().iter().map(crate::forms::Form::to_bytes).collect();
    let messages = answer(&forms);
    assert_eq!(read(&written(&messages)).unwrap().concat(), forms);
    let small_first: Vec<Vec<u8>> = forms.iter().rev().cloned().collect();
    assert_eq!(read(&written(&answer(&small_first))).unwrap().concat(), small_first);
    for (form, message) in forms.iter().zip(&messages).skip(1) {
        let Down::PackedForm(packed) = message else { panic!("{message:?}") };
        let alone = pack_form(form, None).unwrap();
        assert!(packed.len() * 5 < alone.len() * 4, "{} against {}", packed.len(), alone.len());
    }
}

#[test]
fn no_frame_opens_to_more_than_the_largest_form() {
    let forms: Vec<Vec<u8>> = (0..7_u8).map(|at| vec![at; FORM_BYTES_MAX / 3]).collect();
    let frames = read(&written(&answer(&forms))).unwrap();
    assert!(frames.iter().all(|frame| frame.iter().map(Vec::len).sum::<usize>() <= FORM_BYTES_MAX));
    assert_eq!(frames.concat(), forms);
    let large = vec![vec![7; FORM_BYTES_MAX], vec![8; FORM_BYTES_MAX]];
    assert_eq!(read(&written(&answer(&large))).unwrap().concat(), large);
    assert_eq!(pack_form(&vec![7; FORM_BYTES_MAX + 1], None), Err(FrameError::TooLarge("form")));
}

#[test]
fn what_opens_to_more_than_the_limits_ends_the_stream() {
    let claims = |bytes: usize| Down::PackedForm(zstd::bulk::compress(&vec![1; bytes], 1).unwrap().into());
    assert_eq!(read(&written(&[claims(FORM_BYTES_MAX + 1)])), Err(FrameError::TooLarge("packed forms")));
    let many = EXCHANGE_INFLATED_BYTES_MAX / FORM_BYTES_MAX + 1;
    let many = vec![vec![1; FORM_BYTES_MAX]; many];
    assert_eq!(read(&written(&answer(&many))), Err(FrameError::TooLarge("inflated exchange")));
    // No writer puts two of them into one frame: a hostile one may.
    let mut one = crate::sync::to_cbor(&claims(FORM_BYTES_MAX / 2 + 1));
    one.extend_from_slice(&one.clone());
    let mut reader = FrameReader::<Down>::new();
    reader.push(&super::frames::framed(&one));
    assert_eq!(reader.next_frame(), Err(FrameError::TooLarge("packed forms")));
}

#[test]
fn what_is_no_packed_form_ends_the_stream() {
    let garbage = Err(FrameError::Garbage("packed form"));
    assert_eq!(read(&written(&[Down::PackedForm(b"no form".to_vec().into())])), garbage);
    // Packed against another form than this answer has brought: the notice names the hash of what should come out.
    let form = |seed| super::frames::noise(seed, 5_000);
    let against = pack_form(&form(2), Some(&form(2))).unwrap();
    assert!(against.len() < 500, "{}", against.len());
    let first = Down::PackedForm(pack_form(&form(1), None).unwrap().into());
    let told = read(&written(&[first, Down::PackedForm(against.into())]));
    assert_ne!(told.map(|frames| frames.concat().pop()), Ok(Some(form(2))));
}

proptest! {
    #[test]
    fn damaged_forms_never_panic(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>()) {
        let forms = [b"one form and its texts".repeat(9), b"another form and its texts".repeat(9)];
        let mut messages = answer(&forms);
        for message in &mut messages {
            if let Down::PackedForm(packed) = message {
                let mut bytes = packed.to_vec();
                let index = at.index(bytes.len());
                bytes[index] ^= 1 << bit;
                bytes.truncate(cut.index(bytes.len() + 1));
                *packed = bytes.into();
            }
        }
        let _ = read(&written(&messages));
    }
}
