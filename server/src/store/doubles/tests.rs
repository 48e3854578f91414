use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use fieldbook_core::document::Document;
use fieldbook_core::forms::{Edit, FieldPath, Scalar};
use fieldbook_core::ids::RowId;
use fieldbook_core::ports::Random;
use serde_json::{Value as Json, json};

use super::*;
use crate::store::records;
use crate::testing::{Phone, START_MS, Supervisor, TestServer, form, set, verdicts};

const ID: &str = "11010519491231002X";
/// The same number as people write it.
const ID_AS_WRITTEN: &str = "11010519491231002x ";
/// The same person's number of the first generation.
const OLD_ID: &str = "110105491231002";
const OTHER_ID: &str = "440524188001010014";

fn faults(server: &TestServer) -> Vec<String> {
    server.store.verify().unwrap().into_iter().flat_map(|check| check.faults).collect()
}

/// A record that a phone brings.
async fn record(server: &TestServer, phone: &mut Phone, edits: &[Edit]) -> RecordId {
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let change = phone.save(&mut document, START_MS, edits);
    assert!(verdicts(&phone.sync(server, record, &[change]).await).is_empty());
    record
}

/// A save on what the server has.
async fn save(server: &TestServer, phone: &mut Phone, record: RecordId, edits: &[Edit]) {
    let open = server.store.read(|tx| records::load(tx, record)).unwrap().unwrap();
    let mut document = Document::clone(&open.document);
    let change = phone.save(&mut document, START_MS, edits);
    assert!(verdicts(&phone.sync(server, record, &[change]).await).is_empty());
}

async fn doubles(supervisor: &Supervisor<'_>) -> Vec<Json> {
    let (status, list) = supervisor.get("doubles").await;
    assert_eq!(status, StatusCode::OK, "{list}");
    list["doubles"].as_array().unwrap().clone()
}

async fn page(supervisor: &Supervisor<'_>, double: &Json) -> Json {
    let (status, page) = supervisor.get(&format!("doubles/{}", double["id"].as_str().unwrap())).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page
}

fn heads(page: &Json) -> Json {
    let records = page["records"].as_array().unwrap();
    let pairs = records.iter().zip(page["heads"].as_array().unwrap());
    Json::Object(pairs.map(|(record, heads)| (record["id"].as_str().unwrap().to_owned(), heads.clone())).collect())
}

#[tokio::test]
async fn the_same_person_in_two_records_is_proposed_side_by_side_and_confirmed_and_undone() {
    let server = TestServer::new();
    let mut first = server.phone("多杰", "a", Role::Field).await;
    let mut second = server.phone("马秀英", "b", Role::Field).await;
    let stays = record(&server, &mut first, &[set("name", "才让·卓玛"), set("id_no", ID), set("phone", "1")]).await;
    let double =
        record(&server, &mut second, &[set("name", "才让卓玛"), set("id_no", OLD_ID), set("phone", "1")]).await;
    record(&server, &mut second, &[set("name", "马秀英"), set("id_no", OTHER_ID)]).await;
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    let list = doubles(&county).await;
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!((list[0]["by"].as_str(), list[0]["elsewhere"].as_u64()), (Some("id_number"), Some(0)));
    let page = page(&county, &list[0]).await;
    let field = |path: &str| page["fields"].as_array().unwrap().iter().find(|field| field["path"] == path).unwrap();
    assert_eq!((field("name")["differs"].as_bool(), field("phone")["differs"].as_bool()), (Some(true), Some(false)));
    assert_eq!(field("id_no")["masked"], true);
    let text = page.to_string();
    assert!(!text.contains(ID) && !text.contains(OLD_ID), "{text}");

    let path = format!("doubles/{}/confirm", page["id"].as_str().unwrap());
    let mut asked = json!({ "stays": stays.to_string(), "doubles": [double.to_string()], "heads": {} });
    assert_eq!(county.post(&path, asked.clone()).await.1["type"], "heads_moved");
    asked["heads"] = heads(&page);
    let itself = json!({ "stays": stays.to_string(), "doubles": [stays.to_string()], "heads": asked["heads"] });
    assert_eq!(county.post(&path, itself).await.1["type"], "request_malformed");
    assert_eq!(county.post(&path, asked.clone()).await.0, StatusCode::NO_CONTENT);
    assert_eq!(county.post(&path, asked).await.1["type"], "double_unknown");
    assert!(doubles(&county).await.is_empty());
    let (_, voided) = county.get(&format!("records/{double}")).await;
    assert_eq!(
        (voided["state"].as_str(), voided["reviews"][0]["same_as"].as_str()),
        (Some("voided"), Some(&*stays.to_string()))
    );
    assert!(faults(&server).is_empty(), "{:?}", faults(&server));

    assert_eq!(county.get(&format!("records/{stays}")).await.1["doubles"], json!([double.to_string()]));

    let (_, decided) = county.get("doubles/decided?verdict=same").await;
    let decision = &decided["decisions"][0];
    assert_eq!(
        (decision["first"]["id"].as_str(), decision["undoable"].as_bool()),
        (Some(&*stays.to_string()), Some(true))
    );
    let undo = format!("doubles/decided/{}/undo", decision["number"]);
    let of_a = server.supervisor("甲", "a", Role::County).await;
    assert_eq!(of_a.post(&undo, Json::Null).await.0, StatusCode::NOT_FOUND, "it takes both units");
    assert_eq!(county.post(&undo, Json::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(county.post(&undo, Json::Null).await.0, StatusCode::NOT_FOUND);
    assert_eq!(county.get(&format!("records/{double}")).await.1["state"], "draft");
    assert_eq!(doubles(&county).await.len(), 1);
    assert!(faults(&server).is_empty(), "{:?}", faults(&server));
}

#[tokio::test]
async fn who_reaches_one_of_the_records_hears_only_that_there_is_another() {
    let server = TestServer::new();
    let mut first = server.phone("多杰", "a", Role::Field).await;
    let mut second = server.phone("马秀英", "b", Role::Field).await;
    let here = record(&server, &mut first, &[set("name", "才让"), set("id_no", ID)]).await;
    let there = record(&server, &mut second, &[set("name", "别处"), set("id_no", ID_AS_WRITTEN)]).await;
    let of_a = server.supervisor("甲", "a", Role::County).await;
    let list = doubles(&of_a).await;
    assert_eq!((list.len(), list[0]["elsewhere"].as_u64()), (1, Some(1)));
    let page = page(&of_a, &list[0]).await;
    let text = format!("{page}{list:?}");
    assert!(!text.contains("别处") && !text.contains(&there.to_string()) && !text.contains("unit b"), "{text}");
    let path = |what: &str| format!("doubles/{}/{what}", page["id"].as_str().unwrap());
    let asked = json!({ "stays": here.to_string(), "doubles": [there.to_string()], "heads": heads(&page) });
    assert_eq!(of_a.post(&path("confirm"), asked.clone()).await.1["type"], "record_unknown");
    let both = json!({ "records": [here.to_string(), there.to_string()] });
    assert_eq!(of_a.post(&path("reject"), both.clone()).await.1["type"], "record_unknown");
    let field = server.supervisor("员", "6301", Role::Field).await;
    assert_eq!(doubles(&field).await.len(), 1);
    assert_eq!(field.post(&path("reject"), both).await.1["type"], "not_supervisor");
    let health = server.supervisor("院", "6301", Role::Lawyer).await;
    assert!(doubles(&health).await.is_empty(), "another area");
    assert_eq!(health.get(&format!("doubles/{}", page["id"].as_str().unwrap())).await.0, StatusCode::NOT_FOUND);
    assert_eq!(of_a.get("doubles/no-id").await.0, StatusCode::NOT_FOUND);
    assert_eq!(of_a.get("doubles?after=x").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_was_rejected_stays_so_until_the_identity_changes() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let named = |born: &str| vec![set("name", "马 秀英"), set("born", born)];
    let first = record(&server, &mut phone, &named("1970-01-01")).await;
    let second = record(&server, &mut phone, &named("1970-01-01")).await;
    record(&server, &mut phone, &named("1970-01-02")).await;
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    let list = doubles(&county).await;
    assert_eq!((list.len(), list[0]["by"].as_str()), (1, Some("name_and_birth")));
    let path = format!("doubles/{}/reject", list[0]["id"].as_str().unwrap());
    let both = json!({ "records": [first.to_string(), second.to_string()] });
    assert_eq!(county.post(&path, json!({ "records": [first.to_string()] })).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(county.post(&path, both).await.0, StatusCode::NO_CONTENT);
    assert!(doubles(&county).await.is_empty());
    save(&server, &mut phone, first, &[set("phone", "139"), set("name", " 马　秀英")]).await;
    assert!(doubles(&county).await.is_empty(), "written otherwise, it is the same name");
    save(&server, &mut phone, first, &[set("id_no", ID)]).await;
    save(&server, &mut phone, second, &[set("id_no", ID)]).await;
    assert_eq!(doubles(&county).await.len(), 1, "another reason is another proposal");
    let (_, decided) = county.get("doubles/decided?verdict=different").await;
    let undo = format!("doubles/decided/{}/undo", decided["decisions"][0]["number"]);
    assert_eq!(county.post(&undo, Json::Null).await.0, StatusCode::NO_CONTENT);
    assert!(county.get("doubles/decided").await.1["decisions"].as_array().unwrap().is_empty());
    assert!(faults(&server).is_empty(), "{:?}", faults(&server));
}

#[tokio::test]
async fn another_occasion_is_no_double() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let paid = |year: &str| vec![set("name", "x"), set("id_no", ID), set("year", year)];
    record(&server, &mut phone, &paid("2025")).await;
    record(&server, &mut phone, &paid("2026")).await;
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    assert!(doubles(&county).await.is_empty());
    record(&server, &mut phone, &paid("2026")).await;
    assert_eq!(doubles(&county).await.len(), 1);
}

/// Numbers that repeat in every run.
struct Dice<'a>(&'a TestServer);

impl Dice<'_> {
    fn below(&self, end: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.random.fill(&mut bytes);
        usize::try_from(u64::from_be_bytes(bytes) % end as u64).unwrap()
    }
}

fn identity(dice: &Dice<'_>) -> Vec<Edit> {
    let numbers = [ID, ID_AS_WRITTEN, OLD_ID, OTHER_ID, "无"];
    let names = ["才让•卓玛", "才让·卓玛", "马秀英"];
    let mut edits = vec![set("name", names[dice.below(3)])];
    match dice.below(5) {
        0 | 1 => edits.push(set("id_no", numbers[dice.below(5)])),
        2 => edits.push(set("born", ["1970-01-01", "1970-01-02"][dice.below(2)])),
        3 => edits.push(Edit::Set { path: FieldPath::root("id_no"), value: None }),
        _ => {
            let row = RowId([u8::try_from(dice.below(3)).unwrap(); 8]);
            edits.push(Edit::AddRow { repeat: "people".to_owned(), row, parent: None });
            let path = FieldPath::in_row("people/person_id", "people", row);
            edits.push(Edit::Set { path, value: Some(Scalar::Text(numbers[dice.below(5)].to_owned())) });
        }
    }
    edits
}

/// In whatever order records are made, edited, moved, decided on and erased: the index is what a rebuild makes.
#[tokio::test]
async fn the_index_is_always_what_the_records_make_anew() {
    for seed in 0..3 {
        let server = TestServer::new();
        let dice = Dice(&server);
        (0..seed * 17).for_each(|_| {
            dice.below(2);
        });
        let mut phone = server.phone("多杰", "a", Role::Field).await;
        let (user, _) = server.store.add_user("李", "6301", &[Role::County], None).unwrap();
        let mut all: Vec<RecordId> = Vec::new();
        for step in 0..40 {
            server.clock.0.fetch_add(1, Ordering::SeqCst);
            let chosen = (!all.is_empty()).then(|| all[dice.below(all.len())]);
            let open = chosen.and_then(|id| server.store.read(|tx| records::load(tx, id)).unwrap());
            match (dice.below(8), open) {
                (0..=2, _) | (_, None) => all.push(record(&server, &mut phone, &identity(&dice)).await),
                (3 | 4, Some(open)) => {
                    let edits = identity(&dice);
                    let heads = open.document.heads();
                    // What stands there already, or a row that is there, is no edit.
                    let _ = server.store.edit_record(&user, open.id, &heads, |_, _| Ok(edits.clone()));
                }
                (5, Some(open)) => {
                    let to = ["a", "b"][dice.below(2)];
                    server.store.move_records(None, &[open.id], to, "x").unwrap();
                }
                (6, Some(open)) => {
                    let decision =
                        [fieldbook_core::access::Decision::Void, fieldbook_core::access::Decision::Reinstate];
                    let asked = crate::store::Asked {
                        decision: decision[dice.below(2)],
                        heads: open.document.heads(),
                        reasons: "x".to_owned(),
                        fields: Vec::new(),
                    };
                    // Only what is void can be reinstated.
                    let _ = server.store.decide(&user, open.id, &asked);
                }
                (_, Some(open)) => match server
                    .store
                    .doubles(user.id, &DoublesQuery { limit: 9, ..DoublesQuery::default() })
                    .unwrap()
                    .doubles
                    .first()
                {
                    Some(double) if dice.below(3) > 0 && double.records.len() > 1 => {
                        let ids: Vec<RecordId> =
                            double.records.iter().map(|record| record.id.parse().unwrap()).collect();
                        server.store.reject_double(&user, &double.id, &ids[..2]).unwrap();
                    }
                    _ => {
                        server.store.purge_record(None, open.id, "x").unwrap();
                    }
                },
            }
            let found = faults(&server);
            assert!(found.is_empty(), "seed {seed}, step {step}: {found:?}");
        }
    }
}

#[tokio::test]
async fn a_version_that_marks_other_fields_makes_the_index_anew() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    for _ in 0..2 {
        record(&server, &mut phone, &[set("name", "x"), set("id_no", ID)]).await;
    }
    let count = || {
        let count = |tx: &Connection| {
            let text = "SELECT (SELECT count(*) FROM persons) + (SELECT count(*) FROM doubles)";
            Ok::<_, StoreError>(tx.query_row(text, (), |row| row.get::<u64>(0))?)
        };
        server.store.read(count).unwrap()
    };
    assert_eq!(count(), 3);
    let publish = |version: &str, identity: &str| {
        let survey = format!(
            "type,name,label::English (en),bind::fb:check,bind::fb:identity\ntext,name,Name,,\ntext,id_no,ID,id-number,{identity}\n"
        );
        let settings = format!(
            "form_title,form_id,version,namespaces,fb:area\nVisit,note,{version},\"fb=\"\"urn:fieldbook:form\"\"\",aid\n"
        );
        let files = [("survey.csv", survey.as_str()), ("settings.csv", settings.as_str())];
        let form = fieldbook_core::forms::compile_sheets("note", &files).unwrap();
        server.store.publish_form(&form, None).unwrap();
    };
    publish("2", "no");
    assert_eq!(count(), 0);
    assert!(faults(&server).is_empty(), "{:?}", faults(&server));
    publish("3", "yes");
    assert_eq!(count(), 3);
    assert!(faults(&server).is_empty(), "{:?}", faults(&server));
    // What is missing or too much is told.
    server.store.write(|tx| Ok::<_, StoreError>(tx.execute("DELETE FROM doubles", ())?)).unwrap();
    assert_eq!(faults(&server).len(), 1);
    server.store.write(|tx| Ok::<_, StoreError>(tx.execute("DELETE FROM persons WHERE path = 'id_no'", ())?)).unwrap();
    assert_eq!(faults(&server).len(), 2);
}
