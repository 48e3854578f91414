//! What a hub answers a phone: what it holds of the phone's statements, and entries of the server's log up to heads that the
//! server has signed.

use super::HubLog;
use crate::access::{Area, FeedId};
use crate::ids::LogId;
use crate::protocol::limits::{
    DEVICE_FEEDS_MAX, EXCHANGE_CHANGES_MAX, EXCHANGE_DOWN_BYTES_TARGET, FORMS_WANTED_MAX, ZSTD_WINDOW_LOG_MAX,
};
use crate::protocol::{CursorState, Cursors, Down, Entry, EntryBody, ErrorAnswer, ErrorKind, Notice, SignedHead};
use crate::sync::LogError;
use crate::sync::frames::FrameWriter;
use crate::sync::server::{Caller, Gathered, LogEntry, Place, Scope, error};

/// Entries and bytes of them that are read at once.
const PAGE_ENTRIES: usize = 256;
const PAGE_BYTES: usize = 128 * 1024;

/// One feed of the phone.
struct Reach {
    /// Index in the phone's own list of cursors.
    at: u32,
    feed: FeedId,
    /// As the phone knows it: a head of another one means nothing to it.
    epoch: u32,
    position: u64,
    /// The last head that the answer has reached.
    head: Option<SignedHead>,
}

enum Step {
    Hello,
    Forms,
    /// Index into `reaches`, and the head that is being reached.
    Entries(usize, Option<SignedHead>),
    Heads(usize),
    Done,
    End,
}

pub(super) struct Answer {
    caller: Caller,
    log_id: LogId,
    error: Option<ErrorAnswer>,
    /// General feeds first: forms come before the records that need them.
    reaches: Vec<Reach>,
    step: Step,
    more: bool,
    /// The time that Hello has told, milliseconds since 1970 UTC: heads are older.
    begun_ms: i64,
    /// Entries up to the heads that were begun.
    entries: u64,
    writer: FrameWriter,
    changes: Gathered,
}

impl Answer {
    pub(super) fn new(
        log: &mut dyn HubLog,
        (caller, scope): (Caller, Scope),
        error: Option<ErrorAnswer>,
    ) -> Result<Self, ErrorAnswer> {
        let identity = log.identity()?;
        let mut answer = Self {
            log_id: identity.log,
            changes: Gathered::new(caller.header.in_full),
            caller,
            error,
            reaches: Vec::new(),
            step: Step::Hello,
            more: false,
            begun_ms: 0,
            entries: 0,
            writer: FrameWriter::new(ZSTD_WINDOW_LOG_MAX),
        };
        // A revoked device may still bring what it has; it is shown nothing.
        if answer.error.is_none()
            && !answer.caller.row.revoked
            && let Err(failure) = answer.resolve(log, &scope)
        {
            answer.error = Some(failure);
        }
        Ok(answer)
    }

    /// Finds the phone's places in the mirror. A feed in which it is further, or elsewhere, is left out: the server knows.
    fn resolve(&mut self, log: &mut dyn HubLog, scope: &Scope) -> Result<(), ErrorAnswer> {
        let Cursors::Full { log: named, cursors, .. } = self.caller.header.cursors.clone() else { return Ok(()) };
        if named.is_some_and(|named| named != self.log_id) {
            return Err(error(ErrorKind::LogMismatch, "the cursors belong to another server's log than this hub's"));
        }
        if cursors.len() > DEVICE_FEEDS_MAX || !cursors.is_sorted_by(|a, b| a.feed < b.feed) {
            return Err(error(ErrorKind::Malformed, "too many cursors, or not in order"));
        }
        for (at, cursor) in (0..).zip(cursors) {
            let CursorState { feed, epoch, position, chain, .. } = cursor;
            let shown = scope.feeds.iter().any(|(shown, in_epoch)| *shown == feed && *in_epoch == epoch);
            if shown && log.chain_at(&feed, position)? == Some(chain) {
                self.reaches.push(Reach { at, feed, epoch, position, head: None });
            }
        }
        self.reaches.sort_by_key(|reach| (reach.feed.area != Area::General, reach.at));
        Ok(())
    }

    pub(super) fn next_frame(&mut self, log: &mut dyn HubLog, now_ms: i64) -> Result<Option<Vec<u8>>, LogError> {
        loop {
            if let Some(frame) = self.writer.take() {
                return Ok(Some(frame));
            }
            self.step = match std::mem::replace(&mut self.step, Step::End) {
                Step::End => return Ok(None),
                Step::Hello => self.hello(now_ms)?,
                Step::Forms => self.forms(log)?,
                Step::Entries(at, head) => self.entries(log, at, head)?,
                Step::Heads(at) => self.head(log, at)?,
                Step::Done => self.finish(&Down::Done { more: self.more, digest: None, revoked: None })?,
            };
        }
    }

    fn put(&mut self, message: &Down) -> Result<(), LogError> {
        self.writer.push(message).map_err(|failure| LogError::other(failure.to_string()))
    }

    fn finish(&mut self, message: &Down) -> Result<Step, LogError> {
        self.put(message)?;
        self.writer.flush().map_err(|failure| LogError::other(failure.to_string()))?;
        Ok(Step::End)
    }

    fn hello(&mut self, now_ms: i64) -> Result<Step, LogError> {
        self.begun_ms = now_ms;
        let row = &self.caller.row;
        let hash = if row.statement == 0 { Vec::new() } else { row.statement_hash.to_vec() };
        let hello = Down::Hello {
            server_time_ms: now_ms,
            log: Some(self.log_id),
            statement: row.statement,
            statement_hash: hash.into(),
            taken: row.taken,
            cursors_wanted: false,
            told: None,
        };
        self.put(&hello)?;
        match self.error.take() {
            Some(answer) => self.finish(&Down::Error(answer)),
            None => Ok(Step::Forms),
        }
    }

    /// The forms that the phone has been told of and lacks.
    fn forms(&mut self, log: &mut dyn HubLog) -> Result<Step, LogError> {
        if !self.caller.row.revoked {
            let wanted = self.caller.header.forms.clone().unwrap_or_default();
            for (kind, version) in wanted.into_iter().take(FORMS_WANTED_MAX) {
                self.put_form(log, &kind, &version)?;
            }
        }
        Ok(Step::Entries(0, None))
    }

    fn put_form(&mut self, log: &mut dyn HubLog, kind: &str, version: &str) -> Result<(), LogError> {
        let Some((unit, bytes)) = log.form(kind, version)? else { return Ok(()) };
        let shown = self.reaches.iter().any(|reach| reach.feed.unit == unit && reach.feed.area == Area::General);
        if shown { self.put(&Down::Form(bytes.into())) } else { Ok(()) }
    }

    fn entries(&mut self, log: &mut dyn HubLog, at: usize, head: Option<SignedHead>) -> Result<Step, LogError> {
        let Some(reach) = self.reaches.get(at) else {
            self.put_changes()?;
            return Ok(Step::Heads(0));
        };
        let (feed, after, epoch) = (reach.feed.clone(), reach.position, reach.epoch);
        let Some(head) = head else {
            // The mirror may have come to another epoch since the request.
            let next = log.signed_after(&feed, after)?.filter(|next| next.epoch == epoch);
            let Some(next) = next else { return Ok(Step::Entries(at + 1, None)) };
            // What was begun goes to its head, whatever it takes: below one there is nothing to be believed.
            let entries = self.entries + (next.position - after);
            let full = self.writer.bytes_estimate() >= EXCHANGE_DOWN_BYTES_TARGET || !self.changes.has_room();
            if full || (self.entries > 0 && entries > EXCHANGE_CHANGES_MAX as u64) {
                self.more = true;
                self.put_changes()?;
                return Ok(Step::Heads(0));
            }
            self.entries = entries;
            return Ok(Step::Entries(at, Some(next)));
        };
        let page = log.entries(&feed, after, head.position, PAGE_ENTRIES, PAGE_BYTES)?;
        let Some(last) = page.last().map(|entry| entry.entry.position) else {
            return Err(moved(&feed));
        };
        for entry in page {
            self.put_entry(log, at, entry)?;
        }
        let reach = &mut self.reaches[at];
        reach.position = last;
        if last < head.position {
            return Ok(Step::Entries(at, Some(head)));
        }
        reach.head = Some(head);
        Ok(Step::Entries(at, None))
    }

    fn put_entry(&mut self, log: &mut dyn HubLog, at: usize, stored: LogEntry) -> Result<(), LogError> {
        let feed = self.reaches[at].at;
        let LogEntry { entry: Entry { position, received_ms, body }, hash, .. } = stored;
        let (EntryBody::Change { record, first, bytes }, Some(hash)) = (&body, hash) else {
            self.put_changes()?;
            let form = match &body {
                EntryBody::Notice(Notice::Form { kind, version, .. }) => Some((kind.clone(), version.clone())),
                _ => None,
            };
            self.put(&Down::Entry { feed, entry: Entry { position, received_ms, body } })?;
            return form.map_or(Ok(()), |(kind, version)| self.put_form(log, &kind, &version));
        };
        let creation = match first {
            Some(start) => log.creation(record, &start.kind, &start.created_version)?,
            None => None,
        };
        self.changes.add(Place { feed, position, received_ms }, None, hash, first.as_ref());
        self.changes.pack_later(*record, first.is_none(), creation, bytes.to_vec());
        if self.changes.is_full(self.writer.room()) { self.put_changes() } else { Ok(()) }
    }

    fn put_changes(&mut self) -> Result<(), LogError> {
        match self.changes.take() {
            Some(message) => self.put(&Down::Changes(message)),
            None => Ok(()),
        }
    }

    fn head(&mut self, log: &mut dyn HubLog, at: usize) -> Result<Step, LogError> {
        let Some(reach) = self.reaches.get(at) else { return Ok(Step::Done) };
        if let Some(head) = &reach.head {
            if log.signed_after(&reach.feed, head.position - 1)?.as_ref() != Some(head) {
                return Err(moved(&reach.feed));
            }
            let SignedHead { time_ms, signature, .. } = *head;
            let (feed, after_ms) = (reach.at, time_ms.saturating_sub(self.begun_ms));
            self.put(&Down::Head { feed, after_ms, signature })?;
        }
        Ok(Step::Heads(at + 1))
    }
}

/// The mirror went elsewhere while the phone was shown it: the answer breaks off, so that the phone asks again and does not
/// take this hub for a liar.
fn moved(feed: &FeedId) -> LogError {
    LogError::other(format!("the mirror of {feed} has moved under an answer"))
}
