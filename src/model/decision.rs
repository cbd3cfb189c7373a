//! What a person decides about an environment's work, and the record that lets it be undone.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::id::{CommitId, DecisionId, EnvironmentId, EnvironmentName, Timestamp};
use super::path::RepoPath;
use super::snapshot::Skipped;

/// A decision that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub id: DecisionId,
    pub kind: DecisionKind,
    pub environment: EnvironmentId,
    pub name: EnvironmentName,
    pub repository: PathBuf,
    pub at: Timestamp,
    /// The snapshot whose content was taken, that was the last before a discard, or that the
    /// workspace was taken back to.
    pub snapshot: Option<CommitId>,
    /// The merge commit on the user's branch.
    pub commit: Option<CommitId>,
    /// Paths written or removed in the user's working tree, or in the workspace by a restore.
    pub paths: Vec<RepoPath>,
    pub undone: bool,
    /// How much of it was taken by an apply.
    #[serde(default)]
    pub portion: Portion,
    /// What of a merge the branch shows.
    #[serde(default)]
    pub style: MergeStyle,
    /// Hooks of the repository that git would have run for a merge; we run none.
    #[serde(default)]
    pub hooks: Vec<Hook>,
    /// What was taken of is not all there is in the environment: it lacks these, or has them as
    /// they could be read last.
    #[serde(default)]
    pub left_out: Vec<Skipped>,
    /// Of a discard that could take no last snapshot, because the repository is away: when
    /// `snapshot` was taken. The files are kept as they are all the same.
    #[serde(default)]
    pub as_of: Option<Timestamp>,
}

/// A hook that did not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub name: String,
    /// From the working tree's root where it lies beneath it.
    pub path: PathBuf,
}

impl Decision {
    /// How to run a hook that did not run where it can do no harm, as commands.
    pub fn run_in_box(&self, hook: &Hook) -> String {
        let (name, path) = (&self.name, hook.path.display());
        if hook.is_in_box() {
            return format!("agentdeck exec {name} -- ./{path}");
        }
        let there = format!("/tmp/{}", hook.name);
        format!("agentdeck cp {path} {name}:{there} && agentdeck exec {name} -- {there}")
    }

    /// The hooks that did not run, in words; `None` where there are none.
    pub fn skipped_hooks(&self) -> Option<String> {
        hook_words(&self.hooks, "did not run")
    }
}

/// What is so of hooks, in words, as in `2 hooks did not run: a, b`; `None` where there are none.
pub fn hook_words(hooks: &[Hook], what: &str) -> Option<String> {
    let names: Vec<&str> = hooks.iter().map(|hook| hook.name.as_str()).collect();
    match names.as_slice() {
        [] => None,
        [one] => Some(format!("1 hook {what}: {one}")),
        names => Some(format!("{} hooks {what}: {}", names.len(), names.join(", "))),
    }
}

impl Hook {
    /// Whether the box has it, as the agent left it, since it is a file of the working tree.
    pub fn is_in_box(&self) -> bool {
        self.path.is_relative() && !self.path.starts_with(".git")
    }
}

/// What a merge leaves on the branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MergeStyle {
    /// A commit of both sides.
    #[default]
    Commit,
    /// One commit of its own.
    Squash,
    /// The agent's own commits one after the other, and one of what it did not commit.
    Rebase,
}

impl MergeStyle {
    pub const ALL: [Self; 3] = [Self::Commit, Self::Squash, Self::Rebase];

    /// For people: what is made.
    pub fn word(self) -> &'static str {
        match self {
            Self::Commit => "merge commit",
            Self::Squash => "squash",
            Self::Rebase => "rebase",
        }
    }
}

/// What a merge would say if nothing else is said, before it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeDraft {
    pub message: String,
    /// The first lines of the agent's own commits, oldest first.
    pub commits: Vec<String>,
    /// For a rebase: the message of what the agent did not commit.
    pub rest: String,
    /// What the merge would lack.
    #[serde(default)]
    pub left_out: Vec<Skipped>,
    /// The hooks that a merge of each style would not run.
    #[serde(default)]
    pub hooks: Vec<(MergeStyle, Vec<Hook>)>,
}

/// How much of an environment's work is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Portion {
    #[default]
    All,
    /// These files, and all beneath these directories; a renamed file by either name.
    Paths(Vec<RepoPath>),
    /// One hunk of a file, by the one-based line it begins at in the snapshot and the number of
    /// lines it has there, as in a unified diff's `@@` line.
    Hunk { path: RepoPath, start: u32, lines: u32 },
}

impl Portion {
    /// Whether what lies at a path, or below it, would be taken.
    pub fn covers(&self, path: &RepoPath) -> bool {
        let meets = |named: &RepoPath| path.is_within(named) || named.is_within(path);
        match self {
            Self::All => true,
            Self::Paths(paths) => paths.iter().any(meets),
            Self::Hunk { path, .. } => meets(path),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecisionKind {
    Apply,
    Merge,
    Discard,
    Restore,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_covers_what_is_at_below_and_above_its_paths() {
        let covered = |named: &str, path: &str| {
            let portion = Portion::Paths(vec![RepoPath::new(named.as_bytes())]);
            portion.covers(&RepoPath::new(path.as_bytes()))
        };
        assert!(covered("a", "a") && covered("a", "a/b") && covered("a/b", "a"));
        assert!(covered("", "a"), "the root is above everything");
        assert!(!covered("a", "ab") && !covered("ab", "a") && !covered("a/b", "a/c"));
        let hunk = Portion::Hunk { path: RepoPath::new("a"), start: 1, lines: 1 };
        assert!(hunk.covers(&RepoPath::new("a")) && !hunk.covers(&RepoPath::new("b")));
        assert!(Portion::All.covers(&RepoPath::new("a")));
    }
}
