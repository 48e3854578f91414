//! Syncing: exchange after exchange until nothing waits on either side, over connections that may break.

use std::cell::Cell;
use std::ops::ControlFlow;

use super::enrol::Enrolment;
use super::error::Fault;
use super::fieldbook::{Fieldbook, space_warning};
use super::log::StoreLog;
use super::net::{ByteCount, CancelFlag, NetError, ServerAddress, Transport};
use super::session;
use super::spread::lengthened;
use super::text::{Language, Text};
use super::types::{ErasedView, Progress, SyncListener, SyncReport};
use super::{ClientError, ErrorKind};
use crate::protocol::ErrorAnswer;
use crate::protocol::limits::CLOCK_TOLERANCE_MS;
use crate::sync::phone::{Download, Exchange, Offered, Outcome, PhoneEvent, Stats, SyncError};
use crate::sync::{LogError, LogErrorKind, Signer};

/// Path of the endpoint.
const SYNC_PATH: &str = "/sync/1";
/// Path at which anything that is ours answers.
const HEALTH_PATH: &str = "/healthz";
/// Path of the segments, before a name.
const SEGMENTS_PATH: &str = "/sync/1/segments/";
/// Exchanges of one sync; 128 KB up or 1 MB down each.
const EXCHANGES_MAX: u32 = 10_000;
/// Exchanges in a row that ask again without moving anything.
const IDLE_EXCHANGES_MAX: u32 = 8;
/// Breaks in a row without progress between them after which the sync gives up: the user tries again where there is
/// signal.
const BREAKS_MAX: u32 = 5;
/// Wait before connecting anew after the first break; doubles with each further one.
const RETRY_DELAY_MS: u64 = 500;
/// A busy server's advice is waited out within one sync up to here; a longer one ends it.
const RETRY_AFTER_MS_MAX: u64 = 30_000;
/// How often cancelling is looked at meanwhile.
const PAUSE_STEP_MS: u64 = 20;

/// Whom a sync speaks with.
#[derive(Clone, Copy, Debug)]
pub(super) enum With<'a> {
    /// The server.
    Server,
    /// A township hub instead.
    Hub(&'a ServerAddress),
    /// The server, but for segments, which this hub is asked for first.
    SegmentsAt(&'a ServerAddress),
}

/// A sync under way.
struct Run<'b> {
    book: &'b Fieldbook,
    /// Where the hub is, if it is no server.
    hub: Option<String>,
    /// The hub that segments are fetched from while the server is exchanged with.
    segments_at: Option<Box<dyn Transport>>,
    /// HTTP bytes from and to that hub.
    near: ByteCount,
    enrolment: Enrolment,
    signer: ed25519_dalek::SigningKey,
    listener: &'b dyn SyncListener,
    cancel: &'b CancelFlag,
    /// HTTP bytes when the sync began.
    before: ByteCount,
    /// Own changes that waited when the sync began.
    waiting: u64,
    /// What finished exchanges moved.
    total: Stats,
    report: SyncReport,
    /// Breaks in a row after which it ends.
    breaks_max: u32,
    /// When the server that ended it would have the phone back.
    retry_after_ms: Option<u64>,
    /// Something came to stay since the last break.
    advanced: bool,
    /// What a salvage left was done.
    mended: bool,
}

/// How a sync ended, for whoever decides when to try again.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// It moved changes, in either direction.
    pub(super) moved: bool,
    /// What a busy server asked for.
    pub(super) retry_after_ms: Option<u64>,
}

/// Why one exchange ended early.
enum Stop {
    /// The connection: try again.
    Broken(Fault),
    /// The server answered an error.
    Answered(ErrorAnswer),
    /// Anything else: tell the user.
    Fatal(Fault),
}

impl From<NetError> for Stop {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Refused(answer) => Self::Answered(answer),
            NetError::Unreachable { .. } | NetError::Broken { .. } => Self::Broken(error.into()),
            NetError::Identity { .. } | NetError::NotOurs { .. } | NetError::Cancelled => Self::Fatal(error.into()),
        }
    }
}

/// A failure of this phone itself, which no other server would mend.
fn is_own(kind: ErrorKind) -> bool {
    use ErrorKind::{Damaged, Internal, StorageFailed, StorageFull, WrongKey};
    matches!(kind, StorageFull | StorageFailed | WrongKey | Damaged | Internal)
}

impl From<SyncError> for Stop {
    fn from(error: SyncError) -> Self {
        let detail = error.to_string();
        let fault = match error {
            SyncError::Server(answer) => return Self::Answered(answer),
            SyncError::Broken => {
                return Self::Broken(Fault::new(ErrorKind::Network, Text::Broken, "").detail(detail));
            }
            SyncError::Log(failure) => failure.into(),
            SyncError::Frames(_) | SyncError::Protocol(_) => {
                Fault::new(ErrorKind::ServerIdentity, Text::NotAServer, "")
            }
            SyncError::Hub(_) => Fault::new(ErrorKind::ServerIdentity, Text::HubNotBelieved, ""),
            SyncError::ServerFirst => Fault::new(ErrorKind::Refused, Text::ServerFirst, ""),
            SyncError::LogDoesNotFit { .. } | SyncError::OtherLog => {
                Fault::new(ErrorKind::Refused, Text::ServerRestored, "")
            }
        };
        Self::Fatal(fault.detail(detail))
    }
}

impl From<LogError> for Fault {
    fn from(error: LogError) -> Self {
        match error.kind {
            LogErrorKind::Full => Fault::new(ErrorKind::StorageFull, Text::Full, ""),
            LogErrorKind::Storage => Fault::new(ErrorKind::StorageFailed, Text::Storage, &error.detail),
            LogErrorKind::Damaged => Fault::new(ErrorKind::Damaged, Text::Damaged, &error.detail),
            LogErrorKind::Other => Fault::internal(&error.detail),
        }
    }
}

impl Fieldbook {
    /// Exchanges with the server until nothing waits on either side. Blocks; call it on a thread of its own. Breaks are
    /// taken up again a few times; what was applied before a break or an error stays. Once the server has said, signed,
    /// that this device is revoked, and has all that was unsent here, everything on this phone is erased: every later
    /// call answers `Revoked`, and opening the folder again makes an empty phone.
    ///
    /// # Errors
    /// `NotEnrolled` (also where the vault's key is not the one that was enrolled), `Network` when the connection cannot
    /// be made or keeps breaking, `ServerIdentity`, `Revoked`, `Refused`, `NeedsUpdate`, `Busy` while another sync
    /// runs or the server has no place for longer than a moment, `Cancelled`, and errors of the store.
    pub fn sync(&self, listener: &dyn SyncListener, cancel: &CancelFlag) -> Result<SyncReport, ClientError> {
        self.sync_until(listener, cancel, BREAKS_MAX).0
    }

    /// The same with whom `with` says.
    pub(super) fn sync_with(
        &self,
        with: With<'_>,
        listener: &dyn SyncListener,
        cancel: &CancelFlag,
    ) -> Result<SyncReport, ClientError> {
        self.sync_as(with, listener, cancel, BREAKS_MAX).0
    }

    /// The same with the server, which ends after `breaks_max` breaks in a row.
    pub(super) fn sync_until(
        &self,
        listener: &dyn SyncListener,
        cancel: &CancelFlag,
        breaks_max: u32,
    ) -> (Result<SyncReport, ClientError>, Ended) {
        self.sync_as(With::Server, listener, cancel, breaks_max)
    }

    fn sync_as(
        &self,
        with: With<'_>,
        listener: &dyn SyncListener,
        cancel: &CancelFlag,
        breaks_max: u32,
    ) -> (Result<SyncReport, ClientError>, Ended) {
        let mut ended = Ended::default();
        let done = self.guarded(|| {
            let started_ms = self.clock.boot_ms();
            let enrolment = self.enrolled()?;
            let signer = self.device_key(&enrolment)?;
            let mut kept = self
                .connection
                .try_lock()
                .map_err(|_| Fault::new(ErrorKind::Busy, Text::InUse, "").detail("sync runs"))?;
            let (hub, segments_at) = match with {
                With::Server => (None, None),
                With::Hub(hub) => (Some(hub), None),
                With::SegmentsAt(hub) => (None, Some(self.network.transport(hub.clone()).map_err(Fault::internal)?)),
            };
            let server = hub.cloned().unwrap_or_else(|| enrolment.server());
            let mut connection = match kept.take().filter(|_| hub.is_none()) {
                Some(connection) => connection,
                None => self.network.transport(server.clone()).map_err(Fault::internal)?,
            };
            let before = connection.bytes();
            let mut run = Run {
                book: self,
                hub: hub.map(ToString::to_string),
                segments_at,
                near: ByteCount::default(),
                enrolment,
                signer,
                listener,
                cancel,
                before,
                waiting: self.store.read(|view| Ok::<_, Fault>(view.status()?.outbox_changes))?,
                total: Stats::default(),
                report: SyncReport::default(),
                breaks_max,
                retry_after_ms: None,
                advanced: false,
                mended: false,
            };
            let mut done = run.all(connection.as_mut());
            if done.as_ref().is_err_and(|fault| fault.kind() == ErrorKind::ServerIdentity)
                && let Some(fresh) = self.follow_root(&mut run.enrolment, &server, cancel)?
            {
                connection = fresh;
                run.before = connection.bytes();
                done = run.all(connection.as_mut());
            }
            if hub.is_none() {
                self.note_stranger(done.as_ref().err())?;
            }
            ended.moved = run.total.changes_sent + run.total.changes_received > 0;
            ended.retry_after_ms = run.retry_after_ms;
            let bytes = connection.bytes();
            *kept = Some(connection).filter(|_| hub.is_none());
            drop(kept);
            let followed = session::vault_follows(&self.store, self.vault.as_ref());
            done?;
            followed?;
            self.reported(run, bytes, started_ms)
        });
        (done, ended)
    }

    /// What a sync did, once all of it went well.
    fn reported(&self, run: Run<'_>, bytes: ByteCount, started_ms: u64) -> Result<SyncReport, Fault> {
        let (mut report, before) = (run.report, run.before);
        report.bytes_up = bytes.up - before.up + run.near.up;
        report.bytes_down = bytes.down - before.down + run.near.down;
        report.frames = run.total.frames_up + run.total.frames_down;
        report.changes_sent = run.total.changes_sent;
        report.changes_received = run.total.changes_received;
        report.changes_transcoded = run.total.changes_transcoded;
        report.changes_raw = run.total.changes_raw;
        report.not_taken = run.total.not_taken;
        report.clock_warning = self.clock_warning(report.clock_ahead_ms);
        let status = self.store.read(|view| Ok::<_, Fault>(view.status()?))?;
        report.conflicts = status.in_conflict;
        report.space_warning = space_warning(&status, self.language());
        report.seconds = self.clock.boot_ms().saturating_sub(started_ms) as f64 / 1000.0;
        self.store.write(|write| session::note_sync(write, self.clock.now_ms()))?;
        self.store.tidy()?;
        Ok(report)
    }

    /// Where whoever answers is not under the root that this phone knows, but under the successor that this root has
    /// announced: the successor has taken over, and from now on it alone counts. `None` where it is somebody else.
    fn follow_root(
        &self,
        enrolment: &mut Enrolment,
        server: &ServerAddress,
        cancel: &CancelFlag,
    ) -> Result<Option<Box<dyn Transport>>, Fault> {
        // It may have been announced in this very sync.
        *enrolment = self.enrolled()?;
        let Some(root_key) = enrolment.successor else { return Ok(None) };
        let server = ServerAddress { root_key, ..server.clone() };
        let mut connection = self.network.transport(server).map_err(Fault::internal)?;
        let asked = connection.get(HEALTH_PATH, 0, cancel, &|_| {}, &mut |_| ControlFlow::Continue(()));
        // Whatever it answers, it holds a key that the successor has certified.
        match asked {
            Ok(_) | Err(NetError::Refused(_) | NetError::NotOurs { .. }) => {}
            Err(_) => return Ok(None),
        }
        self.store.write(|write| enrolment.take_over(write))?;
        Ok(Some(connection))
    }

    fn clock_warning(&self, ahead_ms: i64) -> Option<String> {
        let differs = || span(ahead_ms, self.language());
        (ahead_ms.abs() > CLOCK_TOLERANCE_MS).then(|| Text::ClockWrong.say(self.language(), &differs()))
    }
}

impl Run<'_> {
    fn all(&mut self, connection: &mut dyn Transport) -> Result<(), Fault> {
        let mut breaks = 0;
        let mut idle = 0;
        for _ in 0..EXCHANGES_MAX {
            match self.exchange(connection).and_then(|outcome| self.download(connection, outcome)) {
                Ok(outcome) => {
                    if outcome.revoked {
                        if let Some(erased) = self.book.erase(&self.enrolment.device)? {
                            return Err(erased);
                        }
                    } else if !outcome.again {
                        if outcome.awaiting {
                            return Err(Fault::new(ErrorKind::Refused, Text::ServerRestored, ""));
                        }
                        if !self.mends()? {
                            return Ok(());
                        }
                    }
                    if outcome.progress {
                        breaks = 0;
                    }
                    idle = if outcome.progress { 0 } else { idle + 1 };
                    if idle > IDLE_EXCHANGES_MAX {
                        return Err(Fault::internal("the server asks again and again and nothing moves"));
                    }
                }
                Err(Stop::Fatal(fault)) => return Err(self.of_hub(fault)),
                Err(Stop::Answered(answer)) => {
                    breaks += 1;
                    match answer.retry_after_ms {
                        Some(asked_ms) if breaks < self.breaks_max && asked_ms <= RETRY_AFTER_MS_MAX => {
                            self.pause(lengthened(asked_ms, self.book.random.as_ref()))?;
                        }
                        asked_ms => {
                            self.retry_after_ms = asked_ms;
                            return Err(self.answered(answer));
                        }
                    }
                }
                Err(Stop::Broken(fault)) => {
                    breaks = if std::mem::take(&mut self.advanced) { 1 } else { breaks + 1 };
                    let fault = self.of_hub(fault);
                    self.report.breaks += 1;
                    if breaks >= self.breaks_max || self.cancel.is_cancelled() {
                        return Err(fault);
                    }
                    self.pause(RETRY_DELAY_MS << (breaks - 1))?;
                }
            }
        }
        Err(Fault::internal(format!("more than {EXCHANGES_MAX} exchanges in one sync")))
    }

    /// Does what a salvage left to do until forms and feeds are here again; once a sync. True if now something waits.
    fn mends(&mut self) -> Result<bool, Fault> {
        let store = &self.book.store;
        let (derive, reclaim) = (store.must_derive()?, store.must_reclaim()?);
        if self.mended || !(derive || reclaim) {
            return Ok(false);
        }
        self.mended = true;
        self.book.mend()?;
        // What stands at a hub is not all.
        if reclaim && self.hub.is_none() {
            self.book.reclaim()?;
        }
        self.book.store.read(|view| Ok(view.has_unsent()?))
    }

    /// What went wrong with a hub names the hub.
    fn of_hub(&self, fault: Fault) -> Fault {
        match &self.hub {
            Some(address) => fault.of_hub(address),
            None => fault,
        }
    }

    fn answered(&self, answer: ErrorAnswer) -> Fault {
        match &self.hub {
            Some(address) => Fault::new(ErrorKind::Refused, Text::HubRefused, address)
                .detail(format!("{:?}: {}", answer.kind, answer.detail)),
            None => answer.into(),
        }
    }

    fn exchange(&mut self, connection: &mut dyn Transport) -> Result<Outcome, Stop> {
        let book = self.book;
        let random = book.random.as_ref();
        let mut log = StoreLog::new(book);
        let signer: &dyn Signer = &self.signer;
        let now_ms = book.clock.now_ms();
        let (mut exchange, request) = match self.hub {
            Some(_) => Exchange::begin_at_hub(&mut log, signer, now_ms)?,
            None => Exchange::begin(&mut log, signer, random, now_ms)?,
        };
        self.report.requests += 1;
        let moved =
            Moved { listener: self.listener, bytes: (self.before, self.near), base: self.total, waiting: self.waiting };
        let report = &mut self.report;
        let stats = Cell::new(exchange.stats());
        let on_move = |bytes: ByteCount| moved.tell(bytes, stats.get());
        let mut stopped = None;
        let posted = connection.post(SYNC_PATH, request.body(), self.cancel, &on_move, &mut |bytes| match exchange
            .receive(&mut log, bytes)
        {
            Ok(events) => {
                note_events(report, &events, book.language());
                stats.set(exchange.stats());
                if exchange.has_enough() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            Err(error) => {
                stopped = Some(Stop::from(error));
                ControlFlow::Break(())
            }
        });
        let posted = match stopped.map_or(posted.map_err(Stop::from), Err) {
            Err(Stop::Answered(answer)) => exchange.refused(&mut log, answer).map_err(Stop::from),
            other => other,
        };
        self.total += exchange.stats();
        self.advanced |= exchange.stats().entries > 0;
        moved.tell(connection.bytes(), exchange.stats());
        posted?;
        let outcome = exchange.finish(&mut log, random)?;
        note_events(&mut self.report, &outcome.events, book.language());
        Ok(outcome)
    }

    /// Fetches what the exchange has offered. Where a piece is not to be had any more, the next exchange offers another.
    fn download(&mut self, connection: &mut dyn Transport, mut outcome: Outcome) -> Result<Outcome, Stop> {
        for offered in std::mem::take(&mut outcome.offered) {
            let server = connection.bytes();
            if self.fetch_near(&offered, server, &mut outcome)? {
                continue;
            }
            if !self.fetch(connection, offered, (self.before, self.near), &mut outcome)? {
                break;
            }
        }
        Ok(outcome)
    }

    /// The same from a township hub, where there is one that has them; one that has not, or has something else, is asked no
    /// more in this sync. False where the server must be asked.
    fn fetch_near(&mut self, offered: &Offered, server: ByteCount, outcome: &mut Outcome) -> Result<bool, Stop> {
        let Some(mut hub) = self.segments_at.take() else { return Ok(false) };
        let elsewhere = ByteCount { up: server.up - self.before.up, down: server.down - self.before.down };
        let fetched = self.fetch(hub.as_mut(), offered.clone(), (ByteCount::default(), elsewhere), outcome);
        self.near = hub.bytes();
        match fetched {
            Ok(true) => {
                self.segments_at = Some(hub);
                Ok(true)
            }
            Err(stop) if self.cancel.is_cancelled() => Err(stop),
            Err(Stop::Fatal(fault)) if is_own(fault.kind()) => Err(Stop::Fatal(fault)),
            Ok(false) | Err(_) => Ok(false),
        }
    }

    /// False where the next segment is of no use before an exchange.
    fn fetch(
        &mut self,
        connection: &mut dyn Transport,
        offered: Offered,
        bytes: (ByteCount, ByteCount),
        outcome: &mut Outcome,
    ) -> Result<bool, Stop> {
        let book = self.book;
        let mut log = StoreLog::new(book);
        let path = format!("{SEGMENTS_PATH}{}", hex::encode(offered.segment.name));
        let mut download = Download::begin(&mut log, offered)?;
        let mut fetched = Ok(true);
        let mut stopped = None;
        if !download.is_over() {
            self.report.requests += 1;
            let moved = Moved { listener: self.listener, bytes, base: self.total, waiting: self.waiting };
            let (report, stats) = (&mut self.report, Cell::new(Stats::default()));
            let on_move = |bytes: ByteCount| moved.tell(bytes, stats.get());
            let from = download.next_byte();
            fetched = connection.get(&path, from, self.cancel, &on_move, &mut |bytes| {
                match download.receive(&mut log, bytes) {
                    Ok(events) => {
                        note_events(report, &events, book.language());
                        stats.set(download.stats());
                    }
                    Err(error) => stopped = Some(Stop::from(error)),
                }
                // Where all has come, the answer ends by itself, and the connection stays.
                let enough = stopped.is_some() || (download.is_over() && !download.is_whole());
                if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            moved.tell(connection.bytes(), download.stats());
        }
        self.total += download.stats();
        outcome.progress |= download.stats().entries > 0;
        let whole = download.is_whole();
        self.advanced |= download.pause(&mut log)?;
        if let Some(stop) = stopped {
            return Err(stop);
        }
        Ok(fetched? && whole)
    }

    fn pause(&self, delay_ms: u64) -> Result<(), Fault> {
        for _ in 0..delay_ms.div_ceil(PAUSE_STEP_MS) {
            if self.cancel.is_cancelled() {
                return Err(NetError::Cancelled.into());
            }
            self.book.clock.pause(PAUSE_STEP_MS);
        }
        Ok(())
    }
}

/// What is said while bytes move.
struct Moved<'a> {
    listener: &'a dyn SyncListener,
    /// HTTP bytes of this connection when the sync began, and what another one has moved since.
    bytes: (ByteCount, ByteCount),
    /// What earlier exchanges moved.
    base: Stats,
    /// Own changes that waited when the sync began.
    waiting: u64,
}

impl Moved<'_> {
    fn tell(&self, bytes: ByteCount, stats: Stats) {
        let changes_sent = self.base.changes_sent + stats.changes_sent;
        let (before, elsewhere) = self.bytes;
        self.listener.progress(Progress {
            bytes_up: bytes.up - before.up + elsewhere.up,
            bytes_down: bytes.down - before.down + elsewhere.down,
            changes_sent,
            changes_received: self.base.changes_received + stats.changes_received,
            changes_waiting: self.waiting.saturating_sub(changes_sent),
        });
    }
}

fn note_events(report: &mut SyncReport, events: &[PhoneEvent], language: Language) {
    for event in events {
        match event {
            PhoneEvent::ClockWrong { server_time_ms, device_time_ms } => {
                report.clock_ahead_ms = device_time_ms - server_time_ms;
            }
            PhoneEvent::Erased { record, unsent } => {
                let text = if *unsent > 0 { Text::ErasedUnsent } else { Text::Erased };
                let message = text.say(language, &record.to_string());
                report.erased.push(ErasedView { record: *record, unsent: *unsent, message });
            }
            _ => {}
        }
    }
}

/// A length of time in words, by its largest unit.
fn span(ms: i64, language: Language) -> String {
    let minutes = ms.unsigned_abs() / 60_000;
    let chinese = language == Language::Chinese;
    match minutes {
        0..120 => format!("{minutes}{}", if chinese { " 分钟" } else { " minutes" }),
        120..2_880 => format!("{}{}", minutes / 60, if chinese { " 小时" } else { " hours" }),
        _ => format!("{}{}", minutes / 1_440, if chinese { " 天" } else { " days" }),
    }
}
