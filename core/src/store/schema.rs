//! The tables, and how an older file becomes a newer one.
//!
//! Every table has an integer key, so that a damaged file can be salvaged row by row. Nothing depends on another
//! table's row being there.

use fieldbook_sqlite::rusqlite::Connection;

use super::StoreError;

/// One step a schema version: step `n` (from 0) makes version `n + 1`.
const STEPS: &[&str] = &[V1];

/// The newest schema that this build knows.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Version 1.
const V1: &str = "
CREATE TABLE setting(n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, value BLOB NOT NULL);

-- Own changes that no signed head covers yet, in the order in which they were made.
-- state: 0 unstated, 1 stated, 2 sent, 3 entered (at `position`), 4 not taken, 5 withdrawn. held: a township hub has
-- the body, and the server not yet.
CREATE TABLE outbox(
  n INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, record BLOB NOT NULL, kind TEXT NOT NULL,
  created_version TEXT NOT NULL, form_version TEXT NOT NULL, unit TEXT NOT NULL, area INTEGER NOT NULL,
  actor BLOB NOT NULL, state INTEGER NOT NULL, statement INTEGER, list_index INTEGER, position INTEGER,
  bytes BLOB NOT NULL, held INTEGER NOT NULL DEFAULT 0);
CREATE INDEX outbox_by_record ON outbox(record, n);
CREATE INDEX outbox_by_state ON outbox(state, n);
CREATE INDEX outbox_by_statement ON outbox(statement, list_index) WHERE statement IS NOT NULL;
-- For what an exchange moves on; a save of the user's touches none of them.
CREATE INDEX outbox_stated ON outbox(held, statement, list_index) WHERE state = 1;
CREATE INDEX outbox_sent ON outbox(statement, list_index) WHERE state = 2;
CREATE INDEX outbox_held ON outbox(statement, list_index) WHERE held = 1;
CREATE TABLE statement(number INTEGER PRIMARY KEY, hash BLOB NOT NULL, bytes BLOB NOT NULL, signature BLOB NOT NULL);
CREATE TABLE verdict(
  n INTEGER PRIMARY KEY, change BLOB NOT NULL UNIQUE, record BLOB NOT NULL, bytes BLOB NOT NULL,
  settled INTEGER NOT NULL);
CREATE INDEX verdict_open ON verdict(record) WHERE settled = 0;
CREATE INDEX verdict_by_record ON verdict(record);
-- What the server did not take and the user has to see, also of records that left; `bytes` is the facade's.
CREATE TABLE not_taken(n INTEGER PRIMARY KEY, record BLOB NOT NULL, change BLOB NOT NULL, bytes BLOB NOT NULL);
CREATE INDEX not_taken_by_record ON not_taken(record);

-- seq: 0 = no document yet; else grows with every write within a kind, so that the latest change is the largest.
-- sync: 0 saved here, 1 sent, 2 at the township, 3 on the server, 4 not taken.
-- moves: number of its last move between feeds that was heard of.
CREATE TABLE record(
  n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, kind TEXT NOT NULL, created_version TEXT NOT NULL,
  unit TEXT NOT NULL, area INTEGER NOT NULL, salt BLOB, seq INTEGER NOT NULL DEFAULT 0,
  moves INTEGER NOT NULL DEFAULT 0,
  state INTEGER NOT NULL DEFAULT 0, sync INTEGER NOT NULL DEFAULT 0, changed_ms INTEGER NOT NULL DEFAULT 0,
  conflicts INTEGER NOT NULL DEFAULT 0, problems INTEGER NOT NULL DEFAULT 0, index_digest BLOB,
  submission TEXT, title TEXT NOT NULL DEFAULT '', list TEXT NOT NULL DEFAULT '{}', heads BLOB NOT NULL DEFAULT x'');
-- Lists and counts are read from this index alone; one index, because every further one costs each save two pages.
CREATE INDEX record_by_kind ON record(kind, seq, state, sync, conflicts, problems) WHERE seq > 0;
CREATE INDEX record_by_feed ON record(unit, area);
CREATE TABLE body(record INTEGER PRIMARY KEY, id BLOB NOT NULL, bytes BLOB NOT NULL);
CREATE TABLE reading(
  record INTEGER PRIMARY KEY, answers TEXT NOT NULL, conflicts TEXT NOT NULL, problems TEXT NOT NULL);
-- What is searched, not what is shown: text spaced by character, and codes (pinyin, numbers). The prefix indexes keep
-- a search fast that everything begins with: one letter, or the six digits that a whole county shares.
CREATE VIRTUAL TABLE search USING fts5(
  words, codes, content='', contentless_delete=1, prefix='1 2 4 6 8',
  tokenize=\"unicode61 remove_diacritics 0 categories 'L* N* M* Co'\");
CREATE TABLE person(
  n INTEGER PRIMARY KEY, key BLOB NOT NULL, record INTEGER NOT NULL, path TEXT NOT NULL, title TEXT NOT NULL);
CREATE INDEX person_by_key ON person(key);
CREATE INDEX person_by_record ON person(record);

CREATE TABLE draft(
  n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, kind TEXT NOT NULL, is_new INTEGER NOT NULL,
  form_version TEXT NOT NULL, heads BLOB NOT NULL, bytes BLOB NOT NULL, saved_ms INTEGER NOT NULL);
CREATE TABLE form(
  n INTEGER PRIMARY KEY, kind TEXT NOT NULL, version TEXT NOT NULL, current INTEGER NOT NULL, bytes BLOB NOT NULL,
  UNIQUE(kind, version));
CREATE TABLE actor(
  n INTEGER PRIMARY KEY, actor BLOB NOT NULL UNIQUE, device BLOB NOT NULL, user BLOB NOT NULL, name TEXT NOT NULL);
CREATE TABLE unit(
  n INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, name TEXT NOT NULL, parent TEXT, division TEXT);
CREATE TABLE review(
  n INTEGER PRIMARY KEY, record BLOB NOT NULL, unit TEXT NOT NULL, area INTEGER NOT NULL, position INTEGER NOT NULL,
  submission TEXT, bytes BLOB NOT NULL, UNIQUE(unit, area, position));
CREATE INDEX review_by_record ON review(record, n);
CREATE TABLE feed(
  n INTEGER PRIMARY KEY, unit TEXT NOT NULL, area INTEGER NOT NULL, epoch INTEGER NOT NULL, position INTEGER NOT NULL,
  chain BLOB NOT NULL, head_position INTEGER NOT NULL, head BLOB, UNIQUE(unit, area));
-- feed: n of its feed.
-- hash: of a change; anything else has a body, and the record that it is about.
CREATE TABLE feed_entry(
  n INTEGER PRIMARY KEY, feed INTEGER NOT NULL, position INTEGER NOT NULL, received_ms INTEGER NOT NULL,
  chain BLOB NOT NULL, record BLOB, hash BLOB, body BLOB, UNIQUE(feed, position));
-- Changes that the server had and lost.
CREATE TABLE lost(n INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, record BLOB NOT NULL);
CREATE INDEX lost_by_record ON lost(record);
CREATE TABLE pending(
  n INTEGER PRIMARY KEY, unit TEXT NOT NULL, area INTEGER NOT NULL, epoch INTEGER NOT NULL, position INTEGER NOT NULL,
  record BLOB NOT NULL, reason TEXT NOT NULL, bytes BLOB NOT NULL, UNIQUE(unit, area, epoch, position));
CREATE INDEX pending_by_record ON pending(record);
CREATE TABLE purged(n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE);
-- What has arrived of a segment that is being fetched; not salvaged: it is fetched again.
CREATE TABLE segment(n INTEGER PRIMARY KEY, name BLOB NOT NULL, at INTEGER NOT NULL, bytes BLOB NOT NULL, UNIQUE(name, at));
";

/// Tables in the order in which they are salvaged: unsent work first.
pub(super) const TABLES: &[&str] = &[
    "setting",
    "outbox",
    "statement",
    "draft",
    "body",
    "record",
    "form",
    "verdict",
    "not_taken",
    "purged",
    "reading",
    "unit",
    "actor",
    "review",
    "feed",
    "feed_entry",
    "lost",
    "pending",
    "person",
];

/// Brings the file to [`VERSION`], in one transaction.
///
/// # Errors
/// [`StoreError::Newer`] for a file of a newer app, else what SQLite said.
pub(super) fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let doing = "preparing the store's tables";
    let sql = |error| StoreError::from_sqlite(doing, error);
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sql)?;
    if !(0..=VERSION).contains(&found) {
        return Err(StoreError::Newer { found, known: VERSION });
    }
    let Some(steps) = usize::try_from(found).ok().and_then(|done| STEPS.get(done..)) else { return Ok(()) };
    if steps.is_empty() {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction().map_err(sql)?;
    for step in steps {
        transaction.execute_batch(step).map_err(sql)?;
    }
    transaction.pragma_update(None, "user_version", VERSION).map_err(sql)?;
    transaction.commit().map_err(sql)
}
