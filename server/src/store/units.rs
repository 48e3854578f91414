//! The tree of units, and which of it a user's roles reach.

use crate::sql;
use crate::sql::{Connection, OptionalExtension, Row};
use fieldbook_core::access::{Area, Role, Unit};
use fieldbook_core::ids::UserId;
use fieldbook_core::limits::UNIT_CODE_BYTES_MAX;
use fieldbook_core::protocol::Notice;

use super::audit::audit;
use super::{Problem, Store, StoreError, feeds};

/// Characters of a name of a unit or user.
pub(crate) const NAME_CHARS_MAX: usize = 100;
/// Levels of the tree.
const DEPTH_MAX: usize = 16;

fn unit_of(row: &Row<'_>) -> sql::Result<Unit> {
    Ok(Unit { code: row.get(0)?, name: row.get(1)?, parent: row.get(2)?, division: row.get(3)? })
}

/// The unit `code`, if there is one.
pub(crate) fn unit(tx: &Connection, code: &str) -> Result<Option<Unit>, StoreError> {
    let mut statement = tx.prepare("SELECT code, name, parent, division FROM units WHERE code = ?1")?;
    Ok(statement.query_row([code], unit_of).optional()?)
}

/// The unit `code`, or the problem `unit_unknown`.
pub(crate) fn wanted_unit(tx: &Connection, code: &str) -> Result<Unit, StoreError> {
    Ok(unit(tx, code)?.ok_or_else(|| Problem::new("unit_unknown").with("unit", code))?)
}

/// The root of the tree, if any unit was added.
pub(crate) fn root(tx: &Connection) -> Result<Option<Unit>, StoreError> {
    let sql = "SELECT code, name, parent, division FROM units WHERE parent IS NULL";
    Ok(tx.query_row(sql, (), unit_of).optional()?)
}

/// The unit and all above it, nearest first.
pub(crate) fn with_ancestors(tx: &Connection, code: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = tx.prepare("SELECT parent FROM units WHERE code = ?1")?;
    let mut path = vec![code.to_owned()];
    let mut at = code.to_owned();
    while path.len() <= DEPTH_MAX {
        let parent: Option<Option<String>> = statement.query_row([&at], |row| row.get(0)).optional()?;
        let Some(Some(parent)) = parent else { break };
        path.push(parent.clone());
        at = parent;
    }
    Ok(path)
}

/// Every unit, by code.
pub(crate) fn all(tx: &Connection) -> Result<Vec<Unit>, StoreError> {
    let mut statement = tx.prepare("SELECT code, name, parent, division FROM units ORDER BY code")?;
    Ok(statement.query_map((), unit_of)?.collect::<Result<_, _>>()?)
}

/// The roles of `user`, each with its unit, sorted.
pub(crate) fn roles(tx: &Connection, user: UserId) -> Result<Vec<(Role, String)>, StoreError> {
    let mut statement = tx.prepare("SELECT role, unit FROM user_roles WHERE user = ?1")?;
    let rows = statement.query_map([user.as_bytes()], |row| Ok((row.get::<String>(0)?, row.get(1)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (word, unit) = row?;
        let role = Role::from_word(&word).ok_or_else(|| StoreError::corrupt("role", &word))?;
        found.push((role, unit));
    }
    found.sort();
    Ok(found)
}

/// The roles of `user` that hold at `unit`: those at the unit itself or above it.
pub(crate) fn roles_at(tx: &Connection, user: UserId, unit: &str) -> Result<Vec<Role>, StoreError> {
    let path = with_ancestors(tx, unit)?;
    let mut held: Vec<Role> =
        roles(tx, user)?.into_iter().filter(|(_, at)| path.contains(at)).map(|(role, _)| role).collect();
    held.dedup();
    Ok(held)
}

/// Whether `user` may read records of `area` at `unit`.
pub(crate) fn may_read(tx: &Connection, user: UserId, unit: &str, area: Area) -> Result<bool, StoreError> {
    Ok(roles_at(tx, user, unit)?.iter().any(|role| role.areas().contains(&area)))
}

/// Every (area, unit) that the roles of `user` reach, and the general area of each unit above.
pub(crate) fn scope(tx: &Connection, user: UserId) -> Result<Vec<(String, Area)>, StoreError> {
    let mut reached = std::collections::BTreeSet::new();
    let mut below = tx.prepare(
        "WITH RECURSIVE sub(code) AS (SELECT ?1 UNION SELECT units.code FROM units JOIN sub ON parent = sub.code)
         SELECT code FROM sub",
    )?;
    for (role, at) in roles(tx, user)? {
        for above in with_ancestors(tx, &at)? {
            reached.insert((above, Area::General));
        }
        for unit in below.query_map([&at], |row| row.get::<String>(0))? {
            let unit = unit?;
            reached.extend(role.areas().iter().map(|area| (unit.clone(), *area)));
        }
    }
    Ok(reached.into_iter().collect())
}

fn check_code(code: &str) -> Result<(), Problem> {
    let fits = !code.is_empty()
        && code.len() <= UNIT_CODE_BYTES_MAX
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if fits { Ok(()) } else { Err(Problem::new("unit_code_malformed").with("unit", code)) }
}

/// A spreadsheet would run it: also with the wide characters of a Chinese keyboard.
pub(crate) fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'])
}

pub(crate) fn check_name(name: &str) -> Result<(), Problem> {
    if is_formula(name) {
        return Err(Problem::new("name_formula").with("name", name));
    }
    let count = name.chars().count();
    let fits = (1..=NAME_CHARS_MAX).contains(&count) && !name.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(Problem::new("name_malformed").with("name", name)) }
}

fn check_division(division: &str) -> Result<(), Problem> {
    let fits = (6..=12).contains(&division.len()) && division.bytes().all(|byte| byte.is_ascii_digit());
    if fits { Ok(()) } else { Err(Problem::new("division_malformed").with("division", division)) }
}

fn check_unit(tx: &Connection, new: &Unit) -> Result<(), StoreError> {
    check_code(&new.code)?;
    check_name(&new.name)?;
    if let Some(division) = &new.division {
        check_division(division)?;
    }
    if unit(tx, &new.code)?.is_some() {
        return Err(Problem::new("unit_exists").with("unit", &new.code).into());
    }
    match &new.parent {
        Some(parent) => {
            wanted_unit(tx, parent)?;
            if with_ancestors(tx, parent)?.len() >= DEPTH_MAX {
                return Err(Problem::new("tree_too_deep").with("unit", &new.code).with("max", DEPTH_MAX).into());
            }
        }
        None => {
            if let Some(root) = root(tx)? {
                return Err(Problem::new("root_exists").with("unit", &new.code).with("root", root.code).into());
            }
        }
    }
    Ok(())
}

impl Store {
    /// Adds a unit, and says so in the general feed of its parent (the root: in its own).
    ///
    /// # Errors
    /// A [`Problem`] when code, name, division or parent do not fit; else what the database said.
    pub fn add_unit(&self, new: &Unit) -> Result<(), StoreError> {
        self.write(|tx| self.add_unit_in(tx, new))?;
        self.publish_builtin()
    }

    fn add_unit_in(&self, tx: &Connection, new: &Unit) -> Result<(), StoreError> {
        check_unit(tx, new)?;
        tx.execute(
            "INSERT INTO units(code, name, parent, division) VALUES (?1, ?2, ?3, ?4)",
            (&new.code, &new.name, &new.parent, &new.division),
        )?;
        let told = new.parent.as_deref().unwrap_or(&new.code);
        let feed = feeds::feed_for(tx, told, Area::General)?;
        audit(tx, self.now_ms(), None, "unit_added", &new.code, new.parent.as_deref().unwrap_or_default())?;
        feeds::append_notice(tx, &feed, self.now_ms(), None, &Notice::Unit(new.clone()))
    }

    /// Adds the units of a CSV table with the columns `code`, `name`, `parent`, `division` (parents first); all or
    /// none. Returns how many.
    ///
    /// # Errors
    /// `csv_malformed` naming the line, or as [`Self::add_unit`].
    pub fn import_units(&self, table: impl std::io::Read) -> Result<usize, StoreError> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(table);
        let bad = |error: csv::Error| Problem::new("csv_malformed").with("detail", error);
        let column = {
            let headers = reader.headers().map_err(bad)?.clone();
            move |name: &str| headers.iter().position(|header| header.trim_start_matches('\u{feff}') == name)
        };
        let (Some(code), Some(name)) = (column("code"), column("name")) else {
            return Err(Problem::new("csv_malformed").with("detail", "code, name[, parent][, division]").into());
        };
        let (parent, division) = (column("parent"), column("division"));
        let added = self.write(|tx| {
            let mut added = 0;
            for record in reader.records() {
                let record = record.map_err(bad)?;
                let cell = |at: Option<usize>| at.and_then(|at| record.get(at)).filter(|text| !text.is_empty());
                let new = Unit {
                    code: cell(Some(code)).unwrap_or_default().to_owned(),
                    name: cell(Some(name)).unwrap_or_default().to_owned(),
                    parent: cell(parent).map(str::to_owned),
                    division: cell(division).map(str::to_owned),
                };
                self.add_unit_in(tx, &new)?;
                added += 1;
            }
            Ok::<_, StoreError>(added)
        })?;
        self.publish_builtin()?;
        Ok(added)
    }

    /// Every unit, by code.
    ///
    /// # Errors
    /// What the database said.
    pub fn units(&self) -> Result<Vec<Unit>, StoreError> {
        self.read(all)
    }
}
