//! The full-screen client: live panes, taking over, looking at changes, deciding.
//!
//! `app` holds all state and decides; `run` waits, performs and draws; `view` shows. It knows the
//! server only through requests and events.

mod action;
mod app;
mod attach;
mod input;
mod keymap;
mod layout;
mod panes;
mod run;
mod status;
mod terminal;
mod theme;
mod view;
mod widget;

use std::future::Future;
use std::path::PathBuf;

use futures_util::stream::Stream;

use crate::model::environment::Variable;
use crate::model::failure::Failure;
use crate::model::id::{EnvironmentId, SessionId};
use crate::model::profile::AgentProfile;
use crate::proto::{Event, Reply, Request};

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
            theme: theme::Theme::detect(|name| std::env::var(name).ok()),
        }
    }
}

/// Shows the deck until the user leaves.
pub async fn run<Ask, Answer, Told>(ask: Ask, told: Told, options: Options) -> Result<(), Failure>
where
    Ask: Fn(Request) -> Answer,
    Answer: Future<Output = Result<Reply, Failure>>,
    Told: Stream<Item = Event> + Unpin,
{
    run::run(app::App::new, options.settings(), ask, told).await
}

/// Shows one session until the user gives its keyboard back.
pub async fn attach<Ask, Answer, Told>(
    ask: Ask,
    told: Told,
    environment: EnvironmentId,
    session: SessionId,
) -> Result<(), Failure>
where
    Ask: Fn(Request) -> Answer,
    Answer: Future<Output = Result<Reply, Failure>>,
    Told: Stream<Item = Event> + Unpin,
{
    let pane = panes::PaneKey { environment, session };
    let make = |settings, size, now| app::App::new(settings, size, now).attached_to(pane);
    run::run(make, Options::default().settings(), ask, told).await
}
