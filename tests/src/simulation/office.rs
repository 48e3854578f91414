//! The server of a world, its users, and the supervisor who works at it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use fieldbook_core::access::{Role, Unit};
use fieldbook_core::ids::{ChangeHash, RecordId};
use fieldbook_core::ports::Clock;
use fieldbook_core::sync::server::Sealing;
use fieldbook_server::store::{BackupKey, Database, Restore, Store, StoreError, UserRow, restore_backup};

use super::chance::{Chance, SeededRandom};
use super::disk::{Disk, Image, Unsynced};
use super::ether::{Ether, Serving};
use super::{START_MS, Wrong, forms, sealed, vfs};

/// Units: code and parent.
const UNITS: [(&str, Option<&str>); 4] = [("R", None), ("T1", Some("R")), ("T2", Some("R")), ("T3", Some("R"))];
/// Users with phones: login, unit, role. The first reads everything and is never troubled.
pub const USERS: [(&str, &str, Role); 8] = [
    ("mirror", "R", Role::Auditor),
    ("anna", "T1", Role::Field),
    ("bela", "T1", Role::Field),
    ("cora", "T2", Role::Field),
    ("dora", "T2", Role::Township),
    ("egon", "T3", Role::Lawyer),
    ("finn", "R", Role::Finance),
    ("gita", "R", Role::County),
];
/// The supervisor at the console.
const BOSS: &str = "boss";
/// The database's file.
const DATABASE: &str = "fieldbook.db";
/// Seed of the office that all worlds begin with.
const TEMPLATE_SEED: u64 = 0x0ff1ce;

/// The server's clock: the true time, shifted.
pub struct OfficeClock {
    ether: Arc<Ether>,
    /// Ahead of the true time, milliseconds.
    pub ahead_ms: AtomicI64,
}

impl OfficeClock {
    /// The true time.
    #[must_use]
    pub fn new(ether: &Arc<Ether>) -> Self {
        Self { ether: Arc::clone(ether), ahead_ms: AtomicI64::new(0) }
    }
}

impl Clock for OfficeClock {
    fn now_ms(&self) -> i64 {
        self.ether.now_ms() + self.ahead_ms.load(Ordering::SeqCst)
    }

    fn boot_ms(&self) -> u64 {
        0
    }
}

/// An office as it is set up, from which every world begins: its disk and its key file.
struct Template {
    image: Image,
    key: Vec<u8>,
}

fn said(error: StoreError) -> Wrong {
    format!("the server says: {error}")
}

/// All units, users and first forms.
fn set_up() -> Result<Template, Wrong> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let disk = Disk::mount(folder.path(), Image::new())?;
    let mut chance = Chance::new(TEMPLATE_SEED);
    let ether = Arc::new(Ether::new(chance.fork(), START_MS));
    let clock = Arc::new(OfficeClock::new(&ether));
    let random = Arc::new(SeededRandom::new(chance.fork()));
    let store = Store::open_on(folder.path(), None, clock, random, Database::Embedded(Some(vfs::NAME.to_owned())))
        .map_err(said)?;
    // The built-in kinds take a second to compile; small forms do here.
    store.set_setting("builtin", env!("CARGO_PKG_VERSION")).map_err(said)?;
    for (code, parent) in UNITS {
        let unit = Unit { code: code.into(), name: code.into(), parent: parent.map(str::to_owned), division: None };
        store.add_unit(&unit).map_err(said)?;
    }
    for (login, unit, role) in USERS.into_iter().chain([(BOSS, "R", Role::County)]) {
        store.add_user(login, unit, &[role], Some(login)).map_err(said)?;
    }
    for (kind, area) in forms::KINDS {
        store.publish_form(&forms::form(kind, area, 1)?, None).map_err(said)?;
    }
    drop(store);
    let key = std::fs::read(folder.path().join("key")).map_err(|error| error.to_string())?;
    Ok(Template { image: disk.image(), key })
}

fn template() -> Result<&'static Template, Wrong> {
    static TEMPLATE: OnceLock<Result<Template, Wrong>> = OnceLock::new();
    TEMPLATE.get_or_init(set_up).as_ref().map_err(Clone::clone)
}

/// Pieces of feeds are sealed at the size of a world's feeds.
const SEALING: Sealing = Sealing { entries_min: 8, bytes_target: 600 };

/// The server of one world.
pub struct Office {
    folder: PathBuf,
    /// Its disk.
    pub disk: Arc<Disk>,
    /// Its clock.
    pub clock: Arc<OfficeClock>,
    ether: Arc<Ether>,
    chance: Chance,
    starts: u64,
    boss: Option<UserRow>,
    /// Two processes serve.
    pub twins: bool,
    /// Newest version of each kind's form.
    pub versions: [u32; forms::KINDS.len()],
    /// What opens its backups.
    backup_key: BackupKey,
}

impl Office {
    /// The office as set up, in `folder`, not yet serving.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub fn new(folder: &Path, ether: &Arc<Ether>, chance: Chance) -> Result<Self, Wrong> {
        let template = template()?;
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        std::fs::write(folder.join("key"), &template.key).map_err(|error| error.to_string())?;
        Ok(Self {
            folder: folder.to_owned(),
            disk: Disk::mount(folder, template.image.clone())?,
            clock: Arc::new(OfficeClock::new(ether)),
            ether: Arc::clone(ether),
            chance,
            starts: 0,
            boss: None,
            twins: false,
            versions: [1; forms::KINDS.len()],
            backup_key: BackupKey::generate(),
        })
    }

    fn process(&mut self) -> Result<Arc<Store>, StoreError> {
        let random = Arc::new(SeededRandom::new(self.chance.fork()));
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let store = Store::open_on(&self.folder, None, clock, random, Database::Embedded(Some(vfs::NAME.to_owned())))?;
        Ok(Arc::new(store.sealing_at(SEALING)))
    }

    /// A server process starts on the disk as it is, or two.
    ///
    /// # Errors
    /// What the store said; it may try again.
    pub fn start(&mut self) -> Result<(), StoreError> {
        self.starts += 1;
        let store = self.process()?;
        let twin = if self.twins { Some(self.process()?) } else { None };
        if self.boss.is_none() {
            self.boss = Some(store.find_user(BOSS)?);
        }
        self.ether.serve(Some(Serving { store, twin, disk: Arc::clone(&self.disk), start: self.starts }));
        Ok(())
    }

    /// The server process is gone; its disk is as a crash leaves it.
    pub fn stop(&mut self, unsynced: Unsynced) {
        self.disk.kill();
        self.ether.serve(None);
        self.disk.restart(unsynced, &mut self.chance);
    }

    /// Nothing that is sealed says anything of records that were erased.
    ///
    /// # Errors
    /// What is wrong.
    pub fn sealed_without<'r>(
        &self,
        store: &Store,
        records: impl Iterator<Item = &'r RecordId> + Clone,
    ) -> Result<(), Wrong> {
        sealed::holds_nothing_of(store, &self.folder, records)
    }

    /// Nothing that is sealed says anything of records that are in another unit.
    ///
    /// # Errors
    /// What is wrong.
    pub fn sealed_where_they_are(&self, store: &Store, held: &[Held]) -> Result<(), Wrong> {
        sealed::holds_nothing_from_elsewhere(store, &self.folder, held)
    }

    fn backup(&self) -> PathBuf {
        self.folder.join("backup.db")
    }

    /// A backup of the disk as it is, made by the server's own command from a copy of it.
    ///
    /// # Errors
    /// When the copy cannot be read.
    pub fn back_up(&mut self) -> Result<(), Wrong> {
        let copy = self.folder.join("copy");
        let lay_out = || {
            std::fs::create_dir(&copy)?;
            std::fs::copy(self.folder.join("key"), copy.join("key"))?;
            self.disk.image().iter().try_for_each(|(name, content)| std::fs::write(copy.join(name), content))
        };
        lay_out().map_err(|error: std::io::Error| error.to_string())?;
        let random = Arc::new(SeededRandom::new(self.chance.fork()));
        let store = Store::open(&copy, None, Arc::clone(&self.clock) as _, random).map_err(said)?;
        store.backup(&self.backup(), &self.backup_key.recipient()).map_err(said)?;
        drop(store);
        std::fs::remove_dir_all(&copy).map_err(|error| error.to_string())
    }

    /// The server stops, and what the server's own command restores from the backup takes the disk's place. The list of
    /// what was erased for ever lies beside the disk, and stays.
    ///
    /// # Errors
    /// When the command fails.
    pub fn restore(&mut self) -> Result<(), Wrong> {
        self.stop(Unsynced::Kept);
        let random = SeededRandom::new(self.chance.fork());
        let to = Restore { folder: &self.folder, key_file: None, database: &Database::Embedded(None), owners: &[] };
        restore_backup(&to, &self.backup(), &self.backup_key, &random).map_err(said)?;
        let restored = self.folder.join(DATABASE);
        let content = std::fs::read(&restored).map_err(|error| error.to_string())?;
        std::fs::remove_file(&restored).map_err(|error| error.to_string())?;
        self.disk.restore(Image::from([(DATABASE.to_owned(), content)]));
        Ok(())
    }

    /// The store of one of the running server's processes: where somebody at the console, or an administrator, happens to be.
    #[must_use]
    pub fn some_store(&self) -> Option<Arc<Store>> {
        self.ether.serving().map(|serving| serving.either(&self.ether))
    }

    /// The store of the running server.
    #[must_use]
    pub fn store(&self) -> Option<Arc<Store>> {
        self.ether.serving().map(|serving| serving.store)
    }

    /// The supervisor.
    #[must_use]
    pub fn boss(&self) -> Option<UserRow> {
        self.boss.clone()
    }
}

/// A record as the server holds it.
#[derive(Clone, Debug)]
pub struct Held {
    /// The record.
    pub id: RecordId,
    /// Its kind.
    pub kind: String,
    /// Its unit.
    pub unit: String,
    /// Its heads, sorted.
    pub heads: Vec<ChangeHash>,
}

/// Every record that the server holds, by id.
///
/// # Errors
/// What the database said.
pub fn records(store: &Store) -> Result<Vec<Held>, StoreError> {
    store.read(|tx| {
        let mut statement = tx.prepare("SELECT id, kind, unit, heads FROM records ORDER BY id")?;
        let rows = statement.query_map((), |row| {
            let heads: Vec<u8> = row.get(3)?;
            let heads = heads.as_chunks::<32>().0.iter().map(|hash| ChangeHash(*hash)).collect();
            Ok(Held { id: RecordId(row.get(0)?), kind: row.get(1)?, unit: row.get(2)?, heads })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
}

/// Hashes of all changes in the server's log.
///
/// # Errors
/// What the database said.
pub fn logged(store: &Store) -> Result<std::collections::BTreeSet<ChangeHash>, StoreError> {
    store.read(|tx| {
        let mut statement = tx.prepare("SELECT hash FROM entries WHERE hash IS NOT NULL")?;
        let rows = statement.query_map((), |row| Ok(ChangeHash(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
}

/// Records that were erased for ever.
///
/// # Errors
/// What the database said.
pub fn purged(store: &Store) -> Result<std::collections::BTreeSet<RecordId>, StoreError> {
    store.read(|tx| {
        let mut statement = tx.prepare("SELECT record FROM purged")?;
        let rows = statement.query_map((), |row| Ok(RecordId(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
}

/// Hashes of all changes that the server holds apart, or of which their authors have not heard yet.
///
/// # Errors
/// What the database said.
pub fn judged(store: &Store) -> Result<std::collections::BTreeSet<ChangeHash>, StoreError> {
    store.read(|tx| {
        let mut statement = tx.prepare("SELECT hash FROM quarantine UNION SELECT hash FROM verdicts")?;
        let rows = statement.query_map((), |row| Ok(ChangeHash(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
}

/// Rows that hold something of a record, beside the one that says that it was erased.
///
/// # Errors
/// What the database said.
pub fn rows_of(store: &Store, record: &RecordId) -> Result<u64, StoreError> {
    store.read(|tx| {
        let sql =
            "SELECT (SELECT count(*) FROM records WHERE id = ?1) + (SELECT count(*) FROM bodies WHERE record = ?1)
           + (SELECT count(*) FROM entries WHERE record = ?1 AND hash IS NOT NULL)
           + (SELECT count(*) FROM quarantine WHERE record = ?1) + (SELECT count(*) FROM reviews WHERE record = ?1)";
        Ok(tx.prepare(sql)?.query_row([record.as_bytes()], |row| row.get(0))?)
    })
}

/// Whether a quarantined change of the record holds `text`.
///
/// # Errors
/// What the database said.
pub fn quarantined(store: &Store, record: &RecordId, text: &str) -> Result<bool, StoreError> {
    store.read(|tx| {
        let mut statement = tx.prepare("SELECT bytes FROM quarantine WHERE record = ?1")?;
        let mut rows = statement.query([record.as_bytes()])?;
        while let Some(row) = rows.next_row()? {
            let bytes: Vec<u8> = row.get(0)?;
            if bytes.windows(text.len()).any(|part| part == text.as_bytes()) {
                return Ok(true);
            }
        }
        Ok(false)
    })
}

/// Whether a record is in a feed of this reach.
#[must_use]
pub fn may_read(reach: &std::collections::BTreeSet<(String, fieldbook_core::access::Area)>, record: &Held) -> bool {
    let area = forms::KINDS.iter().find(|(kind, _)| *kind == record.kind).map(|(_, area)| *area);
    area.is_some_and(|area| reach.contains(&(record.unit.clone(), area)))
}

/// The feeds that a role at a unit may read: the areas of the role at the unit and below, and what is general above.
#[must_use]
pub fn reach(roles: &[(Role, String)]) -> std::collections::BTreeSet<(String, fieldbook_core::access::Area)> {
    let mut reached = std::collections::BTreeSet::new();
    for (role, at) in roles {
        reached.insert(("R".to_owned(), fieldbook_core::access::Area::General));
        for (unit, parent) in UNITS {
            if unit == at || parent == Some(at.as_str()) {
                reached.extend(role.areas().iter().map(|area| (unit.to_owned(), *area)));
            }
        }
    }
    reached
}
