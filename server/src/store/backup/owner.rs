//! Whose backups a folder holds, and how far that server's audit log went: `of-server.json`, beside the backups. A server
//! that begins anew by mistake must not take the place of the one whose backups they are, and rows that are cut from the end
//! of an audit log are noticed here.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data_folder::{self, file_error};
use crate::store::audit::{self, AuditHead};
use crate::store::{Problem, Store, StoreError, feeds};

/// Name of the file in the folder of backups.
pub(crate) const FILE: &str = "of-server.json";

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

impl Store {
    /// Whether this server may put its backups into `folder`, and remove old ones there.
    ///
    /// # Errors
    /// `backup_folder_other` where they are another server's, `backup_owner_malformed`; [`StoreError::File`].
    pub fn owns_backups(&self, folder: &Path) -> Result<(), StoreError> {
        match Owner::read(folder)? {
            Some(owner) if owner.log != hex::encode(self.log().as_bytes()) => {
                Err(Problem::new("backup_folder_other").with("path", folder.display()).into())
            }
            _ => Ok(()),
        }
    }

    /// Whether everything that `folder` says of this server's audit log is still there: an epoch that a restore began has a log
    /// of its own.
    ///
    /// # Errors
    /// As [`Store::owns_backups`], `audit_cut`; what the database said.
    pub fn keeps_audit_of(&self, folder: &Path) -> Result<(), StoreError> {
        self.owns_backups(folder)?;
        let Some(owner) = Owner::read(folder)? else { return Ok(()) };
        self.read(|tx| {
            let epoch = feeds::epoch(tx)?;
            let holds = match epoch.cmp(&owner.epoch) {
                std::cmp::Ordering::Greater => true,
                std::cmp::Ordering::Equal => audit::begins_with(tx, &owner.audit)?,
                std::cmp::Ordering::Less => false,
            };
            if holds {
                return Ok(());
            }
            let cut = Problem::new("audit_cut").with("path", path(folder).display()).with("then", owner.audit.rows);
            Err(cut.with("now", audit::head(tx)?.rows).into())
        })
    }

    /// Notes beside the backups in `folder` whose they are, and how far the audit log goes in the newest.
    ///
    /// # Errors
    /// [`StoreError::File`]; what the database said.
    pub fn mark_backups(&self, folder: &Path, audit: &AuditHead) -> Result<(), StoreError> {
        let epoch = self.read(feeds::epoch)?;
        let owner = Owner { log: hex::encode(self.log().as_bytes()), epoch, audit: audit.clone() };
        let text = serde_json::to_string_pretty(&owner).map_err(|error| StoreError::corrupt("backup", error))?;
        data_folder::replace_private(&path(folder), &format!("{text}\n"))
    }
}
