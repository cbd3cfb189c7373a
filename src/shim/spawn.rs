//! Starting a program: its variables, directory, terminal or pipes, and rights.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Pid;

use super::config::ShimConfig;
use super::limits::{Bounds, Expendability};
use super::notices::{End, Handover};
use super::privileges::Rights;
use super::wire::{Program, Role};

/// What a program's standard streams are.
pub(super) enum Streams {
    Terminal(OwnedFd),
    Pipes,
}

/// Why a program did not start, in words for people.
pub(super) struct StartError {
    pub(super) message: String,
    pub(super) not_found: bool,
}

impl From<String> for StartError {
    fn from(message: String) -> Self {
        Self { message, not_found: false }
    }
}

/// Starts `program` in a session of its own.
pub(super) fn spawn(
    config: &ShimConfig,
    expendability: &Expendability,
    program: &Program,
    streams: Streams,
) -> Result<Child, StartError> {
    let (name, arguments) =
        program.command.split_first().ok_or_else(|| "no command was given".to_owned())?;
    let directory = program.directory.as_deref().unwrap_or(&config.workspace);
    if !Path::new(directory).is_dir() {
        return Err(format!("no such directory in the box: {directory}").into());
    }
    let mut command = Command::new(name);
    command.args(arguments).current_dir(directory).env_clear();
    command.envs(config.environment.iter().map(|(key, value)| (key, value)));
    if program.role == Role::Root && config.drop_privileges && config.agent_user != 0 {
        // The box's root is not the agent, and must not leave its files in the agent's home.
        command.envs([("HOME", "/root"), ("USER", "root"), ("LOGNAME", "root")]);
    }
    command.envs(program.environment.iter().map(|(key, value)| (key, value)));
    command.env("PWD", directory);
    let terminal = matches!(streams, Streams::Terminal(_));
    match streams {
        Streams::Terminal(slave) => {
            let copy = || slave.try_clone().map(Stdio::from).map_err(|error| error.to_string());
            command.stdin(copy()?).stdout(copy()?).stderr(slave);
        }
        Streams::Pipes => {
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        }
    }
    let bounds = Bounds::of(config);
    let rights = Rights::of(config, program.role);
    let number = config.notices.filter(|_| config.drop_privileges);
    let handover = number.map(Handover::open).transpose().map_err(|error| explain(name, &error))?;
    let handover = handover.flatten();
    let end = handover.as_ref().map(Handover::end);
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            lead_session()?;
            if terminal {
                rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            }
            bounds.take()?;
            rights.take()?;
            end.map_or(Ok(()), End::divert)
        });
    }
    // The standard library resets SIGPIPE and the signal mask before the closure runs.
    let started = expendability.give(|| command.spawn());
    let started = started.map_err(|error| explain(name, &error))?;
    if let Some(handover) = handover {
        handover.serve();
    }
    Ok(started)
}

/// Begins a session. The raw call, because emulated kernels answer 0, which no typed id can hold.
fn lead_session() -> std::io::Result<()> {
    // SAFETY: no memory is involved.
    let result = unsafe { libc::setsid() };
    if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// The id of a child that was just started.
pub(super) fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32).expect("a child has a positive process id")
}

fn explain(name: &str, error: &std::io::Error) -> StartError {
    let not_found = error.kind() == std::io::ErrorKind::NotFound;
    let message = match error.kind() {
        std::io::ErrorKind::NotFound => format!("command not found: {name}"),
        std::io::ErrorKind::PermissionDenied => format!("cannot be executed: {name}: {error}"),
        _ => format!("cannot start {name}: {error}"),
    };
    StartError { message, not_found }
}
