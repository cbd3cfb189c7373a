//! Where a selftest happens: a directory of its own with a home, a server and a repository, and
//! boxes made in it as any user would make them.

use std::cell::RefCell;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::attack::{Attack, ORDER, Order, TOKEN, TOKEN_LENGTH, VERB};
use crate::cli::context::{Context, unexpected};
use crate::cli::output::Output;
use crate::cli::{new, sample, server};
use crate::client::Client;
use crate::config::endpoint;
use crate::engine::{self, BoxRecord, Engine};
use crate::model::environment::{Environment, EnvironmentSpec, Variable, Work};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentName;
use crate::model::policy::{
    EngineKind, ImageSource, IsolationRequest, Limits, NetworkMode, NetworkPolicy,
};
use crate::model::screen::Size;
use crate::proto::{Inspection, Reply, Request, Target};

/// How the names of selftests' directories begin.
const PREFIX: &str = "agentdeck-selftest-";
/// How long one environment may take to run; an image may have to be unpacked first.
const MAKE_DEADLINE: Duration = Duration::from_mins(2);
/// How long the removal of one box may take.
const REMOVE_DEADLINE: Duration = Duration::from_secs(30);

/// What boxes are made of.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub engine: EngineKind,
    pub image: Option<ImageSource>,
    pub runtime: Option<String>,
}

pub(super) struct Stage {
    pub directory: PathBuf,
    pub context: Context,
    pub choice: Choice,
    /// Without it the hidden verb does nothing.
    pub token: String,
    /// What no box may ever tell.
    pub secret: String,
    /// What was tried in boxes since somebody last took it, in words.
    pub tried: RefCell<Vec<String>>,
}

impl Stage {
    pub fn make(output: Output, choice: Choice) -> Result<Self, Failure> {
        let private = std::fs::Permissions::from_mode(0o700);
        let made = tempfile::Builder::new().prefix(PREFIX).permissions(private).tempdir();
        let directory = made.and_then(|made| made.keep().canonicalize()).map_err(|error| {
            let message = format!("no directory could be made for the selftest: {error}");
            Failure::new(FailureKind::Unavailable, message).hint("set TMPDIR to one you can write")
        })?;
        let built = || {
            let repository = sample::write(&directory)?;
            for name in ["home", "outside", "control"] {
                std::fs::DirBuilder::new().mode(0o700).create(directory.join(name))?;
            }
            let context = Context { home: directory.join("home"), output, directory: repository };
            let (token, secret) = (random()?, random()?);
            let directory = directory.clone();
            let tried = RefCell::default();
            Ok::<_, anyhow::Error>(Self { directory, context, choice, token, secret, tried })
        };
        built().map_err(|error| {
            let _ = std::fs::remove_dir_all(&directory);
            error.into()
        })
    }

    /// Files of the host that no box has any business with.
    pub fn outside(&self) -> PathBuf {
        self.directory.join("outside")
    }

    /// Where controls run.
    pub fn control(&self) -> PathBuf {
        self.directory.join("control")
    }

    /// Where the shim's binary stands in a box.
    pub fn program(&self) -> &'static str {
        match self.choice.engine {
            EngineKind::Native => engine::native::SHIM,
            EngineKind::Docker => engine::docker::SHIM,
        }
    }

    pub fn order(&self, attack: Attack, outside: bool) -> Order {
        Order { token: self.token.clone(), outside, attack }
    }

    /// The variables of a program of ours that has a terminal, and so no order on its input.
    pub fn variables(&self, attack: Attack) -> Vec<Variable> {
        let is_victim = matches!(attack, Attack::Live { .. });
        let order = serde_json::to_string(&self.order(attack, false)).unwrap_or_default();
        let variable = |name: &str, value: String| Variable { name: name.to_owned(), value };
        let canary = variable("AGENTDECK_CANARY", self.secret.clone());
        let own = vec![variable(TOKEN, self.token.clone()), variable(ORDER, order)];
        own.into_iter().chain(is_victim.then_some(canary)).collect()
    }

    /// Makes an environment whose agent is `resident`, and waits until it runs.
    pub async fn environment(
        &self,
        name: &str,
        resident: Attack,
        limits: Limits,
    ) -> Result<Environment, Failure> {
        let (client, mut events) = self.context.connect().await?;
        let repository = Some(self.context.directory.clone());
        client.request(Request::FollowDeck { repository }).await?;
        let spec = EnvironmentSpec {
            repository: self.context.directory.clone(),
            name: Some(EnvironmentName::parse(name)?),
            base: None,
            with_changes: false,
            work: Work::Command(vec![self.program().to_owned(), VERB.to_owned()]),
            engine: Some(self.choice.engine),
            endpoint: endpoint::choice(),
            image: self.choice.image.clone(),
            runtime: self.choice.runtime.clone(),
            isolation: IsolationRequest::Required,
            require: Vec::new(),
            network: NetworkPolicy { mode: NetworkMode::Open, allow: Vec::new() },
            limits,
            task: None,
            variables: self.variables(resident),
            size: Size::DEFAULT,
        };
        let environment =
            match client.request(Request::CreateEnvironment { spec: Box::new(spec) }).await? {
                Reply::Environment(environment) => *environment,
                other => return Err(unexpected(&other)),
            };
        let waiting = new::wait(&self.context, &mut events, environment);
        let late = |_| Failure::new(FailureKind::Timeout, format!("{name} does not start"));
        tokio::time::timeout(MAKE_DEADLINE, waiting).await.map_err(late)?
    }

    pub async fn client(&self) -> Result<Client, Failure> {
        Ok(Client::connect(&self.context.home).await?.0)
    }

    pub async fn inspect(&self, environment: &Environment) -> Result<Inspection, Failure> {
        let target = Target::Id(environment.id.clone());
        match self.client().await?.request(Request::InspectEnvironment { target }).await? {
            Reply::Inspection(inspection) => Ok(*inspection),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends the server and every box, and removes the directory.
    pub async fn remove(&self) -> Result<(), Failure> {
        let ended = server::end(&self.context.home).await;
        for record in records(&self.context.home) {
            let removing = async {
                match self.choice.engine {
                    EngineKind::Native => {
                        engine::native::Native::new(&self.context.home).remove(&record).await
                    }
                    EngineKind::Docker => {
                        engine::docker::Docker::connect(&self.context.home).remove(&record).await
                    }
                }
            };
            match tokio::time::timeout(REMOVE_DEADLINE, removing).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => self.context.output.failure(&failure),
                Err(_) => {
                    self.context.output.say(&format!("{} does not end", record.environment));
                }
            }
        }
        engine::remove_tree(&self.directory).map_err(|error| {
            let message = format!("{} could not be removed: {error}", self.directory.display());
            Failure::new(FailureKind::Unavailable, message)
        })?;
        ended.map(|_| ())
    }
}

/// The boxes that records in the home tell of.
fn records(home: &Path) -> Vec<BoxRecord> {
    let places = ["environments", "trash"].map(|name| home.join(name));
    let entries = places.iter().filter_map(|place| std::fs::read_dir(place).ok()).flatten();
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read(entry.ok()?.path().join("record.json")).ok()?;
        let record: Value = serde_json::from_slice(&text).ok()?;
        serde_json::from_value(record.get("record")?.clone()).ok()
    };
    entries.filter_map(read).collect()
}

/// Digits that nobody guesses and nothing else contains.
fn random() -> anyhow::Result<String> {
    use std::io::Read;
    let mut bytes = [0; TOKEN_LENGTH / 2];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(digits.concat())
}
