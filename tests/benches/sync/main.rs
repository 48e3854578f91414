//! `make bench-sync`: what syncing costs, with real server and phone processes on a line that shapes and counts. Writes
//! `target/bench-sync.json` and the measured sections of `docs/PERFORMANCE.md`. Nothing here fails a build.

mod beside;
mod cage;
mod connection;
mod cost;
mod crowd;
mod day;
mod large;
mod page;
mod peers;
mod processes;
mod report;
mod server;
mod workload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use fieldbook_tests::demo::stage::Failure;
use report::{Bound, Target};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

/// What the page shows; other runs only print.
const PAGE_RECORDS: u32 = 2_000;
const PAGE_SEEDS: u32 = 3;

/// What syncing costs; medians, JSON in target/bench-sync.json, tables in docs/PERFORMANCE.md.
#[derive(Parser)]
struct Arguments {
    /// Records of the workload; with another number nothing is written to the page.
    #[arg(long, default_value_t = PAGE_RECORDS)]
    n: u32,
    /// Seeds, from 1; with another number nothing is written to the page.
    #[arg(long, default_value_t = PAGE_SEEDS)]
    seeds: u32,
    /// Also what takes long: 20,000 and 200,000 records.
    #[arg(long)]
    full: bool,
    /// One part alone.
    #[arg(long)]
    only: Option<Part>,
    /// cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The scenarios, and the cheap phone.
    Workload,
    /// What changes cost the server.
    Server,
    /// What connections cost.
    Connection,
    /// Many phones at once.
    Crowd,
    /// A small phone beside a large one.
    Beside,
    /// One server process and two on one PostgreSQL.
    Processes,
    /// What takes long.
    Large,
}

/// What is measured without `--full`.
const EACH_TIME: [Part; 6] =
    [Part::Workload, Part::Connection, Part::Server, Part::Crowd, Part::Beside, Part::Processes];

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Server => "server",
            Self::Connection => "connection",
            Self::Crowd => "crowd",
            Self::Beside => "beside",
            Self::Processes => "processes",
            Self::Large => "large",
        }
    }
}

/// What one part says.
struct Said {
    section: String,
    json: Value,
}

fn targets_json(targets: &[Target]) -> Value {
    let one = |target: &Target| {
        let (bound, value) = match target.bound {
            Bound::AtMost(most) => ("at_most", most),
            Bound::AtLeast(least) => ("at_least", least),
        };
        json!({ "what": target.what, "measured": target.measured, "unit": target.unit, bound: value, "met": target.is_met() })
    };
    targets.iter().map(one).collect()
}

/// Cores and load: other work on the machine shows in the times.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().nth(2).unwrap_or("?").to_owned();
    let build = if cfg!(debug_assertions) { ", **debug build**" } else { "" };
    format!("Linux, {cores} cores{build}, load average over the last 15 minutes {load}.")
}

fn measure(part: Part, runtime: &Runtime, folder: &Path, arguments: &Arguments) -> Result<Said, Failure> {
    let (section, targets, figures) = match part {
        Part::Workload => {
            let workload = workload::run(runtime, folder, arguments.n, arguments.seeds)?;
            let targets = report::workload_targets(&workload);
            (report::workload_section(&workload, &machine()), targets, json!(workload))
        }
        Part::Server => {
            let data = cost::seeded(folder, 1, arguments.n)?;
            let rates = server::rates(&data, folder, 1, arguments.n)?;
            (report::server_section(&rates, &machine()), report::server_targets(&rates), json!(rates))
        }
        Part::Connection => {
            let data = cost::seeded(folder, 1, arguments.n)?;
            let connections = connection::run(runtime, &data, folder)?;
            (connection::section(&connections, &machine()), Vec::new(), json!(connections))
        }
        Part::Crowd => {
            let data = cost::seeded(folder, 1, arguments.n)?;
            let crowd = crowd::run(&data, folder, 1)?;
            (crowd.section(&machine()), Vec::new(), json!(crowd))
        }
        Part::Beside => {
            let data = cost::seeded(folder, 1, arguments.n)?;
            let beside = beside::run(&data, folder, 1)?;
            (beside.section(&machine()), beside.targets(), json!(beside))
        }
        Part::Processes => {
            let processes = processes::measure(folder)?;
            (processes.section(&machine()), processes.targets(), json!(processes))
        }
        Part::Large => {
            let large = large::run(runtime, folder)?;
            (report::large_section(&large, &machine()), report::large_targets(&large), json!(large))
        }
    };
    Ok(Said { section, json: json!({ "targets": targets_json(&targets), "figures": figures }) })
}

/// Puts a part's figures beside those of other parts that an earlier run measured.
fn store(part: Part, said: &Said) -> Result<(), Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-sync.json");
    let earlier =
        std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Map<String, Value>>(&text).ok());
    let mut all = earlier.unwrap_or_default();
    all.insert(part.name().to_owned(), said.json.clone());
    std::fs::write(&path, Value::Object(all).to_string()).map_err(|error| format!("{}: {error}", path.display()))
}

fn run(arguments: &Arguments, folder: &Path) -> Result<(), Failure> {
    let runtime = Runtime::new().map_err(|error| error.to_string())?;
    let parts = match (arguments.only, arguments.full) {
        (Some(part), _) => vec![part],
        (None, false) => EACH_TIME.to_vec(),
        (None, true) => EACH_TIME.into_iter().chain([Part::Large]).collect(),
    };
    let for_the_page = (arguments.n, arguments.seeds) == (PAGE_RECORDS, PAGE_SEEDS) && !cfg!(debug_assertions);
    for part in parts {
        println!("== {}", part.name());
        let start = Instant::now();
        let said = measure(part, &runtime, &folder.join(part.name()), arguments)?;
        println!("\n{}\n({} s)", said.section, report::figure(start.elapsed().as_secs_f64()));
        store(part, &said)?;
        if for_the_page {
            page::put(part.name(), &said.section)?;
        }
    }
    println!("(JSON in target/bench-sync.json)");
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let folder: PathBuf = std::env::temp_dir().join(format!("fieldbook-bench-sync-{}", std::process::id()));
    let done = run(&arguments, &folder);
    let _ = std::fs::remove_dir_all(&folder);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-sync: {error}");
            ExitCode::FAILURE
        }
    }
}
