//! The root of a box: an allow-list of the host, private places, and the environment's own.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use rustix::mount::{MountFlags, MountPropagationFlags};

use super::birth::Settle;
use super::kernel::InotifyShare;
use super::layer::{self, Base, Layer};
use super::tree::{self, Access, Tree};
use super::{kernel, system_files, tree::Access::ReadOnly, tree::Access::Writable};
use crate::engine::{BoxPlan, RUN_DIRECTORY};
use crate::model::failure::{Failure, FailureKind};

/// The shim's binary in the box.
pub const SHIM: &str = "/run/agentdeck-shim";

/// Directories of the host's root that a box sees, with names that begin so.
const SYSTEM: [&str; 6] = ["bin", "lib", "nix", "opt", "sbin", "usr"];

/// Parts of the host's `/var` that a box sees: what is installed and what could be.
const PACKAGES: [&str; 2] = ["/var/lib/dpkg", "/var/lib/apt"];

/// Directories that are there because programs expect them.
const EMPTY: [&str; 4] = ["/home", "/media", "/mnt", "/srv"];

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

const DEVICE_LINKS: [(&str, &str); 6] = [
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
];

/// Parts of `/proc` that tell of the host or reach it.
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/timer_stats",
];

/// Parts of `/proc` that stay readable.
const SEALED: [&str; 4] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"];

/// The terminal group of the usual distributions, where the box knows it.
const TERMINAL_GROUP: u64 = 5;

/// `statfs` type of an overlay (linux/magic.h).
const OVERLAY: u64 = 0x794c_7630;

/// Builds the box's root and makes it this process's own.
pub(super) fn build(
    plan: &BoxPlan,
    home: &Path,
    layer: &Layer,
    inotify: &InotifyShare,
    settle: &mut Settle<'_>,
) -> anyhow::Result<()> {
    layer::use_as_output(&layer.log)?;
    rustix::process::setsid()?;
    let tree = match &layer.base {
        Base::Host { .. } => start(&layer.root())?,
        Base::Image(image) => start_on_image(image, layer)?,
    };
    let host = Host::of(&tree, layer.layers(), plan, View::Live)?;
    if let Base::Host { system_files, .. } = &layer.base {
        host.show_system(system_files, &layer.directory)?;
    }
    private_places(&tree)?;
    environment(&host, plan, home)?;
    settle()?;
    kernel::write_quotas(&Tree::path_of(&tree.directory(Path::new("/proc"))?), inotify)?;
    hide_parts_of_proc(&tree)?;
    rustix::system::sethostname(plan.name.as_str().as_bytes())
        .context("cannot set the host name")?;
    kernel::raise_loopback().context("cannot bring the loopback interface up")?;
    tree.become_root().context("cannot change to the box's root")
}

/// Gives the box that this process has become its name, before any program runs in it.
pub(super) fn take_name(name: &str) -> anyhow::Result<()> {
    rustix::system::sethostname(name.as_bytes()).context("cannot set the host name")?;
    system_files::take_name(Path::new("/etc"), name)
}

/// Puts the system of a box together as it is now, and opens its root. Nothing of it can be
/// written, and what is only there while a box runs is not.
pub(super) fn still(plan: &BoxPlan, layer: &Path, base: &Base) -> anyhow::Result<OwnedFd> {
    let place = layer.join("root");
    let tree = match base {
        Base::Host { system_files, .. } => {
            let tree = start(&place)?;
            let host = Host::of(&tree, layer.join(layer::LAYERS), plan, View::Still)?;
            host.show_system(system_files, layer)?;
            tree
        }
        Base::Image(image) => {
            make_private()?;
            Tree::still(image, &place, &layer.join(layer::LAYERS).join(layer::WHOLE))?
        }
    };
    tree.open().context("cannot open the box's root")
}

/// Tries everything that a kernel may forbid, with layers in `directory`.
pub(super) fn try_out(
    directory: &Path,
    inotify: &InotifyShare,
    settle: &mut Settle<'_>,
) -> anyhow::Result<()> {
    let place = directory.join("root");
    std::fs::create_dir_all(&place)?;
    let tree = start(&place)?;
    let layers = directory.join("layers");
    let mounts = tree::mount_points()?;
    let host = Host { tree: &tree, layers, hidden: directory, mounts, view: View::Live };
    host.overlay(Path::new("/usr/bin"))?;
    tree.special("proc", "/proc", MountFlags::NOSUID, "")?;
    settle()?;
    kernel::write_quotas(&Tree::path_of(&tree.directory(Path::new("/proc"))?), inotify)?;
    tree.become_root().context("cannot change to a new root")
}

fn start(place: &Path) -> anyhow::Result<Tree> {
    make_private()?;
    Tree::mount(place).map_err(|error| kernel::explain("cannot mount a box's root", &error))
}

fn start_on_image(image: &Path, layer: &Layer) -> anyhow::Result<Tree> {
    make_private()?;
    let own = layer.layers().join(layer::WHOLE);
    Tree::over(image, &layer.root(), &own)
        .map_err(|error| explain_overlay("cannot put a layer over the image", &own, &error))
}

fn make_private() -> anyhow::Result<()> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)
        .map_err(|error| kernel::explain("cannot make mounts private", &error.into()))
}

/// Why a layer cannot be laid over something.
fn explain_overlay(step: &str, layer: &Path, error: &io::Error) -> anyhow::Error {
    let kind = rustix::fs::statfs(layer).map(|found| found.f_type as u64);
    if kind == Ok(OVERLAY) {
        let hint = "set AGENTDECK_HOME to a directory on a disk or a volume";
        let message = format!("{step}: {} is itself on an overlay file system", layer.display());
        return Failure::new(FailureKind::Unavailable, message).hint(hint).into();
    }
    kernel::explain(step, error)
}

/// Whether a system is put together to run in or to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Live,
    Still,
}

/// The host's own directories as a box sees them.
struct Host<'a> {
    tree: &'a Tree,
    layers: PathBuf,
    hidden: &'a Path,
    mounts: Vec<PathBuf>,
    view: View,
}

impl<'a> Host<'a> {
    /// A deck's own directory is never part of what a box sees of the host.
    fn of(tree: &'a Tree, layers: PathBuf, plan: &'a BoxPlan, view: View) -> anyhow::Result<Self> {
        let hidden = plan.deck_directory();
        Ok(Self { tree, layers, hidden, mounts: tree::mount_points()?, view })
    }

    /// What the host has installed, the box's own `/etc` and `/var`.
    fn show_system(&self, system_files: &Path, layer: &Path) -> anyhow::Result<()> {
        for entry in std::fs::read_dir("/").context("cannot read /")? {
            let name = entry?.file_name();
            if is_system(&name) {
                self.show(&Path::new("/").join(name))?;
            }
        }
        self.overlay_at(system_files, Path::new("/etc"))?;
        self.tree.bind(&layer.join(layer::VAR), Path::new("/var"), Writable)?;
        for path in PACKAGES.iter().map(Path::new).filter(|path| path.is_dir()) {
            self.show(path)?;
        }
        Ok(())
    }

    /// Shows one path: a link as it is, a directory with changes kept in the layer. A directory
    /// with a mount below is refused by overlay in a user namespace, so it is shown by its parts.
    fn show(&self, path: &Path) -> anyhow::Result<()> {
        let found = std::fs::symlink_metadata(path)?;
        if path == self.hidden {
            Ok(())
        } else if found.is_symlink() {
            self.tree.link(&std::fs::read_link(path)?, path)
        } else if !found.is_dir() {
            if found.is_file() { self.tree.bind(path, path, ReadOnly) } else { Ok(()) }
        } else if self.is_whole(path) {
            self.overlay(path)
        } else {
            self.tree.directory(path)?;
            // An ordinary user sees no more here than they may read.
            for entry in std::fs::read_dir(path).into_iter().flatten() {
                self.show(&entry?.path())?;
            }
            Ok(())
        }
    }

    fn is_whole(&self, path: &Path) -> bool {
        let below = |other: &Path| other != path && other.starts_with(path);
        !below(self.hidden) && !self.mounts.iter().any(|mount| below(mount))
    }

    fn overlay(&self, path: &Path) -> anyhow::Result<()> {
        self.overlay_at(path, path)
    }

    fn overlay_at(&self, source: &Path, path: &Path) -> anyhow::Result<()> {
        let layer = self.layers.join(layer_name(path));
        let shown = match self.view {
            View::Live => self.tree.overlay(source, path, &layer),
            View::Still => self.tree.merged(source, path, &layer),
        };
        let step = || format!("cannot put a layer over {}", path.display());
        shown.map_err(|error| explain_overlay(&step(), &layer, &error))
    }
}

fn is_system(name: &OsStr) -> bool {
    let text = name.to_str().unwrap_or_default();
    SYSTEM.contains(&text) || (text.starts_with("lib") && !text.contains('+'))
}

/// The places of the host that every box on its system sees.
pub(super) fn system_places() -> Vec<PathBuf> {
    let names = std::fs::read_dir("/").into_iter().flatten().flatten();
    let shown = names.map(|entry| entry.file_name()).filter(|name| is_system(name));
    let shown = shown.map(|name| Path::new("/").join(name));
    shown.chain(PACKAGES.iter().map(PathBuf::from)).collect()
}

/// The directories of a box on the host's system in which its programs may do as they like. They
/// are named as `build` makes them, not as they are found, so that nothing is among them that
/// should not be there. `own` are the environment's own: home, workspace and tools.
pub(super) fn open_places<'a>(own: impl Iterator<Item = &'a Path>) -> Vec<PathBuf> {
    let top = |path: &Path| path.components().take(2).collect();
    let made = ["/etc", "/run", "/tmp", "/var"].into_iter().chain(EMPTY).map(PathBuf::from);
    let mut places: Vec<PathBuf> = system_places();
    places.extend(made.chain(own.map(top)));
    places.sort();
    places.dedup();
    places
}

/// A directory name for the layer over `path`, its own for every path.
fn layer_name(path: &Path) -> std::ffi::OsString {
    let name = path.strip_prefix("/").unwrap_or(path).to_string_lossy();
    name.replace('%', "%25").replace('/', "%2f").into()
}

/// The box's own `/dev`, `/proc` and places for temporary files.
fn private_places(tree: &Tree) -> anyhow::Result<()> {
    for path in EMPTY {
        tree.directory(Path::new(path))?;
    }
    let inert = MountFlags::NOSUID | MountFlags::NODEV;
    tree.special("tmpfs", "/tmp", inert, "mode=1777")?;
    tree.special("tmpfs", "/run", inert, "mode=755")?;
    tree.special("tmpfs", "/sys", inert | MountFlags::RDONLY, "mode=555,size=4k")?;
    tree.special("proc", "/proc", inert | MountFlags::NOEXEC, "")?;
    tree.directory(Path::new("/run/lock"))?;
    devices(tree)
}

fn devices(tree: &Tree) -> anyhow::Result<()> {
    tree.special("tmpfs", "/dev", MountFlags::NOSUID | MountFlags::NOEXEC, "mode=755,size=64k")?;
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        tree.bind(&path, &path, Writable)?;
    }
    let group = if kernel::maps_group(TERMINAL_GROUP) { ",gid=5" } else { "" };
    let options = format!("newinstance,ptmxmode=0666,mode=0620{group}");
    tree.special("devpts", "/dev/pts", MountFlags::NOSUID | MountFlags::NOEXEC, &options)?;
    tree.special("tmpfs", "/dev/shm", MountFlags::NOSUID | MountFlags::NODEV, "mode=1777")?;
    for (path, target) in DEVICE_LINKS {
        tree.link(Path::new(target), Path::new(path))?;
    }
    Ok(())
}

/// What the environment brings: home, tools, workspace, git directory, sockets and the shim.
fn environment(host: &Host<'_>, plan: &BoxPlan, home: &Path) -> anyhow::Result<()> {
    let tree = host.tree;
    tree.bind(&plan.home, home, Writable)?;
    // The host's tools need the host's libraries.
    let tools = if plan.image.is_none() { &plan.tools[..] } else { &[] };
    for tool in tools.iter().filter(|tool| tool.exists() && !tool.starts_with(&plan.mount)) {
        host.show(tool)?;
    }
    tree.bind(&plan.workspace, &plan.mount, Writable)?;
    tree.bind(&plan.git, &plan.mount.join(".git"), Writable)?;
    tree.bind(&plan.run, Path::new(RUN_DIRECTORY), Access::Writable)?;
    tree.bind(&plan.shim, Path::new(SHIM), ReadOnly)
}

fn hide_parts_of_proc(tree: &Tree) -> anyhow::Result<()> {
    for path in MASKED {
        tree.mask(Path::new(path)).with_context(|| format!("cannot cover {path}"))?;
    }
    for path in SEALED {
        let known = Path::new(path).exists();
        if known {
            tree.seal(Path::new(path)).with_context(|| format!("cannot seal {path}"))?;
        }
    }
    Ok(())
}

/// Why the workspace cannot stand at `mount` in a box, if it cannot.
pub(super) fn refuse_mount(mount: &Path) -> Option<Failure> {
    let mut parts = mount.components().skip(1).map(Component::as_os_str);
    let (first, second) = (parts.next(), parts.next());
    let whole = |name: &str| first == Some(OsStr::new(name)) && second.is_none();
    let taken =
        ["dev", "etc", "proc", "run", "sys"].iter().any(|name| first == Some(OsStr::new(name)));
    if mount.is_absolute()
        && first.is_some()
        && !taken
        && !["bin", "sbin", "tmp", "usr", "var"].iter().any(|name| whole(name))
    {
        return None;
    }
    let message = format!("a repository at {} cannot be shown in a box", mount.display());
    Some(
        Failure::new(FailureKind::Refused, message)
            .hint("move the repository below a home directory"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_never_stands_in_the_boxs_own_places() {
        for refused in ["/", "/etc", "/proc/x", "/run/x", "/usr", "relative"] {
            assert!(refuse_mount(Path::new(refused)).is_some(), "{refused}");
        }
        for fine in ["/root", "/home/jo/shop", "/usr/local/src/shop", "/tmp/x", "/work"] {
            assert!(refuse_mount(Path::new(fine)).is_none(), "{fine}");
        }
    }

    #[test]
    fn what_the_kernel_shows_of_itself_is_no_place_of_the_box() {
        let own = ["/root", "/work/shop/api", "/home/jo/.cargo/bin"].map(Path::new);
        let places = open_places(own.into_iter());
        for open in ["/usr", "/etc", "/tmp", "/root", "/work", "/home"] {
            assert!(places.contains(&PathBuf::from(open)), "{open} in {places:?}");
        }
        for shut in ["/", "/proc", "/sys", "/dev", "/boot"] {
            assert!(!places.contains(&PathBuf::from(shut)), "{shut} in {places:?}");
        }
    }

    #[test]
    fn two_paths_never_share_a_layer() {
        assert_ne!(layer_name(Path::new("/usr/a%2fb")), layer_name(Path::new("/usr/a/b")));
    }
}
