//! What the server did not take: kept with its values, so that it stays readable when its record has left the phone.

use minicbor::{Decode, Encode};

use super::error::Fault;
use super::fieldbook::Fieldbook;
use super::records::{plain_view, touched_view};
use super::row::title;
use super::types::NotTakenView;
use super::{ClientError, ErrorKind};
use crate::document::TouchedField;
use crate::forms::{FieldPath, Scalar, Values};
use crate::ids::{ChangeHash, RecordId};
use crate::store::{LIST_ROWS_MAX, NotTakenRow, View};
use crate::sync::phone::NotTaken;

/// Changes that one record shows at once.
const OF_RECORD_MAX: usize = 200;

/// A change, or what was left out of it, as it is stored.
#[derive(Encode, Decode)]
struct Stored {
    #[n(0)]
    time_s: i64,
    #[n(1)]
    reason: String,
    #[n(2)]
    kind: String,
    #[n(3)]
    title: String,
    #[n(4)]
    fields: Vec<StoredField>,
}

#[derive(Encode, Decode)]
struct StoredField {
    #[n(0)]
    path: FieldPath,
    #[n(1)]
    value: Option<Scalar>,
    #[n(2)]
    choice: Option<(String, bool)>,
}

impl Fieldbook {
    /// What this phone's user wrote and the server did not take, the oldest first, also of records that have left the
    /// phone since. `after` is the `place` of the last one of the page before (0 at first); at most [`LIST_ROWS_MAX`].
    ///
    /// # Errors
    /// Errors of the store.
    pub fn not_taken(&self, after: i64, limit: usize) -> Result<Vec<NotTakenView>, ClientError> {
        self.guarded(|| {
            self.store.read(|view| {
                let rows = view.not_taken(None, after, limit.min(LIST_ROWS_MAX))?;
                rows.iter().map(|row| self.not_taken_view(view, row)).collect()
            })
        })
    }

    /// The user has seen to what was not taken of a record: it is no longer shown. It cannot be had back.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn dismiss_not_taken(&self, record: RecordId) -> Result<(), ClientError> {
        self.guarded(|| self.store.write(|write| Ok(write.dismiss_not_taken(&record)?)))
    }

    pub(super) fn not_taken_of(&self, view: View<'_>, record: &RecordId) -> Result<Vec<NotTakenView>, Fault> {
        let rows = view.not_taken(Some(record), 0, OF_RECORD_MAX)?;
        rows.iter().map(|row| self.not_taken_view(view, row)).collect()
    }

    /// What is stored of `one`.
    pub(super) fn not_taken_row(&self, view: View<'_>, one: &NotTaken) -> Result<(ChangeHash, Vec<u8>), Fault> {
        let kind = view.meta(&one.record)?.map(|meta| meta.kind).unwrap_or_default();
        let shown = view.record(&one.record)?.map(|record| record.row.title).unwrap_or_default();
        let title = if shown.is_empty() { self.title_of(view, &kind, &one.fields)? } else { shown };
        let field = |touched: &TouchedField| StoredField {
            path: touched.path.clone(),
            value: touched.value.clone(),
            choice: touched.choice.clone(),
        };
        let fields = one.fields.iter().map(field).collect();
        let stored = Stored { time_s: one.time_s, reason: one.reason.clone(), kind, title, fields };
        Ok((one.change, minicbor::to_vec(&stored).map_err(Fault::internal)?))
    }

    /// What the answers themselves call a record of which nothing else is left.
    fn title_of(&self, view: View<'_>, kind: &str, fields: &[TouchedField]) -> Result<String, Fault> {
        let mut values = Values::default();
        for touched in fields.iter().filter(|touched| touched.path.row.is_none()) {
            if let Some(value) = &touched.value {
                values.fields.insert(touched.path.field.clone(), value.clone());
            }
        }
        match self.form_in(view, kind, None) {
            Ok(form) => Ok(title(form.definition(), &values)),
            Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(String::new()),
            Err(fault) => Err(fault),
        }
    }

    fn not_taken_view(&self, view: View<'_>, row: &NotTakenRow) -> Result<NotTakenView, Fault> {
        let stored: Stored = minicbor::decode(&row.bytes).map_err(Fault::internal)?;
        let form = match self.form_in(view, &stored.kind, None) {
            Ok(form) => Some(form),
            Err(fault) if fault.kind() == ErrorKind::NotFound => None,
            Err(fault) => return Err(fault),
        };
        let field = |field: StoredField| {
            let touched = TouchedField { path: field.path, value: field.value, choice: field.choice };
            match &form {
                Some(form) => touched_view(form, &touched, self.language()),
                None => plain_view(&touched),
            }
        };
        Ok(NotTakenView {
            place: row.place,
            record: row.record,
            change: row.change,
            kind: stored.kind,
            title: stored.title,
            time_ms: stored.time_s.saturating_mul(1000),
            reason: stored.reason,
            fields: stored.fields.into_iter().map(field).collect(),
        })
    }
}
