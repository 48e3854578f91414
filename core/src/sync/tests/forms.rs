//! Forms come apart from their notices: those that the first records need before them, the others last, none never.

use super::*;
use crate::document::tests::{form, set};
use crate::forms::FormDefinition;
use crate::protocol::{Down, RequestHeader};
use crate::sync::frames::FrameReader;
use crate::sync::from_cbor;
use crate::sync::phone::PhoneLog;
use crate::sync::wire::{Varint, read_varint};

/// A form of another kind, large enough to be noticed where it comes too early.
fn of_kind(kind: &str) -> FormDefinition {
    let mut seed = 7_u64;
    let noise = (0..20_000).map(|_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 40) as u8
    });
    FormDefinition { kind: kind.to_owned(), xform: hex::encode(noise.collect::<Vec<u8>>()), ..form("2") }
}

/// A server with forms around the one that its records need, and a phone that has nothing yet.
fn world() -> World {
    let mut world = World::new(2);
    world.server.publish(of_kind("before"), NOW_MS);
    world.server.publish(of_kind("after"), NOW_MS);
    world.sync(0);
    for at in 0..60 {
        let record = world.record();
        world.phones[0].save(record, at, &[set("name", "才让卓玛")]);
    }
    world.sync(0);
    world
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Form(String),
    Changes,
}

fn pieces(answer: &[u8]) -> Vec<Vec<Piece>> {
    let mut reader = FrameReader::<Down>::new();
    reader.push(answer);
    let frames = std::iter::from_fn(|| reader.next_frame().unwrap());
    let piece = |message: Down| match message {
        Down::Form(form) => from_cbor::<FormDefinition>(&form).map(|form| Piece::Form(form.kind)),
        Down::Changes(_) => Some(Piece::Changes),
        _ => None,
    };
    frames.map(|frame| frame.into_iter().filter_map(piece).collect()).collect()
}

#[test]
fn the_first_records_come_with_their_form_and_before_the_other_forms() {
    let mut world = world();
    let sent = world.exchange(1, Fault::default());
    assert!(!sent.result.as_ref().unwrap().again);
    let pieces = pieces(&sent.answer);
    let own = Piece::Form(form("2").kind);
    assert_eq!(pieces[0], [own, Piece::Changes], "the first frame shows records");
    assert!(sent.answer_frames[0] < 8 * 1024, "{}", sent.answer_frames[0]);
    let rest: Vec<Piece> = pieces.into_iter().skip(1).flatten().collect();
    let (forms, changes): (Vec<&Piece>, Vec<&Piece>) = rest.iter().partition(|piece| **piece != Piece::Changes);
    assert_eq!(forms, [&Piece::Form("before".to_owned()), &Piece::Form("after".to_owned())]);
    assert!(rest[..changes.len()].iter().all(|piece| *piece == Piece::Changes), "{rest:?}");
    assert_eq!(world.phones[1].picture().len(), 60);
}

#[test]
fn a_form_that_a_break_kept_back_is_asked_for() {
    let whole = world().exchange(1, Fault::default()).answer.len();
    for cut in (0..whole).step_by(whole / 40) {
        let mut world = world();
        world.exchange(1, Fault { cut_down: Some(cut), ..Fault::default() });
        world.sync(1);
        let phone = &mut world.phones[1];
        assert_eq!(phone.picture().len(), 60, "cut at {cut}");
        for kind in ["before", "after"] {
            assert!(phone.form(kind, Some("2")).unwrap().is_some(), "{kind} is missing after a cut at {cut}");
        }
        let sent = world.exchange(1, Fault::default());
        let header = sent.request.header;
        let Varint::Value(length, start) = read_varint(&header) else { panic!("no header") };
        let header: RequestHeader = from_cbor(&header[start..start + length as usize]).unwrap();
        assert_eq!(header.forms, None, "nothing is asked for again");
    }
}

#[test]
fn a_new_version_comes_with_its_notice() {
    let mut world = world();
    world.sync(1);
    world.server.publish(form("3"), NOW_MS);
    let sent = world.exchange(1, Fault::default());
    assert!(!sent.result.unwrap().again);
    assert!(world.phones[1].form(&form("3").kind, Some("3")).unwrap().is_some());
}
