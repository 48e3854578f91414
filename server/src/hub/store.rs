//! A hub's store: one encrypted SQLite file in the data folder, apart from a server's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sql::{Connection, OptionalExtension};
use ed25519_dalek::SigningKey;
use fieldbook_core::forms::FormDefinition;
use fieldbook_core::ids::{DeviceId, LogId};
use fieldbook_core::net::{SERVER_NAME, ServerAddress};
use fieldbook_core::ports::{Clock, Random};
use fieldbook_core::sync::hub::HubIdentity;
use fieldbook_core::sync::{from_cbor, signing, to_cbor};
use minicbor::{Decode, Encode};

use crate::store::{Problem, StoreError};

/// Version of the schema, in `PRAGMA user_version`.
const SCHEMA_VERSION: i64 = 1;
/// Name of the database in the data folder.
const DATABASE: &str = "hub.db";
/// How long a process waits for another that writes.
const BUSY_TIMEOUT_MS: u64 = 15_000;
/// Prepared statements kept.
const STATEMENTS_KEPT: usize = 128;
/// Bodies that were brought to the server and that it has not entered in a feed (quarantined, refused) go after 30 days.
const RELAYED_KEPT_MS: i64 = 30 * 24 * 3600 * 1000;

const ENROLMENT: &str = "enrolment";
const CERTIFICATE: &str = "certificate";
const LAST_EXCHANGE: &str = "last_exchange_ms";
const REVOKED: &str = "revoked";

/// Who this hub is, and where its server is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Enrolment {
    #[n(0)]
    pub(crate) host: String,
    #[n(1)]
    pub(crate) port: u16,
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) root_key: [u8; 32],
    #[n(3)]
    pub(crate) device: DeviceId,
    #[n(4)]
    pub(crate) log: LogId,
    #[cbor(n(5), with = "minicbor::bytes")]
    pub(crate) server_key: [u8; 32],
    /// The root that the present one has announced as its successor.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub(crate) successor: Option<[u8; 32]>,
}

/// The root of the server, if it is still this hub's, has announced a successor.
pub(super) fn note_successor(tx: &Connection, root: &[u8; 32], signature: &[u8; 64]) -> Result<(), StoreError> {
    let Some(mut own) = meta(tx, ENROLMENT)?.and_then(|bytes| from_cbor::<Enrolment>(&bytes)) else { return Ok(()) };
    if signing::root_is_announced(&own.root_key, own.log, root, signature) {
        own.successor = Some(*root);
        set_meta(tx, ENROLMENT, &to_cbor(&own))?;
    }
    Ok(())
}

impl Enrolment {
    pub(crate) fn identity(&self) -> HubIdentity {
        HubIdentity { device: self.device, log: self.log, server_key: self.server_key }
    }
}

/// What waits at a hub, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Where the server is; empty before the hub has enrolled.
    pub upstream: String,
    /// When the server last answered, milliseconds since 1970 UTC.
    pub last_exchange_ms: Option<i64>,
    /// Devices that the hub serves.
    pub devices: u64,
    /// Changes that it holds and the server, as far as it knows, does not.
    pub changes: u64,
    /// Devices that made them.
    pub waiting_devices: u64,
    /// Changes that are set aside: the server holds others under the same statements.
    pub aside: u64,
    /// Entries of the server's log that it holds.
    pub entries: u64,
}

/// A hub's store.
pub struct HubStore {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Clock of everything that the hub stamps.
    pub clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    device_key: SigningKey,
    tls_key: SigningKey,
    forms: Mutex<HashMap<(String, String), Arc<FormDefinition>>>,
    /// Bytes of bodies, counted anew whenever some were dropped.
    held: AtomicU64,
}

pub(super) fn meta(tx: &Connection, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(tx.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()?)
}

pub(super) fn set_meta(tx: &Connection, key: &str, value: &[u8]) -> Result<(), StoreError> {
    tx.execute("INSERT INTO meta(key, value) VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET value = ?2", (key, value))?;
    Ok(())
}

fn key(tx: &Connection, name: &'static str, random: &dyn Random) -> Result<SigningKey, StoreError> {
    let stored = meta(tx, name)?;
    let seed = match stored {
        Some(bytes) => <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| StoreError::corrupt("key", name))?,
        None => {
            let mut seed = [0; 32];
            random.fill(&mut seed);
            set_meta(tx, name, &seed)?;
            seed
        }
    };
    Ok(SigningKey::from_bytes(&seed))
}

fn count_held(tx: &Connection) -> Result<u64, StoreError> {
    Ok(tx.query_row("SELECT coalesce(sum(length(bytes)), 0) FROM bodies", (), |row| row.get(0))?)
}

impl HubStore {
    /// Is there a hub's database in this data folder?
    #[must_use]
    pub fn is_there(dir: &Path) -> bool {
        dir.join(DATABASE).exists()
    }

    /// Opens the hub in the data folder `dir`, making folder, key file, database and keys when they are missing.
    ///
    /// # Errors
    /// `hub_is_server` where the folder is a server's; [`StoreError`] when something cannot be read or made, or is newer
    /// than this build.
    pub fn open(
        dir: &Path,
        key_file: Option<&Path>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StoreError> {
        Self::open_on(dir, key_file, clock, random, None)
    }

    /// The same on files that the SQLite file system named `vfs` reads and writes.
    ///
    /// # Errors
    /// As [`HubStore::open`].
    pub fn open_on(
        dir: &Path,
        key_file: Option<&Path>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        vfs: Option<&str>,
    ) -> Result<Self, StoreError> {
        Self::open_in(dir, key_file, clock, random, vfs).map_err(|error| error.for_want_of_room(dir))
    }

    fn open_in(
        dir: &Path,
        key_file: Option<&Path>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        vfs: Option<&str>,
    ) -> Result<Self, StoreError> {
        if dir.join("fieldbook.db").exists() {
            return Err(Problem::new("hub_is_server").with("path", dir.display()).into());
        }
        let database_key = crate::data_folder::prepare(dir, key_file, random.as_ref())?;
        let path = dir.join(DATABASE);
        let connection = fieldbook_sqlite::open(&path, &database_key, vfs)?;
        connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        let connection = Connection::from(connection);
        let tx = connection.writing()?;
        let version: i64 = tx.query_row("PRAGMA user_version", (), |row| row.get(0))?;
        if version > SCHEMA_VERSION {
            return Err(StoreError::NewerSchema { path, found: version, known: SCHEMA_VERSION });
        }
        if version == 0 {
            tx.execute_batch(include_str!("schema.sql"))?;
            tx.execute_batch(&format!("PRAGMA user_version = {SCHEMA_VERSION}"))?;
        }
        let device_key = key(&tx, "device_key", random.as_ref())?;
        let tls_key = key(&tx, "tls_key", random.as_ref())?;
        let held = AtomicU64::new(count_held(&tx)?);
        tx.commit()?;
        let connection = Mutex::new(connection);
        Ok(Self { path, connection, clock, random, device_key, tls_key, forms: Mutex::default(), held })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held rolled its transaction back when it unwound.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    pub(super) fn looked_into(&self, error: StoreError) -> StoreError {
        error.for_want_of_room(self.folder())
    }

    /// Bytes of what phones brought and the server's log does not show yet; never too few.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn add_held(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Milliseconds since 1970 UTC by the hub's clock.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Signs requests; its public half is enrolled.
    pub(crate) fn device_key(&self) -> &SigningKey {
        &self.device_key
    }

    /// Proves the hub to phones.
    pub(crate) fn tls_key(&self) -> &SigningKey {
        &self.tls_key
    }

    /// Runs `work` in one durable transaction.
    pub(super) fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let connection = self.lock();
        let all = || {
            let tx = connection.writing()?;
            let answer = work(&tx)?;
            tx.commit()?;
            Ok(answer)
        };
        all().map_err(|error| self.looked_into(error))
    }

    /// Looks something up in the database; `work` changes nothing.
    ///
    /// # Errors
    /// What `work` said.
    pub fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        work(&self.lock())
    }

    /// Who this hub is, once it has enrolled.
    pub(crate) fn enrolment(&self) -> Result<Option<Enrolment>, StoreError> {
        let bytes = meta(&self.lock(), ENROLMENT)?;
        bytes.map(|bytes| from_cbor(&bytes).ok_or_else(|| StoreError::corrupt("enrolment", "CBOR"))).transpose()
    }

    /// Where the server is.
    pub(crate) fn server(&self) -> Result<ServerAddress, StoreError> {
        let own = self.enrolment()?.ok_or_else(|| Problem::new("hub_not_enrolled").with("detail", "no enrolment"))?;
        Ok(ServerAddress { host: own.host, port: own.port, root_key: own.root_key, name: SERVER_NAME })
    }

    /// The server has said that this hub is revoked.
    ///
    /// # Errors
    /// What the database said.
    pub fn is_revoked(&self) -> Result<bool, StoreError> {
        Ok(meta(&self.lock(), REVOKED)?.is_some())
    }

    pub(crate) fn note_revoked(&self) -> Result<(), StoreError> {
        self.write(|tx| set_meta(tx, REVOKED, b"1"))
    }

    pub(crate) fn put_enrolment(&self, enrolment: &Enrolment) -> Result<(), StoreError> {
        self.write(|tx| set_meta(tx, ENROLMENT, &to_cbor(enrolment)))
    }

    /// The successor has taken over: the certificate by the root before it is of no use any more, once there is another.
    pub(crate) fn take_over(&self, root_key: [u8; 32]) -> Result<(), StoreError> {
        let own = self.enrolment()?.ok_or_else(|| Problem::new("hub_not_enrolled").with("detail", "no enrolment"))?;
        self.write(|tx| {
            set_meta(tx, ENROLMENT, &to_cbor(&Enrolment { root_key, successor: None, ..own }))?;
            tx.execute("DELETE FROM meta WHERE key = ?1", [CERTIFICATE])?;
            Ok(())
        })
    }

    /// The certificate of the TLS key (DER), once the server has given it.
    pub(crate) fn certificate(&self) -> Result<Option<Vec<u8>>, StoreError> {
        meta(&self.lock(), CERTIFICATE)
    }

    pub(crate) fn note_exchange(&self) -> Result<(), StoreError> {
        let now_ms = self.now_ms();
        self.write(|tx| set_meta(tx, LAST_EXCHANGE, now_ms.to_string().as_bytes()))
    }

    /// Drops bodies that are of no use any more: those that stand in the mirror under the server's signature, those that
    /// the server has had for long and entered nowhere, and at once those of feeds that are not mirrored, as soon as the
    /// server has them or they go nowhere: nobody would tell this hub where their record is erased for ever.
    pub(crate) fn prune(&self) -> Result<(), StoreError> {
        let old_ms = self.now_ms() - RELAYED_KEPT_MS;
        self.write(|tx| {
            tx.execute(
                "DELETE FROM bodies WHERE EXISTS (
                   SELECT 1 FROM entries WHERE entries.hash = bodies.hash AND entries.position <=
                     (SELECT max(position) FROM heads WHERE heads.feed = entries.feed))",
                (),
            )?;
            tx.execute(
                "DELETE FROM bodies WHERE (passing = 1 AND aside = 1) OR (passing = 1 OR received_ms < ?1) AND EXISTS (
                   SELECT 1 FROM devices WHERE devices.id = bodies.device
                   AND (bodies.statement, bodies.item) <= (up_taken_statement, up_taken_index))",
                [old_ms],
            )?;
            self.held.store(count_held(tx)?, Ordering::Relaxed);
            Ok(())
        })?;
        // What was erased is gone from the write-ahead log too.
        self.lock().query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
        Ok(())
    }

    /// What waits here.
    ///
    /// # Errors
    /// What the database said.
    pub fn status(&self) -> Result<Waiting, StoreError> {
        let upstream = self.enrolment()?.map(|own| format!("{}:{}", own.host, own.port)).unwrap_or_default();
        let tx = self.lock();
        let count = |sql: &str| -> Result<u64, StoreError> { Ok(tx.query_row(sql, (), |row| row.get(0))?) };
        let last = meta(&tx, LAST_EXCHANGE)?;
        const NOT_UP: &str = "FROM bodies JOIN devices ON devices.id = bodies.device WHERE aside = 0
            AND (bodies.statement, item) > (coalesce(up_taken_statement, 0), coalesce(up_taken_index, -1))";
        Ok(Waiting {
            upstream,
            last_exchange_ms: last.and_then(|bytes| String::from_utf8_lossy(&bytes).parse().ok()),
            devices: count("SELECT count(*) FROM devices WHERE served = 1")?,
            changes: count(&format!("SELECT count(*) {NOT_UP}"))?,
            waiting_devices: count(&format!("SELECT count(DISTINCT device) {NOT_UP}"))?,
            aside: count("SELECT count(*) FROM bodies WHERE aside = 1")?,
            entries: count("SELECT count(*) FROM entries")?,
        })
    }

    /// A form read before.
    pub(super) fn known_form(&self, kind: &str, version: &str) -> Option<Arc<FormDefinition>> {
        let forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        forms.get(&(kind.to_owned(), version.to_owned())).cloned()
    }

    pub(super) fn keep_form(&self, kind: &str, version: &str, form: &Arc<FormDefinition>) {
        /// Forms kept read.
        const FORMS_KEPT_MAX: usize = 200;
        let mut forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        if forms.len() >= FORMS_KEPT_MAX {
            forms.clear();
        }
        forms.insert((kind.to_owned(), version.to_owned()), Arc::clone(form));
    }
}
