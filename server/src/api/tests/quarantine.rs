//! What waits in quarantine, and what admitting it does.

use fieldbook_core::document::RawChange;
use fieldbook_core::forms::{FieldPath, Scalar};
use fieldbook_core::ids::{ActorId, RowId};
use serde_json::Value;

use super::*;
use crate::testing::Phone;

/// What admitting said of each change: its number, whether it was taken, why not.
fn outcomes(told: &Value) -> Vec<(i64, bool, String)> {
    let one = |change: &Value| {
        (change["id"].as_i64().unwrap(), change["taken_as"].is_string(), change["reason"].as_str().unwrap().to_owned())
    };
    told["changes"].as_array().unwrap().iter().map(one).collect()
}

/// Path, value and what stands there now of each answer that a quarantined change would write.
fn written(page: &Value) -> Value {
    page["writes"].as_array().unwrap().iter().map(|one| json!([one["path"], one["value"], one["before"]])).collect()
}

/// Number, reason and fields of everything that waits.
async fn waiting(county: &Supervisor<'_>) -> Vec<(i64, String, Vec<String>)> {
    let (_, waiting) = county.get("quarantine").await;
    let one = |item: &Value| {
        let fields = item["fields"].as_array().unwrap().iter().map(|field| field.as_str().unwrap().to_owned());
        (item["id"].as_i64().unwrap(), item["reason"].as_str().unwrap().to_owned(), fields.collect())
    };
    waiting.as_array().unwrap().iter().map(one).collect()
}

fn fine(server: &TestServer) {
    assert!(server.store.verify().unwrap().iter().all(|check| check.faults.is_empty()));
}

fn add(row: RowId) -> Edit {
    Edit::AddRow { repeat: "people".to_owned(), row, parent: None }
}

fn person(row: RowId, name: &str) -> Edit {
    let path = FieldPath::in_row("people/person", "people", row);
    Edit::Set { path, value: Some(Scalar::Text(name.to_owned())) }
}

/// A record that the server holds, a save of which one field is not allowed, and a later one that builds on it.
struct Scene {
    phone: Phone,
    record: RecordId,
    /// Without the two.
    before: Document,
    row: RowId,
    barred: RawChange,
}

async fn scene(server: &TestServer) -> Scene {
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let record = RecordId::new(server.random.as_ref());
    let row = RowId::random(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let created = phone.save(&mut document, START_MS, &[set("name", "n")]);
    let before = document.clone();
    let at_ms = START_MS + 60_000;
    let barred = phone.save(&mut document, at_ms, &[set("stage", "approved"), add(row), person(row, "x")]);
    let later = phone.save(&mut document, at_ms + 1_000, &[set("phone", "1"), person(row, "y"), submit()]);
    let told = verdicts(&phone.sync(server, record, &[created, barred.clone(), later.clone()]).await);
    let expected = [(barred.hash, "role".to_owned()), (later.hash, "depends_on_quarantined".to_owned())];
    assert_eq!(told, expected);
    Scene { phone, record, before, row, barred }
}

impl Scene {
    /// The phone issues again what it may, as it does when it has read the verdicts; answers what it is told then.
    async fn issue_again(&mut self, server: &TestServer) -> Vec<(fieldbook_core::ids::ChangeHash, String)> {
        self.phone.actor = ActorId::random(server.random.as_ref());
        let (mut document, at_ms) = (self.before.clone(), START_MS + 60_000);
        let first = self.phone.save(&mut document, at_ms, &[add(self.row), person(self.row, "x")]);
        let second = [set("phone", "1"), person(self.row, "y"), submit()];
        let second = self.phone.save(&mut document, at_ms + 1_000, &second);
        let told = verdicts(&self.phone.sync(server, self.record, &[first.clone(), second.clone()]).await);
        told.into_iter().filter(|(hash, _)| [first.hash, second.hash].contains(hash)).collect()
    }
}

#[tokio::test]
async fn what_is_not_allowed_waits_in_quarantine_and_never_blocks() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let created = phone.save(&mut document, START_MS, &[set("name", "n")]);
    let barred = phone.save(&mut document, START_MS, &[set("stage", "approved")]);
    let later = phone.save(&mut document, START_MS, &[set("phone", "1")]);
    let (barred_hash, later_hash) = (barred.hash, later.hash);
    let answer = phone.sync(&server, record, &[created, barred, later]).await;
    let told = verdicts(&answer);
    assert_eq!(told[0], (barred_hash, "role".to_owned()));
    assert_eq!(told[1], (later_hash, "depends_on_quarantined".to_owned()));
    let county = server.supervisor("c", "6301", Role::County).await;
    let (_, waiting) = county.get("quarantine").await;
    assert_eq!(waiting.as_array().unwrap().len(), 2);
    let (id, next) = (waiting[0]["id"].as_i64().unwrap(), waiting[1]["id"].as_i64().unwrap());
    let (_, page) = county.get(&format!("quarantine/{id}")).await;
    assert_eq!(written(&page), json!([["stage", "approved", null]]));
    // It is known whose record it is, without opening it.
    assert_eq!((&waiting[0]["here"], &waiting[0]["values"]["name"]), (&json!(true), &json!("n")));
    let (status, _) = county.post(&format!("quarantine/{next}/admit"), json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (status, told) = county.post(&format!("quarantine/{id}/admit"), json!({})).await;
    assert_eq!(
        (status, outcomes(&told)),
        (StatusCode::OK, vec![(id, true, String::new()), (next, true, String::new())])
    );
    let (_, page) = county.get(&format!("records/{record}")).await;
    assert_eq!((page["values"]["stage"].as_str(), page["values"]["phone"].as_str()), (Some("approved"), Some("1")));
    assert!(server.store.verify().unwrap().iter().all(|check| check.faults.is_empty()));
}

#[tokio::test]
async fn admitting_takes_what_waited_only_for_it_and_says_what_waits_on() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let mut changes = Vec::new();
    for edit in [
        set("name", "n"),
        set("stage", "approved"),
        set("phone", "1"),
        set("stage", "closed"),
        set("card", "6222021234567890"),
    ] {
        changes.push(phone.save(&mut document, START_MS, &[edit]));
    }
    phone.sync(&server, record, &changes).await;
    let county = server.supervisor("c", "6301", Role::County).await;
    let ids: Vec<i64> = waiting(&county).await.into_iter().map(|(id, ..)| id).collect();
    assert_eq!(ids.len(), 4);
    let (status, told) = county.post(&format!("quarantine/{}/admit", ids[0]), json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let (role, depends) = ("role".to_owned(), "depends_on_quarantined".to_owned());
    let taken = |id| (id, true, String::new());
    let expected = [taken(ids[0]), taken(ids[1]), (ids[2], false, role.clone()), (ids[3], false, depends.clone())];
    assert_eq!(outcomes(&told), expected);
    let left = [(ids[2], role, vec!["stage".to_owned()]), (ids[3], depends, Vec::new())];
    assert_eq!(waiting(&county).await, left);
    let (_, page) = county.get(&format!("quarantine/{}", ids[2])).await;
    assert_eq!(written(&page), json!([["stage", "closed", "approved"]]));
    let (_, page) = county.get(&format!("records/{record}")).await;
    assert_eq!((page["values"]["stage"].as_str(), page["values"]["phone"].as_str()), (Some("approved"), Some("1")));
    let (_, told) = county.post(&format!("quarantine/{}/admit", ids[2]), json!({})).await;
    assert_eq!(outcomes(&told), [taken(ids[2]), taken(ids[3])]);
    let (_, page) = county.get(&format!("records/{record}")).await;
    assert_eq!((page["values"]["stage"].as_str(), page["conflicts"].as_array().unwrap().len()), (Some("closed"), 0));
    assert!(waiting(&county).await.is_empty());
    fine(&server);
}

#[tokio::test]
async fn of_what_was_issued_again_only_the_rest_waits_and_is_taken() {
    let server = TestServer::new();
    let mut scene = scene(&server).await;
    let told = scene.issue_again(&server).await;
    assert_eq!(told, []);
    let county = server.supervisor("c", "6301", Role::County).await;
    let left = waiting(&county).await;
    assert_eq!(left.len(), 1, "{left:?}");
    let id = left[0].0;
    assert_eq!(left, [(id, "role".to_owned(), vec!["stage".to_owned()])]);
    let (_, page) = county.get(&format!("quarantine/{id}")).await;
    assert_eq!((written(&page), &page["admissible"]), (json!([["stage", "approved", null]]), &json!(true)));
    // Somebody has corrected the phone number meanwhile: what was issued again must not come up beside it.
    let (_, page) = county.get(&format!("records/{}", scene.record)).await;
    let corrector = server.supervisor("d", "6301", Role::County).await;
    let edit = json!({ "set": { "phone": "2" }, "heads": page["heads"] });
    assert_eq!(corrector.post(&format!("records/{}/edit", scene.record), edit).await.0, StatusCode::OK);

    let (status, told) = county.post(&format!("quarantine/{id}/admit"), json!({})).await;
    assert_eq!((status, outcomes(&told)), (StatusCode::OK, vec![(id, true, String::new())]));
    assert_ne!(told["changes"][0]["taken_as"], json!(scene.barred.hash.to_string()));
    let (_, page) = county.get(&format!("records/{}", scene.record)).await;
    let values = &page["values"];
    assert_eq!((values["stage"].as_str(), values["phone"].as_str()), (Some("approved"), Some("2")));
    assert_eq!((values["people"].as_array().unwrap().len(), values["people"][0]["person"].as_str()), (1, Some("y")));
    assert_eq!(page["conflicts"], json!([]));
    // Her name stands for it in the history, beside his whose value it is; that does not make her an author.
    let stage = page["history"].as_array().unwrap().iter().find(|entry| entry["wrote"][0]["path"] == "stage").unwrap();
    assert_eq!((stage["author"].as_str(), stage["admitted_for"].as_str()), (Some("c"), Some("多杰")));
    assert_eq!(decide(&county, scene.record, "approve", "").await, super::told(StatusCode::OK, "approved"));
    assert!(waiting(&county).await.is_empty());
    // The phone is told, so that it no longer shows the answer as not taken.
    let told = verdicts(&scene.phone.sync(&server, scene.record, &[]).await);
    assert!(told.contains(&(scene.barred.hash, "taken".to_owned())), "{told:?}");
    fine(&server);
}

#[tokio::test]
async fn what_comes_again_after_it_was_admitted_changes_nothing() {
    let server = TestServer::new();
    let mut scene = scene(&server).await;
    let county = server.supervisor("c", "6301", Role::County).await;
    let ids: Vec<i64> = waiting(&county).await.into_iter().map(|(id, ..)| id).collect();
    let (_, told) = county.post(&format!("quarantine/{}/admit", ids[0]), json!({})).await;
    assert_eq!(outcomes(&told), [(ids[0], true, String::new()), (ids[1], true, String::new())]);
    let (_, page) = county.get(&format!("records/{}", scene.record)).await;
    let edit = json!({ "set": { "phone": "2" }, "heads": page["heads"] });
    assert_eq!(county.post(&format!("records/{}/edit", scene.record), edit).await.0, StatusCode::OK);
    let (_, before) = county.get(&format!("records/{}", scene.record)).await;
    // The phone had read the verdicts before that, and only now has a network again.
    let told = scene.issue_again(&server).await;
    assert_eq!(told.iter().map(|(_, reason)| reason.as_str()).collect::<Vec<_>>(), ["taken", "taken"]);
    let (_, after) = county.get(&format!("records/{}", scene.record)).await;
    assert_eq!(before, after);
    assert_eq!(after["values"]["phone"], "2");
    assert!(waiting(&county).await.is_empty());
    fine(&server);
}

#[tokio::test]
async fn what_a_revoked_device_sent_is_admitted_one_by_one() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let county = server.supervisor("c", "6301", Role::County).await;
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let first = phone.save(&mut document, START_MS, &[set("name", "n")]);
    let second = phone.save(&mut document, START_MS, &[set("phone", "1")]);
    county.post(&format!("devices/{}/revoke", phone.device), json!({})).await;
    let told = verdicts(&phone.sync(&server, record, &[first, second]).await);
    assert_eq!(told.iter().map(|(_, reason)| reason.as_str()).collect::<Vec<_>>(), ["revoked", "revoked"]);
    let ids: Vec<i64> = waiting(&county).await.into_iter().map(|(id, ..)| id).collect();
    let (_, told) = county.post(&format!("quarantine/{}/admit", ids[0]), json!({})).await;
    assert_eq!(outcomes(&told), [(ids[0], true, String::new()), (ids[1], false, "revoked".to_owned())]);
    let (_, told) = county.post(&format!("quarantine/{}/admit", ids[1]), json!({})).await;
    assert_eq!(outcomes(&told), [(ids[1], true, String::new())]);
    let (_, page) = county.get(&format!("records/{record}")).await;
    assert_eq!((page["values"]["name"].as_str(), page["values"]["phone"].as_str()), (Some("n"), Some("1")));
}

#[tokio::test]
async fn both_values_of_a_sensitive_answer_are_masked() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let county = server.supervisor("c", "6301", Role::County).await;
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let first = phone.save(&mut document, START_MS, &[set("card", "6222021234567890")]);
    phone.sync(&server, record, &[first]).await;
    county.post(&format!("devices/{}/revoke", phone.device), json!({})).await;
    let second = phone.save(&mut document, START_MS, &[set("card", "6222021234561111")]);
    phone.sync(&server, record, &[second]).await;
    let id = waiting(&county).await[0].0;
    let (_, page) = county.get(&format!("quarantine/{id}")).await;
    assert_eq!(written(&page), json!([["card", "************1111", "************7890"]]));
    // Of a record that is not here the list shows what waits, as masked as anywhere.
    let other = RecordId::new(server.random.as_ref());
    let mut document = Document::create(other, form().definition()).unwrap();
    let named = phone.save(&mut document, START_MS, &[set("name", "n"), set("id_no", "11010519491231002X")]);
    let later = phone.save(&mut document, START_MS + 1_000, &[set("phone", "1")]);
    phone.sync(&server, other, &[named, later]).await;
    let (_, list) = county.get("quarantine").await;
    for item in &list.as_array().unwrap()[1..] {
        assert_eq!((&item["here"], &item["values"]["name"]), (&json!(false), &json!("n")));
        assert!(!item.to_string().contains("1949"), "{item}");
    }
}

#[tokio::test]
async fn an_author_who_may_not_read_the_record_keeps_the_verdict() {
    let server = TestServer::new();
    let mut phone = server.phone("外人", "b", Role::Field).await;
    phone.unit = "a".to_owned();
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let change = phone.save(&mut document, START_MS, &[set("name", "n")]);
    phone.sync(&server, record, std::slice::from_ref(&change)).await;
    let county = server.supervisor("c", "6301", Role::County).await;
    let id = waiting(&county).await[0].0;
    let (_, page) = county.get(&format!("quarantine/{id}")).await;
    assert_eq!(
        (&page["here"], &page["values"], written(&page)),
        (&json!(false), &json!({ "name": "n" }), json!([["name", "n", null]]))
    );
    let (_, told) = county.post(&format!("quarantine/{id}/admit"), json!({})).await;
    assert_eq!(outcomes(&told), [(id, true, String::new())]);
    // The answer was lost on its way, and the entry is in a feed that this phone never sees.
    let told = verdicts(&phone.sync(&server, record, &[]).await);
    assert_eq!(told, [(change.hash, "foreign_unit".to_owned())]);
    fine(&server);
}

#[tokio::test]
async fn much_that_waits_for_another_unit_hides_nothing() {
    let server = TestServer::new();
    let scene = scene(&server).await;
    let copies = "INSERT INTO quarantine(hash, record, kind, created_version, form_version, unit, area, device, user, actor,
          reason, fields, statement, item, bytes, time_s, received_ms)
        SELECT ?1, record, kind, created_version, form_version, ?2, area, device, user, actor, reason, fields, statement,
          item, bytes, time_s, received_ms FROM quarantine WHERE hash = ?3";
    let copy = |tx: &crate::sql::Connection, unit: &str| {
        let mut hash = [0; 32];
        rand_bytes(&server, &mut hash);
        tx.prepare(copies)?.execute((hash, unit, scene.barred.hash.0))?;
        Ok::<_, crate::store::StoreError>(())
    };
    server
        .store
        .write(|tx| {
            (0..5_100).try_for_each(|_| copy(tx, "b"))?;
            copy(tx, "a")
        })
        .unwrap();
    let near = server.supervisor("近", "a", Role::County).await;
    let found = waiting(&near).await;
    assert_eq!(found.len(), 3);
    let far = server.supervisor("远", "b", Role::County).await;
    let (_, first) = far.get("quarantine").await;
    let last = first.as_array().unwrap().last().unwrap()["id"].as_i64().unwrap();
    let (_, second) = far.get(&format!("quarantine?after={last}")).await;
    assert_eq!((first.as_array().unwrap().len(), second.as_array().unwrap().len()), (200, 200));
    assert!(second[0]["id"].as_i64().unwrap() > last);
}

fn rand_bytes(server: &TestServer, bytes: &mut [u8]) {
    use fieldbook_core::ports::Random;
    server.random.fill(bytes);
}

#[tokio::test]
async fn many_are_decided_on_at_once_and_what_is_put_away_can_be_taken_up_again() {
    let server = TestServer::new();
    let scene = scene(&server).await;
    let county = server.supervisor("c", "6301", Role::County).await;
    let ids: Vec<i64> = waiting(&county).await.into_iter().map(|(id, ..)| id).collect();
    let decide = |decision: &str, ids: &[i64]| json!({ "decision": decision, "ids": ids });
    let done = |told: &Value| -> Vec<bool> {
        told.as_array().unwrap().iter().map(|one| one["done"].as_bool().unwrap()).collect()
    };
    for bad in [decide("forget", &ids), decide("leave", &[]), decide("leave", &[1; 201])] {
        assert_eq!(county.post("quarantine/decisions", bad).await.1["type"], "request_malformed");
    }
    let other = server.supervisor("x", "b", Role::County).await;
    let (_, told) = other.post("quarantine/decisions", decide("leave", &ids)).await;
    assert_eq!((done(&told), &told[0]["problem"]["type"]), (vec![false, false], &json!("quarantine_unknown")));

    let (_, told) = county.post("quarantine/decisions", decide("leave", &[ids[0], ids[1], 999])).await;
    assert_eq!(done(&told), [true, true, false]);
    assert!(waiting(&county).await.is_empty());
    assert_eq!(county.get("today").await.1["quarantined"], 0);
    let (_, away) = county.get("quarantine?left=true").await;
    assert_eq!((away.as_array().unwrap().len(), away[0]["left_ms"].is_i64()), (2, true));
    let (_, told) = county.post("quarantine/decisions", decide("take_up", &ids[1..])).await;
    assert_eq!(done(&told), [true]);
    assert_eq!(waiting(&county).await.len(), 1);
    // The second is taken with the first, put away or not.
    let (_, told) = county.post("quarantine/decisions", decide("admit", &ids)).await;
    assert_eq!(done(&told), [true, true], "{told}");
    assert!(waiting(&county).await.is_empty());
    assert!(county.get("quarantine?left=true").await.1.as_array().unwrap().is_empty());
    assert_eq!(county.get(&format!("records/{}", scene.record)).await.1["values"]["stage"], "approved");
    let top = server.supervisor("顶", "63", Role::Province).await;
    for (action, times) in [("put_away", 2), ("take_up", 1), ("admit", 2)] {
        let (_, log) = top.get(&format!("audit?action={action}")).await;
        assert_eq!(log.as_array().unwrap().len(), times, "{action}: {log}");
    }
    fine(&server);
}

#[tokio::test]
async fn what_is_hidden_in_a_quarantined_change_is_shown_to_whoever_asks_and_that_is_logged() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let created = phone.save(&mut document, START_MS, &[set("name", "n")]);
    let barred = phone.save(&mut document, START_MS, &[set("stage", "approved"), set("card", "6222021234567890")]);
    phone.sync(&server, record, &[created, barred]).await;
    let county = server.supervisor("c", "6301", Role::County).await;
    let id = waiting(&county).await[0].0;
    let card = |page: &Value| {
        let found = page["writes"].as_array().unwrap().iter().find(|one| one["path"] == "card");
        found.unwrap()["value"].as_str().unwrap().to_owned()
    };
    let (_, page) = county.get(&format!("quarantine/{id}")).await;
    assert_eq!((card(&page).as_str(), &page["masked"]), ("************7890", &json!(["card"])));
    let (_, page) = county.get(&format!("quarantine/{id}?reveal=card")).await;
    assert_eq!((card(&page).as_str(), &page["masked"]), ("6222021234567890", &json!([])));
    let top = server.supervisor("顶", "63", Role::Province).await;
    let (_, log) = top.get("audit?action=reveal").await;
    assert_eq!((&log[0]["subject"], &log[0]["detail"]), (&json!(record.to_string()), &json!("card")));
}
