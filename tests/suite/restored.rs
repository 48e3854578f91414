//! A server that lost two thirds of its records to an old backup: phones give them back, purges stay, and nothing is
//! served before an administrator has confirmed.

use std::path::Path;

use fieldbook_core::client::{ErrorKind, NewRecord};
use fieldbook_core::ids::RecordId;
use fieldbook_core::store::SyncState;
use fieldbook_tests::demo::stage::Server;
use serde_json::json;

use crate::office::{NOTE, Office, Phone};

/// Records when the backup is made, and in the end.
const BACKED_UP: u64 = 1_000;
const ALL: u64 = 3_000;
/// Records that one import saves.
const BATCH: u64 = 200;
const PURGED: u64 = 5;

fn id(number: u64) -> RecordId {
    let mut bytes = [0x40; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    RecordId(bytes)
}

fn fill(phone: &Phone, numbers: std::ops::Range<u64>) {
    for from in numbers.clone().step_by(BATCH as usize) {
        let batch = from..numbers.end.min(from + BATCH);
        let records: Vec<NewRecord> = batch
            .map(|number| NewRecord {
                id: Some(id(number)),
                values: json!({ "title": format!("note {number}") }),
                submit: false,
            })
            .collect();
        assert!(phone.book.import(NOTE, &records).unwrap().iter().all(Result::is_ok));
    }
}

fn held(phone: &Phone) -> u64 {
    phone.book.kinds().unwrap().iter().filter(|kind| kind.kind == NOTE).map(|kind| kind.records).sum()
}

/// What `verify` counts under a name; it finds no fault.
pub(crate) fn verified(data: &Path, name: &str) -> u64 {
    let printed = Server::command(data, &["verify"]).unwrap();
    let line = printed.lines().find(|line| line.contains(&format!("{name}:"))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn waits(phone: &Phone) {
    let refused = phone.try_sync().unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Refused, "{refused:?}");
    assert!(refused.message.contains("restored"), "{}", refused.message);
}

#[test]
fn phones_give_back_what_a_restored_server_lost_and_purges_stay() {
    let mut office = Office::open();
    let data = office.world.folder.path().join("server");
    let backup = office.world.folder.path().join("backup.db");
    let (a, b) = office.two();
    fill(&a, 0..BACKED_UP);
    a.sync();
    b.sync();
    office.world.server.back_up(&backup).unwrap();
    fill(&a, BACKED_UP..ALL / 2);
    a.sync();
    b.sync();
    fill(&b, ALL / 2..ALL);
    b.sync();
    a.sync();
    let purged: Vec<RecordId> = (0..PURGED).map(|n| id(n * ALL / PURGED)).collect();
    for record in &purged {
        office.world.server.administer(&["record", "purge", &record.to_string(), "--reason", "test"]).unwrap();
    }
    // Only one of the two hears of the purges before the server is lost.
    a.sync();
    assert_eq!((held(&a), held(&b)), (ALL - PURGED, ALL));
    // Not synced yet, on top of what the server is about to lose.
    b.set(id(ALL - 1), "remark", "late");

    let county = office.county();
    office.world.server.end().unwrap();
    let printed = Server::restore(&data, &backup).unwrap();
    assert!(printed.contains("before"), "{printed}");
    office.world.server.start_again().unwrap();
    let refused = county.post("login", &json!({ "login": "licuomao", "password": "x" })).unwrap_err();
    assert!(refused.contains("503"), "the console is closed too: {refused}");
    waits(&a);
    waits(&b);
    assert_eq!(b.book.record(id(ALL - 2)).unwrap().sync, SyncState::Sent, "no longer shown as on the server");
    let shown = Server::command(&data, &["restored"]).unwrap();
    assert_eq!(shown.lines().filter(|line| line.starts_with("purged\t")).count() as u64, PURGED, "{shown}");
    assert!(Server::command(&data, &["restored", "confirm"]).unwrap().contains("confirmed"));

    let before = b.sync();
    assert_eq!(before.erased.len() as u64, PURGED);
    for phone in [&a, &b] {
        phone.sync();
        assert_eq!(held(phone), ALL - PURGED);
        assert_eq!(verified(&data, "records"), ALL - PURGED);
        assert_eq!(verified(&data, "purged"), PURGED);
        assert!(purged.iter().all(|record| phone.book.record(*record).is_err()));
        let status = phone.book.status().unwrap().store;
        assert_eq!((status.on_server, status.outbox_changes), (ALL - PURGED, 0));
    }
    a.sync();
    assert_eq!(a.value(id(ALL - 1), "/remark"), "late");
    let quiet = a.sync();
    assert_eq!((quiet.requests, quiet.changes_received), (1, 0), "all is as before");
}
