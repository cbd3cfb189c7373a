//! The tree an environment started from, asked by path: what is in it is tracked.

use std::collections::HashMap;
use std::rc::Rc;

use gix::ObjectId;
use gix::objs::tree::EntryMode;

type Entries = Rc<HashMap<Vec<u8>, (EntryMode, ObjectId)>>;

/// Looks paths up in one tree; directories asked about are kept.
pub(super) struct BaseTree<'r> {
    repository: &'r gix::Repository,
    root: ObjectId,
    directories: HashMap<Vec<u8>, Option<Entries>>,
}

impl<'r> BaseTree<'r> {
    pub fn new(repository: &'r gix::Repository, root: ObjectId) -> Self {
        Self { repository, root, directories: HashMap::new() }
    }

    /// The entry at a path; `None` when the tree has none there.
    pub fn entry(&mut self, path: &[u8]) -> Option<(EntryMode, ObjectId)> {
        let (directory, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&path[..0], path),
        };
        self.directory(directory)?.get(name).copied()
    }

    fn directory(&mut self, path: &[u8]) -> Option<Entries> {
        if let Some(known) = self.directories.get(path) {
            return known.clone();
        }
        let id = if path.is_empty() {
            Some(self.root)
        } else {
            self.entry(path).and_then(|(mode, id)| mode.is_tree().then_some(id))
        };
        let entries = id.and_then(|id| self.read(id));
        self.directories.insert(path.to_vec(), entries.clone());
        entries
    }

    fn read(&self, id: ObjectId) -> Option<Entries> {
        let tree = self.repository.find_tree(id).ok()?;
        let decoded = tree.decode().ok()?;
        let entries = decoded
            .entries
            .iter()
            .map(|entry| (entry.filename.to_vec(), (entry.mode, entry.oid.to_owned())))
            .collect();
        Some(Rc::new(entries))
    }
}
