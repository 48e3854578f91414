//! What all parts of a world share: time, the trace, the server as the network finds it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fieldbook_core::access::Area;
use fieldbook_server::hub::{HubStore, Segments};
use fieldbook_server::store::Store;
use sha2::{Digest, Sha256};

use super::chance::Chance;
use super::disk::Disk;
use super::places::Places;

/// Lines of the trace that a failure shows.
const TRACE_LINES_MAX: usize = 400;

/// A running server process.
#[derive(Clone)]
pub struct Serving {
    /// Its store.
    pub store: Arc<Store>,
    /// The store of a second process on the same data folder, which dies with the first.
    pub twin: Option<Arc<Store>>,
    /// Its disk: dead as soon as the process is.
    pub disk: Arc<Disk>,
    /// Which start of the server it is.
    pub start: u64,
}

impl Serving {
    /// Either of the two processes, where there are two.
    #[must_use]
    pub fn either(&self, ether: &Ether) -> Arc<Store> {
        let twin = self.twin.as_ref().filter(|_| ether.chance(|chance| chance.one_in(2)));
        Arc::clone(twin.unwrap_or(&self.store))
    }

    /// Whether it still runs.
    #[must_use]
    pub fn runs(&self, ether: &Ether) -> bool {
        !self.disk.is_dead() && ether.serving().is_some_and(|now| now.start == self.start)
    }
}

/// A running township hub.
#[derive(Clone)]
pub struct HubServing {
    /// Its store.
    pub store: Arc<HubStore>,
    /// Its cache of segments.
    pub segments: Arc<Segments>,
    /// Its disk: dead as soon as the process is.
    pub disk: Arc<Disk>,
    /// Which of the world's hubs it is.
    pub number: usize,
    /// Which start of the hub it is.
    pub start: u64,
    /// It says and brings what is not so.
    pub lies: bool,
}

impl HubServing {
    /// Whether it still runs.
    #[must_use]
    pub fn runs(&self, ether: &Ether) -> bool {
        !self.disk.is_dead() && ether.hub(self.number).is_some_and(|now| now.start == self.start)
    }
}

/// A request that stays on its way.
pub struct Late {
    /// The hub that it was sent to; none: the server.
    pub hub: Option<usize>,
    /// Its body.
    pub body: Vec<u8>,
}

/// How bad the network is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Of so many exchanges one is cut on its way; 0 = none.
    pub cut_one_in: usize,
    /// Of so many requests one arrives a second time, later; 0 = none.
    pub repeat_one_in: usize,
    /// Longest wait between two pieces, milliseconds.
    pub wait_ms_max: u64,
    /// Of so many exchanges somebody on the way rewrites one; 0 = none.
    pub forge_one_in: usize,
}

struct State {
    now_ms: i64,
    chance: Chance,
    weather: Weather,
    serving: Option<Serving>,
    hubs: BTreeMap<usize, HubServing>,
    /// By hub and user: what the user might read when the hub last heard, and may not now.
    outdated: BTreeMap<(usize, usize), BTreeSet<(String, Area)>>,
    places: Places,
    late: Vec<Late>,
    lines: VecDeque<String>,
    count: u64,
    digest: Sha256,
    wrong: Option<String>,
    closed: bool,
}

/// Shared by every part of one world.
pub struct Ether(Mutex<State>);

impl Ether {
    /// An empty one, at `now_ms`.
    #[must_use]
    pub fn new(chance: Chance, now_ms: i64) -> Self {
        Self(Mutex::new(State {
            now_ms,
            chance,
            weather: Weather::default(),
            serving: None,
            hubs: BTreeMap::new(),
            outdated: BTreeMap::new(),
            places: Places::default(),
            late: Vec::new(),
            lines: VecDeque::new(),
            count: 0,
            digest: Sha256::new(),
            wrong: None,
            closed: false,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The true time, milliseconds since 1970 UTC.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.state().now_ms
    }

    /// Time goes on.
    pub fn pass(&self, ms: u64) {
        self.state().now_ms += ms as i64;
    }

    /// Writes a line of the trace. It holds nothing that differs between two runs of one seed.
    pub fn note(&self, line: impl std::fmt::Display) {
        let mut state = self.state();
        let line = format!("{:>12} {line}", state.now_ms - super::START_MS);
        state.digest.update(line.as_bytes());
        state.count += 1;
        if state.lines.len() == TRACE_LINES_MAX {
            state.lines.pop_front();
        }
        state.lines.push_back(line);
    }

    /// The last lines of the trace, and how many there were.
    #[must_use]
    pub fn trace(&self) -> (Vec<String>, u64) {
        let state = self.state();
        (state.lines.iter().cloned().collect(), state.count)
    }

    /// A hash over the whole trace.
    #[must_use]
    pub fn digest(&self) -> String {
        hex::encode(&self.state().digest.clone().finalize()[..8])
    }

    /// Something that must never be was seen where nothing can be returned.
    pub fn wrong(&self, what: String) {
        self.state().wrong.get_or_insert(what);
    }

    /// What [`Ether::wrong`] was told first.
    #[must_use]
    pub fn what_is_wrong(&self) -> Option<String> {
        self.state().wrong.clone()
    }

    /// The server, if it runs.
    #[must_use]
    pub fn serving(&self) -> Option<Serving> {
        self.state().serving.clone()
    }

    /// The server starts or stops.
    pub fn serve(&self, serving: Option<Serving>) {
        self.state().serving = serving;
    }

    /// A hub, if it runs.
    #[must_use]
    pub fn hub(&self, number: usize) -> Option<HubServing> {
        self.state().hubs.get(&number).cloned()
    }

    /// A hub starts or stops.
    pub fn serve_hub(&self, number: usize, serving: Option<HubServing>) {
        let mut state = self.state();
        match serving {
            Some(serving) => drop(state.hubs.insert(number, serving)),
            None => drop(state.hubs.remove(&number)),
        }
    }

    /// The world is over: who serves holds this in turn.
    pub fn end(&self) {
        let mut state = self.state();
        let ended = (state.serving.take(), std::mem::take(&mut state.hubs));
        drop(state);
        drop(ended);
    }

    /// Works on what hubs may still show to users who may not read it any more: by hub and user.
    pub fn outdated<T>(&self, work: impl FnOnce(&mut BTreeMap<(usize, usize), BTreeSet<(String, Area)>>) -> T) -> T {
        work(&mut self.state().outdated)
    }

    /// Works on where records are.
    pub fn places<T>(&self, work: impl FnOnce(&mut Places) -> T) -> T {
        work(&mut self.state().places)
    }

    /// The server was restored and may serve nothing, or may again.
    pub fn close(&self, closed: bool) {
        self.state().closed = closed;
    }

    /// Whether the server may serve nothing.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// How bad the network is.
    #[must_use]
    pub fn weather(&self) -> Weather {
        self.state().weather
    }

    /// The network changes.
    pub fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// Asks the network's chance.
    pub fn chance<T>(&self, ask: impl FnOnce(&mut Chance) -> T) -> T {
        ask(&mut self.state().chance)
    }

    /// A copy of a request stays on the way.
    pub fn delay(&self, late: Late) {
        self.state().late.push(late);
    }

    /// A request that was on its way for long arrives, if there is one.
    #[must_use]
    pub fn arrived_late(&self) -> Option<Late> {
        let mut state = self.state();
        let waiting = state.late.len();
        let at = state.chance.below(waiting);
        (waiting > 0).then(|| state.late.swap_remove(at))
    }
}
