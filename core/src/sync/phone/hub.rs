//! An exchange with a township hub: what the hub holds is kept apart from what the server holds, and of what it shows nothing
//! is applied before the server's signature over it was verified.

use minicbor::{Decode, Encode};

use super::apply::{Applied, Applier, Stop};
use super::exchange::{End, Exchange};
use super::request::{self, Request};
use super::state::{SyncState, transact};
use super::upload::{self, Behind, Upload};
use super::{Outcome, PhoneEvent, PhoneLog, Stats, SyncError};
use crate::protocol::limits::{EXCHANGE_FRAMES_MAX, EXCHANGE_UP_BYTES_MAX, FRAME_MESSAGES_MAX, PROTOCOL_VERSION};
use crate::protocol::transcode::Room;
use crate::protocol::{Cursors, Down, ErrorAnswer, ErrorKind, RequestHeader, Statement, Township};
use crate::sync::LogError;
use crate::sync::frames::FrameReader;
use crate::sync::signing::{self, Signer};
use crate::sync::wire::from_cbor;

/// Bytes of a hub's answer that are held until its heads were verified.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Messages of it.
const ANSWER_MESSAGES_MAX: usize = EXCHANGE_FRAMES_MAX + FRAME_MESSAGES_MAX;

/// How far beyond this phone's own counter the one that a hub says it has seen may be (a phone that was rolled back).
const COUNTER_JUMP_MAX: u64 = 1 << 32;

/// What the machine remembers of the township hub that it spoke with last. A phone that goes to another hub finds out from
/// the other's Hello.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct HubState {
    /// Counter of the last request to a hub.
    #[n(0)]
    counter: u64,
    /// Number of the last statement that the hub holds.
    #[n(1)]
    statement: u64,
    /// Last body that it holds.
    #[n(2)]
    taken: Option<(u64, u32)>,
    /// The next exchange with a hub shortens nothing.
    #[n(3)]
    in_full: bool,
}

/// The answer of a hub, as far as it has come.
#[derive(Default)]
pub(super) struct Held {
    messages: Vec<Down>,
    /// Where each feed stood when the exchange began.
    positions: Vec<u64>,
}

fn not_believed(what: impl ToString) -> SyncError {
    SyncError::Hub(what.to_string())
}

/// Number and hash of the statement before the first that has something to send; of the last one where nothing has.
fn base(log: &mut dyn PhoneLog) -> Result<Option<(u64, [u8; 32])>, LogError> {
    let Some(first) = log.unsent(None, 1)?.pop() else {
        return Ok(Some(log.last_statement()?).filter(|(number, _)| *number > 0));
    };
    let stored = log.statements_after(first.statement.saturating_sub(1), 1)?.pop();
    let stored = stored.filter(|stored| stored.number == first.statement);
    let statement: Option<Statement> = stored.and_then(|stored| from_cbor(&stored.bytes));
    let gone = || LogError::damaged(format!("statement {} is gone", first.statement));
    Ok(Some((first.statement - 1, statement.ok_or_else(gone)?.previous)))
}

impl Exchange {
    /// Begins an exchange with a township hub instead of the server: the same changes go up, and nothing of it counts as
    /// sent to the server.
    ///
    /// # Errors
    /// [`SyncError::ServerFirst`] where the server must be asked before; [`SyncError::Log`]. Nothing was sent then.
    pub fn begin_at_hub(
        log: &mut dyn PhoneLog,
        signer: &dyn Signer,
        now_ms: i64,
    ) -> Result<(Self, Request), SyncError> {
        let identity = log.identity()?;
        let mut state = SyncState::at_start(log)?;
        let feeds = log.feeds()?;
        if state.forked || state.revoked || !state.recalls.is_empty() || feeds.is_empty() {
            return Err(SyncError::ServerFirst);
        }
        request::state_changes(log, &identity, signer)?;
        let base = base(log)?;
        let mut at = state.hub.clone().unwrap_or_default();
        at.statement = at.statement.max(base.map_or(0, |(number, _)| number));
        let behind = Behind { statement: at.statement, taken: at.taken, in_full: at.in_full, by_hash: true };
        let Upload { frames, transcoded, raw } = upload::upload(log, behind, EXCHANGE_UP_BYTES_MAX)?;
        at.counter += 1;
        let header = RequestHeader {
            version: PROTOCOL_VERSION,
            device: identity.device,
            server_key: signing::hub_key_id(&identity.server_key),
            counter: at.counter,
            cursors: Cursors::Full {
                log: Some(identity.log),
                registry: state.registry,
                cursors: request::all_cursors(&feeds),
            },
            device_time_ms: now_ms,
            probe: false,
            in_full: at.in_full,
            verdicts: 0,
            forms: request::forms(&state),
            segments: None,
            township: Some(Township::ToHub { base: base.map(|(number, hash)| (number, hash.into())) }),
        };
        state.hub = Some(at);
        transact(log, |log| state.store(log))?;
        let request = Request { header: request::header(signer, &header), frames };
        let stats = Stats {
            bytes_up: request.len() as u64,
            frames_up: request.frames.len() as u64,
            changes_transcoded: transcoded,
            changes_raw: raw,
            ..Stats::default()
        };
        let held = Held { messages: Vec::new(), positions: feeds.iter().map(|feed| feed.position).collect() };
        let exchange = Self {
            identity,
            state,
            feeds,
            device_time_ms: now_ms,
            digest: [0; 16],
            probe: false,
            in_full: header.in_full,
            room: Room::default(),
            hello_seen: false,
            server_time_ms: 0,
            restored: false,
            awaiting: false,
            stats,
            progress: false,
            offered: Vec::new(),
            reader: FrameReader::new(),
            end: None,
            hub: Some(held),
        };
        Ok((exchange, request))
    }

    /// Takes a frame of a hub's answer: Hello at once, the rest when its end is here.
    pub(super) fn collect(
        &mut self,
        log: &mut dyn PhoneLog,
        messages: Vec<Down>,
    ) -> Result<Vec<PhoneEvent>, SyncError> {
        self.stats.frames_down += 1;
        for message in messages {
            match message {
                Down::Hello {
                    server_time_ms,
                    log: named,
                    statement,
                    statement_hash,
                    taken,
                    cursors_wanted: false,
                    told: None,
                } if !self.hello_seen => {
                    if named != Some(self.identity.log) {
                        return Err(self.disbelieve(log, "another server's log")?);
                    }
                    self.hub_holds(log, statement, &statement_hash, taken)?;
                    (self.hello_seen, self.server_time_ms) = (true, server_time_ms);
                }
                _ if !self.hello_seen => return Err(self.disbelieve(log, "an answer begins with Hello")?),
                Down::Entry { .. } | Down::Changes(_) | Down::Head { .. } | Down::Form(_) => self.hold(log, message)?,
                Down::Error(answer) => return self.answered_by_hub(log, answer).map(|()| Vec::new()),
                Down::Done { more, revoked: None, .. } => return self.apply_held(log, more),
                _ => return Err(self.disbelieve(log, "a message that only the server sends")?),
            }
        }
        Ok(Vec::new())
    }

    fn hold(&mut self, log: &mut dyn PhoneLog, message: Down) -> Result<(), SyncError> {
        let full = |held: &Held| held.messages.len() >= ANSWER_MESSAGES_MAX;
        if self.stats.bytes_down > ANSWER_BYTES_MAX || self.hub.as_ref().is_none_or(full) {
            return Err(self.disbelieve(log, "its answer is too large")?);
        }
        if let Some(held) = &mut self.hub {
            held.messages.push(message);
        }
        Ok(())
    }

    /// What the hub holds of this device. Only the hub's state moves, and what is shown as at the township.
    fn hub_holds(
        &mut self,
        log: &mut dyn PhoneLog,
        number: u64,
        hash: &[u8],
        taken: Option<(u64, u32)>,
    ) -> Result<(), SyncError> {
        let own = if number == 0 { None } else { log.statement_hash(number)? };
        if number > 0 && own.is_none_or(|own| own != hash) {
            // A clone, or a phone that was rolled back: only the server can sort that out.
            return Err(SyncError::ServerFirst);
        }
        let state = &mut self.state;
        let at = state.hub.get_or_insert_default();
        let (fell_back, moved) = (taken < at.taken, (at.statement, at.taken) != (number, taken));
        (at.statement, at.taken) = (number, taken);
        let held = transact(log, |log| {
            if fell_back {
                log.mark_not_held(taken)?;
            }
            let held = match taken {
                Some(taken) => log.mark_held(taken)?,
                None => 0,
            };
            // The hub brings it to the server: the next request there asks how far that has come.
            state.open |= held > 0;
            if held > 0 || moved {
                state.store(log)?;
            }
            Ok::<_, LogError>(held)
        })?;
        self.stats.changes_sent += held;
        self.progress |= moved || held > 0;
        Ok(())
    }

    /// The whole answer is here: applies it in one transaction, or nothing of it.
    fn apply_held(&mut self, log: &mut dyn PhoneLog, more: bool) -> Result<Vec<PhoneEvent>, SyncError> {
        let Held { messages, positions } = self.hub.replace(Held::default()).unwrap_or_default();
        log.begin()?;
        let result = Applier::new(&mut *log, self).frame(messages);
        match result {
            Ok(Applied { held_back: true, .. }) => {
                // A record has moved of which this phone has something to send: the server hears that first.
                log.rollback();
                self.end = Some(End::Done { more: false, revoked: false });
                Ok(Vec::new())
            }
            Ok(Applied { events, .. }) => {
                let mut moved = self.feeds.iter().zip(&positions).filter(|(feed, began)| feed.position != **began);
                if moved.any(|(feed, _)| feed.head_position != feed.position) {
                    log.rollback();
                    return Err(self.disbelieve(log, "entries without the server's signature over them")?);
                }
                log.commit()?;
                self.end = Some(End::Done { more, revoked: false });
                Ok(events)
            }
            Err(Stop::InFullWanted) => {
                log.rollback();
                self.want_in_full_of_hub(log)?;
                Ok(Vec::new())
            }
            Err(Stop::HashWanted) => {
                log.rollback();
                Err(SyncError::ServerFirst)
            }
            Err(Stop::Error(failure @ SyncError::Log(_))) => {
                log.rollback();
                Err(failure)
            }
            Err(Stop::Error(failure)) => {
                log.rollback();
                Err(self.disbelieve(log, failure)?)
            }
        }
    }

    fn want_in_full_of_hub(&mut self, log: &mut dyn PhoneLog) -> Result<(), LogError> {
        let mut state = SyncState::load(log)?;
        state.hub.get_or_insert_default().in_full = true;
        transact(log, |log| state.store(log))?;
        self.end = Some(End::Stopped);
        Ok(())
    }

    /// The hub said what cannot be: what it said before of this phone's changes counts no more either.
    fn disbelieve(&mut self, log: &mut dyn PhoneLog, what: impl ToString) -> Result<SyncError, LogError> {
        let mut state = SyncState::load(log)?;
        let counter = state.hub.take().unwrap_or_default().counter;
        state.hub = Some(HubState { counter, ..HubState::default() });
        transact(log, |log| {
            log.mark_not_held(None)?;
            state.store(log)
        })?;
        self.end = Some(End::Failed);
        Ok(not_believed(what))
    }

    /// The hub answered an error.
    pub(super) fn answered_by_hub(&mut self, log: &mut dyn PhoneLog, answer: ErrorAnswer) -> Result<(), SyncError> {
        match (answer.kind, answer.counter) {
            (ErrorKind::Replayed, Some(counter)) => {
                let mut state = SyncState::load(log)?;
                let at = state.hub.get_or_insert_default();
                if counter.checked_sub(at.counter).is_none_or(|beyond| beyond > COUNTER_JUMP_MAX) {
                    return Err(self.disbelieve(log, "a counter that was never used")?);
                }
                at.counter = counter;
                transact(log, |log| state.store(log))?;
                self.end = Some(End::Stopped);
                Ok(())
            }
            (ErrorKind::Unresolved, _) if !self.in_full => Ok(self.want_in_full_of_hub(log)?),
            (ErrorKind::Forked | ErrorKind::LogMismatch | ErrorKind::UnknownDevice, _) => {
                self.end = Some(End::Failed);
                Err(SyncError::ServerFirst)
            }
            _ => {
                self.end = Some(End::Failed);
                Err(SyncError::Server(answer))
            }
        }
    }

    /// Ends an exchange with a hub.
    pub(super) fn finish_at_hub(self, log: &mut dyn PhoneLog) -> Result<Outcome, SyncError> {
        let more = match self.end {
            Some(End::Done { more, .. }) => more,
            Some(End::Stopped | End::HeldBack) => true,
            Some(End::Failed) | None => return Err(SyncError::Broken),
        };
        let mut state = SyncState::load(log)?;
        let at = state.hub.get_or_insert_default();
        let waiting = !log.unsent(at.taken, 1)?.is_empty() || !log.unstated(1)?.is_empty();
        if at.in_full && self.in_full && !more && !waiting {
            at.in_full = false;
            transact(log, |log| state.store(log))?;
        }
        Ok(Outcome {
            again: more || waiting,
            progress: self.progress,
            revoked: false,
            awaiting: false,
            stats: self.stats,
            events: Vec::new(),
            offered: Vec::new(),
        })
    }
}
