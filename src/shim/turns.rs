//! How long a process may have a processor before it is another's turn.
//!
//! From a key to its paint a character passes the client, the server, the shim, the program and
//! back. Each of them needs little, and with a short turn to come it is chosen sooner.

/// Bytes of the first version of `struct sched_attr`.
const ATTRIBUTES: u32 = 48;

/// For the shim, in nanoseconds: the least that the kernel takes.
const SHIM: u64 = 100_000;

/// For the server's loops and for clients, which parse and draw.
const DECK: u64 = 200_000;

/// For programs of a box: a quarter of the kernel's own, so that where many boxes are busy a key is
/// not kept waiting for a full turn of each.
const PROGRAM: u64 = 700_000;

/// As long as the kernel finds right.
const ORDINARY: u64 = 0;

/// What the calling thread does stands between a key and its paint. Threads and processes that it
/// starts have the same turns.
pub fn of_deck() {
    take(DECK);
}

/// What the calling thread does may wait for keys.
pub fn of_work() {
    take(ORDINARY);
}

pub(super) fn of_shim() {
    take(SHIM);
}

/// Only system calls: safe between fork and exec.
pub(super) fn of_programs() {
    take(PROGRAM);
}

/// Best effort: kernels before 6.12 have one length for all, and take no notice.
fn take(nanoseconds: u64) {
    // SAFETY: numbers only; then a pointer to attributes of the size they tell.
    unsafe {
        let niceness = libc::getpriority(libc::PRIO_PROCESS, 0);
        // `struct sched_attr` (sched_setattr(2)): its size and the ordinary policy, no flags, the
        // niceness as it is and no priority; then the turn, no deadline and no period.
        let attributes: [u64; 6] =
            [u64::from(ATTRIBUTES), 0, u64::from(niceness.cast_unsigned()), nanoseconds, 0, 0];
        libc::syscall(libc::SYS_sched_setattr, 0, attributes.as_ptr(), 0);
    }
}
