//! From an XLSForm (`.xlsx`, `.xls`, or a folder of CSV sheets) to a [`Form`]. `rxform` reads the workbook's meaning and
//! writes the XForm; what it lacks is mended in [`mend`], before and after it.

mod archive;
mod build;
mod builtin;
mod data;
mod mend;
mod refusal;
mod sheets;
#[cfg(test)]
mod tests;
mod xls;

use std::path::Path;

use rxform::model::Survey;

use super::definition::FormDefinition;
use super::faults::{FaultKind, FormFault};
use super::form::{BrokenRule, Form};
use crate::limits::FORM_BYTES_MAX;
pub use builtin::builtin;
pub use refusal::SheetError;
use sheets::Source;

/// A compiled form with what its author should know.
#[derive(Debug)]
pub struct Compiled {
    /// The form.
    pub form: Form,
    /// What works, but not as the author may expect.
    pub warnings: Vec<SheetError>,
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
    guarded(|| compile_unguarded(&Source::from_path(path).map_err(|error| vec![error])?))
}

/// Compiles a workbook, or a zip of CSV sheets, from its bytes; `name` is its file name, which names the form where the
/// sheet does not.
///
/// # Errors
/// Every [`SheetError`] found; nothing is compiled then.
pub fn compile(name: &str, workbook: &[u8]) -> Result<Form, Vec<SheetError>> {
    compile_with_warnings(name, workbook).map(|compiled| compiled.form)
}

/// As [`compile`], with warnings.
///
/// # Errors
/// Every [`SheetError`] found; nothing is compiled then.
pub fn compile_with_warnings(name: &str, workbook: &[u8]) -> Result<Compiled, Vec<SheetError>> {
    let read = || Source::from_bytes(name, workbook).map_err(|error| vec![error]);
    guarded(|| compile_unguarded(&read()?))
}

/// Compiles CSV sheets from their texts: pairs of file name (`survey.csv`) and content.
///
/// # Errors
/// Every [`SheetError`] found; nothing is compiled then.
pub fn compile_sheets(name: &str, files: &[(&str, &str)]) -> Result<Form, Vec<SheetError>> {
    let read = || Source::from_texts(name, files).map_err(|error| vec![error]);
    guarded(|| compile_unguarded(&read()?)).map(|compiled| compiled.form)
}

/// The cells of a workbook's first sheet as texts, row by row, within the limits of forms. Of a formula there is what it came
/// to when the workbook was saved.
///
/// # Errors
/// What is wrong with the file; it has no sheet and row.
pub fn first_sheet(workbook: &[u8]) -> Result<Vec<Vec<String>>, Vec<SheetError>> {
    guarded(|| {
        let source = Source::from_bytes("list", workbook).map_err(|error| vec![error])?;
        let first = source.sheets.into_iter().next();
        Ok(first.ok_or_else(|| vec![SheetError::of_workbook(FaultKind::NotAWorkbook)])?.1)
    })
}

/// Readers of spreadsheets and rxform are libraries that a damaged or hostile workbook makes panic.
fn guarded<T>(work: impl FnOnce() -> Result<T, Vec<SheetError>>) -> Result<T, Vec<SheetError>> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(vec![SheetError::of_workbook(FaultKind::WorkbookDamaged)]))
}

fn compile_unguarded(source: &Source) -> Result<Compiled, Vec<SheetError>> {
    let mended = mend::workbook(source)?;
    let one = |error: rxform::Error| vec![SheetError::of_library(error, &mended.workbook)];
    let mut survey = rxform::parser::parse(&mended.workbook, &source.name).map_err(one)?;
    mend::survey(&mut survey, &mended)?;
    let xform = rxform::xform::generate(&survey).map_err(one)?;
    let data = data::Files::read(source, &survey)?;
    let xform = data.embed(xform);
    let definition = build::definition(&survey, &mended, &data, xform)?;
    finish(definition, &survey, &mended, data.warnings)
}

/// Indexes the definition; what its logic cannot run is refused here, at the desk, and not met in the field.
fn finish(
    definition: FormDefinition,
    survey: &Survey,
    mended: &mend::Mended,
    warnings: Vec<SheetError>,
) -> Result<Compiled, Vec<SheetError>> {
    let form = Form::new(definition).map_err(|fault| vec![SheetError::new("", fault)])?;
    let bytes = form.to_bytes().len();
    if bytes > FORM_BYTES_MAX {
        let fault = FormFault::new(FaultKind::FormTooLarge).with(bytes).with(FORM_BYTES_MAX);
        return Err(vec![SheetError::new("", fault)]);
    }
    let rows = build::rows_by_path(survey);
    let broken = |rule: &BrokenRule| {
        let error = SheetError::new("survey", rule.fault.clone());
        let Some(row) = rows.get(&rule.path) else { return error.column(rule.column) };
        // rxform computes what a repeat counts in a question of its own, which it makes beside the repeat.
        let written = mended.names.get(row).is_none_or(|name| rule.path.ends_with(name.as_str()));
        error.row(*row).column(if written { rule.column } else { "repeat_count" })
    };
    let errors: Vec<SheetError> = form.broken_rules().iter().map(broken).collect();
    if errors.is_empty() { Ok(Compiled { form, warnings }) } else { Err(errors) }
}
