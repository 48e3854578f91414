//! `backup`, `backup-key`, `backup-check`, `restore`, `restored` and `move-store`.

use std::path::Path;
use std::sync::Arc;

use super::commands::say;
use super::config;
use super::options::{Options, RestoredTask};
use crate::store::{
    AuditHead, BackupKey, BackupRecipient, Database, Keep, Problem, Restore, Store, StoreError, prune, read_backup,
    relocate, restore_backup,
};
use crate::system::{SystemClock, SystemRandom};
use crate::text::{Language, failure};
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
            store.owns_backups(folder)?;
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
    say(language, "backup_made", &args);
    match (file, folder) {
        (None, Some(folder)) => beside(language, options, store, (folder, &path), &made.log),
        _ => Ok(true),
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
) -> Result<bool, StoreError> {
    let lacking = apart::lacking(&options.data, folder)?;
    apart::copy_to(&options.data, folder)?;
    if !lacking.is_empty() {
        say(language, "list_lacks", &lacks(options, folder, lacking.len()));
    }
    let logged = store.keeps_audit_of(folder);
    match &logged {
        Ok(()) => store.mark_backups(folder, log)?,
        Err(error) => println!("{}", failure(language, error)),
    }
    if logged.is_err() || !lacking.is_empty() {
        return Ok(false);
    }
    let pruned = prune(folder, options.config.backup.keep(), made)?;
    for old in &pruned.removed {
        say(language, "backup_pruned", &[("path", old.display().to_string())]);
    }
    for later in &pruned.later {
        say(language, "backup_later", &[("path", later.display().to_string())]);
    }
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
        let last = device.last_contact_ms.map_or_else(|| "-".to_owned(), crate::clock_text::shanghai);
        println!("device\t{}\t{}\t{}\t{}\t{last}", device.id, device.user_name, device.unit, device.name);
    }
    if let Some(RestoredTask::Confirm) = task {
        store.confirm_restored()?;
        say(language, "restored_confirmed", &[]);
    }
    Ok(true)
}
