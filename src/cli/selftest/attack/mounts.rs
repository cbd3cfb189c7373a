//! Namespaces within a box, and mounts.

use std::ffi::c_long;
use std::os::unix::ffi::OsStrExt;

use super::Try;
use super::files::scratch;
use super::processes::in_child;

const NAMESPACES: [(&str, i32); 7] = [
    ("a user namespace", libc::CLONE_NEWUSER),
    ("a mount namespace", libc::CLONE_NEWNS),
    ("a network namespace", libc::CLONE_NEWNET),
    ("a process namespace", libc::CLONE_NEWPID),
    ("a UTS namespace", libc::CLONE_NEWUTS),
    ("an IPC namespace", libc::CLONE_NEWIPC),
    ("a user and a mount namespace", libc::CLONE_NEWUSER | libc::CLONE_NEWNS),
];

/// A call on a directory of the attack's own.
type Way = fn(*const libc::c_char) -> c_long;

/// `struct clone_args` up to its first size (clone3(2)).
const CLONE_ARGUMENTS: usize = 8;

/// Each is asked for in a child, which ends at once.
pub(super) fn new_namespaces() -> Vec<Try> {
    let mut tries: Vec<Try> = NAMESPACES
        .iter()
        .map(|(what, flags)| {
            let unshare = || {
                // SAFETY: numbers only.
                outcome(c_long::from(unsafe { libc::unshare(*flags) }))
            };
            told(&format!("unshare: {what}"), in_child(unshare))
        })
        .collect();
    let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
    tries.push(told("clone: a user namespace", in_child(|| outcome(clone(flags)))));
    tries.push(told("clone3: a user namespace", in_child(|| outcome(clone3()))));
    let enter = || {
        // SAFETY: a path that lives through the call, and the descriptor that it gave.
        outcome(unsafe {
            let own = libc::open(c"/proc/self/ns/uts".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            c_long::from(libc::setns(own, libc::CLONE_NEWUTS))
        })
    };
    tries.push(told("setns", in_child(enter)));
    tries
}

fn clone(flags: i32) -> c_long {
    // SAFETY: without a new stack and memory this is a fork; the child ends at once.
    unsafe {
        let child = libc::syscall(libc::SYS_clone, c_long::from(flags), 0, 0, 0, 0);
        if child == 0 {
            libc::_exit(0);
        }
        child
    }
}

fn clone3() -> c_long {
    let mut arguments = [0u64; CLONE_ARGUMENTS];
    arguments[0] = libc::CLONE_NEWUSER as u64;
    arguments[4] = libc::SIGCHLD as u64;
    // SAFETY: as `clone`; the pointer and the size are those of `arguments`.
    unsafe {
        let size = size_of_val(&arguments);
        let child = libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size);
        if child == 0 {
            libc::_exit(0);
        }
        child
    }
}

/// Tries mounts in a namespace of their own; where that is refused, in a box, in the one at hand.
/// The control never touches the host's own mounts.
pub(super) fn mounts(outside: bool) -> Vec<Try> {
    let place = scratch("mount");
    if let Err(error) = std::fs::create_dir_all(&place) {
        return vec![Try::absent("mounts", error.to_string())];
    }
    let Ok(path) = std::ffi::CString::new(place.as_os_str().as_bytes()) else { return Vec::new() };
    let ways: [(&str, Way); 7] = [
        ("mount", |path| mount(c"tmpfs".as_ptr(), path, c"tmpfs".as_ptr(), 0)),
        ("mount of another place", |path| {
            mount(c"/".as_ptr(), path, std::ptr::null(), libc::MS_BIND)
        }),
        ("umount", |path| {
            // SAFETY: a path that lives through the call; nothing is mounted there.
            c_long::from(unsafe { libc::umount2(path, 0) })
        }),
        ("pivot_root", |path| {
            // SAFETY: as above; neither is a root that could be changed to.
            unsafe { libc::syscall(libc::SYS_pivot_root, path, path) }
        }),
        ("fsopen", |_| {
            // SAFETY: a name that lives through the call.
            unsafe { libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), 0) }
        }),
        ("open_tree", |path| {
            // `OPEN_TREE_CLONE`. SAFETY: a path that lives through the call.
            unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path, 1) }
        }),
        ("move_mount", |path| {
            // SAFETY: as above; a directory that is no mount.
            let here = libc::AT_FDCWD;
            unsafe { libc::syscall(libc::SYS_move_mount, here, path, here, path, 0) }
        }),
    ];
    let mut tries = Vec::new();
    for (what, way) in ways {
        let attempt = || {
            if !private_mounts() && outside {
                return outcome_of(libc::EPERM);
            }
            outcome(way(path.as_ptr()))
        };
        tries.push(told(what, in_child(attempt)));
    }
    let _ = std::fs::remove_dir(place);
    tries
}

/// Leaves the mounts of others alone from here on.
fn private_mounts() -> bool {
    let private = libc::MS_PRIVATE | libc::MS_REC;
    // SAFETY: numbers, and paths that live through the calls.
    unsafe {
        let own = libc::unshare(libc::CLONE_NEWNS) == 0
            || libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) == 0;
        own && mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), private) == 0
    }
}

fn mount(
    source: *const libc::c_char,
    target: *const libc::c_char,
    kind: *const libc::c_char,
    flags: libc::c_ulong,
) -> c_long {
    // SAFETY: the callers' strings live through the call, or are null where that is allowed.
    c_long::from(unsafe { libc::mount(source, target, kind, flags, std::ptr::null()) })
}

/// What a child tells of a call: the error's number, 0 for none.
fn outcome(result: c_long) -> Vec<u8> {
    if result >= 0 {
        return outcome_of(0);
    }
    outcome_of(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EPERM))
}

fn outcome_of(error: i32) -> Vec<u8> {
    error.to_ne_bytes().to_vec()
}

fn told(what: &str, outcome: std::io::Result<Vec<u8>>) -> Try {
    let number = outcome.map(|bytes| bytes.try_into().map(i32::from_ne_bytes));
    match number {
        Ok(Ok(0)) => Try::reached(what, "allowed"),
        Ok(Ok(error)) => {
            let words = std::io::Error::from_raw_os_error(error).to_string();
            match error {
                // Limits of zero are a refusal too.
                libc::EPERM | libc::EACCES | libc::ENOSPC | libc::ENOSYS | libc::EUSERS => {
                    Try::refused(what, words)
                }
                _ => Try::reached(what, format!("passed the check of rights: {words}")),
            }
        }
        Ok(Err(_)) => Try::refused(what, "ended by the kernel"),
        Err(error) => Try::absent(what, error.to_string()),
    }
}
