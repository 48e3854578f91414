//! What was worked out for a frame's changes before the store's one writer was asked for.
//!
//! To judge a change and to read its record cost many times what it costs to write them. So both are done before the
//! transaction, beside whatever others write, from what the writer's connection read in a moment (a reader's pages would
//! have to be decrypted anew after each commit), and used in the transaction only if all that they stand on is still so: the
//! record's heads, the author's roles, the last review, the newest form. Otherwise they are done again.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::sql::Connection;
use fieldbook_core::access::{FeedId, Role};
use fieldbook_core::document::{Document, Rendition};
use fieldbook_core::forms::{Form, FormDefinition};
use fieldbook_core::ids::{ChangeHash, RecordId};
use fieldbook_core::intake::{self, Admitted, Refusal};
use fieldbook_core::sync::server::TakenChange;

use super::feeds::Feed;
use super::records::{self, Fetched, LastReview, OpenRecord, ReadyRow};
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

/// The record with the change, its rendition if it is new, and what to say of the change; or why not.
pub(super) type Judgement = Result<(Arc<Document>, Option<Rendition>, Admitted), Refusal>;

impl Stand {
    /// Puts a change through intake; `document` stays as it is.
    pub(super) fn judge(&self, document: &Arc<Document>, form: &FormDefinition, change: &TakenChange<'_>) -> Judgement {
        let rights = reviews::rights(&self.roles, self.last.as_ref());
        let (judged, admitted) = intake::judge(document, form, change.bytes, Some(&rights))?;
        Ok(match judged {
            Some((document, rendition)) => (Arc::new(document), Some(rendition), admitted),
            None => (Arc::clone(document), None, admitted),
        })
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

/// What the rows say of one record.
struct Source {
    fetched: Option<Fetched>,
    created: Arc<Form>,
    /// The newest of the kind.
    newest: Arc<Form>,
    roles: Vec<Role>,
    last: Option<LastReview>,
}

/// All that working ahead needs of the database.
pub(super) struct Gathered<'c> {
    changes: Vec<(&'c TakenChange<'c>, Arc<Form>)>,
    sources: HashMap<RecordId, Source>,
}

impl<'c> Gathered<'c> {
    /// Reads it for changes that are to be taken in this order.
    pub(super) fn of(store: &Store, tx: &Connection, changes: &'c [TakenChange<'c>]) -> Result<Self, StoreError> {
        let mut this = Self { changes: Vec::new(), sources: HashMap::new() };
        for change in changes {
            if this.sources.len() >= RECORDS_MAX {
                break;
            }
            this.gather(store, tx, change)?;
        }
        Ok(this)
    }

    fn gather(&mut self, store: &Store, tx: &Connection, change: &'c TakenChange<'c>) -> Result<(), StoreError> {
        let settled = take::is_in_log(tx, change)?
            || quarantine::verdict(tx, &change.hash)?.is_some()
            || purge::is_purged(tx, change.record)?;
        let forms = (
            store.form(tx, change.kind, change.created_version)?,
            store.form(tx, change.kind, change.form_version)?,
            store.current_form(tx, change.kind)?,
        );
        let ((Some(created), Some(form), Some(newest)), false) = (forms, settled) else { return Ok(()) };
        if let Entry::Vacant(place) = self.sources.entry(change.record) {
            let fetched = records::fetch(tx, change.record, Some(&store.documents))?;
            let unit = fetched.as_ref().map_or(&change.feed.unit, |fetched| &fetched.feed.id.unit);
            let roles = units::roles_at(tx, change.user, unit)?;
            let last = reviews::last(tx, change.record)?;
            place.insert(Source { fetched, created, newest, roles, last });
        }
        self.changes.push((change, form));
        Ok(())
    }

    /// The feeds to which the changes will go, as it looks now.
    pub(super) fn feeds(&self) -> BTreeSet<FeedId> {
        let feed = |(change, _): &(&TakenChange<'_>, Arc<Form>)| {
            let fetched = self.sources.get(&change.record).and_then(|source| source.fetched.as_ref());
            fetched.map_or(change.feed, |fetched| &fetched.feed.id).clone()
        };
        self.changes.iter().map(feed).collect()
    }
}

/// A record on its way through its changes.
struct Underway {
    record: OpenRecord,
    newest: Arc<Form>,
    roles: Vec<Role>,
    last: Option<LastReview>,
}

impl Underway {
    fn begin(store: &Store, source: Source, change: &TakenChange<'_>) -> Result<Self, StoreError> {
        let Source { fetched, created, newest, roles, last } = source;
        let record = match fetched {
            Some(fetched) => fetched.open(Some(&store.documents))?,
            None => {
                let created = Document::create(change.record, created.definition());
                let created = created.map_err(|error| StoreError::corrupt("creation", error))?;
                records::blank(change.record, Feed::unwritten(change.feed), Arc::new(created), change.received_ms)
            }
        };
        Ok(Self { record, newest, roles, last })
    }
}

impl Foreseen {
    /// Works out what [`Store::take_change`] will need, without the database.
    pub(super) fn of(store: &Store, gathered: Gathered<'_>) -> Result<Self, StoreError> {
        let Gathered { changes, mut sources } = gathered;
        let (all, records) = (changes.len(), sources.len());
        let mut this = Self { judged: HashMap::with_capacity(all), rows: HashMap::with_capacity(records) };
        let mut underway: HashMap<RecordId, Underway> = HashMap::with_capacity(records);
        for (change, form) in changes {
            let bytes: usize = underway.values().map(|underway| underway.record.body_bytes).sum();
            if bytes > RECORD_BYTES_MAX {
                break;
            }
            if let Some(source) = sources.remove(&change.record) {
                underway.insert(change.record, Underway::begin(store, source, change)?);
            }
            if let Some(underway) = underway.get_mut(&change.record) {
                this.judge(underway, &form, change);
            }
        }
        for Underway { mut record, newest, .. } in underway.into_values().filter(|underway| underway.record.dirty) {
            this.rows.insert(record.id, ReadyRow::of(newest, &mut record)?);
        }
        Ok(this)
    }

    fn judge(&mut self, underway: &mut Underway, form: &Form, change: &TakenChange<'_>) {
        let record = &mut underway.record;
        let (roles, last) = (underway.roles.clone(), underway.last.clone());
        let stand = Stand { heads: record.document.heads(), roles, last };
        let mut judgement = stand.judge(&record.document, form.definition(), change);
        let barred = change.quarantine.is_some() || record.feed.id != *change.feed;
        if let (Ok((document, rendition, admitted)), false) = (&mut judgement, barred)
            && admitted.actor == change.actor
            && !admitted.known
        {
            (record.document, record.rendition) = (Arc::clone(document), rendition.take());
            record.changed_s = record.changed_s.max(admitted.time_s);
            record.body_bytes += change.bytes.len();
            record.dirty = true;
        }
        let form_version = change.form_version.to_owned();
        self.judged.insert(change.hash, Judged { stand, record: change.record, form_version, judgement });
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
