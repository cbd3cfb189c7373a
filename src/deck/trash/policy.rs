//! What of the trash is dropped without being asked for. Pure: the time comes in.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::file::Trash;
use crate::model::id::{EnvironmentId, RepositoryId, Timestamp};

/// Milliseconds of a day. So long the newest discard of a repository stays, whatever room it
/// takes: somebody may be about to undo it.
pub(super) const DAY: u64 = 24 * 60 * 60 * 1000;

/// How far the clock may run away from the time that passed before it is said to have jumped.
const DRIFT: Duration = Duration::from_mins(5);

/// Whether ages can be told by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    Steady,
    /// It was set, or the machine slept: what is old now may not be so at the next look.
    Jumped,
}

/// What the clock did between two looks that were `passed` apart.
pub(super) fn clock(before: Timestamp, after: Timestamp, passed: Duration) -> Clock {
    let expected = before.0.saturating_add(passed.as_millis() as u64);
    let off = Duration::from_millis(expected.abs_diff(after.0));
    if off > DRIFT { Clock::Jumped } else { Clock::Steady }
}

/// What is known of one discarded environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub id: EnvironmentId,
    pub repository: RepositoryId,
    pub at: Timestamp,
    pub bytes: u64,
}

/// What is to be dropped of `entries`, which are in the order they were discarded.
pub(super) fn due(
    entries: &[Kept],
    keep: Trash,
    now: Timestamp,
    clock: Clock,
) -> Vec<EnvironmentId> {
    let newest: HashMap<&RepositoryId, &EnvironmentId> =
        entries.iter().map(|entry| (&entry.repository, &entry.id)).collect();
    let age = |entry: &Kept| now.0.saturating_sub(entry.at.0);
    let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let mut due = Vec::new();
    for entry in entries {
        let young = clock == Clock::Jumped || age(entry) < DAY;
        if young && newest.get(&entry.repository) == Some(&&entry.id) {
            continue;
        }
        let old = clock == Clock::Steady && age(entry) >= u64::from(keep.keep_days) * DAY;
        if old || total > keep.max_size {
            total -= entry.bytes;
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
    fn a_clock_that_jumped_makes_nothing_old() {
        let entries = [kept(1, "a", 400, 5), kept(2, "a", 400, 5)];
        assert_eq!(due(&entries, keep(30, 10), NOW, Clock::Jumped), []);
        assert_eq!(due(&entries, keep(30, 9), NOW, Clock::Jumped), [id(1)], "but room is room");
        let hour = Duration::from_hours(1);
        let after = |millis: i64| Timestamp(NOW.0.saturating_add_signed(millis));
        assert_eq!(clock(NOW, after(3_600_000), hour), Clock::Steady);
        assert_eq!(clock(NOW, after(3_600_000 + DAY as i64), hour), Clock::Jumped);
        assert_eq!(clock(NOW, after(-(DAY as i64)), hour), Clock::Jumped);
    }

    #[test]
    fn a_discard_from_the_future_is_young() {
        let ahead = Kept { at: Timestamp(NOW.0 + 5 * DAY), ..kept(1, "a", 0, 5) };
        assert_eq!(due(&[ahead.clone(), kept(2, "a", 0, 5)], keep(1, 100), NOW, Clock::Steady), []);
    }
}
