//! First downloads: pieces of a feed that are fetched apart from the exchange.

use super::resend::like;
use super::*;
use crate::access::Unit;
use crate::document::tests::{form, set};
use crate::protocol::limits::SEGMENT_BLOCK_BYTES;
use crate::protocol::{EntryBody, Notice};
use crate::sync::phone::PhoneLog;
use crate::sync::server::Sealing;

/// Small enough for a test to have several of them, large enough for several blocks.
const SEALING: Sealing = Sealing { entries_min: 20, bytes_target: 40_000 };
/// Entries of the feed.
const ENTRIES: i64 = 400;

/// Text that does not compress.
fn noise(at: i64) -> String {
    (0..5).map(|part| hex::encode(Sha256::digest([at, part].map(i64::to_be_bytes).concat()))).collect()
}

/// A server whose feed another phone has filled, and phones that have nothing yet.
fn world(phones: usize) -> World {
    let mut world = World::new(1 + phones);
    world.server.seal_at = SEALING;
    world.sync(0);
    fill(&mut world, 0..ENTRIES);
    world
}

fn fill(world: &mut World, entries: std::ops::Range<i64>) {
    for at in entries {
        let record = world.record();
        world.phones[0].save(record, at, &[set("name", &noise(at))]);
    }
    world.sync(0);
}

fn offered(world: &mut World, phone: usize) -> Vec<Offered> {
    let sent = world.exchange(phone, Fault::default());
    let outcome = sent.result.unwrap();
    assert!(outcome.again || outcome.offered.is_empty());
    outcome.offered
}

fn position(world: &mut World, phone: usize) -> u64 {
    let town = world.town();
    world.phones[phone].feeds().unwrap().into_iter().find(|feed| feed.feed == town).unwrap().position
}

#[test]
fn comes_out_as_by_exchanges_alone() {
    let mut world = world(2);
    let offered = offered(&mut world, 1);
    let places: Vec<_> = offered.iter().map(|offered| (offered.segment.first, offered.segment.through)).collect();
    assert!(places.len() >= 2, "{places:?}");
    assert!(places[0].0 == 1 && places.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{places:?}");
    world.sync(1);
    world.server.seal_at = Sealing { entries_min: u64::MAX, ..SEALING };
    world.sync(2);
    assert_eq!(world.phones[1].picture().len(), ENTRIES as usize);
    assert_eq!(world.phones[1].picture(), world.phones[2].picture());
    assert_eq!(world.phones[1].feeds(), world.phones[2].feeds(), "the same chains, and heads that were verified");
    assert!(world.phones[1].data.segments.is_empty(), "nothing is kept that is not needed");
}

#[test]
fn the_first_records_come_before_what_is_fetched() {
    let mut world = world(1);
    world.exchange(1, Fault::default());
    let listed = world.phones[1].picture().len();
    assert!((1..60).contains(&listed), "{listed}");
}

#[test]
fn is_sealed_once_for_all_phones() {
    let mut world = world(3);
    let first = offered(&mut world, 1);
    world.sync(1);
    let sealed = world.server.sealed;
    assert!(sealed >= 2);
    assert_eq!(offered(&mut world, 2)[..first.len()], first);
    world.sync(2);
    world.sync(3);
    assert_eq!(world.server.sealed, sealed);
    assert_eq!(world.phones[3].picture(), world.phones[1].picture());
}

#[test]
fn goes_on_at_the_byte_where_it_broke_and_fetches_none_twice() {
    let whole = offered(&mut world(1), 1)[0].segment.bytes as usize;
    for cut in [999, SEGMENT_BLOCK_BYTES - 1, SEGMENT_BLOCK_BYTES, whole / 2, whole - 1] {
        let mut world = world(1);
        let first = offered(&mut world, 1).remove(0);
        let mut fetched = 0;
        while fetched < whole {
            let (_, came) = world.fetch(1, first.clone(), cut).unwrap();
            assert_eq!(came, cut.min(whole - fetched));
            fetched += came;
            // Also where it has more than half of it, the exchange in between leaves the rest to be fetched.
            if fetched < whole && cut > 5_000 {
                assert_eq!(offered(&mut world, 1)[0], first, "after {fetched} bytes");
            }
        }
        assert_eq!(position(&mut world, 1), first.segment.through, "cut each {cut} bytes");
        world.sync(1);
        assert_eq!(world.phones[1].picture(), world.phones[0].picture());
    }
}

#[test]
fn what_was_fetched_survives_a_server_that_forgot_where_the_phone_is() {
    let mut world = world(1);
    let first = offered(&mut world, 1).remove(0);
    world.fetch(1, first.clone(), 100).unwrap();
    let device = world.phones[1].data.identity.device;
    world.server.data.devices.get_mut(&device).unwrap().cursor_sets.clear();
    let sent = world.exchange(1, Fault::default());
    let forgot = sent.result.unwrap();
    assert!(forgot.offered.is_empty() && forgot.again, "it asks for all cursors");
    assert_eq!(world.phones[1].segment_bytes(&first.segment.name).unwrap().len(), 100);
    assert_eq!(offered(&mut world, 1)[0], first);
}

#[test]
fn a_phone_that_dies_has_every_whole_block() {
    let mut world = world(1);
    let first = offered(&mut world, 1).remove(0);
    let bytes = world.server.segment(&first.segment.name).unwrap();
    let mut download = Download::begin(&mut world.phones[1], first.clone()).unwrap();
    download.receive(&mut world.phones[1], &bytes[..2 * SEGMENT_BLOCK_BYTES + 700]).unwrap();
    drop(download);
    let reached = position(&mut world, 1);
    assert!(reached > 10, "{reached}");
    let download = Download::begin(&mut world.phones[1], first).unwrap();
    assert_eq!(download.next_byte(), 2 * SEGMENT_BLOCK_BYTES as u64);
    drop(download);
    world.sync(1);
    assert_eq!(world.phones[1].picture(), world.phones[0].picture());
}

#[test]
fn bytes_that_the_server_did_not_seal_change_nothing() {
    let mut clean = world(1);
    let all = offered(&mut clean, 1);
    let bytes = |at: usize| clean.server.segment(&all[at].segment.name).unwrap();
    let (first, second) = (bytes(0), bytes(1));
    let mut flipped = first.clone();
    flipped[SEGMENT_BLOCK_BYTES + 5] ^= 0x40;
    let mut swapped = first.clone();
    swapped[..2 * SEGMENT_BLOCK_BYTES].rotate_left(SEGMENT_BLOCK_BYTES);
    for (forged, what) in [(flipped, "flipped"), (swapped, "swapped"), (second, "another"), (vec![7; 50_000], "noise")]
    {
        let mut world = world(1);
        let offered = offered(&mut world, 1).remove(0);
        let result = world.fetch_from(1, offered, &forged, usize::MAX);
        assert_eq!(result.map(|_| ()), Err(SyncError::Broken), "{what}");
        let known = world.phones[1].picture();
        assert!(known.iter().all(|(record, shown)| world.phones[0].picture().get(record) == Some(shown)), "{what}");
        world.sync(1);
        assert_eq!(world.phones[1].picture(), world.phones[0].picture(), "{what}");
    }
}

#[test]
fn what_cannot_be_made_out_at_the_very_end_is_asked_for_in_full_before_the_next() {
    let mut world = World::new(2);
    world.server.seal_at = SEALING;
    world.sync(0);
    let record = world.record();
    world.phones[0].save(record, 0, &[set("name", "a")]);
    world.sync_all();
    for part in [1..60, 60..120] {
        for at in part {
            world.phones[0].save(record, at, &[set("name", &noise(at))]);
        }
        world.sync(0);
        offered(&mut world, 1);
    }
    let [first, second] = <[Offered; 2]>::try_from(offered(&mut world, 1)).unwrap();
    world.fetch(1, first, usize::MAX).unwrap();
    let meta = world.phones[1].data.metas[&record].clone();
    world.phones[1].data.metas.insert(like(record), meta);
    let bytes = world.server.segment(&second.segment.name).unwrap();
    let mut download = Download::begin(&mut world.phones[1], second).unwrap();
    download.receive(&mut world.phones[1], &bytes).unwrap();
    assert!(download.is_over() && !download.is_whole(), "nothing behind it may be fetched");
    download.pause(&mut world.phones[1]).unwrap();
    world.sync(1);
    assert_eq!(world.phones[1].picture(), world.phones[0].picture());
}

#[test]
fn an_offer_that_the_server_did_not_sign_is_not_believed() {
    let mut world = world(1);
    offered(&mut world, 1);
    for sealed in world.server.data.segments.values_mut().flatten() {
        sealed.segment.chain[3] ^= 1;
    }
    let sent = world.exchange(1, Fault::default());
    assert!(matches!(sent.result, Err(SyncError::Protocol(_) | SyncError::Broken)), "{:?}", sent.result);
}

#[test]
fn what_is_purged_meanwhile_is_not_fetched_any_more() {
    let mut world = world(1);
    let all = offered(&mut world, 1);
    world.fetch(1, all[0].clone(), 20_000).unwrap();
    let purged = *world.phones[0].picture().keys().next().unwrap();
    let town = world.town();
    world.server.purge(purged, &town, NOW_MS);
    assert_eq!(world.fetch(1, all[0].clone(), usize::MAX).unwrap().1, 0, "its bytes are gone");
    world.sync_all();
    assert!(!world.phones[1].picture().contains_key(&purged));
    assert_eq!(world.phones[1].picture(), world.phones[0].picture());
    assert!(world.phones[1].data.segments.is_empty());
}

/// Behind a move that must wait nothing of its block is applied: all of that comes again.
#[test]
fn a_block_with_a_move_that_waits_is_read_again() {
    let mut world = World::new(2);
    world.server.seal_at = SEALING;
    world.sync(0);
    let town = world.town();
    fill(&mut world, 0..ENTRIES / 2);
    let moved = *world.phones[0].picture().keys().next().unwrap();
    let to = FeedId { unit: "elsewhere".to_owned(), ..town.clone() };
    let body = EntryBody::MovedOut { record: moved, to, number: 1 };
    let place = world.server.append(&town, NOW_MS, body, None, None);
    fill(&mut world, ENTRIES / 2..ENTRIES);
    let mut all = offered(&mut world, 1);
    let behind = all.split_off(all.iter().position(|one| one.segment.through >= place).unwrap());
    for one in all {
        world.fetch(1, one, usize::MAX).unwrap();
    }
    // Written while the rest is fetched.
    world.phones[1].save(moved, ENTRIES, &[set("name", "late")]);
    world.fetch(1, behind[0].clone(), usize::MAX).unwrap();
    assert_eq!(position(&mut world, 1), place - 1, "what was written goes first");
    world.sync(1);
    assert_eq!(position(&mut world, 1), ENTRIES as u64 + 2, "all of it, the move, and what came late");
}

#[test]
fn a_short_end_is_sealed_again_with_what_came_since() {
    let mut world = world(2);
    world.sync(1);
    let town = world.town();
    let before = world.server.segments_of(&town);
    fill(&mut world, ENTRIES..ENTRIES + 30);
    world.sync(2);
    let after = world.server.segments_of(&town);
    assert_eq!(world.phones[2].picture(), world.phones[0].picture());
    assert!(after.len() <= before.len() + 1, "{before:?} {after:?}");
    assert_eq!(after.last().map(|(_, through)| *through), Some(ENTRIES as u64 + 30));
    assert!(after.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{after:?}");
    assert_eq!(after[0], before[0], "what was full stays as it is");
}

#[test]
fn a_phone_that_has_most_of_it_gets_the_rest_in_the_exchange() {
    let mut world = world(1);
    world.sync(1);
    fill(&mut world, ENTRIES..ENTRIES + 19);
    assert_eq!(offered(&mut world, 1), []);
    assert_eq!(world.phones[1].picture(), world.phones[0].picture());
}

#[test]
fn a_general_feed_is_sealed_once_too_with_its_forms() {
    let mut world = World::new(3);
    world.server.seal_at = SEALING;
    world.sync_all();
    let unit = |at: u32| Unit { code: format!("u{at}"), name: noise(at.into()), parent: None, division: None };
    for version in ["3", "4"] {
        world.server.publish(form(version), NOW_MS);
    }
    for at in 0..60 {
        world.server.append(&general(), NOW_MS, EntryBody::Notice(Notice::Unit(unit(at))), None, None);
    }
    world.server.publish(form("5"), NOW_MS);
    for at in 60..120 {
        world.server.append(&general(), NOW_MS, EntryBody::Notice(Notice::Unit(unit(at))), None, None);
    }
    world.server.seal_at = Sealing { entries_min: u64::MAX, ..SEALING };
    world.sync(0);
    world.server.seal_at = SEALING;
    for phone in [1, 2] {
        let sealed = world.server.sealed;
        world.sync(phone);
        assert_eq!(
            world.server.sealed,
            if phone == 1 { 3 } else { sealed },
            "{:?}",
            world.server.segments_of(&general())
        );
        assert_eq!(world.phones[phone].feeds(), world.phones[0].feeds());
        assert_eq!(world.phones[phone].data.forms.len(), world.phones[0].data.forms.len());
        for version in ["2", "3", "4", "5"] {
            assert!(world.phones[phone].form("household", Some(version)).unwrap().is_some(), "{version}");
        }
    }
}

#[test]
fn a_phones_own_changes_come_to_it_as_positions() {
    let mut world = world(1);
    assert_eq!(world.server.sealed, 0);
    world.sync(1);
    let sealed = world.server.sealed;
    fill(&mut world, ENTRIES..ENTRIES + 60);
    assert_eq!(world.server.sealed, sealed, "nobody else has come");
}
