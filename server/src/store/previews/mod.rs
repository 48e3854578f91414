//! Forms before they are published.

mod pages;

use fieldbook_core::ids::UserId;
use serde_json::Value as Json;

pub use pages::{
    FormDifference, FormKind, FormVersion, PreviewPage, PreviewedForm, PublishedForm, RefusedStep, RunChoice, RunPage,
    RunQuestion, SheetNote,
};

use super::{Problem, Store, StoreError, UserRow};

/// Which form is tried out.
#[derive(Debug, Clone)]
pub enum Tried {
    /// An uploaded one, by its digest in hex.
    Preview(String),
    /// A published one, by kind and version.
    Published(String, String),
}

/// One step of filling in a form.
#[derive(Debug, Clone)]
pub enum RunStep {
    /// A question is answered.
    Set {
        /// Its path.
        path: String,
        /// The answer.
        value: Json,
    },
    /// A row is added.
    Add {
        /// Path of the repeat.
        repeat: String,
        /// The enclosing row of a nested repeat.
        parent: Option<String>,
    },
    /// A row is removed.
    Remove {
        /// Path of the repeat.
        repeat: String,
        /// The row.
        row: String,
    },
}

fn not_yet<T>() -> Result<T, StoreError> {
    Err(Problem::new("address_not_here").into())
}

#[allow(missing_docs, reason = "shapes first")]
impl Store {
    pub fn form_kinds(&self, _: UserId, _: &str) -> Result<Vec<FormKind>, StoreError> {
        not_yet()
    }
    pub fn preview_form(&self, _: &UserRow, _: &str, _: &[u8], _: &str) -> Result<PreviewPage, StoreError> {
        not_yet()
    }
    pub fn run_form(&self, _: UserId, _: &Tried, _: Option<&str>, _: &[RunStep]) -> Result<RunPage, StoreError> {
        not_yet()
    }
    pub fn publish_preview(&self, _: &UserRow, _: &str, _: Option<&str>) -> Result<PublishedForm, StoreError> {
        not_yet()
    }
}
