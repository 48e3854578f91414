//! What was worked out for a frame's changes before the store's one writer was asked for.
//!
//! To judge a change and to read its record cost many times what it costs to write them. So both are done on a reader
//! first, beside whatever others write, and used in the transaction only if all that they stand on is still so: the
//! record's heads, the author's roles, the last review, the newest form. Otherwise they are done again.

use std::collections::HashMap;
use std::sync::Arc;

use fieldbook_core::access::Role;
use fieldbook_core::document::Document;
use fieldbook_core::forms::FormDefinition;
use fieldbook_core::ids::{ChangeHash, RecordId};
use fieldbook_core::intake::{self, Admitted, Refusal, Rights};
use fieldbook_core::sync::server::TakenChange;
use rusqlite::Connection;

use super::records::{self, LastReview, OpenRecord, ReadyRow};
use super::{Store, StoreError, purge, quarantine, reviews, take, units};

/// Records for which one frame is worked out ahead, and bytes of them; what an honest phone sends in one is less.
pub(super) const RECORDS_MAX: usize = 256;
pub(super) const RECORD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// All that decides about a change, beside the change and its form.
#[derive(PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) heads: Vec<ChangeHash>,
    pub(super) roles: Vec<Role>,
    pub(super) last: Option<LastReview>,
}

/// The record with the change, or why not.
pub(super) type Judgement = Result<(Arc<Document>, Admitted), Refusal>;

impl Stand {
    /// Puts a change through intake; `document` stays as it is.
    pub(super) fn judge(&self, document: &Arc<Document>, form: &FormDefinition, change: &TakenChange<'_>) -> Judgement {
        let rights = Rights {
            roles: &self.roles,
            last_review: self.last.as_ref().map(|last| &last.mark),
            reopened: self.last.as_ref().and_then(|last| last.reopened.as_deref()),
        };
        let (judged, admitted) = intake::judge(document, form, change.bytes, Some(&rights))?;
        Ok((judged.map_or_else(|| Arc::clone(document), Arc::new), admitted))
    }
}

struct Judged {
    stand: Stand,
    record: RecordId,
    form_version: String,
    judgement: Judgement,
}

/// Judgements by change, and rows by record, for one transaction.
#[derive(Default)]
pub(crate) struct Foreseen {
    judged: HashMap<ChangeHash, Judged>,
    rows: HashMap<RecordId, ReadyRow>,
}

impl Foreseen {
    /// Works out what [`Store::take_change`] will need for these changes, in this order.
    pub(super) fn of(store: &Store, tx: &Connection, changes: &[TakenChange<'_>]) -> Result<Self, StoreError> {
        let mut this = Self::default();
        let mut open: HashMap<RecordId, OpenRecord> = HashMap::new();
        for change in changes {
            let bytes: usize = open.values().map(|open| open.body_bytes).sum();
            if open.len() >= RECORDS_MAX || bytes > RECORD_BYTES_MAX {
                break;
            }
            this.foresee(store, tx, &mut open, change)?;
        }
        for open in open.into_values().filter(|open| open.dirty) {
            if let Some(form) = store.current_form(tx, &open.kind)? {
                this.rows.insert(open.id, ReadyRow::of(form, &open)?);
            }
        }
        Ok(this)
    }

    fn foresee(
        &mut self,
        store: &Store,
        tx: &Connection,
        open: &mut HashMap<RecordId, OpenRecord>,
        change: &TakenChange<'_>,
    ) -> Result<(), StoreError> {
        let settled = take::is_in_log(tx, change)?
            || quarantine::verdict(tx, &change.hash)?.is_some()
            || purge::is_purged(tx, change.record)?;
        let created = store.form(tx, change.kind, change.created_version)?;
        let (Some(created), Some(form), false) = (created, store.form(tx, change.kind, change.form_version)?, settled)
        else {
            return Ok(());
        };
        let mut record = match open.remove(&change.record) {
            Some(record) => record,
            None => match store.load(tx, change.record)? {
                Some(record) => record,
                None => {
                    let created = Document::create(change.record, created.definition());
                    let created = created.map_err(|error| StoreError::corrupt("creation", error))?;
                    records::blank(tx, change.record, change.feed, Arc::new(created), change.received_ms)?
                }
            },
        };
        let roles = units::roles_at(tx, change.user, &record.feed.id.unit)?;
        let stand = Stand { heads: record.document.heads(), roles, last: reviews::last(tx, record.id)? };
        let judgement = stand.judge(&record.document, form.definition(), change);
        let barred = change.quarantine.is_some() || record.feed.id != *change.feed;
        if let (Ok((document, admitted)), false) = (&judgement, barred)
            && admitted.actor == change.actor
            && !admitted.known
        {
            record.document = Arc::clone(document);
            record.changed_s = record.changed_s.max(admitted.time_s);
            record.body_bytes += change.bytes.len();
            record.dirty = true;
        }
        let form_version = change.form_version.to_owned();
        self.judged.insert(change.hash, Judged { stand, record: change.record, form_version, judgement });
        open.insert(change.record, record);
        Ok(())
    }

    /// What was found of a change, if it stands on the same.
    pub(super) fn judged(&mut self, change: &TakenChange<'_>, stand: &Stand) -> Option<Judgement> {
        let judged = self.judged.remove(&change.hash)?;
        let same =
            judged.record == change.record && judged.form_version == change.form_version && judged.stand == *stand;
        same.then_some(judged.judgement)
    }

    /// The row of a record as it is after all its changes, if it was worked out.
    pub(crate) fn row(&mut self, record: RecordId) -> Option<ReadyRow> {
        self.rows.remove(&record)
    }
}

#[cfg(test)]
mod tests;
