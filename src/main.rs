//! The one binary: server, clients and shim.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["shim", config] => agentdeck::shim::run(Path::new(config)),
        ["shim-hold"] => agentdeck::shim::hold(),
        ["box"] => agentdeck::engine::native::child::run(),
        _ => ExitCode::from(2),
    }
}
