//! SOCKS5 (RFC 1928): no authentication, `CONNECT` only.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::dial::DialError;
use super::resolve::ResolveError;
use super::{Session, tunnel};

/// How long a client may take to say where it wants to go.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// The protocol's version, the first byte of each message.
pub(super) const VERSION: u8 = 5;

const NO_AUTHENTICATION: u8 = 0;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;

const SUCCEEDED: u8 = 0;
const GENERAL_FAILURE: u8 = 1;
const NOT_ALLOWED: u8 = 2;
const HOST_UNREACHABLE: u8 = 4;
const CONNECTION_REFUSED: u8 = 5;
const COMMAND_UNSUPPORTED: u8 = 7;
const ADDRESS_UNSUPPORTED: u8 = 8;

/// What a client asks for, or the code that answers what cannot be asked for.
type Asked = Result<(Vec<u8>, u16), u8>;

/// Serves one connection to its end.
pub(super) async fn serve<S>(mut stream: S, session: &Session) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let asked = timeout(HANDSHAKE_DEADLINE, handshake(&mut stream)).await.map_err(late)??;
    let opened = match asked {
        Ok((host, port)) => session.open(&host, port).await.map_err(|error| code(&error)),
        Err(code) => Err(code),
    };
    let answer = opened.as_ref().err().copied().unwrap_or(SUCCEEDED);
    // The bound address of the answer is of no use to a client of `CONNECT`, and is the host's.
    stream.write_all(&[VERSION, answer, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    match opened {
        Ok(opened) => tunnel::carry(stream, opened, session).await,
        Err(_) => stream.shutdown().await,
    }
}

async fn handshake<S>(stream: &mut S) -> io::Result<Asked>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let [version, count] = read(stream).await?;
    let mut methods = vec![0; usize::from(count)];
    stream.read_exact(&mut methods).await?;
    if version != VERSION || !methods.contains(&NO_AUTHENTICATION) {
        stream.write_all(&[VERSION, NO_METHOD]).await?;
        return Err(io::Error::other("no common way to authenticate"));
    }
    stream.write_all(&[VERSION, NO_AUTHENTICATION]).await?;
    let [version, command, _reserved, kind] = read(stream).await?;
    if version != VERSION {
        return Err(io::Error::other("not SOCKS version 5"));
    }
    // The host goes on as text, so that it is read where every host is read.
    let host = match kind {
        1 => IpAddr::from(Ipv4Addr::from(read::<4, _>(stream).await?)).to_string().into_bytes(),
        4 => IpAddr::from(Ipv6Addr::from(read::<16, _>(stream).await?)).to_string().into_bytes(),
        3 => {
            let [length] = read(stream).await?;
            let mut name = vec![0; usize::from(length)];
            stream.read_exact(&mut name).await?;
            name
        }
        _ => return Ok(Err(ADDRESS_UNSUPPORTED)),
    };
    let port = u16::from_be_bytes(read(stream).await?);
    Ok(if command == CONNECT { Ok((host, port)) } else { Err(COMMAND_UNSUPPORTED) })
}

async fn read<const N: usize, S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn code(error: &DialError) -> u8 {
    match error {
        DialError::Refused(_) => NOT_ALLOWED,
        DialError::Unresolved(ResolveError::Unusable(_)) => GENERAL_FAILURE,
        DialError::Unresolved(_) | DialError::Late(_) => HOST_UNREACHABLE,
        DialError::Unreachable { error, .. } => match error.kind() {
            io::ErrorKind::ConnectionRefused => CONNECTION_REFUSED,
            _ => HOST_UNREACHABLE,
        },
    }
}
