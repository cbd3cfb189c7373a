//! Reading a diff: what is read when, what is marked, what is said to the agent.

use super::super::app::{App, DiffView, Effect, Happening, Tag, View};
use super::sample;
use super::{KeyCode, MIDDLE, NOW, Request, SMALL, answer, key, picture, requests, type_keys};
use crate::model::caution::Caution;
use crate::model::diff::{Detail, Diff, FileDiff, FileSide, Review, ReviewMark};
use crate::model::failure::{Failure, FailureKind};
use crate::proto::{Reply, Target};

fn opened() -> App {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, "d");
    app
}

fn view(app: &App) -> &DiffView {
    match app.views.last() {
        Some(View::Diff(view)) => view,
        other => panic!("the diff is open, not {other:?}"),
    }
}

fn give_outline(app: &mut App, diff: Diff) -> Vec<Effect> {
    let ticket = view(app).ticket;
    app.happen(Happening::Reply(Tag::View(ticket), Ok(Reply::Diff(diff))), NOW)
}

fn give_file(app: &mut App, reading: u64, file: FileDiff) {
    let tag = Tag::FileDiff { ticket: view(app).ticket, reading };
    app.happen(Happening::Reply(tag, Ok(Reply::FileDiff(Box::new(file)))), NOW);
}

#[test]
fn lines_are_read_for_the_file_that_is_shown_and_a_late_answer_is_dropped() {
    let mut app = opened();
    let asked = requests(give_outline(&mut app, sample::outline()));
    let of_file = |request: &&Request| matches!(request, Request::ReadFileDiff { .. });
    assert_eq!(asked.iter().filter(of_file).count(), 1);
    assert!(
        asked.iter().any(|request| {
            matches!(request, Request::ReadDiff { detail: Detail::Counted, .. })
        })
    );
    assert!(picture(&app).contains("reading …"));
    // The reader went on before the first file came.
    let asked = requests(type_keys(&mut app, "]"));
    assert_eq!(asked.iter().filter(of_file).count(), 1);
    give_file(&mut app, 1, sample::diff().files.remove(0));
    assert!(picture(&app).contains("reading …"), "{}", picture(&app));
    give_file(&mut app, 2, sample::diff().files.remove(0));
    assert!(picture(&app).contains("Response::unauthorized"), "{}", picture(&app));
}

#[test]
fn what_calls_for_caution_comes_first_and_says_why() {
    let mut app = opened();
    let mut diff = sample::diff();
    diff.files[2].cautions =
        vec![Caution::Runs { by: "make runs it".to_owned() }, Caution::Executable];
    give_outline(&mut app, diff);
    let shown = picture(&app);
    assert_eq!(view(&app).chosen().map(|file| file.path.to_string()), Some("web/logo.png".into()));
    assert!(shown.contains("! make runs it · may be executed now"), "{shown}");
}

#[test]
fn a_review_is_of_the_content_that_was_shown_and_goes_on_to_the_next() {
    let mut app = opened();
    give_outline(&mut app, sample::outline());
    let file = view(&app).chosen().expect("a file").clone();
    give_file(&mut app, 1, sample::diff().files.remove(0));
    let asked = requests(type_keys(&mut app, "r"));
    let content = Some(FileSide { mode: 0o100_644, blob: sample::commit(1) });
    let mark = ReviewMark { path: file.path.clone(), content, reviewed: true };
    assert!(asked.contains(&Request::MarkReviewed { target: Target::Id(sample::id(1)), mark }));
    assert!(picture(&app).contains("file 2 of 3") && picture(&app).contains("✓ 1 reviewed"));
    type_keys(&mut app, "t");
    assert!(picture(&app).contains("of 2") && picture(&app).contains("since reviewed"));
    type_keys(&mut app, "t[");
    let asked = requests(type_keys(&mut app, "r"));
    assert!(asked.iter().any(|request| {
        matches!(request, Request::MarkReviewed { mark, .. } if !mark.reviewed)
    }));
}

#[test]
fn since_the_review_a_file_is_read_from_what_was_reviewed() {
    let mut app = opened();
    let mut diff = sample::outline();
    let since = FileSide { mode: 0o100_644, blob: sample::commit(77) };
    diff.files[0].review = Review::Changed { since: since.clone() };
    give_outline(&mut app, diff);
    assert!(picture(&app).contains("changed since you reviewed it"), "{}", picture(&app));
    let asked = requests(type_keys(&mut app, "t"));
    assert!(asked.iter().any(|request| {
        matches!(request, Request::ReadFileDiff { old, .. } if *old == Some(since.clone()))
    }));
    // All that would be taken begins before that.
    give_file(&mut app, 2, sample::diff().files.remove(0));
    for take in ["a", "A"] {
        assert_eq!(requests(type_keys(&mut app, take)), []);
        assert!(picture(&app).contains("t shows all that is taken"), "{}", picture(&app));
    }
    type_keys(&mut app, "t");
    give_file(&mut app, 3, sample::diff().files.remove(0));
    assert!(matches!(requests(type_keys(&mut app, "A"))[..], [Request::Apply { .. }]));
}

/// Marks that are asked for by `r`.
fn marks(app: &mut App) -> usize {
    let asked = requests(type_keys(app, "r"));
    asked.iter().filter(|request| matches!(request, Request::MarkReviewed { .. })).count()
}

#[test]
fn what_is_not_on_the_screen_is_not_marked_as_reviewed() {
    let mut app = opened();
    give_outline(&mut app, sample::outline());
    assert_eq!(marks(&mut app), 0, "before its lines are there");
    give_file(&mut app, 1, sample::diff().files.remove(0));
    // The agent went on: the lines on the screen are those from before.
    let mut newer = sample::outline();
    newer.files[0].new_blob = Some(sample::commit(50));
    let ticket = view(&app).ticket;
    app.happen(Happening::Reply(Tag::Refresh(ticket), Ok(Reply::Diff(newer))), NOW);
    assert_eq!(marks(&mut app), 0, "while newer lines are read");
    assert!(picture(&app).contains("it is still being read"), "{}", picture(&app));
    give_file(&mut app, 2, sample::diff().files.remove(0));
    assert_eq!(marks(&mut app), 1);
}

#[test]
fn lines_that_could_not_be_read_are_asked_for_again_when_they_are_needed() {
    let mut app = opened();
    give_outline(&mut app, sample::outline());
    let failure = Failure::new(FailureKind::Unavailable, "the disk is slow");
    let tag = Tag::FileDiff { ticket: view(&app).ticket, reading: 1 };
    let asked = requests(app.happen(Happening::Reply(tag, Err(failure)), NOW));
    assert_eq!(asked, [], "not again and again");
    assert!(picture(&app).contains("could not be read"), "{}", picture(&app));
    let asked = requests(type_keys(&mut app, "r"));
    assert!(matches!(asked[..], [Request::ReadFileDiff { .. }]), "{asked:?}");
    give_file(&mut app, 2, sample::diff().files.remove(0));
    assert_eq!(marks(&mut app), 1);
}

#[test]
fn a_patch_is_exported_whole_whatever_is_on_the_screen() {
    let mut app = opened();
    give_outline(&mut app, sample::outline());
    let asked = requests(type_keys(&mut app, "e"));
    assert!(
        asked
            .iter()
            .any(|request| { matches!(request, Request::ReadDiff { detail: Detail::Patch, .. }) })
    );
    let (environment, name) = (sample::id(1), "brave-otter".to_owned());
    let tag = Tag::Export { environment, name };
    let effects = app.happen(Happening::Reply(tag, Ok(Reply::Diff(sample::diff()))), NOW);
    let [Effect::Export { environment, name, diff }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!((environment, name.as_str()), (&sample::id(1), "brave-otter"));
    assert_eq!(**diff, sample::diff());
}

#[test]
fn hunks_fold_and_the_last_one_leads_to_the_next_file() {
    let mut app = opened();
    answer(&mut app, Reply::Diff(sample::diff()));
    app.happen(key(KeyCode::Enter), NOW);
    assert!(picture(&app).contains("· folded") && !picture(&app).contains("Cart::of"));
    app.happen(key(KeyCode::Enter), NOW);
    assert!(picture(&app).contains("Cart::of"));
    type_keys(&mut app, "n");
    assert!(picture(&app).contains("file 2 of 3"), "{}", picture(&app));
}

#[test]
fn the_map_shows_who_fits_with_whom() {
    let mut app = sample::deck(SMALL);
    sample::predict(&mut app);
    type_keys(&mut app, "M");
    insta::assert_snapshot!(picture(&app), @r"
     agentdeck  shop · 6 environments                       main ↑2 · 1 uncommitted
    ┌ Map · main ──────────────────────────────────────────────────────────────────┐
    │  main                  lines  ahead behind  into    1  2  3  4  5  6         │
    │▌● 1 brave-otter      +41  −7      2      3  clean      +  ≠  ·  ·  ·         │
    │ ● 2 calm-heron      +120 −12      0      0  clean   +     ·  ·  ·  ·         │
    │ ✓ 3 dry-fox          +12  −2      0      0  clean   ≠  ·     ·  ·  ·         │
    │ ✗ 4 eager-lynx                    0      0  –       ·  ·  ·     ·  ·         │
    │ ◌ 5 fast-mole                     0      0  –       ·  ·  ·  ·     ·         │
    │ ■ 6 grey-owl                      0      0  –       ·  ·  ·  ·  ·            │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │──────────────────────────────────────────────────────────────────────────────│
    │  main                1 file  in common  + fits                               │
    │  dry-fox             1 file  in common  ≠ 1 conflict  src/api/checkout.rs    │
    │  calm-heron          2 files in common  + fits                               │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    └ ≠ conflict  + files in common, fits  · nothing in common ────────────────────┘
     Enter open  Space mark  c compare  ? help  q close
    ");
    let mut app = sample::deck(MIDDLE);
    sample::predict(&mut app);
    type_keys(&mut app, "M");
    insta::assert_snapshot!(picture(&app), @r"
     agentdeck  shop · 6 environments                                                               main ↑2 · 1 uncommitted
    ┌ Map · main ──────────────────────────────────────────────────────────────────────────────────────────────────────────┐
    │  main              ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━    lines  ahead behind  into    1  2  3  4  5  6   │
    │▌● 1 brave-otter    ╰┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄  +41  −7      2      3  clean      +  ≠  ·  ·  ·   │
    │ ● 2 calm-heron     ╰┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ +120 −12      0      0  clean   +     ·  ·  ·  ·   │
    │ ✓ 3 dry-fox        ╰┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄  +12  −2      0      0  clean   ≠  ·     ·  ·  ·   │
    │ ✗ 4 eager-lynx     ╰┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄               0      0  –       ·  ·  ·     ·  ·   │
    │ ◌ 5 fast-mole      ╰┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄               0      0  –       ·  ·  ·  ·     ·   │
    │ ■ 6 grey-owl       ╰┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄               0      0  –       ·  ·  ·  ·  ·      │
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
    │──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────│
    │  main                1 file  in common  + fits                                                                       │
    │  dry-fox             1 file  in common  ≠ 1 conflict  src/api/checkout.rs                                            │
    │  calm-heron          2 files in common  + fits                                                                       │
    │                                                                                                                      │
    │                                                                                                                      │
    │                                                                                                                      │
    └ ≠ conflict  + files in common, fits  · nothing in common ────────────────────────────────────────────────────────────┘
     Enter open  Space mark  c compare  ? help  q close
    ");
    app.happen(key(KeyCode::Down), NOW);
    app.happen(key(KeyCode::Enter), NOW);
    assert_eq!(app.selected, Some(sample::id(2)));
}
