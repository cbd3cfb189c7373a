//! Finds the Docker Engine the user means, in the order the docker command has.
//!
//! An endpoint that was chosen by name (`DOCKER_HOST`, a context) is the only one tried: an
//! engine the user did not choose is never used in its place.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::models::{SystemInfo, SystemVersion};
use sha2::{Digest, Sha256};

use super::problem::{Problem, brief, call};
use super::{CALL_DEADLINE, LONG_DEADLINE, layers, transport};
use crate::model::failure::{Failure, FailureKind};

/// The socket of a Docker Engine as every distribution sets it up.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// The socket of a Podman run by root.
const PODMAN_SOCKET: &str = "/run/podman/podman.sock";

/// How a path to a socket is written in endpoints.
const UNIX: &str = "unix://";

/// A socket to try, and why it is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) origin: String,
    pub(super) socket: PathBuf,
}

impl Candidate {
    /// As a box's record keeps it.
    pub(super) fn endpoint(&self) -> String {
        format!("{UNIX}{}", self.socket.display())
    }
}

/// How an engine describes its containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// As they were asked for.
    Docker,
    /// Capabilities by their difference to its own defaults, and no masked paths.
    Podman,
}

impl Dialect {
    pub(super) fn of(version: &SystemVersion) -> Self {
        let mut parts = version.components.iter().flatten();
        if parts.any(|part| part.name.starts_with("Podman")) { Self::Podman } else { Self::Docker }
    }
}

/// An engine that answered.
pub(super) struct Connection {
    pub(super) client: bollard::Docker,
    /// The same, for what may take long until the first word: loading, committing and saving.
    pub(super) patient: bollard::Docker,
    pub(super) candidate: Candidate,
    pub(super) dialect: Dialect,
    /// What the engine said about itself when it was connected to.
    pub(super) info: SystemInfo,
    /// Where it keeps what containers write, by what it said.
    pub(super) layers: Vec<PathBuf>,
}

/// Reads a variable of the environment; passed in, so that tests need not change ours.
pub(super) type Variables<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// The sockets to try, best first.
pub(super) fn candidates(variables: Variables<'_>) -> Result<Vec<Candidate>, Failure> {
    let set = |name: &str| variables(name).filter(|value| !value.is_empty());
    if let Some(host) = set("DOCKER_HOST") {
        return Ok(vec![unix_endpoint("DOCKER_HOST", &host)?]);
    }
    let directory = set("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".docker")));
    let named = set("DOCKER_CONTEXT").or_else(|| current_context(directory.as_deref()?));
    if let Some(name) = named.filter(|name| name != "default") {
        let endpoint = context_endpoint(directory.as_deref(), &name)?;
        return Ok(vec![unix_endpoint(&format!("docker context {name}"), &endpoint)?]);
    }
    let mut found = vec![
        Candidate { origin: "the usual socket".to_owned(), socket: DOCKER_SOCKET.into() },
        Candidate { origin: "podman".to_owned(), socket: PODMAN_SOCKET.into() },
    ];
    if let Some(runtime) = set("XDG_RUNTIME_DIR") {
        let socket = Path::new(&runtime).join("podman/podman.sock");
        found.push(Candidate { origin: "the user's podman".to_owned(), socket });
    }
    Ok(found)
}

/// A socket of this machine. Another machine's engine cannot be used: the workspace is bound into
/// the box, and changes in it are noticed, only where both are on one machine.
pub(super) fn unix_endpoint(origin: &str, endpoint: &str) -> Result<Candidate, Failure> {
    if let Some(socket) = endpoint.strip_prefix(UNIX) {
        return Ok(Candidate { origin: origin.to_owned(), socket: socket.into() });
    }
    let message = format!(
        "{origin} names {:?}; not yet supported: a box's files are on this machine, and only an \
         engine behind a unix:// socket of it can show them",
        brief(endpoint)
    );
    Err(Failure::new(FailureKind::Unavailable, message)
        .hint("run agentdeck on the engine's own machine, or use --engine native"))
}

fn current_context(directory: &Path) -> Option<String> {
    let text = std::fs::read(directory.join("config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_slice(&text).ok()?;
    Some(config.get("currentContext")?.as_str()?.to_owned()).filter(|name| !name.is_empty())
}

/// A context is kept under the SHA-256 digest of its name (docker's `cli/context/store`).
fn context_endpoint(directory: Option<&Path>, name: &str) -> Result<String, Failure> {
    let digest = hexadecimal(&Sha256::digest(name.as_bytes()));
    let read = || {
        let file = directory?.join("contexts/meta").join(digest).join("meta.json");
        let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        Some(meta.pointer("/Endpoints/docker/Host")?.as_str()?.to_owned())
    };
    read().ok_or_else(|| {
        Failure::new(FailureKind::Unavailable, format!("docker context {name:?} cannot be read"))
            .hint("see docker context ls, or choose another with docker context use")
    })
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // Writing to a string does not fail.
        text
    })
}

/// An engine that is connected to, by its socket.
pub(super) type Known<'a> = &'a (dyn Fn(&Path) -> Option<Arc<Connection>> + Sync);

/// Connects to the first candidate that answers and agrees on a version of the API with it, unless
/// it is connected to.
pub(super) async fn connect(
    candidates: Vec<Candidate>,
    known: Known<'_>,
) -> Result<(Candidate, Arc<Connection>), Failure> {
    let mut tried = Vec::new();
    for candidate in candidates {
        match answer(&candidate, known).await {
            Ok(connection) => return Ok((candidate, connection)),
            Err(reason) => {
                let Candidate { origin, socket } = candidate;
                tried.push(format!("{} ({origin}): {reason}", socket.display()));
            }
        }
    }
    let message = format!("no Docker Engine answers; tried {}", tried.join("; "));
    let denied = message.contains("ermission denied");
    Err(Failure::new(FailureKind::Unavailable, message).hint(if denied {
        "join the group of the socket (usually docker), or use --engine native"
    } else {
        "start one (systemctl start docker), name one in DOCKER_HOST, or use --engine native"
    }))
}

async fn answer(candidate: &Candidate, known: Known<'_>) -> Result<Arc<Connection>, String> {
    let socket = &candidate.socket;
    // Asked first: "does not exist" and "not allowed" are different advice. It never waits.
    let tried = tokio::net::UnixStream::connect(socket).await;
    tried.map_err(|error| brief(&error.to_string()))?;
    if let Some(connection) = known(socket) {
        return Ok(connection);
    }
    let said = |problem: Problem| problem.to_string();
    let made = |patience| transport::client(socket, patience).map_err(|error| said(error.into()));
    let client = made(CALL_DEADLINE)?;
    let client = call(CALL_DEADLINE, client.negotiate_version()).await.map_err(said)?;
    let patient = made(LONG_DEADLINE)?;
    let patient = call(CALL_DEADLINE, patient.negotiate_version()).await.map_err(said)?;
    let version = call(CALL_DEADLINE, client.version()).await.map_err(said)?;
    let info = call(CALL_DEADLINE, client.info()).await.map_err(said)?;
    let (dialect, layers) = (Dialect::of(&version), layers::places(&info));
    let candidate = candidate.clone();
    Ok(Arc::new(Connection { client, patient, candidate, dialect, info, layers }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Vec<Candidate>, Failure> {
        let owned: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        candidates(&|name| owned.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone()))
    }

    fn sockets(found: &[Candidate]) -> Vec<&str> {
        found.iter().filter_map(|candidate| candidate.socket.to_str()).collect()
    }

    #[test]
    fn a_chosen_endpoint_is_the_only_one_tried() {
        let found = with(&[("DOCKER_HOST", "unix:///x/d.sock"), ("DOCKER_CONTEXT", "far")]);
        assert_eq!(sockets(&found.expect("found")), ["/x/d.sock"]);
        let usual = with(&[("DOCKER_HOST", ""), ("XDG_RUNTIME_DIR", "/run/user/7")]);
        let expected = [DOCKER_SOCKET, PODMAN_SOCKET, "/run/user/7/podman/podman.sock"];
        assert_eq!(sockets(&usual.expect("found")), expected);
    }

    #[test]
    fn an_endpoint_over_the_network_is_refused_by_name() {
        for endpoint in ["ssh://me@far", "tcp://127.0.0.1:2375"] {
            let failure = with(&[("DOCKER_HOST", endpoint)]).expect_err("refused");
            assert_eq!(failure.kind, FailureKind::Unavailable);
            assert!(failure.message.contains(endpoint), "{failure:?}");
        }
    }

    #[test]
    fn the_current_context_is_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().to_str().expect("text");
        std::fs::write(directory.path().join("config.json"), r#"{"currentContext":"near"}"#)
            .expect("written");
        let failure = with(&[("DOCKER_CONFIG", config)]).expect_err("no such context");
        assert!(failure.message.contains("near"), "{failure:?}");
        let digest = hexadecimal(&Sha256::digest(b"near"));
        let meta = directory.path().join("contexts/meta").join(digest);
        std::fs::create_dir_all(&meta).expect("made");
        let text = r#"{"Endpoints":{"docker":{"Host":"unix:///near.sock"}}}"#;
        std::fs::write(meta.join("meta.json"), text).expect("written");
        assert_eq!(sockets(&with(&[("DOCKER_CONFIG", config)]).expect("found")), ["/near.sock"]);
    }

    #[tokio::test]
    async fn the_failure_names_every_socket_that_was_tried() {
        let missing = |name: &str| Candidate {
            origin: "a test".to_owned(),
            socket: format!("/nonexistent/{name}.sock").into(),
        };
        let Err(failure) = connect(vec![missing("one"), missing("two")], &|_| None).await else {
            panic!("nothing listens there")
        };
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert!(failure.message.contains("/nonexistent/one.sock"), "{failure:?}");
        assert!(failure.message.contains("/nonexistent/two.sock"), "{failure:?}");
        assert!(failure.hint.is_some());
    }
}
