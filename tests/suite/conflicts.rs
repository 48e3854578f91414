//! Two who write at once: nobody's value is lost, both are shown everywhere, and deciding is an ordinary edit.

use fieldbook_core::forms::Question;
use serde_json::{Value, json};

use super::office::{NOTE, Office, Phone, id, pair, sync_all};

const DUOJIE: &str = "多杰";
const MAXIUYING: &str = "马秀英";
const LICUOMAO: &str = "李措毛";

/// A record that both phones and the server hold.
fn shared(a: &Phone, b: &Phone, values: Value) -> fieldbook_core::ids::RecordId {
    let record = a.create(NOTE, None, values);
    sync_all(&[a, b]);
    record
}

fn answer(questions: &[Question], path: &str) -> Value {
    questions.iter().find(|question| question.path == path).unwrap().value.clone()
}

#[test]
fn a_value_that_arrives_while_a_form_is_open_stays_beside_the_one_that_is_saved() {
    let office = Office::open();
    let (a, b) = office.two();
    let county = office.county();
    let record = shared(&a, &b, json!({ "title": "一户", "remark": "屋顶漏雨" }));

    let form = a.book.open_form(NOTE, Some(record)).unwrap();
    b.set(record, "remark", "屋顶已修");
    sync_all(&[&b, &a]);
    assert_eq!(a.value(record, "/remark"), "屋顶已修", "the sync brought it");
    assert_eq!(answer(&form.questions().unwrap(), "remark"), "屋顶漏雨", "the open form does not move");
    form.set("remark", &json!("屋顶仍漏")).unwrap();
    form.set("size", &json!(3)).unwrap();
    form.save().unwrap();

    let both = pair((DUOJIE, "屋顶仍漏"), (MAXIUYING, "屋顶已修"));
    assert_eq!(a.sides(record, "remark"), both);
    sync_all(&[&a, &b]);
    assert_eq!(b.sides(record, "remark"), both);
    assert_eq!(county.sides(record, "remark"), both);
    assert_eq!(a.record(record).heads, b.record(record).heads);
    assert_eq!(b.record(record).conflicts.len(), 1, "only the field in common");
    assert_eq!((b.value(record, "/size"), b.value(record, "/title")), (json!(3), json!("一户")));
}

#[test]
fn a_form_that_did_not_touch_what_arrived_does_not_disagree_with_it() {
    let office = Office::open();
    let (a, b) = office.two();
    let record = shared(&a, &b, json!({ "title": "一户", "remark": "旧" }));
    let form = a.book.open_form(NOTE, Some(record)).unwrap();
    b.set(record, "remark", "新");
    sync_all(&[&b, &a]);
    form.set("phone", &json!("13900000000")).unwrap();
    form.save().unwrap();
    sync_all(&[&a, &b]);
    for phone in [&a, &b] {
        assert!(phone.record(record).conflicts.is_empty());
        assert_eq!(
            (phone.value(record, "/remark"), phone.value(record, "/phone")),
            (json!("新"), json!("13900000000"))
        );
    }
}

#[test]
fn a_supervisor_who_read_an_older_page_hides_nothing() {
    let office = Office::open();
    let (a, b) = office.two();
    let county = office.county();
    let record = shared(&a, &b, json!({ "title": "一户", "remark": "旧", "phone": "1" }));
    // She reads; a phone's values arrive; she edits what she read.
    let read = county.page(record)["heads"].clone();
    a.set(record, "remark", "电话里说已修");
    a.sync();
    let edit = json!({ "heads": read, "set": { "remark": "县里核实未修" } });
    county.post(&format!("records/{record}/edit"), &edit).unwrap();
    let both = pair((DUOJIE, "电话里说已修"), (LICUOMAO, "县里核实未修"));
    assert_eq!(county.sides(record, "remark"), both);
    sync_all(&[&a, &b]);
    assert_eq!((a.sides(record, "remark"), b.sides(record, "remark")), (both.clone(), both));

    // A conflict between phones; she reads it; a third value arrives; she chooses at what she read.
    a.set(record, "phone", "2");
    b.set(record, "phone", "3");
    sync_all(&[&a, &b]);
    let read = county.page(record)["heads"].clone();
    sync_all(&[&a]);
    a.set(record, "phone", "4");
    a.sync();
    let choice = json!({ "path": "phone", "value": "3", "heads": read });
    county.post(&format!("records/{record}/resolve"), &choice).unwrap();
    let both = pair((DUOJIE, "4"), (LICUOMAO, "3"));
    assert_eq!(county.sides(record, "phone"), both);
    sync_all(&[&a, &b]);
    assert_eq!((a.sides(record, "phone"), b.sides(record, "phone")), (both.clone(), both));
}

#[test]
fn a_decision_shows_on_both_phones_and_both_values_stay_in_the_history() {
    let office = Office::open();
    let (a, b) = office.two();
    let county = office.county();
    let record = shared(&a, &b, json!({ "title": "一户" }));
    a.set(record, "remark", "甲");
    b.set(record, "remark", "乙");
    sync_all(&[&a, &b, &a]);
    // One is decided by the supervisor.
    let page = county.page(record);
    let choice = json!({ "path": "remark", "value": "乙", "heads": page["heads"] });
    county.post(&format!("records/{record}/resolve"), &choice).unwrap();
    sync_all(&[&a, &b]);
    for phone in [&a, &b] {
        let view = phone.record(record);
        assert!(view.conflicts.is_empty());
        assert_eq!(view.values["remark"], "乙");
        let touched = view.history.iter().flat_map(|save| save.touched.iter().map(move |one| (&save.author, one)));
        let written: Vec<_> = touched
            .filter(|(_, one)| one.path == "remark")
            .map(|(author, one)| (author.as_str(), one.value.as_str().unwrap()))
            .collect();
        for wrote in [(DUOJIE, "甲"), (MAXIUYING, "乙"), (LICUOMAO, "乙")] {
            assert!(written.contains(&wrote), "{wrote:?} in {written:?}");
        }
    }
    assert!(county.sides(record, "remark").is_empty());
    // The next one by a phone, with a value of its own.
    a.set(record, "phone", "1");
    b.set(record, "phone", "2");
    sync_all(&[&a, &b, &a]);
    a.book.resolve(record, "phone", &json!("3")).unwrap();
    sync_all(&[&a, &b]);
    for phone in [&a, &b] {
        assert_eq!((phone.record(record).conflicts.len(), phone.value(record, "/phone")), (0, json!("3")));
    }
    assert_eq!(county.page(record)["values"]["phone"], "3");
    assert!(a.book.resolve(record, "phone", &json!("4")).is_err(), "nothing is left to decide");
}

#[test]
fn two_phones_that_create_one_id_make_one_record() {
    let office = Office::open();
    let (a, b) = office.two();
    let county = office.county();
    let record = id(1);
    a.create(
        NOTE,
        Some(record),
        json!({ "title": "一户", "phone": "1", "topics": ["roof"], "people": [{ "name": "甲" }] }),
    );
    b.create(
        NOTE,
        Some(record),
        json!({ "title": "一户", "remark": "好", "topics": ["water"], "people": [{ "name": "乙" }] }),
    );
    sync_all(&[&a, &b, &a]);
    for phone in [&a, &b] {
        let view = phone.record(record);
        assert_eq!(
            (&view.values["title"], &view.values["phone"], &view.values["remark"]),
            (&json!("一户"), &json!("1"), &json!("好"))
        );
        assert_eq!(view.values["topics"], json!(["roof", "water"]));
        let names: Vec<_> = phone.rows(record, "people", "name").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["乙", "甲"]);
        assert!(view.conflicts.is_empty(), "{:?}", view.conflicts);
    }
    assert_eq!(a.record(record).heads, b.record(record).heads);
    assert_eq!(a.record(record).values, b.record(record).values);
    let listed = county.get(&format!("kinds/{NOTE}/records"));
    assert_eq!(listed["records"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(county.page(record)["values"]["people"].as_array().unwrap().len(), 2);
}

#[test]
fn two_phones_that_first_use_a_newer_repeat_of_an_old_record_make_one_record() {
    let office = Office::open();
    let (a, b) = office.two();
    let record = shared(&a, &b, json!({ "title": "一户", "people": [{ "name": "甲" }] }));
    office.publish(2);
    sync_all(&[&a, &b]);
    a.add(record, "helpers", json!({ "helper": "丙" }));
    b.add(record, "helpers", json!({ "helper": "丁" }));
    b.add(record, "helpers", json!({ "helper": "戊" }));
    sync_all(&[&a, &b, &a]);
    for phone in [&a, &b] {
        let names: Vec<_> = phone.rows(record, "helpers", "helper").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["丁", "丙", "戊"]);
        assert_eq!(phone.rows(record, "people", "name").len(), 1);
        assert!(phone.record(record).conflicts.is_empty());
    }
    assert_eq!(a.record(record).heads, b.record(record).heads);
    let page = office.county().page(record);
    assert_eq!(page["values"]["helpers"].as_array().unwrap().len(), 3, "{page}");
}

#[test]
fn a_row_that_is_removed_here_and_edited_there_is_shown_and_decided_either_way() {
    let office = Office::open();
    let (a, b) = office.two();
    let county = office.county();
    for (word, left) in [("removed", 0), ("kept", 1)] {
        let record = shared(&a, &b, json!({ "title": "一户", "people": [{ "name": "才让", "age": 7 }] }));
        let row = a.rows(record, "people", "name")[0].1.clone();
        a.remove(record, "people", &row);
        b.set(record, &format!("people[{row}]/age"), 8);
        sync_all(&[&a, &b, &a]);
        let path = format!("people[{row}]/_removed");
        let both = pair((DUOJIE, "removed"), (MAXIUYING, "edited"));
        for phone in [&a, &b] {
            assert_eq!(phone.sides(record, &path), both);
            assert_eq!(phone.value(record, "/people/0/age"), 8, "the edit is there");
            assert_eq!(phone.value(record, "/people/0/name"), "才让", "and what was there before");
        }
        assert_eq!(county.sides(record, &path), both);
        let by = if left == 0 { &a } else { &b };
        by.book.resolve(record, &path, &json!(word)).unwrap();
        sync_all(&[&a, &b, &a]);
        for phone in [&a, &b] {
            assert!(phone.record(record).conflicts.is_empty(), "{word}: {:?}", phone.record(record).conflicts);
            assert_eq!(phone.rows(record, "people", "name").len(), left, "{word}");
        }
        let page = county.page(record);
        assert_eq!(page["values"]["people"].as_array().map_or(0, Vec::len), left, "{word}: {page}");
    }
}

#[test]
fn a_known_person_is_named_with_the_record_while_the_number_is_typed() {
    const NUMBER: &str = "632321198805120012";
    let office = Office::open();
    let (a, b) = office.two();
    let head = json!({ "head": { "name": "才让卓玛", "id_type": "id_card", "id_no": NUMBER } });
    let known = b.create("household", None, head);
    sync_all(&[&b, &a]);
    let form = a.book.open_form("household", None).unwrap();
    form.set("head/id_type", &json!("id_card")).unwrap();
    assert!(form.set("head/id_no", &json!("632322199001010026")).unwrap().known.is_empty());
    // Typed with full-width digits.
    let wide: String = NUMBER.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap()).collect();
    let hits = form.set("head/id_no", &json!(wide)).unwrap().known;
    assert_eq!(hits.len(), 1, "{hits:?}");
    assert_eq!(
        (hits[0].record, hits[0].record_title.as_str(), hits[0].path.as_str()),
        (known, "才让卓玛", "head/id_no")
    );
    // As a member of another family too.
    let row = form.add_row("members", None).unwrap();
    form.set(&format!("members[{row}]/id_type"), &json!("id_card")).unwrap();
    let hits = form.set(&format!("members[{row}]/id_no"), &json!(NUMBER)).unwrap().known;
    assert!(hits.iter().any(|hit| hit.record == known), "{hits:?}");
}

#[test]
fn a_draft_outlives_the_process_with_its_answers_and_its_heads() {
    let office = Office::open();
    let (a, b) = office.two();
    let record = shared(&a, &b, json!({ "title": "一户", "remark": "旧" }));
    let form = a.book.open_form(NOTE, Some(record)).unwrap();
    form.set("remark", &json!("草稿")).unwrap();
    let row = form.add_row("people", None).unwrap();
    form.set(&format!("people[{row}]/name"), &json!("草稿人")).unwrap();
    drop(form);
    let new = a.book.open_form(NOTE, None).unwrap();
    let new_record = new.record();
    new.set("title", &json!("新户")).unwrap();
    drop(new);
    // What arrives meanwhile was not seen by who wrote the draft.
    b.set(record, "remark", "新");
    b.sync();

    let a = a.again();
    a.sync();
    assert_eq!(a.value(record, "/remark"), "新", "a draft is not the record");
    let mut drafts: Vec<_> = a.book.drafts().unwrap().into_iter().map(|draft| (draft.record, draft.is_new)).collect();
    drafts.sort();
    let mut expected = vec![(record, false), (new_record, true)];
    expected.sort();
    assert_eq!(drafts, expected);
    let form = a.book.open_form(NOTE, Some(record)).unwrap();
    let questions = form.questions().unwrap();
    assert_eq!(answer(&questions, "remark"), "草稿");
    assert_eq!(answer(&questions, &format!("people[{row}]/name")), "草稿人");
    assert_eq!(answer(&questions, "title"), "一户");
    form.save().unwrap();
    let new = a.book.open_form(NOTE, Some(new_record)).unwrap();
    assert_eq!(answer(&new.questions().unwrap(), "title"), "新户");
    new.save().unwrap();
    assert!(a.book.drafts().unwrap().is_empty());
    assert_eq!(a.sides(record, "remark"), pair((DUOJIE, "草稿"), (MAXIUYING, "新")));
    sync_all(&[&a, &b]);
    assert_eq!(b.value(new_record, "/title"), "新户");
    assert_eq!(b.value(record, "/people/0/name"), "草稿人");
}
