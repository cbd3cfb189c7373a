//! Filling a fresh directory of ours with the files of a tree.
//!
//! The directory is new and nobody else's, so nothing can be in the way; files are still made
//! beneath it only, never through a link and never over anything. Links come last.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice};
use gix::index::State;
use gix::index::entry::{Mode as EntryMode, Stat};
use gix::objs::FindExt;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps};

use super::convert::{ATTRIBUTES_FILE, Rules};
use super::store::Store;
use super::walk;

/// Writers beyond this only wait for the file system's journal.
const WRITERS_LIMIT: usize = 4;

/// Files between two reports of progress.
const REPORT_EVERY: usize = 64;

/// Files are dated back this much, so that git finds no entry of the index "racily clean" and need
/// not read the files again to know that they are unchanged.
const BACKDATED: Duration = Duration::from_secs(2);

/// Names that are checked out: any that git itself would, on Linux.
const NAMES: gix::validate::path::component::Options = gix::validate::path::component::Options {
    protect_windows: false,
    protect_hfs: true,
    protect_ntfs: true,
};

/// How the blobs of a tree become files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As git checks a commit out, by the tree's attributes and the user's rules.
    CheckedOut,
    /// Byte for byte: a snapshot holds files as they were.
    Exact,
}

/// A tree that was written out.
pub(super) struct Populated {
    /// Its index, with the status of each file.
    pub index: State,
    /// Entries of the index whose file differs from their blob, and the blob of the file.
    pub converted: Vec<(usize, ObjectId)>,
}

/// One file of the tree.
struct Item<'a> {
    /// Its position in the index.
    index: usize,
    path: &'a [u8],
    mode: EntryMode,
    id: ObjectId,
}

/// Writes a tree into `workspace`, which is made or holds nothing, with an empty `.git` directory in
/// it. A file that is not its blob is stored beside it, as the snapshots will hold it.
pub(super) fn populate(
    store: &Store,
    repository: &gix::Repository,
    (tree, form): (ObjectId, Form),
    workspace: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> anyhow::Result<Populated> {
    let mut state = State::from_tree(&tree, &repository.objects, NAMES)
        .context("the base has a path that cannot be checked out")?;
    std::fs::create_dir_all(workspace)
        .with_context(|| format!("cannot make the workspace {}", workspace.display()))?;
    let root = walk::open_root(workspace)?;
    anyhow::ensure!(
        walk::names(root.as_fd())?.iter().all(|name| name == b".git"),
        "the workspace {} is not empty",
        workspace.display()
    );
    match rustix::fs::mkdirat(&root, ".git", Mode::from(0o755)) {
        // A box may be shown it already.
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error).context("cannot make .git"),
    }
    make_directories(&root, &state)?;

    let (stats, converted) = {
        let items: Vec<Item<'_>> = items(&state);
        let (files, links): (Vec<_>, Vec<_>) = items
            .into_iter()
            .filter(|item| item.mode != EntryMode::COMMIT)
            .partition(|item| item.mode != EntryMode::SYMLINK);
        let total = (files.len() + links.len()) as u64;
        let attributes = match form {
            Form::CheckedOut => Some(attributes(repository, &state)?),
            Form::Exact => None,
        };
        progress(0, total);
        let (mut stats, mut converted) = (Vec::new(), Vec::new());
        let attributes = attributes.as_deref();
        for file in
            write_files(store, &root, &files, attributes, &mut |done| progress(done, total))?
        {
            stats.push((file.index, file.stat));
            converted.extend(file.converted.map(|id| (file.index, id)));
        }
        for link in &links {
            stats.push((link.index, write_link(repository, root.as_fd(), link)?));
        }
        progress(total, total);
        (stats, converted)
    };
    for (index, stat) in stats {
        state.entries_mut()[index].stat = stat;
    }
    Ok(Populated { index: state, converted })
}

fn items(state: &State) -> Vec<Item<'_>> {
    let entries = state.entries().iter().enumerate();
    entries
        .map(|(index, entry)| Item {
            index,
            path: entry.path(state).as_bytes(),
            mode: entry.mode,
            id: entry.id,
        })
        .collect()
}

/// Makes every directory of the index; a submodule is an empty one.
fn make_directories(root: &OwnedFd, state: &State) -> anyhow::Result<()> {
    let mut last: &[u8] = b"";
    for entry in state.entries() {
        let path = entry.path(state).as_bytes();
        let end = if entry.mode == EntryMode::COMMIT {
            path.len()
        } else {
            path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)
        };
        let directory = &path[..end];
        if directory == last {
            continue;
        }
        last = directory;
        let slashes = directory.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = slashes.map(|(position, _)| position).chain([directory.len()]);
        for end in ends.filter(|end| *end > 0) {
            match rustix::fs::mkdirat(root, &directory[..end], Mode::from(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => {
                    let shown = BStr::new(directory);
                    return Err(error).with_context(|| format!("cannot make {shown}"));
                }
            }
        }
    }
    Ok(())
}

/// The attribute files of the tree, as directory and content, parents before children.
fn attributes(
    repository: &gix::Repository,
    state: &State,
) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in state.entries() {
        let path = entry.path(state).as_bytes();
        let Some(directory) = path.strip_suffix(ATTRIBUTES_FILE) else { continue };
        let directory = match directory.strip_suffix(b"/") {
            Some(directory) => directory,
            None if directory.is_empty() => directory,
            None => continue,
        };
        if entry.mode.contains(EntryMode::FILE) {
            let blob = repository.find_blob(entry.id)?.detach().data;
            found.push((directory.to_vec(), blob));
        }
    }
    // A parent's path is shorter than its children's.
    found.sort_by_key(|(directory, _)| directory.len());
    Ok(found)
}

/// A file that was written.
struct Written {
    index: usize,
    stat: Stat,
    /// What its bytes are stored as, where they are not the blob's.
    converted: Option<ObjectId>,
}

/// Writes files on several threads, without attributes as their blobs are.
fn write_files(
    store: &Store,
    root: &OwnedFd,
    files: &[Item<'_>],
    attributes: Option<&[(Vec<u8>, Vec<u8>)]>,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<Vec<Written>> {
    let writers = std::thread::available_parallelism().map_or(1, usize::from).min(WRITERS_LIMIT);
    let share = files.len().div_ceil(writers).max(1);
    let (reports, reported) = mpsc::sync_channel(writers * 2);
    std::thread::scope(|scope| {
        let threads: Vec<_> = files
            .chunks(share)
            .map(|files| {
                let reports = reports.clone();
                scope.spawn(move || write_share(store, root, files, attributes, &reports))
            })
            .collect();
        drop(reports);
        let mut done = 0;
        for written in reported {
            done += written as u64;
            progress(done);
        }
        let mut written = Vec::with_capacity(files.len());
        for thread in threads {
            written.extend(thread.join().expect("writing files does not panic")?);
        }
        Ok(written)
    })
}

fn write_share(
    store: &Store,
    root: &OwnedFd,
    files: &[Item<'_>],
    attributes: Option<&[(Vec<u8>, Vec<u8>)]>,
    reports: &mpsc::SyncSender<usize>,
) -> anyhow::Result<Vec<Written>> {
    let repository = store.reader();
    let mut rules = attributes.map(|files| Rules::of_files(&store.rules, files));
    let date = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let date = date.saturating_sub(BACKDATED);
    let mut buffer = Vec::new();
    let mut written = Vec::with_capacity(files.len());
    for chunk in files.chunks(REPORT_EVERY) {
        for file in chunk {
            let shown = BStr::new(file.path);
            let blob = repository
                .objects
                .find_blob(&file.id, &mut buffer)
                .with_context(|| format!("cannot read {shown} of the base"))?;
            let bytes = match &mut rules {
                Some(rules) => rules.checked_out_form(file.path, blob.data),
                None => Cow::Borrowed(blob.data),
            };
            let stat = write_file(root, file, &bytes, date)
                .with_context(|| format!("cannot write {shown}"))?;
            let differs = *bytes != *blob.data;
            let converted = differs.then(|| store.write_blob(&bytes)).transpose()?;
            written.push(Written { index: file.index, stat, converted });
        }
        // Nobody listens any more when another writer failed.
        let _ = reports.send(chunk.len());
    }
    Ok(written)
}

fn write_file(
    root: &OwnedFd,
    file: &Item<'_>,
    bytes: &[u8],
    date: Duration,
) -> std::io::Result<Stat> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let executable = file.mode == EntryMode::FILE_EXECUTABLE;
    let mode = Mode::from(if executable { 0o755 } else { 0o644 });
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let mut opened = File::from(rustix::fs::openat2(root, file.path, flags, mode, resolve)?);
    opened.write_all(bytes)?;
    rustix::fs::futimens(&opened, &timestamps(date))?;
    Ok(walk::index_stat(&rustix::fs::fstat(&opened)?))
}

fn write_link(
    repository: &gix::Repository,
    root: BorrowedFd<'_>,
    link: &Item<'_>,
) -> anyhow::Result<Stat> {
    let target = repository.find_blob(link.id)?.detach().data;
    let (parent, name) = match link.path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (walk::open_directory(root, &link.path[..slash])?, &link.path[slash + 1..]),
        None => (walk::open_directory(root, b".")?, link.path),
    };
    rustix::fs::symlinkat(target.as_slice(), &parent, name)
        .with_context(|| format!("cannot write {}", BStr::new(link.path)))?;
    let date = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let times = timestamps(date.saturating_sub(BACKDATED));
    rustix::fs::utimensat(&parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    let stat = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(walk::index_stat(&stat))
}

fn timestamps(date: Duration) -> Timestamps {
    let date = Timespec { tv_sec: date.as_secs() as i64, tv_nsec: i64::from(date.subsec_nanos()) };
    Timestamps { last_access: date, last_modification: date }
}
