//! Requests that come a second time, folders that are put back, folders that live twice: on the real stores of both
//! sides nothing of anybody is lost, nothing is taken twice, and all end with the same.

use fieldbook_core::protocol::ErrorKind;
use fieldbook_core::store::SyncState;
use serde_json::{Value, json};

use super::inside::{Fault, Inside, close, copy, sync_once};
use super::office::{NOTE, Phone, id, sync_all};

/// All that the server's database holds, but for when it heard of a device last.
fn holdings(world: &Inside) -> Vec<String> {
    let tables = world
        .store
        .read(|tx| {
            let tx = tx.sqlite().unwrap();
            let mut names = tx.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
            let names = names.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
            let mut rows = Vec::new();
            for table in names {
                let mut statement = tx.prepare(&format!("SELECT * FROM {table}"))?;
                let columns = statement.column_count();
                let mut found = statement.query([])?;
                while let Some(row) = found.next()? {
                    let values = (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at));
                    rows.push(format!("{table} {:?}", values.collect::<Result<Vec<_>, _>>()?));
                }
            }
            Ok::<_, fieldbook_server::store::StoreError>(rows)
        })
        .unwrap();
    assert!(tables.len() > 20, "{} rows", tables.len());
    tables
}

fn shows(phone: &Phone, number: u8, title: &str) {
    let view = phone.record(id(number));
    assert_eq!((&view.values["title"], view.sync), (&json!(title), SyncState::OnServer), "{number}");
}

/// Every record is the same on every phone, and nothing waits or was left out anywhere.
fn all_agree(world: &Inside, phones: &[&Phone], records: std::ops::RangeInclusive<u8>) {
    for _ in 0..2 {
        sync_all(phones);
    }
    for phone in phones {
        for number in records.clone() {
            let (one, other) = (phones[0].record(id(number)), phone.record(id(number)));
            assert_eq!((&one.heads, &one.values), (&other.heads, &other.values), "{number}");
            assert_eq!(other.sync, SyncState::OnServer, "{number}");
        }
        assert!(phone.book.not_taken(0, 10).unwrap().is_empty());
        assert_eq!(phone.book.status().unwrap().store.outbox_changes, 0);
    }
    assert_eq!(world.count("SELECT count(*) FROM quarantine"), 0);
    world.verify();
}

#[test]
fn a_recorded_request_is_refused_and_changes_nothing() {
    let world = Inside::new();
    let (a, b) = (world.phone("a", "duojie"), world.phone("b", "maxiuying"));
    world.line.recorded();
    a.create(NOTE, Some(id(1)), json!({ "title": "一户" }));
    a.sync();
    b.sync();
    a.set(id(1), "remark", "后来写的");
    let forbidden = json!({ "stage": "approved" });
    a.try_edit(id(1), &forbidden, &Value::Null, &Value::Null).unwrap();
    // One that never got an answer, one that did, and one that only asked.
    world.line.break_after(0, Fault::CutDown(0));
    assert!(sync_once(&a).is_err());
    a.sync();
    b.sync();
    let (before, requests) = (holdings(&world), world.line.recorded());
    assert!(requests.len() >= 5, "{}", requests.len());
    for (number, request) in requests.iter().enumerate() {
        let refused = world.line.send_again(request).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Replayed, "request {number}: {refused:?}");
        assert_eq!(holdings(&world), before, "request {number}");
    }
    // Whoever recorded it does not hold the phones up either.
    a.set(id(1), "phone", "13900000000");
    sync_all(&[&a, &b]);
    assert_eq!(b.value(id(1), "/phone"), "13900000000");
    assert_eq!(a.record(id(1)).heads, b.record(id(1)).heads);
    world.verify();
}

#[test]
fn a_folder_that_is_put_back_loses_nothing_of_anybody() {
    let world = Inside::new();
    let (a, b) = (world.phone("a", "duojie"), world.phone("b", "maxiuying"));
    a.create(NOTE, Some(id(1)), json!({ "title": "一户" }));
    sync_all(&[&a, &b]);
    // Not sent yet when the folder is copied: once sent by the one, once by the other.
    a.create(NOTE, Some(id(2)), json!({ "title": "副本里也有" }));
    a.set(id(1), "remark", "副本里也有");
    close(a);
    copy(&world.home("a"), &world.home("backup"));
    for (round, title) in ["第一次之后", "第二次之后"].into_iter().enumerate() {
        let a = world.at("a");
        let number = 3 + 2 * round as u8;
        a.create(NOTE, Some(id(number)), json!({ "title": title }));
        a.set(id(1), "phone", title);
        a.sync();
        b.set(id(1), "size", 4 + round);
        sync_all(&[&b, &a]);
        close(a);
        std::fs::remove_dir_all(world.home("a")).unwrap();
        copy(&world.home("backup"), &world.home("a"));

        let a = world.at("a");
        assert!(a.book.record(id(number)).is_err(), "the old folder knows nothing of it");
        a.create(NOTE, Some(id(number + 1)), json!({ "title": "放回之后" }));
        a.set(id(1), "title", format!("放回之后{round}"));
        a.sync();
        b.sync();
        for phone in [&a, &b] {
            shows(phone, number, title);
            shows(phone, number + 1, "放回之后");
            shows(phone, 2, "副本里也有");
        }
        close(a);
    }
    let a = world.at("a");
    all_agree(&world, &[&a, &b], 1..=6);
    let view = b.record(id(1));
    assert_eq!((&view.values["remark"], &view.values["size"]), (&json!("副本里也有"), &json!(5)));
    assert_eq!(view.values["title"], "放回之后1");
}

#[test]
fn a_folder_that_lives_twice_loses_nothing_of_either() {
    let world = Inside::new();
    let (a, b) = (world.phone("a", "duojie"), world.phone("b", "maxiuying"));
    a.create(NOTE, Some(id(1)), json!({ "title": "一户" }));
    a.sync();
    close(a);
    copy(&world.home("a"), &world.home("twin"));
    let (a, twin) = (world.at("a"), world.at("twin"));
    // In turns, with lines that break on the way to the server and on the way back.
    let faults = [Fault::None, Fault::CutUp(0), Fault::CutDown(0), Fault::RequestTwice];
    for (round, fault) in faults.into_iter().enumerate() {
        for (phone, name) in [(&a, "原机"), (&twin, "复制机")] {
            let number = 2 + 2 * round as u8 + u8::from(name == "复制机");
            phone.create(NOTE, Some(id(number)), json!({ "title": format!("{name}{round}") }));
            phone.add(id(1), "people", json!({ "name": format!("{name}{round}") }));
            world.line.break_after(0, fault);
            let _ = sync_once(phone);
            world.line.break_after(0, Fault::None);
        }
    }
    all_agree(&world, &[&a, &twin, &b], 1..=9);
    assert_eq!(b.rows(id(1), "people", "name").len(), 8, "each row of each");
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE hash IS NOT NULL"), 17, "each save, once");
}
