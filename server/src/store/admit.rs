//! Takes quarantined changes into the log after all, each with what waited only for it.

use std::collections::HashSet;
use std::sync::Arc;

use crate::sql::Connection;
use fieldbook_core::access::FeedId;
use fieldbook_core::document::RawChange;
use fieldbook_core::ids::{ChangeHash, RecordId};
use fieldbook_core::intake::{self, Refusal, Rights};
use fieldbook_core::protocol::Verdict;
use serde::Serialize;
use utoipa::ToSchema;

use super::again::Around;
use super::audit::audit;
use super::quarantine::{self, DEPENDS, QuarantineRow};
use super::records::{self, Accepted, OpenRecord};
use super::{Problem, Store, StoreError, UserRow, console, devices, reviews, units};

/// What became of a quarantined change.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AdmittedChange {
    /// Its number in the quarantine.
    pub id: i64,
    /// The change.
    pub change: String,
    /// The change in the log that holds it now: itself or, where its author has issued a part of it again, one of the
    /// supervisor's own with the rest. Null while it waits.
    pub taken_as: Option<String>,
    /// Why it waits on, as in the quarantine; empty if it was taken.
    pub reason: String,
}

/// One admission under way.
struct Admission<'a> {
    store: &'a Store,
    tx: &'a Connection,
    user: &'a UserRow,
    open: OpenRecord,
    around: Around,
    now_ms: i64,
}

impl Store {
    /// Takes a quarantined change into the log after all, and with it the changes that waited only for it and that
    /// their author may make. Answers the record, and what became of the change and of all that build on it.
    ///
    /// # Errors
    /// `quarantine_unknown`, `not_supervisor`, `depends_on_quarantined`, `value_refused`; else what the database said.
    pub fn admit(&self, user: &UserRow, id: i64) -> Result<(RecordId, Vec<AdmittedChange>), StoreError> {
        self.write(|tx| {
            let missing = || Problem::new("quarantine_unknown").with("id", id);
            let asked = quarantine::one(tx, id)?.ok_or_else(missing)?;
            if !units::may_read(tx, user.id, &asked.unit, console::area(&asked.area)?)? {
                return Err(missing().into());
            }
            let now_ms = self.now_ms();
            let open = self.record_of(tx, &asked, now_ms)?;
            let unit = &open.feed.id.unit;
            if !units::roles_at(tx, user.id, unit)?.iter().any(|role| role.supervises()) {
                return Err(Problem::new("not_supervisor").with("unit", unit).into());
            }
            let around = Around::of(tx, asked.record)?;
            let mut admission = Admission { store: self, tx, user, open, around, now_ms };
            let taken = admission.take(&asked, None)?.map_err(console::refusal)?;
            let mut told = vec![told(&asked, Some(taken), "")];
            for row in admission.dependents(&asked) {
                told.push(admission.follow(&row)?);
            }
            self.save_record(tx, &mut admission.open)?;
            Ok((asked.record, told))
        })
    }

    /// The record that a quarantined change belongs to; a new one where nothing of it was accepted yet.
    fn record_of(&self, tx: &Connection, row: &QuarantineRow, now_ms: i64) -> Result<OpenRecord, StoreError> {
        if let Some(open) = records::load(tx, row.record)? {
            return Ok(open);
        }
        let unknown = || Problem::new("kind_unknown").with("kind", &row.kind);
        let created = self.form(tx, &row.kind, &row.created_version)?.ok_or_else(unknown)?;
        let feed = FeedId { unit: row.unit.clone(), area: console::area(&row.area)? };
        self.new_record(tx, row.record, &feed, created.definition(), now_ms)
    }
}

fn told(row: &QuarantineRow, taken: Option<ChangeHash>, reason: &str) -> AdmittedChange {
    AdmittedChange {
        id: row.id,
        change: row.hash.to_string(),
        taken_as: taken.map(|hash| hash.to_string()),
        reason: reason.to_owned(),
    }
}

impl Admission<'_> {
    /// What waits and builds on `asked`, causes before effects: a change arrives behind those that it builds on.
    fn dependents(&self, asked: &QuarantineRow) -> Vec<QuarantineRow> {
        let mut behind: HashSet<ChangeHash> = HashSet::from([asked.hash]);
        let builds = |row: &&QuarantineRow| {
            let deps = RawChange::read(&row.bytes).map(|raw| raw.deps).unwrap_or_default();
            let builds = deps.iter().any(|dep| behind.contains(dep));
            if builds {
                behind.insert(row.hash);
            }
            builds
        };
        self.around.rows.iter().filter(builds).filter(|row| row.waits()).cloned().collect()
    }

    /// Takes a change that waited for another one, if its author may make it; else says why it waits on.
    fn follow(&mut self, row: &QuarantineRow) -> Result<AdmittedChange, StoreError> {
        if row.reason != DEPENDS {
            return Ok(told(row, None, &row.reason));
        }
        let roles = units::roles_at(self.tx, row.user, &self.open.feed.id.unit)?;
        let last = reviews::last(self.tx, row.record)?;
        match self.take(row, Some(&reviews::rights(&roles, last.as_ref()))) {
            Ok(Ok(taken)) => Ok(told(row, Some(taken), "")),
            Ok(Err(Refusal::MissingDependency { .. })) => Ok(told(row, None, DEPENDS)),
            Ok(Err(Refusal::Quarantined { reason, fields, .. })) => {
                quarantine::judged(self.tx, row.id, reason, &fields)?;
                Ok(told(row, None, reason))
            }
            Ok(Err(Refusal::Refused { reason, .. })) => Ok(told(row, None, reason)),
            Ok(Err(Refusal::NeedsNewerForm { .. })) => Ok(told(row, None, "field")),
            Err(StoreError::Problem(problem)) => Ok(told(row, None, problem.word)),
            Err(other) => Err(other),
        }
    }

    /// Takes a change, or what is left of it; answers the change in the log that holds it now.
    fn take(
        &mut self,
        row: &QuarantineRow,
        rights: Option<&Rights<'_>>,
    ) -> Result<Result<ChangeHash, Refusal>, StoreError> {
        let taken = match row.again {
            None => match self.whole(row, rights)? {
                Ok(()) => row.hash,
                Err(refusal) => return Ok(Err(refusal)),
            },
            Some(again) => self.rest(row, again, rights)?,
        };
        quarantine::admitted(self.tx, row.id, self.now_ms, self.user.id, &taken)?;
        // Its author's phone learns of the change itself from the feed; of another one that holds it, from a verdict. Where
        // the author may not read the record, what waits to be told is all that the phone will ever hear.
        let feed = &self.open.feed.id;
        if units::may_read(self.tx, row.user, &feed.unit, feed.area)? {
            devices::drop_verdict(self.tx, row.device, &row.hash)?;
            if taken != row.hash {
                devices::put_verdict(self.tx, row.device, &Verdict::taken(row.hash, row.record, taken))?;
            }
        }
        let (record, change) = (row.record.to_string(), row.hash.to_string());
        audit(self.tx, self.now_ms, Some(self.user.id), "admit", &record, &change)?;
        Ok(Ok(taken))
    }

    /// The change as its author signed it.
    fn whole(&mut self, row: &QuarantineRow, rights: Option<&Rights<'_>>) -> Result<Result<(), Refusal>, StoreError> {
        let unknown = || Problem::new("kind_unknown").with("kind", &row.kind);
        let form = self.store.form(self.tx, &row.kind, &row.form_version)?.ok_or_else(unknown)?;
        let admitted =
            match intake::admit(Arc::make_mut(&mut self.open.document), form.definition(), &row.bytes, rights) {
                Ok(admitted) => admitted,
                Err(refusal) => return Ok(Err(refusal)),
            };
        let accepted = Accepted {
            hash: row.hash,
            bytes: &row.bytes,
            time_s: admitted.time_s,
            received_ms: self.now_ms,
            stated: Some((row.device, row.stated.0, row.stated.1)),
            user: Some(row.user),
        };
        self.store.append_change(self.tx, &mut self.open, &accepted)?;
        Ok(Ok(()))
    }

    /// What is left of a change of which its author has issued a part `again`: written by the server on behalf of the
    /// supervisor, behind that part. The change itself would bring the part a second time.
    fn rest(
        &mut self,
        row: &QuarantineRow,
        again: ChangeHash,
        rights: Option<&Rights<'_>>,
    ) -> Result<ChangeHash, StoreError> {
        if !self.open.document.contains(&again) {
            return Err(Problem::new("depends_on_quarantined").into());
        }
        let unknown = || Problem::new("kind_unknown").with("kind", &row.kind);
        let form = self.store.form(self.tx, &row.kind, &row.form_version)?.ok_or_else(unknown)?;
        let edits = self.around.edits(&self.open.document, &form, &row.hash, &row.bytes);
        let mut edits = edits.ok_or_else(|| Problem::new("value_refused").with("detail", row.hash))?;
        edits.retain(|edit| row.fields.contains(&edit.path().to_string()));
        let heads = self.open.document.maximal(&self.behind(row, again)?);
        let all = Rights { roles: fieldbook_core::access::Role::ALL, last_review: None, reopened: None };
        let made =
            self.store.write_for(self.tx, self.user, &mut self.open, &form, &heads, &edits, rights.unwrap_or(&all))?;
        // Nothing of it differs from what stands there: then it is taken by what was issued again.
        Ok(made.map_or(again, |change| change.hash))
    }

    /// What the rest of a change builds on: the part that was issued again, and what stands for the quarantined changes
    /// that it builds on itself.
    fn behind(&self, row: &QuarantineRow, again: ChangeHash) -> Result<Vec<ChangeHash>, StoreError> {
        let mut heads = vec![again];
        let mut stack = vec![row.bytes.clone()];
        let mut met = HashSet::new();
        while let Some(bytes) = stack.pop() {
            for dep in RawChange::read(&bytes).map(|raw| raw.deps).unwrap_or_default() {
                let known = self.around.rows.iter().find(|other| other.hash == dep);
                let Some(other) = known.filter(|other| met.insert(other.hash)) else { continue };
                // Read anew: this admission may have taken it.
                heads.extend(quarantine::stands_for(self.tx, &other.hash)?);
                stack.push(other.bytes.clone());
            }
        }
        heads.retain(|head| self.open.document.contains(head));
        Ok(heads)
    }
}
