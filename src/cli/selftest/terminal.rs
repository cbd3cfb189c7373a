//! What an agent prints, on its way to the user's terminal.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::sync::mpsc;

use super::attack::{Attack, ORDER, PRINT_KEY, TOKEN, VERB};
use super::cast::Cast;
use super::stage::Stage;
use super::verdict::{Control, Shown};
use crate::config::home;
use crate::model::failure::{Failure, FailureKind};

/// How long a client may take to open and to show a screen.
const DEADLINE: Duration = Duration::from_secs(20);
/// Between two tries to be heard: the keyboard is taken a moment after the first picture.
const AGAIN: Duration = Duration::from_millis(500);
/// Output read ahead, in chunks of `CHUNK` bytes.
const MAX_CHUNKS: usize = 64;
const CHUNK: usize = 16 << 10;

/// Private modes that a client draws with: the cursor, and whole frames.
const DRAWING: [&str; 2] = ["?25", "?2026"];

/// Writes to the clipboard, titles, pictures, questions that a terminal answers as if typed, and
/// modes that would outlive the agent.
const HOSTILE: &str = concat!(
    "\x1b]52;c;YWdlbnRkZWNr\x07",
    "\x1b]52;c;?\x07",
    "\x1b]0;agentdeck-canary\x07",
    "\x1b]2;agentdeck-canary\x1b\\",
    "\x1b[21t",
    "\x1b[c\x1b[>c\x1b[=c\x1b[5n\x1b[6n\x1b[?6n\x1b[>q",
    "\x1bP$qm\x1b\\\x1bP+q544e\x1b\\",
    "\x1b]4;1;?\x07\x1b]10;?\x07\x1b]11;?\x07",
    "\x1b]8;;http://canary.invalid\x07link\x1b]8;;\x07",
    "\x1b]9;canary\x07\x1b]777;notify;canary;canary\x07\x1b]1337;File=:QQ==\x07",
    "\x1b_Gi=1,a=q;AAAA\x1b\\\x1b^canary\x1b\\\x1bXcanary\x1b\\",
    "\x1bPtmux;\x1b\x1b]52;c;YWdlbnRkZWNr\x07\x1b\\",
    "\x1b[?1000h\x1b[?1003h\x1b[?1006h\x1b[?1004h\x1b[?2004h\x1b[?9001h",
    "\x1b[>1u\x1b[=1u\x1b[?u\x1b[?1049h\x1b[?1049l",
    "\u{9d}52;c;YWdlbnRkZWNr\u{9c}\u{9b}6n",
);

/// Words around the hostile text.
fn words(stage: &Stage) -> (String, String) {
    let (one, other) = stage.token.split_at(stage.token.len() / 2);
    (format!("B{one}"), format!("E{other}"))
}

/// The agent that prints it when it is asked to.
pub(super) fn resident(stage: &Stage, flood: u64) -> Attack {
    let (begin, end) = words(stage);
    Attack::Speak { begin, payload: HOSTILE.to_owned(), end, flood }
}

/// What the agent of `resident` prints last.
pub(super) fn last_word(stage: &Stage) -> String {
    words(stage).1
}

pub(super) async fn escapes(cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    let stage = cast.stage;
    let mut plain = Command::new("/proc/self/exe");
    let order = stage.order(resident(stage, 0), true);
    let order = serde_json::to_string(&order).unwrap_or_default();
    plain.arg(VERB).env_clear().env(TOKEN, &stage.token).env(ORDER, order);
    let fired = foreign(&shown(stage, plain, &stage.control()).await?);
    let control = if fired.is_empty() {
        Control::Silent("a terminal without agentdeck gets nothing either".to_owned())
    } else {
        Control::Fired(format!("{} came through", fired.len()))
    };
    let mut attached = Command::new("/proc/self/exe");
    attached
        .args(["attach", cast.attacker.name.as_str()])
        .env_clear()
        .env(home::VARIABLE, &stage.context.home)
        .env("HOME", &stage.directory)
        .env("TERM", "xterm-256color");
    let through = shown(stage, attached, &stage.context.directory).await?;
    Ok((control, Ok(foreign(&through))))
}

/// Everything that a program in a terminal writes there from the moment it is asked for the
/// hostile text until its end is seen.
async fn shown(stage: &Stage, command: Command, directory: &Path) -> Result<Vec<u8>, Failure> {
    let unavailable =
        |error: std::io::Error| Failure::new(FailureKind::Unavailable, format!("{error}"));
    let mut terminal = Terminal::open(command, directory).map_err(unavailable)?;
    let (_, end) = words(stage);
    terminal.read_until(|seen| contains(seen, b"listening"), DEADLINE).await?;
    terminal.seen.clear();
    let key = PRINT_KEY.to_string();
    let begun = Instant::now();
    loop {
        terminal.master.write_all(key.as_bytes()).map_err(unavailable)?;
        match terminal.read_until(|seen| contains(seen, end.as_bytes()), AGAIN).await {
            Err(_) if begun.elapsed() < DEADLINE => {}
            result => return result.map(|()| std::mem::take(&mut terminal.seen)),
        }
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(text, word).is_some()
}

/// A program in a terminal of its own. Dropped, it is killed.
struct Terminal {
    child: Child,
    master: std::fs::File,
    output: mpsc::Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Terminal {
    fn open(mut command: Command, directory: &Path) -> std::io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let (master, slave) = pair()?;
        command.current_dir(directory);
        command.stdin(Stdio::from(slave.try_clone()?)).stdout(Stdio::from(slave.try_clone()?));
        command.stderr(Stdio::from(slave));
        // SAFETY: two system calls, which touch nothing of the parent.
        unsafe {
            command.pre_exec(|| {
                // Not the typed call: an emulated kernel answers 0, which no typed id can hold.
                if libc::setsid() == -1 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?)
            });
        }
        let child = command.spawn()?;
        let (sender, output) = mpsc::channel(MAX_CHUNKS);
        let mut reader = std::fs::File::from(master.try_clone()?);
        std::thread::spawn(move || {
            let mut buffer = vec![0; CHUNK];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, master: master.into(), output, seen: Vec::new() })
    }

    async fn read_until(
        &mut self,
        done: impl Fn(&[u8]) -> bool,
        deadline: Duration,
    ) -> Result<(), Failure> {
        let reading = async {
            while !done(&self.seen) {
                let gone = || {
                    let message = "the program in the terminal ended";
                    Failure::new(FailureKind::Unavailable, message)
                };
                self.seen.extend(self.output.recv().await.ok_or_else(gone)?);
            }
            Ok(())
        };
        let late = |_| Failure::new(FailureKind::Timeout, "the terminal does not show it");
        tokio::time::timeout(deadline, reading).await.map_err(late)?
    }
}

fn pair() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name, flags, Mode::empty())?;
    let size = rustix::termios::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&slave, size)?;
    Ok((master, slave))
}

/// Sequences that are not text, colour, or movement of the cursor.
fn foreign(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = Vec::new();
    let mut rest = text.as_ref();
    while let Some(at) = rest.find(['\x1b', '\x07', '\u{90}', '\u{9b}', '\u{9d}', '\u{9f}']) {
        let sequence = &rest[at..];
        let first = sequence.chars().next().map_or(1, char::len_utf8);
        let length = match sequence.as_bytes().get(1) {
            Some(b'[') if sequence.starts_with('\x1b') => control(&sequence[2..]) + 2,
            Some(_) if sequence.starts_with('\x1b') => 2,
            _ => first,
        };
        // A sequence may be cut in the middle of a character by what follows it.
        let length = (length..=sequence.len())
            .find(|end| sequence.is_char_boundary(*end))
            .unwrap_or(sequence.len());
        if !is_drawing(&sequence[..length]) {
            found.push(sequence[..length].escape_debug().to_string());
        }
        rest = &sequence[length..];
    }
    found
}

/// The length of a control sequence after its introducer.
fn control(sequence: &str) -> usize {
    let end = sequence.bytes().position(|byte| (0x40..=0x7e).contains(&byte));
    end.map_or(sequence.len(), |end| end + 1)
}

fn is_drawing(sequence: &str) -> bool {
    // Cursor saved and restored, and the ASCII character set's designation.
    if matches!(sequence, "\x1b7" | "\x1b8" | "\x1b(") {
        return true;
    }
    let Some(rest) = sequence.strip_prefix("\x1b[") else { return false };
    let Some(last) = rest.chars().next_back() else { return false };
    let parameters = &rest[..rest.len() - last.len_utf8()];
    let plain = parameters.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':'));
    match last {
        'A'..='H' | 'J' | 'K' | 'L' | 'M' | 'P' | 'S' | 'T' | 'X' | 'd' | 'f' | 'm' | 'r' => plain,
        // The shape of the cursor.
        'q' => parameters.ends_with(' '),
        'h' | 'l' => DRAWING.contains(&parameters),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_is_told_from_what_would_speak_to_the_terminal() {
        let drawn = "\x1b[?2026h\x1b[1;1Hé\x1b[38;2;1;2;3mx\x1b[0m\x1b[?25l\x1b[2 q\x1b[K";
        assert_eq!(foreign(drawn.as_bytes()), Vec::<String>::new());
        let hostile = "a\x1b]52;c;YQ==\x07\x1b[6n\x1b[?1003h\x1bPq\x1b\\\u{9b}c";
        assert_eq!(foreign(hostile.as_bytes()).len(), 7, "{:?}", foreign(hostile.as_bytes()));
        assert!(foreign(HOSTILE.as_bytes()).len() > 30);
    }
}
