//! The form for a new environment.

use super::super::app::App;
use super::sample;
use super::{
    KeyCode, LARGE, MIDDLE, NOW, Request, SMALL, Size, TINY, key, picture, requests, type_keys,
};
use crate::model::environment::Work;

fn opened(size: Size) -> App {
    let mut app = sample::deck(size);
    type_keys(&mut app, "nswift-heron");
    app
}

#[test]
fn the_form_in_a_tiny_terminal() {
    insta::assert_snapshot!(picture(&opened(TINY)), @r"
     agentdeck  shop · 6
     New environment
    ▌ Name      -heron
      Agent     ● shell
     ? help  q leave
    ");
}

#[test]
fn the_form_at_80_by_24() {
    insta::assert_snapshot!(picture(&opened(SMALL)), @r"
     agentdeck  shop · 6 environments                       main ↑2 · 1 uncommitted
    ▌● brave-otter              ┌ 1 ● brave-otter · claude 1/2 · 1 min ────────────┐
    ▌  c┌ New environment ──────────────────────────────────────── Esc cancels ┐   │
        │                                                                      │   │
     ● c│▌ Name      swift-heron                                               │   │
       c│                                                                      │   │
        │  Agent     ● shell   ○ claude   ○ codex   ○ command                  │   │
     ✓ d│                                                                      │   │
       d│  Engine    ● native   ○ docker                                       │   │
        │                                                                      │   │
     ✗ e│  Base      HEAD                                                      │   │
       e│                                                                      │   │
        │  Changes   ● committed only   ○ bring uncommitted along              │   │
     ◌ f│                                                                      │   │
       c│  Network   ● open   ○ allow   ○ none   ○ bridge                      │   │
        │                                                                      │   │
     ■ g│  Allow     HOST:PORT, more after a blank                             │   │
       s│                                                                      │   │
        │                                                                      │   │
        │ Enter make it  Tab next field  ← → choose                            │   │
        └──────────────────────────────────────────────────────────────────────┘   │
                                │                                                  │
                                └ +41 −7 · 5 files · 2 commits · base+3 ───────────┘
     Enter take over  n new  d diff  v history  Space mark  ? help  q leave
    ");
}

#[test]
fn the_form_at_120_by_40() {
    insta::assert_snapshot!(picture(&opened(MIDDLE)), @r"
     agentdeck  shop · 6 environments                                                               main ↑2 · 1 uncommitted
    ┌ 1 ● brave-otter · claude 1/2 · 1 min ────────────────────┐┌ 2 ● calm-heron · codex · 2 min ──────────────────────────┐
    │✻ Welcome back                                            ││› make the tests for 日本語 names pass                    │
    │                                                          ││                                                          │
    │> Add a rate limiter to the checkout API                  ││• Running cargo test names                                │
    │                                                          ││  running 12 tests                                        │
    │● Read(src/api/checkout.rs)                               ││  test names::empty ... ok                                │
    │  └ 214 lines                                             ││  test names::wide ... ok                                 │
    │                                                          ││                                                          │
    │● Update(src/api/limit.rs)                                ││                                                          │
    │  └ 41 additions and 7 ┌ New environment ──────────────────────────────────────── Esc cancels ┐                       │
    │                       │                                                                      │                       │
    │Do you want to run `car│▌ Name      swift-heron                                               │                       │
    │❯ 1. Yes               │                                                                      │                       │
    │  2. No                │  Agent     ● shell   ○ claude   ○ codex   ○ command                  │                       │
    │                       │                                                                      │                       │
    │                       │  Engine    ● native   ○ docker                                       │                       │
    │                       │                                                                      │                       │
    │                       │  Base      HEAD                                                      │                       │
    └ +41 −7 · 5 files · 2 c│                                                                      │───────────────────────┘
    ┌ 3 ✓ dry-fox · aider · │  Changes   ● committed only   ○ bring uncommitted along              │0 s ───────────────────┐
    │$ aider --yes          │                                                                      │                       │
    │Applied edit to README.│  Network   ● open   ○ allow   ○ none   ○ bridge                      │                       │
    │                       │                                                                      │1                      │
    │                       │  Allow     HOST:PORT, more after a blank                             │                       │
    │                       │                                                                      │                       │
    │                       │                                                                      │                       │
    │                       │ Enter make it  Tab next field  ← → choose                            │                       │
    │                       └──────────────────────────────────────────────────────────────────────┘                       │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    └ +12 −2 · 1 file ─────────────────────────────────────────┘└──────────────────────────────────────────────────────────┘
     Enter take over  n new  d diff  v history  Space mark  c compare  a apply  m merge  D discard  u undo  ? help  q leave
    ");
}

#[test]
fn the_form_at_200_by_60() {
    insta::assert_snapshot!(picture(&opened(LARGE)), @r"
     agentdeck  shop · 6 environments                                                                                                                                               main ↑2 · 1 uncommitted
    ┌ 1 ● brave-otter · claude 1/2 · 1 min ──────────────────────────┐┌ 2 ● calm-heron · codex · 2 min ─────────────────────────────────┐┌ 3 ✓ dry-fox · aider · done · 1 min ─────────────────────────────┐
    │✻ Welcome back                                                  ││› make the tests for 日本語 names pass                           ││$ aider --yes                                                    │
    │                                                                ││                                                                 ││Applied edit to README.md                                        │
    │> Add a rate limiter to the checkout API                        ││• Running cargo test names                                       ││                                                                 │
    │                                                                ││  running 12 tests                                               ││                                                                 │
    │● Read(src/api/checkout.rs)                                     ││  test names::empty ... ok                                       ││                                                                 │
    │  └ 214 lines                                                   ││  test names::wide ... ok                                        ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │● Update(src/api/limit.rs)                                      ││                                                                 ││                                                                 │
    │  └ 41 additions and 7 removals                                 ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │Do you want to run `cargo test`?                                ││                                                                 ││                                                                 │
    │❯ 1. Yes                                                        ││                                                                 ││                                                                 │
    │  2. No                                                         ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                               ┌ New environment ──────────────────────────────────────── Esc cancels ┐                                                               │
    │                                                               │                                                                      │                                                               │
    │                                                               │▌ Name      swift-heron                                               │                                                               │
    │                                                               │                                                                      │                                                               │
    │                                                               │  Agent     ● shell   ○ claude   ○ codex   ○ command                  │                                                               │
    │                                                               │                                                                      │                                                               │
    │                                                               │  Engine    ● native   ○ docker                                       │                                                               │
    │                                                               │                                                                      │                                                               │
    │                                                               │  Base      HEAD                                                      │                                                               │
    └ +41 −7 · 5 files · 2 commits · base+3 ────────────────────────│                                                                      │12 −2 · 1 file ────────────────────────────────────────────────┘
    ┌ 4 ✗ eager-lynx · make · exit 2 · 20 s ────────────────────────│  Changes   ● committed only   ○ bring uncommitted along              │ ■ grey-owl · shell · stopped · 6 min ─────────────────────────┐
    │cc -o shop main.c                                              │                                                                      │                                                               │
    │main.c:3:1: error: expected ';'                                │  Network   ● open   ○ allow   ○ none   ○ bridge                      │stopped · S starts it again                                    │
    │make: *** [Makefile:2: shop] Error 1                           │                                                                      │                                                               │
    │                                                               │  Allow     HOST:PORT, more after a blank                             │                                                               │
    │                                                               │                                                                      │                                                               │
    │                                                               │                                                                      │                                                               │
    │                                                               │ Enter make it  Tab next field  ← → choose                            │                                                               │
    │                                                               └──────────────────────────────────────────────────────────────────────┘                                                               │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    └────────────────────────────────────────────────────────────────┘└─────────────────────────────────────────────────────────────────┘└─────────────────────────────────────────────────────────────────┘
     Enter take over  n new  d diff  v history  Space mark  c compare  a apply  m merge  D discard  u undo  s shell  z zoom  ? help  q leave
    ");
}

#[test]
fn uncommitted_work_comes_along_when_it_is_asked_for() {
    let made = |keys: &[KeyCode]| {
        let mut app = opened(SMALL);
        let mut asked = Vec::new();
        for code in keys {
            asked = requests(app.happen(key(*code), NOW));
        }
        let spec = asked.into_iter().find_map(|request| match request {
            Request::CreateEnvironment { spec } => Some(spec),
            _ => None,
        });
        spec.expect("it is asked for").with_changes
    };
    let to_changes = [KeyCode::Tab; 4];
    assert!(!made(&[KeyCode::Enter]));
    assert!(made(&[&to_changes[..], &[KeyCode::Right, KeyCode::Enter]].concat()));
    // On another base it would not fit; the choice is not there.
    let base = [KeyCode::BackTab, KeyCode::Char('x'), KeyCode::Enter];
    assert!(!made(&[&to_changes[..], &[KeyCode::Right], &base].concat()));
}

#[test]
fn an_agent_that_is_given_a_task_is_asked_for_one_and_no_other_is() {
    let mut app = opened(SMALL);
    let mut send = |code: KeyCode| {
        let asked = requests(app.happen(key(code), NOW));
        asked.into_iter().find_map(|request| match request {
            Request::CreateEnvironment { spec } => Some(spec),
            _ => None,
        })
    };
    // The chosen shell is given none; the agent beside it is.
    for code in [KeyCode::Tab, KeyCode::Right, KeyCode::Tab] {
        assert!(send(code).is_none());
    }
    for letter in "mend it".chars() {
        send(KeyCode::Char(letter));
    }
    let spec = send(KeyCode::Enter).expect("it is asked for");
    assert_eq!((spec.work, spec.task), (Work::Profile("claude".into()), Some("mend it".into())));
}
