//! Documents of the records last worked on, so that a save does not load again what a form just showed.

use std::collections::VecDeque;

use crate::document::Document;
use crate::ids::{ChangeHash, RecordId};

/// Documents kept.
const DOCUMENTS_KEPT_MAX: usize = 4;
/// A document whose stored form is longer is not kept: in memory it takes several times as much.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// The documents, the latest last. What is stored may move on without them: whoever asks for one says which heads the
/// store holds, and gets it only if it is at these.
#[derive(Debug, Default)]
pub(super) struct Documents(VecDeque<Document>);

impl Documents {
    /// The record's document, if it is kept and at `heads` (sorted).
    pub(super) fn at(&self, id: &RecordId, heads: &[ChangeHash]) -> Option<Document> {
        self.0.iter().find(|document| document.record().id == *id && document.heads() == heads).cloned()
    }

    /// Keeps the record's document no longer.
    pub(super) fn forget(&mut self, id: &RecordId) {
        self.0.retain(|kept| kept.record().id != *id);
    }

    /// Keeps a document that is stored in `body_bytes`.
    pub(super) fn keep(&mut self, document: Document, body_bytes: usize) {
        self.forget(&document.record().id);
        if body_bytes > KEPT_BYTES_MAX {
            return;
        }
        if self.0.len() == DOCUMENTS_KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(document);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::tests::{A, form, set};

    fn document(number: u8) -> Document {
        Document::create(RecordId([number; 16]), &form("1")).unwrap()
    }

    #[test]
    fn only_the_document_at_the_stored_heads_comes_back() {
        let first = document(1);
        let id = first.record().id;
        let mut later = first.clone();
        later.edit(&form("1"), &first.heads(), A, 1, &[set("name", "才让")]).unwrap().unwrap();
        let mut kept = Documents::default();
        kept.keep(first.clone(), 100);
        assert!(kept.at(&id, &later.heads()).is_none(), "the store has moved on");
        assert!(kept.at(&id, &first.heads()).is_some());
        kept.keep(later.clone(), 100);
        assert_eq!(kept.at(&id, &later.heads()).map(|document| document.heads()), Some(later.heads()));
        assert!(kept.at(&id, &first.heads()).is_none(), "one document a record");
    }

    #[test]
    fn few_and_small_ones_are_kept() {
        let mut kept = Documents::default();
        for number in 0..=DOCUMENTS_KEPT_MAX {
            kept.keep(document(u8::try_from(number).unwrap()), 100);
        }
        let oldest = document(0);
        assert!(kept.at(&oldest.record().id, &oldest.heads()).is_none());
        let large = document(99);
        kept.keep(large.clone(), KEPT_BYTES_MAX + 1);
        assert!(kept.at(&large.record().id, &large.heads()).is_none());
    }
}
