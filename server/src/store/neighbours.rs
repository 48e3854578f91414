//! Servers on several machines with one PostgreSQL database: each has a data folder of its own, and what another one did
//! has to be in this one's folder too.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::sql::Connection;
use fieldbook_core::access::FeedId;
use fieldbook_core::ids::{DeviceId, RecordId};
use tokio::sync::watch;

use super::{Database, Store, StoreError, console};
use crate::apart::{self, Line};

/// How often it is looked what others did.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What the list outside the database has to say by what the database says, in the order of ids.
fn lines(tx: &Connection) -> Result<Vec<Line>, StoreError> {
    let sql = "SELECT p.record, f.unit, f.area FROM purged p
               JOIN entries e ON e.record = p.record JOIN feeds f ON f.id = e.feed ORDER BY p.record, e.received_ms";
    let mut statement = tx.prepare(sql)?;
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get::<String>(2)?)))?;
    let mut lines = Vec::new();
    for (record, unit, area) in rows.collect::<Result<Vec<_>, _>>()? {
        lines.push(Line::Purged(RecordId(record), FeedId { unit, area: console::area(&area)? }));
    }
    lines.dedup_by_key(|line| key(line));
    let mut statement = tx.prepare("SELECT id FROM devices WHERE revoked_ms IS NOT NULL ORDER BY id")?;
    let rows = statement.query_map((), |row| row.get(0))?.collect::<Result<Vec<[u8; 16]>, _>>()?;
    lines.extend(rows.into_iter().map(|id| Line::Revoked(DeviceId(id))));
    Ok(lines)
}

/// What a line is about.
fn key(line: &Line) -> (bool, [u8; 16]) {
    match line {
        Line::Purged(record, _) => (true, record.0),
        Line::Revoked(device) => (false, device.0),
    }
}

impl Store {
    /// Lines of the database that this folder's list lacks.
    fn missing(&self, tx: &Connection) -> Result<Vec<Line>, StoreError> {
        let listed: BTreeSet<_> = apart::read(self.folder())?.iter().map(key).collect();
        Ok(lines(tx)?.into_iter().filter(|line| !listed.contains(&key(line))).collect())
    }

    /// Adds to this folder's list what was purged and revoked elsewhere, and removes files of segments that were removed
    /// elsewhere. Returns how many lines were added. With the embedded database there is nobody else.
    ///
    /// # Errors
    /// `list_malformed`; else what the database or the disk said.
    pub(crate) fn follow_others(&self) -> Result<usize, StoreError> {
        if matches!(self.database, Database::Embedded(_)) {
            return Ok(0);
        }
        self.tidy_segments()?;
        if self.read(|tx| self.missing(tx))?.is_empty() {
            return Ok(0);
        }
        // Only who has the right to write adds to a list, which other processes may have in the same folder.
        self.write(|tx| {
            let missing = self.missing(tx)?;
            missing.iter().try_for_each(|line| apart::append(self.folder(), line))?;
            Ok(missing.len())
        })
    }
}

/// Follows what servers on other machines do, until this one stops. What fails is told, and tried again.
pub(crate) async fn followed(store: Arc<Store>, mut stop: watch::Receiver<bool>) {
    loop {
        let asked = Arc::clone(&store);
        match tokio::task::spawn_blocking(move || asked.follow_others()).await {
            Ok(Ok(0)) => {}
            Ok(Ok(lines)) => tracing::info!(lines, "what was purged and revoked at other servers is in the list"),
            Ok(Err(error)) => tracing::error!(%error, "what other servers do cannot be followed"),
            Err(error) => tracing::error!(%error, "what other servers do cannot be followed"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
