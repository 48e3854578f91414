//! Records that seem to be about the same person: what a supervisor may see of them.

mod decide;
mod pages;
mod side;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fieldbook_core::access::{Area, Role};
use fieldbook_core::ids::{RecordId, UserId};

pub(crate) use decide::{confirmed_of, note_review};
pub use pages::{
    ApartPair, DoubleDecision, DoubleDecisions, DoubleField, DoublePage, DoubleRecord, DoubleRow, DoublesList,
    DoublesQuery,
};

use super::reach::Reach;
use super::{Problem, Store, StoreError, console, listed, persons, units};
use crate::sql::{Connection, OptionalExtension, Stored};

/// Proposals on one page.
pub(crate) const PAGE_MAX: usize = 100;
/// Records of one proposal that are shown and decided on at once.
const RECORDS_SHOWN_MAX: usize = 20;

/// What a key stands for.
struct Proposal {
    key: [u8; 16],
    kind: String,
    by_name: bool,
    since_ms: i64,
}

fn unknown(id: impl std::fmt::Display) -> StoreError {
    Problem::new("double_unknown").with("id", id).into()
}

fn key_of(id: &str) -> Result<[u8; 16], StoreError> {
    let mut key = [0; 16];
    hex::decode_to_slice(id, &mut key).map_err(|_| unknown(id))?;
    Ok(key)
}

/// Condition that a record of feed `feeds` in unit `records.unit` can be read by a user, with its values.
fn reach(user: UserId) -> (String, Vec<Stored>) {
    let mut values = Vec::new();
    let of_area = |area: &Area| {
        let roles = Role::ALL.iter().filter(|role| role.areas().contains(area));
        let words: Vec<String> = roles.map(|role| format!("'{}'", role.word())).collect();
        values.push(Stored::Blob(user.0.to_vec()));
        format!(
            "(feeds.area = '{}' AND records.unit IN (WITH RECURSIVE reach(code) AS (
               SELECT unit FROM user_roles WHERE user = ? AND role IN ({})
               UNION SELECT units.code FROM units JOIN reach ON parent = reach.code) SELECT code FROM reach))",
            area.word(),
            words.join(",")
        )
    };
    let text = Area::ALL.iter().map(of_area).collect::<Vec<_>>().join(" OR ");
    (format!("({text})"), values)
}

fn cursor(proposal: &Proposal) -> String {
    URL_SAFE_NO_PAD.encode([&proposal.since_ms.to_be_bytes()[..], &proposal.key].concat())
}

fn point(cursor: &str) -> Option<(i64, [u8; 16])> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (since, key) = bytes.split_at_checked(8)?;
    Some((i64::from_be_bytes(since.try_into().ok()?), key.try_into().ok()?))
}

/// What a user's roles say of records, asked once for each unit.
struct Eyes<'a> {
    tx: &'a Connection,
    user: UserId,
    roles: BTreeMap<String, Vec<Role>>,
}

impl<'a> Eyes<'a> {
    fn of(tx: &'a Connection, user: UserId) -> Self {
        Self { tx, user, roles: BTreeMap::new() }
    }

    fn roles_at(&mut self, unit: &str) -> Result<Vec<Role>, StoreError> {
        if let Some(known) = self.roles.get(unit) {
            return Ok(known.clone());
        }
        let roles = units::roles_at(self.tx, self.user, unit)?;
        self.roles.insert(unit.to_owned(), roles.clone());
        Ok(roles)
    }

    /// A record as it is shown beside others; `None` if the user may not read it, or it is not here.
    fn record(&mut self, record: RecordId, paths: Vec<String>) -> Result<Option<DoubleRecord>, StoreError> {
        let text = "SELECT records.unit, units.name, state, received_ms, changed_s, area FROM records
                      JOIN feeds ON feeds.id = feed JOIN units ON units.code = records.unit WHERE records.id = ?1";
        type Found = (String, String, String, i64, i64, String);
        let mut statement = self.tx.prepare(text)?;
        let found: Option<Found> = statement
            .query_row([record.as_bytes()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
            })
            .optional()?;
        let Some((unit, unit_name, state, received_ms, changed_s, area)) = found else { return Ok(None) };
        let (roles, area) = (self.roles_at(&unit)?, console::area(&area)?);
        if !roles.iter().any(|role| role.areas().contains(&area)) {
            return Ok(None);
        }
        Ok(Some(DoubleRecord {
            id: record.to_string(),
            unit,
            unit_name,
            state,
            values: listed::cells_of(self.tx, record)?,
            paths,
            received_ms,
            changed_ms: changed_s.saturating_mul(1000),
            decidable: roles.iter().any(|role| role.supervises()),
        }))
    }

    /// A proposal as far as the user may see it; `None` if that is nothing.
    fn row(&mut self, proposal: &Proposal) -> Result<Option<DoubleRow>, StoreError> {
        let mut paths: BTreeMap<RecordId, Vec<String>> = BTreeMap::new();
        let mut statement = self.tx.prepare("SELECT record, path FROM persons WHERE key = ?1 ORDER BY record, path")?;
        for row in statement.query_map([proposal.key], |row| Ok((RecordId(row.get(0)?), row.get::<String>(1)?)))? {
            let (record, path) = row?;
            if paths.len() < persons::RECORDS_MAX || paths.contains_key(&record) {
                paths.entry(record).or_default().push(path);
            }
        }
        let all = paths.len();
        let mut records = Vec::new();
        for (record, paths) in paths {
            records.extend(self.record(record, paths)?);
        }
        if records.is_empty() {
            return Ok(None);
        }
        let elsewhere = all.saturating_sub(records.len()) as u64;
        records.sort_by(|one, other| (other.received_ms, &one.id).cmp(&(one.received_ms, &other.id)));
        let more = records.len().saturating_sub(RECORDS_SHOWN_MAX) as u64;
        records.truncate(RECORDS_SHOWN_MAX);
        Ok(Some(DoubleRow {
            id: hex::encode(proposal.key),
            kind: proposal.kind.clone(),
            by: if proposal.by_name { "name_and_birth" } else { "id_number" }.to_owned(),
            since_ms: proposal.since_ms,
            records,
            more,
            elsewhere,
        }))
    }
}

/// The proposal of a key, if it stands.
fn proposal(tx: &Connection, id: &str) -> Result<Proposal, StoreError> {
    let key = key_of(id)?;
    let mut statement = tx.prepare("SELECT kind, by_name, since_ms FROM doubles WHERE key = ?1")?;
    let found = statement
        .query_row([key], |row| Ok(Proposal { key, kind: row.get(0)?, by_name: row.get(1)?, since_ms: row.get(2)? }))
        .optional()?;
    found.ok_or_else(|| unknown(id))
}

impl Store {
    /// A page of proposals of which `user` may read at least one record, newest first.
    ///
    /// # Errors
    /// `request_malformed`, `unit_unknown`; else what the database said.
    pub fn doubles(&self, user: UserId, query: &DoublesQuery) -> Result<DoublesList, StoreError> {
        let limit = query.limit;
        let (reach, mut values) = reach(user);
        let mut inside = reach;
        if let Some(unit) = &query.unit {
            inside.push_str(
                " AND records.unit IN (WITH RECURSIVE below(code) AS (SELECT ? UNION
                   SELECT units.code FROM units JOIN below ON parent = below.code) SELECT code FROM below)",
            );
            values.push(Stored::Text(unit.clone()));
        }
        let mut text = format!(
            "SELECT key, kind, by_name, since_ms FROM doubles WHERE EXISTS (
               SELECT 1 FROM persons JOIN records ON records.id = persons.record JOIN feeds ON feeds.id = records.feed
               WHERE persons.key = doubles.key AND {inside})"
        );
        if let Some(kind) = &query.kind {
            text.push_str(" AND kind = ?");
            values.push(Stored::Text(kind.clone()));
        }
        if let Some(after) = &query.after {
            let (since_ms, key) =
                point(after).ok_or_else(|| Problem::new("request_malformed").with("detail", "after"))?;
            text.push_str(" AND (since_ms, key) < (?, ?)");
            values.extend([Stored::Integer(since_ms), Stored::Blob(key.to_vec())]);
        }
        text.push_str(" ORDER BY since_ms DESC, key DESC LIMIT ?");
        values.push(Stored::Integer(i64::try_from(limit + 1).unwrap_or(i64::MAX)));
        self.read(|tx| {
            Reach::of(tx, user)?.knows(query.unit.as_deref())?;
            let mut statement = tx.prepare(&text)?;
            let rows = statement.query_map(values, |row| {
                Ok(Proposal { key: row.get(0)?, kind: row.get(1)?, by_name: row.get(2)?, since_ms: row.get(3)? })
            })?;
            let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let next = rows.last().filter(|_| more).map(cursor);
            let mut eyes = Eyes::of(tx, user);
            let mut doubles = Vec::new();
            for row in &rows {
                doubles.extend(eyes.row(row)?);
            }
            Ok(DoublesList { doubles, next })
        })
    }
}
