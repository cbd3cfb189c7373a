//! A connection whose end is always seen.
//!
//! Where less was read than there was room for, tokio waits for the kernel to tell of more, an end
//! included: Linux says with the last bytes that nothing follows them. An emulated kernel says
//! neither, and what came together with the end of a connection would be waited on for ever. This
//! one asks until there is nothing to read, at the price of a system call for each burst.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

pub(super) struct Eager(UnixStream);

impl From<UnixStream> for Eager {
    fn from(stream: UnixStream) -> Self {
        Self(stream)
    }
}

impl AsyncRead for Eager {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Eager {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn bytes_pass_both_ways_to_their_end() {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let mut near = Eager::from(near);
        far.write_all(b"asked").await.expect("written");
        far.shutdown().await.expect("ended");
        let mut asked = Vec::new();
        near.read_to_end(&mut asked).await.expect("read to its end");
        near.write_all(b"answered").await.expect("written");
        near.shutdown().await.expect("ended");
        let mut answered = Vec::new();
        far.read_to_end(&mut answered).await.expect("read to its end");
        assert_eq!((asked.as_slice(), answered.as_slice()), (&b"asked"[..], &b"answered"[..]));
    }
}
