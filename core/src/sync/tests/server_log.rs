//! A server's log in memory, with real documents and intake.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::phone_log::one;
use fieldbook_core::access::{Area, FeedId, Role};
use fieldbook_core::document::Document;
use fieldbook_core::forms::FormDefinition;
use fieldbook_core::ids::{ActorId, ChangeHash, DeviceId, LogId, RecordId, UserId};
use fieldbook_core::intake::{self, Rights};
use fieldbook_core::protocol::{
    CreatedUnder, Entry, EntryBody, HostedDevice, Notice, Point, RecordStart, Returned, Segment, StatementHash, Verdict,
};
use fieldbook_core::sync::cursors::CursorPoint;
use fieldbook_core::sync::segment::Sealed;
use fieldbook_core::sync::server::{
    DeviceRow, Fate, FeedHead, LogEntry, ReturnedState, Scope, Sealing, ServerLog, StatementRow, TakenChange,
    verdict_of,
};
use fieldbook_core::sync::{LogError, chain, change_hash};
use sha2::{Digest, Sha256};

#[derive(Clone)]
pub struct Device {
    pub row: DeviceRow,
    pub scope: Scope,
    pub verdicts: Vec<(u64, Verdict)>,
    pub verdict_number: u64,
    pub cursor_sets: Vec<Vec<u8>>,
}

#[derive(Clone)]
pub struct Stored {
    pub feed: FeedId,
    pub kind: String,
    pub created_version: String,
    pub document: Arc<Document>,
    pub salt: Option<[u8; 8]>,
}

/// Device, number of its statement, index in it.
pub type Place = (DeviceId, u64, u32);

#[derive(Clone, Default)]
pub struct Data {
    pub devices: BTreeMap<DeviceId, Device>,
    pub statements: BTreeMap<(DeviceId, u64), StatementRow>,
    pub actors: BTreeMap<ActorId, DeviceId>,
    pub feeds: BTreeMap<FeedId, Vec<Arc<LogEntry>>>,
    pub records: BTreeMap<RecordId, Stored>,
    pub quarantine: BTreeMap<ChangeHash, (Verdict, Vec<u8>, Place)>,
    pub accepted: BTreeSet<ChangeHash>,
    pub forms: Vec<Arc<FormDefinition>>,
    pub purged: BTreeSet<RecordId>,
    pub epoch: u32,
    pub awaiting: bool,
    /// Entries beyond the log, by feed and chain.
    pub returned: BTreeMap<(FeedId, [u8; 32]), Held>,
    /// By feed, in order.
    pub segments: BTreeMap<FeedId, Vec<Sealed>>,
}

/// Position of an entry beyond the log, its state, and its content while it is staged.
type Held = (u64, ReturnedState, Option<Returned>);

pub struct MemoryServer {
    pub log: LogId,
    pub data: Data,
    before: Option<Box<Data>>,
    pub commits: usize,
    /// The commit after so many more fails, once.
    pub fail_in: Option<usize>,
    pub seal_at: Sealing,
    /// Segments sealed so far.
    pub sealed: u8,
    /// Whom each hub serves.
    pub serves: BTreeMap<DeviceId, BTreeSet<DeviceId>>,
}

type Answer<T> = Result<T, LogError>;

impl MemoryServer {
    pub fn new(log: LogId) -> Self {
        let seal_at = Sealing::default();
        let serves = BTreeMap::new();
        Self { log, data: Data::default(), before: None, commits: 0, fail_in: None, seal_at, sealed: 0, serves }
    }

    pub fn add_device(&mut self, device: DeviceId, user: UserId, key: [u8; 32], role: Role, feeds: &[FeedId]) {
        let row = DeviceRow {
            key,
            user,
            revoked: false,
            counter: 0,
            statement: 0,
            statement_hash: [0; 32],
            taken: None,
            told: 0,
        };
        let mut feeds: Vec<(FeedId, u32)> = feeds.iter().map(|feed| (feed.clone(), 0)).collect();
        feeds.sort();
        let scope = Scope { registry: 1, feeds, roles: vec![(role, "county".to_owned())], unit: "county".to_owned() };
        let device_row = Device { row, scope, verdicts: Vec::new(), verdict_number: 0, cursor_sets: Vec::new() };
        self.data.devices.insert(device, device_row);
    }

    pub fn publish(&mut self, form: FormDefinition, now_ms: i64) {
        let notice = Notice::Form {
            kind: form.kind.clone(),
            version: form.version.clone(),
            form: Sha256::digest(fieldbook_core::sync::to_cbor(&form)).into(),
        };
        self.data.forms.push(Arc::new(form));
        self.append(&general(), now_ms, EntryBody::Notice(notice), None, None);
    }

    pub fn append(
        &mut self,
        feed: &FeedId,
        received_ms: i64,
        body: EntryBody,
        stated: Option<(DeviceId, u64, u32)>,
        change: Option<(ChangeHash, [u8; 8])>,
    ) -> u64 {
        let entries = self.data.feeds.entry(feed.clone()).or_default();
        let previous = entries.last().map_or(chain::START, |last| last.chain);
        let position = entries.len() as u64 + 1;
        let leaf = match &change {
            Some((hash, salt)) => chain::change_leaf(salt, hash),
            None => chain::body_leaf(&body).unwrap(),
        };
        let chain = chain::next(&previous, position, received_ms, &leaf);
        let entry = Entry { position, received_ms, body };
        entries.push(Arc::new(LogEntry { entry, stated, hash: change.map(|(hash, _)| hash), chain }));
        position
    }

    fn known(&self, change: &TakenChange<'_>) -> Option<Fate> {
        if self.data.accepted.contains(&change.hash) {
            return Some(Fate::Known);
        }
        self.data.quarantine.get(&change.hash).map(|(verdict, _, _)| Fate::NotTaken(verdict.clone()))
    }

    fn set_apart(&mut self, change: &TakenChange<'_>, verdict: Verdict) -> Fate {
        let kept = (verdict.clone(), change.bytes.to_vec(), (change.device, change.statement, change.index));
        self.data.quarantine.insert(change.hash, kept);
        Fate::NotTaken(verdict)
    }

    fn accept(&mut self, change: &TakenChange<'_>, mut stored: Stored) -> Fate {
        let first = stored.salt.is_none().then(|| {
            let mut salt = [7; 8];
            salt.copy_from_slice(&change.hash.as_bytes()[8..16]);
            let (kind, created_version) = (stored.kind.clone(), stored.created_version.clone());
            RecordStart { kind, created_version, salt, moved: None }
        });
        let salt = stored.salt.or(first.as_ref().map(|first| first.salt)).unwrap();
        stored.salt = Some(salt);
        let body = EntryBody::Change { record: change.record, first, bytes: change.bytes.to_vec().into() };
        let feed = stored.feed.clone();
        self.data.records.insert(change.record, stored);
        self.data.accepted.insert(change.hash);
        let stated = Some((change.device, change.statement, change.index));
        Fate::Accepted(self.append(&feed, change.received_ms, body, stated, Some((change.hash, salt))))
    }

    fn points(&self, feed: &FeedId, wanted: ReturnedState) -> Vec<Point> {
        let of = self.data.returned.iter().filter(|((of, _), (_, state, _))| of == feed && *state == wanted);
        let mut points: Vec<Point> =
            of.map(|((_, chain), (position, ..))| Point { position: *position, chain: *chain }).collect();
        points.sort_by_key(|point| std::cmp::Reverse(point.position));
        points
    }

    fn take_entry_back(&mut self, entry: &Returned) -> bool {
        match &entry.body {
            EntryBody::Change { record, first: Some(first), bytes } => {
                let hash = change_hash(bytes).unwrap();
                if self.data.purged.contains(record) || self.data.accepted.contains(&hash) {
                    return true;
                }
                let forms = &self.data.forms;
                let form = forms.last().unwrap().clone();
                let created = forms.iter().find(|form| form.version == first.created_version).unwrap();
                let mut stored = self.data.records.get(record).cloned().unwrap_or_else(|| Stored {
                    feed: entry.feed.clone(),
                    kind: first.kind.clone(),
                    created_version: first.created_version.clone(),
                    document: Document::create(*record, created).unwrap().into(),
                    salt: None,
                });
                if intake::admit(Arc::make_mut(&mut stored.document), &form, bytes, None).is_err() {
                    return false;
                }
                let feed = stored.feed.clone();
                let change = TakenChange {
                    device: DeviceId([0; 16]),
                    user: UserId([0; 16]),
                    actor: ActorId([0; 16]),
                    statement: 0,
                    index: 0,
                    feed: &feed,
                    record: *record,
                    kind: &first.kind,
                    created_version: &first.created_version,
                    form_version: &first.created_version,
                    hash,
                    bytes,
                    received_ms: entry.received_ms,
                    quarantine: None,
                    relayed: false,
                };
                self.accept(&change, stored);
                true
            }
            EntryBody::Purge { record } => {
                self.purge(*record, &entry.feed, entry.received_ms);
                true
            }
            _ => true,
        }
    }

    /// The bytes of a segment.
    pub fn segment(&self, name: &[u8; 32]) -> Option<Vec<u8>> {
        let mut all = self.data.segments.values().flatten();
        all.find(|sealed| sealed.segment.name == *name).map(|sealed| sealed.bytes.clone())
    }

    /// First and last entry of each segment of a feed.
    pub fn segments_of(&self, feed: &FeedId) -> Vec<(u64, u64)> {
        let sealed = self.data.segments.get(feed).into_iter().flatten();
        sealed.map(|sealed| (sealed.segment.first, sealed.segment.through)).collect()
    }

    /// Erases a record.
    pub fn purge(&mut self, record: RecordId, feed: &FeedId, now_ms: i64) {
        self.data.segments.clear();
        if !self.data.purged.insert(record) {
            return;
        }
        let salt = self.data.records.remove(&record).and_then(|stored| stored.salt);
        for entry in self.data.feeds.values_mut().flatten() {
            let of = matches!(&entry.entry.body, EntryBody::Change { record: of, .. } if *of == record);
            if let (true, Some(hash)) = (of, entry.hash) {
                let entry = Arc::make_mut(entry);
                entry.entry.body = EntryBody::Erased(chain::change_leaf(&salt.unwrap(), &hash));
                (entry.hash, entry.stated) = (None, None);
                self.data.accepted.remove(&hash);
            }
        }
        self.append(feed, now_ms, EntryBody::Purge { record }, None, None);
    }

    /// A supervisor admits a quarantined change.
    pub fn admit(&mut self, hash: &ChangeHash, now_ms: i64) {
        let (verdict, bytes, (device, statement, index)) = self.data.quarantine.remove(hash).unwrap();
        let mut stored = self.data.records[&verdict.record].clone();
        let form = self.data.forms.last().unwrap().clone();
        intake::admit(Arc::make_mut(&mut stored.document), &form, &bytes, None).unwrap();
        let feed = stored.feed.clone();
        let change = TakenChange {
            device,
            user: UserId([0; 16]),
            actor: ActorId([0; 16]),
            statement,
            index,
            feed: &feed,
            record: verdict.record,
            kind: "household",
            created_version: "2",
            form_version: "2",
            hash: *hash,
            bytes: &bytes,
            received_ms: now_ms,
            quarantine: None,
            relayed: false,
        };
        self.accept(&change, stored);
    }
}

pub fn general() -> FeedId {
    FeedId { unit: "county".to_owned(), area: Area::General }
}

impl ServerLog for MemoryServer {
    fn begin(&mut self) -> Answer<()> {
        assert!(self.before.is_none());
        self.before = Some(Box::new(self.data.clone()));
        Ok(())
    }
    fn commit(&mut self) -> Answer<()> {
        assert!(self.before.is_some());
        if let Some(left) = self.fail_in {
            self.fail_in = left.checked_sub(1);
            if left == 0 {
                self.rollback();
                return Err(LogError::other("the disk says no"));
            }
        }
        self.before = None;
        self.commits += 1;
        Ok(())
    }
    fn rollback(&mut self) {
        if let Some(before) = self.before.take() {
            self.data = *before;
        }
    }
    fn log_id(&mut self) -> Answer<LogId> {
        Ok(self.log)
    }
    fn device(&mut self, device: &DeviceId) -> Answer<Option<DeviceRow>> {
        Ok(self.data.devices.get(device).map(|device| device.row.clone()))
    }
    fn take_counter(&mut self, device: &DeviceId, counter: u64, _: i64) -> Answer<bool> {
        let row = &mut self.data.devices.get_mut(device).unwrap().row;
        let fresh = counter > row.counter;
        row.counter = row.counter.max(counter);
        Ok(fresh)
    }
    fn scope(&mut self, device: &DeviceId) -> Answer<Scope> {
        let mut scope = self.data.devices[device].scope.clone();
        scope.feeds.iter_mut().for_each(|(_, epoch)| *epoch = self.data.epoch);
        scope.registry += u64::from(self.data.epoch);
        Ok(scope)
    }
    fn awaiting(&mut self) -> Answer<bool> {
        Ok(self.data.awaiting)
    }
    fn begin_epoch(&mut self, above: u32) -> Answer<()> {
        self.data.epoch = self.data.epoch.max(above) + 1;
        self.data.awaiting = true;
        self.data.devices.values_mut().for_each(|device| device.cursor_sets.clear());
        self.data.returned.retain(|_, (_, state, _)| *state != ReturnedState::Taken);
        Ok(())
    }
    fn returned(&mut self, feed: &FeedId, chain: &[u8; 32]) -> Answer<Option<ReturnedState>> {
        Ok(self.data.returned.get(&(feed.clone(), *chain)).map(|(_, state, _)| *state))
    }
    fn put_wanted(&mut self, feed: &FeedId, point: &Point) -> Answer<()> {
        let wanted = (point.position, ReturnedState::Wanted, None);
        self.data.returned.entry((feed.clone(), point.chain)).or_insert(wanted);
        Ok(())
    }
    fn put_returned(&mut self, chain: &[u8; 32], entry: &Returned) -> Answer<()> {
        let staged = (entry.position, ReturnedState::Staged, Some(entry.clone()));
        self.data.returned.insert((entry.feed.clone(), *chain), staged);
        Ok(())
    }
    fn wanted(&mut self, feed: &FeedId, limit: usize) -> Answer<Vec<Point>> {
        let mut points = self.points(feed, ReturnedState::Wanted);
        points.truncate(limit);
        Ok(points)
    }
    fn given_back(&mut self, feed: &FeedId, through: u64) -> Answer<Vec<Point>> {
        let mut points = self.points(feed, ReturnedState::Taken);
        points.extend(self.points(feed, ReturnedState::Staged));
        points.retain(|point| point.position <= through);
        Ok(points)
    }
    fn take_back(&mut self) -> Answer<()> {
        let staged = self.data.returned.iter().filter(|(_, (_, state, _))| *state == ReturnedState::Staged);
        let mut staged: Vec<_> =
            staged.map(|(key, (position, _, entry))| (*position, key.clone(), entry.clone().unwrap())).collect();
        staged.sort_by_key(|(position, ..)| *position);
        for (_, key, entry) in staged {
            if self.take_entry_back(&entry) {
                let row = self.data.returned.get_mut(&key).unwrap();
                (row.1, row.2) = (ReturnedState::Taken, None);
            }
        }
        Ok(())
    }
    fn cursor_sets(&mut self, device: &DeviceId) -> Answer<Vec<Vec<u8>>> {
        Ok(self.data.devices[device].cursor_sets.clone())
    }
    fn put_cursor_sets(&mut self, device: &DeviceId, sets: &[Vec<u8>]) -> Answer<()> {
        assert!(sets.len() <= 2);
        self.data.devices.get_mut(device).unwrap().cursor_sets = sets.to_vec();
        Ok(())
    }
    fn awaits_cursors(&mut self, _: &DeviceId) -> Answer<bool> {
        Ok(false)
    }
    fn note_seen(&mut self, _: &DeviceId, _: &[CursorPoint]) -> Answer<()> {
        Ok(())
    }
    fn statement(&mut self, device: &DeviceId, number: u64) -> Answer<Option<StatementRow>> {
        Ok(self.data.statements.get(&(*device, number)).cloned())
    }
    fn put_statement(&mut self, device: &DeviceId, number: u64, statement: &StatementRow) -> Answer<()> {
        assert!(self.before.is_some());
        self.data.statements.insert((*device, number), statement.clone());
        let row = &mut self.data.devices.get_mut(device).unwrap().row;
        let hash: StatementHash = statement.hash;
        (row.statement, row.statement_hash) = (number, hash);
        Ok(())
    }
    fn claim_actor(&mut self, actor: &ActorId, device: &DeviceId, _: &UserId) -> Answer<bool> {
        Ok(*self.data.actors.entry(*actor).or_insert(*device) == *device)
    }
    fn take_change(&mut self, change: &TakenChange<'_>) -> Answer<Fate> {
        assert!(self.before.is_some());
        if let Some(fate) = self.known(change) {
            return Ok(fate);
        }
        let refused = |reason| Ok(Fate::NotTaken(Verdict::refused(change.hash, change.record, reason)));
        if self.data.purged.contains(&change.record) {
            return refused("purged");
        }
        let of_kind = |form: &&Arc<FormDefinition>| form.kind == change.kind;
        let Some(form) = self.data.forms.iter().rfind(of_kind).cloned() else { return refused("unknown_form") };
        let mut stored = match self.data.records.get(&change.record) {
            Some(stored) => stored.clone(),
            None => {
                let forms = &self.data.forms;
                let created = forms.iter().filter(of_kind).find(|form| form.version == change.created_version);
                let Some(created) = created else {
                    return refused("unknown_form");
                };
                Stored {
                    feed: change.feed.clone(),
                    kind: change.kind.to_owned(),
                    created_version: change.created_version.to_owned(),
                    document: Document::create(change.record, created).unwrap().into(),
                    salt: None,
                }
            }
        };
        let foreign = (stored.feed != *change.feed).then_some("foreign_unit");
        let roles: Vec<Role> = self.data.devices[&change.device].scope.roles.iter().map(|(role, _)| *role).collect();
        let rights = Rights { roles: &roles, last_review: None, reopened: None };
        match intake::admit(Arc::make_mut(&mut stored.document), &form, change.bytes, Some(&rights)) {
            Ok(admitted) => {
                if admitted.actor != change.actor {
                    return refused("wrong_actor");
                }
                match change.quarantine.or(foreign) {
                    Some(reason) => {
                        let verdict = Verdict::quarantined(change.hash, change.record, reason, Vec::new());
                        Ok(self.set_apart(change, verdict))
                    }
                    None => Ok(self.accept(change, stored)),
                }
            }
            Err(refusal) => {
                let quarantine = &self.data.quarantine;
                let verdict = verdict_of(&refusal, change.hash, change.record, |hash| quarantine.contains_key(hash));
                match verdict.kind {
                    fieldbook_core::protocol::VerdictKind::Quarantined => Ok(self.set_apart(change, verdict)),
                    _ => Ok(Fate::NotTaken(verdict)),
                }
            }
        }
    }
    fn record_by_prefix(&mut self, prefix: &[u8; 6]) -> Answer<Option<RecordId>> {
        Ok(one(self.data.records.keys().filter(|id| id.0.starts_with(prefix))).copied())
    }
    fn change_by_prefix(&mut self, record: &RecordId, prefix: &[u8; 4]) -> Answer<Option<ChangeHash>> {
        let document = self.data.records.get(record).map(|stored| &stored.document);
        let known = document
            .map(|document| document.changes().iter().map(|change| change.hash).collect::<Vec<_>>())
            .unwrap_or_default();
        let set_apart = self.data.quarantine.iter().filter(|(_, (verdict, ..))| verdict.record == *record);
        let all: BTreeSet<ChangeHash> = known.into_iter().chain(set_apart.map(|(hash, _)| *hash)).collect();
        Ok(one(all.into_iter().filter(|hash| hash.0.starts_with(prefix))))
    }
    fn created_under(&mut self, record: &RecordId) -> Answer<Option<CreatedUnder>> {
        let here = self.data.records.get(record);
        Ok(here.map(|here| CreatedUnder { kind: here.kind.clone(), version: here.created_version.clone() }))
    }
    fn creation(&mut self, record: &RecordId, kind: &str, version: &str) -> Answer<Option<ChangeHash>> {
        let form = self.data.forms.iter().find(|form| form.kind == kind && form.version == version);
        Ok(form.and_then(|form| Document::creation_of(*record, form).ok()))
    }
    fn form(&mut self, kind: &str, version: &str) -> Answer<Option<(String, Vec<u8>)>> {
        let form = self.data.forms.iter().find(|form| form.kind == kind && form.version == version);
        Ok(form.map(|form| (general().unit, fieldbook_core::sync::to_cbor(&**form))))
    }
    fn put_taken(&mut self, device: &DeviceId, taken: (u64, u32)) -> Answer<()> {
        self.data.devices.get_mut(device).unwrap().row.taken = Some(taken);
        Ok(())
    }
    fn put_verdict(&mut self, device: &DeviceId, verdict: &Verdict) -> Answer<()> {
        let device = self.data.devices.get_mut(device).unwrap();
        if !device.verdicts.iter().any(|(_, waiting)| waiting.change == verdict.change) {
            device.verdict_number += 1;
            device.verdicts.push((device.verdict_number, verdict.clone()));
        }
        Ok(())
    }
    fn verdicts(&mut self, device: &DeviceId, after: u64, limit: usize) -> Answer<Vec<(u64, Verdict)>> {
        let waiting = self.data.devices[device].verdicts.iter().filter(|(number, _)| *number > after);
        Ok(waiting.take(limit).cloned().collect())
    }
    fn drop_verdicts(&mut self, device: &DeviceId, through: u64) -> Answer<()> {
        let device = self.data.devices.get_mut(device).unwrap();
        device.verdicts.retain(|(number, _)| *number > through);
        device.verdict_number = device.verdict_number.max(through);
        device.row.told = device.row.told.max(through);
        Ok(())
    }
    fn hosted(&mut self, hub: &DeviceId) -> Answer<Option<Vec<HostedDevice>>> {
        let Some(served) = self.serves.get(hub) else { return Ok(None) };
        let of = |device: &DeviceId| {
            let DeviceRow { key, user, revoked, .. } = self.data.devices[device].row;
            HostedDevice { device: *device, key, user, revoked, feeds: Vec::new() }
        };
        Ok(Some(served.iter().map(of).collect()))
    }
    fn hosts(&mut self, hub: &DeviceId, device: &DeviceId) -> Answer<bool> {
        Ok(self.serves.get(hub).is_some_and(|served| served.contains(device)))
    }
    fn heads(&mut self, feeds: &[FeedId]) -> Answer<Vec<FeedHead>> {
        let head = |feed: &FeedId| {
            let last = self.data.feeds.get(feed).and_then(|entries| entries.last());
            FeedHead {
                epoch: self.data.epoch,
                position: last.map_or(0, |last| last.entry.position),
                chain: last.map_or(chain::START, |last| last.chain),
            }
        };
        Ok(feeds.iter().map(head).collect())
    }
    fn chain_at(&mut self, feed: &FeedId, position: u64) -> Answer<Option<[u8; 32]>> {
        let entries = self.data.feeds.get(feed);
        Ok(entries.and_then(|entries| entries.get(position as usize - 1)).map(|entry| entry.chain))
    }
    fn entries(&mut self, feed: &FeedId, after: u64, through: u64, limit: usize, max: usize) -> Answer<Vec<LogEntry>> {
        let mut bytes = 0;
        let mut page = Vec::new();
        for entry in &self.data.feeds[feed][after as usize..through as usize] {
            if page.len() >= limit || (bytes >= max && !page.is_empty()) {
                break;
            }
            bytes += 200;
            page.push(LogEntry::clone(entry));
        }
        Ok(page)
    }

    fn sealing(&self) -> Sealing {
        self.seal_at
    }

    fn has_others(&mut self, feed: &FeedId, after: u64, device: &DeviceId, enough: u64) -> Answer<bool> {
        let behind = self.data.feeds.get(feed).into_iter().flatten().skip(after as usize);
        let others = behind.filter(|entry| entry.stated.is_none_or(|(author, ..)| author != *device));
        Ok(others.count() as u64 >= enough)
    }

    fn segments(&mut self, feed: &FeedId) -> Answer<Vec<Segment>> {
        let sealed = self.data.segments.get(feed).into_iter().flatten();
        Ok(sealed.map(|sealed| sealed.segment.clone()).collect())
    }

    fn begin_sealing(&mut self, _: &FeedId) -> Answer<u64> {
        Ok(0)
    }

    fn put_segment(&mut self, feed: &FeedId, _: u64, sealed: &Sealed) -> Answer<bool> {
        let held = self.data.segments.entry(feed.clone()).or_default();
        let Segment { first, through, .. } = sealed.segment;
        held.retain(|other| other.segment.through < first || through < other.segment.first);
        held.push(sealed.clone());
        held.sort_by_key(|sealed| sealed.segment.first);
        self.sealed += 1;
        Ok(true)
    }

    fn end_sealing(&mut self) {}

    fn segment_key(&mut self) -> Answer<[u8; 32]> {
        Ok([self.sealed + 1; 32])
    }
}
