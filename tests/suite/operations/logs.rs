//! What the server logs of a whole story, at its most talkative, and what it tells Prometheus: nothing personal.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use fieldbook_tests::demo::stage::{Phone, Server};
use serde_json::{Value, json};

use super::{text, writes};
use crate::phone::{NARRATIVE, RECORD, World, visit};

/// What Grafana shows, as it is packaged.
const DASHBOARD: &str = include_str!("../../../server/packaging/grafana/fieldbook.json");

/// What stands in the story and must not stand in a log: names of people and units, logins, what was written.
const PERSONAL: [&str; 9] =
    ["多杰", "马秀英", "李措毛", "才让卓玛", "泽库县", "泽曲镇", "duojie", "屋顶", "632323199001011234"];

fn scraped(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Metrics that the dashboard asks for.
fn asked() -> BTreeSet<&'static str> {
    let name = |at: usize| {
        let rest = &DASHBOARD[at..];
        rest.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_').next().unwrap()
    };
    DASHBOARD.match_indices("fieldbook_").map(|(at, _)| name(at)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_metrics_of_a_story_name_nobody() {
    let mut world = World::start();
    let data = world.home("server");
    let config = world.home("server.toml");
    std::fs::write(&config, "[log]\nformat = \"json\"\nlevel = \"debug\"\n").unwrap();
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    world.server.end().unwrap();
    let _ = std::fs::remove_file(Server::log(&data));
    let more = ["--config", &text(&config), "--metrics", &metrics];
    world.server = Server::start_at(&data, "127.0.0.1:0", &more).unwrap();
    let (a, b) = (world.phone("duojie").await, world.phone("maxiuying").await);
    a.sync().await.unwrap();
    b.sync().await.unwrap();
    let line = json!({ "id": RECORD, "values": visit("屋顶漏雨，身份证632323199001011234") }).to_string();
    a.feed(&["import", "visit"], &[line]).await.unwrap();
    a.sync().await.unwrap();
    b.sync().await.unwrap();
    let edit = |text: &str| vec![json!({ "id": RECORD, "set": { NARRATIVE: text } }).to_string()];
    a.feed(&["edit"], &edit("屋顶已修")).await.unwrap();
    b.feed(&["edit"], &edit("屋顶仍漏")).await.unwrap();
    a.sync().await.unwrap();
    b.sync().await.unwrap();
    supervised(&world);
    refused(&world, &a).await;
    writes(&b, &["屋顶换了"]).await;
    let told = scraped(&metrics);
    assert!(told.starts_with("HTTP/1.1 200") && told.contains("fieldbook_exchanges_total{outcome=\"Done\"}"), "{told}");
    assert!(told.contains("fieldbook_records 2"), "{told}");
    assert!(asked().len() > 20);
    for metric in asked() {
        let shown = |line: &str| line.split(['{', ' ']).next() == Some(metric);
        assert!(told.lines().any(shown), "the dashboard asks for {metric}:\n{told}");
    }
    world.server.end().unwrap();

    let logged = std::fs::read_to_string(Server::log(&data)).unwrap();
    let lines: Vec<&str> = logged.lines().collect();
    assert!(lines.iter().filter(|line| line.contains("\"message\":\"exchange\"")).count() >= 6, "{logged}");
    for line in &lines {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "no JSON: {line}");
    }
    for personal in PERSONAL {
        assert!(!logged.contains(personal), "{personal} in the log:\n{logged}");
        assert!(!told.contains(personal), "{personal} in the metrics");
    }
}

/// A supervisor logs in and out of turn, reads, and is refused.
fn supervised(world: &World) {
    let arguments = ["user", "add", "李措毛", "--unit", "632323", "--role", "county", "--login", "licuomao"];
    let printed = world.server.administer(&arguments).unwrap();
    let password = fieldbook_tests::demo::report::password(&printed).unwrap();
    let session = fieldbook_tests::demo::supervisor::Supervisor::log_in(&world.server, "licuomao", &password);
    tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(async {
            let session = session.await.unwrap();
            session.get(&format!("records/{RECORD}")).await.unwrap();
            session.get("kinds/visit/records?text=才让卓玛").await.unwrap();
            session.post("login", &json!({ "login": "duojie", "password": "屋顶" })).await.unwrap_err();
        });
    });
}

/// A phone that is revoked in the middle of its work.
async fn refused(world: &World, phone: &Phone) {
    let listed = world.server.administer(&["device", "list"]).unwrap();
    let device = listed.lines().find(|line| line.contains("多杰")).unwrap().split('\t').next().unwrap().to_owned();
    world.server.administer(&["device", "revoke", &device]).unwrap();
    phone.feed(&["edit"], &[json!({ "id": RECORD, "set": { NARRATIVE: "屋顶" } }).to_string()]).await.unwrap();
    let _ = phone.sync().await;
}
