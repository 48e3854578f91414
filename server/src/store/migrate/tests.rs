use super::*;
use crate::store::{READER_CACHE_KIB, connect, meta, set_meta};
use crate::testing;

const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];
const FIRST: &str = "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;\n\
                     CREATE TABLE visits (id INTEGER PRIMARY KEY, place TEXT NOT NULL) STRICT;";
const STEPS: &[Step] = &[
    Step { from: 1, statements: &["ALTER TABLE visits ADD COLUMN days INTEGER NOT NULL DEFAULT 3"] },
    Step { from: 2, statements: &["UPDATE visits SET days = days + 1 WHERE place = 'far'"] },
];

/// A database of version 1, of either kind, with two rows.
fn older(folder: &Path) -> (Connection, std::path::PathBuf) {
    let path = folder.join("old.db");
    let connection = testing::connection(|| connect(&path, &KEY, None, READER_CACHE_KIB).unwrap());
    let tx = connection.writing().unwrap();
    tx.make_tables(FIRST).unwrap();
    tx.set_schema_version(1).unwrap();
    set_meta(&tx, "name", b"old").unwrap();
    for place in ["near", "far"] {
        tx.execute("INSERT INTO visits(place) VALUES (?1)", [place]).unwrap();
    }
    tx.commit().unwrap();
    (connection, path)
}

fn days(connection: &Connection) -> Vec<(String, i64)> {
    let mut found = connection.prepare("SELECT place, days FROM visits ORDER BY id").unwrap();
    found.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn an_older_database_is_kept_and_brought_to_this_version_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    let (connection, path) = older(folder.path());
    to(&connection, &path, &KEY, (STEPS, 3)).unwrap();
    assert_eq!(connection.schema_version().unwrap(), 3);
    assert_eq!(days(&connection), [("near".to_owned(), 3), ("far".to_owned(), 4)]);
    assert_eq!(meta(&connection, "name").unwrap().unwrap(), b"old");
    let count = "SELECT count(*) FROM visits";
    if connection.sqlite().is_some() {
        let kept = folder.path().join("old.db.before-schema-1");
        let kept = connect(&kept, &KEY, None, READER_CACHE_KIB).unwrap();
        assert_eq!(kept.schema_version().unwrap(), 1);
        assert_eq!(kept.query_row(count, (), |row| row.get::<i64>(0)).unwrap(), 2);
        assert!(kept.prepare("SELECT days FROM visits").is_err());
    } else {
        let kept = "SELECT count(*) FROM before_schema_1.visits";
        assert_eq!(connection.query_row(kept, (), |row| row.get::<i64>(0)).unwrap(), 2);
    }
    to(&connection, &path, &KEY, (STEPS, 3)).unwrap();
    assert_eq!(days(&connection)[1].1, 4, "a second start changes nothing");
}

#[test]
fn a_database_of_a_later_version_and_one_without_a_way_are_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (connection, path) = older(folder.path());
    let broken = &[STEPS[0], Step { from: 2, statements: &["UPDATE visits SET nights = 1"] }];
    assert!(to(&connection, &path, &KEY, (broken, 3)).is_err());
    assert_eq!(connection.schema_version().unwrap(), 1, "no step stays when a later one fails");
    assert!(connection.prepare("SELECT days FROM visits").is_err());
    match to(&connection, &path, &KEY, (&STEPS[1..], 3)) {
        Err(StoreError::Problem(problem)) => assert_eq!(problem.word, "schema_too_old"),
        other => panic!("{other:?}"),
    }
    connection.set_schema_version(9).unwrap();
    match to(&connection, &path, &KEY, (STEPS, 3)) {
        Err(StoreError::NewerSchema { found: 9, known: 3, .. }) => {}
        other => panic!("{other:?}"),
    }
}
