//! Expressions: parsed by rxeval, then resolved against the form's shape once, so that running them looks nothing up.

use rxeval::parser::{Axis, BinaryOp, Expr, NameTest, Step};

use super::functions::Function;
use super::schema::{Name, Names, Schema, SchemaId, ScopeId, Table};
use crate::forms::faults::{FaultKind, FormFault};
use crate::forms::limits::{EXPRESSION_CHARS_MAX, EXPRESSION_NESTING_MAX, EXPRESSION_PARTS_MAX};

/// A compiled expression.
#[derive(Debug)]
pub(crate) enum Code {
    Number(f64),
    Text(String),
    Boolean(bool),
    /// Nodes of one place of the shape, below the block of `anchor` that the expression stands in: `${x}` inside a
    /// repeat means the answer of the same row.
    Field {
        node: SchemaId,
        anchor: ScopeId,
    },
    Walk(Box<Walk>),
    Negate(Box<Code>),
    Union(Box<Code>, Box<Code>),
    Or(Box<Code>, Box<Code>),
    And(Box<Code>, Box<Code>),
    Compare(BinaryOp, Box<Code>, Box<Code>),
    Arithmetic(BinaryOp, Box<Code>, Box<Code>),
    Call(Function, Vec<Code>),
    /// `regex(…, literal)`, its pattern compiled once.
    Regex(Box<Code>, Box<regex::Regex>),
    /// `jr:choice-name(…, 'question')`: the label of a choice of that question.
    ChoiceName(Box<Code>, SchemaId),
    /// What this build cannot run, and why: running it is an error, never a guess.
    Fail(FormFault),
}

/// A path that is walked step by step.
#[derive(Debug)]
pub(crate) struct Walk {
    pub start: Start,
    /// Predicates on the start itself: `(…)[1]`.
    pub predicates: Vec<Code>,
    pub steps: Vec<WalkStep>,
}

/// Where a walk starts.
#[derive(Debug)]
pub(crate) enum Start {
    /// The node that the surrounding predicate looks at.
    Context,
    /// The node that the expression belongs to (`current()`).
    Origin,
    /// A lookup table, by index.
    Table(usize),
    /// What another expression yields.
    Code(Code),
}

/// One step of a walk.
#[derive(Debug)]
pub(crate) struct WalkStep {
    pub axis: Axis,
    /// `None` takes any name.
    pub name: Option<Name>,
    pub predicates: Vec<Code>,
}

/// Compiles the expressions of one form.
pub(crate) struct Compiler<'a> {
    pub schema: &'a Schema,
    pub tables: &'a [Table],
    pub names: &'a mut Names,
}

/// A compiled expression and the places of the shape that it reads.
pub(crate) struct Compiled {
    pub code: Code,
    pub reads: Vec<SchemaId>,
}

struct Scoped<'a, 'b> {
    compiler: &'b mut Compiler<'a>,
    /// The place that the expression belongs to.
    from: SchemaId,
    in_predicate: bool,
    /// Best knowledge of the predicate's context node, to find what is read.
    context: Option<SchemaId>,
    reads: Vec<SchemaId>,
}

/// Refuses what would nest the parser or the evaluator too deeply.
fn check_size(text: &str) -> Result<(), FormFault> {
    if text.chars().count() > EXPRESSION_CHARS_MAX {
        return Err(FormFault::new(FaultKind::ExpressionTooLong).with(EXPRESSION_CHARS_MAX));
    }
    let (mut open, mut deepest, mut parts) = (0_usize, 0, 0);
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[') => {
                open += 1;
                parts += 1;
                deepest = deepest.max(open);
            }
            (None, ')' | ']') => open = open.saturating_sub(1),
            (None, ',' | '=' | '<' | '>' | '+' | '-' | '*' | '|' | '/' | ' ' | '\n' | '\t') => parts += 1,
            (None, _) => {}
        }
    }
    if deepest > EXPRESSION_NESTING_MAX || parts > EXPRESSION_PARTS_MAX {
        return Err(FormFault::new(FaultKind::ExpressionTooComplicated));
    }
    Ok(())
}

/// rxeval reads a leading `+` of a number and non-breaking blanks as errors; forms contain both.
fn tidy(text: &str) -> String {
    text.replace('\u{A0}', " ")
}

/// What rxeval says of a text that is no expression.
fn malformed(why: &str) -> FormFault {
    if why.starts_with("unterminated string") {
        return FormFault::new(FaultKind::OpenQuote);
    }
    match why.strip_prefix("unexpected character '").and_then(|rest| rest.strip_suffix('\'')) {
        Some(character) => FormFault::new(FaultKind::UnexpectedCharacter).with(character),
        None => FormFault::new(FaultKind::ExpressionMalformed).with(why),
    }
}

fn fail(kind: FaultKind) -> Code {
    Code::Fail(FormFault::new(kind))
}

impl Compiler<'_> {
    /// Compiles `text`, which belongs to the node `from`. What cannot be parsed becomes [`Code::Fail`].
    pub(crate) fn compile(&mut self, text: &str, from: SchemaId) -> Compiled {
        let parsed = check_size(text).and_then(|()| rxeval::parse(&tidy(text)).map_err(|why| malformed(&why)));
        let expr = match parsed {
            Ok(expr) => expr,
            Err(why) => return Compiled { code: Code::Fail(why), reads: Vec::new() },
        };
        let mut scoped = Scoped { compiler: self, from, in_predicate: false, context: Some(from), reads: Vec::new() };
        let code = scoped.expr(&expr);
        Compiled { code, reads: scoped.reads }
    }
}

impl Code {
    /// The first reason inside for which the expression cannot be run.
    pub(crate) fn failure(&self) -> Option<&FormFault> {
        match self {
            Code::Fail(why) => Some(why),
            Code::Number(_) | Code::Text(_) | Code::Boolean(_) | Code::Field { .. } => None,
            Code::Negate(a) | Code::Regex(a, _) | Code::ChoiceName(a, _) => a.failure(),
            Code::Union(a, b)
            | Code::Or(a, b)
            | Code::And(a, b)
            | Code::Compare(_, a, b)
            | Code::Arithmetic(_, a, b) => a.failure().or_else(|| b.failure()),
            Code::Call(_, args) => args.iter().find_map(Code::failure),
            Code::Walk(walk) => {
                let start = match &walk.start {
                    Start::Code(code) => code.failure(),
                    _ => None,
                };
                let predicates = walk.predicates.iter().chain(walk.steps.iter().flat_map(|step| &step.predicates));
                start.or_else(|| predicates.into_iter().find_map(Code::failure))
            }
        }
    }
}

impl Scoped<'_, '_> {
    fn expr(&mut self, expr: &Expr) -> Code {
        match expr {
            Expr::Number(number) => Code::Number(*number),
            Expr::Literal(text) => Code::Text(text.clone()),
            Expr::Variable(name) => Code::Fail(FormFault::new(FaultKind::UnknownVariable).with(name)),
            Expr::Negate(inner) => Code::Negate(Box::new(self.expr(inner))),
            Expr::Union(a, b) => Code::Union(Box::new(self.expr(a)), Box::new(self.expr(b))),
            Expr::Binary { op, left, right } => {
                let (left, right) = (Box::new(self.expr(left)), Box::new(self.expr(right)));
                match op {
                    BinaryOp::Or => Code::Or(left, right),
                    BinaryOp::And => Code::And(left, right),
                    BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Modulo => {
                        Code::Arithmetic(*op, left, right)
                    }
                    _ => Code::Compare(*op, left, right),
                }
            }
            Expr::Path { absolute, steps } => self.path(*absolute, steps),
            Expr::Filter { base, predicates, steps } => self.filter(base, predicates, steps),
            Expr::Function { name, args } => self.function(name, args),
        }
    }

    /// Follows plain steps (child, parent, self, no predicates) through the shape; `None` when one is not plain or
    /// leads nowhere. Also yields the highest node on the way.
    fn follow(&mut self, start: SchemaId, steps: &[Step]) -> Option<(SchemaId, SchemaId)> {
        let (mut at, mut highest) = (start, start);
        for step in steps {
            if !step.predicates.is_empty() {
                return None;
            }
            match (&step.axis, &step.test) {
                (Axis::Self_, _) => {}
                (Axis::Parent, NameTest::Any) => {
                    at = self.compiler.schema.node(at).parent?;
                    highest = at;
                }
                (Axis::Child, NameTest::Named(name)) => {
                    let name = self.compiler.names.intern(name);
                    at = self.compiler.schema.child(at, name)?;
                }
                _ => return None,
            }
        }
        Some((at, highest))
    }

    fn field(&mut self, node: SchemaId, anchor: ScopeId) -> Code {
        self.reads.push(node);
        Code::Field { node, anchor }
    }

    /// The deepest scope that the expression's place shares with `node`: `${x}` of the same repeat is the same row's.
    fn shared_anchor(&self, node: SchemaId) -> ScopeId {
        let schema = self.compiler.schema;
        schema.common(schema.node(self.from).scope, schema.owner(node))
    }

    fn path(&mut self, absolute: bool, steps: &[Step]) -> Code {
        if absolute {
            return self.absolute(steps);
        }
        if !self.in_predicate
            && let Some((node, highest)) = self.follow(self.from, steps)
        {
            return self.field(node, self.compiler.schema.node(highest).scope);
        }
        self.note_reads(self.context, steps);
        self.walk(Start::Context, &[], steps)
    }

    fn absolute(&mut self, steps: &[Step]) -> Code {
        let root = &self.compiler.schema.root_name;
        let first_is_root = steps.first().is_some_and(|step| {
            step.axis == Axis::Child && matches!(&step.test, NameTest::Named(name) if name == root)
        });
        let rest = if first_is_root { &steps[1..] } else { steps };
        let root_predicates = steps.first().filter(|_| first_is_root).map_or(&[][..], |s| s.predicates.as_slice());
        if !root_predicates.is_empty()
            || (!first_is_root && steps.iter().any(|s| s.axis == Axis::Child) && !wide(steps))
        {
            // `/other/x`: another document's root leads nowhere.
            return Code::nothing();
        }
        let plain = rest.iter().take_while(|step| step.predicates.is_empty() && step.axis == Axis::Child).count();
        let Some((node, _)) = self.follow(0, &rest[..plain]) else { return Code::nothing() };
        if plain == rest.len() {
            let anchor = self.shared_anchor(node);
            return self.field(node, anchor);
        }
        self.note_reads(Some(0), rest);
        let schema = self.compiler.schema;
        let anchor = schema.common(schema.node(self.from).scope, schema.node(node).scope);
        let start = Code::Field { node, anchor };
        self.walk_in(Start::Code(start), &[], &rest[plain..], Some(node))
    }

    fn filter(&mut self, base: &Expr, predicates: &[Expr], steps: &[Step]) -> Code {
        if let Expr::Function { name, args } = base {
            match (name.as_str(), args.first()) {
                ("instance", Some(Expr::Literal(id))) => {
                    let Some(table) = self.compiler.tables.iter().position(|table| table.id == *id) else {
                        return Code::nothing();
                    };
                    return self.walk_in(Start::Table(table), predicates, steps, None);
                }
                ("instance", _) => return fail(FaultKind::InstanceName),
                ("current", _) => {
                    if let (true, Some((node, highest))) = (predicates.is_empty(), self.follow(self.from, steps)) {
                        return self.field(node, self.compiler.schema.node(highest).scope);
                    }
                    self.note_reads(Some(self.from), steps);
                    return self.walk_in(Start::Origin, predicates, steps, Some(self.from));
                }
                _ => {}
            }
        }
        let context = self.static_place(base);
        self.note_reads(context, steps);
        let start = Start::Code(self.expr(base));
        self.walk_in(start, predicates, steps, context)
    }

    fn static_place(&mut self, base: &Expr) -> Option<SchemaId> {
        match base {
            Expr::Path { absolute: true, steps } => self.follow(0, steps.get(1..)?).map(|(node, _)| node),
            Expr::Path { absolute: false, steps } => {
                let from = self.context?;
                self.follow(from, steps).map(|(node, _)| node)
            }
            _ => None,
        }
    }

    fn walk(&mut self, start: Start, predicates: &[Expr], steps: &[Step]) -> Code {
        self.walk_in(start, predicates, steps, self.context)
    }

    /// Compiles the steps of a walk whose start lies at `place` of the shape, where that is known.
    fn walk_in(&mut self, start: Start, predicates: &[Expr], steps: &[Step], place: Option<SchemaId>) -> Code {
        let outer = (self.in_predicate, self.context);
        self.in_predicate = true;
        self.context = place;
        let predicates = predicates.iter().map(|predicate| self.expr(predicate)).collect();
        let mut compiled = Vec::with_capacity(steps.len());
        for step in steps {
            let bare = Step { axis: step.axis.clone(), test: step.test.clone(), predicates: Vec::new() };
            self.context =
                self.context.and_then(|at| self.follow(at, std::slice::from_ref(&bare)).map(|(node, _)| node));
            let name = match &step.test {
                NameTest::Any => None,
                NameTest::Named(name) => Some(self.compiler.names.intern(name)),
            };
            let predicates = step.predicates.iter().map(|predicate| self.expr(predicate)).collect();
            compiled.push(WalkStep { axis: step.axis.clone(), name, predicates });
        }
        (self.in_predicate, self.context) = outer;
        Code::Walk(Box::new(Walk { start, predicates, steps: compiled }))
    }

    /// Notes what a walk reads, as far as its names tell; predicates note their own.
    fn note_reads(&mut self, start: Option<SchemaId>, steps: &[Step]) {
        let bare: Vec<Step> = steps
            .iter()
            .map(|step| Step { axis: step.axis.clone(), test: step.test.clone(), predicates: Vec::new() })
            .collect();
        if let Some((node, _)) = start.and_then(|start| self.follow(start, &bare)) {
            self.reads.push(node);
            return;
        }
        // Axes that fan out: whatever has the last name.
        if let Some(NameTest::Named(name)) = steps.last().map(|step| &step.test) {
            let name = self.compiler.names.intern(name);
            let schema = self.compiler.schema;
            let named = (0..schema.nodes.len()).filter_map(|id| u32::try_from(id).ok());
            self.reads.extend(named.filter(|id| schema.node(*id).name == name));
        }
    }

    fn function(&mut self, name: &str, args: &[Expr]) -> Code {
        match (name, args) {
            ("true", []) => return Code::Boolean(true),
            ("false", []) => return Code::Boolean(false),
            ("current", []) => return self.walk_in(Start::Origin, &[], &[], Some(self.from)),
            ("instance", [Expr::Literal(_)]) => {
                return self.filter(&Expr::Function { name: name.to_owned(), args: args.to_vec() }, &[], &[]);
            }
            ("indexed-repeat", _) => return self.indexed_repeat(args),
            ("regex", [value, Expr::Literal(pattern)]) => return self.regex(value, pattern),
            ("jr:choice-name" | "choice-name", [value, question]) => return self.choice_name(value, question),
            _ => {}
        }
        let Some((function, arity)) = Function::named(name) else {
            return Code::Fail(FormFault::new(FaultKind::UnknownFunction).with(name));
        };
        if !arity.contains(&args.len()) {
            return Code::Fail(FormFault::new(FaultKind::WrongArguments).with(name).with(args.len()));
        }
        Code::Call(function, args.iter().map(|arg| self.expr(arg)).collect())
    }

    /// A pattern matches the whole value, as on the devices that run ODK's engine.
    fn regex(&mut self, value: &Expr, pattern: &str) -> Code {
        let value = Box::new(self.expr(value));
        match regex::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(1 << 20).build() {
            Ok(compiled) => Code::Regex(value, Box::new(compiled)),
            Err(_) => Code::Fail(FormFault::new(FaultKind::BadPattern).with(pattern)),
        }
    }

    fn choice_name(&mut self, value: &Expr, question: &Expr) -> Code {
        let place = match question {
            Expr::Literal(path) => match rxeval::parse(path) {
                Ok(expr) => self.static_place(&expr),
                Err(_) => None,
            },
            other => self.static_place(other),
        };
        let value = Box::new(self.expr(value));
        match place {
            Some(node) => Code::ChoiceName(value, node),
            None => fail(FaultKind::ChoiceNameOfNothing),
        }
    }

    /// `indexed-repeat(field, repeat, n, …)`: the field in the n-th row of the repeat.
    fn indexed_repeat(&mut self, args: &[Expr]) -> Code {
        let wrong = || fail(FaultKind::IndexedRepeat);
        if !matches!(args.len(), 3 | 5 | 7) {
            return wrong();
        }
        let Some(field) = self.static_place(&args[0]) else { return wrong() };
        let mut indexes: Vec<(SchemaId, &Expr)> = Vec::new();
        for pair in args[1..].chunks_exact(2) {
            let Some(repeat) = self.static_place(&pair[0]) else { return wrong() };
            indexes.push((repeat, &pair[1]));
        }
        let schema = self.compiler.schema;
        // From the root down to the field, with the row number as predicate at each named repeat.
        let mut way = vec![field];
        while let Some(parent) = way.last().and_then(|at| schema.node(*at).parent) {
            way.push(parent);
        }
        way.pop();
        let mut steps = Vec::with_capacity(way.len());
        for id in way.into_iter().rev() {
            let index = indexes.iter().find(|(repeat, _)| *repeat == id).map(|(_, index)| *index);
            let predicates = match index {
                Some(index) => vec![Code::Call(Function::Number, vec![self.expr(index)])],
                None => Vec::new(),
            };
            steps.push(WalkStep { axis: Axis::Child, name: Some(schema.node(id).name), predicates });
        }
        self.reads.push(field);
        let start = Start::Code(Code::Field { node: 0, anchor: 0 });
        Code::Walk(Box::new(Walk { start, predicates: Vec::new(), steps }))
    }
}

/// Steps that reach over names (`//age`).
fn wide(steps: &[Step]) -> bool {
    steps.first().is_some_and(|step| step.axis != Axis::Child)
}

impl Code {
    /// An expression that yields no nodes.
    fn nothing() -> Code {
        Code::Call(Function::Nothing, Vec::new())
    }
}
