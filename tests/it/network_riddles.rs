//! Requests in which two readers could see two hosts, from inside a box, by every way there is out
//! of it.
//!
//! Two names lead to one server, as behind a content network; one of them is allowed. What a riddle
//! says of the other must not arrive, though the server would hear it: each riddle is first sent
//! to it without a wall, and is heard.

use std::io::Write;
use std::net::TcpStream;

use agentdeck::engine::Engine;
use agentdeck::model::policy::NetworkMode;
use agentdeck::shim::config::RelayConfig;
use agentdeck::shim::wire::Role;

use crate::common::on_both_engines_in_a_world;
use crate::common::place::Place;
use crate::common::talk::{PATIENCE, script};
use crate::common::world::{Site, World};
use crate::network::Inside;

/// The server's one address.
const ADDRESS: &str = "203.0.113.5";

const SONG: &str = "the front's song";

/// Allowed: the web's own port, one that nothing is known of, and the web's other port.
const PORTS: [u16; 3] = [80, 8080, 443];

/// What is said in a connection that was opened to `front.example`.
fn said_inside(port: u16) -> Vec<String> {
    let front = format!("front.example:{port}");
    let honest = format!("Host: {front}\r\n");
    let evil = "Host: evil.example\r\n";
    let end = "Connection: close\r\n\r\n";
    let next = format!("GET /next HTTP/1.1\r\n{evil}{end}");
    let post = |framing: &str| format!("POST / HTTP/1.1\r\n{honest}{framing}\r\n\r\n{next}");
    let upgrade = |to: &str| {
        format!("GET / HTTP/1.1\r\n{honest}Connection: Upgrade\r\nUpgrade: {to}\r\n\r\n{next}")
    };
    vec![
        // Another host, plainly, and in every order.
        format!("GET / HTTP/1.1\r\n{evil}{end}"),
        format!("GET / HTTP/1.0\r\n{evil}{end}"),
        format!("GET / HTTP/1.1\r\nhOsT:evil.example\r\n{end}"),
        format!("GET / HTTP/1.1\r\n{honest}{evil}{end}"),
        format!("GET / HTTP/1.1\r\n{evil}{honest}{end}"),
        format!("GET / HTTP/1.1\r\nHost: {front}, evil.example\r\n{end}"),
        format!("GET / HTTP/1.1\r\nHost: {front}@evil.example\r\n{end}"),
        format!("GET / HTTP/1.1\r\nHost: evil.example#{front}\r\n{end}"),
        format!("GET / HTTP/1.1\r\nHost: {front}\0.evil.example\r\n{end}"),
        // The target and the header.
        format!("GET http://evil.example/ HTTP/1.1\r\n{honest}{end}"),
        format!("GET http://{front}/ HTTP/1.1\r\n{evil}{end}"),
        format!("GET http://evil.example/ HTTP/1.1\r\n{end}"),
        format!("GET https://evil.example/ HTTP/1.1\r\n{honest}{end}"),
        format!("GET http://{front}@evil.example/ HTTP/1.1\r\n{honest}{end}"),
        format!("CONNECT evil.example:{port} HTTP/1.1\r\n{honest}{end}"),
        format!("CONNECT {front} HTTP/1.1\r\n{honest}\r\n{next}"),
        // Lines that are folded, and headers that a strict reader does not see.
        format!("GET / HTTP/1.1\r\n{honest} evil.example\r\n{end}"),
        format!("GET / HTTP/1.1\r\nX: y\r\n {evil}{honest}{end}"),
        format!("GET / HTTP/1.1\r\nHost : evil.example\r\n{end}"),
        format!("GET / HTTP/1.1\r\n Host: evil.example\r\n{honest}{end}"),
        format!("GET / HTTP/1.1\r\nX: y\n{evil}{honest}{end}"),
        format!("GET / HTTP/1.1\r\nX: y\r{evil}{honest}{end}"),
        format!("GET / HTTP/1.1\n{}\n", evil.trim_end()),
        // What lenient servers take for a request's first line (RFC 9112, 3).
        format!("GET\t/\tHTTP/1.1\r\n{evil}{end}"),
        format!("GET\x0b/\x0bHTTP/1.1\r\n{evil}{end}"),
        format!("GET\x0c/\x0cHTTP/1.1\r\n{evil}{end}"),
        format!("GET\r/\rHTTP/1.1\r\n{evil}{end}"),
        format!(" GET / HTTP/1.1\r\n{evil}{end}"),
        format!("\t\r\n\x0bGET / HTTP/1.1\r\n{evil}{end}"),
        format!("\r\n\r\nGET / HTTP/1.1\r\n{evil}{end}"),
        format!("GET  / HTTP/1.1 \r\n{evil}{end}"),
        format!("get / http/1.1\r\n{evil}{end}"),
        format!("GET / HTTP/1.2\r\n{evil}{end}"),
        format!("GET /{} HTTP/1.1\r\n{evil}{end}", "a".repeat(20_000)),
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{next}"),
        // A second request, seen or hidden.
        format!("GET / HTTP/1.1\r\n{honest}\r\n{next}"),
        format!("HEAD / HTTP/1.1\r\n{honest}\r\n{next}"),
        post("Content-Length: 0"),
        post("Content-Length: 4\r\nTransfer-Encoding: chunked"),
        post("Transfer-Encoding: chunked\r\nContent-Length: 5"),
        post("Transfer-Encoding: chunked, identity"),
        post("Transfer-Encoding : chunked"),
        post("Transfer-Encoding: \x0bchunked"),
        post("Transfer-Encoding: chunked\r\n\r\n0"),
        post("Content-Length: 0\r\nContent-Length: 9"),
        post("Content-Length: -1"),
        post("Content-Length: 0, 0"),
        post("Expect: 100-continue\r\nContent-Length: 0"),
        // Another protocol.
        upgrade("h2c"),
        upgrade("websocket, h2c"),
        upgrade("websocket"),
        format!("GET / HTTP/1.1\r\n{evil}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ]
}

/// What is asked of the proxy itself.
fn asked_of_the_proxy(port: u16) -> Vec<String> {
    let front = format!("front.example:{port}");
    let evil = format!("evil.example:{port}");
    let end = "Connection: close\r\n\r\n";
    let ask = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{end}");
    let next = ask(&format!("http://{evil}/"), &evil);
    let post = |framing: &str| {
        format!("POST http://{front}/ HTTP/1.1\r\nHost: {front}\r\n{framing}\r\n\r\n{next}")
    };
    vec![
        ask(&format!("http://{evil}/"), &front),
        ask(&format!("http://{front}/"), &evil),
        ask(&format!("http://{front}@{evil}/"), &front),
        ask(&format!("http://{evil}#@{front}/"), &front),
        ask(&format!("http://{evil}\\@{front}/"), &front),
        ask(&format!("http://{evil}?@{front}/"), &front),
        ask(&format!("//{evil}/"), &front),
        ask("/", &evil),
        ask(&format!("HTTP://{evil}/"), &front),
        ask(&format!("http:{evil}/"), &front),
        ask(&format!("http:///{evil}/"), &front),
        format!("GET http://{front}/ HTTP/1.1\r\nHost: {front}\r\nHost: {evil}\r\n{end}"),
        format!("GET http://{front}/ HTTP/1.1\r\nHost: {front}\r\n {evil}\r\n{end}"),
        format!("GET http://{evil}/\r\n\r\n"),
        format!("CONNECT {evil} HTTP/1.1\r\nHost: {front}\r\n\r\n{next}"),
        format!("CONNECT {front} HTTP/1.1\r\nHost: {evil}\r\n\r\n{next}"),
        format!("CONNECT {front}@{evil} HTTP/1.1\r\nHost: {front}\r\n\r\n{next}"),
        format!("CONNECT http://{evil}/ HTTP/1.1\r\nHost: {front}\r\n\r\n{next}"),
        format!("GET http://{front}/ HTTP/1.1\r\nHost: {front}\r\n\r\n{next}"),
        post("Content-Length: 4\r\nTransfer-Encoding: chunked"),
        post("Transfer-Encoding: chunked\r\nContent-Length: 5"),
        post("Transfer-Encoding: chunked, identity"),
        post("Content-Length: 0\r\nContent-Length: 9"),
        post("Content-Length: 0"),
        post("Connection: Upgrade\r\nUpgrade: h2c"),
    ]
}

/// Where something is sent, and what, to have it said in a connection to `front.example`.
struct Payload {
    host: String,
    port: u16,
    bytes: Vec<u8>,
}

impl Payload {
    fn to_proxy(bytes: Vec<u8>) -> Self {
        Self { host: "127.0.0.1".to_owned(), port: RelayConfig::PROXY_PORT, bytes }
    }

    /// The three ways to say something to the front: a tunnel, SOCKS, and without any proxy.
    fn every_way(address: &str, port: u16, said: &str) -> [Self; 3] {
        let connect = format!("CONNECT front.example:{port} HTTP/1.1\r\n\r\n{said}");
        let mut socks = b"\x05\x01\0\x05\x01\0\x03\x0dfront.example".to_vec();
        socks.extend(port.to_be_bytes());
        socks.extend(said.as_bytes());
        let direct = Self { host: address.to_owned(), port, bytes: said.into() };
        [Self::to_proxy(connect.into()), Self::to_proxy(socks), direct]
    }
}

/// Sends everything at once from the box; returns when all of it was answered or closed.
async fn send_all(inside: &Inside<'_>, place: &Place, payloads: &[Payload]) {
    let directory = place.plan.workspace.join("riddles");
    std::fs::create_dir_all(&directory).expect("made");
    let mut lines = format!("cd {}/riddles\n", place.plan.mount.display());
    for (number, Payload { host, port, bytes }) in payloads.iter().enumerate() {
        std::fs::write(directory.join(number.to_string()), bytes).expect("written");
        let nc = format!("{} nc -w 3 {host} {port}", inside.program);
        lines.push_str(&format!("{nc} < {number} > {number}.heard 2>/dev/null &\n"));
    }
    script(inside.engine, &inside.record, Role::Agent, &(lines + "wait")).await;
}

async fn no_riddle_names_another_host(world: &World, engine: &dyn Engine, place: &mut Place) {
    for name in ["front.example", "evil.example"] {
        world.zone.set(name, &[ADDRESS]);
    }
    let sites = PORTS.map(|port| Site::open(world.listen(ADDRESS, port), SONG));
    let allow = ["front.example".to_owned(), "front.example:8080".to_owned()];
    let server = world.handle();
    let inside = Inside::served_by(server, engine, place, NetworkMode::Allow, &allow).await;
    let address = inside.address_of("front.example").await;
    let mut riddles = Vec::new();
    for port in PORTS {
        for riddle in said_inside(port) {
            riddles.extend(Payload::every_way(&address, port, &riddle));
        }
        riddles.extend(asked_of_the_proxy(port).into_iter().map(|it| Payload::to_proxy(it.into())));
    }
    for some in riddles.chunks(100) {
        send_all(&inside, place, some).await;
    }
    for site in &sites {
        let heard = site.heard();
        let at = heard.find("evil").map_or(0, |at| at.saturating_sub(200));
        assert!(!heard.contains("evil"), "{} heard {:?}", site.address, &heard[at..]);
        site.forget();
    }
    // The ways lead there, and what is honest arrives by each.
    let honest = |port: u16| {
        let head = format!("GET /honest HTTP/1.1\r\nHost: front.example:{port}\r\n");
        Payload::every_way(&address, port, &format!("{head}Connection: close\r\n\r\n"))
    };
    send_all(&inside, place, &PORTS.map(honest).into_iter().flatten().collect::<Vec<_>>()).await;
    for site in &sites {
        let heard = site.heard();
        assert_eq!(heard.matches("GET /honest").count(), 3, "{} {heard}", site.address);
    }
    for site in &sites {
        let port = site.address.port();
        for riddle in said_inside(port).into_iter().chain(asked_of_the_proxy(port)) {
            require_heard(world, site, &riddle);
        }
    }
    inside.remove().await;
}

/// The control: without a wall, the server hears what a riddle says of the other host.
fn require_heard(world: &World, site: &Site, riddle: &str) {
    site.forget();
    let connect = || TcpStream::connect(site.address).expect("the control connects");
    let mut stream = world.on_the_machine(connect);
    stream.write_all(riddle.as_bytes()).expect("sent");
    let start = std::time::Instant::now();
    while !site.heard().contains("evil") {
        assert!(start.elapsed() < PATIENCE, "the control of {riddle:?} is not heard");
        std::thread::yield_now();
    }
}

on_both_engines_in_a_world!(no_riddle_names_another_host);
