#![allow(clippy::unwrap_used)]
use super::*;
use crate::document::ChangeState;
use support::*;

mod cost;
mod damage;
mod model;
mod support;

fn found(store: &Store, text: &str) -> Vec<String> {
    store.read(|view| view.search(text, 50)).unwrap().into_iter().map(|row: ListRow| row.title).collect()
}

fn outbox_row(n: u64) -> OutboxRow {
    OutboxRow {
        hash: hash(n),
        record: record(n),
        kind: "household".to_owned(),
        created_version: "1".to_owned(),
        form_version: "1".to_owned(),
        feed: aid(),
        actor: crate::ids::ActorId([1; 16]),
        state: ChangeState::Unstated,
        statement: None,
        bytes: vec![(n % 251) as u8; 150],
    }
}

#[test]
fn what_was_saved_is_read_listed_and_found() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        store.write(|write| put(write, 1, "才让卓玛", &[ID_NUMBER])).unwrap();
        store.write(|write| put(write, 2, "仁青·卓玛", &["13897001234"])).unwrap();
    }
    let store = open(dir.path());
    let list: Vec<ListRow> = store.read(|view| view.list("household", &ListFilter::default(), None, 10)).unwrap();
    assert_eq!(list.iter().map(|row| row.title.as_str()).collect::<Vec<_>>(), ["仁青·卓玛", "才让卓玛"]);
    let page: Vec<ListRow> =
        store.read(|view| view.list("household", &ListFilter::default(), Some(list[0].place), 10)).unwrap();
    assert_eq!(page, list[1..]);
    let body: Option<Vec<u8>> = store.read(|view| view.body(&record(1))).unwrap();
    assert_eq!(body.unwrap(), "body of 才让卓玛".repeat(100).as_bytes());
    let read: Option<RecordRow> = store.read(|view| view.record(&record(1))).unwrap();
    assert_eq!(read.unwrap().answers, row("才让卓玛", &[]).answers);
}

#[test]
fn search_finds_as_staff_type() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store
        .write(|write| {
            put(write, 1, "才让卓玛", &[ID_NUMBER])?;
            put(write, 2, "仁青·卓玛", &["13897001234"])?;
            put(write, 3, "马依不拉欣", &["０９７４－８５９８７６５"])?;
            put(write, 4, "བཀྲ་ཤིས་སྒྲོལ་མ", &[])?;
            put(write, 5, "曾吕", &[])
        })
        .unwrap();
    for typed in [
        "才让",
        "才让卓玛",
        "才 让",
        "crzm",
        "CRZM",
        "cairangzhuoma",
        "cairang zhuo",
        "632321",
        "0017",
        "198805120017x0",
        "ｃｒｚｍ",
    ] {
        let expected: &[&str] = if typed.ends_with("x0") { &[] } else { &["才让卓玛"] };
        assert_eq!(found(&store, typed), expected, "{typed}");
    }
    for dot in ["·", "•", "・", "‧", "∙", ".", "．", "", " "] {
        assert_eq!(found(&store, &format!("仁青{dot}卓玛")), ["仁青·卓玛"], "{dot:?}");
    }
    assert_eq!(found(&store, "卓玛"), ["仁青·卓玛", "才让卓玛"]);
    assert_eq!(found(&store, "zhuoma"), ["仁青·卓玛", "才让卓玛"]);
    assert_eq!(found(&store, "让才"), Vec::<String>::new());
    assert_eq!(found(&store, "1389700"), ["仁青·卓玛"]);
    assert_eq!(found(&store, "1234"), ["仁青·卓玛"]);
    assert_eq!(found(&store, "བཀྲ་ཤིས"), ["བཀྲ་ཤིས་སྒྲོལ་མ"]);
    assert_eq!(found(&store, "སྒྲོལ"), ["བཀྲ་ཤིས་སྒྲོལ་མ"]);
    assert_eq!(found(&store, "zenglv"), ["曾吕"]);
    assert_eq!(found(&store, "cl"), ["曾吕"], "another reading of the surname");
    for nothing in ["", "  ", "·", "\"", "*", "\" OR \"", "NEAR("] {
        assert_eq!(found(&store, nothing), Vec::<String>::new(), "{nothing:?}");
    }
}

#[test]
fn a_person_is_found_by_number_and_the_index_does_not_hold_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.write(|write| put(write, 1, "才让卓玛", &[ID_NUMBER])).unwrap();
    let person = |number: &str| -> Vec<PersonHit> {
        store.read(|view| view.person(&PersonKey::IdNumber(number.to_owned()))).unwrap()
    };
    assert_eq!(person(ID_NUMBER)[0].record, record(1));
    assert_eq!(person(ID_NUMBER)[0].title, "才让卓玛");
    assert!(person("632321198805120018").is_empty());
    store.write(|write| put(write, 1, "才让卓玛", &["632321198805120018"])).unwrap();
    assert!(person(ID_NUMBER).is_empty());
    assert_eq!(found(&store, "632321198805120017"), Vec::<String>::new());
}

#[test]
fn a_purged_record_leaves_no_word_in_the_search() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.write(|write| put(write, 1, "才让卓玛", &[ID_NUMBER])).unwrap();
    store.write(|write| put(write, 2, "仁青", &[])).unwrap();
    let words = || {
        let connection = fieldbook_sqlite::open(&dir.path().join("fieldbook.db"), &KEY, None).unwrap();
        let mut statement = connection.prepare("SELECT block FROM search_data").unwrap();
        let blocks = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        blocks.map(Result::unwrap).any(|block| block.windows(12).any(|window| window == &ID_NUMBER.as_bytes()[6..]))
    };
    assert!(words(), "the search for the number finds it while it is there");
    store.write(|write| write.purge(&record(1), &|_, _| None)).unwrap();
    store.tidy().unwrap();
    assert!(!words());
    assert_eq!(found(&store, "仁青"), ["仁青"]);
    assert!(matches!(store.write(|write| put(write, 1, "again", &[])), Err(StoreError::Purged(_))));
}
