//! Kinds and their forms.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use fieldbook_core::forms::{Choice, Field, Form, Labels, Merge, Sensitivity, SurveyItem};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::error::{ApiError, ProblemBody, form_language, language};
use super::session::Caller;

/// Records by kind and state.
type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// A kind of record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KindBody {
    /// The kind.
    kind: String,
    /// Version of its newest form.
    version: String,
    /// Title in the language of `Accept-Language`.
    title: String,
    /// Title by language.
    #[schema(value_type = BTreeMap<String, String>)]
    titles: Labels,
    /// Area.
    area: String,
    /// Records that the user may read, by state.
    states: BTreeMap<String, u64>,
}

/// A field of a form.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldBody {
    /// Path without rows.
    path: String,
    /// Type of the answer, such as `text`, `integer`, `select_one`.
    field_type: String,
    /// Path of the innermost repeat that holds it.
    repeat: Option<String>,
    /// Label by language.
    #[schema(value_type = BTreeMap<String, String>)]
    label: Labels,
    /// `register`, `must-agree`, `set` or `once`.
    merge: String,
    /// `plain`, `personal` or `sensitive`.
    sensitivity: String,
    /// Roles that may write it.
    writers: Vec<String>,
    /// Computed by the form.
    calculated: bool,
    /// A column in lists.
    list: bool,
    /// Name of its choice list.
    choices: Option<String>,
    /// What its numbers count, such as `fen`.
    unit: Option<String>,
}

/// A group or repeat of a form: what a screen shows under one heading.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupBody {
    /// Path without rows.
    path: String,
    /// Label by language; empty where the form gives none.
    #[schema(value_type = BTreeMap<String, String>)]
    label: Labels,
    /// It has rows.
    repeat: bool,
}

/// A choice.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChoiceBody {
    /// Stored name.
    name: String,
    /// Label by language.
    #[schema(value_type = BTreeMap<String, String>)]
    label: Labels,
}

/// A kind with its form.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KindPage {
    /// The kind.
    #[serde(flatten)]
    kind: KindBody,
    /// Languages of the form, the first by default.
    languages: Vec<String>,
    /// Fields, in the order of the form.
    fields: Vec<FieldBody>,
    /// Groups and repeats, in the order of the form.
    groups: Vec<GroupBody>,
    /// Repeats, in the order of the form.
    repeats: Vec<String>,
    /// Choice lists by name.
    choices: BTreeMap<String, Vec<ChoiceBody>>,
}

fn kind_body(form: &Form, language: &str, counts: &Counts) -> KindBody {
    let definition = form.definition();
    KindBody {
        kind: definition.kind.clone(),
        version: definition.version.clone(),
        title: form.pick(&definition.title, language).unwrap_or(&definition.kind).to_owned(),
        titles: definition.title.clone(),
        area: definition.area.word().to_owned(),
        states: counts.get(&definition.kind).cloned().unwrap_or_default(),
    }
}

fn field_body(field: &Field) -> FieldBody {
    // `SelectOne` -> `select_one`: the type's name is its word.
    let mut field_type = String::new();
    for letter in format!("{:?}", field.field_type).chars() {
        if letter.is_ascii_uppercase() && !field_type.is_empty() && field_type != "date" {
            field_type.push('_');
        }
        field_type.push(letter.to_ascii_lowercase());
    }
    FieldBody {
        path: field.path.clone(),
        field_type,
        repeat: field.repeat.clone(),
        label: field.label.clone(),
        merge: match field.merge {
            Merge::Register => "register",
            Merge::MustAgree => "must-agree",
            Merge::Set => "set",
            Merge::Once => "once",
        }
        .to_owned(),
        sensitivity: match field.sensitivity {
            Sensitivity::Plain => "plain",
            Sensitivity::Personal => "personal",
            Sensitivity::Sensitive => "sensitive",
        }
        .to_owned(),
        writers: field.writers.iter().map(|role| role.word().to_owned()).collect(),
        calculated: field.calculated,
        list: field.list,
        choices: field.choice_list.clone(),
        unit: field.unit.clone(),
    }
}

/// The groups among `items` and in them, each before what it holds.
fn group_bodies(items: &[SurveyItem], found: &mut Vec<GroupBody>) {
    for item in items {
        let (path, label, repeat, inner) = match item {
            SurveyItem::Question(_) => continue,
            SurveyItem::Group(group) => (&group.path, &group.label, false, &group.items),
            SurveyItem::Repeat(repeat) => (&repeat.path, &repeat.label, true, &repeat.items),
        };
        found.push(GroupBody { path: path.clone(), label: label.clone(), repeat });
        group_bodies(inner, found);
    }
}

fn choice_body(choice: &Choice) -> ChoiceBody {
    ChoiceBody { name: choice.name.clone(), label: choice.label.clone() }
}

/// The kinds that the user may see.
#[utoipa::path(get, path = "/kinds", tag = "kinds", responses((status = 200, body = Vec<KindBody>)))]
pub(crate) async fn kinds(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Json<Vec<KindBody>>, ApiError> {
    let user = caller.user.id;
    let (forms, counts) = app.ask(move |store| Ok((store.visible_forms(user)?, store.counts(user)?))).await?;
    let language = form_language(language(&headers));
    Ok(Json(forms.iter().map(|form| kind_body(form, language, &counts)).collect()))
}

/// A kind with fields, labels and choices.
#[utoipa::path(get, path = "/kinds/{kind}", tag = "kinds", params(("kind" = String, Path)), responses(
    (status = 200, body = KindPage), (status = 404, body = ProblemBody, description = "`kind_unknown`")))]
pub(crate) async fn kind(
    State(app): State<App>,
    caller: Caller,
    Path(kind): Path<String>,
    headers: HeaderMap,
) -> Result<Json<KindPage>, ApiError> {
    let user = caller.user.id;
    let (form, counts) = app.ask(move |store| Ok((store.visible_form(user, &kind)?, store.counts(user)?))).await?;
    let definition = form.definition();
    let choices = definition.choices.iter();
    let mut groups = Vec::new();
    group_bodies(&definition.items, &mut groups);
    Ok(Json(KindPage {
        kind: kind_body(&form, form_language(language(&headers)), &counts),
        languages: definition.languages.clone(),
        fields: definition.fields.iter().map(field_body).collect(),
        groups,
        repeats: definition.repeats.iter().map(|(path, _)| path.clone()).collect(),
        choices: choices.map(|(name, list)| (name.clone(), list.iter().map(choice_body).collect())).collect(),
    }))
}
