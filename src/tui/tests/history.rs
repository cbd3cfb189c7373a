//! The history of an environment.

use super::super::app::App;
use super::sample;
use super::{LARGE, MIDDLE, SMALL, Size, TINY, answer, picture, type_keys};
use crate::proto::Reply;

fn opened(size: Size) -> App {
    let mut app = sample::deck(size);
    type_keys(&mut app, "v");
    answer(&mut app, Reply::History(sample::history()));
    app
}

#[test]
fn the_history_in_a_tiny_terminal() {
    insta::assert_snapshot!(picture(&opened(TINY)), @r"
     agentdeck  shop · 6
     brave-otter · histo
      snapshot  age
    ▌ 0d0d0d0d  now
     ? help  q close
    ");
}

#[test]
fn the_history_at_80_by_24() {
    insta::assert_snapshot!(picture(&opened(SMALL)), @r"
     agentdeck  shop · 6 environments                       main ↑2 · 1 uncommitted
    ┌ brave-otter · history · 4 snapshots ─────────────────────────────────────────┐
    │  snapshot  age       why         change                                      │
    │▌ 0d0d0d0d  now       decision        +1    −1    1 file  ▪▪                  │
    │  0c0c0c0c  1 min     change          +4   −11    1 file  ▪▪▪▪▪▪▪▪▪▪▪▪        │
    │  0b0b0b0b  15 min    change         +30    −2    1 file  ▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪│
    │  0a0a0a0a  1 h       base                                                    │
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
fn the_history_at_120_by_40() {
    insta::assert_snapshot!(picture(&opened(MIDDLE)), @r"
     agentdeck  shop · 6 environments                                                               main ↑2 · 1 uncommitted
    ┌ brave-otter · history · 4 snapshots ─────────────────────────────────────────────────────────────────────────────────┐
    │  snapshot  age       why         change                                                                              │
    │▌ 0d0d0d0d  now       decision        +1    −1    1 file  ▪▪                                                          │
    │  0c0c0c0c  1 min     change          +4   −11    1 file  ▪▪▪▪▪▪▪▪▪▪▪▪                                                │
    │  0b0b0b0b  15 min    change         +30    −2    1 file  ▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪                                   │
    │  0a0a0a0a  1 h       base                                                                                            │
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
fn the_history_at_200_by_60() {
    insta::assert_snapshot!(picture(&opened(LARGE)), @r"
     agentdeck  shop · 6 environments                                                                                                                                               main ↑2 · 1 uncommitted
    ┌ brave-otter · history · 4 snapshots ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┐
    │  snapshot  age       why         change                                                                                                                                                              │
    │▌ 0d0d0d0d  now       decision        +1    −1    1 file  ▪▪                                                                                                                                          │
    │  0c0c0c0c  1 min     change          +4   −11    1 file  ▪▪▪▪▪▪▪▪▪▪▪▪                                                                                                                                │
    │  0b0b0b0b  15 min    change         +30    −2    1 file  ▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪                                                                                                                   │
    │  0a0a0a0a  1 h       base                                                                                                                                                                            │
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
