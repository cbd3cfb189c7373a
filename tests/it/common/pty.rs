//! A terminal to run the binary in, read by an emulator that is not the product's.

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, SlavePty, native_pty_system};
use vt100::{Parser, Screen};

use super::home::TestHome;
use super::talk::PATIENCE;

/// The binary in a terminal. Dropped, it is killed.
pub struct Pty {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    /// Held so that the terminal's settings can be read after the program's end.
    _slave: Box<dyn SlavePty + Send>,
    writer: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    parser: Parser,
    /// Everything the program wrote.
    pub raw: Vec<u8>,
    /// The terminal's settings before the program ran.
    settings: String,
}

impl Pty {
    /// Opens the binary in the repository of a home.
    pub fn open(test: &TestHome, arguments: &[&str], columns: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a terminal");
        let settings = settings(&*pair.master);
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_agentdeck"));
        command.args(arguments);
        command.cwd(&test.repository);
        command.env_clear();
        for (name, value) in test.variables() {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).expect("started");
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let writer = pair.master.take_writer().expect("a writer");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 16 << 10];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let nonzero = |length| NonZero::new(length).expect("a size");
        let parser = Parser::new(nonzero(rows), nonzero(columns), 0);
        Self {
            child,
            master: pair.master,
            _slave: pair.slave,
            writer,
            output,
            parser,
            raw: Vec::new(),
            settings,
        }
    }

    pub fn send(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).expect("written");
    }

    /// Reads until the screen is as wanted, and returns its text.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&Screen) -> bool) -> String {
        let start = Instant::now();
        while !wanted(self.parser.screen()) {
            let left = PATIENCE.saturating_sub(start.elapsed());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.feed(&bytes),
                Err(RecvTimeoutError::Timeout) => panic!("no {what} on\n{}", self.text()),
                Err(RecvTimeoutError::Disconnected) => panic!("ended without {what}"),
            }
        }
        self.text()
    }

    pub fn wait_for_text(&mut self, text: &str) -> String {
        self.wait_for(text, |screen| screen.contents().contains(text))
    }

    /// Waits for the program's end and returns its exit code, all of its output read.
    pub fn wait_for_end(&mut self) -> u32 {
        let start = Instant::now();
        loop {
            let status = self.child.try_wait().expect("waited");
            // A moment of silence after the end: what was written is in the terminal's queue.
            let pause = std::time::Duration::from_millis(50);
            match self.output.recv_timeout(pause) {
                Ok(bytes) => self.feed(&bytes),
                Err(_) => {
                    if let Some(status) = status {
                        return status.exit_code();
                    }
                }
            }
            assert!(start.elapsed() < PATIENCE, "still there:\n{}", self.text());
        }
    }

    /// Takes in what was written meanwhile, until nothing comes for a moment.
    pub fn settle(&mut self) {
        while let Ok(bytes) = self.output.recv_timeout(std::time::Duration::from_millis(100)) {
            self.feed(&bytes);
        }
    }

    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.child.process_id().expect("a process id") as i32;
        let pid = rustix::process::Pid::from_raw(pid).expect("not zero");
        rustix::process::kill_process(pid, signal).expect("sent");
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        self.master.resize(size).expect("resized");
        let nonzero = |length| NonZero::new(length).expect("a size");
        self.parser.screen_mut().set_size(nonzero(rows), nonzero(columns));
    }

    /// Takes in what is written in a while.
    pub fn settle_for(&mut self, time: std::time::Duration) {
        let start = Instant::now();
        while let Ok(bytes) = self.output.recv_timeout(time.saturating_sub(start.elapsed())) {
            self.feed(&bytes);
        }
    }

    pub fn text(&self) -> String {
        self.parser.screen().contents()
    }

    /// Asserts that the terminal is as the program found it.
    pub fn assert_restored(&self) {
        assert_eq!(settings(&*self.master), self.settings);
        let screen = self.parser.screen();
        assert!(!screen.alternate_screen(), "the alternate screen is left");
        assert!(!screen.hide_cursor(), "the cursor is shown");
        assert!(!screen.bracketed_paste(), "bracketed paste is off");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        for (on, off) in [("\x1b[?1004h", "\x1b[?1004l"), ("\x1b[>1u", "\x1b[<1u")] {
            let raw = String::from_utf8_lossy(&self.raw);
            assert!(raw.rfind(off) > raw.rfind(on), "{off:?} comes after {on:?}");
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.parser.process(bytes);
        self.raw.extend_from_slice(bytes);
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The terminal driver's settings, as text to compare.
fn settings(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios().expect("settings"))
}
