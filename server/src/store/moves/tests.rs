use fieldbook_core::access::Role;
use fieldbook_core::document::Document;
use fieldbook_core::sync::server::{Fate, ServerLog};
use serde_json::json;

use super::*;
use crate::store::StoreLog;
use crate::testing::{START_MS, TestServer, form, set, verdicts};

/// A record of unit `a`.
async fn record(server: &TestServer) -> RecordId {
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let record = RecordId([1; 16]);
    let mut document = Document::create(record, form().definition()).unwrap();
    let first = phone.save(&mut document, START_MS, &[set("name", "才让·卓玛")]);
    let second = phone.save(&mut document, START_MS, &[set("phone", "13900000000")]);
    phone.sync(server, record, &[first, second]).await;
    record
}

fn word(answer: Result<(), StoreError>) -> &'static str {
    match answer {
        Err(StoreError::Problem(problem)) => problem.word,
        other => panic!("no problem but {other:?}"),
    }
}

fn faults(server: &TestServer) -> Vec<String> {
    server.store.verify().unwrap().into_iter().flat_map(|check| check.faults).collect()
}

fn count(server: &TestServer, sql: &str) -> u64 {
    server.store.read(|tx| Ok::<_, StoreError>(tx.query_row(sql, (), |row| row.get(0))?)).unwrap()
}

#[tokio::test]
async fn who_decides_in_both_units_moves_a_record_and_nobody_else() {
    let server = TestServer::new();
    let record = record(&server).await;
    let path = format!("records/{record}/move");
    let body = |unit: &str, reason: &str| json!({ "unit": unit, "reason": reason });
    let field = server.supervisor("马", "a", Role::Field).await;
    assert_eq!(field.post(&path, body("b", "x")).await.0, 403);
    let of_a = server.supervisor("甲", "a", Role::County).await;
    assert_eq!(of_a.post(&path, body("b", "x")).await.0, 403);
    let of_b = server.supervisor("乙", "b", Role::County).await;
    assert_eq!(of_b.post(&path, body("b", "x")).await.0, 404, "what they may not read is not there");
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    assert_eq!(county.post(&path, body("b", " ")).await.0, 422);
    assert_eq!(county.post(&path, body("nowhere", "x")).await.0, 404);
    assert_eq!(county.post(&path, json!({ "unit": "b", "reason": "x", "with": ["no id"] })).await.0, 404);
    assert_eq!(count(&server, "SELECT count(*) FROM moves"), 0);

    assert_eq!(county.post(&path, body("b", "moved house")).await.0, 204);
    assert_eq!(county.post(&path, body("b", "moved house")).await.0, 204, "it is there already");
    assert_eq!(county.get(&format!("records/{record}")).await.1["unit"], "b");
    assert_eq!(of_a.get(&format!("records/{record}")).await.0, 404);
    assert_eq!(of_b.get(&format!("records/{record}")).await.0, 200);
    assert_eq!(count(&server, "SELECT count(*) FROM moves"), 1);
    assert_eq!(count(&server, "SELECT count(*) FROM audit WHERE action = 'move' AND detail = 'b: moved house'"), 1);
    assert!(faults(&server).is_empty(), "{:?}", faults(&server));
}

#[tokio::test]
async fn several_records_move_together_or_not_at_all() {
    let server = TestServer::new();
    let record = record(&server).await;
    let unknown = RecordId([9; 16]);
    assert_eq!(word(server.store.move_records(None, &[record, unknown], "b", "x")), "record_unknown");
    assert_eq!(count(&server, "SELECT count(*) FROM moves"), 0);
    assert_eq!(word(server.store.move_records(None, &[record; RECORDS_MAX + 1], "b", "x")), "request_malformed");
    server.store.move_records(None, &[record], "b", "x").unwrap();
    assert!(faults(&server).is_empty(), "{:?}", faults(&server));
}

#[tokio::test]
async fn a_record_does_not_go_where_its_form_does_not() {
    let server = TestServer::new();
    let record = record(&server).await;
    let survey = "type,name,label::English (en)\ntext,name,Name\n";
    let settings =
        "form_title,form_id,version,namespaces,fb:area\nVisit,note,2,\"fb=\"\"urn:fieldbook:form\"\"\",aid\n";
    let newer = fieldbook_core::forms::compile_sheets("note", &[("survey.csv", survey), ("settings.csv", settings)]);
    server.store.publish_form(&newer.unwrap(), Some("a")).unwrap();
    assert_eq!(word(server.store.move_records(None, &[record], "b", "x")), "form_not_there");
    server.store.move_records(None, &[record], "a", "x").unwrap();
}

#[tokio::test]
async fn a_device_that_did_not_follow_the_old_unit_cannot_write_there() {
    let server = TestServer::new();
    let record = record(&server).await;
    let mut stranger = server.phone("扎西", "b", Role::Field).await;
    let mut late = server.phone("马", "a", Role::Field).await;
    server.store.move_records(None, &[record], "b", "x").unwrap();
    let mut new = server.phone("才旦", "a", Role::Field).await;
    let write = async |phone: &mut crate::testing::Phone, value: &str| {
        let open = server.store.read(|tx| records::load(tx, record)).unwrap().unwrap();
        let mut document = Document::clone(&open.document);
        phone.unit = "a".to_owned();
        let change = phone.save(&mut document, START_MS, &[set("name", value)]);
        verdicts(&phone.sync(&server, record, &[change]).await)
            .into_iter()
            .map(|(_, reason)| reason)
            .collect::<Vec<_>>()
    };
    assert_eq!(write(&mut stranger, "1").await, ["foreign_unit"]);
    assert_eq!(write(&mut new, "2").await, ["foreign_unit"]);
    assert_eq!(write(&mut late, "3").await, Vec::<String>::new());
    assert_eq!(count(&server, "SELECT count(*) FROM told WHERE unit = 'b'"), 2, "both authors of another unit");
    assert!(faults(&server).is_empty(), "{:?}", faults(&server));
}

/// What a hub has shown a device, the device has not acknowledged at the server: it may have passed the entry by which it
/// would let go of the record.
#[tokio::test]
async fn a_late_change_that_a_hub_brings_is_answered_by_the_move_once_more() {
    for relayed in [false, true] {
        let server = TestServer::new();
        let record = record(&server).await;
        let late = server.phone("马", "a", Role::Field).await;
        let mut document = Document::create(record, form().definition()).unwrap();
        let changes = ["1", "2"].map(|name| late.save(&mut document, START_MS, &[set("name", name)]));
        server.store.move_records(None, &[record], "b", "x").unwrap();
        server.store.move_records(None, &[record], "6301", "x").unwrap();
        let feed = FeedId { unit: "a".to_owned(), area: Area::Aid };
        let mut log = StoreLog::new(&server.store).unwrap();
        let user = log.device(&late.device).unwrap().unwrap().user;
        log.begin().unwrap();
        log.claim_actor(&late.actor, &late.device, &user).unwrap();
        for (index, change) in (0..).zip(&changes) {
            let taken = TakenChange {
                device: late.device,
                user,
                actor: late.actor,
                statement: 1,
                index,
                feed: &feed,
                record,
                kind: "note",
                created_version: "1",
                form_version: "1",
                hash: change.hash,
                bytes: &change.bytes,
                received_ms: START_MS,
                quarantine: None,
                relayed,
            };
            assert!(matches!(log.take_change(&taken).unwrap(), Fate::Accepted(_)));
        }
        log.commit().unwrap();
        let said = server.store.read(|tx| {
            let text = "SELECT body FROM entries JOIN feeds ON feeds.id = feed WHERE unit = 'a' AND area = 'aid'";
            let mut statement = tx.prepare(text)?;
            let bodies = statement.query_map((), |row| row.get(0))?.collect::<Result<Vec<Vec<u8>>, _>>()?;
            Ok::<_, StoreError>(bodies)
        });
        let moves: Vec<(String, u64)> = said
            .unwrap()
            .iter()
            .filter_map(|body| match from_cbor(body) {
                Some(EntryBody::MovedOut { to, number, .. }) => Some((to.unit, number)),
                _ => None,
            })
            .collect();
        let (first, again) = (("b".to_owned(), 65_537), ("6301".to_owned(), 65_538));
        assert_eq!(moves, if relayed { vec![first, again] } else { vec![first] });
        assert!(faults(&server).is_empty(), "{:?}", faults(&server));
    }
}
