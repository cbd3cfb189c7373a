//! Small files beside the objects of the store, at most one of a kind for each environment.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::Context;

use crate::model::id::EnvironmentId;

use super::store::Store;

/// What such a file is about; its name is a directory of the store.
#[derive(Clone, Copy)]
pub(super) struct Kind(pub(super) &'static str);

impl Kind {
    /// What was written last; `None` where nothing was.
    pub(super) fn read(
        self,
        store: &Store,
        environment: &EnvironmentId,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.place(store, environment);
        match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            bytes => bytes.map(Some).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Replaces the file. A kill leaves the one before or this one; see [`Kind::sync`].
    pub(super) fn write(
        self,
        store: &Store,
        environment: &EnvironmentId,
        bytes: &[u8],
    ) -> anyhow::Result<()> {
        let path = self.place(store, environment);
        let directory = path.parent().expect("a directory of the store");
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(directory)?;
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            file.write_all(bytes)?;
            file.persist(&path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Makes what was written survive a power loss. Nothing where there is no such file.
    pub(super) fn sync(self, store: &Store, environment: &EnvironmentId) -> anyhow::Result<()> {
        let path = self.place(store, environment);
        let sync = || -> std::io::Result<()> {
            match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                file => file?.sync_all()?,
            }
            // The kind's own directory may be as new as the file.
            for directory in path.ancestors().skip(1).take(2) {
                File::open(directory)?.sync_all()?;
            }
            Ok(())
        };
        sync().with_context(|| format!("cannot bring {} to the disk", path.display()))
    }

    /// Removes the file, where there is one.
    pub(super) fn forget(self, store: &Store, environment: &EnvironmentId) {
        let _ = fs::remove_file(self.place(store, environment));
    }

    fn place(self, store: &Store, environment: &EnvironmentId) -> PathBuf {
        store.directory().join(self.0).join(environment.as_str())
    }
}
