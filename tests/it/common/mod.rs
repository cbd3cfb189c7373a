//! What several tests need: an environment's directories, and a shim's other end.

pub mod place;
pub mod talk;
