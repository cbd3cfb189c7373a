//! Whole parts against the real world: engines, repositories, the binary.

mod docker;
mod tidy;
