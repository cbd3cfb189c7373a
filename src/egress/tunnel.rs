//! What goes through a tunnel, looked at where it begins: TLS and HTTP say once more which host they
//! are for, and servers that hold many hosts believe that and not the address.
//!
//! HTTP is carried on request by request. What is neither goes on as it is, but not on the web's
//! own ports of an environment that reaches only what is named.

use std::io::{self, Cursor};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional, join};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::model::destination::Host;
use crate::model::policy::NetworkMode;

use super::Session;
use super::dial::Opened;
use super::gate::Place;
use super::hello::{self, Hello};
use super::http::{self, Bound};
use super::policy::Refusal;

/// How long a beginning may take from its first byte; nobody waits longer for a handshake.
const BEGINNING_DEADLINE: Duration = Duration::from_secs(30);

/// Most bytes looked at before it must be clear what begins.
const MAX_BEGINNING: usize = 48 << 10;

/// Most bytes of a request's first line; servers take 8 KiB.
const MAX_LINE: usize = 16 << 10;

/// What servers skip before a request, and take for the space in it (RFC 9112, 2.2 and 3).
const BLANKS: &[u8] = b" \t\x0b\x0c\r\n";

/// Bytes read at a time from the far side while the near side has not said enough.
const CHUNK: usize = 8 << 10;

/// `access_denied`, as a fatal alert in a record of its own (RFC 8446, 6).
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// What a connection turns out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Beginning {
    Undecided,
    Tls(Hello),
    /// HTTP/1, or what a lenient server takes for it.
    Http,
    /// HTTP/2 without TLS, whose requests are not read here.
    Http2,
    Ssh,
    /// More than anything needs to begin, and still not clear.
    Endless,
    /// Nothing that says which host it is for, as far as can be seen.
    Other,
    /// The client says nothing and has ended its side.
    Silent,
}

/// Carries a tunnel to its end, unless what begins in it is for somewhere else.
pub(super) async fn carry<S>(near: S, opened: Opened, session: &Session) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let place = opened.place.clone();
    tokio::select! {
        result = carry_judged(near, opened, session) => result,
        () = session.gate.revoked(&place) => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

async fn carry_judged<S>(mut near: S, opened: Opened, session: &Session) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Opened { stream: mut far, place, own } = opened;
    let Place { ref host, port, .. } = place;
    if own {
        // One service on one port, named by the user: nothing it says leads elsewhere.
        return copy_bidirectional(&mut near, &mut far).await.map(drop);
    }
    let mut said = Vec::new();
    let Some(beginning) = listen(&mut near, &mut far, &mut said).await? else { return Ok(()) };
    if let Err(refusal) = judge(&beginning, session, host, port) {
        session.refuse(host, port, &refusal);
        if matches!(beginning, Beginning::Tls(_)) {
            near.write_all(&ALERT).await?;
        }
        return near.shutdown().await;
    }
    if beginning == Beginning::Http {
        let (reader, writer) = tokio::io::split(near);
        let near = join(Cursor::new(said).chain(reader), writer);
        return http::serve_bound(near, session, Bound::new(place, far)).await;
    }
    far.write_all(&said).await?;
    copy_bidirectional(&mut near, &mut far).await.map(drop)
}

/// Hears the near side until it is clear what it begins; what the far side says meanwhile is passed
/// on, since in some protocols it speaks first. `None` when the far side ended.
async fn listen<S>(
    near: &mut S,
    far: &mut TcpStream,
    said: &mut Vec<u8>,
) -> io::Result<Option<Beginning>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut answer = [0; CHUNK];
    let mut deadline = None;
    loop {
        let late = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = near.read_buf(said) => {
                let ended = read? == 0;
                let beginning = begin(said);
                match beginning {
                    Beginning::Undecided if ended && said.is_empty() => {
                        return Ok(Some(Beginning::Silent));
                    }
                    Beginning::Undecided if said.len() > MAX_BEGINNING => {
                        return Ok(Some(Beginning::Endless));
                    }
                    Beginning::Undecided if ended => return Ok(Some(Beginning::Other)),
                    Beginning::Undecided => {}
                    beginning => return Ok(Some(beginning)),
                }
                deadline.get_or_insert_with(|| Instant::now() + BEGINNING_DEADLINE);
            }
            read = far.read(&mut answer) => match read? {
                0 => {
                    near.shutdown().await?;
                    return Ok(None);
                }
                length => near.write_all(&answer[..length]).await?,
            },
            () = late => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// What the first bytes begin.
fn begin(bytes: &[u8]) -> Beginning {
    if bytes.first() == Some(&hello::HANDSHAKE) {
        return match hello::read(bytes) {
            Hello::Unfinished => Beginning::Undecided,
            hello => Beginning::Tls(hello),
        };
    }
    let is_blank = |byte: &u8| BLANKS.contains(byte);
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let text = &bytes[start..];
    let is_token = |byte: &u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(byte);
    let token = text.iter().take_while(|byte| is_token(byte)).count();
    match text.get(token) {
        Some(next) if token > 0 && is_blank(next) => first_line(text),
        _ if text.starts_with(b"SSH-") => first_line(text),
        None if token <= MAX_LINE => Beginning::Undecided,
        _ => Beginning::Other,
    }
}

/// What a line begins that has a request's first word, or that of SSH, whose line may go on with a
/// comment.
fn first_line(text: &[u8]) -> Beginning {
    let Some(end) = text.iter().position(|byte| *byte == b'\n') else {
        return if text.len() > MAX_LINE { Beginning::Http } else { Beginning::Undecided };
    };
    let line = text[..end].to_ascii_lowercase();
    if line.starts_with(b"pri * http/2") {
        Beginning::Http2
    } else if memchr::memmem::find(&line, b"http/").is_some() {
        Beginning::Http
    } else if line.starts_with(b"ssh-") {
        Beginning::Ssh
    } else {
        Beginning::Other
    }
}

/// Whether what begins may go on to a destination that was judged before.
fn judge(beginning: &Beginning, session: &Session, host: &Host, port: u16) -> Result<(), Refusal> {
    let destination = || format!("{host}:{port}");
    let unjudged = || Err(Refusal::Unjudged { destination: destination() });
    let named_only = session.gate.policy().mode == NetworkMode::Allow;
    match beginning {
        Beginning::Tls(Hello::Names(said)) => session.agree(host, port, "TLS", said),
        Beginning::Tls(Hello::Nameless) => match host {
            Host::Address(_) => Ok(()),
            Host::Name(_) => Err(Refusal::Nameless { destination: destination() }),
        },
        Beginning::Tls(_) => unjudged(),
        Beginning::Http2 | Beginning::Endless if named_only => unjudged(),
        Beginning::Other if named_only && [80, 443].contains(&port) => unjudged(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::egress::hello::tests::hello_for;

    #[test]
    fn a_beginning_is_known_from_its_bytes() {
        for (bytes, expected) in [
            (&b""[..], Beginning::Undecided),
            (b"\r\n", Beginning::Undecided),
            (b"GE", Beginning::Undecided),
            (b"GET / HT", Beginning::Undecided),
            (b"GET / HTTP/1.1\r\n", Beginning::Http),
            (b"\r\n\r\nGET / HTTP/1.1\r\n", Beginning::Http),
            (b"get\t/\thttp/1.0\n", Beginning::Http),
            (b"X / y HTTP/9\n", Beginning::Http),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Beginning::Http2),
            (b"SSH-2.0-client\r\n", Beginning::Ssh),
            (b"SSH-2.0-client", Beginning::Undecided),
            (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", Beginning::Ssh),
            (b"SSH-2.0-odd(client)\r\n", Beginning::Ssh),
            (b"SSH-2.0-x / HTTP/1.1\r\n", Beginning::Http),
            (b" GET / HTTP/1.1\r\n", Beginning::Http),
            (b"\t\r\n\x0bGET / HTTP/1.1\r\n", Beginning::Http),
            (b"GET\x0b/\x0bHTTP/1.1\r\n", Beginning::Http),
            (b"GET\x0c/\x0cHTTP/1.1\r\n", Beginning::Http),
            (b"GET\r/\rHTTP/1.1\r\n", Beginning::Http),
            (b"PING\r\n", Beginning::Other),
            (b"SET a b\r\n", Beginning::Other),
            (b"*1\r\n$4\r\nPING\r\n", Beginning::Other),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Beginning::Other),
            (b"{\"json\": 1}", Beginning::Other),
            (b"\x16\x02", Beginning::Tls(Hello::Unreadable)),
        ] {
            assert_eq!(begin(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
        let hello = hello_for("example.org");
        let named = Hello::Names(Host::Name("example.org".to_owned()));
        assert_eq!(begin(&hello), Beginning::Tls(named));
        assert_eq!(begin(&hello[..50]), Beginning::Undecided);
    }

    proptest! {
        #[test]
        fn any_bytes_begin_something_and_never_without_end(
            bytes in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            let _ = begin(&bytes);
            let long = bytes.repeat(1 + MAX_BEGINNING / bytes.len().max(1));
            let only_blanks = bytes.iter().all(|byte| BLANKS.contains(byte));
            prop_assert!(only_blanks || begin(&long) != Beginning::Undecided);
        }
    }
}
