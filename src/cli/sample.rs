//! The demo's repository, kept ready-made, because a fresh machine may have no git.

use std::path::{Path, PathBuf};

use crate::model::endpoint::EndpointChoice;
use crate::model::environment::{EnvironmentSpec, Work};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentName;
use crate::model::policy::{EngineKind, IsolationRequest, Limits, NetworkMode, NetworkPolicy};
use crate::model::screen::Size;

/// Made by `assets/demo/pack` from `assets/demo/sample`: a working tree with its `.git`.
const SAMPLE: &[u8] = include_bytes!("../../assets/demo/sample.tar");

/// The scripted agents of the sample: programs below `agents/`, which are also their names.
pub(super) const AGENTS: [&str; 3] = ["quick", "careful", "curious"];

/// The root of the sample repository below the directory it is written to.
pub(super) const ROOT: &str = "shop";

/// Writes the sample repository below `directory` and returns its root.
pub(super) fn write(directory: &Path) -> Result<PathBuf, Failure> {
    let unpacked = tar::Archive::new(SAMPLE).unpack(directory);
    unpacked.map_err(|error| {
        let message = format!("the sample was not written to {}: {error}", directory.display());
        Failure::new(FailureKind::Unavailable, message)
    })?;
    let root = directory.join(ROOT);
    root.canonicalize().map_err(|error| {
        Failure::new(FailureKind::Internal, format!("{}: {error}", root.display()))
    })
}

/// What is asked of the server for one scripted agent.
pub(super) fn spec(repository: &Path, agent: &str) -> Result<EnvironmentSpec, Failure> {
    Ok(EnvironmentSpec {
        repository: repository.to_owned(),
        name: Some(EnvironmentName::parse(agent)?),
        base: None,
        with_changes: false,
        work: Work::Command(vec![format!("agents/{agent}")]),
        engine: Some(EngineKind::Native),
        endpoint: EndpointChoice::default(),
        image: None,
        runtime: None,
        require: Vec::new(),
        limits: Limits::default(),
        isolation: IsolationRequest::Required,
        network: NetworkPolicy { mode: NetworkMode::None, allow: Vec::new() },
        task: None,
        variables: Vec::new(),
        size: Size { columns: 80, rows: 24 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file below a directory, `.git` left out, by relative path.
    fn files(root: &Path) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        let mut open = vec![root.to_owned()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                let name = path.strip_prefix(root).expect("below").display().to_string();
                if path.is_dir() && name != ".git" {
                    open.push(path);
                } else if path.is_file() {
                    found.push((name, std::fs::read(path).expect("readable")));
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn the_packed_sample_is_the_one_beside_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = write(directory.path()).expect("written");
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/sample");
        assert_eq!(files(&root), files(&beside), "run assets/demo/pack");
        assert!(root.join(".git/HEAD").is_file());
    }

    #[test]
    fn every_agent_is_a_program_of_the_sample() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = write(directory.path()).expect("written");
        for agent in AGENTS {
            let path = root.join("agents").join(agent);
            let mode = std::fs::metadata(path).expect("there").permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o111, 0o111);
            assert!(spec(&root, agent).is_ok());
        }
    }
}
