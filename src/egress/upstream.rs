//! The host's own proxy: where the host reaches the world through one, so do the boxes.
//!
//! It resolves the names it is given, so for them the judgement on addresses is the proxy's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::model::destination::Host;
use crate::model::failure::{Failure, FailureKind};

/// Longest head of a proxy's answer to `CONNECT`, in bytes.
const MAX_HEAD: usize = 8 << 10;

/// Which proxies the host uses, from the server's environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Upstream {
    plain: Option<Proxy>,
    secure: Option<Proxy>,
    direct: Vec<String>,
}

/// An HTTP proxy that takes `CONNECT`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// Ready for `Proxy-Authorization`.
    credentials: Option<String>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl Upstream {
    /// Reads the usual variables. A proxy that cannot be used is a failure: going past it would
    /// break the host's own rule.
    pub(super) fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let either = |name: &str| {
            variable(&name.to_ascii_lowercase())
                .or_else(|| variable(name))
                .filter(|value| !value.trim().is_empty())
        };
        let proxy = |name: &str| {
            let value = either(name).or_else(|| either("ALL_PROXY"));
            value.map(|value| Proxy::parse(name, value.trim())).transpose()
        };
        let direct = either("NO_PROXY").unwrap_or_default();
        let entries = direct.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
        Ok(Self {
            plain: proxy("HTTP_PROXY")?,
            secure: proxy("HTTPS_PROXY")?,
            direct: entries.map(str::to_ascii_lowercase).collect(),
        })
    }

    /// The proxy for a destination, or `None` where the host dials by itself.
    pub(super) fn proxy_for(&self, host: &Host, port: u16) -> Option<&Proxy> {
        let proxy = if port == 80 { &self.plain } else { &self.secure };
        proxy.as_ref().filter(|_| !self.direct.iter().any(|entry| is_direct(entry, host)))
    }
}

/// Whether an entry of `NO_PROXY` covers a host: `*`, an address, a name or a suffix of names.
fn is_direct(entry: &str, host: &Host) -> bool {
    let suffix = entry.trim_start_matches("*.").trim_start_matches('.');
    match host {
        _ if entry == "*" => true,
        Host::Address(_) => Host::parse(entry.as_bytes()).as_ref() == Some(host),
        Host::Name(name) => {
            name == suffix || name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'))
        }
    }
}

impl Proxy {
    fn parse(variable: &str, value: &str) -> Result<Self, Failure> {
        let bad = |what: &str| {
            let message = format!("the proxy in {variable} {what}");
            Failure::new(FailureKind::Invalid, message)
                .hint("set it to http://HOST:PORT, or unset it, and start the server again")
        };
        let rest = match value.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return Err(bad("is not an HTTP proxy")),
            None => value,
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(decode_percent(user)), place),
            None => (None, authority),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| bad("has no sound port"))?)
            }
            _ => (place, 80),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(bad("names no host"));
        }
        let credentials = user.map(|user| STANDARD.encode(user));
        Ok(Self { host: host.to_owned(), port, credentials })
    }

    /// Asks the proxy, on a fresh connection to it, for a tunnel. The error says what it answered.
    pub(super) async fn tunnel(
        &self,
        stream: &mut TcpStream,
        host: &Host,
        port: u16,
    ) -> std::io::Result<()> {
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(credentials) = &self.credentials {
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(credentials);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let head = read_head(stream).await?;
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let status = line.split(' ').nth(1).unwrap_or_default();
        if line.starts_with("HTTP/1.") && status.len() == 3 && status.starts_with('2') {
            Ok(())
        } else {
            let line: String = line.chars().filter(|c| !c.is_control()).take(100).collect();
            Err(std::io::Error::other(format!("the host's proxy answered {line:?}")))
        }
    }
}

/// Reads to the end of a head and not one byte further, since what follows is the tunnel's.
async fn read_head(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Err(std::io::Error::other("the host's proxy answered without end"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

fn decode_percent(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().iter();
    let mut decoded = Vec::new();
    while let Some(&byte) = bytes.next() {
        let ahead = bytes.as_slice();
        let digits = ahead.get(..2).filter(|_| byte == b'%');
        let value = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if value.is_some() {
            bytes.nth(1);
        }
        decoded.push(value.unwrap_or(byte));
    }
    decoded
}
