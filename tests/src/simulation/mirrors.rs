//! What must hold at a township hub, and of what phones show as held by one.

use std::collections::{BTreeMap, BTreeSet};

use fieldbook_core::access::{Area, FeedId};
use fieldbook_core::ids::{ChangeHash, RecordId};
use fieldbook_core::protocol::{EntryBody, SignedHead, Statement, change_hash};
use fieldbook_core::store::{ListFilter, SyncState};
use fieldbook_core::sync::{chain, from_cbor, signing};
use fieldbook_server::hub::HubStore;
use fieldbook_server::store::{Store, StoreError};

use super::forms::KINDS;
use super::restores::Stage;
use super::world::World;
use super::{Wrong, model, office};

/// Records at the township that are looked at.
const LISTED_MAX: usize = 30;

/// An entry of the mirror.
struct Kept {
    position: u64,
    received_ms: i64,
    hash: Option<[u8; 32]>,
    salt: Option<[u8; 8]>,
    chain: [u8; 32],
    body: Vec<u8>,
}

/// A feed of the mirror, with its signed heads.
struct Mirrored {
    feed: FeedId,
    epoch: u32,
    position: u64,
    chain: [u8; 32],
    entries: Vec<Kept>,
    heads: Vec<HeadRow>,
}

/// Position, epoch, chain, time, signature.
type HeadRow = (u64, u32, [u8; 32], i64, [u8; 64]);
/// By unit and area: position and chain.
type Feeds = BTreeMap<(String, String), (u64, [u8; 32])>;

/// Number, unit, area, epoch, position, chain.
type FeedRow = (i64, String, String, u32, u64, [u8; 32]);

fn feeds(store: &HubStore) -> Result<Vec<Mirrored>, StoreError> {
    store.read(|tx| {
        let mut listed = tx.prepare("SELECT id, unit, area, epoch, position, chain FROM feeds ORDER BY unit, area")?;
        let rows = listed
            .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)))?;
        let rows = rows.collect::<Result<Vec<FeedRow>, _>>()?;
        let mut entries = tx.prepare(
            "SELECT position, received_ms, hash, (SELECT salt FROM records WHERE id = record), chain, body
             FROM entries WHERE feed = ?1 ORDER BY position",
        )?;
        let mut heads = tx.prepare(
            "SELECT position, epoch, chain, time_ms, signature FROM heads WHERE feed = ?1 ORDER BY position",
        )?;
        let mut found = Vec::new();
        for (id, unit, area, epoch, position, chain) in rows {
            let kept = entries.query_map([id], |row| {
                Ok(Kept {
                    position: row.get(0)?,
                    received_ms: row.get(1)?,
                    hash: row.get(2)?,
                    salt: row.get(3)?,
                    chain: row.get(4)?,
                    body: row.get(5)?,
                })
            })?;
            let kept = kept.collect::<Result<_, _>>()?;
            let signed = heads
                .query_map([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?
                .collect::<Result<_, _>>()?;
            let area = Area::from_word(&area).ok_or_else(|| StoreError::corrupt("area", &area))?;
            found.push(Mirrored { feed: FeedId { unit, area }, epoch, position, chain, entries: kept, heads: signed });
        }
        Ok(found)
    })
}

/// The store of a hub that runs.
fn running(world: &World, number: usize) -> Option<std::sync::Arc<HubStore>> {
    let hub = &world.hubs[number];
    let process = hub.process.as_ref().filter(|process| !hub.disk.is_dead() && process.sync.is_none())?;
    Some(std::sync::Arc::clone(&process.store))
}

fn asked(number: usize) -> impl Fn(StoreError) -> Wrong {
    move |error| format!("hub{number} cannot be asked: {error}")
}

/// The hub's mirror is the server's log as far as it goes: every chain comes out, every head is signed, and nothing is there
/// that the hub's role may not read.
pub fn is_sound(world: &World, number: usize) -> Result<(), Wrong> {
    let Some(store) = running(world, number) else { return Ok(()) };
    let reach = world.hubs[number].reach();
    for mirrored in feeds(&store).map_err(asked(number))? {
        let wrong = |what: String| Err(format!("hub{number}: {what} in {}", mirrored.feed));
        if !reach.contains(&(mirrored.feed.unit.clone(), mirrored.feed.area)) {
            return wrong("a hub may not read what is".to_owned());
        }
        let (mut at, mut link) = (0, chain::START);
        for kept in &mirrored.entries {
            at += 1;
            let Some(leaf) = leaf(kept).filter(|_| kept.position == at) else {
                return wrong(format!("entry {} does not read", kept.position));
            };
            link = chain::next(&link, at, kept.received_ms, &leaf);
            let name = world.hubs[number].name.as_str();
            let may =
                |tag: &str| world.ether.places(|places| places.may_read(tag, &[name], |feed| reach.contains(feed)));
            let foreign = model::markers(&kept.body).into_iter().find(|tag| !may(tag));
            if link != kept.chain || foreign.is_some() {
                return wrong(format!("entry {at} does not chain, or says what no hub may read: {foreign:?}"));
            }
        }
        if (mirrored.position, mirrored.chain) != (at, link) {
            return wrong(format!("the mirror says {}, and has {at} entries", mirrored.position));
        }
        heads_are_signed(world, &mirrored).or_else(wrong)?;
    }
    Ok(())
}

fn leaf(kept: &Kept) -> Option<[u8; 32]> {
    match (from_cbor::<EntryBody>(&kept.body)?, kept.hash) {
        (EntryBody::Change { bytes, .. }, Some(hash)) => {
            let hash = change_hash(&bytes).filter(|own| *own.as_bytes() == hash)?;
            Some(chain::change_leaf(&kept.salt?, &hash))
        }
        (EntryBody::Erased(leaf), None) => Some(leaf),
        (other, None) => chain::body_leaf(&other),
        _ => None,
    }
}

fn heads_are_signed(world: &World, mirrored: &Mirrored) -> Result<(), String> {
    let Some(server) = world.office.store() else { return Ok(()) };
    let key = signing::Signer::public_key(server.identity().signing());
    for (position, epoch, link, time_ms, signature) in &mirrored.heads {
        let here = mirrored.entries.get(*position as usize - 1).map(|kept| kept.chain);
        let head = SignedHead {
            log: server.log(),
            feed: mirrored.feed.clone(),
            epoch: *epoch,
            position: *position,
            chain: *link,
            time_ms: *time_ms,
            signature: *signature,
        };
        if here != Some(*link) || *epoch != mirrored.epoch || !signing::verify_head(&key, &head) {
            return Err(format!("the head at {position} is not the server's"));
        }
    }
    Ok(())
}

/// Bodies of which a purge must have left nothing: all but those of feeds that the hub does not follow, which wait for the
/// server to take them. Nobody tells the hub of those; they go as soon as the server has them.
const BODIES: &str = "bodies JOIN devices ON devices.id = bodies.device
    WHERE (passing = 0 OR aside = 1 OR (bodies.statement, item) <= (up_taken_statement, up_taken_index))";

/// Of feeds that it does not follow a hub keeps nothing that the server has taken.
pub fn keeps_nothing_that_passed(world: &World, number: usize) -> Result<(), Wrong> {
    let Some(store) = running(world, number) else { return Ok(()) };
    let statements = store.read(|tx| {
        let sql = "SELECT DISTINCT statements.bytes FROM bodies JOIN devices ON devices.id = bodies.device
                   JOIN statements ON statements.device = bodies.device AND statements.number = bodies.statement
                   WHERE (bodies.statement, item) <= (up_taken_statement, up_taken_index)";
        let mut statement = tx.prepare(sql)?;
        let rows = statement.query_map((), |row| row.get::<Vec<u8>>(0))?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?)
    });
    let reach = world.hubs[number].reach();
    for bytes in statements.map_err(asked(number))? {
        let Some(Statement { feed, .. }) = from_cbor(&bytes) else {
            return Err("a statement does not read".to_owned());
        };
        if !reach.contains(&(feed.unit.clone(), feed.area)) {
            return Err(format!("hub{number} keeps what the server has of {feed}, which it does not follow"));
        }
    }
    Ok(())
}

/// Nothing of these records, which were erased before the hub last heard, is at the hub.
pub fn holds_nothing_of(world: &World, number: usize, purged: &BTreeSet<RecordId>) -> Result<(), Wrong> {
    let Some(store) = running(world, number) else { return Ok(()) };
    let counted = |record: &RecordId| {
        store.read(|tx| {
            let sql = format!(
                "SELECT (SELECT count(*) FROM {BODIES} AND record = ?1) + (SELECT count(*) FROM records WHERE id = ?1)
                 + (SELECT count(*) FROM entries WHERE record = ?1 AND hash IS NOT NULL)"
            );
            Ok(tx.query_row(&sql, [record.as_bytes()], |row| row.get::<u64>(0))?)
        })
    };
    for record in purged {
        if counted(record).map_err(asked(number))? > 0 {
            return Err(format!("{record} was erased, and hub{number} holds something of it"));
        }
    }
    let texts = world.model.written.iter().filter(|one| purged.contains(&one.record)).map(|one| one.text.as_str());
    let texts: Vec<&str> = texts.collect();
    let held = bytes_held(&store).map_err(asked(number))?;
    let found = texts.iter().find(|text| held.iter().any(|bytes| holds(bytes, text)));
    found.map_or(Ok(()), |text| Err(format!("{text} was erased, and is at hub{number}")))
}

/// What hubs that will keep it have of the server's log, signed: they give it back to a server that loses it.
pub fn signed_bytes(world: &World) -> Result<Vec<Vec<u8>>, Wrong> {
    let plan = &world.plan.townships;
    if plan.falls || plan.vanish || plan.revocations {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for number in 0..world.hubs.len() {
        let Some(store) = running(world, number) else { continue };
        let signed = store.read(|tx| {
            let sql = "SELECT body FROM entries
                       WHERE position <= (SELECT max(position) FROM heads WHERE heads.feed = entries.feed)";
            let mut statement = tx.prepare(sql)?;
            let rows = statement.query_map((), |row| row.get::<Vec<u8>>(0))?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        });
        all.append(&mut signed.map_err(asked(number))?);
    }
    Ok(all)
}

/// Whether a text stands in these bytes.
pub fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// All that a hub holds of entries, and of what phones brought and a purge must find.
fn bytes_held(store: &HubStore) -> Result<Vec<Vec<u8>>, StoreError> {
    store.read(|tx| {
        let sql = format!("SELECT body FROM entries UNION ALL SELECT bodies.bytes FROM {BODIES}");
        let mut statement = tx.prepare(&sql)?;
        let rows = statement.query_map((), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
}

/// Changes and entries that the hub holds.
fn hashes_held(store: &HubStore) -> Result<BTreeSet<ChangeHash>, StoreError> {
    store.read(|tx| {
        let sql = "SELECT hash FROM entries WHERE hash IS NOT NULL UNION SELECT hash FROM bodies";
        let mut statement = tx.prepare(sql)?;
        let rows = statement.query_map((), |row| Ok(ChangeHash(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
}

/// What a phone shows as at the township is there or further, and waits for the server all the same.
pub fn at_township(world: &World, number: usize, hub: usize) -> Result<(), Wrong> {
    let device = &world.devices[number];
    let Some(process) = device.process.as_ref().filter(|_| !device.disk.is_dead() && !device.doubtful) else {
        return Ok(());
    };
    let lied = process.lied.load(std::sync::atomic::Ordering::SeqCst);
    let (Some(held), Some(server)) = (running(world, hub).filter(|_| !lied), world.office.store()) else {
        return Ok(());
    };
    // What a restored server has lost, phones gave away in good faith, and bring back when it asks.
    if matches!(world.restore, Stage::Waits | Stage::Confirmed) {
        return Ok(());
    }
    if world.hubs[hub].troubled || device.troubled || world.office.disk.is_dead() || world.plan.bad_disks {
        return Ok(());
    }
    let held = hashes_held(&held).map_err(asked(hub))?;
    let ask = |error: StoreError| format!("the server cannot be asked: {error}");
    let mut arrived = office::logged(&server).map_err(ask)?;
    arrived.append(&mut office::judged(&server).map_err(ask)?);
    let filter = ListFilter { sync: Some(SyncState::AtTownship), ..ListFilter::default() };
    let mut waiting = 0;
    for (kind, _) in KINDS {
        for row in process.book.list(kind, &filter, None, LISTED_MAX).unwrap_or_default() {
            let Ok(view) = process.book.record(row.id) else { continue };
            if world.is_purged(&row.id) {
                continue;
            }
            for change in view.history.iter().map(|saved| saved.change).filter(|change| !arrived.contains(change)) {
                waiting += 1;
                if !held.contains(&change) {
                    return Err(format!("{} shows {} as at the township, which lacks {change}", device.name, row.id));
                }
            }
        }
    }
    let outbox = process.book.status().map_err(|error| format!("{}: {error:?}", device.name))?.store.outbox_changes;
    if outbox < waiting {
        return Err(format!("{} keeps {outbox} of {waiting} changes that only the hub has", device.name));
    }
    Ok(())
}

/// Changes that a hub has for the server, and entries that it has from it.
pub fn waiting(world: &World, number: usize) -> Result<(u64, u64), Wrong> {
    let Some(store) = running(world, number) else { return Ok((0, 0)) };
    let status = store.status().map_err(asked(number))?;
    Ok((status.changes, status.entries))
}

/// Feeds of the server: how far each is, and its chain.
fn of_server(store: &Store) -> Result<Feeds, StoreError> {
    store.read(|tx| {
        let mut statement = tx.prepare("SELECT unit, area, position, chain FROM feeds")?;
        let rows = statement.query_map((), |row| Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
}

/// In the end: every hub that is left has all that its role may read as the server has it, and nothing else waits there.
pub fn end_alike(world: &World) -> Result<(), Wrong> {
    let server = world.office.store().ok_or("the server is down")?;
    let all = of_server(&server).map_err(|error| format!("the server cannot be asked: {error}"))?;
    for hub in world.hubs.iter().filter(|hub| !hub.gone && !hub.revoked) {
        let number = hub.number;
        is_sound(world, number)?;
        holds_nothing_of(world, number, &world.purged)?;
        let store = running(world, number).ok_or_else(|| format!("hub{number} is down"))?;
        let mirrored = feeds(&store).map_err(asked(number))?;
        for (unit, area) in hub.reach() {
            let there = all.get(&(unit.clone(), area.word().to_owned()));
            let here = mirrored.iter().find(|one| one.feed.unit == unit && one.feed.area == area);
            let here = here.map(|one| (one.position, one.chain)).filter(|(position, _)| *position > 0);
            if here != there.copied().filter(|(position, _)| *position > 0) {
                return Err(format!("hub{number} does not have {area:?} of {unit} as the server has it"));
            }
        }
        if waiting(world, number)?.0 > 0 {
            return Err(format!("hub{number} still has changes for the server"));
        }
    }
    Ok(())
}
