//! What a phone with much to send costs another one.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fieldbook_core::client::{Fieldbook, Patch};
use fieldbook_tests::bench::{enrolled, fill, synced};
use fieldbook_tests::demo::stage::{Failure, Server};
use fieldbook_tests::meter::Meter;
use fieldbook_tests::workload;
use serde::Serialize;

use super::report::{Target, figure, kilo, median, targets};
use super::server::{close, patch};

/// Changes that the large phone has to send.
const UNSENT: u32 = 20_000;
/// Records of the small phone.
const OWN: u32 = 100;
/// Exchanges of the small phone that are measured alone.
const ALONE: usize = 40;
/// Exchanges of the small phone at least while the large one sends.
const BESIDE_MIN: usize = 40;
/// Between two exchanges of the small phone.
const PAUSE_MS: u64 = 50;

/// The figures.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Beside {
    /// Median of a sync of one edit, milliseconds, with nobody else there.
    pub alone_ms: f64,
    /// The same while the large phone sends.
    pub beside_ms: f64,
    /// Syncs behind `beside_ms`.
    pub syncs: usize,
    /// How long the large phone took, seconds.
    pub large_s: f64,
    /// Largest resident size of the server.
    pub peak_kb: u64,
}

/// One edit, synced; milliseconds of the sync.
fn one(phone: &Fieldbook, seed: u32, round: u32) -> Result<f64, Failure> {
    let edits: Vec<Patch> =
        workload::edits(seed, round, [round % OWN]).iter().map(|line| patch(line)).collect::<Result<_, _>>()?;
    for saved in phone.edit(&edits).map_err(|error| error.to_string())? {
        saved.map_err(|error| error.to_string())?;
    }
    let start = Instant::now();
    let report = synced(phone)?;
    if report.changes_sent != 1 {
        return Err(format!("{} changes sent instead of one", report.changes_sent));
    }
    Ok(start.elapsed().as_secs_f64() * 1_000.0)
}

fn beside(small: &Fieldbook, large: &Fieldbook, seed: u32) -> Result<(f64, Vec<f64>), Failure> {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let start = Instant::now();
            let sent = synced(large).map(|report| report.changes_sent);
            ended.store(true, Ordering::SeqCst);
            sent.map(|sent| (sent, start.elapsed().as_secs_f64()))
        });
        let mut times_ms = Vec::new();
        while !ended.load(Ordering::SeqCst) {
            times_ms.push(one(small, seed, 1_000 + times_ms.len() as u32)?);
            std::thread::sleep(Duration::from_millis(PAUSE_MS));
        }
        let (sent, seconds) = sending.join().map_err(|_| "the large phone failed")??;
        if sent != u64::from(UNSENT) || times_ms.len() < BESIDE_MIN {
            return Err(format!("{sent} changes sent, {} syncs beside", times_ms.len()));
        }
        Ok((seconds, times_ms))
    })
}

/// Measures on a copy of a seeded server's data.
pub fn run(data: &Path, homes: &Path, seed: u32) -> Result<Beside, Failure> {
    let server = Server::start(data)?;
    let watch = Meter::start(server.process())?;
    // The small one does not follow the feeds that the large one writes: only the server is between them.
    let small = enrolled(&server, &homes.join("small"), "field-12")?;
    fill(&small, seed + 300, 0..OWN)?;
    synced(&small)?;
    let large = enrolled(&server, &homes.join("large"), "field-11")?;
    fill(&large, seed + 100, 0..UNSENT)?;
    println!("  a phone with {UNSENT} changes to send");
    one(&small, seed + 300, 0)?;
    let alone: Vec<f64> = (1..=ALONE as u32).map(|round| one(&small, seed + 300, round)).collect::<Result<_, _>>()?;
    let (large_s, times_ms) = beside(&small, &large, seed + 300)?;
    close(small)?;
    close(large)?;
    Ok(Beside {
        alone_ms: median(alone),
        syncs: times_ms.len(),
        beside_ms: median(times_ms),
        large_s,
        peak_kb: watch.end()?.peak_kb,
    })
}

impl Beside {
    /// What is wanted.
    pub fn targets(&self) -> Vec<Target> {
        let unsent = figure(f64::from(UNSENT));
        let what = format!("a sync of one edit beside a phone with {unsent} changes to send, alone = 100");
        vec![Target::at_most(what, self.beside_ms * 100.0 / self.alone_ms, "%", 200.0)]
    }

    /// The section of the page.
    pub fn section(&self, machine: &str) -> String {
        let Self { alone_ms, beside_ms, syncs, large_s, peak_kb } = *self;
        let text = format!(
            "A sync of one edit took {} ms alone, and {} ms while another phone sent {} changes, which took {} s (medians; \
             {} syncs meanwhile). Phones and server shared the machine's cores. Largest resident size of the server: {} \
             MB.\n",
            figure(alone_ms),
            figure(beside_ms),
            figure(f64::from(UNSENT)),
            figure(large_s),
            figure(syncs as f64),
            kilo(peak_kb as f64),
        );
        [format!("{machine}\n"), targets(&self.targets()), text].join("\n")
    }
}
