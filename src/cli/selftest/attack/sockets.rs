//! Unix sockets of the host.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Try;

/// Bytes of a path that a socket's address holds (unix(7)).
const MAX_ADDRESS: usize = 107;
/// How long a server may take to say something; those that do answer at once.
const ANSWER: Duration = Duration::from_secs(2);

/// Nothing is said on a connection, which is closed at once.
pub(super) fn connect(sockets: &[PathBuf], names: &[String]) -> Vec<Try> {
    let by_path = sockets.iter().map(|path| {
        let what = path.display().to_string();
        told(what, open(path).map(|_| "connected".to_owned()))
    });
    let by_name = names.iter().map(|name| {
        let address = SocketAddr::from_abstract_name(name);
        let connected = address.and_then(|address| UnixStream::connect_addr(&address));
        told(format!("@{name}"), connected.map(|_| "connected".to_owned()))
    });
    by_path.chain(by_name).collect()
}

/// A connection counts only when it is answered.
pub(super) fn greet(sockets: &[PathBuf], hello: &[u8]) -> Vec<Try> {
    let ask = |path: &Path| {
        let mut stream = open(path)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        stream.write_all(hello)?;
        let mut answer = [0; 64];
        match stream.read(&mut answer)? {
            0 => Err(std::io::Error::other("closed without a word")),
            count => Ok(format!("answered with {count} bytes")),
        }
    };
    sockets.iter().map(|path| told(path.display().to_string(), ask(path))).collect()
}

/// Homes may be longer than a socket's address; what is not is reached by any link.
pub(super) fn open(path: &Path) -> std::io::Result<UnixStream> {
    if path.as_os_str().len() <= MAX_ADDRESS {
        return UnixStream::connect(path);
    }
    match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Some(directory), Some(name)) => crate::socket::connect(directory, name),
        _ => UnixStream::connect(path),
    }
}

fn told(what: String, result: std::io::Result<String>) -> Try {
    match result {
        Ok(how) => Try::reached(what, how),
        Err(error) => Try::refused(what, error.to_string()),
    }
}
