//! What a phone does when its server lost data: it says what is no longer there, gives back what it holds of it, and goes
//! back to where the server's log still agrees with its own.

use std::collections::BTreeMap;

use super::apply::Stop;
use super::upload::{UP_WINDOW_LOG, Upload};
use super::{FeedEntry, Kept, PhoneLog, SyncError};
use crate::access::FeedId;
use crate::ids::{ChangeHash, RecordId};
use crate::protocol::{EntryBody, LostFeed, Point, SignedHead};
use crate::sync::frames::FrameWriter;
use crate::sync::returned::{self, Followed, Recall, latest, unsigned_behind};
use crate::sync::{LogError, chain};

impl Followed for dyn PhoneLog + '_ {
    fn chain_after(&mut self, feed: &FeedId, position: u64) -> Result<Option<[u8; 32]>, LogError> {
        Ok(self.feed_entry(feed, position)?.map(|entry| entry.chain))
    }

    fn last_head(&mut self, feed: &FeedId) -> Result<Option<SignedHead>, LogError> {
        self.signed_head(feed)
    }

    fn entry_back(&mut self, feed: &FeedId, position: u64) -> Result<Option<(i64, EntryBody)>, LogError> {
        let Some(entry) = self.feed_entry(feed, position)? else { return Ok(None) };
        let received_ms = entry.received_ms;
        Ok(body_of(self, feed, entry)?.map(|body| (received_ms, body)))
    }
}

/// Sorts out one feed: `None` if everything was given back, and the phone went back to where the server is.
pub(super) fn sort_out(log: &mut dyn PhoneLog, lost: &LostFeed) -> Result<Option<Recall>, LogError> {
    let feed = &lost.feed;
    let common = latest(log, feed, &lost.log)?;
    if let Some(head) = unsigned_behind(log, feed, common.position)? {
        go_back(log, feed, &Point { position: head.position, chain: head.chain })?;
        return Ok(None);
    }
    let recall = returned::recall(log, lost, common.position)?;
    match recall {
        Some(_) => log.mark_lost(feed, common.position)?,
        None => go_back(log, feed, &common)?,
    }
    Ok(recall)
}

fn go_back(log: &mut dyn PhoneLog, feed: &FeedId, to: &Point) -> Result<(), LogError> {
    log.mark_lost(feed, to.position)?;
    send_own_again(log, feed, to.position)?;
    log.rewind(feed, to.position, &to.chain)
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
    returned::give_back(log, recalls, &mut writer, budget)?;
    writer.flush()?;
    Ok(Upload { frames: std::iter::from_fn(|| writer.take()).collect(), ..Upload::default() })
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
            Ok(Some(returned::change_back(record, (meta.kind, meta.created_version, salt), bytes)))
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
