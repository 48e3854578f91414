//! Wrong keys, damaged files, full disks, newer files, and what the files show to someone who reads their bytes.

use std::path::Path;
use std::sync::Arc;

use super::super::read::is_space_low;
use super::super::*;
use super::support::*;
use super::{found, outbox_row};

fn fill(dir: &Path, records: u64, unsent: u64) {
    let store = open(dir);
    store
        .write(|write| {
            for n in 0..records {
                put(write, n, &format!("才让{n}"), &[ID_NUMBER])?;
            }
            for n in 0..unsent {
                write.put_outbox(&outbox_row(n))?;
            }
            write.put_setting("actor", &[9; 16])
        })
        .unwrap();
    store.close().unwrap();
}

fn database(dir: &Path) -> std::path::PathBuf {
    dir.join("fieldbook.db")
}

/// Overwrites the middle of a page.
fn damage(dir: &Path, page: usize) {
    let mut bytes = std::fs::read(database(dir)).unwrap();
    bytes[page * 4096 + 2000..page * 4096 + 2100].fill(0xa5);
    std::fs::write(database(dir), bytes).unwrap();
}

fn unsent(store: &Store) -> Vec<OutboxRow> {
    store.read(|view| view.unstated(10_000)).unwrap()
}

#[test]
fn a_wrong_key_is_told_and_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 3, 3);
    let before = std::fs::read(database(dir.path())).unwrap();
    for bit in [0, 100, 255] {
        let mut wrong = KEY;
        wrong[bit / 8] ^= 1 << (bit % 8);
        let error = Store::open(dir.path(), &wrong, &Counted::default(), Arc::new(SystemDisk)).unwrap_err();
        assert!(matches!(error, StoreError::WrongKey { .. }), "{error}");
    }
    std::fs::remove_file(dir.path().join("fieldbook.keycheck")).unwrap();
    let error = Store::open(dir.path(), &[0; 32], &Counted::default(), Arc::new(SystemDisk)).unwrap_err();
    assert!(matches!(error, StoreError::WrongKeyOrDamaged { .. }), "{error}");
    assert_eq!(std::fs::read(database(dir.path())).unwrap(), before);
    assert_eq!(unsent(&open(dir.path())).len(), 3);
    assert!(dir.path().join("fieldbook.keycheck").exists(), "it is made anew by the right key");
}

#[test]
fn a_damaged_key_check_does_not_lock_the_right_key_out() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 3, 3);
    std::fs::write(dir.path().join("fieldbook.keycheck"), [1; 32]).unwrap();
    assert_eq!(unsent(&open(dir.path())).len(), 3);
}

#[test]
fn unsent_work_survives_damaged_pages() {
    let whole = tempfile::tempdir().unwrap();
    fill(whole.path(), 400, 40);
    let pages = std::fs::metadata(database(whole.path())).unwrap().len() as usize / 4096;
    let original = std::fs::read(database(whole.path())).unwrap();
    for page in (2..pages).step_by(pages / 15) {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 0, 0);
        std::fs::write(database(dir.path()), &original).unwrap();
        damage(dir.path(), page);
        let damaged = std::fs::read(database(dir.path())).unwrap();
        // Whoever meets the damage leaves word of it; here nobody has read every page.
        std::fs::write(dir.path().join("fieldbook.suspect"), []).unwrap();
        let store = open(dir.path());
        let report = store.salvage().expect("every page is in use, so the damage is found").clone();
        let kept = unsent(&store);
        let outbox_whole = report.complete("outbox");
        assert!(kept.len() == 40 || !outbox_whole, "page {page}: {report:?}");
        assert!(kept.iter().all(|row| *row == outbox_row(row.hash.0[31].into())), "page {page}");
        assert!(kept.len() >= 10, "page {page}: one page holds at most 20 of them; {} kept", kept.len());
        let bodies: Vec<_> = store.read(|view| view.stored_after(0, 1_000)).unwrap();
        assert!(bodies.len() >= 300, "page {page}: {} bodies", bodies.len());
        assert!(store.must_derive().unwrap());
        assert!(std::fs::read(&report.set_aside).unwrap() == damaged, "what was set aside is as it was");
        // And it works again.
        store.write(|write| put(write, 9_999, "仁青卓玛", &[])).unwrap();
        assert_eq!(found(&store, "rqzm"), ["仁青卓玛"]);
        drop(store);
        assert!(open(dir.path()).salvage().is_some(), "the report stays until it was read");
    }
}

/// Long rows lie on pages of their own: between damaged ones there are islands of one row.
#[test]
fn every_row_that_can_be_read_alone_is_taken_over() {
    const ROWS: u64 = 48;
    const EVERY: [usize; 4] = [2, 3, 5, 7];
    let whole = tempfile::tempdir().unwrap();
    let store = open(whole.path());
    store
        .write(|write| {
            (0..ROWS).try_for_each(|n| write.put_outbox(&OutboxRow { bytes: vec![n as u8; 3_000], ..outbox_row(n) }))
        })
        .unwrap();
    store.close().unwrap();
    let pages = std::fs::metadata(database(whole.path())).unwrap().len() as usize / 4096;
    for (every, odd) in EVERY.into_iter().flat_map(|every| (0..every).map(move |odd| (every, odd))) {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 0, 0);
        std::fs::copy(database(whole.path()), database(dir.path())).unwrap();
        // Runs of damaged pages, with single whole ones between them.
        (pages / 3..pages).filter(|page| page % every != odd).for_each(|page| damage(dir.path(), page));
        let alone: Vec<_> = {
            let damaged = fieldbook_sqlite::open_existing(&database(dir.path()), &KEY).unwrap();
            let row = |n: u64| {
                let sql = "SELECT bytes FROM outbox WHERE n = ?1";
                damaged.query_row(sql, [n], |row| row.get::<_, Vec<u8>>(0)).is_ok()
            };
            (1..=ROWS).filter(|n| row(*n)).map(|n| hash(n - 1)).collect()
        };
        std::fs::write(dir.path().join("fieldbook.suspect"), []).unwrap();
        let kept: Vec<_> = unsent(&open(dir.path())).into_iter().map(|row| row.hash).collect();
        assert!(!alone.is_empty() && alone.len() < ROWS as usize, "{every} {odd}: {}", alone.len());
        assert_eq!(kept, alone, "of every {every} pages one is whole, from {odd}");
    }
}

/// The next statement gets the number of the lost one: two changes must not stand at one place of it.
#[test]
fn what_a_lost_statement_lists_is_to_be_stated_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store
        .write(|write| {
            (0..3).try_for_each(|n| write.put_outbox(&outbox_row(n)))?;
            let statement = StatementRow { number: 1, hash: [1; 32], bytes: vec![1; 90], signature: vec![1; 64] };
            write.put_statement(&statement, &[hash(0), hash(1)])?;
            write.mark_sent((1, 0)).map(|_| ())
        })
        .unwrap();
    store.close().unwrap();
    let page: usize = {
        let store = fieldbook_sqlite::open_existing(&database(dir.path()), &KEY).unwrap();
        store.query_row("SELECT pageno - 1 FROM dbstat WHERE name = 'statement'", [], |row| row.get(0)).unwrap()
    };
    damage(dir.path(), page);
    std::fs::write(dir.path().join("fieldbook.suspect"), []).unwrap();
    let store = open(dir.path());
    assert!(!store.salvage().unwrap().complete("statement"));
    assert_eq!(unsent(&store), [outbox_row(0), outbox_row(1), outbox_row(2)]);
}

#[test]
fn damage_met_while_running_is_salvaged_at_the_next_opening() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 400, 40);
    let pages = std::fs::metadata(database(dir.path())).unwrap().len() as usize / 4096;
    for page in pages / 4..pages / 2 {
        damage(dir.path(), page);
    }
    let store = open(dir.path());
    let mut met = 0;
    for n in 0..400 {
        match store.read(|view| view.body(&record(n))) {
            Ok(_) => {}
            Err(StoreError::Damaged { .. }) => met += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(met > 0);
    drop(store);
    let store = open(dir.path());
    assert!(!store.salvage().unwrap().nothing_readable);
    assert!(store.read(|view| view.body(&record(399))).is_ok());
}

#[test]
fn the_rest_is_read_when_the_first_page_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 400, 40);
    let mut bytes = std::fs::read(database(dir.path())).unwrap();
    bytes[..100].fill(0);
    std::fs::write(database(dir.path()), &bytes).unwrap();
    let store = open(dir.path());
    let report = store.salvage().unwrap();
    assert!(schema_tables().all(|table| report.complete(table)), "{report:?}");
    assert!(std::fs::read(&report.set_aside).unwrap() == bytes);
    assert_eq!(unsent(&store).len(), 40);
}

#[test]
fn a_cut_file_gives_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 400, 40);
    let mut bytes = std::fs::read(database(dir.path())).unwrap();
    bytes.truncate(bytes.len() / 2 + 17);
    std::fs::write(database(dir.path()), &bytes).unwrap();
    let store = open(dir.path());
    let report = store.salvage().unwrap();
    assert!(!report.nothing_readable);
    assert!(std::fs::read(&report.set_aside).unwrap() == bytes);
    let bodies: Vec<_> = store.read(|view| view.stored_after(0, 1_000)).unwrap();
    assert!(bodies.len() > 100, "{} of 400", bodies.len());
}

fn schema_tables() -> impl Iterator<Item = &'static str> {
    super::super::schema::TABLES.iter().copied()
}

#[test]
fn a_full_disk_stores_nothing_half() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 20, 0);
    let store = open(dir.path());
    let pages: i64 = store.begin().unwrap().connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let limit = |pages: i64| {
        let write = store.begin().unwrap();
        write.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    };
    limit(pages + 2);
    let before: Vec<ListRow> = store.read(|view| view.list("household", &ListFilter::default(), None, 100)).unwrap();
    let error = store
        .write(|write| {
            for n in 100..300 {
                put(write, n, "仁青卓玛", &[])?;
                write.put_outbox(&outbox_row(n))?;
            }
            Ok::<_, StoreError>(())
        })
        .unwrap_err();
    assert!(matches!(error, StoreError::Full { free_bytes: Some(_), .. }), "{error}");
    let after: Vec<ListRow> = store.read(|view| view.list("household", &ListFilter::default(), None, 100)).unwrap();
    assert_eq!(before, after);
    assert!(unsent(&store).is_empty());
    assert_eq!(found(&store, "仁青"), Vec::<String>::new());
    limit(1_000_000);
    store.write(|write| put(write, 100, "仁青卓玛", &[])).unwrap();
    assert_eq!(found(&store, "仁青"), ["仁青卓玛"]);
}

/// SQLite calls only ENOSPC a full disk, and keeps to itself why a write failed.
#[test]
fn a_failed_write_where_there_is_room_is_no_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for code in [rusqlite::ffi::SQLITE_IOERR_WRITE, rusqlite::ffi::SQLITE_IOERR_FSYNC, rusqlite::ffi::SQLITE_CANTOPEN] {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        let told = store.failed("saving", error);
        assert!(matches!(told, StoreError::Storage { doing: "saving", .. }), "{code}: {told:?}");
    }
    let full = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None);
    let told = store.failed("saving", full);
    assert!(matches!(told, StoreError::Full { free_bytes: Some(_), .. }), "{told:?}");
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.contains("probe")), "what was written to find out is gone");
}

#[test]
fn little_space_is_said_early_and_refuses_nothing() {
    assert!(is_space_low(Some(SPACE_WARN_BYTES - 1)) && !is_space_low(Some(SPACE_WARN_BYTES)));
    assert!(!is_space_low(None), "where the system does not say, nothing is claimed");
}

#[test]
fn a_newer_file_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 3, 3);
    let connection = fieldbook_sqlite::open(&database(dir.path()), &KEY, None).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = Store::open(dir.path(), &KEY, &Counted::default(), Arc::new(SystemDisk)).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, known: 1 }), "{error}");
    let connection = fieldbook_sqlite::open(&database(dir.path()), &KEY, None).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    drop(connection);
    assert_eq!(unsent(&open(dir.path())).len(), 3);
}

#[test]
fn no_file_shows_a_name_or_a_number() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store
        .write(|write| {
            put(write, 1, "才让卓玛", &[ID_NUMBER])?;
            let key = DraftKey {
                record: record(1),
                is_new: false,
                kind: "household".to_owned(),
                form_version: "1".to_owned(),
                heads: vec![],
            };
            write.put_draft(&key, 0, format!("才让卓玛 {ID_NUMBER}").as_bytes())
        })
        .unwrap();
    let look = |when: &str| {
        let mut files = 0;
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            files += 1;
            for text in ["才让卓玛", ID_NUMBER, "cairangzhuoma", "household", "CREATE TABLE"] {
                let utf16: Vec<u16> = text.encode_utf16().collect();
                let little: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect();
                let big: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect();
                for needle in [text.as_bytes(), &little, &big] {
                    assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{when}: {text}");
                }
            }
        }
        assert!(files >= 2);
    };
    look("while open");
    store.close().unwrap();
    look("closed");
}
