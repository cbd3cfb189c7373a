//! The agent's own commits, brought onto the user's branch one after the other in memory.
//!
//! They come as the objects that git in the box prints (`git cat-file --batch`), and are hostile:
//! each is read for what it is, named by its content, and its files are checked as those of a
//! snapshot are. Nothing but what the new commits hold reaches the user's repository.

use std::collections::HashSet;

use anyhow::Context;
use gix::ObjectId;
use gix::objs::{Commit, Kind, Write as _};

use super::super::checkout::check_name;
use super::super::diff::{self, Renames};
use super::super::forms::Forms;
use super::super::merge::{self, Sides};
use super::super::object::{self, failed};
use super::super::stored::{Large, Stored, Storing};
use super::sound::check_tree;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::CommitId;
use crate::model::path::printable;

/// More commits than this are nobody's to read one by one.
const MOST_COMMITS: usize = 1_000;
/// The longest message that is brought over, in bytes.
const MOST_MESSAGE: usize = 64 << 10;

/// One commit of the agent's.
#[derive(Clone, Debug)]
pub(super) struct Theirs {
    pub(super) id: ObjectId,
    pub(super) tree: ObjectId,
    parents: Vec<ObjectId>,
    author: gix::actor::Signature,
    pub(super) message: String,
}

/// Takes printed objects into the memory of `objects`; gives the commits in the order they came.
pub(super) fn read(objects: &gix::Repository, mut printed: &[u8]) -> Result<Vec<Theirs>, Failure> {
    let mut commits = Vec::new();
    while !printed.is_empty() {
        let object = Printed::next(&mut printed).map_err(|error| unreadable(&error))?;
        let id = objects
            .objects
            .write_buf(object.kind, object.data)
            .map_err(failed("keep an object"))?;
        if id.to_hex().to_string().as_bytes() != object.name {
            return Err(unreadable(&anyhow::anyhow!("object {id} is called something else")));
        }
        if object.kind == Kind::Commit {
            commits.push(id);
        }
    }
    if commits.len() > MOST_COMMITS {
        let message = format!("the agent made {} commits", commits.len());
        return Err(Failure::new(FailureKind::Refused, message)
            .hint(format!("at most {MOST_COMMITS} are brought over; take one commit: --squash")));
    }
    commits.into_iter().map(|id| one(objects, id).map_err(|error| unreadable(&error))).collect()
}

fn unreadable(error: &anyhow::Error) -> Failure {
    let message = format!("the agent's commits cannot be read: {error:#}");
    Failure::new(FailureKind::Refused, message).hint("take all as one commit: --squash")
}

struct Printed<'a> {
    name: &'a [u8],
    kind: Kind,
    data: &'a [u8],
}

impl<'a> Printed<'a> {
    /// A line with name, kind and size, then as many bytes and a line break.
    fn next(rest: &mut &'a [u8]) -> anyhow::Result<Self> {
        let end = rest.iter().position(|byte| *byte == b'\n').context("a line was cut off")?;
        let line = std::str::from_utf8(&rest[..end]).context("a line is not text")?;
        let mut words = line.split(' ');
        let name = words.next().context("an object has no name")?.as_bytes();
        let kind = match words.next() {
            Some("commit") => Kind::Commit,
            Some("tree") => Kind::Tree,
            Some("blob") => Kind::Blob,
            other => anyhow::bail!("an object is {}", other.unwrap_or("nothing")),
        };
        let size: usize = words.next().context("an object has no size")?.parse()?;
        let data = rest.get(end + 1..).and_then(|data| data.get(..size));
        let data = data.context("an object was cut off")?;
        *rest = &rest[end + 1 + size..];
        anyhow::ensure!(rest.first() == Some(&b'\n'), "an object is longer than it says");
        *rest = &rest[1..];
        Ok(Self { name, kind, data })
    }
}

fn one(objects: &gix::Repository, id: ObjectId) -> anyhow::Result<Theirs> {
    let commit = objects.find_commit(id)?;
    let decoded = commit.decode()?;
    let mut author = decoded.author()?.trim().to_owned()?;
    // What the agent calls itself is shown by whatever prints the user's history.
    for text in [&mut author.name, &mut author.email] {
        *text = printable(text).into();
    }
    let text = &decoded.message[..decoded.message.len().min(MOST_MESSAGE)];
    let lines = text.split(|byte| *byte == b'\n').map(printable).collect::<Vec<_>>();
    Ok(Theirs {
        id,
        tree: decoded.tree(),
        parents: decoded.parents().collect(),
        author,
        message: lines.join("\n").trim().to_owned() + "\n",
    })
}

/// A branch as it grows.
pub(super) struct Growing<'a, 'f, 'r> {
    pub(super) storing: &'a Storing<'a>,
    pub(super) forms: &'f mut Forms<'r>,
    pub(super) committer: &'a gix::actor::Signature,
    pub(super) tip: ObjectId,
    /// The tree that it began with.
    pub(super) start: ObjectId,
    /// What the next commit is merged into,
    pub(super) tree: ObjectId,
    /// and the same with each large file in the form in which its place has it: the tree of the tip.
    pub(super) stands: ObjectId,
    /// New commits with their trees, oldest first.
    pub(super) made: Vec<(ObjectId, ObjectId)>,
    /// Large files in them.
    pub(super) large: Large,
}

impl Growing<'_, '_, '_> {
    /// A tree of the agent's, which had no git-lfs, with pointers for large files.
    pub(super) fn pointed(&mut self, tree: ObjectId) -> Result<ObjectId, Failure> {
        let Stored { tree, large } = self.storing.pointed(tree)?;
        self.forms.know(&large);
        self.large.extend(large);
        Ok(tree)
    }

    /// Brings one commit over, by its author. Merges of the agent's are left out, for the last commit
    /// to bring what they hold, and so is what is there already.
    pub(super) fn bring(&mut self, theirs: &Theirs) -> Result<(), Failure> {
        if theirs.parents.len() > 1 {
            return Ok(());
        }
        let objects = self.storing.objects;
        let parent = match theirs.parents.first() {
            Some(parent) => object::tree_of(objects, &object::name(*parent))?,
            None => objects.empty_tree().id,
        };
        check_tree(objects, theirs.tree, Some(parent))?;
        let (parent, tree) = (self.pointed(parent)?, self.pointed(theirs.tree)?);
        let author = theirs.author.clone();
        self.commit((parent, tree), &theirs.message, author).map_err(|mut failure| {
            if failure.kind == FailureKind::Conflict {
                let subject = theirs.message.lines().next().unwrap_or_default();
                let short = object::name(theirs.id);
                failure.message = format!(
                    "the agent's commit {} ({subject}) does not fit onto your branch; nothing was \
                     changed",
                    short.short()
                );
                failure.hint = Some("take all at once: without --rebase, or --squash".to_owned());
            }
            failure
        })
    }

    /// Commits the way between two trees, unless that changes nothing.
    pub(super) fn commit(
        &mut self,
        (from, to): (ObjectId, ObjectId),
        message: &str,
        author: gix::actor::Signature,
    ) -> Result<(), Failure> {
        let sides = Sides { ancestor: from, ours: self.tree, theirs: to };
        let tree = merge::trees(self.storing.objects, self.forms, sides)?;
        self.grow(tree, message, author)
    }

    /// Commits a tree, unless the branch has it already.
    pub(super) fn grow(
        &mut self,
        tree: ObjectId,
        message: &str,
        author: gix::actor::Signature,
    ) -> Result<(), Failure> {
        if tree == self.tree {
            return Ok(());
        }
        for change in diff::changes(self.storing.objects, self.tree, tree, Renames::Ignore)? {
            if let Some(side) = change.new {
                check_name(&change.path, side.mode)?;
            }
        }
        let settled = self.storing.settled(self.start, tree, &self.large)?;
        self.tree = tree;
        self.forms.know(&settled.large);
        self.large.extend(settled.large);
        if settled.tree == self.stands {
            return Ok(());
        }
        let commit = Commit {
            tree: settled.tree,
            parents: [self.tip].into_iter().collect(),
            author,
            committer: self.committer.clone(),
            encoding: None,
            message: message.into(),
            extra_headers: Vec::new(),
        };
        self.tip =
            self.storing.objects.write_object(&commit).map_err(failed("store a commit"))?.detach();
        self.stands = settled.tree;
        self.made.push((self.tip, settled.tree));
        Ok(())
    }
}

/// The commits that one which was brought over before does not hold.
pub(super) fn after<'t>(commits: &'t [Theirs], last: Option<&CommitId>) -> Vec<&'t Theirs> {
    let mut held: HashSet<ObjectId> = last.map(object::id).into_iter().collect();
    // Parents were printed before their children.
    for commit in commits.iter().rev() {
        if held.contains(&commit.id) {
            held.extend(&commit.parents);
        }
    }
    commits.iter().filter(|commit| !held.contains(&commit.id)).collect()
}

/// The tree that commits end with which lead from `start` in a straight line: all that it holds is in
/// one of them. A merge may hold what no commit does that is brought over.
pub(super) fn end_of_line(commits: &[&Theirs], start: &CommitId) -> Option<ObjectId> {
    let mut before = object::id(start);
    for commit in commits {
        if commit.parents != [before] {
            return None;
        }
        before = commit.id;
    }
    commits.last().map(|last| last.tree)
}
