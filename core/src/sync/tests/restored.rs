//! A server that lost data: whatever phones had seen of it comes back, nothing purged does, and nothing is served before
//! the administrator's word.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::document::ChangeState;
use crate::document::tests::set;
use crate::ids::ChangeHash;

const PHONES: usize = 3;

impl World {
    /// Exchanges until nothing moves; false while the server waits.
    pub fn meet(&mut self, phone: usize) -> bool {
        for _ in 0..200 {
            let outcome = self.exchange(phone, Fault::default()).result.unwrap();
            if outcome.awaiting && !outcome.again {
                assert_eq!(outcome.stats.entries, 0, "served before the confirmation");
            }
            if !outcome.again {
                return !outcome.awaiting;
            }
        }
        panic!("exchanges never end");
    }

    fn write(&mut self, phone: usize, record: u8, text: &str) -> ChangeHash {
        self.phones[phone].save(RecordId([record; 16]), 1, &[set("name", text)]).unwrap()
    }
}

#[test]
fn what_phones_had_seen_comes_back_and_nothing_is_served_before() {
    let mut world = World::new(PHONES);
    world.sync_all();
    world.write(0, 1, "before");
    world.sync_all();
    let backup = world.server.data.clone();
    let first = world.write(0, 1, "after the backup");
    world.write(1, 2, "another");
    world.sync(0);
    world.sync(1);
    world.sync(0);
    let picture = world.phones[0].picture();
    world.write(0, 1, "unsent, on top of what was lost");
    let town = world.town();
    let before = world.phones[0].data.feeds.iter().find(|feed| feed.feed == town).unwrap().position;

    world.server.data = backup;
    assert!(!world.meet(0), "it met its own signature beyond its log");
    assert!(world.server.data.awaiting && world.server.data.epoch > 0);
    assert!(world.phones[0].data.lost.contains(&first), "sent, and not yet there again");
    assert!(world.server.data.accepted.contains(&first), "taken back");
    assert!(!world.meet(2), "and served to nobody");
    assert!(!world.phones[2].data.documents.contains_key(&RecordId([2; 16])));
    assert_eq!(world.server.data.feeds[&town].len() as u64, before + 1, "the unsent change was taken too");

    world.server.data.awaiting = false;
    world.sync_all();
    assert!(world.phones[0].data.lost.is_empty());
    for phone in &world.phones {
        assert!(picture.keys().all(|record| phone.data.documents.contains_key(record)));
        assert_eq!(phone.picture(), world.phones[0].picture());
        assert!(phone.data.outbox.is_empty());
    }
}

/// Somebody rewrote an answer of several frames: what came before the head is here, and chains to nothing.
#[test]
fn entries_that_nobody_signed_do_not_make_a_restored_server() {
    let mut world = World::new(2);
    world.sync_all();
    for text in ["one", "two", "three"] {
        world.write(0, 1, text);
    }
    world.sync_all();
    let town = world.town();
    let signed = world.phones[1].data.heads[&town].position;
    let mut seed = 1;
    for _ in 0..40 {
        let text = super::breaks::noise(&mut seed, 8_000);
        world.write(0, 1, &text);
    }
    world.sync(0);
    let rewrite = |world: &mut World, by_ms: i64| {
        let entries = world.server.data.feeds.get_mut(&town).unwrap();
        std::sync::Arc::make_mut(&mut entries[signed as usize]).entry.received_ms += by_ms;
    };
    rewrite(&mut world, 1);
    let sent = world.exchange(1, Fault::default());
    assert!(matches!(sent.result, Err(SyncError::LogDoesNotFit { .. })), "{:?}", sent.result);
    let here = world.phones[1].data.feeds.iter().find(|feed| feed.feed == town).unwrap().position;
    assert!(
        here > signed + 8,
        "{here}: whole frames were applied, and the head is not among the places that are named"
    );
    rewrite(&mut world, -1);
    assert!(world.meet(1));
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
    assert_eq!((world.server.data.epoch, world.server.data.awaiting), (0, false));
}

#[test]
fn a_phone_whose_log_is_a_prefix_downloads_nothing_again() {
    let mut world = World::new(2);
    world.sync_all();
    world.write(0, 1, "before");
    world.sync_all();
    let backup = world.server.data.clone();
    world.write(0, 1, "after");
    world.sync(0);
    world.server.data = backup;
    assert!(!world.meet(0));
    world.server.data.awaiting = false;
    let sent = world.exchange(1, Fault::default());
    assert!(sent.result.unwrap().again, "its cursors are asked for in full");
    let outcome = world.exchange(1, Fault::default()).result.unwrap();
    assert_eq!(outcome.stats.entries, 1, "the one entry that it had not seen");
}

#[test]
fn a_lying_phone_begins_no_epoch() {
    let mut world = World::new(1);
    world.sync_all();
    world.write(0, 1, "x");
    world.sync_all();
    let feed =
        world.phones[0].data.feeds.iter_mut().find(|feed| feed.position > 1 || feed.feed.unit == "town").unwrap();
    (feed.position, feed.chain, feed.head_position) = (900, [7; 32], 900);
    let id = feed.feed.clone();
    let mut head = world.phones[0].data.heads[&id].clone();
    (head.position, head.chain) = (900, [7; 32]);
    world.phones[0].data.heads.insert(id.clone(), head);
    let kept = crate::sync::phone::FeedEntry {
        position: 900,
        received_ms: 1,
        chain: [7; 32],
        kept: crate::sync::phone::Kept::Other(crate::protocol::EntryBody::Erased([1; 32])),
    };
    world.phones[0].data.entries.insert((id, 900), kept);
    let refused = (0..5).find_map(|_| world.exchange(0, Fault::default()).result.err()).unwrap();
    assert!(matches!(refused, SyncError::Server(answer) if answer.kind == crate::protocol::ErrorKind::Malformed));
    assert_eq!(world.server.data.epoch, 0);
}

#[derive(Clone, Debug)]
enum Step {
    Write {
        phone: usize,
        record: u8,
    },
    Exchange {
        phone: usize,
        cut: Option<usize>,
    },
    Purge {
        record: u8,
    },
    Backup,
    /// The latest backup comes back; the purge list is kept.
    Restore,
    Confirm,
    /// A phone's own store is put back to an earlier state.
    RollBack {
        phone: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let phone = 0..PHONES;
    prop_oneof![
        6 => (phone.clone(), 0u8..4).prop_map(|(phone, record)| Step::Write { phone, record }),
        8 => (phone.clone(), prop::option::weighted(0.2, 0usize..1500))
            .prop_map(|(phone, cut)| Step::Exchange { phone, cut }),
        1 => (0u8..4).prop_map(|record| Step::Purge { record }),
        1 => Just(Step::Backup),
        1 => Just(Step::Restore),
        1 => Just(Step::Confirm),
        1 => phone.prop_map(|phone| Step::RollBack { phone }),
    ]
}

fn confirm(world: &mut World, purged: &BTreeSet<RecordId>) {
    let town = world.town();
    for record in purged {
        world.server.purge(*record, &town, NOW_MS);
    }
    world.server.data.awaiting = false;
}

fn run(world: &mut World, steps: &[Step]) -> (BTreeSet<RecordId>, bool) {
    let (mut purged, mut rolled_back, mut restores) = (BTreeSet::new(), false, 0);
    let mut backup = world.server.data.clone();
    let olds: Vec<_> = world.phones.iter().map(|phone| phone.data.clone()).collect();
    for (at, step) in steps.iter().enumerate() {
        match *step {
            Step::Write { phone, record } => {
                let id = RecordId([record; 16]);
                if !world.phones[phone].data.purged.contains(&id) {
                    world.write(phone, record, &format!("{phone} {at}"));
                }
            }
            Step::Exchange { phone, cut } => {
                let waiting = world.server.data.awaiting;
                let sent = world.exchange(phone, Fault { cut_up: None, cut_down: cut });
                if let (true, Ok(outcome)) = (waiting, sent.result) {
                    assert_eq!(outcome.stats.entries, 0, "served before the confirmation");
                }
            }
            Step::Purge { record } => {
                let id = RecordId([record; 16]);
                if !world.server.data.awaiting && world.server.data.records.contains_key(&id) {
                    let town = world.town();
                    world.server.purge(id, &town, NOW_MS);
                    purged.insert(id);
                }
            }
            Step::Backup => backup = world.server.data.clone(),
            // A rolled-back phone may use a number again that the server has forgotten too (docs/adr/0007).
            Step::Restore if rolled_back => {}
            Step::Restore => {
                restores += 1;
                // As the command does it: the epoch begins before anything else.
                let epoch = world.server.data.epoch;
                world.server.data = backup.clone();
                crate::sync::ServerLog::begin_epoch(&mut world.server, epoch).unwrap();
            }
            Step::Confirm => confirm(world, &purged),
            Step::RollBack { .. } if restores > 0 => {}
            Step::RollBack { phone } => {
                world.phones[phone].data = olds[phone].clone();
                rolled_back = true;
            }
        }
    }
    (purged, rolled_back)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_history_of_restores_and_purges_converges(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new(PHONES);
        world.sync_all();
        let (purged, rolled_back) = run(&mut world, &steps);
        // What honest disks hold now must be there in the end.
        let held: Vec<(RecordId, ChangeHash)> = world.phones.iter().flat_map(|phone| {
            let changes = |(record, document): (&RecordId, &Arc<crate::document::Document>)| {
                document.changes().into_iter().map(|change| (*record, change.hash)).collect::<Vec<_>>()
            };
            phone.data.documents.iter().flat_map(changes).collect::<Vec<_>>()
        }).collect();
        for _ in 0..3 {
            for phone in 0..PHONES {
                world.meet(phone);
            }
            confirm(&mut world, &purged);
        }
        world.sync_all();
        world.sync_all();
        let picture = world.phones[0].picture();
        for phone in &world.phones {
            prop_assert_eq!(&phone.picture(), &picture);
            prop_assert!(purged.iter().all(|record| !phone.data.documents.contains_key(record)));
            prop_assert!(phone.data.pending.is_empty());
            let open = |own: &&crate::sync::phone::OutboxChange| {
                !matches!(own.status, ChangeState::NotTaken | ChangeState::Withdrawn)
            };
            prop_assert_eq!(phone.data.outbox.iter().filter(open).count(), 0);
            prop_assert!(phone.data.lost.iter().all(|hash| !world.server.data.accepted.contains(hash)));
        }
        // A rolled-back phone issues again under new hashes what it had not sent. What built on a change that its server
        // lost, and that only another phone can give back, is issued again or put before its user with its values.
        let kept = |hash: &ChangeHash| {
            let settled = |status| matches!(status, Some(ChangeState::Withdrawn | ChangeState::NotTaken));
            world.phones.iter().any(|phone| settled(phone.status(hash)))
        };
        if !rolled_back {
            for (record, hash) in held {
                let here = world.server.data.accepted.contains(&hash) || kept(&hash);
                prop_assert!(purged.contains(&record) || here, "a change is lost");
            }
        }
    }
}
