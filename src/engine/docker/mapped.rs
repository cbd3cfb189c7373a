//! Mounts in which the agent's files belong to the user who is root.
//!
//! An agent never runs as user 0 of the host. Where the user is root, the agent gets a number of
//! its own, and its directories are bound through an id-mapped mount: what it makes is stored as
//! root's, what root made is the agent's in the box. A mount is needed only while a container
//! starts, because the container keeps a copy; nothing of it outlives the start on the host.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};
use rustix::process::{Pid, Signal};

/// The agent's number where the user is root. Images that have an ordinary user give it this one,
/// so that directories made for it can be written.
const AGENT: u32 = 1000;

/// Under whose number the agent runs in the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BoxUser {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The user's own numbers cannot be used: the agent's directories need mapped mounts.
    pub(super) mapped: bool,
}

impl BoxUser {
    /// The agent of a user with these numbers.
    pub(super) fn of(uid: u32, gid: u32) -> Self {
        if uid == 0 {
            Self { uid: AGENT, gid: AGENT, mapped: true }
        } else {
            Self { uid, gid, mapped: false }
        }
    }

    /// The agent of the user this process belongs to.
    pub(super) fn here() -> Self {
        Self::of(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    }
}

/// Who makes files in a mapped mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// The agent's own processes.
    Agent,
    /// A process of the runtime's, as root, which then gives the file to the agent.
    Runtime,
}

impl Writer {
    /// Who it is under a runtime of this name: gVisor's serves files itself.
    pub(super) fn under(runtime: Option<&str>) -> Self {
        if runtime.is_some_and(|name| name.contains("runsc")) { Self::Runtime } else { Self::Agent }
    }
}

/// Mapped mounts, taken down when dropped.
#[derive(Debug, Default)]
pub(super) struct MappedMounts {
    targets: Vec<PathBuf>,
}

impl MappedMounts {
    /// Mounts each source on its target, which is made when missing, with root's files shown as
    /// those of `user`. Blocking.
    pub(super) fn make(
        user: BoxUser,
        writer: Writer,
        pairs: &[(&Path, &Path)],
    ) -> io::Result<Self> {
        let names = user_namespace(user, writer)?;
        let mut mounts = Self::default();
        for (source, target) in pairs {
            prepare_target(target)?;
            mount_mapped(source, target, &names)?;
            mounts.targets.push(target.to_path_buf());
        }
        Ok(mounts)
    }
}

impl Drop for MappedMounts {
    fn drop(&mut self) {
        for target in &self.targets {
            if let Err(error) = unmount(target) {
                tracing::warn!("cannot unmount {}: {error}", target.display());
            }
        }
    }
}

/// Makes the directories that mounts go on. Without its mount such a directory is empty and shut,
/// so a container started by someone else finds nothing there.
pub(super) fn prepare_target(target: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    unmount(target)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(target)
}

/// Takes down what is mounted on `target`, if anything: a server that was killed during a start
/// leaves a mount behind.
pub(super) fn unmount(target: &Path) -> io::Result<()> {
    match rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        // Not a mount, or not there; a user without rights has made no mount.
        Ok(())
        | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT | rustix::io::Errno::PERM) => {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn mount_mapped(source: &Path, target: &Path, names: &OwnedFd) -> io::Result<()> {
    let tree = rustix::mount::open_tree(
        rustix::fs::CWD,
        source,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        attr_clr: 0,
        propagation: 0,
        userns_fd: names.as_raw_fd() as u64,
    };
    // SAFETY: the path is an empty C string, and pointer and size describe `attributes`.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    rustix::mount::move_mount(
        tree.as_fd(),
        "",
        rustix::fs::CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    Ok(())
}

/// A user namespace whose only user and group are the host's root, seen as `user`. For a runtime
/// that writes as root, root is there too: stored under the number of `user`, as what the box's own
/// root makes then is. No process stays in it.
fn user_namespace(user: BoxUser, writer: Writer) -> io::Result<OwnedFd> {
    let table = |number: u32| match writer {
        Writer::Agent => format!("0 {number} 1"),
        Writer::Runtime => format!("0 {number} 1\n{number} 0 1"),
    };
    let child = NamespaceChild::start()?;
    let directory = PathBuf::from(format!("/proc/{}", child.pid.as_raw_nonzero()));
    std::fs::write(directory.join("uid_map"), table(user.uid))?;
    std::fs::write(directory.join("gid_map"), table(user.gid))?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(directory.join("ns/user"), flags, Mode::empty())?)
}

/// A process that does nothing but hold a new user namespace; ended and reaped when dropped.
struct NamespaceChild {
    pid: Pid,
    /// The child ends when this is closed.
    _held: OwnedFd,
}

impl NamespaceChild {
    fn start() -> io::Result<Self> {
        let (far, near) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let (far_raw, near_raw) = (far.as_raw_fd(), near.as_raw_fd());
        // No exit signal: whoever waits for children of this program does not see this one.
        let flags = libc::CLONE_NEWUSER;
        // SAFETY: like fork, with null for stack and thread ids. The child of a program with
        // threads may only use system calls, and does: it closes, reads and exits.
        let result =
            unsafe { libc::syscall(libc::SYS_clone, flags, 0usize, 0usize, 0usize, 0usize) };
        if result == 0 {
            // SAFETY: system calls on the child's own copies of the descriptors. The read ends
            // when the parent closes its end or dies, so the child cannot be left behind.
            unsafe {
                libc::close(near_raw);
                let mut byte = 0u8;
                libc::read(far_raw, (&raw mut byte).cast(), 1);
                libc::_exit(0)
            }
        }
        let pid = i32::try_from(result).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(io::Error::last_os_error)?;
        Ok(Self { pid, _held: near })
    }
}

impl Drop for NamespaceChild {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        let mut status = 0;
        // `__WALL` because a child without an exit signal is not waited for otherwise.
        // SAFETY: the pointer is to a local that lives through the call.
        unsafe { libc::waitpid(self.pid.as_raw_nonzero().get(), &raw mut status, libc::__WALL) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn only_root_gets_another_number() {
        assert_eq!(BoxUser::of(501, 20), BoxUser { uid: 501, gid: 20, mapped: false });
        let root = BoxUser::of(0, 0);
        assert!(root.mapped && root.uid != 0 && root.gid != 0);
    }

    #[test]
    fn what_a_runtime_makes_as_root_and_gives_away_is_stored_as_roots() {
        if !rustix::process::geteuid().is_root() {
            return; // Only root has mapped mounts, and only root needs them.
        }
        let root = tempfile::tempdir().expect("a directory");
        let (source, target) = (root.path().join("source"), root.path().join("target"));
        std::fs::create_dir(&source).expect("made");
        let user = BoxUser::of(0, 0);
        let pairs = [(&*source, &*target)];
        let mounts = MappedMounts::make(user, Writer::Agent, &pairs).expect("mounted");
        std::fs::write(target.join("file"), "text").expect_err("root is nobody there");
        drop(mounts);
        let writer = Writer::under(Some("runsc"));
        let _mounts = MappedMounts::make(user, writer, &pairs).expect("mounted");
        std::fs::write(target.join("file"), "text").expect("written");
        std::os::unix::fs::chown(target.join("file"), Some(user.uid), Some(user.gid))
            .expect("given away");
        let stored = std::fs::metadata(source.join("file")).expect("there");
        assert_eq!((stored.uid(), stored.gid()), (0, 0));
    }

    #[test]
    fn a_mapped_mount_shows_roots_files_as_the_agents_and_is_taken_down() {
        if !rustix::process::geteuid().is_root() {
            return; // Only root has mapped mounts, and only root needs them.
        }
        let root = tempfile::tempdir().expect("a directory");
        let (source, target) = (root.path().join("source"), root.path().join("a/target"));
        std::fs::create_dir(&source).expect("made");
        std::fs::write(source.join("file"), "text").expect("written");
        let user = BoxUser::of(0, 0);
        for _ in 0..2 {
            let mounts =
                MappedMounts::make(user, Writer::Agent, &[(&source, &target)]).expect("mounted");
            let seen = std::fs::metadata(target.join("file")).expect("seen");
            assert_eq!((seen.uid(), seen.gid()), (user.uid, user.gid));
            assert_eq!(std::fs::metadata(source.join("file")).expect("there").uid(), 0);
            std::mem::forget(mounts); // As a kill would; the second round clears it away.
        }
        unmount(&target).expect("unmounted");
        assert!(std::fs::read_dir(&target).expect("read").next().is_none());
        unmount(&target).expect("unmounting nothing is fine");
    }
}
