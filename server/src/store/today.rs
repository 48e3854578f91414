//! The page of the day: what came in since a user last looked, and what waits for the user.

use std::collections::BTreeMap;

use crate::sql::{Connection, OptionalExtension};
use fieldbook_core::forms::Form;
use fieldbook_core::ids::UserId;
use serde::Serialize;
use utoipa::ToSchema;

use super::board::{Board, Query, tally};
use super::filter::{Filter, Span};
use super::reach::Reach;
use super::{DeviceRow, Problem, Store, StoreError, console, quarantine};
use std::sync::Arc;

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3600 * 1000;
/// Days after which a returned record counts as unanswered, unless asked otherwise.
pub const RETURNED_DAYS: u32 = 7;
/// Days after which a device counts as silent, unless asked otherwise.
pub const SILENT_DAYS: u32 = 14;
/// Most days that either may be asked for.
pub const DAYS_MAX: u32 = 3_650;
/// Silent devices that are named, the longest silent first.
const DEVICES_MAX: usize = 100;

/// What came in of one kind in one unit.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Arrived {
    /// The kind.
    pub kind: String,
    /// Its title, in the language of the request.
    pub title: String,
    /// Code of the unit.
    pub unit: String,
    /// Name of the unit.
    pub unit_name: String,
    /// Records of which something arrived; `received` of the list.
    pub records: u64,
    /// How many of them are new; `first` of the list.
    pub new_records: u64,
}

/// Records of one kind that wait for a supervisor for one reason.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Waiting {
    /// `review`, `amended`, `conflicts`, `problems` or `returned`.
    pub what: String,
    /// The kind.
    pub kind: String,
    /// Its title, in the language of the request.
    pub title: String,
    /// Records that the user may decide on.
    pub records: u64,
    /// Parameters of the kind's list that show exactly these.
    pub list: BTreeMap<String, String>,
}

/// A device that has not been heard of for long.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SilentDevice {
    /// The device.
    pub id: String,
    /// Model or host name.
    pub name: String,
    /// Its user.
    pub user: String,
    /// The user's name.
    pub user_name: String,
    /// Code of the user's unit.
    pub unit: String,
    /// Name of the unit.
    pub unit_name: String,
    /// Last exchange, milliseconds since 1970 UTC; none if there never was one.
    pub last_contact_ms: Option<i64>,
    /// Whole days since the last exchange, else since it enrolled.
    pub silent_days: i64,
}

/// The page of the day.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TodayPage {
    /// Until when the user has seen what came in, milliseconds since 1970 UTC; none before the first time.
    pub since_ms: Option<i64>,
    /// This page is of then; what to send as seen.
    pub as_of_ms: i64,
    /// Records of which something arrived since, by kind and unit.
    pub arrived: Vec<Arrived>,
    /// What waits for the user, by reason and kind; nothing for who decides nothing.
    pub waiting: Vec<Waiting>,
    /// Changes in quarantine that the user may decide on.
    pub quarantined: u64,
    /// Days after which a returned record counts as unanswered.
    pub returned_days: u32,
    /// Days after which a device counts as silent.
    pub silent_days: u32,
    /// How many devices of the user's units are silent.
    pub silent: u64,
    /// The longest silent of them, at most 100.
    pub silent_devices: Vec<SilentDevice>,
}

/// A reason to wait: its word, and the parameters of the list that show what waits.
fn reasons(now_ms: i64, returned_days: u32) -> [(&'static str, BTreeMap<String, String>); 5] {
    let open = "draft,submitted,returned,approved,amended";
    let until = now_ms.saturating_sub(i64::from(returned_days) * DAY_MS);
    let of = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        pairs.chain([("decidable".to_owned(), "true".to_owned())]).collect()
    };
    [
        ("review", of(&[("state", "submitted")])),
        ("amended", of(&[("state", "amended")])),
        ("conflicts", of(&[("conflicts", "true"), ("state", open)])),
        ("problems", of(&[("problems", "true"), ("state", "submitted,amended")])),
        ("returned", of(&[("state", "returned"), ("reviewed", &format!("..{until}"))])),
    ]
}

/// The filter that list parameters of [`reasons`] name.
fn filter_of(list: &BTreeMap<String, String>) -> Result<Filter, Problem> {
    let text = |name: &str| list.get(name).cloned();
    let truth = |name: &str| list.get(name).map(|value| value == "true");
    super::filter::FilterText {
        state: text("state"),
        conflicts: truth("conflicts"),
        problems: truth("problems"),
        reviewed: text("reviewed"),
        decidable: truth("decidable"),
        ..super::filter::FilterText::default()
    }
    .parse()
}

impl Store {
    /// The page of the day for a user.
    ///
    /// # Errors
    /// What the database said.
    pub fn today(
        &self,
        user: UserId,
        returned_days: u32,
        silent_days: u32,
        language: &str,
    ) -> Result<TodayPage, StoreError> {
        let now_ms = self.now_ms();
        let (returned_days, silent_days) = (returned_days.min(DAYS_MAX), silent_days.min(DAYS_MAX));
        let devices = self.devices()?;
        self.read(|tx| {
            let reach = Reach::of(tx, user)?;
            let mut forms = self.current_forms(tx)?;
            forms.retain(|form| reach.sees(form.definition().area));
            let (since_ms, quarantined) = (seen(tx, user)?, quarantined(tx, &reach)?);
            let (arrived, waiting) = self.on_board(tx, |board| {
                let span = Span { from_ms: since_ms.map_or(i64::MIN, |ms| ms.saturating_add(1)), to_ms: i64::MAX };
                let filter = Filter { received: Some(span), ..Filter::default() };
                let query = self.query(tx, board, &reach, &forms, &filter)?;
                let arrived = arrived(board, &reach, &forms, &query, span, language);
                let mut waiting = Vec::new();
                for (what, list) in reasons(now_ms, returned_days) {
                    let query = self.query(tx, board, &reach, &forms, &filter_of(&list)?)?;
                    let by_kind = tally(query.lines(board), |line| Some(line.kind));
                    waiting.extend(forms.iter().filter_map(|form| {
                        let kind = &form.definition().kind;
                        let records = *by_kind.get(&board.kinds.known(kind)?)?;
                        let (what, title) = (what.to_owned(), title(form, language));
                        Some(Waiting { what, kind: kind.clone(), title, records, list: list.clone() })
                    }));
                }
                Ok((arrived, waiting))
            })?;
            let mut silent = silent(&reach, devices, now_ms, silent_days);
            let count = silent.len() as u64;
            silent.truncate(DEVICES_MAX);
            Ok(TodayPage {
                since_ms,
                as_of_ms: now_ms,
                arrived,
                waiting,
                quarantined,
                returned_days,
                silent_days,
                silent: count,
                silent_devices: silent,
            })
        })
    }

    /// Notes that the user has seen what came in until `through_ms`, milliseconds since 1970 UTC; never goes back, nor
    /// beyond now.
    ///
    /// # Errors
    /// What the database said.
    pub fn see(&self, user: UserId, through_ms: i64) -> Result<i64, StoreError> {
        let through_ms = through_ms.min(self.now_ms());
        self.write(|tx| {
            let text = "INSERT INTO seen(user, seen_ms) VALUES (?1, ?2) ON CONFLICT(user) DO UPDATE SET
                          seen_ms = CASE WHEN seen.seen_ms < excluded.seen_ms THEN excluded.seen_ms
                                    ELSE seen.seen_ms END RETURNING seen_ms";
            Ok(tx.query_row(text, (user.as_bytes(), through_ms), |row| row.get(0))?)
        })
    }
}

fn seen(tx: &Connection, user: UserId) -> Result<Option<i64>, StoreError> {
    let mut statement = tx.prepare("SELECT seen_ms FROM seen WHERE user = ?1")?;
    Ok(statement.query_row([user.as_bytes()], |row| row.get(0)).optional()?)
}

/// Changes that wait in quarantine and the user may decide on.
fn quarantined(tx: &Connection, reach: &Reach) -> Result<u64, StoreError> {
    let mut count = 0;
    for (unit, area, changes) in quarantine::waiting_by_feed(tx, false)? {
        if reach.supervises(&unit) && reach.reads(console::area(&area)?, &unit) {
            count += changes;
        }
    }
    Ok(count)
}

fn title(form: &Form, language: &str) -> String {
    let definition = form.definition();
    form.pick(&definition.title, language).unwrap_or(&definition.kind).to_owned()
}

fn arrived(
    board: &Board,
    reach: &Reach,
    forms: &[Arc<Form>],
    query: &Query,
    span: Span,
    language: &str,
) -> Vec<Arrived> {
    let counts = tally(query.lines(board), |line| Some((line.kind, line.unit, span.holds(line.first_ms))));
    let mut found: BTreeMap<(&str, &str), Arrived> = BTreeMap::new();
    for ((kind, unit, new), records) in counts {
        let (kind, unit) = (board.kinds.name(kind), board.units.name(unit));
        let Some(form) = forms.iter().find(|form| form.definition().kind == kind) else { continue };
        let entry = found.entry((kind, unit)).or_insert_with(|| Arrived {
            kind: kind.to_owned(),
            title: title(form, language),
            unit: unit.to_owned(),
            unit_name: reach.name(unit),
            records: 0,
            new_records: 0,
        });
        entry.records += records;
        entry.new_records += if new { records } else { 0 };
    }
    found.into_values().collect()
}

/// Devices of units that the user supervises which were not heard of for `days`, the longest silent first.
fn silent(reach: &Reach, devices: Vec<DeviceRow>, now_ms: i64, days: u32) -> Vec<SilentDevice> {
    let asked = devices.into_iter().filter(|device| device.revoked_ms.is_none() && reach.supervises(&device.unit));
    let found = asked.map(|device| SilentDevice {
        id: device.id.to_string(),
        name: device.name,
        user: device.user.to_string(),
        user_name: device.user_name,
        unit_name: reach.name(&device.unit),
        unit: device.unit,
        last_contact_ms: device.last_contact_ms,
        silent_days: now_ms.saturating_sub(device.last_contact_ms.unwrap_or(device.enrolled_ms)).div_euclid(DAY_MS),
    });
    let mut found: Vec<SilentDevice> = found.filter(|device| device.silent_days >= i64::from(days)).collect();
    found.sort_by(|a, b| b.silent_days.cmp(&a.silent_days).then_with(|| a.id.cmp(&b.id)));
    found
}
