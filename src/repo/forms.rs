//! A file as git stores it and as it stands in the user's working tree.
//!
//! Line endings, `$Id$` and encodings follow git's built-in rules by the attributes of one of the
//! user's own commits. No driver is ever started: large-file pointers are recognised here, and any
//! other filter is for the caller to refuse by name.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use gix::ObjectId;
use gix::attrs::StateRef;
use gix::bstr::{BStr, ByteSlice as _};
use gix::filter::plumbing::pipeline::convert::{ToGitOutcome, ToWorktreeOutcome, to_worktree};
use gix::filter::plumbing::{Pipeline, pipeline};
use gix::worktree::stack::state::attributes::Source;
use sha2::{Digest, Sha256};

use super::merge::text::Manner;
use super::object::failed;
use super::user::UserRepository;
use crate::model::failure::{Failure, FailureKind};
use crate::model::path::{RepoPath, printable};

/// How a pointer to a large file begins; its specification bounds it to 1,024 bytes.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
const MAX_POINTER: usize = 1024;

/// Merge drivers built into git and into us.
const MERGE_DRIVERS: [&[u8]; 3] = [b"text", b"binary", b"union"];

/// The conversions of one commit's attributes.
pub(super) struct Forms<'r> {
    repository: &'r gix::Repository,
    stack: gix::AttributeStack<'r>,
    selected: gix::attrs::search::Outcome,
    pipeline: Pipeline,
    index: gix::index::File,
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
        let options = pipeline::Options {
            eol_config: user.rules()?.eol,
            crlf_roundtrip_check: pipeline::CrlfRoundTripCheck::Skip,
            ..pipeline::Options::default()
        };
        let context = gix::command::Context::default();
        let pipeline = Pipeline::new(context, repository.object_hash(), options);
        Ok(Self { repository, stack, selected, pipeline, index })
    }

    /// Refuses a path whose content only a driver of the user's can make.
    pub(super) fn check_filter(&mut self, path: &RepoPath) -> Result<(), Failure> {
        match self.attribute(path, "filter")? {
            Some(name) if name != b"lfs" => Err(refused(path, "filter", &name)),
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

    /// What git would write into the working tree for a blob.
    pub(super) fn worktree_form(
        &mut self,
        path: &RepoPath,
        blob: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        let place = BStr::new(path.as_bytes());
        let entry = self.stack.at_entry(place, None).map_err(failed("look up attributes"))?;
        let options = to_worktree::Options {
            can_delay: gix::filter::plumbing::driver::apply::Delay::Forbid,
            ..to_worktree::Options::default()
        };
        let outcome = self.pipeline.convert_to_worktree(
            &blob,
            place,
            &mut |_, attributes| {
                entry.matching_attributes(attributes);
            },
            options,
        );
        let converted = match outcome.map_err(failed("convert a file"))? {
            ToWorktreeOutcome::Unchanged(_) => None,
            ToWorktreeOutcome::Buffer(bytes) => Some(bytes.to_vec()),
            ToWorktreeOutcome::Process(_) => unreachable!("no driver is configured"),
        };
        Ok(converted.unwrap_or(blob))
    }

    /// What git would store for a file of the working tree.
    pub(super) fn git_form(&mut self, path: &RepoPath, content: &[u8]) -> Result<Vec<u8>, Failure> {
        if self.attribute(path, "filter")?.as_deref() == Some(b"lfs") {
            return Ok(pointer(content));
        }
        let place = BStr::new(path.as_bytes());
        let stored = self.index.entry_by_path(place).map(|entry| entry.id);
        let repository = self.repository;
        let entry = self.stack.at_entry(place, None).map_err(failed("look up attributes"))?;
        let outcome = self.pipeline.convert_to_git(
            content,
            OsStr::from_bytes(path.as_bytes()).as_ref(),
            &mut |_, attributes| {
                entry.matching_attributes(attributes);
            },
            &mut |buffer| {
                let Some(id) = stored else { return Ok(None) };
                let object = repository.try_find_object(id)?;
                Ok(object.map(|object| buffer.extend_from_slice(&object.data)))
            },
        );
        Ok(match outcome.map_err(failed("convert a file"))? {
            ToGitOutcome::Unchanged(bytes) | ToGitOutcome::Buffer(bytes) => bytes.to_vec(),
            ToGitOutcome::Process(_) => unreachable!("no driver is configured"),
        })
    }
}

/// The pointer that stands for a large file; a pointer stands for itself.
fn pointer(content: &[u8]) -> Vec<u8> {
    if content.is_empty() || content.len() <= MAX_POINTER && content.starts_with(POINTER) {
        return content.to_vec();
    }
    let mut text = String::from_utf8_lossy(POINTER).into_owned() + "oid sha256:";
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
