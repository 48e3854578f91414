//! The measured sections of `docs/PERFORMANCE.md`, each between two marker lines; the rest of the page is written by hand.

use std::path::{Path, PathBuf};

use fieldbook_tests::demo::stage::Failure;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PERFORMANCE.md")
}

/// Puts `text` between the markers of the section `name`.
///
/// # Errors
/// When the page or its markers are missing.
pub fn put(name: &str, text: &str) -> Result<(), Failure> {
    let path = path();
    let page = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (begin, end) = (format!("<!-- bench-sync {name}: begin -->\n"), format!("<!-- bench-sync {name}: end -->"));
    let missing = || format!("{}: no section {name}", path.display());
    let (before, rest) = page.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
    let page = format!("{before}{begin}\n{}\n\n{end}{after}", text.trim());
    std::fs::write(&path, page).map_err(|error| format!("{}: {error}", path.display()))
}
