//! The frames that go up: batches of changes, each with its statement where the server lacks that.

use std::collections::HashMap;
use std::sync::Arc;

use super::state::SyncState;
use super::{PhoneLog, StoredStatement, SyncError, Unsent};
use crate::document::Document;
use crate::forms::FormDefinition;
use crate::ids::ChangeHash;
use crate::protocol::limits::BATCH_CHANGES_MAX;
use crate::protocol::transcode::{Room, ToPack, pack};
use crate::protocol::{ChangesUp, FormRun, Statement, StatementUp, Up};
use crate::sync::frames::FrameWriter;
use crate::sync::wire::from_cbor;
use crate::sync::{LogError, change_hash};

/// Bodies read from the outbox at once.
const PAGE_CHANGES: usize = 32;
/// Statements read at once.
const PAGE_STATEMENTS: usize = 8;
/// Window upwards: an exchange's upload is small, and so are then the compressor's tables on a cheap phone.
pub(super) const UP_WINDOW_LOG: u32 = 18;
/// How many times smaller changes become at least on their way, as a rule: what still fits a budget is guessed by it.
const SHRINKS_TO: usize = 3;

/// What goes up in one exchange.
#[derive(Default)]
pub(super) struct Upload {
    pub(super) frames: Vec<Vec<u8>>,
    /// Changes in them that were transcoded.
    pub(super) transcoded: u64,
    /// Changes in them that travel raw.
    pub(super) raw: u64,
}

/// The frames within `budget` bytes: bodies by (statement, index), and the statements that the server lacks.
pub(super) fn upload(log: &mut dyn PhoneLog, state: &SyncState, budget: usize) -> Result<Upload, SyncError> {
    let mut sending = Sending {
        log,
        writer: FrameWriter::new(UP_WINDOW_LOG),
        in_full: state.in_full,
        room: Room::default(),
        sent: state.statement,
        after: state.taken,
        forms: HashMap::new(),
        upload: Upload::default(),
    };
    loop {
        let used = sending.writer.bytes_estimate();
        if used >= budget || !sending.room.has(BATCH_CHANGES_MAX, 0) {
            break;
        }
        let batch = sending.next_batch(sending.writer.room().min((budget - used) * SHRINKS_TO))?;
        let bytes = batch.iter().map(|change| change.bytes.len()).sum();
        let Some(first) = batch.first() else {
            sending.bare_statements(u64::MAX, budget)?;
            break;
        };
        if !sending.room.has(batch.len(), bytes) {
            break;
        }
        sending.bare_statements(first.statement, usize::MAX)?;
        sending.send(first.statement, &batch)?;
    }
    sending.writer.flush()?;
    let Sending { mut writer, mut upload, .. } = sending;
    upload.frames = std::iter::from_fn(|| writer.take()).collect();
    Ok(upload)
}

struct Sending<'l> {
    log: &'l mut dyn PhoneLog,
    writer: FrameWriter,
    in_full: bool,
    room: Room,
    /// Number of the last statement that the server holds or that was written.
    sent: u64,
    /// Place of the last body taken or written.
    after: Option<(u64, u32)>,
    /// Forms by kind and version, as far as they were looked up.
    forms: HashMap<(String, String), Option<Arc<FormDefinition>>>,
    upload: Upload,
}

impl Sending<'_> {
    /// The next bodies of one statement, until they reach so many bytes; empty where nothing waits.
    fn next_batch(&mut self, bytes_target: usize) -> Result<Vec<Unsent>, LogError> {
        let mut batch: Vec<Unsent> = Vec::new();
        let (mut after, mut bytes) = (self.after, 0);
        loop {
            let page = self.log.unsent(after, PAGE_CHANGES)?;
            if page.is_empty() {
                return Ok(batch);
            }
            for change in page {
                let other = batch.first().is_some_and(|first| first.statement != change.statement);
                let full = batch.len() == BATCH_CHANGES_MAX || (bytes >= bytes_target && !batch.is_empty());
                if other || full {
                    return Ok(batch);
                }
                bytes += change.bytes.len();
                after = Some((change.statement, change.index));
                batch.push(change);
            }
        }
    }

    /// Statements below `number` that the server lacks and whose bodies are not sent: all were issued again.
    fn bare_statements(&mut self, number: u64, budget: usize) -> Result<(), SyncError> {
        while self.sent.saturating_add(1) < number && self.writer.bytes_estimate() < budget {
            let page = self.log.statements_after(self.sent, PAGE_STATEMENTS)?;
            let before = self.sent;
            for statement in page.into_iter().take_while(|statement| statement.number < number) {
                let signed = signed_part(&statement, &[])?;
                self.sent = statement.number;
                self.push(statement.number, Some(signed), &[])?;
            }
            if self.sent == before {
                break;
            }
        }
        Ok(())
    }

    fn send(&mut self, number: u64, batch: &[Unsent]) -> Result<(), SyncError> {
        let mut signed = None;
        if self.sent < number {
            let mut found = self.log.statements_after(number - 1, 1)?;
            let statement = found.pop().filter(|statement| statement.number == number);
            let statement = statement.ok_or_else(|| LogError::damaged(format!("statement {number} is gone")))?;
            signed = Some(signed_part(&statement, batch)?);
            self.sent = number;
        }
        self.push(number, signed, batch)?;
        self.after = batch.last().map(|change| (change.statement, change.index)).or(self.after);
        Ok(())
    }

    fn push(&mut self, statement: u64, signed: Option<StatementUp>, batch: &[Unsent]) -> Result<(), SyncError> {
        let mut items: Vec<ToPack<'_>> = Vec::with_capacity(batch.len());
        for change in batch {
            let form = self.form(change)?;
            items.push(ToPack {
                record: change.record,
                known: change.known,
                creation: form.and_then(|form| Document::creation_of(change.record, &form).ok()),
                bytes: &change.bytes,
            });
        }
        let packed = pack(&items, self.in_full);
        self.room.spend(batch.len(), batch.iter().map(|change| change.bytes.len()).sum());
        self.upload.transcoded += packed.transcoded as u64;
        self.upload.raw += (batch.len() - packed.transcoded) as u64;
        let message =
            ChangesUp { statement, signed, items: runs(batch), forms: forms(batch), packed: packed.bytes.into() };
        Ok(self.writer.push(&Up::Changes(message))?)
    }

    fn form(&mut self, change: &Unsent) -> Result<Option<Arc<FormDefinition>>, LogError> {
        let name = (change.kind.clone(), change.created_version.clone());
        if let Some(known) = self.forms.get(&name) {
            return Ok(known.clone());
        }
        let form = self.log.form(&change.kind, Some(&change.created_version))?;
        self.forms.insert(name, form.clone());
        Ok(form)
    }
}

/// A statement without what the server works out from the bodies that travel with it.
fn signed_part(stored: &StoredStatement, batch: &[Unsent]) -> Result<StatementUp, LogError> {
    let damaged = || LogError::damaged(format!("statement {} does not read back", stored.number));
    let statement: Statement = from_cbor(&stored.bytes).ok_or_else(damaged)?;
    let length = u32::try_from(statement.changes.len()).map_err(|_| damaged())?;
    let brought: HashMap<u32, ChangeHash> =
        batch.iter().filter_map(|change| Some((change.index, change_hash(&change.bytes)?))).collect();
    let listed = (0..length).zip(&statement.changes).map(|(index, hash)| (index, *hash));
    let [a, b, c, d, ..] = statement.previous;
    Ok(StatementUp {
        previous: [a, b, c, d],
        feed: statement.feed.clone(),
        actor: statement.actor,
        length,
        hashes: listed.filter(|(index, hash)| brought.get(index) != Some(hash)).collect(),
        signature: stored.signature,
    })
}

fn runs(batch: &[Unsent]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for change in batch {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == change.index => *count += 1,
            _ => runs.push((change.index, 1)),
        }
    }
    runs
}

fn forms(batch: &[Unsent]) -> Vec<FormRun> {
    let same = |a: &Unsent, b: &Unsent| {
        (&a.kind, &a.created_version, &a.form_version) == (&b.kind, &b.created_version, &b.form_version)
    };
    let run = |run: &[Unsent]| {
        let first = run.first()?;
        Some(FormRun {
            count: run.len() as u32,
            kind: first.kind.clone(),
            created_version: first.created_version.clone(),
            form_version: first.form_version.clone(),
        })
    };
    batch.chunk_by(same).filter_map(run).collect()
}
