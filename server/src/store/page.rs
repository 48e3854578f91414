//! One record as a supervisor reads it: merged values, both sides of every disagreement, and who wrote what.

use std::collections::{BTreeMap, BTreeSet};

use crate::sql::Connection;
use fieldbook_core::access::Decision;
use fieldbook_core::document::{ConflictValue, HistoryEntry, RecordState, TouchedField};
use fieldbook_core::forms::{EvalTime, Field, FieldPath, Form, Scalar};
use fieldbook_core::ids::{ActorId, ChangeHash, DeviceId, RecordId, UserId};
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

use super::differences::{self, Befores};
use super::records::{self, OpenRecord};
use super::{Store, StoreError, audit, console, devices, doubles, listing, mask, quarantine, reviews, units};
use crate::clock_text::shanghai;

/// What the audit log names where every field was shown.
const ALL_FIELDS: &str = "*";

/// Who wrote something.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct AuthorPage {
    /// The user's name; empty if unknown here.
    pub author: String,
    /// The user.
    pub author_id: String,
    /// The device; the server's own for what a supervisor wrote.
    pub device: String,
    /// The device's name; empty for the server's own.
    pub device_name: String,
}

/// When something was written.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TimePage {
    /// As its author claims, Asia/Shanghai, `YYYY-MM-DDTHH:MM:SS+08:00`.
    pub time: String,
    /// The same, milliseconds since 1970 UTC.
    pub time_ms: i64,
    /// When the server received it, Asia/Shanghai.
    pub received: Option<String>,
    /// The same, milliseconds since 1970 UTC.
    pub received_ms: Option<i64>,
    /// The author claims a time more than 5 minutes after the receipt: the device's clock is wrong.
    pub clock_wrong: bool,
}

/// One of several concurrent values.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ValuePage {
    /// The value; null where the author cleared it.
    #[schema(value_type = Object)]
    pub value: Json,
    /// Label of the value, where it is a choice.
    pub text: Option<String>,
    /// Who wrote it.
    #[serde(flatten)]
    pub by: AuthorPage,
    /// When, as its author claims, and when the server received it.
    #[serde(flatten)]
    pub when: TimePage,
    /// The change.
    pub change: String,
}

/// A field with two or more different values.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConflictPage {
    /// Path, with the row inside repeats.
    pub path: String,
    /// Label of the field.
    pub label: String,
    /// Approval waits until it is resolved.
    pub blocks_approval: bool,
    /// All values, the shown one first.
    pub values: Vec<ValuePage>,
}

/// A rule of the form that the merged record breaks.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProblemPage {
    /// Path, with the row inside repeats.
    pub path: String,
    /// Label of the field.
    pub label: String,
    /// What to do.
    pub message: String,
}

/// A decision.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReviewPage {
    /// `approve`, `return`, `void`, `archive` or `reinstate`.
    pub decision: String,
    /// Who decided.
    pub reviewer: String,
    /// Name of who decided.
    pub reviewer_name: String,
    /// Reasons.
    pub reasons: String,
    /// With a return: the fields that are open again; empty = all.
    pub fields: Vec<String>,
    /// The heads that were read.
    pub heads: Vec<String>,
    /// When, by the server's clock, Asia/Shanghai.
    pub time: String,
    /// The same, milliseconds since 1970 UTC.
    pub time_ms: i64,
    /// With `void`: this record is a double of that one, which stays.
    pub same_as: Option<String>,
}

/// One answer that a change wrote.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WrotePage {
    /// Path, with the row inside repeats.
    pub path: String,
    /// Label of the field.
    pub label: String,
    /// What was written; null where it was cleared. Of a choice among several: its name.
    #[schema(value_type = Object)]
    pub value: Json,
    /// Label of the value, where it is a choice.
    pub text: Option<String>,
    /// Of a choice among several: whether it was chosen.
    pub chosen: Option<bool>,
    /// What its author saw there; null where there was nothing, and of a choice among several.
    #[schema(value_type = Object)]
    pub before: Json,
    /// Label of what its author saw, where it is a choice.
    pub before_text: Option<String>,
}

/// A value that differs from what was approved.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DifferencePage {
    /// Path, with the row inside repeats.
    pub path: String,
    /// Label of the field.
    pub label: String,
    /// What was approved; null where there was nothing. Of several choices the list.
    #[schema(value_type = Object)]
    pub approved: Json,
    /// Label of it, where it is a choice.
    pub approved_text: Option<String>,
    /// What stands there now.
    #[schema(value_type = Object)]
    pub now: Json,
    /// Label of it, where it is a choice.
    pub now_text: Option<String>,
}

/// What has changed since a record was approved or archived.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AmendedPage {
    /// The decision, in the order of `reviews`, from 0.
    pub review: usize,
    /// Answers that differ, in the order of the form, at most 500. Empty where only what the form does not know changed,
    /// or a change was taken back.
    pub differences: Vec<DifferencePage>,
}

/// What the user may do with the record as it stands.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct MayPage {
    /// Choose values and edit, as far as fields allow.
    pub edit: bool,
    /// Decisions that the state allows: `approve`, `return`, `void`, `archive`, `reinstate`.
    pub decide: Vec<String>,
    /// Why `approve` would be refused though the state allows it: `must_agree`, `has_problems`, `own_record`.
    pub approve_blocked_by: Option<String>,
}

/// One save.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChangePage {
    /// The change.
    pub change: String,
    /// Who made it.
    #[serde(flatten)]
    pub by: AuthorPage,
    /// When, as its author claims, and when the server received it.
    #[serde(flatten)]
    pub when: TimePage,
    /// Of a supervisor's change that holds what she admitted of another's: whose it was.
    pub admitted_for: Option<String>,
    /// What it wrote.
    pub wrote: Vec<WrotePage>,
}

/// One record.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RecordPage {
    /// The record.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Form version that it was created under.
    pub created_version: String,
    /// Form version that it is shown under.
    pub form_version: String,
    /// Code of its unit.
    pub unit: String,
    /// Name of its unit.
    pub unit_name: String,
    /// Its area.
    pub area: String,
    /// `draft`, `submitted`, `returned`, `approved`, `amended`, `archived` or `voided`.
    pub state: String,
    /// When it was handed in, as its author wrote it.
    pub submitted: Option<String>,
    /// The changes that no other builds on: what decisions and edits must name.
    pub heads: Vec<String>,
    /// Merged values, nested as in the form; sensitive ones masked.
    #[schema(value_type = Object)]
    pub values: Json,
    /// Label of each field, by path without rows.
    pub labels: BTreeMap<String, String>,
    /// Fields that are masked here, by path without rows: ask for one with `reveal`.
    pub masked: Vec<String>,
    /// Every disagreement.
    pub conflicts: Vec<ConflictPage>,
    /// What the merged record breaks.
    pub problems: Vec<ProblemPage>,
    /// All decisions, oldest first.
    pub reviews: Vec<ReviewPage>,
    /// With the state `amended`: what differs from what was approved.
    pub amended: Option<AmendedPage>,
    /// What the user may do.
    pub may: MayPage,
    /// All saves, causes before effects.
    pub history: Vec<ChangePage>,
    /// When its latest change arrived, milliseconds since 1970 UTC.
    pub received_ms: i64,
    /// Records that are void because they are doubles of this one.
    pub doubles: Vec<String>,
}

/// Milliseconds by which a claimed time may differ from the receipt without being doubted.
const CLOCK_TOLERANCE_MS: i64 = fieldbook_core::protocol::limits::CLOCK_TOLERANCE_MS;

pub(super) struct Pager<'a> {
    tx: &'a Connection,
    pub(super) form: &'a Form,
    language: &'a str,
    pub(super) revealed: &'a BTreeSet<String>,
    authors: BTreeMap<ActorId, AuthorPage>,
    device_names: BTreeMap<DeviceId, String>,
}

impl<'a> Pager<'a> {
    pub(super) fn new(tx: &'a Connection, form: &'a Form, language: &'a str, revealed: &'a BTreeSet<String>) -> Self {
        Self { tx, form, language, revealed, authors: BTreeMap::new(), device_names: BTreeMap::new() }
    }

    fn author(&mut self, actor: ActorId) -> Result<AuthorPage, StoreError> {
        if let Some(known) = self.authors.get(&actor) {
            return Ok(known.clone());
        }
        let page = match records::author(self.tx, actor)? {
            None => AuthorPage::default(),
            Some(author) => {
                let name = match self.device_names.get(&author.device) {
                    Some(name) => name.clone(),
                    None => devices::device(self.tx, author.device)?.map(|device| device.name).unwrap_or_default(),
                };
                self.device_names.insert(author.device, name.clone());
                AuthorPage {
                    author: author.name,
                    author_id: author.user.to_string(),
                    device: author.device.to_string(),
                    device_name: name,
                }
            }
        };
        self.authors.insert(actor, page.clone());
        Ok(page)
    }

    pub(super) fn label(&self, path: &FieldPath) -> String {
        let field = self.form.field(&path.field);
        field.and_then(|field| self.form.pick(&field.label, self.language)).unwrap_or(&path.field).to_owned()
    }

    /// JSON and choice label of a value, masked if the field is hidden.
    pub(super) fn shown(&self, path: &FieldPath, value: Option<&Scalar>) -> (Json, Option<String>) {
        let Some(value) = value else { return (Json::Null, None) };
        let Some(field) = self.form.field(&path.field) else { return (plain(value), None) };
        if mask::hides(field, self.revealed) {
            return (self.form.scalar_to_json(field, &mask::scalar(value)), None);
        }
        (self.form.scalar_to_json(field, value), self.choice_label(field, value))
    }

    fn choice_label(&self, field: &Field, value: &Scalar) -> Option<String> {
        let Scalar::Text(name) = value else { return None };
        let list = self.form.definition().choices.get(field.choice_list.as_ref()?)?;
        let choice = list.iter().find(|choice| choice.name == *name)?;
        self.form.pick(&choice.label, self.language).map(str::to_owned)
    }

    fn value(&mut self, path: &FieldPath, value: &ConflictValue) -> Result<ValuePage, StoreError> {
        let (json, text) = self.shown(path, value.value.as_ref());
        let (by, when) = (self.author(value.actor)?, self.when(value.time_s, &value.change)?);
        Ok(ValuePage { value: json, text, by, when, change: value.change.to_string() })
    }

    fn when(&self, time_s: i64, change: &ChangeHash) -> Result<TimePage, StoreError> {
        let time_ms = time_s.saturating_mul(1000);
        let received_ms = records::received_ms(self.tx, change)?;
        Ok(TimePage {
            time: shanghai(time_ms),
            time_ms,
            received: received_ms.map(shanghai),
            received_ms,
            // A record waits for days without signal: only a claim from after the receipt is wrong for certain.
            clock_wrong: received_ms.is_some_and(|received| time_ms.saturating_sub(received) > CLOCK_TOLERANCE_MS),
        })
    }

    /// What was written to one answer, beside what was there.
    pub(super) fn wrote(&self, touched: &TouchedField, (before, before_text): (Json, Option<String>)) -> WrotePage {
        let ((value, text), chosen) = match &touched.choice {
            Some((name, chosen)) => (self.shown(&touched.path, Some(&Scalar::Text(name.clone()))), Some(*chosen)),
            None => (self.shown(&touched.path, touched.value.as_ref()), None),
        };
        let (path, label) = (touched.path.to_string(), self.label(&touched.path));
        WrotePage { path, label, value, text, chosen, before, before_text }
    }

    fn change(&mut self, entry: &HistoryEntry, before: &Befores) -> Result<ChangePage, StoreError> {
        let wrote = entry.touched.iter().enumerate().map(|(at, touched)| {
            let before = self.shown(&touched.path, before.of_answer(&entry.change, at));
            self.wrote(touched, before)
        });
        let wrote = wrote.collect();
        Ok(ChangePage {
            change: entry.change.to_string(),
            by: self.author(entry.actor)?,
            when: self.when(entry.time_s, &entry.change)?,
            admitted_for: quarantine::admitted_for(self.tx, &entry.change)?,
            wrote,
        })
    }
}

fn plain(value: &Scalar) -> Json {
    match value {
        Scalar::Text(text) => Json::from(text.as_str()),
        Scalar::Integer(number) => Json::from(*number),
    }
}

fn hex_all(hashes: &[ChangeHash]) -> Vec<String> {
    hashes.iter().map(ToString::to_string).collect()
}

/// What a user may do with a record in this state.
fn may(
    tx: &Connection,
    user: UserId,
    open: &OpenRecord,
    form: &Form,
    state: RecordState,
) -> Result<MayPage, StoreError> {
    if !units::roles_at(tx, user, &open.feed.id.unit)?.iter().any(|role| role.supervises()) {
        return Ok(MayPage::default());
    }
    let decide = Decision::ALL.iter().filter(|decision| console::allows(state, **decision));
    let decide: Vec<String> = decide.map(|decision| decision.word().to_owned()).collect();
    let blocked = match console::allows(state, Decision::Approve) {
        true => console::approval_blocked(tx, user, open, form)?.map(|problem| problem.word.to_owned()),
        false => None,
    };
    Ok(MayPage { edit: true, decide, approve_blocked_by: blocked })
}

fn review_pages(tx: &Connection, record: RecordId) -> Result<Vec<ReviewPage>, StoreError> {
    let rows = reviews::of_record(tx, record)?;
    let page = |row: reviews::ReviewRow| ReviewPage {
        decision: row.decision.word().to_owned(),
        reviewer: row.reviewer.to_string(),
        reviewer_name: row.reviewer_name,
        reasons: row.reasons,
        fields: row.fields,
        heads: hex_all(&row.heads),
        time: shanghai(row.time_ms),
        time_ms: row.time_ms,
        same_as: row.same_as.map(|record| record.to_string()),
    };
    Ok(rows.into_iter().map(page).collect())
}

impl Store {
    /// One record that `user` may read; what `revealed` names is shown in clear, and logged.
    ///
    /// # Errors
    /// `record_unknown`, also of what `user` may not read; else what the database said.
    pub fn page(
        &self,
        user: UserId,
        record: RecordId,
        language: &str,
        revealed: &BTreeSet<String>,
    ) -> Result<RecordPage, StoreError> {
        let page = self.read(|tx| {
            let open = console::readable_in(self, tx, user, record)?;
            self.page_in(tx, &open, Some(user), language, revealed)
        })?;
        self.log_reveal(user, &record.to_string(), revealed)?;
        Ok(page)
    }

    /// Notes which fields of a record `user` has been shown in clear; nothing where there are none.
    ///
    /// # Errors
    /// What the database said.
    pub(super) fn log_reveal(&self, user: UserId, record: &str, fields: &BTreeSet<String>) -> Result<(), StoreError> {
        if fields.is_empty() {
            return Ok(());
        }
        let named = fields.iter().cloned().collect::<Vec<_>>().join(",");
        self.write(|tx| audit::audit(tx, self.now_ms(), Some(user), "reveal", record, &named))
    }

    /// One record for the administrator at the command line: whoever holds the key file may see all. It is logged.
    ///
    /// # Errors
    /// `record_unknown`; else what the database said.
    pub fn page_unmasked(&self, record: RecordId, language: &str) -> Result<RecordPage, StoreError> {
        let page = self.read(|tx| {
            let missing = || super::Problem::new("record_unknown").with("record", record);
            let open = records::load(tx, record)?.ok_or_else(missing)?;
            let form = self.current_form(tx, &open.kind)?;
            let all = form.iter().flat_map(|form| form.definition().fields.iter().map(|field| field.path.clone()));
            self.page_in(tx, &open, None, language, &all.collect())
        })?;
        self.write(|tx| audit::audit(tx, self.now_ms(), None, "reveal", &record.to_string(), ALL_FIELDS))?;
        Ok(page)
    }

    fn page_in(
        &self,
        tx: &Connection,
        open: &OpenRecord,
        user: Option<UserId>,
        language: &str,
        revealed: &BTreeSet<String>,
    ) -> Result<RecordPage, StoreError> {
        let form = self.current_form(tx, &open.kind)?.ok_or_else(|| StoreError::corrupt("form", &open.kind))?;
        let definition = form.definition();
        let mut pager = Pager::new(tx, &form, language, revealed);
        let time = EvalTime::new(open.changed_s, &open.id);
        let mut evaluation = form.evaluate_in(&open.document.read(definition), &time, language);
        mask::values(definition, &mut evaluation.shown, revealed);
        let mut conflicts = Vec::new();
        for conflict in open.document.conflicts(definition) {
            let merge = form.field(&conflict.path.field).map(|field| field.merge);
            let values = conflict.values.iter().map(|value| pager.value(&conflict.path, value));
            let values = values.collect::<Result<_, _>>()?;
            conflicts.push(ConflictPage {
                path: conflict.path.to_string(),
                label: pager.label(&conflict.path),
                blocks_approval: matches!(
                    merge,
                    Some(fieldbook_core::forms::Merge::MustAgree | fieldbook_core::forms::Merge::Once)
                ),
                values,
            });
        }
        let problems = evaluation.problems.iter().map(|problem| ProblemPage {
            path: problem.path.to_string(),
            label: pager.label(&problem.path),
            message: problem.message.clone(),
        });
        let problems = problems.collect();
        let state = console::current_state(tx, open)?;
        let history = open.document.history(definition);
        let befores = Befores::of(&open.document, &history);
        let history = history.iter().map(|entry| pager.change(entry, &befores)).collect::<Result<_, _>>()?;
        let amended = differences::amended(tx, &pager, open, state)?;
        let may = user.map_or_else(|| Ok(MayPage::default()), |user| may(tx, user, open, &form, state))?;
        let labels = definition
            .fields
            .iter()
            .map(|field| (field.path.clone(), form.pick(&field.label, language).unwrap_or(&field.path).to_owned()));
        let masked = definition.fields.iter().filter(|field| mask::hides(field, revealed));
        Ok(RecordPage {
            id: open.id.to_string(),
            kind: open.kind.clone(),
            created_version: open.document.record().created_version.clone(),
            form_version: definition.version.clone(),
            unit: open.feed.id.unit.clone(),
            unit_name: units::wanted_unit(tx, &open.feed.id.unit)?.name,
            area: open.feed.id.area.word().to_owned(),
            state: state.word().to_owned(),
            submitted: open.document.submission(),
            heads: hex_all(&open.document.heads()),
            values: form.values_to_json(&evaluation.shown),
            labels: labels.collect(),
            masked: masked.map(|field| field.path.clone()).collect(),
            conflicts,
            problems,
            reviews: review_pages(tx, open.id)?,
            amended,
            may,
            history,
            received_ms: open.received_ms,
            doubles: doubles::confirmed_of(tx, open.id)?,
        })
    }

    /// The kinds that `user` may see, by kind.
    pub(crate) fn visible_forms(&self, user: UserId) -> Result<Vec<std::sync::Arc<Form>>, StoreError> {
        self.read(|tx| {
            let roles = units::roles(tx, user)?;
            let mut forms = self.current_forms(tx)?;
            forms.retain(|form| roles.iter().any(|(role, _)| role.areas().contains(&form.definition().area)));
            Ok(forms)
        })
    }

    /// The newest form of a kind that `user` may see.
    pub(crate) fn visible_form(&self, user: UserId, kind: &str) -> Result<std::sync::Arc<Form>, StoreError> {
        self.read(|tx| listing::visible_form(self, tx, user, kind))
    }
}
