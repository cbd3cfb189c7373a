//! How many connections a box may have: some that are its own, and more of what all boxes share.
//!
//! However many boxes take all that they can, each has its own, and the server has descriptors left
//! for everything else.

use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::model::pace::Pace;

/// Connections that no other box can take: what one program uses.
pub(super) const OWN: usize = 16;

/// Connections beyond these, while there are any left: a package manager opens about 50.
pub(super) const MORE: usize = 240;

/// Connections and requests of one box in a second. What they cost is the server's processor, which
/// all boxes share. A request of its own connection takes two; a build asks for hundreds.
const TURNS_PER_SECOND: u32 = 2_000;

/// Descriptors that a connection needs at most: both its ends, and two to resolve a name.
const DESCRIPTORS: u64 = 4;

/// Connections that all boxes share, where the number of descriptors is not limited.
const MOST: u64 = 1 << 13;

/// What all boxes share.
#[derive(Clone)]
pub(super) struct Pool(Arc<Semaphore>);

impl Pool {
    /// Half of the descriptors that this process may have.
    pub(super) fn of_this_process() -> Self {
        let descriptors = getrlimit(Resource::Nofile).current;
        let shared = descriptors.map_or(MOST, |limit| (limit / 2 / DESCRIPTORS).min(MOST));
        Self::of(shared as usize)
    }

    pub(super) fn of(connections: usize) -> Self {
        Self(Arc::new(Semaphore::new(connections)))
    }

    /// The slots of one box.
    pub(super) fn slots(&self) -> Slots {
        Slots {
            own: Arc::new(Semaphore::new(OWN)),
            more: Arc::new(Semaphore::new(MORE)),
            shared: Arc::clone(&self.0),
        }
    }
}

/// The slots of one box.
pub(super) struct Slots {
    own: Arc<Semaphore>,
    more: Arc<Semaphore>,
    shared: Arc<Semaphore>,
}

/// Held by one connection to its end.
pub(super) struct Slot {
    _held: [Option<OwnedSemaphorePermit>; 2],
}

impl Slots {
    /// Waits for one.
    pub(super) async fn take(&self) -> Slot {
        let never = "the semaphore is never closed";
        let more = async {
            let more = Arc::clone(&self.more).acquire_owned().await.expect(never);
            let shared = Arc::clone(&self.shared).acquire_owned().await.expect(never);
            Slot { _held: [Some(more), Some(shared)] }
        };
        tokio::select! {
            biased;
            own = Arc::clone(&self.own).acquire_owned() => {
                Slot { _held: [Some(own.expect(never)), None] }
            }
            slot = more => slot,
        }
    }
}

/// The turns of one box, for its connections and for the requests in them.
pub(super) struct Turns(Mutex<Pace>);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Pace::per_second(TURNS_PER_SECOND)))
    }

    /// Waits for the next one.
    pub(super) async fn next(&self) {
        let now = Instant::now();
        let turn = {
            let mut pace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Instant::from_std(pace.turn(now.into_std()))
        };
        // The timer's shortest wait is a millisecond, which would be a long one here.
        if turn > now {
            sleep_until(turn).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_box_that_takes_all_there_is_leaves_each_other_its_own() {
        let pool = Pool::of(100);
        let (greedy, other) = (pool.slots(), pool.slots());
        let soon = Duration::from_secs(1);
        let mut held = Vec::new();
        while let Ok(slot) = timeout(soon, greedy.take()).await {
            held.push(slot);
        }
        assert_eq!(held.len(), OWN + 100);
        let mut others = Vec::new();
        while let Ok(slot) = timeout(soon, other.take()).await {
            others.push(slot);
        }
        assert_eq!(others.len(), OWN);
        held.clear();
        assert!(timeout(soon, other.take()).await.is_ok(), "what is given back is there");
    }

    #[tokio::test(start_paused = true)]
    async fn one_box_alone_has_a_bound_too() {
        let alone = Pool::of(10_000).slots();
        let mut held = Vec::new();
        while let Ok(slot) = timeout(Duration::from_secs(1), alone.take()).await {
            held.push(slot);
        }
        assert_eq!(held.len(), OWN + MORE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_box_s_requests_without_end_are_slowed_down() {
        let (turns, start) = (Turns::new(), Instant::now());
        for _ in 0..=3 * TURNS_PER_SECOND {
            turns.next().await;
        }
        assert_eq!(start.elapsed().as_secs(), 2);
    }
}
