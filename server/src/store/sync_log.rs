//! The store as the sync machine sees it.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard};

use crate::sql;
use crate::sql::{Connection, OptionalExtension, Row};
use fieldbook_core::access::FeedId;
use fieldbook_core::document::Document;
use fieldbook_core::ids::{ActorId, ChangeHash, DeviceId, LogId, RecordId, UserId};
use fieldbook_core::protocol::limits::{CHANGE_PREFIX_BYTES, RECORD_PREFIX_BYTES};
use fieldbook_core::protocol::{CreatedUnder, Entry, HostedDevice, Point, Returned, Segment, Verdict, VerdictKind};
use fieldbook_core::sync::cursors::CursorPoint;
use fieldbook_core::sync::segment::Sealed;
use fieldbook_core::sync::server::{
    DeviceRow, Fate, FeedHead, LogEntry, ReturnedState, Scope, Sealing, ServerLog, StatementRow, TakenChange,
};
use fieldbook_core::sync::{LogError, LogErrorKind, chain, from_cbor};

use super::exchanges::Report;
use super::followed::scope_of;
use super::foreseen::{Foreseen, Gathered, RECORD_BYTES_MAX, RECORDS_MAX};
use super::held::{Held, hold};
use super::records::OpenRecord;
use super::{Store, StoreError, devices, feeds, hubs, moves, quarantine, restored, segments, users};

/// Change of a device's clock error that is worth a write.
const CLOCK_STEP_MS: u64 = 60 * 1000;

impl From<StoreError> for LogError {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::DiskFull { .. } => LogErrorKind::Full,
            StoreError::Storage(_) => LogErrorKind::Storage,
            StoreError::Corrupt { .. } => LogErrorKind::Damaged,
            _ => LogErrorKind::Other,
        };
        tracing::error!(%error, "the store failed in an exchange");
        LogError { kind, detail: error.to_string() }
    }
}

fn sql(error: sql::Error) -> LogError {
    StoreError::from(error).into()
}

/// One exchange's view of the store. A transaction holds the store's only writer from begin to commit.
pub(crate) struct StoreLog<'a> {
    store: &'a Store,
    writer: Option<MutexGuard<'a, Connection>>,
    reader: Option<Connection>,
    /// The records that this transaction has changed: each is saved once, at its end.
    open: Vec<OpenRecord>,
    pub(super) foreseen: Foreseen,
    /// Records and feeds of the changes that come next.
    next: (BTreeSet<RecordId>, BTreeSet<FeedId>),
    /// What the exchange did so far.
    pub(crate) report: Report,
    sealing: Option<MutexGuard<'a, ()>>,
}

impl<'a> StoreLog<'a> {
    pub(crate) fn new(store: &'a Store) -> Result<Self, StoreError> {
        Ok(Self {
            store,
            writer: None,
            reader: Some(store.take_reader()?),
            open: Vec::new(),
            foreseen: Foreseen::default(),
            next: Default::default(),
            report: Report::default(),
            sealing: None,
        })
    }

    fn connection(&self) -> Result<&Connection, LogError> {
        match (&self.writer, &self.reader) {
            (Some(writer), _) => Ok(writer),
            (None, Some(reader)) => Ok(reader),
            (None, None) => Err(LogError::other("no connection")),
        }
    }

    /// Reads on the writer's connection, whose pages are at hand.
    fn look<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, LogError> {
        match &self.writer {
            Some(writer) => Ok(work(writer)?),
            None => Ok(work(&self.store.writer())?),
        }
    }

    /// Writes in the open transaction, or in one of its own.
    fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, LogError> {
        match &self.writer {
            Some(writer) => Ok(work(writer).map_err(|error| self.store.looked_into(error))?),
            None => Ok(self.store.write(|tx| work(tx))?),
        }
    }

    /// Remembers by how much a device's clock is off, if that changed by more than a minute.
    pub(crate) fn note_clock(&self, device: DeviceId, skew_ms: i64) -> Result<(), StoreError> {
        let tx = self.reader.as_ref().ok_or_else(|| StoreError::corrupt("session", "no connection"))?;
        let mut statement = tx.prepare("SELECT clock_skew_ms FROM devices WHERE id = ?1")?;
        let known: Option<i64> = statement.query_row([device.as_bytes()], |row| row.get(0)).optional()?.flatten();
        if known.is_some_and(|known| known.abs_diff(skew_ms) < CLOCK_STEP_MS) {
            return Ok(());
        }
        self.store.write(|tx| {
            tx.execute("UPDATE devices SET clock_skew_ms = ?2 WHERE id = ?1", (device.as_bytes(), skew_ms))?;
            Ok(())
        })
    }

    /// Writes what is pending of the open records, in the order in which they were first changed.
    fn flush(&mut self) -> Result<(), LogError> {
        let dirty: Vec<OpenRecord> = std::mem::take(&mut self.open).into_iter().filter(|open| open.dirty).collect();
        let mut words = Vec::new();
        for mut open in dirty {
            let ready = self.foreseen.row(open.id);
            let mut saved = self.write(|tx| self.store.save_record_as(tx, &mut open, ready))?;
            words.extend(saved.words.take());
            self.report.saved(open.id, saved);
        }
        if words.is_empty() { Ok(()) } else { self.write(|tx| Ok(tx.put_words(&words)?)) }
    }
}

impl Drop for StoreLog<'_> {
    fn drop(&mut self) {
        self.rollback();
        if let Some(reader) = self.reader.take() {
            self.store.give_reader(reader);
        }
    }
}

/// The first and the last id that begin so.
pub(crate) fn id_range<const N: usize>(prefix: &[u8]) -> ([u8; N], [u8; N]) {
    let (mut least, mut greatest) = ([0; N], [0xff; N]);
    least[..prefix.len()].copy_from_slice(prefix);
    greatest[..prefix.len()].copy_from_slice(prefix);
    (least, greatest)
}

/// The one id that a query finds; `None` where it finds none or more.
pub(crate) fn one_id<const N: usize>(
    tx: &Connection,
    text: &str,
    values: &[&dyn sql::ToSql],
) -> sql::Result<Option<[u8; N]>> {
    let mut statement = tx.prepare(text)?;
    let found = statement.query_map(values, |row| row.get(0))?.collect::<Result<Vec<[u8; N]>, _>>()?;
    Ok(if let [one] = found[..] { Some(one) } else { None })
}

impl ServerLog for StoreLog<'_> {
    fn begin(&mut self) -> Result<(), LogError> {
        let writer = self.store.writer();
        writer.begin_writing().map_err(|error| self.store.looked_into(error.into()))?;
        self.writer = Some(writer);
        Ok(())
    }

    fn begin_for(&mut self, device: &DeviceId) -> Result<(), LogError> {
        let writer = self.store.writer();
        let (records, feeds) = std::mem::take(&mut self.next);
        let begun = writer.begin_sharing().map_err(StoreError::from).and_then(|()| {
            hold(&writer, [Held::Device(device)])?;
            hold(&writer, records.iter().map(Held::Record))?;
            hold(&writer, feeds.iter().map(Held::Feed))
        });
        if begun.is_err() {
            writer.rollback();
        }
        begun.map_err(|error| self.store.looked_into(error))?;
        self.writer = Some(writer);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LogError> {
        let flushed = self.flush();
        let Some(writer) = &self.writer else { return Err(LogError::other("no transaction")) };
        let reported = flushed.and_then(|()| {
            let written = self.report.write(writer, self.store.now_ms());
            Ok(written.map_err(|error| self.store.looked_into(error))?)
        });
        let ended = reported.and_then(|report| {
            writer.commit().map_err(|error| self.store.looked_into(error.into()))?;
            Ok(report)
        });
        self.rollback();
        if let Some(report) = ended? {
            self.report = report;
        }
        Ok(())
    }

    fn rollback(&mut self) {
        self.open.clear();
        self.foreseen = Foreseen::default();
        self.report.rollback();
        if let Some(writer) = self.writer.take() {
            writer.rollback();
        }
    }

    fn log_id(&mut self) -> Result<LogId, LogError> {
        Ok(self.store.log())
    }

    fn device(&mut self, device: &DeviceId) -> Result<Option<DeviceRow>, LogError> {
        let text = "SELECT key, user, revoked_ms, counter, statement, statement_hash, taken_statement, taken_index, told \
                    FROM devices WHERE id = ?1";
        let mut statement = self.connection()?.prepare(text).map_err(sql)?;
        let found = statement.query_row([device.as_bytes()], |row| {
            let taken: (Option<u64>, Option<u32>) = (row.get(6)?, row.get(7)?);
            Ok(DeviceRow {
                key: row.get(0)?,
                user: UserId(row.get(1)?),
                revoked: row.get::<Option<i64>>(2)?.is_some(),
                counter: row.get(3)?,
                statement: row.get(4)?,
                statement_hash: row.get::<Option<[u8; 32]>>(5)?.unwrap_or_default(),
                taken: taken.0.zip(taken.1),
                told: row.get(8)?,
            })
        });
        found.optional().map_err(sql)
    }

    fn take_counter(&mut self, device: &DeviceId, counter: u64, now_ms: i64) -> Result<bool, LogError> {
        let text = "UPDATE devices SET counter = ?2, last_contact_ms = ?3 WHERE id = ?1 AND counter < ?2";
        self.write(|tx| Ok(tx.prepare(text)?.execute((device.as_bytes(), counter, now_ms))? == 1))
    }

    fn scope(&mut self, device: &DeviceId) -> Result<Scope, LogError> {
        let (scope, changed, _) = scope_of(self.connection()?, device)?;
        if !changed {
            return Ok(scope);
        }
        // Read again where it is written: another process may have counted up meanwhile.
        self.write(|tx| {
            let (scope, _, hash) = scope_of(tx, device)?;
            let text = "UPDATE devices SET registry = ?2, registry_hash = ?3 WHERE id = ?1";
            tx.execute(text, (device.as_bytes(), scope.registry, hash))?;
            Ok(scope)
        })
    }

    fn cursor_sets(&mut self, device: &DeviceId) -> Result<Vec<Vec<u8>>, LogError> {
        let text = "SELECT confirmed_a, confirmed_b FROM devices WHERE id = ?1";
        let mut statement = self.connection()?.prepare(text).map_err(sql)?;
        let sets: (Option<Vec<u8>>, Option<Vec<u8>>) =
            statement.query_row([device.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).map_err(sql)?;
        Ok([sets.0, sets.1].into_iter().flatten().collect())
    }

    fn put_cursor_sets(&mut self, device: &DeviceId, sets: &[Vec<u8>]) -> Result<(), LogError> {
        let text = "UPDATE devices SET confirmed_a = ?2, confirmed_b = ?3 WHERE id = ?1";
        self.write(|tx| {
            tx.prepare(text)?.execute((device.as_bytes(), sets.first(), sets.get(1)))?;
            Ok(())
        })
    }

    fn awaits_cursors(&mut self, device: &DeviceId) -> Result<bool, LogError> {
        Ok(moves::awaits(self.connection()?, device)?)
    }

    fn note_seen(&mut self, device: &DeviceId, seen: &[CursorPoint]) -> Result<(), LogError> {
        self.write(|tx| moves::note_seen(tx, device, seen))
    }

    fn statement(&mut self, device: &DeviceId, number: u64) -> Result<Option<StatementRow>, LogError> {
        let text = "SELECT bytes, signature, hash FROM statements WHERE device = ?1 AND number = ?2";
        let mut statement = self.connection()?.prepare(text).map_err(sql)?;
        let found = statement.query_row((device.as_bytes(), number), |row| {
            Ok(StatementRow { bytes: row.get(0)?, signature: row.get(1)?, hash: row.get(2)? })
        });
        found.optional().map_err(sql)
    }

    fn put_statement(&mut self, device: &DeviceId, number: u64, statement: &StatementRow) -> Result<(), LogError> {
        let now_ms = self.store.now_ms();
        self.write(|tx| {
            tx.prepare(
                "INSERT INTO statements(device, number, hash, bytes, signature, received_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((
                device.as_bytes(),
                number,
                statement.hash,
                &statement.bytes,
                statement.signature,
                now_ms,
            ))?;
            tx.prepare("UPDATE devices SET statement = ?2, statement_hash = ?3 WHERE id = ?1")?.execute((
                device.as_bytes(),
                number,
                statement.hash,
            ))?;
            Ok(())
        })
    }

    fn claim_actor(&mut self, actor: &ActorId, device: &DeviceId, user: &UserId) -> Result<bool, LogError> {
        let store = self.store;
        self.write(|tx| {
            let Some(row) = users::user(tx, *user)? else { return Ok(false) };
            store.claim(tx, *actor, *device, &row, &row.unit)
        })
    }

    fn foresee(&mut self, changes: &[TakenChange<'_>]) -> Result<(), LogError> {
        let gathered = {
            let writer = self.store.writer();
            let tx = writer.reading().map_err(sql)?;
            Gathered::of(self.store, &tx, changes)?
        };
        self.next = (changes.iter().map(|change| change.record).collect(), gathered.feeds());
        self.foreseen = Foreseen::of(self.store, gathered)?;
        Ok(())
    }

    fn take_change(&mut self, change: &TakenChange<'_>) -> Result<Fate, LogError> {
        let at = self.open.iter().position(|open| open.id == change.record);
        let bytes: usize = self.open.iter().map(|open| open.body_bytes).sum();
        if at.is_none() && (self.open.len() >= RECORDS_MAX || bytes > RECORD_BYTES_MAX) {
            self.flush()?;
        }
        let mut open = at.map(|at| self.open.remove(at));
        self.report.judging(change);
        let writer = self.writer.as_deref().ok_or_else(|| LogError::other("no transaction"))?;
        hold(writer, [Held::Record(&change.record)])?;
        let fate = self.store.take_change(writer, &mut open, &mut self.foreseen, change);
        if matches!(fate, Ok(Fate::Accepted(_))) {
            self.report.accepted(open.as_ref().is_some_and(|open| open.created));
        }
        if let Some(open) = open {
            self.open.insert(at.unwrap_or(self.open.len()), open);
        }
        Ok(fate.map_err(|error| self.store.looked_into(error))?)
    }

    fn record_by_prefix(&mut self, prefix: &[u8; RECORD_PREFIX_BYTES]) -> Result<Option<RecordId>, LogError> {
        let (least, greatest): ([u8; 16], [u8; 16]) = id_range(prefix);
        let text = "SELECT id FROM records WHERE id BETWEEN ?1 AND ?2 LIMIT 2";
        Ok(self.look(|tx| Ok(one_id(tx, text, &[&least, &greatest])?))?.map(RecordId))
    }

    fn change_by_prefix(
        &mut self,
        record: &RecordId,
        prefix: &[u8; CHANGE_PREFIX_BYTES],
    ) -> Result<Option<ChangeHash>, LogError> {
        let (least, greatest): ([u8; 32], [u8; 32]) = id_range(prefix);
        let text = "SELECT hash FROM entries WHERE hash >= ?1 AND hash <= ?2 AND record = ?3 \
                    UNION SELECT hash FROM quarantine WHERE hash >= ?1 AND hash <= ?2 AND record = ?3 LIMIT 2";
        Ok(self.look(|tx| Ok(one_id(tx, text, &[&least, &greatest, &record.as_bytes()])?))?.map(ChangeHash))
    }

    fn created_under(&mut self, record: &RecordId) -> Result<Option<CreatedUnder>, LogError> {
        let text = "SELECT kind, created_version FROM records WHERE id = ?1";
        self.look(|tx| {
            let mut statement = tx.prepare(text)?;
            let read = |row: &Row<'_>| Ok(CreatedUnder { kind: row.get(0)?, version: row.get(1)? });
            Ok(statement.query_row([record.as_bytes()], read).optional()?)
        })
    }

    fn creation(&mut self, record: &RecordId, kind: &str, version: &str) -> Result<Option<ChangeHash>, LogError> {
        let form = self.store.form(self.connection()?, kind, version)?;
        Ok(form.and_then(|form| Document::creation_of(*record, form.definition()).ok()))
    }

    fn form(&mut self, kind: &str, version: &str) -> Result<Option<(String, Vec<u8>)>, LogError> {
        let text = "SELECT unit, bytes FROM forms WHERE kind = ?1 AND version = ?2";
        let mut statement = self.connection()?.prepare(text).map_err(sql)?;
        statement.query_row((kind, version), |row| Ok((row.get(0)?, row.get(1)?))).optional().map_err(sql)
    }

    fn packed_form(&mut self, form: &[u8], largest: Option<&[u8]>) -> Result<Arc<[u8]>, LogError> {
        self.store.forms.packed(form, largest).map_err(|failure| LogError::other(failure.to_string()))
    }

    fn put_taken(&mut self, device: &DeviceId, taken: (u64, u32)) -> Result<(), LogError> {
        let text = "UPDATE devices SET taken_statement = ?2, taken_index = ?3 WHERE id = ?1";
        self.write(|tx| {
            tx.prepare(text)?.execute((device.as_bytes(), taken.0, taken.1))?;
            Ok(())
        })
    }

    fn put_verdict(&mut self, device: &DeviceId, verdict: &Verdict) -> Result<(), LogError> {
        let received_ms = self.report.judged_ms();
        let new = self.write(|tx| {
            let told = devices::put_verdict(tx, *device, verdict)?;
            match received_ms.filter(|_| verdict.kind == VerdictKind::Quarantined) {
                Some(received_ms) => quarantine::is_new(tx, &verdict.change, received_ms),
                None => Ok(told),
            }
        })?;
        if new {
            self.report.not_taken(*device, verdict);
        }
        Ok(())
    }

    fn verdicts(&mut self, device: &DeviceId, after: u64, limit: usize) -> Result<Vec<(u64, Verdict)>, LogError> {
        let text = "SELECT number, verdict FROM verdicts WHERE device = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
        let mut statement = self.connection()?.prepare(text).map_err(sql)?;
        let mut rows = statement.query((device.as_bytes(), after, limit)).map_err(sql)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next_row().map_err(sql)? {
            let bytes: Vec<u8> = row.get(1).map_err(sql)?;
            let verdict = from_cbor(&bytes).ok_or_else(|| LogError::damaged("a verdict does not read back"))?;
            found.push((row.get(0).map_err(sql)?, verdict));
        }
        Ok(found)
    }

    fn drop_verdicts(&mut self, device: &DeviceId, through: u64) -> Result<(), LogError> {
        self.write(|tx| {
            tx.prepare("DELETE FROM verdicts WHERE device = ?1 AND number <= ?2")?
                .execute((device.as_bytes(), through))?;
            tx.prepare("UPDATE devices SET told = ?2 WHERE id = ?1 AND told < ?2")?
                .execute((device.as_bytes(), through))?;
            tx.prepare("UPDATE devices SET verdict = ?2 WHERE id = ?1 AND verdict < ?2")?
                .execute((device.as_bytes(), through))?;
            Ok(())
        })
    }

    fn awaiting(&mut self) -> Result<bool, LogError> {
        Ok(restored::is_awaiting(self.connection()?)?)
    }

    fn begin_epoch(&mut self, above: u32) -> Result<(), LogError> {
        let mut jump = [0; 2];
        self.store.random.fill(&mut jump);
        tracing::warn!("this server met its own signature beyond its log: it serves nothing until confirmed");
        self.write(|tx| restored::begin_epoch(tx, above, u16::from_be_bytes(jump)))
    }

    fn returned(&mut self, feed: &FeedId, chain: &[u8; 32]) -> Result<Option<ReturnedState>, LogError> {
        Ok(restored::returned(self.connection()?, feed, chain)?)
    }

    fn put_wanted(&mut self, feed: &FeedId, point: &Point) -> Result<(), LogError> {
        self.write(|tx| restored::put_wanted(tx, feed, point))
    }

    fn put_returned(&mut self, chain: &[u8; 32], entry: &Returned) -> Result<(), LogError> {
        self.write(|tx| restored::put_returned(tx, chain, entry))
    }

    fn wanted(&mut self, feed: &FeedId, limit: usize) -> Result<Vec<Point>, LogError> {
        Ok(restored::wanted(self.connection()?, feed, limit)?)
    }

    fn given_back(&mut self, feed: &FeedId, through: u64) -> Result<Vec<Point>, LogError> {
        Ok(restored::given_back(self.connection()?, feed, through)?)
    }

    fn take_back(&mut self) -> Result<(), LogError> {
        self.flush()?;
        let store = self.store;
        self.write(|tx| store.take_back(tx).map(|_| ()))
    }

    fn hosted(&mut self, hub: &DeviceId) -> Result<Option<Vec<HostedDevice>>, LogError> {
        Ok(hubs::hosted(self.connection()?, hub)?)
    }

    fn hosts(&mut self, hub: &DeviceId, device: &DeviceId) -> Result<bool, LogError> {
        Ok(hubs::hosts(self.connection()?, hub, device)?)
    }

    fn certify_hub(&mut self, tls_key: &[u8; 32]) -> Result<Vec<u8>, LogError> {
        Ok(self.store.identity().certify_hub(tls_key)?)
    }

    fn heads(&mut self, wanted: &[FeedId]) -> Result<Vec<FeedHead>, LogError> {
        let tx = self.connection()?;
        let epoch = feeds::epoch(tx)?;
        let mut heads = Vec::with_capacity(wanted.len());
        for id in wanted {
            heads.push(match feeds::feed(tx, id)? {
                Some(feed) => FeedHead { epoch: feed.epoch, position: feed.position, chain: feed.chain },
                None => FeedHead { epoch, position: 0, chain: chain::START },
            });
        }
        Ok(heads)
    }

    fn chain_at(&mut self, feed: &FeedId, position: u64) -> Result<Option<[u8; 32]>, LogError> {
        if position == 0 {
            return Ok(Some(chain::START));
        }
        let tx = self.connection()?;
        let Some(feed) = feeds::feed(tx, feed)? else { return Ok(None) };
        let text = "SELECT chain FROM entries WHERE feed = ?1 AND position = ?2";
        let mut statement = tx.prepare(text).map_err(sql)?;
        statement.query_row((feed.row, position), |row| row.get(0)).optional().map_err(sql)
    }

    fn entries(
        &mut self,
        feed: &FeedId,
        after: u64,
        through: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, LogError> {
        let tx = self.connection()?;
        let Some(feed) = feeds::feed(tx, feed)? else { return Ok(Vec::new()) };
        // What moved here with its record comes to its author too as a body: the author's phone may have let go of it.
        let text = "SELECT position, received_ms, body, CASE WHEN moved = 0 THEN device END, hash, chain, statement, item \
                    FROM entries \
                    WHERE feed = ?1 AND position > ?2 AND position <= ?3 ORDER BY position LIMIT ?4";
        let mut statement = tx.prepare(text).map_err(sql)?;
        let mut rows = statement.query((feed.row, after, through, limit)).map_err(sql)?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next_row().map_err(sql)? {
            let body: Vec<u8> = row.get(2).map_err(sql)?;
            bytes += body.len();
            if bytes > max_bytes && !found.is_empty() {
                break;
            }
            let body = from_cbor(&body).ok_or_else(|| LogError::damaged("an entry does not read back"))?;
            let entry = Entry { position: row.get(0).map_err(sql)?, received_ms: row.get(1).map_err(sql)?, body };
            let device = row.get::<Option<[u8; 16]>>(3).map_err(sql)?.map(DeviceId);
            let place: (Option<u64>, Option<u32>) = (row.get(6).map_err(sql)?, row.get(7).map_err(sql)?);
            found.push(LogEntry {
                entry,
                stated: device.zip(place.0.zip(place.1)).map(|(device, (statement, item))| (device, statement, item)),
                hash: row.get::<Option<[u8; 32]>>(4).map_err(sql)?.map(ChangeHash),
                chain: row.get(5).map_err(sql)?,
            });
        }
        Ok(found)
    }

    fn sealing(&self) -> Sealing {
        self.store.seal_at
    }

    fn has_others(&mut self, feed: &FeedId, after: u64, device: &DeviceId, enough: u64) -> Result<bool, LogError> {
        Ok(segments::has_others(self.connection()?, feed, after, device, enough)?)
    }

    fn segments(&mut self, feed: &FeedId) -> Result<Vec<Segment>, LogError> {
        Ok(segments::of_feed(self.connection()?, self.store.folder(), feed)?)
    }

    fn begin_sealing(&mut self, feed: &FeedId) -> Result<u64, LogError> {
        self.sealing = Some(super::locked(&self.store.sealing));
        Ok(segments::erasures(self.connection()?, feed)?)
    }

    fn put_segment(&mut self, feed: &FeedId, erasures: u64, sealed: &Sealed) -> Result<bool, LogError> {
        Ok(self.store.put_segment(feed, erasures, sealed)?)
    }

    fn end_sealing(&mut self) {
        self.sealing = None;
    }

    fn segment_key(&mut self) -> Result<[u8; 32], LogError> {
        let mut key = [0; 32];
        self.store.random.fill(&mut key);
        Ok(key)
    }
}
