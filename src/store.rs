//! What must survive a restart, and where it lies.
//!
//! Everything is below one directory, so that two homes never meet. A record is replaced by a
//! rename of a synced file: after a crash it is the old one or the new one, never half of each.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::IFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::id::{EnvironmentId, RepositoryId};

/// The directories and files of one home.
#[derive(Clone, Debug)]
pub struct Layout {
    home: PathBuf,
}

/// The directories of one environment.
#[derive(Clone, Debug)]
pub struct Places {
    pub directory: PathBuf,
}

impl Layout {
    pub fn new(home: &Path) -> Self {
        Self { home: home.to_owned() }
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    pub fn lock(&self) -> PathBuf {
        self.home.join("server.lock")
    }

    pub fn environments(&self) -> PathBuf {
        self.home.join("environments")
    }

    pub fn environment(&self, id: &EnvironmentId) -> Places {
        Places { directory: self.environments().join(id.as_str()) }
    }

    /// Where a discarded environment lies until it is taken back.
    pub fn trash(&self, id: &EnvironmentId) -> PathBuf {
        self.home.join("trash").join(id.as_str())
    }

    /// The ids of what is in the trash, in no order.
    pub fn trash_ids(&self) -> io::Result<Vec<EnvironmentId>> {
        ids_in(&self.home.join("trash"))
    }

    /// Where things lie while they are removed: a rename takes them there at once, and what a kill
    /// leaves is removed by the next start.
    pub fn removing(&self) -> PathBuf {
        self.home.join("removing")
    }

    /// Where the files of what was given up are kept; nobody here looks at them again.
    pub fn given_up(&self, id: &EnvironmentId) -> PathBuf {
        self.home.join("given-up").join(id.as_str())
    }

    /// Where what may be an environment next is made; nothing of it is kept over a start.
    pub fn ahead(&self) -> PathBuf {
        self.home.join("ahead")
    }

    pub fn repository(&self, id: &RepositoryId) -> PathBuf {
        self.home.join("repositories").join(&id.0)
    }

    /// Makes the directories that every home has, for the user alone.
    pub fn create(&self) -> io::Result<()> {
        for name in ["environments", "trash", "removing", "ahead", "repositories", "bin"] {
            create_private(&self.home.join(name))?;
        }
        for parent in [self.environments(), self.ahead(), self.home.join("repositories")] {
            spread(&parent);
        }
        Ok(())
    }

    /// The ids of the environments on disk, discarded ones left out, in no order.
    pub fn environment_ids(&self) -> io::Result<Vec<EnvironmentId>> {
        ids_in(&self.environments())
    }

    /// The repositories that anything is kept of.
    pub fn repository_ids(&self) -> io::Result<Vec<RepositoryId>> {
        let entries = fs::read_dir(self.home.join("repositories"))?.flatten();
        Ok(entries.filter_map(|it| it.file_name().into_string().ok()).map(RepositoryId).collect())
    }
}

fn ids_in(directory: &Path) -> io::Result<Vec<EnvironmentId>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(directory)? {
        ids.extend(entry?.file_name().to_str().and_then(EnvironmentId::parse));
    }
    Ok(ids)
}

impl Places {
    pub fn record(&self) -> PathBuf {
        self.directory.join("record.json")
    }

    /// The newest record, where the disk may not have it yet.
    pub fn unsynced_record(&self) -> PathBuf {
        self.directory.join("record.unsynced.json")
    }

    /// Whether there is a record of the environment, on the disk or on its way there.
    pub fn is_recorded(&self) -> bool {
        self.record().exists() || self.unsynced_record().exists()
    }

    pub fn workspace(&self) -> PathBuf {
        self.directory.join("workspace")
    }

    pub fn git(&self) -> PathBuf {
        self.directory.join("git")
    }

    /// What is remembered of files that were made ahead. It is there until they are taken up.
    pub fn made_ahead(&self) -> PathBuf {
        self.directory.join("files.index")
    }

    pub fn agent_home(&self) -> PathBuf {
        self.directory.join("home")
    }

    /// What an engine keeps of the box's own.
    pub fn layer(&self) -> PathBuf {
        self.directory.join("layer")
    }

    pub fn run(&self) -> PathBuf {
        self.directory.join("run")
    }

    pub fn screens(&self) -> PathBuf {
        self.directory.join("screens")
    }

    /// The agent's screens as they were at snapshots.
    pub fn moments(&self) -> PathBuf {
        self.directory.join("moments")
    }

    /// What people called snapshots.
    pub fn marks(&self) -> PathBuf {
        self.directory.join("marks.json")
    }

    /// What people sent to the agent, and what came of it.
    pub fn prompts(&self) -> PathBuf {
        self.directory.join("prompts.json")
    }

    /// What people said of lines of the change.
    pub fn comments(&self) -> PathBuf {
        self.directory.join("comments")
    }

    /// Makes the directory and those in it that do not depend on an engine.
    pub fn create(&self) -> io::Result<()> {
        create_private(&self.directory)?;
        for directory in [self.agent_home(), self.run(), self.screens()] {
            create_private(&directory)?;
        }
        Ok(())
    }
}

/// Has the file system put what is in each directory below `parent` at a place of its own. Ext4 and
/// its like else look for room for a file where others were removed a moment ago, among which they
/// may take a millisecond for each new one. Others know no such wish, and need none.
fn spread(parent: &Path) {
    let Ok(opened) = File::open(parent) else { return };
    if let Ok(flags) = rustix::fs::ioctl_getflags(&opened) {
        let _ = rustix::fs::ioctl_setflags(&opened, flags | IFlags::TOPDIR);
    }
}

/// Makes a directory with its parents, readable by the user alone. An existing one stays.
pub fn create_private(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Replaces a file by `value` as JSON, synced with its directory.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> anyhow::Result<()> {
    write_file(path, &serde_json::to_vec_pretty(value)?)
}

/// Replaces a file by `bytes`, synced with its directory, mode 0600.
pub fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    replace(path, bytes, Durability::PowerCut)
}

/// The same without waiting for the disk: a kill leaves the old file or the new one, a power cut
/// may leave neither.
pub fn write_file_unsynced(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    replace(path, bytes, Durability::Kill)
}

/// What a written file outlives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    Kill,
    PowerCut,
}

fn replace(path: &Path, bytes: &[u8], durability: Durability) -> anyhow::Result<()> {
    let directory = path.parent().context("a file has a directory")?;
    let mut name = path.file_name().context("a file has a name")?.to_owned();
    name.push(".new");
    let fresh = directory.join(name);
    let written = (|| {
        // A link there is none of ours, whoever made it.
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&fresh)?;
        file.write_all(bytes)?;
        if durability == Durability::Kill {
            return fs::rename(&fresh, path);
        }
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // Half a file keeps room that a full disk does not have.
        let _ = fs::remove_file(&fresh);
    }
    written.with_context(|| format!("could not write {}", path.display()))
}

/// Reads a file that `write_json` wrote; `None` when there is none.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("could not read {}", path.display()));
        }
    };
    let value = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} does not hold what it should", path.display()))?;
    Ok(Some(value))
}

/// Renames a directory and syncs both parents, so that it is in one place or the other.
pub fn rename_synced(from: &Path, to: &Path) -> anyhow::Result<()> {
    let synced = (|| {
        fs::rename(from, to)?;
        for path in [from, to] {
            if let Some(parent) = path.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        io::Result::Ok(())
    })();
    synced.with_context(|| format!("could not move {} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_the_old_or_the_new_one() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("record.json");
        assert_eq!(read_json::<u32>(&path).expect("read"), None);
        write_json(&path, &1).expect("written");
        // What a crash before the rename leaves behind.
        fs::write(home.path().join("record.json.new"), b"{").expect("written");
        assert_eq!(read_json::<u32>(&path).expect("read"), Some(1));
        write_json(&path, &2).expect("written");
        assert_eq!(read_json::<u32>(&path).expect("read"), Some(2));
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let home = tempfile::tempdir().expect("a directory");
        let (path, other) = (home.path().join("record.json"), home.path().join("other"));
        fs::write(&other, "stays").expect("written");
        std::os::unix::fs::symlink(&other, home.path().join("record.json.new")).expect("linked");
        assert!(write_json(&path, &1).is_err(), "it is not ours");
        assert_eq!(fs::read_to_string(&other).expect("read"), "stays");
        write_json(&path, &2).expect("written, since the link went");
        assert_eq!(read_json::<u32>(&path).expect("read"), Some(2));
    }

    #[test]
    fn a_damaged_record_is_named() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("record.json");
        fs::write(&path, b"{").expect("written");
        let error = read_json::<u32>(&path).expect_err("damaged");
        assert!(format!("{error:#}").contains("record.json"));
    }
}
