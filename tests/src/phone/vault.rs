//! Secrets in files beside the store: what a keystore is on a phone. Only for tests and scripts.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use fieldbook_core::ports::{KeyVault, VaultError};

/// One file a secret, readable by its owner only.
#[derive(Debug)]
pub struct FileVault {
    folder: PathBuf,
}

impl FileVault {
    /// Keeps its files in `folder`, made at the first secret.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }
}

fn failed(error: &std::io::Error) -> VaultError {
    VaultError { reason: error.to_string() }
}

impl KeyVault for FileVault {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        match fs::read(self.folder.join(name)) {
            Ok(secret) => Ok(Some(secret)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    fn store(&self, name: &str, secret: &[u8]) -> Result<(), VaultError> {
        fs::create_dir_all(&self.folder).map_err(|error| failed(&error))?;
        let fresh = self.folder.join(format!(".{name}.new"));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(|error| failed(&error))?;
        file.write_all(secret).and_then(|()| file.sync_all()).map_err(|error| failed(&error))?;
        fs::rename(&fresh, self.folder.join(name)).map_err(|error| failed(&error))?;
        fs::File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(|error| failed(&error))
    }

    fn remove(&self, name: &str) -> Result<(), VaultError> {
        match fs::remove_file(self.folder.join(name)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(&error)),
        }
        fs::File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(|error| failed(&error))
    }
}
