//! One PTY and the program in it: input first, output into the ring, never waiting for a reader.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, watch};

use super::bell::Bell;
use super::foreground::Foreground;
use super::hooks::Heard;
use super::ring::{CAPACITY, Ring};
use super::wire::{INPUT_KEPT, INPUT_STEP, SessionReport};
use crate::model::id::SessionId;
use crate::model::screen::Size;

/// Output read from a PTY before other work gets its turn, in bytes.
const TURN: usize = 64 << 10;

/// What one read from a PTY returns at most. The kernel's own buffer is a quarter of it, but is
/// filled again while it is read.
const READ: usize = 16 << 10;

/// A read that brings less, which is nearly the kernel's buffer, has caught up with the program.
/// Reading on, or waiting for more, would wake this process for each line as it is printed.
const CAUGHT_UP: usize = 4_000;

/// Output in one turn from which on a program that was caught up with is left alone for `REST`:
/// more than the echo of a key, less than a screen painted anew.
const MUCH: usize = 1 << 10;

/// How long the kernel may collect what is printed next: it keeps 64 KiB before a program waits.
const REST: Duration = Duration::from_millis(1);

/// How long after a key its program's output is passed on without any rest.
const ATTENTION: Duration = Duration::from_millis(100);

/// How long output may still come after the program's end while something else holds its terminal.
const LAST_OUTPUT: Duration = Duration::from_millis(200);

/// How often a terminal that nobody holds open is looked at again while its program lives.
const REOPEN: Duration = Duration::from_millis(100);

/// How far a reader may be behind before the program waits for it: more than is gathered for it,
/// and less than the ring by more than a turn.
const BEHIND: u64 = CAPACITY as u64 / 4 * 3;

/// How long the program waits for a reader that takes nothing. One that is stuck or gone does not
/// hold it up again.
const PATIENCE: Duration = Duration::from_millis(500);

/// Bytes of a command that are looked at to name it, and words that are told.
const COMMAND: u64 = 4 << 10;
const WORDS: usize = 8;

pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) pid: Pid,
    pub(super) ring: RefCell<Ring>,
    command: Vec<String>,
    /// Registered for writing; of output the bell tells.
    master: AsyncFd<OwnedFd>,
    bell: Bell,
    size: Cell<Size>,
    input: RefCell<VecDeque<u8>>,
    /// Bytes of input that were kept in all, and those that the program took or nobody will.
    received: Cell<u64>,
    taken: Cell<u64>,
    input_arrived: Notify,
    /// Set by the reaper.
    exit_code: watch::Sender<Option<i32>>,
    /// Set when the program ended and its output is whole.
    ended: Cell<bool>,
    closed: Notify,
    /// How far output was sent to a peer, once there was one.
    delivered: Cell<Option<u64>>,
    delivery: Notify,
    /// Since when the program waits for a reader that takes nothing.
    waiting: Cell<Option<Instant>>,
    /// Until when its output is left to gather in the kernel.
    resting: Cell<Option<Instant>>,
    typed: Cell<Option<Instant>>,
    /// What its program says of itself.
    pub(super) heard: RefCell<Heard>,
    pub(super) foreground: Foreground,
}

/// A terminal before its program: the shim's side and the program's.
pub(super) struct Terminal {
    pub(super) master: OwnedFd,
    pub(super) slave: OwnedFd,
}

impl Terminal {
    pub(super) fn open(size: Size) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        // By descriptor, so that nothing mounted at /dev/pts can stand in for the terminal.
        let slave = match rustix::pty::ioctl_tiocgptpeer(&master, flags) {
            // Emulated kernels do not know the call.
            Err(Errno::NOTTY) => program_side(&master)?,
            opened => opened?,
        };
        rustix::termios::tcsetwinsize(&master, window(size))?;
        rustix::io::ioctl_fionbio(&master, true)?;
        Ok(Self { master, slave })
    }
}

/// The program's side of a terminal, by its name.
fn program_side(master: &OwnedFd) -> io::Result<OwnedFd> {
    use rustix::fs::{FileType, Mode, OFlags};
    let name = rustix::pty::ptsname(master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name, flags, Mode::empty())?;
    let found = FileType::from_raw_mode(rustix::fs::fstat(&slave)?.st_mode);
    if found == FileType::CharacterDevice && rustix::termios::isatty(&slave) {
        return Ok(slave);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "what stands in its place is no terminal"))
}

impl Session {
    pub(super) fn new(
        id: SessionId,
        pid: Pid,
        command: Vec<String>,
        master: OwnedFd,
        size: Size,
    ) -> io::Result<Self> {
        let bell = Bell::new(&master)?;
        // SAFETY: the descriptor is owned by the registration and closed only with it.
        let master = unsafe { AsyncFd::register_with_interest(master, Interest::WRITABLE) }?;
        Ok(Self {
            id,
            pid,
            ring: RefCell::default(),
            command,
            master,
            bell,
            size: Cell::new(size),
            input: RefCell::default(),
            received: Cell::new(0),
            taken: Cell::new(0),
            input_arrived: Notify::new(),
            exit_code: watch::Sender::new(None),
            ended: Cell::new(false),
            closed: Notify::new(),
            delivered: Cell::new(None),
            delivery: Notify::new(),
            waiting: Cell::new(None),
            resting: Cell::new(None),
            typed: Cell::new(None),
            heard: RefCell::default(),
            foreground: Foreground::default(),
        })
    }

    pub(super) fn report(&self) -> SessionReport {
        let ring = self.ring.borrow();
        SessionReport {
            session: self.id,
            command: self.command.clone(),
            size: self.size.get(),
            ring_start: ring.start(),
            ring_end: ring.end(),
            exited: self.ended(),
            delivered: Some(self.delivered.get().unwrap_or_default()),
            input_received: self.received.get(),
            input_taken: self.taken.get(),
            foreground: self.foreground(),
        }
    }

    /// The command of the process in front of the terminal, of its own words the first few.
    fn foreground(&self) -> Vec<String> {
        let leader = rustix::termios::tcgetpgrp(&self.master).ok();
        let Some(leader) = leader.filter(|_| self.ended().is_none()) else { return Vec::new() };
        let path = format!("/proc/{}/cmdline", leader.as_raw_nonzero());
        let mut bytes = Vec::new();
        let Ok(file) = std::fs::File::open(path) else { return Vec::new() };
        if file.take(COMMAND).read_to_end(&mut bytes).is_err() {
            return Vec::new();
        }
        // Where a program writes its own title, what is behind it is filled with zeros.
        let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        words.take(WORDS).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    /// Bytes of input that the program took in all.
    pub(super) fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// Takes note that output before `offset` is on its way to a peer.
    pub(super) fn deliver(&self, offset: u64) {
        self.delivered.set(self.delivered.get().max(Some(offset)));
        self.waiting.set(None);
        self.delivery.notify_one();
    }

    /// Waits for a reader that reads but falls behind, as a terminal does, so that it loses
    /// nothing.
    async fn wait_for_reader(&self) {
        while let Some(offset) = self.delivered.get()
            && self.ring.borrow().end().saturating_sub(offset) >= BEHIND
        {
            let since = self.waiting.get().unwrap_or_else(Instant::now);
            self.waiting.set(Some(since));
            let Some(rest) = PATIENCE.checked_sub(since.elapsed()) else { return };
            let _ = tokio::time::timeout(rest, self.delivery.notified()).await;
        }
    }

    /// The exit code, once the program ended and all its output is in the ring.
    pub(super) fn ended(&self) -> Option<i32> {
        if self.ended.get() { *self.exit_code.borrow() } else { None }
    }

    pub(super) fn reaped(&self, code: i32) {
        self.exit_code.send_replace(Some(code));
    }

    pub(super) fn input(&self, bytes: &[u8]) {
        let mut input = self.input.borrow_mut();
        let kept = bytes.len().min(INPUT_KEPT.saturating_sub(input.len()));
        input.extend(&bytes[..kept]);
        self.received.set(self.received.get() + kept as u64);
        self.typed.set(Some(Instant::now()));
        self.resting.set(None);
        self.foreground.stir();
        self.input_arrived.notify_one();
    }

    /// Whether output must not be gathered: somebody waits for what the program says to a key, or
    /// it was the last.
    pub(super) fn wants_hurry(&self) -> bool {
        self.ended().is_some() || self.has_attention()
    }

    fn has_attention(&self) -> bool {
        self.typed.get().is_some_and(|at| at.elapsed() < ATTENTION)
    }

    /// Sets the terminal's size. The same size again still signals the program, so that a client
    /// can ask for a repaint.
    pub(super) fn resize(&self, size: Size) {
        let size = size.clamped();
        if self.size.replace(size) == size {
            self.signal(Signal::WINCH);
        } else {
            self.ring.borrow_mut().resized();
            // Fails only for a terminal that is gone, which its reader finds out.
            let _ = rustix::termios::tcsetwinsize(&self.master, window(size));
        }
    }

    /// Signals the foreground process group, or the program itself while there is none.
    pub(super) fn signal(&self, signal: Signal) {
        let foreground = rustix::termios::tcgetpgrp(&self.master).ok();
        let group = foreground.filter(|group| group.as_raw_nonzero().get() > 0);
        if self.exit_code.borrow().is_none() || group.is_some_and(|group| group != self.pid) {
            // A group that ended meanwhile has nothing left to signal.
            let _ = rustix::process::kill_process_group(group.unwrap_or(self.pid), signal);
        }
    }

    /// Tells the program that its terminal goes away.
    pub(super) fn hang_up(&self) {
        self.signal(Signal::HUP);
        self.signal(Signal::CONT);
        if self.exit_code.borrow().is_none() {
            let _ = rustix::process::kill_process_group(self.pid, Signal::HUP);
            let _ = rustix::process::kill_process_group(self.pid, Signal::CONT);
        }
    }

    /// Hangs up and ends `pump`, which closes the terminal.
    pub(super) fn close(&self) {
        self.hang_up();
        self.closed.notify_one();
    }

    /// Moves bytes until the program ended and its output is whole, or the session is closed.
    pub(super) async fn pump(&self, touch: impl Fn()) {
        tokio::select! {
            () = self.closed.notified() => {}
            () = self.move_bytes(&touch) => {
                self.ended.set(true);
                touch();
            }
        }
        self.foreground.end();
    }

    /// Follows who has the terminal, until the program ended.
    pub(super) async fn watch_foreground(&self, touch: impl Fn()) {
        self.foreground.follow(&self.master, self.pid, touch).await;
    }

    async fn move_bytes(&self, touch: &impl Fn()) {
        let mut exit_code = self.exit_code.subscribe();
        let mut last_call = std::pin::pin!(async {
            let _ = exit_code.wait_for(Option::is_some).await;
            tokio::time::sleep(LAST_OUTPUT).await;
        });
        loop {
            tokio::select! {
                biased;
                stepped = self.write_input() => {
                    if stepped {
                        touch();
                    }
                }
                open = self.read_output() => {
                    touch();
                    self.foreground.stir();
                    if !open && self.exit_code.borrow().is_some() {
                        return;
                    }
                    if !open {
                        self.wait_for_exit_or(REOPEN).await;
                    }
                }
                () = &mut last_call => return,
            }
        }
    }

    async fn wait_for_exit_or(&self, delay: Duration) {
        let mut exit_code = self.exit_code.subscribe();
        let _ = tokio::time::timeout(delay, exit_code.wait_for(Option::is_some)).await;
    }

    /// Writes what input the terminal takes now; waits while there is none or it takes none.
    /// Whether so much is taken by now that it is to be told.
    async fn write_input(&self) -> bool {
        while self.input.borrow().is_empty() {
            self.input_arrived.notified().await;
        }
        let Ok(mut ready) = self.master.writable().await else { return false };
        let mut input = self.input.borrow_mut();
        let written = ready.try_io(|master| {
            let (chunk, _) = input.as_slices();
            Ok(rustix::io::write(master, chunk)?)
        });
        let count = match written {
            Ok(Ok(count)) => count,
            // Nobody has the terminal open any more; nobody will read this.
            Ok(Err(_)) => input.len(),
            Err(_would_block) => 0,
        };
        drop(input.drain(..count));
        let before = self.taken.get();
        self.taken.set(before + count as u64);
        input_steps(before) != input_steps(self.taken.get())
    }

    /// Takes output for one turn; `false` when no program has the terminal open.
    async fn read_output(&self) -> bool {
        self.wait_for_reader().await;
        if let Some(until) = self.resting.get() {
            tokio::time::sleep_until(until.into()).await;
            self.resting.set(None);
        }
        loop {
            if self.bell.rings().await.is_err() {
                return false;
            }
            match self.read_turn() {
                Ok(0) => {}
                Ok(_) => return true,
                Err(_closed) => return false,
            }
        }
    }

    /// Reads until there is no more for now, which the bell will tell of, or until others shall
    /// have their turn. How much was read; an error when no program has the terminal open.
    fn read_turn(&self) -> io::Result<usize> {
        let mut ring = self.ring.borrow_mut();
        let mut buffer = [0; READ];
        let mut taken = 0;
        while taken < TURN {
            match rustix::io::read(&self.master, &mut buffer[..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    ring.push(&buffer[..count]);
                    taken += count;
                    if count < CAUGHT_UP && taken >= MUCH && !self.has_attention() {
                        self.resting.set(Some(Instant::now() + REST));
                        break;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.bell.listen(&self.master)?;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(taken)
    }
}

/// The steps in which it is told how much input was taken.
pub(super) fn input_steps(taken: u64) -> u64 {
    taken / INPUT_STEP as u64
}

fn window(size: Size) -> Winsize {
    let size = size.clamped();
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_s_side_is_found_by_name_as_well() {
        let terminal = Terminal::open(Size { columns: 80, rows: 24 }).expect("opened");
        let named = program_side(&terminal.master).expect("found");
        let device = |file: &OwnedFd| rustix::fs::fstat(file).expect("looked at").st_rdev;
        assert_eq!(device(&named), device(&terminal.slave));
    }
}
