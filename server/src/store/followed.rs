//! What a device follows and may do.

use std::collections::HashMap;

use crate::sql::Connection;
use fieldbook_core::access::FeedId;
use fieldbook_core::ids::{DeviceId, UserId};
use fieldbook_core::protocol::limits::DEVICE_FEEDS_MAX;
use fieldbook_core::sync::server::Scope;
use sha2::{Digest, Sha256};

use super::{StoreError, feeds, units, users};

fn own_unit(tx: &Connection, user: UserId) -> Result<Option<String>, StoreError> {
    Ok(users::user(tx, user)?.map(|user| user.unit))
}

/// Feeds that a user follows: all in reach that were ever written to, and those of the user's own unit, to which new
/// records go.
pub(super) fn followed(tx: &Connection, user: UserId) -> Result<Vec<(FeedId, u32)>, StoreError> {
    let own = own_unit(tx, user)?;
    let first_epoch = feeds::epoch(tx)?;
    let there: HashMap<FeedId, u32> = feeds::all(tx)?.into_iter().map(|feed| (feed.id, feed.epoch)).collect();
    let mut followed = Vec::new();
    for (unit, area) in units::scope(tx, user)? {
        let id = FeedId { unit, area };
        match there.get(&id) {
            Some(epoch) => followed.push((id, *epoch)),
            None if own.as_ref() == Some(&id.unit) => followed.push((id, first_epoch)),
            None => {}
        }
    }
    followed.sort();
    followed.truncate(DEVICE_FEEDS_MAX);
    Ok(followed)
}

/// What the device follows now, whether that is other than when it was last written, and its hash.
pub(super) fn scope_of(tx: &Connection, device: &DeviceId) -> Result<(Scope, bool, [u8; 32]), StoreError> {
    let sql = "SELECT user, registry, registry_hash FROM devices WHERE id = ?1";
    let mut statement = tx.prepare(sql)?;
    let (user, registry, known): ([u8; 16], u64, Option<[u8; 32]>) =
        statement.query_row([device.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let feeds = followed(tx, UserId(user))?;
    let roles = units::roles(tx, UserId(user))?;
    let unit = own_unit(tx, UserId(user))?.unwrap_or_default();
    let mut hash = Sha256::new();
    for (feed, epoch) in &feeds {
        hash.update(format!("{feed} {epoch}\n"));
    }
    for (role, unit) in &roles {
        hash.update(format!("{role}@{unit}\n"));
    }
    hash.update(format!("{unit}\n"));
    let hash: [u8; 32] = hash.finalize().into();
    let changed = known != Some(hash);
    let registry = if changed { registry + 1 } else { registry };
    Ok((Scope { registry, feeds, roles, unit }, changed, hash))
}
