//! Whatever is saved, changed, removed, purged or given up: list, search, person index and outbox say what a naive
//! model says, also after the store was opened again.

use crate::document::ChangeState;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::*;
use super::support::*;
use super::{found, outbox_row};

const NAMES: [&str; 6] = ["才让卓玛", "仁青·卓玛", "扎西", "马国庆", "才让", "韩阿卜杜"];
const NUMBERS: [&str; 3] = [ID_NUMBER, "632322199001010026", "632323197512310018"];

#[derive(Clone, Debug)]
enum Step {
    Save { record: u64, name: usize, number: usize, conflicts: u32 },
    SaveAndFail { record: u64, name: usize },
    Outbox { record: u64, hash: u64 },
    State { hash: u64, state: ChangeState },
    Remove { record: u64 },
    Purge { record: u64 },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let record = 0u64..6;
    let state = prop::sample::select(vec![
        ChangeState::Stated,
        ChangeState::Sent,
        ChangeState::Entered(3),
        ChangeState::NotTaken,
        ChangeState::Withdrawn,
    ]);
    prop_oneof![
        6 => (record.clone(), 0..NAMES.len(), 0..NUMBERS.len(), 0u32..2)
            .prop_map(|(record, name, number, conflicts)| Step::Save { record, name, number, conflicts }),
        1 => (record.clone(), 0..NAMES.len()).prop_map(|(record, name)| Step::SaveAndFail { record, name }),
        3 => (record.clone(), 0u64..12).prop_map(|(record, hash)| Step::Outbox { record, hash }),
        3 => (0u64..12, state).prop_map(|(hash, state)| Step::State { hash, state }),
        1 => record.clone().prop_map(|record| Step::Remove { record }),
        1 => record.prop_map(|record| Step::Purge { record }),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    /// Name, number, conflicts; and the order of the last save.
    records: BTreeMap<u64, (usize, usize, u32, u64)>,
    outbox: BTreeMap<u64, (u64, ChangeState)>,
    purged: BTreeSet<u64>,
    saves: u64,
}

impl Model {
    fn sync(&self, id: u64) -> SyncState {
        let mut states = self.outbox.values().filter(|(record, _)| *record == id).map(|(_, state)| *state).peekable();
        let open = |state: &ChangeState| !matches!(state, ChangeState::NotTaken | ChangeState::Withdrawn);
        let open: Vec<ChangeState> = states.by_ref().filter(open).collect();
        if open.iter().any(|state| matches!(state, ChangeState::Unstated | ChangeState::Stated)) {
            SyncState::SavedHere
        } else if open.is_empty() {
            SyncState::OnServer
        } else {
            SyncState::Sent
        }
    }

    fn latest_first(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.records.keys().copied().collect();
        ids.sort_by_key(|id| std::cmp::Reverse(self.records[id].3));
        ids
    }

    fn apply(&mut self, store: &Store, step: &Step) {
        match step {
            Step::Save { record, name, number, conflicts } => {
                let saved = store.write(|write| save(write, *record, *name, *number, *conflicts));
                assert_eq!(saved.is_err(), self.purged.contains(record));
                if saved.is_ok() {
                    self.saves += 1;
                    self.records.insert(*record, (*name, *number, *conflicts, self.saves));
                }
            }
            Step::SaveAndFail { record, name } => {
                let _ = store.write(|write| {
                    save(write, *record, *name, 0, 0)?;
                    Err::<(), _>(StoreError::NoEncryption)
                });
            }
            Step::Outbox { record, hash } => {
                if self.records.contains_key(record) {
                    let row = OutboxRow { record: super::support::record(*record), ..outbox_row(*hash) };
                    store.write(|write| write.put_outbox(&row)).unwrap();
                    self.outbox.entry(*hash).or_insert((*record, ChangeState::Unstated));
                }
            }
            Step::State { hash, state } => {
                store.write(|write| write.set_change_state(&super::support::hash(*hash), *state)).unwrap();
                if let Some(row) = self.outbox.get_mut(hash) {
                    row.1 = *state;
                }
            }
            Step::Remove { record } | Step::Purge { record } => {
                let id = super::support::record(*record);
                let purge = matches!(step, Step::Purge { .. });
                store
                    .write(|write| if purge { write.purge(&id, &|_, _| None) } else { write.remove_record(&id) })
                    .unwrap();
                self.records.remove(record);
                self.outbox.retain(|_, (of, _)| of != record);
                if purge {
                    self.purged.insert(*record);
                }
            }
            Step::Reopen => {}
        }
    }

    fn check(&self, store: &Store) {
        let mut listed = Vec::new();
        let mut after = None;
        // By pages of two, so that paging is tried as well.
        loop {
            let page: Vec<ListRow> =
                store.read(|view| view.list("household", &ListFilter::default(), after, 2)).unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.place);
            listed.extend(page);
        }
        let expected = self.latest_first();
        assert_eq!(listed.iter().map(|row| row.id).collect::<Vec<_>>(), ids(&expected));
        for (row, id) in listed.iter().zip(&expected) {
            assert_eq!((row.title.as_str(), row.sync), (NAMES[self.records[id].0], self.sync(*id)));
        }
        let filter = ListFilter { in_conflict: true, ..ListFilter::default() };
        let torn: Vec<ListRow> = store.read(|view| view.list("household", &filter, None, 100)).unwrap();
        let in_conflict: Vec<u64> = expected.iter().copied().filter(|id| self.records[id].2 > 0).collect();
        assert_eq!(torn.iter().map(|row| row.id).collect::<Vec<_>>(), ids(&in_conflict));
        let status: Status = store.read(|view| view.status()).unwrap();
        assert_eq!(status.in_conflict, in_conflict.len() as u64);
        let on_server = expected.iter().filter(|id| self.sync(**id) == SyncState::OnServer).count();
        assert_eq!(status.on_server, on_server as u64);
        for (typed, part) in [("才让", "才让"), ("zhuoma", "卓玛"), ("mgq", "马国庆"), ("卓玛", "卓玛")] {
            let mut names = found(store, typed);
            names.sort();
            let mut wanted: Vec<String> = self.records.values().map(|r| NAMES[r.0].to_owned()).collect();
            wanted.retain(|name| name.contains(part));
            wanted.sort();
            assert_eq!(names, wanted, "{typed}");
        }
        for (at, number) in NUMBERS.iter().enumerate() {
            let key = PersonKey::IdNumber((*number).to_owned());
            let hits: Vec<PersonHit> = store.read(|view| view.person(&key)).unwrap();
            let wanted: Vec<u64> = expected.iter().copied().filter(|id| self.records[id].1 == at).collect();
            assert_eq!(hits.iter().map(|hit| hit.record).collect::<Vec<_>>(), ids(&wanted));
        }
    }
}

fn ids(numbers: &[u64]) -> Vec<crate::ids::RecordId> {
    numbers.iter().map(|n| record(*n)).collect()
}

fn save(write: &Write<'_>, n: u64, name: usize, number: usize, conflicts: u32) -> Result<(), StoreError> {
    write.put_meta(&record(n), &meta("household"))?;
    let read = ReadRow { conflict_count: conflicts, ..row(NAMES[name], &[NUMBERS[number]]) };
    write.put_record(&record(n), NAMES[name].as_bytes(), &read)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_store_says_what_a_naive_model_says(steps in prop::collection::vec(step(), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        let mut model = Model::default();
        for step in &steps {
            if matches!(step, Step::Reopen) {
                drop(store);
                store = open(dir.path());
            }
            model.apply(&store, step);
        }
        model.check(&store);
    }
}
