//! A segment, sealed by the phone's own server: `sync::phone::Download`, from whatever frames are in it.
//!
//! Input: flags, then messages as pieces; an empty piece ends a frame. With `DAMAGED`, one bit of the sealed bytes is
//! flipped, and nothing of that block may be taken.

use std::sync::LazyLock;

use fieldbook_core::access::Area;
use fieldbook_core::document::Document;
use fieldbook_core::protocol::Down;
use fieldbook_core::sync::frames::FrameReader;
use fieldbook_core::sync::phone::{Download, Exchange, Offered, PhoneLog, SyncError};
use fieldbook_core::sync::segment::{Opener, Range, seal};
use fieldbook_core::sync::server::Sealing;
use fieldbook_core::sync::{chain, to_cbor};

use crate::bytes::{join, mutate_behind_flags, mutate_cbor, mutate_pieces, pieces};
use crate::frames::compressed;
use crate::memory::phone_log;
use crate::request::{LOG, NOW_MS, WORLD, answered, phone_of, server_of, server_signer, signer_of};
use crate::{Limits, Meter, Target, fixture};

/// The target. Output: what the phone holds more than before.
pub const TARGET: Target = Target {
    name: "segment",
    limits: Limits { input_bytes: 32 * 1024, time_ms: 250, memory_bytes: 50 << 20, output_bytes: 1 << 20 },
    run,
    mutate: |input, dice| {
        mutate_behind_flags(input, dice, |rest, dice| mutate_pieces(rest, dice, mutate_cbor));
    },
    seeds,
};

const DAMAGED: u8 = 1;
/// Bytes in which they arrive: a hostile cache may cut them anywhere.
const PIECE_BYTES: usize = 997;

/// A phone that has the forms, and nothing of its feed yet.
static LISTED: LazyLock<phone_log::Data> = LazyLock::new(|| {
    let mut phone = phone_of(&WORLD.fresh);
    exchange(&mut phone, Sealing::default());
    let mut data = phone.data;
    data.documents.clear();
    data.metas.clear();
    data.entries.clear();
    for feed in data.feeds.iter_mut().filter(|feed| feed.feed.area == Area::Aid) {
        (feed.position, feed.chain, feed.head_position) = (0, chain::START, 0);
    }
    data
});

fn exchange(
    phone: &mut phone_log::MemoryPhone,
    seal_at: Sealing,
) -> Option<(Vec<Offered>, crate::memory::server_log::MemoryServer)> {
    let (random, signer) = (fixture::Counting::default(), signer_of(phone.data.identity.device));
    let mut server = server_of(&WORLD.server);
    server.seal_at = seal_at;
    let (mut exchange, request) = Exchange::begin(phone, &signer, &random, NOW_MS).ok()?;
    for frame in answered(&mut server, &request.body())? {
        exchange.receive(phone, &frame).ok()?;
    }
    Some((exchange.finish(phone, &random).ok()?.offered, server))
}

fn run(input: &[u8], meter: &mut Meter) {
    let Some((flags, rest)) = input.split_first() else { return };
    let parts: Vec<Vec<u8>> = pieces(rest).into_iter().map(<[u8]>::to_vec).collect();
    let frames: Vec<Vec<u8>> = parts.split(Vec::is_empty).map(<[Vec<u8>]>::concat).collect();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).filter(|frame| !frame.is_empty()).collect();
    let mut log = phone_of(&LISTED);
    let Some(feed) = log.data.feeds.iter().map(|feed| feed.feed.clone()).find(|feed| feed.area == Area::Aid) else {
        return;
    };
    let range = Range { log: LOG, feed: feed.clone(), first: 1, through: 9, chain: [0; 32] };
    let mut sealed = seal(&server_signer(), &range, [7; 32], compressed(&frames));
    if sealed.bytes.is_empty() {
        return;
    }
    let damaged = flags & DAMAGED != 0;
    if damaged {
        let at = usize::from(*flags) * 31 % sealed.bytes.len();
        sealed.bytes[at] ^= 1;
    }
    let told = meter.measure(|| {
        let mut download = Download::begin(&mut log, Offered { feed, segment: sealed.segment.clone() })?;
        let came = sealed.bytes.chunks(PIECE_BYTES).try_for_each(|piece| download.receive(&mut log, piece).map(|_| ()));
        download.pause(&mut log)?;
        came
    });
    if damaged {
        assert_eq!(told, Err(SyncError::Broken), "a damaged block is taken");
    }
    let held = |data: &phone_log::Data| data.documents.values().map(|document| document.save().len()).sum::<usize>();
    meter.output(held(&log.data).saturating_sub(held(&LISTED)));
    for document in log.data.documents.values() {
        let again = Document::load(&document.save());
        assert_eq!(again.map(|again| again.heads()).ok(), Some(document.heads()), "a record changes by being stored");
    }
    log.rollback();
    let signer = signer_of(log.data.identity.device);
    assert!(
        Exchange::begin(&mut log, &signer, &fixture::Counting::default(), NOW_MS).is_ok(),
        "a phone cannot ask again"
    );
}

/// The messages of what an honest server seals.
fn honest_messages() -> Vec<Down> {
    let small = Sealing { entries_min: 2, bytes_target: 300 };
    let Some((offered, server)) = exchange(&mut phone_of(&LISTED), small) else { return Vec::new() };
    let mut messages = Vec::new();
    for Offered { segment, .. } in offered {
        let (mut opener, mut reader) = (Opener::new(&segment), FrameReader::new());
        opener.push(&server.segment(&segment.name).unwrap_or_default());
        while let Ok(Some(block)) = opener.next_block() {
            reader.push(&block.plain);
        }
        while let Ok(Some(frame)) = reader.next_frame() {
            messages.extend::<Vec<Down>>(frame);
        }
    }
    messages
}

fn seeds() -> Vec<Vec<u8>> {
    let parts: Vec<Vec<u8>> = honest_messages().iter().map(to_cbor).collect();
    let apart: Vec<Vec<u8>> = parts.iter().flat_map(|part| [part.clone(), Vec::new()]).collect();
    [0, DAMAGED].iter().flat_map(|flags| [&parts, &apart].map(|parts| [vec![*flags], join(parts)].concat())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_honest_segment_is_taken() {
        let small = Sealing { entries_min: 2, bytes_target: 300 };
        let mut phone = phone_of(&LISTED);
        let (offered, server) = exchange(&mut phone, small).unwrap_or_else(|| panic!("nothing is answered"));
        assert!(!offered.is_empty() && !honest_messages().is_empty());
        for one in offered {
            let bytes = server.segment(&one.segment.name).unwrap_or_default();
            let mut download = Download::begin(&mut phone, one).unwrap_or_else(|error| panic!("{error}"));
            assert!(download.receive(&mut phone, &bytes).is_ok());
        }
        assert!(phone.data.documents.len() >= 2);
    }
}
