//! Quarantine, devices and units as far as one user's roles reach.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::sql::Connection;
use fieldbook_core::access::{Role, Unit};
use fieldbook_core::document::{Document, TouchedField};
use fieldbook_core::forms::{Edit, Form, Values};
use fieldbook_core::ids::{DeviceId, UserId};
use fieldbook_core::intake;
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

use super::again::Around;
use super::page::{Pager, WrotePage};
use super::quarantine::QuarantineRow;
use super::{
    DeviceRow, Problem, Store, StoreError, UserRow, audit, console, devices, differences, listed, mask, quarantine,
    records, units,
};

/// Changes of a record that is not here that are read for its list columns.
const FIRST_MAX: usize = 20;
/// Changes on one page of the quarantine.
const PAGE_MAX: usize = 200;

/// A quarantined change.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QuarantineItem {
    /// Its number in the quarantine.
    pub id: i64,
    /// The change.
    pub change: String,
    /// Its record.
    pub record: String,
    /// Kind of the record.
    pub kind: String,
    /// Code of the unit that it was meant for.
    pub unit: String,
    /// The author.
    pub user: String,
    /// The author's name.
    pub user_name: String,
    /// The author's device.
    pub device: String,
    /// Stable word, such as `role`, `after_submission`, `depends_on_quarantined`, `revoked`, `foreign_unit`.
    pub reason: String,
    /// Fields that the author may not write; where the author has issued a part again, the fields that are left.
    pub fields: Vec<String>,
    /// When it arrived, milliseconds since 1970 UTC.
    pub received_ms: i64,
    /// When a supervisor put it away, milliseconds since 1970 UTC: it is listed apart, and can still be admitted.
    pub left_ms: Option<i64>,
    /// The record is here, and the user may read it.
    pub here: bool,
    /// The form's list columns by field path, sensitive ones masked: of the record where it is here, else what its
    /// changes would write that wait here.
    #[schema(value_type = Object)]
    pub values: Json,
}

/// A quarantined change with what it would write.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QuarantinePage {
    /// The change.
    #[serde(flatten)]
    pub item: QuarantineItem,
    /// What it would write, as far as it waits; sensitive answers are masked. `before` is what stands there now.
    pub writes: Vec<WrotePage>,
    /// Fields of `writes` that are masked here, by path without rows: ask for one with `reveal`.
    pub masked: Vec<String>,
    /// It can be admitted now.
    pub admissible: bool,
}

/// What becomes of what waits in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is taken into the log.
    Admit,
    /// It is put away: listed apart from what waits for a decision.
    Leave,
    /// What was put away waits for a decision again.
    TakeUp,
}

impl Fate {
    /// By its word: `admit`, `leave`, `take_up`.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        match word {
            "admit" => Some(Self::Admit),
            "leave" => Some(Self::Leave),
            "take_up" => Some(Self::TakeUp),
            _ => None,
        }
    }
}

/// `values` are the list columns.
fn item(row: &QuarantineRow, here: bool, values: Json) -> QuarantineItem {
    QuarantineItem {
        id: row.id,
        change: row.hash.to_string(),
        record: row.record.to_string(),
        kind: row.kind.clone(),
        unit: row.unit.clone(),
        user: row.user.to_string(),
        user_name: row.user_name.clone(),
        device: row.device.to_string(),
        reason: row.reason.clone(),
        fields: row.fields.clone(),
        received_ms: row.received_ms,
        left_ms: row.left_ms,
        here,
        values,
    }
}

/// What a change would write, as far as it waits: not what its author has issued again.
fn waiting_edits(around: &Around, document: &Document, form: &Form, row: &QuarantineRow) -> Vec<Edit> {
    let mut edits = around.edits(document, form, &row.hash, &row.bytes).unwrap_or_default();
    if row.again.is_some() {
        edits.retain(|edit| row.fields.contains(&edit.path().to_string()));
    }
    edits
}

/// Adds what edits would write outside rows.
fn add_written(values: &mut Values, edits: &[Edit]) {
    for edit in edits {
        if let Edit::Set { path, value: Some(value) } = edit
            && path.row.is_none()
        {
            values.fields.insert(path.field.clone(), value.clone());
        }
    }
}

/// The user decides on what waits for this feed.
fn decides(tx: &Connection, user: UserId, unit: &str, area: &str) -> Result<bool, StoreError> {
    let supervises = units::roles_at(tx, user, unit)?.iter().any(|role| role.supervises());
    Ok(supervises && units::may_read(tx, user, unit, console::area(area)?)?)
}

/// What edits would write, beside what stands there `now`.
fn writes(pager: &Pager<'_>, edits: &[Edit], now: &Values) -> Vec<WrotePage> {
    let one = |edit: &Edit| {
        let touched: TouchedField = edit.into();
        let before = match touched.choice {
            Some(_) => (Json::Null, None),
            None => differences::stands(pager, now, &touched.path),
        };
        pager.wrote(&touched, before)
    };
    edits.iter().map(one).collect()
}

impl Store {
    /// What waits in quarantine and `user` may decide on, oldest first, above `after`; with `left` what was put away.
    ///
    /// # Errors
    /// What the database said.
    pub fn quarantine_list(&self, user: UserId, after: i64, left: bool) -> Result<Vec<QuarantineItem>, StoreError> {
        self.read(|tx| {
            let mut feeds = Vec::new();
            for (unit, area, _) in quarantine::waiting_by_feed(tx, left)? {
                if decides(tx, user, &unit, &area)? {
                    feeds.push((unit, area));
                }
            }
            let rows = quarantine::waiting(tx, &feeds, (after, left), PAGE_MAX)?;
            let mut known = HashMap::new();
            let mut items = Vec::with_capacity(rows.len());
            for row in rows {
                // Many changes of one record follow each other.
                let (here, values) = match known.get(&row.record) {
                    Some(found) => found,
                    None => known.entry(row.record).or_insert(self.listed_or_waiting(tx, user, &row)?),
                };
                items.push(item(&row, *here, values.clone()));
            }
            Ok(items)
        })
    }

    /// One quarantined change that `user` may decide on. What is `revealed` in clear is logged.
    ///
    /// # Errors
    /// `quarantine_unknown`; else what the database said.
    pub fn quarantine_page(
        &self,
        user: UserId,
        id: i64,
        language: &str,
        revealed: &BTreeSet<String>,
    ) -> Result<QuarantinePage, StoreError> {
        let page = self.read(|tx| self.quarantine_page_in(tx, user, id, (language, revealed)))?;
        self.log_reveal(user, &page.item.record, revealed)?;
        Ok(page)
    }

    /// Decides on a change that waits; answers the numbers of what was taken with it.
    ///
    /// # Errors
    /// As [`Store::admit`].
    pub fn decide_quarantined(&self, user: &UserRow, id: i64, fate: Fate) -> Result<Vec<i64>, StoreError> {
        match fate {
            Fate::Admit => {
                let (_, changes) = self.admit(user, id)?;
                Ok(changes.into_iter().filter(|change| change.taken_as.is_some()).map(|change| change.id).collect())
            }
            Fate::Leave | Fate::TakeUp => self.put_away(user.id, id, fate == Fate::Leave).map(|()| Vec::new()),
        }
    }

    /// Puts a change away that waits for a decision, or takes it up again.
    ///
    /// # Errors
    /// `quarantine_unknown`; else what the database said.
    pub fn put_away(&self, user: UserId, id: i64, away: bool) -> Result<(), StoreError> {
        self.write(|tx| {
            let missing = || Problem::new("quarantine_unknown").with("id", id);
            let row = quarantine::one(tx, id)?.ok_or_else(missing)?;
            if !decides(tx, user, &row.unit, &row.area)? {
                return Err(missing().into());
            }
            if row.left_ms.is_some() == away {
                return Ok(());
            }
            let now_ms = self.now_ms();
            quarantine::put_away(tx, id, away.then_some((user, now_ms)))?;
            let done = if away { "put_away" } else { "take_up" };
            audit::audit(tx, now_ms, Some(user), done, &row.record.to_string(), &row.hash.to_string())
        })
    }

    /// Whether the record of a quarantined change is here for `user`, and its list columns: where it is not, as the first
    /// changes of it would write them that wait for this user's decision.
    fn listed_or_waiting(
        &self,
        tx: &Connection,
        user: UserId,
        row: &QuarantineRow,
    ) -> Result<(bool, Json), StoreError> {
        if console::sees(tx, user, row.record)? {
            return Ok((true, listed::cells_of(tx, row.record)?));
        }
        let Some((form, document)) = self.build_on(tx, row)? else { return Ok((false, Json::Null)) };
        let around = Around::of(tx, row.record)?;
        let mut values = Values::default();
        for one in around.rows.iter().filter(|one| one.waits()).take(FIRST_MAX) {
            if decides(tx, user, &one.unit, &one.area)? {
                add_written(&mut values, &waiting_edits(&around, &document, &form, one));
            }
        }
        Ok((false, listed::cells(&form, &values)))
    }

    /// The form of a quarantined change and the record as it is without; `None` where the form is not here.
    fn build_on(&self, tx: &Connection, row: &QuarantineRow) -> Result<Option<(Arc<Form>, Document)>, StoreError> {
        let created = self.form(tx, &row.kind, &row.created_version)?;
        let (Some(created), Some(form)) = (created, self.form(tx, &row.kind, &row.form_version)?) else {
            return Ok(None);
        };
        let document = match records::load(tx, row.record)? {
            Some(open) => Arc::unwrap_or_clone(open.document),
            None => Document::create(row.record, created.definition())
                .map_err(|error| StoreError::corrupt("creation", error))?,
        };
        Ok(Some((form, document)))
    }

    fn quarantine_page_in(
        &self,
        tx: &Connection,
        user: UserId,
        id: i64,
        (language, revealed): (&str, &BTreeSet<String>),
    ) -> Result<QuarantinePage, StoreError> {
        let missing = || Problem::new("quarantine_unknown").with("id", id);
        let row = quarantine::one(tx, id)?.ok_or_else(missing)?;
        if !decides(tx, user, &row.unit, &row.area)? {
            return Err(missing().into());
        }
        let (here, values) = self.listed_or_waiting(tx, user, &row)?;
        let item = item(&row, here, values);
        let Some((form, mut document)) = self.build_on(tx, &row)? else {
            return Ok(QuarantinePage { item, writes: Vec::new(), masked: Vec::new(), admissible: false });
        };
        let now = if item.here { document.read(form.definition()) } else { Values::default() };
        let around = Around::of(tx, row.record)?;
        let edits = waiting_edits(&around, &document, &form, &row);
        let admissible = match row.again {
            Some(again) => document.contains(&again),
            None => intake::admit(&mut document, form.definition(), &row.bytes, None).is_ok(),
        };
        let writes = writes(&Pager::new(tx, &form, language, revealed), &edits, &now);
        let written: BTreeSet<String> = edits.iter().map(|edit| edit.path().field).collect();
        let hidden = form.definition().fields.iter().filter(|field| mask::hides(field, revealed));
        let masked = hidden.map(|field| field.path.clone()).filter(|path| written.contains(path)).collect();
        Ok(QuarantinePage { item, writes, masked, admissible })
    }

    /// The devices of users whose units `user` supervises.
    ///
    /// # Errors
    /// What the database said.
    pub fn devices_of(&self, user: UserId) -> Result<Vec<DeviceRow>, StoreError> {
        let mut devices = self.devices()?;
        let reached = self.read(|tx| -> Result<BTreeSet<String>, StoreError> {
            devices
                .iter()
                .map(|device| device.unit.clone())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .filter_map(|unit| match units::roles_at(tx, user, &unit) {
                    Ok(roles) => roles.iter().any(|role| role.supervises()).then_some(Ok(unit)),
                    Err(error) => Some(Err(error)),
                })
                .collect()
        })?;
        devices.retain(|device| reached.contains(&device.unit));
        self.read(|tx| devices::fill_to_send(tx, &mut devices))?;
        Ok(devices)
    }

    /// Revokes a device of a unit that `user` supervises.
    ///
    /// # Errors
    /// `device_unknown`, also of what `user` does not supervise; else what the database said.
    pub fn revoke_for(&self, user: &UserRow, id: DeviceId) -> Result<(), StoreError> {
        let missing = || Problem::new("device_unknown").with("device", id);
        self.write(|tx| {
            let device = devices::device(tx, id)?.ok_or_else(missing)?;
            let roles = units::roles_at(tx, user.id, &device.unit)?;
            if !roles.iter().any(|role| role.supervises()) {
                return Err(StoreError::from(missing()));
            }
            self.revoke_in(tx, Some(user.id), id)?;
            Ok(())
        })
    }

    /// The units that the roles of `user` reach, and those above them, by code.
    ///
    /// # Errors
    /// What the database said.
    pub fn units_of(&self, user: UserId) -> Result<Vec<Unit>, StoreError> {
        let reached: BTreeSet<String> =
            self.read(|tx| units::scope(tx, user))?.into_iter().map(|(unit, _)| unit).collect();
        let mut all = self.units()?;
        all.retain(|unit| reached.contains(&unit.code));
        Ok(all)
    }

    /// The roles of a user.
    pub(crate) fn roles(&self, user: UserId) -> Result<Vec<(Role, String)>, StoreError> {
        self.read(|tx| units::roles(tx, user))
    }
}
