//! Which paths the user's sparse checkout leaves out of the working tree.
//!
//! A merge changes such a path in the index alone, as git does. What the index does not have yet is
//! told by the patterns, those of the cone mode too: they are written so that both readings agree.
//! An apply, which has nothing to do with the index, writes a new file wherever it belongs, as `git
//! apply` does.

use std::path::Path;

use anyhow::Context;
use gix::bstr::{BStr, ByteSlice};
use gix::glob::pattern::Case;
use gix::glob::search::pattern::List;
use gix::ignore::search::Ignore;

use super::index::{Index, Known};
use crate::model::failure::Failure;
use crate::model::path::RepoPath;

pub(super) struct Sparse {
    index: Index,
    /// `None` where all that is new is checked out.
    patterns: Option<List<Ignore>>,
}

impl Sparse {
    pub(super) fn read(repository: &gix::Repository, index: Index) -> Result<Self, Failure> {
        let mut patterns = None;
        if index.leaves_out() {
            let file = repository.git_dir().join("info/sparse-checkout");
            let bytes = match std::fs::read(&file) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                read => read.with_context(|| format!("cannot read {}", file.display()))?,
            };
            patterns = Some(read(&bytes).context("cannot read the patterns of your checkout")?);
        }
        Ok(Self { index, patterns })
    }

    /// The same where new files are written wherever they belong.
    pub(super) fn of_known(index: Index) -> Self {
        Self { index, patterns: None }
    }

    pub(super) fn is_outside(&self, path: &RepoPath) -> bool {
        match self.index.known(path) {
            Known::Outside(_) => true,
            Known::Nothing => {
                let left_out = |patterns| !includes(patterns, path.as_bytes());
                self.patterns.as_ref().is_some_and(left_out)
            }
            Known::Entry(_) | Known::Special(_) => false,
        }
    }
}

/// The patterns, which are of the root of the working tree wherever they are kept.
fn read(bytes: &[u8]) -> Option<List<Ignore>> {
    let (source, root) = (Path::new("sparse-checkout").to_owned(), Some(Path::new("")));
    List::from_bytes(bytes, source, root, Ignore::default()).ok()
}

/// The last pattern that speaks of a path decides; where none does, that of its directory.
fn includes(patterns: &List<Ignore>, path: &[u8]) -> bool {
    let (mut path, mut is_directory) = (BStr::new(path), false);
    loop {
        let slash = path.rfind_byte(b'/');
        let found = gix::ignore::search::pattern_matching_relative_path(
            patterns,
            path,
            slash.map(|slash| slash + 1),
            Some(is_directory),
            Case::Sensitive,
        );
        match (found, slash) {
            (Some(found), _) => return !found.pattern.is_negative(),
            (None, None) => return false,
            (None, Some(slash)) => (path, is_directory) = (BStr::new(&path[..slash]), true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cone_has_its_directories_and_the_files_on_the_way_to_them() {
        let cone = b"/*\n!/*/\n/a/\n!/a/*/\n/a/b/\n";
        let list = read(cone).expect("patterns");
        for (path, expected) in [
            ("file", true),
            ("a/file", true),
            ("a/b/file", true),
            ("a/b/c/d", true),
            ("a/c/file", false),
            ("x/file", false),
            ("x/a/b/file", false),
        ] {
            assert_eq!(includes(&list, path.as_bytes()), expected, "{path}");
        }
    }
}
