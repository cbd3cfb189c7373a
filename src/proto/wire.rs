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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::id::{EnvironmentId, SessionId};
    use crate::model::screen::Size;
    use crate::proto::{ClientMessage, Request, ServerMessage, Target};

    fn messages() -> Vec<ClientMessage> {
        let environment = EnvironmentId::from_random([7; 8]);
        let name = Target::Name { repository: Some("/shop".into()), name: "fox".to_owned() };
        let command = vec!["sh".to_owned(), "-c".to_owned()];
        let requests = [
            Request::ServerStatus,
            Request::ReadFiles { target: Target::Id(environment.clone()), path: vec![0, 255] },
            Request::StartExec { target: name, command, root: true, variables: Vec::new() },
            Request::ResizeSession { environment, session: SessionId::AGENT, size: Size::DEFAULT },
        ];
        let numbered = requests.into_iter().zip(1..);
        let mut messages: Vec<ClientMessage> =
            numbered.map(|(request, id)| ClientMessage::Request { id, request }).collect();
        messages.push(ClientMessage::Hello { version: 2 });
        messages
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let _ = decode::<ClientMessage>(&bytes);
            let _ = decode::<ServerMessage>(&bytes);
        }

        #[test]
        fn a_damaged_message_is_refused_or_says_what_it_then_says(
            which in any::<prop::sample::Index>(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = Vec::new();
            encode(which.get(&messages()), &mut bytes).expect("encoded");
            let mut body = bytes.split_off(PREFIX);
            for (at, value) in damage {
                let at = at.index(body.len());
                body[at] = value;
            }
            body.truncate(cut.index(body.len() * 4).max(1));
            if let Ok(message) = decode::<ClientMessage>(&body) {
                let mut again = Vec::new();
                encode(&message, &mut again).expect("encoded");
                prop_assert_eq!(decode::<ClientMessage>(&again[PREFIX..]).expect("read"), message);
            }
        }
    }
}
