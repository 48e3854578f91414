//! What a device has seen, told to the store where that decides something: a record's move to another feed counts, for
//! what this device writes, from the request that names a cursor behind it.

use super::ServerLog;
use super::session::Caller;
use crate::protocol::Cursors;
use crate::sync::LogError;
use crate::sync::cursors::{CursorPoint, CursorSet};
use crate::sync::wire::from_cbor;

/// Called before anything of the request's frames is judged.
pub(super) fn note(log: &mut dyn ServerLog, caller: &Caller) -> Result<(), LogError> {
    if !log.awaits_cursors(&caller.device)? {
        return Ok(());
    }
    let seen: Vec<CursorPoint> = match &caller.header.cursors {
        Cursors::Digest(digest) => {
            let sets = log.cursor_sets(&caller.device)?;
            let named = sets.iter().filter_map(|set| from_cbor::<CursorSet>(set)).find(|set| set.digest() == *digest);
            named.map(|set| set.cursors).unwrap_or_default()
        }
        Cursors::Full { cursors, .. } => cursors
            .iter()
            .map(|cursor| CursorPoint {
                feed: cursor.feed.clone(),
                epoch: cursor.epoch,
                position: cursor.position,
                chain: cursor.chain,
            })
            .collect(),
    };
    log.begin_for(&caller.device)?;
    match log.note_seen(&caller.device, &seen) {
        Ok(()) => log.commit(),
        Err(failure) => {
            log.rollback();
            Err(failure)
        }
    }
}
