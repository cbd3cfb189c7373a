//! agentdeck: mission control for many coding agents.
//!
//! One binary, three kinds of process: a server that owns environments and decides, clients that
//! show and ask, and a shim that is the first process inside every box. The modules below stand in
//! layer order; each may use only those above it, as `tests/it/tidy.rs` checks.

pub mod model;
pub mod socket;

pub mod proto;

pub mod config;
pub mod egress;
pub mod engine;
pub mod repo;
pub mod shim;
pub mod store;
pub mod term;
pub mod watch;

pub mod deck;

pub mod client;
pub mod server;

pub mod cli;
pub mod tui;
