//! Environments of which a server that just began knows only how they stood before it.
//!
//! The record keeps what was known last, since what is done next depends on it; clients are told
//! that nobody knows until the engine has answered or the box itself has.

use super::{Effect, Record, State};
use crate::model::environment::{Environment, EnvironmentState};
use crate::model::id::Timestamp;

/// What is said before any engine was heard.
const NOT_ASKED: &str = "the server just began, and the engine has not answered yet";

/// Since when nothing was heard of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unheard {
    since: Timestamp,
    /// Why not, once it is more than that nobody has answered yet.
    reason: Option<String>,
}

impl State {
    /// Takes in a record of an earlier server: what ran or stood still then may have ended since.
    pub fn take_up(&mut self, mut record: Record, now: Timestamp) -> Vec<Effect> {
        let lived = matches!(
            record.environment.state,
            EnvironmentState::Running | EnvironmentState::Paused { .. }
        );
        if lived && record.record.is_some() {
            record.unheard = Some(Unheard { since: now, reason: None });
        }
        // Whoever held a keyboard was a client of the server before.
        for session in &mut record.environment.sessions {
            session.taken = false;
        }
        self.insert(record)
    }
}

impl Record {
    /// The environment as clients see it.
    pub fn view(&self) -> Environment {
        let mut view = self.environment.clone();
        if let Some(unheard) = &self.unheard {
            let Unheard { since, reason } = unheard.clone();
            let is_late = reason.is_some();
            let message = reason.unwrap_or_else(|| NOT_ASKED.to_owned());
            let state = EnvironmentState::EngineUnreachable { since, message };
            let before = std::mem::replace(&mut view.state, state);
            view.last_known = (!is_late).then(|| Box::new(before));
            view.state_since = since;
            // What held the box then need not hold it now.
            view.isolation = None;
        }
        view
    }

    /// Takes note that its engine or its box has answered.
    pub(super) fn heard(&mut self) {
        self.unheard = None;
    }

    /// Takes note that its engine fails to answer. That a box stands still stays on record, for
    /// whoever resumes it; how it stands now is not known.
    pub(super) fn not_heard(&mut self, reason: &str) {
        match (&self.environment.state, &mut self.unheard) {
            (EnvironmentState::Paused { .. }, Some(unheard)) => {
                unheard.reason = Some(reason.to_owned());
            }
            _ => self.heard(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Report;
    use super::super::tests::record;
    use super::*;
    use crate::engine::BoxRecord;
    use crate::model::id::EnvironmentId;

    const BEGAN: Timestamp = Timestamp(1_000);

    /// A deck that took up an environment which stood like this.
    fn taken_up(stood: EnvironmentState) -> (State, EnvironmentId) {
        let mut record = record(1, "fox", "/shop");
        let id = record.environment.id.clone();
        record.environment.state = stood;
        record.record = Some(BoxRecord {
            environment: id.clone(),
            init_pid: 7,
            init_start: 8,
            container: None,
            boot: "boot".to_owned(),
            endpoint: None,
            run: "/home/run".into(),
        });
        let mut state = State::default();
        state.take_up(record, BEGAN);
        (state, id)
    }

    fn view(state: &State, id: &EnvironmentId) -> Environment {
        state.get(id).expect("there").view()
    }

    #[test]
    fn what_ran_or_stood_still_is_not_known_until_something_answers() {
        let paused = EnvironmentState::Paused { reason: None };
        for stood in [EnvironmentState::Running, paused.clone()] {
            let (state, id) = taken_up(stood.clone());
            let seen = view(&state, &id);
            let message = NOT_ASKED.to_owned();
            assert_eq!(seen.state, EnvironmentState::EngineUnreachable { since: BEGAN, message });
            assert_eq!(seen.last_known.as_deref(), Some(&stood));
            assert_eq!(state.get(&id).expect("there").environment.state, stood, "on record");
        }
        for (report, expected) in [
            (Report::Running, EnvironmentState::Running),
            (Report::Paused { reason: None }, paused),
            (Report::Stopped, EnvironmentState::Stopped),
        ] {
            let (mut state, id) = taken_up(EnvironmentState::Running);
            let effects = state.apply(&id, report, Timestamp(2_000));
            assert!(effects.contains(&Effect::Publish(id.clone())), "{expected:?}");
            let seen = view(&state, &id);
            assert_eq!((seen.state, seen.last_known), (expected, None));
        }
    }

    #[test]
    fn what_had_ended_is_known_without_asking() {
        for stood in [
            EnvironmentState::Stopped,
            EnvironmentState::Failed { message: "no".to_owned(), hint: None },
        ] {
            let (state, id) = taken_up(stood.clone());
            assert_eq!(view(&state, &id).state, stood);
        }
    }

    #[test]
    fn an_engine_that_fails_to_answer_is_told_and_a_pause_stays_on_record() {
        let paused = EnvironmentState::Paused { reason: Some("it is being forked".to_owned()) };
        for (stood, on_record) in
            [(EnvironmentState::Running, None), (paused.clone(), Some(paused.clone()))]
        {
            let (mut state, id) = taken_up(stood);
            let report = Report::Unreachable { message: "gone".to_owned() };
            state.apply(&id, report, Timestamp(4_000));
            let seen = view(&state, &id);
            let EnvironmentState::EngineUnreachable { message, .. } = &seen.state else {
                panic!("{seen:?}")
            };
            assert_eq!((message.as_str(), seen.last_known), ("gone", None));
            let kept = &state.get(&id).expect("there").environment.state;
            assert!(on_record.is_none_or(|expected| *kept == expected), "{kept:?}");
        }
    }
}
