//! The box's end of the way out: loopback listeners whose connections go on to the gateway.
//!
//! It decides nothing: which names and ports there are the gateway says, as long as it is there. A
//! program that knows proxies talks to the gateway through it as it is; one that does not dials an
//! address that the name server gave it, and is connected by that name.

use std::future::Future;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener as StdListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::config::RelayConfig;
use super::eager::Eager;
use super::feed;
use super::names::{Asked, MAX_QUERY, Names};
use super::ports::Ports;
use crate::model::destination::RelayRules;
use crate::model::pace::Pace;
use crate::socket;

/// Ports on which connections to any name are taken: the web and ssh.
pub(super) const USUAL_PORTS: [u16; 3] = [80, 443, 22];

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

/// Names that were not answered and wait to be told; further ones are only not counted.
const MAX_REFUSED: usize = 64;

/// What a program that speaks HTTP is told while the server is down.
const NO_SERVER: &[u8] = b"HTTP/1.1 502 agentdeck: the server is not running\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// What every connection needs.
#[derive(Clone)]
pub(super) struct Relay {
    run_directory: Arc<PathBuf>,
    socket: Arc<str>,
    names: Arc<Mutex<Names>>,
    ports: Arc<Mutex<Ports>>,
    slots: Arc<Semaphore>,
    /// Turns at the name server, over datagrams and connections alike.
    queries: Arc<Mutex<Pace>>,
    refused: mpsc::Sender<String>,
}

/// Starts the relay on the current runtime. A port that cannot be had is reported and done without;
/// only the proxy's own port is a must.
pub fn start(config: &RelayConfig, run_directory: &str) -> anyhow::Result<()> {
    let rules = RelayRules { every_name: config.every_name, allow: config.destinations.clone() };
    let (relay, refused) = Relay::new(PathBuf::from(run_directory), &config.socket, rules);
    let proxy = SocketAddr::from((Ipv4Addr::LOCALHOST, config.proxy_port));
    let listener = listen(proxy).with_context(|| format!("cannot listen on {proxy}"))?;
    relay.take(listener, &relay.slots, Relay::carry);
    // A box without IPv6 has no such loopback; `127.0.0.1` is what programs are told.
    if let Ok(listener) = listen(SocketAddr::from((Ipv6Addr::LOCALHOST, config.proxy_port))) {
        relay.take(listener, &relay.slots, Relay::carry);
    }
    if config.names {
        relay.start_names();
        tokio::spawn(feed::follow(relay, refused));
    }
    Ok(())
}

impl Relay {
    fn new(directory: PathBuf, socket: &str, rules: RelayRules) -> (Self, mpsc::Receiver<String>) {
        let (refused, told) = mpsc::channel(MAX_REFUSED);
        let relay = Self {
            run_directory: Arc::new(directory),
            socket: socket.into(),
            names: Arc::new(Mutex::new(Names::new(rules))),
            ports: Arc::default(),
            slots: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            queries: Arc::new(Mutex::new(Pace::per_second(QUERIES_PER_SECOND))),
            refused,
        };
        (relay, told)
    }

    fn start_names(&self) {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, NAME_PORT));
        if let Some(socket) = report(server, bind_datagram(server)) {
            tokio::spawn(self.clone().answer_datagrams(socket));
        }
        if let Some(listener) = report(server, listen(server)) {
            let slots = Arc::new(Semaphore::new(MAX_NAME_CONNECTIONS));
            self.take(listener, &slots, Relay::answer_stream);
        }
        for port in USUAL_PORTS {
            let place = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            if let Some(listener) = report(place, listen(place)) {
                self.take(listener, &self.slots, Relay::carry_by_name);
            }
        }
    }

    /// Goes by other rules from now on, for names that programs know already too.
    pub(super) fn set_rules(&self, rules: RelayRules) {
        let wanted = {
            let mut names = lock(&self.names);
            names.set_rules(rules);
            let names = &*names;
            let places = names.given().flat_map(|(name, address)| places(names, name, address));
            places.collect::<Vec<_>>()
        };
        lock(&self.ports).retain(|place| wanted.contains(place));
        self.open(&wanted);
    }

    /// Answers a query, having first opened the ports of the name that it gives an address to.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (answer, asked) = lock(&self.names).answer(query)?;
        match asked {
            Asked::Nothing => {}
            Asked::Given(name, address) => {
                let wanted = places(&lock(&self.names), &name, address).collect::<Vec<_>>();
                self.open(&wanted);
            }
            // Where many wait, one more changes nothing that a person would see.
            Asked::Refused(name) => drop(self.refused.try_send(name)),
        }
        Some(answer)
    }

    /// Listens on the places that are not listened on yet.
    fn open(&self, places: &[SocketAddrV4]) {
        for place in places {
            let named = |place: &SocketAddrV4| lock(&self.names).name_of(*place.ip()).is_some();
            if !lock(&self.ports).has_room_for(*place, named) {
                continue;
            }
            if let Some(listener) = report((*place).into(), listen((*place).into())) {
                let task = self.take(listener, &self.slots, Relay::carry_by_name);
                lock(&self.ports).insert(*place, task);
            }
        }
    }

    /// Accepts connections for ever, each handed to `serve` when there is a slot for it.
    fn take<F>(
        &self,
        listener: TcpListener,
        slots: &Arc<Semaphore>,
        serve: impl Fn(Relay, TcpStream) -> F + Send + 'static,
    ) -> AbortHandle
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let relay = self.clone();
        let slots = Arc::clone(slots);
        let accepting = async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        // Only a connection takes a slot: listeners that idle would hold them all.
                        let slot = Arc::clone(&slots).acquire_owned().await;
                        let slot = slot.expect("never closed");
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
        };
        tokio::spawn(accepting).abort_handle()
    }

    pub(super) async fn gateway(&self) -> io::Result<Eager> {
        socket::connect_now(&self.run_directory, &self.socket).await.map(Eager::from)
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

    /// Waits until one more query may be answered: a program that asks without end must not take
    /// the shim's only thread.
    async fn turn(&self) {
        let now = Instant::now();
        let turn = Instant::from_std(lock(&self.queries).turn(now.into_std()));
        // The timer's shortest wait is a millisecond, which would be a long one here.
        if turn > now {
            sleep_until(turn).await;
        }
    }

    async fn answer_datagrams(self, socket: UdpSocket) {
        // One byte more than a query may have, so that a longer one is seen to be longer.
        let mut buffer = [0; MAX_QUERY + 1];
        loop {
            let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            self.turn().await;
            if let Some(answer) = self.answer(&buffer[..length]) {
                // The one who asked may be gone.
                let _ = socket.send_to(&answer, peer).await;
            }
        }
    }

    /// Serves queries over TCP, each behind its length (RFC 1035, 4.2.2).
    async fn answer_stream(self, mut stream: TcpStream) -> io::Result<()> {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        loop {
            let read = async {
                let mut query = vec![0; usize::from(stream.read_u16().await?).min(MAX_QUERY + 1)];
                stream.read_exact(&mut query).await?;
                Ok::<_, io::Error>(query)
            };
            let query = timeout(NAME_IDLE, read).await.map_err(late)??;
            self.turn().await;
            let Some(answer) = self.answer(&query) else {
                return Ok(());
            };
            let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
            framed.extend_from_slice(&answer);
            timeout(NAME_IDLE, stream.write_all(&framed)).await.map_err(late)??;
        }
    }
}

/// Reads to the end of a head and not one byte further, since what follows is the tunnel's.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

/// The ports beyond the usual ones that the rules name for a name, at its address.
fn places(names: &Names, name: &str, address: Ipv4Addr) -> impl Iterator<Item = SocketAddrV4> {
    let ports: Vec<u16> = names.rules().ports_of(name).collect();
    let unusual = ports.into_iter().filter(|port| !USUAL_PORTS.contains(port));
    unusual.map(move |port| SocketAddrV4::new(address, port))
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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
mod tests;
