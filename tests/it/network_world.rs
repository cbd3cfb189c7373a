//! The wall in a world with public addresses, names and metadata services: what names lead to, and
//! programs that know no proxy.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};

use agentdeck::engine::Engine;
use agentdeck::model::policy::NetworkMode;
use agentdeck::shim::wire::Role;

use crate::common::on_both_engines_in_a_world;
use crate::common::place::Place;
use crate::common::world::{Site, World};
use crate::network::{Inside, SONG, Way};

const PUBLIC: &str = "203.0.113.5";

/// Where names below the machine's own domain lead.
const TRAP: &str = "203.0.113.6";

/// What is never reached, or only by an entry of its own, and how else it is written.
const SPECIAL: [(&str, &[&str]); 11] = [
    (
        "169.254.169.254",
        &["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "[::ffff:a9fe:a9fe]"],
    ),
    ("168.63.129.16", &["2822734096", "[::ffff:168.63.129.16]"]),
    ("100.100.100.200", &["[::ffff:6464:64c8]"]),
    ("192.0.0.192", &["3221225664"]),
    ("10.9.8.7", &["10.591879", "012.011.010.7", "[::ffff:10.9.8.7]"]),
    ("192.168.77.1", &["192.168.19713"]),
    ("fd00:ec2::254", &["[fd00:0ec2::254]"]),
    ("fd00:ec2::23", &["[fd00:ec2:0::23]"]),
    ("fd20:ce::254", &["[FD20:CE::254]"]),
    ("fd12::1", &["[fd12:0::0:1]"]),
    ("127.0.0.1", &["127.1", "[::ffff:127.0.0.1]"]),
];

/// Spellings that lead to the cloud's metadata service through machinery that is not here.
const THROUGH_OTHERS: [&str; 6] = [
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[::169.254.169.254]",
    "[2001:db8::5efe:169.254.169.254]",
    "metadata.google.internal",
    "169.254.169.254%25lo",
];

fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

/// Neither an address nor a name leads to what is special, whatever a name server answers.
async fn no_name_and_no_spelling_leads_to_what_is_special(
    world: &World,
    engine: &dyn Engine,
    place: &mut Place,
) {
    let public = Site::open(world.listen(PUBLIC, 80), SONG);
    let trap = Site::open(world.listen(TRAP, 80), SONG);
    let mut sites = Vec::new();
    for (address, _) in SPECIAL {
        let listener = match address {
            "127.0.0.1" => {
                let bind = || TcpListener::bind((address, 80)).expect("bound");
                world.on_the_machine(bind)
            }
            address => world.listen(address, 80),
        };
        sites.push(Site::open(listener, SONG));
    }
    world.zone.set("public.example", &[PUBLIC]);
    // What is below the machine's own domain is not what was asked for.
    for name in ["public.example.trap.example", "missing.example.trap.example"] {
        world.zone.set(name, &[TRAP]);
    }
    let mut spellings: Vec<String> = THROUGH_OTHERS.map(str::to_owned).to_vec();
    for (number, (address, others)) in SPECIAL.iter().enumerate() {
        let (bad, turning) = (format!("bad{number}.example"), format!("turning{number}.example"));
        world.zone.set(&bad, &[address]);
        // A name that leads elsewhere each time it is asked for.
        world.zone.set_turns(&turning, &[&[PUBLIC], &[address], &[address, PUBLIC]]);
        spellings.push(bracketed(address));
        spellings.extend(others.iter().map(|other| (*other).to_owned()));
        spellings.push(bad);
    }
    let inside = Inside::served_by(world.handle(), engine, place, NetworkMode::Open, &[]).await;
    for spelling in &spellings {
        for way in [Way::Get, Way::Socks] {
            let answer = inside.ask(way, spelling, 80).await;
            assert!(way.is_refusal(&answer), "{way:?} {spelling}: {answer:?}");
        }
    }
    for number in 0..SPECIAL.len() {
        for way in [Way::Get, Way::Connect, Way::Socks] {
            inside.ask(way, &format!("turning{number}.example"), 80).await;
        }
        let direct = inside.address_of(&format!("turning{number}.example")).await;
        inside.ask(Way::Direct, &direct, 80).await;
    }
    for site in &sites {
        assert_eq!(site.heard(), "", "{}", site.address);
    }
    assert!(public.heard().contains("turning"), "names that lead to the public one are reached");
    assert!(inside.ask(Way::Get, "public.example", 80).await.ends_with(SONG));
    // A name server that has nothing to say of IPv6 holds nothing up.
    world.zone.set("half.example", &[PUBLIC]);
    world.zone.silence_six("half.example");
    assert!(inside.ask(Way::Get, "half.example", 80).await.ends_with(SONG));
    let missing = inside.ask(Way::Get, "missing.example", 80).await;
    assert!(missing.starts_with("HTTP/1.1 502"), "{missing}");
    assert_eq!(trap.heard(), "");
    // The controls: without a wall each address and each spelling is heard by its site.
    for ((address, others), site) in SPECIAL.iter().zip(&sites) {
        for spelling in others.iter().copied().map(str::to_owned).chain([bracketed(address)]) {
            site.forget();
            world.on_the_machine(|| require_song(&spelling));
            assert_ne!(site.heard(), "", "{spelling}");
        }
    }
    inside.remove().await;
}

fn require_song(spelling: &str) {
    let host = spelling.trim_matches(['[', ']']);
    let places = (host, 80).to_socket_addrs().expect("read").collect::<Vec<_>>();
    let mut stream = TcpStream::connect(&*places).expect("the control connects");
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("shut");
    let mut heard = String::new();
    stream.read_to_string(&mut heard).expect("read");
    assert!(heard.ends_with(SONG), "{spelling} hears {heard:?}");
}

/// A TLS hello for a host, in one record (RFC 8446, 4.1.2), as programs begin.
fn hello(name: Option<&str>) -> Vec<u8> {
    let block = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let name = name.map(|name| {
        let entry = [&[0][..], &block(name.as_bytes())].concat();
        [&[0, 0][..], &block(&block(&entry))].concat()
    });
    let versions = [0, 43, 0, 3, 2, 3, 4];
    let extensions = [name.as_deref().unwrap_or_default(), &versions].concat();
    let suites = [0, 2, 0x13, 0x01];
    let body = [&[3, 3][..], &[7; 32], &[0], &suites, &[1, 0], &block(&extensions)].concat();
    let message = [&[1, 0][..], &block(&body)].concat();
    [&[22, 3, 1][..], &block(&message)].concat()
}

/// A program that dials a name by itself and begins TLS arrives where it says that it goes.
async fn tls_without_a_proxy_goes_where_it_says(
    world: &World,
    engine: &dyn Engine,
    place: &mut Place,
) {
    for name in ["front.example", "evil.example"] {
        world.zone.set(name, &[PUBLIC]);
    }
    let sites = [443, 8443].map(|port| Site::open(world.listen(PUBLIC, port), SONG));
    let allow = ["front.example".to_owned(), "front.example:8443".to_owned()];
    let inside = Inside::served_by(world.handle(), engine, place, NetworkMode::Allow, &allow).await;
    let address = inside.address_of("front.example").await;
    for site in &sites {
        let port = site.address.port();
        let dial = async |name: Option<&str>| {
            inside.dial(Role::Agent, (address.clone(), port, hello(name))).await;
        };
        for name in [Some("evil.example"), Some("front.example.evil.example"), None] {
            dial(name).await;
            assert_eq!(site.heard(), "", "{name:?} {port}");
        }
        dial(Some("FRONT.example")).await;
        assert!(site.heard().contains("FRONT.example"), "{port}");
        // The control: without a wall the other name arrives.
        let connect = || TcpStream::connect(site.address).expect("connected");
        let mut stream = world.on_the_machine(connect);
        stream.write_all(&hello(Some("evil.example"))).expect("sent");
        crate::survival::wait_until("it is heard", || site.heard().contains("evil.example"));
    }
    let denied = inside.judge.denied();
    assert!(denied.iter().any(|it| it.reason.contains("TLS names evil.example")), "{denied:?}");
    inside.remove().await;
}

const BANNER: &str = "SSH-2.0-canary\r\n";

/// As distributions write it: with a comment.
const CLIENT: &str = "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n";

/// A protocol in which the server speaks first, on its usual port, on another that is
/// named, and on the web's.
async fn ssh_speaks_first_and_is_heard(world: &World, engine: &dyn Engine, place: &mut Place) {
    for name in ["git.example", "evil.example"] {
        world.zone.set(name, &[PUBLIC]);
    }
    let ports = [22, 2222, 443];
    for port in ports {
        let listener = world.listen(PUBLIC, port);
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut line = [0; CLIENT.len()];
                let _ = stream.write_all(BANNER.as_bytes());
                if stream.read_exact(&mut line).is_ok() {
                    let _ = stream.write_all(&line);
                }
            }
        });
    }
    let allow = ports.map(|port| format!("git.example:{port}"));
    let inside = Inside::served_by(world.handle(), engine, place, NetworkMode::Allow, &allow).await;
    let address = inside.address_of("git.example").await;
    for port in ports {
        let said = CLIENT.as_bytes().to_vec();
        let heard = inside.dial(Role::Agent, (address.clone(), port, said)).await;
        assert_eq!(heard, format!("{BANNER}{CLIENT}"), "{port}");
        let heard = inside.ask(Way::Connect, "evil.example", port).await;
        assert!(Way::Connect.is_refusal(&heard), "{heard}");
    }
    inside.remove().await;
}

on_both_engines_in_a_world!(
    no_name_and_no_spelling_leads_to_what_is_special,
    tls_without_a_proxy_goes_where_it_says,
    ssh_speaks_first_and_is_heard,
);
