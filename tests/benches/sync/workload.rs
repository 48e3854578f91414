//! The measured workload: every seed on three lines, and what is worked out from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fieldbook_core::sync::frames::LEVEL_SMALL;
use fieldbook_tests::demo::stage::Failure;
use fieldbook_tests::proxy::Line;
use fieldbook_tests::workload::{Day, day, day_with_random_notes};
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::cage::Cage;
use super::cost::{Cost, copied, seeded};
use super::day::{Extent, Held, Measured, Scenario, play};
use super::report::median;

/// 300 ms each way, as fast as the machine.
const FAR: Line = Line { bits_per_s: 0, delay_ms: 300, cut_after_bytes: 0, cut_each_after_bytes: 0 };
/// 60 kbit/s and 300 ms each way.
const SLOW: Line = Line { bits_per_s: 60_000, delay_ms: 300, cut_after_bytes: 0, cut_each_after_bytes: 0 };
/// Seconds of a round trip on both.
const ROUND_TRIP_S: f64 = 0.6;

/// S3 with random notes, beside the same edits as bare JSON under the same compression.
#[derive(Clone, Debug, Serialize)]
pub struct Bare {
    pub http: u64,
    pub json: u64,
}

impl Bare {
    /// HTTP in percent of the JSON.
    pub fn percent(&self) -> f64 {
        self.http as f64 * 100.0 / self.json as f64
    }
}

/// Everything measured, seed by seed.
#[derive(Serialize)]
pub struct Workload {
    pub n: u32,
    pub seeds: u32,
    pub unshaped: Vec<Measured>,
    pub far: Vec<Measured>,
    pub slow: Vec<Measured>,
    pub random: Vec<Bare>,
    pub plain: Vec<Bare>,
    /// S1 to S3 of seed 1 on the slow line, a tenth of a core and 256 MB; or why not.
    pub cheap: Result<Measured, String>,
}

/// A row of the table: medians over the seeds.
pub struct Row {
    pub scenario: Scenario,
    pub http_up: f64,
    pub http_down: f64,
    pub http: f64,
    pub wire: f64,
    pub requests: f64,
    /// By the peers' rule; `None` where the phone was not on the line.
    pub round_trips: Option<f64>,
    pub slow_s: Option<f64>,
    pub unshaped_s: f64,
    pub phone_cpu_ms: f64,
    pub server_cpu_ms: f64,
    pub phone_peak_kb: f64,
    pub server_peak_kb: f64,
}

/// The day's edits as JSON lines, each direction one zstd stream at the level that the product uses for small answers.
fn bare_json(day: &Day) -> Result<u64, Failure> {
    let up: Vec<&str> = day.mine.iter().chain(&day.new).map(String::as_str).collect();
    let down: Vec<&str> = day.others.iter().map(String::as_str).collect();
    let mut bytes = 0;
    for lines in [up, down] {
        let packed = zstd::bulk::compress(lines.join("\n").as_bytes(), LEVEL_SMALL);
        bytes += packed.map_err(|error| error.to_string())?.len() as u64;
    }
    Ok(bytes)
}

fn over(measured: &[Measured], scenario: Scenario, of: impl Fn(&Cost) -> f64) -> f64 {
    median(measured.iter().filter_map(|one| one.costs.get(&scenario)).map(of).collect())
}

impl Workload {
    /// The table's rows.
    pub fn rows(&self) -> Vec<Row> {
        let scenarios = self.unshaped.first().map(|one| one.costs.keys().copied().collect::<Vec<_>>());
        scenarios.unwrap_or_default().into_iter().map(|scenario| self.row(scenario)).collect()
    }

    pub fn row(&self, scenario: Scenario) -> Row {
        let unshaped = |of: fn(&Cost) -> f64| over(&self.unshaped, scenario, of);
        let unshaped_s = unshaped(|cost| cost.seconds);
        let on_the_line = !matches!(scenario, Scenario::Incoming | Scenario::FirstOfAll);
        let far_s = over(&self.far, scenario, |cost| cost.seconds);
        Row {
            scenario,
            http_up: unshaped(|cost| cost.http_up as f64),
            http_down: unshaped(|cost| cost.http_down as f64),
            http: unshaped(|cost| cost.http() as f64),
            wire: unshaped(|cost| cost.wire() as f64),
            requests: unshaped(|cost| cost.requests as f64),
            round_trips: on_the_line.then(|| ((far_s - unshaped_s) / ROUND_TRIP_S).round()),
            slow_s: on_the_line.then(|| over(&self.slow, scenario, |cost| cost.seconds)),
            unshaped_s,
            phone_cpu_ms: unshaped(|cost| cost.phone_cpu_ms),
            server_cpu_ms: unshaped(|cost| cost.server_cpu_ms),
            phone_peak_kb: unshaped(|cost| cost.phone_peak_kb as f64),
            server_peak_kb: unshaped(|cost| cost.server_peak_kb as f64),
        }
    }

    /// Every measured sync.
    pub fn costs(&self) -> impl Iterator<Item = &Cost> {
        let all = self.unshaped.iter().chain(&self.far).chain(&self.slow).chain(self.cheap.iter());
        all.flat_map(|one| one.costs.values())
    }

    /// What of the day was kept, in the worst of all runs.
    pub fn held(&self) -> Held {
        let all = self.unshaped.iter().chain(&self.far).chain(&self.slow).chain(self.cheap.iter());
        all.map(|one| one.held).reduce(Held::worse).unwrap_or_default()
    }

    /// Seconds to the first listed record in S1 on the slow line.
    pub fn first_listed_s(&self) -> f64 {
        over(&self.slow, Scenario::FirstDownload, |cost| cost.first_listed_s.unwrap_or(f64::INFINITY))
    }
}

/// Where a seed's server data lie, and where copies go.
struct Seeded {
    seed: u32,
    data: PathBuf,
    folder: PathBuf,
}

impl Seeded {
    async fn play(&self, name: &str, n: u32, line: Line, day: &Day, extent: Extent) -> Result<Measured, Failure> {
        self.play_by(name, n, line, day, extent, Vec::new()).await
    }

    async fn play_by(
        &self,
        name: &str,
        n: u32,
        line: Line,
        day: &Day,
        extent: Extent,
        launcher: Vec<String>,
    ) -> Result<Measured, Failure> {
        let folder = self.folder.join(name);
        copied(&self.data, &folder.join("server"))?;
        let measured = play(&folder.join("server"), &folder, (self.seed, n), line, day, extent, launcher).await;
        let done = measured.map_err(|error| format!("seed {}, {name}: {error}", self.seed))?;
        std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
        Ok(done)
    }
}

/// All seeds at once: the line is what they wait for. With them, the cheap phone.
async fn slow(seeds: &[Seeded], n: u32) -> Result<(Vec<Measured>, Result<Measured, String>), Failure> {
    let mut runs = JoinSet::new();
    for seeded in seeds {
        let seeded = Seeded { seed: seeded.seed, data: seeded.data.clone(), folder: seeded.folder.clone() };
        runs.spawn(async move {
            let day = day(seeded.seed, n);
            seeded.play("slow", n, SLOW, &day, Extent::Whole).await.map(|measured| (seeded.seed, measured))
        });
    }
    let cheap = match (Cage::make(), seeds.first()) {
        (Ok(cage), Some(seeded)) => {
            let day = day(seeded.seed, n);
            seeded.play_by("cheap", n, SLOW, &day, Extent::UntilDay, cage.launcher()).await
        }
        (Err(why), _) => Err(why),
        (_, None) => Err("no seed".to_owned()),
    };
    let mut done = BTreeMap::new();
    while let Some(run) = runs.join_next().await {
        let (seed, measured) = run.map_err(|error| error.to_string())??;
        done.insert(seed, measured);
    }
    Ok((done.into_values().collect(), cheap))
}

/// Measures seeds 1 to `seeds` with `n` records each.
pub fn run(runtime: &Runtime, folder: &Path, n: u32, seeds: u32) -> Result<Workload, Failure> {
    let mut prepared = Vec::new();
    for seed in 1..=seeds {
        let folder = folder.join(format!("seed-{seed}"));
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        println!("  seed {seed}: a server with {n} records");
        prepared.push(Seeded { seed, data: seeded(&folder, seed, n)?, folder });
    }
    let (mut unshaped, mut far, mut random, mut plain) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for seeded in &prepared {
        println!("  seed {}: unshaped, then 300 ms each way", seeded.seed);
        let ordinary = day(seeded.seed, n);
        let measured = runtime.block_on(seeded.play("unshaped", n, Line::default(), &ordinary, Extent::Whole))?;
        plain.push(Bare { http: measured.costs[&Scenario::Day].http(), json: bare_json(&ordinary)? });
        unshaped.push(measured);
        far.push(runtime.block_on(seeded.play("far", n, FAR, &ordinary, Extent::Whole))?);
        let rare = day_with_random_notes(seeded.seed, n);
        let measured = runtime.block_on(seeded.play("random", n, Line::default(), &rare, Extent::UntilDay))?;
        random.push(Bare { http: measured.costs[&Scenario::Day].http(), json: bare_json(&rare)? });
    }
    println!("  all seeds at 60 kbit/s, each on a line of its own");
    let (slow, cheap) = runtime.block_on(slow(&prepared, n))?;
    Ok(Workload { n, seeds, unshaped, far, slow, random, plain, cheap })
}
