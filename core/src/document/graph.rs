//! Who came after whom: ancestry of a document's changes.

use std::collections::{HashMap, HashSet};

use automerge::{Automerge, ChangeHash};

/// One change, without what it wrote.
pub(crate) struct Node {
    pub(crate) deps: Vec<ChangeHash>,
    pub(crate) actor: automerge::ActorId,
    pub(crate) seq: u64,
    pub(crate) max_op: u64,
}

/// All changes of a document by hash.
pub(crate) struct Graph {
    nodes: HashMap<ChangeHash, Node>,
}

impl Graph {
    pub(crate) fn of(doc: &Automerge) -> Self {
        let nodes = doc.get_changes_meta(&[]).into_iter().map(|meta| {
            let node = Node { deps: meta.deps, actor: meta.actor.into_owned(), seq: meta.seq, max_op: meta.max_op };
            (meta.hash, node)
        });
        Self { nodes: nodes.collect() }
    }

    pub(crate) fn node(&self, hash: &ChangeHash) -> Option<&Node> {
        self.nodes.get(hash)
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&ChangeHash, &Node)> {
        self.nodes.iter()
    }

    /// The named changes and everything before them.
    pub(crate) fn closure(&self, heads: &[ChangeHash]) -> HashSet<ChangeHash> {
        let mut seen = HashSet::new();
        let mut stack: Vec<ChangeHash> = heads.to_vec();
        while let Some(hash) = stack.pop() {
            if seen.insert(hash)
                && let Some(node) = self.nodes.get(&hash)
            {
                stack.extend(node.deps.iter().copied());
            }
        }
        seen
    }

    /// The named changes without those that another of them builds on; sorted.
    pub(crate) fn maximal(&self, heads: &[ChangeHash]) -> Vec<ChangeHash> {
        let before: Vec<ChangeHash> =
            heads.iter().filter_map(|head| self.nodes.get(head)).flat_map(|node| node.deps.iter().copied()).collect();
        let covered = self.closure(&before);
        let mut kept: Vec<ChangeHash> = heads.iter().filter(|head| !covered.contains(*head)).copied().collect();
        kept.sort_unstable();
        kept.dedup();
        kept
    }

    /// The actor's last change, if it has any.
    pub(crate) fn last_of(&self, actor: &automerge::ActorId) -> Option<(ChangeHash, u64)> {
        let own = self.nodes.iter().filter(|(_, node)| node.actor == *actor);
        own.max_by_key(|(_, node)| node.seq).map(|(hash, node)| (*hash, node.seq))
    }
}
