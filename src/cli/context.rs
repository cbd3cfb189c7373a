//! What every verb needs: the home, the settings, the repository at hand, and the server.

use std::path::{Path, PathBuf};

use crate::client::{Client, Events};
use crate::config::file::{self, Settings};
use crate::config::home;
use crate::model::environment::{Environment, Variable};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::model::profile::AgentProfile;
use crate::proto::{Reply, Request, Target};

use super::output::Output;

#[derive(Debug)]
pub(super) struct Context {
    pub home: PathBuf,
    pub output: Output,
    pub directory: PathBuf,
}

impl Context {
    pub fn find(output: Output) -> Result<Self, Failure> {
        let directory = std::env::current_dir().map_err(|error| {
            Failure::new(FailureKind::NotFound, format!("the current directory: {error}"))
                .hint("go to a directory that exists")
        })?;
        Ok(Self { home: home::find()?, output, directory })
    }

    pub fn settings(&self) -> Result<Settings, Failure> {
        file::read(&self.home)
    }

    pub async fn connect(&self) -> Result<(Client, Events), Failure> {
        Client::connect_or_start(&self.home).await
    }

    /// Connects for a person at a terminal: an older server is restarted if they like.
    pub async fn connect_asking(&self) -> Result<(Client, Events), Failure> {
        match self.connect().await {
            Err(failure) if failure.kind == FailureKind::OlderServer && self.output.person => {
                let question = format!("{failure}\nrestart it? the agents go on [Y/n] ");
                if !self.output.asked(&question).await {
                    return Err(failure);
                }
                super::server::end(&self.home).await?;
                self.connect().await
            }
            connected => connected,
        }
    }

    /// Connects to ask only: events are not read.
    pub async fn client(&self) -> Result<Client, Failure> {
        Ok(self.connect().await?.0)
    }

    /// This directory, when it looks like one of a repository. The server finds out whether it is.
    pub fn repository(&self) -> Option<PathBuf> {
        let known = |directory: &Path| directory.join(".git").exists();
        self.directory.ancestors().any(known).then(|| self.directory.clone())
    }

    /// Asks about the environment of a name in this repository, else of an id.
    pub async fn ask(
        &self,
        client: &Client,
        name: &str,
        request: impl Fn(Target) -> Request,
    ) -> Result<Reply, Failure> {
        let target = Target::Name { repository: self.repository(), name: name.to_owned() };
        let answer = client.request(request(target)).await;
        match (answer, EnvironmentId::parse(name)) {
            (Err(failure), Some(id)) if failure.kind == FailureKind::NotFound => {
                // A name goes before an id of the same letters.
                match client.request(request(Target::Id(id))).await {
                    Err(second) if second.kind == FailureKind::NotFound => Err(failure),
                    other => other,
                }
            }
            (answer, _) => answer,
        }
    }

    pub async fn environment(&self, client: &Client, name: &str) -> Result<Environment, Failure> {
        match self.ask(client, name, |target| Request::InspectEnvironment { target }).await? {
            Reply::Inspection(inspection) => Ok(inspection.environment),
            other => Err(unexpected(&other)),
        }
    }
}

/// Variables as `-e` gives them: `KEY=VALUE`, or `KEY` with this process's value.
pub(super) fn variables(given: &[String]) -> Result<Vec<Variable>, Failure> {
    given.iter().map(|text| variable(text, |name| std::env::var(name).ok())).collect()
}

fn variable(text: &str, own: impl Fn(&str) -> Option<String>) -> Result<Variable, Failure> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, own(text)),
    };
    let shape = !name.is_empty() && !name.contains('\0');
    if !shape {
        return Err(Failure::new(
            FailureKind::Invalid,
            format!("{text:?} is not KEY or KEY=VALUE"),
        ));
    }
    let value = value.ok_or_else(|| {
        Failure::new(FailureKind::Invalid, format!("{name} is not set in this shell"))
            .hint(format!("export {name}, or give the value: -e {name}=VALUE"))
    })?;
    Ok(Variable { name: name.to_owned(), value })
}

/// The variables a profile wants, as far as they are set here, and those given besides, which win.
pub(super) fn with_profile(profile: &AgentProfile, given: Vec<Variable>) -> Vec<Variable> {
    let wanted = profile.variables.iter().filter_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some(Variable { name: name.clone(), value })
    });
    let known = |name: &str| given.iter().any(|variable| variable.name == name);
    let mut all: Vec<Variable> = wanted.filter(|variable| !known(&variable.name)).collect();
    all.extend(given);
    all
}

/// An answer that does not fit its request.
pub(super) fn unexpected(reply: &Reply) -> Failure {
    let text: String = format!("{reply:?}").chars().take(60).collect();
    Failure::new(FailureKind::Internal, format!("the server gave another answer: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_its_given_value_or_this_shells() {
        let own = |name: &str| (name == "SET").then(|| "mine".to_owned());
        let pair = |text| variable(text, own).map(|found| (found.name, found.value));
        assert_eq!(pair("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(pair("A="), Ok(("A".to_owned(), String::new())));
        assert_eq!(pair("SET"), Ok(("SET".to_owned(), "mine".to_owned())));
        let failure = pair("MISSING").expect_err("not set");
        assert!(failure.message.contains("MISSING is not set"), "{failure}");
        assert!(pair("=x").is_err());
    }
}
