//! Plays hooks as an agent ran them to what the shim makes of them, for tests of other rooms.

use super::hooks::{Heard, Message};
use super::say::message_of;
use crate::model::status::Claim;

/// A shim that hears one session.
#[derive(Debug, Default)]
pub(crate) struct Rehearsal(Heard);

impl Rehearsal {
    /// What is known once a hook's input that was said at `said` is heard at `heard`, both in
    /// milliseconds, and by the how manieth message.
    pub(crate) fn hear(
        &mut self,
        agent: &str,
        input: &str,
        said: u64,
        heard: u64,
    ) -> (u64, Option<Claim>) {
        let input = serde_json::from_str(input).expect("a hook's input");
        if let Some(mut message) = message_of(agent, &input) {
            message["session"] = 0.into();
            message["at"] = said.into();
            let text = serde_json::to_vec(&message).expect("text");
            self.0.take(Message::read(&text).expect("a message"), heard);
        }
        (self.0.number(), self.0.claim())
    }
}
