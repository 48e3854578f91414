//! The headless phone: the facade of the apps on a command line, with newline-delimited JSON in and out. Exit status 0
//! only when all was done.

mod args;
mod clock;
mod first;
mod lines;
mod output;
mod text;
mod vault;
mod watching;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use fieldbook_core::client::net::CancelFlag;
use fieldbook_core::client::system::SystemRandom;
use fieldbook_core::client::{ClientError, Fieldbook, Language, SyncListener, SyncReport};
use fieldbook_core::ids::RecordId;
use fieldbook_core::store::ListFilter;
use serde_json::{Value as Json, json};

use first::First;

pub use args::{Args, Command};
pub use clock::ShiftedClock;
pub use text::{Said, Text};
pub use vault::FileVault;

/// Rows that `search` prints.
const SEARCH_ROWS: usize = 100;
/// Rows that `list` reads at a time.
const LIST_PAGE: usize = 500;
/// Folder of the vault's files inside the phone's folder.
const VAULT_FOLDER: &str = "vault";

/// Why a command did not do all of its work.
#[derive(Clone, Debug)]
pub enum PhoneError {
    /// The facade said no, in the language that it was opened in.
    Client(ClientError),
    /// A file, a line, an argument, or standard output.
    Own(Said),
}

impl From<ClientError> for PhoneError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<Said> for PhoneError {
    fn from(said: Said) -> Self {
        Self::Own(said)
    }
}

impl PhoneError {
    /// One line for the person who ran the command.
    #[must_use]
    pub fn say(&self, language: Language) -> String {
        match self {
            Self::Client(error) if error.detail.is_empty() => format!("{}: {}", error.kind.word(), error.message),
            Self::Client(error) => format!("{}: {} [{}]", error.kind.word(), error.message, error.detail),
            Self::Own(said) => said.say(language),
        }
    }
}

/// Runs one command; says on standard error what went wrong.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match open(args).and_then(|book| {
        let done = command(args, &book);
        // Everything that was reported is durable; this only spares the next start some work.
        book.close()?;
        done
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fieldbook-phone: {}", error.say(Language::of_tag(&args.lang)));
            ExitCode::FAILURE
        }
    }
}

/// Opens the phone in `args.home`.
///
/// # Errors
/// [`PhoneError`] as of the facade.
pub fn open(args: &Args) -> Result<Arc<Fieldbook>, PhoneError> {
    let clock = ShiftedClock::from_environment()?;
    Ok(Fieldbook::open(
        &args.home,
        Arc::new(FileVault::new(&args.home.join(VAULT_FOLDER))),
        Arc::new(clock),
        Arc::new(SystemRandom::new()),
        Language::of_tag(&args.lang),
    )?)
}

fn command(args: &Args, book: &Arc<Fieldbook>) -> Result<(), PhoneError> {
    match &args.command {
        Command::Enrol { link, name } => print(&output::enrolment(&book.enrol(link, name)?)),
        Command::Import { kind, file } => lines::import(book, kind, file),
        Command::Edit { file } => lines::edit(book, file),
        Command::Sync { json, watch: true, .. } => watching::watch(book, *json),
        Command::Sync { json, first_of, hub, segments_at, .. } => {
            let township = match (hub.as_deref(), segments_at.as_deref()) {
                (Some(""), _) => Township::Hub(book.last_hub()?.unwrap_or_default()),
                (Some(hub), _) => Township::Hub(hub.to_owned()),
                (None, Some(hub)) => Township::SegmentsAt(hub.to_owned()),
                (None, None) => Township::No,
            };
            sync(book, *json, first_of.as_deref(), &township)
        }
        Command::Export { kind } => export(book, kind),
        Command::Status => print(&output::status(&book.status()?, &book.kinds()?)),
        Command::Search { text } => {
            let rows = book.search(text, SEARCH_ROWS)?;
            rows.iter().try_for_each(|row| print(&output::list_row(row)))
        }
        Command::Resolve { id, path, value } => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Json::from(value.as_str()));
            let saved = book.resolve(record_id(id)?, path, &value)?;
            say(&saved.record.to_string())
        }
        Command::List { kind } => list(book, kind),
        Command::NotTaken => not_taken(book),
        Command::Dismiss { id } => Ok(book.dismiss_not_taken(record_id(id)?)?),
        Command::Show { id } => print(&output::record(&book.record(record_id(id)?)?)),
    }
}

fn record_id(text: &str) -> Result<RecordId, PhoneError> {
    text.parse().map_err(|_| Said::new(Text::NoId).with(text).into())
}

/// One line on standard output, out at once.
///
/// # Errors
/// [`Text::Writing`] when nobody reads it.
pub(crate) fn say(line: &str) -> Result<(), PhoneError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(unwritten)
}

fn unwritten(error: io::Error) -> PhoneError {
    Said::new(Text::Writing).with(error).into()
}

fn print(value: &Json) -> Result<(), PhoneError> {
    say(&value.to_string())
}

fn list(book: &Fieldbook, kind: &str) -> Result<(), PhoneError> {
    let mut after = None;
    loop {
        let rows = book.list(kind, &ListFilter::default(), after, LIST_PAGE)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.place);
        rows.iter().try_for_each(|row| print(&output::list_row(row)))?;
    }
}

fn not_taken(book: &Fieldbook) -> Result<(), PhoneError> {
    let mut after = 0;
    loop {
        let page = book.not_taken(after, LIST_PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.place;
        page.iter().try_for_each(|one| print(&output::not_taken(one)))?;
    }
}

fn export(book: &Fieldbook, kind: &str) -> Result<(), PhoneError> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    book.export(kind, &mut |record| writeln!(out, "{record}").map_err(unwritten))?;
    out.flush().map_err(unwritten)
}

/// Says on standard error what the user should know of a sync that went well.
fn warn(report: &SyncReport) {
    let erased = report.erased.iter().map(|one| &one.message);
    for warning in report.clock_warning.iter().chain(&report.space_warning).chain(erased) {
        eprintln!("fieldbook-phone: {warning}");
    }
}

/// What a township hub at this address has to do with a sync.
enum Township {
    No,
    Hub(String),
    SegmentsAt(String),
}

fn sync(book: &Fieldbook, json: bool, first_of: Option<&str>, township: &Township) -> Result<(), PhoneError> {
    let bar = io::stderr().is_terminal().then(|| output::Bar::new(book.language()));
    let cancel = CancelFlag::default();
    let quiet = ();
    let listener: &dyn SyncListener = match &bar {
        Some(bar) => bar,
        None => &quiet,
    };
    let first = first_of.map(|kind| First::new(book, kind, listener));
    let done = match (&first, township) {
        (_, Township::Hub(hub)) => book.sync_at_hub(hub, listener, &cancel),
        (_, Township::SegmentsAt(hub)) => book.sync_with_segments_at(hub, listener, &cancel),
        (Some(first), Township::No) => book.sync(first, &cancel),
        (None, Township::No) => book.sync(listener, &cancel),
    };
    if let Some(bar) = &bar {
        bar.finish();
    }
    match done {
        Ok(report) => {
            warn(&report);
            if !json {
                return say(&output::report_text(&report).say(book.language()));
            }
            print(&output::report(&report, first.and_then(|first| first.seconds())))
        }
        Err(error) => {
            if json {
                print(&json!({ "error": output::error(&error) }))?;
            }
            Err(error.into())
        }
    }
}
