//! What a device issues again of changes that were not taken, so that nothing is taken twice.
//!
//! A phone that was told what is not allowed writes the rest anew: in the same rows, with the claimed time of the
//! original, under another actor. Once that is here, only what is left of the original still waits for a supervisor;
//! and where a supervisor had admitted the original before, all that comes again is there already.

use std::sync::Arc;

use crate::sql::Connection;
use fieldbook_core::document::{Document, RawChange};
use fieldbook_core::forms::{Edit, Form};
use fieldbook_core::ids::ChangeHash;
use fieldbook_core::protocol::Verdict;
use fieldbook_core::sync::server::{Fate, TakenChange};

use super::quarantine::{self, QuarantineRow};
use super::{Store, StoreError};

/// What of a record is known besides its document: changes in quarantine, each of which may build on others.
pub(crate) struct Around {
    pub(crate) rows: Vec<QuarantineRow>,
}

impl Around {
    pub(crate) fn of(tx: &Connection, record: fieldbook_core::ids::RecordId) -> Result<Self, StoreError> {
        Ok(Self { rows: quarantine::of_record(tx, record)? })
    }

    /// What a change does that `document` may not hold; `None` where not all of it can be told.
    pub(crate) fn edits(&self, document: &Document, form: &Form, hash: &ChangeHash, bytes: &[u8]) -> Option<Vec<Edit>> {
        if document.contains(hash) {
            return Some(document.edits_of(form.definition(), hash));
        }
        let unheld = self.rows.iter().filter(|row| !document.contains(&row.hash));
        let around: Vec<&[u8]> = unheld.map(|row| row.bytes.as_slice()).collect();
        document.edits_of_unheld(form.definition(), &around, bytes)
    }
}

/// A change that may be issued again for one of these.
pub(crate) struct Again {
    around: Around,
    /// Saves of the same device, record and second under other actors.
    originals: Vec<QuarantineRow>,
    edits: Vec<Edit>,
}

impl Again {
    /// `None` for almost every change: it is issued again for none.
    pub(crate) fn of(
        tx: &Connection,
        document: &Document,
        form: &Form,
        change: &TakenChange<'_>,
    ) -> Result<Option<Self>, StoreError> {
        let Some(raw) = RawChange::read(change.bytes).filter(|raw| raw.actor == change.actor) else { return Ok(None) };
        let originals = quarantine::same_save(tx, change, raw.time_s)?;
        if originals.is_empty() {
            return Ok(None);
        }
        let around = Around::of(tx, change.record)?;
        let edits = around.edits(document, form, &raw.hash, change.bytes).filter(|edits| !edits.is_empty());
        Ok(edits.map(|edits| Self { around, originals, edits }))
    }

    /// The original that is in the log and holds all of the change: then the change is kept apart as taken by it.
    pub(crate) fn taken_before(
        &self,
        store: &Store,
        tx: &Connection,
        document: &Document,
        change: &TakenChange<'_>,
    ) -> Result<Option<Fate>, StoreError> {
        for row in self.originals.iter().filter(|row| row.admitted_as == Some(row.hash)) {
            let held = self.edits_of(store, tx, document, row)?;
            if self.edits.iter().all(|edit| held.contains(edit)) {
                let verdict = Verdict::taken(change.hash, change.record, row.hash);
                quarantine::put(tx, change, &verdict)?;
                return Ok(Some(Fate::NotTaken(verdict)));
            }
        }
        Ok(None)
    }

    /// The change is in the log or waits itself: of an original that holds all of it, only the rest waits on.
    pub(crate) fn note(
        &self,
        store: &Store,
        tx: &Connection,
        document: &Document,
        change: &ChangeHash,
    ) -> Result<(), StoreError> {
        for row in self.originals.iter().filter(|row| row.waits()) {
            let held = self.edits_of(store, tx, document, row)?;
            if !self.edits.iter().all(|edit| held.contains(edit)) {
                continue;
            }
            let waited = |edit: &&Edit| row.again.is_none() || row.fields.contains(&edit.path().to_string());
            let mut rest: Vec<String> = held
                .iter()
                .filter(waited)
                .filter(|edit| !self.edits.contains(edit))
                .map(|edit| edit.path().to_string())
                .collect();
            rest.dedup();
            quarantine::issued_again(tx, row.id, change, &rest)?;
        }
        Ok(())
    }

    fn edits_of(
        &self,
        store: &Store,
        tx: &Connection,
        document: &Document,
        row: &QuarantineRow,
    ) -> Result<Vec<Edit>, StoreError> {
        let form: Option<Arc<Form>> = store.form(tx, &row.kind, &row.form_version)?;
        let edits = form.and_then(|form| self.around.edits(document, &form, &row.hash, &row.bytes));
        Ok(edits.unwrap_or_default())
    }
}
