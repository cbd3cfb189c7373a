//! The form for a new environment.

use super::super::app::App;
use super::sample;
use super::{LARGE, MIDDLE, SMALL, Size, TINY, picture, type_keys};

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
    ▌  claude · 1 min    +41 −7 │✻ Welcome back                                    │
        ┌ New environment ──────────────────────────────────────── Esc cancels ┐   │
     ● c│                                                                      │   │
       c│▌ Name      swift-heron                                               │   │
        │                                                                      │   │
     ✓ d│  Agent     ● shell   ○ claude   ○ codex   ○ command                  │   │
       d│                                                                      │   │
        │  Engine    ● native   ○ docker                                       │   │
     ✗ e│                                                                      │   │
       e│  Base      HEAD                                                      │   │
        │                                                                      │   │
     ◌ f│  Network   ● open   ○ allow   ○ none   ○ bridge                      │   │
       c│                                                                      │   │
        │  Allow     HOST:PORT, more after a blank                             │   │
     ■ g│                                                                      │   │
       s│                                                                      │   │
        │ Enter make it  Tab next field  ← → choose                            │   │
        └──────────────────────────────────────────────────────────────────────┘   │
                                │                                                  │
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
    │  └ 41 additions and 7 removals                           ││                                                          │
    │                       ┌ New environment ──────────────────────────────────────── Esc cancels ┐                       │
    │Do you want to run `car│                                                                      │                       │
    │❯ 1. Yes               │▌ Name      swift-heron                                               │                       │
    │  2. No                │                                                                      │                       │
    │                       │  Agent     ● shell   ○ claude   ○ codex   ○ command                  │                       │
    │                       │                                                                      │                       │
    │                       │  Engine    ● native   ○ docker                                       │                       │
    │                       │                                                                      │                       │
    └ +41 −7 · 5 files · 2 c│  Base      HEAD                                                      │───────────────────────┘
    ┌ 3 ✓ dry-fox · aider · │                                                                      │0 s ───────────────────┐
    │$ aider --yes          │  Network   ● open   ○ allow   ○ none   ○ bridge                      │                       │
    │Applied edit to README.│                                                                      │                       │
    │                       │  Allow     HOST:PORT, more after a blank                             │1                      │
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
    │                                                                ││                                                                 ││                                                                 │
    │                                                               ┌ New environment ──────────────────────────────────────── Esc cancels ┐                                                               │
    │                                                               │                                                                      │                                                               │
    │                                                               │▌ Name      swift-heron                                               │                                                               │
    │                                                               │                                                                      │                                                               │
    │                                                               │  Agent     ● shell   ○ claude   ○ codex   ○ command                  │                                                               │
    │                                                               │                                                                      │                                                               │
    │                                                               │  Engine    ● native   ○ docker                                       │                                                               │
    │                                                               │                                                                      │                                                               │
    └ +41 −7 · 5 files · 2 commits · base+3 ────────────────────────│  Base      HEAD                                                      │12 −2 · 1 file ────────────────────────────────────────────────┘
    ┌ 4 ✗ eager-lynx · make · exit 2 · 20 s ────────────────────────│                                                                      │ ■ grey-owl · shell · stopped · 6 min ─────────────────────────┐
    │cc -o shop main.c                                              │  Network   ● open   ○ allow   ○ none   ○ bridge                      │                                                               │
    │main.c:3:1: error: expected ';'                                │                                                                      │stopped · S starts it again                                    │
    │make: *** [Makefile:2: shop] Error 1                           │  Allow     HOST:PORT, more after a blank                             │                                                               │
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
    │                                                                ││                                                                 ││                                                                 │
    └────────────────────────────────────────────────────────────────┘└─────────────────────────────────────────────────────────────────┘└─────────────────────────────────────────────────────────────────┘
     Enter take over  n new  d diff  v history  Space mark  c compare  a apply  m merge  D discard  u undo  s shell  z zoom  ? help  q leave
    ");
}
