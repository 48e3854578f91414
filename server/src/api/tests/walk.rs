//! Every address of the OpenAPI document, asked by everybody whom it does not concern. A new address without a row in
//! [`ROWS`] fails.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::Value;

use super::*;

/// What a stranger may be told.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    /// It names something of another unit: 401, 403 or 404.
    Nothing,
    /// What is the stranger's own, or nothing: any answer that tells nothing of another unit.
    Own,
}

use Told::{Nothing, Own};

/// Operation, what a stranger may be told, and the body of the request; `{record}` and the like stand for what is foreign.
const ROWS: &[(&str, Told, &str)] = &[
    ("get /account", Own, ""),
    ("post /account/password", Own, r#"{"old":"x","new":"y"}"#),
    ("post /account/second-factor", Own, r#"{"password":"x"}"#),
    ("post /account/second-factor/confirm", Own, r#"{"code":"1"}"#),
    ("delete /account/sessions", Own, ""),
    ("delete /account/sessions/{id}", Nothing, ""),
    ("get /audit", Own, ""),
    ("get /audit.csv", Own, ""),
    ("post /decisions", Own, r#"{"decision":"void","reasons":"x","records":[{"id":"{record}","heads":[]}]}"#),
    ("get /devices", Own, ""),
    ("post /devices/{id}/revoke", Nothing, ""),
    ("get /doubles", Own, ""),
    ("get /doubles/decided", Own, ""),
    ("post /doubles/decided/{number}/undo", Nothing, ""),
    ("get /doubles/{id}", Nothing, ""),
    ("post /doubles/{id}/confirm", Nothing, r#"{"stays":"{record}","doubles":["{other}"],"heads":{},"reasons":"x"}"#),
    ("post /doubles/{id}/reject", Nothing, r#"{"records":["{record}","{other}"]}"#),
    ("post /enrolments", Nothing, r#"{"users":["{user}"],"days":7}"#),
    ("get /exchanges", Own, ""),
    ("get /exchanges/{id}", Nothing, ""),
    ("get /forms", Own, ""),
    ("post /forms/previews", Own, "no workbook"),
    ("post /forms/previews/{digest}/publish", Nothing, r#"{"unit":"a"}"#),
    ("post /forms/previews/{digest}/run", Nothing, "{}"),
    ("post /forms/{kind}/{version}/run", Nothing, "{}"),
    ("get /kinds", Own, ""),
    ("get /kinds/{kind}", Nothing, ""),
    ("get /kinds/{kind}/points", Nothing, ""),
    ("get /kinds/{kind}/reasons", Nothing, ""),
    ("get /kinds/{kind}/records", Nothing, ""),
    ("post /login", Own, r#"{"login":"foreign","password":"x"}"#),
    ("post /logout", Own, ""),
    ("get /me", Own, ""),
    ("get /overview", Own, ""),
    ("get /quarantine", Own, ""),
    ("get /quarantine/{id}", Nothing, ""),
    ("post /quarantine/{id}/admit", Nothing, ""),
    ("post /quarantine/decisions", Own, r#"{"decision":"leave","ids":[{quarantine}]}"#),
    ("get /records/{id}", Nothing, ""),
    ("post /records/{id}/edit", Nothing, r#"{"set":{"name":"x"},"heads":["{head}"]}"#),
    ("post /records/{id}/move", Nothing, r#"{"unit":"b","reason":"x"}"#),
    ("post /records/{id}/purge", Nothing, r#"{"reason":"x"}"#),
    ("get /records/{id}/related", Nothing, ""),
    ("post /records/{id}/resolve", Nothing, r#"{"path":"name","value":"x","heads":["{head}"]}"#),
    ("post /records/{id}/{decision}", Nothing, r#"{"heads":["{head}"],"reasons":"x"}"#),
    ("post /staff", Own, r#"{"rows":[{"name":"x","login":"stranger","unit":"a","role":"field"}]}"#),
    ("post /staff/previews", Own, "name,login,unit\nx,stranger,a\n"),
    ("get /today", Own, ""),
    ("post /today/seen", Own, r#"{"through_ms":1}"#),
    ("get /units", Own, ""),
    ("get /users", Own, ""),
    ("post /users", Nothing, r#"{"name":"x","unit":"a","roles":[{"role":"field","unit":"a"}]}"#),
    ("put /users/{id}/roles", Nothing, r#"{"roles":[{"role":"field","unit":"b"}]}"#),
    ("post /users/{id}/disable", Nothing, ""),
    ("post /users/{id}/enrolment", Nothing, "{}"),
    ("post /users/{id}/reset-factor", Nothing, ""),
    ("post /users/{id}/reset-password", Nothing, ""),
    ("post /users/{id}/transfer", Nothing, r#"{"unit":"b"}"#),
];

/// Of unit a: what nobody of unit b may see.
struct Foreign {
    /// Names, answers and ids that no answer holds.
    secrets: Vec<String>,
    /// Placeholders of addresses and bodies, with what they stand for.
    ids: Vec<(&'static str, String)>,
}

/// Two records of unit a that look like one person, with a field that the phone may not write, and all around them.
async fn foreign(server: &TestServer) -> Foreign {
    let mut phone = server.phone("外单位走访员", "a", Role::Field).await;
    let mut records = Vec::new();
    for number in ["1", "2"] {
        let record = RecordId::new(server.random.as_ref());
        let mut document = Document::create(record, form().definition()).unwrap();
        let identity = [set("name", "才让卓玛的姓名"), set("id_no", "11010519491231002X"), set("phone", "13900001111")];
        let created = phone.save(&mut document, START_MS, &identity);
        let head = created.hash.to_string();
        let barred = phone.save(&mut document, START_MS, &[set("stage", &format!("未获准的内容{number}"))]);
        phone.sync(server, record, &[created, barred]).await;
        records.push((record.to_string(), head));
    }
    let county = server.supervisor("外单位审核人", "6301", Role::County).await;
    let (_, waiting) = county.get("quarantine").await;
    let (_, exchanges) = county.get("exchanges").await;
    let (_, doubles) = county.get("doubles").await;
    let double = doubles["doubles"][0]["id"].as_str().unwrap().to_owned();
    let user = server.store.find_user("外单位走访员").unwrap();
    let (_, account) = county.get("account").await;
    let ids = vec![
        ("{record}", records[0].0.clone()),
        ("{other}", records[1].0.clone()),
        ("{head}", records[0].1.clone()),
        ("{quarantine}", waiting[0]["id"].to_string()),
        ("{exchange}", exchanges["exchanges"][0]["id"].to_string()),
        ("{double}", double),
        ("{user}", user.id.to_string()),
        ("{device}", phone.device.to_string()),
        ("{session}", account["sessions"][0]["id"].as_str().unwrap().to_owned()),
    ];
    let words = ["外单位走访员", "外单位审核人", "才让卓玛的姓名", "13900001111", "未获准的内容"];
    let mut secrets: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    secrets.push(user.login);
    Foreign { secrets, ids }
}

/// The address with what is foreign in place of its parameters.
fn address(path: &str, foreign: &Foreign) -> String {
    let id = match path.split('/').nth(1).unwrap() {
        "devices" => "{device}",
        "doubles" => "{double}",
        "exchanges" => "{exchange}",
        "quarantine" => "{quarantine}",
        "users" => "{user}",
        "account" => "{session}",
        _ => "{record}",
    };
    let path = path.replace("{id}", id).replace("{number}", "1").replace("{digest}", &"0".repeat(64));
    let path = path.replace("{decision}", "void").replace("{kind}", "elsewhere").replace("{version}", "1");
    filled(&path, foreign)
}

fn filled(text: &str, foreign: &Foreign) -> String {
    foreign.ids.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

async fn ask(
    server: &TestServer,
    token: Option<&str>,
    (operation, body): (&str, &str),
    foreign: &Foreign,
) -> (StatusCode, String) {
    let (method, path) = operation.split_once(' ').unwrap();
    let method: Method = method.to_uppercase().parse().unwrap();
    let json = body.starts_with('{');
    let request = Request::builder().method(method).uri(format!("/api/v1{}", address(path, foreign)));
    let request = request.header("content-type", if json { "application/json" } else { "application/octet-stream" });
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    let (status, body) = server.send(request.body(Body::from(filled(body, foreign))).unwrap()).await;
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// Opens a session.
fn token(server: &TestServer, login: &str, password: &str) -> String {
    let sign_in = crate::store::SignIn {
        login: login.to_owned(),
        password: password.to_owned(),
        code: None,
        address: String::new(),
        agent: String::new(),
    };
    match server.store.sign_in(&sign_in).unwrap() {
        crate::store::SignedIn::In(session) => session.token,
        _ => panic!("{login} cannot sign in"),
    }
}

fn operations() -> BTreeSet<String> {
    let document: Value = serde_json::from_str(&crate::openapi_json().unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let of = |(path, methods): (&String, &Value)| {
        methods.as_object().unwrap().keys().map(|method| format!("{method} {path}")).collect::<Vec<_>>()
    };
    paths.flat_map(of).collect()
}

#[test]
fn every_address_has_a_row_in_the_walk() {
    let rows: BTreeSet<String> = ROWS.iter().map(|(operation, ..)| (*operation).to_owned()).collect();
    assert_eq!(rows, operations(), "add a row for a new address: what may a stranger be told by it?");
}

#[tokio::test]
async fn no_address_tells_a_stranger_anything() {
    let server = TestServer::new();
    server.store.set_setting("address", "127.0.0.1:1").unwrap();
    let foreign = foreign(&server).await;
    for role in Role::ALL {
        let (user, password) = server.store.add_user(&format!("own {role}"), "b", &[*role], None).unwrap();
        let lasting = token(&server, &user.login, &password);
        for (operation, may, body) in ROWS {
            let ends = *operation == "post /logout";
            let token = if ends { token(&server, &user.login, &password) } else { lasting.clone() };
            let (status, told) = ask(&server, Some(&token), (operation, body), &foreign).await;
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];
            assert!(*may == Own || refused.contains(&status), "{role}: {operation}: {status} {told}");
            assert!(!status.is_server_error(), "{role}: {operation}: {status} {told}");
            let leak = foreign.secrets.iter().find(|secret| told.contains(secret.as_str()));
            assert_eq!(leak, None, "{role}: {operation}: {status} {told}");
        }
    }
    let users = server.store.users().unwrap();
    assert!(users.iter().all(|(user, _)| user.login != "stranger"), "a stranger added somebody");
}

#[tokio::test]
async fn nobody_is_told_nothing_at_all() {
    let server = TestServer::new();
    let foreign = foreign(&server).await;
    for (operation, _, body) in ROWS {
        let (status, told) = ask(&server, None, (operation, body), &foreign).await;
        let expected = if *operation == "post /logout" { StatusCode::NO_CONTENT } else { StatusCode::UNAUTHORIZED };
        assert_eq!(status, expected, "{operation}: {told}");
        assert!(foreign.secrets.iter().all(|secret| !told.contains(secret.as_str())), "{operation}: {told}");
    }
}
