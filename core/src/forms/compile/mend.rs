//! The one place where workbooks are mended for `rxform` 0.1: what it refuses though XLSForm allows it, what it drops,
//! and what would make it run too long. Before it, sheets are rewritten; after it, the parsed survey.
//!
//! | gap of rxform 0.1.4 | mended by |
//! |---|---|
//! | a workbook whose first sheet is not called `survey` | taking the first sheet with `type` and `name` columns |
//! | duplicate columns: the last one wins silently | refusing them |
//! | `&gt;` and the like written in expressions | writing the characters |
//! | spaces in headings (`constraint message`, `set form title`) | underscores |
//! | types `tel`, `osm LIST`, `q …`, `add … prompt using LIST` | the types that they mean |
//! | `select_one ${question}` (choices from a repeat) | a query that the logic runs |
//! | a default that is text with `${…}` in it | `concat(…)` |
//! | `required` and `readonly` that refer to answers | references written out |
//! | `readonly` of a group | the same on its questions |
//! | `search()` appearances | choices from the data file, filtered |
//! | `select_one_external` | the external choices as a lookup table |
//! | blank rows between choices that carry only a label | dropping them |
//! | loops and groups that multiply or nest without bound | refusing them |
//!
//! Columns and settings of our own (`bind::fb:…`, `fb:…`) are taken out here and read by [`super::build`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rxform::model::{Choice, ChoiceList, DEFAULT_LANG, Item, Question, SelectKind, Survey, Translated};
use rxform::xls::{Sheet, Workbook, sheet_from_rows};

use super::SheetError;
use super::sheets::{Rows, Source};
use crate::forms::faults::{FaultKind, FormFault};
use crate::forms::limits::{DEPTH_MAX, FIELDS_MAX};
use crate::forms::references;

/// Longest cell that is read.
const CELL_CHARS_MAX: usize = 32_000;

/// A mended workbook, and what was taken out of it.
pub(crate) struct Mended {
    pub workbook: Workbook,
    /// Our own columns by survey row: `fb:merge` → value.
    pub extras: BTreeMap<usize, BTreeMap<String, String>>,
    /// Our own settings.
    pub settings: BTreeMap<String, String>,
    /// The name cell of each survey row.
    pub names: BTreeMap<usize, String>,
    /// Rows whose choices are the answers of a repeat: the kind and the question.
    from_repeat: BTreeMap<usize, (SelectKind, String)>,
}

/// What a heading of the survey sheet means, without language.
fn meaning(header: &str) -> String {
    let lower = header.trim().to_lowercase();
    let bare = ["bind::", "bind:", "control::", "control:", "body::", "body:"]
        .iter()
        .find_map(|prefix| lower.strip_prefix(prefix))
        .unwrap_or(&lower);
    match bare.split("::").next().unwrap_or(bare).trim().replace(' ', "_").as_str() {
        "command" => "type".to_owned(),
        "tag" | "value" => "name".to_owned(),
        "relevance" => "relevant".to_owned(),
        "read_only" => "readonly".to_owned(),
        "calculate" => "calculation".to_owned(),
        "count" | "jr:count" => "repeat_count".to_owned(),
        other => other.to_owned(),
    }
}

const EXPRESSIONS: &[&str] = &[
    "relevant",
    "constraint",
    "calculation",
    "required",
    "readonly",
    "choice_filter",
    "repeat_count",
    "default",
    "trigger",
];
const SPACED: &[&str] = &[
    "constraint message",
    "required message",
    "guidance hint",
    "choice filter",
    "repeat count",
    "read only",
    "set form title",
    "set form id",
    "form title",
    "form id",
    "id string",
    "default language",
    "list name",
];

/// Rewrites the sheets of `source` for rxform.
pub(crate) fn workbook(source: &Source) -> Result<Mended, Vec<SheetError>> {
    let mut errors = Vec::new();
    let mut read = |name: &str, rows: Option<&Rows>| match rows.map(|rows| sheet(name, rows)) {
        Some(Ok(sheet)) => sheet,
        Some(Err(mut found)) => {
            errors.append(&mut found);
            (Sheet::default(), BTreeMap::new())
        }
        None => (Sheet::default(), BTreeMap::new()),
    };
    let survey_rows = survey_rows(source);
    let (mut survey, extras) = read("survey", survey_rows);
    let (mut choices, _) = read("choices", source.sheet("choices").or_else(|| source.sheet("choices and columns")));
    let (settings_sheet, own_settings) = read("settings", source.sheet("settings"));
    let (external_choices, _) = read("external_choices", source.sheet("external_choices"));
    let (entities, _) = read("entities", source.sheet("entities"));
    if survey_rows.is_none() {
        errors.push(SheetError::of_workbook(FaultKind::NoSurveySheet));
    }
    drop_unlisted(&mut choices);
    let from_repeat = types(&mut survey);
    let names = names(&survey);
    group_readonly(&mut survey);
    if let Err(error) = structure(&survey, &choices) {
        errors.push(error);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let settings = own_settings.into_values().next().unwrap_or_default();
    let workbook = Workbook { survey, choices, settings: settings_sheet, external_choices, entities };
    Ok(Mended { workbook, extras, settings, names, from_repeat })
}

/// The survey sheet: the one of that name, else the first with its columns (a workbook of one unnamed sheet).
fn survey_rows(source: &Source) -> Option<&Rows> {
    source.sheet("survey").or_else(|| {
        let looks_like = |rows: &&Rows| {
            let header = rows.iter().find(|row| row.iter().any(|cell| !cell.trim().is_empty()));
            let has = |name: &str| header.is_some_and(|row| row.iter().any(|cell| meaning(cell) == name));
            has("type") && has("name")
        };
        source.sheets.iter().map(|(_, rows)| rows).find(looks_like)
    })
}

type Extras = BTreeMap<usize, BTreeMap<String, String>>;

/// One sheet with headings set right, expressions unescaped, and our own columns apart.
fn sheet(name: &str, rows: &Rows) -> Result<(Sheet, Extras), Vec<SheetError>> {
    let Some(header_at) = rows.iter().position(|row| row.iter().any(|cell| !cell.trim().is_empty())) else {
        return Ok((Sheet::default(), Extras::new()));
    };
    let headers: Vec<String> = rows[header_at].iter().map(|cell| heading(cell)).collect();
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for header in headers.iter().filter(|header| !header.is_empty()) {
        if !seen.insert(header.to_lowercase()) {
            let error = SheetError::new(name, FormFault::new(FaultKind::ColumnTwice).with(header));
            errors.push(error.row(header_at + 1).column(header));
        }
    }
    let own = |header: &str| {
        let lower = header.to_lowercase();
        let rest = lower.strip_prefix("bind::").or_else(|| lower.strip_prefix("bind:")).unwrap_or(&lower);
        rest.starts_with("fb:").then(|| header[header.len() - rest.len()..].to_owned())
    };
    let mut extras = Extras::new();
    let mut cleaned: Rows = vec![Vec::new(); header_at];
    cleaned.push(headers.iter().map(|h| if own(h).is_some() { String::new() } else { h.clone() }).collect());
    for (at, row) in rows.iter().enumerate().skip(header_at + 1) {
        let mut cells = Vec::with_capacity(row.len());
        for (header, cell) in headers.iter().zip(row) {
            if cell.chars().count() > CELL_CHARS_MAX {
                let error = SheetError::new(name, FormFault::new(FaultKind::CellTooLong).with(CELL_CHARS_MAX));
                errors.push(error.row(at + 1).column(header));
            }
            if let (Some(key), false) = (own(header), cell.trim().is_empty()) {
                let key = key
                    .split_once("::")
                    .map_or(key.to_lowercase(), |(k, lang)| format!("{}::{lang}", k.to_lowercase()));
                extras.entry(at + 1).or_default().insert(key, cell.trim().to_owned());
            }
            let expression = EXPRESSIONS.contains(&meaning(header).as_str());
            cells.push(if expression { unescape(cell) } else { cell.clone() });
        }
        cleaned.push(cells);
    }
    if errors.is_empty() { Ok((sheet_from_rows(cleaned), extras)) } else { Err(errors) }
}

fn heading(cell: &str) -> String {
    let trimmed = cell.trim();
    let (base, rest) = trimmed.split_once("::").map_or((trimmed, None), |(base, rest)| (base, Some(rest)));
    let base = if SPACED.contains(&base.trim().to_lowercase().as_str()) {
        base.trim().replace(' ', "_")
    } else {
        base.trim().to_owned()
    };
    rest.map_or(base.clone(), |rest| format!("{base}::{}", rest.trim()))
}

fn unescape(cell: &str) -> String {
    let cell = cell.replace('\u{A0}', " ");
    if !cell.contains('&') {
        return cell;
    }
    let plain = cell.replace("&gt;", ">").replace("&lt;", "<").replace("&quot;", "\"").replace("&apos;", "'");
    plain.replace("&amp;", "&")
}

fn header_of(sheet: &Sheet, wanted: &str) -> Option<String> {
    sheet.headers.iter().find(|header| meaning(header) == wanted).cloned()
}

/// Rows of the choices sheet without a list: notes of the author.
fn drop_unlisted(choices: &mut Sheet) {
    if let Some(list) = header_of(choices, "list_name") {
        choices.rows.retain(|(_, row)| row.get(&list).is_some_and(|name| !name.trim().is_empty()));
    }
}

fn names(survey: &Sheet) -> BTreeMap<usize, String> {
    let Some(header) = header_of(survey, "name") else { return BTreeMap::new() };
    survey.rows.iter().filter_map(|(at, row)| Some((*at, row.get(&header)?.trim().to_owned()))).collect()
}

/// Writes types as rxform knows them; yields the rows whose choices come from a repeat.
fn types(survey: &mut Sheet) -> BTreeMap<usize, (SelectKind, String)> {
    let mut from_repeat = BTreeMap::new();
    let Some(header) = header_of(survey, "type") else { return from_repeat };
    for (at, row) in &mut survey.rows {
        let Some(cell) = row.get_mut(&header) else { continue };
        let words: Vec<&str> = cell.split_whitespace().collect();
        let joined = words.join(" ");
        let lower = joined.to_lowercase();
        if let (Some(start), true) = (joined.find("${"), lower.starts_with("select")) {
            let reference = joined[start + 2..].trim_end_matches('}').trim().to_owned();
            let multiple = lower.starts_with("select_multiple")
                || lower.starts_with("select multiple")
                || lower.contains("all that apply");
            from_repeat.insert(*at, (if multiple { SelectKind::Multiple } else { SelectKind::One }, reference));
            *cell = "text".to_owned();
            continue;
        }
        let list = |prefix: &str| joined.get(prefix.len()..).map(str::trim).unwrap_or_default().to_owned();
        let old = ["add select one prompt using ", "add select multiple prompt using "];
        *cell = match lower.as_str() {
            "tel" => "text".to_owned(),
            "time stamp" | "timestamp" => "dateTime".to_owned(),
            other if other.starts_with("osm ") => "osm".to_owned(),
            other if other.starts_with(old[0]) => format!("select_one {}", list(old[0])),
            other if other.starts_with(old[1]) => format!("select_multiple {}", list(old[1])),
            other if other.starts_with("q ") => list("q "),
            _ => joined,
        };
    }
    from_repeat
}

enum RowKind {
    Begin,
    Loop(String),
    End,
    Other,
}

fn row_kind(cell: &str) -> RowKind {
    let lower = cell.trim().to_lowercase().replace('_', " ");
    if let Some(list) = lower.strip_prefix("begin loop over ") {
        return RowKind::Loop(list.trim().to_owned());
    }
    if lower.starts_with("begin ") {
        RowKind::Begin
    } else if lower.starts_with("end ") {
        RowKind::End
    } else {
        RowKind::Other
    }
}

/// A group's `readonly` holds for its questions.
fn group_readonly(survey: &mut Sheet) {
    let (Some(kind), Some(header)) = (header_of(survey, "type"), header_of(survey, "readonly")) else { return };
    let mut open: Vec<Option<String>> = Vec::new();
    for (_, row) in &mut survey.rows {
        match row.get(&kind).map(|cell| row_kind(cell)) {
            Some(RowKind::Begin | RowKind::Loop(_)) => {
                let own = row.get(&header).cloned().or_else(|| open.last().cloned().flatten());
                open.push(own);
            }
            Some(RowKind::End) => {
                open.pop();
            }
            Some(RowKind::Other) => {
                if let (None, Some(Some(inherited))) = (row.get(&header), open.last()) {
                    row.insert(header.clone(), inherited.clone());
                }
            }
            None => {}
        }
    }
}

/// Refuses what would nest or multiply without bound.
fn structure(survey: &Sheet, choices: &Sheet) -> Result<(), SheetError> {
    let Some(kind) = header_of(survey, "type") else {
        return Err(SheetError::new("survey", FormFault::new(FaultKind::NoTypeColumn)));
    };
    let mut sizes: HashMap<String, usize> = HashMap::new();
    if let Some(list) = header_of(choices, "list_name") {
        for (_, row) in &choices.rows {
            let name = row.get(&list).map(|name| name.trim().to_lowercase().replace('_', " ")).unwrap_or_default();
            *sizes.entry(name).or_default() += 1;
        }
    }
    let (mut open, mut times, mut fields) = (Vec::new(), 1_usize, 0_usize);
    for (at, row) in &survey.rows {
        match row.get(&kind).map(|cell| row_kind(cell)) {
            Some(RowKind::Begin) => open.push(times),
            Some(RowKind::Loop(list)) => {
                open.push(times);
                times = times.saturating_mul(sizes.get(&list).copied().unwrap_or(1).max(1));
            }
            Some(RowKind::End) => times = open.pop().unwrap_or(1),
            Some(RowKind::Other) => fields = fields.saturating_add(times),
            None => {}
        }
        if open.len() > DEPTH_MAX / 2 {
            return Err(beyond(FaultKind::NestsTooDeep, DEPTH_MAX / 2, *at));
        }
        if fields > FIELDS_MAX {
            return Err(beyond(FaultKind::TooManyQuestions, FIELDS_MAX, *at));
        }
    }
    Ok(())
}

fn beyond(kind: FaultKind, limit: usize, row: usize) -> SheetError {
    SheetError::new("survey", FormFault::new(kind).with(limit)).row(row).column("type")
}

// -- after rxform's parser --------------------------------------------------------------------------------------------

/// Mends the parsed survey.
pub(crate) fn survey(survey: &mut Survey, mended: &Mended) -> Result<(), Vec<SheetError>> {
    let paths = survey.xpath_index();
    let lists: Vec<ChoiceList> = survey.choice_lists.clone();
    let mut items = std::mem::take(&mut survey.items);
    let outcome = each_question(&mut items, &mut |question| {
        for (column, cell) in [("required", &mut question.required), ("readonly", &mut question.readonly)] {
            let Some(cell) = cell else { continue };
            // rxform does not look at every column.
            if let Some(name) = unknown_name(cell, &paths) {
                return Err(unknown_reference(&name, question.row, column));
            }
            *cell = expand(cell, &paths);
        }
        if let Some(default) = question.default.as_mut().filter(|default| default.contains("${")) {
            *default = text_with_references(default, &paths);
        }
        if let Some((kind, reference)) = mended.from_repeat.get(&question.row) {
            choices_from_repeat(question, *kind, reference, &paths)?;
        }
        choices_by_search(question, &lists);
        Ok(())
    });
    survey.items = items;
    outcome.map_err(|error| vec![error])?;
    external_lists(survey);
    // Columns of choices become elements of the XForm.
    for (column, _) in survey.choice_lists.iter_mut().flat_map(|l| &mut l.choices).flat_map(|c| &mut c.extras) {
        *column = super::data::element_name(column);
    }
    Ok(())
}

fn each_question(
    items: &mut [Item],
    visit: &mut dyn FnMut(&mut Question) -> Result<(), SheetError>,
) -> Result<(), SheetError> {
    for item in items {
        match item {
            Item::Question(question) => visit(question)?,
            Item::Section(section) => each_question(&mut section.children, visit)?,
        }
    }
    Ok(())
}

/// `${name}` as the path that it means.
fn expand(cell: &str, paths: &BTreeMap<String, String>) -> String {
    references::replace(cell, |name| match paths.get(name.trim()) {
        Some(path) => format!(" {path} "),
        None => format!("${{{name}}}"),
    })
}

/// The first `${name}` that names nothing.
fn unknown_name(cell: &str, paths: &BTreeMap<String, String>) -> Option<String> {
    let mut unknown = None;
    references::replace(cell, |name| {
        if unknown.is_none() && !paths.contains_key(name.trim()) {
            unknown = Some(name.trim().to_owned());
        }
        String::new()
    });
    unknown
}

fn unknown_reference(name: &str, row: usize, column: &str) -> SheetError {
    SheetError::new("survey", FormFault::new(FaultKind::UnknownReference).with(name)).row(row).column(column)
}

/// A default like `${household}家` is text with answers in it, not an expression: written as `concat(…)`.
fn text_with_references(default: &str, paths: &BTreeMap<String, String>) -> String {
    if rxeval::parse(&expand(default, paths)).is_ok() {
        return default.to_owned();
    }
    let mut parts = Vec::new();
    let mut rest = default;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else { return default.to_owned() };
        parts.push(quoted(before));
        parts.push(Some(format!("${{{name}}}")));
        rest = tail;
    }
    parts.push(quoted(rest));
    format!("concat({})", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn quoted(text: &str) -> Option<String> {
    let mark = if text.contains('\'') { '"' } else { '\'' };
    (!text.is_empty()).then(|| format!("{mark}{}{mark}", text.replace(mark, "")))
}

/// `select_one ${member}`: the rows of the repeat that holds `member`, with an answer there, that pass the filter.
fn choices_from_repeat(
    question: &mut Question,
    kind: SelectKind,
    reference: &str,
    paths: &BTreeMap<String, String>,
) -> Result<(), SheetError> {
    let path = paths.get(reference).ok_or_else(|| unknown_reference(reference, question.row, "type"))?;
    let (repeat, name) = path.rsplit_once('/').unwrap_or(("", path));
    let filter = question.choice_filter.take().map(|filter| {
        // Inside the filter, `${age}` is the age in the row that is looked at.
        let within: BTreeMap<String, String> = paths
            .iter()
            .map(|(name, path)| match path.strip_prefix(&format!("{repeat}/")) {
                Some(inner) => (name.clone(), format!("./{inner}")),
                None => (name.clone(), path.clone()),
            })
            .collect();
        format!(" and ({})", expand(&filter, &within))
    });
    question.qtype = match kind {
        SelectKind::Multiple => "select all that apply".to_owned(),
        _ => "select one".to_owned(),
    };
    question.select = Some((kind, format!("${{{reference}}}")));
    let query = format!("{repeat}[./{name} != ''{}]", filter.unwrap_or_default());
    question.body_attrs.push(("query".to_owned(), query));
    question.body_attrs.push(("value".to_owned(), name.to_owned()));
    Ok(())
}

/// `search('file', 'matches', 'column', value)`: the rows of the data file, by the columns that the choice row names.
fn choices_by_search(question: &mut Question, lists: &[ChoiceList]) {
    let Some((kind, list)) = question.select.clone() else { return };
    let Some(appearance) = question.appearance.clone() else { return };
    let Some(start) = appearance.find("search(") else { return };
    let Some(end) = appearance.rfind(')') else { return };
    let args: Vec<String> = split_args(appearance.get(start + 7..end).unwrap_or_default())
        .into_iter()
        .map(|a| a.trim().to_owned())
        .collect();
    let text = |at: usize| args.get(at).map(|arg| arg.trim_matches(['\'', '"']).to_owned());
    let template = lists.iter().find(|candidate| candidate.name == list).and_then(|list| list.choices.first());
    let (Some(file), Some(template)) = (text(0), template) else { return };
    let mut filters = Vec::new();
    if let (Some(how), Some(column), Some(value)) = (text(1), text(2), args.get(3)) {
        filters.push(match how.as_str() {
            "contains" => format!("contains({column}, {value})"),
            "startswith" => format!("starts-with({column}, {value})"),
            "endswith" => format!("ends-with({column}, {value})"),
            _ => format!("{column} = {value}"),
        });
    }
    if let (Some(column), Some(value)) = (text(4), args.get(5)) {
        filters.push(format!("{column} = {value}"));
    }
    question.select = Some((kind, format!("{file}.csv")));
    question.parameters.insert("value".to_owned(), template.name.clone());
    if let Some(label) = template.label.values().next() {
        question.parameters.insert("label".to_owned(), label.clone());
    }
    if !filters.is_empty() {
        question.choice_filter = Some(filters.join(" and "));
    }
    let rest = format!("{}{}", &appearance[..start], appearance.get(end + 1..).unwrap_or_default());
    question.appearance = Some(rest.trim().to_owned()).filter(|rest| !rest.is_empty());
}

/// Splits at commas outside quotes and brackets.
fn split_args(text: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quote) = (vec![String::new()], 0_i32, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

/// The external_choices sheet as choice lists, so that they become lookup tables.
fn external_lists(survey: &mut Survey) {
    let Some(external) = &survey.external_choices else { return };
    let column = |wanted: &[&str]| external.headers.iter().position(|h| wanted.contains(&h.to_lowercase().as_str()));
    let (Some(list), Some(name)) = (column(&["list_name", "list name"]), column(&["name", "value"])) else { return };
    let mut lists: Vec<ChoiceList> = Vec::new();
    for row in &external.rows {
        let cell = |at: usize| row.get(at).map(|cell| cell.trim().to_owned()).unwrap_or_default();
        let (list, name) = (cell(list), cell(name));
        if list.is_empty() || name.is_empty() || survey.choice_lists.iter().any(|known| known.name == list) {
            continue;
        }
        let mut choice = Choice { name, label: Translated::new(), media: BTreeMap::new(), extras: Vec::new(), row: 0 };
        for (header, value) in external.headers.iter().zip(row).filter(|(_, value)| !value.trim().is_empty()) {
            match header.split_once("::") {
                Some(("label", language)) => {
                    choice.label.insert(language.trim().to_owned(), value.clone());
                }
                _ if header == "label" => {
                    choice.label.insert(DEFAULT_LANG.to_owned(), value.clone());
                }
                _ if matches!(header.as_str(), "list_name" | "list name" | "name" | "value") => {}
                _ => choice.extras.push((header.clone(), value.trim().to_owned())),
            }
        }
        match lists.iter_mut().find(|known| known.name == list) {
            Some(known) => known.choices.push(choice),
            None => lists.push(ChoiceList { name: list, choices: vec![choice] }),
        }
    }
    survey.choice_lists.extend(lists);
}
