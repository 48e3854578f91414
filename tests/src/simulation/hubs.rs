//! What happens at the township hubs of a world: phones come, hubs exchange with the server, and all that goes wrong.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fieldbook_core::client::net::CancelFlag;
use fieldbook_core::client::{ClientError, ErrorKind, Fieldbook, SyncReport};

use super::chance::Chance;
use super::disk::Unsynced;
use super::net::hub_address;
use super::office::{USERS, reach};
use super::restores::Stage;
use super::tasks::{Task, Turn};
use super::township::{Begun, Hub};
use super::work::server_failed;
use super::world::World;
use super::{Wrong, mirrors};

/// Of so many worlds one has hubs.
const HUBS_ONE_IN: usize = 3;
/// Units that have a hub, in this order.
const UNITS: [&str; 2] = ["T1", "T2"];
/// Writes after which a fault strikes, at most.
const WRITES_MAX: usize = 60;
/// A hub's line to the server is down for at least and at most, milliseconds.
const CUT_MS: (u64, u64) = (100_000, 600_000);

/// The hubs of a world, and what may go wrong with them.
#[derive(Clone, Debug, Default)]
pub struct Townships {
    /// How many there are.
    pub hubs: usize,
    /// They crash.
    pub crashes: bool,
    /// Their disks fail or are full for a while.
    pub bad_disks: bool,
    /// They fall back to an older disk.
    pub falls: bool,
    /// Their disks are wiped, and they begin anew.
    pub wipes: bool,
    /// They are revoked.
    pub revocations: bool,
    /// Their lines to the server are down for long.
    pub cuts: bool,
    /// They lie.
    pub lies: bool,
    /// They are gone before the end, and never come back.
    pub vanish: bool,
}

impl Townships {
    /// Those of a seed; in a world whose server is restored, nothing that the server alone would know of them.
    #[must_use]
    pub fn of(mut chance: Chance, restores: bool) -> Self {
        if !chance.one_in(HUBS_ONE_IN) {
            return Self::default();
        }
        let mut maybe = |n| chance.one_in(n);
        Self {
            hubs: if maybe(3) { 2 } else { 1 },
            crashes: maybe(2),
            bad_disks: maybe(4),
            falls: maybe(4),
            wipes: maybe(4) && !restores,
            revocations: maybe(6) && !restores,
            cuts: maybe(3),
            lies: maybe(4),
            vanish: maybe(3),
        }
    }
}

/// Whom a phone syncs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// The server.
    Server,
    /// A hub instead.
    Hub(usize),
    /// The server, but for segments.
    SegmentsAt(usize),
}

impl With {
    /// The hub, where it takes the server's place.
    #[must_use]
    pub fn hub(self) -> Option<usize> {
        if let Self::Hub(number) = self { Some(number) } else { None }
    }

    /// Syncs.
    ///
    /// # Errors
    /// What the phone said.
    pub fn sync(self, book: &Fieldbook, cancel: &CancelFlag) -> Result<SyncReport, ClientError> {
        match self {
            Self::Server => book.sync(&(), cancel),
            Self::Hub(hub) => book.sync_at_hub(&hub_address(hub), &(), cancel),
            Self::SegmentsAt(hub) => book.sync_with_segments_at(&hub_address(hub), &(), cancel),
        }
    }
}

impl std::fmt::Display for With {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server => Ok(()),
            Self::Hub(hub) => write!(f, " at hub{hub}"),
            Self::SegmentsAt(hub) => write!(f, ", with segments at hub{hub}"),
        }
    }
}

/// Whom a phone goes to now.
pub fn choose(world: &mut World, number: usize) -> With {
    if world.hubs.is_empty() {
        return With::Server;
    }
    let unit = USERS[world.devices[number].user].1;
    // A stranger is turned away.
    let any = world.chance.one_in(12);
    let near = world.hubs.iter().filter(|hub| !hub.gone && (any || hub.unit == unit));
    let near: Vec<usize> = near.map(|hub| hub.number).collect();
    match (world.chance.below(12), world.chance.pick(&near)) {
        (0..=6, Some(hub)) => With::Hub(*hub),
        (7..=8, Some(hub)) => With::SegmentsAt(*hub),
        _ => With::Server,
    }
}

/// The server, segments perhaps by a hub: whoever knows a segment's name may have it there.
pub fn segments_from(world: &mut World) -> With {
    let here: Vec<usize> = world.hubs.iter().filter(|hub| !hub.gone).map(|hub| hub.number).collect();
    match (world.chance.one_in(2), world.chance.pick(&here)) {
        (true, Some(hub)) => With::SegmentsAt(*hub),
        _ => With::Server,
    }
}

/// The world's hubs, enrolled, each after its first exchange.
pub fn set_up(world: &mut World) -> Result<(), Wrong> {
    for (number, unit) in UNITS.into_iter().enumerate().take(world.plan.townships.hubs) {
        let store = world.office.store().ok_or("the server is down")?;
        let (folder, chance) = (world.folder().join(format!("hub{number}")), world.chance.fork());
        let mut hub = Hub::new((number, unit), folder, &store, &world.ether, chance)?;
        hub.start()
            .and_then(|()| hub.enrol(&store))
            .map_err(|error| format!("{} does not begin: {error}", hub.name))?;
        world.hubs.push(hub);
        exchange_now(world, number)?;
    }
    Ok(())
}

/// One of the things that happen at hubs.
pub fn happen(world: &mut World) -> Result<(), Wrong> {
    let number = world.chance.below(world.hubs.len());
    if world.hubs[number].gone {
        return Ok(());
    }
    let plan = &world.plan.townships;
    let weight = |on: bool, weight: usize| if on { weight } else { 0 };
    let weights = [
        18,
        weight(plan.crashes, 4),
        weight(plan.bad_disks, 3),
        weight(plan.falls, 3),
        weight(plan.wipes, 2),
        weight(plan.revocations, 1),
        weight(plan.cuts, 2),
        weight(plan.lies, 3),
    ];
    match world.chance.weighted(&weights) {
        0 => begin_exchange(world, number),
        1 => crash(world, number),
        2 => {
            disk(world, number);
            Ok(())
        }
        3 => fall_back(world, number),
        4 => wipe(world, number),
        5 => revoke(world, number),
        6 => {
            world.hubs[number].cut_until_ms = world.ether.now_ms() + world.chance.between(CUT_MS.0, CUT_MS.1) as i64;
            world.ether.note(format_args!("the line of hub{number} is down"));
            Ok(())
        }
        _ => lie(world, number),
    }
}

fn begun(world: &World) -> Begun {
    Begun { reach: world.reach_changes, purged: world.purged.clone() }
}

fn begin_exchange(world: &mut World, number: usize) -> Result<(), Wrong> {
    if !is_up(world, number)? || world.hubs[number].cut_until_ms > world.ether.now_ms() {
        return Ok(());
    }
    let begun = begun(world);
    if world.hubs[number].process.as_ref().is_none_or(|process| process.sync.is_some()) {
        return Ok(());
    }
    world.hubs[number].exchange(begun)?;
    world.ether.note(format_args!("hub{number} begins to exchange"));
    go_on(world, number)
}

/// Starts a hub that is down, and enrols one that is not; false where that does not come about.
fn is_up(world: &mut World, number: usize) -> Result<bool, Wrong> {
    if world.hubs[number].process.is_none() {
        start(world, number)?;
    }
    if world.hubs[number].process.is_none() {
        return Ok(false);
    }
    let Some(store) = world.office.store().filter(|_| !world.hubs[number].enrolled) else {
        return Ok(world.hubs[number].enrolled);
    };
    // What the server alone knows is lost with it.
    if matches!(world.restore, Stage::BackedUp | Stage::Waits) {
        return Ok(false);
    }
    let done = world.hubs[number].enrol(&store);
    world.ether.note(format_args!("hub{number} is enrolled: {}", done.is_ok()));
    Ok(done.is_ok())
}

fn start(world: &mut World, number: usize) -> Result<(), Wrong> {
    let hub = &mut world.hubs[number];
    match hub.start() {
        Ok(()) => {
            world.ether.note(format_args!("hub{number} is up"));
            mirrors::is_sound(world, number)
        }
        Err(_) if hub.troubled || hub.disk.is_dead() => {
            hub.crash(Unsynced::Torn);
            world.ether.note(format_args!("hub{number} does not start"));
            Ok(())
        }
        Err(error) => Err(format!("hub{number} does not start: {error}")),
    }
}

/// Lets a hub's exchange run until it waits again or ends.
pub fn go_on(world: &mut World, number: usize) -> Result<(), Wrong> {
    let Some(process) = &mut world.hubs[number].process else { return Ok(()) };
    let Some(task) = process.sync.take() else { return Ok(()) };
    match task.turn() {
        Turn::Waits(task) => {
            process.sync = Some(task);
            Ok(())
        }
        Turn::Ended(done) => {
            let reached = done.ok_or_else(|| format!("hub{number} panicked in an exchange"))?;
            exchanged(world, number, reached)
        }
    }
}

fn exchanged(world: &mut World, number: usize, reached: bool) -> Result<(), Wrong> {
    world.ether.note(format_args!("hub{number} exchanged: {reached}"));
    mirrors::is_sound(world, number)?;
    let hub = &world.hubs[number];
    let Some(process) = hub.process.as_ref().filter(|_| reached && !hub.disk.is_dead()) else { return Ok(()) };
    if process.store.is_revoked().is_ok_and(|revoked| revoked) {
        return if hub.revoked { Ok(()) } else { Err(format!("hub{number} says that it is revoked, and is not")) };
    }
    let begun = process.begun.clone();
    if !hub.troubled {
        mirrors::keeps_nothing_that_passed(world, number)?;
    }
    if begun.reach == world.reach_changes {
        hub.is_up_to_date();
    }
    mirrors::holds_nothing_of(world, number, &begun.purged)
}

/// Every exchange of a hub that is under way runs to its end.
pub fn end_exchanges(world: &mut World) -> Result<(), Wrong> {
    for number in 0..world.hubs.len() {
        if let Some(task) = world.hubs[number].process.as_mut().and_then(|process| process.sync.take()) {
            let reached = task.finish().ok_or_else(|| format!("hub{number} panicked in an exchange"))?;
            exchanged(world, number, reached)?;
        }
    }
    Ok(())
}

/// One exchange without a wait, which nothing may keep from its end.
fn exchange_now(world: &mut World, number: usize) -> Result<(), Wrong> {
    let begun = begun(world);
    world.hubs[number].exchange(begun)?;
    let task = world.hubs[number].process.as_mut().and_then(|process| process.sync.take());
    let reached = task.and_then(Task::finish).ok_or_else(|| format!("hub{number} panicked in an exchange"))?;
    exchanged(world, number, reached)?;
    if reached { Ok(()) } else { Err(format!("hub{number} cannot exchange")) }
}

fn crash(world: &mut World, number: usize) -> Result<(), Wrong> {
    if world.hubs[number].process.is_none() {
        return start(world, number);
    }
    if world.chance.one_in(3) {
        world.hubs[number].disk.kill();
        return died(world, number);
    }
    let writes = world.chance.below(WRITES_MAX) as u64;
    world.ether.note(format_args!("hub{number} will die in {writes} writes"));
    world.hubs[number].disk.crash_in(writes);
    world.hubs[number].troubled = true;
    Ok(())
}

/// A hub's process is gone in the middle of something.
pub fn died(world: &mut World, number: usize) -> Result<(), Wrong> {
    let unsynced = [Unsynced::Kept, Unsynced::Lost, Unsynced::Torn][world.chance.below(3)];
    world.crashes += 1;
    world.hubs[number].crash(unsynced);
    world.ether.note(format_args!("hub{number} died; unsynced writes are {unsynced:?}"));
    if world.chance.one_in(3) { Ok(()) } else { start(world, number) }
}

fn disk(world: &mut World, number: usize) {
    let fails = world.chance.one_in(2);
    let (writes, full) = (world.chance.below(WRITES_MAX) as u64, world.chance.one_in(2));
    let hub = &mut world.hubs[number];
    hub.troubled = true;
    if fails {
        hub.disk.fail_in(writes);
        world.ether.note(format_args!("a write of hub{number} will fail"));
    } else {
        hub.disk.set_full(full);
        world.ether.note(format_args!("the disk of hub{number} is full: {full}"));
    }
}

fn fall_back(world: &mut World, number: usize) -> Result<(), Wrong> {
    if !world.hubs[number].fall_back() {
        // One that was wiped and is not enrolled yet has nothing to fall back to.
        if !world.hubs[number].enrolled {
            return Ok(());
        }
        world.hubs[number].take_snapshot();
        world.ether.note(format_args!("hub{number} is remembered"));
        return Ok(());
    }
    world.ether.note(format_args!("hub{number} falls back"));
    start(world, number)
}

fn wipe(world: &mut World, number: usize) -> Result<(), Wrong> {
    world.ether.note(format_args!("the disk of hub{number} is wiped"));
    world.hubs[number].wipe()
}

fn revoke(world: &mut World, number: usize) -> Result<(), Wrong> {
    let Some(store) = world.office.store() else { return Ok(()) };
    let name = world.hubs[number].name.clone();
    let revoked = store.devices().and_then(|devices| {
        let own = devices.iter().filter(|device| device.name == name);
        own.map(|device| store.revoke_device(device.id)).collect::<Result<Vec<_>, _>>()
    });
    // Where the server failed it may be revoked all the same.
    world.hubs[number].revoked = true;
    world.ether.note(format_args!("hub{number} is revoked: {}", revoked.is_ok()));
    // What it brings from now on is held apart: others may be told of a part of a change again.
    world.model.blurred.extend(world.model.written.iter().map(|written| written.record));
    revoked.map_or_else(|error| server_failed(world, "revoking a hub", &error), |_| Ok(()))
}

fn lie(world: &mut World, number: usize) -> Result<(), Wrong> {
    let hub = &mut world.hubs[number];
    hub.lies = !hub.lies;
    world.ether.note(format_args!("hub{number} lies: {}", hub.lies));
    hub.serve().or_else(|error| if hub.troubled { Ok(()) } else { Err(format!("hub{number}: {error}")) })
}

/// A user may read something else from now on: hubs have not heard.
pub fn outdated(world: &mut World, user: usize) {
    let before = reach(&world.roles[user]);
    world.reach_changes += 1;
    for hub in &mut world.hubs {
        hub.outdates(user, &before);
    }
}

/// Whether a failed sync with a hub is excused: it was lied to, or the hub does not answer, or sends the phone away.
pub fn excuses(world: &World, number: usize, error: &ClientError) -> bool {
    let lied = world.devices[number].process.as_ref().is_some_and(|process| process.lied.load(Ordering::SeqCst));
    lied && matches!(error.kind, ErrorKind::ServerIdentity | ErrorKind::Internal | ErrorKind::NeedsUpdate)
}

/// No fault is left; hubs run, or are gone for good.
pub fn mend(world: &mut World) -> Result<(), Wrong> {
    for number in 0..world.hubs.len() {
        if world.plan.townships.vanish && world.chance.one_in(2) {
            world.hubs[number].wipe()?;
            world.hubs[number].gone = true;
            world.ether.note(format_args!("hub{number} is gone for good"));
            continue;
        }
        let hub = &mut world.hubs[number];
        (hub.lies, hub.cut_until_ms) = (false, i64::MIN);
        hub.crash(Unsynced::Kept);
        start(world, number)?;
        if !is_up(world, number)? {
            return Err(format!("hub{number} does not come up"));
        }
    }
    Ok(())
}

/// Everybody of a township with a hub goes there, then the hub goes to the server. True if something moved.
pub fn round(world: &mut World, first: bool) -> Result<bool, Wrong> {
    let mut moved = false;
    for hub in 0..world.hubs.len() {
        if world.hubs[hub].gone {
            continue;
        }
        for number in 1..world.devices.len() {
            let device = &world.devices[number];
            let own = USERS[device.user].1 == world.hubs[hub].unit;
            if own && device.enrolled && !device.erased && !device.revoked {
                moved |= at_hub(world, number, hub, first)?;
            }
        }
        let before = mirrors::waiting(world, hub)?;
        exchange_now(world, hub)?;
        moved |= mirrors::waiting(world, hub)? != before;
    }
    Ok(moved)
}

/// A phone syncs with a hub, which must serve it once the phone was at the server and the hub heard of it.
fn at_hub(world: &mut World, number: usize, hub: usize, first: bool) -> Result<bool, Wrong> {
    let (done, moved) = world.sync_with(number, With::Hub(hub));
    // Of a phone that is there twice the hub may hold what the other one stated: only the server can tell them apart.
    // A phone whose user has no role any more follows no feed: a hub has nothing for it, and sends it to the server.
    let device = &world.devices[number];
    let excused = world.hubs[hub].revoked || device.doubtful || world.roles[device.user].is_empty();
    match done {
        Some(Err(error)) if !first && !excused => {
            Err(format!("{} cannot sync at hub{hub}: {error:?}", world.devices[number].name))
        }
        Some(done) => {
            let moved = moved || done.is_err() && !excused;
            world.synced(number, done.map(|report| (report.changes_sent, report.changes_received)))?;
            Ok(moved)
        }
        None => Ok(false),
    }
}

/// Begins a sync as a task.
///
/// # Errors
/// When the system gives no thread.
pub fn begin(
    with: With,
    book: &Arc<Fieldbook>,
    cancel: &Arc<CancelFlag>,
) -> std::io::Result<Task<Result<SyncReport, ClientError>>> {
    let (book, cancel) = (Arc::clone(book), Arc::clone(cancel));
    Task::new(move || with.sync(&book, &cancel))
}
