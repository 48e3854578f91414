//! Any history of saves, moves and syncs over a bad line ends the same: every record where its last move took it, on
//! exactly the phones that may have it, with every save that anybody ever made, and nothing kept apart.

use std::collections::BTreeMap;

use fieldbook_core::ids::RecordId;
use fieldbook_core::store::{ListFilter, SyncState};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::super::inside::{Fault, Inside, TOWN, close, sync_once};
use super::super::office::{NOTE, Phone, id};
use super::{OTHER, apart, move_to, two_towns};

const CASES: u32 = 24;
const STEPS_MAX: usize = 28;
const RECORDS: u8 = 3;
/// Each phone, its user, and the units whose records it may have.
const PHONES: [(&str, &str, &[&str]); 4] = [
    ("a", "duojie", &[TOWN]),
    ("b", "zhaxi", &[OTHER]),
    ("both", "lamao", &[TOWN, OTHER]),
    ("a-too", "maxiuying", &[TOWN]),
];
const UNITS: [&str; 2] = [TOWN, OTHER];
const FIELDS: [&str; 3] = ["title", "remark", "phone"];

#[derive(Clone, Debug)]
enum Step {
    /// Writes in a record, if the phone has it.
    Save {
        phone: usize,
        record: u8,
        field: usize,
    },
    Move {
        record: u8,
        unit: usize,
    },
    Sync {
        phone: usize,
        fault: usize,
    },
    /// The phone's process ends and begins anew.
    Restart {
        phone: usize,
    },
}

const FAULTS: [Fault; 5] = [Fault::None, Fault::None, Fault::CutUp(0), Fault::CutDown(0), Fault::RequestTwice];

fn step() -> impl Strategy<Value = Step> {
    let (phone, record) = (0..PHONES.len(), 0..RECORDS);
    prop_oneof![
        6 => (phone.clone(), record.clone(), 0..FIELDS.len())
            .prop_map(|(phone, record, field)| Step::Save { phone, record, field }),
        3 => (record, 0..UNITS.len()).prop_map(|(record, unit)| Step::Move { record, unit }),
        6 => (phone.clone(), 0..FAULTS.len()).prop_map(|(phone, fault)| Step::Sync { phone, fault }),
        1 => phone.prop_map(|phone| Step::Restart { phone }),
    ]
}

/// What was done to the records, counted.
struct Done {
    unit: BTreeMap<RecordId, &'static str>,
    saves: BTreeMap<RecordId, Vec<String>>,
}

fn play(world: &Inside, phones: &mut Vec<Phone>, steps: &[Step]) -> Done {
    let records: Vec<RecordId> = (0..RECORDS).map(id).collect();
    let mut done = Done {
        unit: records.iter().map(|record| (*record, TOWN)).collect(),
        saves: records.iter().map(|record| (*record, vec!["一户".to_owned()])).collect(),
    };
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Save { phone, record, field } => {
                let (phone, record) = (&phones[*phone], id(*record));
                if phone.book.record(record).is_ok() {
                    let text = format!("第{number}步");
                    phone.set(record, FIELDS[*field], text.as_str());
                    done.saves.get_mut(&record).unwrap().push(text);
                }
            }
            Step::Move { record, unit } => {
                move_to(world, id(*record), UNITS[*unit]);
                done.unit.insert(id(*record), UNITS[*unit]);
            }
            Step::Sync { phone, fault } => {
                world.line.break_after(0, FAULTS[*fault]);
                let _ = sync_once(&phones[*phone]);
                world.line.break_after(0, Fault::None);
            }
            Step::Restart { phone } => {
                let old = phones.remove(*phone);
                phones.insert(*phone, world.again(old));
            }
        }
    }
    done
}

/// Every phone has exactly the records of its units, with all saves, and says that they are on the server.
fn ends_well(world: &Inside, phones: &[Phone], done: &Done) {
    for _ in 0..2 {
        phones.iter().for_each(|phone| drop(phone.sync()));
    }
    world.verify();
    assert_eq!(apart(world), Vec::<String>::new());
    let mut heads = BTreeMap::new();
    for (phone, (name, _, units)) in phones.iter().zip(PHONES) {
        let rows = phone.book.list(NOTE, &ListFilter::default(), None, 100).unwrap();
        let mut here: Vec<RecordId> = rows.into_iter().map(|row| row.id).collect();
        here.sort();
        let may: Vec<RecordId> =
            done.unit.iter().filter(|(_, unit)| units.contains(unit)).map(|(record, _)| *record).collect();
        assert_eq!(here, may, "{name}");
        for record in here {
            let view = phone.record(record);
            assert_eq!((view.unit.as_str(), view.sync), (done.unit[&record], SyncState::OnServer), "{name}: {record}");
            let mut wrote: Vec<&str> =
                view.history.iter().flat_map(|save| &save.touched).map(|field| field.shown.as_str()).collect();
            wrote.sort_unstable();
            let mut saved: Vec<&str> = done.saves[&record].iter().map(String::as_str).collect();
            saved.sort_unstable();
            assert_eq!(wrote, saved, "{name}: {record}");
            assert_eq!(heads.entry(record).or_insert_with(|| view.heads.clone()), &view.heads, "{name}: {record}");
        }
        assert_eq!(phone.book.status().unwrap().store.outbox_changes, 0, "{name}");
        assert!(phone.book.not_taken(0, 10).unwrap().is_empty(), "{name}");
    }
}

#[test]
fn any_history_of_saves_moves_and_syncs_ends_with_everything_in_its_place() {
    let base = two_towns();
    let phones: Vec<Phone> = PHONES.iter().map(|(name, login, _)| base.phone(name, login)).collect();
    for record in 0..RECORDS {
        phones[0].create(NOTE, Some(id(record)), json!({ "title": "一户" }));
    }
    phones.iter().for_each(|phone| drop(phone.sync()));
    phones.into_iter().for_each(close);
    let mut runner = TestRunner::new(Config { cases: CASES, ..Config::default() });
    let histories = prop::collection::vec(step(), 1..STEPS_MAX);
    let played = runner.run(&histories, |steps| {
        let world = base.copy();
        let mut phones: Vec<Phone> = PHONES.iter().map(|(name, ..)| world.at(name)).collect();
        let done = play(&world, &mut phones, &steps);
        ends_well(&world, &phones, &done);
        Ok(())
    });
    played.unwrap();
}
