//! SQLite's view of a [`Disk`]: a VFS with the shared memory and the locks that write-ahead logging needs.
//! <https://www.sqlite.org/vfs.html>, <https://www.sqlite.org/c3ref/io_methods.html>

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

use super::disk::{Disk, File};

/// What SQLite allocates for an open file: its methods first, then ours.
#[repr(C)]
struct Open {
    methods: *const sqlite3_io_methods,
    inner: *mut Inner,
}

struct Inner {
    disk: Disk,
    name: String,
    lock: c_int,
    mapped: bool,
    /// The shared-memory locks that this connection holds: 0, 1 shared, 2 exclusive.
    held: [u8; 8],
}

/// Registers a VFS of this name over a disk, for as long as the process lives.
pub fn register(name: &str, disk: &Disk) {
    let name = CString::new(name).unwrap().into_raw();
    let vfs = Box::leak(Box::new(sqlite3_vfs {
        iVersion: 2,
        szOsFile: size_of::<Open>() as c_int,
        mxPathname: 512,
        pNext: std::ptr::null_mut(),
        zName: name,
        pAppData: Box::into_raw(Box::new(disk.clone())).cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: None,
        xGetLastError: None,
        xCurrentTimeInt64: Some(current_time),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }));
    // SAFETY: the structure is valid and leaked, as SQLite keeps the pointer.
    let code = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
    assert_eq!(code, ffi::SQLITE_OK);
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// The file behind a pointer of SQLite's.
///
/// # Safety
/// `file` must be one that [`open`] filled in and [`close`] has not seen.
unsafe fn inner<'a>(file: *mut sqlite3_file) -> &'a mut Inner {
    // SAFETY: by the caller; SQLite calls the methods of one file from one thread at a time.
    unsafe { &mut *(*file.cast::<Open>()).inner }
}

impl Inner {
    fn with<T>(&self, act: impl FnOnce(&mut File, bool) -> T) -> T {
        let mut state = self.disk.state();
        let dead = state.dead;
        act(state.files.entry(self.name.clone()).or_default(), dead)
    }
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives the VFS that was registered, a name or null, and room for an Open.
    unsafe {
        let disk = &*(*vfs).pAppData.cast::<Disk>();
        let text = if name.is_null() { "temporary".into() } else { CStr::from_ptr(name).to_string_lossy() };
        let mut state = disk.state();
        if state.dead || (flags & ffi::SQLITE_OPEN_CREATE == 0 && !state.files.contains_key(&*text)) {
            (*file.cast::<Open>()).methods = std::ptr::null();
            return ffi::SQLITE_CANTOPEN;
        }
        state.files.entry(text.to_string()).or_default();
        let inner =
            Inner { disk: disk.clone(), name: text.into_owned(), lock: 0, mapped: false, held: [0; 8] };
        file.cast::<Open>().write(Open { methods: &METHODS, inner: Box::into_raw(Box::new(inner)) });
        if !out.is_null() {
            *out = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once.
    unsafe {
        unlock(file, ffi::SQLITE_LOCK_NONE);
        drop(Box::from_raw((*file.cast::<Open>()).inner));
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    to: *mut c_void,
    amount: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite gives an open file and a buffer of `amount` bytes.
    let (inner, to) =
        unsafe { (inner(file), std::slice::from_raw_parts_mut(to.cast::<u8>(), amount as usize)) };
    inner.with(|file, _| {
        let from = file.now.get(at as usize..).unwrap_or_default();
        let there = from.len().min(to.len());
        to[..there].copy_from_slice(&from[..there]);
        to[there..].fill(0);
        if there == to.len() { ffi::SQLITE_OK } else { ffi::SQLITE_IOERR_SHORT_READ }
    })
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    amount: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite gives an open file and a buffer of `amount` bytes.
    let (inner, from) =
        unsafe { (inner(file), std::slice::from_raw_parts(from.cast::<u8>(), amount as usize)) };
    inner.with(|file, dead| {
        if dead {
            return ffi::SQLITE_IOERR_WRITE;
        }
        file.write(at as usize, from);
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: SQLite gives an open file.
    unsafe { inner(file) }.with(|file, dead| {
        if dead {
            return ffi::SQLITE_IOERR_TRUNCATE;
        }
        file.truncate(size as usize);
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite gives an open file.
    let inner = unsafe { inner(file) };
    inner.with(|file, dead| {
        if dead {
            return ffi::SQLITE_IOERR_FSYNC;
        }
        file.flush();
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    // SAFETY: SQLite gives an open file and a place for the answer.
    unsafe { *size = inner(file).with(|file, _| file.now.len()) as sqlite3_int64 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite gives an open file.
    let inner = unsafe { inner(file) };
    let before = inner.lock;
    if level <= before {
        return ffi::SQLITE_OK;
    }
    let others = |file: &File| file.shared - usize::from(before >= ffi::SQLITE_LOCK_SHARED);
    let granted = inner.with(|file, _| match level {
        ffi::SQLITE_LOCK_SHARED if !file.exclusive => {
            file.shared += 1;
            true
        }
        ffi::SQLITE_LOCK_RESERVED if !file.reserved => {
            file.reserved = true;
            true
        }
        ffi::SQLITE_LOCK_PENDING | ffi::SQLITE_LOCK_EXCLUSIVE
            if others(file) == 0 && (before >= ffi::SQLITE_LOCK_RESERVED || !file.reserved) =>
        {
            file.reserved = true;
            file.exclusive = true;
            true
        }
        _ => false,
    });
    if !granted {
        return ffi::SQLITE_BUSY;
    }
    inner.lock = level;
    ffi::SQLITE_OK
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite gives an open file.
    let inner = unsafe { inner(file) };
    let before = inner.lock;
    inner.with(|file, _| {
        if before > ffi::SQLITE_LOCK_RESERVED && level <= ffi::SQLITE_LOCK_SHARED {
            file.exclusive = false;
        }
        if before >= ffi::SQLITE_LOCK_RESERVED && level <= ffi::SQLITE_LOCK_SHARED {
            file.reserved = false;
        }
        if before >= ffi::SQLITE_LOCK_SHARED && level == ffi::SQLITE_LOCK_NONE {
            file.shared -= 1;
        }
    });
    inner.lock = before.min(level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite gives an open file and a place for the answer.
    unsafe { *out = c_int::from(inner(file).with(|file, _| file.reserved)) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(
    _file: *mut sqlite3_file,
    _operation: c_int,
    _argument: *mut c_void,
) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut sqlite3_file) -> c_int {
    512
}

/// No promise at all: neither atomic sectors nor appends nor order.
unsafe extern "C" fn characteristics(_file: *mut sqlite3_file) -> c_int {
    0
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite gives an open file and a place for the answer; regions are boxed and stay where they are.
    unsafe {
        let inner = inner(file);
        let first = !std::mem::replace(&mut inner.mapped, true);
        *out = inner.with(|file, _| {
            file.mapped += usize::from(first);
            while file.regions.len() <= region as usize && extend != 0 {
                file.regions.push(vec![0u8; size as usize].into_boxed_slice());
            }
            file.regions
                .get_mut(region as usize)
                .map_or(std::ptr::null_mut(), |region| region.as_mut_ptr().cast())
        });
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: SQLite gives an open file.
    let inner = unsafe { inner(file) };
    let slots = offset as usize..(offset + count) as usize;
    let mut held = inner.held;
    let granted = inner.with(|file, _| {
        if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
            for slot in slots {
                match std::mem::take(&mut held[slot]) {
                    1 => file.slots[slot] -= 1,
                    2 => file.slots[slot] = 0,
                    _ => {}
                }
            }
            return true;
        }
        let shared = flags & ffi::SQLITE_SHM_SHARED != 0;
        let free = slots.clone().all(|slot| match (shared, held[slot]) {
            (_, 2) | (true, 1) => true,
            (true, _) => file.slots[slot] >= 0,
            (false, mine) => file.slots[slot] == i32::from(mine),
        });
        if free {
            for slot in slots {
                match (shared, held[slot]) {
                    (true, 0) => {
                        file.slots[slot] += 1;
                        held[slot] = 1;
                    }
                    (false, _) => {
                        file.slots[slot] = -1;
                        held[slot] = 2;
                    }
                    _ => {}
                }
            }
        }
        free
    });
    inner.held = held;
    if granted { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
}

unsafe extern "C" fn shm_barrier(_file: *mut sqlite3_file) {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: SQLite gives an open file.
    let inner = unsafe { inner(file) };
    if std::mem::take(&mut inner.mapped) {
        inner.with(|file, _| {
            file.mapped -= 1;
            if file.mapped == 0 && delete != 0 {
                file.regions.clear();
            }
        });
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, _sync: c_int) -> c_int {
    // SAFETY: SQLite gives the VFS that was registered and a name.
    let (disk, name) = unsafe { (&*(*vfs).pAppData.cast::<Disk>(), CStr::from_ptr(name).to_string_lossy()) };
    let mut state = disk.state();
    match (state.dead, state.files.remove(&*name)) {
        (true, _) => ffi::SQLITE_IOERR_DELETE,
        (false, None) => ffi::SQLITE_IOERR_DELETE_NOENT,
        (false, Some(_)) => ffi::SQLITE_OK,
    }
}

unsafe extern "C" fn access(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    _flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives the VFS that was registered, a name and a place for the answer.
    unsafe {
        let disk = &*(*vfs).pAppData.cast::<Disk>();
        let there = disk
            .state()
            .files
            .get(&*CStr::from_ptr(name).to_string_lossy())
            .is_some_and(|file| !file.now.is_empty());
        *out = c_int::from(there);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite gives a name and room for `size` bytes.
    unsafe {
        let bytes = CStr::from_ptr(name).to_bytes_with_nul();
        if bytes.len() > size as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(_vfs: *mut sqlite3_vfs, amount: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite gives room for `amount` bytes.
    let out = unsafe { std::slice::from_raw_parts_mut(out.cast::<u8>(), amount as usize) };
    rand::fill(out);
    amount
}

unsafe extern "C" fn sleep(_vfs: *mut sqlite3_vfs, microseconds: c_int) -> c_int {
    std::thread::yield_now();
    microseconds
}

unsafe extern "C" fn current_time(_vfs: *mut sqlite3_vfs, out: *mut sqlite3_int64) -> c_int {
    // Milliseconds since noon of 4714-11-24 before our era, as SQLite counts; any fixed day will do.
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = 2_461_000 * 86_400_000 };
    ffi::SQLITE_OK
}
