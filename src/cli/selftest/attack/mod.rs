//! The hostile half of the selftest: what `agentdeck box-attack` does in a box, and outside of one
//! as the control.
//!
//! One program for both sides: the shim's binary is in every box, whatever its image. Nothing here
//! does harm even where it succeeds: what is opened is not written, what is written is a file of
//! the selftest's own, calls that would change the host carry arguments that it refuses after it
//! has looked at the caller's rights, and every flood ends at a bound.

mod descent;
mod descriptors;
mod files;
mod floods;
mod kernel;
mod mounts;
mod network;
mod processes;
mod residents;
mod rights;
mod sockets;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

pub(super) use residents::{FLOOD_KEY, NEIGHBOUR_FILE, NEIGHBOUR_SOCKET, PRINT_KEY, SIGNALLED};

/// The variable that holds the run's token. Without it nothing is done, so that the verb is no
/// more than the selftest's.
pub(super) const TOKEN: &str = "AGENTDECK_SELFTEST";
/// The variable that holds the order of a program that has a terminal for its input.
pub(super) const ORDER: &str = "AGENTDECK_SELFTEST_ORDER";
/// The hidden verb.
pub(in crate::cli) const VERB: &str = "box-attack";

/// Digits of a token: as long as no accident.
pub(super) const TOKEN_LENGTH: usize = 32;
/// Bytes of an order; the longest lists some hundred paths.
const MAX_ORDER: u64 = 1 << 20;

/// What one run of the hidden verb is to try.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub token: String,
    /// It runs on the host, as the control: what would touch the host's own mounts or network is
    /// then done in namespaces of its own.
    pub outside: bool,
    pub attack: Attack,
}

/// Words that must not stand in the attacker's own arguments or memory in their plain order,
/// because it looks for them in those of others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Secret(String);

impl Secret {
    pub fn new(text: &str) -> Self {
        Self(text.chars().rev().collect())
    }

    pub fn text(&self) -> String {
        self.0.chars().rev().collect()
    }
}

/// A file by what tells it from others without reading it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    pub path: PathBuf,
    pub size: u64,
    pub modified: (i64, i64),
}

/// A name that leads to a service of the host, and its port.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Spelling {
    pub host: String,
    pub port: u16,
}

/// A process of the host, and where in its memory a secret lies.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Prey {
    pub pid: i32,
    pub address: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Attack {
    /// Reads files, in every way of naming them, and looks for the secret.
    ReadFiles {
        paths: Vec<PathBuf>,
        secret: Secret,
    },
    /// Looks whether files are there and readable, without reading them.
    FindFiles {
        marks: Vec<Mark>,
    },
    /// Writes files and links. Judged by what is then found on the host.
    Plant {
        files: Vec<(PathBuf, String)>,
        links: Vec<(PathBuf, PathBuf)>,
    },
    /// Leaves a root by `chroot`, descriptors and links.
    Escape {
        path: PathBuf,
        secret: Secret,
    },
    /// Takes a directory from the first socket that answers, and reads a file in it.
    TakeDirectory {
        sockets: Vec<PathBuf>,
        name: PathBuf,
        secret: Secret,
    },
    /// Connects to unix sockets.
    Connect {
        sockets: Vec<PathBuf>,
        names: Vec<String>,
    },
    /// Connects, says what a server would, and waits for an answer.
    Greet {
        sockets: Vec<PathBuf>,
        hello: Vec<u8>,
    },
    /// Opens settings of the kernel for writing, without writing.
    OpenSettings {
        paths: Vec<PathBuf>,
    },
    /// Searches every process that is seen for the secret, and files through their roots.
    SearchProcesses {
        path: PathBuf,
        secret: Secret,
    },
    /// Sends a signal that is ignored by default. Judged by what the process says.
    Signal {
        prey: Prey,
    },
    /// Traces a process, and reads its memory.
    Trace {
        prey: Prey,
        secret: Secret,
    },
    /// Puts a character into a terminal's input.
    PushInput,
    NewNamespaces,
    Mounts,
    /// Makes device nodes and opens them: character devices, then block devices.
    Devices {
        character: Vec<(u32, u32)>,
        block: Vec<(u32, u32)>,
    },
    /// Makes a copy of this program that has its owner's rights.
    MakeSetuid {
        paths: Vec<PathBuf>,
    },
    /// Starts such programs, as this user if one is named.
    RunSetuid {
        paths: Vec<PathBuf>,
        user: Option<u32>,
    },
    /// What a program started by `RunSetuid` does: tells its rights.
    TellRights,
    RemoveFiles {
        paths: Vec<PathBuf>,
    },
    /// Calls that change the host as a whole, with arguments that change nothing.
    HostCalls,
    /// Calls with a history of holes, and kinds of sockets that pass namespaces by.
    RiskyCalls,
    /// Reaches the canaries behind spellings of an address, directly and through a box's relay.
    Dial {
        spellings: Vec<Spelling>,
        secret: Secret,
    },
    /// Asks for a cloud's metadata.
    Metadata {
        spellings: Vec<Spelling>,
        secret: Secret,
    },
    /// Is there to be attacked: a process with the secret in its variables and memory.
    Stand {
        secret: Secret,
    },
    /// Is there to be attacked in a box: a process, files, sockets and a port.
    Live {
        secret: Secret,
        port: u16,
    },
    /// Has a terminal: prints a hostile text, or a flood, when a key asks for it.
    Speak {
        begin: String,
        payload: String,
        end: String,
        flood: u64,
    },
    Forks {
        count: u32,
    },
    Memory {
        bytes: u64,
    },
    Descriptors {
        count: u32,
    },
    /// Makes inotify instances and holds them.
    Watchers {
        count: u32,
        hold_seconds: u32,
    },
    /// Fills a file, resting after every mebibyte.
    Fill {
        path: PathBuf,
        bytes: u64,
        pace_ms: u64,
    },
    /// Makes, moves and removes small files for so long.
    Churn {
        seconds: u32,
    },
    /// Prints to its standard output.
    Print {
        bytes: u64,
    },
    /// Does the same again and again for so long.
    Repeat {
        seconds: u32,
        attack: Box<Attack>,
    },
    /// Keeps what another program prints.
    Keep {
        bytes: u64,
    },
    /// Keeps processors busy, and tells for how many microseconds of theirs.
    Hog {
        programs: u32,
        seconds: u32,
    },
    /// Looks whether processes and open files are to be had; `limited`, when few are.
    Health {
        limited: bool,
        processes: u32,
    },
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Try {
    pub what: String,
    pub got: Got,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Got {
    /// It worked, or was refused for another reason than the caller's rights.
    Reached(String),
    Refused(String),
    /// There is nothing of the kind here.
    Absent(String),
}

impl Try {
    fn reached(what: impl Into<String>, how: impl Into<String>) -> Self {
        Self { what: what.into(), got: Got::Reached(how.into()) }
    }

    fn refused(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), got: Got::Refused(why.into()) }
    }

    fn absent(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), got: Got::Absent(why.into()) }
    }

    /// Judges what a call answered that is refused to those without rights.
    fn of_call(what: &str, result: libc::c_long) -> Self {
        if result >= 0 {
            return Self::reached(what, "allowed");
        }
        let error = std::io::Error::last_os_error();
        let name = error.to_string();
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES | libc::EROFS) => Self::refused(what, name),
            Some(libc::ENOSYS) => Self::absent(what, "the kernel does not have it"),
            Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP) => Self::absent(what, name),
            _ => Self::reached(what, format!("passed the check of rights: {name}")),
        }
    }
}

/// Carries out the order on standard input and prints what came of it as a line of JSON.
pub(in crate::cli) fn run() -> ExitCode {
    let Some(order) = order() else {
        let _ = writeln!(std::io::stderr(), "error: {VERB} is a part of agentdeck selftest");
        return ExitCode::from(2);
    };
    let tries = perform(&order);
    tell(&tries);
    ExitCode::SUCCESS
}

fn tell(tries: &[Try]) {
    let text = serde_json::to_string(tries).unwrap_or_default();
    let mut output = std::io::stdout().lock();
    // Whoever asked may have gone; then there is nobody left to tell.
    let _ = writeln!(output, "{text}").and_then(|()| output.flush());
}

fn order() -> Option<Order> {
    let token = std::env::var(TOKEN).ok()?;
    let text = match std::env::var(ORDER) {
        Ok(text) if !text.is_empty() => text,
        _ => {
            let mut text = String::new();
            std::io::stdin().take(MAX_ORDER).read_to_string(&mut text).ok()?;
            text
        }
    };
    let order: Order = serde_json::from_str(&text).ok()?;
    (token.len() == TOKEN_LENGTH && order.token == token).then_some(order)
}

fn perform(order: &Order) -> Vec<Try> {
    match &order.attack {
        Attack::ReadFiles { paths, secret } => files::read(paths, &secret.text()),
        Attack::FindFiles { marks } => files::find(marks),
        Attack::Plant { files, links } => files::plant(files, links),
        Attack::RemoveFiles { paths } => files::remove(paths),
        Attack::Escape { path, secret } => descent::escape(path, &secret.text()),
        Attack::TakeDirectory { sockets, name, secret } => {
            descriptors::take(sockets, name, &secret.text())
        }
        Attack::Connect { sockets, names } => sockets::connect(sockets, names),
        Attack::Greet { sockets, hello } => sockets::greet(sockets, hello),
        Attack::OpenSettings { paths } => files::open_settings(paths),
        Attack::SearchProcesses { path, secret } => processes::search(path, &secret.text()),
        Attack::Signal { prey } => processes::signal(*prey),
        Attack::Trace { prey, secret } => processes::trace(*prey, &secret.text()),
        Attack::PushInput => rights::push_input(),
        Attack::NewNamespaces => mounts::new_namespaces(),
        Attack::Mounts => mounts::mounts(order.outside),
        Attack::Devices { character, block } => rights::devices(character, block),
        Attack::MakeSetuid { paths } => rights::make_setuid(paths),
        Attack::RunSetuid { paths, user } => rights::run_setuid(order, paths, *user),
        Attack::TellRights => rights::tell(),
        Attack::HostCalls => kernel::host_calls(),
        Attack::RiskyCalls => kernel::risky_calls(),
        Attack::Dial { spellings, secret } => {
            network::dial(spellings, &secret.text(), order.outside)
        }
        Attack::Metadata { spellings, secret } => {
            network::metadata(spellings, &secret.text(), order.outside)
        }
        Attack::Stand { secret } => residents::stand(&secret.text()),
        Attack::Live { secret, port } => residents::live(&secret.text(), *port),
        Attack::Speak { begin, payload, end, flood } => {
            residents::speak(begin, payload, end, *flood)
        }
        Attack::Forks { count } => floods::forks(*count),
        Attack::Memory { bytes } => floods::memory(*bytes),
        Attack::Descriptors { count } => floods::descriptors(*count),
        Attack::Watchers { count, hold_seconds } => {
            floods::watchers(*count, *hold_seconds, order.outside)
        }
        Attack::Fill { path, bytes, pace_ms } => floods::fill(path, *bytes, *pace_ms),
        Attack::Churn { seconds } => floods::churn(*seconds),
        Attack::Print { bytes } => floods::print(*bytes),
        Attack::Repeat { seconds, attack } => floods::repeat(*seconds, || {
            perform(&Order { attack: (**attack).clone(), ..order.clone() })
        }),
        Attack::Keep { bytes } => floods::keep(*bytes),
        Attack::Hog { programs, seconds } => floods::hog(*programs, *seconds),
        Attack::Health { limited, processes } => floods::health(*limited, *processes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_stand_in_its_own_text() {
        let secret = Secret::new("a canary's song");
        assert!(!serde_json::to_string(&secret).expect("text").contains("canary"));
        assert_eq!(secret.text(), "a canary's song");
    }
}
