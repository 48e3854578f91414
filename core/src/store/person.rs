//! Whom the records are about: an index by keyed hash, so that "this ID number is already here" is
//! answered at once, and the index alone tells nobody an ID number.

use fieldbook_sqlite::rusqlite::params;

use super::open::keyed_hash;
use super::{StoreError, View, Write};
use crate::ids::RecordId;

/// Persons that one answer names at most.
const HITS_MAX: usize = 100;

/// What makes somebody the same person. All texts are canonical, as records store them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PersonKey {
    /// Citizen identity number.
    IdNumber(String),
    /// Where there is no number: name, birth date (`YYYY-MM-DD`) and unit code.
    NameAndBirth {
        /// Name.
        name: String,
        /// Birth date.
        birth_date: String,
        /// Code of the unit that the record belongs to.
        unit: String,
    },
}

impl PersonKey {
    pub(super) fn parts(&self) -> Vec<&str> {
        match self {
            Self::IdNumber(number) => vec!["id", number],
            Self::NameAndBirth { name, birth_date, unit } => vec!["name", name, birth_date, unit],
        }
    }

    fn hash(&self, key: &[u8; 32]) -> [u8; 16] {
        let mut bytes = Vec::new();
        for part in self.parts() {
            bytes.extend_from_slice(part.as_bytes());
            bytes.push(0);
        }
        let full = keyed_hash(key, &[b"fieldbook person v1\0", &bytes]);
        let mut short = [0; 16];
        short.copy_from_slice(&full[..16]);
        short
    }
}

/// One person in one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonEntry {
    /// Who.
    pub key: PersonKey,
    /// Path of the identifying field: `id_number`, or `members[<row>]/id_number`.
    pub path: String,
    /// The person's name as shown.
    pub title: String,
}

/// Where a person was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonHit {
    /// The record.
    pub record: RecordId,
    /// Its kind.
    pub kind: String,
    /// What lists call the record.
    pub record_title: String,
    /// Path of the identifying field in it.
    pub path: String,
    /// The person's name as shown.
    pub title: String,
}

impl View<'_> {
    /// The records that are about a person, latest first, at most 100 hits.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn person(&self, key: &PersonKey) -> Result<Vec<PersonHit>, StoreError> {
        let failed = |error| self.failed("looking for a person", error);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT r.id, r.kind, r.title, p.path, p.title FROM person p JOIN record r ON r.n = p.record
                 WHERE p.key = ?1 ORDER BY r.seq DESC, p.n LIMIT ?2",
            )
            .map_err(failed)?;
        let rows = statement
            .query_map(params![key.hash(self.store.person_key()), HITS_MAX as i64], |row| {
                Ok(PersonHit {
                    record: RecordId(row.get(0)?),
                    kind: row.get(1)?,
                    record_title: row.get(2)?,
                    path: row.get(3)?,
                    title: row.get(4)?,
                })
            })
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

impl Write<'_> {
    pub(super) fn put_persons(&self, n: i64, persons: &[PersonEntry]) -> Result<(), StoreError> {
        let write = || {
            self.connection.prepare_cached("DELETE FROM person WHERE record = ?1")?.execute([n])?;
            let mut insert = self
                .connection
                .prepare_cached("INSERT INTO person(key, record, path, title) VALUES(?1, ?2, ?3, ?4)")?;
            for person in persons {
                insert.execute(params![person.key.hash(self.store.person_key()), n, person.path, person.title])?;
            }
            Ok(())
        };
        write().map_err(|error| self.failed("noting whom a record is about", error))
    }
}
