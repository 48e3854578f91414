//! Records move between units: a family has moved house, or a record was made in the wrong place. Phones that have not heard
//! of it go on writing.

use fieldbook_core::access::Area;
use fieldbook_core::ids::RecordId;
use fieldbook_server::store::{Store, StoreError};

use super::office::{self, Held};
use super::restores::Stage;
use super::work::{self, server_failed};
use super::world::World;
use super::{Wrong, checks};

/// Units that records move to: mostly townships.
const UNITS: [&str; 7] = ["T1", "T2", "T3", "T1", "T2", "T3", "R"];
/// The records that phones work on most are the oldest.
const NEAR: usize = 6;
/// Records that move together, at most.
const TOGETHER_MAX: usize = 3;

/// Somebody who decides in both units moves records, or the administrator does.
pub fn happen(world: &mut World) -> Result<(), Wrong> {
    let (Some(store), Some(boss)) = (world.office.some_store(), world.office.boss()) else { return Ok(()) };
    // What only the server knows would be lost with it.
    if matches!(world.restore, Stage::BackedUp | Stage::Waits) {
        return Ok(());
    }
    let held = match office::records(&store) {
        Ok(held) => held,
        Err(error) => return server_failed(world, "listing", &error),
    };
    let near = &held[..held.len().min(NEAR)];
    let count = 1 + world.chance.below(TOGETHER_MAX);
    let chosen: Vec<Held> = (0..count).filter_map(|_| world.chance.pick(near).cloned()).collect();
    let to = UNITS[world.chance.below(UNITS.len())];
    let ids: Vec<RecordId> = chosen.iter().map(|held| held.id).collect();
    let by = world.chance.one_in(2).then_some(&boss);
    chosen.iter().for_each(|held| leaves(world, held, to));
    let done = store.move_records(by, &ids, to, "the family has moved");
    let named: Vec<String> = ids.iter().map(ToString::to_string).collect();
    world.ether.note(format_args!("{} move to {to}: {}", named.join(" "), done.is_ok()));
    match done {
        Ok(()) => {
            ids.iter().for_each(|id| world.ether.places(|places| places.is_in(id, to)));
            ids.first().map_or(Ok(()), |id| write_late(world, *id))
        }
        Err(error) => {
            if matches!(error, StoreError::Problem(_)) {
                chosen.iter().for_each(|held| world.ether.places(|places| places.is_in(&held.id, &held.unit)));
            }
            server_failed(world, "moving records", &error)
        }
    }
}

/// A record may be in another unit from now on: phones that are syncing and hubs have not heard.
fn leaves(world: &mut World, held: &Held, to: &str) {
    world.ether.places(|places| places.may_be_in(&held.id, to));
    world.reach_changes += 1;
    let left = (super::places::tag(&held.id), held.unit.clone());
    world.devices.iter().for_each(|device| device.left_behind(&left));
    world.hubs.iter_mut().for_each(|hub| hub.left_behind(&left));
}

/// Somebody writes in a record that has just moved, and has not heard.
fn write_late(world: &mut World, record: RecordId) -> Result<(), Wrong> {
    let holds = |number: &usize| {
        let process = world.devices[*number].process.as_ref().filter(|process| process.sync.is_none());
        world.devices[*number].enrolled && process.is_some_and(|process| process.book.record(record).is_ok())
    };
    let holders: Vec<usize> = (1..world.devices.len()).filter(holds).collect();
    match world.chance.pick(&holders).copied() {
        Some(number) if world.chance.one_in(2) => work::edit_one(world, number, record),
        _ => Ok(()),
    }
}

/// After a start of the server: where it says that records are counts.
pub fn where_records_are(world: &mut World) -> Result<(), Wrong> {
    // A move that a restore undid is done again when somebody brings word of it.
    let (Some(store), false) = (world.office.store(), world.plan.restores) else { return Ok(()) };
    let held = office::records(&store).map_err(|error| format!("the server cannot be asked: {error}"))?;
    for record in held {
        world.ether.places(|places| places.is_in(&record.id, &record.unit));
    }
    Ok(())
}

/// In the end: every record is where it was moved to last, and nothing that was written before its author could know is held
/// apart for that.
pub fn ended_well(world: &World, store: &Store, held: &[Held]) -> Result<(), Wrong> {
    if world.plan.restores {
        return Ok(());
    }
    if let Some(record) = held.iter().find(|one| !world.ether.places(|places| places.fits(&one.id, &one.unit))) {
        return Err(format!("{} is in {}, where nobody moved it", record.id, record.unit));
    }
    world.office.sealed_where_they_are(store, held)?;
    // Who has lost a role may not write any more, whatever has moved.
    if world.plan.roles {
        return Ok(());
    }
    for Apart { record, device, unit, area } in apart(store).map_err(checks::asked)? {
        let Some(number) = world.devices.iter().position(|one| one.name == device) else { continue };
        // What was written for a feed that its author may not read was written wrongly, or in the knowledge of the move.
        let area = Area::from_word(&area).unwrap_or(Area::General);
        let meant_well = office::reach(&world.roles[world.devices[number].user]).contains(&(unit, area));
        let knew = world.devices[number].doubtful || world.elsewhere.contains(&(number, record));
        if meant_well && !knew {
            return Err(format!("what {device} wrote in {record} is held apart, and it did not know of the move"));
        }
    }
    Ok(())
}

/// What is held apart because its record is in another unit than it was written for, or because of that unit.
struct Apart {
    record: RecordId,
    device: String,
    unit: String,
    area: String,
}

fn apart(store: &Store) -> Result<Vec<Apart>, StoreError> {
    store.read(|tx| {
        let sql = "SELECT record, devices.name, quarantine.unit, area FROM quarantine
                   JOIN devices ON devices.id = device WHERE reason = 'foreign_unit'";
        let mut statement = tx.prepare(sql)?;
        let rows = statement.query_map((), |row| {
            Ok(Apart { record: RecordId(row.get(0)?), device: row.get(1)?, unit: row.get(2)?, area: row.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
}
