//! What an installation is across starts: its database key, its actor, its settings.

use std::path::Path;

use super::ErrorKind;
use super::error::Fault;
use super::text::Text;
use crate::access::Decision;
use crate::document::{Document, ReviewMark};
use crate::ids::ActorId;
use crate::ports::{Clock, Disk, KeyVault, Random};
use crate::protocol::Review;
use crate::store::{ReviewRow, Store, View, Write};

/// Bytes of the database key.
pub(super) const DATABASE_KEY_BYTES: usize = 32;
/// Vault: the database key.
const VAULT_DATABASE_KEY: &str = "database-key";
/// Vault: the device's Ed25519 signing key.
pub(super) const VAULT_DEVICE_KEY: &str = "device-key";
/// Vault and setting: the actor under which this installation writes; they must agree.
const ACTOR: &str = "actor";
/// Setting: the actors under which this installation wrote, 16 bytes each, the one it writes under last.
const OWN_ACTORS: &str = "own_actors";
/// Actors that are remembered: a form that stays open while more are drawn takes what was saved before for another's.
pub(super) const OWN_ACTORS_MAX: usize = 64;
/// All that the vault holds for a phone, the key of everything first.
pub(super) const VAULT_NAMES: [&str; 3] = [VAULT_DATABASE_KEY, VAULT_DEVICE_KEY, ACTOR];
/// Setting: when the system booted that the store was last opened in, milliseconds since 1970 UTC (8 bytes).
const BOOTED_MS: &str = "booted_ms";
/// Setting: what was on this phone before was erased, because its device was revoked.
pub(super) const REVOKED: &str = "revoked";
/// Setting: the last sync that ended well, milliseconds since 1970 UTC (8 bytes).
const LAST_SYNC_MS: &str = "last_sync_ms";
/// Clock corrections up to here are no new boot.
const BOOT_TOLERANCE_MS: i64 = 10_000;

/// The key of the store in `folder`: from the vault, or drawn if neither it nor the store exists.
pub(super) fn database_key(
    folder: &Path,
    vault: &dyn KeyVault,
    random: &dyn Random,
    disk: &dyn Disk,
) -> Result<[u8; 32], Fault> {
    if let Some(key) = vault.load(VAULT_DATABASE_KEY)? {
        return <[u8; 32]>::try_from(key.as_slice()).map_err(|_| {
            Fault::new(ErrorKind::WrongKey, Text::WrongKey, "").detail("the vault's key has no 32 bytes")
        });
    }
    if disk.length_bytes(&folder.join("fieldbook.db")).is_some() {
        // A new key would open nothing, and storing it would hide that the old one is gone.
        return Err(Fault::new(ErrorKind::WrongKey, Text::WrongKey, "").detail("the vault holds no key of this store"));
    }
    let mut key = [0; 32];
    random.fill(&mut key);
    vault.store(VAULT_DATABASE_KEY, &key)?;
    Ok(key)
}

/// Draws a new actor where the old one could have written changes that this store does not hold: at the first start,
/// when vault and store don't fit, and after an unclean stop in an earlier boot, when a power cut may have taken the
/// last saves with it. Two changes under one actor and number would be a fork.
pub(super) fn settle_actor(
    store: &Store,
    vault: &dyn KeyVault,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<(), Fault> {
    let booted_ms = clock.now_ms().saturating_sub(i64::try_from(clock.boot_ms()).unwrap_or(i64::MAX));
    let in_vault = vault.load(ACTOR)?;
    let (stored, stored_boot) = store.read(|view| Ok::<_, Fault>((view.setting(ACTOR)?, number(view, BOOTED_MS)?)))?;
    let same_boot = stored_boot.is_some_and(|before| (booted_ms - before).abs() <= BOOT_TOLERANCE_MS);
    let fits = stored.is_some() && stored == in_vault;
    if fits && (store.stopped_cleanly() || same_boot) {
        if !same_boot {
            store.write(|write| Ok::<_, Fault>(write.put_setting(BOOTED_MS, &booted_ms.to_be_bytes())?))?;
        }
        return Ok(());
    }
    let fresh = ActorId::random(random);
    store.write(|write| {
        put_actor(write, fresh)?;
        write.put_setting(BOOTED_MS, &booted_ms.to_be_bytes())?;
        Ok::<_, Fault>(())
    })?;
    vault.store(ACTOR, fresh.as_bytes())?;
    Ok(())
}

/// The actor under which this installation writes.
pub(super) fn actor(view: View<'_>) -> Result<ActorId, Fault> {
    let bytes = view.setting(ACTOR)?.ok_or_else(|| Fault::internal("the store holds no actor"))?;
    ActorId::from_slice(&bytes).map_err(Fault::internal)
}

/// From now on this installation writes under `actor`; [`vault_follows`] makes the vault agree.
pub(super) fn put_actor(write: &Write<'_>, actor: ActorId) -> Result<(), Fault> {
    write.put_setting(ACTOR, actor.as_bytes())?;
    let mut own = own_actors(write.view())?;
    own.push(actor);
    let bytes: Vec<u8> = own.iter().rev().take(OWN_ACTORS_MAX).rev().flat_map(|own| own.0).collect();
    Ok(write.put_setting(OWN_ACTORS, &bytes)?)
}

/// The actors under which this installation wrote, as far as nobody else did.
pub(super) fn own_actors(view: View<'_>) -> Result<Vec<ActorId>, Fault> {
    let bytes = view.setting(OWN_ACTORS)?.unwrap_or_default();
    Ok(bytes.as_chunks::<16>().0.iter().map(|actor| ActorId(*actor)).collect())
}

/// A clone of this installation wrote under the same actors: from now on what they carry may be anybody's.
pub(super) fn doubt_own_actors(write: &Write<'_>) -> Result<(), Fault> {
    Ok(write.put_setting(OWN_ACTORS, &[])?)
}

/// The review of a record that stands, with the submission that it read.
pub(super) fn last_review(view: View<'_>, document: &Document) -> Result<Option<ReviewMark>, Fault> {
    let mut rows = view.reviews(&document.record().id)?;
    let review = |row: &ReviewRow| {
        minicbor::decode::<Review>(&row.bytes).map_err(|error| Fault::internal(format!("stored review: {error}")))
    };
    let mut reviews = rows.iter().map(review).collect::<Result<Vec<_>, _>>()?;
    let decisions: Vec<Decision> = reviews.iter().map(|review| review.decision).collect();
    let Some(at) = Decision::standing(&decisions) else { return Ok(None) };
    let (row, review) = (rows.swap_remove(at), reviews.swap_remove(at));
    let known = review.heads.iter().all(|head| document.contains(head));
    let submission = if known { document.submission_at(&review.heads) } else { row.submission };
    Ok(Some(ReviewMark { decision: review.decision, heads: review.heads, submission }))
}

/// After a sync that may have changed the actor (a fork): the vault follows the store.
pub(super) fn vault_follows(store: &Store, vault: &dyn KeyVault) -> Result<(), Fault> {
    let stored = store.read(|view| Ok::<_, Fault>(view.setting(ACTOR)?))?;
    match stored {
        Some(actor) if vault.load(ACTOR)?.as_ref() != Some(&actor) => Ok(vault.store(ACTOR, &actor)?),
        _ => Ok(()),
    }
}

fn number(view: View<'_>, name: &str) -> Result<Option<i64>, Fault> {
    Ok(view.setting(name)?.and_then(|bytes| <[u8; 8]>::try_from(bytes.as_slice()).ok()).map(i64::from_be_bytes))
}

/// When a sync last ended well, milliseconds since 1970 UTC by the phone's clock.
pub(super) fn last_sync_ms(view: View<'_>) -> Result<Option<i64>, Fault> {
    number(view, LAST_SYNC_MS)
}

/// Notes that a sync ended well.
pub(super) fn note_sync(write: &Write<'_>, now_ms: i64) -> Result<(), Fault> {
    Ok(write.put_setting(LAST_SYNC_MS, &now_ms.to_be_bytes())?)
}
