//! A phone that cannot write any more. The system refuses to let a file grow (RLIMIT_FSIZE), which needs no rights and
//! no file system of its own; SQLite meets it as a failed write, like a full disk or an exhausted quota.

use std::path::Path;
use std::process::{Command, Output};

use fieldbook_tests::demo::stage::program;
use serde_json::{Value, json};

use super::super::phone::{World, phone, said, visit};

/// Bytes of the unit that `ulimit -f` counts in (POSIX).
const BLOCK_BYTES: u64 = 512;

/// Runs the phone while no file may grow beyond `bytes`.
fn cramped(home: &Path, bytes: u64, arguments: &[&str]) -> Output {
    // The signal is ignored, so that the write fails instead of the process being ended.
    let script = format!("trap '' XFSZ; ulimit -f {} && exec \"$@\"", bytes / BLOCK_BYTES);
    Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(program("fieldbook-phone").unwrap())
        .args(["--lang", "en", "--home"])
        .arg(home)
        .args(arguments)
        .output()
        .unwrap()
}

fn lines(output: &Output) -> Vec<String> {
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn ids(home: &Path) -> Vec<String> {
    let mut ids: Vec<String> = lines(&phone(home, &["list", "visit"]))
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

#[test]
fn a_full_disk_is_told_and_stores_nothing_half() {
    let world = World::start();
    let (a, b) = (world.home("a"), world.home("b"));
    for (home, login) in [(&a, "duojie"), (&b, "maxiuying")] {
        assert!(phone(home, &["enrol", &world.link(login)]).status.success());
        assert!(phone(home, &["sync"]).status.success());
    }
    let file = world.home("lines.ndjson");
    let text: Vec<String> = (0..400).map(|n| json!({ "values": visit(&format!("第{n}次")) }).to_string()).collect();
    std::fs::write(&file, text.join("\n")).unwrap();
    let size = |home: &Path| std::fs::metadata(home.join("fieldbook.db")).unwrap().len();

    let output = cramped(&a, size(&a) + 500_000, &["import", "visit", file.to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(said(&output).contains("storage_full"), "{}", said(&output));
    let printed = lines(&output);
    assert!(printed.len() < 400 && !printed.is_empty(), "{} were printed as saved", printed.len());
    assert_eq!(ids(&a), printed, "what was printed, and nothing else");
    let status: Value = serde_json::from_slice(&phone(&a, &["status"]).stdout).unwrap();
    assert_eq!(status["outbox_changes"], printed.len());

    // With room again all goes on, and what had failed can be done again.
    assert!(phone(&a, &["import", "visit", file.to_str().unwrap()]).status.success());
    let all = ids(&a);
    assert_eq!(all.len(), printed.len() + 400);
    let synced = phone(&a, &["sync"]);
    assert!(synced.status.success(), "{}", said(&synced));

    // The other phone has no room for what comes down.
    let output = cramped(&b, size(&b) + 500_000, &["sync"]);
    assert!(!output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("storage_full"), "{}", said(&output));
    let some = ids(&b);
    assert!(some.len() < all.len() && some.iter().all(|id| all.contains(id)), "{} of {}", some.len(), all.len());
    for id in some.iter().take(20) {
        assert!(phone(&b, &["show", id]).status.success(), "{id} is whole");
    }
    let synced = phone(&b, &["sync"]);
    assert!(synced.status.success(), "{}", said(&synced));
    assert_eq!(ids(&b), all);
}

#[test]
fn storage_that_fails_is_not_called_full() {
    let world = World::start();
    let home = world.home("a");
    assert!(phone(&home, &["enrol", &world.link("duojie")]).status.success());
    assert!(phone(&home, &["sync"]).status.success());
    // Where the database keeps its log, nothing can be opened for writing any more.
    let log = home.join("fieldbook.db-wal");
    std::fs::create_dir(&log).unwrap();
    let output = phone(&home, &["status"]);
    assert!(!output.status.success());
    let told = said(&output);
    assert!(told.contains("storage_failed") && !told.contains("storage_full"), "{told}");
    assert!(told.contains("restart the phone"), "what to do: {told}");
    std::fs::remove_dir(&log).unwrap();
    assert!(phone(&home, &["status"]).status.success(), "nothing was lost");
}
