//! Which objects go into a pack, in the order and with the names by which git's packer finds those
//! that are alike: snapshots newest first, each file by its path.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::Context;
use gix::ObjectId;

use super::owned::Owned;
use crate::model::snapshot::SnapshotCause;
use crate::repo::message::Message;
use crate::repo::refs;

/// The packer looks at the last sixteen bytes of a path.
const HINT: usize = 32;

/// Which of the store's own objects are listed, beside those that are not its own yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Foreign,
    /// Those in files of their own.
    Loose,
    /// Those, and what is in packs of snapshots.
    Everything,
}

/// Two lists as git's packer reads them.
pub(super) struct Listing {
    pub own_file: File,
    pub own: usize,
    pub foreign_file: File,
    pub foreign: usize,
    /// What snapshots name and nobody has.
    pub missing: usize,
}

/// Opens a store by itself: whatever state the user's repository is in, ours can be packed.
pub(super) fn open(bare: &Path) -> anyhow::Result<gix::Repository> {
    let mut repository = gix::open::Options::isolated()
        .open_path_as_is(true)
        .open(bare)
        .with_context(|| format!("cannot open {}", bare.display()))?
        .to_thread_local();
    repository.object_cache_size_if_unset(16 << 20);
    Ok(repository)
}

/// The commits that environments started from.
pub(super) fn bases(repository: &gix::Repository) -> anyhow::Result<Vec<ObjectId>> {
    let (_, bases) = tips(repository)?;
    Ok(bases)
}

/// The newest snapshots, and the bases.
fn tips(repository: &gix::Repository) -> anyhow::Result<(Vec<ObjectId>, Vec<ObjectId>)> {
    let (mut snapshots, mut bases) = (Vec::new(), Vec::new());
    for reference in repository.references()?.prefixed(refs::OURS)? {
        let reference = reference.map_err(|error| anyhow::anyhow!("{error}"))?;
        let Some(id) = reference.try_id() else { continue };
        let is_base = reference.name().as_bstr().ends_with(b"/base");
        if is_base { &mut bases } else { &mut snapshots }.push(id.detach());
    }
    Ok((snapshots, bases))
}

impl Listing {
    pub fn new(
        repository: &gix::Repository,
        owned: &Owned,
        wanted: Wanted,
    ) -> anyhow::Result<Self> {
        let mut walk = Walk {
            repository,
            owned,
            wanted,
            apart: owned.packs().filter(|pack| pack.kept).collect(),
            seen: HashSet::new(),
            own: Lines::new()?,
            foreign: Lines::new()?,
            missing: 0,
        };
        let (snapshots, bases) = tips(repository)?;
        for tip in snapshots.into_iter().chain(bases) {
            walk.commits(tip)?;
        }
        // What nothing refers to yet is about to be referred to.
        if wanted != Wanted::Foreign {
            for id in &owned.loose {
                walk.visit(*id, b"")?;
            }
        }
        if wanted == Wanted::Everything {
            for pack in owned.packs().filter(|pack| !pack.kept) {
                for id in pack.ids() {
                    walk.visit(id, b"")?;
                }
            }
        }
        let (own_file, own) = walk.own.finish()?;
        let (foreign_file, foreign) = walk.foreign.finish()?;
        Ok(Self { own_file, own, foreign_file, foreign, missing: walk.missing })
    }

    /// Adds objects to those that are copied.
    pub fn add_foreign(&mut self, ids: &[ObjectId]) -> anyhow::Result<()> {
        let mut file = BufWriter::new(&self.foreign_file);
        for id in ids {
            writeln!(file, "{id}")?;
        }
        self.foreign += ids.len();
        Ok(file.flush()?)
    }
}

/// A list, from its beginning, for a program to read.
pub(super) fn rewound(list: &File) -> anyhow::Result<File> {
    let mut file = list.try_clone()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

struct Walk<'r> {
    repository: &'r gix::Repository,
    owned: &'r Owned,
    wanted: Wanted,
    /// Packs of what was copied, which are never packed with snapshots.
    apart: Vec<&'r super::Pack>,
    seen: HashSet<ObjectId>,
    own: Lines,
    foreign: Lines,
    missing: usize,
}

impl Walk<'_> {
    /// A snapshot and those before it, down to the user's commit that the first was made from.
    fn commits(&mut self, tip: ObjectId) -> anyhow::Result<()> {
        let mut next = Some(tip);
        while let Some(id) = next.take() {
            if self.seen.contains(&id) {
                break;
            }
            let Ok(commit) = self.repository.find_commit(id) else {
                self.missing += 1;
                break;
            };
            let (tree, parent, message) = {
                let decoded = commit.decode()?;
                (decoded.tree(), decoded.parents().next(), Message::read(decoded.message))
            };
            self.visit(id, b"")?;
            self.tree(tree)?;
            match message {
                Some(message) if message.cause == SnapshotCause::Base => {
                    // Beyond that commit the history is the user's.
                    if let Some(base) = parent.filter(|base| !self.seen.contains(base))
                        && let Ok(commit) = self.repository.find_commit(base)
                    {
                        self.visit(base, b"")?;
                        self.tree(commit.tree_id()?.detach())?;
                    }
                }
                Some(_) => next = parent,
                None => {}
            }
        }
        Ok(())
    }

    fn tree(&mut self, root: ObjectId) -> anyhow::Result<()> {
        let mut waiting = vec![(root, Vec::new())];
        while let Some((id, path)) = waiting.pop() {
            if self.seen.contains(&id) {
                continue;
            }
            let Ok(tree) = self.repository.find_tree(id) else {
                self.seen.insert(id);
                self.missing += 1;
                continue;
            };
            self.visit(id, &path)?;
            for entry in tree.decode()?.entries {
                let mut path = path.clone();
                path.push(b'/');
                path.extend_from_slice(entry.filename);
                path.drain(..path.len().saturating_sub(HINT));
                let id = entry.oid.to_owned();
                if entry.mode.is_tree() {
                    waiting.push((id, path));
                } else if !entry.mode.is_commit() {
                    self.visit(id, &path)?;
                }
            }
        }
        Ok(())
    }

    /// Lists an object where it belongs, once.
    fn visit(&mut self, id: ObjectId, path: &[u8]) -> anyhow::Result<()> {
        if !self.seen.insert(id) {
            return Ok(());
        }
        if self.owned.loose.contains(&id) {
            return if self.wanted == Wanted::Foreign { Ok(()) } else { self.own.add(id, path) };
        }
        if self.owned.is_packed(&id) {
            let is_apart = self.apart.iter().any(|pack| pack.contains(&id));
            let wanted = self.wanted == Wanted::Everything && !is_apart;
            return if wanted { self.own.add(id, path) } else { Ok(()) };
        }
        if self.repository.has_object(id) {
            return self.foreign.add(id, path);
        }
        self.missing += 1;
        Ok(())
    }
}

/// A list while it is written, in a file that goes with its last handle.
struct Lines {
    file: BufWriter<File>,
    count: usize,
}

impl Lines {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { file: BufWriter::new(tempfile::tempfile()?), count: 0 })
    }

    fn add(&mut self, id: ObjectId, path: &[u8]) -> anyhow::Result<()> {
        self.count += 1;
        write!(self.file, "{id} ")?;
        // A line must not end before it does; the packer overlooks white space.
        let plain = path.iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != 0);
        let plain: Vec<u8> = plain.copied().collect();
        self.file.write_all(&plain)?;
        Ok(self.file.write_all(b"\n")?)
    }

    fn finish(self) -> anyhow::Result<(File, usize)> {
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        Ok((file, self.count))
    }
}
