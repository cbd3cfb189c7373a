//! The first process of every box: opens PTYs, runs programs in them, keeps what they print.

pub mod config;
pub mod wire;
