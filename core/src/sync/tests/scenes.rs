//! Whole scenes: what two sides do when nothing breaks, and what is refused.

use crate::protocol::limits::{EXCHANGE_UP_BYTES_MAX, PROTOCOL_VERSION, VERDICT_NUMBER_MAX};
use std::collections::BTreeSet;

use crate::document::ChangeState;
use ed25519_dalek::SigningKey;

use super::*;
use crate::document::tests::{form, set};
use crate::protocol::{Cursors, Down, EntryBody, ErrorKind, RequestHeader};
use crate::sync::frames::{FrameReader, FrameWriter};
use crate::sync::phone::{PhoneLog, signed_header};
use crate::sync::signing::{self, Revocation};
use crate::sync::wire::{Varint, read_varint};

#[test]
fn an_idle_exchange_is_tiny() {
    let units: Vec<String> = (0..20).map(|at| format!("6301{at:02}")).collect();
    let units: Vec<&str> = units.iter().map(String::as_str).collect();
    let mut world = World::with_feeds(1, &units);
    world.sync(0);
    for at in 0..30 {
        let record = world.record();
        world.phones[0].save(record, at, &[set("name", "才让卓玛")]);
    }
    world.sync(0);
    let commits = (world.phones[0].commits, world.server.commits);
    let sent = world.exchange(0, Fault::default());
    let outcome = sent.result.unwrap();
    let (up, down) = (sent.request.len(), sent.answer.len());
    println!("idle exchange with {} feeds: {up} bytes up, {down} bytes down, {} together", units.len() + 1, up + down);
    println!("request {}", hex::encode(sent.request.body()));
    println!("answer  {}", hex::encode(&sent.answer));
    assert!(!outcome.again && !outcome.progress);
    assert!(up + down <= 230, "{up} + {down}");
    assert_eq!(sent.answer_frames.len(), 1);
    assert_eq!((world.phones[0].commits - commits.0, world.server.commits - commits.1), (2, 1));
}

#[test]
fn two_phones_end_in_one_record_with_both_sides() {
    let mut world = World::new(2);
    world.sync_all();
    let record = world.record();
    let first = world.phones[0].save(record, 1, &[set("name", "才让卓玛")]).unwrap();
    assert_eq!(world.phones[0].status(&first), Some(ChangeState::Unstated));
    world.sync(0);
    assert_eq!(world.phones[0].status(&first), None, "it is on the server, under a signed head");
    world.sync(1);
    assert_eq!(world.phones[1].shown(&record, "name").as_deref(), Some("才让卓玛"));
    world.phones[0].save(record, 2, &[set("name", "才让")]);
    world.phones[1].save(record, 3, &[set("name", "卓玛")]);
    world.sync_all();
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
    let conflicts = world.phones[0].data.documents[&record].conflicts(&form("2"));
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].values.len(), 2);
    assert!(world.phones.iter().all(|phone| phone.data.outbox.is_empty()));
}

#[test]
fn own_changes_come_back_as_names() {
    let mut world = World::new(1);
    world.sync(0);
    let record = world.record();
    world.phones[0].save(record, 1, &[set("name", "才让卓玛")]);
    let sent = world.exchange(0, Fault::default());
    let mut reader = FrameReader::<Down>::new();
    reader.push(&sent.answer);
    let messages = reader.next_frame().unwrap().unwrap();
    assert!(messages.iter().any(|message| matches!(
        message,
        Down::Changes(changes) if changes.own == [(0, 1, 0, 1)] && changes.runs == [(1, 1, 1)]
    )));
    assert!(messages.iter().any(|message| matches!(message, Down::Head { feed: 1, .. })));
}

#[test]
fn a_large_outbox_goes_up_in_bounded_exchanges() {
    let mut world = World::new(2);
    world.sync_all();
    let mut seed = 1_u64;
    for at in 0..60 {
        let record = world.record();
        let noise: String = (0..8000)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from_u32(0x4e00 + ((seed >> 33) % 20_000) as u32).unwrap()
            })
            .collect();
        world.phones[0].save(record, at, &[set("name", &noise)]);
    }
    let (mut exchanges, mut sizes) = (0, Vec::new());
    loop {
        let sent = world.exchange(0, Fault::default());
        let bytes: usize = sent.request.frames.iter().map(Vec::len).sum();
        assert!(bytes <= EXCHANGE_UP_BYTES_MAX, "{bytes}");
        sizes.push(bytes);
        assert!(sent.request.frames.iter().all(|frame| frame.len() < 48 * 1024));
        exchanges += 1;
        if !sent.result.unwrap().again {
            break;
        }
    }
    assert!((5..20).contains(&exchanges), "{exchanges}");
    let full = sizes.iter().filter(|bytes| **bytes > EXCHANGE_UP_BYTES_MAX * 3 / 4).count();
    assert!(full + 2 >= sizes.len(), "exchanges are not filled: {sizes:?}");
    world.sync(1);
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
    assert_eq!(world.phones[1].data.documents.len(), 60);
}

#[test]
fn a_large_answer_comes_in_bounded_exchanges() {
    let mut world = World::new(1);
    let mut seed = 1_u64;
    for at in 0..120 {
        let noise: Vec<u8> = (0..12_000)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 40) as u8
            })
            .collect();
        let mut notice = form("2");
        notice.kind = format!("kind{at}");
        notice.xform = hex::encode(noise);
        world.server.publish(notice, NOW_MS);
    }
    let sent = world.exchange(0, Fault::default());
    let outcome = sent.result.unwrap();
    assert!(outcome.again);
    assert!(sent.answer.len() < 1024 * 1024 + 64 * 1024);
    assert!(sent.answer_frames.iter().all(|frame| *frame < 48 * 1024));
    world.sync(0);
    assert_eq!(world.phones[0].data.forms.len(), 121);
}

#[test]
fn a_request_for_another_server_or_by_another_key_is_refused() {
    let mut world = World::new(1);
    let refusal = |world: &mut World, key: &SigningKey| {
        let log = &mut world.phones[0];
        let (_, request) = Exchange::begin(log, key, &world.random, NOW_MS).unwrap();
        answer_to(&mut world.server, &world.server_key, NOW_MS, &request.body(), false).unwrap_err()
    };
    let stranger = SigningKey::from_bytes(&[77; 32]);
    assert_eq!(refusal(&mut world, &stranger).kind, ErrorKind::BadSignature);
    let own = world.keys[0].clone();
    world.phones[0].data.identity.server_key = stranger.public_key();
    assert_eq!(refusal(&mut world, &own).kind, ErrorKind::WrongServer);
    world.phones[0].data.identity.server_key = world.server_key.public_key();
    world.phones[0].data.identity.device = DeviceId([99; 16]);
    assert_eq!(refusal(&mut world, &own).kind, ErrorKind::UnknownDevice);
    assert_eq!(world.server.commits, 0, "nothing of them is stored");
}

#[test]
fn an_unknown_version_and_garbage_get_a_clear_answer() {
    let mut world = World::new(1);
    let mut answer = |body: &[u8]| answer_to(&mut world.server, &world.server_key, NOW_MS, body, false);
    let mut later = vec![4, 0x82, 0x19, 0x03, 0xe7];
    later.extend([0; 64]);
    assert_eq!(answer(&later).unwrap_err().kind, ErrorKind::Version);
    assert_eq!(answer(b"GET / HTTP/1.1\r\n\r\n").unwrap_err().kind, ErrorKind::Malformed);
    assert_eq!(answer(&[0xff; 90]).unwrap_err().kind, ErrorKind::Malformed);
    assert_eq!(answer(&[0xff, 0xff, 0xff, 0x7f]).unwrap_err().kind, ErrorKind::TooLarge);
    assert_eq!(answer(b"").unwrap_err().kind, ErrorKind::Malformed);
}

#[test]
fn a_replayed_request_changes_nothing_and_a_rolled_back_counter_recovers() {
    let mut world = World::new(1);
    world.sync(0);
    let record = world.record();
    world.phones[0].save(record, 1, &[set("name", "a")]);
    let sent = world.exchange(0, Fault::default());
    let body = sent.request.body();
    let entries = world.server.data.feeds[&world.town()].len();
    let answer = answer_to(&mut world.server, &world.server_key, NOW_MS, &body, false).unwrap_err();
    assert_eq!((answer.kind, answer.counter.is_some()), (ErrorKind::Replayed, true));
    assert_eq!(world.server.data.feeds[&world.town()].len(), entries);
    world.phones[0].data.state = None;
    world.sync(0);
    assert!(!world.exchange(0, Fault::default()).result.unwrap().progress);
}

#[test]
fn a_device_cannot_count_verdicts_to_the_end() {
    let mut world = World::new(1);
    let mut told = |counter: u64, verdicts: u64| {
        let header = RequestHeader {
            version: PROTOCOL_VERSION,
            device: world.phones[0].data.identity.device,
            server_key: signing::key_id(&world.server_key.public_key()),
            counter,
            cursors: Cursors::Full { log: None, registry: 0, cursors: Vec::new() },
            device_time_ms: NOW_MS,
            probe: false,
            in_full: false,
            verdicts,
            forms: None,
            segments: None,
            township: None,
        };
        answer_to(&mut world.server, &world.server_key, NOW_MS, &signed_header(&world.keys[0], &header), false)
    };
    assert_eq!(told(1, VERDICT_NUMBER_MAX + 1).unwrap_err().kind, ErrorKind::Malformed);
    assert!(told(1, VERDICT_NUMBER_MAX).is_ok(), "nothing was stored of the refused one, not even its counter");
}

#[test]
fn a_log_that_does_not_chain_is_not_believed() {
    let mut world = World::new(2);
    world.sync_all();
    let record = world.record();
    world.phones[0].save(record, 1, &[set("name", "a")]);
    world.phones[0].save(record, 2, &[set("name", "b")]);
    world.sync(0);
    let town = world.town();
    Arc::make_mut(&mut world.server.data.feeds.get_mut(&town).unwrap()[0]).entry.received_ms += 1;
    let sent = world.exchange(1, Fault::default());
    assert!(matches!(sent.result, Err(SyncError::LogDoesNotFit { .. })), "{:?}", sent.result);
    assert!(world.phones[1].data.documents.is_empty(), "nothing of the frame was applied");
    Arc::make_mut(&mut world.server.data.feeds.get_mut(&town).unwrap()[0]).entry.received_ms -= 1;
    world.sync(1);
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
}

/// Says that it is one key and signs with another.
struct Impostor(SigningKey);

impl Signer for Impostor {
    fn public_key(&self) -> [u8; 32] {
        SigningKey::from_bytes(&[200; 32]).public_key()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        Signer::sign(&self.0, message)
    }
}

#[test]
fn a_head_signed_by_another_key_is_not_believed() {
    let mut world = World::new(1);
    let log = &mut world.phones[0];
    let (exchange, request) = Exchange::begin(log, &world.keys[0], &world.random, NOW_MS).unwrap();
    let mut session = Session::new(Arc::new(Impostor(SigningKey::from_bytes(&[5; 32]))));
    session.receive(&mut world.server, NOW_MS, &request.body()).unwrap();
    session.end_of_request(&mut world.server).unwrap();
    let answer = session.next_frame(&mut world.server, NOW_MS).unwrap().unwrap();
    let sent = world.deliver(0, exchange, request, Ok(vec![answer]), None);
    assert!(matches!(sent.result, Err(SyncError::LogDoesNotFit { .. })), "{:?}", sent.result);
    assert!(world.phones[0].data.feeds.iter().all(|feed| feed.position == 0));
}

#[test]
fn a_server_that_lost_entries_is_noticed() {
    let mut world = World::new(1);
    world.sync(0);
    let record = world.record();
    world.phones[0].save(record, 1, &[set("name", "a")]);
    world.sync(0);
    let town = world.town();
    world.server.data.feeds.get_mut(&town).unwrap().clear();
    assert!(!world.meet(0));
    assert!(world.server.data.awaiting);
}

#[test]
fn a_revoked_device_hands_in_its_work_and_gets_nothing() {
    let mut world = World::new(2);
    world.sync_all();
    let record = world.record();
    world.phones[1].save(record, 1, &[set("name", "a")]);
    world.sync(1);
    let own = world.record();
    let change = world.phones[0].save(own, 2, &[set("name", "b")]).unwrap();
    let device = world.phones[0].data.identity.device;
    world.server.data.devices.get_mut(&device).unwrap().row.revoked = true;
    let later = world.phones[0].save(own, 3, &[set("name", "c")]).unwrap();
    // Once with the answer cut before its end, so that the verdicts wait for the next exchange.
    let sent = world.exchange(0, Fault { cut_up: None, cut_down: Some(0) });
    assert!(sent.result.is_err());
    let outcome = world.exchange(0, Fault::default()).result.unwrap();
    assert!(outcome.revoked && !outcome.again);
    let latest = world.phones[0].save(own, 4, &[set("name", "d")]).unwrap();
    assert!(world.exchange(0, Fault::default()).result.unwrap().revoked);
    assert_eq!(world.server.data.quarantine[&change].0.reason, "revoked");
    assert!(!world.phones[0].data.documents.contains_key(&record));
    // Nothing is issued again: the quarantine holds each save once.
    assert_eq!(
        world.server.data.quarantine.keys().collect::<BTreeSet<_>>(),
        BTreeSet::from([&change, &later, &latest])
    );
}

/// What signs the word in an answer to the request with this counter.
type Signature<'a> = &'a dyn Fn(&World, u64) -> [u8; 64];

#[test]
fn only_the_server_says_that_a_device_is_revoked_and_only_for_this_exchange() {
    let mut world = World::new(1);
    world.sync(0);
    let PhoneIdentity { device, log, .. } = world.phones[0].data.identity.clone();
    world.server.data.devices.get_mut(&device).unwrap().row.revoked = true;
    let word = Revocation { log, device, counter: 0 };
    let impostor = SigningKey::from_bytes(&[77; 32]);
    let begun = |world: &mut World| {
        let (exchange, request) = Exchange::begin(&mut world.phones[0], &world.keys[0], &world.random, NOW_MS).unwrap();
        let answer = answer_to(&mut world.server, &world.server_key, NOW_MS, &request.body(), false).unwrap().concat();
        let mut reader = FrameReader::<Down>::new();
        reader.push(&answer);
        let messages = reader.next_frame().unwrap().unwrap();
        let Varint::Value(length, start) = read_varint(&request.header) else { panic!("no length") };
        let end = start + length as usize;
        let header: RequestHeader = crate::sync::from_cbor(&request.header[start..end]).unwrap();
        (exchange, request, messages, header.counter)
    };
    let told = |world: &mut World, signature: Signature<'_>| {
        let (exchange, request, messages, counter) = begun(world);
        let mut writer = FrameWriter::new(20);
        for message in messages {
            let message = match message {
                Down::Done { more, digest, revoked: Some(_) } => {
                    Down::Done { more, digest, revoked: Some(signature(world, counter).into()) }
                }
                other => other,
            };
            writer.push(&message).unwrap();
        }
        writer.flush().unwrap();
        let frames = std::iter::from_fn(|| writer.take()).collect();
        world.deliver(0, exchange, request, Ok(frames), None).result
    };
    let others: [Signature<'_>; 4] = [
        &|_, counter| Revocation { counter, ..word }.sign(&impostor),
        &|world, counter| Revocation { counter: counter - 1, ..word }.sign(world.server_key.as_ref()),
        &|world, counter| Revocation { counter, device: DeviceId([9; 16]), ..word }.sign(world.server_key.as_ref()),
        &|world, counter| Revocation { counter, log: LogId([1; 16]), ..word }.sign(world.server_key.as_ref()),
    ];
    for other in others {
        assert!(matches!(told(&mut world, other), Err(SyncError::Protocol(_))));
    }
    let right = told(&mut world, &|world, counter| Revocation { counter, ..word }.sign(world.server_key.as_ref()));
    assert!(right.unwrap().revoked);
}

#[test]
fn a_change_for_a_foreign_unit_is_quarantined() {
    let mut world = World::new(1);
    world.sync(0);
    world.phones[0].unit = "elsewhere".to_owned();
    let record = world.record();
    let change = world.phones[0].save(record, 1, &[set("name", "a")]).unwrap();
    let events = world.sync(0);
    assert_eq!(world.server.data.quarantine[&change].0.reason, "foreign_unit");
    assert!(events.iter().any(|event| matches!(event, PhoneEvent::NotTaken { .. })));
    assert_eq!(world.phones[0].data.not_taken.len(), 1);
}

#[test]
fn what_needs_a_newer_form_waits_for_it() {
    let mut world = World::new(2);
    world.sync_all();
    let mut newer = form("2");
    newer.version = "3".to_owned();
    let mut extra = newer.fields[0].clone();
    extra.path = "extra".to_owned();
    newer.fields.push(extra);
    world.phones[0].data.forms.get_mut("household").unwrap().push(Arc::new(newer.clone()));
    world.server.data.forms.push(Arc::new(newer.clone()));
    let (old, new) = (world.record(), world.record());
    world.phones[0].data.forms.get_mut("household").unwrap().pop();
    world.phones[0].save(old, 1, &[set("name", "a")]);
    world.phones[0].data.forms.get_mut("household").unwrap().push(Arc::new(newer.clone()));
    world.phones[0].save(old, 2, &[set("extra", "x")]);
    world.phones[0].save(new, 3, &[set("extra", "y")]);
    world.phones[0].save(old, 4, &[set("name", "b")]);
    world.sync(0);
    let events = world.sync(1);
    assert_eq!(world.phones[1].data.pending.len(), 3);
    assert!(events.contains(&PhoneEvent::NeedsNewerApp { record: old }));
    assert_eq!(world.phones[1].shown(&old, "name").as_deref(), Some("a"));
    world.server.data.forms.pop();
    world.server.publish(newer, NOW_MS);
    world.sync(1);
    assert!(world.phones[1].data.pending.is_empty());
    assert_eq!(world.phones[1].shown(&old, "name").as_deref(), Some("b"));
    assert_eq!(world.phones[1].shown(&new, "extra").as_deref(), Some("y"));
}

#[test]
fn a_purged_record_never_comes_back() {
    let mut world = World::new(2);
    world.sync_all();
    let record = world.record();
    world.phones[0].save(record, 1, &[set("name", "a")]);
    world.sync_all();
    let town = world.town();
    world.server.data.purged.insert(record);
    world.server.append(&town, NOW_MS, EntryBody::Purge { record }, None, None);
    world.phones[1].save(record, 2, &[set("name", "b")]);
    world.sync_all();
    assert!(world.phones.iter().all(|phone| !phone.data.documents.contains_key(&record)));
    assert!(world.phones[1].is_purged(&record).unwrap());
    assert!(world.phones.iter().all(|phone| phone.data.outbox.is_empty()));
}

#[test]
fn a_wrong_clock_is_told() {
    let mut world = World::new(1);
    world.sync(0);
    let log = &mut world.phones[0];
    let year_2010 = 1_262_304_000_000;
    let (exchange, request) = Exchange::begin(log, &world.keys[0], &world.random, year_2010).unwrap();
    let answer = answer_to(&mut world.server, &world.server_key, NOW_MS, &request.body(), false);
    let sent = world.deliver(0, exchange, request, answer, None);
    assert!(sent.result.is_ok());
    let told = PhoneEvent::ClockWrong { server_time_ms: NOW_MS, device_time_ms: year_2010 };
    assert_eq!(sent.events, vec![told]);
}

#[test]
fn a_new_role_brings_its_feeds() {
    let mut world = World::with_feeds(1, &["town", "village"]);
    let other = world.add_phone("town", &["town"], Role::Field);
    world.sync_all();
    world.phones[0].unit = "village".to_owned();
    let record = world.record();
    world.phones[0].save(record, 1, &[set("name", "a")]);
    world.sync_all();
    assert!(world.phones[other].data.documents.is_empty());
    let scope = world.server.data.devices[&world.phones[0].data.identity.device].scope.clone();
    let device = world.phones[other].data.identity.device;
    let row = world.server.data.devices.get_mut(&device).unwrap();
    row.scope = crate::sync::server::Scope { registry: 2, ..scope };
    let events = world.sync(other);
    assert!(events.contains(&PhoneEvent::FeedsChanged));
    assert_eq!(world.phones[other].shown(&record, "name").as_deref(), Some("a"));
}

#[test]
fn a_record_that_left_is_made_anew_under_another_actor() {
    let mut world = World::with_feeds(2, &["town", "village"]);
    world.sync_all();
    let (record, other) = (world.record(), world.record());
    world.phones[0].unit = "village".to_owned();
    world.phones[0].save(record, 1, &[set("name", "before")]);
    world.phones[0].unit = "town".to_owned();
    world.phones[0].save(other, 1, &[set("name", "stays")]);
    world.sync_all();
    let (actor, device) = (world.phones[0].data.actor, world.phones[0].data.identity.device);
    let scope = world.server.data.devices[&device].scope.clone();
    let follow = |world: &mut World, registry: u64, unit: &str| {
        let feeds = scope.feeds.iter().filter(|(feed, _)| feed.unit != unit).cloned().collect();
        let row = world.server.data.devices.get_mut(&device).unwrap();
        row.scope =
            crate::sync::server::Scope { registry, feeds, roles: scope.roles.clone(), unit: scope.unit.clone() };
        world.sync(0);
    };
    follow(&mut world, 2, "village");
    assert_eq!(world.phones[0].data.documents.len(), 1);
    assert_ne!(world.phones[0].data.actor, actor, "its numbers in the record that left are used");
    world.phones[0].unit = "village".to_owned();
    world.phones[0].save(record, 2, &[set("name", "anew")]);
    follow(&mut world, 3, "nowhere");
    world.sync_all();
    assert!(world.phones[0].data.not_taken.is_empty() && world.server.data.quarantine.is_empty());
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
    let conflicts = world.phones[1].data.documents[&record].conflicts(&world.phones[1].form_now("household"));
    assert_eq!(conflicts[0].values.len(), 2, "{conflicts:?}");
}
