//! The comparison of attempts, and one file of it.

use super::super::app::App;
use super::sample;
use super::{KeyCode, LARGE, MIDDLE, SMALL, Size, TINY, answer, key, picture, type_keys};
use crate::proto::Reply;

fn matrix(size: Size) -> App {
    let mut app = sample::deck(size);
    type_keys(&mut app, " ");
    type_keys(&mut app, "2");
    type_keys(&mut app, " c");
    answer(&mut app, Reply::Comparison(sample::comparison()));
    app
}

fn file(size: Size) -> App {
    let mut app = matrix(size);
    type_keys(&mut app, "j");
    app.happen(key(KeyCode::Enter), app.now);
    answer(&mut app, Reply::AlignedFile(sample::aligned()));
    app
}

#[test]
fn the_matrix_in_a_tiny_terminal() {
    insta::assert_snapshot!(picture(&matrix(TINY)), @r"
     agentdeck  shop · 6
     Compare 2 attempts
      fibrave-… calm-h…
    ▌ … +1 −1 sa+1 −1 sa
     ? help  q close
    ");
}

#[test]
fn the_matrix_at_80_by_24() {
    insta::assert_snapshot!(picture(&matrix(SMALL)), @r"
     agentdeck  shop · 6 environments · 2 marked            main ↑2 · 1 uncommitted
    ┌ Compare 2 attempts ──────────────────────────────────────────────────────────┐
    │  file                        brave-otter             calm-heron              │
    │▌ Cargo.toml                  +1 −1 same              +1 −1 same              │
    │  src/api/checkout.rs         +12 −1                  +31 −1                  │
    │  src/api/limit.rs            ·                       +80 −0 new              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    └──────────────────────────────────────────────────────────────────────────────┘
     Enter open  ? help  q close
    ");
}

#[test]
fn the_matrix_at_120_by_40() {
    insta::assert_snapshot!(picture(&matrix(MIDDLE)), @r"
     agentdeck  shop · 6 environments · 2 marked                                                    main ↑2 · 1 uncommitted
    ┌ Compare 2 attempts ──────────────────────────────────────────────────────────────────────────────────────────────────┐
    │  file                                                                brave-otter             calm-heron              │
    │▌ Cargo.toml                                                          +1 −1 same              +1 −1 same              │
    │  src/api/checkout.rs                                                 +12 −1                  +31 −1                  │
    │  src/api/limit.rs                                                    ·                       +80 −0 new              │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    └──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
     Enter open  ? help  q close
    ");
}

#[test]
fn the_matrix_at_200_by_60() {
    insta::assert_snapshot!(picture(&matrix(LARGE)), @r"
     agentdeck  shop · 6 environments · 2 marked                                                                                                                                    main ↑2 · 1 uncommitted
    ┌ Compare 2 attempts ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┐
    │  file                                                                                                                                                brave-otter             calm-heron              │
    │▌ Cargo.toml                                                                                                                                          +1 −1 same              +1 −1 same              │
    │  src/api/checkout.rs                                                                                                                                 +12 −1                  +31 −1                  │
    │  src/api/limit.rs                                                                                                                                    ·                       +80 −0 new              │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    │                                                                                                                                                                                                      │
    └──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
     Enter open  ? help  q close
    ");
}

#[test]
fn one_file_in_a_tiny_terminal() {
    insta::assert_snapshot!(picture(&file(TINY)), @r"
    agentdeck  shop · 6
    …i/checkout.rs
         base│     brav
        1  … │    1  …
    ? help  q close
    ");
}

#[test]
fn one_file_at_80_by_24() {
    insta::assert_snapshot!(picture(&file(SMALL)), @r"
     agentdeck  shop · 6 environments · 2 marked            main ↑2 · 1 uncommitted
    ┌ src/api/checkout.rs ─────────────────────────────────────────────────────────┐
    │      base                             │     brave-otter                      │
    │     1  use web;                       │    1  use web;                       │
    │                                       │    2 +use limit;                     │
    │     2 −const MAX: u32 = 1;            │    3  const MAX: u32 = 1;            │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    └──────────────────────────────────────────────────────────────────────────────┘
     n next  N previous  ? help  q close
    ");
}

#[test]
fn one_file_at_120_by_40() {
    insta::assert_snapshot!(picture(&file(MIDDLE)), @r"
     agentdeck  shop · 6 environments · 2 marked                                                    main ↑2 · 1 uncommitted
    ┌ src/api/checkout.rs ─────────────────────────────────────────────────────────────────────────────────────────────────┐
    │      base                             │     brave-otter                      │     calm-heron                        │
    │     1  use web;                       │    1  use web;                       │    1  use web;                        │
    │                                       │    2 +use limit;                     │                                       │
    │     2 −const MAX: u32 = 1;            │    3  const MAX: u32 = 1;            │    2 +const MAX: u32 = 64;            │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    │                                       │                                      │                                       │
    └──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
     n next  N previous  ? help  q close
    ");
}

#[test]
fn one_file_at_200_by_60() {
    insta::assert_snapshot!(picture(&file(LARGE)), @r"
     agentdeck  shop · 6 environments · 2 marked                                                                                                                                    main ↑2 · 1 uncommitted
    ┌ src/api/checkout.rs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┐
    │      base                                                        │     brave-otter                                                 │     calm-heron                                                  │
    │     1  use web;                                                  │    1  use web;                                                  │    1  use web;                                                  │
    │                                                                  │    2 +use limit;                                                │                                                                 │
    │     2 −const MAX: u32 = 1;                                       │    3  const MAX: u32 = 1;                                       │    2 +const MAX: u32 = 64;                                      │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    │                                                                  │                                                                 │                                                                 │
    └──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
     n next  N previous  ? help  q close
    ");
}
