//! Devices and their enrolment.

use crate::sql;
use crate::sql::{Connection, OptionalExtension, Row};
use fieldbook_core::access::Area;
use fieldbook_core::ids::{ActorId, ChangeHash, DeviceId, UserId};
use fieldbook_core::limits::DEVICE_NAME_CHARS_MAX;
use fieldbook_core::protocol::{EnrolAnswer, Notice, Statement, Verdict};
use fieldbook_core::sync::{from_cbor, to_cbor};
use sha2::{Digest, Sha256};

use super::audit::audit;
use super::{Problem, Store, StoreError, UserRow, feeds, meta, restored, units, users};
use crate::apart::{self, Line};
use crate::code;

/// Random bytes of an enrolment code; shown as 26 digits.
const CODE_BYTES: usize = 16;
/// How long an enrolment code works.
pub const CODE_LIFETIME_MS: i64 = 24 * 3600 * 1000;

/// Statements that are looked at for what a device has still to send.
const STATEMENTS_MAX: usize = 1_000;

/// A fresh enrolment code.
#[derive(Debug, Clone)]
pub struct EnrolCode {
    /// For whom.
    pub user: UserRow,
    /// The code: 26 digits of Crockford base32, works once. Only its hash is stored.
    pub code: String,
    /// Until when, milliseconds since 1970 UTC.
    pub expires_ms: i64,
}

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

fn code_hash(text: &str) -> [u8; 32] {
    // The code has 128 random bits: one hash suffices, and looking its hash up gives nothing away by timing.
    Sha256::digest(code::canonical(text).as_bytes()).into()
}

fn areas_of(roles: &[(fieldbook_core::access::Role, String)]) -> Vec<Area> {
    let mut areas: Vec<Area> = roles.iter().flat_map(|(role, _)| role.areas().iter().copied()).collect();
    areas.sort();
    areas.dedup();
    areas
}

/// User, expiry, use and device of an enrolment.
type Enrolment = ([u8; 16], i64, Option<i64>, Option<[u8; 16]>);

impl Store {
    /// Makes a code with which one device of `user` can enrol within 24 hours.
    ///
    /// # Errors
    /// `user_unknown`, `user_ambiguous`; else what the database said.
    pub fn new_enrolment(&self, user: &str) -> Result<EnrolCode, StoreError> {
        self.write(|tx| {
            let user = users::named(tx, user)?;
            self.enrolment_for(tx, None, user)
        })
    }

    /// As [`Self::new_enrolment`], for `by`.
    pub(super) fn enrolment_for(
        &self,
        tx: &Connection,
        by: Option<UserId>,
        user: UserRow,
    ) -> Result<EnrolCode, StoreError> {
        let mut bytes = [0; CODE_BYTES];
        self.random.fill(&mut bytes);
        let code = code::encode(&bytes);
        let now_ms = self.now_ms();
        let expires_ms = now_ms.saturating_add(CODE_LIFETIME_MS);
        tx.prepare("INSERT INTO enrolments(code_hash, user, created_ms, expires_ms) VALUES (?1, ?2, ?3, ?4)")?
            .execute((code_hash(&code), user.id.as_bytes(), now_ms, expires_ms))?;
        audit(tx, now_ms, by, "enrolment", &user.id.to_string(), "")?;
        Ok(EnrolCode { user, code, expires_ms })
    }

    /// Uses up an enrolment code and registers the device. The caller has checked the signature by `device_key`.
    ///
    /// A repeated request with the same code and key gets the same device again: the answer to the first may have
    /// been lost on the way.
    ///
    /// # Errors
    /// `enrolment_code` when the code is unknown, used by another key, or expired.
    pub fn enrol(&self, code: &str, device_key: [u8; 32], name: &str) -> Result<EnrolAnswer, StoreError> {
        let hash = code_hash(code);
        let now_ms = self.now_ms();
        let name: String = name.chars().filter(|c| !c.is_control()).take(DEVICE_NAME_CHARS_MAX).collect();
        let fresh = DeviceId::random(self.random.as_ref());
        self.write(|tx| {
            let sql = "SELECT user, expires_ms, used_ms, device FROM enrolments WHERE code_hash = ?1";
            let found: Option<Enrolment> =
                tx.query_row(sql, [hash], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).optional()?;
            let refused = || StoreError::from(Problem::new("enrolment_code"));
            let (user, expires_ms, used_ms, device) = found.ok_or_else(refused)?;
            if restored::is_awaiting(tx)? {
                return Err(Problem::new("awaiting_confirmation").into());
            }
            if expires_ms < now_ms {
                return Err(refused());
            }
            let user = users::user(tx, UserId(user))?.ok_or_else(|| StoreError::corrupt("enrolment", "no user"))?;
            let device = match (used_ms, device) {
                (None, _) => {
                    add_device(tx, fresh, &user, &device_key, &name, now_ms)?;
                    tx.execute(
                        "UPDATE enrolments SET used_ms = ?2, device = ?3 WHERE code_hash = ?1",
                        (hash, now_ms, fresh.as_bytes()),
                    )?;
                    fresh
                }
                (Some(_), Some(device)) if untouched(tx, device, &device_key)? => DeviceId(device),
                _ => return Err(refused()),
            };
            self.enrol_answer(tx, device, user)
        })
    }

    fn enrol_answer(&self, tx: &Connection, device: DeviceId, user: UserRow) -> Result<EnrolAnswer, StoreError> {
        let roles = units::roles(tx, user.id)?;
        let server_name = meta(tx, "server_name")?.unwrap_or_else(|| b"Fieldbook".to_vec());
        Ok(EnrolAnswer {
            device,
            user: user.id,
            user_name: user.name,
            unit: units::wanted_unit(tx, &user.unit)?,
            areas: areas_of(&roles),
            roles,
            log: self.log(),
            server_key: self.identity().signing().verifying_key().to_bytes(),
            server_key_signature: self.identity().signing_key_signature(),
            server_name: String::from_utf8_lossy(&server_name).into_owned(),
        })
    }

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

fn add_device(
    tx: &Connection,
    id: DeviceId,
    user: &UserRow,
    key: &[u8; 32],
    name: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO devices(id, user, key, name, enrolled_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        (id.as_bytes(), user.id.as_bytes(), key, name, now_ms),
    )?;
    Ok(())
}

/// Whether the device has this key and has never exchanged anything.
fn untouched(tx: &Connection, device: [u8; 16], key: &[u8; 32]) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM devices WHERE id = ?1 AND key = ?2 AND counter = 0 AND revoked_ms IS NULL";
    Ok(tx.query_row(sql, (device, key), |_| Ok(())).optional()?.is_some())
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
