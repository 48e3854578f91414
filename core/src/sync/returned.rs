//! What whoever has followed a server's log can give back when the server has lost it: phones and township hubs alike
//! (docs/PROTOCOL.md §12).

use minicbor::{Decode, Encode};

use super::LogError;
use super::chain;
use super::frames::FrameWriter;
use super::phone::SyncError;
use crate::access::FeedId;
use crate::protocol::{EntryBody, LostFeed, Point, RecordStart, Returned, SignedHead, Up};

/// A log that was followed.
pub(super) trait Followed {
    /// The chain hash after a position of a feed; `None` where nothing is kept of it.
    fn chain_after(&mut self, feed: &FeedId, position: u64) -> Result<Option<[u8; 32]>, LogError>;
    /// The last head that the server has signed, as far as the entries have come.
    fn last_head(&mut self, feed: &FeedId) -> Result<Option<SignedHead>, LogError>;
    /// An entry as it is given back, and when the server had received it: a change raw, with its record's start; what is not
    /// here any more as its leaf. `None` where nothing of it can be said.
    fn entry_back(&mut self, feed: &FeedId, position: u64) -> Result<Option<(i64, EntryBody)>, LogError>;
}

/// What one feed has to give back.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Recall {
    #[n(0)]
    pub(super) feed: FeedId,
    /// The next entry to give; then downwards.
    #[n(1)]
    pub(super) from: u64,
    /// The server has this one and those below.
    #[n(2)]
    pub(super) down_to: u64,
}

/// The latest of these places that is in this log too; 0 if none is.
pub(super) fn latest(log: &mut (impl Followed + ?Sized), feed: &FeedId, points: &[Point]) -> Result<Point, LogError> {
    let mut found = Point { position: 0, chain: chain::START };
    for point in points {
        if point.position > found.position && log.chain_after(feed, point.position)? == Some(point.chain) {
            found = *point;
        }
    }
    Ok(found)
}

/// The last signed head, where it is beyond the last place that both logs have, and entries are kept that are beyond it.
/// Those were never proved: somebody may have rewritten them on their way, and then the server has all that it ever signed.
/// They go first; where the server lost data all the same, its next answer says so.
pub(super) fn unsigned_behind(
    log: &mut (impl Followed + ?Sized),
    feed: &FeedId,
    common: u64,
) -> Result<Option<SignedHead>, LogError> {
    let Some(head) = log.last_head(feed)?.filter(|head| head.position > common) else { return Ok(None) };
    Ok(log.chain_after(feed, head.position + 1)?.map(|_| head))
}

/// What is to be given back of a feed of which both logs have `common`; `None` if the server has it all, or wants nothing
/// that is here.
pub(super) fn recall(
    log: &mut (impl Followed + ?Sized),
    lost: &LostFeed,
    common: u64,
) -> Result<Option<Recall>, LogError> {
    let feed = &lost.feed;
    let given = latest(log, feed, &lost.held)?.position.max(common);
    let next = latest(log, feed, &lost.wanted)?.position;
    let head = log.last_head(feed)?.map_or(0, |head| head.position);
    let from = if next > common { next } else { head };
    if (next <= common && head <= given) || log.chain_after(feed, from)?.is_none() {
        return Ok(None);
    }
    let below: Vec<Point> = lost.held.iter().filter(|point| point.position < from).copied().collect();
    let down_to = latest(log, feed, &below)?.position.max(common);
    Ok(Some(Recall { feed: feed.clone(), from, down_to }))
}

/// Writes what there is to give back, within `budget` bytes. Returns how many entries.
pub(super) fn give_back(
    log: &mut (impl Followed + ?Sized),
    recalls: &[Recall],
    writer: &mut FrameWriter,
    budget: usize,
) -> Result<u64, SyncError> {
    let mut given = 0;
    for Recall { feed, from, down_to } in recalls {
        if let Some(head) = log.last_head(feed)? {
            writer.push(&Up::Head(head))?;
        }
        for position in (*down_to + 1..=*from).rev() {
            let previous = match position - 1 {
                0 => Some(chain::START),
                below => log.chain_after(feed, below)?,
            };
            // What was below was lost here (a damaged file): somebody else has it.
            let (Some(previous), Some((received_ms, body))) = (previous, log.entry_back(feed, position)?) else {
                break;
            };
            let feed = feed.clone();
            writer.push(&Up::Returned(Returned { feed, position, received_ms, previous, body }))?;
            given += 1;
            if writer.bytes_estimate() >= budget {
                return Ok(given);
            }
        }
    }
    Ok(given)
}

/// A change as it is given back.
pub(super) fn change_back(
    record: crate::ids::RecordId,
    (kind, created_version, salt): (String, String, [u8; 8]),
    bytes: Vec<u8>,
) -> EntryBody {
    let first = RecordStart { kind, created_version, salt, moved: None };
    EntryBody::Change { record, first: Some(first), bytes: bytes.into() }
}
