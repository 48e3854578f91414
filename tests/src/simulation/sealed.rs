//! What the server's segments say, read as a device that was given their keys reads them.

use std::path::Path;

use fieldbook_core::ids::RecordId;
use fieldbook_core::protocol::limits::RECORD_PREFIX_BYTES;
use fieldbook_core::protocol::{Down, Segment};
use fieldbook_core::sync::frames::FrameReader;
use fieldbook_core::sync::from_cbor;
use fieldbook_core::sync::segment::Opener;
use fieldbook_server::store::{Store, StoreError};

use super::Wrong;
use super::office::Held;

/// Every segment that the server has, with the unit of its feed.
///
/// # Errors
/// What the database said.
fn all(store: &Store) -> Result<Vec<(String, Segment)>, StoreError> {
    store.read(|tx| {
        let sql = "SELECT unit, segment FROM segments JOIN feeds ON feeds.id = feed";
        let mut statement = tx.prepare(sql)?;
        let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get::<Vec<u8>>(1)?)))?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        Ok(rows.into_iter().filter_map(|(unit, bytes)| Some((unit, from_cbor(&bytes)?))).collect())
    })
}

/// The columns of all changes in a segment.
fn columns(segment: &Segment, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Wrong> {
    let (mut opener, mut reader) = (Opener::new(segment), FrameReader::<Down>::new());
    opener.push(bytes);
    let mut columns = Vec::new();
    while let Some(block) = opener.next_block().map_err(|error| error.to_string())? {
        reader.push(&block.plain);
        while let Some(messages) = reader.next_frame().map_err(|error| error.to_string())? {
            columns.extend(messages.into_iter().filter_map(|message| match message {
                Down::Changes(changes) => Some(changes.packed.to_vec()),
                _ => None,
            }));
        }
    }
    Ok(columns)
}

/// The records of which something is in the columns of a segment.
fn found<'r>(columns: &[Vec<u8>], records: impl Iterator<Item = &'r RecordId>) -> Option<&'r RecordId> {
    records.into_iter().find(|record| {
        let prefix = &record.as_bytes()[..RECORD_PREFIX_BYTES];
        columns.iter().any(|column| column.windows(RECORD_PREFIX_BYTES).any(|window| window == prefix))
    })
}

/// What a segment says.
struct Read {
    unit: String,
    name: String,
    columns: Vec<Vec<u8>>,
}

/// Every segment whose file is there.
fn read(store: &Store, folder: &Path) -> Result<Vec<Read>, Wrong> {
    let mut read = Vec::new();
    for (unit, segment) in all(store).map_err(|error| format!("the server says: {error}"))? {
        let name = hex::encode(segment.name);
        let Ok(bytes) = std::fs::read(folder.join("segments").join(&name)) else { continue };
        let columns = columns(&segment, &bytes)?;
        read.push(Read { unit, name, columns });
    }
    Ok(read)
}

/// No segment holds a change of one of these records.
///
/// # Errors
/// What is wrong.
pub fn holds_nothing_of<'r>(
    store: &Store,
    folder: &Path,
    records: impl Iterator<Item = &'r RecordId> + Clone,
) -> Result<(), Wrong> {
    if records.clone().next().is_none() {
        return Ok(());
    }
    for Read { name, columns, .. } in read(store, folder)? {
        if let Some(record) = found(&columns, records.clone()) {
            return Err(format!("{record} was erased, and segment {name} holds something of it"));
        }
    }
    Ok(())
}

/// No segment of a unit holds a change of a record that is in another.
///
/// # Errors
/// What is wrong.
pub fn holds_nothing_from_elsewhere(store: &Store, folder: &Path, held: &[Held]) -> Result<(), Wrong> {
    for Read { unit, name, columns } in read(store, folder)? {
        let elsewhere = held.iter().filter(|one| one.unit != unit).map(|one| &one.id);
        if let Some(record) = found(&columns, elsewhere) {
            return Err(format!("{record} has left {unit}, and segment {name} holds something of it"));
        }
    }
    Ok(())
}
