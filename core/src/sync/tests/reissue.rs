//! Changes that the server does not take, and what survives of them.

use super::*;
use crate::document::ChangeState;
use crate::document::tests::{add, form, row, set, text};
use crate::forms::{Edit, FieldPath};

#[test]
fn a_quarantined_change_in_the_middle_blocks_nothing() {
    let mut world = World::new(2);
    world.sync_all();
    let (record, other) = (world.record(), world.record());
    world.phones[0].save(record, 1, &[set("name", "before")]);
    // `decided` is for county supervisors; the name in the same save is allowed.
    let bad = world.phones[0].save(record, 2, &[set("decided", "approved"), set("name", "with it")]).unwrap();
    let after = world.phones[0]
        .save(record, 3, &[Edit::Set { path: "age".parse().unwrap(), value: Some(crate::forms::Scalar::Integer(40)) }])
        .unwrap();
    world.phones[0].save(other, 4, &[set("name", "another record")]);
    let actor = world.phones[0].data.actor;
    let events = world.sync(0);
    assert!(events.contains(&PhoneEvent::NotTaken { record, reason: "role".to_owned() }));
    assert_ne!(world.phones[0].data.actor, actor, "a new actor for the whole installation");
    world.sync_all();
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
    for phone in &world.phones {
        assert_eq!(phone.shown(&record, "name").as_deref(), Some("with it"));
        assert_eq!(phone.values(&record).fields.get("age"), Some(&crate::forms::Scalar::Integer(40)));
        assert_eq!(phone.shown(&record, "decided"), None);
        assert_eq!(phone.shown(&other, "name").as_deref(), Some("another record"));
    }
    assert_eq!(world.server.data.quarantine.len(), 2);
    assert_eq!(world.server.data.quarantine[&after].0.reason, "depends_on_quarantined");
    let left = &world.phones[0].data.not_taken;
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].change, left[0].reason.as_str()), (bad, "role"));
    assert_eq!(left[0].fields.len(), 1);
    assert_eq!(
        (left[0].fields[0].path.to_string(), left[0].fields[0].value.clone()),
        ("decided".to_owned(), text("approved"))
    );
    assert_eq!(world.phones[0].status(&bad), Some(ChangeState::NotTaken));
    assert!(!world.exchange(0, Fault::default()).result.unwrap().progress);
}

#[test]
fn saves_made_after_the_verdict_was_on_its_way_survive() {
    let mut world = World::new(2);
    world.sync_all();
    let record = world.record();
    world.phones[0].save(record, 1, &[set("decided", "approved")]);
    // The verdict is written, and its answer is lost; the user goes on meanwhile.
    world.exchange(0, Fault { cut_up: None, cut_down: Some(0) });
    world.phones[0].save(record, 2, &[set("name", "later")]);
    world.sync_all();
    assert_eq!(world.phones[1].shown(&record, "name").as_deref(), Some("later"));
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
    assert_eq!(world.server.data.quarantine.len(), 1);
    assert_eq!(world.phones[0].data.not_taken.len(), 1);
}

#[test]
fn an_admitted_change_comes_back_to_its_author() {
    let mut world = World::new(2);
    world.sync_all();
    let record = world.record();
    world.phones[0].save(record, 1, &[set("name", "a")]);
    let bad = world.phones[0].save(record, 2, &[set("decided", "approved")]).unwrap();
    world.sync_all();
    assert_eq!(world.phones[0].shown(&record, "decided"), None);
    world.server.admit(&bad, NOW_MS);
    world.sync_all();
    for phone in &world.phones {
        assert_eq!(phone.shown(&record, "decided").as_deref(), Some("approved"));
    }
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
    assert!(world.phones[0].data.outbox.is_empty());
}

#[test]
fn a_change_that_is_not_the_stated_one_is_refused_and_blocks_nothing() {
    let mut world = World::new(2);
    world.sync_all();
    let (record, other) = (world.record(), world.record());
    let bad = world.phones[0].save(record, 1, &[set("name", "a")]).unwrap();
    world.phones[0].save(other, 2, &[set("name", "b")]);
    let own = world.phones[0].data.outbox.iter_mut().find(|own| own.hash == bad).unwrap();
    *own.bytes.last_mut().unwrap() ^= 1;
    world.sync_all();
    assert_eq!(world.phones[0].data.verdicts[&bad].reason, "malformed");
    assert_eq!(world.phones[1].shown(&other, "name").as_deref(), Some("b"));
    assert_eq!(world.phones[0].data.not_taken.len(), 1);
    assert_eq!(world.phones[0].picture().get(&other), world.phones[1].picture().get(&other));
}

#[test]
fn an_actor_of_another_device_costs_no_work() {
    let mut world = World::new(2);
    world.sync_all();
    let record = world.record();
    let actor = world.phones[0].data.actor;
    world.phones[0].save(record, 1, &[set("name", "of the first")]);
    world.sync_all();
    // The second phone was restored from the first one's backup and enrolled as a device of its own: what it saves before
    // it has heard of that carries the first one's actor.
    world.phones[1].data.actor = actor;
    let own = world.record();
    let made = world.phones[1].save(own, 2, &[set("name", "of the second")]).unwrap();
    let changed = world.phones[1].save(record, 3, &[set("name", "changed")]).unwrap();
    let events = world.sync(1);
    assert!(events.contains(&PhoneEvent::Forked), "{events:?}");
    assert_ne!(world.phones[1].data.actor, actor);
    world.sync_all();
    assert_eq!(world.phones[0].picture(), world.phones[1].picture());
    for phone in &world.phones {
        assert_eq!(phone.shown(&own, "name").as_deref(), Some("of the second"));
        assert_eq!(phone.shown(&record, "name").as_deref(), Some("changed"));
        assert!(!phone.data.documents[&own].contains(&made) && !phone.data.documents[&record].contains(&changed));
        assert!(phone.data.not_taken.is_empty());
    }
    let of = |world: &World, phone: usize| world.phones[phone].data.identity.device;
    // No statement under the first one's actor was ever taken from the second.
    let row = &world.server.data.devices[&of(&world, 1)].row;
    assert!(row.statement > 0 && world.phones[1].data.statements.keys().all(|number| *number <= row.statement));
    assert!(!world.exchange(1, Fault::default()).result.unwrap().progress);
}

/// A damaged store may lose statements, and keep word of how far the server is.
#[test]
fn a_phone_whose_statements_are_lost_goes_on_behind_the_servers_last_one() {
    for left in 0..3 {
        let mut world = World::new(2);
        world.sync_all();
        let record = world.record();
        for n in 1..4 {
            world.phones[0].save(record, n, &[set("name", &format!("{n}"))]);
            world.sync(0);
        }
        world.phones[0].data.statements.retain(|number, _| *number <= left);
        for n in 4..8 {
            world.phones[0].save(record, n, &[set("name", &format!("{n}"))]);
        }
        let mut sent = 0;
        for _ in 0..6 {
            sent += world.exchange(0, Fault::default()).result.unwrap().stats.changes_sent;
        }
        assert_eq!(sent, 4, "with {left} statements left");
        world.sync_all();
        assert_eq!(world.phones[1].shown(&record, "name").as_deref(), Some("7"), "with {left} statements left");
        assert_eq!(world.phones[0].picture(), world.phones[1].picture());
    }
}

/// A repeat of a newer form is added to a record on the spot. Its first row may build on what is not taken.
#[test]
fn the_first_row_of_a_newer_forms_repeat_survives_what_it_builds_on() {
    let mut world = World::new(2);
    world.sync_all();
    let record = world.record();
    world.phones[0].save(record, 1, &[set("name", "before")]);
    world.sync_all();
    let mut newer = form("2");
    let mut day = newer.fields.iter().find(|field| field.path == "visits/note").unwrap().clone();
    (day.path, day.repeat) = ("calls/day".to_owned(), Some("calls".to_owned()));
    newer.fields.push(day);
    newer.repeats.push(("calls".to_owned(), None));
    newer.version = "3".to_owned();
    world.server.publish(newer, NOW_MS);
    world.sync_all();
    world.phones[0].save(record, 2, &[set("decided", "approved")]);
    let path = FieldPath::in_row("calls/day".to_owned(), "calls", row(1));
    world.phones[0].save(record, 3, &[add("calls", 1), Edit::Set { path, value: text("monday") }]);
    world.sync_all();
    assert_eq!(world.phones[0].data.not_taken.len(), 1, "{:?}", world.phones[0].data.not_taken);
    for phone in &world.phones {
        assert_eq!(phone.values(&record).rows["calls"][0].fields.get("calls/day").cloned(), text("monday"));
    }
}
