//! How the allocator treats memory that is no longer used.
//!
//! By default glibc raises both limits below to the largest block ever freed, up to 32 MiB, and
//! has an arena for each thread. One large diff then makes a server of many environments keep
//! several megabytes for each of them, unused.

/// Blocks from here on are the kernel's again as soon as they are freed. Frames and rows are
/// smaller, and must not cost a system call each.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 1 << 20;

/// Two threads carry bytes; git work on others is rarer and may wait for them.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 2;

/// Sets the limits for this process. Called before it has threads.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    for (limit, value) in [
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, LARGE),
        (libc::M_ARENA_MAX, ARENAS),
    ] {
        // SAFETY: takes numbers only; a limit that is refused stays as it was.
        unsafe { libc::mallopt(limit, value) };
    }
}
