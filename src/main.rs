//! The one binary: server, clients and shim.

fn main() -> std::process::ExitCode {
    agentdeck::cli::main()
}
