//! What the attributes of one of the user's own commits say of a path: how it is merged and which
//! driver it needs; and the pointers that stand for large files.
//!
//! No driver is ever started: pointers to large files are made and recognised here, and any other
//! filter is refused by name.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gix::ObjectId;
use gix::attrs::StateRef;
use gix::bstr::{BStr, ByteSlice as _};
use gix::worktree::stack::state::attributes::Source;
use sha2::{Digest, Sha256};

use super::convert::LARGE;
use super::merge::text::Manner;
use super::object::failed;
use super::stored::Large;
use super::user::UserRepository;
use crate::model::failure::{Failure, FailureKind};
use crate::model::path::{RepoPath, printable};

/// How a pointer to a large file begins; its specification bounds it to 1,024 bytes.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
const MAX_POINTER: usize = 1024;
/// What its line with the content's SHA-256 begins with.
const OID: &[u8] = b"oid sha256:";

/// Merge drivers built into git and into us.
const MERGE_DRIVERS: [&[u8]; 3] = [b"text", b"binary", b"union"];

/// What one commit's attributes say of paths.
pub(super) struct Forms<'r> {
    stack: gix::AttributeStack<'r>,
    selected: gix::attrs::search::Outcome,
    large: Large,
    /// Where content of pointers is that git would check out.
    kept: Option<PathBuf>,
}

impl<'r> Forms<'r> {
    /// Attributes as the tree `attributes` of the user's repository has them.
    pub(super) fn new(
        user: &UserRepository,
        repository: &'r gix::Repository,
        attributes: ObjectId,
    ) -> Result<Self, Failure> {
        let index = repository
            .index_from_tree(&attributes)
            .map_err(failed("read the attributes of your commit"))?;
        let stack = repository
            .attributes_only(&index, Source::IdMapping)
            .map_err(failed("read the attributes of your commit"))?;
        let selected = stack.selected_attribute_matches(["filter", "merge"]);
        let kept = checked_out_from(user);
        Ok(Self { stack, selected, large: Large::new(), kept })
    }

    /// Refuses a path whose content only a driver of the user's can make.
    pub(super) fn check_filter(&mut self, path: &RepoPath) -> Result<(), Failure> {
        match self.attribute(path, "filter")? {
            Some(name) if name != LARGE => Err(refused(path, "filter", &name)),
            _ => Ok(()),
        }
    }

    /// Refuses a path that a driver of the user's should have merged.
    pub(super) fn check_merge(&mut self, path: &RepoPath) -> Result<(), Failure> {
        match self.attribute(path, "merge")? {
            Some(name) if !MERGE_DRIVERS.contains(&name.as_slice()) => {
                Err(refused(path, "merge", &name))
            }
            _ => Ok(()),
        }
    }

    /// How git would merge a path by itself.
    pub(super) fn manner(&mut self, path: &RepoPath) -> Result<Manner, Failure> {
        Ok(match self.state(path, "merge")? {
            Some(StateRef::Unset) => Manner::Whole,
            Some(StateRef::Value(value)) => match value.as_bstr().as_bytes() {
                b"binary" => Manner::Whole,
                b"union" => Manner::Union,
                _ => Manner::Lines,
            },
            _ => Manner::Lines,
        })
    }

    fn attribute(&mut self, path: &RepoPath, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(match self.state(path, name)? {
            Some(StateRef::Value(value)) => Some(value.as_bstr().to_vec()),
            _ => None,
        })
    }

    fn state(&mut self, path: &RepoPath, name: &str) -> Result<Option<StateRef<'_>>, Failure> {
        let place = BStr::new(path.as_bytes());
        let platform =
            self.stack.at_entry(place, None).map_err(failed("look up a path's attributes"))?;
        platform.matching_attributes(&mut self.selected);
        let mut found = self.selected.iter_selected();
        let found = found.find(|found| found.assignment.name.as_str() == name);
        Ok(found.map(|found| found.assignment.state))
    }

    /// Large files of a snapshot, whose content stands where their pointer would.
    pub(super) fn know(&mut self, large: &Large) {
        self.large.extend(large.iter().map(|(pointer, id)| (pointer.clone(), *id)));
    }

    /// The content that stands for a pointer, where a snapshot has it.
    pub(super) fn known(&self, pointer: &[u8]) -> Option<ObjectId> {
        self.large.get(pointer).copied()
    }

    /// The content that the user's git-lfs would put in the place of a pointer.
    pub(super) fn large_content(&self, pointer: &[u8]) -> Option<Vec<u8>> {
        let content = std::fs::read(large_place(self.kept.as_ref()?, pointer)?).ok()?;
        (self::pointer(&content) == pointer).then_some(content)
    }
}

/// Where the user's git-lfs keeps files: `lfs.storage`, or the directory in the git directory that
/// all worktrees share.
pub(super) fn large_storage(user: &UserRepository) -> PathBuf {
    let repository = user.reader();
    let config = repository.config_snapshot();
    let configured = config.string("lfs.storage").filter(|value| !value.is_empty());
    user.git_dir().join(configured.map_or_else(|| "lfs".to_owned(), |value| value.to_string()))
}

/// The same where it is installed to write them into the working tree.
fn checked_out_from(user: &UserRepository) -> Option<PathBuf> {
    let repository = user.reader();
    let config = repository.config_snapshot();
    let smudge = config.string("filter.lfs.smudge")?;
    (!smudge.contains_str("--skip")).then(|| large_storage(user))
}

/// The file that has the content of a pointer.
pub(super) fn large_place(storage: &Path, pointer: &[u8]) -> Option<PathBuf> {
    let name = large_name(pointer)?;
    Some(storage.join("objects").join(&name[..2]).join(&name[2..4]).join(&name))
}

/// The name under which the content of a pointer is kept.
fn large_name(pointer: &[u8]) -> Option<String> {
    let line = pointer.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(OID))?;
    let name = String::from_utf8(line.to_vec()).ok()?;
    (name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(name)
}

/// The pointer that stands for a large file; a pointer stands for itself.
pub(super) fn pointer(content: &[u8]) -> Vec<u8> {
    if content.is_empty() || content.len() <= MAX_POINTER && content.starts_with(POINTER) {
        return content.to_vec();
    }
    let mut text = [POINTER, OID].concat().iter().map(|byte| char::from(*byte)).collect::<String>();
    for byte in Sha256::digest(content) {
        let _ = write!(text, "{byte:02x}");
    }
    let _ = writeln!(text, "\nsize {}", content.len());
    text.into_bytes()
}

fn refused(path: &RepoPath, attribute: &str, driver: &[u8]) -> Failure {
    let driver = printable(driver);
    Failure::new(
        FailureKind::Refused,
        format!("{path} needs the {attribute} driver {driver}, and no driver is run for an agent"),
    )
    .hint("take this path by hand, from the patch that `agentdeck diff` prints")
    .paths(vec![path.clone()])
}
