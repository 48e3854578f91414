use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use fieldbook_core::access::Unit;

use super::*;
use crate::testing::{self, START_MS, TestClock, TestRandom};

fn open_on(dir: &Path, database: &Database) -> Result<Store, StoreError> {
    let clock = Arc::new(TestClock(AtomicI64::new(START_MS)));
    Store::open_on(dir, None, clock, Arc::new(TestRandom::default()), database.clone())
}

/// A server in a folder, whatever its database is, the key of its backups, and one of them.
struct Scene {
    folder: tempfile::TempDir,
    database: Database,
    key: BackupKey,
    backup: PathBuf,
}

impl Scene {
    /// A backup with a setting and two units, and another setting after it.
    fn new() -> Self {
        Self::on(testing::database())
    }

    fn on(database: Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let backup = folder.path().join("backup.age");
        let scene = Self { folder, database, key: BackupKey::generate(), backup };
        let store = scene.open();
        // The lower unit sorts before the one above it: rows come in any order.
        for (code, parent) in [("9", None), ("1", Some("9"))] {
            let (name, parent) = (format!("unit {code}"), parent.map(str::to_owned));
            store.add_unit(&Unit { code: code.to_owned(), name, parent, division: None }).unwrap();
        }
        store.add_user("多杰", "1", &[fieldbook_core::access::Role::Field], Some("duojie")).unwrap();
        store.set_setting("test", "before").unwrap();
        store.backup(&scene.backup, &scene.key.recipient()).unwrap();
        store.set_setting("test", "after").unwrap();
        scene
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn open(&self) -> Store {
        open_on(&self.data(), &self.database).unwrap()
    }

    fn restore(&self, from: &Path) -> Result<Option<String>, StoreError> {
        self.restore_with(from, &self.key)
    }

    fn restore_with(&self, from: &Path, key: &BackupKey) -> Result<Option<String>, StoreError> {
        let to = Restore { folder: &self.data(), key_file: None, database: &self.database, owners: &[] };
        restore_backup(&to, from, key, &TestRandom::default())
    }

    fn held(&self) -> String {
        self.open().setting("test").unwrap().unwrap()
    }
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

#[test]
fn a_backup_holds_what_was_committed_when_it_began_and_nothing_in_the_clear() {
    let scene = Scene::new();
    let store = scene.open();
    let backup = scene.folder.path().join("second.age");
    fs::write(scene.folder.path().join("second.age.part"), "of one that was killed").unwrap();
    let made = store.backup(&backup, &scene.key.recipient()).unwrap();
    assert_eq!(
        names(scene.folder.path()),
        ["backup.age", "backup.age.sha256", "data", "second.age", "second.age.sha256"]
    );
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&backup).unwrap();
    assert_eq!(bytes.len() as u64, made.bytes);
    for clear in ["多杰".as_bytes(), b"CREATE TABLE", b"fieldbook"] {
        assert!(!bytes.windows(clear.len()).any(|window| window == clear), "readable without the key");
    }
    let read = read_backup(&backup, &scene.key).unwrap();
    assert_eq!(read, BackupRead { rows: made.rows, made_ms: START_MS, log: made.log.clone() });
    assert!(made.log.rows > 0 && made.log.chain.len() == 64, "{:?}", made.log);
    assert_eq!(store.last_backup_ms().unwrap(), Some(START_MS));
    assert_eq!(word(store.backup(&backup, &scene.key.recipient())), "file_exists");
}

#[test]
fn a_restored_database_waits_and_the_one_before_is_put_aside() {
    let scene = Scene::new();
    let log = scene.open().log();
    let aside = scene.restore(&scene.backup).unwrap().unwrap();
    assert!(aside.contains("before"), "{aside}");
    let store = scene.open();
    assert_eq!(store.setting("test").unwrap().unwrap(), "before");
    assert!(store.awaiting().unwrap());
    assert_eq!(store.log(), log);
    assert_eq!(store.users().unwrap().len(), 1);
    assert_eq!(word(scene.restore(&scene.backup)), "server_runs");
    store.confirm_restored().unwrap();
    assert!(!store.awaiting().unwrap());
    assert_eq!(word(store.confirm_restored()), "not_awaiting");
    // Numbers go on above those that came.
    store.write(|tx| super::super::audit::audit(tx, 1, None, "setting", "", "")).unwrap();
}

#[test]
fn a_backup_goes_into_an_empty_folder_without_the_key_of_the_database() {
    let scene = Scene::on(Database::Embedded(None));
    let folder = scene.folder.path().join("elsewhere");
    let to = Restore { folder: &folder, key_file: None, database: &scene.database, owners: &[] };
    assert_eq!(restore_backup(&to, &scene.backup, &scene.key, &TestRandom::default()).unwrap(), None);
    let store = open_on(&folder, &scene.database).unwrap();
    assert_eq!(store.setting("test").unwrap().unwrap(), "before");
    assert_eq!(store.identity().root_public(), scene.open().identity().root_public());
}

#[test]
fn a_backup_that_is_damaged_or_of_another_server_changes_nothing() {
    let scene = Scene::new();
    let (whole, bad) = (fs::read(&scene.backup).unwrap(), scene.folder.path().join("bad.age"));
    let files = names(&scene.data());
    let refused = |what: &str, bytes: &[u8], words: &[&str]| {
        fs::write(&bad, bytes).unwrap();
        let found = word(scene.restore(&bad));
        assert!(words.contains(&found), "{what}: {found}");
        assert_eq!(names(&scene.data()), files, "{what}");
    };
    refused("empty", &[], &["backup_foreign"]);
    refused("text", "no backup at all\n".repeat(5000).as_bytes(), &["backup_foreign"]);
    refused("half of it", &whole[..whole.len() / 2], &["backup_damaged"]);
    refused("its last byte is missing", &whole[..whole.len() - 1], &["backup_damaged"]);
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        let words = ["backup_damaged", "backup_foreign", "backup_other_key"];
        refused(&format!("a bit of byte {at}"), &flipped, &words);
    }
    fs::remove_file(&bad).unwrap();
    assert_eq!(word(scene.restore(&bad)), "file_unreadable");
    assert_eq!(word(scene.restore_with(&scene.backup, &BackupKey::generate())), "backup_other_key");
    let other = Scene::new();
    other.open().write(|tx| set_meta(tx, "log", &[9; 16])).unwrap();
    let foreign = scene.folder.path().join("foreign.age");
    open_on(&other.data(), &other.database).unwrap().backup(&foreign, &scene.key.recipient()).unwrap();
    assert_eq!(word(scene.restore(&foreign)), "backup_other");
    assert_eq!(scene.held(), "after");
    assert!(scene.restore(&scene.backup).is_ok());
    assert_eq!(scene.held(), "before");
}

#[test]
fn a_restore_that_is_killed_leaves_a_database_in_its_place() {
    let scene = Scene::on(Database::Embedded(None));
    let (path, fresh) = (scene.data().join(FILE), scene.data().join("fieldbook.db.new"));
    // Killed while it fills the new file, and between its last two steps.
    fs::write(&fresh, b"half of it").unwrap();
    assert_eq!(scene.held(), "after");
    let aside = scene.restore(&scene.backup).unwrap().unwrap();
    assert_eq!(Path::new(&aside), scene.data().join("fieldbook.db.before-restore-1"));
    assert_eq!(scene.held(), "before");
    fs::hard_link(&path, &fresh).unwrap();
    assert_eq!(scene.held(), "before");
    assert!(scene.restore(&scene.backup).unwrap().unwrap().ends_with("before-restore-2"));
    assert!(!fresh.exists());
}

#[test]
fn a_key_is_written_as_age_writes_it_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let key = BackupKey::generate();
    key.write(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(BackupKey::read(&path).unwrap().recipient().to_string(), key.recipient().to_string());
    assert!(key.write(&path).is_err(), "an older key is not overwritten");
    fs::write(&path, "# nothing\nAGE-SECRET-KEY-1QQQ\n").unwrap();
    assert_eq!(word(BackupKey::read(&path)), "backup_key_malformed");
    assert!("age1xyz".parse::<BackupRecipient>().is_err());
}

#[test]
fn an_installation_moves_to_the_other_database_and_back() {
    let Database::Postgres(_) = testing::database() else { return };
    let embedded = Database::Embedded(None);
    let scene = Scene::on(embedded.clone());
    let there = testing::database();
    let random: Arc<TestRandom> = Arc::default();
    let moved = |from: &Database, to: &Database| {
        let clock = Arc::new(TestClock(AtomicI64::new(START_MS)));
        relocate(&scene.data(), None, (from, to), clock, random.clone())
    };
    let store = scene.open();
    assert_eq!(word(moved(&embedded, &there)), "server_runs");
    let log = store.log();
    drop(store);
    let rows = moved(&embedded, &there).unwrap().rows;
    assert!(rows > 10, "{rows}");
    assert_eq!(word(open_on(&scene.data(), &embedded)), "store_moved");
    let store = open_on(&scene.data(), &there).unwrap();
    assert_eq!((store.log(), store.setting("test").unwrap().unwrap().as_str()), (log, "after"));
    assert_eq!(word(moved(&there, &embedded)), "server_runs");
    drop(store);
    assert_eq!(word(moved(&there, &embedded)), "database_not_empty");
    // Killed before its end: no server starts on what came over, and the next try begins anew.
    fs::rename(scene.data().join(FILE), scene.data().join("fieldbook.db.old")).unwrap();
    let mark = |database: &Database, key: &'static str| {
        let connection = match database {
            Database::Postgres(url) => Connection::postgres(url).unwrap(),
            Database::Embedded(_) => {
                let key = data_folder::prepare(&scene.data(), None, random.as_ref()).unwrap();
                connect(&scene.data().join(FILE), &key, None, READER_CACHE_KIB).unwrap()
            }
        };
        set_meta(&connection, key, b"1").unwrap();
    };
    drop(open_on(&scene.data(), &embedded).unwrap());
    mark(&embedded, super::super::ARRIVING);
    assert_eq!(word(open_on(&scene.data(), &embedded)), "store_arriving");
    assert_eq!(moved(&there, &embedded).unwrap().rows, rows);
    assert_eq!(word(open_on(&scene.data(), &there)), "store_moved");
    assert_eq!(scene.held(), "after");
    // Whoever comes while rows are copied is refused; a move that cannot be done lets them in again.
    let on = Connection::postgres(match &there {
        Database::Postgres(url) => url,
        Database::Embedded(_) => "",
    })
    .unwrap();
    on.execute("DELETE FROM meta WHERE key = ?1", [super::super::MOVED]).unwrap();
    set_meta(&on, super::super::LEAVING, b"1").unwrap();
    drop(on);
    assert_eq!(word(open_on(&scene.data(), &there)), "store_arriving");
    assert_eq!(word(moved(&there, &embedded)), "database_not_empty");
    drop(open_on(&scene.data(), &there).unwrap());
    mark(&there, super::super::MOVED);
    // Killed between its last two steps: the same command ends it.
    mark(&embedded, super::super::ARRIVING);
    assert_eq!(word(open_on(&scene.data(), &embedded)), "store_arriving");
    assert_eq!(moved(&there, &embedded).unwrap().rows, rows);
    assert_eq!(scene.held(), "after");
    assert_eq!(word(moved(&there, &embedded)), "store_moved");
}
