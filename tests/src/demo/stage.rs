//! The processes of a story: a server, phones, and the line between them.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::proxy::{Line, Proxy};

/// What went wrong, for the person who runs the demo.
pub type Failure = String;

static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();

/// Says where the programs are, for a test binary that cargo keeps apart from them. The first call counts.
pub fn programs_are_beside(program: &Path) {
    if let Some(folder) = program.parent() {
        PROGRAMS.get_or_init(|| folder.to_path_buf());
    }
}

/// Path of a program that was built together with this one: beside it, or in the checkout's build folder.
///
/// # Errors
/// When it was not built.
pub fn program(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").join(profile);
    let beside = own.parent().into_iter().chain(own.parent().and_then(Path::parent));
    let folders = PROGRAMS.get().map(PathBuf::as_path).into_iter().chain(beside).chain([built.as_path()]);
    folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("{name} is not built: cargo build --workspace --all-targets"))
}

/// Runs a program to its end and returns what it printed.
fn run(command: &mut Command) -> Result<String, Failure> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|error| format!("{shown}: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(printed)
    } else {
        Err(format!("{shown}: {}\n{printed}{}", output.status, String::from_utf8_lossy(&output.stderr)))
    }
}

/// A running `fieldbook-server`; ends when it is dropped.
pub struct Server {
    data: PathBuf,
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// The root's public key as links carry it.
    pub pin: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// An administrator's command on the data folder.
    ///
    /// # Errors
    /// What the command printed when it failed.
    pub fn command(data: &Path, arguments: &[&str]) -> Result<String, Failure> {
        run(Self::on(data)?.args(arguments))
    }

    /// The program on a data folder. A file beside the folder may name a PostgreSQL database.
    fn on(data: &Path) -> Result<Command, Failure> {
        let mut command = Command::new(program("fieldbook-server")?);
        command.arg("--data").arg(data).args(["--lang", "en"]);
        if let Ok(url) = std::fs::read_to_string(data.with_extension("database")) {
            command.env("FIELDBOOK_DATABASE", url);
        }
        Ok(command)
    }

    /// Starts it on a free loopback port and waits until it says that it listens.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(data: &Path) -> Result<Self, Failure> {
        Self::start_at(data, "127.0.0.1:0", &[])
    }

    /// The same without TLS, for a proxy that ends it.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_plain(data: &Path) -> Result<Self, Failure> {
        Self::start_at(data, "127.0.0.1:0", &["--plain-http"])
    }

    /// Starts a township hub on a free loopback port; `link` enrols it, where it has not enrolled before.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_hub(data: &Path, link: Option<&str>) -> Result<Self, Failure> {
        // It need not wait for a phone to hear what is new.
        let link = link.into_iter().flat_map(|link| ["--upstream", link]);
        let more: Vec<&str> = link.chain(["--upstream-seconds", "1"]).collect();
        Self::start_at(data, "127.0.0.1:0", &more)
    }

    /// What all servers on a data folder have logged.
    #[must_use]
    pub fn log(data: &Path) -> PathBuf {
        data.with_extension("log")
    }

    fn log_of(data: &Path) -> Result<std::fs::File, Failure> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(Self::log(data));
        log.map_err(|error| format!("no log beside {}: {error}", data.display()))
    }

    /// Backs up into the new file `to`, for a key that is drawn once and lies beside the data folder.
    ///
    /// # Errors
    /// What the commands printed.
    pub fn back_up(&self, to: &Path) -> Result<String, Failure> {
        let key = self.data.with_extension("backup-key");
        if !key.exists() {
            Self::command(&self.data, &["backup-key", &key.to_string_lossy()])?;
        }
        let text = std::fs::read_to_string(&key).map_err(|error| error.to_string())?;
        let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap_or_default();
        self.administer(&["backup", &to.to_string_lossy(), "--recipient", recipient])
    }

    /// Restores what [`Server::back_up`] wrote.
    ///
    /// # Errors
    /// What the command printed.
    pub fn restore(data: &Path, from: &Path) -> Result<String, Failure> {
        let key = data.with_extension("backup-key");
        Self::command(data, &["restore", &from.to_string_lossy(), "--key", &key.to_string_lossy()])
    }

    /// Starts it again where it was, after [`Server::end`].
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self) -> Result<(), Failure> {
        *self = Self::start_at(&self.data, &self.address.to_string(), &[])?;
        Ok(())
    }

    /// Starts it at an address, with more arguments of `serve`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_at(data: &Path, listen: &str, more: &[&str]) -> Result<Self, Failure> {
        let mut child = Self::on(data)?
            .args(["serve", "--listen", listen])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Self::log_of(data)?)
            .spawn()
            .map_err(|error| format!("the server does not start: {error}"))?;
        let printed = child.stdout.take().ok_or("the server has no output")?;
        let mut address = None;
        let mut pin = None;
        for line in BufReader::new(printed).lines().map_while(Result::ok) {
            if let Some(rest) = line.split("://").nth(1) {
                address = rest.split([' ', '/']).next().and_then(|text| text.parse().ok());
            }
            if let Some(rest) = line.strip_prefix("root pin: ") {
                pin = Some(rest.trim().to_owned());
            }
            if let (Some(address), Some(pin)) = (address, &pin) {
                return Ok(Self { data: data.to_path_buf(), child, address, pin: pin.clone() });
            }
        }
        let _ = child.kill();
        Err(format!("the server ended before it listened (data in {})", data.display()))
    }

    /// An administrator's command while it runs.
    ///
    /// # Errors
    /// What the command printed when it failed.
    pub fn administer(&self, arguments: &[&str]) -> Result<String, Failure> {
        Self::command(&self.data, arguments)
    }

    /// Ends it at once, as a power cut does.
    ///
    /// # Errors
    /// When the system does not let it end.
    pub fn end(&mut self) -> Result<(), Failure> {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        ended.map(|_| ()).map_err(|error| format!("the server does not end: {error}"))
    }

    /// Its process id.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Leaves it running when this value goes away; returns the process id.
    #[must_use]
    pub fn leave_running(mut self) -> u32 {
        let id = self.process();
        // A finished child in its place keeps `drop` from ending the server.
        if let Ok(finished) = Command::new("true").spawn() {
            drop(std::mem::replace(&mut self.child, finished));
        }
        id
    }
}

/// A headless phone behind its own line.
pub struct Phone {
    /// Who carries it.
    pub user: String,
    /// Its folder.
    pub home: PathBuf,
    /// Its line to the server.
    pub line: Proxy,
    /// What it believes the time is, where that is not the machine's.
    clock: Option<String>,
    /// Program and arguments that start its commands, where that is not the command itself.
    launcher: Vec<String>,
}

impl Phone {
    /// Enrols a new phone for `user` over a good line.
    ///
    /// # Errors
    /// When server or phone refuse.
    pub async fn enrol(server: &Server, home: PathBuf, user: &str) -> Result<Self, Failure> {
        let phone = Self::unenrolled(server, home, user).await?;
        let printed = server.administer(&["device", "enrol", user])?;
        let link = printed
            .split_whitespace()
            .find(|word| word.starts_with("fieldbook://"))
            .ok_or_else(|| format!("no link in: {printed}"))?;
        let query = link.split_once("/enrol").map(|(_, query)| query).ok_or("a link without /enrol")?;
        phone.run(&["enrol", &format!("fieldbook://{}/enrol{query}", phone.line.address())]).await?;
        Ok(phone)
    }

    /// A phone with a good line, before its first enrolment.
    ///
    /// # Errors
    /// When no line can be had.
    pub async fn unenrolled(server: &Server, home: PathBuf, user: &str) -> Result<Self, Failure> {
        let line = Proxy::start(server.address, Line::default()).await.map_err(|error| error.to_string())?;
        Ok(Self { user: user.to_owned(), home, line, clock: None, launcher: Vec::new() })
    }

    /// The same phone with a clock that shows `clock` (`YYYY-MM-DDTHH:MM:SSZ`) whenever a command starts.
    #[must_use]
    pub fn with_clock(mut self, clock: &str) -> Self {
        self.clock = Some(clock.to_owned());
        self
    }

    /// The same phone, its commands started by `launcher`: a program and its first arguments, behind which program and
    /// arguments of the phone follow.
    #[must_use]
    pub fn launched_by(mut self, launcher: Vec<String>) -> Self {
        self.launcher = launcher;
        self
    }

    fn command(&self, arguments: &[&str]) -> Result<Command, Failure> {
        let own = program("fieldbook-phone")?;
        let mut command = match self.launcher.split_first() {
            None => Command::new(own),
            Some((launcher, first)) => {
                let mut command = Command::new(launcher);
                command.args(first).arg(own);
                command
            }
        };
        command.arg("--home").arg(&self.home).args(arguments);
        if let Some(clock) = &self.clock {
            command.env("FIELDBOOK_CLOCK", clock);
        }
        Ok(command)
    }

    /// Runs one command of the phone and returns what it printed.
    ///
    /// # Errors
    /// What it printed when it failed.
    pub async fn run(&self, arguments: &[&str]) -> Result<String, Failure> {
        let mut command = self.command(arguments)?;
        tokio::task::spawn_blocking(move || run(&mut command)).await.map_err(|error| error.to_string())?
    }

    /// Feeds lines to `import KIND` or `edit` and returns what was printed.
    ///
    /// # Errors
    /// What the phone printed when it failed.
    pub async fn feed(&self, arguments: &[&str], lines: &[String]) -> Result<String, Failure> {
        let file = self.home.with_extension("ndjson");
        std::fs::write(&file, lines.join("\n") + "\n").map_err(|error| error.to_string())?;
        let path = file.to_string_lossy().into_owned();
        let mut all = arguments.to_vec();
        all.push(&path);
        let printed = self.run(&all).await;
        std::fs::remove_file(&file).map_err(|error| error.to_string())?;
        printed
    }

    /// Syncs until all is done and returns the report of the last `sync --json`; breaks of the line are retried.
    ///
    /// # Errors
    /// When it still fails after several tries.
    pub async fn sync(&self) -> Result<Vec<Value>, Failure> {
        const TRIES_MAX: usize = 5;
        let mut reports = Vec::new();
        let mut last = String::new();
        for _ in 0..TRIES_MAX {
            let mut command = self.command(&["sync", "--json"])?;
            command.stderr(Stdio::inherit());
            let output = tokio::task::spawn_blocking(move || command.output())
                .await
                .map_err(|error| error.to_string())?
                .map_err(|error| error.to_string())?;
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            if let Some(report) = printed.lines().rev().find_map(|line| serde_json::from_str(line).ok()) {
                reports.push(report);
            }
            if output.status.success() {
                return Ok(reports);
            }
            last = printed;
        }
        Err(format!("{} could not sync: {last}", self.user))
    }

    /// All records of a kind, as `export` prints them.
    ///
    /// # Errors
    /// When the phone refuses.
    pub async fn export(&self, kind: &str) -> Result<Vec<Value>, Failure> {
        let printed = self.run(&["export", kind]).await?;
        printed.lines().map(|line| serde_json::from_str(line).map_err(|error| error.to_string())).collect()
    }
}
