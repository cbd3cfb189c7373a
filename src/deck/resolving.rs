//! The user's branch merged in an environment's box, by the box's own git, so that the agent or a
//! person resolves there what conflicts; and whether it is there when the work is taken.

use std::sync::Arc;
use std::time::Duration;

use super::deciding::repository_of;
use super::exec;
use super::queries::with_store;
use super::shared::{Shared, blocking};
use super::state::Record;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::CommitId;
use crate::model::path::{RepoPath, printable};
use crate::model::snapshot::SnapshotCause;
use crate::proto::{Reply, Resolution, Target};
use crate::repo::onto::{self, Onto};

/// A merge in the box takes as long as git takes; more is stuck.
const MERGE_DEADLINE: Duration = Duration::from_mins(2);
/// A short question to git in the box.
const ASK_DEADLINE: Duration = Duration::from_secs(10);
/// What the box says of a merge, in bytes: a list of paths, or why not.
const MOST_WORDS: usize = 1 << 20;

/// What our own commit says, in the box, of what was not committed there before a merge; then the
/// branch's name.
const BEFORE_MERGE: &str = "Work before merging ";

/// Merges as a person would. What is not committed is committed first, so that git loses nothing
/// of it. Says `M` for merged, `C` and the paths in conflict, or `E` and why not.
const MERGE: &str = r#"
fail() { printf 'E%s' "$1"; exit 0; }
git rev-parse -q --verify MERGE_HEAD >/dev/null && fail 'a merge is under way there'
words=$(git update-ref "refs/remotes/yours/$2" "$1" 2>&1) || fail "$words"
words=$(git add -A 2>&1) || fail "$words"
git diff --cached --quiet || words=$(git commit -q --no-verify -m "$3" 2>&1) || fail "$words"
words=$(git merge --no-edit --no-verify "refs/remotes/yours/$2" 2>&1) && { printf M; exit 0; }
[ -n "$(git ls-files -u)" ] || fail "$words"
printf C
git diff --name-only -z --diff-filter=U
"#;

/// Whether a commit is in what the box has checked out, and whether a merge is under way there.
const STANDS: &str = r#"
git merge-base --is-ancestor "$1" HEAD && printf yes
git rev-parse -q --verify MERGE_HEAD >/dev/null && printf open
exit 0
"#;

/// Merges the user's branch in the box.
pub(super) async fn resolve(shared: &Arc<Shared>, target: Target) -> Result<Reply, Failure> {
    let record = shared.resolve(target).await?;
    let id = record.environment.id.clone();
    let turn = shared.turn(&id);
    let _turn = turn.lock().await;
    let record = shared.record(&id).await?;
    shared.wait_for_link(&record.environment).await?;
    let snapshotter = shared.snapshotter(&id).ok_or_else(|| {
        let message = format!("{} has no workspace yet", record.environment.name);
        Failure::new(FailureKind::Invalid, message)
    })?;
    let snapshot = snapshotter.now(SnapshotCause::BeforeMerge).await?;
    let task = record.clone();
    let (commit, branch, pack) = blocking(move || {
        let user = repository_of(&task)?;
        let (commit, branch) = user.head()?;
        let pack = onto::pack(&user, &task.environment.base, &commit)?;
        Ok((commit, branch.unwrap_or_else(|| "head".to_owned()), pack))
    })
    .await?;
    send(shared, &record, &pack).await?;
    let brought = Onto { commit: commit.clone(), snapshot: snapshot.clone() };
    with_store(shared, record.clone(), move |store, record| {
        onto::remember(store, &record.environment.id, &brought)
    })
    .await?;
    let message = format!("{BEFORE_MERGE}{branch}");
    let command = ["sh", "-c", MERGE, "sh", commit.as_str(), &branch, &message];
    let told = exec::capture(shared, &record, &command, MOST_WORDS, MERGE_DEADLINE).await?;
    snapshotter.command_ended();
    let conflicts = conflicts(&told, &record)?;
    let resolution = Resolution { branch, commit, snapshot, conflicts };
    Ok(Reply::Resolution(Box::new(resolution)))
}

/// Hands the box's git what it lacks of the branch.
async fn send(shared: &Arc<Shared>, record: &Record, pack: &[u8]) -> Result<(), Failure> {
    let command = ["git", "unpack-objects", "-q"].map(str::to_owned).to_vec();
    exec::give(shared, record, command, pack, MERGE_DEADLINE).await.map(drop)
}

fn conflicts(told: &[u8], record: &Record) -> Result<Vec<RepoPath>, Failure> {
    match told.split_first() {
        Some((b'M', [])) => Ok(Vec::new()),
        Some((b'C', paths)) => {
            let paths = paths.split(|byte| *byte == 0).filter(|path| !path.is_empty());
            Ok(paths.map(|path| RepoPath::new(path.to_vec())).collect())
        }
        other => {
            let words = other.map_or(&b"it says nothing"[..], |(_, words)| words);
            let line = words.split(|byte| *byte == b'\n').find(|line| !line.is_empty());
            let why = printable(line.unwrap_or_default());
            let name = &record.environment.name;
            let message = format!("your branch is not merged in {name}'s box: {why}");
            Err(Failure::new(FailureKind::Unavailable, message)
                .hint(format!("look there: agentdeck attach {name} --shell")))
        }
    }
}

/// What the environment's work is a change of: the base, or the user's commit that was brought into
/// the box and is in what is checked out there. Where the box does not say so, and did not last, it
/// is the base, which may conflict again and loses nothing.
pub(super) async fn base(
    shared: &Arc<Shared>,
    record: &Record,
    head: &CommitId,
) -> Result<CommitId, Failure> {
    let base = record.environment.base.clone();
    let head = head.clone();
    let found = with_store(shared, record.clone(), move |store, record| {
        let Some(Onto { commit, .. }) = onto::read(store, &record.environment.id)? else {
            return Ok(None);
        };
        let stands = !onto::lacks(store, &record.environment.id, &commit, &head)?;
        Ok(Some((commit, stands)))
    })
    .await?;
    let Some((commit, stands)) = found else { return Ok(base) };
    let command = ["sh", "-c", STANDS, "sh", commit.as_str()];
    let told = exec::capture(shared, record, &command, MOST_WORDS, ASK_DEADLINE).await;
    match told.as_deref() {
        Ok(b"yes") if stands => Ok(commit),
        // In a box that does not run nothing has moved since it was asked last.
        Err(_) if stands && record.environment.onto.as_ref() == Some(&commit) => Ok(commit),
        Ok(b"open" | b"yesopen") => {
            let name = &record.environment.name;
            let message = format!("the merge of your branch in {name}'s box is not committed yet");
            Err(Failure::new(FailureKind::Conflict, message).hint(format!(
                "git commit there, or git merge --abort: agentdeck attach {name} --shell"
            )))
        }
        _ => Ok(base),
    }
}

/// Whether a commit's message is that of a commit which we made in the box.
pub(super) fn is_ours(message: &str) -> bool {
    message.starts_with(BEFORE_MERGE) && message.lines().count() == 1
}

/// Says what a conflict can be resolved with.
pub(super) fn hinted(record: &Record) -> impl Fn(Failure) -> Failure + use<> {
    let name = record.environment.name.clone();
    move |mut failure| {
        if failure.kind == FailureKind::Conflict && !failure.paths.is_empty() {
            let hint =
                format!("merge your branch in its box and resolve there: agentdeck resolve {name}");
            failure.hint = Some(hint);
        }
        failure
    }
}
