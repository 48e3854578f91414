//! Conversations of this version of the protocol as they were recorded: what a phone of that day sent, a server of today
//! takes, and what a server of that day answered, a phone of today reads; both come out as then.
//!
//! `FIELDBOOK_RECORD=1 cargo test --workspace --lib golden` writes the fixture anew. That is for as long as no phone is in
//! use: from then on another version of the protocol gets a fixture of its own, and this one stays.

use std::path::PathBuf;
use std::sync::LazyLock;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::*;
use crate::document::tests::{form, set};
use crate::forms::Edit;
use crate::protocol::limits::PROTOCOL_VERSION;
use crate::sync::server::Sealing;
use crate::sync::{from_cbor, to_cbor};

/// One exchange as it went over the line.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
struct Heard {
    #[n(0)]
    request: ByteVec,
    #[n(1)]
    answer: ByteVec,
    /// Bytes of the segments that were fetched behind it.
    #[n(2)]
    segments: Vec<ByteVec>,
}

/// What was said from one act to the next, and how all ended.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
struct Conversation {
    /// For each [`Act::Sync`], its exchanges.
    #[n(0)]
    syncs: Vec<Vec<Heard>>,
    /// Digest of the server's feeds at the end: positions and chains.
    #[n(1)]
    feeds: ByteVec,
    /// Digest of each phone's records with their heads, and of its cursors.
    #[n(2)]
    phones: Vec<ByteVec>,
}

/// What happens between and in exchanges.
enum Act {
    /// A phone saves a field of a record.
    Save(usize, u8, Edit),
    Sync(usize),
    /// The next form is published.
    Publish,
    Purge(u8),
    Revoke(usize),
    /// The server loses what came since the backup; then its administrator confirms.
    BackUp,
    Restore,
    Confirm,
}

fn text(phone: usize, record: u8, value: &str) -> Act {
    Act::Save(phone, record, set("name", value))
}

/// Everything that the protocol can say, once.
fn acts() -> Vec<Act> {
    let mut acts = vec![Act::Sync(0), Act::Sync(1)];
    acts.extend((1..=40).map(|record| text(0, record, &format!("才让卓玛{record}"))));
    acts.extend([Act::Sync(0), Act::Sync(1)]);
    // Both write the same field; one edit on top of another.
    acts.extend([
        text(0, 1, "扎西"),
        text(1, 1, "多杰"),
        text(1, 1, "多杰才让"),
        Act::Sync(0),
        Act::Sync(1),
        Act::Sync(0),
    ]);
    // Not allowed, and what builds on it.
    acts.extend([Act::Save(0, 2, set("decided", "approved")), text(0, 2, "卓玛"), Act::Sync(0), Act::Sync(0)]);
    acts.extend([Act::Publish, Act::Sync(1), text(1, 3, "新表"), Act::Sync(1)]);
    acts.extend([Act::Purge(5), text(1, 5, "已经清除"), Act::Sync(1), Act::Sync(0)]);
    // A phone that comes late fetches what was sealed.
    acts.push(Act::Sync(2));
    acts.extend([Act::BackUp, text(0, 7, "备份以后"), Act::Sync(0), Act::Restore, Act::Sync(0), Act::Confirm]);
    acts.extend([Act::Sync(0), Act::Sync(1), Act::Sync(2)]);
    acts.extend([Act::Revoke(1), text(1, 8, "丢失的手机"), Act::Sync(1), Act::Sync(0)]);
    acts
}

/// Does all acts in a world, what phones save only with `saves`; `sync` is what one phone's sync is.
fn play(world: &mut World, saves: bool, mut sync: impl FnMut(&mut World, usize, usize)) {
    world.server.seal_at = Sealing { entries_min: 30, bytes_target: 900 };
    let (mut syncs, mut backup, mut version) = (0, world.server.data.clone(), 2);
    for (at, act) in (1..).zip(acts()) {
        match act {
            Act::Save(..) if !saves => {}
            Act::Save(phone, record, edit) => {
                world.phones[phone].save(RecordId([record; 16]), at, &[edit]);
            }
            Act::Sync(phone) => {
                world.now_ms = NOW_MS + at * 60_000;
                sync(world, phone, syncs);
                syncs += 1;
            }
            Act::Publish => {
                version += 1;
                world.server.publish(form(&version.to_string()), NOW_MS + at * 60_000);
            }
            Act::Purge(record) => {
                let town = world.town();
                world.server.purge(RecordId([record; 16]), &town, NOW_MS + at * 60_000);
            }
            Act::Revoke(phone) => {
                let device = world.phones[phone].data.identity.device;
                world.server.data.devices.get_mut(&device).unwrap().row.revoked = true;
            }
            Act::BackUp => backup = world.server.data.clone(),
            Act::Restore => world.server.data = backup.clone(),
            Act::Confirm => world.server.data.awaiting = false,
        }
    }
}

/// Exchanges until nothing is left, or the server says that there is nothing.
fn heard(world: &mut World, phone: usize) -> Vec<Heard> {
    let mut all = Vec::new();
    for _ in 0..50 {
        let sent = world.exchange(phone, Fault::default());
        let outcome = sent.result.unwrap();
        let mut segments = Vec::new();
        for offered in outcome.offered {
            segments.push(world.server.segment(&offered.segment.name).unwrap().into());
            world.fetch(phone, offered, usize::MAX).unwrap();
        }
        all.push(Heard { request: sent.request.body().into(), answer: sent.answer.into(), segments });
        if !outcome.again {
            return all;
        }
    }
    panic!("exchanges never end");
}

fn digest(of: &impl std::fmt::Debug) -> ByteVec {
    Sha256::digest(format!("{of:?}")).to_vec().into()
}

fn feeds(world: &World) -> ByteVec {
    let ends = world
        .server
        .data
        .feeds
        .iter()
        .map(|(feed, entries)| (feed.clone(), entries.len(), entries.last().map_or([0; 32], |entry| entry.chain)));
    digest(&ends.collect::<Vec<_>>())
}

fn phone(world: &World, phone: usize) -> ByteVec {
    let data = &world.phones[phone].data;
    let cursors: Vec<_> = data.feeds.iter().map(|feed| (&feed.feed, feed.position, feed.chain)).collect();
    digest(&(world.phones[phone].picture(), cursors))
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/fixtures/protocol/{PROTOCOL_VERSION}.cbor"))
}

fn recorded() -> Conversation {
    let mut world = World::new(3);
    let mut syncs = Vec::new();
    play(&mut world, true, |world, phone, _| syncs.push(heard(world, phone)));
    let phones = (0..3).map(|number| phone(&world, number)).collect();
    Conversation { syncs, feeds: feeds(&world), phones }
}

fn read() -> Conversation {
    if std::env::var_os("FIELDBOOK_RECORD").is_some() {
        std::fs::create_dir_all(path().parent().unwrap()).unwrap();
        std::fs::write(path(), to_cbor(&recorded())).unwrap();
    }
    from_cbor(&std::fs::read(path()).unwrap()).expect("the fixture reads back")
}

fn kept() -> &'static Conversation {
    static KEPT: LazyLock<Conversation> = LazyLock::new(read);
    &KEPT
}

#[test]
fn a_server_of_today_takes_what_phones_of_then_sent() {
    let conversation = kept();
    let mut world = World::new(3);
    play(&mut world, false, |world, _, sync| {
        for (number, heard) in conversation.syncs[sync].iter().enumerate() {
            world.now_ms += 1;
            let (now_ms, key) = (world.now_ms, world.server_key.clone());
            let answer = answer_to(&mut world.server, &key, now_ms, &heard.request, false);
            assert!(answer.is_ok(), "exchange {number} of sync {sync}: {answer:?}");
        }
    });
    assert_eq!(feeds(&world), conversation.feeds, "the log came out differently");
}

#[test]
fn a_phone_of_today_reads_what_a_server_of_then_answered() {
    let conversation = kept();
    let mut world = World::new(3);
    play(&mut world, true, |world, phone, sync| {
        for (number, heard) in conversation.syncs[sync].iter().enumerate() {
            let (log, key) = (&mut world.phones[phone], &world.keys[phone]);
            let (mut exchange, _) = Exchange::begin(log, key, &world.random, world.now_ms).unwrap();
            world.now_ms += 1;
            exchange.receive(log, &heard.answer).unwrap_or_else(|error| panic!("{number} of sync {sync}: {error}"));
            let outcome = exchange.finish(log, &world.random).unwrap();
            assert_eq!(outcome.offered.len(), heard.segments.len());
            for (offered, bytes) in outcome.offered.into_iter().zip(&heard.segments) {
                world.fetch_from(phone, offered, bytes, usize::MAX).unwrap();
            }
        }
    });
    for number in 0..3 {
        assert_eq!(phone(&world, number), conversation.phones[number], "phone {number} came out differently");
    }
}

#[test]
fn the_conversation_says_everything() {
    let conversation = kept();
    let all: Vec<&Heard> = conversation.syncs.iter().flatten().collect();
    let mut said = std::collections::BTreeSet::new();
    for heard in &all {
        let mut reader = crate::sync::frames::FrameReader::<crate::protocol::Down>::new();
        reader.push(&heard.answer);
        while let Some(messages) = reader.next_frame().unwrap() {
            said.extend(messages.iter().map(|message| {
                let name = format!("{message:?}");
                name.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
            }));
        }
    }
    let wanted =
        ["Changes", "Done", "Entry", "Error", "Feeds", "Form", "Head", "Hello", "Restored", "Segments", "Verdict"];
    assert_eq!(said.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
    assert!(all.iter().any(|heard| !heard.segments.is_empty()));
}
