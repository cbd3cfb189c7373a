//! The processes of a box, found from its first one: everything it or an orphan of it started.
//!
//! This is what is left where no control group can be had: counting them one by one, and stopping
//! them by signals.

use std::collections::HashSet;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

use super::cgroup::Counted;

/// How often the processes are gone through until all stand still: each round finds only what was
/// started during the one before, by a process that is stopped now.
const ROUNDS: usize = 200;

/// Rest between two rounds, in which a signal arrives.
const REST: Duration = Duration::from_millis(2);

/// Fields of `/proc/PID/stat` behind the name (`proc(5)`), counted from the state, field 3.
const STATE: usize = 0;
const TIMES: std::ops::RangeInclusive<usize> = 11..=14;
const WAITED_TIMES: std::ops::RangeInclusive<usize> = 13..=14;
const THREADS: usize = 17;
const START: usize = 19;

/// A process of a box and when it started, which together name it for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Known {
    pid: u32,
    start: u64,
}

/// What the kernel says of one process.
struct Seen {
    known: Known,

    state: char,
    threads: u32,
    /// Clock ticks of itself and of all it waited for.
    ticks: u64,
}

impl Seen {
    fn stands_still(&self) -> bool {
        // Stopped, traced, or over.
        matches!(self.state, 'T' | 't' | 'Z' | 'X')
    }

    fn is_over(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// What stands still below `first` by itself, and is not to go on after a pause.
pub(super) fn standing(first: u32) -> Vec<Known> {
    below(first).iter().filter(|seen| seen.stands_still()).map(|seen| seen.known).collect()
}

/// Stops every process below `first`, parents before children, so that no shell sees its command
/// stop; whether all stand still in the end.
pub(super) async fn stop(first: u32) -> bool {
    for _ in 0..ROUNDS {
        let running: Vec<Seen> =
            below(first).into_iter().filter(|seen| !seen.stands_still()).collect();
        if running.is_empty() {
            return true;
        }
        for seen in &running {
            signal(seen, Signal::STOP);
        }
        tokio::time::sleep(REST).await;
    }
    false
}

/// Lets every process below `first` go on, children before parents, but for those `left`.
pub(super) fn go_on(first: u32, left: &[Known]) {
    let left: HashSet<&Known> = left.iter().collect();
    for seen in below(first).iter().rev().filter(|seen| !left.contains(&seen.known)) {
        signal(seen, Signal::CONT);
    }
}

/// Whether there are processes below `first` and all of them stand still.
pub(super) fn stand_still(first: u32) -> bool {
    let seen = below(first);
    seen.iter().any(|seen| !seen.is_over()) && seen.iter().all(Seen::stands_still)
}

/// What everything below `first` uses, and what it used together with all that ended.
pub(super) fn count(first: u32) -> Counted {
    let mut ticks = waited_ticks(first).unwrap_or_default();
    let (mut memory, mut processes) = (0, 0);
    for seen in below(first).iter().filter(|seen| !seen.is_over()) {
        ticks += seen.ticks;
        processes += seen.threads;
        memory += private_memory(seen.known.pid).unwrap_or_default();
    }
    let cpu = Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second() as u32;
    Counted { cpu: Some(cpu), memory: Some(memory), processes: Some(processes) }
}

/// The processes below one, each after its parent.
fn below(first: u32) -> Vec<Seen> {
    let mut found: Vec<Seen> = children(first).into_iter().filter_map(see).collect();
    let mut next = 0;
    while let Some(parent) = found.get(next) {
        let parent = parent.known.pid;
        found.extend(children(parent).into_iter().filter_map(see));
        next += 1;
    }
    found
}

/// What each thread of a process started.
fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|it| std::fs::read_to_string(it.path().join("children")).ok());
    let numbers = |list: String| -> Vec<u32> {
        list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    };
    lists.flat_map(numbers).collect()
}

fn see(pid: u32) -> Option<Seen> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    read_stat(pid, &stat)
}

fn read_stat(pid: u32, stat: &str) -> Option<Seen> {
    // The name in parentheses may hold anything, so fields are counted from its end.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Seen {
        known: Known { pid, start: number(START)? },
        state: fields.get(STATE)?.chars().next()?,
        threads: number(THREADS)? as u32,
        ticks: TIMES.filter_map(number).sum(),
    })
}

/// Clock ticks of everything that ended below `first`; its own are not the box's.
fn waited_ticks(first: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{first}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(WAITED_TIMES.filter_map(|at| fields.get(at)?.parse::<u64>().ok()).sum())
}

/// Memory of a process that it shares with no file: its second and third field, in pages.
fn private_memory(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut fields = text.split_ascii_whitespace().skip(1);
    let mut pages = || fields.next()?.parse::<u64>().ok();
    let (resident, shared) = (pages()?, pages()?);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

/// Signals a process that is still the one that was seen.
fn signal(seen: &Seen, signal: Signal) {
    let handle = Pid::from_raw(seen.known.pid as i32)
        .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
    let Some(handle) = handle else { return };
    // Looked at after opening: what the handle means can no longer change.
    let still = see(seen.known.pid).is_some_and(|now| now.known == seen.known);
    if still {
        let _ = rustix::process::pidfd_send_signal(&handle, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_have_any_name() {
        let stat = "77 (a) b) T 12 77 77 0 -1 4194560 1 2 3 4 50 60 7 8 20 0 3 0 4242 9 9";
        let seen = read_stat(77, stat).expect("read");
        assert_eq!(seen.known, Known { pid: 77, start: 4242 });
        assert_eq!((seen.state, seen.threads, seen.ticks), ('T', 3, 125));
        assert!(seen.stands_still() && !seen.is_over());
    }
}
