use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use fieldbook_core::access::{Role, Unit};

use super::*;
use crate::testing::{START_MS, TestClock, TestRandom, TestServer};

fn open(dir: &Path) -> Result<Store, StoreError> {
    let clock = Arc::new(TestClock(AtomicI64::new(START_MS)));
    Store::open(dir, None, clock, Arc::new(TestRandom::default()))
}

fn word<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> &'static str {
    match answer {
        Err(StoreError::Problem(problem)) => problem.word,
        other => panic!("no problem but {other:?}"),
    }
}

#[test]
fn a_data_folder_opens_again_only_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let (log, pin) = {
        let store = open(folder.path()).unwrap();
        (store.log(), store.identity().root_public())
    };
    let again = open(folder.path()).unwrap();
    assert_eq!((again.log(), again.identity().root_public()), (log, pin));
    drop(again);
    let key = folder.path().join("key");
    let text = std::fs::read_to_string(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    assert_eq!(word(open(folder.path())), "key_missing");
    let flipped = if text.starts_with('0') { "1" } else { "0" };
    std::fs::write(&key, format!("{flipped}{}", &text[1..])).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::Open(_))));
    std::fs::write(&key, "no key").unwrap();
    assert_eq!(word(open(folder.path())), "key_malformed");
}

#[test]
fn a_newer_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    store.writer().execute_batch(&format!("PRAGMA user_version = {}", SCHEMA_VERSION + 1)).unwrap();
    drop(store);
    assert!(matches!(open(folder.path()), Err(StoreError::NewerSchema { .. })));
}

#[test]
fn units_form_one_tree_and_roles_reach_down() {
    let server = TestServer::new();
    let unit = |code: &str, parent: Option<&str>| Unit {
        code: code.to_owned(),
        name: "x".to_owned(),
        parent: parent.map(str::to_owned),
        division: None,
    };
    assert_eq!(word(server.store.add_unit(&unit("64", None))), "root_exists");
    assert_eq!(word(server.store.add_unit(&unit("a", Some("63")))), "unit_exists");
    assert_eq!(word(server.store.add_unit(&unit("c", Some("no")))), "unit_unknown");
    for formula in ["=HYPERLINK(\"//x\")", "＝1+1", "＠a", "\t=1"] {
        assert_eq!(word(server.store.add_user(formula, "a", &[Role::Field], None)), "name_formula", "{formula}");
    }
    assert_eq!(word(server.store.add_unit(&unit("c d", Some("63")))), "unit_code_malformed");
    let (user, _) = server.store.add_user("x", "6301", &[Role::County], None).unwrap();
    let reached = |code: &str| server.store.read(|tx| units::roles_at(tx, user.id, code)).unwrap();
    assert_eq!((reached("63"), reached("6301"), reached("a")), (vec![], vec![Role::County], vec![Role::County]));
}

#[test]
fn an_import_is_all_or_nothing() {
    let server = TestServer::new();
    let bad = "code,name,parent\nx1,一,63\nx2,二,nowhere\n";
    assert_eq!(word(server.store.import_units(bad.as_bytes())), "unit_unknown");
    assert_eq!(server.store.units().unwrap().len(), 4);
    let good = "\u{feff}code,name,parent,division\nx1,一,63,\nx2,二,x1,632524\n";
    assert_eq!(server.store.import_units(good.as_bytes()).unwrap(), 2);
}

#[test]
fn a_published_version_never_changes() {
    let server = TestServer::new();
    assert_eq!(server.store.publish_form(&crate::testing::form(), None).unwrap(), Published::Known);
    let mut other = crate::testing::form().definition().clone();
    other.fields[0].search = false;
    let other = fieldbook_core::forms::Form::new(other).unwrap();
    assert_eq!(word(server.store.publish_form(&other, None)), "form_version_taken");
}

#[test]
fn verify_notices_a_changed_entry() {
    let server = TestServer::new();
    let faults = || server.store.verify().unwrap().into_iter().flat_map(|check| check.faults).count();
    assert_eq!(faults(), 0);
    server
        .store
        .write(|tx| -> Result<(), StoreError> {
            tx.execute("UPDATE entries SET received_ms = received_ms + 1 WHERE position = 2", ())?;
            Ok(())
        })
        .unwrap();
    assert!(faults() > 0);
}

#[test]
fn passwords_fit_only_themselves() {
    let hash = hash_password("right", &TestRandom::default()).unwrap();
    assert!(password_fits("right", &hash));
    assert!(!password_fits("wrong", &hash) && !password_fits("right", "garbage"));
}

/// SQLite calls only ENOSPC a full disk, and keeps to itself why a write failed.
#[test]
fn a_failed_write_where_there_is_room_is_no_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let failing = |code: i32| {
        store.write(|_| -> Result<(), StoreError> {
            Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None).into())
        })
    };
    let error = failing(rusqlite::ffi::SQLITE_IOERR_WRITE).unwrap_err();
    assert!(matches!(error, StoreError::Storage(_)), "{error:?}");
    let told = crate::text::failure(crate::text::Language::English, &error);
    assert!(told.contains("storage") && !told.contains("full"), "{told}");
    let error = failing(rusqlite::ffi::SQLITE_FULL).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    // Where the database keeps its log, nothing can be opened any more: no word of a wrong key.
    drop(store);
    let log = folder.path().join("fieldbook.db-wal");
    std::fs::create_dir(&log).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Storage(_)), "{error:?}");
    std::fs::remove_dir(&log).unwrap();
    open(folder.path()).unwrap();
}

/// PostgreSQL answers `COMMIT` behind a failed statement with a rollback, and no error.
#[test]
fn a_transaction_in_which_a_statement_failed_is_never_called_stored() {
    let store = &crate::testing::TestServer::new().store;
    let stored = store.write(|tx| {
        super::set_meta(tx, "kept", b"1")?;
        let again = tx.execute("INSERT INTO meta(key, value) VALUES ('kept', ?1)", (b"2".to_vec(),));
        assert!(again.is_err());
        Ok(())
    });
    assert_eq!(store.setting("kept").unwrap().is_some(), stored.is_ok(), "{stored:?}");
}
