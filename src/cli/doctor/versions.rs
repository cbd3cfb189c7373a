//! Known holes of engines, by the version that closed them.
//!
//! Distributions mend holes without changing the version they show, so that an old version is a
//! reason to look, not a proof.

use super::finding::Finding;

/// Three numbers of a version.
type Version = (u32, u32, u32);

/// A hole by which a box, or an image it is made from, reaches the host.
struct Hole {
    component: &'static str,
    id: &'static str,
    /// What it lets happen.
    what: &'static str,
    /// The first good version of each branch, oldest first. Later branches never had it.
    closed: &'static [Version],
}

const HOLES: &[Hole] = &[
    Hole {
        component: "runc",
        id: "CVE-2019-5736",
        what: "a box overwrites the runtime on the host",
        closed: &[(1, 0, 0)],
    },
    Hole {
        component: "runc",
        id: "CVE-2021-30465",
        what: "a mount is led out of the box by a link",
        closed: &[(1, 0, 0)],
    },
    Hole {
        component: "runc",
        id: "CVE-2024-21626",
        what: "a descriptor of the host stays open in the box",
        closed: &[(1, 1, 12)],
    },
    Hole {
        component: "runc",
        id: "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881",
        what: "masked paths of /proc are led elsewhere while a box starts",
        closed: &[(1, 2, 8), (1, 3, 3), (1, 4, 0)],
    },
    Hole {
        component: "containerd",
        id: "CVE-2020-15257",
        what: "boxes in the host's network speak to the engine's own socket",
        closed: &[(1, 3, 9), (1, 4, 3)],
    },
    Hole {
        component: "containerd",
        id: "CVE-2024-25621",
        what: "other users of the machine read and change the engine's files",
        closed: &[(1, 7, 29), (2, 0, 7), (2, 1, 5), (2, 2, 0)],
    },
    Hole {
        component: "containerd",
        id: "CVE-2026-46680",
        what: "an image names a user out of range and runs as another",
        closed: &[(1, 7, 32), (2, 0, 9), (2, 1, 8), (2, 2, 4), (2, 3, 1)],
    },
    Hole {
        component: "docker",
        id: "CVE-2026-41567",
        what: "an image's own programs run as root when an archive is copied into a box",
        closed: &[(29, 5, 1)],
    },
    Hole {
        component: "docker",
        id: "CVE-2026-17106",
        what: "docker cp is led out of the box by a link",
        closed: &[(29, 7, 1)],
    },
];

/// Judges one component by the version it shows.
pub(super) fn judge(component: &str, shown: &str) -> Finding {
    let name = format!("{component} version");
    let Some(version) = read(shown) else {
        return Finding::ok("docker", &name, format!("{shown}, which is not a release"));
    };
    let open: Vec<&Hole> = HOLES
        .iter()
        .filter(|hole| hole.component == component && is_open(hole.closed, version))
        .collect();
    if open.is_empty() {
        return Finding::ok("docker", &name, format!("{shown}, no known hole out of a box"));
    }
    let told: Vec<String> = open.iter().map(|hole| tell(hole, version)).collect();
    let found = format!("{shown} is older than the fix of {}", told.join("; "));
    Finding::attention("docker", &name, found).remedy(format!(
        "your distribution may have mended it without a new version: look with \
         apt changelog {} | grep CVE, else install a newer one",
        package(component)
    ))
}

fn package(component: &str) -> &str {
    match component {
        "docker" => "docker.io",
        other => other,
    }
}

fn tell(hole: &Hole, version: Version) -> String {
    let later = hole.closed.iter().find(|closed| (closed.0, closed.1) >= (version.0, version.1));
    let (major, minor, patch) = *later.or(hole.closed.last()).unwrap_or(&(0, 0, 0));
    format!("{} ({}), fixed in {major}.{minor}.{patch}", hole.id, hole.what)
}

/// Whether a version is before the fix of its own branch, or of a branch older than any with one.
fn is_open(closed: &[Version], version: Version) -> bool {
    let branch = (version.0, version.1);
    match closed.iter().find(|closed| (closed.0, closed.1) == branch) {
        Some(fix) => version < *fix,
        None => closed.last().is_some_and(|last| version < *last),
    }
}

/// The first three numbers; what a distribution adds is left out.
fn read(shown: &str) -> Option<Version> {
    let shown = shown.trim().trim_start_matches('v');
    let mut numbers = shown.split('.').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..digits].parse().ok()
    });
    let (major, minor) = (numbers.next()??, numbers.next()??);
    let patch = numbers.next().flatten().unwrap_or(0);
    Some((major, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn versions_are_read_as_engines_and_distributions_write_them() {
        assert_eq!(read("20.10.24+dfsg1"), Some((20, 10, 24)));
        assert_eq!(read("1.6.20~ds1"), Some((1, 6, 20)));
        assert_eq!(read("v2.1.5"), Some((2, 1, 5)));
        assert_eq!(read("1.3.0-rc.2"), Some((1, 3, 0)));
        assert_eq!(read("29.7"), Some((29, 7, 0)));
        assert_eq!(read("master"), None);
    }

    #[test]
    fn each_branch_has_its_own_fix() {
        let open = |component: &str, version: &str| {
            judge(component, version).verdict == Verdict::Attention
        };
        for (component, version) in [
            ("runc", "1.1.11"),
            ("runc", "1.1.12"),
            ("runc", "1.2.7"),
            ("runc", "1.3.2"),
            ("containerd", "1.6.20~ds1"),
            ("containerd", "1.7.31"),
            ("containerd", "2.1.7"),
            ("docker", "20.10.24+dfsg1"),
            ("docker", "28.5.2"),
            ("docker", "29.7.0"),
        ] {
            assert!(open(component, version), "{component} {version}");
        }
        for (component, version) in [
            ("runc", "1.2.8"),
            ("runc", "1.3.3"),
            ("runc", "1.5.0"),
            ("containerd", "1.7.32"),
            ("containerd", "2.1.8"),
            ("containerd", "2.4.0"),
            ("docker", "29.7.1"),
            ("docker", "30.0.0"),
        ] {
            assert!(!open(component, version), "{component} {version}");
        }
    }

    #[test]
    fn a_hole_is_named_with_its_fix_and_how_to_look() {
        let finding = judge("runc", "1.1.5+ds1");
        for word in ["CVE-2024-21626", "fixed in 1.1.12", "CVE-2025-31133", "fixed in 1.2.8"] {
            assert!(finding.found.contains(word), "{word}: {}", finding.found);
        }
        assert!(finding.remedy.is_some_and(|remedy| remedy.contains("apt changelog runc")));
        assert!(!judge("runc", "1.1.12").found.contains("21626"));
    }
}
