//! What an environment requires of its isolation: refused before anything is made where the engine
//! is known to lack it, and after its box was read back where it does not hold.

use std::sync::Arc;
use std::time::Duration;

use super::super::shared::Shared;
use super::super::state::{Record, Report};
use super::prepare::Prepared;
use crate::engine::{Asked, BoxRecord};
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::{
    Aspect, EngineKind, IsolationFact, IsolationRequest, LimitSupport, Limits, NetworkMode,
};

/// What is asked for, beside what is required.
struct Wish<'a> {
    require: &'a [Aspect],
    isolation: IsolationRequest,
    network: NetworkMode,
    limits: &'a Limits,
    engine: EngineKind,
}

/// Refuses what the engine cannot give, as far as that is known before a box is made.
pub(in crate::deck) async fn check(
    shared: &Arc<Shared>,
    prepared: &Prepared,
) -> Result<(), Failure> {
    let wish = Wish {
        require: &prepared.require,
        isolation: prepared.spec.isolation,
        network: prepared.spec.network.mode,
        limits: &prepared.limits,
        engine: prepared.engine,
    };
    wish.contradiction().map_or(Ok(()), Err)?;
    if !wish.require.contains(&Aspect::Limits) {
        return Ok(());
    }
    let report = shared.engine(prepared.engine).probe_chosen(&prepared.spec.endpoint).await;
    wish.unheld(report.capabilities.limits).map_or(Ok(()), Err)
}

impl Wish<'_> {
    /// What cannot be had because of something else that is asked for.
    fn contradiction(&self) -> Option<Failure> {
        let refused = |message: String, hint: &str| {
            Some(Failure::new(FailureKind::Refused, message).hint(hint))
        };
        let first = self.require.first()?;
        if self.isolation == IsolationRequest::Unisolated {
            return refused(
                format!("{first} is required, and an environment without isolation has none"),
                "leave --unisolated out, or take require out of config.toml",
            );
        }
        if self.require.contains(&Aspect::Network) && self.network == NetworkMode::Bridge {
            return refused(
                "network is required, and the mode bridge is a way past it".to_owned(),
                "use --network open, allow or none",
            );
        }
        if self.require.contains(&Aspect::Limits) && *self.limits == Limits::default() {
            return refused(
                "limits are required, and none is asked for".to_owned(),
                "name some, as in --memory 4g --cpus 2 --pids 500, or in [limits] of config.toml",
            );
        }
        None
    }

    /// Limits that the engine could not hold for a box as a whole.
    fn unheld(&self, support: LimitSupport) -> Option<Failure> {
        let Limits { cpu_millis, memory, processes, files: _ } = self.limits;
        let missing: Vec<&str> = [
            ("memory", memory.is_some()),
            ("processors", cpu_millis.is_some()),
            ("processes", processes.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, asked)| asked.then_some(name))
        .collect();
        if support == LimitSupport::Cgroup || missing.is_empty() {
            return None;
        }
        let message = format!(
            "limits are required, and the {} engine has no control groups here to hold {}",
            self.engine,
            missing.join(", ")
        );
        let hint = match self.engine {
            EngineKind::Native => {
                "run agentdeck as root or where systemd delegates groups (systemd-run --user \
                 --scope -p Delegate=yes agentdeck server start), or use --engine docker"
            }
            EngineKind::Docker => "docker info warns of what its kernel lacks",
        };
        Some(Failure::new(FailureKind::Refused, message).hint(hint))
    }
}

/// Reads a box back and tells what holds it. One that lacks what is required must be ended.
pub(super) async fn read_back(
    shared: &Arc<Shared>,
    record: &Record,
    made: &BoxRecord,
) -> Result<(), Failure> {
    let environment = &record.environment;
    let engine = shared.engine(environment.engine);
    let read = engine.isolation(made, &Asked::from(environment)).await;
    // Nothing may run in a box of which nobody knows what holds it.
    let isolation = read?;
    match isolation.unmet(&environment.require).map(not_met) {
        None => {
            shared.report(&environment.id, Report::Isolation(isolation)).await;
            Ok(())
        }
        Some(failure) => Err(failure),
    }
}

/// Ends a box in which the agent has not been started, and never is.
pub(super) async fn end(shared: &Arc<Shared>, record: &Record, made: &BoxRecord) {
    let environment = &record.environment;
    // Its end is our wish.
    shared.report(&environment.id, Report::Wanted { running: false }).await;
    let _ = shared.engine(environment.engine).stop(made, Duration::ZERO).await;
}

/// Says which of what is required was found not to hold in a box.
fn not_met(fact: &IsolationFact) -> Failure {
    let message = format!(
        "{} is required, and was not found in the box: {} is {} ({})",
        fact.aspect, fact.name, fact.enforcement, fact.evidence
    );
    let failure = Failure::new(FailureKind::Refused, message);
    match &fact.remedy {
        Some(remedy) => failure.hint(remedy.clone()),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish<'a>(require: &'a [Aspect], limits: &'a Limits) -> Wish<'a> {
        Wish {
            require,
            isolation: IsolationRequest::Required,
            network: NetworkMode::Open,
            limits,
            engine: EngineKind::Native,
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_name() {
        let none = Limits::default();
        let all = Aspect::ALL;
        let bridge = Wish { network: NetworkMode::Bridge, ..wish(&[Aspect::Network], &none) };
        let bare = Wish { isolation: IsolationRequest::Unisolated, ..wish(&all, &none) };
        let unlimited = wish(&[Aspect::Limits], &none);
        for (wish, word) in [(bridge, "bridge"), (bare, "without isolation"), (unlimited, "none")] {
            let failure = wish.contradiction().expect("refused");
            assert!(failure.message.contains(word) && failure.hint.is_some(), "{failure:?}");
        }
        assert_eq!(wish(&[Aspect::Network, Aspect::Files], &none).contradiction(), None);
        let free = Wish { network: NetworkMode::Bridge, ..wish(&[], &none) };
        assert_eq!(free.contradiction(), None, "what is not required may be given up");
    }

    #[test]
    fn limits_of_a_box_need_control_groups_and_those_of_a_process_do_not() {
        let memory = Limits { memory: Some(1), ..Limits::default() };
        let files = Limits { files: Some(64), ..Limits::default() };
        let require = [Aspect::Limits];
        let unheld = |limits, support| wish(&require, limits).unheld(support);
        assert_eq!(unheld(&memory, LimitSupport::Cgroup), None);
        assert_eq!(unheld(&files, LimitSupport::Rlimit), None);
        for support in [LimitSupport::Rlimit, LimitSupport::None] {
            let failure = unheld(&memory, support).expect("refused");
            assert!(failure.message.contains("memory"), "{failure:?}");
            assert!(failure.hint.is_some_and(|hint| hint.contains("--engine docker")));
        }
    }
}
