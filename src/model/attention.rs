//! What calls for a person, and what people know of already.

use serde::{Deserialize, Serialize};

use super::environment::{Environment, EnvironmentState, SessionState};
use super::id::{SessionId, Timestamp};
use super::status::{Doing, Need};

/// What people know of one environment. Kept with it, so that nobody is told twice, by whichever
/// client and over whatever restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// Somebody was told of what began up to then.
    pub noticed: Timestamp,
    /// Somebody looked at what began up to then.
    pub seen: Timestamp,
    /// Until then it calls for nobody.
    pub snoozed: Timestamp,
}

/// What a client does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attend {
    /// It is about to tell its user of what began then.
    Notice { since: Timestamp },
    /// Its user looked at what began then.
    See { since: Timestamp },
    /// Its user wants to hear nothing of it until then.
    Snooze { until: Timestamp },
}

/// What an environment needs a person for, since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub reason: Reason,
    pub since: Timestamp,
}

/// The most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It goes on only when a person has answered.
    Waits,
    Failed,
    /// Its engine does not answer.
    Unreachable,
    Done,
}

impl Attention {
    /// Takes note of what a client does.
    pub fn attend(&mut self, attend: Attend) {
        match attend {
            Attend::Notice { since } => self.noticed = self.noticed.max(since),
            Attend::See { since } => {
                self.seen = self.seen.max(since);
                self.noticed = self.noticed.max(since);
            }
            Attend::Snooze { until } => self.snoozed = until,
        }
    }
}

impl Environment {
    /// What it calls a person for, seen or not.
    pub fn call(&self) -> Option<Call> {
        let call = |reason, since| Some(Call { reason, since });
        match &self.state {
            // The server just began and does not know.
            _ if self.last_known.is_some() => None,
            EnvironmentState::Failed { .. } => call(Reason::Failed, self.state_since),
            EnvironmentState::Stopped if self.trouble.is_some() => {
                call(Reason::Failed, self.state_since)
            }
            EnvironmentState::EngineUnreachable { since, .. } => call(Reason::Unreachable, *since),
            EnvironmentState::Running => self.agents_call(),
            EnvironmentState::Creating { .. }
            | EnvironmentState::Paused { .. }
            | EnvironmentState::Stopped => None,
        }
    }

    fn agents_call(&self) -> Option<Call> {
        let agent = self.session(SessionId::AGENT)?;
        let (reason, since) = match &agent.state {
            SessionState::Exited { code: 0, at } => (Reason::Done, *at),
            SessionState::Exited { at, .. } => (Reason::Failed, *at),
            SessionState::Failed { .. } => (Reason::Failed, self.state_since),
            SessionState::Running => {
                let status = agent.status.as_ref()?;
                let reason = match status.state {
                    Doing::Waiting { .. } => Reason::Waits,
                    Doing::Failed => Reason::Failed,
                    Doing::Done => Reason::Done,
                    Doing::Working | Doing::Idle | Doing::Unknown => return None,
                };
                (reason, status.since)
            }
        };
        Some(Call { reason, since })
    }

    /// What it calls for at this moment: who waits does until it is answered, the rest until
    /// somebody looked; a snoozed one does not.
    pub fn calls(&self, now: Timestamp) -> Option<Call> {
        let call = self.call().filter(|_| self.attention.snoozed <= now)?;
        (call.reason == Reason::Waits || call.since > self.attention.seen).then_some(call)
    }

    /// What it calls for, in words.
    pub fn call_words(&self) -> Option<&'static str> {
        let call = self.call()?;
        let agent = self.session(SessionId::AGENT);
        let status = agent.and_then(|agent| agent.status.as_ref()).map(|status| status.state);
        Some(match (call.reason, status) {
            (Reason::Waits, Some(Doing::Waiting { need: Need::Permission })) => {
                "waits for permission"
            }
            (Reason::Waits, Some(Doing::Waiting { need: Need::Login })) => "waits for a login",
            (Reason::Waits, _) => "waits for an answer",
            (Reason::Failed, _) => "failed",
            (Reason::Unreachable, _) => "is not reached",
            (Reason::Done, _) => "is done",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_or_seen_never_becomes_untold() {
        let mut attention = Attention::default();
        attention.attend(Attend::Notice { since: Timestamp(5) });
        assert_eq!((attention.noticed, attention.seen), (Timestamp(5), Timestamp(0)));
        attention.attend(Attend::See { since: Timestamp(9) });
        assert_eq!((attention.noticed, attention.seen), (Timestamp(9), Timestamp(9)));
        attention.attend(Attend::Notice { since: Timestamp(7) });
        assert_eq!(attention.noticed, Timestamp(9), "an older change changes nothing");
        attention.attend(Attend::Snooze { until: Timestamp(20) });
        attention.attend(Attend::Snooze { until: Timestamp(0) });
        assert_eq!(attention.snoozed, Timestamp(0), "a person may be called again");
    }
}
