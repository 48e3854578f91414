//! A record that leaves its feed: what was made of it before this phone heard of that must be sent first.

use super::apply::{Applier, Stop};
use super::exchange::Exchange;
use super::{PhoneEvent, PhoneLog, SyncError};
use crate::access::FeedId;
use crate::document::{ChangeState, RecordMeta};
use crate::ids::RecordId;
use crate::protocol::{Down, Entry, EntryBody, RecordStart};

/// Records with open verdicts that are looked through.
const UNSETTLED_MAX: usize = 10_000;

/// The message tells that a record left its feed, while this phone still has changes to send that were made for that
/// feed, or verdicts to settle: behind this entry the server would take such a change no more.
pub(super) fn must_wait(log: &mut dyn PhoneLog, exchange: &Exchange, message: &Down) -> Result<bool, SyncError> {
    let Down::Entry { feed, entry: Entry { position, body: EntryBody::MovedOut { record, .. }, .. } } = message else {
        return Ok(false);
    };
    // After a fork nothing is sent before all has arrived.
    let Some(feed) = exchange.feeds.get(*feed as usize).filter(|_| !exchange.state.forked) else { return Ok(false) };
    if *position <= feed.position {
        return Ok(false);
    }
    let unsent = log
        .outbox_of(record)?
        .into_iter()
        .any(|own| own.feed == feed.feed && matches!(own.status, ChangeState::Unstated | ChangeState::Stated));
    Ok(unsent || log.unsettled(UNSETTLED_MAX)?.contains(record))
}

/// The exchange ends before that message: the next one goes on sending.
pub(super) fn hold_back(exchange: &mut Exchange) {
    exchange.state.open = false;
    exchange.state.open_upload = false;
}

/// What is known of a record behind its first entry in a feed.
pub(super) fn begin(known: Option<RecordMeta>, feed: &FeedId, first: &RecordStart) -> RecordMeta {
    let (moves, salt) = (first.moved.unwrap_or(0), Some(first.salt));
    match known {
        // It has moved on since, as another feed has told already.
        Some(meta) if meta.moves > moves => RecordMeta { salt, ..meta },
        // A record that was made here keeps what its creation change says.
        Some(meta) => RecordMeta { feed: feed.clone(), salt, moves, ..meta },
        None => RecordMeta {
            kind: first.kind.clone(),
            created_version: first.created_version.clone(),
            feed: feed.clone(),
            salt,
            moves,
        },
    }
}

impl Applier<'_> {
    /// A record that is here belongs to another feed. Feeds come in any order: the latest move counts.
    pub(super) fn moved(&mut self, record: &RecordId, to: &FeedId, number: u64) -> Result<(), Stop> {
        self.store_documents()?;
        if self.log.record_meta(record)?.is_none_or(|meta| meta.moves >= number) {
            return Ok(());
        }
        self.log.move_record(record, to, number)?;
        self.exchange.state.leaving = true;
        self.state_changed = true;
        if let Some(document) = self.log.document(record)? {
            let conflicts = self.log.put_document(record, &document, None)?;
            self.applied.events.push(PhoneEvent::RecordChanged { record: *record, conflicts });
        }
        Ok(())
    }
}
