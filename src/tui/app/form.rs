//! The form for a new environment: what is typed and chosen, and the spec it makes.

use crate::model::environment::{EnvironmentSpec, Work};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentName;
use crate::model::input::{Input, KeyCode};
use crate::model::policy::{
    EngineKind, ImageSource, IsolationRequest, Limits, NetworkMode, NetworkPolicy,
};
use crate::model::screen::Size;

use super::super::widget::Field;
use super::Settings;

/// The word that stands for a command instead of a profile.
const COMMAND: &str = "command";

/// What becomes of the user's uncommitted work: it is not in the environment, or comes along.
const LEAVE: &str = "committed only";
const BRING: &str = "bring uncommitted along";

/// One of a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) words: Vec<String>,
    pub(crate) chosen: usize,
}

impl Choice {
    fn new<Word: Into<String>>(words: impl IntoIterator<Item = Word>) -> Self {
        Self { words: words.into_iter().map(Into::into).collect(), chosen: 0 }
    }

    pub(crate) fn word(&self) -> &str {
        self.words.get(self.chosen).map_or("", String::as_str)
    }

    fn step(&mut self, forward: bool) {
        let count = self.words.len().max(1);
        self.chosen = (self.chosen + if forward { 1 } else { count - 1 }) % count;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormField {
    Name,
    Agent,
    Task,
    Command,
    Engine,
    Image,
    Base,
    Changes,
    Network,
    Allow,
}

impl FormField {
    const ALL: [Self; 10] = [
        Self::Name,
        Self::Agent,
        Self::Task,
        Self::Command,
        Self::Engine,
        Self::Image,
        Self::Base,
        Self::Changes,
        Self::Network,
        Self::Allow,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Name => "Name",
            Self::Agent => "Agent",
            Self::Task => "Task",
            Self::Command => "Command",
            Self::Engine => "Engine",
            Self::Image => "Image",
            Self::Base => "Base",
            Self::Changes => "Changes",
            Self::Network => "Network",
            Self::Allow => "Allow",
        }
    }

    /// What an empty field means, or how to fill it.
    pub(crate) fn placeholder(self) -> &'static str {
        match self {
            Self::Name => "made up for you",
            Self::Task => "told to the agent at its start, or later by you",
            Self::Command => "program and arguments",
            Self::Image => "name, FILE.tar or dockerfile:PATH",
            Self::Base => "HEAD",
            Self::Allow => "HOST:PORT, more after a blank",
            Self::Agent | Self::Engine | Self::Changes | Self::Network => "",
        }
    }
}

#[derive(Debug)]
pub(crate) struct NewForm {
    pub(crate) focus: FormField,
    pub(crate) name: Field,
    pub(crate) agent: Choice,
    /// The agents that are given a task.
    takers: Vec<String>,
    pub(crate) task: Field,
    pub(crate) command: Field,
    pub(crate) engine: Choice,
    pub(crate) image: Field,
    pub(crate) base: Field,
    pub(crate) changes: Choice,
    pub(crate) network: Choice,
    pub(crate) allow: Field,
    pub(crate) error: Option<Failure>,
}

impl NewForm {
    pub(crate) fn new(settings: &Settings) -> Self {
        let takers = settings.profiles.iter().filter(|profile| !profile.task.is_empty());
        let profiles = settings.profiles.iter().map(|profile| profile.name.as_str());
        Self {
            focus: FormField::Name,
            name: Field::default(),
            agent: Choice::new(profiles.chain([COMMAND])),
            takers: takers.map(|profile| profile.name.clone()).collect(),
            task: Field::default(),
            command: Field::default(),
            engine: Choice::new(
                [EngineKind::Native, EngineKind::Docker].map(|kind| kind.to_string()),
            ),
            image: Field::default(),
            base: Field::default(),
            changes: Choice::new([LEAVE, BRING]),
            network: Choice::new(
                [NetworkMode::Open, NetworkMode::Allow, NetworkMode::None, NetworkMode::Bridge]
                    .map(|mode| mode.to_string()),
            ),
            allow: Field::default(),
            error: None,
        }
    }

    /// The fields that matter for what is chosen so far.
    pub(crate) fn fields(&self) -> Vec<FormField> {
        let asks = |field: &FormField| match field {
            FormField::Task => self.takes_task(),
            FormField::Command => self.agent.word() == COMMAND,
            FormField::Image => self.engine.word() == EngineKind::Docker.to_string(),
            // What is uncommitted stands on what is checked out, and on nothing else.
            FormField::Changes => self.base.text().trim().is_empty(),
            _ => true,
        };
        FormField::ALL.into_iter().filter(asks).collect()
    }

    fn takes_task(&self) -> bool {
        self.takers.iter().any(|name| name == self.agent.word())
    }

    pub(crate) fn field(&self, field: FormField) -> Option<&Field> {
        match field {
            FormField::Name => Some(&self.name),
            FormField::Task => Some(&self.task),
            FormField::Command => Some(&self.command),
            FormField::Image => Some(&self.image),
            FormField::Base => Some(&self.base),
            FormField::Allow => Some(&self.allow),
            FormField::Agent | FormField::Engine | FormField::Changes | FormField::Network => None,
        }
    }

    pub(crate) fn choice(&self, field: FormField) -> Option<&Choice> {
        match field {
            FormField::Agent => Some(&self.agent),
            FormField::Engine => Some(&self.engine),
            FormField::Changes => Some(&self.changes),
            FormField::Network => Some(&self.network),
            _ => None,
        }
    }

    pub(super) fn take(&mut self, input: &Input) {
        self.error = None;
        if let Input::Key(key) = input {
            match key.code {
                KeyCode::Tab | KeyCode::Down => return self.move_focus(true),
                KeyCode::BackTab | KeyCode::Up => return self.move_focus(false),
                _ => {}
            }
        }
        let field = match self.focus {
            FormField::Name => &mut self.name,
            FormField::Task => &mut self.task,
            FormField::Command => &mut self.command,
            FormField::Image => &mut self.image,
            FormField::Base => &mut self.base,
            FormField::Allow => &mut self.allow,
            FormField::Agent => return step(&mut self.agent, input),
            FormField::Engine => return step(&mut self.engine, input),
            FormField::Changes => return step(&mut self.changes, input),
            FormField::Network => return step(&mut self.network, input),
        };
        field.take(input);
    }

    fn move_focus(&mut self, forward: bool) {
        let fields = self.fields();
        let at = fields.iter().position(|field| *field == self.focus).unwrap_or(0);
        let step = if forward { 1 } else { fields.len() - 1 };
        self.focus = fields[(at + step) % fields.len()];
    }

    /// What is asked for, or which field is wrong and why; that field gets the focus.
    pub(super) fn spec(
        &mut self,
        settings: &Settings,
        size: Size,
    ) -> Result<EnvironmentSpec, Failure> {
        let repository = settings.repository.clone().ok_or_else(|| {
            Failure::new(FailureKind::Invalid, "an environment needs a git repository")
                .hint("leave with q and start agentdeck inside one")
        })?;
        let text =
            |field: &Field| Some(field.text().trim().to_owned()).filter(|text| !text.is_empty());
        let name = text(&self.name).map(|name| EnvironmentName::parse(&name)).transpose();
        let name = name.inspect_err(|_| self.focus = FormField::Name)?;
        let work = if self.agent.word() == COMMAND {
            let words = split_words(self.command.text());
            let words = words.inspect_err(|_| self.focus = FormField::Command)?;
            Work::Command(words)
        } else {
            Work::Profile(self.agent.word().to_owned())
        };
        let engine: EngineKind = self.engine.word().parse()?;
        let image = text(&self.image).filter(|_| engine == EngineKind::Docker);
        let image = image.map(|text| ImageSource::from(text).from_directory(&repository));
        let allow = self.allow.text().split_whitespace().map(str::parse).collect::<Result<_, _>>();
        let allow = allow.inspect_err(|_| self.focus = FormField::Allow)?;
        let base = text(&self.base);
        Ok(EnvironmentSpec {
            repository,
            name,
            with_changes: base.is_none() && self.changes.word() == BRING,
            base,
            work,
            engine: Some(engine),
            endpoint: settings.endpoint.clone(),
            image,
            runtime: None,
            isolation: IsolationRequest::Required,
            require: Vec::new(),
            limits: Limits::default(),
            network: NetworkPolicy { mode: self.network.word().parse()?, allow },
            task: text(&self.task).filter(|_| self.takes_task()),
            variables: settings.variables_of(self.agent.word()),
            size,
        })
    }
}

fn step(choice: &mut Choice, input: &Input) {
    let Input::Key(key) = input else { return };
    match key.code {
        KeyCode::Right | KeyCode::Char(' ' | 'l') => choice.step(true),
        KeyCode::Left | KeyCode::Char('h') => choice.step(false),
        KeyCode::Char(first) => {
            let starts = |word: &String| word.starts_with(first);
            choice.chosen = choice.words.iter().position(starts).unwrap_or(choice.chosen);
        }
        _ => {}
    }
}

/// Splits a command into words at blanks outside quotes; a backslash keeps the next character.
fn split_words(text: &str) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                word.get_or_insert_default().extend(characters.next());
            }
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            (_, other) => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    let wrong = match (quote, words.is_empty()) {
        (Some(open), _) => format!("the command has an open {open}"),
        (None, true) => "the command is empty".to_owned(),
        (None, false) => return Ok(words),
    };
    Err(Failure::new(FailureKind::Invalid, wrong).hint("write it as for a shell, as in: vim a.txt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_a_shell_would() {
        let words = |text| split_words(text).map_err(|failure| failure.message);
        let expected = ["sh", "-c", "echo 'a b'", ""].map(str::to_owned).to_vec();
        assert_eq!(words(r#"sh -c "echo 'a b'" ''"#), Ok(expected));
        assert_eq!(words(r"a\ b"), Ok(vec!["a b".to_owned()]));
        assert_eq!(words("'a"), Err("the command has an open '".to_owned()));
        assert!(words("  ").is_err());
    }
}
