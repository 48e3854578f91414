//! What people do on phones.

use fieldbook_core::access::{Area, Role};
use fieldbook_core::client::{ClientError, ErrorKind, Fieldbook, NewRecord, Patch, RecordView, Saved};
use fieldbook_core::ids::RecordId;
use fieldbook_core::store::ListFilter;
use fieldbook_server::link;
use fieldbook_server::store::StoreError;
use serde_json::{Map, Value as Json, json};

use super::Wrong;
use super::device::OpenForm;
use super::forms::{CHOICES, FIELDS, KINDS, NICK, REPEATS, STAGE, TOPICS};
use super::model::{self, Seen};
use super::office::{self, USERS};
use super::world::World;

/// Records of a kind that a user picks from.
const LISTED_MAX: usize = 30;
/// Forms open at once on a phone.
const FORMS_MAX: usize = 2;
/// Characters of an edit that the trace shows.
const NOTED_CHARS_MAX: usize = 160;

/// Enrols a phone; a world whose network is bad may need several tries.
pub fn enrol(world: &mut World, number: usize) -> Result<(), Wrong> {
    let Some(store) = world.office.store() else { return Ok(()) };
    let device = &mut world.devices[number];
    let Some(process) = &device.process else { return Ok(()) };
    let code = match store.new_enrolment(USERS[device.user].0) {
        Ok(code) => code.code,
        Err(error) => return server_failed(world, "making a code", &error),
    };
    let link = link::enrolment("office:1", &store.identity().root_public(), &code);
    match process.book.enrol(&link, &device.name) {
        Ok(_) => {
            device.enrolled = true;
            world.ether.note(format_args!("{} is enrolled", device.name));
            Ok(())
        }
        Err(error) => {
            world.ether.note(format_args!("{} is not enrolled: {:?}", device.name, error.kind));
            failed(world, number, "enrolling", &error)
        }
    }
}

/// A failure of a phone's own work: only faults that were put there excuse it.
fn failed(world: &World, number: usize, doing: &str, error: &ClientError) -> Result<(), Wrong> {
    let device = &world.devices[number];
    let disk = device.troubled && matches!(error.kind, ErrorKind::StorageFull | ErrorKind::StorageFailed);
    // What a dead process says is heard by nobody.
    if device.disk.is_dead() || disk || matches!(error.kind, ErrorKind::Network | ErrorKind::Refused | ErrorKind::Busy)
    {
        return Ok(());
    }
    Err(format!("{}: {doing} fails: {error:?}", device.name))
}

/// A failure of the server's own work: a stable problem, or a fault that was put there.
pub fn server_failed(world: &World, doing: &str, error: &StoreError) -> Result<(), Wrong> {
    world.ether.note(format_args!("{doing} fails: {error}"));
    if world.office.disk.is_dead() || world.plan.bad_disks || matches!(error, StoreError::Problem(_)) {
        return Ok(());
    }
    Err(format!("{doing} fails: {error}"))
}

/// After a start of the server: what it holds of roles and revocations counts.
pub fn ask_who_is_who(world: &mut World) -> Result<(), Wrong> {
    let Some(store) = world.office.store() else { return Ok(()) };
    let asked = || Ok::<_, StoreError>((store.users()?, store.devices()?));
    let (users, devices) = asked().map_err(|error| format!("the server cannot say who is who: {error}"))?;
    for (row, granted) in users {
        if let Some(at) = USERS.iter().position(|(login, ..)| *login == row.login) {
            world.supervised[at] |= granted.iter().any(|(role, _)| *role == Role::County);
            world.roles[at] = granted;
        }
    }
    for row in devices.iter().filter(|row| row.revoked_ms.is_some()) {
        for (number, device) in world.devices.iter_mut().enumerate().filter(|(_, device)| device.name == row.name) {
            device.revoked = true;
            world.model.cut_off.insert(number);
        }
    }
    Ok(())
}

/// Somebody saves something.
pub fn save(world: &mut World) -> Result<(), Wrong> {
    let Some(number) = world.some_phone() else { return Ok(()) };
    if !world.devices[number].enrolled {
        return Ok(());
    }
    match world.chance.below(14) {
        0 => create(world, number),
        2 => open_form(world, number),
        3 | 4 => use_form(world, number),
        5 => resolve(world, number),
        _ => edit(world, number),
    }
}

/// The area of a kind.
pub fn area_of(kind: &str) -> Area {
    KINDS.iter().find(|(name, _)| *name == kind).map_or(Area::General, |(_, area)| *area)
}

fn create(world: &mut World, number: usize) -> Result<(), Wrong> {
    let device = &world.devices[number];
    let reach = office::reach(&world.roles[device.user]);
    let own: Vec<(&str, Area)> =
        KINDS.into_iter().filter(|(_, area)| reach.iter().any(|(_, readable)| readable == area)).collect();
    // Now and then something that the server will not take.
    let kinds = if own.is_empty() || world.chance.one_in(12) { KINDS.to_vec() } else { own };
    let (kind, area) = kinds[world.chance.below(kinds.len()).min(world.chance.below(kinds.len()))];
    let Some(process) = &device.process else { return Ok(()) };
    let unit = match process.book.status() {
        Ok(status) => status.enrolment.map(|enrolment| enrolment.unit).unwrap_or_default(),
        Err(error) => return failed(world, number, "asking for the status", &error),
    };
    let text = world.model.text(area.word(), &unit);
    let bytes: Vec<u8> = (0..2).flat_map(|_| world.chance.draw().to_le_bytes()).collect();
    let record = RecordId::from_slice(&bytes).map_err(|error| error.to_string())?;
    let new = NewRecord { id: Some(record), values: json!({ "title": text }), submit: false };
    let done = process.book.import(kind, &[new]).and_then(|mut done| done.remove(0));
    if let Err(error) = &done
        && error.kind == ErrorKind::NotFound
    {
        return Ok(());
    }
    if !reach.contains(&(unit.clone(), area)) {
        world.strays.insert(record);
    }
    world.ether.note(format_args!(
        "{} makes {kind} {record} with {text}: {}",
        world.devices[number].name,
        done.is_ok()
    ));
    world.model.write(record, "title", text, Some(number), &Seen::new(), done.is_ok());
    done.map_or_else(|error| failed(world, number, "making a record", &error), |_| Ok(()))
}

/// Some record of a phone.
fn some_record(world: &mut World, number: usize) -> Option<RecordView> {
    let book = std::sync::Arc::clone(&world.devices[number].process.as_ref()?.book);
    let first = [0, 0, 0, 1, 2][world.chance.below(5)];
    let mut listed = Vec::new();
    for at in 0..KINDS.len() {
        let (kind, _) = KINDS[(first + at) % KINDS.len()];
        listed = book.list(kind, &ListFilter::default(), None, LISTED_MAX).ok()?;
        if !listed.is_empty() {
            break;
        }
    }
    // Few records, the oldest, so that people meet.
    listed.sort_by_key(|row| row.id);
    let near = listed.len().min(1 + world.chance.below(6));
    let row = world.chance.pick(&listed[..near])?;
    book.record(row.id).ok()
}

/// One thing to write into a record, with the text and its place.
struct Wish {
    set: Map<String, Json>,
    add: Map<String, Json>,
    remove: Map<String, Json>,
    submit: bool,
    text: Option<(String, String)>,
    /// Repeat and first field, where the text is in a row that is added.
    added: Option<(&'static str, &'static str)>,
}

fn wish(world: &mut World, view: &RecordView) -> Wish {
    let text = world.model.text(area_of(&view.kind).word(), &view.unit);
    let mut wish =
        Wish { set: Map::new(), add: Map::new(), remove: Map::new(), submit: false, text: None, added: None };
    let (repeat, first, _) = REPEATS[world.chance.below(REPEATS.len())];
    let rows = model::rows(view, repeat);
    let row = world.chance.pick(&rows).cloned();
    let put = |wish: &mut Wish, place: String| {
        wish.set.insert(place.clone(), json!(text));
        wish.text = Some((place, text.clone()));
    };
    match (world.chance.below(16), row) {
        (0, _) => wish.submit = true,
        (1, _) => put(&mut wish, STAGE.to_owned()),
        (2, _) => {
            let chosen: Vec<&str> = CHOICES.iter().copied().filter(|_| world.chance.one_in(2)).collect();
            wish.set.insert(TOPICS.to_owned(), json!(chosen));
        }
        (3, Some(row)) => drop(wish.remove.insert(repeat.to_owned(), json!([row]))),
        (4..=6, Some(row)) => {
            let field = if repeat == "people" && world.chance.one_in(2) { NICK } else { first };
            put(&mut wish, format!("{repeat}[{row}]/{field}"));
        }
        (4..=8, _) => {
            wish.add.insert(repeat.to_owned(), json!([{ first: text }]));
            wish.text = Some((String::new(), text));
            wish.added = Some((repeat, first));
        }
        _ => {
            let field = FIELDS[world.chance.below(FIELDS.len())];
            put(&mut wish, field.to_owned());
        }
    }
    wish
}

fn edit(world: &mut World, number: usize) -> Result<(), Wrong> {
    let Some(view) = some_record(world, number) else { return create(world, number) };
    let wish = wish(world, &view);
    let Some(process) = &world.devices[number].process else { return Ok(()) };
    let patch = Patch { id: view.id, set: wish.set, add: wish.add, remove: wish.remove, submit: wish.submit };
    let what = format!("{} {} {} {}", json!(patch.set), json!(patch.add), json!(patch.remove), patch.submit);
    let done = process.book.edit(&[patch]).and_then(|mut done| done.remove(0));
    let place = match (&wish.text, wish.added, &done) {
        (Some((_, text)), Some((repeat, first)), Ok(_)) => place_of(&process.book, &view, repeat, first, text),
        (Some((place, _)), None, _) => Some(place.clone()),
        _ => None,
    };
    let name = &world.devices[number].name;
    let what: String = what.chars().take(NOTED_CHARS_MAX).collect();
    world.ether.note(format_args!("{name} edits {}: {what}: {}", view.id, said(&done)));
    match done {
        Ok(saved) => {
            if let (Some(place), Some((_, text)), Some(_)) = (place, wish.text, saved.change) {
                world.model.write(view.id, &place, text, Some(number), &model::shown(&view), true);
            }
            Ok(())
        }
        Err(error) => {
            if let Some((_, text)) = wish.text {
                // It may be there all the same: the process may have died behind the commit.
                world.model.blurred.insert(view.id);
                world.model.write(view.id, &place.unwrap_or_default(), text, Some(number), &model::shown(&view), false);
            }
            // Another version of the form may lack the field; a value may not be valid.
            if matches!(error.kind, ErrorKind::BadInput | ErrorKind::NotFound) {
                Ok(())
            } else {
                failed(world, number, "editing", &error)
            }
        }
    }
}

fn said(done: &Result<Saved, ClientError>) -> String {
    match done {
        Ok(saved) if saved.change.is_some() => "saved".to_owned(),
        Ok(_) => "nothing new".to_owned(),
        Err(error) => format!("{:?}", error.kind),
    }
}

/// The place of a text in a row that was just added.
fn place_of(book: &Fieldbook, before: &RecordView, repeat: &str, first: &str, text: &str) -> Option<String> {
    let after = book.record(before.id).ok()?;
    let rows = after.values[repeat].as_array()?;
    let row = rows.iter().find(|row| row[first].as_str() == Some(text))?["_row"].as_str()?.to_owned();
    Some(format!("{repeat}[{row}]/{first}"))
}

fn resolve(world: &mut World, number: usize) -> Result<(), Wrong> {
    let Some(view) = some_record(world, number) else { return Ok(()) };
    let Some(conflict) = world.chance.pick(&view.conflicts) else { return Ok(()) };
    let Some(process) = &world.devices[number].process else { return Ok(()) };
    let own = world.chance.one_in(2) && !conflict.path.ends_with("_removed") && !conflict.path.starts_with(TOPICS);
    let text = world.model.text(area_of(&view.kind).word(), &view.unit);
    let value =
        if own { json!(text) } else { conflict.values[world.chance.below(conflict.values.len())].value.clone() };
    let done = process.book.resolve(view.id, &conflict.path, &value);
    world.ether.note(format_args!(
        "{} decides {} of {}: {value}: {}",
        world.devices[number].name,
        conflict.path,
        view.id,
        said(&done)
    ));
    if own {
        world.model.write(view.id, &conflict.path, text, Some(number), &model::shown(&view), done.is_ok());
    }
    if !own || done.is_err() {
        // A value that was there is written a second time: texts do not tell the two apart.
        world.model.blurred.insert(view.id);
    }
    done.map_or_else(|error| failed(world, number, "deciding", &error), |_| Ok(()))
}

fn open_form(world: &mut World, number: usize) -> Result<(), Wrong> {
    let Some(view) = some_record(world, number) else { return Ok(()) };
    let Some(process) = &mut world.devices[number].process else { return Ok(()) };
    if process.forms.len() >= FORMS_MAX || process.forms.iter().any(|form| form.handle.record() == view.id) {
        return Ok(());
    }
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
    match open(draft) {
        Ok(handle) => {
            process.forms.push(OpenForm { handle, shown: model::shown(&view) });
            world.ether.note(format_args!("{} opens a form on {}", world.devices[number].name, view.id));
            Ok(())
        }
        Err(error) => failed(world, number, "opening a form", &error),
    }
}

fn use_form(world: &mut World, number: usize) -> Result<(), Wrong> {
    let Some(process) = &mut world.devices[number].process else { return Ok(()) };
    if process.forms.is_empty() {
        return Ok(());
    }
    let form = process.forms.remove(0);
    let record = form.handle.record();
    let Ok(view) = process.book.record(record) else { return Ok(()) };
    let field = FIELDS[world.chance.below(FIELDS.len())];
    let text = world.model.text(area_of(&view.kind).word(), &view.unit);
    let done = form.handle.set(field, &json!(text)).and_then(|_| form.handle.save());
    world.ether.note(format_args!(
        "{} saves {text} as {field} of {record} by its form: {}",
        world.devices[number].name,
        said(&done)
    ));
    // What the same phone wrote there meanwhile counts as seen: it was the same person.
    let mut seen = form.shown;
    let own = world.model.written.iter().filter(|one| one.record == record && one.device == Some(number));
    seen.entry(field.to_owned()).or_default().extend(own.filter(|one| one.place == field).map(|one| one.text.clone()));
    if done.is_err() {
        world.model.blurred.insert(record);
    }
    let saved = done.as_ref().is_ok_and(|saved| saved.change.is_some());
    world.model.write(record, field, text, Some(number), &seen, saved);
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
    Ok(())
}
