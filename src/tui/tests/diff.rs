//! The diff, unified, and side by side where there is room.

use super::super::app::App;
use super::sample;
use super::{LARGE, MIDDLE, SMALL, Size, TINY, answer, picture, type_keys};
use crate::proto::Reply;

fn opened(size: Size) -> App {
    let mut app = sample::deck(size);
    type_keys(&mut app, "d");
    answer(&mut app, Reply::Diff(sample::diff()));
    type_keys(&mut app, if size == LARGE { "s" } else { "" });
    app
}

#[test]
fn the_diff_in_a_tiny_terminal() {
    insta::assert_snapshot!(picture(&opened(TINY)), @r"
     agentdeck  shop · 6
     brave-otter since i
     M …api/checkout.rs
    ▌@@ -10,5 +10,7 @@
     ? help  q close
    ");
}

#[test]
fn the_diff_at_80_by_24() {
    insta::assert_snapshot!(picture(&opened(SMALL)), @r"
     agentdeck  shop · 6 environments                       main ↑2 · 1 uncommitted
    ┌ brave-otter since its base ───────────────────────────────────── file 1 of 3 ┐
    │ M src/api/checkout.rs                                                        │
    │▌@@ -10,5 +10,7 @@                                                            │
    │  10  10  pub fn checkout(request: Request) -> Response {                     │
    │  11     −    let user = request.user();                                      │
    │      11 +    let Some(user) = request.user() else {                          │
    │      12 +        return Response::unauthorized();                            │
    │      13 +    };                                                              │
    │  12  14      let cart = Cart::of(user);                                      │
    │  13  15      cart.total()                                                    │
    │  14  16  }                                                                   │
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
     a take hunk  A take file  Tab files  r reviewed  c comment  ? help  q close
    ");
}

#[test]
fn the_diff_at_120_by_40() {
    insta::assert_snapshot!(picture(&opened(MIDDLE)), @r"
     agentdeck  shop · 6 environments                                                               main ↑2 · 1 uncommitted
    ┌ brave-otter since its base ───────────┬───────────────────────────────────────────────────────────────── file 1 of 3 ┐
    │▌ M src/api/checkout.rs                │ M src/api/checkout.rs                                                        │
    │  A …ather-long-directory-name/limit.rs│▌@@ -10,5 +10,7 @@                                                            │
    │  M web/logo.png                       │  10  10  pub fn checkout(request: Request) -> Response {                     │
    │                                       │  11     −    let user = request.user();                                      │
    │                                       │      11 +    let Some(user) = request.user() else {                          │
    │                                       │      12 +        return Response::unauthorized();                            │
    │                                       │      13 +    };                                                              │
    │                                       │  12  14      let cart = Cart::of(user);                                      │
    │                                       │  13  15      cart.total()                                                    │
    │                                       │  14  16  }                                                                   │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    │                                       │                                                                              │
    └───────────────────────────────────────┴──────────────────────────────────────────────────────────────────────────────┘
     a take hunk  A take file  Tab files  s side by side  r reviewed  c comment  / search  Enter fold  ? help  q close
    ");
}

#[test]
fn the_diff_at_200_by_60() {
    insta::assert_snapshot!(picture(&opened(LARGE)), @r"
     agentdeck  shop · 6 environments                                                                                                                                               main ↑2 · 1 uncommitted
    ┌ brave-otter since its base ─────────────────────────┬─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────── file 1 of 3 ┐
    │▌ M src/api/checkout.rs                              │ M src/api/checkout.rs                                                                                                                          │
    │  A src/api/a-rather-long-directory-name/limit.rs    │▌@@ -10,5 +10,7 @@                                                                                                                              │
    │  M web/logo.png                                     │  10  pub fn checkout(request: Request) -> Response {                   │  10  pub fn checkout(request: Request) -> Response {                  │
    │                                                     │  11 −    let user = request.user();                                    │  11 +    let Some(user) = request.user() else {                       │
    │                                                     │      ╌╌╌                                                               │  12 +        return Response::unauthorized();                         │
    │                                                     │      ╌╌╌                                                               │  13 +    };                                                           │
    │                                                     │  12      let cart = Cart::of(user);                                    │  14      let cart = Cart::of(user);                                   │
    │                                                     │  13      cart.total()                                                  │  15      cart.total()                                                 │
    │                                                     │  14  }                                                                 │  16  }                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    │                                                     │                                                                                                                                                │
    └─────────────────────────────────────────────────────┴────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
     a take hunk  A take file  Tab files  s side by side  r reviewed  c comment  / search  Enter fold  ] next file  n next  N previous  ? help  q close
    ");
}
