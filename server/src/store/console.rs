//! What supervisors do to records: resolve, edit, decide.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::sql::{Connection, OptionalExtension};
use fieldbook_core::access::{Decision, Role};
use fieldbook_core::document::{Document, DocumentError, RawChange, RecordState, state_of};
use fieldbook_core::forms::{Edit, EvalTime, Form, Merge};
use fieldbook_core::ids::{ActorId, ChangeHash, DeviceId, RecordId, UserId};
use fieldbook_core::intake::{self, Refusal, Rights};
use fieldbook_core::ports::Random;
use fieldbook_core::protocol::Review;

use super::audit::audit;
use super::records::{self, Accepted, OpenRecord};
use super::{Problem, Store, StoreError, UserRow, differences, mask, quarantine, reviews, units};

/// Fresh actors tried for one edit before giving up.
const ACTORS_TRIED_MAX: usize = 3;
/// Characters of a decision's reasons.
const REASONS_CHARS_MAX: usize = 2_000;
/// Characters of the fields that the audit log names of one save.
const AUDITED_CHARS_MAX: usize = 500;
/// Fields that one return names.
const FIELDS_MAX: usize = 200;

/// Under whom this process writes: a device of its own, and one actor for each user.
#[derive(Debug)]
pub(crate) struct ServerActors {
    device: DeviceId,
    by_user: Mutex<HashMap<UserId, ActorId>>,
}

impl ServerActors {
    pub(crate) fn new(random: &dyn Random) -> Self {
        Self { device: DeviceId::random(random), by_user: Mutex::default() }
    }

    fn actor(&self, user: UserId, random: &dyn Random) -> ActorId {
        let mut known = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(user).or_insert_with(|| ActorId::random(random))
    }

    fn renew(&self, user: UserId, random: &dyn Random) {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner).insert(user, ActorId::random(random));
    }
}

/// Fields that edits write, by path without rows.
fn fields_of(edits: &[Edit]) -> String {
    let fields: BTreeSet<String> = edits.iter().map(|edit| edit.path().field).collect();
    let named = fields.into_iter().collect::<Vec<_>>().join(" ");
    named.chars().take(AUDITED_CHARS_MAX).collect()
}

/// A decision as asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What is decided.
    pub decision: Decision,
    /// The heads that were read.
    pub heads: Vec<ChangeHash>,
    /// Why; needed to return or void.
    pub reasons: String,
    /// With a return: fields that are open again, by path without rows; empty = all.
    pub fields: Vec<String>,
}

fn unknown(record: RecordId) -> StoreError {
    Problem::new("record_unknown").with("record", record).into()
}

/// The record, if `user` may read it; whoever may not learns no more than that it is not there.
pub(crate) fn readable(tx: &Connection, user: UserId, record: RecordId) -> Result<OpenRecord, StoreError> {
    let open = records::load(tx, record)?.ok_or_else(|| unknown(record))?;
    if units::may_read(tx, user, &open.feed.id.unit, open.feed.id.area)? { Ok(open) } else { Err(unknown(record)) }
}

/// As [`readable`], but the document may be one that was loaded before.
pub(crate) fn readable_in(
    store: &Store,
    tx: &Connection,
    user: UserId,
    record: RecordId,
) -> Result<OpenRecord, StoreError> {
    may_see(tx, user, record)?;
    store.load(tx, record)?.ok_or_else(|| unknown(record))
}

/// As [`readable`], of a record that need not be loaded.
pub(crate) fn may_see(tx: &Connection, user: UserId, record: RecordId) -> Result<(), StoreError> {
    let sql = "SELECT records.unit, area FROM records JOIN feeds ON feeds.id = feed WHERE records.id = ?1";
    let found: Option<(String, String)> =
        tx.prepare(sql)?.query_row([record.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (unit, word) = found.ok_or_else(|| unknown(record))?;
    if units::may_read(tx, user, &unit, area(&word)?)? { Ok(()) } else { Err(unknown(record)) }
}

/// Whether the record is here and the user may read it.
pub(crate) fn sees(tx: &Connection, user: UserId, record: RecordId) -> Result<bool, StoreError> {
    match may_see(tx, user, record) {
        Err(StoreError::Problem(problem)) if problem.word == "record_unknown" => Ok(false),
        told => told.map(|()| true),
    }
}

/// The record and the user's roles at it, if `user` may decide on it.
pub(crate) fn decidable(
    tx: &Connection,
    user: UserId,
    record: RecordId,
) -> Result<(OpenRecord, Vec<Role>), StoreError> {
    let open = readable(tx, user, record)?;
    let roles = units::roles_at(tx, user, &open.feed.id.unit)?;
    if roles.iter().any(|role| role.supervises()) {
        Ok((open, roles))
    } else {
        Err(Problem::new("not_supervisor").with("unit", &open.feed.id.unit).into())
    }
}

fn document_problem(error: DocumentError) -> StoreError {
    match error {
        DocumentError::UnknownHeads { .. } => Problem::new("heads_unknown").into(),
        DocumentError::Damaged { .. } | DocumentError::Internal { .. } => StoreError::corrupt("record", error),
        other => Problem::new("value_refused").with("detail", other).into(),
    }
}

/// A record as a supervisor has read it, on its way to a decision.
struct Reading<'a> {
    tx: &'a Connection,
    user: &'a UserRow,
    open: &'a OpenRecord,
    form: &'a Form,
    heads: &'a [ChangeHash],
}

impl Reading<'_> {
    fn check(&self, asked: &Asked) -> Result<(), StoreError> {
        let document = &self.open.document;
        if self.heads.is_empty() || !self.heads.iter().all(|head| document.contains(head)) {
            return Err(Problem::new("heads_unknown").into());
        }
        let state = current_state(self.tx, self.open)?;
        let needs_reasons = matches!(asked.decision, Decision::Return | Decision::Void);
        if needs_reasons && asked.reasons.trim().is_empty() {
            return Err(Problem::new("reasons_missing").into());
        }
        let unknown = |path: &&String| self.form.field(path).is_none() && !self.form.is_repeat(path);
        if let Some(path) = asked.fields.iter().find(unknown) {
            return Err(Problem::new("field_unknown").with("field", path).into());
        }
        if !allows(state, asked.decision) {
            return Err(Problem::new("wrong_state").with("state", state.word()).into());
        }
        // Nothing is approved or closed that was not read.
        let whole = matches!(asked.decision, Decision::Approve | Decision::Archive);
        if whole && document.heads() != self.heads {
            let changed = differences::since(self.tx, self.open, self.form, self.heads)?.into_boxed_slice();
            return Err(Problem { changed, ..Problem::new("heads_moved") }.into());
        }
        if asked.decision == Decision::Approve { self.check_approval() } else { Ok(()) }
    }

    fn check_approval(&self) -> Result<(), StoreError> {
        let blocked = approval_blocked(self.tx, self.user.id, self.open, self.form)?;
        blocked.map_or(Ok(()), |problem| Err(problem.into()))
    }
}

/// Whether a record in this state can be decided on so.
pub(crate) fn allows(state: RecordState, decision: Decision) -> bool {
    use RecordState::{Amended, Approved, Submitted, Voided};
    match decision {
        Decision::Approve => matches!(state, Submitted | Amended),
        Decision::Return => matches!(state, Submitted | Approved | Amended),
        Decision::Void => state != Voided,
        Decision::Archive => state == Approved,
        Decision::Reinstate => state == Voided,
    }
}

/// Why the record as it stands cannot be approved by this user, if it cannot.
pub(crate) fn approval_blocked(
    tx: &Connection,
    user: UserId,
    open: &OpenRecord,
    form: &Form,
) -> Result<Option<Problem>, StoreError> {
    let (document, definition) = (&open.document, form.definition());
    let open_conflict = document.conflicts(definition).into_iter().find(|conflict| {
        let merge = form.field(&conflict.path.field).map(|field| field.merge);
        matches!(merge, Some(Merge::MustAgree | Merge::Once))
    });
    if let Some(conflict) = open_conflict {
        return Ok(Some(Problem::new("must_agree").with("field", conflict.path)));
    }
    let time = EvalTime::new(open.changed_s, &open.id);
    let evaluation = form.evaluate(&document.read(definition), time);
    if let Some(problem) = evaluation.problems.first() {
        return Ok(Some(Problem::new("has_problems").with("field", &problem.path)));
    }
    let mut own: HashMap<ActorId, bool> = HashMap::new();
    for change in document.changes() {
        let wrote = match own.get(&change.actor) {
            Some(known) => *known,
            None => records::author(tx, change.actor)?.is_some_and(|author| author.user == user),
        };
        own.insert(change.actor, wrote);
        // To choose one of the values, or to admit another's, is not to write.
        if wrote
            && !document.only_chooses(definition, &change.hash)
            && quarantine::admitted_for(tx, &change.hash)?.is_none()
        {
            return Ok(Some(Problem::new("own_record")));
        }
    }
    Ok(None)
}

impl Store {
    fn form_of(&self, tx: &Connection, open: &OpenRecord) -> Result<Arc<Form>, StoreError> {
        self.current_form(tx, &open.kind)?.ok_or_else(|| StoreError::corrupt("form", &open.kind))
    }

    /// Makes one change on behalf of `user` at the heads that were read. What arrived meanwhile stays visible beside
    /// it. Returns the record's new heads.
    ///
    /// # Errors
    /// `record_unknown`, `not_supervisor`, `heads_unknown`, `value_refused`, `not_your_field`; else what the database
    /// said.
    pub fn edit_record(
        &self,
        user: &UserRow,
        record: RecordId,
        heads: &[ChangeHash],
        make: impl Fn(&Form, &Document) -> Result<Vec<Edit>, StoreError>,
    ) -> Result<Vec<ChangeHash>, StoreError> {
        self.write(|tx| {
            let (mut open, roles) = decidable(tx, user.id, record)?;
            let form = self.form_of(tx, &open)?;
            let edits = make(&form, &open.document)?;
            if let Some(field) = mask::masked_in(form.definition(), &edits) {
                return Err(Problem::new("value_masked").with("field", field).into());
            }
            let last = reviews::last(tx, record)?;
            let rights = reviews::rights(&roles, last.as_ref());
            let made = self.write_for(tx, user, &mut open, &form, heads, &edits, &rights)?;
            let Some(change) = made else { return Ok(open.document.heads()) };
            self.save_record(tx, &mut open)?;
            let done = if open.document.only_chooses(form.definition(), &change.hash) { "choose" } else { "edit" };
            audit(tx, self.now_ms(), Some(user.id), done, &record.to_string(), &fields_of(&edits))?;
            Ok(open.document.heads())
        })
    }

    /// Makes one change of the server's own on behalf of `user`, at `heads`, and appends it; the record's row is still to
    /// be saved. `None`: nothing differs from what stands there.
    #[allow(clippy::too_many_arguments, reason = "a save has so many sides")]
    pub(crate) fn write_for(
        &self,
        tx: &Connection,
        user: &UserRow,
        open: &mut OpenRecord,
        form: &Form,
        heads: &[ChangeHash],
        edits: &[Edit],
        rights: &Rights<'_>,
    ) -> Result<Option<RawChange>, StoreError> {
        let now_ms = self.now_ms();
        let mut tried = 0;
        let change = loop {
            let actor = self.actors.actor(user.id, self.random.as_ref());
            let mut trial = Document::clone(&open.document);
            tried += 1;
            match trial.edit(form.definition(), heads, actor, now_ms.div_euclid(1000), edits) {
                Ok(change) => break change,
                Err(DocumentError::ActorBusy { .. }) if tried < ACTORS_TRIED_MAX => {
                    self.actors.renew(user.id, self.random.as_ref());
                }
                Err(error) => return Err(document_problem(error)),
            }
        };
        let Some(change) = change else { return Ok(None) };
        intake::admit(Arc::make_mut(&mut open.document), form.definition(), &change.bytes, Some(rights))
            .map_err(refusal)?;
        let root = units::root(tx)?.map_or_else(|| user.unit.clone(), |root| root.code);
        if !self.claim(tx, change.actor, self.actors.device, user, &root)? {
            return Err(StoreError::corrupt("actor", "it belongs to another device"));
        }
        let accepted = Accepted {
            hash: change.hash,
            bytes: &change.bytes,
            time_s: change.time_s,
            received_ms: now_ms,
            stated: None,
            user: Some(user.id),
        };
        self.append_change(tx, open, &accepted)?;
        Ok(Some(change))
    }

    /// Decides on a record; returns its state then.
    ///
    /// # Errors
    /// `record_unknown`, `not_supervisor`, `heads_moved`, `must_agree`, `has_problems`, `own_record`, `wrong_state`,
    /// `heads_unknown`, `reasons_missing`, `field_unknown`; else what the database said.
    pub fn decide(&self, user: &UserRow, record: RecordId, asked: &Asked) -> Result<RecordState, StoreError> {
        if asked.reasons.chars().count() > REASONS_CHARS_MAX || asked.fields.len() > FIELDS_MAX {
            return Err(Problem::new("request_malformed").with("detail", "reasons or fields are too long").into());
        }
        self.write(|tx| {
            let (mut open, _) = decidable(tx, user.id, record)?;
            let form = self.form_of(tx, &open)?;
            let mut heads = asked.heads.clone();
            heads.sort();
            heads.dedup();
            Reading { tx, user, open: &open, form: &form, heads: &heads }.check(asked)?;
            let now_ms = self.now_ms();
            let review = Review {
                record,
                heads,
                decision: asked.decision,
                reasons: asked.reasons.trim().to_owned(),
                fields: asked.fields.clone(),
                reviewer: user.id,
                reviewer_name: user.name.clone(),
                time_ms: now_ms,
                same_as: None,
            };
            self.append_review(tx, &mut open, &review)?;
            audit(tx, now_ms, Some(user.id), asked.decision.word(), &record.to_string(), "")?;
            current_state(tx, &open)
        })
    }
}

pub(crate) fn refusal(refusal: Refusal) -> StoreError {
    match refusal {
        Refusal::MissingDependency { .. } => Problem::new("depends_on_quarantined").into(),
        Refusal::Quarantined { fields, .. } => Problem::new("not_your_field").with("field", fields.join(", ")).into(),
        other => Problem::new("value_refused").with("detail", other).into(),
    }
}

/// The area that a word names.
pub(crate) fn area(word: &str) -> Result<fieldbook_core::access::Area, StoreError> {
    fieldbook_core::access::Area::from_word(word).ok_or_else(|| StoreError::corrupt("area", word))
}

/// Where the record stands.
pub(crate) fn current_state(tx: &Connection, open: &OpenRecord) -> Result<RecordState, StoreError> {
    let last = reviews::last(tx, open.id)?;
    let submission = open.document.submission();
    Ok(state_of(&open.document.heads(), submission.as_deref(), last.as_ref().map(|last| &last.mark)))
}
