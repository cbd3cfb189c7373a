//! Requests over an engine's unix socket, one connection for each, with a bound on the answer.
//!
//! An engine is asked for control only, so its answers are short; one that never ends would
//! otherwise be collected until memory is full. Only archives of images have no bound: they are
//! written to a file as they come.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// Most bytes of one answer. The longest are the reports of a build or a pull, which have a few
/// megabytes; a listing of a thousand containers has two.
const MAX_ANSWER: u64 = 64 << 20;

/// The header with a registry's credentials.
const CREDENTIALS: &str = "x-registry-auth";

/// A client of the engine that listens on `socket`. `patience` is how long it may take until it
/// begins to answer.
pub(super) fn client(socket: &Path, patience: Duration) -> Result<bollard::Docker, Error> {
    let socket = socket.to_owned();
    bollard::Docker::connect_with_custom_transport(
        move |request: BollardRequest| exchange(socket.clone(), request),
        Some("http://engine"),
        patience.as_secs(),
        API_DEFAULT_VERSION,
    )
}

/// Posts a document to the engine, outside of the library's vocabulary; the answer is its status
/// and its body.
pub(super) async fn post(
    socket: &Path,
    path: &str,
    document: String,
) -> Result<(u16, Bytes), Error> {
    let request = hyper::Request::post(path)
        .header(CONTENT_TYPE, "application/json")
        .body(bollard::body_full(document.into()));
    let request = request.map_err(|error| io::Error::other(format!("{error}")))?;
    let answer = exchange(socket.to_owned(), request).await?;
    let status = answer.status().as_u16();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}

async fn exchange(
    socket: PathBuf,
    mut request: BollardRequest,
) -> Result<Response<Incoming>, Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    // Archives of images and containers; `/images/NAME/get` and `/containers/ID/archive`.
    let resource = request.uri().path();
    let is_archive = resource.ends_with("/get") || resource.ends_with("/archive");
    let room = if is_archive { u64::MAX } else { MAX_ANSWER };
    let origin_form: Uri = path.parse().map_err(|error| io::Error::other(format!("{error}")))?;
    *request.uri_mut() = origin_form;
    request.headers_mut().insert(HOST, HeaderValue::from_static("engine"));
    if let Some(value) = request.headers().get(CREDENTIALS).and_then(url_safe) {
        request.headers_mut().insert(CREDENTIALS, value);
    }
    let stream = UnixStream::connect(&socket).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(Bounded { stream, room })).await?;
    // It ends with the answer, or when nobody reads that any more.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

/// Credentials in the alphabet that engines read (RFC 4648, 5); the library has the other one, in
/// which some passwords would be taken for none at all.
fn url_safe(value: &HeaderValue) -> Option<HeaderValue> {
    let text = value.to_str().ok()?.replace('+', "-").replace('/', "_");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A stream that breaks when more comes than it has room for.
struct Bounded {
    stream: UnixStream,
    room: u64,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let more = (buffer.filled().len() - before) as u64;
        match self.room.checked_sub(more) {
            Some(room) => {
                self.room = room;
                polled
            }
            None => Poll::Ready(Err(io::Error::other(format!(
                "the engine's answer is longer than {} MiB",
                MAX_ANSWER >> 20
            )))),
        }
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;
    use crate::engine::docker::problem::call;

    /// What asking for the version of an engine that answers with `answer` comes to.
    async fn version_of(answer: Vec<u8>) -> Result<bollard::models::SystemVersion, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).expect("bound");
        let engine = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
        });
        let deadline = Duration::from_secs(20);
        let client = client(&socket, deadline).expect("a client");
        let version = call(deadline, client.version()).await;
        engine.abort();
        version.map_err(|problem| problem.during("asking").message)
    }

    #[test]
    fn credentials_are_in_the_alphabet_that_engines_read() {
        let value = HeaderValue::from_static("eyJ+Pz8/fn5+fQ==");
        assert_eq!(url_safe(&value).expect("text"), "eyJ-Pz8_fn5-fQ==");
    }

    fn answer(body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    #[tokio::test]
    async fn an_answer_is_read_when_it_is_one() {
        let version = version_of(answer(br#"{"Version":"1.2"}"#)).await.expect("read");
        assert_eq!(version.version.as_deref(), Some("1.2"));
    }

    #[tokio::test]
    async fn an_engine_that_lies_is_a_failure_and_no_more() {
        let endless = answer(&vec![b' '; usize::try_from(MAX_ANSWER).expect("fits") + 1]);
        for (lie, words) in [
            (answer(b"{\"Version\":"), "makes no sense"),
            (answer(b"[[[["), "makes no sense"),
            (answer(b"{\"Version\":7}"), "makes no sense"),
            (answer(b"\xff\xfe\0"), "makes no sense"),
            (endless, "longer than 64 MiB"),
            (b"SSH-2.0-OpenSSH_9\r\n".to_vec(), "cannot be reached"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}".to_vec(), "cannot be reached"),
            (Vec::new(), "cannot be reached"),
        ] {
            let shown = String::from_utf8_lossy(&lie[..lie.len().min(60)]).into_owned();
            let message = version_of(lie).await.expect_err(&shown);
            assert!(message.contains(words), "{shown:?}: {message}");
        }
    }
}
