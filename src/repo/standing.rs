//! A tree's files as git has them stand in the user's working tree, by the tree's own attributes
//! and the user's rules.

use gix::ObjectId;

use super::base::BaseTree;
use super::convert::Rules;
use super::encoding::Encoding;
use super::forms::{self, Forms};
use super::large::LargeFiles;
use super::object::failed;
use super::stored::{Storing, attributes};
use crate::model::failure::{Failure, FailureKind};
use crate::model::path::{RepoPath, printable};

/// The conversions of one tree, for paths that were named.
pub(super) struct Standing<'r> {
    objects: &'r gix::Repository,
    rules: Rules,
    kept: LargeFiles,
    tree: BaseTree<'r>,
}

impl<'r> Standing<'r> {
    /// `storing` says what the tree was made of.
    pub(super) fn new<'p>(
        storing: &Storing<'r>,
        tree: ObjectId,
        paths: &(impl Iterator<Item = &'p RepoPath> + Clone),
    ) -> Result<Self, Failure> {
        let objects = storing.objects;
        let files = attributes(objects, tree, paths.clone())?;
        let rules = Rules::of_files(&storing.store.rules, &files);
        let kept = storing.kept_in(tree, paths)?;
        Ok(Self { objects, rules, kept, tree: BaseTree::new(objects, tree) })
    }

    /// What git would write into the working tree for a blob.
    pub(super) fn worktree_form(
        &mut self,
        forms: &Forms<'_>,
        path: &RepoPath,
        blob: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        if self.rules.is_large(path.as_bytes()) {
            return match forms.known(&blob) {
                Some(id) => {
                    let content =
                        self.objects.find_blob(id).map_err(failed("read a large file"))?;
                    Ok(content.detach().data)
                }
                None => Ok(forms.large_content(&blob).unwrap_or(blob)),
            };
        }
        self.check_encoding(path)?;
        let converted = self.rules.checked_out_form(path.as_bytes(), &blob);
        Ok(converted.into_owned())
    }

    /// Refuses a path whose encoding only git's own converter knows.
    pub(super) fn check_encoding(&self, path: &RepoPath) -> Result<(), Failure> {
        let Some(Encoding::Unknown) = self.rules.encoding(path.as_bytes()) else { return Ok(()) };
        let name = self.rules.encoding_name(path.as_bytes()).unwrap_or_default();
        let message =
            format!("{path} is to stand in {}, which only git converts", printable(&name));
        Err(Failure::new(FailureKind::Refused, message)
            .hint("copy the file out of the box with `agentdeck cp`, and `git add` it yourself")
            .paths(vec![path.clone()]))
    }

    /// What git would store for a file of the working tree.
    pub(super) fn git_form(&mut self, path: &RepoPath, content: &[u8]) -> Vec<u8> {
        if self.kept.has(path.as_bytes()) {
            return forms::pointer(content);
        }
        let there = self.tree.entry(path.as_bytes()).filter(|(mode, _)| mode.is_blob());
        let objects = self.objects;
        let mut before = || Some(objects.find_blob(there?.1).ok()?.detach().data);
        self.rules.stored_form(path.as_bytes(), content, &mut before).into_owned()
    }
}
