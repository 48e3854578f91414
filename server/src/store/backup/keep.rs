//! Which backups stay.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::clock_text;
use crate::data_folder::file_error;
use crate::store::StoreError;

use super::archive::hash_of;

/// What the names of backups in a folder of backups begin with; the time follows.
const PREFIX: &str = "fieldbook-";
/// What they end with.
const SUFFIX: &str = ".age";
/// Characters of the time: `YYYY-MM-DDTHH-MM-SS`, in Shanghai.
const TIME_CHARS: usize = 19;
/// Hours of Shanghai's clock before UTC.
const SHANGHAI_HOURS: i64 = 8;

/// How many backups stay: the newest of so many days, weeks and months that have any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Days.
    pub daily: usize,
    /// Weeks that begin on Monday.
    pub weekly: usize,
    /// Months.
    pub monthly: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Self { daily: 7, weekly: 5, monthly: 12 }
    }
}

/// Name of a backup that is made at this time (milliseconds since 1970 UTC).
pub(super) fn name_at(now_ms: i64) -> String {
    let time: String = clock_text::shanghai(now_ms).chars().take(TIME_CHARS).collect();
    format!("{PREFIX}{}{SUFFIX}", time.replace(':', "-"))
}

impl Keep {
    /// The path of a backup in `folder` that is made at this time (milliseconds since 1970 UTC).
    #[must_use]
    pub fn path_at(folder: &Path, now_ms: i64) -> PathBuf {
        folder.join(name_at(now_ms))
    }

    /// Which of these names stay. Names sort as their times do.
    fn kept<'n>(self, names: &BTreeSet<&'n str>) -> BTreeSet<&'n str> {
        let mut kept = BTreeSet::new();
        type Period = fn(&str) -> Option<String>;
        let periods: [(usize, Period); 3] = [
            (self.daily, |name| name.get(PREFIX.len()..PREFIX.len() + 10).map(str::to_owned)),
            (self.weekly, |name| week_of(name).map(|week| week.to_string())),
            (self.monthly, |name| name.get(PREFIX.len()..PREFIX.len() + 7).map(str::to_owned)),
        ];
        for (many, period) in periods {
            let mut seen = BTreeSet::new();
            for name in names.iter().rev() {
                let Some(period) = period(name) else { continue };
                if seen.len() < many && seen.insert(period) {
                    kept.insert(*name);
                }
            }
        }
        // Whatever the numbers say, the newest stays.
        kept.extend(names.last());
        kept
    }
}

/// Weeks since the one of 1970-01-01, which was a Thursday.
fn week_of(name: &str) -> Option<i64> {
    let part = |from: usize, to: usize| name.get(PREFIX.len() + from..PREFIX.len() + to)?.parse::<i64>().ok();
    Some((clock_text::day_of(part(0, 4)?, part(5, 7)?, part(8, 10)?) + 3).div_euclid(7))
}

/// The time in a backup's name, milliseconds since 1970 UTC.
fn time_of(name: &str) -> Option<i64> {
    let part = |from: usize, to: usize| name.get(PREFIX.len() + from..PREFIX.len() + to)?.parse::<i64>().ok();
    let day = clock_text::day_of(part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let seconds = (part(11, 13)? - SHANGHAI_HOURS) * 3600 + part(14, 16)? * 60 + part(17, 19)?;
    Some((day * 86_400 + seconds) * 1000)
}

fn is_backup(name: &str) -> bool {
    let Some(time) = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)) else { return false };
    time.len() == TIME_CHARS
        && time.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 | 13 | 16 => byte == b'-',
            10 => byte == b'T',
            _ => byte.is_ascii_digit(),
        })
}

/// What became of older backups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Those that were removed.
    pub removed: Vec<PathBuf>,
    /// Those that are dated later than the one just made: a clock is or was wrong, and nothing was removed.
    pub later: Vec<PathBuf>,
}

/// A backup in a folder of backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its file.
    pub path: PathBuf,
    /// When it was made as its name says, milliseconds since 1970 UTC.
    pub made_ms: i64,
}

impl Found {
    /// The file is what was written: all of it is read and compared with the hash beside it.
    ///
    /// # Errors
    /// [`StoreError::File`] where either cannot be read.
    pub fn is_whole(&self) -> Result<bool, StoreError> {
        is_whole(&self.path)
    }
}

pub(super) fn listed(folder: &Path) -> Result<BTreeSet<String>, StoreError> {
    let listed = fs::read_dir(folder).map_err(file_error(folder))?;
    let names = listed.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| is_backup(name)).collect())
}

/// The newest backup of `folder` by its name.
///
/// # Errors
/// What the disk said.
pub fn newest(folder: &Path) -> Result<Option<Found>, StoreError> {
    let found = listed(folder)?.into_iter().rev().find_map(|name| Some((time_of(&name)?, name)));
    Ok(found.map(|(made_ms, name)| Found { path: folder.join(name), made_ms }))
}

/// Removes the backups of `folder` that are not to stay, but never `made`, which has just been written, nor one that `also` names. The
/// newest one that is what its hash says stays in any case, and what does not bear a backup's name is not touched.
///
/// # Errors
/// What the disk said.
pub fn prune(folder: &Path, keep: Keep, made: &Path, also: &[String]) -> Result<Pruned, StoreError> {
    let names = listed(folder)?;
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let made = made.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let later: Vec<PathBuf> = names.iter().filter(|name| **name > made).map(|name| folder.join(name)).collect();
    if !later.is_empty() {
        return Ok(Pruned { removed: Vec::new(), later });
    }
    let mut kept = keep.kept(&names);
    kept.extend(names.iter().rev().find(|name| is_whole(&folder.join(name)).unwrap_or(false)));
    kept.extend(names.iter().filter(|name| also.iter().any(|also| also == *name)));
    let mut removed = Vec::new();
    for name in names.difference(&kept) {
        let path = folder.join(name);
        fs::remove_file(&path).map_err(file_error(&path))?;
        let _ = fs::remove_file(super::beside(&path, ".sha256"));
        removed.push(path);
    }
    Ok(Pruned { removed, later })
}

/// The file is what was written.
fn is_whole(path: &Path) -> Result<bool, StoreError> {
    let beside = super::beside(path, ".sha256");
    let told = match fs::read_to_string(&beside) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        told => told.map_err(file_error(&beside))?,
    };
    Ok(told.split_whitespace().next() == Some(hex::encode(hash_of(path)?).as_str()))
}

/// What lies in a folder of backups under a name that this program gives.
pub(crate) fn is_of_backups(name: &str) -> bool {
    let beside = [super::BACKUP_OWNER_FILE, "of-server.part", "never-again.list", "never-again.part"];
    beside.contains(&name)
        || is_backup(name.strip_suffix(".sha256").or_else(|| name.strip_suffix(".part")).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn names(count: i64, step_hours: i64) -> Vec<String> {
        (0..count).map(|at| name_at(1_780_243_200_000 + at * step_hours * HOUR_MS)).collect()
    }

    #[test]
    fn days_weeks_and_months_keep_their_newest() {
        assert_eq!(name_at(1_780_243_200_000), "fieldbook-2026-06-01T00-00-00.age");
        assert_eq!(time_of(&name_at(1_780_243_261_000)), Some(1_780_243_261_000));
        assert!(is_backup("fieldbook-2026-06-01T00-00-00.age"));
        assert!(
            !is_backup("fieldbook-2026-06-01T00-00-00.age.sha256") && !is_backup("fieldbook-notes-of-last-year.age")
        );
        assert_eq!(week_of("fieldbook-2026-06-01T"), week_of("fieldbook-2026-06-07T"), "Monday to Sunday");
        assert_ne!(week_of("fieldbook-2026-05-31T"), week_of("fieldbook-2026-06-01T"));
        let all = names(400 * 4, 6);
        let all: BTreeSet<&str> = all.iter().map(String::as_str).collect();
        let kept: Vec<&str> = Keep { daily: 3, weekly: 2, monthly: 3 }.kept(&all).into_iter().collect();
        let wanted = ["2027-05-31T18", "2027-06-30T18", "2027-07-03T18", "2027-07-04T18", "2027-07-05T18"];
        assert_eq!(kept, wanted.map(|time| format!("fieldbook-{time}-00-00.age")));
    }

    #[test]
    fn the_newest_always_stays_and_never_more_than_asked() {
        for (count, step) in [(1, 1), (2, 1), (50, 5), (900, 24), (30, 24 * 31)] {
            let all = names(count, step);
            let all: BTreeSet<&str> = all.iter().map(String::as_str).collect();
            for keep in
                [Keep { daily: 0, weekly: 0, monthly: 0 }, Keep::default(), Keep { daily: 1, weekly: 9, monthly: 0 }]
            {
                let kept = keep.kept(&all);
                assert!(kept.contains(all.last().unwrap()));
                assert!(kept.len() <= 1.max(keep.daily + keep.weekly + keep.monthly), "{keep:?}: {kept:?}");
                assert_eq!(keep.kept(&kept), kept, "pruned twice is pruned once");
            }
        }
    }

    #[test]
    fn a_clock_that_went_back_costs_no_backup() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let all = names(40, 24);
        all.iter().for_each(|name| fs::write(path(name), name).unwrap());
        let one = Keep { daily: 1, weekly: 0, monthly: 0 };
        let pruned = prune(folder.path(), one, &path(&all[10]), &[]).unwrap();
        assert_eq!((pruned.removed.len(), pruned.later.len()), (0, 29));
        assert!(all.iter().all(|name| path(name).exists()));
        let named = std::slice::from_ref(&all[3]);
        assert_eq!(prune(folder.path(), one, &path(&all[39]), named).unwrap().removed.len(), 38);
        assert!(path(&all[39]).exists() && path(&all[3]).exists(), "the one just made stays, and what is named");
    }

    #[test]
    fn a_newest_that_is_damaged_does_not_cost_the_last_good_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let all = names(3, 1);
        for name in &all {
            fs::write(path(name), name).unwrap();
            let sum = hex::encode(hash_of(&path(name)).unwrap());
            fs::write(path(&format!("{name}.sha256")), format!("{sum}  {name}\n")).unwrap();
        }
        fs::write(path(&all[2]), "cut").unwrap();
        fs::write(path("notes.age"), "mine").unwrap();
        let found = newest(folder.path()).unwrap().unwrap();
        assert!(found.path == path(&all[2]) && !found.is_whole().unwrap());
        let none = Keep { daily: 0, weekly: 0, monthly: 0 };
        let pruned = prune(folder.path(), none, &path(&all[2]), &[]).unwrap();
        assert_eq!(pruned, Pruned { removed: vec![path(&all[0])], later: Vec::new() });
        assert!(path(&all[1]).exists() && path(&all[2]).exists() && path("notes.age").exists());
        assert!(!path(&format!("{}.sha256", all[0])).exists());
    }
}
