//! A form as CSV sheets: `compile_sheets`, and a record filled in with what comes of it.
//!
//! Input: the sheets survey, choices, settings, one after the other, with the byte 0x1e between.

use std::sync::Arc;

use fieldbook_core::forms::{Form, FormSession, Values, compile_sheets};

use crate::cbor::words;
use crate::hostile::Dice;
use crate::{Limits, Meter, Target, fixture, forms};

/// The target. Compiling happens at a desk: it may take longer than what a phone does.
pub const TARGET: Target = Target {
    name: "sheets",
    limits: Limits { input_bytes: 16 * 1024, time_ms: 1_000, memory_bytes: 128 << 20, output_bytes: 8 << 20 },
    run,
    mutate,
    seeds,
};

const SEPARATOR: u8 = 0x1e;
/// Types that a survey may name.
const TYPES: &[&str] = &[
    "text",
    "integer",
    "decimal",
    "date",
    "time",
    "dateTime",
    "select_one yes_no",
    "select_multiple needs",
    "rank needs",
    "geopoint",
    "geotrace",
    "geoshape",
    "image",
    "barcode",
    "range",
    "note",
    "calculate",
    "hidden",
    "begin_group",
    "end_group",
    "begin_repeat",
    "end_repeat",
    "begin repeat",
    "start",
    "end",
    "today",
    "audit",
    "acknowledge",
    "select_one_from_file a.csv",
    "select_one ${member}",
    "csv-external",
    "xml-external",
    "file",
    "deviceid",
];
/// Headings of its columns.
const HEADINGS: &[&str] = &[
    "type",
    "name",
    "label",
    "label::en",
    "hint",
    "required",
    "relevant",
    "constraint",
    "calculation",
    "repeat_count",
    "appearance",
    "parameters",
    "default",
    "choice_filter",
    "trigger",
    "readonly",
    "bind::fb:merge",
    "bind::fb:check",
    "bind::fb:writers",
    "bind::fb:identity",
    "body::x",
    "instance::y",
    "list_name",
    "media::image",
    "form_id",
    "version",
];

/// The texts of the three sheets.
pub fn texts(input: &[u8]) -> Vec<String> {
    input.split(|byte| *byte == SEPARATOR).take(3).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

fn run(input: &[u8], meter: &mut Meter) {
    let texts = texts(input);
    let files: Vec<(&str, &str)> =
        ["survey.csv", "choices.csv", "settings.csv"].into_iter().zip(texts.iter().map(String::as_str)).collect();
    if let Ok(form) = meter.measure(|| compile_sheets("form", &files)) {
        filled_in(form, meter);
    }
}

/// A compiled form is what a phone can read, and its logic runs.
pub fn filled_in(form: Form, meter: &mut Meter) {
    let bytes = form.to_bytes();
    meter.output(bytes.len());
    assert!(Form::from_bytes(&bytes).is_ok(), "a phone cannot read a form that was compiled");
    meter.measure(|| {
        let session = FormSession::new(Arc::new(form), Values::default(), fixture::time(), "zh-Hans");
        (session.evaluation(), session.questions())
    });
}

/// One cell, row or sheet changes.
fn mutate(input: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(3) {
        let mut sheets: Vec<Vec<u8>> = input.split(|byte| *byte == SEPARATOR).map(<[u8]>::to_vec).collect();
        let which = if dice.below(3) == 0 { dice.below(sheets.len()) } else { 0 };
        let mut lines: Vec<Vec<u8>> = sheets[which].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let at = dice.below(lines.len());
        match dice.below(10) {
            0 => drop(lines.remove(at)),
            1 => {
                let copy = lines[at].clone();
                lines.insert(at, copy);
            }
            2 => {
                let other = dice.below(lines.len());
                lines.swap(at, other);
            }
            3 => {
                // A question of any type.
                let line = format!("{},q{},L", TYPES[dice.below(TYPES.len())], dice.below(30));
                lines.insert(at, line.into_bytes());
            }
            _ => change_cell(&mut lines, at, dice),
        }
        sheets[which] = lines.join(&b'\n');
        *input = sheets.join(&SEPARATOR);
    }
}

fn change_cell(lines: &mut [Vec<u8>], at: usize, dice: &mut Dice) {
    let mut cells: Vec<Vec<u8>> = lines[at].split(|byte| *byte == b',').map(<[u8]>::to_vec).collect();
    let cell = dice.below(cells.len());
    match dice.below(8) {
        0 if at == 0 => cells[cell] = HEADINGS[dice.below(HEADINGS.len())].into(),
        0 => cells[cell] = TYPES[dice.below(TYPES.len())].into(),
        1 => cells.insert(cell, Vec::new()),
        2 => drop(cells.remove(cell)),
        3 => cells[cell] = format!("${{q{}}}", dice.below(30)).into_bytes(),
        _ => words(&mut cells[cell], dice),
    }
    lines[at] = cells.join(&b',');
}

fn seeds() -> Vec<Vec<u8>> {
    let join = |survey: &str, choices: &str, settings: &str| {
        [survey.as_bytes(), choices.as_bytes(), settings.as_bytes()].join(&SEPARATOR)
    };
    let nested: String = (0..60).map(|n| format!("begin_group,g{n},G\n")).collect();
    let closed: String = (0..60).map(|_| "end_group,,\n").collect();
    vec![
        join(fixture::SURVEY, fixture::CHOICES, fixture::SETTINGS),
        join("type,name,label\ntext,name,Name\n", "", ""),
        join(&forms::doubling(40), "", ""),
        join(&format!("type,name,label\n{nested}text,name,Name\n{closed}"), "", ""),
    ]
}
