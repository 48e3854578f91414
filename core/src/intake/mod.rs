//! What a change must pass before it is believed.
//!
//! The CRDT library does not defend itself: hostile changes made it panic, spin, allocate gigabytes and leave
//! documents that save but never load again. So a change is read by our own strict reader first, held against the
//! layout and the form operation by operation, then applied to a copy, saved, loaded again and read, all inside
//! `catch_unwind`, and only then judged by its author's rights. Whatever fails leaves the document untouched.

mod ops;
mod rights;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;

use automerge::{Automerge, Change};

use crate::access::Role;
use crate::document::graph::Graph;
use crate::document::history::{self, touched};
use crate::document::layout::{
    CREATION_ACTOR, Shape, am_actor, am_hash, am_hashes, containers, is_system_actor, our_hash,
};
use crate::document::snapshot::Snapshot;
use crate::document::{Document, Rendition, ReviewMark, TouchedField, edit, guarded};
use crate::forms::FormDefinition;
use crate::ids::{ActorId, ChangeHash};
use crate::protocol::chunk::{self, Decoded};
use crate::protocol::limits::{CHANGE_OP_GAP_MAX, RECORD_OPS_MAX};

/// What decides whether an author may make a change: the server's view, as of the change's arrival.
#[derive(Clone, Copy, Debug)]
pub struct Rights<'a> {
    /// The author's roles at the record's unit.
    pub roles: &'a [Role],
    /// The last review of the record, in feed order.
    pub last_review: Option<&'a ReviewMark>,
    /// With a last review that returned the record: the fields that it opened again; empty = all.
    pub reopened: Option<&'a [String]>,
}

/// A change that the document holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The change.
    pub hash: ChangeHash,
    /// Its author, in automerge's sense.
    pub actor: ActorId,
    /// Its author's claim of when, seconds since 1970 UTC.
    pub time_s: i64,
    /// What it wrote.
    pub touched: Vec<TouchedField>,
    /// The document held it before: nothing changed, and rights were not asked.
    pub known: bool,
}

/// Why a change was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Malformed, or nothing that an honest app writes: never stored.
    #[error("refused ({reason}): {detail}")]
    Refused {
        /// A fixed word for logs and messages, one of `malformed`, `system`, `forked`, `sequence`, `counter`,
        /// `operation`, `field`, `value`, `rows`, `unusable`.
        reason: &'static str,
        /// What was wrong.
        detail: String,
    },
    /// Well-formed, but its author may not make it: stored apart, a supervisor can admit it.
    #[error("quarantined ({reason}): {detail}")]
    Quarantined {
        /// `role` or `after_submission`.
        reason: &'static str,
        /// The fields that it may not write, as paths.
        fields: Vec<String>,
        /// What was wrong.
        detail: String,
    },
    /// It builds on a change that the document does not hold (also what a change of another record looks like).
    #[error("the change builds on {hash}, which is not here")]
    MissingDependency {
        /// The first missing one.
        hash: ChangeHash,
    },
    /// On a phone: it writes what the form at hand does not know; keep it until a newer form is there.
    #[error("the change needs a newer form: {detail}")]
    NeedsNewerForm {
        /// What is unknown.
        detail: String,
    },
}

pub(crate) fn refused(reason: &'static str, detail: impl Into<String>) -> Refusal {
    Refusal::Refused { reason, detail: detail.into() }
}

/// Everything that one change must pass. On `Ok` the document holds it, on `Err` the document is as before. The same
/// change twice changes nothing. `rights: None` is a phone checking what its server sends: structure only.
///
/// # Errors
/// [`Refusal`].
pub fn admit(
    document: &mut Document,
    form: &FormDefinition,
    bytes: &[u8],
    rights: Option<&Rights<'_>>,
) -> Result<Admitted, Refusal> {
    let (with_change, admitted) = judge(document, form, bytes, rights)?;
    if let Some((with_change, _)) = with_change {
        *document = with_change;
    }
    Ok(admitted)
}

/// The document with the change, and its rendition under the form (`None`: the change was there); and what to say of it.
pub type Judged = (Option<(Document, Rendition)>, Admitted);

/// As [`admit`], beside the document.
///
/// # Errors
/// [`Refusal`].
pub fn judge(
    document: &Document,
    form: &FormDefinition,
    bytes: &[u8],
    rights: Option<&Rights<'_>>,
) -> Result<Judged, Refusal> {
    let change = chunk::decode(bytes).map_err(|error| refused("malformed", error.to_string()))?;
    if form.kind != document.record().kind {
        return Err(refused("field", format!("the record is a {}, not a {}", document.record().kind, form.kind)));
    }
    let result = guarded(|| Ok(check(document, form, bytes, &change, rights)));
    result.map_err(|error| refused("unusable", error.to_string()))?
}

fn check(
    document: &Document,
    form: &FormDefinition,
    bytes: &[u8],
    change: &Decoded<'_>,
    rights: Option<&Rights<'_>>,
) -> Result<Judged, Refusal> {
    let shape = Shape::of(form);
    let actor = change.actors.first().copied().unwrap_or(CREATION_ACTOR);
    let admitted = |touched, known| Admitted { hash: change.hash, actor, time_s: change.time_s, touched, known };
    if document.contains(&change.hash) {
        let spots = history::spots(&Snapshot::of(&document.doc, None));
        return Ok((None, admitted(touched(&history::writes(change, &spots, &shape)), true)));
    }
    check_author(form, change, actor)?;
    let work = with_dependencies(document, form, change)?;
    let deps = am_hashes(&change.deps);
    let graph = Graph::of(&work);
    check_order(&graph, change, actor, &deps)?;
    // What stands now is read quicker than what stood at some heads.
    let now = same_heads(work.get_heads(), &deps);
    let before = Snapshot::of(&work, if now { None } else { Some(&deps) });
    let spots = ops::check(&before, &work, change, &shape, rights.is_none())?;
    let after = apply(document, &work, form, bytes, change)?;
    let writes = history::writes(change, &spots, &shape);
    if let Some(rights) = rights {
        rights::check(rights, &shape, &writes, &work, &graph, &deps)?;
    }
    Ok((Some(after), admitted(touched(&writes), false)))
}

fn same_heads(mut heads: Vec<automerge::ChangeHash>, deps: &[automerge::ChangeHash]) -> bool {
    let mut deps = deps.to_vec();
    heads.sort_unstable();
    deps.sort_unstable();
    heads == deps
}

fn check_author(form: &FormDefinition, change: &Decoded<'_>, actor: ActorId) -> Result<(), Refusal> {
    if is_system_actor(form, actor) {
        return Err(refused("system", "the change claims an author that only the system has"));
    }
    if change.deps.is_empty() {
        return Err(refused("system", "the change builds on nothing, not even on the record's creation"));
    }
    Ok(())
}

/// The document with what the change builds on: a copy if containers of the form are added on the spot.
fn with_dependencies<'d>(
    document: &'d Document,
    form: &FormDefinition,
    change: &Decoded<'_>,
) -> Result<Cow<'d, Automerge>, Refusal> {
    let mut missing: Vec<ChangeHash> = change.deps.iter().filter(|dep| !document.contains(dep)).copied().collect();
    if missing.is_empty() {
        return Ok(Cow::Borrowed(&document.doc));
    }
    let mut work = document.doc.clone();
    let here: HashSet<String> = Snapshot::of(&work, None).containers().map(|(path, _)| path.to_owned()).collect();
    for path in containers(form).into_iter().filter(|path| !here.contains(*path)) {
        let unusable = |error: &dyn std::fmt::Display| refused("unusable", error.to_string());
        let container = edit::container_of(&work, document.creation(), path).map_err(|error| unusable(&error))?;
        let hash = our_hash(&container.hash());
        if missing.contains(&hash) {
            work.apply_changes([container]).map_err(|error| unusable(&error))?;
            missing.retain(|dep| *dep != hash);
        }
    }
    match missing.first() {
        Some(hash) => Err(Refusal::MissingDependency { hash: *hash }),
        None => Ok(Cow::Owned(work)),
    }
}

/// Sequence, ancestry and operation counters. A counter near 2³² would make the next honest edit panic.
fn check_order(
    graph: &Graph,
    change: &Decoded<'_>,
    actor: ActorId,
    deps: &[automerge::ChangeHash],
) -> Result<(), Refusal> {
    match graph.last_of(&am_actor(actor)) {
        Some((_, last)) if change.seq <= last => {
            let detail = format!("actor {actor} has another change number {}", change.seq);
            return Err(refused("forked", detail));
        }
        Some((last, seq)) => {
            if change.seq != seq + 1 || !graph.closure(deps).contains(&last) {
                return Err(refused("sequence", format!("number {} does not follow the actor's {seq}", change.seq)));
            }
        }
        None if change.seq == 1 => {}
        None => return Err(refused("sequence", format!("number {} is not the actor's first", change.seq))),
    }
    let past = deps.iter().filter_map(|dep| graph.node(dep)).map(|node| node.max_op).max().unwrap_or(0);
    let record = graph.nodes().map(|(_, node)| node.max_op).max().unwrap_or(0);
    let end = change.start_op.saturating_add(change.ops.len() as u64);
    if change.start_op <= past || change.start_op > record + CHANGE_OP_GAP_MAX || end > RECORD_OPS_MAX {
        let detail = format!("operation counter {} does not follow {past} (record {record})", change.start_op);
        return Err(refused("counter", detail));
    }
    Ok(())
}

/// Applies the change to the copy, saves that, loads it again, and reads it.
fn apply(
    document: &Document,
    work: &Automerge,
    form: &FormDefinition,
    bytes: &[u8],
    change: &Decoded<'_>,
) -> Result<(Document, Rendition), Refusal> {
    let unusable = |detail: String| refused("unusable", detail);
    let parsed = Change::from_bytes(bytes.to_vec()).map_err(|error| unusable(error.to_string()))?;
    let hash = am_hash(change.hash);
    let known = parsed.hash() == hash && parsed.len() == change.ops.len();
    if !known || !parsed.extra_bytes().is_empty() || parsed.message().is_some() {
        return Err(unusable("the library reads the change differently".to_owned()));
    }
    let deps: HashSet<automerge::ChangeHash> = parsed.deps().iter().copied().collect();
    let mut wanted: Vec<_> = work.get_heads().into_iter().filter(|head| !deps.contains(head)).collect();
    wanted.push(hash);
    wanted.sort_unstable();
    let mut applied = work.clone();
    applied.apply_changes([parsed]).map_err(|error| unusable(error.to_string()))?;
    let body = applied.save_nocompress();
    let again = Document::load(&body).map_err(|error| unusable(error.to_string()))?;
    if applied.get_heads() != wanted || again.doc.get_heads() != wanted || again.record() != document.record() {
        return Err(unusable("the record does not come back from its store as it was".to_owned()));
    }
    if again.creation() != document.creation() {
        return Err(unusable("the record's creation has changed".to_owned()));
    }
    // Whoever stores it reads it next: that must not fail either.
    let rendition = Rendition::with_body(&again, body, form);
    Ok((again, rendition))
}
