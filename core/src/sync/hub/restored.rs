//! What a hub does when the server lost data: it gives back what it has mirrored, and goes back to where the server's log
//! still agrees with its own.

use super::HubLog;
use super::upstream::Upstream;
use crate::access::FeedId;
use crate::protocol::limits::EXCHANGE_UP_BYTES_MAX;
use crate::protocol::{EntryBody, LostFeed, Notice, SignedHead};
use crate::sync::frames::FrameWriter;
use crate::sync::phone::{Stop, SyncError, UP_WINDOW_LOG};
use crate::sync::returned::{self, Followed, Recall, latest, unsigned_behind};
use crate::sync::{LogError, chain};

impl Followed for dyn HubLog + '_ {
    fn chain_after(&mut self, feed: &FeedId, position: u64) -> Result<Option<[u8; 32]>, LogError> {
        self.chain_at(feed, position)
    }

    fn last_head(&mut self, feed: &FeedId) -> Result<Option<SignedHead>, LogError> {
        let own = self.mirrored()?.into_iter().find(|own| own.feed == *feed);
        match own.map_or(0, |own| own.head_position) {
            0 => Ok(None),
            at => self.signed_after(feed, at - 1),
        }
    }

    fn entry_back(&mut self, feed: &FeedId, position: u64) -> Result<Option<(i64, EntryBody)>, LogError> {
        let Some(kept) = self.entries(feed, position - 1, position, 1, usize::MAX)?.pop() else { return Ok(None) };
        let body = match kept.entry.body {
            EntryBody::Change { record, bytes, .. } => {
                let (Some(salt), Some(under)) = (self.salt(&record)?, self.created_under(&record)?) else {
                    return Ok(None);
                };
                returned::change_back(record, (under.kind, under.version, salt), bytes.into())
            }
            // Published forms are published again.
            form @ EntryBody::Notice(Notice::Form { .. }) => {
                EntryBody::Erased(chain::body_leaf(&form).ok_or_else(|| LogError::damaged("a notice has no leaf"))?)
            }
            other => other,
        };
        Ok(Some((kept.entry.received_ms, body)))
    }
}

/// What goes up in one request to a server that lost data, and how many entries that gives back.
pub(super) fn give_back(log: &mut dyn HubLog, recalls: &[Recall]) -> Result<(Vec<Vec<u8>>, u64), SyncError> {
    let mut writer = FrameWriter::new(UP_WINDOW_LOG);
    let given = returned::give_back(log, recalls, &mut writer, EXCHANGE_UP_BYTES_MAX)?;
    writer.flush()?;
    Ok((std::iter::from_fn(|| writer.take()).collect(), given))
}

/// Sorts out one feed; `None` if everything was given back, and the mirror went back to where the server is. `before` is
/// what the last exchange has given: where the server asks for the same again, it does not take it.
fn sort_out(log: &mut dyn HubLog, lost: &LostFeed, before: &[Recall]) -> Result<Option<Recall>, LogError> {
    let feed = &lost.feed;
    let common = latest(log, feed, &lost.log)?.position;
    if let Some(head) = unsigned_behind(log, feed, common)? {
        log.rewind(feed, head.position)?;
        return Ok(None);
    }
    let recall = returned::recall(log, lost, common)?.filter(|recall| !before.contains(recall));
    if recall.is_none() {
        log.rewind(feed, common)?;
    }
    Ok(recall)
}

impl Upstream {
    /// The server lost data.
    pub(super) fn lost(&mut self, log: &mut dyn HubLog, feeds: &[LostFeed]) -> Result<(), Stop> {
        let before = std::mem::take(&mut self.state.recalls);
        for lost in feeds {
            self.state.recalls.extend(sort_out(log, lost, &before)?);
        }
        self.outcome.again |= !feeds.is_empty();
        self.restored = true;
        self.feeds = log.mirrored()?;
        Ok(())
    }
}
