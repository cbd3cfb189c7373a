//! Services of the host and of a cloud: directly, by name, and through what a box has for a way
//! out.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::files::holds;
use super::{Spelling, Try};
use crate::shim::config::RelayConfig;

/// How long a service may take to answer: those that are tried are on this machine.
const ANSWER: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read.
const MAX_ANSWER: u64 = 4096;
/// Where clouds tell machines their credentials.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// What an answer of a way out means.
enum Answer {
    Said(Vec<u8>),
    No(String),
}

/// Success is the canary's own answer.
pub(super) fn dial(spellings: &[Spelling], secret: &str, outside: bool) -> Vec<Try> {
    let judge = |what: String, answer: Answer| match answer {
        Answer::Said(text) if holds(&text, secret) => Try::reached(what, "answered"),
        Answer::Said(text) => Try::refused(what, first_line(&text)),
        Answer::No(why) => Try::refused(what, why),
    };
    everywhere(spellings, outside, judge)
}

/// Here a way out that so much as tried is a success too: a machine in a cloud would have
/// answered.
pub(super) fn metadata(spellings: &[Spelling], secret: &str, outside: bool) -> Vec<Try> {
    if outside {
        let what = "a metadata service in a network of its own";
        return vec![match own_network(secret) {
            Ok(()) => dial(&[Spelling { host: METADATA.to_string(), port: 80 }], secret, true)
                .pop()
                .unwrap_or_else(|| Try::absent(what, "nothing was tried")),
            Err(error) => Try::absent(what, error.to_string()),
        }];
    }
    let judge = |what: String, answer: Answer| match answer {
        Answer::Said(text) if is_refusal(&text) => Try::refused(what, first_line(&text)),
        Answer::Said(text) if text.is_empty() => Try::refused(what, "closed"),
        Answer::Said(text) => Try::reached(what, first_line(&text)),
        Answer::No(why) => Try::refused(what, why),
    };
    everywhere(spellings, outside, judge)
}

fn everywhere(
    spellings: &[Spelling],
    outside: bool,
    judge: impl Fn(String, Answer) -> Try,
) -> Vec<Try> {
    let mut tries = Vec::new();
    for spelling in spellings {
        let place = format!("{}:{}", spelling.host, spelling.port);
        tries.push(judge(place.clone(), direct(spelling)));
        if !outside {
            for (way, request) in proxied(spelling) {
                tries.push(judge(format!("{place} by {way}"), through_relay(&request)));
            }
        }
    }
    tries
}

fn request(host: &str) -> String {
    format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n")
}

fn direct(spelling: &Spelling) -> Answer {
    let host = spelling.host.trim_matches(['[', ']']);
    let addresses: Vec<SocketAddr> = match (host, spelling.port).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Answer::No(error.to_string()),
    };
    let mut why = "no address".to_owned();
    for address in addresses {
        match talk(address, request(host).as_bytes()) {
            Ok(text) => return Answer::Said(text),
            Err(error) => why = error.to_string(),
        }
    }
    Answer::No(why)
}

/// Requests for the relay in a box: a whole URL, a tunnel, and SOCKS5 with a name.
fn proxied(spelling: &Spelling) -> [(&'static str, Vec<u8>); 3] {
    let Spelling { host, port } = spelling;
    let place = format!("{host}:{port}");
    let url = format!("GET http://{place}/ HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n");
    let tunnel = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n{}", request(host));
    let mut socks = vec![5, 1, 0, 5, 1, 0, 3, host.len() as u8];
    socks.extend(host.as_bytes());
    socks.extend(port.to_be_bytes());
    socks.extend(request(host).as_bytes());
    [("GET", url.into_bytes()), ("CONNECT", tunnel.into_bytes()), ("SOCKS5", socks)]
}

fn through_relay(request: &[u8]) -> Answer {
    let relay = SocketAddr::from((Ipv4Addr::LOCALHOST, RelayConfig::PROXY_PORT));
    match talk(relay, request) {
        Ok(text) => Answer::Said(text),
        Err(error) => Answer::No(error.to_string()),
    }
}

fn talk(address: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(request)?;
    let mut text = Vec::new();
    // An answer may be whole before the connection ends, or ends badly.
    match stream.take(MAX_ANSWER).read_to_end(&mut text) {
        Err(error) if text.is_empty() => Err(error),
        _ => Ok(text),
    }
}

/// A refusal in the terms of HTTP, or of SOCKS5: its version and no authentication, then a reply
/// that is not 0.
fn is_refusal(text: &[u8]) -> bool {
    text.starts_with(b"HTTP/1.1 4") || matches!(text, [5, 0, 5, reply, ..] if *reply != 0)
}

fn first_line(text: &[u8]) -> String {
    if let [5, _, 5, reply, ..] = text {
        return format!("SOCKS reply {reply}");
    }
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line).trim().chars().take(80).collect()
}

/// Moves this process into a network of its own that has the metadata address, and serves there.
fn own_network(secret: &str) -> io::Result<()> {
    // SAFETY: this process has one thread so far.
    let own = unsafe {
        libc::unshare(libc::CLONE_NEWNET) == 0
            || libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) == 0
    };
    if !own {
        return Err(io::Error::last_os_error());
    }
    give_address(METADATA)?;
    let listener = TcpListener::bind((METADATA, 80))?;
    let answer = format!("HTTP/1.0 200 OK\r\n\r\n{secret}");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    Ok(())
}

/// Gives the loopback interface an address and brings it up.
fn give_address(address: Ipv4Addr) -> io::Result<()> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: zeroes are a valid value of these plain structures.
    let (mut interface, mut place): (libc::ifreq, libc::sockaddr_in) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    for (to, from) in interface.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    place.sin_family = libc::AF_INET as libc::sa_family_t;
    place.sin_addr.s_addr = u32::from(address).to_be();
    // SAFETY: an internet address is as large as the general one, and of as plain numbers.
    interface.ifr_ifru.ifru_addr = unsafe { std::mem::transmute_copy(&place) };
    let ask = |what: libc::c_ulong, interface: &libc::ifreq| {
        // SAFETY: the structure lives through the call, which reads it.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), what as _, interface) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    ask(libc::SIOCSIFADDR as libc::c_ulong, &interface)?;
    interface.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    ask(libc::SIOCSIFFLAGS as libc::c_ulong, &interface)
}
