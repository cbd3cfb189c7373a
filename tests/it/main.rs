//! Whole parts against the real world: engines, repositories, the binary.

mod bad_input;
mod common;
mod conformance;
mod conformance_streams;
mod demo;
mod docker;
mod docker_copies;
mod docker_images;
mod docs;
mod files;
mod forks;
mod halves;
mod honest;
mod main_job;
mod native;
mod native_images;
mod network;
mod network_bypass;
mod other_engines;
mod own_kernel;
mod ports;
mod selftest;
mod survival;
mod tidy;
mod tui;
