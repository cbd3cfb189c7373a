//! The history of an environment: its line of snapshots, what each changed, the screen of then.

use super::super::app::{App, Effect, Happening, Overlay, Tag, View};
use super::sample;
use super::{LARGE, MIDDLE, SMALL, Size, TINY, control, key, picture, requests, type_keys};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::CommitId;
use crate::model::input::{Input, KeyCode, Modifiers, Mouse, MouseButton, MouseKind};
use crate::model::snapshot::Snapshot;
use crate::proto::{DiffSide, Event, Reply, Request};

const NARROW: Size = Size { columns: 46, rows: 20 };

/// Answers what the history asked for, and what it asks for then; returns the requests.
fn settle(app: &mut App, mut effects: Vec<Effect>) -> Vec<Request> {
    let mut asked = Vec::new();
    while let Some(effect) = effects.pop() {
        let Effect::Send(request, tag) = effect else { continue };
        let reply = match &request {
            Request::ReadDiff { .. } => Reply::Diff(sample::diff()),
            Request::ReadMoment { snapshot, .. } => {
                // The first moments are not kept any more.
                let kept = !snapshot.as_str().starts_with("0a");
                Reply::Moment(kept.then(|| Box::new(sample::moment())))
            }
            Request::ReadHistory { .. } => Reply::History(sample::history()),
            Request::ReadFileDiff { .. } => {
                Reply::FileDiff(Box::new(sample::diff().files.remove(0)))
            }
            _ => Reply::Done,
        };
        asked.push(request);
        effects.extend(app.happen(Happening::Reply(tag, Ok(reply)), app.now));
    }
    asked
}

fn opened(size: Size) -> App {
    let mut app = sample::deck(size);
    let effects = type_keys(&mut app, "v");
    settle(&mut app, effects);
    app
}

fn press(app: &mut App, keys: &str) -> Vec<Request> {
    let effects = type_keys(app, keys);
    settle(app, effects)
}

fn chosen(app: &App) -> &Snapshot {
    let Some(View::History(view)) = app.views.last() else { panic!("a history") };
    view.chosen().expect("one is chosen")
}

fn mouse(kind: MouseKind, column: u16, row: u16) -> Happening {
    let button = MouseButton::Left;
    Happening::Input(Input::Mouse(Mouse { kind, button, column, row, modifiers: Modifiers(0) }))
}

#[test]
fn the_history_in_a_tiny_terminal() {
    insta::assert_snapshot!(picture(&opened(TINY)), @r"
    agentdeck  shop · 6
    brave-otter · histo
    0d0d0d0d · now · +1
          ◆  ▼
    ? help  q close
    ");
}

#[test]
fn the_history_in_a_narrow_terminal() {
    let mut app = opened(NARROW);
    insta::assert_snapshot!(picture(&app), @r"
     agentdeck  shop · 6 environments
    ┌ brave-otter · history · 4 snapshots ─ live ┐
    │ 0d0d0d0d · now · +1 −1 · 1 file · decision │
    │       ◆  ▼                                 │
    │    ▃▃ ▂▂ ▁▁                                │
    │ ┆  a  b  h                                 │
    │┌ brave-otter, snapshot 0d0d0d0d · +9 −3 ──┐│
    ││ M src/api/checkout.rs                    ││
    ││▌@@ -10,5 +10,7 @@                        ││
    ││  10  10  pub fn checkout(request: Reques…││
    ││  11     −    let user = request.user();  ││
    ││      11 +    let Some(user) = request.us…││
    ││      12 +        return Response::unauth…││
    ││      13 +    };                          ││
    ││  12  14      let cart = Cart::of(user);  ││
    ││  13  15      cart.total()                ││
    ││  14  16  }                               ││
    │└──────────────────────────────────────────┘│
    └────────────────────────────────────────────┘
     Enter open  r restore  ? help  q close
    ");
    let tab = app.happen(key(KeyCode::Tab), app.now);
    settle(&mut app, tab);
    insta::assert_snapshot!(picture(&app), @r"
     agentdeck  shop · 6 environments
    ┌ brave-otter · history · 4 snapshots ─ live ┐
    │ 0d0d0d0d · now · +1 −1 · 1 file · decision │
    │       ◆  ▼                                 │
    │    ▃▃ ▂▂ ▁▁                                │
    │ ┆  a  b  h                                 │
    │┌ terminal at 0d0d0d0d ────────────────────┐│
    ││                                          ││
    ││● Read(src/api/checkout.rs)               ││
    ││  └ 214 lines                             ││
    ││                                          ││
    ││● Update(src/api/limit.rs)                ││
    ││  └ 41 additions and 7 removals           ││
    ││                                          ││
    ││Do you want to run `cargo test`?          ││
    ││❯ 1. Yes                                  ││
    ││  2. No                                   ││
    │└──────────────────────────────────────────┘│
    └────────────────────────────────────────────┘
     Enter open  r restore  ? help  q close
    ");
}

#[test]
fn the_history_at_80_by_24() {
    let mut app = opened(SMALL);
    press(&mut app, "h");
    insta::assert_snapshot!(picture(&app), @r"
     agentdeck  shop · 6 environments                       main ↑2 · 1 uncommitted
    ┌ brave-otter · history · 4 snapshots ───────────────────────────────── 3 of 4 ┐
    │ 0c0c0c0c ◆ tests pass · 1 min · +4 −11 · 1 file · takeover by agent and human│
    │       ▼                                                                      │
    │    ▃▃ ▂▂ ▁▁                                                                  │
    │ ┆  a  b  h                                                                   │
    │┌ brave-otter, snapshot 0c0c0c0c · +9 −3 ─────────────────────── file 1 of 3 ┐│
    ││ M src/api/checkout.rs                                                      ││
    ││▌@@ -10,5 +10,7 @@                                                          ││
    ││  10  10  pub fn checkout(request: Request) -> Response {                   ││
    ││  11     −    let user = request.user();                                    ││
    ││      11 +    let Some(user) = request.user() else {                        ││
    ││      12 +        return Response::unauthorized();                          ││
    ││      13 +    };                                                            ││
    ││  12  14      let cart = Cart::of(user);                                    ││
    ││  13  15      cart.total()                                                  ││
    ││  14  16  }                                                                 ││
    ││                                                                            ││
    ││                                                                            ││
    ││                                                                            ││
    ││                                                                            ││
    │└────────────────────────────────────────────────────────────────────────────┘│
    └──────────────────────────────────────────────────────────────────────────────┘
     Enter open  r restore  Tab terminal  b since base  t list  ? help  q close
    ");
}

#[test]
fn the_history_at_120_by_40() {
    let mut app = opened(MIDDLE);
    press(&mut app, "h");
    insta::assert_snapshot!(picture(&app), @r"
     agentdeck  shop · 6 environments                                                               main ↑2 · 1 uncommitted
    ┌ brave-otter · history · 4 snapshots ───────────────────────────────────────────────────────────────────────── 3 of 4 ┐
    │ 0c0c0c0c ◆ tests pass · 1 min · +4 −11 · 1 file · takeover by agent and human                                        │
    │       ▼                                                                                                              │
    │    ▃▃ ▂▂ ▁▁                                                                                                          │
    │ ┆  a  b  h                                                                                                           │
    │┌ brave-otter, snapshot 0c0c0c0c · +9 −3 ──── file 1 of 3 ┐┌ terminal at 0c0c0c0c ───────────────────────────────────┐│
    ││ M src/api/checkout.rs                                   ││✻ Welcome back                                           ││
    ││▌@@ -10,5 +10,7 @@                                       ││                                                         ││
    ││  10  10  pub fn checkout(request: Request) -> Response {││> Add a rate limiter to the checkout API                 ││
    ││  11     −    let user = request.user();                 ││                                                         ││
    ││      11 +    let Some(user) = request.user() else {     ││● Read(src/api/checkout.rs)                              ││
    ││      12 +        return Response::unauthorized();       ││  └ 214 lines                                            ││
    ││      13 +    };                                         ││                                                         ││
    ││  12  14      let cart = Cart::of(user);                 ││● Update(src/api/limit.rs)                               ││
    ││  13  15      cart.total()                               ││  └ 41 additions and 7 removals                          ││
    ││  14  16  }                                              ││                                                         ││
    ││                                                         ││Do you want to run `cargo test`?                         ││
    ││                                                         ││❯ 1. Yes                                                 ││
    ││                                                         ││  2. No                                                  ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    ││                                                         ││                                                         ││
    │└─────────────────────────────────────────────────────────┘└─────────────────────────────────────────────────────────┘│
    └──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
     Enter open  r restore  b since base  t list  u undo  m name  ] next file  n next  N previous  ? help  q close
    ");
}

#[test]
fn the_history_at_200_by_60() {
    insta::assert_snapshot!(picture(&opened(LARGE)), @r"
     agentdeck  shop · 6 environments                                                                                                                                               main ↑2 · 1 uncommitted
    ┌ brave-otter · history · 4 snapshots ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────── live ┐
    │ 0d0d0d0d · now · +1 −1 · 1 file · decision by a human                                                                                                                                                │
    │       ◆  ▼                                                                                                                                                                                           │
    │    ▃▃ ▂▂ ▁▁                                                                                                                                                                                          │
    │ ┆  a  b  h                                                                                                                                                                                           │
    │┌ brave-otter, snapshot 0d0d0d0d · +9 −3 ──────────────────────────────────────────── file 1 of 3 ┐┌ terminal at 0d0d0d0d ───────────────────────────────────────────────────────────────────────────┐│
    ││▌ M src/api/checkout.rs   +3 −1 │ M src/api/checkout.rs                                          ││✻ Welcome back                                                                                   ││
    ││  A …ectory-name/limit.rs +3 −1 │▌@@ -10,5 +10,7 @@                                              ││                                                                                                 ││
    ││  M web/logo.png         binary │  10  10  pub fn checkout(request: Request) -> Response {       ││> Add a rate limiter to the checkout API                                                         ││
    ││                                │  11     −    let user = request.user();                        ││                                                                                                 ││
    ││                                │      11 +    let Some(user) = request.user() else {            ││● Read(src/api/checkout.rs)                                                                      ││
    ││                                │      12 +        return Response::unauthorized();              ││  └ 214 lines                                                                                    ││
    ││                                │      13 +    };                                                ││                                                                                                 ││
    ││                                │  12  14      let cart = Cart::of(user);                        ││● Update(src/api/limit.rs)                                                                       ││
    ││                                │  13  15      cart.total()                                      ││  └ 41 additions and 7 removals                                                                  ││
    ││                                │  14  16  }                                                     ││                                                                                                 ││
    ││                                │                                                                ││Do you want to run `cargo test`?                                                                 ││
    ││                                │                                                                ││❯ 1. Yes                                                                                         ││
    ││                                │                                                                ││  2. No                                                                                          ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    ││                                │                                                                ││                                                                                                 ││
    │└────────────────────────────────┴────────────────────────────────────────────────────────────────┘└─────────────────────────────────────────────────────────────────────────────────────────────────┘│
    └──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
     Enter open  r restore  b since base  t list  u undo  m name  ] next file  n next  N previous  ? help  q close
    ");
}

#[test]
fn the_snapshots_as_a_list_at_120_by_40() {
    let mut app = opened(MIDDLE);
    press(&mut app, "tj");
    insta::assert_snapshot!(picture(&app), @r"
     agentdeck  shop · 6 environments                                                               main ↑2 · 1 uncommitted
    ┌ brave-otter · history · 4 snapshots ───────────────────────────────────────────────────────────────────────── 3 of 4 ┐
    │  snapshot  age       why             who    change                                                                   │
    │  0d0d0d0d  now       decision        human      +1    −1    1 file  ▪▪                                               │
    │▌ 0c0c0c0c  1 min     takeover        both       +4   −11    1 file  ◆ tests pass  ▪▪▪▪▪▪▪▪▪▪▪▪                       │
    │  0b0b0b0b  15 min    change          agent     +30    −2    1 file  ▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪▪                        │
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
     Enter open  r restore  b since base  t list  u undo  m name  ] next file  n next  N previous  ? help  q close
    ");
}

#[test]
fn scrubbing_goes_through_time_and_says_where_no_screen_is_kept() {
    let mut app = opened(MIDDLE);
    assert!(picture(&app).contains("live"));
    press(&mut app, "hh");
    assert!(chosen(&app).id.as_str().starts_with("0b"));
    assert!(!picture(&app).contains("live"));
    press(&mut app, "l");
    assert!(chosen(&app).id.as_str().starts_with("0c"));
    press(&mut app, "g");
    assert_eq!(chosen(&app).number, 1);
    assert!(picture(&app).contains("the screen of that moment is not kept"));
    press(&mut app, "G");
    assert_eq!(chosen(&app).number, 4);
    // From the base where it is asked for, and of the same snapshot.
    let asked = press(&mut app, "b");
    assert!(matches!(&asked[..], [Request::ReadDiff { from: DiffSide::Base, .. }]), "{asked:?}");
}

#[test]
fn only_where_scrubbing_ends_is_read() {
    let mut app = opened(MIDDLE);
    let effects = type_keys(&mut app, "hhh");
    let sent = requests(effects.clone());
    assert_eq!(sent.len(), 2, "one diff and one screen under way: {sent:?}");
    let rest = settle(&mut app, effects);
    let ends = rest.iter().filter(|request| matches!(request, Request::ReadMoment { .. })).count();
    assert_eq!(ends, 2, "the first step and the last, none between");
    assert!(!picture(&app).contains("reading"));
}

#[test]
fn a_click_and_a_drag_choose_a_snapshot_on_the_line() {
    let mut app = opened(MIDDLE);
    let now = app.now;
    let effects = app.happen(mouse(MouseKind::Press, 2, 4), now);
    settle(&mut app, effects);
    assert_eq!(chosen(&app).number, 1, "the oldest is at the left");
    let effects = app.happen(mouse(MouseKind::Drag, 2 + 3 * 2, 4), now);
    settle(&mut app, effects);
    assert_eq!(chosen(&app).number, 3);
    let effects = app.happen(mouse(MouseKind::Press, 60, 30), now);
    settle(&mut app, effects);
    assert_eq!(chosen(&app).number, 3, "a click elsewhere chooses nothing");
}

#[test]
fn a_long_line_stands_still_under_the_mouse_and_moves_before_keys_reach_its_end() {
    let mut app = opened(MIDDLE);
    let ticket = app.views.last().expect("a view").ticket();
    let id = |number: u32| CommitId::parse(&format!("{number:040x}")).expect("forty digits");
    let many = (1..=300_u32).map(|number| Snapshot {
        id: id(number),
        parent: (number > 1).then(|| id(number - 1)),
        number,
        ..sample::history()[3].clone()
    });
    let reply = Ok(Reply::History(many.collect()));
    app.happen(Happening::Reply(Tag::View(ticket), reply), app.now);
    let pointer = |app: &App| {
        let place = |line: &str| line.chars().position(|character| character == '▼');
        picture(app).lines().find_map(place).expect("one is chosen")
    };
    let mut chosen_at = |column| {
        let kind = if column == 40 { MouseKind::Press } else { MouseKind::Drag };
        app.happen(mouse(kind, column, 4), app.now);
        assert_eq!(pointer(&app), usize::from(column));
        chosen(&app).number
    };
    let number = chosen_at(40);
    assert_eq!(
        [chosen_at(41), chosen_at(60), chosen_at(20)],
        [number + 1, number + 20, number - 20]
    );
    press(&mut app, &"h".repeat(40));
    assert_eq!(chosen(&app).number, number - 60);
    assert!(pointer(&app) > 5, "what is before it is seen");
    press(&mut app, "g");
    assert_eq!((chosen(&app).number, pointer(&app)), (1, 2));
}

#[test]
fn new_snapshots_appear_and_the_newest_is_followed_unless_another_is_chosen() {
    let mut app = opened(MIDDLE);
    let mut next = sample::history()[3].clone();
    next.parent = Some(next.id);
    next.id = sample::commit(14);
    next.number = 5;
    let environment = sample::id(1);
    let event = |snapshot: &Snapshot| {
        let snapshot = Box::new(snapshot.clone());
        Happening::Event(Event::SnapshotTaken { environment: environment.clone(), snapshot })
    };
    let now = app.now;
    let effects = app.happen(event(&next), now);
    settle(&mut app, effects);
    assert_eq!(chosen(&app).number, 5);
    press(&mut app, "h");
    // One that does not follow on the newest: those between are read.
    let mut later = next.clone();
    later.parent = Some(sample::commit(40));
    later.id = sample::commit(41);
    let effects = app.happen(event(&later), now);
    assert_eq!(chosen(&app).number, 4, "the chosen one stays");
    let asked = requests(effects);
    assert!(matches!(&asked[..], [Request::ReadHistory { before: None, .. }]), "{asked:?}");
}

#[test]
fn a_snapshot_is_restored_forked_and_named() {
    let mut app = opened(SMALL);
    press(&mut app, "h");
    let id = chosen(&app).id.clone();
    let asked = press(&mut app, "r");
    assert!(
        matches!(&asked[..], [Request::RestoreEnvironment { snapshot, .. }] if *snapshot == id.as_str()),
        "{asked:?}"
    );
    let asked = press(&mut app, "f");
    assert!(
        matches!(&asked[..], [Request::ForkEnvironment { snapshot: Some(from), .. }] if *from == id),
        "{asked:?}"
    );
    press(&mut app, "m");
    assert!(matches!(app.overlay, Some(Overlay::Name(_))));
    assert!(picture(&app).contains("tests pass"), "the name it has");
    app.happen(control('u'), app.now);
    type_keys(&mut app, "green");
    let named = app.happen(key(KeyCode::Enter), app.now);
    let named = requests(named);
    let [Request::MarkSnapshot { snapshot, name, .. }] = &named[..] else { panic!("{named:?}") };
    assert_eq!(snapshot.as_deref(), Some(id.as_str()));
    assert!(name.as_deref().is_some_and(|name| name.ends_with("green")), "{name:?}");
    let effects = type_keys(&mut app, "u");
    assert!(matches!(&requests(effects)[..], [Request::Undo { .. }]));
}

#[test]
fn of_one_snapshots_change_nothing_is_taken_before_all_that_would_be_is_shown() {
    let mut app = opened(SMALL);
    press(&mut app, "h");
    let id = chosen(&app).id.clone();
    let effects = app.happen(key(KeyCode::Enter), app.now);
    settle(&mut app, effects);
    for take in ["a", "A"] {
        assert_eq!(press(&mut app, take), [], "{take} in what one snapshot changed");
        let seen = picture(&app);
        assert!(seen.contains("this is one snapshot's change alone"), "{seen}");
        assert!(seen.contains("T shows all that is taken with it"), "{seen}");
    }
    let asked = press(&mut app, "T");
    let all = |request: &Request| {
        let to = DiffSide::Snapshot(id.clone());
        matches!(request, Request::ReadDiff { from: DiffSide::Taken, to: end, .. } if *end == to)
    };
    assert!(asked.iter().any(all), "{asked:?}");
    assert!(picture(&app).contains("brave-otter at 0c0c0c0c since you took"), "{}", picture(&app));
    let asked = press(&mut app, "A");
    assert!(matches!(asked[..], [Request::Apply { snapshot: Some(_), .. }]), "{asked:?}");
    // What is shown since the base is all that would be taken.
    let mut app = opened(MIDDLE);
    press(&mut app, "hb");
    let effects = app.happen(key(KeyCode::Enter), app.now);
    settle(&mut app, effects);
    assert!(matches!(press(&mut app, "A")[..], [Request::Apply { .. }]));
}

#[test]
fn an_answer_that_fails_leaves_the_rest_to_be_looked_at() {
    let mut app = sample::deck(SMALL);
    type_keys(&mut app, "v");
    let ticket = app.views.last().expect("a view is open").ticket();
    let history = Ok(Reply::History(sample::history()));
    let effects = app.happen(Happening::Reply(Tag::View(ticket), history), app.now);
    let failure = Failure::new(FailureKind::NotFound, "it is gone");
    for effect in effects {
        let Effect::Send(_, tag) = effect else { continue };
        assert!(matches!(tag, Tag::Timeline(_)), "{tag:?}");
        app.happen(Happening::Reply(tag, Err(failure.clone())), app.now);
    }
    assert_eq!(chosen(&app).number, 4, "the view is still there");
    assert!(picture(&app).contains("it is gone"));
}
