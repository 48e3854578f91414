//! What a zip holds, looked at before a reader of workbooks inflates it.
//!
//! A zip's directory may claim any size. Each entry is inflated once and thrown away, and counted while it is: a reader that
//! keeps shared strings in memory is then never led beyond the limit.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::SheetError;
use super::sheets::{FILE_BYTES_MAX, unreadable};
use crate::forms::faults::{FaultKind, FormFault};

/// Bytes of all entries together when inflated.
const INFLATED_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Entries of a zip.
const ENTRIES_MAX: usize = 2_000;
/// What every `.xlsx` holds.
const WORKBOOK_ENTRY: &str = "[Content_Types].xml";
/// The sheet that a zip of CSV sheets must have.
const SURVEY_ENTRY: &str = "survey.csv";

/// What a zip turns out to be.
pub(super) enum Archive {
    /// A workbook, or nothing that is known.
    Workbook,
    /// CSV sheets and data files by name, whatever folder they are in.
    Sheets(BTreeMap<String, Vec<u8>>),
}

fn inflates() -> SheetError {
    SheetError::of_workbook(FaultKind::WorkbookInflates)
}

fn file_name(entry: &str) -> &str {
    entry.rsplit(['/', '\\']).next().unwrap_or(entry)
}

/// Looks into a zip.
pub(super) fn look(bytes: &[u8]) -> Result<Archive, SheetError> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)?;
    if archive.len() > ENTRIES_MAX {
        return Err(inflates());
    }
    let names: Vec<String> = archive.file_names().map(str::to_owned).collect();
    let is_sheets = !names.iter().any(|name| name == WORKBOOK_ENTRY)
        && names.iter().any(|name| file_name(name).eq_ignore_ascii_case(SURVEY_ENTRY));
    let mut files = BTreeMap::new();
    let mut left = INFLATED_BYTES_MAX;
    for at in 0..archive.len() {
        let entry = archive.by_index(at).map_err(unreadable)?;
        let name = file_name(entry.name()).to_owned();
        let is_folder = entry.is_dir();
        let (count, content) = inflated(entry, left, is_sheets && !is_folder)?;
        left -= count;
        if is_sheets && !is_folder {
            if count > FILE_BYTES_MAX {
                let fault = FormFault::new(FaultKind::FileTooLarge).with(name).with(FILE_BYTES_MAX);
                return Err(SheetError::new("", fault));
            }
            // macOS adds a folder of its own with files of the same names.
            if !names.get(at).is_some_and(|path| path.starts_with("__MACOSX")) {
                files.entry(name).or_insert(content);
            }
        }
    }
    Ok(if is_sheets { Archive::Sheets(files) } else { Archive::Workbook })
}

/// Inflates an entry; what it counts is at most `left`.
fn inflated(entry: impl Read, left: u64, keep: bool) -> Result<(u64, Vec<u8>), SheetError> {
    let (mut entry, mut content) = (entry.take(left + 1), Vec::new());
    let count = if keep {
        entry.read_to_end(&mut content).map(|count| count as u64)
    } else {
        std::io::copy(&mut entry, &mut std::io::sink())
    };
    let count = count.map_err(unreadable)?;
    if count > left { Err(inflates()) } else { Ok((count, content)) }
}
