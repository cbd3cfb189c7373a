//! Tells when a connection has carried nothing for a while, in either direction.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

/// Counts the bytes of one stream.
#[derive(Clone, Default)]
pub(super) struct Activity {
    moved: Arc<AtomicU64>,
}

/// A stream whose bytes are counted.
pub(super) struct Watched<S> {
    stream: S,
    activity: Activity,
}

impl Activity {
    pub(super) fn watch<S>(&self, stream: S) -> Watched<S> {
        Watched { stream, activity: self.clone() }
    }

    /// Ends when nothing moved for at least `idle`, and less than twice as long.
    pub(super) async fn ceased(&self, idle: Duration) {
        let mut before = None;
        loop {
            let now = self.moved.load(Ordering::Relaxed);
            if before == Some(now) {
                return;
            }
            before = Some(now);
            sleep(idle).await;
        }
    }

    fn add(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.activity.add(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.activity.add(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_carries_something_is_not_idle() {
        let idle = Duration::from_mins(1);
        let activity = Activity::default();
        let (near, mut far) = duplex(8);
        let mut near = activity.watch(near);
        let start = Instant::now();
        let talk = async {
            for _ in 0..5 {
                sleep(idle / 2).await;
                far.write_all(b"x").await.expect("written");
                near.read_u8().await.expect("read");
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = talk => unreachable!("it waits for ever"),
            () = activity.ceased(idle) => {}
        }
        let waited = start.elapsed();
        assert!(waited >= idle * 7 / 2 && waited <= idle * 9 / 2, "{waited:?}");
    }
}
