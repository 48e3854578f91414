//! The hub's store as the sync machine sees it when a phone speaks: a log that judges nothing.

use std::sync::{Arc, MutexGuard};

use crate::sql;
use crate::sql::{Connection, OptionalExtension, Row};
use fieldbook_core::access::{Area, FeedId};
use fieldbook_core::document::Document;
use fieldbook_core::forms::{Form, FormDefinition};
use fieldbook_core::ids::{ActorId, ChangeHash, DeviceId, LogId, RecordId, UserId};
use fieldbook_core::protocol::limits::{CHANGE_PREFIX_BYTES, RECORD_PREFIX_BYTES};
use fieldbook_core::protocol::{CreatedUnder, Entry, Point, Returned, Segment, Verdict};
use fieldbook_core::sync::cursors::CursorPoint;
use fieldbook_core::sync::segment::Sealed;
use fieldbook_core::sync::server::{
    DeviceRow, Fate, FeedHead, LogEntry, ReturnedState, Scope, ServerLog, StatementRow, TakenChange,
};
use fieldbook_core::sync::{LogError, chain, from_cbor};

use super::store::HubStore;
use crate::store::{StoreError, id_range, one_id};

/// Bytes of bodies that a hub holds; more are not taken until the server has some of them.
const HELD_BYTES_MAX: u64 = 1024 * 1024 * 1024;

pub(super) fn sql(error: sql::Error) -> LogError {
    StoreError::from(error).into()
}

/// One exchange's view of the hub's store. A transaction holds the only connection from begin to commit.
pub(crate) struct HubView<'a> {
    pub(super) store: &'a HubStore,
    open: Option<MutexGuard<'a, Connection>>,
}

/// A feed of the mirror.
pub(super) struct MirrorFeed {
    pub(super) row: i64,
    pub(super) epoch: u32,
    pub(super) position: u64,
    pub(super) chain: [u8; 32],
}

pub(super) fn mirror_feed(tx: &Connection, id: &FeedId) -> Result<Option<MirrorFeed>, StoreError> {
    let text = "SELECT id, epoch, position, chain FROM feeds WHERE unit = ?1 AND area = ?2";
    let mut statement = tx.prepare(text)?;
    let found = statement.query_row((&id.unit, id.area.word()), |row| {
        Ok(MirrorFeed { row: row.get(0)?, epoch: row.get(1)?, position: row.get(2)?, chain: row.get(3)? })
    });
    Ok(found.optional()?)
}

impl<'a> HubView<'a> {
    pub(crate) fn new(store: &'a HubStore) -> Self {
        Self { store, open: None }
    }

    /// Runs `work` in the open transaction, or by itself.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, LogError> {
        match &self.open {
            Some(open) => Ok(work(open).map_err(|error| self.store.looked_into(error))?),
            None => Ok(work(&self.store.lock()).map_err(|error| self.store.looked_into(error))?),
        }
    }

    pub(super) fn read_form(&self, kind: &str, version: &str) -> Result<Option<Arc<FormDefinition>>, LogError> {
        if let Some(known) = self.store.known_form(kind, version) {
            return Ok(Some(known));
        }
        let bytes: Option<Vec<u8>> = self.with(|tx| {
            let mut statement = tx.prepare("SELECT bytes FROM forms WHERE kind = ?1 AND version = ?2")?;
            Ok(statement.query_row((kind, version), |row| row.get(0)).optional()?.flatten())
        })?;
        let Some(bytes) = bytes else { return Ok(None) };
        let form = Form::from_bytes(&bytes).map_err(|error| LogError::damaged(format!("a form: {error}")))?;
        let form = Arc::new(form.definition().clone());
        self.store.keep_form(kind, version, &form);
        Ok(Some(form))
    }
}

impl Drop for HubView<'_> {
    fn drop(&mut self) {
        self.rollback();
    }
}

fn keep_body(store: &HubStore, tx: &Connection, change: &TakenChange<'_>) -> Result<Fate, StoreError> {
    if store.held_bytes() > HELD_BYTES_MAX {
        return Err(StoreError::DiskFull { path: None });
    }
    if tx.prepare("SELECT 1 FROM erased WHERE record = ?1")?.exists([change.record.as_bytes()])? {
        return Ok(Fate::Known);
    }
    let text =
        "INSERT OR IGNORE INTO bodies(device, statement, item, hash, record, kind, created_version, form_version,
                bytes, received_ms, passing) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let passing = mirror_feed(tx, change.feed)?.is_none();
    let fresh = tx.prepare(text)?.execute((
        change.device.as_bytes(),
        change.statement,
        change.index,
        change.hash.as_bytes(),
        change.record.as_bytes(),
        change.kind,
        change.created_version,
        change.form_version,
        change.bytes,
        change.received_ms,
        passing,
    ))?;
    if fresh == 0 {
        return Ok(Fate::Known);
    }
    store.add_held(change.bytes.len() as u64);
    Ok(Fate::Accepted(0))
}

/// Position, time of receipt, body, hash of a change, chain hash.
type EntryRow = (u64, i64, Vec<u8>, Option<[u8; 32]>, [u8; 32]);

fn log_entry(row: &sql::Row<'_>) -> sql::Result<EntryRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

impl ServerLog for HubView<'_> {
    fn begin(&mut self) -> Result<(), LogError> {
        let connection = self.store.lock();
        connection.execute_batch("BEGIN IMMEDIATE").map_err(sql)?;
        self.open = Some(connection);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LogError> {
        let Some(open) = &self.open else { return Err(LogError::other("no transaction")) };
        let ended = open.commit().map_err(|error| self.store.looked_into(error.into()));
        self.rollback();
        Ok(ended?)
    }

    fn rollback(&mut self) {
        if let Some(open) = self.open.take() {
            open.rollback();
        }
    }

    fn log_id(&mut self) -> Result<LogId, LogError> {
        let own = self.store.enrolment()?;
        Ok(own.ok_or_else(|| LogError::other("the hub has not enrolled"))?.log)
    }

    fn device(&mut self, device: &DeviceId) -> Result<Option<DeviceRow>, LogError> {
        let text = "SELECT key, user, revoked, counter, statement, statement_hash, taken_statement, taken_index \
                    FROM devices WHERE id = ?1 AND served = 1";
        self.with(|tx| {
            let mut statement = tx.prepare(text)?;
            let found = statement.query_row([device.as_bytes()], |row| {
                let taken: (Option<u64>, Option<u32>) = (row.get(6)?, row.get(7)?);
                Ok(DeviceRow {
                    key: row.get(0)?,
                    user: UserId(row.get(1)?),
                    revoked: row.get(2)?,
                    counter: row.get(3)?,
                    statement: row.get(4)?,
                    statement_hash: row.get::<Option<[u8; 32]>>(5)?.unwrap_or_default(),
                    taken: taken.0.zip(taken.1),
                    // A hub gives no verdicts.
                    told: 0,
                })
            });
            Ok(found.optional()?)
        })
    }

    fn take_counter(&mut self, device: &DeviceId, counter: u64, now_ms: i64) -> Result<bool, LogError> {
        let text = "UPDATE devices SET counter = ?2, last_contact_ms = ?3 WHERE id = ?1 AND counter < ?2";
        self.with(|tx| Ok(tx.prepare(text)?.execute((device.as_bytes(), counter, now_ms))? == 1))
    }

    fn scope(&mut self, device: &DeviceId) -> Result<Scope, LogError> {
        let bytes: Vec<u8> = self.with(|tx| {
            let mut statement = tx.prepare("SELECT feeds FROM devices WHERE id = ?1")?;
            Ok(statement.query_row([device.as_bytes()], |row| row.get(0))?)
        })?;
        let shown: Vec<FeedId> = from_cbor(&bytes).ok_or_else(|| LogError::damaged("a device's feeds"))?;
        let mut feeds = Vec::new();
        for feed in shown {
            if let Some(known) = self.with(|tx| mirror_feed(tx, &feed))? {
                feeds.push((feed, known.epoch));
            }
        }
        Ok(Scope { registry: 0, feeds, roles: Vec::new(), unit: String::new() })
    }

    /// A hub is always told all cursors.
    fn cursor_sets(&mut self, _device: &DeviceId) -> Result<Vec<Vec<u8>>, LogError> {
        Ok(Vec::new())
    }

    fn put_cursor_sets(&mut self, _device: &DeviceId, _sets: &[Vec<u8>]) -> Result<(), LogError> {
        Err(LogError::other("a hub confirms no cursors"))
    }

    /// Where a record may be written is for the server to say.
    fn awaits_cursors(&mut self, _device: &DeviceId) -> Result<bool, LogError> {
        Ok(false)
    }

    fn note_seen(&mut self, _device: &DeviceId, _seen: &[CursorPoint]) -> Result<(), LogError> {
        Err(LogError::other("a hub judges no moves"))
    }

    fn statement(&mut self, device: &DeviceId, number: u64) -> Result<Option<StatementRow>, LogError> {
        let text = "SELECT bytes, signature, hash FROM statements WHERE device = ?1 AND number = ?2 AND aside = 0";
        self.with(|tx| {
            let mut statement = tx.prepare(text)?;
            let found = statement.query_row((device.as_bytes(), number), |row| {
                Ok(StatementRow { bytes: row.get(0)?, signature: row.get(1)?, hash: row.get(2)? })
            });
            Ok(found.optional()?)
        })
    }

    fn put_statement(&mut self, device: &DeviceId, number: u64, statement: &StatementRow) -> Result<(), LogError> {
        let now_ms = self.store.now_ms();
        self.with(|tx| {
            // The same statement may have been set aside before.
            let text = "INSERT INTO statements(device, number, hash, bytes, signature, received_ms)
                        VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET aside = 0";
            let StatementRow { bytes, signature, hash } = statement;
            tx.prepare(text)?.execute((device.as_bytes(), number, hash, bytes, signature, now_ms))?;
            let text = "UPDATE devices SET statement = ?2, statement_hash = ?3 WHERE id = ?1";
            tx.prepare(text)?.execute((device.as_bytes(), number, hash))?;
            Ok(())
        })
    }

    /// Whose an actor is, the server knows.
    fn claim_actor(&mut self, _actor: &ActorId, _device: &DeviceId, _user: &UserId) -> Result<bool, LogError> {
        Ok(true)
    }

    fn take_change(&mut self, change: &TakenChange<'_>) -> Result<Fate, LogError> {
        self.with(|tx| keep_body(self.store, tx, change))
    }

    fn record_by_prefix(&mut self, prefix: &[u8; RECORD_PREFIX_BYTES]) -> Result<Option<RecordId>, LogError> {
        let (least, greatest): ([u8; 16], [u8; 16]) = id_range(prefix);
        let text = "SELECT id FROM records WHERE id BETWEEN ?1 AND ?2 \
                    UNION SELECT record FROM bodies WHERE record BETWEEN ?1 AND ?2 LIMIT 2";
        Ok(self.with(|tx| Ok(one_id(tx, text, &[&least, &greatest])?))?.map(RecordId))
    }

    fn change_by_prefix(
        &mut self,
        record: &RecordId,
        prefix: &[u8; CHANGE_PREFIX_BYTES],
    ) -> Result<Option<ChangeHash>, LogError> {
        let (least, greatest): ([u8; 32], [u8; 32]) = id_range(prefix);
        let text = "SELECT hash FROM entries WHERE hash >= ?1 AND hash <= ?2 AND record = ?3 \
                    UNION SELECT hash FROM bodies WHERE hash >= ?1 AND hash <= ?2 AND record = ?3 LIMIT 2";
        Ok(self.with(|tx| Ok(one_id(tx, text, &[&least, &greatest, &record.as_bytes()])?))?.map(ChangeHash))
    }

    fn created_under(&mut self, record: &RecordId) -> Result<Option<CreatedUnder>, LogError> {
        let text = "SELECT kind, created_version FROM records WHERE id = ?1 \
                    UNION ALL SELECT kind, created_version FROM bodies WHERE record = ?1 LIMIT 1";
        self.with(|tx| {
            let mut statement = tx.prepare(text)?;
            let read = |row: &Row<'_>| Ok(CreatedUnder { kind: row.get(0)?, version: row.get(1)? });
            Ok(statement.query_row([record.as_bytes()], read).optional()?)
        })
    }

    fn creation(&mut self, record: &RecordId, kind: &str, version: &str) -> Result<Option<ChangeHash>, LogError> {
        let form = self.read_form(kind, version)?;
        Ok(form.and_then(|form| Document::creation_of(*record, &form).ok()))
    }

    fn form(&mut self, kind: &str, version: &str) -> Result<Option<(String, Vec<u8>)>, LogError> {
        let text = "SELECT unit, bytes FROM forms WHERE kind = ?1 AND version = ?2 AND bytes IS NOT NULL";
        self.with(|tx| {
            let mut statement = tx.prepare(text)?;
            Ok(statement.query_row((kind, version), |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
        })
    }

    fn put_taken(&mut self, device: &DeviceId, taken: (u64, u32)) -> Result<(), LogError> {
        let text = "UPDATE devices SET taken_statement = ?2, taken_index = ?3 WHERE id = ?1";
        self.with(|tx| {
            tx.prepare(text)?.execute((device.as_bytes(), taken.0, taken.1))?;
            Ok(())
        })
    }

    fn put_verdict(&mut self, _device: &DeviceId, _verdict: &Verdict) -> Result<(), LogError> {
        Err(LogError::other("a hub judges nothing"))
    }

    fn verdicts(&mut self, _device: &DeviceId, _after: u64, _limit: usize) -> Result<Vec<(u64, Verdict)>, LogError> {
        Ok(Vec::new())
    }

    fn drop_verdicts(&mut self, _device: &DeviceId, _through: u64) -> Result<(), LogError> {
        Ok(())
    }

    fn awaiting(&mut self) -> Result<bool, LogError> {
        Ok(false)
    }

    fn begin_epoch(&mut self, _above: u32) -> Result<(), LogError> {
        Err(LogError::other("a hub orders nothing"))
    }

    fn returned(&mut self, _feed: &FeedId, _chain: &[u8; 32]) -> Result<Option<ReturnedState>, LogError> {
        Ok(None)
    }

    fn put_wanted(&mut self, _feed: &FeedId, _point: &Point) -> Result<(), LogError> {
        Err(LogError::other("a hub takes nothing back"))
    }

    fn put_returned(&mut self, _chain: &[u8; 32], _entry: &Returned) -> Result<(), LogError> {
        Err(LogError::other("a hub takes nothing back"))
    }

    fn wanted(&mut self, _feed: &FeedId, _limit: usize) -> Result<Vec<Point>, LogError> {
        Ok(Vec::new())
    }

    fn given_back(&mut self, _feed: &FeedId, _through: u64) -> Result<Vec<Point>, LogError> {
        Ok(Vec::new())
    }

    fn take_back(&mut self) -> Result<(), LogError> {
        Err(LogError::other("a hub takes nothing back"))
    }

    /// What is sealed, the server offers; a hub only holds the bytes, and offers nobody any.
    fn has_others(&mut self, _: &FeedId, _: u64, _: &DeviceId, _: u64) -> Result<bool, LogError> {
        Ok(false)
    }

    fn segments(&mut self, _feed: &FeedId) -> Result<Vec<Segment>, LogError> {
        Ok(Vec::new())
    }

    fn begin_sealing(&mut self, _feed: &FeedId) -> Result<u64, LogError> {
        Err(LogError::other("a hub seals nothing"))
    }

    fn put_segment(&mut self, _feed: &FeedId, _erasures: u64, _sealed: &Sealed) -> Result<bool, LogError> {
        Err(LogError::other("a hub seals nothing"))
    }

    fn end_sealing(&mut self) {}

    fn segment_key(&mut self) -> Result<[u8; 32], LogError> {
        Err(LogError::other("a hub seals nothing"))
    }

    fn heads(&mut self, wanted: &[FeedId]) -> Result<Vec<FeedHead>, LogError> {
        let mut heads = Vec::with_capacity(wanted.len());
        for id in wanted {
            heads.push(match self.with(|tx| mirror_feed(tx, id))? {
                Some(feed) => FeedHead { epoch: feed.epoch, position: feed.position, chain: feed.chain },
                None => FeedHead { epoch: 0, position: 0, chain: chain::START },
            });
        }
        Ok(heads)
    }

    fn chain_at(&mut self, feed: &FeedId, position: u64) -> Result<Option<[u8; 32]>, LogError> {
        if position == 0 {
            return Ok(Some(chain::START));
        }
        self.with(|tx| {
            let Some(feed) = mirror_feed(tx, feed)? else { return Ok(None) };
            let mut statement = tx.prepare("SELECT chain FROM entries WHERE feed = ?1 AND position = ?2")?;
            Ok(statement.query_row((feed.row, position), |row| row.get(0)).optional()?)
        })
    }

    fn entries(
        &mut self,
        feed: &FeedId,
        after: u64,
        through: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, LogError> {
        let rows = self.with(|tx| {
            let Some(feed) = mirror_feed(tx, feed)? else { return Ok(Vec::new()) };
            let text = "SELECT position, received_ms, body, hash, chain FROM entries \
                        WHERE feed = ?1 AND position > ?2 AND position <= ?3 ORDER BY position LIMIT ?4";
            let mut statement = tx.prepare(text)?;
            let rows = statement.query_map((feed.row, after, through, limit), log_entry)?;
            let (mut found, mut bytes) = (Vec::new(), 0);
            for row in rows {
                let row = row?;
                bytes += row.2.len();
                if bytes > max_bytes && !found.is_empty() {
                    break;
                }
                found.push(row);
            }
            Ok(found)
        })?;
        rows.into_iter()
            .map(|(position, received_ms, body, hash, chain)| {
                let body = from_cbor(&body).ok_or_else(|| LogError::damaged("an entry does not read back"))?;
                let entry = Entry { position, received_ms, body };
                Ok(LogEntry { entry, stated: None, hash: hash.map(ChangeHash), chain })
            })
            .collect()
    }
}

/// The area that a stored word names.
pub(super) fn area(word: &str) -> Result<Area, StoreError> {
    Area::from_word(word).ok_or_else(|| StoreError::corrupt("area", word))
}
