//! Git, without git: everything the deck does with repositories, in blocking functions on gix.
//!
//! The user's repository is opened with the user's trust and only read; one pin ref per environment
//! is all that is ever written to it here. What an agent made is hostile: it is read only by the
//! safe walk, and no configuration, filter or hook of it is ever looked at. Snapshots live in a
//! bare repository of our own, the [`Store`].

pub mod compare;
pub mod copy;
pub mod diff;
pub mod divergence;
pub mod hidden;
pub mod history;
pub mod ignored;
pub mod kept;
pub mod left_out;
pub mod literal;
pub mod onto;
pub mod pack;
pub mod predict;
pub mod quote;
pub mod snapshot;
pub mod taking;
pub mod workspace;

mod align;
mod aside;
mod base;
mod carry;
mod checkout;
mod convert;
mod edit;
mod encoding;
mod forms;
mod heads;
mod heal;
mod ident;
mod large;
mod lines;
mod merge;
mod message;
mod object;
mod older;
#[cfg(test)]
mod oracle;
mod origin;
mod pin;
mod populate;
mod private;
mod readable;
mod refs;
mod rules;
mod scan;
mod sparse_index;
mod standing;
mod stat;
mod status;
mod store;
mod stored;
#[cfg(test)]
mod tests;
mod upkeep;
mod user;
mod walk;

pub use store::Store;
pub use upkeep::Upkeep;
pub use user::UserRepository;
