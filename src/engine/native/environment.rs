//! The variables of every program in a box.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::image::{Unpacked, has};
use crate::engine::BoxPlan;
use crate::shim::config::{CA_BUNDLE, box_environment, host_ca_bundle};

/// The box's home, unless the workspace stands there.
const HOME: &str = "/root";
const OTHER_HOME: &str = "/home/agent";

/// Variables that an image does not say anything about.
const OWN: [&str; 9] =
    ["COLORTERM", "HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "USER"];

const STANDARD_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Beginnings of the host's search path that a box has too.
const SHARED: [&str; 3] = ["/usr", "/opt", "/nix"];

/// Where the environment's home stands in its box.
pub(super) fn home(plan: &BoxPlan) -> PathBuf {
    let taken = plan.mount == Path::new(HOME);
    PathBuf::from(if taken { OTHER_HOME } else { HOME })
}

/// The variables of a box.
pub(super) fn isolated(plan: &BoxPlan, image: Option<&Unpacked>) -> Vec<(String, String)> {
    let home = home(plan);
    let (path, shell) = if let Some(image) = image {
        of_image(image, &home)
    } else {
        let own = std::env::var_os("PATH").unwrap_or_default();
        (search_path(&home, &plan.tools, &own), "/bin/bash")
    };
    let mut variables = terminal_variables();
    if let Some(image) = image {
        let own = |name: &str| OWN.contains(&name);
        variables.extend(image.environment.iter().filter(|(name, _)| !own(name)).cloned());
    }
    variables.extend(pairs(&[
        ("HOME", &home.to_string_lossy()),
        ("PATH", &path),
        ("USER", "root"),
        ("LOGNAME", "root"),
        ("SHELL", shell),
    ]));
    // `cargo install` puts programs where the search path has them.
    variables.push(pair("CARGO_INSTALL_ROOT", &home.join(".local").to_string_lossy()));
    let tools = if image.is_none() { &plan.tools[..] } else { &[] };
    let toolchains = tools.iter().find(|tool| tool.ends_with(".rustup"));
    variables.extend(
        toolchains.map(|tool| ("RUSTUP_HOME".to_owned(), tool.to_string_lossy().into_owned())),
    );
    let certificates = host_ca_bundle().map(|_| CA_BUNDLE);
    variables.extend(box_environment(&plan.network, certificates));
    variables
}

/// The search path of an image's programs, and the best shell among them.
fn of_image(image: &Unpacked, home: &Path) -> (String, &'static str) {
    let named = image.environment.iter().find(|(name, _)| name == "PATH");
    let path = named.map_or_else(|| STANDARD_PATH.join(":"), |(_, path)| path.clone());
    let shell = if has(&image.root, "bin/bash") { "/bin/bash" } else { "/bin/sh" };
    (format!("{}:{path}", home.join(".local/bin").display()), shell)
}

/// The variables of an unisolated environment, whose git directory cannot be mounted anywhere.
pub(super) fn unisolated(plan: &BoxPlan) -> Vec<(String, String)> {
    let inherited = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
    let mut variables = terminal_variables();
    variables.extend(["PATH", "USER", "LOGNAME", "SHELL"].into_iter().filter_map(inherited));
    variables.extend(pairs(&[
        ("HOME", &plan.home.to_string_lossy()),
        ("GIT_DIR", &plan.git.to_string_lossy()),
        ("GIT_WORK_TREE", &plan.workspace.to_string_lossy()),
    ]));
    variables
}

fn terminal_variables() -> Vec<(String, String)> {
    pairs(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("LANG", "C.UTF-8")])
}

fn pairs(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| pair(name, value)).collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// The home's own programs, those of the tools in the host's order, the rest of the host's, and
/// the standard places.
fn search_path(home: &Path, tools: &[PathBuf], own: &OsStr) -> String {
    let own: Vec<PathBuf> = std::env::split_paths(own).collect();
    let is_tool = |entry: &&PathBuf| tools.iter().any(|tool| entry.starts_with(tool));
    let is_shared = |entry: &&PathBuf| SHARED.iter().any(|shared| entry.starts_with(shared));
    let mut entries: Vec<PathBuf> = own.iter().filter(is_tool).cloned().collect();
    entries.extend(tools.iter().filter_map(|tool| programs_of(tool)));
    entries.insert(0, home.join(".local/bin"));
    entries.extend(own.iter().filter(is_shared).cloned());
    entries.extend(STANDARD_PATH.map(PathBuf::from));
    let mut path: Vec<String> = Vec::new();
    for entry in entries.iter().map(|entry| entry.to_string_lossy().into_owned()) {
        if !path.contains(&entry) {
            path.push(entry);
        }
    }
    path.join(":")
}

/// The directory of a tool's programs: itself, when that is what it is called, or its `bin`.
fn programs_of(tool: &Path) -> Option<PathBuf> {
    if tool.ends_with("bin") || tool.ends_with("shims") {
        return Some(tool.to_owned());
    }
    let programs = tool.join("bin");
    programs.is_dir().then_some(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_path_has_only_what_the_box_can_see() {
        let tools = [".cargo/bin", ".nvm/versions"].map(|tool| Path::new("/home/jo").join(tool));
        let own = OsStr::new("/home/jo/.nvm/versions/22/bin:/home/jo/bin:/usr/games:/usr/bin");
        assert_eq!(
            search_path(Path::new("/root"), &tools, own),
            "/root/.local/bin:/home/jo/.nvm/versions/22/bin:/home/jo/.cargo/bin:/usr/games:\
             /usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin"
        );
    }
}
