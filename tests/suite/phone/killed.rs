//! SIGKILL of the real phone while it saves and while it syncs: what it printed as saved is there.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use fieldbook_tests::demo::stage::program;
use serde_json::{Value, json};

use super::{World, phone, said, visit};

/// Times that the phone is killed.
const KILLS: u64 = 500;
/// Every how many kills it is a sync that is killed instead of an import.
const SYNC_EVERY: u64 = 4;
/// Lines that an import is given: more than it gets done.
const LINES: u64 = 24;
/// Every how many kills it is an import that lives until it has printed some ids, however slow the machine is.
const PRINTED_EVERY: u64 = 2;
/// The most ids that such an import has printed when its time begins to run.
const PRINTED_MAX: u64 = 6;
/// The longest time that a phone lives, from its start or from the last of those ids.
const LIFE_MS_MAX: u64 = 120;

/// Different for each round and the same in every run (splitmix64).
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn five_hundred_kills_lose_nothing_that_was_printed_as_saved() {
    let world = World::start();
    let home = world.home("a");
    assert!(phone(&home, &["enrol", &world.link("duojie")]).status.success());
    let first = phone(&home, &["sync"]);
    assert!(first.status.success(), "{}", said(&first));
    let mut printed: BTreeSet<String> = BTreeSet::new();
    for round in 0..KILLS {
        let mut life = Duration::from_millis(mixed(round) % LIFE_MS_MAX);
        let mut command = Command::new(program("fieldbook-phone").unwrap());
        command.arg("--home").arg(&home).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        if round % SYNC_EVERY == SYNC_EVERY - 1 {
            command.arg("sync");
        } else {
            command.args(["import", "visit", "-"]);
        }
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            for number in 0..LINES {
                let line = json!({ "values": visit(&format!("{round}-{number}")) });
                // The phone may be gone already.
                if writeln!(input, "{line}").is_err() {
                    return;
                }
            }
        });
        let output = BufReader::new(child.stdout.take().unwrap());
        let (tell, told) = std::sync::mpsc::channel();
        let reader =
            std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut lines = Vec::new();
        if round % PRINTED_EVERY == 0 {
            lines.extend(told.iter().take(1 + (mixed(!round) % PRINTED_MAX) as usize));
            life /= 8;
        }
        std::thread::sleep(life);
        child.kill().unwrap();
        child.wait().unwrap();
        writer.join().unwrap();
        lines.extend(told);
        reader.join().unwrap().unwrap();
        // A last line may be cut; a whole id has 36 characters.
        printed.extend(lines.into_iter().filter(|line| line.len() == 36));
    }
    println!("{} records were printed as saved", printed.len());
    assert!(printed.len() as u64 >= KILLS / PRINTED_EVERY, "only {} records were saved", printed.len());
    let kept = ids(&phone(&home, &["list", "visit"]).stdout);
    let lost: Vec<_> = printed.difference(&kept).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), printed.len());

    let synced = phone(&home, &["sync", "--json"]);
    assert!(synced.status.success(), "{}", said(&synced));
    let other = world.home("b");
    assert!(phone(&other, &["enrol", &world.link("maxiuying")]).status.success());
    let synced = phone(&other, &["sync"]);
    assert!(synced.status.success(), "{}", said(&synced));
    assert_eq!(ids(&phone(&other, &["list", "visit"]).stdout), kept, "the other phone has what this one has");
}

fn ids(listed: &[u8]) -> BTreeSet<String> {
    String::from_utf8_lossy(listed)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect()
}
