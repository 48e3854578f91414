//! What a phone does about changes that the server did not take: the record is rebuilt from the other
//! changes, what is still allowed is issued again at the same heads under a new actor, and only the rest is put before
//! the user. After a fork the same is done with everything that the server does not have.

use std::collections::{BTreeMap, BTreeSet};

use super::state::transact;
use super::waiting::merge_waiting;
use super::{NotTaken, OutboxChange, PhoneEvent, PhoneLog, SyncError};
use crate::access::FeedId;
use crate::document::{ChangeState, Document, DocumentError, RawChange, TouchedField};
use crate::forms::{Edit, FieldPath, FormDefinition};
use crate::ids::{ActorId, ChangeHash, RecordId};
use crate::ports::Random;
use crate::protocol::{Verdict, VerdictKind};
use crate::sync::LogError;

/// Records settled between two looks into the store.
const PAGE_RECORDS: usize = 32;
/// Reason of what could not be issued again without a change that was not taken.
const DEPENDS: &str = "depends_on_quarantined";
/// Reason of what could not be issued again after a fork.
const FORKED: &str = "forked";

/// Settles every record with open verdicts; with `forked`, every record with changes that the server does not have. A
/// transaction a record: a break in between leaves the rest for the next time.
pub(super) fn settle(log: &mut dyn PhoneLog, random: &dyn Random, forked: bool) -> Result<Vec<PhoneEvent>, SyncError> {
    let mut run = Run { random, actor: None, forked, events: Vec::new() };
    let mut after = None;
    if forked {
        loop {
            let page = log.outbox_records(after.as_ref(), PAGE_RECORDS)?;
            let Some(last) = page.last().copied() else { break };
            run.records(log, page)?;
            after = Some(last);
        }
        if run.actor.is_none() {
            let actor = ActorId::random(random);
            transact(log, |log| log.set_actor(actor))?;
        }
    }
    loop {
        let page = log.unsettled(PAGE_RECORDS)?;
        if page.is_empty() {
            return Ok(run.events);
        }
        run.records(log, page)?;
    }
}

struct Run<'a> {
    random: &'a dyn Random,
    /// Drawn at the first change that is left out: its number may be used by a change that the server holds apart.
    actor: Option<ActorId>,
    forked: bool,
    events: Vec<PhoneEvent>,
}

impl Run<'_> {
    fn records(&mut self, log: &mut dyn PhoneLog, page: Vec<RecordId>) -> Result<(), SyncError> {
        for record in page {
            let told = transact(log, |log| self.record(log, &record))?;
            self.events.extend(told);
        }
        Ok(())
    }

    fn record(&mut self, log: &mut dyn PhoneLog, record: &RecordId) -> Result<Vec<PhoneEvent>, SyncError> {
        let outbox: BTreeMap<ChangeHash, OutboxChange> =
            log.outbox_of(record)?.into_iter().map(|own| (own.hash, own)).collect();
        let Some(mut case) = self.case(log, record, &outbox)? else {
            log.settle(record, &[])?;
            return Ok(Vec::new());
        };
        // What did not fit beside the changes that are gone now: of the other half after a fork, or admitted meanwhile.
        let waiting = log.pending_of(record)?;
        for entry in merge_waiting(&mut case.rebuilt, &case.form, &waiting) {
            log.drop_pending(entry)?;
        }
        let actor = match self.actor {
            Some(actor) => actor,
            None => {
                let actor = *self.actor.insert(ActorId::random(self.random));
                log.set_actor(actor)?;
                actor
            }
        };
        let done = case.issue_again(actor);
        for change in &case.dropped {
            let open = outbox.get(&change.hash).is_some_and(|own| own.status != ChangeState::NotTaken);
            if open || case.verdicts.get(&change.hash).is_some_and(|verdict| verdict.kind == VerdictKind::Taken) {
                log.set_status(&change.hash, ChangeState::Withdrawn)?;
            }
        }
        for (instead_of, change) in &done.issued {
            // It was made for the feed that the record was in then: the server judges it by that.
            let feed = outbox.get(instead_of).map(|own| &own.feed).unwrap_or(&case.feed);
            log.add_to_outbox(record, feed, change)?;
        }
        let conflicts = log.put_document(record, &done.document, None)?;
        log.settle(record, &done.not_taken)?;
        let mut events = vec![PhoneEvent::RecordChanged { record: *record, conflicts }];
        let told = |left: &NotTaken| PhoneEvent::NotTaken { record: *record, reason: left.reason.clone() };
        events.extend(done.not_taken.iter().map(told));
        Ok(events)
    }

    /// What has to be done for a record, if anything.
    fn case(
        &self,
        log: &mut dyn PhoneLog,
        record: &RecordId,
        outbox: &BTreeMap<ChangeHash, OutboxChange>,
    ) -> Result<Option<Case>, SyncError> {
        let Some(document) = log.document(record)? else { return Ok(None) };
        let out = |own: &&OutboxChange| match own.status {
            ChangeState::NotTaken => true,
            ChangeState::Unstated | ChangeState::Stated | ChangeState::Sent => self.forked,
            ChangeState::Entered(_) | ChangeState::Withdrawn => false,
        };
        let roots: Vec<ChangeHash> =
            outbox.values().filter(out).map(|own| own.hash).filter(|hash| document.contains(hash)).collect();
        let Some(meta) = log.record_meta(record)? else { return Ok(None) };
        let form = match log.form(&meta.kind, None)? {
            Some(form) => Some(form),
            None => log.form(&meta.kind, Some(&meta.created_version))?,
        };
        let (Some(form), false) = (form, roots.is_empty()) else { return Ok(None) };
        let (rebuilt, dropped) = document.without(&roots).map_err(|failure| LogError::damaged(failure.to_string()))?;
        let own = |change: &RawChange| {
            outbox.get(&change.hash).is_some_and(|own| !matches!(own.status, ChangeState::Entered(_)))
        };
        // Something that the server did take builds on it: then so is what it builds on, and its entry is on its way.
        if !dropped.iter().all(own) {
            return Ok(None);
        }
        let mut verdicts = BTreeMap::new();
        for change in &dropped {
            if let Some(verdict) = log.verdict(&change.hash)? {
                verdicts.insert(change.hash, verdict);
            }
        }
        let (record, feed, forked) = (*record, meta.feed, self.forked);
        Ok(Some(Case { record, feed, document, rebuilt, dropped, verdicts, form, forked }))
    }
}

/// One record with changes that have to be left out.
struct Case {
    record: RecordId,
    /// Where it is now.
    feed: FeedId,
    document: Document,
    /// Without the dropped changes.
    rebuilt: Document,
    /// Causes before effects.
    dropped: Vec<RawChange>,
    verdicts: BTreeMap<ChangeHash, Verdict>,
    form: std::sync::Arc<FormDefinition>,
    forked: bool,
}

/// What became of a [`Case`].
struct Done {
    document: Document,
    /// What is issued again, each behind the change that it stands for.
    issued: Vec<(ChangeHash, RawChange)>,
    not_taken: Vec<NotTaken>,
}

impl Case {
    fn issue_again(&self, actor: ActorId) -> Done {
        let mut document = self.rebuilt.clone();
        let mut heads_of: BTreeMap<ChangeHash, Vec<ChangeHash>> = BTreeMap::new();
        let mut issued: Vec<(ChangeHash, RawChange)> = Vec::new();
        let mut not_taken = Vec::new();
        for change in &self.dropped {
            let mut at: Vec<ChangeHash> = change
                .deps
                .iter()
                .flat_map(|dep| heads_of.get(dep).cloned().unwrap_or_else(|| vec![*dep]))
                .chain(issued.last().map(|(_, last)| last.hash))
                // A container that only dropped changes used is gone; the edit adds it again.
                .map(|head| if document.contains(&head) { head } else { document.creation() })
                .collect();
            if let Some(by) = self.taken_by(&change.hash) {
                // Another change in the log holds it: what builds on it goes on from there.
                at.push(by);
                heads_of.insert(change.hash, document.maximal(&at));
                continue;
            }
            let at = document.maximal(&at);
            let (kept, left) = self.sort_out(change);
            let (again, failed) = write(&mut document, &self.form, &at, actor, change.time_s, kept);
            heads_of.insert(change.hash, again.as_ref().map_or(at, |again| vec![again.hash]));
            issued.extend(again.map(|again| (change.hash, again)));
            let fields: Vec<TouchedField> = left.iter().chain(&failed).map(TouchedField::from).collect();
            if !fields.is_empty() {
                not_taken.push(self.not_taken(change, fields));
            }
        }
        Done { document, issued, not_taken }
    }

    /// The change of the record that holds what a dropped one wrote, if the server says so.
    fn taken_by(&self, change: &ChangeHash) -> Option<ChangeHash> {
        let verdict = self.verdicts.get(change).filter(|verdict| verdict.kind == VerdictKind::Taken)?;
        verdict.by.filter(|by| self.rebuilt.contains(by))
    }

    fn is_dropped(&self, change: &ChangeHash) -> bool {
        self.dropped.iter().any(|dropped| dropped.hash == *change)
    }

    /// What of a change may be issued again, and what not.
    fn sort_out(&self, change: &RawChange) -> (Vec<Edit>, Vec<Edit>) {
        let edits = self.document.edits_of(&self.form, &change.hash);
        let Some(verdict) = self.verdicts.get(&change.hash) else { return (edits, Vec::new()) };
        let innocent = match verdict.reason.as_str() {
            // The number was used by a clone of this installation: under the new actor it is another number.
            "forked" | "sequence" => true,
            DEPENDS | "missing_dependency" => change.deps.iter().any(|dep| self.is_dropped(dep)),
            _ => false,
        };
        if innocent && verdict.fields.is_empty() {
            return (edits, Vec::new());
        }
        if verdict.kind == VerdictKind::Taken {
            return (Vec::new(), Vec::new());
        }
        if verdict.kind == VerdictKind::Refused || verdict.fields.is_empty() {
            return (Vec::new(), edits);
        }
        let barred: BTreeSet<&str> = verdict.fields.iter().map(String::as_str).collect();
        // What hangs in a row that may not be added cannot be written either.
        let rows: BTreeSet<String> = edits
            .iter()
            .filter(|edit| matches!(edit, Edit::AddRow { .. }) && bars(&barred, &edit.path()))
            .map(|edit| edit.path().to_string())
            .collect();
        edits.into_iter().partition(|edit| {
            let path = edit.path();
            !bars(&barred, &path) && !row_of(&path).is_some_and(|row| rows.contains(&row))
        })
    }

    fn not_taken(&self, change: &RawChange, fields: Vec<TouchedField>) -> NotTaken {
        let fallback = if self.forked { FORKED } else { DEPENDS };
        let reason = self.verdicts.get(&change.hash).map_or(fallback, |verdict| &verdict.reason);
        NotTaken { record: self.record, change: change.hash, time_s: change.time_s, reason: reason.to_owned(), fields }
    }
}

/// Writes what can be written; what cannot (its row is not there without what was left out) comes back.
fn write(
    document: &mut Document,
    form: &FormDefinition,
    at: &[ChangeHash],
    actor: ActorId,
    time_s: i64,
    mut edits: Vec<Edit>,
) -> (Option<RawChange>, Vec<Edit>) {
    let mut failed = Vec::new();
    while !edits.is_empty() {
        match document.edit(form, at, actor, time_s, &edits) {
            Ok(change) => return (change, failed),
            Err(
                DocumentError::NoSuchRow { path: bad }
                | DocumentError::RowExists { path: bad }
                | DocumentError::NotWritable { path: bad, .. },
            ) => {
                let before = edits.len();
                let names_it = |edit: &Edit| {
                    let path = edit.path();
                    path.to_string() == bad || row_of(&path).is_some_and(|row| row == bad)
                };
                let (out, rest) = edits.into_iter().partition(|edit| names_it(edit));
                failed.extend::<Vec<Edit>>(out);
                edits = rest;
                if edits.len() == before {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    failed.extend(edits);
    (None, failed)
}

/// A verdict names a field with its row, or the field of all rows.
fn bars(barred: &BTreeSet<&str>, path: &FieldPath) -> bool {
    barred.contains(path.field.as_str()) || barred.contains(path.to_string().as_str())
}

/// The row that a path lies in, as `repeat[row]`.
fn row_of(path: &FieldPath) -> Option<String> {
    path.row.as_ref().map(|(repeat, row)| FieldPath::in_row(repeat.clone(), repeat.clone(), *row).to_string())
}
