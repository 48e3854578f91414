//! What the command line takes.

use std::path::PathBuf;

use clap::{Args, Command, Parser, Subcommand};
use fieldbook_core::access::Role;

use super::config::Config;
use crate::text::{Language, text};

#[derive(Debug, Parser)]
#[command(name = "fieldbook-server", version)]
pub(super) struct Options {
    #[arg(long = "config", global = true, value_name = "FILE")]
    pub(super) config_file: Option<PathBuf>,
    #[arg(long, global = true, default_value = "./fieldbook-data", value_name = "DIR")]
    pub(super) data: PathBuf,
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) key_file: Option<PathBuf>,
    #[arg(long, global = true, value_name = "URL")]
    pub(super) database: Option<String>,
    #[arg(long, global = true, value_name = "LANG")]
    pub(super) lang: Option<String>,
    /// What the configuration file says.
    #[arg(skip)]
    pub(super) config: Config,
    #[command(subcommand)]
    pub(super) command: Task,
}

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    Setup(Setup),
    Serve(Serve),
    #[command(subcommand)]
    Unit(UnitTask),
    #[command(subcommand)]
    User(UserTask),
    #[command(subcommand)]
    Device(DeviceTask),
    #[command(subcommand)]
    Form(FormTask),
    #[command(subcommand)]
    Record(RecordTask),
    Certificate {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    #[command(subcommand)]
    Key(KeyTask),
    Status,
    Verify,
    Doctor {
        #[arg(long)]
        json: bool,
    },
    Backup {
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        #[arg(long, value_name = "AGE1…")]
        recipient: Option<String>,
    },
    BackupKey {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    BackupCheck {
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    Restore {
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    Restored(Restored),
    MoveStore {
        #[arg(long, value_name = "FILE", required_unless_present = "to_embedded", conflicts_with = "to_embedded")]
        to_url_file: Option<PathBuf>,
        #[arg(long)]
        to_embedded: bool,
    },
}

/// Everything that `setup` would ask.
#[derive(Debug, Default, Args)]
pub(super) struct Setup {
    #[arg(long)]
    pub(super) yes: bool,
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) listen: Option<String>,
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) address: Option<String>,
    #[arg(long)]
    pub(super) name: Option<String>,
    #[arg(long, value_name = "CODE")]
    pub(super) unit_code: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub(super) unit_name: Option<String>,
    #[arg(long, value_name = "FILE.csv", conflicts_with_all = ["unit_code", "unit_name"])]
    pub(super) units: Option<PathBuf>,
    #[arg(long, value_name = "NAME")]
    pub(super) admin_name: Option<String>,
    #[arg(long, value_name = "LOGIN")]
    pub(super) admin_login: Option<String>,
    #[arg(long, value_name = "DIR")]
    pub(super) backup_folder: Option<PathBuf>,
    #[arg(long, value_name = "AGE1…")]
    pub(super) backup_recipient: Option<String>,
    #[arg(long, value_name = "FILE")]
    pub(super) backup_key_file: Option<PathBuf>,
    #[arg(long, value_name = "FILE")]
    pub(super) database_url_file: Option<PathBuf>,
    #[arg(long, value_name = "USER")]
    pub(super) owner: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyTask {
    Status,
    Succeed {
        #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=365))]
        after_days: u32,
    },
    Takeover {
        #[arg(long)]
        leave_behind: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Restored {
    #[command(subcommand)]
    pub(super) task: Option<RestoredTask>,
}

#[derive(Debug, Subcommand)]
pub(super) enum RestoredTask {
    Confirm,
}

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:8443")]
    pub(super) listen: String,
    #[arg(long)]
    pub(super) name: Option<String>,
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) address: Option<String>,
    #[arg(long)]
    pub(super) plain_http: bool,
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) metrics: Option<String>,
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    pub(super) log_format: Option<String>,
    #[arg(long, value_name = "LINK")]
    pub(super) upstream: Option<String>,
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) upstream_seconds: u64,
}

#[derive(Debug, Subcommand)]
pub(super) enum UnitTask {
    Add {
        code: String,
        name: String,
        #[arg(long, value_name = "CODE")]
        parent: Option<String>,
        #[arg(long, value_name = "CODE")]
        division: Option<String>,
    },
    Import {
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
    },
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum UserTask {
    Add {
        name: String,
        #[arg(long, value_name = "CODE")]
        unit: String,
        #[arg(long, value_delimiter = ',', value_name = "ROLE", required = true)]
        role: Vec<String>,
        #[arg(long)]
        login: Option<String>,
    },
    List,
    Role {
        user: String,
        #[arg(long, value_name = "ROLE@UNIT")]
        give: Vec<String>,
        #[arg(long, value_name = "ROLE@UNIT")]
        take: Vec<String>,
    },
    ResetPassword {
        user: String,
    },
    ResetFactor {
        user: String,
    },
    SecondFactor {
        #[arg(value_parser = ["required", "optional"])]
        wish: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum DeviceTask {
    Enrol {
        user: String,
        #[arg(long, value_name = "DAYS", default_value_t = crate::store::LINK_DAYS)]
        days: u8,
        #[arg(long, value_name = "FILE")]
        png: Option<PathBuf>,
        #[arg(long, value_name = "HOST:PORT")]
        address: Option<String>,
    },
    List,
    Revoke {
        device: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum FormTask {
    Check {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    Publish {
        file: PathBuf,
        #[arg(long, value_name = "CODE")]
        unit: Option<String>,
    },
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum RecordTask {
    List {
        kind: String,
    },
    Show {
        id: String,
        #[arg(long)]
        json: bool,
    },
    Move {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        #[arg(long, value_name = "CODE")]
        to: String,
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    Purge {
        id: String,
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// The words of all roles.
pub(super) fn role_words() -> String {
    Role::ALL.iter().map(|role| role.word()).collect::<Vec<_>>().join(",")
}

/// Gives every command and option its help text from the catalogue, under the words that lead to it.
pub(super) fn localised(command: Command, language: Language) -> Command {
    help(command, language, "cli")
}

fn help(command: Command, language: Language, path: &str) -> Command {
    let known = |word: &str| {
        let found = text(language, word, &[("roles", role_words())]);
        (found != word).then_some(found)
    };
    let options: Vec<(clap::Id, String)> = command
        .get_arguments()
        .filter_map(|arg| {
            let long = arg.get_long()?;
            let own = known(&format!("{path} --{long}"));
            Some((arg.get_id().clone(), own.or_else(|| known(&format!("cli --{long}")))?))
        })
        .collect();
    let below: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let mut command = match known(path) {
        Some(about) => command.about(about),
        None => command,
    };
    for (id, text) in options {
        command = command.mut_arg(id, |arg| arg.help(text));
    }
    for name in below {
        let path = format!("{path} {name}");
        command = command.mut_subcommand(&name, |below| help(below, language, &path));
    }
    command
}
