//! What the demo prints.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use serde_json::Value;

use super::stage::Failure;
use super::supervisor::Supervisor;
use super::table::table;
use crate::proxy::{Counted, Proxy};

/// How often progress is printed without a terminal.
const PROGRESS_EVERY_MS: u64 = 4_000;
/// How often it is drawn on one.
const REDRAW_EVERY_MS: u64 = 250;

/// One phone's sync as line and phone counted it.
pub struct Measured {
    /// Who.
    pub user: String,
    /// What crossed the line, TLS included.
    pub line: Counted,
    /// The phone's own reports, one a run.
    pub reports: Vec<Value>,
    /// How long all of it took.
    pub seconds: f64,
}

/// The generated password in what `user add` prints.
#[must_use]
pub fn password(printed: &str) -> Option<String> {
    printed.split_once("password ").and_then(|(_, rest)| rest.split_whitespace().next()).map(str::to_owned)
}

/// Runs `work` and shows meanwhile what crosses each line.
///
/// # Errors
/// What `work` returned.
pub async fn while_watching<T>(
    lines: &[(String, &Proxy)],
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let terminal = std::io::stdout().is_terminal();
    let every = Duration::from_millis(if terminal { REDRAW_EVERY_MS } else { PROGRESS_EVERY_MS });
    let mut ticker = tokio::time::interval(every);
    ticker.tick().await;
    tokio::pin!(work);
    let show = |end: &str| {
        let parts: Vec<String> = lines
            .iter()
            .map(|(user, line)| {
                let counted = line.counted();
                let cuts = if counted.cuts > 0 { " (line broke once)" } else { "" };
                format!("{user} ↑{:.1} kB ↓{:.1} kB{cuts}", kilo(counted.bytes_up), kilo(counted.bytes_down))
            })
            .collect();
        print!("  {}{end}", parts.join("   "));
        let _ = std::io::stdout().flush();
    };
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = ticker.tick() => show(if terminal { "\r" } else { "\n" }),
        }
    };
    show("\n");
    done
}

fn kilo(bytes: u64) -> f64 {
    bytes as f64 / 1000.0
}

fn sum(reports: &[Value], key: &str) -> u64 {
    reports.iter().filter_map(|report| report[key].as_u64()).sum()
}

/// Bytes, requests and seconds of each phone, counted by the line and by the phone.
#[must_use]
pub fn costs(measured: &[Measured]) -> String {
    let head = [
        "phone",
        "kB up",
        "kB down",
        "own up",
        "own down",
        "requests",
        "own",
        "connections",
        "breaks",
        "sent",
        "received",
        "s",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for one in measured {
        rows.push(vec![
            one.user.clone(),
            format!("{:.1}", kilo(one.line.bytes_up)),
            format!("{:.1}", kilo(one.line.bytes_down)),
            format!("{:.1}", kilo(sum(&one.reports, "bytes_up"))),
            format!("{:.1}", kilo(sum(&one.reports, "bytes_down"))),
            one.line.requests.to_string(),
            sum(&one.reports, "requests").to_string(),
            one.line.connections.to_string(),
            one.line.cuts.to_string(),
            sum(&one.reports, "changes_sent").to_string(),
            sum(&one.reports, "changes_received").to_string(),
            format!("{:.1}", one.seconds),
        ]);
    }
    table(&rows)
        + "  (kB and requests: counted on the line, with TLS; own: HTTP as the phone counts it, with what a break lost on the way)\n"
}

/// Records by kind and state, as the API counts them.
///
/// # Errors
/// When the API refuses.
pub async fn states(supervisor: &Supervisor) -> Result<String, Failure> {
    let kinds = supervisor.get("kinds").await?;
    let mut rows = vec![vec!["kind".to_owned(), "title".to_owned(), "records by state".to_owned()]];
    for kind in kinds["kinds"].as_array().or(kinds.as_array()).into_iter().flatten() {
        let by_state: Vec<String> =
            kind["states"].as_object().into_iter().flatten().map(|(state, count)| format!("{state} {count}")).collect();
        let text = |key: &str| kind[key].as_str().unwrap_or_default().to_owned();
        rows.push(vec![text("kind"), text("title"), by_state.join(", ")]);
    }
    Ok(table(&rows))
}

/// What a phone's status says in a line: records by kind, and what waits.
#[must_use]
pub fn status(printed: &str) -> String {
    let status: Value = serde_json::from_str(printed.trim()).unwrap_or_default();
    let kinds: Vec<String> = status["kinds"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|kind| kind["records"].as_u64().unwrap_or(0) > 0)
        .map(|kind| format!("{} {}", kind["title"].as_str().unwrap_or_default(), kind["records"]))
        .collect();
    format!("{}  ·  waiting to be sent: {}", kinds.join(", "), status["saved_here"])
}

/// Every conflict with its values, authors and times.
pub fn conflicts(record: &Value) {
    for conflict in record["conflicts"].as_array().into_iter().flatten() {
        println!("  conflict in {}:", conflict["path"].as_str().unwrap_or_default());
        for value in conflict["values"].as_array().into_iter().flatten() {
            println!(
                "    {}  by {} at {}",
                value["value"],
                value["author"].as_str().unwrap_or("?"),
                value["time"].as_str().unwrap_or("?")
            );
        }
    }
}

/// Every problem that the form's rules find in the merged record.
pub fn problems(record: &Value) {
    for problem in record["problems"].as_array().into_iter().flatten() {
        println!(
            "  problem in {}: {}",
            problem["path"].as_str().unwrap_or_default(),
            problem["message"].as_str().unwrap_or_default()
        );
    }
}

/// Time of day in Asia/Shanghai (+08:00, no daylight saving) of milliseconds since 1970 UTC.
fn clock_time(time_ms: i64) -> String {
    let seconds = (time_ms / 1000 + 8 * 3600).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// What a phone tells of the common field's history.
pub fn history(user: &str, shown: &str) {
    let Ok(record) = serde_json::from_str::<Value>(shown.trim()) else { return };
    println!("  history of {} on {user}'s phone:", super::story::COMMON);
    for entry in record["history"].as_array().into_iter().flatten() {
        for written in entry["touched"].as_array().into_iter().flatten() {
            if written["path"] == super::story::COMMON {
                println!(
                    "    {}  by {} at {}",
                    written["value"],
                    entry["author"].as_str().unwrap_or("?"),
                    clock_time(entry["time_ms"].as_i64().unwrap_or(0))
                );
            }
        }
    }
}

/// Whether `shown` holds every answer of `written`; rows also carry `_row`, calculated values may be added.
#[must_use]
pub fn same_answers(written: &Value, shown: &Value) -> bool {
    match (written, shown) {
        (Value::Object(written), Value::Object(shown)) => {
            let answers = written.iter().filter(|(key, _)| *key != "_row");
            answers.into_iter().all(|(key, value)| shown.get(key).is_some_and(|other| same_answers(value, other)))
        }
        (Value::Array(written), Value::Array(shown)) => {
            written.len() == shown.len() && written.iter().zip(shown).all(|(one, other)| same_answers(one, other))
        }
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (one, other) => one == other,
    }
}
