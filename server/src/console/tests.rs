//! What browsers are told about the console, built or not.

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use tower::ServiceExt;

use super::{Files, PAGE};
use crate::testing::TestServer;

async fn get(server: &TestServer, path: &str) -> Response<Body> {
    let request = Request::get(path).header("accept-encoding", "gzip, br").header("accept-language", "en");
    server.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(answer: Response<Body>) -> String {
    String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn every_answer_forbids_frames_guessing_and_referrers() {
    let server = TestServer::new();
    for path in ["/", "/records/household?state=submitted", "/assets/none.js", "/assets/../index.html", "/index.html"] {
        let answer = get(&server, path).await;
        for (name, value) in
            [("x-frame-options", "DENY"), ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")]
        {
            assert_eq!(answer.headers()[name], value, "{path}");
        }
    }
}

#[tokio::test]
async fn addresses_of_programs_are_no_pages() {
    let server = TestServer::new();
    for path in ["/api/v2/records", "/api/v1/nothing", "/sync/9", "/assets/nothing.js"] {
        assert_eq!(get(&server, path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_page_has_a_nonce_of_its_own_or_says_that_it_was_not_built() {
    let server = TestServer::new();
    let first = get(&server, "/records/household").await;
    if Files::get(PAGE).is_none() {
        assert_eq!(first.status(), StatusCode::SERVICE_UNAVAILABLE);
        return assert!(text(first).await.contains("make console"));
    }
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(first.headers()["cache-control"], "no-store");
    let policy = first.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(!policy.contains("unsafe"), "{policy}");
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    assert!(text(first).await.contains(&nonce));
    assert!(!text(get(&server, "/").await).await.contains(&nonce));
}

#[tokio::test]
async fn answers_of_the_api_come_compressed() {
    let answer = get(&TestServer::new(), "/api/v1/openapi.json").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert_eq!(to_bytes(answer.into_body(), 1 << 20).await.unwrap()[..2], [0x1f, 0x8b]);
}

#[tokio::test]
async fn hashed_files_come_compressed_and_are_kept() {
    let server = TestServer::new();
    for path in Files::iter().filter(|path| path.starts_with("assets/") && path.ends_with(".js")) {
        let answer = get(&server, &format!("/{path}")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.headers()["content-type"], "text/javascript; charset=utf-8", "{path}");
        assert!(answer.headers()["cache-control"].to_str().unwrap().contains("immutable"), "{path}");
        let smaller = Files::get(&format!("{path}.br")).is_some();
        assert_eq!(answer.headers().contains_key("content-encoding"), smaller, "{path}");
    }
}
