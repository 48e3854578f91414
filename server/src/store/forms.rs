//! Published forms: what a kind is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::sql::{Connection, OptionalExtension};
use fieldbook_core::access::Area;
use fieldbook_core::forms::Form;
use fieldbook_core::ids::{RecordId, UserId};
use fieldbook_core::limits::FORM_BYTES_MAX;
use fieldbook_core::protocol::Notice;
use fieldbook_core::sync::frames::FrameError;
use fieldbook_core::sync::pack_form;
use sha2::{Digest, Sha256};

use super::{Problem, Store, StoreError, feeds, persons, records, units};

/// Parsed forms kept in memory; a kind and version never changes once published.
const FORMS_KEPT_MAX: usize = 256;

/// In `meta`, before a blank and a kind: its records are still to be read under this version.
const READ_AGAIN: &str = "read_again";

/// Records that are evaluated anew in one transaction.
const READ_AGAIN_AT_ONCE: i64 = 100;

/// Bytes of the packed forms that are kept.
const PACKED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Hash of a form, and of the one that it is packed against.
type PackedKey = ([u8; 32], Option<[u8; 32]>);

/// Forms as they are asked for again and again.
#[derive(Debug, Default)]
pub(crate) struct FormCache {
    /// Parsed, by kind and version.
    forms: Mutex<HashMap<(String, String), Arc<Form>>>,
    /// As answers bring them.
    packed: Mutex<HashMap<PackedKey, Arc<[u8]>>>,
}

impl FormCache {
    /// A form as an answer brings it. Whoever asks while it is being packed waits for that.
    pub(crate) fn packed(&self, form: &[u8], largest: Option<&[u8]>) -> Result<Arc<[u8]>, FrameError> {
        let key = (Sha256::digest(form).into(), largest.map(|largest| Sha256::digest(largest).into()));
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = packed.get(&key) {
            return Ok(Arc::clone(known));
        }
        let new: Arc<[u8]> = pack_form(form, largest)?.into();
        if packed.values().map(|one| one.len()).sum::<usize>() + new.len() > PACKED_BYTES_MAX {
            packed.clear();
        }
        packed.insert(key, Arc::clone(&new));
        Ok(new)
    }
}

/// A published form as listed.
#[derive(Debug, Clone)]
pub struct FormRow {
    /// The kind.
    pub kind: String,
    /// The version.
    pub version: String,
    /// The unit from which it holds downwards.
    pub unit: String,
    /// Size of the compiled form in bytes.
    pub bytes: usize,
    /// When, milliseconds since 1970 UTC.
    pub published_ms: i64,
}

/// What publishing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// It is new, at this unit.
    New {
        /// Code of the unit.
        unit: String,
    },
    /// The same form was there already.
    Known,
}

impl Store {
    /// The form of this kind and version, if it was published.
    pub(crate) fn form(&self, tx: &Connection, kind: &str, version: &str) -> Result<Option<Arc<Form>>, StoreError> {
        let key = (kind.to_owned(), version.to_owned());
        if let Some(known) = self.forms.forms.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Some(Arc::clone(known)));
        }
        let mut statement = tx.prepare("SELECT bytes FROM forms WHERE kind = ?1 AND version = ?2")?;
        let bytes: Option<Vec<u8>> = statement.query_row((kind, version), |row| row.get(0)).optional()?;
        let Some(bytes) = bytes else { return Ok(None) };
        let form = Arc::new(Form::from_bytes(&bytes).map_err(|error| StoreError::corrupt("form", error))?);
        let mut forms = self.forms.forms.lock().unwrap_or_else(PoisonError::into_inner);
        if forms.len() >= FORMS_KEPT_MAX {
            forms.clear();
        }
        forms.insert(key, Arc::clone(&form));
        Ok(Some(form))
    }

    /// The newest published form of a kind.
    pub(crate) fn current_form(&self, tx: &Connection, kind: &str) -> Result<Option<Arc<Form>>, StoreError> {
        let mut statement = tx.prepare("SELECT version FROM forms WHERE kind = ?1 ORDER BY id DESC LIMIT 1")?;
        let version: Option<String> = statement.query_row([kind], |row| row.get(0)).optional()?;
        version.map_or(Ok(None), |version| self.form(tx, kind, &version))
    }

    /// Every kind's newest form, by kind.
    pub(crate) fn current_forms(&self, tx: &Connection) -> Result<Vec<Arc<Form>>, StoreError> {
        let sql = "SELECT kind, version FROM forms WHERE id IN (SELECT max(id) FROM forms GROUP BY kind) ORDER BY kind";
        let mut statement = tx.prepare(sql)?;
        let rows = statement.query_map((), |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?)))?;
        let mut forms = Vec::new();
        for row in rows {
            let (kind, version) = row?;
            forms.extend(self.form(tx, &kind, &version)?);
        }
        Ok(forms)
    }

    /// Publishes a form in the general feed of `unit` (default: the root).
    ///
    /// # Errors
    /// `no_units`, `unit_unknown`, `form_version_taken`, `form_area_changed`, `form_too_large`.
    pub fn publish_form(&self, form: &Form, unit: Option<&str>) -> Result<Published, StoreError> {
        let published = self.write(|tx| {
            let at = match unit {
                Some(code) => units::wanted_unit(tx, code)?,
                None => units::root(tx)?.ok_or_else(|| Problem::new("no_units"))?,
            };
            self.publish_in(tx, form, &at.code, None)
        })?;
        if published != Published::Known {
            self.read_again(&form.definition().kind)?;
        }
        Ok(published)
    }

    /// Kinds whose records are still to be read under their newest form, with its version.
    pub(crate) fn to_read_again(tx: &Connection) -> Result<Vec<(String, String)>, StoreError> {
        let text = "SELECT key, value FROM meta WHERE key >= ?1 AND key < ?2";
        let mut statement = tx.prepare(text)?;
        let (from, to) = (format!("{READ_AGAIN} "), format!("{READ_AGAIN}!"));
        let rows = statement.query_map((from, to), |row| Ok((row.get::<String>(0)?, row.get::<Vec<u8>>(1)?)))?;
        let mut found = Vec::new();
        for row in rows {
            let (key, version) = row?;
            if let Some((_, kind)) = key.split_once(' ') {
                found.push((kind.to_owned(), String::from_utf8_lossy(&version).into_owned()));
            }
        }
        Ok(found)
    }

    /// Evaluates every record of a kind under its newest form, a few at a time so that phones are not kept waiting. What
    /// ends before its end is done again at the next start.
    ///
    /// # Errors
    /// What the database said.
    pub(crate) fn read_again(&self, kind: &str) -> Result<(), StoreError> {
        let key = format!("{READ_AGAIN} {kind}");
        let version = self.write(|tx| {
            let marks = |form: &Arc<Form>| form.definition().fields.iter().any(|field| field.identity);
            if !self.current_form(tx, kind)?.as_ref().is_some_and(marks) {
                persons::forget_kind(tx, kind)?;
            }
            super::meta(tx, &key)
        })?;
        self.read_all(kind)?;
        self.write(|tx| {
            tx.execute("DELETE FROM meta WHERE key = ?1 AND value = ?2", (&key, version.unwrap_or_default()))?;
            Ok(())
        })
    }

    fn read_all(&self, kind: &str) -> Result<(), StoreError> {
        let mut after = [0_u8; 16];
        loop {
            let last = self.write(|tx| {
                let sql = "SELECT id FROM records WHERE kind = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
                let mut statement = tx.prepare(sql)?;
                let ids = statement.query_map((kind, after, READ_AGAIN_AT_ONCE), |row| row.get::<[u8; 16]>(0))?;
                let ids = ids.collect::<Result<Vec<_>, _>>()?;
                for id in &ids {
                    if let Some(mut open) = records::load(tx, RecordId(*id))? {
                        self.save_record(tx, &mut open)?;
                    }
                }
                Ok::<_, StoreError>(ids.last().copied())
            })?;
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// Publishes a form at `unit`; its records are still to be read again.
    pub(crate) fn publish_in(
        &self,
        tx: &Connection,
        form: &Form,
        unit: &str,
        publisher: Option<UserId>,
    ) -> Result<Published, StoreError> {
        let definition = form.definition();
        let (kind, version) = (&definition.kind, &definition.version);
        let bytes = form.to_bytes();
        if bytes.len() > FORM_BYTES_MAX {
            return Err(Problem::new("form_too_large").with("kind", kind).with("max", FORM_BYTES_MAX).into());
        }
        let sql = "SELECT bytes FROM forms WHERE kind = ?1 AND version = ?2";
        let known: Option<Vec<u8>> = tx.query_row(sql, (kind, version), |row| row.get(0)).optional()?;
        match known {
            Some(known) if known == bytes => return Ok(Published::Known),
            Some(_) => {
                return Err(Problem::new("form_version_taken").with("kind", kind).with("version", version).into());
            }
            None => {}
        }
        let sql = "SELECT area FROM forms WHERE kind = ?1 LIMIT 1";
        let area: Option<String> = tx.query_row(sql, [kind], |row| row.get(0)).optional()?;
        if let Some(area) = area.filter(|area| area != definition.area.word()) {
            return Err(Problem::new("form_area_changed").with("kind", kind).with("area", area).into());
        }
        let now_ms = self.now_ms();
        tx.execute(
            "INSERT INTO forms(kind, version, unit, area, bytes, published_ms, publisher)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (kind, version, unit, definition.area.word(), &bytes, now_ms, publisher.map(|user| user.0)),
        )?;
        super::set_meta(tx, &format!("{READ_AGAIN} {kind}"), version.as_bytes())?;
        let feed = feeds::feed_for(tx, unit, Area::General)?;
        let notice = Notice::Form { kind: kind.clone(), version: version.clone(), form: Sha256::digest(&bytes).into() };
        feeds::append_notice(tx, &feed, now_ms, None, &notice)?;
        Ok(Published::New { unit: unit.to_owned() })
    }

    /// Publishes the built-in kinds that are not there yet at the root unit, once there is one, and goes on with reading
    /// records again where that was interrupted.
    ///
    /// # Errors
    /// What the database said.
    pub fn publish_builtin(&self) -> Result<(), StoreError> {
        self.publish_missing()?;
        for (kind, _) in self.read(Self::to_read_again)? {
            self.read_again(&kind)?;
        }
        Ok(())
    }

    fn publish_missing(&self) -> Result<(), StoreError> {
        let missing = self.read(|tx| -> Result<bool, StoreError> {
            Ok(units::root(tx)?.is_some() && super::meta(tx, "builtin")?.as_deref() != Some(BUILTIN.as_bytes()))
        })?;
        if !missing {
            return Ok(());
        }
        let forms = fieldbook_core::forms::builtin().map_err(|errors| {
            StoreError::corrupt("built-in form", errors.first().map(ToString::to_string).unwrap_or_default())
        })?;
        self.write(|tx| {
            let Some(root) = units::root(tx)? else { return Ok(()) };
            for form in &forms {
                match self.publish_in(tx, form, &root.code, None) {
                    Ok(_) => {}
                    // An administrator's own version of a built-in kind stays.
                    Err(StoreError::Problem(problem)) => tracing::warn!(%problem, "a built-in form is not published"),
                    Err(other) => return Err(other),
                }
            }
            super::set_meta(tx, "builtin", BUILTIN.as_bytes())
        })
    }

    /// Every published form, in order of publication.
    ///
    /// # Errors
    /// What the database said.
    pub fn forms_list(&self) -> Result<Vec<FormRow>, StoreError> {
        self.read(|tx| {
            let sql = "SELECT kind, version, unit, length(bytes), published_ms FROM forms ORDER BY id";
            let mut statement = tx.prepare(sql)?;
            let rows = statement.query_map((), |row| {
                Ok(FormRow {
                    kind: row.get(0)?,
                    version: row.get(1)?,
                    unit: row.get(2)?,
                    bytes: row.get(3)?,
                    published_ms: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Which built-in forms this build brings: published once per build's version.
const BUILTIN: &str = env!("CARGO_PKG_VERSION");
