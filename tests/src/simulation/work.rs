//! What people do on phones.

use fieldbook_core::access::{Area, Role};
use fieldbook_core::client::{ClientError, ErrorKind, Fieldbook, NewRecord, Patch, RecordView, Saved};
use fieldbook_core::ids::RecordId;
use fieldbook_core::store::ListFilter;
use fieldbook_server::link;
use fieldbook_server::store::StoreError;
use serde_json::{Map, Value as Json, json};

use super::forms::{AROUND_CALLS, CALLS, CHOICES, FIELDS, KINDS, NICK, REPEATS, STAGE, TOPICS};
use super::model::{self, Seen};
use super::office::{self, USERS};
use super::screens;
use super::world::World;
use super::{Wrong, hubs, lists};

/// Records of a kind that a user picks from.
const LISTED_MAX: usize = 30;
/// Characters of an edit that the trace shows.
const NOTED_CHARS_MAX: usize = 160;

/// Enrols a phone; a world whose network is bad may need several tries.
pub fn enrol(world: &mut World, number: usize) -> Result<(), Wrong> {
    let Some(store) = world.office.store() else { return Ok(()) };
    let device = &mut world.devices[number];
    let Some(process) = &device.process else { return Ok(()) };
    let code = match store.new_enrolment(USERS[device.user].0, 1) {
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
///
/// # Errors
/// Where no fault excuses it.
pub fn failed(world: &World, number: usize, doing: &str, error: &ClientError) -> Result<(), Wrong> {
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
            if world.roles[at] != granted {
                hubs::outdated(world, at);
            }
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
        1 => lists::read(world, number),
        2 => screens::open(world, number),
        3 | 4 => screens::save(world, number),
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
    let (kind, _) = kinds[world.chance.below(kinds.len()).min(world.chance.below(kinds.len()))];
    let Some(process) = &world.devices[number].process else { return Ok(()) };
    let book = std::sync::Arc::clone(&process.book);
    let unit = match book.status() {
        Ok(status) => status.enrolment.map(|enrolment| enrolment.unit).unwrap_or_default(),
        Err(error) => return failed(world, number, "asking for the status", &error),
    };
    let record = new_id(world, kind, &unit)?;
    make(world, number, &Made { record, kind, unit })
}

/// A phone makes a record of this id.
fn make(world: &mut World, number: usize, made: &Made) -> Result<(), Wrong> {
    let device = &world.devices[number];
    let Some(process) = &device.process else { return Ok(()) };
    let (record, area) = (made.record, area_of(made.kind));
    let reach = office::reach(&world.roles[device.user]);
    let text = world.model.text(&record);
    let new = NewRecord { id: Some(record), values: json!({ "title": text }), submit: false };
    let done = process.book.import(made.kind, &[new]).and_then(|mut done| done.remove(0));
    let (name, kind) = (&device.name, made.kind);
    if let Err(error) = &done
        && matches!(error.kind, ErrorKind::NotFound | ErrorKind::BadInput)
    {
        world.ether.note(format_args!("{name} cannot make {record}: {:?}", error.kind));
        return Ok(());
    }
    if !reach.contains(&(made.unit.clone(), area)) {
        world.strays.insert(record);
    }
    world.ether.note(format_args!("{name} makes {kind} {record} with {text}: {}", done.is_ok()));
    if !world.ether.places(|places| places.make(&record, area, &made.unit)) {
        world.elsewhere.insert((number, record));
    }
    world.made.push(made.clone());
    world.model.write(record, "title", text, Some(number), &Seen::new(), done.is_ok());
    done.map_or_else(|error| failed(world, number, "making a record", &error), |_| Ok(()))
}

/// A record that somebody made, and a phone of the same unit that lacks it: it may have the same list, and not have heard.
pub fn lacking(world: &World, held: &[RecordId]) -> Vec<(usize, Made)> {
    let mut found = Vec::new();
    // Two versions of a form make two different records.
    let made = world.made.iter().filter(|made| !world.plan.versions && held.contains(&made.record));
    for made in made.filter(|made| !world.strays.contains(&made.record)) {
        for (number, device) in world.devices.iter().enumerate().skip(1).filter(|(_, device)| device.enrolled) {
            let reads = office::reach(&world.roles[device.user]).contains(&(made.unit.clone(), area_of(made.kind)));
            let of_unit = reads && USERS[device.user].1 == made.unit;
            let lacks =
                |book: &Fieldbook| book.record(made.record).is_err_and(|error| error.kind == ErrorKind::NotFound);
            if of_unit && device.process.as_ref().is_some_and(|process| lacks(&process.book)) {
                found.push((number, made.clone()));
            }
        }
    }
    found
}

/// A phone takes a record from its list that was erased for ever just now, before it has heard of that.
pub fn make_late(world: &mut World, number: usize, made: &Made) -> Result<(), Wrong> {
    if world.devices[number].disk.is_dead() { Ok(()) } else { make(world, number, made) }
}

/// A record as a list of the office names it.
#[derive(Clone)]
pub struct Made {
    /// The record.
    pub record: RecordId,
    kind: &'static str,
    unit: String,
}

/// The id of a new record: now and then one that somebody of the same unit has used, because both took it from one list;
/// it may have been erased for ever meanwhile.
fn new_id(world: &mut World, kind: &str, unit: &str) -> Result<RecordId, Wrong> {
    // Two versions of a form make two different records.
    if !world.plan.versions && world.chance.one_in(3) {
        let gone = world.chance.one_in(3);
        let alike = world.made.iter().filter(|made| made.kind == kind && made.unit == unit).map(|made| made.record);
        let alike: Vec<RecordId> = alike.filter(|record| !gone || world.purged.contains(record)).collect();
        if let Some(record) = world.chance.pick(&alike) {
            return Ok(*record);
        }
    }
    let bytes: Vec<u8> = (0..2).flat_map(|_| world.chance.draw().to_le_bytes()).collect();
    RecordId::from_slice(&bytes).map_err(|error| error.to_string())
}

/// Some record of a phone.
pub fn some_record(world: &mut World, number: usize) -> Option<RecordView> {
    let book = std::sync::Arc::clone(&world.devices[number].process.as_ref()?.book);
    let first = [0, 0, 0, 1, 2, 3][world.chance.below(6)];
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
#[derive(Default)]
struct Wish {
    set: Map<String, Json>,
    add: Map<String, Json>,
    remove: Map<String, Json>,
    submit: bool,
    text: Option<(String, String)>,
    /// Repeat and first field, where the text is in a row that is added.
    added: Option<(&'static str, &'static str)>,
}

impl Wish {
    fn put(&mut self, place: String, text: String) {
        self.set.insert(place.clone(), json!(text));
        self.text = Some((place, text));
    }
}

fn wish(world: &mut World, view: &RecordView) -> Wish {
    let text = world.model.text(&view.id);
    let mut wish = Wish::default();
    let (repeat, first, _) = REPEATS[world.chance.below(REPEATS.len())];
    let rows = model::rows(view, repeat);
    let row = world.chance.pick(&rows).cloned();
    match (world.chance.below(16), row) {
        (0, _) => wish.submit = true,
        (1, _) => wish.put(STAGE.to_owned(), text),
        (2, _) => {
            let chosen: Vec<&str> = CHOICES.iter().copied().filter(|_| world.chance.one_in(2)).collect();
            wish.set.insert(TOPICS.to_owned(), json!(chosen));
        }
        (3, Some(row)) => drop(wish.remove.insert(repeat.to_owned(), json!([row]))),
        (4..=6, Some(row)) => {
            let field = if repeat == "people" && world.chance.one_in(2) { NICK } else { first };
            wish.put(format!("{repeat}[{row}]/{field}"), text);
        }
        (4..=8, _) => {
            let around =
                if repeat == CALLS { world.chance.pick(&model::rows(view, AROUND_CALLS)).cloned() } else { None };
            wish.add.insert(repeat.to_owned(), json!([{ first: text, "_parent": around }]));
            wish.text = Some((String::new(), text));
            wish.added = Some((repeat, first));
        }
        _ => {
            let field = FIELDS[world.chance.below(FIELDS.len())];
            wish.put(field.to_owned(), text);
        }
    }
    wish
}

fn edit(world: &mut World, number: usize) -> Result<(), Wrong> {
    match some_record(world, number) {
        Some(view) => edit_view(world, number, &view),
        None => create(world, number),
    }
}

/// Somebody edits a record that the phone has.
pub fn edit_one(world: &mut World, number: usize, record: RecordId) -> Result<(), Wrong> {
    let view = world.devices[number].process.as_ref().and_then(|process| process.book.record(record).ok());
    view.map_or(Ok(()), |view| edit_view(world, number, &view))
}

fn edit_view(world: &mut World, number: usize, view: &RecordView) -> Result<(), Wrong> {
    let wish = wish(world, view);
    let barred = wish.set.contains_key(STAGE);
    write(world, number, view, wish)?;
    if !barred {
        return Ok(());
    }
    // What builds on what will not be taken.
    for _ in 0..world.chance.below(3) {
        let again = world.devices[number].process.as_ref().and_then(|process| process.book.record(view.id).ok());
        let Some(view) = again else { return Ok(()) };
        let text = world.model.text(&view.id);
        let mut wish = Wish::default();
        wish.put(FIELDS[world.chance.below(FIELDS.len())].to_owned(), text);
        write(world, number, &view, wish)?;
    }
    Ok(())
}

fn write(world: &mut World, number: usize, view: &RecordView, wish: Wish) -> Result<(), Wrong> {
    let Some(process) = &world.devices[number].process else { return Ok(()) };
    let patch = Patch { id: view.id, set: wish.set, add: wish.add, remove: wish.remove, submit: wish.submit };
    let what = format!("{} {} {} {}", json!(patch.set), json!(patch.add), json!(patch.remove), patch.submit);
    let done = process.book.edit(&[patch]).and_then(|mut done| done.remove(0));
    let place = match (&wish.text, wish.added, &done) {
        (Some((_, text)), Some((repeat, first)), Ok(_)) => place_of(&process.book, view, repeat, first, text),
        (Some((place, _)), None, _) => Some(place.clone()),
        _ => None,
    };
    let name = &world.devices[number].name;
    let what: String = what.chars().take(NOTED_CHARS_MAX).collect();
    world.ether.note(format_args!("{name} edits {}: {what}: {}", view.id, said(&done)));
    match done {
        Ok(saved) => {
            if saved.change.is_some() {
                screens::looked_at(world, number, view.id, &model::shown(view));
            }
            if let (Some(place), Some((_, text)), Some(_)) = (place, wish.text, saved.change) {
                world.model.write(view.id, &place, text, Some(number), &model::shown(view), true);
            }
            Ok(())
        }
        Err(error) => {
            if let Some((_, text)) = wish.text {
                // It may be there all the same: the process may have died behind the commit.
                world.model.blurred.insert(view.id);
                world.model.write(view.id, &place.unwrap_or_default(), text, Some(number), &model::shown(view), false);
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

/// What a save came to, in the trace.
pub fn said(done: &Result<Saved, ClientError>) -> String {
    match done {
        Ok(saved) if saved.change.is_some() => "saved".to_owned(),
        Ok(_) => "nothing new".to_owned(),
        Err(error) => format!("{:?}", error.kind),
    }
}

/// The place of a text in a row that was just added.
fn place_of(book: &Fieldbook, before: &RecordView, repeat: &str, first: &str, text: &str) -> Option<String> {
    let after = book.record(before.id).ok()?;
    let row =
        model::rows_of(&after, repeat).find(|row| row[first].as_str() == Some(text))?["_row"].as_str()?.to_owned();
    Some(format!("{repeat}[{row}]/{first}"))
}

fn resolve(world: &mut World, number: usize) -> Result<(), Wrong> {
    let Some(view) = some_record(world, number) else { return Ok(()) };
    let Some(conflict) = world.chance.pick(&view.conflicts) else { return Ok(()) };
    let Some(process) = &world.devices[number].process else { return Ok(()) };
    let own = world.chance.one_in(2) && !conflict.path.ends_with("_removed") && !conflict.path.starts_with(TOPICS);
    let text = world.model.text(&view.id);
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
    if done.as_ref().is_ok_and(|saved| saved.change.is_some()) {
        screens::looked_at(world, number, view.id, &model::shown(&view));
    }
    if own {
        world.model.write(view.id, &conflict.path, text, Some(number), &model::shown(&view), done.is_ok());
    }
    if !own || done.is_err() {
        // A value that was there is written a second time: texts do not tell the two apart.
        world.model.blurred.insert(view.id);
    }
    done.map_or_else(|error| failed(world, number, "deciding", &error), |_| Ok(()))
}
