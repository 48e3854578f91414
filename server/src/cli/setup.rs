//! `setup`: asks what a server needs to know, checks it, and writes the configuration file.

use std::fs::OpenOptions;
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldbook_core::access::{Role, Unit};
use fieldbook_core::ports::Random;

use super::commands::{check_address, say};
use super::config::{self, DEFAULT_PATH};
use super::options::{Options, Setup};
use crate::data_folder::{self, file_error};
use crate::ownership;
use crate::store::{BackupKey, BackupRecipient, Database, Problem, Store, StoreError, is_of_backups};
use crate::system::{SystemClock, SystemRandom};
use crate::text::{Language, failure, text};

/// Times that one question is asked.
const ASKED_MAX: usize = 20;
/// The data folder, unless another is named.
const USUAL_DATA: &str = "/var/lib/fieldbook";
/// The folder of backups, unless another is named.
const USUAL_BACKUPS: &str = "/var/backups/fieldbook";
/// A unit that the Debian package brings.
const PACKAGED_UNIT: &str = "/usr/lib/systemd/system/fieldbook.service";
/// Where an operator's additions to units are.
const UNITS: &str = "/etc/systemd/system";
/// The user under which the packages run the server.
const SERVICE_USER: &str = "fieldbook";

/// What answers to a question are checked with: what it is good for, or why it is not.
type Checked<T> = Result<T, StoreError>;

/// Asks on a terminal, or takes what stands there already.
struct Questions<'q> {
    language: Language,
    input: Option<&'q mut dyn BufRead>,
    output: &'q mut dyn Write,
}

impl Questions<'_> {
    /// The flag's answer, else one from the terminal, else `usual`; asked again until it passes.
    fn ask<T>(
        &mut self,
        (word, flag): (&str, &'static str),
        given: Option<String>,
        usual: Option<&str>,
        check: impl Fn(&str) -> Checked<T>,
    ) -> Result<T, StoreError> {
        if let Some(given) = given {
            return check(&given);
        }
        let Some(input) = self.input.as_mut() else {
            let usual = usual.ok_or_else(|| Problem::new("setup_unanswered").with("flag", flag))?;
            return check(usual);
        };
        let question = text(self.language, word, &[]);
        let broken = |error| Problem::new("failed").with("detail", error);
        for _ in 0..ASKED_MAX {
            let shown = usual.filter(|usual| !usual.is_empty()).map(|usual| format!(" [{usual}]")).unwrap_or_default();
            write!(self.output, "{question}{shown}: ").and_then(|()| self.output.flush()).map_err(broken)?;
            let mut line = String::new();
            if input.read_line(&mut line).map_err(broken)? == 0 {
                break;
            }
            let line = line.trim();
            match check(if line.is_empty() { usual.unwrap_or_default() } else { line }) {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    writeln!(self.output, "  {}", failure(self.language, &error)).map_err(broken)?;
                }
            }
        }
        Err(Problem::new("setup_unanswered").with("flag", flag).into())
    }
}

/// What was answered.
#[derive(Debug)]
struct Answers {
    data: PathBuf,
    key_file: Option<PathBuf>,
    url_file: Option<PathBuf>,
    listen: String,
    address: String,
    name: String,
    units: Units,
    admin: (String, String),
    backup_folder: PathBuf,
    recipient: Recipient,
}

#[derive(Debug)]
enum Units {
    Root(Unit),
    File(PathBuf),
    /// The database has its units.
    There,
}

#[derive(Debug)]
enum Recipient {
    Given(BackupRecipient),
    /// A pair is in this file, or written into it.
    Drawn(PathBuf),
}

fn some(given: Option<&PathBuf>) -> Option<String> {
    given.map(|path| path.display().to_string())
}

fn text_of(answer: &str) -> Checked<String> {
    let fits = !answer.is_empty() && answer.chars().count() <= 100 && !answer.chars().any(char::is_control);
    if fits { Ok(answer.to_owned()) } else { Err(Problem::new("name_malformed").with("name", answer).into()) }
}

fn address_of(answer: &str) -> Checked<String> {
    check_address(answer)?;
    Ok(answer.to_owned())
}

fn absolute(answer: &str) -> Checked<PathBuf> {
    let path = PathBuf::from(answer);
    if path.is_absolute() { Ok(path) } else { Err(Problem::new("path_not_absolute").with("path", answer).into()) }
}

/// New files can be made there; the user who made one.
fn writable(folder: &Path) -> Checked<u32> {
    let mut name = [0; 8];
    SystemRandom.fill(&mut name);
    let probe = folder.join(format!(".setup-{}", hex::encode(name)));
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe);
    let user = made.and_then(|made| Ok(made.metadata()?.uid()));
    let gone = std::fs::remove_file(&probe);
    user.and_then(|user| gone.map(|()| user)).map_err(file_error(folder))
}

/// A folder that is this server's alone: what is in it will be given to its user, and read as its own.
fn folder_of(answer: &str, is_own: fn(&str) -> bool) -> Checked<PathBuf> {
    let path = absolute(answer)?;
    // A disk of its own has this.
    if let Some(found) = data_folder::stranger(&path, |name| is_own(name) || name == "lost+found") {
        return Err(Problem::new("folder_not_own").with("path", answer).with("found", found.display()).into());
    }
    data_folder::make_private(&path)?;
    writable(&path)?;
    Ok(path)
}

/// A file that can be made, away from what it opens: who gets hold of the folders must not find it there.
fn key_file_of(answer: &str, folders: [&Path; 2]) -> Checked<PathBuf> {
    let path = absolute(answer)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let real = folder.canonicalize().map_err(file_error(folder))?;
    for taken in folders {
        if taken.canonicalize().is_ok_and(|taken| real.starts_with(taken)) {
            return Err(Problem::new("key_file_inside").with("path", answer).with("folder", taken.display()).into());
        }
    }
    // One that an earlier try drew is used again; anything else that is there stays what it is.
    if path.exists() {
        BackupKey::read(&path)?;
    } else {
        writable(folder)?;
    }
    Ok(path)
}

/// The database answers; what its address is, or `None` for the embedded one.
fn url_file_of(answer: &str) -> Checked<Option<PathBuf>> {
    if answer.is_empty() {
        return Ok(None);
    }
    let path = PathBuf::from(answer);
    crate::sql::Connection::postgres(&config::secret(&path)?)?;
    Ok(Some(path))
}

/// A data folder was named.
fn is_elsewhere(options: &Options) -> bool {
    options.data != Path::new("./fieldbook-data")
}

/// Where nobody can be asked, every answer that is missing is named at once, before anything is made.
fn all_given(options: &Options, given: &Setup) -> Result<(), StoreError> {
    let data = if is_elsewhere(options) { &options.data } else { Path::new(USUAL_DATA) };
    let database_is_new = given.database_url_file.is_none() && !data.join("fieldbook.db").exists();
    let missing: Vec<&str> = [
        ("--address", given.address.is_none()),
        ("--name", given.name.is_none()),
        ("--unit-code", database_is_new && given.units.is_none() && given.unit_code.is_none()),
        ("--admin-name", given.admin_name.is_none()),
        ("--backup-key-file", given.backup_recipient.is_none() && given.backup_key_file.is_none()),
    ]
    .into_iter()
    .filter_map(|(flag, is_missing)| is_missing.then_some(flag))
    .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Problem::new("setup_unanswered").with("flag", missing.join(", ")).into())
}

fn answers(asked: &mut Questions<'_>, options: &Options, given: &Setup) -> Result<Answers, StoreError> {
    let data = is_elsewhere(options).then(|| options.data.display().to_string());
    let data =
        asked.ask(("ask_data", "--data"), data, Some(USUAL_DATA), |answer| folder_of(answer, data_folder::is_own))?;
    let url_file = some(given.database_url_file.as_ref());
    let url_file = asked.ask(("ask_database", "--database-url-file"), url_file, Some(""), url_file_of)?;
    let listen = asked.ask(("ask_listen", "--listen"), given.listen.clone(), Some("0.0.0.0:8443"), address_of)?;
    let address = asked.ask(("ask_address", "--address"), given.address.clone(), None, address_of)?;
    let name = asked.ask(("ask_name", "--name"), given.name.clone(), None, text_of)?;
    let units = units(asked, options, given, (&data, url_file.as_deref()), &name)?;
    let admin = asked.ask(("ask_admin_name", "--admin-name"), given.admin_name.clone(), None, text_of)?;
    let login = asked.ask(("ask_admin_login", "--admin-login"), given.admin_login.clone(), Some("admin"), text_of)?;
    let backup_folder = some(given.backup_folder.as_ref());
    let backup_folder =
        asked.ask(("ask_backup_folder", "--backup-folder"), backup_folder, Some(USUAL_BACKUPS), |answer| {
            folder_of(answer, is_of_backups)
        })?;
    let recipient = recipient(asked, given, [&data, &backup_folder])?;
    let key_file = options.key_file.clone();
    Ok(Answers {
        data,
        key_file,
        url_file,
        listen,
        address,
        name,
        units,
        admin: (admin, login),
        backup_folder,
        recipient,
    })
}

fn units(
    asked: &mut Questions<'_>,
    options: &Options,
    given: &Setup,
    place: (&Path, Option<&Path>),
    name: &str,
) -> Result<Units, StoreError> {
    if !open(options, place)?.units()?.is_empty() {
        return Ok(Units::There);
    }
    if let Some(file) = &given.units {
        return Ok(Units::File(file.clone()));
    }
    let code = asked.ask(("ask_unit_code", "--unit-code"), given.unit_code.clone(), None, text_of)?;
    let unit_name = asked.ask(("ask_unit_name", "--unit-name"), given.unit_name.clone(), Some(name), text_of)?;
    Ok(Units::Root(Unit { code, name: unit_name, parent: None, division: None }))
}

fn recipient(asked: &mut Questions<'_>, given: &Setup, folders: [&Path; 2]) -> Result<Recipient, StoreError> {
    let known = |answer: &str| -> Checked<Option<BackupRecipient>> {
        if answer.is_empty() { Ok(None) } else { Ok(Some(answer.parse()?)) }
    };
    let answer = given.backup_recipient.clone();
    if let Some(recipient) = asked.ask(("ask_recipient", "--backup-recipient"), answer, Some(""), known)? {
        return Ok(Recipient::Given(recipient));
    }
    let file = some(given.backup_key_file.as_ref());
    let key_file = |answer: &str| key_file_of(answer, folders);
    Ok(Recipient::Drawn(asked.ask(("ask_key_file", "--backup-key-file"), file, None, key_file)?))
}

fn open(options: &Options, (data, url_file): (&Path, Option<&Path>)) -> Result<Store, StoreError> {
    let database = match url_file {
        Some(path) => Database::Postgres(config::secret(path)?),
        None => Database::Embedded(None),
    };
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    Store::open_on(data, options.key_file.as_deref(), clock, random, database)
}

/// A text as the configuration file writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn configuration(language: Language, answers: &Answers, recipient: &BackupRecipient) -> String {
    let path = |path: &Path| quoted(&path.display().to_string());
    let optional = |key: &str, value: Option<&Path>| match value {
        Some(value) => format!("{key} = {}", path(value)),
        None => format!("# {key} = \"…\""),
    };
    let args = [
        ("language", quoted(if language == Language::English { "en" } else { "zh" })),
        ("data", path(&answers.data)),
        ("key_file", optional("key_file", answers.key_file.as_deref())),
        ("listen", quoted(&answers.listen)),
        ("address", quoted(&answers.address)),
        ("name", quoted(&answers.name)),
        ("url_file", optional("url_file", answers.url_file.as_deref())),
        ("backup_folder", path(&answers.backup_folder)),
        ("recipient", quoted(&recipient.to_string())),
    ];
    text(language, "configuration", &args)
}

/// User and group under which the server will run; `None` where whoever runs this, `own`, is not root, or no user is known. Only root
/// can give files away, and only root has to.
fn service_user(user: Option<&str>, own: u32) -> Result<Option<ownership::Owner>, StoreError> {
    if own != 0 {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let account = |user: &str| -> Option<(u32, u32)> {
        let mut fields = accounts.lines().find(|line| line.split(':').next() == Some(user))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    match user {
        Some(user) => account(user).map(Some).ok_or_else(|| Problem::new("owner_unknown").with("user", user).into()),
        None => Ok(account(SERVICE_USER)),
    }
}

fn give_away(answers: &Answers, owner: ownership::Owner) -> Result<(), StoreError> {
    ownership::give(&answers.data, owner, data_folder::is_own)?;
    ownership::give(&answers.backup_folder, owner, is_of_backups)?;
    answers.key_file.iter().chain(&answers.url_file).try_for_each(|file| ownership::give_file(file, owner))
}

/// What systemd's units must be told where folders are elsewhere: they may write nowhere else.
fn drop_in(answers: &Answers) -> Option<String> {
    let elsewhere = |path: &Path, usual: &str| (!path.starts_with(usual)).then(|| path.display().to_string());
    let folders = [elsewhere(&answers.data, USUAL_DATA), elsewhere(&answers.backup_folder, USUAL_BACKUPS)];
    let folders: Vec<String> = folders.into_iter().flatten().map(|path| format!("\"{path}\"")).collect();
    // `ProtectHome` hides these from the units, whatever may be written.
    let hidden = |path: &Path| ["/home", "/root", "/run/user"].iter().any(|home| path.starts_with(home));
    let shown = [&answers.data, &answers.backup_folder].iter().any(|path| hidden(path));
    let open = if shown { "ProtectHome=no\n" } else { "" };
    (!folders.is_empty()).then(|| format!("[Service]\nReadWritePaths={}\n{open}", folders.join(" ")))
}

/// Writes it for both units of the package, where that is installed; returns the files.
fn tell_units(text: &str, packaged: &Path, units: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut written = Vec::new();
    if !packaged.exists() {
        return Ok(written);
    }
    for unit in ["fieldbook.service.d", "fieldbook-backup.service.d"] {
        let path = units.join(unit).join("folders.conf");
        std::fs::create_dir_all(units.join(unit)).map_err(file_error(units))?;
        std::fs::write(&path, text).map_err(file_error(&path))?;
        written.push(path);
    }
    Ok(written)
}

/// `setup`.
pub(super) fn setup(language: Language, options: &Options, given: &Setup) -> Result<bool, StoreError> {
    let (stdin, mut stdout) = (std::io::stdin(), std::io::stdout());
    let mut lock = stdin.lock();
    let asks = !given.yes && stdin.is_terminal();
    let input = asks.then_some(&mut lock as &mut dyn BufRead);
    set_up(Questions { language, input, output: &mut stdout }, options, given)
}

fn set_up(mut asked: Questions<'_>, options: &Options, given: &Setup) -> Result<bool, StoreError> {
    let language = asked.language;
    let file = options.config_file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_PATH));
    if file.exists() {
        return Err(Problem::new("setup_done").with("path", file.display()).into());
    }
    if asked.input.is_none() {
        all_given(options, given)?;
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(file_error(folder))?;
    let owner = service_user(given.owner.as_deref(), writable(folder)?)?;
    let answers = answers(&mut asked, options, given)?;
    let store = open(options, (&answers.data, answers.url_file.as_deref()))?;
    store.owns_backups(&answers.backup_folder)?;
    match &answers.units {
        Units::Root(unit) => store.add_unit(unit)?,
        Units::File(path) => {
            let table = std::fs::File::open(path)
                .map_err(|error| Problem::new("file_unreadable").with("path", path.display()).with("detail", error))?;
            store.import_units(table)?;
        }
        Units::There => {}
    }
    store.set_setting("address", &answers.address)?;
    store.set_setting("server_name", &answers.name)?;
    let recipient = match &answers.recipient {
        Recipient::Given(recipient) => recipient.clone(),
        Recipient::Drawn(path) => drawn(language, path)?,
    };
    administrator(language, &store, &answers.admin)?;
    drop(store);
    if let Some(owner) = owner {
        give_away(&answers, owner)?;
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&file);
    let content = configuration(language, &answers, &recipient);
    made.and_then(|mut made| made.write_all(content.as_bytes())).map_err(file_error(&file))?;
    tell_systemd(language, &answers, &file)?;
    say(language, "setup_made", &[("path", file.display().to_string())]);
    Ok(true)
}

/// The pair that is in a file already, or a new one.
fn drawn(language: Language, path: &Path) -> Result<BackupRecipient, StoreError> {
    if path.exists() {
        return Ok(BackupKey::read(path)?.recipient());
    }
    let key = BackupKey::generate();
    key.write(path)?;
    let args = [("path", path.display().to_string()), ("recipient", key.recipient().to_string())];
    say(language, "backup_key_made", &args);
    Ok(key.recipient())
}

fn tell_systemd(language: Language, answers: &Answers, file: &Path) -> Result<(), StoreError> {
    let usual_config = file == Path::new(DEFAULT_PATH);
    if let Some(text) = drop_in(answers).filter(|_| usual_config) {
        for path in tell_units(&text, Path::new(PACKAGED_UNIT), Path::new(UNITS))? {
            say(language, "setup_unit", &[("path", path.display().to_string())]);
        }
    }
    Ok(())
}

/// Somebody who may decide on records of the topmost unit, unless the login is there.
fn administrator(language: Language, store: &Store, (name, login): &(String, String)) -> Result<(), StoreError> {
    if store.users()?.iter().any(|(user, _)| user.login == *login) {
        return Ok(());
    }
    let root = store.units()?.into_iter().find(|unit| unit.parent.is_none()).ok_or_else(|| Problem::new("no_units"))?;
    let (user, password) = store.add_user(name, &root.code, &[Role::County], Some(login))?;
    say(language, "user_added", &[("name", user.name), ("login", user.login), ("password", password)]);
    Ok(())
}

#[cfg(test)]
mod tests;
