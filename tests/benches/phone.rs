//! `make bench`: what a phone with 20,000 records costs its user; medians of one run, JSON under `target/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldbook_core::access::Area;
use fieldbook_core::client::net::CancelFlag;
use fieldbook_core::client::{Fieldbook, Patch};
use fieldbook_core::forms::{EvalTime, FieldPath, FormSession, builtin, generate};
use fieldbook_tests::bench::{KIND, enrolled, fill, open, server_with_twenty_feeds};
use fieldbook_tests::meter::{OWN, own_cpu_ms, peak_resident_kb};
use serde_json::{Value, json};

/// Records on the phone; `--records N` takes a quicker look, but the targets are meant for these.
const RECORDS: u32 = 20_000;
/// Records that are saved.
const SAVE_RECORDS: usize = 40;
/// Changes that each has before it is measured.
const CHANGES_BEFORE: usize = 50;
/// Measured saves of each.
const SAVES_EACH: usize = 3;
const ROUNDS: usize = 51;

struct Row {
    what: &'static str,
    measured: f64,
    unit: &'static str,
    target: f64,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn timed_ms(mut work: impl FnMut()) -> f64 {
    median(
        (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                work();
                start.elapsed().as_secs_f64() * 1000.0
            })
            .collect(),
    )
}

fn edit(id: &str, number: usize) -> Patch {
    let mut set = serde_json::Map::new();
    set.insert("wage_income".into(), json!(number));
    Patch { id: id.parse().unwrap(), set, add: Default::default(), remove: Default::default(), submit: false }
}

/// CPU of one save on a record that has 50 changes, in ms: of a form that was open, and by script on a record that was
/// not touched for some time, so that its document is loaded first. Medians.
fn save_cpu_ms(phone: &Arc<Fieldbook>) -> (f64, f64) {
    let rows = phone.list(KIND, &Default::default(), None, SAVE_RECORDS).unwrap();
    let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
    let save = |id: &str, number: usize| {
        phone.edit(&[edit(id, number)]).unwrap().remove(0).unwrap();
    };
    for number in 0..CHANGES_BEFORE {
        ids.iter().for_each(|id| save(id, number));
    }
    let (mut open, mut by_script) = (Vec::new(), Vec::new());
    for number in 0..SAVES_EACH {
        for id in &ids {
            let before = own_cpu_ms();
            save(id, 1_000 + number);
            by_script.push(own_cpu_ms() - before);
        }
        for row in &rows {
            let form = phone.open_form(KIND, Some(row.id)).unwrap();
            form.set("wage_income", &json!(2_000 + number)).unwrap();
            let before = own_cpu_ms();
            form.save().unwrap();
            open.push(own_cpu_ms() - before);
        }
    }
    (median(open), median(by_script))
}

/// fsync calls of this program run again as a phone that saves `n` times, by strace.
fn fsyncs(home: &Path, id: &str, n: usize) -> u64 {
    let trace = home.with_extension("trace");
    let status = Command::new("strace")
        .args(["-f", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .arg("--saves")
        .arg(home)
        .args([id, &n.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    let calls = std::fs::read_to_string(&trace).unwrap();
    calls.lines().filter(|line| line.contains("fsync(") || line.contains("fdatasync(")).count() as u64
}

fn save_repeatedly(home: &Path, id: &str, n: usize) {
    let phone = open(home).unwrap();
    for number in 0..n {
        phone.edit(&[edit(id, 1_000_000 + n * 1_000 + number)]).unwrap().remove(0).unwrap();
    }
    phone.close().unwrap();
}

fn household_answer_ms() -> f64 {
    let form = builtin().unwrap().into_iter().find(|form| form.definition().kind == "household").unwrap();
    assert_eq!(form.definition().area, Area::Aid);
    let form = Arc::new(form);
    let time = EvalTime { time_s: 1_790_000_000, record: String::new() };
    let filled = generate::fill(&form, 5, time.clone());
    let mut session = FormSession::new(form, filled.values, time, "zh-Hans");
    let path = FieldPath::root("economy/annual_income");
    let mut number = 0;
    // The answer, and the screen drawn again.
    timed_ms(|| {
        number += 100;
        session.set(&path, &json!(number)).unwrap();
        assert!(session.questions().len() > 50);
    })
}

fn first_list_ms(home: &Path) -> f64 {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let phone = open(home).unwrap();
        assert_eq!(phone.list(KIND, &Default::default(), None, 50).unwrap().len(), 50);
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        phone.close().unwrap();
    }
    median(times)
}

/// Runs this program again as a phone that opens, lists, searches, syncs and exports a page; its peak memory in MB.
fn resident_mb(home: &Path) -> f64 {
    let own = std::env::current_exe().unwrap();
    let output = Command::new(own).arg("--resident").arg(home).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().unwrap() / 1000.0
}

fn as_a_phone(home: &Path) {
    let phone = open(home).unwrap();
    let first = phone.list(KIND, &Default::default(), None, 50).unwrap();
    phone.search("王", 50).unwrap();
    phone.record(first[0].id).unwrap();
    phone.sync(&(), &CancelFlag::default()).unwrap();
    println!("{}", peak_resident_kb(OWN).unwrap());
}

fn idle_sync(phone: &Fieldbook) -> (f64, f64) {
    phone.sync(&(), &CancelFlag::default()).unwrap();
    let report = phone.sync(&(), &CancelFlag::default()).unwrap();
    ((report.bytes_up + report.bytes_down) as f64, f64::from(u32::try_from(report.requests).unwrap()))
}

fn report(records: u32, rows: &[Row]) {
    println!("\n{:<58} {:>10} {:>10}", format!("a phone with {records} records"), "measured", "at most");
    let mut all = Vec::new();
    for row in rows {
        let mark = if row.measured <= row.target { "" } else { "  over" };
        println!("{:<58} {:>7.2} {} {:>7} {}{mark}", row.what, row.measured, row.unit, row.target, row.unit);
        all.push(json!({ "what": row.what, "measured": row.measured, "unit": row.unit, "target": row.target }));
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bench.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, Value::Array(all).to_string()).unwrap();
    println!("(JSON in target/bench.json)");
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--resident") {
        return as_a_phone(Path::new(&arguments[at + 1]));
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "--saves") {
        return save_repeatedly(Path::new(&arguments[at + 1]), &arguments[at + 2], arguments[at + 3].parse().unwrap());
    }
    let after =
        |word: &str| arguments.iter().position(|argument| argument == word).and_then(|at| arguments.get(at + 1));
    let records: u32 = after("--records").map_or(RECORDS, |text| text.parse().unwrap());
    let folder = std::env::temp_dir().join(format!("fieldbook-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let home = folder.join("phone");
    let server = server_with_twenty_feeds(&folder).unwrap();
    let phone = enrolled(&server, &home, "county").unwrap();
    let start = Instant::now();
    fill(&phone, 1, 0..records).unwrap();
    println!("{records} records imported in {:.1} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    phone.sync(&(), &CancelFlag::default()).unwrap();
    println!("and synced to a server on this machine in {:.1} s", start.elapsed().as_secs_f64());

    let id = phone.list(KIND, &Default::default(), None, 1).unwrap()[0].id.to_string();
    let (idle_bytes, idle_requests) = idle_sync(&phone);
    let search_ms = timed_ms(|| assert!(!phone.search("王伟", 50).unwrap().is_empty()));
    let (save_ms, script_ms) = save_cpu_ms(&phone);
    phone.close().unwrap();
    let per_save = (fsyncs(&home, &id, 60) as f64 - fsyncs(&home, &id, 10) as f64) / 50.0;
    report(
        records,
        &[
            Row { what: "one save on a record with 50 changes: CPU", measured: save_ms, unit: "ms", target: 1.0 },
            Row { what: "the same by script, not opened before: CPU", measured: script_ms, unit: "ms", target: 1.0 },
            Row { what: "one save: fsync calls", measured: per_save, unit: "  ", target: 1.0 },
            Row {
                what: "open the store and list the first 50",
                measured: first_list_ms(&home),
                unit: "ms",
                target: 8.0,
            },
            Row { what: "search for a name", measured: search_ms, unit: "ms", target: 1.0 },
            Row { what: "an answer in the household form", measured: household_answer_ms(), unit: "ms", target: 1.0 },
            Row { what: "idle sync: HTTP both ways, open connection", measured: idle_bytes, unit: "B ", target: 450.0 },
            Row { what: "idle sync: requests", measured: idle_requests, unit: "  ", target: 1.0 },
            Row {
                what: "resident after list, search, record, sync",
                measured: resident_mb(&home),
                unit: "MB",
                target: 80.0,
            },
        ],
    );
    drop(server);
    std::thread::sleep(Duration::from_millis(50));
    let _ = std::fs::remove_dir_all(folder);
}
