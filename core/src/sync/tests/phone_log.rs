//! A phone's log in memory, with real documents: transactions are whole copies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fieldbook_core::access::{Area, FeedId, Role};
use fieldbook_core::document::{ChangeState, Document, PendingEntry, RawChange, RecordMeta, Rendition};
use fieldbook_core::forms::{Edit, FormDefinition, Values};
use fieldbook_core::ids::{ActorId, ChangeHash, RecordId};
use fieldbook_core::protocol::{EntryBody, Notice, SignedHead, StatementHash, Verdict};
use fieldbook_core::sync::phone::{
    FeedEntry, FollowedFeed, Kept, Leaving, NotTaken, OutboxChange, PhoneIdentity, PhoneLog, StoredStatement, Unsent,
    Unstated,
};
use fieldbook_core::sync::{LogError, chain, change_hash};

#[derive(Clone)]
pub struct Data {
    pub identity: PhoneIdentity,
    pub state: Option<Vec<u8>>,
    pub actor: ActorId,
    pub actors: BTreeSet<ActorId>,
    pub feeds: Vec<FollowedFeed>,
    pub outbox: Vec<OutboxChange>,
    pub held: Option<(u64, u32)>,
    pub statements: BTreeMap<u64, StoredStatement>,
    pub verdicts: BTreeMap<ChangeHash, Verdict>,
    pub unsettled: BTreeSet<RecordId>,
    pub not_taken: Vec<NotTaken>,
    pub metas: BTreeMap<RecordId, RecordMeta>,
    pub documents: BTreeMap<RecordId, Arc<Document>>,
    pub forms: BTreeMap<String, Vec<Arc<FormDefinition>>>,
    pub pending: Vec<PendingEntry>,
    pub purged: BTreeSet<RecordId>,
    pub entries: BTreeMap<(FeedId, u64), FeedEntry>,
    pub heads: BTreeMap<FeedId, SignedHead>,
    pub lost: BTreeSet<ChangeHash>,
    pub notices: usize,
    pub segments: BTreeMap<[u8; 32], Vec<u8>>,
}

pub struct MemoryPhone {
    pub data: Data,
    before: Option<Box<Data>>,
    pub unit: String,
    pub commits: usize,
}

impl MemoryPhone {
    pub fn new(identity: PhoneIdentity, actor: ActorId, unit: &str) -> Self {
        let data = Data {
            identity,
            state: None,
            actor,
            actors: BTreeSet::from([actor]),
            feeds: Vec::new(),
            outbox: Vec::new(),
            held: None,
            statements: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            not_taken: Vec::new(),
            metas: BTreeMap::new(),
            documents: BTreeMap::new(),
            forms: BTreeMap::new(),
            pending: Vec::new(),
            purged: BTreeSet::new(),
            entries: BTreeMap::new(),
            heads: BTreeMap::new(),
            lost: BTreeSet::new(),
            notices: 0,
            segments: BTreeMap::new(),
        };
        Self { data, before: None, unit: unit.to_owned(), commits: 0 }
    }

    pub fn form_now(&self, kind: &str) -> Arc<FormDefinition> {
        self.data.forms[kind].last().unwrap().clone()
    }

    /// What the store does when a screen saves.
    pub fn save(&mut self, record: RecordId, time_s: i64, edits: &[Edit]) -> Option<ChangeHash> {
        let form = self.form_now("household");
        let feed = FeedId { unit: self.unit.clone(), area: Area::Aid };
        let meta = RecordMeta {
            kind: "household".to_owned(),
            created_version: form.version.clone(),
            feed,
            salt: None,
            moves: 0,
        };
        self.data.metas.entry(record).or_insert(meta);
        let document = self.data.documents.entry(record);
        let document = Arc::make_mut(document.or_insert_with(|| Document::create(record, &form).unwrap().into()));
        let at = document.heads();
        let change = document.edit(&form, &at, self.data.actor, time_s, edits).unwrap()?;
        let hash = change.hash;
        let feed = self.data.metas[&record].feed.clone();
        self.add_to_outbox(&record, &feed, &change).unwrap();
        Some(hash)
    }

    pub fn values(&self, record: &RecordId) -> Values {
        self.data.documents[record].read(&self.form_now("household"))
    }

    pub fn shown(&self, record: &RecordId, field: &str) -> Option<String> {
        match self.values(record).fields.get(field) {
            Some(fieldbook_core::forms::Scalar::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    pub fn status(&self, hash: &ChangeHash) -> Option<ChangeState> {
        self.data.outbox.iter().find(|own| own.hash == *hash).map(|own| own.status)
    }

    /// Everything that two phones of the same scope must agree on.
    pub fn picture(&self) -> BTreeMap<RecordId, Vec<ChangeHash>> {
        self.data.documents.iter().map(|(record, document)| (*record, document.heads())).collect()
    }

    fn feed(&mut self, feed: &FeedId) -> &mut FollowedFeed {
        self.data.feeds.iter_mut().find(|followed| followed.feed == *feed).unwrap()
    }

    fn own(&mut self, hash: &ChangeHash) -> Option<&mut OutboxChange> {
        self.data.outbox.iter_mut().find(|own| own.hash == *hash)
    }
}

type Answer<T> = Result<T, LogError>;

impl PhoneLog for MemoryPhone {
    fn begin(&mut self) -> Answer<()> {
        assert!(self.before.is_none(), "a transaction is open already");
        self.before = Some(Box::new(self.data.clone()));
        Ok(())
    }
    fn commit(&mut self) -> Answer<()> {
        assert!(self.before.take().is_some(), "no transaction is open");
        self.commits += 1;
        Ok(())
    }
    fn rollback(&mut self) {
        if let Some(before) = self.before.take() {
            self.data = *before;
        }
    }
    fn identity(&mut self) -> Answer<PhoneIdentity> {
        Ok(self.data.identity.clone())
    }
    fn sync_state(&mut self) -> Answer<Option<Vec<u8>>> {
        Ok(self.data.state.clone())
    }
    fn put_sync_state(&mut self, state: &[u8]) -> Answer<()> {
        assert!(self.before.is_some());
        self.data.state = Some(state.to_vec());
        Ok(())
    }
    fn actor(&mut self) -> Answer<ActorId> {
        Ok(self.data.actor)
    }
    fn is_own_actor(&mut self, actor: &ActorId) -> Answer<bool> {
        Ok(self.data.actors.contains(actor))
    }
    fn set_actor(&mut self, actor: ActorId) -> Answer<()> {
        self.data.actors.insert(actor);
        self.data.actor = actor;
        Ok(())
    }
    fn feeds(&mut self) -> Answer<Vec<FollowedFeed>> {
        Ok(self.data.feeds.clone())
    }
    fn set_feeds(&mut self, feeds: &[(FeedId, u32)], _roles: &[(Role, String)], _unit: &str) -> Answer<()> {
        let old = std::mem::take(&mut self.data.feeds);
        for (feed, epoch) in feeds {
            let held = old.iter().find(|held| held.feed == *feed).cloned();
            let held = held.map(|held| FollowedFeed {
                head_position: if held.epoch == *epoch { held.head_position } else { 0 },
                epoch: *epoch,
                ..held
            });
            self.data.feeds.push(held.unwrap_or(FollowedFeed {
                feed: feed.clone(),
                epoch: *epoch,
                position: 0,
                chain: [0; 32],
                head_position: 0,
            }));
        }
        Ok(())
    }
    fn remove_unfollowed(&mut self) -> Answer<Leaving> {
        let Data { feeds, metas, outbox, unsettled, documents, .. } = &mut self.data;
        let waits = |record: &RecordId| {
            let unsent = |own: &&OutboxChange| matches!(own.status, ChangeState::Unstated | ChangeState::Stated);
            unsettled.contains(record) || outbox.iter().filter(unsent).any(|own| own.record == *record)
        };
        let left = |meta: &RecordMeta| !feeds.iter().any(|followed| followed.feed == meta.feed);
        let left: Vec<RecordId> = metas.iter().filter(|(_, meta)| left(meta)).map(|(record, _)| *record).collect();
        let gone: Vec<RecordId> = left.iter().filter(|record| !waits(record)).copied().collect();
        outbox.retain(|own| !gone.contains(&own.record));
        for record in &gone {
            documents.remove(record);
            metas.remove(record);
        }
        Ok(Leaving { removed: gone.len(), waiting: left.len() - gone.len() })
    }
    fn put_cursor(&mut self, feed: &FeedId, position: u64, chain: &[u8; 32]) -> Answer<()> {
        assert!(self.before.is_some());
        let followed = self.feed(feed);
        followed.position = position;
        followed.chain = *chain;
        Ok(())
    }
    fn put_head(&mut self, head: &SignedHead) -> Answer<()> {
        self.feed(&head.feed).head_position = head.position;
        self.data.heads.insert(head.feed.clone(), head.clone());
        for ((of, position), entry) in &self.data.entries {
            if let Kept::Change(_, hash) = &entry.kept
                && (of, *position <= head.position) == (&head.feed, true)
            {
                self.data.lost.remove(hash);
            }
        }
        self.data.outbox.retain(|own| {
            let here = own.feed == head.feed;
            !(here && matches!(own.status, ChangeState::Entered(position) if position <= head.position))
        });
        Ok(())
    }
    fn put_feed_entry(&mut self, feed: &FeedId, entry: &FeedEntry) -> Answer<()> {
        if let Kept::Change(_, hash) = &entry.kept {
            self.data.lost.remove(hash);
        }
        self.data.entries.insert((feed.clone(), entry.position), entry.clone());
        Ok(())
    }
    fn feed_entry(&mut self, feed: &FeedId, position: u64) -> Answer<Option<FeedEntry>> {
        Ok(self.data.entries.get(&(feed.clone(), position)).cloned())
    }
    fn signed_head(&mut self, feed: &FeedId) -> Answer<Option<SignedHead>> {
        Ok(self.data.heads.get(feed).cloned())
    }
    fn mark_lost(&mut self, feed: &FeedId, above: u64) -> Answer<()> {
        for ((of, position), entry) in &self.data.entries {
            if let Kept::Change(_, hash) = &entry.kept
                && of == feed
                && *position > above
            {
                self.data.lost.insert(*hash);
            }
        }
        Ok(())
    }
    fn rewind(&mut self, feed: &FeedId, position: u64, chain: &[u8; 32]) -> Answer<()> {
        self.data.entries.retain(|(of, at), _| of != feed || *at <= position);
        let followed = self.feed(feed);
        (followed.position, followed.chain) = (position, *chain);
        if followed.head_position > position {
            followed.head_position = 0;
            self.data.heads.remove(feed);
        }
        let metas = self.data.metas.clone();
        for own in &mut self.data.outbox {
            let here = metas.get(&own.record).is_some_and(|meta| meta.feed == *feed);
            if here && matches!(own.status, ChangeState::Entered(at) if at > position) {
                own.status = if own.statement.is_some() { ChangeState::Stated } else { ChangeState::Unstated };
            }
        }
        Ok(())
    }
    fn mark_unsent(&mut self, beyond: Option<(u64, u32)>) -> Answer<()> {
        for own in &mut self.data.outbox {
            if own.status == ChangeState::Sent && own.statement > beyond {
                own.status = ChangeState::Stated;
            }
        }
        Ok(())
    }
    fn unstated(&mut self, limit: usize) -> Answer<Vec<Unstated>> {
        let open = self.data.outbox.iter().filter(|own| own.status == ChangeState::Unstated);
        let found = open.take(limit).map(|own| Unstated {
            record: own.record,
            feed: own.feed.clone(),
            actor: self.data.documents[&own.record].change(&own.hash).unwrap().actor,
            hash: own.hash,
            size: own.bytes.len(),
        });
        Ok(found.collect())
    }
    fn put_statement(&mut self, statement: &StoredStatement, changes: &[ChangeHash]) -> Answer<()> {
        for (index, hash) in changes.iter().enumerate() {
            let own = self.own(hash).unwrap();
            own.statement = Some((statement.number, index as u32));
            own.status = ChangeState::Stated;
        }
        self.data.statements.insert(statement.number, statement.clone());
        Ok(())
    }
    fn last_statement(&mut self) -> Answer<(u64, StatementHash)> {
        Ok(self.data.statements.last_key_value().map_or((0, [0; 32]), |(number, stored)| (*number, stored.hash)))
    }
    fn statement_hash(&mut self, number: u64) -> Answer<Option<StatementHash>> {
        Ok(self.data.statements.get(&number).map(|stored| stored.hash))
    }
    fn adopt_statement(&mut self, number: u64, hash: &StatementHash) -> Answer<()> {
        self.data.statements.retain(|held, _| *held <= number);
        if number > 0 && self.data.statements.get(&number).is_none_or(|held| held.hash != *hash) {
            let adopted = StoredStatement { number, hash: *hash, bytes: Vec::new(), signature: [0; 64] };
            self.data.statements.insert(number, adopted);
        }
        for own in &mut self.data.outbox {
            if own.statement.is_none_or(|(stated, _)| stated <= number) {
                continue;
            }
            match own.status {
                ChangeState::Stated | ChangeState::Sent => own.status = ChangeState::Unstated,
                ChangeState::Entered(_) => {}
                _ => continue,
            }
            own.statement = None;
        }
        Ok(())
    }
    fn statements_after(&mut self, number: u64, limit: usize) -> Answer<Vec<StoredStatement>> {
        let whole = self.data.statements.range(number + 1..).filter(|(_, stored)| !stored.bytes.is_empty());
        Ok(whole.take(limit).map(|(_, stored)| stored.clone()).collect())
    }
    fn unsent(&mut self, after: Option<(u64, u32)>, limit: usize) -> Answer<Vec<Unsent>> {
        let mut open: Vec<&OutboxChange> =
            self.data.outbox.iter().filter(|own| own.status == ChangeState::Stated && own.statement > after).collect();
        open.sort_by_key(|own| own.statement);
        let up = open.into_iter().take(limit).map(|own| {
            let meta = &self.data.metas[&own.record];
            let (statement, index) = own.statement.unwrap();
            Unsent {
                statement,
                index,
                record: own.record,
                known: meta.salt.is_some(),
                kind: meta.kind.clone(),
                created_version: meta.created_version.clone(),
                form_version: meta.created_version.clone(),
                bytes: own.bytes.clone(),
            }
        });
        Ok(up.collect())
    }
    fn mark_sent(&mut self, through: (u64, u32)) -> Answer<u64> {
        let mut count = 0;
        for own in &mut self.data.outbox {
            if own.status == ChangeState::Stated && own.statement.is_some_and(|at| at <= through) {
                own.status = ChangeState::Sent;
                count += 1;
            }
        }
        Ok(count)
    }
    fn mark_held(&mut self, through: (u64, u32)) -> Answer<u64> {
        let before = self.data.held;
        self.data.held = before.max(Some(through));
        let new = |own: &&OutboxChange| {
            own.status == ChangeState::Stated && own.statement.is_some_and(|at| at <= through && Some(at) > before)
        };
        Ok(self.data.outbox.iter().filter(new).count() as u64)
    }
    fn mark_not_held(&mut self, beyond: Option<(u64, u32)>) -> Answer<()> {
        self.data.held = self.data.held.min(beyond);
        Ok(())
    }
    fn outbox_records(&mut self, after: Option<&RecordId>, limit: usize) -> Answer<Vec<RecordId>> {
        let open = |status| matches!(status, ChangeState::Unstated | ChangeState::Stated | ChangeState::Sent);
        let records: BTreeSet<RecordId> =
            self.data.outbox.iter().filter(|own| open(own.status)).map(|own| own.record).collect();
        Ok(records.into_iter().filter(|record| after.is_none_or(|after| record > after)).take(limit).collect())
    }
    fn outbox_of(&mut self, record: &RecordId) -> Answer<Vec<OutboxChange>> {
        Ok(self.data.outbox.iter().filter(|own| own.record == *record).cloned().collect())
    }
    fn own_change(&mut self, statement: u64, index: u32) -> Answer<Option<OutboxChange>> {
        Ok(self.data.outbox.iter().find(|own| own.statement == Some((statement, index))).cloned())
    }
    fn set_status(&mut self, hash: &ChangeHash, status: ChangeState) -> Answer<()> {
        if let Some(own) = self.own(hash) {
            own.status = status;
        }
        Ok(())
    }
    fn set_entered(&mut self, hash: &ChangeHash, feed: &FeedId, position: u64) -> Answer<()> {
        if let Some(own) = self.own(hash) {
            own.feed = feed.clone();
            own.status = ChangeState::Entered(position);
        }
        Ok(())
    }
    fn add_to_outbox(&mut self, record: &RecordId, feed: &FeedId, change: &RawChange) -> Answer<()> {
        self.data.outbox.push(OutboxChange {
            hash: change.hash,
            record: *record,
            feed: feed.clone(),
            statement: None,
            status: ChangeState::Unstated,
            bytes: change.bytes.clone(),
        });
        Ok(())
    }
    fn put_verdict(&mut self, verdict: &Verdict) -> Answer<()> {
        self.data.unsettled.insert(verdict.record);
        self.data.verdicts.insert(verdict.change, verdict.clone());
        Ok(())
    }
    fn verdict(&mut self, change: &ChangeHash) -> Answer<Option<Verdict>> {
        Ok(self.data.verdicts.get(change).cloned())
    }
    fn unsettled(&mut self, limit: usize) -> Answer<Vec<RecordId>> {
        Ok(self.data.unsettled.iter().take(limit).copied().collect())
    }
    fn settle(&mut self, record: &RecordId, not_taken: &[NotTaken]) -> Answer<()> {
        self.data.unsettled.remove(record);
        self.data.not_taken.extend_from_slice(not_taken);
        Ok(())
    }
    fn record_meta(&mut self, record: &RecordId) -> Answer<Option<RecordMeta>> {
        Ok(self.data.metas.get(record).cloned())
    }
    fn put_record_meta(&mut self, record: &RecordId, meta: &RecordMeta) -> Answer<()> {
        self.data.metas.insert(*record, meta.clone());
        Ok(())
    }
    fn record_by_prefix(&mut self, prefix: &[u8; 6]) -> Answer<Option<RecordId>> {
        Ok(one(self.data.metas.keys().filter(|id| id.0.starts_with(prefix))).copied())
    }
    fn change_by_prefix(&mut self, record: &RecordId, prefix: &[u8; 4]) -> Answer<Option<ChangeHash>> {
        let known = self.data.documents.get(record).and_then(|document| document.change_by_prefix(prefix));
        let waiting = self.data.pending.iter().filter(|entry| entry.record == *record);
        let waiting = waiting.filter_map(|entry| change_hash(&entry.bytes)).find(|hash| hash.0.starts_with(prefix));
        Ok(known.or(waiting))
    }
    fn document(&mut self, record: &RecordId) -> Answer<Option<Document>> {
        Ok(self.data.documents.get(record).map(|document| Document::clone(document)))
    }
    fn put_document(&mut self, record: &RecordId, document: &Document, _: Option<Rendition>) -> Answer<u32> {
        assert!(self.before.is_some());
        assert!(!self.data.purged.contains(record));
        self.data.documents.insert(*record, document.clone().into());
        let form = self.data.forms.get(&document.record().kind).and_then(|forms| forms.last());
        Ok(form.map_or(0, |form| document.conflicts(form).len()) as u32)
    }
    fn form(&mut self, kind: &str, version: Option<&str>) -> Answer<Option<Arc<FormDefinition>>> {
        let forms = self.data.forms.get(kind);
        Ok(forms.and_then(|forms| match version {
            None => forms.last().cloned(),
            Some(version) => forms.iter().find(|form| form.version == version).cloned(),
        }))
    }
    fn apply_notice(&mut self, _: &FeedId, _: u64, _: &Notice) -> Answer<()> {
        self.data.notices += 1;
        Ok(())
    }
    fn has_form(&mut self, kind: &str, version: &str, _: &[u8; 32]) -> Answer<bool> {
        Ok(self.form(kind, Some(version))?.is_some())
    }
    fn put_form(&mut self, kind: &str, _: &str, form: &[u8]) -> Answer<()> {
        let form: Option<FormDefinition> = fieldbook_core::sync::from_cbor(form);
        let form = form.ok_or_else(|| LogError::other("no form"))?;
        self.data.forms.entry(kind.to_owned()).or_default().push(Arc::new(form));
        Ok(())
    }
    fn purge(&mut self, record: &RecordId) -> Answer<()> {
        self.data.purged.insert(*record);
        let salt = self.data.metas.get(record).and_then(|meta| meta.salt);
        for entry in self.data.entries.values_mut() {
            if let Kept::Change(of, hash) = entry.kept
                && of == *record
            {
                entry.kept = Kept::Other(EntryBody::Erased(chain::change_leaf(&salt.unwrap(), &hash)));
            }
        }
        self.data.documents.remove(record);
        self.data.metas.remove(record);
        self.data.outbox.retain(|own| own.record != *record);
        self.data.pending.retain(|entry| entry.record != *record);
        Ok(())
    }
    fn is_purged(&mut self, record: &RecordId) -> Answer<bool> {
        Ok(self.data.purged.contains(record))
    }
    fn move_record(&mut self, record: &RecordId, to: &FeedId, number: u64) -> Answer<()> {
        let meta = self.data.metas.get_mut(record).ok_or_else(|| LogError::other("no such record"))?;
        (meta.feed, meta.moves) = (to.clone(), number);
        Ok(())
    }
    fn put_pending(&mut self, entry: &PendingEntry) -> Answer<()> {
        self.data.pending.push(entry.clone());
        Ok(())
    }
    fn has_pending(&mut self, record: &RecordId) -> Answer<bool> {
        Ok(self.data.pending.iter().any(|entry| entry.record == *record))
    }
    fn pending_records(&mut self, kind: &str, after: Option<&RecordId>, limit: usize) -> Answer<Vec<RecordId>> {
        let records: BTreeSet<RecordId> = self
            .data
            .pending
            .iter()
            .map(|entry| entry.record)
            .filter(|record| self.data.metas.get(record).is_some_and(|meta| meta.kind == kind))
            .filter(|record| after.is_none_or(|after| record > after))
            .collect();
        Ok(records.into_iter().take(limit).collect())
    }
    fn pending_of(&mut self, record: &RecordId) -> Answer<Vec<PendingEntry>> {
        Ok(self.data.pending.iter().filter(|entry| entry.record == *record).cloned().collect())
    }
    fn drop_pending(&mut self, entry: &PendingEntry) -> Answer<()> {
        self.data.pending.retain(|held| held != entry);
        Ok(())
    }

    fn segment_bytes(&mut self, name: &[u8; 32]) -> Answer<Vec<u8>> {
        Ok(self.data.segments.get(name).cloned().unwrap_or_default())
    }

    fn kept_segments(&mut self) -> Answer<Vec<[u8; 32]>> {
        Ok(self.data.segments.keys().copied().collect())
    }

    fn add_segment_bytes(&mut self, name: &[u8; 32], at: u64, bytes: &[u8]) -> Answer<()> {
        let kept = self.data.segments.entry(*name).or_default();
        assert_eq!(kept.len() as u64, at, "bytes of a segment leave a gap");
        kept.extend_from_slice(bytes);
        Ok(())
    }

    fn forget_segments(&mut self, but: &[[u8; 32]]) -> Answer<()> {
        self.data.segments.retain(|name, _| but.contains(name));
        Ok(())
    }
}

/// The only one, if there is one only.
pub fn one<T>(mut found: impl Iterator<Item = T>) -> Option<T> {
    let first = found.next()?;
    if found.next().is_some() { None } else { Some(first) }
}
