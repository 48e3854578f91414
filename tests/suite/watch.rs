//! A phone that syncs by itself, beside other processes that save; and many phones at once.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use fieldbook_tests::demo::stage::program;
use serde_json::{Value, json};

use super::office::{NOTE, Office, Phone};
use super::phone::{World, phone, said, visit};

/// Longest wait for a line: far more than any wait that the phone has here.
const LINE_WAIT: Duration = Duration::from_secs(120);
/// After a sync the phone looks once whether its own writes were somebody's saves.
const SETTLE: Duration = Duration::from_secs(3);
/// How long it is watched doing nothing.
const IDLE: Duration = Duration::from_secs(5);

/// A `sync --watch` that runs.
struct Watching {
    child: Child,
    lines: Receiver<Value>,
}

impl Watching {
    fn start(home: &Path) -> Self {
        let mut child = Command::new(program("fieldbook-phone").unwrap())
            .args(["--lang", "en", "--home"])
            .arg(home)
            .args(["sync", "--watch", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in printed.lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn line(&self) -> Value {
        self.lines.recv_timeout(LINE_WAIT).expect("the phone says nothing")
    }

    /// The next line that tells of a sync, and the failures before it.
    fn synced(&self) -> (Value, Vec<Value>) {
        let mut failures = Vec::new();
        loop {
            let line = self.line();
            if line.get("error").is_none() {
                return (line, failures);
            }
            failures.push(line);
        }
    }

    /// How often a thread of the phone has waited and was woken.
    fn wakes(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of_task = |task: std::io::Result<std::fs::DirEntry>| {
            let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
            line.trim().parse::<u64>().unwrap()
        };
        tasks.map(of_task).sum()
    }

    fn signal(&mut self, name: &str) -> bool {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_phone_that_watches_sends_what_is_saved_and_catches_up_when_the_server_is_back() {
    let mut world = World::start();
    let home = world.home("watching");
    let enrolled = phone(&home, &["enrol", &world.link("duojie")]);
    assert!(enrolled.status.success(), "{}", said(&enrolled));
    let mut watching = Watching::start(&home);
    assert_eq!(watching.synced().0["changes_sent"], 0, "the first sync is at once");

    let file = world.home("lines.ndjson");
    let save = |narrative: &str| {
        std::fs::write(&file, json!({ "values": visit(narrative) }).to_string()).unwrap();
        let saved = phone(&home, &["import", "visit", file.to_str().unwrap()]);
        assert!(saved.status.success(), "{}", said(&saved));
    };
    save("屋顶漏雨");
    let (sent, failures) = watching.synced();
    assert_eq!((&sent["changes_sent"], failures.len()), (&json!(1), 0), "{sent}");

    std::thread::sleep(SETTLE);
    let before = watching.wakes();
    std::thread::sleep(IDLE);
    assert_eq!(watching.wakes() - before, 0, "nothing is done where nothing is to be done");

    world.server.end().unwrap();
    save("屋顶已修");
    let failed = watching.line();
    assert_eq!(failed["error"]["kind"], "network", "{failed}");
    let wait_s = failed["retry_in_s"].as_f64().unwrap();
    assert!((1.5..=2.0).contains(&wait_s), "{failed}");
    let failed = watching.line();
    let wait_s = failed["retry_in_s"].as_f64().unwrap();
    assert!((3.0..=4.0).contains(&wait_s), "{failed}");
    world.server.start_again().unwrap();
    let (sent, _) = watching.synced();
    assert_eq!(sent["changes_sent"], 1, "{sent}");
    assert!(watching.signal("-TERM"), "SIGTERM ends it cleanly");
    let mut again = Watching::start(&home);
    assert_eq!(again.synced().0["changes_sent"], 0);
    assert!(again.signal("-INT"), "and so does SIGINT");
}

#[test]
fn fifty_phones_that_arrive_in_one_moment_at_one_township_are_all_served() {
    const PHONES: usize = 50;
    let office = Office::open();
    let phones: Vec<Phone> = (0..PHONES)
        .map(|number| {
            let phone = Phone::at(&office.world.home(&format!("crowd-{number}")));
            phone.book.enrol(&office.world.link("duojie"), "test").unwrap();
            phone
        })
        .collect();
    phones[0].sync();
    let record = phones[0].create(NOTE, None, json!({ "title": "共同的一户" }));
    let start = Barrier::new(PHONES);
    std::thread::scope(|scope| {
        for phone in &phones {
            scope.spawn(|| {
                start.wait();
                phone.sync()
            });
        }
    });
    phones[0].sync();
    for (number, phone) in phones.iter().enumerate() {
        phone.sync();
        phone.set(record, "remark", number.to_string());
    }
    std::thread::scope(|scope| {
        for phone in &phones {
            scope.spawn(|| {
                start.wait();
                phone.sync()
            });
        }
    });
    let county = office.county();
    let page = county.page(record);
    let sides = county.sides(record, "remark");
    assert_eq!(sides.len(), PHONES, "nothing is lost: {page}");
    assert!(office.world.server.administer(&["verify"]).is_ok());
}
