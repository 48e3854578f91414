//! Everything that a person is told comes in the person's language: the headless phone's own lines, and what a form
//! finds wrong with a record.

use std::path::Path;
use std::process::{Command, Output};

use fieldbook_core::client::Language;
use fieldbook_core::ids::RecordId;
use fieldbook_tests::demo::stage::program;
use serde_json::{Value, json};

use super::office::{Office, Phone};
use super::phone::{World, phone, said, visit};

fn is_han(c: char) -> bool {
    ('\u{4E00}'..='\u{9FFF}').contains(&c)
}

/// Runs the phone to its end, in the language that it speaks unasked.
fn unasked(home: &Path, arguments: &[&str]) -> Output {
    Command::new(program("fieldbook-phone").unwrap()).arg("--home").arg(home).args(arguments).output().unwrap()
}

/// Runs it in both languages: what it says on standard error, Chinese first.
fn both(home: &Path, arguments: &[&str]) -> [String; 2] {
    let (chinese, english) = (unasked(home, arguments), phone(home, arguments));
    assert!(!chinese.status.success() && !english.status.success(), "{arguments:?}");
    [said(&chinese), said(&english)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_is_named_in_the_language_of_the_person() {
    let world = World::start();
    let carried = world.phone("duojie").await;
    let home = &carried.home;
    assert!(unasked(home, &["sync"]).status.success());
    let id = "0f0e0d0c-0000-4000-8000-00000000000a";
    let import = [
        "{ no json".to_owned(),
        "[]".to_owned(),
        json!({ "id": id }).to_string(),
        json!({ "id": 5, "values": {} }).to_string(),
        json!({ "id": "abc", "values": {} }).to_string(),
        json!({ "values": visit("一"), "submit": "yes" }).to_string(),
        json!({ "values": visit("一"), "sumbit": true }).to_string(),
        json!({ "values": { "no_such_field": 1 } }).to_string(),
    ];
    let edit =
        [json!({ "set": {} }).to_string(), json!({ "id": id, "set": [] }).to_string(), json!({ "id": id }).to_string()];
    for (command, lines) in [(&["import", "visit"][..], &import[..]), (&["edit"], &edit)] {
        let file = world.home("lines.ndjson");
        std::fs::write(&file, lines.join("\n")).unwrap();
        let arguments: Vec<&str> = command.iter().copied().chain([file.to_str().unwrap()]).collect();
        let [chinese, english] = both(home, &arguments);
        for (at, (chinese, english)) in chinese.lines().zip(english.lines()).take(lines.len()).enumerate() {
            let reason = chinese.strip_prefix(&format!("第 {} 行：", at + 1)).unwrap_or_else(|| panic!("{chinese}"));
            assert!(reason.contains(is_han), "{reason}");
            assert!(english.starts_with(&format!("line {}: ", at + 1)) && !english.contains(is_han), "{english}");
        }
        let count = lines.len();
        assert_eq!((chinese.lines().count(), english.lines().count()), (count + 1, count + 1), "{chinese}{english}");
        assert!(chinese.ends_with(&format!("有 {count} 行没有存入，请改正后重新提交这几行\n")), "{chinese}");
        assert!(
            english.ends_with(&format!("{count} lines were not taken: correct them and give them again\n")),
            "{english}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_and_a_wrong_argument_are_told_in_the_language_of_the_person() {
    let world = World::start();
    let carried = world.phone("duojie").await;
    let home = &carried.home;
    let printed = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    assert!(printed(&unasked(home, &["sync"])).starts_with("发出 0 项修改（"));
    let english = printed(&phone(home, &["sync"]));
    assert!(english.starts_with("sent 0 changes (") && !english.contains(is_han), "{english}");
    // What programs read is the same in both.
    let keys = |output: Output| -> Vec<String> {
        serde_json::from_slice::<Value>(&output.stdout).unwrap().as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(keys(unasked(home, &["sync", "--json"])), keys(phone(home, &["sync", "--json"])));
    let [chinese, english] = both(home, &["show", "abc"]);
    assert_eq!(chinese, "fieldbook-phone: “abc”不是档案编号（UUID）\n");
    assert_eq!(english, "fieldbook-phone: abc is no record id (UUID)\n");
    let [chinese, english] = both(home, &["enrol", "https://example.org"]);
    assert!(chinese.contains("这不是有效的绑定链接（应以 fieldbook:// 开头）"), "{chinese}");
    assert!(english.contains("This is no enrolment link (it does not begin with fieldbook://)"), "{english}");
    let [chinese, english] = both(home, &["import", "visit", "/nowhere/lines"]);
    assert!(chinese.starts_with("fieldbook-phone: 打不开文件 /nowhere/lines（"), "{chinese}");
    assert!(english.starts_with("fieldbook-phone: /nowhere/lines cannot be opened ("), "{english}");
}

/// Messages of the record's problems by path, as a screen shows them; as exported they are the same.
fn problems(phone: &Phone, id: RecordId) -> Vec<(String, String)> {
    let shown: Vec<(String, String)> =
        phone.record(id).problems.into_iter().map(|problem| (problem.path, problem.message)).collect();
    let mut exported = Vec::new();
    let line = &mut |record: &Value| {
        let text = |problem: &Value, key: &str| problem[key].as_str().unwrap().to_owned();
        let all = record["problems"].as_array().unwrap();
        exported.extend(all.iter().map(|problem| (text(problem, "path"), text(problem, "message"))));
        Ok::<(), fieldbook_core::client::ClientError>(())
    };
    phone.book.export("visit", line).unwrap();
    assert_eq!(shown, exported);
    shown
}

#[test]
fn a_phone_that_changes_its_language_tells_old_problems_in_the_new_one() {
    let office = Office::open();
    let phone = office.phone("duojie");
    let id = phone.create("visit", None, json!({ "about": { "event_date": "2024-05-01" } }));
    let english = problems(&phone, id);
    assert!(!english.is_empty());
    assert!(english.iter().all(|(_, message)| !message.contains(is_han)), "{english:?}");

    phone.book.set_language(Language::Chinese);
    let chinese = problems(&phone, id);
    assert!(chinese.iter().all(|(_, message)| message.contains(is_han)), "{chinese:?}");
    let paths = |problems: &[(String, String)]| problems.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&chinese), paths(&english));

    // Written in Chinese, read in English by a process that starts later.
    phone.set(id, "situation/narrative", "屋顶漏雨");
    assert_eq!(problems(&phone, id), chinese);
    assert_eq!(problems(&phone.again(), id), english);
}
