//! One record's answers as the tree that expressions run over: a block of values for the form and one for each row, laid
//! out by the form's shape, so that an answer of the own row is found by addition.

use super::schema::{Schema, SchemaId, ScopeId};
use crate::forms::values::{Row, Scalar, Values};
use crate::ids::RowId;

/// A node of the tree.
pub(crate) type NodeId = u32;
/// A block of the tree: the form (0), or a row.
pub(crate) type BlockId = u32;

/// The form's own block, or a row's.
#[derive(Debug)]
pub(crate) struct Block {
    pub scope: ScopeId,
    pub parent: BlockId,
    /// Its first node.
    pub base: NodeId,
    pub row: Option<RowId>,
    /// Place among the rows of its repeat, from 1.
    pub position: u32,
    /// Rows inside, by repeat, in order. Surplus rows of a counted repeat are taken out.
    pub rows: Vec<(ScopeId, Vec<BlockId>)>,
}

/// Answers and what the rules say about them.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub blocks: Vec<Block>,
    pub texts: Vec<String>,
    /// What the node's own `relevant` says; groups above are not in it.
    pub own_relevant: Vec<bool>,
    /// The block of each node.
    pub block_of: Vec<BlockId>,
    /// Blocks by scope, in order; without surplus rows.
    pub by_scope: Vec<Vec<BlockId>>,
}

impl Tree {
    /// Lays out `values`. Rows whose enclosing row is missing are left out, as screens leave them out.
    pub(crate) fn new(schema: &Schema, values: &Values) -> Tree {
        let mut tree = Tree { by_scope: vec![Vec::new(); schema.scopes.len()], ..Tree::default() };
        tree.add_block(schema, 0, 0, None, 1);
        for (path, value) in &values.fields {
            tree.put(schema, 0, path, scalar_text(value));
        }
        for (path, chosen) in &values.sets {
            tree.put(schema, 0, path, joined(chosen));
        }
        // Enclosing repeats come before the repeats inside them.
        for scope in 1..schema.scopes.len() {
            let path = schema.scopes[scope].path.as_str();
            for row in values.rows.get(path).map_or(&[][..], Vec::as_slice) {
                tree.add_row(schema, u32::try_from(scope).unwrap_or(u32::MAX), row);
            }
        }
        tree
    }

    fn add_row(&mut self, schema: &Schema, scope: ScopeId, row: &Row) {
        let chain = &schema.scope(scope).chain;
        let outer = chain.len().checked_sub(2).and_then(|at| chain.get(at)).copied().unwrap_or(0);
        let candidates = self.by_scope.get(outer as usize).map_or(&[][..], Vec::as_slice);
        let parent = candidates.iter().copied().find(|block| self.block(*block).row == row.parent);
        let Some(parent) = parent else { return };
        let position = self.rows(parent, scope).len() + 1;
        let block = self.add_block(schema, scope, parent, Some(row.id), u32::try_from(position).unwrap_or(u32::MAX));
        for (path, value) in &row.fields {
            self.put(schema, block, path, scalar_text(value));
        }
        for (path, chosen) in &row.sets {
            self.put(schema, block, path, joined(chosen));
        }
    }

    fn add_block(
        &mut self,
        schema: &Schema,
        scope: ScopeId,
        parent: BlockId,
        row: Option<RowId>,
        position: u32,
    ) -> BlockId {
        let id = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        let base = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let end = self.texts.len() + schema.scope(scope).nodes.len();
        self.texts.resize(end, String::new());
        self.own_relevant.resize(end, true);
        self.block_of.resize(end, id);
        self.blocks.push(Block { scope, parent, base, row, position, rows: Vec::new() });
        self.by_scope[scope as usize].push(id);
        if scope != 0 {
            let rows = &mut self.blocks[parent as usize].rows;
            match rows.iter_mut().find(|(s, _)| *s == scope) {
                Some((_, list)) => list.push(id),
                None => rows.push((scope, vec![id])),
            }
        }
        id
    }

    fn put(&mut self, schema: &Schema, block: BlockId, path: &str, text: String) {
        if let Some(node) = schema.by_path(path) {
            let place = schema.node(node);
            let block = self.block(block);
            if place.scope == block.scope && place.children.is_empty() {
                let at = (block.base + place.offset) as usize;
                self.texts[at] = text;
            }
        }
    }

    pub(crate) fn block(&self, id: BlockId) -> &Block {
        &self.blocks[id as usize]
    }

    pub(crate) fn text(&self, node: NodeId) -> &str {
        &self.texts[node as usize]
    }

    /// The rows of `scope` directly inside `block`.
    pub(crate) fn rows(&self, block: BlockId, scope: ScopeId) -> &[BlockId] {
        let rows = self.block(block).rows.iter().find(|(s, _)| *s == scope);
        rows.map_or(&[][..], |(_, rows)| rows.as_slice())
    }

    /// The node of the shape that `node` stands for.
    pub(crate) fn schema_id(&self, schema: &Schema, node: NodeId) -> SchemaId {
        let block = self.block(self.block_of[node as usize]);
        let offset = (node - block.base) as usize;
        schema.scope(block.scope).nodes.get(offset).copied().unwrap_or(0)
    }

    /// The node of `place` in `block`, which must be of its scope.
    pub(crate) fn node_in(&self, schema: &Schema, block: BlockId, place: SchemaId) -> NodeId {
        self.block(block).base + schema.node(place).offset
    }

    /// The block of `row` of the repeat with `scope`.
    pub(crate) fn block_of_row(&self, scope: ScopeId, row: RowId) -> Option<BlockId> {
        let blocks = self.by_scope.get(scope as usize)?;
        blocks.iter().copied().find(|block| self.block(*block).row == Some(row))
    }

    /// Takes the rows of `scope` beyond `count` out of `block`, with all inside them.
    pub(crate) fn hide_surplus(&mut self, block: BlockId, scope: ScopeId, count: usize) {
        let Some((_, rows)) = self.blocks[block as usize].rows.iter_mut().find(|(s, _)| *s == scope) else { return };
        if rows.len() <= count {
            return;
        }
        let mut hidden = rows.split_off(count);
        let mut at = 0;
        while let Some(block) = hidden.get(at).copied() {
            hidden.extend(self.block(block).rows.iter().flat_map(|(_, rows)| rows.iter().copied()));
            at += 1;
        }
        for list in &mut self.by_scope {
            list.retain(|block| !hidden.contains(block));
        }
    }

    /// The node and everything above it are relevant.
    pub(crate) fn is_relevant(&self, schema: &Schema, node: NodeId, guards: &[Vec<SchemaId>]) -> bool {
        let mut block = self.block_of[node as usize];
        let mut place = self.schema_id(schema, node);
        loop {
            let guarded = guards.get(place as usize).map_or(&[][..], Vec::as_slice);
            if guarded.iter().any(|guard| !self.own_relevant[self.node_in(schema, block, *guard) as usize]) {
                return false;
            }
            let scope = self.block(block).scope;
            if scope == 0 {
                return true;
            }
            let repeat = schema.scope(scope).nodes.first().copied().unwrap_or(0);
            place = schema.node(repeat).parent.unwrap_or(0);
            block = self.block(block).parent;
        }
    }
}

/// An answer as an XForm holds it.
pub(crate) fn scalar_text(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Text(text) => text.clone(),
        Scalar::Integer(number) => number.to_string(),
    }
}

fn joined(chosen: &std::collections::BTreeSet<String>) -> String {
    chosen.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
