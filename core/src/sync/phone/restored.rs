//! What a phone does when its server lost data: it says what is no longer there, gives back what it holds of it, and goes
//! back to where the server's log still agrees with its own.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::apply::Stop;
use super::upload::{UP_WINDOW_LOG, Upload};
use super::{FeedEntry, Kept, PhoneLog, SyncError};
use crate::access::FeedId;
use crate::ids::{ChangeHash, RecordId};
use crate::protocol::{EntryBody, LostFeed, Point, RecordStart, Returned, Up};
use crate::sync::frames::FrameWriter;
use crate::sync::{LogError, chain};

/// What one feed has to give back.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Recall {
    #[n(0)]
    feed: FeedId,
    /// The next entry to give; then downwards.
    #[n(1)]
    from: u64,
    /// The server has this one and those below.
    #[n(2)]
    down_to: u64,
}

fn knows(log: &mut dyn PhoneLog, feed: &FeedId, point: &Point) -> Result<bool, LogError> {
    Ok(log.feed_entry(feed, point.position)?.is_some_and(|entry| entry.chain == point.chain))
}

/// The latest of these places that is in this phone's log too; 0 if none is.
fn latest(log: &mut dyn PhoneLog, feed: &FeedId, points: &[Point]) -> Result<Point, LogError> {
    let mut found = Point { position: 0, chain: chain::START };
    for point in points {
        if point.position > found.position && knows(log, feed, point)? {
            found = *point;
        }
    }
    Ok(found)
}

/// Sorts out one feed: `None` if everything was given back, and the phone went back to where the server is.
pub(super) fn sort_out(log: &mut dyn PhoneLog, lost: &LostFeed) -> Result<Option<Recall>, LogError> {
    let feed = &lost.feed;
    let common = latest(log, feed, &lost.log)?;
    if forget_unsigned(log, feed, common.position)? {
        return Ok(None);
    }
    log.mark_lost(feed, common.position)?;
    let given = latest(log, feed, &lost.held)?.position.max(common.position);
    let next = latest(log, feed, &lost.wanted)?.position;
    let head = log.signed_head(feed)?.map_or(0, |head| head.position);
    let from = if next > common.position { next } else { head };
    if (next > common.position || head > given) && log.feed_entry(feed, from)?.is_some() {
        let below: Vec<Point> = lost.held.iter().filter(|point| point.position < from).copied().collect();
        let down_to = latest(log, feed, &below)?.position.max(common.position);
        return Ok(Some(Recall { feed: feed.clone(), from, down_to }));
    }
    send_own_again(log, feed, common.position)?;
    log.rewind(feed, common.position, &common.chain)?;
    Ok(None)
}

/// What is behind the last signed head was never proved: somebody may have rewritten it on its way, and then the server has
/// all that it ever signed. It goes first; where the server lost data all the same, the next answer says so. False if
/// there is nothing, or if the server has as much.
fn forget_unsigned(log: &mut dyn PhoneLog, feed: &FeedId, common: u64) -> Result<bool, LogError> {
    let Some(head) = log.signed_head(feed)?.filter(|head| head.position > common) else { return Ok(false) };
    if log.feed_entry(feed, head.position + 1)?.is_none() {
        return Ok(false);
    }
    log.mark_lost(feed, head.position)?;
    send_own_again(log, feed, head.position)?;
    log.rewind(feed, head.position, &head.chain)?;
    Ok(true)
}

/// Own changes behind `above` go back to the outbox: behind the rewind nothing proves them any more, and the server may
/// be restored once more before they have come down again.
fn send_own_again(log: &mut dyn PhoneLog, feed: &FeedId, above: u64) -> Result<(), LogError> {
    let mut records: BTreeMap<RecordId, Vec<ChangeHash>> = BTreeMap::new();
    let mut position = above + 1;
    while let Some(entry) = log.feed_entry(feed, position)? {
        if let Kept::Change(record, hash) = entry.kept {
            records.entry(record).or_default().push(hash);
        }
        position += 1;
    }
    for (record, hashes) in records {
        let waiting = log.outbox_of(&record)?;
        let (Some(document), Some(meta)) = (log.document(&record)?, log.record_meta(&record)?) else { continue };
        for hash in hashes.iter().filter(|hash| !waiting.iter().any(|own| own.hash == **hash)) {
            let Some(change) = document.change(hash) else { continue };
            if log.is_own_actor(&change.actor)? {
                log.add_to_outbox(&record, &meta.feed, &change)?;
            }
        }
    }
    Ok(())
}

/// The frames that give entries back, within `budget` bytes.
pub(super) fn give_back(log: &mut dyn PhoneLog, recalls: &[Recall], budget: usize) -> Result<Upload, SyncError> {
    let mut writer = FrameWriter::new(UP_WINDOW_LOG);
    write_entries(log, recalls, &mut writer, budget)?;
    writer.flush()?;
    Ok(Upload { frames: std::iter::from_fn(|| writer.take()).collect(), ..Upload::default() })
}

fn write_entries(
    log: &mut dyn PhoneLog,
    recalls: &[Recall],
    writer: &mut FrameWriter,
    budget: usize,
) -> Result<(), SyncError> {
    for recall in recalls {
        if let Some(head) = log.signed_head(&recall.feed)? {
            writer.push(&Up::Head(head))?;
        }
        let mut at = log.feed_entry(&recall.feed, recall.from)?;
        while let Some(entry) = at.take() {
            let below = match entry.position - 1 {
                0 => None,
                below => log.feed_entry(&recall.feed, below)?,
            };
            let previous = match &below {
                Some(below) => below.chain,
                None if entry.position == 1 => chain::START,
                // What was below was lost here (a damaged file): another phone has it.
                None => break,
            };
            let (position, received_ms) = (entry.position, entry.received_ms);
            let body = body_of(log, &recall.feed, entry)?;
            let Some(body) = body else { break };
            let feed = recall.feed.clone();
            writer.push(&Up::Returned(Returned { feed, position, received_ms, previous, body }))?;
            if writer.bytes_estimate() >= budget {
                return Ok(());
            }
            at = below.filter(|below| below.position > recall.down_to);
        }
    }
    Ok(())
}

/// What an entry said; a change whose bytes are not here any more as its leaf.
fn body_of(log: &mut dyn PhoneLog, feed: &FeedId, entry: FeedEntry) -> Result<Option<EntryBody>, LogError> {
    match entry.kept {
        Kept::Other(body) => Ok(Some(body)),
        Kept::Change(record, hash) => {
            let Some(meta) = log.record_meta(&record)? else { return Ok(None) };
            let Some(salt) = meta.salt else { return Ok(None) };
            let Some(bytes) = bytes_of(log, feed, &record, &hash)? else {
                return Ok(Some(EntryBody::Erased(chain::change_leaf(&salt, &hash))));
            };
            let (kind, created_version) = (meta.kind, meta.created_version);
            let first = RecordStart { kind, created_version, salt, moved: None };
            Ok(Some(EntryBody::Change { record, first: Some(first), bytes: bytes.into() }))
        }
    }
}

fn bytes_of(
    log: &mut dyn PhoneLog,
    feed: &FeedId,
    record: &RecordId,
    hash: &ChangeHash,
) -> Result<Option<Vec<u8>>, LogError> {
    let own = log.document(record)?.and_then(|document| {
        document.changes().into_iter().find(|change| change.hash == *hash).map(|change| change.bytes)
    });
    if own.is_some() {
        return Ok(own);
    }
    let waiting = log.pending_of(record)?.into_iter().filter(|entry| entry.feed == *feed);
    Ok(waiting.map(|entry| entry.bytes).find(|bytes| crate::sync::change_hash(bytes) == Some(*hash)))
}

impl super::apply::Applier<'_> {
    /// The server lost data.
    pub(super) fn restored(&mut self, awaiting: bool, feeds: &[LostFeed]) -> Result<(), Stop> {
        self.exchange.restored = true;
        self.exchange.awaiting = awaiting;
        let mut recalls = Vec::new();
        for lost in feeds {
            recalls.extend(sort_out(self.log, lost)?);
        }
        let state = &mut self.exchange.state;
        let moved = state.recalls != recalls || (recalls.is_empty() && !feeds.is_empty());
        state.digest = None;
        state.recalls = recalls;
        self.exchange.progress |= moved;
        self.exchange.feeds = self.log.feeds()?;
        self.state_changed = true;
        Ok(())
    }
}
