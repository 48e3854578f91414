//! Reads workbooks: `.xlsx` and `.xls` through calamine, folders of CSV sheets, and the data files beside them; within
//! limits, so that a hostile file costs neither memory nor time.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use calamine::{Data, Reader, Xls, Xlsx};

use super::SheetError;
use super::archive::{self, Archive};
use super::xls::{self, Refused};
use crate::forms::faults::{FaultKind, FormFault};

/// Bytes of a workbook or of one CSV file.
pub(crate) const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Rows of a sheet.
const SHEET_ROWS_MAX: usize = 60_000;
/// Columns of a sheet.
const SHEET_COLUMNS_MAX: usize = 500;
/// Characters of all cells of a workbook together.
const SHEET_CHARS_MAX: usize = 16 * 1024 * 1024;
/// Sheets that are read.
const SHEETS_MAX: usize = 50;

/// The sheets that mean something, as CSV files are named.
const SHEETS: [&str; 5] = ["survey", "choices", "settings", "external_choices", "entities"];

/// A sheet as rows of cells; row `n` of the sheet is at `n - 1`.
pub(crate) type Rows = Vec<Vec<String>>;

/// A workbook as it was found: sheets by name, and where its data files are.
pub(crate) struct Source {
    /// File stem or folder name.
    pub name: String,
    /// Sheets in order, names as written.
    pub sheets: Vec<(String, Rows)>,
    files: BTreeMap<String, Vec<u8>>,
    folders: Vec<PathBuf>,
}

fn too_large(sheet: &str) -> SheetError {
    let fault = FormFault::new(FaultKind::SheetTooLarge).with(SHEET_ROWS_MAX).with(SHEET_COLUMNS_MAX);
    SheetError::new(sheet, fault)
}

fn stem(name: &str) -> String {
    Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or("form").to_owned()
}

impl Source {
    /// Reads a workbook, or a folder of CSV sheets.
    pub(crate) fn from_path(path: &Path) -> Result<Source, SheetError> {
        let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
        let name = stem.and_then(|stem| stem.to_str()).unwrap_or("form").to_owned();
        if path.is_dir() {
            return Self::from_folder(path, name);
        }
        let bytes = read_limited(path).map_err(|fault| SheetError::new("", fault))?;
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let mut source = Self::from_bytes(&name, &bytes)?;
        source.name = name;
        // ODK's convention for files that belong to a form.
        source.folders = vec![folder.join(format!("{}-media", source.name)), folder];
        Ok(source)
    }

    fn from_folder(path: &Path, name: String) -> Result<Source, SheetError> {
        let mut source = Source { name, sheets: Vec::new(), files: BTreeMap::new(), folders: vec![path.to_path_buf()] };
        for sheet in SHEETS {
            let file = path.join(format!("{sheet}.csv"));
            if file.is_file() {
                let bytes = read_limited(&file).map_err(|fault| SheetError::new(sheet, fault))?;
                source.sheets.push((sheet.to_owned(), csv_rows(sheet, &bytes)?));
            }
        }
        if source.sheets.is_empty() {
            let fault = FormFault::new(FaultKind::NoSurveyFile).with(path.display());
            return Err(SheetError::new("", fault));
        }
        Ok(source)
    }

    /// Reads a workbook from bytes; `name` is its file name.
    pub(crate) fn from_bytes(name: &str, bytes: &[u8]) -> Result<Source, SheetError> {
        if bytes.len() as u64 > FILE_BYTES_MAX {
            let fault = FormFault::new(FaultKind::FileTooLarge).with(name).with(FILE_BYTES_MAX);
            return Err(SheetError::new("", fault));
        }
        let sheets = match bytes {
            [b'P', b'K', ..] => match archive::look(bytes)? {
                Archive::Workbook => xlsx_sheets(bytes)?,
                Archive::Sheets(files) => return Self::from_files(name, files),
            },
            [0xD0, 0xCF, 0x11, 0xE0, ..] => xls_sheets(bytes)?,
            _ => return Err(SheetError::of_workbook(FaultKind::NotAWorkbook)),
        };
        Ok(Source { name: stem(name), sheets, files: BTreeMap::new(), folders: Vec::new() })
    }

    /// CSV sheets, and the data files beside them.
    fn from_files(name: &str, files: BTreeMap<String, Vec<u8>>) -> Result<Source, SheetError> {
        let mut source = Source { name: stem(name), sheets: Vec::new(), files, folders: Vec::new() };
        for sheet in SHEETS {
            let file = format!("{sheet}.csv");
            if let Some((_, bytes)) = source.files.iter().find(|(name, _)| name.eq_ignore_ascii_case(&file)) {
                source.sheets.push((sheet.to_owned(), csv_rows(sheet, bytes)?));
            }
        }
        Ok(source)
    }

    /// CSV sheets and data files from texts.
    pub(crate) fn from_texts(name: &str, files: &[(&str, &str)]) -> Result<Source, SheetError> {
        let mut source =
            Source { name: name.to_owned(), sheets: Vec::new(), files: BTreeMap::new(), folders: Vec::new() };
        for (file, text) in files {
            if let Some(sheet) = file.strip_suffix(".csv") {
                source.sheets.push((sheet.to_owned(), csv_rows(sheet, text.as_bytes())?));
            }
            source.files.insert((*file).to_owned(), text.as_bytes().to_vec());
        }
        Ok(source)
    }

    /// The rows of the sheet called `name`, whatever its case.
    pub(crate) fn sheet(&self, name: &str) -> Option<&Rows> {
        self.sheets.iter().find(|(sheet, _)| sheet.trim().eq_ignore_ascii_case(name)).map(|(_, rows)| rows)
    }

    /// A data file that belongs to the form, if it is there.
    pub(crate) fn file(&self, name: &str) -> Result<Option<Vec<u8>>, FormFault> {
        if let Some(bytes) = self.files.get(name) {
            return Ok(Some(bytes.clone()));
        }
        // A name that leads out of the folder is no file of the form.
        if name.contains(['/', '\\']) || name.starts_with('.') {
            return Ok(None);
        }
        for folder in &self.folders {
            let path = folder.join(name);
            if path.is_file() {
                return read_limited(&path).map(Some);
            }
        }
        Ok(None)
    }
}

fn read_limited(path: &Path) -> Result<Vec<u8>, FormFault> {
    let fault = |kind| FormFault::new(kind).with(path.display());
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => fault(FaultKind::FileMissing),
        _ => fault(FaultKind::FileUnreadable).with(error),
    };
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(fault(FaultKind::FileTooLarge).with(FILE_BYTES_MAX));
    }
    std::fs::read(path).map_err(failed)
}

/// Rows of a CSV text; a byte-order mark is skipped, and rows keep their line numbers.
pub(crate) fn csv_rows(sheet: &str, bytes: &[u8]) -> Result<Rows, SheetError> {
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(too_large(sheet));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| SheetError::new(sheet, FormFault::new(FaultKind::NotUtf8)))?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut rows = Rows::new();
    for record in reader.records() {
        let record = record.map_err(|error| SheetError::new(sheet, FormFault::new(FaultKind::NotCsv).with(error)))?;
        let line = record.position().map_or(rows.len(), |position| usize::try_from(position.line()).unwrap_or(0));
        while rows.len() + 1 < line && rows.len() < SHEET_ROWS_MAX {
            rows.push(Vec::new());
        }
        if rows.len() >= SHEET_ROWS_MAX || record.len() > SHEET_COLUMNS_MAX {
            return Err(too_large(sheet));
        }
        rows.push(record.iter().map(str::to_owned).collect());
    }
    Ok(rows)
}

pub(super) fn unreadable(error: impl std::fmt::Display) -> SheetError {
    SheetError::new("", FormFault::new(FaultKind::WorkbookUnreadable).with(error))
}

fn xlsx_sheets(bytes: &[u8]) -> Result<Vec<(String, Rows)>, SheetError> {
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(unreadable)?;
    let (mut sheets, mut chars) = (Vec::new(), 0);
    for name in workbook.sheet_names().into_iter().take(SHEETS_MAX) {
        // Charts and the like are no sheets of cells.
        let Ok(mut cells) = workbook.worksheet_cells_reader(&name) else { continue };
        let mut grid = Grid { chars, ..Grid::default() };
        // Cell by cell: the dense range that calamine offers grows with the farthest cell.
        while let Some(cell) = cells.next_cell().map_err(unreadable)? {
            let (row, column) = cell.get_position();
            grid.put(&name, row as usize, column as usize, cell_text(&Data::from(cell.get_value().clone())))?;
        }
        chars = grid.chars;
        sheets.push((name, grid.rows));
    }
    Ok(sheets)
}

fn xls_sheets(bytes: &[u8]) -> Result<Vec<(String, Rows)>, SheetError> {
    let modest = match xls::check(bytes, SHEETS_MAX) {
        Err(Refused::TooLarge) => xls::without_claims(bytes),
        _ => None,
    };
    let bytes = modest.as_deref().unwrap_or(bytes);
    xls::check(bytes, SHEETS_MAX).map_err(|refused| match refused {
        Refused::Damaged => SheetError::of_workbook(FaultKind::WorkbookDamaged),
        Refused::TooLarge => too_large(""),
    })?;
    let mut workbook: Xls<_> = Xls::new(Cursor::new(bytes)).map_err(unreadable)?;
    let (mut sheets, mut chars) = (Vec::new(), 0);
    for name in workbook.sheet_names().into_iter().take(SHEETS_MAX) {
        let Ok(range) = workbook.worksheet_range(&name) else { continue };
        let (top, left) = range.start().unwrap_or((0, 0));
        let mut grid = Grid { chars, ..Grid::default() };
        for (row, column, value) in range.used_cells() {
            grid.put(&name, top as usize + row, left as usize + column, cell_text(value))?;
        }
        chars = grid.chars;
        sheets.push((name, grid.rows));
    }
    Ok(sheets)
}

#[derive(Default)]
struct Grid {
    rows: Rows,
    chars: usize,
}

impl Grid {
    fn put(&mut self, sheet: &str, row: usize, column: usize, text: String) -> Result<(), SheetError> {
        // Empty cells far away carry nothing but their format.
        if text.trim().is_empty() {
            return Ok(());
        }
        self.chars += text.len();
        if row >= SHEET_ROWS_MAX || column >= SHEET_COLUMNS_MAX || self.chars > SHEET_CHARS_MAX {
            return Err(too_large(sheet));
        }
        if self.rows.len() <= row {
            self.rows.resize_with(row + 1, Vec::new);
        }
        let cells = &mut self.rows[row];
        if cells.len() <= column {
            cells.resize_with(column + 1, String::new);
        }
        cells[column] = text;
        Ok(())
    }
}

/// A cell as text: whole numbers without `.0`, TRUE and FALSE, dates in ISO form.
fn cell_text(cell: &Data) -> String {
    match cell {
        Data::Empty | Data::Error(_) => String::new(),
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => text.clone(),
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
        Data::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => (*number as i64).to_string(),
        Data::Float(number) => number.to_string(),
        Data::Int(number) => number.to_string(),
        Data::Bool(value) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
        Data::DateTime(value) => match value.as_datetime() {
            Some(time) => time.to_string(),
            None => value.as_f64().to_string(),
        },
    }
}
