//! `backup`, `backup-key`, `backup-check`, `restore`, `restored` and `move-store`.

use std::path::Path;
use std::sync::Arc;

use super::commands::say;
use super::config;
use super::options::{Options, RestoredTask};
use crate::store::{
    BackupKey, BackupRecipient, Database, Keep, Problem, Restore, Store, StoreError, prune, read_backup, relocate,
    restore_backup,
};
use crate::system::{SystemClock, SystemRandom};
use crate::text::Language;
use crate::{apart, data_folder};

/// `backup [FILE]`: works while the server runs. Without a file it goes into the configured folder, and old ones go.
pub(super) fn backup(
    language: Language,
    options: &Options,
    store: &Store,
    (file, recipient): (Option<&Path>, Option<&str>),
) -> Result<bool, StoreError> {
    let part = &options.config.backup;
    let recipient = recipient.or(part.recipient.as_deref()).ok_or_else(|| Problem::new("backup_recipient_missing"))?;
    let recipient: BackupRecipient = recipient.parse()?;
    let folder = part.folder.as_deref();
    let path = match (file, folder) {
        (Some(file), _) => file.to_owned(),
        (None, Some(folder)) => {
            data_folder::make_private(folder)?;
            Keep::path_at(folder, store.now_ms())
        }
        (None, None) => return Err(Problem::new("backup_folder_missing").into()),
    };
    let made = store.backup(&path, &recipient)?;
    let args = [
        ("path", path.display().to_string()),
        ("bytes", made.bytes.to_string()),
        ("rows", made.rows.to_string()),
        ("sha256", made.sha256),
    ];
    say(language, "backup_made", &args);
    if let (None, Some(folder)) = (file, folder) {
        apart::copy_to(&options.data, folder)?;
        for old in prune(folder, part.keep())? {
            say(language, "backup_pruned", &[("path", old.display().to_string())]);
        }
    }
    Ok(true)
}

/// `backup-key FILE`: the pair into a new file, and the half that the server may have.
pub(super) fn key(language: Language, file: &Path) -> Result<bool, StoreError> {
    let key = BackupKey::generate();
    key.write(file)?;
    say(
        language,
        "backup_key_made",
        &[("path", file.display().to_string()), ("recipient", key.recipient().to_string())],
    );
    Ok(true)
}

/// `backup-check FILE`: reads all of it, without a server.
pub(super) fn check(language: Language, file: &Path, key: &Path) -> Result<bool, StoreError> {
    let (rows, made_ms) = read_backup(file, &BackupKey::read(key)?)?;
    let time = crate::clock_text::shanghai(made_ms);
    say(language, "backup_fine", &[("path", file.display().to_string()), ("rows", rows.to_string()), ("time", time)]);
    Ok(true)
}

/// `restore FILE`: only while no server runs on the database.
pub(super) fn restore(language: Language, options: &Options, file: &Path, key: &Path) -> Result<bool, StoreError> {
    let key = BackupKey::read(key)?;
    let database = super::database(options);
    let to = Restore { folder: &options.data, key_file: options.key_file.as_deref(), database: &database };
    let aside = restore_backup(&to, file, &key, &SystemRandom)?;
    if let Some(aside) = aside {
        say(language, "restore_aside", &[("path", aside)]);
    }
    if apart::read(&options.data)?.is_empty() {
        say(language, "restore_no_list", &[]);
    }
    say(language, "restore_done", &[]);
    Ok(true)
}

/// `move-store`: only while no server runs on either database.
pub(super) fn relocated(language: Language, options: &Options, url_file: Option<&Path>) -> Result<bool, StoreError> {
    let to = match url_file {
        Some(path) => Database::Postgres(config::secret(path)?),
        None => Database::Embedded(None),
    };
    let from = super::database(options);
    if matches!((&from, &to), (Database::Embedded(_), Database::Embedded(_))) {
        return Err(Problem::new("move_nowhere").into());
    }
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    let moved = relocate(&options.data, options.key_file.as_deref(), (&from, &to), clock, random)?;
    for check in &moved.checks {
        say(language, "verify_fine", &[("check", check.name.to_owned()), ("count", check.count.to_string())]);
    }
    say(language, "store_moved_over", &[("rows", moved.rows.to_string())]);
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
