//! What a discarded environment takes on the disk, counted once: nothing writes there any more.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::store;

/// The unit of a file's blocks, whatever its file system's (`stat(2)`).
const BLOCK: u64 = 512;

/// The bytes below a directory of the trash; what cannot be looked at is not counted. Blocking.
pub(super) fn of(directory: &Path) -> u64 {
    let known = store::read_json(&file(directory)).ok().flatten();
    known.unwrap_or_else(|| {
        let counted = count(directory);
        // What is not written is counted again.
        let _ = store::write_json(&file(directory), &counted);
        counted
    })
}

/// Forgets what was counted, of a directory that leaves the trash.
pub(in crate::deck) fn forget(directory: &Path) {
    // Nobody may have asked.
    let _ = std::fs::remove_file(file(directory));
}

fn file(directory: &Path) -> PathBuf {
    directory.join("size")
}

/// Follows no link, and counts a file with several names once.
fn count(directory: &Path) -> u64 {
    let mut bytes = 0;
    let mut linked = HashSet::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.is_dir() {
                waiting.push(entry.path());
            } else if found.nlink() > 1 && !linked.insert((found.dev(), found.ino())) {
                continue;
            }
            bytes += found.blocks() * BLOCK;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_not_followed_and_files_counted_once() {
        let root = tempfile::tempdir().expect("a directory");
        let (inside, outside) = (root.path().join("in"), root.path().join("out"));
        std::fs::create_dir_all(inside.join("deep")).expect("made");
        std::fs::write(&outside, vec![1; 1 << 20]).expect("written");
        std::os::unix::fs::symlink(&outside, inside.join("way")).expect("linked");
        std::fs::write(inside.join("deep/file"), vec![1; 256 << 10]).expect("written");
        std::fs::hard_link(inside.join("deep/file"), inside.join("again")).expect("linked");
        std::fs::File::create(inside.join("hole")).expect("made").set_len(1 << 30).expect("set");
        let counted = of(&inside);
        assert!((256 << 10..512 << 10).contains(&counted), "{counted}");
        std::fs::write(inside.join("more"), vec![1; 1 << 20]).expect("written");
        assert_eq!(of(&inside), counted, "it is not counted again");
        forget(&inside);
        assert!(of(&inside) > counted);
    }
}
