//! What an exchange did, gathered while its changes are taken and written in the transaction that takes them: once a
//! frame, whatever the number of its changes.

use std::collections::BTreeMap;

use fieldbook_core::ids::{DeviceId, RecordId, UserId};
use fieldbook_core::protocol::{PURGED, Verdict, VerdictKind};
use fieldbook_core::sync::server::TakenChange;
use serde_json::json;

use super::{AGE_MAX_MS, KEPT_MAX, LISTED_MAX};
use crate::sql::{Connection, ToSql};
use crate::store::records::Saved;
use crate::store::{StoreError, users};

/// Rows that one statement writes.
const ROWS_AT_ONCE: usize = 8;
/// What is too old or too much is deleted with every so many exchanges.
const TRIM_EVERY: i64 = 64;
/// Paths and reasons that are kept of one record in one exchange.
const DETAILS_MAX: usize = 50;

/// What happened to one record.
#[derive(Debug, Clone, Default)]
struct Item {
    number: u64,
    kind: String,
    unit: String,
    area: String,
    changes: u64,
    created: bool,
    conflicts: Vec<String>,
    doubled: bool,
    quarantined: u64,
    refused: u64,
    reasons: Vec<String>,
}

/// What one device brought.
#[derive(Debug, Clone, Default)]
struct Tally {
    user: Option<UserId>,
    relayed: bool,
    items: BTreeMap<RecordId, Item>,
    /// Of what is beyond the records that are listed.
    more: Counts,
}

/// What the report's own row says.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    changes: u64,
    records: u64,
    created: u64,
    conflicts: u64,
    doubles: u64,
    quarantined: u64,
    refused: u64,
}

impl Counts {
    fn add(&mut self, item: &Item) {
        self.changes += item.changes;
        self.records += u64::from(item.changes > 0);
        self.created += u64::from(item.created);
        self.conflicts += u64::from(!item.conflicts.is_empty());
        self.doubles += u64::from(item.doubled);
        self.quarantined += item.quarantined;
        self.refused += item.refused;
    }
}

/// A tally that is durable, under this number.
#[derive(Debug, Clone, Default)]
struct Written {
    id: i64,
    first_ms: i64,
    tally: Tally,
}

/// The report of one exchange: by device, since a township hub brings what several wrote.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    written: BTreeMap<DeviceId, Written>,
    /// Of the open transaction.
    pending: BTreeMap<DeviceId, Tally>,
    /// The change that was judged last, and how it was stated.
    last: Option<Judged>,
}

/// A change and how it was stated.
#[derive(Debug, Clone)]
struct Judged {
    device: DeviceId,
    record: RecordId,
    received_ms: i64,
    item: Item,
}

fn remember(list: &mut Vec<String>, more: &[String]) {
    for one in more {
        if list.len() < DETAILS_MAX && !list.contains(one) {
            list.push(one.clone());
        }
    }
}

impl Item {
    fn add(&mut self, other: &Self) {
        if self.kind.is_empty() {
            self.kind.clone_from(&other.kind);
        }
        if self.unit.is_empty() {
            (self.unit, self.area) = (other.unit.clone(), other.area.clone());
        }
        self.changes += other.changes;
        self.created |= other.created;
        self.doubled |= other.doubled;
        self.quarantined += other.quarantined;
        self.refused += other.refused;
        remember(&mut self.conflicts, &other.conflicts);
        remember(&mut self.reasons, &other.reasons);
    }
}

impl Tally {
    fn add(&mut self, record: RecordId, item: &Item) {
        let number = self.items.len() as u64;
        if number >= LISTED_MAX && !self.items.contains_key(&record) {
            self.more.add(item);
            return;
        }
        self.items.entry(record).or_insert_with(|| Item { number, ..Item::default() }).add(item);
    }

    fn counts(&self) -> Counts {
        let mut counts = self.more;
        self.items.values().for_each(|item| counts.add(item));
        counts
    }
}

impl Report {
    fn tally(&mut self, device: DeviceId) -> &mut Tally {
        self.pending.entry(device).or_default()
    }

    /// A change is about to be judged.
    pub(crate) fn judging(&mut self, change: &TakenChange<'_>) {
        let item = Item {
            kind: change.kind.to_owned(),
            unit: change.feed.unit.clone(),
            area: change.feed.area.word().to_owned(),
            ..Item::default()
        };
        let tally = self.tally(change.device);
        (tally.user, tally.relayed) = (Some(change.user), change.relayed);
        let (device, record, received_ms) = (change.device, change.record, change.received_ms);
        self.last = Some(Judged { device, record, received_ms, item });
    }

    /// When the change that was judged last was received.
    pub(crate) fn judged_ms(&self) -> Option<i64> {
        self.last.as_ref().map(|judged| judged.received_ms)
    }

    /// That change was taken; `created`: it made its record.
    pub(crate) fn accepted(&mut self, created: bool) {
        if let Some(Judged { device, record, item, .. }) = self.last.take() {
            self.tally(device).add(record, &Item { changes: 1, created, ..item });
        }
    }

    /// A change was set apart or refused, and had not been before.
    pub(crate) fn not_taken(&mut self, device: DeviceId, verdict: &Verdict) {
        if verdict.reason == PURGED {
            // Nothing is kept of what was erased, also not that somebody still writes in it.
            self.last = None;
            return;
        }
        let about = self.last.take().filter(|judged| judged.device == device && judged.record == verdict.record);
        let item = about.map(|judged| judged.item).unwrap_or_default();
        let (quarantined, refused) = match verdict.kind {
            VerdictKind::Quarantined => (1, 0),
            VerdictKind::Refused => (0, 1),
            VerdictKind::Taken => return,
        };
        let reasons = vec![verdict.reason.clone()];
        self.tally(device).add(verdict.record, &Item { quarantined, refused, reasons, ..item });
    }

    /// The row of a record was written.
    pub(crate) fn saved(&mut self, record: RecordId, saved: Saved) {
        let found = Item { conflicts: saved.conflicts, doubled: saved.doubled, ..Item::default() };
        for tally in self.pending.values_mut() {
            if let Some(item) = tally.items.get_mut(&record).filter(|item| item.changes > 0) {
                item.add(&found);
            }
        }
    }

    /// Nothing of the open transaction happened.
    pub(crate) fn rollback(&mut self) {
        self.pending.clear();
        self.last = None;
    }

    /// Writes what the open transaction did; what it returns is the report once that is durable.
    pub(crate) fn write(&self, tx: &Connection, now_ms: i64) -> Result<Option<Self>, StoreError> {
        let happened = |tally: &&Tally| !tally.items.is_empty();
        if self.pending.values().filter(happened).count() == 0 {
            return Ok(None);
        }
        let mut after = Self { written: self.written.clone(), ..Self::default() };
        for (device, pending) in self.pending.iter().filter(|(_, tally)| happened(tally)) {
            let written = after.written.entry(*device).or_default();
            (written.tally.user, written.tally.relayed) = (pending.user.or(written.tally.user), pending.relayed);
            for (record, item) in &pending.items {
                written.tally.add(*record, item);
            }
            write_exchange(tx, *device, written, now_ms)?;
            let listed = pending.items.keys().filter_map(|record| written.tally.items.get_key_value(record));
            write_items(tx, written.id, &listed.collect::<Vec<_>>())?;
        }
        Ok(Some(after))
    }
}

fn write_exchange(tx: &Connection, device: DeviceId, written: &mut Written, now_ms: i64) -> Result<(), StoreError> {
    let tally = &written.tally;
    let Counts { changes, records, created, conflicts, doubles, quarantined, refused } = tally.counts();
    if written.id != 0 {
        tx.prepare(
            "UPDATE exchanges SET last_ms = ?2, changes = ?3, records = ?4, created = ?5, conflicts = ?6, doubles = ?7,
               quarantined = ?8, refused = ?9 WHERE id = ?1",
        )?
        .execute(crate::sql::params![
            written.id,
            now_ms,
            changes,
            records,
            created,
            conflicts,
            doubles,
            quarantined,
            refused
        ])?;
        return Ok(());
    }
    let user = tally.user.ok_or_else(|| StoreError::corrupt("report", "no user"))?;
    let unit = users::user(tx, user)?.map(|user| user.unit).unwrap_or_default();
    written.first_ms = now_ms;
    written.id = tx
        .prepare(
            "INSERT INTO exchanges(device, user, unit, relayed, first_ms, last_ms, changes, records, created, conflicts,
               doubles, quarantined, refused)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) RETURNING id",
        )?
        .query_row(
            crate::sql::params![
                device.as_bytes(),
                user.as_bytes(),
                unit,
                tally.relayed,
                now_ms,
                changes,
                records,
                created,
                conflicts,
                doubles,
                quarantined,
                refused
            ],
            |row| row.get(0),
        )?;
    trim(tx, written.id, now_ms)
}

/// Deletes what is too old or too much.
fn trim(tx: &Connection, id: i64, now_ms: i64) -> Result<(), StoreError> {
    if id % TRIM_EVERY != 0 {
        return Ok(());
    }
    let text = "SELECT coalesce(max(id), 0) FROM exchanges WHERE last_ms < ?1";
    let old: i64 = tx.prepare(text)?.query_row([now_ms.saturating_sub(AGE_MAX_MS)], |row| row.get(0))?;
    let through = old.max(id.saturating_sub(KEPT_MAX));
    tx.prepare("DELETE FROM exchange_records WHERE exchange <= ?1")?.execute([through])?;
    tx.prepare("DELETE FROM exchanges WHERE id <= ?1")?.execute([through])?;
    Ok(())
}

fn write_items(tx: &Connection, exchange: i64, items: &[(&RecordId, &Item)]) -> Result<(), StoreError> {
    for items in items.chunks(ROWS_AT_ONCE) {
        let row = |at: usize| {
            let places: Vec<String> = (0..11).map(|column| format!("?{}", 11 * at + column + 2)).collect();
            format!("(?1, {})", places.join(", "))
        };
        let rows: Vec<String> = (0..items.len()).map(row).collect();
        let text = format!(
            "INSERT INTO exchange_records(exchange, number, record, kind, unit, area, changes, created, doubled,
               quarantined, refused, detail) VALUES {}
             ON CONFLICT(exchange, number) DO UPDATE SET kind = excluded.kind, unit = excluded.unit,
               area = excluded.area, changes = excluded.changes, created = excluded.created,
               doubled = excluded.doubled, quarantined = excluded.quarantined, refused = excluded.refused,
               detail = excluded.detail",
            rows.join(", ")
        );
        let detail = |item: &Item| json!({ "conflicts": item.conflicts, "reasons": item.reasons }).to_string();
        let details: Vec<String> = items.iter().map(|(_, item)| detail(item)).collect();
        let mut values: Vec<&dyn ToSql> = vec![&exchange];
        for ((record, item), detail) in items.iter().zip(&details) {
            values.extend([
                &item.number as &dyn ToSql,
                &record.0,
                &item.kind,
                &item.unit,
                &item.area,
                &item.changes,
                &item.created,
                &item.doubled,
                &item.quarantined,
                &item.refused,
                detail,
            ]);
        }
        tx.prepare(&text)?.execute(&values[..])?;
    }
    Ok(())
}
