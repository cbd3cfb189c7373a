use super::*;
use tokio::sync::mpsc;

#[tokio::test(start_paused = true)]
async fn queries_without_end_are_slowed_down() {
    let root = tempfile::tempdir().expect("a directory");
    let (relay, _) = Relay::new(root.path().to_owned(), "egress.sock", open());
    let start = Instant::now();
    for _ in 0..=3 * QUERIES_PER_SECOND {
        // Each may be of a connection of its own.
        relay.clone().turn().await;
    }
    assert_eq!(start.elapsed().as_secs(), 2);
}

fn open() -> RelayRules {
    RelayRules { every_name: true, allow: Vec::new() }
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
    let (relay, _) = Relay::new(root.to_owned(), "egress.sock", open());
    (relay, asked)
}

/// What a program reads that dials the address the name server gave it.
async fn dial_by_name(relay: &Relay, name: &str) -> io::Result<(String, u16)> {
    let address = lock(&relay.names).address_of(name);
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
    assert!(request.starts_with(&format!("CONNECT db.example:{port} HTTP/1.1\r\n")), "{request}");
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

#[tokio::test]
async fn a_listener_that_idles_takes_no_slot_from_another() {
    let root = tempfile::tempdir().expect("a directory");
    let (relay, _asked) = relay(root.path(), "");
    std::fs::remove_file(root.path().join("egress.sock")).expect("removed");
    let slots = Arc::new(Semaphore::new(1));
    let places = [(); 2].map(|()| {
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("bound");
        let place = listener.local_addr().expect("an address");
        relay.take(listener, &slots, Relay::carry);
        place
    });
    for place in places {
        let mut stream = TcpStream::connect(place).await.expect("connected");
        let mut read = Vec::new();
        let told = timeout(Duration::from_secs(10), stream.read_to_end(&mut read)).await;
        assert!(told.is_ok_and(|told| told.is_ok()), "it waits for the other's slot");
        assert_eq!(read, NO_SERVER);
    }
}
