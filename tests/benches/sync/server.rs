//! What changes and idle exchanges cost the server: its CPU alone, the phones run in this process.

use std::path::Path;
use std::sync::Arc;

use fieldbook_core::client::{Fieldbook, Patch};
use fieldbook_tests::bench::{enrolled, synced};
use fieldbook_tests::demo::stage::{Failure, Server};
use fieldbook_tests::meter::Meter;
use fieldbook_tests::workload;
use serde::Serialize;
use serde_json::Value;

/// Records that one exchange changes, and the changes to them.
const CHANGED_RECORDS: u32 = 100;
const CHANGES: u32 = 105;
/// Exchanges before what is measured.
const WARM_UP: u32 = 2;
/// Measured exchanges that change other records each time; at N = 2,000 each record once.
const SPREAD_EXCHANGES: u32 = 20;
/// Measured exchanges whose records were changed by as many exchanges before, so that they are in memory.
const KNOWN_EXCHANGES: u32 = 10;
/// Idle exchanges that are measured as one, and how often.
const IDLE_EXCHANGES: u32 = 200;
const IDLE_ROUNDS: usize = 5;

/// The server part's figures.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rates {
    /// Changed records a CPU second of the server, other records in each exchange.
    pub spread: f64,
    /// The same for records that the server has in memory.
    pub known: f64,
    pub peak_kb: u64,
}

/// A line of the workload's edits as a patch.
pub fn patch(line: &str) -> Result<Patch, Failure> {
    let line: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let id = line["id"].as_str().and_then(|id| id.parse().ok()).ok_or("an edit without id")?;
    let map = |key: &str| line[key].as_object().cloned().unwrap_or_default();
    Ok(Patch { id, set: map("set"), add: map("add"), remove: serde_json::Map::new(), submit: false })
}

/// One exchange of 105 changes over 100 records; returns the server's CPU in milliseconds.
fn exchange(server: &Server, phone: &Fieldbook, (seed, round): (u32, u32), first: u32, n: u32) -> Result<f64, Failure> {
    let again = CHANGES - CHANGED_RECORDS;
    let indices = (0..CHANGED_RECORDS).chain(0..again).map(|number| (first + number) % n);
    let patches =
        workload::edits(seed, round, indices).iter().map(|line| patch(line)).collect::<Result<Vec<_>, _>>()?;
    for saved in phone.edit(&patches).map_err(|error| error.to_string())? {
        saved.map_err(|error| error.to_string())?;
    }
    let meter = Meter::start(server.process())?;
    let report = synced(phone)?;
    let used = meter.end()?;
    if (report.changes_sent, report.not_taken) != (u64::from(CHANGES), 0) {
        return Err(format!("{} changes were taken, {} were not", report.changes_sent, report.not_taken));
    }
    Ok(used.cpu_ms)
}

/// Measures both rates on a copy of a seeded server's data.
pub fn rates(data: &Path, homes: &Path, seed: u32, n: u32) -> Result<Rates, Failure> {
    let server = Server::start(data)?;
    let phone = enrolled(&server, &homes.join("a"), "a")?;
    let watch = Meter::start(server.process())?;
    let rate = |numbers: std::ops::Range<u32>, round: u32| -> Result<f64, Failure> {
        let exchanges = numbers.len() as u32;
        let mut cpu_ms = 0.0;
        for number in numbers {
            cpu_ms += exchange(&server, &phone, (seed, round), number * CHANGED_RECORDS, n)?;
        }
        Ok(f64::from(CHANGED_RECORDS * exchanges) * 1_000.0 / cpu_ms)
    };
    rate(0..WARM_UP, 1)?;
    let end = WARM_UP + SPREAD_EXCHANGES;
    let spread = rate(WARM_UP..end, 2)?;
    let known = rate(end - KNOWN_EXCHANGES..end, 3)?;
    let peak_kb = watch.end()?.peak_kb;
    close(phone)?;
    Ok(Rates { spread, known, peak_kb })
}

/// CPU of the server for an idle exchange on an open connection, milliseconds: median of a few rounds.
pub fn idle_cpu_ms(server: &Server, phone: &Fieldbook) -> Result<f64, Failure> {
    synced(phone)?;
    let mut rounds = Vec::new();
    for _ in 0..IDLE_ROUNDS {
        let meter = Meter::start(server.process())?;
        for _ in 0..IDLE_EXCHANGES {
            let report = synced(phone)?;
            if report.requests != 1 {
                return Err(format!("an idle sync took {} requests", report.requests));
            }
        }
        rounds.push(meter.end()?.cpu_ms / f64::from(IDLE_EXCHANGES));
    }
    Ok(super::report::median(rounds))
}

/// Closes a phone of this process.
pub fn close(phone: Arc<Fieldbook>) -> Result<(), Failure> {
    phone.close().map_err(|error| error.to_string())
}
