//! Lists of records: filter, sort, page.

use crate::sql;
use crate::sql::{Connection, Row, Stored};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fieldbook_core::access::Role;
use fieldbook_core::forms::{Form, Scalar};
use fieldbook_core::ids::{RecordId, UserId};
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

use super::{Problem, Store, StoreError, mask, units};

/// Records on one page.
pub(crate) const PAGE_MAX: usize = 200;
/// Characters of a search text.
const TEXT_CHARS_MAX: usize = 100;

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Only in this state.
    pub state: Option<String>,
    /// Only of this unit and all below.
    pub unit: Option<String>,
    /// Only with all these words among the searchable answers.
    pub text: Option<String>,
    /// Only with conflicts, or only without.
    pub conflicts: Option<bool>,
    /// Only with problems, or only without.
    pub problems: Option<bool>,
    /// `received`, `changed`, `state`, `unit`; with `-` in front descending.
    pub sort: String,
    /// [`RecordList::next`] of the page before.
    pub after: Option<String>,
    /// Records on the page, 1 to 200.
    pub limit: usize,
}

/// A record as lists show it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RecordRow {
    /// The record.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Code of its unit.
    pub unit: String,
    /// Name of its unit.
    pub unit_name: String,
    /// `draft`, `submitted`, `returned`, `approved`, `amended`, `archived` or `voided`.
    pub state: String,
    /// The form's list columns, by field path; sensitive ones masked.
    #[schema(value_type = Object)]
    pub values: Json,
    /// Fields with two or more different values.
    pub conflicts: u64,
    /// Rules of the form that the merged record breaks.
    pub problems: u64,
    /// When its latest change arrived, milliseconds since 1970 UTC.
    pub received_ms: i64,
    /// When its latest change was made, as its author claims, milliseconds since 1970 UTC.
    pub changed_ms: i64,
}

/// A page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RecordList {
    /// The records.
    pub records: Vec<RecordRow>,
    /// Cursor of the next page; none on the last.
    pub next: Option<String>,
}

struct Sort {
    column: &'static str,
    descending: bool,
}

impl Sort {
    fn of(word: &str) -> Result<Self, Problem> {
        let (descending, name) = word.strip_prefix('-').map_or((false, word), |name| (true, name));
        let column = match name {
            "received" => "records.serial",
            "changed" => "changed_s",
            "state" => "state",
            "unit" => "records.unit",
            _ => return Err(Problem::new("request_malformed").with("detail", format!("sort={word}"))),
        };
        Ok(Self { column, descending })
    }
}

fn cursor(key: &Stored, id: &[u8]) -> String {
    let key = match key {
        Stored::Integer(number) => Json::from(*number),
        Stored::Text(text) => Json::from(text.as_str()),
        _ => Json::Null,
    };
    URL_SAFE_NO_PAD.encode(Json::from(vec![key, Json::from(hex::encode(id))]).to_string())
}

fn point(cursor: &str) -> Option<(Stored, Vec<u8>)> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (key, id): (Json, String) = serde_json::from_slice(&text).ok()?;
    let key = match key {
        Json::Number(number) => Stored::Integer(number.as_i64()?),
        Json::String(text) => Stored::Text(text),
        _ => return None,
    };
    Some((key, hex::decode(id).ok()?))
}

/// The middle dots that keyboards offer become the one that is stored.
fn folded(text: &str) -> String {
    let dot = |letter: char| {
        if matches!(letter, '•' | '・' | '‧' | '∙' | '⋅' | '.' | '\u{ff0e}') { '·' } else { letter }
    };
    text.trim().to_lowercase().chars().map(dot).take(TEXT_CHARS_MAX).collect()
}

/// Condition and its parameters.
struct Conditions {
    text: String,
    params: Vec<Stored>,
}

impl Conditions {
    fn and(&mut self, text: &str, params: impl IntoIterator<Item = Stored>) {
        self.text.push_str(" AND ");
        self.text.push_str(text);
        self.params.extend(params);
    }
}

fn conditions(form: &Form, user: UserId, query: &ListQuery, sort: &Sort) -> Result<Conditions, Problem> {
    let area = form.definition().area;
    let roles = Role::ALL.iter().filter(|role| role.areas().contains(&area));
    let words: Vec<String> = roles.map(|role| format!("'{}'", role.word())).collect();
    let mut found = Conditions {
        text: format!(
            "kind = ? AND records.unit IN (WITH RECURSIVE reach(code) AS (
               SELECT unit FROM user_roles WHERE user = ? AND role IN ({})
               UNION SELECT units.code FROM units JOIN reach ON parent = reach.code) SELECT code FROM reach)",
            words.join(",")
        ),
        params: vec![Stored::Text(form.definition().kind.clone()), Stored::Blob(user.0.to_vec())],
    };
    if let Some(state) = &query.state {
        found.and("state = ?", [Stored::Text(state.clone())]);
    }
    if let Some(unit) = &query.unit {
        let below = "records.unit IN (WITH RECURSIVE below(code) AS (SELECT ? UNION
           SELECT units.code FROM units JOIN below ON parent = below.code) SELECT code FROM below)";
        found.and(below, [Stored::Text(unit.clone())]);
    }
    for word in query.text.as_deref().map(folded).unwrap_or_default().split_whitespace() {
        let escaped = word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        found.and("search LIKE ? ESCAPE '\\'", [Stored::Text(format!("%{escaped}%"))]);
    }
    for (wanted, column) in [(query.conflicts, "conflict_count"), (query.problems, "problem_count")] {
        match wanted {
            Some(true) => found.and(&format!("{column} > 0"), []),
            Some(false) => found.and(&format!("{column} = 0"), []),
            None => {}
        }
    }
    if let Some(after) = &query.after {
        let malformed = || Problem::new("request_malformed").with("detail", "after");
        let (key, id) = point(after).ok_or_else(malformed)?;
        let order = if sort.descending { "<" } else { ">" };
        found.and(&format!("({}, records.id) {order} (?, ?)", sort.column), [key, Stored::Blob(id)]);
    }
    Ok(found)
}

fn row_of(form: &Form, row: &Row<'_>) -> sql::Result<(RecordRow, Stored, Vec<u8>)> {
    let id: [u8; 16] = row.get(0)?;
    let values: String = row.get(4)?;
    let found = RecordRow {
        id: RecordId(id).to_string(),
        kind: row.get(1)?,
        unit: row.get(2)?,
        unit_name: row.get(9)?,
        state: row.get(3)?,
        values: columns(form, &serde_json::from_str(&values).unwrap_or_default()),
        conflicts: row.get(5)?,
        problems: row.get(6)?,
        received_ms: row.get(7)?,
        changed_ms: row.get::<i64>(8)?.saturating_mul(1000),
    };
    Ok((found, row.get(10)?, id.to_vec()))
}

/// The list columns of a record's values, sensitive ones masked.
pub(crate) fn columns(form: &Form, values: &Json) -> Json {
    let listed = form.definition().fields.iter().filter(|field| field.list && field.repeat.is_none());
    let mut found = serde_json::Map::new();
    for field in listed {
        let value = field.path.split('/').try_fold(values, |at, step| at.get(step));
        let Some(value) = value else { continue };
        let shown = match value {
            hidden if mask::hides(field, &std::collections::BTreeSet::new()) => {
                let text = hidden.as_str().map_or_else(|| hidden.to_string(), str::to_owned);
                form.scalar_to_json(field, &mask::scalar(&Scalar::Text(text)))
            }
            plain => plain.clone(),
        };
        found.insert(field.path.clone(), shown);
    }
    Json::Object(found)
}

/// The form of a kind that `user` may see.
pub(crate) fn visible_form(
    store: &Store,
    tx: &Connection,
    user: UserId,
    kind: &str,
) -> Result<std::sync::Arc<Form>, StoreError> {
    let missing = || StoreError::from(Problem::new("kind_unknown").with("kind", kind));
    let form = store.current_form(tx, kind)?.ok_or_else(missing)?;
    let area = form.definition().area;
    let seen = units::roles(tx, user)?.iter().any(|(role, _)| role.areas().contains(&area));
    if seen { Ok(form) } else { Err(missing()) }
}

/// A record as the command line lists it.
#[derive(Debug, Clone)]
pub struct RecordLine {
    /// The record.
    pub id: String,
    /// Code of its unit.
    pub unit: String,
    /// Its state.
    pub state: String,
    /// Fields with different values.
    pub conflicts: u64,
    /// Rules that it breaks.
    pub problems: u64,
    /// When its latest change arrived, milliseconds since 1970 UTC.
    pub received_ms: i64,
}

impl Store {
    /// The next records of a kind by id, above `after`, at most 200; for the administrator, whatever the unit.
    ///
    /// # Errors
    /// `kind_unknown`; else what the database said.
    pub fn record_lines(&self, kind: &str, after: Option<&str>) -> Result<Vec<RecordLine>, StoreError> {
        let after = after.and_then(|id| id.parse::<RecordId>().ok()).unwrap_or(RecordId([0; 16]));
        self.read(|tx| {
            if self.current_form(tx, kind)?.is_none() {
                return Err(Problem::new("kind_unknown").with("kind", kind).into());
            }
            let sql = "SELECT id, unit, state, conflict_count, problem_count, received_ms FROM records \
                       WHERE kind = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
            let mut statement = tx.prepare(sql)?;
            let rows = statement.query_map((kind, after.as_bytes(), PAGE_MAX), |row| {
                Ok(RecordLine {
                    id: RecordId(row.get(0)?).to_string(),
                    unit: row.get(1)?,
                    state: row.get(2)?,
                    conflicts: row.get(3)?,
                    problems: row.get(4)?,
                    received_ms: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// One page of the records of a kind that `user` may read.
    ///
    /// # Errors
    /// `kind_unknown`, `request_malformed`; else what the database said.
    pub fn list(&self, user: UserId, kind: &str, query: &ListQuery) -> Result<RecordList, StoreError> {
        let sort = Sort::of(&query.sort)?;
        let limit = query.limit.clamp(1, PAGE_MAX);
        self.read(|tx| {
            let form = visible_form(self, tx, user, kind)?;
            let Conditions { text, mut params } = conditions(&form, user, query, &sort)?;
            let direction = if sort.descending { "DESC" } else { "ASC" };
            let sql = format!(
                "SELECT records.id, kind, records.unit, state, values_json, conflict_count, problem_count, received_ms,
                   changed_s, units.name, {0} FROM records JOIN units ON units.code = records.unit
                 WHERE {text} ORDER BY {0} {direction}, records.id {direction} LIMIT ?",
                sort.column
            );
            params.push(Stored::Integer(i64::try_from(limit + 1).unwrap_or(i64::MAX)));
            let mut statement = tx.prepare(&sql)?;
            let rows = statement.query_map(params, |row| row_of(&form, row))?;
            let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let next = rows.last().filter(|_| more).map(|(_, key, id)| cursor(key, id));
            Ok(RecordList { records: rows.into_iter().map(|(row, ..)| row).collect(), next })
        })
    }
}
