//! [`super::disk`] as SQLite sees it: the C interface of a file system.
//!
//! The only unsafe code of the tests (docs/adr/0006-unsafe-in-the-tests-file-system.md). It translates pointers into
//! references and slices and calls safe code; nothing here decides anything.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use rusqlite::ffi;

use super::disk::{self, Code, Handle};

/// The name under which SQLite knows it.
pub const NAME: &str = "fieldbook-simulation";
const NAME_C: &CStr = c"fieldbook-simulation";
/// Longest path in bytes.
const PATH_BYTES_MAX: c_int = 1024;
const SECTOR_BYTES: c_int = 4096;

/// SQLite's open file, with ours behind it.
#[repr(C)]
struct Opened {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Tells SQLite of this file system, once a process.
///
/// # Errors
/// SQLite's result code in words.
pub fn register() -> Result<(), String> {
    static DONE: OnceLock<c_int> = OnceLock::new();
    let code = *DONE.get_or_init(|| {
        // SAFETY: asks for the system's own file system, which exists for the length of the process.
        let system = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
        if system.is_null() {
            return ffi::SQLITE_ERROR;
        }
        // SAFETY: SQLite never frees or changes it; the three functions taken over do not look at their first argument.
        let system = unsafe { *system };
        let own = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<Opened>() as c_int,
            mxPathname: PATH_BYTES_MAX,
            pNext: ptr::null_mut(),
            zName: NAME_C.as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: system.xRandomness,
            xSleep: Some(sleep),
            xCurrentTime: system.xCurrentTime,
            xGetLastError: Some(last_error),
            xCurrentTimeInt64: system.xCurrentTimeInt64,
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: `own` lives for ever, and its functions keep what SQLite asks of a file system.
        unsafe { ffi::sqlite3_vfs_register(own, 0) }
    });
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(format!("SQLite takes no file system: {code}")) }
}

fn code(done: Result<(), Code>) -> c_int {
    done.err().unwrap_or(ffi::SQLITE_OK)
}

/// # Safety
/// `file` was opened by [`open`] and not closed.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a Handle {
    // SAFETY: by the caller; `open` stored a valid pointer, which only `close` frees.
    unsafe { &*(*file.cast::<Opened>()).handle }
}

/// # Safety
/// `name` is NUL-terminated.
unsafe fn text<'a>(name: *const c_char) -> Option<&'a str> {
    // SAFETY: by the caller.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }).and_then(|name| name.to_str().ok())
}

// SAFETY of all below: SQLite passes what its documentation of sqlite3_vfs and sqlite3_io_methods promises.

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    unsafe {
        (*file).pMethods = ptr::null();
        let Some(path) = text(name) else { return ffi::SQLITE_CANTOPEN };
        match Handle::open(path, flags & ffi::SQLITE_OPEN_CREATE != 0) {
            Ok(handle) => {
                let handle = Box::into_raw(Box::new(handle));
                file.cast::<Opened>()
                    .write(Opened { base: ffi::sqlite3_file { pMethods: &raw const METHODS }, handle });
                if !out_flags.is_null() {
                    *out_flags = flags;
                }
                ffi::SQLITE_OK
            }
            Err(code) => code,
        }
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let handle = unsafe { Box::from_raw((*file.cast::<Opened>()).handle) };
    handle.close();
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, into: *mut c_void, amount: c_int, offset: i64) -> c_int {
    let into = unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), amount as usize) };
    match unsafe { handle(file) }.read(offset as usize, into) {
        Ok(length) if length < into.len() => {
            into[length..].fill(0);
            ffi::SQLITE_IOERR_SHORT_READ
        }
        done => code(done.map(|_| ())),
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, amount: c_int, offset: i64) -> c_int {
    let from = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), amount as usize) };
    code(unsafe { handle(file) }.write(offset as usize, from))
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    code(unsafe { handle(file) }.truncate(size as usize))
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    code(unsafe { handle(file) }.sync())
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    let done = unsafe { handle(file) }.size();
    code(done.map(|length| unsafe { *size = length as i64 }))
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    code(unsafe { handle(file) }.lock(level))
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    code(unsafe { handle(file) }.unlock(level))
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, reserved: *mut c_int) -> c_int {
    let done = unsafe { handle(file) }.is_reserved();
    code(done.map(|held| unsafe { *reserved = c_int::from(held) }))
}

unsafe extern "C" fn file_control(_file: *mut ffi::sqlite3_file, _operation: c_int, _argument: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    SECTOR_BYTES
}

unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    _region_bytes: c_int,
    extend: c_int,
    at: *mut *mut c_void,
) -> c_int {
    let done = unsafe { handle(file) }.shm_region(region as usize, extend != 0);
    code(done.map(|words| unsafe { *at = words.map_or(ptr::null_mut(), <*mut u64>::cast) }))
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    let slots = offset as usize..(offset + count) as usize;
    let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    let handle = unsafe { handle(file) };
    code(if flags & ffi::SQLITE_SHM_LOCK != 0 {
        handle.shm_lock(slots, exclusive)
    } else {
        handle.shm_unlock(slots, exclusive)
    })
}

unsafe extern "C" fn shm_barrier(_file: *mut ffi::sqlite3_file) {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _delete: c_int) -> c_int {
    unsafe { handle(file) }.shm_unmap();
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_vfs: *mut ffi::sqlite3_vfs, name: *const c_char, _sync_folder: c_int) -> c_int {
    unsafe { text(name) }.map_or(ffi::SQLITE_IOERR_DELETE_NOENT, |path| code(disk::delete(path)))
}

unsafe extern "C" fn access(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _flags: c_int,
    there: *mut c_int,
) -> c_int {
    unsafe { *there = c_int::from(text(name).is_some_and(disk::exists)) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    into: *mut c_char,
) -> c_int {
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if bytes.len() > room as usize {
        return ffi::SQLITE_CANTOPEN;
    }
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr().cast(), into, bytes.len()) };
    ffi::SQLITE_OK
}

/// The encryption in front calls it without asking whether it is there.
unsafe extern "C" fn last_error(_vfs: *mut ffi::sqlite3_vfs, _room: c_int, _into: *mut c_char) -> c_int {
    0
}

/// Nobody else could give a lock back meanwhile: there is one thread.
unsafe extern "C" fn sleep(_vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    microseconds
}
