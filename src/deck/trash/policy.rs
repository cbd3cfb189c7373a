//! What of the trash is dropped without being asked for. Pure: the time comes in.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::file::Trash;
use crate::model::id::{DecisionId, EnvironmentId, RepositoryId, Timestamp};

/// Milliseconds of a day. So long a discard stays, whatever room it takes, and the newest of a
/// repository whatever is said of ages: somebody may be about to undo it.
pub(super) const DAY: u64 = 24 * 60 * 60 * 1000;

/// How far the clock may run away from the time that passed before it is said to have jumped.
const DRIFT: Duration = Duration::from_mins(5);

/// Whether ages can be told by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    Steady,
    /// It was set, or may soon be: what seems old now may not be so at another look.
    Doubted,
}

/// Looks at the clock now and then. One that was set is in doubt for a day, in which somebody may
/// notice that it is wrong.
#[derive(Debug)]
pub(super) struct Watch {
    wall: Timestamp,
    up: Duration,
    doubted_until: Duration,
}

impl Watch {
    /// `up` is the time since the machine started, with that in which it slept. What the clock says
    /// is not believed before `patience` has passed.
    pub(super) fn new(wall: Timestamp, up: Duration, patience: Duration) -> Self {
        Self { wall, up, doubted_until: up.saturating_add(patience) }
    }

    /// What can be said of the clock at this moment.
    pub(super) fn look(&mut self, wall: Timestamp, up: Duration) -> Clock {
        let passed = up.saturating_sub(self.up);
        let expected = self.wall.0.saturating_add(passed.as_millis() as u64);
        if Duration::from_millis(expected.abs_diff(wall.0)) > DRIFT {
            self.doubted_until = up.saturating_add(Duration::from_millis(DAY));
        }
        (self.wall, self.up) = (wall, up);
        if up < self.doubted_until { Clock::Doubted } else { Clock::Steady }
    }
}

/// What is known of one discarded environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub id: EnvironmentId,
    pub repository: RepositoryId,
    /// The decision that put it here.
    pub decision: DecisionId,
    pub at: Timestamp,
    pub bytes: u64,
}

/// What is to be dropped of `entries`, which are in the order they were discarded. Those that stay
/// whatever room they take are not counted: nothing older need go for their sake.
pub(super) fn due(
    entries: &[Kept],
    keep: Trash,
    now: Timestamp,
    clock: Clock,
) -> Vec<EnvironmentId> {
    // Numbers go up, whatever the clock does.
    let mut newest: HashMap<&RepositoryId, DecisionId> = HashMap::new();
    for entry in entries {
        let last = newest.entry(&entry.repository).or_insert(entry.decision);
        *last = entry.decision.max(*last);
    }
    let age = |entry: &Kept| now.0.saturating_sub(entry.at.0);
    let is_young = |entry: &Kept| clock == Clock::Doubted || age(entry) < DAY;
    let mut total: u64 =
        entries.iter().filter(|entry| !is_young(entry)).map(|entry| entry.bytes).sum();
    let mut due = Vec::new();
    for entry in entries {
        let young = is_young(entry);
        if young && newest.get(&entry.repository) == Some(&entry.decision) {
            continue;
        }
        let old = clock == Clock::Steady && age(entry) >= u64::from(keep.keep_days) * DAY;
        let crowded = !young && total > keep.max_size;
        if old || crowded {
            total -= if young { 0 } else { entry.bytes };
            due.push(entry.id.clone());
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000 * DAY);

    fn kept(number: u8, repository: &str, days: u64, bytes: u64) -> Kept {
        Kept {
            id: id(number),
            repository: RepositoryId(repository.to_owned()),
            decision: DecisionId(number.into()),
            at: Timestamp(NOW.0 - days * DAY),
            bytes,
        }
    }

    fn id(number: u8) -> EnvironmentId {
        EnvironmentId::from_random([number; 8])
    }

    fn keep(keep_days: u32, max_size: u64) -> Trash {
        Trash { keep_days, max_size }
    }

    #[test]
    fn what_was_kept_long_enough_goes() {
        let entries = [kept(1, "a", 31, 1), kept(2, "b", 30, 1), kept(3, "a", 29, 1)];
        assert_eq!(due(&entries, keep(30, 100), NOW, Clock::Steady), [id(1), id(2)]);
    }

    #[test]
    fn the_oldest_go_until_the_rest_has_room() {
        let entries = [kept(1, "a", 9, 5), kept(2, "a", 8, 5), kept(3, "a", 7, 5)];
        assert_eq!(due(&entries, keep(30, 10), NOW, Clock::Steady), [id(1)]);
        assert_eq!(due(&entries, keep(30, 9), NOW, Clock::Steady), [id(1), id(2)]);
        assert_eq!(due(&entries, keep(30, 15), NOW, Clock::Steady), []);
    }

    #[test]
    fn the_last_discard_of_a_repository_stays_for_a_day() {
        let entries = [kept(1, "a", 0, 50), kept(2, "a", 0, 50), kept(3, "b", 0, 50)];
        assert_eq!(due(&entries, keep(0, 0), NOW, Clock::Steady), [id(1)]);
        let later = Timestamp(NOW.0 + DAY);
        assert_eq!(due(&entries, keep(0, 0), later, Clock::Steady), [id(1), id(2), id(3)]);
    }

    #[test]
    fn nothing_goes_for_room_within_a_day() {
        let today: Vec<Kept> = (1..=5).map(|number| kept(number, "a", 0, 50)).collect();
        assert_eq!(due(&today, keep(30, 100), NOW, Clock::Steady), []);
        let tomorrow = Timestamp(NOW.0 + DAY);
        let first: Vec<_> = (1..=3).map(id).collect();
        assert_eq!(due(&today, keep(30, 100), tomorrow, Clock::Steady), first);
    }

    #[test]
    fn what_stays_anyway_pushes_nothing_out() {
        let giant = kept(4, "a", 0, 1000);
        let entries = [kept(1, "a", 3, 30), kept(2, "b", 2, 30), kept(3, "a", 2, 30), giant];
        assert_eq!(due(&entries, keep(30, 100), NOW, Clock::Steady), []);
        assert_eq!(due(&entries, keep(30, 70), NOW, Clock::Steady), [id(1)]);
    }

    #[test]
    fn the_last_discard_stays_though_the_clock_was_set_back_before_it() {
        let entries = [kept(2, "a", 9, 5), kept(1, "a", 0, 5)];
        assert_eq!(due(&entries, keep(0, 5), NOW, Clock::Doubted), []);
    }

    #[test]
    fn a_clock_that_is_in_doubt_makes_nothing_old() {
        let entries = [kept(1, "a", 400, 5), kept(2, "a", 400, 5)];
        assert_eq!(due(&entries, keep(30, 10), NOW, Clock::Doubted), []);
        assert_eq!(due(&entries, keep(30, 9), NOW, Clock::Doubted), [], "nor in the way");
    }

    #[test]
    fn a_clock_that_was_set_is_in_doubt_for_a_day() {
        let hour = |count| Duration::from_hours(count);
        let wall = |hours: u64| Timestamp(NOW.0 + hours * 3_600_000);
        let mut watch = Watch::new(wall(0), hour(5), Duration::from_mins(10));
        assert_eq!(watch.look(wall(0), hour(5)), Clock::Doubted, "it was just started");
        assert_eq!(watch.look(wall(1), hour(6)), Clock::Steady);
        assert_eq!(watch.look(wall(9000), hour(7)), Clock::Doubted);
        assert_eq!(watch.look(wall(9023), hour(30)), Clock::Doubted);
        assert_eq!(watch.look(wall(9024), hour(31)), Clock::Steady);
        assert_eq!(watch.look(wall(25), hour(32)), Clock::Doubted, "it was set back");
    }

    #[test]
    fn a_discard_from_the_future_is_young() {
        let ahead = Kept { at: Timestamp(NOW.0 + 5 * DAY), ..kept(1, "a", 0, 5) };
        assert_eq!(due(&[ahead.clone(), kept(2, "a", 0, 5)], keep(1, 100), NOW, Clock::Steady), []);
    }
}
