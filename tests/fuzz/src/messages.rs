//! Every message that comes in one piece: headers, messages of frames, statements, cursors, signed heads, errors,
//! enrolment both ways.
//!
//! Input: the kind of message, then its CBOR.

use std::fmt::Debug;

use fieldbook_core::access::{Area, Decision, FeedId, Role, Unit};
use fieldbook_core::ids::{ActorId, ChangeHash, DeviceId, LogId, UserId};
use fieldbook_core::protocol::{
    CursorState, Cursors, Down, EnrolAnswer, EnrolRequest, Entry, ErrorAnswer, ErrorKind, Notice, RequestHeader,
    Review, SignedHead, Statement, Up,
};
use fieldbook_core::sync::cursors::{CursorPoint, CursorSet};
use fieldbook_core::sync::{chain, from_cbor, signing, to_cbor};

use crate::bytes::{mutate_behind_flags, mutate_cbor};
use crate::{Limits, Meter, Target, answer, fixture, request};

/// The target. Memory: a list of the shortest items, in words of the machine.
pub const TARGET: Target = Target {
    name: "messages",
    limits: Limits { input_bytes: 64 * 1024, time_ms: 50, memory_bytes: 8 << 20, output_bytes: 128 * 1024 },
    run,
    mutate: |input, dice| {
        mutate_behind_flags(input, dice, |rest, dice| {
            let mut out = rest.to_vec();
            mutate_cbor(&mut out, dice);
            out
        });
    },
    seeds,
};

type Check = fn(&[u8], &mut Meter);

const KINDS: &[Check] = &[
    |bytes, meter| drop(read::<RequestHeader>(bytes, meter)),
    |bytes, meter| drop(read::<Statement>(bytes, meter)),
    |bytes, meter| {
        let _ = read::<CursorSet>(bytes, meter).map(|set| set.digest());
    },
    |bytes, meter| {
        if let Some(head) = read::<SignedHead>(bytes, meter) {
            assert!(!signing::verify_head(&request::server_key(), &head), "a head that nobody signed");
            let signed = signing::sign_head(&request::server_signer(), head);
            assert!(signing::verify_head(&request::server_key(), &signed));
        }
    },
    |bytes, meter| {
        let _ = read::<ErrorAnswer>(bytes, meter).map(|answer| answer.http_status());
    },
    |bytes, meter| {
        if let Some(request) = read::<EnrolRequest>(bytes, meter) {
            let EnrolRequest { device_key, code, signature, .. } = request;
            assert!(!signing::verify(&device_key, signing::ENROL, code.as_bytes(), &signature), "nobody signed this");
        }
    },
    |bytes, meter| {
        if let Some(answer) = read::<EnrolAnswer>(bytes, meter) {
            let EnrolAnswer { server_key, server_key_signature, .. } = answer;
            let root = request::server_key();
            let signed = signing::verify(&root, signing::SERVER_KEY, &server_key, &server_key_signature);
            assert!(!signed, "nobody signed this");
        }
    },
    |bytes, meter| {
        let _ = read::<Entry>(bytes, meter).map(|entry| chain::body_leaf(&entry.body));
    },
    |bytes, meter| drop(read::<Notice>(bytes, meter)),
    |bytes, meter| drop(read::<Cursors>(bytes, meter)),
    |bytes, meter| drop(read::<Up>(bytes, meter)),
    |bytes, meter| drop(read::<Down>(bytes, meter)),
];

fn run(input: &[u8], meter: &mut Meter) {
    let Some((kind, bytes)) = input.split_first() else { return };
    KINDS[usize::from(*kind) % KINDS.len()](bytes, meter);
}

fn read<M>(bytes: &[u8], meter: &mut Meter) -> Option<M>
where
    M: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()> + PartialEq + Debug,
{
    let message: M = meter.measure(|| from_cbor(bytes))?;
    let cbor = to_cbor(&message);
    meter.output(cbor.len());
    assert_eq!(from_cbor::<M>(&cbor).as_ref(), Some(&message), "a message is read differently from how it is written");
    Some(message)
}

fn seeds() -> Vec<Vec<u8>> {
    let feed = FeedId { unit: "town".to_owned(), area: Area::Aid };
    let head = SignedHead {
        log: LogId([9; 16]),
        feed: feed.clone(),
        epoch: 1,
        position: 5,
        chain: [3; 32],
        time_ms: 1_790_000_000_000,
        signature: [0; 64],
    };
    let point = CursorPoint { feed: feed.clone(), epoch: 0, position: 3, chain: [1; 32] };
    let set = CursorSet { log: LogId([9; 16]), registry: 2, cursors: vec![point] };
    let state = CursorState { feed: feed.clone(), epoch: 0, position: 3, chain: [1; 32], signed: true };
    let cursors = Cursors::Full { log: Some(LogId([9; 16])), registry: 1, cursors: vec![state] };
    let error = ErrorAnswer {
        kind: ErrorKind::Replayed,
        detail: "again".to_owned(),
        retry_after_ms: Some(5_000),
        counter: Some(7),
    };
    let statement = Statement {
        version: 1,
        device: DeviceId([1; 16]),
        number: 1,
        previous: [0; 32],
        feed,
        actor: ActorId([2; 16]),
        user: UserId([3; 16]),
        changes: fixture::changes().iter().map(|change| change.hash).collect(),
    };
    let header = request::header(cursors.clone());
    let (ask, answer) = enrolment();
    let review = Notice::Review(Review {
        record: fixture::RECORD,
        heads: vec![ChangeHash([1; 32])],
        decision: Decision::Return,
        reasons: "again".to_owned(),
        fields: vec!["name".to_owned()],
        reviewer: UserId([4; 16]),
        reviewer_name: "卓玛".to_owned(),
        time_ms: 1,
        same_as: None,
    });
    let entry = Entry {
        position: 1,
        received_ms: 1_790_000_000_000,
        body: fieldbook_core::protocol::EntryBody::Notice(review.clone()),
    };
    let all = [
        to_cbor(&header),
        to_cbor(&statement),
        to_cbor(&set),
        to_cbor(&head),
        to_cbor(&error),
        to_cbor(&ask),
        to_cbor(&answer),
        to_cbor(&entry),
        to_cbor(&review),
        to_cbor(&cursors),
    ];
    let up = request::honest_messages().iter().map(|message| (all.len(), to_cbor(message))).collect::<Vec<_>>();
    let down = answer::honest_messages().iter().map(|message| (all.len() + 1, to_cbor(message))).collect::<Vec<_>>();
    let kinds = all.into_iter().enumerate().chain(up).chain(down);
    kinds.map(|(kind, cbor)| [&[kind as u8][..], &cbor].concat()).collect()
}

fn enrolment() -> (EnrolRequest, EnrolAnswer) {
    let code = "0123456789ABCDEFGHJKMNPQRS".to_owned();
    let ask = EnrolRequest {
        version: 1,
        code,
        device_key: request::server_key(),
        signature: [1; 64],
        device_name: "phone".to_owned(),
    };
    let unit =
        Unit { code: "town".to_owned(), name: "乡".to_owned(), parent: Some("county".to_owned()), division: None };
    let answer = EnrolAnswer {
        device: DeviceId([1; 16]),
        user: UserId([3; 16]),
        user_name: "才让".to_owned(),
        unit,
        roles: vec![(Role::Field, "town".to_owned())],
        log: LogId([9; 16]),
        server_key: request::server_key(),
        server_key_signature: [2; 64],
        server_name: "县".to_owned(),
        areas: vec![Area::General, Area::Aid],
    };
    (ask, answer)
}
