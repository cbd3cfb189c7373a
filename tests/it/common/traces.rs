//! What a home has outside of its own files and in them, so that a test can say that nothing is
//! left over: compare the traces from before with those from after.

use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything of a home that can be orphaned, one line each, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces(BTreeSet<String>);

impl Traces {
    /// Looks everywhere. What belongs to discarded environments is left out: they may come back.
    pub fn of(home: &Path, repository: &Path) -> Self {
        let mut lines = BTreeSet::new();
        processes(home, &mut lines);
        mounts(home, &mut lines);
        cgroups(home, &mut lines);
        engine(home, &mut lines);
        files(home, &mut lines);
        refs(home, repository, &mut lines);
        for id in names(&home.join("trash")) {
            lines.retain(|line: &String| !line.contains(&id));
        }
        Self(lines)
    }

    /// What is here and was not there before.
    pub fn since(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }

    /// The lines that hold a word.
    pub fn with(&self, word: &str) -> Vec<&str> {
        self.0.iter().map(String::as_str).filter(|line| line.contains(word)).collect()
    }
}

/// Box processes that show anything of the home, with their network namespaces. The server itself
/// is no orphan.
fn processes(home: &Path, lines: &mut BTreeSet<String>) {
    let own = std::fs::read_link("/proc/self/ns/mnt").expect("a namespace");
    let home = home.to_str().expect("text");
    for pid in names(Path::new("/proc")) {
        let of = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
        let elsewhere = std::fs::read_link(of("ns/mnt")).is_ok_and(|other| other != own);
        let shows = || std::fs::read_to_string(of("mountinfo")).is_ok_and(|it| it.contains(home));
        if !elsewhere || !shows() {
            continue;
        }
        let word = std::fs::read_to_string(of("comm")).unwrap_or_default();
        lines.insert(format!("process {pid} {}", word.trim()));
        if let Ok(network) = std::fs::read_link(of("ns/net")) {
            lines.insert(format!("network {}", network.display()));
        }
    }
}

fn mounts(home: &Path, lines: &mut BTreeSet<String>) {
    let text = std::fs::read_to_string("/proc/self/mountinfo").expect("read");
    let places = text.lines().filter_map(|line| line.split(' ').nth(4));
    let below = places.filter(|place| Path::new(place).starts_with(home));
    lines.extend(below.map(|place| format!("mount {place}")));
}

/// Control groups of the home's own tag, in whichever hierarchy.
fn cgroups(home: &Path, lines: &mut BTreeSet<String>) {
    /// Deep enough for a service of a user's session.
    const DEPTH: usize = 8;
    let Ok(tag) = std::fs::read_to_string(home.join("deck")) else { return };
    let mut below = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((directory, depth)) = below.pop() {
        let children = std::fs::read_dir(&directory).into_iter().flatten().flatten();
        for child in children.filter(|child| child.file_type().is_ok_and(|kind| kind.is_dir())) {
            let path = child.path();
            let text = path.display().to_string();
            // The group of the deck itself stays; those of its boxes must not.
            if text.contains(&tag) && !text.ends_with(&tag) {
                lines.insert(format!("cgroup {text}"));
            }
            if depth < DEPTH {
                below.push((path, depth + 1));
            }
        }
    }
}

/// Containers and images that a Docker Engine has for the home.
fn engine(home: &Path, lines: &mut BTreeSet<String>) {
    let Ok(tag) = std::fs::read_to_string(home.join("deck")) else { return };
    let filter = format!("label=agentdeck.deck={tag}");
    let format = "{{.ID}} {{.Label \"agentdeck.environment\"}}";
    let asked: [(&str, &[&str]); 2] = [
        ("container", &["ps", "-a", "--filter", &filter, "--format", format]),
        ("image", &["images", "-a", "--filter", &filter, "--format", "{{.ID}} {{.Repository}}"]),
    ];
    for (what, arguments) in asked {
        // Without an engine there is nothing of ours in one.
        let Ok(output) = Command::new("docker").args(arguments).output() else { return };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        lines.extend(text.lines().map(|line| format!("{what} {line}")));
    }
}

/// Directories of environments, whatever is being removed, and sockets.
fn files(home: &Path, lines: &mut BTreeSet<String>) {
    for place in ["environments", "removing"] {
        for name in names(&home.join(place)) {
            lines.insert(format!("directory {place}/{name}"));
            for file in names(&home.join(place).join(&name).join("run")) {
                let path = home.join(place).join(&name).join("run").join(&file);
                let kind = std::fs::symlink_metadata(&path).map(|found| found.file_type());
                if kind.is_ok_and(|kind| kind.is_socket()) {
                    lines.insert(format!("socket {place}/{name}/run/{file}"));
                }
            }
        }
    }
    let left = names(home).into_iter().filter(|name| name.starts_with("probe-"));
    lines.extend(left.map(|name| format!("directory {name}")));
}

fn refs(home: &Path, repository: &Path, lines: &mut BTreeSet<String>) {
    let stores = names(&home.join("repositories"));
    let stores = stores.iter().map(|name| home.join("repositories").join(name));
    let stores = stores.map(|directory| directory.join("snapshots.git"));
    for place in stores.chain([repository.to_owned()]).filter(|place| place.exists()) {
        let mut git = Command::new("git");
        git.arg("-C").arg(&place).args(["for-each-ref", "--format=%(refname)", "refs/agentdeck"]);
        let output = git.output().expect("git runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        lines.extend(text.lines().map(|line| format!("ref {line} in {}", place.display())));
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().display().to_string()).collect()
}
