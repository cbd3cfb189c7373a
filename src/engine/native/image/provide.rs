//! Images unpacked for boxes, once for each: `images/ID` in the deck's home has the root, which
//! boxes lay their own layers over and nobody changes, and what the image says of its programs.

use std::fs::Permissions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, Mode, OFlags, ResolveFlags, flock};
use sha2::{Digest, Sha256};

use super::archive::Archive;
use super::unpack::unpack;
use super::unused::mark_used;
use super::writer::hex;
use crate::engine::native::{layer, mark};
use crate::engine::{BoxPlan, remove_tree, room};
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::ImageSource;

const ROOT: &str = "root";
pub(super) const ENVIRONMENT: &str = "environment.json";

/// What images are called while they are unpacked.
pub(super) const PARTIAL: &str = "partial-";

/// An image that boxes can stand on.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) root: PathBuf,
    /// Variables of its programs.
    pub(crate) environment: Vec<(String, String)>,
}

/// What the layer of `plan` is laid over, if that is an image.
pub(crate) fn of(plan: &BoxPlan) -> anyhow::Result<Option<Unpacked>> {
    let noted = plan.directory.join(layer::DIRECTORY).join(layer::IMAGE);
    let Ok(id) = std::fs::read_to_string(noted) else { return Ok(None) };
    let directory = images(plan).join(&id);
    let text = std::fs::read(directory.join(ENVIRONMENT))
        .with_context(|| format!("the image {id} is not in {}", directory.display()))?;
    let environment = serde_json::from_slice(&text)?;
    Ok(Some(Unpacked { root: directory.join(ROOT), environment }))
}

/// Unpacks the image of `plan`, unless it is there, and notes which it is in the layer. A layer
/// stays over the image it began on.
pub(crate) fn provide(plan: &BoxPlan, told: &mut dyn FnMut(u64)) -> anyhow::Result<()> {
    let Some(ImageSource::Archive(path)) = &plan.image else { return Ok(()) };
    let own = plan.directory.join(layer::DIRECTORY);
    let noted = std::fs::read_to_string(own.join(layer::IMAGE)).ok();
    let there = |id: &String| images(plan).join(id).join(ENVIRONMENT).exists();
    if noted.as_ref().is_some_and(there) {
        return Ok(());
    }
    std::fs::create_dir_all(images(plan))?;
    std::fs::set_permissions(images(plan), Permissions::from_mode(0o700))?;
    let known = images(plan).join(format!("file-{}", identity(path)?));
    let id = if let Some(id) = std::fs::read_to_string(&known).ok().filter(there) {
        id
    } else {
        let archive = Archive::open(path, &images(plan), room::IMAGE)?;
        if !there(&archive.id) {
            place(&archive, &images(plan), told)?;
        }
        let name = known.file_name().unwrap_or_default().to_string_lossy();
        mark::replace(&images(plan), &name, archive.id.as_bytes())?;
        archive.id
    };
    if noted.is_some_and(|noted| noted != id) {
        let message = format!("{} is another image than this environment has", path.display());
        return Err(Failure::new(FailureKind::Refused, message)
            .hint("put the file back that it was made from")
            .into());
    }
    // Nobody may remove it between this look and the note that it is in use.
    let _held = lock(&images(plan))?;
    anyhow::ensure!(there(&id), "the image was removed while it was to be used; try again");
    mark_used(&images(plan).join(&id))?;
    std::fs::create_dir_all(&own)?;
    mark::replace(&own, layer::IMAGE, id.as_bytes())
}

/// Keeps others from beginning on images and from removing them, until it is dropped.
pub(super) fn lock(images: &Path) -> rustix::io::Result<OwnedFd> {
    let all = open_directory(images)?;
    flock(&all, FlockOperation::LockExclusive)?;
    Ok(all)
}

/// Whether a file is there, looked up as the image's programs would.
pub(crate) fn has(root: &Path, path: &str) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let Ok(root) = rustix::fs::open(root, flags | OFlags::DIRECTORY, Mode::empty()) else {
        return false;
    };
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(&root, path, flags, Mode::empty(), within).is_ok()
}

fn images(plan: &BoxPlan) -> PathBuf {
    plan.deck_directory().join("images")
}

/// What changes when a file does.
fn identity(path: &Path) -> anyhow::Result<String> {
    let found =
        std::fs::metadata(path).with_context(|| format!("cannot find {}", path.display()))?;
    let mut digest = Sha256::new_with_prefix(path.as_os_str().as_encoded_bytes());
    for number in [found.dev(), found.ino(), found.len()] {
        digest.update(number.to_le_bytes());
    }
    for number in [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()] {
        digest.update(number.to_le_bytes());
    }
    Ok(hex(digest))
}

/// Unpacks an image into `images`, whole or not at all.
fn place(archive: &Archive, images: &Path, told: &mut dyn FnMut(u64)) -> anyhow::Result<()> {
    let (partial, _lock) = begin(images)?;
    let placed = place_by(archive, &partial, images, told);
    if placed.is_err() {
        // What failed is told; this only gives the room back.
        let _ = remove_tree(&partial);
    }
    placed
}

/// A new directory to unpack into, locked while somebody does. What others left is removed.
pub(super) fn begin(images: &Path) -> anyhow::Result<(PathBuf, OwnedFd)> {
    // Nobody may take one for left that is made and not locked yet.
    let all = lock(images)?;
    let mut left = Vec::new();
    for entry in std::fs::read_dir(images)? {
        let entry = entry?;
        let ours = entry.file_name().to_string_lossy().starts_with(PARTIAL);
        let Some(lock) = ours.then(|| open_directory(&entry.path()).ok()).flatten() else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            left.push((entry.path(), lock));
        }
    }
    let partial = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(images)?.keep();
    let lock = open_directory(&partial)?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    drop(all);
    for (path, _lock) in left {
        if let Err(error) = remove_tree(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove a part of an image");
        }
    }
    Ok((partial, lock))
}

fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

fn place_by(
    archive: &Archive,
    partial: &Path,
    images: &Path,
    told: &mut dyn FnMut(u64),
) -> anyhow::Result<()> {
    let root = partial.join(ROOT);
    std::fs::create_dir(&root)?;
    std::fs::set_permissions(&root, Permissions::from_mode(0o755))?;
    let opened = open_directory(&root)?;
    unpack(archive, &opened, room::IMAGE, told)?;
    let pair = |entry: &String| {
        entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let environment: Vec<(String, String)> = archive.environment.iter().filter_map(pair).collect();
    std::fs::write(partial.join(ENVIRONMENT), serde_json::to_vec(&environment)?)?;
    // Once an image has its name it is taken to be whole, also after the power went.
    rustix::fs::syncfs(&opened)?;
    let whole = images.join(&archive.id);
    match std::fs::rename(partial, &whole) {
        // Another environment was made from it at the same time.
        Err(_) if whole.exists() => Ok(remove_tree(partial)?),
        result => result.context("cannot keep the image"),
    }
}
