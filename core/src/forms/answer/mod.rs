//! One answer from JSON to its canonical value: types, limits, choices.

mod geo;
#[cfg(test)]
mod tests;
pub(crate) mod text;
pub(crate) mod time;

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::catalogue::{Message, MessageKey};
use super::checks;
use super::definition::{Field, FieldType};
use super::form::Form;
use super::limits::{CHOSEN_MAX, DECIMAL_DIGITS_MAX};
use super::values::Scalar;
use crate::limits::TEXT_CHARS_MAX;

/// A canonical answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of any question but select_multiple; `None` clears it.
    Scalar(Option<Scalar>),
    /// Of a select_multiple question: the chosen names.
    Set(BTreeSet<String>),
}

/// An answer that breaks its field's type or the form's structure; nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ValueError {
    /// Which field, as the caller named it.
    pub path: String,
    /// What is wrong and what to do.
    pub message: Message,
}

impl ValueError {
    pub(crate) fn new(path: impl ToString, key: MessageKey) -> Self {
        Self { path: path.to_string(), message: Message::new(key) }
    }

    pub(crate) fn about(path: impl ToString, key: MessageKey, about: impl std::fmt::Display) -> Self {
        Self { path: path.to_string(), message: Message::about(key, about) }
    }

    /// The sentence for a user of `language`.
    #[must_use]
    pub fn text(&self, language: &str) -> String {
        self.message.text(language)
    }
}

/// The field's text is a name: one middle dot.
fn is_name(field: &Field) -> bool {
    field.field_type == FieldType::Text && field.check.is_none() && (field.search || field.identity)
}

/// Reads an answer to `field` of `form`.
///
/// # Errors
/// The message of what is wrong with it.
pub(super) fn parse(form: &Form, field: &Field, json: &Json) -> Result<Answer, Message> {
    if field.calculated || field.field_type == FieldType::Note {
        return Err(Message::new(MessageKey::Computed));
    }
    if field.field_type == FieldType::SelectMultiple {
        return chosen(form, field, json).map(Answer::Set);
    }
    let scalar = match json {
        Json::Null => None,
        Json::String(text) if text.trim().is_empty() => None,
        json => scalar(form, field, json)?,
    };
    Ok(Answer::Scalar(scalar))
}

fn scalar(form: &Form, field: &Field, json: &Json) -> Result<Option<Scalar>, Message> {
    let fail = |key| Message::new(key);
    let text_of = |key| json.as_str().ok_or(Message::new(key));
    let value = match field.field_type {
        FieldType::Integer => return integer(json).map(|n| Some(Scalar::Integer(n))),
        FieldType::Decimal => {
            let number = match json {
                Json::Number(number) => number.to_string(),
                Json::String(text) => text.clone(),
                _ => return Err(fail(MessageKey::NotDecimal)),
            };
            text::decimal(&number, DECIMAL_DIGITS_MAX).ok_or(fail(MessageKey::NotDecimal))?
        }
        FieldType::Date => time::date(&text::code(text_of(MessageKey::NotDate)?)).ok_or(fail(MessageKey::NotDate))?,
        FieldType::Time => time::time(&text::code(text_of(MessageKey::NotTime)?)).ok_or(fail(MessageKey::NotTime))?,
        FieldType::DateTime => {
            let key = MessageKey::NotDateTime;
            time::date_time(text::half_width(text_of(key)?).trim()).ok_or(fail(key))?
        }
        FieldType::SelectOne => {
            let name = text::plain(text_of(MessageKey::NotText)?);
            known_choice(form, field, &name)?;
            name
        }
        FieldType::Rank => ranked(form, field, json)?,
        FieldType::Geopoint => geo::point(text_of(MessageKey::NotPosition)?).ok_or(fail(MessageKey::NotPosition))?,
        FieldType::Geotrace => geo::line(text_of(MessageKey::NotPosition)?, false)?,
        FieldType::Geoshape => geo::line(text_of(MessageKey::NotPosition)?, true)?,
        FieldType::Blob => file_name(text_of(MessageKey::NotAFile)?)?,
        FieldType::Acknowledge => match json {
            Json::Bool(false) => return Ok(None),
            Json::Bool(true) => "OK".to_owned(),
            Json::String(text) if text::code(text).eq_ignore_ascii_case("ok") => "OK".to_owned(),
            _ => return Err(fail(MessageKey::NotAcknowledged)),
        },
        FieldType::Text | FieldType::Barcode | FieldType::Meta => free_text(field, text_of(MessageKey::NotText)?)?,
        FieldType::SelectMultiple | FieldType::Calculate | FieldType::Note => {
            return Err(fail(MessageKey::Computed));
        }
    };
    Ok((!value.is_empty()).then_some(Scalar::Text(value)))
}

fn free_text(field: &Field, answer: &str) -> Result<String, Message> {
    // Cut before the costly part: NFC of a text can only be a small multiple of it.
    if answer.len() > 16 * TEXT_CHARS_MAX {
        return Err(Message::about(MessageKey::TooLong, TEXT_CHARS_MAX));
    }
    let value = match field.check {
        Some(check) => checks::canonical(check, answer),
        None if field.field_type == FieldType::Barcode => text::half_width(&text::plain(answer)),
        None if is_name(field) => text::name(answer),
        None => text::plain(answer),
    };
    if value.chars().count() > TEXT_CHARS_MAX {
        return Err(Message::about(MessageKey::TooLong, TEXT_CHARS_MAX));
    }
    Ok(value)
}

fn integer(json: &Json) -> Result<i64, Message> {
    let text = match json {
        Json::Number(number) => {
            if let Some(value) = number.as_i64() {
                return Ok(value);
            }
            number.to_string()
        }
        Json::String(text) => text.clone(),
        _ => return Err(Message::new(MessageKey::NotInteger)),
    };
    text::decimal(&text, DECIMAL_DIGITS_MAX)
        .and_then(|text| text.parse().ok())
        .ok_or(Message::new(MessageKey::NotInteger))
}

/// A blob is named by the file that was captured; the name never leads out of its folder.
fn file_name(answer: &str) -> Result<String, Message> {
    let name = text::plain(answer);
    let bad = name.contains(['/', '\\', '\n', '\t']) || name == "." || name == ".." || name.len() > 255;
    if bad { Err(Message::new(MessageKey::NotAFile)) } else { Ok(name) }
}

fn known_choice(form: &Form, field: &Field, name: &str) -> Result<(), Message> {
    if form.has_choice(field, name) { Ok(()) } else { Err(Message::about(MessageKey::NotAChoice, name)) }
}

/// Names of a list as JSON array, or as the space-separated text of an XForm.
fn names(json: &Json) -> Result<Vec<String>, Message> {
    let names: Vec<String> = match json {
        Json::Null => Vec::new(),
        Json::String(text) => text.split_whitespace().map(text::plain).collect(),
        Json::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(text::plain).ok_or(Message::new(MessageKey::NotAList)))
            .collect::<Result<_, _>>()?,
        _ => return Err(Message::new(MessageKey::NotAList)),
    };
    if names.len() > CHOSEN_MAX { Err(Message::new(MessageKey::NotAList)) } else { Ok(names) }
}

fn chosen(form: &Form, field: &Field, json: &Json) -> Result<BTreeSet<String>, Message> {
    let names = names(json)?;
    for name in &names {
        known_choice(form, field, name)?;
    }
    Ok(names.into_iter().collect())
}

fn ranked(form: &Form, field: &Field, json: &Json) -> Result<String, Message> {
    let names = names(json)?;
    let mut seen = BTreeSet::new();
    for name in &names {
        known_choice(form, field, name)?;
        if !seen.insert(name) {
            return Err(Message::about(MessageKey::Twice, name));
        }
    }
    Ok(names.join(" "))
}
