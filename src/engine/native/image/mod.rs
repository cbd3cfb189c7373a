//! Images in files: a box's system written as one, and one unpacked for boxes to stand on.

mod archive;
mod provide;
mod tree;
mod unpack;
mod unused;
mod writer;

#[cfg(test)]
mod tests;

pub(super) use provide::{Unpacked, has, of, provide};
pub(super) use tree::TreeWriter;
pub(super) use unused::remove_unused;
pub(super) use writer::{About, LayerWriter};
