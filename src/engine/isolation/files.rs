//! Files: what of the host a box sees, and what of it can be written.

use std::path::{Path, PathBuf};

use super::mounts::{self, Mount};
use super::reading::Reading;
use super::{Design, unread};
use crate::model::policy::{Aspect, Enforcement, IsolationFact};

/// Devices that reach nothing of the host.
const DEVICES: [&str; 9] =
    ["console", "full", "null", "ptmx", "pts/ptmx", "random", "tty", "urandom", "zero"];

/// Files and directories of `/proc` that must be covered where a kernel has them: they tell of the
/// host or of other boxes.
const COVERED: [&str; 6] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
];

/// Those that must be covered or cannot be written: they change the host.
const SEALED: [&str; 4] = ["/proc/bus", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Most paths that one line of evidence names.
const NAMED: usize = 6;

pub(super) fn facts(reading: &Reading, design: &Design) -> Vec<IsolationFact> {
    let Some(mounts) = &reading.mounts else {
        let table = format!("/proc/{}/mountinfo", reading.pid);
        return vec![unread(Aspect::Files, "own root", &table)];
    };
    let mut facts = vec![root(reading, mounts), shown(reading, mounts, design)];
    facts.push(kernel_files(reading, mounts));
    facts.extend(devices(reading));
    facts.extend(sockets(reading, mounts));
    facts
}

fn fact(name: &str, enforcement: Enforcement, evidence: impl Into<String>) -> IsolationFact {
    IsolationFact::new(Aspect::Files, name, enforcement, evidence)
}

pub(super) fn list(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let named = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

fn root(reading: &Reading, mounts: &[Mount]) -> IsolationFact {
    let name = "own root";
    let place = Path::new("/");
    let Some(root) = mounts::at(mounts, place) else {
        return unread(Aspect::Files, name, "the box's root");
    };
    let of_host = mounts::at(&reading.host_mounts, place)
        .is_some_and(|host| host.device == root.device && host.root == root.root);
    let pid = reading.pid;
    match reading.is_own("mnt") {
        Some(true) if !of_host => {
            let evidence =
                format!("/ is {}, in a mount namespace of its own (process {pid})", root.kind);
            fact(name, Enforcement::Enforced, evidence)
        }
        None => unread(Aspect::Files, name, &format!("/proc/{pid}/ns/mnt")),
        _ => fact(name, Enforcement::Off, format!("process {pid} has the host's own root"))
            .remedy("discard it and make it again"),
    }
}

/// What of the host is shown through the box's mounts.
fn shown(reading: &Reading, mounts: &[Mount], design: &Design) -> IsolationFact {
    let name = "files of the host";
    let (mut own, mut writable, mut readable) = (Vec::new(), Vec::new(), Vec::new());
    // The root is judged by itself, and control groups with the other files of the kernel.
    let apart = |mount: &&Mount| mount.target == Path::new("/") || mount.kind.starts_with("cgroup");
    for mount in mounts.iter().filter(|mount| !apart(mount)) {
        let Some(place) = mounts::host_path(mount, &reading.host_mounts) else {
            if mount.kind == "overlay" {
                let (below, above) = laid_over(mount, design);
                readable.extend(below);
                writable.extend(above);
            }
            continue;
        };
        let target = mount.target.display().to_string();
        if place.starts_with(&design.own) {
            own.push(target);
        } else if is_device(&place) || design.filled.contains(&mount.target) {
        } else if mount.writable {
            writable.push(place.display().to_string());
        } else if !design.shown.contains(&mount.target)
            && !design.system.iter().any(|part| place.starts_with(part))
        {
            readable.push(place.display().to_string());
        }
    }
    own.sort();
    own.dedup();
    let mut evidence =
        format!("mount table of process {}: of this machine's files, {}", reading.pid, list(&own));
    if !design.system.is_empty() {
        evidence += "; programs of the system read-only or with the box's own changes";
    }
    let remedy = "discard it and make it again; nothing of agentdeck mounts this";
    if !writable.is_empty() {
        let evidence = format!("{} can be written from the box", list(&writable));
        fact(name, Enforcement::Off, evidence).remedy(remedy)
    } else if !readable.is_empty() {
        let evidence = format!("{} can be read from the box", list(&readable));
        fact(name, Enforcement::Partial, evidence).remedy(remedy)
    } else {
        fact(name, Enforcement::Enforced, evidence)
    }
}

/// What an overlay of the box shows of the host that it is not to show, and what it would write
/// to. Its own device says nothing, but its options may name directories.
fn laid_over(mount: &Mount, design: &Design) -> (Vec<String>, Option<String>) {
    let (lower, upper) = mounts::layers(mount);
    let known = |place: &&PathBuf| !place.starts_with("/proc");
    let own = |place: &PathBuf| place.starts_with(&design.own);
    let system = |place: &PathBuf| design.system.iter().any(|part| place.starts_with(part));
    let strange = lower.iter().filter(known).filter(|place| !own(place) && !system(place));
    let mut below: Vec<String> = strange.map(|place| place.display().to_string()).collect();
    let is_laid = design.laid.contains(&mount.target);
    if below.is_empty() && !is_laid && lower.iter().filter(known).count() < lower.len().max(1) {
        below.push(format!("what the overlay at {} shows", mount.target.display()));
    }
    let above = upper.iter().filter(known).find(|place| !own(place));
    (below, above.map(|place| place.display().to_string()))
}

fn is_device(place: &Path) -> bool {
    place
        .strip_prefix("/dev")
        .is_ok_and(|name| DEVICES.iter().any(|known| name == Path::new(known)))
}

/// Whether the parts of `/proc` and `/sys` that reach the host are covered.
fn kernel_files(reading: &Reading, mounts: &[Mount]) -> IsolationFact {
    let name = "masked /proc and /sys";
    let is_there = |path: &&&str| Path::new(path).exists();
    let cover = |path: &str| mounts::at(mounts, Path::new(path));
    let bare = COVERED.iter().filter(is_there).filter(|path| cover(path).is_none());
    let open = SEALED
        .iter()
        .filter(is_there)
        .filter(|path| cover(path).is_none_or(|mount| mount.kind == "proc" && mount.writable));
    let system = mounts.iter().filter(|mount| {
        mount.writable && (mount.kind == "sysfs" || mount.kind.starts_with("cgroup"))
    });
    let bare: Vec<String> = bare.map(|path| (*path).to_owned()).collect();
    let mut open: Vec<String> = open.map(|path| (*path).to_owned()).collect();
    open.extend(system.map(|mount| mount.target.display().to_string()));
    let tried = reading.claims.iter().flat_map(|claims| &claims.kernel_files);
    let reached: Vec<String> =
        tried.filter(|tried| !tried.refused()).map(|tried| tried.name.clone()).collect();
    let remedy = "run the engine with its usual masks: no --privileged, no systempaths=unconfined";
    if !open.is_empty() {
        let evidence = format!("{} can be changed by the box's root", list(&open));
        fact(name, Enforcement::Off, evidence).remedy(remedy)
    } else if !bare.is_empty() || !reached.is_empty() {
        let names = [bare, reached].concat();
        fact(name, Enforcement::Partial, format!("{} can be read", list(&names))).remedy(remedy)
    } else {
        let tried = reading.claims.as_ref().map_or(0, |claims| claims.kernel_files.len());
        let evidence = format!(
            "mount table of process {}: covered or read-only; {tried} opened from inside, none reached",
            reading.pid
        );
        fact(name, Enforcement::Enforced, evidence)
    }
}

/// Device nodes: the host reads the directory for itself where it may.
fn devices(reading: &Reading) -> Option<IsolationFact> {
    let name = "devices";
    let (found, how) = match &reading.devices {
        Some(found) => (found.clone(), format!("/dev of process {}", reading.pid)),
        None => (reading.claims.as_ref()?.devices.clone(), "claimed from inside".to_owned()),
    };
    let strange: Vec<String> =
        found.iter().filter(|node| !DEVICES.contains(&node.as_str())).cloned().collect();
    Some(if strange.is_empty() {
        fact(name, Enforcement::Enforced, format!("{how}: {}", found.join(" ")))
    } else {
        let evidence = format!("{how}: {} besides the usual", list(&strange));
        fact(name, Enforcement::Off, evidence)
            .remedy("run the engine without --device and --privileged")
    })
}

/// Sockets of services of the host, by a mount or where they usually stand.
fn sockets(reading: &Reading, mounts: &[Mount]) -> Option<IsolationFact> {
    use std::os::unix::fs::FileTypeExt;
    let name = "sockets of the host";
    let is_socket = |path: &PathBuf| {
        std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
    };
    let places = mounts.iter().filter_map(|mount| mounts::host_path(mount, &reading.host_mounts));
    let bound: Vec<String> =
        places.filter(is_socket).map(|path| path.display().to_string()).collect();
    if !bound.is_empty() {
        let evidence = format!("{} is mounted into the box", list(&bound));
        let remedy = "discard it and make it again; nothing of agentdeck mounts a socket";
        return Some(fact(name, Enforcement::Off, evidence).remedy(remedy));
    }
    let claimed = &reading.claims.as_ref()?.sockets;
    Some(if claimed.is_empty() {
        let evidence = "none is mounted; from inside, none stands where services have theirs";
        fact(name, Enforcement::Enforced, evidence)
    } else {
        let evidence = format!("claimed from inside: {}, made in the box", list(claimed));
        fact(name, Enforcement::Enforced, evidence)
    })
}
