//! A request from a phone, whole: `sync::server::Session` with header, statements and changes, and its answer.
//!
//! Input: flags, then pieces: the header's CBOR, then messages; an empty piece ends a frame. The header is signed with
//! the device's key. With `REPAIRED`, header and statements name what they should, statements are signed and list the
//! changes' hashes, and changes carry their checksums.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use ed25519_dalek::SigningKey;
use fieldbook_core::access::{Area, FeedId, Role};
use fieldbook_core::forms::{Edit, FieldPath, Scalar};
use fieldbook_core::ids::{ActorId, ChangeHash, DeviceId, LogId, RecordId, UserId};
use fieldbook_core::protocol::{
    ChangesUp, Cursors, Down, RequestHeader, Statement, StatementHash, Up, limits::PROTOCOL_VERSION,
};
use fieldbook_core::sync::frames::{FrameReader, Message};
use fieldbook_core::sync::phone::{Exchange, PhoneIdentity, Request};
use fieldbook_core::sync::server::{ServerLog, Session};
use fieldbook_core::sync::signing::{self, Signer};
use fieldbook_core::sync::{from_cbor, to_cbor};

use crate::bytes::{join, mutate_behind_flags, mutate_cbor, mutate_pieces, pieces};
use crate::frames::compressed;
use crate::holds::{Holds, resealed};
use crate::hostile::uleb;
use crate::memory::phone_log::MemoryPhone;
use crate::memory::server_log::{self, MemoryServer, general};
use crate::{Limits, Meter, Target, fixture};

/// The target. Output: what a phone without anything is owed here, and verdicts.
pub const TARGET: Target = Target {
    name: "request",
    limits: Limits { input_bytes: 32 * 1024, time_ms: 250, memory_bytes: 50 << 20, output_bytes: 256 * 1024 },
    run,
    mutate: |input, dice| {
        mutate_behind_flags(input, dice, |rest, dice| mutate_pieces(rest, dice, mutate_cbor));
    },
    seeds,
};

/// The server's clock, milliseconds since 1970.
pub const NOW_MS: i64 = fixture::NOW_S * 1000;
const REPAIRED: u8 = 1;
const REVOKED: u8 = 2;
const DEVICE: DeviceId = DeviceId([1; 16]);
const USER: UserId = UserId([101; 16]);
pub const LOG: LogId = LogId([9; 16]);

/// The key that signs heads.
pub fn server_signer() -> SigningKey {
    SigningKey::from_bytes(&[200; 32])
}

/// Its public half.
pub fn server_key() -> [u8; 32] {
    server_signer().public_key()
}

/// The key of a device.
pub fn signer_of(device: DeviceId) -> SigningKey {
    SigningKey::from_bytes(&[device.0[0]; 32])
}

/// A server with a form and a record, a phone that never asked, and one that has all of it and something to send.
pub struct World {
    /// The server's log.
    pub server: server_log::Data,
    /// A phone before its first exchange.
    pub fresh: crate::memory::phone_log::Data,
    /// A phone with two unsent changes.
    pub busy: crate::memory::phone_log::Data,
}

/// That world, made once.
#[allow(clippy::expect_used)]
pub static WORLD: LazyLock<World> = LazyLock::new(|| world().expect("the fixture syncs"));

/// A log in memory that holds this.
pub fn server_of(data: &server_log::Data) -> MemoryServer {
    let mut server = MemoryServer::new(LOG);
    server.data = data.clone();
    server
}

/// A phone that holds this.
pub fn phone_of(data: &crate::memory::phone_log::Data) -> MemoryPhone {
    let mut phone = MemoryPhone::new(data.identity.clone(), data.actor, "town");
    phone.data = data.clone();
    phone
}

/// A header of the device.
pub fn header(cursors: Cursors) -> RequestHeader {
    RequestHeader {
        version: PROTOCOL_VERSION,
        device: DEVICE,
        server_key: signing::key_id(&server_key()),
        counter: 1_000,
        cursors,
        device_time_ms: NOW_MS,
        probe: false,
        in_full: false,
        verdicts: 0,
        forms: None,
        segments: None,
        township: None,
    }
}

fn world() -> Option<World> {
    let town = FeedId { unit: "town".to_owned(), area: Area::Aid };
    let mut server = MemoryServer::new(LOG);
    server.publish(fixture::form().definition().clone(), NOW_MS);
    let mut enrol = |number: u8| {
        let (device, user) = (DeviceId([number; 16]), UserId([number + 100; 16]));
        let key = signer_of(device).public_key();
        server.add_device(device, user, key, Role::Field, &[general(), town.clone()]);
        let identity = PhoneIdentity { device, user, log: LOG, server_key: server_key() };
        MemoryPhone::new(identity, ActorId([number + 0x10; 16]), "town")
    };
    let (mut phone, mut other, fresh) = (enrol(DEVICE.0[0]), enrol(2), enrol(3));
    exchange(&mut phone, &mut server)?;
    exchange(&mut other, &mut server)?;
    let set = |field: &str, value: &str| Edit::Set {
        path: FieldPath::root(field),
        value: Some(Scalar::Text(value.to_owned())),
    };
    phone.save(RecordId([8; 16]), fixture::NOW_S, &[set("name", "才让")]);
    exchange(&mut phone, &mut server)?;
    exchange(&mut other, &mut server)?;
    other.save(RecordId([8; 16]), fixture::NOW_S, &[set("name", "次仁")]);
    other.save(RecordId([5; 16]), fixture::NOW_S, &[set("name", "卓玛"), set("phone", "13900000000")]);
    exchange(&mut other, &mut server)?;
    phone.save(RecordId([8; 16]), fixture::NOW_S, &[set("phone", "13800000000")]);
    phone.save(fixture::RECORD, fixture::NOW_S, &[set("name", "扎西")]);
    Some(World { server: server.data, fresh: fresh.data, busy: phone.data })
}

fn exchange(phone: &mut MemoryPhone, server: &mut MemoryServer) -> Option<()> {
    let random = fixture::Counting::default();
    let signer = signer_of(phone.data.identity.device);
    let (mut exchange, request) = Exchange::begin(phone, &signer, &random, NOW_MS).ok()?;
    for frame in answered(server, &request.body())? {
        exchange.receive(phone, &frame).ok()?;
    }
    exchange.finish(phone, &random).ok().map(|_| ())
}

/// The frames that a server answers.
pub fn answered(server: &mut MemoryServer, body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut session = Session::new(Arc::new(server_signer()));
    session.receive(server, NOW_MS, body).ok()?;
    session.end_of_request(server).ok()?;
    let mut frames = Vec::new();
    while let Some(frame) = session.next_frame(server, NOW_MS).ok()? {
        frames.push(frame);
    }
    Some(frames)
}

/// What the busy phone sends.
fn honest_request() -> Option<Request> {
    let mut phone = phone_of(&WORLD.busy);
    let begun = Exchange::begin(&mut phone, &signer_of(DEVICE), &fixture::Counting::default(), NOW_MS);
    begun.ok().map(|(_, request)| request)
}

/// All messages of some frames.
pub fn messages<M: Message>(frames: &[Vec<u8>]) -> Vec<M> {
    let mut reader = FrameReader::new();
    let mut found = Vec::new();
    for frame in frames {
        reader.push(frame);
        while let Ok(Some(messages)) = reader.next_frame() {
            found.extend(messages);
        }
    }
    found
}

/// The messages of an honest upload.
pub fn honest_messages() -> Vec<Up> {
    honest_request().map(|request| messages(&request.frames)).unwrap_or_default()
}

fn run(input: &[u8], meter: &mut Meter) {
    let Some((flags, rest)) = input.split_first() else { return };
    let mut parts: Vec<Vec<u8>> = pieces(rest).into_iter().map(<[u8]>::to_vec).collect();
    if parts.is_empty() {
        return;
    }
    if flags & REPAIRED != 0 {
        repair(&mut parts);
    }
    let body = body_of(&parts);
    let mut server = server_of(&WORLD.server);
    if let Some(device) = server.data.devices.get_mut(&DEVICE) {
        device.row.revoked = flags & REVOKED != 0;
    }
    let frames = meter.measure(|| {
        let mut session = Session::new(Arc::new(server_signer()));
        body.chunks(997).try_for_each(|piece| session.receive(&mut server, NOW_MS, piece)).ok()?;
        session.end_of_request(&mut server).ok()?;
        let mut frames = Vec::new();
        while let Some(frame) = session.next_frame(&mut server, NOW_MS).ok()? {
            frames.push(frame);
        }
        Some(frames)
    });
    let Some(frames) = frames else { return };
    meter.output(frames.iter().map(Vec::len).sum());
    let told: Vec<Down> = messages(&frames);
    let ended = matches!(told.last(), Some(Down::Done { .. } | Down::Error(_)));
    assert!(ended, "an answer ends without saying so: {told:?}");
}

fn body_of(parts: &[Vec<u8>]) -> Vec<u8> {
    let Some((header, messages)) = parts.split_first() else { return Vec::new() };
    let mut body = Vec::new();
    uleb(header.len() as u64, &mut body);
    body.extend_from_slice(header);
    body.extend_from_slice(&signing::sign(&signer_of(DEVICE), signing::REQUEST, header));
    let frames: Vec<Vec<u8>> = messages.split(Vec::is_empty).map(<[Vec<u8>]>::concat).collect();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).filter(|frame| !frame.is_empty()).collect();
    body.extend_from_slice(&compressed(&frames));
    body
}

fn repair(parts: &mut [Vec<u8>]) {
    if let Some(held) = from_cbor::<RequestHeader>(&parts[0]) {
        let fresh = header(Cursors::Digest([0; 16]));
        let RequestHeader { version, device, server_key, .. } = fresh;
        parts[0] = to_cbor(&RequestHeader { version, device, server_key, counter: held.counter.max(1_000), ..held });
    }
    let row = WORLD.server.devices.get(&DEVICE).map(|device| (device.row.statement, device.row.statement_hash));
    let (number, hash) = row.unwrap_or_default();
    let held = server_of(&WORLD.server).statement(&DEVICE, number).ok().flatten();
    let held = held.and_then(|held| from_cbor::<Statement>(&held.bytes));
    let mut last = (number, hash, held.map(|held| (held.feed, held.actor)));
    let mut earlier = BTreeMap::new();
    for part in &mut parts[1..] {
        let Some(Up::Changes(mut message)) = from_cbor::<Up>(part) else { continue };
        if repair_changes(&mut message, &mut last, &mut earlier).is_some() {
            *part = to_cbor(&Up::Changes(message));
        }
    }
}

/// The statement before: number, hash, feed and actor.
type Last = (u64, StatementHash, Option<(FeedId, ActorId)>);

/// Lets the changes carry their checksums, and the statement its number, what it lists and its signature.
fn repair_changes(
    message: &mut ChangesUp,
    last: &mut Last,
    earlier: &mut BTreeMap<RecordId, Vec<ChangeHash>>,
) -> Option<()> {
    let mut server = server_of(&WORLD.server);
    let mut creations = server_of(&WORLD.server);
    let mut changes = server_of(&WORLD.server);
    let forms = run_of(message.forms.iter().map(|form| (form.count, form)));
    let indices: Vec<u32> =
        message.items.iter().flat_map(|(first, count)| *first..first.saturating_add(*count)).take(1_001).collect();
    let mut holds = Holds {
        record: &mut |prefix| server.record_by_prefix(prefix).ok().flatten(),
        creation: &mut |at, record| {
            let under = match &forms.get(at)?.created {
                Some(under) => under.clone(),
                None => creations.created_under(record).ok().flatten()?,
            };
            creations.creation(record, &under.kind, &under.version).ok().flatten()
        },
        change: &mut |record, prefix| changes.change_by_prefix(record, prefix).ok().flatten(),
        earlier,
    };
    let (bodies, packed) = resealed(&message.packed, indices.len(), &mut holds)?;
    message.packed = packed.into();
    let Some(signed) = &mut message.signed else { return Some(()) };
    let mut listed = vec![None; (signed.length as usize).min(1_000)];
    for (index, body) in indices.iter().zip(&bodies) {
        *listed.get_mut(*index as usize)? = body.hash;
    }
    for (index, hash) in &signed.hashes {
        *listed.get_mut(*index as usize)? = Some(*hash);
    }
    let missing = (0..).zip(&listed).filter(|(_, hash)| hash.is_none()).map(|(at, _)| (at, ChangeHash([0; 32])));
    signed.hashes.extend(missing.collect::<Vec<_>>());
    message.statement = last.0 + 1;
    let [a, b, c, d, ..] = last.1;
    (signed.previous, signed.length) = ([a, b, c, d], listed.len() as u32);
    let by = signed.by.clone().or_else(|| last.2.clone())?;
    let statement = Statement {
        version: PROTOCOL_VERSION,
        device: DEVICE,
        number: message.statement,
        previous: last.1,
        feed: by.0.clone(),
        actor: by.1,
        user: USER,
        changes: listed.into_iter().map(|hash| hash.unwrap_or(ChangeHash([0; 32]))).collect(),
    };
    let bytes = to_cbor(&statement);
    signed.signature = signing::sign(&signer_of(DEVICE), signing::STATEMENT, &bytes);
    *last = (message.statement, signing::statement_hash(&bytes), Some(by));
    Some(())
}

/// Each item as often as its run says, up to what a message may bring.
pub fn run_of<T: Copy>(runs: impl Iterator<Item = (u32, T)>) -> Vec<T> {
    runs.flat_map(|(count, item)| std::iter::repeat_n(item, count as usize)).take(1_001).collect()
}

fn seeds() -> Vec<Vec<u8>> {
    let Some(request) = honest_request() else { return Vec::new() };
    let start = request.header.iter().position(|byte| byte & 0x80 == 0).unwrap_or(0) + 1;
    let head = request.header.get(start..request.header.len() - 64).unwrap_or_default().to_vec();
    let full = Cursors::Full { log: None, registry: 0, cursors: Vec::new() };
    let probe = RequestHeader { probe: true, ..header(full.clone()) };
    let mut upload = vec![head];
    upload.extend(honest_messages().iter().map(to_cbor));
    let mut seeds: Vec<Vec<u8>> =
        [0, REPAIRED, REPAIRED | REVOKED].iter().map(|flags| [vec![*flags], join(&upload)].concat()).collect();
    upload[0] = to_cbor(&header(full));
    upload.insert(2, Vec::new());
    seeds.push([vec![REPAIRED], join(&upload)].concat());
    seeds.push([vec![REPAIRED], join(&[to_cbor(&probe)])].concat());
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_honest_request_is_taken() {
        let seed = &seeds()[1];
        let mut parts: Vec<Vec<u8>> = pieces(&seed[1..]).into_iter().map(<[u8]>::to_vec).collect();
        repair(&mut parts);
        let mut server = server_of(&WORLD.server);
        let before = server.data.accepted.len();
        assert!(answered(&mut server, &body_of(&parts)).is_some());
        assert_eq!(server.data.accepted.len(), before + 2);
    }
}
