//! The gateway on real sockets, with canaries that would notice what must not reach them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::model::policy::{NetworkMode, NetworkPolicy};

use super::resolve::Resolver;
use super::upstream::Upstream;
use super::*;

mod agreement;

/// A public address that stands for the canary's once the gateway has judged it.
const PUBLIC: &str = "203.0.113.5";

/// An HTTP server on loopback that tells of every request it gets.
struct Canary {
    port: u16,
    seen: mpsc::Receiver<String>,
}

impl Canary {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let (tell, seen) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let tell = tell.clone();
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => request.push(byte),
                            Err(_) => return,
                        }
                    }
                    tell.send(String::from_utf8_lossy(&request).into_owned()).await.expect("told");
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsong";
                    stream.write_all(answer).await.expect("answered");
                });
            }
        });
        Self { port, seen }
    }

    /// The requests so far. What a refused request could still do it has done when it is answered.
    fn sung(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.seen.try_recv().ok()).collect()
    }
}

/// A gateway's socket for one environment.
struct Box {
    directory: tempfile::TempDir,
    gate: Arc<Gate>,
    _server: JoinHandle<()>,
}

impl Box {
    fn with(mode: NetworkMode, allow: &[String]) -> Self {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let names: [(&str, &[&str]); 5] = [
            ("public.example", &[PUBLIC]),
            ("mixed.example", &["10.0.0.1", "::1", "127.0.0.1", PUBLIC]),
            ("rebound.example", &["127.0.0.1"]),
            ("cloud.example", &["169.254.169.254"]),
            ("lan.example", &["192.168.1.1", "fd00::1"]),
        ];
        let table = names.iter().map(|(name, addresses)| {
            ((*name).to_owned(), addresses.iter().map(|text| address(text)).collect())
        });
        let gateway = Gateway::with(Dialer {
            resolver: Resolver::Table(table.collect()),
            upstream: Upstream::default(),
            detours: HashMap::from([(address(PUBLIC), Ipv4Addr::LOCALHOST.into())]),
        });
        let allow = allow.iter().map(|entry| entry.parse().expect("a host and a port")).collect();
        let directory = tempfile::tempdir().expect("a directory");
        let listener = crate::socket::bind(directory.path(), "egress.sock").expect("bound");
        listener.set_nonblocking(true).expect("set");
        let listener = UnixListener::from_std(listener).expect("registered");
        let gate = Gate::new(NetworkPolicy { mode, allow });
        let server = gateway.serve(listener, Arc::clone(&gate));
        Self { directory, gate, _server: server }
    }

    fn open() -> Self {
        Self::with(NetworkMode::Open, &[])
    }

    async fn dial(&self) -> UnixStream {
        dial(self.directory.path()).await
    }

    /// Sends bytes, and reads until the gateway closes.
    async fn ask(&self, request: &str) -> String {
        let mut stream = self.dial().await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        // A gateway that closes with bytes unread resets, after what it said.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The status of a request for `url` and of a tunnel to the same place.
    async fn statuses(&self, place: &str) -> [String; 2] {
        let status = |answer: &str| answer.get(9..12).unwrap_or_default().to_owned();
        let get = format!("GET http://{place}/ HTTP/1.1\r\nConnection: close\r\n\r\n");
        let got = self.ask(&get).await;
        let mut tunnel = self.dial().await;
        let connect = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n");
        tunnel.write_all(connect.as_bytes()).await.expect("sent");
        [status(&got), status(&head(&mut tunnel).await)]
    }

    /// The code a SOCKS client is answered for a name, and the connection.
    async fn socks(&self, name: &[u8], port: u16) -> (u8, UnixStream) {
        let mut stream = self.dial().await;
        let mut request = vec![5, 1, 0, 5, 1, 0, 3, name.len() as u8];
        request.extend_from_slice(name);
        request.extend_from_slice(&port.to_be_bytes());
        stream.write_all(&request).await.expect("sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("answered");
        (answer[3], stream)
    }
}

async fn dial(directory: &Path) -> UnixStream {
    crate::socket::connect_now(directory, "egress.sock").await.expect("connected")
}

async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn sing<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let mut answer = head(stream).await;
    let mut body = [0; 4];
    stream.read_exact(&mut body).await.expect("a body");
    answer.push_str(&String::from_utf8_lossy(&body));
    answer
}

#[tokio::test]
async fn a_service_of_the_host_is_reached_by_its_name_only_when_named() {
    let mut canary = Canary::start().await;
    let place = format!("host.agentdeck:{}", canary.port);
    for mode in [NetworkMode::Open, NetworkMode::Allow] {
        let named = Box::with(mode, &[format!("host:{}", canary.port)]);
        assert_eq!(named.statuses(&place).await, ["200", "200"]);
        let (code, mut stream) = named.socks(b"host.agentdeck", canary.port).await;
        assert_eq!(code, 0);
        assert!(sing(&mut stream).await.ends_with("song"));
        assert_eq!(canary.sung().len(), 2);
        assert_eq!(Box::with(mode, &[]).statuses(&place).await, ["403", "403"]);
    }
    assert_eq!(canary.sung(), Vec::<String>::new());
}

#[tokio::test]
async fn no_spelling_reaches_a_service_of_the_host_that_was_not_named() {
    let mut canary = Canary::start().await;
    let mut direct = tokio::net::TcpStream::connect(("127.0.0.1", canary.port)).await.expect("up");
    assert!(sing(&mut direct).await.ends_with("song"), "the canary sings when it is reached");
    assert_eq!(canary.sung().len(), 1);
    let open = Box::open();
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "127.1",
        "0177.0.0.1",
        "0x7f000001",
        "2130706433",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "127.0.0.2",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "host.agentdeck",
        "rebound.example",
        "a.localhost",
        "[::1%25lo]",
        "user@127.0.0.1",
        "public.example@127.0.0.1",
    ] {
        let statuses = open.statuses(&format!("{host}:{}", canary.port)).await;
        let refused = |status: &String| status == "403" || status == "400";
        assert!(statuses.iter().all(refused), "{host} was answered {statuses:?}");
        let (code, _) = open.socks(host.trim_matches(['[', ']']).as_bytes(), canary.port).await;
        assert_eq!(code, 2, "{host}");
    }
    for name in
        [&b"127.0.0.1\0.public.example"[..], b"public.example\0", b"localhost\n", b"", b"\xff"]
    {
        assert_eq!(open.socks(name, canary.port).await.0, 2, "{name:?}");
    }
    assert_eq!(canary.sung(), Vec::<String>::new());
}

#[tokio::test]
async fn the_host_s_own_addresses_are_refused_on_every_interface() {
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").expect("bound");
    let mut addresses = vec!["127.0.0.1".to_owned()];
    if probe.connect((PUBLIC, 9)).is_ok() {
        addresses.push(probe.local_addr().expect("an address").ip().to_string());
    }
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    for address in addresses {
        tokio::net::TcpStream::connect((address.as_str(), port)).await.expect("reached directly");
        listener.accept().await.expect("the control arrives");
        assert_eq!(Box::open().statuses(&format!("{address}:{port}")).await, ["403", "403"]);
        let arrived = timeout(Duration::ZERO, listener.accept()).await;
        assert!(arrived.is_err(), "{address}");
    }
}

#[tokio::test]
async fn only_admitted_addresses_of_a_name_are_dialled() {
    let mut canary = Canary::start().await;
    let open = Box::open();
    for host in ["public.example", "mixed.example", PUBLIC] {
        let statuses = open.statuses(&format!("{host}:{}", canary.port)).await;
        assert_eq!(statuses, ["200", "200"], "{host}");
    }
    for host in ["rebound.example", "cloud.example", "lan.example"] {
        let statuses = open.statuses(&format!("{host}:{}", canary.port)).await;
        assert_eq!(statuses, ["403", "403"], "{host}");
    }
    assert_eq!(open.statuses("missing.example:80").await, ["502", "502"]);
    assert_eq!(canary.sung().len(), 3);
}

#[tokio::test]
async fn every_request_of_a_connection_is_judged_by_itself() {
    let mut canary = Canary::start().await;
    let port = canary.port;
    let answer = Box::open()
        .ask(&format!(
            "GET http://public.example:{port}/one HTTP/1.1\r\nHost: public.example\r\n\r\n\
             GET http://127.0.0.1:{port}/two HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n\
             GET http://public.example:{port}/three HTTP/1.1\r\nConnection: close\r\n\r\n"
        ))
        .await;
    let statuses: Vec<&str> =
        answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "403", "200"], "{answer}");
    assert!(answer.contains("agentdeck: 127.0.0.1 is this machine's own"), "{answer}");
    let sung = canary.sung();
    let lines: Vec<_> = sung.iter().filter_map(|request| request.lines().next()).collect();
    assert_eq!(lines, ["GET /one HTTP/1.1", "GET /three HTTP/1.1"]);
}

#[tokio::test]
async fn what_is_said_to_the_proxy_and_the_client_s_host_stay_behind() {
    let mut canary = Canary::start().await;
    let port = canary.port;
    Box::open()
        .ask(&format!(
            "GET http://public.example:{port}/a?b=c HTTP/1.1\r\nHost: Public.Example.:{port}\r\n\
             Proxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\n\
             Connection: close, X-Hop\r\nX-Hop: 1\r\nUpgrade: websocket\r\nX-End: 2\r\n\r\n"
        ))
        .await;
    let [request] = canary.sung().try_into().expect("one request");
    let mut lines: Vec<&str> = request.trim_end().lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: public.example:{port}");
    assert_eq!(lines, ["GET /a?b=c HTTP/1.1", "connection: close", &host, "x-end: 2"]);
}

#[tokio::test]
async fn a_request_hidden_in_another_is_never_seen_by_a_server() {
    let mut canary = Canary::start().await;
    let start = format!("POST http://public.example:{}/ HTTP/1.1\r\n", canary.port);
    let hidden = "GET /hidden HTTP/1.1\r\nHost: public.example\r\n\r\n";
    for framing in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 4\r\nContent-Length: 40\r\n\r\nbody",
        "Content-Length: +4\r\n\r\nbody",
        "Content-Length: 4\r\nConnection: content-length\r\n\r\nbody",
        "X: 1\r\n Content-Length: 4\r\n\r\nbody",
    ] {
        Box::open().ask(&format!("{start}{framing}{hidden}")).await;
        for request in canary.sung() {
            assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{framing:?} made {request:?}");
        }
    }
}

#[tokio::test]
async fn requests_that_no_proxy_should_take_are_refused() {
    let open = Box::open();
    let long =
        format!("GET http://public.example/ HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(80 << 10));
    for request in [
        "GET / HTTP/1.1\r\nHost: public.example\r\n\r\n",
        "GET https://public.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET ftp://public.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT public.example HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT public.example:99999 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://public.example:0/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://public.example:/ HTTP/1.1\r\nHost: x\r\n\r\n",
        &long,
    ] {
        let answer = open.ask(request).await;
        let shown: String = request.chars().take(60).collect();
        assert!(answer.get(9..10) == Some("4"), "{shown:?} was answered {answer:?}");
    }
}

#[tokio::test]
async fn socks_takes_addresses_and_nothing_but_connect() {
    let canary = Canary::start().await;
    let open = Box::open();
    let ask = async |command: u8, kind: u8, address: &[u8]| {
        let mut stream = open.dial().await;
        let mut request = vec![5, 2, 2, 0, 5, command, 0, kind];
        request.extend_from_slice(address);
        request.extend_from_slice(&canary.port.to_be_bytes());
        stream.write_all(&request).await.expect("sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("answered");
        answer[3]
    };
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
    assert_eq!(ask(1, 1, &[203, 0, 113, 5]).await, 0);
    assert_eq!(ask(1, 1, &[127, 0, 0, 1]).await, 2);
    assert_eq!(ask(1, 4, &mapped).await, 2);
    assert_eq!(ask(2, 1, &[203, 0, 113, 5]).await, 7);
    assert_eq!(ask(3, 1, &[203, 0, 113, 5]).await, 7);
    let mut stream = open.dial().await;
    stream.write_all(&[5, 1, 2]).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("read");
    assert_eq!(answer, [5, 0xff]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_or_half_is_left() {
    let open = Box::open();
    for beginning in [&b""[..], b"GET http://public.example/ HT", b"\x05", b"\x05\x01\x00\x05\x01"]
    {
        let mut stream = open.dial().await;
        stream.write_all(beginning).await.expect("sent");
        let mut rest = Vec::new();
        // The clock is paused, so that only the gateway's own deadlines can end this.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.len() < 200, "{rest:?}");
    }
}

#[tokio::test]
async fn the_host_s_own_proxy_gets_names_and_never_what_is_refused() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let proxy = format!("http://user:p%40ss@127.0.0.1:{port}");
    let upstream = Upstream::from_environment(|name| match name {
        "https_proxy" => Some(proxy.clone()),
        "NO_PROXY" => Some("direct.example, .inner.example".to_owned()),
        _ => None,
    });
    let dialer = Dialer {
        resolver: Resolver::Table(HashMap::new()),
        upstream: upstream.expect("a proxy"),
        detours: HashMap::new(),
    };
    let open = NetworkPolicy { mode: NetworkMode::Open, allow: Vec::new() };
    let host = |text: &str| Host::parse(text.as_bytes()).expect("a host");
    for refused in ["127.0.0.1", "10.0.0.1", "metadata.google.internal", "localhost"] {
        let error = dialer.open(&open, &host(refused), 443).await.err().expect("refused");
        assert!(matches!(error, dial::DialError::Refused(_)), "{refused}: {error}");
    }
    for direct in ["direct.example", "a.inner.example"] {
        let error = dialer.open(&open, &host(direct), 443).await.err().expect("not in the table");
        assert!(matches!(error, dial::DialError::Unresolved(_)), "{direct}: {error}");
    }
    let answering = async {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        let asked = head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nfirst").await.expect("answered");
        (asked, stream)
    };
    let unknown = host("unknown.example");
    let (opened, (asked, _kept)) = tokio::join!(dialer.open(&open, &unknown, 443), answering);
    let mut first = [0; 5];
    opened
        .map_err(|error| error.to_string())
        .expect("a tunnel")
        .stream
        .read_exact(&mut first)
        .await
        .expect("read");
    assert_eq!(&first, b"first");
    assert!(asked.starts_with("CONNECT unknown.example:443 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("Proxy-Authorization: Basic dXNlcjpwQHNz\r\n"), "{asked}");
}

#[test]
fn a_proxy_that_cannot_be_used_is_a_failure() {
    for value in ["socks5://127.0.0.1:1080", "https://proxy.example", "http://:80", "http://a:b"] {
        let read =
            Upstream::from_environment(|name| (name == "ALL_PROXY").then(|| value.to_owned()));
        assert!(read.is_err(), "{value}");
    }
    assert_eq!(Upstream::from_environment(|_| None).expect("none"), Upstream::default());
}
