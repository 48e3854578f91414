//! Whose the files are that root made: the user's under which the server runs, who could not write them otherwise.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, OFlags, Uid};

use crate::data_folder::file_error;
use crate::store::StoreError;

/// User and group by number.
pub(crate) type Owner = (u32, u32);

/// Opens what is there itself, and nothing that a link names; it may be a pipe, which must not hold anybody up.
fn opened(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

fn chown(file: &File, path: &Path, (user, group): Owner) -> Result<(), StoreError> {
    let given = rustix::fs::fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
    given.map_err(|error| file_error(path)(error.into()))
}

/// Gives one file to a user: not what a link points to and no file with a second name, since root must not give away what somebody
/// else chose. What cannot be opened is left alone.
///
/// # Errors
/// [`StoreError::File`].
pub(crate) fn give_file(path: &Path, owner: Owner) -> Result<(), StoreError> {
    let Ok(file) = opened(path) else { return Ok(()) };
    match file.metadata() {
        Ok(found) if found.is_file() && found.nlink() == 1 && found.uid() != owner.0 => chown(&file, path, owner),
        _ => Ok(()),
    }
}

/// Gives a folder to a user, with what is in it under names of this program's own, and all that is in folders of such names.
///
/// # Errors
/// [`StoreError::File`].
pub(crate) fn give(dir: &Path, owner: Owner, is_own: fn(&str) -> bool) -> Result<(), StoreError> {
    let folder = opened(dir).map_err(file_error(dir))?;
    // By the open folder: whoever owns the one above may exchange it meanwhile.
    let held = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&folder)));
    for entry in fs::read_dir(&held).map_err(file_error(dir))? {
        let entry = entry.map_err(file_error(dir))?;
        if !entry.file_name().to_str().is_some_and(is_own) {
            continue;
        }
        let path = held.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => give(&path, owner, |_| true)?,
            _ => give_file(&path, owner)?,
        }
    }
    chown(&folder, dir, owner)
}

/// What a command that root ran left in a folder becomes its owner's. Nothing for anybody else: only root can, and only root
/// has to.
pub(crate) fn give_back(dir: &Path, is_own: fn(&str) -> bool) {
    let Some(owner) = of(dir).filter(|owner| owner.0 != 0) else { return };
    if let Err(error) = give(dir, owner, is_own) {
        tracing::debug!(%error, "files of the folder are another user's");
    }
}

/// Whose a file or folder is.
pub(crate) fn of(path: &Path) -> Option<Owner> {
    fs::metadata(path).ok().map(|found| (found.uid(), found.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Owner = (65_534, 65_534);

    #[test]
    fn root_gives_away_its_own_and_nothing_that_somebody_else_chose() {
        let place = tempfile::tempdir().unwrap();
        if of(place.path()) != Some((0, 0)) {
            return;
        }
        let at = |name: &str| place.path().join(name);
        for folder in ["data", "data/segments", "secret"] {
            fs::create_dir(at(folder)).unwrap();
        }
        for file in ["data/key", "data/notes", "data/segments/a", "secret/a", "secret/b"] {
            fs::write(at(file), "").unwrap();
        }
        std::os::unix::fs::symlink(at("secret/a"), at("data/fieldbook.db")).unwrap();
        std::os::unix::fs::symlink(at("secret"), at("data/fieldbook.db.new")).unwrap();
        fs::hard_link(at("secret/b"), at("data/never-again.list")).unwrap();
        give(&at("data"), NOBODY, crate::data_folder::is_own).unwrap();
        for (name, is_given) in [
            ("data", true),
            ("data/key", true),
            ("data/segments", true),
            ("data/segments/a", true),
            ("data/notes", false),
            ("secret", false),
            ("secret/a", false),
            ("secret/b", false),
        ] {
            assert_eq!(of(&at(name)) == Some(NOBODY), is_given, "{name}");
        }
        std::os::unix::fs::symlink(at("secret"), at("link")).unwrap();
        assert!(give(&at("link"), NOBODY, |_| true).is_err());
    }
}
