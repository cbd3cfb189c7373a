//! What a home has outside of its own files and in them, so that a test can say that nothing is
//! left over: compare the traces from before with those from after, or look at those that no
//! environment stands for.

use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::processes;

/// How deep our own files lie, and what among them is a box's.
const HALVES: usize = 3;
const BOXES_OWN: [&str; 4] = ["workspace", "home", "git", "layer"];

/// Everything of a home that can be orphaned, one line each, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces(BTreeSet<String>);

impl Traces {
    /// Looks everywhere. What belongs to discarded environments is left out: they may come back.
    pub fn of(home: &Path, repository: &Path) -> Self {
        let mut traces = Self::everything(home, repository);
        for id in names(&home.join("trash")) {
            traces.0.retain(|line: &String| !line.contains(&id));
        }
        traces
    }

    /// What is left of environments that neither exist nor can be taken back. Empty is right.
    pub fn stray(home: &Path, repository: &Path) -> Vec<String> {
        let known: Vec<String> = ["environments", "trash"]
            .map(|place| home.join(place))
            .iter()
            .flat_map(|place| names(place).into_iter().map(|id| (place.join(&id), id)))
            .filter(|(place, _)| place.join("record.json").exists())
            .map(|(_, id)| id)
            .collect();
        let lines = Self::everything(home, repository).0.into_iter();
        lines.filter(|line| !known.iter().any(|id| line.contains(id))).collect()
    }

    fn everything(home: &Path, repository: &Path) -> Self {
        let mut lines = BTreeSet::new();
        processes(home, &mut lines);
        mounts(home, &mut lines);
        cgroups(home, &mut lines);
        engine(home, &mut lines);
        files(home, &mut lines);
        refs(home, repository, &mut lines);
        halves(home, HALVES, &mut lines);
        // What is made before anybody asks is nobody's yet, and goes with the server.
        let ahead = names(&home.join("ahead"));
        lines.retain(|line| !ahead.iter().any(|id| line.contains(id)));
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

/// Processes of boxes, with their network namespaces, and others at work among an environment's
/// files. The server itself is no orphan.
fn processes(home: &Path, lines: &mut BTreeSet<String>) {
    let own = std::fs::read_link("/proc/self/ns/mnt").expect("a namespace");
    let prefixes = ["environments", "trash", "removing", "ahead"].map(|place| home.join(place));
    let home = home.to_str().expect("text");
    for pid in processes::all() {
        let of = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
        let elsewhere = std::fs::read_link(of("ns/mnt")).is_ok_and(|other| other != own);
        let mounts = std::fs::read_to_string(of("mountinfo")).unwrap_or_default();
        if !elsewhere || !mounts.contains(home) {
            continue;
        }
        let word = std::fs::read_to_string(of("comm")).unwrap_or_default();
        let whose = environment_in(&mounts, &prefixes);
        lines.insert(format!("process {pid} {} of {whose}", word.trim()));
        if let Ok(network) = std::fs::read_link(of("ns/net")) {
            lines.insert(format!("network {} of {whose}", network.display()));
        }
    }
    for prefix in &prefixes {
        let at_work = processes::holding(prefix).into_iter();
        for (pid, place) in at_work.filter(|(pid, _)| processes::command(*pid).ends_with(" box")) {
            lines.insert(format!("process {pid} at work in {}", place.display()));
        }
    }
}

/// The environment that a text names a place of.
fn environment_in(text: &str, prefixes: &[PathBuf]) -> String {
    let after = prefixes.iter().find_map(|prefix| {
        let prefix = format!("{}/", prefix.display());
        text.split_once(&prefix).map(|(_, rest)| rest)
    });
    let id = after.unwrap_or_default().split(['/', ' ', ',']).next().unwrap_or_default();
    id.to_owned()
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
            if text.contains(&tag) {
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
    // Forks' images have their environment for a tag.
    let (of_image, names) = (format!("label=agentdeck.image.deck={tag}"), "{{.ID}} {{.Tag}}");
    let saving = format!("reference=agentdeck-saving-{tag}");
    let asked: [(&str, &[&str]); 3] = [
        ("container", &["ps", "-a", "--filter", &filter, "--format", format]),
        ("image", &["images", "--filter", &of_image, "--format", names]),
        ("image", &["images", "--filter", &saving, "--format", names]),
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
    for name in names(&home.join("trash")) {
        lines.insert(format!("directory trash/{name}"));
    }
    let saves = names(&home.join("saving")).into_iter();
    lines.extend(saves.map(|name| format!("note of a save {name}")));
    let left = names(home).into_iter().filter(|name| name.starts_with("probe-"));
    lines.extend(left.map(|name| format!("directory {name}")));
}

/// Files of ours that were never written whole, so deep below a directory.
fn halves(directory: &Path, depth: usize, lines: &mut BTreeSet<String>) {
    for name in names(directory) {
        let path = directory.join(&name);
        if path.is_dir() && !path.is_symlink() {
            if depth > 0 && !BOXES_OWN.contains(&name.as_str()) {
                halves(&path, depth - 1, lines);
            }
        } else if path.extension().is_some_and(|end| end == "new") {
            lines.insert(format!("half a file {}", path.display()));
        }
    }
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
