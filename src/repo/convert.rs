//! Which files are ignored, and how their bytes differ between a working tree and git.
//!
//! Only what git itself does: line endings, `ident` and encodings. A driver that attributes name is
//! unknown here and therefore does nothing, whoever configured it; so an LFS pointer stays one.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use gix::attrs::StateRef;
use gix::bstr::{BStr, ByteSlice};
use gix::filter::plumbing::Pipeline;
use gix::filter::plumbing::eol::AutoCrlf;
use gix::filter::plumbing::pipeline::convert::{
    ToGitOutcome, ToWorktreeOutcome, to_worktree::Options as ToWorktreeOptions,
};
use gix::filter::plumbing::pipeline::{CrlfRoundTripCheck, Options};
use gix::glob::pattern::Case;
use gix::ignore::search::Ignore;

use super::encoding::Encoding;
use super::ident;
use super::rules::UserRules;

type IgnoreList = gix::glob::search::pattern::List<Ignore>;

/// The name of the file with ignore patterns, in any directory.
pub(super) const IGNORE_FILE: &[u8] = b".gitignore";
/// The name of the file with attributes, in any directory.
pub(super) const ATTRIBUTES_FILE: &[u8] = b".gitattributes";

/// The driver of git-lfs, which attributes name.
pub(super) const LARGE: &[u8] = b"lfs";

/// The attributes by which git's own rules convert a file.
const CONVERTING: [&str; 5] = ["text", "crlf", "eol", IDENT, ENCODING];

/// The attribute for files in which `$Id$` is replaced.
const IDENT: &str = "ident";

/// The attribute for files that stand in another encoding than they are stored in.
const ENCODING: &str = "working-tree-encoding";

/// Leaves line endings to the library, and nothing else: it writes no encoding of two bytes, though
/// it reads them, and `$Id$` without the space that git puts at its end.
const LINE_ENDINGS_ONLY: &[u8] = b"* -ident working-tree-encoding=UTF-8\n";

/// The user's rules and, above them, those of the directories entered.
pub(super) struct Rules {
    user: UserRules,
    ignores: Vec<IgnoreList>,
    attributes: gix::attrs::Search,
    /// Wins over all others, for the library alone.
    line_endings_only: gix::attrs::Search,
    /// Whether any attributes speak of more than line endings.
    more: bool,
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
        let more = user.collection.iter().any(|(name, _)| [IDENT, ENCODING].contains(&name));
        let (mut user, mut only) = (user.clone(), gix::attrs::Search::default());
        let collection = &mut user.collection;
        only.add_patterns_buffer(LINE_ENDINGS_ONLY, "ours".into(), None, collection, false)
            .expect("it is one line of attributes");
        Self {
            pipeline: Pipeline::new(gix::command::Context::default(), user.hash, options),
            user,
            ignores: Vec::new(),
            attributes: gix::attrs::Search::default(),
            line_endings_only: only,
            more,
            entered: Vec::new(),
        }
    }

    /// The user's rules with the attribute files of a tree, each as its directory and content,
    /// parents before children.
    pub fn of_files(user: &UserRules, attributes: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let mut rules = Self::new(user);
        for (directory, bytes) in attributes {
            rules.enter(directory, None, Some(bytes));
        }
        rules
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
        let says = |bytes: &[u8]| bytes.contains_str(IDENT) || bytes.contains_str(ENCODING);
        self.more |= attributes.is_some_and(says);
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
        self.ask(path, "filter", |state| match state {
            StateRef::Value(value) => Some(value.as_bstr().to_vec()),
            _ => None,
        })
    }

    /// The encoding in which a file stands, where that is not the one it is stored in.
    pub fn encoding(&self, path: &[u8]) -> Option<Encoding> {
        self.more.then_some(())?;
        self.ask(path, ENCODING, |state| match state {
            StateRef::Value(value) => Encoding::named(value.as_bstr()),
            _ => None,
        })
    }

    /// What attributes call that encoding.
    pub fn encoding_name(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.ask(path, ENCODING, |state| match state {
            StateRef::Value(value) => Some(value.as_bstr().to_vec()),
            _ => None,
        })
    }

    /// Whether `$Id$` is replaced in a file.
    fn identifies(&self, path: &[u8]) -> bool {
        self.more && self.ask(path, IDENT, |state| state.is_set().then_some(())).is_some()
    }

    fn ask<T>(
        &self,
        path: &[u8],
        attribute: &str,
        read: impl FnOnce(StateRef<'_>) -> Option<T>,
    ) -> Option<T> {
        let mut outcome = gix::attrs::search::Outcome::default();
        outcome.initialize_with_selection(&self.user.collection, [attribute]);
        self.find_attributes(path, &mut outcome);
        let found = outcome.iter_selected().next()?;
        read(found.assignment.state)
    }

    /// Whether git-lfs keeps the content of a path.
    pub fn is_large(&self, path: &[u8]) -> bool {
        self.filter(path).as_deref() == Some(LARGE)
    }

    /// Whether git's own rules say anything of how a path is stored.
    pub fn may_convert(&self, path: &[u8]) -> bool {
        if self.user.eol.auto_crlf != AutoCrlf::Disabled {
            return true;
        }
        let mut outcome = gix::attrs::search::Outcome::default();
        outcome.initialize_with_selection(&self.user.collection, CONVERTING);
        self.find_attributes(path, &mut outcome);
        outcome
            .iter_selected()
            .any(|found| !matches!(found.assignment.state, StateRef::Unspecified))
    }

    /// Fills an outcome that selects attributes.
    fn find_attributes(&self, path: &[u8], outcome: &mut gix::attrs::search::Outcome) {
        let path = BStr::new(path);
        for group in [&self.user.attributes_override, &self.attributes, &self.user.attributes] {
            group.pattern_matching_relative_path(path, Case::Sensitive, Some(false), outcome);
            if outcome.is_done() {
                break;
            }
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
        let decoded = match self.encoding(path) {
            Some(encoding) if !bytes.is_empty() => match encoding.decode(bytes) {
                Some(text) => Some(text),
                None => return Cow::Borrowed(bytes),
            },
            _ => None,
        };
        let identifies = self.identifies(path);
        let source = decoded.as_deref().unwrap_or(bytes);
        let Self { user, attributes, line_endings_only: only, pipeline, .. } = self;
        let groups = [&*only, &user.attributes_override, attributes, &user.attributes];
        let converted = pipeline.convert_to_git(
            source,
            Path::new(OsStr::from_bytes(path)),
            &mut |path, outcome| match_attributes(user, groups, path, outcome),
            &mut |buffer| {
                Ok(stored().map(|bytes| {
                    buffer.clear();
                    buffer.extend_from_slice(&bytes);
                }))
            },
        );
        let text = match converted {
            Ok(ToGitOutcome::Buffer(converted)) => Cow::Borrowed(converted),
            Ok(ToGitOutcome::Unchanged(_) | ToGitOutcome::Process(_)) | Err(_) => {
                decoded.map_or(Cow::Borrowed(bytes), Cow::Owned)
            }
        };
        let collapsed = if identifies { ident::collapsed(&text) } else { None };
        collapsed.map_or(text, Cow::Owned)
    }

    /// What git writes into a working tree for a blob.
    pub fn checked_out_form<'a>(&'a mut self, path: &[u8], blob: &'a [u8]) -> Cow<'a, [u8]> {
        let encoding = self.encoding(path);
        let expanded = if self.identifies(path) {
            let id = gix::objs::compute_hash(self.user.hash, gix::objs::Kind::Blob, blob);
            id.ok().and_then(|id| ident::expanded(blob, &id))
        } else {
            None
        };
        let source = expanded.as_deref().unwrap_or(blob);
        let Self { user, attributes, line_endings_only: only, pipeline, .. } = self;
        let groups = [&*only, &user.attributes_override, attributes, &user.attributes];
        let converted = pipeline.convert_to_worktree(
            source,
            BStr::new(path),
            &mut |path, outcome| match_attributes(user, groups, path, outcome),
            ToWorktreeOptions::default(),
        );
        let changed = match converted {
            Ok(ToWorktreeOutcome::Buffer(converted)) => Some(converted),
            Ok(ToWorktreeOutcome::Unchanged(_) | ToWorktreeOutcome::Process(_)) | Err(_) => None,
        };
        let text = changed.unwrap_or(source);
        let encoded = encoding.filter(|_| !text.is_empty()).and_then(|it| it.encode(text));
        match (encoded, changed, expanded) {
            (Some(encoded), ..) => Cow::Owned(encoded),
            (None, Some(changed), _) => Cow::Owned(changed.to_vec()),
            (None, None, Some(expanded)) => Cow::Owned(expanded),
            (None, None, None) => Cow::Borrowed(blob),
        }
    }
}

fn match_attributes(
    user: &UserRules,
    groups: [&gix::attrs::Search; 4],
    path: &BStr,
    outcome: &mut gix::attrs::search::Outcome,
) {
    outcome.initialize(&user.collection);
    for group in groups {
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
