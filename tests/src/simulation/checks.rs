//! What must hold in every world.

use std::collections::{BTreeMap, BTreeSet};

use fieldbook_core::client::{Fieldbook, RecordView};
use fieldbook_core::ids::{ChangeHash, RecordId};
use fieldbook_core::store::{ListFilter, SyncState};
use fieldbook_server::store::{Store, StoreError};

use super::forms::{KINDS, STAGE};
use super::model::{self, Standing, Written};
use super::office::{self, Held};
use super::world::World;
use super::{Wrong, heads, lists, mirrors, moves, reading, screens};

/// Records of a kind that are looked at.
const LISTED_MAX: usize = 1_000;
/// Records looked at after each sync, and writes after each start.
const RECENT_MAX: usize = 12;

/// What the server's database said.
pub fn asked(error: StoreError) -> Wrong {
    format!("the server cannot be asked: {error}")
}

/// What the server's database answered; nothing where its disk fails, or died with the question.
fn told<T>(world: &World, answer: Result<T, StoreError>) -> Result<Option<T>, Wrong> {
    match answer {
        Err(_) if world.plan.bad_disks || world.office.disk.is_dead() => Ok(None),
        answer => answer.map(Some).map_err(asked),
    }
}

/// Every record of a phone.
pub fn all(book: &Fieldbook) -> Result<Vec<RecordView>, Wrong> {
    let mut views = Vec::new();
    for (kind, _) in KINDS {
        let Ok(listed) = book.list(kind, &ListFilter::default(), None, LISTED_MAX) else { continue };
        for row in listed {
            views.push(book.record(row.id).map_err(|error| format!("{} cannot be read: {error:?}", row.id))?);
        }
    }
    Ok(views)
}

/// What a phone shows as "on the server" is in the server's log; it is remembered.
pub fn acknowledged(world: &mut World, number: usize) -> Result<(), Wrong> {
    let device = &world.devices[number];
    let (Some(store), Some(process)) = (world.office.store(), &device.process) else { return Ok(()) };
    if world.unheard.contains(&number) {
        return Ok(());
    }
    if device.disk.is_dead() || world.office.disk.is_dead() || device.troubled {
        return Ok(());
    }
    let Some(logged) = told(world, office::logged(&store))? else { return Ok(()) };
    let filter = ListFilter { sync: Some(SyncState::OnServer), ..ListFilter::default() };
    for (kind, _) in KINDS {
        for row in process.book.list(kind, &filter, None, RECENT_MAX).unwrap_or_default() {
            let Ok(view) = process.book.record(row.id) else { continue };
            if world.is_purged(&row.id) {
                continue;
            }
            for change in view.history.iter().map(|saved| saved.change) {
                if !logged.contains(&change) {
                    return Err(format!("{} shows {} as on the server, which lacks {change}", device.name, row.id));
                }
                world.acknowledged.insert(change, row.id);
            }
        }
    }
    sent(world, number, &store, &logged)
}

/// What a phone shows as sent has arrived, whatever became of it there.
fn sent(world: &World, number: usize, store: &Store, logged: &BTreeSet<ChangeHash>) -> Result<(), Wrong> {
    let device = &world.devices[number];
    let Some(process) = device.process.as_ref().filter(|_| !device.doubtful) else { return Ok(()) };
    let Some(judged) = told(world, office::judged(store))? else { return Ok(()) };
    let filter = ListFilter { sync: Some(SyncState::Sent), ..ListFilter::default() };
    for (kind, _) in KINDS {
        for row in process.book.list(kind, &filter, None, RECENT_MAX).unwrap_or_default() {
            let Ok(view) = process.book.record(row.id) else { continue };
            let arrived = |change: &ChangeHash| logged.contains(change) || judged.contains(change);
            let missing = view.history.iter().map(|saved| saved.change).find(|change| !arrived(change));
            if let Some(change) = missing.filter(|_| !world.is_purged(&row.id)) {
                return Err(format!("{} shows {} as sent, and {change} has not arrived", device.name, row.id));
            }
        }
    }
    Ok(())
}

/// After a start of the server: everything that it ever acknowledged is there.
pub fn nothing_acknowledged_is_lost(world: &mut World) -> Result<(), Wrong> {
    let Some(store) = world.office.store() else { return Ok(()) };
    let logged = office::logged(&store).map_err(asked)?;
    match world.acknowledged.iter().find(|(change, record)| !logged.contains(change) && !world.is_purged(record)) {
        Some((change, _)) => Err(format!("the server acknowledged {change} and lost it")),
        None => Ok(()),
    }
}

/// After a start of the server: what was erased is erased, and nothing else.
pub fn purged_stays_purged(world: &mut World) -> Result<(), Wrong> {
    let Some(store) = world.office.store() else { return Ok(()) };
    let purged = office::purged(&store).map_err(asked)?;
    if let Some(record) = world.purged.iter().find(|record| !purged.contains(record)) {
        return Err(format!("{record} was erased, and the server does not know it any more"));
    }
    world.perhaps_purged.clear();
    world.purged = purged;
    purged_is_gone(world)
}

/// Nothing of a record that was erased is on the server, or comes back to it.
pub fn purged_is_gone(world: &World) -> Result<(), Wrong> {
    let Some(store) = world.office.store().filter(|_| !world.office.disk.is_dead()) else { return Ok(()) };
    for record in &world.purged {
        let Some(rows) = told(world, office::rows_of(&store, record))? else { return Ok(()) };
        if rows > 0 {
            return Err(format!("{record} was erased, and the server holds something of it"));
        }
    }
    world.office.sealed_without(&store, world.purged.iter())
}

/// After a start of a phone: what it reported as saved is there, or among what was not taken.
pub fn saved_is_there(world: &mut World, number: usize) -> Result<(), Wrong> {
    screens::drafts_are_there(world, number)?;
    let device = &world.devices[number];
    let Some(process) = &device.process else { return Ok(()) };
    let own = world.model.written.iter().rev().filter(|one| one.device == Some(number) && one.promised);
    let own = own.filter(|one| !device.coming_back.contains(&one.text));
    let recent: Vec<&Written> = own.take(RECENT_MAX).collect();
    for written in recent {
        // A record that has left with its feed is looked for in the end; it may have been made here anew.
        if world.elsewhere.contains(&(number, written.record)) {
            continue;
        }
        let Ok(view) = process.book.record(written.record) else { continue };
        if !is_in(&view, &process.book, written) {
            return Err(format!("{} lost {} of {}", device.name, written.text, written.record));
        }
    }
    Ok(())
}

fn is_in(view: &RecordView, book: &Fieldbook, written: &Written) -> bool {
    let of_text = |value: &serde_json::Value| value.as_str() == Some(&written.text);
    view.history.iter().flat_map(|saved| &saved.touched).any(|touched| of_text(&touched.value))
        || not_taken(book, written)
}

/// Whether the phone's user is told that the server did not take it.
pub fn not_taken(book: &Fieldbook, written: &Written) -> bool {
    let list = book.not_taken(0, LISTED_MAX).unwrap_or_default();
    let fields = list.iter().filter(|one| one.record == written.record).flat_map(|one| &one.fields);
    fields.into_iter().any(|field| field.value.as_str() == Some(&written.text))
}

/// At the end, when everybody has synced: all of it.
pub fn everything(world: &mut World) -> Result<(), Wrong> {
    nothing_acknowledged_is_lost(world)?;
    purged_is_gone(world)?;
    let store = world.office.store().ok_or("the server is down")?;
    for check in store.verify().map_err(asked)? {
        if let Some(fault) = check.faults.first() {
            return Err(format!("verify finds: {}: {fault}", check.name));
        }
    }
    let held = office::records(&store).map_err(asked)?;
    moves::ended_well(world, &store, &held)?;
    let mirror = world.devices[0].process.as_ref().ok_or("the mirror is down")?;
    let views: BTreeMap<RecordId, RecordView> = all(&mirror.book)?.into_iter().map(|view| (view.id, view)).collect();
    if views.len() != held.len() {
        return Err(format!("the mirror has {} records, the server {}", views.len(), held.len()));
    }
    for number in 0..world.devices.len() {
        if !world.devices[number].revoked {
            same_everywhere(world, &store, number, &held, &views)?;
            heads::are_signed(world, number)?;
        }
    }
    for number in 0..world.devices.len() {
        acknowledged(world, number)?;
    }
    mirrors::end_alike(world)?;
    reading::everything(world, &store)?;
    nothing_is_lost(world, &store, &views)?;
    nothing_barred_is_in(world, &views)?;
    as_foretold(world, &views)
}

/// A phone holds exactly what its user may read, as the server does.
fn same_everywhere(
    world: &World,
    store: &Store,
    number: usize,
    held: &[Held],
    views: &BTreeMap<RecordId, RecordView>,
) -> Result<(), Wrong> {
    let device = &world.devices[number];
    let process = device.process.as_ref().ok_or("a phone is down")?;
    let name = &device.name;
    let reach = office::reach(&world.roles[device.user]);
    let own: BTreeMap<RecordId, RecordView> = all(&process.book)?.into_iter().map(|view| (view.id, view)).collect();
    nothing_purged_is_on(world, name, &process.book)?;
    lists::everything(name, &process.book)?;
    for record in held {
        let readable = office::may_read(&reach, record);
        let Some(view) = own.get(&record.id) else {
            if readable && !world.strays.contains(&record.id) {
                return Err(format!("{name} lacks {}", record.id));
            }
            continue;
        };
        if world.strays.contains(&record.id) {
            continue;
        }
        // A record that was made anew after it had left stays, like any that the server takes nothing of.
        let anew = world.elsewhere.contains(&(number, record.id)) && view.sync == SyncState::NotTaken;
        if !readable && !anew {
            return Err(format!("{name} holds {}, which it may not read ({})", record.id, view.sync.word()));
        }
        if !readable {
            continue;
        }
        let mirrored = views.get(&record.id).ok_or("the mirror lacks a record")?;
        if view.heads != record.heads {
            let logged = office::logged(store).map_err(asked)?;
            let own: Vec<_> = view.history.iter().map(|saved| saved.change).collect();
            let extra = view.history.iter().filter(|saved| !logged.contains(&saved.change));
            let extra: Vec<_> = extra
                .map(|saved| {
                    (saved.change, saved.touched.iter().map(|one| (&one.path, &one.value)).collect::<Vec<_>>())
                })
                .collect();
            let lacks: Vec<_> = record.heads.iter().filter(|head| !own.contains(head)).collect();
            return Err(format!(
                "{name} has other heads of {} than the server: {extra:?} too much, lacks {lacks:?}",
                record.id
            ));
        }
        if view.values != mirrored.values || model::shown(view) != model::shown(mirrored) {
            return Err(format!("{name} shows {} otherwise than the mirror", record.id));
        }
        if !matches!(view.sync, SyncState::OnServer | SyncState::NotTaken) {
            return Err(format!("{name} says of {} that it is {}", record.id, view.sync.word()));
        }
    }
    let lacks = |id: &RecordId| !world.strays.contains(id) && !held.iter().any(|record| record.id == *id);
    if let Some(id) = own.keys().find(|id| lacks(id))
        && own[id].sync != SyncState::NotTaken
    {
        return Err(format!("{name} holds {id}, which the server lacks"));
    }
    let status = process.book.status().map_err(|error| format!("{name}: {error:?}"))?.store;
    if status.outbox_changes > 0 || status.pending > 0 {
        return Err(format!(
            "{name} still has {} changes and {} entries waiting",
            status.outbox_changes, status.pending
        ));
    }
    Ok(())
}

/// Every text that was saved is in the record's history, in quarantine, or its author is told.
fn nothing_is_lost(world: &World, store: &Store, views: &BTreeMap<RecordId, RecordView>) -> Result<(), Wrong> {
    let mut found: BTreeMap<RecordId, BTreeSet<&str>> = BTreeMap::new();
    for written in world.model.written.iter().filter(|one| one.promised && !world.is_purged(&one.record)) {
        let there =
            found.entry(written.record).or_insert_with(|| views.get(&written.record).map(texts).unwrap_or_default());
        if there.contains(written.text.as_str()) {
            continue;
        }
        if office::quarantined(store, &written.record, &written.text).map_err(asked)? {
            continue;
        }
        let author = written.device.map(|number| &world.devices[number]);
        if author.is_some_and(|author| author.revoked && !author.erased) {
            continue;
        }
        let told = author.and_then(|author| author.process.as_ref());
        if told.is_some_and(|process| not_taken(&process.book, written)) {
            continue;
        }
        let by = author.map_or("the supervisor", |author| &author.name);
        return Err(format!("{} at {} of {} by {by} is lost", written.text, written.place, written.record));
    }
    Ok(())
}

/// A phone holds nothing of a record that was erased.
fn nothing_purged_is_on(world: &World, name: &str, book: &Fieldbook) -> Result<(), Wrong> {
    let told = book.not_taken(0, LISTED_MAX).unwrap_or_default();
    let drafts = book.drafts().unwrap_or_default();
    for record in world.purged.iter().filter(|record| !world.strays.contains(record)) {
        let draft = drafts.iter().any(|draft| draft.record == *record);
        if book.record(*record).is_ok() || draft || told.iter().any(|one| one.record == *record) {
            return Err(format!("{name} still holds something of {record}, which was erased"));
        }
    }
    Ok(())
}

/// What its author might not write is in no record, unless a supervisor took it.
fn nothing_barred_is_in(world: &World, views: &BTreeMap<RecordId, RecordView>) -> Result<(), Wrong> {
    for (record, view) in views.iter().filter(|(record, _)| !world.admitted.contains(record)) {
        let texts = texts(view);
        for written in world.model.written.iter().filter(|one| one.record == *record) {
            let Some(author) = written.device.map(|number| &world.devices[number]) else { continue };
            let barred = written.late || (written.place == STAGE && !world.supervised[author.user]);
            if barred && texts.contains(written.text.as_str()) {
                return Err(format!("{} of {record} is in, and {} might not write it", written.text, author.name));
            }
        }
    }
    Ok(())
}

/// Every text that a record's history holds.
pub fn texts(view: &RecordView) -> BTreeSet<&str> {
    let touched = view.history.iter().flat_map(|saved| &saved.touched);
    touched.filter_map(|touched| touched.value.as_str()).collect()
}

/// What stands at each place is what nobody replaced who had seen it.
fn as_foretold(world: &World, views: &BTreeMap<RecordId, RecordView>) -> Result<(), Wrong> {
    for (record, view) in views.iter().filter(|(record, _)| !world.model.blurred.contains(record)) {
        let effective = texts(view);
        let shown = model::shown(view);
        for (place, standing) in world.model.standing(record, &effective) {
            // A row that was removed shows nothing; that its texts are in the history is checked apart.
            if let Some(row) = model::row_of(place)
                && !model::rows(view, row.split('[').next().unwrap_or_default())
                    .iter()
                    .any(|id| row.ends_with(&format!("[{id}]")))
            {
                continue;
            }
            let there: BTreeSet<&str> = shown.get(place).into_iter().flatten().map(String::as_str).collect();
            let Standing { must, may } = standing;
            if !there.is_superset(&must) || !there.is_subset(&may) {
                let said = if must == may { format!("{must:?}") } else { format!("{must:?} to {may:?}") };
                return Err(format!("{record} at {place} shows {there:?}, and what nobody replaced is {said}"));
            }
        }
    }
    Ok(())
}
