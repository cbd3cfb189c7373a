//! What the kernel must allow for a box, asked for in its own terms and explained in a user's.

use std::io;

use anyhow::Context;
use rustix::process::Pid;

use crate::model::failure::{Failure, FailureKind};

/// Ids a box sees at most: those of an ordinary distribution.
const IDS: u64 = 65_536;

/// Settings that forbid namespaces to ordinary users or to all, and the value that does.
const SETTINGS: [(&str, &str, &str); 3] = [
    ("user.max_user_namespaces", "0", "28633"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
];

/// Namespaces of its own that a box may make.
const NO_FURTHER: [&str; 7] = [
    "max_user_namespaces",
    "max_mnt_namespaces",
    "max_pid_namespaces",
    "max_net_namespaces",
    "max_ipc_namespaces",
    "max_uts_namespaces",
    "max_cgroup_namespaces",
];

/// Inotify instances and watches of one box: no more than this, nor than a share of the user's,
/// of which what a box has is a part.
const INOTIFY: [(&str, u64, u64); 2] =
    [("max_inotify_instances", 128, 8), ("max_inotify_watches", 65_536, 4)];

/// Names and values of inotify's bounds.
pub(super) type InotifyShare = [(&'static str, u64); 2];

/// Writes the id maps of a process in a new user namespace: everything that is mapped here, as it
/// is, for root; otherwise the user as the box's root.
pub(super) fn write_id_maps(process: Pid) -> anyhow::Result<()> {
    let directory = format!("/proc/{}", process.as_raw_nonzero());
    let write = |file: &str, text: &str| {
        std::fs::write(format!("{directory}/{file}"), text).map_err(|error| {
            explain(&format!("cannot write the {file} of a user namespace"), &error)
        })
    };
    if rustix::process::geteuid().is_root() {
        write("uid_map", &identity_map("/proc/self/uid_map")?)?;
        return write("gid_map", &identity_map("/proc/self/gid_map")?);
    }
    write("uid_map", &format!("0 {} 1", rustix::process::geteuid().as_raw()))?;
    write("setgroups", "deny")?;
    write("gid_map", &format!("0 {} 1", rustix::process::getegid().as_raw()))
}

fn identity_map(own: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(own).with_context(|| format!("cannot read {own}"))?;
    Ok(identity_lines(&text))
}

/// The ids below `IDS` of an id map, each mapped to itself.
fn identity_lines(map: &str) -> String {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace().map(str::parse::<u64>);
        let first = fields.next()?.ok()?;
        let count = fields.nth(1)?.ok()?.min(IDS.saturating_sub(first));
        (count > 0).then(|| format!("{first} {first} {count}"))
    };
    map.lines().filter_map(line).collect::<Vec<_>>().join("\n")
}

/// Whether group `id` has a meaning in this user namespace.
pub(super) fn maps_group(id: u64) -> bool {
    let map = std::fs::read_to_string("/proc/self/gid_map").unwrap_or_default();
    map.lines().any(|line| {
        let fields: Vec<u64> =
            line.split_ascii_whitespace().filter_map(|field| field.parse().ok()).collect();
        matches!(fields[..], [first, _, count] if (first..first + count).contains(&id))
    })
}

/// A box's share of the user's inotify, read where the user's own bounds can be seen.
pub(super) fn inotify_share() -> InotifyShare {
    INOTIFY.map(|(name, most, parts)| {
        let own = std::fs::read_to_string(format!("/proc/sys/user/{name}"));
        let own: Option<u64> = own.ok().and_then(|text| text.trim().parse().ok());
        (name, own.map_or(most, |own| most.min((own / parts).max(1))))
    })
}

/// The share with these values.
pub(super) fn share_of(values: [u64; 2]) -> InotifyShare {
    std::array::from_fn(|at| (INOTIFY[at].0, values[at]))
}

/// Takes further namespaces and what is not its share of inotify from what runs in the box.
/// `proc` is where the box's process file system stands.
pub(super) fn write_quotas(proc: &std::path::Path, inotify: &InotifyShare) -> anyhow::Result<()> {
    let set = |name: &str, value: u64| {
        match std::fs::write(proc.join("sys/user").join(name), value.to_string()) {
            // Kernels without the counter have nothing to limit.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.with_context(|| format!("cannot set user.{name}")),
        }
    };
    for (name, value) in inotify {
        set(name, *value)?;
    }
    for name in NO_FURTHER {
        set(name, 0)?;
    }
    // The namespace is the box's alone, so every port may be its agent's.
    let _ = std::fs::write(proc.join("sys/net/ipv4/ip_unprivileged_port_start"), "0");
    Ok(())
}

/// Brings the loopback interface up.
pub(super) fn raise_loopback() -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: zeroes are a valid value of this plain structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request names an interface and flags, as this call reads them.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A failure of a step that only the kernel's settings can forbid, naming the setting that does.
pub(super) fn explain(step: &str, error: &io::Error) -> anyhow::Error {
    let failure = Failure::new(FailureKind::Unavailable, format!("{step}: {error}"));
    let hint = forbidding_setting().unwrap_or_else(|| {
        "boxes need user namespaces and overlay in them (Linux 5.11 or later); inside a container \
         they also need its seccomp and AppArmor profiles to allow them, or use --engine docker"
            .to_owned()
    });
    failure.hint(hint).into()
}

/// How to change the setting that forbids boxes here, if one is found to.
fn forbidding_setting() -> Option<String> {
    SETTINGS.iter().find_map(|(name, forbidding, allowing)| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let value = std::fs::read_to_string(path).ok()?;
        (value.trim() == *forbidding).then(|| {
            format!("{name} is {forbidding}; allow it with: sudo sysctl {name}={allowing}")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_that_is_mapped_here_is_mapped_to_itself() {
        assert_eq!(identity_lines("         0          0 4294967295\n"), "0 0 65536");
        assert_eq!(identity_lines("0 1000 1\n1 100000 65536\n"), "0 0 1\n1 1 65535");
        assert_eq!(identity_lines("70000 0 5\n"), "");
    }
}
