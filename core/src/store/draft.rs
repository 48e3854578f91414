//! Forms that are open: kept at every answer, so that a killed app loses nothing.
//!
//! A draft is as durable as a save (one fsync): a phone whose battery dies in the middle of a long form must not lose
//! the answers before the last one, and staff answer once in seconds, not a hundred times a second.

use fieldbook_sqlite::rusqlite::{self, OptionalExtension, Row, params};

use super::{DRAFT_BYTES_MAX, StoreError, View, Write};
use crate::ids::{ChangeHash, RecordId};

/// Which record a draft is for, and where it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftKey {
    /// The record; for a new one the id that it will get.
    pub record: RecordId,
    /// The record is not stored yet.
    pub is_new: bool,
    /// Its kind.
    pub kind: String,
    /// Form version that it is filled in with.
    pub form_version: String,
    /// Heads that the form was opened at, sorted; none for a new record.
    pub heads: Vec<ChangeHash>,
}

/// A kept draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Which record, and where it began.
    pub key: DraftKey,
    /// When it was kept, milliseconds since 1970 UTC by the phone's clock.
    pub saved_ms: i64,
    /// The form session as it wrote itself.
    pub bytes: Vec<u8>,
}

const COLUMNS: &str = "SELECT id, is_new, kind, form_version, heads, saved_ms, bytes FROM draft";

fn draft(row: &Row<'_>) -> rusqlite::Result<Draft> {
    let heads: Vec<u8> = row.get(4)?;
    Ok(Draft {
        key: DraftKey {
            record: RecordId(row.get(0)?),
            is_new: row.get(1)?,
            kind: row.get(2)?,
            form_version: row.get(3)?,
            heads: heads.as_chunks::<32>().0.iter().map(|hash| ChangeHash(*hash)).collect(),
        },
        saved_ms: row.get(5)?,
        bytes: row.get(6)?,
    })
}

impl View<'_> {
    /// The draft for a record, if one is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn draft(&self, record: &RecordId) -> Result<Option<Draft>, StoreError> {
        self.connection
            .prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))
            .and_then(|mut s| s.query_row([record.as_bytes()], draft).optional())
            .map_err(|error| self.failed("reading a draft", error))
    }

    /// All drafts, the latest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn drafts(&self) -> Result<Vec<Draft>, StoreError> {
        let failed = |error| self.failed("listing drafts", error);
        let mut statement =
            self.connection.prepare_cached(&format!("{COLUMNS} ORDER BY saved_ms DESC, n DESC")).map_err(failed)?;
        let rows = statement.query_map([], draft).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

impl Write<'_> {
    /// Keeps a draft, in place of an earlier one for the same record.
    ///
    /// # Errors
    /// [`StoreError::Limit`] above [`DRAFT_BYTES_MAX`], [`StoreError::Purged`], or another [`StoreError`].
    pub fn put_draft(&self, key: &DraftKey, saved_ms: i64, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() > DRAFT_BYTES_MAX {
            return Err(StoreError::Limit { what: "the draft in bytes", limit: DRAFT_BYTES_MAX, found: bytes.len() });
        }
        if self.view().is_purged(&key.record)? {
            return Err(StoreError::Purged(key.record));
        }
        let heads: Vec<u8> = key.heads.iter().flat_map(|head| head.0).collect();
        self.connection
            .prepare_cached(
                "INSERT INTO draft(id, is_new, kind, form_version, heads, saved_ms, bytes)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT(id) DO UPDATE SET is_new = ?2, kind = ?3, form_version = ?4, heads = ?5, saved_ms = ?6,
                 bytes = ?7",
            )
            .and_then(|mut s| {
                s.execute(params![
                    key.record.as_bytes(),
                    key.is_new,
                    key.kind,
                    key.form_version,
                    heads,
                    saved_ms,
                    bytes
                ])
            })
            .map_err(|error| self.failed("keeping a draft", error))?;
        Ok(())
    }

    /// Drops the draft for a record, if there is one: saved, or given up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove_draft(&self, record: &RecordId) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("DELETE FROM draft WHERE id = ?1")
            .and_then(|mut s| s.execute([record.as_bytes()]))
            .map_err(|error| self.failed("dropping a draft", error))?;
        Ok(())
    }
}
