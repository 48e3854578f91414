//! Why a workbook is no form, and where: ours, and what the form library says, as kinds of one catalogue.

use std::fmt;

use rxform::xls::{Sheet, Workbook};

use crate::forms::catalogue::reads_chinese;
use crate::forms::faults::{FaultKind, FormFault};

/// Why a workbook is no form: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SheetError {
    /// Sheet, such as `survey`; empty when it is about the whole workbook.
    pub sheet: String,
    /// Row of the sheet, counted from 1; the headings are row 1.
    pub row: Option<usize>,
    /// Heading of the column.
    pub column: Option<String>,
    /// What is wrong.
    pub fault: FormFault,
    /// What belongs to it: the cause, what was perhaps meant, what is allowed.
    pub more: Option<Box<FormFault>>,
}

impl SheetError {
    pub(crate) fn new(sheet: &str, fault: FormFault) -> Self {
        Self { sheet: sheet.to_owned(), row: None, column: None, fault, more: None }
    }

    /// Of the whole workbook, about nothing but itself.
    pub(crate) fn of_workbook(kind: FaultKind) -> Self {
        Self::new("", FormFault::new(kind))
    }

    pub(crate) fn row(mut self, row: usize) -> Self {
        self.row = Some(row);
        self
    }

    pub(crate) fn column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }

    pub(crate) fn more(mut self, more: FormFault) -> Self {
        self.more = Some(Box::new(more));
        self
    }

    /// One line in `language`: sheet, row, column, what is wrong, and what helps. Chinese for `zh…` and `bo`, else
    /// English.
    #[must_use]
    pub fn text(&self, language: &str) -> String {
        let (comma, colon, open, close) =
            if reads_chinese(language) { ("，", "：", "（", "）") } else { (", ", ": ", " (", ")") };
        let part = |kind, value: &dyn fmt::Display| FormFault::new(kind).with(value).text(language);
        let mut place = Vec::new();
        if !self.sheet.is_empty() {
            place.push(part(FaultKind::Sheet, &self.sheet));
        }
        place.extend(self.row.map(|row| part(FaultKind::Row, &row)));
        place.extend(self.column.as_ref().map(|column| part(FaultKind::Column, column)));
        let mut line = place.join(comma);
        if !line.is_empty() {
            line.push_str(colon);
        }
        line.push_str(&self.fault.text(language));
        if let Some(more) = &self.more {
            line.push_str(&format!("{open}{}{close}", more.text(language)));
        }
        line
    }
}

impl fmt::Display for SheetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text("en"))
    }
}

/// What rxform 0.1.4 says, word by word, with `{}` for what it fills in, in the order of our kind's places. Wherever it
/// says something else, it is told as [`FaultKind::LibraryRefused`] with its own words.
const SAID: &[(&str, FaultKind)] = &[
    ("unknown question type '{}'", FaultKind::UnknownType),
    ("question has no name", FaultKind::NoName),
    ("group/repeat has no name", FaultKind::GroupWithoutName),
    ("invalid question name '{}'", FaultKind::BadName),
    ("invalid group/repeat name '{}'", FaultKind::BadName),
    ("the name '{}' is used more than once (rows {} and {})", FaultKind::NameTwice),
    ("the question '{}' has no label or hint", FaultKind::NoLabel),
    ("'{}' without a matching 'begin'", FaultKind::EndWithoutBegin),
    ("'end {}' does not match the open '{}' named '{}' started on row {}", FaultKind::WrongEnd),
    ("the survey sheet ended with an unclosed {} named '{}'", FaultKind::NoEnd),
    ("choice_filter is not supported together with or_other", FaultKind::OtherFiltered),
    ("or_other cannot be combined with select_*_from_file", FaultKind::OtherFromFile),
    (
        "choice_filter is not supported inside a group with table-list appearance (question '{}')",
        FaultKind::TableFiltered,
    ),
    ("badly formatted table list: list names don't match ('{}' vs. '{}')", FaultKind::TableLists),
    ("please specify choices for this 'or other' question (list '{}' not found)", FaultKind::UnknownList),
    ("the loop over '{}' references a choice list that does not exist in the choices sheet", FaultKind::UnknownList),
    ("'${{}}' is ambiguous: more than one field has this name", FaultKind::AmbiguousReference),
    ("'${{}}' does not match the name of any question or group", FaultKind::UnknownReference),
    ("'${{}}' does not match any field name", FaultKind::UnknownReference),
    ("trigger references '${{}}', which does not match any question", FaultKind::UnknownReference),
    ("background-geopoint question '{}' has no trigger", FaultKind::NoTrigger),
    ("trigger '{}' is not a ${question} reference", FaultKind::BadTrigger),
    ("the question ${{}} is not user-visible, so it cannot be used as a trigger for '{}'", FaultKind::UnseenTrigger),
    ("two external data sources use the instance id '{}' with different files: '{}' vs '{}'", FaultKind::SourceTwice),
    ("choice row has no list_name", FaultKind::ChoiceWithoutList),
    ("choice in list '{}' has no name", FaultKind::ChoiceWithoutName),
    ("the choice name '{}' appears more than once in list '{}' (rows {} and {})", FaultKind::ChoiceTwice),
    (
        "choice name '{}' in list '{}' contains a space, which select_multiple cannot represent",
        FaultKind::ChoiceWithSpace,
    ),
    ("only one entity can be declared per form", FaultKind::EntityTwice),
    ("unexpected column '{}' on the entities sheet", FaultKind::EntityColumn),
    ("the entities sheet row has no list_name", FaultKind::EntityWithoutList),
    ("invalid entity list name '{}'", FaultKind::EntityListName),
    ("update_if requires an entity_id to know which entity to update", FaultKind::EntityUpdate),
    ("entity_id combined with create_if also needs update_if", FaultKind::EntityCreate),
    ("a form that creates entities must give them a label", FaultKind::EntityWithoutLabel),
    ("save_to is not allowed on questions inside a repeat", FaultKind::SaveToInRepeat),
    // What rxform suggests.
    ("did you mean '{}'?", FaultKind::DidYouMean),
    ("available lists: {}", FaultKind::Lists),
    ("the workbook has no choices sheet (or it is empty)", FaultKind::NoLists),
];
/// It names the question too, which our row names already.
const OTHER_LIST: &str = "question '{}' references choice list '{}', which does not exist in the choices sheet";
/// A reference without its end, with the text that it stands in.
const UNCLOSED: &[&str] = &["unterminated ${...} reference in '{}'", "unterminated ${...} in '{}'"];

/// The kind of what rxform says; `None` for what the catalogue does not know.
fn understood(said: &str) -> Option<FormFault> {
    if let Some(parts) = captured(OTHER_LIST, said) {
        return Some(FormFault::new(FaultKind::UnknownList).with(parts.get(1)?));
    }
    if UNCLOSED.iter().any(|pattern| captured(pattern, said).is_some()) {
        return Some(FormFault::new(FaultKind::OpenReference));
    }
    let of_pattern = |(pattern, kind): &(&str, FaultKind)| {
        let parts = captured(pattern, said)?;
        Some(parts.into_iter().fold(FormFault::new(*kind), FormFault::with))
    };
    SAID.iter().find_map(of_pattern)
}

/// What stands in `text` for the `{}` of `pattern`; `None` when it does not fit.
fn captured<'a>(pattern: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let mut literals = pattern.split("{}");
    let mut rest = text.strip_prefix(literals.next()?)?;
    let mut found = Vec::new();
    let mut literals = literals.peekable();
    while let Some(literal) = literals.next() {
        let part;
        (part, rest) =
            if literals.peek().is_none() { (rest.strip_suffix(literal)?, "") } else { rest.split_once(literal)? };
        found.push(part);
    }
    rest.is_empty().then_some(found)
}

impl SheetError {
    /// What rxform says of `workbook`.
    pub(super) fn of_library(error: rxform::Error, workbook: &Workbook) -> Self {
        let fault = understood(&error.message);
        // Its other advice is part of our sentences.
        let more = error.hint.as_deref().and_then(understood).filter(|_| fault.is_some());
        let mut refusal = SheetError {
            sheet: error.location.sheet.unwrap_or_default(),
            row: error.location.row,
            column: error.location.column,
            fault: fault.unwrap_or_else(|| FormFault::new(FaultKind::LibraryRefused).with(&error.message)),
            more: more.map(Box::new),
        };
        if refusal.column.is_none() {
            refusal.column = match refusal.fault.kind {
                FaultKind::NoEnd | FaultKind::SourceTwice => Some("type".to_owned()),
                FaultKind::EntityTwice => Some("list_name".to_owned()),
                FaultKind::EntityColumn => refusal.fault.args.first().cloned(),
                _ => None,
            };
        }
        refusal.locate(&error.message, workbook);
        refusal
    }

    /// Finds sheet, row and heading of a wrong reference where rxform names none, or no heading (`label/hint`).
    fn locate(&mut self, said: &str, workbook: &Workbook) {
        let one =
            |pattern: &&str| captured(pattern, said).and_then(|parts| parts.first().map(|part| (*part).to_owned()));
        let wanted = match self.fault.kind {
            FaultKind::UnknownReference | FaultKind::AmbiguousReference => {
                self.fault.args.first().map(|name| format!("${{{name}}}"))
            }
            FaultKind::OpenReference => UNCLOSED.iter().find_map(one),
            _ => None,
        };
        let Some(wanted) = wanted else { return };
        let sheets = [
            ("survey", &workbook.survey),
            ("choices", &workbook.choices),
            ("settings", &workbook.settings),
            ("entities", &workbook.entities),
        ];
        for (name, sheet) in sheets.into_iter().filter(|(name, _)| self.sheet.is_empty() || self.sheet == *name) {
            let Some((row, heading)) = holding(sheet, self.row, &wanted) else { continue };
            self.sheet = name.to_owned();
            self.row = Some(row);
            if self.column.as_ref().is_none_or(|column| !sheet.headers.contains(column)) {
                self.column = Some(heading);
            }
            return;
        }
    }
}

/// Row and heading of the first cell that holds `text`, in `row` if that is known; blanks do not count.
fn holding(sheet: &Sheet, row: Option<usize>, text: &str) -> Option<(usize, String)> {
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    let text = bare(text);
    let rows = sheet.rows.iter().filter(|(at, _)| row.is_none_or(|row| row == *at));
    rows.flat_map(|(at, cells)| sheet.headers.iter().map(move |header| (*at, header, cells.get(header))))
        .find(|(_, _, cell)| cell.is_some_and(|cell| bare(cell).contains(&text)))
        .map(|(at, header, _)| (at, header.clone()))
}

#[cfg(test)]
mod tests;
