//! What of a record is listed, counted, found and shown on the map: made from the merged record with every save.

use fieldbook_core::forms::{Field, FieldType, Form, FormDefinition, Scalar, Sensitivity, Values};
use fieldbook_core::ids::{RecordId, UserId};
use fieldbook_core::search;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use super::held::{Held, hold};
use super::{Store, StoreError, mask, meta};
use crate::sql;
use crate::sql::{Connection, OptionalExtension, Words};

/// The kind of what was purged: its row stays, so that whoever follows the serials hears of it.
pub(crate) const GONE: &str = "";
/// Key of `meta`: rows came from another database, and the words that they are found by did not.
pub(super) const TO_INDEX: &str = "to_index";
/// Records that are indexed again in one transaction.
const AGAIN_AT_ONCE: i64 = 200;
/// Characters of one column in a list.
const CELL_CHARS_MAX: usize = 200;
/// Other records that one record is known to name.
const LINKS_MAX: usize = 200;
/// Characters of a record id as it is written in an answer.
const ID_CHARS: usize = 36;
/// Degrees of latitude and longitude are kept in steps of 1 / this.
pub(crate) const STEPS_PER_DEGREE: f64 = 100_000.0;
/// A sensitive position is kept as the middle of a cell of so many degrees: some 11 by 9 km.
pub(crate) const COARSE_DEGREES: f64 = 0.1;

/// What lists and search read of a record's answers.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The list columns by path, as JSON; sensitive ones masked.
    pub(crate) cells: String,
    /// Latitude and longitude in steps; coarse if sensitive.
    pub(crate) point: Option<(i64, i64)>,
    /// Texts that it is found by.
    search: Vec<String>,
    /// Records that its answers name, by path.
    links: Vec<(String, RecordId)>,
}

impl Listing {
    /// Of the answers that are shown.
    pub(crate) fn of(form: &Form, shown: &Values) -> Self {
        let definition = form.definition();
        let point = position(definition).and_then(|field| match shown.fields.get(&field.path)? {
            Scalar::Text(text) => steps(text, field.sensitivity == Sensitivity::Sensitive),
            Scalar::Integer(_) => None,
        });
        Self { cells: cells(form, shown).to_string(), point, search: searched(definition, shown), links: links(shown) }
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for text in &self.search {
            digest.update(text.as_bytes());
            digest.update([0]);
        }
        for (path, target) in &self.links {
            digest.update(path.as_bytes());
            digest.update(target.as_bytes());
        }
        digest.finalize().into()
    }
}

/// The field that the map shows: the first position outside repeats, a plain one before a sensitive one.
pub(crate) fn position(form: &FormDefinition) -> Option<&Field> {
    let points = form.fields.iter().filter(|field| field.field_type == FieldType::Geopoint && field.repeat.is_none());
    points.min_by_key(|field| field.sensitivity == Sensitivity::Sensitive)
}

fn steps(answer: &str, coarse: bool) -> Option<(i64, i64)> {
    let mut numbers = answer.split_whitespace().map(str::parse::<f64>);
    let (Some(Ok(latitude)), Some(Ok(longitude))) = (numbers.next(), numbers.next()) else { return None };
    if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
        return None;
    }
    let kept = |degrees: f64| match coarse {
        true => ((degrees / COARSE_DEGREES).floor() + 0.5) * COARSE_DEGREES,
        false => degrees,
    };
    // Within 18,000,000 either way.
    #[allow(clippy::cast_possible_truncation, reason = "checked above")]
    let step = |degrees: f64| (kept(degrees) * STEPS_PER_DEGREE).round() as i64;
    Some((step(latitude), step(longitude)))
}

/// A long text as lists show it.
fn cut(cell: Json) -> Json {
    match cell {
        Json::String(text) if text.chars().count() > CELL_CHARS_MAX => {
            Json::from(text.chars().take(CELL_CHARS_MAX).chain(['…']).collect::<String>())
        }
        short => short,
    }
}

/// The list columns of these answers, by path; sensitive ones masked.
pub(super) fn cells(form: &Form, shown: &Values) -> Json {
    let listed = form.definition().fields.iter().filter(|field| field.list && field.repeat.is_none());
    let cell = |field: &Field| {
        let hidden = mask::hides(field, &std::collections::BTreeSet::new());
        let json = match (shown.fields.get(&field.path), shown.sets.get(&field.path)) {
            (Some(scalar), _) if hidden => cut(form.scalar_to_json(field, &mask::scalar(scalar))),
            (None, Some(_)) if hidden => Json::from("***"),
            (Some(scalar), _) => cut(form.scalar_to_json(field, scalar)),
            (None, Some(chosen)) if !chosen.is_empty() => form.set_to_json(field, chosen),
            _ => return None,
        };
        Some((field.path.clone(), json))
    };
    Json::Object(listed.filter_map(cell).collect::<Map<_, _>>())
}

fn searched(form: &FormDefinition, shown: &Values) -> Vec<String> {
    let mut texts = Vec::new();
    let mut add = |scalar: Option<&Scalar>| match scalar {
        Some(Scalar::Text(text)) => texts.push(text.clone()),
        Some(Scalar::Integer(number)) => texts.push(number.to_string()),
        None => {}
    };
    for field in form.fields.iter().filter(|field| field.search || field.list) {
        match &field.repeat {
            None => add(shown.fields.get(&field.path)),
            Some(repeat) => {
                for row in shown.rows.get(repeat).map_or(&[][..], Vec::as_slice) {
                    add(row.fields.get(&field.path));
                }
            }
        }
    }
    texts
}

/// Every text answer that is a record's id.
fn links(shown: &Values) -> Vec<(String, RecordId)> {
    let rows = shown.rows.values().flatten().flat_map(|row| &row.fields);
    let named = shown.fields.iter().chain(rows).filter_map(|(path, scalar)| match scalar {
        Scalar::Text(text) if text.len() == ID_CHARS => Some((path.clone(), text.parse().ok()?)),
        _ => None,
    });
    let mut found: Vec<(String, RecordId)> = named.take(LINKS_MAX).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// A record's row in the list.
pub(crate) struct ListedRow<'a> {
    pub(crate) record: RecordId,
    pub(crate) kind: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) state: &'a str,
    pub(crate) conflicts: usize,
    pub(crate) problems: usize,
    pub(crate) received_ms: i64,
    pub(crate) changed_s: i64,
    pub(crate) reviewed_ms: Option<i64>,
    pub(crate) listing: &'a Listing,
    /// Who wrote in it since it was listed last.
    pub(crate) wrote: &'a [UserId],
}

/// Bytes of a user's id.
const USER_BYTES: usize = 16;

/// Ids of users, one behind the other, and those that are new.
fn joined(mut writers: Vec<u8>, new: &[UserId]) -> Vec<u8> {
    for user in new {
        if !writers.chunks(USER_BYTES).any(|known| known == user.as_bytes()) {
            writers.extend_from_slice(user.as_bytes());
        }
    }
    writers
}

fn next_serial(tx: &Connection) -> Result<i64, StoreError> {
    hold(tx, [Held::Serials])?;
    Ok(tx.prepare("SELECT coalesce(max(serial), 0) + 1 FROM listed")?.query_row((), |row| row.get(0))?)
}

impl ListedRow<'_> {
    /// Writes the row, and links where they differ from what is there; returns the words that are to be written, if they
    /// differ.
    pub(crate) fn put(&self, tx: &Connection) -> Result<Option<Words>, StoreError> {
        let digest = self.listing.digest();
        let mut known = tx.prepare("SELECT writers, indexed FROM listed WHERE record = ?1")?;
        let known: Option<(Vec<u8>, Vec<u8>)> =
            known.query_row([self.record.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (writers, indexed) = known.unzip();
        let text = match &indexed {
            Some(_) => {
                "UPDATE listed SET kind = ?2, unit = ?3, state = ?4, conflicts = ?5, problems = ?6, received_ms = ?7,
                   changed_s = ?8, reviewed_ms = ?9, cells = ?10, lat_e5 = ?11, lon_e5 = ?12, indexed = ?13, writers = ?14,
                   serial = ?15
                 WHERE record = ?1 RETURNING n"
            }
            None => {
                "INSERT INTO listed(record, kind, unit, state, conflicts, problems, first_ms, received_ms, changed_s,
                   reviewed_ms, cells, lat_e5, lon_e5, indexed, writers, serial)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) RETURNING n"
            }
        };
        let (latitude, longitude) = self.listing.point.unzip();
        let n: i64 = tx.prepare(text)?.query_row(
            sql::params![
                self.record.as_bytes(),
                self.kind,
                self.unit,
                self.state,
                self.conflicts,
                self.problems,
                self.received_ms,
                self.changed_s,
                self.reviewed_ms,
                self.listing.cells,
                latitude,
                longitude,
                digest,
                joined(writers.unwrap_or_default(), self.wrote),
                next_serial(tx)?,
            ],
            |row| row.get(0),
        )?;
        if indexed.as_ref().is_some_and(|indexed| indexed.as_slice() == digest) {
            return Ok(None);
        }
        let new = indexed.is_none();
        self.put_links(tx, new)?;
        Ok(Some(Words { n, new, text: search::index_text(&self.listing.search) }))
    }

    fn put_links(&self, tx: &Connection, new: bool) -> Result<(), StoreError> {
        if !new {
            tx.prepare("DELETE FROM links WHERE record = ?1")?.execute([self.record.as_bytes()])?;
        }
        for (path, target) in &self.listing.links {
            let text = "INSERT INTO links(target, record, path) VALUES (?1, ?2, ?3)";
            tx.prepare(text)?.execute((target.as_bytes(), self.record.as_bytes(), path))?;
        }
        Ok(())
    }
}

/// The record's list columns by path; sensitive ones masked.
pub(super) fn cells_of(tx: &Connection, record: RecordId) -> Result<Json, StoreError> {
    let text = "SELECT cells FROM listed WHERE record = ?1";
    let cells: Option<String> = tx.prepare(text)?.query_row([record.as_bytes()], |row| row.get(0)).optional()?;
    Ok(cells.and_then(|cells| serde_json::from_str(&cells).ok()).unwrap_or_default())
}

/// The record belongs to another unit now.
pub(crate) fn moved(tx: &Connection, record: RecordId, unit: &str) -> Result<(), StoreError> {
    let text = "UPDATE listed SET unit = ?2, serial = ?3 WHERE record = ?1";
    tx.prepare(text)?.execute((record.as_bytes(), unit, next_serial(tx)?))?;
    Ok(())
}

/// Nothing but the record's number and id is left.
pub(crate) fn erased(tx: &Connection, record: RecordId) -> Result<(), StoreError> {
    let text = "UPDATE listed SET kind = ?2, state = '', conflicts = 0, problems = 0, first_ms = 0, received_ms = 0,
                  changed_s = 0, reviewed_ms = NULL, cells = '', lat_e5 = NULL, lon_e5 = NULL, indexed = ?3, writers = ?3,
                  serial = ?4
                WHERE record = ?1 RETURNING n";
    let gone = (record.as_bytes(), GONE, [0; 0], next_serial(tx)?);
    let n: Option<i64> = tx.prepare(text)?.query_row(gone, |row| row.get(0)).optional()?;
    if let Some(n) = n {
        tx.drop_words(&[n])?;
    }
    tx.prepare("DELETE FROM links WHERE record = ?1")?.execute([record.as_bytes()])?;
    Ok(())
}

impl Store {
    /// Makes the words that records are found by, where rows came without them.
    pub(super) fn index_again(&self) -> Result<(), StoreError> {
        if self.read(|tx| meta(tx, TO_INDEX))?.is_none() {
            return Ok(());
        }
        let text = "SELECT record FROM listed WHERE kind <> ?1 AND length(indexed) = 0 ORDER BY n LIMIT ?2";
        while self.write(|tx| {
            let mut statement = tx.prepare(text)?;
            let found =
                statement.query_map((GONE, AGAIN_AT_ONCE), |row| row.get(0))?.collect::<sql::Result<Vec<_>>>()?;
            for id in found.iter().copied().map(RecordId) {
                let missing = || StoreError::corrupt("list", format!("{id} is no record"));
                self.save_record(tx, &mut self.load(tx, id)?.ok_or_else(missing)?)?;
            }
            Ok(!found.is_empty())
        })? {}
        self.write(|tx| {
            tx.execute("DELETE FROM meta WHERE key = ?1", [TO_INDEX])?;
            Ok(())
        })
    }
}
