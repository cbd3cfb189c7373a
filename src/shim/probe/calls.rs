//! System calls that an agent's filter answers itself, tried in a process of their own.
//!
//! Each is made with arguments that cannot work, so that a kernel without the filter answers that
//! the arguments are wrong and nothing happens. Where a call needs none, what it does ends with the
//! process that made it.

use std::io::{self, Read, Write};

use libc::{c_int, c_long, c_void};

use crate::shim::claims::Attempt;

/// An address that is mapped nowhere.
const NOWHERE: *mut c_void = std::ptr::without_provenance_mut(1);
/// `CLONE_NEWUSER` (linux/sched.h).
const NEW_USER: c_long = 0x1000_0000;
/// `IORING_SETUP`, `UFFD_USER_MODE_ONLY` and others are named by their manual pages.
const USER_MODE_ONLY: c_long = 1;
const SEIZE: c_long = 0x4206;
const TYPE_INTO_TERMINAL: c_long = 0x5412;
const CONSOLE_REQUEST: c_long = 0x541c;
const KEYRING_ID: c_long = 0;
const SESSION_KEYRING: c_long = -3;
const SIZE_OF_LOG: c_long = 10;
const RULESET_VERSION: c_long = 1;
const HYPERVISOR: c_long = libc::AF_VSOCK as c_long;
const CIPHERS: c_long = libc::AF_ALG as c_long;
/// The second numbering of system calls on x86-64.
#[cfg(target_arch = "x86_64")]
const FOREIGN: c_long = 0x4000_0000;

/// A name and the call behind it.
pub(super) type Trial = (&'static str, fn() -> c_long);

macro_rules! call {
    ($number:expr $(, $argument:expr)* $(,)?) => {
        // SAFETY: the arguments are numbers, descriptors that do not exist, or an address that is
        // mapped nowhere, which the kernel refuses to read.
        || unsafe { libc::syscall($number $(, $argument as c_long)*) }
    };
}

/// What the filter of an agent forbids, a call or more of each kind.
pub(super) const FORBIDDEN: &[Trial] = &[
    ("unshare", call!(libc::SYS_unshare, NEW_USER)),
    ("setns", call!(libc::SYS_setns, -1, 0)),
    ("clone into a user namespace", clone_new_user),
    ("clone3", call!(libc::SYS_clone3, 0, 0)),
    ("mount", call!(libc::SYS_mount, NOWHERE, NOWHERE, NOWHERE, 0, 0)),
    ("umount2", call!(libc::SYS_umount2, NOWHERE, 0)),
    ("pivot_root", call!(libc::SYS_pivot_root, NOWHERE, NOWHERE)),
    ("open_tree", call!(libc::SYS_open_tree, -1, NOWHERE, 0)),
    ("move_mount", call!(libc::SYS_move_mount, -1, NOWHERE, -1, NOWHERE, 0)),
    ("fsopen", call!(libc::SYS_fsopen, NOWHERE, 0)),
    ("mount_setattr", call!(libc::SYS_mount_setattr, -1, NOWHERE, 0, 0, 0)),
    ("open_by_handle_at", call!(libc::SYS_open_by_handle_at, -1, NOWHERE, 0)),
    ("name_to_handle_at", call!(libc::SYS_name_to_handle_at, -1, NOWHERE, NOWHERE, NOWHERE, 0)),
    ("swapon", call!(libc::SYS_swapon, NOWHERE, 0)),
    ("init_module", call!(libc::SYS_init_module, NOWHERE, 0, NOWHERE)),
    ("finit_module", call!(libc::SYS_finit_module, -1, NOWHERE, 0)),
    ("delete_module", call!(libc::SYS_delete_module, NOWHERE, 0)),
    ("kexec_load", call!(libc::SYS_kexec_load, 0, 17, NOWHERE, 0)),
    ("reboot", call!(libc::SYS_reboot, 0, 0, 0, 0)),
    ("clock_settime", call!(libc::SYS_clock_settime, -1, NOWHERE)),
    ("acct", call!(libc::SYS_acct, NOWHERE)),
    ("syslog", call!(libc::SYS_syslog, SIZE_OF_LOG, 0, 0)),
    ("bpf", call!(libc::SYS_bpf, 0, NOWHERE, 0)),
    ("perf_event_open", call!(libc::SYS_perf_event_open, NOWHERE, 0, -1, -1, 0)),
    ("fanotify_init", call!(libc::SYS_fanotify_init, 0, 0)),
    ("keyctl", call!(libc::SYS_keyctl, KEYRING_ID, SESSION_KEYRING, 0)),
    ("add_key", call!(libc::SYS_add_key, NOWHERE, NOWHERE, 0, 0, 0)),
    ("request_key", call!(libc::SYS_request_key, NOWHERE, NOWHERE, 0, 0)),
    ("userfaultfd", call!(libc::SYS_userfaultfd, USER_MODE_ONLY)),
    ("io_uring_setup", call!(libc::SYS_io_uring_setup, 1, NOWHERE)),
    ("kcmp", call!(libc::SYS_kcmp, 0, 0, 99, 0, 0)),
    ("pidfd_getfd", call!(libc::SYS_pidfd_getfd, -1, 0, 0)),
    ("move_pages", call!(libc::SYS_move_pages, 0, 0, 0, 0, 0, 99)),
    ("TIOCSTI", call!(libc::SYS_ioctl, -1, TYPE_INTO_TERMINAL, NOWHERE)),
    ("TIOCLINUX", call!(libc::SYS_ioctl, -1, CONSOLE_REQUEST, NOWHERE)),
    ("socket of a hypervisor", call!(libc::SYS_socket, HYPERVISOR, 99, 0)),
    ("socket of the kernel's ciphers", call!(libc::SYS_socket, CIPHERS, 99, 0)),
    #[cfg(target_arch = "x86_64")]
    ("iopl", call!(libc::SYS_iopl, 99)),
    #[cfg(target_arch = "x86_64")]
    ("modify_ldt", call!(libc::SYS_modify_ldt, 99, NOWHERE, 0)),
    #[cfg(target_arch = "x86_64")]
    ("calls by their x32 numbers", call!(FOREIGN + libc::SYS_getpid)),
];

/// Reaching into the first process of the box, which has more rights than an agent.
pub(super) const FIRST_PROCESS: &[Trial] = &[
    // Taken hold of without being stopped; let go of at this process's end.
    ("trace", call!(libc::SYS_ptrace, SEIZE, 1, 0, 0)),
    ("read its memory", read_memory_of_first),
];

/// A clone that succeeds is a child that ends at once.
fn clone_new_user() -> c_long {
    let flags = NEW_USER | c_long::from(libc::SIGCHLD);
    // SAFETY: without a stack of its own the child goes on with a copy of this one, and leaves.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        // SAFETY: ends the child.
        0 => unsafe { libc::_exit(0) },
        child if child > 0 => {
            // SAFETY: waits for the child that was just made.
            unsafe { libc::waitpid(child as c_int, std::ptr::null_mut(), 0) };
            child
        }
        error => error,
    }
}

fn read_memory_of_first() -> c_long {
    let mut byte = 0u8;
    let local = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: NOWHERE, iov_len: 1 };
    // SAFETY: at most one byte is written, to the local variable.
    unsafe { libc::process_vm_readv(1, &raw const local, 1, &raw const remote, 1, 0) as c_long }
}

/// The version of Landlock that the kernel offers.
pub(in crate::shim) fn landlock() -> Option<u32> {
    let number = libc::SYS_landlock_create_ruleset;
    // SAFETY: asks for a number; there is no structure to read.
    let version = unsafe { libc::syscall(number, 0, 0, RULESET_VERSION) };
    u32::try_from(version).ok().filter(|version| *version > 0)
}

/// Makes the calls in a forked process, which takes what they may change with it. Where a call
/// ends that process, it and those after it are told as refused by `SIGSYS`'s own error.
pub(super) fn try_all(trials: &[Trial]) -> Vec<Attempt> {
    let errors = errors_of(trials).unwrap_or_default();
    let told =
        errors.chunks_exact(4).map(|bytes| i32::from_ne_bytes([0, 1, 2, 3].map(|at| bytes[at])));
    // A filter that kills instead of answering refuses too.
    let told = told.chain(std::iter::repeat(libc::EPERM));
    trials
        .iter()
        .zip(told)
        .map(|((name, _), error)| Attempt { name: (*name).to_owned(), error })
        .collect()
}

fn errors_of(trials: &[Trial]) -> io::Result<Vec<u8>> {
    let (mut reader, mut writer) = io::pipe()?;
    // SAFETY: this program was started for this and has one thread.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            for (_, trial) in trials {
                let error = if trial() >= 0 {
                    0
                } else {
                    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
                };
                let _ = writer.write_all(&error.to_ne_bytes());
            }
            // SAFETY: leaves at once, without what the parent would do at its end.
            unsafe { libc::_exit(0) }
        }
        child => {
            drop(writer);
            let mut errors = Vec::new();
            let read = reader.read_to_end(&mut errors);
            // SAFETY: waits for the child that was just made.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            read.map(|_| errors)
        }
    }
}
