//! Staff lists: a table of people becomes users with enrolment codes, all or none.

use std::collections::{BTreeMap, BTreeSet};

use encoding_rs::GB18030;
use fieldbook_core::access::{Role, Unit};
use fieldbook_core::forms::first_sheet;
use fieldbook_core::ids::UserId;
use serde::Serialize;
use utoipa::ToSchema;

use super::people::{Authority, NewPerson, uses_console};
use super::users::{self, check_login};
use super::{EnrolCode, Problem, Store, StoreError, units};
use crate::sql::{Connection, OptionalExtension};
use crate::text::{self, Language};

/// People of one list.
const ROWS_MAX: usize = 2_000;
/// People of one list who get a password: each takes a moment to hash.
const PASSWORDS_MAX: usize = 200;
/// Columns by the names that a head row may have.
const COLUMNS: [(&str, &str); 4] = [("姓名", "name"), ("登录名", "login"), ("单位", "unit"), ("角色", "role")];
/// Roles by their Chinese names in a list, beside the words.
const ROLES: [(&str, Role); 10] = [
    ("走访员", Role::Field),
    ("乡镇", Role::Township),
    ("县级", Role::County),
    ("市州级", Role::Prefecture),
    ("省级", Role::Province),
    ("财务", Role::Finance),
    ("律师", Role::Lawyer),
    ("医疗机构", Role::Health),
    ("审计", Role::Auditor),
    ("中转站", Role::Hub),
];

/// A person of a list, as written or as a preview gave it back.
#[derive(Debug, Clone, Default)]
pub struct StaffEntry {
    /// Name as shown.
    pub name: String,
    /// Login; empty: one is drawn.
    pub login: String,
    /// Code of the unit, or its name where only one unit has it.
    pub unit: String,
    /// Word of the role or its Chinese name; empty: field staff.
    pub role: String,
}

/// What would become of a row of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StaffRow {
    /// Row of the table, from 1, the head included.
    pub row: u64,
    /// Name as shown.
    pub name: String,
    /// Login; empty: one is drawn.
    pub login: String,
    /// Code of the unit; as written where there is no such unit.
    pub unit: String,
    /// Name of the unit.
    pub unit_name: String,
    /// Word of the role; as written where there is no such role.
    pub role: String,
    /// `new`, `exists` or `error`.
    pub outcome: String,
    /// Stable word of what is wrong.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
}

/// Somebody who is to enrol a device.
#[derive(Debug)]
pub struct Invited {
    /// The user, and a code for a device.
    pub enrolment: EnrolCode,
    /// The roles.
    pub roles: Vec<Role>,
    /// Name of the unit.
    pub unit_name: String,
    /// First password, where the person is new and a role uses the console.
    pub password: Option<String>,
}

/// What a row comes to.
enum Outcome {
    New(NewPerson),
    Exists,
}

/// A list as it is looked through: who may, and what was met so far.
struct Reader<'a> {
    authority: &'a Authority,
    names: BTreeMap<&'a str, Vec<&'a Unit>>,
    met: BTreeSet<String>,
}

fn refused(detail: impl std::fmt::Display) -> Problem {
    Problem::new("staff_unreadable").with("detail", detail)
}

/// The text of a CSV file: UTF-8, or what Chinese spreadsheets write.
fn csv_text(bytes: &[u8]) -> Result<String, Problem> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(text.to_owned());
    }
    let text = GB18030.decode_without_bom_handling_and_without_replacement(bytes);
    Ok(text.ok_or_else(|| refused("UTF-8, GB18030"))?.into_owned())
}

/// Rows of cells, each with its number.
fn table(bytes: &[u8], language: &str) -> Result<Vec<(u64, Vec<String>)>, Problem> {
    if matches!(bytes, [b'P', b'K', ..] | [0xD0, 0xCF, 0x11, 0xE0, ..]) {
        let sheet = first_sheet(bytes).map_err(|errors| {
            let texts: Vec<String> = errors.iter().take(1).map(|error| error.text(language)).collect();
            refused(texts.concat())
        })?;
        return Ok((1..).zip(sheet).collect());
    }
    let text = csv_text(bytes)?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(refused)?;
        let line = record.position().map_or(0, csv::Position::line);
        rows.push((line, record.iter().map(str::to_owned).collect()));
        if rows.len() > ROWS_MAX * 2 {
            break;
        }
    }
    Ok(rows)
}

/// The people of a table, each with its row.
///
/// # Errors
/// `staff_unreadable`, `staff_columns`, `staff_too_many`.
fn entries(bytes: &[u8], language: &str) -> Result<Vec<(u64, StaffEntry)>, Problem> {
    let mut rows =
        table(bytes, language)?.into_iter().filter(|(_, cells)| cells.iter().any(|cell| !cell.trim().is_empty()));
    let (_, head) = rows.next().ok_or_else(|| Problem::new("staff_columns"))?;
    let at = |(chinese, english): (&str, &str)| {
        head.iter().map(|cell| cell.trim()).position(|cell| cell == chinese || cell.eq_ignore_ascii_case(english))
    };
    let [name, login, unit, role] = COLUMNS.map(at);
    if name.is_none() || unit.is_none() {
        return Err(Problem::new("staff_columns"));
    }
    let read = |(row, cells): (u64, Vec<String>)| {
        let cell =
            |at: Option<usize>| at.and_then(|at| cells.get(at)).map_or_else(String::new, |cell| cell.trim().into());
        (row, StaffEntry { name: cell(name), login: cell(login), unit: cell(unit), role: cell(role) })
    };
    let entries: Vec<(u64, StaffEntry)> = rows.take(ROWS_MAX + 1).map(read).collect();
    check_count(entries.len())?;
    Ok(entries)
}

pub(super) fn check_count(count: usize) -> Result<(), Problem> {
    if count > ROWS_MAX { Err(Problem::new("staff_too_many").with("max", ROWS_MAX)) } else { Ok(()) }
}

fn role_of(text: &str) -> Result<Role, Problem> {
    if text.is_empty() {
        return Ok(Role::Field);
    }
    let known = Role::from_word(&text.to_ascii_lowercase());
    let known = known.or_else(|| ROLES.iter().find(|(name, _)| *name == text).map(|(_, role)| *role));
    let words = || ROLES.iter().map(|(name, role)| format!("{name} ({role})")).collect::<Vec<_>>().join(", ");
    known.ok_or_else(|| Problem::new("role_unknown").with("role", text).with("roles", words()))
}

impl<'a> Reader<'a> {
    fn new(authority: &'a Authority) -> Self {
        let mut names: BTreeMap<&str, Vec<&Unit>> = BTreeMap::new();
        for unit in authority.reach.units.values().filter(|unit| authority.reach.supervises(&unit.code)) {
            names.entry(unit.name.trim()).or_default().push(unit);
        }
        Self { authority, names, met: BTreeSet::new() }
    }

    /// The unit by code, or by its name among those that are supervised.
    fn unit(&self, text: &str) -> Result<&'a Unit, Problem> {
        let unknown = || Problem::new("unit_unknown").with("unit", text);
        if let Some(unit) = self.authority.reach.units.get(text) {
            return Ok(unit);
        }
        match self.names.get(text).map(Vec::as_slice) {
            Some([unit]) => Ok(unit),
            Some([_, _, ..]) => Err(Problem::new("unit_ambiguous").with("unit", text)),
            _ => Err(unknown()),
        }
    }

    fn outcome(&mut self, tx: &Connection, entry: &StaffEntry) -> Result<Outcome, StoreError> {
        units::check_name(&entry.name)?;
        let role = role_of(&entry.role)?;
        let unit = self.unit(&entry.unit)?.code.clone();
        self.authority.check_unit(&unit)?;
        self.authority.check_gives(&[(role, unit.clone())])?;
        let key = if entry.login.is_empty() {
            format!("{unit}\0{}", entry.name)
        } else {
            check_login(&entry.login)?;
            entry.login.clone()
        };
        if !self.met.insert(key) {
            return Err(Problem::new("staff_twice").with("name", &entry.name).into());
        }
        if exists(tx, entry, &unit)? {
            return Ok(Outcome::Exists);
        }
        let login = Some(entry.login.clone()).filter(|login| !login.is_empty());
        Ok(Outcome::New(NewPerson { name: entry.name.clone(), login, roles: vec![(role, unit.clone())], unit }))
    }

    fn row(
        &mut self,
        tx: &Connection,
        row: u64,
        entry: StaffEntry,
        language: Language,
    ) -> Result<StaffRow, StoreError> {
        let (outcome, problem) = match self.outcome(tx, &entry) {
            Ok(Outcome::New(_)) => ("new", None),
            Ok(Outcome::Exists) => ("exists", None),
            Err(StoreError::Problem(problem)) => ("error", Some(problem)),
            Err(other) => return Err(other),
        };
        let unit = self.unit(&entry.unit).ok().filter(|unit| self.authority.reach.supervises(&unit.code));
        Ok(StaffRow {
            row,
            role: role_of(&entry.role).map_or(entry.role, |role| role.word().to_owned()),
            unit_name: unit.map(|unit| unit.name.clone()).unwrap_or_default(),
            unit: unit.map_or(entry.unit, |unit| unit.code.clone()),
            name: entry.name,
            login: entry.login,
            outcome: outcome.to_owned(),
            reason: problem.as_ref().map(|problem| problem.word.to_owned()),
            message: problem.map(|problem| text::problem(language, &problem)),
        })
    }
}

/// The person is a user of the unit already.
fn exists(tx: &Connection, entry: &StaffEntry, unit: &str) -> Result<bool, StoreError> {
    if entry.login.is_empty() {
        let mut statement = tx.prepare("SELECT 1 FROM users WHERE unit = ?1 AND name = ?2")?;
        return Ok(statement.query_row((unit, &entry.name), |_| Ok(())).optional()?.is_some());
    }
    match users::by_login(tx, &entry.login)? {
        None => Ok(false),
        Some((row, _)) if row.unit == unit && row.name == entry.name => Ok(true),
        Some(_) => Err(Problem::new("login_taken").with("login", &entry.login).into()),
    }
}

impl Store {
    /// What a staff list would do for `by`: a CSV file (UTF-8 or GB18030) or a workbook. Nothing is written.
    ///
    /// # Errors
    /// `staff_unreadable`, `staff_columns`, `staff_too_many`, `busy`; else what the database said.
    pub fn preview_staff(&self, by: UserId, bytes: &[u8], language: Language) -> Result<Vec<StaffRow>, StoreError> {
        let _place = self.previews.place()?;
        let entries = entries(bytes, crate::form_language(language))?;
        self.read(|tx| {
            let authority = Authority::of(tx, by)?;
            let mut reader = Reader::new(&authority);
            entries.into_iter().map(|(row, entry)| reader.row(tx, row, entry, language)).collect()
        })
    }

    /// Adds the people of a list, each with an enrolment code for so many days, all or none. Who is there already stays as
    /// they are.
    ///
    /// # Errors
    /// `staff_row` naming the first row that does not go, `staff_too_many`, `staff_passwords`, `days_out_of_range`, `busy`;
    /// else what the database said.
    pub fn add_staff(
        &self,
        by: UserId,
        entries: &[StaffEntry],
        days: u8,
        language: Language,
    ) -> Result<Vec<Invited>, StoreError> {
        check_count(entries.len())?;
        let console = |entry: &&StaffEntry| role_of(&entry.role).is_ok_and(uses_console);
        let count = entries.iter().filter(console).count();
        if count > PASSWORDS_MAX {
            return Err(Problem::new("staff_passwords").with("max", PASSWORDS_MAX).into());
        }
        let _place = self.previews.place()?;
        let mut passwords = (0..count).map(|_| self.drawn_password()).collect::<Result<Vec<_>, _>>()?;
        // Nobody is told this one: those who have devices only share its hash.
        let nobodys = self.drawn_password()?.1;
        self.write(|tx| {
            let authority = Authority::of(tx, by)?;
            let mut reader = Reader::new(&authority);
            let mut added = Vec::new();
            for (at, entry) in entries.iter().enumerate() {
                let outcome = reader.outcome(tx, entry).map_err(|error| in_row(error, at + 1, language))?;
                let Outcome::New(new) = outcome else { continue };
                let role = role_of(&entry.role)?;
                let drawn = if uses_console(role) { passwords.pop() } else { None };
                let hash = drawn.as_ref().map_or(&nobodys, |(_, hash)| hash);
                let user = self.add_in(tx, &authority, &new, hash)?;
                added.push(Invited {
                    unit_name: authority.reach.name(&user.unit),
                    enrolment: self.enrolment_for(tx, Some(by), user, days)?,
                    roles: vec![role],
                    password: drawn.map(|(password, _)| password),
                });
            }
            Ok(added)
        })
    }
}

/// A problem with the row of a list that has it.
fn in_row(error: StoreError, row: usize, language: Language) -> StoreError {
    match error {
        StoreError::Problem(problem) => {
            Problem::new("staff_row").with("row", row).with("detail", text::problem(language, &problem)).into()
        }
        other => other,
    }
}
