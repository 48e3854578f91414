//! Township hubs: which devices one serves, and what of them it is told.

use std::collections::HashMap;

use crate::sql::{Connection, OptionalExtension};
use fieldbook_core::access::{FeedId, Role};
use fieldbook_core::ids::{DeviceId, UserId};
use fieldbook_core::protocol::HostedDevice;
use fieldbook_core::protocol::limits::HOSTED_DEVICES_MAX;

use super::followed::followed;
use super::{StoreError, units};

/// Units at which the device's user is a hub, and all below.
const UNITS_OF_HUB: &str = "WITH RECURSIVE sub(code) AS (
    SELECT user_roles.unit FROM user_roles JOIN devices ON devices.user = user_roles.user
    WHERE devices.id = ?1 AND role = ?2
    UNION SELECT units.code FROM units JOIN sub ON parent = sub.code)";

/// The user of a device, if there is such a device.
fn user_of(tx: &Connection, device: &DeviceId) -> Result<Option<UserId>, StoreError> {
    let mut statement = tx.prepare("SELECT user FROM devices WHERE id = ?1")?;
    Ok(statement.query_row([device.as_bytes()], |row| row.get(0)).optional()?.map(UserId))
}

/// Does `hub` serve `device`?
pub(crate) fn hosts(tx: &Connection, hub: &DeviceId, device: &DeviceId) -> Result<bool, StoreError> {
    let sql = format!(
        "{UNITS_OF_HUB} SELECT 1 FROM devices JOIN users ON users.id = devices.user JOIN sub ON sub.code = users.unit
         WHERE devices.id = ?3 AND devices.id <> ?1"
    );
    Ok(tx.prepare(&sql)?.exists((hub.as_bytes(), Role::Hub.word(), device.as_bytes()))?)
}

/// The devices that `hub` serves, sorted; `None` if it is no hub.
pub(crate) fn hosted(tx: &Connection, hub: &DeviceId) -> Result<Option<Vec<HostedDevice>>, StoreError> {
    let Some(user) = user_of(tx, hub)? else { return Ok(None) };
    if !units::roles(tx, user)?.iter().any(|(role, _)| *role == Role::Hub) {
        return Ok(None);
    }
    let own: Vec<FeedId> = followed(tx, user)?.into_iter().map(|(feed, _)| feed).collect();
    let sql = format!(
        "{UNITS_OF_HUB} SELECT devices.id, key, devices.user, revoked_ms IS NOT NULL
         FROM devices JOIN users ON users.id = devices.user JOIN sub ON sub.code = users.unit
         WHERE devices.id <> ?1 ORDER BY devices.id LIMIT ?3"
    );
    let mut statement = tx.prepare(&sql)?;
    let mut rows = statement.query((hub.as_bytes(), Role::Hub.word(), HOSTED_DEVICES_MAX))?;
    // Several devices of one user read the same.
    let mut read: HashMap<UserId, Vec<u32>> = HashMap::new();
    let mut hosted = Vec::new();
    while let Some(row) = rows.next_row()? {
        let user = UserId(row.get(2)?);
        let feeds = match read.get(&user) {
            Some(feeds) => feeds.clone(),
            None => {
                let feeds = shared(&own, &followed(tx, user)?);
                read.insert(user, feeds.clone());
                feeds
            }
        };
        hosted.push(HostedDevice {
            device: DeviceId(row.get(0)?),
            key: row.get(1)?,
            user,
            revoked: row.get(3)?,
            feeds,
        });
    }
    Ok(Some(hosted))
}

/// Where the feeds of a device stand in the hub's list; both are sorted.
fn shared(own: &[FeedId], others: &[(FeedId, u32)]) -> Vec<u32> {
    let at = |feed: &FeedId| own.binary_search(feed).ok().and_then(|at| u32::try_from(at).ok());
    others.iter().filter_map(|(feed, _)| at(feed)).collect()
}
