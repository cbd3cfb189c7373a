//! What nothing but Landlock refuses to an agent, tried. Without it each is done, or refused with
//! another error, and leaves nothing.

use std::ffi::CStr;

use libc::{c_int, c_long};

use super::calls::{Trial, try_all};
use crate::shim::claims::{Attempt, LEAST_LANDLOCK, PROCESS_FILE};
use crate::shim::confinement::UNSTEERED;

/// Each with the version of Landlock that keeps it first.
const TRIALS: [(u32, Trial); 3] = [
    (LEAST_LANDLOCK, ("making a device", make_device)),
    (LEAST_LANDLOCK, (PROCESS_FILE, open_to_write)),
    (5, ("steering a device", steer_device)),
];

/// A path that nothing has. Nothing is made there: an agent has no right to make devices, which
/// is looked at after Landlock was asked.
const NOTHING: &CStr = c"/dev/shm/agentdeck-probe";

/// The process's own name, which any program may change.
const OWN_FILE: &CStr = c"/proc/self/comm";

/// A question about a terminal, which the device does not know.
const QUESTION: libc::Ioctl = libc::TCGETS;

/// Tries what this version keeps.
pub(super) fn tried(version: Option<u32>) -> Vec<Attempt> {
    let version = version.unwrap_or_default();
    let kept = TRIALS.iter().filter(|(first, _)| *first <= version);
    try_all(&kept.map(|(_, trial)| *trial).collect::<Vec<_>>())
}

fn make_device() -> c_long {
    // SAFETY: a path that lives through the call, and numbers.
    let made = unsafe { libc::mknod(NOTHING.as_ptr(), libc::S_IFBLK, libc::makedev(7, 0)) };
    c_long::from(made)
}

fn open_to_write() -> c_long {
    c_long::from(open(OWN_FILE, libc::O_WRONLY))
}

fn steer_device() -> c_long {
    let Ok(path) = std::ffi::CString::new(UNSTEERED) else { return -1 };
    let device = open(&path, libc::O_RDONLY);
    if device < 0 {
        return c_long::from(device);
    }
    let mut answer = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the answer has room for what the question is answered with. The process ends soon,
    // and the descriptor with it.
    c_long::from(unsafe { libc::ioctl(device, QUESTION, answer.as_mut_ptr()) })
}

fn open(path: &CStr, access: c_int) -> c_int {
    // SAFETY: a path that lives through the call.
    unsafe { libc::open(path.as_ptr(), access | libc::O_CLOEXEC) }
}
