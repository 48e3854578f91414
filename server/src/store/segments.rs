//! Sealed pieces of feeds: rows with their keys in the database, bytes as files beside it, each under its name.
//!
//! A row is durable before its file has its name: a file without a row is a leftover, a row without its bytes counts as
//! not there. A PostgreSQL database holds the bytes too: servers on other machines have the rows, and fetch from it
//! what their own folder lacks.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::sql::{Connection, OptionalExtension};
use fieldbook_core::access::FeedId;
use fieldbook_core::ids::{DeviceId, RecordId};
use fieldbook_core::protocol::Segment;
use fieldbook_core::sync::segment::Sealed;
use fieldbook_core::sync::{from_cbor, to_cbor};
use sha2::{Digest, Sha256};

use super::{Store, StoreError, feeds, restored};
use crate::data_folder::file_error;

/// Folder of the files, in the data folder.
const FOLDER: &str = "segments";
/// Ending of a file that is being written.
const PART: &str = "part";
/// Age at which such a file belongs to nobody any more.
const PART_AGE: Duration = Duration::from_secs(24 * 60 * 60);

fn folder(data: &Path) -> PathBuf {
    data.join(FOLDER)
}

fn file(data: &Path, name: &[u8; 32]) -> PathBuf {
    folder(data).join(hex::encode(name))
}

/// All segments of a feed, by position, whether their files are there or not.
fn rows(tx: &Connection, feed: i64) -> Result<Vec<Segment>, StoreError> {
    let mut statement = tx.prepare("SELECT segment FROM segments WHERE feed = ?1 ORDER BY first")?;
    let rows = statement.query_map([feed], |row| row.get::<Vec<u8>>(0))?.collect::<Result<Vec<_>, _>>()?;
    let read = |bytes: &Vec<u8>| from_cbor(bytes).ok_or_else(|| StoreError::corrupt("segment", "does not read back"));
    rows.iter().map(read).collect()
}

/// Segments of a feed whose bytes are there.
pub(super) fn of_feed(tx: &Connection, data: &Path, feed: &FeedId) -> Result<Vec<Segment>, StoreError> {
    let Some(feed) = feeds::feed(tx, feed)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for segment in rows(tx, feed.row)? {
        let here = fs::metadata(file(data, &segment.name)).is_ok_and(|file| file.len() == segment.bytes);
        if here || tx.has_shared_bytes(&segment.name)? {
            found.push(segment);
        }
    }
    Ok(found)
}

/// How often entries of the feed were erased.
pub(super) fn erasures(tx: &Connection, feed: &FeedId) -> Result<u64, StoreError> {
    let mut statement = tx.prepare("SELECT erasures FROM feeds WHERE unit = ?1 AND area = ?2")?;
    Ok(statement.query_row((&feed.unit, feed.area.word()), |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Are there at least `enough` entries behind `after` that do not hold changes of this device?
pub(super) fn has_others(
    tx: &Connection,
    feed: &FeedId,
    after: u64,
    device: &DeviceId,
    enough: u64,
) -> Result<bool, StoreError> {
    let Some(feed) = feeds::feed(tx, feed)? else { return Ok(false) };
    let sql = "SELECT count(*) FROM (
                 SELECT 1 FROM entries WHERE feed = ?1 AND position > ?2 AND device IS DISTINCT FROM ?3 LIMIT ?4) AS others";
    let found: u64 = tx.prepare(sql)?.query_row((feed.row, after, device.as_bytes(), enough), |row| row.get(0))?;
    Ok(found >= enough)
}

/// Removes segments whose rows this finds, and their files.
fn remove(tx: &Connection, data: &Path, feed: i64, first: u64, through: u64) -> Result<(), StoreError> {
    let sql = "DELETE FROM segments WHERE feed = ?1 AND first <= ?3 AND through >= ?2 RETURNING name";
    let mut statement = tx.prepare(sql)?;
    let names = statement.query_map((feed, first, through), |row| row.get(0))?.collect::<Result<Vec<[u8; 32]>, _>>()?;
    for name in names {
        tx.drop_shared_bytes(&name)?;
        let path = file(data, &name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(file_error(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}

impl Store {
    /// Stores a segment in place of those that it overlaps. False if entries of the feed were erased since there were
    /// `erasures`.
    pub(super) fn put_segment(&self, feed: &FeedId, before: u64, sealed: &Sealed) -> Result<bool, StoreError> {
        let (data, segment) = (self.folder(), &sealed.segment);
        self.put_file(&segment.name, &sealed.bytes, || {
            self.write(|tx| {
                if erasures(tx, feed)? != before {
                    return Ok(false);
                }
                let Some(feed) = feeds::feed(tx, feed)? else { return Ok(false) };
                remove(tx, data, feed.row, segment.first, segment.through)?;
                let sql = "INSERT INTO segments(name, feed, first, through, segment) VALUES (?1, ?2, ?3, ?4, ?5)";
                let row = (segment.name, feed.row, segment.first, segment.through, to_cbor(segment));
                tx.prepare(sql)?.execute(row)?;
                tx.put_shared_bytes(&segment.name, &sealed.bytes)?;
                Ok(true)
            })
        })
    }

    /// Writes a segment's file, which gets its name once `stored` has answered true; otherwise there is none.
    fn put_file(
        &self,
        name: &[u8; 32],
        bytes: &[u8],
        stored: impl FnOnce() -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let (folder, path) = (folder(self.folder()), file(self.folder(), name));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(file_error(&folder))?;
        // Two who fetch the same at once write each a file of their own.
        let mut suffix = [0; 8];
        self.random.fill(&mut suffix);
        let part = path.with_extension(format!("{}.{PART}", hex::encode(suffix)));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let written = made.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        let stored = written.map_err(file_error(&part)).and_then(|()| stored());
        if !matches!(stored, Ok(true)) {
            let _ = fs::remove_file(&part);
            return stored;
        }
        let named = fs::rename(&part, &path).and_then(|()| File::open(&folder)?.sync_all());
        named.map_err(file_error(&path))?;
        Ok(true)
    }

    /// Removes the segments that hold entries of a record: what is sealed of it anywhere is without a key from now on.
    pub(super) fn unseal(&self, tx: &Connection, record: RecordId) -> Result<(), StoreError> {
        let mut statement = tx.prepare("SELECT feed, position FROM entries WHERE record = ?1")?;
        let places = statement.query_map([record.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let places = places.collect::<Result<Vec<(i64, u64)>, _>>()?;
        let mut count = tx.prepare("UPDATE feeds SET erasures = erasures + 1 WHERE id = ?1")?;
        for (feed, position) in places {
            remove(tx, self.folder(), feed, position, position)?;
            count.execute([feed])?;
        }
        Ok(())
    }

    /// The file with a segment's bytes, if the segment is known by this name.
    ///
    /// # Errors
    /// `awaiting_confirmation`: a restored server serves nothing before it is confirmed; else what the database said.
    pub fn segment_file(&self, name: &[u8; 32]) -> Result<Option<PathBuf>, StoreError> {
        let path = file(self.folder(), name);
        let (known, elsewhere) = self.read(|tx| {
            if restored::is_awaiting(tx)? {
                return Err(super::Problem::new("awaiting_confirmation").into());
            }
            let known = is_known(tx, name)?;
            Ok((known, if known && !path.exists() { tx.shared_bytes(name)? } else { None }))
        })?;
        // It may be unknown again by now: then another machine's server has removed it, and this file is a leftover.
        if let Some(bytes) = elsewhere {
            if <[u8; 32]>::from(Sha256::digest(&bytes)) != *name {
                return Err(StoreError::corrupt("segment", "the bytes in the database are not those of its name"));
            }
            self.put_file(name, &bytes, || self.read(|tx| is_known(tx, name)))?;
        }
        Ok(known.then_some(path))
    }

    /// Removes files that no row names: what a crash, a restored backup, or a purge at another machine's server has left.
    pub(super) fn tidy_segments(&self) -> Result<(), StoreError> {
        let folder = folder(self.folder());
        let listed = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            listed => listed.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(file_error(&folder))?,
        };
        for entry in listed {
            let path = entry.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let mut bytes = [0; 32];
            let leftover = match hex::decode_to_slice(name, &mut bytes) {
                // It got this name after its row was durable, and was listed before the row is looked for.
                Ok(()) => !self.read(|tx| is_known(tx, &bytes))?,
                Err(_) => path.extension().is_some_and(|ending| ending == PART) && is_old(&path),
            };
            if leftover {
                fs::remove_file(&path).map_err(file_error(&path))?;
            }
        }
        Ok(())
    }
}

fn is_known(tx: &Connection, name: &[u8; 32]) -> Result<bool, StoreError> {
    Ok(tx.prepare("SELECT 1 FROM segments WHERE name = ?1")?.exists([name])?)
}

fn is_old(path: &Path) -> bool {
    let changed = fs::metadata(path).and_then(|file| file.modified()).ok();
    changed.and_then(|changed| SystemTime::now().duration_since(changed).ok()).is_some_and(|age| age > PART_AGE)
}

/// Every segment against its file, its name and its feed.
pub(super) fn verify(
    tx: &Connection,
    data: &Path,
    hold: &mut dyn FnMut(bool, &dyn Fn() -> String),
) -> Result<(), StoreError> {
    for feed in feeds::all(tx)? {
        let mut chain = tx.prepare("SELECT chain FROM entries WHERE feed = ?1 AND position = ?2")?;
        for segment in rows(tx, feed.row)? {
            let place = || format!("{}: entries {} to {}", feed.id, segment.first, segment.through);
            let found: Option<[u8; 32]> = chain.query_row((feed.row, segment.through), |row| row.get(0)).optional()?;
            hold(found == Some(segment.chain), &|| format!("{}: the chain does not fit", place()));
            // Without its bytes it is sealed again when somebody asks.
            let fits = |bytes: Option<Vec<u8>>| {
                bytes.is_none_or(|bytes| <[u8; 32]>::from(Sha256::digest(&bytes)) == segment.name)
            };
            let here = fits(fs::read(file(data, &segment.name)).ok());
            hold(here, &|| format!("{}: the file is damaged", place()));
            hold(fits(tx.shared_bytes(&segment.name)?), &|| format!("{}: the database's bytes are damaged", place()));
        }
    }
    Ok(())
}
