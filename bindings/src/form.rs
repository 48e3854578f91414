//! A form being filled in, as screens use it.

use std::collections::HashMap;
use std::sync::Arc;

use fieldbook_core::client;
use fieldbook_core::forms;

use crate::book::{Phone, RECORD_ID};
use crate::{FieldbookError, PersonHit};

/// What support calls a row's id.
const ROW_ID: &str = "row id";

/// What an entry of a form's list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum QuestionKind {
    /// A question, or a note.
    Field,
    /// A heading; what follows with greater depth belongs to it.
    Group,
    /// A repeat: its rows follow, each with greater depth.
    Repeat,
    /// A row of the repeat before it.
    Row,
}

impl From<forms::QuestionKind> for QuestionKind {
    fn from(kind: forms::QuestionKind) -> Self {
        use forms::QuestionKind as Core;
        match kind {
            Core::Field => Self::Field,
            Core::Group => Self::Group,
            Core::Repeat => Self::Repeat,
            Core::Row => Self::Row,
        }
    }
}

/// What kind of answer a question takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum AnswerType {
    /// Text.
    Text,
    /// Whole number.
    Integer,
    /// Number with decimals.
    Decimal,
    /// `2026-11-21`.
    Date,
    /// Time of day.
    Time,
    /// Date and time with zone.
    DateTime,
    /// One choice's name.
    SelectOne,
    /// Array of choices' names.
    SelectMultiple,
    /// All choices in order, space-separated.
    Rank,
    /// `latitude longitude [altitude accuracy]`, WGS-84 degrees and metres.
    Geopoint,
    /// Points of a line.
    Geotrace,
    /// Points of an area.
    Geoshape,
    /// Picture, sound, film or file: a reference.
    Blob,
    /// A scanned code.
    Barcode,
    /// Ticked or not.
    Acknowledge,
    /// Computed by the form.
    Calculate,
    /// Only shown.
    Note,
    /// Filled in by the app.
    Meta,
}

impl From<forms::FieldType> for AnswerType {
    fn from(field_type: forms::FieldType) -> Self {
        use forms::FieldType as Core;
        match field_type {
            Core::Text => Self::Text,
            Core::Integer => Self::Integer,
            Core::Decimal => Self::Decimal,
            Core::Date => Self::Date,
            Core::Time => Self::Time,
            Core::DateTime => Self::DateTime,
            Core::SelectOne => Self::SelectOne,
            Core::SelectMultiple => Self::SelectMultiple,
            Core::Rank => Self::Rank,
            Core::Geopoint => Self::Geopoint,
            Core::Geotrace => Self::Geotrace,
            Core::Geoshape => Self::Geoshape,
            Core::Blob => Self::Blob,
            Core::Barcode => Self::Barcode,
            Core::Acknowledge => Self::Acknowledge,
            Core::Calculate => Self::Calculate,
            Core::Note => Self::Note,
            Core::Meta => Self::Meta,
        }
    }
}

/// A choice that is offered now.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Choice {
    /// Name to store.
    pub name: String,
    /// Label in the phone's language.
    pub label: String,
    /// File by kind (`image`, `audio`, …).
    pub media: HashMap<String, String>,
}

impl From<forms::OfferedChoice> for Choice {
    fn from(choice: forms::OfferedChoice) -> Self {
        let forms::OfferedChoice { name, label, media } = choice;
        Self { name, label, media: media.into_iter().collect() }
    }
}

/// One entry of a form's list; what does not apply to its kind is empty.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Question {
    /// What it is.
    pub kind: QuestionKind,
    /// Path: of a field with its row, of a group or repeat without.
    pub path: String,
    /// The row that it lies in, or is; hexadecimal.
    pub row: Option<String>,
    /// Nesting, from 0.
    pub depth: u32,
    /// Number of the screen page, from 0.
    pub page: u32,
    /// Label in the phone's language, its references filled in.
    pub label: String,
    /// Hint.
    pub hint: String,
    /// Longer guidance.
    pub guidance: String,
    /// What kind of answer it takes; nothing for structure.
    pub answer_type: Option<AnswerType>,
    /// Type as the form's sheet writes it.
    pub sheet_type: String,
    /// Appearance.
    pub appearance: String,
    /// The sheet's `parameters`.
    pub parameters: HashMap<String, String>,
    /// File by kind.
    pub media: HashMap<String, String>,
    /// Choices that are offered now, in order.
    pub choices: Vec<Choice>,
    /// Must be answered.
    pub required: bool,
    /// Cannot be answered by hand.
    pub read_only: bool,
    /// The answer as JSON; `null` when there is none.
    pub value: String,
    /// What is wrong with the answer, in words.
    pub error: Option<String>,
    /// Of a repeat: how many rows it shows. Of a row: its number, from 1.
    pub rows: u32,
    /// Of a repeat: the form decides the number of rows.
    pub counted: bool,
    /// What a number counts (`fen`).
    pub unit: Option<String>,
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl From<forms::Question> for Question {
    fn from(question: forms::Question) -> Self {
        let forms::Question {
            kind,
            path,
            row,
            depth,
            page,
            label,
            hint,
            guidance,
            field_type,
            sheet_type,
            appearance,
            parameters,
            media,
            choices,
            required,
            read_only,
            value,
            error,
            rows,
            counted,
            unit,
        } = question;
        Self {
            kind: kind.into(),
            path,
            row: row.map(|row| row.to_string()),
            depth: small(depth),
            page: small(page),
            label,
            hint,
            guidance,
            answer_type: field_type.map(Into::into),
            sheet_type,
            appearance,
            parameters: parameters.into_iter().collect(),
            media: media.into_iter().collect(),
            choices: choices.into_iter().map(Into::into).collect(),
            required,
            read_only,
            value: value.to_string(),
            // Which rule found it is said in the words.
            error: error.map(|(_, text)| text),
            rows: small(rows),
            counted,
            unit,
        }
    }
}

/// What an answer led to.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Answered {
    /// Paths whose answer, or whether they are asked, changed: show these again.
    pub changed: Vec<String>,
    /// Other records about the person whose identity was just answered.
    pub known: Vec<PersonHit>,
}

impl From<client::Answered> for Answered {
    fn from(answered: client::Answered) -> Self {
        let client::Answered { changed, known } = answered;
        Self {
            changed: changed.iter().map(ToString::to_string).collect(),
            known: known.into_iter().map(Into::into).collect(),
        }
    }
}

/// What a save did.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Saved {
    /// The record.
    pub record: String,
    /// The change, hexadecimal; nothing if nothing differed.
    pub change: Option<String>,
}

impl From<client::Saved> for Saved {
    fn from(saved: client::Saved) -> Self {
        let client::Saved { record, change } = saved;
        Self { record: record.to_string(), change: change.map(|change| change.to_string()) }
    }
}

/// An open form; one a record. Every answer is kept as a draft at once: letting go of the form without saving loses
/// nothing, and opening it again goes on.
#[derive(uniffi::Object)]
pub struct FormSession {
    // Let go of before the phone, which the last holder closes.
    handle: Arc<client::FormHandle>,
    phone: Arc<Phone>,
}

impl FormSession {
    pub(crate) fn open(phone: &Arc<Phone>, kind: &str, record: Option<String>) -> Result<Arc<Self>, FieldbookError> {
        let record = record.as_deref().map(|record| phone.id(record, RECORD_ID)).transpose()?;
        let handle = phone.book()?.open_form(kind, record)?;
        Ok(Arc::new(Self { handle, phone: Arc::clone(phone) }))
    }
}

#[uniffi::export]
impl FormSession {
    /// The record; for a new one the id that it will get.
    pub fn record(&self) -> String {
        self.handle.record().to_string()
    }

    /// Its kind.
    pub fn kind(&self) -> String {
        self.handle.kind().to_owned()
    }

    /// Everything that is asked now, in order.
    ///
    /// # Errors
    /// `BadInput` after it was saved or discarded.
    pub fn questions(&self) -> Result<Vec<Question>, FieldbookError> {
        Ok(self.handle.questions()?.into_iter().map(Into::into).collect())
    }

    /// Answers a question with a JSON value; `null` clears it. What calculations and rules make of it shows at once in
    /// `questions`, what is wrong with it too; the draft is durable when this returns.
    ///
    /// # Errors
    /// `BadInput` with the path when there is no such field or the value breaks its type; then nothing changed.
    pub fn set(&self, path: String, value: String) -> Result<Answered, FieldbookError> {
        Ok(self.handle.set(&path, &self.phone.json(&value)?)?.into())
    }

    /// Adds a row to a repeat and returns its id; `parent` is the enclosing row of a nested repeat.
    ///
    /// # Errors
    /// `BadInput` when there is no such repeat or row, or the form counts the rows itself.
    #[uniffi::method(default(parent = None))]
    pub fn add_row(&self, repeat: String, parent: Option<String>) -> Result<String, FieldbookError> {
        let parent = parent.as_deref().map(|row| self.phone.id(row, ROW_ID)).transpose()?;
        Ok(self.handle.add_row(&repeat, parent)?.to_string())
    }

    /// Removes a row and what is inside it.
    ///
    /// # Errors
    /// As for `add_row`.
    pub fn remove_row(&self, repeat: String, row: String) -> Result<(), FieldbookError> {
        Ok(self.handle.remove_row(&repeat, self.phone.id(&row, ROW_ID)?)?)
    }

    /// Saves and closes the form: one change at the heads that it was opened at, durable when this returns. What others
    /// changed meanwhile stays beside it as a conflict; answers that the form finds wrong are saved and shown as problems.
    ///
    /// # Errors
    /// Errors of the store; then the form stays open and its draft is kept.
    pub fn save(&self) -> Result<Saved, FieldbookError> {
        Ok(self.handle.save()?.into())
    }

    /// Saves and hands the record in for review.
    ///
    /// # Errors
    /// As for `save`.
    pub fn submit(&self) -> Result<Saved, FieldbookError> {
        Ok(self.handle.submit()?.into())
    }

    /// Drops the answers given since the form was opened, and closes it.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn discard(&self) -> Result<(), FieldbookError> {
        Ok(self.handle.discard()?)
    }
}
