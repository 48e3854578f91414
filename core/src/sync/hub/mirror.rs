//! Takes the server's answer to a hub: every entry is kept as it came, once the chain over it comes out.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::upstream::Upstream;
use super::{HubLog, Mirrored};
use crate::access::FeedId;
use crate::forms::FormDefinition;
use crate::ids::{ChangeHash, RecordId};
use crate::protocol::limits::{CHANGE_PREFIX_BYTES, RECORD_PREFIX_BYTES};
use crate::protocol::{ChangesDown, Entry, EntryBody, Notice, RecordStart, SignedHead};
use crate::sync::phone::{Arrived, Names, OutboxChange, Stop, SyncError, unpack};
use crate::sync::{LogError, chain, signing};

/// What a hub holds of what the server only names.
struct HubNames<'l>(&'l mut dyn HubLog);

impl Names for HubNames<'_> {
    /// A hub makes no changes.
    fn own_change(&mut self, _statement: u64, _index: u32) -> Result<Option<OutboxChange>, LogError> {
        Ok(None)
    }

    fn record_by_prefix(&mut self, prefix: &[u8; RECORD_PREFIX_BYTES]) -> Result<Option<RecordId>, LogError> {
        self.0.record_by_prefix(prefix)
    }

    fn change_by_prefix(
        &mut self,
        record: &RecordId,
        prefix: &[u8; CHANGE_PREFIX_BYTES],
    ) -> Result<Option<ChangeHash>, LogError> {
        self.0.change_by_prefix(record, prefix)
    }

    fn created_form(&mut self, start: &RecordStart) -> Result<Option<Arc<FormDefinition>>, LogError> {
        self.0.definition(&start.kind, &start.created_version)
    }
}

impl Upstream {
    /// An entry that is no change.
    pub(super) fn entry(&mut self, log: &mut dyn HubLog, feed: u32, entry: Entry) -> Result<(), Stop> {
        let Some(id) = self.expects(feed, entry.position)? else { return Ok(()) };
        let leaf = chain::body_leaf(&entry.body).ok_or(SyncError::Protocol("a change outside of its message"))?;
        let body = entry.body.clone();
        let record = match &body {
            EntryBody::Notice(Notice::Review(review)) => Some(review.record),
            _ => None,
        };
        self.step(log, feed, &leaf, Mirrored { entry, record, hash: None, chain: chain::START })?;
        match body {
            EntryBody::Purge { record } => log.erase(&record)?,
            EntryBody::MovedOut { record, .. } => log.let_go(&id, &record)?,
            EntryBody::Notice(Notice::Form { kind, version, form }) => {
                log.put_form_notice(&id.unit, &kind, &version, &form)?;
            }
            EntryBody::Notice(Notice::Root { root, signature }) => log.note_successor(&root, &signature)?,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn changes(&mut self, log: &mut dyn HubLog, message: ChangesDown) -> Result<(), Stop> {
        let changes = unpack(&mut HubNames(log), &mut self.room, self.in_full, message)?;
        for change in changes {
            self.change(log, change)?;
        }
        Ok(())
    }

    fn change(&mut self, log: &mut dyn HubLog, change: Arrived) -> Result<(), Stop> {
        let Arrived { feed, position, received_ms, record, first, hash, bytes, .. } = change;
        let Some(id) = self.expects(feed, position)? else { return Ok(()) };
        let erased = log.is_erased(&record)?;
        let salt = match &first {
            Some(first) => first.salt,
            None => log.salt(&record)?.ok_or_else(|| misfit(&id, position, "a record begins in the middle"))?,
        };
        let leaf = chain::change_leaf(&salt, &hash);
        if erased {
            let entry = Entry { position, received_ms, body: EntryBody::Erased(leaf) };
            return Ok(self.step(
                log,
                feed,
                &leaf,
                Mirrored { entry, record: None, hash: None, chain: chain::START },
            )?);
        }
        if let Some(first) = &first {
            log.put_start(&record, first)?;
        }
        let entry = Entry { position, received_ms, body: EntryBody::Change { record, first, bytes: bytes.into() } };
        let kept = Mirrored { entry, record: Some(record), hash: Some(hash), chain: chain::START };
        Ok(self.step(log, feed, &leaf, kept)?)
    }

    /// The feed, if this is its next entry; `None` if it was seen before.
    fn expects(&self, feed: u32, position: u64) -> Result<Option<FeedId>, Stop> {
        let Some(own) = self.feeds.get(feed as usize) else {
            return Err(SyncError::Protocol("an entry of a feed that is not followed").into());
        };
        if position <= own.position {
            return Ok(None);
        }
        if position != own.position + 1 {
            return Err(misfit(&own.feed, position, "an entry is missing"));
        }
        Ok(Some(own.feed.clone()))
    }

    fn step(&mut self, log: &mut dyn HubLog, feed: u32, leaf: &[u8; 32], mut kept: Mirrored) -> Result<(), LogError> {
        let Some(own) = self.feeds.get_mut(feed as usize) else { return Ok(()) };
        own.position = kept.entry.position;
        own.chain = chain::next(&own.chain, kept.entry.position, kept.entry.received_ms, leaf);
        kept.chain = own.chain;
        self.outcome.entries += 1;
        log.put_mirrored(&own.feed, &kept)
    }

    pub(super) fn head(
        &mut self,
        log: &mut dyn HubLog,
        feed: u32,
        time_ms: i64,
        signature: [u8; 64],
    ) -> Result<(), Stop> {
        let Some(own) = self.feeds.get_mut(feed as usize) else {
            return Err(SyncError::Protocol("a head of a feed that is not followed").into());
        };
        let head = SignedHead {
            log: self.identity.log,
            feed: own.feed.clone(),
            epoch: own.epoch,
            position: own.position,
            chain: own.chain,
            time_ms,
            signature,
        };
        if !signing::verify_head(&self.identity.server_key, &head) {
            let reason = "its entries do not chain to a head that the server signed";
            return Err(misfit(&head.feed, head.position, reason));
        }
        own.head_position = head.position;
        Ok(log.put_signed(&head)?)
    }

    pub(super) fn form(&mut self, log: &mut dyn HubLog, bytes: &[u8]) -> Result<(), Stop> {
        let hash: [u8; 32] = Sha256::digest(bytes).into();
        Ok(log.put_form(&hash, bytes)?)
    }
}

fn misfit(feed: &FeedId, position: u64, reason: &'static str) -> Stop {
    SyncError::LogDoesNotFit { feed: feed.clone(), position, reason }.into()
}
