//! Finds out from inside a box what holds there, by trying. Everything tried is harmless where it
//! succeeds: arguments are senseless, nothing is sent, no file is written.

mod calls;
mod second;
mod sight;

use std::io::Write;
use std::process::ExitCode;

pub(super) use calls::landlock;

use super::claims::{Claims, VERSION};

/// Tries everything, tells it in one line, then waits for the end of its input: whoever asked
/// reads the rest from outside, of this very process.
pub(super) fn run() -> ExitCode {
    let claims = claims();
    let told = serde_json::to_vec(&claims).map_err(std::io::Error::from).and_then(|mut line| {
        line.push(b'\n');
        let mut output = std::io::stdout().lock();
        output.write_all(&line)?;
        output.flush()
    });
    let waited = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    if told.and(waited).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn claims() -> Claims {
    Claims {
        version: VERSION,
        status: sight::status(),
        calls: calls::try_all(calls::FORBIDDEN),
        first_process: calls::try_all(calls::FIRST_PROCESS),
        kernel_files: sight::kernel_files(),
        addresses: sight::addresses(),
        sockets: sight::sockets(),
        devices: sight::devices(),
        name_servers: sight::name_servers(),
        settings: sight::settings(),
        processes: sight::processes(),
        landlock: landlock(),
        second_layer: second::tried(landlock()),
        notices_answered: super::notices::are_diverted(),
    }
}
