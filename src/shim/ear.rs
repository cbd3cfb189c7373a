//! Hears what programs of the box say of their state, by datagrams: no program holds a connection,
//! and what nobody has heard yet is the kernel's to bound.
//!
//! A box with a network of its own is heard by a name in it, which needs no file that its user could
//! lack the right to; an unisolated one by a socket in the environment's directory.

use std::io;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::UnixDatagram;

use super::config::ShimConfig;
use super::hooks::{MAX_MESSAGE, Message};
use super::server::Shim;
use super::wire::Program;
use crate::model::id::SessionId;
use crate::model::pace::Pace;
use crate::socket;

/// The program of a box that speaks to its shim.
const PROGRAM_VARIABLE: &str = "AGENTDECK_SHIM";
/// Where it is heard: a session's number, a colon, and an address.
pub(super) const ADDRESS_VARIABLE: &str = "AGENTDECK_STATUS";

/// The name in a box's network; the mark before it tells it from a path.
const NAME: &str = "@agentdeck-status";
const SOCKET: &str = "status.sock";

/// Messages that are heard in a second: an agent that runs ten tools at once says two of each, and
/// what a flood left in the kernel, some hundreds, is soon behind the next that counts. What is more
/// waits there, and in who says it.
const MESSAGES: u32 = 100;

/// Rest after a failed read, which else would spin.
const REST: Duration = Duration::from_millis(50);

/// How programs of the box are told where to speak.
pub(super) struct Ear {
    program: String,
    address: String,
}

impl Ear {
    /// Begins to listen.
    pub(super) fn open(config: &ShimConfig) -> io::Result<(Self, UnixDatagram)> {
        let directory = Path::new(&config.run_directory);
        let (socket, address) = if config.drop_privileges {
            (socket::bind_name(&NAME[1..])?, NAME.to_owned())
        } else {
            let socket = socket::bind_datagram(directory, SOCKET)?;
            (socket, format!("{}/{SOCKET}", config.run_directory))
        };
        socket.set_nonblocking(true)?;
        let program = std::fs::read_link("/proc/self/exe")?;
        let program = program.into_os_string().into_string();
        let program = program.map_err(|_| io::Error::other("the shim's own path is not UTF-8"))?;
        Ok((Self { program, address }, UnixDatagram::from_std(socket)?))
    }

    /// The program, as it is started in a session.
    pub(super) fn told(&self, session: SessionId, program: &Program) -> Program {
        let mut program = program.clone();
        program.environment.extend([
            (PROGRAM_VARIABLE.to_owned(), self.program.clone()),
            (ADDRESS_VARIABLE.to_owned(), format!("{session}:{}", self.address)),
        ]);
        program
    }
}

/// Hears for ever.
pub(super) async fn listen(shim: Rc<Shim>, socket: UnixDatagram) {
    let mut pace = Pace::per_second(MESSAGES);
    // One byte more than is taken tells a message that is longer.
    let mut buffer = vec![0; MAX_MESSAGE + 1];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(count) => {
                let message = Message::read(&buffer[..count]);
                shim.hear(message, now());
                tokio::time::sleep_until(pace.turn(Instant::now()).into()).await;
            }
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

/// Milliseconds of the kernel's clock, which all processes of a box share.
pub(super) fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let rest = u64::try_from(time.tv_nsec).unwrap_or_default() / 1_000_000;
    seconds * 1000 + rest
}

/// Says a message to the shim at `address`, from inside the box. Does not wait for one that does
/// not listen for longer than `patience`.
pub(super) fn speak(address: &str, message: &[u8], patience: Duration) -> io::Result<()> {
    let socket: StdDatagram = if let Some(name) = address.strip_prefix('@') {
        socket::connect_name(name)?
    } else {
        let path = Path::new(address);
        let parts = path.parent().zip(path.file_name().and_then(|name| name.to_str()));
        let (directory, name) = parts.ok_or(io::ErrorKind::InvalidInput)?;
        socket::connect_datagram(directory, name)?
    };
    socket.set_write_timeout(Some(patience))?;
    socket.send(message).map(drop)
}
