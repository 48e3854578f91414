//! An uploaded workbook: compiled, compared with the last version, kept for a while.

use fieldbook_core::forms::{
    Compiled, Difference, DifferenceKind, FaultKind, Form, FormDefinition, Sensitivity, SheetError,
    compile_with_warnings, differences,
};

use super::pages::{FormDifference, PreviewPage, PreviewedForm, SheetNote};
use super::{LIFETIME_MS, digest_of};
use crate::sql::{Connection, OptionalExtension};
use crate::store::{Problem, Store, StoreError, UserRow, units};
use crate::text::{Language, text};

/// Characters of a file's name.
const NAME_CHARS_MAX: usize = 100;
/// Errors, and warnings, that one answer lists.
const NOTES_MAX: usize = 200;
/// Differences that one answer lists.
const DIFFERENCES_MAX: usize = 500;
/// Characters of each side of a difference.
const SIDE_CHARS_MAX: usize = 500;
/// Uploads of one user that are kept; the oldest go.
const USER_UPLOADS_MAX: i64 = 5;
/// Uploads that are kept.
const UPLOADS_MAX: i64 = 50;

/// What is wrong with the file as such: it has no sheet and row to look at.
fn is_of_file(error: &SheetError) -> bool {
    use FaultKind::{
        FileTooLarge, NotAWorkbook, NotCsv, NotUtf8, SheetTooLarge, WorkbookDamaged, WorkbookInflates,
        WorkbookUnreadable,
    };
    matches!(
        error.fault.kind,
        FileTooLarge
            | NotAWorkbook
            | NotCsv
            | NotUtf8
            | SheetTooLarge
            | WorkbookDamaged
            | WorkbookInflates
            | WorkbookUnreadable
    )
}

fn note(error: &SheetError, language: &str) -> SheetNote {
    let bare = SheetError { sheet: String::new(), row: None, column: None, ..error.clone() };
    SheetNote {
        sheet: error.sheet.clone(),
        row: error.row.map(|row| row as u64),
        column: error.column.clone(),
        message: bare.text(language),
    }
}

fn notes(errors: &[SheetError], language: &str) -> Vec<SheetNote> {
    errors.iter().take(NOTES_MAX).map(|error| note(error, language)).collect()
}

fn cut(side: Option<String>) -> Option<String> {
    side.map(|side| side.chars().take(SIDE_CHARS_MAX).collect())
}

/// What a difference means for records that are there; empty if nothing.
fn effect(difference: &Difference, language: &str) -> String {
    use DifferenceKind as Kind;
    let sensitive = |side: &Option<String>| side.as_deref() == Some("sensitive");
    let word = match difference.kind {
        Kind::Added => "effect_added",
        Kind::Removed => "effect_removed",
        Kind::Retyped | Kind::Regrouped => "effect_retyped",
        Kind::ChoicesRemoved => "effect_choices_removed",
        Kind::Required if difference.after.is_some() => "effect_required",
        Kind::Relevant => "effect_relevant",
        Kind::Constraint | Kind::Check if difference.after.is_some() => "effect_constraint",
        Kind::Calculation => "effect_calculation",
        Kind::Merge => "effect_merge",
        Kind::Sensitivity if sensitive(&difference.after) => "effect_masked",
        Kind::Sensitivity if sensitive(&difference.before) => "effect_unmasked",
        Kind::Writers => "effect_writers",
        Kind::Identity | Kind::Occasion => "effect_persons",
        Kind::Unit => "effect_unit",
        _ => return String::new(),
    };
    text(Language::from_tag(language), word, &[])
}

fn shown(difference: Difference, before: &Form, after: &Form, language: &str) -> FormDifference {
    let effect = effect(&difference, language);
    let label = |form: &Form| {
        let field = form.field(&difference.path)?;
        form.pick(&field.label, language).map(str::to_owned)
    };
    FormDifference {
        change: difference.kind.word().to_owned(),
        label: label(after).or_else(|| label(before)).unwrap_or_default(),
        path: difference.path.clone(),
        before: cut(difference.before),
        after: cut(difference.after),
        effect,
    }
}

/// Id and version of a kind's newest form.
pub(super) fn newest(tx: &Connection, kind: &str) -> Result<Option<(i64, String)>, StoreError> {
    let mut statement = tx.prepare("SELECT id, version FROM forms WHERE kind = ?1 ORDER BY id DESC LIMIT 1")?;
    Ok(statement.query_row([kind], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// Keeps an upload, and lets go of old ones.
fn keep(tx: &Connection, user: &UserRow, bytes: &[u8], last: Option<i64>, now_ms: i64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM form_previews WHERE uploaded_ms <= ?1", [now_ms.saturating_sub(LIFETIME_MS)])?;
    tx.execute(
        "INSERT INTO form_previews(digest, user, bytes, last, uploaded_ms) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT(digest, user) DO UPDATE SET last = ?4, uploaded_ms = ?5",
        (digest_of(bytes), user.id.as_bytes(), bytes, last, now_ms),
    )?;
    let newer = "SELECT count(*) FROM form_previews AS newer WHERE newer.uploaded_ms > form_previews.uploaded_ms";
    tx.execute(
        &format!("DELETE FROM form_previews WHERE user = ?1 AND ({newer} AND newer.user = ?1) >= ?2"),
        (user.id.as_bytes(), USER_UPLOADS_MAX),
    )?;
    tx.execute(&format!("DELETE FROM form_previews WHERE ({newer}) >= ?1"), [UPLOADS_MAX])?;
    Ok(())
}

impl Store {
    /// Compiles a workbook for `user`, and keeps the form for an hour.
    ///
    /// # Errors
    /// `not_publisher` for who publishes nowhere, `workbook_refused`, `busy`; else what the database said.
    pub fn preview_form(
        &self,
        user: &UserRow,
        name: &str,
        bytes: &[u8],
        language: &str,
    ) -> Result<PreviewPage, StoreError> {
        let roles = self.read(|tx| units::roles(tx, user.id))?;
        if !roles.iter().any(|(role, _)| role.supervises()) {
            return Err(Problem::new("not_publisher").with("unit", &user.unit).into());
        }
        let name: String = name.chars().take(NAME_CHARS_MAX).collect();
        let place = self.previews.place()?;
        let compiled = compile_with_warnings(&name, bytes);
        let page = match compiled {
            Ok(compiled) => self.previewed(user, &compiled, language)?,
            Err(errors) => {
                if let Some(error) = errors.iter().find(|error| is_of_file(error)) {
                    return Err(Problem::new("workbook_refused").with("detail", error.text(language)).into());
                }
                PreviewPage { form: None, errors: notes(&errors, language), warnings: Vec::new() }
            }
        };
        drop(place);
        Ok(page)
    }

    fn previewed(&self, user: &UserRow, compiled: &Compiled, language: &str) -> Result<PreviewPage, StoreError> {
        let form = &compiled.form;
        let definition = form.definition();
        let (bytes, now_ms) = (form.to_bytes(), self.now_ms());
        let records = self.counts(user.id)?.get(&definition.kind).map_or(0, |states| states.values().sum());
        let (last, before, hindrance, unit) = self.write(|tx| {
            let last = newest(tx, &definition.kind)?;
            keep(tx, user, &bytes, last.as_ref().map(|(id, _)| *id), now_ms)?;
            let before = self.current_form(tx, &definition.kind)?;
            let (hindrance, unit) = match self.publishable(tx, user, form, None) {
                Ok(unit) => (None, Some(unit)),
                Err(StoreError::Problem(problem)) => (Some(problem.word.to_owned()), None),
                Err(other) => return Err(other),
            };
            Ok((last, before, hindrance, unit))
        })?;
        let found = before.as_ref().map(|before| differences(before, form)).unwrap_or_default();
        let more_differences = found.len().saturating_sub(DIFFERENCES_MAX) as u64;
        let shown = |difference| {
            let before = before.as_deref().unwrap_or(form);
            shown(difference, before, form, language)
        };
        let form = PreviewedForm {
            digest: hex::encode(digest_of(&bytes)),
            kind: definition.kind.clone(),
            version: definition.version.clone(),
            title: form.pick(&definition.title, language).unwrap_or(&definition.kind).to_owned(),
            area: definition.area.word().to_owned(),
            languages: definition.languages.clone(),
            fields: definition.fields.len() as u64,
            last_version: last.map(|(_, version)| version),
            differences: found.into_iter().take(DIFFERENCES_MAX).map(shown).collect(),
            more_differences,
            records,
            hindrance,
            unit,
            expires_ms: now_ms.saturating_add(LIFETIME_MS),
        };
        let mut warnings = notes(&compiled.warnings, language);
        warnings.extend(own_warnings(definition, language));
        Ok(PreviewPage { form: Some(form), errors: Vec::new(), warnings })
    }
}

/// What this server would have its author look at, beyond what the compiler says.
fn own_warnings(definition: &FormDefinition, language: &str) -> Vec<SheetNote> {
    let told = |word: &str, args: &[(&'static str, String)]| SheetNote {
        sheet: "survey".to_owned(),
        row: None,
        column: None,
        message: text(Language::from_tag(language), word, args),
    };
    let mut found = Vec::new();
    if !definition.fields.iter().any(|field| field.list) {
        found.push(told("form_lists_nothing", &[]));
    }
    let open = definition.fields.iter().filter(|field| field.identity && field.sensitivity == Sensitivity::Plain);
    for field in open.take(NOTES_MAX) {
        found.push(told("form_identity_plain", &[("path", field.path.clone())]));
    }
    found
}
