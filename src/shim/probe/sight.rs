//! What is seen from inside a box without asking for rights: files, devices, sockets, addresses.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use crate::shim::claims::Attempt;

/// Files that tell of the host. A covered one reads as empty.
const TELLING: [&str; 5] =
    ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats"];

/// Files that change the host when written to. They are opened, never written.
const CHANGING: [&str; 8] = [
    "/proc/sysrq-trigger",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/hostname",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/fs/binfmt_misc/register",
    "/sys/kernel/uevent_helper",
    "/sys/power/state",
    "/sys/fs/cgroup/release_agent",
];

/// Sockets by which a host, or all of its boxes, is had.
const SERVICES: [&str; 8] = [
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
    "/run/snapd.socket",
];

/// Addresses of a documentation network, of a machine's metadata, of private networks.
const ADDRESSES: [&str; 5] =
    ["203.0.113.1:53", "169.254.169.254:80", "10.0.0.1:53", "172.17.0.1:53", "[2001:db8::1]:53"];

const SETTINGS: [&str; 6] = [
    "user/max_user_namespaces",
    "user/max_inotify_instances",
    "user/max_inotify_watches",
    "kernel/unprivileged_bpf_disabled",
    "kernel/yama/ptrace_scope",
    "dev/tty/legacy_tiocsti",
];

/// `statfs` type of `/proc` (linux/magic.h), by which a covered file is told from the real one.
const PROC: u64 = 0x9fa0;
/// `statfs` types of `/sys` and of control groups.
const SYSTEM: [u64; 3] = [0x6265_6572, 0x0027_e0eb, 0x6367_7270];

/// More than any box shows; a list that an agent grows ends somewhere.
const MAX_DEVICES: usize = 64;

fn attempt(name: &str, result: std::io::Result<()>) -> Attempt {
    let error = match result {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
    };
    Attempt { name: name.to_owned(), error }
}

/// Whether the kernel's own files can be opened. What is not there, or is covered, is refused.
pub(super) fn kernel_files() -> Vec<Attempt> {
    let telling = TELLING.iter().map(|path| attempt(path, open(path, false)));
    let changing = CHANGING.iter().map(|path| attempt(path, open(path, true)));
    telling.chain(changing).filter(|tried| tried.error != libc::ENOENT).collect()
}

fn open(path: &str, write: bool) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(!write).write(write).custom_flags(libc::O_CLOEXEC | libc::O_NOCTTY);
    let file = options.open(path)?;
    let kind = rustix::fs::fstatfs(&file)?.f_type as u64;
    let covered = kind != PROC && !SYSTEM.contains(&kind);
    if covered { Err(std::io::Error::from_raw_os_error(libc::EACCES)) } else { Ok(()) }
}

/// Whether there is a route; connecting a datagram socket looks for one and sends nothing.
pub(super) fn addresses() -> Vec<Attempt> {
    let route = |address: &str| {
        let target: SocketAddr = address.parse().map_err(std::io::Error::other)?;
        let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        UdpSocket::bind(any)?.connect(target)
    };
    ADDRESSES.iter().map(|address| attempt(address, route(address))).collect()
}

pub(super) fn sockets() -> Vec<String> {
    let is_socket =
        |path: &str| std::fs::metadata(path).is_ok_and(|found| found.file_type().is_socket());
    SERVICES.into_iter().filter(|path| is_socket(path)).map(str::to_owned).collect()
}

/// Names of device nodes. Each is looked at, because one that is mounted is listed as what is
/// below it.
pub(super) fn devices() -> Vec<String> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let is_node = |kind: std::fs::FileType| kind.is_char_device() || kind.is_block_device();
    let nodes = entries.filter(|entry| {
        std::fs::symlink_metadata(entry.path()).is_ok_and(|found| is_node(found.file_type()))
    });
    let mut names: Vec<String> =
        nodes.map(|node| node.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names.truncate(MAX_DEVICES);
    names
}

pub(super) fn status() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap_or_default()
}

pub(super) fn name_servers() -> Vec<String> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let named = text.lines().filter_map(|line| line.strip_prefix("nameserver"));
    named.map(|server| server.trim().to_owned()).take(8).collect()
}

pub(super) fn settings() -> BTreeMap<String, String> {
    let read = |name: &&str| {
        let value = std::fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
        Some((name.replace('/', "."), value.trim().to_owned()))
    };
    SETTINGS.iter().filter_map(read).collect()
}

pub(super) fn processes() -> u32 {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter(|entry| {
        entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit)
    });
    numbers.count() as u32
}
