//! Any edits by any of three people, delivered in any order and more than once, against a plain causal model.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::document::tests::row;
use crate::forms::{Scalar, Values};

type Hash = ChangeHash;

/// What one write is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    Name,
    RowName(u8),
    Need(u8),
    RowIll(u8, u8),
    Row(u8),
    Removed(u8),
}

/// A written value; choices and removals are 1 or 0.
type Value = Option<u8>;

type Writes = Vec<(Key, Value)>;

/// Every change with its past and what it wrote: no CRDT, only who knew what.
#[derive(Default)]
struct Model {
    changes: HashMap<Hash, (HashSet<Hash>, Writes)>,
}

impl Model {
    fn past(&self, heads: &[Hash]) -> HashSet<Hash> {
        let mut past: HashSet<Hash> = heads.iter().copied().collect();
        for head in heads {
            past.extend(self.changes.get(head).into_iter().flat_map(|(past, _)| past.iter().copied()));
        }
        past
    }

    /// Writes that nobody who knew of them has superseded, within what `known` holds.
    fn live(&self, key: &Key, known: &HashSet<Hash>) -> Vec<(Hash, Value)> {
        let of = |hash: &Hash| self.changes.get(hash)?.1.iter().find(|(own, _)| own == key).map(|(_, value)| *value);
        let writes: Vec<(Hash, Value)> = known.iter().filter_map(|hash| Some((*hash, of(hash)?))).collect();
        let beaten =
            |hash: &Hash| writes.iter().any(|(other, _)| other != hash && self.changes[other].0.contains(hash));
        writes.iter().filter(|(hash, _)| !beaten(hash)).copied().collect()
    }

    fn chosen(&self, key: &Key, known: &HashSet<Hash>) -> bool {
        self.live(key, known).iter().any(|(_, value)| *value == Some(1))
    }

    fn rows(&self, known: &HashSet<Hash>) -> BTreeSet<u8> {
        let keys = known.iter().filter_map(|hash| self.changes.get(hash)).flat_map(|(_, writes)| writes);
        keys.filter_map(|(key, _)| if let Key::Row(n) = key { Some(*n) } else { None }).collect()
    }

    /// Whether the row is gone, and whether that is disputed.
    fn removal(&self, n: u8, known: &HashSet<Hash>) -> (bool, bool) {
        let marks = self.live(&Key::Removed(n), known);
        let removers: Vec<Hash> = marks.iter().filter(|(_, value)| *value == Some(1)).map(|(hash, _)| *hash).collect();
        if removers.is_empty() {
            return (false, false);
        }
        let seen = self.past(&removers);
        let inside = |key: &Key| matches!(key, Key::RowName(m) | Key::RowIll(m, _) if *m == n);
        let unseen = known.iter().any(|hash| {
            let writes = self.changes.get(hash).into_iter().flat_map(|(_, writes)| writes);
            !seen.contains(hash) && writes.into_iter().any(|(key, _)| inside(key))
        });
        let kept = marks.len() > removers.len();
        (!unseen && !kept, unseen || kept)
    }

    /// What a save at `known` would write for a wish.
    fn wish(&self, key: &Key, value: Value, known: &HashSet<Hash>) -> bool {
        let live = self.live(key, known);
        match key {
            Key::Need(_) | Key::RowIll(..) => self.chosen(key, known) != (value == Some(1)),
            Key::Removed(_) => value == Some(1) || live.iter().any(|(_, value)| *value == Some(1)),
            Key::Row(_) => true,
            Key::Name | Key::RowName(_) if live.is_empty() => value.is_some(),
            Key::Name | Key::RowName(_) => live.iter().any(|(_, held)| *held != value),
        }
    }
}

struct Person {
    actor: ActorId,
    doc: Document,
    opened: Vec<Hash>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Opens the form: later saves are made at these heads.
    Open(usize),
    /// One save of one or two wishes, at the heads that were opened or at the current ones.
    Save(usize, bool, Vec<(u8, u8, u8)>),
    /// Delivers some or all of one person's changes to another, shuffled.
    Deliver(usize, usize, u64, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..3_usize;
    prop_oneof![
        1 => who.clone().prop_map(Step::Open),
        6 => (who.clone(), prop::bool::weighted(0.3), prop::collection::vec((0..10_u8, any::<u8>(), 0..3_u8), 1..3))
            .prop_map(|(who, stale, wishes)| Step::Save(who, stale, wishes)),
        3 => (who.clone(), who, any::<u64>(), prop::bool::weighted(0.3))
            .prop_map(|(from, to, seed, part)| Step::Deliver(from, to, seed, part)),
    ]
}

fn letter(value: Value) -> Option<Scalar> {
    value.map(|n| Scalar::Text(format!("v{n}")))
}

fn members(field: &str, n: u8) -> FieldPath {
    FieldPath::in_row(format!("members/{field}"), "members", row(n))
}

fn edit_of(key: &Key, value: Value) -> Edit {
    let choose = |path: FieldPath, n: u8| Edit::Choose { path, choice: format!("c{n}"), chosen: value == Some(1) };
    match key {
        Key::Name => Edit::Set { path: FieldPath::root("name"), value: letter(value) },
        Key::RowName(n) => Edit::Set { path: members("name", *n), value: letter(value) },
        Key::Need(c) => choose(FieldPath::root("needs"), *c),
        Key::RowIll(n, c) => choose(members("ills", *n), *c),
        Key::Row(n) => add("members", *n),
        Key::Removed(n) if value == Some(1) => remove(*n),
        Key::Removed(n) => Edit::Set { path: members("_removed", *n), value: text("kept") },
    }
}

fn key_of(kind: u8, pick: u8, value: u8, shown: &[u8], next: &mut u8) -> Option<(Key, Value)> {
    let some = || shown.get(pick as usize % shown.len().max(1)).copied();
    let text = if value == 0 { None } else { Some(value) };
    let flag = Some(value & 1);
    // One field of all is written most often: disagreements about disagreements are where things go wrong.
    Some(match kind {
        0 | 7.. => (Key::Name, text),
        1 => (Key::Need(pick % 2), flag),
        2 => {
            *next += 1;
            (Key::Row(*next), Some(1))
        }
        3 | 4 => (Key::RowName(some()?), text),
        5 => (Key::RowIll(some()?, pick % 2), flag),
        6 => (Key::Removed(some()?), flag),
    })
}

/// One save, in the document and in the model.
fn play(model: &mut Model, person: &mut Person, stale: bool, wishes: &[(u8, u8, u8)], next: &mut u8, time_s: i64) {
    let at = if stale { person.opened.clone() } else { person.doc.heads() };
    let past = model.past(&at);
    let shown: Vec<u8> = model.rows(&past).into_iter().filter(|n| !model.removal(*n, &past).0).collect();
    let mut keys: BTreeMap<Key, Value> = BTreeMap::new();
    for (kind, pick, value) in wishes {
        keys.extend(key_of(*kind, *pick, *value, &shown, next));
    }
    let edits: Vec<Edit> = keys.iter().map(|(key, value)| edit_of(key, *value)).collect();
    let writes: Vec<(Key, Value)> = keys.into_iter().filter(|(key, value)| model.wish(key, *value, &past)).collect();
    let made = person.doc.edit(&form("1"), &at, person.actor, time_s, &edits).unwrap();
    assert_eq!(made.is_some(), !writes.is_empty(), "{writes:?}");
    if let Some(change) = made {
        let mut past = past;
        past.insert(change.hash);
        model.changes.insert(change.hash, (past, writes));
        person.opened.push(change.hash);
    }
}

/// Delivers changes in the given order, again and again until nothing more fits; every honest change must pass.
fn deliver(to: &mut Document, mut changes: Vec<RawChange>) {
    loop {
        let before = changes.len();
        changes.retain(|change| match admit(to, &form("1"), &change.bytes, None) {
            Ok(_) => false,
            Err(Refusal::MissingDependency { .. }) => true,
            Err(other) => panic!("an honest change was not taken: {other}"),
        });
        if changes.len() == before {
            return;
        }
    }
}

fn compare(model: &Model, doc: &Document) {
    let known: HashSet<Hash> = doc.changes().iter().map(|change| change.hash).collect();
    let values: Values = doc.read(&form("1"));
    let conflicts: BTreeMap<String, BTreeSet<Option<Scalar>>> = doc
        .conflicts(&form("1"))
        .into_iter()
        .map(|one| (one.path.to_string(), one.values.into_iter().map(|value| value.value).collect()))
        .collect();
    let mut expected = BTreeMap::new();
    let mut scalar = |key: Key, path: FieldPath, held: Option<&Scalar>| {
        let live: BTreeSet<Option<Scalar>> = model.live(&key, &known).into_iter().map(|(_, v)| letter(v)).collect();
        assert!(
            live.contains(&held.cloned()) || (live.is_empty() && held.is_none()),
            "{path} shows {held:?} of {live:?}"
        );
        if live.len() > 1 {
            expected.insert(path.to_string(), live);
        }
    };
    scalar(Key::Name, FieldPath::root("name"), values.fields.get("name"));
    let rows = values.rows.get("members").cloned().unwrap_or_default();
    for one in &rows {
        scalar(Key::RowName(one.id.0[0]), members("name", one.id.0[0]), one.fields.get("members/name"));
    }
    let mut disputed = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for n in model.rows(&known) {
        let (gone, dispute) = model.removal(n, &known);
        shown.extend((!gone).then_some(n));
        disputed.extend(dispute.then(|| members("_removed", n).to_string()));
    }
    assert_eq!(rows.iter().map(|one| one.id.0[0]).collect::<BTreeSet<_>>(), shown);
    let (removals, scalars): (BTreeMap<_, _>, BTreeMap<_, _>) =
        conflicts.into_iter().partition(|(path, _)| path.ends_with("/_removed"));
    assert_eq!(scalars, expected);
    assert_eq!(removals.into_keys().collect::<BTreeSet<_>>(), disputed);
    for c in 0..2_u8 {
        let has = |set: Option<&BTreeSet<String>>| set.is_some_and(|set| set.contains(&format!("c{c}")));
        assert_eq!(has(values.sets.get("needs")), model.chosen(&Key::Need(c), &known));
        for one in &rows {
            assert_eq!(has(one.sets.get("members/ills")), model.chosen(&Key::RowIll(one.id.0[0], c), &known));
        }
    }
}

fn run(steps: &[Step]) {
    let mut model = Model::default();
    let person = |actor| Person { actor, doc: new("1"), opened: new("1").heads() };
    let mut people = [person(A), person(B), person(C)];
    let mut next = 0;
    for (time, step) in steps.iter().enumerate() {
        match step {
            Step::Open(who) => people[*who].opened = people[*who].doc.heads(),
            Step::Save(who, stale, wishes) => {
                play(&mut model, &mut people[*who], *stale, wishes, &mut next, time as i64);
                compare(&model, &people[*who].doc);
            }
            Step::Deliver(from, to, seed, part) => {
                let mut changes = people[*from].doc.changes();
                let mut dice = Dice(*seed);
                for last in (1..changes.len()).rev() {
                    changes.swap(last, dice.below(last + 1));
                }
                if *part {
                    changes.truncate(dice.below(changes.len() + 1));
                }
                deliver(&mut people[*to].doc, changes);
                compare(&model, &people[*to].doc);
            }
        }
    }
    let all: Vec<RawChange> = people.iter().rev().flat_map(|person| person.doc.changes()).collect();
    for person in &mut people {
        deliver(&mut person.doc, all.clone());
        compare(&model, &person.doc);
        assert_eq!(person.doc.changes().len(), model.changes.len());
    }
    let [one, two, three] = people.map(|person| person.doc);
    for other in [two, three] {
        assert_eq!(one.heads(), other.heads());
        assert_eq!(one.read(&form("1")), other.read(&form("1")));
        assert_eq!(one.conflicts(&form("1")), other.conflicts(&form("1")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_edits_in_any_order_converge_and_lose_nothing(steps in prop::collection::vec(step(), 1..40)) {
        run(&steps);
    }
}
