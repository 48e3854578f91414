//! From an XForm document to [`Logic`].

use std::collections::{BTreeMap, HashMap};

use rxeval::tree::{Instance, NodeId};

use super::expr::{Code, Compiler};
use super::functions::STORED;
use super::order::{Rule, order};
use super::schema::{Names, Schema, SchemaId, Table};
use super::{Action, ItemSet, Logic, Preload};
use crate::forms::definition::FormDefinition;
use crate::forms::faults::{FaultKind, FormFault};
use crate::forms::form::{BrokenRule, contradiction};

fn attribute<'a>(document: &'a Instance, element: NodeId, name: &str) -> Option<&'a str> {
    let node = document.node(element);
    let found = node.attributes.iter().find(|at| document.node(**at).name == name)?;
    Some(document.node(*found).value.trim()).filter(|value| !value.is_empty())
}

fn children_named<'a>(document: &'a Instance, parent: NodeId, name: &'a str) -> impl Iterator<Item = NodeId> + 'a {
    document.node(parent).children.iter().copied().filter(move |child| document.node(*child).name == name)
}

/// All elements below `root`, parents before children.
fn below(document: &Instance, root: NodeId) -> Vec<NodeId> {
    let mut out = vec![root];
    let mut at = 0;
    while let Some(node) = out.get(at).copied() {
        out.extend(document.node(node).children.iter().copied());
        at += 1;
    }
    out
}

/// Expressions of one question or group, as the XForm has them; empty where there is none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SheetRules {
    pub required: String,
    pub relevant: String,
    pub constraint: String,
    pub calculation: String,
}

/// The expressions by path; nothing of an XForm that cannot be read.
pub(crate) fn rules_of(definition: &FormDefinition) -> BTreeMap<String, SheetRules> {
    let mut found = BTreeMap::new();
    let Ok(document) = Instance::from_xml(&definition.xform) else { return found };
    let Some(root) = document.root() else { return found };
    let child = |parent: Option<NodeId>, name| parent.and_then(|at| children_named(&document, at, name).next());
    let Some(model) = child(child(Some(root), "head"), "model") else { return found };
    for bind in children_named(&document, model, "bind") {
        let Some(nodeset) = attribute(&document, bind, "nodeset") else { continue };
        let Some((_, path)) = nodeset.trim_start_matches('/').split_once('/') else { continue };
        let text = |name| attribute(&document, bind, name).unwrap_or_default().to_owned();
        let rules = SheetRules {
            required: text("required"),
            relevant: text("relevant"),
            constraint: text("constraint"),
            calculation: text("calculate"),
        };
        found.insert(path.to_owned(), rules);
    }
    found
}

/// Reads the XForm of `definition`.
pub(super) fn logic(definition: &FormDefinition) -> Result<Logic, FormFault> {
    let document =
        Instance::from_xml(&definition.xform).map_err(|why| contradiction(format!("its XForm is no XML: {why}")))?;
    let root = document.root().ok_or_else(|| contradiction("its XForm is empty"))?;
    let head = children_named(&document, root, "head").next().ok_or_else(|| contradiction("its XForm has no head"))?;
    let model =
        children_named(&document, head, "model").next().ok_or_else(|| contradiction("its XForm has no model"))?;
    let body = children_named(&document, root, "body").next().ok_or_else(|| contradiction("its XForm has no body"))?;
    let controls = below(&document, body);
    let mut names = Names::default();
    let repeats: Vec<String> = controls
        .iter()
        .filter(|control| document.node(**control).name == "repeat")
        .filter_map(|control| attribute(&document, *control, "nodeset").map(str::to_owned))
        .collect();
    let primary = children_named(&document, model, "instance")
        .find(|instance| attribute(&document, *instance, "id").is_none())
        .and_then(|instance| document.node(instance).children.first().copied())
        .ok_or_else(|| contradiction("its XForm has no instance"))?;
    let schema = Schema::read(&document, primary, &repeats, &mut names)?;
    let mut tables = Vec::new();
    for instance in children_named(&document, model, "instance") {
        if let Some(id) = attribute(&document, instance, "id") {
            tables.push(Table::read(&document, instance, id.to_owned(), &mut names)?);
        }
    }
    let mut reader = Reader {
        document: &document,
        schema: &schema,
        tables: &tables,
        names: &mut names,
        logic: Logic::default(),
        rules: Vec::new(),
    };
    reader.types(definition);
    for bind in children_named(&document, model, "bind") {
        reader.bind(bind);
    }
    for action in children_named(&document, model, "setvalue") {
        reader.action(action, None);
    }
    for control in &controls {
        reader.control(*control);
    }
    let Reader { mut logic, rules, .. } = reader;
    let mut compiled = Vec::with_capacity(rules.len());
    let mut compiler = Compiler { schema: &schema, tables: &tables, names: &mut names };
    for (rule, text, from) in rules {
        compiled.push((rule, compiler.compile(&text, from)));
    }
    note_failures(&mut logic, &schema, &compiled);
    let (rules, circular) = order(&schema, compiled);
    for place in circular {
        let path = schema.node(place).path.clone();
        let fault = FormFault::new(FaultKind::Circular);
        logic.broken.push(BrokenRule { path, column: "calculation", fault });
    }
    logic.guards = guards(&schema, &rules);
    logic.rules = rules;
    logic.by_name = by_name(&schema, &names);
    logic.version.clone_from(&definition.version);
    logic.names = names;
    logic.tables = tables;
    logic.schema = schema;
    Ok(logic)
}

fn note_failures(logic: &mut Logic, schema: &Schema, compiled: &[(Rule, super::expr::Compiled)]) {
    for (rule, compiled) in compiled {
        if let Some(fault) = compiled.code.failure() {
            let (place, column) = match rule {
                Rule::Relevant(place) => (*place, "relevant"),
                Rule::Calculate(place) => (*place, "calculation"),
                Rule::Count(scope) => (schema.scope(*scope).nodes.first().copied().unwrap_or(0), "repeat_count"),
            };
            let path = schema.node(place).path.clone();
            logic.broken.push(BrokenRule { path, column, fault: fault.clone() });
        }
    }
}

fn guards(schema: &Schema, rules: &[(Rule, Code)]) -> Vec<Vec<SchemaId>> {
    let guarding: std::collections::HashSet<SchemaId> = rules
        .iter()
        .filter_map(|(rule, _)| match rule {
            Rule::Relevant(place) => Some(*place),
            _ => None,
        })
        .collect();
    let mut guards: Vec<Vec<SchemaId>> = Vec::with_capacity(schema.nodes.len());
    for (id, node) in (0_u32..).zip(&schema.nodes) {
        // Parents come before their children.
        let above = node.parent.filter(|_| !node.repeat).and_then(|parent| guards.get(parent as usize));
        let mut own = above.cloned().unwrap_or_default();
        if guarding.contains(&id) {
            own.push(id);
        }
        guards.push(own);
    }
    guards
}

fn by_name(schema: &Schema, names: &Names) -> HashMap<String, SchemaId> {
    let mut by_name = HashMap::new();
    for (id, node) in (0_u32..).zip(&schema.nodes).skip(1) {
        by_name.entry(names.text(node.name).to_owned()).or_insert(id);
    }
    by_name
}

struct Reader<'a> {
    document: &'a Instance,
    schema: &'a Schema,
    tables: &'a [Table],
    names: &'a mut Names,
    logic: Logic,
    rules: Vec<(Rule, String, SchemaId)>,
}

impl Reader<'_> {
    fn types(&mut self, definition: &FormDefinition) {
        self.logic.types = vec![None; self.schema.nodes.len()];
        for field in &definition.fields {
            if let Some(place) = self.schema.by_path(&field.path) {
                self.logic.types[place as usize] = Some(field.field_type);
            }
        }
    }

    /// Compiles an expression of the survey sheet's `column`.
    fn compile(&mut self, text: &str, from: SchemaId, column: &'static str) -> Code {
        let mut compiler = Compiler { schema: self.schema, tables: self.tables, names: self.names };
        let code = compiler.compile(text, from).code;
        if let Some(fault) = code.failure() {
            let path = self.schema.node(from).path.clone();
            self.logic.broken.push(BrokenRule { path, column, fault: fault.clone() });
        }
        code
    }

    fn place(&self, element: NodeId, name: &str) -> Option<SchemaId> {
        self.schema.by_xpath(attribute(self.document, element, name)?)
    }

    fn bind(&mut self, bind: NodeId) {
        let document = self.document;
        let Some(place) = self.place(bind, "nodeset") else { return };
        let text = |name| attribute(document, bind, name);
        if let Some(relevant) = text("relevant") {
            self.rules.push((Rule::Relevant(place), relevant.to_owned(), place));
        }
        if let Some(calculate) = text("calculate") {
            if STORED.iter().any(|call| calculate.replace(' ', "").contains(call)) {
                let value = Some(self.compile(calculate, place, "calculation"));
                self.logic.stored.push(Action { target: place, value });
            } else {
                self.rules.push((Rule::Calculate(place), calculate.to_owned(), place));
            }
        }
        if let Some(constraint) = text("constraint") {
            let code = self.compile(constraint, place, "constraint");
            self.logic.constraints.insert(place, code);
        }
        if let Some(required) = text("required") {
            let code = self.compile(required, place, "required");
            self.logic.required.insert(place, code);
        }
        if let Some(read_only) = text("readonly") {
            let code = self.compile(read_only, place, "readonly");
            self.logic.read_only.insert(place, code);
        }
        if let Some(kind) = text("preload") {
            let parameter = text("preloadParams").unwrap_or_default().to_owned();
            self.logic.preloads.push(Preload { target: place, kind: kind.to_owned(), parameter });
        }
    }

    /// A `setvalue`; `source` is the question that it stands in.
    fn action(&mut self, element: NodeId, source: Option<SchemaId>) {
        let document = self.document;
        let Some(target) = self.place(element, "ref") else { return };
        let event = attribute(document, element, "event").unwrap_or_default();
        // What a trigger sets is a calculation, what an opened record or row gets is a default.
        let column = if event.contains("value-changed") { "calculation" } else { "default" };
        for event in event.split_whitespace() {
            let literal = document.node(element).value.trim();
            let value = match attribute(document, element, "value") {
                Some(text) => Some(self.compile(text, target, column)),
                None => (!literal.is_empty()).then(|| Code::Text(literal.to_owned())),
            };
            let action = Action { target, value };
            match (event, source) {
                ("odk-instance-first-load" | "odk-instance-load", _) => self.logic.on_first_load.push(action),
                ("odk-new-repeat", _) => {
                    let scope = self.schema.node(target).scope;
                    self.logic.on_new_row.entry(scope).or_default().push(action);
                }
                ("xforms-value-changed", Some(source)) => {
                    self.logic.on_change.entry(source).or_default().push(action);
                }
                _ => {}
            }
        }
    }

    fn control(&mut self, control: NodeId) {
        let document = self.document;
        if document.node(control).name == "repeat"
            && let (Some(place), Some(count)) = (self.place(control, "nodeset"), attribute(document, control, "count"))
        {
            let scope = self.schema.node(place).scope;
            let outer = self.schema.node(place).parent.unwrap_or(0);
            self.rules.push((Rule::Count(scope), count.to_owned(), outer));
        }
        let Some(place) = self.place(control, "ref").or_else(|| self.place(control, "nodeset")) else { return };
        if let Some(query) = attribute(document, control, "query") {
            let value = attribute(document, control, "value").unwrap_or("name");
            self.item_set(place, query, value);
        }
        for child in document.node(control).children.clone() {
            match document.node(child).name.as_str() {
                "setvalue" => self.action(child, Some(place)),
                "itemset" => {
                    let value = children_named(document, child, "value").next();
                    let value = value.and_then(|value| attribute(document, value, "ref")).unwrap_or("name");
                    if let Some(nodes) = attribute(document, child, "nodeset") {
                        self.item_set(place, nodes, value);
                    }
                }
                _ => {}
            }
        }
    }

    fn item_set(&mut self, place: SchemaId, nodes: &str, value: &str) {
        let filtered = nodes.contains('[');
        let nodes = self.compile(nodes, place, "choice_filter");
        let value = self.names.intern(value);
        self.logic.item_sets.insert(place, ItemSet { nodes, value, filtered });
    }
}
