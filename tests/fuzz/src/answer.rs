//! A server's answer, whole: `sync::phone::Exchange` with feeds, entries, verdicts, signed heads.
//!
//! Input: flags, then messages as pieces; an empty piece ends a frame. With `REPAIRED`, entries are numbered, changes
//! carry their checksums, and heads are signed over the chain that the phone will have computed.

use std::collections::BTreeMap;

use fieldbook_core::access::FeedId;
use fieldbook_core::document::Document;
use fieldbook_core::forms::FormDefinition;
use fieldbook_core::ids::{ChangeHash, RecordId};
use fieldbook_core::protocol::limits::CHANGES_CHECK_BYTES;
use fieldbook_core::protocol::{ChangesDown, Down, Entry, RecordStart, SignedHead};
use fieldbook_core::sync::phone::{Exchange, PhoneLog};
use fieldbook_core::sync::{chain, from_cbor, pack_form, signing, to_cbor};
use sha2::{Digest, Sha256};

use crate::bytes::{join, mutate_behind_flags, mutate_cbor, mutate_pieces, pieces};
use crate::frames::compressed;
use crate::holds::{Holds, resealed};
use crate::memory::phone_log;
use crate::request::{NOW_MS, WORLD, answered, messages, phone_of, run_of, server_of, server_signer, signer_of};
use crate::{Limits, Meter, Target, fixture};

/// The target. Output: what the phone holds more than before.
pub const TARGET: Target = Target {
    name: "answer",
    limits: Limits { input_bytes: 32 * 1024, time_ms: 250, memory_bytes: 50 << 20, output_bytes: 1 << 20 },
    run,
    mutate: |input, dice| {
        mutate_behind_flags(input, dice, |rest, dice| mutate_pieces(rest, dice, mutate_cbor));
    },
    seeds,
};

const REPAIRED: u8 = 1;
/// The phone that has everything and something to send, else one before its first exchange.
const BUSY: u8 = 2;

fn phone(flags: u8) -> &'static phone_log::Data {
    if flags & BUSY == 0 { &WORLD.fresh } else { &WORLD.busy }
}

fn run(input: &[u8], meter: &mut Meter) {
    let Some((flags, rest)) = input.split_first() else { return };
    let mut parts: Vec<Vec<u8>> = pieces(rest).into_iter().map(<[u8]>::to_vec).collect();
    let mut log = phone_of(phone(*flags));
    let signer = signer_of(log.data.identity.device);
    let random = fixture::Counting::default();
    let Ok((mut exchange, _)) = Exchange::begin(&mut log, &signer, &random, NOW_MS) else { return };
    if flags & REPAIRED != 0 {
        repair(&mut parts, &log.data);
    }
    let frames: Vec<Vec<u8>> = parts.split(Vec::is_empty).map(<[Vec<u8>]>::concat).collect();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).filter(|frame| !frame.is_empty()).collect();
    let body = compressed(&frames);
    meter.measure(|| {
        let told = body.chunks(997).try_for_each(|piece| exchange.receive(&mut log, piece).map(|_| ()));
        if told.is_ok() {
            let _ = exchange.finish(&mut log, &random);
        }
    });
    let held = |data: &phone_log::Data| data.documents.values().map(|document| document.save().len()).sum::<usize>();
    meter.output(held(&log.data).saturating_sub(held(phone(*flags))));
    for document in log.data.documents.values() {
        let again = Document::load(&document.save());
        assert_eq!(again.map(|again| again.heads()).ok(), Some(document.heads()), "a record changes by being stored");
    }
    log.rollback();
    let again = Exchange::begin(&mut log, &signer, &random, NOW_MS);
    assert!(again.is_ok(), "a phone cannot ask again after an answer");
}

/// Numbers entries and signs heads as an honest server would.
fn repair(parts: &mut [Vec<u8>], data: &phone_log::Data) {
    let mut earlier = BTreeMap::new();
    let mut forms = phone_of(data);
    let mut feeds: Vec<Reached> =
        data.feeds.iter().map(|feed| (feed.feed.clone(), feed.epoch, feed.position, feed.chain)).collect();
    let mut salts: BTreeMap<RecordId, [u8; 8]> =
        data.metas.iter().filter_map(|(record, meta)| Some((*record, meta.salt?))).collect();
    let mut hello_ms = 0_i64;
    for part in parts {
        let Some(message) = from_cbor::<Down>(part) else { continue };
        if let Down::Hello { server_time_ms, .. } = message {
            hello_ms = server_time_ms;
        }
        let fixed = match message {
            Down::Feeds { registry, feeds: listed, roles, unit } => {
                let held = |feed: &_| feeds.iter().find(|held| held.0 == *feed).map(|held| (held.2, held.3));
                feeds = listed
                    .iter()
                    .map(|(feed, epoch)| {
                        let (position, chain) = held(feed).unwrap_or((0, chain::START));
                        (feed.clone(), *epoch, position, chain)
                    })
                    .collect();
                Down::Feeds { registry, feeds: listed, roles, unit }
            }
            Down::Entry { feed, entry } => {
                let Some(place) = feeds.get_mut(feed as usize) else { continue };
                let entry = Entry { position: place.2 + 1, ..entry };
                if let Some(leaf) = chain::body_leaf(&entry.body) {
                    place.2 += 1;
                    place.3 = chain::next(&place.3, entry.position, entry.received_ms, &leaf);
                }
                Down::Entry { feed, entry }
            }
            Down::Changes(mut message) => {
                let mut known = (&mut salts, &mut earlier, &mut forms);
                let _ = repair_changes(&mut message, data, &mut feeds, &mut known);
                Down::Changes(message)
            }
            Down::Head { feed, after_ms, .. } => {
                let time_ms = hello_ms.saturating_add(after_ms);
                let Some(place) = feeds.get(feed as usize) else { continue };
                let (held, epoch, position, chain) = place.clone();
                let log = data.identity.log;
                let head = SignedHead { log, feed: held, epoch, position, chain, time_ms, signature: [0; 64] };
                let SignedHead { signature, .. } = signing::sign_head(&server_signer(), head);
                Down::Head { feed, after_ms, signature }
            }
            Down::Form(form) => {
                if let Some(definition) = from_cbor::<FormDefinition>(&form) {
                    let _ = forms.put_form(&definition.kind, &definition.version, &form);
                }
                Down::Form(form)
            }
            other => other,
        };
        *part = to_cbor(&fixed);
    }
}

/// A feed, its epoch, and where its chain has come.
type Reached = (FeedId, u32, u64, [u8; 32]);

/// What earlier messages told: salts, changes, and a phone that has heard of their forms.
type Known<'a> =
    (&'a mut BTreeMap<RecordId, [u8; 8]>, &'a mut BTreeMap<RecordId, Vec<ChangeHash>>, &'a mut phone_log::MemoryPhone);

/// Numbers the entries of a message, lets raw changes carry their checksums, and the message the check over all hashes.
fn repair_changes(
    message: &mut ChangesDown,
    data: &phone_log::Data,
    feeds: &mut [Reached],
    (salts, earlier, forms): &mut Known<'_>,
) -> Option<()> {
    let count = message.runs.iter().map(|(_, _, count)| *count as usize).sum::<usize>().min(1_000);
    let mut found: Vec<Option<(RecordId, ChangeHash)>> = vec![None; count];
    for (at, statement, index, own) in &message.own {
        for n in 0..(*own).min(1_000) {
            let place = Some((*statement, index.checked_add(n)?));
            let own = data.outbox.iter().find(|own| own.statement == place)?;
            *found.get_mut((*at as usize).checked_add(n as usize)?)? = Some((own.record, own.hash));
        }
    }
    let others: Vec<usize> = (0..count).filter(|at| found[*at].is_none()).collect();
    let starts: BTreeMap<usize, &RecordStart> =
        message.starts.iter().map(|(at, start)| (*at as usize, start)).collect();
    let (mut records, mut changes) = (phone_of(data), phone_of(data));
    let mut holds = Holds {
        record: &mut |prefix| records.record_by_prefix(prefix).ok().flatten(),
        creation: &mut |at, record| {
            let start = starts.get(others.get(at)?)?;
            let form = forms.form(&start.kind, Some(&start.created_version)).ok().flatten()?;
            Document::creation_of(*record, &form).ok()
        },
        change: &mut |record, prefix| changes.change_by_prefix(record, prefix).ok().flatten(),
        earlier,
    };
    let (bodies, packed) = resealed(&message.packed, others.len(), &mut holds)?;
    for (at, body) in others.iter().zip(bodies) {
        found[*at] = Some((body.record, body.hash?));
    }
    salts.extend(starts.iter().filter_map(|(at, start)| Some((found.get(*at)?.as_ref()?.0, start.salt))));
    message.packed = packed.into();
    let hashes: Vec<u8> = found.iter().flatten().flat_map(|(_, hash)| hash.0).collect();
    message.check.copy_from_slice(&Sha256::digest(hashes)[..CHANGES_CHECK_BYTES]);
    let mut times = run_of(message.times.iter().copied()).into_iter();
    let (mut time_ms, mut found) = (0_i64, found.into_iter().flatten());
    for (feed, position, count) in &mut message.runs {
        let place = feeds.get_mut(*feed as usize)?;
        *position = place.2 + 1;
        for _ in 0..*count {
            let (record, hash) = found.next()?;
            time_ms = time_ms.checked_add(times.next()?)?;
            place.2 += 1;
            place.3 = chain::next(&place.3, place.2, time_ms, &chain::change_leaf(salts.get(&record)?, &hash));
        }
    }
    Some(())
}

/// What the server answers to a phone.
fn honest_answer(flags: u8) -> Vec<Down> {
    let mut log = phone_of(phone(flags));
    let signer = signer_of(log.data.identity.device);
    let random = fixture::Counting::default();
    let begun = Exchange::begin(&mut log, &signer, &random, NOW_MS);
    let request = begun.ok().map(|(_, request)| request.body()).unwrap_or_default();
    answered(&mut server_of(&WORLD.server), &request).map(|frames| messages(&frames)).unwrap_or_default()
}

/// The messages of both answers, as frames hand them out.
pub fn honest_messages() -> Vec<Down> {
    [honest_answer(0), honest_answer(BUSY)].concat()
}

/// The forms of both answers, as frames carry them.
pub fn packed_forms() -> Vec<Down> {
    let mut largest: Option<Vec<u8>> = None;
    let mut packed = Vec::new();
    for message in honest_messages() {
        let Down::Form(form) = message else { continue };
        packed.extend(pack_form(&form, largest.as_deref()).map(|form| Down::PackedForm(form.into())));
        largest = [largest, Some(form.to_vec())].into_iter().flatten().rev().max_by_key(Vec::len);
    }
    packed
}

/// A message that travels in parts: a form of 200 KB.
pub fn long_message() -> Down {
    Down::Form(vec![7; 200_000].into())
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for flags in [0, REPAIRED, BUSY, REPAIRED | BUSY] {
        let parts: Vec<Vec<u8>> = honest_answer(flags).iter().map(to_cbor).collect();
        seeds.push([vec![flags], join(&parts)].concat());
        let apart: Vec<Vec<u8>> = parts.into_iter().flat_map(|part| [part, Vec::new()]).collect();
        seeds.push([vec![flags], join(&apart)].concat());
        let mut forms = packed_forms().into_iter();
        let packed = |message| if matches!(message, Down::Form(_)) { forms.next() } else { Some(message) };
        let parts: Vec<Vec<u8>> =
            honest_answer(flags).into_iter().filter_map(packed).map(|one| to_cbor(&one)).collect();
        seeds.push([vec![flags], join(&parts)].concat());
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairing_an_honest_answer_changes_nothing() {
        for flags in [0, BUSY] {
            let parts: Vec<Vec<u8>> = honest_answer(flags).iter().map(to_cbor).collect();
            assert!(!parts.is_empty());
            let mut repaired = parts.clone();
            let mut log = phone_of(phone(flags));
            let signer = signer_of(log.data.identity.device);
            assert!(Exchange::begin(&mut log, &signer, &fixture::Counting::default(), NOW_MS).is_ok());
            repair(&mut repaired, &log.data);
            let differs = parts.iter().zip(&repaired).position(|(honest, repaired)| honest != repaired);
            assert_eq!(differs, None, "flags {flags}");
        }
    }
}
