//! A record without some of its changes: what is left when the server did not take them.

use std::collections::{BTreeSet, HashSet};

use automerge::{Automerge, Change};

use super::error::DocumentError;
use super::layout::{library_error, our_hash};
use super::types::RawChange;
use super::{Document, chunk, raw_change};
use crate::ids::ChangeHash;

/// The document without the dropped changes and all that depend on them, and those changes in order.
pub(super) fn without(
    document: &Document,
    dropped: &[ChangeHash],
) -> Result<(Document, Vec<RawChange>), DocumentError> {
    let system = document.system_changes();
    let mut gone: HashSet<ChangeHash> = dropped.iter().filter(|hash| !system.contains(hash)).copied().collect();
    let (mut kept, mut out): (Vec<Change>, Vec<RawChange>) = (Vec::new(), Vec::new());
    for change in document.doc.get_changes(&[]) {
        let hash = our_hash(&change.hash());
        if gone.contains(&hash) || change.deps().iter().any(|dep| gone.contains(&our_hash(dep))) {
            gone.insert(hash);
            out.extend(raw_change(&change));
        } else {
            kept.push(change);
        }
    }
    // A container that nothing uses any more would be a head of its own.
    let used: HashSet<ChangeHash> = kept.iter().flat_map(|change| change.deps().iter().map(our_hash)).collect();
    kept.retain(|change| {
        let hash = our_hash(&change.hash());
        hash == document.creation || !system.contains(&hash) || used.contains(&hash)
    });
    let count = kept.len();
    let mut doc = Automerge::new();
    doc.apply_changes(kept).map_err(|error| library_error(&error))?;
    let rebuilt = Document::of(doc)?;
    if rebuilt.doc.get_changes_meta(&[]).len() != count {
        return Err(DocumentError::Internal { detail: "a change was lost in rebuilding".to_owned() });
    }
    Ok((rebuilt, out))
}

/// Each of `heads` that is not here gives way to what it was built upon, as `bytes_of` tells.
pub(super) fn heads_here(
    document: &Document,
    heads: &[ChangeHash],
    bytes_of: impl Fn(&ChangeHash) -> Option<Vec<u8>>,
) -> Vec<ChangeHash> {
    let (mut open, mut seen, mut here) = (heads.to_vec(), BTreeSet::new(), BTreeSet::new());
    while let Some(head) = open.pop() {
        if !seen.insert(head) {
            continue;
        }
        match bytes_of(&head).filter(|_| !document.contains(&head)) {
            Some(bytes) => open.extend(chunk::decode(&bytes).map(|change| change.deps).unwrap_or_default()),
            // A container that nothing uses any more is gone too; what else nobody knows stays, so that a save says so.
            None if !document.contains(&head) && !heads.contains(&head) => drop(here.insert(document.creation)),
            None => drop(here.insert(head)),
        }
    }
    here.into_iter().collect()
}
