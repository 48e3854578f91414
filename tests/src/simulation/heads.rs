//! The signed heads that a phone keeps: whoever says what the server's log is, only the server signs it.

use fieldbook_core::protocol::SignedHead;
use fieldbook_core::sync::{from_cbor, signing};

use super::world::World;
use super::{Wrong, damage};

/// Every head that a phone keeps is the server's.
pub fn are_signed(world: &World, number: usize) -> Result<(), Wrong> {
    let device = &world.devices[number];
    let (Some(server), Some(key)) = (world.office.store(), device.database_key()) else { return Ok(()) };
    let server = signing::Signer::public_key(server.identity().signing());
    let folder = device.workshop()?;
    damage::lay_out(&folder, &device.disk.image())?;
    let asked = |error: &dyn std::fmt::Display| format!("the store of {} cannot be read: {error}", device.name);
    let store = fieldbook_sqlite::open_existing(&folder.join("fieldbook.db"), &key).map_err(|error| asked(&error))?;
    let heads = || -> fieldbook_sqlite::rusqlite::Result<Vec<Vec<u8>>> {
        let mut select = store.prepare("SELECT head FROM feed WHERE head IS NOT NULL")?;
        select.query_map([], |row| row.get(0))?.collect()
    };
    for head in heads().map_err(|error| asked(&error))? {
        let signed = from_cbor::<SignedHead>(&head).is_some_and(|head| signing::verify_head(&server, &head));
        if !signed {
            return Err(format!("{} keeps a head that the server did not sign", device.name));
        }
    }
    drop(store);
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())
}
