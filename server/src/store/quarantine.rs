//! Changes that are well-formed but were not allowed: kept apart until a supervisor admits them.

use crate::sql::{self, Stored};
use crate::sql::{Connection, OptionalExtension, Row};
use fieldbook_core::document::RawChange;
use fieldbook_core::ids::{ChangeHash, DeviceId, RecordId, UserId};
use fieldbook_core::protocol::Verdict;
use fieldbook_core::sync::server::TakenChange;

use super::StoreError;

/// Reason of a change that came when another one in the log held all of it.
const TAKEN: &str = "taken";
/// Reason of a change that waits only for another one.
pub(crate) const DEPENDS: &str = "depends_on_quarantined";
/// Saves of one device in one record and second that are looked at.
const SAME_SAVE_MAX: usize = 20;

/// Changes of one device that wait here at once; more are refused until a supervisor has decided.
const DEVICE_CHANGES_MAX: u64 = 20_000;

/// A quarantined change.
#[derive(Debug, Clone)]
pub(crate) struct QuarantineRow {
    pub(crate) id: i64,
    pub(crate) hash: ChangeHash,
    pub(crate) record: RecordId,
    pub(crate) kind: String,
    pub(crate) created_version: String,
    pub(crate) form_version: String,
    pub(crate) unit: String,
    pub(crate) area: String,
    pub(crate) device: DeviceId,
    pub(crate) user: UserId,
    pub(crate) user_name: String,
    pub(crate) reason: String,
    pub(crate) fields: Vec<String>,
    pub(crate) stated: (u64, u32),
    pub(crate) bytes: Vec<u8>,
    pub(crate) received_ms: i64,
    /// The change by which its author's device has issued a part of it again; `fields` is then what is left.
    pub(crate) again: Option<ChangeHash>,
    /// The change in the log that holds it since it was admitted.
    pub(crate) admitted_as: Option<ChangeHash>,
    /// When a supervisor put it away, milliseconds since 1970 UTC.
    pub(crate) left_ms: Option<i64>,
}

impl QuarantineRow {
    /// Something of it waits for a supervisor.
    pub(crate) fn waits(&self) -> bool {
        self.admitted_as.is_none() && (self.again.is_none() || !self.fields.is_empty())
    }
}

/// [`QuarantineRow::waits`].
const WAITS: &str = "admitted_as IS NULL AND (again IS NULL OR fields <> '[]')";

/// What waits, and that supervisors have put it away or not.
fn waits(left: bool) -> String {
    format!("{WAITS} AND left_ms IS {}", if left { "NOT NULL" } else { "NULL" })
}

const COLUMNS: &str = "quarantine.id, hash, record, kind, created_version, form_version, quarantine.unit, area, \
     device, user, users.name, reason, fields, statement, item, bytes, received_ms, again, admitted_as, left_ms \
     FROM quarantine JOIN users ON users.id = quarantine.user";

fn row_of(row: &Row<'_>) -> sql::Result<QuarantineRow> {
    let fields: String = row.get(12)?;
    Ok(QuarantineRow {
        id: row.get(0)?,
        hash: ChangeHash(row.get(1)?),
        record: RecordId(row.get(2)?),
        kind: row.get(3)?,
        created_version: row.get(4)?,
        form_version: row.get(5)?,
        unit: row.get(6)?,
        area: row.get(7)?,
        device: DeviceId(row.get(8)?),
        user: UserId(row.get(9)?),
        user_name: row.get(10)?,
        reason: row.get(11)?,
        fields: serde_json::from_str(&fields).unwrap_or_default(),
        stated: (row.get(13)?, row.get(14)?),
        bytes: row.get(15)?,
        received_ms: row.get(16)?,
        again: row.get::<Option<[u8; 32]>>(17)?.map(ChangeHash),
        admitted_as: row.get::<Option<[u8; 32]>>(18)?.map(ChangeHash),
        left_ms: row.get(19)?,
    })
}

/// The verdict on a change that is here.
pub(crate) fn verdict(tx: &Connection, hash: &ChangeHash) -> Result<Option<Verdict>, StoreError> {
    let sql = "SELECT record, reason, fields, again, admitted_as FROM quarantine WHERE hash = ?1";
    let mut statement = tx.prepare(sql)?;
    type Found = ([u8; 16], String, String, Option<[u8; 32]>, Option<[u8; 32]>);
    let found: Option<Found> = statement
        .query_row([hash.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .optional()?;
    let Some((record, reason, fields, again, admitted_as)) = found else { return Ok(None) };
    let record = RecordId(record);
    let by = if reason == TAKEN { again } else { admitted_as };
    if let Some(by) = by {
        return Ok(Some(Verdict::taken(*hash, record, ChangeHash(by))));
    }
    let fields = serde_json::from_str(&fields).map_err(|error| StoreError::corrupt("quarantine", error))?;
    Ok(Some(Verdict::quarantined(*hash, record, &reason, fields)))
}

/// A change that was set apart came here with the upload that was received then, and not with an earlier one.
pub(crate) fn is_new(tx: &Connection, change: &ChangeHash, received_ms: i64) -> Result<bool, StoreError> {
    let mut statement = tx.prepare("SELECT 1 FROM quarantine WHERE hash = ?1 AND received_ms = ?2")?;
    Ok(statement.exists((change.as_bytes(), received_ms))?)
}

/// Keeps a change apart.
pub(crate) fn put(tx: &Connection, change: &TakenChange<'_>, verdict: &Verdict) -> Result<(), StoreError> {
    let time_s = RawChange::read(change.bytes).map_or(0, |raw| raw.time_s);
    let fields = paths(&verdict.fields)?;
    tx.prepare(
        "INSERT INTO quarantine(hash, record, kind, created_version, form_version, unit, area, device, user, actor,
           reason, fields, statement, item, bytes, received_ms, time_s, again)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?
    .execute(sql::params![
        change.hash.as_bytes(),
        change.record.as_bytes(),
        change.kind,
        change.created_version,
        change.form_version,
        change.feed.unit,
        change.feed.area.word(),
        change.device.as_bytes(),
        change.user.as_bytes(),
        change.actor.as_bytes(),
        verdict.reason,
        fields,
        change.statement,
        change.index,
        change.bytes,
        change.received_ms,
        time_s,
        verdict.by.map(|by| by.0),
    ])?;
    Ok(())
}

/// Whether the device has as many changes waiting here as one may have.
pub(crate) fn is_full(tx: &Connection, device: DeviceId) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM quarantine WHERE device = ?1 AND admitted_as IS NULL";
    let waiting: u64 = tx.prepare(sql)?.query_row([device.as_bytes()], |row| row.get(0))?;
    Ok(waiting >= DEVICE_CHANGES_MAX)
}

fn rows(tx: &Connection, condition: &str, values: impl sql::Params) -> Result<Vec<QuarantineRow>, StoreError> {
    let mut statement = tx.prepare(&format!("SELECT {COLUMNS} WHERE {condition}"))?;
    Ok(statement.query_map(values, row_of)?.collect::<Result<_, _>>()?)
}

/// What waits for these feeds (unit and area), oldest first, above `after`; what was put away, or what was not.
pub(crate) fn waiting(
    tx: &Connection,
    feeds: &[(String, String)],
    (after, left): (i64, bool),
    limit: usize,
) -> Result<Vec<QuarantineRow>, StoreError> {
    if feeds.is_empty() {
        return Ok(Vec::new());
    }
    let places = vec!["(?, ?)"; feeds.len()].join(", ");
    let clause = format!(
        "quarantine.id > ? AND (quarantine.unit, area) IN (VALUES {places}) AND {} ORDER BY quarantine.id LIMIT ?",
        waits(left)
    );
    let mut values = vec![Stored::Integer(after)];
    values.extend(feeds.iter().flat_map(|(unit, area)| [unit, area]).map(|text| Stored::Text(text.clone())));
    values.push(Stored::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    rows(tx, &clause, values)
}

/// How many wait, by unit and area; of those that were put away, or of those that were not.
pub(crate) fn waiting_by_feed(tx: &Connection, left: bool) -> Result<Vec<(String, String, u64)>, StoreError> {
    let sql = format!("SELECT unit, area, count(*) FROM quarantine WHERE {} GROUP BY unit, area", waits(left));
    let mut statement = tx.prepare(&sql)?;
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One that waits, put away or not.
pub(crate) fn one(tx: &Connection, id: i64) -> Result<Option<QuarantineRow>, StoreError> {
    Ok(rows(tx, &format!("{WAITS} AND quarantine.id = ?1"), [id])?.pop())
}

/// Every change of a record that ever came here, oldest first: causes before effects.
pub(crate) fn of_record(tx: &Connection, record: RecordId) -> Result<Vec<QuarantineRow>, StoreError> {
    rows(tx, "record = ?1 ORDER BY quarantine.id", [record.as_bytes()])
}

/// Changes of the same device and record with this claimed time under other actors: what `change` may be issued again
/// for.
pub(crate) fn same_save(
    tx: &Connection,
    change: &TakenChange<'_>,
    time_s: i64,
) -> Result<Vec<QuarantineRow>, StoreError> {
    let condition = "record = ?1 AND device = ?2 AND time_s = ?3 AND actor <> ?4 ORDER BY quarantine.id LIMIT ?5";
    let (record, device, actor) = (change.record.as_bytes(), change.device.as_bytes(), change.actor.as_bytes());
    rows(tx, condition, (record, device, time_s, actor, SAME_SAVE_MAX))
}

fn paths(fields: &[String]) -> Result<String, StoreError> {
    serde_json::to_string(fields).map_err(|error| StoreError::corrupt("fields", error))
}

/// A part of a change was issued again; `rest` is what still waits.
pub(crate) fn issued_again(tx: &Connection, id: i64, by: &ChangeHash, rest: &[String]) -> Result<(), StoreError> {
    let sql = "UPDATE quarantine SET again = ?2, fields = ?3 WHERE id = ?1";
    tx.prepare(sql)?.execute((id, by.as_bytes(), paths(rest)?))?;
    Ok(())
}

/// A change that waited for another one was judged, and waits for a reason of its own.
pub(crate) fn judged(tx: &Connection, id: i64, reason: &str, fields: &[String]) -> Result<(), StoreError> {
    tx.execute("UPDATE quarantine SET reason = ?2, fields = ?3 WHERE id = ?1", (id, reason, paths(fields)?))?;
    Ok(())
}

/// `user` has admitted a change, which `taken_as` holds now.
pub(crate) fn admitted(
    tx: &Connection,
    id: i64,
    now_ms: i64,
    user: UserId,
    taken_as: &ChangeHash,
) -> Result<(), StoreError> {
    let sql = "UPDATE quarantine SET admitted_ms = ?2, admitted_by = ?3, admitted_as = ?4 WHERE id = ?1";
    tx.execute(sql, (id, now_ms, user.as_bytes(), taken_as.as_bytes()))?;
    Ok(())
}

/// Puts a change away, or takes it up again.
pub(crate) fn put_away(tx: &Connection, id: i64, by: Option<(UserId, i64)>) -> Result<(), StoreError> {
    let (user, at_ms) = (by.map(|(user, _)| user.0), by.map(|(_, at_ms)| at_ms));
    tx.execute("UPDATE quarantine SET left_ms = ?2, left_by = ?3 WHERE id = ?1", (id, at_ms, user))?;
    Ok(())
}

/// The changes in the log that stand for one that came here.
pub(crate) fn stands_for(tx: &Connection, hash: &ChangeHash) -> Result<Vec<ChangeHash>, StoreError> {
    let mut statement = tx.prepare("SELECT again, admitted_as FROM quarantine WHERE hash = ?1")?;
    let found: Option<[Option<[u8; 32]>; 2]> =
        statement.query_row([hash.as_bytes()], |row| Ok([row.get(0)?, row.get(1)?])).optional()?;
    Ok(found.into_iter().flatten().flatten().map(ChangeHash).collect())
}

/// Whose quarantined change, as far as it was left, a supervisor's change holds.
pub(crate) fn admitted_for(tx: &Connection, change: &ChangeHash) -> Result<Option<String>, StoreError> {
    let sql = "SELECT users.name FROM quarantine JOIN users ON users.id = quarantine.user \
               WHERE admitted_as = ?1 AND hash <> ?1 AND again <> ?1";
    let mut statement = tx.prepare(sql)?;
    Ok(statement.query_row([change.as_bytes()], |row| row.get(0)).optional()?)
}
