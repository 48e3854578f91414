//! Data files that a form brings (`select_one_from_file`, `csv-external`, `pulldata()`): read once, when the form is
//! compiled, and carried inside it as lookup tables; phones need no files beside the form.

use std::collections::BTreeMap;

use rxeval::Instance;
use rxform::model::Survey;
use serde_json::Value as Json;

use super::SheetError;
use super::sheets::{Source, csv_rows};
use crate::forms::definition::{Choice, Labels};
use crate::forms::faults::{FaultKind, FormFault};

/// Rows of one data file.
const DATA_ROWS_MAX: usize = 50_000;

/// One data file as a table.
struct Table {
    /// Column names and cells, row by row.
    items: Vec<Vec<(String, String)>>,
}

/// The data files of a form, by instance id.
pub(crate) struct Files {
    tables: BTreeMap<String, Table>,
    /// Files that are not there.
    pub warnings: Vec<SheetError>,
}

impl Files {
    /// Reads what the survey asks for.
    pub(crate) fn read(source: &Source, survey: &Survey) -> Result<Files, Vec<SheetError>> {
        let mut files = Files { tables: BTreeMap::new(), warnings: Vec::new() };
        let mut errors = Vec::new();
        for Wanted { id, candidates, row, column } in wanted(survey) {
            if files.tables.contains_key(&id) {
                continue;
            }
            let mut found = None;
            for name in &candidates {
                match source.file(name) {
                    Ok(Some(bytes)) => found = found.or(Some((name.clone(), bytes))),
                    Ok(None) => {}
                    Err(fault) => errors.push(unusable(name, fault).row(row).column(column)),
                }
            }
            match found.map(|(name, bytes)| (read_table(&name, &bytes), name)) {
                Some((Ok(table), _)) => {
                    files.tables.insert(id, table);
                }
                Some((Err(fault), name)) => errors.push(unusable(&name, fault).row(row).column(column)),
                None => {
                    let fault = FormFault::new(FaultKind::DataFileMissing).with(candidates.join(" / "));
                    files.warnings.push(SheetError::new("survey", fault).row(row).column(column));
                }
            }
        }
        if errors.is_empty() { Ok(files) } else { Err(errors) }
    }

    /// Puts the tables into the XForm, in place of the references to files.
    pub(crate) fn embed(&self, xform: String) -> String {
        let mut out = String::with_capacity(xform.len());
        for line in xform.split_inclusive('\n') {
            let trimmed = line.trim();
            let id = trimmed
                .strip_prefix("<instance id=\"")
                .filter(|rest| rest.contains(" src=\"") && rest.ends_with("/>"))
                .and_then(|rest| rest.split('"').next());
            match id.and_then(|id| self.tables.get(id).map(|table| (id, table))) {
                Some((id, table)) => write_table(&mut out, id, table),
                None => out.push_str(line),
            }
        }
        out
    }

    /// The choices of `select_…_from_file`, by the columns that hold names and labels; `None` when the file is missing.
    pub(crate) fn choices(&self, id: &str, name: &str, label: &str) -> Option<Vec<Choice>> {
        let table = self.tables.get(id)?;
        let cell = |item: &[(String, String)], column: &str| {
            item.iter().find(|(key, _)| key == column).map(|(_, value)| value.clone())
        };
        let choice = |item: &Vec<(String, String)>| {
            let name = cell(item, name)?;
            let label = cell(item, label).unwrap_or_else(|| name.clone());
            Some(Choice { name, label: Labels::from([("default".to_owned(), label)]), media: BTreeMap::new() })
        };
        Some(table.items.iter().filter_map(choice).collect())
    }
}

/// A data file that the survey refers to.
struct Wanted {
    /// Instance id.
    id: String,
    /// Names of files to look for.
    candidates: Vec<String>,
    /// Row and column of the sheet.
    row: usize,
    column: &'static str,
}

/// What the survey refers to.
fn wanted(survey: &Survey) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for (_, question) in survey.walk() {
        let row = question.row;
        let mut add = |id: &str, candidates, column| wanted.push(Wanted { id: id.to_owned(), candidates, row, column });
        if let (Some((base, _)), Some((_, file))) = (question.select_from_file(), &question.select) {
            add(base, vec![file.clone()], "type");
        }
        match question.qtype.as_str() {
            "csv-external" => add(&question.name, vec![format!("{}.csv", question.name)], "type"),
            "xml-external" => {
                let names = vec![format!("{}.xml", question.name), format!("{}.geojson", question.name)];
                add(&question.name, names, "type");
            }
            _ => {}
        }
        let expressions = [
            ("calculation", &question.calculation),
            ("constraint", &question.constraint),
            ("relevant", &question.relevant),
            ("required", &question.required),
            ("choice_filter", &question.choice_filter),
            ("default", &question.default),
        ];
        for (column, expression) in expressions {
            let expression = expression.as_deref().unwrap_or_default();
            for (at, _) in expression.match_indices("pulldata(") {
                let rest = expression.get(at + 9..).unwrap_or_default();
                let id = rest.split([',', ')']).next().unwrap_or_default().trim().trim_matches(['\'', '"']).trim();
                if !id.is_empty() {
                    add(id, vec![format!("{id}.csv")], column);
                }
            }
        }
    }
    wanted
}

fn unusable(name: &str, why: FormFault) -> SheetError {
    SheetError::new("survey", FormFault::new(FaultKind::DataFile).with(name)).more(why)
}

fn read_table(name: &str, bytes: &[u8]) -> Result<Table, FormFault> {
    let table = match name.rsplit('.').next() {
        Some("csv") => csv_table(bytes)?,
        Some("geojson") => geojson_table(bytes)?,
        _ => xml_table(bytes)?,
    };
    if table.items.len() > DATA_ROWS_MAX {
        return Err(FormFault::new(FaultKind::DataRows).with(DATA_ROWS_MAX));
    }
    Ok(table)
}

fn csv_table(bytes: &[u8]) -> Result<Table, FormFault> {
    let rows = csv_rows("", bytes).map_err(|error| error.fault)?;
    let mut rows = rows.into_iter().filter(|row| !row.is_empty());
    let columns: Vec<String> = rows.next().unwrap_or_default().iter().map(|cell| element_name(cell)).collect();
    let items = rows.map(|row| columns.iter().cloned().zip(row).filter(|(_, cell)| !cell.is_empty()).collect());
    Ok(Table { items: items.collect() })
}

/// A heading as the name of an XML element.
pub(crate) fn element_name(text: &str) -> String {
    let name: String = text
        .trim()
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' })
        .collect();
    if name.starts_with(|c: char| c.is_alphabetic() || c == '_') { name } else { format!("_{name}") }
}

/// `<root><item>…` of any names, one level of cells.
fn xml_table(bytes: &[u8]) -> Result<Table, FormFault> {
    let no_xml = |why: String| FormFault::new(FaultKind::NotXml).with(why);
    let text = std::str::from_utf8(bytes).map_err(|_| FormFault::new(FaultKind::NotUtf8))?;
    let document = Instance::from_xml(text.trim_start_matches('\u{FEFF}')).map_err(no_xml)?;
    let root = document.root().ok_or_else(|| no_xml("no root element".to_owned()))?;
    let cells = |item| {
        let cells = document.children(item).into_iter();
        cells.map(|cell| (document.node(cell).name.clone(), document.string_value(cell).trim().to_owned())).collect()
    };
    Ok(Table { items: document.children(root).into_iter().map(cells).collect() })
}

/// Features as rows: `id`, the properties, and `geometry` (points as `latitude longitude`, lines joined by `;`).
fn geojson_table(bytes: &[u8]) -> Result<Table, FormFault> {
    let no_geojson = |why: &dyn std::fmt::Display| FormFault::new(FaultKind::NotGeoJson).with(why);
    let json: Json = serde_json::from_slice(bytes).map_err(|error| no_geojson(&error))?;
    let features = json.get("features").and_then(Json::as_array).ok_or_else(|| no_geojson(&"features"))?;
    let mut items = Vec::new();
    for feature in features {
        let mut item = Vec::new();
        let text = |value: &Json| match value {
            Json::String(text) => text.clone(),
            Json::Null => String::new(),
            other => other.to_string(),
        };
        let properties = feature.get("properties").and_then(Json::as_object);
        let id = feature.get("id").or_else(|| properties.and_then(|p| p.get("id"))).map(text).unwrap_or_default();
        item.push(("id".to_owned(), id));
        for (key, value) in properties.into_iter().flatten().filter(|(key, _)| *key != "id") {
            item.push((element_name(key), text(value)));
        }
        if let Some(coordinates) = feature.get("geometry").and_then(|geometry| geometry.get("coordinates")) {
            let mut points = Vec::new();
            positions(coordinates, &mut points, 0);
            item.push(("geometry".to_owned(), points.join("; ")));
        }
        items.push(item);
    }
    Ok(Table { items })
}

fn positions(coordinates: &Json, points: &mut Vec<String>, depth: usize) {
    let Some(list) = coordinates.as_array().filter(|_| depth < 4) else { return };
    match (list.first().and_then(Json::as_f64), list.get(1).and_then(Json::as_f64)) {
        (Some(longitude), Some(latitude)) => points.push(format!("{latitude} {longitude} 0 0")),
        _ => list.iter().for_each(|inner| positions(inner, points, depth + 1)),
    }
}

fn write_table(out: &mut String, id: &str, table: &Table) {
    use rxform::xmlwriter::{escape_attr, escape_text};
    out.push_str(&format!("<instance id=\"{}\"><root>\n", escape_attr(id)));
    for item in &table.items {
        out.push_str("<item>");
        for (column, cell) in item {
            out.push_str(&format!("<{column}>{}</{column}>", escape_text(cell)));
        }
        out.push_str("</item>\n");
    }
    out.push_str("</root></instance>\n");
}
