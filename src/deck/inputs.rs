//! What is on its way to the programs of one box and not read by them: a shim keeps only so much for
//! each, and nothing that a person typed or pasted may be lost there, or arrive in part.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::link::stuck;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::SessionId;
use crate::model::policy::show_bytes;
use crate::shim::wire::{INPUT_BOUND, INPUT_KEPT, INPUT_STEP, SessionReport};

/// Bytes that may wait for a program when it is answered what it asked its terminal: one that asks
/// without end and reads nothing leaves the rest to a person's keys. All may be read but for what
/// the shim tells in the next step.
const ANSWERS_KEPT: u64 = INPUT_STEP as u64 + (64 << 10);

/// One connection's account, shared by all who send.
#[derive(Debug)]
pub(super) struct Inputs {
    /// An older shim does not tell what is read: there only the size of a single input is known.
    counted: bool,
    sessions: Mutex<HashMap<SessionId, Count>>,
}

/// Bytes since the session's start.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    sent: u64,
    /// As the shim told last, which is less than it told yet by a step at most.
    taken: u64,
}

impl Inputs {
    /// As the shim says it stands when it is connected to.
    pub fn of(counted: bool, reports: &[SessionReport]) -> Self {
        let count = |report: &SessionReport| {
            let (sent, taken) = (report.input_received, report.input_taken);
            (report.session, Count { sent, taken })
        };
        Self { counted, sessions: Mutex::new(reports.iter().map(count).collect()) }
    }

    /// Has `send` send so many bytes where the shim has room for all of them. Nobody else sends
    /// meanwhile, so that no key gets into the middle of a paste.
    pub fn send(
        &self,
        session: SessionId,
        bytes: usize,
        send: impl FnOnce() -> Option<()>,
    ) -> Result<(), Failure> {
        if bytes > INPUT_BOUND {
            let message = format!(
                "{bytes} bytes are more than a program is given at a time, which is {INPUT_BOUND} \
                 ({}); nothing of them was sent",
                show_bytes(INPUT_BOUND as u64)
            );
            return Err(Failure::new(FailureKind::Refused, message)
                .hint("copy a file into the box instead: agentdeck cp FILE NAME:"));
        }
        let mut sessions = self.sessions();
        let count = sessions.entry(session).or_default();
        let waiting = count.sent.saturating_sub(count.taken);
        if self.counted && waiting + bytes as u64 > INPUT_KEPT as u64 {
            let message = format!(
                "the program does not read: about {waiting} bytes wait for it, of {INPUT_BOUND} \
                 ({}) that may; nothing of these {bytes} was sent",
                show_bytes(INPUT_BOUND as u64)
            );
            return Err(Failure::new(FailureKind::Unavailable, message)
                .hint("send it again when the program reads, or stop the environment"));
        }
        send().ok_or_else(stuck)?;
        count.sent += bytes as u64;
        Ok(())
    }

    /// The same with what a program asked its terminal, which has less room.
    pub fn answer(
        &self,
        session: SessionId,
        bytes: usize,
        send: impl FnOnce() -> Option<()>,
    ) -> Result<(), Failure> {
        let count = self.sessions().get(&session).copied().unwrap_or_default();
        let waiting = count.sent.saturating_sub(count.taken);
        if self.counted && waiting + bytes as u64 > ANSWERS_KEPT {
            let message = "the program reads none of the answers it asks for";
            return Err(Failure::new(FailureKind::Unavailable, message));
        }
        self.send(session, bytes, send)
    }

    /// The shim said how much of a session's input is taken.
    pub fn taken(&self, session: SessionId, total: u64) {
        if let Some(count) = self.sessions().get_mut(&session) {
            count.taken = total;
        }
    }

    /// A new program is asked for in the place of a session's last one.
    pub fn asked_anew(&self, session: SessionId) {
        self.sessions().insert(session, Count::default());
    }

    /// It is there: what was told before was of the last one.
    pub fn begun(&self, session: SessionId) {
        self.taken(session, 0);
    }

    /// Plain numbers, each written at once: whole after any panic.
    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Count>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const AGENT: SessionId = SessionId::AGENT;

    fn sent(inputs: &Inputs, bytes: usize) -> Result<(), Failure> {
        inputs.send(AGENT, bytes, || Some(()))
    }

    #[test]
    fn what_has_no_room_for_all_of_it_is_refused_by_its_size_until_the_program_reads() {
        let inputs = Inputs::of(true, &[]);
        sent(&inputs, INPUT_BOUND - 10).expect("there is room");
        let failure = inputs.send(AGENT, INPUT_BOUND / 2, || panic!("it is not sent"));
        let failure = failure.expect_err("refused");
        assert_eq!(failure.kind, FailureKind::Unavailable);
        for number in [INPUT_BOUND - 10, INPUT_BOUND, INPUT_BOUND / 2] {
            assert!(failure.message.contains(&number.to_string()), "{failure}");
        }
        sent(&inputs, 10).expect("keys have room");
        inputs.taken(AGENT, INPUT_BOUND as u64);
        sent(&inputs, INPUT_BOUND).expect("all was read");
    }

    #[test]
    fn the_largest_paste_fits_although_the_shim_has_not_told_of_the_last_step() {
        let inputs = Inputs::of(true, &[]);
        sent(&inputs, INPUT_STEP - 1).expect("sent");
        sent(&inputs, INPUT_BOUND).expect("it may all have been read");
    }

    #[test]
    fn answers_that_nobody_reads_leave_room_for_keys() {
        let inputs = Inputs::of(true, &[]);
        let answered = || inputs.answer(AGENT, 1 << 10, || Some(())).is_ok();
        let read_but_untold = INPUT_STEP / (1 << 10);
        assert!((0..read_but_untold).all(|_| answered()));
        let more = (0..INPUT_BOUND / (1 << 10)).take_while(|_| answered()).count();
        assert!(more < 100, "{more}");
        sent(&inputs, INPUT_BOUND / 2).expect("keys have room");
        inputs.taken(AGENT, INPUT_BOUND as u64);
        assert!(answered());
    }

    #[test]
    fn what_was_not_sent_does_not_count_and_sessions_count_by_themselves() {
        let inputs = Inputs::of(true, &[]);
        inputs.send(AGENT, INPUT_BOUND, || None).expect_err("no room on the way");
        sent(&inputs, INPUT_BOUND).expect("sent");
        inputs.send(SessionId(1), INPUT_BOUND, || Some(())).expect("another program");
        inputs.asked_anew(AGENT);
        inputs.taken(AGENT, 1 << 40);
        inputs.begun(AGENT);
        sent(&inputs, INPUT_BOUND).expect("a new program");
        sent(&inputs, INPUT_BOUND).expect_err("what the last one took is not this one's");
    }

    #[test]
    fn a_shim_that_does_not_tell_is_sent_what_it_was() {
        let inputs = Inputs::of(false, &[]);
        for _ in 0..3 {
            sent(&inputs, INPUT_BOUND).expect("nothing is known");
        }
        sent(&inputs, INPUT_BOUND + 1).expect_err("too large by itself");
    }
}
