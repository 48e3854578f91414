//! `backup`, `backup-key`, `backup-check`, `restore`, `restored` and `move-store`.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use super::commands::say;
use super::config;
use super::options::{Options, RestoredTask};
use crate::store::{
    AuditHead, BackupKey, BackupOwner, BackupRecipient, Database, Keep, Problem, Restore, Standing, Store, StoreError,
    prune, read_backup, relocate, restore_backup,
};
use crate::system::{SystemClock, SystemRandom};
use crate::text::{Language, failure, text};
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
    let mut held = None;
    let path = match (file, folder) {
        (Some(file), _) => file.to_owned(),
        (None, Some(folder)) => {
            data_folder::make_private(folder)?;
            store.owns_backups(folder)?;
            held = alone_in(folder)?;
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
        ("log_rows", made.log.rows.to_string()),
        ("log_chain", made.log.chain.clone()),
    ];
    let mut told = Vec::new();
    let done = match (file, folder) {
        (None, Some(folder)) => beside(language, options, store, (folder, &path), &made.log, &mut told),
        _ => Ok(true),
    };
    // Nothing is left to do when this is told: who reads it may stop reading.
    drop(held);
    say(language, "backup_made", &args);
    told.iter().for_each(|line| println!("{line}"));
    done
}

/// Holds the folder until it is dropped, so that two backups do not take each other for misdated. Where the file system knows no
/// locks there is none.
fn alone_in(folder: &Path) -> Result<Option<File>, StoreError> {
    let held = File::open(folder).map_err(data_folder::file_error(folder))?;
    match held.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Problem::new("backup_runs").with("path", folder.display()).into()),
        Err(TryLockError::Error(_)) => Ok(None),
        Ok(()) => Ok(Some(held)),
    }
}

/// What goes with a backup in the folder of backups. Where the folder knows more of this server than the server itself, the backup
/// stays, no older one goes, and somebody is told.
fn beside(
    language: Language,
    options: &Options,
    store: &Store,
    (folder, made): (&Path, &Path),
    log: &AuditHead,
    told: &mut Vec<String>,
) -> Result<bool, StoreError> {
    let lacking = apart::lacking(&options.data, folder)?;
    apart::copy_to(&options.data, folder)?;
    if !lacking.is_empty() {
        told.push(text(language, "list_lacks", &lacks(options, folder, lacking.len())));
    }
    let mut stays = Vec::new();
    match store.keeps_audit_of(folder, Some(made)) {
        Err(error) => told.push(failure(language, &error)),
        Ok(standing) => {
            stays = store.mark_backups(folder, made, log)?;
            if standing == Standing::Unknown(true) {
                told.push(text(language, "backup_owner_missing", &[("path", folder.display().to_string())]));
            }
        }
    }
    if !told.is_empty() {
        return Ok(false);
    }
    let pruned = prune(folder, options.config.backup.keep(), made, &stays)?;
    let shown = |word, path: &Path| text(language, word, &[("path", path.display().to_string())]);
    told.extend(pruned.removed.iter().map(|path| shown("backup_pruned", path)));
    told.extend(pruned.later.iter().map(|path| shown("backup_later", path)));
    told.extend(stays.iter().map(|name| shown("backup_kept", &folder.join(name))));
    Ok(pruned.later.is_empty())
}

/// Where lines of the list are missing, and how many.
pub(super) fn lacks(options: &Options, folder: &Path, count: usize) -> [(&'static str, String); 3] {
    let (to, from) = (options.data.display().to_string(), folder.display().to_string());
    [("count", count.to_string()), ("folder", from), ("data", to)]
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
    let read = read_backup(file, &BackupKey::read(key)?)?;
    let args = [
        ("path", file.display().to_string()),
        ("rows", read.rows.to_string()),
        ("time", crate::clock_text::shanghai(read.made_ms)),
        ("log_rows", read.log.rows.to_string()),
        ("log_chain", read.log.chain),
    ];
    say(language, "backup_fine", &args);
    Ok(true)
}

/// `restore FILE`: only while no server runs on the database.
pub(super) fn restore(language: Language, options: &Options, file: &Path, key: &Path) -> Result<bool, StoreError> {
    let key = BackupKey::read(key)?;
    let database = super::database(options);
    // Beside this backup, and where the server's own go.
    let folders = [file.parent(), options.config.backup.folder.as_deref()];
    let owners: Vec<BackupOwner> =
        folders.into_iter().flatten().filter_map(|folder| BackupOwner::read(folder).ok().flatten()).collect();
    let to =
        Restore { folder: &options.data, key_file: options.key_file.as_deref(), database: &database, owners: &owners };
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
        let last = device.last_contact_ms.map_or_else(|| "-".to_owned(), crate::clock_text::shanghai);
        println!("device\t{}\t{}\t{}\t{}\t{last}", device.id, device.user_name, device.unit, device.name);
    }
    if let Some(RestoredTask::Confirm) = task {
        store.confirm_restored()?;
        say(language, "restored_confirmed", &[]);
    }
    Ok(true)
}
