//! Output as real agents and other programs wrote it.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

use super::seen;
use crate::model::screen::{Screen, Size};
use crate::term::Emulator;

/// Recordings of agents, and of programs that do what else is done with a terminal.
pub(super) const AGENTS: [&str; 2] = ["claude.cast", "codex.cast"];
pub(super) const PROGRAMS: [&str; 6] =
    ["vim.cast", "less.cast", "htop.cast", "fzf.cast", "tmux.cast", "progress.cast"];

/// What happens in a recording, in order.
pub(super) enum Event {
    Output(Vec<u8>),
    Resize(Size),
    Mark(String),
}

pub(super) struct Recording {
    pub(super) size: Size,
    pub(super) events: Vec<Event>,
}

pub(super) fn recording(name: &str) -> Recording {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let header: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    let side = |name: &str| header[name].as_u64().unwrap() as u16;
    let events = lines.filter_map(|line| {
        let (_, kind, data): (f64, String, String) = serde_json::from_str(line).unwrap();
        Some(match kind.as_str() {
            "o" => Event::Output(data.into_bytes()),
            "m" => Event::Mark(data),
            "r" => {
                let (columns, rows) = data.split_once('x').unwrap();
                let size = Size { columns: columns.parse().unwrap(), rows: rows.parse().unwrap() };
                Event::Resize(size)
            }
            _ => return None,
        })
    });
    Recording {
        size: Size { columns: side("width"), rows: side("height") },
        events: events.collect(),
    }
}

/// Plays a recording up to a mark, or whole.
fn play(recording: &Recording, until: &str) -> Emulator {
    let mut emulator = Emulator::new(recording.size);
    for event in &recording.events {
        match event {
            Event::Output(bytes) => emulator.feed(bytes),
            Event::Resize(size) => emulator.resize(*size),
            Event::Mark(mark) if mark == until => break,
            Event::Mark(_) => {}
        }
    }
    emulator
}

fn picture(emulator: &mut Emulator) -> String {
    let (screen, _) = seen(emulator);
    let rows: Vec<String> = screen.rows.iter().map(crate::model::screen::Row::text).collect();
    format!("{}\n{}", screen.title, rows.join("\n"))
}

#[test]
fn claude_code_at_its_question() {
    insta::assert_snapshot!(picture(&mut play(&recording("claude.cast"), "approval asked")), @r#"
    Claude Code

     ▐▛███▛█   Claude Code v2.1.330
    ▝▜██████▀  Opus 5.5 · API Usage Billing
     ▝▝   ▝▝   ~/proj


    ❯ make the hello file

    ● I will look at the project first.

      Listed 1 directory

    ● Now I create the file.

    ● Write(hello.txt)

    ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
     Create file
     hello.txt
    ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌
      1 hello from the fake model
    ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌
     Do you want to create hello.txt?
     ❯ 1. Yes
       2. Yes, and switch to accept edits (auto-approve file edits and common file commands) for this session
          (shift+tab)
       3. No

     Esc to cancel · Tab to amend
    "#);
}

#[test]
fn codex_after_a_turn() {
    insta::assert_snapshot!(picture(&mut play(&recording("codex.cast"), "turn done")), @r#"
    proj

      >_ OpenAI Codex (v0.169.0)
         ~/proj


    › FAKE:[{"say":"I need to install something.","shell":"echo hello > hello.txt","args":
      {"sandbox_permissions":"require_escalated","justification":"May I write the file outside the sandbox?"}},
      {"say":"Done: wrote the file."}]


    • I need to install something.

    ✔ You approved codex to run echo hello > hello.txt this time

    • Ran echo hello > hello.txt
      └ (no output)

    • Done: wrote the file.

      Worked for 20s • 12:24








    › Ask Codex to do anything

      fake-model default · ~/proj
      ← for agents · ? for shortcuts                                                     ⚠ 1 warning · f2 to view
    "#);
}

#[test]
fn programs_leave_the_screen_as_they_found_it() {
    for name in AGENTS.into_iter().chain(PROGRAMS) {
        let mut emulator = play(&recording(name), "");
        let (screen, _) = seen(&mut emulator);
        assert!(!screen.modes.alternate_screen && !screen.modes.mouse, "{name}");
        assert!(screen.cursor.visible, "{name}");
    }
}

#[test]
fn a_checkpoint_anywhere_in_a_recording_changes_nothing() {
    for name in AGENTS.into_iter().chain(PROGRAMS) {
        let recording = recording(name);
        let mut original = Emulator::new(recording.size);
        let mut rebuilt = Emulator::new(recording.size);
        for (index, event) in recording.events.iter().enumerate() {
            match event {
                Event::Output(bytes) => {
                    original.feed(bytes);
                    rebuilt.feed(bytes);
                }
                Event::Resize(size) => {
                    original.resize(*size);
                    rebuilt.resize(*size);
                }
                Event::Mark(_) => {}
            }
            if index % 50 == 0 {
                let checkpoint = rebuilt.checkpoint().into_bytes();
                rebuilt = Emulator::new(rebuilt.size());
                rebuilt.feed(&checkpoint);
            }
        }
        assert_eq!(seen(&mut original), seen(&mut rebuilt), "{name}");
        assert_eq!(original.reported(), rebuilt.reported(), "{name}");
    }
}

/// Every state that the program reports, without repetitions.
fn states(recording: &Recording) -> Vec<String> {
    let mut emulator = Emulator::new(recording.size);
    let mut states: Vec<String> = Vec::new();
    for event in &recording.events {
        if let Event::Output(bytes) = event {
            emulator.feed(bytes);
        }
        let state = emulator.reported().map_or("none", |claim| claim.state.as_str()).to_owned();
        if states.last() != Some(&state) {
            states.push(state);
        }
    }
    states
}

#[test]
fn what_agents_report_is_their_turns_questions_and_interruptions() {
    let turn = ["working", "waiting: permission", "working", "done"];
    let stopped = ["working", "idle", "none"];
    let claude = [&["none", "idle"], &turn[..], &turn, &stopped].concat();
    assert_eq!(states(&recording("claude.cast")), claude);
    // It begins a turn of its own, which finds nothing to do, and is idle when somebody types.
    let begun = ["none", "idle", "working", "idle"];
    let codex = [&begun, &turn[..], &["idle"], &turn, &["idle"], &stopped].concat();
    assert_eq!(states(&recording("codex.cast")), codex);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.div_ceil(20), ..ProptestConfig::default()
    })]

    #[test]
    fn a_recording_looks_the_same_in_any_split(
        name in prop::sample::select(AGENTS.into_iter().chain(PROGRAMS).collect::<Vec<_>>()),
        cuts in prop::collection::vec(any::<Index>(), 0..8),
    ) {
        let recording = recording(name);
        let mut split = Emulator::new(recording.size);
        let mut client = Screen::blank(recording.size);
        for event in &recording.events {
            match event {
                Event::Output(bytes) => {
                    let mut rest = &bytes[..];
                    for cut in &cuts {
                        let (part, after) = rest.split_at(cut.index(rest.len() + 1));
                        split.feed(part);
                        rest = after;
                    }
                    split.feed(rest);
                }
                Event::Resize(size) => split.resize(*size),
                Event::Mark(_) => {}
            }
            if let Some(delta) = split.delta_since(client.sequence) {
                client.apply(delta);
            }
        }
        (client.sequence, client.asked.count) = (0, 0);
        let mut whole = play(&recording, "");
        prop_assert_eq!(&client, &seen(&mut split).0);
        prop_assert_eq!(seen(&mut whole), seen(&mut split));
    }
}
