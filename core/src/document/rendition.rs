//! A document's body and answers, for whoever stores and lists it.

use super::{Conflict, Document};
use crate::forms::{FormDefinition, Values};
use crate::ids::ChangeHash;

/// What a document comes to at its heads, under one form: worked out once, used by all who would otherwise work it out
/// again. Intake makes one of each change that it takes, because it must prove that the record is still stored and read.
#[derive(Clone, Debug)]
pub struct Rendition {
    heads: Vec<ChangeHash>,
    form_version: String,
    body: Vec<u8>,
    values: Values,
    conflicts: Vec<Conflict>,
}

impl Rendition {
    /// Saves and reads `document`.
    #[must_use]
    pub fn of(document: &Document, form: &FormDefinition) -> Self {
        Self::with_body(document, document.save(), form)
    }

    /// As [`Rendition::of`], taking from `earlier` what still holds: all of it at the same heads under the same form, the
    /// body at the same heads.
    #[must_use]
    pub fn after(document: &Document, form: &FormDefinition, earlier: Option<Self>) -> Self {
        match earlier.filter(|earlier| earlier.heads == document.heads()) {
            Some(earlier) if earlier.form_version == form.version => earlier,
            Some(earlier) => Self::with_body(document, earlier.body, form),
            None => Self::of(document, form),
        }
    }

    /// Reads `document`, whose saved bytes are `body`.
    pub(crate) fn with_body(document: &Document, body: Vec<u8>, form: &FormDefinition) -> Self {
        let (values, conflicts) = document.read_with_conflicts(form);
        Self { heads: document.heads(), form_version: form.version.clone(), body, values, conflicts }
    }

    /// Heads of the document, sorted.
    #[must_use]
    pub fn heads(&self) -> &[ChangeHash] {
        &self.heads
    }

    /// The document as [`Document::save`] gives it.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// As [`Document::read`].
    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// As [`Document::conflicts`].
    #[must_use]
    pub fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }
}
