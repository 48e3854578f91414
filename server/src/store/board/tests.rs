//! Lists, counts and the map against what a slow reading of all records says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use fieldbook_core::access::{Decision, Role};
use fieldbook_core::forms::{Edit, FieldPath, Form, Scalar, compile_sheets};
use fieldbook_core::ids::RecordId;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::store::{Asked, Filter, FilterText, ListQuery, NewRecord, RecordRow, Span, Store, UserRow};
use crate::testing::{START_MS, TestServer};

const SURVEY: &str = "\
type,name,label::中文 (zh-Hans),required,bind::fb:merge,bind::fb:sensitivity,bind::fb:list,bind::fb:search
text,name,姓名,,must-agree,,yes,yes
text,id_no,证件号码,yes,,sensitive,yes,yes
select_one stage,stage,阶段,,,,yes,
integer,amount,金额,,,,yes,
geopoint,place,位置,,,sensitive,,
text,other,相关记录,,,,,
begin repeat,people,成员,,,,,
text,person,姓名,,,,,yes
end repeat,,,,,,,
";
const CHOICES: &str = "list_name,name,label::中文 (zh-Hans)\nstage,open,开\nstage,shut,关\nstage,late,迟\n";
const SETTINGS: &str =
    "form_title,form_id,version,namespaces,fb:area\n个案,case,1,\"fb=\"\"urn:fieldbook:form\"\"\",aid\n";
const NAMES: [&str; 6] = ["才让卓玛", "王伟", "马秀英", "多杰", "才让·多杰", "李措毛"];
const STAGES: [&str; 3] = ["open", "shut", "late"];
const RECORDS: usize = 60;
const DAY_MS: i64 = 24 * 3600 * 1000;

fn form() -> Form {
    let sheets = [("survey.csv", SURVEY), ("choices.csv", CHOICES), ("settings.csv", SETTINGS)];
    compile_sheets("case", &sheets).unwrap()
}

fn set(path: &str, value: Scalar) -> Edit {
    Edit::Set { path: FieldPath::root(path), value: Some(value) }
}

fn text(path: &str, value: &str) -> Edit {
    set(path, Scalar::Text(value.to_owned()))
}

/// What the test knows of a record.
#[derive(Clone)]
struct Known {
    id: RecordId,
    unit: &'static str,
    name: Option<&'static str>,
    id_no: Option<String>,
    stage: Option<&'static str>,
    amount: Option<i64>,
    other: Option<RecordId>,
    first_ms: i64,
}

struct Office {
    server: TestServer,
    boss: UserRow,
    clerk: UserRow,
    known: Vec<Known>,
}

impl Office {
    fn store(&self) -> &Store {
        &self.server.store
    }

    fn new() -> Self {
        let server = TestServer::new();
        server.store.publish_form(&form(), None).unwrap();
        let (boss, _) = server.store.add_user("主管", "6301", &[Role::County], None).unwrap();
        let (writer, _) = server.store.add_user("填表", "6301", &[Role::Township], None).unwrap();
        let (clerk, _) = server.store.add_user("科员", "a", &[Role::County], None).unwrap();
        let mut office = Self { server, boss, clerk, known: Vec::new() };
        for number in 0..RECORDS {
            office.server.clock.0.store(START_MS + number as i64 * DAY_MS, Ordering::SeqCst);
            office.add(&writer, number);
        }
        office.decide();
        office
    }

    fn add(&mut self, writer: &UserRow, number: usize) {
        let id = RecordId::new(self.server.random.as_ref());
        let pick = |step: usize| number * step;
        let known = Known {
            id,
            unit: ["a", "b", "6301"][pick(7) % 3],
            name: (!number.is_multiple_of(11)).then(|| NAMES[pick(5) % NAMES.len()]),
            id_no: (!number.is_multiple_of(5)).then(|| format!("6301021990{:08}", pick(104_729) % 100_000_000)),
            stage: (!number.is_multiple_of(4)).then(|| STAGES[pick(13) % STAGES.len()]),
            amount: (!number.is_multiple_of(3)).then(|| i64::try_from(pick(37) % 17).unwrap()),
            other: (number % 6 == 5).then(|| self.known[number / 2].id),
            first_ms: self.server.clock.0.load(Ordering::SeqCst),
        };
        let mut edits: Vec<Edit> = known.name.iter().map(|name| text("name", name)).collect();
        edits.extend(known.id_no.iter().map(|id_no| text("id_no", id_no)));
        edits.extend(known.stage.iter().map(|stage| text("stage", stage)));
        edits.extend(known.amount.map(|amount| set("amount", Scalar::Integer(amount))));
        edits.extend(known.other.map(|other| text("other", &other.to_string())));
        edits.push(text("place", &format!("{:.5} 101.77777", 36.0 + number as f64 / 100.0)));
        if number.is_multiple_of(2) {
            edits.push(Edit::Submit { at: "2026-06-01T00:00:00+08:00".to_owned() });
        }
        self.store().import(writer, "case", known.unit, &[NewRecord { id, edits }]).unwrap();
        self.known.push(known);
    }

    /// Some are returned, some disagree, one is voided and one is purged.
    fn decide(&mut self) {
        for number in (0..RECORDS).step_by(4) {
            let record = self.known[number].id;
            let heads = self.heads(record);
            let (decision, reasons) = (Decision::Return, "请补充".to_owned());
            let asked = Asked { decision, heads, reasons, fields: Vec::new() };
            self.store().decide(&self.boss, record, &asked).unwrap();
        }
        for number in (1..RECORDS).step_by(9) {
            let record = self.known[number].id;
            let heads = self.heads(record);
            for (user, name) in [(&self.boss, "甲"), (&self.clerk, "乙")] {
                let edit = self.store().edit_record(user, record, &heads, |_, _| Ok(vec![text("name", name)]));
                // The clerk decides in one unit alone.
                assert_eq!(edit.is_ok(), user.id == self.boss.id || self.known[number].unit == "a");
            }
            self.known[number].name = None;
        }
        let gone = self.known.remove(RECORDS - 1).id;
        self.store().purge_record(Some(&self.boss), gone, "x").unwrap();
    }

    fn heads(&self, record: RecordId) -> Vec<fieldbook_core::ids::ChangeHash> {
        let page = self.store().page(self.boss.id, record, "en", &BTreeSet::new()).unwrap();
        page.heads.iter().map(|head| head.parse().unwrap()).collect()
    }

    fn walk(&self, user: &UserRow, query: &ListQuery, backwards: bool) -> Vec<RecordRow> {
        let (mut query, mut found) = (query.clone(), Vec::new());
        loop {
            let page = self.store().list(user.id, "case", &query).unwrap();
            assert!(page.records.len() <= query.limit);
            if backwards {
                let before = page.before + page.records.len() as u64 + found.len() as u64;
                assert_eq!(before, page.total);
                found.splice(0..0, page.records);
                let Some(previous) = page.previous else { return found };
                query.before = Some(previous);
            } else {
                assert_eq!(page.before, found.len() as u64);
                found.extend(page.records);
                let Some(next) = page.next else {
                    assert_eq!(page.total, found.len() as u64);
                    return found;
                };
                query.after = Some(next);
            }
        }
    }

    /// What the pages of the records that `user` may read say.
    fn seen(&self, user: &UserRow) -> Vec<Seen> {
        let seen = |known: &Known| {
            let page = self.store().page(user.id, known.id, "en", &BTreeSet::new()).ok()?;
            Some(Seen {
                known: known.clone(),
                state: page.state.clone(),
                conflicts: !page.conflicts.is_empty(),
                problems: !page.problems.is_empty(),
                received_ms: page.received_ms,
                reviewed_ms: page.reviews.last().map(|review| review.time_ms),
                authors: page.history.iter().map(|change| change.by.author_id.clone()).collect(),
            })
        };
        self.known.iter().filter_map(seen).collect()
    }
}

/// What a record's page says.
struct Seen {
    known: Known,
    state: String,
    conflicts: bool,
    problems: bool,
    received_ms: i64,
    reviewed_ms: Option<i64>,
    authors: BTreeSet<String>,
}

impl Seen {
    fn fits(&self, filter: &Filter) -> bool {
        let known = &self.known;
        let below = match filter.unit.as_deref() {
            None => true,
            Some(unit) => known.unit == unit || (!filter.unit_alone && unit == "6301"),
        };
        below
            && (filter.states.is_empty() || filter.states.iter().any(|state| state.word() == self.state))
            && filter.conflicts.is_none_or(|wanted| wanted == self.conflicts)
            && filter.problems.is_none_or(|wanted| wanted == self.problems)
            && filter.first.is_none_or(|span| span.holds(known.first_ms))
            && filter.received.is_none_or(|span| span.holds(self.received_ms))
            && filter.reviewed.is_none_or(|span| self.reviewed_ms.is_some_and(|ms| span.holds(ms)))
            && filter.author.is_none_or(|user| self.authors.contains(&user.to_string()))
            && filter
                .choices
                .iter()
                .all(|(_, names)| known.stage.is_some_and(|stage| names.iter().any(|name| name == stage)))
            && filter.refers.is_none_or(|target| known.other == Some(target))
    }
}

fn filters(office: &Office) -> impl Strategy<Value = Filter> + use<> {
    let pick = |words: &'static [&'static str]| prop::sample::select(words).prop_map(str::to_owned);
    let state = pick(&["draft", "submitted", "returned", "draft,returned", "voided"]);
    let unit = pick(&["a", "6301"]);
    let span = pick(&["2026-06", "2026-06-10..2026-07", "..2026-06-20", "1782000000000.."]);
    let choice = pick(&["stage=open", "stage=open,stage=late", "stage=nothing"]);
    let people = vec![office.boss.id.to_string(), office.clerk.id.to_string()];
    let targets: Vec<String> = office.known.iter().map(|known| known.id.to_string()).collect();
    let maybe = |weight: f64, one| prop::option::weighted(weight, one);
    (
        (maybe(0.3, state.boxed()), maybe(0.3, unit.boxed()), any::<Option<bool>>()),
        (prop::option::weighted(0.2, any::<bool>()), prop::option::weighted(0.2, any::<bool>())),
        (maybe(0.2, span.clone().boxed()), maybe(0.2, span.clone().boxed()), maybe(0.1, span.boxed())),
        (maybe(0.2, choice.boxed()), maybe(0.1, prop::sample::select(people).boxed())),
        maybe(0.1, prop::sample::select(targets).boxed()),
    )
        .prop_map(
            |(
                (state, unit, unit_alone),
                (conflicts, problems),
                (first, received, reviewed),
                (choice, author),
                refers,
            )| {
                let text = FilterText {
                    state,
                    unit,
                    unit_alone,
                    conflicts,
                    problems,
                    first,
                    received,
                    reviewed,
                    choice,
                    author,
                    refers,
                    ..FilterText::default()
                };
                text.parse().unwrap()
            },
        )
}

const SORTS: [&str; 11] = [
    "received",
    "-received",
    "first",
    "changed",
    "-reviewed",
    "state",
    "unit",
    "-conflicts",
    "name",
    "-stage",
    "amount",
];

/// What a row is sorted by, so that it compares as it should.
fn key(sort: &str, row: &RecordRow) -> (u8, i64, String) {
    let number = |value: i64| (1, value, String::new());
    match sort.trim_start_matches('-') {
        "received" => number(row.received_ms),
        "first" => number(row.first_ms),
        "changed" => number(row.changed_ms),
        "reviewed" => row.reviewed_ms.map_or((0, 0, String::new()), number),
        "conflicts" => number(i64::try_from(row.conflicts).unwrap()),
        "state" => (2, 0, row.state.clone()),
        "unit" => (2, 0, row.unit.clone()),
        path => match &row.values[path] {
            serde_json::Value::String(text) => (2, 0, text.clone()),
            value => value.as_i64().map_or((0, 0, String::new()), number),
        },
    }
}

#[test]
fn each_page_walk_shows_each_record_that_fits_once_and_in_order() {
    let office = Office::new();
    let users = [office.boss.clone(), office.clerk.clone()];
    let seen = users.each_ref().map(|user| office.seen(user));
    let inputs = (filters(&office), prop::sample::select(&SORTS[..]), 1_usize..20, 0_usize..2);
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let run = runner.run(&inputs, |(filter, sort, limit, number)| {
        let user = &users[number];
        let query = ListQuery { filter: filter.clone(), sort: sort.to_owned(), limit, ..ListQuery::default() };
        let rows = office.walk(user, &query, false);
        let wanted: BTreeSet<String> =
            seen[number].iter().filter(|one| one.fits(&filter)).map(|one| one.known.id.to_string()).collect();
        let listed: BTreeSet<String> = rows.iter().map(|row| row.id.clone()).collect();
        prop_assert_eq!(listed.len(), rows.len(), "a record is there twice");
        prop_assert_eq!(&listed, &wanted);
        let mut sorted: Vec<(_, &str)> = rows.iter().map(|row| (key(sort, row), row.id.as_str())).collect();
        let shown = sorted.clone();
        sorted.sort();
        if sort.starts_with('-') {
            sorted.reverse();
        }
        prop_assert_eq!(shown, sorted);
        // Backwards from the end: what stands before a cursor that nothing stands behind.
        if let Some(last) = rows.last() {
            let end = ListQuery { limit: 200, ..query.clone() };
            let all = office.store().list(user.id, "case", &end).unwrap();
            prop_assert!(all.next.is_none() && all.previous.is_none());
            let mut back = query.clone();
            if rows.len() > limit {
                let pages = office.store().list(user.id, "case", &back).unwrap();
                back.before = pages.next;
                // The cursor names the last of the first page: before it stands the rest of that page.
                let before = office.store().list(user.id, "case", &back).unwrap();
                let ids: Vec<&str> = before.records.iter().map(|row| row.id.as_str()).collect();
                let first: Vec<&str> = rows[..limit - 1].iter().map(|row| row.id.as_str()).collect();
                prop_assert_eq!(ids, first);
            }
            prop_assert!(!last.id.is_empty());
        }
        // Counts are of the same records.
        let overview = office.store().overview(user.id, Some("case"), &filter, "zh-Hans").unwrap();
        let mut states: BTreeMap<String, u64> = BTreeMap::new();
        rows.iter().for_each(|row| *states.entry(row.state.clone()).or_default() += 1);
        let counted: BTreeMap<String, u64> =
            overview.states.iter().map(|count| (count.state.clone(), count.records)).collect();
        prop_assert_eq!(counted, states);
        prop_assert_eq!(overview.records, rows.len() as u64);
        prop_assert_eq!(overview.months.iter().map(|month| month.received).sum::<u64>(), overview.records);
        prop_assert_eq!(overview.with_conflicts, rows.iter().filter(|row| row.conflicts > 0).count() as u64);
        if filter.unit.is_none() || !filter.unit_alone {
            prop_assert_eq!(overview.units.iter().map(|unit| unit.records).sum::<u64>(), overview.records);
        }
        for unit in &overview.units {
            let own = Filter { unit: Some(unit.unit.clone()), unit_alone: unit.alone, ..filter.clone() };
            if filter.unit_alone {
                continue;
            }
            let list = ListQuery { filter: own, sort: "name".to_owned(), limit: 1, ..ListQuery::default() };
            prop_assert_eq!(office.store().list(user.id, "case", &list).unwrap().total, unit.records);
        }
        Ok(())
    });
    run.unwrap();
}

#[test]
fn walking_back_shows_the_same_records() {
    let office = Office::new();
    for sort in SORTS {
        let query = ListQuery { sort: sort.to_owned(), limit: 7, ..ListQuery::default() };
        let forward = office.walk(&office.boss, &query, false);
        let last = ListQuery { limit: 200, ..query.clone() };
        assert_eq!(office.store().list(office.boss.id, "case", &last).unwrap().records.len(), forward.len());
        // From the last page on, by its cursor.
        let mut at = query.clone();
        while let Some(next) = office.store().list(office.boss.id, "case", &at).unwrap().next {
            at.after = Some(next);
        }
        let tail = office.store().list(office.boss.id, "case", &at).unwrap();
        let mut back = tail.records.clone();
        let mut query = ListQuery { before: tail.previous, ..query };
        while query.before.is_some() {
            let page = office.store().list(office.boss.id, "case", &query).unwrap();
            back.splice(0..0, page.records);
            query.before = page.previous;
        }
        let ids = |rows: &[RecordRow]| rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&back), ids(&forward), "{sort}");
    }
}

#[test]
fn names_are_found_as_staff_type_them_and_only_while_they_stand() {
    let office = Office::new();
    let found = |user: &UserRow, typed: &str| {
        let filter = Filter { text: Some(typed.to_owned()), ..Filter::default() };
        let query = ListQuery { filter, sort: "first".to_owned(), limit: 200, ..ListQuery::default() };
        let list = office.store().list(user.id, "case", &query).unwrap();
        list.records.into_iter().map(|row| row.id).collect::<BTreeSet<_>>()
    };
    let wanted = |fits: &dyn Fn(&Known) -> bool| {
        office.known.iter().filter(|known| fits(known)).map(|known| known.id.to_string()).collect::<BTreeSet<_>>()
    };
    let named =
        |names: &'static [&'static str]| move |known: &Known| known.name.is_some_and(|name| names.contains(&name));
    let boss = &office.boss;
    assert!(!found(boss, "王伟").is_empty());
    for (typed, names) in [
        ("王伟", &["王伟"][..]),
        ("才让", &["才让卓玛", "才让·多杰"]),
        ("才让·多杰", &["才让·多杰"]),
        ("crzm", &["才让卓玛"]),
        ("maxiuying", &["马秀英"]),
        ("duojie", &["多杰", "才让·多杰"]),
        ("才让 王伟", &[]),
    ] {
        assert_eq!(found(boss, typed), wanted(&named(names)), "{typed}");
    }
    let one = office.known.iter().find(|known| known.id_no.is_some()).unwrap();
    let id_no = one.id_no.clone().unwrap();
    let tail = id_no[12..].to_owned();
    assert_eq!(found(boss, &tail), wanted(&|known| known.id_no.as_ref().is_some_and(|own| own.ends_with(&tail))));
    assert_eq!(found(boss, "630102"), wanted(&|known| known.id_no.is_some()));
    for nothing in ["。", "' OR 1", "\"", "zzz*", "名\\"] {
        assert_eq!(found(boss, nothing), BTreeSet::new(), "{nothing}");
    }
    assert_eq!(found(&office.clerk, "630102"), wanted(&|known| known.id_no.is_some() && known.unit == "a"));
    // Another name, and the old one is found no more.
    let heads = office.heads(one.id);
    let edit = office.store().edit_record(boss, one.id, &heads, |_, _| Ok(vec![text("id_no", "630102200001011234")]));
    edit.unwrap();
    assert!(!found(boss, &tail).contains(&one.id.to_string()));
    assert!(found(boss, "1234").contains(&one.id.to_string()));
}

#[test]
fn a_board_of_another_process_follows_moves_edits_and_purges() {
    let office = Office::new();
    let list = |filter: Filter| {
        let query = ListQuery { filter, sort: "first".to_owned(), limit: 200, ..ListQuery::default() };
        office.store().list(office.boss.id, "case", &query).unwrap()
    };
    let of_unit = |unit: &str| Filter { unit: Some(unit.to_owned()), ..Filter::default() };
    let (in_a, in_b) = (list(of_unit("a")).total, list(of_unit("b")).total);
    let moved = office.known.iter().find(|known| known.unit == "a").unwrap();
    office.store().move_records(Some(&office.boss), &[moved.id], "b", "x").unwrap();
    assert_eq!((list(of_unit("a")).total, list(of_unit("b")).total), (in_a - 1, in_b + 1));
    let all = list(Filter::default());
    // The last one that was written goes: whoever follows must hear of the next write.
    office.store().purge_record(Some(&office.boss), moved.id, "x").unwrap();
    let other = office.known.iter().find(|known| known.unit == "b" && known.id != moved.id).unwrap();
    let heads = office.heads(other.id);
    office.store().edit_record(&office.boss, other.id, &heads, |_, _| Ok(vec![text("name", "新名")])).unwrap();
    let after = list(Filter::default());
    assert_eq!(after.total, all.total - 1);
    let row = after.records.iter().find(|row| row.id == other.id.to_string()).unwrap();
    assert_eq!(row.values["name"], "新名");
    // A board that reads everything anew says the same.
    *office.store().board.write().unwrap() = super::Board::default();
    let anew = list(Filter::default());
    let ids = |list: &crate::store::RecordList| list.records.iter().map(|row| row.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&anew), ids(&after));
}

#[test]
fn the_map_shows_sensitive_positions_coarsely_and_only_what_may_be_read() {
    let office = Office::new();
    let points = |user: &UserRow, filter: &Filter| office.store().points(user.id, "case", filter).unwrap();
    let all = points(&office.boss, &Filter::default());
    assert_eq!((all.field.as_deref(), all.coarse_degrees), (Some("place"), Some(0.1)));
    assert_eq!((all.records, all.located, all.points.len()), (59, 59, 59));
    for point in &all.points {
        assert!((point.longitude - 101.75).abs() < 1e-9, "{point:?}");
        assert!(((point.latitude * 100.0).round() / 100.0 - point.latitude).abs() < 1e-9, "{point:?}");
    }
    let own = points(&office.clerk, &Filter::default());
    assert!(own.located > 0 && own.points.iter().all(|point| point.unit == "a"));
    let span = Span { from_ms: START_MS, to_ms: START_MS + 10 * DAY_MS };
    assert_eq!(points(&office.boss, &Filter { first: Some(span), ..Filter::default() }).located, 10);
}

#[test]
fn counts_are_true_while_others_write() {
    let office = Office::new();
    let total = |filter: &Filter| {
        let overview = office.store().overview(office.boss.id, Some("case"), filter, "en").unwrap();
        let of_units: u64 = overview.units.iter().map(|unit| unit.records).sum();
        let of_states: u64 = overview.states.iter().map(|state| state.records).sum();
        assert_eq!((of_units, of_states), (overview.records, overview.records));
        overview.records
    };
    let before = total(&Filter::default());
    let writes = 20;
    std::thread::scope(|scope| {
        for unit in ["a", "b"] {
            let (office, random) = (&office, office.server.random.as_ref());
            scope.spawn(move || {
                for _ in 0..writes {
                    let id = RecordId::new(random);
                    let new = [NewRecord { id, edits: vec![text("name", "多杰"), text("id_no", "1")] }];
                    office.store().import(&office.boss, "case", unit, &new).unwrap();
                }
            });
        }
        let mut last = before;
        while last < before + 2 * writes {
            let now = total(&Filter::default());
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
    });
    assert_eq!(total(&Filter::default()), before + 2 * writes);
    assert!(total(&Filter { text: Some("多杰".to_owned()), ..Filter::default() }) >= 2 * writes);
}
