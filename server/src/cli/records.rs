//! `form`, `record` and `verify`.

use std::path::Path;

use fieldbook_core::forms::{Compiled, SheetError, compile_path_with_warnings};
use fieldbook_core::ids::RecordId;

use super::commands::say;
use super::options::{FormTask, RecordTask};
use crate::store::{Problem, Published, RecordPage, Store, StoreError};
use crate::text::{Language, text};

/// What was found in a form's sheets, one after the other on one line.
fn found(language: Language, found: &[SheetError]) -> String {
    let separator = match language {
        Language::Chinese => "；",
        Language::English => "; ",
    };
    found.iter().map(|one| one.text(crate::form_language(language))).collect::<Vec<_>>().join(separator)
}

/// What may surprise the author of a form that is fine.
fn mind(language: Language, compiled: &Compiled) -> String {
    if compiled.warnings.is_empty() {
        return String::new();
    }
    text(language, "form_mind", &[("detail", found(language, &compiled.warnings))])
}

/// Compiles a form; says why it is refused.
fn compiled(language: Language, file: &Path) -> Option<Compiled> {
    let name = ("file", file.display().to_string());
    let errors = match compile_path_with_warnings(file) {
        Ok(compiled) => return Some(compiled),
        Err(errors) => errors,
    };
    say(language, "form_refused", &[name, ("detail", found(language, &errors))]);
    None
}

/// `form check`: a line a file; false if any was refused. Needs no data folder.
pub(super) fn check(language: Language, files: &[std::path::PathBuf]) -> bool {
    let mut fine = true;
    for file in files {
        let Some(compiled) = compiled(language, file) else {
            fine = false;
            continue;
        };
        let form = compiled.form.definition();
        let args = [
            ("file", file.display().to_string()),
            ("kind", form.kind.clone()),
            ("version", form.version.clone()),
            ("fields", form.fields.len().to_string()),
            ("mind", mind(language, &compiled)),
        ];
        say(language, "form_fine", &args);
    }
    fine
}

/// `form publish`, `form list`.
pub(super) fn form(language: Language, store: &Store, task: &FormTask) -> Result<bool, StoreError> {
    match task {
        FormTask::Check { files } => return Ok(check(language, files)),
        FormTask::Publish { file, unit } => return publish(language, store, file, unit.as_deref()),
        FormTask::List => {
            for form in store.forms_list()? {
                println!("{}\t{}\t{}\t{}", form.kind, form.version, form.unit, form.bytes);
            }
        }
    }
    Ok(true)
}

fn publish(language: Language, store: &Store, file: &Path, unit: Option<&str>) -> Result<bool, StoreError> {
    let Some(compiled) = compiled(language, file) else { return Ok(false) };
    let (form, mind) = (&compiled.form, mind(language, &compiled));
    let (kind, version) = (form.definition().kind.clone(), form.definition().version.clone());
    match store.publish_form(form, unit)? {
        Published::New { unit } => {
            say(language, "form_published", &[("kind", kind), ("version", version), ("unit", unit), ("mind", mind)]);
        }
        Published::Known => say(language, "form_known", &[("kind", kind), ("version", version)]),
    }
    Ok(true)
}

fn record_id(text: &str) -> Result<RecordId, Problem> {
    text.parse().map_err(|_| Problem::new("record_unknown").with("record", text))
}

/// `record list`, `record show`, `record move`, `record purge`.
pub(super) fn record(language: Language, store: &Store, task: &RecordTask) -> Result<bool, StoreError> {
    match task {
        RecordTask::List { kind } => {
            let mut after = None;
            loop {
                let rows = store.record_lines(kind, after.as_deref())?;
                for row in &rows {
                    let counts = format!("{}\t{}", row.conflicts, row.problems);
                    println!("{}\t{}\t{}\t{counts}\t{}", row.id, row.unit, row.state, row.received_ms);
                }
                match rows.last() {
                    Some(last) => after = Some(last.id.clone()),
                    None => break,
                }
            }
        }
        RecordTask::Show { id, json } => {
            let record = record_id(id)?;
            let form_language = crate::form_language(language);
            let page = store.page_unmasked(record, form_language)?;
            if *json {
                let text = serde_json::to_string_pretty(&page).map_err(|error| StoreError::corrupt("record", error))?;
                println!("{text}");
            } else {
                show(language, &page);
            }
        }
        RecordTask::Move { ids, to, reason } => {
            let records = ids.iter().map(|id| record_id(id)).collect::<Result<Vec<_>, _>>()?;
            store.move_records(None, &records, to, reason)?;
            say(language, "records_moved", &[("count", records.len().to_string()), ("unit", to.clone())]);
        }
        RecordTask::Purge { id, reason } => {
            let record = record_id(id)?;
            store.purge_record(None, record, reason)?;
            say(language, "record_purged", &[("record", record.to_string())]);
        }
    }
    Ok(true)
}

fn show(language: Language, page: &RecordPage) {
    let line = |word: &str, value: &str| println!("{}\t{value}", text(language, word, &[]));
    line("shown_record", &page.id);
    line("shown_kind", &format!("{} {}", page.kind, page.form_version));
    line("shown_unit", &format!("{} {}", page.unit, page.unit_name));
    line("shown_state", &page.state);
    println!("{}", serde_json::to_string_pretty(&page.values).unwrap_or_default());
    for conflict in &page.conflicts {
        line("shown_conflict", &format!("{} {}", conflict.path, conflict.label));
        for value in &conflict.values {
            println!("\t{}\t{}\t{}", value.value, value.by.author, value.when.time);
        }
    }
    for problem in &page.problems {
        line("shown_problem", &format!("{} {}", problem.path, problem.message));
    }
    for change in &page.history {
        let wrote: Vec<&str> = change.wrote.iter().map(|wrote| wrote.path.as_str()).collect();
        line("shown_change", &format!("{}\t{}\t{}", change.by.author, change.when.time, wrote.join(" ")));
    }
}

/// `verify`: a line a check; false if any found a fault.
pub(super) fn verify(language: Language, store: &Store) -> Result<bool, StoreError> {
    let mut fine = true;
    for check in store.verify()? {
        let name = ("check", check.name.to_owned());
        if check.faults.is_empty() {
            say(language, "verify_fine", &[name.clone(), ("count", check.count.to_string())]);
        }
        for fault in check.faults {
            fine = false;
            say(language, "verify_bad", &[name.clone(), ("detail", fault)]);
        }
    }
    if !fine {
        say(language, "verify_failed", &[]);
    }
    let log = store.audit_head()?;
    say(language, "verify_audit", &[("log_rows", log.rows.to_string()), ("log_chain", log.chain)]);
    Ok(fine)
}
