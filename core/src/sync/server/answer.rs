//! Writes the answer, pulling from the log what the next frame needs and no more.

use std::collections::VecDeque;

use super::gather::{Gathered, Place};
use super::relay::Relay;
use super::seal;
use super::session::Caller;
use super::{LogEntry, Scope, ServerLog, restored};
use crate::access::{Area, FeedId};
use crate::ids::LogId;
use crate::protocol::limits::{DEVICE_FEEDS_MAX, EXCHANGE_DOWN_BYTES_TARGET, FORMS_WANTED_MAX, ZSTD_WINDOW_LOG_MAX};
use crate::protocol::{
    CursorState, Cursors, Down, Entry, EntryBody, ErrorAnswer, ErrorKind, LostFeed, Notice, SignedHead,
};
use crate::sync::LogError;
use crate::sync::cursors::{CursorPoint, CursorSet};
use crate::sync::frames::FrameWriter;
use crate::sync::packed::Largest;
use crate::sync::signing::{self, Revocation, Signer};
use crate::sync::wire::{from_cbor, to_cbor};

/// Entries and bytes of them that are read from the log at once.
const PAGE_ENTRIES: usize = 256;
const PAGE_BYTES: usize = 128 * 1024;
/// Bytes of changes after which a phone that has nothing yet gets its first frame of them: it shows records while the
/// others come.
const FIRST_CHANGES_BYTES: usize = 4 * 1024;
/// Verdicts that are read from the log at once.
const PAGE_VERDICTS: usize = 128;
/// Cursor sets remembered for a device: what it confirmed, and what it was last sent.
const CURSOR_SETS_KEPT: usize = 2;

/// How far one feed of the device has come in this answer.
struct Reach {
    point: CursorPoint,
    /// Head of the feed when the answer began: entries behind it wait for the next exchange.
    through: u64,
    /// A signed head for `point` is not with the device yet.
    head_due: bool,
}

enum Step {
    Hello,
    Verdicts(u64),
    Feeds,
    /// Index into `order`.
    Entries(usize),
    Forms,
    Heads(usize),
    Done,
    End,
}

pub(super) struct Answer {
    caller: Caller,
    scope: Scope,
    log_id: LogId,
    error: Option<ErrorAnswer>,
    /// The cursor set that the request named, if it is known.
    base: Option<CursorSet>,
    named_by_digest: bool,
    wanted: bool,
    /// The server lost data: whether it waits for its administrator, and where the device has seen more.
    restored: Option<(bool, Vec<LostFeed>)>,
    reaches: Vec<Reach>,
    /// General feeds first: forms come before the records that need them.
    order: Vec<usize>,
    step: Step,
    more: bool,
    writer: FrameWriter,
    changes: Gathered,
    /// The device has nothing yet, and no change was sent to it.
    first: bool,
    /// Kind and version of the forms whose notices the device has and that are still to be sent.
    forms: VecDeque<(String, String)>,
    /// The largest form that was sent: the next is packed against it.
    largest_form: Largest,
    /// A form is sent before the first record that needs it, the others last: records are listed while they come.
    forms_last: bool,
    /// The time that Hello has told, milliseconds since 1970 UTC.
    begun_ms: i64,
    /// What a township hub is told, directly behind Hello.
    for_hub: Vec<Down>,
}

impl Answer {
    pub(super) fn new(
        log: &mut dyn ServerLog,
        (caller, scope): (Caller, Scope),
        error: Option<ErrorAnswer>,
    ) -> Result<Self, ErrorAnswer> {
        let mut answer = Self {
            log_id: log.log_id()?,
            changes: Gathered::new(caller.header.in_full),
            caller,
            scope,
            error,
            base: None,
            named_by_digest: false,
            wanted: false,
            restored: None,
            reaches: Vec::new(),
            order: Vec::new(),
            step: Step::Hello,
            more: false,
            writer: FrameWriter::new(ZSTD_WINDOW_LOG_MAX),
            first: false,
            forms: VecDeque::new(),
            largest_form: Largest::default(),
            forms_last: false,
            begun_ms: 0,
            for_hub: Vec::new(),
        };
        if answer.error.is_none() && !answer.caller.row.revoked {
            match answer.resolve(log) {
                Ok(()) => {}
                Err(failure) => answer.error = Some(failure),
            }
        }
        Ok(answer)
    }

    /// What the caller is told as a township hub, if it is one.
    pub(super) fn tell_hub(&mut self, log: &mut dyn ServerLog, relay: Option<Box<Relay>>) -> Result<(), ErrorAnswer> {
        let Some(relay) = relay.filter(|_| self.error.is_none()) else { return Ok(()) };
        self.for_hub = relay.told(log, &self.caller, &self.scope)?;
        Ok(())
    }

    /// Finds out what the device has seen, and what there is now.
    fn resolve(&mut self, log: &mut dyn ServerLog) -> Result<(), ErrorAnswer> {
        let known = match &self.caller.header.cursors {
            Cursors::Digest(digest) => {
                self.named_by_digest = true;
                let sets = log.cursor_sets(&self.caller.device)?;
                let set = sets.iter().filter_map(|set| from_cbor::<CursorSet>(set)).find(|set| set.digest() == *digest);
                let Some(set) = set else {
                    self.wanted = true;
                    self.more = true;
                    return Ok(());
                };
                let cursors = set.cursors.iter().map(|point| (point.clone(), true)).collect();
                self.base = Some(set);
                cursors
            }
            Cursors::Full { log: named, registry, cursors } => {
                let points = full_cursors(self.log_id, named.as_ref(), cursors)?;
                let (awaiting, lost) = (log.awaiting()?, restored::lost_feeds(log, cursors)?);
                if awaiting || !lost.is_empty() {
                    self.more = !lost.is_empty();
                    self.restored = Some((awaiting, lost));
                    return Ok(());
                }
                let set = points.iter().map(|(point, _)| point.clone()).collect();
                self.base = Some(CursorSet { log: self.log_id, registry: *registry, cursors: set });
                self.first = cursors.is_empty();
                self.forms_last = self.first || self.caller.header.forms.is_some();
                points
            }
        };
        self.set_reaches(log, known)
    }

    fn set_reaches(&mut self, log: &mut dyn ServerLog, known: Vec<(CursorPoint, bool)>) -> Result<(), ErrorAnswer> {
        let feeds: Vec<FeedId> = self.scope.feeds.iter().map(|(feed, _)| feed.clone()).collect();
        let heads = log.heads(&feeds)?;
        for (feed, head) in feeds.into_iter().zip(heads) {
            let held = known.binary_search_by(|(point, _)| point.feed.cmp(&feed)).ok().map(|at| &known[at]);
            let reach = match held {
                // What this server confirmed itself is beyond its log: where exactly, the cursors in full will say.
                Some((point, _)) if point.position > head.position => {
                    (self.wanted, self.more) = (true, true);
                    return Ok(());
                }
                // Epochs follow each other in one chain, and the place was found in it.
                Some((point, signed)) => Reach {
                    point: CursorPoint { epoch: head.epoch, ..point.clone() },
                    through: head.position,
                    // A head of an earlier epoch proves nothing of what is here now.
                    head_due: point.position > 0 && (!signed || point.epoch != head.epoch),
                },
                _ => Reach {
                    point: CursorPoint { feed, epoch: head.epoch, position: 0, chain: crate::sync::chain::START },
                    through: head.position,
                    head_due: false,
                },
            };
            self.reaches.push(reach);
        }
        self.order = (0..self.reaches.len()).collect();
        self.order.sort_by_key(|at| self.reaches[*at].point.feed.area != Area::General);
        Ok(())
    }

    pub(super) fn next_frame(
        &mut self,
        log: &mut dyn ServerLog,
        signer: &dyn Signer,
        now_ms: i64,
    ) -> Result<Option<Vec<u8>>, LogError> {
        loop {
            if let Some(frame) = self.writer.take() {
                return Ok(Some(frame));
            }
            if matches!(self.step, Step::End) {
                return Ok(None);
            }
            self.advance(log, signer, now_ms)?;
        }
    }

    fn advance(&mut self, log: &mut dyn ServerLog, signer: &dyn Signer, now_ms: i64) -> Result<(), LogError> {
        self.step = match self.step {
            Step::Hello => self.hello(now_ms)?,
            Step::Verdicts(after) => self.verdicts(log, after)?,
            Step::Feeds => self.feeds()?,
            Step::Entries(at) => self.entries(log, signer, at)?,
            Step::Forms => self.form(log)?,
            Step::Heads(at) => self.head(signer, at, now_ms)?,
            Step::Done => self.done(log, signer)?,
            Step::End => Step::End,
        };
        Ok(())
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
        let hash: &[u8] = match (row.statement, self.caller.header.probe || self.error.is_some()) {
            (0, _) => &[],
            (_, true) => &row.statement_hash,
            (_, false) => &row.statement_hash[..8],
        };
        let hello = Down::Hello {
            server_time_ms: now_ms,
            log: if self.named_by_digest && !self.wanted { None } else { Some(self.log_id) },
            statement: row.statement,
            statement_hash: hash.to_vec().into(),
            taken: row.taken,
            cursors_wanted: self.wanted,
            told: Some(row.told).filter(|told| *told > self.caller.header.verdicts),
        };
        self.put(&hello)?;
        for message in std::mem::take(&mut self.for_hub) {
            self.put(&message)?;
        }
        match self.error.take() {
            Some(answer) => self.finish(&Down::Error(answer)),
            None if self.restored.is_some() => {
                let (awaiting, feeds) = self.restored.clone().unwrap_or_default();
                self.put(&Down::Restored { awaiting, feeds })?;
                Ok(Step::Done)
            }
            // The device comes again at once. Until then it is not known whether this server may serve at all.
            None if self.wanted => Ok(Step::Done),
            None => Ok(Step::Verdicts(self.caller.header.verdicts)),
        }
    }

    fn verdicts(&mut self, log: &mut dyn ServerLog, after: u64) -> Result<Step, LogError> {
        let page = log.verdicts(&self.caller.device, after, PAGE_VERDICTS)?;
        let Some(&(last, _)) = page.last() else {
            return Ok(if self.caller.row.revoked { Step::Done } else { Step::Feeds });
        };
        for (number, verdict) in page {
            self.put(&Down::Verdict { number, verdict })?;
        }
        Ok(Step::Verdicts(last))
    }

    fn feeds(&mut self) -> Result<Step, LogError> {
        // A device that lost its list (a damaged file) may still know the list's number.
        let same = |base: &CursorSet| {
            base.cursors.iter().map(|held| &held.feed).eq(self.scope.feeds.iter().map(|(feed, _)| feed))
        };
        let held = self.base.as_ref().is_some_and(|base| base.registry == self.scope.registry && same(base));
        if !held {
            let feeds = self.reaches.iter().map(|reach| (reach.point.feed.clone(), reach.point.epoch)).collect();
            let Scope { registry, roles, unit, .. } = self.scope.clone();
            self.put(&Down::Feeds { registry, feeds, roles, unit })?;
        }
        self.forms.extend(self.caller.header.forms.iter().flatten().take(FORMS_WANTED_MAX).cloned());
        Ok(Step::Entries(0))
    }

    fn entries(&mut self, log: &mut dyn ServerLog, signer: &dyn Signer, at: usize) -> Result<Step, LogError> {
        let Some(&feed) = self.order.get(at) else {
            self.put_changes()?;
            return Ok(Step::Forms);
        };
        let reach = &self.reaches[feed];
        if reach.point.position >= reach.through {
            return Ok(Step::Entries(at + 1));
        }
        if self.writer.bytes_estimate() >= EXCHANGE_DOWN_BYTES_TARGET || !self.changes.has_room() {
            self.put_changes()?;
            self.more = true;
            return Ok(Step::Heads(0));
        }
        let (after, through) = (reach.point.position, reach.through);
        let id = reach.point.feed.clone();
        if self.offer(log, signer, feed)? {
            return Ok(Step::Entries(at + 1));
        }
        let first = self.first;
        let page = log.entries(&id, after, through, PAGE_ENTRIES, PAGE_BYTES)?;
        if page.is_empty() {
            return Err(LogError::damaged(format!("{id} has no entry {}", after + 1)));
        }
        for entry in page {
            if self.writer.bytes_estimate() >= EXCHANGE_DOWN_BYTES_TARGET || !self.changes.has_room() {
                break;
            }
            let (position, chain) = (entry.entry.position, entry.chain);
            self.put_entry(log, feed as u32, entry)?;
            let reach = &mut self.reaches[feed];
            reach.point.position = position;
            reach.point.chain = chain;
            reach.head_due = true;
            if first && !self.first {
                // The rest may be fetched apart.
                break;
            }
        }
        Ok(Step::Entries(at))
    }

    /// Tells the device what of a feed it can fetch apart.
    fn offer(&mut self, log: &mut dyn ServerLog, signer: &dyn Signer, feed: usize) -> Result<bool, LogError> {
        let reach = &self.reaches[feed];
        let id = reach.point.feed.clone();
        // A hub mirrors entry by entry, and brings the segments to phones as they are asked for.
        let of_hub = self.caller.header.township.is_some();
        if self.first || self.caller.header.in_full || of_hub {
            return Ok(false);
        }
        let kept = self.caller.header.segments.as_deref().unwrap_or_default();
        let reached = (reach.point.position, reach.through);
        let segments = seal::offer(log, signer, &id, reached, (&self.caller.device, kept))?;
        if segments.is_empty() {
            return Ok(false);
        }
        self.put_changes()?;
        self.put(&Down::Segments { feed: feed as u32, segments })?;
        // The next exchange begins behind them.
        self.reaches[feed].head_due = false;
        self.more = true;
        Ok(true)
    }

    fn put_entry(&mut self, log: &mut dyn ServerLog, feed: u32, stored: LogEntry) -> Result<(), LogError> {
        let LogEntry { entry, stated, hash, .. } = stored;
        let Entry { position, received_ms, body } = entry;
        let (EntryBody::Change { record, first, bytes }, Some(hash)) = (&body, hash) else {
            self.put_changes()?;
            if let EntryBody::Notice(Notice::Form { kind, version, .. }) = &body {
                self.forms.push_back((kind.clone(), version.clone()));
            }
            self.put(&Down::Entry { feed, entry: Entry { position, received_ms, body } })?;
            return if self.forms_last { Ok(()) } else { self.put_forms(log, None) };
        };
        if let Some(start) = first {
            self.put_forms(log, Some(&start.kind))?;
        }
        let own = stated.filter(|(device, ..)| *device == self.caller.device && !self.caller.header.in_full);
        let creation = match first {
            Some(start) if own.is_none() => log.creation(record, &start.kind, &start.created_version)?,
            _ => None,
        };
        let own = own.map(|(_, statement, index)| (statement, index));
        self.changes.add(Place { feed, position, received_ms }, own, hash, first.as_ref());
        if own.is_none() {
            self.changes.pack_later(*record, first.is_none(), creation, bytes.to_vec());
        }
        let room = if self.first { FIRST_CHANGES_BYTES } else { self.writer.room() };
        if !self.changes.is_full(room) {
            return Ok(());
        }
        self.put_changes()?;
        if std::mem::take(&mut self.first) {
            self.writer.cut_here().map_err(|failure| LogError::other(failure.to_string()))?;
        }
        Ok(())
    }

    /// Sends the forms that are due, of one kind or all, in the order of their notices.
    fn put_forms(&mut self, log: &mut dyn ServerLog, kind: Option<&str>) -> Result<(), LogError> {
        for _ in 0..self.forms.len() {
            let Some(form) = self.forms.pop_front() else { break };
            if kind.is_none_or(|kind| kind == form.0) {
                self.put_form(log, &form)?;
            } else {
                self.forms.push_back(form);
            }
        }
        Ok(())
    }

    /// One form, if it holds in a unit whose notices the device gets.
    fn put_form(&mut self, log: &mut dyn ServerLog, (kind, version): &(String, String)) -> Result<(), LogError> {
        let Some((unit, bytes)) = log.form(kind, version)? else { return Ok(()) };
        let feed = FeedId { unit, area: Area::General };
        let follows = self.scope.feeds.binary_search_by(|(followed, _)| followed.cmp(&feed)).is_ok();
        if !follows {
            return Ok(());
        }
        let packed = log.packed_form(&bytes, self.largest_form.get())?;
        self.largest_form.note(&bytes);
        self.put(&Down::PackedForm(packed.to_vec().into()))
    }

    /// The next of the forms that no record needed so far.
    fn form(&mut self, log: &mut dyn ServerLog) -> Result<Step, LogError> {
        let Some(form) = self.forms.pop_front() else { return Ok(Step::Heads(0)) };
        if self.writer.bytes_estimate() >= EXCHANGE_DOWN_BYTES_TARGET {
            self.more = true;
            return Ok(Step::Heads(0));
        }
        self.put_form(log, &form)?;
        Ok(Step::Forms)
    }

    /// Ends the message of changes that is being gathered.
    fn put_changes(&mut self) -> Result<(), LogError> {
        match self.changes.take() {
            Some(message) => self.put(&Down::Changes(message)),
            None => Ok(()),
        }
    }

    fn head(&mut self, signer: &dyn Signer, at: usize, now_ms: i64) -> Result<Step, LogError> {
        let Some(reach) = self.reaches.get(at) else { return Ok(Step::Done) };
        if reach.head_due {
            let point = reach.point.clone();
            let head = SignedHead {
                log: self.log_id,
                feed: point.feed,
                epoch: point.epoch,
                position: point.position,
                chain: point.chain,
                time_ms: now_ms,
                signature: [0; 64],
            };
            let SignedHead { signature, .. } = signing::sign_head(signer, head);
            self.put(&Down::Head { feed: at as u32, after_ms: now_ms - self.begun_ms, signature })?;
        }
        Ok(Step::Heads(at + 1))
    }

    fn done(&mut self, log: &mut dyn ServerLog, signer: &dyn Signer) -> Result<Step, LogError> {
        let revoked = self.caller.row.revoked;
        let digest = if self.wanted || revoked || self.restored.is_some() { None } else { self.remember_cursors(log)? };
        let (device, counter) = (self.caller.device, self.caller.header.counter);
        let word = Revocation { log: self.log_id, device, counter };
        let revoked = revoked.then(|| word.sign(signer).into());
        self.finish(&Down::Done { more: self.more, digest: digest.map(Into::into), revoked })
    }

    /// Stores the cursors as they are after this answer, beside those that the request named: whichever of the two the
    /// device has next time, its digest is known.
    fn remember_cursors(&mut self, log: &mut dyn ServerLog) -> Result<Option<[u8; 16]>, LogError> {
        let cursors = self.reaches.iter().map(|reach| reach.point.clone()).collect();
        let after = CursorSet { log: self.log_id, registry: self.scope.registry, cursors };
        let unchanged = self.named_by_digest && self.base.as_ref() == Some(&after);
        if unchanged {
            return Ok(None);
        }
        let sets: Vec<Vec<u8>> = self.base.iter().filter(|base| **base != after).chain([&after]).map(to_cbor).collect();
        debug_assert!(sets.len() <= CURSOR_SETS_KEPT);
        log.begin_for(&self.caller.device)?;
        if let Err(failure) = log.put_cursor_sets(&self.caller.device, &sets) {
            log.rollback();
            return Err(failure);
        }
        log.commit()?;
        Ok(Some(after.digest()))
    }
}

/// Cursors in full as sorted points, each with whether the device holds a signed head there.
fn full_cursors(
    log_id: LogId,
    named: Option<&LogId>,
    cursors: &[CursorState],
) -> Result<Vec<(CursorPoint, bool)>, ErrorAnswer> {
    if named.is_some_and(|named| *named != log_id) {
        return Err(super::error(ErrorKind::LogMismatch, "the cursors belong to another log than this server's"));
    }
    if cursors.len() > DEVICE_FEEDS_MAX || !cursors.is_sorted_by(|a, b| a.feed < b.feed) {
        return Err(super::error(ErrorKind::Malformed, "too many cursors, or not in order"));
    }
    let point = |cursor: &CursorState| {
        let CursorState { feed, epoch, position, chain, signed } = cursor.clone();
        (CursorPoint { feed, epoch, position, chain }, signed)
    };
    Ok(cursors.iter().map(point).collect())
}
