//! Applies one frame of the answer within the transaction that its caller opened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::exchange::Exchange;
use super::state::WantedForm;
use super::unpack::{self, Arrived, PhoneNames};
use super::waiting::{merge_waiting, reason_of};
use super::{FeedEntry, Kept, OutboxChange, PhoneEvent, PhoneIdentity, PhoneLog, SyncError, moves};
use crate::access::{FeedId, Role};
use crate::document::{ChangeState, Document, PendingEntry, Rendition};
use crate::forms::FormDefinition;
use crate::ids::{ChangeHash, LogId, RecordId};
use crate::intake;
use crate::protocol::limits::CLOCK_TOLERANCE_MS;
use crate::protocol::{
    ChangesDown, Down, Entry, EntryBody, ErrorAnswer, Notice, PURGED, RecordStart, SignedHead, StatementHash, Verdict,
    VerdictKind,
};
use crate::sync::signing::Revocation;
use crate::sync::{LogError, chain, signing};

/// Documents held at once while a frame is applied.
const DOCUMENTS_HELD_MAX: usize = 64;
/// Records with pending entries that are tried again at once.
const PAGE_PENDING: usize = 64;
/// Statements read at once.
const PAGE_STATEMENTS: usize = 8;

/// What a frame did.
#[derive(Default)]
pub(super) struct Applied {
    pub(super) events: Vec<PhoneEvent>,
    /// `more` and `revoked` of the last message.
    pub(super) done: Option<(bool, bool)>,
    /// The answer ended with this error.
    pub(super) failure: Option<ErrorAnswer>,
    /// Nothing more is read: what comes next must wait until this phone has sent something.
    pub(super) held_back: bool,
}

/// Why a frame was not applied.
pub(in crate::sync) enum Stop {
    Error(SyncError),
    /// Something was named that this phone does not have, or not alone: it must come in full.
    InFullWanted,
    /// The server's last statement is not this device's, and its whole hash is needed: a probe gets it.
    HashWanted,
}

impl<E: Into<SyncError>> From<E> for Stop {
    fn from(failure: E) -> Self {
        Self::Error(failure.into())
    }
}

/// A document while the frame is applied.
struct Held {
    document: Document,
    changed: bool,
    /// Of the document, as far as it is known.
    rendition: Option<Rendition>,
}

pub(super) struct Applier<'a> {
    pub(super) log: &'a mut dyn PhoneLog,
    pub(super) exchange: &'a mut Exchange,
    documents: BTreeMap<RecordId, Held>,
    /// Feeds whose cursor moved and is not stored yet.
    moved: BTreeSet<usize>,
    pub(super) state_changed: bool,
    pub(super) applied: Applied,
}

/// An entry's place: what errors and pending entries name.
#[derive(Clone)]
struct Place {
    feed: FeedId,
    epoch: u32,
    position: u64,
}

impl Place {
    fn misfit(&self, reason: &'static str) -> Stop {
        SyncError::LogDoesNotFit { feed: self.feed.clone(), position: self.position, reason }.into()
    }
}

impl<'a> Applier<'a> {
    pub(super) fn new(log: &'a mut dyn PhoneLog, exchange: &'a mut Exchange) -> Self {
        Self {
            log,
            exchange,
            documents: BTreeMap::new(),
            moved: BTreeSet::new(),
            state_changed: false,
            applied: Applied::default(),
        }
    }

    pub(super) fn frame(mut self, messages: Vec<Down>) -> Result<Applied, Stop> {
        for message in messages {
            if self.applied.done.is_some() || self.applied.failure.is_some() {
                return Err(SyncError::Protocol("a message behind the last one").into());
            }
            if !self.exchange.hello_seen && !matches!(message, Down::Hello { .. }) {
                return Err(SyncError::Protocol("an answer begins with Hello").into());
            }
            if moves::must_wait(self.log, self.exchange, &message)? {
                moves::hold_back(self.exchange);
                (self.state_changed, self.applied.held_back) = (true, true);
                break;
            }
            self.message(message)?;
        }
        self.store_documents()?;
        self.store_cursors()?;
        if self.state_changed {
            self.exchange.state.store(self.log)?;
        }
        Ok(self.applied)
    }

    fn message(&mut self, message: Down) -> Result<(), Stop> {
        match message {
            Down::Hello { server_time_ms, log, statement, statement_hash, taken, cursors_wanted, told } => {
                self.hello(server_time_ms, log, cursors_wanted)?;
                self.missed(told);
                self.statement(statement, &statement_hash, taken)
            }
            Down::Feeds { registry, feeds, roles, unit } => self.feeds(registry, &feeds, (&roles, &unit)),
            Down::Verdict { number, verdict } => self.verdict(number, &verdict),
            Down::Entry { feed, entry } => self.entry(feed, entry),
            Down::Changes(changes) => self.changes(changes),
            Down::Head { feed, after_ms, signature } => self.head(feed, after_ms, signature),
            Down::Done { more, digest, revoked } => {
                let revoked = self.is_revoked(revoked.map(Into::into))?;
                self.done(more, digest.map(Into::into), revoked)
            }
            Down::Error(answer) => {
                self.applied.failure = Some(answer);
                Ok(())
            }
            Down::Form(form) => self.form(&form),
            Down::Segments { feed, segments } => self.segments(feed, segments),
            Down::Restored { awaiting, feeds } => self.restored(awaiting, &feeds),
            // The reader opens packed forms and puts parts together.
            Down::Hosted(_) | Down::Devices(_) | Down::Certificate(_) | Down::PackedForm(_) | Down::Part { .. } => {
                Err(SyncError::Protocol("a message that no phone is sent").into())
            }
        }
    }

    fn hello(&mut self, server_time_ms: i64, log: Option<LogId>, cursors_wanted: bool) -> Result<(), Stop> {
        let exchange = &mut *self.exchange;
        (exchange.hello_seen, exchange.server_time_ms) = (true, server_time_ms);
        if log.is_some_and(|log| log != exchange.identity.log) {
            return Err(SyncError::OtherLog.into());
        }
        let device_time_ms = exchange.device_time_ms;
        if server_time_ms.abs_diff(device_time_ms) > CLOCK_TOLERANCE_MS.unsigned_abs() {
            self.applied.events.push(PhoneEvent::ClockWrong { server_time_ms, device_time_ms });
        }
        if cursors_wanted {
            exchange.state.digest = None;
            self.state_changed = true;
        }
        Ok(())
    }

    /// Another half of a clone, or this phone before it was rolled back, has heard verdicts that are not here. Which
    /// changes they were about shows when all that the server has is here.
    fn missed(&mut self, told: Option<u64>) {
        let state = &mut self.exchange.state;
        if let Some(told) = told.filter(|told| *told > state.verdicts) {
            (state.verdicts, state.forked) = (told, true);
            self.exchange.progress = true;
            self.state_changed = true;
        }
    }

    /// What the server holds of this device: moves own changes on, or shows that the device was cloned or rolled back.
    fn statement(&mut self, number: u64, hash: &[u8], taken: Option<(u64, u32)>) -> Result<(), Stop> {
        let (last, _) = self.log.last_statement()?;
        let own = if number == 0 || number > last { None } else { self.log.statement_hash(number)? };
        let fits = number == 0 || (hash.len() >= 8 && own.is_some_and(|own| own.starts_with(hash)));
        let state = &mut self.exchange.state;
        // The server lost what it had taken.
        let unsent = taken < state.taken;
        if !fits {
            let hash = <[u8; 32]>::try_from(hash).map_err(|_| Stop::HashWanted)?;
            self.log.adopt_statement(number, &hash)?;
            state.forked = true;
        }
        if state.statement != number || state.taken != taken || !fits {
            self.exchange.progress = true;
            state.statement = number;
            state.taken = taken;
            self.state_changed = true;
        }
        if unsent {
            self.log.mark_unsent(taken)?;
        }
        if fits && number < last {
            self.drop_unsendable(number, own.unwrap_or_default(), last)?;
        }
        if let Some(taken) = taken {
            self.exchange.stats.changes_sent += self.log.mark_sent(taken)?;
        }
        Ok(())
    }

    /// After a fork a statement may be the other half's, of which only the hash is here: where the server lost it, it can
    /// be sent by nobody, and what follows it is stated anew.
    fn drop_unsendable(&mut self, mut number: u64, mut hash: StatementHash, last: u64) -> Result<(), LogError> {
        while number < last {
            let page = self.log.statements_after(number, PAGE_STATEMENTS)?;
            if page.first().is_none_or(|next| next.number != number + 1) {
                return self.log.adopt_statement(number, &hash);
            }
            let in_a_row = page.into_iter().zip(number + 1..).take_while(|(next, expected)| next.number == *expected);
            for (next, _) in in_a_row {
                (number, hash) = (next.number, next.hash);
            }
        }
        Ok(())
    }

    fn feeds(
        &mut self,
        registry: u64,
        feeds: &[(FeedId, u32)],
        (roles, unit): (&[(Role, String)], &str),
    ) -> Result<(), Stop> {
        if !feeds.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(SyncError::Protocol("the feeds are not in order").into());
        }
        self.store_documents()?;
        self.store_cursors()?;
        self.log.set_feeds(feeds, roles, unit)?;
        self.exchange.feeds = self.log.feeds()?;
        if self.exchange.feeds.len() != feeds.len() {
            return Err(LogError::other("the store does not hold the feeds that it was given").into());
        }
        self.exchange.state.registry = registry;
        self.exchange.state.leaving = true;
        self.exchange.progress = true;
        self.state_changed = true;
        self.applied.events.push(PhoneEvent::FeedsChanged);
        Ok(())
    }

    fn verdict(&mut self, number: u64, verdict: &Verdict) -> Result<(), Stop> {
        let state = &mut self.exchange.state;
        if number <= state.verdicts {
            return Ok(());
        }
        state.verdicts = number;
        self.state_changed = true;
        self.exchange.progress = true;
        if verdict.kind == VerdictKind::Refused && verdict.reason == PURGED {
            return self.erase(verdict.record);
        }
        self.exchange.stats.not_taken += u64::from(verdict.kind != VerdictKind::Taken);
        self.log.put_verdict(verdict)?;
        let own = self.log.outbox_of(&verdict.record)?.into_iter().find(|own| own.hash == verdict.change);
        match own.map(|own| own.status) {
            None | Some(ChangeState::Withdrawn | ChangeState::Entered(_)) => Ok(()),
            // It was put before the user, and a supervisor has admitted what was left of it.
            Some(ChangeState::NotTaken) if verdict.kind == VerdictKind::Taken => {
                Ok(self.log.set_status(&verdict.change, ChangeState::Withdrawn)?)
            }
            Some(_) => Ok(self.log.set_status(&verdict.change, ChangeState::NotTaken)?),
        }
    }

    /// An entry that is no change.
    fn entry(&mut self, feed: u32, entry: Entry) -> Result<(), Stop> {
        let Some(place) = self.place(feed, entry.position)? else { return Ok(()) };
        let leaf = chain::body_leaf(&entry.body).ok_or(SyncError::Protocol("a change outside of its message"))?;
        let kept = match &entry.body {
            // Its bytes are many, and an administrator publishes it again.
            EntryBody::Notice(Notice::Form { .. }) => EntryBody::Erased(leaf),
            other => other.clone(),
        };
        self.step(feed, &place, entry.received_ms, &leaf, Kept::Other(kept))?;
        self.effect(&place, entry.body)
    }

    fn changes(&mut self, message: ChangesDown) -> Result<(), Stop> {
        if self.is_known(&message) {
            return Ok(());
        }
        let documents = &self.documents;
        let held = |record: &RecordId, prefix: &[u8]| documents.get(record)?.document.change_by_prefix(prefix);
        let in_full = self.exchange.in_full;
        let mut names = PhoneNames { log: self.log, held: &held };
        let changes = unpack::unpack(&mut names, &mut self.exchange.room, in_full, message)?;
        for change in changes {
            self.change(change)?;
        }
        Ok(())
    }

    fn change(&mut self, change: Arrived) -> Result<(), Stop> {
        let Some(place) = self.place(change.feed, change.position)? else { return Ok(()) };
        let purged = self.log.is_purged(&change.record)?;
        let salt = match &change.first {
            Some(first) if purged => first.salt,
            Some(first) => self.start(&place, &change.record, first)?,
            None => {
                let meta = self.log.record_meta(&change.record)?;
                let salt = meta.and_then(|meta| meta.salt);
                salt.ok_or_else(|| place.misfit("a record begins in the middle"))?
            }
        };
        let leaf = chain::change_leaf(&salt, &change.hash);
        let kept = if purged { Kept::Other(EntryBody::Erased(leaf)) } else { Kept::Change(change.record, change.hash) };
        self.step(change.feed, &place, change.received_ms, &leaf, kept)?;
        let stats = &mut self.exchange.stats;
        match (change.own, change.transcoded) {
            (true, _) => {}
            (false, true) => stats.changes_transcoded += 1,
            (false, false) => stats.changes_raw += 1,
        }
        self.log.set_entered(&change.hash, &place.feed, place.position)?;
        if purged { Ok(()) } else { self.enter(&place, change.record, change.hash, &change.bytes) }
    }

    /// Where an entry stands; `None` if it was seen before.
    fn place(&self, feed: u32, position: u64) -> Result<Option<Place>, Stop> {
        let Some(feed) = self.exchange.feeds.get(feed as usize) else {
            return Err(SyncError::Protocol("an entry of a feed that is not followed").into());
        };
        let place = Place { feed: feed.feed.clone(), epoch: feed.epoch, position };
        if position <= feed.position {
            return Ok(None);
        }
        if position != feed.position + 1 {
            return Err(place.misfit("an entry is missing"));
        }
        Ok(Some(place))
    }

    /// Moves the feed's chain on to an entry, and keeps what it takes to give the entry back if the server loses it.
    fn step(
        &mut self,
        feed: u32,
        place: &Place,
        received_ms: i64,
        leaf: &[u8; 32],
        kept: Kept,
    ) -> Result<(), LogError> {
        let Some(own) = self.exchange.feeds.get_mut(feed as usize) else { return Ok(()) };
        own.chain = chain::next(&own.chain, place.position, received_ms, leaf);
        own.position = place.position;
        let entered = FeedEntry { position: place.position, received_ms, chain: own.chain, kept };
        self.moved.insert(feed as usize);
        self.exchange.progress = true;
        self.exchange.stats.entries += 1;
        self.log.put_feed_entry(&place.feed, &entered)
    }

    fn start(&mut self, place: &Place, record: &RecordId, first: &RecordStart) -> Result<[u8; 8], Stop> {
        let meta = moves::begin(self.log.record_meta(record)?, &place.feed, first);
        self.log.put_record_meta(record, &meta)?;
        Ok(first.salt)
    }

    fn effect(&mut self, place: &Place, body: EntryBody) -> Result<(), Stop> {
        match body {
            EntryBody::MovedOut { record, to, number } => self.moved(&record, &to, number)?,
            EntryBody::MovedIn { record, number, .. } => self.moved(&record, &place.feed, number)?,
            EntryBody::Purge { record } => self.erase(record)?,
            EntryBody::Notice(notice) => self.notice(place, &notice)?,
            EntryBody::Change { .. } | EntryBody::Erased(_) => {}
        }
        Ok(())
    }

    /// The record was purged: nothing of it stays, not even what was never sent.
    fn erase(&mut self, record: RecordId) -> Result<(), Stop> {
        self.documents.remove(&record);
        if self.log.is_purged(&record)? {
            return Ok(());
        }
        let waits = |own: &OutboxChange| !matches!(own.status, ChangeState::Entered(_) | ChangeState::Withdrawn);
        let unsent = self.log.outbox_of(&record)?.iter().filter(|own| waits(own)).count() as u64;
        self.log.purge(&record)?;
        self.applied.events.push(PhoneEvent::Erased { record, unsent });
        Ok(())
    }

    /// Merges an accepted change into its record; what this app cannot merge is kept as it came.
    fn enter(&mut self, place: &Place, record: RecordId, hash: ChangeHash, bytes: &[u8]) -> Result<(), Stop> {
        if let Err(reason) = self.merge(record, hash, bytes)? {
            let Place { feed, epoch, position } = place.clone();
            let pending = PendingEntry { feed, epoch, position, record, bytes: bytes.to_vec(), reason };
            self.log.put_pending(&pending)?;
            self.applied.events.push(PhoneEvent::NeedsNewerApp { record });
        }
        Ok(())
    }

    /// The inner error is the reason for which the change must wait.
    fn merge(&mut self, record: RecordId, hash: ChangeHash, bytes: &[u8]) -> Result<Result<(), String>, Stop> {
        let (held, form) = match self.hold(record)? {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        if held.document.contains(&hash) {
            return Ok(Ok(()));
        }
        match intake::judge(&held.document, &form, bytes, None) {
            Ok((taken, _)) => {
                if let Some((document, rendition)) = taken {
                    (held.document, held.rendition) = (document, Some(rendition));
                }
                held.changed = true;
                self.exchange.stats.changes_received += 1;
                Ok(Ok(()))
            }
            Err(refusal) => Ok(Err(reason_of(&refusal))),
        }
    }

    /// The record's document and its kind's current form, or why there is none.
    fn hold(&mut self, record: RecordId) -> Result<Result<(&mut Held, Arc<FormDefinition>), String>, Stop> {
        let Some(meta) = self.log.record_meta(&record)? else { return Ok(Err("unknown_record".to_owned())) };
        let Some(created_form) = self.log.form(&meta.kind, Some(&meta.created_version))? else {
            return Ok(Err("unknown_form".to_owned()));
        };
        let form = self.log.form(&meta.kind, None)?.unwrap_or_else(|| created_form.clone());
        if self.documents.len() >= DOCUMENTS_HELD_MAX && !self.documents.contains_key(&record) {
            self.store_documents()?;
        }
        if !self.documents.contains_key(&record) {
            let document = match self.log.document(&record)? {
                Some(document) => document,
                None => match Document::create(record, &created_form) {
                    Ok(document) => document,
                    Err(failure) => return Ok(Err(failure.to_string())),
                },
            };
            self.documents.insert(record, Held { document, changed: false, rendition: None });
        }
        Ok(self.documents.get_mut(&record).map(|held| (held, form)).ok_or_else(|| "unknown_record".to_owned()))
    }

    /// Tries what waits for a record again.
    fn retry_pending(&mut self, record: RecordId) -> Result<(), Stop> {
        let waiting = self.log.pending_of(&record)?;
        let Ok((held, form)) = self.hold(record)? else { return Ok(()) };
        let merged = merge_waiting(&mut held.document, &form, &waiting);
        held.changed |= !merged.is_empty();
        for entry in merged {
            self.log.drop_pending(entry)?;
            self.exchange.stats.changes_received += 1;
        }
        Ok(())
    }

    fn notice(&mut self, place: &Place, notice: &Notice) -> Result<(), Stop> {
        self.store_documents()?;
        self.log.apply_notice(&place.feed, place.position, notice)?;
        if let Notice::Form { kind, version, form } = notice
            && !self.log.has_form(kind, version, form)?
        {
            let wanted = WantedForm { kind: kind.clone(), version: version.clone(), hash: (*form).into() };
            let forms = &mut self.exchange.state.forms;
            forms.retain(|other| (&other.kind, &other.version) != (kind, version));
            forms.push(wanted);
            self.state_changed = true;
        }
        Ok(())
    }

    /// A form; one that no notice has named, or that is here, changes nothing.
    fn form(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let hash: [u8; 32] = Sha256::digest(bytes).into();
        let Some(at) = self.exchange.state.forms.iter().position(|wanted| *wanted.hash == hash) else { return Ok(()) };
        let WantedForm { kind, version, .. } = self.exchange.state.forms.remove(at);
        let kind = kind.as_str();
        self.state_changed = true;
        self.exchange.progress = true;
        self.store_documents()?;
        self.log.put_form(kind, &version, bytes)?;
        self.applied.events.push(PhoneEvent::FormArrived { kind: kind.to_owned(), version });
        let mut after = None;
        loop {
            let page = self.log.pending_records(kind, after.as_ref(), PAGE_PENDING)?;
            let Some(last) = page.last().copied() else { return Ok(()) };
            for record in page {
                self.retry_pending(record)?;
            }
            self.store_documents()?;
            after = Some(last);
        }
    }

    pub(super) fn store_documents(&mut self) -> Result<(), Stop> {
        let changed: Vec<RecordId> =
            self.documents.iter().filter(|(_, held)| held.changed).map(|(record, _)| *record).collect();
        for record in changed {
            if self.log.has_pending(&record)? {
                self.retry_pending(record)?;
            }
            if let Some(held) = self.documents.remove(&record) {
                let conflicts = self.log.put_document(&record, &held.document, held.rendition)?;
                self.applied.events.push(PhoneEvent::RecordChanged { record, conflicts });
            }
        }
        self.documents.clear();
        Ok(())
    }

    fn store_cursors(&mut self) -> Result<(), Stop> {
        for index in std::mem::take(&mut self.moved) {
            let feed = &self.exchange.feeds[index];
            self.log.put_cursor(&feed.feed, feed.position, &feed.chain)?;
        }
        Ok(())
    }

    /// The signature over a feed's head, which is where this phone has come.
    fn head(&mut self, feed: u32, after_ms: i64, signature: [u8; 64]) -> Result<(), Stop> {
        let identity = &self.exchange.identity;
        let Some(own) = self.exchange.feeds.get_mut(feed as usize) else {
            return Err(SyncError::Protocol("a head of a feed that is not followed").into());
        };
        let head = SignedHead {
            log: identity.log,
            feed: own.feed.clone(),
            epoch: own.epoch,
            position: own.position,
            chain: own.chain,
            time_ms: self.exchange.server_time_ms.saturating_add(after_ms),
            signature,
        };
        if !signing::verify_head(&identity.server_key, &head) {
            let place = Place { feed: head.feed, epoch: head.epoch, position: head.position };
            return Err(place.misfit("its entries do not chain to a head that this server signed"));
        }
        own.head_position = head.position;
        self.store_cursors()?;
        Ok(self.log.put_head(&head)?)
    }

    /// Erasing a store is for nobody but the server that this device enrolled with, and not for an answer of another day.
    fn is_revoked(&self, signature: Option<[u8; 64]>) -> Result<bool, Stop> {
        let Some(signature) = signature else { return Ok(false) };
        let PhoneIdentity { device, log, server_key, .. } = self.exchange.identity;
        let word = Revocation { log, device, counter: self.exchange.state.counter };
        if word.is_signed_by(&server_key, &signature) {
            return Ok(true);
        }
        Err(SyncError::Protocol("the word that this device is revoked is not signed by its server").into())
    }

    fn done(&mut self, more: bool, digest: Option<[u8; 16]>, revoked: bool) -> Result<(), Stop> {
        self.forget_segments(more)?;
        let exchange = &mut *self.exchange;
        let own = super::request::cursor_set(&exchange.identity, exchange.state.registry, &exchange.feeds).digest();
        let confirmed = match digest {
            Some(digest) => digest == own,
            None => !revoked && own == exchange.digest && exchange.state.digest.is_some(),
        };
        let state = &mut exchange.state;
        if !exchange.restored {
            state.recalls.clear();
        }
        state.digest = confirmed.then(|| own.into());
        if exchange.probe && state.open_upload && !exchange.progress {
            state.halve_upload();
        } else if !exchange.probe {
            state.up_bytes = 0;
        }
        state.open = false;
        state.open_upload = false;
        state.revoked = revoked;
        // A probe brought nothing up: what the server could not make out is still to be sent.
        if !more && (!exchange.probe || self.log.unsent(state.taken, 1)?.is_empty()) {
            state.in_full = false;
        }
        self.state_changed = true;
        self.applied.done = Some((more, revoked));
        Ok(())
    }
}
