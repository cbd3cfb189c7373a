//! The box's end of the way out: loopback listeners whose connections go on to the gateway.
//!
//! It decides nothing. A program that knows proxies talks to the gateway through it as it is; one
//! that does not dials an address that the name server gave it, and is connected by that name.

use std::future::Future;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::socket;

use super::config::RelayConfig;
use super::names::{MAX_QUERY, Names};

/// Ports on which connections to any name are taken: the web and ssh.
const USUAL_PORTS: [u16; 3] = [80, 443, 22];

const NAME_PORT: u16 = 53;

/// Connections relayed at a time, as many as the gateway takes. Further ones wait.
const MAX_CONNECTIONS: usize = 256;

/// Connections to the name server at a time; programs rarely use more than one.
const MAX_NAME_CONNECTIONS: usize = 16;

/// Queries answered in a second; a build with a cold cache asks for tens.
const QUERIES_PER_SECOND: u32 = 1_000;

/// How long a connection to the name server may be silent.
const NAME_IDLE: Duration = Duration::from_secs(10);

/// How long the gateway may take to connect: longer than it gives itself.
const ANSWER_DEADLINE: Duration = Duration::from_secs(40);

/// Longest head of the gateway's answer, in bytes.
const MAX_HEAD: usize = 4 << 10;

/// How long accepting rests after an error: without descriptors, the next try fails at once too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a program that speaks HTTP is told while the server is down.
const NO_SERVER: &[u8] = b"HTTP/1.1 502 agentdeck: the server is not running\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// What every connection needs.
#[derive(Clone)]
struct Relay {
    run_directory: Arc<PathBuf>,
    socket: Arc<str>,
    names: Arc<Mutex<Names>>,
}

/// Starts the relay on the current runtime. A port that cannot be had is reported and done without;
/// only the proxy's own port is a must.
pub fn start(config: &RelayConfig, run_directory: &str) -> anyhow::Result<()> {
    let relay = Relay {
        run_directory: Arc::new(PathBuf::from(run_directory)),
        socket: config.socket.as_str().into(),
        names: Arc::new(Mutex::new(Names::new())),
    };
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let proxy = SocketAddr::from((Ipv4Addr::LOCALHOST, config.proxy_port));
    let listener = listen(proxy).with_context(|| format!("cannot listen on {proxy}"))?;
    relay.take(listener, &slots, Relay::carry);
    // A box without IPv6 has no such loopback; `127.0.0.1` is what programs are told.
    if let Ok(listener) = listen(SocketAddr::from((Ipv6Addr::LOCALHOST, config.proxy_port))) {
        relay.take(listener, &slots, Relay::carry);
    }
    if config.names {
        relay.start_names(config, &slots);
    }
    Ok(())
}

impl Relay {
    fn start_names(&self, config: &RelayConfig, slots: &Arc<Semaphore>) {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, NAME_PORT));
        if let Some(socket) = report(server, bind_datagram(server)) {
            tokio::spawn(answer_datagrams(socket, Arc::clone(&self.names)));
        }
        if let Some(listener) = report(server, listen(server)) {
            let slots = Arc::new(Semaphore::new(MAX_NAME_CONNECTIONS));
            self.take(listener, &slots, |relay, stream| answer_stream(relay.names, stream));
        }
        let mut places: Vec<SocketAddr> =
            USUAL_PORTS.map(|port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).to_vec();
        for destination in &config.destinations {
            let is_address = destination.host.parse::<IpAddr>().is_ok();
            if !is_address && !USUAL_PORTS.contains(&destination.port) {
                let address = lock(&self.names).pin(&destination.host);
                places.push(SocketAddr::from((address, destination.port)));
            }
        }
        for place in places {
            if let Some(listener) = report(place, listen(place)) {
                self.take(listener, slots, Relay::carry_by_name);
            }
        }
    }

    /// Accepts connections for ever, each handed to `serve` when there is a slot for it.
    fn take<F>(
        &self,
        listener: TcpListener,
        slots: &Arc<Semaphore>,
        serve: impl Fn(Relay, TcpStream) -> F + Send + 'static,
    ) where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let relay = self.clone();
        let slots = Arc::clone(slots);
        tokio::spawn(async move {
            loop {
                let slot = Arc::clone(&slots).acquire_owned().await.expect("never closed");
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let served = serve(relay.clone(), stream);
                        // How a connection ends is for its two ends to see.
                        tokio::spawn(async move {
                            let _ = served.await;
                            drop(slot);
                        });
                    }
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                }
            }
        });
    }

    async fn gateway(&self) -> io::Result<UnixStream> {
        socket::connect_now(&self.run_directory, &self.socket).await
    }

    /// Carries the bytes of a program that knows what it talks to.
    async fn carry(self, mut near: TcpStream) -> io::Result<()> {
        near.set_nodelay(true)?;
        match self.gateway().await {
            Ok(mut far) => copy_bidirectional(&mut near, &mut far).await.map(drop),
            Err(_) => near.write_all(NO_SERVER).await,
        }
    }

    /// Connects a program that thinks it dialled its destination.
    async fn carry_by_name(self, mut near: TcpStream) -> io::Result<()> {
        near.set_nodelay(true)?;
        let dialled = near.local_addr()?;
        let name = match dialled.ip() {
            IpAddr::V4(address) => lock(&self.names).name_of(address).map(str::to_owned),
            IpAddr::V6(_) => None,
        };
        let Some(name) = name else {
            return near.set_zero_linger();
        };
        let Ok(mut far) = self.gateway().await else {
            return near.set_zero_linger();
        };
        let place = format!("{name}:{}", dialled.port());
        let request =
            format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n");
        far.write_all(request.as_bytes()).await?;
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let head = timeout(ANSWER_DEADLINE, read_head(&mut far)).await.map_err(late)??;
        if head.get(9) == Some(&b'2') {
            copy_bidirectional(&mut near, &mut far).await.map(drop)
        } else if dialled.port() == 80 {
            // The program speaks HTTP, so it can be told why.
            near.write_all(&head).await?;
            tokio::io::copy(&mut far, &mut near).await.map(drop)
        } else {
            near.set_zero_linger()
        }
    }
}

/// Reads to the end of a head and not one byte further, since what follows is the tunnel's.
async fn read_head(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

async fn answer_datagrams(socket: UdpSocket, names: Arc<Mutex<Names>>) {
    let mut pace = Pace::new();
    // One byte more than a query may have, so that a longer one is seen to be longer.
    let mut buffer = [0; MAX_QUERY + 1];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        pace.keep().await;
        let answer = lock(&names).answer(&buffer[..length]);
        if let Some(answer) = answer {
            // The one who asked may be gone.
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}

/// Serves queries over TCP, each behind its length (RFC 1035, 4.2.2).
async fn answer_stream(names: Arc<Mutex<Names>>, mut stream: TcpStream) -> io::Result<()> {
    let mut pace = Pace::new();
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    loop {
        let read = async {
            let mut query = vec![0; usize::from(stream.read_u16().await?).min(MAX_QUERY + 1)];
            stream.read_exact(&mut query).await?;
            Ok::<_, io::Error>(query)
        };
        let query = timeout(NAME_IDLE, read).await.map_err(late)??;
        pace.keep().await;
        let Some(answer) = lock(&names).answer(&query) else {
            return Ok(());
        };
        let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(&answer);
        timeout(NAME_IDLE, stream.write_all(&framed)).await.map_err(late)??;
    }
}

/// Keeps a program that asks without end from taking the shim's only thread.
struct Pace {
    second: Instant,
    answered: u32,
}

impl Pace {
    fn new() -> Self {
        Self { second: Instant::now(), answered: 0 }
    }

    /// Waits until one more query may be answered.
    async fn keep(&mut self) {
        if self.answered == QUERIES_PER_SECOND {
            sleep_until(self.second + Duration::from_secs(1)).await;
        }
        if self.second.elapsed() >= Duration::from_secs(1) {
            *self = Self::new();
        }
        self.answered += 1;
    }
}

fn lock(names: &Mutex<Names>) -> std::sync::MutexGuard<'_, Names> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(place: SocketAddr) -> io::Result<TcpListener> {
    let listener = StdListener::bind(place)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn bind_datagram(place: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(place)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn report<T>(place: SocketAddr, bound: io::Result<T>) -> Option<T> {
    let failed = |error: &io::Error| {
        // Standard error is the shim's log; without it there is nobody to tell.
        let _ = writeln!(io::stderr(), "agentdeck shim: cannot listen on {place}: {error}");
    };
    bound.inspect_err(failed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[tokio::test(start_paused = true)]
    async fn queries_without_end_are_slowed_down() {
        let start = Instant::now();
        let mut pace = Pace::new();
        for _ in 0..=2 * QUERIES_PER_SECOND {
            pace.keep().await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }

    /// A relay whose gateway answers every request with `answer`; the requests come back.
    fn relay(root: &std::path::Path, answer: &'static str) -> (Relay, mpsc::Receiver<String>) {
        let listener = socket::bind(root, "egress.sock").expect("bound");
        listener.set_nonblocking(true).expect("set");
        let listener = tokio::net::UnixListener::from_std(listener).expect("registered");
        let (tell, asked) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let head = read_head(&mut stream).await.expect("a head");
                tell.send(String::from_utf8(head).expect("text")).await.expect("told");
                stream.write_all(answer.as_bytes()).await.expect("answered");
            }
        });
        let names = Arc::new(Mutex::new(Names::new()));
        let run_directory = Arc::new(root.to_owned());
        (Relay { run_directory, socket: "egress.sock".into(), names }, asked)
    }

    /// What a program reads that dials the address the name server gave it.
    async fn dial_by_name(relay: &Relay, name: &str) -> io::Result<(String, u16)> {
        let address = lock(&relay.names).pin(name);
        let listener = listen(SocketAddr::from((address, 0))).expect("bound");
        let place = listener.local_addr().expect("an address");
        relay.take(listener, &Arc::new(Semaphore::new(1)), Relay::carry_by_name);
        let mut stream = TcpStream::connect(place).await?;
        let mut read = String::new();
        stream.read_to_string(&mut read).await?;
        Ok((read, place.port()))
    }

    #[tokio::test]
    async fn a_dialled_address_is_connected_by_its_name() {
        let root = tempfile::tempdir().expect("a directory");
        let (relay, mut asked) = relay(root.path(), "HTTP/1.1 200 OK\r\n\r\nhello");
        let (read, port) = dial_by_name(&relay, "db.example").await.expect("carried");
        assert_eq!(read, "hello");
        let request = asked.recv().await.expect("a request");
        assert!(
            request.starts_with(&format!("CONNECT db.example:{port} HTTP/1.1\r\n")),
            "{request}"
        );
    }

    #[tokio::test]
    async fn what_the_gateway_refuses_is_reset_and_carries_nothing() {
        let root = tempfile::tempdir().expect("a directory");
        let (relay, _asked) = relay(root.path(), "HTTP/1.1 403 no\r\n\r\nhello");
        let error = dial_by_name(&relay, "db.example").await.expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn without_a_server_a_proxy_s_client_is_told_so() {
        let root = tempfile::tempdir().expect("a directory");
        let (relay, _asked) = relay(root.path(), "");
        std::fs::remove_file(root.path().join("egress.sock")).expect("removed");
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("bound");
        let place = listener.local_addr().expect("an address");
        relay.take(listener, &Arc::new(Semaphore::new(1)), Relay::carry);
        let mut stream = TcpStream::connect(place).await.expect("connected");
        let mut read = String::new();
        stream.read_to_string(&mut read).await.expect("read");
        assert!(read.starts_with("HTTP/1.1 502 agentdeck: the server is not running"), "{read}");
    }
}
