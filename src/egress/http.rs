//! HTTP/1 proxy: `CONNECT`, and requests that name a whole URL.
//!
//! Every request of a connection is judged by itself and goes out on a connection of its own, with
//! its framing written anew: what a client hides in one request cannot become a second one.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::{CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, Parts, Scheme};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::TcpStream;

use super::Session;
use super::dial::DialError;

/// How long a client may take to send a head, and to begin the next one.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);

/// Most bytes of a head, either way; servers take 8 to 16 KiB.
const MAX_HEAD: usize = 64 << 10;

/// Most headers of a message.
const MAX_HEADERS: usize = 128;

/// Headers that concern one connection only (RFC 9110, 7.6.1), and what `Expect` asks of us alone.
const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    hyper::header::TE,
    hyper::header::TRAILER,
    hyper::header::TRANSFER_ENCODING,
    hyper::header::UPGRADE,
    EXPECT,
];

type Body = BoxBody<Bytes, hyper::Error>;

/// A tunnel that begins when the answer to `CONNECT` is written.
type Tunnel = Arc<Mutex<Option<(OnUpgrade, TcpStream)>>>;

/// What a request is answered with when it is not carried out.
struct Denial {
    status: StatusCode,
    reason: String,
}

/// Serves one connection to its end.
pub(super) async fn serve<S>(stream: S, session: &Session) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let tunnel = Tunnel::default();
    let service = service_fn(|request| {
        let tunnel = Arc::clone(&tunnel);
        async move {
            let answered = answer(session, request, &tunnel).await;
            Ok::<_, Infallible>(answered.unwrap_or_else(Denial::into_response))
        }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await
        .map_err(io::Error::other)?;
    let opened = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((upgrade, mut far)) = opened {
        let mut near = TokioIo::new(upgrade.await.map_err(io::Error::other)?);
        copy_bidirectional(&mut near, &mut far).await?;
    }
    Ok(())
}

async fn answer(
    session: &Session,
    mut request: Request<Incoming>,
    tunnel: &Tunnel,
) -> Result<Response<Body>, Denial> {
    let (authority, port) = destination(&request)?;
    let opened = session.dialer.open(&session.policy, authority.host().as_bytes(), port).await?;
    if request.method() == Method::CONNECT {
        let upgrade = hyper::upgrade::on(&mut request);
        *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgrade, opened));
        return Ok(Response::new(Empty::new().map_err(|never| match never {}).boxed()));
    }
    forward(request, &authority, opened).await
}

/// Where a request wants to go: only `CONNECT host:port` and `http://host[:port]/…` say so.
fn destination(request: &Request<Incoming>) -> Result<(Authority, u16), Denial> {
    let bad = |reason: &str| Denial { status: StatusCode::BAD_REQUEST, reason: reason.to_owned() };
    let uri = request.uri();
    let authority = uri.authority().ok_or_else(|| bad("this is a proxy: name a whole URL"))?;
    if authority.as_str().contains('@') {
        return Err(bad("a destination carries no user"));
    }
    let named = authority.as_str() != authority.host();
    let port = match authority.port_u16().filter(|port| *port != 0) {
        Some(port) => port,
        None if named => return Err(bad("the port is none")),
        None if request.method() == Method::CONNECT => return Err(bad("CONNECT names a port")),
        None => 80,
    };
    let plain = uri.scheme() == Some(&Scheme::HTTP);
    if request.method() != Method::CONNECT && !plain {
        return Err(bad("only http:// is forwarded; use CONNECT for everything else"));
    }
    Ok((authority.clone(), port))
}

/// Sends one request over a fresh connection and hands its answer back as it comes.
async fn forward(
    request: Request<Incoming>,
    authority: &Authority,
    stream: TcpStream,
) -> Result<Response<Body>, Denial> {
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    let host = HeaderValue::from_str(authority.as_str()).map_err(Denial::bad_gateway)?;
    parts.headers.insert(HOST, host);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    parts.version = Version::HTTP_11;
    let mut target = Parts::default();
    target.path_and_query = parts.uri.path_and_query().cloned();
    parts.uri = Uri::from_parts(target).map_err(Denial::bad_gateway)?;

    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(Denial::bad_gateway)?;
    // It ends with the request: when the sender and both bodies are gone, so is the connection.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a forwarded request broke off");
        }
    });
    let answered = sender.send_request(Request::from_parts(parts, body)).await;
    let mut response = answered.map_err(Denial::bad_gateway)?;
    strip(response.headers_mut());
    Ok(response.map(BodyExt::boxed))
}

/// Removes what concerns one connection only, and everything said to a proxy.
fn strip(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let proxy = headers.keys().filter(|name| name.as_str().starts_with("proxy-")).cloned();
    let removed: Vec<HeaderName> = proxy.chain(listed).chain(HOP_BY_HOP).collect();
    for name in removed {
        // The length frames the message; a client that lists it would unframe it.
        if name != hyper::header::CONTENT_LENGTH {
            headers.remove(name);
        }
    }
}

impl Denial {
    fn bad_gateway(error: impl std::fmt::Display) -> Self {
        Self { status: StatusCode::BAD_GATEWAY, reason: format!("the destination: {error}") }
    }

    /// The reason stands in the status line too, which is all that a client of `CONNECT` shows.
    fn into_response(self) -> Response<Body> {
        let text = format!("agentdeck: {}\n", self.reason);
        let body = Full::from(text.clone()).map_err(|never| match never {}).boxed();
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, plain);
        if self.status == StatusCode::BAD_REQUEST {
            // What follows a request that was not understood is not understood either.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Ok(reason) = ReasonPhrase::try_from(text.trim_end().to_owned()) {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

impl From<DialError> for Denial {
    fn from(error: DialError) -> Self {
        let status = match error {
            DialError::Refused(_) => StatusCode::FORBIDDEN,
            DialError::Unresolved(_) | DialError::Unreachable { .. } => StatusCode::BAD_GATEWAY,
            DialError::Late(_) => StatusCode::GATEWAY_TIMEOUT,
        };
        Self { status, reason: error.to_string() }
    }
}
