//! The frames that go up: batches of changes, each with its statement where the server lacks that.

use std::collections::HashMap;
use std::sync::Arc;

use super::{PhoneLog, StoredStatement, SyncError, Unsent};
use crate::access::FeedId;
use crate::document::Document;
use crate::forms::FormDefinition;
use crate::ids::{ActorId, ChangeHash};
use crate::protocol::limits::BATCH_CHANGES_MAX;
use crate::protocol::transcode::{Room, ToPack, pack};
use crate::protocol::{ChangesUp, CreatedUnder, FormRun, Statement, StatementUp, Up};
use crate::sync::frames::FrameWriter;
use crate::sync::wire::{from_cbor, to_cbor};
use crate::sync::{LogError, change_hash};

/// Bodies read from the outbox at once.
const PAGE_CHANGES: usize = 32;
/// Statements read at once.
const PAGE_STATEMENTS: usize = 8;
/// Window upwards: an exchange's upload is small, and so are then the compressor's tables on a cheap phone.
pub(in crate::sync) const UP_WINDOW_LOG: u32 = 18;
/// With less than this left of its budget an exchange is full: another message would bring next to nothing.
const LEFT_BYTES_MIN: usize = 2 * 1024;

/// What goes up in one exchange.
#[derive(Default)]
pub(in crate::sync) struct Upload {
    pub(in crate::sync) frames: Vec<Vec<u8>>,
    /// Changes in them that were transcoded.
    pub(in crate::sync) transcoded: u64,
    /// Changes in them that travel raw.
    pub(in crate::sync) raw: u64,
}

/// What has been stated and is to be sent: of a phone, or of a device for which a hub speaks.
pub(in crate::sync) trait Stated {
    /// Stated changes by (statement, index), beginning behind `after`, at most `limit`.
    fn unsent(&mut self, after: Option<(u64, u32)>, limit: usize) -> Result<Vec<Unsent>, LogError>;
    /// Statements above `number`, at most `limit`.
    fn statements_after(&mut self, number: u64, limit: usize) -> Result<Vec<StoredStatement>, LogError>;
    /// A form.
    fn form(&mut self, kind: &str, version: &str) -> Result<Option<Arc<FormDefinition>>, LogError>;
}

/// A phone's outbox.
pub(super) struct Outbox<'l>(pub(super) &'l mut dyn PhoneLog);

impl Stated for Outbox<'_> {
    fn unsent(&mut self, after: Option<(u64, u32)>, limit: usize) -> Result<Vec<Unsent>, LogError> {
        self.0.unsent(after, limit)
    }

    fn statements_after(&mut self, number: u64, limit: usize) -> Result<Vec<StoredStatement>, LogError> {
        self.0.statements_after(number, limit)
    }

    fn form(&mut self, kind: &str, version: &str) -> Result<Option<Arc<FormDefinition>>, LogError> {
        self.0.form(kind, Some(version))
    }
}

/// How far the receiver has come, as far as is known.
#[derive(Clone, Copy)]
pub(in crate::sync) struct Behind {
    /// Number of the last statement that it holds.
    pub(in crate::sync) statement: u64,
    /// Last body that it holds.
    pub(in crate::sync) taken: Option<(u64, u32)>,
    /// It could not make out something: nothing is shortened.
    pub(in crate::sync) in_full: bool,
    /// Of the last statement it holds the hash only.
    pub(in crate::sync) by_hash: bool,
}

/// The frames within `budget` bytes: bodies by (statement, index), and the statements that the receiver lacks.
pub(super) fn upload(log: &mut dyn PhoneLog, behind: Behind, budget: usize) -> Result<Upload, SyncError> {
    let mut writer = FrameWriter::new(UP_WINDOW_LOG);
    let (mut room, mut upload) = (Room::default(), Upload::default());
    write(&mut Outbox(log), behind, (&mut writer, &mut room, &mut upload), budget)?;
    writer.flush()?;
    upload.frames = std::iter::from_fn(|| writer.take()).collect();
    Ok(upload)
}

/// Writes the messages that bring the receiver on, as long as `writer` surely stays within `budget` bytes; one message it
/// always takes.
pub(in crate::sync) fn write(
    log: &mut dyn Stated,
    behind: Behind,
    (writer, room, upload): (&mut FrameWriter, &mut Room, &mut Upload),
    budget: usize,
) -> Result<(), SyncError> {
    let Behind { statement, taken, in_full, by_hash } = behind;
    let before = None;
    let mut sending = Sending {
        log,
        writer,
        in_full,
        by_hash,
        room,
        sent: statement,
        before,
        after: taken,
        forms: HashMap::new(),
        upload,
        budget,
    };
    while sending.room.has(BATCH_CHANGES_MAX, 0) {
        let Some(left) = sending.left()? else { break };
        let batch = sending.next_batch(sending.writer.room().min(left))?;
        let bytes = batch.iter().map(|change| change.bytes.len()).sum();
        let Some(first) = batch.first() else {
            sending.bare_statements(u64::MAX)?;
            break;
        };
        let went = sending.room.has(batch.len(), bytes)
            && sending.bare_statements(first.statement)?
            && sending.send(first.statement, &batch)?;
        if !went {
            break;
        }
    }
    Ok(())
}

struct Sending<'l> {
    log: &'l mut dyn Stated,
    writer: &'l mut FrameWriter,
    in_full: bool,
    by_hash: bool,
    room: &'l mut Room,
    /// Number of the last statement that the receiver holds or that was written.
    sent: u64,
    /// The last statement that was written: number, feed and actor.
    before: Option<(u64, FeedId, ActorId)>,
    /// Place of the last body taken or written.
    after: Option<(u64, u32)>,
    /// Forms by kind and version, as far as they were looked up.
    forms: HashMap<(String, String), Option<Arc<FormDefinition>>>,
    upload: &'l mut Upload,
    /// Bytes that all frames may take.
    budget: usize,
}

impl Sending<'_> {
    /// Bytes that surely fit still; `None` where that is too little to go on.
    fn left(&mut self) -> Result<Option<usize>, SyncError> {
        let left = |sending: &Self| sending.budget.saturating_sub(sending.writer.bytes_at_most());
        if left(self) < LEFT_BYTES_MIN {
            // What is written may have become much smaller: a finished frame tells.
            self.writer.cut_here()?;
        }
        let left = left(self);
        Ok((left >= LEFT_BYTES_MIN || self.writer.bytes_at_most() == 0).then_some(left))
    }

    /// Writes a message if it fits, or is the first.
    fn put(&mut self, message: &Up) -> Result<bool, SyncError> {
        let fits = |sending: &Self, bytes: usize| {
            let used = sending.writer.bytes_at_most();
            used == 0 || used + bytes <= sending.budget
        };
        let bytes = to_cbor(message).len();
        if !fits(self, bytes) {
            self.writer.cut_here()?;
        }
        let fits = fits(self, bytes);
        if fits {
            self.writer.push(message)?;
        }
        Ok(fits)
    }

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
                let full = batch.len() == BATCH_CHANGES_MAX || bytes + change.bytes.len() > bytes_target;
                if other || (full && !batch.is_empty()) {
                    return Ok(batch);
                }
                bytes += change.bytes.len();
                after = Some((change.statement, change.index));
                batch.push(change);
            }
        }
    }

    /// Statements below `number` that the server lacks and whose bodies are not sent: all were issued again. False if they
    /// do not all fit.
    fn bare_statements(&mut self, number: u64) -> Result<bool, SyncError> {
        while self.sent.saturating_add(1) < number {
            let page = self.log.statements_after(self.sent, PAGE_STATEMENTS)?;
            let before = self.sent;
            for statement in page.into_iter().take_while(|statement| statement.number < number) {
                let signed = self.signed_part(&statement, &[])?;
                if !self.push(statement.number, Some(signed), &[])? {
                    return Ok(false);
                }
                self.sent = statement.number;
            }
            if self.sent == before {
                break;
            }
        }
        Ok(true)
    }

    /// False if it does not fit.
    fn send(&mut self, number: u64, batch: &[Unsent]) -> Result<bool, SyncError> {
        let mut signed = None;
        if self.sent < number {
            let mut found = self.log.statements_after(number - 1, 1)?;
            let statement = found.pop().filter(|statement| statement.number == number);
            let statement = statement.ok_or_else(|| LogError::damaged(format!("statement {number} is gone")))?;
            signed = Some(self.signed_part(&statement, batch)?);
        }
        if !self.push(number, signed, batch)? {
            return Ok(false);
        }
        self.sent = self.sent.max(number);
        self.after = batch.last().map(|change| (change.statement, change.index)).or(self.after);
        Ok(true)
    }

    fn push(&mut self, statement: u64, signed: Option<StatementUp>, batch: &[Unsent]) -> Result<bool, SyncError> {
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
        let message = ChangesUp {
            statement,
            signed,
            items: runs(batch),
            forms: forms(batch, self.in_full),
            packed: packed.bytes.into(),
        };
        if !self.put(&Up::Changes(message))? {
            return Ok(false);
        }
        self.room.spend(batch.len(), batch.iter().map(|change| change.bytes.len()).sum());
        self.upload.transcoded += packed.transcoded as u64;
        self.upload.raw += (batch.len() - packed.transcoded) as u64;
        Ok(true)
    }

    /// A statement without what the receiver works out: from the bodies that travel with it, and from the statement before.
    fn signed_part(&mut self, stored: &StoredStatement, batch: &[Unsent]) -> Result<StatementUp, LogError> {
        let damaged = || LogError::damaged(format!("statement {} does not read back", stored.number));
        let statement: Statement = from_cbor(&stored.bytes).ok_or_else(damaged)?;
        let length = u32::try_from(statement.changes.len()).map_err(|_| damaged())?;
        let brought: HashMap<u32, ChangeHash> =
            batch.iter().filter_map(|change| Some((change.index, change_hash(&change.bytes)?))).collect();
        let listed = (0..length).zip(&statement.changes).map(|(index, hash)| (index, *hash));
        let [a, b, c, d, ..] = statement.previous;
        let hashes = listed.filter(|(index, hash)| brought.get(index) != Some(hash)).collect();
        let by = (statement.feed, statement.actor);
        let same = self.by_before(statement.number)?.is_some_and(|before| before == by);
        self.before = Some((statement.number, by.0.clone(), by.1));
        let by = if same { None } else { Some(by) };
        Ok(StatementUp { previous: [a, b, c, d], by, length, hashes, signature: stored.signature })
    }

    /// Feed and actor of the statement before this one, if both sides have them.
    fn by_before(&mut self, number: u64) -> Result<Option<(FeedId, ActorId)>, LogError> {
        if let Some((_, feed, actor)) = self.before.as_ref().filter(|(before, ..)| before + 1 == number) {
            return Ok(Some((feed.clone(), *actor)));
        }
        if self.in_full || self.by_hash || number < 2 {
            return Ok(None);
        }
        let found = self.log.statements_after(number - 2, 1)?;
        let before = found.first().filter(|before| before.number + 1 == number);
        let before = before.and_then(|before| from_cbor::<Statement>(&before.bytes));
        Ok(before.map(|before| (before.feed, before.actor)))
    }

    fn form(&mut self, change: &Unsent) -> Result<Option<Arc<FormDefinition>>, LogError> {
        let name = (change.kind.clone(), change.created_version.clone());
        if let Some(known) = self.forms.get(&name) {
            return Ok(known.clone());
        }
        let form = self.log.form(&change.kind, &change.created_version)?;
        self.forms.insert(name, form.clone());
        Ok(form)
    }
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

/// Of a record that the receiver holds, it knows under which form it was created.
fn form_of(change: &Unsent, in_full: bool) -> (Option<CreatedUnder>, Option<&String>) {
    let created = || CreatedUnder { kind: change.kind.clone(), version: change.created_version.clone() };
    let saved = Some(&change.form_version).filter(|saved| **saved != change.created_version);
    ((in_full || !change.known).then(created), saved)
}

fn forms(batch: &[Unsent], in_full: bool) -> Vec<FormRun> {
    let run = |run: &[Unsent]| {
        let (created, saved) = form_of(run.first()?, in_full);
        Some(FormRun { count: run.len() as u32, created, saved_version: saved.cloned() })
    };
    batch.chunk_by(|a, b| form_of(a, in_full) == form_of(b, in_full)).filter_map(run).collect()
}
