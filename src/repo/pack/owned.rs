//! What a store has itself, apart from all that its alternate has.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use gix::ObjectId;

/// The objects of a store's own files and packs.
pub(super) struct Owned {
    pub loose: HashSet<ObjectId>,
    packs: Vec<Pack>,
    pub hash: gix::hash::Kind,
}

/// The index of one pack.
pub(super) struct Pack {
    index: gix::odb::pack::index::File,
    pub path: PathBuf,
    /// It holds what was copied from the user's repository.
    pub kept: bool,
}

impl Owned {
    pub fn read(bare: &Path, hash: gix::hash::Kind) -> anyhow::Result<Self> {
        let mut owned = Self::packs_only(bare, hash)?;
        for found in gix::odb::loose::Store::at(bare.join("objects"), hash).iter() {
            let Ok(id) = found else { continue };
            owned.loose.insert(id);
        }
        let files = gix::odb::loose::Store::at(bare.join("objects"), hash);
        // What a power cut left of a file is no object.
        owned.loose.retain(|id| fs::metadata(files.object_path(id)).is_ok_and(|it| it.len() > 0));
        Ok(owned)
    }

    pub fn packs_only(bare: &Path, hash: gix::hash::Kind) -> anyhow::Result<Self> {
        let mut packs = Vec::new();
        for entry in fs::read_dir(bare.join("objects/pack"))? {
            let path = entry?.path();
            let is_index = path.extension().is_some_and(|ending| ending == "idx");
            if is_index && path.with_extension("pack").exists() {
                packs.push(Pack::open(&path, hash)?);
            }
        }
        Ok(Self { loose: HashSet::new(), packs, hash })
    }

    pub fn packs(&self) -> impl Iterator<Item = &Pack> {
        self.packs.iter()
    }

    pub fn is_packed(&self, id: &ObjectId) -> bool {
        self.packs.iter().any(|pack| pack.contains(id))
    }

    pub fn contains(&self, id: &ObjectId) -> bool {
        self.loose.contains(id) || self.is_packed(id)
    }
}

impl Pack {
    pub fn open(path: &Path, hash: gix::hash::Kind) -> anyhow::Result<Self> {
        let index = gix::odb::pack::index::File::at(path, hash)
            .map_err(|error| anyhow::anyhow!("{error:?}"))
            .with_context(|| format!("cannot read {}", path.display()))?;
        let kept = path.with_extension("keep").exists();
        Ok(Self { index, path: path.to_owned(), kept })
    }

    pub fn contains(&self, id: &ObjectId) -> bool {
        self.index.lookup(id).is_some()
    }

    pub fn hash(&self) -> gix::hash::Kind {
        self.index.object_hash()
    }

    pub fn ids(&self) -> Vec<ObjectId> {
        self.index.iter().map(|entry| entry.oid).collect()
    }
}
