//! The console's working pages: who sees what, what a moved record says, many decisions at once.

use axum::http::StatusCode;
use fieldbook_core::access::Role;
use fieldbook_core::document::Document;
use fieldbook_core::ids::RecordId;
use serde_json::{Value as Json, json};
use std::sync::atomic::Ordering;

use super::{disagreement, submit};
use crate::testing::{START_MS, Supervisor, TestServer, form, set, verdicts};

const DAY_MS: i64 = 24 * 3600 * 1000;

/// A record of unit a that a phone has handed in.
async fn handed_in(server: &TestServer, name: &str) -> RecordId {
    let mut phone = server.phone(name, "a", Role::Field).await;
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let saved = phone.save(&mut document, START_MS, &[set("name", name), set("card", "6222021234567890"), submit()]);
    assert!(verdicts(&phone.sync(server, record, &[saved]).await).is_empty());
    record
}

async fn heads(supervisor: &Supervisor<'_>, record: RecordId) -> Json {
    supervisor.get(&format!("records/{record}")).await.1["heads"].clone()
}

#[tokio::test]
async fn no_address_shows_another_units_records_or_a_sensitive_answer() {
    let server = TestServer::new();
    let record = disagreement(&server).await;
    let county = server.supervisor("县", "6301", Role::County).await;
    let other = server.supervisor("邻", "b", Role::County).await;
    let finance = server.supervisor("财", "6301", Role::Lawyer).await;
    let heads = heads(&county, record).await;
    let addresses = [
        "today",
        "overview",
        "overview?kind=note",
        "overview?unit=6301",
        "kinds",
        "kinds/note/records",
        "kinds/note/records?text=卓玛",
        "kinds/note/records?text=6222021234567890",
        "kinds/note/points",
        "kinds/note/reasons",
        &format!("records/{record}"),
        &format!("records/{record}/related"),
        &format!("kinds/note/records?refers={record}"),
    ];
    for address in addresses {
        let (status, seen) = county.get(address).await;
        assert_eq!(status, StatusCode::OK, "{address}: {seen}");
        assert!(!seen.to_string().contains("6222021234567890"), "{address}");
        for stranger in [&other, &finance] {
            let (status, body) = stranger.get(address).await;
            let text = body.to_string();
            assert!(!text.contains("卓玛") && !text.contains("马秀英"), "{address}: {text}");
            if status == StatusCode::OK {
                for count in ["total", "records", "located"] {
                    assert!(body[count].as_u64().unwrap_or(0) == 0, "{address}: {text}");
                }
                assert!(body["arrived"].as_array().is_none_or(Vec::is_empty), "{address}: {text}");
                assert!(body["waiting"].as_array().is_none_or(Vec::is_empty), "{address}: {text}");
            } else {
                assert_eq!(status, StatusCode::NOT_FOUND, "{address}: {text}");
            }
        }
    }
    // One's own parent may be asked for, a neighbour not.
    for (address, status) in [
        ("overview?unit=6301", StatusCode::OK),
        ("overview?unit=a", StatusCode::NOT_FOUND),
        ("kinds/note/records?unit=a", StatusCode::NOT_FOUND),
        ("kinds/note/points?unit=nowhere", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(other.get(address).await.0, status, "{address}");
    }
    let many = json!({ "decision": "void", "reasons": "x", "records": [{ "id": record, "heads": heads }] });
    for stranger in [&other, &finance] {
        let (status, body) = stranger.post("decisions", many.clone()).await;
        assert_eq!((status, &body["results"][0]["problem"]["type"]), (StatusCode::OK, &json!("record_unknown")));
    }
    let (_, auditor) = server.supervisor("审", "6301", Role::Auditor).await.post("decisions", many).await;
    assert_eq!((&auditor["decided"], &auditor["results"][0]["problem"]["type"]), (&json!(0), &json!("not_supervisor")));
}

#[tokio::test]
async fn sorting_and_filtering_by_what_is_sensitive_or_not_listed_is_refused() {
    let server = TestServer::new();
    handed_in(&server, "多杰").await;
    let county = server.supervisor("县", "6301", Role::County).await;
    for (query, status, word) in [
        ("sort=card", 400, "request_malformed"),
        ("sort=phone", 400, "request_malformed"),
        ("sort=people/person", 400, "request_malformed"),
        ("choice=card=6222021234567890", 422, "field_unknown"),
        ("choice=x", 400, "request_malformed"),
        ("state=lost", 400, "request_malformed"),
        ("received=yesterday", 400, "request_malformed"),
        ("author=me", 400, "request_malformed"),
        ("refers=1", 400, "request_malformed"),
        ("after=x", 400, "request_malformed"),
        ("before=W10", 400, "request_malformed"),
        ("after=W251bGwsIngiXQ&before=W251bGwsIngiXQ", 400, "request_malformed"),
        ("order=name", 400, "request_malformed"),
        ("limit=-1", 400, "request_malformed"),
        ("limit=0", 400, "request_malformed"),
        ("limit=201", 400, "request_malformed"),
    ] {
        let (found, body) = county.get(&format!("kinds/note/records?{query}")).await;
        assert_eq!((found.as_u16(), body["type"].as_str()), (status, Some(word)), "{query}: {body}");
    }
    let (_, list) = county.get("kinds/note/records?sort=-name&limit=1").await;
    assert_eq!((&list["total"], list["records"].as_array().unwrap().len()), (&json!(1), 1));
}

#[tokio::test]
async fn what_waits_is_what_its_list_shows() {
    let server = TestServer::new();
    disagreement(&server).await;
    let returned = handed_in(&server, "多杰").await;
    let approved = handed_in(&server, "李四").await;
    let county = server.supervisor("县", "6301", Role::County).await;
    let boss = server.supervisor("主", "63", Role::Prefecture).await;
    for (record, word, reasons) in [(returned, "return", "请补充"), (approved, "approve", "")] {
        let body = json!({ "heads": heads(&county, record).await, "reasons": reasons });
        let (status, answer) = county.post(&format!("records/{record}/{word}"), body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    let edit = json!({ "heads": heads(&boss, approved).await, "set": { "name": "李四改" } });
    assert_eq!(boss.post(&format!("records/{approved}/edit"), edit).await.0, StatusCode::OK);
    server.clock.0.fetch_add(8 * DAY_MS, Ordering::SeqCst);
    let county = server.supervisor("县二", "6301", Role::County).await;
    let (_, today) = county.get("today").await;
    let mut waiting: Vec<(String, u64)> = Vec::new();
    for one in today["waiting"].as_array().unwrap() {
        let list = one["list"].as_object().unwrap().iter();
        let query: Vec<String> = list.map(|(name, value)| format!("{name}={}", value.as_str().unwrap())).collect();
        let kind = one["kind"].as_str().unwrap();
        let (status, list) = county.get(&format!("kinds/{kind}/records?{}", query.join("&"))).await;
        assert_eq!((status, &list["total"]), (StatusCode::OK, &one["records"]), "{one}");
        waiting.push((one["what"].as_str().unwrap().to_owned(), one["records"].as_u64().unwrap()));
    }
    let wanted = ["review", "amended", "conflicts", "returned"].map(|what| (what.to_owned(), 1));
    assert_eq!(waiting, wanted);
    assert_eq!(today["silent"], json!(0));
    let (_, stricter) = county.get("today?silent_days=8&returned_days=9").await;
    assert_eq!(stricter["silent"], json!(4), "two phones of the first record, one of each other");
    assert_eq!(stricter["silent_devices"][0]["silent_days"], json!(8));
    assert!(!stricter["waiting"].to_string().contains("returned_"));
    assert_eq!(stricter["waiting"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_visit_moves_on_only_when_told_and_never_back() {
    let server = TestServer::new();
    handed_in(&server, "多杰").await;
    let county = server.supervisor("县", "6301", Role::County).await;
    let (_, first) = county.get("today").await;
    assert_eq!((&first["since_ms"], &first["arrived"][0]["records"]), (&Json::Null, &json!(1)));
    assert_eq!(first["arrived"][0]["new_records"], json!(1));
    assert_eq!(county.get("today").await.1, first, "looking alone changes nothing");
    let through = first["as_of_ms"].as_i64().unwrap();
    let seen = |ms: i64| county.post("today/seen", json!({ "through_ms": ms }));
    assert_eq!(seen(through).await.1, json!({ "since_ms": through }));
    assert_eq!(seen(through - 5).await.1, json!({ "since_ms": through }));
    assert_eq!(seen(i64::MAX).await.1, json!({ "since_ms": through }), "not beyond now");
    assert_eq!(county.get("today").await.1["arrived"], json!([]));
    server.clock.0.fetch_add(1000, Ordering::SeqCst);
    handed_in(&server, "李四").await;
    let (_, next) = county.get("today").await;
    assert_eq!((&next["since_ms"], &next["arrived"][0]["records"]), (&json!(through), &json!(1)));
    let list = county.get(&format!("kinds/note/records?received={}..", through + 1)).await.1;
    assert_eq!(list["total"], json!(1));
}

#[tokio::test]
async fn many_are_decided_on_each_by_itself_and_a_moved_one_says_what_moved() {
    let server = TestServer::new();
    let (fine, moved, torn) =
        (handed_in(&server, "甲").await, handed_in(&server, "乙").await, disagreement(&server).await);
    let county = server.supervisor("县", "6301", Role::County).await;
    let boss = server.supervisor("主", "63", Role::Prefecture).await;
    let mut pinned = Vec::new();
    for record in [fine, moved, torn] {
        pinned.push(json!({ "id": record, "heads": heads(&county, record).await }));
    }
    let edit = json!({ "heads": heads(&boss, moved).await, "set": { "name": "乙改", "phone": "139" } });
    assert_eq!(boss.post(&format!("records/{moved}/edit"), edit).await.0, StatusCode::OK);
    pinned.push(json!({ "id": "x", "heads": [] }));
    let (status, body) = county.post("decisions", json!({ "decision": "approve", "records": pinned })).await;
    assert_eq!(status, StatusCode::OK);
    let words: Vec<&str> = body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["state"].as_str().or(one["problem"]["type"].as_str()).unwrap())
        .collect();
    assert_eq!(words, ["approved", "heads_moved", "must_agree", "record_unknown"]);
    assert_eq!(body["decided"], json!(1));
    let changed = body["results"][1]["problem"]["changed"].as_array().unwrap();
    let changed: Vec<(&str, &str)> =
        changed.iter().map(|one| (one["path"].as_str().unwrap(), one["author"].as_str().unwrap())).collect();
    assert_eq!(changed, [("name", "主"), ("phone", "主")]);
    assert_eq!(body["results"][1]["problem"]["changed"][0]["label"], json!({ "en": "Name" }));
    for (decision, records) in [("approve", json!([])), ("burn", json!(pinned)), ("void", json!(vec![&pinned[0]; 201]))]
    {
        let (status, body) = county.post("decisions", json!({ "decision": decision, "records": records })).await;
        assert_eq!((status, &body["type"]), (StatusCode::BAD_REQUEST, &json!("request_malformed")), "{decision}");
    }
}

#[tokio::test]
async fn the_page_tells_values_before_what_was_amended_and_what_one_may_do() {
    let server = TestServer::new();
    let record = handed_in(&server, "甲").await;
    let county = server.supervisor("县", "6301", Role::County).await;
    let boss = server.supervisor("主", "63", Role::Prefecture).await;
    let address = format!("records/{record}");
    let (_, page) = county.get(&address).await;
    assert_eq!((&page["may"]["edit"], &page["may"]["approve_blocked_by"]), (&json!(true), &Json::Null));
    assert_eq!((&page["may"]["decide"], &page["amended"]), (&json!(["approve", "return", "void"]), &Json::Null));
    let approve = json!({ "heads": page["heads"] });
    assert_eq!(county.post(&format!("{address}/approve"), approve).await.0, StatusCode::OK);
    let edit = json!({ "heads": page["heads"], "set": { "name": "甲改", "card": "6222029999999999" } });
    assert_eq!(boss.post(&format!("{address}/edit"), edit).await.0, StatusCode::OK);
    let (_, page) = boss.get(&address).await;
    let difference = |at: usize, key: &str| page["amended"]["differences"][at][key].clone();
    assert_eq!((difference(0, "path"), difference(0, "approved")), (json!("name"), json!("甲")));
    assert_eq!((difference(0, "now"), difference(1, "path")), (json!("甲改"), json!("card")));
    assert_eq!(
        (difference(1, "approved"), difference(1, "now")),
        (json!("************7890"), json!("************9999"))
    );
    assert_eq!((&page["amended"]["review"], page["amended"]["differences"].as_array().unwrap().len()), (&json!(0), 2));
    assert_eq!(page["may"]["approve_blocked_by"], json!("own_record"));
    let last = &page["history"].as_array().unwrap().last().unwrap()["wrote"];
    let wrote = |path: &str| last.as_array().unwrap().iter().find(|one| one["path"] == path).unwrap().clone();
    assert_eq!((&wrote("name")["before"], &wrote("name")["value"]), (&json!("甲"), &json!("甲改")));
    assert_eq!(wrote("card")["before"], json!("************7890"));
    assert_eq!(page["history"][0]["wrote"][0]["before"], Json::Null);
    let auditor = server.supervisor("审", "63", Role::Auditor).await;
    let (_, page) = auditor.get(&address).await;
    assert_eq!(page["may"], json!({ "edit": false, "decide": [], "approve_blocked_by": null }));
}

#[tokio::test]
async fn beside_a_concurrent_value_the_timeline_shows_what_its_author_had_seen() {
    let server = TestServer::new();
    let record = disagreement(&server).await;
    let county = server.supervisor("县", "6301", Role::County).await;
    let (_, page) = county.get(&format!("records/{record}")).await;
    let choose = json!({ "path": "phone", "value": "2", "heads": page["heads"] });
    assert_eq!(county.post(&format!("records/{record}/resolve"), choose).await.0, StatusCode::OK);
    let (_, page) = county.get(&format!("records/{record}")).await;
    let wrote = page["history"].as_array().unwrap().iter().flat_map(|change| change["wrote"].as_array().unwrap());
    let befores: Vec<&Json> = wrote.filter(|one| one["path"] == "phone").map(|one| &one["before"]).collect();
    assert_eq!(befores[..2], [&Json::Null, &Json::Null], "neither phone had seen the other's");
    assert!(["1", "2"].contains(&befores[2].as_str().unwrap()));
}

#[tokio::test]
async fn reasons_are_offered_in_both_languages_and_a_form_brings_its_own() {
    use fieldbook_core::forms::compile_sheets;
    let server = TestServer::new();
    let county = server.supervisor("县", "6301", Role::County).await;
    let (_, offered) = county.get("kinds/note/reasons").await;
    for reason in offered["return"].as_array().unwrap().iter().chain(offered["void"].as_array().unwrap()) {
        let texts = [&reason["label"]["zh-Hans"], &reason["label"]["en"]].map(|text| text.as_str().unwrap());
        assert!(texts.iter().all(|text| text.len() > 3 && !text.starts_with("reason_")), "{reason}");
    }
    let survey = "type,name,label::中文 (zh-Hans)\ntext,name,姓名\n";
    let choices = "list_name,name,label::中文 (zh-Hans)\nfb_return_reasons,photo,照片不清楚\n";
    let settings =
        "form_title,form_id,version,namespaces,fb:area\n其他,other,1,\"fb=\"\"urn:fieldbook:form\"\"\",aid\n";
    let sheets = [("survey.csv", survey), ("choices.csv", choices), ("settings.csv", settings)];
    server.store.publish_form(&compile_sheets("other", &sheets).unwrap(), None).unwrap();
    let (_, own) = county.get("kinds/other/reasons").await;
    assert_eq!(own["return"], json!([{ "name": "photo", "label": { "zh-Hans": "照片不清楚" } }]));
    assert_eq!(own["void"], offered["void"]);
    assert_eq!(county.get("kinds/nothing/reasons").await.0, StatusCode::NOT_FOUND);
}
