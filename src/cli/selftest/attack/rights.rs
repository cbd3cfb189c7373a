//! Rights that a program could gain: another's terminal, devices, programs of root's.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FileType, Mode, OFlags};

use super::files::scratch;
use super::processes::in_child;
use super::{Attack, Got, ORDER, Order, TOKEN, Try, VERB};

/// `TIOCSTI` (asm-generic/ioctls.h).
const PUSH: libc::c_ulong = 0x5412;

/// Opens a terminal, makes it the child's own, and pushes a character into its input.
pub(super) fn push_input() -> Vec<Try> {
    let what = "TIOCSTI";
    let terminal = match own_terminal() {
        Ok(terminal) => terminal,
        Err(error) => return vec![Try::absent(what, format!("no terminal: {error}"))],
    };
    let number = terminal.1.as_raw_fd();
    let pushed = in_child(|| {
        // SAFETY: the descriptor is open in the child too; the character lives through the call.
        let result = unsafe {
            libc::setsid();
            libc::ioctl(number, libc::TIOCSCTTY, 0);
            libc::ioctl(number, PUSH, c"x".as_ptr())
        };
        let error = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        vec![u8::from(result == 0), error as u8]
    });
    let got = match pushed.as_deref() {
        Ok([1, _]) => Got::Reached("typed a character".to_owned()),
        Ok([0, error]) => {
            let error = i32::from(*error);
            let words = io::Error::from_raw_os_error(error).to_string();
            // What a kernel answers that has it turned off.
            if error == libc::EIO { Got::Absent(words) } else { Got::Refused(words) }
        }
        _ => Got::Absent("the child was ended".to_owned()),
    };
    vec![Try { what: what.to_owned(), got }]
}

fn own_terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let slave =
        rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    Ok((master, slave))
}

/// Opening alone is the success: nothing is read from a device, nothing written.
pub(super) fn devices(character: &[(u32, u32)], block: &[(u32, u32)]) -> Vec<Try> {
    let kinds = character.iter().map(|number| (FileType::CharacterDevice, number));
    let kinds = kinds.chain(block.iter().map(|number| (FileType::BlockDevice, number)));
    kinds.map(|(kind, &(major, minor))| device(kind, major, minor)).collect()
}

fn device(kind: FileType, major: u32, minor: u32) -> Try {
    let word = if kind == FileType::BlockDevice { "block" } else { "character" };
    let what = format!("{word} device {major}:{minor}");
    let path = scratch("device");
    let number = rustix::fs::makedev(major, minor);
    if let Err(error) = rustix::fs::mknodat(rustix::fs::CWD, &path, kind, Mode::RUSR, number) {
        return Try::refused(what, format!("mknod: {error}"));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = rustix::fs::open(&path, flags, Mode::empty());
    let _ = std::fs::remove_file(path);
    match opened {
        Ok(_) => Try::reached(what, "made and opened"),
        Err(error @ (rustix::io::Errno::NXIO | rustix::io::Errno::NODEV)) => {
            Try::absent(what, error.to_string())
        }
        Err(error) => Try::refused(what, format!("open: {error}")),
    }
}

/// Makes the copies that can be made, so that `RunSetuid` has something to start.
pub(super) fn make_setuid(paths: &[PathBuf]) -> Vec<Try> {
    let make = |path: &Path| -> io::Result<()> {
        std::fs::copy("/proc/self/exe", path)?;
        std::os::unix::fs::chown(path, Some(0), Some(0))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o4755))
    };
    let told = |path: &PathBuf| {
        let what = path.display().to_string();
        match make(path) {
            Ok(()) => Try::refused(what, "made"),
            Err(error) => Try::absent(what, error.to_string()),
        }
    };
    paths.iter().map(told).collect()
}

/// Starts each program as an ordinary user and asks it for its rights.
pub(super) fn run_setuid(order: &Order, paths: &[PathBuf], user: Option<u32>) -> Vec<Try> {
    let start = |path: &PathBuf| {
        let what = path.display().to_string();
        let started = start(order, path, user);
        match started.map(|text| serde_json::from_slice::<Vec<Try>>(&text)) {
            Ok(Ok(told)) => match told.into_iter().next() {
                Some(Try { got, .. }) => Try { what, got },
                None => Try::absent(what, "said nothing"),
            },
            Ok(Err(_)) => Try::refused(what, "did not start"),
            Err(error) => Try::absent(what, error.to_string()),
        }
    };
    paths.iter().filter(|path| path.exists()).map(start).collect()
}

/// The program is opened before rights are given up, because its directory may be root's alone.
fn start(order: &Order, path: &Path, user: Option<u32>) -> io::Result<Vec<u8>> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let text = |text: String| CString::new(text).map_err(io::Error::other);
    let words = [text("agentdeck".to_owned())?, text(VERB.to_owned())?];
    let inner = Order { attack: Attack::TellRights, ..order.clone() };
    let inner = serde_json::to_string(&inner).map_err(io::Error::other)?;
    let variables = [text(format!("{TOKEN}={}", order.token))?, text(format!("{ORDER}={inner}"))?];
    let mut command = Command::new("/proc/self/exe");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // SAFETY: between fork and exec only system calls are made; what they point to was made
    // before. The program replaces the one that the command names.
    unsafe {
        command.pre_exec(move || {
            if let Some(user) = user
                && (libc::setgroups(0, std::ptr::null()) != 0
                    || libc::setresgid(user, user, user) != 0
                    || libc::setresuid(user, user, user) != 0)
            {
                return Err(io::Error::last_os_error());
            }
            let arguments = [words[0].as_ptr(), words[1].as_ptr(), std::ptr::null()];
            let variables = [variables[0].as_ptr(), variables[1].as_ptr(), std::ptr::null()];
            libc::fexecve(file.as_raw_fd(), arguments.as_ptr(), variables.as_ptr());
            Err(io::Error::last_os_error())
        });
    }
    Ok(command.output()?.stdout)
}

/// Another user than the one who started it, or capabilities, are rights that it gained.
pub(super) fn tell() -> Vec<Try> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    let capabilities = u64::from_str_radix(&field("CapEff"), 16).unwrap_or(u64::MAX);
    let (real, effective) =
        (rustix::process::getuid().as_raw(), rustix::process::geteuid().as_raw());
    let told = format!("user {real}, acting as {effective}, capabilities {capabilities:x}");
    vec![if real != effective || capabilities != 0 {
        Try::reached("rights", told)
    } else {
        Try::refused("rights", told)
    }]
}
