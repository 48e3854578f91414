//! The scenarios of one seed on one line, one after the other, as processes.

use std::collections::BTreeMap;
use std::path::Path;

use fieldbook_tests::bench::KIND;
use fieldbook_tests::demo::report::same_answers;
use fieldbook_tests::demo::stage::{Failure, Phone, Server};
use fieldbook_tests::proxy::Line;
use fieldbook_tests::workload::{self, Day};
use serde::Serialize;
use serde_json::{Value, json};

use super::cost::{Cost, FIRST_OF, measured};

/// The field that both phones set in the shared records.
const COMMON: &str = "wage_income";
/// Records that both phones edit.
const SHARED: usize = 5;
/// Single-field edits in one sync.
const EDITS: usize = 100;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Scenario {
    FirstDownload,
    FirstOfAll,
    Idle,
    Day,
    Incoming,
    Edits,
    Visit,
    OneField,
}

impl Scenario {
    /// What tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::FirstDownload => "S1 first download",
            Self::FirstOfAll => "the same by the first phone of all: the server seals",
            Self::Idle => "S2 nothing changed, 20 feeds",
            Self::Day => "S3 the day: 35 changes up, 105 down",
            Self::Incoming => "105 changes of others, none of its own",
            Self::Edits => "100 edits of one field each",
            Self::Visit => "one edit (3 fields, a visit), saved and synced",
            Self::OneField => "one edit of one field, saved and synced",
        }
    }
}

/// What must be left of the records that both phones edited, on both phones.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Held {
    /// Fields that only one side set, of [`Held::fields_of`], the worse phone.
    pub fields: usize,
    pub fields_of: usize,
    pub visits: usize,
    pub visits_of: usize,
    /// Records whose common field shows both values.
    pub both: usize,
    pub both_of: usize,
    /// Both phones export the same, and all that was written.
    pub equal: bool,
}

impl Held {
    pub fn all(&self) -> bool {
        self.equal && self.fields == self.fields_of && self.visits == self.visits_of && self.both == self.both_of
    }

    /// The worse of two.
    pub fn worse(self, other: Self) -> Self {
        Self {
            fields: self.fields.min(other.fields),
            visits: self.visits.min(other.visits),
            both: self.both.min(other.both),
            equal: self.equal && other.equal,
            ..self
        }
    }
}

/// One seed on one line.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub costs: BTreeMap<Scenario, Cost>,
    pub held: Held,
}

/// Which of the day's scenarios are played.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All.
    Whole,
    /// S1, S2 and S3.
    UntilDay,
}

/// Plays the day on a copy of a seeded server's data. `launcher` starts the measured phone's commands.
pub async fn play(
    data: &Path,
    homes: &Path,
    (seed, n): (u32, u32),
    line: Line,
    day: &Day,
    extent: Extent,
    launcher: Vec<String>,
) -> Result<Measured, Failure> {
    let server = Server::start(data)?;
    let b = Phone::enrol(&server, homes.join("b"), "b").await?;
    let first_of_all = measured(&server, &b, None, None).await?;
    let c = Phone::enrol(&server, homes.join("c"), "c").await?;
    c.sync().await?;
    let a = Phone::enrol(&server, homes.join("a"), "a").await?.launched_by(launcher);
    a.line.set_line(line);
    let mut costs = BTreeMap::from([(Scenario::FirstOfAll, first_of_all)]);
    costs.insert(Scenario::FirstDownload, measured(&server, &a, FIRST_OF, None).await?);
    costs.insert(Scenario::Idle, measured(&server, &a, None, None).await?);

    b.feed(&["edit"], &day.others).await?;
    b.sync().await?;
    costs.insert(Scenario::Incoming, measured(&server, &c, None, None).await?);
    a.feed(&["edit"], &day.mine).await?;
    a.feed(&["import", KIND], &day.new).await?;
    costs.insert(Scenario::Day, measured(&server, &a, None, None).await?);
    let shown = a.export(KIND).await?;
    b.sync().await?;
    let held = held(day, [&shown, &b.export(KIND).await?], n as usize);

    if extent == Extent::Whole {
        edits(&server, &a, seed, n, &mut costs).await?;
    }
    Ok(Measured { costs, held })
}

async fn edits(
    server: &Server,
    a: &Phone,
    seed: u32,
    n: u32,
    costs: &mut BTreeMap<Scenario, Cost>,
) -> Result<(), Failure> {
    // Whatever the day left to be confirmed belongs to the day.
    a.sync().await?;
    let ids: Vec<Value> = workload::records(seed, n)
        .take(EDITS)
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .map(|record| record["id"].clone())
        .collect();
    let one_field = |number: usize, id: &Value| json!({ "id": id, "set": { COMMON: 90_000 + number } }).to_string();
    let lines: Vec<String> = ids.iter().enumerate().map(|(number, id)| one_field(number, id)).collect();
    a.feed(&["edit"], &lines).await?;
    costs.insert(Scenario::Edits, measured(server, a, None, None).await?);
    let visit = workload::edits(seed, 0, [n / 2]);
    costs.insert(Scenario::Visit, measured(server, a, None, Some((&["edit"], &visit))).await?);
    let field = [one_field(EDITS, &ids[0])];
    costs.insert(Scenario::OneField, measured(server, a, None, Some((&["edit"], &field))).await?);
    Ok(())
}

/// Compares what both phones show with what the day wrote.
fn held(day: &Day, shown: [&[Value]; 2], n: usize) -> Held {
    let of_phone = shown.map(|records| on_phone(day, &by_id(records)));
    let [mine, theirs] = shown.map(by_id);
    let complete = mine.len() == n + day.new.len() && new_records_fit(day, &mine);
    let held = of_phone[0].worse(of_phone[1]);
    Held { equal: complete && mine == theirs, ..held }
}

fn by_id(records: &[Value]) -> BTreeMap<String, &Value> {
    records.iter().map(|record| (record["id"].as_str().unwrap_or_default().to_owned(), record)).collect()
}

fn parsed(lines: &[String]) -> impl Iterator<Item = Value> {
    lines.iter().filter_map(|line| serde_json::from_str(line).ok())
}

fn new_records_fit(day: &Day, shown: &BTreeMap<String, &Value>) -> bool {
    parsed(&day.new).all(|line| {
        let record = line["id"].as_str().and_then(|id| shown.get(id));
        record.is_some_and(|record| same_answers(&line["values"], &record["values"]))
    })
}

fn on_phone(day: &Day, shown: &BTreeMap<String, &Value>) -> Held {
    let mut held = Held { equal: true, ..Held::default() };
    for (mine, theirs) in parsed(&day.mine).zip(parsed(&day.others)).take(SHARED) {
        let record = mine["id"].as_str().and_then(|id| shown.get(id)).copied().unwrap_or(&Value::Null);
        held.both_of += 1;
        held.both += usize::from(shows_both(record, [&mine["set"][COMMON], &theirs["set"][COMMON]]));
        for edit in [&mine, &theirs] {
            for (field, value) in edit["set"].as_object().into_iter().flatten().filter(|(field, _)| *field != COMMON) {
                held.fields_of += 1;
                held.fields += usize::from(same_answers(value, &record["values"][field]));
            }
            for visit in edit["add"]["visits"].as_array().into_iter().flatten() {
                held.visits_of += 1;
                let there = record["values"]["visits"].as_array().into_iter().flatten();
                held.visits += there.filter(|row| same_answers(visit, row)).count().min(1);
            }
        }
    }
    held
}

fn shows_both(record: &Value, values: [&Value; 2]) -> bool {
    let conflicts = record["conflicts"].as_array();
    let common = conflicts.and_then(|all| all.iter().find(|conflict| conflict["path"] == COMMON));
    let sides = common.and_then(|conflict| conflict["values"].as_array());
    values.iter().all(|value| sides.is_some_and(|sides| sides.iter().any(|side| same_answers(value, &side["value"]))))
}
