//! Boxes with a kernel of their own, where some rows mean less than elsewhere: which, and why.

use std::time::{Duration, Instant};

use super::attack::Attack;
use super::cast::Cast;
use super::running::Side;
use super::verdict::{Status, Verdict};
use crate::cli::new;
use crate::model::environment::EnvironmentState;
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::Isolation;
use crate::proto::{Request, Target};

/// The name of the fact by which such a box is known.
const FACT: &str = "own kernel";
/// How long the end of a box may take to be noticed.
const NOTICE: Duration = Duration::from_secs(10);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(100);
/// What a box that may use half a processor may have used beyond that: periods that were begun.
const BEGUN: Duration = Duration::from_millis(300);

/// What the box's root gets there, and why it is not counted. What the agent gets always is.
const KNOWN: [(&str, &str); 3] = [
    (
        "own-sockets",
        "the box's kernel does not tell peers apart: its root, which may do all that the shim \
         may, reaches the shim of its own box",
    ),
    ("namespaces", "what the box's root makes is in the box's own kernel, and none of this one's"),
    ("host-calls", "it is the box's own kernel that answers the box's root, about itself"),
];
/// How what the box's root got is told.
pub(super) const AS_ROOT: &str = "as the box's root, ";

pub(super) fn is_own(isolation: Option<&Isolation>) -> bool {
    isolation.is_some_and(|isolation| isolation.facts.iter().any(|fact| fact.name == FACT))
}

/// Sets a row aside that does not hold only in ways that are known.
pub(super) fn settle(verdict: &mut Verdict) {
    let known = KNOWN.iter().find(|(name, _)| *name == verdict.attack);
    let by_root = verdict.evidence.iter().all(|words| words.starts_with(AS_ROOT));
    if let Some((_, reason)) = known.filter(|_| verdict.status == Status::NotHeld && by_root) {
        verdict.status = Status::KnownGap;
        verdict.evidence.insert(0, (*reason).to_owned());
    }
}

/// Whether the bomber's box ended, which such a kernel does as a whole at a limit. It is started
/// again for the rows that follow.
pub(super) async fn ended_at_its_limit(cast: &Cast<'_>) -> Result<bool, Failure> {
    let looking = async {
        loop {
            let found = cast.stage.inspect(&cast.bomber).await?.environment;
            if found.state == EnvironmentState::Stopped {
                return Ok::<_, Failure>(found);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let Ok(found) = tokio::time::timeout(NOTICE, looking).await else { return Ok(false) };
    let environment = found?;
    let (client, mut events) = cast.stage.context.connect().await?;
    let target = Target::Id(environment.id.clone());
    let variables = Vec::new();
    client.request(Request::StartEnvironment { target, variables, anew: false }).await?;
    let environment = cast.stage.inspect(&environment).await?.environment;
    client.request(Request::FollowDeck { repository: None }).await?;
    new::wait(&cast.stage.context, &mut events, environment).await?;
    Ok(true)
}

/// What busy programs of the bomber used beyond half a processor. Such a kernel counts the time of
/// its programs in its own way, so that this machine's count of the whole box decides.
pub(super) async fn processor(cast: &Cast<'_>, bomb: Attack) -> Result<Vec<String>, Failure> {
    let before = used(cast).await?;
    let begun = Instant::now();
    cast.stage.inside(&cast.bomber, Side::Agent, bomb).await?;
    let (used, passed) = (used(cast).await?.saturating_sub(before), begun.elapsed());
    let broken = (used > passed / 2 + BEGUN)
        .then(|| format!("used {:.1} s in {:.1} s", used.as_secs_f64(), passed.as_secs_f64()));
    Ok(broken.into_iter().collect())
}

/// Processor time of the bomber's box so far.
async fn used(cast: &Cast<'_>) -> Result<Duration, Failure> {
    let usage = cast.stage.inspect(&cast.bomber).await?.usage;
    usage.map(|usage| usage.cpu).ok_or_else(|| {
        Failure::new(FailureKind::Unavailable, "what the box uses is not to be seen here")
    })
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Control;
    use super::*;

    #[test]
    fn what_the_root_of_such_a_box_gets_is_set_aside_and_what_the_agent_gets_is_not() {
        let settled = |attack: &'static str, words: &str| {
            let control = Control::Fired("1 of 1".to_owned());
            let mut verdict = Verdict::new(attack, "", control, Ok(vec![words.to_owned()]));
            settle(&mut verdict);
            verdict.status
        };
        assert_eq!(settled("namespaces", "as the box's root, unshare: allowed"), Status::KnownGap);
        assert_eq!(settled("namespaces", "unshare: allowed"), Status::NotHeld);
        assert_eq!(settled("mounts", "as the box's root, mount: allowed"), Status::NotHeld);
    }
}
