//! The comparison of attempts, and one file of it.

use super::super::app::{App, CompareView, FileView, Happening, Tag, View};
use super::sample;
use super::{
    KeyCode, LARGE, MIDDLE, Request, SMALL, Size, TINY, answer, key, picture, requests, type_keys,
};
use crate::model::comparison::Stretch;
use crate::model::diff::Detail;
use crate::model::path::RepoPath;
use crate::proto::{Event, Freshness, Reply, Target};

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
      file        A  B
    ▌ …heckout.rs A  B
     ? help  q close
    ");
}

#[test]
fn the_matrix_at_80_by_24() {
    insta::assert_snapshot!(picture(&matrix(SMALL)), @r"
     agentdeck  shop · 6 environments · 2 marked            main ↑2 · 1 uncommitted
    ┌ Compare 2 attempts ───────────────────────── 3 files · 1 differ · 1 the same ┐
    │  file                                    A brave-otter     B calm-heron      │
    │  in all                                  +13 −2 2 files    +112 −2 3 files   │
    │▌ src/api/checkout.rs      A ≠ B          +12 −1            +31 −1            │
    │  src/api/limit.rs         only B         ·                 +80    new        │
    │  Cargo.toml               = the same      +1 −1            = A               │
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
     Enter open  A take file  / filter  ? help  q close
    ");
}

#[test]
fn the_matrix_at_120_by_40() {
    insta::assert_snapshot!(picture(&matrix(MIDDLE)), @r"
     agentdeck  shop · 6 environments · 2 marked                                                    main ↑2 · 1 uncommitted
    ┌ Compare 2 attempts ───────────────────────────────────────────────────────────────── 3 files · 1 differ · 1 the same ┐
    │  file                                                            A brave-otter             B calm-heron              │
    │  in all                                                          +13 −2 2 files            +112 −2 3 files           │
    │▌ src/api/checkout.rs                              A ≠ B          +12 −1                    +31 −1                    │
    │  src/api/limit.rs                                 only B         ·                         +80    new                │
    │  Cargo.toml                                       = the same      +1 −1                    = A                       │
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
     Enter open  A take file  / filter  ? help  q close
    ");
}

#[test]
fn the_matrix_at_200_by_60() {
    insta::assert_snapshot!(picture(&matrix(LARGE)), @r"
     agentdeck  shop · 6 environments · 2 marked                                                                                                                                    main ↑2 · 1 uncommitted
    ┌ Compare 2 attempts ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────── 3 files · 1 differ · 1 the same ┐
    │  file                                                                                                                                            A brave-otter             B calm-heron              │
    │  in all                                                                                                                                          +13 −2 2 files            +112 −2 3 files           │
    │▌ src/api/checkout.rs                                                                                                              A ≠ B          +12 −1                    +31 −1                    │
    │  src/api/limit.rs                                                                                                                 only B         ·                         +80    new                │
    │  Cargo.toml                                                                                                                       = the same      +1 −1                    = A                       │
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
     Enter open  A take file  / filter  ? help  q close
    ");
}

#[test]
fn one_file_in_a_tiny_terminal() {
    insta::assert_snapshot!(picture(&file(TINY)), @r"
     agentdeck  shop · 6
     …/api/limit.rs
          A brave-otter
    ▌── ≠ A and B dif… ─
     ? help  q close
    ");
}

#[test]
fn one_file_at_80_by_24() {
    insta::assert_snapshot!(picture(&file(SMALL)), @r"
     agentdeck  shop · 6 environments · 2 marked            main ↑2 · 1 uncommitted
    ┌ src/api/limit.rs ─────────────── A of 2, h l show others · difference 1 of 2 ┐
    │      base                             │      A brave-otter                   │
    │   1  use web;                         │   1  use web;                        │
    │▌── ≠ A and B differ ─────────────────────────────────────────────────────────│
    │      ╌╌╌                              │   2 +use limit;                      │
    │   2 −const MAX: u32 = 1;              │   3  const MAX: u32 = 1;             │
    │   3  fn pay() {                       │   4  fn pay() {                      │
    │   4      charge();                    │   5      charge();                   │
    │   5      log();                       │   6      log();                      │
    │   6      mail();                      │   7      mail();                     │
    │   7      done();                      │   8      done();                     │
    │   8  }                                │   9  }                               │
    │   9                                   │  10                                  │
    │ ·· = A and B agree on 1 line ················································│
    │ ── ≠ only B changed it ──────────────────────────────────────────────────────│
    │      ╌╌╌                              │      ╌╌╌                             │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    │                                       │                                      │
    └───────────────────────────────────────┴──────────────────────────────────────┘
     a take hunk  A take file  / search  Enter fold  b base  ? help  q close
    ");
}

#[test]
fn one_file_at_120_by_40() {
    insta::assert_snapshot!(picture(&file(MIDDLE)), @r"
     agentdeck  shop · 6 environments · 2 marked                                                    main ↑2 · 1 uncommitted
    ┌ src/api/limit.rs ─────────────────────┬──────────────────────────────────────┬──────────────────── difference 1 of 2 ┐
    │      base                             │      A brave-otter                   │      B calm-heron                     │
    │   1  use web;                         │   1  use web;                        │   1  use web;                         │
    │▌── ≠ A and B differ ─────────────────────────────────────────────────────────────────────────────────────────────────│
    │      ╌╌╌                              │   2 +use limit;                      │      ╌╌╌                              │
    │   2 −const MAX: u32 = 1;              │   3  const MAX: u32 = 1;             │   2 +const MAX: u32 = 64;             │
    │   3  fn pay() {                       │   4  fn pay() {                      │   3  fn pay() {                       │
    │   4      charge();                    │   5      charge();                   │   4      charge();                    │
    │   5      log();                       │   6      log();                      │   5      log();                       │
    │   6      mail();                      │   7      mail();                     │   6      mail();                      │
    │   7      done();                      │   8      done();                     │   7      done();                      │
    │   8  }                                │   9  }                               │   8  }                                │
    │   9                                   │  10                                  │   9                                   │
    │ ·· = A and B agree on 1 line ························································································│
    │ ── ≠ only B changed it ──────────────────────────────────────────────────────────────────────────────────────────────│
    │      ╌╌╌                              │      ╌╌╌                             │  11 +fn extra() {}                    │
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
    └───────────────────────────────────────┴──────────────────────────────────────┴───────────────────────────────────────┘
     a take hunk  A take file  / search  Enter fold  b base  ] next file  n next  N previous  ? help  q close
    ");
}

#[test]
fn one_file_at_200_by_60() {
    insta::assert_snapshot!(picture(&file(LARGE)), @r"
     agentdeck  shop · 6 environments · 2 marked                                                                                                                                    main ↑2 · 1 uncommitted
    ┌ src/api/limit.rs ────────────────────────────────────────────────┬─────────────────────────────────────────────────────────────────┬────────────────────────────────────────────── difference 1 of 2 ┐
    │      base                                                        │      A brave-otter                                              │      B calm-heron                                               │
    │   1  use web;                                                    │   1  use web;                                                   │   1  use web;                                                   │
    │▌── ≠ A and B differ ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────│
    │      ╌╌╌                                                         │   2 +use limit;                                                 │      ╌╌╌                                                        │
    │   2 −const MAX: u32 = 1;                                         │   3  const MAX: u32 = 1;                                        │   2 +const MAX: u32 = 64;                                       │
    │   3  fn pay() {                                                  │   4  fn pay() {                                                 │   3  fn pay() {                                                 │
    │   4      charge();                                               │   5      charge();                                              │   4      charge();                                              │
    │   5      log();                                                  │   6      log();                                                 │   5      log();                                                 │
    │   6      mail();                                                 │   7      mail();                                                │   6      mail();                                                │
    │   7      done();                                                 │   8      done();                                                │   7      done();                                                │
    │   8  }                                                           │   9  }                                                          │   8  }                                                          │
    │   9                                                              │  10                                                             │   9                                                             │
    │ ·· = A and B agree on 1 line ········································································································································································│
    │ ── ≠ only B changed it ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────│
    │      ╌╌╌                                                         │      ╌╌╌                                                        │  11 +fn extra() {}                                              │
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
    └──────────────────────────────────────────────────────────────────┴─────────────────────────────────────────────────────────────────┴─────────────────────────────────────────────────────────────────┘
     a take hunk  A take file  / search  Enter fold  b base  ] next file  n next  N previous  ? help  q close
    ");
}

/// Answers the question by which a view that is open is kept up to date.
fn refresh(app: &mut App, reply: Reply) -> Vec<Request> {
    let ticket = app.views.last().expect("a view is open").ticket();
    requests(app.happen(Happening::Reply(Tag::Refresh(ticket), Ok(reply)), app.now))
}

fn snapshot_of(app: &mut App, number: u8) -> Vec<Request> {
    let snapshot = Box::new(sample::history().remove(1));
    let event = Event::SnapshotTaken { environment: sample::id(number), snapshot };
    requests(app.happen(Happening::Event(event), app.now))
}

fn matrix_view(app: &App) -> &CompareView {
    match app.views.last() {
        Some(View::Compare(view)) => view,
        other => panic!("the comparison is open, not {other:?}"),
    }
}

fn file_view(app: &App) -> &FileView {
    match app.views.last() {
        Some(View::File(view)) => view,
        other => panic!("the file is open, not {other:?}"),
    }
}

fn newest() -> Request {
    let targets = vec![Target::Id(sample::id(1)), Target::Id(sample::id(2))];
    Request::Compare { targets, freshness: Freshness::Newest, detail: Detail::Counted }
}

#[test]
fn a_comparison_follows_the_agents_without_moving_the_reader() {
    let mut app = matrix(MIDDLE);
    type_keys(&mut app, "j");
    let chosen = matrix_view(&app).chosen().expect("a row").path.clone();
    // The first count is still under way, so a snapshot waits for it.
    assert_eq!(snapshot_of(&mut app, 1), []);
    assert_eq!(refresh(&mut app, Reply::Comparison(sample::comparison())), [newest()]);
    let mut grown = sample::comparison();
    let mut row = grown.rows[1].clone();
    row.path = RepoPath::new("a/first.rs");
    grown.rows.insert(0, row);
    assert_eq!(refresh(&mut app, Reply::Comparison(grown)), []);
    let view = matrix_view(&app);
    assert_eq!(view.chosen().map(|row| row.path.clone()), Some(chosen));
    assert_eq!((view.order.len(), view.place.row), (4, 2));
    // What is not compared is of no interest.
    assert_eq!(snapshot_of(&mut app, 3), []);
    assert_eq!(snapshot_of(&mut app, 2), [newest()]);
    assert_eq!(refresh(&mut app, Reply::Comparison(sample::comparison())), []);
    // What stands on another commit is another change, though no file moved.
    let mut changed = app.environments.iter().find(|it| it.id == sample::id(1)).cloned();
    changed.as_mut().expect("it is listed").onto = Some(sample::commit(7));
    let event = Event::EnvironmentChanged(Box::new(changed.expect("it is listed")));
    let mut told = |event| requests(app.happen(Happening::Event(event), app.now));
    assert_eq!((told(event.clone()), told(event)), (vec![newest()], vec![]));
}

#[test]
fn a_filter_keeps_files_that_hold_every_word() {
    let mut app = matrix(MIDDLE);
    type_keys(&mut app, "/API lim");
    app.happen(key(KeyCode::Enter), app.now);
    assert_eq!(matrix_view(&app).order.len(), 1);
    assert!(picture(&app).contains("/API lim"), "{}", picture(&app));
    app.happen(key(KeyCode::Escape), app.now);
    assert_eq!((app.views.len(), matrix_view(&app).order.len()), (1, 3));
}

#[test]
fn what_attempts_agree_on_is_folded_and_unfolds() {
    let mut app = file(MIDDLE);
    assert!(picture(&app).contains("A and B agree on 1 line"), "{}", picture(&app));
    assert!(!picture(&app).contains("// the end"));
    assert_eq!(file_view(&app).differences(), (1, 2));
    type_keys(&mut app, "n");
    assert_eq!(file_view(&app).differences(), (2, 2));
    assert!(picture(&app).contains("only B changed it"), "{}", picture(&app));
    type_keys(&mut app, "k");
    app.happen(key(KeyCode::Enter), app.now);
    assert!(picture(&app).contains("// the end"), "{}", picture(&app));
    app.happen(key(KeyCode::Enter), app.now);
    assert!(!picture(&app).contains("// the end"), "{}", picture(&app));
}

#[test]
fn a_file_that_grows_above_the_reader_keeps_the_line_where_it_is() {
    let mut app = file(MIDDLE);
    type_keys(&mut app, "n");
    let line = |app: &App| {
        let view = file_view(app);
        let row = view.place.row;
        (row - view.place.top, view.cell(row + 1, 2).map(|(_, text)| text.0.clone()))
    };
    let before = line(&app);
    let mut grown = sample::aligned();
    if let Stretch::Changed { rows, .. } = &mut grown.stretches[1] {
        rows.insert(0, rows[0].clone());
        rows.insert(0, rows[0].clone());
    }
    assert_eq!(snapshot_of(&mut app, 1).len(), 1);
    refresh(&mut app, Reply::AlignedFile(grown));
    assert_eq!(before.1, Some(b"fn extra() {}".to_vec()));
    assert_eq!(line(&app).1, before.1);
}

#[test]
fn the_next_file_opens_from_within_one() {
    let mut app = file(MIDDLE);
    let opened = type_keys(&mut app, "]");
    let path = file_view(&app).path.clone();
    assert_eq!(path, RepoPath::new("Cargo.toml"));
    assert!(requests(opened).iter().any(|request| matches!(request, Request::CompareFile { .. })));
    app.happen(key(KeyCode::Escape), app.now);
    assert_eq!(matrix_view(&app).chosen().map(|row| row.path.clone()), Some(path));
}

#[test]
fn without_the_base_attempts_get_its_room() {
    let mut app = file(SMALL);
    assert!(!picture(&app).contains("B calm-heron"));
    type_keys(&mut app, "b");
    let shown = picture(&app);
    assert!(shown.contains("A brave-otter") && shown.contains("B calm-heron"), "{shown}");
}

#[test]
fn a_narrow_terminal_shows_one_attempt_and_letters() {
    let narrow = Size { columns: 46, rows: 14 };
    insta::assert_snapshot!(picture(&matrix(narrow)), @r"
     agentdeck  shop · 6 environments · 2 marked
    ┌ Compare 2 attempts ────────────────────────┐
    │  file                                A  B  │
    │  in all                              2  3  │
    │▌ src/api/checkout.rs                 A  B  │
    │  src/api/limit.rs                    ·  B  │
    │  Cargo.toml                          A  A  │
    │                                            │
    │                                            │
    │                                            │
    │                                            │
    │                                            │
    └────────────────────────────────────────────┘
     Enter open  A take file  ? help  q close
    ");
    insta::assert_snapshot!(picture(&file(narrow)), @r"
     agentdeck  shop · 6 environments · 2 marked
    ┌ src/api/limit.rs ──────────────────────────┐
    │      A brave-otter                         │
    │   1  use web;                              │
    │▌── ≠ A and B differ ───────────────────────│
    │   2 +use limit;                            │
    │   3  const MAX: u32 = 1;                   │
    │   4  fn pay() {                            │
    │   5      charge();                         │
    │   6      log();                            │
    │   7      mail();                           │
    │   8      done();                           │
    └────────────────────────────────────────────┘
     a take hunk  A take file  ? help  q close
    ");
}
