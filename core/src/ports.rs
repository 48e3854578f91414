//! What the core asks of the world around it. Nothing else reads clocks, randomness or secrets.

use std::path::Path;

/// Wall clock and boot clock.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01 UTC as the device believes; may be wrong, may jump.
    fn now_ms(&self) -> i64;
    /// Milliseconds since boot; never goes back while the device runs.
    fn boot_ms(&self) -> u64;
    /// Returns after `ms` milliseconds of this clock.
    fn pause(&self, ms: u64) {
        std::thread::sleep(std::time::Duration::from_millis(ms));
    }
}

/// Cryptographically secure randomness.
pub trait Random: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// Why the platform's vault did not give or take a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key vault failed: {reason}")]
pub struct VaultError {
    /// What the platform said, without secrets.
    pub reason: String,
}

/// The platform's vault for small secrets (Android Keystore, iOS Keychain).
pub trait KeyVault: Send + Sync {
    /// The secret stored under `name`, if any.
    ///
    /// # Errors
    /// [`VaultError`] when the vault cannot be asked.
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError>;

    /// Stores `secret` under `name`, replacing an earlier one; durable when it returns.
    ///
    /// # Errors
    /// [`VaultError`] when it could not be stored.
    fn store(&self, name: &str, secret: &[u8]) -> Result<(), VaultError>;

    /// Removes the secret under `name`, if there is one, so that it cannot be had back; durable when it returns.
    ///
    /// # Errors
    /// [`VaultError`] when it could not be removed.
    fn remove(&self, name: &str) -> Result<(), VaultError>;
}

/// Where the files of a store lie. SQLite reads and writes them by itself; this tells what is asked beside it.
pub trait Disk: Send + Sync {
    /// The name under which SQLite knows this disk; `None` for the system's own files.
    fn vfs(&self) -> Option<&str>;
    /// Bytes of a file; `None` if it is not there.
    fn length_bytes(&self, file: &Path) -> Option<u64>;
    /// Free bytes for this user where `folder` is; `None` where the system does not say.
    fn free_bytes(&self, folder: &Path) -> Option<u64>;
    /// Overwrites and removes a file that nobody has open; nothing if it is not there.
    ///
    /// # Errors
    /// What the system said; then the file may be there, whole or in part.
    fn erase(&self, file: &Path) -> std::io::Result<()>;
}
