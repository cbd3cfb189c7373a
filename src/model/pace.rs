//! How often something may be done, decided from the clock that is passed in.

use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Turns that are given out evenly, after as many at once as one second holds.
#[derive(Clone, Debug)]
pub struct Pace {
    interval: Duration,
    /// When the turn after the last one would be, were there no burst.
    next: Option<Instant>,
}

impl Pace {
    /// So many turns in a second, at least one.
    pub fn per_second(turns: u32) -> Self {
        Self { interval: SECOND / turns.max(1), next: None }
    }

    /// Takes the next turn, and tells when it is.
    pub fn turn(&mut self, now: Instant) -> Instant {
        let even = self.next.map_or(now, |next| next.max(now));
        self.next = Some(even + self.interval);
        even.checked_sub(SECOND).map_or(now, |early| early.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_turns_come_at_once_and_the_others_evenly() {
        let start = Instant::now() + 10 * SECOND;
        let mut pace = Pace::per_second(100);
        let waits: Vec<Duration> =
            (0..300).map(|_| pace.turn(start).duration_since(start)).collect();
        assert!(waits[..=100].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!(waits[101], Duration::from_millis(10));
        assert_eq!(waits[299], Duration::from_millis(1_990));
        let later = start + 10 * SECOND;
        assert_eq!(pace.turn(later), later, "a rest is not saved up for");
        let at_once = (0..300).filter(|_| pace.turn(later) == later).count();
        assert_eq!(at_once, 100);
    }
}
