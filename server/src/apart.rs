//! What must outlive a restored backup: which records were purged and which devices were revoked. A text file beside
//! the database, ids only, to be copied apart from the backups ([docs/OPERATIONS.md](../../docs/OPERATIONS.md)).

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use fieldbook_core::access::{Area, FeedId};
use fieldbook_core::ids::{DeviceId, RecordId};

use crate::data_folder::{self, file_error};
use crate::store::{Problem, StoreError};

/// Name of the file in the data folder.
const FILE: &str = "never-again.list";
/// Bytes of the file that are read: a million lines.
const FILE_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// The record was purged from this feed: `purged ID UNIT AREA`.
    Purged(RecordId, FeedId),
    /// The device was revoked: `revoked ID`.
    Revoked(DeviceId),
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Purged(record, feed) => write!(f, "purged {record} {} {}", feed.unit, feed.area),
            Self::Revoked(device) => write!(f, "revoked {device}"),
        }
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

fn parse(line: &str) -> Option<Line> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    match words.as_slice() {
        ["purged", record, unit, area] => {
            let feed = FeedId { unit: (*unit).to_owned(), area: Area::from_word(area)? };
            Some(Line::Purged(record.parse().ok()?, feed))
        }
        ["revoked", device] => Some(Line::Revoked(device.parse().ok()?)),
        _ => None,
    }
}

/// Adds a line, durable when this returns. The caller holds the database's only right to write.
///
/// # Errors
/// [`StoreError::DiskFull`] or [`StoreError::File`]; then nothing that the line says may be acknowledged.
pub(crate) fn append(dir: &Path, line: &Line) -> Result<(), StoreError> {
    let path = path(dir);
    let write = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        // A line that a power cut tore was never acknowledged.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1) as u64;
        file.set_len(whole)?;
        file.seek(SeekFrom::Start(whole))?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()?;
        std::fs::File::open(dir)?.sync_all()
    };
    write().map_err(file_error(&path))
}

/// All lines, in order; none if there is no file. A last line without its end was never acknowledged and is left out.
///
/// # Errors
/// `list_malformed` names a line that is none; [`StoreError::File`] when the file cannot be read.
pub(crate) fn read(dir: &Path) -> Result<Vec<Line>, StoreError> {
    let path = path(dir);
    let mut text = String::new();
    match std::fs::File::open(&path) {
        Ok(file) => file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(file_error(&path))?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(file_error(&path)(error)),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut lines = Vec::new();
    for (number, line) in whole.lines().enumerate() {
        let malformed = || Problem::new("list_malformed").with("path", path.display()).with("line", number + 1);
        lines.push(parse(line).ok_or_else(malformed)?);
    }
    Ok(lines)
}

/// Lines that `folder` has and `dir` lacks: `dir` holds an older list than it once did, or another server's.
///
/// # Errors
/// As [`read`].
pub(crate) fn lacking(dir: &Path, folder: &Path) -> Result<Vec<Line>, StoreError> {
    let here: BTreeSet<String> = read(dir)?.iter().map(Line::to_string).collect();
    Ok(read(folder)?.into_iter().filter(|line| !here.contains(&line.to_string())).collect())
}

/// Makes the list in another folder hold every line of this one; what it has besides it keeps. Nothing where there is no list.
///
/// # Errors
/// As [`read`]; then the other list is as it was.
pub(crate) fn copy_to(dir: &Path, folder: &Path) -> Result<(), StoreError> {
    let mut lines = read(dir)?;
    lines.extend(lacking(dir, folder)?);
    if lines.is_empty() {
        return Ok(());
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    data_folder::replace_private(&path(folder), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_only_ever_grows() {
        let (folder, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        copy_to(folder.path(), backups.path()).unwrap();
        assert_eq!(std::fs::read_dir(backups.path()).unwrap().count(), 0);
        let lines = [1, 2, 3].map(|byte| Line::Revoked(DeviceId([byte; 16])));
        append(folder.path(), &lines[0]).unwrap();
        append(folder.path(), &lines[1]).unwrap();
        copy_to(folder.path(), backups.path()).unwrap();
        // The folder was lost, and its list with it.
        std::fs::remove_file(path(folder.path())).unwrap();
        append(folder.path(), &lines[2]).unwrap();
        assert_eq!(lacking(folder.path(), backups.path()).unwrap(), lines[..2]);
        copy_to(folder.path(), backups.path()).unwrap();
        assert_eq!(read(backups.path()).unwrap(), [&lines[2..], &lines[..2]].concat());
        // One that cannot be read is not written over.
        std::fs::write(path(backups.path()), "mine\n").unwrap();
        assert!(copy_to(folder.path(), backups.path()).is_err());
        assert_eq!(std::fs::read_to_string(path(backups.path())).unwrap(), "mine\n");
    }

    #[test]
    fn a_torn_line_is_left_out_and_swallows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), Vec::new());
        let feed = FeedId { unit: "a".to_owned(), area: Area::Aid };
        let lines = [Line::Purged(RecordId([1; 16]), feed), Line::Revoked(DeviceId([2; 16]))];
        append(folder.path(), &lines[0]).unwrap();
        let mut file = OpenOptions::new().append(true).open(path(folder.path())).unwrap();
        file.write_all(b"purged 0101").unwrap();
        assert_eq!(read(folder.path()).unwrap(), lines[..1]);
        append(folder.path(), &lines[1]).unwrap();
        assert_eq!(read(folder.path()).unwrap(), lines);
        file.write_all(b"something else\n").unwrap();
        assert!(matches!(read(folder.path()), Err(StoreError::Problem(problem)) if problem.word == "list_malformed"));
    }
}
