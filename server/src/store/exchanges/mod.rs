//! Sync reports: what each exchange brought, as far as a supervisor may see it.

mod pages;
mod report;
#[cfg(test)]
mod tests;

use fieldbook_core::access::Role;
use fieldbook_core::ids::{DeviceId, RecordId, UserId};
use serde_json::Value as Json;

pub use pages::{ExchangeList, ExchangePage, ExchangeRecord, ExchangeRow, ExchangesQuery};
pub(crate) use report::Report;

use super::reach::Reach;
use super::{Problem, Store, StoreError, console, listed, units};
use crate::sql::{self, Connection, OptionalExtension, Row, Stored};

/// Reports that are kept.
pub(crate) const KEPT_MAX: i64 = 20_000;
/// For how long reports are kept: half a year.
pub(crate) const AGE_MAX_MS: i64 = 183 * 24 * 3600 * 1000;
/// Records that one report lists.
pub(crate) const LISTED_MAX: u64 = 1_000;
/// Reports on one page.
pub(crate) const PAGE_MAX: usize = 100;

const COLUMNS: &str = "exchanges.id, exchanges.device, devices.name, exchanges.user, users.name, exchanges.unit, \
    units.name, relayed, first_ms, last_ms, changes, records, created, conflicts, doubles, quarantined, refused \
    FROM exchanges JOIN devices ON devices.id = exchanges.device JOIN users ON users.id = exchanges.user \
    JOIN units ON units.code = exchanges.unit";

fn row_of(row: &Row<'_>) -> sql::Result<ExchangeRow> {
    Ok(ExchangeRow {
        id: row.get(0)?,
        device: DeviceId(row.get(1)?).to_string(),
        device_name: row.get(2)?,
        user: UserId(row.get(3)?).to_string(),
        user_name: row.get(4)?,
        unit: row.get(5)?,
        unit_name: row.get(6)?,
        relayed: row.get(7)?,
        first_ms: row.get(8)?,
        last_ms: row.get(9)?,
        changes: row.get(10)?,
        records: row.get(11)?,
        created: row.get(12)?,
        conflicts: row.get(13)?,
        doubles: row.get(14)?,
        quarantined: row.get(15)?,
        refused: row.get(16)?,
    })
}

/// Whose roles at a unit read its reports: supervisors, and auditors, who read everything.
fn reads(role: Role) -> bool {
    role.supervises() || role == Role::Auditor
}

/// Condition that a user reads reports of the exchange's unit.
fn reach(user: UserId) -> (String, Vec<Stored>) {
    let words: Vec<String> =
        Role::ALL.iter().filter(|role| reads(**role)).map(|role| format!("'{}'", role.word())).collect();
    let text = format!(
        "exchanges.unit IN (WITH RECURSIVE reach(code) AS (SELECT unit FROM user_roles WHERE user = ? AND role IN ({})
           UNION SELECT units.code FROM units JOIN reach ON parent = reach.code) SELECT code FROM reach)",
        words.join(",")
    );
    (text, vec![Stored::Blob(user.0.to_vec())])
}

fn malformed(detail: &str) -> Problem {
    Problem::new("request_malformed").with("detail", detail)
}

impl Store {
    /// A page of reports of units that `user` supervises, newest first.
    ///
    /// # Errors
    /// `request_malformed`, `unit_unknown`; else what the database said.
    pub fn exchanges(&self, user: UserId, query: &ExchangesQuery) -> Result<ExchangeList, StoreError> {
        let limit = query.limit;
        let (reach, mut values) = reach(user);
        let mut text = format!("SELECT {COLUMNS} WHERE {reach}");
        if let Some(unit) = &query.unit {
            text.push_str(
                " AND exchanges.unit IN (WITH RECURSIVE below(code) AS (SELECT ? UNION
                   SELECT units.code FROM units JOIN below ON parent = below.code) SELECT code FROM below)",
            );
            values.push(Stored::Text(unit.clone()));
        }
        if let Some(device) = &query.device {
            let device: DeviceId = device.parse().map_err(|_| malformed("device"))?;
            text.push_str(" AND exchanges.device = ?");
            values.push(Stored::Blob(device.0.to_vec()));
        }
        match query.with.as_deref() {
            None => {}
            Some(column @ ("conflicts" | "doubles" | "quarantined" | "refused")) => {
                text.push_str(&format!(" AND {column} > 0"));
            }
            Some(_) => return Err(malformed("with").into()),
        }
        if let Some(after) = query.after {
            text.push_str(" AND exchanges.id < ?");
            values.push(Stored::Integer(after));
        }
        text.push_str(" ORDER BY exchanges.id DESC LIMIT ?");
        values.push(Stored::Integer(i64::try_from(limit + 1).unwrap_or(i64::MAX)));
        self.read(|tx| {
            Reach::of(tx, user)?.knows(query.unit.as_deref())?;
            let mut statement = tx.prepare(&text)?;
            let mut exchanges = statement.query_map(values, row_of)?.collect::<Result<Vec<_>, _>>()?;
            let more = exchanges.len() > limit;
            exchanges.truncate(limit);
            let next = exchanges.last().filter(|_| more).map(|row| row.id);
            Ok(ExchangeList { exchanges, next })
        })
    }

    /// One report; of its records those that `user` may read.
    ///
    /// # Errors
    /// `exchange_unknown`; else what the database said.
    pub fn exchange(&self, user: UserId, id: i64) -> Result<ExchangePage, StoreError> {
        self.read(|tx| {
            let missing = || Problem::new("exchange_unknown").with("id", id);
            let mut statement = tx.prepare(&format!("SELECT {COLUMNS} WHERE exchanges.id = ?1"))?;
            let exchange = statement.query_row([id], row_of).optional()?.ok_or_else(missing)?;
            if !units::roles_at(tx, user, &exchange.unit)?.into_iter().any(reads) {
                return Err(missing().into());
            }
            let items = items(tx, id)?;
            let all = items.len() as u64;
            let mut listed = Vec::new();
            for item in items {
                listed.extend(self.exchange_record(tx, user, item)?);
            }
            let kept_back = all - listed.len() as u64;
            let unlisted = kept_back + exchange.records.saturating_sub(all);
            Ok(ExchangePage { exchange, listed, unlisted })
        })
    }

    /// One record of a report as it is now, if `user` may read it.
    fn exchange_record(
        &self,
        tx: &Connection,
        user: UserId,
        (record, area, mut item): (RecordId, String, ExchangeRecord),
    ) -> Result<Option<ExchangeRecord>, StoreError> {
        let text = "SELECT kind, records.unit, area, state FROM records JOIN feeds ON feeds.id = feed
                    WHERE records.id = ?1";
        type Found = (String, String, String, String);
        let mut statement = tx.prepare(text)?;
        let now: Option<Found> = statement
            .query_row([record.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()?;
        let mut at = area;
        if let Some((kind, unit, area, state)) = now {
            item.values = listed::cells_of(tx, record)?;
            (item.here, item.kind, item.unit, item.state, at) = (true, kind, unit, Some(state), area);
        }
        // Of what was refused before anything was known of it only the id is told, to whom the report is told.
        let readable = match at.as_str() {
            "" => true,
            word => units::may_read(tx, user, &item.unit, console::area(word)?)?,
        };
        if !readable {
            return Ok(None);
        }
        item.unit_name = units::unit(tx, &item.unit)?.map(|unit| unit.name).unwrap_or_default();
        Ok(Some(item))
    }
}

/// What a report lists, each with the area that was stated.
fn items(tx: &Connection, exchange: i64) -> Result<Vec<(RecordId, String, ExchangeRecord)>, StoreError> {
    let text = "SELECT record, kind, unit, area, changes, created, doubled, quarantined, refused, detail
                FROM exchange_records WHERE exchange = ?1 ORDER BY number";
    let mut statement = tx.prepare(text)?;
    let rows = statement.query_map([exchange], |row| {
        let record = RecordId(row.get(0)?);
        let detail: Json = serde_json::from_str(&row.get::<String>(9)?).unwrap_or_default();
        let words = |key: &str| {
            let words = detail.get(key).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
            words.iter().filter_map(Json::as_str).map(str::to_owned).collect()
        };
        let item = ExchangeRecord {
            record: record.to_string(),
            here: false,
            kind: row.get(1)?,
            unit: row.get(2)?,
            unit_name: String::new(),
            state: None,
            values: Json::Object(serde_json::Map::new()),
            changes: row.get(4)?,
            created: row.get(5)?,
            conflicts: words("conflicts"),
            doubled: row.get(6)?,
            quarantined: row.get(7)?,
            refused: row.get(8)?,
            reasons: words("reasons"),
        };
        Ok((record, row.get(3)?, item))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
