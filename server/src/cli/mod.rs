//! The command line: everything that an administrator does at a terminal.

mod backup;
mod commands;
mod hub;
mod options;
mod records;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};

use crate::hub::HubStore;
use crate::store::{Database, Problem, Store, StoreError};
use crate::system::{SystemClock, SystemRandom};
use crate::text::{Language, failure};
use options::Options;

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
    let parsed = command.try_get_matches_from(args).and_then(|matches| Options::from_arg_matches(&matches));
    let options = match parsed {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(MISUSED) } else { ExitCode::SUCCESS };
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
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    Ok(Arc::new(Store::open_on(&options.data, options.key_file.as_deref(), clock, random, database(options))?))
}

/// Where the rows are: as the option says, or the environment, which other users of the machine do not see.
fn database(options: &Options) -> Database {
    let url = options.database.clone().or_else(|| std::env::var("FIELDBOOK_DATABASE").ok());
    url.filter(|url| !url.is_empty()).map_or(Database::Embedded(None), Database::Postgres)
}

fn execute(options: &Options, language: Language) -> Result<bool, StoreError> {
    commands::execute(options, language, || open(options))
}
