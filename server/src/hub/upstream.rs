//! The hub's own exchanges with the server: at its start, soon after phones brought something, and every few minutes.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use fieldbook_core::net::{CancelFlag, NetError, Network, ServerAddress, Transport};
use fieldbook_core::ports::Random;
use fieldbook_core::sync::hub::{Upstream as Exchange, UpstreamOutcome};
use fieldbook_core::sync::phone::SyncError;
use fieldbook_core::sync::signing::Signer;

use super::log::HubView;
use super::store::HubStore;
use crate::store::{Problem, StoreError};

/// Path of the endpoint.
const SYNC_PATH: &str = "/sync/1";
/// Path at which the server answers.
const HEALTH_PATH: &str = "/healthz";
/// Exchanges in a row; 128 KB up or 1 MB down each.
const EXCHANGES_MAX: u32 = 10_000;
/// Exchanges in a row that ask again and move nothing.
const IDLE_EXCHANGES_MAX: u32 = 8;
/// Pause after the first failure; doubles with each further one.
const RETRY_MS_MIN: u64 = 2_000;
/// Longest pause after failures.
const RETRY_MS_MAX: u64 = 5 * 60 * 1000;
/// A phone that comes is shown what the server had so long ago at most, if the server can be reached.
const FRESH: Duration = Duration::from_secs(20);

/// When the hub exchanges with its server without being asked.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Pause between exchanges where nothing calls for one.
    pub every: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { every: Duration::from_secs(5 * 60) }
    }
}

/// Why phones call the hub's own exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Something is to be brought to the server.
    Brought,
    /// A phone was here.
    Came,
}

/// Calls for an exchange with the server; cheap to copy.
#[derive(Debug, Clone)]
pub struct Bell(SyncSender<Call>);

impl Bell {
    /// A phone was here, and brought something or not.
    pub(crate) fn ring(&self, brought: bool) {
        // A full queue calls already.
        let _ = self.0.try_send(if brought { Call::Brought } else { Call::Came });
    }
}

/// What exchanges with the server.
pub struct Upstream {
    store: Arc<HubStore>,
    pace: Pace,
    calls: Receiver<Call>,
    network: Arc<dyn Network>,
    connection: Box<dyn Transport>,
    failures: u32,
    revoked: bool,
}

/// Calls that wait.
const CALLS_MAX: usize = 16;

impl Upstream {
    /// Prepares, without connecting.
    ///
    /// # Errors
    /// `hub_not_enrolled` before [`HubStore::enrol`]; `failed` where `network` gives no means to connect.
    pub fn new(store: &Arc<HubStore>, pace: Pace, network: Arc<dyn Network>) -> Result<(Self, Bell), StoreError> {
        let connection =
            network.transport(store.server()?).map_err(|error| Problem::new("failed").with("detail", error))?;
        let (sender, calls) = sync_channel(CALLS_MAX);
        let store = Arc::clone(store);
        let upstream = Self { store, pace, calls, network, connection, failures: 0, revoked: false };
        Ok((upstream, Bell(sender)))
    }

    /// The first exchange, where the hub has no certificate yet: it cannot serve without.
    ///
    /// # Errors
    /// `hub_no_certificate` with what went wrong.
    pub fn first(&mut self) -> Result<(), StoreError> {
        if self.store.certificate()?.is_some() {
            return Ok(());
        }
        let done = self.exchange_all();
        if self.store.certificate()?.is_some() {
            return Ok(());
        }
        let detail = done.err().unwrap_or_else(|| "the server gave none".to_owned());
        Err(Problem::new("hub_no_certificate").with("detail", detail).into())
    }

    /// Exchanges until the last [`Bell`] is gone or `cancel` says so. Blocks.
    pub fn run(mut self, cancel: &CancelFlag) {
        let mut last = Instant::now();
        let mut due = true;
        loop {
            if due {
                self.attempt();
                last = Instant::now();
            }
            let pause = if self.failures > 0 { self.back_off() } else { self.pace.every };
            due = match self.calls.recv_timeout(pause.saturating_sub(last.elapsed())) {
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => true,
                Ok(call) => self.is_due(call, last),
            };
            if cancel.is_cancelled() {
                return;
            }
        }
    }

    fn is_due(&self, call: Call, last: Instant) -> bool {
        let since = last.elapsed();
        if self.failures > 0 {
            return since >= Duration::from_millis(RETRY_MS_MIN);
        }
        call == Call::Brought || since >= FRESH
    }

    /// Longer with every failure, and never the same for two hubs.
    fn back_off(&self) -> Duration {
        let longest = RETRY_MS_MIN.saturating_mul(1 << (self.failures - 1).min(16)).min(RETRY_MS_MAX);
        Duration::from_millis(longest / 2 + below(self.store.random.as_ref(), longest / 2 + 1))
    }

    /// Exchanges once with the server until nothing waits on either side, and drops what is of no use any more. True if
    /// nothing kept it from coming to its end.
    pub fn attempt(&mut self) -> bool {
        let done = self.exchange_all();
        let waiting = self.store.status();
        let (changes, devices) = waiting.map_or((0, 0), |waiting| (waiting.changes, waiting.waiting_devices));
        let reached = done.is_ok();
        match done {
            Ok(total) => {
                self.failures = 0;
                if total.revoked && !self.revoked {
                    if let Err(error) = self.store.note_revoked() {
                        tracing::error!(%error, "cannot note that this hub is revoked");
                    }
                    tracing::error!(changes, "this hub is revoked: it serves nobody; what it holds stays here");
                }
                self.revoked = total.revoked;
                for (device, failure) in &total.failures {
                    tracing::warn!(%device, kind = ?failure.kind, detail = %failure.detail, "the server took no more of a device");
                }
                let (up, entries, given_back) = (total.changes_up, total.entries, total.given_back);
                tracing::info!(up, entries, given_back, not_upstream = changes, devices, "exchanged with the server");
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                tracing::warn!(%error, not_upstream = changes, devices, failures = self.failures, "the server was not reached");
            }
        }
        if let Err(error) = self.store.prune() {
            tracing::error!(%error, "cannot drop what is of no use any more");
        }
        reached
    }

    /// Exchanges until nothing waits on either side.
    fn exchange_all(&mut self) -> Result<UpstreamOutcome, String> {
        let mut total = UpstreamOutcome::default();
        let mut idle = 0;
        for _ in 0..EXCHANGES_MAX {
            let outcome = self.exchange()?;
            self.store.note_exchange().map_err(|error| error.to_string())?;
            let moved = outcome.changes_up + outcome.entries + outcome.given_back > 0;
            idle = if moved { 0 } else { idle + 1 };
            total.changes_up += outcome.changes_up;
            total.entries += outcome.entries;
            total.given_back += outcome.given_back;
            total.failures.extend(outcome.failures);
            (total.revoked, total.awaiting) = (outcome.revoked, outcome.awaiting);
            if outcome.awaiting && !outcome.again {
                return Err("the server was restored and waits for its administrator".to_owned());
            }
            if !outcome.again || idle > IDLE_EXCHANGES_MAX {
                return Ok(total);
            }
        }
        Ok(total)
    }

    fn exchange(&mut self) -> Result<UpstreamOutcome, String> {
        let store = Arc::clone(&self.store);
        let mut log = HubView::new(&store);
        let wanted = store.certificate().map_err(|error| error.to_string())?.is_none();
        let tls_key = wanted.then(|| store.tls_key().public_key());
        let (mut exchange, request) =
            Exchange::begin(&mut log, store.device_key(), store.now_ms(), tls_key).map_err(said)?;
        let mut stopped = None;
        let posted =
            self.connection.post(
                SYNC_PATH,
                request.body(),
                &CancelFlag::default(),
                &|_| {},
                &mut |bytes| match exchange.receive(&mut log, bytes) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        stopped = Some(error);
                        ControlFlow::Break(())
                    }
                },
            );
        match (stopped, posted) {
            (Some(error), _) => return Err(said(error)),
            (None, Err(NetError::Refused(answer))) => exchange.refused(&mut log, answer).map_err(said)?,
            (None, Err(error @ NetError::Identity { .. })) => {
                drop(log);
                return if self.follow_root()? { self.exchange() } else { Err(error.to_string()) };
            }
            (None, Err(error)) => return Err(error.to_string()),
            (None, Ok(())) => {}
        }
        exchange.finish(&mut log).map_err(said)
    }

    /// Where the server is not under the root that this hub knows, but under the successor that this root has announced: it
    /// has taken over. False where it is somebody else.
    fn follow_root(&mut self) -> Result<bool, String> {
        let known = self.store.enrolment().map_err(|error| error.to_string())?;
        let Some(root_key) = known.and_then(|known| known.successor) else { return Ok(false) };
        let server = self.store.server().map_err(|error| error.to_string())?;
        let mut connection = self.network.transport(ServerAddress { root_key, ..server })?;
        let asked = connection.get(HEALTH_PATH, 0, &CancelFlag::default(), &|_| {}, &mut |_| ControlFlow::Continue(()));
        if !matches!(asked, Ok(_) | Err(NetError::Refused(_) | NetError::NotOurs { .. })) {
            return Ok(false);
        }
        self.store.take_over(root_key).map_err(|error| error.to_string())?;
        tracing::info!("the server's root key has changed, as it was announced");
        self.connection = connection;
        Ok(true)
    }
}

fn said(error: SyncError) -> String {
    error.to_string()
}

fn below(random: &dyn Random, bound: u64) -> u64 {
    let mut drawn = [0; 8];
    random.fill(&mut drawn);
    u64::from_le_bytes(drawn) % bound.max(1)
}
