//! The ends of boxes, told when they happen: each box's first process is waited for by a handle.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::cgroup::Group;
use super::mark::Mark;
use super::process;
use crate::engine::{BoxEvent, BoxRecord, Ending};

/// Events that wait for the deck; it takes them at once, and a watch waits where it does not.
const EVENTS: usize = 64;

/// How often a box is looked at for processes killed for want of memory: the first version of
/// control groups tells nobody.
const LOOK: Duration = Duration::from_secs(2);

/// The kernel tells how a process ended once its parent, the host's first, took note of it.
const STATUS_TRIES: usize = 5;
const STATUS_REST: Duration = Duration::from_millis(5);

/// `PIDFD_GET_INFO` and what it tells (linux/pidfd.h, Linux 6.15 for a process that was reaped).
const PIDFD_GET_INFO: libc::c_ulong = 0xc040_ff0b;
const PIDFD_INFO_EXIT: u64 = 1 << 3;

#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// Who wants to know of the boxes of which deck.
#[derive(Clone, Default)]
pub(super) struct Watchers {
    decks: Arc<Mutex<HashMap<String, mpsc::Sender<BoxEvent>>>>,
}

impl Watchers {
    /// Tells the ends of a deck's boxes from now on, beginning with those that live below `home`.
    /// A deck has one listener: the last.
    pub(super) fn listen(&self, deck: &str, home: &Path) -> mpsc::Receiver<BoxEvent> {
        let (sender, receiver) = mpsc::channel(EVENTS);
        let mut decks = self.decks.lock().unwrap_or_else(PoisonError::into_inner);
        decks.insert(deck.to_owned(), sender);
        drop(decks);
        for mark in Mark::all(home).into_iter().filter(|mark| mark.deck == deck) {
            self.watch(deck, &mark.record);
        }
        receiver
    }

    /// Watches one box until it ends or its deck stops listening.
    pub(super) fn watch(&self, deck: &str, record: &BoxRecord) {
        let decks = self.decks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = decks.get(deck) {
            tokio::spawn(watch(record.clone(), sender.clone()));
        }
    }
}

async fn watch(record: BoxRecord, sender: mpsc::Sender<BoxEvent>) {
    let group = Mark::of(&record).map(|mark| mark.group);
    let kills = || group.as_ref().map_or(0, Group::memory_kills);
    let Ok(mut ended) = Watch::on(&record) else { return };
    let mut told = kills();
    loop {
        let environment = record.environment.clone();
        let event = tokio::select! {
            ending = ended.ending(&record) => BoxEvent::Ended { environment, ending },
            () = tokio::time::sleep(until_look()) => match kills() {
                count if count > told => {
                    told = count;
                    BoxEvent::OutOfMemory { environment }
                }
                _ => continue,
            },
            () = sender.closed() => return,
        };
        let over = matches!(event, BoxEvent::Ended { .. });
        if sender.send(event).await.is_err() || over {
            return;
        }
    }
}

/// The time to the next look. All boxes are looked at in the same moment, so that many of them
/// wake the server no more often than one.
fn until_look() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = Duration::new(now.tv_sec as u64, now.tv_nsec as u32);
    LOOK.saturating_sub(Duration::from_nanos((now.as_nanos() % LOOK.as_nanos()) as u64))
}

/// Waits until the box of `record` has ended. A box that is gone has.
pub(super) async fn wait(record: &BoxRecord) -> anyhow::Result<Ending> {
    match Watch::on(record) {
        Ok(mut watch) => Ok(watch.ending(record).await),
        Err(_) if !process::lives(record) => Ok(Ending { code: None, out_of_memory: false }),
        Err(error) => Err(error.into()),
    }
}

/// A handle of a box's first process, readable when it has ended.
struct Watch {
    handle: AsyncFd<OwnedFd>,
}

impl Watch {
    fn on(record: &BoxRecord) -> std::io::Result<Self> {
        let handle = process::open(record).ok_or(std::io::ErrorKind::NotFound)?;
        // SAFETY: the value owns the descriptor, which stays open as long as it is registered.
        let handle = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) };
        Ok(Self { handle: handle.map_err(std::io::Error::from)? })
    }

    async fn ending(&mut self, record: &BoxRecord) -> Ending {
        // A handle that cannot be polled belongs to a runtime that ends.
        let _ = self.handle.readable().await;
        let mut status = exit_status(self.handle.get_ref());
        for _ in 0..STATUS_TRIES {
            if status.is_none() {
                tokio::time::sleep(STATUS_REST).await;
                status = exit_status(self.handle.get_ref());
            }
        }
        // The groups stay until the box is stopped or removed.
        let kills = Mark::of(record).filter(|mark| mark.record == *record);
        let kills = kills.map_or(0, |mark| mark.group.memory_kills());
        let killed = status.is_none_or(|status| status & 0x7f == libc::SIGKILL);
        let exited = status
            .filter(|status| libc::WIFEXITED(*status))
            .map(|status| libc::WEXITSTATUS(status));
        let signalled =
            status.filter(|status| libc::WIFSIGNALED(*status)).map(|it| 128 + libc::WTERMSIG(it));
        Ending { code: exited.or(signalled), out_of_memory: killed && kills > 0 }
    }
}

/// How an ended process ended, as `wait` counts, where the kernel still tells.
fn exit_status(handle: &OwnedFd) -> Option<i32> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the structure has the size that the request's number says, and lives.
    let result = unsafe { libc::ioctl(handle.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) };
    (result == 0 && info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}
