use fieldbook_core::access::Role;
use fieldbook_core::document::Document;
use fieldbook_core::forms::Edit;
use fieldbook_core::protocol::{Down, EntryBody};
use serde_json::json;

use super::*;
use crate::testing::{START_MS, TestServer, form, set, verdicts};

fn faults(server: &TestServer) -> Vec<String> {
    server.store.verify().unwrap().into_iter().flat_map(|check| check.faults).collect()
}

fn word(answer: Result<(), StoreError>) -> &'static str {
    match answer {
        Err(StoreError::Problem(problem)) => problem.word,
        other => panic!("no problem but {other:?}"),
    }
}

fn bodies(answer: &[Down]) -> Vec<&'static str> {
    let name = |message: &Down| match message {
        Down::Entry { entry, .. } => match &entry.body {
            EntryBody::Change { .. } => Some("change"),
            EntryBody::Erased(_) => Some("erased"),
            EntryBody::Purge { .. } => Some("purge"),
            EntryBody::Notice(fieldbook_core::protocol::Notice::Review(_)) => Some("review"),
            _ => None,
        },
        _ => None,
    };
    answer.iter().filter_map(name).collect()
}

#[tokio::test]
async fn a_purged_record_is_gone_for_ever_and_blocks_nobody() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let (record, other) = (RecordId([1; 16]), RecordId([2; 16]));
    let mut document = Document::create(record, form().definition()).unwrap();
    let first = phone.save(&mut document, START_MS, &[set("name", "才让·卓玛")]);
    let submitted = phone.save(&mut document, START_MS, &[Edit::Submit { at: "2026-06-01T00:00:00+08:00".into() }]);
    phone.sync(&server, record, &[first.clone(), submitted]).await;
    let quarantined = phone.save(&mut document, START_MS, &[set("stage", "秘密")]);
    phone.sync(&server, record, &[quarantined]).await;
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    let heads: Vec<String> = server.store.page_unmasked(record, "en").unwrap().heads;
    let reasons = json!({ "heads": heads, "reasons": "才让 wrote it twice" });
    assert_eq!(county.post(&format!("records/{record}/return"), reasons).await.0, 200);

    assert_eq!(county.post(&format!("records/{record}/purge"), json!({ "reason": " " })).await.0, 422);
    let field = server.supervisor("马", "a", Role::Field).await;
    assert_eq!(field.post(&format!("records/{record}/purge"), json!({ "reason": "x" })).await.0, 403);
    assert_eq!(county.post(&format!("records/{record}/purge"), json!({ "reason": "asked for" })).await.0, 204);
    assert_eq!(county.get(&format!("records/{record}")).await.0, 404);
    assert!(faults(&server).is_empty(), "{:?}", faults(&server));
    let left: i64 =
        server.store.read(|tx| Ok(tx.query_row("SELECT count(*) FROM quarantine", (), |row| row.get(0))?)).unwrap();
    assert_eq!(left, 0);
    if let Ok(wal) = std::fs::metadata(server.store.folder().join("fieldbook.db-wal")) {
        assert_eq!(wal.len(), 0, "the write-ahead log is empty");
    }

    // The same change again, and one that builds on it, from a phone that knows of nothing.
    let later = phone.save(&mut document, START_MS, &[set("name", "again")]);
    let answer = phone.sync(&server, record, &[first, later]).await;
    assert!(verdicts(&answer).iter().all(|(_, reason)| reason == "purged"));
    assert_eq!(verdicts(&answer).len(), 3, "the quarantined one's verdict is gone with it, but for the purge");
    assert_eq!(bodies(&answer), ["erased", "erased", "erased", "purge"]);
    let mut document = Document::create(other, form().definition()).unwrap();
    let fine = phone.save(&mut document, START_MS, &[set("name", "another")]);
    phone.sync(&server, other, &[fine]).await;
    assert!(server.store.page_unmasked(other, "en").is_ok());
    assert!(server.store.purge_record(None, record, "again").is_ok());
    assert_eq!(word(server.store.purge_record(None, RecordId([9; 16]), "x")), "record_unknown");
}

/// A change that is held apart may be of a feed that its device does not follow: no entry tells it of the purge, and its verdict
/// goes with the record.
#[tokio::test]
async fn a_device_that_does_not_follow_the_feed_hears_of_a_purge_by_its_verdict() {
    let server = TestServer::new();
    let mut stranger = server.phone("扎西", "b", Role::Field).await;
    let record = RecordId([1; 16]);
    let mut document = Document::create(record, form().definition()).unwrap();
    let foreign = stranger.save(&mut document, START_MS, &[set("name", "才让·卓玛")]);
    stranger.unit = "a".to_owned();
    assert_eq!(verdicts(&stranger.sync(&server, record, &[foreign]).await)[0].1, "foreign_unit");
    server.store.purge_record(None, record, "asked for").unwrap();
    let told: Vec<String> =
        verdicts(&stranger.sync(&server, record, &[]).await).into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(told, ["purged"]);
}

#[tokio::test]
async fn an_old_database_beside_the_list_erases_at_once() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let record = RecordId([1; 16]);
    let mut document = Document::create(record, form().definition()).unwrap();
    let first = phone.save(&mut document, START_MS, &[set("name", "才让·卓玛")]);
    phone.sync(&server, record, &[first]).await;
    let list = server.store.folder().join("never-again.list");
    std::fs::write(&list, format!("purged {record} a aid\npurged {} nowhere aid\n", RecordId([7; 16]))).unwrap();
    assert_eq!(server.store.follow_list().unwrap(), (2, 0));
    assert!(server.store.record_lines("note", None).unwrap().is_empty());
    assert!(faults(&server).is_empty(), "{:?}", faults(&server));
    std::fs::remove_file(&list).unwrap();
    assert_eq!(faults(&server).len(), 2, "verify misses the list");
}
