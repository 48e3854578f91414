use super::*;
use crate::testing::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_measured_is_counted_and_names_nobody() {
    let server = TestServer::new();
    let traffic = Traffic { accepted: 3, bytes_up: 100, ..Traffic::default() };
    Running::begin().done(traffic);
    drop(Running::begin());
    busy();
    let response = metrics(State((Arc::clone(&server.store), Arc::default()))).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("{name} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
    };
    // Other tests of this process count too.
    assert!(value("fieldbook_changes_total{fate=\"Accepted\"}") >= 3.0);
    assert!(value("fieldbook_exchanges_total{outcome=\"Refused\"}") >= 1.0);
    assert!(value("fieldbook_exchanges_total{outcome=\"Busy\"}") >= 1.0);
    assert!(value("fieldbook_exchange_seconds_count") >= 2.0);
    assert_eq!(value("fieldbook_records"), 0.0);
    assert_eq!(value("fieldbook_backup_age_seconds"), -1.0, "none was made");
    assert!(value("fieldbook_certificate_seconds") > 86_400.0);
    assert!(!text.contains("unit "), "a unit's name: {text}");
}
