//! Whether an agent has begun a conversation, as far as files in its home tell.
//!
//! The box writes in that home and may have left anything there: names are looked up from the
//! descriptors of the directories above them and through no link, nothing but directories is
//! opened, and no file is read.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use super::seeds::{RESOLVE, open_home};
use crate::model::id::Timestamp;

/// Names looked at in all. A home that has more is somebody's prank, or its conversations are among
/// the first.
const MOST_NAMES: u32 = 100_000;

/// The size of an empty list or object, which some programs begin their files with.
const SAYS_NOTHING: i64 = 2;

/// When what tells of a conversation was written last; `None` where there is nothing of the kind.
/// A file or a directory that has nothing in it tells of none.
pub(super) fn newest(home: &Path, pattern: &str) -> Option<Timestamp> {
    let home = open_home(home).ok()?;
    let names: Vec<&str> = pattern.split('/').collect();
    let mut search = Search { newest: None, left: MOST_NAMES };
    search.below(home.as_fd(), &names);
    search.newest
}

struct Search {
    newest: Option<Timestamp>,
    left: u32,
}

impl Search {
    fn below(&mut self, directory: BorrowedFd<'_>, names: &[&str]) {
        let Some((name, rest)) = names.split_first() else { return };
        if !name.contains('*') {
            return self.at(directory, *name, rest);
        }
        let Ok(entries) = Dir::read_from(directory) else { return };
        for entry in entries.flatten().filter(|entry| is_name(entry.file_name())) {
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            let found = entry.file_name();
            if matches(name.as_bytes(), found.to_bytes()) {
                self.at(directory, found, rest);
            }
        }
    }

    fn at<Name: rustix::path::Arg + Copy>(
        &mut self,
        directory: BorrowedFd<'_>,
        name: Name,
        rest: &[&str],
    ) {
        if rest.is_empty() {
            let Ok(stat) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
                return;
            };
            let tells = match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => stat.st_size > SAYS_NOTHING,
                FileType::Directory => open(directory, name).is_some_and(|it| has_any(&it)),
                _ => false,
            };
            if tells {
                self.newest = self.newest.max(Some(written(&stat)));
            }
        } else if let Some(next) = open(directory, name) {
            self.below(next.as_fd(), rest);
        }
    }
}

fn open(directory: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat2(directory, name, flags, Mode::empty(), RESOLVE).ok()
}

fn has_any(directory: &OwnedFd) -> bool {
    let entries = Dir::read_from(directory);
    entries.is_ok_and(|entries| entries.flatten().any(|entry| is_name(entry.file_name())))
}

fn is_name(name: &CStr) -> bool {
    !matches!(name.to_bytes(), b"." | b"..")
}

fn written(stat: &Stat) -> Timestamp {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    Timestamp(seconds.saturating_mul(1000).saturating_add(stat.st_mtime_nsec / 1_000_000))
}

/// Whether a name fits a pattern in which each `*` stands for any letters.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut parts = pattern.split(|letter| *letter == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&[u8]> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        let Some(at) = rest.windows(part.len()).position(|window| window == part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const PATTERN: &str = ".tool/*/talk-*.jsonl";

    /// A home that a box wrote in, beside a directory that is none of its business.
    fn world() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(root.path().join("home/.tool")).expect("made");
        std::fs::create_dir_all(root.path().join("outside/a")).expect("made");
        std::fs::write(root.path().join("outside/a/talk-1.jsonl"), "a talk").expect("written");
        root
    }

    #[test]
    fn a_star_stands_for_any_letters_of_one_name() {
        for (pattern, name, fits) in [
            ("talk-*.jsonl", "talk-1.jsonl", true),
            ("talk-*.jsonl", "talk-.jsonl", true),
            ("talk-*.jsonl", "talk-1.json", false),
            ("*", "anything", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("name", "names", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn the_newest_file_that_says_something_tells_of_a_conversation() {
        let root = world();
        let home = root.path().join("home");
        assert_eq!(newest(&home, PATTERN), None);
        std::fs::create_dir(home.join(".tool/shop")).expect("made");
        for nothing in ["", "[]", "{}"] {
            std::fs::write(home.join(".tool/shop/talk-1.jsonl"), nothing).expect("written");
            assert_eq!(newest(&home, PATTERN), None, "{nothing:?}");
        }
        assert_eq!(newest(&home, ".tool/shop/none"), None);
        for (name, seconds) in [("talk-2.jsonl", 20), ("talk-3.jsonl", 10), ("other", 30)] {
            let path = home.join(".tool/shop").join(name);
            std::fs::write(&path, "a talk").expect("written");
            let file = std::fs::File::options().write(true).open(path).expect("opened");
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            file.set_modified(at).expect("dated");
        }
        assert_eq!(newest(&home, PATTERN), Some(Timestamp(20_000)));
    }

    #[test]
    fn a_directory_tells_of_a_conversation_once_it_has_something() {
        let root = world();
        let home = root.path().join("home");
        assert_eq!(newest(&home, ".tool"), None);
        std::fs::write(home.join(".tool/x"), "").expect("written");
        assert!(newest(&home, ".tool").is_some());
    }

    #[test]
    fn no_link_leads_out_of_the_home() {
        let root = world();
        let (home, outside) = (root.path().join("home"), root.path().join("outside"));
        symlink(outside.join("a"), home.join(".tool/shop")).expect("linked");
        std::fs::create_dir(home.join(".tool/real")).expect("made");
        symlink(outside.join("a/talk-1.jsonl"), home.join(".tool/real/talk-1.jsonl")).expect("so");
        symlink(&outside, home.join(".other")).expect("linked");
        assert_eq!(newest(&home, PATTERN), None);
        assert_eq!(newest(&home, ".other/*/talk-*.jsonl"), None);
        assert_eq!(newest(&home, ".tool/shop/talk-1.jsonl"), None);

        // The control: the links work for whoever looks as at any other file.
        assert!(home.join(".tool/shop/talk-1.jsonl").exists());
        assert!(home.join(".tool/real/talk-1.jsonl").exists());
        std::fs::write(home.join(".tool/real/talk-2.jsonl"), "a talk").expect("written");
        assert!(newest(&home, PATTERN).is_some());
    }
}
