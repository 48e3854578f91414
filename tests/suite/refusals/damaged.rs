//! A phone's database that was damaged while unsent work was in it.

use std::path::Path;

use fieldbook_core::client::{ErrorKind, Fieldbook};
use fieldbook_core::ids::RecordId;
use fieldbook_core::ports::KeyVault;
use fieldbook_core::store::ListFilter;
use fieldbook_tests::phone::FileVault;
use serde_json::json;

use super::super::office::{NOTE, Office, Phone};

const PAGE_BYTES: usize = 4096;
/// Files that are damaged, each at another place.
const PLACES: usize = 16;

fn database(home: &Path) -> std::path::PathBuf {
    home.join("fieldbook.db")
}

fn pages(home: &Path) -> usize {
    std::fs::metadata(database(home)).unwrap().len() as usize / PAGE_BYTES
}

/// Overwrites the middle of a page.
fn damage(home: &Path, page: usize) {
    let mut bytes = std::fs::read(database(home)).unwrap();
    bytes[page * PAGE_BYTES + 2000..page * PAGE_BYTES + 2100].fill(0xa5);
    std::fs::write(database(home), bytes).unwrap();
}

/// Looks at everything, as a user would; `false` when damage was met. What a salvage could not read is missing until
/// the next sync.
fn look(book: &Fieldbook, ids: &[RecordId]) -> bool {
    let salvaged = book.status().unwrap().salvaged;
    let listed = book.list(NOTE, &ListFilter::default(), None, 1_000).map(|_| ());
    let damaged = |error: fieldbook_core::client::ClientError| {
        assert!(!error.message.is_empty());
        match error.kind {
            ErrorKind::Damaged => true,
            ErrorKind::NotFound if salvaged => false,
            _ => panic!("{error:?}"),
        }
    };
    // All of it, also behind the first damage.
    let met: Vec<bool> = std::iter::once(listed)
        .chain(ids.iter().map(|id| book.record(*id).map(|_| ())))
        .chain(std::iter::once(book.search("一户", 10).map(|_| ())))
        .filter_map(|done| done.err().map(damaged))
        .collect();
    !met.contains(&true)
}

/// Opens and syncs until no damage is met any more, as a user does who is told to open the app again; enrols anew
/// where the enrolment was lost.
fn synced(office: &Office, home: &Path, ids: &[RecordId]) -> Phone {
    for _ in 0..4 {
        let book = match super::super::office::open(home) {
            Ok(book) => book,
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Damaged, "{error:?}");
                continue;
            }
        };
        if !look(&book, ids) {
            continue;
        }
        let phone = Phone { home: home.to_owned(), book };
        if phone.book.status().unwrap().enrolment.is_none() {
            phone.book.enrol(&office.world.link("duojie"), "test").unwrap();
        }
        match phone.try_sync() {
            // A form that was lost came with the sync, which then sent what had waited for it.
            Ok(_) => return phone,
            Err(error) => assert_eq!(error.kind, ErrorKind::Damaged, "{error:?}"),
        }
    }
    panic!("still damaged after four openings");
}

#[test]
fn unsent_work_in_a_damaged_file_reaches_the_server() {
    let office = Office::open();
    let b = office.phone("maxiuying");
    let mut salvaged = 0;
    for place in 0..PLACES {
        let home = office.world.home(&format!("damaged-{place}"));
        let a = Phone::at(&home);
        a.book.enrol(&office.world.link("duojie"), "test").unwrap();
        a.sync();
        let known: Vec<RecordId> =
            (0..10).map(|n| a.create(NOTE, None, json!({ "title": format!("一户{n}") }))).collect();
        a.sync();
        let new: Vec<RecordId> = (0..10)
            .map(|n| a.create(NOTE, None, json!({ "title": format!("未发送{n}"), "people": [{ "name": "人" }] })))
            .collect();
        for id in &known[..5] {
            a.set(*id, "remark", "未发送");
        }
        let Phone { home, book } = a;
        book.close().unwrap();

        let count = pages(&home);
        damage(&home, 1 + (count - 2) * place / PLACES);
        if place % 2 == 0 {
            // Whoever meets damage leaves word of it, and the next opening reads every page. In the other half it is
            // left to this test to meet it, or not.
            std::fs::write(home.join("fieldbook.suspect"), []).unwrap();
        }
        let ids: Vec<RecordId> = known.iter().chain(&new).copied().collect();
        let a = synced(&office, &home, &ids);
        if a.book.status().unwrap().salvaged {
            salvaged += 1;
            let aside = std::fs::read_dir(&home).unwrap().filter_map(Result::ok);
            let aside = aside.filter(|file| file.file_name().to_string_lossy().contains("damaged")).count();
            assert!(aside > 0, "the damaged file is kept");
        }
        b.sync();
        for id in &new {
            assert_eq!(b.value(*id, "/people/0/name"), "人", "place {place}: {id}");
        }
        for (at, id) in known.iter().enumerate() {
            let expected = if at < 5 { json!("未发送") } else { json!(null) };
            assert_eq!(b.value(*id, "/remark"), expected, "place {place}: {id}");
            assert_eq!(a.record(*id).heads, b.record(*id).heads, "place {place}: {id}");
        }
        assert_eq!(a.book.status().unwrap().store.outbox_changes, 0, "place {place}");
    }
    assert!(salvaged >= PLACES / 2, "only {salvaged} of {PLACES} files were found damaged");
}

/// The pages of these tables.
fn pages_of(home: &Path, tables: &[&str]) -> Vec<usize> {
    let key = FileVault::new(&home.join("vault")).load("database-key").unwrap().unwrap();
    let store = fieldbook_sqlite::open_existing(&database(home), key.as_slice().try_into().unwrap()).unwrap();
    let pages = |table: &&str| -> Vec<usize> {
        let mut select = store.prepare("SELECT pageno - 1 FROM dbstat WHERE name = ?1").unwrap();
        select.query_map([table], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    tables.iter().flat_map(pages).collect()
}

/// What of a phone is lost with whole tables. In each case the documents still hold the unsent work, and what says that it
/// is unsent, or whose it is, or what form it was written in, comes back with the sync at the earliest.
#[test]
fn unsent_work_of_which_only_the_documents_are_left_is_sent_in_the_next_sync() {
    const LOST: [&[&str]; 5] = [
        &["outbox"],
        &["outbox", "form"],
        &["outbox", "form", "record", "reading"],
        &["outbox", "actor", "setting"],
        &["outbox", "form", "actor", "setting", "feed_entry"],
    ];
    let office = Office::open();
    let b = office.phone("maxiuying");
    for (case, tables) in LOST.into_iter().enumerate() {
        let home = office.world.home(&format!("lost-{case}"));
        let a = Phone::at(&home);
        a.book.enrol(&office.world.link("duojie"), "test").unwrap();
        a.sync();
        let known = a.create(NOTE, None, json!({ "title": "一户" }));
        a.sync();
        let new = a.create(NOTE, None, json!({ "title": "未发送", "people": [{ "name": "人" }] }));
        a.set(known, "remark", "未发送");
        let Phone { home, book } = a;
        book.close().unwrap();
        pages_of(&home, tables).into_iter().for_each(|page| damage(&home, page));
        std::fs::write(home.join("fieldbook.suspect"), []).unwrap();

        let a = synced(&office, &home, &[known, new]);
        assert_eq!(a.book.status().unwrap().store.outbox_changes, 0, "{tables:?}");
        b.sync();
        assert!(b.book.record(new).is_ok(), "{tables:?}");
        assert_eq!(b.value(new, "/people/0/name"), "人", "{tables:?}");
        assert_eq!(b.value(known, "/remark"), "未发送", "{tables:?}");
        let listed = |phone: &Phone| phone.book.list(NOTE, &ListFilter::default(), None, 100).unwrap().len();
        assert_eq!(listed(&a), listed(&b), "{tables:?}");
        for id in [known, new] {
            assert_eq!(a.record(id).heads, b.record(id).heads, "{tables:?}: {id}");
        }
    }
}

/// What the server did not take was left out of the document; a change that only the outbox still has is no unsent work.
#[test]
fn what_was_not_taken_stays_out_of_a_record_whose_document_is_lost() {
    let office = Office::open();
    let b = office.phone("maxiuying");
    let home = office.world.home("lost-document");
    let a = Phone::at(&home);
    a.book.enrol(&office.world.link("duojie"), "test").unwrap();
    a.sync();
    let record = a.create(NOTE, None, json!({ "title": "一户", "stage": "approved" }));
    assert!(a.sync().not_taken > 0);
    a.sync();
    assert_eq!((a.value(record, "/title"), a.value(record, "/stage")), (json!("一户"), json!(null)));
    let Phone { home, book } = a;
    book.close().unwrap();
    pages_of(&home, &["body"]).into_iter().for_each(|page| damage(&home, page));
    std::fs::write(home.join("fieldbook.suspect"), []).unwrap();

    let book = super::super::office::open(&home).unwrap();
    assert!(book.status().unwrap().salvaged);
    if let Ok(view) = book.record(record) {
        assert_eq!(view.values.get("stage"), None, "before it hears of the server again");
    }
    book.close().unwrap();
    let a = synced(&office, &home, &[record]);
    b.sync();
    for phone in [&a, &b] {
        assert_eq!((phone.value(record, "/title"), phone.value(record, "/stage")), (json!("一户"), json!(null)));
    }
    assert_eq!(a.record(record).heads, b.record(record).heads);
    assert_eq!(a.record(record).not_taken.len(), 1, "the user is still told");
}
