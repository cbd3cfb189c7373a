//! Removes what a box leaves: directories may be shut even to their owner.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Removes a directory and all in it, links as links. An overlay's work directory has no
/// permissions at all, and neither need what an agent made; the owner gives them back first.
/// Nothing may be running that writes there.
pub fn remove_tree(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(directory)?;
            std::fs::remove_dir_all(directory)
        }
        result => result,
    }
}

fn open_up(directory: &Path) -> io::Result<()> {
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_permissions_is_removed() {
        let root = tempfile::tempdir().expect("a directory");
        let shut = root.path().join("a/b");
        std::fs::create_dir_all(shut.join("c")).expect("made");
        std::fs::set_permissions(&shut, std::fs::Permissions::from_mode(0o000)).expect("set");
        remove_tree(&root.path().join("a")).expect("removed");
        assert!(!root.path().join("a").exists());
    }
}
