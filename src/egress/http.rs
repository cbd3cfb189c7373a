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
use hyper::header::{
    CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE,
};
use hyper::http::uri::{Authority, Parts, Scheme};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::TcpStream;

use crate::model::destination::Host;

use super::dial::{DialError, Opened};
use super::gate::Place;
use super::policy::Refusal;
use super::{Session, tunnel};

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
    UPGRADE,
    EXPECT,
];

/// The one protocol that a request may change to: after it, both sides have left HTTP.
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

type Body = BoxBody<Bytes, hyper::Error>;

/// What follows a connection's last answer.
enum After {
    /// A tunnel, which begins when the answer to `CONNECT` is written.
    Tunnel { near: OnUpgrade, opened: Opened },
    /// Both sides have changed to another protocol.
    Switched { near: OnUpgrade, far: OnUpgrade, place: Place },
}

type Later = Arc<Mutex<Option<After>>>;

/// What a request is answered with when it is not carried out.
struct Rejection {
    status: StatusCode,
    reason: String,
}

/// The one destination that a tunnel's requests may be for.
pub(super) struct Bound {
    place: Place,
    /// The connection that the tunnel was opened with, until a request has taken it.
    spare: Mutex<Option<TcpStream>>,
}

impl Bound {
    pub(super) fn new(place: Place, stream: TcpStream) -> Self {
        Self { place, spare: Mutex::new(Some(stream)) }
    }
}

/// Serves one connection of a client that knows it talks to a proxy.
pub(super) async fn serve<S>(stream: S, session: &Session) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let later = Later::default();
    run(stream, |request| answer(session, request, Arc::clone(&later))).await?;
    match taken(&later) {
        None => Ok(()),
        Some(After::Switched { near, far, place }) => switch(near, far, &place, session).await,
        Some(After::Tunnel { near, opened }) => {
            let near = TokioIo::new(near.await.map_err(io::Error::other)?);
            tunnel::carry(near, opened, session).await
        }
    }
}

/// Serves one connection of a client that thinks it talks to its destination.
pub(super) async fn serve_bound<S>(stream: S, session: &Session, bound: Bound) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let later = Later::default();
    let answering = |request| answer_bound(session, request, &bound, Arc::clone(&later));
    if let Err(error) = run(stream, answering).await {
        let Place { host, port, .. } = &bound.place;
        let unread = Refusal::Unjudged { destination: format!("{host}:{port}") };
        if error
            .get_ref()
            .and_then(|error| error.downcast_ref())
            .is_some_and(hyper::Error::is_parse)
        {
            session.refuse(host, *port, &unread);
        }
        return Err(error);
    }
    match taken(&later) {
        Some(After::Switched { near, far, place }) => switch(near, far, &place, session).await,
        _ => Ok(()),
    }
}

async fn run<S, F>(stream: S, answering: impl Fn(Request<Incoming>) -> F) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Result<Response<Body>, Rejection>>,
{
    let service = service_fn(|request| {
        let answered = answering(request);
        async { Ok::<_, Infallible>(answered.await.unwrap_or_else(Rejection::into_response)) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        // A client may say that it has said everything and still want the answer.
        .half_close(true)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await
        .map_err(io::Error::other)
}

fn taken(later: &Later) -> Option<After> {
    later.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Carries what follows a change of protocol.
async fn switch(
    near: OnUpgrade,
    far: OnUpgrade,
    place: &Place,
    session: &Session,
) -> io::Result<()> {
    let carried = async {
        let mut near = TokioIo::new(near.await.map_err(io::Error::other)?);
        let mut far = TokioIo::new(far.await.map_err(io::Error::other)?);
        copy_bidirectional(&mut near, &mut far).await.map(drop)
    };
    tokio::select! {
        result = carried => result,
        () = session.gate.revoked(place) => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

async fn answer(
    session: &Session,
    mut request: Request<Incoming>,
    later: Later,
) -> Result<Response<Body>, Rejection> {
    session.turns.next().await;
    let (authority, port) = destination(&request)?;
    let host = session.read(authority.host().as_bytes(), port).map_err(DialError::from)?;
    check_host(session, request.headers(), &host, port)?;
    let opened = session.open(authority.host().as_bytes(), port).await?;
    if request.method() == Method::CONNECT {
        let near = hyper::upgrade::on(&mut request);
        let tunnel = After::Tunnel { near, opened };
        *later.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
        return Ok(Response::new(Empty::new().map_err(|never| match never {}).boxed()));
    }
    forward(session, request, opened.place, opened.stream, &later).await
}

/// Answers a request that came through a tunnel: one for the tunnel's own destination.
async fn answer_bound(
    session: &Session,
    request: Request<Incoming>,
    bound: &Bound,
    later: Later,
) -> Result<Response<Body>, Rejection> {
    session.turns.next().await;
    let Bound { place, spare } = bound;
    let Place { host, port, .. } = place;
    if request.method() == Method::CONNECT {
        return Err(Rejection::bad("this is no proxy"));
    }
    if request.uri().authority().is_some() {
        let (authority, said_port) = destination(&request)?;
        let said = session.read(authority.host().as_bytes(), said_port).map_err(DialError::from)?;
        agree(session, host, *port, "the request", (&said, Some(said_port)))?;
    }
    let named = check_host(session, request.headers(), host, *port)?;
    let spare = spare.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (mut place, stream) = if let Some(stream) = spare {
        (place.clone(), stream)
    } else {
        let opened = session.open(host.to_string().as_bytes(), *port).await?;
        (opened.place, opened.stream)
    };
    // What was asked for by its name is reached as long as the name is.
    place.host = named.unwrap_or(place.host);
    forward(session, request, place, stream, &later).await
}

/// Where a request wants to go: only `CONNECT host:port` and `http://host[:port]/…` say so.
fn destination(request: &Request<Incoming>) -> Result<(Authority, u16), Rejection> {
    let bad = Rejection::bad;
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

/// Refuses a request whose `Host` is for somewhere else; returns what it names, if it has one.
fn check_host(
    session: &Session,
    headers: &HeaderMap,
    host: &Host,
    port: u16,
) -> Result<Option<Host>, Rejection> {
    let mut values = headers.get_all(HOST).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Rejection::bad("Host is named more than once"));
    }
    let value = value.as_bytes();
    let colon = value.iter().rposition(|byte| *byte == b':');
    let colon = colon.filter(|_| value.last() != Some(&b']'));
    let (name, said_port) = match colon {
        Some(colon) => (&value[..colon], Some(&value[colon + 1..])),
        None => (value, None),
    };
    let unread = || Rejection::bad("Host cannot be read in one way only");
    let said = Host::parse(name).ok_or_else(unread)?;
    let said_port = match said_port {
        None => None,
        Some(digits) if digits.iter().all(u8::is_ascii_digit) => {
            let digits = std::str::from_utf8(digits).ok();
            Some(digits.and_then(|digits| digits.parse().ok()).ok_or_else(unread)?)
        }
        Some(_) => return Err(unread()),
    };
    agree(session, host, port, "the Host header", (&said, said_port))?;
    Ok(Some(said))
}

/// Refuses, and notes, what names another destination than the one that was judged.
fn agree(
    session: &Session,
    host: &Host,
    port: u16,
    what: &'static str,
    said: (&Host, Option<u16>),
) -> Result<(), Rejection> {
    let agreed = match said {
        (said, Some(other)) if other != port => Err(Refusal::Disagrees {
            destination: format!("{host}:{port}"),
            what,
            said: format!("{said}:{other}"),
        }),
        (said, _) => session.agree(host, port, what, said),
    };
    agreed.map_err(|refusal| {
        session.refuse(host, port, &refusal);
        Rejection { status: StatusCode::MISDIRECTED_REQUEST, reason: refusal.to_string() }
    })
}

/// Sends one request over a fresh connection and hands its answer back as it comes.
async fn forward(
    session: &Session,
    mut request: Request<Incoming>,
    place: Place,
    stream: TcpStream,
    later: &Later,
) -> Result<Response<Body>, Rejection> {
    let switches = wants_websocket(&request);
    let near = switches.then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    let Place { ref host, port, .. } = place;
    let host = if port == 80 { host.to_string() } else { format!("{host}:{port}") };
    parts.headers.insert(HOST, HeaderValue::from_str(&host).map_err(Rejection::bad_gateway)?);
    frame(&mut parts.headers, switches);
    parts.version = Version::HTTP_11;
    let mut target = Parts::default();
    target.path_and_query = parts.uri.path_and_query().cloned();
    parts.uri = Uri::from_parts(target).map_err(Rejection::bad_gateway)?;

    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(Rejection::bad_gateway)?;
    // It ends with the request: when the sender and both bodies are gone, so is the connection.
    let (gate, judged) = (Arc::clone(&session.gate), place.clone());
    tokio::spawn(async move {
        tokio::select! {
            ended = connection.with_upgrades() => if let Err(error) = ended {
                tracing::debug!(%error, "a forwarded request broke off");
            },
            () = gate.revoked(&judged) => {}
        }
    });
    let answered = sender.send_request(Request::from_parts(parts, body)).await;
    let mut response = answered.map_err(Rejection::bad_gateway)?;
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    strip(response.headers_mut());
    if switched {
        let near = near.ok_or_else(|| Rejection::bad_gateway("it changed the protocol unasked"))?;
        let far = hyper::upgrade::on(&mut response);
        frame(response.headers_mut(), switched);
        let after = After::Switched { near, far, place };
        *later.lock().unwrap_or_else(PoisonError::into_inner) = Some(after);
    }
    Ok(response.map(BodyExt::boxed))
}

/// Whether a request asks to change to the protocol that may be changed to.
fn wants_websocket(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    let mut upgrades = headers.get_all(UPGRADE).iter();
    let asked =
        upgrades.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let listed = headers.get_all(CONNECTION).iter().any(|value| {
        let names = value.as_bytes().split(|byte| *byte == b',');
        names.into_iter().any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    request.method() == Method::GET && asked && listed && upgrades.next().is_none()
}

/// Says what becomes of the connection after a message.
fn frame(headers: &mut HeaderMap, switches: bool) {
    let connection = if switches { "upgrade" } else { "close" };
    headers.insert(CONNECTION, HeaderValue::from_static(connection));
    if switches {
        headers.insert(UPGRADE, WEBSOCKET);
    }
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

impl Rejection {
    fn bad(reason: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, reason: reason.to_owned() }
    }

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
        if [StatusCode::BAD_REQUEST, StatusCode::MISDIRECTED_REQUEST].contains(&self.status) {
            // What follows a request that was not understood, or that lied, is not read.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Ok(reason) = ReasonPhrase::try_from(text.trim_end().to_owned()) {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

impl From<DialError> for Rejection {
    fn from(error: DialError) -> Self {
        let status = match error {
            DialError::Refused(_) => StatusCode::FORBIDDEN,
            DialError::Unresolved(_) | DialError::Unreachable { .. } => StatusCode::BAD_GATEWAY,
            DialError::Late(_) => StatusCode::GATEWAY_TIMEOUT,
        };
        Self { status, reason: error.to_string() }
    }
}
