//! The key pair of backups: the server has the public half and can only write, the operator keeps the secret half.

use std::path::Path;
use std::str::FromStr;

use age::secrecy::ExposeSecret;

use crate::data_folder::write_private;
use crate::store::{Problem, StoreError};

/// Bytes of a key file that are read.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// Whom backups are encrypted for: `age1…`, as the program age writes it.
#[derive(Clone)]
pub struct BackupRecipient(age::x25519::Recipient);

/// What opens backups: `AGE-SECRET-KEY-1…`, as the program age writes it. Never stored by the server.
#[derive(Clone)]
pub struct BackupKey(age::x25519::Identity);

impl FromStr for BackupRecipient {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        text.trim().parse().map(Self).map_err(|_| Problem::new("backup_recipient_malformed").with("text", text))
    }
}

impl std::fmt::Display for BackupRecipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for BackupRecipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BackupRecipient({self})")
    }
}

impl std::fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BackupKey(of {})", self.recipient())
    }
}

impl FromStr for BackupKey {
    type Err = Problem;

    /// The first line that is no comment, as `age-keygen` writes its files.
    fn from_str(text: &str) -> Result<Self, Problem> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let key = lines.next().and_then(|line| line.parse().ok());
        key.map(Self).ok_or_else(|| Problem::new("backup_key_malformed"))
    }
}

impl BackupKey {
    /// Draws a new pair.
    #[must_use]
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// The half that the server may have.
    #[must_use]
    pub fn recipient(&self) -> BackupRecipient {
        BackupRecipient(self.0.to_public())
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// `file_unreadable`, `backup_key_malformed`.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let unreadable =
            |detail: String| Problem::new("file_unreadable").with("path", path.display()).with("detail", detail);
        let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(FILE_BYTES_MAX)]);
        text.parse().map_err(|problem: Problem| problem.with("path", path.display()).into())
    }

    /// Writes the pair to a new file (mode 0600).
    ///
    /// # Errors
    /// [`StoreError::File`], also where it is there.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        let secret = self.0.to_string();
        let text = format!("# public key: {}\n{}\n", self.recipient(), secret.expose_secret());
        write_private(path, &text)
    }

    pub(super) fn identity(&self) -> &dyn age::Identity {
        &self.0
    }
}

impl BackupRecipient {
    pub(super) fn recipient(&self) -> &dyn age::Recipient {
        &self.0
    }
}
