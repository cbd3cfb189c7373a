//! The time of day for the app, running evenly: timers must not fire a day late because someone
//! set the clock.

use std::time::{Duration, Instant, SystemTime};

use crate::model::id::Timestamp;

/// A difference this large between both clocks is a jump; smaller ones are adjustments.
const JUMP: Duration = Duration::from_secs(2);

/// The wall clock as it was once, and the monotonic time since.
#[derive(Debug)]
pub(crate) struct Clock {
    wall: Timestamp,
    at: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { wall: wall(), at: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.wall.0 + self.at.elapsed().as_millis() as u64)
    }

    /// Whether the wall clock was set, or the machine slept; then it is followed from here on.
    pub(crate) fn jumped(&mut self) -> bool {
        self.follow(wall())
    }

    fn follow(&mut self, wall: Timestamp) -> bool {
        let jumped = self.now().0.abs_diff(wall.0) > JUMP.as_millis() as u64;
        if jumped {
            (self.wall, self.at) = (wall, Instant::now());
        }
        jumped
    }
}

fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_followed_once() {
        const DAY: u64 = 24 * 60 * 60 * 1000;
        let mut clock = Clock::new();
        let start = clock.now();
        assert!(!clock.follow(Timestamp(start.0 + 1_000)), "an adjustment is not followed");
        for wall in [start.0 - DAY, start.0 + DAY] {
            assert!(clock.follow(Timestamp(wall)));
            assert!(clock.now().0 - wall < 1_000, "{:?}", clock.now());
            assert!(!clock.follow(Timestamp(wall)));
        }
    }
}
