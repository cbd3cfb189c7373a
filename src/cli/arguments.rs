//! What may be written on the command line.

mod comments;
mod sending;
mod taking;
mod trash;

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

use crate::model::policy::{
    Aspect, EngineKind, HostPort, ImageSource, NetworkMode, parse_bytes, parse_processors,
};

pub(super) use comments::Comments;
pub(super) use sending::{Cancel, Prompts, PromptsVerb, Send};
pub(super) use taking::{Apply, Merge, PullRequest, Resolve, Undo};
pub(super) use trash::{Empty, Trash, TrashVerb};

/// Mission control for many coding agents: live panes, isolated environments, snapshots you can undo.
///
/// Without a verb the deck of the current repository opens.
#[derive(Debug, Parser)]
#[command(name = "agentdeck", version, propagate_version = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// Show the environments of every repository
    #[arg(long)]
    pub all: bool,
    /// Print JSON: results on standard output, failures on standard error
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make an environment and start an agent in it
    New(Box<New>),
    /// List the agents that are known, and what this machine has of each
    Agents,
    /// List environments
    Ls(Ls),
    /// Open one session full-screen and take its keyboard
    Attach(Attach),
    /// Send a text to agents, each once it can take it, and say what came of it
    Send(Send),
    /// List what was sent to agents and what came of it
    Prompts(Prompts),
    /// Run a command in an environment
    Exec(Exec),
    /// Copy files into an environment or out of it
    Cp(Copy),
    /// List the ports that an environment's programs listen on
    Ports(Named),
    /// Reach a port of an environment from this machine's loopback
    Forward(Forward),
    /// Show an environment's snapshots, newest first
    Log(Log),
    /// Call a snapshot something, to name it by
    Mark(MarkSnapshot),
    /// Take an environment's workspace back to a snapshot; undo takes it forth again
    Restore(Restore),
    /// Print what an environment changed, as a patch
    Diff(Diff),
    /// List what was said of lines of a diff, or send it to the agent
    Comments(Comments),
    /// Compare two to four environments, side by side on a terminal
    Compare(Compare),
    /// Write an environment's changes, or some of them, into your working tree
    Apply(Apply),
    /// Bring an environment's changes onto your branch: a merge commit, or --squash, or --rebase
    Merge(Merge),
    /// Merge your branch in an environment's box, and open a shell there where it conflicts
    Resolve(Resolve),
    /// Push an environment's work as a branch, and open a pull request where gh or glab is there
    Pr(PullRequest),
    /// Throw an environment away; undo brings it back
    Discard(Discard),
    /// Take back the last apply, merge, restore or discard in this repository
    Undo(Undo),
    /// List what was discarded and can be taken back, or drop it for good
    Trash(Trash),
    /// Stop an environment's box; its files and snapshots stay
    Stop(Named),
    /// Start a stopped environment again
    Start(Start),
    /// Have every program of an environment stand still where it is
    Pause(Named),
    /// Have a paused environment go on
    Resume(Named),
    /// Make an environment that begins where another one stands
    Fork(Fork),
    /// Write what is installed in an environment's box as an image
    Save(Save),
    /// Show what an environment may use, or change it
    Limits(SetLimits),
    /// Show everything known of an environment, its isolation as the kernel has it
    Inspect(Named),
    /// List what the gateway refused an environment, and what would open it
    Denied(Named),
    /// Let an environment reach one thing more, from now on
    Allow(Allow),
    /// Find out what works on this machine
    Doctor,
    /// Attack this machine from boxes made for it, with harmless payloads, and see what holds
    Selftest(Selftest),
    /// See it all in a throw-away repository with three scripted agents
    Demo(Demo),
    /// Start, stop or look at the server
    #[command(subcommand)]
    Server(ServerVerb),
}

#[derive(Debug, Subcommand)]
pub(super) enum ServerVerb {
    /// Start the server, unless it runs
    Start,
    /// End the server; agents go on
    Stop,
    /// End the server, of whatever version, and start this program's; agents go on
    Restart,
    /// Say whether it runs, and where
    Status,
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// The environment's name, or its id
    pub name: String,
}

#[derive(Debug, Args)]
pub(super) struct Log {
    /// The environment's name, or its id
    pub name: String,
    /// At most this many, the newest
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub limit: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct MarkSnapshot {
    /// The environment's name, or its id
    pub name: String,
    /// Which one, as for restore; left out, one that is taken now
    #[arg(value_name = "SNAPSHOT|TEXT")]
    pub first: String,
    /// What to call it
    pub text: Option<String>,
    /// Take the name off the snapshot
    #[arg(long, conflicts_with = "text")]
    pub remove: bool,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The environment's name, or its id
    pub name: String,
    /// A name given with mark, the beginning of an id, base or head; ~N is N before it
    pub snapshot: String,
}

#[derive(Debug, Args)]
pub(super) struct Fork {
    /// The environment's name, or its id
    pub name: String,
    /// The new one's name; left out, the old one with a number
    pub new_name: Option<String>,
    /// Begin at this snapshot instead of now
    #[arg(long, alias = "at", value_name = "SNAPSHOT")]
    pub from: Option<String>,
    /// Give the agent a variable; without a value, that of this shell
    #[arg(short, long = "env", value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Save {
    /// The environment's name, or its id
    pub name: String,
    /// An image of the docker engine
    #[arg(conflicts_with = "output", required_unless_present = "output")]
    pub image: Option<String>,
    /// A file instead, which agentdeck new --image takes on any machine
    #[arg(long, value_name = "FILE.tar")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct SetLimits {
    /// The environment's name, or its id
    pub name: String,
    /// Processors at most, as in 1.5
    #[arg(long, value_name = "NUMBER", value_parser = parse_processors)]
    pub cpus: Option<u32>,
    /// Memory at most, as in 512m or 2g
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub memory: Option<u64>,
    /// Processes at most
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub pids: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct New {
    /// 1 to 40 lower-case letters, digits and hyphens; made up when left out
    pub name: Option<String>,
    /// The agent's profile, as agentdeck agents lists them; left out, shell
    #[arg(long, value_name = "PROFILE", conflicts_with = "command")]
    pub agent: Option<String>,
    /// What the agent is to do, told to it at its start; - reads it from standard input
    #[arg(short, long, value_name = "TEXT", conflicts_with = "command")]
    pub task: Option<String>,
    /// What runs the box: native or docker
    #[arg(long)]
    pub engine: Option<EngineKind>,
    /// The image: a name (docker), or a file made by agentdeck save, docker save or tar
    #[arg(long, value_name = "NAME|FILE.tar")]
    pub image: Option<ImageSource>,
    /// Build the image by this file, its directory being the context (docker)
    #[arg(long, value_name = "PATH", conflicts_with = "image")]
    pub dockerfile: Option<PathBuf>,
    /// The revision to start from [default: HEAD]
    #[arg(long, value_name = "REF")]
    pub base: Option<String>,
    /// Bring your uncommitted work along: changed files and new ones that are not ignored
    #[arg(long, conflicts_with = "base")]
    pub with_changes: bool,
    /// The docker engine's runtime, as in runsc
    #[arg(long, value_name = "NAME")]
    pub runtime: Option<String>,
    /// Processors at most, as in 1.5
    #[arg(long, value_name = "NUMBER", value_parser = parse_processors)]
    pub cpus: Option<u32>,
    /// Memory at most, as in 512m or 2g
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub memory: Option<u64>,
    /// Processes at most
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub pids: Option<u32>,
    /// Open files of one process at most
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(16..))]
    pub files: Option<u64>,
    /// Do not run without these: files, processes, privileges, network, limits
    #[arg(long, value_name = "ASPECT", value_delimiter = ',')]
    pub require: Vec<Aspect>,
    /// open, allow, none or bridge [default: open]
    #[arg(long, value_name = "MODE")]
    pub network: Option<NetworkMode>,
    /// Reach this besides, by name; host:PORT is a port of this machine's loopback
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow: Vec<HostPort>,
    /// Give the agent a variable; without a value, that of this shell
    #[arg(short, long = "env", value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// No isolation at all: the agent runs as a plain process of yours
    #[arg(long)]
    pub unisolated: bool,
    /// Return as soon as the environment is listed
    #[arg(long)]
    pub detach: bool,
    /// The program to run instead of a profile, and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Ls {
    /// Environments of every repository
    #[arg(long)]
    pub all: bool,
    /// Only those that need you, the longest wait first
    #[arg(long)]
    pub attention: bool,
}

#[derive(Debug, Args)]
pub(super) struct Attach {
    /// The environment's name, or its id
    pub name: String,
    /// Open a new shell beside the agent
    #[arg(long)]
    pub shell: bool,
}

#[derive(Debug, Args)]
pub(super) struct Exec {
    /// As root of the box, who may install things there
    #[arg(long)]
    pub root: bool,
    /// Give the command a variable; without a value, that of this shell
    #[arg(short, long = "env", value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// The environment's name, or its id
    pub name: String,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Copy {
    /// PATH here, NAME:PATH in an environment, or - for a tar stream; DIR/. is what is in DIR
    pub source: OsString,
    /// Where it goes; a relative PATH in an environment begins at the workspace
    pub destination: OsString,
}

#[derive(Debug, Args)]
pub(super) struct Forward {
    /// The environment's name, or its id
    pub name: String,
    /// The port in the environment, and the one here [default: the same; 0: any that is free]
    #[arg(value_name = "PORT[:LOCAL]")]
    pub port: PortPair,
    /// Carry one connection over standard input and output instead of listening
    #[arg(long)]
    pub stdio: bool,
    /// Let HTTP requests pass that name another host than this machine
    #[arg(long)]
    pub any_host: bool,
}

/// A port in an environment and the one it is reached at here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PortPair {
    pub remote: u16,
    pub local: u16,
}

impl FromStr for PortPair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse::<u16>().map_err(|_| format!("{text:?} is not a port (1 to 65535)"))
        };
        let (remote, local) = text.split_once(':').unwrap_or((text, text));
        let pair = Self { remote: number(remote)?, local: number(local)? };
        if pair.remote == 0 { Err("no program listens on port 0".to_owned()) } else { Ok(pair) }
    }
}

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The environment's name, or its id
    pub name: String,
    /// The older side: base, taken (the base with all you have taken), or the beginning of a
    /// snapshot's id
    #[arg(long, value_name = "SNAPSHOT", default_value = "base")]
    pub from: String,
    /// The newer side: head, or the beginning of a snapshot's id
    #[arg(long, value_name = "SNAPSHOT", default_value = "head")]
    pub to: String,
    /// One line a file instead of the patch
    #[arg(long)]
    pub stat: bool,
    /// The patch as git applies it, binary files and all, also on a terminal
    #[arg(long, conflicts_with = "stat")]
    pub patch: bool,
}

#[derive(Debug, Args)]
pub(super) struct Compare {
    /// Names or ids of the environments
    #[arg(required = true, num_args = 2..=4)]
    pub names: Vec<String>,
    /// Show this file line by line, the base first
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// Print which files each changed, even on a terminal
    #[arg(long, conflicts_with_all = ["file", "patch"])]
    pub stat: bool,
    /// Print what turns the first one's files into those of each other one
    #[arg(long, conflicts_with = "file")]
    pub patch: bool,
}

#[derive(Debug, Args)]
pub(super) struct Discard {
    /// The environment's name, or its id
    pub name: String,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// One whose record cannot be read: end its box, keep its files and snapshots and say where
    #[arg(long)]
    pub give_up: bool,
}

#[derive(Debug, Args)]
pub(super) struct Start {
    /// The environment's name, or its id
    pub name: String,
    /// Begin a new conversation instead of going on with the last one
    #[arg(long)]
    pub anew: bool,
    /// Give the agent a variable; without a value, that of this shell
    #[arg(short, long = "env", value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Selftest {
    /// What runs the boxes: native or docker
    #[arg(long)]
    pub engine: Option<EngineKind>,
    /// The image of the boxes, as for new
    #[arg(long, value_name = "NAME|FILE.tar")]
    pub image: Option<ImageSource>,
    /// The docker engine's runtime, as in runsc
    #[arg(long, value_name = "NAME")]
    pub runtime: Option<String>,
    /// Only these attacks, by the names in the table
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Allow {
    /// The environment's name, or its id
    pub name: String,
    /// HOST or HOST:PORT, *.HOST for names below it; host:PORT is a port of this machine's loopback
    #[arg(value_name = "HOST[:PORT]")]
    pub entry: HostPort,
    /// Take the entry back; connections to what it opened end
    #[arg(long)]
    pub remove: bool,
}

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Print what was made instead of opening the deck, and keep it
    #[arg(long)]
    pub no_tui: bool,
    /// Remove a demo that was kept, with its environments
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "no_tui")]
    pub remove: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_command_keeps_its_own_flags() {
        let arguments =
            Arguments::parse_from(["agentdeck", "exec", "--root", "fox", "--", "ls", "--json"]);
        assert!(!arguments.json);
        let Some(Verb::Exec(exec)) = arguments.verb else { panic!("an exec") };
        assert!(exec.root);
        assert_eq!(exec.command, ["ls", "--json"]);
    }
}
