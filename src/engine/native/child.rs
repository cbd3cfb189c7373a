//! The re-executed child that makes a box.
//!
//! It is the *keeper* of what it makes: it reads an order, has a first process born, puts it where
//! it is to be, and answers the engine. All of a box may be there before anybody knows which box it
//! will be, or the box be put together but for its name.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, WaitOptions};
use serde::{Deserialize, Serialize};

use super::birth::{
    Bond, Born, First, Pipe, bear, fork, report, settle, wait_to_be_told, wait_to_begin, within,
};
use super::cgroup::Group;
use super::mark::Mark;
use super::order::{self, Answer, Order};
use super::saving::Saving;
use super::{copying, kernel, layer, making, process, root};
use crate::engine::{BoxPlan, RUN_DIRECTORY};
use crate::model::failure::Failure;

/// Has a shim wait for its box's name first.
pub const AHEAD: &str = "ahead";

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
        Order::Build { .. } => anyhow::bail!("only a box in waiting is put together ahead"),
        Order::Isolate { plan, home_in_box, group } => {
            isolate(bear(Bond::Free, become_box)?, &plan, &home_in_box, &group)
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

/// What a box's first process is told before it begins.
#[derive(Serialize, Deserialize)]
struct Errand<'a> {
    plan: Cow<'a, BoxPlan>,
    home_in_box: Cow<'a, Path>,
    inotify: [u64; 2],
    /// Nobody has asked for it yet: its name comes later.
    ahead: bool,
}

/// The life of a box's first process until it is the shim.
fn become_box(words: &mut File) -> anyhow::Result<()> {
    let told = wait_to_begin(words)?;
    let Errand { plan, home_in_box, inotify, ahead } = serde_json::from_slice(&told)?;
    let layer = layer::prepare(&plan)?;
    let inotify = kernel::share_of(inotify);
    root::build(&plan, &home_in_box, &layer, &inotify, &mut || settle(words))?;
    if ahead {
        // It waits there for its name: starting takes the shim longer than all that is left then.
        rustix::stdio::dup2_stdin(&*words)?;
        return become_shim(&[AHEAD]);
    }
    become_shim(&[])
}

/// Waits, in the shim of a box that was made ahead, for the box's name. Fails where nobody asks for
/// it any more.
pub fn take_name() -> anyhow::Result<()> {
    let mut words = File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 0)?);
    let nothing = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&nothing)?;
    let name = wait_to_be_told(&mut words)?;
    root::take_name(std::str::from_utf8(&name)?)
}

/// What a first process is told of the box that it becomes.
fn errand(plan: &BoxPlan, home_in_box: &Path, ahead: bool) -> anyhow::Result<Vec<u8>> {
    let inotify = kernel::inotify_share().map(|(_, value)| value);
    let (plan, home_in_box) = (Cow::Borrowed(plan), Cow::Borrowed(home_in_box));
    Ok(serde_json::to_vec(&Errand { plan, home_in_box, inotify, ahead })?)
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
    let told = errand(plan, home_in_box, false)?;
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

/// Has a first process that waits put the box of a plan together, and then wait to be asked for.
fn build_ahead(
    mut born: Born,
    plan: &BoxPlan,
    home_in_box: &Path,
    group: &Group,
) -> anyhow::Result<Answer> {
    let built = errand(plan, home_in_box, true).and_then(|told| born.build(&told, group));
    let order = built.and_then(|()| Ok(Answer::Works.tell()?)).and_then(|()| read_order());
    match order {
        Ok(Some(Order::Isolate { plan, .. })) => {
            let First { pid, start } = born.first;
            anyhow::ensure!(process::start_time(pid) == Some(start), "it has ended meanwhile");
            // Without the word the process ends.
            require_listener().and_then(|()| Mark::make(&plan, group, pid, start))?;
            let First { pid, start } = born.name(plan.name.as_str())?;
            Ok(Answer::Made { pid, start })
        }
        other => {
            born.end();
            group.remove_blocking();
            other.map(|_| Answer::Works)
        }
    }
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
    let born = bear(Bond::Free, become_box)?;
    Answer::Works.tell()?;
    match read_order()? {
        // Whoever wanted it has gone, and with this process it goes too.
        None => Ok(Answer::Works),
        Some(Order::Isolate { plan, home_in_box, group }) => {
            isolate(born, &plan, &home_in_box, &group)
        }
        Some(Order::Build { plan, home_in_box, group }) => {
            build_ahead(born, &plan, &home_in_box, &group)
        }
        Some(_) => anyhow::bail!("a box in waiting can only become a box"),
    }
}

/// The next order; `None` when nobody is there to give one.
fn read_order() -> anyhow::Result<Option<Order>> {
    let mut text = String::new();
    io::stdin().read_line(&mut text).context("cannot read the order")?;
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&text).context("the order is malformed")
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
fn become_shim(words: &[&str]) -> anyhow::Result<()> {
    let mut shim = Command::new(root::SHIM);
    shim.arg("shim")
        .arg(Path::new(RUN_DIRECTORY).join(making::CONFIG))
        .args(words)
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
