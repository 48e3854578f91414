//! A form that is open on a screen: answers, the draft kept at every answer, and the save at the heads it was opened at.

use std::sync::{Arc, Mutex};

use serde_json::Value as Json;

use super::edits::Held;
use super::error::Fault;
use super::fieldbook::{Fieldbook, locked};
use super::row::persons;
use super::text::Text;
use super::types::{Answered, Saved};
use super::{ClientError, ErrorKind};
use crate::forms::{DraftError, EvalTime, FieldPath, Form, FormSession, Question, Values};
use crate::ids::{RecordId, RowId};
use crate::store::{DraftKey, PersonHit, Write};

/// An open form. One a record; dropping it keeps the draft.
pub struct FormHandle {
    book: Arc<Fieldbook>,
    record: RecordId,
    kind: String,
    /// `None` once it was saved or discarded.
    open: Mutex<Option<OpenForm>>,
}

struct OpenForm {
    key: DraftKey,
    form: Arc<Form>,
    session: FormSession,
    unit: String,
}

impl std::fmt::Debug for FormHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FormHandle").field("record", &self.record).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Fieldbook {
    /// Opens a form: a new record of `kind`, or `record` as it is now. Where a draft is kept for it (also of a new
    /// record that was never saved), the form goes on with the draft, at the heads that it was opened at then.
    ///
    /// # Errors
    /// `NotFound` for an unknown kind or record, `BadInput` when the record is of another kind, `NotEnrolled`, `Busy`
    /// while the record is open in another form.
    pub fn open_form(self: &Arc<Self>, kind: &str, record: Option<RecordId>) -> Result<Arc<FormHandle>, ClientError> {
        self.guarded(|| {
            let id = record.unwrap_or_else(|| RecordId::new(self.random.as_ref()));
            if !locked(&self.open_forms).insert(id) {
                return Err(Fault::new(ErrorKind::Busy, Text::FormOpen, "").record(id));
            }
            match self.open_session(kind, record, id) {
                Ok(open) => Ok(Arc::new(FormHandle {
                    book: Arc::clone(self),
                    record: id,
                    kind: kind.to_owned(),
                    open: Mutex::new(Some(open)),
                })),
                Err(fault) => {
                    locked(&self.open_forms).remove(&id);
                    Err(fault)
                }
            }
        })
    }

    fn open_session(&self, kind: &str, wanted: Option<RecordId>, id: RecordId) -> Result<OpenForm, Fault> {
        let unit = self.enrolled()?.unit.code;
        let (draft, stored) = self.store.read(|view| {
            let stored = match view.meta(&id)? {
                Some(meta) => self.document(view, &id)?.map(|document| (meta, document)),
                None => None,
            };
            let mut draft = view.draft(&id)?;
            if let (Some(draft), Some((_, document))) = (&mut draft, &stored) {
                draft.key.heads = Self::heads_here(view, document, &draft.key.heads)?;
            }
            Ok::<_, Fault>((draft, stored))
        })?;
        if wanted.is_some() && draft.is_none() && stored.is_none() {
            return Err(Fault::new(ErrorKind::NotFound, Text::UnknownRecord, id).record(id));
        }
        let stored = match stored {
            Some((meta, _)) if meta.kind != kind => {
                return Err(Fault::new(ErrorKind::BadInput, Text::OtherKind, kind).record(id));
            }
            other => other,
        };
        let version = draft.as_ref().map(|draft| draft.key.form_version.clone());
        let form = self.form(kind, version.as_deref())?;
        let unit = stored.as_ref().map_or(unit, |(meta, _)| meta.feed.unit.clone());
        let key = match &draft {
            Some(draft) => draft.key.clone(),
            None => DraftKey {
                record: id,
                is_new: stored.is_none(),
                kind: kind.to_owned(),
                form_version: form.definition().version.clone(),
                heads: stored.as_ref().map(|(_, document)| document.heads()).unwrap_or_default(),
            },
        };
        let values = match &stored {
            Some((_, document)) if !key.is_new => document.read_at(form.definition(), &key.heads),
            _ => Values::default(),
        };
        let time = EvalTime::new(self.now_s(), &id);
        let language = self.language().tag();
        let session = match &draft {
            Some(draft) => FormSession::resume(Arc::clone(&form), values, time, language, &draft.bytes)?,
            None => FormSession::new(Arc::clone(&form), values, time, language),
        };
        Ok(OpenForm { key, form, session, unit })
    }
}

impl FormHandle {
    /// The record; for a new one the id that it will get.
    #[must_use]
    pub fn record(&self) -> RecordId {
        self.record
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Everything that is asked now, in order.
    ///
    /// # Errors
    /// `BadInput` after it was saved or discarded.
    pub fn questions(&self) -> Result<Vec<Question>, ClientError> {
        self.with(|open| Ok(open.session.questions()))
    }

    /// Answers a question; `null` clears it. The draft is durable when this returns. Says where the person whose
    /// identity was just typed is known already.
    ///
    /// # Errors
    /// `BadInput` with the path and what is wrong; then nothing changed.
    pub fn set(&self, path: &str, value: &Json) -> Result<Answered, ClientError> {
        self.with(|open| {
            let path: FieldPath =
                path.parse().map_err(|_| Fault::new(ErrorKind::BadInput, Text::BadPath, path).path(path))?;
            let changed = open.session.set(&path, value)?;
            self.keep_draft(open)?;
            Ok(Answered { changed, known: self.known(open, &path)? })
        })
    }

    /// Adds a row to a repeat; `parent` is the enclosing row of a nested one.
    ///
    /// # Errors
    /// `BadInput` when there is no such repeat or row, or the form counts the rows itself.
    pub fn add_row(&self, repeat: &str, parent: Option<RowId>) -> Result<RowId, ClientError> {
        self.with(|open| {
            let row = RowId::random(self.book.random.as_ref());
            open.session.add_row(repeat, parent, row)?;
            self.keep_draft(open)?;
            Ok(row)
        })
    }

    /// Removes a row.
    ///
    /// # Errors
    /// As [`FormHandle::add_row`].
    pub fn remove_row(&self, repeat: &str, row: RowId) -> Result<(), ClientError> {
        self.with(|open| {
            open.session.remove_row(repeat, row)?;
            self.keep_draft(open)
        })
    }

    /// Saves: one change at the heads that the form was opened at, durable when this returns. What others changed
    /// meanwhile stays beside it as a conflict. Closes the form. Answers that the form finds wrong are saved too and
    /// shown as problems.
    ///
    /// # Errors
    /// Errors of the store; then the form stays open and its draft is kept.
    pub fn save(&self) -> Result<Saved, ClientError> {
        self.finish(false)
    }

    /// Saves and hands the record in for review.
    ///
    /// # Errors
    /// As [`FormHandle::save`].
    pub fn submit(&self) -> Result<Saved, ClientError> {
        self.finish(true)
    }

    /// Drops the answers given since the form was opened, and closes it.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn discard(&self) -> Result<(), ClientError> {
        self.with(|open| {
            let record = open.key.record;
            self.book.store.write(|write| Ok(write.remove_draft(&record)?))
        })?;
        *locked(&self.open) = None;
        locked(&self.book.open_forms).remove(&self.record);
        Ok(())
    }

    fn finish(&self, submit: bool) -> Result<Saved, ClientError> {
        let saved = self.with(|open| {
            open.session.set_time(self.book.now_s());
            let mut edits = open.session.edits();
            if submit {
                edits.push(self.book.submission());
            }
            let change = self.book.store.write(|write| {
                let mut held = self.held(write, open)?;
                let at = if open.key.is_new {
                    vec![held.document.creation()]
                } else {
                    Fieldbook::heads_here(write.view(), &held.document, &open.key.heads)?
                };
                let change = self.book.save_edits(write, &mut held, &open.form, &at, &edits)?;
                write.remove_draft(&self.record)?;
                Ok::<_, Fault>(change)
            })?;
            Ok(Saved { record: self.record, change })
        })?;
        *locked(&self.open) = None;
        locked(&self.book.open_forms).remove(&self.record);
        self.book.bell.saved();
        Ok(saved)
    }

    fn held(&self, write: &Write<'_>, open: &OpenForm) -> Result<Held, Fault> {
        if open.key.is_new && write.view().meta(&self.record)?.is_none() {
            return self.book.fresh(&open.form, self.record);
        }
        self.book.held(write, &self.record)
    }

    fn keep_draft(&self, open: &OpenForm) -> Result<(), Fault> {
        let bytes = open.session.draft();
        let now_ms = self.book.clock.now_ms();
        self.book.store.write(|write| Ok(write.put_draft(&open.key, now_ms, &bytes)?))
    }

    /// Records about the person in whose identity `path` is, this place itself left out.
    fn known(&self, open: &OpenForm, path: &FieldPath) -> Result<Vec<PersonHit>, Fault> {
        if !open.form.field(&path.field).is_some_and(|field| field.identity) {
            return Ok(Vec::new());
        }
        let here = |other: &str| other.parse::<FieldPath>().is_ok_and(|other| other.row == path.row);
        let found = persons(&open.form, open.session.values(), &open.unit);
        let Some(person) = found.into_iter().find(|person| here(&person.path)) else { return Ok(Vec::new()) };
        let hits = self.book.store.read(|view| Ok::<_, Fault>(view.person(&person.key)?))?;
        Ok(hits.into_iter().filter(|hit| hit.record != self.record || hit.path != person.path).collect())
    }

    fn with<T>(&self, work: impl FnOnce(&mut OpenForm) -> Result<T, Fault>) -> Result<T, ClientError> {
        self.book.guarded(|| {
            let mut open = locked(&self.open);
            let open = open.as_mut().ok_or_else(|| Fault::new(ErrorKind::BadInput, Text::FormClosed, ""))?;
            work(open).map_err(|fault| fault.record(self.record))
        })
    }
}

impl Drop for FormHandle {
    fn drop(&mut self) {
        if locked(&self.open).is_some() {
            locked(&self.book.open_forms).remove(&self.record);
        }
    }
}

impl From<DraftError> for Fault {
    fn from(error: DraftError) -> Self {
        Fault::new(ErrorKind::NeedsUpdate, Text::BadForm, &error.0)
    }
}
