//! Which host an HTTP request names: a page of another site, whose name was made to point at this
//! machine, can make a browser send requests here, but not change the host that they name.
//!
//! Only the first request of a connection is looked at, because a browser keeps a connection for
//! one name.

use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Longest head of a request that is looked through; servers take no longer ones.
const MAX_HEAD: usize = 64 << 10;
/// Within this time a browser has sent its first line, which it does at once. What sends half a
/// line and waits is another protocol.
const LINE_DEADLINE: Duration = Duration::from_millis(500);
/// Within this time the rest of a head comes, which a page cannot hold back.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// What the caller is told instead of being connected.
pub(super) const REFUSAL: &[u8] = b"HTTP/1.1 421 Misdirected Request\r\n\
    Content-Type: text/plain\r\nContent-Length: 61\r\nConnection: close\r\n\r\n\
    agentdeck: this request names another host than this machine\n";

/// The request is for a host that is not this machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Foreign;

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// Perhaps the beginning of a request.
    Line,
    /// A request whose head is not whole.
    Head,
    /// Not HTTP/1, or for this machine.
    Passed,
    Foreign,
}

/// Reads what the caller sends first, far enough to know that it may pass.
pub(super) async fn read_head<R: AsyncRead + Unpin>(caller: &mut R) -> Result<Vec<u8>, Foreign> {
    let mut head = Vec::new();
    let mut chunk = vec![0; 4 << 10];
    loop {
        let deadline = match look(&head) {
            Seen::Passed => return Ok(head),
            Seen::Foreign => return Err(Foreign),
            // Nothing sent yet: it may be the service's turn to speak.
            Seen::Line if head.is_empty() => Duration::MAX,
            Seen::Line => LINE_DEADLINE,
            Seen::Head if head.len() > MAX_HEAD => return Err(Foreign),
            Seen::Head => HEAD_DEADLINE,
        };
        match timeout(deadline, caller.read(&mut chunk)).await {
            Ok(Ok(count @ 1..)) => head.extend_from_slice(&chunk[..count]),
            _ if look(&head) == Seen::Head => return Err(Foreign),
            _ => return Ok(head),
        }
    }
}

fn look(bytes: &[u8]) -> Seen {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        // A request's line is text; a page may choose any method that is a word.
        let text = bytes.iter().all(|byte| (b' '..0x7f).contains(byte) || *byte == b'\r');
        // Servers take longer lines than this; a word and a blank begin a request.
        let seems_request = text && bytes.contains(&b' ');
        return match bytes.len() {
            ..=MAX_HEAD if text => Seen::Line,
            _ if seems_request => Seen::Foreign,
            _ => Seen::Passed,
        };
    };
    let line = bytes[..end].trim_ascii_end();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    if !version.starts_with(b"HTTP/1.") {
        return Seen::Passed;
    }
    let mut named = None;
    for line in bytes[end + 1..].split_inclusive(|byte| *byte == b'\n') {
        if !line.ends_with(b"\n") {
            break;
        }
        let line = line.trim_ascii();
        if line.is_empty() {
            // Without a host it is no browser's.
            return named
                .map_or(Seen::Passed, |here| if here { Seen::Passed } else { Seen::Foreign });
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        if line[..colon].trim_ascii().eq_ignore_ascii_case(b"host") {
            named = Some(named.unwrap_or(true) && is_here(line[colon + 1..].trim_ascii()));
        }
    }
    Seen::Head
}

/// Whether a `Host` field's value is a name or an address of this machine's loopback. Browsers
/// resolve every name below `localhost` to it by themselves (RFC 6761, 6.3).
fn is_here(value: &[u8]) -> bool {
    let Ok(value) = std::str::from_utf8(value) else { return false };
    let name = match value.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => value.rsplit_once(':').map_or(value, |(name, _)| name),
    };
    let name = name.to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    let loopback = name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    loopback || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host: &str) -> Vec<u8> {
        format!("GET / HTTP/1.1\r\nAccept: */*\r\nHost: {host}\r\n\r\n").into_bytes()
    }

    #[test]
    fn only_names_of_this_machine_pass() {
        for host in [
            "localhost",
            "LocalHost:80",
            "fox.localhost:8080",
            "127.0.0.1:1",
            "127.8.0.1",
            "[::1]:9",
        ] {
            assert_eq!(look(&request(host)), Seen::Passed, "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "10.0.0.1:80", "notlocalhost", "", "[::2]"]
        {
            assert_eq!(look(&request(host)), Seen::Foreign, "{host}");
        }
    }

    #[test]
    fn what_is_no_http_passes_and_a_second_host_does_not() {
        assert_eq!(look(b"SSH-2.0-client\r\n"), Seen::Passed);
        assert_eq!(look(b"EHLO evil.example\r\n"), Seen::Passed);
        assert_eq!(look(b"\x16\x03\x01"), Seen::Passed);
        assert_eq!(look(b"GET / HTT"), Seen::Line);
        assert_eq!(look(b"GET / HTTP/1.1\r\nHost: localh"), Seen::Head);
        assert_eq!(look(b"ANY / HTTP/1.1\r\nhost : evil\r\n\r\n"), Seen::Foreign);
        assert_eq!(look(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n"), Seen::Foreign);
    }

    #[tokio::test]
    async fn a_head_in_pieces_is_judged_as_one() {
        let (mut near, mut far) = tokio::io::duplex(7);
        let sent = request("evil.example");
        let sending =
            tokio::spawn(
                async move { tokio::io::AsyncWriteExt::write_all(&mut near, &sent).await },
            );
        assert_eq!(read_head(&mut far).await, Err(Foreign));
        drop(far);
        drop(sending.await);
    }

    #[test]
    fn a_request_that_hides_its_host_behind_a_long_line_does_not_pass() {
        let line = |length: usize| format!("GET /api?{}", "a".repeat(length)).into_bytes();
        assert_eq!(look(&line(MAX_HEAD / 2)), Seen::Line);
        assert_eq!(look(&line(MAX_HEAD)), Seen::Foreign);
        assert_eq!(look(&vec![b'a'; MAX_HEAD + 1]), Seen::Passed, "no blank: no request");
    }

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(REFUSAL).expect("text");
        let (_, body) = text.split_once("\r\n\r\n").expect("a body");
        assert!(text.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
