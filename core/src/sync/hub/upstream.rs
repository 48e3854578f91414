//! A hub's exchange with the server: it brings what it holds of phones, and follows the feeds of its role.

use std::sync::Arc;

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::log::ServedDevice;
use super::{HubIdentity, HubLog, restored};
use crate::forms::FormDefinition;
use crate::ids::DeviceId;
use crate::protocol::limits::{EXCHANGE_UP_BYTES_MAX, FORMS_WANTED_MAX, HOSTED_DEVICES_MAX, PROTOCOL_VERSION};
use crate::protocol::transcode::Room;
use crate::protocol::{
    CursorState, Cursors, Down, ErrorAnswer, ErrorKind, Hosted, HostedDevice, RequestHeader, Township, Up,
};
use crate::sync::LogError;
use crate::sync::frames::{FrameReader, FrameWriter};
use crate::sync::phone::{
    Behind, FollowedFeed, Request, Stated, Stop, StoredStatement, SyncError, UP_WINDOW_LOG, Unsent, Upload,
    signed_header, write_upload,
};
use crate::sync::returned::Recall;
use crate::sync::server::devices_digest;
use crate::sync::signing::{self, Revocation, Signer};
use crate::sync::wire::{from_cbor, to_cbor};

/// Devices for which a hub speaks in one request.
const DEVICES_AT_ONCE: usize = 64;

/// What the machine must remember between exchanges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct HubState {
    /// Counter of the last request that was begun.
    #[n(0)]
    pub(super) counter: u64,
    /// Version of the feed list held.
    #[n(1)]
    pub(super) registry: u64,
    /// Digest of the list of devices held.
    #[n(2)]
    pub(super) devices: Option<ByteArray<16>>,
    /// The next exchange shortens nothing.
    #[n(3)]
    pub(super) in_full: bool,
    /// The server has said, signed, that this hub is revoked: it serves nobody.
    #[n(4)]
    pub(super) revoked: bool,
    /// The last device for which the hub has spoken: the next request goes on behind it.
    #[n(5)]
    pub(super) spoke_for: Option<DeviceId>,
    /// What the server lost and this hub gives back.
    #[n(6)]
    pub(super) recalls: Vec<Recall>,
}

impl HubState {
    pub(super) fn load(log: &mut dyn HubLog) -> Result<Self, LogError> {
        match log.hub_state()? {
            None => Ok(Self::default()),
            Some(bytes) => from_cbor(&bytes).ok_or_else(|| LogError::damaged("the hub's state does not read back")),
        }
    }

    fn store(&self, log: &mut dyn HubLog) -> Result<(), LogError> {
        log.put_hub_state(&to_cbor(self))
    }
}

/// How an exchange with the server ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamOutcome {
    /// Exchange again at once: more waits on either side.
    pub again: bool,
    /// Changes that went up.
    pub changes_up: u64,
    /// Entries that were mirrored.
    pub entries: u64,
    /// Entries that were given back to a server that had lost them.
    pub given_back: u64,
    /// The server has said, signed, that this hub is revoked.
    pub revoked: bool,
    /// The server was restored and serves nothing before its administrator has confirmed.
    pub awaiting: bool,
    /// Devices of which the server took no more in this exchange, and why.
    pub failures: Vec<(DeviceId, ErrorAnswer)>,
}

/// The hub's half of one exchange with the server: [`Upstream::begin`], send the request, give the answer to
/// [`Upstream::receive`] as it arrives, then [`Upstream::finish`].
pub struct Upstream {
    pub(super) identity: HubIdentity,
    pub(super) state: HubState,
    pub(super) feeds: Vec<FollowedFeed>,
    pub(super) in_full: bool,
    pub(super) room: Room,
    reader: FrameReader<Down>,
    hello_seen: bool,
    /// The server's clock as Hello told, milliseconds since 1970 UTC.
    server_time_ms: i64,
    /// The list of devices, as soon as the list of feeds that it counts in is known.
    devices: Option<Vec<HostedDevice>>,
    pub(super) outcome: UpstreamOutcome,
    /// The server lost data.
    pub(super) restored: bool,
    /// The server has more of some device than before.
    brought_on: bool,
    done: bool,
}

/// What a hub holds of one device.
struct OfDevice<'l> {
    log: &'l mut dyn HubLog,
    device: DeviceId,
}

impl Stated for OfDevice<'_> {
    fn unsent(&mut self, after: Option<(u64, u32)>, limit: usize) -> Result<Vec<Unsent>, LogError> {
        self.log.held(&self.device, after, limit)
    }

    fn statements_after(&mut self, number: u64, limit: usize) -> Result<Vec<StoredStatement>, LogError> {
        self.log.held_statements(&self.device, number, limit)
    }

    fn form(&mut self, kind: &str, version: &str) -> Result<Option<Arc<FormDefinition>>, LogError> {
        self.log.definition(kind, version)
    }
}

impl Upstream {
    /// Begins an exchange: stores the request's counter and builds the request. `tls_key` asks for a certificate of it.
    ///
    /// # Errors
    /// [`SyncError::Log`]; nothing was sent then.
    pub fn begin(
        log: &mut dyn HubLog,
        signer: &dyn Signer,
        now_ms: i64,
        tls_key: Option<[u8; 32]>,
    ) -> Result<(Self, Request), SyncError> {
        let identity = log.identity()?;
        let mut state = HubState::load(log)?;
        // A server that lost data takes nothing else: it may build on what was lost.
        let (upload, given_back) = match state.recalls.as_slice() {
            [] => (relay(log, &mut state)?, 0),
            recalls => {
                let (frames, given_back) = restored::give_back(log, recalls)?;
                (Upload { frames, ..Upload::default() }, given_back)
            }
        };
        state.counter += 1;
        transact(log, |log| state.store(log))?;
        let feeds = log.mirrored()?;
        let cursors = feeds.iter().map(|feed| CursorState {
            feed: feed.feed.clone(),
            epoch: feed.epoch,
            position: feed.position,
            chain: feed.chain,
            signed: feed.head_position == feed.position,
        });
        let forms = log.wanted_forms(FORMS_WANTED_MAX)?;
        let header = RequestHeader {
            version: PROTOCOL_VERSION,
            device: identity.device,
            server_key: signing::key_id(&identity.server_key),
            counter: state.counter,
            cursors: Cursors::Full { log: Some(identity.log), registry: state.registry, cursors: cursors.collect() },
            device_time_ms: now_ms,
            probe: false,
            in_full: state.in_full,
            verdicts: 0,
            forms: (!forms.is_empty()).then_some(forms),
            segments: None,
            township: Some(Township::ByHub {
                devices: state.devices.unwrap_or([0; 16].into()),
                tls_key: tls_key.map(Into::into),
            }),
        };
        let request = Request { header: signed_header(signer, &header), frames: upload.frames };
        let changes_up = upload.transcoded + upload.raw;
        let outcome = UpstreamOutcome { changes_up, given_back, ..UpstreamOutcome::default() };
        let upstream = Self {
            identity,
            in_full: state.in_full,
            state,
            feeds,
            room: Room::default(),
            reader: FrameReader::new(),
            hello_seen: false,
            server_time_ms: 0,
            devices: None,
            outcome,
            restored: false,
            brought_on: false,
            done: false,
        };
        Ok((upstream, request))
    }

    /// Takes the next piece of the answer body. Every whole frame in it is durable when this returns.
    ///
    /// # Errors
    /// [`SyncError`]: nothing of the frame in question was kept. Where the server's log does not fit the mirror, the mirror
    /// goes back to the last head that the server has signed.
    pub fn receive(&mut self, log: &mut dyn HubLog, bytes: &[u8]) -> Result<(), SyncError> {
        self.reader.push(bytes);
        while !self.done {
            let Some(messages) = self.reader.next_frame()? else { break };
            log.begin()?;
            match self.frame(log, messages) {
                Ok(()) => log.commit()?,
                Err(stop) => {
                    log.rollback();
                    return self.stopped(log, stop);
                }
            }
        }
        Ok(())
    }

    fn stopped(&mut self, log: &mut dyn HubLog, stop: Stop) -> Result<(), SyncError> {
        match stop {
            Stop::InFullWanted | Stop::HashWanted => {
                self.want_in_full(log)?;
                (self.done, self.outcome.again) = (true, true);
                Ok(())
            }
            Stop::Error(failure) => {
                if let SyncError::LogDoesNotFit { feed, .. } = &failure {
                    let own = self.feeds.iter().find(|own| own.feed == *feed);
                    let signed = own.map_or(0, |own| own.head_position);
                    transact(log, |log| log.rewind(feed, signed))?;
                }
                Err(failure)
            }
        }
    }

    fn want_in_full(&mut self, log: &mut dyn HubLog) -> Result<(), LogError> {
        let mut state = HubState::load(log)?;
        state.in_full = true;
        transact(log, |log| state.store(log))
    }

    fn frame(&mut self, log: &mut dyn HubLog, messages: Vec<Down>) -> Result<(), Stop> {
        for message in messages {
            if self.done {
                return Err(SyncError::Protocol("a message behind the last one").into());
            }
            if !self.hello_seen && !matches!(message, Down::Hello { .. }) {
                return Err(SyncError::Protocol("an answer begins with Hello").into());
            }
            self.message(log, message)?;
        }
        Ok(())
    }

    fn message(&mut self, log: &mut dyn HubLog, message: Down) -> Result<(), Stop> {
        match message {
            Down::Hello { log: named, server_time_ms, .. } => {
                self.server_time_ms = server_time_ms;
                self.hello_seen = true;
                if named.is_some_and(|named| named != self.identity.log) {
                    return Err(SyncError::OtherLog.into());
                }
                Ok(())
            }
            Down::Hosted(hosted) => self.hosted(log, hosted),
            Down::Devices(devices) if devices.len() <= HOSTED_DEVICES_MAX => {
                self.devices = Some(devices);
                Ok(())
            }
            Down::Certificate(certificate) => Ok(log.put_certificate(&certificate)?),
            Down::Feeds { registry, feeds, .. } => {
                log.set_mirrored(&feeds)?;
                self.feeds = log.mirrored()?;
                // The list of devices counts in the list of feeds.
                (self.state.registry, self.state.devices) = (registry, None);
                Ok(())
            }
            Down::Entry { feed, entry } => self.entry(log, feed, entry),
            Down::Changes(changes) => self.changes(log, changes),
            Down::Head { feed, after_ms, signature } => {
                let time_ms = self.server_time_ms.saturating_add(after_ms);
                self.head(log, feed, time_ms, signature)
            }
            Down::Form(form) => self.form(log, &form),
            Down::Restored { awaiting, feeds } => {
                self.outcome.awaiting = awaiting;
                self.lost(log, &feeds)
            }
            Down::Done { more, revoked, .. } => self.finished(log, more, revoked.map(Into::into)),
            Down::Error(answer) => Err(SyncError::Server(answer).into()),
            // The reader opens packed forms and puts parts together.
            Down::Devices(_)
            | Down::Segments { .. }
            | Down::Verdict { .. }
            | Down::PackedForm(_)
            | Down::Part { .. } => Err(SyncError::Protocol("a message that no hub is sent").into()),
        }
    }

    fn hosted(&mut self, log: &mut dyn HubLog, hosted: Hosted) -> Result<(), Stop> {
        let failure = hosted.failure.clone();
        if failure.as_ref().is_none_or(|failure| failure.kind != ErrorKind::UnknownDevice) {
            let before = log.on_server(&hosted.device)?;
            log.put_hosted(&hosted)?;
            self.brought_on |= log.on_server(&hosted.device)? > before;
        }
        match failure {
            None => {}
            // In full it will be taken, or say whose fault it is.
            Some(failure) if failure.kind == ErrorKind::Unresolved && !self.in_full => {
                (self.state.in_full, self.outcome.again) = (true, true);
            }
            Some(failure) => self.outcome.failures.push((hosted.device, failure)),
        }
        Ok(())
    }

    fn finished(&mut self, log: &mut dyn HubLog, more: bool, revoked: Option<[u8; 64]>) -> Result<(), Stop> {
        if let Some(signature) = revoked {
            let HubIdentity { device, log: log_id, server_key } = self.identity;
            let word = Revocation { log: log_id, device, counter: self.state.counter };
            if !word.is_signed_by(&server_key, &signature) {
                return Err(SyncError::Protocol("the word that this hub is revoked is not signed by its server").into());
            }
            self.state.revoked = true;
        }
        if let Some(devices) = self.devices.take() {
            let digest = devices_digest(&devices);
            let served = devices.into_iter().map(|device| self.served(device)).collect::<Option<Vec<_>>>();
            let served = served.ok_or(SyncError::Protocol("a device reads a feed that the hub does not follow"))?;
            log.put_devices(&served)?;
            self.state.devices = Some(digest.into());
        }
        if !self.restored {
            self.state.recalls.clear();
        }
        if self.in_full && !more && self.outcome.failures.is_empty() {
            self.state.in_full = false;
        }
        self.state.store(log)?;
        self.outcome.again |= more || (self.state.devices.is_none() && !self.state.revoked && !self.outcome.awaiting);
        self.outcome.revoked = self.state.revoked;
        self.done = true;
        Ok(())
    }

    fn served(&self, device: HostedDevice) -> Option<ServedDevice> {
        let HostedDevice { device, key, user, revoked, feeds } = device;
        let mut feeds = feeds
            .into_iter()
            .map(|at| self.feeds.get(at as usize).map(|feed| feed.feed.clone()))
            .collect::<Option<Vec<_>>>()?;
        feeds.sort();
        Some(ServedDevice { device, key, user, revoked, feeds })
    }

    /// The server answered an error instead of frames.
    ///
    /// # Errors
    /// [`SyncError::Server`] for what exchanging again does not mend.
    pub fn refused(&mut self, log: &mut dyn HubLog, answer: ErrorAnswer) -> Result<(), SyncError> {
        match (answer.kind, answer.counter) {
            (ErrorKind::Replayed, Some(counter)) if counter >= self.state.counter => {
                self.state.counter = counter;
                transact(log, |log| self.state.store(log))?;
                (self.done, self.outcome.again) = (true, true);
                Ok(())
            }
            _ => Err(SyncError::Server(answer)),
        }
    }

    /// Ends the exchange.
    ///
    /// # Errors
    /// [`SyncError::Broken`] if the answer's end was not seen.
    pub fn finish(self, log: &mut dyn HubLog) -> Result<UpstreamOutcome, SyncError> {
        if !self.done {
            return Err(SyncError::Broken);
        }
        let mut outcome = self.outcome;
        let stuck: Vec<DeviceId> = outcome.failures.iter().map(|(device, _)| *device).collect();
        let waiting = log.waiting(None, HOSTED_DEVICES_MAX)?;
        outcome.again |= self.brought_on && waiting.iter().any(|device| !stuck.contains(device));
        Ok(outcome)
    }
}

/// What goes up in one request: of each device that waits, in turn.
fn relay(log: &mut dyn HubLog, state: &mut HubState) -> Result<Upload, SyncError> {
    let mut writer = FrameWriter::new(UP_WINDOW_LOG);
    let (mut room, mut upload) = (Room::default(), Upload::default());
    let mut waiting = log.waiting(state.spoke_for.as_ref(), DEVICES_AT_ONCE)?;
    if waiting.is_empty() && state.spoke_for.take().is_some() {
        waiting = log.waiting(None, DEVICES_AT_ONCE)?;
    }
    for device in waiting {
        if writer.bytes_estimate() >= EXCHANGE_UP_BYTES_MAX {
            break;
        }
        let (statement, taken) = log.on_server(&device)?;
        writer.push(&Up::OnBehalf(device))?;
        let behind = Behind { statement, taken, in_full: state.in_full, by_hash: false };
        let parts = (&mut writer, &mut room, &mut upload);
        write_upload(&mut OfDevice { log, device }, behind, parts, EXCHANGE_UP_BYTES_MAX)?;
        state.spoke_for = Some(device);
    }
    writer.flush()?;
    upload.frames = std::iter::from_fn(|| writer.take()).collect();
    Ok(upload)
}

fn transact<T>(log: &mut dyn HubLog, work: impl FnOnce(&mut dyn HubLog) -> Result<T, LogError>) -> Result<T, LogError> {
    log.begin()?;
    match work(log) {
        Ok(value) => log.commit().map(|()| value),
        Err(failure) => {
            log.rollback();
            Err(failure)
        }
    }
}
