//! A deck to look at: six environments in every state, with screens as programs print them.

use std::fmt::Write as _;
use std::path::PathBuf;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::super::app::{App, Happening, Settings, Tag};
use super::super::theme::{Depth, Theme};
use super::NOW;
use crate::config::notify::Notify;
use crate::model::attention::Attention;
use crate::model::comparison::{
    AlignedCell, AlignedFile, AlignedRow, Attempt, Comparison, ComparisonCell, ComparisonRow,
    LineText, Stretch,
};
use crate::model::diff::{
    Diff, DiffContent, DiffLine, FileChange, FileDiff, Hunk, LineKind, Review, Taken,
};
use crate::model::endpoint::EndpointChoice;
use crate::model::environment::{
    Environment, EnvironmentState, Session, SessionKind, SessionState,
};
use crate::model::id::{CommitId, EnvironmentId, EnvironmentName, SessionId, Timestamp};
use crate::model::path::RepoPath;
use crate::model::policy::{EngineKind, Limits, NetworkPolicy};
use crate::model::prediction::{Fit, Prediction, Sibling};
use crate::model::profile::AgentProfile;
use crate::model::repository::RepositoryState;
use crate::model::screen::{Screen, Size};
use crate::model::snapshot::{Author, ChangeCount, Divergence, Snapshot, SnapshotCause};
use crate::proto::{Event, Reply};
use crate::term::Emulator;

pub(super) fn settings() -> Settings {
    Settings {
        repository: Some(PathBuf::from("/home/ann/shop")),
        all: false,
        profiles: vec![
            AgentProfile::bare("shell"),
            AgentProfile { task: vec!["{task}".to_owned()], ..AgentProfile::bare("claude") },
            AgentProfile::bare("codex"),
        ],
        variables: Vec::new(),
        endpoint: EndpointChoice::default(),
        notify: Notify::default(),
        theme: Theme::new(Depth::Indexed),
    }
}

/// All that the deck shows was seen before.
const JUST: Timestamp = Timestamp(NOW.0 - 1);

pub(super) fn id(number: u8) -> EnvironmentId {
    EnvironmentId::from_random([number; 8])
}

pub(super) fn commit(number: u8) -> CommitId {
    CommitId::parse(&format!("{number:02x}").repeat(20)).expect("forty digits")
}

fn ago(seconds: u64) -> Timestamp {
    Timestamp(NOW.0 - seconds * 1000)
}

pub(super) fn environment(number: u8, name: &str, agent: &str) -> Environment {
    Environment {
        id: id(number),
        name: EnvironmentName::parse(name).expect("a good name"),
        repository: PathBuf::from("/home/ann/shop"),
        base: commit(1),
        base_branch: Some("main".to_owned()),
        agent: agent.to_owned(),
        command: vec![agent.to_owned()],
        task: None,
        resumed: false,
        engine: EngineKind::Native,
        image: None,
        runtime: None,
        require: Vec::new(),
        network: NetworkPolicy::default(),
        denied: Vec::new(),
        limits: Limits::default(),
        isolation: None,
        state: EnvironmentState::Running,
        last_known: None,
        state_since: ago(60 * u64::from(number) + 12),
        sessions: vec![session(0, SessionKind::Agent)],
        divergence: Divergence::default(),
        onto: None,
        prediction: None,
        snapshots: 1,
        last_snapshot: None,
        created: ago(7200 - u64::from(number)),
        load: None,
        attention: Attention { noticed: JUST, seen: JUST, snoozed: Timestamp(0) },
        prompts: Vec::new(),
        trouble: None,
        notes: Vec::new(),
    }
}

pub(super) fn session(number: u32, kind: SessionKind) -> Session {
    Session {
        id: SessionId(number),
        kind,
        command: vec!["bash".to_owned()],
        state: SessionState::Running,
        size: Size { columns: 58, rows: 17 },
        started: ago(700),
        last_output: None,
        taken: false,
        draft: false,
        title: String::new(),
        status: None,
    }
}

fn environments() -> Vec<Environment> {
    let mut otter = environment(1, "brave-otter", "claude");
    otter.divergence =
        Divergence { change: ChangeCount { added: 41, removed: 7, files: 5 }, ahead: 2, behind: 3 };
    otter.sessions.push(session(1, SessionKind::Shell));
    let mut heron = environment(2, "calm-heron", "codex");
    heron.divergence.change = ChangeCount { added: 120, removed: 12, files: 9 };
    let mut fox = environment(3, "dry-fox", "aider");
    fox.sessions[0].state = SessionState::Exited { code: 0, at: ago(95) };
    fox.divergence.change = ChangeCount { added: 12, removed: 2, files: 1 };
    let mut lynx = environment(4, "eager-lynx", "make");
    lynx.sessions[0].state = SessionState::Exited { code: 2, at: ago(21) };
    let mut mole = environment(5, "fast-mole", "claude");
    mole.sessions.clear();
    mole.state_since = ago(2);
    let step = "copying files".to_owned();
    mole.state = EnvironmentState::Creating { step, done: 340, total: 1000 };
    let mut owl = environment(6, "grey-owl", "shell");
    owl.state = EnvironmentState::Stopped;
    vec![otter, heron, fox, lynx, mole, owl]
}

const CLAUDE: &str = "\x1b[1m\x1b[38;5;208m✻\x1b[0m \x1b[1mWelcome back\x1b[0m\r\n\r\n> Add a rate limiter to the \
    checkout API\r\n\r\n\x1b[32m●\x1b[0m Read(src/api/checkout.rs)\r\n  └ 214 lines\r\n\r\n\x1b[32m●\x1b[0m Update(src/api/limit.rs)\r\n  └ \
    41 additions and 7 removals\r\n\r\nDo you want to run \x1b[1m`cargo test`\x1b[0m?\r\n\x1b[36m❯ 1. Yes\x1b[0m\r\n  2. No";
const CODEX: &str = "\x1b[2m›\x1b[0m make the tests for 日本語 names pass\r\n\r\n\x1b[1m•\x1b[0m Running \x1b[36mcargo \
    test names\x1b[0m\r\n  running 12 tests\r\n  test names::empty ... \x1b[32mok\x1b[0m\r\n  test names::wide ... \
    \x1b[32mok\x1b[0m\r\n";
const PLAIN: &str = "$ aider --yes\r\nApplied edit to README.md\r\n";
const MAKE: &str = "cc -o shop main.c\r\nmain.c:3:1: \x1b[31merror:\x1b[0m expected ';'\r\nmake: *** \
    [Makefile:2: shop] Error 1\r\n";

/// What a session shows after printing something.
pub(super) fn screen(number: u8, session: u32, bytes: &[u8]) -> Event {
    let mut emulator = Emulator::new(Size { columns: 58, rows: 17 });
    emulator.feed(bytes);
    Event::Screen {
        environment: id(number),
        session: SessionId(session),
        delta: emulator.delta_since(0).expect("everything is new"),
    }
}

/// The deck at work, in a terminal of this size.
pub(super) fn deck(size: Size) -> App {
    let mut app = App::new(settings(), size, NOW);
    app.start();
    let tell = |app: &mut App, event| app.happen(Happening::Event(event), NOW);
    for environment in environments() {
        tell(&mut app, Event::EnvironmentChanged(Box::new(environment)));
    }
    for (number, text) in [(1, CLAUDE), (2, CODEX), (3, PLAIN), (4, MAKE)] {
        tell(&mut app, screen(number, 0, text.as_bytes()));
    }
    let state = RepositoryState {
        root: PathBuf::from("/home/ann/shop"),
        head: commit(1),
        branch: Some("main".to_owned()),
        unpushed: Some(2),
        uncommitted: vec![RepoPath::new("notes.txt")],
    };
    app.happen(Happening::Reply(Tag::Repository, Ok(Reply::RepositoryState(state))), NOW);
    app
}

fn line(kind: LineKind, text: &str) -> DiffLine {
    DiffLine { kind, text: text.as_bytes().to_vec(), no_newline: false }
}

pub(super) fn diff() -> Diff {
    let hunk = Hunk {
        old_start: 10,
        old_lines: 5,
        new_start: 10,
        new_lines: 7,
        lines: vec![
            line(LineKind::Context, "pub fn checkout(request: Request) -> Response {"),
            line(LineKind::Removed, "    let user = request.user();"),
            line(LineKind::Added, "    let Some(user) = request.user() else {"),
            line(LineKind::Added, "        return Response::unauthorized();"),
            line(LineKind::Added, "    };"),
            line(LineKind::Context, "\tlet cart = Cart::of(user);"),
            line(LineKind::Context, "    cart.total()"),
            line(LineKind::Context, "}"),
        ],
        taken: false,
    };
    let text = |path: &str, change, hunks: Vec<Hunk>| FileDiff {
        path: RepoPath::new(path),
        old_path: None,
        change,
        old_mode: Some(0o100_644),
        new_mode: Some(0o100_644),
        old_blob: None,
        new_blob: None,
        added: 3,
        removed: 1,
        content: DiffContent::Text(hunks),
        cautions: Vec::new(),
        literal: None,
        review: Review::Unreviewed,
        taken: Taken::Nothing,
        encoding: None,
    };
    let mut image = text("web/logo.png", FileChange::Modified, Vec::new());
    image.content = DiffContent::Binary { old: 1200, new: 1340 };
    Diff {
        from: commit(1),
        to: commit(9),
        files: vec![
            text("src/api/checkout.rs", FileChange::Modified, vec![hunk]),
            text("src/api/a-rather-long-directory-name/limit.rs", FileChange::Added, Vec::new()),
            image,
        ],
    }
}

/// The same as it comes first: no file is read, each has a content of its own.
pub(super) fn outline() -> Diff {
    let mut diff = diff();
    for (file, number) in diff.files.iter_mut().zip(1..) {
        file.content = DiffContent::Unread;
        file.new_blob = Some(commit(number));
    }
    diff
}

/// Gives the first three what a merge would come to: the first does not fit with the third.
pub(super) fn predict(app: &mut App) {
    let fit = |overlap, conflicts| Fit {
        overlap,
        conflicts,
        paths: (0..conflicts).map(|_| RepoPath::new("src/api/checkout.rs")).collect(),
    };
    let sibling = |number: u8, fit| {
        let name = environments()[usize::from(number) - 1].name.clone();
        Sibling { environment: id(number), name, fit: Some(fit) }
    };
    let siblings = [
        vec![sibling(2, fit(2, 0)), sibling(3, fit(1, 1))],
        vec![sibling(1, fit(2, 0)), sibling(3, fit(0, 0))],
        vec![sibling(1, fit(1, 1)), sibling(2, fit(0, 0))],
    ];
    for (environment, siblings) in app.environments.iter_mut().zip(siblings) {
        let branch = Some(fit(1, 0));
        environment.prediction = Some(Box::new(Prediction { branch, siblings }));
    }
}

pub(super) fn compared(
    change: FileChange,
    (added, removed): (u64, u64),
    group: u32,
) -> ComparisonCell {
    let (old_mode, new_mode) = (None, None);
    let cautions = Vec::new();
    ComparisonCell { change, added, removed, group, old_mode, new_mode, moved: None, cautions }
}

pub(super) fn comparison() -> Comparison {
    let attempt = |number: u8, name: &str| Attempt {
        environment: id(number),
        name: EnvironmentName::parse(name).expect("a good name"),
        head: commit(number),
    };
    let cell = |added, group| Some(compared(FileChange::Modified, (added, 1), group));
    let row = |path: &str, cells| ComparisonRow { path: RepoPath::new(path), cells };
    let new = compared(FileChange::Added, (80, 0), 0);
    Comparison {
        base: commit(1),
        attempts: vec![attempt(1, "brave-otter"), attempt(2, "calm-heron")],
        rows: vec![
            row("Cargo.toml", vec![cell(1, 0), cell(1, 0)]),
            row("src/api/checkout.rs", vec![cell(12, 0), cell(31, 1)]),
            row("src/api/limit.rs", vec![None, Some(new)]),
        ],
        counted: true,
        notes: Vec::new(),
    }
}

pub(super) fn aligned() -> AlignedFile {
    let text = |text: &str| LineText(text.as_bytes().to_vec());
    let cell = |number, line: &str| Some(AlignedCell { number, text: text(line) });
    let row = |cells| AlignedRow { cells };
    let body = ["fn pay() {", "    charge();", "    log();", "    mail();", "    done();", "}", ""];
    AlignedFile {
        path: RepoPath::new("src/api/checkout.rs"),
        columns: ["base", "brave-otter", "calm-heron"].map(str::to_owned).to_vec(),
        heads: vec![commit(1), commit(2)],
        missing: vec![false; 3],
        stretches: vec![
            Stretch::Common { starts: vec![1, 1, 1], lines: vec![text("use web;")] },
            Stretch::Changed {
                groups: vec![0, 1, 2],
                rows: vec![
                    row(vec![None, cell(2, "use limit;"), None]),
                    row(vec![
                        cell(2, "const MAX: u32 = 1;"),
                        cell(3, "const MAX: u32 = 1;"),
                        cell(2, "const MAX: u32 = 64;"),
                    ]),
                ],
            },
            Stretch::Common { starts: vec![3, 4, 3], lines: body.map(text).to_vec() },
            Stretch::Changed {
                groups: vec![0, 1, 1],
                rows: vec![row(vec![
                    cell(10, "// end"),
                    cell(11, "// the end"),
                    cell(10, "// the end"),
                ])],
            },
            Stretch::Changed {
                groups: vec![0, 0, 1],
                rows: vec![row(vec![None, None, cell(11, "fn extra() {}")])],
            },
        ],
        note: None,
    }
}

pub(super) fn history() -> Vec<Snapshot> {
    let snapshot = |number: u8, seconds, cause, added, removed| Snapshot {
        id: commit(number),
        tree: commit(number + 100),
        parent: (number > 10).then(|| commit(number - 1)),
        at: ago(seconds),
        cause,
        change: ChangeCount { added, removed, files: u32::from(added > 0) },
        skipped: Vec::new(),
        number: u32::from(number) - 9,
        by: (number > 10).then_some(Author::Agent),
        output: None,
        name: None,
    };
    let mut history = vec![
        snapshot(10, 4000, SnapshotCause::Base, 0, 0),
        snapshot(11, 900, SnapshotCause::Change, 30, 2),
        snapshot(12, 75, SnapshotCause::Takeover, 4, 11),
        snapshot(13, 4, SnapshotCause::Decision, 1, 1),
    ];
    history[2].name = Some("tests pass".to_owned());
    history[2].by = Some(Author::Both);
    history[3].by = Some(Author::Human);
    history
}

/// What an agent's session showed at some moment.
pub(super) fn moment() -> Screen {
    let size = Size { columns: 58, rows: 17 };
    let mut emulator = Emulator::new(size);
    emulator.feed(CLAUDE.as_bytes());
    let mut screen = Screen::blank(size);
    screen.apply(emulator.delta_since(0).expect("everything is new"));
    screen
}

/// A frame as a terminal would be sent it, one line a row.
pub(super) fn ansi(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        for x in 0..buffer.area.width {
            let cell = &buffer[(x, y)];
            text.push_str("\x1b[0");
            for (color, base) in [(cell.fg, 30), (cell.bg, 40)] {
                let code = match color {
                    Color::Red => 1,
                    Color::Green => 2,
                    Color::Yellow => 3,
                    Color::Cyan => 6,
                    Color::Indexed(index) => {
                        let _ = write!(text, ";{};5;{index}", base + 8);
                        continue;
                    }
                    _ => continue,
                };
                let _ = write!(text, ";{}", base + code);
            }
            for (modifier, code) in [
                (Modifier::BOLD, 1),
                (Modifier::DIM, 2),
                (Modifier::UNDERLINED, 4),
                (Modifier::REVERSED, 7),
            ] {
                if cell.modifier.contains(modifier) {
                    let _ = write!(text, ";{code}");
                }
            }
            text.push('m');
            text.push_str(cell.symbol());
        }
        text.push_str("\x1b[0m\r\n");
    }
    text
}
