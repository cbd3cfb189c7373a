//! Files on their way to the engine, read as fast as it takes them.

use std::io::{self, Read};

use futures_util::{Stream, stream};
use hyper::body::Bytes;
use tokio::sync::mpsc;

use crate::engine::{Progress, ProgressSink};

/// Read and sent in one piece.
pub(super) const PIECE: usize = 256 << 10;
/// Pieces read ahead: enough that reading and sending overlap.
const AHEAD: usize = 4;

/// What `source` gives, for a request's body; `total` is how much that will be.
pub(super) fn pieces(
    mut source: impl Read + Send + 'static,
    total: u64,
    step: String,
    progress: &ProgressSink,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
    let progress = progress.clone();
    tokio::task::spawn_blocking(move || {
        let mut done = 0;
        loop {
            let mut piece = vec![0; PIECE];
            let read = source.read(&mut piece);
            let (piece, ended) = match read {
                Ok(0) => return,
                Ok(length) => {
                    piece.truncate(length);
                    done += length as u64;
                    (Ok(Bytes::from(piece)), false)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => (Err(error), true),
            };
            // Nobody takes it any more: the request has ended.
            if sender.blocking_send(piece).is_err() || ended {
                return;
            }
            // A full channel means that the user sees a later report instead.
            let _ = progress.try_send(Progress { step: step.clone(), done, total });
        }
    });
    stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    })
}
