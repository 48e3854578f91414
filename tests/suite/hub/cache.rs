//! First downloads of a whole township through one hub.

use std::path::PathBuf;

use fieldbook_core::client::net::CancelFlag;
use fieldbook_core::client::{Fieldbook, NewRecord, SyncReport};
use serde_json::json;

use super::{Town, until};
use crate::office::{NOTE, Phone, open};

const PHONES: usize = 20;
const RECORDS: usize = 500;
/// Besides segments: the hub's own exchanges meanwhile, handshakes, headers.
const OTHER_BYTES_MAX: u64 = 60_000;

/// Text that does not compress.
fn noise(seed: usize) -> String {
    use sha2::{Digest, Sha256};
    (0..6).map(|part| hex::encode(Sha256::digest(format!("{seed} {part}")))).collect()
}

fn fill(phone: &Phone) {
    let records: Vec<NewRecord> = (0..RECORDS)
        .map(|number| NewRecord {
            id: None,
            values: json!({ "title": number.to_string(), "remark": noise(number) }),
            submit: false,
        })
        .collect();
    for batch in records.chunks(50) {
        assert!(phone.book.import(NOTE, batch).unwrap().iter().all(Result::is_ok));
    }
    phone.sync();
}

fn near(book: &Fieldbook, hub: &str) -> SyncReport {
    book.sync_with_segments_at(hub, &(), &CancelFlag::default()).unwrap()
}

fn segments(town: &Town) -> Vec<(PathBuf, u64)> {
    let Ok(folder) = std::fs::read_dir(town.data().join("segments")) else { return Vec::new() };
    let files = folder.map(|entry| entry.unwrap());
    files.map(|file| (file.path(), file.metadata().unwrap().len())).collect()
}

#[test]
fn twenty_first_downloads_cost_the_line_to_the_server_one() {
    let town = Town::open();
    let a = town.office.phone("duojie");
    let home = |number: usize| town.office.world.home(&format!("near-{number}"));
    let books: Vec<_> = (0..=PHONES)
        .map(|number| {
            let book = open(&home(number)).unwrap();
            book.enrol(&town.office.world.link("maxiuying"), "test").unwrap();
            book
        })
        .collect();
    let before = town.status("log entries held") as usize;
    fill(&a);
    // Once the mirror has come, what crosses the line is for the phones.
    until("the hub mirrors", || town.status("log entries held") as usize >= before + RECORDS);

    let hub = town.hub().address.to_string();
    let line = town.line.counted();
    std::thread::scope(|threads| {
        for book in &books[..PHONES] {
            threads.spawn(|| near(book, &hub));
        }
    });
    let crossed = town.line.counted().since(line).bytes_down;
    let sealed = segments(&town);
    let bytes: u64 = sealed.iter().map(|(_, bytes)| bytes).sum();
    assert!(bytes > 100_000, "{sealed:?}");
    assert!(crossed < bytes + OTHER_BYTES_MAX, "{crossed} bytes for {bytes} of segments and {PHONES} phones");
    println!("{PHONES} phones: {bytes} bytes of segments, {crossed} bytes from the server to the hub");
    for book in &books[..PHONES] {
        let status = book.status().unwrap().store;
        assert_eq!(status.on_server as usize, RECORDS, "{status:?}");
    }

    // A cache that holds something else is not believed; the server has it.
    for (path, _) in sealed {
        let mut spoilt = std::fs::read(&path).unwrap();
        let middle = spoilt.len() / 2;
        spoilt[middle] ^= 1;
        std::fs::write(&path, spoilt).unwrap();
    }
    near(&books[PHONES], &hub);
    assert_eq!(books[PHONES].status().unwrap().store.on_server as usize, RECORDS);
}
