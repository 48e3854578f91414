//! A hub in the middle that is not to be trusted: what a phone makes of whatever it says, and a server of whatever it brings.

use super::*;
use crate::document::tests::set;
use crate::ids::ChangeHash;
use crate::protocol::transcode::pack;
use crate::protocol::{
    ChangesUp, Cursors, Down, ErrorKind, Hosted, RequestHeader, Statement, StatementUp, Township, Up, Verdict,
};
use crate::sync::frames::{FrameReader, FrameWriter, Message};
use crate::sync::phone::{PhoneLog, signed_header};
use crate::sync::{from_cbor, signing};

fn messages<M: Message>(frames: &[u8]) -> Vec<M> {
    let mut reader = FrameReader::<M>::new();
    reader.push(frames);
    std::iter::from_fn(|| reader.next_frame().unwrap()).flatten().collect()
}

fn framed<M: Message>(messages: &[M]) -> Vec<u8> {
    let mut writer = FrameWriter::new(20);
    messages.iter().for_each(|message| writer.push(message).unwrap());
    writer.flush().unwrap();
    std::iter::from_fn(|| writer.take()).flatten().collect()
}

/// A world in which phone 0 lacks what phone 1 has made.
fn behind() -> World {
    let mut world = World::new(2);
    world.sync_all();
    for at in 0..4 {
        let record = world.record();
        for text in ["才让卓玛", "才让卓玛，屋顶漏雨"] {
            world.phones[1].save(record, at, &[set("name", text)]);
        }
    }
    world.sync(1);
    world.server.publish(form("3"), world.now_ms);
    world
}

/// What an honest hub would show phone 0: the server's own answer, without what only the server says.
fn shown(world: &mut World) -> Vec<Down> {
    let mut twin = MemoryPhone::new(world.phones[0].data.identity.clone(), world.phones[0].data.actor, "town");
    twin.data = world.phones[0].data.clone();
    let (_, request) = Exchange::begin(&mut twin, &world.keys[0], &world.random, world.now_ms).unwrap();
    let answer = answer_to(&mut world.server, &world.server_key, world.now_ms, &request.body(), false).unwrap();
    let mut said: Vec<Down> = messages(&answer.concat());
    let keep =
        |message: &Down| matches!(message, Down::Entry { .. } | Down::Changes(_) | Down::Form(_) | Down::Head { .. });
    said.retain(keep);
    said.insert(0, hello(world));
    said.push(Down::Done { more: false, digest: None, revoked: None });
    said
}

fn hello(world: &World) -> Down {
    let (statement_hash, taken) = (Vec::new().into(), None);
    Down::Hello {
        server_time_ms: world.now_ms,
        log: Some(world.server.log),
        statement: 0,
        statement_hash,
        taken,
        cursors_wanted: false,
        told: None,
    }
}

/// Phone 0 is told this by a hub.
fn told(world: &mut World, said: &[Down]) -> Result<Outcome, SyncError> {
    let phone = &mut world.phones[0];
    let (mut exchange, _) = Exchange::begin_at_hub(phone, &world.keys[0], world.now_ms).unwrap();
    for piece in framed(said).chunks(331) {
        exchange.receive(phone, piece)?;
    }
    exchange.finish(phone, &world.random)
}

/// The same, said wrongly in one way or another.
fn lies(said: &[Down]) -> Vec<(String, Vec<Down>)> {
    let mut lies = Vec::new();
    let between = 1..said.len() - 1;
    for at in between.clone() {
        let mut less = said.to_vec();
        less.remove(at);
        lies.push((format!("without {at}"), less));
        let mut twice = said.to_vec();
        twice.insert(at, said[at].clone());
        lies.push((format!("{at} twice"), twice));
        if at + 1 < said.len() - 1 {
            let mut other = said.to_vec();
            other.swap(at, at + 1);
            lies.push((format!("{at} behind the next"), other));
        }
        for changed in changed(&said[at]) {
            let mut other = said.to_vec();
            other[at] = changed;
            lies.push((format!("{at} changed"), other));
        }
    }
    let number = 1;
    let verdict = Verdict::refused(ChangeHash([1; 32]), RecordId([2; 16]), "malformed");
    for only_server in [
        Down::Verdict { number, verdict },
        Down::Feeds { registry: 9, feeds: Vec::new(), roles: Vec::new(), unit: String::new() },
        Down::Restored { awaiting: false, feeds: Vec::new() },
        Down::Done { more: false, digest: None, revoked: Some([3; 64].into()) },
        Down::Segments { feed: 0, segments: Vec::new() },
    ] {
        let mut more = said.to_vec();
        more.insert(said.len() - 1, only_server);
        lies.push(("what only the server says".to_owned(), more));
    }
    lies
}

fn changed(message: &Down) -> Vec<Down> {
    match message {
        Down::Changes(changes) => {
            let mut all = Vec::new();
            for at in (0..changes.packed.len()).step_by(3) {
                let mut other = changes.clone();
                let mut packed = other.packed.to_vec();
                packed[at] ^= 1 << (at % 8);
                other.packed = packed.into();
                all.push(other);
            }
            let edits: [fn(&mut crate::protocol::ChangesDown); 5] = [
                |changes| changes.times[0].1 += 1,
                |changes| changes.runs[0].1 += 1,
                |changes| changes.starts[0].1.salt[0] ^= 1,
                |changes| changes.check[0] ^= 1,
                |changes| changes.own.push((0, 1, 0, 1)),
            ];
            for edit in edits {
                let mut other = changes.clone();
                edit(&mut other);
                all.push(other);
            }
            all.into_iter().map(Down::Changes).collect()
        }
        Down::Entry { feed, entry } => {
            let mut later = entry.clone();
            later.received_ms += 1;
            vec![Down::Entry { feed: *feed, entry: later }]
        }
        Down::Head { feed, after_ms, signature } => {
            let mut other = *signature;
            other[9] ^= 1;
            vec![
                Down::Head { feed: *feed, after_ms: *after_ms, signature: other },
                Down::Head { feed: *feed, after_ms: after_ms + 1, signature: *signature },
                Down::Head { feed: feed ^ 1, after_ms: *after_ms, signature: *signature },
            ]
        }
        _ => Vec::new(),
    }
}

#[test]
fn a_phone_takes_all_of_a_hubs_answer_or_nothing() {
    let mut world = behind();
    let said = shown(&mut world);
    assert!(said.iter().filter(|message| matches!(message, Down::Head { .. })).count() >= 2, "{said:?}");
    let own = world.record();
    world.phones[0].save(own, 9, &[set("name", "自己的")]);
    let before = world.phones[0].data.clone();
    told(&mut world, &said).unwrap();
    let after = world.phones[0].picture();
    assert_eq!(after.len(), 5);
    let (mut noticed, mut harmless) = (0, 0);
    for (name, lie) in lies(&said) {
        world.phones[0].data = before.clone();
        let picture = world.phones[0].picture();
        let done = told(&mut world, &lie);
        let phone = &world.phones[0];
        if phone.picture() == picture {
            assert_eq!((&phone.data.feeds, &phone.data.heads), (&before.feeds, &before.heads), "{name}");
            assert!(phone.data.held.is_none() && phone.data.outbox.len() == before.outbox.len(), "{name}");
            // Or it asks once more, in full: what was shortened may not have been the hub's fault.
            assert!(matches!(&done, Ok(_) | Err(SyncError::Hub(_) | SyncError::Broken)), "{name}: {done:?}");
            noticed += 1;
        } else {
            // The same entries all the same: said twice, say, or in another order.
            assert_eq!(phone.picture(), after, "{name}");
            assert!(phone.data.feeds.iter().all(|feed| feed.position == feed.head_position), "{name}");
            harmless += 1;
        }
        // Whatever it was, the server is believed as before.
        assert!(phone.data.verdicts.is_empty() && phone.data.feeds.len() == before.feeds.len(), "{name}");
    }
    assert!(noticed > 50 && harmless < noticed / 4, "{noticed} noticed, {harmless} harmless");
}

/// A world with a hub that serves phone 0, and what phone 0 would bring: three statements.
fn relayed() -> (World, usize, Vec<ChangesUp>) {
    let mut world = World::new(2);
    let hub = world.add_phone("town", &["town"], Role::Hub);
    world.sync_all();
    let served = world.phones[0].data.identity.device;
    world.server.serves.insert(world.phones[hub].data.identity.device, [served].into());
    let mut brought = Vec::new();
    for at in 0..3 {
        let record = world.record();
        world.phones[0].save(record, at, &[set("name", "才让卓玛")]);
        let (_, request) = Exchange::begin_at_hub(&mut world.phones[0], &world.keys[0], world.now_ms).unwrap();
        brought = request.frames.concat();
    }
    let changes = |message| if let Up::Changes(changes) = message { changes } else { panic!("{message:?}") };
    (world, hub, messages(&brought).into_iter().map(changes).collect())
}

fn header(world: &World, phone: usize, counter: u64, township: Option<Township>) -> RequestHeader {
    RequestHeader {
        version: 1,
        device: world.phones[phone].data.identity.device,
        server_key: signing::key_id(&world.server_key.public_key()),
        counter,
        cursors: Cursors::Full { log: None, registry: 0, cursors: Vec::new() },
        device_time_ms: world.now_ms,
        probe: false,
        in_full: false,
        verdicts: 0,
        forms: None,
        segments: None,
        township,
    }
}

/// What the server answers a hub that brings this.
fn bring(world: &mut World, hub: usize, said: &[Up]) -> Vec<Down> {
    let township = Township::ByHub { devices: [0; 16].into(), tls_key: None };
    let mut body = signed_header(&world.keys[hub], &header(world, hub, 1_000, Some(township)));
    body.extend(framed(said));
    let answer = answer_to(&mut world.server, &world.server_key, world.now_ms, &body, false).unwrap();
    messages(&answer.concat())
}

fn hosted(answer: &[Down]) -> Vec<&Hosted> {
    answer.iter().filter_map(|message| if let Down::Hosted(hosted) = message { Some(hosted) } else { None }).collect()
}

fn all_of(world: &World, brought: Vec<ChangesUp>) -> Vec<Up> {
    let device = world.phones[0].data.identity.device;
    std::iter::once(Up::OnBehalf(device)).chain(brought.into_iter().map(Up::Changes)).collect()
}

/// Its statement without any body.
fn bare(world: &World, message: &ChangesUp) -> ChangesUp {
    let stored = &world.phones[0].data.statements[&message.statement];
    let statement: Statement = from_cbor(&stored.bytes).unwrap();
    let signed = StatementUp { hashes: (0..).zip(statement.changes).collect(), ..message.signed.clone().unwrap() };
    let (items, forms, packed) = (Vec::new(), Vec::new(), pack(&[], false).bytes.into());
    ChangesUp { statement: message.statement, signed: Some(signed), items, forms, packed }
}

fn ends_well(mut world: World) {
    world.sync_all();
    assert!(world.phones[0].data.outbox.is_empty() && world.phones[0].data.verdicts.is_empty());
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
    assert_eq!(world.phones[1].picture().len(), 3);
}

#[test]
fn a_phone_of_which_the_server_has_all_brings_a_hub_nothing() {
    let mut world = World::new(1);
    world.sync(0);
    for at in 0..3 {
        let record = world.record();
        world.phones[0].save(record, at, &[set("name", "才让卓玛")]);
        world.sync(0);
    }
    let phone = &mut world.phones[0];
    let (_, request) = Exchange::begin_at_hub(phone, &world.keys[0], world.now_ms).unwrap();
    assert!(request.frames.is_empty(), "its statements are of no use without their changes: {:?}", request.frames);
    let (number, hash) = phone.last_statement().unwrap();
    let (length, start) = (usize::from(request.header[0] & 0x7f) | usize::from(request.header[1]) << 7, 2);
    let header: RequestHeader = from_cbor(&request.header[start..start + length]).unwrap();
    assert_eq!(header.township, Some(Township::ToHub { base: Some((number, hash.into())) }));
}

#[test]
fn what_a_hub_brings_is_its_authors_and_is_not_sent_again() {
    let (mut world, hub, brought) = relayed();
    let said = all_of(&world, brought);
    let answer = bring(&mut world, hub, &said);
    let [hosted] = hosted(&answer)[..] else { panic!("{answer:?}") };
    assert_eq!((hosted.statement, hosted.taken, &hosted.failure), (3, Some((3, 0)), &None));
    let said_by = answer.iter().any(|message| matches!(message, Down::Devices(devices) if devices.len() == 1));
    assert!(said_by, "the hub hears whom it serves: {answer:?}");
    let sent = world.exchange(0, Fault::default());
    assert!(sent.request.frames.len() == 1, "not yet told by any hub: it sends");
    ends_well(world);
}

#[test]
fn the_server_goes_on_only_over_what_a_hub_brings_without_a_gap() {
    let (mut world, hub, mut brought) = relayed();
    brought[1] = bare(&world, &brought[1]);
    let said = all_of(&world, brought);
    let answer = bring(&mut world, hub, &said);
    let [hosted] = hosted(&answer)[..] else { panic!("{answer:?}") };
    assert_eq!((hosted.statement, hosted.taken, hosted.through), (3, Some((1, 0)), Some((3, 0))), "{hosted:?}");
    ends_well(world);
}

#[test]
fn a_spoilt_change_is_never_refused_in_its_authors_name() {
    let (mut world, hub, mut brought) = relayed();
    let mut packed = brought[2].packed.to_vec();
    let last = packed.len() - 1;
    packed[last] ^= 1;
    brought[2].packed = packed.into();
    let said = all_of(&world, brought);
    let answer = bring(&mut world, hub, &said);
    let [hosted] = hosted(&answer)[..] else { panic!("{answer:?}") };
    assert!(hosted.failure.is_some(), "{hosted:?}");
    let device = world.phones[0].data.identity.device;
    assert!(world.server.data.devices[&device].verdicts.is_empty());
    ends_well(world);
}

#[test]
fn a_hub_speaks_for_those_whom_it_serves_and_nobody_else_does() {
    let (mut world, hub, brought) = relayed();
    // Another device's, then its own: the first stops nobody.
    let stranger = world.phones[1].data.identity.device;
    let mut said = vec![Up::OnBehalf(stranger), Up::Changes(brought[0].clone())];
    said.extend(all_of(&world, brought.clone()));
    let answer = bring(&mut world, hub, &said);
    let [first, second] = hosted(&answer)[..] else { panic!("{answer:?}") };
    assert_eq!(first.failure.as_ref().map(|failure| failure.kind), Some(ErrorKind::UnknownDevice));
    assert_eq!((first.statement, second.taken, &second.failure), (0, Some((3, 0)), &None));
    assert_eq!(world.server.data.devices[&stranger].row.statement, 0);

    let (mut world, hub, brought) = relayed();
    let answer = bring(&mut world, hub, &[Up::Changes(brought[0].clone())]);
    assert!(matches!(answer.last(), Some(Down::Error(error)) if error.kind == ErrorKind::Malformed), "{answer:?}");

    // A phone cannot speak for another by saying that it is a hub, nor without saying so.
    let (mut world, _, brought) = relayed();
    let township = Township::ByHub { devices: [0; 16].into(), tls_key: None };
    let said = framed(&all_of(&world, brought));
    let mut body = signed_header(&world.keys[1], &header(&world, 1, 1_000, Some(township)));
    body.extend(&said);
    let refused = answer_to(&mut world.server, &world.server_key, world.now_ms, &body, false).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Malformed);
    let mut body = signed_header(&world.keys[1], &header(&world, 1, 1_001, None));
    body.extend(&said);
    let answer = answer_to(&mut world.server, &world.server_key, world.now_ms, &body, false).unwrap().concat();
    let answer: Vec<Down> = messages(&answer);
    assert!(matches!(answer.last(), Some(Down::Error(error)) if error.kind == ErrorKind::Malformed), "{answer:?}");

    // And what was signed for a hub is nothing to the server.
    let (_, request) = Exchange::begin_at_hub(&mut world.phones[0], &world.keys[0], world.now_ms).unwrap();
    let refused = answer_to(&mut world.server, &world.server_key, world.now_ms, &request.body(), false).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::WrongServer);
}

#[test]
fn a_restored_server_tells_a_hub_nobodys_rights_before_it_is_confirmed() {
    let (mut world, hub, brought) = relayed();
    let said = all_of(&world, brought);
    let told = |answer: &[Down]| answer.iter().any(|message| matches!(message, Down::Devices(_)));
    world.server.data.awaiting = true;
    let answer = bring(&mut world, hub, &said);
    assert!(!told(&answer), "who may read what is as old as the backup: {answer:?}");
    assert_eq!(hosted(&answer).len(), 1);
    world.server.data.awaiting = false;
    let township = Township::ByHub { devices: [0; 16].into(), tls_key: None };
    let body = signed_header(&world.keys[hub], &header(&world, hub, 1_001, Some(township)));
    let answer = answer_to(&mut world.server, &world.server_key, world.now_ms, &body, false).unwrap();
    assert!(told(&messages::<Down>(&answer.concat())));
}
