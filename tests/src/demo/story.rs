//! The story: what is done, and what must hold for the demo to end well.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use super::people::{self, CHECKED, HEADS};
use super::report::{self, Measured};
use super::stage::{Failure, Phone, Server};
use super::supervisor::Supervisor;
use crate::proxy::Line;
use crate::workload;

/// The family that both phones edit.
pub const FAMILY: &str = "5b1f6f0e-3a57-4c55-9d0c-8f7f3f2a1c01";
/// Records of the measured workload in the story.
pub const WORKLOAD_RECORDS: u32 = 240;
/// The bad line: 60 kbit/s, 600 ms round trip.
const BAD: Line = Line { bits_per_s: 60_000, delay_ms: 300, cut_after_bytes: 0, cut_each_after_bytes: 0 };
/// Where the line of the first phone breaks.
const CUT_AFTER_BYTES: u64 = 60_000;
/// The field on which both phones disagree.
pub const COMMON: &str = "economy/annual_income";
/// The field that the merged record breaks.
const SIZE: &str = "economy/household_size";
/// What each of them writes there, in fen.
pub const INCOMES: [i64; 2] = [1_980_000, 2_340_000];

/// Everything that the story needs at hand.
pub struct Cast {
    /// The server.
    pub server: Server,
    /// 多杰 and 马秀英 of 泽曲镇, 王建国 of 麦秀镇.
    pub phones: Vec<Phone>,
    /// Login and password of the supervisor.
    pub login: (String, String),
}

/// What must hold; a false one fails the demo.
pub struct Checks(Vec<(String, bool)>);

impl Checks {
    /// Nothing checked yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// Notes and prints one check.
    pub fn hold(&mut self, what: &str, held: bool) {
        println!("  {} {what}", if held { "✓" } else { "✗" });
        self.0.push((what.to_owned(), held));
    }

    /// The ones that did not hold.
    #[must_use]
    pub fn failed(&self) -> Vec<&str> {
        self.0.iter().filter(|(_, held)| !held).map(|(what, _)| what.as_str()).collect()
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self::new()
    }
}

/// The workload's form, as the server publishes it.
fn workload_form() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workload/form")
}

fn json_lines(records: &[(String, Value)]) -> Vec<String> {
    records.iter().map(|(id, values)| json!({ "id": id, "values": values }).to_string()).collect()
}

fn numbered(prefix: &str, number: usize) -> String {
    format!("{prefix}-0000-4000-8000-{number:012}")
}

/// Units, users, forms, server and three enrolled phones.
///
/// # Errors
/// When a step fails.
pub async fn set_up(folder: &Path) -> Result<Cast, Failure> {
    let data = folder.join("server");
    let administer = |arguments: &[&str]| Server::command(&data, arguments);
    administer(&["unit", "add", "632323", "泽库县总工会", "--division", "632323"])?;
    administer(&["unit", "add", "632323100", "泽曲镇工会", "--parent", "632323", "--division", "632323100"])?;
    administer(&["unit", "add", "632323101", "麦秀镇工会", "--parent", "632323", "--division", "632323101"])?;
    for (name, unit, login) in
        [("多杰", "632323100", "duojie"), ("马秀英", "632323100", "maxiuying"), ("王建国", "632323101", "wangjianguo")]
    {
        administer(&["user", "add", name, "--unit", unit, "--role", "field", "--login", login])?;
    }
    let printed =
        administer(&["user", "add", "李措毛", "--unit", "632323", "--role", "county", "--login", "licuomao"])?;
    let password = report::password(&printed).ok_or_else(|| format!("no password in: {printed}"))?;
    administer(&["form", "publish", &workload_form().to_string_lossy()])?;
    let server = Server::start(&data)?;
    let mut phones = Vec::new();
    for (login, name) in [("duojie", "多杰"), ("maxiuying", "马秀英"), ("wangjianguo", "王建国")] {
        let mut phone = Phone::enrol(&server, folder.join(format!("phone-{login}")), login).await?;
        phone.user = name.to_owned();
        phones.push(phone);
    }
    Ok(Cast { server, phones, login: ("licuomao".to_owned(), password) })
}

/// The families that both phones of 泽曲镇 already know, over a good line.
///
/// # Errors
/// When a step fails.
pub async fn before(cast: &Cast) -> Result<(), Failure> {
    let families: Vec<_> = HEADS
        .iter()
        .enumerate()
        .map(|(i, head)| {
            let id = if i == 0 { FAMILY.to_owned() } else { numbered("10000001", i) };
            (id, people::household(head, i))
        })
        .collect();
    for phone in &cast.phones {
        phone.sync().await?;
    }
    cast.phones[0].feed(&["import", "household"], &json_lines(&families)).await?;
    cast.phones[0].sync().await?;
    cast.phones[1].sync().await?;
    Ok(())
}

/// Three days without a network.
///
/// # Errors
/// When a phone refuses.
pub async fn offline(cast: &Cast) -> Result<(), Failure> {
    let [first, second, third] = &cast.phones[..] else { return Err("three phones are needed".into()) };
    let edit = |income: i64, set: Value, member: Value| {
        let mut set = set;
        set[COMMON] = json!(income);
        json!({ "id": FAMILY, "set": set, "add": { "members": [member] }, "submit": true }).to_string()
    };
    let joined = json!({ SIZE: 3 });
    let mother = people::member("卓玛吉", "19600303", 24, "5", "farming");
    let brother = people::member("才让东主", "19920817", 45, "7", "unemployed");
    first.feed(&["edit"], &[edit(INCOMES[0], joined.clone(), mother)]).await?;
    second.feed(&["edit"], &[edit(INCOMES[1], joined, brother)]).await?;

    let records: Vec<String> = workload::records(1, WORKLOAD_RECORDS).collect();
    first.feed(&["import", "bench_household"], &records).await?;
    let visits: Vec<_> = HEADS
        .iter()
        .enumerate()
        .map(|(i, head)| {
            let family = if i == 0 { FAMILY.to_owned() } else { numbered("10000001", i) };
            (numbered("20000002", i), people::visit(&family, head, 3 + i as u32))
        })
        .collect();
    first.feed(&["import", "visit"], &json_lines(&visits)).await?;
    let checks: Vec<_> = CHECKED
        .iter()
        .enumerate()
        .map(|(i, person)| (numbered("30000003", i), people::health_check(person, i + 1)))
        .collect();
    second.feed(&["import", "health_check"], &json_lines(&checks)).await?;
    third
        .feed(&["import", "legal_checkup"], &json_lines(&[(numbered("40000004", 0), people::legal_checkup())]))
        .await?;
    Ok(())
}

async fn timed_sync(phone: &Phone) -> Result<Measured, Failure> {
    let before = phone.line.counted();
    let start = Instant::now();
    let reports = phone.sync().await?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Measured { user: phone.user.clone(), line: phone.line.counted().since(before), reports, seconds })
}

/// All three sync at once at the township, over the bad line; the first phone's breaks once in the middle.
///
/// # Errors
/// When a phone cannot sync.
pub async fn sync_over_the_bad_line(cast: &Cast) -> Result<Vec<Measured>, Failure> {
    for (number, phone) in cast.phones.iter().enumerate() {
        let cut_after_bytes = if number == 0 { CUT_AFTER_BYTES } else { 0 };
        phone.line.set_line(Line { cut_after_bytes, ..BAD });
    }
    let lines: Vec<_> = cast.phones.iter().map(|phone| (phone.user.clone(), &phone.line)).collect();
    let work = async {
        let [first, second, third] = &cast.phones[..] else { return Err("three phones are needed".to_owned()) };
        let (first, second, third) = tokio::join!(timed_sync(first), timed_sync(second), timed_sync(third));
        Ok(vec![first?, second?, third?])
    };
    report::while_watching(&lines, work).await
}

/// What the others left, and what the supervisor decided, over the bad line.
///
/// # Errors
/// When a phone cannot sync.
pub async fn sync_again(cast: &Cast) -> Result<Vec<Measured>, Failure> {
    let lines: Vec<_> = cast.phones.iter().map(|phone| (phone.user.clone(), &phone.line)).collect();
    let work = async {
        let (first, second) = tokio::join!(timed_sync(&cast.phones[0]), timed_sync(&cast.phones[1]));
        Ok(vec![first?, second?])
    };
    report::while_watching(&lines[..2], work).await
}

/// Reads, tries to approve too early, chooses one value, returns the record for what the merge brought to light.
///
/// # Errors
/// When the API refuses.
pub async fn supervise(cast: &Cast, checks: &mut Checks) -> Result<Supervisor, Failure> {
    let supervisor = Supervisor::log_in(&cast.server, &cast.login.0, &cast.login.1).await?;
    let states = report::states(&supervisor).await?;
    println!("{states}");
    let record = supervisor.get(&format!("records/{FAMILY}")).await?;
    report::conflicts(&record);
    let conflict = record["conflicts"]
        .as_array()
        .and_then(|all| all.iter().find(|conflict| conflict["path"] == COMMON))
        .ok_or("the supervisor sees no conflict in the common field")?;
    let values: Vec<&Value> = conflict["values"].as_array().map(|all| all.iter().collect()).unwrap_or_default();
    let mut shown: Vec<i64> = values.iter().filter_map(|value| value["value"].as_i64()).collect();
    shown.sort_unstable();
    checks.hold("the supervisor sees both values of the common field", shown == INCOMES);
    let mut authors: Vec<&str> = values.iter().filter_map(|value| value["author"].as_str()).collect();
    authors.sort_unstable();
    checks.hold("and who wrote each", authors == ["多杰", "马秀英"]);
    let members = record["values"]["members"].as_array().map_or(0, Vec::len);
    checks.hold("both added members are in the one record (3 with the child)", members == 3);

    let heads = |record: &Value| record["heads"].clone();
    let early = supervisor.post(&format!("records/{FAMILY}/approve"), &json!({ "heads": heads(&record) })).await;
    checks.hold("approving before the conflict is settled is refused", early.is_err());
    let chosen = json!({ "path": COMMON, "value": INCOMES[1], "heads": heads(&record) });
    supervisor.post(&format!("records/{FAMILY}/resolve"), &chosen).await?;
    let record = supervisor.get(&format!("records/{FAMILY}")).await?;
    checks.hold("she chooses one value: no conflict is left", is_empty(&record["conflicts"]));
    // Each phone added one member to two persons: together they are four, which the form's own rule says after the merge.
    report::problems(&record);
    checks
        .hold("after the merge the form's own rule finds the wrong number of persons", !is_empty(&record["problems"]));
    let returned = json!({ "heads": heads(&record), "reasons": "家庭人口数与成员不符，请核对", "fields": [SIZE] });
    supervisor.post(&format!("records/{FAMILY}/return"), &returned).await?;
    println!("  She returns the record: 家庭人口数与成员不符，请核对");
    Ok(supervisor)
}

/// The phone that got the record back corrects it and hands it in again.
///
/// # Errors
/// When the phone refuses or cannot sync.
pub async fn correct(cast: &Cast, checks: &mut Checks) -> Result<(), Failure> {
    let phone = &cast.phones[0];
    phone.sync().await?;
    let family = family_on(phone).await?;
    checks.hold(&format!("{}'s phone shows it returned", phone.user), family["state"] == "returned");
    let line = json!({ "id": FAMILY, "set": { SIZE: 4 }, "submit": true }).to_string();
    phone.feed(&["edit"], &[line]).await?;
    phone.sync().await?;
    Ok(())
}

/// What she approves now is exactly what she read.
///
/// # Errors
/// When the API refuses.
pub async fn approve(supervisor: &Supervisor, checks: &mut Checks) -> Result<(), Failure> {
    let record = supervisor.get(&format!("records/{FAMILY}")).await?;
    checks
        .hold("corrected: no conflict and no problem", is_empty(&record["problems"]) && is_empty(&record["conflicts"]));
    let body = json!({ "heads": record["heads"] });
    supervisor.post(&format!("records/{FAMILY}/approve"), &body).await?;
    let record = supervisor.get(&format!("records/{FAMILY}")).await?;
    checks.hold("the record is approved", record["state"] == "approved");
    println!("{}", report::states(supervisor).await?);
    Ok(())
}

async fn family_on(phone: &Phone) -> Result<Value, Failure> {
    let family = phone.export("household").await?.into_iter().find(|record| record["id"] == FAMILY);
    family.ok_or_else(|| format!("{} has lost the family", phone.user))
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

/// Both phones show her choice, the state, and the history of both values.
///
/// # Errors
/// When a phone refuses.
pub async fn afterwards(cast: &Cast, checks: &mut Checks) -> Result<(), Failure> {
    let mut heads = Vec::new();
    for phone in &cast.phones[..2] {
        let family = family_on(phone).await?;
        checks.hold(
            &format!("{}'s phone shows her choice", phone.user),
            family["values"]["economy"]["annual_income"] == INCOMES[1],
        );
        checks.hold(&format!("{}'s phone shows it approved", phone.user), family["state"] == "approved");
        let shown = phone.run(&["show", FAMILY]).await?;
        report::history(&phone.user, &shown);
        let both = INCOMES.iter().all(|value| shown.contains(&value.to_string()));
        checks.hold(&format!("{}'s phone has both values in its history", phone.user), both);
        heads.push(family["heads"].clone());
    }
    checks.hold("both phones hold the same record", heads[0] == heads[1]);
    let mine: Vec<_> = cast.phones[1].export("bench_household").await?;
    let sent: Vec<Value> =
        workload::records(1, WORKLOAD_RECORDS).filter_map(|line| serde_json::from_str(&line).ok()).collect();
    let same = sent.iter().all(|line| {
        mine.iter().any(|record| record["id"] == line["id"] && report::same_answers(&line["values"], &record["values"]))
    });
    checks.hold(&format!("all {WORKLOAD_RECORDS} workload records arrived on the other phone as written"), same);
    let foreign = cast.phones[2].export("household").await?;
    checks.hold("the phone of the other township holds no household of this one", foreign.is_empty());
    Ok(())
}
