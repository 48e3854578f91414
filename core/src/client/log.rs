//! The phone's store as the sync machine sees it. Everything that arrives goes through the same transaction and the
//! same read row as a save.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::ErrorKind;
use super::enrol::Enrolment;
use super::error::Fault;
use super::fieldbook::Fieldbook;
use super::row::read_row;
use super::session;
use crate::access::{FeedId, Role};
use crate::document::{ChangeState, Document, PendingEntry, RawChange, RecordMeta, Rendition};
use crate::forms::FormDefinition;
use crate::ids::{ActorId, ChangeHash, RecordId};
use crate::protocol::limits::{CHANGE_PREFIX_BYTES, RECORD_PREFIX_BYTES};
use crate::protocol::{EntryBody, Notice, SignedHead, StatementHash, Verdict, change_hash};
use crate::store::{ActorRow, FeedEntryRow, OutboxRow, ReviewRow, StatementRow, VerdictRow, View, Write};
use crate::sync::phone::{
    FeedEntry, FollowedFeed, Kept, Leaving, NotTaken, OutboxChange, PhoneIdentity, PhoneLog, StoredStatement, Unsent,
    Unstated,
};
use crate::sync::{LogError, LogErrorKind, chain, from_cbor, to_cbor};

/// Setting: what the sync machine remembers.
pub(super) const SYNC_STATE: &str = "sync_state";

/// The store of one phone, with the transaction that is open.
pub(super) struct StoreLog<'s> {
    book: &'s Fieldbook,
    write: Option<Write<'s>>,
}

impl<'s> StoreLog<'s> {
    pub(super) fn new(book: &'s Fieldbook) -> Self {
        Self { book, write: None }
    }

    fn look<T>(&self, work: impl FnOnce(View<'_>) -> Result<T, Fault>) -> Result<T, LogError> {
        match &self.write {
            Some(write) => work(write.view()),
            None => self.book.store.read(work),
        }
        .map_err(LogError::from)
    }

    fn put<T>(&self, work: impl FnOnce(&Write<'_>) -> Result<T, Fault>) -> Result<T, LogError> {
        match &self.write {
            Some(write) => work(write),
            None => self.book.store.write(work),
        }
        .map_err(LogError::from)
    }

    /// Stores a document with its read row; the record's meta is known.
    fn store_document(
        &self,
        write: &Write<'_>,
        record: &RecordId,
        document: &Document,
        rendition: Option<Rendition>,
    ) -> Result<u32, Fault> {
        let view = write.view();
        let meta = view.meta(record)?.ok_or_else(|| Fault::internal("a document without a record"))?;
        let form = self.book.form_in(view, &meta.kind, None)?;
        let review = session::last_review(view, document)?;
        let rendition = Rendition::after(document, form.definition(), rendition);
        let row = read_row(document, &rendition, &form, &meta.feed.unit, review.as_ref(), self.book.language().tag());
        write.put_record(record, rendition.body(), &row)?;
        Ok(row.conflict_count)
    }

    fn apply(&self, write: &Write<'_>, feed: &FeedId, position: u64, notice: &Notice) -> Result<(), Fault> {
        match notice {
            // It comes by itself.
            Notice::Form { .. } => Ok(()),
            Notice::Actor { actor, device, user, name } => {
                Ok(write.put_actor(&ActorRow { actor: *actor, device: *device, user: *user, name: name.clone() })?)
            }
            Notice::Unit(unit) => {
                Enrolment::note_unit(write, unit)?;
                Ok(write.put_unit(unit)?)
            }
            Notice::Root { root, signature } => Enrolment::note_successor(write, root, signature),
            Notice::Review(review) => {
                let view = write.view();
                let document = stored_document(view, &review.record)?;
                write.put_review(&ReviewRow {
                    record: review.record,
                    feed: feed.clone(),
                    position,
                    submission: document.as_ref().and_then(|document| document.submission_at(&review.heads)),
                    bytes: cbor(review)?,
                })?;
                if let Some(document) = document {
                    self.store_document(write, &review.record, &document, None)?;
                }
                Ok(())
            }
        }
    }
}

fn cbor<T: minicbor::Encode<()>>(value: &T) -> Result<Vec<u8>, Fault> {
    minicbor::to_vec(value).map_err(|error| Fault::internal(error.to_string()))
}

fn stored_document(view: View<'_>, record: &RecordId) -> Result<Option<Document>, Fault> {
    view.body(record)?.map(|body| Document::load(&body).map_err(Fault::from)).transpose()
}

impl From<Fault> for LogError {
    fn from(fault: Fault) -> Self {
        let kind = match fault.kind() {
            ErrorKind::StorageFull => LogErrorKind::Full,
            ErrorKind::StorageFailed => LogErrorKind::Storage,
            ErrorKind::Damaged => LogErrorKind::Damaged,
            _ => LogErrorKind::Other,
        };
        LogError { kind, detail: fault.detail_text().to_owned() }
    }
}

/// What is kept of the entry of a record that is not here any more.
fn leaf(salt: Option<[u8; 8]>, hash: Option<ChangeHash>, body: Option<&[u8]>) -> Option<Vec<u8>> {
    let leaf = match (hash, body) {
        (Some(hash), _) => chain::change_leaf(&salt?, &hash),
        (None, body) => chain::body_leaf(&from_cbor::<EntryBody>(body?)?)?,
    };
    Some(to_cbor(&EntryBody::Erased(leaf)))
}

fn outbox_change(row: OutboxRow) -> OutboxChange {
    let OutboxRow { hash, record, feed, statement, state: status, bytes, .. } = row;
    OutboxChange { hash, record, feed, statement, status, bytes }
}

fn unsent(view: View<'_>, row: OutboxRow) -> Result<Unsent, Fault> {
    let (statement, index) = row.statement.unwrap_or_default();
    let meta = view.meta(&row.record)?.filter(|meta| meta.salt.is_some());
    let same = |meta: RecordMeta| (meta.kind, meta.created_version) == (row.kind.clone(), row.created_version.clone());
    Ok(Unsent {
        statement,
        index,
        record: row.record,
        known: meta.is_some_and(same),
        kind: row.kind,
        created_version: row.created_version,
        form_version: row.form_version,
        bytes: row.bytes,
    })
}

fn stored_statement(row: StatementRow) -> Result<StoredStatement, Fault> {
    let signature = <[u8; 64]>::try_from(row.signature.as_slice())
        .map_err(|_| Fault::internal(format!("statement {} has no signature", row.number)))?;
    Ok(StoredStatement { number: row.number, hash: row.hash, bytes: row.bytes, signature })
}

/// The record about which an entry says something that a purge must erase.
fn record_of(body: &EntryBody) -> Option<RecordId> {
    match body {
        EntryBody::Notice(Notice::Review(review)) => Some(review.record),
        _ => None,
    }
}

impl PhoneLog for StoreLog<'_> {
    fn begin(&mut self) -> Result<(), LogError> {
        if self.write.is_some() {
            return Err(LogError::other("a transaction is open already"));
        }
        self.write = Some(self.book.store.begin().map_err(Fault::from)?);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LogError> {
        let write = self.write.take().ok_or_else(|| LogError::other("no transaction is open"))?;
        Ok(write.commit().map_err(Fault::from)?)
    }

    fn rollback(&mut self) {
        self.write = None;
        // A form that came in this transaction is not there any more.
        self.book.forget_forms();
    }

    fn identity(&mut self) -> Result<PhoneIdentity, LogError> {
        let enrolment = self.look(Enrolment::load)?.ok_or_else(|| LogError::other("the phone is not enrolled"))?;
        Ok(PhoneIdentity {
            device: enrolment.device,
            user: enrolment.user,
            log: enrolment.log,
            server_key: enrolment.server_key,
        })
    }

    fn sync_state(&mut self) -> Result<Option<Vec<u8>>, LogError> {
        self.look(|view| Ok(view.setting(SYNC_STATE)?))
    }

    fn put_sync_state(&mut self, state: &[u8]) -> Result<(), LogError> {
        self.put(|write| Ok(write.put_setting(SYNC_STATE, state)?))
    }

    fn actor(&mut self) -> Result<ActorId, LogError> {
        self.look(session::actor)
    }

    fn set_actor(&mut self, actor: ActorId) -> Result<(), LogError> {
        self.put(|write| session::put_actor(write, actor))
    }

    fn is_own_actor(&mut self, actor: &ActorId) -> Result<bool, LogError> {
        let device = self.identity()?.device;
        self.look(|view| {
            let known = view.actor(actor)?.is_some_and(|row| row.device == device);
            Ok(known || session::actor(view)? == *actor)
        })
    }

    fn feeds(&mut self) -> Result<Vec<FollowedFeed>, LogError> {
        self.look(|view| {
            Ok(view
                .feeds()?
                .into_iter()
                .map(|cursor| FollowedFeed {
                    feed: cursor.feed,
                    epoch: cursor.epoch,
                    position: cursor.position,
                    chain: cursor.chain,
                    head_position: cursor.head_position,
                })
                .collect())
        })
    }

    fn set_feeds(&mut self, feeds: &[(FeedId, u32)], roles: &[(Role, String)], unit: &str) -> Result<(), LogError> {
        self.put(|write| {
            Enrolment::set_place(write, roles, unit)?;
            Ok(write.set_feeds(feeds)?)
        })
    }

    fn remove_unfollowed(&mut self) -> Result<Leaving, LogError> {
        self.put(|write| {
            let (removed, waiting) = write.remove_unfollowed(&|salt, hash, body| leaf(Some(salt), hash, body))?;
            Ok(Leaving { removed, waiting })
        })
    }

    fn put_cursor(&mut self, feed: &FeedId, position: u64, chain: &[u8; 32]) -> Result<(), LogError> {
        self.put(|write| Ok(write.put_cursor(feed, position, chain)?))
    }

    fn put_head(&mut self, head: &SignedHead) -> Result<(), LogError> {
        self.put(|write| Ok(write.put_head(&head.feed, head.position, &cbor(head)?)?))
    }

    fn put_feed_entry(&mut self, feed: &FeedId, entry: &FeedEntry) -> Result<(), LogError> {
        let (record, hash, body) = match &entry.kept {
            Kept::Change(record, hash) => (Some(*record), Some(*hash), None),
            Kept::Other(body) => (record_of(body), None, Some(cbor(body)?)),
        };
        let (position, received_ms, chain) = (entry.position, entry.received_ms, entry.chain);
        let row = FeedEntryRow { position, received_ms, chain, record, hash, body };
        self.put(|write| Ok(write.put_feed_entry(feed, &row)?))
    }

    fn feed_entry(&mut self, feed: &FeedId, position: u64) -> Result<Option<FeedEntry>, LogError> {
        let Some(row) = self.look(|view| Ok(view.feed_entry(feed, position)?))? else { return Ok(None) };
        let kept = match (row.record, row.hash, row.body) {
            (Some(record), Some(hash), _) => Kept::Change(record, hash),
            (_, _, Some(body)) => Kept::Other(from_cbor(&body).ok_or_else(|| LogError::damaged("an entry"))?),
            _ => return Err(LogError::damaged("an entry of a feed")),
        };
        Ok(Some(FeedEntry { position, received_ms: row.received_ms, chain: row.chain, kept }))
    }

    fn signed_head(&mut self, feed: &FeedId) -> Result<Option<SignedHead>, LogError> {
        let Some(head) = self.look(|view| Ok(view.head(feed)?))? else { return Ok(None) };
        from_cbor(&head).map(Some).ok_or_else(|| LogError::damaged("a signed head"))
    }

    fn mark_lost(&mut self, feed: &FeedId, above: u64) -> Result<(), LogError> {
        self.put(|write| Ok(write.mark_lost(feed, above)?))
    }

    fn rewind(&mut self, feed: &FeedId, position: u64, chain: &[u8; 32]) -> Result<(), LogError> {
        self.put(|write| Ok(write.rewind(feed, position, chain)?))
    }

    fn mark_unsent(&mut self, beyond: Option<(u64, u32)>) -> Result<(), LogError> {
        self.put(|write| Ok(write.mark_unsent(beyond)?))
    }

    fn unstated(&mut self, limit: usize) -> Result<Vec<Unstated>, LogError> {
        self.look(|view| {
            let rows = view.unstated(limit)?;
            Ok(rows
                .into_iter()
                .map(|row| Unstated {
                    record: row.record,
                    feed: row.feed,
                    actor: row.actor,
                    hash: row.hash,
                    size: row.bytes.len(),
                })
                .collect())
        })
    }

    fn put_statement(&mut self, statement: &StoredStatement, changes: &[ChangeHash]) -> Result<(), LogError> {
        let row = StatementRow {
            number: statement.number,
            hash: statement.hash,
            bytes: statement.bytes.clone(),
            signature: statement.signature.to_vec(),
        };
        self.put(|write| Ok(write.put_statement(&row, changes)?))
    }

    fn last_statement(&mut self) -> Result<(u64, StatementHash), LogError> {
        self.look(|view| Ok(view.last_statement()?.map_or((0, [0; 32]), |row| (row.number, row.hash))))
    }

    fn statement_hash(&mut self, number: u64) -> Result<Option<StatementHash>, LogError> {
        self.look(|view| Ok(view.statement(number)?.map(|row| row.hash)))
    }

    fn adopt_statement(&mut self, number: u64, hash: &StatementHash) -> Result<(), LogError> {
        self.put(|write| {
            session::doubt_own_actors(write)?;
            Ok(write.adopt_statement(number, hash)?)
        })
    }

    fn statements_after(&mut self, number: u64, limit: usize) -> Result<Vec<StoredStatement>, LogError> {
        self.look(|view| view.statements_after(number, limit)?.into_iter().map(stored_statement).collect())
    }

    fn unsent(&mut self, after: Option<(u64, u32)>, limit: usize) -> Result<Vec<Unsent>, LogError> {
        self.look(|view| {
            let mut after = after;
            // Behind what the server has there is nothing but stated changes, save after an interrupted marking.
            loop {
                let page = view.unacknowledged(after, limit)?;
                let Some(last) = page.last() else { return Ok(Vec::new()) };
                after = last.statement;
                let stated = page.into_iter().filter(|row| row.state == ChangeState::Stated);
                let found: Vec<Unsent> = stated.map(|row| unsent(view, row)).collect::<Result<_, _>>()?;
                if !found.is_empty() {
                    return Ok(found);
                }
            }
        })
    }

    fn mark_sent(&mut self, through: (u64, u32)) -> Result<u64, LogError> {
        self.put(|write| Ok(write.mark_sent(through)?))
    }

    fn mark_held(&mut self, through: (u64, u32)) -> Result<u64, LogError> {
        self.put(|write| Ok(write.mark_held(through)?))
    }

    fn mark_not_held(&mut self, beyond: Option<(u64, u32)>) -> Result<(), LogError> {
        self.put(|write| Ok(write.mark_not_held(beyond).map(|_| ())?))
    }

    fn outbox_records(&mut self, after: Option<&RecordId>, limit: usize) -> Result<Vec<RecordId>, LogError> {
        self.look(|view| Ok(view.outbox_records(after, limit)?))
    }

    fn outbox_of(&mut self, record: &RecordId) -> Result<Vec<OutboxChange>, LogError> {
        self.look(|view| Ok(view.outbox_of(record)?.into_iter().map(outbox_change).collect()))
    }

    fn own_change(&mut self, statement: u64, index: u32) -> Result<Option<OutboxChange>, LogError> {
        self.look(|view| Ok(view.outbox_at(statement, index)?.map(outbox_change)))
    }

    fn set_status(&mut self, hash: &ChangeHash, status: ChangeState) -> Result<(), LogError> {
        self.put(|write| Ok(write.set_change_state(hash, status)?))
    }

    fn set_entered(&mut self, hash: &ChangeHash, feed: &FeedId, position: u64) -> Result<(), LogError> {
        self.put(|write| Ok(write.set_entered(hash, feed, position)?))
    }

    fn add_to_outbox(&mut self, record: &RecordId, feed: &FeedId, change: &RawChange) -> Result<(), LogError> {
        self.put(|write| {
            let view = write.view();
            let meta = view.meta(record)?.ok_or_else(|| Fault::internal("an outbox change without a record"))?;
            let form_version = view.current_form(&meta.kind)?.unwrap_or_else(|| meta.created_version.clone());
            Ok(write.put_outbox(&OutboxRow {
                hash: change.hash,
                record: *record,
                kind: meta.kind,
                created_version: meta.created_version,
                form_version,
                feed: feed.clone(),
                actor: change.actor,
                state: ChangeState::Unstated,
                statement: None,
                bytes: change.bytes.clone(),
            })?)
        })
    }

    fn put_verdict(&mut self, verdict: &Verdict) -> Result<(), LogError> {
        self.put(|write| {
            let row = VerdictRow { change: verdict.change, record: verdict.record, bytes: cbor(verdict)? };
            Ok(write.put_verdict(&row)?)
        })
    }

    fn verdict(&mut self, change: &ChangeHash) -> Result<Option<Verdict>, LogError> {
        self.look(|view| {
            view.verdict(change)?.map(|bytes| minicbor::decode(&bytes).map_err(Fault::internal)).transpose()
        })
    }

    fn unsettled(&mut self, limit: usize) -> Result<Vec<RecordId>, LogError> {
        self.look(|view| Ok(view.unsettled(limit)?))
    }

    fn settle(&mut self, record: &RecordId, not_taken: &[NotTaken]) -> Result<(), LogError> {
        self.put(|write| {
            let rows = not_taken.iter().map(|one| self.book.not_taken_row(write.view(), one));
            Ok(write.settle(record, &rows.collect::<Result<Vec<_>, _>>()?)?)
        })
    }

    fn record_meta(&mut self, record: &RecordId) -> Result<Option<RecordMeta>, LogError> {
        self.look(|view| Ok(view.meta(record)?))
    }

    fn put_record_meta(&mut self, record: &RecordId, meta: &RecordMeta) -> Result<(), LogError> {
        self.put(|write| Ok(write.put_meta(record, meta)?))
    }

    fn record_by_prefix(&mut self, prefix: &[u8; RECORD_PREFIX_BYTES]) -> Result<Option<RecordId>, LogError> {
        self.look(|view| Ok(view.record_by_prefix(prefix)?))
    }

    fn change_by_prefix(
        &mut self,
        record: &RecordId,
        prefix: &[u8; CHANGE_PREFIX_BYTES],
    ) -> Result<Option<ChangeHash>, LogError> {
        self.look(|view| {
            // Mostly it is what the record shows now, and that is read without its document.
            let heads = view.heads(record)?.unwrap_or_default();
            if let Some(head) = heads.into_iter().find(|head| head.0.starts_with(prefix)) {
                return Ok(Some(head));
            }
            let known = stored_document(view, record)?.and_then(|document| document.change_by_prefix(prefix));
            let pending = view.pending_of(record)?;
            let waiting = || pending.iter().filter_map(|entry| change_hash(&entry.bytes));
            Ok(known.or_else(|| waiting().find(|hash| hash.0.starts_with(prefix))))
        })
    }

    fn document(&mut self, record: &RecordId) -> Result<Option<Document>, LogError> {
        self.look(|view| stored_document(view, record))
    }

    fn put_document(
        &mut self,
        record: &RecordId,
        document: &Document,
        rendition: Option<Rendition>,
    ) -> Result<u32, LogError> {
        self.put(|write| self.store_document(write, record, document, rendition))
    }

    fn form(&mut self, kind: &str, version: Option<&str>) -> Result<Option<Arc<FormDefinition>>, LogError> {
        self.look(|view| match self.book.definition_in(view, kind, version) {
            Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        })
    }

    fn has_form(&mut self, kind: &str, version: &str, hash: &[u8; 32]) -> Result<bool, LogError> {
        let held = self.look(|view| Ok(view.form(kind, version)?))?;
        Ok(held.is_some_and(|bytes| <[u8; 32]>::from(Sha256::digest(bytes)) == *hash))
    }

    fn put_form(&mut self, kind: &str, version: &str, form: &[u8]) -> Result<(), LogError> {
        self.put(|write| Ok(write.put_form(kind, version, form)?))?;
        self.book.forget_form(kind, version);
        Ok(())
    }

    fn apply_notice(&mut self, feed: &FeedId, position: u64, notice: &Notice) -> Result<(), LogError> {
        self.put(|write| self.apply(write, feed, position, notice))
    }

    fn purge(&mut self, record: &RecordId) -> Result<(), LogError> {
        self.book.forget_document(record);
        self.put(|write| {
            let salt = write.view().meta(record)?.and_then(|meta| meta.salt);
            Ok(write.purge(record, &|hash, body| leaf(salt, hash, body))?)
        })
    }

    fn is_purged(&mut self, record: &RecordId) -> Result<bool, LogError> {
        self.look(|view| Ok(view.is_purged(record)?))
    }

    fn move_record(&mut self, record: &RecordId, to: &FeedId, number: u64) -> Result<(), LogError> {
        self.put(|write| Ok(write.move_record(record, to, number)?))
    }

    fn put_pending(&mut self, entry: &PendingEntry) -> Result<(), LogError> {
        self.put(|write| Ok(write.put_pending(entry)?))
    }

    fn has_pending(&mut self, record: &RecordId) -> Result<bool, LogError> {
        self.look(|view| Ok(view.has_pending(record)?))
    }

    fn pending_records(
        &mut self,
        kind: &str,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Vec<RecordId>, LogError> {
        self.look(|view| Ok(view.pending_records(kind, after, limit)?))
    }

    fn pending_of(&mut self, record: &RecordId) -> Result<Vec<PendingEntry>, LogError> {
        self.look(|view| Ok(view.pending_of(record)?))
    }

    fn drop_pending(&mut self, entry: &PendingEntry) -> Result<(), LogError> {
        self.put(|write| Ok(write.drop_pending(&entry.feed, entry.epoch, entry.position)?))
    }

    fn segment_bytes(&mut self, name: &[u8; 32]) -> Result<Vec<u8>, LogError> {
        self.look(|view| Ok(view.segment_bytes(name)?))
    }

    fn kept_segments(&mut self) -> Result<Vec<[u8; 32]>, LogError> {
        self.look(|view| Ok(view.kept_segments()?))
    }

    fn add_segment_bytes(&mut self, name: &[u8; 32], at: u64, bytes: &[u8]) -> Result<(), LogError> {
        self.put(|write| Ok(write.add_segment_bytes(name, at, bytes)?))
    }

    fn forget_segments(&mut self, but: &[[u8; 32]]) -> Result<(), LogError> {
        self.put(|write| Ok(write.forget_segments(but)?))
    }
}
