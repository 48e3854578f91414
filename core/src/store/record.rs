//! A record as it is stored: what is known of it, its body, and the row that screens read.

use fieldbook_sqlite::rusqlite::{self, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::open::SCRUB;
use super::outbox::stored;
use super::person::PersonEntry;
use super::{RecordRow, StoreError, View, Write, codec, read};
use crate::access::{Area, FeedId};
use crate::document::{RecordMeta, RecordState};
use crate::ids::{ChangeHash, RecordId};
use crate::protocol::limits::RECORD_PREFIX_BYTES;
use crate::search::index_text;

/// How far a record has got; shown as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SyncState {
    /// At least one change is only here.
    SavedHere,
    /// All was sent; the server has not yet signed for it.
    Sent,
    /// A township hub or the server holds all of it, and something of it the hub alone.
    AtTownship,
    /// The server has made all of it durable and said so.
    OnServer,
    /// The server did not take something, and the user has not seen to it yet.
    NotTaken,
}

impl SyncState {
    /// Every state, in the order of its stored number.
    pub const ALL: [Self; 5] = [Self::SavedHere, Self::Sent, Self::AtTownship, Self::OnServer, Self::NotTaken];

    /// The word in exports and on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::SavedHere => "saved_here",
            Self::Sent => "sent",
            Self::AtTownship => "at_township",
            Self::OnServer => "on_server",
            Self::NotTaken => "not_taken",
        }
    }

    pub(super) fn from_number(number: i64) -> Self {
        usize::try_from(number).ok().and_then(|at| Self::ALL.get(at)).copied().unwrap_or(Self::SavedHere)
    }

    pub(super) fn number(self) -> i64 {
        self as i64
    }
}

const STATES: [RecordState; 7] = [
    RecordState::Draft,
    RecordState::Submitted,
    RecordState::Returned,
    RecordState::Approved,
    RecordState::Amended,
    RecordState::Archived,
    RecordState::Voided,
];

/// The stored number of a state.
pub(super) fn state_number(state: RecordState) -> i64 {
    STATES.iter().position(|known| *known == state).and_then(|at| i64::try_from(at).ok()).unwrap_or(0)
}

/// The state of a stored number.
pub(super) fn state_of_number(number: i64) -> RecordState {
    usize::try_from(number).ok().and_then(|at| STATES.get(at)).copied().unwrap_or(RecordState::Draft)
}

/// What screens, exports and searches read of a record, made from its document by one function
/// ([`crate::store`] stores it as it comes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRow {
    /// Where it stands.
    pub state: RecordState,
    /// Text of its submission, if it was handed in.
    pub submission: Option<String>,
    /// Heads of the document, sorted.
    pub heads: Vec<ChangeHash>,
    /// Time of its latest change as its author claims, milliseconds since 1970 UTC. Shown only; nothing sorts by it.
    pub changed_ms: i64,
    /// What a list calls it.
    pub title: String,
    /// JSON object of the columns that the form marks with `fb:list`, by path.
    pub list: String,
    /// JSON of the answers, as exported.
    pub answers: String,
    /// JSON array of its conflicts, as exported.
    pub conflicts: String,
    /// How many.
    pub conflict_count: u32,
    /// JSON of what its form finds wrong, and of the language in which that is told.
    pub problems: String,
    /// How many.
    pub problem_count: u32,
    /// Texts of the fields that the form marks with `fb:search`.
    pub search: Vec<String>,
    /// The persons whom it is about.
    pub persons: Vec<PersonEntry>,
}

/// What is kept of a purged record's entry, from its change or its body; `None` leaves a gap.
pub type LeafOf<'a> = &'a dyn Fn(Option<ChangeHash>, Option<&[u8]>) -> Option<Vec<u8>>;

impl View<'_> {
    /// The internal number of a record.
    pub(super) fn number(&self, id: &RecordId) -> Result<Option<i64>, StoreError> {
        self.connection
            .prepare_cached("SELECT n FROM record WHERE id = ?1")
            .and_then(|mut s| s.query_row([id.as_bytes()], |row| row.get(0)).optional())
            .map_err(|error| self.failed("looking for a record", error))
    }

    /// The record's document as [`Write::put_record`] got it; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn body(&self, id: &RecordId) -> Result<Option<Vec<u8>>, StoreError> {
        let packed: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT bytes FROM body WHERE record = (SELECT n FROM record WHERE id = ?1)")
            .and_then(|mut s| s.query_row([id.as_bytes()], |row| row.get(0)).optional())
            .map_err(|error| self.failed("reading a record's body", error))?;
        packed.map(|bytes| codec::unpack(&bytes)).transpose()
    }

    /// Heads of the stored document, sorted; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn heads(&self, id: &RecordId) -> Result<Option<Vec<ChangeHash>>, StoreError> {
        let bytes: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT heads FROM record WHERE id = ?1 AND seq > 0")
            .and_then(|mut s| s.query_row([id.as_bytes()], |row| row.get(0)).optional())
            .map_err(|error| self.failed("reading a record's heads", error))?;
        Ok(bytes.map(|bytes| read::heads(&bytes)))
    }

    /// What is known of a record besides its document; `None` if it is unknown.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn meta(&self, id: &RecordId) -> Result<Option<RecordMeta>, StoreError> {
        self.connection
            .prepare_cached("SELECT kind, created_version, unit, area, salt, moves FROM record WHERE id = ?1")
            .and_then(|mut s| {
                s.query_row([id.as_bytes()], |row| {
                    Ok(RecordMeta {
                        kind: row.get(0)?,
                        created_version: row.get(1)?,
                        feed: FeedId { unit: row.get(2)?, area: area_of_number(row.get(3)?) },
                        salt: row.get(4)?,
                        moves: row.get::<_, i64>(5)?.unsigned_abs(),
                    })
                })
                .optional()
            })
            .map_err(|error| self.failed("reading what is known of a record", error))
    }

    /// The one record whose id begins so; `None` where there is none or more than one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_by_prefix(&self, prefix: &[u8; RECORD_PREFIX_BYTES]) -> Result<Option<RecordId>, StoreError> {
        let failed = |error| self.failed("looking for a record", error);
        let (mut least, mut greatest) = ([0; 16], [0xff; 16]);
        least[..RECORD_PREFIX_BYTES].copy_from_slice(prefix);
        greatest[..RECORD_PREFIX_BYTES].copy_from_slice(prefix);
        let mut statement = self
            .connection
            .prepare_cached("SELECT id FROM record WHERE id BETWEEN ?1 AND ?2 LIMIT 2")
            .map_err(failed)?;
        let rows = statement.query_map([least, greatest], |row| Ok(RecordId(row.get(0)?))).map_err(failed)?;
        let found: Vec<RecordId> = rows.collect::<Result<_, _>>().map_err(failed)?;
        Ok(if let [one] = found[..] { Some(one) } else { None })
    }

    /// Was the record erased for ever?
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn is_purged(&self, id: &RecordId) -> Result<bool, StoreError> {
        self.connection
            .prepare_cached("SELECT 1 FROM purged WHERE id = ?1")
            .and_then(|mut s| s.exists([id.as_bytes()]))
            .map_err(|error| self.failed("looking for a purged record", error))
    }

    /// Everything that screens read of a record; `None` if there is no document of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record(&self, id: &RecordId) -> Result<Option<RecordRow>, StoreError> {
        self.connection
            .prepare_cached(read::RECORD)
            .and_then(|mut s| s.query_row([id.as_bytes()], read::record_row).optional())
            .map_err(|error| self.failed("reading a record", error))
    }
}

/// The stored number of an area is its number on the wire.
pub(super) fn area_number(area: Area) -> i64 {
    area as i64
}

/// The area of a stored number.
pub(super) fn area_of_number(number: i64) -> Area {
    usize::try_from(number).ok().and_then(|at| Area::ALL.get(at)).copied().unwrap_or(Area::General)
}

impl Write<'_> {
    /// Stores kind, version, feed and salt of a record, known or not; touches no document.
    ///
    /// # Errors
    /// [`StoreError::Purged`], or another [`StoreError`].
    pub fn put_meta(&self, id: &RecordId, meta: &RecordMeta) -> Result<(), StoreError> {
        if self.view().is_purged(id)? {
            return Err(StoreError::Purged(*id));
        }
        self.connection
            .prepare_cached(
                "INSERT INTO record(id, kind, created_version, unit, area, salt, moves)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT(id) DO UPDATE SET kind = ?2, created_version = ?3, unit = ?4, area = ?5,
                 salt = coalesce(?6, salt), moves = ?7",
            )
            .and_then(|mut s| {
                s.execute(params![
                    id.as_bytes(),
                    meta.kind,
                    meta.created_version,
                    meta.feed.unit,
                    area_number(meta.feed.area),
                    meta.salt,
                    stored(meta.moves)
                ])
            })
            .map_err(|error| self.failed("storing what is known of a record", error))?;
        Ok(())
    }

    /// Stores a document's save and all that is read of it: list, search, person index. [`Write::put_meta`] must have
    /// named the record. The record becomes the latest of its lists.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_record(&self, id: &RecordId, body: &[u8], row: &ReadRow) -> Result<(), StoreError> {
        let doing = "saving a record";
        if self.view().is_purged(id)? {
            return Err(StoreError::Purged(*id));
        }
        let packed = codec::pack(body)?;
        let heads: Vec<u8> = row.heads.iter().flat_map(|head| head.0).collect();
        let (n, old_digest, first): (i64, Option<Vec<u8>>, bool) = self
            .connection
            .prepare_cached("SELECT n, index_digest, seq = 0 FROM record WHERE id = ?1")
            .and_then(|mut s| s.query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))))
            .map_err(|error| self.failed(doing, error))?;
        let digest = index_digest(row);
        let stored = || {
            self.connection
                .prepare_cached(
                    "UPDATE record SET
                     seq = 1 + coalesce((SELECT max(l.seq) FROM record l WHERE l.kind = record.kind AND l.seq > 0), 0),
                     state = ?2, changed_ms = ?3, conflicts = ?4, problems = ?5, index_digest = ?6, submission = ?7,
                     title = ?8, list = ?9, heads = ?10 WHERE n = ?1",
                )?
                .execute(params![
                    n,
                    state_number(row.state),
                    row.changed_ms,
                    row.conflict_count,
                    row.problem_count,
                    digest,
                    row.submission,
                    row.title,
                    row.list,
                    heads
                ])?;
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO body(record, id, bytes) VALUES(?1, ?2, ?3)")?
                .execute(params![n, id.as_bytes(), packed])?;
            self.connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO reading(record, answers, conflicts, problems) VALUES(?1, ?2, ?3, ?4)",
                )?
                .execute(params![n, row.answers, row.conflicts, row.problems])
        };
        stored().map_err(|error| self.failed(doing, error))?;
        if old_digest.as_deref() != Some(digest.as_slice()) {
            self.put_search(n, &index_text(&row.search))?;
            self.put_persons(n, &row.persons)?;
        }
        // How far it has got depends on its outbox alone, and whatever writes there derives it again.
        if first { self.refresh_sync(id) } else { Ok(()) }
    }

    /// Removes a record that no followed feed holds any more, with all that was read of it. What only its user can
    /// know stays: a draft, and what was not taken.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove_record(&self, id: &RecordId) -> Result<(), StoreError> {
        let doing = "removing a record";
        let Some(n) = self.view().number(id)? else { return Ok(()) };
        self.drop_search(n)?;
        let remove = || {
            for sql in [
                "DELETE FROM person WHERE record = ?1",
                "DELETE FROM reading WHERE record = ?1",
                "DELETE FROM body WHERE record = ?1",
                "DELETE FROM record WHERE n = ?1",
            ] {
                self.connection.prepare_cached(sql)?.execute([n])?;
            }
            for sql in [
                "DELETE FROM review WHERE record = ?1",
                "DELETE FROM pending WHERE record = ?1",
                "DELETE FROM verdict WHERE record = ?1",
                "DELETE FROM outbox WHERE record = ?1",
            ] {
                self.connection.prepare_cached(sql)?.execute([id.as_bytes()])?;
            }
            Ok(())
        };
        remove().map_err(|error| self.failed(doing, error))
    }

    /// Keeps of the record's entries no more than `leaf_of` makes of them.
    pub(super) fn leave_leaves(&self, id: &RecordId, leaf_of: LeafOf<'_>) -> rusqlite::Result<()> {
        let mut listed = self.connection.prepare("SELECT n, hash, body FROM feed_entry WHERE record = ?1")?;
        let entries = listed.query_map([id.as_bytes()], |row| {
            let hash = row.get::<_, Option<[u8; 32]>>(1)?.map(ChangeHash);
            Ok((row.get::<_, i64>(0)?, hash, row.get::<_, Option<Vec<u8>>>(2)?))
        })?;
        for (n, hash, body) in entries.collect::<Result<Vec<_>, _>>()? {
            if let Some(leaf) = leaf_of(hash, body.as_deref()) {
                self.connection
                    .prepare_cached("UPDATE feed_entry SET record = NULL, hash = NULL, body = ?2 WHERE n = ?1")?
                    .execute(params![n, leaf])?;
            }
        }
        Ok(())
    }

    /// Erases a record for ever: everything of it goes but its entries' leaves, which `leaf_of` makes of a change's hash
    /// or an entry's body, and its id can never be stored again. What the search and the
    /// write-ahead log still hold of it goes at the next [`super::Store::tidy`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn purge(&self, id: &RecordId, leaf_of: LeafOf<'_>) -> Result<(), StoreError> {
        let doing = "purging a record";
        self.leave_leaves(id, leaf_of).map_err(|error| self.failed(doing, error))?;
        self.remove_record(id)?;
        let erase = || {
            // A new record may have no row yet, but an open form and what was not taken of it.
            for sql in [
                "DELETE FROM feed_entry WHERE record = ?1",
                "DELETE FROM lost WHERE record = ?1",
                "DELETE FROM review WHERE record = ?1",
                "DELETE FROM pending WHERE record = ?1",
                "DELETE FROM verdict WHERE record = ?1",
                "DELETE FROM outbox WHERE record = ?1",
                "DELETE FROM not_taken WHERE record = ?1",
                "DELETE FROM draft WHERE id = ?1",
            ] {
                self.connection.execute(sql, [id.as_bytes()])?;
            }
            self.connection.execute("INSERT OR IGNORE INTO purged(id) VALUES(?1)", [id.as_bytes()])
        };
        erase().map_err(|error| self.failed(doing, error))?;
        self.put_setting(SCRUB, b"1")
    }

    /// Derives how far the record has got from its outbox rows; called by whatever changes one.
    pub(super) fn refresh_sync(&self, id: &RecordId) -> Result<(), StoreError> {
        let doing = "noting how far a record has got";
        self.connection
            .prepare_cached(
                "UPDATE record SET sync = CASE
                   WHEN EXISTS(SELECT 1 FROM not_taken WHERE record = ?1)
                     OR EXISTS(SELECT 1 FROM verdict WHERE record = ?1 AND settled = 0) THEN 4
                   ELSE coalesce((SELECT CASE min(CASE WHEN state IN (2, 3) THEN 2 WHEN held THEN 1 ELSE 0 END)
                          WHEN 0 THEN 0 WHEN 1 THEN 2 WHEN 2 THEN 1 END
                        FROM outbox WHERE record = ?1 AND state < 4),
                        CASE WHEN EXISTS(SELECT 1 FROM lost WHERE record = ?1) THEN 1 ELSE 3 END) END
                 WHERE id = ?1",
            )
            .and_then(|mut s| s.execute([id.as_bytes()]))
            .map_err(|error| self.failed(doing, error))?;
        Ok(())
    }
}

/// Names what search and person index hold of a record: if it is unchanged they need no writing.
fn index_digest(row: &ReadRow) -> Vec<u8> {
    let mut hash = Sha256::new();
    for text in &row.search {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    for person in &row.persons {
        hash.update([1]);
        for text in person.key.parts().into_iter().chain([person.path.as_str(), person.title.as_str()]) {
            hash.update(text.as_bytes());
            hash.update([0]);
        }
    }
    hash.finalize()[..16].to_vec()
}
