use std::path::{Path, PathBuf};

use super::*;

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
        .map(|path| (path, check_path(path)))
        .filter(|(_, report)| !report.ok)
        .map(|(path, report)| format!("{}: {report}", path.display()))
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
        let report = check_path(&path);
        println!("{}: {report}", path.display());
        if !report.ok {
            refused.push(path);
        }
    }
    assert!(refused.len() <= 2, "{refused:?}");
}
