//! `doctor`: whether what the server stands on is well; a line a check.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::commands::say;
use super::config::open_to_others;
use super::options::Options;
use crate::certificates;
use crate::clock_text::shanghai;
use crate::store::{Standing, Store, StoreError, is_of_backups, newest};
use crate::text::{Language, text};

/// Free bytes below which the disk is a warning, and below which it is a fault.
const DISK_LOW_BYTES: u64 = 10 << 30;
const DISK_FULL_BYTES: u64 = 1 << 30;
/// A write-ahead log above this is not folded in: something holds an old state open. 64 MB is four checkpoints.
const WAL_BYTES_MAX: u64 = 64 << 20;
/// The server's clock and phones' clocks differ by more: one of them is wrong.
const CLOCK_TOLERANCE_MS: i64 = 5 * 60 * 1000;
/// Phones of which the clocks are asked: those that were here last.
const CLOCKS_ASKED: usize = 51;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// A backup a day, and two hours for it.
const BACKUP_AGE_MAX_MS: i64 = 26 * HOUR_MS;
/// A device that was not here for so long may hold work that nobody else has.
const SILENT_DAYS: i64 = 14;
/// A certificate of the operator's own that ends sooner is not being renewed.
const OWN_CERTIFICATE_DAYS: i64 = 14;
/// How long a connection to the server's own port may take.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Health {
    /// Well.
    Fine,
    /// Somebody should look at it.
    Warning,
    /// Something does not work, or soon will not.
    Fault,
}

/// One line.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// Stable word.
    pub(super) check: &'static str,
    /// How it ended.
    pub(super) health: Health,
    /// What was found, in the language asked for.
    pub(super) detail: String,
}

struct Doctor<'d> {
    language: Language,
    options: &'d Options,
    now_ms: i64,
    findings: Vec<Finding>,
}

/// `doctor`: false where anything is a fault.
pub(super) fn doctor(
    language: Language,
    options: &Options,
    open: impl Fn() -> Result<std::sync::Arc<Store>, StoreError>,
    json: bool,
) -> Result<bool, StoreError> {
    let now_ms = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
    let mut doctor = Doctor { language, options, now_ms, findings: Vec::new() };
    doctor.disk();
    doctor.secrets();
    doctor.permissions();
    doctor.owners();
    match open() {
        Ok(store) => doctor.store(&store)?,
        Err(error) => doctor.failed("database", &error),
    }
    let worst = doctor.findings.iter().map(|finding| finding.health).max().unwrap_or(Health::Fine);
    if json {
        println!("{}", serde_json::to_string_pretty(&doctor.findings).unwrap_or_default());
    } else {
        for Finding { check, health, detail } in &doctor.findings {
            let word = ["doctor_fine", "doctor_warning", "doctor_fault"][*health as usize];
            say(language, word, &[("check", (*check).to_owned()), ("detail", detail.clone())]);
        }
    }
    Ok(worst < Health::Fault)
}

impl Doctor<'_> {
    fn found(&mut self, check: &'static str, health: Health, word: &str, args: &[(&'static str, String)]) {
        self.findings.push(Finding { check, health, detail: text(self.language, word, args) });
    }

    fn folders(&self) -> Vec<PathBuf> {
        let backups = self.options.config.backup.folder.clone();
        std::iter::once(self.options.data.clone()).chain(backups).collect()
    }

    fn disk(&mut self) {
        for folder in self.folders() {
            let name = ("path", folder.display().to_string());
            match fieldbook_sqlite::room::free_bytes(&folder) {
                None => self.found("disk", Health::Fault, "doctor_no_folder", &[name]),
                Some(free) => {
                    let health = match free {
                        DISK_LOW_BYTES.. => Health::Fine,
                        DISK_FULL_BYTES.. => Health::Warning,
                        _ => Health::Fault,
                    };
                    let gigabytes = format!("{:.1}", free as f64 / (1_u64 << 30) as f64);
                    self.found("disk", health, "doctor_disk", &[name, ("free", gigabytes)]);
                }
            }
        }
        let wal = fs::metadata(self.options.data.join("fieldbook.db-wal")).map_or(0, |file| file.len());
        let health = if wal > WAL_BYTES_MAX { Health::Warning } else { Health::Fine };
        self.found("wal", health, "doctor_wal", &[("size", format!("{:.1}", wal as f64 / f64::from(1 << 20)))]);
    }

    fn secrets(&mut self) {
        let options = self.options;
        let key = options.key_file.clone().unwrap_or_else(|| options.data.join("key"));
        let files =
            [Some(key), options.config.database.url_file.clone(), options.config.server.certificate_key.clone()];
        let open: Vec<(PathBuf, u32)> =
            files.into_iter().flatten().filter_map(|path| open_to_others(&path).map(|mode| (path, mode))).collect();
        if open.is_empty() {
            self.found("secrets", Health::Fine, "doctor_secrets", &[]);
        }
        for (path, mode) in open {
            let args = [("path", path.display().to_string()), ("mode", format!("{mode:o}"))];
            self.found("secrets", Health::Fault, "secret_open", &args);
        }
    }

    /// What others could change, or should not even see.
    fn permissions(&mut self) {
        let mut open = Vec::new();
        let places = [
            (Some(self.options.data.clone()), 0o077, "700"),
            (self.options.config.backup.folder.clone(), 0o022, "700"),
            (self.options.config.file.clone(), 0o022, "644"),
        ];
        for (path, forbidden, wanted) in places {
            let Some(path) = path else { continue };
            let Ok(mode) = fs::metadata(&path).map(|file| file.mode() & 0o777) else { continue };
            if mode & forbidden != 0 {
                open.push([
                    ("path", path.display().to_string()),
                    ("mode", format!("{mode:o}")),
                    ("wanted", wanted.to_owned()),
                ]);
            }
        }
        if open.is_empty() {
            self.found("permissions", Health::Fine, "doctor_permissions", &[]);
        }
        for args in open {
            self.found("permissions", Health::Fault, "doctor_open_place", &args);
        }
    }

    /// Whoever ran a command as another user has left files that the server cannot write.
    fn owners(&mut self) {
        let own: [fn(&str) -> bool; 2] = [|_| true, is_of_backups];
        let mut strange = Vec::new();
        for (folder, is_own) in self.folders().into_iter().zip(own) {
            let Ok(owner) = fs::metadata(&folder).map(|folder| folder.uid()) else { continue };
            let listed = fs::read_dir(folder).into_iter().flatten().flatten();
            let own = listed.filter(|entry| entry.file_name().to_str().is_some_and(is_own)).map(|entry| entry.path());
            // The key may be elsewhere.
            let all = own.chain(self.options.key_file.clone());
            strange.extend(all.filter(|path| fs::metadata(path).is_ok_and(|file| file.uid() != owner)));
        }
        match strange.first() {
            None => self.found("owner", Health::Fine, "doctor_owner", &[]),
            Some(path) => {
                let path = ("path", path.display().to_string());
                self.found("owner", Health::Fault, "doctor_other_owner", &[path]);
            }
        }
    }

    fn store(&mut self, store: &Store) -> Result<(), StoreError> {
        let (kind, version) = store.database_version()?;
        self.found("database", Health::Fine, "doctor_database", &[("kind", kind.to_owned()), ("version", version)]);
        if store.awaiting()? {
            self.found("restored", Health::Fault, "awaiting_confirmation", &[]);
        }
        self.backup(store)?;
        self.devices(store)?;
        self.certificate(store)?;
        self.port(store)
    }

    /// The newest file of the folder, not what the database notes of it: disks are swapped, folders are emptied.
    fn backup(&mut self, store: &Store) -> Result<(), StoreError> {
        let Some(folder) = self.options.config.backup.folder.clone() else {
            return self.backup_age(store.last_backup_ms()?);
        };
        match newest(&folder) {
            Err(error) => self.failed("backup", &error),
            Ok(None) => self.backup_age(None)?,
            Ok(Some(found)) => match found.is_whole() {
                Err(error) => self.failed("backup", &error),
                Ok(true) => self.backup_age(Some(found.made_ms))?,
                Ok(false) => {
                    let path = ("path", found.path.display().to_string());
                    self.found("backup", Health::Fault, "doctor_backup_damaged", &[path]);
                }
            },
        }
        match crate::apart::lacking(&self.options.data, &folder) {
            Ok(lines) if lines.is_empty() => {}
            Ok(lines) => {
                let args = super::backup::lacks(self.options, &folder, lines.len());
                self.found("list", Health::Fault, "list_lacks", &args);
            }
            Err(error) => self.failed("list", &error),
        }
        self.audit(store, &folder)
    }

    /// Against what is noted beside the backups.
    fn audit(&mut self, store: &Store, folder: &Path) -> Result<(), StoreError> {
        let rows = ("rows", store.audit_head()?.rows.to_string());
        match store.keeps_audit_of(folder, None) {
            Ok(Standing::Holds) => self.found("audit", Health::Fine, "doctor_audit", &[rows]),
            Ok(Standing::Restored) => self.found("audit", Health::Warning, "doctor_audit_restored", &[rows]),
            Ok(Standing::Unknown(true)) => {
                let path = ("path", folder.display().to_string());
                self.found("audit", Health::Fault, "backup_owner_missing", &[path]);
            }
            Ok(Standing::Unknown(false)) => {}
            Err(error) => self.failed("audit", &error),
        }
        Ok(())
    }

    fn backup_age(&mut self, made_ms: Option<i64>) -> Result<(), StoreError> {
        let Some(made_ms) = made_ms else {
            self.found("backup", Health::Fault, "doctor_no_backup", &[]);
            return Ok(());
        };
        let age = self.now_ms.saturating_sub(made_ms);
        let time = ("time", shanghai(made_ms));
        if age < -CLOCK_TOLERANCE_MS {
            self.found("backup", Health::Fault, "doctor_backup_to_come", &[time]);
        } else {
            let health = if age > BACKUP_AGE_MAX_MS { Health::Fault } else { Health::Fine };
            self.found("backup", health, "doctor_backup", &[time, ("hours", (age / HOUR_MS).to_string())]);
        }
        Ok(())
    }

    fn failed(&mut self, check: &'static str, error: &StoreError) {
        let detail = crate::text::failure(self.language, error);
        self.findings.push(Finding { check, health: Health::Fault, detail });
    }

    fn devices(&mut self, store: &Store) -> Result<(), StoreError> {
        let mut devices = store.devices()?;
        devices.retain(|device| device.revoked_ms.is_none());
        let last = |device: &crate::store::DeviceRow| device.last_contact_ms.unwrap_or(device.enrolled_ms);
        devices.sort_by_key(|device| std::cmp::Reverse(last(device)));
        match devices.last() {
            None => self.found("devices", Health::Fine, "doctor_no_devices", &[]),
            Some(oldest) => {
                let days = self.now_ms.saturating_sub(last(oldest)) / DAY_MS;
                let health = if days > SILENT_DAYS { Health::Warning } else { Health::Fine };
                let args = [("device", oldest.id.to_string()), ("days", days.to_string())];
                self.found("devices", health, "doctor_devices", &args);
            }
        }
        let mut clocks: Vec<i64> =
            devices.iter().filter_map(|device| device.clock_skew_ms).take(CLOCKS_ASKED).collect();
        clocks.sort_unstable();
        let noted = devices.iter().map(last).chain(store.last_backup_ms()?).max();
        self.clock(clocks.get(clocks.len() / 2).copied(), noted);
        Ok(())
    }

    /// Against what most phones say, and against the data folder's own files and what the server noted: nothing of it was later
    /// than now.
    fn clock(&mut self, phones_ahead_ms: Option<i64>, noted_ms: Option<i64>) {
        let listed = fs::read_dir(&self.options.data).into_iter().flatten().flatten();
        let written = listed.filter_map(|entry| entry.metadata().ok()?.modified().ok());
        let ahead = written.filter_map(|time| time.duration_since(SystemTime::now()).ok()).max().unwrap_or_default();
        let noted = noted_ms.and_then(|noted| u64::try_from(noted.saturating_sub(self.now_ms)).ok());
        let ahead = ahead.max(Duration::from_millis(noted.unwrap_or_default()));
        let behind_files = i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX) > CLOCK_TOLERANCE_MS;
        let apart = phones_ahead_ms.is_some_and(|ahead| ahead.abs() > CLOCK_TOLERANCE_MS);
        let health = if behind_files {
            Health::Fault
        } else if apart {
            Health::Warning
        } else {
            Health::Fine
        };
        let files = ("files", ahead.as_secs().to_string());
        match phones_ahead_ms {
            Some(ms) => self.found("clock", health, "doctor_clock", &[("phones", (ms / 1000).to_string()), files]),
            None => self.found("clock", health, "doctor_clock_alone", &[files]),
        }
    }

    fn certificate(&mut self, store: &Store) -> Result<(), StoreError> {
        let identity = store.identity();
        let health = if identity.is_due(self.now_ms) { Health::Warning } else { Health::Fine };
        self.found("certificate", health, "doctor_certificate", &[("until", shanghai(identity.leaf_until_ms()))]);
        self.browsers(store);
        if let Some(next) = store.succession()? {
            let args = [("from", shanghai(next.from_ms)), ("unaware", next.unaware.len().to_string())];
            let (health, word) = if !next.backed_up {
                (Health::Fault, "key_not_backed_up")
            } else if next.from_ms <= self.now_ms && !next.unaware.is_empty() {
                (Health::Warning, "doctor_root_waits")
            } else {
                (Health::Fine, "doctor_root")
            };
            self.found("root", health, word, &args);
        }
        Ok(())
    }

    /// The certificate that browsers are shown, as the running server reads it.
    fn browsers(&mut self, store: &Store) {
        let part = &self.options.config.server;
        if part.plain_http {
            // A proxy shows one.
            return;
        }
        let files = part.certificate.clone().zip(part.certificate_key.clone());
        let shown = match certificates::look_at(store, files.as_ref()) {
            Ok(Some(shown)) => shown,
            // Made when the server starts.
            Ok(None) => return,
            Err(error) => return self.failed("browsers", &error),
        };
        let (path, soon_ms) = match &files {
            Some((path, _)) => (path.display().to_string(), OWN_CERTIFICATE_DAYS * DAY_MS),
            None => ("-".to_owned(), 0),
        };
        let args = [("path", path), ("from", shanghai(shown.from_ms)), ("until", shanghai(shown.until_ms))];
        let (health, word) = if !shown.is_for_host && files.is_some() {
            (Health::Fault, "doctor_browsers_host")
        } else if !(shown.from_ms..shown.until_ms).contains(&self.now_ms) {
            (Health::Fault, "doctor_browsers_ended")
        } else if shown.until_ms - self.now_ms < soon_ms {
            (Health::Warning, "doctor_browsers")
        } else {
            (Health::Fine, "doctor_browsers")
        };
        self.found("browsers", health, word, &args);
    }

    fn port(&mut self, store: &Store) -> Result<(), StoreError> {
        let Some(address) = store.setting("address")? else {
            self.found("port", Health::Warning, "address_unknown", &[]);
            return Ok(());
        };
        let name = ("address", address.clone());
        let health = if reachable(&address) { Health::Fine } else { Health::Fault };
        let word = if health == Health::Fine { "doctor_port" } else { "doctor_no_port" };
        self.found("port", health, word, &[name]);
        Ok(())
    }
}

/// Something takes connections there.
fn reachable(address: &str) -> bool {
    use std::net::{TcpStream, ToSocketAddrs};
    let Ok(found) = address.to_socket_addrs() else { return false };
    found.into_iter().any(|address| TcpStream::connect_timeout(&address, CONNECT_WAIT).is_ok())
}
