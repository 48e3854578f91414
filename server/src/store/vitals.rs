//! What is measured of a running server.

use std::path::{Path, PathBuf};

use super::{Database, FILE, Store, StoreError, newest, restored};
use crate::certificates;
use crate::sql::Connection;

/// Sizes, ages and counts at one moment; no names, no ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Vitals {
    values: Vec<(&'static str, &'static str, f64)>,
}

impl Vitals {
    /// Name, what it means, value. -1 stands for what never happened.
    pub fn gauges(&self) -> impl Iterator<Item = (&'static str, &'static str, f64)> + '_ {
        self.values.iter().copied()
    }
}

fn count(tx: &Connection, sql: &str) -> Result<f64, StoreError> {
    let found: Option<i64> = tx.query_row(sql, (), |row| row.get(0))?;
    Ok(found.map_or(-1.0, |found| found as f64))
}

/// Seconds from a time in milliseconds until now; -1 where there is none, or one that is still to come.
fn since(time_ms: Option<i64>, now_ms: i64) -> f64 {
    time_ms.filter(|time| *time <= now_ms).map_or(-1.0, |time| (now_ms - time) as f64 / 1000.0)
}

/// What is measured beside the store, as far as this machine has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beside {
    /// The folder of backups: what is not in it is no backup.
    pub(crate) backups: Option<PathBuf>,
    /// The operator's certificate for browsers.
    pub(crate) certificate: Option<certificates::Files>,
    /// A proxy ends TLS, and shows browsers a certificate of its own.
    pub(crate) is_proxied: bool,
}

fn bytes_of(path: &Path) -> f64 {
    std::fs::metadata(path).map_or(0.0, |file| file.len() as f64)
}

fn bytes_in(folder: &Path) -> f64 {
    let listed = std::fs::read_dir(folder).into_iter().flatten().flatten();
    listed.filter_map(|entry| entry.metadata().ok()).map(|file| file.len() as f64).sum()
}

impl Store {
    /// Measures now. Takes some milliseconds on a large database.
    ///
    /// # Errors
    /// What the database said.
    pub(crate) fn vitals(&self, beside: &Beside) -> Result<Vitals, StoreError> {
        let now_ms = self.now_ms();
        let last_backup = match &beside.backups {
            Some(folder) => newest(folder).ok().flatten().map(|found| found.made_ms),
            None => self.last_backup_ms()?,
        };
        let free = fieldbook_sqlite::room::free_bytes(&self.folder).map_or(-1.0, |free| free as f64);
        let until_ms = self.identity().leaf_until_ms();
        let (database, wal) = match self.database {
            Database::Embedded(_) => {
                (bytes_of(&self.folder.join(FILE)), bytes_of(&self.folder.join("fieldbook.db-wal")))
            }
            Database::Postgres(_) => (self.read(|tx| count(tx, "SELECT pg_database_size(current_database())"))?, 0.0),
        };
        let mut values = vec![
            ("database_bytes", "Size of the database", database),
            ("wal_bytes", "Size of the write-ahead log", wal),
            ("segments_bytes", "Size of sealed first downloads", bytes_in(&self.folder.join("segments"))),
            ("disk_free_bytes", "Free bytes where the data folder is", free),
            ("backup_age_seconds", "Since the last backup; -1 if there is none", since(last_backup, now_ms)),
            ("certificate_seconds", "Until the TLS certificate of phones ends", (until_ms - now_ms) as f64 / 1000.0),
        ];
        if !beside.is_proxied {
            let shown = certificates::look_at(self, beside.certificate.as_ref()).ok().flatten();
            let good = shown.filter(|shown| shown.is_for_host && shown.from_ms <= now_ms);
            let left_s = good.map_or(-1.0, |shown| (shown.until_ms - now_ms) as f64 / 1000.0);
            let help = "Until the TLS certificate of browsers ends; -1 if there is none for this host now, or it cannot be read";
            values.push(("browser_certificate_seconds", help, left_s));
        }
        self.read(|tx| {
            for (name, help, sql) in COUNTED {
                values.push((name, help, count(tx, sql)?));
            }
            let live = "SELECT count(*) FROM sessions WHERE expires_ms > ?1";
            let live: i64 = tx.query_row(live, [now_ms], |row| row.get(0))?;
            values.push(("sessions", "Sessions of supervisors", live as f64));
            let oldest = "SELECT MIN(COALESCE(last_contact_ms, enrolled_ms)) FROM devices WHERE revoked_ms IS NULL";
            let oldest: Option<i64> = tx.query_row(oldest, (), |row| row.get(0))?;
            values.push((
                "oldest_contact_seconds",
                "Since the device that was away longest was here",
                since(oldest, now_ms),
            ));
            let awaiting = f64::from(u8::from(restored::is_awaiting(tx)?));
            values.push(("awaiting_confirmation", "1 after a restore that nobody confirmed", awaiting));
            Ok(())
        })?;
        Ok(Vitals { values })
    }

    /// The database's kind and version.
    ///
    /// # Errors
    /// What the database said.
    pub fn database_version(&self) -> Result<(&'static str, String), StoreError> {
        match self.database {
            Database::Embedded(_) => Ok(("SQLite", fieldbook_sqlite::library_version())),
            Database::Postgres(_) => {
                let sql = "SELECT current_setting('server_version') || ', ' || datcollate FROM pg_database
                           WHERE datname = current_database()";
                Ok(("PostgreSQL", self.read(|tx| Ok(tx.query_row(sql, (), |row| row.get(0))?))?))
            }
        }
    }
}

/// Name, what it means, and what counts it.
const COUNTED: [(&str, &str, &str); 6] = [
    ("records", "Records", "SELECT count(*) FROM records"),
    ("records_in_conflict", "Records with a conflict", "SELECT count(*) FROM records WHERE conflict_count > 0"),
    ("entries", "Entries of all feeds", "SELECT CAST(COALESCE(SUM(position), 0) AS BIGINT) FROM feeds"),
    ("quarantine", "Changes that wait in quarantine", "SELECT count(*) FROM quarantine WHERE admitted_as IS NULL"),
    ("devices", "Devices that may sync", "SELECT count(*) FROM devices WHERE revoked_ms IS NULL"),
    ("users", "Users", "SELECT count(*) FROM users"),
];
