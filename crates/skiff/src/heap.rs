//! What the allocator is told while it runs; the rest it is told when it is built (`.cargo/config.toml`).
//!
//! `unsafe` because jemalloc's only door is a C function; every value that goes through it has the type that its manual names.

use std::ffi::CStr;

/// From now on pages that are freed go back to the system at once. For a process that works for a moment and then rests for
/// minutes: what is kept for a second chance is given back by the next allocation, and at rest there is none.
pub fn keep_nothing() {
    // Those to come, and the two that there may be; one that nobody used yet is not known, and takes the first.
    for name in [c"arenas.dirty_decay_ms", c"arena.0.dirty_decay_ms", c"arena.1.dirty_decay_ms"] {
        set(name, 0);
    }
}

/// What this thread keeps for its next allocations goes to its arena, and from there to the system.
pub fn give_back() {
    // SAFETY: the name ends in NUL; it takes no value and gives none (jemalloc's manual, thread.tcache.flush).
    let code = unsafe {
        tikv_jemalloc_sys::mallctl(
            c"thread.tcache.flush".as_ptr(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            0,
        )
    };
    if code != 0 {
        tracing::debug!(code, "the allocator keeps what it has");
    }
}

fn set(name: &CStr, mut value: isize) {
    // SAFETY: the name ends in NUL, the value is an `ssize_t` as jemalloc's manual (TUNING, *.dirty_decay_ms) has it and
    // lives through the call, and nothing is asked back.
    let code = unsafe {
        tikv_jemalloc_sys::mallctl(
            name.as_ptr(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::from_mut(&mut value).cast(),
            size_of::<isize>(),
        )
    };
    if code != 0 {
        tracing::debug!(?name, code, "the allocator does not take this");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_allocator_knows_the_names() {
        let mut value = -1isize;
        let mut length = size_of::<isize>();
        super::keep_nothing();
        // SAFETY: as above; the answer is as long as its place.
        let code = unsafe {
            tikv_jemalloc_sys::mallctl(
                c"arenas.dirty_decay_ms".as_ptr(),
                std::ptr::from_mut(&mut value).cast(),
                &mut length,
                std::ptr::null_mut(),
                0,
            )
        };
        assert_eq!((code, value), (0, 0));
    }
}
