//! Gathers entries that are changes into one message.

use sha2::{Digest, Sha256};

use crate::ids::{ChangeHash, RecordId};
use crate::protocol::limits::{BATCH_CHANGES_MAX, CHANGE_BYTES_MAX, CHANGES_CHECK_BYTES};
use crate::protocol::transcode::{Room, ToPack, pack};
use crate::protocol::{ChangesDown, RecordStart};

/// Where an entry stands, and when it came.
pub(in crate::sync) struct Place {
    /// Index of the feed.
    pub(in crate::sync) feed: u32,
    pub(in crate::sync) position: u64,
    pub(in crate::sync) received_ms: i64,
}

/// The changes of an exchange, and the one message of them that is being gathered.
pub(in crate::sync) struct Gathered {
    in_full: bool,
    room: Room,
    message: Message,
}

#[derive(Default)]
struct Message {
    runs: Vec<(u32, u64, u32)>,
    times: Vec<(u32, i64)>,
    starts: Vec<(u32, RecordStart)>,
    own: Vec<(u32, u64, u32, u32)>,
    hashes: Sha256,
    items: Vec<Item>,
    count: u32,
    bytes: usize,
    time_ms: i64,
}

struct Item {
    record: RecordId,
    known: bool,
    creation: Option<ChangeHash>,
    bytes: Vec<u8>,
}

impl Gathered {
    pub(in crate::sync) fn new(in_full: bool) -> Self {
        Self { in_full, room: Room::default(), message: Message::default() }
    }

    /// One more entry stays within the exchange's limits, whatever its size.
    pub(in crate::sync) fn has_room(&self) -> bool {
        self.room.has(1, CHANGE_BYTES_MAX)
    }

    /// The message has reached so many bytes of changes, or as many changes as it may have.
    pub(in crate::sync) fn is_full(&self, bytes: usize) -> bool {
        self.message.bytes >= bytes || self.message.count as usize == BATCH_CHANGES_MAX
    }

    /// The next entry: a change that the receiver itself made and stated at `own`, or another.
    pub(in crate::sync) fn add(
        &mut self,
        place: Place,
        own: Option<(u64, u32)>,
        hash: ChangeHash,
        first: Option<&RecordStart>,
    ) {
        let message = &mut self.message;
        match message.runs.last_mut() {
            Some((feed, position, count)) if *feed == place.feed && *position + u64::from(*count) == place.position => {
                *count += 1;
            }
            _ => message.runs.push((place.feed, place.position, 1)),
        }
        let delta = place.received_ms - message.time_ms;
        match message.times.last_mut() {
            // Entries of one upload have one time; a run of others goes on only where they are as far apart.
            Some((count, last)) if *last == delta => *count += 1,
            _ => message.times.push((1, delta)),
        }
        message.time_ms = place.received_ms;
        message.starts.extend(first.map(|first| (message.count, first.clone())));
        if let Some((statement, index)) = own {
            match message.own.last_mut() {
                Some((at, number, first, count))
                    if *number == statement && *at + *count == message.count && *first + *count == index =>
                {
                    *count += 1;
                }
                _ => message.own.push((message.count, statement, index, 1)),
            }
        }
        message.hashes.update(hash.as_bytes());
        message.count += 1;
    }

    /// The change of the entry that was added last.
    pub(in crate::sync) fn pack_later(
        &mut self,
        record: RecordId,
        known: bool,
        creation: Option<ChangeHash>,
        bytes: Vec<u8>,
    ) {
        self.room.spend(1, bytes.len());
        self.message.bytes += bytes.len();
        self.message.items.push(Item { record, known, creation, bytes });
    }

    /// The message, if anything was gathered.
    pub(in crate::sync) fn take(&mut self) -> Option<ChangesDown> {
        let Message { runs, times, starts, own, hashes, items, count, .. } = std::mem::take(&mut self.message);
        if count == 0 {
            return None;
        }
        let items: Vec<ToPack<'_>> = items
            .iter()
            .map(|Item { record, known, creation, bytes }| ToPack {
                record: *record,
                known: *known,
                creation: *creation,
                bytes,
            })
            .collect();
        let mut check = [0; CHANGES_CHECK_BYTES];
        check.copy_from_slice(&hashes.finalize()[..CHANGES_CHECK_BYTES]);
        Some(ChangesDown { runs, times, starts, own, check, packed: pack(&items, self.in_full).bytes.into() })
    }
}
