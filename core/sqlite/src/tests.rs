#![allow(clippy::unwrap_used)]
use super::*;

#[test]
fn a_wrong_bit_opens_nothing_and_the_file_shows_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let key = [7u8; KEY_BYTES];
    {
        let connection = open(&path, &key, None).unwrap();
        connection.execute_batch("CREATE TABLE person(name TEXT); INSERT INTO person VALUES('才让卓玛')").unwrap();
    }
    let mut wrong = key;
    wrong[31] ^= 1;
    assert!(matches!(open(&path, &wrong, None), Err(OpenError::WrongKeyOrNotADatabase)));
    let name: String =
        open(&path, &key, None).unwrap().query_row("SELECT name FROM person", [], |row| row.get(0)).unwrap();
    assert_eq!(name, "才让卓玛");
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for needle in ["才让卓玛".as_bytes(), b"CREATE TABLE", b"SQLite format 3"] {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle));
        }
    }
}

#[test]
fn the_linked_library_is_the_encrypted_one() {
    assert!(library_version().contains("Multiple Ciphers"), "{}", library_version());
}

/// A small database, checkpointed into its one file.
fn small(path: &Path, key: &[u8; KEY_BYTES]) {
    let connection = open(path, key, None).unwrap();
    connection.execute_batch("CREATE TABLE person(name TEXT); INSERT INTO person VALUES('才让卓玛')").unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

#[test]
fn every_flipped_byte_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let key = [7u8; KEY_BYTES];
    small(&path, &key);
    let good = std::fs::read(&path).unwrap();
    let flipped = dir.path().join("flipped.db");
    for at in (0..good.len()).step_by(13).chain(0..200).chain(good.len() - 40..good.len()) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&flipped, &bytes).unwrap();
        let read = open_existing(&flipped, &key)
            .and_then(|c| Ok(c.query_row("SELECT name FROM person", [], |row| row.get::<_, String>(0))?));
        assert!(read.is_err(), "byte {at} of {} was flipped unnoticed", good.len());
    }
}

#[test]
fn a_raw_key_opens_without_derivation() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    small(&path, &[7; KEY_BYTES]);
    let connection = Connection::open(&path).unwrap();
    // The same key as a passphrase must not open it: then `raw:` would have been taken for one.
    connection.pragma_update(None, "key", "07".repeat(32)).unwrap();
    assert!(connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())).is_err());
}

#[test]
fn a_copy_has_its_own_key() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("store.db"), dir.path().join("复件 1?.db"));
    let (key, other) = ([7u8; KEY_BYTES], [9u8; KEY_BYTES]);
    small(&path, &key);
    copy_to(&open(&path, &key, None).unwrap(), &copy, &other).unwrap();
    assert!(matches!(open_existing(&copy, &key), Err(OpenError::WrongKeyOrNotADatabase)));
    let name: String =
        open_existing(&copy, &other).unwrap().query_row("SELECT name FROM person", [], |row| row.get(0)).unwrap();
    assert_eq!(name, "才让卓玛");
}

#[test]
fn a_plain_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plain.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE person(name TEXT)").unwrap();
    assert!(matches!(open(&path, &[7; KEY_BYTES], None), Err(OpenError::WrongKeyOrNotADatabase)));
}

#[test]
fn a_cut_file_is_still_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let key = [7u8; KEY_BYTES];
    small(&path, &key);
    {
        let connection = open(&path, &key, None).unwrap();
        connection.execute_batch("CREATE TABLE big(bytes BLOB); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20) INSERT INTO big SELECT zeroblob(3000) FROM n").unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2 + 17]).unwrap();
    assert!(open(&path, &key, None).is_err());
    let name: String =
        open_existing(&path, &key).unwrap().query_row("SELECT name FROM person", [], |row| row.get(0)).unwrap();
    assert_eq!(name, "才让卓玛");
}

fn failed(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
}

#[test]
fn a_full_disk_and_a_failing_one_are_told_apart() {
    use room::{Failure, failure_of, is_full, lacks_room};
    use rusqlite::ffi;
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(failure_of(&failed(ffi::SQLITE_FULL)), Failure::Full);
    for code in [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_READ, ffi::SQLITE_CANTOPEN, ffi::SQLITE_READONLY_CANTINIT] {
        assert_eq!(failure_of(&failed(code)), Failure::Storage, "{code}");
        assert!(!lacks_room(&failed(code), dir.path()), "{code}: there is room");
        assert!(!lacks_room(&failed(code), &dir.path().join("gone")), "{code}: nothing is known");
    }
    assert_eq!(failure_of(&failed(ffi::SQLITE_BUSY_SNAPSHOT)), Failure::Busy);
    assert_eq!(failure_of(&failed(ffi::SQLITE_CORRUPT_INDEX)), Failure::Damaged);
    assert_eq!(failure_of(&failed(ffi::SQLITE_CONSTRAINT_UNIQUE)), Failure::Other);
    let is = |kind: std::io::ErrorKind| is_full(&kind.into());
    assert!(is(std::io::ErrorKind::StorageFull) && is(std::io::ErrorKind::QuotaExceeded));
    assert!(!is(std::io::ErrorKind::ReadOnlyFilesystem) && !is(std::io::ErrorKind::Other));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "what was written to find out is gone");
}

#[test]
fn a_statement_is_compiled_once_whatever_is_bound() {
    let dir = tempfile::tempdir().unwrap();
    let connection = open(&dir.path().join("store.db"), &[7; KEY_BYTES], None).unwrap();
    let tables =
        "CREATE TABLE review(n INTEGER PRIMARY KEY, record BLOB); CREATE INDEX by_record ON review(record, n);";
    connection.execute_batch(tables).unwrap();
    let mut statement = connection.prepare("SELECT n FROM review WHERE record = ?1 ORDER BY n").unwrap();
    for record in 0u8..9 {
        assert!(!statement.exists([[record]]).unwrap());
    }
    assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
}
