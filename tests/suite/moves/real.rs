//! The same between real processes: a server, three phones, and a county supervisor at the API.

use std::path::Path;

use fieldbook_tests::demo::report::password;
use fieldbook_tests::demo::stage::{Phone, Server};
use fieldbook_tests::demo::supervisor::Supervisor;
use serde_json::{Value, json};

use super::super::inside::copy;
use super::super::phone::{World, visit};
use super::OTHER;

const RECORD: &str = "0f0e0d0c-0000-4000-8000-000000000001";
const NARRATIVE: &str = "situation/narrative";

async fn county(server: &Server) -> Supervisor {
    let arguments = ["user", "add", "李措毛", "--unit", "632323", "--role", "county", "--login", "licuomao"];
    let printed = server.administer(&arguments).unwrap();
    Supervisor::log_in(server, "licuomao", &password(&printed).unwrap()).await.unwrap()
}

async fn edit(phone: &Phone, text: &str) {
    let line = json!({ "id": RECORD, "set": { NARRATIVE: text } }).to_string();
    phone.feed(&["edit"], &[line]).await.unwrap();
}

async fn narratives(phone: &Phone) -> Vec<Value> {
    let records = phone.export("visit").await.unwrap();
    records.into_iter().map(|record| record["values"]["situation"]["narrative"].clone()).collect()
}

fn put_back(from: &Path, home: &Path) {
    std::fs::remove_dir_all(home).unwrap();
    copy(from, home);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_moves_to_another_township_with_an_edit_that_comes_late() {
    let world = World::start();
    let administer = |arguments: &[&str]| world.server.administer(arguments).unwrap();
    administer(&["unit", "add", OTHER, "宁秀镇工会", "--parent", "632323"]);
    administer(&["user", "add", "扎西", "--unit", OTHER, "--role", "field", "--login", "zhaxi"]);
    let supervisor = county(&world.server).await;
    let (a, late, b) = (world.phone("duojie").await, world.phone("maxiuying").await, world.phone("zhaxi").await);
    a.sync().await.unwrap();
    let line = json!({ "id": RECORD, "values": visit("屋顶漏雨") }).to_string();
    a.feed(&["import", "visit"], &[line]).await.unwrap();
    for phone in [&a, &late, &b] {
        phone.sync().await.unwrap();
    }
    edit(&late, "已搬到宁秀").await;
    let before = world.home("before");
    copy(&a.home, &before);

    let asked = json!({ "unit": OTHER, "reason": "moved house" });
    supervisor.post(&format!("records/{RECORD}/move"), &asked).await.unwrap();
    for phone in [&a, &a, &b] {
        phone.sync().await.unwrap();
    }
    assert_eq!((narratives(&a).await, narratives(&b).await), (Vec::<Value>::new(), vec![json!("屋顶漏雨")]));
    let report = late.sync().await.unwrap().pop().unwrap();
    assert_eq!((&report["changes_sent"], &report["not_taken"]), (&json!(1), &json!(0)), "{report}");
    b.sync().await.unwrap();
    assert_eq!((narratives(&late).await, narratives(&b).await), (Vec::<Value>::new(), vec![json!("已搬到宁秀")]));

    // A folder that knows of nothing, of a device that had heard of the move.
    put_back(&before, &a.home);
    edit(&a, "太晚了").await;
    a.sync().await.unwrap();
    let told = a.run(&["not-taken"]).await.unwrap();
    assert!(told.contains("foreign_unit") && told.contains("太晚了"), "{told}");
    assert_eq!(narratives(&a).await, Vec::<Value>::new());
    let waiting = supervisor.get("quarantine").await.unwrap();
    assert_eq!((waiting.as_array().map(Vec::len), &waiting[0]["reason"]), (Some(1), &json!("foreign_unit")));
    b.sync().await.unwrap();
    assert_eq!(narratives(&b).await, [json!("已搬到宁秀")]);
    let verified = administer(&["verify"]);
    assert!(!verified.contains("BAD"), "{verified}");

    // Back again, by the administrator.
    administer(&["record", "move", RECORD, "--to", "632323100", "--reason", "a mistake"]);
    for phone in [&a, &late, &b] {
        phone.sync().await.unwrap();
    }
    assert_eq!((narratives(&late).await, narratives(&b).await), (vec![json!("已搬到宁秀")], Vec::<Value>::new()));
    assert_eq!(narratives(&a).await, narratives(&late).await);
}
