//! The same server with its rows in PostgreSQL, and several of them on one database.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use fieldbook_tests::demo::stage::{Phone, Server};
use fieldbook_tests::postgres::{self, Postgres};
use fieldbook_tests::proxy::Line;
use serde_json::json;

use super::{NARRATIVE, RECORD, World, visit};
use crate::inside::noise;

/// The address of a new database, where `FIELDBOOK_TEST_POSTGRES` names a PostgreSQL server.
pub(super) fn database() -> Option<String> {
    let server = std::env::var("FIELDBOOK_TEST_POSTGRES").ok()?;
    Some(postgres::database(&server).unwrap())
}

const NOTES: usize = 40;
/// Visits on the server: more than what is sealed at least.
const SEALED: usize = 280;
/// Characters of noise in each.
const NOTE_CHARS: usize = 350;
/// Within this a server does what it looks for when it starts.
const FOLLOWED_MS: u64 = 20_000;
/// How often the database ends all connections during one exchange, and how long after the time before.
const CUTS: u32 = 30;
const CUT_EVERY_MS: u64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_on_one_database_serve_phones_that_move_between_them() {
    let server = Postgres::start().unwrap();
    let mut world = World::start_on(Some(postgres::database(&server.address).unwrap()));
    let data = world.folder.path().join("server");
    let second = Server::start(&data).unwrap();
    let (first, second) = (world.server.address, second);
    let (a, b) = (world.phone("duojie").await, world.phone("maxiuying").await);
    b.line.set_server(second.address);
    a.sync().await.unwrap();
    b.sync().await.unwrap();

    let lines: Vec<String> =
        (0..NOTES).map(|at| json!({ "values": visit(&format!("第{at}户")) }).to_string()).collect();
    let shared = json!({ "id": RECORD, "values": visit("屋顶漏雨") }).to_string();
    a.feed(&["import", "visit"], &[lines.clone(), vec![shared]].concat()).await.unwrap();
    let sent = a.sync().await.unwrap().pop().unwrap();
    assert_eq!(sent["changes_sent"], NOTES + 1, "{sent}");
    let received = b.sync().await.unwrap().pop().unwrap();
    assert_eq!(received["changes_received"], NOTES + 1, "by the other process: {received}");

    // Both write the same answer, and send it in the same moment, each by its process.
    let edit = |text: &str| vec![json!({ "id": RECORD, "set": { NARRATIVE: text } }).to_string()];
    a.feed(&["edit"], &edit("屋顶已修")).await.unwrap();
    b.feed(&["edit"], &edit("屋顶仍漏")).await.unwrap();
    let (one, other) = tokio::join!(a.sync(), b.sync());
    one.and(other).unwrap();
    a.line.set_server(second.address);
    b.line.set_server(first);
    a.sync().await.unwrap();
    b.sync().await.unwrap();
    let find = |records: Vec<serde_json::Value>| records.into_iter().find(|record| record["id"] == RECORD).unwrap();
    let (mine, theirs) = (find(a.export("visit").await.unwrap()), find(b.export("visit").await.unwrap()));
    assert_eq!(mine["heads"], theirs["heads"]);
    assert_eq!(mine["conflicts"][0]["values"].as_array().unwrap().len(), 2, "{mine}");

    b.feed(&["import", "visit"], &lines).await.unwrap();
    sync_while_the_database_fails(&b, &server.address).await;
    a.sync().await.unwrap();
    assert_eq!(a.export("visit").await.unwrap().len(), 2 * NOTES + 1);

    // A process dies in the middle of an exchange: the phone goes on with the other one.
    b.feed(&["import", "visit"], &lines).await.unwrap();
    b.line.set_line(Line { bits_per_s: 8_000, ..Line::default() });
    let (broken, ()) = tokio::join!(b.sync(), async {
        tokio::time::sleep(std::time::Duration::from_millis(900)).await;
        world.server.end().unwrap();
    });
    assert!(broken.is_err(), "{broken:?}");
    b.line.set_server(second.address);
    b.line.set_line(Line::default());
    b.sync().await.unwrap();
    a.sync().await.unwrap();
    assert_eq!(a.export("visit").await.unwrap().len(), 3 * NOTES + 1);
    assert_eq!(b.export("visit").await.unwrap().len(), 3 * NOTES + 1);
    let verified = second.administer(&["verify"]).unwrap();
    assert!(!verified.contains("fault"), "{verified}");
    let backup = data.with_extension("age");
    second.back_up(&backup).unwrap();
    let refused = Server::restore(&data, &backup).unwrap_err();
    assert!(refused.contains("in use"), "{refused}");
}

/// The database ends all connections over and over in the middle of an exchange, and comes back each time.
async fn sync_while_the_database_fails(phone: &Phone, address: &str) {
    phone.line.set_line(Line { bits_per_s: 64_000, ..Line::default() });
    let (_, ()) = tokio::join!(phone.sync(), async {
        for _ in 0..CUTS {
            tokio::time::sleep(std::time::Duration::from_millis(CUT_EVERY_MS)).await;
            postgres::cut(address).unwrap();
        }
    });
    phone.line.set_line(Line::default());
    let after = phone.sync().await.unwrap().pop().unwrap();
    assert_eq!(after["not_taken"], 0, "{after}");
}

/// Names of the segments that lie in a server's folder.
fn segments(data: &Path) -> BTreeSet<String> {
    let Ok(listed) = std::fs::read_dir(data.join("segments")) else { return BTreeSet::new() };
    listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_machines_share_a_database_and_what_lies_beside_it() {
    let postgres = Postgres::start().unwrap();
    let url = postgres::database(&postgres.address).unwrap();
    let mut world = World::start_on(Some(url.clone()));
    // Another machine: nothing but the database is shared.
    let (here, there) = (world.home("server"), world.home("other"));
    std::fs::write(there.with_extension("database"), url).unwrap();
    let second = Server::start(&there).unwrap();
    let near = world.phone("duojie").await;
    near.sync().await.unwrap();
    let mut seed = 31;
    let note = |_| json!({ "values": visit(&noise(&mut seed, NOTE_CHARS)) }).to_string();
    let mut lines: Vec<String> = (1..SEALED).map(note).collect();
    lines.insert(0, json!({ "id": RECORD, "values": visit("屋顶漏雨") }).to_string());
    near.feed(&["import", "visit"], &lines).await.unwrap();
    near.sync().await.unwrap();

    let far = world.phone("maxiuying").await;
    far.sync().await.unwrap();
    let sealed = segments(&here);
    assert!(!sealed.is_empty() && segments(&there).is_empty());
    let moved = Phone::enrol(&second, world.home("phone-moved"), "maxiuying").await.unwrap();
    moved.sync().await.unwrap();
    assert_eq!(moved.export("visit").await.unwrap().len(), SEALED);
    assert_eq!((segments(&here), segments(&there)), (sealed.clone(), sealed.clone()), "sealed once, by the first");

    second.administer(&["record", "purge", RECORD, "--reason", "asked for"]).unwrap();
    let gone: BTreeSet<_> = sealed.difference(&segments(&there)).cloned().collect();
    assert!(!gone.is_empty(), "the record was in a segment");
    // What follows others runs from a server's start on, and every half minute.
    world.server.end().unwrap();
    world.server.start_again().unwrap();
    let since = Instant::now();
    let list = |data: &Path| std::fs::read_to_string(data.join("never-again.list")).unwrap_or_default();
    while list(&here).is_empty() && since.elapsed() < Duration::from_millis(FOLLOWED_MS) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(list(&here), list(&there));
    assert!(segments(&here).is_disjoint(&gone), "what was removed at one is removed at the other");
    for server in [&world.server, &second] {
        let verified = server.administer(&["verify"]).unwrap();
        assert!(!verified.contains("fault"), "{verified}");
    }
    far.sync().await.unwrap();
    assert_eq!(far.export("visit").await.unwrap().len(), SEALED - 1);
}
