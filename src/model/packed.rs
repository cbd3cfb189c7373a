//! Values as bytes in files of our own, where JSON has no words for what they hold (paths of any
//! bytes) or too many (the cells of a screen).
//!
//! `MessagePack` with named fields, as on the wire: a file of another version is read as long as
//! the fields that it needs are there.

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The bytes of a value.
pub fn pack<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).context("cannot be written as bytes")
}

/// The value that was packed into `bytes`. Fails when they hold another one or only a part.
pub fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> anyhow::Result<T> {
    rmp_serde::from_slice(bytes).context("does not hold what it should")
}
