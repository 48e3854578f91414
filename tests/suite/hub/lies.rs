//! Hubs that lie: the real process over a database in which somebody has changed something.

use std::path::Path;

use fieldbook_core::client::ErrorKind;
use fieldbook_core::ids::{ChangeHash, RecordId};
use fieldbook_core::protocol::{EntryBody, Statement, change_hash};
use fieldbook_core::store::SyncState;
use fieldbook_core::sync::{from_cbor, to_cbor};
use fieldbook_tests::demo::stage::Server;
use rusqlite::Connection;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Town, at, database, knows, note, shown, try_at, until};
use crate::office::{Phone, id};

/// What is changed in the hub's database.
type Lie = (&'static str, fn(&Connection));

/// The feed of the notes, and the position of the entry that brought a record.
fn place(tx: &Connection, record: RecordId) -> (i64, i64) {
    let text = "SELECT feed, position FROM entries WHERE record = ?1 ORDER BY position LIMIT 1";
    tx.query_row(text, [record.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

fn body(tx: &Connection, (feed, position): (i64, i64)) -> EntryBody {
    let text = "SELECT body FROM entries WHERE feed = ?1 AND position = ?2";
    let bytes: Vec<u8> = tx.query_row(text, (feed, position), |row| row.get(0)).unwrap();
    from_cbor(&bytes).unwrap()
}

fn put_body(tx: &Connection, (feed, position): (i64, i64), body: &EntryBody) {
    let hash = match body {
        EntryBody::Change { bytes, .. } => change_hash(bytes).map(|hash| hash.as_bytes().to_vec()),
        _ => None,
    };
    let text = "UPDATE entries SET body = ?3, hash = ?4 WHERE feed = ?1 AND position = ?2";
    assert_eq!(tx.execute(text, (feed, position, to_cbor(body), hash)).unwrap(), 1);
}

/// Another text in a change, as long as the one before: everything else still fits.
fn forged(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    let mut forged = bytes.to_vec();
    forged[at..at + from.len()].copy_from_slice(to.as_bytes());
    let checksum = Sha256::digest(&forged[8..]);
    forged[4..8].copy_from_slice(&checksum[..4]);
    assert!(change_hash(&forged).is_some(), "a change of its own");
    forged
}

const TITLE: &str = "屋顶漏雨";
const FORGED: &str = "屋顶完好";

fn flip(tx: &Connection) {
    let place = place(tx, id(1));
    let EntryBody::Change { record, first, bytes } = body(tx, place) else { panic!("no change") };
    put_body(tx, place, &EntryBody::Change { record, first, bytes: forged(&bytes, TITLE, FORGED).into() });
}

fn drop_one(tx: &Connection) {
    let (feed, position) = place(tx, id(1));
    tx.execute("DELETE FROM entries WHERE feed = ?1 AND position = ?2", (feed, position)).unwrap();
    for text in [
        "UPDATE entries SET position = -(position - 1) WHERE feed = ?1 AND position > ?2",
        "UPDATE entries SET position = -position WHERE feed = ?1 AND position < 0 AND ?2 > 0",
        "UPDATE heads SET position = position - 1 WHERE feed = ?1 AND position = (SELECT max(position) FROM heads WHERE feed = ?1) AND ?2 > 0",
    ] {
        tx.execute(text, (feed, position)).unwrap();
    }
}

fn reorder(tx: &Connection) {
    let (one, other) = (place(tx, id(1)), place(tx, id(2)));
    let (first, second) = (body(tx, one), body(tx, other));
    put_body(tx, one, &second);
    put_body(tx, other, &first);
    let text = "UPDATE entries SET record = ?3 WHERE feed = ?1 AND position = ?2";
    tx.execute(text, (one.0, one.1, id(2).as_bytes())).unwrap();
    tx.execute(text, (other.0, other.1, id(1).as_bytes())).unwrap();
}

/// An entry behind the last, under a head that the server has signed for something else.
fn invent(tx: &Connection) {
    let (feed, _) = place(tx, id(1));
    let invented = to_cbor(&EntryBody::Purge { record: id(9) });
    for text in [
        "INSERT INTO entries(feed, position, received_ms, chain, body)
         SELECT feed, position + 1, received_ms, chain, ?2 FROM entries WHERE feed = ?1 ORDER BY position DESC LIMIT 1",
        "INSERT INTO heads SELECT feed, position + 1, epoch, chain, time_ms, signature FROM heads
         WHERE feed = ?1 AND length(?2) > 0 ORDER BY position DESC LIMIT 1",
    ] {
        assert_eq!(tx.execute(text, (feed, &invented)).unwrap(), 1);
    }
}

/// Without any head: the hub shows entries that it says are the server's.
fn backdate(tx: &Connection) {
    let (feed, position) = place(tx, id(2));
    let text = "UPDATE entries SET received_ms = received_ms - 86400000 WHERE feed = ?1 AND position = ?2";
    assert_eq!(tx.execute(text, (feed, position)).unwrap(), 1);
}

/// The town's hub has mirrored two records of `a`, and the phone that is returned has seen neither.
fn mirrored() -> (Town, Phone) {
    let mut town = Town::open();
    let (a, b) = town.office.two();
    until("the hub knows the phones", || town.status("devices served") == 2);
    // The first record that the phone has, so that all feeds are there.
    note(&b, 9, "自己的");
    b.sync();
    note(&a, 1, TITLE);
    note(&a, 2, "第二条");
    a.sync();
    let before = town.status("log entries held");
    until("the hub mirrors", || town.status("log entries held") >= before && mirrored_both(&town));
    town.online(false);
    town.end_hub();
    (town, b)
}

fn mirrored_both(town: &Town) -> bool {
    let tx = database(&town.data());
    let text = "SELECT count(DISTINCT record) FROM entries WHERE record IN (?1, ?2)";
    tx.query_row(text, (id(1).as_bytes(), id(2).as_bytes()), |row| row.get::<_, i64>(0)).unwrap() == 2
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_hub_that_lies_about_the_servers_log_is_noticed_and_nothing_of_it_is_used() {
    let (town, b) = mirrored();
    let lies: [Lie; 5] =
        [("flip", flip), ("drop", drop_one), ("reorder", reorder), ("invent", invent), ("backdate", backdate)];
    // The phone's own unsent work must not be shown as safe on the word of a hub that lies.
    let own = note(&b, 20, "未发送");
    for (name, lie) in lies {
        let data = town.office.world.home(&format!("hub-{name}"));
        copy(&town.data(), &data);
        lie(&database(&data));
        let hub = Server::start_hub(&data, None).unwrap();
        let status = || fieldbook_core::store::Status { free_bytes: None, ..b.book.status().unwrap().store };
        let before = status();
        let error = try_at(&b, &hub).unwrap_err();
        assert_eq!(error.kind, ErrorKind::ServerIdentity, "{name}: {error:?}");
        assert!(error.message.contains(&hub.address.to_string()), "{name} names the hub: {error:?}");
        assert!(!knows(&b, id(1)) && !knows(&b, id(2)) && knows(&b, id(9)), "{name}: nothing was applied");
        assert_eq!(status(), before, "{name}");
        assert_eq!(shown(&b, own), SyncState::SavedHere, "{name}: its word counts no more");
    }
    // The same hub, untouched, is believed; and then the server.
    let hub = Server::start_hub(&town.data(), None).unwrap();
    at(&b, &hub);
    assert_eq!(b.value(id(1), "/title"), json!(TITLE));
    assert_eq!((shown(&b, id(1)), shown(&b, own)), (SyncState::OnServer, SyncState::AtTownship));
    assert_eq!(b.sync().not_taken, 0);
    assert_eq!(shown(&b, own), SyncState::OnServer);
}

/// Of the phone that brought most.
const OF_ONE: &str = "device = (SELECT device FROM bodies GROUP BY device ORDER BY count(*) DESC LIMIT 1)";

/// What the hub holds of it, by place.
fn held(tx: &Connection) -> Vec<(i64, i64, Vec<u8>)> {
    let mut statement = tx
        .prepare(&format!("SELECT statement, item, bytes FROM bodies WHERE {OF_ONE} ORDER BY statement, item"))
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Puts another body in the place of one, as if it had been brought so.
fn spoil(tx: &Connection) {
    let (statement, item, bytes) = held(tx).remove(1);
    let bytes = forged(&bytes, "本人所写2", "他人所写2");
    let hash = change_hash(&bytes).unwrap();
    let text = format!("UPDATE bodies SET bytes = ?3, hash = ?4 WHERE statement = ?1 AND item = ?2 AND {OF_ONE}");
    assert_eq!(tx.execute(&text, (statement, item, bytes, hash.as_bytes())).unwrap(), 1);
}

fn leave_out(tx: &Connection) {
    let (statement, item, _) = held(tx).remove(1);
    let text = format!("DELETE FROM bodies WHERE statement = ?1 AND item = ?2 AND {OF_ONE}");
    assert_eq!(tx.execute(&text, (statement, item)).unwrap(), 1);
}

fn swap(tx: &Connection) {
    let bodies = held(tx);
    let text = format!("UPDATE bodies SET bytes = ?3, hash = ?4 WHERE statement = ?1 AND item = ?2 AND {OF_ONE}");
    for (to, from) in [(0, 1), (1, 0)] {
        let (statement, item, bytes) = (bodies[to].0, bodies[to].1, &bodies[from].2);
        tx.execute(&text, (statement, item, bytes, change_hash(bytes).unwrap().as_bytes())).unwrap();
    }
}

/// A statement that lists what the phone has not written.
fn forge_statement(tx: &Connection) {
    let text = format!("SELECT number, bytes FROM statements WHERE {OF_ONE} ORDER BY number DESC LIMIT 1");
    let (number, bytes): (i64, Vec<u8>) = tx.query_row(&text, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let mut statement: Statement = from_cbor(&bytes).unwrap();
    statement.changes.insert(0, ChangeHash([7; 32]));
    let text = format!("UPDATE statements SET bytes = ?2 WHERE number = ?1 AND {OF_ONE}");
    assert_eq!(tx.execute(&text, (number, to_cbor(&statement))).unwrap(), 1);
}

#[test]
fn a_hub_that_spoils_what_it_brings_is_noticed_and_the_phone_brings_it_itself() {
    let lies: [Lie; 4] = [("spoil", spoil), ("leave out", leave_out), ("swap", swap), ("forge", forge_statement)];
    for (name, lie) in lies {
        let mut town = Town::open();
        let (a, b) = town.office.two();
        until("the hub knows the phones", || town.status("devices served") == 2);
        town.online(false);
        let records: Vec<RecordId> = (1..=3).map(|number| note(&a, number, &format!("本人所写{number}"))).collect();
        at(&a, town.hub());
        // A neighbour's work is not held up by it.
        let neighbour = note(&b, 8, "邻居");
        at(&b, town.hub());
        town.end_hub();
        lie(&database(&town.data()));
        town.online(true);
        town.start_hub();
        // What was spoilt does not come to the server in the phone's name; the neighbour's work does.
        let waits = if name == "leave out" { 0 } else { records.len() as u64 };
        until(name, || town.status("changes not on the server yet") == waits);
        b.sync();
        assert_eq!(shown(&b, neighbour), SyncState::OnServer, "{name}");
        let report = a.sync();
        assert_eq!(report.not_taken, 0, "{name}: {report:?}");
        b.sync();
        for (number, record) in (1..).zip(&records) {
            assert_eq!(shown(&a, *record), SyncState::OnServer, "{name}");
            assert_eq!(b.value(*record, "/title"), json!(format!("本人所写{number}")), "{name}");
        }
        assert!(a.book.not_taken(0, 10).unwrap().is_empty(), "{name}");
        assert_eq!(a.book.status().unwrap().store.outbox_changes, 0, "{name}");
    }
}
