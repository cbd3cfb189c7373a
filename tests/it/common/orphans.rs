//! What a deck must not leave behind: processes, mounts, control groups, sockets, refs and
//! directories that no environment and no discarded one stands for.

use std::path::{Path, PathBuf};

use super::home::TestHome;

/// Everything that is left of environments which do not exist any more, in words. Empty is right.
pub fn left(test: &TestHome) -> Vec<String> {
    let known = known(&test.home);
    let stray = |text: &str| {
        is_of_home(text, &test.home) && !known.iter().any(|id| text.contains(id.as_str()))
    };
    let mut left = Vec::new();
    let mut note = |kind: &str, found: Vec<String>| {
        left.extend(found.into_iter().map(|what| format!("{kind}: {what}")));
    };
    note("directory", directories(&test.home).into_iter().filter(|path| stray(path)).collect());
    note("half a file", halves(&test.home));
    note("mount", mounts("self").into_iter().filter(|line| stray(line)).collect());
    note(
        "box",
        boxes(&test.home).into_iter().filter(|(_, text)| stray(text)).map(|(pid, _)| pid).collect(),
    );
    note("socket", sockets().into_iter().filter(|path| stray(path)).collect());
    note(
        "control group",
        groups().into_iter().filter(|path| stray_group(path, &test.home, &known)).collect(),
    );
    note("ref", refs(test, &known));
    left
}

/// The ids of environments that exist or can be taken back.
fn known(home: &Path) -> Vec<String> {
    let places = ["environments", "trash"].map(|name| home.join(name));
    let recorded = |place: &PathBuf| {
        let ids = names(place).into_iter();
        let place = place.clone();
        ids.filter(move |id| place.join(id).join("record.json").exists()).collect::<Vec<_>>()
    };
    places.iter().flat_map(recorded).collect()
}

/// Whether a text names something of an environment of this home.
fn is_of_home(text: &str, home: &Path) -> bool {
    text.contains(&format!("{}/environments/", home.display()))
        || text.contains(&format!("{}/trash/", home.display()))
}

fn directories(home: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for name in ["environments", "trash"] {
        let place = home.join(name);
        found.extend(names(&place).iter().map(|id| format!("{}/{id}", place.display())));
    }
    found
}

/// Files of ours that were never written whole.
fn halves(home: &Path) -> Vec<String> {
    let mut halves = Vec::new();
    collect(home, 3, &mut |path| {
        if path.extension().is_some_and(|ending| ending == "new") {
            halves.push(path.display().to_string());
        }
    });
    halves
}

fn collect(directory: &Path, depth: usize, take: &mut dyn FnMut(&Path)) {
    let skipped = ["workspace", "home", "git", "layer"];
    for name in names(directory) {
        let path = directory.join(&name);
        if path.is_dir() && !path.is_symlink() {
            if depth > 0 && !skipped.contains(&name.as_str()) {
                collect(&path, depth - 1, take);
            }
        } else {
            take(&path);
        }
    }
}

fn mounts(process: &str) -> Vec<String> {
    let table = std::fs::read_to_string(format!("/proc/{process}/mountinfo")).unwrap_or_default();
    table.lines().map(str::to_owned).collect()
}

/// Processes in other mount namespaces, each with what it has mounted.
fn boxes(home: &Path) -> Vec<(String, String)> {
    let own = std::fs::read_link("/proc/self/ns/mnt").ok();
    let pids = names(Path::new("/proc")).into_iter().filter(|name| name.parse::<u32>().is_ok());
    let other = |pid: &String| {
        let space = std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        space.is_some() && space != own
    };
    let lines = |pid: String| {
        let ours: Vec<String> =
            mounts(&pid).into_iter().filter(|line| is_of_home(line, home)).collect();
        (pid, ours.join("\n"))
    };
    pids.filter(other).map(lines).filter(|(_, lines)| !lines.is_empty()).collect()
}

fn sockets() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    table.lines().filter_map(|line| line.split_whitespace().nth(7)).map(str::to_owned).collect()
}

/// Control groups that name an agentdeck environment anywhere in their path.
fn groups() -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = waiting.pop() {
        for name in names(&directory) {
            let path = directory.join(name);
            if path.is_dir() && !path.is_symlink() {
                found.push(path.display().to_string());
                waiting.push(path);
            }
        }
    }
    found
}

/// A group of this deck, by its tag, whose environment is not known.
fn stray_group(path: &str, home: &Path, known: &[String]) -> bool {
    let tag = std::fs::read_to_string(home.join("deck")).unwrap_or_default();
    !tag.is_empty() && path.contains(&tag) && {
        let last = path.rsplit('/').next().unwrap_or_default();
        !last.ends_with(&tag) && !known.iter().any(|id| last.contains(id.as_str()))
    }
}

fn refs(test: &TestHome, known: &[String]) -> Vec<String> {
    let listed = test.git(&["for-each-ref", "--format=%(refname)", "refs/agentdeck"]);
    let stray = |name: &&str| !known.iter().any(|id| name.contains(id.as_str()));
    listed.lines().filter(stray).map(str::to_owned).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().display().to_string()).collect()
}
