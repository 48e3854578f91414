//! What the phone knows around its records: settings, forms, actors, units, reviews.

use fieldbook_sqlite::rusqlite::{self, OptionalExtension, Row, params};

use super::outbox::stored;
use super::record::area_number;
use super::{StoreError, View, Write};
use crate::access::{FeedId, Unit};
use crate::ids::{ActorId, DeviceId, RecordId, UserId};

/// Who writes under an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorRow {
    /// The actor.
    pub actor: ActorId,
    /// The device that first used it.
    pub device: DeviceId,
    /// The user.
    pub user: UserId,
    /// The user's name as shown.
    pub name: String,
}

/// A review of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewRow {
    /// The record.
    pub record: RecordId,
    /// The feed that brought it.
    pub feed: FeedId,
    /// Position in that feed.
    pub position: u64,
    /// The submission text that the record showed at the heads that were read, if any.
    pub submission: Option<String>,
    /// The review as the caller encoded it.
    pub bytes: Vec<u8>,
}

fn actor_row(row: &Row<'_>) -> rusqlite::Result<ActorRow> {
    Ok(ActorRow {
        actor: ActorId(row.get(0)?),
        device: DeviceId(row.get(1)?),
        user: UserId(row.get(2)?),
        name: row.get(3)?,
    })
}

impl View<'_> {
    /// A setting.
    ///
    /// # Errors
    /// [`StoreError`], as for every method here.
    pub fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.connection
            .prepare_cached("SELECT value FROM setting WHERE name = ?1")
            .and_then(|mut s| s.query_row([name], |row| row.get(0)).optional())
            .map_err(|error| self.failed("reading a setting", error))
    }

    /// A form as it was published.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn form(&self, kind: &str, version: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.connection
            .prepare_cached("SELECT bytes FROM form WHERE kind = ?1 AND version = ?2")
            .and_then(|mut s| s.query_row([kind, version], |row| row.get(0)).optional())
            .map_err(|error| self.failed("reading a form", error))
    }

    /// The current version of a kind's form: the one that was published last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn current_form(&self, kind: &str) -> Result<Option<String>, StoreError> {
        self.connection
            .prepare_cached("SELECT version FROM form WHERE kind = ?1 AND current")
            .and_then(|mut s| s.query_row([kind], |row| row.get(0)).optional())
            .map_err(|error| self.failed("reading a form", error))
    }

    /// Kind and current version of every form, by kind.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn current_forms(&self) -> Result<Vec<(String, String)>, StoreError> {
        let failed = |error| self.failed("listing the forms", error);
        let mut statement = self
            .connection
            .prepare_cached("SELECT kind, version FROM form WHERE current ORDER BY kind")
            .map_err(failed)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// Who writes under an actor, if the phone was told.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn actor(&self, actor: &ActorId) -> Result<Option<ActorRow>, StoreError> {
        self.connection
            .prepare_cached("SELECT actor, device, user, name FROM actor WHERE actor = ?1")
            .and_then(|mut s| s.query_row([actor.as_bytes()], actor_row).optional())
            .map_err(|error| self.failed("reading who an actor is", error))
    }

    /// Everybody whom the phone was told of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn actors(&self) -> Result<Vec<ActorRow>, StoreError> {
        let failed = |error| self.failed("reading who the actors are", error);
        let mut statement =
            self.connection.prepare_cached("SELECT actor, device, user, name FROM actor ORDER BY n").map_err(failed)?;
        let rows = statement.query_map([], actor_row).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// All known units, by code.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn units(&self) -> Result<Vec<Unit>, StoreError> {
        let failed = |error| self.failed("listing the units", error);
        let mut statement = self
            .connection
            .prepare_cached("SELECT code, name, parent, division FROM unit ORDER BY code")
            .map_err(failed)?;
        let rows = statement
            .query_map([], |row| {
                Ok(Unit { code: row.get(0)?, name: row.get(1)?, parent: row.get(2)?, division: row.get(3)? })
            })
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// The reviews of a record, in feed order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reviews(&self, record: &RecordId) -> Result<Vec<ReviewRow>, StoreError> {
        let failed = |error| self.failed("reading reviews", error);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT record, unit, area, position, submission, bytes FROM review WHERE record = ?1 ORDER BY n",
            )
            .map_err(failed)?;
        let rows = statement
            .query_map([record.as_bytes()], |row| {
                Ok(ReviewRow {
                    record: RecordId(row.get(0)?),
                    feed: FeedId { unit: row.get(1)?, area: super::record::area_of_number(row.get(2)?) },
                    position: row.get::<_, i64>(3)?.unsigned_abs(),
                    submission: row.get(4)?,
                    bytes: row.get(5)?,
                })
            })
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

impl Write<'_> {
    /// Stores a setting.
    ///
    /// # Errors
    /// [`StoreError`], as for every method here.
    pub fn put_setting(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO setting(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = ?2",
            )
            .and_then(|mut s| s.execute(params![name, value]))
            .map_err(|error| self.failed("storing a setting", error))?;
        Ok(())
    }

    /// Removes a setting.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove_setting(&self, name: &str) -> Result<(), StoreError> {
        self.connection
            .execute("DELETE FROM setting WHERE name = ?1", [name])
            .map_err(|error| self.failed("removing a setting", error))?;
        Ok(())
    }

    /// Stores a published form, which becomes the current one of its kind. The same version again changes nothing but
    /// its bytes: an entry that comes twice must not make an older form current.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_form(&self, kind: &str, version: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let write = || {
            let known = self
                .connection
                .prepare_cached("UPDATE form SET bytes = ?3 WHERE kind = ?1 AND version = ?2")?
                .execute(params![kind, version, bytes])?;
            if known == 0 {
                self.connection.execute("UPDATE form SET current = 0 WHERE kind = ?1", [kind])?;
                self.connection.execute(
                    "INSERT INTO form(kind, version, current, bytes) VALUES(?1, ?2, 1, ?3)",
                    params![kind, version, bytes],
                )?;
            }
            Ok(())
        };
        write().map_err(|error| self.failed("storing a form", error))
    }

    /// Stores who writes under an actor.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_actor(&self, actor: &ActorRow) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO actor(actor, device, user, name) VALUES(?1, ?2, ?3, ?4)
                 ON CONFLICT(actor) DO UPDATE SET device = ?2, user = ?3, name = ?4",
            )
            .and_then(|mut s| {
                s.execute(params![actor.actor.as_bytes(), actor.device.as_bytes(), actor.user.as_bytes(), actor.name])
            })
            .map_err(|error| self.failed("storing who an actor is", error))?;
        Ok(())
    }

    /// Stores a unit, new or renamed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_unit(&self, unit: &Unit) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO unit(code, name, parent, division) VALUES(?1, ?2, ?3, ?4)
                 ON CONFLICT(code) DO UPDATE SET name = ?2, parent = ?3, division = ?4",
            )
            .and_then(|mut s| s.execute(params![unit.code, unit.name, unit.parent, unit.division]))
            .map_err(|error| self.failed("storing a unit", error))?;
        Ok(())
    }

    /// Stores a review; nothing if it is there already: a record that moves brings its reviews along.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_review(&self, review: &ReviewRow) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO review(record, unit, area, position, submission, bytes)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6
                 WHERE NOT EXISTS(SELECT 1 FROM review WHERE record = ?1 AND bytes = ?6)",
            )
            .and_then(|mut s| {
                s.execute(params![
                    review.record.as_bytes(),
                    review.feed.unit,
                    area_number(review.feed.area),
                    stored(review.position),
                    review.submission,
                    review.bytes
                ])
            })
            .map_err(|error| self.failed("storing a review", error))?;
        Ok(())
    }

    /// Stores the submission text that a record showed at the heads of its review at `position`, once it is known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_review_submission(
        &self,
        feed: &FeedId,
        position: u64,
        submission: Option<&str>,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("UPDATE review SET submission = ?4 WHERE unit = ?1 AND area = ?2 AND position = ?3")
            .and_then(|mut s| s.execute(params![feed.unit, area_number(feed.area), stored(position), submission]))
            .map_err(|error| self.failed("storing a review", error))?;
        Ok(())
    }
}
