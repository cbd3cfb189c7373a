//! A stream of messages over any pair of byte streams.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::wire;

/// The receiving half. Cancelling `receive` between messages loses nothing; within one it keeps
/// what was read.
#[derive(Debug)]
pub struct Receiver<R, T> {
    reader: R,
    buffer: Vec<u8>,
    filled: usize,
    message: PhantomData<fn() -> T>,
}

impl<R: AsyncRead + Unpin, T: DeserializeOwned> Receiver<R, T> {
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), filled: 0, message: PhantomData }
    }

    /// Waits for the next message; `None` when the peer closed between messages.
    pub async fn receive(&mut self) -> anyhow::Result<Option<T>> {
        loop {
            let wanted = match self.wanted()? {
                Some(total) if self.filled >= total => {
                    let message = wire::decode(&self.buffer[wire::PREFIX..total])?;
                    self.buffer.drain(..total);
                    self.filled -= total;
                    return Ok(Some(message));
                }
                Some(total) => total,
                None => wire::PREFIX,
            };
            // Room for what is missing, and for more that may already have arrived.
            const CHUNK: usize = 16 << 10;
            let target = wanted.max(self.filled + CHUNK);
            self.buffer.resize(target, 0);
            let count = self.reader.read(&mut self.buffer[self.filled..]).await?;
            if count == 0 {
                anyhow::ensure!(self.filled == 0, "the connection ended within a message");
                return Ok(None);
            }
            self.filled += count;
        }
    }

    /// The total length of the message at hand, once its prefix is there.
    fn wanted(&self) -> Result<Option<usize>, wire::WireError> {
        if self.filled < wire::PREFIX {
            return Ok(None);
        }
        let prefix = [self.buffer[0], self.buffer[1], self.buffer[2], self.buffer[3]];
        Ok(Some(wire::PREFIX + wire::length(prefix)?))
    }
}

/// Reads one message and not a byte more, for a connection that may become a stream after it.
/// `None` when the peer closed before it. Not safe to cancel.
pub async fn receive_one<R, T>(reader: &mut R) -> anyhow::Result<Option<T>>
where
    R: AsyncRead + Unpin,
    T: DeserializeOwned,
{
    let mut prefix = [0; wire::PREFIX];
    if reader.read(&mut prefix[..1]).await? == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut prefix[1..]).await?;
    let mut body = vec![0; wire::length(prefix)?];
    reader.read_exact(&mut body).await?;
    Ok(Some(wire::decode(&body)?))
}

/// The sending half.
#[derive(Debug)]
pub struct Sender<W, T> {
    writer: W,
    buffer: Vec<u8>,
    message: PhantomData<fn(T)>,
}

impl<W: AsyncWrite + Unpin, T: Serialize> Sender<W, T> {
    pub fn new(writer: W) -> Self {
        Self { writer, buffer: Vec::new(), message: PhantomData }
    }

    /// Writes one message whole. Not safe to cancel: a half-written message breaks the stream.
    pub async fn send(&mut self, message: &T) -> anyhow::Result<()> {
        self.buffer.clear();
        if let Err(error) = wire::encode(message, &mut self.buffer) {
            self.buffer = Vec::new();
            return Err(error.into());
        }
        self.writer.write_all(&self.buffer).await?;
        self.writer.flush().await?;
        // A rare huge message must not keep its memory for the connection's life.
        const KEEP: usize = 1 << 20;
        if self.buffer.capacity() > KEEP {
            self.buffer = Vec::new();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{ClientMessage, Request};

    #[tokio::test]
    async fn messages_arrive_whole_however_the_bytes_are_split() {
        let sent = vec![
            ClientMessage::Hello { version: 7 },
            ClientMessage::Request { id: 1, request: Request::ServerStatus },
            ClientMessage::Request {
                id: 2,
                request: Request::SendExecInput { bytes: vec![0; 40_000] },
            },
        ];
        for pipe in [1, 3, 64, 1 << 16] {
            let (near, far) = tokio::io::duplex(pipe);
            let messages = sent.clone();
            let writer = tokio::spawn(async move {
                let mut sender = Sender::new(near);
                for message in &messages {
                    sender.send(message).await.expect("sent");
                }
            });
            let mut receiver = Receiver::<_, ClientMessage>::new(far);
            let mut received = Vec::new();
            while let Some(message) = receiver.receive().await.expect("received") {
                received.push(message);
            }
            writer.await.expect("the writer ends");
            assert_eq!(received, sent);
        }
    }
}
