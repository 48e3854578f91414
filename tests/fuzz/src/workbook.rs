//! A form as a workbook of a spreadsheet program: `compile` with the bytes of `.xlsx` and `.xls`.
//!
//! Input: flags, then either the file as it is, or a workbook's parts as pieces, which become a zip file: the
//! workbook, its relations, shared strings, and the sheets survey and choices.

use fieldbook_core::forms::compile;

use crate::bytes::{join, mutate_behind_flags, mutate_pieces, pieces};
use crate::cbor::words;
use crate::hostile::{Dice, scramble};
use crate::zip::zipped;
use crate::{Limits, Meter, Target, fixture, sheets};

/// The target. Compiling happens at a desk: it may take longer than what a phone does.
pub const TARGET: Target = Target {
    name: "workbook",
    limits: Limits { input_bytes: 48 * 1024, time_ms: 1_000, memory_bytes: 192 << 20, output_bytes: 8 << 20 },
    run,
    mutate,
    seeds,
};

const PARTS: u8 = 1;
const NAMES: [&str; 7] = [
    "[Content_Types].xml",
    "_rels/.rels",
    "xl/workbook.xml",
    "xl/_rels/workbook.xml.rels",
    "xl/sharedStrings.xml",
    "xl/worksheets/sheet1.xml",
    "xl/worksheets/sheet2.xml",
];

fn run(input: &[u8], meter: &mut Meter) {
    let Some((flags, rest)) = input.split_first() else { return };
    let file = if flags & PARTS == 0 {
        rest.to_vec()
    } else {
        let parts: Vec<(&str, Vec<u8>)> = NAMES.into_iter().zip(pieces(rest).into_iter().map(<[u8]>::to_vec)).collect();
        zipped(&parts)
    };
    if let Ok(form) = meter.measure(|| compile("form.xlsx", &file)) {
        sheets::filled_in(form, meter);
    }
}

fn mutate(input: &mut Vec<u8>, dice: &mut Dice) {
    let parts = input.first().is_some_and(|flags| flags & PARTS != 0);
    mutate_behind_flags(input, dice, |rest, dice| {
        let mut out = rest.to_vec();
        match (parts, dice.below(3)) {
            (true, _) => return mutate_pieces(rest, dice, mutate_part),
            (false, 0) => {
                // Numbers of four bytes are sizes and places in both formats.
                if out.len() >= 4 {
                    let at = dice.below(out.len() - 3);
                    let edge = [0, 1, u32::MAX, 0x7fff_ffff, 0xffff_fffe, 512, 1 << 20][dice.below(7)];
                    out.splice(at..at + 4, edge.to_le_bytes());
                }
            }
            _ => scramble(&mut out, dice),
        }
        out
    });
}

/// A place, a number, a tag or a text of the XML changes.
fn mutate_part(part: &mut Vec<u8>, dice: &mut Dice) {
    let spots: Vec<usize> =
        part.iter().enumerate().filter(|(_, byte)| matches!(byte, b'"' | b'>')).map(|(at, _)| at + 1).collect();
    if spots.is_empty() || dice.below(6) == 0 {
        scramble(part, dice);
        return;
    }
    let at = spots[dice.below(spots.len())];
    let end = part[at..].iter().position(|byte| matches!(byte, b'"' | b'<')).map_or(part.len(), |length| at + length);
    let mut piece = part[at..end].to_vec();
    match dice.below(6) {
        0 => piece = REFERENCES[dice.below(REFERENCES.len())].into(),
        1 => piece.extend_from_slice(b"<row r=\"1048576\"><c r=\"XFD1048576\"><v>1</v></c></row>"),
        _ => words(&mut piece, dice),
    }
    part.splice(at..end, piece);
}

const REFERENCES: &[&str] = &[
    "A1",
    "A2",
    "B9",
    "XFD1",
    "A1048576",
    "XFD1048576",
    "ZZZZ9",
    "A0",
    "A1:XFD1048576",
    "A99999999999",
    "s",
    "inlineStr",
    "str",
    "b",
    "e",
    "d",
    "n",
    "-1",
    "0",
    "4294967295",
    "worksheets/sheet1.xml",
    "../../x",
    "&#0;",
    "&#x41;",
    "&lol;",
    "1e999",
];

fn xml(rows: &str) -> String {
    let mut out = "<worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><dimension ref=\"A1:M30\"/><sheetData>".to_owned();
    for (row, line) in rows.lines().enumerate() {
        out.push_str(&format!("<row r=\"{}\">", row + 1));
        for (column, cell) in line.split(',').enumerate().filter(|(_, cell)| !cell.is_empty()) {
            let name = (b'A' + (column % 26) as u8) as char;
            let text = cell.replace('&', "&amp;").replace('<', "&lt;");
            out.push_str(&format!("<c r=\"{name}{}\" t=\"inlineStr\"><is><t>{text}</t></is></c>", row + 1));
        }
        out.push_str("</row>");
    }
    out + "</sheetData></worksheet>"
}

fn parts(survey: &str, choices: &str) -> Vec<Vec<u8>> {
    let types = "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>";
    let sheet = |name: &str, id: u8| format!("<sheet name=\"{name}\" sheetId=\"{id}\" r:id=\"rId{id}\"/>");
    let main = "http://schemas.openxmlformats.org";
    let root = format!(
        "<Relationships xmlns=\"{main}/package/2006/relationships\"><Relationship Id=\"rId1\" Type=\"{main}/officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
    );
    let workbook = format!(
        "<workbook xmlns=\"{main}/spreadsheetml/2006/main\" xmlns:r=\"{main}/officeDocument/2006/relationships\"><sheets>{}{}</sheets></workbook>",
        sheet("survey", 1),
        sheet("choices", 2)
    );
    let relation = |id: u8| {
        format!(
            "<Relationship Id=\"rId{id}\" Type=\"{main}/officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet{id}.xml\"/>"
        )
    };
    let relations = format!(
        "<Relationships xmlns=\"{main}/package/2006/relationships\">{}{}</Relationships>",
        relation(1),
        relation(2)
    );
    let strings = format!("<sst xmlns=\"{main}/spreadsheetml/2006/main\"><si><t>a</t></si></sst>");
    [types.to_owned(), root, workbook, relations, strings, xml(survey), xml(choices)].map(String::into_bytes).to_vec()
}

fn seeds() -> Vec<Vec<u8>> {
    let small = "type,name,label\ntext,name,Name\nselect_one yes_no,poor,Poor\n";
    let mut seeds = Vec::new();
    for survey in [small, fixture::SURVEY] {
        let parts = parts(survey, fixture::CHOICES);
        seeds.push([vec![PARTS], join(&parts)].concat());
        let named: Vec<(&str, Vec<u8>)> = NAMES.into_iter().zip(parts).collect();
        seeds.push([vec![0], zipped(&named)].concat());
    }
    let xls = include_bytes!("../../fixtures/xlsforms/safety-cup.xls");
    seeds.push([&[0][..], xls].concat());
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_a_workbook() {
        let small = "type,name,label\ntext,name,Name\nselect_one yes_no,poor,Poor\n";
        let named: Vec<(&str, Vec<u8>)> = NAMES.into_iter().zip(parts(small, fixture::CHOICES)).collect();
        let form = compile("form.xlsx", &zipped(&named)).unwrap();
        assert_eq!(form.definition().fields.len(), 2);
    }
}
