//! A purged record is gone from every folder, also from free pages, and never comes back.

use std::path::Path;

use fieldbook_core::ids::RecordId;
use fieldbook_sqlite::KEY_BYTES;
use fieldbook_tests::phone::FileVault;
use serde_json::json;

use crate::office::{NOTE, Office, Phone, open};

/// What was said of the family, and must be found nowhere.
const SECRET: &str = "zhuoma-6222021234567890";

fn find(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Every page of the database in `folder`, free pages too, as it is without encryption.
fn pages(folder: &Path, key: &[u8; KEY_BYTES]) -> Vec<u8> {
    let copy = tempfile::tempdir().unwrap();
    for name in ["fieldbook.db", "fieldbook.db-wal"] {
        if folder.join(name).exists() {
            std::fs::copy(folder.join(name), copy.path().join(name)).unwrap();
        }
    }
    let path = copy.path().join("fieldbook.db");
    let connection = fieldbook_sqlite::open(&path, key, None).unwrap();
    let mode: String = connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete");
    connection.pragma_update(None, "rekey", "").unwrap();
    drop(connection);
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.starts_with(b"SQLite format 3"), "the copy is still encrypted");
    bytes
}

fn server_pages(office: &Office) -> Vec<u8> {
    let folder = office.world.folder.path().join("server");
    let mut key = [0; KEY_BYTES];
    hex::decode_to_slice(std::fs::read_to_string(folder.join("key")).unwrap().trim(), &mut key).unwrap();
    pages(&folder, &key)
}

fn phone_pages(phone: &Phone) -> Vec<u8> {
    use fieldbook_core::ports::KeyVault;
    let vault = FileVault::new(&phone.home.join("vault"));
    let key = vault.load("database-key").unwrap().unwrap();
    pages(&phone.home, key.as_slice().try_into().unwrap())
}

#[test]
fn a_purge_leaves_nothing_of_the_record_anywhere() {
    let office = Office::open();
    let (a, b) = office.two();
    let id = a.create(NOTE, None, json!({ "title": SECRET, "remark": SECRET }));
    let other = a.create(NOTE, None, json!({ "title": "stays" }));
    a.set(id, "phone", format!("{SECRET}!"));
    a.sync();
    b.sync();
    // What a year offline leaves: an unsent edit, and a form that is still open.
    b.set(id, "remark", format!("late {SECRET}"));
    let kept = b.set(other, "remark", "also late");
    let draft = b.book.open_form(NOTE, Some(id)).unwrap();
    draft.set("phone", &json!(format!("draft {SECRET}"))).unwrap();
    assert!(find(&phone_pages(&b), SECRET), "the search for bytes finds what is there");

    office.world.server.administer(&["record", "purge", &id.to_string(), "--reason", "asked for"]).unwrap();
    assert!(!find(&server_pages(&office), SECRET), "the server's pages");
    let list = std::fs::read_to_string(office.world.folder.path().join("server/never-again.list")).unwrap();
    assert_eq!(list, format!("purged {id} 632323100 aid\n"));

    let told = b.sync();
    assert_eq!(told.erased.len(), 1, "{told:?}");
    assert_eq!((told.erased[0].record, told.erased[0].unsent, told.not_taken), (id, 1, 0), "{told:?}");
    assert!(told.erased[0].message.contains("had not been sent"), "{}", told.erased[0].message);
    assert!(draft.set("phone", &json!(SECRET)).is_err(), "the open form keeps nothing");
    drop(draft);
    assert_eq!(a.sync().erased[0].unsent, 0);
    for phone in [&a, &b] {
        assert!(phone.book.record(id).is_err());
        assert!(phone.book.search(SECRET, 10).unwrap().is_empty());
        assert!(!find(&phone_pages(phone), SECRET), "a phone's pages");
        assert!(phone.sync().erased.is_empty(), "told once");
    }
    a.sync();
    assert_eq!(a.value(other, "/remark"), "also late", "{kept:?} was not held up");
    never_again(&office, &b, id);
}

/// The id cannot be made again, neither there nor by a phone that knows nothing of the purge.
fn never_again(office: &Office, knows: &Phone, id: RecordId) {
    let again = fieldbook_core::client::NewRecord { id: Some(id), values: json!({ "title": SECRET }), submit: false };
    assert!(knows.book.import(NOTE, std::slice::from_ref(&again)).unwrap().remove(0).is_err());
    let home = office.world.home("third");
    let third = Phone { book: open(&home).unwrap(), home };
    third.book.enrol(&office.world.link("duojie"), "test").unwrap();
    third.sync();
    assert!(third.book.import(NOTE, &[again]).unwrap().remove(0).is_err(), "its feed said so");
    assert_eq!(verified(office), (1, 1));
}

/// Records and purged records, as `verify` counts them; it finds no fault.
fn verified(office: &Office) -> (u64, u64) {
    let printed = office.world.server.administer(&["verify"]).unwrap();
    let count = |name: &str| {
        let line = printed.lines().find(|line| line.contains(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    (count("records:"), count("purged:"))
}
