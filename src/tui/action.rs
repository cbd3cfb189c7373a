//! The one table of what a person can do: name, keys, words and where it applies.
//!
//! Keymap, footer, help, palette and `docs/keys.md` are all made from it, so that they cannot
//! disagree. It knows nothing of how an action is carried out.

use crate::model::input::{Key, KeyCode, Modifiers};

/// Something a person can ask for with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Down,
    Up,
    Left,
    Right,
    First,
    Last,
    HalfPageDown,
    HalfPageUp,
    PageDown,
    PageUp,
    /// The environment with this number on the screen, from 1.
    Pane(u8),
    NextSession,
    PreviousSession,
    NextAttention,
    Order,
    Snooze,
    Quiet,
    TakeKeyboard,
    GiveKeyboard,
    Open,
    Zoom,
    Shell,
    CloseShell,
    New,
    Diff,
    Mark,
    Compare,
    History,
    Apply,
    Merge,
    Resolve,
    RunHooks,
    Discard,
    Undo,
    Stop,
    Start,
    Pause,
    Fork,
    Inspect,
    Map,
    Prompt,
    Prompts,
    CancelPrompt,
    Denied,
    AllowDestination,
    RestartServer,
    Restore,
    NameSnapshot,
    SinceBase,
    OtherPanel,
    SnapshotList,
    SideBySide,
    ScrollLeft,
    ScrollRight,
    CopyMode,
    Select,
    SelectLine,
    Link,
    OpenLink,
    Clipboard,
    Copy,
    NextWord,
    PreviousWord,
    LineStart,
    LineEnd,
    Search,
    Filter,
    Next,
    Previous,
    NextFile,
    PreviousFile,
    Fold,
    FoldAll,
    HideBase,
    Whitespace,
    TakeHunk,
    TakeFile,
    SinceTaken,
    Review,
    SinceReviewed,
    Comment,
    Comments,
    Export,
    Palette,
    Help,
    Back,
    Close,
    Leave,
}

/// Where keys have a meaning: a view, or a session whose keyboard is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Deck,
    Copy,
    Diff,
    Compare,
    File,
    History,
    Inspect,
    Denied,
    Map,
    Prompts,
    Keyboard,
}

impl Scope {
    pub(crate) const ALL: [Self; 11] = [
        Self::Deck,
        Self::Copy,
        Self::Diff,
        Self::Compare,
        Self::File,
        Self::History,
        Self::Inspect,
        Self::Denied,
        Self::Map,
        Self::Prompts,
        Self::Keyboard,
    ];

    /// The heading of its keys in help and docs.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Deck => "Deck",
            Self::Copy => "Copy mode",
            Self::Diff => "Diff",
            Self::Compare => "Compare",
            Self::File => "Compared file",
            Self::History => "History",
            Self::Inspect => "Inspect",
            Self::Denied => "Denied requests",
            Self::Map => "Map",
            Self::Prompts => "Prompts",
            Self::Keyboard => "While you hold the keyboard",
        }
    }
}

/// One row of the table.
pub(crate) struct Entry {
    pub(crate) action: Action,
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [Key],
    pub(crate) description: &'static str,
    pub(crate) scopes: &'static [Scope],
    /// The word beside its first key in the footer; without one it is only in help.
    pub(crate) footer: Option<&'static str>,
}

const fn plain(code: KeyCode) -> Key {
    Key { code, modifiers: Modifiers(0) }
}

const fn char(character: char) -> Key {
    plain(KeyCode::Char(character))
}

const fn control(character: char) -> Key {
    Key { code: KeyCode::Char(character), modifiers: Modifiers(Modifiers::CONTROL) }
}

const fn shift(code: KeyCode) -> Key {
    Key { code, modifiers: Modifiers(Modifiers::SHIFT) }
}

const DECK: &[Scope] = &[Scope::Deck];
const DIFF: &[Scope] = &[Scope::Diff];
const DENIED: &[Scope] = &[Scope::Denied];
const COMPARE: &[Scope] = &[Scope::Compare];
const FILE: &[Scope] = &[Scope::File];
const TAKING: &[Scope] = &[Scope::Diff, Scope::Compare, Scope::File];
const COMPARED: &[Scope] = &[Scope::Compare, Scope::File];
const READING: &[Scope] = &[Scope::Diff, Scope::File];
const FILES: &[Scope] = &[Scope::Diff, Scope::File, Scope::History];
const HISTORY: &[Scope] = &[Scope::History];
const DECIDED: &[Scope] = &[Scope::Deck, Scope::History];
const LISTS: &[Scope] = &[Scope::Compare, Scope::History, Scope::Map];
const MARKING: &[Scope] = &[Scope::Deck, Scope::Map];
const PROMPTS: &[Scope] = &[Scope::Prompts];
const COPY: &[Scope] = &[Scope::Copy];
const SIDEWAYS: &[Scope] =
    &[Scope::Deck, Scope::Copy, Scope::Diff, Scope::File, Scope::Compare, Scope::History];
const LOOKING: &[Scope] = &[
    Scope::Copy,
    Scope::Diff,
    Scope::Compare,
    Scope::File,
    Scope::History,
    Scope::Inspect,
    Scope::Denied,
    Scope::Map,
    Scope::Prompts,
];
const VIEWS: &[Scope] = &[
    Scope::Deck,
    Scope::Copy,
    Scope::Diff,
    Scope::Compare,
    Scope::File,
    Scope::History,
    Scope::Inspect,
    Scope::Denied,
    Scope::Map,
    Scope::Prompts,
];
const SCROLLING: &[Scope] = &[
    Scope::Deck,
    Scope::Copy,
    Scope::Diff,
    Scope::Compare,
    Scope::File,
    Scope::History,
    Scope::Inspect,
    Scope::Denied,
    Scope::Map,
    Scope::Prompts,
    Scope::Keyboard,
];

const fn entry(
    action: Action,
    name: &'static str,
    keys: &'static [Key],
    description: &'static str,
    scopes: &'static [Scope],
    footer: Option<&'static str>,
) -> Entry {
    Entry { action, name, keys, description, scopes, footer }
}

/// Every action, in the order help and footer show them.
#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    entry(Action::GiveKeyboard, "give keyboard", &[control('q'), control('\\')], "Give the keyboard back; twice quickly sends the key through", &[Scope::Keyboard], Some("give the keyboard back")),
    entry(Action::TakeKeyboard, "take keyboard", &[plain(KeyCode::Enter)], "Take the keyboard: every key goes to the session", DECK, Some("take over")),
    entry(Action::Open, "open", &[plain(KeyCode::Enter)], "Open the chosen row", LISTS, Some("open")),
    entry(Action::New, "new", &[char('n')], "Make an environment", DECK, Some("new")),
    entry(Action::Diff, "diff", &[char('d')], "Show what changed since the base", DECK, Some("diff")),
    entry(Action::History, "history", &[char('v')], "Show the snapshots, as they are taken", DECK, Some("history")),
    entry(Action::Mark, "mark", &[char(' ')], "Mark or unmark for comparing", MARKING, Some("mark")),
    entry(Action::Compare, "compare", &[char('c')], "Compare the marked environments, two to four", MARKING, Some("compare")),
    entry(Action::Apply, "apply", &[char('a')], "Write the changes into your working tree", DECK, Some("apply")),
    entry(Action::Merge, "merge", &[char('m')], "Bring the work onto your branch: a merge commit, a squash or a rebase", DECK, Some("merge")),
    entry(Action::Resolve, "resolve", &[char('B')], "Merge your branch in the box; a shell there where it conflicts", DECK, None),
    entry(Action::RunHooks, "run hooks", &[char('H')], "Run in the box the hooks that a merge does not run, in a shell", DECK, None),
    entry(Action::Discard, "discard", &[char('D')], "Throw the environment away; asks, and can be undone", DECK, Some("discard")),
    entry(Action::Restore, "restore", &[char('r')], "Take the workspace back to this snapshot; can be undone", HISTORY, Some("restore")),
    entry(Action::OtherPanel, "terminal", &[plain(KeyCode::Tab)], "Switch between the diff and the terminal, where not both fit", HISTORY, Some("terminal")),
    entry(Action::SinceBase, "since base", &[char('b')], "Switch between this snapshot's change and all since the base", HISTORY, Some("since base")),
    entry(Action::SnapshotList, "list", &[char('t')], "Switch between the line and the list of snapshots", HISTORY, Some("list")),
    entry(Action::Undo, "undo", &[char('u')], "Take back the last apply, merge, restore or discard", DECIDED, Some("undo")),
    entry(Action::NameSnapshot, "name", &[char('m')], "Call this snapshot something", HISTORY, Some("name")),
    entry(Action::Shell, "shell", &[char('s')], "Open a shell in the same environment", DECK, Some("shell")),
    entry(Action::CloseShell, "close shell", &[char('X')], "End the shell that is shown; never the agent", DECK, None),
    entry(Action::Zoom, "zoom", &[char('z')], "Show one environment large, or all again", DECK, Some("zoom")),
    entry(Action::NextSession, "next session", &[plain(KeyCode::Tab)], "Next session here, or the next environment", DECK, None),
    entry(Action::PreviousSession, "previous session", &[plain(KeyCode::BackTab)], "Previous session here, or the previous environment", DECK, None),
    entry(Action::NextAttention, "next attention", &[char('!')], "Go to who needs you, longest wait first", DECK, None),
    entry(Action::Order, "order", &[char('o')], "Show who needs you first, those alone, or all", DECK, None),
    entry(Action::Snooze, "snooze", &[char('w')], "Have the environment call for nobody for 15 minutes, or again", DECK, None),
    entry(Action::Quiet, "do not disturb", &[char('Z')], "Announce nothing, or again", DECK, None),
    entry(Action::Inspect, "inspect", &[char('i')], "Show everything known of the environment", DECK, None),
    entry(Action::Map, "map", &[char('M')], "Show how environments stand to your branch and to each other", DECK, None),
    entry(Action::Prompt, "send", &[char('b')], "Send a prompt to the marked environments, this one or all; it is typed when they can take it", DECK, None),
    entry(Action::Prompts, "prompts", &[char('P')], "Show what was sent to agents and what came of it", DECK, None),
    entry(Action::Prompt, "send", &[char('b')], "Send another", PROMPTS, Some("send")),
    entry(Action::CancelPrompt, "take back", &[char('x')], "Take back a prompt that waits", PROMPTS, Some("take back")),
    entry(Action::Denied, "denied requests", &[char('N')], "Show what the gateway blocked, and open it", DECK, None),
    entry(Action::AllowDestination, "allow", &[char('a')], "Let this environment reach the chosen one from now on", DENIED, Some("allow")),
    entry(Action::Start, "start", &[char('S')], "Start a stopped environment again", DECK, None),
    entry(Action::Stop, "stop", &[char('x')], "Stop the environment; its work stays", DECK, None),
    entry(Action::Pause, "pause", &[char('p')], "Have every program stand still, or go on", DECK, None),
    entry(Action::Fork, "fork", &[char('f')], "Make an environment that begins where this one stands, or at this snapshot", DECIDED, None),
    entry(Action::TakeHunk, "take hunk", &[char('a')], "Write the hunk into your working tree; u takes it back", DIFF, Some("take hunk")),
    entry(Action::TakeFile, "take file", &[char('A')], "Write the file's whole change into your working tree", DIFF, Some("take file")),
    entry(Action::TakeHunk, "take hunk", &[char('a')], "Write what the chosen attempt did here into your working tree; u takes it back", FILE, Some("take hunk")),
    entry(Action::TakeFile, "take file", &[char('A')], "Write the chosen attempt's whole change of the file into your working tree", COMPARED, Some("take file")),
    entry(Action::Undo, "undo", &[char('u')], "Take back the last apply, merge, restore or discard", TAKING, None),
    entry(Action::SinceTaken, "since taken", &[char('T')], "Show only what is new since you took something, or all", DIFF, None),
    entry(Action::OtherPanel, "files", &[plain(KeyCode::Tab)], "Go to the list of files, or back to the text", DIFF, Some("files")),
    entry(Action::SideBySide, "side by side", &[char('s')], "Switch between unified and side by side", DIFF, Some("side by side")),
    entry(Action::Review, "reviewed", &[char('r')], "Mark the file as reviewed as it is now, or take that back", DIFF, Some("reviewed")),
    entry(Action::Comment, "comment", &[char('c')], "Comment on the line, for the agent, or change what you said", DIFF, Some("comment")),
    entry(Action::Comments, "comments", &[char('C')], "Show all comments: go to one, change it, send them to the agent", DIFF, None),
    entry(Action::SinceReviewed, "since reviewed", &[char('t')], "Show only what changed since it was reviewed, or all", DIFF, None),
    entry(Action::Whitespace, "whitespace", &[char('w')], "Ignore changes of blanks, or show them", DIFF, None),
    entry(Action::Export, "export", &[char('e')], "Write the whole patch to a new file", DIFF, None),
    entry(Action::Search, "search", &[char('/')], "Search the lines of all files; in the list of files, filter it", DIFF, Some("search")),
    entry(Action::Filter, "filter", &[char('f')], "Show only files whose path holds these words", DIFF, None),
    entry(Action::Search, "search", &[char('/')], "Search the text of the file", FILE, Some("search")),
    entry(Action::Search, "filter", &[char('/')], "Show only files whose path holds these words", COMPARE, Some("filter")),
    entry(Action::Copy, "copy", &[char('y'), plain(KeyCode::Enter)], "Copy what is selected to your clipboard, and go back", COPY, Some("copy")),
    entry(Action::Select, "select", &[char('v'), char(' ')], "Begin to select at the cursor, or select nothing", COPY, Some("select")),
    entry(Action::SelectLine, "select lines", &[char('V')], "Select whole lines, or nothing", COPY, None),
    entry(Action::Search, "search", &[char('/')], "Search screen and scrollback, from below upwards", COPY, Some("search")),
    entry(Action::Next, "next", &[char('n')], "The next match upwards, around the end", COPY, Some("next")),
    entry(Action::Previous, "previous", &[char('N')], "The next match downwards, around the end", COPY, None),
    entry(Action::Link, "link", &[char('U')], "The next link upwards, around the end", COPY, None),
    entry(Action::OpenLink, "open link", &[char('o')], "Show where the link at the cursor leads, to open or copy it", COPY, Some("open link")),
    entry(Action::NextWord, "next word", &[char('w')], "The next word", COPY, None),
    entry(Action::PreviousWord, "previous word", &[char('b')], "The beginning of this word, or of the one before", COPY, None),
    entry(Action::LineStart, "line start", &[char('0'), char('^')], "The beginning of the line", COPY, None),
    entry(Action::LineEnd, "line end", &[char('$')], "The end of the line", COPY, None),
    entry(Action::Fold, "fold", &[plain(KeyCode::Enter), char(' ')], "Fold what is here, or unfold it", READING, Some("fold")),
    entry(Action::FoldAll, "fold all", &[char('z')], "Fold everything, or unfold it", READING, None),
    entry(Action::HideBase, "hide base", &[char('b')], "Hide the base, so that attempts get its room, or show it", FILE, Some("base")),
    entry(Action::NextFile, "next file", &[char(']')], "The next file", FILES, Some("next file")),
    entry(Action::PreviousFile, "previous file", &[char('[')], "The previous file", FILES, None),
    entry(Action::Next, "next", &[char('n')], "Next match while searching, else the next difference", FILES, Some("next")),
    entry(Action::Previous, "previous", &[char('N')], "Previous match while searching, else the previous difference", FILES, Some("previous")),
    entry(Action::Down, "down", &[char('j'), plain(KeyCode::Down)], "Down", VIEWS, None),
    entry(Action::Up, "up", &[char('k'), plain(KeyCode::Up)], "Up", VIEWS, None),
    entry(Action::Left, "left", &[char('h'), plain(KeyCode::Left)], "Left, or the previous file, attempt or snapshot", SIDEWAYS, None),
    entry(Action::Right, "right", &[char('l'), plain(KeyCode::Right)], "Right, or the next file, attempt or snapshot", SIDEWAYS, None),
    entry(Action::ScrollLeft, "scroll left", &[char('H')], "The beginning of long lines", FILES, None),
    entry(Action::ScrollRight, "scroll right", &[char('L')], "What is right of the edge of long lines", FILES, None),
    entry(Action::First, "first", &[char('g'), plain(KeyCode::Home)], "First", VIEWS, None),
    entry(Action::Last, "last", &[char('G'), plain(KeyCode::End)], "Last; in scrollback, back to the live screen", VIEWS, None),
    entry(Action::Pane(0), "pane", &[char('1'), char('2'), char('3'), char('4'), char('5'), char('6'), char('7'), char('8'), char('9')], "The environment with that number", DECK, None),
    entry(Action::HalfPageDown, "half page down", &[control('d')], "Half a page down", VIEWS, None),
    entry(Action::HalfPageUp, "half page up", &[control('u')], "Half a page up", VIEWS, None),
    entry(Action::PageDown, "page down", &[plain(KeyCode::PageDown)], "A page down; in the deck, of scrollback", VIEWS, None),
    entry(Action::PageUp, "page up", &[plain(KeyCode::PageUp)], "A page up; in the deck, of scrollback", VIEWS, None),
    entry(Action::PageDown, "scroll down", &[shift(KeyCode::PageDown)], "A page down in the scrollback", SCROLLING, None),
    entry(Action::PageUp, "scroll up", &[shift(KeyCode::PageUp)], "A page up in the scrollback", SCROLLING, None),
    entry(Action::Search, "search", &[char('/')], "Search the session's screen and scrollback, from below upwards", DECK, None),
    entry(Action::CopyMode, "copy mode", &[char('[')], "Stop the session's screen, to go through it and copy", DECK, None),
    entry(Action::Link, "links", &[char('U')], "Stop the session's screen at the last link on it; o shows where it leads, and so does a click with Ctrl", DECK, None),
    entry(Action::Clipboard, "clipboard", &[char('Y')], "Show what the session's program wants in your clipboard, to copy it", DECK, None),
    entry(Action::Back, "back", &[plain(KeyCode::Escape)], "Back one level; dismiss a message", VIEWS, None),
    entry(Action::Palette, "palette", &[char(':')], "Choose an action by name", VIEWS, None),
    entry(Action::Help, "help", &[char('?')], "Help for this view; type to filter", VIEWS, Some("help")),
    entry(Action::Leave, "leave", &[char('q')], "Leave agentdeck; the agents go on", DECK, Some("leave")),
    entry(Action::Close, "close", &[char('q')], "Close this view", LOOKING, Some("close")),
    entry(Action::RestartServer, "restart server", &[char('R')], "Start a server that was stopped, or replace an older one", VIEWS, None),
];

/// The rows that apply in a scope, in the table's order.
pub(crate) fn entries(scope: Scope) -> impl Iterator<Item = &'static Entry> {
    TABLE.iter().filter(move |entry| entry.scopes.contains(&scope))
}
