//! Checks everything that is stored against everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::sql::Connection;
use fieldbook_core::document::Document;
use fieldbook_core::ids::{ChangeHash, DeviceId, RecordId};
use fieldbook_core::protocol::{EntryBody, Statement};
use fieldbook_core::sync::{chain, change_hash, from_cbor, signing};

use super::feeds::{self, Feed};
use super::{Store, StoreError, audit, console, persons, records, segments};
use crate::apart::{self, Line};

/// Faults that one check lists.
const FAULTS_MAX: usize = 100;

/// What one check found.
#[derive(Debug, Clone)]
pub struct Check {
    /// What was checked: `database`, `chains`, `records`, `statements`, `quarantine`,
    /// `purged`, `segments`, `audit`, `persons`.
    pub name: &'static str,
    /// How many things were checked.
    pub count: u64,
    /// What does not fit, by id; never values.
    pub faults: Vec<String>,
}

impl Check {
    fn new(name: &'static str) -> Self {
        Self { name, count: 0, faults: Vec::new() }
    }

    fn hold(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds && self.faults.len() < FAULTS_MAX {
            self.faults.push(fault());
        }
    }
}

impl Store {
    /// Runs every check on one state of the database.
    ///
    /// # Errors
    /// What the database said, if it cannot be read at all.
    pub fn verify(&self) -> Result<Vec<Check>, StoreError> {
        let listed = apart::read(self.folder())?;
        self.read(|tx| {
            let purged = purged(tx, &listed)?;
            let mut sealed = Check::new("segments");
            segments::verify(tx, self.folder(), &mut |holds, fault| {
                sealed.count += 1;
                sealed.hold(holds, fault);
            })?;
            let persons = self.persons(tx)?;
            let mut checks = database(tx)?.into_iter().collect::<Vec<_>>();
            checks.extend([
                chains(tx)?,
                bodies(tx)?,
                statements(tx)?,
                quarantine(tx)?,
                purged,
                sealed,
                audited(tx)?,
                persons,
            ]);
            Ok(checks)
        })
    }
}

/// Walks the chain of the audit log.
fn audited(tx: &Connection) -> Result<Check, StoreError> {
    let mut check = Check::new("audit");
    let walk = audit::walk(tx)?;
    check.count = walk.rows;
    if let Some(number) = walk.broken_at {
        check.hold(false, || format!("row {number} does not follow the one before it"));
    }
    check.hold(tx.is_append_only("audit")?, || "the database lets rows be changed: a trigger is missing".to_owned());
    // Nobody can be there without a row that says so.
    let users: u64 = tx.query_row("SELECT count(*) FROM users", (), |row| row.get(0))?;
    check.hold(walk.rows > 0 || users == 0, || format!("no row, but {users} users"));
    Ok(check)
}

impl Store {
    /// The index of persons is what the records make anew, and doubles are what it and the decisions say. Kinds that
    /// are being read again are left out.
    fn persons(&self, tx: &Connection) -> Result<Check, StoreError> {
        let mut check = Check::new("persons");
        let waiting: BTreeSet<String> = Self::to_read_again(tx)?.into_iter().map(|(kind, _)| kind).collect();
        let mut ids = tx.prepare("SELECT id, kind FROM records")?;
        let ids = ids.query_map((), |row| Ok((RecordId(row.get(0)?), row.get::<String>(1)?)))?;
        for row in ids {
            let (id, kind) = row?;
            if waiting.contains(&kind) {
                continue;
            }
            let form = self.current_form(tx, &kind)?.ok_or_else(|| StoreError::corrupt("form", &kind))?;
            let marks = form.definition().fields.iter().any(|field| field.identity);
            let held = persons::held(tx, id)?;
            let wanted = match records::load(tx, id) {
                Ok(Some(open)) if marks => {
                    let state = console::current_state(tx, &open)?;
                    self.persons_wanted(&form, &open, state)
                }
                Ok(_) => BTreeSet::new(),
                // Told as a record's fault.
                Err(StoreError::Corrupt { .. }) => continue,
                Err(other) => return Err(other),
            };
            check.count += 1;
            check.hold(held == wanted, || {
                format!(
                    "{id}: the index of persons holds {} rows for it, not the {} that its answers make",
                    held.len(),
                    wanted.len()
                )
            });
        }
        doubles(tx, &waiting, &mut check)?;
        Ok(check)
    }
}

fn doubles(tx: &Connection, waiting: &BTreeSet<String>, check: &mut Check) -> Result<(), StoreError> {
    let text = "SELECT DISTINCT persons.key, records.kind FROM persons JOIN records ON records.id = persons.record
                UNION SELECT key, kind FROM doubles";
    let mut keys = tx.prepare(text)?;
    let mut told = tx.prepare("SELECT 1 FROM doubles WHERE key = ?1")?;
    for row in keys.query_map((), |row| Ok((row.get::<[u8; 16]>(0)?, row.get::<String>(1)?)))? {
        let (key, kind) = row?;
        if !waiting.contains(&kind) {
            let (stands, is_told) = (persons::standing(tx, &key)?, told.exists([key])?);
            check.hold(stands == is_told, || format!("double {}: stands {stands}, told {is_told}", hex::encode(key)));
        }
    }
    Ok(())
}

/// The pages of a file; a server's database looks after its own.
fn database(tx: &Connection) -> Result<Option<Check>, StoreError> {
    let mut check = Check::new("database");
    if tx.sqlite().is_none() {
        return Ok(None);
    }
    // The check of an FTS5 table goes by what this connection knew of it, however long ago; a search looks anew.
    tx.find("x")?;
    let mut statement = tx.prepare("PRAGMA integrity_check")?;
    for line in statement.query_map((), |row| row.get::<String>(0))? {
        let line = line?;
        check.count += 1;
        check.hold(line == "ok", || line.clone());
    }
    Ok(Some(check))
}

/// Recomputes each feed's chain from its entries, and each change's hash from its bytes.
fn chains(tx: &Connection) -> Result<Check, StoreError> {
    let mut check = Check::new("chains");
    let mut salts: BTreeMap<RecordId, [u8; 8]> = BTreeMap::new();
    let mut statement = tx.prepare("SELECT id, salt FROM records")?;
    for row in statement.query_map((), |row| Ok((row.get::<[u8; 16]>(0)?, row.get(1)?)))? {
        let (id, salt) = row?;
        salts.insert(RecordId(id), salt);
    }
    for feed in feeds::all(tx)? {
        chain_of(tx, &feed, &salts, &mut check)?;
    }
    Ok(check)
}

fn chain_of(
    tx: &Connection,
    feed: &Feed,
    salts: &BTreeMap<RecordId, [u8; 8]>,
    check: &mut Check,
) -> Result<(), StoreError> {
    let sql = "SELECT position, received_ms, hash, chain, body FROM entries WHERE feed = ?1 ORDER BY position";
    let mut statement = tx.prepare(sql)?;
    let mut rows = statement.query([feed.row])?;
    let (mut position, mut link) = (0_u64, chain::START);
    while let Some(row) = rows.next_row()? {
        let (at, received_ms): (u64, i64) = (row.get(0)?, row.get(1)?);
        let hash: Option<[u8; 32]> = row.get(2)?;
        let (stored, body): ([u8; 32], Vec<u8>) = (row.get(3)?, row.get(4)?);
        check.count += 1;
        position += 1;
        check.hold(at == position, || format!("{}: entry {position} is missing", feed.id));
        let leaf = from_cbor::<EntryBody>(&body).and_then(|body| leaf_of(&body, hash.map(ChangeHash), salts));
        check.hold(leaf.is_some(), || format!("{}: entry {at} does not read back", feed.id));
        link = chain::next(&link, at, received_ms, &leaf.unwrap_or_default());
        check.hold(link == stored, || format!("{}: the chain breaks at {at}", feed.id));
        (position, link) = (at, stored);
    }
    check.hold(position == feed.position && link == feed.chain, || format!("{}: the head does not fit", feed.id));
    Ok(())
}

fn leaf_of(body: &EntryBody, hash: Option<ChangeHash>, salts: &BTreeMap<RecordId, [u8; 8]>) -> Option<[u8; 32]> {
    match body {
        EntryBody::Change { record, bytes, .. } => {
            let real = change_hash(bytes)?;
            if hash != Some(real) {
                return None;
            }
            Some(chain::change_leaf(salts.get(record)?, &real))
        }
        other => chain::body_leaf(other),
    }
}

/// Each record's body holds exactly the changes of its entries, all of them in the feed that it is in, and its row the
/// body's heads.
fn bodies(tx: &Connection) -> Result<Check, StoreError> {
    let mut check = Check::new("records");
    let mut ids = tx.prepare("SELECT id, heads FROM records")?;
    let mut logged = tx.prepare(
        "SELECT hash FROM entries WHERE record = ?1 AND hash IS NOT NULL
           AND feed = (SELECT feed FROM records WHERE id = ?1)",
    )?;
    let mut strays = tx.prepare(
        "SELECT count(*) FROM entries WHERE record = ?1 AND hash IS NOT NULL
           AND feed <> (SELECT feed FROM records WHERE id = ?1)",
    )?;
    let mut rows = ids.query(())?;
    while let Some(row) = rows.next_row()? {
        let id = RecordId(row.get(0)?);
        let heads = records::hashes(&row.get::<Vec<u8>>(1)?)?;
        check.count += 1;
        let document: Option<Arc<Document>> = match records::load(tx, id) {
            Ok(open) => open.map(|open| open.document),
            Err(StoreError::Corrupt { .. }) => None,
            Err(other) => return Err(other),
        };
        let Some(document) = document else {
            check.hold(false, || format!("{id}: the body does not read back"));
            continue;
        };
        let entries = logged.query_map([id.as_bytes()], |row| Ok(ChangeHash(row.get(0)?)))?;
        let entries = entries.collect::<Result<BTreeSet<_>, _>>()?;
        let held: BTreeSet<ChangeHash> = document.changes().into_iter().map(|change| change.hash).collect();
        check.hold(held == entries, || {
            format!("{id}: the body holds {} changes, the log {}", held.len(), entries.len())
        });
        let left: u64 = strays.query_row([id.as_bytes()], |row| row.get(0))?;
        check.hold(left == 0, || format!("{id}: {left} changes are left in a feed that it is not in"));
        check.hold(document.heads() == heads, || format!("{id}: the row names other heads than the body"));
    }
    Ok(check)
}

/// Each device's statements are signed, chained, and list what is stored under them.
fn statements(tx: &Connection) -> Result<Check, StoreError> {
    let mut check = Check::new("statements");
    let sql = "SELECT device, number, hash, bytes, signature, key FROM statements JOIN devices ON id = device \
               ORDER BY device, number";
    let mut statement = tx.prepare(sql)?;
    let mut rows = statement.query(())?;
    let mut last = (DeviceId([0; 16]), 0_u64, [0_u8; 32]);
    while let Some(row) = rows.next_row()? {
        let device = DeviceId(row.get(0)?);
        let number: u64 = row.get(1)?;
        let (hash, bytes): ([u8; 32], Vec<u8>) = (row.get(2)?, row.get(3)?);
        let (signature, key): ([u8; 64], [u8; 32]) = (row.get(4)?, row.get(5)?);
        check.count += 1;
        if last.0 != device {
            last = (device, 0, [0; 32]);
        }
        let parsed: Option<Statement> = from_cbor(&bytes);
        let chained = parsed.as_ref().is_some_and(|parsed| {
            parsed.device == device && parsed.number == number && number == last.1 + 1 && parsed.previous == last.2
        });
        check.hold(chained, || format!("{device}: statement {number} does not follow"));
        let signed = signing::verify(&key, signing::STATEMENT, &bytes, &signature);
        check.hold(signed && signing::statement_hash(&bytes) == hash, || {
            format!("{device}: statement {number} is not signed by the device")
        });
        if let Some(parsed) = &parsed {
            listed(tx, parsed, "entries", &mut check)?;
            listed(tx, parsed, "quarantine", &mut check)?;
        }
        last = (device, number, hash);
    }
    Ok(check)
}

/// What is stored under a statement is what it lists.
fn listed(tx: &Connection, statement: &Statement, table: &str, check: &mut Check) -> Result<(), StoreError> {
    let sql = format!("SELECT item, hash FROM {table} WHERE device = ?1 AND statement = ?2");
    let mut rows = tx.prepare(&sql)?;
    let mut rows = rows.query((statement.device.as_bytes(), statement.number))?;
    while let Some(row) = rows.next_row()? {
        let item: u32 = row.get(0)?;
        let hash = ChangeHash(row.get(1)?);
        check.hold(statement.changes.get(item as usize) == Some(&hash), || {
            format!("{}: statement {} does not list {hash}", statement.device, statement.number)
        });
    }
    Ok(())
}

/// Each quarantined change is what its hash says.
fn quarantine(tx: &Connection) -> Result<Check, StoreError> {
    let mut check = Check::new("quarantine");
    let mut statement = tx.prepare("SELECT id, hash, bytes FROM quarantine")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next_row()? {
        let (id, hash, bytes): (i64, [u8; 32], Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        check.count += 1;
        check.hold(change_hash(&bytes) == Some(ChangeHash(hash)), || format!("quarantine {id}: other bytes"));
    }
    Ok(check)
}

/// Nothing is left of purged records, and the list outside the database names the same ones.
fn purged(tx: &Connection, lines: &[Line]) -> Result<Check, StoreError> {
    let mut check = Check::new("purged");
    let listed: BTreeSet<RecordId> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Purged(record, _) => Some(*record),
            Line::Revoked(_) => None,
        })
        .collect();
    let mut statement = tx.prepare("SELECT record FROM purged")?;
    let ids = statement.query_map((), |row| Ok(RecordId(row.get(0)?)))?.collect::<Result<BTreeSet<_>, _>>()?;
    let mut left = tx.prepare(
        "SELECT EXISTS(SELECT 1 FROM records WHERE id = ?1) OR EXISTS(SELECT 1 FROM bodies WHERE record = ?1)
           OR EXISTS(SELECT 1 FROM quarantine WHERE record = ?1) OR EXISTS(SELECT 1 FROM reviews WHERE record = ?1)
           OR EXISTS(SELECT 1 FROM entries WHERE record = ?1 AND hash IS NOT NULL)
           OR EXISTS(SELECT 1 FROM persons WHERE record = ?1) OR EXISTS(SELECT 1 FROM exchange_records WHERE record = ?1)
           OR EXISTS(SELECT 1 FROM double_decisions WHERE first = ?1 OR second = ?1)",
    )?;
    for id in ids.union(&listed) {
        check.count += 1;
        check.hold(ids.contains(id), || format!("{id}: the list names it, the database does not"));
        check.hold(listed.contains(id), || format!("{id}: the list does not name it"));
        let is_left: bool = left.query_row([id.as_bytes()], |row| row.get(0))?;
        check.hold(!is_left, || format!("{id}: something of it is left"));
    }
    Ok(check)
}
