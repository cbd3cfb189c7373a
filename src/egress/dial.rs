//! From a destination a box asked for to a connection, or to the reason why there is none.
//!
//! Both halves of the policy are applied here, and the address that was judged is the one dialled.

#[cfg(test)]
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::model::destination::Host;
use crate::model::failure::Failure;
use crate::model::policy::NetworkPolicy;

use super::gate::Place;
use super::policy::{self, Refusal, Way};
use super::resolve::{ResolveError, Resolver};
use super::upstream::{Proxy, Upstream};

/// How long one address may take to answer: four of the kernel's first tries.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// How long a destination may take in all, name, addresses and proxy together.
const OPEN_DEADLINE: Duration = Duration::from_secs(30);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Unresolved(#[from] ResolveError),
    #[error("{destination} cannot be reached: {error}")]
    Unreachable { destination: String, error: io::Error },
    #[error("{0} did not answer in time")]
    Late(String),
}

/// Opens connections for every environment.
pub(super) struct Dialer {
    pub(super) resolver: Resolver,
    pub(super) upstream: Upstream,
    /// Addresses that stand for others once they were judged.
    #[cfg(test)]
    pub(super) detours: HashMap<IpAddr, IpAddr>,
}

/// A connection to what was asked for.
pub(super) struct Opened {
    pub(super) stream: TcpStream,
    pub(super) place: Place,
    /// It is a service of this machine, which the user named by its port.
    pub(super) own: bool,
}

impl Dialer {
    /// Dials as the host does: with its resolver, and through its proxy where it has one.
    pub(super) fn of_this_host() -> Result<Self, Failure> {
        Ok(Self {
            resolver: Resolver::system(),
            upstream: Upstream::from_environment(|name| std::env::var(name).ok())?,
            #[cfg(test)]
            detours: HashMap::new(),
        })
    }

    /// Connects to a destination.
    pub(super) async fn open(
        &self,
        policy: &NetworkPolicy,
        host: &Host,
        port: u16,
    ) -> Result<Opened, DialError> {
        let late = |_| DialError::Late(format!("{host}:{port}"));
        let opened = timeout(OPEN_DEADLINE, self.open_host(policy, host, port));
        let opened = opened.await.map_err(late).and_then(|result| result);
        if let Err(error) = &opened {
            // A box can ask without end: what was refused is told, within bounds, by its gate.
            tracing::debug!(%host, port, %error, "a box was not connected");
        }
        opened
    }

    async fn open_host(
        &self,
        policy: &NetworkPolicy,
        host: &Host,
        port: u16,
    ) -> Result<Opened, DialError> {
        let destination = format!("{host}:{port}");
        let proxy = self.upstream.proxy_for(host, port);
        let way = policy::decide(policy, host, port);
        let own = way == Ok(Way::HostLoopback);
        let opened = |stream, address| {
            let address = if own { None } else { address };
            Opened { stream, place: Place { host: host.clone(), port, address }, own }
        };
        let by_proxy = |stream| opened(stream, None);
        let addresses = match way.map_err(|refusal| own_first(refusal, host, port))? {
            Way::HostLoopback => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Way::Address(address) => {
                let address = Self::judge(policy, vec![address], port)?;
                if let Some(proxy) = proxy {
                    return through(&self.resolver, proxy, host, port).await.map(by_proxy);
                }
                address
            }
            Way::Name(name) => {
                if let Some(proxy) = proxy {
                    return through(&self.resolver, proxy, host, port).await.map(by_proxy);
                }
                Self::judge(policy, self.resolver.resolve(&name).await?, port)?
            }
        };
        connect(&addresses, port, |address| self.detour(address))
            .await
            .map(|(stream, address)| opened(stream, Some(address)))
            .map_err(|error| DialError::Unreachable { destination, error })
    }

    /// The addresses that may be dialled; when none may, why the first may not.
    fn judge(
        policy: &NetworkPolicy,
        found: Vec<IpAddr>,
        port: u16,
    ) -> Result<Vec<IpAddr>, Refusal> {
        let mut refusal = Refusal::Unreadable;
        let mut admitted = Vec::new();
        for address in found.into_iter().rev() {
            let own = || {
                let refusal = || Refusal::OwnHost(Host::address(address).to_string());
                if is_own(address, port) { Err(refusal()) } else { Ok(()) }
            };
            // What is the host's own is not said to be openable by an entry.
            match own().and_then(|()| policy::admit(policy, address, port)) {
                Ok(()) => admitted.insert(0, address),
                Err(reason) => refusal = reason,
            }
        }
        if admitted.is_empty() { Err(refusal) } else { Ok(admitted) }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "only tests have detours")]
    fn detour(&self, address: IpAddr) -> IpAddr {
        address
    }

    #[cfg(test)]
    fn detour(&self, address: IpAddr) -> IpAddr {
        self.detours.get(&address).copied().unwrap_or(address)
    }
}

/// The host's own private addresses are refused as such: naming one does not open it.
fn own_first(refusal: Refusal, host: &Host, port: u16) -> Refusal {
    match (&refusal, host) {
        (Refusal::Private { .. }, Host::Address(address)) if is_own(*address, port) => {
            Refusal::OwnHost(host.to_string())
        }
        _ => refusal,
    }
}

/// Whether an address is one of this host's, on whatever interface: then the kernel would send from
/// that address itself or from loopback. Connecting a datagram socket sends nothing.
fn is_own(address: IpAddr, port: u16) -> bool {
    let unspecified: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = UdpSocket::bind((unspecified, 0)).and_then(|socket| {
        socket.connect((address, port))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == address || source.ip().is_loopback())
}

/// Connects to the first address that answers, and says which did.
async fn connect(
    addresses: &[IpAddr],
    port: u16,
    dialled: impl Fn(IpAddr) -> IpAddr,
) -> io::Result<(TcpStream, IpAddr)> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for &address in addresses {
        let place = SocketAddr::new(dialled(address), port);
        match timeout(CONNECT_DEADLINE, TcpStream::connect(place)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok((stream, address));
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Connects through the host's own proxy, which is dialled wherever it is.
async fn through(
    resolver: &Resolver,
    proxy: &Proxy,
    host: &Host,
    port: u16,
) -> Result<TcpStream, DialError> {
    let addresses = match proxy.host.parse() {
        Ok(address) => vec![address],
        Err(_) => resolver.resolve_own(&proxy.host).await?,
    };
    let reached = async {
        let (mut stream, _) = connect(&addresses, proxy.port, |address| address).await?;
        proxy.tunnel(&mut stream, host, port).await?;
        Ok(stream)
    };
    let destination = format!("{host}:{port} through the host's proxy {proxy:?}");
    reached.await.map_err(|error| DialError::Unreachable { destination, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_knows_its_own_addresses() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into(), 80));
        assert!(is_own(Ipv4Addr::new(127, 9, 9, 9).into(), 80));
        assert!(!is_own(Ipv4Addr::new(203, 0, 113, 5).into(), 80));
    }
}
