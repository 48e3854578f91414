//! A server that loses data: an old backup comes back in the place of its disk.

use std::collections::BTreeSet;

use fieldbook_core::ids::RecordId;

use super::work::server_failed;
use super::world::World;
use super::{Wrong, checks, faults, mirrors, office};

/// How far a world's restore has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// There is no backup.
    #[default]
    NoBackup,
    /// There is one; all that the server alone learns from now on will be lost.
    BackedUp,
    /// It was put back: the server waits for its administrator.
    Waits,
    /// It serves again.
    Confirmed,
}

/// The next thing, now or later.
pub fn happen(world: &mut World) -> Result<(), Wrong> {
    if world.ether.serving().is_none() || world.office.disk.is_dead() {
        return Ok(());
    }
    match world.restore {
        Stage::NoBackup => {
            world.office.back_up()?;
            world.restore = Stage::BackedUp;
            world.ether.note("a backup is made");
            Ok(())
        }
        Stage::BackedUp if world.chance.one_in(2) => restore(world),
        Stage::Waits if world.chance.one_in(2) => confirm(world),
        _ => Ok(()),
    }
}

fn restore(world: &mut World) -> Result<(), Wrong> {
    world.end_syncs()?;
    if !give_up(world)? {
        return Ok(());
    }
    world.ether.note("the backup is put back");
    world.ether.close(true);
    world.office.restore()?;
    world.restore = Stage::Waits;
    world.pages.clear();
    world.unheard = (0..world.devices.len()).collect();
    // What is sent again comes in another order: some of it is issued anew, or put before its author.
    world.model.blurred.extend(world.model.written.iter().map(|written| written.record));
    faults::start_server(world)
}

/// What phones sent since the backup of records that have left their users' reach, and let go of as they must: the server
/// alone has it. False where the server cannot say what it has.
fn give_up(world: &mut World) -> Result<bool, Wrong> {
    let Some(store) = world.office.store() else { return Ok(false) };
    let held = match office::records(&store) {
        Ok(held) => held,
        Err(error) => return server_failed(world, "listing", &error).map(|()| false),
    };
    // Of a phone that is off nobody could say what it still has.
    for number in 0..world.devices.len() {
        let device = &world.devices[number];
        if device.process.is_none() && device.enrolled && !device.erased {
            faults::start_phone(world, number)?;
        }
    }
    let mut shown = BTreeSet::new();
    for process in world.devices.iter().filter_map(|device| device.process.as_ref()) {
        for view in checks::all(&process.book)? {
            shown.extend(checks::texts(&view).into_iter().map(str::to_owned));
        }
    }
    let mirrored = mirrors::signed_bytes(world)?;
    let kept = |text: &str| shown.contains(text) || mirrored.iter().any(|bytes| mirrors::holds(bytes, text));
    for (number, device) in world.devices.iter().enumerate() {
        let Some(process) = &device.process else { continue };
        let reach = office::reach(&world.roles[device.user]);
        let away = held.iter().filter(|record| !office::may_read(&reach, record));
        let gone: BTreeSet<RecordId> =
            away.map(|record| record.id).filter(|id| process.book.record(*id).is_err()).collect();
        let own = world.model.written.iter_mut().filter(|one| one.device == Some(number) && gone.contains(&one.record));
        own.filter(|one| !kept(&one.text)).for_each(|one| one.promised = false);
    }
    Ok(true)
}

/// The administrator lets the server serve again.
pub fn confirm(world: &mut World) -> Result<(), Wrong> {
    let Some(store) = world.office.store() else { return Ok(()) };
    // Where the process dies on the way it may be confirmed all the same.
    world.ether.close(false);
    let seen = store.restored_state().and_then(|state| {
        if state.awaiting {
            store.confirm_restored()?
        }
        Ok(state)
    });
    match seen {
        Ok(state) => {
            // The list beside the database is as old as the disk, not as the backup.
            if let Some(record) = world.purged.iter().find(|record| !state.purged.contains(*record)) {
                return Err(format!("{record} was purged, and the administrator of the restored server is not told"));
            }
            world.restore = Stage::Confirmed;
            world.ether.note("the restore is confirmed");
            Ok(())
        }
        Err(error) => server_failed(world, "confirming the restore", &error),
    }
}
