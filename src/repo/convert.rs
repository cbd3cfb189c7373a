//! Which files are ignored, and how their bytes differ between a working tree and git.
//!
//! Only what git itself does: line endings, `ident` and encodings. A driver that attributes name is
//! unknown here and therefore does nothing, whoever configured it; so an LFS pointer stays one.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use gix::bstr::{BStr, ByteSlice};
use gix::filter::plumbing::Pipeline;
use gix::filter::plumbing::pipeline::convert::{
    ToGitOutcome, ToWorktreeOutcome, to_worktree::Options as ToWorktreeOptions,
};
use gix::filter::plumbing::pipeline::{CrlfRoundTripCheck, Options};
use gix::glob::pattern::Case;
use gix::ignore::search::Ignore;

use super::rules::UserRules;

type IgnoreList = gix::glob::search::pattern::List<Ignore>;

/// The name of the file with ignore patterns, in any directory.
pub(super) const IGNORE_FILE: &[u8] = b".gitignore";
/// The name of the file with attributes, in any directory.
pub(super) const ATTRIBUTES_FILE: &[u8] = b".gitattributes";

/// The user's rules and, above them, those of the directories entered.
pub(super) struct Rules {
    user: UserRules,
    ignores: Vec<IgnoreList>,
    attributes: gix::attrs::Search,
    pipeline: Pipeline,
    /// For each directory entered: whether it had ignore patterns, and attributes.
    entered: Vec<(bool, bool)>,
}

impl Rules {
    pub fn new(user: &UserRules) -> Self {
        let options = Options {
            drivers: Vec::new(),
            eol_config: user.eol,
            crlf_roundtrip_check: CrlfRoundTripCheck::Skip,
            encodings_with_roundtrip_check: Vec::new(),
        };
        Self {
            pipeline: Pipeline::new(gix::command::Context::default(), user.hash, options),
            user: user.clone(),
            ignores: Vec::new(),
            attributes: gix::attrs::Search::default(),
            entered: Vec::new(),
        }
    }

    /// Adds the rules of a directory, given its path without a trailing slash and the contents of
    /// its files. Directories are entered from the root down.
    pub fn enter(&mut self, directory: &[u8], ignore: Option<&[u8]>, attributes: Option<&[u8]>) {
        let source = |name: &[u8]| Path::new(OsStr::from_bytes(&join(directory, name))).to_owned();
        let root = Some(Path::new(""));
        let ignores = ignore.and_then(|bytes| {
            IgnoreList::from_bytes(bytes, source(IGNORE_FILE), root, Ignore::default()).ok()
        });
        let has_ignores = ignores.is_some();
        self.ignores.extend(ignores);
        let has_attributes = attributes.is_some_and(|bytes| {
            let source = source(ATTRIBUTES_FILE);
            let (collection, macros) = (&mut self.user.collection, directory.is_empty());
            self.attributes.add_patterns_buffer(bytes, source, root, collection, macros).is_ok()
        });
        self.entered.push((has_ignores, has_attributes));
    }

    /// Forgets the rules of the directory entered last.
    pub fn leave(&mut self) {
        let (ignores, attributes) = self.entered.pop().expect("a directory was entered");
        if ignores {
            self.ignores.pop();
        }
        if attributes {
            self.attributes.pop_pattern_list();
        }
    }

    /// Whether a path is ignored by its own name. A parent that is ignored is the caller's to know.
    pub fn is_ignored(&self, path: &[u8], is_directory: bool) -> bool {
        let path = BStr::new(path);
        let basename = path.rfind_byte(b'/').map(|position| position + 1);
        let found = self.ignores.iter().rev().find_map(|list| {
            gix::ignore::search::pattern_matching_relative_path(
                list,
                path,
                basename,
                Some(is_directory),
                Case::Sensitive,
            )
        });
        let found = found.or_else(|| {
            self.user.excludes.pattern_matching_relative_path(
                path,
                Some(is_directory),
                Case::Sensitive,
            )
        });
        found.is_some_and(|found| !found.pattern.is_negative())
    }

    /// The driver that attributes name for a path, which is never run.
    pub fn filter(&self, path: &[u8]) -> Option<Vec<u8>> {
        let mut outcome = gix::attrs::search::Outcome::default();
        outcome.initialize_with_selection(&self.user.collection, ["filter"]);
        match_attributes(&self.user, &self.attributes, BStr::new(path), &mut outcome);
        let found = outcome.iter_selected().next()?;
        match found.assignment.state {
            gix::attrs::StateRef::Value(value) => Some(value.as_bstr().to_vec()),
            _ => None,
        }
    }

    /// What git stores for a file with these bytes. `stored` gives what it stores there now, asked
    /// only where git's own rules ask for it. Bytes that cannot be converted are stored as they are.
    pub fn stored_form<'a>(
        &'a mut self,
        path: &[u8],
        bytes: &'a [u8],
        stored: &mut dyn FnMut() -> Option<Vec<u8>>,
    ) -> Cow<'a, [u8]> {
        let Self { user, attributes, pipeline, .. } = self;
        let converted = pipeline.convert_to_git(
            bytes,
            Path::new(OsStr::from_bytes(path)),
            &mut |path, outcome| match_attributes(user, attributes, path, outcome),
            &mut |buffer| {
                Ok(stored().map(|bytes| {
                    buffer.clear();
                    buffer.extend_from_slice(&bytes);
                }))
            },
        );
        match converted {
            Ok(ToGitOutcome::Buffer(converted)) => Cow::Borrowed(converted),
            Ok(ToGitOutcome::Unchanged(_) | ToGitOutcome::Process(_)) | Err(_) => {
                Cow::Borrowed(bytes)
            }
        }
    }

    /// What git writes into a working tree for a blob.
    pub fn checked_out_form<'a>(&'a mut self, path: &[u8], blob: &'a [u8]) -> Cow<'a, [u8]> {
        let Self { user, attributes, pipeline, .. } = self;
        let converted = pipeline.convert_to_worktree(
            blob,
            BStr::new(path),
            &mut |path, outcome| match_attributes(user, attributes, path, outcome),
            ToWorktreeOptions::default(),
        );
        match converted {
            Ok(ToWorktreeOutcome::Buffer(converted)) => Cow::Borrowed(converted),
            Ok(ToWorktreeOutcome::Unchanged(_) | ToWorktreeOutcome::Process(_)) | Err(_) => {
                Cow::Borrowed(blob)
            }
        }
    }
}

fn match_attributes(
    user: &UserRules,
    attributes: &gix::attrs::Search,
    path: &BStr,
    outcome: &mut gix::attrs::search::Outcome,
) {
    outcome.initialize(&user.collection);
    for group in [&user.attributes_override, attributes, &user.attributes] {
        group.pattern_matching_relative_path(path, Case::Sensitive, Some(false), outcome);
        if outcome.is_done() {
            break;
        }
    }
}

/// Joins two parts of a path; the directory may be empty for the root.
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return name.to_vec();
    }
    [directory, b"/", name].concat()
}
