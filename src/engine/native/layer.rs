//! A box's own layer: what it changed of the system, kept over stop and start.
//!
//! Everything here is written before the box first runs. Afterwards the box owns the files, and
//! nothing on the host may write by path among them again.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{image, system_files};
use crate::engine::BoxPlan;
use crate::model::failure::{Failure, FailureKind};

/// The layer's directory in the environment's.
pub(super) const DIRECTORY: &str = "layer";

/// Names the image that a layer is laid over, if it is one.
pub(super) const IMAGE: &str = "image";

/// What is kept of each directory of the host, one directory for each.
pub(super) const LAYERS: &str = "layers";

/// The changes in one of them, beside what the kernel needs for its work.
pub(super) const UPPER: &str = "upper";

/// The changes to a whole image: no path of the host is called so.
pub(super) const WHOLE: &str = "%";

/// The box's `/var`, where it is not an image's.
pub(super) const VAR: &str = "var";

/// Directories of `/var` that programs expect, beside those that show the host's.
const VARIABLE: [&str; 12] = [
    "backups",
    "cache/apt/archives/partial",
    "cache/debconf",
    "lib/apt",
    "lib/dpkg",
    "lib/misc",
    "local",
    "log/apt",
    "mail",
    "opt",
    "spool",
    "tmp",
];

/// What a box's layer is laid over.
pub(super) enum Base {
    /// The host's system, with these files for its `/etc`, which stay for as long as the lock is
    /// open: by the box's first process, to its end.
    Host { system_files: PathBuf, _held: OwnedFd },
    /// The unpacked root of an image.
    Image(PathBuf),
}

impl Base {
    pub(super) fn of(plan: &BoxPlan) -> anyhow::Result<Self> {
        if let Some(image) = image::of(plan)? {
            return Ok(Self::Image(image.root));
        }
        let (system_files, held) = system_files::hold(plan.deck_directory())?;
        Ok(Self::Host { system_files, _held: held })
    }
}

/// A layer that is ready and, until the box ends, locked.
pub(super) struct Layer {
    pub(super) directory: PathBuf,
    pub(super) log: OwnedFd,
    pub(super) base: Base,
    /// Kept open by the box's first process: the kernel leaves it undefined what two overlays on
    /// one upper directory do.
    _lock: OwnedFd,
}

impl Layer {
    /// Where the box's root is put together; empty on disk.
    pub(super) fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// Where the changes to each directory of the host are kept.
    pub(super) fn layers(&self) -> PathBuf {
        self.directory.join(LAYERS)
    }
}

/// Locks the layer of `plan` and makes what it lacks.
pub(super) fn prepare(plan: &BoxPlan) -> anyhow::Result<Layer> {
    let directory = plan.directory.join(DIRECTORY);
    std::fs::create_dir_all(directory.join("root"))
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let lock = lock(&directory)?;
    std::fs::create_dir_all(directory.join(LAYERS)).context("cannot make the layers")?;
    let log = open_log(&plan.directory)?;
    let base = Base::of(plan)?;
    let layers = directory.join(LAYERS);
    if let Base::Image(_) = base {
        fill(&layers, WHOLE, |layer| system_files::write_into_image(layer, plan))?;
    } else {
        fill(&layers, "etc", |layer| system_files::write_own(layer, plan))?;
        fill(&directory, VAR, write_variable)?;
    }
    Ok(Layer { log, base, directory, _lock: lock })
}

/// Makes the directory of a plan's layer and refuses one that a box runs over.
pub(super) fn require_free(plan: &BoxPlan) -> anyhow::Result<()> {
    let directory = plan.directory.join(DIRECTORY);
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    lock(&directory).map(drop)
}

fn lock(directory: &Path) -> anyhow::Result<OwnedFd> {
    // Inherited on purpose: the lock lives as long as the box's first process.
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW;
    let lock = rustix::fs::open(directory.join("lock"), flags, Mode::RUSR | Mode::WUSR)
        .context("cannot open the layer's lock")?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::WOULDBLOCK) => {
            let message = format!("the box over {} runs already", directory.display());
            Err(Failure::new(FailureKind::AlreadyExists, message).into())
        }
        Err(error) => Err(error).context("cannot lock the layer"),
    }
}

/// Makes a part of the layer whole or not at all; one that exists is the box's own.
fn fill(
    directory: &Path,
    name: &str,
    write: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let whole = directory.join(name);
    if whole.exists() {
        return Ok(());
    }
    let partial = directory.join(format!("{name}.partial"));
    if partial.exists() {
        std::fs::remove_dir_all(&partial).context("cannot clear an interrupted layer")?;
    }
    std::fs::create_dir(&partial)?;
    write(&partial).with_context(|| format!("cannot make the box's /{name}"))?;
    Ok(std::fs::rename(&partial, &whole)?)
}

fn write_variable(directory: &Path) -> anyhow::Result<()> {
    for name in VARIABLE {
        std::fs::create_dir_all(directory.join(name))?;
    }
    std::fs::set_permissions(directory.join("tmp"), std::fs::Permissions::from_mode(0o1777))?;
    symlink("/run", directory.join("run"))?;
    Ok(symlink("/run/lock", directory.join("lock"))?)
}

/// What the shim has to say when it cannot serve, in the environment's directory.
pub(super) fn open_log(directory: &Path) -> anyhow::Result<OwnedFd> {
    let flags =
        OFlags::CREATE | OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(directory.join("shim.log"), flags, Mode::RUSR | Mode::WUSR)
        .context("cannot open the shim's log")
}

/// Makes `log` the standard output and error of this process, and nothing its input.
pub(super) fn use_as_output(log: &OwnedFd) -> anyhow::Result<()> {
    let nothing = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(log)?;
    Ok(rustix::stdio::dup2_stderr(log)?)
}
