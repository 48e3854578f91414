//! The command line of `fieldbook-phone`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// A phone without a screen: the same facade as the apps, for scripts, imports and measurements.
#[derive(Debug, Parser)]
#[command(name = "fieldbook-phone", version, max_term_width = 100)]
pub struct Args {
    /// Folder of this phone: its encrypted store, and the key in `vault` beside it.
    #[arg(long, value_name = "DIR")]
    pub home: PathBuf,
    /// Language of messages and forms: zh-Hans or en.
    #[arg(long, default_value = "zh-Hans", value_name = "TAG")]
    pub lang: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes this phone a device of the server that the link names. A link works once, and for some days.
    Enrol {
        /// fieldbook://HOST:PORT/enrol?pin=…&code=…
        link: String,
        /// Name of the device as administrators see it.
        #[arg(long, default_value = "fieldbook-phone")]
        name: String,
    },
    /// Makes new records from lines {"id": uuid (optional), "values": {…}, "submit": true (optional)}; prints each id
    /// once it is durable.
    Import {
        /// Kind of the records.
        kind: String,
        /// File of lines; `-` is standard input.
        file: PathBuf,
    },
    /// Changes records by lines {"id", "set": {path: value}, "add": {repeat: [{…}]}, "remove": {repeat: [row…]},
    /// "submit": true (optional)}; prints each id once it is durable.
    Edit {
        /// File of lines; `-` is standard input.
        file: PathBuf,
    },
    /// Exchanges with the server until nothing waits on either side.
    Sync {
        /// Prints the report as one line of JSON, with what this process used.
        #[arg(long)]
        json: bool,
        /// Reports after how many seconds the first record of a kind could be listed, on a phone that had none.
        #[arg(long, value_name = "KIND", requires = "json")]
        first_of: Option<String>,
        /// Goes on until SIGINT or SIGTERM: syncs soon after every save in this folder, also by another process, and
        /// every quarter of an hour; waits longer and longer where there is no network. A line a sync.
        #[arg(long, conflicts_with = "first_of")]
        watch: bool,
        /// Exchanges with the township hub at this address instead of the server; without an address, with the last one.
        #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["first_of", "watch"])]
        hub: Option<String>,
        /// Exchanges with the server, and fetches what a first download is made of from the township hub at this address.
        #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["first_of", "watch", "hub"])]
        segments_at: Option<String>,
    },
    /// Prints every record of a kind as a line of JSON.
    Export {
        /// Kind of the records.
        kind: String,
    },
    /// Prints who this phone is and what waits, as JSON.
    Status,
    /// Prints the records that a text finds, best first.
    Search {
        /// Names, parts of names, initials of their pinyin, numbers.
        text: String,
    },
    /// Decides a conflict by writing one value.
    Resolve {
        /// Record.
        id: String,
        /// Path of the field, as `export` names it.
        path: String,
        /// The value: JSON, or plain text.
        value: String,
    },
    /// Prints the records of a kind, newest first.
    List {
        /// Kind of the records.
        kind: String,
    },
    /// Prints what the server did not take, with its values, also of records that have left this phone; lines of JSON.
    NotTaken,
    /// The user has seen to what was not taken of a record: it is no longer shown.
    Dismiss {
        /// Record.
        id: String,
    },
    /// Prints one record with conflicts, problems, reviews and history, as JSON.
    Show {
        /// Record.
        id: String,
    },
}
