//! Seals pieces of a feed for first downloads, once for all devices.

use minicbor::bytes::ByteArray;

use super::gather::{Gathered, Place};
use super::{LogEntry, ServerLog};
use crate::access::FeedId;
use crate::ids::DeviceId;
use crate::protocol::limits::{SEGMENT_BYTES_TARGET, SEGMENTS_OFFERED_MAX};
use crate::protocol::{Down, Entry, EntryBody, Notice, Segment};
use crate::sync::LogError;
use crate::sync::chain;
use crate::sync::frames::{FrameError, FrameWriter};
use crate::sync::segment::{Range, Sealed, seal};
use crate::sync::signing::Signer;

/// Entries, and bytes of them, that are read from the log at once.
const PAGE_ENTRIES: usize = 256;
const PAGE_BYTES: usize = 128 * 1024;
/// Segments that one exchange seals: a second's work each. The next exchange of any device seals more.
const SEALED_AT_ONCE: usize = 2;

/// When a server seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// Entries that a device must lack of a feed, and that must not be sealed yet, to be worth it.
    pub entries_min: u64,
    /// Bytes after which a segment is closed, at most [`SEGMENT_BYTES_TARGET`].
    pub bytes_target: usize,
}

impl Default for Sealing {
    fn default() -> Self {
        Self { entries_min: 256, bytes_target: SEGMENT_BYTES_TARGET }
    }
}

/// What a device that has a feed up to `after` fetches apart, of a feed that reaches `through`: in order, without a gap,
/// beginning at or before the next entry. Empty where that would bring mostly what the device has (unless it keeps the
/// bytes: `kept`), or too little.
pub(super) fn offer(
    log: &mut dyn ServerLog,
    signer: &dyn Signer,
    feed: &FeedId,
    (after, through): (u64, u64),
    (device, kept): (&DeviceId, &[ByteArray<8>]),
) -> Result<Vec<Segment>, LogError> {
    let sealing = log.sealing();
    if kept.is_empty() {
        // A device's own changes come to it as positions.
        let many = through.saturating_sub(after) >= sealing.entries_min;
        if !many || !log.has_others(feed, after, device, sealing.entries_min)? {
            return Ok(Vec::new());
        }
    }
    let mut sealed = log.segments(feed)?;
    if missing(&sealed, after, through, sealing, true).is_some() {
        // Whoever was sealing before has perhaps done it.
        let erasures = log.begin_sealing(feed)?;
        let done = seal_missing(log, signer, feed, (after, through), erasures);
        log.end_sealing();
        done?;
        sealed = log.segments(feed)?;
    }
    let mut offered = in_a_row(sealed, after);
    offered.truncate(SEGMENTS_OFFERED_MAX);
    let is_kept = |segment: &Segment| kept.iter().any(|begin| segment.name.starts_with(&begin[..]));
    let mostly_known = offered
        .first()
        .is_some_and(|first| after.saturating_sub(first.first) >= first.through - after && !is_kept(first));
    Ok(if mostly_known { Vec::new() } else { offered })
}

fn seal_missing(
    log: &mut dyn ServerLog,
    signer: &dyn Signer,
    feed: &FeedId,
    (after, through): (u64, u64),
    erasures: u64,
) -> Result<(), LogError> {
    let sealing = log.sealing();
    for _ in 0..SEALED_AT_ONCE {
        let sealed = log.segments(feed)?;
        let open = sealed.last().map_or(Ok(true), |last| is_open(log, feed, last.through))?;
        let Some((first, last)) = missing(&sealed, after, through, sealing, open) else { break };
        let sealed = seal_piece(log, signer, feed, (first, last), sealing.bytes_target)?;
        if !log.put_segment(feed, erasures, &sealed)? {
            break;
        }
    }
    Ok(())
}

/// Segments from the one that holds the entry behind `after` on, as far as none is missing.
fn in_a_row(sealed: Vec<Segment>, after: u64) -> Vec<Segment> {
    let mut reached = after;
    let mut row = Vec::new();
    for segment in sealed.into_iter().filter(|segment| segment.through > after) {
        if segment.first > reached + 1 {
            break;
        }
        reached = segment.through;
        row.push(segment);
    }
    row
}

/// A segment that ends here may go on: what it ends with is no form.
fn is_open(log: &mut dyn ServerLog, feed: &FeedId, through: u64) -> Result<bool, LogError> {
    let last = log.entries(feed, through - 1, through, 1, PAGE_BYTES)?;
    Ok(!last.iter().any(|stored| is_form(&stored.entry.body)))
}

fn is_form(body: &EntryBody) -> bool {
    matches!(body, EntryBody::Notice(Notice::Form { .. }))
}

/// First and last entry of what is to be sealed next for a device that has a feed up to `after`: a gap that a purge has
/// left, or the end of the feed. A short last segment that is `open` is sealed again together with what has come since, for a
/// device that has nothing of it.
fn missing(sealed: &[Segment], after: u64, through: u64, sealing: Sealing, open: bool) -> Option<(u64, u64)> {
    let mut reached = 0;
    for segment in sealed {
        if segment.first > reached + 1 && segment.first > after + 1 {
            return Some((reached + 1, segment.first - 1));
        }
        reached = segment.through;
    }
    let grown = through.saturating_sub(reached.max(after));
    if grown < sealing.entries_min {
        return None;
    }
    let is_short = |last: &&Segment| {
        open && last.first > after
            && last.bytes < sealing.bytes_target as u64 / 2
            && grown >= (last.through - last.first).div_ceil(2)
    };
    let first = sealed.last().filter(is_short).map_or(reached + 1, |last| last.first);
    Some((first, through))
}

fn failed(failure: FrameError) -> LogError {
    LogError::other(failure.to_string())
}

/// Seals what fits one segment. It ends behind forms: a device that got them in its first exchange need not fetch them with
/// what follows.
fn seal_piece(
    log: &mut dyn ServerLog,
    signer: &dyn Signer,
    feed: &FeedId,
    (first, last): (u64, u64),
    bytes_target: usize,
) -> Result<Sealed, LogError> {
    let mut piece = Piece { writer: FrameWriter::to_keep(), changes: Gathered::new(false) };
    let (mut through, mut chain) = (first - 1, chain::START);
    let mut behind_form = false;
    'pages: while through < last {
        let page = log.entries(feed, through, last, PAGE_ENTRIES, PAGE_BYTES)?;
        if page.is_empty() {
            return Err(LogError::damaged(format!("{feed} has no entry {}", through + 1)));
        }
        for stored in page {
            let form = is_form(&stored.entry.body);
            if behind_form && !form {
                break 'pages;
            }
            behind_form = form;
            (through, chain) = (stored.entry.position, stored.chain);
            piece.put(log, stored)?;
            if piece.writer.bytes_estimate() >= bytes_target || !piece.changes.has_room() {
                break 'pages;
            }
        }
    }
    let range = Range { log: log.log_id()?, feed: feed.clone(), first, through, chain };
    let frames = piece.end()?;
    Ok(seal(signer, &range, log.segment_key()?, frames))
}

/// The frames of a segment, being written. The only feed in it is feed 0, and no device's own changes are left out.
struct Piece {
    writer: FrameWriter,
    changes: Gathered,
}

impl Piece {
    fn put(&mut self, log: &mut dyn ServerLog, stored: LogEntry) -> Result<(), LogError> {
        let LogEntry { entry, hash, .. } = stored;
        let Entry { position, received_ms, body } = entry;
        let (EntryBody::Change { record, first, bytes }, Some(hash)) = (&body, hash) else {
            self.put_changes()?;
            let form = match &body {
                EntryBody::Notice(Notice::Form { kind, version, .. }) => log.form(kind, version)?,
                _ => None,
            };
            let entry = Entry { position, received_ms, body };
            self.writer.push(&Down::Entry { feed: 0, entry }).map_err(failed)?;
            let Some((_, form)) = form else { return Ok(()) };
            return self.writer.push(&Down::Form(form.into())).map_err(failed);
        };
        let creation = match first {
            Some(start) => log.creation(record, &start.kind, &start.created_version)?,
            None => None,
        };
        self.changes.add(Place { feed: 0, position, received_ms }, None, hash, first.as_ref());
        self.changes.pack_later(*record, first.is_none(), creation, bytes.to_vec());
        if self.changes.is_full(self.writer.room()) { self.put_changes() } else { Ok(()) }
    }

    fn put_changes(&mut self) -> Result<(), LogError> {
        match self.changes.take() {
            Some(message) => self.writer.push(&Down::Changes(message)).map_err(failed),
            None => Ok(()),
        }
    }

    fn end(mut self) -> Result<Vec<u8>, LogError> {
        self.put_changes()?;
        self.writer.flush().map_err(failed)?;
        let mut frames = Vec::new();
        while let Some(frame) = self.writer.take() {
            frames.extend(frame);
        }
        Ok(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEALING: Sealing = Sealing { entries_min: 10, bytes_target: 1_000 };

    fn segment(first: u64, through: u64, bytes: u64) -> Segment {
        let (chain, name, signature, key) = ([0; 32], [0; 32], [0; 64], [0; 32]);
        Segment { first, through, chain, name, bytes, blocks: Vec::new().into(), signature, key }
    }

    fn places(segments: Vec<Segment>) -> Vec<(u64, u64)> {
        segments.into_iter().map(|segment| (segment.first, segment.through)).collect()
    }

    #[test]
    fn what_is_sealed_next() {
        let full = |first, through| segment(first, through, 1_000);
        for (sealed, after, through, expected) in [
            (vec![], 0, 9, None),
            (vec![], 0, 10, Some((1, 10))),
            (vec![], 3, 40, Some((1, 40))),
            (vec![full(1, 50)], 0, 59, None),
            (vec![full(1, 50)], 0, 60, Some((51, 60))),
            (vec![segment(1, 50, 300)], 0, 60, Some((51, 60))),
            (vec![segment(1, 50, 300)], 0, 80, Some((1, 80))),
            (vec![segment(1, 50, 300)], 50, 80, Some((51, 80))),
            (vec![segment(1, 50, 300)], 78, 80, None),
            (vec![full(1, 50), full(81, 90)], 20, 95, Some((51, 80))),
            (vec![full(1, 50), full(81, 90)], 80, 95, None),
            (vec![full(81, 90)], 0, 95, Some((1, 80))),
        ] {
            assert_eq!(missing(&sealed, after, through, SEALING, true), expected, "{sealed:?} {after} {through}");
        }
    }

    #[test]
    fn what_ends_behind_a_form_does_not_grow() {
        let sealed = [segment(1, 15, 300)];
        assert_eq!(missing(&sealed, 0, 80, SEALING, true), Some((1, 80)));
        assert_eq!(missing(&sealed, 0, 80, SEALING, false), Some((16, 80)));
    }

    #[test]
    fn what_is_offered_has_no_gap() {
        let sealed = || vec![segment(1, 50, 1), segment(51, 80, 1), segment(91, 99, 1)];
        assert_eq!(places(in_a_row(sealed(), 0)), [(1, 50), (51, 80)]);
        assert_eq!(places(in_a_row(sealed(), 49)), [(1, 50), (51, 80)]);
        assert_eq!(places(in_a_row(sealed(), 50)), [(51, 80)]);
        assert_eq!(places(in_a_row(sealed(), 80)), []);
        assert_eq!(places(in_a_row(sealed(), 90)), [(91, 99)]);
    }
}
