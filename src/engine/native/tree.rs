//! Mounts in a box's root while it is put together.
//!
//! Every place is reached from the root's descriptor one component at a time and without following
//! links, since parts of the tree hold what an agent wrote in an earlier run.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags};

/// A root under construction.
pub(super) struct Tree {
    root: OwnedFd,
}

/// Whether a box may write to what it is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Writable,
    ReadOnly,
}

impl Tree {
    /// Mounts an empty root at `place`, an existing directory.
    pub(super) fn mount(place: &Path) -> io::Result<Self> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        // The root itself holds directories and links only.
        rustix::mount::mount("agentdeck", place, "tmpfs", flags, Some(c"mode=755,size=16m"))?;
        let root = rustix::fs::open(
            place,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self { root })
    }

    /// Mounts at `place` the directory `lower`, with changes kept in `layer`, as a root.
    pub(super) fn over(lower: &Path, place: &Path, layer: &Path) -> io::Result<Self> {
        Self::at(place, &overlay_of(&[lower], Some(layer))?)
    }

    /// The same to be read only: the changes that there are over the directory.
    pub(super) fn still(lower: &Path, place: &Path, layer: &Path) -> io::Result<Self> {
        Self::at(place, &overlay_of(&[&layer.join("upper"), lower], None)?)
    }

    fn at(place: &Path, mounted: &OwnedFd) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let below = rustix::fs::open(place, flags, Mode::empty())?;
        put_at(mounted, &below)?;
        Ok(Self { root: rustix::fs::open(place, flags, Mode::empty())? })
    }

    /// Opens the root to be read.
    pub(super) fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.root, ".", flags, Mode::empty())?)
    }

    /// Makes the tree this process's root and lets go of the old one.
    pub(super) fn become_root(self) -> io::Result<()> {
        rustix::process::fchdir(&self.root)?;
        rustix::process::pivot_root(".", ".")?;
        rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH)?;
        Ok(rustix::process::chdir("/")?)
    }

    /// The path through which system calls reach an open place, as long as it is open.
    pub(super) fn path_of(place: &OwnedFd) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", place.as_raw_fd()))
    }

    /// Opens the directory `path` of the box, making what is missing.
    pub(super) fn directory(&self, path: &Path) -> anyhow::Result<OwnedFd> {
        let mut place = self.root.try_clone()?;
        for component in path.components() {
            let Component::Normal(name) = component else { continue };
            place = step_into(&place, name)
                .with_context(|| format!("cannot reach {} in the box", path.display()))?;
        }
        Ok(place)
    }

    /// Opens the file `path` of the box as a place to mount on, making it empty when missing.
    fn file(&self, path: &Path) -> anyhow::Result<OwnedFd> {
        let (parent, name) = self.parent(path)?;
        let make = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&parent, name, make, Mode::from_raw_mode(0o644)) {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).context("cannot make a place for a file"),
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&parent, name, flags, Mode::empty())?)
    }

    fn parent<'p>(&self, path: &'p Path) -> anyhow::Result<(OwnedFd, &'p OsStr)> {
        let parent = self.directory(path.parent().context("the root is no place for a file")?)?;
        Ok((parent, path.file_name().context("a file needs a name")?))
    }

    pub(super) fn link(&self, target: &Path, path: &Path) -> anyhow::Result<()> {
        let (parent, name) = self.parent(path)?;
        rustix::fs::symlinkat(target, &parent, name)
            .with_context(|| format!("cannot make the link {}", path.display()))
    }

    /// Shows the host's directory or file `source` at `path`.
    pub(super) fn bind(&self, source: &Path, path: &Path, access: Access) -> anyhow::Result<()> {
        let is_directory = std::fs::metadata(source)
            .with_context(|| format!("cannot find {}", source.display()))?
            .is_dir();
        let open = || if is_directory { self.directory(path) } else { self.file(path) };
        let opened = open()?;
        let place = Self::path_of(&opened);
        let shown = || format!("cannot show {} in the box", source.display());
        match rustix::mount::mount_bind(source, &place) {
            // Mounts below must come along where this user may not look under them.
            Err(Errno::INVAL) => rustix::mount::mount_bind_recursive(source, &place),
            other => other,
        }
        .with_context(shown)?;
        if access == Access::ReadOnly {
            make_read_only(&open()?).with_context(shown)?;
        }
        Ok(())
    }

    /// Mounts a file system of the kernel's own at `path`.
    pub(super) fn special(
        &self,
        kind: &str,
        path: &str,
        flags: MountFlags,
        options: &str,
    ) -> anyhow::Result<()> {
        let place = self.directory(Path::new(path))?;
        let options = std::ffi::CString::new(options)?;
        rustix::mount::mount(kind, Self::path_of(&place), kind, flags, Some(options.as_c_str()))
            .map_err(|error| super::kernel::explain(&format!("cannot mount {path}"), &error.into()))
    }

    /// Makes `path` of the box read-only where it stands, with what is mounted there.
    pub(super) fn seal(&self, path: &Path) -> anyhow::Result<()> {
        let place = open_existing(&self.root, path)?;
        let through = Self::path_of(&place);
        rustix::mount::mount_bind_recursive(&through, &through)?;
        Ok(make_read_only(&open_existing(&self.root, path)?)?)
    }

    /// Covers a file or directory of the box, when it exists, by an empty one.
    pub(super) fn mask(&self, path: &Path) -> anyhow::Result<()> {
        let Ok(place) = open_existing(&self.root, path) else { return Ok(()) };
        let through = Self::path_of(&place);
        if std::fs::metadata(&through)?.is_dir() {
            let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
            rustix::mount::mount("tmpfs", &through, "tmpfs", flags, Some(c"mode=555,size=4k"))?;
        } else {
            rustix::mount::mount_bind("/dev/null", &through)?;
        }
        Ok(())
    }

    /// Shows the host's directory `source` at `path`, with changes kept in `layer`.
    pub(super) fn overlay(&self, source: &Path, path: &Path, layer: &Path) -> io::Result<()> {
        let mounted = overlay_of(&[source], Some(layer))?;
        put_at(&mounted, &self.directory(path).map_err(io::Error::other)?)
    }

    /// Shows `source` at `path` with the changes that there are in `layer`, to be read only.
    pub(super) fn merged(&self, source: &Path, path: &Path, layer: &Path) -> io::Result<()> {
        let upper = layer.join("upper");
        if !upper.is_dir() {
            return self.bind(source, path, Access::ReadOnly).map_err(io::Error::other);
        }
        let mounted = overlay_of(&[&upper, source], None)?;
        put_at(&mounted, &self.directory(path).map_err(io::Error::other)?)
    }
}

/// An overlay of directories, the uppermost first, and the layer that takes changes, if any may
/// be made.
fn overlay_of(lower: &[&Path], layer: Option<&Path>) -> io::Result<OwnedFd> {
    // Through descriptors, because the options give a meaning to `:` and `\` in paths.
    let open = |path: &Path| rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let system = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&system, "source", "agentdeck")?;
    let opened: Vec<OwnedFd> = lower.iter().map(|path| open(path)).collect::<Result<_, _>>()?;
    let names: Vec<String> =
        opened.iter().map(|place| Tree::path_of(place).to_string_lossy().into_owned()).collect();
    rustix::mount::fsconfig_set_string(&system, "lowerdir", names.join(":"))?;
    let mut changes = Vec::new();
    if let (Some(layer), Some(lowest)) = (layer, lower.last()) {
        for (name, option) in [("upper", "upperdir"), ("work", "workdir")] {
            let directory = layer.join(name);
            std::fs::create_dir_all(&directory)?;
            if name == "upper" {
                std::fs::set_permissions(&directory, std::fs::metadata(lowest)?.permissions())?;
            }
            let place = open(&directory)?;
            rustix::mount::fsconfig_set_string(&system, option, Tree::path_of(&place))?;
            changes.push(place);
        }
    }
    rustix::mount::fsconfig_set_flag(&system, "userxattr")?;
    rustix::mount::fsconfig_create(&system)?;
    let none = MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(rustix::mount::fsmount(&system, FsMountFlags::FSMOUNT_CLOEXEC, none)?)
}

fn put_at(mounted: &OwnedFd, place: &OwnedFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mounted, "", place, "", flags)?)
}

fn step_into(place: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(place, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            rustix::fs::mkdirat(place, name, Mode::from_raw_mode(0o755))?;
            Ok(rustix::fs::openat(place, name, flags, Mode::empty())?)
        }
        other => Ok(other?),
    }
}

/// Opens what stands at `path` under `root`, following no link.
fn open_existing(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let relative = path.strip_prefix("/").unwrap_or(path);
    let mut place = root.try_clone()?;
    for name in relative {
        place = rustix::fs::openat(&place, name, flags, Mode::empty())?;
    }
    Ok(place)
}

/// Makes the mount at an open place read-only. What was forbidden on the mount it was taken from
/// stays so; in a user namespace the kernel insists.
fn make_read_only(place: &OwnedFd) -> io::Result<()> {
    let path = Tree::path_of(place);
    let found = rustix::fs::statvfs(&path)?.f_flag;
    let kept = [
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    let mut flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    for (on, flag) in kept {
        if found.contains(on) {
            flags |= flag;
        }
    }
    Ok(rustix::mount::mount_remount(&path, flags, "")?)
}

/// The mount points of this process.
pub(super) fn mount_points() -> io::Result<Vec<PathBuf>> {
    let text = std::fs::read("/proc/self/mountinfo")?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(mount_point).collect())
}

/// The fifth field of a line, in which blanks and backslashes are octal (`proc(5)`).
pub(super) fn mount_point(line: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        path.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    Some(std::ffi::OsString::from_vec(path).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_a_blank_is_read() {
        let line = b"36 35 98:0 /mnt1 /mnt/a\\040b\\134c rw,noatime - ext3 /dev/root rw";
        assert_eq!(mount_point(line), Some(PathBuf::from("/mnt/a b\\c")));
        assert_eq!(mount_point(b""), None);
    }
}
