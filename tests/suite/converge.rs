//! Any edits on any of three phones, synced in any order with a real server, end in one record; and what it shows is
//! what a plain model of "who had seen what" says: nothing that nobody replaced is missing, no disagreement is hidden.

use std::collections::{BTreeMap, BTreeSet};

use fieldbook_core::ids::RecordId;
use fieldbook_core::ports::Random;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Value, json};

use super::office::{NOTE, Office, Phone};

const PHONES: usize = 3;
const CASES: u32 = 24;
const STEPS_MAX: usize = 24;
const FIELDS: [&str; 2] = ["remark", "phone"];
const CHOICES: [&str; 2] = ["roof", "water"];

#[derive(Clone, Debug)]
enum Step {
    /// Writes one of a few values, or clears.
    Set {
        phone: usize,
        field: usize,
        value: Option<u8>,
    },
    /// Chooses, or takes back, one of several.
    Choose {
        phone: usize,
        choice: usize,
    },
    AddRow {
        phone: usize,
    },
    /// Writes inside the n-th row that the phone shows.
    SetInRow {
        phone: usize,
        row: usize,
        value: u8,
    },
    RemoveRow {
        phone: usize,
        row: usize,
    },
    /// Decides the first disagreement about a field that the phone shows.
    Resolve {
        phone: usize,
        side: usize,
    },
    Sync {
        phone: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let phone = 0..PHONES;
    prop_oneof![
        4 => (phone.clone(), 0..FIELDS.len(), prop::option::weighted(0.8, 0u8..3))
            .prop_map(|(phone, field, value)| Step::Set { phone, field, value }),
        2 => (phone.clone(), 0..CHOICES.len()).prop_map(|(phone, choice)| Step::Choose { phone, choice }),
        2 => phone.clone().prop_map(|phone| Step::AddRow { phone }),
        3 => (phone.clone(), 0usize..4, 0u8..3).prop_map(|(phone, row, value)| Step::SetInRow { phone, row, value }),
        2 => (phone.clone(), 0usize..4).prop_map(|(phone, row)| Step::RemoveRow { phone, row }),
        1 => (phone.clone(), 0usize..3).prop_map(|(phone, side)| Step::Resolve { phone, side }),
        5 => phone.prop_map(|phone| Step::Sync { phone }),
    ]
}

/// Numbers of writes.
type Seen = BTreeSet<usize>;

/// One write of one place.
struct Written {
    /// Path of a field, `topics:CHOICE`, or `ROW` with [`Written::removes`].
    place: String,
    /// The row that it lies in.
    row: Option<String>,
    value: Value,
    removes: bool,
    /// What its author had seen.
    seen: Seen,
}

/// Who wrote what, having seen what.
#[derive(Default)]
struct Model {
    written: Vec<Written>,
    server: Seen,
    phones: [Seen; PHONES],
}

impl Model {
    fn write(&mut self, phone: usize, place: &str, row: Option<&str>, value: Value, removes: bool) {
        let seen = self.phones[phone].clone();
        self.phones[phone].insert(self.written.len());
        self.written.push(Written { place: place.to_owned(), row: row.map(str::to_owned), value, removes, seen });
    }

    fn sync(&mut self, phone: usize) {
        self.server.extend(self.phones[phone].iter().copied());
        self.phones[phone] = self.server.clone();
    }

    /// The values of a place that no later write had seen.
    fn standing(&self, place: &str) -> Vec<&Value> {
        let of_place = || self.written.iter().enumerate().filter(|(_, one)| one.place == place);
        let mut values: Vec<&Value> = of_place()
            .filter(|(number, _)| !of_place().any(|(_, later)| later.seen.contains(number)))
            .map(|(_, one)| &one.value)
            .collect();
        values.sort_by_key(ToString::to_string);
        values.dedup();
        values
    }

    /// Is the row shown, and do people disagree about it?
    fn row(&self, row: &str) -> (bool, bool) {
        let inside = self.written.iter().enumerate().filter(|(_, one)| one.row.as_deref() == Some(row) && !one.removes);
        let removals: Vec<&Written> = self.written.iter().filter(|one| one.removes && one.place == row).collect();
        let mut unseen = inside.filter(|(number, _)| !removals.iter().any(|removal| removal.seen.contains(number)));
        let shown = removals.is_empty() || unseen.next().is_some();
        (shown, shown && !removals.is_empty())
    }

    fn rows(&self) -> BTreeSet<&str> {
        self.written.iter().filter_map(|one| one.row.as_deref()).collect()
    }
}

/// The record as one phone shows it, with its rows in a stable order.
fn rows_of(values: &Value) -> Vec<String> {
    let rows = values["people"].as_array().into_iter().flatten();
    rows.filter_map(|row| row["_row"].as_str().map(str::to_owned)).collect()
}

struct Case<'a> {
    phones: &'a [Phone],
    record: RecordId,
    model: Model,
    names: usize,
}

impl Case<'_> {
    /// The record's values on a phone; nothing where it is not there yet.
    fn values(&self, phone: usize) -> Value {
        self.phones[phone].book.record(self.record).map_or(Value::Null, |view| view.values)
    }

    /// Writes through the phone; a record that is not there is made under the same id. True if something was written.
    fn save(&self, phone: usize, set: &Value, add: &Value, remove: &Value) -> bool {
        let book = &self.phones[phone];
        if book.book.record(self.record).is_ok() {
            return book.try_edit(self.record, set, add, remove).unwrap().change.is_some();
        }
        let mut values = set.as_object().cloned().unwrap_or_default();
        values.extend(add.as_object().cloned().unwrap_or_default());
        if values.values().all(Value::is_null) {
            return false;
        }
        book.create(NOTE, Some(self.record), Value::Object(values));
        true
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Set { phone, field, value } => {
                let value = value.map_or(Value::Null, |value| json!(format!("值{value}")));
                if self.save(phone, &json!({ FIELDS[field]: value }), &Value::Null, &Value::Null) {
                    self.model.write(phone, FIELDS[field], None, value, false);
                }
            }
            Step::Choose { phone, choice } => self.choose(phone, CHOICES[choice]),
            Step::AddRow { phone } => self.add_row(phone),
            Step::SetInRow { phone, row, value } => {
                let rows = rows_of(&self.values(phone));
                let Some(row) = rows.get(row) else { return };
                let path = format!("people[{row}]/age");
                if self.save(phone, &json!({ &path: value }), &Value::Null, &Value::Null) {
                    self.model.write(phone, &path, Some(row), json!(value), false);
                }
            }
            Step::RemoveRow { phone, row } => {
                let rows = rows_of(&self.values(phone));
                let Some(row) = rows.get(row) else { return };
                if self.save(phone, &Value::Null, &Value::Null, &json!({ "people": [row] })) {
                    self.model.write(phone, row, None, Value::Null, true);
                }
            }
            Step::Resolve { phone, side } => self.resolve(phone, side),
            Step::Sync { phone } => {
                self.phones[phone].sync();
                self.model.sync(phone);
            }
        }
    }

    fn choose(&mut self, phone: usize, choice: &str) {
        let chosen = self.values(phone)["topics"].as_array().cloned().unwrap_or_default();
        let was = chosen.contains(&json!(choice));
        let mut all: Vec<Value> = chosen.into_iter().filter(|one| one != choice).collect();
        if !was {
            all.push(json!(choice));
        }
        if self.save(phone, &json!({ "topics": all }), &Value::Null, &Value::Null) {
            self.model.write(phone, &format!("topics:{choice}"), None, json!(!was), false);
        }
    }

    fn add_row(&mut self, phone: usize) {
        let before = rows_of(&self.values(phone));
        self.names += 1;
        let row = json!({ "people": [{ "name": format!("人{}", self.names) }] });
        self.save(phone, &Value::Null, &row, &Value::Null);
        let rows = rows_of(&self.values(phone));
        let row = rows.iter().find(|row| !before.contains(row)).unwrap();
        self.model.write(phone, &format!("people[{row}]/name"), Some(row), json!(format!("人{}", self.names)), false);
    }

    fn resolve(&mut self, phone: usize, side: usize) {
        let Ok(view) = self.phones[phone].book.record(self.record) else { return };
        let Some(conflict) = view.conflicts.iter().find(|conflict| !conflict.path.ends_with("_removed")) else {
            return;
        };
        let value = conflict.values[side % conflict.values.len()].value.clone();
        self.phones[phone].book.resolve(self.record, &conflict.path, &value).unwrap();
        let row = conflict.path.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(row, _)| row);
        self.model.write(phone, &conflict.path, row, value, false);
    }

    /// Everybody syncs until everybody has all.
    fn settle(&mut self) {
        for phone in (0..PHONES).chain(0..PHONES) {
            self.run(&Step::Sync { phone });
        }
    }

    fn check(&self, county: &super::office::County) -> Result<(), TestCaseError> {
        if self.model.written.is_empty() {
            return Ok(());
        }
        let first = self.phones[0].record(self.record);
        for phone in &self.phones[1..] {
            let view = phone.record(self.record);
            prop_assert_eq!(&view.heads, &first.heads);
            prop_assert_eq!(&view.values, &first.values);
        }
        let page = county.page(self.record);
        prop_assert_eq!(&page["heads"], &json!(first.heads.iter().map(ToString::to_string).collect::<Vec<_>>()));
        let mut listed: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for conflict in &first.conflicts {
            let mut values: Vec<Value> = conflict.values.iter().map(|side| side.value.clone()).collect();
            values.sort_by_key(ToString::to_string);
            values.dedup();
            listed.insert(conflict.path.clone(), values);
        }
        let rows: BTreeMap<String, Value> = rows_of(&first.values)
            .into_iter()
            .zip(first.values["people"].as_array().into_iter().flatten().cloned())
            .collect();
        for field in FIELDS {
            let shown = first.values.get(field).cloned().unwrap_or(Value::Null);
            self.check_place(field, &shown, &mut listed)?;
        }
        for choice in CHOICES {
            let chosen = first.values["topics"].as_array().is_some_and(|all| all.contains(&json!(choice)));
            let standing = self.model.standing(&format!("topics:{choice}"));
            prop_assert!(standing.is_empty() != standing.contains(&&json!(chosen)) || !chosen && standing.is_empty());
        }
        for row in self.model.rows() {
            let (shown, disputed) = self.model.row(row);
            prop_assert_eq!(rows.contains_key(row), shown, "row {}", row);
            prop_assert_eq!(listed.remove(&format!("people[{row}]/_removed")).is_some(), disputed, "row {}", row);
            for field in ["name", "age"].into_iter().filter(|_| shown) {
                let value = rows[row].get(field).cloned().unwrap_or(Value::Null);
                self.check_place(&format!("people[{row}]/{field}"), &value, &mut listed)?;
            }
        }
        prop_assert!(listed.is_empty(), "nobody disagrees about {:?}", listed);
        Ok(())
    }

    fn check_place(
        &self,
        place: &str,
        shown: &Value,
        listed: &mut BTreeMap<String, Vec<Value>>,
    ) -> Result<(), TestCaseError> {
        let standing = self.model.standing(place);
        let sides = listed.remove(place).unwrap_or_default();
        if standing.len() > 1 {
            prop_assert!(standing.contains(&shown), "{} shows {}, not one of {:?}", place, shown, standing);
            prop_assert_eq!(sides.iter().collect::<Vec<_>>(), standing, "{}", place);
        } else {
            prop_assert_eq!(standing.first().copied().unwrap_or(&Value::Null), shown, "{}", place);
            prop_assert!(sides.is_empty(), "nobody disagrees about {}: {:?}", place, sides);
        }
        Ok(())
    }
}

#[test]
fn any_edits_in_any_order_of_sync_end_in_one_record_that_hides_nothing() {
    let office = Office::open();
    let county = office.county();
    let mut phones = vec![office.phone("duojie"), office.phone("maxiuying")];
    // A second phone of the same user.
    let second = Phone::at(&office.world.home("second"));
    second.book.enrol(&office.world.link("duojie"), "second").unwrap();
    second.sync();
    phones.push(second);
    let random = fieldbook_core::client::system::SystemRandom::new();
    let random: &dyn Random = &random;
    let config = ProptestConfig { cases: CASES, failure_persistence: None, max_shrink_iters: 60, ..Default::default() };
    let mut runner = TestRunner::new(config);
    let done = runner.run(&prop::collection::vec(step(), 1..STEPS_MAX), |steps| {
        let mut case = Case { phones: &phones, record: RecordId::new(random), model: Model::default(), names: 0 };
        steps.iter().for_each(|step| case.run(step));
        case.settle();
        case.check(&county)
    });
    done.unwrap_or_else(|failure| panic!("{failure}"));
    for phone in &phones {
        assert_eq!(phone.book.status().unwrap().store.outbox_changes, 0);
    }
}
