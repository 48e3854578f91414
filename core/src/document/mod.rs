//! Records as automerge documents: deterministic creation, saves at the heads that were read, conflicts as values,
//! history by change.
//!
//! Root keys of a document: `_id`, `_kind`, `_form` (creation), `_submitted`; every answer outside repeats under its
//! field path; a map per repeat, nested ones too, with a map per row under the row's id; a map per select_multiple
//! question with a key per chosen name (`row/name` inside repeats). `null` is a cleared answer. Nothing is deleted but
//! a set's key: a removed row holds `_removed`.
//!
//! A row that was removed while somebody wrote inside it stays visible, and its path `repeat[row]/_removed` is a
//! conflict with the values `removed`, `edited` and `kept`. Writing one of them there (or removing the row again)
//! resolves it like any other conflict.

pub mod body;
pub(crate) mod edit;
mod error;
pub(crate) mod graph;
mod held;
pub(crate) mod history;
pub(crate) mod layout;
mod read;
mod rebuild;
mod removal;
mod rendition;
pub(crate) mod snapshot;
mod types;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, ROOT, ReadDoc};

pub use error::DocumentError;
pub use held::{ChangeState, PendingEntry, RecordMeta};
pub use history::HISTORY_TOUCHED_MAX;
pub use rendition::Rendition;
pub use types::{
    Conflict, ConflictValue, HistoryEntry, RawChange, RecordHead, RecordState, ReviewMark, TouchedField, state_of,
};

use crate::forms::{Edit, FormDefinition, Values};
use crate::ids::{ActorId, ChangeHash, RecordId};
use crate::limits::BODY_BYTES_MAX;
use crate::protocol::chunk;
use crate::protocol::limits::CHANGE_BYTES_MAX;
use graph::Graph;
use layout::{
    CREATION_ACTOR, Shape, am_actor, am_hash, am_hashes, container_actor, library_error, our_actor, our_hash,
};
use snapshot::{Place, Snapshot};

/// One record's document.
#[derive(Clone, Debug)]
pub struct Document {
    pub(crate) doc: Automerge,
    head: RecordHead,
    creation: ChangeHash,
}

impl Document {
    /// A record that holds its creation change only: the same bytes wherever the same id and form are created.
    ///
    /// # Errors
    /// [`DocumentError::Internal`] if the library fails.
    pub fn create(id: RecordId, form: &FormDefinition) -> Result<Self, DocumentError> {
        guarded(|| Self::of(layout::creation(id, form).map_err(|error| library_error(&error))?))
    }

    /// Hash of the creation change that [`Document::create`] would make, in a fraction of its time.
    ///
    /// # Errors
    /// [`DocumentError::TooLarge`] for a form whose containers do not fit into one change.
    pub fn creation_of(id: RecordId, form: &FormDefinition) -> Result<ChangeHash, DocumentError> {
        layout::creation_hash(id, form).ok_or_else(|| {
            let (size, limit) = (form.repeats.len() as u64, CHANGE_BYTES_MAX as u64);
            DocumentError::TooLarge { what: "the form's containers in bytes".to_owned(), size, limit }
        })
    }

    /// From what [`Document::save`] returned.
    ///
    /// # Errors
    /// [`DocumentError::Damaged`] for anything else.
    pub fn load(body: &[u8]) -> Result<Self, DocumentError> {
        if body.len() > BODY_BYTES_MAX {
            let (size, limit) = (body.len() as u64, BODY_BYTES_MAX as u64);
            return Err(DocumentError::TooLarge { what: "the record's body in bytes".to_owned(), size, limit });
        }
        if !chunk::is_document(body) {
            return Err(damaged("it is no document"));
        }
        guarded(|| Self::of(Automerge::load(body).map_err(|error| damaged(&error.to_string()))?)).map_err(|error| {
            match error {
                DocumentError::Internal { detail } => DocumentError::Damaged { detail },
                other => other,
            }
        })
    }

    pub(crate) fn of(doc: Automerge) -> Result<Self, DocumentError> {
        let get = |key| doc.get(ROOT, key).map_err(|error| library_error(&error));
        let (id, op) = get(layout::ID_KEY)?.ok_or_else(|| damaged("it has no record id"))?;
        let id = id.into_bytes().ok().and_then(|bytes| RecordId::from_slice(&bytes).ok());
        let id = id.ok_or_else(|| damaged("its record id has not 16 bytes"))?;
        let text = |key: &'static str| {
            let value = get(key)?.and_then(|(value, _)| value.into_string().ok());
            value.ok_or_else(|| damaged("it has no kind or form version"))
        };
        let creation = doc.hash_for_opid(&op).ok_or_else(|| damaged("it has no creation change"))?;
        if snapshot::op_of(&op).1 != Some(&am_actor(CREATION_ACTOR)) {
            return Err(damaged("its creation change has another author"));
        }
        let head = RecordHead { id, kind: text(layout::KIND_KEY)?, created_version: text(layout::FORM_KEY)? };
        Ok(Self { creation: our_hash(&creation), head, doc })
    }

    /// The document as bytes: uncompressed, for a store that compresses many.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        self.doc.save_nocompress()
    }

    /// What the creation change says.
    #[must_use]
    pub fn record(&self) -> &RecordHead {
        &self.head
    }

    /// Hash of the creation change: what every first save depends on.
    #[must_use]
    pub fn creation(&self) -> ChangeHash {
        self.creation
    }

    /// The changes that no other builds on, sorted.
    #[must_use]
    pub fn heads(&self) -> Vec<ChangeHash> {
        sorted(&self.doc.get_heads())
    }

    /// Whether the document holds this change (system changes included).
    #[must_use]
    pub fn contains(&self, change: &ChangeHash) -> bool {
        self.doc.get_change_meta_by_hash(&am_hash(*change)).is_some()
    }

    /// The one change (system changes included) whose hash begins so; `None` where there is none or more than one.
    #[must_use]
    pub fn change_by_prefix(&self, prefix: &[u8]) -> Option<ChangeHash> {
        let changes = self.doc.get_changes_meta(&[]);
        let mut found = changes.iter().filter(|meta| meta.hash.0.starts_with(prefix));
        let first = found.next()?;
        if found.next().is_some() { None } else { Some(our_hash(&first.hash)) }
    }

    /// Every change but the system's own (creation, containers), causes before effects.
    #[must_use]
    pub fn changes(&self) -> Vec<RawChange> {
        let system = self.system_changes();
        let changes = self.doc.get_changes(&[]);
        let own = changes.iter().filter(|change| !system.contains(&our_hash(&change.hash())));
        own.filter_map(raw_change).collect()
    }

    /// One change, unless it is unknown or the system's own.
    #[must_use]
    pub fn change(&self, change: &ChangeHash) -> Option<RawChange> {
        let found = self.doc.get_change_by_hash(&am_hash(*change))?;
        if self.system_changes().contains(change) { None } else { raw_change(&found) }
    }

    /// Creation and added containers: every device makes them alike, so they are never sent.
    fn system_changes(&self) -> HashSet<ChangeHash> {
        let mut found = HashSet::from([self.creation]);
        for object in Snapshot::of(&self.doc, None).objects {
            let Place::Container(path) = &object.place else { continue };
            if snapshot::op_of(&object.id).1 == Some(&am_actor(container_actor(path))) {
                found.extend(self.doc.hash_for_opid(&object.id).map(|hash| our_hash(&hash)));
            }
        }
        found
    }

    /// Whether `change` is one of `heads` or came before one of them.
    #[must_use]
    pub fn ancestors_contain(&self, heads: &[ChangeHash], change: &ChangeHash) -> bool {
        heads.contains(change) || Graph::of(&self.doc).closure(&am_hashes(heads)).contains(&am_hash(*change))
    }

    /// All answers as of now.
    #[must_use]
    pub fn read(&self, form: &FormDefinition) -> Values {
        read::values(&Snapshot::of(&self.doc, None), form)
    }

    /// All answers and all disagreements as of now: what [`Document::read`] and [`Document::conflicts`] return, in one
    /// pass.
    #[must_use]
    pub fn read_with_conflicts(&self, form: &FormDefinition) -> (Values, Vec<Conflict>) {
        read::values_and_conflicts(&Snapshot::of(&self.doc, None), form)
    }

    /// Time of the latest of the heads as its author claims, seconds since 1970 UTC; 0 for a record without a save.
    #[must_use]
    pub fn latest_time_s(&self) -> i64 {
        let heads = self.doc.get_heads();
        let times = heads.iter().filter_map(|head| self.doc.get_change_meta_by_hash(head)).map(|meta| meta.timestamp);
        times.max().unwrap_or(0)
    }

    /// The heads at which somebody writes who has seen `heads` and the latest change of each of `actors`, sorted.
    #[must_use]
    pub fn with_latest_of(&self, heads: &[ChangeHash], actors: &[ActorId]) -> Vec<ChangeHash> {
        let graph = Graph::of(&self.doc);
        let mut seen = am_hashes(heads);
        seen.extend(actors.iter().filter_map(|actor| graph.last_of(&am_actor(*actor))).map(|(hash, _)| hash));
        sorted(&graph.maximal(&seen))
    }

    /// All answers as they were at `heads`; unknown heads show nothing.
    #[must_use]
    pub fn read_at(&self, form: &FormDefinition, heads: &[ChangeHash]) -> Values {
        read::values(&Snapshot::of(&self.doc, Some(&am_hashes(heads))), form)
    }

    /// The text of the latest submission, if the record was handed in.
    #[must_use]
    pub fn submission(&self) -> Option<String> {
        read::submission(&self.doc, None)
    }

    /// The submission text that the record showed at `heads`.
    #[must_use]
    pub fn submission_at(&self, heads: &[ChangeHash]) -> Option<String> {
        read::submission(&self.doc, Some(&am_hashes(heads)))
    }

    /// Every field with different concurrent values, by path: nobody's entry is hidden behind another's.
    #[must_use]
    pub fn conflicts(&self, form: &FormDefinition) -> Vec<Conflict> {
        read::conflicts(&Snapshot::of(&self.doc, None), form)
    }

    /// What each save wrote, causes before effects; system changes are left out.
    #[must_use]
    pub fn history(&self, form: &FormDefinition) -> Vec<HistoryEntry> {
        history::history(&self.doc, &self.system_changes(), form)
    }

    /// Whether a change did nothing but choose among values that stood in conflict where it was made: that is no
    /// authorship. False for an unknown change, and for one that wrote what `form` does not know.
    #[must_use]
    pub fn only_chooses(&self, form: &FormDefinition, change: &ChangeHash) -> bool {
        history::only_chooses(&self.doc, form, am_hash(*change))
    }

    /// What one change of this document did, as edits that do it again (at other heads, under another actor). Empty
    /// for an unknown change, and for what `form` does not know.
    #[must_use]
    pub fn edits_of(&self, form: &FormDefinition, change: &ChangeHash) -> Vec<Edit> {
        let Some(found) = self.doc.get_change_by_hash(&am_hash(*change)) else { return Vec::new() };
        let Ok(decoded) = chunk::decode(found.raw_bytes()) else { return Vec::new() };
        let spots = history::spots(&Snapshot::of(&self.doc, None));
        history::edits(history::writes(&decoded, &spots, &Shape::of(form)))
    }

    /// What a change would do that this document does not hold, such as one in quarantine, as edits that do it again.
    /// `around` are others that it does not hold and that the change may build on. `None` where the bytes are no change
    /// or do something that `form` does not know.
    #[must_use]
    pub fn edits_of_unheld(&self, form: &FormDefinition, around: &[&[u8]], change: &[u8]) -> Option<Vec<Edit>> {
        guarded(|| Ok(history::edits_of_unheld(self, form, around, change))).ok().flatten()
    }

    /// The named changes without those that another of them builds on, sorted: where a save that has seen them all is
    /// made.
    #[must_use]
    pub fn maximal(&self, heads: &[ChangeHash]) -> Vec<ChangeHash> {
        sorted(&Graph::of(&self.doc).maximal(&am_hashes(heads)))
    }

    /// The document without `dropped` and without all that depends on it, rebuilt from the other changes; and what
    /// was left out, causes before effects. Unknown and system changes are not dropped.
    ///
    /// # Errors
    /// [`DocumentError::Internal`] if the rest does not make a document.
    pub fn without(&self, dropped: &[ChangeHash]) -> Result<(Self, Vec<RawChange>), DocumentError> {
        guarded(|| rebuild::without(self, dropped))
    }

    /// The heads at which a form goes on whose record was rebuilt without own changes ([`Document::without`]): each of
    /// `heads` that is not here gives way to what it was built upon, as its bytes say, which `bytes_of` returns.
    #[must_use]
    pub fn heads_here(
        &self,
        heads: &[ChangeHash],
        bytes_of: impl Fn(&ChangeHash) -> Option<Vec<u8>>,
    ) -> Vec<ChangeHash> {
        rebuild::heads_here(self, heads, bytes_of)
    }

    /// One save = one change, made at the heads that its form was opened at, so that what arrived meanwhile becomes
    /// a visible conflict instead of being overwritten. Writes only what differs from what `at` shows; choosing one
    /// of several values that are in conflict there is a write. `None`: nothing differs.
    ///
    /// # Errors
    /// [`DocumentError`]; the document is then as before.
    pub fn edit(
        &mut self,
        form: &FormDefinition,
        at: &[ChangeHash],
        actor: ActorId,
        time_s: i64,
        edits: &[Edit],
    ) -> Result<Option<RawChange>, DocumentError> {
        let made = guarded(|| edit::edit(self, form, at, actor, time_s, edits))?;
        Ok(made.map(|(doc, change)| {
            self.doc = doc;
            change
        }))
    }
}

fn sorted(hashes: &[automerge::ChangeHash]) -> Vec<ChangeHash> {
    let mut hashes: Vec<ChangeHash> = hashes.iter().map(our_hash).collect();
    hashes.sort_unstable();
    hashes
}

fn damaged(detail: &str) -> DocumentError {
    DocumentError::Damaged { detail: detail.to_owned() }
}

impl RawChange {
    /// Reads a change's own words about itself; `None` for anything that is no change. Nothing of it is checked but its
    /// form: intake does that.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let decoded = chunk::decode(bytes).ok()?;
        Some(Self {
            hash: decoded.hash,
            actor: decoded.actors.first().copied()?,
            time_s: decoded.time_s,
            deps: decoded.deps,
            bytes: bytes.to_vec(),
        })
    }
}

fn raw_change(change: &automerge::Change) -> Option<RawChange> {
    Some(RawChange {
        hash: our_hash(&change.hash()),
        actor: our_actor(change.actor_id())?,
        time_s: change.timestamp(),
        deps: change.deps().iter().map(our_hash).collect(),
        bytes: change.raw_bytes().to_vec(),
    })
}

/// Runs `work` so that a panic of the library becomes an error.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, DocumentError>) -> Result<T, DocumentError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic");
        Err(DocumentError::Internal { detail: text.chars().take(200).collect() })
    })
}
