//! Plain values of the deck, without I/O. Everything above speaks in these.

pub mod caution;
pub mod comment;
pub mod comparison;
pub mod decision;
pub mod destination;
pub mod diff;
pub mod endpoint;
pub mod environment;
pub mod failure;
pub mod id;
pub mod image;
pub mod input;
pub mod lines;
pub mod listener;
pub mod pace;
pub mod packed;
pub mod path;
pub mod policy;
pub mod prediction;
pub mod profile;
pub mod prompt;
pub mod repository;
pub mod screen;
pub mod snapshot;
pub mod status;
pub mod trash;
