//! What the console shows of forms, published and previewed.

use std::collections::BTreeMap;

use fieldbook_core::forms::Labels;
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

/// A published version of a form.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FormVersion {
    /// The version.
    pub version: String,
    /// Code of the unit from which it holds downwards.
    pub unit: String,
    /// Name of that unit.
    pub unit_name: String,
    /// When it was published, milliseconds since 1970 UTC.
    pub published_ms: i64,
    /// Who published it; none at the server's command line, or of a kind that comes with the server.
    pub publisher: Option<String>,
    /// Name of who published it.
    pub publisher_name: Option<String>,
    /// SHA-256 of the compiled form, in hex.
    pub digest: String,
    /// Size of the compiled form in bytes.
    pub bytes: u64,
}

/// A kind with the versions of its form.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FormKind {
    /// The kind.
    pub kind: String,
    /// Title in the language of `Accept-Language`.
    pub title: String,
    /// Title by language.
    #[schema(value_type = BTreeMap<String, String>)]
    pub titles: Labels,
    /// Area.
    pub area: String,
    /// All versions, the newest first.
    pub versions: Vec<FormVersion>,
    /// The records of the kind are being read anew under the newest version.
    pub reading_again: bool,
}

/// Something in a workbook that its author should know.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SheetNote {
    /// Sheet, such as `survey`; empty when it is about the whole workbook.
    pub sheet: String,
    /// Row of the sheet, from 1; the headings are row 1.
    pub row: Option<u64>,
    /// Heading of the column.
    pub column: Option<String>,
    /// What, and what to do.
    pub message: String,
}

/// One difference to the last published version.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FormDifference {
    /// Stable word: `added`, `removed`, `retyped`, `regrouped`, `label`, `hint`, `choices_added`,
    /// `choices_removed`, `choice_labels`, `required`, `relevant`, `constraint`, `calculation`, `merge`, `sensitivity`,
    /// `writers`, `check`, `identity`, `occasion`, `list`, `search`, `unit`, `order`, `title`, `languages`.
    pub change: String,
    /// Path of the field, repeat or choice list; empty when it is about the whole form.
    pub path: String,
    /// Label of the field.
    pub label: String,
    /// What stood there.
    pub before: Option<String>,
    /// What stands there now.
    pub after: Option<String>,
    /// What it means for records that are there, in the language of `Accept-Language`; empty if nothing.
    pub effect: String,
}

/// A form that was uploaded and compiled.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PreviewedForm {
    /// SHA-256 of the compiled form, in hex: what is run and published.
    pub digest: String,
    /// The kind that it defines.
    pub kind: String,
    /// Its version.
    pub version: String,
    /// Title in the language of `Accept-Language`.
    pub title: String,
    /// Area.
    pub area: String,
    /// Languages, the first by default.
    pub languages: Vec<String>,
    /// Number of its fields.
    pub fields: u64,
    /// Version that was the newest when it was uploaded; none of a new kind.
    pub last_version: Option<String>,
    /// What differs from that.
    pub differences: Vec<FormDifference>,
    /// How many differences there are beyond the 500 that are listed.
    pub more_differences: u64,
    /// Records of the kind here.
    pub records: u64,
    /// Why it cannot be published, as the word of the problem that publishing would answer; none if it can.
    pub hindrance: Option<String>,
    /// Code of the unit at which it would be published unless another is named.
    pub unit: Option<String>,
    /// Until when it is kept, milliseconds since 1970 UTC.
    pub expires_ms: i64,
}

/// What became of an uploaded workbook.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PreviewPage {
    /// The form; none if there are errors.
    pub form: Option<PreviewedForm>,
    /// Why it is no form.
    pub errors: Vec<SheetNote>,
    /// What works, but not as its author may expect.
    pub warnings: Vec<SheetNote>,
}

/// A choice that is offered now.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunChoice {
    /// Stored name.
    pub name: String,
    /// Label.
    pub label: String,
}

/// One entry of the screen, as a phone shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunQuestion {
    /// `field`, `group`, `repeat` or `row`.
    pub kind: String,
    /// Path: of a field with its row, of a group or repeat without.
    pub path: String,
    /// The row that it lies in, or is.
    pub row: Option<String>,
    /// Nesting, from 0.
    pub depth: u64,
    /// Number of the screen page, from 0.
    pub page: u64,
    /// Label, its references filled in.
    pub label: String,
    /// Hint.
    pub hint: String,
    /// Longer guidance.
    pub guidance: String,
    /// Type of the answer, such as `text`, `integer`, `select_one`; none for structure.
    pub field_type: Option<String>,
    /// Appearance.
    pub appearance: String,
    /// The sheet's `parameters`.
    pub parameters: BTreeMap<String, String>,
    /// Choices that the filter offers now.
    pub choices: Vec<RunChoice>,
    /// Must be answered.
    pub required: bool,
    /// Cannot be answered by hand: a note, or calculated.
    pub read_only: bool,
    /// The answer; null when there is none.
    #[schema(value_type = Object)]
    pub value: Json,
    /// Which rule the answer breaks: `required`, `constraint`, `check` or `logic`.
    pub error_kind: Option<String>,
    /// What to tell the user.
    pub error: Option<String>,
    /// Of a repeat: how many rows it shows. Of a row: its number, from 1.
    pub rows: u64,
    /// Of a repeat: the form decides the number of rows.
    pub counted: bool,
    /// What the number counts, such as `fen`.
    pub unit: Option<String>,
}

/// A step that the form did not take.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RefusedStep {
    /// Which, from 0.
    pub step: u64,
    /// Path that it names.
    pub path: String,
    /// Why.
    pub message: String,
}

/// A form after the steps, as a phone would show it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunPage {
    /// Language of the texts.
    pub language: String,
    /// Languages of the form, the first by default.
    pub languages: Vec<String>,
    /// What is asked now, in order.
    pub questions: Vec<RunQuestion>,
    /// Relevant answers and calculated values, nested as in the form.
    #[schema(value_type = Object)]
    pub values: Json,
    /// Steps that were not taken: nothing changed by them.
    pub refused: Vec<RefusedStep>,
}

/// A form that was published.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PublishedForm {
    /// The kind.
    pub kind: String,
    /// The version.
    pub version: String,
    /// Code of the unit from which it holds downwards.
    pub unit: String,
    /// It is new; false if the same form was published before.
    pub new: bool,
}
