//! Which ports the programs of a box listen on, from `/proc` as the box has it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::model::listener::Listener;

/// Listeners told at most: a program can open thousands to make the list useless, and no more.
const MAX_LISTENERS: usize = 256;

/// The state of a listening socket in `/proc/net/tcp` (`TCP_LISTEN`, `net/tcp_states.h`).
const LISTENING: &str = "0A";

/// A listening socket before it is known whose it is.
struct Socket {
    address: IpAddr,
    port: u16,
    inode: String,
}

/// The inodes of the calling process's sockets.
pub(super) fn own_sockets() -> Vec<String> {
    sockets_of(Path::new("/proc/self")).collect()
}

/// Everything listened on except the sockets whose inodes `own` names, by port. `tree`: only what
/// descendants of this process's parent hold, where the network is shared with the host.
pub(super) fn list(tree: bool, own: &str) -> io::Result<Vec<Listener>> {
    let own: HashSet<&str> = own.split(',').collect();
    let mut sockets = read("/proc/net/tcp")?;
    // A kernel without IPv6 has no such file.
    sockets.extend(read("/proc/net/tcp6").unwrap_or_default());
    sockets.retain(|socket| !own.contains(socket.inode.as_str()));
    let holders = holders()?;
    let family = tree.then(descendants).transpose()?;
    let mut listeners: Vec<Listener> = sockets
        .into_iter()
        .map(|socket| (holders.get(&socket.inode).copied(), socket))
        .filter(|(holder, _)| {
            family.as_ref().is_none_or(|family| holder.is_some_and(|it| family.contains(&it)))
        })
        .map(|(holder, socket)| Listener {
            port: socket.port,
            address: socket.address,
            process: holder,
            program: holder.and_then(name),
        })
        .collect();
    listeners.sort();
    listeners.dedup();
    listeners.truncate(MAX_LISTENERS);
    Ok(listeners)
}

fn read(table: &str) -> io::Result<Vec<Socket>> {
    Ok(fs::read_to_string(table)?.lines().skip(1).filter_map(socket).collect())
}

/// A row of the table, when it is of a listening socket.
fn socket(row: &str) -> Option<Socket> {
    let columns: Vec<&str> = row.split_ascii_whitespace().collect();
    if *columns.get(3)? != LISTENING {
        return None;
    }
    let (address, port) = columns[1].split_once(':')?;
    Some(Socket {
        address: self::address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: (*columns.get(9)?).to_owned(),
    })
}

/// Four or sixteen bytes, written as 32-bit words in the byte order of the machine.
fn address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| -> Option<[u8; 4]> {
        Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes())
    };
    if text.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).into())
}

/// Which process holds a socket, as far as this one may look.
fn holders() -> io::Result<HashMap<String, u32>> {
    let mut holders = HashMap::new();
    for process in processes()? {
        for inode in sockets_of(Path::new(&format!("/proc/{process}"))) {
            // The oldest keeps it: workers share their parent's listener.
            holders.entry(inode).or_insert(process);
        }
    }
    Ok(holders)
}

fn processes() -> io::Result<Vec<u32>> {
    let names =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut processes: Vec<u32> = names.filter_map(|name| name.parse().ok()).collect();
    processes.sort_unstable();
    Ok(processes)
}

fn sockets_of(process: &Path) -> impl Iterator<Item = String> + use<> {
    // Another user's process cannot be looked into, and one may end meanwhile.
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten();
    descriptors.filter_map(|entry| {
        let target = fs::read_link(entry.ok()?.path()).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        Some(inode.to_owned())
    })
}

fn name(process: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{process}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// The parent of this process and all that come from it, which adopts its orphans.
fn descendants() -> io::Result<HashSet<u32>> {
    let parents: Vec<(u32, u32)> =
        processes()?.into_iter().filter_map(|process| Some((process, parent(process)?))).collect();
    let root = rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get() as u32);
    let mut family = HashSet::from([root]);
    loop {
        let before = family.len();
        family.extend(
            parents
                .iter()
                .filter(|(_, up)| family.contains(up))
                .map(|(it, _)| *it)
                .collect::<Vec<_>>(),
        );
        if family.len() == before {
            return Ok(family);
        }
    }
}

fn parent(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn addresses_are_read_in_the_machines_byte_order() {
        let loopback = format!("{:08X}", u32::from_ne_bytes([127, 0, 0, 1]));
        assert_eq!(address(&loopback), Some(Ipv4Addr::LOCALHOST.into()));
        let last = format!("{:08X}", u32::from_ne_bytes([0, 0, 0, 1]));
        let loopback = format!("{}{last}", "0".repeat(24));
        assert_eq!(address(&loopback), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(address("123"), None);
        assert_eq!(address("Z100007F"), None);
    }

    #[test]
    fn a_listener_is_found_with_its_process_unless_it_is_named_as_our_own() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let found = list(false, "").expect("listed");
        let ours = found.iter().find(|found| found.port == port).expect("listed");
        assert_eq!(ours.address, IpAddr::from(Ipv4Addr::LOCALHOST));
        assert_eq!(ours.process, Some(std::process::id()));
        let found = list(false, &own_sockets().join(",")).expect("listed");
        assert!(found.iter().all(|found| found.port != port));
    }
}
