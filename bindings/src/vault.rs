//! The platform's vault (Android Keystore, iOS Keychain), written in the app's language.

use std::sync::Arc;

use fieldbook_core::ports;

/// Why the vault did not give or take a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum VaultError {
    /// It failed.
    #[error("the key vault failed: {reason}")]
    Failed {
        /// What the platform said, without secrets.
        reason: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for VaultError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { reason: error.reason }
    }
}

/// Keeps small secrets, such as the database key. Leave what it stores out of the system's backups.
#[uniffi::export(foreign)]
pub trait KeyVault: Send + Sync {
    /// The secret stored under `name`; nothing if there is none.
    ///
    /// # Errors
    /// When the vault cannot be asked.
    fn load(&self, name: String) -> Result<Option<Vec<u8>>, VaultError>;

    /// Stores `secret` under `name`, replacing an earlier one; durable when it returns.
    ///
    /// # Errors
    /// When it could not be stored.
    fn store(&self, name: String, secret: Vec<u8>) -> Result<(), VaultError>;

    /// Removes the secret under `name`, if there is one, so that it cannot be had back; durable when it returns. Asked for
    /// when the phone is erased.
    ///
    /// # Errors
    /// When it could not be removed.
    fn remove(&self, name: String) -> Result<(), VaultError>;
}

/// The app's vault as the core asks it.
pub(crate) struct AppVault(pub(crate) Arc<dyn KeyVault>);

fn core_error(error: VaultError) -> ports::VaultError {
    let VaultError::Failed { reason } = error;
    ports::VaultError { reason }
}

impl ports::KeyVault for AppVault {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, ports::VaultError> {
        self.0.load(name.to_owned()).map_err(core_error)
    }

    fn store(&self, name: &str, secret: &[u8]) -> Result<(), ports::VaultError> {
        self.0.store(name.to_owned(), secret.to_vec()).map_err(core_error)
    }

    fn remove(&self, name: &str) -> Result<(), ports::VaultError> {
        self.0.remove(name.to_owned()).map_err(core_error)
    }
}
