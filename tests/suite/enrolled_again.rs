//! A phone whose vault lost its key, a phone that was cloned: nothing is signed with a wrong key, nothing is sent that
//! was signed for another device, and no work is lost.

use fieldbook_core::client::ErrorKind;
use serde_json::{Value, json};

use super::inside::{Fault, Inside, close, copy, sync_once};
use super::office::{NOTE, Phone, id};

const DEVICE_KEY: &str = "vault/device-key";

/// Statements in the store of a phone that is closed.
fn statements(world: &Inside, name: &str) -> u64 {
    let home = world.home(name);
    let key = std::fs::read(home.join("vault/database-key")).unwrap();
    let key: &[u8; 32] = key.as_slice().try_into().unwrap();
    let store = fieldbook_sqlite::open(&home.join("fieldbook.db"), key, None).unwrap();
    store.query_row("SELECT count(*) FROM statement", [], |row| row.get(0)).unwrap()
}

/// A phone that has work on the server, work that it stated and that never arrived, and work that it has not stated; and
/// another phone.
fn worked() -> (Inside, Phone, Phone) {
    let world = Inside::new();
    let (a, b) = (world.phone("a", "duojie"), world.phone("b", "maxiuying"));
    a.create(NOTE, Some(id(1)), json!({ "title": "已同步" }));
    a.sync();
    b.sync();
    a.set(id(1), "remark", "签过名，没送到");
    a.create(NOTE, Some(id(2)), json!({ "title": "签过名，没送到" }));
    world.line.break_after(0, Fault::CutUp(0));
    assert_eq!(sync_once(&a).unwrap_err().kind, ErrorKind::Network);
    a.create(NOTE, Some(id(3)), json!({ "title": "没签名" }));
    world.line.carried();
    (world, a, b)
}

fn all_arrived(world: &Inside, a: &Phone, b: &Phone) {
    a.sync();
    b.sync();
    a.sync();
    for number in 1..=3 {
        assert_eq!(a.record(id(number)).heads, b.record(id(number)).heads);
        assert_eq!(a.record(id(number)).values, b.record(id(number)).values);
        assert!(a.record(id(number)).conflicts.is_empty() && a.record(id(number)).not_taken.is_empty());
    }
    assert_eq!(b.value(id(1), "/remark"), "签过名，没送到");
    assert_eq!((b.value(id(2), "/title"), b.value(id(3), "/title")), (json!("签过名，没送到"), json!("没签名")));
    assert_eq!(a.book.status().unwrap().store.outbox_changes, 0);
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE hash IS NOT NULL"), 4, "each save, once");
    assert_eq!(world.count("SELECT count(*) FROM quarantine"), 0);
    world.verify();
}

#[test]
fn a_phone_whose_vault_lost_its_key_signs_and_sends_nothing_until_it_is_enrolled_again() {
    let other_key = [5; 32];
    for replaced in [Some(other_key), None] {
        let (world, a, b) = worked();
        close(a);
        let stated = statements(&world, "a");
        let file = world.home("a").join(DEVICE_KEY);
        match replaced {
            Some(key) => std::fs::write(&file, key).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let a = world.at("a");
        let error = sync_once(&a).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotEnrolled, "{error:?}");
        assert!(error.message.contains("enrol again"), "{error}");
        assert!(world.line.carried().is_empty(), "something was sent");
        close(a);
        assert_eq!(statements(&world, "a"), stated, "something was signed");

        // With the right key again, or as a new device: what was saved arrives.
        let a = world.at("a");
        a.book.enrol(&world.link("duojie"), "again").unwrap();
        all_arrived(&world, &a, &b);
        let devices = world.store.devices().unwrap();
        assert_eq!(devices.iter().filter(|device| device.name == "again" && device.revoked_ms.is_none()).count(), 1);
    }
}

#[test]
fn the_right_key_put_back_is_enough() {
    let (world, a, b) = worked();
    let file = a.home.join(DEVICE_KEY);
    let key = std::fs::read(&file).unwrap();
    std::fs::write(&file, [5; 32]).unwrap();
    assert_eq!(sync_once(&a).unwrap_err().kind, ErrorKind::NotEnrolled);
    std::fs::write(&file, key).unwrap();
    all_arrived(&world, &a, &b);
}

#[test]
fn only_the_same_user_takes_over_a_phone_that_lost_its_key() {
    let (world, a, b) = worked();
    assert_eq!(a.book.enrol(&world.link("duojie"), "again").unwrap_err().kind, ErrorKind::BadInput, "its key is there");
    std::fs::write(a.home.join(DEVICE_KEY), [5; 32]).unwrap();
    let error = a.book.enrol(&world.link("maxiuying"), "again").unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadInput);
    assert!(error.message.contains("多杰"), "{error}");
    assert_eq!(a.book.status().unwrap().enrolment.unwrap().user_name, "多杰");
    assert_eq!(sync_once(&a).unwrap_err().kind, ErrorKind::NotEnrolled);
    let elsewhere = Inside::new();
    assert_eq!(a.book.enrol(&elsewhere.link("duojie"), "again").unwrap_err().kind, ErrorKind::BadInput);
    a.book.enrol(&world.link("duojie"), "again").unwrap();
    all_arrived(&world, &a, &b);
}

#[test]
fn verdicts_on_the_new_device_are_heard_from_the_first() {
    let (world, a, b) = worked();
    let decide = |number| a.try_edit(id(number), &json!({ "stage": "approved" }), &Value::Null, &Value::Null).unwrap();
    decide(1);
    decide(2);
    a.sync();
    assert_eq!(a.book.not_taken(0, 10).unwrap().len(), 2);
    std::fs::write(a.home.join(DEVICE_KEY), [5; 32]).unwrap();
    a.book.enrol(&world.link("duojie"), "again").unwrap();
    decide(3);
    a.sync();
    // The new device's verdicts are numbered from 1 again.
    let told: Vec<_> = a.book.not_taken(0, 10).unwrap().into_iter().map(|one| one.record).collect();
    assert_eq!(told, [id(1), id(2), id(3)]);
    assert_eq!(a.book.status().unwrap().store.outbox_changes, 0);
    b.sync();
    assert_eq!(b.record(id(3)).heads, a.record(id(3)).heads);
}

#[test]
fn a_request_whose_signature_does_not_fit_is_refused_and_changes_nothing() {
    let (world, a, b) = worked();
    let before = world.count("SELECT sum(counter) FROM devices");
    world.line.break_after(0, Fault::Forged);
    let error = sync_once(&a).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error:?}");
    assert!(error.detail.contains("signature"), "{error:?}");
    assert_eq!(world.count("SELECT sum(counter) FROM devices"), before);
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE hash IS NOT NULL"), 1);
    all_arrived(&world, &a, &b);
}

#[test]
fn a_cloned_phone_states_its_work_anew_under_an_actor_of_its_own() {
    let world = Inside::new();
    let (a, b) = (world.phone("a", "duojie"), world.phone("b", "maxiuying"));
    a.create(NOTE, Some(id(1)), json!({ "title": "一户" }));
    a.sync();
    close(a);
    // Folder and vault: both say that they are the same device.
    copy(&world.home("a"), &world.home("clone"));
    let (a, clone) = (world.at("a"), world.at("clone"));
    a.set(id(1), "remark", "原机写的");
    a.create(NOTE, Some(id(2)), json!({ "title": "只有原机有" }));
    a.sync();
    clone.set(id(1), "remark", "复制机写的");
    clone.create(NOTE, Some(id(3)), json!({ "title": "只有复制机有" }));
    let actors = "SELECT count(*) FROM actors";
    let before = world.count(actors);
    clone.sync();
    assert_eq!(world.count(actors), before + 1, "the clone writes under an actor of its own");
    for phone in [&a, &clone, &b, &a, &clone, &b] {
        phone.sync();
    }
    for phone in [&a, &clone, &b] {
        for number in 1..=3 {
            assert_eq!(phone.record(id(number)).heads, b.record(id(number)).heads);
        }
        assert_eq!(phone.sides(id(1), "remark").len(), 2, "both sides are shown");
        assert_eq!(
            (phone.value(id(2), "/title"), phone.value(id(3), "/title")),
            (json!("只有原机有"), json!("只有复制机有"))
        );
        assert!(phone.book.not_taken(0, 10).unwrap().is_empty());
        assert_eq!(phone.book.status().unwrap().store.outbox_changes, 0);
    }
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE hash IS NOT NULL"), 5, "each save, once");
    world.verify();
}
