//! Accepted changes that this app cannot merge yet.

use crate::document::{Document, PendingEntry};
use crate::forms::FormDefinition;
use crate::intake::{self, Refusal};

/// Merges what now fits of the changes that waited for a record, and says which did.
pub(super) fn merge_waiting<'w>(
    document: &mut Document,
    form: &FormDefinition,
    waiting: &'w [PendingEntry],
) -> Vec<&'w PendingEntry> {
    let mut merged = Vec::new();
    let mut left: Vec<&PendingEntry> = waiting.iter().collect();
    loop {
        let before = left.len();
        left.retain(|entry| {
            let fits = intake::admit(document, form, &entry.bytes, None).is_ok();
            if fits {
                merged.push(*entry);
            }
            !fits
        });
        if left.is_empty() || left.len() == before {
            return merged;
        }
    }
}

/// Why a change must wait, as a stable word.
pub(super) fn reason_of(refusal: &Refusal) -> String {
    match refusal {
        Refusal::MissingDependency { .. } => "missing_dependency".to_owned(),
        Refusal::Refused { reason, .. } | Refusal::Quarantined { reason, .. } => (*reason).to_owned(),
        Refusal::NeedsNewerForm { .. } => "newer_form".to_owned(),
    }
}
