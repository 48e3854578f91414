//! Records: the document's body, and the row that lists and pages read.

use std::sync::Arc;

use crate::sql;
use crate::sql::{Connection, OptionalExtension, Words};
use fieldbook_core::access::FeedId;
use fieldbook_core::document::{Document, Rendition, ReviewMark, body, state_of};
use fieldbook_core::forms::{EvalTime, Form, FormDefinition};
use fieldbook_core::ids::{ActorId, ChangeHash, DeviceId, RecordId, UserId};
use fieldbook_core::protocol::{EntryBody, RecordStart};
use fieldbook_core::sync::chain;
use serde_json::{Value as Json, json};

use super::documents::Documents;
use super::feeds::{self, Feed, NewEntry};
use super::listed::{ListedRow, Listing};
use super::persons::{self, Persons};
use super::{Store, StoreError, reviews};

/// A row's conflicts where there are none.
const NO_CONFLICTS: &str = "[]";
/// A record in hand: its document and where it belongs.
pub(crate) struct OpenRecord {
    pub(crate) id: RecordId,
    pub(crate) kind: String,
    pub(crate) feed: Feed,
    pub(crate) document: Arc<Document>,
    /// Of the document, as far as it is known.
    pub(crate) rendition: Option<Rendition>,
    /// About the size of the document when it is saved, before compression.
    pub(crate) body_bytes: usize,
    pub(crate) salt: [u8; 8],
    pub(crate) received_ms: i64,
    /// Newest change's claim of when, seconds since 1970 UTC.
    pub(crate) changed_s: i64,
    /// No entry of it is in its feed yet.
    pub(crate) fresh: bool,
    /// Body and row must be written before the transaction ends.
    pub(crate) dirty: bool,
    /// The feed, if any, in which this transaction has said again that the record has left it.
    pub(crate) left_again: Option<FeedId>,
    /// The conflicts of its row, as JSON.
    pub(crate) conflicts: String,
    /// It was not here before this transaction.
    pub(crate) created: bool,
    /// Who wrote in it since it was saved last.
    pub(crate) wrote: Vec<UserId>,
}

/// What saving a record found.
#[derive(Default)]
pub(crate) struct Saved {
    /// Fields that began to disagree, by path.
    pub(crate) conflicts: Vec<String>,
    /// It began to look like another record.
    pub(crate) doubled: bool,
    /// What it is found by from now on, if that has changed.
    pub(crate) words: Option<Words>,
}

/// A change that passed intake, on its way into the log.
pub(crate) struct Accepted<'a> {
    pub(crate) hash: ChangeHash,
    pub(crate) bytes: &'a [u8],
    pub(crate) time_s: i64,
    pub(crate) received_ms: i64,
    pub(crate) stated: Option<(DeviceId, u64, u32)>,
    /// Who wrote it, if that is known.
    pub(crate) user: Option<UserId>,
}

/// Reads concatenated change hashes.
pub(crate) fn hashes(bytes: &[u8]) -> Result<Vec<ChangeHash>, StoreError> {
    bytes
        .chunks(32)
        .map(|chunk| ChangeHash::from_slice(chunk).map_err(|error| StoreError::corrupt("heads", error)))
        .collect()
}

/// Concatenates change hashes.
pub(crate) fn joined(hashes: &[ChangeHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// A record as its rows hold it.
pub(crate) struct Fetched {
    id: RecordId,
    kind: String,
    pub(crate) feed: Feed,
    salt: [u8; 8],
    received_ms: i64,
    changed_s: i64,
    heads: Vec<u8>,
    conflicts: String,
    content: Content,
}

enum Content {
    /// Compressed.
    Packed(Vec<u8>),
    /// Loaded before, of so many bytes.
    Loaded(Arc<Document>, usize),
}

/// The record's rows, if it is here; of the body only what `documents` lacks.
pub(crate) fn fetch(
    tx: &Connection,
    id: RecordId,
    documents: Option<&Documents>,
) -> Result<Option<Fetched>, StoreError> {
    let sql = "SELECT kind, feed, salt, received_ms, changed_s, heads, conflicts_json FROM records WHERE id = ?1";
    let mut statement = tx.prepare(sql)?;
    type Found = (String, i64, [u8; 8], i64, i64, Vec<u8>, String);
    let found: Option<Found> = statement
        .query_row([id.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
        })
        .optional()?;
    let Some((kind, feed, salt, received_ms, changed_s, heads, conflicts)) = found else { return Ok(None) };
    let feed = feeds::feed_by_row(tx, feed)?;
    let content = match documents.and_then(|documents| documents.at(id, &heads)) {
        Some((document, bytes)) => Content::Loaded(document, bytes),
        None => {
            let mut statement = tx.prepare("SELECT body FROM bodies WHERE record = ?1")?;
            Content::Packed(statement.query_row([id.as_bytes()], |row| row.get(0))?)
        }
    };
    Ok(Some(Fetched { id, kind, feed, salt, received_ms, changed_s, heads, conflicts, content }))
}

impl Fetched {
    /// The record in hand; a document that had to be loaded is kept in `documents`.
    pub(crate) fn open(self, documents: Option<&Documents>) -> Result<OpenRecord, StoreError> {
        let Self { id, kind, feed, salt, received_ms, changed_s, heads, conflicts, content } = self;
        let (document, body_bytes) = match content {
            Content::Loaded(document, bytes) => (document, bytes),
            Content::Packed(body) => {
                let body = body::unpack(&body).map_err(|error| StoreError::corrupt("body", error))?;
                let document = Document::load(&body).map_err(|error| StoreError::corrupt("body", error))?;
                let document = Arc::new(document);
                if let Some(documents) = documents {
                    documents.keep(id, heads, Arc::clone(&document), body.len());
                }
                (document, body.len())
            }
        };
        let open = blank(id, feed, document, received_ms);
        Ok(OpenRecord { kind, body_bytes, salt, changed_s, fresh: false, conflicts, created: false, ..open })
    }
}

/// The record as it is stored, if it is here.
pub(crate) fn load(tx: &Connection, id: RecordId) -> Result<Option<OpenRecord>, StoreError> {
    fetch(tx, id, None)?.map(|fetched| fetched.open(None)).transpose()
}

/// A record of which nothing is stored.
pub(crate) fn blank(id: RecordId, feed: Feed, document: Arc<Document>, received_ms: i64) -> OpenRecord {
    let kind = document.record().kind.clone();
    let (rendition, body_bytes, salt, changed_s, fresh, dirty) = (None, 0, [0; 8], 0, true, false);
    let (left_again, wrote) = (None, Vec::new());
    OpenRecord {
        id,
        kind,
        feed,
        document,
        rendition,
        body_bytes,
        salt,
        received_ms,
        changed_s,
        fresh,
        dirty,
        left_again,
        wrote,
        conflicts: NO_CONFLICTS.to_owned(),
        created: true,
    }
}

impl Store {
    /// As [`load`], but the document may be one that was loaded before.
    pub(crate) fn load(&self, tx: &Connection, id: RecordId) -> Result<Option<OpenRecord>, StoreError> {
        fetch(tx, id, Some(&self.documents))?.map(|fetched| fetched.open(Some(&self.documents))).transpose()
    }

    /// A record that is not here yet; nothing is stored.
    pub(crate) fn new_record(
        &self,
        tx: &Connection,
        id: RecordId,
        feed: &FeedId,
        form: &FormDefinition,
        received_ms: i64,
    ) -> Result<OpenRecord, StoreError> {
        let document = Document::create(id, form).map_err(|error| StoreError::corrupt("creation", error))?;
        let feed = feeds::feed(tx, feed)?.unwrap_or_else(|| Feed::unwritten(feed));
        let mut open = blank(id, feed, Arc::new(document), received_ms);
        self.random.fill(&mut open.salt);
        Ok(open)
    }

    /// Appends the change, which `open.document` holds already, to the record's feed. The body and row are written
    /// by [`Self::save_record`]. Returns the entry's position.
    pub(crate) fn append_change(
        &self,
        tx: &Connection,
        open: &mut OpenRecord,
        change: &Accepted<'_>,
    ) -> Result<u64, StoreError> {
        // Other records write into the same feed: its head is read anew for each entry.
        let mut feed = feeds::feed_for(tx, &open.feed.id.unit, open.feed.id.area)?;
        let first = open.fresh.then(|| RecordStart {
            kind: open.kind.clone(),
            created_version: open.document.record().created_version.clone(),
            salt: open.salt,
            moved: None,
        });
        let body = EntryBody::Change { record: open.id, first, bytes: change.bytes.to_vec().into() };
        let new = NewEntry {
            received_ms: change.received_ms,
            record: Some(open.id),
            hash: Some(change.hash),
            stated: change.stated,
            leaf: chain::change_leaf(&open.salt, &change.hash),
            body: &body,
        };
        let position = feeds::append(tx, &mut feed, &new)?;
        open.wrote.extend(change.user.filter(|user| !open.wrote.contains(user)));
        open.feed = feed;
        open.changed_s = open.changed_s.max(change.time_s);
        open.body_bytes += change.bytes.len();
        open.received_ms = change.received_ms;
        (open.fresh, open.dirty) = (false, true);
        Ok(position)
    }

    /// Writes body and row of a record, the row under the newest form of its kind.
    pub(crate) fn save_record(&self, tx: &Connection, open: &mut OpenRecord) -> Result<(), StoreError> {
        let saved = self.save_record_as(tx, open, None)?;
        Ok(tx.put_words(saved.words.as_slice())?)
    }

    /// As [`Self::save_record`], with what was worked out for it before; its words are left to the caller.
    pub(crate) fn save_record_as(
        &self,
        tx: &Connection,
        open: &mut OpenRecord,
        ready: Option<ReadyRow>,
    ) -> Result<Saved, StoreError> {
        let heads = open.document.heads();
        let form = self.current_form(tx, &open.kind)?.ok_or_else(|| StoreError::corrupt("form", &open.kind))?;
        let ready = match ready.filter(|ready| ready.fits(&form, &heads, open)) {
            Some(ready) => ready,
            None => ReadyRow::of(form, open)?,
        };
        let read = &ready.read;
        let last = reviews::last(tx, open.id)?;
        let submission = open.document.submission();
        let state = state_of(&heads, submission.as_deref(), last.as_ref().map(|last| &last.mark));
        let conflicts = Json::from(read.conflicts.clone()).to_string();
        tx.prepare(
            "INSERT INTO records(id, kind, created_version, unit, feed, salt, state, submission, heads, conflicts_json,
               conflict_count, problem_count, received_ms, changed_s)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT(id) DO UPDATE SET state = ?7, submission = ?8, heads = ?9, conflicts_json = ?10,
               conflict_count = ?11, problem_count = ?12, received_ms = ?13, changed_s = ?14",
        )?
        .execute(sql::params![
            open.id.as_bytes(),
            open.kind,
            open.document.record().created_version,
            open.feed.id.unit,
            open.feed.row,
            open.salt,
            state.word(),
            submission,
            joined(&heads),
            conflicts,
            read.conflicts.len(),
            read.problems,
            open.received_ms,
            open.changed_s,
        ])?;
        let words = ListedRow {
            record: open.id,
            kind: &open.kind,
            unit: &open.feed.id.unit,
            state: state.word(),
            conflicts: read.conflicts.len(),
            problems: read.problems,
            received_ms: open.received_ms,
            changed_s: open.changed_s,
            reviewed_ms: last.as_ref().map(|last| last.time_ms),
            listing: &read.listing,
            wrote: &open.wrote,
        }
        .put(tx)?;
        tx.prepare("INSERT INTO bodies(record, body) VALUES (?1, ?2) ON CONFLICT(record) DO UPDATE SET body = ?2")?
            .execute((open.id.as_bytes(), ready.body))?;
        (open.dirty, open.wrote) = (false, Vec::new());
        let saved = Saved {
            words,
            conflicts: new_conflicts(&open.conflicts, &read.conflicts),
            doubled: match &read.persons {
                Some(found) => {
                    let wanted = persons::wanted(&self.person_key, &open.kind, &open.feed.id.unit, state, found);
                    persons::put(tx, open.id, &open.kind, &wanted, self.now_ms())?
                }
                None => false,
            },
        };
        open.conflicts = conflicts;
        self.documents.keep(open.id, joined(&heads), Arc::clone(&open.document), ready.body_bytes);
        Ok(saved)
    }
}

/// A record's row and body, ready to be written.
pub(crate) struct ReadyRow {
    form: Arc<Form>,
    heads: Vec<ChangeHash>,
    changed_s: i64,
    read: ReadRow,
    /// Compressed.
    body: Vec<u8>,
    /// Size of the body before it was compressed.
    body_bytes: usize,
}

impl ReadyRow {
    /// Reads and packs a record under the newest form of its kind.
    pub(crate) fn of(form: Arc<Form>, open: &mut OpenRecord) -> Result<Self, StoreError> {
        let rendition = Rendition::after(&open.document, form.definition(), open.rendition.take());
        let body = body::pack(rendition.body(), body::LEVEL_SERVER);
        let body = body.map_err(|error| StoreError::corrupt("body", error))?;
        let (heads, read) = (rendition.heads().to_vec(), read_row(&form, open, &rendition));
        Ok(Self { form, heads, changed_s: open.changed_s, read, body, body_bytes: rendition.body().len() })
    }

    fn fits(&self, form: &Arc<Form>, heads: &[ChangeHash], open: &OpenRecord) -> bool {
        Arc::ptr_eq(&self.form, form) && self.heads == heads && self.changed_s == open.changed_s
    }
}

/// What a row holds of a record's content.
pub(crate) struct ReadRow {
    pub(crate) conflicts: Vec<Json>,
    /// How often it breaks the form's rules.
    pub(crate) problems: usize,
    pub(crate) listing: Listing,
    /// Whom it is about; `None` where the form marks nobody.
    pub(crate) persons: Option<Persons>,
}

/// The paths in conflict now that were not before.
fn new_conflicts(before: &str, now: &[Json]) -> Vec<String> {
    if now.is_empty() {
        return Vec::new();
    }
    let before: Vec<Json> = serde_json::from_str(before).unwrap_or_default();
    let path = |conflict: &Json| conflict.get("path").and_then(Json::as_str).map(str::to_owned);
    let known: Vec<String> = before.iter().filter_map(path).collect();
    now.iter().filter_map(path).filter(|path| !known.contains(path)).collect()
}

/// Reads the merged record under `form`, of which `rendition` is.
fn read_row(form: &Arc<Form>, open: &OpenRecord, rendition: &Rendition) -> ReadRow {
    let evaluation = form.evaluate(rendition.values(), EvalTime::new(open.changed_s, &open.id));
    let conflicts = rendition
        .conflicts()
        .iter()
        .map(|conflict| json!({ "path": conflict.path.to_string(), "count": conflict.values.len() }))
        .collect();
    let listing = Listing::of(form, &evaluation.shown);
    let marks = form.definition().fields.iter().any(|field| field.identity);
    let persons = marks.then(|| Persons::of(form, &evaluation.shown));
    ReadRow { conflicts, problems: evaluation.problems.len(), listing, persons }
}

/// Who writes under an actor.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) device: DeviceId,
}

/// Who writes under this actor, if it was ever used here.
pub(crate) fn author(tx: &Connection, actor: ActorId) -> Result<Option<Author>, StoreError> {
    let sql = "SELECT actors.user, name, device FROM actors JOIN users ON users.id = actors.user WHERE actor = ?1";
    let mut statement = tx.prepare(sql)?;
    let found = statement
        .query_row([actor.as_bytes()], |row| {
            Ok(Author { user: UserId(row.get(0)?), name: row.get(1)?, device: DeviceId(row.get(2)?) })
        })
        .optional()?;
    Ok(found)
}

/// When the server received a change, milliseconds since 1970 UTC.
pub(crate) fn received_ms(tx: &Connection, change: &ChangeHash) -> Result<Option<i64>, StoreError> {
    let mut statement = tx.prepare("SELECT received_ms FROM entries WHERE hash = ?1")?;
    Ok(statement.query_row([change.as_bytes()], |row| row.get(0)).optional()?)
}

/// The reviews' mark of a record and the fields that its last return opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastReview {
    pub(crate) mark: ReviewMark,
    pub(crate) reopened: Option<Vec<String>>,
    /// When, milliseconds since 1970 UTC.
    pub(crate) time_ms: i64,
}
