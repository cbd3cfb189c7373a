//! The store of snapshots: one bare repository of ours beside each repository of a user.
//!
//! Reading falls back to the user's objects through an alternate. Writing goes straight to our own
//! loose objects and never asks an alternate first: an object the user's repository could prune
//! would otherwise be counted as kept. Objects reach the disk at milestones, by [`Store::sync`].

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use gix::ObjectId;
use gix::objs::{Commit, Kind, Tree, Write};

use crate::model::failure::Failure;

use super::rules::UserRules;
use super::unsynced::{Due, Unsynced, Waiting};
use super::user::UserRepository;

/// Above this many new objects one `syncfs` costs less than an `fsync` for each.
const SYNC_EACH_LIMIT: usize = 64;

/// Decoded objects a reader keeps, in bytes: enough for the trees of a large repository.
const READER_CACHE_BYTES: usize = 16 << 20;

/// Our own repository beside a user's, holding the snapshots of its environments.
pub struct Store {
    directory: PathBuf,
    repository: gix::ThreadSafeRepository,
    own: gix::odb::loose::Store,
    /// Objects written since they were last made durable.
    unsynced: Arc<Waiting>,
    pub(super) rules: UserRules,
}

impl Store {
    /// Opens the store in `directory` (`repositories/<id>` of our state directory), made when
    /// missing, as `directory/snapshots.git`.
    pub fn open(directory: &Path, user: &UserRepository) -> Result<Self, Failure> {
        Self::open_among(directory, user, &Unsynced::default())
    }

    /// The same for whoever writes beside others, and knows what of theirs the disk may not have.
    pub fn open_among(
        directory: &Path,
        user: &UserRepository,
        unsynced: &Unsynced,
    ) -> Result<Self, Failure> {
        Ok(Self::open_inner(directory, user, unsynced).with_context(|| {
            format!("cannot open the snapshot store in {}", directory.display())
        })?)
    }

    fn open_inner(
        directory: &Path,
        user: &UserRepository,
        unsynced: &Unsynced,
    ) -> anyhow::Result<Self> {
        let bare = directory.join("snapshots.git");
        let was_there = bare.join("HEAD").exists();
        fs::create_dir_all(directory)?;
        create_bare(&bare, user)?;
        let repository = gix::open::Options::isolated().open_path_as_is(true).open(&bare)?;
        let hash = repository.to_thread_local().object_hash();
        Ok(Self {
            directory: directory.to_owned(),
            own: gix::odb::loose::Store::at(bare.join("objects"), hash),
            repository,
            unsynced: unsynced.of(&bare, was_there),
            rules: user.rules()?,
        })
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
        if !self.own.contains(&id) {
            self.unsynced.note(id);
            self.own.write_buf_with_known_id(kind, bytes, id).context("cannot store an object")?;
        }
        Ok(id)
    }

    /// Makes every object written so far survive a power loss, whoever wrote it.
    pub(super) fn sync(&self) -> anyhow::Result<()> {
        self.unsynced.bring(|due| self.sync_what_is(due))
    }

    fn sync_what_is(&self, due: &Due) -> anyhow::Result<()> {
        if due.everything || due.objects.len() > SYNC_EACH_LIMIT {
            let objects = fs::File::open(self.own.path())?;
            return Ok(rustix::fs::syncfs(objects.as_fd())?);
        }
        let mut directories = BTreeSet::new();
        for id in &due.objects {
            let path = self.own.object_path(id);
            match fs::File::open(&path) {
                // It was packed meanwhile, and packs are synced before they count.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                file => file?.sync_all()?,
            }
            directories.extend(path.parent().map(Path::to_owned));
        }
        for directory in directories {
            fs::File::open(directory)?.sync_all()?;
        }
        Ok(())
    }

    /// Makes a ref of ours survive a power loss, after [`Store::sync`] did so for its objects.
    pub(super) fn sync_ref(&self, name: &gix::refs::FullName) -> anyhow::Result<()> {
        let path = self.repository.path().join(name.as_bstr().to_string());
        fs::File::open(&path)?.sync_all()?;
        if let Some(directory) = path.parent() {
            fs::File::open(directory)?.sync_all()?;
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
        let unsynced = Unsynced::default();
        let open = || Store::open_among(&directory, &user, &unsynced).expect("a store");
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
        let open = |unsynced| Store::open_among(&directory, &user, unsynced);
        let (earlier, unsynced) = (Unsynced::default(), Unsynced::default());
        drop(open(&earlier).expect("made"));
        let store = open(&unsynced).expect("found");
        let (objects, aside) = (store.own.path().to_owned(), directory.join("aside"));
        fs::rename(&objects, &aside).expect("moved");
        store.sync().expect_err("all of it is brought to the disk");
        fs::rename(&aside, &objects).expect("moved back");
        store.sync().expect("synced");
        fs::rename(&objects, &aside).expect("moved");
        store.sync().expect("once is enough");
    }
}
