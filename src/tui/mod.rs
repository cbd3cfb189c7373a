//! The full-screen client: live panes, taking over, looking at changes, deciding.
//!
//! `app` holds all state and decides; `run` waits, performs and draws; `view` shows. It knows the
//! server only through requests and events.

mod action;
mod app;
mod attach;
mod clipboard;
mod clock;
mod export;
mod input;
mod keymap;
mod layout;
mod notify;
mod opener;
mod paint;
mod panes;
mod reconnect;
mod run;
mod status;
mod terminal;
mod theme;
mod view;
mod widget;
mod words;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::client::{Client, Events};
use crate::config::endpoint;
use crate::config::notify::Notify;
use crate::model::environment::Variable;
use crate::model::failure::Failure;
use crate::model::id::{EnvironmentId, SessionId};
use crate::model::profile::AgentProfile;

pub use keymap::reference as keys_reference;

/// How the deck is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Any path in the user's repository.
    pub repository: Option<PathBuf>,
    /// Shows the environments of every repository.
    pub all: bool,
    /// The agents offered for a new environment.
    pub profiles: Vec<AgentProfile>,
    /// How the user is told that an agent needs them.
    pub notify: Notify,
    /// Environments whose comparison is opened at once.
    pub compared: Vec<EnvironmentId>,
    /// Names of environments that other worktrees of the repository have.
    pub elsewhere: Option<String>,
}

impl Options {
    fn settings(self) -> app::Settings {
        let asked: Vec<String> =
            self.profiles.iter().flat_map(|profile| profile.variables.iter().cloned()).collect();
        let set = |name: String| {
            let value = std::env::var(&name).ok()?;
            Some(Variable { name, value })
        };
        app::Settings {
            repository: self.repository,
            all: self.all,
            variables: asked.into_iter().filter_map(set).collect(),
            profiles: self.profiles,
            endpoint: endpoint::choice(),
            notify: self.notify,
            theme: theme::Theme::detect(|name| std::env::var(name).ok()),
        }
    }
}

/// Shows the deck until the user leaves.
pub async fn run(client: Client, events: Events, mut options: Options) -> Result<(), Failure> {
    let compared = std::mem::take(&mut options.compared);
    let elsewhere = options.elsewhere.take();
    let make = |settings, size, now| {
        let mut app = app::App::new(settings, size, now);
        if !compared.is_empty() {
            app.open_comparison(compared);
        }
        if let Some(names) = elsewhere {
            app.say_elsewhere(&names);
        }
        app
    };
    run::run(make, options.settings(), client, events).await
}

/// Shows one session until the user gives its keyboard back.
pub async fn attach(
    client: Client,
    events: Events,
    environment: EnvironmentId,
    session: SessionId,
) -> Result<(), Failure> {
    let pane = panes::PaneKey { environment, session };
    let make = |settings, size, now| app::App::new(settings, size, now).attached_to(pane);
    run::run(make, Options::default().settings(), client, events).await
}
