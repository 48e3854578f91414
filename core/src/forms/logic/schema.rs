//! The shape of a form's primary instance, and its lookup tables, read from the XForm.

use std::collections::HashMap;

use rxeval::tree::{Instance, NodeId};

use crate::forms::faults::{FaultKind, FormFault};
use crate::forms::limits::DEPTH_MAX;

/// Index of a node of the shape.
pub(crate) type SchemaId = u32;
/// Index of a scope: 0 is the form outside repeats, the others are repeats.
pub(crate) type ScopeId = u32;
/// An interned element name.
pub(crate) type Name = u32;

/// Nodes of a primary instance; fields and groups together.
const NODES_MAX: usize = 20_000;
/// Elements of all lookup tables.
const TABLE_NODES_MAX: usize = 1_000_000;

/// Element names as numbers, so that walking compares integers.
#[derive(Debug, Default)]
pub(crate) struct Names {
    numbers: HashMap<String, Name>,
    texts: Vec<String>,
}

impl Names {
    pub(crate) fn intern(&mut self, name: &str) -> Name {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.numbers.insert(name.to_owned(), number);
        self.texts.push(name.to_owned());
        number
    }

    pub(crate) fn text(&self, name: Name) -> &str {
        self.texts.get(name as usize).map_or("", String::as_str)
    }
}

/// One node of the shape.
#[derive(Debug)]
pub(crate) struct SchemaNode {
    pub name: Name,
    /// Path without the root's name, as fields have it; empty for the root.
    pub path: String,
    pub parent: Option<SchemaId>,
    pub children: Vec<SchemaId>,
    /// The scope whose blocks hold it; a repeat's own node lies in the repeat's scope.
    pub scope: ScopeId,
    /// Place within a block of that scope.
    pub offset: u32,
    pub repeat: bool,
    /// Value that the form's template gives it.
    pub initial: String,
}

/// What a row (or the form outside repeats) holds.
#[derive(Debug)]
pub(crate) struct Scope {
    /// The scopes from the outermost to this one.
    pub chain: Vec<ScopeId>,
    /// Its nodes by offset; offset 0 is the repeat itself (or the root).
    pub nodes: Vec<SchemaId>,
    /// Path of the repeat; empty for scope 0.
    pub path: String,
}

/// The shape of the primary instance.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    pub nodes: Vec<SchemaNode>,
    pub scopes: Vec<Scope>,
    by_path: HashMap<String, SchemaId>,
    scope_by_path: HashMap<String, ScopeId>,
    /// Name of the root element.
    pub root_name: String,
}

impl Schema {
    pub(crate) fn node(&self, id: SchemaId) -> &SchemaNode {
        // Ids come only from this schema.
        &self.nodes[id as usize]
    }

    pub(crate) fn scope(&self, id: ScopeId) -> &Scope {
        &self.scopes[id as usize]
    }

    pub(crate) fn by_path(&self, path: &str) -> Option<SchemaId> {
        self.by_path.get(path).copied()
    }

    pub(crate) fn scope_of_repeat(&self, path: &str) -> Option<ScopeId> {
        self.scope_by_path.get(path).copied()
    }

    /// The node at an absolute XPath of names (`/data/group/field`).
    pub(crate) fn by_xpath(&self, xpath: &str) -> Option<SchemaId> {
        let rest = xpath.trim().strip_prefix('/')?.strip_prefix(self.root_name.as_str())?;
        match rest.strip_prefix('/') {
            Some(path) => self.by_path(path),
            None => rest.is_empty().then_some(0),
        }
    }

    pub(crate) fn child(&self, id: SchemaId, name: Name) -> Option<SchemaId> {
        self.node(id).children.iter().copied().find(|child| self.node(*child).name == name)
    }

    /// The scope that holds the list of nodes `id`: for a repeat its enclosing scope, else its own.
    pub(crate) fn owner(&self, id: SchemaId) -> ScopeId {
        let node = self.node(id);
        if !node.repeat {
            return node.scope;
        }
        let chain = &self.scope(node.scope).chain;
        chain.len().checked_sub(2).and_then(|at| chain.get(at)).copied().unwrap_or(0)
    }

    /// The deepest scope that both chains share.
    pub(crate) fn common(&self, a: ScopeId, b: ScopeId) -> ScopeId {
        let pairs = self.scope(a).chain.iter().zip(&self.scope(b).chain);
        pairs.take_while(|(x, y)| x == y).last().map_or(0, |(x, _)| *x)
    }

    /// Reads the shape below `root`, the child of the primary `<instance>`; `repeats` are XPaths of repeats.
    pub(crate) fn read(
        document: &Instance,
        root: NodeId,
        repeats: &[String],
        names: &mut Names,
    ) -> Result<Schema, FormFault> {
        let mut schema = Schema { root_name: document.node(root).name.clone(), ..Schema::default() };
        schema.scopes.push(Scope { chain: vec![0], nodes: Vec::new(), path: String::new() });
        schema.add(document, root, None, 0, repeats, names, 0)?;
        Ok(schema)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one recursive reader; a struct for its state would only rename them"
    )]
    fn add(
        &mut self,
        document: &Instance,
        element: NodeId,
        parent: Option<SchemaId>,
        scope: ScopeId,
        repeats: &[String],
        names: &mut Names,
        depth: usize,
    ) -> Result<(), FormFault> {
        if depth > 2 * DEPTH_MAX {
            return Err(FormFault::new(FaultKind::NestsTooDeep).with(2 * DEPTH_MAX));
        }
        if self.nodes.len() >= NODES_MAX {
            return Err(FormFault::new(FaultKind::TooManyQuestions).with(NODES_MAX));
        }
        let name = &document.node(element).name;
        let path = match parent.map(|parent| self.node(parent).path.as_str()) {
            None => String::new(),
            Some("") => name.clone(),
            Some(above) => format!("{above}/{name}"),
        };
        let repeat = parent.is_some() && repeats.iter().any(|r| *r == format!("/{}/{path}", self.root_name));
        let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let scope = if repeat { self.new_scope(scope, &path) } else { scope };
        let offset = u32::try_from(self.scope(scope).nodes.len()).unwrap_or(u32::MAX);
        let initial = document.node(element).value.trim().to_owned();
        let name = names.intern(name);
        self.scopes[scope as usize].nodes.push(id);
        self.by_path.insert(path.clone(), id);
        self.nodes.push(SchemaNode { name, path, parent, children: Vec::new(), scope, offset, repeat, initial });
        if let Some(parent) = parent {
            self.nodes[parent as usize].children.push(id);
        }
        for child in document.children(element) {
            // A repeat is written twice: its template, then a first row.
            let name = names.intern(&document.node(child).name);
            if self.child(id, name).is_none() {
                self.add(document, child, Some(id), scope, repeats, names, depth + 1)?;
            }
        }
        Ok(())
    }

    fn new_scope(&mut self, parent: ScopeId, path: &str) -> ScopeId {
        let id = u32::try_from(self.scopes.len()).unwrap_or(u32::MAX);
        let mut chain = self.scope(parent).chain.clone();
        chain.push(id);
        self.scopes.push(Scope { chain, nodes: Vec::new(), path: path.to_owned() });
        self.scope_by_path.insert(path.to_owned(), id);
        id
    }
}

/// One element of a lookup table.
#[derive(Debug)]
pub(crate) struct TableNode {
    pub name: Name,
    pub text: String,
    pub parent: u32,
    /// Its children are consecutive.
    pub children: std::ops::Range<u32>,
}

/// A secondary instance: choice lists and data files. Node 0 is the `<instance>` element.
#[derive(Debug)]
pub(crate) struct Table {
    pub id: String,
    pub nodes: Vec<TableNode>,
}

impl Table {
    pub(crate) fn read(
        document: &Instance,
        element: NodeId,
        id: String,
        names: &mut Names,
    ) -> Result<Table, FormFault> {
        let mut nodes =
            vec![TableNode { name: names.intern("instance"), text: String::new(), parent: 0, children: 0..0 }];
        let mut sources = vec![element];
        let mut at = 0;
        while let Some(source) = sources.get(at).copied() {
            let first = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            for child in document.children(source) {
                let node = document.node(child);
                let text = if node.children.is_empty() { node.value.trim().to_owned() } else { String::new() };
                let parent = u32::try_from(at).unwrap_or(u32::MAX);
                nodes.push(TableNode { name: names.intern(&node.name), text, parent, children: 0..0 });
                sources.push(child);
            }
            let end = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            nodes[at].children = first..end;
            at += 1;
            if nodes.len() > TABLE_NODES_MAX {
                return Err(FormFault::new(FaultKind::TableTooLarge).with(id).with(TABLE_NODES_MAX));
            }
        }
        Ok(Table { id, nodes })
    }

    pub(crate) fn node(&self, at: u32) -> &TableNode {
        &self.nodes[at as usize]
    }
}
