use std::collections::BTreeMap;

use super::*;
use crate::access::{Area, Decision, Role};
use crate::forms::{Field, FieldPath, FieldType, Merge, Row, Scalar, Sensitivity};
use crate::ids::RowId;

pub(crate) const A: ActorId = ActorId([0xaa; 16]);
pub(crate) const B: ActorId = ActorId([0xbb; 16]);
pub(crate) const C: ActorId = ActorId([0xcc; 16]);
pub(crate) const ID: RecordId = RecordId([7; 16]);

pub(crate) fn field(path: &str, field_type: FieldType, repeat: Option<&str>) -> Field {
    Field {
        path: path.to_owned(),
        field_type,
        repeat: repeat.map(str::to_owned),
        merge: if field_type == FieldType::SelectMultiple { Merge::Set } else { Merge::Register },
        sensitivity: Sensitivity::Plain,
        writers: Vec::new(),
        check: None,
        identity: false,
        occasion: false,
        list: false,
        search: false,
        calculated: field_type == FieldType::Calculate,
        choice_list: None,
        label: BTreeMap::new(),
        unit: None,
    }
}

/// Version `1`: two fields, a set and a repeat. Version `2`: another repeat, nested in the first, and another set.
pub(crate) fn form(version: &str) -> FormDefinition {
    let mut fields = vec![
        field("name", FieldType::Text, None),
        field("age", FieldType::Integer, None),
        field("total", FieldType::Calculate, None),
        field("needs", FieldType::SelectMultiple, None),
        field("members/name", FieldType::Text, Some("members")),
        field("members/age", FieldType::Integer, Some("members")),
        field("members/ills", FieldType::SelectMultiple, Some("members")),
    ];
    let mut repeats = vec![("members".to_owned(), None)];
    if version == "2" {
        fields.push(field("members/jobs/title", FieldType::Text, Some("members/jobs")));
        fields.push(field("visits/note", FieldType::Text, Some("visits")));
        fields.push(field("tags", FieldType::SelectMultiple, None));
        let mut decided = field("decided", FieldType::Text, None);
        decided.writers = vec![Role::County];
        fields.push(decided);
        repeats.push(("members/jobs".to_owned(), Some("members".to_owned())));
        repeats.push(("visits".to_owned(), None));
    }
    FormDefinition {
        kind: "household".to_owned(),
        version: version.to_owned(),
        title: BTreeMap::new(),
        languages: Vec::new(),
        area: Area::Aid,
        fields,
        repeats,
        items: Vec::new(),
        choices: BTreeMap::new(),
        xform: String::new(),
    }
}

pub(crate) fn text(value: &str) -> Option<Scalar> {
    Some(Scalar::Text(value.to_owned()))
}

pub(crate) fn set(path: &str, value: &str) -> Edit {
    Edit::Set { path: path.parse().unwrap(), value: text(value) }
}

pub(crate) fn choose(path: &str, choice: &str, chosen: bool) -> Edit {
    Edit::Choose { path: path.parse().unwrap(), choice: choice.to_owned(), chosen }
}

pub(crate) fn row(n: u8) -> RowId {
    RowId([n; 8])
}

pub(crate) fn add(repeat: &str, n: u8) -> Edit {
    Edit::AddRow { repeat: repeat.to_owned(), row: row(n), parent: None }
}

pub(crate) fn remove(n: u8) -> Edit {
    Edit::RemoveRow { repeat: "members".to_owned(), row: row(n) }
}

pub(crate) fn in_row(field: &str, n: u8, value: &str) -> Edit {
    Edit::Set { path: FieldPath::in_row(format!("members/{field}"), "members", row(n)), value: text(value) }
}

pub(crate) fn new(version: &str) -> Document {
    Document::create(ID, &form(version)).unwrap()
}

/// An edit at the current heads.
pub(crate) fn save(doc: &mut Document, version: &str, actor: ActorId, time_s: i64, edits: &[Edit]) -> RawChange {
    let heads = doc.heads();
    doc.edit(&form(version), &heads, actor, time_s, edits).unwrap().expect("a change")
}

/// Puts every change of `from` into `to`, as the library does.
pub(crate) fn pull(to: &mut Document, from: &Document) {
    for change in from.doc.get_changes(&[]) {
        to.doc.apply_changes([change]).unwrap();
    }
}

fn names(values: &Values) -> Vec<String> {
    let rows = values.rows.get("members").cloned().unwrap_or_default();
    let name = |row: &Row| match row.fields.get("members/name") {
        Some(Scalar::Text(name)) => name.clone(),
        _ => String::new(),
    };
    rows.iter().map(name).collect()
}

fn shown(conflict: &Conflict) -> Vec<&str> {
    let text = |value: &Option<Scalar>| match value {
        Some(Scalar::Text(text)) => text.clone(),
        Some(Scalar::Integer(number)) => number.to_string(),
        None => "-".to_owned(),
    };
    conflict.values.iter().map(|value| text(&value.value).leak() as &str).collect()
}

#[test]
fn creation_is_the_same_bytes_everywhere() {
    let (one, two) = (new("1"), new("1"));
    assert_eq!(one.save(), two.save());
    assert_eq!(one.heads(), [one.creation()]);
    assert_ne!(one.heads(), new("2").heads());
    assert_ne!(one.heads(), Document::create(RecordId([8; 16]), &form("1")).unwrap().heads());
    assert!(one.changes().is_empty());
    assert_eq!(*one.record(), RecordHead { id: ID, kind: "household".into(), created_version: "1".into() });
}

#[test]
fn the_creation_hash_is_fixed_for_ever() {
    // A record that was created by an earlier build must be rebuilt to the same bytes by a later one.
    assert_eq!(new("1").creation().to_string(), "004a4edd19b7ce0bcecd8f0c8f0eeb9bf325bafd13e3016a0830719ac315e1ef");
}

#[test]
fn values_come_back_after_a_save_and_a_load() {
    let mut doc = new("1");
    let edits = [
        set("name", "才让卓玛"),
        Edit::Set { path: FieldPath::root("age"), value: Some(Scalar::Integer(41)) },
        choose("needs", "food", true),
        choose("needs", "fuel", true),
        add("members", 9),
        in_row("name", 9, "扎西"),
        choose(&format!("members[{}]/ills", row(9)), "heart", true),
        add("members", 1),
        in_row("name", 1, "仁青"),
        Edit::Submit { at: "2026-03-01T09:00:00+08:00".into() },
    ];
    let change = save(&mut doc, "1", A, 1000, &edits);
    let again = Document::load(&doc.save()).unwrap();
    assert_eq!(again.heads(), [change.hash]);
    let values = again.read(&form("1"));
    assert_eq!(values, doc.read(&form("1")));
    assert_eq!(values.fields["name"], Scalar::Text("才让卓玛".into()));
    assert_eq!(values.fields["age"], Scalar::Integer(41));
    assert_eq!(values.sets["needs"].iter().collect::<Vec<_>>(), ["food", "fuel"]);
    assert_eq!(names(&values), ["扎西", "仁青"]);
    assert_eq!(values.rows["members"][0].sets["members/ills"].len(), 1);
    assert_eq!(again.submission().as_deref(), Some("2026-03-01T09:00:00+08:00"));
    assert_eq!(again.submission_at(&[again.creation()]), None);
    assert_eq!(again.read_at(&form("1"), &[again.creation()]), Values::default());
    assert_eq!(again.changes(), [change]);
}

#[test]
fn only_what_differs_is_written() {
    let mut doc = new("1");
    save(&mut doc, "1", A, 1, &[set("name", "a"), choose("needs", "food", true), add("members", 1)]);
    let heads = doc.heads();
    let same = [
        set("name", "a"),
        Edit::Set { path: FieldPath::root("age"), value: None },
        choose("needs", "food", true),
        choose("needs", "fuel", false),
        set("name", "b"),
        set("name", "a"),
    ];
    assert_eq!(doc.edit(&form("1"), &heads, A, 2, &same).unwrap(), None);
    assert_eq!(doc.heads(), heads);
    save(
        &mut doc,
        "1",
        A,
        3,
        &[Edit::Set { path: FieldPath::root("name"), value: None }, choose("needs", "food", false)],
    );
    let values = doc.read(&form("1"));
    assert!(values.fields.is_empty() && values.sets.is_empty());
}

#[test]
fn a_stale_screen_makes_a_conflict_and_not_an_overwrite() {
    let mut doc = new("1");
    save(&mut doc, "1", A, 1, &[set("name", "a")]);
    let opened = doc.heads();
    let mut other = doc.clone();
    save(&mut other, "1", B, 2, &[set("name", "b")]);
    pull(&mut doc, &other);
    doc.edit(&form("1"), &opened, A, 3, &[set("name", "c")]).unwrap().unwrap();
    let conflicts = doc.conflicts(&form("1"));
    assert_eq!(conflicts.len(), 1);
    assert_eq!(shown(&conflicts[0]), ["c", "b"]);
    assert_eq!((conflicts[0].values[0].actor, conflicts[0].values[0].time_s), (A, 3));
    assert_eq!(doc.read(&form("1")).fields["name"], Scalar::Text("c".into()));
}

#[test]
fn choosing_either_value_resolves_and_two_choices_disagree() {
    let mut one = new("1");
    let mut two = new("1");
    save(&mut one, "1", A, 1, &[set("name", "a")]);
    save(&mut two, "1", B, 2, &[set("name", "b")]);
    pull(&mut one, &two);
    pull(&mut two, &one);
    assert_eq!(one.heads(), two.heads());
    assert_eq!(one.conflicts(&form("1")), two.conflicts(&form("1")));
    let winner = shown(&one.conflicts(&form("1"))[0])[0].to_owned();
    let loser = shown(&one.conflicts(&form("1"))[0])[1].to_owned();
    save(&mut one, "1", A, 3, &[set("name", &winner)]);
    assert_eq!(one.conflicts(&form("1")), []);
    save(&mut two, "1", B, 4, &[set("name", &loser)]);
    assert_eq!(two.conflicts(&form("1")), []);
    // Two people choose differently: that is a disagreement again.
    pull(&mut one, &two);
    pull(&mut two, &one);
    assert_eq!(one.conflicts(&form("1")).len(), 1);
    assert_eq!(one.read(&form("1")), two.read(&form("1")));
}

#[test]
fn equal_concurrent_values_are_no_conflict_and_clearing_is_one() {
    let mut one = new("1");
    save(&mut one, "1", A, 1, &[set("name", "x")]);
    let mut two = one.clone();
    save(&mut one, "1", A, 2, &[set("name", "same")]);
    save(&mut two, "1", B, 2, &[set("name", "same")]);
    pull(&mut one, &two);
    assert_eq!(one.conflicts(&form("1")), []);
    let mut two = one.clone();
    save(&mut one, "1", A, 3, &[Edit::Set { path: FieldPath::root("name"), value: None }]);
    save(&mut two, "1", B, 3, &[set("name", "other")]);
    pull(&mut one, &two);
    let conflicts = one.conflicts(&form("1"));
    let mut values = shown(&conflicts[0]);
    values.sort_unstable();
    assert_eq!(values, ["-", "other"]);
}

#[test]
fn two_devices_that_create_one_id_end_in_one_record() {
    let (mut one, mut two) = (new("1"), new("1"));
    save(&mut one, "1", A, 1, &[add("members", 1), in_row("name", 1, "a")]);
    save(&mut two, "1", B, 1, &[add("members", 2), in_row("name", 2, "b")]);
    pull(&mut one, &two);
    pull(&mut two, &one);
    assert_eq!(names(&one.read(&form("1"))), ["a", "b"]);
    assert_eq!(one.read(&form("1")), two.read(&form("1")));
    assert_eq!(one.heads(), two.heads());
}

#[test]
fn containers_of_a_newer_form_are_one_whoever_adds_them() {
    let visit = |doc: &mut Document, actor, n: u8, note: &str| {
        let path = FieldPath::in_row("visits/note", "visits", row(n));
        let edits = [add("visits", n), Edit::Set { path, value: text(note) }];
        doc.edit(&form("2"), &doc.heads(), actor, 5, &edits).unwrap().unwrap()
    };
    let mut one = new("1");
    save(&mut one, "1", A, 1, &[set("name", "a")]);
    let mut two = one.clone();
    // The second phone first uses another new container, so that the orders differ.
    save(&mut two, "2", B, 2, &[choose("tags", "t", true)]);
    visit(&mut one, A, 1, "first");
    visit(&mut two, B, 2, "second");
    pull(&mut one, &two);
    pull(&mut two, &one);
    assert_eq!(one.heads(), two.heads());
    let values = one.read(&form("2"));
    assert_eq!(values.rows["visits"].len(), 2);
    assert_eq!(values, two.read(&form("2")));
    assert_eq!(values.sets["tags"].len(), 1);
    // Four saves; what the system adds is never sent.
    assert_eq!(one.changes().len(), 4);
    // An older form reads what it knows.
    assert_eq!(one.read(&form("1")).fields.len(), 1);
    assert!(one.read(&form("1")).rows.is_empty());
}

#[test]
fn a_removed_row_is_gone_unless_somebody_wrote_in_it_meanwhile() {
    let mut one = new("1");
    save(&mut one, "1", A, 1, &[add("members", 1), in_row("name", 1, "a"), add("members", 2), in_row("name", 2, "b")]);
    let mut two = one.clone();
    save(&mut one, "1", A, 2, &[remove(1), remove(2)]);
    assert_eq!(names(&one.read(&form("1"))), Vec::<String>::new());
    save(&mut two, "1", B, 3, &[in_row("name", 2, "edited")]);
    pull(&mut one, &two);
    assert_eq!(names(&one.read(&form("1"))), ["edited"]);
    let conflicts = one.conflicts(&form("1"));
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].path.to_string(), format!("members[{}]/_removed", row(2)));
    assert_eq!(shown(&conflicts[0]), ["edited", "removed"]);
    let mut keep = one.clone();
    // Removing again, having seen the edit, settles it; so does keeping.
    save(&mut one, "1", C, 4, &[remove(2)]);
    assert_eq!(one.conflicts(&form("1")), []);
    assert!(one.read(&form("1")).rows.is_empty());
    let path = conflicts[0].path.clone();
    save(&mut keep, "1", B, 4, &[Edit::Set { path, value: text("kept") }]);
    assert_eq!(keep.conflicts(&form("1")), []);
    assert_eq!(names(&keep.read(&form("1"))), ["edited"]);
    // One removes, the other keeps: both are shown, and the row stays.
    pull(&mut one, &keep);
    assert_eq!(shown(&one.conflicts(&form("1"))[0]), ["kept", "removed"]);
    assert_eq!(names(&one.read(&form("1"))), ["edited"]);
    save(&mut one, "1", C, 5, &[remove(2)]);
    assert!(one.read(&form("1")).rows.is_empty());
    assert_eq!(one.conflicts(&form("1")), []);
}

#[test]
fn nested_rows_go_with_the_row_around_them_and_their_edits_keep_it() {
    let job = |n: u8| FieldPath::in_row("members/jobs/title", "members/jobs", row(n));
    let mut one = new("2");
    let nested = Edit::AddRow { repeat: "members/jobs".into(), row: row(5), parent: Some(row(1)) };
    save(&mut one, "2", A, 1, &[add("members", 1), nested, Edit::Set { path: job(5), value: text("cook") }]);
    assert_eq!(one.read(&form("2")).rows["members/jobs"][0].parent, Some(row(1)));
    let mut two = one.clone();
    save(&mut one, "2", A, 2, &[remove(1)]);
    assert!(one.read(&form("2")).rows.is_empty());
    save(&mut two, "2", B, 2, &[Edit::Set { path: job(5), value: text("driver") }]);
    pull(&mut one, &two);
    assert_eq!(one.read(&form("2")).rows["members/jobs"].len(), 1);
    assert_eq!(shown(&one.conflicts(&form("2"))[0]), ["edited", "removed"]);
}

#[test]
fn un_choosing_in_a_removed_row_is_seen_too() {
    let ills = format!("members[{}]/ills", row(1));
    let mut one = new("1");
    save(&mut one, "1", A, 1, &[add("members", 1), choose(&ills, "heart", true), choose(&ills, "lung", true)]);
    let mut two = one.clone();
    save(&mut one, "1", A, 2, &[remove(1)]);
    save(&mut two, "1", B, 2, &[choose(&ills, "heart", false)]);
    pull(&mut one, &two);
    assert_eq!(one.conflicts(&form("1")).len(), 1);
    assert_eq!(one.read(&form("1")).rows["members"][0].sets["members/ills"].len(), 1);
}

#[test]
fn sets_are_add_wins() {
    let mut one = new("1");
    save(&mut one, "1", A, 1, &[choose("needs", "food", true)]);
    let mut two = one.clone();
    save(&mut one, "1", A, 2, &[choose("needs", "food", false)]);
    save(&mut two, "1", B, 2, &[choose("needs", "food", false)]);
    save(&mut two, "1", B, 3, &[choose("needs", "food", true)]);
    pull(&mut one, &two);
    assert_eq!(one.read(&form("1")).sets["needs"].len(), 1);
    assert_eq!(one.conflicts(&form("1")), []);
}

#[test]
fn wrong_edits_are_refused_and_change_nothing() {
    let mut doc = new("1");
    save(&mut doc, "1", A, 1, &[set("name", "a"), add("members", 1)]);
    let before = doc.save();
    let heads = doc.heads();
    let mut fails = |edit: Edit| doc.edit(&form("1"), &heads, A, 2, &[set("name", "z"), edit]).unwrap_err();
    assert!(matches!(fails(set("nobody", "x")), DocumentError::NotWritable { .. }));
    assert!(matches!(fails(set("total", "1")), DocumentError::NotWritable { .. }));
    assert!(matches!(fails(set("age", "x")), DocumentError::NotWritable { .. }));
    assert!(matches!(fails(set("needs", "x")), DocumentError::NotWritable { .. }));
    assert!(matches!(fails(set("_id", "x")), DocumentError::NotWritable { .. }));
    assert!(matches!(fails(choose("needs", "two words", true)), DocumentError::NotWritable { .. }));
    assert!(matches!(fails(in_row("name", 2, "x")), DocumentError::NoSuchRow { .. }));
    assert!(matches!(fails(add("members", 1)), DocumentError::RowExists { .. }));
    assert!(matches!(fails(add("nothing", 3)), DocumentError::NotWritable { .. }));
    assert!(matches!(fails(set("name", &"长".repeat(20_001))), DocumentError::TooLarge { .. }));
    let unknown = doc.edit(&form("1"), &[ChangeHash([1; 32])], A, 2, &[set("name", "x")]);
    assert!(matches!(unknown, Err(DocumentError::UnknownHeads { .. })));
    let creation = [doc.creation()];
    let busy = doc.edit(&form("1"), &creation, A, 2, &[set("name", "x")]);
    assert_eq!(busy, Err(DocumentError::ActorBusy { actor: A }));
    assert_eq!(doc.save(), before);
}

#[test]
fn garbage_is_no_document() {
    for body in [&b""[..], b"fieldbook", &[0; 100]] {
        assert!(matches!(Document::load(body), Err(DocumentError::Damaged { .. })));
    }
    let whole = new("1").save();
    let other_kind = [&whole[..8], &[3], &whole[9..]].concat();
    for body in [[whole.clone(), whole.clone()].concat(), other_kind] {
        assert!(
            matches!(Document::load(&body), Err(DocumentError::Damaged { .. })),
            "the library is given one document"
        );
    }
    let mut body = new("1").save();
    body.truncate(body.len() - 3);
    assert!(matches!(Document::load(&body), Err(DocumentError::Damaged { .. })));
}

#[test]
fn history_says_what_each_save_wrote() {
    let mut one = new("1");
    let ills = format!("members[{}]/ills", row(1));
    let first =
        save(&mut one, "1", A, 1, &[set("name", "a"), add("members", 1), in_row("name", 1, "m"), add("members", 2)]);
    let second = save(&mut one, "1", B, 2, &[choose(&ills, "heart", true), remove(2)]);
    let third = save(&mut one, "1", A, 3, &[choose(&ills, "heart", false), Edit::Submit { at: "t".into() }]);
    let told: Vec<_> = one
        .history(&form("1"))
        .into_iter()
        .map(|entry| {
            let what = |one: TouchedField| (one.path.to_string(), one.value, one.choice);
            (entry.change, entry.actor, entry.time_s, entry.touched.into_iter().map(what).collect::<Vec<_>>())
        })
        .collect();
    let members = |n: u8, rest: &str| format!("members[{}]{rest}", row(n));
    assert_eq!(
        told,
        [
            (
                first.hash,
                A,
                1,
                vec![
                    (members(2, ""), None, None),
                    ("name".into(), text("a"), None),
                    (members(1, "/name"), text("m"), None),
                ]
            ),
            (
                second.hash,
                B,
                2,
                vec![
                    (members(1, "/ills"), None, Some(("heart".into(), true))),
                    (members(2, "/_removed"), text("removed"), None),
                ]
            ),
            (
                third.hash,
                A,
                3,
                vec![
                    (members(1, "/ills"), None, Some(("heart".into(), false))),
                    ("_submitted".into(), text("t"), None),
                ]
            ),
        ]
    );
}

#[test]
fn a_dropped_change_goes_with_what_depends_on_it_and_can_be_issued_again() {
    let mut doc = new("1");
    let kept = save(&mut doc, "1", B, 1, &[set("name", "a")]);
    let visit = FieldPath::in_row("visits/note", "visits", row(3));
    let bad = save(&mut doc, "2", A, 2, &[add("visits", 3), Edit::Set { path: visit, value: text("n") }]);
    let good = save(&mut doc, "2", A, 3, &[set("name", "later"), add("members", 4), in_row("name", 4, "m")]);
    let (mut rebuilt, out) = doc.without(&[bad.hash]).unwrap();
    assert_eq!(rebuilt.heads(), [kept.hash]);
    assert_eq!(out, [bad.clone(), good.clone()]);
    assert!(Document::load(&rebuilt.save()).unwrap().read(&form("2")).rows.is_empty());
    let edits = doc.edits_of(&form("2"), &good.hash);
    let again = rebuilt.edit(&form("2"), &[kept.hash], C, good.time_s, &edits).unwrap().unwrap();
    assert_eq!(rebuilt.heads(), [again.hash]);
    assert_eq!(names(&rebuilt.read(&form("2"))), ["m"]);
    assert_eq!(rebuilt.read(&form("2")).fields["name"], Scalar::Text("later".into()));
    let edits = doc.edits_of(&form("2"), &bad.hash);
    rebuilt.edit(&form("2"), &[again.hash], C, 4, &edits).unwrap().unwrap();
    assert_eq!(rebuilt.read(&form("2")), doc.read(&form("2")));
    assert_eq!(doc.without(&[]).unwrap().0.heads(), doc.heads());
}

/// Choosing a value that stands at the heads is no authorship, anything else is.
#[test]
fn what_only_chooses_is_told_from_what_writes() {
    let mut one = new("1");
    save(&mut one, "1", A, 1, &[add("members", 1), in_row("name", 1, "x")]);
    let mut two = one.clone();
    let by_a = save(&mut one, "1", A, 2, &[set("name", "a"), remove(1)]);
    let by_b = save(&mut two, "1", B, 2, &[set("name", "b"), in_row("name", 1, "y")]);
    pull(&mut one, &two);
    for own in [&by_a.hash, &by_b.hash, &ChangeHash([9; 32])] {
        assert!(!one.only_chooses(&form("1"), own));
    }
    let keep = Edit::Set { path: FieldPath::in_row("members/_removed", "members", row(1)), value: text("kept") };
    let age = Edit::Set { path: FieldPath::root("age"), value: Some(Scalar::Integer(7)) };
    // A form that knows no more than the name: it must not take a change for a choice because it sees less of it.
    let mut less = form("1");
    less.fields.retain(|field| field.path == "name");
    less.repeats.clear();
    for (chooses, edits) in [
        (true, vec![set("name", "a")]),
        (true, vec![set("name", "b"), keep.clone()]),
        (true, vec![remove(1)]),
        (true, vec![keep]),
        (false, vec![set("name", "c")]),
        (false, vec![set("name", "a"), age]),
        (false, vec![in_row("name", 1, "z")]),
        (false, vec![choose("needs", "roof", true)]),
        (false, vec![set("name", "a"), add("members", 2)]),
    ] {
        let mut doc = one.clone();
        let change = save(&mut doc, "1", C, 3, &edits);
        assert_eq!(doc.only_chooses(&form("1"), &change.hash), chooses, "{edits:?}");
        assert_eq!(doc.only_chooses(&less, &change.hash), chooses && edits == [set("name", "a")], "{edits:?}");
    }
}

#[test]
fn a_rendition_of_other_heads_or_another_form_is_not_believed() {
    let more = FormDefinition { version: "2".to_owned(), ..form("1") };
    let less = FormDefinition { version: "3".to_owned(), fields: Vec::new(), ..form("1") };
    let mut doc = new("1");
    save(&mut doc, "1", A, 1, &[set("name", "a")]);
    let first = Rendition::of(&doc, &form("1"));
    assert_eq!((first.heads(), first.body(), first.values()), (&doc.heads()[..], &doc.save()[..], &doc.read(&more)));
    assert_eq!(Rendition::after(&doc, &less, Some(first.clone())).values(), &doc.read(&less));
    save(&mut doc, "1", A, 2, &[set("name", "b")]);
    let second = Rendition::after(&doc, &form("1"), Some(first));
    assert_eq!((second.body(), second.values()), (&doc.save()[..], &doc.read(&more)));
}

#[test]
fn a_change_behind_an_approval_or_an_archive_shows() {
    let (read, later) = (vec![ChangeHash([1; 32])], vec![ChangeHash([1; 32]), ChangeHash([2; 32])]);
    let after = |decision, heads: &[ChangeHash]| {
        let mark = ReviewMark { decision, heads: read.clone(), submission: Some("1".to_owned()) };
        state_of(heads, Some("1"), Some(&mark))
    };
    assert_eq!(after(Decision::Approve, &read), RecordState::Approved);
    assert_eq!(after(Decision::Archive, &read), RecordState::Archived);
    assert_eq!(after(Decision::Approve, &later), RecordState::Amended);
    assert_eq!(after(Decision::Archive, &later), RecordState::Amended);
    assert_eq!(after(Decision::Void, &later), RecordState::Voided);
    use Decision::{Approve, Reinstate, Return, Void};
    for (all, stands) in [
        (vec![], None),
        (vec![Approve], Some(0)),
        (vec![Approve, Void], Some(1)),
        (vec![Approve, Void, Reinstate], Some(0)),
        (vec![Void, Reinstate], None),
        (vec![Approve, Void, Reinstate, Return], Some(3)),
        (vec![Approve, Void, Reinstate, Void], Some(3)),
        (vec![Approve, Reinstate], Some(0)),
    ] {
        assert_eq!(Decision::standing(&all), stands, "{all:?}");
    }
}
