//! A revoked phone erases itself.

use std::path::Path;

use super::ErrorKind;
use super::error::Fault;
use super::fieldbook::{Fieldbook, locked};
use super::session::VAULT_NAMES;
use super::text::Text;
use crate::ids::DeviceId;
use crate::ports::{Disk, KeyVault};
use crate::store;

impl Fieldbook {
    /// The server has said, signed, that `device` is revoked, and holds all that was unsent: nothing of it stays here.
    /// What could not be erased now is at the next opening. `None`, and nothing is erased, where the user has saved
    /// something since.
    pub(super) fn erase(&self, device: &DeviceId) -> Result<Option<Fault>, Fault> {
        let write = self.store.begin()?;
        if write.view().has_unsent()? {
            return Ok(None);
        }
        let steps = [
            store::mark_erased(self.store.folder()).map_err(Fault::from),
            // Without its key what is left of the file is noise.
            forget_keys(self.vault.as_ref()),
            write.erase().map_err(Fault::from),
        ];
        self.forget_forms();
        *locked(&self.documents) = Default::default();
        let mut detail = format!("device {device} is revoked");
        for failed in steps.iter().filter_map(|step| step.as_ref().err()) {
            detail.push_str(&format!("; erasing: {}", failed.detail_text()));
        }
        Ok(Some(Fault::new(ErrorKind::Revoked, Text::Revoked, "").detail(detail)))
    }
}

/// Finishes an erasing that was begun in `folder`. True if there was one: whoever opens it finds an empty phone.
pub(super) fn finish_erasing(folder: &Path, vault: &dyn KeyVault, disk: &dyn Disk) -> Result<bool, Fault> {
    if !store::is_marked_erased(folder) {
        return Ok(false);
    }
    forget_keys(vault)?;
    store::erase_files(folder, disk)?;
    Ok(true)
}

fn forget_keys(vault: &dyn KeyVault) -> Result<(), Fault> {
    // The database key comes first; a vault that fails at one may still give up the others.
    let done: Vec<_> = VAULT_NAMES.iter().map(|name| vault.remove(name)).collect();
    done.into_iter().try_for_each(|removed| Ok(removed?))
}
