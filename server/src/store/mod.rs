//! The server's store: one encrypted SQLite file in the data folder, or a PostgreSQL database; one writer, several readers.

mod accounts;
mod admit;
mod again;
mod audit;
mod backup;
mod board;
mod console;
mod devices;
mod differences;
mod documents;
mod doubles;
mod enrolments;
mod error;
mod exchanges;
mod feeds;
mod filter;
mod followed;
mod foreseen;
mod forms;
mod held;
mod hubs;
mod import;
mod listed;
mod listing;
mod mask;
mod migrate;
mod moves;
pub(crate) mod neighbours;
mod overview;
mod page;
mod people;
mod persons;
mod previews;
mod purge;
mod quarantine;
mod reach;
mod records;
mod restored;
mod reviews;
mod segments;
mod sessions;
mod staff;
mod succession;
mod supervise;
mod sync_log;
mod take;
mod today;
mod units;
mod users;
mod verify;
mod vitals;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use crate::sql::{Connection, OptionalExtension};
use fieldbook_core::ids::LogId;
use fieldbook_core::ports::{Clock, Random};
use fieldbook_core::sync::server::Sealing;
use fieldbook_sqlite::KEY_BYTES;

pub(crate) use accounts::Unfinished;
pub use admit::AdmittedChange;
pub use audit::AuditHead;
pub(crate) use audit::{ACTIONS as AUDIT_ACTIONS, AuditQuery, AuditRow, PAGE_MAX as AUDIT_PAGE_MAX};
pub(crate) use backup::is_of_backups;
pub use backup::{
    BackupKey, BackupMade, BackupRead, BackupRecipient, Found, Keep, Owner as BackupOwner, Pruned, Relocated, Restore,
    Standing, newest, prune, read_backup, relocate, restore_backup,
};
pub use console::Asked;
pub use devices::DeviceRow;
pub(crate) use doubles::PAGE_MAX as DOUBLES_MAX;
pub use doubles::{
    ApartPair, DoubleDecision, DoubleDecisions, DoubleField, DoublePage, DoubleRecord, DoubleRow, DoublesList,
    DoublesQuery,
};
pub use enrolments::{EnrolCode, LINK_DAYS, LINK_DAYS_MAX, SHEET_DAYS};
pub use error::{ChangedField, Problem, StoreError};
pub use exchanges::{ExchangeList, ExchangePage, ExchangeRecord, ExchangeRow, ExchangesQuery};
pub(crate) use exchanges::{PAGE_MAX as EXCHANGES_MAX, Report};
pub use filter::{Filter, FilterText, Span};
pub use forms::{FormRow, Published};
pub use import::NewRecord;
pub(crate) use listing::PAGE_MAX as LISTED_MAX;
pub use listing::{ListQuery, RecordLine, RecordList, RecordRow, RelatedKind, RelatedPage};
pub use overview::{OverviewPage, PointsPage};
pub use page::RecordPage;
pub use people::{HeldRole, NewPerson, PEOPLE_MAX, PeopleList, PeopleQuery, Person};
pub use previews::{
    FormDifference, FormKind, FormVersion, PreviewPage, PreviewedForm, PublishedForm, RefusedStep, RunChoice, RunPage,
    RunQuestion, RunStep, SheetNote, Tried,
};
pub use restored::RestoredState;
pub(crate) use sessions::{SessionRow, SignIn, SignedIn};
pub use staff::{Invited, StaffEntry, StaffRow};
pub use succession::Succession;
pub use supervise::{Fate, QuarantineItem, QuarantinePage};
pub(crate) use sync_log::{StoreLog, id_range, one_id};
pub use today::{DAYS_MAX, RETURNED_DAYS, SILENT_DAYS, TodayPage};
pub(crate) use units::is_formula;
pub use users::{Granted, UserRow, hash_password, password_fits};
pub use verify::Check;
pub(crate) use vitals::Beside;
pub use vitals::Vitals;

use crate::identity::Identity;

/// The embedded database, in the data folder.
const FILE: &str = "fieldbook.db";
/// Key of `meta`: every row is in another database now.
const MOVED: &str = "moved";
/// Key of `meta`: every row is being copied to another database, and nothing may be written here meanwhile.
const LEAVING: &str = "leaving";
/// Key of `meta`: rows came here from another database, and nobody has said yet that they are all.
const ARRIVING: &str = "arriving";
/// Version of the tables.
pub const SCHEMA_VERSION: i64 = 1;
/// How long a process waits for another that writes.
const BUSY_TIMEOUT_MS: u64 = 15_000;
/// Readers kept open when idle.
const READERS_KEPT_MAX: usize = 4;
/// Pages that the writer holds decrypted: intake reads and writes where it did a moment ago.
const WRITER_CACHE_KIB: i64 = 32 * 1024;
/// The same of a reader; it forgets them with every commit of another connection.
const READER_CACHE_KIB: i64 = 4 * 1024;
/// Pages of the write-ahead log after which a commit brings it into the database: a page that changes again and again
/// is brought over once. 16 MB.
const CHECKPOINT_PAGES: i64 = 4_000;
/// Prepared statements kept per connection.
const STATEMENTS_KEPT: usize = 128;

/// The server's store. Cheap to share; several processes may open one data folder at once.
pub struct Store {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
    database: Database,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    /// Clock of everything that the server stamps.
    pub clock: Arc<dyn Clock>,
    /// Randomness of ids, codes, keys and salts.
    pub random: Arc<dyn Random>,
    log: LogId,
    identity: RwLock<Arc<Identity>>,
    forms: forms::FormCache,
    documents: documents::Documents,
    board: RwLock<board::Board>,
    actors: console::ServerActors,
    /// Secret of the index of persons.
    person_key: [u8; 32],
    previews: previews::Desk,
    /// Held by whoever seals.
    sealing: Mutex<()>,
    seal_at: Sealing,
}

/// Where the rows are.
#[derive(Clone)]
pub enum Database {
    /// In the data folder, on the SQLite file system of this name; `None` is the system's files.
    Embedded(Option<String>),
    /// In the PostgreSQL database that this address names, as libpq writes it. It may hold a password.
    Postgres(String),
}

impl Database {
    fn connect(&self, folder: &Path, key: &[u8; KEY_BYTES], cache_kib: i64) -> Result<Connection, StoreError> {
        match self {
            Self::Embedded(vfs) => connect(&folder.join(FILE), key, vfs.as_deref(), cache_kib),
            Self::Postgres(url) => Ok(Connection::postgres(url)?),
        }
    }
}

/// What state of a database may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opens {
    /// Any but the two of a move that has not come to its end.
    Settled,
    /// Those too.
    Moving,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Embedded(_) => "Embedded",
            Self::Postgres(_) => "Postgres",
        })
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).field("log", &self.log).finish_non_exhaustive()
    }
}

fn connect(path: &Path, key: &[u8; KEY_BYTES], vfs: Option<&str>, cache_kib: i64) -> Result<Connection, StoreError> {
    let connection = fieldbook_sqlite::open(path, key, vfs)?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    Ok(connection.into())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock was held rolled its transaction back when it unwound.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the data folder `dir`, making folder, key file, database and identity when they are missing.
    ///
    /// # Errors
    /// [`StoreError`] when the folder, key or database cannot be read or made, or is newer than this build.
    pub fn open(
        dir: &Path,
        key_file: Option<&Path>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StoreError> {
        Self::open_on(dir, key_file, clock, random, Database::Embedded(None))
    }

    /// Whether there is a server's database already: in the data folder, or in PostgreSQL. A file without tables is none: a copy
    /// that was killed leaves one.
    ///
    /// # Errors
    /// [`StoreError::File`] where that cannot be seen; what the connection said.
    pub fn is_there(dir: &Path, key_file: Option<&Path>, database: &Database) -> Result<bool, StoreError> {
        match database {
            Database::Embedded(vfs) => {
                let path = dir.join(FILE);
                match std::fs::metadata(&path) {
                    Ok(file) if file.len() > 0 => {}
                    Ok(_) => return Ok(false),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
                    // Not for this user to see, say: that is another thing than none.
                    Err(error) => return Err(crate::data_folder::file_error(&path)(error)),
                }
                // Without its key, or with another one, it is there and cannot be opened: that is told by who opens it.
                let Some(key) = crate::data_folder::key(dir, key_file)? else { return Ok(true) };
                let version = connect(&path, &key, vfs.as_deref(), READER_CACHE_KIB)
                    .and_then(|connection| Ok(connection.schema_version()?));
                Ok(version.map_or(true, |version| version > 0))
            }
            Database::Postgres(url) => Ok(Connection::postgres(url)?.schema_version()? > 0),
        }
    }

    /// The same with the rows in `database`.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(
        dir: &Path,
        key_file: Option<&Path>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        database: Database,
    ) -> Result<Self, StoreError> {
        Self::open_in_state(dir, key_file, (clock, random), database, Opens::Settled)
    }

    fn open_in_state(
        dir: &Path,
        key_file: Option<&Path>,
        ports: (Arc<dyn Clock>, Arc<dyn Random>),
        database: Database,
        state: Opens,
    ) -> Result<Self, StoreError> {
        Self::open_in(dir, key_file, ports, database, state).map_err(|error| error.for_want_of_room(dir))
    }

    fn open_in(
        dir: &Path,
        key_file: Option<&Path>,
        (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
        database: Database,
        state: Opens,
    ) -> Result<Self, StoreError> {
        let key = crate::data_folder::prepare(dir, key_file, random.as_ref())?;
        let writer = database.connect(dir, &key, WRITER_CACHE_KIB)?;
        migrate::open(&writer, &dir.join(FILE), &key)?;
        let tx = writer.writing()?;
        if meta(&tx, MOVED)?.is_some() {
            return Err(Problem::new("store_moved").into());
        }
        if state == Opens::Settled && (meta(&tx, ARRIVING)?.is_some() || meta(&tx, LEAVING)?.is_some()) {
            return Err(Problem::new("store_arriving").into());
        }
        let log = match meta(&tx, "log")? {
            Some(bytes) => LogId::from_slice(&bytes).map_err(|error| StoreError::corrupt("log id", error))?,
            None => {
                let log = LogId::random(random.as_ref());
                set_meta(&tx, "log", log.as_bytes())?;
                log
            }
        };
        let identity = Identity::load_or_make(&tx, random.as_ref(), clock.now_ms())?;
        let person_key = persons::secret(&tx, random.as_ref())?;
        tx.commit()?;
        let actors = console::ServerActors::new(random.as_ref());
        let store = Self {
            folder: dir.to_owned(),
            key,
            database,
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            clock,
            random,
            log,
            identity: RwLock::new(Arc::new(identity)),
            forms: forms::FormCache::default(),
            documents: documents::Documents::default(),
            board: RwLock::default(),
            actors,
            person_key,
            previews: previews::Desk::default(),
            sealing: Mutex::new(()),
            seal_at: Sealing::default(),
        };
        store.index_again()?;
        store.follow_list()?;
        store.tidy_segments()?;
        Ok(store)
    }

    /// The same store, which seals pieces of feeds at other sizes.
    #[must_use]
    pub fn sealing_at(self, seal_at: Sealing) -> Self {
        Self { seal_at, ..self }
    }

    /// This server's log.
    #[must_use]
    pub fn log(&self) -> LogId {
        self.log
    }

    /// Milliseconds since 1970 UTC by the server's clock.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Runs `work` in one durable transaction; nothing of it stays when it fails.
    ///
    /// # Errors
    /// What `work` answered, or what SQLite said at begin or commit.
    pub fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let writer = self.writer();
        let all = || {
            let tx = writer.writing()?;
            let answer = work(&tx)?;
            tx.commit()?;
            Ok(answer)
        };
        all().map_err(|error| self.looked_into(error))
    }

    /// A failed write is asked again whether there is room.
    pub(crate) fn looked_into(&self, error: StoreError) -> StoreError {
        error.for_want_of_room(self.folder())
    }

    /// The data folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs `work` on a reader, in one read transaction.
    ///
    /// # Errors
    /// What `work` answered, or what SQLite said when it opened.
    pub fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let reader = self.take_reader()?;
        let answer = {
            let tx = reader.reading()?;
            work(&tx)
        };
        self.give_reader(reader);
        answer
    }

    /// A reading connection, to be given back.
    pub(crate) fn take_reader(&self) -> Result<Connection, StoreError> {
        let idle = locked(&self.readers).pop();
        idle.map_or_else(|| self.database.connect(&self.folder, &self.key, READER_CACHE_KIB), Ok)
    }

    /// Takes back a reading connection outside any transaction.
    pub(crate) fn give_reader(&self, reader: Connection) {
        let mut readers = locked(&self.readers);
        if readers.len() < READERS_KEPT_MAX && reader.is_idle() && !reader.is_closed() {
            readers.push(reader);
        }
    }

    /// The only writer of this process. Where its connection was lost there is a new one, if the database answers.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Connection> {
        let mut writer = locked(&self.writer);
        if writer.is_closed() {
            match self.database.connect(&self.folder, &self.key, WRITER_CACHE_KIB) {
                Ok(again) => *writer = again,
                Err(error) => tracing::error!(%error, "the connection to the database is lost"),
            }
        }
        writer
    }

    /// A named value of the `meta` table.
    ///
    /// # Errors
    /// What SQLite said.
    pub fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let bytes = self.read(|tx| meta(tx, key))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Sets a named value of the `meta` table.
    ///
    /// # Errors
    /// What SQLite said.
    pub fn set_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        self.write(|tx| set_meta(tx, key, value.as_bytes()))
    }
}

/// Reads a value of `meta`.
pub(crate) fn meta(tx: &Connection, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(tx.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()?)
}

/// Writes a value of `meta`.
pub(crate) fn set_meta(tx: &Connection, key: &str, value: &[u8]) -> Result<(), StoreError> {
    tx.execute("INSERT INTO meta(key, value) VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET value = ?2", (key, value))?;
    Ok(())
}

#[cfg(test)]
mod tests;
