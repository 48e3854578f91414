use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use super::*;
use crate::testing::{START_MS, TestClock, TestRandom};

fn open(dir: &Path) -> Store {
    let clock = Arc::new(TestClock(AtomicI64::new(START_MS)));
    Store::open(dir, None, clock, Arc::new(TestRandom::default())).unwrap()
}

fn restore(dir: &Path, from: &Path) -> Result<Option<PathBuf>, StoreError> {
    restore_backup(dir, None, from, &TestRandom::default())
}

fn word<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> &'static str {
    match answer {
        Err(StoreError::Problem(problem)) => problem.word,
        other => panic!("no problem but {other:?}"),
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A server with a setting, its backup, and what was set after it.
fn scene(dir: &Path) -> PathBuf {
    let backup = dir.join("backup.db");
    let store = open(&dir.join("data"));
    store.set_setting("test", "before").unwrap();
    store.backup(&backup).unwrap();
    store.set_setting("test", "after").unwrap();
    backup
}

#[test]
fn a_backup_holds_what_was_committed_when_it_began_and_nothing_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("data"));
    store.set_setting("test", "committed").unwrap();
    let backup = folder.path().join("backup.db");
    fs::write(folder.path().join("backup.db.part"), "of one that was killed").unwrap();
    store
        .write(|tx| {
            super::super::set_meta(tx, "test", b"not yet")?;
            store.backup(&backup)
        })
        .unwrap();
    assert_eq!(names(folder.path()), ["backup.db", "data"]);
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&backup).unwrap();
    for clear in [&b"committed"[..], b"CREATE TABLE"] {
        assert!(!bytes.windows(clear.len()).any(|window| window == clear), "readable without the key");
    }
    let (copy, log) = examined(&backup, &store.key).unwrap();
    assert_eq!(meta(&copy, "test").unwrap().unwrap(), b"committed");
    assert_eq!(log, store.log().as_bytes());
    assert_eq!(word(store.backup(&backup)), "file_exists");
}

#[test]
fn a_restored_database_waits_and_the_one_before_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let backup = scene(folder.path());
    let data = folder.path().join("data");
    let aside = restore(&data, &backup).unwrap().unwrap();
    let store = open(&data);
    assert_eq!(store.setting("test").unwrap().unwrap(), "before");
    assert!(store.awaiting().unwrap());
    let (old, _) = examined(&aside, &store.key).unwrap();
    assert_eq!(meta(&old, "test").unwrap().unwrap(), b"after");
    assert_eq!(word(restore(&data, &backup)), "server_runs");
    store.confirm_restored().unwrap();
    assert!(!store.awaiting().unwrap());
    assert_eq!(word(store.confirm_restored()), "not_awaiting");
}

#[test]
fn a_backup_that_is_damaged_or_of_another_server_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let backup = scene(folder.path());
    let data = folder.path().join("data");
    let (whole, bad) = (fs::read(&backup).unwrap(), folder.path().join("bad.db"));
    let (files, database) = (names(&data), fs::read(data.join("fieldbook.db")).unwrap());
    let refused = |what: &str, bytes: &[u8], words: &[&str]| {
        fs::write(&bad, bytes).unwrap();
        let found = word(restore(&data, &bad));
        assert!(words.contains(&found), "{what}: {found}");
        assert_eq!(names(&data), files, "{what}");
        assert_eq!(fs::read(data.join("fieldbook.db")).unwrap(), database, "{what}");
    };
    refused("empty", &[], &["backup_foreign"]);
    refused("text", "no database at all\n".repeat(5000).as_bytes(), &["backup_foreign"]);
    refused("half of it", &whole[..whole.len() / 2], &["backup_damaged"]);
    refused("its last page is missing", &whole[..whole.len() - 4096], &["backup_damaged"]);
    for page in 0..whole.len() / 4096 {
        let mut flipped = whole.clone();
        flipped[page * 4096 + 1000] ^= 1;
        refused(&format!("a bit of page {page}"), &flipped, &["backup_damaged", "backup_foreign"]);
    }
    fs::remove_file(&bad).unwrap();
    assert_eq!(word(restore(&data, &bad)), "file_unreadable");
    let key = data.join("key");
    let text = fs::read_to_string(&key).unwrap();
    fs::write(&key, format!("{}{}", if text.starts_with('0') { "1" } else { "0" }, &text[1..])).unwrap();
    refused("another key", &whole, &["backup_foreign"]);
    fs::write(&key, text).unwrap();
    let other = open(&folder.path().join("other"));
    other.write(|tx| super::super::set_meta(tx, "log", &[9; 16])).unwrap();
    let foreign = folder.path().join("foreign.db");
    copy_to(other.take_reader().unwrap().sqlite().unwrap(), &foreign, &parse_key(&data)).unwrap();
    refused("another server's", &fs::read(&foreign).unwrap(), &["backup_other"]);
    assert!(restore(&data, &backup).is_ok());
}

fn parse_key(data: &Path) -> [u8; KEY_BYTES] {
    data_folder::prepare(data, None, &TestRandom::default()).unwrap()
}

#[test]
fn a_restore_that_is_killed_leaves_a_database_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let backup = scene(folder.path());
    let data = folder.path().join("data");
    let (path, fresh, key) = (data.join("fieldbook.db"), data.join("fieldbook.db.new"), parse_key(&data));
    let holds = || meta(&examined(&path, &key).unwrap().0, "test").unwrap().unwrap();
    // Killed while it copies, before and after the new epoch, and between its last two steps.
    fs::write(&fresh, &fs::read(&backup).unwrap()[..5000]).unwrap();
    assert_eq!(holds(), b"after");
    assert_eq!(restore(&data, &backup).unwrap().unwrap(), data.join("fieldbook.db.before-restore-1"));
    assert_eq!(holds(), b"before");
    fs::copy(&backup, &fresh).unwrap();
    let log = begin_epoch(&fresh, &key, &TestRandom::default()).unwrap();
    put_aside(&data, &path, &key, &log).unwrap();
    assert_eq!(holds(), b"before", "there is a database at every moment");
    assert!(restore(&data, &backup).unwrap().unwrap().ends_with("fieldbook.db.before-restore-3"));
    assert!(open(&data).awaiting().unwrap());
    assert!(!fresh.exists());
}
