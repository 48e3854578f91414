//! Cuts at every frame and in between, in both directions; everything sent twice; answers that never arrive; clones.

use super::*;
use crate::document::ChangeState;
use crate::document::tests::set;
use crate::ids::ChangeHash;
use crate::protocol::{Down, Up};
use crate::sync::frames::{FrameReader, FrameWriter, Message};

pub fn noise(seed: &mut u64, chars: usize) -> String {
    let mut next = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from_u32(0x4e00 + ((*seed >> 33) % 20_000) as u32).unwrap()
    };
    (0..chars).map(|_| next()).collect()
}

/// Phone 0 has 40 records to send and 30 to fetch: several frames each way.
fn busy() -> (World, Vec<ChangeHash>) {
    let mut world = World::new(2);
    world.sync_all();
    let mut seed = 7;
    for at in 0..30 {
        let record = world.record();
        world.phones[1].save(record, at, &[set("name", &noise(&mut seed, 900))]);
    }
    world.sync(1);
    let mut saved = Vec::new();
    for at in 0..40 {
        let record = world.record();
        saved.extend(world.phones[0].save(record, at, &[set("name", &noise(&mut seed, 700))]));
    }
    (world, saved)
}

/// After whatever broke, everything arrives, once, and both agree.
fn ends_well(mut world: World, saved: &[ChangeHash]) {
    world.sync_all();
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
    assert_eq!(world.phones[0].data.documents.len(), 70);
    let entries = &world.server.data.feeds[&world.town()];
    for hash in saved {
        assert_eq!(entries.iter().filter(|entry| entry.hash == Some(*hash)).count(), 1);
    }
    assert!(world.phones.iter().all(|phone| phone.data.outbox.is_empty()));
    assert!(!world.exchange(0, Fault::default()).result.unwrap().progress);
}

fn frame_ends(start: usize, frames: &[usize]) -> Vec<usize> {
    let mut at = start;
    let mut cuts = vec![at];
    for frame in frames {
        cuts.push(at + frame / 2);
        at += frame;
        cuts.push(at);
    }
    cuts
}

#[test]
fn a_request_cut_anywhere_loses_at_most_a_frame() {
    let (mut world, _) = busy();
    let whole = world.exchange(0, Fault::default());
    assert!(whole.request.frames.len() >= 3 && whole.answer_frames.len() >= 3);
    let frames: Vec<usize> = whole.request.frames.iter().map(Vec::len).collect();
    let mut cuts = frame_ends(whole.request.header.len(), &frames);
    cuts.push(20);
    for cut in cuts {
        let (mut world, saved) = busy();
        let broken = world.exchange(0, Fault { cut_up: Some(cut), cut_down: None });
        assert_eq!(broken.result.unwrap_err(), SyncError::Broken);
        let on_server = world.server.data.feeds[&world.town()].len() - 30;
        let probe = world.exchange(0, Fault::default());
        assert!(probe.request.frames.is_empty() && probe.result.is_ok());
        let sent = saved
            .iter()
            .filter(|hash| !matches!(world.phones[0].status(hash), Some(ChangeState::Unstated | ChangeState::Stated)));
        assert_eq!(sent.count(), on_server, "cut at {cut}");
        ends_well(world, &saved);
    }
}

#[test]
fn an_answer_cut_anywhere_loses_at_most_a_frame() {
    let (mut world, _) = busy();
    let whole = world.exchange(0, Fault::default());
    for cut in frame_ends(0, &whole.answer_frames) {
        let (mut world, saved) = busy();
        let broken = world.exchange(0, Fault { cut_up: None, cut_down: Some(cut) });
        if cut < whole.answer.len() {
            assert_eq!(broken.result.unwrap_err(), SyncError::Broken);
            let next = world.exchange(0, Fault::default());
            assert!(next.request.frames.is_empty());
        }
        ends_well(world, &saved);
    }
}

#[test]
fn what_the_server_could_not_make_durable_is_not_acknowledged() {
    let (mut world, _) = busy();
    let frames = world.exchange(0, Fault::default()).request.frames.len();
    for failing in 0..=frames {
        let (mut world, saved) = busy();
        world.server.fail_in = Some(failing);
        let failed = world.exchange(0, Fault::default());
        assert!(matches!(failed.result.unwrap_err(), SyncError::Server(_)), "commit {failing}");
        let on_server = world.server.data.feeds[&world.town()].len() - 30;
        let waits = |hash: &&ChangeHash| {
            matches!(world.phones[0].status(hash), Some(ChangeState::Unstated | ChangeState::Stated))
        };
        assert!(saved.iter().filter(waits).count() >= saved.len() - on_server, "commit {failing}");
        ends_well(world, &saved);
    }
}

#[test]
fn a_line_that_breaks_every_time_still_gets_on() {
    let (mut world, saved) = busy();
    let mut rounds = 0;
    while world.server.data.feeds[&world.town()].len() < 70 {
        world.exchange(0, Fault { cut_up: Some(40_000), cut_down: None });
        world.exchange(0, Fault::default());
        rounds += 1;
        assert!(rounds < 20);
    }
    assert!(rounds > 1);
    ends_well(world, &saved);
}

#[test]
fn breaks_without_progress_halve_the_upload_down_to_a_floor() {
    let (mut world, saved) = busy();
    let mut sizes = Vec::new();
    for _ in 0..8 {
        let broken = world.exchange(0, Fault { cut_up: Some(100), cut_down: None });
        sizes.push(broken.request.len());
        world.exchange(0, Fault::default());
    }
    // Half of the budget may be enough, with a frame more.
    assert!(sizes.windows(2).all(|pair| pair[1] <= pair[0] + 256), "{sizes:?}");
    assert!(sizes[7] < 32 * 1024, "{sizes:?}");
    ends_well(world, &saved);
}

fn twice<M: Message>(bytes: &[u8], once: impl Fn(&M) -> bool) -> Vec<u8> {
    let mut reader = FrameReader::<M>::new();
    reader.push(bytes);
    let mut writer = FrameWriter::new(20);
    while let Some(messages) = reader.next_frame().unwrap() {
        for round in 0..2 {
            let again = messages.iter().filter(|message| round == 0 && !once(message) || round == 1);
            again.for_each(|message| writer.push(message).unwrap());
            writer.flush().unwrap();
        }
    }
    std::iter::from_fn(|| writer.take()).collect::<Vec<_>>().concat()
}

#[test]
fn every_frame_twice_is_as_once() {
    let (mut world, saved) = busy();
    let log = &mut world.phones[0];
    let (exchange, request) = Exchange::begin(log, &world.keys[0], &world.random, NOW_MS).unwrap();
    let mut body = request.header.clone();
    body.extend(twice::<Up>(&request.frames.concat(), |_| false));
    let answer = answer_to(&mut world.server, &world.server_key, NOW_MS, &body, false).unwrap();
    let doubled = twice::<Down>(&answer.concat(), |message| matches!(message, Down::Done { .. }));
    let sent = world.deliver(0, exchange, request, Ok(vec![doubled]), None);
    sent.result.unwrap();
    assert_eq!(world.server.data.feeds[&world.town()].len(), 70);
    ends_well(world, &saved);
}

#[test]
fn a_lost_answer_is_made_up_for_without_sending_again() {
    let (mut world, saved) = busy();
    let lost = world.exchange(0, Fault { cut_up: None, cut_down: Some(0) });
    assert_eq!(lost.result.unwrap_err(), SyncError::Broken);
    assert_eq!(world.server.data.feeds[&world.town()].len(), 70);
    let mut up = 0;
    loop {
        let sent = world.exchange(0, Fault::default());
        up += sent.request.len();
        if !sent.result.unwrap().again {
            break;
        }
    }
    assert!(up < 2_000, "{up} bytes, though the server had it all");
    ends_well(world, &saved);
}

#[test]
fn states_are_honest_at_every_step() {
    let (mut world, saved) = busy();
    let all =
        |world: &World, is: fn(Option<ChangeState>) -> bool| saved.iter().all(|hash| is(world.phones[0].status(hash)));
    assert!(all(&world, |status| status == Some(ChangeState::Unstated)));
    let probe = world.exchange(0, Fault { cut_up: None, cut_down: Some(0) });
    let frame = world.exchange(0, Fault { cut_up: None, cut_down: Some(10) });
    assert!(probe.result.is_err() && frame.result.is_err());
    assert!(all(&world, |status| status == Some(ChangeState::Stated)), "on the server, but nobody has said so");
    let whole = world.exchange(0, Fault::default());
    assert!(whole.result.is_ok());
    assert!(all(&world, |status| status.is_none()), "on the server, under a signed head");
}

#[test]
fn a_clone_of_a_phone_loses_nothing() {
    let mut world = World::new(2);
    world.sync_all();
    let record = world.record();
    world.phones[0].save(record, 1, &[set("name", "a")]);
    world.sync(0);
    let backup = world.phones[0].data.clone();
    world.phones[0].save(record, 2, &[set("age_text", "x")].map(|_| set("name", "first")));
    let later = world.record();
    world.phones[0].save(later, 3, &[set("name", "only the first one has this")]);
    world.sync(0);
    world.phones[0].data = backup;
    world.phones[0].save(record, 4, &[set("name", "second")]);
    let other = world.record();
    world.phones[0].save(other, 5, &[set("name", "only the clone has this")]);
    let actor = world.phones[0].data.actor;
    let events = world.sync(0);
    assert!(events.contains(&PhoneEvent::Forked));
    assert_ne!(world.phones[0].data.actor, actor);
    world.sync_all();
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
    for phone in &world.phones {
        assert_eq!(phone.data.documents.len(), 3);
        let conflicts = phone.data.documents[&record].conflicts(&phone.form_now("household"));
        assert_eq!(conflicts[0].values.len(), 2, "{conflicts:?}");
        assert!(phone.data.pending.is_empty() && phone.data.not_taken.is_empty());
    }
}

/// Both halves of a clone have stated the same, so that nothing shows a fork, and one of them has heard the verdict.
#[test]
fn both_halves_of_a_clone_hear_what_was_not_taken() {
    let mut world = World::new(2);
    world.sync_all();
    let record = world.record();
    world.phones[0].save(record, 1, &[set("name", "before")]);
    world.sync(0);
    let bad = world.phones[0].save(record, 2, &[set("decided", "approved")]).unwrap();
    world.exchange(0, Fault { cut_up: None, cut_down: Some(0) });
    let half = world.phones[0].data.clone();
    world.sync(0);
    world.sync(0);
    assert_eq!(world.phones[0].status(&bad), Some(ChangeState::NotTaken));
    assert!(world.server.data.devices.values().all(|device| device.verdicts.is_empty()), "confirmed, and forgotten");
    let told = std::mem::replace(&mut world.phones[0].data, half);
    for _ in 0..3 {
        world.sync(0);
    }
    let shown = |world: &World| {
        let left = &world.phones[0].data.not_taken;
        (left.len(), left[0].reason.clone(), world.phones[0].shown(&record, "decided"))
    };
    assert_eq!(shown(&world), (1, "role".to_owned(), None), "told anew");
    let told_of = |status| matches!(status, ChangeState::NotTaken | ChangeState::Withdrawn);
    assert!(world.phones[0].data.outbox.iter().all(|own| told_of(own.status)), "nothing goes on as sent");
    // The first half hears of nothing new, and shows what it showed.
    world.phones[0].data = told;
    for _ in 0..3 {
        world.sync(0);
    }
    assert_eq!(shown(&world), (1, "role".to_owned(), None));
    assert!(!world.exchange(0, Fault::default()).result.unwrap().progress);
}

#[test]
fn a_phone_that_lost_its_store_gets_its_own_work_back() {
    let (mut world, _) = busy();
    world.sync_all();
    let picture = world.phones[0].picture();
    let identity = world.phones[0].data.identity.clone();
    world.phones[0] = MemoryPhone::new(identity, ActorId::random(&world.random), "town");
    let events = world.sync(0);
    assert!(events.contains(&PhoneEvent::Forked));
    assert_eq!(world.phones[0].picture(), picture);
    let record = world.record();
    world.phones[0].save(record, 9, &[set("name", "after")]);
    world.sync_all();
    assert_eq!(world.phones[1].shown(&record, "name").as_deref(), Some("after"));
}
