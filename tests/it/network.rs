//! What a box can reach of the host: nothing but what was named, on either engine.
//!
//! Canaries listen on the host's own addresses and count their visitors. A refusal counts only
//! because the same canary answers the host. Nothing here needs the internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agentdeck::egress::{Gate, Gateway};
use agentdeck::engine::{BoxRecord, Engine};
use agentdeck::model::policy::{NetworkMode, NetworkPolicy};
use agentdeck::shim::config::RelayConfig;
use agentdeck::shim::wire::{Frame, Role, ShimEvent, ShimRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::common::on_both_engines;
use crate::common::place::Place;
use crate::common::talk::{Talk, program, script};
use crate::docker::{Boxed, Image, busybox, engine_answers};

pub const SONG: &str = "a canary's song";

/// An HTTP server on one of the host's addresses.
pub struct Canary {
    pub address: SocketAddr,
    visitors: Arc<AtomicUsize>,
}

impl Canary {
    /// `None` where the host does not have the address.
    pub async fn at(address: IpAddr) -> Option<Self> {
        let listener = TcpListener::bind((address, 0)).await.ok()?;
        let address = listener.local_addr().expect("an address");
        let visitors = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&visitors);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = format!(
                    "HTTP/1.0 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{SONG}",
                    SONG.len()
                );
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 4096]).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Some(Self { address, visitors })
    }

    pub async fn on_loopback() -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into()).await.expect("a loopback")
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn visitors(&self) -> usize {
        self.visitors.load(Ordering::SeqCst)
    }

    /// The control: the host hears it.
    pub async fn require_song(&self) {
        let mut stream = TcpStream::connect(self.address).await.expect("the control connects");
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.expect("sent");
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.expect("read");
        assert!(heard.ends_with(SONG), "the control hears {heard:?}");
    }
}

/// The host's address on the way to the world, where it has one. Nothing is sent.
pub fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(203, 0, 113, 1), 80)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// How a program in a box goes about it.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Direct,
    /// A request for a whole URL, to the proxy.
    Get,
    /// A tunnel through the proxy, and a request in it.
    Connect,
    /// The same by SOCKS5, with a name.
    Socks,
}

const REQUEST: &str = "GET / HTTP/1.0\r\n\r\n";

impl Way {
    pub const PROXIED: [Self; 3] = [Self::Get, Self::Connect, Self::Socks];

    /// What is sent, whereto.
    pub fn bytes(self, host: &str, port: u16) -> (String, u16, Vec<u8>) {
        let proxy = |bytes: String| ("127.0.0.1".to_owned(), RelayConfig::PROXY_PORT, bytes.into());
        let place = format!("{host}:{port}");
        match self {
            Self::Direct => {
                (host.trim_matches(['[', ']']).to_owned(), port, REQUEST.as_bytes().to_vec())
            }
            Self::Get => proxy(format!(
                "GET http://{place}/ HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n"
            )),
            Self::Connect => {
                let connect = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
                proxy(format!("{connect}Connection: close\r\n\r\n{REQUEST}"))
            }
            Self::Socks => {
                let mut bytes = vec![5, 1, 0, 5, 1, 0, 3, host.len() as u8];
                bytes.extend(host.as_bytes());
                bytes.extend(port.to_be_bytes());
                bytes.extend(REQUEST.as_bytes());
                ("127.0.0.1".to_owned(), RelayConfig::PROXY_PORT, bytes)
            }
        }
    }

    /// Whether an answer says no, in the way's own terms.
    pub fn is_refusal(self, answer: &str) -> bool {
        match self {
            Self::Direct => answer.is_empty(),
            Self::Get | Self::Connect => answer.starts_with("HTTP/1.1 4"),
            Self::Socks => {
                answer.starts_with("\u{5}\0\u{5}") && !answer.starts_with("\u{5}\0\u{5}\0")
            }
        }
    }
}

/// A box with a gateway, and a program in its workspace that dials.
pub struct Inside<'a> {
    pub engine: &'a dyn Engine,
    pub record: BoxRecord,
    /// The program that dials, as the box sees it.
    pub program: String,
    /// What judges its requests.
    pub judge: Arc<Gate>,
    gate: JoinHandle<()>,
}

impl<'a> Inside<'a> {
    pub async fn new(
        engine: &'a dyn Engine,
        place: &mut Place,
        mode: NetworkMode,
        allow: &[String],
    ) -> Self {
        Self::served_by(&Handle::current(), engine, place, mode, allow).await
    }

    /// The same, with a gateway that runs elsewhere.
    pub async fn served_by(
        server: &Handle,
        engine: &'a dyn Engine,
        place: &mut Place,
        mode: NetworkMode,
        allow: &[String],
    ) -> Self {
        let allow = allow.iter().map(|entry| entry.parse().expect("a host and a port")).collect();
        place.plan.network = NetworkPolicy { mode, allow };
        std::fs::copy(busybox(), place.plan.workspace.join("busybox")).expect("copied");
        let listener = agentdeck::socket::bind(&place.plan.run, RelayConfig::SOCKET);
        let listener = listener.expect("bound");
        listener.set_nonblocking(true).expect("set");
        let judge = Gate::new(place.plan.network.clone());
        let gate = {
            let _there = server.enter();
            let listener = UnixListener::from_std(listener).expect("registered");
            Gateway::new().expect("a gateway").serve(listener, Arc::clone(&judge))
        };
        let record = place.create(engine).await;
        let program = place.plan.mount.join("busybox").display().to_string();
        Self { engine, record, program, judge, gate }
    }

    /// Sends bytes and reads until the other side closes, as a client does that waits.
    pub async fn dial(&self, role: Role, (host, port, bytes): (String, u16, Vec<u8>)) -> String {
        let mut talk = Talk::with(self.engine, &self.record).await;
        let command = [&self.program, "nc", "-w", "5", &host, &port.to_string()];
        talk.ask(&ShimRequest::Exec { program: program(role, &command) }).await;
        talk.send(&Frame::ExecInput { bytes }).await;
        let mut answer = Vec::new();
        loop {
            match talk.frame().await.expect("a frame") {
                Frame::ExecOutput { stream: 1, bytes } => answer.extend(bytes),
                Frame::ExecOutput { .. } => {}
                Frame::Control(json) => match serde_json::from_slice(&json).expect("an event") {
                    ShimEvent::ExecExited { .. } => break,
                    other => panic!("{other:?} was not asked for"),
                },
                other => panic!("{other:?} was not asked for"),
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub async fn ask(&self, way: Way, host: &str, port: u16) -> String {
        self.dial(Role::Agent, way.bytes(host, port)).await
    }

    /// The address that the box's name server gives a name.
    pub async fn address_of(&self, name: &str) -> String {
        let look = format!("{} nslookup -type=a {name} 127.0.0.1", self.program);
        let answer = script(self.engine, &self.record, Role::Agent, &look).await;
        let line = answer.lines().rfind(|line| line.starts_with("Address: "));
        line.unwrap_or_else(|| panic!("{answer}")).trim_start_matches("Address: ").to_owned()
    }

    pub async fn remove(self) {
        self.gate.abort();
        self.engine.remove(&self.record).await.expect("removed");
    }
}

/// No spelling and no way leads to a service of the host that was not named.
pub async fn nothing_of_the_host_is_reached(engine: &dyn Engine, place: &mut Place) {
    let canary = Canary::on_loopback().await;
    let second = Canary::at(Ipv4Addr::new(127, 0, 0, 2).into()).await;
    let sixth = Canary::at(Ipv6Addr::LOCALHOST.into()).await;
    let outer = match outer_address() {
        Some(address) => Canary::at(address).await,
        None => None,
    };
    let mut places: Vec<(String, u16)> = [
        "127.0.0.1",
        "127.0.0.1.",
        "localhost",
        "LocalHost.",
        "canary.localhost",
        "localhost.localdomain",
        "host.agentdeck",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ]
    .map(|host| (host.to_owned(), canary.port()))
    .to_vec();
    for other in [&second, &sixth, &outer].into_iter().flatten() {
        let host = other.address.to_string();
        let host = host.rsplit_once(':').expect("a port").0.to_owned();
        if let IpAddr::V4(address) = other.address.ip() {
            places.push((format!("[::ffff:{address}]"), other.port()));
        }
        places.push((host, other.port()));
    }
    let inside = Inside::new(engine, place, NetworkMode::Open, &[]).await;
    for (host, port) in &places {
        for way in Way::PROXIED {
            let answer = inside.ask(way, host, *port).await;
            assert!(way.is_refusal(&answer), "{way:?} {host}: {answer:?}");
        }
    }
    // Without the proxy, with all the rights there are in a box.
    for role in [Role::Agent, Role::Root] {
        for (host, port) in places.iter().filter(|(host, _)| {
            host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() && host != "[::]"
        }) {
            let answer = inside.dial(role, Way::Direct.bytes(host, *port)).await;
            assert!(Way::Direct.is_refusal(&answer), "{role:?} {host}: {answer:?}");
        }
    }
    for canary in [Some(canary), second, sixth, outer].into_iter().flatten() {
        assert_eq!(canary.visitors(), 0, "{}", canary.address);
        canary.require_song().await;
        assert_eq!(canary.visitors(), 1, "the canary counts");
    }
    inside.remove().await;
}

/// A named port of the host's loopback is reached in every way, and no other port with it.
pub async fn only_the_named_service_of_the_host_is_reached(engine: &dyn Engine, place: &mut Place) {
    let (named, other) = (Canary::on_loopback().await, Canary::on_loopback().await);
    let allow = [format!("host:{}", named.port())];
    let inside = Inside::new(engine, place, NetworkMode::Allow, &allow).await;
    for way in Way::PROXIED {
        let answer = inside.ask(way, "host.agentdeck", named.port()).await;
        assert!(answer.ends_with(SONG), "{way:?}: {answer:?}");
        let answer = inside.ask(way, "host.agentdeck", other.port()).await;
        assert!(way.is_refusal(&answer), "{way:?}: {answer:?}");
    }
    let answer = inside.ask(Way::Get, "host.agentdeck", other.port()).await;
    assert!(answer.contains("--allow host:PORT"), "{answer}");
    // A program that knows no proxy asks for the name and dials what it is told.
    let address = inside.address_of("host.agentdeck").await;
    assert!(inside.ask(Way::Direct, &address, named.port()).await.ends_with(SONG));
    assert_eq!(inside.ask(Way::Direct, &address, other.port()).await, "");
    assert_eq!(inside.ask(Way::Direct, "127.0.0.1", named.port()).await, "");
    assert_eq!((named.visitors(), other.visitors()), (4, 0));
    other.require_song().await;
    inside.remove().await;
}

/// What is refused is refused in words that tell what to do.
pub async fn a_refusal_says_why(engine: &dyn Engine, place: &mut Place) {
    let inside = Inside::new(engine, place, NetworkMode::Open, &[]).await;
    for (host, why) in [
        ("169.254.169.254", "a cloud's metadata service"),
        ("metadata.google.internal", "a cloud's metadata service"),
        ("169.254.3.4", "a link-local address"),
        ("10.255.255.1", "is a private address; --allow 10.255.255.1:80 opens it"),
        ("[fd12::1]", "is a private address; --allow [fd12::1]:80 opens it"),
        ("100.100.1.1", "is a private address"),
        ("224.0.0.1", "a multicast address"),
        ("host.agentdeck", "only a service named by --allow host:PORT can be reached"),
        ("0x7f.1", "not a host name or address that can be read in one way only"),
    ] {
        let answer = inside.ask(Way::Get, host, 80).await;
        let line = answer.lines().next().unwrap_or_default();
        assert!(line.starts_with("HTTP/1.1 403 agentdeck: "), "{host}: {answer}");
        assert!(line.contains(why) && answer.trim_end().ends_with(&line[13..]), "{host}: {answer}");
    }
    inside.remove().await;
}

/// With the network off no name exists, and a proxy's client is told why.
pub async fn a_network_that_is_off_answers_for_itself(engine: &dyn Engine, place: &mut Place) {
    let inside = Inside::new(engine, place, NetworkMode::None, &[]).await;
    let off = "agentdeck: example.org:80 is not reached: this environment's network is none";
    assert!(inside.ask(Way::Get, "example.org", 80).await.contains(off));
    assert!(inside.ask(Way::Connect, "example.org", 80).await.contains(off));
    assert!(Way::Socks.is_refusal(&inside.ask(Way::Socks, "example.org", 80).await));
    let look = format!("{} nslookup -type=a example.org 127.0.0.1", inside.program);
    let answer = script(engine, &inside.record, Role::Agent, &look).await;
    assert!(answer.contains("NXDOMAIN"), "{answer}");
    assert_eq!(inside.ask(Way::Direct, "127.65.4.3", 80).await, "", "an address of no name");
    let routes = script(engine, &inside.record, Role::Root, "cat /proc/net/route | wc -l").await;
    assert_eq!(routes, "1", "a heading and no route");
    let devices = script(
        engine,
        &inside.record,
        Role::Root,
        "ls /sys/class/net 2>/dev/null; \
        grep -c : /proc/net/dev",
    )
    .await;
    assert!(devices.ends_with('1'), "only a loopback: {devices}");
    inside.remove().await;
}

/// While the server is away a program is told so, and goes on when it is back.
pub async fn a_box_without_server_says_so(engine: &dyn Engine, place: &mut Place) {
    let canary = Canary::on_loopback().await;
    let allow = [format!("host:{}", canary.port())];
    let mut inside = Inside::new(engine, place, NetworkMode::Allow, &allow).await;
    assert!(inside.ask(Way::Get, "host.agentdeck", canary.port()).await.ends_with(SONG));
    inside.gate.abort();
    let _ = (&mut inside.gate).await;
    let answer = inside.ask(Way::Get, "host.agentdeck", canary.port()).await;
    assert!(answer.starts_with("HTTP/1.1 502 agentdeck: the server is not running"), "{answer}");
    let listener = agentdeck::socket::bind(&place.plan.run, RelayConfig::SOCKET).expect("bound");
    listener.set_nonblocking(true).expect("set");
    let listener = UnixListener::from_std(listener).expect("registered");
    let gateway = Gateway::new().expect("a gateway");
    inside.gate = gateway.serve(listener, Gate::new(place.plan.network.clone()));
    assert!(inside.ask(Way::Get, "host.agentdeck", canary.port()).await.ends_with(SONG));
    inside.remove().await;
}

/// The sockets of the server, of other boxes and of the host's services are not in a box.
pub async fn no_socket_of_the_host_is_there(engine: &dyn Engine, place: &mut Place) {
    let neighbour = place.plan.directory.with_file_name("neighbour");
    std::fs::create_dir_all(&neighbour).expect("made");
    let abstract_name = format!("agentdeck-canary-{}", place.plan.deck);
    let address =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(
            &abstract_name,
        )
        .expect("an address");
    let _abstract = std::os::unix::net::UnixListener::bind_addr(&address).expect("bound");
    let paths = [
        place.home.path().join("server.sock"),
        neighbour.join("shim.sock"),
        neighbour.join("egress.sock"),
    ];
    let _listeners: Vec<_> = paths
        .iter()
        .map(|path| std::os::unix::net::UnixListener::bind(path).expect("bound"))
        .collect();
    let inside = Inside::new(engine, place, NetworkMode::Open, &[]).await;
    let is_there = |path: &Path| format!("test -e {0} && echo {0}", path.display());
    let docker_socket = Path::new("/var/run/docker.sock");
    for path in paths.iter().map(std::path::PathBuf::as_path).chain([docker_socket]) {
        for role in [Role::Agent, Role::Root] {
            let seen = script(engine, &inside.record, role, &is_there(path)).await;
            assert_eq!(seen, "", "{role:?}");
        }
    }
    for path in &paths {
        std::os::unix::net::UnixStream::connect(path).expect("the control connects");
    }
    let table = "cat /proc/net/unix";
    let seen = script(engine, &inside.record, Role::Root, table).await;
    assert!(!seen.contains(&abstract_name), "{seen}");
    let control = std::fs::read_to_string("/proc/net/unix").expect("read");
    assert!(control.contains(&abstract_name), "the control does not list it");
    let run = script(engine, &inside.record, Role::Agent, "ls /run/agentdeck").await;
    assert_eq!(run, "egress.sock\nshim.json\nshim.sock", "its own, and nothing else");
    inside.remove().await;
}

on_both_engines!(
    nothing_of_the_host_is_reached,
    only_the_named_service_of_the_host_is_reached,
    a_refusal_says_why,
    a_network_that_is_off_answers_for_itself,
    a_box_without_server_says_so,
    no_socket_of_the_host_is_there,
);

/// The unprotected run of the same thing: on a bridge, as asked for by name, the canary is heard.
#[tokio::test]
async fn a_bridge_is_a_real_route_and_has_no_gateway() {
    if !engine_answers() {
        return;
    }
    let mut boxed = Boxed::of(Image::busybox());
    let engine = boxed.engine();
    let inside = Inside::new(&engine, &mut boxed.place, NetworkMode::Bridge, &[]).await;
    let routes = format!("{} ip route", inside.program);
    let routes = script(&engine, &inside.record, Role::Agent, &routes).await;
    let gateway = routes.strip_prefix("default via ").and_then(|rest| rest.split(' ').next());
    let gateway = gateway.expect("a default route").to_owned();
    let canary = Canary::at(gateway.parse().expect("an address")).await.expect("the host's own");
    let answer = inside.ask(Way::Direct, &gateway, canary.port()).await;
    assert!(answer.ends_with(SONG), "{answer:?}");
    assert_eq!(inside.ask(Way::Get, &gateway, canary.port()).await, "", "nothing listens");
    let proxies = script(&engine, &inside.record, Role::Agent, "env | grep -ci proxy").await;
    assert_eq!(proxies, "0");
    inside.remove().await;

    let mut boxed = Boxed::of(Image::busybox());
    let inside = Inside::new(&engine, &mut boxed.place, NetworkMode::Open, &[]).await;
    assert_eq!(inside.ask(Way::Direct, &gateway, canary.port()).await, "");
    assert!(Way::Get.is_refusal(&inside.ask(Way::Get, &gateway, canary.port()).await));
    assert_eq!(canary.visitors(), 1);
    inside.remove().await;
}
