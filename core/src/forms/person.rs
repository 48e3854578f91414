//! Whom a record is about: the fields that a form marks as identity (`fb:identity`), made comparable.

#[cfg(test)]
mod tests;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::answer::{text, time};
use super::checks;
use super::definition::{Check, Field, FieldType};
use super::form::Form;
use super::path::FieldPath;
use super::values::{Row, Scalar, Values};

/// Characters of an ID number of the first generation, which had a year of two digits and no check character.
const OLD_ID_NUMBER_CHARS: usize = 15;
/// Century of every ID number of the first generation.
const OLD_ID_NUMBER_CENTURY: &str = "19";

/// What the keyed hash of a person is made for.
const KEY_CONTEXT: &[u8] = b"fieldbook double v1\0";

/// What makes somebody the same person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// Citizen identity number of 18 characters.
    IdNumber(String),
    /// Where there is no number: it says as much as the unit is small.
    NameAndBirth {
        /// Name.
        name: String,
        /// Birth date, `YYYY-MM-DD`.
        birth_date: String,
    },
}

impl Identity {
    /// A keyed hash that is the same for the same person, kind of record and occasion, and where there is no ID number
    /// for the same unit. Without `secret` it tells nobody whom it stands for.
    #[must_use]
    pub fn key(&self, secret: &[u8; 32], kind: &str, occasion: &[String], unit: &str) -> [u8; 16] {
        let who = match self {
            Self::IdNumber(number) => vec!["id", number],
            Self::NameAndBirth { name, birth_date } => vec!["name", name, birth_date, unit],
        };
        let parts = std::iter::once(kind).chain(who).chain(occasion.iter().map(String::as_str));
        let mut key = [0; 16];
        // A key of any length will do for HMAC.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return key };
        mac.update(KEY_CONTEXT);
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        for (to, from) in key.iter_mut().zip(mac.finalize().into_bytes()) {
            *to = from;
        }
        key
    }
}

/// One person in one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub identity: Identity,
    /// The identifying field.
    pub path: FieldPath,
    /// The name as written; empty if there is none.
    pub name: String,
}

/// An ID number as numbers are compared: half-width, without blanks, `X` as a capital, one of 15 digits as the one of 18
/// characters that replaced it. `None` if it is no ID number: nobody is told apart by a slip or a dash.
#[must_use]
pub fn id_number(text: &str) -> Option<String> {
    let mut number = checks::canonical(Check::IdNumber, text);
    if number.len() == OLD_ID_NUMBER_CHARS && number.bytes().all(|byte| byte.is_ascii_digit()) {
        number.insert_str(6, OLD_ID_NUMBER_CENTURY);
        number.push(checks::id_check_character(number.as_bytes())?);
    }
    // Whether somebody is born already is the form's question; here any day will do.
    checks::id_number(&number, i64::MAX).is_ok().then_some(number)
}

/// A name as names are compared: NFC, one middle dot, single blanks, small letters.
fn folded_name(name: &str) -> String {
    let name = text::name(&text::half_width(name)).to_lowercase();
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn text_of(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Text(text) => text.clone(),
        Scalar::Integer(number) => number.to_string(),
    }
}

impl Form {
    /// The persons whom answers are about: one for the record itself and one for each row of a repeat that marks fields
    /// as identity; by ID number, else by name and birth date.
    #[must_use]
    pub fn persons(&self, values: &Values) -> Vec<Person> {
        let identifying: Vec<&Field> = self.definition().fields.iter().filter(|field| field.identity).collect();
        if identifying.is_empty() {
            return Vec::new();
        }
        let within = |repeat: Option<&str>| -> Vec<&Field> {
            identifying.iter().copied().filter(|field| field.repeat.as_deref() == repeat).collect()
        };
        let mut found = Vec::new();
        found.extend(person(&within(None), None, |path| values.fields.get(path)));
        for (repeat, _) in &self.definition().repeats {
            let fields = within(Some(repeat));
            for row in values.rows.get(repeat).into_iter().flatten().filter(|_| !fields.is_empty()) {
                found.extend(person(&fields, Some((repeat, row)), |path| row.fields.get(path)));
            }
        }
        found
    }

    /// What a person has one record of this kind for: the answers to the fields outside repeats that the form marks
    /// (`fb:occasion`), such as a year, in the order of the form. None marked: one record at all.
    #[must_use]
    pub fn occasion(&self, values: &Values) -> Vec<String> {
        let marked = self.definition().fields.iter().filter(|field| field.occasion && field.repeat.is_none());
        marked.map(|field| values.fields.get(&field.path).map(text_of).unwrap_or_default()).collect()
    }
}

fn person<'v>(
    fields: &[&Field],
    place: Option<(&String, &Row)>,
    answer: impl Fn(&str) -> Option<&'v Scalar>,
) -> Option<Person> {
    let path = |field: &Field| match place {
        Some((repeat, row)) => FieldPath::in_row(&field.path, repeat, row.id),
        None => FieldPath::root(&field.path),
    };
    let first = |wanted: &dyn Fn(&Field) -> bool| {
        fields.iter().filter(|field| wanted(field)).find_map(|field| answer(&field.path).map(|v| (*field, text_of(v))))
    };
    let named = first(&|field| field.field_type == FieldType::Text && field.check.is_none());
    let name = named.as_ref().map(|(_, name)| name.clone()).unwrap_or_default();
    let numbered = first(&|field| field.check == Some(Check::IdNumber));
    if let Some((field, number)) = numbered
        && let Some(number) = id_number(&number)
    {
        return Some(Person { identity: Identity::IdNumber(number), path: path(field), name });
    }
    let (_, birth_date) = first(&|field| field.field_type == FieldType::Date)?;
    let birth_date = time::date(&birth_date)?;
    let folded = folded_name(&name);
    let (field, _) = named.filter(|_| !folded.is_empty())?;
    Some(Person { identity: Identity::NameAndBirth { name: folded, birth_date }, path: path(field), name })
}
