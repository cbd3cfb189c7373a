//! Merges: what the agent's own git, in its box, is asked for, and the decision itself.

use std::sync::Arc;
use std::time::Duration;

use super::deciding::{repository_of, takeable};
use super::exec;
use super::hooking;
use super::queries::{head, with_store};
use super::resolving;
use super::shared::{Shared, blocking};
use super::state::Record;
use super::taking::{decide, is_news, left_out, open, publish, request, taken};
use crate::model::decision::{MergeDraft, MergeStyle, Portion};
use crate::model::failure::Failure;
use crate::model::id::{CommitId, EnvironmentName};
use crate::model::path::printable;
use crate::model::snapshot::{ChangeCount, Skipped};
use crate::proto::{Reply, Target};
use crate::repo::divergence;
use crate::repo::taking::{self, Merging, TakeRequest};

/// Reading the agent's commit messages starts git in the box.
const MESSAGES_DEADLINE: Duration = Duration::from_secs(10);
/// What a merge message may quote of the agent's own, in bytes.
const MESSAGES_BYTES: usize = 16 << 10;
/// Reading the agent's commits takes as long as git takes to find what is new in them.
const COMMITS_DEADLINE: Duration = Duration::from_mins(1);
/// What an agent's commits may hold that its base does not, in bytes: they are read into memory.
const COMMITS_BYTES: usize = 128 << 20;

/// Every object that the agent's commits add, as git prints it; nothing where it made none.
const PRINT_COMMITS: &str = "list=$(git rev-list --objects --no-object-names --topo-order --reverse \
                             \"$1..HEAD\") || exit; [ -n \"$list\" ] || exit 0; \
                             printf '%s\\n' \"$list\" | git cat-file --batch";

pub(super) async fn merge(
    shared: &Arc<Shared>,
    target: Target,
    style: MergeStyle,
    (message, known): (Option<String>, Option<Vec<Skipped>>),
) -> Result<Reply, Failure> {
    let record = takeable(shared, target).await?;
    let head = head(shared, &record).await?;
    let left_out = left_out(shared, &record, &head, &Portion::All).await?;
    if is_news(&left_out, known.as_deref()) {
        return Ok(Reply::LeftOut(left_out));
    }
    let base = resolving::base(shared, &record, &head).await?;
    let message = if let Some(message) = message {
        message
    } else {
        let draft = draft_of(shared, &record, &base).await;
        if style == MergeStyle::Rebase { draft.rest } else { draft.message }
    };
    let commits = match style {
        MergeStyle::Rebase => commits(shared, &record, &base).await?,
        MergeStyle::Commit | MergeStyle::Squash => Vec::new(),
    };
    let hinted = resolving::hinted(&record);
    let decided = decide(shared.clone(), record, move |opened, record| {
        let request = TakeRequest { base, left_out, ..request(&opened.journal, record, head)? };
        let merging = Merging { style, message, identity: opened.user.identity(), commits };
        taking::merge(&opened.user, &opened.store, &opened.journal, &request, &merging)
    });
    Ok(Reply::Decided(Box::new(publish(shared, decided.await.map_err(hinted)?))))
}

/// Commits of the work on its base, for a branch elsewhere, and what they say together.
pub(super) async fn offer(
    shared: &Arc<Shared>,
    target: Target,
    style: MergeStyle,
    message: Option<String>,
) -> Result<Reply, Failure> {
    let record = takeable(shared, target).await?;
    let head = head(shared, &record).await?;
    let left_out = left_out(shared, &record, &head, &Portion::All).await?;
    let base = resolving::base(shared, &record, &head).await?;
    let draft = draft_of(shared, &record, &base).await;
    let commits = match style {
        MergeStyle::Rebase if !draft.commits.is_empty() => commits(shared, &record, &base).await?,
        _ => Vec::new(),
    };
    let own = if commits.is_empty() { &draft.message } else { &draft.rest };
    let merging_message = message.clone().unwrap_or_else(|| own.clone());
    let message = message.unwrap_or(draft.message);
    let task = shared.clone();
    let commit = blocking(move || {
        task.deciding.alone(&record.repository_id, |_| {
            let opened = open(&task, repository_of(&record)?)?;
            let request = TakeRequest { base, ..request(&opened.journal, &record, head)? };
            let identity = opened.user.identity();
            let merging = Merging { style, message: merging_message, identity, commits };
            taking::offer(&opened.user, &opened.store, &opened.journal, &request, &merging)
        })
    });
    Ok(Reply::Offered { commit: commit.await?, message, left_out })
}

/// The objects of the agent's own commits. Without them a rebase would be a squash.
async fn commits(
    shared: &Arc<Shared>,
    record: &Record,
    base: &CommitId,
) -> Result<Vec<u8>, Failure> {
    let environment = &record.environment;
    let command = ["sh", "-c", PRINT_COMMITS, "sh", base.as_str()];
    let printed = exec::capture(shared, record, &command, COMMITS_BYTES, COMMITS_DEADLINE).await;
    printed.map_err(|mut failure| {
        failure.message =
            format!("the commits of {}'s agent cannot be read: {failure}", environment.name);
        let name = &environment.name;
        failure.hint = Some(format!("start its box, agentdeck start {name}, or take --squash"));
        failure
    })
}

/// What a merge would say.
pub(super) async fn draft(shared: &Arc<Shared>, target: Target) -> Result<Reply, Failure> {
    let record = shared.resolve(target).await?;
    let head = head(shared, &record).await?;
    let left_out = left_out(shared, &record, &head, &Portion::All).await?;
    let base = resolving::base(shared, &record, &head).await?;
    let draft = draft_of(shared, &record, &base).await;
    let hooks = hooking::skipped(&record).await;
    Ok(Reply::MergeDraft(Box::new(MergeDraft { left_out, hooks, ..draft })))
}

/// From the agent's own commits, as far as its box can be asked; without them from what changed.
async fn draft_of(shared: &Arc<Shared>, record: &Record, base: &CommitId) -> MergeDraft {
    let range = format!("{base}..HEAD");
    let command = ["git", "log", "--reverse", "--no-merges", "-z", "--format=%B", &range];
    let messages = exec::capture(shared, record, &command, MESSAGES_BYTES, MESSAGES_DEADLINE).await;
    let (task, base) = (shared.clone(), base.clone());
    let counting = with_store(shared, record.clone(), move |store, record| {
        if taken(&task, record)?.is_some() {
            // How much is new since is known once it is taken.
            return Ok(ChangeCount::default());
        }
        divergence::since(store, &record.environment.id, &base, &task.counts)
    });
    // A draft is for the user to change: one that says less is better than none.
    let change = counting.await.unwrap_or_default();
    drafted(&messages.unwrap_or_default(), &record.environment.name, change)
}

/// One commit's message as it is; of several the first line of each; of none whose work it is, and
/// how much, in the words of `git diff --shortstat`.
fn drafted(messages: &[u8], name: &EnvironmentName, change: ChangeCount) -> MergeDraft {
    let text = |message: &[u8]| -> String {
        let lines = message.split(|byte| *byte == b'\n').map(printable);
        lines.collect::<Vec<_>>().join("\n").trim().to_owned()
    };
    let mut messages: Vec<String> = messages.split(|byte| *byte == 0).map(text).collect();
    messages.retain(|message| !message.is_empty() && !resolving::is_ours(message));
    let subject = |message: &String| message.lines().next().unwrap_or_default().to_owned();
    let commits: Vec<String> = messages.iter().map(subject).collect();
    let (message, rest) = match messages.as_slice() {
        [] => {
            let all = match change.files {
                0 => format!("Work of {name}"),
                _ => format!("Work of {name}\n\n{}", change.summary()),
            };
            (all.clone(), all)
        }
        // How much of it was not committed is known once it is rebased.
        [one] => (one.clone(), format!("Uncommitted work of {name}")),
        _ => {
            let list: Vec<String> = commits.iter().map(|subject| format!("- {subject}")).collect();
            let all = format!("{}\n\n{}", commits[0], list.join("\n"));
            (all, format!("Uncommitted work of {name}"))
        }
    };
    MergeDraft { message, commits, rest, left_out: Vec::new(), hooks: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Output};

    use super::*;

    fn draft(messages: &[u8]) -> MergeDraft {
        let name = EnvironmentName::parse("fox").expect("a name");
        drafted(messages, &name, ChangeCount { added: 12, removed: 0, files: 1 })
    }

    #[test]
    fn a_draft_is_the_one_commits_message_or_the_first_lines_of_all() {
        let one = draft(b"add a\n\nbecause\x1b[31m\n\0");
        assert!(one.message.starts_with("add a\n\nbecause"), "{}", one.message);
        assert!(!one.message.contains('\x1b'));
        let two = draft(b"add a\n\nbecause\n\0fix a\n");
        assert_eq!(two.message, "add a\n\n- add a\n- fix a");
        assert_eq!(two.commits, ["add a", "fix a"]);
        assert_eq!(two.rest, "Uncommitted work of fox");
    }

    #[test]
    fn our_own_commit_before_a_merge_in_the_box_is_none_of_the_agents() {
        let ours = b"Work before merging main\n\0";
        assert_eq!(draft(ours), draft(b""));
        let drafted = draft(&[&b"add a\n\0"[..], ours].concat());
        assert_eq!((drafted.message.as_str(), drafted.commits.len()), ("add a", 1));
        assert_eq!(draft(b"Work before merging main\n\nand why\n\0").commits.len(), 1);
    }

    /// What an agent's box prints of its commits since `base`.
    fn printed(directory: &Path, base: &str) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", PRINT_COMMITS, "sh", base]).current_dir(directory);
        command.output().expect("it runs")
    }

    #[test]
    fn where_the_agent_made_no_commit_none_is_printed_and_a_base_that_is_away_is_a_failure() {
        let directory = tempfile::tempdir().expect("a directory");
        let commit = |message: &str| {
            let git = "git init -q; git -c user.name=a -c user.email=a@b commit -q --allow-empty";
            let script = format!("{git} -m {message}");
            let done = Command::new("sh").args(["-c", &script]).current_dir(&directory).status();
            assert!(done.expect("it runs").success());
        };
        commit("base");
        let none = printed(directory.path(), "HEAD");
        assert!(none.status.success() && none.stdout.is_empty(), "{none:?}");
        commit("one");
        let one = printed(directory.path(), "HEAD~1");
        assert!(one.status.success() && one.stdout.ends_with(b"\none\n\n"), "{one:?}");
        assert!(!printed(directory.path(), &"1".repeat(40)).status.success());
    }

    #[test]
    fn a_draft_without_commits_says_whose_work_it_is_and_how_much() {
        let all = "Work of fox\n\n1 file changed, 12 insertions(+)";
        let expected =
            MergeDraft { message: all.to_owned(), rest: all.to_owned(), ..MergeDraft::default() };
        assert_eq!(draft(b""), expected);
    }
}
