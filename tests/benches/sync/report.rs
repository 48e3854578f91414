//! What is printed and written: tables in Markdown, targets, JSON.

use super::day::Scenario;
use super::large::{Large, MANY_RECORDS, RECORDS};
use super::peers::PEERS;
use super::server::Rates;
use super::workload::{Row, Workload};

/// The middle value; of an even count the upper middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What is wanted of a figure.
#[derive(Clone, Copy)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// A figure beside what is wanted.
pub struct Target {
    pub what: String,
    pub measured: f64,
    pub unit: &'static str,
    pub bound: Bound,
}

impl Target {
    pub fn at_most(what: impl Into<String>, measured: f64, unit: &'static str, most: f64) -> Self {
        Self { what: what.into(), measured, unit, bound: Bound::AtMost(most) }
    }

    pub fn at_least(what: impl Into<String>, measured: f64, unit: &'static str, least: f64) -> Self {
        Self { what: what.into(), measured, unit, bound: Bound::AtLeast(least) }
    }

    /// A figure that is no number is over too.
    pub fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.measured <= most,
            Bound::AtLeast(least) => self.measured >= least,
        }
    }
}

/// Three digits that count, thousands apart.
pub fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        x if x >= 100.0 || (x - x.round()).abs() < 1e-9 => 0,
        x if x >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), String::new()), |(w, r)| (w, format!(".{r}")));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && digit.is_ascii_digit() && (whole.len() - at) % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + &rest
}

/// A table in Markdown, its first column to the left.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rule: Vec<String> = (0..head.len()).map(|at| if at == 0 { "---" } else { "---:" }.to_owned()).collect();
    let rows: String = rows.iter().map(|row| line(row)).collect();
    line(&head) + &format!("|{}|\n", rule.join("|")) + &rows
}

/// Targets as a table; "over" beside each that is missed.
pub fn targets(targets: &[Target]) -> String {
    let rows: Vec<Vec<String>> = targets
        .iter()
        .map(|target| {
            let wanted = match target.bound {
                Bound::AtMost(most) => format!("at most {}", figure(most)),
                Bound::AtLeast(least) => format!("at least {}", figure(least)),
            };
            let missed = match (target.is_met(), target.bound) {
                (true, _) => "",
                (false, Bound::AtMost(_)) => "**over**",
                (false, Bound::AtLeast(_)) => "**over** (too little)",
            };
            let (measured, unit) = (figure(target.measured), target.unit);
            let with_unit = |text: String| format!("{text} {unit}").trim_end().to_owned();
            vec![target.what.clone(), with_unit(measured), with_unit(wanted), missed.to_owned()]
        })
        .collect();
    table(&["wanted", "measured", "target", ""], &rows)
}

/// Thousands, three digits.
pub fn kilo(bytes: f64) -> String {
    figure(bytes / 1_000.0)
}

fn or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), figure)
}

fn scenario_row(row: &Row) -> Vec<String> {
    vec![
        row.scenario.title().to_owned(),
        kilo(row.http_up),
        kilo(row.http_down),
        kilo(row.http),
        kilo(row.wire),
        figure(row.requests),
        or_dash(row.round_trips),
        or_dash(row.slow_s),
        figure(row.unshaped_s),
        figure(row.phone_cpu_ms),
        figure(row.server_cpu_ms),
        kilo(row.phone_peak_kb),
        kilo(row.server_peak_kb),
    ]
}

fn scenarios(workload: &Workload) -> String {
    let head = [
        "scenario",
        "kB up",
        "kB down",
        "kB",
        "kB with TLS",
        "requests",
        "round trips",
        "s slow",
        "s unshaped",
        "phone CPU ms",
        "server CPU ms",
        "phone MB",
        "server MB",
    ];
    table(&head, &workload.rows().iter().map(scenario_row).collect::<Vec<_>>())
}

/// The scenarios' targets.
pub fn workload_targets(workload: &Workload) -> Vec<Target> {
    let row = |scenario| workload.row(scenario);
    let (first, idle, day) = (row(Scenario::FirstDownload), row(Scenario::Idle), row(Scenario::Day));
    let slow = |row: &Row| row.slow_s.unwrap_or(f64::NAN);
    let visit = row(Scenario::Visit);
    let held = workload.held();
    let (transcoded, travelled) = travelled(workload);
    let most_percent = median(workload.random.iter().map(super::workload::Bare::percent).collect());
    let all = held.fields_of + held.visits_of + held.both_of + 1;
    let kept = held.fields + held.visits + held.both + usize::from(held.equal);
    let sealed_percent = first.server_cpu_ms * 100.0 / row(Scenario::FirstOfAll).server_cpu_ms;
    let of_target = |records: f64| records * f64::from(workload.n) / 2_000.0;
    vec![
        Target::at_most("S2: HTTP both ways", idle.http, "bytes", 400.0),
        Target::at_most("S2: requests", idle.requests, "", 1.0),
        Target::at_most("S3: HTTP both ways", day.http / 1_000.0, "kB", 32.0),
        Target::at_most("S3: requests", day.requests, "", 1.0),
        Target::at_most("S3: slow line", slow(&day), "s", 6.0),
        Target::at_least("S3: what must be kept, of 36, in the worst run", kept as f64, "", all as f64),
        Target::at_most("S3, random notes: HTTP, bare JSON = 100", most_percent, "%", 110.0),
        Target::at_least("changes that travelled transcoded", transcoded * 100.0 / travelled, "%", 99.0),
        Target::at_most("S1: HTTP both ways", first.http / 1_000.0, "kB", of_target(1_200.0)),
        Target::at_most("S1: slow line", slow(&first), "s", of_target(180.0)),
        Target::at_most("S1: first record listed, slow line", workload.first_listed_s(), "s", 5.0),
        Target::at_most("S1: CPU of the server, by the first phone of all = 100", sealed_percent, "%", 10.0),
        Target::at_most("100 edits of one field: HTTP up", row(Scenario::Edits).http_up / 1_000.0, "kB", 2.4),
        Target::at_most("one edit saved and synced: HTTP both ways", visit.http / 1_000.0, "kB", 1.1),
        Target::at_most("the same: slow line, with a new TLS connection", slow(&visit), "s", 2.5),
        Target::at_most("105 changes of others: CPU of the phone", row(Scenario::Incoming).phone_cpu_ms, "ms", 110.0),
    ]
}

/// Changes that travelled transcoded, and all that travelled, in all syncs.
fn travelled(workload: &Workload) -> (f64, f64) {
    let transcoded: u64 = workload.costs().map(|cost| cost.changes_transcoded).sum();
    let raw: u64 = workload.costs().map(|cost| cost.changes_raw).sum();
    (transcoded as f64, (transcoded + raw) as f64)
}

fn travelled_line(workload: &Workload) -> String {
    let (transcoded, travelled) = travelled(workload);
    format!(
        "Changes that travelled transcoded, up and down, in all {} syncs: {} of {}.\n",
        workload.costs().count(),
        figure(transcoded),
        figure(travelled),
    )
}

fn peers(workload: &Workload) -> String {
    let head = [
        "stack",
        "S1 kB",
        "trips",
        "s slow",
        "S2 kB",
        "trips",
        "s slow",
        "S3 kB",
        "trips",
        "s slow",
        "client CPU s, S1, S3",
        "client MB",
        "other fields, visits, both values",
    ];
    let rows = [Scenario::FirstDownload, Scenario::Idle, Scenario::Day].map(|scenario| workload.row(scenario));
    let mut own = vec!["**Fieldbook**".to_owned()];
    for row in &rows {
        own.extend([kilo(row.http), or_dash(row.round_trips), or_dash(row.slow_s)]);
    }
    let held = workload.held();
    own.push(format!("{}, {}", figure(rows[0].phone_cpu_ms / 1e3), figure(rows[2].phone_cpu_ms / 1e3)));
    own.push(kilo(rows[0].phone_peak_kb));
    own.push(format!("{}/20, {}/10, {}/5", held.fields, held.visits, held.both));
    let mut all = vec![own];
    for peer in &PEERS {
        let mut cells = vec![peer.name.to_owned()];
        for figures in &peer.scenarios {
            cells.extend([figure(figures.kb), figures.round_trips.to_string(), figures.slow_s.to_owned()]);
        }
        cells.push(format!("{}, {}", figure(peer.cpu_s[0]), figure(peer.cpu_s[1])));
        cells.push(figure((f64::from(peer.peak_mib) * 1.048_576).round()));
        cells.push(format!("{}/20, {}/10, {}/5", peer.kept[0], peer.kept[1], peer.kept[2]));
        all.push(cells);
    }
    table(&head, &all)
}

fn held_lines(workload: &Workload) -> String {
    let held = workload.held();
    let word = |held: bool| if held { "held" } else { "**not held**" };
    format!(
        "S3 in the worst of all runs, on both phones: other fields kept {}/{} ({}), visits kept {}/{} ({}), both values \
         of the common field shown {}/{} ({}), both exports equal and complete ({}).\n",
        held.fields,
        held.fields_of,
        word(held.fields == held.fields_of),
        held.visits,
        held.visits_of,
        word(held.visits == held.visits_of),
        held.both,
        held.both_of,
        word(held.both == held.both_of),
        word(held.equal),
    )
}

fn bare_lines(workload: &Workload) -> String {
    let pair = |all: &[super::workload::Bare]| {
        let (http, json) = (all.iter().map(|one| one.http as f64), all.iter().map(|one| one.json as f64));
        format!("{} kB beside {} kB", kilo(median(http.collect())), kilo(median(json.collect())))
    };
    format!(
        "HTTP of S3 beside the same edits as bare JSON lines under zstd (level 19, a stream a direction): {} with the \
         workload's notes, {} with notes of random common characters.\n",
        pair(&workload.plain),
        pair(&workload.random),
    )
}

fn check_lines(workload: &Workload) -> String {
    let handshakes: Vec<u64> = workload.costs().filter_map(super::cost::Cost::handshake_bytes).collect();
    let (least, most) = (handshakes.iter().min().unwrap_or(&0), handshakes.iter().max().unwrap_or(&0));
    let disagree = workload.costs().filter(|cost| !cost.counts_agree()).count();
    let breaks: u64 = workload.costs().map(|cost| cost.breaks).sum();
    let anew = workload.costs().filter(|cost| cost.connections > 1).count();
    let verdict = if disagree == 0 { "the counts agree".to_owned() } else { format!("**{disagree} disagree**") };
    format!(
        "The phone's count of HTTP against the line's count of TCP payload, in {} syncs: beyond 22 bytes a TLS record \
         the line carried {least} to {most} bytes more, which are the handshakes; {verdict}. Syncs that connected more \
         than once: {anew}; connections that broke: {breaks}.\n",
        workload.costs().count(),
    )
}

fn cheap_lines(workload: &Workload) -> String {
    match &workload.cheap {
        Err(why) => format!("A phone limited to a tenth of a core and 256 MB was left out: {why}.\n"),
        Ok(measured) => {
            let of = |scenario: Scenario| {
                measured.costs.get(&scenario).map_or_else(String::new, |cost| {
                    let memory = kilo(cost.phone_peak_kb as f64);
                    format!("{} s, {memory} MB", figure(cost.seconds))
                })
            };
            let first = measured.costs.get(&Scenario::FirstDownload).and_then(|cost| cost.first_listed_s);
            format!(
                "A phone process limited to a tenth of a core and 256 MB, as a cheap phone, seed 1, slow line: S1 {}, \
                 first record listed after {} s; S2 {}; S3 {}, {}.\n",
                of(Scenario::FirstDownload),
                or_dash(first),
                of(Scenario::Idle),
                of(Scenario::Day),
                if measured.held.all() { "everything kept" } else { "**not everything kept**" },
            )
        }
    }
}

/// The section of the workload.
pub fn workload_section(workload: &Workload, machine: &str) -> String {
    let parts = [
        format!("{machine} N = {}, medians of seeds 1 to {}.\n", figure(f64::from(workload.n)), workload.seeds),
        scenarios(workload),
        targets(&workload_targets(workload)),
        held_lines(workload),
        bare_lines(workload),
        travelled_line(workload),
        check_lines(workload),
        cheap_lines(workload),
        peers(workload),
    ];
    parts.join("\n")
}

/// The server's targets.
pub fn server_targets(rates: &Rates) -> Vec<Target> {
    let unit = "a second and core";
    vec![
        Target::at_least("changed records, others in each exchange", rates.spread, unit, 1_200.0),
        Target::at_least("changed records that are in memory", rates.known, unit, 1_800.0),
    ]
}

/// The section of the server.
pub fn server_section(rates: &Rates, machine: &str) -> String {
    let memory = format!("Largest resident size of the server meanwhile: {} MB.\n", kilo(rates.peak_kb as f64));
    [format!("{machine}\n"), targets(&server_targets(rates)), memory].join("\n")
}

/// What was measured with many records.
pub fn large_targets(large: &Large) -> Vec<Target> {
    let grown = large.idle_many_ms * 100.0 / large.idle_ms;
    let many = figure(f64::from(MANY_RECORDS));
    let few = figure(f64::from(RECORDS));
    let peak_mb = large.first_download.phone_peak_kb as f64 / 1_000.0;
    vec![
        Target::at_most(format!("S1 at N = {few}: resident on the phone"), peak_mb, "MB", 80.0),
        Target::at_most(format!("idle exchange: server CPU with {many} records, with {few} = 100"), grown, "%", 110.0),
    ]
}

/// The section of what takes long.
pub fn large_section(large: &Large, machine: &str) -> String {
    let first = &large.first_download;
    let filled = format!(
        "Filling the server to {} records took {} s.\n",
        figure(f64::from(MANY_RECORDS)),
        figure(large.fill_seconds)
    );
    let download = format!(
        "S1 at N = {}, unshaped: {} kB, {} s, {} s of CPU on the phone and {} s on the server; resident {} MB and {} MB.\n",
        figure(f64::from(RECORDS)),
        kilo(first.http() as f64),
        figure(first.seconds),
        figure(first.phone_cpu_ms / 1e3),
        figure(first.server_cpu_ms / 1e3),
        kilo(first.phone_peak_kb as f64),
        kilo(first.server_peak_kb as f64),
    );
    let idle = format!(
        "An idle exchange on an open connection costs the server {} ms of CPU with {} records and {} ms with {}.\n",
        figure(large.idle_ms),
        figure(f64::from(RECORDS)),
        figure(large.idle_many_ms),
        figure(f64::from(MANY_RECORDS)),
    );
    [format!("{machine}\n"), targets(&large_targets(large)), download, idle, filled].join("\n")
}
