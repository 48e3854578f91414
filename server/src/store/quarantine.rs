//! Changes that are well-formed but were not allowed: kept apart until a supervisor admits them.

use fieldbook_core::ids::{ChangeHash, DeviceId, RecordId, UserId};
use fieldbook_core::protocol::{Verdict, VerdictKind};
use fieldbook_core::sync::server::TakenChange;
use rusqlite::{Connection, OptionalExtension, Row};

use super::StoreError;

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
}

const COLUMNS: &str = "quarantine.id, hash, record, kind, created_version, form_version, quarantine.unit, area, \
     device, user, users.name, reason, fields, statement, item, bytes, received_ms \
     FROM quarantine JOIN users ON users.id = quarantine.user";

fn row_of(row: &Row<'_>) -> rusqlite::Result<QuarantineRow> {
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
    })
}

/// The verdict on a change that waits here.
pub(crate) fn verdict(tx: &Connection, hash: &ChangeHash) -> Result<Option<Verdict>, StoreError> {
    let sql = "SELECT record, reason, fields FROM quarantine WHERE hash = ?1 AND admitted_ms IS NULL";
    let mut statement = tx.prepare_cached(sql)?;
    let found: Option<([u8; 16], String, String)> =
        statement.query_row([hash.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let Some((record, reason, fields)) = found else { return Ok(None) };
    let fields = serde_json::from_str(&fields).map_err(|error| StoreError::corrupt("quarantine", error))?;
    Ok(Some(Verdict { change: *hash, record: RecordId(record), kind: VerdictKind::Quarantined, reason, fields }))
}

/// Keeps a change apart.
pub(crate) fn put(tx: &Connection, change: &TakenChange<'_>, verdict: &Verdict) -> Result<(), StoreError> {
    let fields = serde_json::to_string(&verdict.fields).map_err(|error| StoreError::corrupt("verdict", error))?;
    tx.prepare_cached(
        "INSERT INTO quarantine(hash, record, kind, created_version, form_version, unit, area, device, user, actor,
           reason, fields, detail, statement, item, bytes, received_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, '', ?13, ?14, ?15, ?16)",
    )?
    .execute(rusqlite::params![
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
    ])?;
    Ok(())
}

/// Whether the device has as many changes waiting here as one may have.
pub(crate) fn is_full(tx: &Connection, device: DeviceId) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM quarantine WHERE device = ?1 AND admitted_ms IS NULL";
    let waiting: u64 = tx.prepare_cached(sql)?.query_row([device.as_bytes()], |row| row.get(0))?;
    Ok(waiting >= DEVICE_CHANGES_MAX)
}

/// What waits, oldest first, above `after`.
pub(crate) fn waiting(tx: &Connection, after: i64, limit: usize) -> Result<Vec<QuarantineRow>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} WHERE admitted_ms IS NULL AND quarantine.id > ?1 ORDER BY quarantine.id LIMIT ?2");
    let mut statement = tx.prepare_cached(&sql)?;
    Ok(statement.query_map((after, limit), row_of)?.collect::<Result<_, _>>()?)
}

/// One that waits.
pub(crate) fn one(tx: &Connection, id: i64) -> Result<Option<QuarantineRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} WHERE admitted_ms IS NULL AND quarantine.id = ?1");
    Ok(tx.query_row(&sql, [id], row_of).optional()?)
}
