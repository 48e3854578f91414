use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use fieldbook_core::document::{Document, RawChange};
use fieldbook_core::forms::Edit;
use serde_json::{Value as Json, json};

use super::*;
use crate::testing::{Phone, START_MS, Supervisor, TestServer, form, set};

fn new(server: &TestServer) -> (RecordId, Document) {
    let record = RecordId::new(server.random.as_ref());
    (record, Document::create(record, form().definition()).unwrap())
}

async fn list(supervisor: &Supervisor<'_>, query: &str) -> Vec<Json> {
    let (status, list) = supervisor.get(&format!("exchanges{query}")).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    list["exchanges"].as_array().unwrap().clone()
}

async fn one(supervisor: &Supervisor<'_>, row: &Json) -> Json {
    let (status, page) = supervisor.get(&format!("exchanges/{}", row["id"])).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page
}

fn counts(row: &Json) -> [u64; 7] {
    ["changes", "records", "created", "conflicts", "doubles", "quarantined", "refused"]
        .map(|key| row[key].as_u64().unwrap())
}

async fn sync(server: &TestServer, phone: &mut Phone, record: RecordId, changes: &[RawChange]) {
    phone.sync(server, record, changes).await;
}

#[tokio::test]
async fn an_exchange_is_reported_with_what_it_did_and_nothing_else() {
    let server = TestServer::new();
    let mut first = server.phone("多杰", "a", Role::Field).await;
    let mut second = server.phone("马秀英", "a", Role::Field).await;
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    let (record, mut document) = new(&server);
    let created = first.save(&mut document, START_MS, &[set("name", "才让"), set("id_no", "11010519491231002X")]);
    let mut other = document.clone();
    let one_side = first.save(&mut document, START_MS, &[set("phone", "1")]);
    sync(&server, &mut first, record, &[created.clone(), one_side.clone()]).await;
    let rows = list(&county, "").await;
    assert_eq!((rows.len(), counts(&rows[0])), (1, [2, 1, 1, 0, 0, 0, 0]));
    assert_eq!((rows[0]["user_name"].as_str(), rows[0]["unit"].as_str()), (Some("多杰"), Some("a")));
    assert_eq!(rows[0]["relayed"], false);

    // Nothing to say of an exchange that brought nothing, or what was here already.
    sync(&server, &mut first, record, &[]).await;
    assert_eq!(list(&county, "").await.len(), 1);

    let other_side = second.save(&mut other, START_MS, &[set("phone", "2")]);
    sync(&server, &mut second, record, &[other_side]).await;
    let rows = list(&county, "?with=conflicts").await;
    assert_eq!((rows.len(), counts(&rows[0])), (1, [1, 1, 0, 1, 0, 0, 0]));
    let page = one(&county, &rows[0]).await;
    assert_eq!(page["listed"][0]["conflicts"], json!(["phone"]));
    assert_eq!(page["listed"][0]["values"]["name"], "才让");

    let (double, mut document) = new(&server);
    let created = second.save(&mut document, START_MS, &[set("name", "x"), set("id_no", "110105491231002")]);
    sync(&server, &mut second, double, &[created]).await;
    let rows = list(&county, "?with=doubles").await;
    assert_eq!((rows.len(), counts(&rows[0])), (1, [1, 1, 1, 0, 1, 0, 0]));
    let page = one(&county, &rows[0]).await;
    assert_eq!(
        (page["listed"][0]["record"].as_str(), page["listed"][0]["doubled"].as_bool()),
        (Some(&*double.to_string()), Some(true))
    );
    assert!(!page.to_string().contains("110105491231002"));
}

#[tokio::test]
async fn what_was_not_taken_is_reported_with_its_reason_once() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    let (record, mut document) = new(&server);
    let created = phone.save(&mut document, START_MS, &[set("name", "才让")]);
    let forbidden = phone.save(&mut document, START_MS, &[set("stage", "given by supervisors only")]);
    sync(&server, &mut phone, record, &[created, forbidden.clone()]).await;
    let rows = list(&county, "?with=quarantined").await;
    assert_eq!((rows.len(), counts(&rows[0])), (1, [1, 1, 1, 0, 0, 1, 0]));
    let page = one(&county, &rows[0]).await;
    assert_eq!((page["listed"][0]["quarantined"].as_u64(), &page["listed"][0]["reasons"]), (Some(1), &json!(["role"])));
    // The same again, a moment later: nothing new was set apart.
    server.clock.0.fetch_add(1_000, Ordering::SeqCst);
    sync(&server, &mut phone, record, &[forbidden]).await;
    assert_eq!(list(&county, "").await.len(), 1);
    assert!(list(&county, "?with=refused").await.is_empty());
}

#[tokio::test]
async fn reports_are_for_supervisors_of_the_unit_and_name_only_what_they_may_read() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let (record, mut document) = new(&server);
    let created = phone.save(&mut document, START_MS, &[set("name", "才让")]);
    sync(&server, &mut phone, record, &[created]).await;
    let of_a = server.supervisor("甲", "a", Role::County).await;
    let of_b = server.supervisor("乙", "b", Role::County).await;
    let field = server.supervisor("员", "a", Role::Field).await;
    let auditor = server.supervisor("审", "63", Role::Auditor).await;
    let rows = list(&of_a, "").await;
    assert_eq!((rows.len(), list(&auditor, "").await.len()), (1, 1));
    for other in [&of_b, &field] {
        assert!(list(other, "").await.is_empty());
        assert_eq!(other.get(&format!("exchanges/{}", rows[0]["id"])).await.0, StatusCode::NOT_FOUND);
    }
    assert_eq!(of_a.get("exchanges?unit=b").await.1["type"], "unit_unknown");
    assert_eq!(list(&auditor, "?unit=6301").await.len(), 1);
    assert_eq!(list(&of_a, &format!("?device={}", phone.device)).await.len(), 1);
    for query in ["?with=all", "?device=x", "?limit=x", "?nothing=1"] {
        assert_eq!(of_a.get(&format!("exchanges{query}")).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(of_a.get("exchanges/x").await.0, StatusCode::NOT_FOUND);
    // A record that has gone where a supervisor does not reach is no longer named to them.
    server.store.move_records(None, &[record], "b", "x").unwrap();
    let page = one(&of_a, &rows[0]).await;
    assert_eq!((page["listed"].as_array().unwrap().len(), page["unlisted"].as_u64()), (0, Some(1)));
    // One that was erased is named to nobody.
    server.store.purge_record(None, record, "x").unwrap();
    assert_eq!(one(&auditor, &rows[0]).await["listed"].as_array().unwrap().len(), 0);
    let faults: Vec<String> = server.store.verify().unwrap().into_iter().flat_map(|check| check.faults).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[tokio::test]
async fn reports_end_with_their_age() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let (record, mut document) = new(&server);
    let (mut ids, mut numbers) = (Vec::new(), 0);
    let mut save = |phone: &Phone| {
        numbers += 1;
        let edit: Edit = set("name", &numbers.to_string());
        phone.save(&mut document, START_MS, &[edit])
    };
    let change = save(&phone);
    sync(&server, &mut phone, record, &[change]).await;
    server.clock.0.fetch_add(AGE_MAX_MS + 1, Ordering::SeqCst);
    for _ in 0..64 {
        let change = save(&phone);
        sync(&server, &mut phone, record, &[change]).await;
    }
    let county = server.supervisor("王", "6301", Role::County).await.get("exchanges?limit=100").await.1;
    for row in county["exchanges"].as_array().unwrap() {
        ids.push(row["id"].as_i64().unwrap());
    }
    assert_eq!((ids.len(), ids.last()), (64, Some(&2)), "the first one is gone");
}
