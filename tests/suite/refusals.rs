//! What a server does not take, and what a phone cannot store: said with what, where and why; honest work goes on.

mod damaged;
mod full;

use std::collections::BTreeSet;
use std::sync::Arc;

use fieldbook_core::client::{ErrorKind, Fieldbook, NotTakenView};
use fieldbook_core::ids::RecordId;
use fieldbook_core::ports::Clock;
use fieldbook_core::store::SyncState;
use fieldbook_server::store::Store;
use fieldbook_server::system::{SystemClock, SystemRandom};
use serde_json::{Value, json};

use super::inside::Inside;
use super::office::{NOTE, Office, Phone, pair, sync_all};

const NEIGHBOUR: &str = "632323101";

/// A record that both phones and the server hold.
fn shared(a: &Phone, b: &Phone) -> RecordId {
    let record = a.create(NOTE, None, json!({ "title": "一户" }));
    sync_all(&[a, b]);
    record
}

/// Reason, path and text of every answer that was not taken.
fn left_out(not_taken: &[NotTakenView]) -> Vec<(&str, &str, &str)> {
    let fields = not_taken.iter().flat_map(|one| one.fields.iter().map(|field| (one.reason.as_str(), field)));
    fields.map(|(reason, field)| (reason, field.path.as_str(), field.shown.as_str())).collect()
}

/// Reason and fields of everything in quarantine.
fn quarantined(waiting: &Value) -> BTreeSet<(String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let fields = |item: &Value| item["fields"].as_array().unwrap().iter().map(text).collect();
    waiting.as_array().unwrap().iter().map(|item| (text(&item["reason"]), fields(item))).collect()
}

#[test]
fn one_change_beyond_the_role_holds_up_nothing_before_or_behind_it() {
    let office = Office::open();
    let (a, b) = office.two();
    let county = office.county();
    let record = shared(&a, &b);
    a.set(record, "remark", "之前");
    let both = json!({ "stage": "approved", "size": 4 });
    a.try_edit(record, &both, &Value::Null, &Value::Null).unwrap();
    a.set(record, "phone", "之后");
    a.add(record, "people", json!({ "name": "后来的人" }));
    let other = a.create(NOTE, None, json!({ "title": "另一户" }));
    let report = a.sync();
    assert!(report.not_taken > 0);
    sync_all(&[&a, &b]);

    for phone in [&a, &b] {
        let values = phone.record(record).values;
        assert_eq!(values["remark"], "之前");
        assert_eq!(values["phone"], "之后");
        assert_eq!(values["size"], 4, "what was allowed of the same save");
        assert_eq!(values["people"][0]["name"], "后来的人");
        assert_eq!(values.get("stage"), None);
    }
    assert_eq!(a.record(record).heads, b.record(record).heads);
    assert_eq!(b.value(other, "/title"), "另一户");
    let page = county.page(record)["values"].clone();
    assert_eq!((&page["remark"], &page["phone"], page.get("stage")), (&json!("之前"), &json!("之后"), None));

    let view = a.record(record);
    assert_eq!(view.sync, SyncState::NotTaken);
    assert_eq!(left_out(&view.not_taken), [("role", "stage", "approved")], "{:?}", view.not_taken);
    assert_eq!(a.book.status().unwrap().store.outbox_changes, 0);
    assert!(b.record(record).not_taken.is_empty());

    let waiting = county.get("quarantine");
    assert!(quarantined(&waiting).contains(&("role".to_owned(), vec!["stage".to_owned()])), "{waiting}");
    let number = waiting.as_array().unwrap().iter().find(|item| item["reason"] == "role").unwrap()["id"].clone();
    county.post(&format!("quarantine/{number}/admit"), &json!({})).unwrap();
    assert_eq!(county.page(record)["values"]["stage"], "approved");
    sync_all(&[&a, &b]);
    for phone in [&a, &b] {
        let view = phone.record(record);
        assert_eq!((&view.values["stage"], &view.values["phone"]), (&json!("approved"), &json!("之后")));
    }
    assert_eq!(a.record(record).heads, b.record(record).heads);
    let view = a.record(record);
    assert!(view.not_taken.is_empty() && view.sync == SyncState::OnServer, "it was taken after all: {view:?}");
    assert!(office.world.server.administer(&["verify"]).is_ok());
}

#[test]
fn what_a_revoked_phone_uploads_waits_for_a_supervisor() {
    let office = Office::open();
    let (a, b) = office.two();
    let county = office.county();
    let record = shared(&a, &b);
    a.set(record, "remark", "撤销前写的");
    let devices = county.get("devices");
    let device = devices.as_array().unwrap().iter().find(|device| device["user_name"] == "多杰").unwrap();
    let device = device["id"].as_str().unwrap().to_owned();
    county.post(&format!("devices/{device}/revoke"), &json!({})).unwrap();
    for _ in 0..2 {
        let error = a.try_sync().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Revoked, "{error}");
        assert!(!error.message.is_empty());
    }
    b.sync();
    assert_eq!(b.value(record, "/remark"), Value::Null);
    let waiting = county.get("quarantine");
    assert_eq!(waiting.as_array().unwrap().len(), 1, "{waiting}");
    assert_eq!((&waiting[0]["reason"], &waiting[0]["user_name"]), (&json!("revoked"), &json!("多杰")));
    county.post(&format!("quarantine/{}/admit", waiting[0]["id"]), &json!({})).unwrap();
    b.sync();
    assert_eq!(b.value(record, "/remark"), "撤销前写的");
}

#[test]
fn a_form_knows_what_its_user_saved_before_a_refusal_elsewhere() {
    let world = Inside::new();
    let (a, b) = (world.phone("a", "duojie"), world.phone("b", "maxiuying"));
    let (record, other) = (shared(&a, &b), shared(&a, &b));
    let form = a.book.open_form(NOTE, Some(record)).unwrap();
    a.set(record, "phone", "1");
    b.set(record, "remark", "b");
    // What is not taken of another record gives the whole phone another actor.
    a.set(other, "stage", "approved");
    sync_all(&[&b, &a]);
    assert_eq!(a.record(other).sync, SyncState::NotTaken);
    form.set("phone", &json!("2")).unwrap();
    form.set("remark", &json!("a")).unwrap();
    form.save().unwrap();
    sync_all(&[&a, &b]);
    for phone in [&a, &b] {
        assert_eq!(phone.value(record, "/phone"), json!("2"));
        assert!(phone.sides(record, "phone").is_empty(), "both are of the same person, one after the other");
        assert_eq!(phone.sides(record, "remark"), pair(("多杰", "a"), ("马秀英", "b")));
    }
}

#[test]
fn a_form_that_was_open_while_a_refusal_changed_its_record_still_saves() {
    let office = Office::open();
    let (a, b) = office.two();
    let record = shared(&a, &b);
    a.set(record, "size", 3);
    a.try_edit(record, &json!({ "stage": "approved", "phone": "1" }), &Value::Null, &Value::Null).unwrap();
    let form = a.book.open_form(NOTE, Some(record)).unwrap();
    b.set(record, "remark", "b");
    sync_all(&[&b, &a]);
    assert_eq!(a.record(record).sync, SyncState::NotTaken, "the record was made anew without what was not taken");
    form.set("remark", &json!("a")).unwrap();
    drop(form);
    // The draft goes on where its form was opened.
    let form = a.book.open_form(NOTE, Some(record)).unwrap();
    form.set("phone", &json!("2")).unwrap();
    form.save().unwrap();
    sync_all(&[&a, &b]);
    for phone in [&a, &b] {
        assert_eq!(phone.sides(record, "remark"), pair(("多杰", "a"), ("马秀英", "b")));
        assert_eq!((phone.value(record, "/phone"), phone.value(record, "/size")), (json!("2"), json!(3)));
        assert!(phone.sides(record, "phone").is_empty(), "what the same person wrote before was seen");
    }
}

#[test]
fn what_is_written_into_a_unit_that_the_user_has_left_waits_in_quarantine() {
    let office = Office::open();
    let server = &office.world.server;
    server.administer(&["unit", "add", NEIGHBOUR, "麦秀镇工会", "--parent", "632323"]).unwrap();
    let (a, b) = office.two();
    let county = office.county();
    let (record, half) = (shared(&a, &b), shared(&a, &b));
    let (give, take) = (format!("field@{NEIGHBOUR}"), "field@632323100");
    server.administer(&["user", "role", "duojie", "--give", &give, "--take", take]).unwrap();
    a.set(record, "remark", "调走之后写的");
    let fresh = a.create(NOTE, None, json!({ "title": "原单位的新户", "people": [{ "name": "新人" }] }));
    a.book.open_form(NOTE, Some(half)).unwrap().set("remark", &json!("没写完")).unwrap();
    let report = a.sync();
    assert!(report.not_taken > 0, "{report:?}");
    b.sync();
    assert_eq!(b.value(record, "/remark"), Value::Null);
    assert!(b.book.record(fresh).is_err());
    let waiting = county.get("quarantine");
    assert!(!waiting.as_array().unwrap().is_empty());
    assert!(waiting.as_array().unwrap().iter().all(|item| item["reason"] == "foreign_unit"), "{waiting}");
    assert_eq!(waiting.as_array().unwrap().len(), 2, "{waiting}");
    // What the user may no longer read is no longer on the phone; what this user alone wrote is.
    for record in [record, fresh, half] {
        assert_eq!(a.book.record(record).unwrap_err().kind, ErrorKind::NotFound);
    }
    own_work_is_readable(&a, record, fresh, half);
    let a = a.again();
    own_work_is_readable(&a, record, fresh, half);
    a.book.dismiss_not_taken(fresh).unwrap();
    assert_eq!(a.book.not_taken(0, 100).unwrap().len(), 1);
    for item in waiting.as_array().unwrap() {
        county.post(&format!("quarantine/{}/admit", item["id"]), &json!({})).unwrap();
    }
    b.sync();
    assert_eq!(b.value(record, "/remark"), "调走之后写的");
    assert_eq!(b.value(fresh, "/title"), "原单位的新户");
    // The others work on.
    b.set(record, "remark", "留下的人写的");
    b.sync();
    assert_eq!(county.page(record)["values"]["remark"], "留下的人写的");
}

/// What was not taken, and what is half written, of records that have left the phone.
fn own_work_is_readable(a: &Phone, record: RecordId, fresh: RecordId, half: RecordId) {
    let told = a.book.not_taken(0, 100).unwrap();
    let of = |id: RecordId| told.iter().filter(|one| one.record == id).cloned().collect::<Vec<_>>();
    assert_eq!(left_out(&of(record)), [("foreign_unit", "remark", "调走之后写的")]);
    let new = of(fresh);
    let shown: Vec<&str> = left_out(&new).into_iter().map(|(_, _, shown)| shown).collect();
    assert!(shown.contains(&"原单位的新户") && shown.contains(&"新人"), "{new:?}");
    assert_eq!(
        (new[0].kind.as_str(), new[0].title.as_str(), of(record)[0].title.as_str()),
        (NOTE, "原单位的新户", "一户")
    );
    assert_eq!(told.iter().map(|one| one.record).collect::<BTreeSet<_>>(), BTreeSet::from([record, fresh]));
    let status = a.book.status().unwrap().store;
    assert_eq!((status.not_taken, status.outbox_changes, status.drafts), (2, 0, 1));
    let form = a.book.open_form(NOTE, Some(half)).unwrap();
    let remark = form.questions().unwrap().into_iter().find(|asked| asked.path == "remark").unwrap();
    assert_eq!(remark.value, json!("没写完"));
    assert_eq!(form.save().unwrap_err().kind, ErrorKind::NotFound);
}

/// The system's clock, so many milliseconds ago.
struct Ago(i64);

impl Clock for Ago {
    fn now_ms(&self) -> i64 {
        SystemClock::new().now_ms() - self.0
    }
    fn boot_ms(&self) -> u64 {
        0
    }
}

#[test]
fn an_enrolment_code_is_refused_after_a_day() {
    const HOUR_MS: i64 = 3_600_000;
    let office = Office::open();
    let data = office.world.home("server");
    let link = office.world.link("duojie");
    let code = link.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    // Codes drawn in the past, in the folder of the running server.
    let drawn = |hours: i64| {
        let clock = Arc::new(Ago(hours * HOUR_MS));
        let store = Store::open(&data, None, clock, Arc::new(SystemRandom)).unwrap();
        link.replace(&code, &store.new_enrolment("duojie", 1).unwrap().code)
    };
    let (late, in_time) = (drawn(25), drawn(23));
    let book: Arc<Fieldbook> = super::office::open(&office.world.home("late")).unwrap();
    let error = book.enrol(&late, "test").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error:?}");
    assert!(error.message.contains("expired"), "{error}");
    assert!(book.status().unwrap().enrolment.is_none(), "nothing half");
    assert_eq!(book.sync(&(), &Default::default()).unwrap_err().kind, ErrorKind::NotEnrolled);
    assert_eq!(book.enrol(&in_time, "test").unwrap().user_name, "多杰");
}
