//! All state of this client, and what each happening does to it.
//!
//! Nothing here waits or writes: a happening goes in, effects come out, and the loop performs
//! them. What is shared with other clients changes only when the server says so.

mod asked;
mod comments;
mod compare;
mod copy;
mod deck;
mod denied;
mod diff;
mod diff_rows;
mod events;
mod file;
mod form;
mod gone;
mod history;
mod keys;
mod lacking;
mod map;
mod merge_form;
mod message;
mod mouse;
mod notices;
mod offer;
mod order;
mod overlay;
mod paste;
mod place;
mod prompting;
mod replies;
mod search;
mod select;
mod sessions;
mod tag;
mod taking;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use crate::config::notify::Notify;
use crate::model::diff::Diff;
use crate::model::endpoint::EndpointChoice;
use crate::model::environment::{Environment, Variable};
use crate::model::failure::Failure;
use crate::model::id::{EnvironmentId, SessionId, Timestamp};
use crate::model::input::{Input, Key};
use crate::model::profile::AgentProfile;
use crate::model::prompt::PromptId;
use crate::model::repository::RepositoryState;
use crate::model::screen::Size;
use crate::proto::{Event, Reply, Request};

use super::action::{Action, Scope};
use super::layout;
use super::paint::Painter;
use super::panes::{PaneKey, Panes};
use super::theme::Theme;

pub(crate) use comments::{CommentForm, CommentList, MessageForm};
pub(crate) use compare::CompareView;
pub(crate) use copy::{Copied, CopyMode, Hand, Matches};
pub(crate) use denied::DeniedView;
pub(crate) use diff::{DiffView, SIDE_BY_SIDE};
pub(crate) use diff_rows::{DiffRow, PairSide};
pub(crate) use file::{FileRow, FileView, agreement_words, all_agree};
pub(crate) use form::{Choice, FormField, NewForm};
pub(crate) use gone::Gone;
pub(crate) use history::{HistoryView, Moment};
pub(crate) use lacking::Lacking;
pub(crate) use map::{MapView, map_page};
pub(crate) use merge_form::{Hooking, MergeForm};
pub(crate) use message::Message;
pub(crate) use notices::{Notice, Notices};
pub(crate) use offer::{Offer, Offered};
pub(crate) use order::Order;
pub(crate) use overlay::{Confirm, Filter, NameForm, Overlay};
pub(crate) use paste::PasteQuestion;
pub(crate) use place::Place;
pub(crate) use prompting::{PromptForm, PromptsView, Row as PromptRow};
pub(crate) use search::Search;
pub(crate) use tag::Tag;

use sessions::WantedSize;

/// How long a word of success stays, in milliseconds.
const NOTICE_STAYS: u64 = 8_000;
/// Between two goes at the colours of a view, in milliseconds: keys come first.
const PAINT_PAUSE: u64 = 4;

/// What the loop must do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "effects are few and performed at once")]
pub(crate) enum Effect {
    Send(Request, Tag),
    /// Write a patch of an environment, by its name, to a new file.
    Export {
        environment: EnvironmentId,
        name: String,
        diff: Box<Diff>,
    },
    /// Put text into the human's clipboard, which asked for it.
    Copy(String),
    /// Open a page in the human's browser, who said so.
    Open(String),
    /// Tell the human outside of the deck.
    Notify(Notice),
    /// Start a server that was stopped, or replace an older one.
    RestartServer,
    Leave,
}

/// What can happen to the client.
#[derive(Debug)]
pub(crate) enum Happening {
    Input(Input),
    Resized(Size),
    Event(Event),
    Reply(Tag, Result<Reply, Failure>),
    /// The connection ended.
    ServerLost,
    /// No server could be had; the loop goes on trying.
    ServerTrouble(Failure),
    /// There is a connection again.
    ServerBack,
    /// A deadline of the app's own came.
    Tick,
}

/// Over the deck, the last one on top.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there are a few at most, and they do not move")]
pub(crate) enum View {
    Diff(DiffView),
    Compare(CompareView),
    File(FileView),
    History(HistoryView),
    Inspect(InspectView),
    Denied(DeniedView),
    Map(MapView),
    Prompts(PromptsView),
}

#[derive(Debug)]
pub(crate) struct InspectView {
    pub(crate) environment: EnvironmentId,
    pub(crate) ticket: u64,
    pub(crate) inspection: Option<Box<crate::proto::Inspection>>,
    pub(crate) top: usize,
}

/// What does not change while the client runs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The repository the client was started in.
    pub(crate) repository: Option<PathBuf>,
    /// Whether environments of every repository are shown.
    pub(crate) all: bool,
    pub(crate) profiles: Vec<AgentProfile>,
    /// Variables that profiles ask for, as they are set for this client.
    pub(crate) variables: Vec<Variable>,
    /// The engine that this client's environment chooses.
    pub(crate) endpoint: EndpointChoice,
    pub(crate) theme: Theme,
    pub(crate) notify: Notify,
}

impl Settings {
    /// The variables an agent of this name is given; a plain command is given none.
    pub(crate) fn variables_of(&self, agent: &str) -> Vec<Variable> {
        let profile = self.profiles.iter().find(|profile| profile.name == agent);
        let names = profile.map(|profile| profile.variables.as_slice()).unwrap_or_default();
        let asked = |variable: &&Variable| names.contains(&variable.name);
        self.variables.iter().filter(asked).cloned().collect()
    }
}

pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) size: Size,
    pub(crate) now: Timestamp,
    pub(crate) repository: Option<RepositoryState>,
    /// In the order they were made.
    pub(crate) environments: Vec<Environment>,
    pub(crate) selected: Option<EnvironmentId>,
    /// What the user did; after the first the selection no longer follows what is shown first.
    presses: u64,
    /// The session shown of an environment, where it is not the agent's.
    shown: HashMap<EnvironmentId, SessionId>,
    /// In the order they were marked, which is the order of columns in a comparison.
    pub(crate) marked: Vec<EnvironmentId>,
    /// Rang, ended or failed since the user last looked.
    pub(crate) attention: BTreeSet<EnvironmentId>,
    pub(crate) notices: Notices,
    pub(crate) order: Order,
    pub(crate) panes: Panes,
    /// How much of what programs ask the user has heard.
    heard: HashMap<PaneKey, u32>,
    /// A session that stands still for its reader.
    pub(crate) copy: Option<CopyMode>,
    /// What was copied a moment ago.
    pub(crate) copied: Option<Copied>,
    /// The mouse's button on a session.
    press: Option<select::Press>,
    pub(crate) zoomed: bool,
    /// The session every key goes to.
    pub(crate) keyboard: Option<PaneKey>,
    /// When the keyboard was given back last, with which key, from which session.
    released: Option<(Timestamp, Key, PaneKey)>,
    /// Asked for here; its notes are said when it is made.
    announced: Option<EnvironmentId>,
    /// A shell that was opened here and is not listed yet; its keyboard is taken when it is.
    opened: Option<PaneKey>,
    /// Until then keys are dropped: they were meant for what was there before.
    deaf_until: Timestamp,
    /// Set while there is no server.
    pub(crate) gone: Option<gone::Gone>,
    /// The server said that it ends.
    stopping: bool,
    /// Set after the server came back under a held keyboard: keys that were refused.
    interrupted: Option<u32>,
    /// Keys that were sent and never answered.
    doubtful: u32,
    /// Set when only one session is shown.
    pub(super) attached: Option<super::attach::Attached>,
    pub(crate) views: Vec<View>,
    pub(crate) overlay: Option<Overlay>,
    pub(crate) message: Option<Message>,
    watched: BTreeSet<PaneKey>,
    wanted_size: Option<WantedSize>,
    /// What the focused session was last told, so that two clients do not fight over its size.
    sent_size: Option<(PaneKey, Size)>,
    /// The focused session got that size. When it has another, somebody else chose it.
    had_size: bool,
    /// The diff that is being read, and of which it will be asked what it says nothing about.
    unlisted: Option<(u64, EnvironmentId)>,
    tickets: u64,
    /// What was sent from here and is not settled, with what was said of it last.
    followed: BTreeMap<(EnvironmentId, PromptId), String>,
    /// A comment that the server does not have yet.
    unkept: Option<CommentForm>,
    hooking: Hooking,
    outbox: Vec<Effect>,
    painter: Painter,
    /// Colours are missing on the screen; they come with the next tick.
    unpainted: bool,
    /// Something visible changed since the last frame.
    pub(crate) dirty: bool,
}

impl App {
    pub(crate) fn new(settings: Settings, size: Size, now: Timestamp) -> Self {
        Self {
            settings,
            size,
            now,
            repository: None,
            environments: Vec::new(),
            selected: None,
            presses: 0,
            shown: HashMap::new(),
            marked: Vec::new(),
            attention: BTreeSet::new(),
            notices: Notices::default(),
            order: Order::default(),
            panes: Panes::default(),
            heard: HashMap::new(),
            copy: None,
            copied: None,
            press: None,
            zoomed: false,
            keyboard: None,
            released: None,
            announced: None,
            opened: None,
            deaf_until: Timestamp::default(),
            gone: None,
            stopping: false,
            interrupted: None,
            doubtful: 0,
            attached: None,
            views: Vec::new(),
            overlay: None,
            message: None,
            watched: BTreeSet::new(),
            wanted_size: None,
            sent_size: None,
            had_size: false,
            unlisted: None,
            tickets: 0,
            followed: BTreeMap::new(),
            unkept: None,
            hooking: Hooking::default(),
            outbox: Vec::new(),
            painter: Painter::default(),
            unpainted: false,
            dirty: true,
        }
    }

    /// The first requests.
    pub(crate) fn start(&mut self) -> Vec<Effect> {
        let repository = self.settings.repository.clone().filter(|_| !self.settings.all);
        self.send(Request::FollowDeck { repository }, Tag::Quiet);
        self.read_repository();
        std::mem::take(&mut self.outbox)
    }

    /// Takes what happened at `now` and returns what is to be done.
    pub(crate) fn happen(&mut self, happening: Happening, now: Timestamp) -> Vec<Effect> {
        self.now = now;
        match happening {
            Happening::Input(input) => {
                self.presses += u64::from(keys::is_press(&input));
                self.take_input(input);
            }
            Happening::Resized(size) => {
                self.size = size;
                self.dirty = true;
            }
            Happening::Event(event) => self.take_event(event),
            Happening::Reply(tag, reply) => self.take_reply(tag, reply),
            Happening::ServerLost => self.server_lost(),
            Happening::ServerTrouble(failure) => self.server_trouble(&failure),
            Happening::ServerBack => self.server_back(),
            Happening::Tick => self.tick(),
        }
        self.keep_order();
        self.settle();
        self.settle_diff();
        self.settle_notices();
        self.paint();
        self.refuse_requests();
        std::mem::take(&mut self.outbox)
    }

    /// When `Tick` is due next, if ever: ages on screen, a message's end, a size to send.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let message = self.message.as_ref().filter(|message| !message.failed);
        let notice = message.map(|message| Timestamp(message.at.0 + NOTICE_STAYS));
        let size = self.wanted_size.as_ref().map(|wanted| wanted.due);
        let ages = self.ages_change();
        let colours = self.unpainted.then_some(Timestamp(self.now.0 + PAINT_PAUSE));
        let copied = self.copied_until();
        let calls = self.notices.deadline().into_iter().chain(self.wakes());
        let others = [notice, size, ages, colours, copied, self.gone_changes()];
        others.into_iter().flatten().chain(calls).min()
    }

    fn tick(&mut self) {
        let over = |message: &Message| !message.failed && self.now.0 >= message.at.0 + NOTICE_STAYS;
        if self.message.as_ref().is_some_and(over) {
            self.message = None;
        }
        if self.copied_until().is_some_and(|until| self.now >= until) {
            self.copied = None;
        }
        self.dirty = true;
    }

    /// Brings the reader's place of the view on top into sight, and colours what is seen of it.
    fn paint(&mut self) {
        self.painter.begin();
        let done = match self.views.last_mut() {
            Some(View::Compare(view)) => {
                view.show(self.size);
                true
            }
            Some(View::File(view)) => view.paint(&mut self.painter, self.size),
            Some(View::Diff(view)) => view.paint(&mut self.painter, self.size),
            Some(View::History(view)) => view.paint(&mut self.painter, self.size),
            Some(View::Map(view)) => {
                view.show(&self.environments, self.size);
                true
            }
            _ => true,
        };
        self.unpainted = !done;
    }

    /// When the first age on screen changes. Only the deck, the history and the denied show ages.
    fn ages_change(&self) -> Option<Timestamp> {
        let mut since: Vec<Timestamp> = Vec::new();
        match self.views.last() {
            None => {
                let shown = |environment: &Environment| super::status::read(environment).since;
                since.extend(self.environments.iter().map(shown));
            }
            Some(View::History(view)) => since.extend(view.ages()),
            Some(View::Denied(view)) => since.extend(view.newest(self)),
            Some(View::Prompts(_)) => since.extend(self.newest_receipt()),
            Some(_) => return None,
        }
        let next = |at: Timestamp| super::widget::age(at.age_seconds(self.now)).1;
        // A moment after the step, so that it has surely been passed.
        since.into_iter().map(next).min().map(|seconds| Timestamp(self.now.0 + seconds * 1000 + 20))
    }

    pub(crate) fn scope(&self) -> Scope {
        match self.views.last() {
            _ if self.keyboard.is_some() || self.gone_held() => Scope::Keyboard,
            None if self.copy.as_ref().is_some_and(|copy| copy.hand == Hand::Keys) => Scope::Copy,
            None => Scope::Deck,
            Some(View::Diff(_)) => Scope::Diff,
            Some(View::Compare(_)) => Scope::Compare,
            Some(View::File(_)) => Scope::File,
            Some(View::History(_)) => Scope::History,
            Some(View::Inspect(_)) => Scope::Inspect,
            Some(View::Denied(_)) => Scope::Denied,
            Some(View::Map(_)) => Scope::Map,
            Some(View::Prompts(_)) => Scope::Prompts,
        }
    }

    pub(crate) fn selected_index(&self) -> usize {
        let is_selected =
            |environment: &Environment| Some(&environment.id) == self.selected.as_ref();
        self.environments.iter().position(is_selected).unwrap_or(0)
    }

    pub(crate) fn selected_environment(&self) -> Option<&Environment> {
        self.environments.get(self.selected_index())
    }

    pub(crate) fn environment(&self, id: &EnvironmentId) -> Option<&Environment> {
        self.environments.iter().find(|environment| environment.id == *id)
    }

    /// An environment's name, for words about it.
    pub(crate) fn name(&self, id: &EnvironmentId) -> String {
        self.environment(id).map_or_else(|| id.to_string(), |found| found.name.to_string())
    }

    pub(crate) fn layout(&self) -> layout::Deck {
        layout::deck(self.size, self.shown_count(), self.selected_index(), self.zoomed)
    }

    /// Ends this client; the agents go on.
    pub(super) fn leave(&mut self) {
        self.give_keyboard();
        self.outbox.push(Effect::Leave);
    }

    fn send(&mut self, request: Request, tag: Tag) {
        self.outbox.push(Effect::Send(request, tag));
    }

    /// Numbers a view, so that the reply to its request reaches it and no other.
    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    fn read_repository(&mut self) {
        if let Some(path) = self.settings.repository.clone() {
            self.send(Request::ReadRepository { path }, Tag::Repository);
        }
    }
}

/// Where a list or text of `count` rows stands after a movement, `page` rows being visible.
fn scrolled(at: usize, action: Action, page: usize, count: usize) -> usize {
    let moved = match action {
        Action::Down => at + 1,
        Action::Up => at.saturating_sub(1),
        Action::HalfPageDown => at + page.div_ceil(2),
        Action::HalfPageUp => at.saturating_sub(page.div_ceil(2)),
        Action::PageDown => at + page,
        Action::PageUp => at.saturating_sub(page),
        Action::First => 0,
        Action::Last => count,
        _ => at,
    };
    moved.min(count.saturating_sub(1))
}
