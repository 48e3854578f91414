//! The headless phone as a process: against a real server process, against servers that are not ours, and killed.

mod killed;
mod postgres;
mod refused;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fieldbook_core::client::net::CancelFlag;
use fieldbook_core::client::{Progress, SyncListener};
use fieldbook_tests::demo::stage::{Phone, Server, program, programs_are_beside};
use fieldbook_tests::proxy::{Line, Proxy};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A server with one county, one township and the built-in forms.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) server: Server,
}

impl World {
    pub(crate) fn start() -> Self {
        Self::start_on(postgres::database())
    }

    /// With its rows in this PostgreSQL database.
    fn start_on(database: Option<String>) -> Self {
        programs_are_beside(Path::new(env!("CARGO_BIN_EXE_fieldbook-phone")));
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("server");
        if let Some(url) = database {
            std::fs::write(data.with_extension("database"), url).unwrap();
        }
        for (code, name, parent) in [("632323", "泽库县总工会", None), ("632323100", "泽曲镇工会", Some("632323"))]
        {
            let mut arguments = vec!["unit", "add", code, name];
            arguments.extend(parent.into_iter().flat_map(|parent| ["--parent", parent]));
            Server::command(&data, &arguments).unwrap();
        }
        let world = Self { server: Server::start(&data).unwrap(), folder };
        world.user("duojie", "多杰");
        world.user("maxiuying", "马秀英");
        world
    }

    fn user(&self, login: &str, name: &str) {
        let arguments = ["user", "add", name, "--unit", "632323100", "--role", "field", "--login", login];
        self.server.administer(&arguments).unwrap();
    }

    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn phone(&self, login: &str) -> Phone {
        Phone::enrol(&self.server, self.home(&format!("phone-{login}")), login).await.unwrap()
    }

    /// An enrolment link of the server itself, without a proxy between.
    pub(crate) fn link(&self, login: &str) -> String {
        let printed = self.server.administer(&["device", "enrol", login]).unwrap();
        let link = printed.split_whitespace().find(|word| word.starts_with("fieldbook://")).unwrap();
        at_address(link, &self.server.address.to_string())
    }
}

/// The same link with another host and port.
pub(crate) fn at_address(link: &str, address: &str) -> String {
    let (_, query) = link.split_once("/enrol").unwrap();
    format!("fieldbook://{address}/enrol{query}")
}

/// Runs the phone to its end, in English.
pub(crate) fn phone(home: &Path, arguments: &[&str]) -> Output {
    Command::new(program("fieldbook-phone").unwrap())
        .args(["--lang", "en", "--home"])
        .arg(home)
        .args(arguments)
        .output()
        .unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A visit that the form accepts.
pub(crate) fn visit(narrative: &str) -> Value {
    json!({
        "about": {
            "household": "5b1f6f0e-3a57-4c55-9d0c-8f7f3f2a1c01",
            "head_name": "才让卓玛",
            "event_date": "2024-05-01",
        },
        "visitors": [{ "visitor": "多杰" }],
        "when": { "type": "phone", "visited_at": "2024-05-01T10:00:00.000+08:00" },
        "situation": { "changes": ["none"], "narrative": narrative },
    })
}

async fn only(phone: &Phone, kind: &str) -> Value {
    let mut records = phone.export(kind).await.unwrap();
    assert_eq!(records.len(), 1, "{records:?}");
    records.remove(0)
}

pub(crate) const RECORD: &str = "0f0e0d0c-0000-4000-8000-000000000001";
pub(crate) const NARRATIVE: &str = "situation/narrative";

#[tokio::test(flavor = "multi_thread")]
async fn two_phones_meet_a_conflict_see_both_values_and_resolve_it() {
    let world = World::start();
    let (a, b) = (world.phone("duojie").await, world.phone("maxiuying").await);
    a.sync().await.unwrap();
    b.sync().await.unwrap();

    let line = json!({ "id": RECORD, "values": visit("屋顶漏雨") }).to_string();
    assert_eq!(a.feed(&["import", "visit"], &[line]).await.unwrap().trim(), RECORD);
    let sent = a.sync().await.unwrap().pop().unwrap();
    assert_eq!(sent["changes_sent"], 1, "{sent}");
    assert_eq!((&sent["changes_transcoded"], &sent["changes_raw"]), (&json!(1), &json!(0)), "{sent}");
    let received = b.sync().await.unwrap().pop().unwrap();
    assert_eq!(received["changes_received"], 1, "{received}");
    assert_eq!((&received["changes_transcoded"], &received["changes_raw"]), (&json!(1), &json!(0)), "{received}");
    assert_eq!(only(&b, "visit").await["values"], only(&a, "visit").await["values"]);

    let edit = |text: &str| vec![json!({ "id": RECORD, "set": { NARRATIVE: text } }).to_string()];
    a.feed(&["edit"], &edit("屋顶已修")).await.unwrap();
    b.feed(&["edit"], &edit("屋顶仍漏")).await.unwrap();
    for phone in [&a, &b, &a] {
        let report = phone.sync().await.unwrap().pop().unwrap();
        assert_eq!(report["changes_raw"], 0, "{report}");
    }
    let (mine, theirs) = (only(&a, "visit").await, only(&b, "visit").await);
    assert_eq!(mine["heads"], theirs["heads"]);
    for record in [&mine, &theirs] {
        let conflicts = record["conflicts"].as_array().unwrap();
        assert_eq!(conflicts.len(), 1, "{record}");
        assert_eq!(conflicts[0]["path"], NARRATIVE);
        let mut sides: Vec<(&str, &str)> = conflicts[0]["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|side| (side["author"].as_str().unwrap(), side["value"].as_str().unwrap()))
            .collect();
        sides.sort_unstable();
        assert_eq!(sides, [("多杰", "屋顶已修"), ("马秀英", "屋顶仍漏")], "{record}");
    }

    b.run(&["resolve", RECORD, NARRATIVE, "屋顶已修"]).await.unwrap();
    b.sync().await.unwrap();
    a.sync().await.unwrap();
    let resolved = only(&a, "visit").await;
    assert_eq!(resolved["conflicts"], json!([]));
    assert_eq!(resolved["values"]["situation"]["narrative"], "屋顶已修");
    let shown: Value = serde_json::from_str(&a.run(&["show", RECORD]).await.unwrap()).unwrap();
    let written: Vec<&str> = shown["history"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|save| save["touched"].as_array().unwrap())
        .filter(|touched| touched["path"] == NARRATIVE)
        .map(|touched| touched["value"].as_str().unwrap())
        .collect();
    assert!(written.contains(&"屋顶仍漏") && written.contains(&"屋顶已修"), "{written:?}");
    assert_eq!(shown["sync"], "on_server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_is_named_and_leaves_nothing_and_the_others_are_saved() {
    let world = World::start();
    let phone = world.phone("duojie").await;
    phone.sync().await.unwrap();
    let good = "0f0e0d0c-0000-4000-8000-00000000000a";
    let file = world.home("lines.ndjson");
    let mut wrong_type = visit("一");
    wrong_type["when"]["type"] = json!("by_horse");
    let lines = [
        json!({ "id": good, "values": visit("二") }).to_string(),
        json!({ "id": "0f0e0d0c-0000-4000-8000-00000000000b", "values": wrong_type }).to_string(),
        "{ no json".to_owned(),
        json!({ "values": { "no_such_field": 1 } }).to_string(),
        json!({ "id": good, "values": visit("三") }).to_string(),
        json!({ "values": visit("四"), "sumbit": true }).to_string(),
    ];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let output = self::phone(&phone.home, &["import", "visit", file.to_str().unwrap()]);
    assert!(!output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), good);
    let said = said(&output);
    for line in 2..=6 {
        assert!(said.contains(&format!("line {line}:")), "{said}");
    }
    assert!(said.contains("by_horse") && said.contains("no_such_field") && said.contains("sumbit"), "{said}");
    let records = phone.export("visit").await.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["values"]["situation"]["narrative"], "二");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_tells_what_it_used_and_when_its_first_record_could_be_listed() {
    let world = World::start();
    let (a, b) = (world.phone("duojie").await, world.phone("maxiuying").await);
    a.sync().await.unwrap();
    a.feed(&["import", "visit"], &[json!({ "values": visit("屋顶漏雨") }).to_string()]).await.unwrap();
    a.sync().await.unwrap();

    let sync = ["sync", "--json", "--first-of", "visit"];
    let before = b.line.counted();
    let report: Value = serde_json::from_str(&b.run(&sync).await.unwrap()).unwrap();
    let line = b.line.counted().since(before);
    let number = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("{key}: {report}"));
    assert!(number("first_listed_s") > 0.0 && number("first_listed_s") <= number("seconds") + 1.0, "{report}");
    assert!(number("cpu_ms") > 0.0 && number("peak_resident_kb") > 1_000.0, "{report}");
    // What TLS adds: 22 bytes a record (RFC 8446 §5.2) and a handshake.
    let added = (line.bytes_up + line.bytes_down) as f64 - number("bytes_up") - number("bytes_down");
    let handshake = added - 22.0 * line.records as f64;
    assert!((200.0..3_000.0).contains(&handshake), "{line:?} {report}");

    let again: Value = serde_json::from_str(&b.run(&sync).await.unwrap()).unwrap();
    assert_eq!(again["first_listed_s"], Value::Null, "there was a record before");
}

/// Remembers how many changes had arrived whenever something moved.
#[derive(Default)]
struct Heard(std::sync::Mutex<Vec<u64>>);

impl SyncListener for Heard {
    fn progress(&self, progress: Progress) {
        self.0.lock().unwrap().push(progress.changes_received);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_while_a_download_runs() {
    const VISITS: usize = 300;
    let world = World::start();
    let a = world.phone("duojie").await;
    a.sync().await.unwrap();
    // Digits that do not compress: the download takes several frames.
    let digits = |number: usize| hex::encode(Sha256::digest(number.to_string())).repeat(2);
    let lines: Vec<String> =
        (0..VISITS).map(|number| json!({ "values": visit(&digits(number)) }).to_string()).collect();
    a.feed(&["import", "visit"], &lines).await.unwrap();
    a.sync().await.unwrap();

    let slow = Line { bits_per_s: 400_000, ..Line::default() };
    let line = Proxy::start(world.server.address, slow).await.unwrap();
    let link = at_address(&world.link("maxiuying"), &line.address().to_string());
    let home = world.home("phone-b");
    let heard = tokio::task::spawn_blocking(move || {
        let heard = Heard::default();
        let book = fieldbook_tests::bench::open(&home).unwrap();
        book.enrol(&link, "b").unwrap();
        let report = book.sync(&heard, &CancelFlag::default()).unwrap();
        assert_eq!(report.changes_received, VISITS as u64);
        heard.0.into_inner().unwrap()
    });
    let heard = heard.await.unwrap();
    assert!(heard.iter().any(|received| (1..VISITS as u64).contains(received)), "only the end was told: {heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_sync_is_one_request_and_search_finds_by_initials() {
    let world = World::start();
    let phone = world.phone("duojie").await;
    let line = json!({ "values": visit("三") }).to_string();
    phone.sync().await.unwrap();
    phone.feed(&["import", "visit"], &[line]).await.unwrap();
    phone.sync().await.unwrap();
    phone.sync().await.unwrap();
    let idle = phone.sync().await.unwrap().pop().unwrap();
    assert_eq!(idle["requests"], 1, "{idle}");
    let bytes = idle["bytes_up"].as_u64().unwrap() + idle["bytes_down"].as_u64().unwrap();
    assert!(bytes <= 450, "{idle}");
    for text in ["才让", "crzm", "才让·卓玛"] {
        assert_eq!(phone.run(&["search", text]).await.unwrap().lines().count(), 1, "{text}");
    }
    assert_eq!(phone.run(&["search", "仁青"]).await.unwrap(), "");
}
