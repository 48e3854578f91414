//! `backup`, `restore` and `restored`.

use std::path::Path;

use super::commands::say;
use super::options::{Options, RestoredTask};
use crate::store::{Database, Problem, Store, StoreError, restore_backup};
use crate::system::SystemRandom;
use crate::text::Language;

/// `backup FILE`: works while the server runs.
pub(super) fn backup(language: Language, store: &Store, file: &Path) -> Result<bool, StoreError> {
    store.backup(file)?;
    say(language, "backup_made", &[("path", file.display().to_string())]);
    Ok(true)
}

/// `restore FILE`: only while no server runs on the folder.
pub(super) fn restore(language: Language, options: &Options, file: &Path) -> Result<bool, StoreError> {
    if matches!(super::database(options), Database::Postgres(_)) {
        return Err(Problem::new("not_embedded").into());
    }
    let aside = restore_backup(&options.data, options.key_file.as_deref(), file, &SystemRandom)?;
    if let Some(aside) = aside {
        say(language, "restore_aside", &[("path", aside.display().to_string())]);
    }
    say(language, "restore_done", &[]);
    Ok(true)
}

/// `restored`: what to look at; `restored confirm`: serve again.
pub(super) fn restored(language: Language, store: &Store, task: Option<&RestoredTask>) -> Result<bool, StoreError> {
    let state = store.restored_state()?;
    let (given, taken) = state.returned;
    let args = [
        ("epoch", state.epoch.to_string()),
        ("given", given.to_string()),
        ("taken", taken.to_string()),
        ("purged", state.purged.len().to_string()),
        ("revoked", state.revoked.to_string()),
        ("devices", state.devices.len().to_string()),
    ];
    say(language, if state.awaiting { "restored_waits" } else { "restored_not" }, &args);
    for record in &state.purged {
        println!("purged\t{record}");
    }
    for device in &state.devices {
        let last = device.last_contact_ms.map_or_else(|| "-".to_owned(), |time| time.to_string());
        println!("device\t{}\t{}\t{}\t{}\t{last}", device.id, device.user_name, device.unit, device.name);
    }
    if let Some(RestoredTask::Confirm) = task {
        store.confirm_restored()?;
        say(language, "restored_confirmed", &[]);
    }
    Ok(true)
}
