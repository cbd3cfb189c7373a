//! Whole parts against the real world: engines, repositories, the binary.

mod common;
mod conformance;
mod docker;
mod native;
mod tidy;
