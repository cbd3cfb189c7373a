//! Git, without git: everything the deck does with repositories, in blocking functions on gix.
//!
//! The user's repository is opened with the user's trust and only read; one pin ref per environment
//! is all that is ever written to it here. What an agent made is hostile: it is read only by the
//! safe walk, and no configuration, filter or hook of it is ever looked at. Snapshots live in a
//! bare repository of our own, the [`Store`].

pub mod diff;

mod lines;
mod object;
#[cfg(test)]
mod oracle;
mod refs;
mod rules;
mod store;
mod user;

pub use store::Store;
pub use user::UserRepository;
