CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
-- statement, statement_hash, taken_*: what this hub holds. up_*: what the server holds, as far as is known; all_*: up to
-- where it has said to hold all. feeds: CBOR of those that the device is shown. served: the server's list names it.
CREATE TABLE devices (
  id BLOB PRIMARY KEY, key BLOB NOT NULL, user BLOB NOT NULL, revoked INTEGER NOT NULL, feeds BLOB NOT NULL,
  served INTEGER NOT NULL DEFAULT 1, counter INTEGER NOT NULL DEFAULT 0, last_contact_ms INTEGER,
  statement INTEGER NOT NULL DEFAULT 0, statement_hash BLOB, taken_statement INTEGER, taken_index INTEGER,
  up_statement INTEGER NOT NULL DEFAULT 0, up_taken_statement INTEGER, up_taken_index INTEGER,
  all_statement INTEGER, all_index INTEGER
) STRICT, WITHOUT ROWID;
-- What phones brought, as they signed it. aside: the server holds another statement under this number. passing: of a feed
-- that is not mirrored here.
CREATE TABLE statements (
  device BLOB NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL, bytes BLOB NOT NULL, signature BLOB NOT NULL,
  received_ms INTEGER NOT NULL, aside INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (device, number, hash)
) STRICT;
CREATE TABLE bodies (
  device BLOB NOT NULL, statement INTEGER NOT NULL, item INTEGER NOT NULL, hash BLOB NOT NULL, record BLOB NOT NULL,
  kind TEXT NOT NULL, created_version TEXT NOT NULL, form_version TEXT NOT NULL, bytes BLOB NOT NULL,
  received_ms INTEGER NOT NULL, aside INTEGER NOT NULL DEFAULT 0, passing INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (device, statement, item, hash)
) STRICT;
CREATE INDEX bodies_record ON bodies(record);
CREATE INDEX bodies_hash ON bodies(hash);
-- The server's log, as it came.
CREATE TABLE feeds (
  id INTEGER PRIMARY KEY, unit TEXT NOT NULL, area TEXT NOT NULL, epoch INTEGER NOT NULL, position INTEGER NOT NULL,
  chain BLOB NOT NULL, UNIQUE (unit, area)
) STRICT;
CREATE TABLE entries (
  feed INTEGER NOT NULL REFERENCES feeds(id), position INTEGER NOT NULL, received_ms INTEGER NOT NULL, record BLOB,
  hash BLOB, chain BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (feed, position)
) STRICT;
CREATE INDEX entries_hash ON entries(hash) WHERE hash IS NOT NULL;
CREATE INDEX entries_record ON entries(record) WHERE record IS NOT NULL;
CREATE TABLE heads (
  feed INTEGER NOT NULL REFERENCES feeds(id), position INTEGER NOT NULL, epoch INTEGER NOT NULL, chain BLOB NOT NULL,
  time_ms INTEGER NOT NULL, signature BLOB NOT NULL, PRIMARY KEY (feed, position)
) STRICT;
CREATE TABLE records (
  id BLOB PRIMARY KEY, salt BLOB NOT NULL, kind TEXT NOT NULL, created_version TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE erased (record BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE forms (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, version TEXT NOT NULL, unit TEXT NOT NULL, hash BLOB NOT NULL,
  bytes BLOB, UNIQUE (kind, version)
) STRICT;
