//! One record with all that a screen shows of it, and exports.

use serde_json::{Value as Json, json};

use super::error::Fault;
use super::fieldbook::Fieldbook;
use super::row::scalar_json;
use super::session;
use super::text::{Language, Text};
use super::types::{ConflictSide, ConflictView, HistoryView, ProblemView, RecordView, ReviewView, TouchedView};
use super::{ClientError, ErrorKind, day};
use crate::document::{Document, HistoryEntry, TouchedField};
use crate::forms::{FieldPath, Form, Problem, Scalar};
use crate::ids::{ActorId, RecordId};
use crate::protocol::Review;
use crate::store::{ListFilter, RecordRow, View};

/// Records that an export reads at a time.
const EXPORT_PAGE: usize = 200;

impl Fieldbook {
    /// A record with conflicts, problems, reviews and history.
    ///
    /// # Errors
    /// `NotFound`; errors of the store.
    pub fn record(&self, id: RecordId) -> Result<RecordView, ClientError> {
        self.guarded(|| {
            let (row, kind) = self.store.read(|view| {
                let row = view.record(&id)?.ok_or_else(|| unknown(id))?;
                let kind = row.row.kind.clone();
                Ok::<_, Fault>((row, kind))
            })?;
            let form = self.form_of(&kind)?;
            self.store.read(|view| self.view_of(view, row, &form))
        })
    }

    /// Every record of a kind as the export writes it, a page at a time: `line` gets each record's JSON.
    ///
    /// # Errors
    /// `NotFound` for an unknown kind; errors of the store; what `line` returns ends the export.
    pub fn export<E: From<ClientError>>(
        &self,
        kind: &str,
        line: &mut dyn FnMut(&Json) -> Result<(), E>,
    ) -> Result<(), E> {
        self.guarded(|| self.require_kind(kind))?;
        let mut after = None;
        loop {
            let page = self.guarded(|| self.export_page(kind, after))?;
            let Some((_, last)) = page.last() else { return Ok(()) };
            after = Some(*last);
            for (record, _) in &page {
                line(record)?;
            }
        }
    }

    fn export_page(&self, kind: &str, after: Option<i64>) -> Result<Vec<(Json, i64)>, Fault> {
        let form = self.form_of(kind)?;
        self.store.read(|view| {
            let rows = view.list(kind, &ListFilter::default(), after, EXPORT_PAGE)?;
            let mut page = Vec::with_capacity(rows.len());
            for row in rows {
                let place = row.place;
                let record = view.record(&row.id)?.ok_or_else(|| unknown(row.id))?;
                page.push((self.export_json(view, &record, &form)?, place));
            }
            Ok(page)
        })
    }

    fn export_json(&self, view: View<'_>, record: &RecordRow, form: &Form) -> Result<Json, Fault> {
        let conflicts = self.conflicts(view, record, form)?;
        let conflicts: Vec<Json> = conflicts
            .into_iter()
            .map(|conflict| {
                let values: Vec<Json> = conflict
                    .values
                    .into_iter()
                    .map(|side| {
                        json!({ "value": side.value, "author": side.author, "time": day::text(side.time_ms / 1000) })
                    })
                    .collect();
                json!({ "path": conflict.path, "values": values })
            })
            .collect();
        let problems: Vec<Json> = self
            .problems(view, record, form, None)?
            .into_iter()
            .map(|problem| json!({ "path": problem.path, "message": problem.message }))
            .collect();
        Ok(json!({
            "id": record.row.id,
            "kind": record.row.kind,
            "unit": record.row.unit,
            "state": record.row.state.word(),
            "heads": record.heads,
            "values": parsed(&record.answers)?,
            "conflicts": conflicts,
            "problems": problems,
        }))
    }

    fn view_of(&self, view: View<'_>, record: RecordRow, form: &Form) -> Result<RecordView, Fault> {
        let id = record.row.id;
        let body = view.body(&id)?.ok_or_else(|| unknown(id))?;
        let document = Document::load(&body)?;
        let history = document.history(form.definition());
        let reviews = view.reviews(&id)?.iter().map(|row| decode_review(&row.bytes)).collect::<Result<Vec<_>, _>>()?;
        Ok(RecordView {
            id,
            conflicts: self.conflicts(view, &record, form)?,
            history: history.into_iter().map(|entry| self.history_view(view, form, entry)).collect::<Result<_, _>>()?,
            problems: self.problems(view, &record, form, Some(&document))?,
            reviews: reviews.into_iter().map(review_view).collect(),
            not_taken: self.not_taken_of(view, &id)?,
            values: parsed(&record.answers)?,
            heads: record.heads,
            kind: record.row.kind,
            unit: record.row.unit,
            title: record.row.title,
            state: record.row.state,
            sync: record.row.sync,
        })
    }

    /// What is wrong with a record, in the phone's language: as it was told when the record was stored, or told anew if
    /// that was in another language.
    fn problems(
        &self,
        view: View<'_>,
        record: &RecordRow,
        form: &Form,
        document: Option<&Document>,
    ) -> Result<Vec<ProblemView>, Fault> {
        let stored = parsed(&record.problems)?;
        let all = stored.get("problems").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        let language = self.language().tag();
        if all.is_empty() || text(&stored, "language") == language {
            let told = |problem| ProblemView { path: text(problem, "path"), message: text(problem, "message") };
            return Ok(all.iter().map(told).collect());
        }
        let loaded;
        let document = match document {
            Some(document) => document,
            None => {
                let id = record.row.id;
                loaded = Document::load(&view.body(&id)?.ok_or_else(|| unknown(id))?)?;
                &loaded
            }
        };
        let told = |problem: Problem| ProblemView { path: problem.path.to_string(), message: problem.message };
        Ok(super::row::problems(document, form, language).into_iter().map(told).collect())
    }

    fn conflicts(&self, view: View<'_>, record: &RecordRow, form: &Form) -> Result<Vec<ConflictView>, Fault> {
        let stored = parsed(&record.conflicts)?;
        let own = session::actor(view)?;
        let mut conflicts = Vec::new();
        for conflict in stored.as_array().into_iter().flatten() {
            let path = text(conflict, "path");
            let parsed_path: FieldPath = path.parse().map_err(Fault::internal)?;
            let mut values = Vec::new();
            for side in conflict.get("values").and_then(Json::as_array).into_iter().flatten() {
                let actor: ActorId = text(side, "actor").parse().map_err(Fault::internal)?;
                let value = side.get("value").cloned().unwrap_or(Json::Null);
                values.push(ConflictSide {
                    shown: shown(form, &parsed_path, &value, self.language()),
                    value,
                    author: self.author(view, &actor)?,
                    own: actor == own,
                    actor,
                    time_ms: side.get("time").and_then(Json::as_i64).unwrap_or(0).saturating_mul(1000),
                    change: text(side, "change").parse().map_err(Fault::internal)?,
                });
            }
            conflicts.push(ConflictView { label: label(form, &parsed_path, self.language()), path, values });
        }
        Ok(conflicts)
    }

    /// Name of the user who writes under `actor`: of this phone, or as the server said; empty while it has not.
    fn author(&self, view: View<'_>, actor: &ActorId) -> Result<String, Fault> {
        if let Some(row) = view.actor(actor)? {
            return Ok(row.name);
        }
        if *actor == session::actor(view)? {
            return Ok(super::enrol::Enrolment::load(view)?.map(|enrolment| enrolment.user_name).unwrap_or_default());
        }
        Ok(String::new())
    }

    fn history_view(&self, view: View<'_>, form: &Form, entry: HistoryEntry) -> Result<HistoryView, Fault> {
        Ok(HistoryView {
            change: entry.change,
            author: self.author(view, &entry.actor)?,
            time_ms: entry.time_s.saturating_mul(1000),
            touched: entry.touched.iter().map(|touched| touched_view(form, touched, self.language())).collect(),
        })
    }
}

fn unknown(id: RecordId) -> Fault {
    Fault::new(ErrorKind::NotFound, Text::UnknownRecord, id).record(id)
}

fn parsed(json: &str) -> Result<Json, Fault> {
    serde_json::from_str(json).map_err(|error| Fault::internal(format!("stored JSON: {error}")))
}

fn text(object: &Json, key: &str) -> String {
    object.get(key).and_then(Json::as_str).unwrap_or_default().to_owned()
}

fn decode_review(bytes: &[u8]) -> Result<Review, Fault> {
    minicbor::decode(bytes).map_err(|error| Fault::internal(format!("stored review: {error}")))
}

fn review_view(review: Review) -> ReviewView {
    ReviewView {
        decision: review.decision.word().to_owned(),
        reasons: review.reasons,
        fields: review.fields,
        reviewer: review.reviewer_name,
        time_ms: review.time_ms,
        same_as: review.same_as,
    }
}

/// The label of a field in the user's language; the path where there is none.
pub(super) fn label(form: &Form, path: &FieldPath, language: Language) -> String {
    form.field(&path.field)
        .and_then(|field| form.pick(&field.label, language.tag()))
        .map_or_else(|| path.to_string(), str::to_owned)
}

/// A value as a screen shows it: a choice's label instead of its name.
fn shown(form: &Form, path: &FieldPath, value: &Json, language: Language) -> String {
    let text = match value {
        Json::Null => return String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    form.field(&path.field)
        .and_then(|field| field.choice_list.as_ref())
        .and_then(|list| form.definition().choices.get(list))
        .and_then(|choices| choices.iter().find(|choice| choice.name == text))
        .and_then(|choice| form.pick(&choice.label, language.tag()).map(str::to_owned))
        .unwrap_or(text)
}

pub(super) fn touched_view(form: &Form, touched: &TouchedField, language: Language) -> TouchedView {
    let (path, value, shown) = match &touched.choice {
        Some((choice, chosen)) => {
            let name = shown(form, &touched.path, &Json::from(choice.as_str()), language);
            (&touched.path, choice_json(choice, *chosen), marked(&name, *chosen))
        }
        None => {
            let value = touched.value.as_ref().map_or(Json::Null, |value| scalar_json(form, &touched.path, value));
            let text = shown(form, &touched.path, &value, language);
            (&touched.path, value, text)
        }
    };
    TouchedView { path: path.to_string(), label: label(form, path, language), value, shown }
}

/// What a save wrote, where the form is not known: values as they are stored.
pub(super) fn plain_view(touched: &TouchedField) -> TouchedView {
    let path = touched.path.to_string();
    let (value, shown) = match (&touched.choice, &touched.value) {
        (Some((choice, chosen)), _) => (choice_json(choice, *chosen), marked(choice, *chosen)),
        (None, Some(Scalar::Text(text))) => (Json::from(text.as_str()), text.clone()),
        (None, Some(Scalar::Integer(number))) => (Json::from(*number), number.to_string()),
        (None, None) => (Json::Null, String::new()),
    };
    TouchedView { label: path.clone(), path, value, shown }
}

fn choice_json(choice: &str, chosen: bool) -> Json {
    json!({ choice: chosen })
}

fn marked(name: &str, chosen: bool) -> String {
    format!("{} {name}", if chosen { '+' } else { '-' })
}
