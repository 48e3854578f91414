//! Devices.

use crate::sql;
use crate::sql::{Connection, OptionalExtension, Row};
use fieldbook_core::access::Area;
use fieldbook_core::ids::{ActorId, ChangeHash, DeviceId, UserId};
use fieldbook_core::protocol::{Notice, Statement, Verdict};
use fieldbook_core::sync::{from_cbor, to_cbor};

use super::audit::audit;
use super::{Problem, Store, StoreError, UserRow, feeds};
use crate::apart::{self, Line};

/// Statements that are looked at for what a device has still to send.
const STATEMENTS_MAX: usize = 1_000;

/// A device as listed.
#[derive(Debug, Clone)]
pub struct DeviceRow {
    /// The device.
    pub id: DeviceId,
    /// Model or host name.
    pub name: String,
    /// Its user.
    pub user: UserId,
    /// The user's name.
    pub user_name: String,
    /// The user's unit.
    pub unit: String,
    /// When it enrolled, milliseconds since 1970 UTC.
    pub enrolled_ms: i64,
    /// Last exchange, milliseconds since 1970 UTC.
    pub last_contact_ms: Option<i64>,
    /// Device clock less server clock at the last exchange, in milliseconds.
    pub clock_skew_ms: Option<i64>,
    /// When it was revoked, milliseconds since 1970 UTC.
    pub revoked_ms: Option<i64>,
    /// Changes that it has stated, signed, and not brought yet; `None` where none are known of. What it has not stated
    /// nobody but the device knows.
    pub to_send: Option<u64>,
}

const DEVICE_COLUMNS: &str = "devices.id, devices.name, devices.user, users.name, users.unit, enrolled_ms, \
     last_contact_ms, clock_skew_ms, revoked_ms FROM devices JOIN users ON users.id = devices.user";

fn device_of(row: &Row<'_>) -> sql::Result<DeviceRow> {
    Ok(DeviceRow {
        id: DeviceId(row.get(0)?),
        name: row.get(1)?,
        user: UserId(row.get(2)?),
        user_name: row.get(3)?,
        unit: row.get(4)?,
        enrolled_ms: row.get(5)?,
        last_contact_ms: row.get(6)?,
        clock_skew_ms: row.get(7)?,
        revoked_ms: row.get(8)?,
        to_send: None,
    })
}

/// Changes that a device has stated and not brought: those behind the last one that was taken.
fn to_send(tx: &Connection, id: DeviceId) -> Result<Option<u64>, StoreError> {
    let text = "SELECT taken_statement, taken_index FROM devices WHERE id = ?1";
    let (number, index): (Option<u64>, Option<u64>) =
        tx.prepare(text)?.query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (number, taken) = (number.unwrap_or(0), index.map_or(0, |index| index + 1));
    let text = "SELECT bytes FROM statements WHERE device = ?1 AND number >= ?2 ORDER BY number LIMIT ?3";
    let mut statement = tx.prepare(text)?;
    let rows = statement.query_map((id.as_bytes(), number, STATEMENTS_MAX), |row| row.get::<Vec<u8>>(0))?;
    let mut stated: u64 = 0;
    for bytes in rows {
        let read = from_cbor::<Statement>(&bytes?).ok_or_else(|| StoreError::corrupt("statement", id))?;
        stated += read.changes.len() as u64;
    }
    Ok(Some(stated.saturating_sub(taken)).filter(|left| *left > 0))
}

/// Every device, by user.
pub(crate) fn all(tx: &Connection) -> Result<Vec<DeviceRow>, StoreError> {
    let mut statement = tx.prepare(&format!("SELECT {DEVICE_COLUMNS} ORDER BY users.name, enrolled_ms"))?;
    Ok(statement.query_map((), device_of)?.collect::<Result<_, _>>()?)
}

/// The same with what each has still to send, as far as it is known.
pub(crate) fn fill_to_send(tx: &Connection, devices: &mut [DeviceRow]) -> Result<(), StoreError> {
    for device in devices.iter_mut().filter(|device| device.revoked_ms.is_none()) {
        device.to_send = to_send(tx, device.id)?;
    }
    Ok(())
}

/// The device with this id.
pub(crate) fn device(tx: &Connection, id: DeviceId) -> Result<Option<DeviceRow>, StoreError> {
    let mut statement = tx.prepare(&format!("SELECT {DEVICE_COLUMNS} WHERE devices.id = ?1"))?;
    Ok(statement.query_row([id.as_bytes()], device_of).optional()?)
}

impl Store {
    /// Every device, by user name.
    ///
    /// # Errors
    /// What the database said.
    pub fn devices(&self) -> Result<Vec<DeviceRow>, StoreError> {
        self.read(all)
    }

    /// Revokes a device at once and for ever. Returns whether it was not revoked before.
    ///
    /// # Errors
    /// `device_unknown`; else what the database said.
    pub fn revoke_device(&self, id: DeviceId) -> Result<bool, StoreError> {
        self.write(|tx| {
            if device(tx, id)?.is_none() {
                return Err(StoreError::from(Problem::new("device_unknown").with("device", id)));
            }
            self.revoke_in(tx, None, id)
        })
    }

    /// As [`Self::revoke_device`], for `by`, of a device that is there.
    pub(super) fn revoke_in(&self, tx: &Connection, by: Option<UserId>, id: DeviceId) -> Result<bool, StoreError> {
        let now_ms = self.now_ms();
        let sql = "UPDATE devices SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL";
        let fresh = tx.execute(sql, (id.as_bytes(), now_ms))? == 1;
        if fresh {
            audit(tx, now_ms, by, "revoke", &id.to_string(), "")?;
            apart::append(self.folder(), &Line::Revoked(id))?;
        }
        Ok(fresh)
    }

    /// Gives `actor` to a device and user for ever, and tells so in the general feed of `unit`. False if it belongs to
    /// another device or user.
    pub(crate) fn claim(
        &self,
        tx: &Connection,
        actor: ActorId,
        device: DeviceId,
        user: &UserRow,
        unit: &str,
    ) -> Result<bool, StoreError> {
        let text = "SELECT device, user FROM actors WHERE actor = ?1";
        let held: Option<([u8; 16], [u8; 16])> =
            tx.query_row(text, [actor.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        if let Some(held) = held {
            return Ok(held == (device.0, user.id.0));
        }
        tx.execute(
            "INSERT INTO actors(actor, device, user) VALUES (?1, ?2, ?3)",
            (actor.as_bytes(), device.as_bytes(), user.id.as_bytes()),
        )?;
        let feed = feeds::feed_for(tx, unit, Area::General)?;
        let notice = Notice::Actor { actor, device, user: user.id, name: user.name.clone() };
        feeds::append_notice(tx, &feed, self.now_ms(), None, &notice)?;
        Ok(true)
    }
}

/// Notes a verdict for a device, unless one on the same change waits already.
pub(crate) fn put_verdict(tx: &Connection, device: DeviceId, verdict: &Verdict) -> Result<bool, StoreError> {
    let mut known = tx.prepare("SELECT 1 FROM verdicts WHERE device = ?1 AND hash = ?2")?;
    if known.exists((device.as_bytes(), verdict.change.as_bytes()))? {
        return Ok(false);
    }
    let number: u64 = tx
        .prepare("UPDATE devices SET verdict = verdict + 1 WHERE id = ?1 RETURNING verdict")?
        .query_row([device.as_bytes()], |row| row.get(0))?;
    tx.prepare("INSERT INTO verdicts(device, number, hash, verdict) VALUES (?1, ?2, ?3, ?4)")?.execute((
        device.as_bytes(),
        number,
        verdict.change.as_bytes(),
        to_cbor(verdict),
    ))?;
    Ok(true)
}

/// What a device was still to be told about a change no longer holds.
pub(crate) fn drop_verdict(tx: &Connection, device: DeviceId, change: &ChangeHash) -> Result<(), StoreError> {
    let sql = "DELETE FROM verdicts WHERE device = ?1 AND hash = ?2";
    tx.prepare(sql)?.execute((device.as_bytes(), change.as_bytes()))?;
    Ok(())
}
