//! Fills any form with valid answers from a seed, through a session, as a user would: for tests of everything that
//! carries records. Not for phones (feature `xlsform`).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::answer::time;
use super::checks;
use super::definition::{Check, FieldType};
use super::evaluate::EvalTime;
use super::form::Form;
use super::path::FieldPath;
use super::session::{FormSession, Question, QuestionKind};
use super::values::{Edit, Values};
use crate::ids::RowId;

/// Passes over the form: an answer may open questions, or break what was valid before.
const PASSES_MAX: usize = 14;
/// Rows that a repeat gets while a required question finds no valid answer: forms demand "at least two".
const ROWS_TRIED_MAX: usize = 8;
/// Answers that are tried for one question.
const TRIES_MAX: usize = 400;

/// What was filled in.
#[derive(Debug)]
pub struct Filled {
    /// The answers, valid but for `unsatisfied`.
    pub values: Values,
    /// The edits that make them on an empty record.
    pub edits: Vec<Edit>,
    /// Fields for which no valid answer was found, with what is wrong.
    pub unsatisfied: Vec<(FieldPath, String)>,
}

/// Numbers from a seed (SplitMix64): the same on every machine.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(1);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }
}

/// Fills `form` with answers drawn from `seed`.
#[must_use]
pub fn fill(form: &Arc<Form>, seed: u64, time: EvalTime) -> Filled {
    let mut filler = Filler {
        literals: literals(&form.definition().xform),
        session: FormSession::new(form.clone(), Values::default(), time.clone(), form.default_language()),
        draw: Draw(seed),
        time,
        skipped: BTreeSet::new(),
        stuck: false,
    };
    for _ in 0..PASSES_MAX {
        if !filler.pass() {
            break;
        }
    }
    let problems = filler.session.evaluation().problems;
    Filled {
        values: filler.session.values().clone(),
        edits: filler.session.edits(),
        unsatisfied: problems.into_iter().map(|problem| (problem.path, problem.message)).collect(),
    }
}

/// Numbers and quoted texts of the form's rules: what constraints compare with.
fn literals(xform: &str) -> (BTreeSet<i64>, BTreeSet<String>) {
    let (mut numbers, mut texts) = (BTreeSet::new(), BTreeSet::new());
    for rule in xform.split("constraint=\"").skip(1).chain(xform.split("relevant=\"").skip(1)) {
        let rule = rule.split('"').next().unwrap_or_default();
        let digits = rule.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
        numbers.extend(digits.filter_map(|run| run.parse::<i64>().ok()).take(50));
        texts.extend(rule.split('\'').skip(1).step_by(2).filter(|text| !text.is_empty()).map(str::to_owned));
    }
    (numbers, texts)
}

struct Filler {
    session: FormSession,
    draw: Draw,
    time: EvalTime,
    literals: (BTreeSet<i64>, BTreeSet<String>),
    /// Optional questions that stay empty.
    skipped: BTreeSet<String>,
    /// A required question found no valid answer: other answers, or more rows, may help.
    stuck: bool,
}

impl Filler {
    /// Answers what is open or wrong; yields whether anything was.
    fn pass(&mut self) -> bool {
        let mut any = self.add_rows();
        let before = self.session.edits().len();
        for question in self.session.questions() {
            let open = question.kind == QuestionKind::Field
                && !question.read_only
                && (question.value.is_null() || question.error.is_some())
                && !self.skipped.contains(&question.path);
            if open {
                any |= self.answer(&question);
            }
        }
        any || self.session.edits().len() != before
    }

    /// One or two rows for every empty repeat that a user may add to.
    fn add_rows(&mut self) -> bool {
        let mut any = false;
        let questions = self.session.questions();
        let wanted = |rows: usize, stuck: bool| rows == 0 || (stuck && rows < ROWS_TRIED_MAX);
        let stuck = std::mem::take(&mut self.stuck);
        for question in questions.iter().filter(|q| q.kind == QuestionKind::Repeat && !q.counted) {
            if !wanted(question.rows, stuck) {
                continue;
            }
            let nested = self.session.form().enclosing_repeat(&question.path).is_some();
            let more = if question.rows == 0 { self.draw.below(2) } else { 0 };
            for _ in 0..=more {
                let row = RowId(self.draw.next().to_be_bytes());
                let parent = question.row.filter(|_| nested);
                any |= self.session.add_row(&question.path, parent, row).is_ok();
            }
        }
        any
    }

    fn answer(&mut self, question: &Question) -> bool {
        let Ok(path) = question.path.parse::<FieldPath>() else { return false };
        // Earlier answers of this pass may have filled it, or not yet opened its choices.
        let stale = question.value.is_null() && self.session.has_answer(&path);
        let chooses =
            matches!(question.field_type, Some(FieldType::SelectOne | FieldType::SelectMultiple | FieldType::Rank));
        let field = self.session.form().field(&path.field);
        let closed =
            chooses && question.choices.is_empty() && field.is_some_and(|field| self.session.form().has_list(field));
        if stale || closed {
            return false;
        }
        // A user leaves some optional questions empty.
        if !question.required && question.error.is_none() && self.draw.below(6) == 0 {
            self.skipped.insert(question.path.clone());
            return false;
        }
        for candidate in self.candidates(question, &path).into_iter().take(TRIES_MAX) {
            if self.session.set(&path, &candidate).is_ok() && self.session.error(&path).is_none() {
                return true;
            }
        }
        let _ = self.session.set(&path, &Json::Null);
        if self.session.error(&path).is_some() {
            self.stuck = true;
        } else {
            self.skipped.insert(question.path.clone());
        }
        true
    }

    fn candidates(&mut self, question: &Question, path: &FieldPath) -> Vec<Json> {
        let names: Vec<String> = question.choices.iter().map(|choice| choice.name.clone()).collect();
        match question.field_type.unwrap_or(FieldType::Note) {
            FieldType::Text | FieldType::Barcode | FieldType::Meta => self.texts(path),
            FieldType::Integer => self.numbers().into_iter().map(Json::from).collect(),
            FieldType::Decimal => self.decimals(),
            FieldType::Date => self.dates().into_iter().map(Json::from).collect(),
            FieldType::Time => {
                vec![json!(format!("{:02}:{:02}:00", self.draw.below(24), self.draw.below(60))), json!("12:00:00")]
            }
            FieldType::DateTime => {
                self.dates().into_iter().map(|date| json!(format!("{date}T08:30:00+08:00"))).collect()
            }
            FieldType::SelectOne => self.one_of(names),
            FieldType::SelectMultiple => self.some_of(names),
            FieldType::Rank => vec![json!(self.shuffled(names).join(" "))],
            FieldType::Geopoint => vec![json!(self.point())],
            FieldType::Geotrace => vec![json!(format!("{};{}", self.point(), self.point()))],
            FieldType::Geoshape => vec![json!(format!("{};{};{}", self.point(), self.point(), self.point()))],
            FieldType::Blob => vec![json!(format!("file-{:08x}.bin", self.draw.next() >> 32))],
            FieldType::Acknowledge => vec![json!("OK")],
            FieldType::Calculate | FieldType::Note => Vec::new(),
        }
    }

    fn shuffled(&mut self, mut names: Vec<String>) -> Vec<String> {
        for last in (1..names.len()).rev() {
            names.swap(last, self.draw.below(last + 1));
        }
        names
    }

    fn one_of(&mut self, names: Vec<String>) -> Vec<Json> {
        if names.is_empty() {
            // A data file that was not at hand takes any name.
            return vec![json!("any")];
        }
        self.shuffled(names).into_iter().map(Json::from).collect()
    }

    fn some_of(&mut self, names: Vec<String>) -> Vec<Json> {
        let names = self.shuffled(names);
        let many = 1 + self.draw.below(names.len().min(3));
        let mut sets: Vec<Json> = vec![json!(names.iter().take(many).collect::<Vec<_>>())];
        sets.extend((1..=names.len()).map(|length| json!(names.iter().take(length).collect::<Vec<_>>())));
        sets.extend(names.iter().map(|name| json!([name])));
        sets
    }

    fn numbers(&mut self) -> Vec<i64> {
        let first = i64::try_from(self.draw.below(60)).unwrap_or(1);
        let mut numbers = vec![first, 1, 0, 2, 5, 10, 18, 35, 60, 100, 500, 2000, 10_000, 1_000_000, -1];
        numbers.extend(self.literals.0.iter().flat_map(|n| [*n, n.saturating_add(1), n.saturating_sub(1)]));
        // What other answers and calculations came to: forms demand that sums agree.
        let shown = self.session.evaluation().shown;
        numbers.extend(shown.fields.values().filter_map(|scalar| match scalar {
            super::values::Scalar::Integer(number) => Some(*number),
            super::values::Scalar::Text(_) => None,
        }));
        numbers
    }

    fn decimals(&mut self) -> Vec<Json> {
        let half = json!(f64::from(u8::try_from(self.draw.below(100)).unwrap_or(1)) + 0.5);
        std::iter::once(half).chain(self.numbers().into_iter().map(Json::from)).collect()
    }

    fn dates(&mut self) -> Vec<String> {
        let today = self.time.day();
        let first = i64::try_from(self.draw.below(300)).unwrap_or(0);
        let days = [first, 0, 1, 30, 400, 365 * 10, 365 * 20, 365 * 30, 365 * 50, -1, -7, -40, -400];
        let text = |day: i64| {
            let (year, month, day) = time::date_of(day);
            format!("{year:04}-{month:02}-{day:02}")
        };
        days.iter().map(|back| text(today - back)).collect()
    }

    fn point(&mut self) -> String {
        // Within Qinghai: 31°36′–39°19′ N, 89°24′–103°04′ E.
        format!(
            "{}.{:03} {}.{:03}",
            32 + self.draw.below(7),
            self.draw.below(1000),
            90 + self.draw.below(13),
            self.draw.below(1000)
        )
    }

    fn texts(&mut self, path: &FieldPath) -> Vec<Json> {
        const NAMES: [&str; 6] = ["才让卓玛", "仁青·卓玛", "马海英", "李国强", "多旦", "韩索菲亚"];
        let name = NAMES[self.draw.below(NAMES.len())];
        let check = self.session.form().field(&path.field).and_then(|field| field.check);
        match check {
            Some(Check::IdNumber) => return vec![json!(self.id_number())],
            Some(Check::CreditCode) => return vec![json!(self.credit_code())],
            Some(Check::Phone) => return vec![json!(format!("139{:08}", self.draw.below(100_000_000)))],
            Some(Check::Division) => return vec![json!("632301"), json!("110105")],
            None => {}
        }
        let mut texts = vec![name.to_owned(), format!("记录{}", self.draw.below(1000))];
        texts.extend(self.literals.1.iter().filter_map(|pattern| sample(pattern)));
        texts.extend(self.literals.1.iter().cloned());
        texts.extend((1..=20).map(|length| "1234567890".chars().cycle().take(length).collect::<String>()));
        texts.extend(
            ["a", "Ab", "ABC", "abcd", "A1", "user@example.org", "https://example.org", "2024-05-01"]
                .map(str::to_owned),
        );
        texts.into_iter().map(Json::from).collect()
    }

    /// A valid citizen identity number of somebody between 18 and 78.
    fn id_number(&mut self) -> String {
        let (year, month, day) =
            time::date_of(self.time.day() - 365 * 18 - i64::try_from(self.draw.below(365 * 60)).unwrap_or(0));
        let start = format!("632322{year:04}{month:02}{day:02}{:03}", 1 + self.draw.below(998));
        let ends = "0123456789X".chars().map(|end| format!("{start}{end}"));
        let valid = ends.into_iter().find(|number| checks::id_number(number, self.time.day()).is_ok());
        valid.unwrap_or(start)
    }

    fn credit_code(&mut self) -> String {
        let start = format!("91632300{:09}", self.draw.below(1_000_000_000));
        let ends = "0123456789ABCDEFGHJKLMNPQRTUWXY".chars().map(|end| format!("{start}{end}"));
        let valid = ends.into_iter().find(|code| checks::verify(Check::CreditCode, code, 0).is_none());
        valid.unwrap_or(start)
    }
}

/// A text that a simple pattern matches: classes, counts, alternatives' first branch.
fn sample(pattern: &str) -> Option<String> {
    let compiled = regex::Regex::new(&format!("^(?:{pattern})$")).ok()?;
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let piece = match c {
            '^' | '$' | '(' | ')' => continue,
            '|' => break,
            '[' => {
                let class: String = chars.by_ref().take_while(|c| *c != ']').collect();
                class.strip_prefix('^').map_or_else(|| class.chars().next(), |_| Some('x'))?
            }
            '\\' => match chars.next()? {
                'd' => '1',
                'w' => 'a',
                's' => ' ',
                other => other,
            },
            '.' => 'a',
            other => other,
        };
        let times = match chars.peek() {
            Some('{') => {
                let count: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                count.split(',').next().and_then(|count| count.parse::<usize>().ok()).unwrap_or(1)
            }
            Some('*' | '+' | '?') => {
                chars.next();
                1
            }
            _ => 1,
        };
        out.extend(std::iter::repeat_n(piece, times.min(200)));
    }
    compiled.is_match(&out).then_some(out)
}
