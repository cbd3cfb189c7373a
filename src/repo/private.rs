//! The git directory that an agent gets for its own: complete, and sharing nothing.
//!
//! Objects are copied, never linked, so that nothing done in a box reaches the user's. There is no
//! remote, no hook and no configuration but what is written here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use gix::ObjectId;
use gix::filter::plumbing::eol;
use gix::index::State;
use gix::objs::{FindExt, Kind, Write};
use sha2::{Digest, Sha256};

use crate::model::repository::Identity;

use super::user::UserRepository;

/// Stores up to this many bytes are copied whole, with the history; of larger ones the box gets the
/// base commit alone.
const WHOLE_STORE_LIMIT: u64 = 500 << 20;

/// The branch of the box where the user has none checked out.
const FALLBACK_BRANCH: &str = "agentdeck";

/// A private git directory to be made.
pub(super) struct Private<'a> {
    pub user: &'a UserRepository,
    pub base: ObjectId,
    pub branch: Option<&'a str>,
    pub identity: &'a Identity,
    pub directory: &'a Path,
}

impl Private<'_> {
    /// Makes everything but the index, which knows the files that are yet to be written.
    pub fn create(&self, repository: &gix::Repository) -> anyhow::Result<()> {
        let git = self.directory;
        fs::create_dir_all(git).with_context(|| format!("cannot make {}", git.display()))?;
        anyhow::ensure!(fs::read_dir(git)?.next().is_none(), "{} is not empty", git.display());
        for name in ["hooks", "info", "logs", "objects/info", "objects/pack", "refs/tags"] {
            fs::create_dir_all(git.join(name))?;
        }
        let branch = self.branch.unwrap_or(FALLBACK_BRANCH);
        let reference = git.join("refs/heads").join(branch);
        fs::create_dir_all(reference.parent().expect("it is beneath refs/heads"))?;
        fs::write(&reference, format!("{}\n", self.base))?;
        fs::write(git.join("HEAD"), format!("ref: refs/heads/{branch}\n"))?;
        fs::write(git.join("config"), self.config()?)?;
        for name in ["info/exclude", "info/attributes"] {
            if let Ok(content) = fs::read(self.user.git_dir().join(name)) {
                fs::write(git.join(name), content)?;
            }
        }
        self.copy_objects(repository).context("cannot copy the objects of the repository")
    }

    /// Tells by a digest what a workspace with this git directory is made of.
    pub fn origin(&self) -> anyhow::Result<String> {
        let rules = self.user.rules()?;
        let read = |name: &str| fs::read(self.user.git_dir().join(name)).unwrap_or_default();
        let conversion = format!("{:?}{:?}", rules.attributes, rules.attributes_override);
        let branch = self.branch.unwrap_or(FALLBACK_BRANCH);
        let mut digest = Sha256::new();
        for part in [
            self.base.as_bytes(),
            branch.as_bytes(),
            self.config()?.as_bytes(),
            conversion.as_bytes(),
            &read("info/exclude"),
            &read("info/attributes"),
            &read("shallow"),
            &self.objects_stamp()?,
        ] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let digits: Vec<String> =
            digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(digits.concat())
    }

    /// Changes when an object, or a pack of them, comes or goes.
    fn objects_stamp(&self) -> anyhow::Result<Vec<u8>> {
        let mut stamp = Vec::new();
        for store in self.stores()? {
            let mut directories: Vec<PathBuf> =
                object_directories(&store)?.into_iter().map(|(path, _)| path).collect();
            directories.sort();
            for directory in directories {
                let found = fs::metadata(&directory)?;
                stamp.extend(directory.as_os_str().as_bytes());
                stamp.extend(found.mtime().to_le_bytes());
                stamp.extend(found.mtime_nsec().to_le_bytes());
            }
        }
        Ok(stamp)
    }

    /// The object directories of the user's repository, its own last.
    fn stores(&self) -> anyhow::Result<Vec<PathBuf>> {
        let own = self.user.git_dir().join("objects");
        let mut stores = gix::odb::alternate::resolve(own.clone(), &std::env::current_dir()?)?;
        stores.push(own);
        Ok(stores)
    }

    /// The bytes that the user's objects take.
    pub fn weight(&self) -> anyhow::Result<u64> {
        Ok(object_files(&self.stores()?)?.iter().map(|file| file.size).sum())
    }

    fn config(&self) -> anyhow::Result<String> {
        let rules = self.user.rules()?;
        let sha256 = self.user.hash_kind() != gix::hash::Kind::Sha1;
        let mut text = format!(
            "[core]\n\trepositoryformatversion = {}\n\tfilemode = true\n\tbare = false\n\
             \tlogallrefupdates = true\n",
            u8::from(sha256)
        );
        match rules.eol.auto_crlf {
            eol::AutoCrlf::Enabled => text.push_str("\tautocrlf = true\n"),
            eol::AutoCrlf::Input => text.push_str("\tautocrlf = input\n"),
            eol::AutoCrlf::Disabled => {}
        }
        match rules.eol.eol {
            Some(eol::Mode::CrLf) => text.push_str("\teol = crlf\n"),
            Some(eol::Mode::Lf) => text.push_str("\teol = lf\n"),
            None => {}
        }
        if sha256 {
            text.push_str("[extensions]\n\tobjectFormat = sha256\n");
        }
        let Identity { name, email } = self.identity;
        text.extend(["[user]\n\tname = ", &quote(name), "\n\temail = ", &quote(email), "\n"]);
        Ok(text)
    }

    fn copy_objects(&self, repository: &gix::Repository) -> anyhow::Result<()> {
        let files = object_files(&self.stores()?)?;
        let size: u64 = files.iter().map(|file| file.size).sum();
        if size > WHOLE_STORE_LIMIT {
            return self.write_shallow(repository);
        }
        let mut buffer = Vec::new();
        let mut made = None;
        for file in &files {
            let target = self.directory.join("objects").join(&file.relative);
            let parent = target.parent().map(Path::to_owned);
            if parent != made {
                // The objects of one directory follow each other.
                parent.as_deref().map(fs::create_dir_all).transpose()?;
                made = parent;
            }
            match copy(file, &target, &mut buffer) {
                Ok(()) => {}
                // The user's git repacked meanwhile: what is needed is in the new pack.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return self.write_shallow(repository);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if let Ok(shallow) = fs::read(self.user.git_dir().join("shallow")) {
            fs::write(self.directory.join("shallow"), shallow)?;
        }
        Ok(())
    }

    /// Writes the base commit's objects alone and marks its parents as cut off.
    fn write_shallow(&self, repository: &gix::Repository) -> anyhow::Result<()> {
        let target =
            gix::odb::loose::Store::at(self.directory.join("objects"), repository.object_hash());
        let mut buffer = Vec::new();
        let mut copy = |kind: Kind, id: ObjectId| -> anyhow::Result<()> {
            let object = repository.objects.find(&id, &mut buffer)?;
            anyhow::ensure!(object.kind == kind, "object {id} is of another kind");
            target.write_buf_with_known_id(kind, object.data, id)?;
            Ok(())
        };
        copy(Kind::Commit, self.base)?;
        let mut trees = vec![repository.find_commit(self.base)?.tree_id()?.detach()];
        let mut seen = std::collections::HashSet::new();
        while let Some(id) = trees.pop() {
            if !seen.insert(id) {
                continue;
            }
            copy(Kind::Tree, id)?;
            for entry in repository.find_tree(id)?.decode()?.entries {
                let id = entry.oid.to_owned();
                if entry.mode.is_tree() {
                    trees.push(id);
                } else if !entry.mode.is_commit() && seen.insert(id) {
                    copy(Kind::Blob, id)?;
                }
            }
        }
        fs::write(self.directory.join("shallow"), format!("{}\n", self.base))?;
        Ok(())
    }
}

/// Writes the index of the files just checked out, so that git need not look at them.
pub(super) fn write_index(git: &Path, state: State) -> anyhow::Result<()> {
    gix::index::File::from_state(state, git.join("index"))
        .write(gix::index::write::Options::default())
        .context("cannot write the index of the workspace")
}

struct ObjectFile {
    path: PathBuf,
    relative: PathBuf,
    size: u64,
}

/// The directories of a store that hold objects, and whether it is the one for packs.
fn object_directories(store: &Path) -> anyhow::Result<Vec<(PathBuf, bool)>> {
    let mut found = Vec::new();
    for directory in fs::read_dir(store)? {
        let directory = directory?;
        let name = directory.file_name();
        let name = name.to_string_lossy();
        let is_pack = name == "pack";
        let is_loose = name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_pack || is_loose {
            found.push((directory.path(), is_pack));
        }
    }
    Ok(found)
}

/// The packs, their indexes and the loose objects of some stores.
fn object_files(stores: &[PathBuf]) -> anyhow::Result<Vec<ObjectFile>> {
    let mut files = Vec::new();
    for store in stores {
        for (directory, is_pack) in object_directories(store)? {
            let is_loose = !is_pack;
            let parent = directory.file_name().unwrap_or_default().to_owned();
            for file in fs::read_dir(&directory)? {
                let file = file?;
                let file_name = file.file_name();
                let path = Path::new(&file_name);
                let extension = path.extension().and_then(|extension| extension.to_str());
                let wanted = match extension {
                    Some("pack" | "idx" | "rev") => is_pack,
                    Some(_) => false,
                    None => is_loose && !file_name.to_string_lossy().starts_with("tmp_"),
                };
                if wanted {
                    let relative = Path::new(&parent).join(&file_name);
                    let size = file.metadata()?.len();
                    files.push(ObjectFile { path: file.path(), relative, size });
                }
            }
        }
    }
    // An index must not be there before its pack.
    files.sort_by_key(|file| file.relative.extension().is_some_and(|name| name != "pack"));
    Ok(files)
}

/// Files up to this many bytes are copied through memory, where other ways only cost more calls.
const SMALL: u64 = 64 << 10;

/// Copies a file, sharing its blocks where the file system can. `buffer` is room to be used again.
fn copy(from: &ObjectFile, to: &Path, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut source = File::open(&from.path)?;
    let mut options = OpenOptions::new();
    let mut target = match options.write(true).create_new(true).mode(0o444).open(to) {
        Ok(target) => target,
        // Objects are named by content: an alternate had the same one.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    };
    if from.size <= SMALL {
        buffer.clear();
        source.read_to_end(buffer)?;
        return target.write_all(buffer);
    }
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        io::copy(&mut source, &mut target)?;
    }
    Ok(())
}

/// A value as git's configuration quotes it.
fn quote(value: &str) -> String {
    let mut text = String::from("\"");
    for character in value.chars().filter(|character| !character.is_control()) {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
    text
}
