//! Links by which devices enrol: a code of 128 random bits, of which only the hash is stored.

use std::collections::HashMap;

use fieldbook_core::access::Area;
use fieldbook_core::ids::{DeviceId, UserId};
use fieldbook_core::limits::DEVICE_NAME_CHARS_MAX;
use fieldbook_core::protocol::EnrolAnswer;
use sha2::{Digest, Sha256};

use super::audit::audit;
use super::{Problem, Store, StoreError, UserRow, meta, restored, units, users};
use crate::code;
use crate::sql::{Connection, OptionalExtension};

/// Random bytes of an enrolment code; shown as 26 digits.
const CODE_BYTES: usize = 16;
/// Days for which a link works that is shown on a screen.
pub const LINK_DAYS: u8 = 1;
/// Days for which the links of a printed sheet work: it is carried to the townships.
pub const SHEET_DAYS: u8 = 7;
/// Days for which a link can work: whoever finds it meanwhile enrols in its person's name.
pub const LINK_DAYS_MAX: u8 = 30;
/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3600 * 1000;

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
    /// Makes a code with which one device of `user` can enrol within so many days, 1 to [`LINK_DAYS_MAX`]. A code that
    /// the user had and did not use works no longer.
    ///
    /// # Errors
    /// `user_unknown`, `user_ambiguous`, `days_out_of_range`; else what the database said.
    pub fn new_enrolment(&self, user: &str, days: u8) -> Result<EnrolCode, StoreError> {
        self.write(|tx| {
            let user = users::named(tx, user)?;
            self.enrolment_for(tx, None, user, days)
        })
    }

    /// As [`Self::new_enrolment`], for `by`.
    pub(super) fn enrolment_for(
        &self,
        tx: &Connection,
        by: Option<UserId>,
        user: UserRow,
        days: u8,
    ) -> Result<EnrolCode, StoreError> {
        if !(1..=LINK_DAYS_MAX).contains(&days) {
            return Err(Problem::new("days_out_of_range").with("max", LINK_DAYS_MAX).into());
        }
        let mut bytes = [0; CODE_BYTES];
        self.random.fill(&mut bytes);
        let code = code::encode(&bytes);
        let now_ms = self.now_ms();
        let expires_ms = now_ms.saturating_add(i64::from(days) * DAY_MS);
        withdraw(tx, user.id)?;
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
}

/// Codes of the user that were not used work no longer.
pub(super) fn withdraw(tx: &Connection, user: UserId) -> Result<(), StoreError> {
    tx.prepare("DELETE FROM enrolments WHERE user = ?1 AND used_ms IS NULL")?.execute([user.as_bytes()])?;
    Ok(())
}

/// Until when an unused code works, by user, milliseconds since 1970 UTC.
pub(super) fn open_until(tx: &Connection, now_ms: i64) -> Result<HashMap<[u8; 16], i64>, StoreError> {
    let text = "SELECT user, max(expires_ms) FROM enrolments WHERE used_ms IS NULL AND expires_ms >= ?1 GROUP BY user";
    let mut statement = tx.prepare(text)?;
    Ok(statement.query_map([now_ms], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
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
