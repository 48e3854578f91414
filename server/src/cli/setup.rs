//! `setup`: asks what a server needs to know, checks it, and writes the configuration file.

use std::fs::OpenOptions;
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldbook_core::access::{Role, Unit};

use super::commands::{check_address, say};
use super::config::{self, DEFAULT_PATH};
use super::options::{Options, Setup};
use crate::data_folder::{self, file_error};
use crate::store::{BackupKey, BackupRecipient, Database, Problem, Store, StoreError};
use crate::system::{SystemClock, SystemRandom};
use crate::text::{Language, failure, text};

/// Times that one question is asked.
const ASKED_MAX: usize = 20;
/// The data folder, unless another is named.
const USUAL_DATA: &str = "/var/lib/fieldbook";
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
    /// A new pair is written into this file.
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

fn folder_of(answer: &str) -> Checked<PathBuf> {
    let path = PathBuf::from(answer);
    if !path.is_absolute() {
        return Err(Problem::new("path_not_absolute").with("path", answer).into());
    }
    data_folder::make_private(&path)?;
    let probe = path.join(".setup");
    std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)).map_err(file_error(&path))?;
    Ok(path)
}

fn new_file_of(answer: &str) -> Checked<PathBuf> {
    let path = PathBuf::from(answer);
    if !path.is_absolute() {
        return Err(Problem::new("path_not_absolute").with("path", answer).into());
    }
    if path.exists() { Err(Problem::new("file_exists").with("path", answer).into()) } else { Ok(path) }
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
    let data = asked.ask(("ask_data", "--data"), data, Some(USUAL_DATA), folder_of)?;
    let url_file = some(given.database_url_file.as_ref());
    let url_file = asked.ask(("ask_database", "--database-url-file"), url_file, Some(""), url_file_of)?;
    let listen = asked.ask(("ask_listen", "--listen"), given.listen.clone(), Some("0.0.0.0:8443"), address_of)?;
    let address = asked.ask(("ask_address", "--address"), given.address.clone(), None, address_of)?;
    let name = asked.ask(("ask_name", "--name"), given.name.clone(), None, text_of)?;
    let units = units(asked, options, given, (&data, url_file.as_deref()), &name)?;
    let admin = asked.ask(("ask_admin_name", "--admin-name"), given.admin_name.clone(), None, text_of)?;
    let login = asked.ask(("ask_admin_login", "--admin-login"), given.admin_login.clone(), Some("admin"), text_of)?;
    let backup_folder = some(given.backup_folder.as_ref());
    let usual = Some("/var/backups/fieldbook");
    let backup_folder = asked.ask(("ask_backup_folder", "--backup-folder"), backup_folder, usual, folder_of)?;
    let recipient = recipient(asked, given)?;
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

fn recipient(asked: &mut Questions<'_>, given: &Setup) -> Result<Recipient, StoreError> {
    let known = |answer: &str| -> Checked<Option<BackupRecipient>> {
        if answer.is_empty() { Ok(None) } else { Ok(Some(answer.parse()?)) }
    };
    let answer = given.backup_recipient.clone();
    if let Some(recipient) = asked.ask(("ask_recipient", "--backup-recipient"), answer, Some(""), known)? {
        return Ok(Recipient::Given(recipient));
    }
    let file = some(given.backup_key_file.as_ref());
    Ok(Recipient::Drawn(asked.ask(("ask_key_file", "--backup-key-file"), file, None, new_file_of)?))
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

/// Gives files to the user under which the server will run. Only root can, and only root has to; whoever made `made` is who
/// runs this.
fn give_away(paths: &[&Path], user: Option<&str>, made: &Path) -> Result<(), StoreError> {
    if std::fs::metadata(made).map_err(file_error(made))?.uid() != 0 {
        return Ok(());
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let account = |user: &str| -> Option<(u32, u32)> {
        let mut fields = accounts.lines().find(|line| line.split(':').next() == Some(user))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let found = match user {
        Some(user) => Some(account(user).ok_or_else(|| Problem::new("owner_unknown").with("user", user))?),
        None => account(SERVICE_USER),
    };
    let Some((user, group)) = found else { return Ok(()) };
    paths.iter().try_for_each(|path| chown(path, user, group))
}

fn chown(path: &Path, user: u32, group: u32) -> Result<(), StoreError> {
    // Not what a link points to: root must not give away what somebody else chose.
    std::os::unix::fs::lchown(path, Some(user), Some(group)).map_err(file_error(path))?;
    if path.symlink_metadata().is_ok_and(|file| file.is_dir()) {
        for entry in std::fs::read_dir(path).map_err(file_error(path))? {
            chown(&entry.map_err(file_error(path))?.path(), user, group)?;
        }
    }
    Ok(())
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
    let answers = answers(&mut asked, options, given)?;
    let store = open(options, (&answers.data, answers.url_file.as_deref()))?;
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
        Recipient::Drawn(path) => {
            let key = BackupKey::generate();
            key.write(path)?;
            say(
                language,
                "backup_key_made",
                &[("path", path.display().to_string()), ("recipient", key.recipient().to_string())],
            );
            key.recipient()
        }
    };
    administrator(language, &store, &answers.admin)?;
    drop(store);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(file_error(folder))?;
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&file);
    let content = configuration(language, &answers, &recipient);
    made.and_then(|mut made| made.write_all(content.as_bytes())).map_err(file_error(&file))?;
    let mut owned: Vec<&Path> = vec![&answers.data, &answers.backup_folder];
    owned.extend(answers.key_file.as_deref());
    owned.extend(answers.url_file.as_deref());
    give_away(&owned, given.owner.as_deref(), &file)?;
    say(language, "setup_made", &[("path", file.display().to_string())]);
    Ok(true)
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
