//! Which records a list, a count or a map is about.

use fieldbook_core::document::RecordState;
use fieldbook_core::ids::{RecordId, UserId};

use super::Problem;
use crate::clock_text;

/// States, choices and the like that one filter names.
const NAMED_MAX: usize = 50;
/// Characters of a search text.
const TEXT_CHARS_MAX: usize = 100;
/// Shortest number that is milliseconds and no year.
const MS_DIGITS_MIN: usize = 9;

/// A time span, milliseconds since 1970 UTC: `from_ms` is in it, `to_ms` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First millisecond.
    pub from_ms: i64,
    /// The one behind the last.
    pub to_ms: i64,
}

impl Span {
    /// Reads `2026`, `2026-05`, `2026-05-31` (Asia/Shanghai), milliseconds since 1970 UTC, or `FROM..TO` of these, each
    /// end included and either left out.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some((from, to)) = text.split_once("..") else { return one(text) };
        let from_ms = if from.is_empty() { i64::MIN } else { one(from)?.from_ms };
        let to_ms = if to.is_empty() { i64::MAX } else { one(to)?.to_ms };
        (from_ms < to_ms).then_some(Self { from_ms, to_ms })
    }

    /// Whether a moment is in it.
    #[must_use]
    pub fn holds(&self, ms: i64) -> bool {
        (self.from_ms..self.to_ms).contains(&ms)
    }
}

fn one(text: &str) -> Option<Span> {
    if text.len() >= MS_DIGITS_MIN && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let from_ms = text.parse().ok()?;
        return Some(Span { from_ms, to_ms: i64::checked_add(from_ms, 1)? });
    }
    let (from_ms, to_ms) = clock_text::span(text)?;
    Some(Span { from_ms, to_ms })
}

/// What records must be to be listed, counted or shown on the map. The default is all that the user may read.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// One of these states; empty = any.
    pub states: Vec<RecordState>,
    /// Of this unit.
    pub unit: Option<String>,
    /// Of the unit alone, and not of those below.
    pub unit_alone: bool,
    /// With conflicts, or without.
    pub conflicts: Option<bool>,
    /// With problems, or without.
    pub problems: Option<bool>,
    /// Their first change arrived then.
    pub first: Option<Span>,
    /// Their latest change arrived then.
    pub received: Option<Span>,
    /// Their latest change was made then, as its author claims.
    pub changed: Option<Span>,
    /// The last decision on them was made then.
    pub reviewed: Option<Span>,
    /// This user wrote in them.
    pub author: Option<UserId>,
    /// By path of a listed field that is not sensitive: one of these choices.
    pub choices: Vec<(String, Vec<String>)>,
    /// All these words are among the searchable answers; names also by pinyin, numbers also by their end.
    pub text: Option<String>,
    /// They name this record in an answer.
    pub refers: Option<RecordId>,
    /// The user may decide on them.
    pub decidable: bool,
}

/// A filter as an address writes it.
#[derive(Debug, Clone, Default)]
pub struct FilterText {
    /// Words, comma-separated.
    pub state: Option<String>,
    /// Code.
    pub unit: Option<String>,
    /// Without the units below.
    pub unit_alone: Option<bool>,
    /// With or without.
    pub conflicts: Option<bool>,
    /// With or without.
    pub problems: Option<bool>,
    /// [`Span::parse`].
    pub first: Option<String>,
    /// [`Span::parse`].
    pub received: Option<String>,
    /// [`Span::parse`].
    pub changed: Option<String>,
    /// [`Span::parse`].
    pub reviewed: Option<String>,
    /// Id.
    pub author: Option<String>,
    /// `path=name`, comma-separated; the same path again is one more choice.
    pub choice: Option<String>,
    /// As typed.
    pub text: Option<String>,
    /// Id.
    pub refers: Option<String>,
    /// The user may decide.
    pub decidable: Option<bool>,
}

fn malformed(name: &str, text: &str) -> Problem {
    let shown: String = text.chars().take(TEXT_CHARS_MAX).collect();
    Problem::new("request_malformed").with("detail", format!("{name}={shown}"))
}

fn span(name: &str, text: Option<&String>) -> Result<Option<Span>, Problem> {
    text.map(|text| Span::parse(text).ok_or_else(|| malformed(name, text))).transpose()
}

fn state_of(word: &str) -> Option<RecordState> {
    use RecordState::{Amended, Approved, Archived, Draft, Returned, Submitted, Voided};
    [Draft, Submitted, Returned, Approved, Amended, Archived, Voided].into_iter().find(|state| state.word() == word)
}

fn states(text: Option<&String>) -> Result<Vec<RecordState>, Problem> {
    let Some(text) = text else { return Ok(Vec::new()) };
    text.split(',').take(NAMED_MAX).map(|word| state_of(word).ok_or_else(|| malformed("state", text))).collect()
}

fn choices(text: Option<&String>) -> Result<Vec<(String, Vec<String>)>, Problem> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let Some(text) = text else { return Ok(found) };
    for pair in text.split(',').take(NAMED_MAX) {
        let (path, name) = pair.split_once('=').ok_or_else(|| malformed("choice", text))?;
        match found.iter_mut().find(|(known, _)| known == path) {
            Some((_, names)) => names.push(name.to_owned()),
            None => found.push((path.to_owned(), vec![name.to_owned()])),
        }
    }
    Ok(found)
}

impl FilterText {
    /// Reads it.
    ///
    /// # Errors
    /// `request_malformed` naming the part that cannot be read.
    pub fn parse(&self) -> Result<Filter, Problem> {
        let id = |name: &str, text: &Option<String>| {
            let parse = |text: &String| text.parse::<RecordId>().map_err(|_| malformed(name, text));
            text.as_ref().map(parse).transpose()
        };
        let author = self.author.as_ref().map(|text| text.parse().map_err(|_| malformed("author", text)));
        let text = self.text.as_ref().map(|text| text.trim().chars().take(TEXT_CHARS_MAX).collect::<String>());
        Ok(Filter {
            states: states(self.state.as_ref())?,
            unit: self.unit.clone(),
            unit_alone: self.unit_alone.unwrap_or_default(),
            conflicts: self.conflicts,
            problems: self.problems,
            first: span("first", self.first.as_ref())?,
            received: span("received", self.received.as_ref())?,
            changed: span("changed", self.changed.as_ref())?,
            reviewed: span("reviewed", self.reviewed.as_ref())?,
            author: author.transpose()?,
            choices: choices(self.choice.as_ref())?,
            text: text.filter(|text| !text.is_empty()),
            refers: id("refers", &self.refers)?,
            decidable: self.decidable.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock_text::shanghai;

    #[test]
    fn spans_are_days_months_years_milliseconds_and_ranges_of_them() {
        let day = |text: &str| Span::parse(text).map(|span| (shanghai(span.from_ms), shanghai(span.to_ms)));
        let midnight = |day: &str| format!("{day}T00:00:00+08:00");
        for (text, from, to) in [
            ("2026", "2026-01-01", "2027-01-01"),
            ("2026-02", "2026-02-01", "2026-03-01"),
            ("2024-02-29", "2024-02-29", "2024-03-01"),
            ("2026-12", "2026-12-01", "2027-01-01"),
            ("2026-05-30..2026-06", "2026-05-30", "2026-07-01"),
        ] {
            assert_eq!(day(text), Some((midnight(from), midnight(to))), "{text}");
        }
        assert_eq!(Span::parse("1780243200000.."), Some(Span { from_ms: 1_780_243_200_000, to_ms: i64::MAX }));
        assert_eq!(Span::parse("..1780243200000").map(|span| span.to_ms), Some(1_780_243_200_001));
        for text in [
            "",
            "..2026-02-30",
            "2026-13",
            "2026-02-30",
            "2023-02-29",
            "20260101",
            "2026-5",
            "x",
            "2026..2025",
            "2026-01-01T",
        ] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let read = |text: FilterText| text.parse().map_err(|problem| problem.args[0].1.clone());
        let with = |choice: &str| FilterText { choice: Some(choice.to_owned()), ..FilterText::default() };
        let both =
            vec![("a/b".to_owned(), vec!["x".to_owned(), "y".to_owned()]), ("c".to_owned(), vec!["z".to_owned()])];
        assert_eq!(read(with("a/b=x,c=z,a/b=y")).unwrap().choices, both);
        assert_eq!(read(with("a")).unwrap_err(), "choice=a");
        let state = FilterText { state: Some("draft,lost".to_owned()), ..FilterText::default() };
        assert_eq!(read(state).unwrap_err(), "state=draft,lost");
        let author = FilterText { author: Some("1".to_owned()), ..FilterText::default() };
        assert_eq!(read(author).unwrap_err(), "author=1");
    }
}
