//! Where an environment stands: what its work is a change of, and how far it is from there.
//!
//! That is its base, until the user's branch was merged in its box. From then on it is the commit
//! that was merged, as long as the box's git says so and the newest snapshot does not lack anything
//! of it: what a merge compares with is what the counts and the predictions are told of.

use std::sync::Arc;
use std::time::Duration;

use super::exec;
use super::queries::with_store;
use super::shared::Shared;
use super::state::Record;
use crate::model::environment::Environment;
use crate::model::failure::Failure;
use crate::model::id::CommitId;
use crate::model::snapshot::Divergence;
use crate::repo::diff::Counts;
use crate::repo::{Store, UserRepository, divergence, history, onto};

/// Counting commits starts git in the box; a box under load is slow, a wedged one is left alone.
const COUNT_DEADLINE: Duration = Duration::from_secs(20);
/// Two counts are a few digits each.
const COUNT_BYTES: usize = 64;

/// The agent's commits since `$1`; and since `$2`, if that is in what is checked out and no merge is
/// under way.
const COUNT: &str = r#"
git rev-list --count "$1..HEAD" || exit
[ -n "$2" ] && git merge-base --is-ancestor "$2" HEAD || exit 0
git rev-parse -q --verify MERGE_HEAD >/dev/null || git rev-list --count "$2..HEAD"
"#;

/// The agent's commits, as the box's git counted them last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commits {
    since_base: u32,
    /// The user's commit that was merged in the box and is there, and those since.
    onto: Option<(CommitId, u32)>,
}

/// Where the newest snapshot stands.
pub(super) struct Standing {
    /// The user's commit that it is a change of, where that is not the base.
    pub onto: Option<CommitId>,
    pub divergence: Divergence,
}

impl Commits {
    /// What was known when the server began.
    pub fn of(environment: &Environment) -> Self {
        let since_base = environment.divergence.ahead;
        Self { since_base, onto: environment.onto.clone().map(|commit| (commit, since_base)) }
    }

    /// The workspace was taken back to a snapshot: what was merged may not be in it.
    pub fn restored(&mut self) {
        self.onto = None;
    }

    /// Measures where the newest snapshot stands; where the user's branch cannot be read, it is
    /// where it was. Blocking.
    pub fn measure(
        &self,
        (store, user): (&Store, Option<&UserRepository>),
        environment: &Environment,
        counts: &Counts,
        behind: u32,
    ) -> Result<Standing, Failure> {
        let id = &environment.id;
        let stands = |commit: &CommitId| {
            let head = history::head(store, id)?;
            onto::lacks(store, id, commit, &head).map(|lacks| !lacks)
        };
        // What cannot be read is stood on by nobody.
        let onto = self.onto.as_ref().filter(|(commit, _)| stands(commit).unwrap_or(false));
        let (base, ahead) = match onto {
            Some((commit, ahead)) => (commit, *ahead),
            None => (&environment.base, self.since_base),
        };
        let change = divergence::since(store, id, base, counts)?;
        let counted = user.and_then(|user| divergence::behind(user, base).ok());
        let divergence = Divergence { change, ahead, behind: counted.unwrap_or(behind) };
        Ok(Standing { onto: onto.map(|(commit, _)| commit.clone()), divergence })
    }
}

/// Has the box's git count the agent's commits; `None` where it does not.
pub(super) async fn count(shared: &Arc<Shared>, record: &Record) -> Option<Commits> {
    let read = |store: &Store, record: &Record| onto::read(store, &record.environment.id);
    let brought = with_store(shared, record.clone(), read).await.ok().flatten();
    let brought = brought.map(|brought| brought.commit);
    let (base, onto) = (&record.environment.base, brought.as_ref().map_or("", CommitId::as_str));
    let command = ["sh", "-c", COUNT, "sh", base.as_str(), onto];
    let printed =
        exec::capture(shared, record, &command, COUNT_BYTES, COUNT_DEADLINE).await.ok()?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    let mut counts = printed.lines().map_while(|line| line.trim().parse().ok());
    Some(Commits { since_base: counts.next()?, onto: brought.zip(counts.next()) })
}

/// What an environment's work is compared with: its base, or what was merged in its box since, as
/// their files are checked out.
pub(super) async fn base(shared: &Arc<Shared>, record: &Record) -> Result<CommitId, Failure> {
    let base = |store: &Store, record: &Record| {
        onto::origin(store, &record.environment.id, record.environment.onto.as_ref())
    };
    with_store(shared, record.clone(), base).await
}
