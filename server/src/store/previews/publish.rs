//! Versions of forms, and publishing what was previewed.

use std::collections::BTreeSet;

use fieldbook_core::forms::Form;
use fieldbook_core::ids::UserId;

use super::pages::{FormKind, FormVersion, PublishedForm};
use super::upload::newest;
use super::{digest_of, kept};
use crate::sql::{Connection, OptionalExtension};
use crate::store::audit::audit;
use crate::store::{Problem, Published, Store, StoreError, UserRow, units};

/// The unit at which the newest form of a kind is published.
fn published_at(tx: &Connection, kind: &str) -> Result<Option<String>, StoreError> {
    let mut statement = tx.prepare("SELECT unit FROM forms WHERE kind = ?1 ORDER BY id DESC LIMIT 1")?;
    Ok(statement.query_row([kind], |row| row.get(0)).optional()?)
}

/// All versions of a kind, the newest first.
fn versions(tx: &Connection, kind: &str) -> Result<Vec<FormVersion>, StoreError> {
    let text = "SELECT version, forms.unit, units.name, published_ms, publisher, users.name, bytes FROM forms
                  JOIN units ON units.code = forms.unit LEFT JOIN users ON users.id = publisher
                WHERE kind = ?1 ORDER BY forms.id DESC";
    let mut statement = tx.prepare(text)?;
    let rows = statement.query_map([kind], |row| {
        let bytes: Vec<u8> = row.get(6)?;
        Ok(FormVersion {
            version: row.get(0)?,
            unit: row.get(1)?,
            unit_name: row.get(2)?,
            published_ms: row.get(3)?,
            publisher: row.get::<Option<[u8; 16]>>(4)?.map(|user| UserId(user).to_string()),
            publisher_name: row.get(5)?,
            digest: hex::encode(digest_of(&bytes)),
            bytes: bytes.len() as u64,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Store {
    /// The kinds that `user` may see, with all versions of their forms.
    ///
    /// # Errors
    /// What the database said.
    pub fn form_kinds(&self, user: UserId, language: &str) -> Result<Vec<FormKind>, StoreError> {
        let forms = self.visible_forms(user)?;
        self.read(|tx| {
            let waiting: BTreeSet<String> = Self::to_read_again(tx)?.into_iter().map(|(kind, _)| kind).collect();
            let kind = |form: &std::sync::Arc<Form>| {
                let definition = form.definition();
                Ok(FormKind {
                    kind: definition.kind.clone(),
                    title: form.pick(&definition.title, language).unwrap_or(&definition.kind).to_owned(),
                    titles: definition.title.clone(),
                    area: definition.area.word().to_owned(),
                    versions: versions(tx, &definition.kind)?,
                    reading_again: waiting.contains(&definition.kind),
                })
            };
            forms.iter().map(kind).collect()
        })
    }

    /// The unit at which `user` may publish a form: `unit`, or that of its last version, or the root. The server reads
    /// every record of a kind under its newest form, so a new version never goes to fewer units than the last.
    pub(super) fn publishable(
        &self,
        tx: &Connection,
        user: &UserRow,
        form: &Form,
        unit: Option<&str>,
    ) -> Result<String, StoreError> {
        let definition = form.definition();
        let last = published_at(tx, &definition.kind)?;
        let at = match (unit, &last) {
            (Some(unit), _) => units::wanted_unit(tx, unit)?.code,
            (None, Some(last)) => last.clone(),
            (None, None) => units::root(tx)?.ok_or_else(|| Problem::new("no_units"))?.code,
        };
        let publishes =
            |role: &fieldbook_core::access::Role| role.supervises() && role.areas().contains(&definition.area);
        if !units::roles_at(tx, user.id, &at)?.iter().any(publishes) {
            return Err(Problem::new("not_publisher").with("unit", at).into());
        }
        if let Some(last) = last
            && !units::with_ancestors(tx, &last)?.contains(&at)
        {
            return Err(Problem::new("form_unit_narrower").with("kind", &definition.kind).with("unit", last).into());
        }
        let text = "SELECT area, version = ?2 AND bytes <> ?3 FROM forms WHERE kind = ?1 ORDER BY id DESC";
        let mut statement = tx.prepare(text)?;
        let (kind, version) = (&definition.kind, &definition.version);
        let mut rows = statement.query((kind, version, form.to_bytes()))?;
        while let Some(row) = rows.next_row()? {
            let (area, taken): (String, bool) = (row.get(0)?, row.get(1)?);
            if area != definition.area.word() {
                return Err(Problem::new("form_area_changed").with("kind", kind).with("area", area).into());
            }
            if taken {
                return Err(Problem::new("form_version_taken").with("kind", kind).with("version", version).into());
            }
        }
        Ok(at)
    }

    /// Publishes an upload of `user`; its records are still to be read again ([`Store::read_again`]).
    ///
    /// # Errors
    /// `preview_unknown`, `not_publisher`, `unit_unknown`, `form_moved`, `form_version_taken`, `form_area_changed`,
    /// `form_unit_narrower`, `form_too_large`; else what the database said.
    pub fn publish_preview(
        &self,
        user: &UserRow,
        digest: &str,
        unit: Option<&str>,
    ) -> Result<PublishedForm, StoreError> {
        let now_ms = self.now_ms();
        self.write(|tx| {
            let kept = kept(tx, user.id, digest, now_ms)?;
            let form = self.parsed(&kept)?;
            let definition = form.definition();
            let (kind, version) = (definition.kind.clone(), definition.version.clone());
            let at = self.publishable(tx, user, &form, unit)?;
            let last = newest(tx, &kind)?;
            let known = self.form(tx, &kind, &version)?.is_some();
            if let Some((id, newer)) = last.filter(|_| !known)
                && kept.last != Some(id)
            {
                return Err(Problem::new("form_moved").with("kind", kind).with("version", newer).into());
            }
            let published = self.publish_in(tx, &form, &at, Some(user.id))?;
            let new = published != Published::Known;
            if new {
                audit(tx, now_ms, Some(user.id), "publish_form", &format!("{kind} {version}"), digest)?;
            }
            Ok(PublishedForm { kind, version, unit: at, new })
        })
    }
}
