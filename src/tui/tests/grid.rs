//! The deck: live panes, or a list where the terminal is small.

use super::sample::deck;
use super::{LARGE, MIDDLE, SMALL, TINY, picture};

#[test]
fn the_deck_in_a_tiny_terminal() {
    insta::assert_snapshot!(picture(&deck(TINY)), @r"
     agentdeck  shop · 6
    ▌● brave-otter
     ● calm-heron
     ✓ dry-fox   +12 −2
     ? help  q leave
    ");
}

#[test]
fn the_deck_at_80_by_24() {
    insta::assert_snapshot!(picture(&deck(SMALL)), @r"
     agentdeck  shop · 6 environments                       main ↑2 · 1 uncommitted
    ▌● brave-otter              ┌ 1 ● brave-otter · claude 1/2 · 1 min ────────────┐
    ▌  claude · 1 min    +41 −7 │✻ Welcome back                                    │
                                │                                                  │
     ● calm-heron               │> Add a rate limiter to the checkout API          │
       codex · 2 min   +120 −12 │                                                  │
                                │● Read(src/api/checkout.rs)                       │
     ✓ dry-fox                  │  └ 214 lines                                     │
       done · 1 min      +12 −2 │                                                  │
                                │● Update(src/api/limit.rs)                        │
     ✗ eager-lynx               │  └ 41 additions and 7 removals                   │
       exit 2 · 20 s            │                                                  │
                                │Do you want to run `cargo test`?                  │
     ◌ fast-mole                │❯ 1. Yes                                          │
       copying files 34 % · now │  2. No                                           │
                                │                                                  │
     ■ grey-owl                 │                                                  │
       stopped · 6 min          │                                                  │
                                │                                                  │
                                │                                                  │
                                │                                                  │
                                │                                                  │
                                └ +41 −7 · 5 files · 2 commits · base+3 ───────────┘
     Enter take over  n new  d diff  v history  Space mark  ? help  q leave
    ");
}

#[test]
fn the_deck_at_120_by_40() {
    insta::assert_snapshot!(picture(&deck(MIDDLE)), @r"
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
    │                                                          ││                                                          │
    │Do you want to run `cargo test`?                          ││                                                          │
    │❯ 1. Yes                                                  ││                                                          │
    │  2. No                                                   ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    └ +41 −7 · 5 files · 2 commits · base+3 ───────────────────┘└ +120 −12 · 9 files ──────────────────────────────────────┘
    ┌ 3 ✓ dry-fox · aider · done · 1 min ──────────────────────┐┌ 4 ✗ eager-lynx · make · exit 2 · 20 s ───────────────────┐
    │$ aider --yes                                             ││cc -o shop main.c                                         │
    │Applied edit to README.md                                 ││main.c:3:1: error: expected ';'                           │
    │                                                          ││make: *** [Makefile:2: shop] Error 1                      │
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
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    └ +12 −2 · 1 file ─────────────────────────────────────────┘└──────────────────────────────────────────────────────────┘
     Enter take over  n new  d diff  v history  Space mark  c compare  a apply  m merge  D discard  u undo  ? help  q leave
    ");
}

#[test]
fn the_deck_at_200_by_60() {
    insta::assert_snapshot!(picture(&deck(LARGE)), @r"
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
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    └ +41 −7 · 5 files · 2 commits · base+3 ─────────────────────────┘└ +120 −12 · 9 files ─────────────────────────────────────────────┘└ +12 −2 · 1 file ────────────────────────────────────────────────┘
    ┌ 4 ✗ eager-lynx · make · exit 2 · 20 s ─────────────────────────┐┌ 5 ◌ fast-mole · claude · copying files 34 % · now ──────────────┐┌ 6 ■ grey-owl · shell · stopped · 6 min ─────────────────────────┐
    │cc -o shop main.c                                               ││                                                                 ││                                                                 │
    │main.c:3:1: error: expected ';'                                 ││  copying files 34 %                                             ││  stopped · S starts it again                                    │
    │make: *** [Makefile:2: shop] Error 1                            ││                                                                 ││                                                                 │
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
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    │                                                                ││                                                                 ││                                                                 │
    └────────────────────────────────────────────────────────────────┘└─────────────────────────────────────────────────────────────────┘└─────────────────────────────────────────────────────────────────┘
     Enter take over  n new  d diff  v history  Space mark  c compare  a apply  m merge  D discard  u undo  s shell  z zoom  ? help  q leave
    ");
}
