//! A successor of the root key: announced to every phone first, and only then in the root's place.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use fieldbook_core::access::{Area, FeedId};
use fieldbook_core::protocol::Notice;
use fieldbook_core::sync::cursors::CursorSet;
use fieldbook_core::sync::from_cbor;

use super::audit::audit;
use super::{DeviceRow, Problem, Store, StoreError, devices, feeds, meta, set_meta, units};
use crate::identity::{self, Identity};
use crate::sql::Connection;

/// Key of `meta`: the successor's private key.
const NEXT_ROOT_KEY: &str = "next_root_key";
/// Key of `meta`: when it was announced, when it takes over (both milliseconds since 1970 UTC), and at which position of the
/// topmost unit's general feed, as text.
const NEXT_ROOT: &str = "next_root";
/// Key of `meta`: the public key of the successor that a backup holds. Not a time: clocks go back.
const BACKED_UP: &str = "next_root_backed_up";
const DAY_MS: i64 = 86_400_000;

/// A successor that was announced and has not taken over.
#[derive(Debug, Clone)]
pub struct Succession {
    /// Its public key.
    pub root: [u8; 32],
    /// When it was announced, milliseconds since 1970 UTC.
    pub announced_ms: i64,
    /// When it takes over by itself, milliseconds since 1970 UTC.
    pub from_ms: i64,
    /// A backup that holds it was made.
    pub backed_up: bool,
    /// Devices that may sync and have not heard of it: where it takes over, they need a new link.
    pub unaware: Vec<DeviceRow>,
}

struct Next {
    key: SigningKey,
    announced_ms: i64,
    from_ms: i64,
    position: u64,
}

fn next(tx: &Connection) -> Result<Option<Next>, StoreError> {
    let (Some(key), Some(text)) = (meta(tx, NEXT_ROOT_KEY)?, meta(tx, NEXT_ROOT)?) else { return Ok(None) };
    let damaged = || StoreError::corrupt("key", NEXT_ROOT);
    let seed = <[u8; 32]>::try_from(key.as_slice()).map_err(|_| damaged())?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let numbers: Vec<i64> = text.split(' ').filter_map(|part| part.parse().ok()).collect();
    let [announced_ms, from_ms, position] = numbers[..] else { return Err(damaged()) };
    let position = u64::try_from(position).map_err(|_| damaged())?;
    Ok(Some(Next { key: SigningKey::from_bytes(&seed), announced_ms, from_ms, position }))
}

fn succession(tx: &Connection, next: &Next) -> Result<Succession, StoreError> {
    let root = next.key.verifying_key().to_bytes();
    Ok(Succession {
        root,
        announced_ms: next.announced_ms,
        from_ms: next.from_ms,
        backed_up: meta(tx, BACKED_UP)?.is_some_and(|held| held == root),
        unaware: unaware(tx, next.position)?,
    })
}

/// The public key of the successor that waits.
pub(super) fn waiting_root(tx: &Connection) -> Result<Option<[u8; 32]>, StoreError> {
    Ok(next(tx)?.map(|next| next.key.verifying_key().to_bytes()))
}

/// A backup holds this successor.
pub(super) fn is_backed_up(tx: &Connection, root: &[u8; 32]) -> Result<(), StoreError> {
    set_meta(tx, BACKED_UP, root)
}

/// Devices that have not confirmed a cursor at or behind the announcement.
fn unaware(tx: &Connection, position: u64) -> Result<Vec<DeviceRow>, StoreError> {
    let root = units::root(tx)?.ok_or_else(|| Problem::new("no_units"))?;
    let feed = FeedId { unit: root.code, area: Area::General };
    let mut sets = tx.prepare("SELECT confirmed_a, confirmed_b FROM devices WHERE id = ?1")?;
    let mut found = Vec::new();
    for device in devices::all(tx)?.into_iter().filter(|device| device.revoked_ms.is_none()) {
        let sets: (Option<Vec<u8>>, Option<Vec<u8>>) =
            sets.query_row([device.id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let sets = [sets.0, sets.1].into_iter().flatten().filter_map(|set| from_cbor::<CursorSet>(&set));
        let knows = sets.flat_map(|set| set.cursors).any(|at| at.feed == feed && at.position >= position);
        if !knows {
            found.push(device);
        }
    }
    Ok(found)
}

impl Store {
    /// Root, leaf and signing keys, as they are now.
    #[must_use]
    pub fn identity(&self) -> Arc<Identity> {
        let held = self.identity.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(&held)
    }

    fn hold(&self, identity: Identity) {
        *self.identity.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(identity);
    }

    /// The successor that waits, if there is one.
    ///
    /// # Errors
    /// What the database said.
    pub fn succession(&self) -> Result<Option<Succession>, StoreError> {
        self.read(|tx| next(tx)?.map(|next| succession(tx, &next)).transpose())
    }

    /// Draws a successor of the root key and announces it to every device, in an entry that the present root signs. It takes
    /// over after so many days, once a backup holds it.
    ///
    /// # Errors
    /// `succession_waits` where one is announced already, `no_units`; what the database said.
    pub fn announce_root(&self, after_days: u32) -> Result<Succession, StoreError> {
        let (identity, now_ms) = (self.identity(), self.now_ms());
        self.write(|tx| {
            if next(tx)?.is_some() {
                return Err(Problem::new("succession_waits").into());
            }
            let top = units::root(tx)?.ok_or_else(|| Problem::new("no_units"))?;
            let key = identity::draw(self.random.as_ref());
            let root = key.verifying_key().to_bytes();
            let feed = feeds::feed_for(tx, &top.code, Area::General)?;
            let notice = Notice::Root { root, signature: identity.announce(self.log, &root) };
            feeds::append_notice(tx, &feed, now_ms, None, &notice)?;
            let from_ms = now_ms.saturating_add(i64::from(after_days) * DAY_MS);
            let position = feed.position + 1;
            set_meta(tx, NEXT_ROOT_KEY, key.as_bytes())?;
            set_meta(tx, NEXT_ROOT, format!("{now_ms} {from_ms} {position}").as_bytes())?;
            audit(tx, now_ms, None, "root_announced", &hex::encode(root), "")?;
            succession(tx, &Next { key, announced_ms: now_ms, from_ms, position })
        })
    }

    /// The successor takes the root's place, before its time if need be.
    ///
    /// # Errors
    /// `no_succession`, `backup_first`; `devices_unaware` where devices have not heard of it, unless they may be left
    /// behind; what the database said.
    pub fn take_over(&self, leave_behind: bool) -> Result<(), StoreError> {
        let identity = Identity::clone(&self.identity());
        let taken = self.write(|tx| {
            let next = next(tx)?.ok_or_else(|| Problem::new("no_succession"))?;
            let state = succession(tx, &next)?;
            if !state.backed_up {
                return Err(Problem::new("backup_first").into());
            }
            if !leave_behind && !state.unaware.is_empty() {
                return Err(Problem::new("devices_unaware").with("count", state.unaware.len()).into());
            }
            let now_ms = self.now_ms();
            audit(tx, now_ms, None, "root_took_over", &hex::encode(state.root), &state.unaware.len().to_string())?;
            tx.execute("DELETE FROM meta WHERE key IN (?1, ?2, ?3)", (NEXT_ROOT_KEY, NEXT_ROOT, BACKED_UP))?;
            identity.under(tx, next.key, now_ms)
        })?;
        self.hold(taken);
        Ok(())
    }

    /// What time brings: a successor whose day has come, that a backup holds and of which every device has heard takes over, a
    /// certificate that ends soon is made anew, and what another process changed of either is taken up. True if something is
    /// another than before. No clock alone, which may be wrong, leaves a device behind: only an administrator does.
    ///
    /// # Errors
    /// What the database said.
    pub fn keep_identity(&self) -> Result<bool, StoreError> {
        let (before, now_ms) = (self.identity(), self.now_ms());
        let (stored, waiting) = self.read(|tx| Ok((Identity::load(tx)?, next(tx)?)))?;
        let stored = stored.ok_or_else(|| StoreError::corrupt("key", "no identity"))?;
        if waiting.is_some_and(|next| next.from_ms <= now_ms) {
            match self.take_over(false) {
                Ok(()) => return Ok(true),
                // `doctor` and `key status` say what it waits for.
                Err(StoreError::Problem(problem)) if ["backup_first", "devices_unaware"].contains(&problem.word) => {
                    tracing::debug!(wait = problem.word, "a successor of the root key waits");
                }
                Err(other) => return Err(other),
            }
        }
        if stored.is_due(now_ms) {
            let renewed = self.write(|tx| {
                let stored = Identity::load(tx)?.ok_or_else(|| StoreError::corrupt("key", "no identity"))?;
                stored.renewed_when_due(tx, now_ms)
            })?;
            self.hold(renewed);
            return Ok(true);
        }
        let changed = stored != *before;
        if changed {
            self.hold(stored);
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests;
