//! From rxform's survey to the form's definition: fields, screens, choices, and our own columns.

use std::collections::BTreeMap;

use rxform::model::{DEFAULT_LANG, Item, Question, Section, SectionKind, SelectKind, Survey, Translated};
use sha2::{Digest, Sha256};

use super::SheetError;
use super::data::Files;
use super::mend::Mended;
use crate::access::{Area, Role};
use crate::forms::definition::{
    Check, Choice, Field, FieldType, FormDefinition, GroupItem, Labels, Merge, QuestionItem, RepeatItem, Sensitivity,
    SurveyItem,
};
use crate::forms::faults::{FaultKind, FormFault};

/// Who may write a field that names nobody (field staff, townships and supervisors).
const WRITERS: &[Role] = &[Role::Field, Role::Township, Role::County, Role::Prefecture, Role::Province];
/// Characters of a kind.
const KIND_CHARS_MAX: usize = 64;

/// The code of a language as sheets write it: `中文 (zh-Hans)` is `zh-Hans`, `default` stays.
fn language_code(language: &str) -> String {
    let inside = language.rsplit_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(code, _)| code.trim());
    inside.filter(|code| !code.is_empty()).unwrap_or(language.trim()).to_owned()
}

/// Row of the survey sheet by path.
pub(crate) fn rows_by_path(survey: &Survey) -> BTreeMap<String, usize> {
    fn add(items: &[Item], prefix: &str, rows: &mut BTreeMap<String, usize>) {
        for item in items {
            match item {
                Item::Question(question) => {
                    rows.insert(joined(prefix, &question.name), question.row);
                }
                Item::Section(section) => {
                    rows.insert(joined(prefix, &section.name), section.row);
                    add(&section.children, &inner_prefix(section, prefix), rows);
                }
            }
        }
    }
    let mut rows = BTreeMap::new();
    add(&survey.items, "", &mut rows);
    rows
}

fn joined(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

/// Flat groups have no part in paths.
fn inner_prefix(section: &Section, prefix: &str) -> String {
    if section.flat { prefix.to_owned() } else { joined(prefix, &section.name) }
}

struct Builder<'a> {
    survey: &'a Survey,
    mended: &'a Mended,
    data: &'a Files,
    default_language: Option<String>,
    fields: Vec<Field>,
    repeats: Vec<(String, Option<String>)>,
    choices: BTreeMap<String, Vec<Choice>>,
    errors: Vec<SheetError>,
}

/// Our own columns of one row.
struct Own<'a> {
    cells: Vec<&'a BTreeMap<String, String>>,
    /// Only the row's own columns mark identity, lists, search and checks; groups hand down the rest.
    row: Option<&'a BTreeMap<String, String>>,
    at: usize,
}

impl Own<'_> {
    fn inherited(&self, key: &str) -> Option<&str> {
        self.cells.iter().rev().find_map(|cells| cells.get(key)).map(String::as_str)
    }

    fn own(&self, key: &str) -> Option<&str> {
        self.row.and_then(|cells| cells.get(key)).map(String::as_str)
    }

    fn error(&self, key: &str, value: &str, more: FormFault) -> SheetError {
        not_allowed("survey", key, value).row(self.at).column(format!("bind::{key}")).more(more)
    }

    fn flag(&self, key: &str, errors: &mut Vec<SheetError>) -> bool {
        match self.own(key).map(str::to_lowercase).as_deref() {
            None | Some("no" | "false" | "false()") => false,
            Some("yes" | "true" | "true()") => true,
            Some(other) => {
                errors.push(self.error(key, other, allowed(&["yes", "no"])));
                false
            }
        }
    }
}

fn not_allowed(sheet: &str, key: &str, value: &str) -> SheetError {
    SheetError::new(sheet, FormFault::new(FaultKind::NotAllowed).with(key).with(value))
}

fn allowed(words: &[&str]) -> FormFault {
    FormFault::new(FaultKind::Allowed).with(words.join(", "))
}

/// Builds the definition of `survey`, whose XForm is `xform`.
pub(crate) fn definition(
    survey: &Survey,
    mended: &Mended,
    data: &Files,
    xform: String,
) -> Result<FormDefinition, Vec<SheetError>> {
    let default_language = survey.settings.default_language.as_deref().map(language_code);
    let mut builder = Builder {
        survey,
        mended,
        data,
        default_language,
        fields: Vec::new(),
        repeats: Vec::new(),
        choices: BTreeMap::new(),
        errors: Vec::new(),
    };
    builder.choice_lists();
    let items = builder.items(&survey.items, "", None, &mut Vec::new());
    let area = builder.area();
    let title = builder.title();
    let languages = builder.languages();
    if !builder.errors.is_empty() {
        return Err(builder.errors);
    }
    let version = survey.settings.version.clone().unwrap_or_else(|| {
        // A form without a version is its own version: the same content, the same name.
        hex::encode(&Sha256::digest(xform.as_bytes())[..4])
    });
    Ok(FormDefinition {
        kind: kind(&survey.id_string),
        version,
        title,
        languages,
        area,
        fields: builder.fields,
        repeats: builder.repeats,
        items,
        choices: builder.choices,
        xform,
    })
}

/// The form id as a name: other characters become `_`.
fn kind(id: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' };
    let name: String = id.trim().chars().map(keep).take(KIND_CHARS_MAX).collect();
    if name.starts_with(|c: char| c.is_alphabetic() || c == '_') { name } else { format!("_{name}") }
}

impl<'a> Builder<'a> {
    fn labels(&self, translated: &Translated) -> Labels {
        let mut labels = Labels::new();
        for (language, text) in translated {
            if language == DEFAULT_LANG {
                // An untagged column speaks the form's default language.
                let code = self.default_language.clone().unwrap_or_else(|| DEFAULT_LANG.to_owned());
                labels.entry(code).or_insert_with(|| text.clone());
            } else {
                labels.insert(language_code(language), text.clone());
            }
        }
        labels
    }

    fn media(&self, media: &BTreeMap<String, Translated>) -> BTreeMap<String, Labels> {
        media.iter().map(|(kind, files)| (kind.clone(), self.labels(files))).collect()
    }

    fn languages(&self) -> Vec<String> {
        let mut languages: Vec<String> = Vec::new();
        for language in self.survey.languages() {
            let code = if language == DEFAULT_LANG {
                self.default_language.clone().unwrap_or(language)
            } else {
                language_code(&language)
            };
            if !languages.contains(&code) {
                languages.push(code);
            }
        }
        languages
    }

    fn title(&self) -> Labels {
        let first = self.languages().into_iter().next().unwrap_or_else(|| DEFAULT_LANG.to_owned());
        let mut title = Labels::from([(first, self.survey.title.clone())]);
        for (key, text) in &self.mended.settings {
            if let Some(language) = key.strip_prefix("fb:title::") {
                title.insert(language_code(language), text.clone());
            }
        }
        title
    }

    fn area(&mut self) -> Area {
        let Some(word) = self.mended.settings.get("fb:area") else { return Area::General };
        Area::from_word(word.trim()).unwrap_or_else(|| {
            let words: Vec<&str> = Area::ALL.iter().map(|area| area.word()).collect();
            let error = not_allowed("settings", "fb:area", word).row(2).column("fb:area");
            self.errors.push(error.more(allowed(&words)));
            Area::General
        })
    }

    fn choice_lists(&mut self) {
        for list in &self.survey.choice_lists {
            let choices = list.choices.iter().map(|choice| Choice {
                name: choice.name.clone(),
                label: self.labels(&choice.label),
                media: self.media(&choice.media),
            });
            self.choices.insert(list.name.clone(), choices.collect());
        }
    }

    fn items(
        &mut self,
        items: &'a [Item],
        prefix: &str,
        repeat: Option<&str>,
        above: &mut Vec<&'a BTreeMap<String, String>>,
    ) -> Vec<SurveyItem> {
        let mut out = Vec::new();
        for item in items {
            match item {
                Item::Question(question) => {
                    if let Some(item) = self.question(question, prefix, repeat, above) {
                        out.push(SurveyItem::Question(item));
                    }
                }
                Item::Section(section) => {
                    let path = inner_prefix(section, prefix);
                    let shown_path = joined(prefix, &section.name);
                    let own = self.mended.extras.get(&section.row);
                    above.extend(own);
                    let inner = if section.kind == SectionKind::Repeat {
                        self.repeats.push((path.clone(), repeat.map(str::to_owned)));
                        self.items(&section.children, &path, Some(&path), above)
                    } else {
                        self.items(&section.children, &path, repeat, above)
                    };
                    if own.is_some() {
                        above.pop();
                    }
                    let (label, appearance) = (self.labels(&section.label), section.appearance.clone());
                    out.push(if section.kind == SectionKind::Repeat {
                        let counted = section.count.is_some();
                        SurveyItem::Repeat(RepeatItem { path, label, appearance, counted, items: inner })
                    } else {
                        SurveyItem::Group(GroupItem { path: shown_path, label, appearance, items: inner })
                    });
                }
            }
        }
        out
    }

    /// Adds the question's field; yields its item when a screen has something to show or to capture.
    fn question(
        &mut self,
        question: &'a Question,
        prefix: &str,
        repeat: Option<&str>,
        above: &[&'a BTreeMap<String, String>],
    ) -> Option<QuestionItem> {
        if matches!(question.qtype.as_str(), "xml-external" | "csv-external") {
            return None;
        }
        // rxform keeps the audit log among the record's meta data.
        let prefix = if question.qtype == "audit" { "meta" } else { prefix };
        let path = joined(prefix, &question.name);
        let mut cells = above.to_vec();
        // Questions that rxform makes beside a row (`…_other`) are not what the row's columns speak of.
        let row = self.mended.extras.get(&question.row).filter(|_| self.is_written(question));
        cells.extend(row);
        let own = Own { cells, row, at: question.row };
        let field = self.field(question, path.clone(), repeat, &own);
        let control = rxform::types::lookup(&question.qtype).and_then(|known| known.control_tag);
        let shown = question.select.is_some() || control.is_some();
        self.fields.push(field);
        if !shown {
            return None;
        }
        let appearance = question.appearance.clone();
        Some(QuestionItem {
            path,
            hint: self.labels(&question.hint),
            guidance: self.labels(&question.guidance_hint),
            appearance,
            parameters: question.parameters.clone(),
            media: self.media(&question.media),
            sheet_type: sheet_type(question),
            constraint_message: self.labels(&question.constraint_message),
            required_message: self.labels(&question.required_message),
        })
    }

    fn is_written(&self, question: &Question) -> bool {
        self.mended.names.get(&question.row).is_none_or(|name| *name == question.name || name.is_empty())
    }

    fn field(&mut self, question: &Question, path: String, repeat: Option<&str>, own: &Own) -> Field {
        let field_type = field_type(question);
        let calculated = question.trigger.is_none()
            && question.calculation.as_deref().is_some_and(|calculation| !is_stored(calculation));
        let mut errors = Vec::new();
        let field = Field {
            path,
            field_type,
            repeat: repeat.map(str::to_owned),
            merge: merge(field_type, own, &mut errors),
            sensitivity: sensitivity(own, &mut errors),
            writers: writers(own, &mut errors),
            check: check(own, &mut errors),
            identity: own.flag("fb:identity", &mut errors),
            list: own.flag("fb:list", &mut errors),
            search: own.flag("fb:search", &mut errors),
            calculated,
            choice_list: self.choice_list(question),
            label: self.labels(&question.label),
            unit: own.own("fb:unit").map(str::to_owned),
            occasion: own.flag("fb:occasion", &mut errors),
        };
        self.errors.append(&mut errors);
        if field_type == FieldType::Calculate && !calculated {
            // Made once and stored: an ordinary field that the app fills.
            return Field { field_type: FieldType::Meta, ..field };
        }
        field
    }

    fn choice_list(&mut self, question: &Question) -> Option<String> {
        let (_, list) = question.select.as_ref()?;
        if let (Some((base, extension)), false) = (question.select_from_file(), self.choices.contains_key(list)) {
            let (name, label) = if extension == "geojson" { ("id", "title") } else { ("name", "label") };
            let column =
                |key: &str, fallback: &str| question.parameters.get(key).cloned().unwrap_or(fallback.to_owned());
            if let Some(choices) = self.data.choices(base, &column("value", name), &column("label", label)) {
                self.choices.insert(list.clone(), choices);
            }
        }
        Some(list.clone())
    }
}

fn merge(field_type: FieldType, own: &Own, errors: &mut Vec<SheetError>) -> Merge {
    let is_set = field_type == FieldType::SelectMultiple;
    let wanted = match own.own("fb:merge").or_else(|| own.inherited("fb:merge")) {
        None => return if is_set { Merge::Set } else { Merge::Register },
        Some("register") => Merge::Register,
        Some("must-agree") => Merge::MustAgree,
        Some("set") => Merge::Set,
        Some("once") => Merge::Once,
        Some(other) => {
            errors.push(own.error("fb:merge", other, allowed(&["register", "must-agree", "set", "once"])));
            return Merge::Register;
        }
    };
    // A select_multiple is stored choice by choice, and nothing else is.
    if is_set {
        return Merge::Set;
    }
    if wanted == Merge::Set {
        errors.push(own.error("fb:merge", "set", FormFault::new(FaultKind::SetOfOne)));
        return Merge::Register;
    }
    wanted
}

fn sensitivity(own: &Own, errors: &mut Vec<SheetError>) -> Sensitivity {
    match own.inherited("fb:sensitivity") {
        Some("plain") => Sensitivity::Plain,
        None | Some("personal") => Sensitivity::Personal,
        Some("sensitive") => Sensitivity::Sensitive,
        Some(other) => {
            errors.push(own.error("fb:sensitivity", other, allowed(&["plain", "personal", "sensitive"])));
            Sensitivity::Sensitive
        }
    }
}

fn writers(own: &Own, errors: &mut Vec<SheetError>) -> Vec<Role> {
    let Some(cell) = own.inherited("fb:writers") else { return WRITERS.to_vec() };
    let mut roles = Vec::new();
    for word in cell.split([' ', ',', ';']).filter(|word| !word.is_empty()) {
        match Role::from_word(word) {
            Some(role) if !roles.contains(&role) => roles.push(role),
            Some(_) => {}
            None => {
                let words: Vec<&str> = Role::ALL.iter().map(|role| role.word()).collect();
                errors.push(own.error("fb:writers", word, allowed(&words)));
            }
        }
    }
    roles
}

fn check(own: &Own, errors: &mut Vec<SheetError>) -> Option<Check> {
    match own.own("fb:check")? {
        "id-number" => Some(Check::IdNumber),
        "credit-code" => Some(Check::CreditCode),
        "division" => Some(Check::Division),
        "phone" => Some(Check::Phone),
        other => {
            errors.push(own.error("fb:check", other, allowed(&["id-number", "credit-code", "division", "phone"])));
            None
        }
    }
}

/// Drawn or fixed at the save and stored.
fn is_stored(calculation: &str) -> bool {
    let bare: String = calculation.chars().filter(|c| !c.is_whitespace()).collect();
    ["random(", "uuid(", "once("].iter().any(|call| bare.contains(call))
}

fn field_type(question: &Question) -> FieldType {
    match (&question.select, question.qtype.as_str()) {
        (Some((SelectKind::One, _)), _) => FieldType::SelectOne,
        (Some((SelectKind::Multiple, _)), _) => FieldType::SelectMultiple,
        (Some((SelectKind::Rank, _)), _) => FieldType::Rank,
        (None, "integer" | "int" | "percentage") => FieldType::Integer,
        (None, "decimal") => FieldType::Decimal,
        (None, "range") => {
            let whole = |key: &str| question.parameters.get(key).is_none_or(|value| value.parse::<i64>().is_ok());
            if whole("start") && whole("step") { FieldType::Integer } else { FieldType::Decimal }
        }
        (None, "date" | "today" | "get today") => FieldType::Date,
        (None, "time") => FieldType::Time,
        (None, "datetime" | "dateTime" | "date time" | "start" | "start time" | "end" | "end time") => {
            FieldType::DateTime
        }
        (None, "geopoint" | "gps" | "location" | "start-geopoint" | "background-geopoint") => FieldType::Geopoint,
        (None, "geotrace") => FieldType::Geotrace,
        (None, "geoshape") => FieldType::Geoshape,
        (None, "photo" | "image" | "audio" | "video" | "file" | "osm" | "background-audio" | "audit") => {
            FieldType::Blob
        }
        (None, "barcode") => FieldType::Barcode,
        (None, "trigger" | "acknowledge") => FieldType::Acknowledge,
        (None, "calculate") => FieldType::Calculate,
        (None, "note") => FieldType::Note,
        (None, "text" | "string" | "phone number") => FieldType::Text,
        (None, _) => FieldType::Meta,
    }
}

/// The type as the XLSForm reference writes it.
fn sheet_type(question: &Question) -> String {
    let from_file = if question.select_from_file().is_some() { "_from_file" } else { "" };
    match &question.select {
        Some((SelectKind::One, list)) => format!("select_one{from_file} {list}"),
        Some((SelectKind::Multiple, list)) => format!("select_multiple{from_file} {list}"),
        Some((SelectKind::Rank, list)) => format!("rank {list}"),
        None => question.qtype.clone(),
    }
}
