//! What several tests need: the binary with a home of its own, a terminal to run it in, an
//! environment's directories, and a shim's other end.

pub mod daemon;
pub mod dockerd;
pub mod home;
pub mod orphans;
pub mod place;
pub mod proxy;
pub mod pty;
pub mod registry;
pub mod talk;
pub mod traces;
