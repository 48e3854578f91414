//! What the console's pages cost at the API, with many records in one embedded database: `make bench-console`.
//!
//! The records are made by the store itself (`Store::import`): the same documents, entries, rows and index as after a
//! sync, without phones, signatures and frames. The pages are then asked of a `fieldbook-server` process over HTTP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use clap::Parser;
use fieldbook_core::access::{Role, Unit};
use fieldbook_core::client::system::SystemRandom;
use fieldbook_core::forms::{Edit, FieldPath, Form, Scalar, builtin, compile_path};
use fieldbook_core::ids::RecordId;
use fieldbook_core::ports::Clock;
use fieldbook_server::store::{NewRecord, Store, UserRow};
use fieldbook_tests::demo::stage::{Failure, Server};
use fieldbook_tests::workload;
use serde_json::{Value, json};

/// Records of one transaction while filling.
const BATCH: usize = 500;
/// Counties, each with so many townships.
const COUNTIES: usize = 6;
const TOWNSHIPS: usize = 20;
/// Times that each page is asked for.
const ASKED: usize = 40;
/// Saves on the record whose history is read.
const SAVES: usize = 50;
/// Of five records one is a visit to one of the four households before it.
const HOUSEHOLDS_OF_FIVE: usize = 4;
/// The first record comes so long before the last.
const SPREAD_MS: i64 = 730 * 24 * 3600 * 1000;
/// 2026-06-01 in Shanghai: when filling ends.
const END_MS: i64 = 1_780_243_200_000;

#[derive(Parser)]
struct Arguments {
    /// How many records.
    #[arg(long, default_value_t = 200_000)]
    records: usize,
    /// Keeps the filled server in this folder, and takes it from there the next time.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A clock that filling moves.
struct FillClock(AtomicI64);

impl Clock for FillClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
    fn boot_ms(&self) -> u64 {
        0
    }
}

fn said(error: impl std::fmt::Display) -> Failure {
    error.to_string()
}

struct Filler {
    store: Store,
    clock: Arc<FillClock>,
    household: Form,
    visit: Form,
    writer: UserRow,
    boss: UserRow,
    total: usize,
}

impl Filler {
    fn new(data: &Path, total: usize) -> Result<(Self, String), Failure> {
        let clock = Arc::new(FillClock(AtomicI64::new(END_MS - SPREAD_MS)));
        let store = Store::open(data, None, Arc::clone(&clock) as _, Arc::new(SystemRandom::new())).map_err(said)?;
        let unit = |code: &str, parent: Option<&str>| {
            let unit =
                Unit {
                    code: code.into(), name: format!("{code}工会"), parent: parent.map(Into::into), division: None
                };
            store.add_unit(&unit).map_err(said)
        };
        unit("63", None)?;
        for county in 0..COUNTIES {
            unit(&format!("63{county}"), Some("63"))?;
            for township in 0..TOWNSHIPS {
                unit(&format!("63{county}{township:02}"), Some(&format!("63{county}")))?;
            }
        }
        let form = Path::new(env!("CARGO_MANIFEST_DIR")).join("workload/form");
        let household = compile_path(&form).map_err(|errors| format!("{errors:?}"))?;
        store.publish_form(&household, None).map_err(said)?;
        let visit = builtin().map_err(|errors| format!("{errors:?}"))?.into_iter();
        let visit = visit.into_iter().find(|form| form.definition().kind == "visit").ok_or("no visit")?;
        let (writer, _) = store.add_user("填表人", "63", &[Role::Township], Some("writer")).map_err(said)?;
        let (boss, password) = store.add_user("审核人", "63", &[Role::Province], Some("boss")).map_err(said)?;
        Ok((Self { store, clock, household, visit, writer, boss, total }, password))
    }

    fn household(&self, index: usize, random: &SystemRandom) -> Result<NewRecord, Failure> {
        let at = u32::try_from(index).map_err(said)?;
        let line = workload::records_at(1, at..at + 1).next().ok_or("no record")?;
        let line: Value = serde_json::from_str(&line).map_err(said)?;
        let id: RecordId = line["id"].as_str().unwrap_or_default().parse().map_err(said)?;
        let mut edits = self.household.edits_from_json(&line["values"], random).map_err(said)?;
        if index % 10 < 6 {
            edits.push(Edit::Submit { at: "2026-05-01T00:00:00+08:00".to_owned() });
        }
        Ok(NewRecord { id, edits })
    }

    fn visit(&self, index: usize, household: &NewRecord, random: &SystemRandom) -> Result<NewRecord, Failure> {
        let types: Vec<&String> = self
            .visit
            .definition()
            .choices
            .get("visit_type")
            .into_iter()
            .flatten()
            .map(|choice| &choice.name)
            .collect();
        let kind = types.get(index % types.len().max(1)).ok_or("no types")?;
        let at = |degrees: f64, step: usize| degrees + (step % 10_000) as f64 / 5_000.0;
        let head = household.edits.iter().find_map(|edit| match edit {
            Edit::Set { path, value: Some(Scalar::Text(name)) } if path.field == "head_name" => Some(name.as_str()),
            _ => None,
        });
        let values = json!({
            "about": { "household": household.id.to_string(), "head_name": head, "event_date": "2026-05-01" },
            "when": { "type": kind, "visited_at": "2026-05-01T10:00:00+08:00",
                "position": format!("{:.5} {:.5}", at(34.0, index * 7919), at(98.0, index * 104_729)) },
        });
        Ok(NewRecord { id: RecordId::new(random), edits: self.visit.edits_from_json(&values, random).map_err(said)? })
    }

    fn fill(&self) -> Result<(), Failure> {
        let random = SystemRandom::new();
        let (mut made, mut batch_number) = (0, 0);
        while made < self.total {
            let size = BATCH.min(self.total - made);
            let done = i64::try_from(made).map_err(said)? * SPREAD_MS / i64::try_from(self.total).map_err(said)?;
            self.clock.0.store(END_MS - SPREAD_MS + done, Ordering::SeqCst);
            let (mut households, mut visits) = (Vec::new(), Vec::new());
            for index in made..made + size {
                match households.last() {
                    Some(last) if index % (HOUSEHOLDS_OF_FIVE + 1) == HOUSEHOLDS_OF_FIVE => {
                        visits.push(self.visit(index, last, &random)?);
                    }
                    _ => households.push(self.household(index, &random)?),
                }
            }
            let unit = format!("63{}{:02}", batch_number % COUNTIES, batch_number % TOWNSHIPS);
            self.store.import(&self.writer, "bench_household", &unit, &households).map_err(said)?;
            self.store.import(&self.writer, "visit", &unit, &visits).map_err(said)?;
            (made, batch_number) = (made + size, batch_number + 1);
            if made.is_multiple_of(20_000) {
                eprintln!("{made} records");
            }
        }
        self.clock.0.store(END_MS, Ordering::SeqCst);
        Ok(())
    }

    /// Some records disagree, some are approved, and one has a long history; returns this one.
    fn work(&self) -> Result<String, Failure> {
        use fieldbook_server::store::{Asked, ListQuery};
        let newest = ListQuery { sort: "-received".to_owned(), limit: 200, ..ListQuery::default() };
        let list = self.store.list(self.boss.id, "bench_household", &newest).map_err(said)?;
        let ids = list.records.iter().map(|row| row.id.parse::<RecordId>().map_err(said));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let heads = |id: RecordId| -> Result<Vec<_>, Failure> {
            let page = self.store.page(self.boss.id, id, "zh-Hans", &Default::default()).map_err(said)?;
            page.heads.iter().map(|head| head.parse().map_err(said)).collect()
        };
        let set = |path: &str, value: String| {
            vec![Edit::Set { path: FieldPath::root(path), value: Some(Scalar::Text(value)) }]
        };
        for id in ids.iter().skip(1).take(100) {
            let read = heads(*id)?;
            for phone in ["13900000001", "13900000002"] {
                let edits = set("phone", phone.to_owned());
                self.store.edit_record(&self.boss, *id, &read, |_, _| Ok(edits.clone())).map_err(said)?;
            }
        }
        let submitted = list.records.iter().zip(&ids).skip(101).filter(|(row, _)| row.state == "submitted");
        for (_, id) in submitted {
            let (decision, reasons) = (fieldbook_core::access::Decision::Return, "x".to_owned());
            let asked = Asked { decision, heads: heads(*id)?, reasons, fields: Vec::new() };
            self.store.decide(&self.boss, *id, &asked).map_err(said)?;
        }
        let long = *ids.first().ok_or("no record")?;
        for number in 0..SAVES {
            let edits = set("address", format!("泽曲镇{number}号"));
            self.store.edit_record(&self.boss, long, &heads(long)?, |_, _| Ok(edits.clone())).map_err(said)?;
        }
        Ok(long.to_string())
    }
}

struct Page {
    what: &'static str,
    path: String,
    most_ms: f64,
}

fn pages(long: &str, household: &str) -> Vec<Page> {
    let list = |what, query: &str| Page { what, path: format!("kinds/bench_household/records?{query}"), most_ms: 50.0 };
    vec![
        list("list: newest first, 50", ""),
        list("list: 200 rows", "limit=200"),
        list("list: by name", "sort=head_name"),
        list("list: with conflicts", "conflicts=true"),
        list("list: one township, submitted, by file number", "unit=63105&state=submitted&sort=-file_no"),
        list("list: one county, two months, with problems", "unit=632&received=2026-01..2026-02&problems=true"),
        list("list: by author", "author=AUTHOR"),
        list("search: a surname", "text=王"),
        list("search: a name", "text=王伟"),
        list("search: pinyin initials", "text=ww"),
        list("search: beginning of an ID number", "text=63"),
        list("search: end of an ID number, one county", "text=1234&unit=633"),
        list("search: two words, by name", "text=王%2013&sort=head_name"),
        Page {
            what: "list: visits of one type",
            path: "kinds/visit/records?choice=when/type=phone".into(),
            most_ms: 50.0,
        },
        Page { what: "related records", path: format!("records/{household}/related"), most_ms: 50.0 },
        Page { what: "one record with 51 saves", path: format!("records/{long}"), most_ms: 30.0 },
        Page { what: "one record with one save", path: format!("records/{household}"), most_ms: 30.0 },
        Page { what: "today", path: "today".into(), most_ms: 300.0 },
        Page { what: "overview", path: "overview".into(), most_ms: 300.0 },
        Page {
            what: "overview of one county, submitted",
            path: "overview?unit=634&state=submitted".into(),
            most_ms: 300.0,
        },
        Page { what: "map", path: "kinds/visit/points".into(), most_ms: 300.0 },
        Page { what: "kinds with their counts", path: "kinds".into(), most_ms: 300.0 },
    ]
}

struct Client {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    async fn get(&self, path: &str) -> Result<(Value, usize), Failure> {
        let request = self.client.get(format!("{}/{path}", self.base)).bearer_auth(&self.token);
        let response = request.send().await.map_err(|error| format!("{error:?}"))?;
        let (status, bytes) = (response.status(), response.bytes().await.map_err(said)?);
        if !status.is_success() {
            return Err(format!("{path}: {status} {}", String::from_utf8_lossy(&bytes)));
        }
        Ok((serde_json::from_slice(&bytes).map_err(said)?, bytes.len()))
    }

    async fn log_in(server: &Server, password: &str) -> Result<Self, Failure> {
        let base = format!("http://{}/api/v1", server.address);
        let client = reqwest::Client::builder().build().map_err(said)?;
        let body = json!({ "login": "boss", "password": password }).to_string();
        let request = client.post(format!("{base}/login")).header("content-type", "application/json").body(body);
        let answer = request.send().await.map_err(said)?.bytes().await.map_err(said)?;
        let answer: Value = serde_json::from_slice(&answer).map_err(said)?;
        let token = answer["token"].as_str().ok_or_else(|| format!("login: {answer}"))?.to_owned();
        Ok(Self { client, base, token })
    }
}

fn resident_mb(process: u32) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).map_err(said)?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kb: f64 = line.split_whitespace().nth(1).unwrap_or_default().parse().map_err(said)?;
    Ok(kb / 1024.0)
}

async fn measure(server: &Server, password: &str, long: &str) -> Result<String, Failure> {
    let client = Client::log_in(server, password).await?;
    let mut text = String::from("| page | median ms | p95 ms | most wanted | kB | |\n|---|---:|---:|---:|---:|---|\n");
    let started = Instant::now();
    let (first, _) = client.get("kinds/visit/records?limit=1").await?;
    let first_ms = started.elapsed().as_secs_f64() * 1000.0;
    let household = first["records"][0]["id"].as_str().ok_or("no visit")?;
    let (related, _) = client.get(&format!("records/{household}/related")).await?;
    let household = related["refers_to"][0]["records"][0]["id"].as_str().ok_or("no household")?;
    let (page, _) = client.get(&format!("records/{household}")).await?;
    let author = page["history"][0]["author_id"].as_str().ok_or("no author")?;
    for page in pages(long, household) {
        let path = page.path.replace("AUTHOR", author);
        let (mut times, mut bytes) = (Vec::new(), 0);
        for _ in 0..ASKED {
            let started = Instant::now();
            let (_, length) = client.get(&path).await?;
            times.push(started.elapsed().as_secs_f64() * 1000.0);
            bytes = length;
        }
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(f64::NAN);
        let (median, p95) = (at(50), at(95));
        let mark = if p95 <= page.most_ms { "" } else { "**over**" };
        let (what, kb, most) = (page.what, bytes as f64 / 1000.0, page.most_ms);
        text.push_str(&format!("| {what} | {median:.1} | {p95:.1} | {most:.0} | {kb:.1} | {mark} |\n"));
    }
    text.push_str(&format!(
        "\nThe first question after a start, which reads all lists into memory, took {first_ms:.0} ms. Resident size of the \
         server after all this: {:.0} MB.\n",
        resident_mb(server.process())?
    ));
    Ok(text)
}

/// Puts `text` between the markers of `docs/PERFORMANCE.md`.
fn put(text: &str) -> Result<(), Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PERFORMANCE.md");
    let page = std::fs::read_to_string(&path).map_err(said)?;
    let (begin, end) = ("<!-- bench-console: begin -->\n", "<!-- bench-console: end -->");
    let (before, rest) = page.split_once(begin).ok_or("docs/PERFORMANCE.md has no section bench-console")?;
    let (_, after) = rest.split_once(end).ok_or("docs/PERFORMANCE.md has no end of bench-console")?;
    std::fs::write(&path, format!("{before}{begin}\n{}\n\n{end}{after}", text.trim())).map_err(said)
}

async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let temporary = tempfile::tempdir().map_err(said)?;
    let folder = arguments.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let (data, notes) = (folder.join("server"), folder.join("filled.json"));
    let note = match std::fs::read(&notes) {
        Ok(note) => serde_json::from_slice(&note).map_err(said)?,
        Err(_) => {
            let started = Instant::now();
            let (filler, password) = Filler::new(&data, arguments.records)?;
            filler.fill()?;
            let seconds = started.elapsed().as_secs_f64();
            let long = filler.work()?;
            let note = json!({ "password": password, "long": long, "seconds": seconds, "records": arguments.records });
            std::fs::write(&notes, note.to_string()).map_err(said)?;
            note
        }
    };
    let text = |key: &str| note[key].as_str().map(str::to_owned).ok_or_else(|| format!("filled.json: no {key}"));
    let server = Server::start_plain(&data)?;
    // The bench has no authenticator.
    server.administer(&["user", "second-factor", "optional"])?;
    let table = measure(&server, &text("password")?, &text("long")?).await?;
    let load = std::fs::read_to_string("/proc/loadavg").map_err(said)?;
    let load = load.split_whitespace().nth(2).unwrap_or_default().to_owned();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let head = format!(
        "Linux, {cores} cores, load average over the last 15 minutes {load}. {} records, of five four households and a \
         visit; filled by the store in {:.0} s. {ASKED} times each.\n\n",
        note["records"],
        note["seconds"].as_f64().unwrap_or(f64::NAN)
    );
    println!("{head}{table}");
    put(&format!("{head}{table}"))
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    // It is installed already where this fails.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(said).and_then(|runtime| runtime.block_on(run(&arguments))) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}
