//! A server's answer, whole: `sync::phone::Exchange` with feeds, entries, verdicts, signed heads.
//!
//! Input: flags, then messages as pieces; an empty piece ends a frame. With `REPAIRED`, entries are numbered, changes
//! carry their checksums, and heads are signed over the chain that the phone will have computed.

use std::collections::BTreeMap;

use fieldbook_core::document::Document;
use fieldbook_core::ids::RecordId;
use fieldbook_core::protocol::{Down, Entry, EntryBody, Notice};
use fieldbook_core::sync::phone::{Exchange, PhoneLog};
use fieldbook_core::sync::{chain, change_hash, from_cbor, signing, to_cbor};

use crate::bytes::{join, mutate_behind_flags, mutate_cbor, mutate_pieces, pieces};
use crate::frames::compressed;
use crate::memory::phone_log;
use crate::request::{NOW_MS, WORLD, answered, messages, phone_of, server_of, server_signer, signer_of};
use crate::{Limits, Meter, Target, cbor, fixture};

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
    if flags & REPAIRED != 0 {
        repair(&mut parts, phone(*flags));
    }
    let frames: Vec<Vec<u8>> = parts.split(Vec::is_empty).map(<[Vec<u8>]>::concat).collect();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).filter(|frame| !frame.is_empty()).collect();
    let body = compressed(&frames);
    let mut log = phone_of(phone(*flags));
    let signer = signer_of(log.data.identity.device);
    let random = fixture::Counting::default();
    let Ok((mut exchange, _)) = Exchange::begin(&mut log, &signer, &random, NOW_MS) else { return };
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
    let mut feeds: Vec<_> =
        data.feeds.iter().map(|feed| (feed.feed.clone(), feed.epoch, feed.position, feed.chain)).collect();
    let mut salts: BTreeMap<RecordId, [u8; 8]> =
        data.metas.iter().filter_map(|(record, meta)| Some((*record, meta.salt?))).collect();
    for part in parts {
        let Some(message) = from_cbor::<Down>(part) else { continue };
        let fixed = match message {
            Down::Feeds { registry, feeds: listed, roles } => {
                let held = |feed: &_, epoch| feeds.iter().find(|held| held.0 == *feed && held.1 == epoch).cloned();
                feeds = listed
                    .iter()
                    .map(|(feed, epoch)| held(feed, *epoch).unwrap_or((feed.clone(), *epoch, 0, chain::START)))
                    .collect();
                Down::Feeds { registry, feeds: listed, roles }
            }
            Down::Entry { feed, entry } => {
                let Some(place) = feeds.get_mut(feed as usize) else { continue };
                let (body, leaf) = with_leaf(entry.body, data, &mut salts);
                let entry = Entry { position: place.2 + 1, body, ..entry };
                if let Some(leaf) = leaf {
                    place.2 += 1;
                    place.3 = chain::next(&place.3, entry.position, entry.received_ms, &leaf);
                }
                Down::Entry { feed, entry }
            }
            Down::Head(mut head) => {
                if let Some(place) = feeds.iter().find(|held| held.0 == head.feed) {
                    (head.log, head.epoch) = (data.identity.log, place.1);
                    (head.position, head.chain) = (place.2, place.3);
                }
                Down::Head(signing::sign_head(&server_signer(), head))
            }
            other => other,
        };
        *part = to_cbor(&fixed);
    }
}

/// The body with its checksums, and its leaf if it can be worked out.
fn with_leaf(
    body: EntryBody,
    data: &phone_log::Data,
    salts: &mut BTreeMap<RecordId, [u8; 8]>,
) -> (EntryBody, Option<[u8; 32]>) {
    match body {
        EntryBody::Change { record, first, bytes } => {
            let bytes = cbor::reseal(&bytes);
            salts.extend(first.iter().map(|first| (record, first.salt)));
            let leaf = salts.get(&record).zip(change_hash(&bytes)).map(|(salt, hash)| chain::change_leaf(salt, &hash));
            (EntryBody::Change { record, first, bytes: bytes.into() }, leaf)
        }
        EntryBody::Own { record, first, prefix } => {
            salts.extend(first.iter().map(|first| (record, first.salt)));
            let own = data.outbox.iter().find(|own| own.record == record && own.hash.0.starts_with(&prefix));
            let leaf = salts.get(&record).zip(own).map(|(salt, own)| chain::change_leaf(salt, &own.hash));
            (EntryBody::Own { record, first, prefix }, leaf)
        }
        other => {
            let leaf = chain::body_leaf(&other);
            (other, leaf)
        }
    }
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

/// A message that travels in parts: a form of 200 KB.
pub fn long_message() -> Down {
    let notice = Notice::Form { kind: "k".to_owned(), version: "1".to_owned(), form: vec![7; 200_000].into() };
    Down::Entry { feed: 0, entry: Entry { position: 1, received_ms: 0, body: EntryBody::Notice(notice) } }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for flags in [0, REPAIRED, BUSY, REPAIRED | BUSY] {
        let parts: Vec<Vec<u8>> = honest_answer(flags).iter().map(to_cbor).collect();
        seeds.push([vec![flags], join(&parts)].concat());
        let apart: Vec<Vec<u8>> = parts.into_iter().flat_map(|part| [part, Vec::new()]).collect();
        seeds.push([vec![flags], join(&apart)].concat());
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
            repair(&mut repaired, phone(flags));
            assert_eq!(parts, repaired);
        }
    }
}
