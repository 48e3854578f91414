//! Forms that are open on phones, for a moment or for long, while others write in the same records.

use fieldbook_core::client::ErrorKind;
use fieldbook_core::ids::RecordId;
use serde_json::json;

use super::Wrong;
use super::device::{Draft, OpenForm, Process};
use super::forms::FIELDS;
use super::model::{self, Seen};
use super::work::{failed, said, some_record};
use super::world::World;

/// Forms open at once on a phone.
const FORMS_MAX: usize = 3;

/// Somebody opens a form on a record.
pub fn open(world: &mut World, number: usize) -> Result<(), Wrong> {
    let Some(view) = some_record(world, number) else { return Ok(()) };
    let Some(process) = &mut world.devices[number].process else { return Ok(()) };
    if process.forms.len() >= FORMS_MAX || process.forms.iter().any(|form| form.handle.record() == view.id) {
        return Ok(());
    }
    // What was answered before the app was killed stands at what its author saw then.
    let draft = world.devices[number].drafts.get(&view.id).cloned();
    let resumed = draft.filter(|_| world.chance.one_in(2));
    let Some(process) = &mut world.devices[number].process else { return Ok(()) };
    let open = |discard: bool| {
        let handle = process.book.open_form(&view.kind, Some(view.id))?;
        if discard {
            handle.discard()?;
            return process.book.open_form(&view.kind, Some(view.id));
        }
        Ok(handle)
    };
    // A draft that a crash left would go on at the heads that it was begun at.
    let draft = process.book.drafts().is_ok_and(|drafts| drafts.iter().any(|draft| draft.record == view.id));
    let opened = open(draft && resumed.is_none());
    if resumed.is_none() {
        world.devices[number].drafts.remove(&view.id);
    }
    let Some(process) = &mut world.devices[number].process else { return Ok(()) };
    match opened {
        Ok(handle) => {
            let now = model::shown(&view);
            let form = match resumed {
                Some(draft) => OpenForm { handle, shown: draft.shown, later: now },
                None => OpenForm { handle, shown: now, later: Seen::new() },
            };
            process.forms.push(form);
            world.ether.note(format_args!("{} opens a form on {}", world.devices[number].name, view.id));
            answer(world, number, view.id)
        }
        Err(error) => failed(world, number, "opening a form", &error),
    }
}

/// Now and then the first answer is given at once, and the form stays open.
fn answer(world: &mut World, number: usize, record: RecordId) -> Result<(), Wrong> {
    if !world.chance.one_in(2) || world.devices[number].drafts.contains_key(&record) {
        return Ok(());
    }
    let field = FIELDS[world.chance.below(FIELDS.len())];
    let text = world.model.text(&record);
    let Some(process) = &world.devices[number].process else { return Ok(()) };
    let Some(form) = process.forms.iter().find(|form| form.handle.record() == record) else { return Ok(()) };
    let (done, shown) = (form.handle.set(field, &json!(text)), form.shown.clone());
    world.ether.note(format_args!("{} answers {field} of {record}: {}", world.devices[number].name, done.is_ok()));
    match done {
        Ok(_) => {
            world.devices[number].drafts.insert(record, Draft { field, text, shown });
            Ok(())
        }
        Err(error) => failed(world, number, "answering", &error),
    }
}

/// After a start of a phone: every answer that was given in a form is in a draft.
pub fn drafts_are_there(world: &mut World, number: usize) -> Result<(), Wrong> {
    let Some(process) = &world.devices[number].process else { return Ok(()) };
    let Ok(drafts) = process.book.drafts() else { return Ok(()) };
    let there = |record: &RecordId| drafts.iter().any(|draft| draft.record == *record);
    let lost = world.devices[number].drafts.keys().find(|record| !there(record) && !world.is_purged(record));
    match lost {
        Some(record) => Err(format!("{} lost the draft of {record}", world.devices[number].name)),
        None => Ok(()),
    }
}

/// The user of a phone has just saved something of a record that looked like this: whoever has its form open too has
/// seen it.
pub fn looked_at(world: &mut World, number: usize, record: RecordId, shown: &Seen) {
    let Some(process) = &mut world.devices[number].process else { return };
    for form in process.forms.iter_mut().filter(|form| form.handle.record() == record) {
        for (place, texts) in shown {
            form.later.entry(place.clone()).or_default().extend(texts.iter().cloned());
        }
    }
}

/// What the same phone wrote at a place counts as seen, and so does what it wrote that over: it was the same person.
/// Where the server does not take a save, what stood before it stands again.
fn own(world: &World, number: usize, record: RecordId, place: &str) -> Vec<String> {
    let own = world.model.written.iter().filter(|one| one.record == record && one.device == Some(number));
    let own = own.filter(|one| one.place == place);
    own.flat_map(|one| std::iter::once(&one.text).chain(&one.seen)).cloned().collect()
}

/// Fields of an open form at which something stands now that its user has not seen.
fn arrived(world: &World, number: usize, process: &Process, form: &OpenForm) -> Vec<&'static str> {
    let record = form.handle.record();
    let Ok(view) = process.book.record(record) else { return Vec::new() };
    let now = model::shown(&view);
    let new = |field: &&str| {
        let own = own(world, number, record, field);
        let known = [form.shown.get(*field), form.later.get(*field), Some(&own)];
        let there = now.get(*field).into_iter().flatten();
        there.into_iter().any(|text| !known.iter().flatten().any(|texts| texts.contains(text)))
    };
    FIELDS.into_iter().filter(new).collect()
}

/// The form that is saved next, and the field that is written: mostly one that others have written meanwhile.
fn chosen(world: &mut World, number: usize) -> Option<(usize, &'static str)> {
    let process = world.devices[number].process.as_ref()?;
    let waiting: Vec<(usize, &str)> = process
        .forms
        .iter()
        .enumerate()
        .flat_map(|(at, form)| arrived(world, number, process, form).into_iter().map(move |field| (at, field)))
        .collect();
    let any = !process.forms.is_empty();
    match world.chance.pick(&waiting) {
        Some(chosen) => Some(*chosen),
        // The others stay open until somebody has.
        None if any && world.chance.one_in(4) => Some((0, FIELDS[world.chance.below(FIELDS.len())])),
        None => None,
    }
}

/// Somebody saves an open form.
pub fn save(world: &mut World, number: usize) -> Result<(), Wrong> {
    let Some((at, field)) = chosen(world, number) else { return Ok(()) };
    let Some(process) = &mut world.devices[number].process else { return Ok(()) };
    let form = process.forms.remove(at);
    let book = std::sync::Arc::clone(&process.book);
    let record = form.handle.record();
    let Ok(view) = book.record(record) else { return Ok(()) };
    let text = world.model.text(&record);
    let done = form.handle.set(field, &json!(text)).and_then(|_| form.handle.save());
    world.ether.note(format_args!(
        "{} saves {text} as {field} of {record} by its form: {}",
        world.devices[number].name,
        said(&done)
    ));
    let (mut seen, mut all_later) = (form.shown, form.later);
    seen.entry(field.to_owned()).or_default().extend(own(world, number, record, field));
    let later = all_later.remove(field).unwrap_or_default();
    if done.is_err() {
        world.model.blurred.insert(record);
    }
    let saved = done.as_ref().is_ok_and(|saved| saved.change.is_some());
    if saved && !world.devices[number].doubtful {
        let known: Vec<&String> = seen[field].iter().chain(&later).collect();
        let before = model::shown(&view).remove(field).unwrap_or_default();
        let after = book.record(record).map(|after| model::shown(&after).remove(field).unwrap_or_default());
        if let Ok(after) = after
            && let Some(hidden) = before.iter().find(|text| !known.contains(text) && !after.contains(text))
        {
            let name = &world.devices[number].name;
            return Err(format!("{name} hides {hidden} at {field} of {record}, which its user had not seen"));
        }
    }
    world.model.write(record, field, text, Some(number), &seen, saved);
    world.model.perhaps_saw(later);
    // What was answered before is saved with it, unless it was the same question.
    if let Some(draft) = world.devices[number].drafts.get(&record).cloned() {
        if done.is_ok() {
            world.devices[number].drafts.remove(&record);
        }
        if draft.field != field {
            seen.entry(draft.field.to_owned()).or_default().extend(own(world, number, record, draft.field));
            world.model.write(record, draft.field, draft.text, Some(number), &seen, saved);
            world.model.perhaps_saw(all_later.remove(draft.field).unwrap_or_default());
        }
    }
    match done {
        Err(error) if !matches!(error.kind, ErrorKind::BadInput | ErrorKind::NotFound) => {
            failed(world, number, "saving a form", &error)
        }
        _ => Ok(()),
    }
}

/// Every open form is closed; nothing of it is saved.
pub fn put_down(world: &mut World, number: usize) -> Result<(), Wrong> {
    let Some(process) = &mut world.devices[number].process else { return Ok(()) };
    for form in std::mem::take(&mut process.forms) {
        form.handle
            .discard()
            .map_err(|error| format!("{}: a form does not close: {error:?}", world.devices[number].name))?;
    }
    world.devices[number].drafts.clear();
    Ok(())
}
