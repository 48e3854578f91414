//! One server process and two on one PostgreSQL.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use fieldbook_core::client::Fieldbook;
use fieldbook_tests::bench::{enrolled, fill, server_with_twenty_feeds, synced};
use fieldbook_tests::demo::stage::{Failure, Server};
use fieldbook_tests::meter::Meter;
use fieldbook_tests::postgres::{self, Postgres};
use fieldbook_tests::workload;
use serde::Serialize;

use super::report::{Target, figure, targets};
use super::server::{close, patch};

/// Phones at once, each of a township of its own; in the second run each other one goes to the second process.
const PHONES: u32 = 8;
/// Records of each, and what each changes in an exchange.
const RECORDS: u32 = 40;
const EDITS: u32 = 5;
/// Exchanges of each phone in a run, and before the first.
const EXCHANGES: u32 = 30;
const WARM_UP: u32 = 3;

/// One run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Run {
    /// Exchanges a second, all phones together.
    pub rate: f64,
    /// CPU of all server processes an exchange, milliseconds.
    pub cpu_ms: f64,
}

/// The figures.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Processes {
    /// All phones at one process.
    pub one: Run,
    /// Half of them at a second one.
    pub two: Run,
}

/// Edits and syncs, `exchanges` times.
fn work(phone: &Fieldbook, seed: u32, exchanges: std::ops::Range<u32>) -> Result<(), Failure> {
    for round in exchanges {
        let indices = (0..EDITS).map(|at| (round * EDITS + at) % RECORDS);
        let edits: Vec<_> =
            workload::edits(seed, round, indices).iter().map(|line| patch(line)).collect::<Result<_, _>>()?;
        for saved in phone.edit(&edits).map_err(|error| error.to_string())? {
            saved.map_err(|error| error.to_string())?;
        }
        let report = synced(phone)?;
        if (report.changes_sent, report.not_taken) != (u64::from(EDITS), 0) {
            return Err(format!("{} changes sent, {} not taken", report.changes_sent, report.not_taken));
        }
    }
    Ok(())
}

fn all(phones: &[(u32, Arc<Fieldbook>)], exchanges: &std::ops::Range<u32>) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let working: Vec<_> =
            phones.iter().map(|(seed, phone)| scope.spawn(|| work(phone, *seed, exchanges.clone()))).collect();
        working.into_iter().try_for_each(|one| one.join().map_err(|_| "a phone failed")?)
    })
}

fn run(servers: &[&Server], folder: &Path, first_seed: u32) -> Result<Run, Failure> {
    let mut phones = Vec::new();
    for (number, server) in (0..PHONES).zip(servers.iter().cycle()) {
        let seed = first_seed + number;
        let phone = enrolled(server, &folder.join(format!("of-{seed}")), &format!("field-1{}", number + 1))?;
        fill(&phone, seed, 0..RECORDS)?;
        synced(&phone)?;
        phones.push((seed, phone));
    }
    all(&phones, &(0..WARM_UP))?;
    let meters = servers.iter().map(|server| Meter::start(server.process())).collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    all(&phones, &(WARM_UP..WARM_UP + EXCHANGES))?;
    let seconds = start.elapsed().as_secs_f64();
    let used = meters.iter().map(Meter::end).collect::<Result<Vec<_>, _>>()?;
    let cpu_ms: f64 = used.iter().map(|used| used.cpu_ms).sum();
    for (_, phone) in phones {
        close(phone)?;
    }
    let exchanges = f64::from(PHONES * EXCHANGES);
    Ok(Run { rate: exchanges / seconds, cpu_ms: cpu_ms / exchanges })
}

/// Measures both.
pub fn measure(folder: &Path) -> Result<Processes, Failure> {
    let postgres = Postgres::start()?;
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let data = folder.join("server");
    std::fs::write(data.with_extension("database"), postgres::database(&postgres.address)?)
        .map_err(|error| error.to_string())?;
    let first = server_with_twenty_feeds(folder)?;
    let second = Server::start(&data)?;
    let one = run(&[&first], folder, 400)?;
    let two = run(&[&first, &second], folder, 500)?;
    Ok(Processes { one, two })
}

impl Processes {
    /// What is wanted.
    pub fn targets(&self) -> Vec<Target> {
        let by_cpu = 2.0 * self.one.cpu_ms / self.two.cpu_ms;
        let what = "exchanges of two processes by what each costs them, one process = 1";
        vec![Target::at_least(what, by_cpu, "", 1.7)]
    }

    /// The section of the page.
    pub fn section(&self, machine: &str) -> String {
        let Self { one, two } = *self;
        let text = format!(
            "{PHONES} phones at once, each of a township of its own, each exchange with {EDITS} changes: {} exchanges a second \
             and {} ms of the server's CPU each with one process, {} and {} ms with two. Phones, processes and PostgreSQL shared \
             the machine's cores.\n",
            figure(one.rate),
            figure(one.cpu_ms),
            figure(two.rate),
            figure(two.cpu_ms),
        );
        [format!("{machine}\n"), targets(&self.targets()), text].join("\n")
    }
}
