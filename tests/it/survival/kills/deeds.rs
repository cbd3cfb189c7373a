//! What goes on when a kill comes.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::Session;
use super::agents::SCRIPT;
use super::piles::Pile;
use crate::common::processes;
use crate::common::talk::PATIENCE;
use crate::survival::kill;

/// How long a command may take whose server or engine was killed under it.
pub const COMMAND: Duration = PATIENCE.saturating_mul(2);

/// Something asked for, with the one it is done to.
#[derive(Clone, Debug)]
pub enum Deed {
    Create {
        name: String,
        docker: bool,
    },
    Fork {
        source: usize,
        name: String,
    },
    /// To the first of two marks; the second is what is there.
    Restore {
        agent: usize,
        from: Pile,
        to: Pile,
    },
    Pause {
        agent: usize,
    },
    Resume {
        agent: usize,
    },
    Discard {
        extra: Extra,
    },
    Return {
        extra: Extra,
    },
    Drop {
        extra: Extra,
    },
    Apply {
        agent: usize,
        pile: Pile,
    },
    Merge {
        agent: usize,
        pile: Pile,
    },
    TakeBack {
        pile: Pile,
    },
}

/// An environment that comes and goes: made, forked, discarded, brought back.
#[derive(Clone, Debug)]
pub struct Extra {
    pub name: String,
    pub id: String,
    pub init: u64,
    pub pile: Pile,
    pub docker: bool,
}

/// Kinds of deeds, for a choice.
pub const KINDS: [&str; 10] = [
    "create",
    "fork",
    "restore",
    "pause",
    "resume",
    "discard",
    "apply",
    "merge",
    "container",
    "fork again",
];

impl Deed {
    fn arguments(&self, session: &Session) -> Vec<String> {
        let of = |agent: &usize| session.agents[*agent].name.as_str();
        let words = match self {
            Self::Create { name, docker } => {
                let image = session.image.as_deref().filter(|_| *docker);
                let options = image.map_or(Vec::new(), |image| {
                    vec!["--engine", "docker", "--network", "none", "--image", image]
                });
                [&["new", name], &options[..], &["--", "sh", "-c", SCRIPT]].concat()
            }
            Self::Fork { source, name } => vec!["fork", of(source), name],
            Self::Restore { agent, to, .. } => vec!["restore", of(agent), to.name()],
            Self::Pause { agent } => vec!["pause", of(agent)],
            Self::Resume { agent } => vec!["resume", of(agent)],
            Self::Discard { extra } => vec!["discard", &extra.name, "--yes"],
            Self::Return { extra } => vec!["undo", &extra.name],
            Self::Drop { extra } => vec!["trash", "empty", &extra.id, "--yes"],
            Self::Apply { agent, .. } => vec!["apply", of(agent)],
            Self::Merge { agent, .. } => vec!["merge", of(agent), "-m", "the pile"],
            Self::TakeBack { .. } => vec!["undo"],
        };
        words.into_iter().map(str::to_owned).collect()
    }

    /// How long it takes at most, more or less: kills come before that.
    pub fn span(&self, session: &Session) -> Duration {
        let slow = match self {
            Self::Create { docker, .. } => *docker,
            Self::Fork { source, .. } => session.is_container(*source),
            Self::Discard { extra } | Self::Drop { extra } => extra.docker,
            _ => false,
        };
        Duration::from_millis(match self {
            Self::Create { .. } | Self::Fork { .. } if slow => 1500,
            Self::Discard { .. } | Self::Drop { .. } if slow => 500,
            Self::Create { .. } | Self::Fork { .. } => 400,
            Self::Pause { .. } | Self::Resume { .. } => 40,
            Self::Return { .. } | Self::Drop { .. } => 80,
            _ => 200,
        })
    }

    /// The agent whose box it stops, copies or fills, by its place.
    pub fn agent(&self) -> Option<usize> {
        match self {
            Self::Fork { source: agent, .. }
            | Self::Restore { agent, .. }
            | Self::Pause { agent }
            | Self::Resume { agent }
            | Self::Apply { agent, .. }
            | Self::Merge { agent, .. } => Some(*agent),
            _ => None,
        }
    }

    /// The environment that comes, goes or comes back.
    pub fn extra(&self) -> Option<&str> {
        match self {
            Self::Create { name, .. } | Self::Fork { name, .. } => Some(name),
            Self::Discard { extra } | Self::Return { extra } | Self::Drop { extra } => {
                Some(&extra.name)
            }
            _ => None,
        }
    }

    /// Whether a Docker Engine has a part in it.
    pub fn needs_engine(&self, session: &Session) -> bool {
        match self {
            Self::Create { docker, .. } => *docker,
            Self::Discard { extra } | Self::Return { extra } | Self::Drop { extra } => extra.docker,
            _ => self.agent().is_some_and(|agent| session.is_container(agent)),
        }
    }
}

/// A command that is under way.
pub struct Busy {
    child: Child,
    words: String,
}

/// How a command ended.
pub struct Ended {
    /// It said that all is done.
    pub told: bool,
    pub said: String,
}

impl Busy {
    pub fn begin(session: &Session, deed: &Deed) -> Self {
        let words = deed.arguments(session);
        let mut command = session.test.command(&[]);
        command.args(&words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self { child: command.spawn().expect("started"), words: words.join(" ") }
    }

    pub fn is_under_way(&mut self) -> bool {
        self.child.try_wait().expect("waited").is_none()
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
    }

    pub fn end(mut self) -> Ended {
        let start = Instant::now();
        while self.is_under_way() {
            assert!(start.elapsed() < COMMAND, "agentdeck {} does not end", self.words);
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = self.child.wait_with_output().expect("ended");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ended { told: output.status.success(), said }
    }
}

impl Session {
    pub fn is_container(&self, agent: usize) -> bool {
        self.agents[agent].name.starts_with('d')
    }

    /// Which deed is next. What was taken is taken back first, and what was discarded is brought
    /// back or dropped.
    pub fn next_deed(&mut self) -> Deed {
        if let Some(pile) = self.taken.clone() {
            return Deed::TakeBack { pile };
        }
        if let Some(extra) = self.discarded.take() {
            let returns = self.dice.below(2) == 0;
            return if returns { Deed::Return { extra } } else { Deed::Drop { extra } };
        }
        if self.kinds.is_empty() {
            self.kinds = KINDS.to_vec();
        }
        let chosen = self.dice.below(self.kinds.len() as u64) as usize;
        let kind = self.kinds.swap_remove(chosen);
        let agent = self.dice.below(self.agents.len() as u64) as usize;
        let full = self.extras.len() >= super::EXTRAS;
        let kind = if full && ["create", "container", "fork", "fork again"].contains(&kind) {
            "discard"
        } else {
            kind
        };
        self.made += 1;
        let name = format!("x{}", self.made);
        match kind {
            "restore" => {
                let to = self.pile(agent, "mark");
                let from = self.pile(agent, "mark");
                Deed::Restore { agent, from, to }
            }
            "fork" | "fork again" => {
                self.pile(agent, "");
                Deed::Fork { source: agent, name }
            }
            "pause" => Deed::Pause { agent },
            "resume" => {
                self.test.agentdeck(&["pause", &self.agents[agent].name]).ok();
                Deed::Resume { agent }
            }
            "apply" => Deed::Apply { agent, pile: self.pile(agent, "") },
            "merge" => Deed::Merge { agent, pile: self.pile(agent, "") },
            "discard" if !self.extras.is_empty() => {
                let extra = self.dice.below(self.extras.len() as u64) as usize;
                Deed::Discard { extra: self.extras.swap_remove(extra) }
            }
            kind => Deed::Create { name, docker: kind == "container" && self.image.is_some() },
        }
    }

    /// Has an agent's workspace hold another pile, marked where that is asked for.
    fn pile(&mut self, agent: usize, mark: &str) -> Pile {
        self.piles += 1;
        let pile = Pile::new(self.piles);
        let name = self.agents[agent].name.clone();
        self.test.script(&name, &pile.script());
        if mark == "mark" {
            self.test.agentdeck(&["mark", &name, pile.name()]).ok();
        }
        self.found[agent] = pile.clone();
        pile
    }

    /// The first process of the environment that a deed makes or unmakes, while it has one.
    pub fn kill_box_of(&self, deed: &Deed) -> bool {
        let known = |id: &str| {
            let agents = self.agents.iter().map(|agent| agent.id.as_str());
            agents.chain(self.extras.iter().map(|extra| extra.id.as_str())).any(|other| other == id)
        };
        let place = self.test.home.join("environments");
        let ids = std::fs::read_dir(&place).expect("listed").flatten();
        let ids = ids.map(|entry| entry.file_name().display().to_string());
        let id = match deed {
            Deed::Discard { extra } | Deed::Return { extra } | Deed::Drop { extra } => {
                Some(extra.id.clone())
            }
            Deed::Create { .. } | Deed::Fork { .. } => ids.into_iter().find(|id| !known(id)),
            _ => None,
        };
        let first = id.and_then(|id| first_process(&place.join(id)));
        first.map(kill).is_some()
    }
}

/// The first process of the box whose files lie in a directory.
fn first_process(directory: &std::path::Path) -> Option<u32> {
    processes::all().into_iter().find(|pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        let is_first =
            numbers.is_some_and(|numbers| numbers.split_whitespace().last() == Some("1"));
        is_first && processes::belongs_to(*pid, directory)
    })
}
