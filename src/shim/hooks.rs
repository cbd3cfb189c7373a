//! What programs of a box say of their own state: one message, and what a session's messages come to.
//!
//! A message is a claim of whatever runs in the box. It is bounded, changes nothing but what is said
//! of its own session, and is reduced here to a level, so that no program can make anybody queue.

use serde::{Deserialize, Serialize};

use crate::model::id::SessionId;
use crate::model::status::{Claim, Doing, MAX_SAYS, Need};

/// Longest message, in bytes: a state and a line of words, however they are escaped.
pub(super) const MAX_MESSAGE: usize = 4096;
/// Longest name of a conversation or a part, in bytes: agents use UUIDs.
const MAX_NAME: usize = 64;
/// Questions of one program that are open at once; the oldest gives way. More than an agent has
/// helpers that can ask.
const MAX_OPEN: usize = 16;
/// For so long, in milliseconds, another conversation is one that a tool of this one has begun. An
/// agent that was killed in a tool must not silence the next one for ever.
const NESTED: u64 = 10 * 60 * 1000;

/// What a program can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// A turn begins: it works, and no earlier question is open.
    Begun,
    Working,
    Waiting,
    /// The question of `part` has its answer; nothing else is said.
    Answered,
    Done,
    Failed,
    Idle,
    /// It waits for what it is to do next: idle, unless what it did last is known to be done.
    Resting,
    /// The conversation is over: nothing is known any more.
    Ended,
}

/// One message, JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message {
    /// Set by who says it, from the variable that the session's programs have.
    pub(super) session: SessionId,
    pub(super) state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) need: Option<Need>,
    /// By which an agent is told from others that it runs as tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) conversation: Option<String>,
    /// Which of the program's deeds it is about, where several can ask at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<String>,
    /// A tool begins: what other conversations say until it ends, they say within it.
    #[serde(default)]
    pub(super) in_tool: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) says: Option<String>,
    /// When it was said, in milliseconds of the kernel's clock since boot; left out, when it is heard.
    #[serde(default = "latest")]
    pub(super) at: u64,
}

fn latest() -> u64 {
    u64::MAX
}

impl Message {
    /// Reads a message; `None` for one that breaks a bound.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_MESSAGE {
            return None;
        }
        let mut message: Self = serde_json::from_slice(bytes).ok()?;
        let short = |name: &Option<String>| name.as_ref().is_none_or(|it| it.len() <= MAX_NAME);
        if !short(&message.conversation) || !short(&message.part) {
            return None;
        }
        message.says = message.says.map(|says| says.chars().take(MAX_SAYS).collect());
        Some(message)
    }
}

/// What a session's program said, in all.
#[derive(Debug, Default)]
pub(super) struct Heard {
    conversation: Option<String>,
    claim: Option<Claim>,
    in_tool: bool,
    /// When the newest message was said.
    at: u64,
    /// Questions of parts, the oldest first.
    open: Vec<Question>,
    /// Messages so far that made the claim what it is.
    number: u64,
}

#[derive(Debug)]
struct Question {
    part: String,
    claim: Claim,
    at: u64,
}

impl Heard {
    /// Raised by every message that tells what is claimed, also where that was claimed before.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What it comes to; an open question comes before anything else.
    pub(super) fn claim(&self) -> Option<Claim> {
        self.open.last().map(|open| open.claim.clone()).or_else(|| self.claim.clone())
    }

    /// Takes a message at the time `now`, of the same clock; `false` for one that is late, or that is
    /// another conversation's.
    pub(super) fn take(&mut self, message: Message, now: u64) -> bool {
        let at = message.at.min(now);
        if !self.concerns(&message, now) {
            return false;
        }
        let (claim, before) = (claim_of(&message), self.claim());
        let asks = message.state == State::Waiting;
        let taken = match (message.state, message.part) {
            (State::Waiting, Some(part)) => self.ask(part, claim, at),
            (State::Answered, part) => self.answer(part.as_deref(), at),
            (state, part) => {
                let answered = self.answer(part.as_deref(), at);
                answered | self.say(state, claim, message.in_tool, at)
            }
        };
        if !taken {
            return false;
        }
        // A question that stays open is not asked again by what goes on beside it.
        if asks || self.open.is_empty() || self.claim() != before {
            self.number += 1;
        }
        match message.state {
            State::Ended => self.conversation = None,
            _ => self.conversation = message.conversation.or_else(|| self.conversation.take()),
        }
        true
    }

    /// Whether it is the program's own word, and not that of one that runs as its tool.
    fn concerns(&self, message: &Message, now: u64) -> bool {
        let (Some(own), Some(other)) = (&self.conversation, &message.conversation) else {
            return true;
        };
        let nested = self.in_tool && now.saturating_sub(self.at) < NESTED;
        own == other || (!nested && message.state != State::Ended)
    }

    fn ask(&mut self, part: String, claim: Option<Claim>, at: u64) -> bool {
        let Some(claim) = claim else { return false };
        // Its turn is over since.
        if at < self.at && self.claim.as_ref().is_some_and(|claim| claim.state != Doing::Working) {
            return false;
        }
        self.open.retain(|open| open.part != part);
        if self.open.len() == MAX_OPEN {
            self.open.remove(0);
        }
        self.open.push(Question { part, claim, at });
        true
    }

    fn answer(&mut self, part: Option<&str>, at: u64) -> bool {
        let before = self.open.len();
        self.open.retain(|open| Some(open.part.as_str()) != part || open.at > at);
        self.open.len() != before
    }

    /// What the program says of itself as a whole.
    fn say(&mut self, state: State, claim: Option<Claim>, in_tool: bool, at: u64) -> bool {
        if at < self.at {
            return false;
        }
        self.at = at;
        self.in_tool = in_tool || (self.in_tool && state == State::Waiting);
        let over = |claim: &Claim| matches!(claim.state, Doing::Done | Doing::Failed);
        if state != State::Resting || !self.claim.as_ref().is_some_and(over) {
            self.claim = claim;
        }
        // A turn that ended has no questions left; one part may work while another asks.
        if state != State::Working {
            self.open.retain(|open| open.at > at);
        }
        true
    }
}

fn claim_of(message: &Message) -> Option<Claim> {
    let state = match message.state {
        State::Begun | State::Working => Doing::Working,
        State::Waiting => Doing::Waiting { need: message.need.unwrap_or(Need::Answer) },
        State::Done => Doing::Done,
        State::Failed => Doing::Failed,
        State::Idle | State::Resting => Doing::Idle,
        State::Answered | State::Ended => return None,
    };
    Some(Claim { state, says: message.says.clone() })
}

#[cfg(test)]
mod tests;
