//! Breaks, doubled frames and lost answers between the phone's encrypted store and the server's: whatever the line does,
//! both end with everything, once, and the phone never says more than the server has.

use std::collections::{BTreeMap, BTreeSet};

use fieldbook_core::client::ErrorKind;
use fieldbook_core::ids::RecordId;
use fieldbook_core::store::{ListFilter, SyncState};
use serde_json::{Value, json};

use super::inside::{Carried, Fault, Inside, close, noise, sync_once};
use super::office::{NOTE, Phone, id};

/// Records that the phone has to send, and to fetch: several frames each way.
const OWN: u8 = 14;
const OTHERS: u8 = 12;
/// The record that both have worked on.
const SHARED: u8 = 100;
const ENTRIES: &str = "SELECT hash FROM entries WHERE hash IS NOT NULL";
const QUARANTINE: &str = "SELECT hash FROM quarantine";

/// A phone with much to send and much to fetch, both closed: a conflict, and in the middle of the outbox a save that the
/// user may not make, with honest saves on the same record behind it.
fn busy() -> Inside {
    let world = Inside::new();
    let (a, b) = (world.phone("a", "duojie"), world.phone("b", "maxiuying"));
    let shared = id(SHARED);
    a.create(NOTE, Some(shared), json!({ "title": "一户" }));
    a.sync();
    b.sync();
    let mut seed = 7;
    b.set(shared, "remark", "乙写的");
    for number in 0..OTHERS {
        b.create(NOTE, Some(id(50 + number)), json!({ "title": "乙", "remark": noise(&mut seed, 1_800) }));
    }
    b.sync();
    for number in 0..OWN {
        a.create(NOTE, Some(id(number)), json!({ "title": "甲", "remark": noise(&mut seed, 1_800) }));
        if number == OWN / 2 {
            a.set(shared, "remark", "甲写的");
            a.try_edit(shared, &json!({ "stage": "approved", "size": 4 }), &Value::Null, &Value::Null).unwrap();
            a.set(shared, "phone", "13900000000");
            a.add(shared, "people", json!({ "name": "后来的人" }));
        }
    }
    close(a);
    close(b);
    world
}

/// All that a phone shows: values, both sides of what is in conflict, how many saves, how far it has got.
type Picture = BTreeMap<RecordId, (Value, Vec<(String, Value)>, usize, SyncState)>;

fn ids(phone: &Phone) -> Vec<RecordId> {
    phone.book.list(NOTE, &ListFilter::default(), None, 1_000).unwrap().into_iter().map(|row| row.id).collect()
}

fn picture(phone: &Phone) -> Picture {
    let shown = |id: RecordId| {
        let view = phone.record(id);
        (id, (view.values, phone.sides(id, "remark"), view.history.len(), view.sync))
    };
    ids(phone).into_iter().map(shown).collect()
}

/// What the phone says of its records is never more than what the server holds.
fn says_no_more_than_true(world: &Inside, phone: &Phone, case: &str) {
    let (entries, apart) = (world.hashes(ENTRIES), world.hashes(QUARANTINE));
    let mut only_here = 0;
    for id in ids(phone) {
        let view = phone.record(id);
        let changes: BTreeSet<String> = view.history.iter().map(|entry| entry.change.to_string()).collect();
        let missing: Vec<&String> = changes.iter().filter(|change| !entries.contains(*change)).collect();
        only_here += missing.len() as u64;
        match view.sync {
            SyncState::OnServer => assert!(missing.is_empty(), "{case}: {id} is not on the server"),
            SyncState::Sent => {
                assert!(missing.iter().all(|change| apart.contains(*change)), "{case}: {id} was not sent")
            }
            _ => {}
        }
    }
    let waiting = phone.book.status().unwrap().store;
    assert!(waiting.outbox_changes + waiting.not_taken >= only_here, "{case}: {waiting:?}, {only_here} only here");
}

/// Syncs all to the end and compares with `right`, what comes out where nothing breaks.
fn ends_well(world: &Inside, a: &Phone, right: &Picture, case: &str) {
    a.sync();
    let b = world.at("b");
    b.sync();
    a.sync();
    let shown = picture(a);
    assert_eq!(shown.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>(), "{case}");
    for (id, expected) in right {
        assert_eq!(&shown[id], expected, "{case}: {id}");
        let there = b.record(*id);
        assert_eq!(
            (&there.values, &there.heads),
            (&expected.0, &a.record(*id).heads),
            "{case}: {id} at the other phone"
        );
    }
    let told = a.book.not_taken(0, 100).unwrap();
    let fields: Vec<(&str, &str)> =
        told.iter().flat_map(|one| &one.fields).map(|field| (field.path.as_str(), field.shown.as_str())).collect();
    assert_eq!(fields, [("stage", "approved")], "{case}: {told:?}");
    assert_eq!(a.book.status().unwrap().store.outbox_changes, 0, "{case}");
    world.line.carried();
    let idle = a.sync();
    assert_eq!((idle.changes_sent, idle.changes_received, world.line.carried().len()), (0, 0, 1), "{case}");
    world.verify();
}

/// What comes out where nothing breaks, and what was carried.
fn unbroken(world: &Inside) -> (Picture, Vec<Carried>) {
    let world = world.copy();
    let a = world.at("a");
    a.sync();
    let carried = world.line.carried();
    let b = world.at("b");
    b.sync();
    a.sync();
    let right = picture(&a);
    assert_eq!(right.len(), usize::from(OWN + OTHERS) + 1);
    let (values, sides, _, sync) = &right[&id(SHARED)];
    assert_eq!(sides.len(), 2, "both wrote the remark: {sides:?}");
    assert_eq!((&values["size"], &values["phone"], values.get("stage")), (&json!(4), &json!("13900000000"), None));
    assert_eq!((&values["people"][0]["name"], *sync), (&json!("后来的人"), SyncState::NotTaken));
    ends_well(&world, &a, &right, "unbroken");
    (right, carried)
}

/// Middle and end of each frame, counted from `start`.
fn within(start: usize, frames: &[usize]) -> Vec<usize> {
    let mut at = start;
    let mut cuts = Vec::new();
    for frame in frames {
        cuts.extend([at + frame / 2, at + frame]);
        at += frame;
    }
    cuts
}

#[test]
fn cut_at_every_frame_in_both_directions_all_arrives_once_and_states_are_true() {
    let world = busy();
    let (right, carried) = unbroken(&world);
    assert!(carried[0].up.len() >= 3 && carried[0].down.len() >= 3, "{carried:?}");
    let mut cases = Vec::new();
    for (exchange, bytes) in carried.iter().enumerate() {
        let up = [0, bytes.header / 2, bytes.header].into_iter().chain(within(bytes.header, &bytes.up));
        let mut down = within(0, &bytes.down);
        down.pop();
        cases.extend(up.map(|cut| (exchange, Fault::CutUp(cut))));
        cases.extend(std::iter::once(0).chain(down).map(|cut| (exchange, Fault::CutDown(cut))));
    }
    println!("{} places to cut in {} exchanges", cases.len(), carried.len());
    for (exchange, fault) in cases {
        let case = format!("{fault:?} of exchange {exchange}");
        let world = world.copy();
        world.line.break_after(exchange, fault);
        let a = world.at("a");
        let broken = sync_once(&a).unwrap_err();
        assert_eq!(broken.kind, ErrorKind::Network, "{case}: {broken:?}");
        says_no_more_than_true(&world, &a, &case);
        let a = world.again(a);
        says_no_more_than_true(&world, &a, &case);
        ends_well(&world, &a, &right, &case);
    }
}

#[test]
fn what_comes_twice_is_as_once_or_is_noticed() {
    let world = busy();
    let (right, carried) = unbroken(&world);
    let mut cases = vec![Fault::RequestTwice, Fault::SecondAnswer, Fault::MessagesTwice];
    cases.extend((0..carried[0].up.len()).map(Fault::FrameUpTwice));
    cases.extend((0..carried[0].down.len()).map(Fault::FrameDownTwice));
    for fault in cases {
        let case = format!("{fault:?}");
        let world = world.copy();
        world.line.break_after(0, fault);
        let a = world.at("a");
        match sync_once(&a) {
            Ok(()) => {}
            // A frame is a piece of one stream: twice, it may be no piece of it. Nothing of it is taken then.
            Err(error) => {
                assert!(matches!(fault, Fault::FrameUpTwice(_) | Fault::FrameDownTwice(_)), "{case}: {error:?}");
                assert!(matches!(error.kind, ErrorKind::Refused | ErrorKind::ServerIdentity), "{case}: {error:?}");
            }
        }
        says_no_more_than_true(&world, &a, &case);
        ends_well(&world, &a, &right, &case);
    }
}

#[test]
fn a_lost_answer_is_made_up_for_without_sending_the_bodies_again() {
    let world = busy();
    let (right, carried) = unbroken(&world);
    let whole: usize = carried[0].up.iter().sum();
    let world = world.copy();
    world.line.break_after(0, Fault::CutDown(0));
    let a = world.at("a");
    assert_eq!(sync_once(&a).unwrap_err().kind, ErrorKind::Network);
    // The server has made all of it durable, and nobody has said so.
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE hash IS NOT NULL"), u64::from(OWN + OTHERS) + 3);
    let own = |number| a.record(id(number)).sync;
    assert!((0..OWN).all(|number| own(number) == SyncState::SavedHere));
    world.line.carried();
    a.sync();
    let up: usize = world.line.carried().iter().flat_map(|exchange| &exchange.up).sum();
    assert!(up < whole / 10, "{up} of {whole} bytes were sent again");
    assert!((0..OWN).all(|number| own(number) == SyncState::OnServer));
    ends_well(&world, &a, &right, "lost answer");
}
