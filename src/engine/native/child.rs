//! The re-executed child that makes a box.
//!
//! Three processes take part. The *keeper* writes the id maps and answers the engine. It forks the
//! *founder*, which leaves the host's namespaces and forks the *first process*, which prepares the
//! layer, builds the box's root and becomes the shim. Until the keeper gives the word the first
//! process does nothing, so that a keeper that dies leaves nothing behind; and all of this may be
//! there before anybody knows which box it will be.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::{Gid, Uid, UnshareFlags};
use serde::{Deserialize, Serialize};

use super::cgroup::Group;
use super::mark::Mark;
use super::order::{self, Answer, Order};
use super::saving::Saving;
use super::{copying, kernel, layer, making, process, root};
use crate::engine::{BoxPlan, RUN_DIRECTORY};
use crate::model::failure::Failure;

/// Every kind of namespace but time; that of mounts comes when the process begins, and that of
/// control groups when the box is in its own.
const NAMESPACES: UnshareFlags = UnshareFlags::NEWUSER
    .union(UnshareFlags::NEWPID)
    .union(UnshareFlags::NEWNET)
    .union(UnshareFlags::NEWIPC)
    .union(UnshareFlags::NEWUTS);

/// The word that a step is done, through a pipe.
const DONE: [u8; 1] = [1];

/// Reads an order from standard input, carries it out, and answers on standard output.
pub fn run() -> ExitCode {
    let answer = carry_out().unwrap_or_else(|error| Answer::Failed(Failure::from(error)));
    let told = answer.tell();
    if told.is_ok() && !matches!(answer, Answer::Failed(_)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn carry_out() -> anyhow::Result<Answer> {
    forget_inherited()?;
    let mut text = String::new();
    io::stdin().read_line(&mut text).context("cannot read the order")?;
    let inotify = kernel::inotify_share();
    match serde_json::from_str(&text).context("the order is malformed")? {
        Order::Wait => wait_for_order(),
        Order::Isolate { plan, home_in_box, group } => {
            isolate(bear(become_box)?, &plan, &home_in_box, &group)
        }
        Order::Detach { plan } => {
            let first = detach(&plan)?;
            Ok(Answer::Made { pid: first.pid, start: first.start })
        }
        Order::Save { plan, output } => {
            let saving = Saving::prepare(&plan, &output)?;
            within(|settle| saving.write(settle))?;
            // The count came from the process that wrote.
            Ok(Answer::Works)
        }
        Order::Copy { from, to, name } => {
            within(|_| copying::copy_layer(&from, &to, &name, &mut order::Told::new(0)))?;
            Ok(Answer::Works)
        }
        Order::Probe { directory } => {
            within(|settle| root::try_out(&directory, &inotify, settle))?;
            Ok(Answer::Works)
        }
    }
}

/// Closes what the server had open for others, which a box would else hold for its life.
fn forget_inherited() -> io::Result<()> {
    // SAFETY: runs before anything of this process is opened; only the standard streams are kept.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

struct First {
    pid: u32,
    start: u64,
}

/// Both ends of a pipe that no program inherits.
struct Pipe {
    reader: File,
    writer: File,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Self { reader: reader.into(), writer: writer.into() })
    }
}

/// Waits in the first process until it is in its groups, and gives it a view of groups that
/// begins there.
pub(super) type Settle<'a> = dyn FnMut() -> anyhow::Result<()> + 'a;

/// The first process of new namespaces, which waits for its keeper's word.
struct Born {
    first: First,
    words: File,
    said: File,
}

/// Makes the namespaces and their first process, whose `life` begins by waiting for a word.
fn bear(life: impl FnOnce(&mut File) -> anyhow::Result<()>) -> anyhow::Result<Born> {
    let (mut from_founder, mut to_founder) = (Pipe::new()?, Pipe::new()?);
    let (mut from_first, mut to_first) = (Pipe::new()?, Pipe::new()?);
    let Some(founder) = fork()? else {
        drop((from_founder.reader, to_founder.writer, from_first.reader, to_first.writer));
        match leave_host(&mut from_founder.writer, &mut to_founder.reader) {
            Ok(Some(first)) => report_first(&mut from_founder.writer, first),
            Ok(None) => {
                // The keeper waits for the founder's pipe to close.
                drop((from_founder.writer, to_founder.reader));
                report(&mut from_first.writer, life(&mut to_first.reader))
            }
            Err(error) => report(&mut from_founder.writer, Err(error)),
        }
    };
    drop((from_founder.writer, to_founder.reader, from_first.writer, to_first.reader));
    let result = attend(founder, &mut from_founder.reader, &mut to_founder.writer);
    let _ = rustix::process::waitpid(Some(founder), WaitOptions::empty());
    let pid = result?;
    let start = process::start_time(pid).context("the box's first process ended at once")?;
    let first = First { pid, start };
    Ok(Born { first, words: to_first.writer, said: from_first.reader })
}

impl Born {
    /// Gives the word to begin, with what is `told`, and waits until the process is what it was to
    /// become. Meanwhile `place` puts it where it is to be: the kernel takes its time for that.
    fn begin(
        mut self,
        told: &[u8],
        place: impl FnOnce(&First) -> anyhow::Result<()>,
    ) -> anyhow::Result<First> {
        let begun = [&DONE[..], &(told.len() as u64).to_ne_bytes()[..], told].concat();
        // One that has ended cannot be told; it says why below.
        let begun = self.words.write_all(&begun);
        // Its number may be another process's by now, which must not be put anywhere.
        let placed = if begun.is_ok() { place(&self.first) } else { Ok(()) };
        let told = placed.is_ok().then(|| self.words.write_all(&DONE));
        // Without the second word it ends by itself.
        drop(self.words);
        let mut failure = Vec::new();
        self.said.read_to_end(&mut failure)?;
        if failure.is_empty() {
            placed?;
            begun?;
            told.transpose()?;
            return Ok(self.first);
        }
        let failure = serde_json::from_slice::<Failure>(&failure);
        // Its own failure may only be that it was not placed.
        placed?;
        Err(failure.context("the box's first process failed")?.into())
    }
}

/// Waits for the word to begin, and takes what is told with it. Only then has the process mounts of
/// its own: a copy of the host's would keep what is unmounted there meanwhile.
fn wait_to_begin(words: &mut File) -> anyhow::Result<Vec<u8>> {
    wait_for_word(words)?;
    let mut length = [0; 8];
    words.read_exact(&mut length)?;
    let mut told = vec![0; usize::try_from(u64::from_ne_bytes(length))?];
    words.read_exact(&mut told).context("the engine's child ended early")?;
    // SAFETY: this process has one thread, and the flag parts it from no memory.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .map_err(|error| kernel::explain("cannot make a namespace for mounts", &error.into()))?;
    Ok(told)
}

/// Waits until this process is in its groups, and gives it a view of groups that begins there.
fn settle(words: &mut File) -> anyhow::Result<()> {
    wait_for_word(words)?;
    // SAFETY: this process has one thread, and the flag parts it from no memory.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) }
        .context("cannot make a namespace for control groups")
}

/// Runs `work` in the first process of new namespaces, which ends with it.
fn within(work: impl FnOnce(&mut Settle<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let life = |words: &mut File| {
        wait_to_begin(words)?;
        work(&mut || settle(words))
    };
    bear(life)?.begin(&[], |_| Ok(())).map(drop)
}

/// What a box's first process is told before it begins.
#[derive(Serialize, Deserialize)]
struct Errand<'a> {
    plan: Cow<'a, BoxPlan>,
    home_in_box: Cow<'a, Path>,
    inotify: [u64; 2],
}

/// The life of a box's first process until it is the shim.
fn become_box(words: &mut File) -> anyhow::Result<()> {
    let told = wait_to_begin(words)?;
    let Errand { plan, home_in_box, inotify } = serde_json::from_slice(&told)?;
    let layer = layer::prepare(&plan)?;
    let inotify = kernel::share_of(inotify);
    root::build(&plan, &home_in_box, &layer, &inotify, &mut || settle(words))?;
    become_shim()
}

/// Has a first process that waits become the box of a plan.
fn isolate(
    born: Born,
    plan: &BoxPlan,
    home_in_box: &Path,
    group: &Group,
) -> anyhow::Result<Answer> {
    if process::start_time(born.first.pid) != Some(born.first.start) {
        return Ok(Answer::Gone);
    }
    let readying = make_ready(group)?;
    let inotify = kernel::inotify_share().map(|(_, value)| value);
    let told = serde_json::to_vec(&Errand {
        plan: Cow::Borrowed(plan),
        home_in_box: Cow::Borrowed(home_in_box),
        inotify,
    })?;
    // The mark may be that of a box that runs there.
    let marked = require_listener()
        .and_then(|()| layer::require_free(plan))
        .and_then(|()| Mark::make(plan, group, born.first.pid, born.first.start));
    // Without a word the process ends.
    let first = marked.and_then(|()| born.begin(&told, |first| group.place(first.pid)));
    let _ = rustix::process::waitpid(Some(readying), WaitOptions::empty());
    let first = first?;
    Ok(Answer::Made { pid: first.pid, start: first.start })
}

/// Refuses to make a box for a server that has gone: the next one would not know to wait for it.
fn require_listener() -> anyhow::Result<()> {
    let output = rustix::stdio::stdout();
    let mut polled = [PollFd::new(&output, PollFlags::empty())];
    rustix::event::poll(&mut polled, Some(&Timespec::default()))?;
    anyhow::ensure!(polled[0].revents().is_empty(), "whoever wanted the box has gone");
    Ok(())
}

/// Makes a first process before anybody needs it, and waits for what it is to become.
fn wait_for_order() -> anyhow::Result<Answer> {
    let born = bear(become_box)?;
    Answer::Works.tell()?;
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text).context("cannot read the order")?;
    if text.is_empty() {
        // Whoever wanted it has gone, and with this process it goes too.
        return Ok(Answer::Works);
    }
    let order = serde_json::from_slice(&text).context("the order is malformed")?;
    let Order::Isolate { plan, home_in_box, group } = order else {
        anyhow::bail!("a box in waiting can only become a box");
    };
    isolate(born, &plan, &home_in_box, &group)
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
fn leave_host(to: &mut File, from: &mut File) -> anyhow::Result<Option<Pid>> {
    // SAFETY: this process has one thread, and no flag parts it from memory it shares.
    unsafe { rustix::thread::unshare_unsafe(NAMESPACES) }
        .map_err(|error| kernel::explain("cannot make namespaces", &error.into()))?;
    to.write_all(&DONE)?;
    wait_for_word(from)?;
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    Ok(fork()?)
}

fn report_first(to: &mut File, first: Pid) -> ! {
    let pid = (first.as_raw_nonzero().get() as u32).to_ne_bytes();
    let told = to.write_all(&pid).map_err(anyhow::Error::from);
    report(to, told)
}

fn wait_for_word(from: &mut File) -> anyhow::Result<()> {
    let mut word = [0];
    from.read_exact(&mut word).context("the engine's child ended early")
}

/// Ends a forked process, telling what went wrong if anything did.
fn report(to: &mut File, result: anyhow::Result<()>) -> ! {
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

fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: this program was re-executed for this and has one thread.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// Starts a process that has the groups made ready while the box is built.
fn make_ready(group: &Group) -> io::Result<Pid> {
    if let Some(pid) = fork()? {
        return Ok(pid);
    }
    group.make_ready();
    // SAFETY: leaves at once, without the exit handlers of the process it was forked from.
    unsafe { libc::_exit(0) }
}

/// Replaces the first process by the shim, whose place in the box is `root::SHIM`.
fn become_shim() -> anyhow::Result<()> {
    let mut shim = Command::new(root::SHIM);
    shim.arg("shim")
        .arg(Path::new(RUN_DIRECTORY).join(making::CONFIG))
        .env_clear()
        .current_dir("/");
    Err(shim.exec()).context("cannot start the shim")
}

/// Starts the shim without isolation, in a session of its own, with no parent to wait for it.
fn detach(plan: &BoxPlan) -> anyhow::Result<First> {
    require_listener()?;
    let log = layer::open_log(&plan.directory)?;
    let (mut pid_pipe, mut error_pipe) = (Pipe::new()?, Pipe::new()?);
    let config = plan.run.join(making::CONFIG);
    if let Some(middle) = fork()? {
        drop((pid_pipe.writer, error_pipe.writer));
        rustix::process::waitpid(Some(middle), WaitOptions::empty())?;
        let mut pid = [0; 4];
        pid_pipe.reader.read_exact(&mut pid).context("cannot start a process")?;
        let pid = u32::from_ne_bytes(pid);
        let start = process::start_time(pid).context("the shim ended at once")?;
        Mark::make(plan, &Group::default(), pid, start)?;
        let mut failure = Vec::new();
        error_pipe.reader.read_to_end(&mut failure)?;
        if failure.is_empty() {
            return Ok(First { pid, start });
        }
        return Err(serde_json::from_slice::<Failure>(&failure)?.into());
    }
    let started = start_detached(&plan.shim, &config, &log, &mut pid_pipe.writer);
    report(&mut error_pipe.writer, started)
}

fn start_detached(shim: &Path, config: &Path, log: &OwnedFd, to: &mut File) -> anyhow::Result<()> {
    rustix::process::setsid()?;
    if let Some(pid) = fork()? {
        return Ok(to.write_all(&(pid.as_raw_nonzero().get() as u32).to_ne_bytes())?);
    }
    layer::use_as_output(log)?;
    let arguments = [PathBuf::from("shim"), config.to_owned()];
    Err(Command::new(shim).args(arguments).env_clear().current_dir("/").exec())
        .context("cannot start the shim")
}
