//! The first process of every box: opens PTYs, runs programs in them, keeps what they print.
//!
//! It knows its configuration file, its socket and the kernel; nothing of environments, snapshots
//! or screens. It must stay small, outlive the server, and never trust what runs beside it.

pub mod archive;
pub mod claims;
pub mod config;
pub mod turns;
pub mod wire;

mod accounts;
mod bell;
mod confinement;
mod connection;
mod dial;
mod eager;
mod ear;
mod execution;
mod feed;
mod filter;
mod foreground;
mod hooks;
mod limits;
mod listeners;
mod modes;
mod names;
mod notices;
mod ownership;
mod ports;
mod privileges;
mod probe;
#[cfg(test)]
pub(crate) mod rehearsal;
mod relay;
mod ring;
mod say;
mod server;
mod session;
mod spawn;
mod stopping;
mod tool;

pub use say::run as say;
pub use tool::run as run_tool;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use config::ShimConfig;

/// The version of Landlock that the kernel offers, if it does.
pub fn landlock() -> Option<u32> {
    probe::landlock()
}

/// Tries what an agent must not be able to do, tells what came of it, and waits like `hold`.
pub fn probe() -> ExitCode {
    probe::run()
}

/// Says that it is there, then does nothing until its input ends. A process of this kind is what
/// an engine reads an agent's rights from.
pub fn hold() -> ExitCode {
    let told = std::io::stdout().write_all(b".\n");
    let waited = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    if told.and(waited).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the shim with the configuration file at `config_path` until it is told to stop.
pub fn run(config_path: &Path) -> ExitCode {
    match try_run(config_path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when even standard error is closed.
            let _ = writeln!(std::io::stderr(), "agentdeck shim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(config_path: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(config_path)
        .with_context(|| format!("cannot read {}", config_path.display()))?;
    let config: ShimConfig = serde_json::from_slice(&text)
        .with_context(|| format!("{} is not a configuration", config_path.display()))?;
    server::prepare_process().context("cannot prepare the process")?;
    if let Some(accounts) = &config.accounts {
        accounts::write(Path::new("/"), accounts).context("cannot write the box's users")?;
    }
    let listener = server::bind(&config)
        .with_context(|| format!("cannot listen in {}", config.run_directory))?;
    let expendability = limits::Expendability::of(&config);
    if let Some(confinement) = &config.confinement {
        confine(confinement);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        if let Some(relay) = &config.relay {
            relay::start(relay, &config.run_directory).context("cannot start the relay")?;
        }
        server::serve(config, expendability, listener).await
    })
}

/// Takes the second layer on, before there is another thread or process. A box goes without it
/// where the kernel has none; what holds is found by trying, and told.
fn confine(confinement: &config::Confinement) {
    if let Err(error) = confinement::take(confinement) {
        // Standard error is the shim's log; without it there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "agentdeck shim: not confined: {error:#}");
    }
}
