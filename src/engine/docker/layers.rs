//! Where an engine keeps what its containers write of their own, on this machine.
//!
//! Its own root directory; and with the image store of containerd, where each layer is a snapshot
//! of containerd's, the root of that, which may be on another disk.

use std::path::{Path, PathBuf};

use bollard::models::SystemInfo;

/// How an engine tells that containerd keeps its layers: a pair of its storage driver's status.
const STORE: (&str, &str) = ("driver-type", "io.containerd.snapshotter");

/// Sockets of a containerd that the machine runs for whoever wants one. An engine that starts its
/// own has that one's below its own state directory.
const SHARED: [&str; 2] =
    ["/run/containerd/containerd.sock", "/var/run/containerd/containerd.sock"];
/// What such a one reads, and where it keeps everything unless that says otherwise.
const SHARED_CONFIG: &str = "/etc/containerd/config.toml";
const SHARED_ROOT: &str = "/var/lib/containerd";
/// The same of an engine's own, below the engine's root directory.
const OWN_ROOT: &str = "containerd/daemon";

/// The directories to keep room in. One that cannot be seen is on no disk that counts.
pub(super) fn places(info: &SystemInfo) -> Vec<PathBuf> {
    listed(info, &|| std::fs::read_to_string(SHARED_CONFIG).ok())
}

fn listed(info: &SystemInfo, config: &dyn Fn() -> Option<String>) -> Vec<PathBuf> {
    let root = info.docker_root_dir.as_ref().map(PathBuf::from);
    let mut places: Vec<PathBuf> = root.iter().cloned().collect();
    if !is_in_containerd(info) {
        return places;
    }
    let address = info.containerd.as_ref().and_then(|known| known.address.as_deref());
    // Engines before API 1.46 do not say which one it is.
    let (shared, own) = match address {
        Some(address) => (SHARED.contains(&address), !SHARED.contains(&address)),
        None => (true, true),
    };
    if shared {
        places.push(root_in(config().as_deref()).unwrap_or_else(|| SHARED_ROOT.into()));
    }
    if let Some(root) = root.filter(|_| own) {
        places.push(root.join(OWN_ROOT));
    }
    places
}

fn is_in_containerd(info: &SystemInfo) -> bool {
    let mut pairs = info.driver_status.iter().flatten();
    pairs.any(|pair| match &pair[..] {
        [name, value] => name == STORE.0 && value.starts_with(STORE.1),
        _ => false,
    })
}

/// The root directory that a configuration of containerd names.
fn root_in(config: Option<&str>) -> Option<PathBuf> {
    let table: toml::Table = config?.parse().ok()?;
    let root = table.get("root")?.as_str()?;
    Some(PathBuf::from(root)).filter(|root| root.is_absolute() && root != Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What matters here of the answers of engines.
    const OVERLAY2: &str = r#"{"Driver":"overlay2","DriverStatus":[["Backing Filesystem","extfs"],
        ["Supports d_type","true"],["Native Overlay Diff","true"],["userxattr","false"]],
        "DockerRootDir":"/var/lib/docker"}"#;
    const IN_CONTAINERD: &str = r#"{"Driver":"overlayfs","DriverStatus":[["driver-type",
        "io.containerd.snapshotter.v1"]],"DockerRootDir":"/var/lib/docker"}"#;

    fn found(answer: &str, address: Option<&str>, config: Option<&str>) -> Vec<String> {
        let mut answer: serde_json::Value = serde_json::from_str(answer).expect("json");
        if let Some(address) = address {
            answer["Containerd"] = serde_json::json!({ "Address": address });
        }
        let info: SystemInfo = serde_json::from_value(answer).expect("an answer");
        let listed = listed(&info, &|| config.map(str::to_owned));
        listed.iter().map(|place| place.display().to_string()).collect()
    }

    #[test]
    fn layers_that_containerd_keeps_are_looked_for_where_it_keeps_them() {
        let shared = Some("/run/containerd/containerd.sock");
        let own = Some("/var/run/docker/containerd/containerd.sock");
        let moved = "version = 2\nroot = \"/big/containerd\"\n[plugins]\n";
        let (docker, below) = ("/var/lib/docker", "/var/lib/docker/containerd/daemon");
        let place = |address, config| found(IN_CONTAINERD, address, config);
        assert_eq!(place(shared, None), [docker, "/var/lib/containerd"]);
        assert_eq!(place(shared, Some(moved)), [docker, "/big/containerd"]);
        assert_eq!(place(shared, Some("root = \"\"")), [docker, "/var/lib/containerd"]);
        assert_eq!(place(own, Some(moved)), [docker, below]);
        assert_eq!(place(None, None), [docker, "/var/lib/containerd", below]);
        assert_eq!(found(OVERLAY2, shared, Some(moved)), [docker], "the engine keeps them itself");
    }
}
