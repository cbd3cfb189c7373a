//! Which names and links may be brought into a user's working tree.
//!
//! Git's rules for HFS+ and NTFS hold on every system, since the tree may travel to one of those.

use gix::bstr::BStr;
use gix::objs::tree::{EntryKind, EntryMode};
use gix::validate::path::component;

use crate::model::failure::{Failure, FailureKind};
use crate::model::path::{RepoPath, printable};

/// Longest target of a link, in bytes, as Linux has it.
const MAX_TARGET: usize = 4095;

const RULES: component::Options =
    component::Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };

/// Refuses, naming the path, what git would not check out or what we never write.
pub(in crate::repo) fn check_name(path: &RepoPath, mode: EntryMode) -> Result<(), Failure> {
    let refuse = |why: &str| {
        let message = format!("{path} is not brought into your working tree: {why}");
        Err(Failure::new(FailureKind::Refused, message).paths(vec![path.clone()]))
    };
    match mode.kind() {
        EntryKind::Commit => return refuse("it is a submodule or a repository of its own"),
        EntryKind::Tree => return refuse("it is a directory without files"),
        EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link => {}
    }
    let bytes = path.as_bytes();
    if bytes.contains(&0) {
        return refuse("its name holds a NUL byte");
    }
    let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'/').collect();
    for (index, part) in parts.iter().enumerate() {
        let leaf = index + 1 == parts.len() && mode.is_link();
        // A backslash separates directories on Windows.
        for piece in part.split(|byte| *byte == b'\\') {
            let piece = if piece.is_empty() { part } else { piece };
            let mode = leaf.then_some(component::Mode::Symlink);
            if let Err(error) = gix::validate::path::component(BStr::new(piece), mode, RULES) {
                return refuse(&lower(&error.to_string()));
            }
        }
    }
    Ok(())
}

/// Refuses a link that leads out of the repository or into its git directory.
///
/// `..` is accepted only at the start: there it is measured from a directory that is known to be
/// real, while after a name it could be measured from wherever another link leads.
pub(in crate::repo) fn check_target(path: &RepoPath, target: &[u8]) -> Result<(), Failure> {
    let refuse = |why: &str| {
        let shown = printable(&target[..target.len().min(MAX_TARGET)]);
        let message = format!("the link {path} to {shown} is not made: {why}");
        Err(Failure::new(FailureKind::Refused, message).paths(vec![path.clone()]))
    };
    if target.is_empty() || target.len() > MAX_TARGET || target.contains(&0) {
        return refuse("no system can follow it");
    }
    if target[0] == b'/' || target[0] == b'\\' || target.get(1) == Some(&b':') {
        return refuse("it leads out of the repository");
    }
    let mut depth = path.as_bytes().split(|byte| *byte == b'/').skip(1).count();
    let mut named = false;
    for part in target.split(|byte| matches!(byte, b'/' | b'\\')) {
        match part {
            b"" | b"." => {}
            b".." if named => return refuse("it goes up after it went down"),
            b".." => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return refuse("it leads out of the repository"),
            },
            name => {
                named = true;
                if gix::validate::path::component(BStr::new(name), None, RULES).is_err() {
                    return refuse("it leads into a git directory");
                }
            }
        }
    }
    Ok(())
}

/// The first letter in lower case, for the middle of a sentence.
fn lower(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &[u8], kind: EntryKind) -> bool {
        check_name(&RepoPath::new(path), kind.into()).is_ok()
    }

    #[test]
    fn no_spelling_of_a_git_directory_is_written() {
        let hostile: [&[u8]; 24] = [
            b".git/config",
            b".GIT/hooks/post-merge",
            b".Git",
            b"a/.git/config",
            b"a/.gIt",
            b"git~1/config",
            b"GIT~1",
            b".git./config",
            b".git /config",
            b".git::$INDEX_ALLOCATION/x",
            b".git:x",
            b"a\\.git\\hooks\\x",
            b"a\\..\\b",
            b".g\xe2\x80\x8cit/config",
            b"\xe2\x80\x8d.git",
            b"../x",
            b"a/../x",
            b"a/..",
            b"./a",
            b"a/./b",
            b"/etc/passwd",
            b"a//b",
            b"",
            b"a\0b",
        ];
        for path in hostile {
            assert!(!name(path, EntryKind::Blob), "{}", printable(path));
        }
        assert!(!name(b"sub", EntryKind::Commit));
        assert!(!name(b".gitmodules", EntryKind::Link));
        assert!(!name(b".GITMODULES", EntryKind::Link));
        let harmless: [&[u8]; 9] = [
            b".gitignore",
            b".github/workflows/x.yml",
            b"a b/c",
            b"aux.c",
            b"a:b",
            b"git",
            b"bad\xff",
            b"...",
            b".gitmodules",
        ];
        for path in harmless {
            assert!(name(path, EntryKind::Blob), "{}", printable(path));
        }
    }

    #[test]
    fn a_link_stays_inside_the_repository() {
        let link = |path: &str, target: &str| {
            check_target(&RepoPath::new(path), target.as_bytes()).is_ok()
        };
        for (path, target) in [
            ("d", "/etc"),
            ("d", ".."),
            ("d", "../x"),
            ("a/d", "../../x"),
            ("a/d", "b/../../../x"),
            ("a/d", "b/.."),
            ("d", ".git/hooks"),
            ("d", "x/.GIT"),
            ("a/d", "../.git"),
            ("d", ""),
            ("d", "\\\\host\\x"),
            ("d", "c:x"),
            ("d", "..\\x"),
            ("d", "git~1"),
            ("d", "a\0b"),
        ] {
            assert!(!link(path, target), "{path} -> {target}");
        }
        for (path, target) in
            [("d", "x"), ("d", "./x/y"), ("a/d", "../x"), ("a/d", ".."), ("a/b/d", "../../c/./x")]
        {
            assert!(link(path, target), "{path} -> {target}");
        }
    }
}
