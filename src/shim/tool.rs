//! What a shim lets its own binary do: files in and out, and listing who listens, under the agent's
//! rights; and giving the agent what the box's root made of its directories.
//!
//! The shim may do more in the box than the agent and must never touch a path or a process for
//! somebody else; a child that gave its rights up may.

use std::io::{BufReader, BufWriter, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::archive::{self, Placement};
use super::config::{HAND_BACK, ShimConfig, TOOL, hand_back_words};
use super::ownership::{self, Owner};
use super::wire::{Place, Program, Role, ShimRequest};
use super::{listeners, privileges};

/// The shim's own binary, whatever stands at its path by now.
const OWN_BINARY: &str = "/proc/self/exe";

/// Bytes of a stream moved at once.
const BUFFER: usize = 64 << 10;

/// The program that carries a request out, when it is one for a tool.
pub(super) fn program_for(config: &ShimConfig, request: &ShimRequest) -> Option<Program> {
    let (role, directory) = match request {
        // Where the agent has no way to, nothing stands in the way.
        ShimRequest::HandBack { .. } => (Role::Root, Some("/".to_owned())),
        _ => (Role::Agent, None),
    };
    let words = match request {
        ShimRequest::Pack { path } => vec!["pack".to_owned(), STANDARD.encode(path)],
        ShimRequest::Unpack { path, into } => {
            let placement = if *into { "into" } else { "copy" };
            vec!["unpack".to_owned(), STANDARD.encode(path), placement.to_owned()]
        }
        ShimRequest::Listeners => {
            let scope = if config.drop_privileges { "box" } else { "tree" };
            vec!["listeners".to_owned(), scope.to_owned(), listeners::own_sockets().join(",")]
        }
        ShimRequest::HandBack { places } => {
            hand_back_words(config.agent_user, config.agent_group, places)
        }
        _ => return None,
    };
    let command = [OWN_BINARY, TOOL].into_iter().map(str::to_owned).chain(words).collect();
    Some(Program { command, environment: Vec::new(), directory, role })
}

/// Runs the tool that `arguments` name.
pub fn run(arguments: &[&str]) -> ExitCode {
    match perform(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a standard error the exit code has to do.
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(arguments: &[&str]) -> anyhow::Result<()> {
    match arguments {
        ["pack", path] => pack(&decode(path)?),
        ["unpack", path, placement] => {
            let placement = if *placement == "into" { Placement::Into } else { Placement::Copy };
            let input = BufReader::with_capacity(BUFFER, std::io::stdin());
            archive::unpack(input, &decode(path)?, placement)
        }
        ["listeners", scope, own] => {
            let found = listeners::list(*scope == "tree", own)?;
            let mut output = BufWriter::new(std::io::stdout());
            for listener in found {
                serde_json::to_writer(&mut output, &listener)?;
                output.write_all(b"\n")?;
            }
            Ok(output.flush()?)
        }
        [HAND_BACK, user, group, places @ ..] => {
            let owner = Owner { user: user.parse()?, group: group.parse()? };
            let places = places.chunks(3).map(place).collect::<anyhow::Result<Vec<_>>>()?;
            privileges::keep_for_owners().context("cannot give rights up")?;
            ownership::hand_back(owner, &places)
        }
        _ => anyhow::bail!("no such tool"),
    }
}

fn pack(path: &Path) -> anyhow::Result<()> {
    let mut output = BufWriter::with_capacity(BUFFER, std::io::stdout());
    let skipped = archive::pack(path, &mut output)?;
    output.flush()?;
    anyhow::ensure!(skipped.is_empty(), "{skipped}");
    Ok(())
}

fn place(words: &[&str]) -> anyhow::Result<Place> {
    let [path, device, inode] = words else { anyhow::bail!("a place is three words") };
    Ok(Place { path: (*path).to_owned(), device: device.parse()?, inode: inode.parse()? })
}

fn decode(path: &str) -> anyhow::Result<PathBuf> {
    let bytes = STANDARD.decode(path).context("the path is malformed")?;
    Ok(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}
