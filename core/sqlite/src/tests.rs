#![allow(clippy::unwrap_used)]
use super::*;

#[test]
fn a_wrong_bit_opens_nothing_and_the_file_shows_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let key = [7u8; KEY_BYTES];
    {
        let connection = open(&path, &key).unwrap();
        connection.execute_batch("CREATE TABLE person(name TEXT); INSERT INTO person VALUES('才让卓玛')").unwrap();
    }
    let mut wrong = key;
    wrong[31] ^= 1;
    assert!(matches!(open(&path, &wrong), Err(OpenError::WrongKeyOrNotADatabase)));
    let name: String = open(&path, &key).unwrap().query_row("SELECT name FROM person", [], |row| row.get(0)).unwrap();
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
