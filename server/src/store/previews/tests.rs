use std::io::Write;
use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use fieldbook_core::access::Role;
use fieldbook_core::document::Document;
use fieldbook_core::ids::RecordId;
use serde_json::{Value as Json, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::LIFETIME_MS;
use crate::testing::{START_MS, Supervisor, TestServer, form, set};

const SURVEY: &str = "\
type,name,label::中文 (zh-Hans),label::English (en),required,relevant,constraint,constraint_message::English (en),calculation,choice_filter,bind::fb:list
text,name,姓名,Name,yes,,,,,,yes
integer,count,人数,Count,,,. < 9,Too many,,,
select_one region,region,地区,Region,,,,,,,
select_one town,town,乡镇,Town,,,,,,region = ${region},
text,why,原因,Why,,${count} > 2,,,,,
calculate,twice,,,,,,,${count} * 2,,
begin repeat,people,人员,People,,,,,,,
text,person,姓名,Person,,,,,,,
end repeat,,,,,,,,,,
";
const CHOICES: &str = "\
list_name,name,label::中文 (zh-Hans),label::English (en),region
region,n,北,North,
region,s,南,South,
town,a,甲,A,n
town,b,乙,B,s
";

fn settings(kind: &str, version: &str) -> String {
    format!(
        "form_title,form_id,version,default_language,namespaces,fb:area\n测试,{kind},{version},中文 (zh-Hans),\"fb=\"\"urn:fieldbook:form\"\"\",aid\n"
    )
}

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn workbook(kind: &str, version: &str, survey: &str) -> Vec<u8> {
    let settings = settings(kind, version);
    zipped(&[
        ("form/survey.csv", survey.as_bytes()),
        ("form/choices.csv", CHOICES.as_bytes()),
        ("form/settings.csv", settings.as_bytes()),
    ])
}

async fn upload(supervisor: &Supervisor<'_>, bytes: Vec<u8>) -> Json {
    let (status, page) = supervisor.upload("forms/previews?name=test.zip", bytes).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page
}

async fn run(supervisor: &Supervisor<'_>, digest: &str, steps: Json) -> Json {
    let body = json!({ "language": "en", "steps": steps });
    let (status, page) = supervisor.post(&format!("forms/previews/{digest}/run"), body).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page
}

fn question<'p>(page: &'p Json, path: &str) -> Option<&'p Json> {
    page["questions"].as_array().unwrap().iter().find(|question| question["path"] == path)
}

#[tokio::test]
async fn an_upload_is_run_as_a_phone_runs_it() {
    let server = TestServer::new();
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    let page = upload(&county, workbook("visit2", "1", SURVEY)).await;
    let digest = page["form"]["digest"].as_str().unwrap();
    assert_eq!((&page["errors"], &page["form"]["last_version"]), (&json!([]), &Json::Null));
    let empty = run(&county, digest, json!([])).await;
    assert_eq!(question(&empty, "name").unwrap()["label"], "Name");
    assert_eq!(question(&empty, "name").unwrap()["error_kind"], "required");
    assert!(question(&empty, "why").is_none(), "not relevant yet");
    assert_eq!(question(&empty, "town").unwrap()["choices"], json!([]));
    let steps = json!([
        { "set": "name", "value": "才让" },
        { "set": "count", "value": 12 },
        { "set": "region", "value": "s" },
        { "add": "people" },
        { "set": "people[0000000000000004]/person", "value": "多杰" },
        { "set": "nothing", "value": 1 },
        { "set": "count", "value": "many" },
    ]);
    let filled = run(&county, digest, steps).await;
    assert!(question(&filled, "why").is_some());
    assert_eq!(question(&filled, "count").unwrap()["error"], "Too many");
    assert_eq!(question(&filled, "town").unwrap()["choices"], json!([{ "name": "b", "label": "B" }]));
    assert_eq!(question(&filled, "people[0000000000000004]/person").unwrap()["value"], "多杰");
    assert_eq!(filled["values"]["twice"], 24);
    let refused: Vec<u64> =
        filled["refused"].as_array().unwrap().iter().map(|one| one["step"].as_u64().unwrap()).collect();
    assert_eq!(refused, [5, 6], "{filled}");
    let chinese = county.post(&format!("forms/previews/{digest}/run"), json!({})).await.1;
    assert_eq!(question(&chinese, "name").unwrap()["label"], "姓名");
    let published = county.post("forms/note/1/run", json!({ "steps": [{ "set": "name", "value": "x" }] })).await;
    assert_eq!((published.0, &published.1["values"]["name"]), (StatusCode::OK, &json!("x")));
    for (path, body, word) in [
        (format!("forms/previews/{digest}/run"), json!({ "steps": [{ "set": "a", "add": "b" }] }), "request_malformed"),
        (
            format!("forms/previews/{digest}/run"),
            json!({ "steps": vec![json!({ "add": "people" }); 301] }),
            "run_too_long",
        ),
        ("forms/previews/00/run".to_owned(), json!({}), "preview_unknown"),
        ("forms/note/9/run".to_owned(), json!({}), "kind_unknown"),
    ] {
        assert_eq!(county.post(&path, body).await.1["type"], word, "{path}");
    }
    // It is its uploader's alone, and for an hour.
    let other = server.supervisor("乙", "6301", Role::County).await;
    assert_eq!(other.post(&format!("forms/previews/{digest}/run"), json!({})).await.1["type"], "preview_unknown");
    for _ in 0..3 {
        server.clock.0.fetch_add(LIFETIME_MS / 3, Ordering::SeqCst);
        assert_eq!(county.get("me").await.0, StatusCode::OK);
    }
    assert_eq!(county.post(&format!("forms/previews/{digest}/run"), json!({})).await.1["type"], "preview_unknown");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_sheet_row_and_column() {
    let server = TestServer::new();
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    let page = upload(&county, workbook("visit2", "1", &SURVEY.replace("${count} > 2", "${nobody} > 2"))).await;
    let error = &page["errors"][0];
    assert_eq!(page["form"], Json::Null);
    assert_eq!((&error["sheet"], &error["row"], &error["column"]), (&json!("survey"), &json!(6), &json!("relevant")));
}

/// A zip whose directory claims that `bytes` inflate to next to nothing.
fn lying(name: &str, bytes: usize) -> Vec<u8> {
    let zeros = vec![b' '; bytes];
    let mut zip = zipped(&[("[Content_Types].xml", b"<Types/>"), (name, &zeros)]);
    let claimed = u32::try_from(bytes).unwrap().to_le_bytes();
    let places: Vec<usize> = zip.windows(4).enumerate().filter(|(_, w)| *w == claimed).map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        zip[at..at + 4].copy_from_slice(&1_u32.to_le_bytes());
    }
    zip
}

/// A workbook whose one sheet is this.
fn xlsx(sheet: &str, shared: &str) -> Vec<u8> {
    let types = "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>";
    let book = "<workbook xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"><sheets><sheet name=\"survey\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>";
    let relations = "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>";
    let first = "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>";
    zipped(&[
        ("[Content_Types].xml", types.as_bytes()),
        ("_rels/.rels", first.as_bytes()),
        ("xl/workbook.xml", book.as_bytes()),
        ("xl/_rels/workbook.xml.rels", relations.as_bytes()),
        ("xl/sharedStrings.xml", shared.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ])
}

#[tokio::test]
async fn what_is_no_workbook_is_refused_in_words_and_in_bounds() {
    let server = TestServer::new();
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    let sheet = |rows: &str| {
        format!(
            "<worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>{rows}</sheetData></worksheet>"
        )
    };
    let none = "<sst xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"/>";
    let far = sheet("<row r=\"900000\"><c r=\"A900000\" t=\"inlineStr\"><is><t>x</t></is></c></row>");
    let rows: String = (1..=61_000).map(|at| format!("<row r=\"{at}\"><c r=\"A{at}\"><v>1</v></c></row>")).collect();
    let laughs = "<!DOCTYPE sst [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">]>\
        <sst xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><si><t>&c;</t></si></sst>";
    let refused: Vec<(&str, Vec<u8>)> = vec![
        ("text", b"name,label\n".to_vec()),
        ("nothing", Vec::new()),
        ("a picture", b"\x89PNG\r\n\x1a\n0000".to_vec()),
        ("a zip of nothing known", zipped(&[("readme.txt", b"hello")])),
        ("a cut zip", workbook("visit2", "1", SURVEY)[..300].to_vec()),
        ("an old workbook that is none", b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1 and no more".to_vec()),
        ("a bomb", zipped(&[("[Content_Types].xml", b"<Types/>"), ("xl/a.xml", &vec![b' '; 140_000_000])])),
        ("a bomb that lies", lying("xl/sharedStrings.xml", 140_000_000)),
        ("a bomb of sheets", zipped(&[("survey.csv", &vec![b','; 140_000_000])])),
        ("a row far away", xlsx(&far, none)),
        ("rows without end", xlsx(&sheet(&rows), none)),
    ];
    for (name, bytes) in refused {
        let (status, body) = county.upload("forms/previews", bytes).await;
        assert_eq!(
            (status, body["type"].as_str()),
            (StatusCode::UNPROCESSABLE_ENTITY, Some("workbook_refused")),
            "{name}: {body}"
        );
        assert!(body["title"].as_str().unwrap().contains('：'), "{name}: {body}");
    }
    // Entities are not expanded: whatever it is then, it is no form.
    let (status, body) = county
        .upload("forms/previews", xlsx(&sheet("<row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c></row>"), laughs))
        .await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY || body["form"].is_null(), "{body}");
    assert!(body.to_string().len() < 2_000, "{body}");
    let (status, body) = county.upload("forms/previews", vec![0; crate::api::UPLOAD_BYTES_MAX + 1]).await;
    assert_eq!((status, body["type"].as_str()), (StatusCode::PAYLOAD_TOO_LARGE, Some("upload_too_large")));
}

#[tokio::test]
async fn what_was_previewed_is_published_unless_another_version_was_meanwhile() {
    let server = TestServer::new();
    let county = server.supervisor("李措毛", "63", Role::County).await;
    let below = server.supervisor("甲", "a", Role::County).await;
    let field = server.supervisor("员", "63", Role::Field).await;
    assert_eq!(field.upload("forms/previews", workbook("note", "2", SURVEY)).await.1["type"], "not_publisher");
    let record = {
        let mut phone = server.phone("多杰", "a", Role::Field).await;
        let record = RecordId::new(server.random.as_ref());
        let mut document = Document::create(record, form().definition()).unwrap();
        let change = phone.save(&mut document, START_MS, &[set("name", "才让"), set("phone", "139")]);
        phone.sync(&server, record, &[change]).await;
        record
    };
    let page = upload(&county, workbook("note", "2", SURVEY)).await;
    let found = &page["form"];
    assert_eq!((&found["last_version"], &found["records"], &found["unit"]), (&json!("1"), &json!(1), &json!("63")));
    let named = |change: &str| -> Vec<&str> {
        let all = found["differences"].as_array().unwrap().iter();
        all.filter(|one| one["change"] == change).map(|one| one["path"].as_str().unwrap()).collect()
    };
    assert!(named("added").contains(&"count") && named("removed").contains(&"phone"), "{found}");
    let effect = found["differences"].as_array().unwrap().iter().find(|one| one["path"] == "phone").unwrap();
    assert_eq!(effect["effect"], "已有答案保留，但不再显示和导出。");
    let publish = |digest: &Json| format!("forms/previews/{}/publish", digest.as_str().unwrap());
    // Whoever decides below only does not decide for all.
    let theirs = upload(&below, workbook("note", "2", SURVEY)).await;
    assert_eq!(theirs["form"]["hindrance"], "not_publisher");
    assert_eq!(below.post(&publish(&theirs["form"]["digest"]), json!({})).await.1["type"], "not_publisher");
    assert_eq!(
        below.post(&publish(&theirs["form"]["digest"]), json!({ "unit": "a" })).await.1["type"],
        "form_unit_narrower"
    );
    let taken = upload(&county, workbook("note", "1", SURVEY)).await;
    assert_eq!(taken["form"]["hindrance"], "form_version_taken");

    let stale = upload(&county, workbook("note", "3", SURVEY)).await;
    let (status, done) = county.post(&publish(&found["digest"]), json!({})).await;
    assert_eq!(
        (status, &done),
        (StatusCode::OK, &json!({ "kind": "note", "version": "2", "unit": "63", "new": true }))
    );
    let (status, refused) = county.post(&publish(&stale["form"]["digest"]), json!({})).await;
    assert_eq!((status, refused["type"].as_str()), (StatusCode::CONFLICT, Some("form_moved")));
    assert_eq!(county.post(&publish(&found["digest"]), json!({})).await.1["new"], false, "it is there");
    // Uploaded again, it has been compared with what is there.
    let again = upload(&county, workbook("note", "3", SURVEY)).await;
    assert_eq!((&again["form"]["last_version"], &again["form"]["differences"]), (&json!("2"), &json!([])));

    server.store.read_again("note").unwrap();
    let (_, page) = county.get(&format!("records/{record}")).await;
    assert_eq!((&page["form_version"], page["values"].get("phone")), (&json!("2"), None));
    let (_, forms) = county.get("forms").await;
    let versions = forms[0]["versions"].as_array().unwrap();
    assert_eq!(
        (versions.len(), &versions[0]["version"], &versions[0]["publisher_name"]),
        (2, &json!("2"), &json!("李措毛"))
    );
    assert_eq!((&versions[0]["digest"], &forms[0]["reading_again"]), (&found["digest"], &json!(false)));
    let faults: Vec<String> = server.store.verify().unwrap().into_iter().flat_map(|check| check.faults).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[tokio::test]
async fn a_staff_list_is_read_from_a_workbook_and_a_formula_is_what_it_came_to() {
    let server = TestServer::new();
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    let cell = |at: &str, text: &str| format!("<c r=\"{at}\" t=\"inlineStr\"><is><t>{text}</t></is></c>");
    let head = format!("<row r=\"1\">{}{}</row>", cell("A1", "姓名"), cell("B1", "单位"));
    let formula = "<c r=\"A2\" t=\"str\"><f>CONCATENATE(\"多\",\"杰\")</f><v>多杰</v></c>";
    let rows = format!("{head}<row r=\"2\">{formula}{}</row><row r=\"4\">{}</row>", cell("B2", "a"), cell("A4", "=x"));
    let sheet = format!(
        "<worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>{rows}</sheetData></worksheet>"
    );
    let none = "<sst xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"/>";
    let (_, rows) = county.upload("staff/previews", xlsx(&sheet, none)).await;
    assert_eq!((rows[0]["name"].as_str(), rows[0]["outcome"].as_str()), (Some("多杰"), Some("new")), "{rows}");
    assert_eq!((rows[1]["row"].as_u64(), rows[1]["reason"].as_str()), (Some(4), Some("name_formula")));
}
