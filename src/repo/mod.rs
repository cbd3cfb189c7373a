//! Git, without git: everything the deck does with repositories, in blocking functions on gix.

pub mod diff;

mod lines;
mod object;
#[cfg(test)]
mod oracle;
