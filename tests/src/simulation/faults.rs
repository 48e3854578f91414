//! What goes wrong in a world.

use std::collections::BTreeSet;

use fieldbook_core::access::Role;
use fieldbook_core::client::HistoryView;
use fieldbook_core::ids::ChangeHash;
use fieldbook_server::store::StoreError;

use super::device::Device;
use super::disk::Unsynced;
use super::restores::{self, Stage};
use super::world::World;
use super::{Wrong, checks, damage, forms, hubs, moves, office, work};

/// Writes after which a fault strikes, at most.
const WRITES_MAX: usize = 60;
/// Phones that a world may grow by.
const CLONES_MAX: usize = 2;

fn unsynced(world: &mut World) -> Unsynced {
    [Unsynced::Kept, Unsynced::Lost, Unsynced::Torn][world.chance.below(3)]
}

/// One of the things that the world's plan allows.
pub fn happen(world: &mut World) -> Result<(), Wrong> {
    let plan = &world.plan;
    let weight = |on: bool, weight: usize| if on { weight } else { 0 };
    let weights = [
        3,
        weight(plan.crashes, 6),
        weight(plan.server_crashes, 4),
        weight(plan.bad_disks, 4),
        weight(plan.clocks, 2),
        weight(plan.clones, 3),
        weight(plan.roles, 2),
        weight(plan.revocations, 2),
        weight(plan.versions, 2),
        weight(plan.restores, 6),
        weight(plan.damage, 3),
    ];
    match world.chance.weighted(&weights) {
        0 => restart(world),
        1 => crash(world),
        2 => {
            server(world);
            Ok(())
        }
        3 => {
            disk(world);
            Ok(())
        }
        4 => {
            clock(world);
            Ok(())
        }
        5 => double(world),
        6 => role(world),
        7 => revoke(world),
        8 => version(world),
        9 => restores::happen(world),
        _ => damage::happen(world),
    }
}

/// The app is closed and opened again, or opened where it was closed; the server starts where it was down.
fn restart(world: &mut World) -> Result<(), Wrong> {
    if world.ether.serving().is_none() {
        return start_server(world);
    }
    let down = (1..world.devices.len())
        .find(|number| world.devices[*number].process.is_none() && !world.devices[*number].erased);
    let number = down.unwrap_or_else(|| 1 + world.chance.below(world.devices.len() - 1));
    let device = &mut world.devices[number];
    if device.erased {
        return Ok(());
    }
    if device.process.is_some() {
        world.ether.note(format_args!("{} is closed", device.name));
        let done = device.close();
        let device = &mut world.devices[number];
        if let Err(error) = done
            && !device.troubled
            && !device.disk.is_dead()
        {
            return Err(format!("{} does not close: {error:?}", device.name));
        }
        return Ok(());
    }
    start_phone(world, number)
}

/// The app of a phone is opened.
pub fn start_phone(world: &mut World, number: usize) -> Result<(), Wrong> {
    let device = &mut world.devices[number];
    match device.start() {
        Ok(()) => {
            world.ether.note(format_args!("{} is opened", device.name));
            let enrolled = device.process.as_ref().and_then(|process| process.book.status().ok()?.enrolment).is_some();
            if device.revoked && !enrolled {
                device.put_away();
                return Ok(());
            }
            checks::saved_is_there(world, number)
        }
        Err(error) if device.troubled || device.disk.is_dead() => {
            world.ether.note(format_args!("{} does not open: {:?}", device.name, error.kind));
            Ok(())
        }
        Err(error) => Err(format!("{} does not open: {error:?}", device.name)),
    }
}

/// The server's process starts.
pub fn start_server(world: &mut World) -> Result<(), Wrong> {
    match world.office.start() {
        Ok(()) => {
            world.ether.note("the server is up");
            work::ask_who_is_who(world)?;
            moves::where_records_are(world)?;
            checks::purged_stays_purged(world)?;
            match world.restore {
                // Phones still bring it back.
                Stage::Waits | Stage::Confirmed => Ok(()),
                Stage::NoBackup | Stage::BackedUp => checks::nothing_acknowledged_is_lost(world),
            }
        }
        Err(error) if world.office.disk.is_dead() => {
            world.ether.note(format_args!("the server dies as it starts: {error}"));
            world.office.stop(Unsynced::Torn);
            Ok(())
        }
        // A purge that a full disk interrupted is done before anything is served: somebody has to make room first.
        Err(StoreError::DiskFull { .. }) if world.office.disk.is_full() => {
            world.ether.note("the server does not start for want of room, and is given some");
            world.office.disk.set_full(false);
            start_server(world)
        }
        Err(error) => Err(format!("the server does not start: {error}")),
    }
}

fn crash(world: &mut World) -> Result<(), Wrong> {
    let Some(number) = world.some_phone() else { return Ok(()) };
    if world.chance.one_in(2) {
        let writes = world.chance.below(WRITES_MAX) as u64;
        world.devices[number].disk.crash_in(writes);
        world.devices[number].troubled = true;
        world.ether.note(format_args!("{} will die in {writes} writes", world.devices[number].name));
        return Ok(());
    }
    world.devices[number].disk.kill();
    phone_died(world, number)
}

/// A phone's app is gone in the middle of something; it is opened again at once or later.
pub fn phone_died(world: &mut World, number: usize) -> Result<(), Wrong> {
    let unsynced = unsynced(world);
    world.crashes += 1;
    world.devices[number].crash(unsynced);
    world.ether.note(format_args!("{} died; unsynced writes are {unsynced:?}", world.devices[number].name));
    if world.chance.one_in(3) { Ok(()) } else { start_phone(world, number) }
}

fn server(world: &mut World) {
    if world.ether.serving().is_none() {
        return;
    }
    if world.chance.one_in(2) {
        let writes = world.chance.below(WRITES_MAX) as u64;
        world.ether.note(format_args!("the server will die in {writes} writes"));
        world.office.disk.crash_in(writes);
    } else {
        world.office.disk.kill();
        server_died(world);
    }
}

/// The server's process is gone.
pub fn server_died(world: &mut World) {
    let unsynced = unsynced(world);
    world.crashes += 1;
    world.office.stop(unsynced);
    world.pages.clear();
    world.ether.note(format_args!("the server died; unsynced writes are {unsynced:?}"));
}

fn disk(world: &mut World) {
    if world.chance.one_in(4) {
        if world.chance.one_in(2) {
            world.office.disk.fail_in(world.chance.below(WRITES_MAX) as u64);
            world.ether.note("a write of the server will fail");
        } else {
            let full = world.chance.one_in(2);
            world.office.disk.set_full(full);
            world.ether.note(format_args!("the server's disk is full: {full}"));
        }
        return;
    }
    let Some(number) = world.some_phone() else { return };
    let device = &mut world.devices[number];
    device.troubled = true;
    if world.chance.one_in(2) {
        device.disk.fail_in(world.chance.below(WRITES_MAX) as u64);
        world.ether.note(format_args!("a write of {} will fail", device.name));
    } else {
        let full = world.chance.one_in(2);
        device.disk.set_full(full);
        world.ether.note(format_args!("the disk of {} is full: {full}", device.name));
    }
}

fn clock(world: &mut World) {
    let ahead_ms = [0, 60_000, -7_200_000, 400 * 86_400_000, -400 * 86_400_000][world.chance.below(5)];
    if world.chance.one_in(5) {
        world.office.clock.ahead_ms.store(ahead_ms / 100, std::sync::atomic::Ordering::SeqCst);
        world.ether.note(format_args!("the server's clock is off by {} ms", ahead_ms / 100));
        return;
    }
    let Some(number) = world.some_phone() else { return };
    let device = &mut world.devices[number];
    device.ahead_ms = ahead_ms;
    if let Some(process) = &device.process {
        process.clock.ahead_ms.store(ahead_ms, std::sync::atomic::Ordering::SeqCst);
    }
    world.ether.note(format_args!("the clock of {} is off by {ahead_ms} ms", device.name));
}

/// Phones are copied, remembered, and fall back to what was remembered.
fn double(world: &mut World) -> Result<(), Wrong> {
    let Some(number) = world.some_phone() else { return Ok(()) };
    let writes = world.model.written.len();
    match world.chance.below(3) {
        0 => {
            world.devices[number].take_snapshot(writes);
            world.ether.note(format_args!("{} is remembered", world.devices[number].name));
            Ok(())
        }
        1 if world.devices.len() <= world.plan.phones + CLONES_MAX && world.devices[number].enrolled => {
            let user = world.devices[number].user;
            let clone = world.add_device(user)?;
            world.devices[clone].crash(Unsynced::Kept);
            let (before, after) = world.devices.split_at_mut(clone);
            after[0].become_clone_of(&before[number]);
            world.devices[number].doubtful = true;
            let anew = world.elsewhere.iter().filter(|(maker, _)| *maker == number);
            let anew: Vec<_> = anew.map(|(_, record)| (clone, *record)).collect();
            world.elsewhere.extend(anew);
            if world.devices[clone].revoked {
                world.model.cut_off.insert(clone);
            }
            world
                .ether
                .note(format_args!("{} is a clone of {}", world.devices[clone].name, world.devices[number].name));
            world.model.blur(number);
            start_phone(world, clone)
        }
        _ => {
            let vault = world.chance.one_in(2);
            let Some(from) = world.devices[number].fall_back(vault) else { return Ok(()) };
            world.ether.note(format_args!("{} falls back, its vault too: {vault}", world.devices[number].name));
            world.model.blur(number);
            world.model.excuse(number, from);
            start_phone(world, number)
        }
    }
}

fn role(world: &mut World) -> Result<(), Wrong> {
    let Some(store) = world.office.some_store() else { return Ok(()) };
    let user = 1 + world.chance.below(office::USERS.len() - 1);
    let login = office::USERS[user].0;
    let role = [Role::Field, Role::Township, Role::Lawyer, Role::Finance, Role::County][world.chance.below(5)];
    let unit = ["R", "T1", "T2", "T3"][world.chance.below(4)];
    let give = [(role, unit.to_owned())];
    let take = world.roles[user].clone();
    let held = if world.chance.one_in(2) {
        store.change_roles(login, &give, &take)
    } else {
        store.change_roles(login, &give, &[])
    };
    world.supervised[user] |= role == Role::County;
    hubs::outdated(world, user);
    match held {
        Ok(held) => {
            world.ether.note(format_args!("{login} is now {held:?}"));
            for device in world.devices.iter().filter(|device| device.user == user) {
                device.set_reach(&held, device.process.as_ref().is_some_and(|process| process.sync.is_some()));
            }
            world.roles[user] = held;
            Ok(())
        }
        Err(error) => work::server_failed(world, "changing roles", &error),
    }
}

/// A phone, preferably one that has been out of reach and has much to send.
fn lost_phone(world: &mut World) -> Option<usize> {
    let now_ms = world.ether.now_ms();
    let away = |(_, device): &(usize, &Device)| device.process.is_some() && device.away_until_ms > now_ms;
    let away: Vec<usize> = world.devices.iter().enumerate().skip(1).filter(away).map(|(number, _)| number).collect();
    world.chance.pick(&away).copied().or_else(|| world.some_phone())
}

/// What a phone has not sent when it is revoked is as late as what is written on it later.
fn unsent_is_late(world: &mut World, number: usize, logged: &BTreeSet<ChangeHash>) {
    let Some(process) = world.devices[number].process.as_ref().filter(|process| process.sync.is_none()) else { return };
    for written in world.model.written.iter_mut().filter(|one| one.device == Some(number)) {
        let Ok(view) = process.book.record(written.record) else { continue };
        let is_it = |saved: &&HistoryView| saved.touched.iter().any(|one| one.value.as_str() == Some(&written.text));
        written.late |= view.history.iter().find(is_it).is_some_and(|saved| !logged.contains(&saved.change));
    }
}

fn revoke(world: &mut World) -> Result<(), Wrong> {
    let (Some(store), Some(number)) = (world.office.some_store(), lost_phone(world)) else { return Ok(()) };
    let name = world.devices[number].name.clone();
    if world.devices[number].doubtful {
        return Ok(());
    }
    let logged = match office::logged(&store) {
        Ok(logged) => logged,
        Err(error) => return work::server_failed(world, "listing", &error),
    };
    let revoked = store.devices().and_then(|devices| {
        let device = devices.iter().find(|device| device.name == name);
        device.map_or(Ok(false), |device| store.revoke_device(device.id))
    });
    match revoked {
        Ok(true) => {
            world.devices[number].revoked = true;
            world.model.cut_off.insert(number);
            world.ether.note(format_args!("{name} is revoked"));
            unsent_is_late(world, number, &logged);
            Ok(())
        }
        Ok(false) => Ok(()),
        Err(error) => work::server_failed(world, "revoking", &error),
    }
}

fn version(world: &mut World) -> Result<(), Wrong> {
    let Some(store) = world.office.some_store() else { return Ok(()) };
    // A form that is lost would have to be published again before anything that was written under it comes.
    if matches!(world.restore, Stage::BackedUp | Stage::Waits) {
        return Ok(());
    }
    let at = world.chance.below(forms::KINDS.len());
    let (kind, area) = forms::KINDS[at];
    let next = world.office.versions[at] + 1;
    if next > forms::VERSION_MAX {
        return Ok(());
    }
    match store.publish_form(&forms::form(kind, area, next)?, None) {
        Ok(_) => {
            world.office.versions[at] = next;
            world.ether.note(format_args!("{kind} is in version {next}"));
            Ok(())
        }
        Err(error) => work::server_failed(world, "publishing", &error),
    }
}

/// Every fault ends; everything that is down starts again.
pub fn mend(world: &mut World) -> Result<(), Wrong> {
    world.attend()?;
    world.office.stop(Unsynced::Kept);
    start_server(world)?;
    if world.restore == Stage::Waits {
        restores::confirm(world)?;
    }
    for number in 0..world.devices.len() {
        let device = &mut world.devices[number];
        if device.troubled {
            device.crash(Unsynced::Kept);
        }
        if device.process.is_none() && !device.erased {
            start_phone(world, number)?;
        }
    }
    Ok(())
}
