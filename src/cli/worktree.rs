//! Which worktree a directory is in, and which others its repository has, by the marks that git
//! leaves: `.git` is the git directory, or a file that names the worktree's own inside it.

use std::path::{Path, PathBuf};

/// The root of the worktree around a directory.
pub(super) fn root(directory: &Path) -> Option<&Path> {
    directory.ancestors().find(|ancestor| ancestor.join(".git").exists())
}

/// The git directory that all worktrees of a repository share, by the root of one; `None` where it
/// cannot be read.
pub(super) fn shared(root: &Path) -> Option<PathBuf> {
    let git = root.join(".git");
    if git.is_dir() {
        return git.canonicalize().ok();
    }
    let pointer = std::fs::read_to_string(&git).ok()?;
    let own = root.join(pointer.strip_prefix("gitdir:")?.trim());
    // The git directory of a submodule has none.
    let shared = std::fs::read_to_string(own.join("commondir")).map(|it| own.join(it.trim()));
    shared.unwrap_or(own).canonicalize().ok()
}

/// The shared git directory of the repository around a directory, where it has several worktrees.
pub(super) fn several(directory: &Path) -> Option<PathBuf> {
    let shared = shared(root(directory)?)?;
    let mut linked = shared.join("worktrees").read_dir().ok()?;
    linked.next().map(|_| shared)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn worktrees_of_a_repository_are_known_by_the_git_directory_they_share() {
        let directory = tempfile::tempdir().expect("a directory");
        let top = directory.path().canonicalize().expect("there");
        let git = |arguments: &[&str]| {
            let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
            let done =
                Command::new("git").args(identity).args(arguments).current_dir(&top).output();
            assert!(done.expect("git runs").status.success(), "{arguments:?}");
        };
        git(&["init", "-q", "main"]);
        git(&["-C", "main", "commit", "-q", "--allow-empty", "-m", "base"]);
        let main = top.join("main");
        assert_eq!(several(&main), None, "it has one");
        git(&["-C", "main", "worktree", "add", "-q", "inside/linked", "-b", "side"]);
        git(&["init", "-q", "main/inside/other"]);
        let linked = main.join("inside/linked");
        let deep = linked.join("deep");
        std::fs::create_dir(&deep).expect("made");
        let git_directory = Some(main.join(".git"));
        assert_eq!(root(&deep), Some(linked.as_path()));
        assert_eq!(shared(&linked), git_directory);
        assert_eq!((several(&main), several(&deep)), (git_directory.clone(), git_directory));
        let other = main.join("inside/other");
        assert_eq!((shared(&other), several(&other)), (Some(other.join(".git")), None));
        assert_eq!(shared(&top.join("away")), None);
    }
}
