//! What supervisors say of doubles.
//!
//! That two records are the same is a void of one of them by a review in its own feed that names the other, so phones hear
//! of it and it counts nowhere; undoing it is a review too (`docs/adr/0012`). That they are different is the server's alone: it
//! concerns nobody but who looks at proposals.

use std::collections::{BTreeMap, BTreeSet};

use fieldbook_core::access::Decision;
use fieldbook_core::ids::{ChangeHash, RecordId, UserId};
use fieldbook_core::protocol::Review;

use super::{DoubleDecision, DoubleDecisions, Eyes, Proposal, RECORDS_SHOWN_MAX, proposal, unknown};
use crate::sql::Connection;
use crate::store::audit::audit;
use crate::store::records::OpenRecord;
use crate::store::{Problem, Store, StoreError, UserRow, console, persons};
use crate::text::{Language, text};

/// Characters of the reasons that a supervisor adds.
const REASONS_CHARS_MAX: usize = 2_000;
/// Decisions on one page.
const DECISIONS_MAX: usize = 50;
/// Decisions looked at to fill one page.
const SCANNED_MAX: usize = 2_000;

/// Keeps what a review says of doubles: which record this one is a double of, or that it is none any more.
pub(crate) fn note_review(tx: &Connection, kind: &str, review: &Review) -> Result<(), StoreError> {
    let record = review.record.as_bytes();
    if review.same_as.is_some() || review.decision == Decision::Reinstate {
        let text = "DELETE FROM double_decisions WHERE verdict = 'same' AND second = ?1";
        tx.prepare(text)?.execute([record])?;
    }
    let Some(stays) = review.same_as else { return Ok(()) };
    tx.prepare(
        "INSERT INTO double_decisions(verdict, kind, first, second, user, user_name, time_ms)
         VALUES ('same', ?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute((
        kind,
        stays.as_bytes(),
        record,
        review.reviewer.as_bytes(),
        &review.reviewer_name,
        review.time_ms,
    ))?;
    Ok(())
}

/// The records that were confirmed to be doubles of this one.
pub(crate) fn confirmed_of(tx: &Connection, record: RecordId) -> Result<Vec<String>, StoreError> {
    let text = "SELECT second FROM double_decisions WHERE first = ?1 AND verdict = 'same' ORDER BY second";
    let mut statement = tx.prepare(text)?;
    let rows = statement.query_map([record.as_bytes()], |row| Ok(RecordId(row.get(0)?).to_string()))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn malformed(detail: &str) -> StoreError {
    Problem::new("request_malformed").with("detail", detail).into()
}

/// The records, if all belong to the proposal and `user` may decide on each.
fn decidable(
    tx: &Connection,
    user: UserId,
    proposal: &Proposal,
    records: &BTreeSet<RecordId>,
) -> Result<BTreeMap<RecordId, OpenRecord>, StoreError> {
    let among = persons::records_of(tx, &proposal.key)?;
    let mut open = BTreeMap::new();
    for record in records {
        let (found, _) = console::decidable(tx, user, *record)?;
        if !among.contains(record) {
            return Err(Problem::new("record_unknown").with("record", record).into());
        }
        open.insert(*record, found);
    }
    Ok(open)
}

/// A decision as stored.
struct Decided {
    number: i64,
    verdict: String,
    key: Option<[u8; 16]>,
    kind: String,
    first: RecordId,
    second: RecordId,
    user: UserId,
    user_name: String,
    time_ms: i64,
}

const COLUMNS: &str = "id, verdict, key, kind, first, second, user, user_name, time_ms FROM double_decisions";

fn decided_of(row: &crate::sql::Row<'_>) -> crate::sql::Result<Decided> {
    Ok(Decided {
        number: row.get(0)?,
        verdict: row.get(1)?,
        key: row.get(2)?,
        kind: row.get(3)?,
        first: RecordId(row.get(4)?),
        second: RecordId(row.get(5)?),
        user: UserId(row.get(6)?),
        user_name: row.get(7)?,
        time_ms: row.get(8)?,
    })
}

impl Store {
    /// Makes `doubles` void in favour of `stays`, all or none, if nothing in any of them has changed since it was read.
    ///
    /// # Errors
    /// `double_unknown`, `record_unknown`, `not_supervisor`, `heads_moved`, `request_malformed`; else what the database
    /// said.
    pub fn confirm_double(
        &self,
        user: &UserRow,
        id: &str,
        stays: RecordId,
        doubles: &[RecordId],
        heads: &BTreeMap<RecordId, Vec<ChangeHash>>,
        reasons: &str,
    ) -> Result<(), StoreError> {
        let reasons = reasons.trim();
        let all: BTreeSet<RecordId> = doubles.iter().copied().chain([stays]).collect();
        if doubles.is_empty() || all.len() != doubles.len() + 1 || all.len() > RECORDS_SHOWN_MAX {
            return Err(malformed("stays, doubles"));
        }
        if reasons.chars().count() > REASONS_CHARS_MAX {
            return Err(malformed("reasons"));
        }
        let reasons = text(Language::Chinese, "double_reason", &[("reasons", reasons.to_owned())]);
        self.write(|tx| {
            let proposal = proposal(tx, id)?;
            let mut open = decidable(tx, user.id, &proposal, &all)?;
            for (record, open) in &open {
                let mut read = heads.get(record).cloned().unwrap_or_default();
                read.sort();
                read.dedup();
                if read != open.document.heads() {
                    return Err(Problem::new("heads_moved").into());
                }
            }
            for record in doubles {
                let Some(open) = open.get_mut(record) else { continue };
                self.append_of(tx, user, open, Decision::Void, &reasons, Some(stays))?;
                audit(tx, self.now_ms(), Some(user.id), "double", &record.to_string(), &stays.to_string())?;
            }
            Ok(())
        })
    }

    /// A decision on what the record is now.
    fn append_of(
        &self,
        tx: &Connection,
        user: &UserRow,
        open: &mut OpenRecord,
        decision: Decision,
        reasons: &str,
        same_as: Option<RecordId>,
    ) -> Result<(), StoreError> {
        let review = Review {
            record: open.id,
            heads: open.document.heads(),
            decision,
            reasons: reasons.trim().to_owned(),
            fields: Vec::new(),
            reviewer: user.id,
            reviewer_name: user.name.clone(),
            time_ms: self.now_ms(),
            same_as,
        };
        self.append_review(tx, open, &review)
    }

    /// Remembers that no two of `records` are the same, for as long as they are about the same person.
    ///
    /// # Errors
    /// `double_unknown`, `record_unknown`, `not_supervisor`, `request_malformed`; else what the database said.
    pub fn reject_double(&self, user: &UserRow, id: &str, records: &[RecordId]) -> Result<(), StoreError> {
        let all: BTreeSet<RecordId> = records.iter().copied().collect();
        if !(2..=RECORDS_SHOWN_MAX).contains(&all.len()) {
            return Err(malformed("records"));
        }
        self.write(|tx| {
            let proposal = proposal(tx, id)?;
            decidable(tx, user.id, &proposal, &all)?;
            let now_ms = self.now_ms();
            let mut keep = tx.prepare(
                "INSERT INTO double_decisions(verdict, key, kind, first, second, user, user_name, time_ms)
                 VALUES ('different', ?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?;
            for first in &all {
                for second in all.range(first..).skip(1) {
                    let (one, other) = (first.as_bytes(), second.as_bytes());
                    keep.execute((proposal.key, &proposal.kind, one, other, user.id.as_bytes(), &user.name, now_ms))?;
                    audit(tx, now_ms, Some(user.id), "no_double", &first.to_string(), &second.to_string())?;
                }
            }
            persons::settle(tx, &proposal.key, now_ms, None)?;
            Ok(())
        })
    }

    /// The decisions that hold on records of which `user` may read at least one, newest first, below `after`.
    ///
    /// # Errors
    /// `request_malformed`; else what the database said.
    pub fn doubles_decided(
        &self,
        user: UserId,
        verdict: Option<&str>,
        after: Option<i64>,
    ) -> Result<DoubleDecisions, StoreError> {
        if verdict.is_some_and(|verdict| !matches!(verdict, "same" | "different")) {
            return Err(malformed("verdict"));
        }
        self.read(|tx| {
            let text =
                format!("SELECT {COLUMNS} WHERE id < ?1 AND (verdict = ?2 OR verdict = ?3) ORDER BY id DESC LIMIT ?4");
            let (one, other) = (verdict.unwrap_or("same"), verdict.unwrap_or("different"));
            let mut statement = tx.prepare(&text)?;
            let rows = statement.query_map((after.unwrap_or(i64::MAX), one, other, SCANNED_MAX), decided_of)?;
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            let mut eyes = Eyes::of(tx, user);
            let (mut decisions, mut last, scanned) = (Vec::new(), None, rows.len());
            for row in rows {
                if decisions.len() == DECISIONS_MAX {
                    return Ok(DoubleDecisions { decisions, next: last });
                }
                last = Some(row.number);
                decisions.extend(decision(&mut eyes, row)?);
            }
            Ok(DoubleDecisions { decisions, next: last.filter(|_| scanned == SCANNED_MAX) })
        })
    }

    /// Undoes a decision on doubles: what was void is again what it was, what was different is a proposal again.
    ///
    /// # Errors
    /// `double_unknown`, `record_unknown`, `not_supervisor`; else what the database said.
    pub fn undo_double(&self, user: &UserRow, number: i64) -> Result<(), StoreError> {
        self.write(|tx| {
            let mut statement = tx.prepare(&format!("SELECT {COLUMNS} WHERE id = ?1"))?;
            let found = statement.query_map([number], decided_of)?.next().transpose()?;
            let row = found.ok_or_else(|| unknown(number))?;
            // Who may not read them learns no more than that there is no such decision.
            let decidable = |record| match console::decidable(tx, user.id, record) {
                Err(StoreError::Problem(problem)) if problem.word == "record_unknown" => Err(unknown(number)),
                other => other,
            };
            decidable(row.first)?;
            let (mut second, _) = decidable(row.second)?;
            match row.key {
                None => self.append_of(tx, user, &mut second, Decision::Reinstate, "", None)?,
                Some(key) => {
                    tx.execute("DELETE FROM double_decisions WHERE id = ?1", [number])?;
                    persons::settle(tx, &key, self.now_ms(), None)?;
                }
            }
            let (subject, detail) = (row.second.to_string(), row.first.to_string());
            audit(tx, self.now_ms(), Some(user.id), "double_undone", &subject, &detail)
        })
    }
}

/// A decision as far as the user may see it.
fn decision(eyes: &mut Eyes<'_>, row: Decided) -> Result<Option<DoubleDecision>, StoreError> {
    let (first, second) = (eyes.record(row.first, Vec::new())?, eyes.record(row.second, Vec::new())?);
    if first.is_none() && second.is_none() {
        return Ok(None);
    }
    let decides = |record: &Option<super::DoubleRecord>| record.as_ref().is_some_and(|record| record.decidable);
    Ok(Some(DoubleDecision {
        number: row.number,
        undoable: decides(&first) && decides(&second),
        verdict: row.verdict,
        kind: row.kind,
        first,
        second,
        user: row.user.to_string(),
        user_name: row.user_name,
        time_ms: row.time_ms,
    }))
}
