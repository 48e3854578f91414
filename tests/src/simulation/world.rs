//! One world from its seed to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fieldbook_core::access::Role;
use fieldbook_core::client::{ClientError, ErrorKind, SyncReport};
use fieldbook_core::ids::{ChangeHash, RecordId};

use super::chance::Chance;
use super::device::Device;
use super::ether::{Ether, Weather};
use super::hubs::{self, Townships, With};
use super::model::Model;
use super::office::{Office, USERS};
use super::outcome::Outcome;
use super::restores::Stage;
use super::tasks::Turn;
use super::township::Hub;
use super::{START_MS, Wrong, checks, console, faults, heads, mirrors, moves, net, reading, screens, work};

/// Longest time between two steps, milliseconds.
const STEP_MS_MAX: u64 = 20_000;
/// Of so many worlds one has a server that is restored.
const RESTORED_ONE_IN: usize = 6;
/// Of so many seeds the last is a county: hundreds of phones.
const CROWD_ONE_IN: u64 = 200;
/// A phone that is out of reach stays so for at least and at most, milliseconds.
const AWAY_MS: (u64, u64) = (200_000, 1_200_000);
/// Sets the chance of having hubs apart from all other.
const HUBS_SEED: u64 = 0x0070_57e4;
/// Rounds of syncing after which all must have everything.
const ROUNDS_MAX: usize = 8;

/// What may go wrong in a world.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Phones, without the one that reads everything.
    pub phones: usize,
    /// Steps.
    pub steps: usize,
    /// The network.
    pub weather: Weather,
    /// Phones crash.
    pub crashes: bool,
    /// The server crashes.
    pub server_crashes: bool,
    /// Disks fail or are full for a while.
    pub bad_disks: bool,
    /// Clocks are wrong and jump.
    pub clocks: bool,
    /// Phones are cloned or fall back.
    pub clones: bool,
    /// Roles change.
    pub roles: bool,
    /// Phones are revoked.
    pub revocations: bool,
    /// Forms get new versions.
    pub versions: bool,
    /// Supervisors work at the console.
    pub console: bool,
    /// They erase records for ever.
    pub purges: bool,
    /// Texts are long.
    pub long: bool,
    /// The server is restored from a backup.
    pub restores: bool,
    /// Phones are out of reach of any network for long.
    pub away: bool,
    /// Two server processes share one data folder.
    pub twins: bool,
    /// Phones' stores are damaged.
    pub damage: bool,
    /// Records move between units.
    pub moves: bool,
    /// Townships with hubs.
    pub townships: Townships,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64, chance: &mut Chance) -> Self {
        let phones = match chance.below(400) {
            _ if seed % CROWD_ONE_IN == CROWD_ONE_IN - 1 => 200 + chance.below(100),
            0..8 => 12 + chance.below(28),
            8..100 => 5 + chance.below(4),
            _ => 2 + chance.below(3),
        };
        let weather = Weather {
            cut_one_in: [0, 8, 3, 2][chance.below(4)],
            repeat_one_in: [0, 0, 4][chance.below(3)],
            wait_ms_max: [0, 2_000, 30_000][chance.below(3)],
            forge_one_in: [0, 0, 0, 5][chance.below(4)],
        };
        let mut maybe = |n| chance.one_in(n);
        Self {
            phones,
            steps: 0,
            weather,
            crashes: maybe(2),
            server_crashes: maybe(3),
            bad_disks: maybe(3),
            clocks: maybe(3),
            clones: maybe(4),
            roles: maybe(4),
            revocations: maybe(6),
            versions: maybe(3),
            console: maybe(2),
            purges: maybe(2),
            long: phones < 5 && maybe(16),
            restores: false,
            away: maybe(2),
            twins: maybe(4),
            damage: maybe(6),
            moves: maybe(3),
            townships: Townships::default(),
        }
        .with_steps(chance)
    }

    /// With a server that is restored, and nothing that would be lost for good with what it forgets.
    fn with_restores(self, restores: bool) -> Self {
        if !restores {
            return self;
        }
        Self {
            restores,
            console: true,
            purges: true,
            bad_disks: false,
            clones: false,
            damage: false,
            twins: false,
            roles: false,
            revocations: false,
            // A statement that cannot be taken now is not even looked at.
            weather: Weather { forge_one_in: 0, ..self.weather },
            ..self
        }
    }

    fn troubles(&self) -> bool {
        self.restores
            || self.crashes
            || self.server_crashes
            || self.bad_disks
            || self.clocks
            || self.clones
            || self.damage
    }

    fn with_steps(self, chance: &mut Chance) -> Self {
        let steps = 60 + self.phones * 8 + chance.below(120);
        // A phone that finds itself cloned stops reading an answer early: then nobody can say what it must refuse.
        let forge_one_in = if self.clones || self.damage { 0 } else { self.weather.forge_one_in };
        Self { steps, weather: Weather { forge_one_in, ..self.weather }, ..self }
    }
}

/// Whose sync is under way.
#[derive(Clone, Copy, Debug)]
enum Runner {
    /// A phone's.
    Phone(usize),
    /// A hub's with the server.
    Hub(usize),
}

/// A world under way.
pub struct World {
    /// What may happen.
    pub plan: Plan,
    /// What is shared.
    pub ether: Arc<Ether>,
    /// The server.
    pub office: Office,
    /// Township hubs.
    pub hubs: Vec<Hub>,
    /// The phones; the first reads everything and is never troubled.
    pub devices: Vec<Device>,
    /// What was written.
    pub model: Model,
    /// The world's own chance.
    pub chance: Chance,
    /// Roles of each user.
    pub roles: Vec<Vec<(Role, String)>>,
    /// How often roles have changed or records moved: who may read what.
    pub reach_changes: u64,
    /// Changes that the server acknowledged: they are never lost.
    pub acknowledged: BTreeMap<ChangeHash, RecordId>,
    /// Records that were erased for ever.
    pub purged: BTreeSet<RecordId>,
    /// Records whose erasing failed: its line may be written all the same, and the server's next start finishes it.
    pub perhaps_purged: BTreeSet<RecordId>,
    /// Records into which a supervisor took what was not allowed.
    pub admitted: BTreeSet<RecordId>,
    /// Users, by number, who ever were county supervisors.
    pub supervised: Vec<bool>,
    /// Records that phones made.
    pub made: Vec<work::Made>,
    /// Records that somebody made where they may not read: they stay on that phone alone, whatever becomes of them.
    pub strays: BTreeSet<RecordId>,
    /// Phones that made a record of a list in their unit when it had moved to another: what they wrote may be held apart.
    pub elsewhere: BTreeSet<(usize, RecordId)>,
    /// Pages that are open at the console.
    pub pages: Vec<console::Page>,
    /// How far the server's restore has come.
    pub restore: Stage,
    /// Phones that have not heard of it: they still show as "on the server" what it lost.
    pub unheard: BTreeSet<usize>,
    /// Syncs begun.
    pub syncs: u64,
    /// Crashes.
    pub crashes: u64,
    folder: tempfile::TempDir,
}

/// A folder for the few files beside the databases; in memory where there is such a place.
fn folder() -> std::io::Result<tempfile::TempDir> {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}

/// Runs the world of `seed`.
#[must_use]
pub fn run(seed: u64) -> Outcome {
    let mut chance = Chance::new(seed);
    let ether = Arc::new(Ether::new(chance.fork(), START_MS));
    let mut plan = Plan::of(seed, &mut chance).with_restores(Chance::new(!seed).one_in(RESTORED_ONE_IN));
    plan.townships = Townships::of(Chance::new(seed ^ HUBS_SEED), plan.restores);
    ether.note(format_args!("seed {seed}: {plan:?}"));
    let mut counted = (0, 0, 0, 0);
    let done = World::new(plan, &ether, chance).and_then(|mut world| {
        let done = world.live();
        counted = (world.model.written.len(), world.syncs, world.crashes, world.devices.len());
        done
    });
    ether.end();
    let wrong = ether.what_is_wrong().or(done.err());
    // The server's store asks the ether for the time: each would keep the other.
    ether.serve(None);
    let (trace, _) = ether.trace();
    let digest = ether.digest();
    let (saves, syncs, crashes, phones) = counted;
    Outcome { seed, wrong, digest, trace, phones, saves, syncs, crashes }
}

impl World {
    fn new(plan: Plan, ether: &Arc<Ether>, mut chance: Chance) -> Result<Self, Wrong> {
        let folder = folder().map_err(|error| error.to_string())?;
        let office = Office::new(&folder.path().join("office"), ether, chance.fork())?;
        let roles = USERS.iter().map(|(_, unit, role)| vec![(*role, (*unit).to_owned())]).collect();
        let mut world = Self {
            plan,
            ether: Arc::clone(ether),
            office,
            hubs: Vec::new(),
            devices: Vec::new(),
            model: Model::default(),
            chance,
            roles,
            reach_changes: 0,
            acknowledged: BTreeMap::new(),
            purged: BTreeSet::new(),
            perhaps_purged: BTreeSet::new(),
            admitted: BTreeSet::new(),
            supervised: USERS.iter().map(|(_, _, role)| *role == Role::County).collect(),
            made: Vec::new(),
            strays: BTreeSet::new(),
            elsewhere: BTreeSet::new(),
            pages: Vec::new(),
            restore: Stage::default(),
            unheard: BTreeSet::new(),
            syncs: 0,
            crashes: 0,
            folder,
        };
        world.model.long = world.plan.long;
        world.office.twins = world.plan.twins;
        world.office.start().map_err(|error| format!("the server does not start: {error}"))?;
        for number in 0..=world.plan.phones {
            // Users by turns first, so that several see each record; then by chance.
            let user = match number {
                0 => 0,
                1..4 => number,
                _ => 1 + world.chance.below(USERS.len() - 1),
            };
            world.add_device(user)?;
        }
        Ok(world)
    }

    /// Where the world keeps its few files.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A new phone of `user`, started but not enrolled.
    pub fn add_device(&mut self, user: usize) -> Result<usize, Wrong> {
        let number = self.devices.len();
        let name = format!("{}{number}", USERS[user].0);
        let folder = self.folder.path().join(&name);
        let chance = self.chance.fork();
        let mut device = Device::new(name, user, folder, &self.ether, chance)?;
        if self.plan.clocks && number > 0 {
            device.ahead_ms = [0, 0, -86_400_000, 3_600_000, 40 * 86_400_000][self.chance.below(5)];
        }
        device.start().map_err(|error| format!("{} does not open: {error:?}", device.name))?;
        self.devices.push(device);
        Ok(number)
    }

    fn live(&mut self) -> Result<(), Wrong> {
        for number in 0..self.devices.len() {
            work::enrol(self, number)?;
            self.sync_now(number)?;
        }
        hubs::set_up(self)?;
        self.ether.set_weather(self.plan.weather);
        for _ in 0..self.plan.steps {
            let ms = self.chance.between(1, STEP_MS_MAX);
            self.ether.pass(ms);
            self.step()?;
            self.attend()?;
        }
        self.calm()?;
        self.settle()?;
        checks::everything(self)
    }

    fn step(&mut self) -> Result<(), Wrong> {
        let weights = [
            40,
            14,
            if self.waking().is_empty() { 0 } else { 40 },
            if self.plan.console { 8 } else { 0 },
            if self.plan.troubles() { 8 } else { 1 },
            if self.plan.weather.repeat_one_in > 0 { 3 } else { 0 },
            if self.hubs.is_empty() { 0 } else { 12 },
            if self.plan.moves { 3 } else { 0 },
            if self.plan.console { 3 } else { 0 },
        ];
        match self.chance.weighted(&weights) {
            0 => work::save(self),
            1 => self.begin_sync(),
            2 => self.turn(),
            3 => console::work(self),
            4 => faults::happen(self),
            5 => {
                net::deliver_late(&self.ether);
                Ok(())
            }
            6 => hubs::happen(self),
            7 => moves::happen(self),
            _ => reading::read(self),
        }
    }

    /// Sees to what died meanwhile, and stops at what must not be.
    pub fn attend(&mut self) -> Result<(), Wrong> {
        if let Some(wrong) = self.ether.what_is_wrong() {
            return Err(wrong);
        }
        if self.office.disk.is_dead() && self.ether.serving().is_some() {
            faults::server_died(self);
        }
        for number in 0..self.hubs.len() {
            if self.hubs[number].has_died() {
                hubs::died(self, number)?;
            }
        }
        for number in 0..self.devices.len() {
            if self.devices[number].disk.is_dead() {
                faults::phone_died(self, number)?;
            }
        }
        Ok(())
    }

    /// Whether a record was erased for ever, or may be.
    #[must_use]
    pub fn is_purged(&self, record: &RecordId) -> bool {
        self.purged.contains(record) || self.perhaps_purged.contains(record)
    }

    /// A phone with a running app, but the one that reads everything.
    pub fn some_phone(&mut self) -> Option<usize> {
        let running = self.devices.iter().enumerate().skip(1).filter(|(_, device)| device.process.is_some());
        let running: Vec<usize> = running.map(|(number, _)| number).collect();
        self.chance.pick(&running).copied()
    }

    fn begin_sync(&mut self) -> Result<(), Wrong> {
        let Some(number) = self.some_phone() else { return Ok(()) };
        if !self.devices[number].enrolled {
            return work::enrol(self, number);
        }
        if self.is_away(number) {
            return Ok(());
        }
        let with = hubs::choose(self, number);
        let roles = self.roles[self.devices[number].user].clone();
        let device = &mut self.devices[number];
        // What a sync under way was begun with still counts for it.
        if device.process.as_ref().is_none_or(|process| process.sync.is_some()) {
            return Ok(());
        }
        device.set_reach(&roles, false);
        let Some(process) = &mut device.process else { return Ok(()) };
        process.begins(with);
        process.sync = Some(hubs::begin(with, &process.book, &process.cancel).map_err(|error| error.to_string())?);
        self.syncs += 1;
        self.ether.note(format_args!("{} begins to sync{with}", device.name));
        self.go_on(Runner::Phone(number))
    }

    /// Whether a phone is out of reach; now and then one goes where there is no network for long.
    pub fn is_away(&mut self, number: usize) -> bool {
        let (now_ms, away) = (self.ether.now_ms(), self.plan.away && self.chance.one_in(6));
        let device = &mut self.devices[number];
        let syncs = device.process.as_ref().is_some_and(|process| process.sync.is_some());
        if away && !syncs && device.away_until_ms <= now_ms {
            device.away_until_ms = now_ms + self.chance.between(AWAY_MS.0, AWAY_MS.1) as i64;
            self.ether.note(format_args!("{} is out of reach", device.name));
        }
        device.away_until_ms > now_ms
    }

    /// Syncs under way, and when each goes on.
    fn waking(&self) -> Vec<(Runner, i64)> {
        let phones = self.devices.iter().enumerate().filter_map(|(number, device)| {
            Some((Runner::Phone(number), device.process.as_ref()?.sync.as_ref()?.wakes_ms))
        });
        let hubs = self
            .hubs
            .iter()
            .filter_map(|hub| Some((Runner::Hub(hub.number), hub.process.as_ref()?.sync.as_ref()?.wakes_ms)));
        phones.chain(hubs).collect()
    }

    fn turn(&mut self) -> Result<(), Wrong> {
        let syncing = self.waking();
        let now_ms = self.ether.now_ms();
        let awake: Vec<Runner> = syncing.iter().filter(|(_, at)| *at <= now_ms).map(|(runner, _)| *runner).collect();
        if let Some(runner) = self.chance.pick(&awake).copied() {
            return self.go_on(runner);
        }
        let Some((runner, at)) = syncing.iter().min_by_key(|(_, at)| *at).copied() else { return Ok(()) };
        self.ether.pass((at - now_ms) as u64);
        self.go_on(runner)
    }

    /// Lets a sync run until it waits again or ends.
    fn go_on(&mut self, runner: Runner) -> Result<(), Wrong> {
        let number = match runner {
            Runner::Phone(number) => number,
            Runner::Hub(number) => return hubs::go_on(self, number),
        };
        let Some(process) = &mut self.devices[number].process else { return Ok(()) };
        let Some(task) = process.sync.take() else { return Ok(()) };
        match task.turn() {
            Turn::Waits(task) => {
                process.sync = Some(task);
                // What a phone shows is true in the middle of a sync too.
                if self.chance.one_in(4) { checks::acknowledged(self, number) } else { Ok(()) }
            }
            Turn::Ended(done) => {
                let done = done.ok_or_else(|| format!("{} panicked in a sync", self.devices[number].name))?;
                self.synced(number, done.map(|report| (report.changes_sent, report.changes_received)))
            }
        }
    }

    /// A phone's sync has ended.
    pub fn synced(&mut self, number: usize, done: Result<(u64, u64), ClientError>) -> Result<(), Wrong> {
        checks::purged_is_gone(self)?;
        let excused = done.as_ref().is_err_and(|error| hubs::excuses(self, number, error));
        let device = &mut self.devices[number];
        let at_hub = device.process.as_ref().and_then(|process| process.at_hub);
        match done {
            Ok((sent, received)) => {
                self.ether.note(format_args!("{} synced: {sent} sent, {received} received", device.name));
                if at_hub.is_some() || self.plan.weather.forge_one_in > 0 {
                    heads::are_signed(self, number)?;
                }
                let device = &mut self.devices[number];
                if let Some(hub) = at_hub {
                    mirrors::at_township(self, number, hub)?;
                } else {
                    self.unheard.remove(&number);
                    device.coming_back.clear();
                }
                checks::acknowledged(self, number)
            }
            Err(error) => {
                // Without the detail, which may tell how full the real disk is.
                self.ether.note(format_args!("{} failed to sync: {:?}", device.name, error.kind));
                if at_hub.is_none() && error.message.contains("was restored") && error.detail.is_empty() {
                    self.unheard.remove(&number);
                }
                let disk = device.troubled && matches!(error.kind, ErrorKind::StorageFull | ErrorKind::StorageFailed);
                // Whoever rewrites what is sent can keep a phone from syncing, and nothing else.
                let forged = self.plan.weather.forge_one_in > 0 && error.kind == ErrorKind::ServerIdentity;
                let gone = matches!(error.kind, ErrorKind::Network | ErrorKind::Cancelled | ErrorKind::Refused);
                let revoked = device.revoked && error.kind == ErrorKind::Revoked;
                let busy = self.plan.bad_disks && error.kind == ErrorKind::Busy;
                if revoked && !device.disk.is_dead() {
                    device.put_away();
                }
                if device.disk.is_dead() || disk || gone || revoked || busy || forged || excused {
                    return checks::acknowledged(self, number);
                }
                Err(format!("{} cannot sync: {error:?}", device.name))
            }
        }
    }

    /// Syncs without a wait. True if something moved: where all is settled, an exchange carries nothing.
    pub fn sync_now(&mut self, number: usize) -> Result<bool, Wrong> {
        let with = hubs::segments_from(self);
        let (done, moved) = self.sync_with(number, with);
        match done {
            None => Ok(false),
            Some(Err(error)) if !self.devices[number].revoked || error.kind != ErrorKind::Revoked => {
                Err(format!("{} cannot sync: {error:?}", self.devices[number].name))
            }
            Some(done) => {
                let moved = moved || done.is_err();
                self.synced(number, done.map(|report| (report.changes_sent, report.changes_received)))?;
                Ok(moved)
            }
        }
    }

    /// Syncs without a wait; what came of it, and whether something moved. Nothing where no app runs.
    pub fn sync_with(&mut self, number: usize, with: With) -> (Option<Result<SyncReport, ClientError>>, bool) {
        let roles = self.roles[self.devices[number].user].clone();
        let device = &mut self.devices[number];
        device.set_reach(&roles, false);
        device.told.store(0, Ordering::SeqCst);
        let Some(process) = &mut device.process else { return (None, false) };
        process.begins(with);
        self.syncs += 1;
        let done = with.sync(&process.book, &process.cancel);
        let told = device.told.load(Ordering::SeqCst);
        let moved = done
            .as_ref()
            .is_ok_and(|report| report.changes_sent + report.changes_received + report.not_taken + told > 0);
        (Some(done), moved)
    }

    /// No fault is left; everybody runs.
    fn calm(&mut self) -> Result<(), Wrong> {
        self.ether.note("calm");
        self.ether.set_weather(Weather::default());
        faults::mend(self)?;
        self.end_syncs()?;
        hubs::end_exchanges(self)?;
        // What was under way may have been rewritten before.
        self.plan.weather = Weather::default();
        hubs::mend(self)?;
        for number in 0..self.devices.len() {
            screens::put_down(self, number)?;
        }
        self.attend()
    }

    /// Every sync under way runs to its end.
    pub fn end_syncs(&mut self) -> Result<(), Wrong> {
        for number in 0..self.devices.len() {
            if let Some(task) = self.devices[number].process.as_mut().and_then(|process| process.sync.take())
                && let Some(done) = task.finish()
            {
                self.synced(number, done.map(|report| (report.changes_sent, report.changes_received)))?;
            }
        }
        Ok(())
    }

    /// Everybody syncs until everybody has everything.
    fn settle(&mut self) -> Result<(), Wrong> {
        for round in 0..ROUNDS_MAX {
            let mut moved = hubs::round(self, round == 0)?;
            for number in (1..self.devices.len()).chain([0]) {
                if !self.devices[number].enrolled {
                    work::enrol(self, number)?;
                }
                moved |= self.sync_now(number)?;
            }
            if !moved {
                return Ok(());
            }
        }
        Err(format!("after {ROUNDS_MAX} rounds of syncing something still moves"))
    }
}
