//! What a hub keeps of the server's log, and what it must not keep.

use fieldbook_core::protocol::EntryBody;
use fieldbook_core::store::SyncState;
use fieldbook_core::sync::from_cbor;
use fieldbook_tests::demo::stage::Server;
use serde_json::json;

use super::super::office::Phone;
use super::super::restored::verified;
use super::{Town, at, database, knows, note, shown, until};

/// Bodies in the hub's mirror that hold this text.
fn hold(town: &Town, text: &str) -> usize {
    let tx = database(&town.data());
    let mut statement = tx.prepare("SELECT body FROM entries UNION ALL SELECT bytes FROM bodies").unwrap();
    let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let holds = |body: &Vec<u8>| body.windows(text.len()).any(|window| window == text.as_bytes());
    rows.map(Result::unwrap).filter(holds).count()
}

#[test]
fn what_is_purged_or_moves_away_leaves_the_hub_too() {
    let town = Town::open();
    let add = |arguments: &[&str]| town.office.world.server.administer(arguments).unwrap();
    add(&["unit", "add", "632323101", "麦秀镇工会", "--parent", "632323"]);
    let (a, b) = town.office.two();
    until("the hub knows the phones", || town.status("devices served") == 2);
    let (purged, moved, stays) = (note(&a, 1, "要永久删除的"), note(&a, 2, "要转走的"), note(&a, 3, "留下的"));
    at(&a, town.hub());
    town.wait_upstream();
    at(&b, town.hub());
    assert!(knows(&b, purged) && knows(&b, moved) && knows(&b, stays));
    assert!(hold(&town, "要永久删除的") > 0 && hold(&town, "要转走的") > 0);

    add(&["record", "purge", &purged.to_string(), "--reason", "test"]);
    add(&["record", "move", &moved.to_string(), "--to", "632323101", "--reason", "test"]);
    until("the hub erases", || hold(&town, "要永久删除的") + hold(&town, "要转走的") == 0);
    assert!(hold(&town, "留下的") > 0);
    let report = at(&b, town.hub());
    assert_eq!(report.erased.len(), 1, "{report:?}");
    assert!(!knows(&b, purged) && knows(&b, stays));
    // The author has not heard that the server has all of it: a move of what may still be sent is left to the server.
    at(&a, town.hub());
    assert_eq!(shown(&a, stays), SyncState::AtTownship);
    assert_eq!(a.sync().not_taken, 0);
    assert_eq!(shown(&a, stays), SyncState::OnServer);
    assert!(!knows(&a, purged) && !knows(&a, moved));

    // The chain still closes for whoever comes late: leaves are there in place of what was erased.
    let tx = database(&town.data());
    let bodies: Vec<Vec<u8>> = {
        let mut statement = tx.prepare("SELECT body FROM entries").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let erased = bodies.iter().filter(|body| matches!(from_cbor(body), Some(EntryBody::Erased(_)))).count();
    assert!(erased >= 2, "{erased}");
    let late = Phone::at(&town.office.world.home("late"));
    late.book.enrol(&town.office.world.link("maxiuying"), "late").unwrap();
    late.sync();
    let next = note(&a, 4, "之后的");
    at(&a, town.hub());
    town.wait_upstream();
    until("the hub knows the late phone", || town.status("devices served") == 3);
    at(&late, town.hub());
    assert!(knows(&late, next) && knows(&late, stays) && !knows(&late, purged));
}

#[test]
fn a_hub_goes_on_with_a_server_that_was_restored() {
    let mut town = Town::open();
    let data = town.office.world.home("server");
    let backup = town.office.world.home("backup.db");
    let (a, b) = town.office.two();
    until("the hub knows the phones", || town.status("devices served") == 2);
    let before = note(&a, 1, "备份之前");
    at(&a, town.hub());
    town.wait_upstream();
    at(&a, town.hub());
    town.office.world.server.back_up(&backup).unwrap();

    // The hub mirrors what the backup does not have, and holds what the server has never seen.
    let lost = note(&a, 2, "备份之后");
    at(&a, town.hub());
    town.wait_upstream();
    at(&a, town.hub());
    assert_eq!(shown(&a, lost), SyncState::OnServer);
    town.online(false);
    let held = note(&b, 3, "还在乡镇站");
    at(&b, town.hub());
    assert_eq!(shown(&b, held), SyncState::AtTownship);

    town.office.world.server.end().unwrap();
    Server::restore(&data, &backup).unwrap();
    town.office.world.server.start_again().unwrap();
    town.online(true);
    Server::command(&data, &["restored", "confirm"]).unwrap();
    for _ in 0..2 {
        a.sync();
        b.sync();
    }
    for phone in [&a, &b] {
        assert!([before, lost, held].iter().all(|record| shown(phone, *record) == SyncState::OnServer));
    }
    // And through the hub, as if nothing had been.
    let after = note(&a, 4, "恢复之后");
    until("the hub brings what is new", || {
        at(&a, town.hub());
        at(&b, town.hub());
        knows(&b, after)
    });
    assert_eq!(b.value(after, "/title"), json!("恢复之后"));
    assert_eq!(town.status("changes not on the server yet"), 0);
    assert_eq!(a.sync().not_taken + b.sync().not_taken, 0);
}

/// The phone that wrote it is gone, nobody else has read it, and the server's disk with it: the hub is the last honest disk.
#[test]
fn a_hub_gives_back_what_only_it_has_of_what_a_restored_server_lost() {
    let mut town = Town::open();
    let data = town.office.world.home("server");
    let backup = town.office.world.home("backup.db");
    let (a, b) = town.office.two();
    until("the hub knows the phones", || town.status("devices served") == 2);
    let before = note(&a, 1, "备份之前");
    at(&a, town.hub());
    town.wait_upstream();
    town.office.world.server.back_up(&backup).unwrap();

    let lost = note(&a, 2, "备份之后");
    a.set(before, "remark", "备份之后");
    let purged = note(&a, 3, "永久删除");
    at(&a, town.hub());
    town.wait_upstream();
    let id = purged.to_string();
    town.office.world.server.administer(&["record", "purge", &id, "--reason", "test"]).unwrap();
    until("the hub has it from the server", || {
        at(&a, town.hub());
        shown(&a, lost) == SyncState::OnServer
    });
    let Phone { home, book } = a;
    book.close().unwrap();
    std::fs::remove_dir_all(home).unwrap();

    town.office.world.server.end().unwrap();
    Server::restore(&data, &backup).unwrap();
    town.office.world.server.start_again().unwrap();
    until("the hub gives back", || verified(&data, "records") == 2);
    Server::command(&data, &["restored", "confirm"]).unwrap();
    b.sync();
    assert_eq!(b.value(lost, "/title"), json!("备份之后"));
    assert_eq!(b.value(before, "/remark"), json!("备份之后"));
    assert!(!knows(&b, purged));
    // And the hub goes on.
    let after = note(&b, 4, "恢复之后");
    until("the hub follows", || {
        at(&b, town.hub());
        shown(&b, after) == SyncState::OnServer
    });
}
