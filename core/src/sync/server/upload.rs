//! Takes a device's statements and changes, a transaction a frame.

use std::sync::Arc;

use super::session::{Caller, Traffic};
use super::{Fate, Scope, ServerLog, StatementRow, TakenChange, error};
use crate::ids::{ChangeHash, RecordId};
use crate::limits::UNIT_CODE_BYTES_MAX;
use crate::protocol::limits::{CHANGE_BYTES_MAX, NAME_CHARS_MAX, PROTOCOL_VERSION, STATEMENT_CHANGES_MAX};
use crate::protocol::{ChangeUp, ErrorAnswer, ErrorKind, Statement, Up, Verdict, VerdictKind};
use crate::sync::frames::{FrameError, FrameReader};
use crate::sync::wire::from_cbor;
use crate::sync::{change_hash, signing};

/// The frames of one request.
pub(super) struct Upload {
    caller: Caller,
    scope: Scope,
    reader: FrameReader<Up>,
    /// The statement that the last change named: the next one mostly names it too.
    open: Option<Arc<Statement>>,
}

impl From<FrameError> for ErrorAnswer {
    fn from(failure: FrameError) -> Self {
        let kind = match failure {
            FrameError::Garbage(_) => ErrorKind::Malformed,
            FrameError::TooLarge(_) => ErrorKind::TooLarge,
            FrameError::Compression => ErrorKind::Unavailable,
        };
        error(kind, failure.to_string())
    }
}

impl Upload {
    pub(super) fn new(log: &mut dyn ServerLog, caller: Caller) -> Result<Self, ErrorAnswer> {
        let scope = log.scope(&caller.device)?;
        Ok(Self { caller, scope, reader: FrameReader::new(), open: None })
    }

    pub(super) fn into_caller(self) -> (Caller, Scope) {
        (self.caller, self.scope)
    }

    pub(super) fn receive(
        &mut self,
        log: &mut dyn ServerLog,
        now_ms: i64,
        bytes: &[u8],
        traffic: &mut Traffic,
    ) -> Result<(), ErrorAnswer> {
        self.reader.push(bytes);
        while let Some(messages) = self.reader.next_frame()? {
            log.begin()?;
            match self.take_frame(log, now_ms, messages) {
                Ok(frame) => {
                    log.commit()?;
                    frame.count_into(traffic);
                    // Not before: the answer tells the device from this row what is durable.
                    self.caller.row = frame.row;
                }
                Err(answer) => {
                    log.rollback();
                    return Err(answer);
                }
            }
        }
        Ok(())
    }

    fn take_frame(&mut self, log: &mut dyn ServerLog, now_ms: i64, messages: Vec<Up>) -> Result<Frame, ErrorAnswer> {
        let mut frame = Frame::new(&self.caller);
        if self.caller.header.probe {
            return Err(error(ErrorKind::Malformed, "a probe uploads nothing"));
        }
        for message in messages {
            match message {
                Up::Statement { bytes, signature } => self.take_statement(log, &mut frame, &bytes, &signature)?,
                Up::Change(change) => self.take_change(log, now_ms, &mut frame, &change)?,
                Up::Part { .. } => return Err(error(ErrorKind::Malformed, "a part outside of a message")),
            }
        }
        if let Some(taken) = frame.taken
            && frame.row.taken.is_none_or(|last| taken > last)
        {
            log.put_taken(&self.caller.device, taken)?;
            frame.row.taken = Some(taken);
        }
        Ok(frame)
    }

    fn take_statement(
        &mut self,
        log: &mut dyn ServerLog,
        frame: &mut Frame,
        bytes: &[u8],
        signature: &[u8; 64],
    ) -> Result<(), ErrorAnswer> {
        let statement: Statement =
            from_cbor(bytes).ok_or_else(|| error(ErrorKind::Malformed, "a statement is no message"))?;
        let hash = signing::statement_hash(bytes);
        self.check_statement(&statement)?;
        let (row, device) = (&frame.row, &self.caller.device);
        if statement.number <= row.statement {
            let held = log.statement(device, statement.number)?;
            return if held.is_some_and(|held| held.hash == hash) { Ok(()) } else { Err(forked(statement.number)) };
        }
        if statement.number != row.statement + 1 || statement.previous != row.statement_hash {
            return Err(forked(statement.number));
        }
        if !signing::verify(&row.key, signing::STATEMENT, bytes, signature) {
            return Err(error(ErrorKind::BadSignature, format!("statement {} is not signed", statement.number)));
        }
        if !log.claim_actor(&statement.actor, device, &statement.user)? {
            return Err(error(ErrorKind::Forked, format!("actor {} belongs to another device", statement.actor)));
        }
        let stored = StatementRow { bytes: bytes.to_vec(), signature: *signature, hash };
        log.put_statement(device, statement.number, &stored)?;
        frame.row.statement = statement.number;
        frame.row.statement_hash = hash;
        self.open = Some(Arc::new(statement));
        Ok(())
    }

    fn check_statement(&self, statement: &Statement) -> Result<(), ErrorAnswer> {
        let malformed = |detail: &str| Err(error(ErrorKind::Malformed, format!("a statement {detail}")));
        if statement.version != PROTOCOL_VERSION {
            return Err(error(ErrorKind::Version, format!("a statement of version {}", statement.version)));
        }
        if statement.device != self.caller.device || statement.user != self.caller.row.user {
            return malformed("names another device or user");
        }
        if statement.number == 0 || statement.changes.is_empty() {
            return malformed("has no number or lists nothing");
        }
        if statement.feed.unit.is_empty() || statement.feed.unit.len() > UNIT_CODE_BYTES_MAX {
            return malformed("names no unit");
        }
        if statement.changes.len() > STATEMENT_CHANGES_MAX {
            let detail = format!("a statement lists at most {STATEMENT_CHANGES_MAX} changes");
            return Err(error(ErrorKind::TooLarge, detail));
        }
        Ok(())
    }

    fn take_change(
        &mut self,
        log: &mut dyn ServerLog,
        now_ms: i64,
        frame: &mut Frame,
        change: &ChangeUp,
    ) -> Result<(), ErrorAnswer> {
        let statement = self.statement(log, change.statement)?;
        let Some(&hash) = statement.changes.get(change.index as usize) else {
            let detail = format!("statement {} lists no change {}", change.statement, change.index);
            return Err(error(ErrorKind::Malformed, detail));
        };
        frame.taken = frame.taken.max(Some((change.statement, change.index)));
        if let Err(reason) = check_change(change, &hash) {
            frame.not_taken += 1;
            let verdict = Verdict::refused(hash, change.record, reason);
            return Ok(log.put_verdict(&self.caller.device, &verdict)?);
        }
        let taken = TakenChange {
            device: self.caller.device,
            user: self.caller.row.user,
            actor: statement.actor,
            statement: change.statement,
            index: change.index,
            feed: &statement.feed,
            record: change.record,
            kind: &change.kind,
            created_version: &change.created_version,
            form_version: &change.form_version,
            hash,
            bytes: &change.bytes,
            received_ms: now_ms,
            quarantine: self.quarantine(&statement),
        };
        match log.take_change(&taken)? {
            Fate::Accepted(_) => frame.accepted += 1,
            Fate::Known => frame.known += 1,
            Fate::NotTaken(verdict) => {
                frame.not_taken += 1;
                log.put_verdict(&self.caller.device, &checked(verdict, &taken))?;
            }
        }
        Ok(())
    }

    fn quarantine(&self, statement: &Statement) -> Option<&'static str> {
        if self.caller.row.revoked {
            Some("revoked")
        } else if self.scope.feeds.binary_search_by(|(feed, _)| feed.cmp(&statement.feed)).is_err() {
            Some("foreign_unit")
        } else {
            None
        }
    }

    fn statement(&mut self, log: &mut dyn ServerLog, number: u64) -> Result<Arc<Statement>, ErrorAnswer> {
        if self.open.as_ref().is_none_or(|open| open.number != number) {
            let missing = || error(ErrorKind::Malformed, format!("statement {number} is not here"));
            let row = log.statement(&self.caller.device, number)?.ok_or_else(missing)?;
            self.open = Some(Arc::new(from_cbor(&row.bytes).ok_or_else(missing)?));
        }
        self.open.clone().ok_or_else(|| error(ErrorKind::Malformed, "no statement"))
    }
}

/// What must hold before a store sees a change at all. What fails here never blocks its author: it is refused, and the
/// rest goes on.
fn check_change(change: &ChangeUp, stated: &ChangeHash) -> Result<(), &'static str> {
    if change.bytes.len() > CHANGE_BYTES_MAX {
        return Err("too_large");
    }
    let names = [&change.kind, &change.created_version, &change.form_version];
    if names.iter().any(|name| name.is_empty() || name.chars().count() > NAME_CHARS_MAX) {
        return Err("malformed");
    }
    if change_hash(&change.bytes) != Some(*stated) { Err("malformed") } else { Ok(()) }
}

/// A verdict always names the change and record that it was asked about.
fn checked(verdict: Verdict, taken: &TakenChange<'_>) -> Verdict {
    Verdict { change: taken.hash, record: taken.record, ..verdict }
}

fn forked(number: u64) -> ErrorAnswer {
    error(ErrorKind::Forked, format!("statement {number} does not follow the device's last one"))
}

/// What one frame did, kept apart until it is durable.
struct Frame {
    row: super::DeviceRow,
    taken: Option<(u64, u32)>,
    accepted: u64,
    known: u64,
    not_taken: u64,
}

impl Frame {
    fn new(caller: &Caller) -> Self {
        Self { row: caller.row.clone(), taken: None, accepted: 0, known: 0, not_taken: 0 }
    }

    fn count_into(&self, traffic: &mut Traffic) {
        traffic.frames_up += 1;
        traffic.accepted += self.accepted;
        traffic.known += self.known;
        traffic.not_taken += self.not_taken;
    }
}

impl Verdict {
    /// A change that is malformed or wrong beyond rights.
    #[must_use]
    pub fn refused(change: ChangeHash, record: RecordId, reason: &str) -> Self {
        Self { change, record, kind: VerdictKind::Refused, reason: reason.to_owned(), fields: Vec::new() }
    }

    /// A well-formed change that is not allowed because of these fields (none = as a whole).
    #[must_use]
    pub fn quarantined(change: ChangeHash, record: RecordId, reason: &str, fields: Vec<String>) -> Self {
        Self { change, record, kind: VerdictKind::Quarantined, reason: reason.to_owned(), fields }
    }
}
