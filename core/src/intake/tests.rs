use crate::document::layout::container_actor;
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ObjType, ROOT, ReadDoc};

use super::*;
use crate::access::Decision;
use crate::document::RawChange;
use crate::document::tests::{A, B, C, ID, add, choose, form, in_row, new, remove, row, save, set, text};
use crate::forms::{Edit, FieldPath};
use crate::ids::RecordId;

#[path = "../../../tests/src/hostile.rs"]
#[allow(dead_code)]
mod hostile;
mod properties;

use hostile::{Claim, Dice};

const FIELD: &[Role] = &[Role::Field];

fn as_role(roles: &[Role]) -> Rights<'_> {
    Rights { roles, last_review: None, reopened: None }
}

fn take(document: &mut Document, version: &str, change: &RawChange) -> Result<Admitted, Refusal> {
    admit(document, &form(version), &change.bytes, Some(&as_role(FIELD)))
}

/// A change that the library makes without asking anybody.
fn forged(base: &Document, actor: ActorId, work: impl FnOnce(&mut automerge::transaction::Transaction<'_>)) -> Vec<u8> {
    let mut doc = base.doc.clone();
    doc.set_actor(am_actor(actor));
    let mut tx = doc.transaction();
    work(&mut tx);
    tx.commit_with(CommitOptions::default().with_time(9));
    doc.get_last_local_change().unwrap().raw_bytes().to_vec()
}

fn reason(result: Result<Admitted, Refusal>) -> &'static str {
    match result.unwrap_err() {
        Refusal::Refused { reason, .. } | Refusal::Quarantined { reason, .. } => reason,
        Refusal::MissingDependency { .. } => "missing",
        Refusal::NeedsNewerForm { .. } => "newer",
    }
}

/// What every save of one record looks like: rows, sets, conflicts, resolutions, removals.
fn rich() -> (Document, Vec<RawChange>) {
    let mut one = new("1");
    let ills = format!("members[{}]/ills", row(1));
    save(
        &mut one,
        "1",
        A,
        1,
        &[set("name", "才让"), choose("needs", "food", true), add("members", 1), in_row("name", 1, "m")],
    );
    let opened = one.heads();
    save(&mut one, "1", A, 2, &[choose(&ills, "heart", true), set("name", "a2")]);
    one.edit(&form("1"), &opened, B, 3, &[set("name", "b"), choose("needs", "food", false)]).unwrap().unwrap();
    save(&mut one, "1", A, 4, &[set("name", "a2"), remove(1), Edit::Submit { at: "t".into() }]);
    let visit = FieldPath::in_row("visits/note", "visits", row(3));
    save(&mut one, "2", B, 5, &[add("visits", 3), Edit::Set { path: visit, value: text("n") }]);
    let nested = Edit::AddRow { repeat: "members/jobs".into(), row: row(5), parent: Some(row(6)) };
    save(&mut one, "2", C, 6, &[add("members", 6), nested, choose("tags", "x", true)]);
    let changes = one.changes();
    (one, changes)
}

#[test]
fn honest_changes_pass_and_twice_is_once() {
    let (one, changes) = rich();
    let mut two = new("1");
    let all = [Role::Field, Role::County];
    for change in &changes {
        let rights = as_role(&all);
        let admitted = admit(&mut two, &form("2"), &change.bytes, Some(&rights)).unwrap();
        assert_eq!((admitted.hash, admitted.actor, admitted.known), (change.hash, change.actor, false));
        let again = admit(&mut two, &form("2"), &change.bytes, Some(&rights)).unwrap();
        assert!(again.known);
        assert_eq!(again.touched, admitted.touched);
    }
    assert_eq!(two.heads(), one.heads());
    assert_eq!(two.read(&form("2")), one.read(&form("2")));
    assert_eq!(two.changes(), changes);
    let mut late = new("1");
    assert_eq!(take(&mut late, "2", &changes[1]), Err(Refusal::MissingDependency { hash: changes[0].hash }));
    assert_eq!(late.heads(), new("1").heads());
}

#[test]
fn a_phone_keeps_what_its_form_does_not_know_for_later() {
    let mut one = new("1");
    let change = save(&mut one, "2", A, 1, &[set("decided", "yes")]);
    assert_eq!(reason(admit(&mut new("1"), &form("1"), &change.bytes, None)), "newer");
    assert_eq!(reason(take(&mut new("1"), "1", &change)), "field");
    admit(&mut new("1"), &form("2"), &change.bytes, None).unwrap();
}

#[test]
fn what_no_app_writes_is_refused() {
    let mut doc = new("2");
    save(&mut doc, "2", A, 1, &[set("name", "a"), add("members", 1), choose("needs", "food", true)]);
    let members = doc.doc.get(ROOT, "members").unwrap().unwrap().1;
    let needs = doc.doc.get(ROOT, "needs").unwrap().unwrap().1;
    let first = doc.doc.get(&members, row(1).to_string()).unwrap().unwrap().1;
    let before = doc.save();
    let rights = as_role(&[Role::Field, Role::County]);
    let mut check = |want: &str, work: &dyn Fn(&mut automerge::transaction::Transaction<'_>)| {
        let bytes = forged(&doc.clone(), B, work);
        assert_eq!(reason(admit(&mut doc, &form("2"), &bytes, Some(&rights))), want);
    };
    check("system", &|tx| tx.put(ROOT, "_id", "x").unwrap());
    check("system", &|tx| tx.put(ROOT, "_kind", "x").unwrap());
    check("field", &|tx| tx.put(ROOT, "nobody", "x").unwrap());
    check("field", &|tx| tx.put(ROOT, "total", "3").unwrap());
    check("field", &|tx| tx.put(ROOT, "members/name", "x").unwrap());
    check("field", &|tx| tx.put(ROOT, "needs", "x").unwrap());
    check("field", &|tx| drop(tx.put_object(ROOT, "needs", ObjType::Map).unwrap()));
    check("operation", &|tx| drop(tx.put_object(ROOT, "name", ObjType::Map).unwrap()));
    check("malformed", &|tx| drop(tx.put_object(ROOT, "name", ObjType::List).unwrap()));
    check("malformed", &|tx| drop(tx.put_object(ROOT, "name", ObjType::Text).unwrap()));
    check("operation", &|tx| tx.delete(ROOT, "name").unwrap());
    check("operation", &|tx| tx.delete(&members, row(1).to_string()).unwrap());
    check("value", &|tx| tx.put(ROOT, "age", "x").unwrap());
    check("value", &|tx| tx.put(ROOT, "name", 4).unwrap());
    check("value", &|tx| tx.put(ROOT, "name", true).unwrap());
    check("malformed", &|tx| tx.put(ROOT, "name", 1.5).unwrap());
    check("value", &|tx| tx.put(ROOT, "name", "长".repeat(20_001)).unwrap());
    check("value", &|tx| tx.put(ROOT, "_submitted", 4).unwrap());
    check("value", &|tx| tx.put(&needs, "a b", true).unwrap());
    check("value", &|tx| tx.put(&needs, "fuel", "yes").unwrap());
    check("value", &|tx| tx.put(&first, "_removed", "yes").unwrap());
    check("rows", &|tx| tx.put(&first, "_parent", row(1).to_string()).unwrap());
    check("rows", &|tx| drop(tx.put_object(&members, "not-a-row", ObjType::Map).unwrap()));
    check("rows", &|tx| drop(tx.put_object(&members, row(1).to_string(), ObjType::Map).unwrap()));
    check("operation", &|tx| tx.put(&members, row(2).to_string(), "x").unwrap());
    let jobs = doc_container(&before, "members/jobs");
    let ills = doc_container(&before, "members/ills");
    let mut doc = Document::load(&before).unwrap();
    let mut check = |want: &str, work: &dyn Fn(&mut automerge::transaction::Transaction<'_>)| {
        let bytes = forged(&doc.clone(), B, work);
        assert_eq!(reason(admit(&mut doc, &form("2"), &bytes, Some(&rights))), want);
    };
    check("rows", &|tx| drop(tx.put_object(&jobs, row(8).to_string(), ObjType::Map).unwrap()));
    check("rows", &|tx| tx.put(&ills, format!("{}/heart", row(8)), true).unwrap());
    check("value", &|tx| tx.put(&ills, "heart", true).unwrap());
    assert_eq!(Document::load(&before).unwrap().heads(), doc.heads());
}

fn doc_container(body: &[u8], path: &str) -> automerge::ObjId {
    Document::load(body).unwrap().doc.get(ROOT, path).unwrap().unwrap().1
}

#[test]
fn authors_order_and_counters_are_checked() {
    let mut doc = new("1");
    let first = save(&mut doc, "1", A, 1, &[set("name", "a")]);
    let second = save(&mut doc, "1", A, 2, &[set("name", "b")]);
    let mut other = new("1");
    let fork = save(&mut other, "1", A, 3, &[set("name", "fork")]);
    assert_eq!(reason(take(&mut doc, "1", &fork)), "forked");
    assert!(matches!(take(&mut other, "1", &second), Err(Refusal::MissingDependency { hash }) if hash == first.hash));
    let mut claim = Claim::puts(vec![doc.heads()[0].0], B.0, 0, "name", 1);
    for (start_op, want) in [(1, "counter"), ((1 << 32) - 6, "malformed"), (10_100, "counter"), (10_000_000, "counter")]
    {
        claim.start_op = start_op;
        assert_eq!(reason(admit(&mut doc, &form("1"), &claim.bytes(), None)), want, "{start_op}");
    }
    claim.start_op = 100;
    claim.seq = 2;
    assert_eq!(reason(admit(&mut doc, &form("1"), &claim.bytes(), None)), "sequence");
    claim.seq = 1;
    // It does not supersede what it has seen: an honest app would have.
    assert_eq!(reason(admit(&mut doc, &form("1"), &claim.bytes(), None)), "operation");
    claim.actor = container_actor("members").0;
    assert_eq!(reason(admit(&mut doc, &form("1"), &claim.bytes(), None)), "system");
    claim.deps.clear();
    claim.actor = B.0;
    assert_eq!(reason(admit(&mut doc, &form("1"), &claim.bytes(), None)), "system");
    assert_eq!(doc.heads(), [second.hash]);
}

#[test]
fn a_hand_made_honest_claim_passes() {
    // So that the bombs below fail for what they claim and not for how they are made.
    let mut doc = new("1");
    let claim = Claim::puts(vec![doc.creation().0], B.0, 100, "name", 1);
    admit(&mut doc, &form("1"), &claim.bytes(), None).unwrap();
}

#[test]
fn bombs_are_refused_unexploded() {
    let mut doc = new("1");
    let small = Claim::puts(Vec::new(), B.0, 1, "k", 100_000_000).bytes();
    assert!(small.len() <= 75, "{}", small.len());
    let based = Claim::puts(vec![doc.creation().0], B.0, 100, "name", 100_000_000).bytes();
    let big_text = "a".repeat(3_000_000);
    let mut huge = doc.doc.clone();
    let mut tx = huge.transaction();
    tx.put(ROOT, "name", big_text.as_str()).unwrap();
    tx.commit();
    let mut change = huge.get_last_local_change().unwrap();
    let deflated = change.bytes().into_owned();
    assert!(deflated.len() < 10_000 && deflated[8] == hostile::DEFLATED);
    let megabyte = hostile::seal(hostile::DEFLATED, &vec![0x5a; 1 << 20]);
    for bytes in [&small[..], &based, &deflated, change.raw_bytes(), &megabyte, &doc.save(), b"", &[0; 20]] {
        let begun = std::time::Instant::now();
        assert_eq!(reason(admit(&mut doc, &form("1"), bytes, None)), "malformed");
        assert!(begun.elapsed().as_millis() < 500, "a debug build on a busy machine, but not seconds");
    }
    let mut trailing = save(&mut doc.clone(), "1", A, 1, &[set("name", "a")]).bytes;
    trailing.push(0);
    assert_eq!(reason(admit(&mut doc, &form("1"), &trailing, None)), "malformed");
}

#[test]
fn a_change_of_another_record_has_no_ground_here() {
    let mut foreign = Document::create(RecordId([8; 16]), &form("1")).unwrap();
    let change = save(&mut foreign, "1", A, 1, &[set("name", "a")]);
    let refusal = take(&mut new("1"), "1", &change);
    assert_eq!(refusal, Err(Refusal::MissingDependency { hash: foreign.creation() }));
    let mut wrong = form("1");
    wrong.kind = "visit".into();
    let mut doc = Document::create(ID, &form("1")).unwrap();
    let change = save(&mut doc.clone(), "1", A, 1, &[set("name", "a")]);
    assert_eq!(reason(admit(&mut doc, &wrong, &change.bytes, None)), "field");
}

#[test]
fn roles_decide_who_writes_a_field() {
    let mut doc = new("2");
    let change = save(&mut doc.clone(), "2", A, 1, &[set("decided", "yes"), set("name", "a"), add("members", 1)]);
    let by = |doc: &mut Document, roles: &[Role]| admit(doc, &form("2"), &change.bytes, Some(&as_role(roles)));
    let refusal = by(&mut doc, FIELD).unwrap_err();
    assert!(matches!(refusal, Refusal::Quarantined { reason: "role", ref fields, .. } if *fields == ["decided"]));
    assert_eq!(doc.heads(), [doc.creation()]);
    let Err(Refusal::Quarantined { fields, .. }) = by(&mut doc, &[Role::Auditor]) else { panic!("taken") };
    assert_eq!(fields, ["decided".to_owned(), format!("members[{}]", row(1)), "name".to_owned()]);
    by(&mut doc, &[Role::County]).unwrap();
    let mut doc = new("2");
    let submit = save(&mut doc.clone(), "2", A, 1, &[Edit::Submit { at: "t".into() }]);
    assert_eq!(reason(admit(&mut doc, &form("2"), &submit.bytes, Some(&as_role(&[Role::County])))), "role");
    take(&mut doc, "2", &submit).unwrap();
}

#[test]
fn after_a_submission_field_staff_add_rows_and_nothing_else_until_it_is_returned() {
    let mut doc = new("1");
    save(&mut doc, "1", A, 1, &[set("name", "a"), add("members", 1), in_row("name", 1, "m")]);
    let before = doc.heads();
    save(&mut doc, "1", A, 2, &[Edit::Submit { at: "t1".into() }]);
    let submitted = doc.heads();
    let edit = |at: &[ChangeHash], actor, edits: &[Edit]| {
        doc.clone().edit(&form("1"), at, actor, 5, edits).unwrap().unwrap().bytes
    };
    let admit = |bytes: &[u8], rights: &Rights<'_>| admit(&mut doc.clone(), &form("1"), bytes, Some(rights));
    let late = edit(&submitted, B, &[set("name", "late")]);
    assert_eq!(reason(admit(&late, &as_role(FIELD))), "after_submission");
    admit(&late, &as_role(&[Role::County])).unwrap();
    admit(&late, &as_role(&[Role::Township, Role::County])).unwrap();
    // Made without knowing of the submission: accepted, and shown as amended.
    admit(&edit(&before, B, &[set("name", "meanwhile")]), &as_role(FIELD)).unwrap();
    admit(&edit(&submitted, B, &[add("members", 2), in_row("name", 2, "n")]), &as_role(FIELD)).unwrap();
    admit(&edit(&submitted, B, &[Edit::Submit { at: "t2".into() }]), &as_role(FIELD)).unwrap();
    let mixed = edit(&submitted, B, &[add("members", 2), in_row("name", 1, "n"), remove(1)]);
    let Err(Refusal::Quarantined { fields, .. }) = admit(&mixed, &as_role(FIELD)) else { panic!("taken") };
    assert_eq!(fields, [format!("members[{}]/_removed", row(1)), format!("members[{}]/name", row(1))]);
    let mark =
        |decision, heads: &[ChangeHash]| ReviewMark { decision, heads: heads.to_vec(), submission: Some("t1".into()) };
    let (returned, approved) = (mark(Decision::Return, &submitted), mark(Decision::Approve, &submitted));
    let rights = |review, reopened| Rights { roles: FIELD, last_review: Some(review), reopened };
    admit(&late, &rights(&returned, None)).unwrap();
    let (name, age) = (["name".to_owned()], ["age".to_owned()]);
    admit(&late, &rights(&returned, Some(&name))).unwrap();
    assert_eq!(reason(admit(&late, &rights(&returned, Some(&age)))), "after_submission");
    assert_eq!(reason(admit(&late, &rights(&approved, None))), "after_submission");
    // Handed in again since: closed again.
    let old = mark(Decision::Return, &before);
    assert_eq!(reason(admit(&late, &rights(&old, None))), "after_submission");
}

#[test]
fn mutated_changes_never_harm_a_record() {
    let (_, changes) = rich();
    let mut doc = new("1");
    let mut dice = Dice(3);
    let mut taken = 0;
    for change in &changes {
        for _ in 0..800 {
            let bytes = hostile::mutate(&change.bytes, &mut dice);
            let mut copy = doc.clone();
            match admit(&mut copy, &form("2"), &bytes, None) {
                Ok(_) => {
                    taken += 1;
                    let again = Document::load(&copy.save()).unwrap();
                    assert_eq!(again.heads(), copy.heads());
                    assert_eq!(again.read(&form("2")), copy.read(&form("2")));
                    assert_eq!(again.conflicts(&form("2")), copy.conflicts(&form("2")));
                    assert_eq!(again.history(&form("2")), copy.history(&form("2")));
                }
                Err(_) => assert_eq!(copy.heads(), doc.heads()),
            }
        }
        admit(&mut doc, &form("2"), &change.bytes, None).unwrap();
    }
    // Changed text or time is an honest change of somebody else's making: some pass.
    assert!(taken > 0);
}
