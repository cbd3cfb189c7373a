//! Unix sockets in directories of any length.
//!
//! A socket's address ends at 108 bytes; a directory's does not. Both ends therefore go through
//! `/proc/self/fd/N/name`, where N is the directory opened without following a final link.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Connections that wait to be taken.
const BACKLOG: i32 = 128;

/// Directories moved out of a socket's way before somebody has to look.
const MAX_MOVED: u32 = 64;

/// Opens a directory to reach sockets in it.
fn open_directory(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(directory, flags, Mode::empty())?)
}

fn address(directory: &OwnedFd, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

/// Connects to the socket `name` in `directory`. A link in the socket's place is refused.
pub fn connect(directory: &Path, name: &str) -> io::Result<UnixStream> {
    let directory = open_socket_directory(directory, name)?;
    UnixStream::connect(address(&directory, name))
}

/// Connects as `connect` does, without ever waiting: a listener that lets its queue fill up is an
/// error.
pub async fn connect_now(directory: &Path, name: &str) -> io::Result<tokio::net::UnixStream> {
    let directory = open_socket_directory(directory, name)?;
    tokio::net::UnixStream::connect(address(&directory, name)).await
}

/// Opens a directory in which `name` is a socket.
fn open_socket_directory(directory: &Path, name: &str) -> io::Result<OwnedFd> {
    let directory = open_directory(directory)?;
    let found = rustix::fs::statat(&directory, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
    if rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::Socket {
        Ok(directory)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is not a socket")))
    }
}

/// Listens on the socket `name` in `directory`, mode 0600, in the place of a socket left there.
pub fn bind(directory: &Path, name: &str) -> io::Result<UnixListener> {
    let opened = open_directory(directory)?;
    make_way(&opened, name)?;
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The file gets the socket's mode when it is made (unix(7) on Linux). Changing the mode of a
    // path later would follow a link that a box put in its place.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(address(&opened, name))?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// A socket for datagrams at `name` in `directory`, as `bind` makes one for connections.
pub fn bind_datagram(directory: &Path, name: &str) -> io::Result<UnixDatagram> {
    let opened = open_directory(directory)?;
    make_way(&opened, name)?;
    let socket = datagrams()?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(address(&opened, name))?)?;
    Ok(socket.into())
}

/// A socket for datagrams by a name in the network of the calling process, for all who are in it.
pub fn bind_name(name: &str) -> io::Result<UnixDatagram> {
    let socket = datagrams()?;
    rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
    Ok(socket.into())
}

/// Sends to the socket `name` in `directory`. A link in its place is refused.
pub fn connect_datagram(directory: &Path, name: &str) -> io::Result<UnixDatagram> {
    let directory = open_socket_directory(directory, name)?;
    let socket = datagrams()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(address(&directory, name))?)?;
    Ok(socket.into())
}

/// Sends to whoever has the name in the network of the calling process.
pub fn connect_name(name: &str) -> io::Result<UnixDatagram> {
    let socket = datagrams()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
    Ok(socket.into())
}

fn datagrams() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?)
}

/// Removes what is in a socket's place. A directory, which a box may have put there, is moved aside:
/// what is in it is not ours to remove.
fn make_way(directory: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => {
            for number in 0..MAX_MOVED {
                let aside = format!("{name}.moved-{number}");
                let moved = rustix::fs::renameat_with(
                    directory,
                    name,
                    directory,
                    &aside,
                    RenameFlags::NOREPLACE,
                );
                if moved != Err(Errno::EXIST) {
                    return Ok(moved?);
                }
            }
            Err(Errno::EXIST.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Tells when the peer of a connection has left, also while what it sent before is unread.
#[derive(Debug)]
pub struct Departure(AsyncFd<OwnedFd>);

impl Departure {
    /// Follows `stream` by a descriptor of its own: what is noticed here takes nothing from whoever
    /// reads.
    pub fn of(stream: &impl AsFd) -> io::Result<Self> {
        let own = stream.as_fd().try_clone_to_owned()?;
        // SAFETY: the descriptor is this value's own, and is closed with it and not before.
        Ok(Self(unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) }?))
    }

    /// Waits until the peer has closed its side. Safe to cancel.
    pub async fn wait(&self) {
        // Fails only at the runtime's end.
        while let Ok(mut ready) = self.0.readable().await {
            if ready.ready().is_read_closed() {
                return;
            }
            ready.clear_ready();
        }
    }
}

/// The process at the other end of a connection, as the kernel recorded it at `connect` or
/// `listen`: its process id in our namespace (0 when it has none there) and its user id.
pub fn peer(stream: &impl AsRawFd) -> io::Result<(i32, u32)> {
    peer_of(stream)
}

/// Whether the kernel does not know peers apart: an emulated one gives the asking process as the
/// peer of whatever socket, also of one that was never connected.
pub fn hides_peers() -> io::Result<bool> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    let alone = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    Ok(peer_of(&alone)?.0 > 0)
}

fn peer_of(socket: &impl AsRawFd) -> io::Result<(i32, u32)> {
    // The kernel writes -1 or 0 for a peer outside our namespaces, which rustix's typed id
    // cannot hold; the raw call can.
    let mut credentials = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `credentials`, which lives through the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok((credentials.pid, credentials.uid))
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_works_in_a_directory_of_two_hundred_bytes() {
        let root = tempfile::tempdir().expect("a directory");
        let long = root.path().join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&long).expect("made");
        let listener = bind(&long, "s.sock").expect("bound");
        let near = connect(&long, "s.sock").expect("connected");
        let (far, _) = listener.accept().expect("accepted");
        let own = i32::try_from(std::process::id()).expect("a process id");
        assert_eq!(peer(&near).expect("credentials").0, own);
        assert_eq!(peer(&far).expect("credentials").0, own);
    }

    #[test]
    fn what_is_in_a_sockets_place_is_not_followed_and_the_socket_is_its_owners() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().expect("a directory");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode();
        let other = root.path().join("other");
        std::fs::create_dir(&other).expect("made");
        let before = mode(&other);
        std::os::unix::fs::symlink("other", root.path().join("s.sock")).expect("linked");
        let listener = bind(root.path(), "s.sock").expect("bound");
        assert_eq!(mode(&other), before);
        assert_eq!(mode(&root.path().join("s.sock")) & 0o777, 0o600);
        drop(listener);
        std::fs::remove_file(root.path().join("s.sock")).expect("removed");
        std::fs::create_dir(root.path().join("s.sock")).expect("made");
        std::fs::write(root.path().join("s.sock/kept"), "x").expect("written");
        let _listener = bind(root.path(), "s.sock").expect("bound");
        connect(root.path(), "s.sock").expect("connected");
        assert!(root.path().join("s.sock.moved-0/kept").exists());
    }

    #[test]
    fn this_machine_s_kernel_tells_peers_apart() {
        assert!(!hides_peers().expect("asked"));
    }

    #[tokio::test]
    async fn a_peer_that_leaves_is_noticed_before_what_it_sent_is_read() {
        use std::io::Write;
        let (mut near, far) = UnixStream::pair().expect("a pair");
        let departure = Departure::of(&far).expect("followed");
        near.write_all(b"unread").expect("written");
        let wait = |time| tokio::time::timeout(time, departure.wait());
        assert!(wait(std::time::Duration::from_millis(50)).await.is_err(), "it is there");
        drop(near);
        wait(std::time::Duration::from_secs(20)).await.expect("noticed");
    }

    #[test]
    fn a_link_in_a_sockets_place_is_refused() {
        let root = tempfile::tempdir().expect("a directory");
        let _listener = bind(root.path(), "real.sock").expect("bound");
        std::os::unix::fs::symlink("real.sock", root.path().join("link.sock")).expect("linked");
        let error = connect(root.path(), "link.sock").expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
