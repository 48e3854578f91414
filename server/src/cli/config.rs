//! The configuration file: what every command goes by where neither a flag nor the environment says otherwise.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde::Deserialize;

use super::options::{Options, Task};
use crate::store::{Keep, Problem, StoreError};

/// Where the configuration is, unless `--config` or `FIELDBOOK_CONFIG` names another file.
pub(super) const DEFAULT_PATH: &str = "/etc/fieldbook/server.toml";
/// Bytes of a configuration file, and of a file that it names.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Permissions that a secret may not have: any for others than its owner.
const OTHERS: u32 = 0o077;

/// The whole file. A key that is not here is refused.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    /// The file that it was read from.
    #[serde(skip)]
    pub(super) file: Option<PathBuf>,
    pub(super) language: Option<String>,
    pub(super) data: Data,
    pub(super) server: ServerPart,
    pub(super) database: DatabasePart,
    pub(super) backup: BackupPart,
    pub(super) metrics: MetricsPart,
    pub(super) log: LogPart,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Data {
    pub(super) folder: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServerPart {
    pub(super) listen: Option<String>,
    pub(super) address: Option<String>,
    pub(super) name: Option<String>,
    pub(super) plain_http: bool,
    pub(super) certificate: Option<PathBuf>,
    pub(super) certificate_key: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DatabasePart {
    pub(super) url_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BackupPart {
    pub(super) folder: Option<PathBuf>,
    pub(super) recipient: Option<String>,
    pub(super) keep_daily: Option<usize>,
    pub(super) keep_weekly: Option<usize>,
    pub(super) keep_monthly: Option<usize>,
}

impl BackupPart {
    pub(super) fn keep(&self) -> Keep {
        let usual = Keep::default();
        Keep {
            daily: self.keep_daily.unwrap_or(usual.daily),
            weekly: self.keep_weekly.unwrap_or(usual.weekly),
            monthly: self.keep_monthly.unwrap_or(usual.monthly),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MetricsPart {
    pub(super) listen: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogPart {
    pub(super) format: Option<String>,
    pub(super) level: Option<String>,
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn read_small(path: &Path) -> Result<String, Problem> {
    use std::io::Read;
    let unreadable = |error| Problem::new("file_unreadable").with("path", path.display()).with("detail", error);
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// Reads a secret of one line from a file that nobody but its owner may open.
///
/// # Errors
/// `file_unreadable`, `secret_open`.
pub(super) fn secret(path: &Path) -> Result<String, Problem> {
    let text = read_small(path)?;
    if let Some(mode) = open_to_others(path) {
        return Err(Problem::new("secret_open").with("path", path.display()).with("mode", format!("{mode:o}")));
    }
    Ok(text.trim().to_owned())
}

/// The permissions of a secret that others than its owner may open; `None` where all is well, or there is no such file.
pub(super) fn open_to_others(path: &Path) -> Option<u32> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & OTHERS != 0).then_some(mode)
}

/// The file to read: as the flag says, or the environment, or the usual one where it is there.
pub(super) fn path(flag: Option<&Path>) -> Option<PathBuf> {
    let named = flag.map(Path::to_owned).or_else(|| environment("FIELDBOOK_CONFIG").map(PathBuf::from));
    named.or_else(|| Some(PathBuf::from(DEFAULT_PATH)).filter(|path| path.exists()))
}

/// Reads the configuration; an empty one where there is no file.
///
/// # Errors
/// `config_malformed` with line and reason, `file_unreadable`.
pub(super) fn read(path: Option<&Path>) -> Result<Config, Problem> {
    let Some(path) = path else { return Ok(Config::default()) };
    let text = read_small(path)?;
    let config: Config = toml::from_str(&text).map_err(|error| malformed(path, &text, &error))?;
    checked(path, &config)?;
    Ok(Config { file: Some(path.to_owned()), ..config })
}

/// Values that would be noticed only when they are needed, or never.
fn checked(path: &Path, config: &Config) -> Result<(), Problem> {
    let level = config.log.level.as_deref();
    let wrong = [
        ("language", config.language.as_deref(), &["zh", "zh-Hans", "zh-CN", "en"][..]),
        ("[log] format", config.log.format.as_deref(), &["text", "json"][..]),
        ("[log] level", level, &["error", "warn", "info", "debug", "trace", "off"][..]),
    ]
    .into_iter()
    .find_map(|(key, value, known)| value.filter(|value| !known.contains(value)).map(|value| (key, value, known)));
    let told = |key: &'static str, value: &str, known: String| {
        let problem = Problem::new("config_value").with("path", path.display()).with("key", key);
        Err(problem.with("value", value).with("known", known))
    };
    if let Some((key, value, known)) = wrong {
        return told(key, value, known.join(" / "));
    }
    for (key, value, port_min) in [
        // The system chooses a port for 0.
        ("[server] listen", config.server.listen.as_deref(), 0),
        ("[metrics] listen", config.metrics.listen.as_deref(), 0),
        ("[server] address", config.server.address.as_deref(), 1),
    ] {
        if let Some(value) = value.filter(|value| !super::commands::is_address(value, port_min)) {
            return told(key, value, "HOST:PORT".to_owned());
        }
    }
    let (one, other) = (&config.server.certificate, &config.server.certificate_key);
    if one.is_some() != other.is_some() {
        let lacks = if one.is_none() { "certificate" } else { "certificate_key" };
        return Err(Problem::new("config_pair").with("path", path.display()).with("key", lacks));
    }
    Ok(())
}

fn malformed(path: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    let (word, detail) = match told(error.message()) {
        Some((word, detail)) => (word, detail),
        None => ("config_malformed", error.message().to_owned()),
    };
    Problem::new(word).with("path", path.display()).with("line", line).with("detail", detail)
}

/// The two faults that are made most, in words of the catalogue; what they are about stands between backticks.
fn told(message: &str) -> Option<(&'static str, String)> {
    if message.starts_with("unknown field") {
        let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let (unknown, known) = names.split_first()?;
        return Some(("config_unknown", format!("{unknown} ({})", known.join(", "))));
    }
    let rest = message.strip_prefix("invalid type: ")?;
    Some(("config_type", rest.replace(", expected ", " ≠ ")))
}

/// Fills in what neither a flag nor the environment says.
///
/// # Errors
/// `file_unreadable`, `secret_open`.
pub(super) fn settle(options: &mut Options, matches: &ArgMatches, config: Config) -> Result<(), StoreError> {
    let given = |matches: &ArgMatches, id: &str| {
        matches.value_source(id).is_some_and(|source| source == ValueSource::CommandLine)
    };
    if !given(matches, "data")
        && let Some(folder) = environment("FIELDBOOK_DATA").map(PathBuf::from).or_else(|| config.data.folder.clone())
    {
        options.data = folder;
    }
    options.key_file = options.key_file.take().or_else(|| config.data.key_file.clone());
    options.database = options.database.take().or_else(|| environment("FIELDBOOK_DATABASE"));
    if let (None, Some(path)) = (&options.database, &config.database.url_file) {
        options.database = Some(secret(path)?);
    }
    let key = options.key_file.clone().unwrap_or_else(|| options.data.join("key"));
    if let Some(mode) = open_to_others(&key) {
        let path = &key;
        return Err(Problem::new("secret_open").with("path", path.display()).with("mode", format!("{mode:o}")).into());
    }
    if let (Task::Serve(task), Some(("serve", below))) = (&mut options.command, matches.subcommand()) {
        let (part, metrics) = (&config.server, &config.metrics);
        if !given(below, "listen")
            && let Some(listen) = environment("FIELDBOOK_LISTEN").or_else(|| part.listen.clone())
        {
            task.listen = listen;
        }
        task.address = task.address.take().or_else(|| part.address.clone());
        task.name = task.name.take().or_else(|| part.name.clone());
        task.plain_http |= part.plain_http;
        task.metrics = task.metrics.take().or_else(|| metrics.listen.clone());
        task.log_format = task.log_format.take().or_else(|| config.log.format.clone());
    }
    options.config = config;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_and_a_wrong_value_are_named_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.toml");
        for (problem_word, text, line, word) in [
            ("config_unknown", "language = 'zh'\n[server]\nlisten = '0.0.0.0:8443'\nadress = 'x:1'\n", "4", "adress"),
            ("config_type", "[backup]\nkeep_daily = 'many'\n", "2", "many"),
            ("config_unknown", "[storage]\n", "1", "storage"),
            ("config_malformed", "[data]\nfolder = \n", "2", ""),
        ] {
            std::fs::write(&path, text).unwrap();
            let problem = read(Some(&path)).unwrap_err();
            let found = |name| problem.args.iter().find(|(known, _)| *known == name).unwrap().1.clone();
            assert_eq!((problem.word, found("line").as_str()), (problem_word, line), "{text}");
            assert!(found("detail").contains(word), "{text}: {}", found("detail"));
        }
    }

    #[test]
    fn a_value_that_would_be_noticed_too_late_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.toml");
        for (text, word) in [
            ("language = 'zg'\n", "config_value"),
            ("[log]\nlevel = 'loud'\n", "config_value"),
            ("[log]\nformat = 'xml'\n", "config_value"),
            ("[server]\nlisten = '0.0.0.0'\n", "config_value"),
            ("[metrics]\nlisten = '127.0.0.1：9464'\n", "config_value"),
            ("[server]\naddress = 'a:0'\n", "config_value"),
            ("[server]\ncertificate = '/a.crt'\n", "config_pair"),
            ("[server]\ncertificate_key = '/a.key'\n", "config_pair"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(Some(&path)).unwrap_err().word, word, "{text}");
        }
        std::fs::write(&path, "language = 'en'\n[log]\nlevel = 'warn'\n[server]\nlisten = '[::]:0'\n").unwrap();
        assert_eq!(read(Some(&path)).unwrap().file, Some(path));
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("database.url");
        std::fs::write(&path, "postgres://a:b@c/d\n").unwrap();
        for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            match secret(&path) {
                Ok(text) => assert!(fine && text == "postgres://a:b@c/d", "{mode:o}"),
                Err(problem) => assert!(!fine && problem.word == "secret_open", "{mode:o}"),
            }
        }
    }
}
