//! Hostile changes by the hundred thousand: each is answered within 50 ms and 50 MB, and every record still loads.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use fieldbook_core::access::Area;
use fieldbook_core::document::{Document, RawChange};
use fieldbook_core::forms::{Edit, Field, FieldPath, FieldType, FormDefinition, Merge, Scalar, Sensitivity};
use fieldbook_core::ids::{ActorId, RecordId, RowId};
use fieldbook_core::intake::{Refusal, admit};
use fieldbook_tests::hostile::{self, Claim, DEFLATED, Dice};

const MUTATIONS: usize = 100_000;
/// CPU of one answer; a build without optimisation gets ten times as much.
const ANSWER_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 50 });
const PEAK_BYTES_MAX: u64 = 50 * 1024 * 1024;
const A: ActorId = ActorId([0xaa; 16]);
const B: ActorId = ActorId([0xbb; 16]);

fn field(path: &str, field_type: FieldType, repeat: Option<&str>) -> Field {
    Field {
        path: path.to_owned(),
        field_type,
        repeat: repeat.map(str::to_owned),
        merge: Merge::Register,
        sensitivity: Sensitivity::Plain,
        writers: Vec::new(),
        check: None,
        identity: false,
        occasion: false,
        list: false,
        search: false,
        calculated: false,
        choice_list: None,
        label: BTreeMap::new(),
        unit: None,
    }
}

fn form() -> FormDefinition {
    let mut fields: Vec<Field> = (0..40).map(|n| field(&format!("f{n}"), FieldType::Text, None)).collect();
    fields.push(field("age", FieldType::Integer, None));
    fields.push(field("needs", FieldType::SelectMultiple, None));
    fields.push(field("members/name", FieldType::Text, Some("members")));
    fields.push(field("members/age", FieldType::Integer, Some("members")));
    fields.push(field("members/ills", FieldType::SelectMultiple, Some("members")));
    FormDefinition {
        kind: "household".to_owned(),
        version: "1".to_owned(),
        title: BTreeMap::new(),
        languages: Vec::new(),
        area: Area::Aid,
        fields,
        repeats: vec![("members".to_owned(), None)],
        items: Vec::new(),
        choices: BTreeMap::new(),
        xform: String::new(),
    }
}

fn set(path: FieldPath, value: Scalar) -> Edit {
    Edit::Set { path, value: Some(value) }
}

/// A record as a visit makes it: first save with rows, then edits by two people, one of them stale.
fn record(id: u8) -> (Document, Vec<RawChange>) {
    let form = form();
    let mut doc = Document::create(RecordId([id; 16]), &form).expect("a record");
    let mut first: Vec<Edit> =
        (0..40).map(|n| set(FieldPath::root(format!("f{n}")), Scalar::Text(format!("才让卓玛 {n}")))).collect();
    for n in 1..=8 {
        let row = RowId([n; 8]);
        let path = |name: &str| FieldPath::in_row(format!("members/{name}"), "members", row);
        first.push(Edit::AddRow { repeat: "members".to_owned(), row, parent: None });
        first.push(set(path("name"), Scalar::Text("扎西".to_owned())));
        first.push(set(path("age"), Scalar::Integer(i64::from(n))));
        first.push(Edit::Choose { path: path("ills"), choice: "heart".to_owned(), chosen: true });
    }
    let mut save = |at: Vec<_>, actor, edits: &[Edit]| {
        doc.edit(&form, &at, actor, 1_750_000_000, edits).expect("a save").expect("a change").hash
    };
    let creation = Document::create(RecordId([id; 16]), &form).expect("a record").heads();
    let opened = vec![save(creation, A, &first)];
    let text = |text: &str| Scalar::Text(text.to_owned());
    let a = save(
        opened.clone(),
        A,
        &[set(FieldPath::root("f1"), text("a")), set(FieldPath::root("age"), Scalar::Integer(70))],
    );
    let removal = Edit::RemoveRow { repeat: "members".to_owned(), row: RowId([2; 8]) };
    let b = save(opened, B, &[set(FieldPath::root("f1"), text("b")), removal]);
    save(vec![a, b], B, &[set(FieldPath::root("f1"), text("a")), Edit::Submit { at: "t".to_owned() }]);
    let changes = doc.changes();
    (doc, changes)
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says how long a thread ran");
    Duration::from_nanos(stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds"))
}

/// Highest resident size of this process so far.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says how much memory a process has");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kB") * 1024
}

/// Asks intake, holds the answer against the limits, and says whether the change was taken.
fn ask(doc: &mut Document, bytes: &[u8], longest: &mut Duration) -> Result<(), Refusal> {
    let begun = cpu();
    let answer = admit(doc, &form(), bytes, None).map(|_| ());
    let taken = cpu() - begun;
    *longest = taken.max(*longest);
    assert!(taken < ANSWER_MAX, "an answer took {taken:?}: {}", hex::encode(&bytes[..bytes.len().min(2_000)]));
    answer
}

fn bombs(doc: &Document) -> Vec<Vec<u8>> {
    let creation = doc.creation().0;
    let zeros = vec![0; 1 << 20];
    let replanted = record(9).1.remove(0).bytes;
    vec![
        Claim::puts(Vec::new(), B.0, 1, "f1", 100_000_000).bytes(),
        Claim::puts(vec![creation], B.0, 100, "f1", 100_000_000).bytes(),
        Claim::puts(vec![creation], B.0, 100, "f1", 20_000).bytes(),
        Claim::puts(vec![creation], B.0, (1 << 32) - 6, "f1", 1).bytes(),
        hostile::seal(DEFLATED, &zeros),
        hostile::seal(DEFLATED, &zeros[..200_000]),
        hostile::seal(0, &zeros[..200_000]),
        hostile::seal(3, &zeros[..200_000]),
        hostile::seal(hostile::PLAIN, &zeros),
        replanted,
    ]
}

/// Runs alone in a process of its own, so that time and memory are its own.
#[test]
#[ignore = "run by hostile_changes_harm_nothing in a process of its own"]
fn measured() {
    std::panic::set_hook(Box::new(|_| {}));
    let (whole, changes) = record(7);
    let mut doc = Document::create(RecordId([7; 16]), &form()).expect("a record");
    let mut dice = Dice(1);
    let mut longest = Duration::ZERO;
    let mut taken = 0_usize;
    let before = peak_bytes();
    for change in &changes {
        for bomb in bombs(&whole) {
            ask(&mut doc.clone(), &bomb, &mut longest).expect_err("a bomb was taken");
        }
        for _ in 0..MUTATIONS / changes.len() {
            let bytes = hostile::mutate(&change.bytes, &mut dice);
            let mut copy = doc.clone();
            if ask(&mut copy, &bytes, &mut longest).is_ok() {
                taken += 1;
                let again = Document::load(&copy.save()).expect("every stored record loads");
                assert_eq!(again.heads(), copy.heads());
                let heads = again.heads();
                let edit = [set(FieldPath::root("f3"), Scalar::Text("next".to_owned()))];
                copy.edit(&form(), &heads, ActorId([1; 16]), 5, &edit).expect("and can be written");
            }
        }
        ask(&mut doc, &change.bytes, &mut longest).expect("the honest change");
    }
    assert_eq!(doc.heads(), whole.heads());
    let peak = peak_bytes() - before;
    println!("inputs {MUTATIONS} taken {taken} longest_us {} peak_bytes {peak}", longest.as_micros());
    assert!(peak < PEAK_BYTES_MAX, "intake took {peak} bytes");
}

#[test]
fn hostile_changes_harm_nothing() {
    let this = std::env::current_exe().expect("this test");
    let args = ["--exact", "intake::measured", "--ignored", "--nocapture", "--test-threads=1"];
    let ran = Command::new(this).args(args).output().expect("this test again");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("longest_us"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    print!("{}", said.lines().filter(|line| line.starts_with("inputs")).collect::<Vec<_>>().join("\n"));
}
