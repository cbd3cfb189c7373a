//! The shim's loop: takes connections, starts sessions, reaps every child, and ends the box.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write as _};
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use super::config::ShimConfig;
use super::ear::{self, Ear};
use super::hooks::Message;
use super::limits::Expendability;
use super::session::{Session, Terminal};
use super::spawn::{self, StartError, Streams};
use super::wire::{Program, SOCKET};
use super::{connection, stopping, turns};
use crate::model::id::SessionId;
use crate::model::screen::Size;

/// What programs get to end by themselves when the box is ended by a signal from outside.
const SIGNAL_GRACE: Duration = Duration::from_secs(5);

/// Rest after a failed accept, which else would spin while descriptors are short.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// What all connections share. Everything runs on one thread.
pub(super) struct Shim {
    pub(super) config: ShimConfig,
    pub(super) expendability: Expendability,
    pub(super) sessions: RefCell<BTreeMap<SessionId, Rc<Session>>>,
    /// Commands of `Exec` that are waited for.
    commands: RefCell<HashMap<Pid, oneshot::Sender<i32>>>,
    /// Raised whenever a session has something new to tell.
    changes: watch::Sender<u64>,
    stop: mpsc::Sender<Duration>,
    /// `None` where programs cannot be heard.
    ear: Option<Ear>,
    /// What programs said that was no message, or of no session.
    pub(super) refused: Cell<u64>,
}

/// Makes the process fit to be the first of a box: not inspectable by what runs in it, adopting
/// orphans, and passing on no descriptor that it was started with.
pub(super) fn prepare_process() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    turns::of_shim();
    if !is_first() {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    }
    keep_descriptors()
}

/// Has every descriptor but the standard streams end where another program begins.
fn keep_descriptors() -> io::Result<()> {
    // SAFETY: only marks descriptors; none is closed.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    // Kernels before 5.11, and emulated ones, know the call without the flag or not at all.
    if result == 0 { Ok(()) } else { keep_each_descriptor() }
}

fn keep_each_descriptor() -> io::Result<()> {
    let names = std::fs::read_dir("/proc/self/fd")?.map(|entry| Ok(entry?.file_name()));
    for name in names.collect::<io::Result<Vec<_>>>()? {
        let number = name.to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(number) = number.filter(|&number| number > 2) else { continue };
        // SAFETY: only marks a descriptor; it is not closed.
        let result = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        let error = io::Error::last_os_error();
        // The listing's own descriptor has gone by now.
        if result != 0 && error.raw_os_error() != Some(libc::EBADF) {
            return Err(error);
        }
    }
    Ok(())
}

/// Whether this process is the first of a process namespace.
pub(super) fn is_first() -> bool {
    rustix::process::getpid().is_init()
}

/// Listens in the run directory. The socket belongs to the directory's owner, who is the user
/// also where the box's root is somebody else.
pub(super) fn bind(config: &ShimConfig) -> io::Result<StdListener> {
    use std::os::unix::fs::MetadataExt;
    let directory = Path::new(&config.run_directory);
    let listener = crate::socket::bind(directory, SOCKET)?;
    let owner = std::fs::metadata(directory)?;
    if owner.uid() != rustix::process::geteuid().as_raw() {
        let socket = directory.join(SOCKET);
        std::os::unix::fs::lchown(socket, Some(owner.uid()), Some(owner.gid()))?;
    }
    listener.set_nonblocking(true)?;
    if config.drop_privileges && crate::socket::hides_peers()? {
        require_closed(directory, config.agent_user)?;
    }
    if is_first() {
        seal(directory);
    }
    Ok(listener)
}

/// Makes the run directory read-only inside the box, so that no program there takes the socket's
/// place. Where this process may not, as in a container, a peer that looks at who listens is what
/// is left.
fn seal(directory: &Path) {
    use rustix::mount::MountFlags;
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    let _ = rustix::mount::mount_remount(directory, flags, "");
}

/// Refuses a run directory that the agent may change, or a socket it may connect to. Where the
/// kernel does not tell peers apart, these are all that keeps it from the shim.
fn require_closed(directory: &Path, agent: u32) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let socket = directory.join(SOCKET);
    let open = |path: &Path, others: u32| -> io::Result<bool> {
        let found = std::fs::symlink_metadata(path)?;
        Ok(found.uid() == agent || found.mode() & others != 0)
    };
    if open(directory, 0o022)? || open(&socket, 0o077)? {
        let message = "the box's kernel does not say who connects, and the socket is open to the \
                       agent: such a box needs a server that is root";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(())
}

/// Serves until a peer or a signal ends the box.
pub(super) async fn serve(
    config: ShimConfig,
    expendability: Expendability,
    listener: StdListener,
) -> anyhow::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let mut child_ended = signal(SignalKind::child())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let (stop, mut stopped) = mpsc::channel(1);
    let (ear, heard) = match Ear::open(&config) {
        Ok((ear, heard)) => (Some(ear), Some(heard)),
        // Programs go on without, and their states are seen as those of any other.
        Err(error) => {
            let _ = writeln!(io::stderr(), "agentdeck shim: programs are not heard: {error}");
            (None, None)
        }
    };
    let shim = Rc::new(Shim {
        config,
        expendability,
        sessions: RefCell::default(),
        commands: RefCell::default(),
        changes: watch::Sender::new(0),
        stop,
        ear,
        refused: Cell::new(0),
    });
    if let Some(heard) = heard {
        tokio::task::spawn_local(ear::listen(Rc::clone(&shim), heard));
    }
    let grace = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => shim.welcome(stream),
                Err(_) => tokio::time::sleep(ACCEPT_REST).await,
            },
            _ = child_ended.recv() => shim.reap(),
            _ = terminated.recv() => break SIGNAL_GRACE,
            Some(grace) = stopped.recv() => break grace,
        }
    };
    stopping::end_everything(&shim, grace, &mut child_ended).await;
    Ok(())
}

impl Shim {
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn touch(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn session(&self, id: SessionId) -> Option<Rc<Session>> {
        self.sessions.borrow().get(&id).cloned()
    }

    /// Ends the box after `grace`; a second wish is covered by the first.
    pub(super) fn stop(&self, grace: Duration) {
        let _ = self.stop.try_send(grace);
    }

    fn welcome(self: &Rc<Self>, stream: UnixStream) {
        if let Some(stream) = self.admit(stream) {
            tokio::task::spawn_local(connection::serve(Rc::clone(self), stream));
        }
    }

    /// Lets only peers from outside the box pass. Inside it every peer has a process id that this
    /// namespace knows; the kernel shows a foreign one as 0. One that hides peers shows this very
    /// process, which never connects to itself; `bind` saw to it that the agent cannot connect
    /// there. Unisolated, the user is the boundary.
    fn admit(&self, stream: UnixStream) -> Option<UnixStream> {
        let stream = stream.into_std().ok()?;
        let (process, user) = crate::socket::peer(&stream).ok()?;
        let welcome = if self.config.drop_privileges {
            process == 0 || process == rustix::process::getpid().as_raw_nonzero().get()
        } else {
            user == rustix::process::geteuid().as_raw()
        };
        if welcome { UnixStream::from_std(stream).ok() } else { None }
    }

    /// Opens a PTY and starts `program` in it.
    pub(super) fn start(
        self: &Rc<Self>,
        id: SessionId,
        program: &Program,
        size: Size,
    ) -> Result<(), StartError> {
        if self.sessions.borrow().contains_key(&id) {
            return Err(format!("session {id} exists already").into());
        }
        let size = size.clamped();
        let no_terminal = |error| format!("cannot open a terminal: {error}");
        let terminal = Terminal::open(size).map_err(no_terminal)?;
        let streams = Streams::Terminal(terminal.slave);
        let told = self.ear.as_ref().map(|ear| ear.told(id, program));
        let started = told.as_ref().unwrap_or(program);
        let child = spawn::spawn(&self.config, &self.expendability, started, streams)?;
        let pid = spawn::pid_of(&child);
        let command = program.command.clone();
        let session = Session::new(id, pid, command, terminal.master, size).map_err(no_terminal)?;
        let session = Rc::new(session);
        self.sessions.borrow_mut().insert(id, Rc::clone(&session));
        let (shim, followed) = (Rc::clone(self), Rc::clone(&session));
        tokio::task::spawn_local(async move { followed.watch_foreground(|| shim.touch()).await });
        let shim = Rc::clone(self);
        tokio::task::spawn_local(async move { session.pump(|| shim.touch()).await });
        Ok(())
    }

    /// Hangs a session up and forgets it.
    pub(super) fn close(&self, id: SessionId) {
        if let Some(session) = self.sessions.borrow_mut().remove(&id) {
            session.close();
        }
    }

    /// Takes what a program said at the time `now`; what is no message is counted.
    pub(super) fn hear(&self, message: Option<Message>, now: u64) {
        let session = message.as_ref().and_then(|message| self.session(message.session));
        let Some((message, session)) = message.zip(session) else {
            self.refused.set(self.refused.get() + 1);
            return self.touch();
        };
        if session.heard.borrow_mut().take(message, now) {
            self.touch();
        }
    }

    /// Registers a command that was just started, for its exit code.
    pub(super) fn await_command(&self, pid: Pid) -> oneshot::Receiver<i32> {
        let (sender, receiver) = oneshot::channel();
        self.commands.borrow_mut().insert(pid, sender);
        receiver
    }

    /// Collects every child that ended: sessions, commands, and orphans of either.
    pub(super) fn reap(&self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let Some(code) = exit_code(status) else { continue };
            if let Some(command) = self.commands.borrow_mut().remove(&pid) {
                // The connection may have gone; the command was killed then.
                let _ = command.send(code);
            } else if let Some(session) =
                self.sessions.borrow().values().find(|session| session.pid == pid)
            {
                session.reaped(code);
            }
        }
    }
}

/// As a shell counts: 128 and the number for a signal. `None` for a child that only stopped.
fn exit_code(status: WaitStatus) -> Option<i32> {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))
}

/// A signal by its number, when there is one.
pub(super) fn signal_of(number: i32) -> Option<Signal> {
    Signal::from_named_raw(number)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn flags(descriptor: impl std::os::fd::AsFd) -> rustix::io::FdFlags {
        rustix::io::fcntl_getfd(descriptor).expect("flags")
    }

    #[test]
    fn descriptors_are_kept_one_by_one_as_well() {
        let file = std::fs::File::open("/dev/null").expect("opened");
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).expect("open to programs");
        assert!(flags(&file).is_empty());
        keep_each_descriptor().expect("kept");
        assert!(flags(&file).contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn a_socket_that_the_agent_may_use_is_refused_where_peers_are_hidden() {
        let root = tempfile::tempdir().expect("a directory");
        let _listener = crate::socket::bind(root.path(), SOCKET).expect("bound");
        let own = rustix::process::geteuid().as_raw();
        let another = own + 1;
        assert!(require_closed(root.path(), another).is_ok());
        let error = require_closed(root.path(), own).expect_err("the owner is the agent");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        for (path, mode) in [(root.path().join(SOCKET), 0o606), (root.path().into(), 0o777)] {
            let before = std::fs::metadata(&path).expect("found").permissions();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("changed");
            assert!(require_closed(root.path(), another).is_err(), "{}", path.display());
            std::fs::set_permissions(&path, before).expect("changed");
        }
    }
}
