//! Takes a device's statements and changes, a transaction a frame.

use std::collections::VecDeque;
use std::sync::Arc;

use super::relay::Relay;
use super::restored;
use super::session::{Caller, Traffic};
use super::unpack::{self, MadeOut};
use super::{Fate, Scope, ServerLog, StatementRow, TakenChange, error, seen};
use crate::access::FeedId;
use crate::ids::{ActorId, ChangeHash, RecordId};
use crate::limits::UNIT_CODE_BYTES_MAX;
use crate::protocol::limits::{NAME_CHARS_MAX, PROTOCOL_VERSION};
use crate::protocol::transcode::Room;
use crate::protocol::{ChangesUp, ErrorAnswer, ErrorKind, Statement, StatementUp, Up, Verdict, VerdictKind};
use crate::sync::frames::{FrameError, FrameReader};
use crate::sync::signing;
use crate::sync::wire::{from_cbor, to_cbor};

/// The frames of one request.
pub(in crate::sync) struct Upload {
    caller: Caller,
    scope: Scope,
    reader: FrameReader<Up>,
    /// The device's cursors and statements fit the log. If not, what it saved may build on what the log lost: it is not
    /// read now, and comes again.
    takes: bool,
    server_key: [u8; 32],
    /// What the request may still bring.
    room: Room,
    /// The statement that the last message named: the next one may name it too.
    open: Option<Arc<Statement>>,
    /// The caller is a township hub: it brings what others made.
    relay: Option<Box<Relay>>,
    /// A hub brings it for the device.
    relayed: Option<Relayed>,
    /// What is malformed is refused with a verdict; a hub gives none.
    judges: bool,
}

/// What a hub brings for a device.
#[derive(Clone, Copy, Default)]
pub(super) struct Relayed {
    /// The hub is revoked: everything goes to quarantine.
    pub(super) quarantine: bool,
    /// The last body that is durable.
    pub(super) through: Option<(u64, u32)>,
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
    pub(super) fn new(log: &mut dyn ServerLog, server_key: [u8; 32], caller: Caller) -> Result<Self, ErrorAnswer> {
        seen::note(log, &caller)?;
        let scope = log.scope(&caller.device)?;
        let takes = restored::takes_uploads(log, &caller.device, &caller.header.cursors)?;
        let relay = Relay::of(log, &caller, takes, server_key)?;
        let mut upload = Self::of_device((caller, scope), takes, server_key);
        upload.relay = relay.map(Box::new);
        Ok(upload)
    }

    /// What one device brings: by itself, to a hub, or by a hub.
    pub(in crate::sync) fn of_device((caller, scope): (Caller, Scope), takes: bool, server_key: [u8; 32]) -> Self {
        Self {
            caller,
            scope,
            reader: FrameReader::new(),
            takes,
            server_key,
            room: Room::default(),
            open: None,
            relay: None,
            relayed: None,
            judges: true,
        }
    }

    /// The device that brings it.
    pub(in crate::sync) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The same by a hub.
    pub(super) fn by_hub(mut self, quarantine: bool) -> Self {
        self.relayed = Some(Relayed { quarantine, through: None });
        self
    }

    /// The same to a hub, which only keeps it.
    pub(in crate::sync) fn without_verdicts(mut self) -> Self {
        self.judges = false;
        self
    }

    /// The last body that a hub brought and that is durable.
    pub(super) fn through(&self) -> Option<(u64, u32)> {
        self.relayed.and_then(|relayed| relayed.through)
    }

    pub(in crate::sync) fn into_caller(self) -> (Caller, Scope) {
        (self.caller, self.scope)
    }

    /// What a hub is told besides, if the caller is one.
    pub(super) fn take_relay(&mut self) -> Option<Box<Relay>> {
        self.relay.take()
    }

    pub(in crate::sync) fn receive(
        &mut self,
        log: &mut dyn ServerLog,
        now_ms: i64,
        bytes: &[u8],
        traffic: &mut Traffic,
    ) -> Result<(), ErrorAnswer> {
        self.reader.push(bytes);
        while let Some(messages) = self.reader.next_frame()? {
            match &mut self.relay {
                None => self.take(log, now_ms, messages, traffic)?,
                Some(relay) => relay.take(log, now_ms, messages, traffic)?,
            }
        }
        Ok(())
    }

    /// Takes messages in one transaction.
    pub(super) fn take(
        &mut self,
        log: &mut dyn ServerLog,
        now_ms: i64,
        messages: Vec<Up>,
        traffic: &mut Traffic,
    ) -> Result<(), ErrorAnswer> {
        let made_out = self.foresee(log, now_ms, &messages)?;
        // What is given back to a restored server changes more than one device's.
        if messages.iter().all(|message| matches!(message, Up::Changes(_))) {
            log.begin_for(&self.caller.device)?;
        } else {
            log.begin()?;
        }
        match self.refresh(log).and_then(|()| self.take_frame(log, now_ms, messages, made_out)) {
            Ok(frame) => {
                log.commit()?;
                frame.count_into(traffic);
                // Not before: the answer tells the device from this row what is durable.
                self.caller.row = frame.row;
                if let Some(relayed) = &mut self.relayed {
                    relayed.through = relayed.through.max(frame.through);
                }
                Ok(())
            }
            Err(answer) => {
                log.rollback();
                Err(answer)
            }
        }
    }

    /// A hub and the device itself may bring the same at once: what is here now counts, not what was when the request came.
    fn refresh(&mut self, log: &mut dyn ServerLog) -> Result<(), ErrorAnswer> {
        let Some(now) = log.device(&self.caller.device)? else { return Ok(()) };
        let row = &mut self.caller.row;
        (row.statement, row.statement_hash, row.taken) = (now.statement, now.statement_hash, now.taken);
        Ok(())
    }

    /// Makes out, outside of the transaction, the bodies of as many messages as can be made out before any of them is
    /// taken, and lets the store look at them. Whatever is wrong is found again when they are taken.
    fn foresee(
        &mut self,
        log: &mut dyn ServerLog,
        now_ms: i64,
        messages: &[Up],
    ) -> Result<VecDeque<Vec<MadeOut>>, ErrorAnswer> {
        let mut made_out = VecDeque::new();
        let mut stated = Vec::new();
        let mut last: Option<(u64, FeedId, ActorId)> = None;
        let messages = if self.takes && !self.caller.header.probe { messages } else { &[] };
        for message in messages {
            let Up::Changes(message) = message else { break };
            let Some(places) = unpack::places(message) else { break };
            if let Some(signed) = &message.signed {
                let before = last.take().filter(|(number, ..)| number + 1 == message.statement);
                let by = match (&signed.by, before) {
                    (None, Some((_, feed, actor))) => (feed, actor),
                    (by, _) => match self.writer(log, message.statement, by.as_ref()) {
                        Ok(by) => by,
                        Err(_) => break,
                    },
                };
                last = Some((message.statement, by.0, by.1));
            } else if last.as_ref().is_none_or(|(number, ..)| *number != message.statement) {
                let Ok(statement) = self.statement(log, message.statement) else { break };
                last = Some((statement.number, statement.feed.clone(), statement.actor));
            }
            let Some((_, feed, actor)) = last.clone() else { break };
            let mut room = self.room;
            let Ok(bodies) = unpack::made_out(log, message, places, &mut room) else { break };
            self.room = room;
            made_out.push_back(bodies);
            stated.push((message.statement, feed, actor));
        }
        let mut changes = Vec::new();
        for ((statement, feed, actor), bodies) in stated.iter().zip(&made_out) {
            for made_out in bodies {
                let Some(hash) = made_out.body.hash else { continue };
                changes.push(self.taken(now_ms, *statement, (feed, *actor), made_out, hash));
            }
        }
        log.foresee(&changes)?;
        Ok(made_out)
    }

    fn take_frame(
        &mut self,
        log: &mut dyn ServerLog,
        now_ms: i64,
        messages: Vec<Up>,
        mut made_out: VecDeque<Vec<MadeOut>>,
    ) -> Result<Frame, ErrorAnswer> {
        let mut frame = Frame::new(&self.caller);
        if self.caller.header.probe {
            return Err(error(ErrorKind::Malformed, "a probe uploads nothing"));
        }
        let mut complete = false;
        for message in messages {
            match message {
                Up::Changes(changes) => {
                    self.take_changes(log, now_ms, &mut frame, &changes, made_out.pop_front())?;
                }
                Up::Head(head) => restored::take_head(log, &self.server_key, &head)?,
                Up::Returned(entry) => complete |= restored::take_returned(log, &entry)?,
                Up::OnBehalf(_) => return Err(error(ErrorKind::Malformed, "this device is no township hub")),
                Up::Part { .. } => return Err(error(ErrorKind::Malformed, "a part outside of a message")),
            }
        }
        if complete {
            log.take_back()?;
        }
        if let Some(taken) = frame.taken
            && frame.row.taken.is_none_or(|last| taken > last)
        {
            log.put_taken(&self.caller.device, taken)?;
            frame.row.taken = Some(taken);
        }
        Ok(frame)
    }

    fn take_changes(
        &mut self,
        log: &mut dyn ServerLog,
        now_ms: i64,
        frame: &mut Frame,
        message: &ChangesUp,
        made_out: Option<Vec<MadeOut>>,
    ) -> Result<(), ErrorAnswer> {
        let reaches = frame.row.statement + u64::from(message.signed.is_some());
        if message.statement > reaches {
            // The device was told that those between are here: the log lost them. It sends them once it has seen Hello.
            self.takes = false;
        }
        if !self.takes {
            return Ok(());
        }
        let garbled = || error(ErrorKind::Malformed, "a message of changes does not fit together");
        let bodies = match made_out {
            Some(bodies) => bodies,
            None => {
                let places = unpack::places(message).ok_or_else(garbled)?;
                let in_full = self.caller.header.in_full;
                unpack::made_out(log, message, places, &mut self.room)
                    .map_err(|failure| unpack::answer_of(failure, in_full))?
            }
        };
        let statement = match &message.signed {
            Some(signed) => self.take_statement(log, frame, message.statement, signed, &bodies)?,
            None => self.statement(log, message.statement)?,
        };
        for made_out in &bodies {
            self.take_change(log, now_ms, frame, &statement, made_out)?;
        }
        Ok(())
    }

    /// Puts the statement together again, and takes it if the device has signed exactly this.
    fn take_statement(
        &mut self,
        log: &mut dyn ServerLog,
        frame: &mut Frame,
        number: u64,
        signed: &StatementUp,
        bodies: &[MadeOut],
    ) -> Result<Arc<Statement>, ErrorAnswer> {
        let changes = unpack::listed(signed, bodies)
            .ok_or_else(|| error(ErrorKind::Malformed, format!("statement {number} lists what is not there")))?;
        let (feed, actor) = self.writer(log, number, signed.by.as_ref())?;
        if number <= frame.row.statement {
            let held = self.statement(log, number)?;
            let same = held.changes == changes && held.feed == feed && held.actor == actor;
            let in_doubt = !self.caller.header.in_full && bodies.iter().any(|made_out| made_out.body.transcoded);
            return match (same, in_doubt) {
                (true, _) => Ok(held),
                (false, true) => Err(in_doubt_of(number)),
                (false, false) => Err(forked(number)),
            };
        }
        let (row, device) = (&frame.row, &self.caller.device);
        if number != row.statement + 1 || !row.statement_hash.starts_with(&signed.previous) {
            return Err(forked(number));
        }
        let statement = Statement {
            version: PROTOCOL_VERSION,
            device: *device,
            number,
            previous: row.statement_hash,
            feed,
            actor,
            user: row.user,
            changes,
        };
        check_statement(&statement)?;
        let bytes = to_cbor(&statement);
        if !signing::verify(&row.key, signing::STATEMENT, &bytes, &signed.signature) {
            let in_full = self.caller.header.in_full;
            let unsigned = || error(ErrorKind::BadSignature, format!("statement {number} is not signed"));
            return Err(if in_full { unsigned() } else { in_doubt_of(number) });
        }
        if !log.claim_actor(&statement.actor, device, &statement.user)? {
            return Err(error(ErrorKind::Forked, format!("actor {} belongs to another device", statement.actor)));
        }
        let hash = signing::statement_hash(&bytes);
        log.put_statement(device, number, &StatementRow { bytes, signature: signed.signature, hash })?;
        frame.row.statement = number;
        frame.row.statement_hash = hash;
        let statement = Arc::new(statement);
        self.open = Some(statement.clone());
        Ok(statement)
    }

    fn take_change(
        &mut self,
        log: &mut dyn ServerLog,
        now_ms: i64,
        frame: &mut Frame,
        statement: &Statement,
        made_out: &MadeOut,
    ) -> Result<(), ErrorAnswer> {
        let MadeOut { index, body, .. } = made_out;
        let (number, record) = (statement.number, body.record);
        let Some(&hash) = statement.changes.get(*index as usize) else {
            return Err(error(ErrorKind::Malformed, format!("statement {number} lists no change {index}")));
        };
        self.advance(log, frame, (number, *index))?;
        if body.hash != Some(hash) && !self.caller.header.in_full && body.transcoded {
            return Err(in_doubt_of(number));
        }
        if let Err(reason) = check_change(made_out, &hash) {
            self.refuses(reason)?;
            frame.not_taken += 1;
            let verdict = Verdict::refused(hash, record, reason);
            return Ok(log.put_verdict(&self.caller.device, &verdict)?);
        }
        let taken = self.taken(now_ms, number, (&statement.feed, statement.actor), made_out, hash);
        match log.take_change(&taken)? {
            Fate::Accepted(_) => frame.accepted += 1,
            Fate::Known => frame.known += 1,
            Fate::NotTaken(verdict) => {
                if verdict.kind == VerdictKind::Refused {
                    self.refuses(&verdict.reason)?;
                }
                frame.not_taken += 1;
                log.put_verdict(&self.caller.device, &checked(verdict, &taken))?;
            }
        }
        Ok(())
    }

    /// A device sends its bodies in order: the last one says that all before it are here. A hub may leave out what it
    /// likes: only what follows without a gap counts, and the device itself sends the rest.
    fn advance(
        &mut self,
        log: &mut dyn ServerLog,
        frame: &mut Frame,
        (number, index): (u64, u32),
    ) -> Result<(), ErrorAnswer> {
        let place = Some((number, index));
        if self.relayed.is_none() {
            frame.taken = frame.taken.max(place);
            return Ok(());
        }
        frame.through = frame.through.max(place);
        let before = frame.taken.max(frame.row.taken);
        let follows = match (index.checked_sub(1), before) {
            (Some(last), _) => before == Some((number, last)),
            (None, None) => number == 1,
            (None, Some((last, at))) if last + 1 == number => {
                let open = self.open.clone();
                let all = self.statement(log, last)?.changes.len() as u64;
                self.open = open;
                u64::from(at) + 1 == all
            }
            (None, Some(_)) => false,
        };
        if follows {
            frame.taken = place;
        }
        Ok(())
    }

    /// What a device itself brings is refused with a verdict. What a hub brings may have been spoilt by the hub: the device
    /// is not told that its change is wrong before it has brought it itself.
    fn refuses(&self, reason: &str) -> Result<(), ErrorAnswer> {
        match self.relayed {
            None if self.judges => Ok(()),
            None => Err(error(ErrorKind::Malformed, "a hub keeps only what was stated: go to the server")),
            Some(_) => {
                let detail =
                    format!("a change that a hub brought is refused ({reason}): its device must bring it itself");
                Err(error(ErrorKind::Malformed, detail))
            }
        }
    }

    /// A change as the store is to take it.
    fn taken<'a>(
        &self,
        received_ms: i64,
        statement: u64,
        (feed, actor): (&'a FeedId, ActorId),
        made_out: &'a MadeOut,
        hash: ChangeHash,
    ) -> TakenChange<'a> {
        let MadeOut { index, body, created, form_version } = made_out;
        TakenChange {
            device: self.caller.device,
            user: self.caller.row.user,
            actor,
            statement,
            index: *index,
            feed,
            record: body.record,
            kind: &created.kind,
            created_version: &created.version,
            form_version,
            hash,
            bytes: &body.bytes,
            received_ms,
            quarantine: self.quarantine(feed),
            relayed: self.relayed.is_some(),
        }
    }

    fn quarantine(&self, stated: &FeedId) -> Option<&'static str> {
        if self.caller.row.revoked || self.relayed.is_some_and(|relayed| relayed.quarantine) {
            Some("revoked")
        } else if self.scope.feeds.binary_search_by(|(feed, _)| feed.cmp(stated)).is_err() {
            Some("foreign_unit")
        } else {
            None
        }
    }

    /// Feed and actor of a statement, as its message says: they may be those of the one before.
    fn writer(
        &mut self,
        log: &mut dyn ServerLog,
        number: u64,
        said: Option<&(FeedId, ActorId)>,
    ) -> Result<(FeedId, ActorId), ErrorAnswer> {
        if let Some((feed, actor)) = said {
            return Ok((feed.clone(), *actor));
        }
        let before = self.statement(log, number.saturating_sub(1))?;
        Ok((before.feed.clone(), before.actor))
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

fn check_statement(statement: &Statement) -> Result<(), ErrorAnswer> {
    let malformed = |detail: &str| Err(error(ErrorKind::Malformed, format!("a statement {detail}")));
    if statement.changes.is_empty() {
        return malformed("lists nothing");
    }
    if statement.feed.unit.is_empty() || statement.feed.unit.len() > UNIT_CODE_BYTES_MAX {
        return malformed("names no unit");
    }
    Ok(())
}

/// What must hold before a store sees a change at all. What fails here never blocks its author: it is refused, and the
/// rest goes on.
fn check_change(change: &MadeOut, stated: &ChangeHash) -> Result<(), &'static str> {
    let names = [&change.created.kind, &change.created.version, &change.form_version];
    if names.iter().any(|name| name.is_empty() || name.chars().count() > NAME_CHARS_MAX) {
        return Err("malformed");
    }
    if change.body.hash != Some(*stated) { Err("malformed") } else { Ok(()) }
}

/// A verdict always names the change and record that it was asked about.
fn checked(verdict: Verdict, taken: &TakenChange<'_>) -> Verdict {
    Verdict { change: taken.hash, record: taken.record, ..verdict }
}

/// Something shortened may have been made out wrongly: only in full does it show whose fault it is.
fn in_doubt_of(number: u64) -> ErrorAnswer {
    error(ErrorKind::Unresolved, format!("changes of statement {number} do not come out as it states"))
}

fn forked(number: u64) -> ErrorAnswer {
    error(ErrorKind::Forked, format!("statement {number} does not follow the device's last one"))
}

/// What one frame did, kept apart until it is durable.
struct Frame {
    row: super::DeviceRow,
    taken: Option<(u64, u32)>,
    /// By a hub: the last body, whatever is missing before it.
    through: Option<(u64, u32)>,
    accepted: u64,
    known: u64,
    not_taken: u64,
}

impl Frame {
    fn new(caller: &Caller) -> Self {
        Self { row: caller.row.clone(), taken: None, through: None, accepted: 0, known: 0, not_taken: 0 }
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
        Self { change, record, kind: VerdictKind::Refused, reason: reason.to_owned(), fields: Vec::new(), by: None }
    }

    /// A well-formed change that is not allowed because of these fields (none = as a whole).
    #[must_use]
    pub fn quarantined(change: ChangeHash, record: RecordId, reason: &str, fields: Vec<String>) -> Self {
        Self { change, record, kind: VerdictKind::Quarantined, reason: reason.to_owned(), fields, by: None }
    }

    /// A change of which `by`, in the log, holds what it wrote.
    #[must_use]
    pub fn taken(change: ChangeHash, record: RecordId, by: ChangeHash) -> Self {
        let (kind, reason) = (VerdictKind::Taken, "taken".to_owned());
        Self { change, record, kind, reason, fields: Vec::new(), by: Some(by) }
    }
}
