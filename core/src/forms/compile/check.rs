//! `form check`: one line about a workbook.

use std::fmt;
use std::path::Path;

use super::{SheetError, compile_path_with_warnings};
use crate::forms::form::Form;

/// What `form check` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// The workbook compiles.
    pub ok: bool,
    /// Its kind, when it does.
    pub kind: String,
    /// Its version, when it does.
    pub version: String,
    /// Fields that a screen asks or the form computes.
    pub questions: usize,
    /// What works, but not as the author may expect, or not in other apps.
    pub warnings: Vec<String>,
    /// Why it does not compile.
    pub errors: Vec<SheetError>,
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ok {
            write!(f, "ok: {} version {}, {} questions", self.kind, self.version, self.questions)?;
            match self.warnings.len() {
                0 => Ok(()),
                1 => f.write_str(", 1 warning"),
                more => write!(f, ", {more} warnings"),
            }
        } else {
            let errors: Vec<String> = self.errors.iter().map(ToString::to_string).collect();
            write!(f, "refused: {}", errors.join("; "))
        }
    }
}

/// Compiles the workbook or folder at `path` and reports on it.
#[must_use]
pub fn check_path(path: &Path) -> CheckReport {
    match compile_path_with_warnings(path) {
        Ok(mut compiled) => {
            compiled.warnings.extend(portability(&compiled.form));
            CheckReport {
                ok: true,
                kind: compiled.form.definition().kind.clone(),
                version: compiled.form.definition().version.clone(),
                questions: compiled.form.definition().fields.len(),
                warnings: compiled.warnings,
                errors: Vec::new(),
            }
        }
        Err(errors) => CheckReport {
            ok: false,
            kind: String::new(),
            version: String::new(),
            questions: 0,
            warnings: Vec::new(),
            errors,
        },
    }
}

/// What rxeval says about running the form in other apps.
fn portability(form: &Form) -> Vec<String> {
    let issues = std::panic::catch_unwind(|| rxeval::check_form(&form.definition().xform));
    match issues {
        Ok(Ok(issues)) => issues.iter().map(rxeval::Issue::describe).collect(),
        _ => Vec::new(),
    }
}
