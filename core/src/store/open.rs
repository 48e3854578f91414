//! Opening, reading, writing and closing the file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fieldbook_sqlite::rusqlite::{self, Connection};
use fieldbook_sqlite::{KEY_BYTES, room};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::salvage::{self, SalvageReport, SchemaPages};
use super::{LOG_BYTES_MAX, LOG_BYTES_TIDY, PAGE_CACHE_KIB, StoreError, schema};
use crate::ports::{Disk, Random};

/// Name of the database in the phone's folder.
pub(super) const FILE: &str = "fieldbook.db";
/// Tells a wrong key from a damaged file: a keyed hash of nothing.
const KEY_CHECK_FILE: &str = "fieldbook.keycheck";
/// There after damage was met: the next opening looks at every page.
const SUSPECT_FILE: &str = "fieldbook.suspect";
/// Connections for reading that are kept while nobody uses them.
const READERS_IDLE_MAX: usize = 2;
/// Setting: key of the person index.
const PERSON_KEY: &str = "person_key";
/// Setting: `1` after [`Store::close`], `0` while open.
const CLEAN_STOP: &str = "clean_stop";
/// Setting: there while read rows and search must be made anew from the bodies.
const DERIVE: &str = "derive";
/// Setting: there from a salvage that lost something until the feeds are whole again and the outbox too.
const RECLAIM: &str = "reclaim";
/// Setting: there from a purge until search and write-ahead log hold nothing of it any more.
pub(super) const SCRUB: &str = "scrub";
/// Setting: what was salvaged last.
const SALVAGE: &str = "salvage";

/// The phone's store. Shared by reference between threads.
pub struct Store {
    folder: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) writer: Mutex<Connection>,
    /// Connections that nobody reads with just now.
    pub(super) readers: Mutex<Vec<Connection>>,
    /// Set by [`Write::erase`], for ever.
    pub(super) erased: AtomicBool,
    /// Dropped behind the connections.
    _schema_pages: SchemaPages,
    key: [u8; KEY_BYTES],
    person_key: [u8; 32],
    stopped_cleanly: bool,
    salvage: Option<SalvageReport>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// A consistent look at the store: everything that is only read.
#[derive(Clone, Copy)]
pub struct View<'c> {
    pub(super) connection: &'c Connection,
    pub(super) store: &'c Store,
}

/// An open transaction. Dropped without [`Write::commit`], it leaves nothing.
pub struct Write<'s> {
    pub(super) connection: MutexGuard<'s, Connection>,
    pub(super) store: &'s Store,
    open: bool,
}

/// HMAC-SHA256 of `parts` under a 32-byte key.
pub(super) fn keyed_hash(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // A key shorter than the hash's block is padded with zeroes (RFC 2104).
    let mut block = [0u8; 64];
    block[..32].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

impl Store {
    /// Opens or creates the store in `folder` on `disk` under the raw 32-byte `key`.
    ///
    /// A damaged file is set aside as `fieldbook.damaged-N.db`, what can be read of it is taken over into a new one,
    /// and [`Store::salvage`] says what was and what was not; it is never deleted.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`] (nothing is touched), [`StoreError::Newer`], [`StoreError::Full`],
    /// [`StoreError::Busy`], [`StoreError::Storage`], [`StoreError::Io`].
    pub fn open(
        folder: &Path,
        key: &[u8; KEY_BYTES],
        random: &dyn Random,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, StoreError> {
        Self::open_in(folder, key, random, disk).map_err(|error| error.for_want_of_room(folder))
    }

    fn open_in(
        folder: &Path,
        key: &[u8; KEY_BYTES],
        random: &dyn Random,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|source| io("making the folder", folder, source))?;
        salvage::finish_interrupted(folder)?;
        let file = folder.join(FILE);
        let existed = disk.length_bytes(&file).is_some();
        let key_fits = key_check(folder, key)?;
        if !existed {
            // The key's check comes first: a file without it cannot be told from one with another key.
            write_key_check(folder, key)?;
        }
        let suspect = folder.join(SUSPECT_FILE);
        let store = match Self::open_once(folder, key, random, &disk, suspect.exists(), None) {
            Err(StoreError::Damaged { .. }) => {
                // A key that still reads the tables' names is the right one, whatever lies beside the file.
                let proved = key_fits == Some(true) || fieldbook_sqlite::open_existing(&file, key).is_ok();
                match (proved, key_fits) {
                    (true, _) => {}
                    (false, Some(_)) => return Err(StoreError::WrongKey { file }),
                    (false, None) => return Err(StoreError::WrongKeyOrDamaged { file }),
                }
                let report = salvage::set_aside_and_take_over(folder, key)?;
                Self::open_once(folder, key, random, &disk, false, Some(report))?
            }
            other => other?,
        };
        if existed && key_fits != Some(true) {
            write_key_check(folder, key)?;
        }
        remove_if_there(&suspect)?;
        Ok(store)
    }

    fn open_once(
        folder: &Path,
        key: &[u8; KEY_BYTES],
        random: &dyn Random,
        disk: &Arc<dyn Disk>,
        look_closely: bool,
        salvage: Option<SalvageReport>,
    ) -> Result<Self, StoreError> {
        let (writer, reader) = open_connections(&folder.join(FILE), key, disk.vfs(), look_closely)?;
        let mut store = Self {
            _schema_pages: SchemaPages::find(&writer, folder)?,
            folder: folder.to_owned(),
            disk: Arc::clone(disk),
            writer: Mutex::new(writer),
            readers: Mutex::new(vec![reader]),
            erased: AtomicBool::new(false),
            key: *key,
            person_key: [0; 32],
            stopped_cleanly: true,
            salvage,
        };
        store.begin_session(random)?;
        Ok(store)
    }

    /// Reads what the session needs, and marks the store as open. This first small transaction also begins the
    /// write-ahead log, so that a save afterwards needs exactly one sync.
    fn begin_session(&mut self, random: &dyn Random) -> Result<(), StoreError> {
        let write = self.begin()?;
        let view = write.view();
        let clean = view.setting(CLEAN_STOP)?.is_none_or(|value| value == b"1");
        let stored = view.setting(PERSON_KEY)?.and_then(|key| <[u8; 32]>::try_from(key.as_slice()).ok());
        let earlier = view.setting(SALVAGE)?;
        let person_key = stored.unwrap_or_else(|| {
            let mut key = [0; 32];
            random.fill(&mut key);
            key
        });
        if stored.is_none() {
            write.put_setting(PERSON_KEY, &person_key)?;
        }
        if let Some(report) = &self.salvage {
            write.put_setting(SALVAGE, &report.to_bytes())?;
        }
        write.put_setting(CLEAN_STOP, b"0")?;
        write.commit()?;
        self.person_key = person_key;
        self.stopped_cleanly = clean;
        if self.salvage.is_none() {
            self.salvage = earlier.and_then(|bytes| SalvageReport::from_bytes(&bytes));
        }
        Ok(())
    }

    /// Was the store closed by [`Store::close`] the last time (or is it new)?
    #[must_use]
    pub fn stopped_cleanly(&self) -> bool {
        self.stopped_cleanly
    }

    /// What was salvaged of a damaged file, now or at an earlier opening, until [`Store::forget_salvage`].
    #[must_use]
    pub fn salvage(&self) -> Option<&SalvageReport> {
        self.salvage.as_ref()
    }

    /// The user has read [`Store::salvage`]: it is not shown again. The file that was set aside stays.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_salvage(&self) -> Result<(), StoreError> {
        let write = self.begin()?;
        write.remove_setting(SALVAGE)?;
        write.commit()
    }

    /// After a salvage: must every stored document be stored once more ([`View::stored_after`],
    /// [`Write::put_record`]), so that lists and search show it? Then call [`Write::derived`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn must_derive(&self) -> Result<bool, StoreError> {
        self.read(|view| Ok(view.setting(DERIVE)?.is_some()))
    }

    /// Something was lost to damage: once the feeds have come again, what documents hold and no feed has is unsent work
    /// whose place in the outbox was lost.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn must_reclaim(&self) -> Result<bool, StoreError> {
        self.read(|view| Ok(view.setting(RECLAIM)?.is_some()))
    }

    /// The folder that it is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Free bytes where the store is, if the system says.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        self.disk.free_bytes(&self.folder)
    }

    /// Reads: `work` sees one committed state, whatever is written meanwhile, and never waits for a writer or another
    /// reader.
    ///
    /// # Errors
    /// What `work` answers, or [`StoreError`].
    pub fn read<T, E: From<StoreError>>(&self, work: impl FnOnce(View<'_>) -> Result<T, E>) -> Result<T, E> {
        self.still_there()?;
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => open_reader(&self.folder.join(FILE), &self.key, self.disk.vfs())?,
        };
        let done = {
            let snapshot = reader.unchecked_transaction().map_err(|error| self.failed("beginning to read", error))?;
            work(View { connection: &snapshot, store: self })
        };
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS_IDLE_MAX && !self.erased.load(SeqCst) {
            readers.push(reader);
        }
        done
    }

    fn still_there(&self) -> Result<(), StoreError> {
        if self.erased.load(SeqCst) { Err(StoreError::Erased) } else { Ok(()) }
    }

    /// Opens a transaction; waits for another one. The caller holds the only right to write until it commits or drops
    /// it: calling `begin` again on the same thread before that would wait for ever.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when another process holds the file, [`StoreError::Full`], [`StoreError::Storage`].
    pub fn begin(&self) -> Result<Write<'_>, StoreError> {
        let doing = "beginning to write";
        let connection = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.still_there()?;
        if self.log_bytes() > LOG_BYTES_MAX {
            self.fold(&connection)?;
        }
        connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| self.failed(doing, error))?;
        Ok(Write { connection, store: self, open: true })
    }

    /// One transaction: durable when it returns `Ok`, nothing stored when it does not.
    ///
    /// # Errors
    /// What `work` answers, or [`StoreError`].
    pub fn write<T, E: From<StoreError>>(&self, work: impl FnOnce(&Write<'_>) -> Result<T, E>) -> Result<T, E> {
        let write = self.begin()?;
        let done = work(&write)?;
        write.commit()?;
        Ok(done)
    }

    /// Folds the write-ahead log into the file if it has grown beyond [`LOG_BYTES_TIDY`], or if a purge left something
    /// in it. Call it when idle and after long work.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tidy(&self) -> Result<(), StoreError> {
        if self.read(|view| Ok::<_, StoreError>(view.setting(SCRUB)?.is_some()))? {
            return self.scrub();
        }
        if self.log_bytes() < LOG_BYTES_TIDY {
            return Ok(());
        }
        let connection = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.fold(&connection)
    }

    /// Leaves nothing of purged records in search and write-ahead log.
    fn scrub(&self) -> Result<(), StoreError> {
        // A row that was taken out of the search leaves its words in the index until this merges it.
        let merge = |write: &Write<'_>| {
            write
                .connection
                .execute("INSERT INTO search(search) VALUES('optimize')", [])
                .map_err(|error| self.failed("taking purged words out of the search", error))
        };
        self.write(merge)?;
        let connection = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.fold(&connection)?;
        drop(connection);
        self.write(|write| write.remove_setting(SCRUB))
    }

    /// Marks a clean stop and folds the log into the file; nothing is left to do once it was erased.
    ///
    /// # Errors
    /// [`StoreError`]; the store is closed in any case.
    pub fn close(self) -> Result<(), StoreError> {
        match self.write(|write| write.put_setting(CLEAN_STOP, b"1")) {
            Err(StoreError::Erased) => Ok(()),
            other => other,
        }
    }

    /// Checkpoints; then begins the new log with a small write, whose header costs a sync that no save shall pay.
    fn fold(&self, connection: &Connection) -> Result<(), StoreError> {
        let doing = "folding the log into the file";
        let sql = |error| self.failed(doing, error);
        let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(sql)?;
        if busy == 0 {
            connection.execute("UPDATE setting SET value = value WHERE name = ?1", [CLEAN_STOP]).map_err(sql)?;
        }
        Ok(())
    }

    fn log_bytes(&self) -> u64 {
        self.disk.length_bytes(&self.folder.join(format!("{FILE}-wal"))).unwrap_or_default()
    }

    /// Sorts what SQLite said; damage makes the next opening look at every page.
    pub(super) fn failed(&self, doing: &'static str, error: rusqlite::Error) -> StoreError {
        match StoreError::from_sqlite(doing, error) {
            // A reader that the erasing overtook finds zeroes.
            _ if self.erased.load(SeqCst) => StoreError::Erased,
            damaged @ StoreError::Damaged { .. } => {
                self.suspect_damage();
                damaged
            }
            other => other.for_want_of_room(&self.folder),
        }
    }

    /// Makes the next opening look at every page, and salvage if one is damaged.
    pub fn suspect_damage(&self) {
        // If even this fails, the damage will be met again.
        let _ = std::fs::write(self.folder.join(SUSPECT_FILE), []);
    }

    pub(super) fn person_key(&self) -> &[u8; 32] {
        &self.person_key
    }
}

impl View<'_> {
    pub(super) fn failed(&self, doing: &'static str, error: rusqlite::Error) -> StoreError {
        self.store.failed(doing, error)
    }
}

impl Write<'_> {
    /// What the transaction sees, its own writes included.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View { connection: &self.connection, store: self.store }
    }

    /// Every document was stored once more after a salvage ([`Store::must_derive`]).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn derived(&self) -> Result<(), StoreError> {
        self.remove_setting(DERIVE)
    }

    /// All unsent work is in the outbox again ([`Store::must_reclaim`]).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reclaimed(&self) -> Result<(), StoreError> {
        self.remove_setting(RECLAIM)
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of it is stored.
    pub fn commit(mut self) -> Result<(), StoreError> {
        self.connection.execute_batch("COMMIT").map_err(|error| self.failed("making a change durable", error))?;
        self.open = false;
        Ok(())
    }

    pub(super) fn failed(&self, doing: &'static str, error: rusqlite::Error) -> StoreError {
        self.store.failed(doing, error)
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        // After a full disk SQLite has rolled back by itself.
        if self.open && !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}

fn open_connections(
    file: &Path,
    key: &[u8; KEY_BYTES],
    vfs: Option<&str>,
    look_closely: bool,
) -> Result<(Connection, Connection), StoreError> {
    let doing = "opening the store";
    let writer = fieldbook_sqlite::open(file, key, vfs).map_err(|error| StoreError::from_open(doing, error))?;
    tune(&writer)?;
    if look_closely {
        check_pages(&writer)?;
    }
    schema::migrate(&writer)?;
    let reader = open_reader(file, key, vfs)?;
    Ok((writer, reader))
}

fn open_reader(file: &Path, key: &[u8; KEY_BYTES], vfs: Option<&str>) -> Result<Connection, StoreError> {
    let doing = "opening the store for reading";
    let reader = fieldbook_sqlite::open(file, key, vfs).map_err(|error| StoreError::from_open(doing, error))?;
    tune(&reader)?;
    reader.pragma_update(None, "query_only", true).map_err(|error| StoreError::from_sqlite(doing, error))?;
    Ok(reader)
}

fn tune(connection: &Connection) -> Result<(), StoreError> {
    let set = |name: &str, value: i64| {
        connection.pragma_update(None, name, value).map_err(|error| StoreError::from_sqlite("opening the store", error))
    };
    // A checkpoint inside a save would cost it two more syncs.
    connection
        .query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))
        .map_err(|error| StoreError::from_sqlite("opening the store", error))?;
    set("cache_size", -PAGE_CACHE_KIB)?;
    set("temp_store", 2)
}

/// Reads every page.
fn check_pages(connection: &Connection) -> Result<(), StoreError> {
    let doing = "checking every page";
    let said: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| StoreError::from_sqlite(doing, error))?;
    if said == "ok" { Ok(()) } else { Err(StoreError::Damaged { doing, detail: said }) }
}

pub(super) fn io(doing: &str, path: &Path, source: std::io::Error) -> StoreError {
    if room::is_full(&source) {
        return StoreError::Full { doing: "writing a file of the store", free_bytes: room::free_bytes(path) };
    }
    StoreError::Io { doing: format!("{doing} {}", path.display()), source }
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io("removing", path, source)),
    }
}

fn key_check_value(key: &[u8; KEY_BYTES]) -> [u8; 32] {
    keyed_hash(key, &[b"fieldbook key check v1"])
}

/// Does `key` fit the check beside the file? `None` if there is none.
fn key_check(folder: &Path, key: &[u8; KEY_BYTES]) -> Result<Option<bool>, StoreError> {
    let path = folder.join(KEY_CHECK_FILE);
    match std::fs::read(&path) {
        Ok(bytes) if bytes.len() == 32 => Ok(Some(bytes == key_check_value(key))),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io("reading", &path, source)),
    }
}

fn write_key_check(folder: &Path, key: &[u8; KEY_BYTES]) -> Result<(), StoreError> {
    use std::io::Write as _;
    let path = folder.join(KEY_CHECK_FILE);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&path)?;
        file.write_all(&key_check_value(key))?;
        file.sync_all()
    };
    write().map_err(|source| io("writing", &path, source))
}
