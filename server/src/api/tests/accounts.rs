//! Signing in, the second factor, sessions, other sites, and the audit log.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use fieldbook_core::access::Role;
use fieldbook_core::ports::Clock;
use serde_json::{Value as Json, json};
use std::sync::atomic::Ordering;
use totp_rs::{Builder, Secret};

use crate::testing::TestServer;

const OWN: &str = "雪山 bloom 的路";

/// A browser: its cookie, and what it sends with each request.
struct Browser<'a> {
    server: &'a TestServer,
    cookie: String,
}

impl<'a> Browser<'a> {
    async fn ask(&self, method: &str, path: &str, body: Option<Json>) -> (StatusCode, Json) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::COOKIE, &self.cookie)
            .header("x-fieldbook-console", "1");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let (status, body) = self.server.send(request.body(body).unwrap()).await;
        (status, serde_json::from_slice(&body).unwrap_or(Json::Null))
    }

    async fn get(&self, path: &str) -> (StatusCode, Json) {
        self.ask("GET", path, None).await
    }

    async fn post(&self, path: &str, body: Json) -> (StatusCode, Json) {
        self.ask("POST", path, Some(body)).await
    }
}

async fn sign_in<'a>(server: &'a TestServer, body: Json) -> Result<Browser<'a>, String> {
    let request = Request::post("/api/v1/login").header("content-type", "application/json");
    let (status, body) = server.send(request.body(Body::from(body.to_string())).unwrap()).await;
    let body: Json = serde_json::from_slice(&body).unwrap();
    if status != StatusCode::OK {
        return Err(body["type"].as_str().unwrap().to_owned());
    }
    Ok(Browser { server, cookie: format!("fieldbook_session={}", body["token"].as_str().unwrap()) })
}

fn code(server: &TestServer, secret: &str) -> String {
    let totp = Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).build().unwrap();
    let now_s = u64::try_from(server.clock.now_ms() / 1000).unwrap();
    totp.generate(now_s).to_string()
}

fn later(server: &TestServer, seconds: i64) {
    server.clock.0.fetch_add(seconds * 1000, Ordering::SeqCst);
}

/// A county supervisor of the topmost unit who has set up an account: login, password, secret, recovery codes.
async fn set_up(server: &TestServer) -> (String, String, Vec<String>) {
    server.store.require_second_factor(true).unwrap();
    let (user, password) = server.store.add_user("李措毛", "63", &[Role::County], None).unwrap();
    let browser = sign_in(server, json!({ "login": user.login, "password": password })).await.unwrap();
    let (_, me) = browser.get("me").await;
    assert_eq!((&me["password_to_change"], &me["second_factor_missing"]), (&json!(true), &json!(true)));
    for path in ["kinds", "devices", "audit"] {
        let (status, refused) = browser.get(path).await;
        assert_eq!((status, &refused["type"]), (StatusCode::FORBIDDEN, &json!("account_unfinished")), "{path}");
    }
    for (old, new) in [("x", OWN), (password.as_str(), "short"), (&password, "Password123456"), (&password, &password)]
    {
        let (status, _) = browser.post("account/password", json!({ "old": old, "new": new })).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{new}");
    }
    let (status, _) = browser.post("account/password", json!({ "old": password, "new": OWN })).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, early) = browser.post("account/second-factor/confirm", json!({ "code": "123456" })).await;
    assert_eq!((status, &early["type"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("factor_not_begun")));
    let (_, factor) = browser.post("account/second-factor", json!({ "password": OWN })).await;
    let secret = factor["secret"].as_str().unwrap();
    assert!(factor["uri"].as_str().unwrap().contains(secret) && factor["qr_svg"].as_str().unwrap().starts_with("<svg"));
    let (status, _) = browser.post("account/second-factor/confirm", json!({ "code": "000000" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (_, recovery) = browser.post("account/second-factor/confirm", json!({ "code": code(server, secret) })).await;
    let codes: Vec<String> = serde_json::from_value(recovery["codes"].clone()).unwrap();
    assert_eq!(codes.len(), 10);
    assert_eq!(browser.get("kinds").await.0, StatusCode::OK, "the same session goes on");
    (user.login, secret.to_owned(), codes)
}

#[tokio::test]
async fn a_code_is_asked_for_and_each_counts_once() {
    let server = TestServer::new();
    let (login, secret, recovery) = set_up(&server).await;
    let with = |code: Option<&str>| json!({ "login": login, "password": OWN, "code": code });
    let refused = |answer: Result<Browser<'_>, String>| answer.err().unwrap();
    assert_eq!(refused(sign_in(&server, with(None)).await), "code_wanted");
    let used = code(&server, &secret);
    assert_eq!(refused(sign_in(&server, with(Some(&used))).await), "code_refused", "it set the factor up");
    later(&server, 30);
    let fresh = code(&server, &secret);
    assert!(sign_in(&server, with(Some(&format!(" {} {}", &fresh[..3], &fresh[3..])))).await.is_ok());
    assert_eq!(refused(sign_in(&server, with(Some(&fresh))).await), "code_refused");
    assert_eq!(refused(sign_in(&server, with(Some(&used))).await), "code_refused", "an older one never again");
    let given = recovery[0].to_uppercase();
    assert!(sign_in(&server, with(Some(&given))).await.is_ok());
    assert_eq!(refused(sign_in(&server, with(Some(&given))).await), "code_refused");
    let wrong = json!({ "login": login, "password": "x", "code": recovery[1] });
    assert_eq!(refused(sign_in(&server, wrong).await), "login_refused");
    server.store.reset_second_factor(&login).unwrap();
    let again = sign_in(&server, with(None)).await.unwrap();
    assert_eq!(again.get("me").await.1["second_factor_missing"], true);
}

#[tokio::test]
async fn sessions_end_by_time_by_their_user_and_with_a_new_password() {
    let server = TestServer::new();
    let (user, password) = server.store.add_user("李措毛", "63", &[Role::County], None).unwrap();
    let body = json!({ "login": user.login, "password": password });
    let first = sign_in(&server, body.clone()).await.unwrap();
    later(&server, 29 * 60);
    assert_eq!(first.get("me").await.0, StatusCode::OK);
    later(&server, 29 * 60);
    assert_eq!(first.get("me").await.0, StatusCode::OK, "it was used meanwhile");
    later(&server, 31 * 60);
    assert_eq!(first.get("me").await.0, StatusCode::UNAUTHORIZED);
    let (second, third) = (sign_in(&server, body.clone()).await.unwrap(), sign_in(&server, body).await.unwrap());
    let (_, account) = second.get("account").await;
    let sessions = account["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    let other = sessions.iter().find(|session| session["own"] == false).unwrap();
    assert_eq!(other["address"], "127.0.0.1");
    let path = format!("account/sessions/{}", other["id"].as_str().unwrap());
    assert_eq!(second.ask("DELETE", &path, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(second.ask("DELETE", &path, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(third.get("me").await.0, StatusCode::UNAUTHORIZED);
    let fourth = sign_in(&server, json!({ "login": user.login, "password": password })).await.unwrap();
    assert_eq!(second.post("account/password", json!({ "old": password, "new": OWN })).await.0, StatusCode::NO_CONTENT);
    assert_eq!(fourth.get("me").await.0, StatusCode::UNAUTHORIZED);
    for _ in 0..24 {
        later(&server, 29 * 60);
        assert_eq!(second.get("me").await.0, StatusCode::OK);
    }
    later(&server, 29 * 60);
    assert_eq!(second.get("me").await.0, StatusCode::UNAUTHORIZED, "twelve hours at the most");
}

#[tokio::test]
async fn another_site_changes_nothing_with_a_cookie() {
    let server = TestServer::new();
    let (user, password) = server.store.add_user("李措毛", "63", &[Role::County], None).unwrap();
    let browser = sign_in(&server, json!({ "login": user.login, "password": password })).await.unwrap();
    let forged: [&[(&str, &str)]; 4] = [
        &[],
        &[("x-fieldbook-console", "1"), ("sec-fetch-site", "cross-site")],
        &[("x-fieldbook-console", "1"), ("origin", "https://elsewhere.example"), ("host", "server.example")],
        &[("x-fieldbook-console", "1"), ("origin", "null")],
    ];
    for headers in forged {
        let request = Request::post("/api/v1/logout").header(header::COOKIE, &browser.cookie);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (status, body) = server.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{headers:?}");
        assert!(String::from_utf8_lossy(&body).contains("foreign_site"));
    }
    assert_eq!(browser.get("me").await.0, StatusCode::OK);
    assert_eq!(browser.post("logout", json!({})).await.0, StatusCode::NO_CONTENT);
    assert_eq!(browser.get("me").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_audit_log_is_chained_only_added_to_and_read_by_few() {
    let server = TestServer::new();
    let county = server.supervisor("李措毛", "63", Role::County).await;
    let township = server.supervisor("马秀英", "a", Role::County).await;
    let field = server.supervisor("多杰", "63", Role::Field).await;
    for outsider in [&township, &field] {
        let (status, refused) = outsider.get("audit").await;
        assert_eq!((status, &refused["type"]), (StatusCode::FORBIDDEN, &json!("not_auditor")));
        assert_eq!(outsider.get("audit.csv").await.0, StatusCode::FORBIDDEN);
    }
    let (_, rows) = county.get("audit?limit=200").await;
    let rows = rows.as_array().unwrap();
    assert_eq!((&rows[0]["action"], &rows[0]["subject_name"]), (&json!("login"), &json!("多杰")));
    assert!(rows.windows(2).all(|pair| pair[0]["number"].as_i64() == pair[1]["number"].as_i64().map(|n| n + 1)));
    let (_, logins) = county.get("audit?action=login&limit=2").await;
    assert_eq!(logins.as_array().unwrap().len(), 2);
    let below = logins[1]["number"].as_i64().unwrap();
    let (_, older) = county.get(&format!("audit?action=login&before={below}")).await;
    assert_eq!(older.as_array().unwrap().len(), 1);
    assert_eq!(county.get("audit?limit=201").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(county.get("audit.csv").await.0, StatusCode::OK);
    assert_eq!(county.get("audit?action=export").await.1.as_array().unwrap().len(), 1);
    for text in ["UPDATE audit SET action = 'x' WHERE id = 1", "DELETE FROM audit WHERE id = 1"] {
        let changed = server.store.write(|tx| Ok(tx.execute(text, ())?));
        assert!(format!("{:?}", changed.unwrap_err()).contains("only added to"), "{text}");
    }
    let audited = || server.store.verify().unwrap().into_iter().find(|check| check.name == "audit").unwrap();
    assert!(audited().faults.is_empty() && audited().count > 5);
    let text = "INSERT INTO audit(id, time_ms, action, subject, detail, chain) SELECT max(id) + 1, 0, 'x', '', '', chain FROM audit GROUP BY chain ORDER BY 1 DESC LIMIT 1";
    server.store.write(|tx| Ok(tx.execute(text, ())?)).unwrap();
    assert_eq!(audited().faults.len(), 1, "a row that somebody put there");
}
