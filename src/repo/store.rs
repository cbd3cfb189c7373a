//! The store of snapshots: one bare repository of ours beside each repository of a user.
//!
//! Reading falls back to the user's objects through an alternate. Writing goes straight to our own
//! loose objects and never asks an alternate first: an object the user's repository could prune
//! would otherwise be counted as kept. Objects reach the disk at milestones, by [`Store::sync`].

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use gix::ObjectId;
use gix::objs::{Commit, Kind, Tree, Write};

use crate::model::failure::{Failure, FailureKind};
use crate::model::snapshot::FileCaps;

use super::heal;
use super::rules::UserRules;
use super::upkeep::{Pending, Upkeep, lock};
use super::user::UserRepository;

/// Decoded objects a reader keeps, in bytes: enough for the trees of a large repository.
const READER_CACHE_BYTES: usize = 16 << 20;

/// Our own repository beside a user's, holding the snapshots of its environments.
pub struct Store {
    directory: PathBuf,
    repository: gix::ThreadSafeRepository,
    own: gix::odb::loose::Store,
    upkeep: Arc<Upkeep>,
    /// What was written by this value, whether or not others had written it before.
    written: Pending,
    pub(super) rules: UserRules,
    /// What snapshots that are taken through this value leave out.
    pub(super) caps: FileCaps,
}

impl Store {
    /// Opens the store in `directory` (`repositories/<id>` of our state directory), made when
    /// missing, as `directory/snapshots.git`.
    pub fn open(directory: &Path, user: &UserRepository) -> Result<Self, Failure> {
        Self::open_with(directory, Some(user), Arc::default())
    }

    /// The same with what is known of the store since it was opened last.
    ///
    /// Where the user's repository is away, a store that was made before is opened all the same:
    /// it reads what is its own, by the user's rules as they were last known.
    pub fn open_with(
        directory: &Path,
        user: Option<&UserRepository>,
        upkeep: Arc<Upkeep>,
    ) -> Result<Self, Failure> {
        if user.is_none() && !directory.join("snapshots.git/HEAD").exists() {
            let message = format!("there are no snapshots in {}", directory.display());
            return Err(Failure::new(FailureKind::NotFound, message));
        }
        Ok(Self::open_inner(directory, user, upkeep).with_context(|| {
            format!("cannot open the snapshot store in {}", directory.display())
        })?)
    }

    /// The same store, taking files up to other sizes.
    #[must_use]
    pub fn with_caps(self, caps: FileCaps) -> Self {
        Self { caps, ..self }
    }

    fn open_inner(
        directory: &Path,
        user: Option<&UserRepository>,
        upkeep: Arc<Upkeep>,
    ) -> anyhow::Result<Self> {
        let bare = directory.join("snapshots.git");
        if let Some(user) = user {
            if !bare.join("HEAD").exists() {
                // What was never there has nothing that is not on the disk.
                upkeep.unsynced.clear();
            }
            fs::create_dir_all(directory)?;
            create_bare(&bare, user)?;
        }
        let repository = gix::open::Options::isolated().open_path_as_is(true).open(&bare)?;
        let hash = repository.to_thread_local().object_hash();
        let rules = match (user, lock(&upkeep.rules).clone()) {
            (Some(user), _) => user.rules()?,
            (None, Some(known)) => known,
            // Those of the repository itself are unknown; the user's own are not.
            (None, None) => {
                let options = gix::open::Options::default().open_path_as_is(true);
                UserRules::read(&options.open(&bare)?.to_thread_local())?
            }
        };
        if user.is_some() {
            *lock(&upkeep.rules) = Some(rules.clone());
        }
        let store = Self {
            directory: directory.to_owned(),
            own: gix::odb::loose::Store::at(bare.join("objects"), hash),
            repository,
            upkeep,
            written: Pending::none(),
            rules,
            caps: FileCaps::default(),
        };
        heal::look(&store, &store.upkeep);
        Ok(store)
    }

    /// A handle that reads our objects and, through the alternate, the user's. Cheap; one a thread.
    pub(super) fn reader(&self) -> gix::Repository {
        let mut repository = self.repository.to_thread_local();
        repository.object_cache_size_if_unset(READER_CACHE_BYTES);
        repository
    }

    /// The directory for what belongs to this store but is not git's.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn hash_kind(&self) -> gix::hash::Kind {
        self.own.object_hash()
    }

    pub(super) fn write_blob(&self, bytes: &[u8]) -> anyhow::Result<ObjectId> {
        self.write(Kind::Blob, bytes)
    }

    pub(super) fn write_tree(&self, tree: &Tree) -> anyhow::Result<ObjectId> {
        self.write_object(tree)
    }

    pub(super) fn write_commit(&self, commit: &Commit) -> anyhow::Result<ObjectId> {
        self.write_object(commit)
    }

    fn write_object(&self, object: &dyn gix::objs::WriteTo) -> anyhow::Result<ObjectId> {
        let mut bytes = Vec::new();
        object.write_to(&mut bytes)?;
        self.write(object.kind(), &bytes)
    }

    fn write(&self, kind: Kind, bytes: &[u8]) -> anyhow::Result<ObjectId> {
        let id = gix::objs::compute_hash(self.hash_kind(), kind, bytes)?;
        if !self.is_stored(&id) {
            // Noted before it is there to be found by others.
            self.upkeep.unsynced.add(id);
            // Whoever packs may remove the directory that a file is just being put into.
            let write = || self.own.write_buf_with_known_id(kind, bytes, id);
            write().or_else(|_| write()).context("cannot store an object")?;
        }
        self.written.add(id);
        Ok(id)
    }

    /// Whether an object has a file of its own here. What a power cut left empty is none.
    fn is_stored(&self, id: &ObjectId) -> bool {
        fs::metadata(self.own.object_path(id)).is_ok_and(|found| found.len() > 0)
    }

    /// What is known of the store beyond this opening of it.
    pub(super) fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// Our own objects that are not packed.
    pub(super) fn loose(&self) -> &gix::odb::loose::Store {
        &self.own
    }

    /// Our own git directory.
    pub(super) fn git_dir(&self) -> &Path {
        self.repository.path()
    }

    /// Makes every object written so far survive a power loss, whoever wrote it.
    pub(super) fn sync(&self) -> anyhow::Result<()> {
        self.upkeep.sync(&self.own)
    }

    /// The same for those that this value wrote or would have written: enough for a snapshot that
    /// builds on no other.
    pub(super) fn sync_written(&self) -> anyhow::Result<()> {
        self.written.sync(&self.own)
    }

    /// Makes refs of one environment survive a power loss, after [`Store::sync`] did so for what
    /// they lead to.
    pub(super) fn sync_refs(&self, names: &[gix::refs::FullName]) -> anyhow::Result<()> {
        let paths = names.iter().map(|name| self.git_dir().join(name.as_bstr().to_string()));
        let paths: Vec<PathBuf> = paths.collect();
        // Their directories may be as new as they are.
        let directories = paths.first().into_iter().flat_map(|it| it.ancestors().skip(1).take(3));
        for path in paths.iter().map(PathBuf::as_path).chain(directories) {
            fs::File::open(path)?.sync_all()?;
        }
        Ok(())
    }
}

/// Lays out a bare repository, or brings the alternate and the shallow list of one up to date.
fn create_bare(bare: &Path, user: &UserRepository) -> anyhow::Result<()> {
    for name in ["objects/info", "objects/pack", "refs"] {
        fs::create_dir_all(bare.join(name))?;
    }
    let mut alternate = user.git_dir().join("objects").as_os_str().as_bytes().to_vec();
    anyhow::ensure!(!alternate.contains(&b'\n'), "the repository's path has a line break in it");
    alternate.push(b'\n');
    write_if_different(&bare.join("objects/info/alternates"), &alternate)?;
    match fs::read(user.git_dir().join("shallow")) {
        Ok(shallow) => write_if_different(&bare.join("shallow"), &shallow)?,
        Err(_) => drop(fs::remove_file(bare.join("shallow"))),
    }
    let format = match user.hash_kind() {
        gix::hash::Kind::Sha1 => "[core]\n\trepositoryformatversion = 0\n",
        _ => "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = sha256\n",
    };
    let config =
        format!("{format}[core]\n\tbare = true\n\tlogAllRefUpdates = false\n[gc]\n\tauto = 0\n");
    write_if_different(&bare.join("config"), config.as_bytes())?;
    // Written last: a directory without HEAD is not a repository yet.
    write_if_different(&bare.join("HEAD"), b"ref: refs/heads/none\n")
}

fn write_if_different(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    let directory = path.parent().expect("a path inside the store");
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    std::io::Write::write_all(&mut file, content)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::oracle::Oracle;
    use super::*;

    fn user() -> (Oracle, UserRepository) {
        let oracle = Oracle::new();
        oracle.git(["commit", "-q", "--allow-empty", "-m", "base"]);
        let user = UserRepository::discover(&oracle.root()).expect("a repository");
        (oracle, user)
    }

    /// Puts something in an object's place that no sync can open.
    fn hide(store: &Store, id: ObjectId) {
        let path = store.own.object_path(&id);
        fs::remove_file(&path).expect("it was there");
        std::os::unix::fs::symlink(&path, &path).expect("a link to itself");
    }

    #[test]
    fn a_store_brings_to_the_disk_what_another_has_written() {
        let (oracle, user) = user();
        let directory = oracle.outside().join("shared");
        let upkeep = Arc::new(Upkeep::default());
        let open = || Store::open_with(&directory, Some(&user), upkeep.clone()).expect("a store");
        let (writer, other) = (open(), open());
        let id = writer.write_blob(b"seen by both").expect("written");
        hide(&writer, id);
        other.sync().expect_err("the object is brought to the disk, and cannot be");
        writer.sync().expect_err("and stays due");
        fs::remove_file(writer.own.object_path(&id)).expect("removed");
        other.sync().expect("packed meanwhile");
        assert_eq!(other.write_blob(b"seen by both").expect("written"), id);
        other.sync().expect("synced");
        hide(&writer, id);
        writer.sync().expect("nothing is due");
    }

    #[test]
    fn what_an_earlier_server_wrote_may_all_be_missing_on_the_disk() {
        let (oracle, user) = user();
        let directory = oracle.outside().join("shared");
        let open = || Store::open_with(&directory, Some(&user), Arc::default());
        drop(open().expect("made"));
        let store = open().expect("found");
        let (objects, aside) = (store.own.path().to_owned(), directory.join("aside"));
        fs::rename(&objects, &aside).expect("moved");
        store.sync().expect_err("all of it is brought to the disk");
        fs::rename(&aside, &objects).expect("moved back");
        store.sync().expect("synced");
        fs::rename(&objects, &aside).expect("moved");
        store.sync().expect("once is enough");
    }
}
