//! What takes long: 20,000 records on a phone, and idle exchanges of a server with ten times as many.

use std::path::Path;
use std::time::Instant;

use fieldbook_tests::bench::{enrolled, fill, server_with_twenty_feeds, synced};
use fieldbook_tests::demo::stage::{Failure, Phone};
use serde::Serialize;
use tokio::runtime::Runtime;

use super::cost::{Cost, FIRST_OF, measured};
use super::server::{close, idle_cpu_ms};

/// Records of the first download, and of the first idle exchanges.
pub const RECORDS: u32 = 20_000;
/// Records of the second idle exchanges.
pub const MANY_RECORDS: u32 = 200_000;
/// Records between two syncs of the phone that makes them.
const STEP: u32 = 20_000;

/// The figures.
#[derive(Clone, Debug, Serialize)]
pub struct Large {
    /// A phone process fetches all 20,000, unshaped.
    pub first_download: Cost,
    /// CPU of the server for an idle exchange, milliseconds, with 20,000 records.
    pub idle_ms: f64,
    /// The same with 200,000.
    pub idle_many_ms: f64,
    pub fill_seconds: f64,
}

/// Measures; half an hour, most of which is the filling.
pub fn run(runtime: &Runtime, folder: &Path) -> Result<Large, Failure> {
    let server = server_with_twenty_feeds(folder)?;
    let phone = enrolled(&server, &folder.join("phone-county"), "county")?;
    let start = Instant::now();
    fill(&phone, 1, 0..RECORDS)?;
    synced(&phone)?;
    println!("  {RECORDS} records made and sent in {:.0} s", start.elapsed().as_secs_f64());
    let idle_ms = idle_cpu_ms(&server, &phone)?;
    let first_download = runtime.block_on(async {
        let b = Phone::enrol(&server, folder.join("b"), "b").await?;
        measured(&server, &b, FIRST_OF, None).await
    })?;
    let mut many = RECORDS;
    let start = Instant::now();
    while many < MANY_RECORDS {
        fill(&phone, 1, many..many + STEP)?;
        many += STEP;
        synced(&phone)?;
        println!("  {many} records after {:.0} s", start.elapsed().as_secs_f64());
    }
    let fill_seconds = start.elapsed().as_secs_f64();
    let idle_many_ms = idle_cpu_ms(&server, &phone)?;
    close(phone)?;
    Ok(Large { first_download, idle_ms, idle_many_ms, fill_seconds })
}
