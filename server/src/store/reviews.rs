//! Supervisors' decisions on records.

use crate::sql;
use crate::sql::{Connection, OptionalExtension};
use fieldbook_core::access::{Decision, Role};
use fieldbook_core::document::ReviewMark;
use fieldbook_core::ids::{ChangeHash, RecordId, UserId};
use fieldbook_core::intake::Rights;
use fieldbook_core::protocol::{Notice, Review};

use super::feeds;
use super::records::{LastReview, OpenRecord, hashes, joined};
use super::{Store, StoreError, doubles};

/// A decision as stored.
#[derive(Debug, Clone)]
pub(crate) struct ReviewRow {
    pub(crate) decision: Decision,
    pub(crate) heads: Vec<ChangeHash>,
    pub(crate) submission: Option<String>,
    pub(crate) reasons: String,
    pub(crate) fields: Vec<String>,
    pub(crate) reviewer: UserId,
    pub(crate) reviewer_name: String,
    pub(crate) time_ms: i64,
    pub(crate) same_as: Option<RecordId>,
}

fn decision_of(word: &str) -> Result<Decision, StoreError> {
    Decision::from_word(word).ok_or_else(|| StoreError::corrupt("decision", word))
}

/// All decisions on a record, in feed order.
pub(crate) fn of_record(tx: &Connection, record: RecordId) -> Result<Vec<ReviewRow>, StoreError> {
    let sql = "SELECT decision, heads, submission, reasons, fields, reviewer, reviewer_name, time_ms, same_as \
               FROM reviews \
               WHERE record = ?1 ORDER BY number";
    let mut statement = tx.prepare(sql)?;
    let mut rows = statement.query([record.as_bytes()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next_row()? {
        let fields: String = row.get(4)?;
        found.push(ReviewRow {
            decision: decision_of(&row.get::<String>(0)?)?,
            heads: hashes(&row.get::<Vec<u8>>(1)?)?,
            submission: row.get(2)?,
            reasons: row.get(3)?,
            fields: serde_json::from_str(&fields).map_err(|error| StoreError::corrupt("review", error))?,
            reviewer: UserId(row.get(5)?),
            reviewer_name: row.get(6)?,
            time_ms: row.get(7)?,
            same_as: row.get::<Option<[u8; 16]>>(8)?.map(RecordId),
        });
    }
    Ok(found)
}

/// The decision on a record that stands, and which fields are open again by it.
pub(crate) fn last(tx: &Connection, record: RecordId) -> Result<Option<LastReview>, StoreError> {
    let mut all = of_record(tx, record)?;
    let decisions: Vec<Decision> = all.iter().map(|row| row.decision).collect();
    let Some(last) = Decision::standing(&decisions).map(|at| all.swap_remove(at)) else { return Ok(None) };
    let reopened = (last.decision == Decision::Return).then(|| last.fields.clone());
    let time_ms = last.time_ms;
    let mark = ReviewMark { decision: last.decision, heads: last.heads, submission: last.submission };
    Ok(Some(LastReview { mark, reopened, time_ms }))
}

/// What an author with `roles` may do after the last decision.
pub(crate) fn rights<'a>(roles: &'a [Role], last: Option<&'a LastReview>) -> Rights<'a> {
    Rights { roles, last_review: last.map(|last| &last.mark), reopened: last.and_then(|last| last.reopened.as_deref()) }
}

impl Store {
    /// Writes a decision into the record's feed and its row; approvals keep the approved values.
    pub(crate) fn append_review(
        &self,
        tx: &Connection,
        open: &mut OpenRecord,
        review: &Review,
    ) -> Result<(), StoreError> {
        let feed = feeds::feed_for(tx, &open.feed.id.unit, open.feed.id.area)?;
        feeds::append_notice(tx, &feed, review.time_ms, Some(open.id), &Notice::Review(review.clone()))?;
        let form = self.current_form(tx, &open.kind)?.ok_or_else(|| StoreError::corrupt("form", &open.kind))?;
        let values = form.values_to_json(&open.document.read_at(form.definition(), &review.heads));
        let number: Option<i64> = tx
            .query_row("SELECT max(number) FROM reviews WHERE record = ?1", [open.id.as_bytes()], |row| row.get(0))
            .optional()?
            .flatten();
        let fields = serde_json::to_string(&review.fields).map_err(|error| StoreError::corrupt("review", error))?;
        tx.execute(
            "INSERT INTO reviews(record, number, decision, heads, submission, reasons, fields, reviewer,
               reviewer_name, time_ms, values_json, form_version, same_as)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            sql::params![
                open.id.as_bytes(),
                number.unwrap_or(0) + 1,
                review.decision.word(),
                joined(&review.heads),
                open.document.submission_at(&review.heads),
                review.reasons,
                fields,
                review.reviewer.as_bytes(),
                review.reviewer_name,
                review.time_ms,
                values.to_string(),
                form.definition().version,
                review.same_as.map(|record| record.0),
            ],
        )?;
        doubles::note_review(tx, &open.kind, review)?;
        self.save_record(tx, open)
    }
}
