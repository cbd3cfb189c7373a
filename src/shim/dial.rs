//! A stream to a port of the box's loopback, on a connection of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::eager::Eager;
use super::wire::{Frame, ShimEvent, write_frame};

/// A loopback answers at once; only a full backlog makes it wait.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Bytes under way in either direction of one stream.
const BUFFER: usize = 32 << 10;

/// Connects to `port` and carries bytes until both sides have ended theirs.
pub(super) async fn run(reader: OwnedReadHalf, writer: OwnedWriteHalf, port: u16) {
    let Ok(peer) = reader.reunite(writer) else { return };
    let mut peer = Eager::from(peer);
    match connect(port).await {
        Ok(service) => carry(&mut peer, service).await,
        Err(error) => {
            let message = format!("port {port} of the box: {error}");
            let _ =
                write_frame(&mut peer, &Frame::control(&ShimEvent::DialFailed { message })).await;
        }
    }
}

async fn carry(peer: &mut Eager, mut service: TcpStream) {
    if write_frame(peer, &Frame::control(&ShimEvent::Dialled)).await.is_ok() {
        // Either side's error ends the stream; both see that by themselves.
        let _ = copy_bidirectional_with_sizes(peer, &mut service, BUFFER, BUFFER).await;
    }
}

/// A program may listen on one family only, so both loopbacks are tried.
async fn connect(port: u16) -> io::Result<TcpStream> {
    let first = connect_to(Ipv4Addr::LOCALHOST.into(), port).await;
    let stream = match first {
        Ok(stream) => stream,
        // A box without IPv6 has another error for it, which says less.
        Err(error) => connect_to(Ipv6Addr::LOCALHOST.into(), port).await.map_err(|_| error)?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn connect_to(address: IpAddr, port: u16) -> io::Result<TcpStream> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    timeout(CONNECT_DEADLINE, TcpStream::connect((address, port))).await.map_err(late)?
}
