//! The table's rows, and those of them that are the same program run on both sides.

use std::path::PathBuf;

use super::attack::{Attack, Mark, NEIGHBOUR_FILE, NEIGHBOUR_SOCKET, Secret, Spelling};
use super::cast::Cast;
use super::running::Side;
use super::verdict::Needs;
use super::{SIBLING_PORT, canaries};

/// Name and meaning of every attack, in the order in which they are tried.
pub(super) const ROWS: [(&str, &str); 38] = [
    ("host-files", "files of the host, by path, link and descent"),
    ("homes", "the user's own files, and accounts' passwords"),
    ("unix-sockets", "sockets of the host, an engine's among them"),
    ("abstract-sockets", "sockets of the host that have no path"),
    ("own-sockets", "the server's and the shims' own sockets"),
    ("kernel-settings", "settings in /proc and /sys: sysrq, core_pattern, cgroups"),
    ("host-environ", "variables, roots and directories of the host's processes"),
    ("signals", "signals to a process of the host"),
    ("ptrace", "memory of a process of the host"),
    ("terminal-input", "typing into a terminal by TIOCSTI"),
    ("namespaces", "namespaces within the box, where rights grow anew"),
    ("mounts", "mount, the newer calls for mounts, pivot_root"),
    ("devices", "device nodes of the host, made and opened"),
    ("setuid", "programs that start with root's rights"),
    ("escape-root", "leaving the root by chroot, links and /proc"),
    ("leaked-descriptor", "a directory of the host, by a descriptor that reached the box"),
    ("host-calls", "kexec, modules, reboot, clock, host name, kernel log, bpf"),
    ("risky-calls", "keyctl, io_uring, userfaultfd, perf, odd sockets"),
    ("host-ports", "services on the host's loopback, in many spellings"),
    ("metadata", "a cloud's metadata service"),
    ("sibling-files", "another box's workspace and files"),
    ("sibling-processes", "another box's processes"),
    ("sibling-sockets", "another box's unix sockets"),
    ("sibling-ports", "another box's ports"),
    ("git-directory", "writing into the repository through .git"),
    ("git-programs", "filters, hooks and monitors that git would run on the host"),
    ("workspace-links", "links out of the workspace, read and written through"),
    ("terminal-escapes", "clipboard, title and questions to the user's terminal"),
    ("fork-bomb", "600 processes, where 256 are allowed"),
    ("memory-bomb", "256 MiB, where 128 are allowed"),
    ("descriptor-flood", "4,096 open files, where 1,024 are allowed"),
    ("cpu-hog", "two seconds of four busy programs, where half a processor is allowed"),
    ("inotify-storm", "every inotify instance the user may have"),
    ("disk-fill", "a file that leaves the disk less than its reserve"),
    ("output-flood", "8 MiB of output in a pane, and more"),
    ("file-churn", "thousands of changed files while others work"),
    ("exec-flood", "16 MiB from a command that nobody reads"),
    ("host-health", "after all of it: processes, files, inotify and disk of the host"),
];

/// An attack that is judged by what the hidden verb tells.
pub(super) struct Plan {
    /// In the box, and on the host as the control.
    pub attacks: Vec<Attack>,
    pub sides: &'static [Side],
    /// The control runs in the sibling's box instead: it is what the attacker has no part of.
    pub at_home: bool,
    pub needs: Needs,
}

const AGENT: &[Side] = &[Side::Agent];
const BOTH: &[Side] = &[Side::Agent, Side::Root];

impl Plan {
    fn of(attack: Attack, sides: &'static [Side], needs: Needs) -> Self {
        Self { attacks: vec![attack], sides, at_home: false, needs }
    }
}

/// Settings by which a box could rule the host.
const SETTINGS: [&str; 12] = [
    "/proc/sysrq-trigger",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/kcore",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/profiling",
    "/sys/power/state",
];

/// Where control groups are steered, by version and layout.
const GROUPS: [&str; 6] = [
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/cgroup.subtree_control",
    "/sys/fs/cgroup/unified/cgroup.procs",
    "/sys/fs/cgroup/memory/release_agent",
    "/sys/fs/cgroup/memory/cgroup.procs",
    "/sys/fs/cgroup/pids/cgroup.procs",
];

/// `/dev/kmsg` and `/dev/mem`.
const CHARACTER: [(u32, u32); 2] = [(1, 11), (1, 1)];

/// Addresses and names of clouds' metadata services.
const METADATA: [&str; 7] = [
    "169.254.169.254",
    "[::ffff:169.254.169.254]",
    "2852039166",
    "metadata.google.internal",
    "[fd00:ec2::254]",
    "169.254.170.2",
    "100.100.100.200",
];

/// The plan of a row, `None` for one that is judged in another way.
pub(super) fn plan(name: &str, cast: &Cast<'_>) -> Option<Plan> {
    let canaries = &cast.canaries;
    let secret = Secret::new(&cast.stage.secret);
    let path = canaries.file.clone();
    Some(match name {
        "host-files" => {
            let attack = Attack::ReadFiles { paths: vec![path], secret };
            Plan::of(attack, BOTH, Needs::Nothing)
        }
        "homes" => {
            let needs = Needs::Machine("no file in the user's home that could be looked for");
            Plan::of(Attack::FindFiles { marks: marks() }, BOTH, needs)
        }
        "unix-sockets" => {
            let attack = Attack::Connect { sockets: canaries.sockets(), names: Vec::new() };
            Plan::of(attack, BOTH, Needs::Nothing)
        }
        "abstract-sockets" => {
            let attack = Attack::Connect { sockets: vec![], names: vec![canaries.name.clone()] };
            Plan::of(attack, BOTH, Needs::Nothing)
        }
        "own-sockets" => {
            Plan { attacks: cast.greetings(), ..Plan::of(Attack::PushInput, BOTH, Needs::Nothing) }
        }
        "kernel-settings" => {
            let paths = SETTINGS.iter().chain(&GROUPS).map(PathBuf::from).collect();
            Plan::of(Attack::OpenSettings { paths }, BOTH, Needs::Root)
        }
        "host-environ" => Plan::of(Attack::SearchProcesses { path, secret }, BOTH, Needs::Nothing),
        "ptrace" => {
            let needs = Needs::Machine("tracing is turned off here");
            Plan::of(Attack::Trace { prey: canaries.prey, secret }, BOTH, needs)
        }
        "terminal-input" => {
            let needs = Needs::Machine("dev.tty.legacy_tiocsti is off");
            Plan::of(Attack::PushInput, AGENT, needs)
        }
        "namespaces" => {
            let needs = Needs::Machine("users may not make namespaces here");
            Plan::of(Attack::NewNamespaces, BOTH, needs)
        }
        "mounts" => {
            let needs = Needs::Machine("users may not make namespaces here");
            Plan::of(Attack::Mounts, BOTH, needs)
        }
        "devices" => {
            let needs = Needs::Machine("devices cannot be made in the temporary directory");
            let block = vec![cast.disk];
            let attack = Attack::Devices { character: CHARACTER.to_vec(), block };
            Plan::of(attack, BOTH, needs)
        }
        "escape-root" => Plan::of(Attack::Escape { path, secret }, BOTH, Needs::Nothing),
        "host-calls" => Plan::of(Attack::HostCalls, BOTH, Needs::Root),
        "risky-calls" => {
            let needs = Needs::Machine("the kernel has all of them turned off");
            Plan::of(Attack::RiskyCalls, AGENT, needs)
        }
        "host-ports" => {
            let spellings = canaries.spellings.clone();
            Plan::of(Attack::Dial { spellings, secret }, AGENT, Needs::Nothing)
        }
        "metadata" => {
            let spelling = |host: &&str| Spelling { host: (*host).to_owned(), port: 80 };
            let spellings = METADATA.iter().map(spelling).collect();
            let needs = Needs::Machine("no network could be made for the control");
            Plan::of(Attack::Metadata { spellings, secret }, AGENT, needs)
        }
        _ => return sibling(name, cast, secret),
    })
}

fn sibling(name: &str, cast: &Cast<'_>, secret: Secret) -> Option<Plan> {
    let repository = &cast.stage.context.directory;
    let home = |attack| Plan { at_home: true, ..Plan::of(attack, BOTH, Needs::Nothing) };
    Some(match name {
        "sibling-files" => {
            // In the sibling's box its own file is the secret; from elsewhere, by every path.
            let paths =
                vec![repository.join(NEIGHBOUR_FILE), cast.sibling_workspace.join(NEIGHBOUR_FILE)];
            home(Attack::ReadFiles { paths, secret })
        }
        "sibling-processes" => {
            let path = repository.join(NEIGHBOUR_FILE);
            home(Attack::SearchProcesses { path, secret })
        }
        "sibling-sockets" => {
            let sockets = vec![
                repository.join(NEIGHBOUR_SOCKET),
                cast.sibling_workspace.join(NEIGHBOUR_SOCKET),
            ];
            let names = vec![format!("{NEIGHBOUR_SOCKET}-{SIBLING_PORT}")];
            home(Attack::Connect { sockets, names })
        }
        "sibling-ports" => {
            let hosts = ["127.0.0.1", "sibling", "sibling.agentdeck", "host.agentdeck", "0.0.0.0"];
            let spelling = |host: &str| Spelling { host: host.to_owned(), port: SIBLING_PORT };
            let spellings = hosts.iter().map(|host| spelling(host)).collect();
            home(Attack::Dial { spellings, secret })
        }
        _ => return None,
    })
}

/// Files of the user's home and the host's passwords.
fn marks() -> Vec<Mark> {
    let system = ["/etc/shadow", "/etc/gshadow", "/etc/sudoers"].map(PathBuf::from);
    let mut marks = canaries::marks_of_home();
    marks.extend(system.iter().filter_map(|path| canaries::mark(path)));
    marks
}
