//! Whose hands were at work in an environment between two looks at its files.
//!
//! What a person types to an agent is what it is told, and leaves its work its own; what they type
//! into a shell, or run and copy with a command of ours, is theirs until it ends. A shell in the
//! agent's place does nothing by itself. Of a program that nobody knows it cannot be told whether a
//! key is an order or the work: there a person and the program both had a hand in it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::environment::Environment;
use crate::model::id::{EnvironmentId, SessionId, Timestamp};
use crate::model::snapshot::{Author, OutputMark};
use crate::model::status::{Doing, Source};

/// What people did, counted since the server began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deeds {
    /// Keys typed into the agent's session.
    pub told: u64,
    /// Prompts that were entered there for a person: work where a shell runs them, else an order.
    pub sent: u64,
    /// Keys typed into other sessions, commands and copies begun.
    pub own: u64,
    /// Commands and copies that go on.
    pub running: u32,
}

/// The deeds in every environment.
#[derive(Debug, Default)]
pub(super) struct Hands(Mutex<HashMap<EnvironmentId, Deeds>>);

impl Hands {
    /// A person typed into a session.
    pub fn typed(&self, environment: &EnvironmentId, session: SessionId) {
        self.change(environment, |deeds| {
            *(if session == SessionId::AGENT { &mut deeds.told } else { &mut deeds.own }) += 1;
        });
    }

    /// A prompt was entered in the agent's session for a person.
    pub fn sent(&self, environment: &EnvironmentId) {
        self.change(environment, |deeds| deeds.sent += 1);
    }

    /// A person had a command begin, which is theirs until [`Self::ended`].
    pub fn began(&self, environment: &EnvironmentId) {
        self.change(environment, |deeds| {
            deeds.own += 1;
            deeds.running += 1;
        });
    }

    /// It ended; what it did last is still to be noticed.
    pub fn ended(&self, environment: &EnvironmentId) {
        self.change(environment, |deeds| {
            deeds.own += 1;
            deeds.running = deeds.running.saturating_sub(1);
        });
    }

    pub fn deeds(&self, environment: &EnvironmentId) -> Deeds {
        self.lock().get(environment).copied().unwrap_or_default()
    }

    pub fn forget(&self, environment: &EnvironmentId) {
        self.lock().remove(environment);
    }

    fn change(&self, environment: &EnvironmentId, change: impl FnOnce(&mut Deeds)) {
        change(self.lock().entry(environment.clone()).or_default());
    }

    /// Plain numbers, each written at once: whole after any panic.
    fn lock(&self) -> MutexGuard<'_, HashMap<EnvironmentId, Deeds>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What runs in the agent's session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Program {
    /// A shell that waits for what it is told.
    Shell,
    /// An agent: what it is told is an order, and the work is its own.
    Agent,
    #[default]
    Other,
}

/// What is seen of an environment when its files are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trace {
    pub deeds: Deeds,
    /// Bytes that people's shells have printed.
    pub shells: u64,
    /// How far the agent's output is.
    pub output: Option<OutputMark>,
    /// Whether its program runs.
    pub runs: bool,
    pub program: Program,
    /// An agent runs in a shell that a person opened.
    pub beside: bool,
    /// Since when it is known to do nothing.
    pub rests: Option<Timestamp>,
    pub at: Timestamp,
}

/// Since when an agent is known to do nothing.
pub(super) fn rests(environment: &Environment) -> Option<Timestamp> {
    let status = environment.session(SessionId::AGENT)?.status.as_ref()?;
    let known = !matches!(
        status.source,
        Source::Nothing | Source::Output | Source::Exit | Source::Processes
    );
    let rests = matches!(status.state, Doing::Idle | Doing::Waiting { .. } | Doing::Done);
    (known && rests).then_some(status.since)
}

/// Who worked between two looks; `None` where nobody is known to have.
pub(super) fn author(before: &Trace, now: &Trace) -> Option<Author> {
    let deeds = now.deeds;
    let told = deeds.told > before.deeds.told;
    let shell_told = told || deeds.sent > before.deeds.sent;
    let own = deeds.own > before.deeds.own || deeds.running > 0;
    // A shell that prints goes on with what it was told before, but for an agent that runs there.
    let goes_on = deeds.own > 0 && now.shells != before.shells;
    let beside = now.beside || before.beside;
    let human = own
        || (goes_on && !beside)
        || match (before.program, now.program) {
            // An agent came in front of a shell or left it: a key was for the one or the other.
            (Program::Shell, Program::Agent) | (Program::Agent, Program::Shell) => shell_told,
            (_, Program::Shell) => deeds.told + deeds.sent > 0,
            (_, Program::Agent) => false,
            (_, Program::Other) => told,
        };
    let printed = now.output.is_some() && now.output != before.output;
    // An agent may work without a word; where no person did, it was nobody else.
    let seen = printed || (!human && (now.runs || before.runs));
    let rested = now.rests.is_some_and(|since| since <= before.at);
    let agent = match now.program {
        _ if beside && (own || goes_on) => true,
        // A prompt is no work.
        Program::Shell if human && before.program != Program::Agent => false,
        _ => seen && !(human && rested),
    };
    match (human, agent) {
        (true, true) => Some(Author::Both),
        (true, false) => Some(Author::Human),
        (false, true) => Some(Author::Agent),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent's program that ran, printed so much, and was told so often.
    fn trace(program: Program, told: u64, own: u64, printed: u64) -> Trace {
        let output = Some(OutputMark { started: Timestamp(1), offset: printed });
        let deeds = Deeds { told, own, ..Deeds::default() };
        let at = Timestamp(100);
        Trace { deeds, output, runs: true, program, at, ..Trace::default() }
    }

    #[test]
    fn what_is_typed_is_the_work_of_who_types_in_a_shell_and_an_order_to_an_agent() {
        use Author::{Agent, Both, Human};
        let cases = [
            // Nobody touched a key: silent or not, the program did it.
            (Program::Shell, (0, 0), 0, Agent),
            (Program::Agent, (0, 0), 9, Agent),
            (Program::Other, (0, 0), 0, Agent),
            // Keys in the agent's session, which echoes them.
            (Program::Shell, (1, 0), 9, Human),
            (Program::Agent, (1, 0), 9, Agent),
            (Program::Other, (1, 0), 9, Both),
            // Keys in a shell beside it.
            (Program::Shell, (0, 1), 9, Human),
            (Program::Agent, (0, 1), 0, Human),
            (Program::Agent, (0, 1), 9, Both),
            (Program::Other, (0, 1), 0, Human),
        ];
        for (program, (told, own), printed, expected) in cases {
            let (before, now) = (trace(program, 0, 0, 0), trace(program, told, own, printed));
            assert_eq!(author(&before, &now), Some(expected), "{program:?} {told} {own} {printed}");
        }
    }

    #[test]
    fn a_persons_work_ends_with_what_they_had_begun() {
        let before = trace(Program::Other, 0, 1, 5);
        let same = |now: Trace| author(&before, &now);
        assert_eq!(same(before), Some(Author::Agent), "the key was before the last look");
        let mut now = before;
        now.deeds.running = 1;
        assert_eq!(same(now), Some(Author::Human), "a command goes on");
        let mut now = before;
        now.shells = 7;
        assert_eq!(same(now), Some(Author::Human), "a shell still prints");
        // A shell in the agent's place goes on with what it was told, however long that takes.
        let before = trace(Program::Shell, 3, 0, 5);
        assert_eq!(author(&before, &trace(Program::Shell, 3, 0, 80)), Some(Author::Human));
    }

    #[test]
    fn an_agent_that_a_person_started_in_a_shell_works_by_itself() {
        use Author::{Agent, Both, Human};
        let of = |before: (Program, u64), now: (Program, u64)| {
            author(&trace(before.0, before.1, 0, 5), &trace(now.0, now.1, 0, 9))
        };
        let (shell, agent) = (Program::Shell, Program::Agent);
        assert_eq!(of((shell, 3), (agent, 9)), Some(Both), "a key may have been the shell's");
        assert_eq!(of((shell, 9), (agent, 9)), Some(Agent));
        assert_eq!(of((agent, 9), (agent, 12)), Some(Agent), "an order");
        let (before, now) = (trace(shell, 9, 0, 5), trace(agent, 9, 1, 9));
        assert_eq!(author(&before, &now), Some(Both), "a command beside it");
        for (program, by) in [(shell, Human), (agent, Agent), (Program::Other, Agent)] {
            let mut now = trace(program, 0, 0, 9);
            now.deeds.sent = 1;
            assert_eq!(author(&trace(program, 0, 0, 5), &now), Some(by), "a prompt: {program:?}");
        }
        assert_eq!(of((agent, 12), (shell, 12)), Some(Agent), "it did it before it ended");
        assert_eq!(of((agent, 12), (shell, 14)), Some(Both));
        assert_eq!(of((shell, 14), (shell, 14)), Some(Human));
        // The same beside an agent's session in which nothing moves.
        let mut before = trace(agent, 0, 1, 5);
        let mut now = Trace { shells: 7, ..before };
        assert_eq!(author(&before, &now), Some(Human), "a shell still prints");
        now.beside = true;
        assert_eq!(author(&before, &now), Some(Agent), "it is an agent that does");
        now.deeds.own = 2;
        assert_eq!(author(&before, &now), Some(Both));
        (before.beside, now.beside, now.deeds.own) = (true, false, 1);
        assert_eq!(author(&before, &now), Some(Agent));
    }

    #[test]
    fn an_agent_that_is_known_to_rest_has_no_part_in_what_a_person_does() {
        let before = trace(Program::Agent, 0, 0, 0);
        let mut now = trace(Program::Agent, 0, 1, 9);
        now.rests = Some(Timestamp(90));
        assert_eq!(author(&before, &now), Some(Author::Human), "it only repainted");
        now.rests = Some(Timestamp(110));
        assert_eq!(author(&before, &now), Some(Author::Both), "it worked until then");
        now.deeds.own = 0;
        now.rests = Some(Timestamp(90));
        assert_eq!(author(&before, &now), Some(Author::Agent), "it was nobody else");
        now.output = before.output;
        now.runs = false;
        assert_eq!(author(&Trace { runs: false, ..before }, &now), None);
    }
}
