//! Messages as bytes: a 4-byte big-endian length, then `MessagePack` with named fields.
//!
//! Named fields let a peer ignore what it does not know; the length bounds what one message costs.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest message, in bytes: a diff of a hundred thousand changed lines fits.
pub const MAX_MESSAGE: usize = 256 << 20;

/// Bytes of the length that precedes each message.
pub const PREFIX: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("a message of {0} bytes is larger than {MAX_MESSAGE}")]
    TooLarge(usize),
    #[error("a message could not be written: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    #[error("a message could not be read: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
}

/// Appends a message with its length to `buffer`.
pub fn encode<T: Serialize>(message: &T, buffer: &mut Vec<u8>) -> Result<(), WireError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; PREFIX]);
    rmp_serde::encode::write_named(buffer, message)?;
    let length = buffer.len() - start - PREFIX;
    if length > MAX_MESSAGE {
        buffer.truncate(start);
        return Err(WireError::TooLarge(length));
    }
    buffer[start..start + PREFIX].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(())
}

/// The length that a prefix announces.
pub fn length(prefix: [u8; PREFIX]) -> Result<usize, WireError> {
    let length = u32::from_be_bytes(prefix) as usize;
    if length > MAX_MESSAGE { Err(WireError::TooLarge(length)) } else { Ok(length) }
}

/// Reads one message's body.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, WireError> {
    Ok(rmp_serde::from_slice(body)?)
}
