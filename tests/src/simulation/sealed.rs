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

/// Every segment that the server has, with the file that holds it.
///
/// # Errors
/// What the database said.
fn all(store: &Store) -> Result<Vec<Segment>, StoreError> {
    store.read(|tx| {
        let mut statement = tx.prepare_cached("SELECT segment FROM segments")?;
        let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?.collect::<Result<Vec<_>, _>>()?;
        Ok(rows.iter().filter_map(|bytes| from_cbor(bytes)).collect())
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
    for segment in all(store).map_err(|error| format!("the server says: {error}"))? {
        let name = hex::encode(segment.name);
        let Ok(bytes) = std::fs::read(folder.join("segments").join(&name)) else { continue };
        let columns = columns(&segment, &bytes)?;
        let is_in = |record: &&RecordId| {
            let prefix = &record.as_bytes()[..RECORD_PREFIX_BYTES];
            columns.iter().any(|column| column.windows(RECORD_PREFIX_BYTES).any(|window| window == prefix))
        };
        if let Some(record) = records.clone().find(is_in) {
            return Err(format!("{record} was erased, and segment {name} holds something of it"));
        }
    }
    Ok(())
}
