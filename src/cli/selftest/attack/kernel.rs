//! Calls into the kernel that a box has no business with. Each is made so that it changes nothing:
//! rights are looked at first, and what comes next is an argument that no kernel takes.

use std::ffi::c_long;

use super::Try;

/// More segments than `kexec_load` takes, so that nothing is loaded and nothing unloaded.
const TOO_MANY_SEGMENTS: c_long = c_long::MAX;
/// Minutes west of Greenwich that `settimeofday` refuses after it has looked at rights.
const NO_TIME_ZONE: i32 = 100_000;
/// `ADJ_TICK` (linux/timex.h); a tick of 0 is refused after rights were looked at.
const SET_TICK: u32 = 0x4000;
/// `SYSLOG_ACTION_SIZE_BUFFER` (syslog(2)): tells a number.
const LOG_SIZE: c_long = 10;
/// `KEY_SPEC_THREAD_KEYRING` and `KEY_SPEC_USER_KEYRING` (keyctl(2)).
const THREAD_KEYS: c_long = -1;
const USER_KEYS: c_long = -4;
/// `UFFD_USER_MODE_ONLY` (userfaultfd(2)): what every user may ask for.
const USER_FAULTS: c_long = 1;
/// `FAN_REPORT_FID` of `fanotify_init`: what every user may ask for.
const REPORT_IDS: c_long = 0x200;
/// `struct io_uring_params` and `struct perf_event_attr`, zeroes of their sizes and more.
const PARAMETERS: usize = 256;

/// Asks for what would change the machine for everybody on it.
pub(super) fn host_calls() -> Vec<Try> {
    let none = c"agentdeck-selftest-none".as_ptr();
    let zone = [NO_TIME_ZONE, 0];
    // SAFETY: a plain structure of numbers.
    let mut tick: libc::timex = unsafe { std::mem::zeroed() };
    tick.modes = SET_TICK;
    let null = std::ptr::null::<u8>();
    // SAFETY: pointers are null or to values that live through the call; nothing is written but
    // `tick`.
    unsafe {
        vec![
            call("kexec_load", || {
                libc::syscall(libc::SYS_kexec_load, 0, TOO_MANY_SEGMENTS, null, c_long::MAX)
            }),
            call("init_module", || libc::syscall(libc::SYS_init_module, null, 0, c"".as_ptr())),
            call("finit_module", || libc::syscall(libc::SYS_finit_module, -1, c"".as_ptr(), 0)),
            call("delete_module", || {
                libc::syscall(libc::SYS_delete_module, none, libc::O_NONBLOCK)
            }),
            call("reboot", || libc::syscall(libc::SYS_reboot, 0, 0, 0, null)),
            call("settimeofday", || libc::syscall(libc::SYS_settimeofday, null, zone.as_ptr())),
            call("adjtimex", || libc::syscall(libc::SYS_adjtimex, &raw mut tick)),
            call("sethostname", || libc::syscall(libc::SYS_sethostname, none, -1)),
            call("swapon", || libc::syscall(libc::SYS_swapon, none, 0)),
            call("acct", || libc::syscall(libc::SYS_acct, none)),
            call("syslog", || libc::syscall(libc::SYS_syslog, LOG_SIZE, null, 0)),
            bpf(),
        ]
    }
}

/// Asks for what programs rarely need and what holes were found in.
pub(super) fn risky_calls() -> Vec<Try> {
    let mut parameters = [0u8; PARAMETERS];
    let own = std::process::id();
    // SAFETY: pointers are to values that live through the call; descriptors that are made end
    // with this process.
    let mut tries = unsafe {
        vec![
            call("keyctl", || libc::syscall(libc::SYS_keyctl, 0, USER_KEYS, 0, 0, 0)),
            call("add_key", || {
                let (kind, text) = (c"user".as_ptr(), c"agentdeck-selftest".as_ptr());
                libc::syscall(libc::SYS_add_key, kind, text, text, 4, THREAD_KEYS)
            }),
            call("io_uring_setup", || {
                libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr())
            }),
            call("userfaultfd", || {
                let flags = USER_FAULTS | c_long::from(libc::O_CLOEXEC);
                libc::syscall(libc::SYS_userfaultfd, flags)
            }),
            call("fanotify_init", || libc::syscall(libc::SYS_fanotify_init, REPORT_IDS, 0)),
            call("kcmp", || libc::syscall(libc::SYS_kcmp, own, own, 1, 0, 0)),
            perf_event(),
            open_by_handle(),
            call("a VSOCK socket", || c_long::from(socket(libc::AF_VSOCK, libc::SOCK_STREAM))),
            call("an ALG socket", || c_long::from(socket(libc::AF_ALG, libc::SOCK_SEQPACKET))),
            call("a raw packet socket", || c_long::from(socket(libc::AF_PACKET, libc::SOCK_RAW))),
        ]
    };
    tries.extend(ports());
    tries
}

fn call(what: &str, work: impl FnOnce() -> c_long) -> Try {
    Try::of_call(what, work())
}

fn socket(family: i32, kind: i32) -> i32 {
    // SAFETY: numbers only.
    unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) }
}

/// Makes an array of one element.
fn bpf() -> Try {
    // `BPF_MAP_CREATE` of a `BPF_MAP_TYPE_ARRAY`: type, key size, value size, entries (bpf(2)).
    let mut attributes = [0u32; 32];
    attributes[..4].copy_from_slice(&[2, 4, 8, 1]);
    let size = size_of_val(&attributes);
    // SAFETY: the pointer and the size are those of `attributes`.
    Try::of_call("bpf", unsafe { libc::syscall(libc::SYS_bpf, 0, attributes.as_ptr(), size) })
}

/// Counts this process's own time, in user mode alone.
fn perf_event() -> Try {
    // `PERF_TYPE_SOFTWARE`, its size, `PERF_COUNT_SW_TASK_CLOCK`; then the bits that exclude the
    // kernel and the hypervisor (perf_event_open(2)).
    let mut attributes = [0u32; 32];
    attributes[0] = 1;
    attributes[1] = size_of_val(&attributes) as u32;
    attributes[2] = 1;
    attributes[10] = 1 << 5 | 1 << 6;
    // SAFETY: the pointer is to attributes of the size they tell.
    Try::of_call("perf_event_open", unsafe {
        libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 0)
    })
}

/// Opens this process's working directory by its number, as it could any file of the file system.
fn open_by_handle() -> Try {
    // `struct file_handle`: room for bytes, type, then the handle (open_by_handle_at(2)).
    let mut handle = [0u32; 34];
    handle[0] = 128;
    let mut mount = 0;
    // SAFETY: the kernel writes no more than the room that is told.
    unsafe {
        let named = libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            c".".as_ptr(),
            handle.as_mut_ptr(),
            &raw mut mount,
            0,
        );
        if named != 0 {
            return Try::of_call("open_by_handle_at", named);
        }
        Try::of_call(
            "open_by_handle_at",
            libc::syscall(
                libc::SYS_open_by_handle_at,
                libc::AT_FDCWD,
                handle.as_mut_ptr(),
                libc::O_DIRECTORY,
            ),
        )
    }
}

/// Leave to speak to devices. Nothing is spoken, and the leave ends with this process.
#[cfg(target_arch = "x86_64")]
fn ports() -> [Try; 1] {
    // SAFETY: numbers only.
    [Try::of_call("iopl", unsafe { libc::syscall(libc::SYS_iopl, 3) })]
}

#[cfg(not(target_arch = "x86_64"))]
fn ports() -> [Try; 0] {
    []
}
