mod accounts;
mod console;
mod people;
mod quarantine;
mod walk;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use ed25519_dalek::SigningKey;
use fieldbook_core::access::Role;
use fieldbook_core::document::Document;
use fieldbook_core::forms::Edit;
use fieldbook_core::ids::RecordId;
use fieldbook_core::protocol::{Down, ErrorKind};
use serde_json::json;
use std::sync::atomic::Ordering;

use crate::testing::{START_MS, Supervisor, TestServer, enrolment, form, set, verdicts};

fn submit() -> Edit {
    Edit::Submit { at: "2026-06-01T00:00:00+08:00".to_owned() }
}

/// A record of unit a on which two phones disagree about `phone`.
async fn disagreement(server: &TestServer) -> RecordId {
    let mut first = server.phone("多杰", "a", Role::Field).await;
    let mut second = server.phone("马秀英", "a", Role::Field).await;
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let created = first.save(&mut document, START_MS, &[set("name", "才让·卓玛"), set("card", "6222021234567890")]);
    let mut other = document.clone();
    let by_first = first.save(&mut document, START_MS, &[set("phone", "1"), submit()]);
    let by_second = second.save(&mut other, START_MS, &[set("phone", "2")]);
    assert!(verdicts(&first.sync(server, record, &[created, by_first]).await).is_empty());
    assert!(verdicts(&second.sync(server, record, &[by_second]).await).is_empty());
    record
}

#[tokio::test]
async fn a_code_enrols_one_key_within_a_day() {
    let server = TestServer::new();
    let (user, _) = server.store.add_user("x", "a", &[Role::Field], None).unwrap();
    let code = server.store.new_enrolment(&user.login, 1).unwrap().code;
    let (first, second) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    let mut forged = enrolment(&code, &first);
    let last = forged.len() - 10;
    forged[last] ^= 1;
    assert_ne!(server.post("/sync/1/enrol", forged).await.0, StatusCode::OK);
    let (status, answer) = server.post("/sync/1/enrol", enrolment(&code, &first)).await;
    assert_eq!(status, StatusCode::OK);
    let (again, repeated) = server.post("/sync/1/enrol", enrolment(&code, &first)).await;
    assert_eq!((again, repeated), (StatusCode::OK, answer), "the first answer may have been lost");
    assert_eq!(server.post("/sync/1/enrol", enrolment(&code, &second)).await.0, StatusCode::BAD_REQUEST);
    let late = server.store.new_enrolment(&user.login, 1).unwrap().code;
    server.clock.0.fetch_add(24 * 3600 * 1000 + 1, Ordering::SeqCst);
    assert_eq!(server.post("/sync/1/enrol", enrolment(&late, &second)).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(server.post("/sync/1/enrol", b"garbage".to_vec()).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_supervisor_sees_both_values_chooses_and_approves() {
    let server = TestServer::new();
    let record = disagreement(&server).await;
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    let (status, list) = county.get("kinds/note/records?conflicts=true&text=卓玛").await;
    assert_eq!((status, list["records"].as_array().unwrap().len()), (StatusCode::OK, 1));
    let (_, page) = county.get(&format!("records/{record}")).await;
    assert_eq!(page["state"], "submitted");
    assert_eq!(page["values"]["card"], "************7890");
    let conflict = &page["conflicts"][0];
    assert_eq!((conflict["path"].as_str(), conflict["blocks_approval"].as_bool()), (Some("phone"), Some(true)));
    let mut shown: Vec<(&str, &str)> = conflict["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| (value["value"].as_str().unwrap(), value["author"].as_str().unwrap()))
        .collect();
    shown.sort_unstable();
    assert_eq!(shown, [("1", "多杰"), ("2", "马秀英")]);

    let heads = json!({ "heads": page["heads"] });
    let (status, refused) = county.post(&format!("records/{record}/approve"), heads.clone()).await;
    assert_eq!((status, refused["type"].as_str()), (StatusCode::CONFLICT, Some("must_agree")));
    let choice = json!({ "path": "phone", "value": "2", "heads": page["heads"] });
    let (status, _) = county.post(&format!("records/{record}/resolve"), choice).await;
    assert_eq!(status, StatusCode::OK);
    let (status, refused) = county.post(&format!("records/{record}/approve"), heads).await;
    assert_eq!((status, refused["type"].as_str()), (StatusCode::CONFLICT, Some("heads_moved")));
    let (_, page) = county.get(&format!("records/{record}")).await;
    assert_eq!((page["values"]["phone"].as_str(), page["conflicts"].as_array().unwrap().len()), (Some("2"), 0));
    let heads = json!({ "heads": page["heads"] });
    let (status, state) = county.post(&format!("records/{record}/approve"), heads).await;
    assert_eq!((status, state["state"].as_str()), (StatusCode::OK, Some("approved")));
    let written: usize = page["history"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|entry| entry["wrote"].as_array().unwrap())
        .filter(|wrote| wrote["path"] == "phone")
        .count();
    assert_eq!(written, 3, "both values and the choice stay in the history");
    assert!(server.store.verify().unwrap().iter().all(|check| check.faults.is_empty()));
}

#[tokio::test]
async fn a_hidden_value_is_chosen_by_its_change_and_never_by_its_mask() {
    let server = TestServer::new();
    let mut first = server.phone("多杰", "a", Role::Field).await;
    let mut second = server.phone("马秀英", "a", Role::Field).await;
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let created = first.save(&mut document, START_MS, &[set("name", "才让·卓玛")]);
    let mut other = document.clone();
    let by_first = first.save(&mut document, START_MS, &[set("card", "6222021234567890"), submit()]);
    let by_second = second.save(&mut other, START_MS, &[set("card", "6222021234567891")]);
    first.sync(&server, record, &[created, by_first]).await;
    second.sync(&server, record, &[by_second]).await;
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    let (_, page) = county.get(&format!("records/{record}")).await;
    let sides = page["conflicts"][0]["values"].as_array().unwrap();
    let hidden: Vec<&str> = sides.iter().map(|side| side["value"].as_str().unwrap()).collect();
    assert!(hidden.iter().all(|value| value.starts_with("***")), "{hidden:?}");
    let (resolve, edit) = (format!("records/{record}/resolve"), format!("records/{record}/edit"));
    for mask in [hidden[0], "***"] {
        let body = json!({ "path": "card", "value": mask, "heads": page["heads"] });
        assert_eq!(county.post(&resolve, body).await.1["type"], "value_masked");
        let body = json!({ "set": { "card": mask }, "heads": page["heads"] });
        assert_eq!(county.post(&edit, body).await.1["type"], "value_masked");
    }
    let wanted = sides.iter().find(|side| side["author"] == "马秀英").unwrap();
    let both = json!({ "path": "card", "value": null, "change": wanted["change"], "heads": page["heads"] });
    assert_eq!(county.post(&resolve, both).await.1["type"], "request_malformed");
    let elsewhere = json!({ "path": "phone", "change": wanted["change"], "heads": page["heads"] });
    assert_eq!(county.post(&resolve, elsewhere).await.1["type"], "side_unknown");
    let choice = json!({ "path": "card", "change": wanted["change"], "heads": page["heads"] });
    // Twice, as by two supervisors who read the same page.
    for _ in 0..2 {
        assert_eq!(county.post(&resolve, choice.clone()).await.0, StatusCode::OK);
    }
    let (_, page) = county.get(&format!("records/{record}?reveal=card")).await;
    assert_eq!(
        (page["values"]["card"].as_str(), page["conflicts"].as_array().unwrap().len()),
        (Some("6222021234567891"), 0)
    );
    assert_eq!(decide(&county, record, "approve", "").await, (StatusCode::OK, "approved".to_owned()));
    let top = server.supervisor("顶", "63", Role::Province).await;
    let (_, log) = top.get("audit?action=choose").await;
    assert_eq!(log[0]["detail"], "card", "{log}");
}

#[tokio::test]
async fn the_character_that_one_database_does_not_hold_is_refused_by_both() {
    let server = TestServer::new();
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    for address in [
        "audit?user=%00x",
        "users?after=%00",
        "doubles?unit=%00",
        "exchanges?unit=%00",
        "kinds/%00",
        "overview?kind=%00",
    ] {
        let (status, told) = county.get(address).await;
        assert!(status.is_client_error(), "{address}: {status} {told}");
    }
    let body = json!({ "login": "a\u{0}b", "password": "x" }).to_string();
    let request = Request::post("/api/v1/login").header("content-type", "application/json");
    let (status, _) = server.send(request.body(Body::from(body)).unwrap()).await;
    assert!(status.is_client_error(), "{status}");
    let (status, told) = county.get("records/%ff").await;
    assert_eq!((status, &told["type"]), (StatusCode::BAD_REQUEST, &json!("request_malformed")));
    // From a phone that keeps to no form.
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let change = phone.save(&mut document, START_MS, &[set("name", "才\u{0}让")]);
    let answer = phone.sync(&server, record, &[change]).await;
    assert!(!answer.iter().any(|message| matches!(message, Down::Error(_))), "{answer:?}");
    let (status, list) = county.get("kinds/note/records").await;
    assert_eq!(status, StatusCode::OK, "{list}");
}

#[tokio::test]
async fn a_value_that_is_refused_is_told_in_the_language_of_the_reader() {
    let server = TestServer::new();
    let record = disagreement(&server).await;
    let county = server.supervisor("一", "6301", Role::County).await;
    let (_, page) = county.get(&format!("records/{record}")).await;
    let (edit, resolve) = (format!("records/{record}/edit"), format!("records/{record}/resolve"));
    let nothing = json!({ "set": { "nope": "1" }, "heads": page["heads"] });
    let (status, refused) = county.post(&edit, nothing).await;
    assert_eq!((status, refused["type"].as_str()), (StatusCode::UNPROCESSABLE_ENTITY, Some("value_refused")));
    assert_eq!(refused["title"], "无法保存：nope：表单中没有“nope”这一项，请核对名称");
    let no_text = json!({ "path": "phone", "value": ["1"], "heads": page["heads"] });
    assert_eq!(county.post(&resolve, no_text).await.1["title"], "无法保存：phone：应填写文字");
    let no_path = json!({ "path": "members[1", "value": "1", "heads": page["heads"] });
    assert_eq!(county.post(&resolve, no_path).await.1["title"], "表单没有字段 members[1。");
}

#[tokio::test]
async fn a_choice_made_meanwhile_stays_visible() {
    let server = TestServer::new();
    let record = disagreement(&server).await;
    let county = server.supervisor("一", "6301", Role::County).await;
    let other = server.supervisor("二", "6301", Role::County).await;
    let (_, page) = county.get(&format!("records/{record}")).await;
    let choose = |value: &str| json!({ "path": "phone", "value": value, "heads": page["heads"] });
    assert_eq!(county.post(&format!("records/{record}/resolve"), choose("1")).await.0, StatusCode::OK);
    assert_eq!(other.post(&format!("records/{record}/resolve"), choose("2")).await.0, StatusCode::OK);
    let (_, page) = county.get(&format!("records/{record}")).await;
    assert_eq!(page["conflicts"][0]["values"].as_array().unwrap().len(), 2);
    // The same user again at old heads: the server draws a fresh actor, and nothing is overwritten.
    let stale = json!({ "set": { "name": "z" }, "heads": page["history"][0]["change"].as_str().map(|c| [c]) });
    assert_eq!(county.post(&format!("records/{record}/edit"), stale).await.0, StatusCode::OK);
}

#[tokio::test]
async fn who_wrote_does_not_approve_and_returning_needs_reasons() {
    let server = TestServer::new();
    let record = disagreement(&server).await;
    let county = server.supervisor("一", "6301", Role::County).await;
    let (_, page) = county.get(&format!("records/{record}")).await;
    let own = json!({ "path": "phone", "value": "3", "heads": page["heads"] });
    assert_eq!(county.post(&format!("records/{record}/resolve"), own).await.0, StatusCode::OK);
    let (_, page) = county.get(&format!("records/{record}")).await;
    let (status, refused) = county.post(&format!("records/{record}/approve"), json!({ "heads": page["heads"] })).await;
    assert_eq!((status, refused["type"].as_str()), (StatusCode::CONFLICT, Some("own_record")));
    let (status, _) = county.post(&format!("records/{record}/return"), json!({ "heads": page["heads"] })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let back = json!({ "heads": page["heads"], "reasons": "电话", "fields": ["phone"] });
    let (status, state) = county.post(&format!("records/{record}/return"), back).await;
    assert_eq!((status, state["state"].as_str()), (StatusCode::OK, Some("returned")));
}

#[tokio::test]
async fn choosing_one_of_the_values_is_no_authorship_however_it_is_said() {
    let server = TestServer::new();
    let approved = (StatusCode::OK, "approved".to_owned());
    let refused = (StatusCode::CONFLICT, "own_record".to_owned());
    // As an ordinary edit of that one field.
    let record = disagreement(&server).await;
    let county = server.supervisor("一", "6301", Role::County).await;
    let (_, page) = county.get(&format!("records/{record}")).await;
    let edit = json!({ "heads": page["heads"], "set": { "phone": "1" } });
    assert_eq!(county.post(&format!("records/{record}/edit"), edit).await.0, StatusCode::OK);
    assert_eq!(decide(&county, record, "approve", "").await, approved);
    // With an answer of her own beside it.
    let record = disagreement(&server).await;
    let (_, page) = county.get(&format!("records/{record}")).await;
    let edit = json!({ "heads": page["heads"], "set": { "phone": "1", "name": "别名" } });
    assert_eq!(county.post(&format!("records/{record}/edit"), edit).await.0, StatusCode::OK);
    assert_eq!(decide(&county, record, "approve", "").await, refused);
    // On a page that she read before somebody else had chosen: both chose, neither wrote.
    let record = disagreement(&server).await;
    let other = server.supervisor("二", "6301", Role::County).await;
    let (_, page) = county.get(&format!("records/{record}")).await;
    let choose = json!({ "path": "phone", "value": "2", "heads": page["heads"] });
    for supervisor in [&other, &county] {
        assert_eq!(supervisor.post(&format!("records/{record}/resolve"), choose.clone()).await.0, StatusCode::OK);
    }
    assert_eq!(decide(&county, record, "approve", "").await, approved);
}

#[tokio::test]
async fn a_value_that_nobody_had_written_makes_its_writer_an_author() {
    let server = TestServer::new();
    let record = disagreement(&server).await;
    let county = server.supervisor("一", "6301", Role::County).await;
    let (_, page) = county.get(&format!("records/{record}")).await;
    let own = json!({ "path": "phone", "value": "3", "heads": page["heads"] });
    assert_eq!(county.post(&format!("records/{record}/resolve"), own).await.0, StatusCode::OK);
    // Choosing one of the others afterwards does not undo it, and no more does another supervisor's choice.
    let (_, page) = county.get(&format!("records/{record}")).await;
    let back = json!({ "path": "phone", "value": "2", "heads": page["heads"] });
    assert_eq!(county.post(&format!("records/{record}/resolve"), back).await.0, StatusCode::OK);
    assert_eq!(decide(&county, record, "approve", "").await, (StatusCode::CONFLICT, "own_record".to_owned()));
    let other = server.supervisor("二", "6301", Role::County).await;
    assert_eq!(decide(&other, record, "approve", "").await, (StatusCode::OK, "approved".to_owned()));
}

/// Decides on a record at the heads that stand now; answers the status and the word of what was told.
async fn decide(supervisor: &Supervisor<'_>, record: RecordId, word: &str, reasons: &str) -> (StatusCode, String) {
    let (_, page) = supervisor.get(&format!("records/{record}")).await;
    let asked = json!({ "heads": page["heads"], "reasons": reasons });
    let (status, told) = supervisor.post(&format!("records/{record}/{word}"), asked).await;
    (status, told["type"].as_str().or(told["state"].as_str()).unwrap_or_default().to_owned())
}

fn told(status: StatusCode, word: &str) -> (StatusCode, String) {
    (status, word.to_owned())
}

#[tokio::test]
async fn an_approved_record_is_archived_and_a_later_change_shows() {
    let server = TestServer::new();
    let record = disagreement(&server).await;
    let county = server.supervisor("一", "6301", Role::County).await;
    assert_eq!(decide(&county, record, "archive", "").await, told(StatusCode::CONFLICT, "wrong_state"));
    let (_, page) = county.get(&format!("records/{record}")).await;
    let choice = json!({ "path": "phone", "value": "2", "heads": page["heads"] });
    assert_eq!(county.post(&format!("records/{record}/resolve"), choice).await.0, StatusCode::OK);
    assert_eq!(decide(&county, record, "approve", "").await, told(StatusCode::OK, "approved"));
    let stale = json!({ "heads": page["heads"] });
    let (status, refused) = county.post(&format!("records/{record}/archive"), stale).await;
    assert_eq!((status, refused["type"].as_str()), (StatusCode::CONFLICT, Some("heads_moved")));
    let field = server.supervisor("二", "a", Role::Field).await;
    assert_eq!(decide(&field, record, "archive", "").await, told(StatusCode::FORBIDDEN, "not_supervisor"));
    assert_eq!(decide(&county, record, "archive", "").await, told(StatusCode::OK, "archived"));
    let (_, list) = county.get("kinds/note/records?state=archived").await;
    assert_eq!(list["records"].as_array().unwrap().len(), 1);
    let (_, page) = county.get(&format!("records/{record}")).await;
    assert_eq!((page["state"].as_str(), page["reviews"][1]["decision"].as_str()), (Some("archived"), Some("archive")));
    for word in ["archive", "approve"] {
        assert_eq!(decide(&county, record, word, "").await, told(StatusCode::CONFLICT, "wrong_state"));
    }
    // What somebody had written offline arrives, or somebody corrects it: the archive does not hide it.
    let edit = json!({ "set": { "stage": "closed" }, "heads": page["heads"] });
    assert_eq!(county.post(&format!("records/{record}/edit"), edit).await.0, StatusCode::OK);
    let (_, page) = county.get(&format!("records/{record}")).await;
    assert_eq!(page["state"], "amended");
    let other = server.supervisor("三", "6301", Role::County).await;
    assert_eq!(decide(&other, record, "approve", "").await, told(StatusCode::OK, "approved"));
    assert_eq!(decide(&other, record, "archive", "十年后销毁").await, told(StatusCode::OK, "archived"));
}

#[tokio::test]
async fn a_record_is_voided_with_reasons_and_for_good() {
    let server = TestServer::new();
    let record = disagreement(&server).await;
    let county = server.supervisor("一", "6301", Role::County).await;
    let field = server.supervisor("二", "a", Role::Field).await;
    assert_eq!(decide(&field, record, "void", "x").await, told(StatusCode::FORBIDDEN, "not_supervisor"));
    let missing = told(StatusCode::UNPROCESSABLE_ENTITY, "reasons_missing");
    assert_eq!(decide(&county, record, "void", " ").await, missing);
    assert_eq!(decide(&county, record, "void", "重复登记").await, told(StatusCode::OK, "voided"));
    for word in ["void", "approve", "return", "archive"] {
        assert_eq!(decide(&county, record, word, "x").await, told(StatusCode::CONFLICT, "wrong_state"), "{word}");
    }
    assert_eq!(decide(&county, record, "burn", "x").await, told(StatusCode::NOT_FOUND, "address_not_here"));
    let (status, answer) = county.post(&format!("records/{record}"), json!({})).await;
    assert_eq!((status, answer["type"].as_str()), (StatusCode::METHOD_NOT_ALLOWED, Some("method_not_here")));
    let (_, page) = county.get(&format!("records/{record}")).await;
    assert_eq!((page["state"].as_str(), page["reviews"][0]["reasons"].as_str()), (Some("voided"), Some("重复登记")));
}

#[tokio::test]
async fn nothing_of_a_foreign_unit_is_told() {
    let server = TestServer::new();
    let record = disagreement(&server).await;
    let stranger = server.supervisor("b", "b", Role::County).await;
    let (status, told) = stranger.get(&format!("records/{record}")).await;
    assert_eq!((status, told["type"].as_str()), (StatusCode::NOT_FOUND, Some("record_unknown")));
    let (_, list) = stranger.get("kinds/note/records").await;
    assert!(list["records"].as_array().unwrap().is_empty());
    let void = json!({ "heads": [], "reasons": "x" });
    assert_eq!(stranger.post(&format!("records/{record}/void"), void).await.0, StatusCode::NOT_FOUND);
    assert!(stranger.get("devices").await.1.as_array().unwrap().is_empty());
    let field = server.supervisor("f", "a", Role::Field).await;
    let (_, page) = field.get(&format!("records/{record}")).await;
    let (status, _) = field.post(&format!("records/{record}/approve"), json!({ "heads": page["heads"] })).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = server.send(Request::get("/api/v1/units").body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_a_stranger_writes_to_a_foreign_unit_waits_in_quarantine() {
    let server = TestServer::new();
    let mut phone = server.phone("外人", "b", Role::Field).await;
    phone.unit = "a".to_owned();
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let change = phone.save(&mut document, START_MS, &[set("name", "n")]);
    let answer = phone.sync(&server, record, &[change]).await;
    assert_eq!(verdicts(&answer)[0].1, "foreign_unit");
    let feeds = answer.iter().find_map(|message| match message {
        Down::Feeds { feeds, .. } => Some(feeds.clone()),
        _ => None,
    });
    let units: Vec<String> = feeds.unwrap().into_iter().map(|(feed, _)| format!("{feed}")).collect();
    assert_eq!(units, ["63/general", "6301/general", "b/general", "b/aid", "b/legal", "b/screening"]);
    assert!(server.store.record_lines("note", None).unwrap().is_empty());
}

#[tokio::test]
async fn a_device_with_a_wrong_clock_is_shown() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    server.clock.0.fetch_add(3_600_000, Ordering::SeqCst);
    phone.sync(&server, RecordId::new(server.random.as_ref()), &[]).await;
    let county = server.supervisor("c", "6301", Role::County).await;
    let (_, devices) = county.get("devices").await;
    assert_eq!(devices[0]["clock_skew_ms"], -3_600_000);
    assert_eq!(devices[0]["last_contact_ms"], START_MS + 3_600_000);
}

#[tokio::test]
async fn a_revoked_device_is_heard_only_into_quarantine() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let county = server.supervisor("c", "6301", Role::County).await;
    let revoked = county.post(&format!("devices/{}/revoke", phone.device), json!({})).await;
    assert_eq!(revoked.0, StatusCode::NO_CONTENT);
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let change = phone.save(&mut document, START_MS, &[set("name", "n")]);
    let told = verdicts(&phone.sync(&server, record, &[change]).await);
    assert_eq!(told[0].1, "revoked");
    assert_eq!(county.get(&format!("records/{record}")).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_request_is_taken_once_and_a_change_too() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let change = phone.save(&mut document, START_MS, &[set("name", "n")]);
    let body = phone.request(record, std::slice::from_ref(&change));
    assert_eq!(server.post("/sync/1", body.clone()).await.0, StatusCode::OK);
    assert_eq!(server.post("/sync/1", body.clone()).await.0, StatusCode::CONFLICT);
    assert!(verdicts(&phone.sync(&server, record, &[change]).await).is_empty());
    let mut garbage = phone.request(record, &[]);
    garbage.extend([5, 1, 2, 3, 4, 5]);
    assert_eq!(server.post("/sync/1", garbage).await.0, StatusCode::OK, "told inside the answer");
    assert_eq!(server.store.record_lines("note", None).unwrap().len(), 1);
}

#[tokio::test]
async fn logins_are_limited_and_sessions_end() {
    let server = TestServer::new();
    let county = server.supervisor("c", "6301", Role::County).await;
    let later = |minutes: i64| server.clock.0.fetch_add(minutes * 60_000, Ordering::SeqCst);
    for _ in 0..3 {
        later(20);
        assert_eq!(county.get("me").await.0, StatusCode::OK);
    }
    // Nobody is there any more, and the page goes on asking.
    later(20);
    assert_eq!(county.poll("me").await, StatusCode::OK);
    later(11);
    assert_eq!(county.poll("me").await, StatusCode::UNAUTHORIZED);
    assert_eq!(county.get("me").await.0, StatusCode::UNAUTHORIZED);
    let wrong = || {
        let body = Body::from(json!({ "login": "6301-1", "password": "x" }).to_string());
        Request::post("/api/v1/login").header("content-type", "application/json").body(body).unwrap()
    };
    let mut last = StatusCode::OK;
    for _ in 0..11 {
        last = server.send(wrong()).await.0;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_full_disk_keeps_nothing_half() {
    let server = TestServer::embedded();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    phone.sync(&server, RecordId::new(server.random.as_ref()), &[]).await;
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let notes: Vec<_> = (0..40)
        .map(|at| phone.save(&mut document, START_MS, &[set("name", &format!("{at}{}", "字".repeat(2_000)))]))
        .collect();
    let pages: i64 = server.store.writer().query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap();
    let limit = |pages: i64| server.store.writer().execute_batch(&format!("PRAGMA max_page_count = {pages}")).unwrap();
    limit(pages + 2);
    let answer = phone.sync(&server, record, &notes).await;
    let unavailable = |message: &Down| matches!(message, Down::Error(error) if error.kind == ErrorKind::Unavailable);
    assert!(answer.iter().any(unavailable), "{answer:?}");
    assert!(server.store.record_lines("note", None).unwrap().is_empty());
    limit(pages + 10_000);
    assert!(server.store.verify().unwrap().iter().all(|check| check.faults.is_empty()));
}

#[tokio::test]
async fn what_the_command_line_shows_is_logged() {
    let server = TestServer::new();
    let record = disagreement(&server).await;
    server.store.page_unmasked(record, "en").unwrap();
    let top = server.supervisor("顶", "63", Role::Province).await;
    let (_, log) = top.get("audit?action=reveal").await;
    assert_eq!((&log[0]["subject"], &log[0]["detail"]), (&json!(record.to_string()), &json!("*")), "{log}");
}

#[tokio::test]
async fn revealing_is_logged() {
    let server = TestServer::new();
    let record = disagreement(&server).await;
    let county = server.supervisor("c", "6301", Role::County).await;
    let (_, page) = county.get(&format!("records/{record}?reveal=card")).await;
    assert_eq!(page["values"]["card"], "6222021234567890");
    let logged: i64 = server
        .store
        .read(|tx| {
            let sql = "SELECT count(*) FROM audit WHERE action = 'reveal' AND subject = ?1 AND detail = 'card'";
            Ok::<_, crate::store::StoreError>(tx.query_row(sql, [record.to_string()], |row| row.get(0))?)
        })
        .unwrap();
    assert_eq!(logged, 1);
}

/// `docs/openapi.json` is what the console's client is made from. `UPDATE_OPENAPI=1` writes it.
#[test]
fn the_openapi_document_is_the_stored_one() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let now = crate::openapi_json().unwrap();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap();
    assert!(now == stored, "the API changed: run this test with UPDATE_OPENAPI=1 and look at the difference");
}

/// Clients are made from these names: two operations of one name become one there.
#[test]
fn every_operation_has_a_name_of_its_own() {
    let document: serde_json::Value = serde_json::from_str(&crate::openapi_json().unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap().values();
    let names = paths.flat_map(|methods| methods.as_object().unwrap().values());
    let mut names: Vec<&str> = names.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
