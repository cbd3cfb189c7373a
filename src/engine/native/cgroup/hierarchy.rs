//! The hierarchies of this machine, and where in each of them this user may make groups.

use std::path::{Path, PathBuf};

use super::{Controller, Version};
use crate::engine::native::tree;

/// The group this server moves itself to where its own group must hold no process.
pub(super) const SERVER: &str = "agentdeck-server";

/// One mounted hierarchy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) version: Version,
    /// What it has of use; in the second version what could be turned on.
    pub(super) controllers: Vec<Controller>,
    /// Where boxes' groups may begin, the best first.
    pub(super) tops: Vec<PathBuf>,
}

/// Every hierarchy of use, as this process sees them.
pub(super) fn all() -> Vec<Hierarchy> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let root = rustix::process::geteuid().is_root();
    let mut found: Vec<Hierarchy> = Vec::new();
    for hierarchy in mounts.lines().filter_map(|line| read(line, &own, root)) {
        // A hierarchy that is mounted twice is one.
        let known = |other: &Hierarchy| {
            other.version == hierarchy.version && other.controllers == hierarchy.controllers
        };
        if !found.iter().any(known) {
            found.push(hierarchy);
        }
    }
    let unified = found.iter().any(|hierarchy| hierarchy.version == Version::Two);
    found.retain_mut(|hierarchy| {
        if unified && hierarchy.version == Version::One {
            // The unified hierarchy counts time and freezes without a controller.
            let doubled = [Controller::Cpuacct, Controller::Freezer];
            hierarchy.controllers.retain(|controller| !doubled.contains(controller));
        }
        hierarchy.version == Version::Two || !hierarchy.controllers.is_empty()
    });
    found
}

/// Reads one line of `mountinfo` (`proc(5)`), given this process's own groups.
fn read(line: &str, own: &str, root: bool) -> Option<Hierarchy> {
    let (_, after) = line.split_once(" - ")?;
    let mut fields = after.split(' ');
    let version = match fields.next()? {
        "cgroup" => Version::One,
        "cgroup2" => Version::Two,
        _ => return None,
    };
    let mounted = tree::mount_point(line.as_bytes())?;
    let controllers: Vec<Controller> = match version {
        Version::One => fields.nth(1)?.split(',').filter_map(Controller::named).collect(),
        Version::Two => {
            let text = std::fs::read_to_string(mounted.join("cgroup.controllers"));
            let text = text.unwrap_or_default();
            text.split_ascii_whitespace().filter_map(Controller::named).collect()
        }
    };
    let base = Path::new(line.split(' ').nth(3)?);
    let own = own_group(own, version, &controllers)
        .and_then(|path| Some(mounted.join(Path::new(path).strip_prefix(base).ok()?)));
    let own = own.map(|path| match path.parent() {
        Some(parent) if path.ends_with(SERVER) => parent.to_owned(),
        _ => path,
    });
    // An administrator's boxes are nobody's part, so that they outlive the session that began
    // them; an ordinary user has what was delegated, if anything.
    let mut tops: Vec<PathBuf> = if root { vec![mounted] } else { Vec::new() };
    tops.extend(own.filter(|own| !tops.contains(own)));
    Some(Hierarchy { version, controllers, tops })
}

/// The path of this process's group in a hierarchy: `ID:CONTROLLERS:PATH` in each line.
fn own_group<'a>(text: &'a str, version: Version, controllers: &[Controller]) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (names, path) = (fields.next()?, fields.next()?);
        let is_it = match version {
            Version::Two => names.is_empty(),
            Version::One => controllers
                .first()
                .is_some_and(|first| names.split(',').any(|name| name == first.name())),
        };
        is_it.then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "9:name=systemd:/\n4:memory:/user/jo\n2:cpu,cpuacct:/\n0::/user.slice/a\n";

    #[test]
    fn an_administrator_begins_at_the_top_and_a_user_at_their_own() {
        let line = "39 26 0:31 / /no/memory rw - cgroup cgroup rw,memory";
        let expected = |tops: &[&str]| Hierarchy {
            version: Version::One,
            controllers: vec![Controller::Memory],
            tops: tops.iter().map(PathBuf::from).collect(),
        };
        assert_eq!(read(line, OWN, true), Some(expected(&["/no/memory", "/no/memory/user/jo"])));
        assert_eq!(read(line, OWN, false), Some(expected(&["/no/memory/user/jo"])));
    }

    #[test]
    fn a_group_outside_of_what_is_mounted_is_not_guessed() {
        let line = "39 26 0:31 /user.slice/a /no/u rw - cgroup2 cgroup2 rw";
        let tops = read(line, OWN, false).expect("a hierarchy").tops;
        assert_eq!(tops, [PathBuf::from("/no/u")]);
        let line = "39 26 0:31 /docker/x /no/u rw - cgroup2 cgroup2 rw";
        assert_eq!(read(line, OWN, false).expect("a hierarchy").tops, Vec::<PathBuf>::new());
        assert_eq!(read("39 26 0:31 / /tmp rw - tmpfs tmpfs rw", OWN, true), None);
    }

    #[test]
    fn the_servers_own_leaf_is_not_a_place_for_boxes() {
        let line = "39 26 0:31 / /no/u rw - cgroup2 cgroup2 rw";
        let own = "0::/user.slice/a/agentdeck-server\n";
        let tops = read(line, own, false).expect("a hierarchy").tops;
        assert_eq!(tops, [PathBuf::from("/no/u/user.slice/a")]);
    }
}
