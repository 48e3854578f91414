use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::forms::{EvalTime, Values, generate};

/// Workbooks and folders below `tests/fixtures/<name>`, sorted.
fn fixtures(name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name);
    workbooks(&folder)
}

fn workbooks(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|e| e == "xlsx" || e == "xls"))
        .filter(|path| !path.is_dir() || path.join("survey.csv").is_file())
        .collect();
    found.sort();
    found
}

#[test]
fn every_fixture_compiles() {
    let paths = fixtures("xlsforms");
    assert!(paths.len() >= 15, "only {} fixtures", paths.len());
    let refused: Vec<String> = paths
        .iter()
        .filter_map(|path| Some((path, compile_path(path).err()?)))
        .map(|(path, errors)| format!("{}: {errors:?}", path.display()))
        .collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn builtin_kinds_compile() {
    let forms = builtin().unwrap_or_else(|errors| panic!("{errors:?}"));
    let kinds: Vec<&str> = forms.iter().map(|form| form.definition().kind.as_str()).collect();
    assert_eq!(kinds, ["household", "visit", "health_check", "legal_checkup"]);
    for form in &forms {
        let bytes = form.to_bytes();
        let again = Form::from_bytes(&bytes).unwrap();
        assert_eq!(again.to_bytes(), bytes);
        assert_eq!(again.definition(), form.definition());
    }
}

/// Public workbooks to try the engine on, where a machine has them: at most two may be refused.
#[test]
fn public_workbooks_compile() {
    let Ok(folder) = std::env::var("FIELDBOOK_XLSFORMS") else { return };
    let mut refused = Vec::new();
    for path in workbooks(Path::new(&folder)) {
        match compile_path(&path) {
            Ok(form) => println!("{}", fill_and_check(&path.to_string_lossy(), form, 1).join("\n")),
            Err(errors) => {
                println!("{}: {errors:?}", path.display());
                refused.push(path);
            }
        }
    }
    assert!(refused.len() <= 2, "{refused:?}");
}

fn noon() -> EvalTime {
    // 2024-05-20 12:00 in Shanghai.
    EvalTime { time_s: 1_716_177_600, record: "0b9df1c2-7a1e-4c52-8f0e-93a5cf3d8d11".to_owned() }
}

/// Fills a form from a seed and holds the result against everything that carries it.
fn fill_and_check(path: &str, form: Form, seed: u64) -> Vec<String> {
    let form = Arc::new(form);
    let filled = generate::fill(&form, seed, noon());
    let mut wrong: Vec<String> =
        filled.unsatisfied.iter().map(|(field, why)| format!("{path}: seed {seed}: {field}: {why}")).collect();
    let mut made = Values::default();
    filled.edits.iter().for_each(|edit| made.apply(edit));
    if made != filled.values {
        wrong.push(format!("{path}: seed {seed}: edits do not make the values"));
    }
    let json = form.values_to_json(&filled.values);
    let random = Counter(AtomicU64::new(seed));
    let mut again = Values::default();
    match form.edits_from_json(&json, &random) {
        Ok(edits) => edits.iter().for_each(|edit| again.apply(edit)),
        Err(error) => wrong.push(format!("{path}: seed {seed}: {error}")),
    }
    if without_rows(form.values_to_json(&again)) != without_rows(json.clone()) {
        wrong.push(format!("{path}: seed {seed}: JSON does not come back as it went in"));
    }
    wrong
}

/// JSON without row ids, which imports draw anew.
fn without_rows(json: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match json {
        Value::Object(map) => {
            Value::Object(map.into_iter().filter(|(key, _)| key != "_row").map(|(k, v)| (k, without_rows(v))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_rows).collect()),
        other => other,
    }
}

struct Counter(AtomicU64);

impl crate::ports::Random for Counter {
    fn fill(&self, bytes: &mut [u8]) {
        let n = self.0.fetch_add(1, Ordering::Relaxed);
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (n >> (8 * (at % 8))) as u8;
        }
    }
}

#[test]
fn every_fixture_is_filled_with_valid_answers() {
    let mut wrong = Vec::new();
    for path in fixtures("xlsforms") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for seed in 1..=3 {
            wrong.extend(fill_and_check(&name, compile_path(&path).unwrap(), seed));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn builtin_kinds_are_filled_with_valid_answers() {
    let mut wrong = Vec::new();
    for seed in 1..=3 {
        for form in builtin().unwrap() {
            let kind = form.definition().kind.clone();
            wrong.extend(fill_and_check(&kind, form, seed));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn broken_workbooks_are_refused_with_sheet_row_and_column() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/xlsforms-broken");
    let mut reader = csv::Reader::from_path(folder.join("expected.csv")).unwrap();
    let mut seen = 0;
    for record in reader.records() {
        let record = record.unwrap();
        let errors = compile_path(&folder.join(&record[0])).err().unwrap_or_else(|| panic!("{} compiled", &record[0]));
        let error = &errors[0];
        let place = (error.sheet.as_str(), error.row, error.column.as_deref().unwrap_or_default());
        assert_eq!(place, (&record[1], record[2].parse().ok(), &record[3]), "{}: {error}", &record[0]);
        assert_eq!(error.fault.kind.key(), &record[4], "{}", &record[0]);
        assert_eq!((error.text("zh-Hans").as_str(), error.text("en").as_str()), (&record[5], &record[6]));
        seen += 1;
    }
    assert!(seen >= 10);
}

fn refusal(files: &[(&str, &str)]) -> SheetError {
    compile_sheets("bad", files).unwrap_err().remove(0)
}

#[test]
fn our_own_columns_are_checked() {
    let survey = "type,name,label,bind::fb:merge,bind::fb:check,bind::fb:writers\ntext,a,A,sometimes,,\n";
    let error = refusal(&[("survey.csv", survey)]);
    assert_eq!((error.row, error.column.as_deref()), (Some(2), Some("bind::fb:merge")), "{error}");
    let survey = "type,name,label,bind::fb:check\ntext,a,A,magic\n";
    assert_eq!(refusal(&[("survey.csv", survey)]).column.as_deref(), Some("bind::fb:check"));
    let survey = "type,name,label,bind::fb:writers\ntext,a,A,field nobody\n";
    assert_eq!(refusal(&[("survey.csv", survey)]).column.as_deref(), Some("bind::fb:writers"));
    let error =
        refusal(&[("survey.csv", "type,name,label\ntext,a,A\n"), ("settings.csv", "form_id,fb:area\nx,mars\n")]);
    assert_eq!((error.sheet.as_str(), error.column.as_deref()), ("settings", Some("fb:area")), "{error}");
}

#[test]
fn duplicate_columns_are_refused() {
    let error = refusal(&[("survey.csv", "type,name,label,label\ntext,a,A,B\n")]);
    assert_eq!((error.row, error.column.as_deref()), (Some(1), Some("label")), "{error}");
}

#[test]
fn groups_hand_their_own_columns_down() {
    let survey = "type,name,label,bind::fb:sensitivity,bind::fb:writers,bind::fb:list\n\
        begin group,g,G,sensitive,county,\ntext,a,A,,,yes\ntext,b,B,plain,field,\nend group,,,,,\ntext,c,C,,,\n";
    let form = compile_sheets("x", &[("survey.csv", survey)]).unwrap();
    let of = |path: &str| form.field(path).unwrap();
    use crate::forms::Sensitivity::{Personal, Plain, Sensitive};
    assert_eq!((of("g/a").sensitivity, of("g/b").sensitivity, of("c").sensitivity), (Sensitive, Plain, Personal));
    assert_eq!(of("g/a").writers, [crate::access::Role::County]);
    assert_eq!(of("g/b").writers, [crate::access::Role::Field]);
    assert_eq!(of("c").writers.len(), 5);
    assert!(of("g/a").list && !of("g/b").list);
}

#[test]
fn hostile_workbooks_are_refused_without_panic() {
    let deep = "type,name,label\n".to_owned() + &(0..5000).map(|n| format!("begin group,g{n},G\n")).collect::<String>();
    assert!(refusal(&[("survey.csv", &deep)]).fault.kind == FaultKind::NestsTooDeep);
    let list: String = (0..1000).map(|n| format!("l,c{n},C\n")).collect();
    let choices = format!("list_name,name,label\n{list}");
    let loops = "type,name,label\nbegin loop over l,a,A\nbegin loop over l,b,B\nbegin loop over l,c,C\ntext,t,T\n\
        end loop,,\nend loop,,\nend loop,,\n";
    assert!(refusal(&[("survey.csv", loops), ("choices.csv", &choices)]).fault.kind == FaultKind::TooManyQuestions);
    for bytes in [&b""[..], b"PK", b"PK\x03\x04garbage", b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1 and nothing", &[0xFF; 3000]]
    {
        assert!(compile("x.xlsx", bytes).is_err());
    }
    let xlsx = std::fs::read(fixtures("xlsforms").iter().find(|p| p.extension().is_some_and(|e| e == "xlsx")).unwrap());
    let xlsx = xlsx.unwrap();
    for at in (0..xlsx.len()).step_by(xlsx.len() / 60) {
        let mut broken = xlsx.clone();
        broken[at] ^= 0x55;
        let _ = compile("x.xlsx", &broken);
        let _ = compile("x.xlsx", &xlsx[..at]);
    }
}

#[test]
fn a_missing_data_file_is_a_warning_with_its_place() {
    let survey = "type,name,label,calculation\nselect_one_from_file towns.csv,a,A,\n\
        calculate,b,,\"pulldata('prices', 'p', 'k', ${a})\"\n";
    let source = Source::from_texts("x", &[("survey.csv", survey)]).unwrap();
    let warnings = compile_unguarded(&source).unwrap().warnings;
    let told: Vec<String> = warnings.iter().map(|warning| warning.text("zh-Hans")).collect();
    assert_eq!(
        told,
        [
            "工作表 survey，第 2 行，type 列：表单旁边没有数据文件“towns.csv”，由它提供的选项会是空的",
            "工作表 survey，第 3 行，calculation 列：表单旁边没有数据文件“prices.csv”，由它提供的选项会是空的",
        ]
    );
}

#[test]
fn a_data_file_that_cannot_be_used_is_told_with_its_cause() {
    let survey = ("survey.csv", "type,name,label\nselect_one_from_file places.geojson,a,A\n");
    let error = refusal(&[survey, ("places.geojson", "{}")]);
    assert_eq!((error.row, error.column.as_deref()), (Some(2), Some("type")));
    assert!(
        error.text("zh-Hans").ends_with("数据文件“places.geojson”不能用（不是有效的 GeoJSON（features））"),
        "{error}"
    );
}

#[test]
fn what_is_no_workbook_is_told_by_its_path() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    for (path, kind) in [("nowhere.xlsx", FaultKind::FileMissing), ("xlsforms-broken", FaultKind::NoSurveyFile)] {
        let path = folder.join(path);
        let error = compile_path(&path).unwrap_err().remove(0);
        assert_eq!(error.fault.kind, kind, "{error}");
        assert!(error.text("zh-Hans").contains(&path.display().to_string()), "{error}");
    }
    let error = compile_path(&folder.join("xlsforms-broken/expected.csv")).unwrap_err().remove(0);
    assert_eq!(error.fault.kind, FaultKind::NotAWorkbook);
}
