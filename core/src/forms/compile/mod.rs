//! From an XLSForm (`.xlsx`, `.xls`, or a folder of CSV sheets) to a [`Form`]. `rxform` reads the workbook's meaning and
//! writes the XForm; what it lacks is mended in [`mend`], before and after it.

mod build;
mod builtin;
mod check;
mod data;
mod mend;
mod sheets;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use rxform::model::Survey;

use super::definition::FormDefinition;
use super::form::Form;
use crate::limits::FORM_BYTES_MAX;
pub use builtin::builtin;
pub use check::{CheckReport, check_path};
use sheets::Source;

/// Why a workbook is no form: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SheetError {
    /// Sheet, such as `survey`; empty when it is about the whole workbook.
    pub sheet: String,
    /// Row of the sheet, counted from 1; the headings are row 1.
    pub row: Option<usize>,
    /// Heading of the column.
    pub column: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl SheetError {
    pub(crate) fn new(sheet: &str, message: impl Into<String>) -> Self {
        Self { sheet: sheet.to_owned(), row: None, column: None, message: message.into(), hint: None }
    }

    pub(crate) fn row(mut self, row: usize) -> Self {
        self.row = Some(row);
        self
    }

    pub(crate) fn column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for SheetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = Vec::new();
        if !self.sheet.is_empty() {
            place.push(format!("sheet {}", self.sheet));
        }
        place.extend(self.row.map(|row| format!("row {row}")));
        place.extend(self.column.iter().map(|column| format!("column {column}")));
        if !place.is_empty() {
            write!(f, "{}: ", place.join(", "))?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl From<rxform::Error> for SheetError {
    fn from(error: rxform::Error) -> Self {
        SheetError {
            sheet: error.location.sheet.unwrap_or_default(),
            row: error.location.row,
            column: error.location.column,
            message: error.message,
            hint: error.hint,
        }
    }
}

/// A compiled form with what its author should know.
#[derive(Debug)]
pub struct Compiled {
    /// The form.
    pub form: Form,
    /// What works, but not as the author may expect.
    pub warnings: Vec<String>,
}

/// Compiles the workbook or folder at `path`.
///
/// # Errors
/// Every [`SheetError`] found; nothing is compiled then.
pub fn compile_path(path: &Path) -> Result<Form, Vec<SheetError>> {
    compile_path_with_warnings(path).map(|compiled| compiled.form)
}

/// As [`compile_path`], with warnings.
///
/// # Errors
/// Every [`SheetError`] found; nothing is compiled then.
pub fn compile_path_with_warnings(path: &Path) -> Result<Compiled, Vec<SheetError>> {
    compile_source(&Source::from_path(path).map_err(|error| vec![error])?)
}

/// Compiles a workbook from its bytes; `name` is its file name, which names the form where the sheet does not.
///
/// # Errors
/// Every [`SheetError`] found; nothing is compiled then.
pub fn compile(name: &str, workbook: &[u8]) -> Result<Form, Vec<SheetError>> {
    let source = Source::from_bytes(name, workbook).map_err(|error| vec![error])?;
    compile_source(&source).map(|compiled| compiled.form)
}

/// Compiles CSV sheets from their texts: pairs of file name (`survey.csv`) and content.
///
/// # Errors
/// Every [`SheetError`] found; nothing is compiled then.
pub fn compile_sheets(name: &str, files: &[(&str, &str)]) -> Result<Form, Vec<SheetError>> {
    let source = Source::from_texts(name, files).map_err(|error| vec![error])?;
    compile_source(&source).map(|compiled| compiled.form)
}

fn compile_source(source: &Source) -> Result<Compiled, Vec<SheetError>> {
    // Readers of spreadsheets and rxform are libraries that a hostile workbook could make panic.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| compile_unguarded(source))).unwrap_or_else(|_| {
        Err(vec![SheetError::new("", "the workbook cannot be read").hint("save it again with a spreadsheet program")])
    })
}

fn compile_unguarded(source: &Source) -> Result<Compiled, Vec<SheetError>> {
    let mended = mend::workbook(source)?;
    let one = |error: rxform::Error| vec![SheetError::from(error)];
    let mut survey = rxform::parser::parse(&mended.workbook, &source.name).map_err(one)?;
    mend::survey(&mut survey, &mended)?;
    let xform = rxform::xform::generate(&survey).map_err(one)?;
    let data = data::Files::read(source, &survey)?;
    let xform = data.embed(xform);
    let definition = build::definition(&survey, &mended, &data, xform)?;
    finish(definition, &survey, data.warnings)
}

/// Indexes the definition; what its logic cannot run is refused here, at the desk, and not met in the field.
fn finish(definition: FormDefinition, survey: &Survey, warnings: Vec<String>) -> Result<Compiled, Vec<SheetError>> {
    let form = Form::new(definition).map_err(|error| vec![SheetError::new("", error.to_string())])?;
    let bytes = form.to_bytes().len();
    if bytes > FORM_BYTES_MAX {
        let message = format!("the compiled form has {bytes} bytes, at most {FORM_BYTES_MAX} are allowed");
        return Err(vec![SheetError::new("", message).hint("make choice lists and data files smaller")]);
    }
    let rows = build::rows_by_path(survey);
    let errors: Vec<SheetError> = form
        .logic_warnings()
        .iter()
        .map(|(path, why)| {
            let error = SheetError::new("survey", format!("{path}: {why}"));
            match rows.get(path) {
                Some(row) => error.row(*row),
                None => error,
            }
        })
        .collect();
    if errors.is_empty() { Ok(Compiled { form, warnings }) } else { Err(errors) }
}
