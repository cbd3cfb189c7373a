//! Programs that stay: those that are attacked, and the one that has a terminal.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use super::Try;

/// How long a program stays when nobody ends it: longer than a selftest takes.
const STAY: Duration = Duration::from_mins(10);
/// Bytes printed at once by a flood.
const CHUNK: usize = 64 << 10;

/// The file, and the socket's name, of the program that lives in the sibling's box.
pub(in crate::cli::selftest) const NEIGHBOUR_FILE: &str = "neighbour";
pub(in crate::cli::selftest) const NEIGHBOUR_SOCKET: &str = "neighbour.sock";
/// The keys of the program that has a terminal.
pub(in crate::cli::selftest) const PRINT_KEY: char = 'é';
pub(in crate::cli::selftest) const FLOOD_KEY: char = 'ö';
/// What the process that is attacked prints when a signal came.
pub(in crate::cli::selftest) const SIGNALLED: &str = "signalled";

/// Tells where its secret lies, then every signal that comes.
pub(super) fn stand(secret: &str) -> Vec<Try> {
    let memory = secret.as_bytes().to_vec();
    let prey = super::Prey { pid: std::process::id() as i32, address: memory.as_ptr() as u64 };
    // SAFETY: a set of signals of this process's own, and numbers.
    unsafe {
        // Where tracing is kept to parents, the control may trace all the same.
        libc::prctl(libc::PR_SET_PTRACER, libc::c_ulong::MAX, 0, 0, 0);
        libc::alarm(STAY.as_secs() as u32);
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        libc::sigaddset(&raw mut signals, libc::SIGWINCH);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut());
        say(&serde_json::to_string(&prey).unwrap_or_default());
        loop {
            let mut number = 0;
            if libc::sigwait(&raw const signals, &raw mut number) == 0 {
                say(SIGNALLED);
            }
            std::hint::black_box(&memory);
        }
    }
}

/// Has what a neighbour could be robbed of, in its box's usual places.
pub(super) fn live(secret: &str, port: u16) -> Vec<Try> {
    let _ = std::fs::write(NEIGHBOUR_FILE, secret);
    let answer = format!("HTTP/1.0 200 OK\r\n\r\n{secret}");
    if let Ok(listener) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                let _ = stream.read(&mut [0; 512]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
    }
    let _ = std::fs::remove_file(NEIGHBOUR_SOCKET);
    let named = SocketAddr::from_abstract_name(format!("{NEIGHBOUR_SOCKET}-{port}"));
    let held = (
        UnixListener::bind(NEIGHBOUR_SOCKET),
        named.and_then(|name| UnixListener::bind_addr(&name)),
    );
    say("lives");
    std::thread::sleep(STAY);
    drop(held);
    Vec::new()
}

/// One key prints the hostile text between two words, another a flood. What a terminal answers to
/// the text is neither: it is plain ASCII.
pub(super) fn speak(begin: &str, payload: &str, end: &str, flood: u64) -> Vec<Try> {
    if let Ok(mut settings) = rustix::termios::tcgetattr(rustix::stdio::stdin()) {
        settings.make_raw();
        let now = rustix::termios::OptionalActions::Now;
        let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), now, &settings);
    }
    print(b"\x1b[2J\x1b[Hlistening\r\n");
    let mut key = [0];
    while let Ok(1) = std::io::stdin().read(&mut key) {
        match key[0] {
            byte if byte == last_byte(PRINT_KEY) => {
                let text = format!("\x1b[5;1H{begin}{payload}\x1b[7;1H{end}");
                print(text.as_bytes());
            }
            byte if byte == last_byte(FLOOD_KEY) => print_lines(flood, end),
            _ => {}
        }
    }
    Vec::new()
}

/// Of a letter's two bytes in UTF-8 the one that tells it from its neighbours.
fn last_byte(letter: char) -> u8 {
    (letter as u32 as u8 & 0x3f) | 0x80
}

fn print_lines(bytes: u64, end: &str) {
    let line = b"the quick brown fox jumps over the lazy dog \x1b[31mand\x1b[0m so on\r\n";
    let chunk = line.repeat(CHUNK / line.len());
    for _ in 0..bytes / chunk.len() as u64 {
        print(&chunk);
    }
    print(format!("\x1b[2J\x1b[H{end}").as_bytes());
}

fn print(bytes: &[u8]) {
    let mut output = std::io::stdout().lock();
    // A terminal that has gone ends the program by its next read.
    let _ = output.write_all(bytes).and_then(|()| output.flush());
}

fn say(text: &str) {
    print(format!("{text}\n").as_bytes());
}
