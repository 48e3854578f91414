//! A disk in memory under SQLite: what was written and what was synced are apart, any single write can fail, and a
//! crash takes what was not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use fieldbook_core::ports;
use rusqlite::ffi;

use super::chance::Chance;
use super::vfs;

/// Bytes that a disk writes at once: a torn write ends at a multiple of it.
const SECTOR_BYTES: usize = 512;
/// Bytes of one region of shared memory; SQLite asks for 32 KiB.
const REGION_WORDS: usize = 32 * 1024 / 8;
/// Locks in shared memory.
pub(super) const SHM_LOCKS: usize = ffi::SQLITE_SHM_NLOCK as usize;

/// A result code of SQLite.
pub(super) type Code = std::ffi::c_int;

/// What a power cut leaves of the writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// Everything: only the process died.
    Kept,
    /// Nothing.
    Lost,
    /// Each write wholly, partly, or not.
    Torn,
}

/// Contents of a disk at one moment, by file name.
pub type Image = BTreeMap<String, Vec<u8>>;

enum Op {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

fn apply(content: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write(offset, bytes) => {
            let end = offset + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*offset..end].copy_from_slice(bytes);
        }
        Op::Truncate(length) => content.resize(*length, 0),
    }
}

/// Who holds which lock of a file, by handle.
#[derive(Default)]
struct Locks {
    shared: BTreeSet<u64>,
    reserved: Option<u64>,
    pending: Option<u64>,
    exclusive: Option<u64>,
}

#[derive(Default)]
struct ShmLock {
    shared: BTreeSet<u64>,
    exclusive: Option<u64>,
}

#[derive(Default)]
struct File {
    now: Vec<u8>,
    /// `None` until its first sync: a power cut takes the file's name with it.
    synced: Option<Vec<u8>>,
    unsynced: Vec<Op>,
    locks: Locks,
    shm: Vec<Box<[u64; REGION_WORDS]>>,
    shm_locks: [ShmLock; SHM_LOCKS],
    shm_users: BTreeSet<u64>,
}

impl File {
    fn of(content: Vec<u8>) -> Self {
        Self { synced: Some(content.clone()), now: content, ..Self::default() }
    }
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, File>,
    /// Grows with each crash: handles of an earlier one are dead.
    generation: u64,
    handles: u64,
    dead: bool,
    full: bool,
    /// Writes until the process dies.
    crash_in: Option<u64>,
    /// Writes until one fails.
    fail_in: Option<u64>,
    writes: u64,
    /// Regions that dead handles may still point into.
    stale: Vec<Box<[u64; REGION_WORDS]>>,
}

impl State {
    /// Counts one write that is about to happen.
    fn count(&mut self) -> Result<(), Code> {
        if self.dead {
            return Err(ffi::SQLITE_IOERR);
        }
        self.writes += 1;
        if countdown(&mut self.crash_in) {
            self.dead = true;
            return Err(ffi::SQLITE_IOERR);
        }
        if countdown(&mut self.fail_in) { Err(ffi::SQLITE_IOERR) } else { Ok(()) }
    }
}

/// True when this was the last one.
fn countdown(left: &mut Option<u64>) -> bool {
    match left {
        Some(0) => {
            *left = None;
            true
        }
        Some(more) => {
            *more -= 1;
            false
        }
        None => false,
    }
}

struct Inner {
    folder: PathBuf,
    state: Mutex<State>,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static DISKS: Mutex<BTreeMap<PathBuf, Weak<Inner>>> = Mutex::new(BTreeMap::new());

fn disks() -> MutexGuard<'static, BTreeMap<PathBuf, Weak<Inner>>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The disk that holds `path`, and the file's name on it.
fn disk_of(path: &str) -> Option<(Arc<Inner>, &str)> {
    let (folder, name) = path.rsplit_once('/')?;
    Some((disks().get(Path::new(folder)).and_then(Weak::upgrade)?, name))
}

/// One disk; SQLite finds it by the folder in which it is mounted.
pub struct Disk(Arc<Inner>);

impl Disk {
    /// A disk with the files of `image`, mounted at `folder` until it is dropped.
    ///
    /// # Errors
    /// What SQLite said to the file system.
    pub fn mount(folder: &Path, image: Image) -> Result<Arc<Self>, String> {
        vfs::register()?;
        let files = image.into_iter().map(|(path, content)| (path, File::of(content))).collect();
        let state = State { files, ..State::default() };
        let inner = Arc::new(Inner { folder: folder.to_owned(), state: Mutex::new(state) });
        disks().insert(folder.to_owned(), Arc::downgrade(&inner));
        Ok(Arc::new(Self(inner)))
    }

    /// Whether a write killed the process that uses it.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.0.state().dead
    }

    /// The process that uses it dies now.
    pub fn kill(&self) {
        self.0.state().dead = true;
    }

    /// Writes so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.0.state().writes
    }

    /// The process dies at the write after `writes` more.
    pub fn crash_in(&self, writes: u64) {
        self.0.state().crash_in = Some(writes);
    }

    /// The write after `writes` more fails, once.
    pub fn fail_in(&self, writes: u64) {
        self.0.state().fail_in = Some(writes);
    }

    /// From now on no file grows, or may grow again.
    pub fn set_full(&self, full: bool) {
        self.0.state().full = full;
    }

    /// Whether no file grows now.
    pub fn is_full(&self) -> bool {
        self.0.state().full
    }

    /// What another process finds after this one died. All handles are dead from now on.
    pub fn restart(&self, unsynced: Unsynced, chance: &mut Chance) {
        let mut state = self.0.state();
        let files = std::mem::take(&mut state.files);
        for (path, file) in files {
            let content = match unsynced {
                Unsynced::Kept => Some(file.now),
                Unsynced::Lost => file.synced,
                Unsynced::Torn => torn(file.synced, &file.unsynced, chance),
            };
            state.stale.extend(file.shm);
            if let Some(content) = content {
                state.files.insert(path, File::of(content));
            }
        }
        state.generation += 1;
        (state.dead, state.full, state.crash_in, state.fail_in) = (false, false, None, None);
    }

    /// Everything as written.
    #[must_use]
    pub fn image(&self) -> Image {
        self.0.state().files.iter().map(|(path, file)| (path.clone(), file.now.clone())).collect()
    }

    /// Everything as synced.
    #[must_use]
    pub fn synced_image(&self) -> Image {
        let state = self.0.state();
        state.files.iter().filter_map(|(path, file)| Some((path.clone(), file.synced.clone()?))).collect()
    }

    /// Puts another moment's contents in place; handles are dead from now on.
    pub fn restore(&self, image: Image) {
        let mut state = self.0.state();
        let old = std::mem::take(&mut state.files);
        state.stale.extend(old.into_values().flat_map(|file| file.shm));
        state.files = image.into_iter().map(|(path, content)| (path, File::of(content))).collect();
        state.generation += 1;
        (state.dead, state.full, state.crash_in, state.fail_in) = (false, false, None, None);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        disks().remove(&self.0.folder);
    }
}

fn torn(synced: Option<Vec<u8>>, unsynced: &[Op], chance: &mut Chance) -> Option<Vec<u8>> {
    let mut content = match synced {
        Some(content) => content,
        None if chance.one_in(2) => Vec::new(),
        None => return None,
    };
    for op in unsynced {
        match op {
            Op::Write(offset, bytes) if chance.one_in(3) => {
                let keep = chance.below(bytes.len() / SECTOR_BYTES + 1) * SECTOR_BYTES;
                apply(&mut content, &Op::Write(*offset, bytes[..keep.min(bytes.len())].to_vec()));
            }
            op if chance.one_in(2) => apply(&mut content, op),
            _ => {}
        }
    }
    Some(content)
}

impl ports::Disk for Disk {
    fn vfs(&self) -> Option<&str> {
        Some(vfs::NAME)
    }

    fn length_bytes(&self, file: &Path) -> Option<u64> {
        let state = self.0.state();
        let name = file.file_name()?.to_str()?;
        state.files.get(name).map(|file| file.now.len() as u64)
    }

    fn free_bytes(&self, _folder: &Path) -> Option<u64> {
        None
    }

    fn erase(&self, file: &Path) -> std::io::Result<()> {
        match delete(&file.to_string_lossy()) {
            Ok(()) | Err(ffi::SQLITE_IOERR_DELETE_NOENT) => Ok(()),
            Err(code) => Err(std::io::Error::other(format!("SQLite's code {code}"))),
        }
    }
}

/// An open file, as SQLite holds it.
pub(super) struct Handle {
    disk: Arc<Inner>,
    name: String,
    id: u64,
    generation: u64,
}

impl Handle {
    /// Opens `path`; makes it if `create`.
    pub(super) fn open(path: &str, create: bool) -> Result<Self, Code> {
        let (disk, name) = disk_of(path).ok_or(ffi::SQLITE_CANTOPEN)?;
        let mut state = disk.state();
        if state.dead {
            return Err(ffi::SQLITE_IOERR);
        }
        if !state.files.contains_key(name) {
            if !create {
                return Err(ffi::SQLITE_CANTOPEN);
            }
            state.count()?;
            state.files.insert(name.to_owned(), File::default());
        }
        state.handles += 1;
        let (id, generation) = (state.handles, state.generation);
        drop(state);
        Ok(Self { disk, name: name.to_owned(), id, generation })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State, &str) -> Result<T, Code>) -> Result<T, Code> {
        let mut state = self.disk.state();
        if state.dead || state.generation != self.generation {
            return Err(ffi::SQLITE_IOERR);
        }
        work(&mut state, &self.name)
    }

    fn with_file<T>(&self, work: impl FnOnce(&mut File) -> Result<T, Code>) -> Result<T, Code> {
        self.with(|state, name| work(state.files.get_mut(name).ok_or(ffi::SQLITE_IOERR)?))
    }

    /// Bytes read: fewer than asked for at the end.
    pub(super) fn read(&self, offset: usize, into: &mut [u8]) -> Result<usize, Code> {
        self.with_file(|file| {
            let there = file.now.get(offset..).unwrap_or_default();
            let length = there.len().min(into.len());
            into[..length].copy_from_slice(&there[..length]);
            Ok(length)
        })
    }

    fn change(&self, op: Op) -> Result<(), Code> {
        self.with(|state, name| {
            state.count()?;
            let full = state.full;
            let file = state.files.get_mut(name).ok_or(ffi::SQLITE_IOERR)?;
            let end = match &op {
                Op::Write(offset, bytes) => offset + bytes.len(),
                Op::Truncate(length) => *length,
            };
            if full && end > file.now.len() {
                return Err(ffi::SQLITE_FULL);
            }
            apply(&mut file.now, &op);
            file.unsynced.push(op);
            Ok(())
        })
    }

    pub(super) fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), Code> {
        self.change(Op::Write(offset, bytes.to_vec()))
    }

    pub(super) fn truncate(&self, length: usize) -> Result<(), Code> {
        self.change(Op::Truncate(length))
    }

    pub(super) fn sync(&self) -> Result<(), Code> {
        self.with(|state, name| {
            state.count()?;
            let file = state.files.get_mut(name).ok_or(ffi::SQLITE_IOERR)?;
            let synced = file.synced.get_or_insert_default();
            for op in file.unsynced.drain(..) {
                apply(synced, &op);
            }
            Ok(())
        })
    }

    pub(super) fn size(&self) -> Result<usize, Code> {
        self.with_file(|file| Ok(file.now.len()))
    }

    pub(super) fn lock(&self, level: Code) -> Result<(), Code> {
        self.with_file(|file| {
            let locks = &mut file.locks;
            let other = |held: Option<u64>| held.is_some_and(|held| held != self.id);
            if other(locks.exclusive) || other(locks.pending) {
                return Err(ffi::SQLITE_BUSY);
            }
            if level == ffi::SQLITE_LOCK_SHARED {
                locks.shared.insert(self.id);
                return Ok(());
            }
            if other(locks.reserved) {
                return Err(ffi::SQLITE_BUSY);
            }
            locks.reserved = Some(self.id);
            if level == ffi::SQLITE_LOCK_RESERVED {
                return Ok(());
            }
            locks.pending = Some(self.id);
            if locks.shared.iter().any(|holder| *holder != self.id) {
                return Err(ffi::SQLITE_BUSY);
            }
            locks.exclusive = Some(self.id);
            Ok(())
        })
    }

    pub(super) fn unlock(&self, level: Code) -> Result<(), Code> {
        self.with_file(|file| {
            let mine = |held: &mut Option<u64>| {
                if *held == Some(self.id) {
                    *held = None;
                }
            };
            mine(&mut file.locks.exclusive);
            mine(&mut file.locks.pending);
            mine(&mut file.locks.reserved);
            if level == ffi::SQLITE_LOCK_NONE {
                file.locks.shared.remove(&self.id);
            }
            Ok(())
        })
    }

    pub(super) fn is_reserved(&self) -> Result<bool, Code> {
        self.with_file(|file| Ok(file.locks.reserved.is_some()))
    }

    /// A region of the shared memory; `None` if it is not there and shall not be made.
    pub(super) fn shm_region(&self, region: usize, extend: bool) -> Result<Option<*mut u64>, Code> {
        self.with_file(|file| {
            file.shm_users.insert(self.id);
            while extend && file.shm.len() <= region {
                file.shm.push(Box::new([0; REGION_WORDS]));
            }
            Ok(file.shm.get_mut(region).map(|words| words.as_mut_ptr()))
        })
    }

    pub(super) fn shm_lock(&self, slots: std::ops::Range<usize>, exclusive: bool) -> Result<(), Code> {
        self.with_file(|file| {
            let slots = file.shm_locks.get_mut(slots).ok_or(ffi::SQLITE_IOERR)?;
            let taken = |slot: &ShmLock| {
                slot.exclusive.is_some_and(|holder| holder != self.id)
                    || (exclusive && slot.shared.iter().any(|holder| *holder != self.id))
            };
            if slots.iter().any(taken) {
                return Err(ffi::SQLITE_BUSY);
            }
            for slot in slots {
                if exclusive {
                    slot.exclusive = Some(self.id);
                } else {
                    slot.shared.insert(self.id);
                }
            }
            Ok(())
        })
    }

    pub(super) fn shm_unlock(&self, slots: std::ops::Range<usize>, exclusive: bool) -> Result<(), Code> {
        self.with_file(|file| {
            for slot in file.shm_locks.get_mut(slots).ok_or(ffi::SQLITE_IOERR)? {
                if exclusive {
                    slot.exclusive = None;
                } else {
                    slot.shared.remove(&self.id);
                }
            }
            Ok(())
        })
    }

    pub(super) fn shm_unmap(&self) {
        // A dead handle has nothing to give back.
        let _ = self.with(|state, name| {
            let file = state.files.get_mut(name).ok_or(ffi::SQLITE_IOERR)?;
            file.shm_users.remove(&self.id);
            if file.shm_users.is_empty() {
                let regions = std::mem::take(&mut file.shm);
                state.stale.extend(regions);
            }
            Ok(())
        });
    }

    pub(super) fn close(self) {
        self.shm_unmap();
        let _ = self.unlock(ffi::SQLITE_LOCK_NONE);
        let mut state = self.disk.state();
        if state.generation == self.generation
            && let Some(file) = state.files.get_mut(&self.name)
        {
            for slot in &mut file.shm_locks {
                slot.shared.remove(&self.id);
                if slot.exclusive == Some(self.id) {
                    slot.exclusive = None;
                }
            }
        }
    }
}

/// Removes a file; durable at once.
pub(super) fn delete(path: &str) -> Result<(), Code> {
    let (disk, name) = disk_of(path).ok_or(ffi::SQLITE_IOERR_DELETE_NOENT)?;
    let mut state = disk.state();
    if !state.files.contains_key(name) {
        return Err(ffi::SQLITE_IOERR_DELETE_NOENT);
    }
    state.count()?;
    if let Some(file) = state.files.remove(name) {
        state.stale.extend(file.shm);
    }
    Ok(())
}

/// Is the file there?
pub(super) fn exists(path: &str) -> bool {
    disk_of(path).is_some_and(|(disk, name)| disk.state().files.contains_key(name))
}
