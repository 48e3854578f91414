//! A record moves to another unit: with its whole history, wherever the phones were meanwhile. What somebody wrote of it
//! without having heard of the move is taken; what they wrote after that is kept apart, and told.

mod histories;
mod real;
mod transferred;

use fieldbook_core::access::{Decision, Role, Unit};
use fieldbook_core::ids::RecordId;
use fieldbook_core::store::SyncState;
use fieldbook_server::store::{Asked, StoreError};
use serde_json::{Value, json};

use super::inside::{Fault, Inside, TOWN, close, copy, noise, sync_once};
use super::office::{NOTE, Phone, id, sync_all};

/// Another township. Its feeds come before the first one's in every phone's list.
pub(crate) const OTHER: &str = "632323001";

/// The world of [`Inside`] with a second township: `zhaxi` works there, `lamao` in the whole county.
fn two_towns() -> Inside {
    let world = Inside::new();
    let unit = |code: &str| Unit {
        code: code.to_owned(),
        name: code.to_owned(),
        parent: Some("632323".to_owned()),
        division: None,
    };
    world.store.add_unit(&unit(OTHER)).unwrap();
    world.store.add_user("扎西", OTHER, &[Role::Field], Some("zhaxi")).unwrap();
    world.store.add_user("拉毛", "632323", &[Role::Field], Some("lamao")).unwrap();
    world
}

fn move_to(world: &Inside, record: RecordId, unit: &str) {
    world.store.move_records(None, &[record], unit, "they have moved house").unwrap();
}

fn is_gone(phone: &Phone, record: RecordId) -> bool {
    phone.book.record(record).is_err()
}

/// Reasons of all that the server keeps apart.
fn apart(world: &Inside) -> Vec<String> {
    world
        .store
        .read(|tx| {
            let mut statement = tx.prepare("SELECT reason FROM quarantine WHERE admitted_ms IS NULL ORDER BY id")?;
            Ok::<_, StoreError>(statement.query_map((), |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?)
        })
        .unwrap()
}

/// What a phone and another show of a record is the same, and all of it is on the server.
fn show_the_same(phones: &[&Phone], record: RecordId) {
    let first = phones[0].record(record);
    for phone in phones {
        let view = phone.record(record);
        assert_eq!((&view.values, &view.heads, &view.unit), (&first.values, &first.heads, &first.unit));
        assert_eq!((view.history.len(), view.reviews.len()), (first.history.len(), first.reviews.len()));
        let authors = |view: &fieldbook_core::client::RecordView| {
            let mut authors: Vec<_> = view.history.iter().map(|change| change.author.clone()).collect();
            authors.sort();
            authors
        };
        assert_eq!(authors(&view), authors(&first));
        assert_eq!(view.sync, SyncState::OnServer);
    }
}

#[test]
fn a_late_edit_follows_the_record_and_each_phone_has_what_it_may() {
    let world = two_towns();
    let (a, offline) = (world.phone("a", "duojie"), world.phone("offline", "maxiuying"));
    let (b, both) = (world.phone("b", "zhaxi"), world.phone("both", "lamao"));
    a.create(NOTE, Some(id(1)), json!({ "title": "一户" }));
    a.create(NOTE, Some(id(2)), json!({ "title": "留下的一户" }));
    a.set(id(1), "remark", "甲写的");
    sync_all(&[&a, &offline, &both]);
    assert!(is_gone(&b, id(1)));
    offline.set(id(1), "phone", "13900000000");
    offline.set(id(2), "phone", "13911111111");

    move_to(&world, id(1), OTHER);
    world.verify();
    sync_all(&[&a, &b, &both]);
    assert!(is_gone(&a, id(1)) && !is_gone(&a, id(2)));
    show_the_same(&[&b, &both], id(1));
    assert_eq!((b.record(id(1)).unit, b.record(id(1)).history.len()), (OTHER.to_owned(), 2));
    b.set(id(1), "size", 4);
    b.sync();

    // Days later: the record was still in the old unit when this was written.
    let report = offline.sync();
    assert_eq!((report.changes_sent, report.not_taken), (2, 0));
    assert!(is_gone(&offline, id(1)) && offline.book.not_taken(0, 10).unwrap().is_empty());
    assert_eq!(offline.value(id(2), "/phone"), "13911111111");
    sync_all(&[&b, &both, &offline, &a]);
    show_the_same(&[&b, &both], id(1));
    let values = b.record(id(1)).values;
    assert_eq!((&values["phone"], &values["size"]), (&json!("13900000000"), &json!(4)));
    assert!(apart(&world).is_empty());
    for phone in [&a, &offline, &b, &both] {
        assert_eq!(phone.book.status().unwrap().store.outbox_changes, 0);
    }
    // Whoever comes later gets it where it is, and nothing of it where it was.
    let (new_a, new_b) = (world.phone("new-a", "duojie"), world.phone("new-b", "zhaxi"));
    assert!(is_gone(&new_a, id(1)) && !is_gone(&new_a, id(2)));
    show_the_same(&[&new_b, &b, &both], id(1));
    world.verify();
}

#[test]
fn what_was_written_after_the_phone_knew_is_kept_apart_and_told() {
    let world = two_towns();
    let (a, b) = (world.phone("a", "duojie"), world.phone("b", "zhaxi"));
    a.create(NOTE, Some(id(1)), json!({ "title": "一户" }));
    a.sync();
    close(a);
    // A folder that is put back later: the device has acknowledged what the folder knows nothing of.
    copy(&world.home("a"), &world.home("before"));
    move_to(&world, id(1), OTHER);
    let a = world.at("a");
    a.sync();
    assert!(is_gone(&a, id(1)));
    a.sync();
    close(a);
    std::fs::remove_dir_all(world.home("a")).unwrap();
    copy(&world.home("before"), &world.home("a"));

    let a = world.at("a");
    a.set(id(1), "remark", "太晚了");
    a.create(NOTE, Some(id(2)), json!({ "title": "别的一户" }));
    a.sync();
    assert_eq!(apart(&world), ["foreign_unit"]);
    assert!(is_gone(&a, id(1)));
    let told = a.book.not_taken(0, 10).unwrap();
    assert_eq!((told.len(), told[0].record, told[0].reason.as_str()), (1, id(1), "foreign_unit"));
    assert_eq!(told[0].fields[0].shown, "太晚了");
    // Nothing holds the rest up, nothing of it reaches the record, and a supervisor can take it after all.
    b.sync();
    assert_eq!(b.value(id(1), "/remark"), Value::Null);
    assert_eq!(world.count("SELECT count(*) FROM records"), 2);
    let (county, _) = world.store.add_user("李措毛", "632323", &[Role::County], Some("licuomao")).unwrap();
    let waiting = world.store.quarantine_list(county.id, 0, false).unwrap();
    world.store.admit(&county, waiting[0].id).unwrap();
    b.sync();
    assert_eq!(b.value(id(1), "/remark"), "太晚了");
    a.sync();
    assert_eq!(a.book.status().unwrap().store.outbox_changes, 0);
    world.verify();
}

#[test]
fn a_phone_that_leaves_a_unit_hears_of_a_move_only_when_its_work_is_sent() {
    let world = two_towns();
    let (a, b) = (world.phone("a", "duojie"), world.phone("b", "zhaxi"));
    a.create(NOTE, Some(id(1)), json!({ "title": "一户" }));
    a.sync();
    // More than one exchange carries, and a save in it that this user may not make, with honest ones around it.
    let mut seed = 11;
    for number in 0..30 {
        a.create(NOTE, Some(id(100 + number)), json!({ "title": "别的", "remark": noise(&mut seed, 3_000) }));
    }
    a.set(id(1), "remark", "先写的");
    let edit = json!({ "stage": "approved", "size": 4 });
    a.try_edit(id(1), &edit, &Value::Null, &Value::Null).unwrap();
    a.set(id(1), "phone", "13900000000");
    move_to(&world, id(1), OTHER);
    world.line.carried();
    // The line breaks meanwhile: a phone that only asks must not hear of the move either.
    world.line.break_after(1, Fault::CutDown(20));
    assert!(sync_once(&a).is_err());
    assert!(!is_gone(&a, id(1)), "it is readable until it is sent");
    a.sync();
    assert!(world.line.carried().len() > 2);
    assert_eq!(apart(&world), ["role", "depends_on_quarantined"]);
    assert!(is_gone(&a, id(1)));
    let told = a.book.not_taken(0, 10).unwrap();
    let fields: Vec<&str> = told.iter().flat_map(|one| &one.fields).map(|field| field.path.as_str()).collect();
    assert_eq!(fields, ["stage"]);
    b.sync();
    let values = b.record(id(1)).values;
    let shown = (&values["remark"], &values["size"], &values["phone"], values.get("stage"));
    assert_eq!(shown, (&json!("先写的"), &json!(4), &json!("13900000000"), None));
    assert_eq!(a.book.status().unwrap().store.outbox_changes, 0);
    world.verify();
}

#[test]
fn a_move_is_heard_wherever_the_line_breaks() {
    let world = two_towns();
    let (a, both) = (world.phone("a", "duojie"), world.phone("both", "lamao"));
    a.create(NOTE, Some(id(1)), json!({ "title": "一户" }));
    a.set(id(1), "remark", "甲写的");
    sync_all(&[&a, &both]);
    a.set(id(1), "phone", "13900000000");
    both.set(id(1), "size", 4);
    move_to(&world, id(1), OTHER);
    close(a);
    close(both);
    for name in ["a", "both"] {
        let carried = {
            let world = world.copy();
            world.at(name).sync();
            world.line.carried()
        };
        for (exchange, bytes) in carried.iter().enumerate() {
            let (up, down) = (bytes.header + bytes.up.iter().sum::<usize>(), bytes.down.iter().sum::<usize>());
            let cuts = (0..up).step_by(97).map(Fault::CutUp).chain((0..down).step_by(97).map(Fault::CutDown));
            for fault in cuts {
                let world = world.copy();
                world.line.break_after(exchange, fault);
                let phone = world.at(name);
                assert!(sync_once(&phone).is_err(), "{fault:?} of exchange {exchange}");
                let phone = world.again(phone);
                phone.sync();
                close(phone);
                let (a, both) = (world.at("a"), world.at("both"));
                sync_all(&[&a, &both]);
                assert!(is_gone(&a, id(1)), "{fault:?} of exchange {exchange}");
                let view = both.record(id(1));
                assert_eq!((&view.values["phone"], &view.values["size"]), (&json!("13900000000"), &json!(4)));
                assert_eq!((view.history.len(), view.sync, view.unit.as_str()), (4, SyncState::OnServer, OTHER));
                assert!(apart(&world).is_empty(), "{fault:?} of exchange {exchange}");
            }
        }
    }
}

#[test]
fn moved_on_and_back_a_record_is_where_its_last_move_took_it() {
    let world = two_towns();
    let third = Unit {
        code: "632323050".to_owned(),
        name: "third".to_owned(),
        parent: Some("632323".to_owned()),
        division: None,
    };
    world.store.add_unit(&third).unwrap();
    world.store.add_user("才旦", "632323050", &[Role::Field], Some("caidan")).unwrap();
    let (county, _) = world.store.add_user("李措毛", "632323", &[Role::County], Some("licuomao")).unwrap();
    let (a, b, c) = (world.phone("a", "duojie"), world.phone("b", "zhaxi"), world.phone("c", "caidan"));
    let (both, offline) = (world.phone("both", "lamao"), world.phone("offline", "lamao"));
    a.create(NOTE, Some(id(1)), json!({ "title": "一户" }));
    sync_all(&[&a, &both, &offline]);
    offline.set(id(1), "remark", "离线写的");
    let heads = a.record(id(1)).heads;
    let asked = Asked { decision: Decision::Void, heads, reasons: "看过".to_owned(), fields: Vec::new() };
    world.store.decide(&county, id(1), &asked).unwrap();
    for (unit, phone) in [(OTHER, &b), ("632323050", &c), (TOWN, &a), (OTHER, &b), ("632323050", &c)] {
        move_to(&world, id(1), unit);
        move_to(&world, id(1), unit);
        sync_all(&[&a, &b, &c, &both]);
        for town in [&a, &b, &c] {
            assert_eq!(is_gone(town, id(1)), !std::ptr::eq(town, phone), "at {unit}");
        }
        show_the_same(&[phone, &both], id(1));
        assert_eq!((both.record(id(1)).unit.as_str(), both.record(id(1)).reviews.len()), (unit, 1));
        phone.set(id(1), "size", 1);
        phone.sync();
    }
    // One phone slept through all of it, and one is new.
    offline.sync();
    let new = world.phone("new", "lamao");
    sync_all(&[&c, &both, &offline, &new]);
    show_the_same(&[&c, &both, &offline, &new], id(1));
    let view = c.record(id(1));
    assert_eq!((view.unit.as_str(), &view.values["remark"]), ("632323050", &json!("离线写的")));
    assert!(apart(&world).is_empty());
    assert_eq!(world.count("SELECT count(*) FROM moves"), 5);
    world.verify();
}

#[test]
fn a_purge_finds_a_moved_record_wherever_it_was() {
    let world = two_towns();
    let (a, b, offline) = (world.phone("a", "duojie"), world.phone("b", "zhaxi"), world.phone("offline", "maxiuying"));
    a.create(NOTE, Some(id(1)), json!({ "title": "一户" }));
    sync_all(&[&a, &offline]);
    offline.set(id(1), "remark", "离线写的");
    let draft = offline.book.open_form(NOTE, Some(id(1))).unwrap();
    draft.set("phone", &json!("13900000000")).unwrap();
    drop(draft);
    move_to(&world, id(1), OTHER);
    b.sync();
    world.store.purge_record(None, id(1), "asked for").unwrap();
    world.verify();
    assert_eq!(world.count("SELECT count(*) FROM moves"), 0);
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE hash IS NOT NULL"), 0);
    assert_eq!(b.sync().erased.len(), 1);
    assert_eq!(offline.sync().erased.len(), 1);
    assert!(offline.book.drafts().unwrap().is_empty() && is_gone(&offline, id(1)));
    sync_all(&[&a, &b, &offline]);
    for phone in [&a, &b, &offline] {
        let again =
            fieldbook_core::client::NewRecord { id: Some(id(1)), values: json!({ "title": "又" }), submit: false };
        assert!(phone.book.import(NOTE, &[again]).unwrap().remove(0).is_err());
    }
    world.verify();
}
