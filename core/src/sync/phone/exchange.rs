//! One exchange on the device's side.

use super::apply::{Applied, Applier, Stop};
use super::download::Offered;
use super::hub::Held;
use super::request::{self, Request};
use super::state::{SyncState, transact};
use super::upload::{self, Upload};
use super::{FollowedFeed, Outcome, PhoneEvent, PhoneIdentity, PhoneLog, Stats, SyncError};
use super::{reissue, restored};
use crate::ids::ActorId;
use crate::ports::Random;
use crate::protocol::limits::PROTOCOL_VERSION;
use crate::protocol::transcode::Room;
use crate::protocol::{Down, ErrorAnswer, ErrorKind, RequestHeader};
use crate::sync::frames::FrameReader;
use crate::sync::signing::{self, Signer};

/// The device's half of one exchange: [`Exchange::begin`], send the request, give the answer to
/// [`Exchange::receive`] as it arrives, then [`Exchange::finish`]. The log is borrowed per call only, so that saving
/// goes on while the network is slow. Dropping it at any point is as a break: the next exchange finds out how far
/// this one got.
pub struct Exchange {
    pub(super) identity: PhoneIdentity,
    pub(super) state: SyncState,
    pub(super) feeds: Vec<FollowedFeed>,
    pub(super) device_time_ms: i64,
    /// Digest of the cursors as the request named them.
    pub(super) digest: [u8; 16],
    pub(super) probe: bool,
    /// The request said that nothing is to be shortened.
    pub(super) in_full: bool,
    /// What the answer may still bring.
    pub(super) room: Room,
    pub(super) hello_seen: bool,
    /// The server's clock as Hello told, milliseconds since 1970 UTC.
    pub(super) server_time_ms: i64,
    /// The server said that it lost data.
    pub(super) restored: bool,
    /// And that it waits for its administrator.
    pub(super) awaiting: bool,
    pub(super) stats: Stats,
    /// The break before this exchange was not without effect.
    pub(super) progress: bool,
    /// What is to be fetched apart, in order.
    pub(super) offered: Vec<Offered>,
    pub(super) reader: FrameReader<Down>,
    pub(super) end: Option<End>,
    /// The other side is a township hub.
    pub(super) hub: Option<Held>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The last message was seen: its `more` and `revoked`.
    Done { more: bool, revoked: bool },
    /// Nothing more is read; exchange again.
    Stopped,
    /// The same, however much of the answer is still to come.
    HeldBack,
    /// An error was returned.
    Failed,
}

impl Exchange {
    /// Begins an exchange: states what is new, stores the request's counter, and builds the request. After a broken
    /// exchange the request only asks (a probe). Settles verdicts that an earlier exchange left.
    ///
    /// # Errors
    /// [`SyncError::Log`]; nothing was sent then.
    pub fn begin(
        log: &mut dyn PhoneLog,
        signer: &dyn Signer,
        random: &dyn Random,
        now_ms: i64,
    ) -> Result<(Self, Request), SyncError> {
        let identity = log.identity()?;
        let mut state = SyncState::at_start(log)?;
        let probe = state.open || state.forked;
        let mut sent = Upload::default();
        if !probe {
            if !state.revoked {
                reissue::settle(log, random, false)?;
            }
            request::state_changes(log, &identity, signer)?;
        }
        let feeds = log.feeds()?;
        let digest = request::cursor_set(&identity, state.registry, &feeds).digest();
        let cursors = request::cursors(&identity, &state, &feeds, digest);
        if !probe {
            sent = match state.recalls.as_slice() {
                [] => upload::upload(log, state.behind(), state.up_bytes())?,
                recalls => restored::give_back(log, recalls, state.up_bytes())?,
            };
        }
        let Upload { frames, transcoded, raw } = sent;
        state.counter += 1;
        state.open = true;
        state.open_upload = if probe { state.open_upload } else { !frames.is_empty() };
        transact(log, |log| state.store(log))?;
        let header = RequestHeader {
            version: PROTOCOL_VERSION,
            device: identity.device,
            server_key: signing::key_id(&identity.server_key),
            counter: state.counter,
            cursors,
            device_time_ms: now_ms,
            probe,
            in_full: state.in_full,
            verdicts: state.verdicts,
            forms: request::forms(&state),
            segments: request::segments(log)?,
            township: None,
        };
        let request = Request { header: request::header(signer, &header), frames };
        let stats = Stats {
            bytes_up: request.len() as u64,
            frames_up: request.frames.len() as u64,
            changes_transcoded: transcoded,
            changes_raw: raw,
            ..Stats::default()
        };
        let exchange = Self {
            identity,
            state,
            feeds,
            device_time_ms: now_ms,
            digest,
            probe,
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
            hub: None,
        };
        Ok((exchange, request))
    }

    /// What applying frames needs when they come from elsewhere than an exchange's answer.
    pub(super) fn apart(log: &mut dyn PhoneLog) -> Result<Self, SyncError> {
        Ok(Self {
            identity: log.identity()?,
            state: SyncState::load(log)?,
            feeds: log.feeds()?,
            device_time_ms: 0,
            digest: [0; 16],
            probe: false,
            in_full: false,
            room: Room::default(),
            hello_seen: true,
            server_time_ms: 0,
            restored: false,
            awaiting: false,
            stats: Stats::default(),
            progress: false,
            offered: Vec::new(),
            reader: FrameReader::new(),
            end: None,
            hub: None,
        })
    }

    /// What was moved so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// True when the answer's last message was seen, or nothing more will be read.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// The rest of the answer, of which much may come, is of no use: whoever reads it had better end the connection.
    #[must_use]
    pub fn has_enough(&self) -> bool {
        self.end == Some(End::HeldBack)
    }

    /// Takes the next piece of the answer body. Every whole frame in it is applied and durable when this returns.
    ///
    /// # Errors
    /// [`SyncError`]: nothing of the frame in question was applied, frames before it stay, and the exchange is over.
    pub fn receive(&mut self, log: &mut dyn PhoneLog, bytes: &[u8]) -> Result<Vec<PhoneEvent>, SyncError> {
        self.stats.bytes_down += bytes.len() as u64;
        let mut events = Vec::new();
        if self.end.is_none() {
            self.reader.push(bytes);
        }
        while self.end.is_none() {
            let frame = self.reader.next_frame().inspect_err(|_| self.end = Some(End::Failed))?;
            let Some(messages) = frame else { break };
            match self.apply(log, messages) {
                Ok(told) => events.extend(told),
                Err(failure) => {
                    self.end = Some(End::Failed);
                    return Err(failure);
                }
            }
        }
        Ok(events)
    }

    fn apply(&mut self, log: &mut dyn PhoneLog, messages: Vec<Down>) -> Result<Vec<PhoneEvent>, SyncError> {
        if self.hub.is_some() {
            return self.collect(log, messages);
        }
        log.begin()?;
        let result = Applier::new(&mut *log, self).frame(messages);
        match result {
            Ok(Applied { events, done, failure, held_back }) => {
                log.commit()?;
                self.stats.frames_down += 1;
                if held_back {
                    self.end = Some(End::HeldBack);
                }
                if let Some((more, revoked)) = done {
                    self.end = Some(End::Done { more, revoked });
                }
                match failure {
                    Some(answer) => self.answered(log, answer).map(|()| events),
                    None => Ok(events),
                }
            }
            Err(Stop::Error(failure)) => {
                log.rollback();
                Err(failure)
            }
            Err(Stop::InFullWanted) => {
                log.rollback();
                // What the frame had changed in memory is gone with the exchange; the flag is all that must stay.
                let mut state = SyncState::load(log)?;
                state.in_full = true;
                transact(log, |log| state.store(log))?;
                self.end = Some(End::Stopped);
                Ok(Vec::new())
            }
            Err(Stop::HashWanted) => {
                log.rollback();
                self.end = Some(End::Stopped);
                Ok(Vec::new())
            }
        }
    }

    /// The server answered an error instead of frames, as the body of an HTTP error status.
    ///
    /// # Errors
    /// [`SyncError::Server`] for what exchanging again does not mend.
    pub fn refused(&mut self, log: &mut dyn PhoneLog, answer: ErrorAnswer) -> Result<(), SyncError> {
        self.answered(log, answer)
    }

    fn answered(&mut self, log: &mut dyn PhoneLog, answer: ErrorAnswer) -> Result<(), SyncError> {
        if self.hub.is_some() {
            return self.answered_by_hub(log, answer);
        }
        let mut state = SyncState::load(log)?;
        match (answer.kind, answer.counter) {
            (ErrorKind::Replayed, Some(counter)) if counter >= state.counter => {
                state.counter = counter;
                transact(log, |log| state.store(log))?;
            }
            (ErrorKind::Forked, _) => {
                state.forked = true;
                transact(log, |log| state.store(log))?;
            }
            (ErrorKind::Unresolved, _) if !self.in_full => {
                state.in_full = true;
                transact(log, |log| state.store(log))?;
            }
            _ => {
                self.end = Some(End::Failed);
                return Err(SyncError::Server(answer));
            }
        }
        self.end = Some(End::Stopped);
        Ok(())
    }

    /// Ends the exchange: settles verdicts, issues again what must be, says what to do next.
    ///
    /// # Errors
    /// [`SyncError::Broken`] if the answer's end was not seen, [`SyncError::Log`].
    pub fn finish(self, log: &mut dyn PhoneLog, random: &dyn Random) -> Result<Outcome, SyncError> {
        if self.hub.is_some() {
            return self.finish_at_hub(log);
        }
        let (more, revoked) = match self.end {
            Some(End::Done { more, revoked }) => (more, revoked),
            Some(End::Stopped | End::HeldBack) => {
                let unread = Self { offered: Vec::new(), ..self };
                return Ok(unread.outcome(true, false, Vec::new()));
            }
            Some(End::Failed) | None => return Err(SyncError::Broken),
        };
        let mut state = SyncState::load(log)?;
        // A server that awaits its administrator has shown nothing of what it has.
        let all_is_here = !more && !self.awaiting;
        let events = if all_is_here { close(log, random, &mut state)? } else { Vec::new() };
        let waiting = !log.unsent(state.taken, 1)?.is_empty() || !log.unstated(1)?.is_empty();
        Ok(self.outcome(more || waiting, revoked, events))
    }

    fn outcome(self, again: bool, revoked: bool, events: Vec<PhoneEvent>) -> Outcome {
        let Self { progress, awaiting, stats, offered, .. } = self;
        Outcome { again, progress, revoked, awaiting, stats, events, offered }
    }
}

/// What is done once nothing more waits on the server.
fn close(log: &mut dyn PhoneLog, random: &dyn Random, state: &mut SyncState) -> Result<Vec<PhoneEvent>, SyncError> {
    if state.revoked && !state.forked {
        return Ok(Vec::new());
    }
    if state.forked {
        // Statements that the server did not take may carry an actor that it will never take from this device.
        let hash = log.statement_hash(state.statement)?.unwrap_or_default();
        transact(log, |log| log.adopt_statement(state.statement, &hash))?;
    }
    let mut events = reissue::settle(log, random, state.forked)?;
    if state.forked {
        state.forked = false;
        transact(log, |log| state.store(log))?;
        events.push(PhoneEvent::Forked);
    }
    if state.leaving {
        transact(log, |log| {
            let left = log.remove_unfollowed()?;
            state.leaving = left.waiting > 0;
            if left.removed > 0 {
                // Made anew here, such a record would carry numbers again that this actor has used in it.
                log.set_actor(ActorId::random(random))?;
            }
            state.store(log)
        })?;
    }
    Ok(events)
}
