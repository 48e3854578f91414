//! A change on its way from a device into the log or the quarantine.

use crate::sql::{Connection, OptionalExtension};
use fieldbook_core::access::Role;
use fieldbook_core::forms::Form;
use fieldbook_core::intake::Refusal;
use fieldbook_core::protocol::{PURGED, Verdict, VerdictKind};
use fieldbook_core::sync::server::{Fate, TakenChange, verdict_of};

use super::again::Again;
use super::foreseen::{Foreseen, Stand};
use super::records::{Accepted, OpenRecord};
use super::{Store, StoreError, moves, purge, quarantine, reviews, units};

fn refused(change: &TakenChange<'_>, reason: &str) -> Fate {
    Fate::NotTaken(Verdict::refused(change.hash, change.record, reason))
}

/// Whether the change is in the log.
pub(super) fn is_in_log(tx: &Connection, change: &TakenChange<'_>) -> Result<bool, StoreError> {
    let mut statement = tx.prepare("SELECT 1 FROM entries WHERE hash = ?1")?;
    Ok(statement.query_row([change.hash.as_bytes()], |_| Ok(())).optional()?.is_some())
}

impl Store {
    /// Puts a change through intake, into the log or the quarantine, in the order that
    /// [`fieldbook_core::sync::ServerLog::take_change`] states. `open` is the record in hand, if it is this one's.
    pub(crate) fn take_change(
        &self,
        tx: &Connection,
        open: &mut Option<OpenRecord>,
        foreseen: &mut Foreseen,
        change: &TakenChange<'_>,
    ) -> Result<Fate, StoreError> {
        if is_in_log(tx, change)? {
            return Ok(Fate::Known);
        }
        if let Some(verdict) = quarantine::verdict(tx, &change.hash)? {
            return Ok(Fate::NotTaken(verdict));
        }
        if purge::is_purged(tx, change.record)? {
            return Ok(refused(change, PURGED));
        }
        let Some(created) = self.form(tx, change.kind, change.created_version)? else {
            return Ok(refused(change, "unknown_form"));
        };
        let Some(form) = self.form(tx, change.kind, change.form_version)? else {
            return Ok(refused(change, "unknown_form"));
        };
        if open.is_none() {
            *open = self.load(tx, change.record)?;
        }
        if let Some(known) = open.as_ref() {
            let head = known.document.record();
            if head.kind != change.kind || head.created_version != change.created_version {
                return Ok(refused(change, "wrong_record"));
            }
        } else if created.definition().area != change.feed.area || units::unit(tx, &change.feed.unit)?.is_none() {
            return Ok(refused(change, "wrong_feed"));
        }
        let mut record = match open.take() {
            Some(record) => record,
            None => self.new_record(tx, change.record, change.feed, created.definition(), change.received_ms)?,
        };
        let here = record.feed.id == *change.feed;
        let late = !here && moves::is_late(tx, change)?;
        let elsewhere = (!here && !late).then_some("foreign_unit");
        let fate = self.judge_once(tx, &mut record, foreseen, &form, change, elsewhere);
        if late && matches!(fate, Ok(Fate::Accepted(_))) {
            self.tell_author(tx, &record.feed.id.unit, change.actor)?;
            if change.relayed {
                moves::say_again(tx, &mut record, change)?;
            }
        }
        // A record that none of whose changes was accepted is not here.
        if !record.fresh {
            *open = Some(record);
        }
        fate
    }

    /// Judges a change, unless all of it is here already; what is left of one that it was issued again for waits on.
    fn judge_once(
        &self,
        tx: &Connection,
        record: &mut OpenRecord,
        foreseen: &mut Foreseen,
        form: &Form,
        change: &TakenChange<'_>,
        elsewhere: Option<&'static str>,
    ) -> Result<Fate, StoreError> {
        let Some(again) = Again::of(tx, &record.document, form, change)? else {
            return self.judge(tx, record, foreseen, form, change, elsewhere);
        };
        if let Some(fate) = again.taken_before(self, tx, &record.document, change)? {
            return Ok(fate);
        }
        let fate = self.judge(tx, record, foreseen, form, change, elsewhere)?;
        let kept = match &fate {
            Fate::Accepted(_) => true,
            Fate::NotTaken(verdict) => verdict.kind == VerdictKind::Quarantined,
            Fate::Known => false,
        };
        if kept {
            again.note(self, tx, &record.document, &change.hash)?;
        }
        Ok(fate)
    }

    fn judge(
        &self,
        tx: &Connection,
        record: &mut OpenRecord,
        foreseen: &mut Foreseen,
        form: &Form,
        change: &TakenChange<'_>,
        elsewhere: Option<&'static str>,
    ) -> Result<Fate, StoreError> {
        // The record's own unit, or the one that it was in when the change was made.
        let roles: Vec<Role> = units::roles_at(tx, change.user, &change.feed.unit)?;
        let last = reviews::last(tx, record.id)?;
        let barred = change.quarantine.or(elsewhere);
        let stand = Stand { heads: record.document.heads(), roles, last };
        let judged = match foreseen.judged(change, &stand) {
            Some(judged) => judged,
            None => stand.judge(&record.document, form.definition(), change),
        };
        let refusal = match judged {
            Ok((_, _, admitted)) if admitted.actor != change.actor => return Ok(refused(change, "wrong_actor")),
            Ok((_, _, admitted)) if admitted.known => return Ok(refused(change, "system")),
            Ok((document, rendition, admitted)) => match barred {
                None => {
                    (record.document, record.rendition) = (document, rendition);
                    let accepted = Accepted {
                        hash: change.hash,
                        bytes: change.bytes,
                        time_s: admitted.time_s,
                        received_ms: change.received_ms,
                        stated: Some((change.device, change.statement, change.index)),
                        user: Some(change.user),
                    };
                    return Ok(Fate::Accepted(self.append_change(tx, record, &accepted)?));
                }
                Some(reason) => Verdict::quarantined(change.hash, change.record, reason, Vec::new()),
            },
            Err(refusal) => self.verdict_of(tx, change, &refusal, barred)?,
        };
        if refusal.kind == VerdictKind::Quarantined {
            if quarantine::is_full(tx, change.device)? {
                return Ok(refused(change, "quarantine_full"));
            }
            quarantine::put(tx, change, &refusal)?;
        }
        Ok(Fate::NotTaken(refusal))
    }

    fn verdict_of(
        &self,
        tx: &Connection,
        change: &TakenChange<'_>,
        refusal: &Refusal,
        barred: Option<&'static str>,
    ) -> Result<Verdict, StoreError> {
        let waits = match refusal {
            Refusal::MissingDependency { hash } => quarantine::verdict(tx, hash)?.is_some(),
            _ => false,
        };
        let verdict = verdict_of(refusal, change.hash, change.record, |_| waits);
        // What bars the whole change says more than what bars its fields, or what it waits for.
        Ok(match barred {
            Some(reason) if verdict.kind == VerdictKind::Quarantined => {
                Verdict::quarantined(change.hash, change.record, reason, Vec::new())
            }
            _ => verdict,
        })
    }
}
