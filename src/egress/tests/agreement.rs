//! What is said inside a connection must be for where the connection goes.

use super::*;
use crate::egress::hello::tests::{hello_for, hello_with, name_extension};
use crate::model::destination::RelayRules;

/// A server that tells of each connection what it heard; HTTP and websockets it answers.
struct Ear {
    port: u16,
    heard: mpsc::Receiver<Vec<u8>>,
}

impl Ear {
    async fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let (tell, heard) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let tell = tell.clone();
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    let mut answered = false;
                    while let Ok(1..) = stream.read_buf(&mut bytes).await {
                        let head = bytes.ends_with(b"\r\n\r\n") && bytes[0].is_ascii_uppercase();
                        if head && !answered {
                            answered = true;
                            let lower = bytes.to_ascii_lowercase();
                            let switch = memchr::memmem::find(&lower, b"upgrade: websocket");
                            let answer: &[u8] = match switch {
                                Some(_) => {
                                    b"HTTP/1.1 101 Switching Protocols\r\n\
                                    Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome"
                                }
                                None => b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsong",
                            };
                            let _ = stream.write_all(answer).await;
                        }
                    }
                    let _ = tell.send(bytes).await;
                });
            }
        });
        Self { port, heard }
    }

    /// What the next connection brought until it ended.
    async fn next(&mut self) -> String {
        let heard = timeout(Duration::from_secs(10), self.heard.recv()).await;
        String::from_utf8_lossy(&heard.expect("a connection ended").expect("told")).into_owned()
    }
}

impl Box {
    fn named(port: u16) -> Self {
        let entries = [format!("public.example:{port}"), format!("{PUBLIC}:{port}")];
        Self::with(NetworkMode::Allow, &entries)
    }

    /// A tunnel to a place, just opened.
    async fn tunnel(&self, place: &str) -> UnixStream {
        let mut stream = self.dial().await;
        let connect = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n");
        stream.write_all(connect.as_bytes()).await.expect("sent");
        let head = head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{place}: {head}");
        stream
    }

    /// Sends bytes through a tunnel, in pieces, and returns what comes back until its end.
    async fn say(&self, place: &str, bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut stream = self.tunnel(place).await;
        for piece in bytes.chunks(piece) {
            if stream.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    }

    fn last_denial(&self) -> String {
        let denied = self.gate.denied();
        denied.first().map(|denial| denial.reason.clone()).unwrap_or_default()
    }
}

fn request(head: &str) -> Vec<u8> {
    format!("{head}\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn tls_that_names_the_tunnel_s_host_goes_through_as_it_is() {
    let mut ear = Ear::open().await;
    let named = Box::named(ear.port);
    let place = format!("public.example:{}", ear.port);
    for (hello, piece) in [(hello_for("public.example"), 4096), (hello_for("PUBLIC.example"), 1)] {
        named.say(&place, &hello, piece).await;
        assert_eq!(ear.next().await.len(), String::from_utf8_lossy(&hello).len());
    }
    let place = format!("{PUBLIC}:{}", ear.port);
    for hello in [hello_with(&[]), hello_for("public.example")] {
        named.say(&place, &hello, 4096).await;
        assert!(!ear.next().await.is_empty(), "an address may be named, or nothing");
    }
    assert_eq!(named.gate.denied(), []);
}

#[tokio::test]
async fn tls_that_is_for_somewhere_else_is_closed_before_a_byte_of_it_arrives() {
    let mut ear = Ear::open().await;
    let named = Box::named(ear.port);
    let place = format!("public.example:{}", ear.port);
    let two = [name_extension(b"public.example"), name_extension(b"evil.example")];
    let cases: [(Vec<u8>, &str); 8] = [
        (hello_for("evil.example"), "TLS names evil.example"),
        (hello_for("public.example.evil"), "TLS names public.example.evil"),
        (hello_for("a.public.example"), "TLS names a.public.example"),
        (hello_for("xn--pblic-kva.example"), "TLS names xn--pblic-kva.example"),
        (hello_with(&[]), "names no host"),
        (hello_with(&two), "begins as none of"),
        (hello_with(&[name_extension(b"127.0.0.1")]), "begins as none of"),
        (hello_with(&[name_extension(b"public.example\0")]), "begins as none of"),
    ];
    for (hello, reason) in &cases {
        for piece in [4096, 1] {
            let answer = named.say(&place, hello, piece).await;
            assert_eq!(answer, [21, 3, 3, 0, 2, 2, 49], "an alert");
            assert_eq!(ear.next().await, "", "{reason}");
            assert!(named.last_denial().contains(reason), "{}", named.last_denial());
        }
    }
    let place = format!("{PUBLIC}:{}", ear.port);
    named.say(&place, &hello_for("evil.example"), 4096).await;
    assert_eq!(ear.next().await, "", "an address is no way around a name");
}

#[tokio::test]
async fn http_in_a_tunnel_is_for_the_tunnel_s_host_or_does_not_arrive() {
    let mut ear = Ear::open().await;
    let named = Box::named(ear.port);
    let (port, place) = (ear.port, format!("public.example:{}", ear.port));
    let good = [
        "GET /a HTTP/1.1\r\nHost: public.example".to_owned(),
        format!("GET /a HTTP/1.1\r\nHost: PUBLIC.example.:{port}"),
        format!("\r\nGET http://public.example:{port}/a HTTP/1.1\r\nHost: public.example"),
        "GET /a HTTP/1.0".to_owned(),
    ];
    for head in &good {
        named.say(&place, &request(head), 7).await;
        let heard = ear.next().await;
        assert!(heard.starts_with("GET /a HTTP/1.1\r\n"), "{head:?} became {heard:?}");
        assert!(heard.contains(&format!("host: public.example:{port}\r\n")), "{heard:?}");
    }
    let bad = [
        "GET / HTTP/1.1\r\nHost: evil.example".to_owned(),
        "GET / HTTP/1.1\r\nHost: public.example\r\nHost: evil.example".to_owned(),
        "GET / HTTP/1.1\r\nHost: evil.example\r\nHost: public.example".to_owned(),
        "GET / HTTP/1.1\r\nHost: public.example:1".to_owned(),
        "GET / HTTP/1.1\r\nHost: public.example, evil.example".to_owned(),
        "GET / HTTP/1.1\r\nHost: evil.example@public.example".to_owned(),
        "GET / HTTP/1.1\r\nHost: public.example\u{0}.evil".to_owned(),
        "GET / HTTP/1.1\r\nHost:".to_owned(),
        "GET / HTTP/1.1\r\nHost: public.example\r\n evil.example".to_owned(),
        "GET / HTTP/1.1\r\nHost : evil.example".to_owned(),
        "GET http://evil.example/ HTTP/1.1\r\nHost: public.example".to_owned(),
        "GET http://evil.example/ HTTP/1.1".to_owned(),
        format!("GET http://public.example:{port}/ HTTP/1.1\r\nHost: evil.example"),
        "GET http://public.example@evil.example/ HTTP/1.1\r\nHost: public.example".to_owned(),
        "GET https://evil.example/ HTTP/1.1\r\nHost: public.example".to_owned(),
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example".to_owned(),
        "\r\n\r\nGET / HTTP/1.1\r\nHost: evil.example".to_owned(),
        "GET\t/\tHTTP/1.1\r\nHost: evil.example".to_owned(),
        "get / http/1.1\r\nHost: evil.example".to_owned(),
        "GET / HTTP/1.1 \r\nHost: evil.example".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM".to_owned(),
        "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket"
            .to_owned(),
    ];
    for head in &bad {
        named.say(&place, &request(head), 4096).await;
        assert_eq!(ear.next().await, "", "{head:?}");
    }
}

#[tokio::test]
async fn each_request_in_a_tunnel_is_judged_and_a_lie_ends_it() {
    let mut ear = Ear::open().await;
    let named = Box::named(ear.port);
    let place = format!("public.example:{}", ear.port);
    let requests = "GET /one HTTP/1.1\r\nHost: public.example\r\n\r\n\
                    GET /two HTTP/1.1\r\nHost: public.example\r\n\r\n\
                    GET /three HTTP/1.1\r\nHost: evil.example\r\n\r\n\
                    GET /four HTTP/1.1\r\nHost: public.example\r\n\r\n";
    let answer = named.say(&place, requests.as_bytes(), 4096).await;
    let answer = String::from_utf8_lossy(&answer);
    let statuses: Vec<&str> =
        answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "200", "421"], "{answer}");
    let (first, second) = (ear.next().await, ear.next().await);
    let both = [first, second].concat();
    assert!(both.contains("/one") && both.contains("/two") && !both.contains("evil"), "{both}");
    assert!(named.last_denial().contains("the Host header names evil.example"));
}

#[tokio::test]
async fn a_request_hidden_in_another_does_not_come_out_of_a_tunnel() {
    let mut ear = Ear::open().await;
    let named = Box::named(ear.port);
    let place = format!("public.example:{}", ear.port);
    for framing in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Content-Length: 4\r\nContent-Length: 40\r\n\r\nbody",
        "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
    ] {
        let text = format!(
            "POST / HTTP/1.1\r\nHost: public.example\r\n{framing}\
             GET /hidden HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        );
        named.say(&place, text.as_bytes(), 4096).await;
        let heard = ear.next().await;
        assert!(!heard.contains("hidden") && !heard.contains("evil"), "{framing:?} {heard:?}");
        assert!(!heard.to_ascii_lowercase().contains("upgrade"), "{framing:?} {heard:?}");
    }
}

#[tokio::test]
async fn a_websocket_is_carried_to_the_host_it_is_for() {
    let mut ear = Ear::open().await;
    let named = Box::named(ear.port);
    let mut stream = named.tunnel(&format!("public.example:{}", ear.port)).await;
    let ask = "GET /chat HTTP/1.1\r\nHost: public.example\r\nConnection: keep-alive, Upgrade\r\n\
               Upgrade: WebSocket\r\nSec-WebSocket-Key: x\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.expect("sent");
    let answer = head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let mut welcome = [0; 7];
    stream.read_exact(&mut welcome).await.expect("read");
    assert_eq!(&welcome, b"welcome");
    stream.write_all(b"\x81frame").await.expect("sent");
    stream.shutdown().await.expect("shut");
    assert!(ear.next().await.ends_with("frame"));
}

#[tokio::test]
async fn the_proxy_s_own_requests_agree_with_their_host_too() {
    let mut ear = Ear::open().await;
    let named = Box::named(ear.port);
    let place = format!("public.example:{}", ear.port);
    for head in [
        format!("GET http://{place}/ HTTP/1.1\r\nHost: evil.example"),
        format!("GET http://{place}/ HTTP/1.1\r\nHost: {place}\r\nHost: evil.example"),
        format!("GET http://{place}/ HTTP/1.1\r\nHost: public.example:9"),
        format!("CONNECT {place} HTTP/1.1\r\nHost: evil.example"),
    ] {
        let answer = named.ask(&format!("{head}\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{head:?} {answer:?}");
    }
    let close = "Connection: close";
    named.ask(&format!("GET http://{place}/ HTTP/1.1\r\nHost: {place}\r\n{close}\r\n\r\n")).await;
    assert!(ear.next().await.starts_with("GET / "), "the first that arrived");
}

#[tokio::test]
async fn what_says_no_host_goes_on_but_not_on_the_web_s_ports() {
    let mut ear = Ear::open().await;
    let named = Box::named(ear.port);
    let place = format!("public.example:{}", ear.port);
    for bytes in [&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], b"SSH-2.0-x\r\n", b"*1\r\n$4\r\nPING\r\n"] {
        named.say(&place, bytes, 3).await;
        assert_eq!(ear.next().await.len(), String::from_utf8_lossy(bytes).len());
    }
    assert_eq!(named.gate.denied(), []);
}

#[tokio::test]
async fn blanks_without_end_hide_no_request() {
    let mut ear = Ear::open().await;
    let named = Box::named(ear.port);
    let place = format!("public.example:{}", ear.port);
    let hidden = request("GET / HTTP/1.1\r\nHost: evil.example");
    for blank in [&b"\r\n"[..], b" ", b"\x0b\t"] {
        let bytes = [&blank.repeat((100 << 10) / blank.len())[..], &hidden].concat();
        named.say(&place, &bytes, 4096).await;
        assert_eq!(ear.next().await, "", "{blank:?}");
        assert!(named.last_denial().contains("begins as none of"), "{}", named.last_denial());
    }
}

#[tokio::test]
async fn taking_an_entry_back_ends_the_tunnel_it_opened_and_no_other() {
    let ear = Ear::open().await;
    let named = Box::named(ear.port);
    let mut by_name = named.tunnel(&format!("public.example:{}", ear.port)).await;
    let mut by_address = named.tunnel(&format!("{PUBLIC}:{}", ear.port)).await;
    let allow = vec![format!("{PUBLIC}:{}", ear.port).parse().expect("an entry")];
    named.gate.set_policy(NetworkPolicy { mode: NetworkMode::Allow, allow });
    let mut rest = Vec::new();
    let ended = timeout(Duration::from_secs(10), by_name.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the tunnel goes on");
    by_address.write_all(b"GET / HTTP/1.1\r\nHost: public.example\r\n\r\n").await.expect("sent");
    let answer = head(&mut by_address).await;
    assert!(answer.starts_with("HTTP/1.1 421"), "the name is not allowed any more: {answer}");
}

#[tokio::test]
async fn taking_an_entry_back_ends_requests_and_websockets_too() {
    let ear = Ear::open().await;
    // Its answer is longer than what it sends of it.
    let slow = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
    let slow_port = slow.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = slow.accept().await.expect("accepted");
        head(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nsome";
        stream.write_all(answer).await.expect("answered");
        std::future::pending::<()>().await;
    });
    let place = format!("public.example:{}", ear.port);
    let slow_place = format!("public.example:{slow_port}");
    let named = Box::with(NetworkMode::Allow, &[place.clone(), slow_place.clone()]);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
    let mut open = Vec::new();
    for (place, headers) in [(&place, upgrade), (&slow_place, "Accept: */*")] {
        let mut stream = named.dial().await;
        let ask = format!("GET http://{place}/ HTTP/1.1\r\nHost: {place}\r\n{headers}\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.expect("sent");
        let answer = head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 101") || answer.starts_with("HTTP/1.1 200"));
        let mut some = [0; 4];
        stream.read_exact(&mut some).await.expect("it begins");
        open.push(stream);
    }
    named.gate.set_policy(NetworkPolicy { mode: NetworkMode::Allow, allow: Vec::new() });
    for mut stream in open {
        let mut rest = Vec::new();
        let ended = timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it goes on");
    }
}

#[tokio::test]
async fn an_entry_counts_from_the_next_request_on() {
    let mut canary = Canary::start().await;
    let named = Box::with(NetworkMode::Allow, &[]);
    let place = format!("public.example:{}", canary.port);
    assert_eq!(named.statuses(&place).await, ["403", "403"]);
    let denied = named.gate.denied();
    let entry = denied[0].opens.clone().expect("it can be opened");
    assert_eq!((denied.len(), denied[0].count, entry.to_string()), (1, 2, place.clone()));
    named.gate.set_policy(NetworkPolicy { mode: NetworkMode::Allow, allow: vec![entry] });
    assert_eq!(named.statuses(&place).await, ["200", "200"]);
    assert_eq!(named.gate.denied(), []);
    assert_eq!(canary.sung().len(), 1);
}

#[tokio::test]
async fn a_relay_is_told_the_rules_as_they_change_and_tells_what_it_did_not_answer() {
    let named = Box::with(NetworkMode::Allow, &["public.example:8443".to_owned()]);
    let mut changes = named.gate.changes();
    let mut relay = tokio::io::BufReader::new(named.dial().await);
    relay.write_all(&[RELAY_FEED]).await.expect("sent");
    let mut rules = async || {
        let mut line = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut relay, &mut line).await.expect("read");
        serde_json::from_str::<RelayRules>(&line).expect("rules")
    };
    assert_eq!(rules().await, RelayRules::of(&named.gate.policy()));
    let open = NetworkPolicy { mode: NetworkMode::Open, allow: Vec::new() };
    named.gate.set_policy(open);
    assert!(rules().await.every_name);
    changes.borrow_and_update();
    relay.write_all(b"\"c2VjcmV0.evil.example\"\n").await.expect("sent");
    changes.changed().await.expect("noted");
    let denied = named.gate.denied();
    assert_eq!(denied[0].place, "c2vjcmv0.evil.example");
    assert_eq!(
        denied[0].opens.as_ref().map(ToString::to_string).as_deref(),
        Some(&*denied[0].place)
    );
    relay.write_all(&[b'x'; 2_000]).await.expect("sent");
    let mut rest = Vec::new();
    let _ = relay.read_to_end(&mut rest).await;
    assert_eq!(named.gate.denied().len(), 1, "a line without end is the end");
}

#[tokio::test]
async fn ten_thousand_connections_of_one_box_hold_up_no_other() {
    let (greedy, other) = (Box::open(), Box::open());
    let mut held = Vec::new();
    // Silent, and begun in every protocol and not gone on with.
    let begun: [&[u8]; 5] = [b"", b"GET http://publ", b"CONNECT ", b"\x05\x01", &[RELAY_FEED]];
    for number in 0..slots::OWN + slots::MORE {
        let mut stream = greedy.dial().await;
        stream.write_all(begun[number % begun.len()]).await.expect("sent");
        held.push(stream);
        // The queue before the listener is shorter than that.
        tokio::task::yield_now().await;
    }
    for _ in 0..10_000 {
        // Once the queue is full the kernel says no.
        let _ = crate::socket::connect_now(greedy.directory.path(), "egress.sock").await;
        tokio::task::yield_now().await;
    }
    let answered = timeout(Duration::from_secs(10), other.statuses("127.0.0.1:80")).await;
    assert_eq!(answered.expect("in time"), ["403", "403"]);
}
