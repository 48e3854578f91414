//! Whom records are about: the server's index of persons, and which of them stand in several records.
//!
//! A record's rows are written in the transaction that writes its row, and hold for its unit and state of then. A key has a
//! row in `doubles` as long as two of its records are not said to be different. All of it can be worked out anew from
//! the records ([`wanted`]) and the decisions ([`standing`]); `verify` does.

use std::collections::{BTreeMap, BTreeSet};

use crate::sql::Connection;
use fieldbook_core::document::RecordState;
use fieldbook_core::forms::{EvalTime, Form, Identity, Values};
use fieldbook_core::ids::RecordId;
use fieldbook_core::ports::Random;

use super::records::OpenRecord;
use super::{Store, StoreError, meta, set_meta};

/// Records of one person that are looked at: nobody has more, but a number that somebody made up may.
pub(crate) const RECORDS_MAX: usize = 200;
/// Rows that one statement writes or asks for.
const ROWS_AT_ONCE: usize = 8;
/// In `meta`: the secret of the keys.
const SECRET: &str = "person_key";

/// Who stands where, before it is hashed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Persons {
    occasion: Vec<String>,
    found: Vec<(Identity, String)>,
}

impl Persons {
    /// Whom the shown answers of a record are about.
    pub(crate) fn of(form: &Form, shown: &Values) -> Self {
        let found: Vec<_> =
            form.persons(shown).into_iter().map(|person| (person.identity, person.path.to_string())).collect();
        let occasion = if found.is_empty() { Vec::new() } else { form.occasion(shown) };
        Self { occasion, found }
    }
}

/// A row of the index: key, path, and whether it is a name's.
pub(crate) type PersonRow = ([u8; 16], String, bool);

/// The secret of the keys; drawn with the database.
pub(crate) fn secret(tx: &Connection, random: &dyn Random) -> Result<[u8; 32], StoreError> {
    if let Some(known) = meta(tx, SECRET)? {
        return known.try_into().map_err(|_| StoreError::corrupt("person key", "it has not 32 bytes"));
    }
    let mut secret = [0; 32];
    random.fill(&mut secret);
    set_meta(tx, SECRET, &secret)?;
    Ok(secret)
}

/// The rows that a record is to have: void ones have none.
pub(crate) fn wanted(
    secret: &[u8; 32],
    kind: &str,
    unit: &str,
    state: RecordState,
    persons: &Persons,
) -> BTreeSet<PersonRow> {
    if state == RecordState::Voided {
        return BTreeSet::new();
    }
    let row = |(identity, path): &(Identity, String)| {
        let by_name = matches!(identity, Identity::NameAndBirth { .. });
        (identity.key(secret, kind, &persons.occasion, unit), path.clone(), by_name)
    };
    persons.found.iter().map(row).collect()
}

/// The rows that a record has.
pub(crate) fn held(tx: &Connection, record: RecordId) -> Result<BTreeSet<PersonRow>, StoreError> {
    let mut statement = tx.prepare("SELECT key, path, by_name FROM persons WHERE record = ?1")?;
    let rows = statement.query_map([record.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Makes a record's rows `wanted`. True if it began to look like another record.
pub(crate) fn put(
    tx: &Connection,
    record: RecordId,
    kind: &str,
    wanted: &BTreeSet<PersonRow>,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let held = held(tx, record)?;
    if held == *wanted {
        return Ok(false);
    }
    let mut drop = tx.prepare("DELETE FROM persons WHERE key = ?1 AND record = ?2 AND path = ?3")?;
    for (key, path, _) in held.difference(wanted) {
        drop.execute((key, record.as_bytes(), path))?;
    }
    let added: Vec<&PersonRow> = wanted.difference(&held).collect();
    for rows in added.chunks(ROWS_AT_ONCE) {
        insert(tx, record, rows)?;
    }
    let keys = |rows: &BTreeSet<PersonRow>| rows.iter().map(|(key, ..)| *key).collect::<BTreeSet<_>>();
    let (before, after) = (keys(&held), keys(wanted));
    for key in before.difference(&after) {
        settle(tx, key, now_ms, None)?;
    }
    let new: Vec<[u8; 16]> = after.difference(&before).copied().collect();
    let mut doubled = false;
    for key in shared(tx, record, &new)? {
        let by_name = wanted.iter().any(|(of, _, by_name)| *of == key && *by_name);
        doubled |= settle(tx, &key, now_ms, Some((kind, by_name)))?;
    }
    Ok(doubled)
}

fn insert(tx: &Connection, record: RecordId, rows: &[&PersonRow]) -> Result<(), StoreError> {
    let places: Vec<String> =
        (0..rows.len()).map(|at| format!("(?{}, ?1, ?{}, ?{})", 3 * at + 2, 3 * at + 3, 3 * at + 4)).collect();
    let text = format!("INSERT INTO persons(key, record, path, by_name) VALUES {}", places.join(", "));
    let record = record.as_bytes();
    let mut values: Vec<&dyn crate::sql::ToSql> = vec![&record];
    for (key, path, by_name) in rows {
        values.extend([key as &dyn crate::sql::ToSql, path, by_name]);
    }
    tx.prepare(&text)?.execute(&values[..])?;
    Ok(())
}

/// Which of these keys other records have too.
fn shared(tx: &Connection, record: RecordId, keys: &[[u8; 16]]) -> Result<BTreeSet<[u8; 16]>, StoreError> {
    let mut found = BTreeSet::new();
    for keys in keys.chunks(ROWS_AT_ONCE) {
        let places: Vec<String> = (0..keys.len()).map(|at| format!("?{}", at + 2)).collect();
        let text = format!("SELECT DISTINCT key FROM persons WHERE key IN ({}) AND record <> ?1", places.join(", "));
        let record = record.as_bytes();
        let mut values: Vec<&dyn crate::sql::ToSql> = vec![&record];
        values.extend(keys.iter().map(|key| key as &dyn crate::sql::ToSql));
        let mut statement = tx.prepare(&text)?;
        for key in statement.query_map(&values[..], |row| row.get(0))? {
            found.insert(key?);
        }
    }
    Ok(found)
}

/// The records of a person, by id, at most [`RECORDS_MAX`].
pub(crate) fn records_of(tx: &Connection, key: &[u8; 16]) -> Result<BTreeSet<RecordId>, StoreError> {
    let mut statement = tx.prepare("SELECT DISTINCT record FROM persons WHERE key = ?1 ORDER BY record LIMIT ?2")?;
    let rows = statement.query_map((key, RECORDS_MAX), |row| Ok(RecordId(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Pairs of records that somebody has said to be different under a key, the lesser id first.
pub(crate) fn apart(tx: &Connection, key: &[u8; 16]) -> Result<BTreeMap<(RecordId, RecordId), i64>, StoreError> {
    let text = "SELECT first, second, id FROM double_decisions WHERE key = ?1 AND verdict = 'different'";
    let mut statement = tx.prepare(text)?;
    let rows = statement.query_map([key], |row| Ok(((RecordId(row.get(0)?), RecordId(row.get(1)?)), row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether two records under a key are not said to be different.
pub(crate) fn standing(tx: &Connection, key: &[u8; 16]) -> Result<bool, StoreError> {
    let records = records_of(tx, key)?;
    if records.len() < 2 {
        return Ok(false);
    }
    let here = |(first, second): &(RecordId, RecordId)| records.contains(first) && records.contains(second);
    let apart = apart(tx, key)?.into_keys().filter(here).count();
    Ok(apart < records.len() * (records.len() - 1) / 2)
}

/// Makes the row of a key in `doubles` what its records and decisions say; `grown` names kind and manner when a record
/// came to it. True if it stands.
pub(crate) fn settle(
    tx: &Connection,
    key: &[u8; 16],
    now_ms: i64,
    grown: Option<(&str, bool)>,
) -> Result<bool, StoreError> {
    if !standing(tx, key)? {
        tx.prepare("DELETE FROM doubles WHERE key = ?1")?.execute([key])?;
        return Ok(false);
    }
    match grown {
        Some((kind, by_name)) => {
            let text = "INSERT INTO doubles(key, kind, by_name, since_ms) VALUES (?1, ?2, ?3, ?4)
                        ON CONFLICT(key) DO UPDATE SET since_ms = ?4";
            tx.prepare(text)?.execute((key, kind, by_name, now_ms))?;
        }
        // A decision was taken back, or one of several records has left: it stands again, or still.
        None => {
            let text = "INSERT INTO doubles(key, kind, by_name, since_ms)
                        SELECT key, kind, by_name, ?2 FROM persons JOIN records ON records.id = record WHERE key = ?1
                        LIMIT 1 ON CONFLICT(key) DO NOTHING";
            tx.prepare(text)?.execute((key, now_ms))?;
        }
    }
    Ok(true)
}

/// Nothing is left of a record.
pub(crate) fn forget(tx: &Connection, record: RecordId, now_ms: i64) -> Result<(), StoreError> {
    put(tx, record, "", &BTreeSet::new(), now_ms)?;
    tx.prepare("DELETE FROM double_decisions WHERE first = ?1 OR second = ?1")?.execute([record.as_bytes()])?;
    Ok(())
}

/// A kind's newest form marks nobody.
pub(crate) fn forget_kind(tx: &Connection, kind: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM persons WHERE record IN (SELECT id FROM records WHERE kind = ?1)", [kind])?;
    tx.execute("DELETE FROM doubles WHERE kind = ?1", [kind])?;
    Ok(())
}

impl Store {
    /// The rows that a record is to have under `form`, worked out from its document.
    pub(crate) fn persons_wanted(&self, form: &Form, open: &OpenRecord, state: RecordState) -> BTreeSet<PersonRow> {
        let shown =
            form.evaluate(&open.document.read(form.definition()), EvalTime::new(open.changed_s, &open.id)).shown;
        wanted(&self.person_key, &open.kind, &open.feed.id.unit, state, &Persons::of(form, &shown))
    }

    /// The record has another unit now.
    pub(crate) fn persons_moved(&self, tx: &Connection, open: &OpenRecord) -> Result<(), StoreError> {
        let form = self.current_form(tx, &open.kind)?.ok_or_else(|| StoreError::corrupt("form", &open.kind))?;
        let state = super::console::current_state(tx, open)?;
        put(tx, open.id, &open.kind, &self.persons_wanted(&form, open, state), self.now_ms())?;
        Ok(())
    }
}
