//! What a transaction holds against those that write beside it, in other processes, on PostgreSQL.
//!
//! Whatever a device's exchange writes belongs to that device, to records, or to feeds, so exchanges write beside each other
//! and hold these: the device, then the records of a frame, then their feeds, each sorted. Everything else that writes
//! (the console, enrolment, restores) is rare, and writes alone. An embedded database has one writer anyway.

use fieldbook_core::access::FeedId;
use fieldbook_core::ids::{DeviceId, RecordId};
use sha2::{Digest, Sha256};

use super::StoreError;
use crate::sql::Connection;

/// Something that one transaction at a time may change.
pub(super) enum Held<'a> {
    Device(&'a DeviceId),
    Record(&'a RecordId),
    Feed(&'a FeedId),
    /// The order of the records' serials: whoever follows them must not meet a lower one behind a higher one, so they are
    /// drawn at the end of a transaction and committed in the order in which they are drawn.
    Serials,
}

impl Held<'_> {
    /// Its number as a lock. Two that share one only wait for each other without need.
    fn key(&self) -> i64 {
        let hash = match self {
            Self::Device(id) => Sha256::new().chain_update("device").chain_update(id.as_bytes()),
            Self::Record(id) => Sha256::new().chain_update("record").chain_update(id.as_bytes()),
            Self::Feed(id) => Sha256::new().chain_update("feed").chain_update(id.to_string()),
            Self::Serials => Sha256::new().chain_update("serials"),
        };
        let mut key = [0; 8];
        key.copy_from_slice(&hash.finalize()[..8]);
        i64::from_be_bytes(key)
    }
}

/// Holds these, in one order for all, until the transaction ends; nothing to do where it is the only one that writes.
pub(super) fn hold<'a>(tx: &Connection, held: impl IntoIterator<Item = Held<'a>>) -> Result<(), StoreError> {
    if !tx.is_sharing() {
        return Ok(());
    }
    let mut keys: Vec<i64> = held.into_iter().map(|held| held.key()).collect();
    keys.sort_unstable();
    keys.dedup();
    Ok(tx.hold(&keys)?)
}

#[cfg(test)]
mod tests;
