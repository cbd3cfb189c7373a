//! When a session's output is told to the deck: as soon as a person would see a difference, and no
//! more often than one can, however often a program changes its title.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::model::id::SessionId;

/// Matches the step in which the age of output is shown.
const STEP: Duration = Duration::from_secs(10);
/// Between two titles that are told: spinners in titles turn ten times a second, and every one of
/// them would go through the deck to every client.
const TITLES: Duration = Duration::from_secs(1);

/// What was told of each session, and what is still to be told.
#[derive(Debug, Default)]
pub(super) struct Telling {
    told: HashMap<SessionId, (Instant, String)>,
    due: BTreeMap<SessionId, Instant>,
}

impl Telling {
    /// Whether a session's output is to be told now that it printed; if not, a new title is due
    /// later.
    pub fn printed(&mut self, session: SessionId, title: &str, now: Instant) -> bool {
        let Some((at, told)) = self.told.get(&session) else {
            return self.tell(session, title, now);
        };
        let age = now.duration_since(*at);
        if age >= STEP || (told != title && age >= TITLES) {
            return self.tell(session, title, now);
        }
        if told == title {
            self.due.remove(&session);
        } else {
            self.due.insert(session, *at + TITLES);
        }
        false
    }

    /// When something is to be told although nothing is printed.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// The sessions that are due.
    pub fn overdue(&self, now: Instant) -> Vec<SessionId> {
        let due = self.due.iter().filter(|(_, at)| **at <= now);
        due.map(|(session, _)| *session).collect()
    }

    /// The session is gone.
    pub fn forget(&mut self, session: SessionId) {
        self.due.remove(&session);
    }

    fn tell(&mut self, session: SessionId, title: &str, now: Instant) -> bool {
        self.told.insert(session, (now, title.to_owned()));
        self.due.remove(&session);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: SessionId = SessionId::AGENT;

    #[test]
    fn a_title_that_turns_is_told_once_a_second_and_the_last_one_always() {
        let begun = Instant::now();
        let mut telling = Telling::default();
        let mut told = Vec::new();
        for step in 0..100_u32 {
            let now = begun + Duration::from_millis(u64::from(step) * 50);
            if telling.printed(AGENT, &step.to_string(), now) {
                told.push(step);
            }
        }
        assert_eq!(told, [0, 20, 40, 60, 80]);
        let due = telling.deadline().expect("the last title is due");
        assert_eq!(telling.overdue(begun + Duration::from_millis(4_950)), []);
        assert_eq!(telling.overdue(due), [AGENT]);
        assert!(telling.printed(AGENT, "99", due));
        assert_eq!(telling.deadline(), None);
    }

    #[test]
    fn output_without_a_new_title_is_told_when_its_age_shows() {
        let begun = Instant::now();
        let mut telling = Telling::default();
        assert!(telling.printed(AGENT, "x", begun));
        assert!(!telling.printed(AGENT, "x", begun + STEP / 2));
        assert_eq!(telling.deadline(), None);
        assert!(telling.printed(AGENT, "x", begun + STEP));
        assert!(telling.printed(SessionId(1), "x", begun), "each by itself");
    }
}
