//! Saving: new records, changes to records, and choosing between values. One save is one change and one transaction.

use serde_json::Value as Json;

use super::error::Fault;
use super::fieldbook::{Fieldbook, locked};
use super::row::read_row;
use super::text::Text;
use super::types::{NewRecord, Patch, Saved};
use super::{ClientError, ErrorKind, day, records, session};
use crate::access::FeedId;
use crate::document::{ChangeState, Document, DocumentError, RawChange, RecordMeta, Rendition};
use crate::forms::{Edit, FieldPath, Form};
use crate::ids::{ChangeHash, RecordId};
use crate::protocol::limits::RECORD_OUTBOX_MAX;
use crate::store::{OutboxRow, View, Write};

/// Records that one transaction of an import takes.
pub const BATCH_RECORDS_MAX: usize = 200;

/// A record as a save finds it.
pub(super) struct Held {
    pub(super) document: Document,
    pub(super) meta: RecordMeta,
    /// Not in the store yet.
    new: bool,
}

impl Fieldbook {
    /// Makes new records in one transaction. Each one stands for itself: one that is not valid is answered with its
    /// error and nothing of it is stored; the others are. At most [`BATCH_RECORDS_MAX`] at once.
    ///
    /// # Errors
    /// `NotFound` for an unknown kind, `NotEnrolled`, and errors of the store: then nothing at all was stored.
    pub fn import(&self, kind: &str, records: &[NewRecord]) -> Result<Vec<Result<RecordId, ClientError>>, ClientError> {
        let language = self.language();
        self.guarded(|| {
            if records.len() > BATCH_RECORDS_MAX {
                return Err(Fault::internal(format!("at most {BATCH_RECORDS_MAX} records in one batch")));
            }
            let form = self.form(kind, None)?;
            self.in_one_transaction(records, |write, record| self.import_one(write, &form, record))
        })
        .map(|done| done.into_iter().map(|one| one.map_err(|fault| fault.speak(language))).collect())
    }

    /// Changes records in one transaction; each stands for itself as in [`Fieldbook::import`].
    ///
    /// # Errors
    /// As [`Fieldbook::import`].
    pub fn edit(&self, patches: &[Patch]) -> Result<Vec<Result<Saved, ClientError>>, ClientError> {
        let language = self.language();
        self.guarded(|| {
            if patches.len() > BATCH_RECORDS_MAX {
                return Err(Fault::internal(format!("at most {BATCH_RECORDS_MAX} records in one batch")));
            }
            self.in_one_transaction(patches, |write, patch| self.edit_one(write, patch))
        })
        .map(|done| done.into_iter().map(|one| one.map_err(|fault| fault.speak(language))).collect())
    }

    /// Decides a conflict by an ordinary edit: writes `value` (one of the conflicting ones or another) at the heads
    /// that show it.
    ///
    /// # Errors
    /// `NotFound` for an unknown record, `BadInput` when there is no conflict at `path` or the value is not valid.
    pub fn resolve(&self, record: RecordId, path: &str, value: &Json) -> Result<Saved, ClientError> {
        self.guarded(|| {
            let path: FieldPath = path
                .parse()
                .map_err(|_| Fault::new(ErrorKind::BadInput, Text::BadPath, path).path(path).record(record))?;
            let saved = self.store.write(|write| {
                let mut held = self.held(write, &record)?;
                let form = self.form_of(&held.meta.kind)?;
                let conflicts = held.document.conflicts(form.definition());
                if !conflicts.iter().any(|conflict| conflict.path == path) {
                    let label = records::label(&form, &path, self.language());
                    return Err(Fault::new(ErrorKind::BadInput, Text::NoConflict, label).record(record).path(&path));
                }
                let edits = resolving_edits(&form, &path, value).map_err(|fault| fault.record(record))?;
                let at = held.document.heads();
                let change = self.save_edits(write, &mut held, &form, &at, &edits)?;
                Ok::<_, Fault>(Saved { record, change })
            })?;
            self.bell.saved();
            Ok(saved)
        })
    }

    /// Work on each item within one transaction. An item's own fault leaves the transaction usable: everything that can
    /// be wrong with an item is found before its first write; a fault of the store ends the whole.
    fn in_one_transaction<I, T>(
        &self,
        items: &[I],
        work: impl Fn(&Write<'_>, &I) -> Result<T, Fault>,
    ) -> Result<Vec<Result<T, Fault>>, Fault> {
        let done = self.store.write(|write| {
            let mut done = Vec::with_capacity(items.len());
            for item in items {
                match work(write, item) {
                    Err(fault) if fault.is_of_item() => done.push(Err(fault)),
                    Err(fault) => return Err(fault),
                    Ok(result) => done.push(Ok(result)),
                }
            }
            Ok::<_, Fault>(done)
        })?;
        self.bell.saved();
        Ok(done)
    }

    fn import_one(&self, write: &Write<'_>, form: &Form, record: &NewRecord) -> Result<RecordId, Fault> {
        let id = record.id.unwrap_or_else(|| RecordId::new(self.random.as_ref()));
        let about = |fault: Fault| fault.record(id);
        if write.view().meta(&id)?.is_some() {
            return Err(Fault::new(ErrorKind::BadInput, Text::RecordExists, id).record(id));
        }
        let mut edits =
            form.edits_from_json(&record.values, self.random.as_ref()).map_err(Fault::from).map_err(about)?;
        if record.submit {
            edits.push(self.submission());
        }
        let mut held = self.fresh(form, id)?;
        let at = held.document.heads();
        self.save_edits(write, &mut held, form, &at, &edits).map_err(about)?;
        Ok(id)
    }

    fn edit_one(&self, write: &Write<'_>, patch: &Patch) -> Result<Saved, Fault> {
        let mut held = self.held(write, &patch.id)?;
        let form = self.form_of(&held.meta.kind)?;
        let current = held.document.read(form.definition());
        let mut edits = form
            .edits_from_patch(&current, &patch.set, &patch.add, &patch.remove, self.random.as_ref())
            .map_err(|error| Fault::from(error).record(patch.id))?;
        if patch.submit {
            edits.push(self.submission());
        }
        let at = held.document.heads();
        let change = self.save_edits(write, &mut held, &form, &at, &edits)?;
        Ok(Saved { record: patch.id, change })
    }

    pub(super) fn submission(&self) -> Edit {
        Edit::Submit { at: day::text(self.now_s()) }
    }

    /// A new record of the phone's own unit, not stored yet.
    pub(super) fn fresh(&self, form: &Form, id: RecordId) -> Result<Held, Fault> {
        let enrolment = self.enrolled()?;
        let definition = form.definition();
        let meta = RecordMeta {
            kind: definition.kind.clone(),
            created_version: definition.version.clone(),
            feed: FeedId { unit: enrolment.unit.code, area: definition.area },
            salt: None,
            moves: 0,
        };
        Ok(Held { document: Document::create(id, definition)?, meta, new: true })
    }

    /// A stored record, read inside the transaction that stores it again.
    pub(super) fn held(&self, write: &Write<'_>, id: &RecordId) -> Result<Held, Fault> {
        let unknown = || Fault::new(ErrorKind::NotFound, Text::UnknownRecord, id).record(*id);
        let view = write.view();
        let meta = view.meta(id)?.ok_or_else(unknown)?;
        Ok(Held { document: self.document(view, id)?.ok_or_else(unknown)?, meta, new: false })
    }

    /// The stored document of a record, out of memory if it is there.
    pub(super) fn document(&self, view: View<'_>, id: &RecordId) -> Result<Option<Document>, Fault> {
        let Some(heads) = view.heads(id)? else { return Ok(None) };
        if let Some(kept) = locked(&self.documents).at(id, &heads) {
            return Ok(Some(kept));
        }
        let Some(body) = view.body(id)? else { return Ok(None) };
        let document = Document::load(&body)?;
        locked(&self.documents).keep(document.clone(), body.len());
        Ok(Some(document))
    }

    /// The heads at which an open form or a draft goes on: what the server did not take of its record was taken out of
    /// it meanwhile.
    pub(super) fn heads_here(
        view: View<'_>,
        document: &Document,
        heads: &[ChangeHash],
    ) -> Result<Vec<ChangeHash>, Fault> {
        if heads.iter().all(|head| document.contains(head)) {
            return Ok(heads.to_vec());
        }
        let outbox = view.outbox_of(&document.record().id)?;
        let bytes_of = |hash: &ChangeHash| outbox.iter().find(|own| own.hash == *hash).map(|own| own.bytes.clone());
        Ok(document.heads_here(heads, bytes_of))
    }

    /// One save = one change: into the document, the outbox and everything that is read of the record.
    pub(super) fn save_edits(
        &self,
        write: &Write<'_>,
        held: &mut Held,
        form: &Form,
        at: &[ChangeHash],
        edits: &[Edit],
    ) -> Result<Option<ChangeHash>, Fault> {
        let id = held.document.record().id;
        if write.view().outbox_len(&id)? >= RECORD_OUTBOX_MAX {
            return Err(Fault::new(ErrorKind::BadInput, Text::OutboxFull, "").record(id));
        }
        let actor = self.actor(write)?;
        let at = with_own_later(write.view(), &held.document, at)?;
        let made = held.document.edit(form.definition(), &at, actor, self.now_s(), edits).map_err(Fault::from)?;
        let Some(change) = made else { return Ok(None) };
        let hash = change.hash;
        self.store_save(write, held, form, change)?;
        Ok(Some(hash))
    }

    fn store_save(&self, write: &Write<'_>, held: &Held, form: &Form, change: RawChange) -> Result<(), Fault> {
        let id = held.document.record().id;
        let view = write.view();
        let review = session::last_review(view, &held.document)?;
        // Screens read a record by the current form of its kind, whichever one this save was made with.
        let reading = self.form_in(view, &held.meta.kind, None)?;
        let (document, unit) = (&held.document, &held.meta.feed.unit);
        let rendition = Rendition::of(document, reading.definition());
        let row = read_row(document, &rendition, &reading, unit, review.as_ref(), self.language().tag());
        if held.new {
            write.put_meta(&id, &held.meta)?;
        }
        write.put_record(&id, rendition.body(), &row)?;
        locked(&self.documents).keep(document.clone(), rendition.body().len());
        write.put_outbox(&OutboxRow {
            hash: change.hash,
            record: id,
            kind: held.meta.kind.clone(),
            created_version: held.meta.created_version.clone(),
            form_version: form.definition().version.clone(),
            feed: held.meta.feed.clone(),
            actor: change.actor,
            state: ChangeState::Unstated,
            statement: None,
            bytes: change.bytes,
        })?;
        Ok(())
    }
}

/// The heads that a form was opened at, and the phone's own later changes: what this user wrote meanwhile (an edit by
/// script, a resolved conflict) is known to this user; what others wrote is not. What was not taken for another record,
/// and an unclean stop, leave the own changes of this one under actors of before.
fn with_own_later(view: View<'_>, document: &Document, at: &[ChangeHash]) -> Result<Vec<ChangeHash>, Fault> {
    if at == document.heads() {
        return Ok(at.to_vec());
    }
    Ok(document.with_latest_of(at, &session::own_actors(view)?))
}

/// The edits that write `value` at `path`; for a row removed here and edited there, one of its special words.
fn resolving_edits(form: &Form, path: &FieldPath, value: &Json) -> Result<Vec<Edit>, Fault> {
    if path.field.ends_with("/_removed") {
        let word = value.as_str().unwrap_or_default();
        return match (word, &path.row) {
            ("removed", Some((repeat, row))) => Ok(vec![Edit::RemoveRow { repeat: repeat.clone(), row: *row }]),
            ("kept" | "edited", Some(_)) => {
                Ok(vec![Edit::Set { path: path.clone(), value: Some(crate::forms::Scalar::Text("kept".to_owned())) }])
            }
            _ => Err(Fault::new(ErrorKind::BadInput, Text::NotWritable, path).path(path)),
        };
    }
    match form.parse_answer(path, value)? {
        crate::forms::Answer::Scalar(value) => Ok(vec![Edit::Set { path: path.clone(), value }]),
        crate::forms::Answer::Set(_) => Err(Fault::new(ErrorKind::BadInput, Text::NoConflict, path).path(path)),
    }
}

impl From<DocumentError> for Fault {
    fn from(error: DocumentError) -> Self {
        let detail = error.to_string();
        let fault = match error {
            DocumentError::Damaged { detail } => Fault::new(ErrorKind::Damaged, Text::Damaged, detail),
            DocumentError::NotWritable { path, .. } | DocumentError::NoSuchRow { path } => {
                Fault::new(ErrorKind::BadInput, Text::NotWritable, &path).path(path)
            }
            DocumentError::TooLarge { what, .. } => Fault::new(ErrorKind::BadInput, Text::NotWritable, what),
            other => Fault::internal(other),
        };
        fault.detail(detail)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::client::system::SystemRandom;
    use crate::document::tests::{A, B, C, ID, form, set};
    use crate::ids::ActorId;
    use crate::store::{Store, SystemDisk};

    #[test]
    fn an_open_form_knows_what_was_saved_meanwhile_under_an_actor_of_before() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &[7; 32], &SystemRandom::new(), Arc::new(SystemDisk)).unwrap();
        let write = |work: &dyn Fn(&Write<'_>) -> Result<(), Fault>| store.write(work).unwrap();
        let mut document = Document::create(ID, &form("1")).unwrap();
        let opened = document.heads();
        let mut save =
            |actor, name| document.edit(&form("1"), &opened, actor, 1, &[set("name", name)]).unwrap().unwrap().hash;
        let own = save(A, "own");
        save(C, "another's");
        let at = |document: &Document| store.read(|view| with_own_later(view, document, &opened)).unwrap();
        write(&|write| session::put_actor(write, A));
        assert_eq!(at(&document), [own]);
        // What another record lost its changes for gave the installation another actor.
        write(&|write| session::put_actor(write, B));
        assert_eq!(at(&document), [own]);
        // A clone may have written it: nobody here has seen that.
        write(&session::doubt_own_actors);
        assert_eq!(at(&document), opened);
        write(&|write| session::put_actor(write, B));
        assert_eq!(at(&document), opened);
    }

    #[test]
    fn only_so_many_actors_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &[7; 32], &SystemRandom::new(), Arc::new(SystemDisk)).unwrap();
        let actors: Vec<ActorId> = (0..100).map(|number| ActorId([number; 16])).collect();
        store.write(|write| actors.iter().try_for_each(|actor| session::put_actor(write, *actor))).unwrap();
        let own = store.read(session::own_actors).unwrap();
        assert_eq!(own, actors[100 - own.len()..]);
        assert_eq!(own.len(), session::OWN_ACTORS_MAX);
    }
}
