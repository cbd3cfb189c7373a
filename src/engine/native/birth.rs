//! New namespaces and their first process.
//!
//! Three processes take part. The *keeper* writes the id maps. It forks the *founder*, which leaves
//! the host's namespaces and forks the *first process*. Until the keeper gives the word that one
//! does nothing, so that a keeper that dies leaves nothing behind. Where it is to do a piece of work
//! and to be no box, all three end together, and with whoever gave the order.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::{Gid, Uid, UnshareFlags};

use super::cgroup::Group;
use super::{kernel, process};
use crate::model::failure::Failure;

/// Every kind of namespace but time; that of mounts comes when the process begins, and that of
/// control groups when the box is in its own.
const NAMESPACES: UnshareFlags = UnshareFlags::NEWUSER
    .union(UnshareFlags::NEWPID)
    .union(UnshareFlags::NEWNET)
    .union(UnshareFlags::NEWIPC)
    .union(UnshareFlags::NEWUTS);

/// What the first process is to those above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bond {
    /// A box: it goes on when keeper and founder have ended.
    Free,
    /// Work that is for nothing once nobody waits for it: whoever ends takes those below along.
    Bound,
}

/// Longest time for a first process to end that is told nothing more, and between two looks.
const END_DEADLINE: Duration = Duration::from_secs(2);
const END_LOOK: Duration = Duration::from_millis(1);

/// The word that a step is done, through a pipe.
const DONE: [u8; 1] = [1];

pub(super) struct First {
    pub(super) pid: u32,
    pub(super) start: u64,
}

/// Both ends of a pipe that no program inherits.
pub(super) struct Pipe {
    pub(super) reader: File,
    pub(super) writer: File,
}

impl Pipe {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Self { reader: reader.into(), writer: writer.into() })
    }
}

/// Waits in the first process until it is in its groups, and gives it a view of groups that
/// begins there.
pub(super) type Settle<'a> = dyn FnMut() -> anyhow::Result<()> + 'a;

/// The first process of new namespaces, which waits for its keeper's word.
pub(super) struct Born {
    pub(super) first: First,
    /// Where the first process is bound to it.
    founder: Option<Pid>,
    words: File,
    said: File,
}

/// Makes the namespaces and their first process, whose `life` begins by waiting for a word.
pub(super) fn bear(
    bond: Bond,
    life: impl FnOnce(&mut File) -> anyhow::Result<()>,
) -> anyhow::Result<Born> {
    let (mut from_founder, mut to_founder) = (Pipe::new()?, Pipe::new()?);
    let (mut from_first, mut to_first) = (Pipe::new()?, Pipe::new()?);
    let keeper = rustix::process::getpid();
    let Some(founder) = fork()? else {
        drop((from_founder.reader, to_founder.writer, from_first.reader, to_first.writer));
        let bound_to = (bond == Bond::Bound).then_some(keeper);
        match leave_host(bound_to, &mut from_founder.writer, &mut to_founder.reader) {
            Ok(Some(first)) => report_first(bond, from_founder.writer, first),
            Ok(None) => {
                // The keeper waits for the founder's pipe to close.
                drop((from_founder.writer, to_founder.reader));
                // Before the word, which a keeper that has ended meanwhile does not give.
                let bound = if bond == Bond::Bound { end_with_parent() } else { Ok(()) };
                let lived = bound.and_then(|()| life(&mut to_first.reader));
                report(&mut from_first.writer, lived)
            }
            Err(error) => report(&mut from_founder.writer, Err(error)),
        }
    };
    drop((from_founder.writer, to_founder.reader, from_first.writer, to_first.reader));
    let result = attend(founder, &mut from_founder.reader, &mut to_founder.writer);
    // One that has a process bound to it goes on for as long as that one.
    if bond == Bond::Free || result.is_err() {
        let _ = rustix::process::waitpid(Some(founder), WaitOptions::empty());
    }
    let pid = result?;
    let start = process::start_time(pid).context("the box's first process ended at once")?;
    let (first, founder) = (First { pid, start }, (bond == Bond::Bound).then_some(founder));
    Ok(Born { first, founder, words: to_first.writer, said: from_first.reader })
}

impl Born {
    /// Gives the word to begin, with what is `told`, and waits until the process is what it was to
    /// become. Meanwhile `place` puts it where it is to be: the kernel takes its time for that.
    pub(super) fn begin(
        mut self,
        told: &[u8],
        place: impl FnOnce(&First) -> anyhow::Result<()>,
    ) -> anyhow::Result<First> {
        let begun = word_with(told);
        // One that has ended cannot be told; it says why below.
        let begun = self.words.write_all(&begun);
        // Its number may be another process's by now, which must not be put anywhere.
        let placed = if begun.is_ok() { place(&self.first) } else { Ok(()) };
        let told = placed.is_ok().then(|| self.words.write_all(&DONE));
        // Without the second word it ends by itself.
        drop(self.words);
        if let Some(founder) = self.founder
            && !is_awaited(&self.said)?
        {
            let _ = rustix::process::kill_process(founder, Signal::KILL);
            anyhow::bail!("nobody waits for it any more");
        }
        let ended = Self::hear(&mut self.said);
        // Its own failure may only be that it was not placed.
        placed?;
        ended?;
        begun?;
        told.transpose()?;
        Ok(self.first)
    }

    /// Has the process begin, put everything of the box together but its name, and become the shim.
    pub(super) fn build(&mut self, told: &[u8], group: &Group) -> anyhow::Result<()> {
        self.words.write_all(&word_with(told))?;
        group.place(self.first.pid)?;
        self.words.write_all(&DONE)?;
        Self::hear(&mut self.said)
    }

    /// Has the process, which is the shim by now, take its name and begin.
    pub(super) fn name(mut self, name: &str) -> anyhow::Result<First> {
        self.words.write_all(&word_with(name.as_bytes())).context("the box has ended")?;
        Ok(self.first)
    }

    /// Ends the process, and waits until it has.
    pub(super) fn end(self) {
        let First { pid, start } = self.first;
        drop(self.words);
        let begun = Instant::now();
        while process::start_time(pid) == Some(start) && begun.elapsed() < END_DEADLINE {
            std::thread::sleep(END_LOOK);
        }
    }

    /// Waits until the process says why it failed, or nothing more because it is another program.
    fn hear(said: &mut File) -> anyhow::Result<()> {
        let mut failure = Vec::new();
        said.read_to_end(&mut failure)?;
        if failure.is_empty() {
            return Ok(());
        }
        let failure = serde_json::from_slice::<Failure>(&failure);
        Err(failure.context("the box's first process failed")?.into())
    }
}

/// The word to go on, with what is `told`.
fn word_with(told: &[u8]) -> Vec<u8> {
    [&DONE[..], &(told.len() as u64).to_ne_bytes()[..], told].concat()
}

/// Waits for the word to go on, and takes what is told with it.
pub(super) fn wait_to_be_told(words: &mut File) -> anyhow::Result<Vec<u8>> {
    wait_for_word(words)?;
    let mut length = [0; 8];
    words.read_exact(&mut length)?;
    let mut told = vec![0; usize::try_from(u64::from_ne_bytes(length))?];
    words.read_exact(&mut told).context("the engine's child ended early")?;
    Ok(told)
}

/// Waits for the word to begin, and takes what is told with it. Only then has the process mounts of
/// its own: a copy of the host's would keep what is unmounted there meanwhile.
pub(super) fn wait_to_begin(words: &mut File) -> anyhow::Result<Vec<u8>> {
    let told = wait_to_be_told(words)?;
    // SAFETY: this process has one thread, and the flag parts it from no memory.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .map_err(|error| kernel::explain("cannot make a namespace for mounts", &error.into()))?;
    Ok(told)
}

/// Waits until this process is in its groups, and gives it a view of groups that begins there.
pub(super) fn settle(words: &mut File) -> anyhow::Result<()> {
    wait_for_word(words)?;
    // SAFETY: this process has one thread, and the flag parts it from no memory.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) }
        .context("cannot make a namespace for control groups")
}

/// Runs `work` in the first process of new namespaces, which ends with it or with whoever gave the
/// order.
pub(super) fn within(
    work: impl FnOnce(&mut Settle<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // What is below a founder that ends is waited for here.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let life = |words: &mut File| {
        wait_to_begin(words)?;
        work(&mut || settle(words))
    };
    let done = bear(Bond::Bound, life).and_then(|born| born.begin(&[], |_| Ok(())));
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::empty()) {}
    done.map(drop)
}

/// The keeper's part while the founder works: the id maps, then the first process's id.
fn attend(founder: Pid, from: &mut File, to: &mut File) -> anyhow::Result<u32> {
    let unshared = read_word_or_failure(from)?;
    anyhow::ensure!(unshared == DONE, "the founder of the box said something else");
    if let Err(error) = kernel::write_id_maps(founder) {
        let _ = rustix::process::kill_process(founder, Signal::KILL);
        return Err(error);
    }
    to.write_all(&DONE)?;
    let mut rest = Vec::new();
    from.read_to_end(&mut rest)?;
    match <[u8; 4]>::try_from(rest.as_slice()) {
        Ok(pid) => Ok(u32::from_ne_bytes(pid)),
        Err(_) => Err(serde_json::from_slice::<Failure>(&rest)
            .context("the founder of the box ended early")?
            .into()),
    }
}

fn read_word_or_failure(from: &mut File) -> anyhow::Result<[u8; 1]> {
    let mut word = [0];
    from.read_exact(&mut word).context("the founder of the box ended early")?;
    if word == DONE {
        return Ok(word);
    }
    let mut text = word.to_vec();
    from.read_to_end(&mut text)?;
    Err(serde_json::from_slice::<Failure>(&text).context("the founder of the box failed")?.into())
}

/// The founder's part: new namespaces, their root's identity, and the fork of the first process,
/// in which this returns `None`.
fn leave_host(
    bound_to: Option<Pid>,
    to: &mut File,
    from: &mut File,
) -> anyhow::Result<Option<Pid>> {
    // SAFETY: this process has one thread, and no flag parts it from memory it shares.
    unsafe { rustix::thread::unshare_unsafe(NAMESPACES) }
        .map_err(|error| kernel::explain("cannot make namespaces", &error.into()))?;
    to.write_all(&DONE)?;
    wait_for_word(from)?;
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    if let Some(keeper) = bound_to {
        // After the changes of identity, with each of which the kernel forgets it.
        end_with_parent()?;
        anyhow::ensure!(rustix::process::getppid() == Some(keeper), "the keeper has ended");
    }
    Ok(fork()?)
}

/// Has the kernel end this process together with its parent.
fn end_with_parent() -> anyhow::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Waits until the first process has something to say or has ended; `false` when meanwhile
/// whoever gave the order went away.
fn is_awaited(first: &File) -> io::Result<bool> {
    let giver = rustix::stdio::stdout();
    // Without wishes: that a pipe is read by nobody any more is told anyway.
    let mut polled = [PollFd::new(first, PollFlags::IN), PollFd::new(&giver, PollFlags::empty())];
    loop {
        match rustix::event::poll(&mut polled, None) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(!polled[0].revents().is_empty()),
        }
    }
}

/// Tells the keeper the first process's id. What is bound to this one needs it to the end.
fn report_first(bond: Bond, mut to: File, first: Pid) -> ! {
    let pid = (first.as_raw_nonzero().get() as u32).to_ne_bytes();
    let told = to.write_all(&pid).map_err(anyhow::Error::from);
    if bond == Bond::Bound && told.is_ok() {
        drop(to);
        let _ = rustix::process::waitpid(Some(first), WaitOptions::empty());
        // SAFETY: leaves at once, without the exit handlers of the process it was forked from.
        unsafe { libc::_exit(0) }
    }
    report(&mut to, told)
}

fn wait_for_word(from: &mut File) -> anyhow::Result<()> {
    let mut word = [0];
    from.read_exact(&mut word).context("the engine's child ended early")
}

/// Ends a forked process, telling what went wrong if anything did.
pub(super) fn report(to: &mut File, result: anyhow::Result<()>) -> ! {
    let code = match result {
        Ok(()) => 0,
        Err(error) => {
            let failure = Failure::from(error);
            let text = serde_json::to_vec(&failure).unwrap_or_default();
            // Nobody is left to tell when the keeper is gone.
            let _ = to.write_all(&text);
            1
        }
    };
    // SAFETY: leaves at once, without the exit handlers of the process it was forked from.
    unsafe { libc::_exit(code) }
}

pub(super) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: this program was re-executed for this and has one thread.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}
