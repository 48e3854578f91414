//! What the sheets of the built-in kinds and of the fixtures promise, read as plain tables (docs/FORMS.md).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fieldbook_core::access::{Area, Role};
use fieldbook_tests::demo::stage::{program, programs_are_beside};

const KINDS: &[&str] = &["household", "visit", "health_check", "legal_checkup"];
/// Who fills in a form in the field: at least one of them must be able to write what is required.
const FILLERS: &[&str] = &["field", "township", "lawyer"];
const LABELS: &[&str] = &["label::中文 (zh-Hans)", "label::English (en)"];

type Row = BTreeMap<String, String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Rows of a sheet by column name, empty cells and empty rows left out.
fn sheet(path: &Path) -> Vec<Row> {
    let mut reader = csv::ReaderBuilder::new().from_path(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let columns = reader.headers().unwrap().clone();
    let rows = reader.records().map(|record| {
        let record = record.unwrap();
        let cells = columns.iter().map(str::to_owned).zip(record.iter().map(str::to_owned));
        cells.filter(|(_, cell)| !cell.is_empty()).collect::<Row>()
    });
    rows.filter(|row| !row.is_empty()).collect()
}

fn kind_sheet(kind: &str, name: &str) -> Vec<Row> {
    sheet(&root().join("core/forms").join(kind).join(format!("{name}.csv")))
}

fn cell<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).map_or("", String::as_str)
}

fn is_question(row: &Row) -> bool {
    let sheet_type = cell(row, "type");
    !["begin", "end", "note", "calculate"].iter().any(|start| sheet_type.starts_with(start))
}

#[test]
fn questions_of_built_in_kinds_say_how_they_merge_and_who_writes_them() {
    for kind in KINDS {
        for row in kind_sheet(kind, "survey").iter().filter(|row| is_question(row)) {
            let name = format!("{kind}: {}", cell(row, "name"));
            let merge = cell(row, "bind::fb:merge");
            let set = cell(row, "type").starts_with("select_multiple");
            assert!(["register", "must-agree", "set", "once"].contains(&merge), "{name}: merge {merge:?}");
            assert_eq!(set, merge == "set", "{name}: a set is a select_multiple and the other way round");
            let sensitivity = cell(row, "bind::fb:sensitivity");
            assert!(["plain", "personal", "sensitive"].contains(&sensitivity), "{name}: {sensitivity:?}");
            let writers: Vec<&str> = cell(row, "bind::fb:writers").split_whitespace().collect();
            assert!(!writers.is_empty(), "{name}: nobody may write it");
            assert!(writers.iter().all(|role| Role::from_word(role).is_some()), "{name}: writers {writers:?}");
            let required = !cell(row, "required").is_empty();
            assert!(!required || writers.iter().any(|role| FILLERS.contains(role)), "{name}: required of nobody");
            for label in LABELS {
                assert!(!cell(row, label).is_empty(), "{name}: no {label}");
            }
            let unit_is_fen = cell(row, "bind::fb:unit") == "fen";
            assert_eq!(cell(row, LABELS[0]).contains("（分）"), unit_is_fen, "{name}: money is named in fen");
        }
    }
}

#[test]
fn built_in_kinds_have_an_area_and_two_to_four_list_columns() {
    for kind in KINDS {
        let settings = kind_sheet(kind, "settings");
        assert_eq!(settings.len(), 1, "{kind}");
        assert_eq!(cell(&settings[0], "form_id"), *kind);
        assert!(Area::from_word(cell(&settings[0], "fb:area")).is_some(), "{kind}: area");
        let survey = kind_sheet(kind, "survey");
        let listed = survey.iter().filter(|row| !cell(row, "bind::fb:list").is_empty()).count();
        assert!((2..=4).contains(&listed), "{kind}: {listed} list columns");
        for name in ["event_date", "remarks"] {
            assert!(survey.iter().any(|row| cell(row, "name") == name), "{kind}: no {name}");
        }
    }
}

#[test]
fn whoever_writes_in_a_built_in_kind_reads_it() {
    for kind in KINDS {
        let area = Area::from_word(cell(&kind_sheet(kind, "settings")[0], "fb:area")).unwrap();
        for row in kind_sheet(kind, "survey") {
            for role in cell(&row, "bind::fb:writers").split_whitespace() {
                let reads = Role::from_word(role).unwrap().areas();
                assert!(reads.contains(&area), "{kind}: {role} writes {} and does not read {area}", cell(&row, "name"));
            }
        }
    }
    for role in Role::ALL.iter().filter(|role| !matches!(role, Role::Health | Role::Auditor)) {
        assert!(!role.areas().contains(&Area::Health), "{role} reads findings");
    }
    assert!(!Role::Health.areas().contains(&Area::Aid), "institutions read households");
}

#[test]
fn every_choice_list_of_built_in_kinds_exists_and_is_used() {
    for kind in KINDS {
        let survey = kind_sheet(kind, "survey");
        let selects = survey.iter().filter_map(|row| {
            let (sheet_type, list) = cell(row, "type").split_once(' ')?;
            sheet_type.starts_with("select_").then(|| list.to_owned())
        });
        let used: BTreeSet<String> = selects.collect();
        let choices = kind_sheet(kind, "choices");
        let offered: BTreeSet<String> = choices.iter().map(|row| cell(row, "list_name").to_owned()).collect();
        assert_eq!(used, offered, "{kind}");
        assert!(choices.iter().all(|row| LABELS.iter().all(|label| !cell(row, label).is_empty())), "{kind}: labels");
    }
}

#[test]
fn the_household_form_offers_the_code_tables_as_they_are() {
    let choices = kind_sheet("household", "choices");
    let offered = |list: &str| -> BTreeSet<(String, String)> {
        let of_list = choices.iter().filter(|row| cell(row, "list_name") == list);
        of_list.map(|row| (cell(row, "name").to_owned(), cell(row, LABELS[0]).to_owned())).collect()
    };
    let table = |file: &str, keep: &dyn Fn(&Row) -> bool| -> BTreeSet<(String, String)> {
        let rows = sheet(&root().join("core/forms/codes").join(file));
        rows.iter()
            .filter(|row| keep(row))
            .map(|row| (cell(row, "code").to_owned(), cell(row, "name").to_owned()))
            .collect()
    };
    let mut ethnic = table("ethnic-groups.csv", &|_| true);
    ethnic.extend([("97".to_owned(), "其他".to_owned()), ("98".to_owned(), "入籍".to_owned())]);
    assert_eq!(offered("ethnicity"), ethnic);
    let counties = table("divisions-qinghai.csv", &|row| cell(row, "level").starts_with("county"));
    assert_eq!(offered("county"), counties);
}

#[test]
fn the_list_of_fixtures_names_each_and_there_are_enough() {
    let folder = root().join("tests/fixtures/xlsforms");
    let listed = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = entries.filter(|name| name != "README.md").collect();
    assert!(names.len() >= 15, "{} fixtures", names.len());
    for name in names {
        assert!(listed.contains(&format!("| `{name}` |")), "{name} is not in the list");
    }
}

/// What `form check` prints of all refused fixtures; it must not call them fine.
fn checked(language: &[&str], forms: &[PathBuf]) -> String {
    programs_are_beside(Path::new(env!("CARGO_BIN_EXE_fieldbook-phone")));
    let mut command = std::process::Command::new(program("fieldbook-server").unwrap());
    for name in ["LC_ALL", "LC_MESSAGES", "LANG"] {
        command.env_remove(name);
    }
    let output = command.args(language).args(["form", "check"]).args(forms).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn form_check_says_in_the_readers_language_why_a_form_is_refused() {
    let folder = root().join("tests/fixtures/xlsforms-broken");
    let expected = sheet(&folder.join("expected.csv"));
    let forms: Vec<PathBuf> = expected.iter().map(|row| folder.join(cell(row, "form"))).collect();
    let is_han = |c: char| ('\u{4E00}'..='\u{9FFF}').contains(&c);
    // Chinese unless English is asked for.
    for (arguments, column, refused) in [
        (&[][..], "zh-Hans", "未通过："),
        (&["--lang", "en"][..], "en", "refused: "),
        (&["--lang", "bo"], "zh-Hans", "未通过："),
    ] {
        let printed = checked(arguments, &forms);
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines.len(), forms.len(), "{printed}");
        for ((line, form), row) in lines.iter().zip(&forms).zip(&expected) {
            let said = cell(row, column);
            assert!(line.starts_with(&format!("{}: {refused}{said}", form.display())), "{line}");
            // Besides the place, in Chinese too, the reason itself: no language falls back to the other.
            let reason = said.split_once(if column == "en" { ": " } else { "：" }).unwrap().1;
            assert_eq!(reason.contains(is_han), column != "en", "{said}");
        }
    }
}

#[test]
fn every_refused_form_names_sheet_row_and_column_in_words_of_both_languages() {
    let folder = root().join("tests/fixtures/xlsforms-broken");
    let expected = sheet(&folder.join("expected.csv"));
    let folders = std::fs::read_dir(&folder).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(folders, expected.len());
    for row in &expected {
        let place = (cell(row, "sheet"), cell(row, "row"), cell(row, "column"));
        let chinese = format!("工作表 {}，第 {} 行，{} 列：", place.0, place.1, place.2);
        let english = format!("sheet {}, row {}, column {}: ", place.0, place.1, place.2);
        assert!(cell(row, "zh-Hans").starts_with(&chinese), "{row:?}");
        assert!(cell(row, "en").starts_with(&english), "{row:?}");
    }
}
