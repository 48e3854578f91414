//! What was shortened and cannot be made out is sent again in full: nothing is lost, and it ends.

use super::*;
use crate::document::tests::set;
use crate::ids::ChangeHash;
use crate::protocol::{ChangesUp, Down, ErrorKind, Up};
use crate::sync::frames::{FrameReader, FrameWriter};
use crate::sync::phone::Stats;

/// Exchanges until nothing waits; how many it took, and what travelled.
fn counted(world: &mut World, phone: usize) -> (usize, Stats) {
    let mut total = Stats::default();
    for exchanges in 1..10 {
        let outcome = world.exchange(phone, Fault::default()).result.unwrap();
        total += outcome.stats;
        if !outcome.again {
            return (exchanges, total);
        }
    }
    panic!("exchanges never end");
}

/// Two phones with the same record on both and on the server.
fn shared() -> (World, RecordId) {
    let mut world = World::new(2);
    world.sync_all();
    let record = world.record();
    world.phones[0].save(record, 1, &[set("name", "a")]).unwrap();
    world.sync_all();
    (world, record)
}

/// Another record that is named alike when only a part of its id is.
pub fn like(record: RecordId) -> RecordId {
    let mut other = record;
    other.0[15] ^= 1;
    other
}

#[test]
fn changes_travel_transcoded_both_ways() {
    let (mut world, record) = shared();
    world.phones[0].save(record, 2, &[set("name", "b")]).unwrap();
    let (exchanges, up) = counted(&mut world, 0);
    assert_eq!((exchanges, up.changes_transcoded, up.changes_raw), (1, 1, 0));
    let (exchanges, down) = counted(&mut world, 1);
    assert_eq!((exchanges, down.changes_transcoded, down.changes_raw), (1, 1, 0));
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
}

#[test]
fn a_record_that_the_server_cannot_make_out_is_sent_again_in_full() {
    let (mut world, record) = shared();
    let stored = world.server.data.records[&record].clone();
    world.server.data.records.insert(like(record), stored);
    let change = world.phones[0].save(record, 2, &[set("name", "b")]).unwrap();
    let (exchanges, sent) = counted(&mut world, 0);
    assert_eq!((exchanges, sent.changes_transcoded, sent.changes_raw), (3, 1, 2), "told, asked how far, sent in full");
    assert_eq!(world.phones[0].status(&change), None, "on the server, under a signed head");
    world.server.data.records.remove(&like(record));
    world.phones[0].save(record, 3, &[set("name", "c")]).unwrap();
    assert_eq!(counted(&mut world, 0).1.changes_raw, 0, "only what must is sent in full");
    world.sync(1);
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
}

#[test]
fn a_record_that_the_phone_cannot_make_out_is_asked_for_in_full() {
    let (mut world, record) = shared();
    world.phones[0].save(record, 2, &[set("name", "b")]).unwrap();
    let other = world.record();
    world.phones[0].save(other, 2, &[set("name", "new")]).unwrap();
    world.sync(0);
    let meta = world.phones[1].data.metas[&record].clone();
    world.phones[1].data.metas.insert(like(record), meta);
    let (exchanges, got) = counted(&mut world, 1);
    assert_eq!((exchanges, got.changes_raw), (2, 2), "asked for again, sent in full");
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
    world.phones[1].data.metas.remove(&like(record));
    world.phones[0].save(record, 3, &[set("name", "c")]).unwrap();
    world.sync(0);
    assert_eq!(counted(&mut world, 1).1.changes_raw, 0);
}

#[test]
fn changes_set_apart_on_the_server_are_named_too() {
    let (mut world, record) = shared();
    // Nobody holds this one: it only begins like the change that the next one builds on.
    let base = world.phones[0].data.documents[&record].heads()[0];
    let mut twin = base.0;
    twin[31] ^= 1;
    let device = world.phones[0].data.identity.device;
    let verdict = crate::protocol::Verdict::quarantined(ChangeHash(twin), record, "role", Vec::new());
    world.server.data.quarantine.insert(ChangeHash(twin), (verdict, Vec::new(), (device, 1, 0)));
    let change = world.phones[0].save(record, 2, &[set("name", "b")]).unwrap();
    let (exchanges, sent) = counted(&mut world, 0);
    assert_eq!((exchanges, sent.changes_raw), (3, 2));
    assert!(world.server.data.accepted.contains(&change));
}

/// An exchange of the first phone whose changes are altered on their way.
fn altered(world: &mut World, alter: impl Fn(&mut ChangesUp)) -> Sent {
    let log = &mut world.phones[0];
    let (exchange, request) = Exchange::begin(log, &world.keys[0], &world.random, world.now_ms).unwrap();
    let mut reader = FrameReader::<Up>::new();
    let mut writer = FrameWriter::new(18);
    reader.push(&request.frames.concat());
    while let Some(messages) = reader.next_frame().unwrap() {
        for mut message in messages {
            if let Up::Changes(changes) = &mut message {
                alter(changes);
            }
            writer.push(&message).unwrap();
        }
    }
    writer.flush().unwrap();
    let frames = std::iter::from_fn(|| writer.take()).collect();
    let request = Request { header: request.header, frames };
    let answer = answer_to(&mut world.server, &world.server_key, world.now_ms, &request.body(), false);
    world.deliver(0, exchange, request, answer, None)
}

fn error_of(sent: &Sent) -> Option<ErrorKind> {
    let mut reader = FrameReader::<Down>::new();
    reader.push(&sent.answer);
    let messages = std::iter::from_fn(|| reader.next_frame().unwrap()).flatten();
    messages.filter_map(|message| if let Down::Error(answer) = message { Some(answer.kind) } else { None }).next()
}

#[test]
fn what_comes_out_otherwise_than_stated_is_asked_for_in_full_and_then_blamed() {
    let (mut world, record) = shared();
    let before = world.server.data.devices[&world.phones[0].data.identity.device].row.statement;
    let change = world.phones[0].save(record, 2, &[set("name", "b")]).unwrap();
    let last_byte = |changes: &mut ChangesUp| {
        if let Some(byte) = changes.packed.last_mut() {
            *byte ^= 1;
        }
    };
    let sent = altered(&mut world, last_byte);
    assert_eq!(error_of(&sent), Some(ErrorKind::Unresolved));
    assert!(sent.result.unwrap().again, "the phone does not give up");
    let row = |world: &World| world.server.data.devices[&world.phones[0].data.identity.device].row.statement;
    assert_eq!(row(&world), before, "nothing of it is kept");
    assert!(world.exchange(0, Fault::default()).result.unwrap().again, "a probe, and more to send");
    let sent = altered(&mut world, last_byte);
    assert_eq!(error_of(&sent), Some(ErrorKind::Malformed));
    assert!(matches!(sent.result, Err(SyncError::Server(_))), "in full there is no doubt, and no further round");
    let (_, sent) = counted(&mut world, 0);
    assert_eq!((sent.changes_sent, sent.not_taken), (1, 0));
    assert!(world.server.data.accepted.contains(&change));
}

#[test]
fn a_change_names_its_records_form_only_where_the_server_lacks_the_record() {
    let (mut world, record) = shared();
    let said = |world: &mut World, alter: fn(&mut ChangesUp)| {
        let forms = std::cell::RefCell::new(Vec::new());
        let sent = altered(world, |changes| {
            forms.replace(changes.forms.clone());
            alter(changes);
        });
        let named: Vec<bool> = forms.into_inner().iter().map(|run| run.created.is_some()).collect();
        (named, error_of(&sent))
    };
    let change = world.phones[0].save(record, 2, &[set("name", "b")]).unwrap();
    assert_eq!(said(&mut world, |_| ()), (vec![false], None));
    assert!(world.server.data.accepted.contains(&change));
    let new = world.record();
    let change = world.phones[0].save(new, 3, &[set("name", "c")]).unwrap();
    let unnamed = |changes: &mut ChangesUp| changes.forms[0].created = None;
    assert_eq!(said(&mut world, unnamed), (vec![true], Some(ErrorKind::Unresolved)));
    world.exchange(0, Fault::default()).result.unwrap();
    assert_eq!(said(&mut world, unnamed), (vec![true], Some(ErrorKind::Malformed)), "in full nothing is left out");
    counted(&mut world, 0);
    assert!(world.server.data.accepted.contains(&change));
    // In full the form is named of a record that the server holds too.
    let stored = world.server.data.records[&record].clone();
    world.server.data.records.insert(like(record), stored);
    world.phones[0].save(record, 4, &[set("name", "d")]).unwrap();
    assert_eq!(said(&mut world, |_| ()), (vec![false], Some(ErrorKind::Unresolved)));
    world.exchange(0, Fault::default()).result.unwrap();
    assert_eq!(said(&mut world, |_| ()), (vec![true], None));
}

#[test]
fn a_statement_says_its_feed_and_actor_only_where_the_one_before_had_others() {
    let (mut world, record) = shared();
    let said = |world: &mut World, alter: fn(&mut ChangesUp)| {
        let signed = std::cell::RefCell::new(None);
        let sent = altered(world, |changes| {
            signed.replace(changes.signed.clone());
            alter(changes);
        });
        (signed.into_inner().unwrap().by, error_of(&sent))
    };
    let change = world.phones[0].save(record, 2, &[set("name", "b")]).unwrap();
    assert_eq!(said(&mut world, |_| ()), (None, None));
    assert!(world.server.data.accepted.contains(&change));
    // The phone's very first statement follows none.
    let other = world.record();
    let change = world.phones[1].save(other, 3, &[set("name", "c")]).unwrap();
    world.phones.swap(0, 1);
    world.keys.swap(0, 1);
    let before = world.phones[0].data.clone();
    let (by, error) = said(&mut world, |changes| changes.signed.as_mut().unwrap().by = None);
    assert_eq!((by.is_some(), error), (true, Some(ErrorKind::Malformed)));
    world.server.data.devices.get_mut(&before.identity.device).unwrap().row.counter = 0;
    world.phones[0].data = before;
    world.sync(0);
    assert!(world.server.data.accepted.contains(&change));
}

#[test]
fn the_server_bounds_what_a_message_claims() {
    let (mut world, record) = shared();
    world.phones[0].save(record, 2, &[set("name", "b")]).unwrap();
    let kept = world.phones[0].data.clone();
    type Spoil = fn(&mut ChangesUp);
    let kinds: [(Spoil, ErrorKind); 6] = [
        (|changes| changes.items = vec![(0, u32::MAX)], ErrorKind::Malformed),
        (|changes| changes.items = vec![(u32::MAX, 2)], ErrorKind::Malformed),
        (|changes| changes.items = vec![(0, 1), (0, 1)], ErrorKind::Malformed),
        (|changes| changes.forms[0].count = u32::MAX, ErrorKind::Malformed),
        (|changes| changes.signed.as_mut().unwrap().length = u32::MAX, ErrorKind::Malformed),
        (|changes| changes.signed.as_mut().unwrap().hashes = vec![(9, ChangeHash([1; 32]))], ErrorKind::Malformed),
    ];
    for (alter, kind) in kinds {
        world.phones[0].data = kept.clone();
        let device = world.phones[0].data.identity.device;
        world.server.data.devices.get_mut(&device).unwrap().row.counter = 0;
        let sent = altered(&mut world, alter);
        assert_eq!(error_of(&sent), Some(kind));
    }
    world.phones[0].data = kept;
    world.sync_all();
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
}
