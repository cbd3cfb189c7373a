//! The kernel's settings, as far as boxes depend on them.

use std::path::{Path, PathBuf};

use super::finding::Finding;

const AREA: &str = "kernel";

/// The oldest kernel with overlays in user namespaces.
const OVERLAY: (u32, u32) = (5, 11);
/// The oldest kernel with id-mapped mounts of the usual file systems.
const MAPPED: (u32, u32) = (5, 12);

/// A share of a bound that is used, in percent, from which it is worth a word.
const CROWDED: u64 = 75;

/// Below these a person's editor and a few boxes together run out.
const FEW_NOTIFIERS: u64 = 128;
const FEW_WATCHES: u64 = 65_536;
const FEW_FILES: u64 = 4096;

/// Where a kernel shows its settings; a directory of files in tests.
pub(super) struct Machine {
    root: PathBuf,
    is_root: bool,
    release: String,
    landlock: Option<u32>,
}

impl Machine {
    pub(super) fn here() -> Self {
        Self {
            root: PathBuf::from("/"),
            is_root: rustix::process::geteuid().is_root(),
            release: rustix::system::uname().release().to_string_lossy().into_owned(),
            landlock: crate::shim::landlock(),
        }
    }

    fn read(&self, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.read(path)?.parse().ok()
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = vec![self.kernel(), self.namespaces(), self.groups(), self.seccomp()];
        findings.push(self.second_layer());
        findings.extend(self.terminal_typing());
        findings.extend(self.notifiers());
        findings.extend(self.processes());
        findings.push(open_files());
        findings
    }

    fn kernel(&self) -> Finding {
        let (name, release) = ("release", &self.release);
        let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version < OVERLAY {
            return Finding::problem(AREA, name, format!("{release} has no overlays for boxes"))
                .remedy("use a kernel from 5.11 on, or --engine docker");
        }
        if version < MAPPED {
            return Finding::attention(AREA, name, format!("{release} has no id-mapped mounts"))
                .remedy("use a kernel from 5.12 on for docker boxes made as root");
        }
        Finding::ok(AREA, name, format!("{release}, with overlays and id-mapped mounts for boxes"))
    }

    fn namespaces(&self) -> Finding {
        let name = "user namespaces";
        let most = self.number("proc/sys/user/max_user_namespaces");
        if most == Some(0) {
            return Finding::problem(AREA, name, "user.max_user_namespaces is 0")
                .remedy("sudo sysctl user.max_user_namespaces=28633");
        }
        for (setting, path, forbidding, allowing) in [
            (
                "kernel.unprivileged_userns_clone",
                "proc/sys/kernel/unprivileged_userns_clone",
                "0",
                "1",
            ),
            (
                "kernel.apparmor_restrict_unprivileged_userns",
                "proc/sys/kernel/apparmor_restrict_unprivileged_userns",
                "1",
                "0",
            ),
        ] {
            if self.read(path).as_deref() == Some(forbidding) && !self.is_root {
                let found = format!("{setting} is {forbidding}, which keeps them from you");
                return Finding::problem(AREA, name, found)
                    .remedy(format!("sudo sysctl {setting}={allowing}, or --engine docker"));
            }
        }
        let most = most.map_or_else(|| "allowed".to_owned(), |most| format!("at most {most}"));
        Finding::ok(AREA, name, most)
    }

    /// Which control groups there are, and whether this user may make some.
    fn groups(&self) -> Finding {
        let name = "control groups";
        let table = self.read("proc/self/mountinfo").unwrap_or_default();
        let kind = |kind: &str| {
            table.lines().any(|line| {
                line.split_once(" - ").is_some_and(|(_, rest)| rest.split(' ').next() == Some(kind))
            })
        };
        let own = self.own_group();
        let delegated = own.as_deref().is_some_and(is_writable);
        let remedy = "run agentdeck as root, or where systemd delegates groups: \
                      systemd-run --user --scope -p Delegate=yes agentdeck server start";
        match (kind("cgroup2"), kind("cgroup")) {
            (false, false) => Finding::attention(AREA, name, "none are mounted: no limits on boxes")
                .remedy("mount -t cgroup2 none /sys/fs/cgroup"),
            (_, true) if self.is_root => {
                Finding::ok(AREA, name, "of the first version, writable: limits can be held")
            }
            (_, true) => Finding::attention(AREA, name, "of the first version, root's alone: processes and memory of a native box are held one by one")
                .remedy("boot with systemd.unified_cgroup_hierarchy=1, or use --engine docker"),
            (true, false) if self.is_root || delegated => {
                Finding::ok(AREA, name, "of the second version, writable: limits can be held")
            }
            (true, false) => Finding::attention(
                AREA,
                name,
                "of the second version, not delegated to you: processes and memory of a native box are held one by one",
            )
            .remedy(remedy),
        }
    }

    /// The directory of this process's own group in the unified hierarchy.
    fn own_group(&self) -> Option<PathBuf> {
        let membership = self.read("proc/self/cgroup")?;
        let path = membership.lines().find_map(|line| line.strip_prefix("0::/"))?;
        Some(self.root.join("sys/fs/cgroup").join(path))
    }

    fn seccomp(&self) -> Finding {
        let name = "system call filters";
        match self.read("proc/sys/kernel/seccomp/actions_avail") {
            Some(actions) if actions.split(' ').any(|action| action == "errno") => {
                Finding::ok(AREA, name, "available")
            }
            _ => Finding::problem(AREA, name, "not in this kernel: no box can be made")
                .remedy("use a kernel with CONFIG_SECCOMP_FILTER"),
        }
    }

    /// No wall of a box is made of it, but native boxes have it behind theirs.
    fn second_layer(&self) -> Finding {
        let name = "landlock";
        let newer = "use Linux 6.12 or later; nothing of a box is missing without";
        match self.landlock {
            None => Finding::attention(AREA, name, "not on: native boxes have no second layer")
                .remedy("boot with landlock in lsm=, with CONFIG_SECURITY_LANDLOCK in the kernel"),
            Some(1) => Finding::attention(
                AREA,
                name,
                "version 1: programs could move no file between directories, so it is left out",
            )
            .remedy(newer),
            Some(version @ 2..6) => Finding::attention(
                AREA,
                name,
                format!("version {version}: a second layer for files, not for signals and sockets"),
            )
            .remedy(newer),
            Some(version) => {
                let found = format!("version {version}: the second layer of native boxes");
                Finding::ok(AREA, name, found)
            }
        }
    }

    fn terminal_typing(&self) -> Option<Finding> {
        let name = "typing into terminals";
        Some(match self.number("proc/sys/dev/tty/legacy_tiocsti")? {
            0 => Finding::ok(AREA, name, "TIOCSTI is off for every program"),
            _ => Finding::attention(
                AREA,
                name,
                "TIOCSTI is on; boxes refuse it, other programs of this machine do not",
            )
            .remedy("sudo sysctl dev.tty.legacy_tiocsti=0"),
        })
    }

    fn notifiers(&self) -> Vec<Finding> {
        let instances = self.number("proc/sys/fs/inotify/max_user_instances");
        let watches = self.number("proc/sys/fs/inotify/max_user_watches");
        let (used_instances, used_watches) = used_notifiers(&self.root.join("proc"));
        let bound = |name, most: Option<u64>, used, few, setting| {
            let most = most?;
            let found = format!("{used} of {most} used by you");
            Some(if most < few || used * 100 > most * CROWDED {
                Finding::attention(AREA, name, found)
                    .remedy(format!("sudo sysctl {setting}={}", (most * 4).max(few * 4)))
            } else {
                Finding::ok(AREA, name, found)
            })
        };
        let instances = bound(
            "file notice instances",
            instances,
            used_instances,
            FEW_NOTIFIERS,
            "fs.inotify.max_user_instances",
        );
        let watches = bound(
            "file notice watches",
            watches,
            used_watches,
            FEW_WATCHES,
            "fs.inotify.max_user_watches",
        );
        [instances, watches].into_iter().flatten().collect()
    }

    fn processes(&self) -> Option<Finding> {
        let name = "processes";
        let load = self.read("proc/loadavg")?;
        let threads: u64 = load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
        let ids = self.number("proc/sys/kernel/pid_max")?;
        let most = self.number("proc/sys/kernel/threads-max")?.min(ids);
        let found = format!("{threads} threads of at most {most}");
        Some(if threads * 100 > most * CROWDED {
            Finding::attention(AREA, name, found).remedy("sudo sysctl kernel.pid_max=4194304")
        } else {
            Finding::ok(AREA, name, found)
        })
    }
}

fn is_writable(directory: &Path) -> bool {
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok()
}

/// What this user's processes hold, as far as they can be looked at.
fn used_notifiers(proc: &Path) -> (u64, u64) {
    let (mut instances, mut watches) = (0, 0);
    let own = rustix::process::geteuid().as_raw();
    for process in std::fs::read_dir(proc).into_iter().flatten().flatten() {
        use std::os::unix::fs::MetadataExt;
        let ours = process.metadata().is_ok_and(|found| found.uid() == own);
        let numbered = process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
        if !(ours && numbered) {
            continue;
        }
        for open in std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let is_notifier = std::fs::read_link(open.path())
                .is_ok_and(|target| target.as_os_str() == "anon_inode:inotify");
            if is_notifier {
                instances += 1;
                let told = process.path().join("fdinfo").join(open.file_name());
                let told = std::fs::read_to_string(told).unwrap_or_default();
                watches += told.lines().filter(|line| line.starts_with("inotify ")).count() as u64;
            }
        }
    }
    (instances, watches)
}

fn open_files() -> Finding {
    let name = "open files";
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limit.maximum {
        Some(most) if most < FEW_FILES => {
            Finding::attention(AREA, name, format!("at most {most} in one process"))
                .remedy(format!("ulimit -Hn {FEW_FILES}, or nofile in /etc/security/limits.conf"))
        }
        Some(most) => Finding::ok(AREA, name, format!("at most {most} in one process")),
        None => Finding::ok(AREA, name, "not limited"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    /// A kernel as its files show it.
    struct Sample {
        root: tempfile::TempDir,
        machine: Machine,
    }

    fn machine(is_root: bool, files: &[(&str, &str)]) -> Sample {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let machine = Machine {
            root: root.path().to_owned(),
            is_root,
            release: "6.1.0-33-amd64".to_owned(),
            landlock: Some(7),
        };
        Sample { root, machine }
    }

    fn verdict(sample: &Sample, name: &str) -> (Verdict, Option<String>) {
        let findings = sample.machine.findings();
        let found = findings.into_iter().find(|finding| finding.name == name);
        let found = found.unwrap_or_else(|| panic!("nothing of {name}"));
        (found.verdict, found.remedy)
    }

    #[test]
    fn a_setting_that_forbids_boxes_is_a_problem_with_its_command() {
        let forbidden = [
            ("proc/sys/user/max_user_namespaces", "0\n", "user.max_user_namespaces=28633"),
            ("proc/sys/kernel/unprivileged_userns_clone", "0\n", "unprivileged_userns_clone=1"),
            (
                "proc/sys/kernel/apparmor_restrict_unprivileged_userns",
                "1\n",
                "apparmor_restrict_unprivileged_userns=0",
            ),
        ];
        for (path, text, command) in forbidden {
            let (verdict, remedy) = verdict(&machine(false, &[(path, text)]), "user namespaces");
            assert_eq!(verdict, Verdict::Problem, "{path}");
            assert!(remedy.is_some_and(|remedy| remedy.contains(command)), "{path}");
        }
        let as_root =
            machine(true, &[forbidden[1], forbidden[2]].map(|(path, text, _)| (path, text)));
        assert_eq!(verdict(&as_root, "user namespaces").0, Verdict::Ok, "root is not asked");
    }

    #[test]
    fn a_kernel_without_a_second_layer_is_worth_a_word() {
        let mut sample = machine(true, &[]);
        for (landlock, expected) in [
            (None, Verdict::Attention),
            (Some(1), Verdict::Attention),
            (Some(5), Verdict::Attention),
            (Some(6), Verdict::Ok),
            (Some(9), Verdict::Ok),
        ] {
            sample.machine.landlock = landlock;
            assert_eq!(verdict(&sample, "landlock").0, expected, "{landlock:?}");
        }
    }

    #[test]
    fn a_kernel_is_judged_by_its_release() {
        let mut sample = machine(true, &[]);
        for (release, expected) in [
            ("5.10.0-9", Verdict::Problem),
            ("5.11.2", Verdict::Attention),
            ("5.12.0", Verdict::Ok),
            ("6.18.44-x", Verdict::Ok),
        ] {
            sample.machine.release = release.to_owned();
            assert_eq!(verdict(&sample, "release").0, expected, "{release}");
        }
        assert!(sample.root.path().exists());
    }

    #[test]
    fn groups_that_cannot_be_made_are_worth_a_word() {
        let second = ("proc/self/mountinfo", "1 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        let first =
            ("proc/self/mountinfo", "1 1 0:1 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n");
        let member = ("proc/self/cgroup", "0::/user.slice\n");
        let group =
            |is_root, files: &[(&str, &str)]| verdict(&machine(is_root, files), "control groups").0;
        assert_eq!(group(true, &[first]), Verdict::Ok);
        assert_eq!(group(false, &[first]), Verdict::Attention);
        assert_eq!(group(true, &[second]), Verdict::Ok);
        assert_eq!(group(false, &[second, member]), Verdict::Attention);
        let delegated = [second, member, ("sys/fs/cgroup/user.slice/cgroup.procs", "")];
        assert_eq!(group(false, &delegated), Verdict::Ok);
        assert_eq!(group(true, &[]), Verdict::Attention);
    }

    #[test]
    fn bounds_that_are_nearly_used_up_are_worth_a_word() {
        let crowded = |threads: &str| {
            let files = [
                ("proc/loadavg", threads),
                ("proc/sys/kernel/pid_max", "1000\n"),
                ("proc/sys/kernel/threads-max", "5000\n"),
            ];
            verdict(&machine(true, &files), "processes").0
        };
        assert_eq!(crowded("0.1 0.2 0.3 2/100 7\n"), Verdict::Ok);
        assert_eq!(crowded("0.1 0.2 0.3 2/800 7\n"), Verdict::Attention);
        let notifiers = |most: &str| {
            let files = [("proc/sys/fs/inotify/max_user_instances", most)];
            verdict(&machine(true, &files), "file notice instances").0
        };
        assert_eq!(notifiers("8192\n"), Verdict::Ok);
        assert_eq!(notifiers("64\n"), Verdict::Attention);
    }
}
