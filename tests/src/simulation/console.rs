//! What a supervisor does at the console.

use fieldbook_core::access::Decision;
use fieldbook_core::document::Document;
use fieldbook_core::forms::{Edit, FieldPath, FormDefinition, Scalar};
use fieldbook_core::ids::{ChangeHash, RecordId};
use fieldbook_server::store::{Asked, StoreError};

use super::Wrong;
use super::forms::{FIELDS, STAGE};
use super::model::Seen;
use super::office;
use super::restores::Stage;
use super::work::{self, server_failed};
use super::world::World;

/// Pages open at the console.
const PAGES_MAX: usize = 4;
/// Records that a world loses for ever, at most.
const PURGES_MAX: usize = 4;

/// A record as somebody at the console read it.
pub struct Page {
    record: RecordId,
    heads: Vec<ChangeHash>,
    shown: Seen,
}

/// The supervisor reads, writes, decides, admits; now and then a record is erased for ever.
pub fn work(world: &mut World) -> Result<(), Wrong> {
    let drawn = world.chance.below(18);
    match world.restore {
        Stage::NoBackup | Stage::Confirmed => {}
        // What only the server knows would be lost with it; what it erased is not.
        Stage::BackedUp if drawn >= 16 => {}
        Stage::BackedUp | Stage::Waits => return Ok(()),
    }
    match drawn {
        0..=5 => read_page(world),
        6..=11 => write_page(world),
        12..=13 => decide(world),
        16..=17 if world.plan.purges => purge(world),
        _ => admit(world),
    }
}

fn seen_at(form: &FormDefinition, document: &Document, field: &str) -> Vec<String> {
    let path = FieldPath::root(field);
    let mut texts: Vec<String> = Vec::new();
    let mut add = |value: Option<&Scalar>| {
        if let Some(Scalar::Text(text)) = value {
            texts.push(text.clone());
        }
    };
    add(document.read(form).fields.get(field));
    for conflict in document.conflicts(form).iter().filter(|conflict| conflict.path == path) {
        conflict.values.iter().for_each(|side| add(side.value.as_ref()));
    }
    texts
}

fn read_page(world: &mut World) -> Result<(), Wrong> {
    let (Some(store), Some(boss)) = (world.office.some_store(), world.office.boss()) else { return Ok(()) };
    let held = match office::records(&store) {
        Ok(held) => held,
        Err(error) => return server_failed(world, "listing", &error),
    };
    let Some(held) = world.chance.pick(&held).cloned() else { return Ok(()) };
    let shown = std::cell::RefCell::new(Seen::new());
    let read = store.edit_record(&boss, held.id, &held.heads, |form, document| {
        let seen = FIELDS.iter().chain([&STAGE]);
        *shown.borrow_mut() =
            seen.map(|field| ((*field).to_owned(), seen_at(form.definition(), document, field))).collect();
        Ok(Vec::new())
    });
    if let Err(error) = read {
        return server_failed(world, "reading a page", &error);
    }
    if world.pages.len() >= PAGES_MAX {
        world.pages.remove(0);
    }
    world.pages.push(Page { record: held.id, heads: held.heads, shown: shown.into_inner() });
    Ok(())
}

fn write_page(world: &mut World) -> Result<(), Wrong> {
    let (Some(store), Some(boss)) = (world.office.some_store(), world.office.boss()) else { return Ok(()) };
    if world.pages.is_empty() {
        return read_page(world);
    }
    let at = world.chance.below(world.pages.len());
    let page = world.pages.swap_remove(at);
    let field = [FIELDS[world.chance.below(FIELDS.len())], STAGE][world.chance.below(2)];
    let text = world.model.text(&page.record);
    let edit = Edit::Set { path: FieldPath::root(field), value: Some(Scalar::Text(text.clone())) };
    let done = store.edit_record(&boss, page.record, &page.heads, |_, _| Ok(vec![edit.clone()]));
    world.ether.note(format_args!("the supervisor writes {text} as {field} of {}: {}", page.record, done.is_ok()));
    if done.is_err() {
        world.model.blurred.insert(page.record);
    }
    world.model.write(page.record, field, text, None, &page.shown, done.is_ok());
    done.map_or_else(|error| server_failed(world, "editing", &error), |_| Ok(()))
}

fn decide(world: &mut World) -> Result<(), Wrong> {
    let (Some(store), Some(boss)) = (world.office.some_store(), world.office.boss()) else { return Ok(()) };
    let Some(page) = world.pages.pop() else { return read_page(world) };
    let decision = [Decision::Return, Decision::Return, Decision::Approve, Decision::Void][world.chance.below(4)];
    let asked = Asked { decision, heads: page.heads, reasons: "so it is".to_owned(), fields: Vec::new() };
    let done = store.decide(&boss, page.record, &asked);
    world.ether.note(format_args!("the supervisor decides {decision:?} on {}: {}", page.record, done.is_ok()));
    done.map_or_else(|error| server_failed(world, "deciding", &error), |_| Ok(()))
}

fn admit(world: &mut World) -> Result<(), Wrong> {
    let (Some(store), Some(boss)) = (world.office.some_store(), world.office.boss()) else { return Ok(()) };
    let waiting = match store.quarantine_list(boss.id, 0, false) {
        Ok(waiting) => waiting,
        Err(error) => return server_failed(world, "listing the quarantine", &error),
    };
    let Some(item) = world.chance.pick(&waiting) else { return Ok(()) };
    if let Ok(record) = item.record.parse() {
        // Its author may have issued a part of it again meanwhile.
        world.model.blurred.insert(record);
        world.admitted.insert(record);
    }
    let done = store.admit(&boss, item.id);
    world.ether.note(format_args!("the supervisor admits {} of {}: {}", item.change, item.record, done.is_ok()));
    done.map_or_else(|error| server_failed(world, "admitting", &error), |_| Ok(()))
}

fn purge(world: &mut World) -> Result<(), Wrong> {
    let (Some(store), Some(boss)) = (world.office.some_store(), world.office.boss()) else { return Ok(()) };
    if world.purged.len() >= PURGES_MAX {
        return Ok(());
    }
    let asked = || Ok::<_, StoreError>((office::records(&store)?, store.quarantine_list(boss.id, 0, false)?));
    let (held, waiting) = match asked() {
        Ok(asked) => asked,
        Err(error) => return server_failed(world, "listing", &error),
    };
    let held: Vec<RecordId> = held.iter().map(|held| held.id).collect();
    let waiting: Vec<RecordId> = waiting.iter().filter_map(|item| item.record.parse().ok()).collect();
    let lacking = work::lacking(world, &held);
    let late = world.chance.pick(&lacking).cloned();
    let chosen = match world.chance.below(3) {
        0 => world.chance.pick(&waiting),
        1 => late.as_ref().map(|(_, made)| &made.record),
        // The oldest are what phones work on most.
        _ => world.chance.pick(&held[..held.len().min(6)]),
    };
    let Some(record) = chosen.copied() else { return Ok(()) };
    let done = store.purge_record(Some(&boss), record, "it was made by mistake");
    world.ether.note(format_args!("the supervisor purges {record}: {}", done.is_ok()));
    match done {
        Ok(()) => {
            world.purged.insert(record);
            match late.filter(|(_, made)| made.record == record) {
                Some((number, made)) => work::make_late(world, number, &made),
                None => Ok(()),
            }
        }
        Err(error) => {
            world.perhaps_purged.insert(record);
            server_failed(world, "purging", &error)
        }
    }
}
