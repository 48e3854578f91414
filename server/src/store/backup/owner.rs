//! Whose backups a folder holds, and how far that server's audit log went: `of-server.json`, beside the backups. A server
//! that begins anew by mistake must not take the place of the one whose backups they are, and rows that are cut from the end
//! of an audit log are noticed here.

use std::cmp::Ordering;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::keep::listed;
use crate::data_folder::{self, file_error};
use crate::store::audit::{self, AuditHead};
use crate::store::{Problem, Store, StoreError, feeds};

/// Name of the file in the folder of backups.
pub(super) const FILE: &str = "of-server.json";

/// How long the last backup before a restore stays at least: 90 days.
const STAYS_MS: i64 = 90 * 86_400_000;

/// Whose backups they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Id of the server's log, in hex.
    log: String,
    /// The log's epoch: each restore begins one.
    epoch: u32,
    /// How far the audit log went when the newest backup was made.
    audit: AuditHead,
    /// Name of that backup.
    newest: String,
    /// The last backups of earlier epochs: a restore of a wrong one must not cost the right one. They stay for a while.
    before_restores: Vec<BeforeRestore>,
}

/// The last backup before a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BeforeRestore {
    name: String,
    /// When the first backup after the restore was made, milliseconds since 1970 UTC.
    noted_ms: i64,
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

impl Owner {
    /// Whose backups are in `folder`; `None` where nothing says so.
    ///
    /// # Errors
    /// `backup_owner_malformed`; [`StoreError::File`].
    pub fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = path(folder);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let malformed = |_| Problem::new("backup_owner_malformed").with("path", path.display()).into();
                serde_json::from_str(&text).map(Some).map_err(malformed)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file_error(&path)(error)),
        }
    }
}

impl Owner {
    /// The epoch of the newest backup, where it is of the server with this log.
    pub(super) fn epoch_of(&self, log: &[u8]) -> Option<u32> {
        (self.log == hex::encode(log)).then_some(self.epoch)
    }
}

/// What a folder of backups says of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Everything that it noted is still there.
    Holds,
    /// A restore began another epoch since its newest backup.
    Restored,
    /// Nothing says whose its backups are; `true` where it holds some.
    Unknown(bool),
}

impl Store {
    /// Whether `folder` is known to hold another server's backups.
    ///
    /// # Errors
    /// `backup_folder_other`.
    pub fn owns_backups(&self, folder: &Path) -> Result<(), StoreError> {
        match Owner::read(folder) {
            Ok(Some(owner)) if owner.epoch_of(self.log().as_bytes()).is_none() => {
                Err(Problem::new("backup_folder_other").with("path", folder.display()).into())
            }
            // One that cannot be read keeps nobody from backing up; `keeps_audit_of` tells it.
            _ => Ok(()),
        }
    }

    /// Whether everything that `folder` says of this server's audit log is still there. `made` is a backup that nothing can be said of
    /// yet.
    ///
    /// # Errors
    /// As [`Store::owns_backups`]; `backup_owner_malformed`, `audit_cut`, `database_older` where it is of an epoch before the newest
    /// backup; [`StoreError::File`]; what the database said.
    pub fn keeps_audit_of(&self, folder: &Path, made: Option<&Path>) -> Result<Standing, StoreError> {
        self.owns_backups(folder)?;
        let Some(owner) = Owner::read(folder)? else {
            return Ok(Standing::Unknown(listed(folder)?.iter().any(|name| Some(folder.join(name).as_path()) != made)));
        };
        let noted = |word| Problem::new(word).with("path", path(folder).display());
        self.read(|tx| match feeds::epoch(tx)?.cmp(&owner.epoch) {
            Ordering::Greater => Ok(Standing::Restored),
            Ordering::Less => Err(noted("database_older").into()),
            Ordering::Equal if audit::begins_with(tx, &owner.audit)? => Ok(Standing::Holds),
            Ordering::Equal => {
                let now = audit::head(tx)?.rows;
                Err(noted("audit_cut").with("then", owner.audit.rows).with("now", now).into())
            }
        })
    }

    /// Notes beside the backups in `folder` whose they are, which is the newest, and how far the audit log goes in it. Returns the
    /// names of those that stay for a while whatever the rules say.
    ///
    /// # Errors
    /// `backup_owner_malformed`; [`StoreError::File`]; what the database said.
    pub fn mark_backups(&self, folder: &Path, made: &Path, audit: &AuditHead) -> Result<Vec<String>, StoreError> {
        let epoch = self.read(feeds::epoch)?;
        let (before, now_ms) = (Owner::read(folder)?, self.now_ms());
        let mut before_restores = before.as_ref().map(|owner| owner.before_restores.clone()).unwrap_or_default();
        let last = before.filter(|owner| owner.epoch != epoch);
        before_restores.extend(last.map(|owner| BeforeRestore { name: owner.newest, noted_ms: now_ms }));
        // Not for ever: what was purged since is still in them.
        before_restores.retain(|last| folder.join(&last.name).exists() && now_ms - last.noted_ms < STAYS_MS);
        let log = hex::encode(self.log().as_bytes());
        let newest = made.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let owner = Owner { log, epoch, audit: audit.clone(), newest, before_restores };
        let text = serde_json::to_string_pretty(&owner).map_err(|error| StoreError::corrupt("backup", error))?;
        data_folder::replace_private(&path(folder), &format!("{text}\n"))?;
        Ok(owner.before_restores.into_iter().map(|last| last.name).collect())
    }
}
