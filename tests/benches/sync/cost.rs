//! What one sync of a phone process cost: by its own count, by the line's, and by the server's `/proc`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use fieldbook_tests::bench::{FEEDS, KIND, enrolled, fill, server_with_twenty_feeds, synced};
use fieldbook_tests::demo::stage::{Failure, Phone, Server};
use fieldbook_tests::meter::Meter;
use serde::Serialize;
use serde_json::Value;

/// Bytes that TLS 1.3 adds to a record: header, content type, tag.
const TLS_RECORD_BYTES: u64 = 22;
/// What a handshake may take, both ways: what crossed the line beyond the phone's count and the records' own bytes.
const HANDSHAKE_BYTES: std::ops::RangeInclusive<u64> = 200..=3_000;

/// One measured sync. Bytes of both directions; times in seconds or milliseconds, memory in kB, as named.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cost {
    /// HTTP without TLS, as the phone counts it.
    pub http_up: u64,
    pub http_down: u64,
    /// TCP payload with TLS, as the line counts it.
    pub wire_up: u64,
    pub wire_down: u64,
    pub tls_records: u64,
    pub connections: u64,
    pub requests: u64,
    pub breaks: u64,
    /// From the command's start to its end; of an edit's row, the edit too.
    pub seconds: f64,
    pub phone_cpu_ms: f64,
    pub phone_peak_kb: u64,
    pub server_cpu_ms: f64,
    pub server_peak_kb: u64,
    pub changes_sent: u64,
    pub changes_received: u64,
    /// Changes that travelled transcoded, and raw, in both directions.
    pub changes_transcoded: u64,
    pub changes_raw: u64,
    /// From the sync's start to the first record that could be listed; only in a first download.
    pub first_listed_s: Option<f64>,
}

impl Cost {
    /// HTTP of both directions.
    pub fn http(&self) -> u64 {
        self.http_up + self.http_down
    }

    /// TCP payload of both directions.
    pub fn wire(&self) -> u64 {
        self.wire_up + self.wire_down
    }

    /// What the line carried beyond the phone's count and 22 bytes a TLS record: the handshakes.
    pub fn handshake_bytes(&self) -> Option<u64> {
        self.wire().checked_sub(self.http() + TLS_RECORD_BYTES * self.tls_records)
    }

    /// The two counts agree: what is left fits a handshake a connection.
    pub fn counts_agree(&self) -> bool {
        let each = self.handshake_bytes().and_then(|bytes| bytes.checked_div(self.connections));
        each.is_some_and(|bytes| HANDSHAKE_BYTES.contains(&bytes))
    }
}

/// Runs `sync` of the phone as a process and measures it; `before` is run first, inside the seconds.
pub async fn measured(
    server: &Server,
    phone: &Phone,
    first_of: Option<&str>,
    before: Option<(&[&str], &[String])>,
) -> Result<Cost, Failure> {
    let line = phone.line.counted();
    let meter = Meter::start(server.process())?;
    let start = Instant::now();
    if let Some((arguments, lines)) = before {
        phone.feed(arguments, lines).await?;
    }
    let mut arguments = vec!["sync", "--json"];
    arguments.extend(first_of.into_iter().flat_map(|kind| ["--first-of", kind]));
    let printed = phone.run(&arguments).await?;
    let seconds = start.elapsed().as_secs_f64();
    let used = meter.end()?;
    let line = phone.line.counted().since(line);
    let report: Value = serde_json::from_str(printed.trim()).map_err(|error| format!("{error}: {printed}"))?;
    let count = |key: &str| report[key].as_u64().unwrap_or(0);
    Ok(Cost {
        http_up: count("bytes_up"),
        http_down: count("bytes_down"),
        wire_up: line.bytes_up,
        wire_down: line.bytes_down,
        tls_records: line.records,
        connections: line.connections,
        requests: count("requests"),
        breaks: count("breaks"),
        seconds,
        phone_cpu_ms: report["cpu_ms"].as_f64().unwrap_or(0.0),
        phone_peak_kb: count("peak_resident_kb"),
        server_cpu_ms: used.cpu_ms,
        server_peak_kb: used.peak_kb,
        changes_sent: count("changes_sent"),
        changes_received: count("changes_received"),
        changes_transcoded: count("changes_transcoded"),
        changes_raw: count("changes_raw"),
        first_listed_s: report["first_listed_s"].as_f64(),
    })
}

/// A server's data folder with 20 feeds, the users `a`, `b`, `c`, and `n` records of `seed` from another phone.
pub fn seeded(folder: &Path, seed: u32, n: u32) -> Result<PathBuf, Failure> {
    let server = server_with_twenty_feeds(folder)?;
    let phone = enrolled(&server, &folder.join("phone-county"), "county")?;
    fill(&phone, seed, 0..n)?;
    synced(&phone)?;
    phone.close().map_err(|error| error.to_string())?;
    drop(server);
    let data = folder.join("server");
    let feeds = feeds_with_entries(&data)?;
    if feeds < FEEDS - 4 {
        return Err(format!("only {feeds} feeds of the areas that county phones read were written to"));
    }
    Ok(data)
}

/// Feeds with entries among those that a county's phone follows. Four more, of its own unit, may still be empty.
fn feeds_with_entries(data: &Path) -> Result<usize, Failure> {
    use fieldbook_server::store::{Store, StoreError};
    use fieldbook_server::system::{SystemClock, SystemRandom};
    use std::sync::Arc;
    let store = Store::open(data, None, Arc::new(SystemClock::new()), Arc::new(SystemRandom))
        .map_err(|error| error.to_string())?;
    let count = "SELECT count(*) FROM feeds WHERE position > 0 AND area IN ('general', 'aid', 'legal', 'finance')";
    let found: Result<i64, StoreError> = store.read(|tx| Ok(tx.query_row(count, (), |row| row.get(0))?));
    Ok(usize::try_from(found.map_err(|error| error.to_string())?).unwrap_or(0))
}

/// Copies a folder of a stopped process.
pub fn copied(from: &Path, to: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| format!("copying {}: {error}", from.display());
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copied(&from, &to)?;
        } else {
            std::fs::copy(&from, &to).map_err(failed)?;
        }
    }
    Ok(())
}

/// The kind that is measured, for `--first-of`.
pub const FIRST_OF: Option<&str> = Some(KIND);
