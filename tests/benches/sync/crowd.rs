//! Many phones at one server: what one with much to send costs another, and fifty that come in one moment.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fieldbook_core::client::{Fieldbook, Patch};
use fieldbook_tests::bench::{enrolled, fill, synced};
use fieldbook_tests::demo::stage::{Failure, Server};
use fieldbook_tests::meter::Meter;
use fieldbook_tests::workload;
use serde::Serialize;

use super::report::median;
use super::server::{close, patch};

/// Changes that the large phone has to send.
pub const UNSENT: u32 = 20_000;
/// Records of the small phone.
const OWN: u32 = 100;
/// Exchanges of the small phone that are measured alone.
const ALONE: usize = 40;
/// Exchanges of the small phone at least while the large one sends.
const BESIDE_MIN: usize = 40;
/// Between two exchanges of the small phone.
const PAUSE_MS: u64 = 50;
/// Phones that come at once, and what each has to send.
pub const PHONES: usize = 50;
const EDITS: u32 = 5;

/// The figures.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Crowd {
    /// Median of a sync of one edit, milliseconds, with nobody else there.
    pub alone_ms: f64,
    /// The same while the large phone sends.
    pub beside_ms: f64,
    /// Syncs behind `beside_ms`.
    pub beside: usize,
    /// How long the large phone took, seconds.
    pub large_s: f64,
    /// The fifty: until the first and until the last had sent and got everything, seconds.
    pub first_s: f64,
    pub last_s: f64,
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

/// Seconds from the moment when all begin to that when each has ended.
fn arrive(phones: &[Arc<Fieldbook>]) -> Result<Vec<f64>, Failure> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let all: Vec<_> = phones
            .iter()
            .map(|phone| scope.spawn(move || synced(phone).map(|_| start.elapsed().as_secs_f64())))
            .collect();
        all.into_iter().map(|one| one.join().map_err(|_| "a phone failed".to_owned())?).collect()
    })
}

/// The fifty phones: seconds until each had ended, ascending.
fn fifty(server: &Server, homes: &Path, seed: u32) -> Result<Vec<f64>, Failure> {
    println!("  {PHONES} phones");
    let phones: Vec<Arc<Fieldbook>> = (0..PHONES)
        .map(|number| enrolled(server, &homes.join(format!("one-of-fifty-{number}")), "field-11"))
        .collect::<Result<_, _>>()?;
    for (number, phone) in (0..).zip(&phones) {
        fill(phone, seed + 200 + number, 0..EDITS)?;
    }
    let mut ended = arrive(&phones)?;
    ended.sort_by(f64::total_cmp);
    for phone in phones {
        close(phone)?;
    }
    Ok(ended)
}

/// Measures on a copy of a seeded server's data.
pub fn run(data: &Path, homes: &Path, seed: u32) -> Result<Crowd, Failure> {
    let server = Server::start(data)?;
    let watch = Meter::start(server.process())?;
    // First, while a first download is of N records only.
    let ended = fifty(&server, homes, seed)?;
    // The small one does not follow the feeds that the large one writes: only the server is between them.
    let small = enrolled(&server, &homes.join("small"), "field-12")?;
    let small_seed = seed + 300;
    fill(&small, small_seed, 0..OWN)?;
    synced(&small)?;
    let large = enrolled(&server, &homes.join("large"), "b")?;
    fill(&large, seed + 100, 0..UNSENT)?;
    println!("  a phone with {UNSENT} changes to send");
    one(&small, small_seed, 0)?;
    let alone: Vec<f64> = (1..=ALONE as u32).map(|round| one(&small, small_seed, round)).collect::<Result<_, _>>()?;
    let (large_s, times_ms) = beside(&small, &large, small_seed)?;
    close(small)?;
    close(large)?;
    Ok(Crowd {
        alone_ms: median(alone),
        beside: times_ms.len(),
        beside_ms: median(times_ms),
        large_s,
        first_s: ended[0],
        last_s: ended[ended.len() - 1],
        peak_kb: watch.end()?.peak_kb,
    })
}
