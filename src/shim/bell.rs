//! Waits for a terminal's output without hearing of each line.
//!
//! A descriptor in the runtime's own set wakes it whenever the kernel adds something, read or not.
//! Here a terminal is in a set of its own, which tells once that there is something to read and
//! then keeps still until it is asked again: a flood can gather while nobody listens.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{Timespec, epoll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(super) struct Bell {
    set: AsyncFd<OwnedFd>,
    listens: Cell<bool>,
}

impl Bell {
    /// Listens to `terminal`, whose descriptor must outlive the bell's use.
    pub(super) fn new(terminal: impl AsFd) -> io::Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&set, terminal, epoll::EventData::new_u64(0), once())?;
        // SAFETY: the descriptor is owned by the registration and closed only with it.
        let set = unsafe { AsyncFd::register_with_interest(set, Interest::READABLE) }?;
        Ok(Self { set, listens: Cell::new(true) })
    }

    /// Asks to be told of what there is to read on `terminal`, now or later.
    pub(super) fn listen(&self, terminal: impl AsFd) -> io::Result<()> {
        epoll::modify(&self.set, terminal, epoll::EventData::new_u64(0), once())?;
        self.listens.set(true);
        Ok(())
    }

    /// Waits until there is something to read since `listen`; at once where nobody listens.
    pub(super) async fn rings(&self) -> io::Result<()> {
        while self.listens.get() {
            let mut ready = self.set.readable().await?;
            let mut events = [MaybeUninit::uninit(); 1];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            let (told, _) = epoll::wait(&self.set, &mut events, Some(&now))?;
            self.listens.set(told.is_empty());
            // What is told later wakes anew, once it is listened to.
            ready.clear_ready();
        }
        Ok(())
    }
}

fn once() -> epoll::EventFlags {
    epoll::EventFlags::IN | epoll::EventFlags::ONESHOT
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_bell_rings_once_and_again_when_it_is_asked() {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        let bell = Bell::new(&reader).expect("a bell");
        assert!(bell.rings().now_or_never().is_none(), "nothing to read yet");
        rustix::io::write(&writer, b"x").expect("written");
        bell.rings().await.expect("rung");
        assert!(bell.rings().now_or_never().is_some(), "nobody waits who does not listen");
        bell.listen(&reader).expect("listens");
        bell.rings().await.expect("what was there before counts");
        rustix::io::read(&reader, &mut [0; 8]).expect("read");
        bell.listen(&reader).expect("listens");
        assert!(bell.rings().now_or_never().is_none(), "all is read");
        drop(writer);
        bell.rings().await.expect("the end is told of");
    }
}
