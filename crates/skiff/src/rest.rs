//! What a process that came to rest gives back: the pages of its own program that it used for what is over, and the heap's
//! free pages. A start, a sync or a look at Git runs through megabytes of code that the hours after it do not need, and the
//! system maps 64 KiB around each page that is touched (`fault_around_bytes`).
//!
//! The program's code and constants are as they are in the file, so that a page that is given back comes from the system's
//! cache of files at the next use, by a minor fault: nothing is lost, nothing is written, and nothing is read from the disk
//! unless the system needed the memory. What is written to (`.data`, tables that relocation filled) is never touched.
//!
//! Nothing wakes for this: a thread that has nothing left to do counts its faults, and only many of them start a timer.
//!
//! `unsafe` because the list of segments and `madvise` are C functions.

use std::ffi::{c_int, c_void};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::resource::{UsageWho, getrusage};
use tokio::sync::Notify;

/// Faults after which there is something to give back: each made up to 16 pages of the program resident.
const MANY: i64 = 48;
/// Less than a core divided by this is rest: timers, bookmarks of watches.
const RESTING: u32 = 100;

/// Between two counts of faults at a server, in milliseconds.
const LOOK: u64 = 100;

static LOOKED: AtomicU64 = AtomicU64::new(0);
static WORKED: Notify = Notify::const_new();
/// Faults of the process when it gave back last.
static BEFORE: AtomicI64 = AtomicI64::new(0);

/// Minor faults of the process so far, and its processor time.
fn used() -> (i64, Duration) {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return (0, Duration::ZERO) };
    let times = [usage.user_time(), usage.system_time()];
    let micros: i64 = times.iter().map(|time| time.tv_sec() * 1_000_000 + time.tv_usec()).sum();
    (usage.minor_page_faults(), Duration::from_micros(u64::try_from(micros).unwrap_or_default()))
}

/// For a runtime's `on_thread_park`: its thread has nothing to do now.
pub fn parked() {
    if used().0 - BEFORE.load(Ordering::Relaxed) > MANY {
        WORKED.notify_one();
    }
}

/// [`parked`] for a server, whose threads park thousands of times a second, while the system walks all of them to count: every
/// [`LOOK`] at the most.
pub fn one_parked() {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let now = START.elapsed().as_millis() as u64;
    if now >= LOOKED.load(Ordering::Relaxed) + LOOK {
        LOOKED.store(now, Ordering::Relaxed);
        parked();
    }
}

/// Gives back whenever the process did something and then rested for as long as `quiet`; never ends.
pub async fn keep(quiet: Duration) {
    loop {
        WORKED.notified().await;
        loop {
            let before = used().1;
            tokio::time::sleep(quiet).await;
            if used().1.saturating_sub(before) < quiet / RESTING {
                break;
            }
        }
        if used().0 - BEFORE.load(Ordering::Relaxed) > MANY {
            crate::heap::give_back();
            give_back();
            BEFORE.store(used().0, Ordering::Relaxed);
        }
    }
}

/// Unmaps the program's own code and constants; what is used comes back page by page.
pub fn give_back() {
    advise(libc::MADV_DONTNEED);
}

/// From now on the program is mapped by small pages, also where the file lies in memory in pieces of 2 MiB, as it does after it
/// was written: one instruction would count for all of them.
pub fn by_small_pages() {
    advise(libc::MADV_NOHUGEPAGE);
}

struct Advice {
    advice: c_int,
    /// Where it was taken: start and end.
    taken: Vec<(usize, usize)>,
}

/// Gives the advice for each segment of the program that is never written to.
fn advise(advice: c_int) -> Vec<(usize, usize)> {
    let mut advice = Advice { advice, taken: Vec::new() };
    // SAFETY: `segments` is of the type that dl_iterate_phdr(3) wants, and uses `advice` while this call lasts.
    unsafe { libc::dl_iterate_phdr(Some(segments), (&raw mut advice).cast()) };
    advice.taken
}

/// Of the first object, which is the program; ends the walk there.
unsafe extern "C" fn segments(info: *mut libc::dl_phdr_info, _: libc::size_t, data: *mut c_void) -> c_int {
    // SAFETY: dl_iterate_phdr(3) gives a filled structure, whose headers live as long as the program.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr as usize, std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()))
    };
    // SAFETY: `advise` gave the address of its own, and waits.
    let advice = unsafe { &mut *data.cast::<Advice>() };
    for header in headers.iter().filter(|one| one.p_type == libc::PT_LOAD && one.p_flags & libc::PF_W == 0) {
        let (start, end) = pages(base + header.p_vaddr as usize, header.p_memsz as usize);
        // SAFETY: the range is a mapping of the program's file that nobody can write to: dropped or mapped otherwise, its
        // bytes are the file's at the next use. It shares no page with a segment that can be written to, as each page has one
        // protection. A refusal (a system without such pages) changes nothing.
        if unsafe { libc::madvise(start as *mut c_void, end - start, advice.advice) } == 0 {
            advice.taken.push((start, end));
        }
    }
    1
}

/// The whole pages around a range of addresses.
fn pages(start: usize, length: usize) -> (usize, usize) {
    // SAFETY: sysconf(3) only reads.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    (start / page * page, (start + length).div_ceil(page) * page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pages_are_advised_on() {
        let page = pages(1, 1).1;
        assert_eq!(pages(page, page), (page, 2 * page));
        assert_eq!(pages(page + 1, page), (page, 3 * page));
    }

    #[test]
    fn code_is_given_back_and_what_was_written_is_not() {
        static WRITTEN: AtomicI64 = AtomicI64::new(1);
        WRITTEN.store(7, Ordering::SeqCst);
        by_small_pages();
        let given = advise(libc::MADV_DONTNEED);
        let inside = |address: usize| given.iter().any(|(start, end)| (*start..*end).contains(&address));
        assert!(inside(give_back as fn() as usize), "{given:x?}");
        assert!(!inside(&raw const WRITTEN as usize) && !inside(&raw const BEFORE as usize), "{given:x?}");
        assert_eq!(WRITTEN.load(Ordering::SeqCst), 7);
    }
}
