//! The user's own file, `config.toml`: defaults for new environments, and agents of their own.
//!
//! An unknown key is refused by name: a misspelt rail that is silently ignored is no rail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use directories::ProjectDirs;
use serde::Deserialize;

use super::notify::Notify;
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::{
    Aspect, EngineKind, HostPort, ImageSource, Limits, NetworkMode, parse_bytes, parse_processors,
    show_bytes,
};
use crate::model::profile::TASK;
use crate::model::snapshot::FileCaps;

/// What the user configured; everything may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub engine: Option<EngineKind>,
    /// Its path, if it has one, is absolute.
    pub image: Option<ImageSource>,
    pub runtime: Option<String>,
    pub require: Vec<Aspect>,
    pub limits: Limits,
    /// Bytes kept free on the disk of the state directory; 0 keeps nothing free.
    pub disk_reserve: Option<u64>,
    pub trash: Trash,
    pub snapshots: FileCaps,
    pub notify: Notify,
    pub network: Option<NetworkMode>,
    pub allow: Vec<HostPort>,
    /// Agents of the user's own, and changes to the built-in ones.
    pub agents: BTreeMap<String, AgentSettings>,
}

/// How long discarded environments can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trash {
    pub keep_days: u32,
    /// Bytes that all of them may take together.
    pub max_size: u64,
}

impl Default for Trash {
    fn default() -> Self {
        Self { keep_days: 30, max_size: 20 << 30 }
    }
}

/// What the user says of one agent; what is left out stays as it is built in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSettings {
    /// Program and arguments.
    pub command: Option<Vec<String>>,
    /// Lines for `sh`, run as the box's root when the program is missing.
    pub install: Option<Vec<String>>,
    /// Names of variables passed on from the shell that starts the environment.
    pub variables: Option<Vec<String>>,
    /// Directories of the user's home shown in a native box besides the usual ones.
    pub tools: Option<Vec<String>>,
    /// Words behind the command that give it a task, `{task}` standing for its text.
    pub task: Option<Vec<String>>,
    /// Words behind the command with which it goes on with its conversation.
    pub resume: Option<Vec<String>>,
    /// A path in the box's home that tells of a conversation, `*` for any letters of a name.
    pub evidence: Option<String>,
}

impl AgentSettings {
    /// What is wrong with them, if anything is.
    fn problem(&self) -> Option<String> {
        if self.command.as_ref().is_some_and(Vec::is_empty) {
            return Some("its command is empty".to_owned());
        }
        let no_place = |words: &Vec<String>| {
            !words.is_empty() && !words.iter().any(|word| word.contains(TASK))
        };
        if self.task.as_ref().is_some_and(no_place) {
            return Some(format!("its task has no place for the text, {TASK}"));
        }
        let within = |path: &String| {
            path.split('/').all(|name| !name.is_empty() && name != "." && name != "..")
        };
        let evidence = self.evidence.as_ref().filter(|path| !within(path))?;
        Some(format!("its evidence {evidence:?} is no path below the home"))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    environment: Environment,
    network: Network,
    limits: LimitsTable,
    trash: TrashTable,
    snapshots: SnapshotsTable,
    notify: Notify,
    agents: BTreeMap<String, AgentSettings>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Environment {
    engine: Option<EngineKind>,
    image: Option<ImageSource>,
    dockerfile: Option<PathBuf>,
    runtime: Option<String>,
    require: Vec<Aspect>,
}

/// Amounts as container tools write them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsTable {
    cpus: Option<f64>,
    memory: Option<String>,
    processes: Option<u32>,
    files: Option<u64>,
    disk_reserve: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TrashTable {
    keep_days: Option<u32>,
    max_size: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SnapshotsTable {
    max_file: Option<String>,
    max_new_file: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Network {
    mode: Option<NetworkMode>,
    allow: Vec<HostPort>,
}

/// Where the file lies: in the home that `AGENTDECK_HOME` names, else in the user's configuration
/// directory.
pub fn path(home: &Path) -> PathBuf {
    let named = std::env::var_os(super::home::VARIABLE).is_some_and(|value| !value.is_empty());
    let directories = ProjectDirs::from("", "", "agentdeck");
    match directories.filter(|_| !named) {
        Some(directories) => directories.config_dir().join("config.toml"),
        None => home.join("config.toml"),
    }
}

/// Reads the file; a missing one is an empty one.
pub fn read(home: &Path) -> Result<Settings, Failure> {
    let path = path(home);
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text, &path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Settings::default()),
        Err(error) => Err(Failure::new(
            FailureKind::Unavailable,
            format!("{} could not be read: {error}", path.display()),
        )),
    }
}

fn parse(text: &str, path: &Path) -> Result<Settings, Failure> {
    let file: File = toml::from_str(text).map_err(|error| {
        let message = format!("{}: {}", path.display(), error.to_string().trim());
        Failure::new(FailureKind::Invalid, message).hint("the keys are listed in docs/config.md")
    })?;
    for (name, agent) in &file.agents {
        if let Some(problem) = agent.problem() {
            let message = format!("{}: agent {name}: {problem}", path.display());
            return Err(Failure::new(FailureKind::Invalid, message)
                .hint("the keys are listed in docs/config.md"));
        }
    }
    let named = |failure: Failure| Failure {
        message: format!("{}: {}", path.display(), failure.message),
        ..failure
    };
    let limits = limits(&file.limits).map_err(named)?;
    let disk_reserve = bytes(file.limits.disk_reserve.as_deref()).map_err(named)?;
    let max_size = bytes(file.trash.max_size.as_deref()).map_err(named)?;
    let usual = Trash::default();
    let trash = Trash {
        keep_days: file.trash.keep_days.unwrap_or(usual.keep_days),
        max_size: max_size.unwrap_or(usual.max_size),
    };
    if file.network.mode == Some(NetworkMode::None) && !file.network.allow.is_empty() {
        let message = format!(
            "{}: with the network none nothing is reached, and yet entries are allowed",
            path.display()
        );
        return Err(Failure::new(FailureKind::Invalid, message)
            .hint("use mode = \"allow\" to reach only what is named"));
    }
    Ok(Settings {
        engine: file.environment.engine,
        image: image(&file.environment, path)?,
        runtime: file.environment.runtime,
        require: file.environment.require,
        limits,
        disk_reserve,
        trash,
        snapshots: caps(&file.snapshots).map_err(named)?,
        notify: file.notify,
        network: file.network.mode,
        allow: file.network.allow,
        agents: file.agents,
    })
}

/// The image the file names; a relative path in it is taken from the file's own directory.
fn image(environment: &Environment, file: &Path) -> Result<Option<ImageSource>, Failure> {
    let source = match (&environment.image, &environment.dockerfile) {
        (Some(_), Some(_)) => {
            let message = format!("{}: both image and dockerfile are set", file.display());
            return Err(Failure::new(FailureKind::Invalid, message).hint("leave one of them out"));
        }
        (Some(image), None) => Some(image.clone()),
        (None, Some(dockerfile)) => Some(ImageSource::Dockerfile(dockerfile.clone())),
        (None, None) => None,
    };
    let directory = file.parent().unwrap_or(Path::new("/"));
    Ok(source.map(|source| source.from_directory(directory)))
}

/// An amount that may be nothing at all.
fn bytes(text: Option<&str>) -> Result<Option<u64>, Failure> {
    match text {
        Some("0") => Ok(Some(0)),
        other => other.map(parse_bytes).transpose(),
    }
}

fn caps(table: &SnapshotsTable) -> Result<FileCaps, Failure> {
    let size = |key: &str, text: Option<&str>| {
        let Some(text) = text else { return Ok(None) };
        let bytes = parse_bytes(text).map_err(|failure| Failure {
            message: format!("snapshots.{key}: {}", failure.message),
            ..failure
        })?;
        if bytes > FileCaps::MOST {
            let most = show_bytes(FileCaps::MOST);
            let message = format!("snapshots.{key} is {}, more than {most}", show_bytes(bytes));
            return Err(Failure::new(FailureKind::Invalid, message)
                .hint("a file is read into memory whole; have larger ones ignored"));
        }
        Ok(Some(bytes))
    };
    let usual = FileCaps::default();
    let (any, new) = (
        size("max_file", table.max_file.as_deref())?,
        size("max_new_file", table.max_new_file.as_deref())?,
    );
    if let (Some(any), Some(new)) = (any, new)
        && new > any
    {
        let message = format!(
            "snapshots.max_new_file is {}, more than snapshots.max_file, {}",
            show_bytes(new),
            show_bytes(any)
        );
        return Err(Failure::new(FailureKind::Invalid, message)
            .hint("a new file counts by both: raise max_file too"));
    }
    // What is said of one moves the other only as far as it must.
    let any = any.unwrap_or(usual.any.max(new.unwrap_or(0)));
    Ok(FileCaps { any, new: new.unwrap_or(usual.new.min(any)) })
}

fn limits(table: &LimitsTable) -> Result<Limits, Failure> {
    let zero = |name: &str| {
        Failure::new(FailureKind::Invalid, format!("limits.{name} is 0"))
            .hint("leave the key out for the engine's own limit")
    };
    if table.processes == Some(0) {
        return Err(zero("processes"));
    }
    if table.files == Some(0) {
        return Err(zero("files"));
    }
    Ok(Limits {
        cpu_millis: table.cpus.map(|cpus| parse_processors(&cpus.to_string())).transpose()?,
        memory: table.memory.as_deref().map(parse_bytes).transpose()?,
        processes: table.processes,
        files: table.files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read() {
        let text = r#"
            [environment]
            engine = "docker"
            image = "debian:trixie-slim"
            runtime = "runsc"
            require = ["network", "limits"]
            [limits]
            cpus = 1.5
            memory = "2g"
            processes = 200
            [trash]
            keep_days = 7
            max_size = "1g"
            [snapshots]
            max_file = "512m"
            max_new_file = "100m"
            [network]
            mode = "allow"
            allow = ["host:8080", "Example.org:443"]
            [agents.mine]
            command = ["mine", "--yes"]
            variables = ["MINE_KEY"]
        "#;
        let settings = parse(text, Path::new("config.toml")).expect("read");
        assert_eq!(settings.engine, Some(EngineKind::Docker));
        assert_eq!(settings.runtime.as_deref(), Some("runsc"));
        assert_eq!(settings.require, [Aspect::Network, Aspect::Limits]);
        let limits = Limits {
            cpu_millis: Some(1500),
            memory: Some(2 << 30),
            processes: Some(200),
            files: None,
        };
        assert_eq!(settings.limits, limits);
        assert_eq!(settings.trash, Trash { keep_days: 7, max_size: 1 << 30 });
        assert_eq!(settings.snapshots, FileCaps { new: 100 << 20, any: 512 << 20 });
        assert_eq!(settings.network, Some(NetworkMode::Allow));
        assert_eq!(settings.allow[1].to_string(), "example.org:443");
        assert_eq!(
            settings.agents["mine"].command.as_deref(),
            Some(&["mine".into(), "--yes".into()][..])
        );
    }

    #[test]
    fn sizes_of_files_in_snapshots_have_a_unit_and_fit_together() {
        let read = |lines: &str| {
            let settings = parse(&format!("[snapshots]\n{lines}\n"), Path::new("config.toml"));
            settings.map(|settings| (settings.snapshots.new, settings.snapshots.any))
        };
        assert_eq!(read(""), Ok((256 << 20, 256 << 20)));
        assert_eq!(read("max_new_file = \"512m\""), Ok((512 << 20, 512 << 20)));
        assert_eq!(read("max_file = \"1m\""), Ok((1 << 20, 1 << 20)));
        for (lines, words) in [
            ("max_file = \"0\"", "snapshots.max_file: \"0\" is not an amount of bytes"),
            ("max_new_file = \"10 apples\"", "snapshots.max_new_file: \"10 apples\""),
            ("max_new_file = \"2g\"", "snapshots.max_new_file is 2 GiB, more than 1 GiB"),
            (
                "max_new_file = \"3m\"\nmax_file = \"2m\"",
                "snapshots.max_new_file is 3 MiB, more than snapshots.max_file, 2 MiB",
            ),
            ("max_files = \"2m\"", "max_files"),
        ] {
            let failure = read(lines).expect_err("refused");
            assert!(failure.message.contains(words), "{failure}");
            assert!(failure.message.starts_with("config.toml"), "{failure}");
        }
    }

    #[test]
    fn an_image_is_a_name_or_a_file_beside_the_configuration() {
        let read = |line: &str| {
            let settings = parse(&format!("[environment]\n{line}\n"), Path::new("/c/config.toml"));
            settings.map(|settings| settings.image.map(|image| image.to_string()))
        };
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(read(r#"image = "debian:12""#), some("debian:12"));
        assert_eq!(read(r#"image = "box.tar""#), some("/c/box.tar"));
        assert_eq!(read(r#"dockerfile = "Dockerfile""#), some("dockerfile:/c/Dockerfile"));
        assert!(read("image = \"a\"\ndockerfile = \"b\"").is_err(), "not both");
    }

    #[test]
    fn what_an_agent_cannot_be_is_refused_by_its_name() {
        for (line, words) in [
            ("command = []", "its command is empty"),
            ("task = [\"--prompt\"]", "no place for the text, {task}"),
            ("evidence = \"../.ssh/id\"", "no path below the home"),
            ("evidence = \"/etc/passwd\"", "no path below the home"),
        ] {
            let failure = parse(&format!("[agents.mine]\n{line}\n"), Path::new("config.toml"));
            let failure = failure.expect_err("refused");
            assert!(failure.message.contains(words), "{failure}");
            assert!(failure.message.contains("agent mine"), "{failure}");
        }
        let text = "[agents.mine]\ntask = []\nresume = [\"-c\"]\nevidence = \".mine/*.db\"\n";
        let settings = parse(text, Path::new("config.toml")).expect("read");
        assert_eq!(settings.agents["mine"].evidence.as_deref(), Some(".mine/*.db"));
    }

    #[test]
    fn a_misspelt_key_is_refused_by_name() {
        let failure = parse("[network]\nmodes = \"none\"\n", Path::new("config.toml"));
        let failure = failure.expect_err("refused");
        assert!(failure.message.contains("modes"), "{failure}");
        assert!(failure.message.contains("config.toml"), "{failure}");
        assert!(failure.message.contains("mode"), "what was expected is named: {failure}");
    }
}
