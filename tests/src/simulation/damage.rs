//! A phone's store is damaged: flash memory forgets. At its next opening the phone sets the file aside and takes over what
//! can be read of it (`core/src/store/salvage.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fieldbook_core::client::{Fieldbook, HistoryView, RecordView};
use fieldbook_core::ids::{ChangeHash, RecordId};

use super::disk::{Image, Unsynced};
use super::world::World;
use super::{Wrong, checks, faults};

/// Bytes of a page of the store.
const PAGE_BYTES: usize = 4096;
/// Pages that are damaged at once, at most.
const PAGES_MAX: usize = 3;
/// Bytes that are damaged in a page, at most.
const BYTES_MAX: usize = 200;
/// Own changes that are looked for.
const OWN_MAX: i64 = 2_000;

type Records = BTreeMap<RecordId, RecordView>;

fn said(name: &str) -> impl Fn(String) -> Wrong + '_ {
    move |what| format!("{name}, whose store was damaged: {what}")
}

fn changes(view: &RecordView) -> impl Iterator<Item = &HistoryView> {
    view.history.iter()
}

/// Some pages of a phone's store are damaged while nobody has it open.
pub fn happen(world: &mut World) -> Result<(), Wrong> {
    let Some(number) = world.some_phone().filter(|number| world.devices[*number].enrolled) else { return Ok(()) };
    let device = &mut world.devices[number];
    // What a fault that is under way leaves cannot be told from what the damage does.
    if device.troubled || device.revoked {
        return Ok(());
    }
    let Some(process) = &device.process else { return Ok(()) };
    let before = checks::all(&process.book)?;
    let before: Records = before.into_iter().map(|view| (view.id, view)).collect();
    device.crash(Unsynced::Kept);
    let mut image = world.devices[number].disk.image();
    let mut pages = Vec::new();
    if let Some(file) = image.get_mut("fieldbook.db").filter(|file| file.len() >= PAGE_BYTES) {
        for _ in 0..1 + world.chance.below(PAGES_MAX) {
            let page = world.chance.below(file.len() / PAGE_BYTES);
            let at = page * PAGE_BYTES + world.chance.below(PAGE_BYTES - BYTES_MAX);
            file[at..at + 1 + world.chance.below(BYTES_MAX)].fill(0xa5);
            pages.push(page);
        }
    }
    let name = world.devices[number].name.clone();
    world.ether.note(format_args!("pages {pages:?} of the store of {name} are damaged"));
    salvaged(world, number, image, &before).map_err(said(&name))?;
    faults::start_phone(world, number)
}

/// The phone is opened on the damaged image, in a folder of the system; what it salvaged is looked through, and becomes
/// its disk.
fn salvaged(world: &mut World, number: usize, damaged: Image, before: &Records) -> Result<(), Wrong> {
    let device = &mut world.devices[number];
    // Its last whole state, which lets a damaged first page be read all the same.
    let whole = device.disk.image();
    let folder = device.workshop()?;
    lay_out(&folder, &whole)?;
    drop(device.open_at(&folder).map_err(|error| format!("it did not open before: {error:?}"))?);
    lay_out(&folder, &damaged)?;
    let key = device.database_key().ok_or("its vault is empty")?;
    let readable = readable(&folder, &key, "fieldbook.db");
    std::fs::write(folder.join("fieldbook.suspect"), []).map_err(|error| error.to_string())?;
    let book = device.open_at(&folder).map_err(|error| format!("it does not open: {error:?}"))?;
    let status = book.status().map_err(|error| format!("it has no status: {error:?}"))?;
    let after: Records = checks::all(&book)?.into_iter().map(|view| (view.id, view)).collect();
    is_right(before, &after)?;
    let drafts: BTreeSet<RecordId> = book.drafts().unwrap_or_default().iter().map(|draft| draft.record).collect();
    let enrolled = status.enrolment.is_some();
    device.drafts.retain(|record, _| drafts.contains(record));
    device.enrolled = enrolled;
    device.doubtful = true;
    excuse(world, number, &book, before, &after);
    book.close().map_err(|error| format!("it does not close: {error:?}"))?;
    let still = self::readable(&folder, &key, "fieldbook.db");
    if let Some(lost) = readable.difference(&still).find(|change| !is_in(&after, change)) {
        return Err(format!("the unsent change {lost} could be read, and was not taken over"));
    }
    let content = std::fs::read(folder.join("fieldbook.db")).map_err(|error| error.to_string())?;
    let device = &mut world.devices[number];
    device.disk.restore(Image::from([("fieldbook.db".to_owned(), content)]));
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    world.ether.note(format_args!("{} of {} records are salvaged; enrolled: {enrolled}", after.len(), before.len()));
    world.model.blur(number);
    Ok(())
}

/// Writes a disk's content into a folder of the system.
pub(super) fn lay_out(folder: &Path, image: &Image) -> Result<(), Wrong> {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.join(format!("fieldbook.db{suffix}")));
    }
    let written = image.iter().try_for_each(|(name, content)| {
        if name.ends_with("-shm") { Ok(()) } else { std::fs::write(folder.join(name), content) }
    });
    written.map_err(|error| error.to_string())
}

fn is_in(records: &Records, change: &ChangeHash) -> bool {
    records.values().flat_map(changes).any(|saved| saved.change == *change)
}

/// What was salvaged is a part of what was there.
fn is_right(before: &Records, after: &Records) -> Result<(), Wrong> {
    for (id, view) in after {
        let known = before.get(id).ok_or_else(|| format!("{id} was not there before"))?;
        if let Some(new) = changes(view).find(|saved| !changes(known).any(|one| one.change == saved.change)) {
            return Err(format!("{id} has the change {}, which was not there before", new.change));
        }
        if view.heads == known.heads && view.values != known.values {
            return Err(format!("{id} shows other values than before"));
        }
    }
    Ok(())
}

/// Own changes that wait to be sent, read one by one. A long change lies on pages of its own: all of it must be readable.
fn readable(folder: &Path, key: &[u8; 32], file: &str) -> BTreeSet<ChangeHash> {
    let Ok(store) = fieldbook_sqlite::open_existing(&folder.join(file), key) else { return BTreeSet::new() };
    let one = |n: i64| {
        let sql = "SELECT hash, bytes FROM outbox WHERE n = ?1 AND state < 2";
        store.query_row(sql, [n], |row| row.get::<_, Vec<u8>>(1).and_then(|_| row.get::<_, [u8; 32]>(0))).ok()
    };
    (0..OWN_MAX).filter_map(one).map(ChangeHash).collect()
}

/// What the phone can neither show any more nor had sent is lost with the damage.
fn excuse(world: &mut World, number: usize, book: &Fieldbook, before: &Records, after: &Records) {
    let acknowledged = &world.acknowledged;
    for written in world.model.written.iter_mut().filter(|one| one.device == Some(number)) {
        let holds = |saved: &&HistoryView| saved.touched.iter().any(|one| one.value.as_str() == Some(&written.text));
        let shown = after.get(&written.record).is_some_and(|view| changes(view).any(|saved| holds(&saved)));
        let sent = before.get(&written.record).and_then(|view| changes(view).find(holds));
        let sent = sent.is_some_and(|saved| acknowledged.contains_key(&saved.change));
        written.promised &= shown || sent || checks::not_taken(book, written);
        if sent && !shown {
            world.devices[number].coming_back.insert(written.text.clone());
        }
    }
}
