//! Syncing by itself for as long as an app runs: when something was saved, when a network comes, and now and then for
//! what others wrote. In between nothing runs: no timer but the next attempt's, no byte on the line.

mod schedule;

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use self::schedule::Schedule;
use super::error::Fault;
use super::fieldbook::{Fieldbook, locked};
use super::net::CancelFlag;
use super::text::Text;
use super::types::{SyncListener, SyncReport};
use super::{ClientError, ErrorKind};
use crate::ids::ChangeHash;

/// Breaks in a row after which one attempt is over: the schedule decides when to try again.
const BREAKS_MAX: u32 = 1;

/// Hears what a watch does, on the thread that watches.
pub trait WatchListener: SyncListener {
    /// A sync has done all.
    fn synced(&self, report: &SyncReport);

    /// A sync has failed; the next attempt is in `wait_ms`, unless something brings it nearer.
    fn failed(&self, error: &ClientError, wait_ms: u64);
}

/// What happened since a watch last looked.
#[derive(Debug, Default)]
struct Signals {
    running: bool,
    saved: bool,
    network: bool,
    stop: bool,
    /// Of the running watch.
    cancel: Option<Arc<CancelFlag>>,
}

/// How the rest of the app reaches a watch.
#[derive(Debug, Default)]
pub(super) struct Bell {
    signals: Mutex<Signals>,
    rung: Condvar,
}

impl Bell {
    fn ring(&self, change: impl FnOnce(&mut Signals)) {
        change(&mut locked(&self.signals));
        self.rung.notify_all();
    }

    /// Something was saved.
    pub(super) fn saved(&self) {
        self.ring(|signals| signals.saved = true);
    }

    /// `None` where a watch runs already.
    fn begin(&self) -> Option<Arc<CancelFlag>> {
        let mut signals = locked(&self.signals);
        if signals.running {
            return None;
        }
        let cancel = Arc::new(CancelFlag::default());
        let stop = signals.stop;
        *signals = Signals { running: true, stop, cancel: Some(Arc::clone(&cancel)), ..Signals::default() };
        Some(cancel)
    }

    fn end(&self) {
        *locked(&self.signals) = Signals::default();
    }

    /// Waits for `wait_ms`, or for a signal: answers what was signalled.
    fn wait(&self, wait_ms: u64) -> Signals {
        let silent = |signals: &mut Signals| !(signals.saved || signals.network || signals.stop);
        let (mut signals, _) = self
            .rung
            .wait_timeout_while(locked(&self.signals), Duration::from_millis(wait_ms), silent)
            .unwrap_or_else(PoisonError::into_inner);
        let told = Signals { saved: signals.saved, network: signals.network, stop: signals.stop, ..Signals::default() };
        (signals.saved, signals.network) = (false, false);
        told
    }
}

impl Fieldbook {
    /// Syncs at once, and from then on by itself until [`Fieldbook::stop_watching`]: soon after every save, when
    /// [`Fieldbook::network_came`] says so, after failures with growing waits, and every quarter of an hour for what
    /// others wrote. Blocks; call it on a thread of its own. The connection is kept open between syncs.
    ///
    /// # Errors
    /// `Busy` where it runs already; what trying again does not mend: `NotEnrolled`, `ServerIdentity`, `Revoked`,
    /// `Refused`, `NeedsUpdate`, and errors of the store. No `Network`, no `Busy` of a server: these are waited out.
    pub fn watch(&self, listener: &dyn WatchListener) -> Result<(), ClientError> {
        let Some(cancel) = self.bell.begin() else {
            return self.guarded(|| Err(Fault::new(ErrorKind::Busy, Text::InUse, "").detail("a watch runs")));
        };
        let done = self.watch_until(listener, &cancel);
        self.bell.end();
        done
    }

    /// Ends [`Fieldbook::watch`], a sync that runs included; one that begins only now ends at once. From any thread.
    pub fn stop_watching(&self) {
        self.bell.ring(|signals| {
            signals.stop = true;
            if let Some(cancel) = &signals.cancel {
                cancel.cancel();
            }
        });
    }

    /// The system says that there is a network now: a watch tries at once. From any thread.
    pub fn network_came(&self) {
        self.bell.ring(|signals| signals.network = true);
    }

    /// Another process may have saved something into the same store: a watch looks. From any thread.
    pub fn saved_elsewhere(&self) {
        self.bell.saved();
    }

    fn watch_until(&self, listener: &dyn WatchListener, cancel: &CancelFlag) -> Result<(), ClientError> {
        let random = self.random.as_ref();
        let mut schedule = Schedule::new(self.clock.boot_ms());
        let mut seen = None;
        loop {
            let signals = self.bell.wait(schedule.wait_ms(self.clock.boot_ms()));
            if signals.stop {
                return Ok(());
            }
            let now_ms = self.clock.boot_ms();
            if signals.network {
                schedule.network_came(now_ms);
            }
            // A sync writes too: only what it has not seen makes another one.
            if signals.saved && self.newest_saved()?.is_some_and(|newest| Some(newest) != seen) {
                schedule.saved(now_ms);
            }
            if schedule.wait_ms(now_ms) > 0 {
                continue;
            }
            seen = self.newest_saved()?;
            let (done, ended) = self.sync_until(listener, cancel, BREAKS_MAX);
            let now_ms = self.clock.boot_ms();
            match done {
                Ok(report) => {
                    schedule.done(now_ms, random);
                    listener.synced(&report);
                }
                Err(error) if error.kind == ErrorKind::Cancelled => return Ok(()),
                Err(error) if matches!(error.kind, ErrorKind::Network | ErrorKind::Busy) => {
                    schedule.failed(now_ms, ended.moved, ended.retry_after_ms, random);
                    listener.failed(&error, schedule.wait_ms(now_ms));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What was saved last and that no sync has stated yet.
    fn newest_saved(&self) -> Result<Option<ChangeHash>, ClientError> {
        self.guarded(|| self.store.read(|view| Ok(view.newest_unstated()?)))
    }
}
