//! What a hub answers a phone, request by request.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use ed25519_dalek::SigningKey;
use fieldbook_core::access::{Area, FeedId};
use fieldbook_core::ids::{ActorId, ChangeHash, DeviceId, LogId, RecordId, UserId};
use fieldbook_core::protocol::limits::PROTOCOL_VERSION;
use fieldbook_core::protocol::{
    CursorState, Cursors, Down, Entry, EntryBody, Hosted, RequestHeader, SignedHead, StatementHash, Township,
};
use fieldbook_core::sync::frames::FrameReader;
use fieldbook_core::sync::hub::{HubLog, Mirrored, ServedDevice};
use fieldbook_core::sync::server::{ServerLog, TakenChange};
use fieldbook_core::sync::signing::{self, Signer};
use fieldbook_core::sync::to_cbor;

use sha2::Digest;

use super::log::HubView;
use super::store::Enrolment;
use super::{Exchange, HubStore};
use crate::testing::{START_MS, TestClock, TestRandom, varint};

const DEVICE: DeviceId = DeviceId([1; 16]);
const SERVER_KEY: [u8; 32] = [5; 32];

fn phone_key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn feed() -> FeedId {
    FeedId { unit: "T1".into(), area: Area::Aid }
}

/// A hub that serves one phone.
fn hub(folder: &std::path::Path) -> HubStore {
    let clock = Arc::new(TestClock(AtomicI64::new(START_MS)));
    let store = HubStore::open(folder, None, clock, Arc::new(TestRandom::default())).unwrap();
    let enrolment = Enrolment {
        host: "office".into(),
        port: 1,
        root_key: [4; 32],
        device: DeviceId([2; 16]),
        log: LogId([6; 16]),
        server_key: SERVER_KEY,
        successor: None,
    };
    store.put_enrolment(&enrolment).unwrap();
    let key = phone_key().public_key();
    let served = ServedDevice { device: DEVICE, key, user: UserId([7; 16]), revoked: false, feeds: vec![feed()] };
    change(&store, |log| {
        log.set_mirrored(&[(feed(), 1)]).unwrap();
        log.put_devices(&[served]).unwrap();
    });
    store
}

fn change(store: &HubStore, work: impl FnOnce(&mut HubView<'_>)) {
    let mut log = HubView::new(store);
    log.begin().unwrap();
    work(&mut log);
    log.commit().unwrap();
}

/// The phone's request, which brings nothing and shows these cursors; its first unsent change is behind `base`.
fn asks(store: &HubStore, counter: u64, base: (u64, StatementHash), cursors: Vec<CursorState>) -> Exchange {
    let header = to_cbor(&RequestHeader {
        version: PROTOCOL_VERSION,
        device: DEVICE,
        server_key: signing::hub_key_id(&SERVER_KEY),
        counter,
        cursors: Cursors::Full { log: None, registry: 0, cursors },
        device_time_ms: START_MS,
        probe: false,
        in_full: false,
        verdicts: 0,
        forms: None,
        segments: None,
        township: Some(Township::ToHub { base: Some((base.0, base.1.into())) }),
    });
    let signature = signing::sign(&phone_key(), signing::REQUEST, &header);
    let body = [varint(header.len()), header, signature.to_vec()].concat();
    let mut exchange = Exchange::default();
    exchange.receive(store, &body).unwrap();
    exchange
}

/// What the hub tells the phone of its statements.
fn told(store: &HubStore, counter: u64, base: (u64, StatementHash)) -> (u64, Vec<u8>) {
    let mut exchange = asks(store, counter, base, Vec::new());
    let mut reader = FrameReader::<Down>::new();
    reader.push(&exchange.begin_answer(store).unwrap());
    let first = reader.next_frame().unwrap().unwrap().remove(0);
    let Down::Hello { statement, statement_hash, .. } = first else { panic!("{first:?}") };
    (statement, statement_hash.to_vec())
}

#[test]
fn a_hub_goes_on_behind_what_it_has_and_not_behind_what_the_server_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = hub(folder.path());
    // The server has a statement of the phone that never came by this hub, and perhaps not all of its changes.
    let hosted = Hosted {
        device: DEVICE,
        statement: 3,
        statement_hash: [33; 32],
        taken: Some((3, 0)),
        through: None,
        failure: None,
    };
    change(&store, |log| log.put_hosted(&hosted).unwrap());
    // The phone still has something of it: without the statement, the hub could take none of that.
    assert_eq!(told(&store, 1, (2, [22; 32])), (2, vec![22; 32]));
    // Where it has nothing below, the hub goes on behind the server.
    change(&store, |log| log.put_hosted(&hosted).unwrap());
    assert_eq!(told(&store, 2, (3, [33; 32])), (3, vec![33; 32]));
    assert_eq!(told(&store, 3, (4, [44; 32])), (4, vec![44; 32]));
}

/// The phone brings one change of this feed, at this place of its first statement.
fn brings(log: &mut HubView<'_>, feed: &FeedId, index: u32) {
    let hash = ChangeHash([10 + index as u8; 32]);
    let change = TakenChange {
        device: DEVICE,
        user: UserId([7; 16]),
        actor: ActorId([8; 16]),
        statement: 1,
        index,
        feed,
        record: RecordId([9; 16]),
        kind: "note",
        created_version: "1",
        form_version: "1",
        hash,
        bytes: b"what somebody has written",
        received_ms: START_MS,
        quarantine: None,
        relayed: false,
    };
    log.take_change(&change).unwrap();
}

#[test]
fn what_a_hub_may_not_follow_leaves_it_as_soon_as_the_server_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = hub(folder.path());
    let money = FeedId { unit: "T1".into(), area: Area::Finance };
    change(&store, |log| {
        for (index, feed) in [feed(), money.clone(), money].iter().enumerate() {
            brings(log, feed, index as u32);
        }
    });
    let items = || -> Vec<u32> {
        let listed = store.read(|tx| {
            let mut statement = tx.prepare("SELECT item FROM bodies ORDER BY item")?;
            Ok(statement.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?)
        });
        listed.unwrap()
    };
    store.prune().unwrap();
    assert_eq!(items(), [0, 1, 2], "the server has nothing of it yet");
    let (statement, statement_hash, through) = (1, [11; 32], Some((1, 1)));
    let hosted = Hosted { device: DEVICE, statement, statement_hash, taken: None, through, failure: None };
    change(&store, |log| log.put_hosted(&hosted).unwrap());
    store.prune().unwrap();
    // Nobody would tell the hub where its record is erased for ever. What it follows, it keeps until it is mirrored.
    assert_eq!(items(), [0, 2]);
}

/// The mirror comes to this many entries, with a head in this epoch over the last.
fn mirrors(log: &mut HubView<'_>, entries: std::ops::RangeInclusive<u64>, epoch: u32) {
    let chain =
        |position: u64| sha2::Sha256::digest([position.to_le_bytes(), u64::from(epoch).to_le_bytes()].concat()).into();
    let last = *entries.end();
    for position in entries {
        let body = EntryBody::Erased(chain(position));
        let entry = Entry { position, received_ms: START_MS, body };
        log.put_mirrored(&feed(), &Mirrored { entry, record: None, hash: None, chain: chain(position) }).unwrap();
    }
    let (chain, time_ms, signature) = (chain(last), START_MS, [epoch as u8; 64]);
    let head = SignedHead { log: LogId([6; 16]), feed: feed(), epoch, position: last, chain, time_ms, signature };
    log.put_signed(&head).unwrap();
}

fn nothing_seen() -> Vec<CursorState> {
    vec![CursorState { feed: feed(), epoch: 1, position: 0, chain: [0; 32], signed: true }]
}

#[test]
fn an_answer_shows_nothing_of_an_epoch_that_the_phone_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let store = hub(folder.path());
    let mut exchange = asks(&store, 1, (0, [0; 32]), nothing_seen());
    // The server was restored; the hub hears of it between the phone's request and its answer.
    change(&store, |log| {
        log.set_mirrored(&[(feed(), 2)]).unwrap();
        mirrors(log, 1..=1, 2);
    });
    let mut reader = FrameReader::<Down>::new();
    reader.push(&exchange.begin_answer(&store).unwrap());
    let said = reader.next_frame().unwrap().unwrap();
    assert!(matches!(said[..], [Down::Hello { .. }, Down::Done { more: false, .. }]), "{said:?}");
}

#[test]
fn an_answer_breaks_off_where_the_mirror_moves_under_it() {
    // It goes back and no further, or comes to as many other entries.
    for (epoch, through) in [(1, 20), (2, 6_100)] {
        let folder = tempfile::tempdir().unwrap();
        let store = hub(folder.path());
        change(&store, |log| mirrors(log, 1..=6_000, 1));
        let mut exchange = asks(&store, 1, (0, [0; 32]), nothing_seen());
        exchange.begin_answer(&store).unwrap();
        change(&store, |log| {
            log.rewind(&feed(), 10).unwrap();
            log.set_mirrored(&[(feed(), epoch)]).unwrap();
            mirrors(log, 11..=through, epoch);
        });
        let ended = loop {
            match exchange.next_frame(&store) {
                Ok(Some(_)) => {}
                ended => break ended,
            }
        };
        assert!(ended.is_err(), "a phone would take the hub for a liar: {ended:?}");
    }
}
