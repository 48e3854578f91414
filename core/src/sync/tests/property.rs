//! Any edits on any phones, in any order of exchanges that may break anywhere, end in the same records, with nothing
//! lost.

use proptest::prelude::*;

use super::*;
use crate::document::tests::set;
use crate::forms::Edit;
use crate::ids::RowId;

const PHONES: usize = 3;
const RECORDS: u8 = 3;

#[derive(Clone, Debug)]
enum Step {
    Save {
        phone: usize,
        record: u8,
        field: u8,
        value: u8,
    },
    AddRow {
        phone: usize,
        record: u8,
        value: u8,
    },
    /// Not allowed: quarantined, with whatever builds on it.
    Overstep {
        phone: usize,
        record: u8,
        value: u8,
    },
    Exchange {
        phone: usize,
    },
    CutUp {
        phone: usize,
        at: usize,
    },
    CutDown {
        phone: usize,
        at: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let phone = 0..PHONES;
    let record = 0..RECORDS;
    prop_oneof![
        4 => (phone.clone(), record.clone(), 0u8..2, any::<u8>())
            .prop_map(|(phone, record, field, value)| Step::Save { phone, record, field, value }),
        2 => (phone.clone(), record.clone(), any::<u8>())
            .prop_map(|(phone, record, value)| Step::AddRow { phone, record, value }),
        1 => (phone.clone(), record, any::<u8>())
            .prop_map(|(phone, record, value)| Step::Overstep { phone, record, value }),
        3 => phone.clone().prop_map(|phone| Step::Exchange { phone }),
        1 => (phone.clone(), 0usize..1500).prop_map(|(phone, at)| Step::CutUp { phone, at }),
        1 => (phone, 0usize..1500).prop_map(|(phone, at)| Step::CutDown { phone, at }),
    ]
}

fn run(world: &mut World, steps: &[Step]) -> usize {
    let mut rows = 0;
    for (at, step) in steps.iter().enumerate() {
        let time_s = at as i64;
        match *step {
            Step::Save { phone, record, field, value } => {
                let edit = match field {
                    0 => set("name", &format!("{phone} {value}")),
                    _ => Edit::Set {
                        path: "age".parse().unwrap(),
                        value: Some(crate::forms::Scalar::Integer(i64::from(value))),
                    },
                };
                world.phones[phone].save(RecordId([record; 16]), time_s, &[edit]);
            }
            Step::AddRow { phone, record, value } => {
                let row = RowId::random(&world.random);
                let add = Edit::AddRow { repeat: "members".to_owned(), row, parent: None };
                let name = set(&format!("members[{row}]/name"), &format!("{value}"));
                world.phones[phone].save(RecordId([record; 16]), time_s, &[add, name]);
                rows += 1;
            }
            Step::Overstep { phone, record, value } => {
                let edits = [set("decided", &format!("{value}")), set("name", &format!("{phone} {value} too"))];
                world.phones[phone].save(RecordId([record; 16]), time_s, &edits);
            }
            Step::Exchange { phone } => {
                world.exchange(phone, Fault::default()).result.unwrap();
            }
            Step::CutUp { phone, at } => {
                let _ = world.exchange(phone, Fault { cut_up: Some(at), cut_down: None });
            }
            Step::CutDown { phone, at } => {
                let _ = world.exchange(phone, Fault { cut_up: None, cut_down: Some(at) });
            }
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_order_ends_alike(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new(PHONES);
        world.sync_all();
        let rows = run(&mut world, &steps);
        world.sync_all();
        let picture = world.phones[0].picture();
        let mut shown = 0;
        for phone in &world.phones {
            prop_assert_eq!(&phone.picture(), &picture);
            prop_assert!(phone.data.pending.is_empty());
            let open = phone.data.outbox.iter().filter(|own| !matches!(
                own.status,
                crate::document::ChangeState::NotTaken | crate::document::ChangeState::Withdrawn
            ));
            prop_assert_eq!(open.count(), 0);
            for record in picture.keys() {
                prop_assert_eq!(phone.shown(record, "decided"), None);
            }
        }
        for record in picture.keys() {
            prop_assert_eq!(&world.server.data.records[record].document.heads(), &picture[record]);
            shown += world.phones[0].values(record).rows.get("members").map_or(0, Vec::len);
        }
        prop_assert_eq!(shown, rows, "every added row is there once");
    }
}
