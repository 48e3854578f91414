//! The command line: everything that an administrator does at a terminal.

mod backup;
mod commands;
mod config;
mod doctor;
mod hub;
mod keys;
mod misuse;
mod options;
mod records;
mod setup;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::hub::HubStore;
use crate::store::{Database, Problem, Store, StoreError, is_of_backups};
use crate::system::{SystemClock, SystemRandom};
use crate::text::{Language, failure};
use crate::{data_folder, ownership};
use options::{Options, Task, UnitTask};

/// Exit status when something asked for was not done.
const FAILED: u8 = 1;
/// Exit status when the command line itself is wrong.
const MISUSED: u8 = 2;

/// Runs the command line `args`; the first is the program's name.
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let language = language_of(&args);
    let command = options::localised(Options::command(), language);
    let parsed = command.try_get_matches_from(args).and_then(|matches| {
        let options = Options::from_arg_matches(&matches)?;
        Ok((options, matches))
    });
    let (mut options, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            match misuse::told(&error).filter(|_| language == Language::Chinese) {
                Some(told) => eprintln!("{told}"),
                None => drop(error.print()),
            }
            return if error.use_stderr() { ExitCode::from(MISUSED) } else { ExitCode::SUCCESS };
        }
    };
    let language = match configured(&mut options, &matches, language) {
        Ok(language) => language,
        Err(error) => {
            eprintln!("{}", failure(language, &error));
            return ExitCode::from(MISUSED);
        }
    };
    match execute(&options, language) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            eprintln!("{}", failure(language, &error));
            ExitCode::from(FAILED)
        }
    }
}

/// Takes what the configuration file says where nothing else does; its language counts for more than the locale's.
fn configured(options: &mut Options, matches: &ArgMatches, language: Language) -> Result<Language, StoreError> {
    if matches!(options.command, Task::Setup(_)) {
        // It writes the file.
        return Ok(language);
    }
    let config = config::read(config::path(options.config_file.as_deref()).as_deref())?;
    let told = config.language.as_deref().filter(|_| options.lang.is_none()).map(Language::from_tag);
    config::settle(options, matches, config)?;
    Ok(told.unwrap_or(language))
}

/// `--lang`, else the locale, else Chinese; needed before the rest is parsed, for the help texts.
fn language_of(args: &[OsString]) -> Language {
    let mut asked = args.iter().map(|arg| arg.to_string_lossy());
    while let Some(arg) = asked.next() {
        if let Some(tag) = arg.strip_prefix("--lang=") {
            return Language::from_tag(tag);
        }
        if arg == "--lang" {
            return Language::from_tag(&asked.next().unwrap_or_default());
        }
    }
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| match std::env::var(name) {
        Ok(value) if !value.is_empty() => Some(value),
        _ => None,
    });
    Language::from_tag(&locale.unwrap_or_default())
}

fn open(options: &Options) -> Result<Arc<Store>, StoreError> {
    if HubStore::is_there(&options.data) {
        return Err(Problem::new("is_hub").with("path", options.data.display()).into());
    }
    let database = database(options);
    if !begins(options) && !Store::is_there(&options.data, options.key_file.as_deref(), &database)? {
        return Err(Problem::new("no_database").with("path", options.data.display()).into());
    }
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    Ok(Arc::new(Store::open_on(&options.data, options.key_file.as_deref(), clock, random, database)?))
}

/// Only what a server begins with makes a database where there is none, and only before `setup` made one: behind a disk that is
/// not mounted, or a mistyped path, everything else would meet a new server, empty, with keys that no phone knows.
fn begins(options: &Options) -> bool {
    let first = matches!(
        options.command,
        Task::Serve(_) | Task::Unit(UnitTask::Add { parent: None, .. } | UnitTask::Import { .. })
    );
    first && options.config.file.is_none()
}

/// Where the rows are.
fn database(options: &Options) -> Database {
    options.database.clone().filter(|url| !url.is_empty()).map_or(Database::Embedded(None), Database::Postgres)
}

fn execute(options: &Options, language: Language) -> Result<bool, StoreError> {
    let key_file = options.key_file.as_ref().filter(|path| !path.exists());
    let done = commands::execute(options, language, || open(options));
    ownership::give_back(&options.data, data_folder::is_own);
    if let Some(folder) = &options.config.backup.folder {
        ownership::give_back(folder, is_of_backups);
    }
    // A key that this command made, elsewhere.
    if let (Some(key), Some(owner)) = (key_file, ownership::of(&options.data).filter(|owner| owner.0 != 0)) {
        ownership::give_file(key, owner)?;
    }
    done
}
