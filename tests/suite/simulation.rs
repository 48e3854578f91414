//! A few hundred simulated worlds, and that the simulation itself is what it says: repeatable, and hard on disks.

use std::sync::atomic::{AtomicU64, Ordering};

use fieldbook_core::ports::Disk as _;
use fieldbook_sqlite::rusqlite::Connection;
use fieldbook_tests::simulation::chance::Chance;
use fieldbook_tests::simulation::{Disk, Image, Unsynced, run};

/// Worlds of one run; `make simulate` runs more.
const SEEDS: u64 = 240;
/// Worlds at once.
const THREADS: usize = 2;

#[test]
fn whatever_happens_nothing_acknowledged_or_saved_is_lost_and_all_end_alike() {
    let next = AtomicU64::new(0);
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= SEEDS || !failed.lock().unwrap().is_empty() {
                        return;
                    }
                    let outcome = run(seed);
                    if outcome.wrong.is_some() {
                        failed.lock().unwrap().push(outcome);
                    }
                }
            });
        }
    });
    if let Some(outcome) = failed.lock().unwrap().first() {
        panic!("{}\n{outcome}", outcome.trace.join("\n"));
    }
}

#[test]
fn one_seed_is_one_world() {
    for seed in 1_000..1_004 {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.digest, second.digest, "seed {seed}");
        assert!(first.saves > 0 && first.syncs > 0);
    }
}

const KEY: [u8; 32] = [7; 32];

fn open(folder: &std::path::Path, disk: &Disk) -> Connection {
    fieldbook_sqlite::open(&folder.join("fieldbook.db"), &KEY, disk.vfs()).unwrap()
}

fn rows(connection: &Connection) -> i64 {
    connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(folder.path(), Image::new()).unwrap();
    let mut chance = Chance::new(1);
    let connection = open(folder.path(), &disk);
    connection.execute_batch("CREATE TABLE t(n INTEGER); INSERT INTO t VALUES (1)").unwrap();
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    connection.execute_batch("INSERT INTO t VALUES (2)").unwrap();
    let reader = open(folder.path(), &disk);
    assert_eq!(rows(&reader), 2, "a reader sees what is written");
    disk.restart(Unsynced::Kept, &mut chance);
    assert!(connection.execute_batch("INSERT INTO t VALUES (3)").is_err(), "the process is dead");
    assert_eq!(rows(&open(folder.path(), &disk)), 2);
    let connection = open(folder.path(), &disk);
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    connection.execute_batch("INSERT INTO t VALUES (3)").unwrap();
    disk.restart(Unsynced::Lost, &mut chance);
    assert_eq!(rows(&open(folder.path(), &disk)), 2, "what was not synced is gone, and the file is whole");
}

#[test]
fn any_single_write_can_fail_or_be_the_last() {
    for kill in [false, true] {
        let mut refused = 0;
        for write in 0..40 {
            let folder = tempfile::tempdir().unwrap();
            let disk = Disk::mount(folder.path(), Image::new()).unwrap();
            let connection = open(folder.path(), &disk);
            connection.execute_batch("CREATE TABLE t(n INTEGER)").unwrap();
            if kill {
                disk.crash_in(write)
            } else {
                disk.fail_in(write)
            }
            let mut saved = 0;
            while saved < 12 && connection.execute_batch("INSERT INTO t VALUES (1)").is_ok() {
                saved += 1;
            }
            refused += i64::from(saved < 12);
            disk.restart(Unsynced::Torn, &mut Chance::new(write));
            let there = rows(&open(folder.path(), &disk));
            assert!(there == saved || there == saved + 1, "write {write}: {saved} were saved, {there} are there");
        }
        assert!(refused >= 12, "only {refused} of 40 faults were met");
    }
}
