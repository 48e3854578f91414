//! The function library: XPath 1.0 and OpenRosa. What works on plain text and numbers is rxeval's; here are the functions
//! that touch nodes, dates or the surroundings, and those that rxeval lacks.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use rxeval::parser::Expr;
use sha2::Digest;

use super::eval::{Evaluator, NodeRef, Outcome, Place, Val, text_number};
use super::expr::Code;
use super::parts::Parts;
use crate::forms::answer::time;
use crate::forms::faults::{FaultKind, FormFault};

macro_rules! functions {
    ($($variant:ident $name:literal $min:literal $max:literal;)+) => {
        /// A function of the library.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Function { $($variant),+ }

        impl Function {
            /// The function called `name`, with how many arguments it takes.
            pub(crate) fn named(name: &str) -> Option<(Function, RangeInclusive<usize>)> {
                match name {
                    $($name => Some((Function::$variant, $min..=$max)),)+
                    _ => None,
                }
            }

            fn name(self) -> &'static str {
                match self { $(Function::$variant => $name),+ }
            }
        }
    };
}

functions! {
    Nothing "()nothing" 0 0;
    Count "count" 1 1;
    CountNonEmpty "count-non-empty" 1 1;
    Sum "sum" 1 1;
    Min "min" 1 100;
    Max "max" 1 100;
    Position "position" 0 1;
    PositionInRepeat "position-in-repeat" 0 1;
    Last "last" 0 0;
    NameOf "name" 0 1;
    LocalName "local-name" 0 1;
    String "string" 0 1;
    Concat "concat" 0 200;
    Join "join" 1 200;
    Length "string-length" 0 1;
    Contains "contains" 2 2;
    StartsWith "starts-with" 2 2;
    EndsWith "ends-with" 2 2;
    Boolean "boolean" 1 1;
    Not "not" 1 1;
    Number "number" 0 1;
    If "if" 3 3;
    Coalesce "coalesce" 1 20;
    Once "once" 1 1;
    Selected "selected" 2 2;
    CountSelected "count-selected" 1 1;
    Today "today" 0 0;
    Now "now" 0 0;
    Date "date" 1 1;
    DateTime "date-time" 1 1;
    DecimalDateTime "decimal-date-time" 1 1;
    DecimalTime "decimal-time" 1 1;
    FormatDate "format-date" 2 2;
    FormatDateTime "format-date-time" 2 2;
    RegexMatch "regex" 2 2;
    PullData "pulldata" 4 4;
    Randomize "randomize" 1 2;
    Random "random" 0 0;
    Uuid "uuid" 0 1;
    Digest "digest" 1 3;
    Checklist "checklist" 2 100;
    WeightedChecklist "weighted-checklist" 2 200;
    Intersects "intersects" 1 1;
    TextOf "jr:itext" 1 1;
    Pi "pi" 0 0;
    Sin "sin" 1 1;
    Cos "cos" 1 1;
    Tan "tan" 1 1;
    Asin "asin" 1 1;
    Acos "acos" 1 1;
    Atan "atan" 1 1;
    Atan2 "atan2" 2 2;
    Exp10 "exp10" 1 1;
    Version "version" 0 0;
    Int "int" 1 1;
    Area "area" 1 1;
    Distance "distance" 1 10;
    Geofence "geofence" 2 2;
    NormalizeSpace "normalize-space" 0 1;
    SubstringBefore "substring-before" 2 2;
    SubstringAfter "substring-after" 2 2;
    Substring "substring" 2 3;
    Substr "substr" 2 3;
    Translate "translate" 3 3;
    BooleanFromString "boolean-from-string" 1 1;
    Floor "floor" 1 1;
    Ceiling "ceiling" 1 1;
    Round "round" 1 2;
    Abs "abs" 1 1;
    Pow "pow" 2 2;
    Log "log" 1 1;
    Log10 "log10" 1 1;
    Exp "exp" 1 1;
    Sqrt "sqrt" 1 1;
    SelectedAt "selected-at" 2 2;
}

/// Functions whose value is drawn or fixed at the save and stored, not computed again.
pub(crate) const STORED: &[&str] = &["random(", "uuid(", "once("];

/// The arguments of one call.
struct Call<'a, 'e> {
    eval: &'e Evaluator<'a>,
    args: &'a [Code],
    place: Place,
}

impl<'a> Call<'a, '_> {
    fn value(&self, at: usize) -> Outcome<'a> {
        match self.args.get(at) {
            Some(code) => self.eval.run(code, self.place),
            None => Ok(self.here()),
        }
    }

    fn here(&self) -> Val<'a> {
        Val::Node(self.place.context)
    }

    fn text(&self, at: usize) -> Result<Cow<'a, str>, FormFault> {
        Ok(self.eval.text(&self.value(at)?))
    }

    fn number(&self, at: usize) -> Result<f64, FormFault> {
        Ok(self.eval.number(&self.value(at)?))
    }

    fn boolean(&self, at: usize) -> Result<bool, FormFault> {
        Ok(self.eval.boolean(&self.value(at)?))
    }

    fn nodes(&self, at: usize) -> Result<Vec<NodeRef>, FormFault> {
        self.eval.nodes(self.value(at)?)
    }

    /// The answered numbers among the arguments; an unanswered question is no zero.
    fn numbers(&self) -> Result<Vec<f64>, FormFault> {
        let mut out = Vec::new();
        for at in 0..self.args.len() {
            match self.value(at)? {
                value @ (Val::Node(_) | Val::Nodes(_)) => {
                    let texts = self.eval.nodes(value)?.into_iter().map(|node| self.eval.node_text(node));
                    out.extend(texts.filter(|text| !text.is_empty()).map(|text| text_number(&text)));
                }
                Val::Text(text) if text.is_empty() => {}
                other => out.push(self.eval.number(&other)),
            }
        }
        Ok(out)
    }

    /// Lets rxeval compute a function of plain values.
    fn plain(&self, function: Function) -> Outcome<'a> {
        let mut args = Vec::with_capacity(self.args.len().max(1));
        for at in 0..self.args.len() {
            args.push(match self.value(at)? {
                Val::Number(number) => Expr::Number(number),
                other => Expr::Literal(self.eval.text(&other).into_owned()),
            });
        }
        if args.is_empty() {
            args.push(Expr::Literal(self.eval.text(&self.here()).into_owned()));
        }
        match of_values(function.name(), &args)? {
            rxeval::Value::Boolean(value) => Ok(Val::Boolean(value)),
            rxeval::Value::Number(number) => Ok(Val::Number(number)),
            rxeval::Value::String(text) => Ok(owned(text)),
            rxeval::Value::NodeSet(_) => Ok(Val::Nodes(Vec::new())),
        }
    }
}

/// Lets rxeval run the function called `name`, which looks at nothing but its arguments.
pub(super) fn of_values(name: &str, args: &[Expr]) -> Result<rxeval::Value, FormFault> {
    let nothing = rxeval::Instance::new();
    let clock = rxeval::Fixed { today: String::new(), now: String::new() };
    let context = rxeval::Context::at(rxeval::NodeId(0));
    rxeval::functions::call(name, args, &nothing, context, &clock)
        .map_err(|why| FormFault::new(FaultKind::CannotCompute).with(why))
}

fn owned<'a>(text: impl Into<String>) -> Val<'a> {
    Val::Text(Cow::Owned(text.into()))
}

#[expect(clippy::cast_precision_loss, reason = "counts of nodes and characters are far below 2^52")]
fn count<'a>(number: usize) -> Val<'a> {
    Val::Number(number as f64)
}

/// Calls `function` with `args` at `place`.
pub(crate) fn call<'a>(eval: &Evaluator<'a>, function: Function, args: &'a [Code], place: Place) -> Outcome<'a> {
    let call = Call { eval, args, place };
    match function {
        Function::Nothing => Ok(Val::Nodes(Vec::new())),
        Function::Boolean => Ok(Val::Boolean(call.boolean(0)?)),
        Function::Not => Ok(Val::Boolean(!call.boolean(0)?)),
        Function::Number => Ok(Val::Number(call.number(0)?)),
        Function::If => call.value(if call.boolean(0)? { 1 } else { 2 }),
        Function::Today | Function::Now | Function::Date | Function::DateTime => dates(&call, function),
        Function::DecimalDateTime | Function::DecimalTime | Function::FormatDate | Function::FormatDateTime => {
            dates(&call, function)
        }
        Function::Count
        | Function::CountNonEmpty
        | Function::Sum
        | Function::Min
        | Function::Max
        | Function::Position
        | Function::PositionInRepeat
        | Function::Last
        | Function::NameOf
        | Function::LocalName
        | Function::Randomize
        | Function::PullData => over_nodes(&call, function),
        Function::String
        | Function::Concat
        | Function::Join
        | Function::Length
        | Function::Contains
        | Function::StartsWith
        | Function::EndsWith
        | Function::Coalesce
        | Function::Selected
        | Function::CountSelected
        | Function::RegexMatch => over_text(&call, function),
        Function::Once | Function::Random | Function::Uuid | Function::Digest | Function::Version => {
            drawn(&call, function)
        }
        Function::Checklist | Function::WeightedChecklist => checklist(&call, function),
        Function::Intersects | Function::Geofence | Function::Distance | Function::Area => {
            super::geometry::call(function, &geo_texts(&call)?)
        }
        Function::TextOf => Ok(owned((eval.surroundings.text)(&call.text(0)?))),
        Function::Pi => Ok(Val::Number(std::f64::consts::PI)),
        Function::Atan2 => Ok(Val::Number(call.number(0)?.atan2(call.number(1)?))),
        Function::Sin | Function::Cos | Function::Tan | Function::Asin | Function::Acos | Function::Atan => {
            let x = call.number(0)?;
            Ok(Val::Number(match function {
                Function::Sin => x.sin(),
                Function::Cos => x.cos(),
                Function::Tan => x.tan(),
                Function::Asin => x.asin(),
                Function::Acos => x.acos(),
                _ => x.atan(),
            }))
        }
        Function::Exp10 => Ok(Val::Number(10_f64.powf(call.number(0)?))),
        Function::Int => Ok(Val::Number(call.number(0)?.trunc())),
        Function::Floor => Ok(Val::Number(call.number(0)?.floor())),
        Function::Ceiling => Ok(Val::Number(call.number(0)?.ceil())),
        Function::Abs => Ok(Val::Number(call.number(0)?.abs())),
        Function::Round if args.len() == 1 => Ok(Val::Number((call.number(0)? + 0.5).floor())),
        other => call.plain(other),
    }
}

fn over_nodes<'a>(call: &Call<'a, '_>, function: Function) -> Outcome<'a> {
    Ok(match function {
        Function::Count => count(call.nodes(0)?.len()),
        Function::CountNonEmpty => {
            count(call.nodes(0)?.into_iter().filter(|node| !call.eval.node_text(*node).is_empty()).count())
        }
        Function::Sum => Val::Number(call.numbers()?.into_iter().sum()),
        Function::Min | Function::Max => {
            let numbers = call.numbers()?;
            let pick = if function == Function::Min { f64::min } else { f64::max };
            match numbers.iter().copied().reduce(pick) {
                Some(number) if !numbers.iter().any(|n| n.is_nan()) => Val::Number(number),
                _ => owned(""),
            }
        }
        Function::Position if call.args.is_empty() => count(call.place.position),
        Function::Position | Function::PositionInRepeat => {
            let node = if call.args.is_empty() { Some(call.place.context) } else { call.nodes(0)?.first().copied() };
            node.map_or(Val::Number(f64::NAN), |node| Val::Number(call.eval.row_position(node)))
        }
        Function::Last => count(call.place.size),
        Function::NameOf | Function::LocalName => {
            let node = if call.args.is_empty() { Some(call.place.context) } else { call.nodes(0)?.first().copied() };
            owned(node.map_or("", |node| call.eval.logic.names.text(call.eval.name(node))))
        }
        Function::Randomize => {
            let mut nodes = call.nodes(0)?;
            let seed = if call.args.len() > 1 { call.text(1)?.into_owned() } else { String::new() };
            shuffle(&mut nodes, call, &seed);
            Val::Nodes(nodes)
        }
        _ => pull_data(call)?,
    })
}

/// The first row of a table whose `key` column holds a value, and there the wanted column. Nothing found is no error:
/// the form asks long before the answer is there.
fn pull_data<'a>(call: &Call<'a, '_>) -> Outcome<'a> {
    let (id, column, key, wanted) = (call.text(0)?, call.text(1)?, call.text(2)?, call.text(3)?);
    let Some(table) = call.eval.logic.tables.iter().find(|table| *table.id == *id) else {
        return Err(FormFault::new(FaultKind::PullDataUnknown).with(id));
    };
    let cell = |row: u32, name: &str| {
        let mut cells = table.node(row).children.clone();
        cells
            .find(|cell| call.eval.logic.names.text(table.node(*cell).name) == name)
            .map(|cell| table.node(cell).text.as_str())
    };
    let top = table.node(0).children.clone();
    let rows = match top.clone().next() {
        Some(only) if top.len() == 1 => table.node(only).children.clone(),
        _ => top,
    };
    let row = rows.into_iter().find(|row| cell(*row, &key).is_some_and(|value| value == wanted.trim()));
    Ok(row.and_then(|row| cell(row, &column)).map_or(owned(""), |text| Val::Text(Cow::Borrowed(text))))
}

/// The same order wherever the record is read: drawn from the seed, or from the record and the question.
fn shuffle(nodes: &mut [NodeRef], call: &Call, seed: &str) {
    let mut stream = if seed.is_empty() { call.draw("randomize") } else { sha2::Sha256::digest(seed).into() };
    for last in (1..nodes.len()).rev() {
        stream = sha2::Sha256::digest(stream).into();
        nodes.swap(last, draw_below(&stream, last + 1));
    }
}

fn draw_below(stream: &[u8; 32], limit: usize) -> usize {
    let mut first = [0; 8];
    first.copy_from_slice(&stream[..8]);
    usize::try_from(u64::from_be_bytes(first) % u64::try_from(limit).unwrap_or(1)).unwrap_or(0)
}

impl Call<'_, '_> {
    /// 32 bytes that belong to this record, this question and this row: two phones that open the same record draw the
    /// same, so nothing conflicts.
    fn draw(&self, purpose: &str) -> [u8; 32] {
        let tree = self.eval.tree;
        let schema = &self.eval.logic.schema;
        let block = tree.block(tree.block_of[self.place.origin as usize]);
        let place = schema.node(tree.schema_id(schema, self.place.origin));
        let row = block.row.map_or(String::new(), |row| row.to_string());
        sha2::Sha256::digest(format!("{}\0{}\0{row}\0{purpose}", self.eval.surroundings.record, place.path)).into()
    }
}

fn over_text<'a>(call: &Call<'a, '_>, function: Function) -> Outcome<'a> {
    Ok(match function {
        Function::String => Val::Text(call.text(0)?),
        Function::Concat | Function::Join => owned(put_together(call, function)?),
        Function::Length => count(call.text(0)?.chars().count()),
        Function::Contains => Val::Boolean(call.text(0)?.contains(&*call.text(1)?)),
        Function::StartsWith => Val::Boolean(call.text(0)?.starts_with(&*call.text(1)?)),
        Function::EndsWith => Val::Boolean(call.text(0)?.ends_with(&*call.text(1)?)),
        Function::Coalesce => {
            for at in 0..call.args.len() {
                let value = call.value(at)?;
                if !call.eval.text(&value).is_empty() {
                    return Ok(value);
                }
            }
            owned("")
        }
        Function::Selected => {
            let (chosen, name) = (call.text(0)?, call.text(1)?);
            Val::Boolean(chosen.split_whitespace().any(|one| one == name.trim()))
        }
        Function::CountSelected => count(call.text(0)?.split_whitespace().count()),
        _ => call.plain(function)?,
    })
}

/// The texts of all arguments; nodes count one by one.
fn put_together(call: &Call<'_, '_>, function: Function) -> Result<String, FormFault> {
    let separator = if function == Function::Join { call.text(0)? } else { Cow::Borrowed("") };
    let mut parts = Parts { separator: &separator, text: None };
    for at in usize::from(function == Function::Join)..call.args.len() {
        match call.value(at)? {
            Val::Nodes(nodes) => nodes.into_iter().try_for_each(|node| parts.add(&call.eval.node_text(node)))?,
            other => parts.add(&call.eval.text(&other))?,
        }
    }
    Ok(parts.text.unwrap_or_default())
}

fn dates<'a>(call: &Call<'a, '_>, function: Function) -> Outcome<'a> {
    match function {
        Function::Today => Ok(owned(time::date_text(call.eval.surroundings.time_s))),
        Function::Now => Ok(owned(time::date_time_text(call.eval.surroundings.time_s))),
        Function::Date => {
            let value = call.value(0)?;
            Ok(owned(match instant(call, &value) {
                Some((day, _, _)) => date_text(day),
                None => String::new(),
            }))
        }
        Function::DateTime => {
            let value = call.value(0)?;
            Ok(owned(instant(call, &value).map_or(String::new(), |(day, second, _)| {
                format!("{}T{:02}:{:02}:{:02}+08:00", date_text(day), second / 3600, second / 60 % 60, second % 60)
            })))
        }
        Function::DecimalDateTime => Ok(Val::Number(call.number(0)?)),
        Function::DecimalTime => {
            let text = call.text(0)?;
            let clock = time::parse_clock(text.trim());
            #[expect(clippy::cast_precision_loss, reason = "seconds of a day")]
            Ok(Val::Number(clock.map_or(f64::NAN, |clock| clock.second as f64 / 86_400.0)))
        }
        _ => {
            let value = call.value(0)?;
            if call.eval.text(&value).trim().is_empty() {
                return Ok(owned(""));
            }
            let Some(instant) = instant(call, &value) else { return Ok(owned("")) };
            format_date(instant, &call.text(1)?).map(owned)
        }
    }
}

fn date_text(day: i64) -> String {
    let (year, month, day) = time::date_of(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Day number, second of the day, millisecond of a date, a date and time, or days since 1970-01-01.
fn instant(call: &Call, value: &Val) -> Option<(i64, i64, u32)> {
    let number = match value {
        Val::Number(number) => *number,
        other => {
            let text = match other {
                Val::Text(text) => text.clone().into_owned(),
                Val::Node(node) => call.eval.node_text(*node).into_owned(),
                Val::Nodes(nodes) => call.eval.node_text(*nodes.first()?).into_owned(),
                _ => return None,
            };
            if let Some(instant) = time::parse_date_time(text.trim()) {
                return Some(instant);
            }
            text.trim().parse().ok()?
        }
    };
    if !(-700_000.0..=2_900_000.0).contains(&number) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked above")]
    let (day, second) = (number.floor() as i64, ((number - number.floor()) * 86_400.0).round() as i64);
    Some((day, second.min(86_399), 0))
}

fn format_date((day, second, millisecond): (i64, i64, u32), format: &str) -> Result<String, FormFault> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    let (year, month, date) = time::date_of(day);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        out.push_str(&match chars.next() {
            Some('Y') => format!("{year:04}"),
            Some('y') => format!("{:02}", year.rem_euclid(100)),
            Some('m') => format!("{month:02}"),
            Some('n') => month.to_string(),
            Some('b') => MONTHS.get(month as usize - 1).copied().unwrap_or_default().to_owned(),
            Some('d') => format!("{date:02}"),
            Some('e') => date.to_string(),
            Some('a') => {
                DAYS.get(usize::try_from((day + 4).rem_euclid(7)).unwrap_or(0)).copied().unwrap_or_default().to_owned()
            }
            Some('H') => format!("{:02}", second / 3600),
            Some('h') => (second / 3600).to_string(),
            Some('M') => format!("{:02}", second / 60 % 60),
            Some('S') => format!("{:02}", second % 60),
            Some('3') => format!("{millisecond:03}"),
            Some('W') => format!("{:02}", (day - time::day_number(year, 1, 1).unwrap_or(day)) / 7 + 1),
            Some('Z') => "+08:00".to_owned(),
            Some('%') => "%".to_owned(),
            Some(other) => return Err(FormFault::new(FaultKind::DateFormat).with(other)),
            None => return Err(FormFault::new(FaultKind::DateFormatEnds)),
        });
    }
    Ok(out)
}

/// Values that are drawn or fixed once, at the save.
fn drawn<'a>(call: &Call<'a, '_>, function: Function) -> Outcome<'a> {
    match function {
        Function::Once => {
            let stored = call.eval.node_text(NodeRef::Main(call.place.origin));
            if stored.is_empty() { call.value(0) } else { Ok(Val::Text(stored)) }
        }
        Function::Random => {
            let bytes = call.draw("random");
            let high = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            Ok(Val::Number(f64::from(high) / (f64::from(u32::MAX) + 1.0)))
        }
        Function::Uuid if call.args.is_empty() => {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&call.draw("uuid")[..16]);
            Ok(owned(uuid::Builder::from_random_bytes(bytes).as_uuid().to_string()))
        }
        Function::Uuid => {
            let length = call.number(0)?.clamp(0.0, 64.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0–64")]
            let text: String = hex::encode(call.draw("uuid")).chars().take(length as usize).collect();
            Ok(owned(text))
        }
        Function::Version => Ok(Val::Text(Cow::Borrowed(&call.eval.logic.version))),
        _ => digest(call),
    }
}

/// `digest(data, algorithm, encoding)`: SHA-2 only; the older algorithms of the specification are broken.
fn digest<'a>(call: &Call<'a, '_>) -> Outcome<'a> {
    let data = call.text(0)?;
    let algorithm = if call.args.len() > 1 { call.text(1)? } else { Cow::Borrowed("SHA-256") };
    let bytes = match &*algorithm {
        "SHA-256" => sha2::Sha256::digest(data.as_bytes()).to_vec(),
        "SHA-384" => sha2::Sha384::digest(data.as_bytes()).to_vec(),
        "SHA-512" => sha2::Sha512::digest(data.as_bytes()).to_vec(),
        other => return Err(FormFault::new(FaultKind::DigestAlgorithm).with(other)),
    };
    let encoding = if call.args.len() > 2 { call.text(2)? } else { Cow::Borrowed("base64") };
    match &*encoding {
        "hex" => Ok(owned(hex::encode(bytes))),
        "base64" => Ok(owned(base64(&bytes))),
        other => Err(FormFault::new(FaultKind::DigestEncoding).with(other)),
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * at) & 63) as usize];
            out.push(if at > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    out
}

/// `checklist(min, max, v1, …)` and `weighted-checklist(min, max, v1, w1, …)`; -1 leaves a bound open.
fn checklist<'a>(call: &Call<'a, '_>, function: Function) -> Outcome<'a> {
    let (min, max) = (call.number(0)?, call.number(1)?);
    let mut total = 0.0;
    let stride = if function == Function::Checklist { 1 } else { 2 };
    for at in (2..call.args.len()).step_by(stride) {
        if call.boolean(at)? {
            total += if stride == 1 { 1.0 } else { call.number(at + 1)? };
        }
    }
    Ok(Val::Boolean((min < 0.0 || total >= min) && (max < 0.0 || total <= max)))
}

/// The arguments as text; the points of several answers joined into one line.
fn geo_texts(call: &Call) -> Result<Vec<String>, FormFault> {
    let mut out = Vec::new();
    for at in 0..call.args.len() {
        out.push(match call.value(at)? {
            Val::Nodes(nodes) => nodes
                .iter()
                .map(|node| call.eval.node_text(*node))
                .filter(|t| !t.is_empty())
                .collect::<Vec<_>>()
                .join(";"),
            other => call.eval.text(&other).into_owned(),
        });
    }
    Ok(out)
}
