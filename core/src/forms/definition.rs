//! A compiled form as it travels and is stored: fields, screens, choices, and the XForm that carries the logic.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::access::{Area, Role};

/// Text by language code (`zh-Hans`, `en`, `bo`; `default` where the sheet names none).
pub type Labels = BTreeMap<String, String>;

/// How concurrent values of a field merge (`fb:merge`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Merge {
    /// Concurrent values are all kept and shown.
    #[n(0)]
    Register,
    /// As a register, and approval waits until someone has resolved the conflict.
    #[n(1)]
    MustAgree,
    /// Add-wins set of choice names.
    #[n(2)]
    Set,
    /// Written once; a later different value is a conflict that blocks approval.
    #[n(3)]
    Once,
}

/// How closely a field is guarded (`fb:sensitivity`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Sensitivity {
    /// Not about a person.
    #[n(0)]
    Plain,
    /// Personal information.
    #[n(1)]
    Personal,
    /// Sensitive personal information (PIPL article 28): masked on lists and the console.
    #[n(2)]
    Sensitive,
}

/// A check beyond the form's own logic (`fb:check`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Check {
    /// Citizen identity number, GB 11643: also fills sibling fields `sex` and `birth_date`.
    #[n(0)]
    IdNumber,
    /// Unified social credit code, GB 32100.
    #[n(1)]
    CreditCode,
    /// Division code, GB/T 2260 and below.
    #[n(2)]
    Division,
    /// Mainland mobile or landline number.
    #[n(3)]
    Phone,
}

/// The XLSForm type of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum FieldType {
    /// `text`
    #[n(0)]
    Text,
    /// `integer`, and `range` with whole steps
    #[n(1)]
    Integer,
    /// `decimal`, and `range` with other steps
    #[n(2)]
    Decimal,
    /// `date`
    #[n(3)]
    Date,
    /// `time`
    #[n(4)]
    Time,
    /// `dateTime`, `start`, `end`
    #[n(5)]
    DateTime,
    /// `select_one …`
    #[n(6)]
    SelectOne,
    /// `select_multiple …`
    #[n(7)]
    SelectMultiple,
    /// `rank …`: all choices in order, space-separated
    #[n(8)]
    Rank,
    /// `geopoint`: `latitude longitude [altitude accuracy]`, WGS-84 degrees and metres
    #[n(9)]
    Geopoint,
    /// `geotrace`
    #[n(10)]
    Geotrace,
    /// `geoshape`
    #[n(11)]
    Geoshape,
    /// `image`, `audio`, `video`, `file`: a reference to a blob
    #[n(12)]
    Blob,
    /// `barcode`
    #[n(13)]
    Barcode,
    /// `acknowledge` / `trigger`: the text `OK`
    #[n(14)]
    Acknowledge,
    /// `calculate`; a question of another type that the form computes keeps its type and is `calculated`
    #[n(15)]
    Calculate,
    /// `note`: shown, never answered
    #[n(16)]
    Note,
    /// `hidden`, `deviceid`, `username` and other values the app fills; a `calculate` that is made once and stored
    #[n(17)]
    Meta,
}

impl FieldType {
    /// The word in the API: `text`, `select_one`, `datetime` …
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::Date => "date",
            Self::Time => "time",
            Self::DateTime => "datetime",
            Self::SelectOne => "select_one",
            Self::SelectMultiple => "select_multiple",
            Self::Rank => "rank",
            Self::Geopoint => "geopoint",
            Self::Geotrace => "geotrace",
            Self::Geoshape => "geoshape",
            Self::Blob => "blob",
            Self::Barcode => "barcode",
            Self::Acknowledge => "acknowledge",
            Self::Calculate => "calculate",
            Self::Note => "note",
            Self::Meta => "meta",
        }
    }
}

/// One field of a form: what is stored, merged, checked and who may write it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Field {
    /// Path from the form's root without rows: `group/name`, `members/name`.
    #[n(0)]
    pub path: String,
    /// Type of the answer.
    #[n(1)]
    pub field_type: FieldType,
    /// Path of the innermost repeat that holds it.
    #[n(2)]
    pub repeat: Option<String>,
    /// How concurrent values merge.
    #[n(3)]
    pub merge: Merge,
    /// How closely it is guarded.
    #[n(4)]
    pub sensitivity: Sensitivity,
    /// Who may write it.
    #[n(5)]
    pub writers: Vec<Role>,
    /// A check beyond the form's logic.
    #[n(6)]
    pub check: Option<Check>,
    /// Identifies the person whom the record or row is about.
    #[n(7)]
    pub identity: bool,
    /// A column in lists.
    #[n(8)]
    pub list: bool,
    /// Found by search.
    #[n(9)]
    pub search: bool,
    /// Computed by the form from other answers: never stored, never merged.
    #[n(10)]
    pub calculated: bool,
    /// Name of its choice list.
    #[n(11)]
    pub choice_list: Option<String>,
    /// Label in each language, as written (may hold `${…}` output references).
    #[n(12)]
    pub label: Labels,
    /// What the numbers count, such as `fen` (`fb:unit`).
    #[n(13)]
    pub unit: Option<String>,
    /// Part of the occasion for which a person has one record of the kind (`fb:occasion`), such as a year.
    #[cbor(n(14), with = "marked", has_nil)]
    pub occasion: bool,
}

/// A mark that is only written where it is set: forms without it keep their bytes.
mod marked {
    use minicbor::decode::{Decoder, Error};
    use minicbor::encode::{self, Encoder, Write};

    pub(super) fn encode<C, W: Write>(
        marked: &bool,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encoder.bool(*marked)?.ok()
    }

    pub(super) fn decode<C>(decoder: &mut Decoder<'_>, _: &mut C) -> Result<bool, Error> {
        decoder.bool()
    }

    pub(super) fn nil() -> Option<bool> {
        Some(false)
    }

    pub(super) fn is_nil(marked: &bool) -> bool {
        !*marked
    }
}

/// One choice of a list.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Choice {
    /// Stored name.
    #[n(0)]
    pub name: String,
    /// Label in each language.
    #[n(1)]
    pub label: Labels,
    /// Media by kind (`image`, `audio`, …) and language.
    #[n(2)]
    pub media: BTreeMap<String, Labels>,
}

/// A question as a screen shows it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct QuestionItem {
    /// Path of its field.
    #[n(0)]
    pub path: String,
    /// Hint in each language.
    #[n(1)]
    pub hint: Labels,
    /// Longer guidance in each language.
    #[n(2)]
    pub guidance: Labels,
    /// Appearance, as written.
    #[n(3)]
    pub appearance: Option<String>,
    /// `parameters` column.
    #[n(4)]
    pub parameters: BTreeMap<String, String>,
    /// Media by kind and language.
    #[n(5)]
    pub media: BTreeMap<String, Labels>,
    /// Type as the sheet wrote it (`select_one yes_no`, `image`, `audit` …).
    #[n(6)]
    pub sheet_type: String,
    /// Message when the constraint fails, in each language.
    #[n(7)]
    pub constraint_message: Labels,
    /// Message when a required answer is missing, in each language.
    #[n(8)]
    pub required_message: Labels,
}

/// A group as a screen shows it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct GroupItem {
    /// Path.
    #[n(0)]
    pub path: String,
    /// Label in each language.
    #[n(1)]
    pub label: Labels,
    /// Appearance (`field-list` = one page).
    #[n(2)]
    pub appearance: Option<String>,
    /// What it holds, in order.
    #[n(3)]
    pub items: Vec<SurveyItem>,
}

/// A repeat as a screen shows it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct RepeatItem {
    /// Path.
    #[n(0)]
    pub path: String,
    /// Label in each language.
    #[n(1)]
    pub label: Labels,
    /// Appearance.
    #[n(2)]
    pub appearance: Option<String>,
    /// `repeat_count` fixes the number of rows: rows are neither added nor removed by hand.
    #[n(3)]
    pub counted: bool,
    /// What each row holds, in order.
    #[n(4)]
    pub items: Vec<SurveyItem>,
}

/// The order in which a screen asks.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum SurveyItem {
    /// A question.
    #[n(0)]
    Question(#[n(0)] QuestionItem),
    /// A group.
    #[n(1)]
    Group(#[n(0)] GroupItem),
    /// A repeat.
    #[n(2)]
    Repeat(#[n(0)] RepeatItem),
}

/// A compiled form.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct FormDefinition {
    /// The kind that it defines (`form_id`), `[a-z][a-z0-9_]{0,63}` for built-in kinds, any XML name else.
    #[n(0)]
    pub kind: String,
    /// Version text of the sheet; later publications compare as published, not by text.
    #[n(1)]
    pub version: String,
    /// Title in each language.
    #[n(2)]
    pub title: Labels,
    /// Languages in the order of the sheet; the first is shown by default.
    #[n(3)]
    pub languages: Vec<String>,
    /// Area of the kind (`fb:area` in settings).
    #[n(4)]
    pub area: Area,
    /// Every field, in the order of the form.
    #[n(5)]
    pub fields: Vec<Field>,
    /// Every repeat's path, in the order of the form, each with the path of the repeat that encloses it.
    #[n(6)]
    pub repeats: Vec<(String, Option<String>)>,
    /// What a screen asks, in order.
    #[n(7)]
    pub items: Vec<SurveyItem>,
    /// Choice lists by name.
    #[n(8)]
    pub choices: BTreeMap<String, Vec<Choice>>,
    /// The XForm document: logic and lookup tables, as OpenRosa defines them.
    #[n(9)]
    pub xform: String,
}
