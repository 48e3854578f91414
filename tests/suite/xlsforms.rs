//! Any XLSForm: compiled, filled with valid answers, saved, synced, read on a second phone, exported with the same values.
//!
//! Always with our own fixtures; with other people's workbooks too where `FIELDBOOK_XLSFORMS` names their folder.

use std::path::{Path, PathBuf};

use fieldbook_core::forms::{EvalTime, Form, Values, compile_path, generate};
use fieldbook_tests::demo::report::same_answers;
use fieldbook_tests::demo::stage::{Phone, Server, programs_are_beside};
use serde_json::{Value, json};

/// Time of the generated answers: 2026-09-21, midday in Shanghai.
const FILLED_AT_S: i64 = 1_790_000_000;
/// The same for the phones' clocks, so that rules about today say the same whenever the test runs.
const FILLED_AT: &str = "2026-09-21T14:13:20Z";
/// Workbooks of others that may be refused, of fifteen.
const REFUSED_MAX: usize = 2;

fn workbooks(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|e| e == "xlsx" || e == "xls"))
        .collect();
    found.sort();
    found
}

struct Filled {
    workbook: PathBuf,
    kind: String,
    id: String,
    values: Value,
}

/// The answers without those that the form's own logic hides in the end: they are kept in the record, not exported.
fn shown_answers(form: &Form, mut values: Values, id: &str) -> Values {
    let shown = form.evaluate(&values, EvalTime { time_s: FILLED_AT_S, record: id.to_owned() }).shown;
    values.fields.retain(|path, _| shown.fields.contains_key(path));
    values.sets.retain(|path, _| shown.sets.contains_key(path));
    values.rows.retain(|repeat, _| shown.rows.contains_key(repeat));
    for (repeat, rows) in &mut values.rows {
        rows.retain_mut(|row| {
            let Some(seen) = shown.row(repeat, row.id) else { return false };
            row.fields.retain(|path, _| seen.fields.contains_key(path));
            row.sets.retain(|path, _| seen.sets.contains_key(path));
            true
        });
    }
    values
}

/// Compiles and fills each workbook; tells the ones that were refused, each with sheet, row, column and reason.
fn fill(workbooks: Vec<PathBuf>) -> (Vec<Filled>, Vec<String>) {
    let mut filled = Vec::new();
    let mut refused = Vec::new();
    for (number, workbook) in workbooks.into_iter().enumerate() {
        let form = match compile_path(&workbook) {
            Ok(form) => std::sync::Arc::new(form),
            Err(errors) => {
                let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
                refused.push(format!("{}: {}", workbook.display(), reasons.join("; ")));
                continue;
            }
        };
        let kind = form.definition().kind.clone();
        let id = format!("77777777-0000-4000-8000-{number:012}");
        let time = EvalTime { time_s: FILLED_AT_S, record: id.clone() };
        let answers = generate::fill(&form, number as u64 + 1, time);
        assert!(
            answers.unsatisfied.is_empty(),
            "{}: no valid answer for {:?}",
            workbook.display(),
            answers.unsatisfied
        );
        let values = form.values_to_json(&shown_answers(&form, answers.values, &id));
        assert!(values.as_object().is_some_and(|values| !values.is_empty()), "{}: nothing filled", workbook.display());
        filled.push(Filled { workbook, kind, id, values });
    }
    (filled, refused)
}

async fn round_trip(filled: &[Filled]) {
    programs_are_beside(Path::new(env!("CARGO_BIN_EXE_fieldbook-phone")));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("server");
    Server::command(&data, &["unit", "add", "1", "县总工会"]).unwrap();
    // Every role, so that no field of any form is somebody else's to write.
    let roles = "field,township,county,prefecture,province,finance,lawyer,health";
    for login in ["one", "two"] {
        Server::command(&data, &["user", "add", login, "--unit", "1", "--role", roles, "--login", login]).unwrap();
    }
    for form in filled {
        Server::command(&data, &["form", "publish", &form.workbook.to_string_lossy()]).unwrap();
    }
    let server = Server::start(&data).unwrap();
    let one = Phone::enrol(&server, folder.path().join("one"), "one").await.unwrap();
    let two = Phone::enrol(&server, folder.path().join("two"), "two").await.unwrap();
    let (one, two) = (one.with_clock(FILLED_AT), two.with_clock(FILLED_AT));
    one.sync().await.unwrap();
    for form in filled {
        let line = json!({ "id": form.id, "values": form.values }).to_string();
        one.feed(&["import", &form.kind], &[line]).await.unwrap();
    }
    one.sync().await.unwrap();
    two.sync().await.unwrap();
    for form in filled {
        let written = one.export(&form.kind).await.unwrap();
        let read = two.export(&form.kind).await.unwrap();
        let of = |records: &[Value]| records.iter().find(|record| record["id"] == form.id.as_str()).cloned().unwrap();
        let (written, read) = (of(&written), of(&read));
        assert_eq!(written["values"], read["values"], "{}: the phones differ", form.workbook.display());
        assert_eq!(written["heads"], read["heads"], "{}", form.workbook.display());
        assert!(
            same_answers(&form.values, &read["values"]),
            "{}: answers changed\nwritten {}\nread {}",
            form.workbook.display(),
            form.values,
            read["values"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_forms_go_all_the_way() {
    let fixtures = workbooks(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/xlsforms"));
    assert!(fixtures.len() >= 15, "only {} fixtures", fixtures.len());
    let (filled, refused) = fill(fixtures);
    assert!(refused.is_empty(), "\n{}", refused.join("\n"));
    round_trip(&filled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_others_go_all_the_way() {
    let Some(folder) = std::env::var_os("FIELDBOOK_XLSFORMS") else { return };
    let (filled, refused) = fill(workbooks(Path::new(&folder)));
    println!("{} run, {} refused", filled.len(), refused.len());
    for reason in &refused {
        println!("  {reason}");
    }
    assert!(refused.len() <= REFUSED_MAX, "\n{}", refused.join("\n"));
    round_trip(&filled).await;
}

#[test]
fn an_xls_that_claims_whole_columns_is_read_by_what_it_holds() {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/xlsforms/safety-cup.xls");
    let mut bytes = std::fs::read(&ours).unwrap();
    let at = bytes.windows(4).position(|window| window == [0x00, 0x02, 0x0e, 0x00]).unwrap();
    // The last row of a sheet, as spreadsheet programs claim it for a handful of rows: 1,048,576.
    bytes[at + 8..at + 12].copy_from_slice(&1_048_576u32.to_le_bytes());
    let folder = tempfile::tempdir().unwrap();
    let claims = folder.path().join("safety-cup.xls");
    std::fs::write(&claims, bytes).unwrap();
    let of = |path: &Path| compile_path(path).unwrap().definition().clone();
    assert_eq!(format!("{:?}", of(&claims)), format!("{:?}", of(&ours)));
}
