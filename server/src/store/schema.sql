-- Tables with large rows have row ids: a lookup in one without reads whole rows on its way down.
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE units (
  code TEXT PRIMARY KEY, name TEXT NOT NULL, parent TEXT REFERENCES units(code), division TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX units_parent ON units(parent);
CREATE TABLE users (
  id BLOB PRIMARY KEY, name TEXT NOT NULL, login TEXT NOT NULL UNIQUE, unit TEXT NOT NULL REFERENCES units(code),
  password TEXT NOT NULL, created_ms INTEGER NOT NULL, password_to_change INTEGER NOT NULL DEFAULT 0,
  totp BLOB, totp_pending BLOB, totp_step INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE recovery_codes (
  user BLOB NOT NULL REFERENCES users(id), hash BLOB NOT NULL, PRIMARY KEY (user, hash)
) STRICT, WITHOUT ROWID;
CREATE TABLE user_roles (
  user BLOB NOT NULL REFERENCES users(id), role TEXT NOT NULL, unit TEXT NOT NULL REFERENCES units(code),
  PRIMARY KEY (user, role, unit)
) STRICT, WITHOUT ROWID;
-- statement, statement_hash: the device's last statement here. confirmed_a, confirmed_b: the last two cursor sets
-- that this server confirmed to it (CBOR), newest first. verdict: number of the last one written; told: of the last one
-- that the device has confirmed.
CREATE TABLE devices (
  id BLOB PRIMARY KEY, user BLOB NOT NULL REFERENCES users(id), key BLOB NOT NULL, name TEXT NOT NULL,
  counter INTEGER NOT NULL DEFAULT 0, statement INTEGER NOT NULL DEFAULT 0, statement_hash BLOB,
  taken_statement INTEGER, taken_index INTEGER, confirmed_a BLOB, confirmed_b BLOB,
  registry_hash BLOB, registry INTEGER NOT NULL DEFAULT 0, verdict INTEGER NOT NULL DEFAULT 0,
  told INTEGER NOT NULL DEFAULT 0,
  enrolled_ms INTEGER NOT NULL, last_contact_ms INTEGER, clock_skew_ms INTEGER, revoked_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE enrolments (
  code_hash BLOB PRIMARY KEY, user BLOB NOT NULL REFERENCES users(id), created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL, used_ms INTEGER, device BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE actors (actor BLOB PRIMARY KEY, device BLOB NOT NULL, user BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE forms (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, version TEXT NOT NULL, unit TEXT NOT NULL REFERENCES units(code),
  area TEXT NOT NULL, bytes BLOB NOT NULL, published_ms INTEGER NOT NULL, publisher BLOB, UNIQUE (kind, version)
) STRICT;
CREATE TABLE feeds (
  id INTEGER PRIMARY KEY, unit TEXT NOT NULL REFERENCES units(code), area TEXT NOT NULL, epoch INTEGER NOT NULL,
  position INTEGER NOT NULL, chain BLOB NOT NULL, head BLOB, erasures INTEGER NOT NULL DEFAULT 0, UNIQUE (unit, area)
) STRICT;
-- body: CBOR of EntryBody as every follower but the author gets it. hash: of the change, for entries that hold one;
-- device, statement, item: which signed statement vouches for it, none for the server's own. All four are empty for
-- what remains of the entry of a record that was purged or has moved on: its leaf. moved: it came here with its record.
CREATE TABLE entries (
  feed INTEGER NOT NULL REFERENCES feeds(id), position INTEGER NOT NULL, received_ms INTEGER NOT NULL, record BLOB,
  hash BLOB, device BLOB, statement INTEGER, item INTEGER, chain BLOB NOT NULL, body BLOB NOT NULL,
  moved INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (feed, position)
) STRICT;
CREATE UNIQUE INDEX entries_hash ON entries(hash) WHERE hash IS NOT NULL;
CREATE INDEX entries_record ON entries(record, feed, position) WHERE record IS NOT NULL;
CREATE TABLE records (
  id BLOB PRIMARY KEY, kind TEXT NOT NULL, created_version TEXT NOT NULL, unit TEXT NOT NULL REFERENCES units(code),
  feed INTEGER NOT NULL REFERENCES feeds(id), salt BLOB NOT NULL, state TEXT NOT NULL, submission TEXT,
  heads BLOB NOT NULL, conflicts_json TEXT NOT NULL, conflict_count INTEGER NOT NULL, problem_count INTEGER NOT NULL,
  received_ms INTEGER NOT NULL, changed_s INTEGER NOT NULL
) STRICT;
CREATE INDEX records_kind ON records(kind, id);
-- What lists, counts and the map read: one narrow row a record (docs/adr/0011). cells: JSON of the list columns by path,
-- sensitive ones masked. lat_e5, lon_e5: 1/100,000 degree. indexed: digest of what search and links hold. writers: ids of
-- the users who wrote in it, one behind the other. serial: grows
-- with every write, over all records. Of a purged record number and id stay, under the kind ''. The words that a
-- record is found by are in the table `lexicon`, which each database has in its own form (sql/search.rs).
CREATE TABLE listed (
  n INTEGER PRIMARY KEY, record BLOB NOT NULL UNIQUE, kind TEXT NOT NULL, unit TEXT NOT NULL, state TEXT NOT NULL,
  conflicts INTEGER NOT NULL, problems INTEGER NOT NULL, first_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL,
  changed_s INTEGER NOT NULL, reviewed_ms INTEGER, cells TEXT NOT NULL, lat_e5 INTEGER, lon_e5 INTEGER,
  indexed BLOB NOT NULL, writers BLOB NOT NULL, serial INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX listed_serial ON listed(serial);
-- Which record names which other in an answer.
CREATE TABLE links (
  target BLOB NOT NULL, record BLOB NOT NULL, path TEXT NOT NULL, PRIMARY KEY (target, record, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_record ON links(record);
-- Until when a user has seen on the page of the day what came in.
CREATE TABLE seen (user BLOB PRIMARY KEY REFERENCES users(id), seen_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
-- Whom records are about. key: hash of person, kind and occasion (and unit, where by_name is 1: name and birth date)
-- under `person_key` of meta. path: of the identifying answer. Void records have no rows.
CREATE TABLE persons (
  key BLOB NOT NULL, record BLOB NOT NULL REFERENCES records(id), path TEXT NOT NULL, by_name INTEGER NOT NULL,
  PRIMARY KEY (key, record, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX persons_record ON persons(record);
-- Keys of two or more records of which not every pair is said to be different. since_ms: when the last one came.
CREATE TABLE doubles (
  key BLOB PRIMARY KEY, kind TEXT NOT NULL, by_name INTEGER NOT NULL, since_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX doubles_since ON doubles(since_ms, key);
-- What supervisors said of two records. verdict `same`: second is void since, by a review that names first. `different`:
-- under this key; first is the lesser id.
CREATE TABLE double_decisions (
  id INTEGER PRIMARY KEY, verdict TEXT NOT NULL, key BLOB, kind TEXT NOT NULL, first BLOB NOT NULL,
  second BLOB NOT NULL, user BLOB NOT NULL, user_name TEXT NOT NULL, time_ms INTEGER NOT NULL,
  UNIQUE (verdict, first, second, key)
) STRICT;
CREATE INDEX double_decisions_key ON double_decisions(key) WHERE key IS NOT NULL;
CREATE INDEX double_decisions_first ON double_decisions(first);
CREATE INDEX double_decisions_second ON double_decisions(second);
CREATE TABLE bodies (record BLOB PRIMARY KEY REFERENCES records(id), body BLOB NOT NULL) STRICT;
CREATE TABLE statements (
  device BLOB NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL, bytes BLOB NOT NULL, signature BLOB NOT NULL,
  received_ms INTEGER NOT NULL, PRIMARY KEY (device, number)
) STRICT;
-- What a device must still be told, numbered per device.
CREATE TABLE verdicts (
  device BLOB NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL, verdict BLOB NOT NULL,
  PRIMARY KEY (device, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX verdicts_hash ON verdicts(device, hash);
-- time_s: the author's claim of when. again: the change by which the author's device has issued a part of it again;
-- then `fields` is what is left, and with nothing left it waits no more. admitted_as: the change in the log that holds it
-- since a supervisor admitted it: itself, or the server's own with what was left.
CREATE TABLE quarantine (
  id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, record BLOB NOT NULL, kind TEXT NOT NULL,
  created_version TEXT NOT NULL, form_version TEXT NOT NULL, unit TEXT NOT NULL, area TEXT NOT NULL,
  device BLOB NOT NULL, user BLOB NOT NULL, actor BLOB NOT NULL, reason TEXT NOT NULL, fields TEXT NOT NULL,
  statement INTEGER NOT NULL, item INTEGER NOT NULL, bytes BLOB NOT NULL, time_s INTEGER NOT NULL,
  received_ms INTEGER NOT NULL, again BLOB, admitted_ms INTEGER, admitted_by BLOB, admitted_as BLOB,
  left_ms INTEGER, left_by BLOB
) STRICT;
CREATE INDEX quarantine_record ON quarantine(record);
CREATE INDEX quarantine_device ON quarantine(device) WHERE admitted_as IS NULL;
CREATE INDEX quarantine_admitted ON quarantine(admitted_as) WHERE admitted_as IS NOT NULL;
CREATE TABLE reviews (
  record BLOB NOT NULL, number INTEGER NOT NULL, decision TEXT NOT NULL, heads BLOB NOT NULL, submission TEXT,
  reasons TEXT NOT NULL, fields TEXT NOT NULL, reviewer BLOB NOT NULL, reviewer_name TEXT NOT NULL,
  time_ms INTEGER NOT NULL, values_json TEXT NOT NULL, form_version TEXT NOT NULL, same_as BLOB,
  PRIMARY KEY (record, number)
) STRICT;
-- What a device brought in one exchange. relayed: by a township hub. records: in which changes were taken.
CREATE TABLE exchanges (
  id INTEGER PRIMARY KEY, device BLOB NOT NULL, user BLOB NOT NULL, unit TEXT NOT NULL, relayed INTEGER NOT NULL,
  first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, changes INTEGER NOT NULL, records INTEGER NOT NULL,
  created INTEGER NOT NULL, conflicts INTEGER NOT NULL, doubles INTEGER NOT NULL, quarantined INTEGER NOT NULL,
  refused INTEGER NOT NULL
) STRICT;
-- The same by record. unit, area: as stated. detail: JSON of the paths that began to disagree and of reasons.
CREATE TABLE exchange_records (
  exchange INTEGER NOT NULL REFERENCES exchanges(id), number INTEGER NOT NULL, record BLOB NOT NULL,
  kind TEXT NOT NULL, unit TEXT NOT NULL, area TEXT NOT NULL, changes INTEGER NOT NULL, created INTEGER NOT NULL,
  doubled INTEGER NOT NULL, quarantined INTEGER NOT NULL, refused INTEGER NOT NULL, detail TEXT NOT NULL,
  PRIMARY KEY (exchange, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX exchange_records_record ON exchange_records(record);
-- Compiled forms that were uploaded to be tried out. last: id of the kind's newest form then.
CREATE TABLE form_previews (
  digest BLOB NOT NULL, user BLOB NOT NULL REFERENCES users(id), bytes BLOB NOT NULL, last INTEGER,
  uploaded_ms INTEGER NOT NULL, PRIMARY KEY (digest, user)
) STRICT;
CREATE TABLE sessions (
  token_hash BLOB PRIMARY KEY, user BLOB NOT NULL REFERENCES users(id), created_ms INTEGER NOT NULL,
  seen_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, address TEXT NOT NULL, agent TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- chain: hash of this row and the chain before. Triggers refuse changes.
CREATE TABLE audit (
  id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, user BLOB, action TEXT NOT NULL, subject TEXT NOT NULL,
  detail TEXT NOT NULL, chain BLOB NOT NULL
) STRICT;
CREATE INDEX audit_subject ON audit(subject, id);
-- Entries beyond the log of a restored server, by the chain hash after them. state: 0 proved and missing, 1 given back
-- and waiting, 2 taken back. record, received_ms, body: of a waiting one.
CREATE TABLE returned (
  unit TEXT NOT NULL, area TEXT NOT NULL, chain BLOB NOT NULL, position INTEGER NOT NULL, state INTEGER NOT NULL,
  record BLOB, received_ms INTEGER, body BLOB, PRIMARY KEY (unit, area, chain)
) STRICT;
CREATE INDEX returned_position ON returned(unit, area, state, position);
-- Moves of records between feeds: number as the entries have it, position of the entry in the feed that it left.
CREATE TABLE moves (
  record BLOB NOT NULL, number INTEGER NOT NULL, from_feed INTEGER NOT NULL REFERENCES feeds(id),
  position INTEGER NOT NULL, to_feed INTEGER NOT NULL REFERENCES feeds(id), moved_ms INTEGER NOT NULL,
  PRIMARY KEY (record, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX moves_from ON moves(from_feed, position);
-- Devices that have not named a cursor behind the last entry by which a record left the feed; seen: the last one that
-- they did name since. What such a device wrote of a record that left beyond `seen` is judged as if it were there.
CREATE TABLE unaware (
  device BLOB NOT NULL, feed INTEGER NOT NULL REFERENCES feeds(id), seen INTEGER NOT NULL, PRIMARY KEY (device, feed)
) STRICT, WITHOUT ROWID;
-- Authors that a unit was told of because a record of theirs moved there; all others stand in the general feed of the
-- unit that they belong to.
CREATE TABLE told (
  unit TEXT NOT NULL REFERENCES units(code), actor BLOB NOT NULL, PRIMARY KEY (unit, actor)
) STRICT, WITHOUT ROWID;
-- Records that were erased for ever. The same ids stand in the list that is kept outside the database.
CREATE TABLE purged (record BLOB PRIMARY KEY, purged_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
-- Sealed pieces of feeds: entries first to through. segment: CBOR of what devices are told, the key with it. The bytes lie
-- in a file of this name, and in PostgreSQL in shared_bytes too.
CREATE TABLE segments (
  name BLOB PRIMARY KEY, feed INTEGER NOT NULL REFERENCES feeds(id), first INTEGER NOT NULL, through INTEGER NOT NULL,
  segment BLOB NOT NULL
) STRICT;
CREATE INDEX segments_feed ON segments(feed, first);
