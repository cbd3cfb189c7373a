//! Which registry an image's name means, as docker reads names.

/// The registry of names that have none.
const HUB: &str = "docker.io";
/// What docker's settings call it.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// A registry by its host, with a port where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registry(String);

impl Registry {
    /// The first part of a name is a registry only where it could not be a part of a path.
    pub(super) fn of(image: &str) -> Self {
        let first = image.split_once('/').map_or("", |(first, _)| first);
        let is_host = first.contains(['.', ':']) || first == "localhost";
        Self(if is_host { first.to_owned() } else { HUB.to_owned() })
    }

    /// What docker's settings and helpers call it.
    pub(super) fn key(&self) -> &str {
        if self.0 == HUB { HUB_KEY } else { &self.0 }
    }

    /// Whether an entry of docker's settings means it; older ones are whole URLs.
    pub(super) fn is(&self, entry: &str) -> bool {
        let bare = entry.strip_prefix("https://").or_else(|| entry.strip_prefix("http://"));
        let host = bare.unwrap_or(entry).split('/').next().unwrap_or_default();
        let hub = ["index.docker.io", "registry-1.docker.io"];
        host == self.0 || (self.0 == HUB && hub.contains(&host))
    }
}

impl std::fmt::Display for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_host_is_of_the_hub() {
        for image in ["debian", "debian:12", "ann/box", "ann/box:1", "docker.io/ann/box"] {
            assert_eq!(Registry::of(image).key(), HUB_KEY, "{image}");
        }
        for (image, host) in [
            ("reg.example/box", "reg.example"),
            ("localhost/box", "localhost"),
            ("localhost:5000/a/box:1", "localhost:5000"),
            ("127.0.0.1:5000/box@sha256:00", "127.0.0.1:5000"),
        ] {
            assert_eq!(Registry::of(image).key(), host);
        }
    }

    #[test]
    fn an_entry_of_one_registry_is_of_no_other() {
        let registry = Registry::of("reg.example/box");
        assert!(registry.is("reg.example") && registry.is("https://reg.example/v2/"));
        for other in ["reg.example:5000", "reg.example.org", "xreg.example", "docker.io", ""] {
            assert!(!registry.is(other), "{other}");
        }
    }
}
